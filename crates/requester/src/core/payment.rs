//! Paying: cumulative vouchers as results are accepted, a closing one at the end, and a way out of
//! every deal: the provider redeems; if not, it is asked for a release; if not, the deal expires.

use rialto_protocol::{DealId, OrderId, types::Release, types::Voucher, wire::Signed};

use super::{
    Core, Effect, JobEvent, JobId, Outgoing, Record, TxNote,
    facts::{Cursor, Fact, What},
    journal::{OpenDeal, Phase, Standing},
    session::Link,
};

/// So many blocks may pass without an event before the cursor is written anyway.
const CURSOR_BLOCKS: u64 = 256;

/// A report does not wait for the deal of a provider that was out of reach for so long.
const GONE_SECONDS: u64 = 10;

impl Core {
    /// Signs for what is accepted below the watermark: in the middle of a deal the orders up to the
    /// first that is not finished, in the end all. A voucher never pays for an order at or above
    /// its watermark: such an order could be claimed on chain once more. A provider that signed
    /// wrong results gets nothing beyond what it has.
    pub(super) fn vouch(&mut self, id: DealId, close: bool) {
        let deal = &self.state.deals[&id];
        if deal.closed.is_some() {
            return;
        }
        // While an order is called late, or a receipt is in court, the deal stays open.
        let close = (close && !self.quarrels(id)) || deal.closing.is_some();
        if close {
            self.let_off_all(id);
        }
        let deal = &self.state.deals[&id];
        let orders = if close { deal.orders.len() as u64 } else { deal.done };
        let before = deal.voucher.clone();
        let least = before.as_ref().map_or(0, |voucher| voucher.orders);
        let orders = orders.max(least);
        let paid = before.as_ref().map_or(0, |voucher| voucher.amount);
        let amount =
            if deal.standing == Standing::Faulty { paid } else { self.fees_below(deal, orders) };
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

    /// Accepted fees of the orders with `seq < orders`.
    pub(super) fn fees_below(&self, deal: &OpenDeal, orders: u64) -> u128 {
        let fee = |order: &OrderId| self.state.orders[order].accepted_fee();
        let of = |from: u64, to: u64| {
            deal.orders[from as usize..to as usize].iter().map(fee).sum::<u128>()
        };
        if orders < deal.done {
            deal.done_fees - of(orders, deal.done)
        } else {
            deal.done_fees + of(deal.done, orders)
        }
    }

    pub(super) fn released(&mut self, id: DealId, release: Signed<Release>) {
        let deal = &self.state.deals[&id];
        let fits = release.value.deal == id && release.value.amount <= deal.owed();
        if fits && deal.closing.is_some() && deal.release.is_none() {
            self.record(Record::Released { release });
        }
    }

    /// Sees every deal to its end.
    pub(super) fn tend_closing(&mut self) {
        let open = self.state.deals.iter().filter(|(_, deal)| !deal.over()).map(|(id, _)| *id);
        for id in open.collect::<Vec<_>>() {
            self.tend_cases(id);
            let deal = &self.state.deals[&id];
            if deal.closed.is_some() || self.over(deal) {
                continue;
            }
            let Some(closing) = deal.closing else {
                if !self.state.jobs[&deal.job].runs() && !self.keeps(id)
                    || deal.works() && self.spent(id)
                    || self.useless(id)
                {
                    self.vouch(id, true);
                }
                continue;
            };
            let patience = self.config.patience.redeem;
            let amount = deal.owed();
            if deal.release.is_some() {
                continue;
            }
            let Some(link) = self.links.get_mut(&id).filter(|link| link.up()) else { continue };
            let asked = link.release_asked.unwrap_or(closing);
            if self.now >= asked.saturating_add(patience) {
                link.release_asked = Some(self.now);
                self.send(id, Outgoing::AskRelease { amount });
            }
        }
    }

    /// Whether the deal's time for work is over and nothing is awaited.
    fn spent(&self, id: DealId) -> bool {
        !self.could_take(id, None) && self.awaited_orders(id) == 0
    }

    /// What the chain said, finally.
    pub(super) fn chain_said(&mut self, facts: Vec<Fact>, cursor: Option<Cursor>) {
        let mut news = Vec::new();
        for fact in facts {
            // A deal's opening comes before all else about it.
            match fact.what {
                What::Opened { tx } if !self.state.deals.contains_key(&fact.deal) => {
                    self.found_open(fact.deal, tx)
                }
                _ if self.state.deals.contains_key(&fact.deal) => news.push(fact),
                _ => {}
            }
        }
        let known = self.state.cursor.map_or(0, |cursor| cursor.block);
        let due = |block| !news.is_empty() || block >= known.saturating_add(CURSOR_BLOCKS);
        let cursor = cursor.filter(|cursor| cursor.block > known && due(cursor.block));
        self.learn(news, cursor);
    }

    /// Facts about deals of ours.
    pub(super) fn learn(&mut self, facts: Vec<Fact>, cursor: Option<Cursor>) {
        let mut known = std::collections::BTreeMap::new();
        let mut facts = facts;
        facts.retain(|fact| {
            let deal = &self.state.deals[&fact.deal];
            let (chain, closed) = known
                .entry(fact.deal)
                .or_insert_with(|| (deal.chain.clone(), deal.closed.is_some()));
            let news = chain.learn(&fact.what);
            let closes = matches!(fact.what, What::Closed { .. });
            if closes { !std::mem::replace(closed, true) } else { news }
        });
        if facts.is_empty() && cursor.is_none() {
            return;
        }
        self.record(Record::Heard { facts: facts.clone(), cursor });
        for Fact { deal, what } in facts {
            match what {
                What::Closed { paid, tx } => self.deal_closed(deal, paid, tx),
                What::Claimed { order, receipt, .. } => {
                    let (job, provider) =
                        (self.state.deals[&deal].job, self.state.deals[&deal].provider());
                    self.note(
                        job,
                        "R-CASE-005",
                        format!("{provider} claims {} on chain for order {order}", receipt.fee),
                    );
                    self.compare_claim(order, &receipt);
                }
                What::Revealed { receipt, task, .. } => self.revealed(deal, receipt, task),
                What::Game(news) => self.tell_game(deal, &news),
                _ => {}
            }
        }
    }

    fn deal_closed(&mut self, id: DealId, paid: u128, tx: TxNote) {
        let deal = &self.state.deals[&id];
        let (job, provider) = (deal.job, deal.provider());
        let event = JobEvent::DealClosed { provider, deal: id, paid, tx: tx.tx, gas: tx.gas };
        if self.links.remove(&id).is_some() {
            self.effects.push(Effect::Hangup { deal: id });
        }
        self.effects.push(Effect::Release { deal: id });
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
        // A provider that cannot be reached, or is kept to its word, does not redeem either: its
        // deal is seen to after the report.
        let awaited = |deal: &DealId| {
            let gone =
                |link: &Link| !link.up() && self.now >= link.heard.saturating_add(GONE_SECONDS);
            let known = &self.state.deals[deal];
            let served =
                known.job != id || self.keeps(*deal) && known.done == known.orders.len() as u64;
            known.closed.is_none()
                && !served
                && !self.links.get(deal).is_some_and(gone)
                && !self.kept_to_its_word(known)
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
                let over = job.deals.iter().all(|deal| self.state.deals[deal].over());
                over && self.now >= at.saturating_add(keep)
            }
            _ => false,
        });
        for job in old.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.record(Record::Forgotten { job });
        }
    }
}
