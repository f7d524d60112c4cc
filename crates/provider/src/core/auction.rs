//! Prices that fall while nobody comes: a Dutch auction over idle time.
//!
//! The price stands at the top while the provider is busy: at least half of its cores run, or
//! orders wait. From the moment it is not, the price falls in a line to the floor and stays there.
//! When work comes, or a deal is opened, it is back at the top. An ask is a line in time, so every
//! ask repeats a piece of that line; one that no longer does is signed again. Asks signed before
//! stay valid until they end: whoever holds one can still take it.

use alloy_primitives::U256;
use rialto_protocol::{pricing::price_at, types::Ask};

use super::{Core, OrderState, Price};

/// An ask is signed again when its price is off by more than this share of the top price: a
/// fiftieth.
const TOLERANCE_DIVISOR: u128 = 50;
/// But not more often than this, seconds.
const RESIGN_SECONDS: u64 = 10;
/// The bend at the floor is not worth an ask that lives shorter than this, seconds.
const MIN_ASK_SECONDS: u64 = 60;

/// The prices and the end of a new ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Curve {
    /// At the ask's `from`.
    pub start: u128,
    /// At its `to`.
    pub end: u128,
    /// Unix seconds.
    pub to: u64,
}

/// The price after so many seconds of idleness, base units per Tfuel; rounded up.
pub fn declined(price: u128, floor: u128, seconds: u64, idle: u64) -> u128 {
    if idle >= seconds {
        return floor;
    }
    let fall = U256::from(price.saturating_sub(floor)) * U256::from(idle) / U256::from(seconds);
    price - fall.to::<u128>()
}

impl Price {
    /// The line of an ask over `[from, to)`, signed at `now`; `idle_since`: none while busy.
    pub(super) fn curve(self, idle_since: Option<u64>, from: u64, now: u64, to: u64) -> Curve {
        let Self::Idle { price, floor, seconds } = self else {
            let (start, end) = self.ends();
            return Curve { start, end, to };
        };
        let Some(since) = idle_since else { return Curve { start: price, end: price, to } };
        let bend = since.saturating_add(seconds);
        let to = if bend > now.saturating_add(MIN_ASK_SECONDS) { to.min(bend) } else { to };
        let at = |time: u64| declined(price, floor, seconds, time.saturating_sub(since));
        Curve { start: at(from), end: at(to), to }
    }
}

impl Core {
    /// Notes whether there is anything to do; the auction runs while there is not.
    pub(super) fn note_idleness(&mut self) {
        if !matches!(self.config.asks.price, Price::Idle { .. }) {
            return;
        }
        let since =
            if self.busy() { None } else { Some(self.market.idle_since.unwrap_or(self.now)) };
        if since != self.market.idle_since {
            self.market.idle_since = since;
            self.changed.market = true;
        }
    }

    /// Somebody took an offer: the auction begins again.
    pub(super) fn restart_auction(&mut self) {
        if matches!(self.config.asks.price, Price::Idle { .. }) && self.market.idle_since.is_some()
        {
            self.market.idle_since = Some(self.now);
            self.changed.market = true;
        }
    }

    /// Half of the cores run, or orders wait.
    fn busy(&self) -> bool {
        let waits = |hash| {
            matches!(self.orders.get(hash).map(|row| &row.state), Some(OrderState::Accepted { .. }))
        };
        self.taken_cores().saturating_mul(2) >= self.config.asks.cores.max(1)
            || self.unfinished.iter().any(|hash| !self.running.contains_key(hash) && waits(hash))
    }

    /// Whether an ask still asks what the configuration wants now.
    pub(super) fn priced_right(&self, ask: &Ask) -> bool {
        let Price::Idle { price, floor, .. } = self.config.asks.price else {
            return (ask.priceStart, ask.priceEnd) == self.config.asks.price.ends();
        };
        let (low, high) = (ask.priceStart.min(ask.priceEnd), ask.priceStart.max(ask.priceEnd));
        if low < floor || high > price {
            return false;
        }
        let wanted =
            self.config.asks.price.curve(self.market.idle_since, self.now, self.now, ask.to).start;
        let Some(asked) = price_at(ask, self.now) else { return false };
        wanted.abs_diff(asked) <= price / TOLERANCE_DIVISOR
            || self.signed_at.is_some_and(|at| self.now < at.saturating_add(RESIGN_SECONDS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Price = Price::Idle { price: 1_000, floor: 200, seconds: 1_800 };

    #[test]
    fn falls_in_a_line_and_stays_at_the_floor() {
        assert_eq!(declined(1_000, 200, 1_800, 0), 1_000);
        assert_eq!(declined(1_000, 200, 1_800, 900), 600);
        assert_eq!(declined(1_000, 200, 1_800, 1), 1_000, "rounded up");
        assert_eq!(declined(1_000, 200, 1_800, 1_799), 201);
        assert_eq!(declined(1_000, 200, 1_800, u64::MAX), 200);
        assert_eq!(
            declined(u128::MAX, 0, u64::MAX, u64::MAX - 1),
            u128::MAX - declined_by(u128::MAX)
        );
        assert_eq!(declined(5, 5, 0, 0), 5);
    }

    fn declined_by(price: u128) -> u128 {
        (U256::from(price) * U256::from(u64::MAX - 1) / U256::from(u64::MAX)).to()
    }

    #[test]
    fn every_ask_is_a_piece_of_the_line() {
        // Busy: the top.
        assert_eq!(
            PRICE.curve(None, 70, 100, 1_000),
            Curve { start: 1_000, end: 1_000, to: 1_000 }
        );
        // Idle since 100: a piece of the line.
        assert_eq!(
            PRICE.curve(Some(100), 70, 100, 1_000),
            Curve { start: 1_000, end: 600, to: 1_000 }
        );
        // It ends where the line bends.
        assert_eq!(
            PRICE.curve(Some(100), 1_470, 1_500, 2_400),
            Curve { start: 392, end: 200, to: 1_900 }
        );
        // Near the bend it is not worth an ask of its own.
        assert_eq!(PRICE.curve(Some(100), 1_840, 1_870, 2_770).to, 2_770);
        // Then the floor.
        assert_eq!(
            PRICE.curve(Some(100), 5_000, 5_030, 6_000),
            Curve { start: 200, end: 200, to: 6_000 }
        );
    }
}
