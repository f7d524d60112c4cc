//! Trouble on chain, from the buyer's side: when an order is called late, when a task is demanded,
//! and what has to be settled before a deal can end. From what is known follows which transactions
//! are wanted now; each is an intent that is persisted before it is sent, under a name that is
//! never used twice.
//!
//! What each can cost is bounded. A late notice or a demand that the provider answers costs its
//! bond: at most [`MAX_LATE_NOTICES`] bonds a deal for the one, and never more bonds than are at
//! stake in the deal ([`Core::stake`]) for the other. A wrong claim costs what it claims only where
//! no court is asked: never more than the order's worst fee, which was set aside when the order was
//! made.

use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{
    DealId, OrderId, ReceiptId,
    receipt::task_seed,
    types::{Receipt, struct_hash},
};

use super::{
    Call, Core,
    claims::Verdict,
    facts::Case,
    journal::{Action, DropReason, OpenDeal, OurOrder, Standing},
    session,
};

/// For clocks of other nodes: time-outs on chain are taken so much later, seconds.
pub(super) const CLOCK_SKEW_SECONDS: u64 = 2;
/// Most late notices of a deal. A provider that answers twice is slow, not gone: more would only
/// give bonds away.
const MAX_LATE_NOTICES: usize = 2;
/// Most tasks demanded of one order. One that cannot be shown decides; one that can says that the
/// provider has them.
const MAX_DEMANDS: usize = 4;
/// A late notice or demand that was refused so often is not tried again: the chain knows more than
/// we do.
const MAX_CASE_TRIES: u32 = 4;

impl Core {
    /// Sends what is wanted now for a deal that is open, or in which a bond of ours still lies.
    pub(super) fn tend_cases(&mut self, id: DealId) {
        self.look_into_claims(id);
        let in_court = self.wanted_in_games(id);
        for action in self.wanted_actions(id).into_iter().chain(in_court) {
            self.act(id, action);
        }
    }

    /// Whether a deal is not to be closed now: a late notice or an accusation is wanted or under
    /// way, or may be soon, and a closing voucher or a release would end the deal without it.
    pub(super) fn quarrels(&self, id: DealId) -> bool {
        let deal = &self.state.deals[&id];
        let late =
            || deal.chain.any_open(&[CaseKind::Late]) || self.late_order(id, deal, 0).is_some();
        deal.closed.is_none()
            && (late()
                || self.kept_to_its_word(deal)
                || self.disputes(deal)
                || self.finds_out(deal))
    }

    /// Whether a silent provider is kept to its word in a deal.
    pub(super) fn kept_to_its_word(&self, deal: &OpenDeal) -> bool {
        deal.unfinished().any(|order| self.is_promised(deal, &self.state.orders[order]))
    }

    /// Whether a provider that fell silent has still time for an order that it promised. It is not
    /// told to leave it, though others do the work by now, so that it pays the penalty if it never
    /// comes back; who comes back is let off ([`Core::come_back`]). Only where the penalty is worth
    /// the bond of calling it late.
    pub(super) fn is_promised(&self, deal: &OpenDeal, order: &OurOrder) -> bool {
        let silent = matches!(
            deal.standing,
            Standing::Dropped(DropReason::Silent | DropReason::Unreachable)
        );
        let Some(ack) = order.ack.as_ref().filter(|_| silent && order.awaited()) else {
            return false;
        };
        let due = ack.value.dueBy.max(order.order.dueBy);
        let closes = self.closes(deal);
        let claim = CaseId::Claim { order: ack.value.order };
        self.now < due
            && due.saturating_add(2 * CLOCK_SKEW_SECONDS) < closes
            && deal.closing.is_none()
            && deal.closed.is_none()
            && deal.terms.latePenalty >= self.config.case_bond.max(1)
            && late_notices(deal) < MAX_LATE_NOTICES
            && !deal.chain.cases.contains_key(&claim)
    }

    /// The work is over, and a silent provider still owes what it promised.
    pub(super) fn tell_promise(&mut self, id: DealId) {
        let deal = &self.state.deals[&id];
        let promised = deal
            .unfinished()
            .map(|order| &self.state.orders[order])
            .filter(|o| self.is_promised(deal, o));
        let Some(due) = promised.map(|order| order.order.dueBy).max() else { return };
        let text = format!(
            "{} fell silent and still owes what it promised: if it stays so, it is called late in {} s",
            deal.provider(),
            due.saturating_sub(self.now)
        );
        self.note(deal.job, "R-CASE-006", text);
    }

