//! Deals outlive jobs: one that works is kept for a while when its job ends, and the next job that
//! it suits takes it over instead of opening another. At any time a deal serves one job, its
//! holder; orders say whose they are, so every job's bill is exact.

use rialto_protocol::{DealId, pricing::share};

use super::{
    Core, JobId, Record,
    book::Offer,
    journal::{OpenDeal, Phase},
    matching::{suits, working_seconds},
    verify::worst_fee,
};

/// A deal that has less time than this left for work is not taken over, seconds.
const MIN_WORK_SECONDS: u64 = 60;

impl Core {
    /// Deals that a job holds now; it may have had others that serve a later job by now.
    pub(super) fn own_deals(&self, id: JobId) -> Vec<DealId> {
        let deals = self.state.jobs[&id].deals.iter().copied();
        deals.filter(|deal| self.state.deals[deal].job == id).collect()
    }

    /// Whether a deal whose job is over stays open for a later one.
    pub(super) fn keeps(&self, id: DealId) -> bool {
        let deal = &self.state.deals[&id];
        let ended = match self.state.jobs.get(&deal.job).map(|job| &job.phase) {
            Some(Phase::Settling { at, .. } | Phase::Reported { at, .. }) => *at,
            Some(Phase::Running) | None => return false,
        };
        let idle = self.config.patience.idle;
        idle > 0
            && deal.works()
            && self.now < ended.saturating_add(idle)
            && self.work_ends(deal) > self.now
    }

    /// When a deal's time for work is over.
    fn work_ends(&self, deal: &OpenDeal) -> u64 {
        let length = deal.terms.expiry.saturating_sub(deal.terms.openedAt);
        deal.terms.openedAt.saturating_add(working_seconds(length))
    }

    /// A job takes over deals that nobody holds and that suit it. Returns how many it took.
    pub(super) fn take_over(&mut self, id: JobId) -> u32 {
        let job = &self.state.jobs[&id];
        let constraints = &job.spec.constraints;
        let need = self.need_of(&job.spec);
        let mut left = constraints.budget;
        let mut taken: Vec<DealId> = Vec::new();
        let mut owners = std::collections::BTreeSet::new();
        let mut idle: Vec<_> = self.state.deals.iter().filter(|(id, _)| self.keeps(**id)).collect();
        idle.sort_by_key(|(id, deal)| (deal.terms.price, **id));
        for (deal_id, deal) in idle {
            let Offer { ask, .. } = &deal.offer;
            let spare = deal.terms.budget.saturating_sub(deal.earned);
            let collateral =
                share(deal.terms.budget, constraints.min_collateral_bps).unwrap_or(u128::MAX);
            let suits = deal.done == deal.orders.len() as u64
                && deal.terms.price <= constraints.max_price
                && deal.terms.collateral >= collateral
                && suits(&ask.value, &need).is_ok()
                && ask.value.limits.credit >= worst_fee(&deal.terms, job.spec.fuel_limit, 1)
                && !need.excluded.contains_key(&deal.provider())
                && (need.any_court || deal.offer.known_court)
                && self.bond_suffices(*deal_id, &job.spec)
                && !job.barred.contains_key(&deal.provider())
                && self.work_ends(deal) >= self.now.saturating_add(MIN_WORK_SECONDS)
                && spare <= left
                && spare >= worst_fee(&deal.terms, job.spec.fuel_limit, 1);
            let fresh = !owners.contains(deal.provider().as_slice())
                && !owners.contains(ask.value.endpoint.as_slice());
            if suits && fresh && taken.len() < constraints.max_providers as usize {
                owners.extend([deal.provider().to_vec(), ask.value.endpoint.to_vec()]);
                left -= spare;
                taken.push(*deal_id);
            }
        }
        for deal in &taken {
            self.record(Record::TakenOver { job: id, deal: *deal });
        }
        taken.len() as u32
    }
}
