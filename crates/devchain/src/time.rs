//! Block time: where it comes from and how tests move it.

/// Where the chain's time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The system's clock.
    System,
    /// A clock that stands at this time (Unix seconds) and moves only when told to
    /// (`evm_increaseTime`, `evm_setNextBlockTimestamp`).
    Manual(u64),
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "the embedded chain is the shell that owns block time")]
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

/// The rules for the next block's timestamp. Block time never goes back; blocks of the same second share
/// it (as on rollups), so that a standing clock stands and a busy chain does not run ahead of its clock.
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

    /// Time that a block after one of time `parent` gets if it is made now.
    pub fn next_block(&self, parent: u64) -> u64 {
        let time = match (self.next, self.interval) {
            (Some(next), _) => next,
            (None, Some(interval)) => parent.saturating_add(interval),
            (None, None) => self.clock.now().saturating_add_signed(self.offset),
        };
        time.max(parent)
    }

    /// Makes the chain's time `time` now.
    pub fn set(&mut self, time: u64) {
        self.offset = i64::try_from(i128::from(time) - i128::from(self.clock.now())).unwrap_or(i64::MAX);
    }

    /// Notes that a block of time `time` was made: a time set for it keeps running from there.
    pub fn made_block(&mut self, time: u64) {
        if self.next.take().is_some() {
            self.set(time);
        }
    }
}
