//! Providers that take no work now: what becomes of their deals, and when they are asked again. A
//! job that has work left and nobody to do it waits, until its deadline, for whoever comes or comes
//! back.

use rialto_protocol::{
    Address, DealId, OrderId,
    refusal::{Class, RefusalCode},
};

use super::{
    Core, JobError, JobEvent, JobId, Record,
    journal::{DropReason, Standing},
    matching::Why,
};

/// First pause before a provider is asked again; doubles every time, seconds.
const REST_SECONDS: u64 = 30;
/// Longest such pause.
const MAX_REST_SECONDS: u64 = 600;
/// A job that waits looks for providers after so many seconds, and whenever an offer is heard.
const SEEK_SECONDS: u64 = 5;
/// A deal that is refused so soon after it was opened is no different from the next one, seconds.
const FRESH_SECONDS: u64 = 120;

/// Until when a provider is left alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rest {
    until: u64,
    times: u32,
}

impl Rest {
    /// Whether it is time to ask again.
    pub(super) fn is_over(&self, now: u64) -> bool {
        now >= self.until
    }

    pub(super) fn again(&mut self, now: u64) {
        let pause = (REST_SECONDS << self.times.min(8)).min(MAX_REST_SECONDS);
        self.until = now.saturating_add(pause);
        self.times += 1;
    }
}

/// Whether a refusal of an order of so many tasks ends the deal's use.
pub(super) fn is_final(code: &RefusalCode, tasks: u32) -> bool {
    // The deal expires too soon for such an order; for a smaller one it may not.
    is_over(code) && (*code != RefusalCode::DealExpires || tasks <= 1)
}

/// Whether no waiting cures it: the provider takes no (such) orders in this deal.
fn is_over(code: &RefusalCode) -> bool {
    matches!(code.class(), Class::ThisDeal | Class::ForGood)
}

impl Core {
    /// A provider refused for good: its deal is settled at once, so that its budget is free for
    /// others.
    pub(super) fn refused_for_good(&mut self, id: DealId, code: &RefusalCode) {
        let deal = &self.state.deals[&id];
        let (job, provider) = (deal.job, deal.provider());
        let fresh = self.now < deal.terms.openedAt.saturating_add(FRESH_SECONDS);
        if *code == RefusalCode::Draining {
            // It comes back with a new offer, if at all.
            self.resting.entry(provider).or_default().again(self.now);
            self.book.forget(provider);
        } else if self.state.jobs.contains_key(&job)
            && (code.class() == Class::ForGood || *code == RefusalCode::DealExpires && fresh)
        {
            self.record(Record::Barred { job, provider, why: Why::Unreliable });
        }
    }

    /// Providers that are not to be asked now.
    pub(super) fn resting(&self) -> impl Iterator<Item = (Address, Why)> + '_ {
        let resting = self.resting.iter().filter(|(_, rest)| self.now < rest.until);
        let resting = resting.map(|(provider, _)| (*provider, Why::Draining));
        // Money that is locked with somebody who is not there helps nobody. At another endpoint it
        // may be there.
        let missed = self.state.deals.iter().filter(|(id, deal)| {
            let dropped = deal.standing == Standing::Dropped(DropReason::Unreachable);
            dropped
                && deal.closed.is_none()
                && self.lost(**id)
                && self.book.is_only_at(deal.provider(), deal.peer())
        });
        resting.chain(missed.map(|(_, deal)| (deal.provider(), Why::Unreachable)))
    }

    /// Whether a deal is of no more use: its provider wants no more of it, and everything in it is
    /// settled.
    pub(super) fn useless(&self, id: DealId) -> bool {
        let deal = &self.state.deals[&id];
        let refused =
            matches!(&deal.standing, Standing::Dropped(DropReason::Refused(code)) if is_over(code));
        refused && deal.done == deal.orders.len() as u64
    }

    /// A deal whose provider was too busy for too long gets orders again after a while, if there
    /// still is work for it.
    pub(super) fn wake(&mut self, id: JobId) {
        for deal in self.own_deals(id) {
            let known = &self.state.deals[&deal];
            let busy = matches!(&known.standing, Standing::Dropped(DropReason::Refused(code)) if !is_over(code));
            if !busy || known.closing.is_some() || known.closed.is_some() {
                continue;
            }
            let now = self.now;
            let drops = known.drops;
            let rest = self.napping.entry(deal).or_insert_with(|| {
                let mut rest = Rest { until: 0, times: drops.saturating_sub(1) };
                rest.again(now);
                rest
            });
            if now >= rest.until {
                self.napping.remove(&deal);
                self.come_back(deal);
            }
        }
    }

    /// A dropped deal gets orders again. What others did meanwhile it need not do.
    pub(super) fn come_back(&mut self, id: DealId) {
        let deal = &self.state.deals[&id];
        let (provider, job) = (deal.provider(), deal.job);
        if let Some(link) = self.links.get_mut(&id) {
            (link.refusals, link.heard) = (0, self.now);
        }
        self.record(Record::Revived { deal: id });
        self.tell(job, JobEvent::ProviderBack { provider, deal: id });
        let done = |order: &&OrderId| {
            let order = &self.state.orders[*order];
            let job = self.state.jobs.get(&order.job);
            job.is_none_or(|job| !job.runs() || job.batches[order.batch as usize].settled)
        };
        let done: Vec<_> = self.state.deals[&id].unfinished().filter(done).copied().collect();
        done.into_iter().for_each(|order| self.cancel_order(order));
        self.vouch(id, false);
    }

    /// The deadline passed with work left: why that is, as far as it is known.
    pub(super) fn out_of_time(&self, id: JobId) -> JobError {
        let job = &self.state.jobs[&id];
        let (verified, tasks) = (job.verified(), job.spec.tasks().into());
        match self.stranded_why.get(&id).filter(|_| self.stranded.contains_key(&id)) {
            Some(why) => JobError::Stranded { left: tasks - verified, why: why.clone() },
            None => JobError::Deadline { verified, tasks },
        }
    }

    /// Work is left and nobody to do it: told once, then waited for.
    pub(super) fn wait_for_providers(&mut self, id: JobId, why: String) {
        self.seek_at.insert(id, self.now.saturating_add(SEEK_SECONDS));
        if self.stranded_why.insert(id, why.clone()).is_some() {
            return;
        }
        let job = &self.state.jobs[&id];
        let left = u64::from(job.spec.tasks()) - job.verified();
        let seconds = job.spec.constraints.deadline.saturating_sub(self.now);
        let text = format!(
            "{left} tasks have nobody to run them; waiting {seconds} s at most for providers: {why}"
        );
        self.note(id, "R-JOB-024", text);
    }
}
