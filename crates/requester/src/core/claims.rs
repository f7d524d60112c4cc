//! Whether what a provider asserts on chain is right, and what is at stake in its deal.
//!
//! A receipt on chain is right if it is the one that was delivered and found right, or if this
//! machine, or a provider that was found right, got the same for the whole order. Anything else is
//! wrong, whether or not anything was delivered, and whether or not a voucher covers the order:
//! until that voucher is redeemed, the claim is what the chain pays. So a claim is looked into at
//! once: where this machine may run tasks, it runs the whole order, and what it finds is the ground
//! of an accusation, which needs no more than what stands on chain. Where it may not, tasks are
//! demanded, and what comes to light is compared.

use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{
    Address, Bytes, DealId, OrderId, ReceiptId,
    bounds::{Lack, order_cost, requester_loss},
    court::COMPENSATION_BPS,
    pricing::{order_fee, share},
    receipt::SumNode,
    types::{Receipt, struct_hash},
    wire::Signed,
};
use serde::{Deserialize, Serialize};

use super::{
    Core, JobEvent, Record,
    cases::CLOCK_SKEW_SECONDS,
    facts::Case,
    journal::{Batch, Denied, Misstated, OpenDeal, OrderStatus, OurOrder, Standing},
    verify,
};

/// What is to be thought of a receipt that stands on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A voucher that pays for the order was redeemed: nothing can be claimed any more.
    Void,
    /// It is what was delivered and found right, or what others or this machine got.
    Right,
    /// It is not.
    Wrong,
    /// Nobody knows what is right, yet.
    Unknown,
}

/// A receipt that a provider asserts on chain: in a claim, or as the answer to a late notice.
struct Asserted<'a> {
    order: OrderId,
    case: &'a Case,
    receipt: &'a Receipt,
    /// Whether it is being claimed.
    claimed: bool,
}

/// The most that can be lost in a deal, base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// The deal.
    pub deal: DealId,
    /// Who sells.
    pub provider: Address,
    /// Who judges; zero for nobody.
    pub court: Address,
    /// Most that the provider can be paid.
    pub budget: u128,
    /// What is locked in it, and was not paid.
    pub locked: u128,
    /// What was signed for by vouchers.
    pub signed: u128,
    /// What open claims ask beyond that. Unless they are right, it is paid only if nobody is here
    /// to say so.
    pub claimed: u128,
    /// The most that every order can cost that can still be claimed.
    pub claimable: u128,
    /// The highest fuel limit of those orders: the bond of an accusation follows from it.
    pub fuel_limit: u64,
    /// Whether an accusation of this requester is before the court: its bond lies there.
    pub in_court: bool,
    /// What keeps this requester from taking a wrong claim to court, if anything does. The core
    /// does not know whether its account holds the bond; [`Exposure::lacks_bond`].
    pub lack: Option<Lack>,
    /// The most that this deal can cost in all, whatever its provider does, as long as this
    /// requester sees the chain within the market's windows ([`requester_loss`]).
    pub most: u128,
}

impl Exposure {
    /// The same where the account does not hold the bond.
    pub fn lacks_bond(self) -> Self {
        let lack = self.lack.or((self.claimable > 0).then_some(Lack::Bond));
        Self { lack, most: requester_loss(self.budget, self.signed, self.claimable, lack), ..self }
    }
}

/// Every receipt of a deal that stands on chain, once.
fn asserted(deal: &OpenDeal) -> impl Iterator<Item = Asserted<'_>> {
    let claim = |order: &OrderId| deal.chain.cases.contains_key(&CaseId::Claim { order: *order });
    deal.chain.cases.iter().filter_map(move |(id, case)| {
        let (order, claimed) = match *id {
            CaseId::Claim { order } => (order, case.open),
            CaseId::Late { order } if !claim(&order) => (order, false),
            CaseId::Late { .. } | CaseId::Demand { .. } | CaseId::Hold { .. } => return None,
        };
        Some(Asserted { order, case, receipt: case.receipt.as_ref()?, claimed })
    })
}