    /// Everything that is worth a transaction now.
    fn wanted_actions(&self, id: DealId) -> Vec<Action> {
        let deal = &self.state.deals[&id];
        let mut wanted: Vec<_> = deal
            .chain
            .open_cases()
            .filter(|(case, state)| self.worth_settling(deal, case, state))
            .map(|(case, _)| Action::Settle { case: *case })
            .collect();
        if deal.closed.is_some() {
            return wanted;
        }
        wanted.extend(
            self.late_order(id, deal, CLOCK_SKEW_SECONDS).map(|order| Action::Late { order }),
        );
        wanted.extend(self.demands(deal));
        if self.over(deal) && deal.chain.open_cases().next().is_none() {
            wanted.push(Action::Expire);
        } else if deal.release.is_some() && !self.quarrels(id) {
            wanted.push(Action::Close);
        }
        wanted
    }

    /// Whether anyone can end the deal by time.
    pub(super) fn over(&self, deal: &OpenDeal) -> bool {
        self.now >= self.closes(deal).saturating_add(CLOCK_SKEW_SECONDS)
    }

    /// Our bonds come back and unanswered cases judge the provider as soon as the chain allows;
    /// claims and holds are settled only when they stand in the way of the deal's end, and no claim
    /// that is still to be taken to court.
    fn worth_settling(&self, deal: &OpenDeal, case: &CaseId, state: &Case) -> bool {
        let over = deal.closed.is_some();
        let moot = case.kind() != CaseKind::Hold && (over || state.seq < deal.chain.orders);
        let due = self.now >= state.deadline.saturating_add(CLOCK_SKEW_SECONDS);
        let held = deal.chain.any_open(&[CaseKind::Demand, CaseKind::Hold]);
        match case.kind() {
            CaseKind::Demand => moot || due,
            CaseKind::Late => moot || due && !held && !deal.chain.any_open(&[CaseKind::Claim]),
            CaseKind::Claim => {
                let judged = || self.disputes(deal) || self.finds_out(deal);
                !over && self.over(deal) && (moot || due && !held && !judged())
            }
            CaseKind::Hold => !over && due && self.over(deal),
        }
    }

    /// An order to be called late: promised, due, still wanted, and not answered by anything. Only
    /// where the penalty is worth the bond, or the provider is out of reach and the rest of the
    /// budget comes free earlier than by expiry.
    fn late_order(&self, id: DealId, deal: &OpenDeal, skew: u64) -> Option<OrderId> {
        let closes = self.closes(deal);
        if deal.standing == Standing::Faulty
            || self.now.saturating_add(CLOCK_SKEW_SECONDS) >= closes
            || deal.closing.is_some()
            || deal.chain.any_open(&[CaseKind::Late])
        {
            return None;
        }
        let bond = self.config.case_bond;
        let unreachable = !self.links.get(&id).is_some_and(session::Link::up);
        let early = self.now.saturating_add(self.config.answer_seconds) < closes;
        let locked = deal.terms.budget.saturating_sub(deal.chain.paid);
        let worth = deal.terms.latePenalty >= bond.max(1) || unreachable && early && locked > bond;
        if !worth {
            return None;
        }
        let late =
            *deal.unfinished().find(|hash| self.is_late(deal, &self.state.orders[*hash], skew))?;
        let again = deal.actions.get(&Action::Late { order: late });
        match again {
            Some(tries) => (*tries < MAX_CASE_TRIES
                && !deal.chain.cases.contains_key(&CaseId::Late { order: late }))
            .then_some(late),
            None => (late_notices(deal) < MAX_LATE_NOTICES).then_some(late),
        }
    }

    /// Whether the provider promised the order's receipt for a time that has passed, and has shown
    /// none.
    fn is_late(&self, deal: &OpenDeal, order: &OurOrder, skew: u64) -> bool {
        let Some(ack) = order.ack.as_ref().filter(|_| order.awaited()) else { return false };
        let hash = ack.value.order;
        let due = ack.value.dueBy.max(order.order.dueBy).saturating_add(skew);
        let asserted = |case| deal.chain.cases.contains_key(&case);
        self.now >= due
            && order.order.seq >= deal.chain.orders
            && !asserted(CaseId::Claim { order: hash })
            && !asserted(CaseId::Late { order: hash })
            && !self.storing.contains_key(&hash)
    }

    /// Whether an order that was promised is late: it is not cancelled any more, because a provider
    /// must not be called late for what it was told to leave.
    pub(super) fn overdue(&self, order: &OurOrder) -> bool {
        let promised = order.ack.as_ref().map(|ack| ack.value.dueBy.max(order.order.dueBy));
        promised.is_some_and(|due| self.now >= due)
    }

