//! The time that both sides of the market go by: this machine's clock, or the chain's where that is ahead.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Unix seconds. Clones share what the chain said.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Seconds by which the chain is ahead of this machine.
    ahead: Arc<AtomicU64>,
}

impl Clock {
    /// Now.
    pub fn now(&self) -> u64 {
        machine().saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    /// The chain's newest block says so. A chain that is behind just has no news.
    pub fn chain_says(&self, time: u64) {
        self.ahead.fetch_max(time.saturating_sub(machine()), Ordering::Relaxed);
    }
}

fn machine() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
