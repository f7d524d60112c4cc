//! Limits on the work that the gossip of each peer causes here: one token bucket per peer. A bucket
//! outlives the peer's connections.

use std::{collections::HashMap, time::Duration};

use rialto_protocol::B256;
use tokio::time::Instant;

use crate::limits::MAX_BUDGETS;

/// Token buckets of all peers.
pub(crate) struct Budgets {
    burst: f64,
    per_second: f64,
    buckets: HashMap<B256, Bucket>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// Number of tokens. It is negative after a penalty; the peer is then refused until it is
    /// positive again.
    tokens: f64,
    at: Instant,
}

impl Budgets {
    pub(crate) fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: f64::from(burst), per_second: f64::from(per_second), buckets: HashMap::new() }
    }

    fn bucket(&mut self, peer: B256, now: Instant) -> &mut Bucket {
        if self.buckets.len() >= MAX_BUDGETS && !self.buckets.contains_key(&peer) {
            self.make_room(now);
        }
        let (burst, rate) = (self.burst, self.per_second);
        let bucket = self.buckets.entry(peer).or_insert(Bucket { tokens: burst, at: now });
        let earned = now.saturating_duration_since(bucket.at).as_secs_f64() * rate;
        *bucket = Bucket { tokens: (bucket.tokens + earned).min(burst), at: now };
        bucket
    }

    /// Removes the fullest bucket. Its peer has the least debt, so that forgetting it matters
    /// least.
    fn make_room(&mut self, now: Instant) {
        let tokens = |b: &Bucket| {
            b.tokens + now.saturating_duration_since(b.at).as_secs_f64() * self.per_second
        };
        let fullest = self
            .buckets
            .iter()
            .max_by(|a, b| tokens(a.1).total_cmp(&tokens(b.1)))
            .map(|(peer, _)| *peer);
        if let Some(peer) = fullest {
            self.buckets.remove(&peer);
        }
    }

    /// Returns the time until the peer has a token, or `None` if it never earns one.
    pub(crate) fn wait(&mut self, peer: B256, now: Instant) -> Option<Duration> {
        let tokens = self.bucket(peer, now).tokens;
        if tokens >= 1.0 {
            Some(Duration::ZERO)
        } else if self.per_second > 0.0 {
            Some(Duration::from_secs_f64((1.0 - tokens) / self.per_second))
        } else {
            None
        }
    }

    /// Takes tokens. Returns `false` if the peer is in debt afterwards.
    pub(crate) fn spend(&mut self, peer: B256, cost: u32, now: Instant) -> bool {
        let burst = self.burst;
        let bucket = self.bucket(peer, now);
        // The debt is bounded, so that no peer is refused for ever.
        bucket.tokens = (bucket.tokens - f64::from(cost)).max(-burst);
        bucket.tokens >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_spent_fined_and_refilled() {
        let (peer, start) = (B256::repeat_byte(1), Instant::now());
        let mut budgets = Budgets::new(10, 2);
        for _ in 0..10 {
            assert_eq!(budgets.wait(peer, start), Some(Duration::ZERO));
            assert!(budgets.spend(peer, 1, start));
        }
        assert_eq!(budgets.wait(peer, start), Some(Duration::from_millis(500)));
        assert!(!budgets.spend(peer, 4, start), "in debt");
        assert_eq!(budgets.wait(peer, start), Some(Duration::from_millis(2500)));
        assert_eq!(budgets.wait(peer, start + Duration::from_secs(3)), Some(Duration::ZERO));
        assert!(!budgets.spend(peer, 1000, start + Duration::from_secs(3)));
        assert_eq!(
            budgets.wait(peer, start + Duration::from_secs(9)),
            Some(Duration::ZERO),
            "debt is bounded"
        );
    }

    #[test]
    fn forgetting_spares_those_in_debt() {
        let now = Instant::now();
        let mut budgets = Budgets::new(10, 0);
        let debtor = B256::repeat_byte(9);
        assert!(!budgets.spend(debtor, 15, now));
        for i in 0..2 * MAX_BUDGETS as u64 {
            budgets.spend(B256::from(rialto_protocol::U256::from(i)), 1, now);
        }
        assert_eq!(budgets.buckets.len(), MAX_BUDGETS);
        assert_eq!(budgets.wait(debtor, now), None);
    }
}
