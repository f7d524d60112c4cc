//! The bank and the court: what the chain says comes in as facts, and from the facts follows which
//! transactions are wanted now.

use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{
    DealId, OrderId, ReceiptId,
    types::{Order, Receipt, Voucher, struct_hash},
    wire::Signed,
};

use super::{
    Call, Core, DealRow, Effect, Fact, LogId, OnChain, OrderState, Outcome, ProviderEvent, Record,
    Tx, TxState, Verdict, What, record::Action,
};

/// Reverts in a row of one transaction after which a person is told.
const MAX_QUIET_REVERTS: u32 = 4;
/// First pause before a transaction is tried again; doubles with every revert.
const RETRY_SECONDS: u64 = 5;
/// Longest such pause.
const MAX_RETRY_SECONDS: u64 = 1800;
/// Longest such pause of a transaction that has a deadline.
const MAX_URGENT_RETRY_SECONDS: u64 = 60;
/// A voucher whose redemption reverted so often is not waited for any more; it is still tried.
const MAX_REDEEM_REVERTS: u32 = 3;
/// After a restart, the chain is heard for so long before anything new is sent about a deal whose
/// latest events are being told again.
const RESTART_QUIET_SECONDS: u64 = 5;
/// Blocks go by without events before the cursor is written anyway.
const CURSOR_BLOCKS: u64 = 64;
/// For clocks of other nodes: time-outs on chain are taken so much later.
pub(super) const CLOCK_SKEW_SECONDS: u64 = 2;

impl Core {
    pub(super) fn chain_moved(&mut self, removed: Vec<LogId>, added: Vec<Fact>, head: u64) {
        self.heard = true;
        let news = !(removed.is_empty() && added.is_empty());
        for at in removed {
            self.take_back(at);
        }
        for fact in added {
            self.learn_fact(fact);
        }
        if news && head != self.market.cursor
            || head >= self.market.cursor.saturating_add(CURSOR_BLOCKS)
        {
            self.market.cursor = head;
            self.changed.market = true;
        }
    }

    fn take_back(&mut self, at: LogId) {
        let quiet_until = self.now.saturating_add(self.config.money.reorg_quiet_seconds);
        let touched: Vec<_> = self
            .deals
            .iter_mut()
            .filter_map(|(id, row)| row.facts.remove(|known| *known == at).then_some(*id))
            .collect();
        for id in touched {
            if let Some(row) = self.deal_mut(id) {
                row.reorgs += 1;
                row.quiet_until = quiet_until;
                if !row.chain().closed {
                    row.closed_at = None;
                }
            }
        }
    }

    /// Chain events from this block on will be told again.
    pub(super) fn forget_facts_from(&mut self, block: u64) {
        let quiet_until = self.now.saturating_add(RESTART_QUIET_SECONDS);
        for (id, row) in &mut self.deals {
            if row.facts.remove(|at| at.block >= block) {
                row.quiet_until = row.quiet_until.max(quiet_until);
                if !row.chain().closed {
                    row.closed_at = None;
                }
                self.changed.deals.insert(*id);
            }
        }
    }