    /// Tasks of claimed work to be demanded, one at a time for each claim, where this machine can't
    /// find out what is right, or there is no court to be told: who can't show what it claims is
    /// judged by that alone. What is claimed rightly and was not delivered is demanded as well:
    /// nobody is paid for results that it shows to nobody.
    fn demands(&self, deal: &OpenDeal) -> Vec<Action> {
        if self.now.saturating_add(CLOCK_SKEW_SECONDS) >= self.demands_until(deal)
            || self.goes_to_court(deal)
        {
            return Vec::new();
        }
        let wanted = deal.chain.open_cases().filter_map(|(case, state)| {
            let CaseId::Claim { order } = case else { return None };
            let order = self.state.orders.get(order)?;
            let receipt = state.receipt.as_ref()?;
            let delivered =
                order.receipt.as_ref().is_some_and(|delivered| delivered.value == *receipt);
            let helpless = !self.can_run_here(order) || !self.is_judged(deal);
            let wanted = match self.verdict(deal, order, state.seq, receipt) {
                Verdict::Unknown | Verdict::Wrong => helpless,
                // Right, and kept from us: in the first half of the claim's window it may still
                // come over the network.
                Verdict::Right => {
                    let half = state.deadline.saturating_sub(self.config.challenge_seconds / 2);
                    self.now >= half && self.now < state.deadline
                }
                Verdict::Void => false,
            };
            (wanted && !delivered).then(|| self.demand(deal, order, receipt))?
        });
        wanted.collect()
    }

    fn demand(&self, deal: &OpenDeal, order: &OurOrder, receipt: &Receipt) -> Option<Action> {
        let hash = struct_hash(&order.order);
        let subject = struct_hash(receipt);
        let made =
            deal.actions.keys().filter(|action| matches!(action, Action::Demand { .. })).count()
                as u128;
        for nth in 0..MAX_DEMANDS.min(order.order.tasks as usize) {
            let action = Action::Demand { order: hash, task: self.secret_task(order, nth as u32) };
            let Action::Demand { task, .. } = action else { return None };
            let case = deal.chain.cases.get(&CaseId::Demand { receipt: subject, task });
            match (case, deal.actions.get(&action)) {
                // Under way: one at a time.
                (Some(case), _) if case.open => return None,
                (Some(_), _) => {}
                (None, Some(tries)) if *tries >= MAX_CASE_TRIES => {}
                (None, Some(_)) => return Some(action),
                (None, None) => {
                    let bonds = self.config.case_bond.saturating_mul(made + 1);
                    return (bonds <= self.stake(deal)).then_some(action);
                }
            }
        }
        None
    }

    /// The `nth` task to be demanded of an order: known to nobody before.
    fn secret_task(&self, order: &OurOrder, nth: u32) -> u32 {
        let secret = self.state.jobs.get(&order.job).map_or(0, |job| job.spec.id.0);
        let start = task_seed(secret ^ order.order.seed, order.order.seq as u32)
            % u64::from(order.order.tasks.max(1));
        (start as u32 + nth) % order.order.tasks.max(1)
    }

    /// Persists the intent, if it is new, and sends it, if it is due.
    fn act(&mut self, id: DealId, action: Action) {
        if !self.state.deals[&id].actions.contains_key(&action) {
            self.record(super::Record::Acting { deal: id, action });
            self.tell_action(id, action);
        }
        let tries = self.state.deals[&id].actions[&action];
        let Some(call) = self.call_of(id, action) else { return };
        self.transact(intent(id, &action, tries), call);
    }

    fn tell_action(&mut self, id: DealId, action: Action) {
        let deal = &self.state.deals[&id];
        let (job, provider, bond) = (deal.job, deal.provider(), self.config.case_bond);
        match action {
            Action::Late { order } => {
                let text = format!(
                    "{provider} promised order {order} for a time that has passed: called late, bond {bond}"
                );
                self.note(job, "R-CASE-001", text);
            }
            Action::Demand { order, task } => {
                let text = format!(
                    "{provider} claims order {order}, which can't be checked here: task {task} demanded on chain, bond {bond}"
                );
                self.note(job, "R-CASE-002", text);
            }
            Action::Close
            | Action::Expire
            | Action::Settle { .. }
            | Action::Accuse { .. }
            | Action::Play { .. }
            | Action::Timeout { .. }
            | Action::Convict { .. } => {}
        }
    }