impl Core {
    /// Whether a receipt that stands on chain is right, as far as is known.
    pub(super) fn verdict(
        &self,
        deal: &OpenDeal,
        order: &OurOrder,
        seq: u64,
        receipt: &Receipt,
    ) -> Verdict {
        if seq < deal.chain.orders {
            return Verdict::Void;
        }
        if order.receipt.as_ref().is_some_and(|delivered| delivered.value == *receipt) {
            match order.status {
                OrderStatus::Accepted => return Verdict::Right,
                OrderStatus::Wrong => return Verdict::Wrong,
                _ => {}
            }
        }
        let said = SumNode { hash: receipt.root, fuel: receipt.fuel };
        let Some(batch) = self.batch_of(order) else { return Verdict::Unknown };
        match batch.root {
            Some(own) if own == said => Verdict::Right,
            Some(_) => Verdict::Wrong,
            // What others were paid for may be their lie; it has to do where nothing better is to
            // be had.
            None if !self.can_run_here(order) && self.accepted_alike(batch, said) => Verdict::Right,
            None => Verdict::Unknown,
        }
    }

    fn accepted_alike(&self, batch: &Batch, said: SumNode) -> bool {
        let others = batch.orders.iter().filter_map(|order| self.state.orders.get(order));
        let accepted = others
            .filter(|order| order.status == OrderStatus::Accepted)
            .filter_map(|o| o.receipt.as_ref());
        accepted
            .into_iter()
            .any(|receipt| SumNode { hash: receipt.value.root, fuel: receipt.value.fuel } == said)
    }

    pub(super) fn batch_of(&self, order: &OurOrder) -> Option<&Batch> {
        self.state.jobs.get(&order.job)?.batches.get(order.batch as usize)
    }

    /// Whether this machine may run an order's tasks.
    pub(super) fn may_run_here(&self, order: &OurOrder) -> bool {
        self.state.jobs.get(&order.job).is_some_and(|job| job.spec.constraints.run_locally)
    }

    /// Whether this machine may, and could so far.
    pub(super) fn can_run_here(&self, order: &OurOrder) -> bool {
        self.may_run_here(order) && self.batch_of(order).is_some_and(|batch| !batch.unjudgeable)
    }

    /// Looks at every receipt that stands on chain: what is wrong is denied, and accused; what is
    /// not known is found out.
    pub(super) fn look_into_claims(&mut self, id: DealId) {
        let Some(deal) = self.state.deals.get(&id).filter(|deal| deal.closed.is_none()) else {
            return;
        };
        let mut said = Vec::new();
        for asserted in asserted(deal) {
            let Some(order) = self.state.orders.get(&asserted.order) else { continue };
            let verdict = self.verdict(deal, order, asserted.case.seq, asserted.receipt);
            if matches!(verdict, Verdict::Wrong | Verdict::Unknown) {
                said.push((
                    verdict,
                    asserted.case.deadline,
                    asserted.order,
                    asserted.claimed,
                    asserted.receipt.clone(),
                ));
            }
        }
        // What can be settled first is run first; of those the one that asks the most.
        said.sort_by_key(|(_, deadline, _, claimed, receipt)| {
            (!claimed, *deadline, u128::MAX - receipt.fee)
        });
        for (verdict, deadline, order, claimed, receipt) in said {
            if verdict == Verdict::Unknown {
                self.find_out(id, order);
                self.look_at_reveals(id, order, &receipt);
                continue;
            }
            self.deny(id, order, &receipt);
            if claimed {
                self.tell_unjudged(id, order, receipt.fee, deadline);
            }
        }
    }

