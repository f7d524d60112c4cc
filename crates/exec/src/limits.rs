//! What a task may use, what a host lends, and the flag that stops an attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rialto_machine::TaskLimits;
use rialto_protocol::types::Order;

/// Bytes in a WebAssembly page.
pub const PAGE_BYTES: u64 = 64 << 10;

/// What a host lends to tasks. Nothing here changes a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent {
    /// Tasks that run at the same time.
    pub cores: usize,
    /// Memory of all running tasks together, bytes; also the most that one task may be promised.
    pub memory_bytes: u64,
    /// Longest wall time of one task.
    pub max_wall: Duration,
}

/// What a task may use: part of the order, equal for everyone who runs it, decides results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fuel; at most `rialto_machine::limits::MAX_FUEL`.
    pub fuel: u64,
    /// Output bytes (stdout, stderr and created files with their framing). The write that would
    /// exceed them traps, here as everywhere: it is part of the result.
    pub out_bytes: u64,
    /// Memory pages. Growing beyond them, or beyond the program's own maximum, returns -1.
    pub max_pages: u32,
}

impl Limits {
    /// Of every task of an order.
    pub fn of(order: &Order) -> Self {
        Self { fuel: order.fuelLimit, out_bytes: order.outLimit, max_pages: order.maxPages }
    }

    /// Of one task, to trace it.
    pub fn with_seed(&self, seed: u64) -> TaskLimits {
        TaskLimits { seed, fuel: self.fuel, out: self.out_bytes, pages: self.max_pages }
    }
}

/// Stops running attempts; clones share one flag.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// A flag that is down.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag: what runs under it ends within milliseconds with `AttemptError::Cancelled`.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is up.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
