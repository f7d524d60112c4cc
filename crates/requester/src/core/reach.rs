//! Where providers are, whether they are there, and when they are tried again.

use rialto_protocol::{
    Address, DealId,
    wire::{MAX_PEER_ADDRS, PeerAddr},
};

use super::{Core, journal::Job, session::LinkState};

/// Longest wait between two attempts to connect, seconds.
const MAX_BACKOFF_SECONDS: u64 = 30;
/// The same while a job waits for the deal: a provider that is back is found within seconds.
const MAX_WORKING_BACKOFF_SECONDS: u64 = 4;
/// Attempts to connect in a row after which its job hears of it.
const TOLD_FAILURES: u32 = 2;

impl Core {
    /// Where a deal's provider may be: where it was last heard of, and where it was when the deal
    /// was opened. Hearsay alone would not do: whoever passes an ask on could send us elsewhere. Of
    /// two relays they take turns.
    pub(crate) fn whereabouts(&self, id: DealId) -> PeerAddr {
        let deal = &self.state.deals[&id];
        let known = deal.peer();
        let Some(mut addr) = self.book.peer(deal.provider(), known.endpoint).cloned() else {
            return known.clone();
        };
        let heard = std::mem::take(&mut addr.direct);
        let (first, rest) = heard.split_at(heard.len().min(MAX_PEER_ADDRS / 2));
        for at in [first, &known.direct, rest].concat() {
            if addr.direct.len() < MAX_PEER_ADDRS && !addr.direct.contains(&at) {
                addr.direct.push(at);
            }
        }
        let in_vain = self.links.get(&id).map_or(0, |link| link.failures);
        if known.relay.is_some() && (addr.relay.is_none() || in_vain % 2 == 1) {
            addr.relay.clone_from(&known.relay);
        }
        addr
    }

    /// Whether a deal's provider is not there, as far as is known.
    pub(super) fn lost(&self, id: DealId) -> bool {
        self.links.get(&id).is_some_and(|link| link.failures > 0 && !link.up())
    }

    /// A provider was heard of: where there is no session with it, there may be one now.
    pub(super) fn look_again(&mut self, provider: Address) {
        for (id, link) in &mut self.links {
            if let LinkState::Down { retry_at } = &mut link.state
                && self.state.deals.get(id).is_some_and(|deal| deal.provider() == provider)
            {
                *retry_at = (*retry_at).min(self.now.saturating_add(1));
            }
        }
    }

    /// Once per outage, and not before a provider that is just starting had its chance.
    pub(super) fn tell_lost(&mut self, id: DealId, why: String) {
        let (Some(link), Some(deal)) = (self.links.get(&id), self.state.deals.get(&id)) else {
            return;
        };
        let missed = link.up()
            || (!matches!(link.state, LinkState::Down { .. })
                && link.failures + 1 >= TOLD_FAILURES);
        if deal.works() && missed && !link.told && self.waits_for(id) {
            let (job, provider) = (deal.job, deal.provider());
            self.links.entry(id).and_modify(|link| link.told = true);
            self.note(
                job,
                "R-DEAL-005",
                format!("the connection to {provider} is lost, it is dialled again: {why}"),
            );
        }
    }

    /// Seconds until the next attempt to connect.
    pub(super) fn backoff(&self, id: DealId) -> u64 {
        let failures = self.links.get(&id).map_or(0, |link| link.failures);
        let longest =
            if self.waits_for(id) { MAX_WORKING_BACKOFF_SECONDS } else { MAX_BACKOFF_SECONDS };
        (1u64 << failures.min(6)).min(longest)
    }

    /// Whether a job runs that the deal is for.
    fn waits_for(&self, id: DealId) -> bool {
        self.state
            .deals
            .get(&id)
            .is_some_and(|deal| self.state.jobs.get(&deal.job).is_some_and(Job::runs))
    }
}