    /// Finds out what an order's receipt has to be. What could not be run is tried again while it
    /// matters.
    fn find_out(&mut self, id: DealId, order: OrderId) {
        // One conviction ends the deal, and with it everything that is claimed in it.
        if self
            .state
            .deals
            .get(&id)
            .is_some_and(|deal| self.is_judged(deal) && !self.in_court(deal))
        {
            self.run_all(order);
        }
    }

    /// Runs a whole order on this machine, if it may.
    pub(super) fn run_all(&mut self, order: OrderId) {
        let Some(known) = self.state.orders.get(&order).filter(|known| self.may_run_here(known))
        else {
            return;
        };
        let key = (known.job, known.batch);
        let Some(batch) = self.batch_of(known).filter(|_| !self.judging.contains(&key)) else {
            return;
        };
        let (count, failed) = (batch.count, batch.unjudgeable);
        if failed {
            let rest = self.reruns.entry(key).or_default();
            if !rest.is_over(self.now) {
                return;
            }
            rest.again(self.now);
        }
        let all: Vec<u32> = (0..count).collect();
        self.judge(key.0, key.1, &all);
    }

    /// A receipt that is wrong by what this machine found, or by what was found before: it is
    /// remembered, and its provider is dealt with no more.
    fn deny(&mut self, id: DealId, order: OrderId, receipt: &Receipt) {
        let (Some(known), Some(deal)) = (self.state.orders.get(&order), self.state.deals.get(&id))
        else {
            return;
        };
        let denied = deal.denied.contains_key(&struct_hash(receipt));
        let misstated = deal.misstated.iter().any(|misstated| misstated.receipt.value == *receipt);
        let own = self.batch_of(known).and_then(Batch::own_results);
        let Some(own) = own.filter(|_| !denied && !misstated) else { return };
        match verify::fault_proof(&known.order, receipt, &own) {
            Some(proof) => {
                // It stands on chain: no signature is needed.
                let receipt = Signed { value: receipt.clone(), signature: Bytes::new() };
                self.found_misstated(Misstated { order, receipt, proof });
            }
            None => self.found_false(Denied { order, receipt: receipt.clone(), task: None }),
        }
    }

    /// A provider asserts what is wrong.
    pub(super) fn found_false(&mut self, denied: Denied) {
        let Some(known) = self.state.orders.get(&denied.order) else { return };
        let (id, order, claimed) = (known.order.deal, denied.order, denied.receipt.fee);
        let Some(deal) = self.state.deals.get(&id) else { return };
        let (job, provider, first_time) =
            (deal.job, deal.provider(), deal.standing != Standing::Faulty);
        let root = self.batch_of(known).and_then(|batch| batch.root);
        let right = root.and_then(|root| order_fee(&deal.terms, root.fuel, known.order.tasks));
        self.record(Record::Denied(Box::new(denied)));
        self.tell(job, JobEvent::FalseReceipt { provider, deal: id, order, claimed, right });
        if first_time {
            self.shun(id);
        }
    }

    /// A claim that asserts another receipt than was delivered may contradict what was: then
    /// nothing has to be run.
    pub(super) fn compare_claim(&mut self, order: OrderId, receipt: &Receipt) {
        let Some(known) = self.state.orders.get(&order) else { return };
        let of = |misstated: &Misstated| misstated.receipt.value == *receipt;
        if self.state.deals.get(&known.order.deal).is_none_or(|deal| deal.misstated.iter().any(of))
        {
            return;
        }
        if let Some(proof) = verify::fault_proof(&known.order, receipt, &known.results) {
            let receipt = Signed { value: receipt.clone(), signature: Bytes::new() };
            self.found_misstated(Misstated { order, receipt, proof });
        }
    }