    fn learn_fact(&mut self, fact: Fact) {
        let (id, now) = (fact.deal, self.now);
        if let What::Opened(deal) = &fact.what {
            let keyless = deal.requesterKey.is_zero() || deal.providerKey.is_zero();
            if deal.provider != self.config.provider || keyless || struct_hash(&**deal) != id {
                return;
            }
            let limits = self.limits_of(deal.ask, deal.court);
            self.deals.entry(id).or_insert_with(|| DealRow::new((**deal).clone(), limits));
        }
        let Some(row) = self.deals.get_mut(&id) else { return };
        let standing = |row: &DealRow| (row.chain().open, row.chain().closed, row.chain().paid);
        let (was_open, was_closed, was_paid) = standing(row);
        let what = fact.what.clone();
        if !row.facts.add(fact) {
            return;
        }
        self.changed.deals.insert(id);
        let ((open, closed, paid), earned) = (standing(row), row.earned);
        if closed && row.closed_at.is_none() {
            row.closed_at = Some(now);
        }
        if paid > row.redeemed {
            (row.redeemed, row.redeemed_at) = (paid, now);
        }
        let (requester, budget, price) = (row.deal.requester, row.deal.budget, row.deal.price);
        if open && !was_open {
            self.tell(ProviderEvent::DealOpened { deal: id, requester, budget, price });
            self.restart_auction();
            self.welcome_early(id);
        }
        if paid > was_paid {
            self.tell(ProviderEvent::Redeemed { deal: id, paid });
        }
        match what {
            What::CaseOpened { case, .. }
                if !matches!(case.kind(), CaseKind::Claim | CaseKind::Hold) =>
            {
                self.tell(ProviderEvent::CaseOpened { deal: id, case });
            }
            What::CaseEnded { case: CaseId::Demand { receipt, .. }, .. } => {
                self.revealed(id, receipt)
            }
            What::Game(news) => self.tell_game(id, &news),
            _ => {}
        }
        if closed && !was_closed {
            self.abandon_unfinished(id);
            self.release_if_over(id);
            let lost = earned.saturating_sub(paid);
            self.tell(ProviderEvent::DealClosed { deal: id, paid, lost });
        }
    }

    /// A receipt's task was revealed: the claim of its order stays open.
    fn revealed(&mut self, id: DealId, receipt: ReceiptId) {
        let Some(order) = self.order_of_receipt(id, receipt) else { return };
        if let Some(row) = self.orders.get_mut(&order) {
            row.revealed_at = self.now;
            self.changed.orders.insert(order);
        }
    }

    /// Lets go of what a closed deal kept on disk, unless a game goes on.
    pub(super) fn release_if_over(&mut self, id: DealId) {
        let Some(row) = self.deals.get(&id).filter(|row| row.chain().closed && !self.plays(row))
        else {
            return;
        };
        self.effects.push(Effect::Release { deal: id, peer: row.endpoint });
    }

    pub(super) fn forget_closed_deals(&mut self) {
        let (now, keep) = (self.now, self.config.money.keep_closed_seconds);
        let over = |row: &DealRow| {
            let closed = row.closed_at.is_some_and(|at| now >= at.saturating_add(keep));
            let never_was = row.facts.is_empty() && now >= row.deal.expiry.saturating_add(keep);
            (closed || never_was)
                && !self.plays(row)
                && row.txs.values().all(|tx| tx.state != TxState::Sent)
        };
        let old: Vec<_> =
            self.deals.iter().filter(|(_, row)| over(row)).map(|(id, _)| *id).collect();
        for id in old {
            for hash in self.orders_of(id).collect::<Vec<_>>() {
                self.forget_order(hash);
            }
            self.deals.remove(&id);
            self.served.remove(&id);
            self.taken.forget(id);
            self.changed.deals.remove(&id);
            self.changed.more.push(Record::ForgetDeal(id));
        }
    }

    /// Sends for the transactions that are wanted now and not under way.
    pub(super) fn transact(&mut self, id: DealId) {
        self.book(id);
        if self.deals.get(&id).is_some_and(|row| row.chain().open) {
            self.hurry(id);
        }
        let Some(row) = self.deals.get(&id) else { return };
        let wanted = self.wanted(id, row);
        if row.txs.keys().any(|action| !wanted.iter().any(|(w, _)| w == action))
            && let Some(row) = self.deals.get_mut(&id)
        {
            let before = row.txs.len();
            row.txs.retain(|action, tx| {
                tx.state == TxState::Sent || wanted.iter().any(|(w, _)| w == action)
            });
            if row.txs.len() != before {
                self.changed.deals.insert(id);
            }
        }
        for (action, call) in wanted {
            self.send_for(id, action, call);
        }
    }

