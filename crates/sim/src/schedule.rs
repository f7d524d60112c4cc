//! Simulated time: future events, ordered by their time and then by the order of scheduling.

use std::collections::BTreeMap;

/// Milliseconds since the run began.
pub type Millis = u64;

/// Unix time at which every run begins, in seconds.
pub const BEGINNING: u64 = 1_800_000_000;

/// Queue of future events, with the current time.
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
    /// Returns the current time.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// Returns the current time in Unix seconds.
    pub fn unix(&self) -> u64 {
        BEGINNING + self.now / 1000
    }

    /// Schedules an event for a time. A time in the past means now.
    pub fn at(&mut self, time: Millis, what: T) {
        self.serial += 1;
        self.queue.insert((time.max(self.now), self.serial), what);
    }

    /// Schedules an event after a delay.
    pub fn after(&mut self, wait: Millis, what: T) {
        self.at(self.now + wait, what);
    }

    /// Advances the clock to the next event and returns it.
    pub fn advance(&mut self) -> Option<T> {
        let ((time, _), what) = self.queue.pop_first()?;
        self.now = time;
        Some(what)
    }
}