    /// What demands brought to light of a receipt is compared with what this machine finds: with
    /// its run of the task, or, where it could not run the order, by tracing the task.
    fn look_at_reveals(&mut self, id: DealId, order: OrderId, receipt: &Receipt) {
        let Some(known) = self.state.orders.get(&order).filter(|known| self.may_run_here(known))
        else {
            return;
        };
        let Some(deal) = self.state.deals.get(&id) else { return };
        let subject = struct_hash(receipt);
        if deal.denied.contains_key(&subject) {
            return;
        }
        let mut wrong = None;
        let mut unknown = Vec::new();
        let batch = self.batch_of(known);
        for (task, shown) in reveals(deal, subject) {
            match batch.and_then(|batch| batch.verdicts.get(&task)) {
                Some(own) if *own != shown => wrong = wrong.or(Some(task)),
                Some(_) => {}
                None => unknown.push(task),
            }
        }
        if wrong.is_some() {
            return self.found_false(Denied { order, receipt: receipt.clone(), task: wrong });
        }
        for task in unknown {
            self.trace_task(order, task);
        }
    }

    /// The provider claims money for what was found wrong. While the deal is in court the claim
    /// waits. Where no court is asked it is paid in the end; that is told, and bounded by the
    /// order's worst fee.
    fn tell_unjudged(&mut self, id: DealId, order: OrderId, fee: u128, deadline: u64) {
        let Some(deal) = self.state.deals.get(&id) else { return };
        if self.disputes(deal) || !self.told_claims.insert(order) {
            return;
        }
        let (job, provider, left) = (deal.job, deal.provider(), deadline.saturating_sub(self.now));
        let text = format!(
            "{provider} claims {fee} on chain for results that were found wrong; no court can be asked, so it is paid in {left} s"
        );
        self.note(job, "R-CASE-003", text);
    }

    /// Whether something that may be wrong stands on chain, and this machine is finding out:
    /// nothing that ends the deal is signed meanwhile.
    pub(super) fn finds_out(&self, deal: &OpenDeal) -> bool {
        let in_time = self.now < self.disputes_until(deal);
        in_time
            && asserted(deal).any(|asserted| {
                let Some(order) = self.state.orders.get(&asserted.order) else { return false };
                let verdict = self.verdict(deal, order, asserted.case.seq, asserted.receipt);
                let runs = self.judging.contains(&(order.job, order.batch));
                verdict == Verdict::Unknown
                    && self.is_judged(deal)
                    && (runs || self.can_run_here(order))
            })
    }

    /// What open claims ask for beyond what is owed, unless they are right, base units; no more
    /// than the deal has.
    fn claimed_beyond(&self, deal: &OpenDeal) -> u128 {
        let beyond = asserted(deal).filter(|asserted| asserted.claimed).map(|asserted| {
            let Some(order) = self.state.orders.get(&asserted.order) else {
                return asserted.receipt.fee;
            };
            match self.verdict(deal, order, asserted.case.seq, asserted.receipt) {
                Verdict::Void | Verdict::Right => 0,
                Verdict::Wrong | Verdict::Unknown => {
                    asserted.receipt.fee.saturating_sub(order.accepted_fee())
                }
            }
        });
        beyond.fold(0, u128::saturating_add).min(deal.terms.budget.saturating_sub(deal.chain.paid))
    }

    /// What is won in a deal by showing that its provider is wrong, base units: what it claims
    /// without being owed it, and our part of the collateral. The rest of the budget comes back by
    /// time alone.
    pub(super) fn stake(&self, deal: &OpenDeal) -> u128 {
        self.claimed_beyond(deal)
            .saturating_add(share(deal.terms.collateral, COMPENSATION_BPS).unwrap_or(0))
    }

    /// The most that can be lost in each deal that is open.
    pub fn exposures(&self) -> Vec<Exposure> {
        let open = self.state.deals.iter().filter(|(_, deal)| deal.closed.is_none());
        open.map(|(id, deal)| self.exposure(*id, deal)).collect()
    }