    /// Whether nothing is to be sent about a deal, now or when the chain has been heard, and no
    /// game about it goes on: who stopped then would lose it.
    pub(super) fn at_rest(&self, id: DealId, row: &DealRow) -> bool {
        let mined =
            |action: &Action| row.txs.get(action).is_some_and(|tx| tx.state == TxState::Mined);
        let heard = row.chain().closed || self.now >= row.quiet_until;
        let sending = row.txs.values().any(|tx| tx.state == TxState::Sent);
        heard
            && !sending
            && !self.plays(row)
            && self.wanted(id, row).iter().all(|(action, _)| mined(action))
    }

    fn send_for(&mut self, id: DealId, action: Action, call: Call) {
        let now = self.now;
        let Some(row) = self.deals.get_mut(&id) else { return };
        let redeem = |action: &Action| matches!(action, Action::Redeem { .. });
        let under_way =
            row.txs.iter().any(|(other, tx)| redeem(other) && tx.state == TxState::Sent);
        if now < row.quiet_until || redeem(&action) && under_way {
            return;
        }
        let reverted = match row.txs.get(&action) {
            None => 0,
            Some(Tx { state: TxState::Retry(at), reverted, .. }) if now >= *at => *reverted,
            Some(_) => return,
        };
        let intent = intent(id, &action, row.reorgs, reverted);
        row.txs.insert(
            action,
            Tx { intent: intent.clone(), call: call.clone(), reverted, state: TxState::Sent },
        );
        self.changed.deals.insert(id);
        self.effects.push(Effect::Transact { intent, call });
    }

    /// After a restart: whatever was handed to the sender is asked for again, under the same
    /// intent.
    pub(super) fn resend_transactions(&mut self) {
        let sent = self
            .deals
            .values()
            .flat_map(|row| row.txs.values())
            .filter(|tx| tx.state == TxState::Sent);
        let again: Vec<_> = sent
            .map(|tx| Effect::Transact { intent: tx.intent.clone(), call: tx.call.clone() })
            .collect();
        self.effects.extend(again);
    }

    pub(super) fn transacted(&mut self, intent: &str, outcome: Outcome) {
        let (now, mut spent) = (self.now, None);
        for (id, row) in &mut self.deals {
            let sent =
                |(_, tx): &(&Action, &mut Tx)| tx.intent == intent && tx.state == TxState::Sent;
            let Some((action, tx)) = row.txs.iter_mut().find(sent) else { continue };
            let longest = if urgent(action) { MAX_URGENT_RETRY_SECONDS } else { MAX_RETRY_SECONDS };
            self.changed.deals.insert(*id);
            tx.state = match outcome {
                Outcome::Mined { fee_wei } => {
                    spent = Some(fee_wei);
                    TxState::Mined
                }
                Outcome::Unsent => TxState::Retry(now.saturating_add(RETRY_SECONDS)),
                Outcome::Reverted => {
                    tx.reverted += 1;
                    if tx.reverted == MAX_QUIET_REVERTS {
                        let told = ProviderEvent::TransactionFails {
                            deal: *id,
                            intent: intent.to_string(),
                        };
                        self.effects.push(Effect::Tell(told));
                    }
                    let pause = RETRY_SECONDS << tx.reverted.min(10);
                    TxState::Retry(now.saturating_add(pause.min(longest)))
                }
            };
            break;
        }
        if let Some(fee_wei) = spent {
            self.note(|sums| {
                sums.gas_wei = sums.gas_wei.saturating_add(fee_wei);
                sums.txs += 1;
            });
        }
    }

