//! Simulated time: what is going to happen, ordered by time and then by when it was decided.

use std::collections::BTreeMap;

/// Milliseconds since the run began.
pub type Millis = u64;

/// Unix seconds at which every run begins.
pub const BEGINNING: u64 = 1_800_000_000;

/// Things to come.
#[derive(Debug)]
pub struct Schedule<T> {
    now: Millis,
    serial: u64,
    queue: BTreeMap<(Millis, u64), T>,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self { now: 0, serial: 0, queue: BTreeMap::new() }
    }
}

impl<T> Schedule<T> {
    /// Now.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// Now, unix seconds.
    pub fn unix(&self) -> u64 {
        BEGINNING + self.now / 1000
    }

    /// Decides that something happens at a time (now, if that is past).
    pub fn at(&mut self, time: Millis, what: T) {
        self.serial += 1;
        self.queue.insert((time.max(self.now), self.serial), what);
    }

    /// Decides that something happens in a while.
    pub fn after(&mut self, wait: Millis, what: T) {
        self.at(self.now + wait, what);
    }

    /// Goes on to what happens next.
    pub fn advance(&mut self) -> Option<T> {
        let ((time, _), what) = self.queue.pop_first()?;
        self.now = time;
        Some(what)
    }
}
