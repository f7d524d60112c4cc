//! Who may run: at most so many tasks and so much memory at the same time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::AttemptError;
use crate::wasm::host::Watch;

/// How often a task that waits for its turn looks at its watch.
const WAIT: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Free {
    cores: usize,
    memory: u64,
}

/// Cores and memory that can be lent.
#[derive(Debug)]
pub(crate) struct Slots {
    memory: u64,
    free: Mutex<Free>,
    changed: Condvar,
}

impl Slots {
    pub(crate) fn new(cores: usize, memory: u64) -> Self {
        let free = Mutex::new(Free { cores, memory });
        Self { memory, free, changed: Condvar::new() }
    }

    /// Whether a task that may use `memory` bytes can ever run here.
    pub(crate) fn check(&self, memory: u64) -> Result<(), AttemptError> {
        if memory > self.memory {
            return Err(AttemptError::Memory { needed: memory, lent: self.memory });
        }
        Ok(())
    }

    /// Waits for a core and `memory` bytes.
    pub(crate) fn take(&self, memory: u64, watch: &Watch) -> Result<Slot<'_>, AttemptError> {
        self.check(memory)?;
        let mut free = self.lock();
        loop {
            if watch.is_cancelled() {
                return Err(AttemptError::Cancelled);
            }
            if free.cores > 0 && free.memory >= memory {
                break;
            }
            free = self.changed.wait_timeout(free, WAIT).unwrap_or_else(PoisonError::into_inner).0;
        }
        free.cores -= 1;
        free.memory -= memory;
        Ok(Slot { slots: self, memory })
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lent core; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    slots: &'a Slots,
    memory: u64,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut free = self.slots.lock();
        free.cores += 1;
        free.memory += self.memory;
        drop(free);
        self.slots.changed.notify_all();
    }
}