    /// Everything that is worth a transaction now. Each thing that is due is due: none waits for
    /// another that may not succeed.
    fn wanted(&self, id: DealId, row: &DealRow) -> Vec<(Action, Call)> {
        let chain = row.chain();
        let mut wanted = self.wanted_in_games(row, chain);
        if !chain.open {
            return wanted;
        }
        let deal = || Box::new(row.deal.clone());
        wanted.extend(self.wanted_in_cases(id, row, chain));
        let claims = self.claimable(id, row, chain);
        if let Some(voucher) = row
            .voucher
            .clone()
            .filter(|voucher| self.redeemable(row, &voucher.value, !claims.is_empty()))
        {
            wanted.push((redeem(&voucher.value), Call::Redeem { deal: deal(), voucher }));
        }
        for (hash, order, receipt) in claims {
            let call = Call::Claim { deal: deal(), order: Box::new(order), receipt };
            wanted.push((Action::Claim { order: hash }, call));
        }
        if self.over(row) && chain.cases.is_empty() && self.voucher_is_home(row) {
            wanted.push((Action::Expire, Call::Expire { deal: deal() }));
        }
        wanted
    }

    /// Whether a voucher is to become money now: when it ends the deal, when anything is opened
    /// against the deal, when it is worth much more than its gas, at intervals, and before the deal
    /// ends.
    fn redeemable(&self, row: &DealRow, voucher: &Voucher, claims: bool) -> bool {
        let (chain, money, cost) = (row.chain(), &self.config.money, self.worth.redeem);
        if voucher.close {
            return true;
        }
        let quarrels = |kind| matches!(kind, CaseKind::Late | CaseKind::Demand);
        // What is below the watermark on chain can't be called late or demanded.
        let voids = |seq: u64| seq >= chain.orders && seq < voucher.orders;
        if chain.cases.iter().any(|(case, state)| quarrels(case.kind()) && voids(state.seq)) {
            return true;
        }
        let unredeemed = voucher.amount.saturating_sub(chain.paid);
        if unredeemed <= cost {
            return false;
        }
        let pressed = chain.cases.keys().any(|case| case.kind() != CaseKind::Claim)
            || chain.open_games().next().is_some();
        let since = row.deal.openedAt.max(row.redeemed_at);
        let rested = self.now >= since.saturating_add(money.redeem_pause_seconds);
        let large = unredeemed >= cost.saturating_mul(money.redeem_times.into());
        pressed
            || claims
            || rested && large
            || self.now >= since.saturating_add(money.redeem_every_seconds)
            || unredeemed >= money.redeem_at
            || self.ending(row)
            || self.draining
    }

    /// Whether nothing of the best voucher is lost if the deal ends or a claim is paid first; or it
    /// can't be helped.
    pub(super) fn voucher_is_home(&self, row: &DealRow) -> bool {
        let Some(voucher) = &row.voucher else { return true };
        let unredeemed = voucher.value.amount.saturating_sub(row.chain().paid);
        !voucher.value.close && unredeemed <= self.worth.redeem || redeem_fails(row)
    }

    /// Whether the deal is so near its end that vouchers must become money.
    fn ending(&self, row: &DealRow) -> bool {
        let length = row.deal.expiry.saturating_sub(row.deal.openedAt);
        let margin = self.config.money.redeem_margin_seconds.min(length / 4);
        self.now.saturating_add(margin) >= row.deal.expiry
    }

    /// Whether anyone can end the deal by time.
    pub(super) fn over(&self, row: &DealRow) -> bool {
        self.now
            >= row
                .deal
                .expiry
                .saturating_add(self.config.grace_seconds)
                .saturating_add(CLOCK_SKEW_SECONDS)
    }

