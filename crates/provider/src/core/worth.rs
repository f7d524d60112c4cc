//! What a transaction costs, in the market's money: below that, a sum is not worth moving.

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};

/// Gas of a redeemed voucher that also closes the deal, with a quarter on top
/// (`contracts/snapshots/`: 55,173).
pub const REDEEM_GAS: u64 = 70_000;
/// Gas of a claim and of settling it, with some on top (`contracts/snapshots/`: 138,712 together).
pub const CLAIM_GAS: u64 = 170_000;
/// Wei of one whole coin of native money.
const COIN_WEI: u128 = 1_000_000_000_000_000_000;

/// What the transactions that move our money cost now, base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worth {
    /// Redeeming a voucher.
    pub redeem: u128,
    /// Claiming an order and settling the claim.
    pub claim: u128,
}

impl Worth {
    /// From the price of gas, wei, and what a whole coin of native money is worth, base units.
    pub fn of(gas_price_wei: u128, coin: u128) -> Self {
        let cost = |gas| cost(gas, gas_price_wei, coin);
        Self { redeem: cost(REDEEM_GAS), claim: cost(CLAIM_GAS) }
    }
}

/// Base units that `gas` costs, rounded up.
pub fn cost(gas: u64, gas_price_wei: u128, coin: u128) -> u128 {
    let wei = U256::from(gas).saturating_mul(U256::from(gas_price_wei));
    wei.saturating_mul(U256::from(coin)).div_ceil(U256::from(COIN_WEI)).saturating_to()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gas_in_the_markets_money() {
        // 70,000 gas at 10 gwei are 0.0007 coins; at 3,000 tokens (6 decimals) a coin that is 2.1
        // tokens.
        assert_eq!(cost(70_000, 10_000_000_000, 3_000_000_000), 2_100_000);
        assert_eq!(cost(1, 1, 1), 1, "rounded up");
        assert_eq!(cost(70_000, 0, 3_000_000_000), 0);
        assert_eq!(cost(u64::MAX, u128::MAX, u128::MAX), u128::MAX);
        let worth = Worth::of(10_000_000_000, 3_000_000_000);
        assert!(worth.claim > 2 * worth.redeem);
    }
}
