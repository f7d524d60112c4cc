//! Paying: cumulative vouchers as results are accepted, a closing one at the end, and a way out of every
//! deal: the provider redeems; if not, it is asked for a release; if not, the deal expires.

use rialto_protocol::{B256, types::Release, types::Voucher, wire::Signed};

use super::{
    Call, Core, Effect, JobEvent, JobId, Outgoing, Record, Transacted, TxNote,
    journal::{OpenDeal, OrderStatus, Phase, Standing},
    session::Link,
};

/// A report does not wait for the deal of a provider that was out of reach for so long.
const GONE_SECONDS: u64 = 10;

/// A refused closing transaction is tried again after so long: a case may have been in the way.
const CLOSE_RETRY_SECONDS: u64 = 60;

fn close_intent(deal: B256) -> String {
    format!("close-{deal}")
}

fn expire_intent(deal: B256) -> String {
    format!("expire-{deal}")
}

impl Core {
    /// Signs for what is accepted below the watermark: in the middle of a deal the orders up to the first that is not
    /// finished, in the end all. A voucher never pays for an order at or above its watermark: such an order could be
    /// claimed on chain once more. A provider that signed wrong results gets nothing beyond what it has.
    pub(super) fn vouch(&mut self, id: B256, close: bool) {
        let deal = &self.state.deals[&id];
        if deal.closed.is_some() {
            return;
        }
        let close = close || deal.closing.is_some();
        let orders = if close { deal.orders.len() as u64 } else { self.watermark(deal) };
        let before = deal.voucher.clone();
        let least = before.as_ref().map_or(0, |voucher| voucher.orders);
        let orders = orders.max(least);
        let paid = before.as_ref().map_or(0, |voucher| voucher.amount);
        let amount = if deal.standing == Standing::Faulty { paid } else { self.fees_below(deal, orders) };
        let voucher = Voucher { deal: id, amount, orders, close };
        assert!(voucher.amount <= deal.terms.budget, "accepting checks the budget");
        assert!(voucher.amount >= paid, "what is earned never shrinks");
        let news = voucher.amount > paid || (close && !before.is_some_and(|before| before.close));
        if !news {
            return;
        }
        let (provider, job, amount) = (deal.provider(), deal.job, voucher.amount);
        self.record(Record::Vouched { at: self.now, voucher: voucher.clone() });
        self.send(id, Outgoing::Voucher(voucher));
        self.tell(job, JobEvent::Paid { provider, deal: id, amount, closing: close });
    }

    /// Orders from the first on that are finished.
    fn watermark(&self, deal: &OpenDeal) -> u64 {
        deal.orders.iter().take_while(|order| self.state.orders[*order].finished()).count() as u64
    }

    /// Accepted fees of the orders with `seq < orders`.
    fn fees_below(&self, deal: &OpenDeal, orders: u64) -> u128 {
        let below = deal.orders.iter().map(|order| &self.state.orders[order]).filter(|order| order.order.seq < orders);
        let accepted = below.filter(|order| order.status == OrderStatus::Accepted);
        accepted.filter_map(|order| order.receipt.as_ref()).map(|receipt| receipt.value.fee).sum()
    }

    pub(super) fn released(&mut self, id: B256, release: Signed<Release>) {
        let deal = &self.state.deals[&id];
        let fits = release.value.deal == id && release.value.amount <= deal.owed();
        if fits && deal.closing.is_some() && deal.release.is_none() {
            self.record(Record::Released { release });
        }
    }