    /// The call of an action, from what is known. Nothing, if that is not enough (any more).
    fn call_of(&self, id: DealId, action: Action) -> Option<Call> {
        let known = &self.state.deals[&id];
        let deal = known.terms.clone();
        Some(match action {
            Action::Close => Call::Close { deal, release: known.release.clone()? },
            Action::Expire => Call::Expire { deal },
            Action::Settle { case } => Call::Settle { deal, case },
            Action::Accuse { .. }
            | Action::Play { .. }
            | Action::Timeout { .. }
            | Action::Convict { .. } => {
                return self.court_call(id, known, action);
            }
            Action::Late { order } => {
                let order = self.state.orders.get(&order)?;
                Call::Late { deal, order: order.order.clone(), ack: order.ack.clone()? }
            }
            Action::Demand { order: hash, task } => {
                let claim = known.chain.cases.get(&CaseId::Claim { order: hash })?;
                let order = self.state.orders.get(&hash)?.order.clone();
                Call::Demand { deal, order, receipt: claim.receipt.clone()?, task }
            }
        })
    }

    /// How a transaction about a deal ended, if it is one. What it did is told by the chain's
    /// events; one that was mined and reverted, or refused, needs a new name.
    pub(super) fn action_failed(&mut self, intent_name: &str, code: &str, reason: &str) {
        let found = self.state.deals.iter().find_map(|(id, deal)| {
            let named =
                |(action, tries): &(&Action, &u32)| intent(*id, action, **tries) == intent_name;
            deal.actions.iter().find(named).map(|(action, tries)| (*id, *action, *tries))
        });
        let Some((id, action, tries)) = found else { return };
        self.record(super::Record::ActionFailed { deal: id, action });
        self.tell_given_up(id, action);
        self.sent.remove(intent_name);
        // While money can be taken by waiting, none of it is spent on long pauses.
        let longest = MAX_RETRY_SECONDS
            .min(self.config.answer_seconds.min(self.config.challenge_seconds) / 8)
            .max(1);
        let pause = (self.config.patience.transaction << tries.min(9)).min(longest);
        self.sent.insert(intent(id, &action, tries + 1), Some(self.now.saturating_add(pause)));
        if tries == 0 {
            let job = self.state.deals[&id].job;
            self.note(
                job,
                code,
                format!("a transaction about a deal was refused ({}): {reason}", action.verb()),
            );
        }
    }

    /// What a demand brought to light is compared with what is known, or with what this machine
    /// finds.
    pub(super) fn revealed(&mut self, id: DealId, receipt: ReceiptId, task: u32) {
        let deal = &self.state.deals[&id];
        let claim = deal.chain.cases.iter().find_map(|(case, state)| match case {
            CaseId::Claim { order } if state.receipt.as_ref().map(struct_hash) == Some(receipt) => {
                Some(*order)
            }
            _ => None,
        });
        let Some(claimed) = claim else { return };
        let Some(shown) = deal.chain.cases.get(&CaseId::Demand { receipt, task }) else {
            return;
        };
        let (Some(halted), Some(order)) = (shown.revealed, self.state.orders.get(&claimed)) else {
            return;
        };
        let (job, batch, provider) = (order.job, order.batch, deal.provider());
        let text = match self.right(job, batch, task) {
            Some(right) if right == halted => "it is right".to_string(),
            Some(_) => "it is wrong".to_string(),
            None => "it was not checked".to_string(),
        };
        self.note(
            job,
            "R-CASE-004",
            format!("{provider} showed task {task} of order {claimed} on chain: {text}"),
        );
    }
}

/// Longest pause before a transaction that was refused is tried again, seconds.
const MAX_RETRY_SECONDS: u64 = 1800;

/// Late notices of a deal, sent or to be sent.
fn late_notices(deal: &OpenDeal) -> usize {
    deal.actions.keys().filter(|action| matches!(action, Action::Late { .. })).count()
}

/// The same transaction always has the same name; one that failed gets a new one.
pub(super) fn intent(deal: DealId, action: &Action, tries: u32) -> String {
    let verb = action.verb();
    let name = match action {
        Action::Close | Action::Expire => format!("{verb}-{deal}"),
        Action::Late { order } => format!("{verb}-{deal}-{order}"),
        Action::Demand { order, task } => format!("{verb}-{deal}-{order}-{task}"),
        Action::Settle { case } => {
            let kind = match case.kind() {
                CaseKind::Claim => "claim",
                CaseKind::Late => "late",
                CaseKind::Demand => "demand",
                CaseKind::Hold => "hold",
            };
            format!("{verb}-{deal}-{kind}-{}-{}", case.subject(), case.task())
        }
        Action::Accuse { order, receipt } | Action::Convict { order, receipt } => {
            format!("{verb}-{deal}-{order}-{receipt}")
        }
        Action::Play { game, turn } => format!("{verb}-{deal}-{game}-{turn}"),
        Action::Timeout { game } => format!("{verb}-{deal}-{game}"),
    };
    if tries == 0 { name } else { format!("{name}-{tries}") }
}
