//! The time that both sides of the market use: this machine's clock, or the chain's if that is
//! ahead.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// A clock in Unix seconds. Clones share the lead of the chain.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Seconds by which the chain is ahead of this machine.
    ahead: Arc<AtomicU64>,
}

impl Clock {
    /// Returns the current time, Unix seconds.
    pub fn now(&self) -> u64 {
        machine().saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    /// Notes the time of the chain's newest block. A time in the past has no effect, because a
    /// chain may have had no block for a while.
    pub fn chain_says(&self, time: u64) {
        self.ahead.fetch_max(time.saturating_sub(machine()), Ordering::Relaxed);
    }
}

fn machine() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
