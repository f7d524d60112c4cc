//! Prices and fees, in integers. `contracts/src/shared/Pricing.sol` computes the same numbers.

use alloy_primitives::U256;

use crate::types::{Ask, Deal};

/// Fuel in one Tfuel.
pub const TFUEL: u64 = 1_000_000_000_000;

/// Basis points in one.
pub const BPS: u32 = 10_000;

/// Returns the price of an ask at `now` (Unix seconds), base units per Tfuel; `None` outside
/// `[from, to)`.
///
/// The distance travelled is rounded down, so a falling price is rounded up and a rising price
/// down.
pub fn price_at(ask: &Ask, now: u64) -> Option<u128> {
    if now < ask.from || now >= ask.to {
        return None;
    }
    let (passed, length) = (now - ask.from, ask.to - ask.from);
    Some(if ask.priceEnd >= ask.priceStart {
        ask.priceStart + travelled(ask.priceEnd - ask.priceStart, passed, length)
    } else {
        ask.priceStart - travelled(ask.priceStart - ask.priceEnd, passed, length)
    })
}

/// Returns ⌊span · passed / length⌋, the distance that a price has moved. `passed` ≤ `length`,
/// `length` > 0.
pub fn travelled(span: u128, passed: u64, length: u64) -> u128 {
    match span.checked_mul(passed.into()) {
        Some(product) => product / u128::from(length),
        None => (U256::from(span) * U256::from(passed) / U256::from(length)).to(),
    }
}

/// Returns the fee of an order, ⌊price · fuel / 10^12⌋ + taskFee · tasks, base units; `None` above
/// 2^128 − 1.
pub fn fee(price: u128, task_fee: u128, fuel: u128, tasks: u32) -> Option<u128> {
    let work = match price.checked_mul(fuel) {
        Some(product) => product / u128::from(TFUEL),
        None => (U256::from(price) * U256::from(fuel) / U256::from(TFUEL)).try_into().ok()?,
    };
    work.checked_add(task_fee.checked_mul(tasks.into())?)
}

/// Returns the fee of an order in a deal, base units; `None` above 2^128 − 1.
pub fn order_fee(deal: &Deal, fuel: u128, tasks: u32) -> Option<u128> {
    fee(deal.price, deal.taskFee, fuel, tasks)
}

/// Returns ⌊amount · bps / 10_000⌋; `None` above 2^128 − 1.
pub fn share(amount: u128, bps: u32) -> Option<u128> {
    (U256::from(amount) * U256::from(bps) / U256::from(BPS)).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(start: u128, end: u128) -> Ask {
        Ask { priceStart: start, priceEnd: end, from: 100, to: 110, ..Ask::default() }
    }

    #[test]
    fn price_runs_linearly_in_a_half_open_window() {
        assert_eq!(price_at(&ask(50, 0), 99), None);
        assert_eq!(price_at(&ask(50, 0), 100), Some(50));
        assert_eq!(price_at(&ask(50, 0), 109), Some(5));
        assert_eq!(price_at(&ask(50, 0), 110), None);
        assert_eq!(price_at(&ask(0, 7), 105), Some(3));
        assert_eq!(price_at(&ask(7, 0), 105), Some(4));
        assert_eq!(price_at(&ask(0, u128::MAX), 109), Some(u128::MAX / 10 * 9 + 4));
    }

    #[test]
    fn fee_rounds_down_and_refuses_overflow() {
        assert_eq!(fee(3, 5, TFUEL as u128 - 1, 2), Some(12));
        assert_eq!(fee(u128::MAX, 0, TFUEL as u128, 1), Some(u128::MAX));
        assert_eq!(fee(u128::MAX, 1, TFUEL as u128, 1), None);
        assert_eq!(fee(u128::MAX, u128::MAX, u128::MAX, u32::MAX), None);
    }
}
