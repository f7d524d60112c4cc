//! Upper bounds of the loss of an honest side in a deal, whatever the other side, the chain's users
//! and the network do. docs/threat-model.md states the conditions, and the simulator searches for
//! counterexamples. Quotes, `provide --explain` and `deals show` print the bounds. All amounts are
//! base units; gas comes on top and is counted in transactions.

use serde::{Deserialize, Serialize};

use crate::{
    pricing,
    types::{Deal, Order},
};

/// Least time between a provider's redemptions in a deal, seconds. Cases and the deal's end may add
/// others.
pub const REDEEM_SECONDS: u64 = 3_600;

/// Reason why a requester could not take a wrong claim to court.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// The deal names no court.
    Court,
    /// The requester may not or can't run the tasks itself.
    Runs,
    /// Its account in the market does not have the bond of an accusation.
    Bond,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Court => "the deal has no court",
            Self::Runs => "the tasks are not run here, so that nothing can be shown",
            Self::Bond => "the account does not hold the bond of an accusation",
        })
    }
}

/// Returns the most that a provider can lose, which is delivered and unpaid work. `credit` is its
/// ask's `limits.credit`. It never loses collateral or a late penalty.
pub const fn provider_loss(credit: u128, budget: u128) -> u128 {
    if credit < budget { credit } else { budget }
}

/// Returns the most redemptions for which a provider pays gas in a deal of this length: one an
/// hour, and one at the end. Each case that is opened against it adds one.
pub const fn redemptions(seconds: u64) -> u64 {
    seconds.div_ceil(REDEEM_SECONDS).saturating_add(1)
}

/// Returns the most that an order of this deal can cost, with all its tasks at their fuel limit.
pub fn order_cost(deal: &Deal, order: &Order) -> u128 {
    let fuel = u128::from(order.fuelLimit) * u128::from(order.tasks);
    pricing::order_fee(deal, fuel, order.tasks).unwrap_or(u128::MAX)
}

/// Returns the most that a requester can lose. `vouchers` is the amount of its highest voucher.
/// `orders` is the total [`order_cost`] of the orders that no redeemed voucher settles, cancelled
/// ones included, because all of them can be claimed. Without a lack it can lose only the vouchers;
/// bonds come back.
pub fn requester_loss(budget: u128, vouchers: u128, orders: u128, lack: Option<Lack>) -> u128 {
    let unproven = if lack.is_some() { orders } else { 0 };
    vouchers.saturating_add(unproven).min(budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_risks_its_credit_and_never_more_than_the_budget() {
        assert_eq!((provider_loss(5, 100), provider_loss(100, 5)), (5, 5));
        assert_eq!(
            (redemptions(0), redemptions(1), redemptions(3_600), redemptions(3_601)),
            (1, 2, 2, 3)
        );
        assert_eq!(redemptions(u64::MAX), u64::MAX / REDEEM_SECONDS + 2);
    }

    #[test]
    fn a_requester_risks_its_orders_only_where_it_can_accuse_nobody() {
        let deal = Deal { price: 1_000, taskFee: 2, budget: 50, ..Deal::default() };
        let order = Order { tasks: 3, fuelLimit: pricing::TFUEL / 100, ..Order::default() };
        let orders = order_cost(&deal, &order);
        assert_eq!(orders, 30 + 6);
        assert_eq!(requester_loss(deal.budget, 7, orders, None), 7);
        for lack in [Lack::Court, Lack::Runs, Lack::Bond] {
            assert_eq!(requester_loss(deal.budget, 7, orders, Some(lack)), 43);
            assert_eq!(
                requester_loss(deal.budget, 20, orders, Some(lack)),
                50,
                "the budget in all"
            );
        }
        let endless = Deal { price: u128::MAX, ..deal };
        assert_eq!(order_cost(&endless, &Order { fuelLimit: u64::MAX, ..order }), u128::MAX);
    }
}