    /// Sees every deal to its end.
    pub(super) fn tend_closing(&mut self) {
        let open = self.state.deals.iter().filter(|(_, deal)| deal.closed.is_none()).map(|(id, _)| *id);
        for id in open.collect::<Vec<_>>() {
            let deal = &self.state.deals[&id];
            if self.now >= deal.terms.expiry.saturating_add(self.config.grace_seconds) {
                let call = Call::Expire { deal: deal.terms.clone() };
                self.transact(expire_intent(id), call);
                continue;
            }
            let Some(closing) = deal.closing else {
                if deal.works() && self.spent(id) {
                    self.vouch(id, true);
                }
                continue;
            };
            if let Some(release) = deal.release.clone() {
                let call = Call::Close { deal: deal.terms.clone(), release };
                self.transact(close_intent(id), call);
                continue;
            }
            let patience = self.config.patience.redeem;
            let amount = deal.owed();
            let Some(link) = self.links.get_mut(&id).filter(|link| link.up()) else { continue };
            let asked = link.release_asked.unwrap_or(closing);
            if self.now >= asked.saturating_add(patience) {
                link.release_asked = Some(self.now);
                self.send(id, Outgoing::AskRelease { amount });
            }
        }
    }

    /// Whether the deal's time for work is over and nothing is awaited.
    fn spent(&self, id: B256) -> bool {
        !self.could_take(id, None) && self.awaited_orders(id) == 0
    }

    /// Outcome of a transaction that is not an opening.
    pub(super) fn closing_transacted(&mut self, intent: &str, outcome: Transacted) {
        let Transacted::Reverted { code, reason } = outcome else { return };
        // Closed or not is told by the chain's events; here only: try again, in a while.
        if let Some(sent) = self.sent.get_mut(intent) {
            *sent = Some(self.now.saturating_add(CLOSE_RETRY_SECONDS));
        }
        let deal = self
            .state
            .deals
            .iter()
            .find(|(id, _)| [close_intent(**id), expire_intent(**id)].iter().any(|i| i == intent));
        if let Some(job) = deal.map(|(_, deal)| deal.job) {
            self.note(job, &code, format!("a deal could not be closed: {reason}"));
        }
    }

    pub(super) fn deal_closed(&mut self, id: B256, paid: u128, tx: TxNote) {
        let Some(deal) = self.state.deals.get(&id).filter(|deal| deal.closed.is_none()) else { return };
        let (job, provider) = (deal.job, deal.provider());
        let event = JobEvent::DealClosed { provider, deal: id, paid, tx: tx.tx, gas: tx.gas };
        self.record(Record::Closed { deal: id, paid, tx });
        if self.links.remove(&id).is_some() {
            self.effects.push(Effect::Hangup { deal: id });
        }
        self.effects.push(Effect::Release { deal: id });
        self.checks.retain(|_, check| !check.of(id));
        for order in &self.state.deals[&id].orders {
            self.storing.remove(order);
            self.progress.remove(order);
        }
        self.tell(job, event);
        self.weigh_orders_of(id);
    }

    /// Reports a job once its deals are closed, or patience for that is over.
    pub(super) fn tend_settling(&mut self, id: JobId) {
        let job = &self.state.jobs[&id];
        let Phase::Settling { at, .. } = job.phase else { return };
        let opening = job.openings.iter().position(|opening| opening.pending);
        // A provider that cannot be reached does not redeem either: its deal is seen to after the report.
        let awaited = |deal: &B256| {
            let gone = |link: &Link| !link.up() && self.now >= link.heard.saturating_add(GONE_SECONDS);
            self.state.deals[deal].closed.is_none() && !self.links.get(deal).is_some_and(gone)
        };
        let closed = opening.is_none() && !job.deals.iter().any(awaited);
        if closed || self.now >= at.saturating_add(self.config.patience.settle) {
            self.tell_progress();
            self.record(Record::Reported { job: id });
            let summary = self.summary(id);
            self.told.remove(&id);
            self.effects.push(Effect::Finished(Box::new(summary)));
        } else if opening.is_some() {
            // Deals that a transaction under way opens have to be closed again.
            self.seek(id);
        }
    }

    /// Drops what is known of jobs whose deals are long over.
    pub(super) fn forget_old_jobs(&mut self) {
        let keep = self.config.patience.keep;
        let old = self.state.jobs.iter().filter(|(_, job)| match job.phase {
            Phase::Reported { at, .. } => {
                let over = job.deals.iter().all(|deal| self.state.deals[deal].closed.is_some());
                over && self.now >= at.saturating_add(keep)
            }
            _ => false,
        });
        for job in old.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.record(Record::Forgotten { job });
        }
    }
}
