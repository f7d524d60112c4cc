//! Reading a session at a bounded rate.

use std::time::{Duration, Instant};

use rialto_net::{CloseReason, SessionReceiver};
use rialto_protocol::wire::Message;

/// Most messages that wait for a slow peer. Then the session ends, and the next one sends them
/// again.
pub const MAX_OUTBOUND_MESSAGES: usize = 256;
/// Most messages taken from one session per second: checking one signature takes about 0.1 ms.
pub const MAX_MESSAGES_PER_SECOND: u32 = 512;

/// Reads a session no faster than [`MAX_MESSAGES_PER_SECOND`]. A peer that sends faster waits; it
/// costs nobody else anything.
pub struct Paced<M> {
    receiver: SessionReceiver<M>,
    pace: Pace,
}

impl<M: Message> Paced<M> {
    /// Reads what `receiver` receives.
    pub fn new(receiver: SessionReceiver<M>) -> Self {
        Self { receiver, pace: Pace::default() }
    }

    /// Returns the next message, or `None` when the session is over.
    pub async fn recv(&mut self) -> Option<M> {
        let message = self.receiver.recv().await?;
        let wait = self.pace.next(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Some(message)
    }

    /// Returns why the session is over.
    pub fn reason(&self) -> Option<CloseReason> {
        self.receiver.reason()
    }
}

/// Counts the messages of the current second.
#[derive(Default)]
struct Pace {
    second: Option<Instant>,
    taken: u32,
}

impl Pace {
    /// Returns how long the message that came at `now` must wait.
    fn next(&mut self, now: Instant) -> Duration {
        const SECOND: Duration = Duration::from_secs(1);
        let begun = match self.second {
            Some(begun) if now.saturating_duration_since(begun) < SECOND => begun,
            _ => {
                self.taken = 0;
                *self.second.insert(now)
            }
        };
        self.taken += 1;
        if self.taken <= MAX_MESSAGES_PER_SECOND {
            return Duration::ZERO;
        }
        SECOND.saturating_sub(now.saturating_duration_since(begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_messages_than_a_second_takes_wait_for_the_next_second() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for _ in 0..MAX_MESSAGES_PER_SECOND {
            assert_eq!(pace.next(start), Duration::ZERO);
        }
        let later = start + Duration::from_millis(300);
        assert_eq!(pace.next(later), Duration::from_millis(700));
        let next = start + Duration::from_secs(1);
        assert_eq!(pace.next(next), Duration::ZERO, "a new second begins");
        for _ in 1..MAX_MESSAGES_PER_SECOND {
            assert_eq!(pace.next(next), Duration::ZERO);
        }
        assert_eq!(pace.next(next), Duration::from_secs(1));
    }
}
