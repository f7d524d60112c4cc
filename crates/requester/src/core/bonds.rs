//! The bonds of accusations that may become necessary: they stay in the account while deals are
//! open.
//!
//! An accusation holds up a wrong claim, and the court takes its bond from the requester's account
//! in the market. An account that can't pay the bond within the claim's window loses what is
//! claimed. So the shell opens deals, and calls late or demands, only with money that is left
//! beside one bond for each deal in which this requester would accuse.
//!
//! One bond for each deal is needed and is enough. Providers of different deals can claim in the
//! same block, and a game with one of them does not hold up the claim of another: games queue for
//! one provider's time only, and each deal has a collateral of its own. Within a deal one
//! accusation holds up every claim, and one conviction ends the deal; so there is never more than
//! one game of this account over a deal (`Core::in_court`), and while it runs its bond is in the
//! court already.

use std::collections::BTreeMap;

use rialto_protocol::{Address, DealId};
use serde::{Deserialize, Serialize};

use super::{Core, JobSpec, cases::CLOCK_SKEW_SECONDS, journal::OpenDeal};

/// An accusation that has to stay affordable. Its bond follows from the court's rules and the fuel
/// limit of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Accusable {
    /// Before this court.
    pub court: Address,
    /// Over an order with this fuel limit at most.
    pub fuel_limit: u64,
}

/// How many accusations of each kind have to stay affordable.
pub type Accusables = BTreeMap<Accusable, u32>;

impl Core {
    /// Every accusation whose bond has to stay in the account: one for each deal that is open, or
    /// is being opened, before a court that would be asked.
    pub fn accusables(&self) -> Accusables {
        let mut all = Accusables::new();
        let open = self.state.deals.values().filter_map(|deal| self.accusable(deal));
        let opening = self.state.jobs.values().flat_map(|job| {
            let pending = job
                .openings
                .iter()
                .filter(|opening| opening.pending)
                .flat_map(|opening| &opening.terms);
            let unknown = pending.filter(|terms| !self.state.deals.contains_key(&terms.id()));
            unknown.filter_map(|terms| {
                self.accusable_in(&job.spec, terms.deal.court, terms.offer.known_court)
            })
        });
        for one in open.chain(opening) {
            *all.entry(one).or_default() += 1;
        }
        all
    }

    /// The accusation that may become necessary in a new deal of a job before this court.
    pub fn accusable_in(
        &self,
        spec: &JobSpec,
        court: Address,
        known_court: bool,
    ) -> Option<Accusable> {
        let asked = self.config.dispute_from.is_some() && !court.is_zero() && known_court;
        (asked && spec.constraints.run_locally)
            .then_some(Accusable { court, fuel_limit: spec.fuel_limit })
    }

    /// The accusation that may become necessary in a deal and is not under way.
    fn accusable(&self, deal: &OpenDeal) -> Option<Accusable> {
        let until = self.disputes_until(deal).saturating_add(2 * CLOCK_SKEW_SECONDS);
        if deal.closed.is_some() || self.now >= until || self.in_court(deal) {
            return None;
        }
        let spec = &self.state.jobs.get(&deal.job)?.spec;
        let next = self.accusable_in(spec, deal.terms.court, deal.offer.known_court)?;
        // Orders of a job that held the deal before can be claimed until a voucher over them is
        // redeemed.
        let settled = usize::try_from(deal.chain.orders).unwrap_or(usize::MAX);
        let claimable =
            deal.orders.iter().skip(settled).filter_map(|order| self.state.orders.get(order));
        let highest = claimable.map(|order| order.order.fuelLimit).max();
        if highest.is_none() && deal.closing.is_some() {
            return None;
        }
        Some(Accusable { fuel_limit: next.fuel_limit.max(highest.unwrap_or(0)), ..next })
    }

    /// Whether what stays in the account for a deal is enough for a job that takes it over.
    pub(super) fn bond_suffices(&self, deal: DealId, spec: &JobSpec) -> bool {
        let Some(deal) = self.state.deals.get(&deal) else { return false };
        let wanted = self.accusable_in(spec, deal.terms.court, deal.offer.known_court);
        wanted.is_none_or(|wanted| {
            self.accusable(deal).is_some_and(|kept| kept.fuel_limit >= wanted.fuel_limit)
        })
    }
}
