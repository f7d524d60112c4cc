//! Who may run: at most so many tasks and so much memory at the same time. Also the engine's clock,
//! which ticks only while somebody runs.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::EngineWeak;

use crate::AttemptError;
use crate::host::Watch;

/// How often running programs are asked to look at their watch: a cancelled task ends within about this.
const TICK: Duration = Duration::from_millis(10);
/// How often a task that waits for its turn looks at its watch.
const WAIT: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Free {
    cores: usize,
    memory: u64,
    closed: bool,
}

/// Cores and memory that can be lent.
#[derive(Debug)]
pub(crate) struct Slots {
    cores: usize,
    memory: u64,
    free: Mutex<Free>,
    changed: Condvar,
}

impl Slots {
    pub(crate) fn new(cores: usize, memory: u64) -> Self {
        let free = Mutex::new(Free { cores, memory, closed: false });
        Self { cores, memory, free, changed: Condvar::new() }
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
        let wake_clock = free.cores == self.cores;
        free.cores -= 1;
        free.memory -= memory;
        drop(free);
        if wake_clock {
            self.changed.notify_all();
        }
        Ok(Slot { slots: self, memory })
    }

    /// Starts the clock's thread, which ends after [`Slots::close`].
    pub(crate) fn start_clock(self: &Arc<Self>, engine: EngineWeak) -> std::io::Result<()> {
        let slots = self.clone();
        std::thread::Builder::new().name("rialto-exec-clock".into()).spawn(move || {
            while slots.wait_until_busy() {
                std::thread::sleep(TICK);
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        })?;
        Ok(())
    }

    /// Ends the clock.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// False once closed.
    fn wait_until_busy(&self) -> bool {
        let mut free = self.lock();
        while free.cores == self.cores && !free.closed {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        !free.closed
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