    fn exposure(&self, id: DealId, deal: &OpenDeal) -> Exposure {
        let budget = deal.terms.budget;
        let signed = deal.voucher.as_ref().map_or(0, |voucher| voucher.amount).max(deal.chain.paid);
        let unsettled =
            deal.orders.iter().skip(usize::try_from(deal.chain.orders).unwrap_or(usize::MAX));
        let unsettled = unsettled.filter_map(|order| self.state.orders.get(order));
        let judged = self.is_judged(deal) && deal.offer.known_court;
        let runs = unsettled.clone().all(|order| self.can_run_here(order));
        let lack = if !judged { Some(Lack::Court) } else { (!runs).then_some(Lack::Runs) };
        let fuel_limit = unsettled.clone().map(|order| order.order.fuelLimit);
        // A cancelled order can be claimed as well, and one that a voucher pays for until that is
        // redeemed.
        let worst = unsettled
            .map(|order| order_cost(&deal.terms, &order.order))
            .fold(0, u128::saturating_add);
        let most = requester_loss(budget, signed, worst, lack);
        let claims = asserted(deal)
            .filter(|asserted| asserted.claimed && asserted.case.seq >= deal.chain.orders);
        let asked = claims.map(|asserted| asserted.receipt.fee).fold(0, u128::saturating_add);
        Exposure {
            deal: id,
            provider: deal.provider(),
            court: deal.terms.court,
            budget,
            claimable: worst,
            fuel_limit: fuel_limit.max().unwrap_or(0),
            in_court: self.in_court(deal),
            locked: budget.saturating_sub(deal.chain.paid),
            signed,
            claimed: asked.min(budget.saturating_sub(signed)),
            lack,
            most,
        }
    }

    /// Whether there is a court that is asked about what a deal's provider signed.
    pub(super) fn is_judged(&self, deal: &OpenDeal) -> bool {
        self.config.dispute_from.is_some() && !deal.terms.court.is_zero()
    }

    /// End of the time in which cases can be opened in a deal without a claim, unix seconds.
    pub(super) fn closes(&self, deal: &OpenDeal) -> u64 {
        deal.terms.expiry.saturating_add(self.config.grace_seconds)
    }

    /// Until when tasks can be demanded, unix seconds.
    pub(super) fn demands_until(&self, deal: &OpenDeal) -> u64 {
        let claimed = deal.chain.any_open(&[CaseKind::Claim]);
        self.closes(deal).saturating_add(if claimed { self.config.challenge_seconds } else { 0 })
    }

    /// Until when a receipt can be taken to court, unix seconds: the market's window for holds.
    pub(super) fn disputes_until(&self, deal: &OpenDeal) -> u64 {
        let longer = self
            .config
            .challenge_seconds
            .saturating_mul(2)
            .saturating_add(self.config.answer_seconds);
        let claimed = deal.chain.any_open(&[CaseKind::Claim]);
        self.closes(deal).saturating_add(if claimed { longer } else { 0 })
    }

    /// Whether something can still be claimed of us, or is: somebody has to be here to look at it.
    /// Every order that was signed can be claimed until a voucher over it is redeemed, accepted or
    /// not. Ends by time alone.
    pub fn is_exposed(&self) -> bool {
        self.state.deals.values().any(|deal| self.can_be_claimed(deal))
    }

    fn can_be_claimed(&self, deal: &OpenDeal) -> bool {
        let claimable = deal.chain.orders < deal.orders.len() as u64;
        let claimed = deal.chain.any_open(&[CaseKind::Claim]);
        let until = self.disputes_until(deal).saturating_add(2 * CLOCK_SKEW_SECONDS);
        deal.closed.is_none() && (claimable || claimed) && self.now < until
    }
}

/// Tasks of a receipt that were shown on demand, and their ends.
pub(super) fn reveals(
    deal: &OpenDeal,
    receipt: ReceiptId,
) -> impl Iterator<Item = (u32, rialto_protocol::receipt::Halted)> + '_ {
    deal.chain.cases.iter().filter_map(move |(id, case)| match *id {
        CaseId::Demand { receipt: of, task } if of == receipt => Some((task, case.revealed?)),
        _ => None,
    })
}
