//! Block time: its source, and the ways in which tests move it.

/// Source of the chain's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The system's clock.
    System,
    /// A clock that stands at this time (Unix seconds) and moves only by `evm_increaseTime` and
    /// `evm_setNextBlockTimestamp`.
    Manual(u64),
}

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the embedded chain is the shell that owns block time"
    )]
    fn now(self) -> u64 {
        match self {
            Self::Manual(time) => time,
            Self::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                since.map(|since| since.as_secs()).unwrap_or_default()
            }
        }
    }
}

/// Rules for the next block's timestamp. Block time never goes back. Blocks of the same second have
/// the same time, as on rollups, so that a busy chain does not run ahead of its clock.
#[derive(Clone, Debug)]
pub(crate) struct Time {
    clock: Clock,
    /// Seconds added to the clock.
    pub offset: i64,
    /// Exact time of the next block, if set.
    pub next: Option<u64>,
    /// Seconds between blocks, if fixed.
    pub interval: Option<u64>,
}

impl Time {
    pub fn new(clock: Clock, offset: i64) -> Self {
        Self { clock, offset, next: None, interval: None }
    }

    /// Returns the time of a block that is made now, after one of time `parent`.
    pub fn next_block(&self, parent: u64) -> u64 {
        let time = match (self.next, self.interval) {
            (Some(next), _) => next,
            (None, Some(interval)) => parent.saturating_add(interval),
            (None, None) => self.clock.now().saturating_add_signed(self.offset),
        };
        time.max(parent)
    }

    /// Sets the chain's current time.
    pub fn set(&mut self, time: u64) {
        self.offset =
            i64::try_from(i128::from(time) - i128::from(self.clock.now())).unwrap_or(i64::MAX);
    }

    /// Notes that a block of time `time` was made. If its time was set explicitly, the clock
    /// continues from there.
    pub fn made_block(&mut self, time: u64) {
        if self.next.take().is_some() {
            self.set(time);
        }
    }
}