    /// Orders whose fee is to be claimed: delivered, unpaid for long enough, worth it. What a
    /// voucher's amount pays beyond its watermark is not claimed a second time.
    fn claimable(
        &self,
        id: DealId,
        row: &DealRow,
        chain: &OnChain,
    ) -> Vec<(OrderId, Signed<Order>, Receipt)> {
        let money = &self.config.money;
        let closes = row.deal.expiry.saturating_add(self.config.grace_seconds);
        let too_late = self.now.saturating_add(CLOCK_SKEW_SECONDS) >= closes;
        // A rejection that is not looked into yet can't hold a claim up to the end: what was signed
        // can be accused anyway.
        let unclear = row.verdict == Verdict::Pending && self.now < row.deal.expiry;
        if too_late || unclear || row.verdict == Verdict::Differs {
            return Vec::new();
        }
        let (vouched, settled) =
            if redeem_fails(row) { (0, 0) } else { (row.voucher_amount(), row.watermark()) };
        let fee_of = |hash: &OrderId| {
            self.orders.get(hash).and_then(|o| o.state.receipt()).map_or(0, |r| r.fee)
        };
        let claimed =
            |case: &CaseId| if let CaseId::Claim { order } = case { fee_of(order) } else { 0 };
        let claimed: u128 = chain.cases.keys().map(claimed).sum();
        let mut left = row.earned.saturating_sub(vouched.max(chain.paid)).saturating_sub(claimed);
        let mut claims = Vec::new();
        for (_, hash) in self.by_deal.range((id, settled.max(chain.orders))..=(id, u64::MAX)) {
            let Some(order) = self.orders.get(hash) else { continue };
            let OrderState::Done { receipt, at, .. } = &order.state else { continue };
            let due = row.verdict == Verdict::Reproduced
                || self.now >= at.saturating_add(money.claim_after_seconds)
                || self.now >= row.deal.expiry;
            if due
                && receipt.fee > self.worth.claim
                && receipt.fee <= left
                && !chain.claimed.contains(hash)
            {
                left -= receipt.fee;
                claims.push((*hash, order.order.clone(), receipt.clone()));
            }
        }
        claims
    }
}

/// Whether redeeming the best voucher was tried in vain.
fn redeem_fails(row: &DealRow) -> bool {
    let Some(Signed { value: voucher, .. }) = &row.voucher else { return false };
    let useful = voucher.close || voucher.amount > row.chain().paid;
    useful && row.txs.get(&redeem(voucher)).is_some_and(|tx| tx.reverted >= MAX_REDEEM_REVERTS)
}

/// Whether an action is of no use after a deadline that the other side has set.
fn urgent(action: &Action) -> bool {
    match action {
        Action::Answer { .. }
        | Action::Excuse { .. }
        | Action::Reveal { .. }
        | Action::Play { .. } => true,
        Action::Redeem { .. }
        | Action::Claim { .. }
        | Action::Settle { .. }
        | Action::Timeout { .. }
        | Action::Expire => false,
    }
}

fn redeem(voucher: &Voucher) -> Action {
    Action::Redeem { amount: voucher.amount, orders: voucher.orders, close: voucher.close }
}

/// The same transaction always has the same name; one that reverted, or that a reorg took back,
/// gets a new one.
fn intent(deal: DealId, action: &Action, reorgs: u32, reverted: u32) -> String {
    let name = match action {
        Action::Redeem { amount, orders, close: false } => {
            format!("redeem-{deal}-{amount}-{orders}")
        }
        Action::Redeem { amount, orders, close: true } => {
            format!("redeem-{deal}-{amount}-{orders}-close")
        }
        Action::Claim { order } => format!("claim-{deal}-{order}"),
        Action::Answer { case } => format!("answer-{deal}-{}", case_name(case)),
        Action::Excuse { case } => format!("excuse-{deal}-{}", case_name(case)),
        Action::Reveal { case } => format!("reveal-{deal}-{}", case_name(case)),
        Action::Settle { case } => format!("settle-{deal}-{}", case_name(case)),
        Action::Play { game, turn } => format!("play-{deal}-{game}-{turn}"),
        Action::Timeout { game } => format!("timeout-{deal}-{game}"),
        Action::Expire => format!("expire-{deal}"),
    };
    match (reorgs, reverted) {
        (0, 0) => name,
        _ => format!("{name}-{reorgs}.{reverted}"),
    }
}

fn case_name(case: &CaseId) -> String {
    let kind = match case.kind() {
        CaseKind::Claim => "claim",
        CaseKind::Late => "late",
        CaseKind::Demand => "demand",
        CaseKind::Hold => "hold",
    };
    format!("{kind}-{}-{}", case.subject(), case.task())
}
