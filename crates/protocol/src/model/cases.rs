//! Cases, which one side opens when the other is silent. Each ends by time alone.

use alloy_primitives::Address;

use super::{
    DealStatus, MAX_HOLD, MAX_REVEAL_BYTES, Market, ModelError, Params, Reveal,
    deals::{Ending, only},
};
use crate::{
    case::{CaseId, CaseKind},
    ids::{DealId, GameId, OrderId},
    pricing,
    receipt::{MAX_ORDER_TASKS, SumNode, output_hash, verify_leaf},
    types::{Ack, Cancel, Deal, Order, Receipt, struct_hash},
};

/// Status of a case. It only moves from `None` to `Open` to `Ended`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaseStatus {
    /// Never opened.
    #[default]
    None,
    /// Running.
    Open,
    /// Over.
    Ended,
}

/// State of a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaseState {
    /// Present status.
    pub status: CaseStatus,
    /// Time from which on anyone can settle it, Unix seconds.
    pub deadline: u64,
    /// `seq` of the order; 0 for a hold.
    pub seq: u64,
    /// Claim: the fee. Late, Demand: the bond. Hold: 0.
    pub amount: u128,
}

impl Market {
    pub(super) fn claim(
        &mut self,
        now: u64,
        sender: Address,
        deal: &Deal,
        order: &Order,
        signature: &[u8],
        receipt: &Receipt,
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        only(sender, deal.provider)?;
        before(now, deal.expiry + self.params.grace)?;
        let subject = self.unsettled_order(id, order)?;
        self.check_signature(order, signature, deal.requesterKey)?;
        self.assert_receipt(deal, order, subject, receipt)?;
        let deadline = now + self.params.challenge_window;
        self.open_case(id, CaseId::Claim { order: subject }, deadline, order.seq, receipt.fee)
    }

    pub(super) fn late(
        &mut self,
        now: u64,
        sender: Address,
        deal: &Deal,
        order: &Order,
        ack: &Ack,
        signature: &[u8],
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        only(sender, deal.requester)?;
        before(now, deal.expiry + self.params.grace)?;
        let subject = self.unsettled_order(id, order)?;
        if ack.order != subject {
            return Err(ModelError::WrongOrder);
        }
        from(now, ack.dueBy)?;
        if self.asserted(subject).is_some() {
            return Err(ModelError::ReceiptAsserted);
        }
        self.check_signature(ack, signature, deal.providerKey)?;
        let bond = self.params.case_bond;
        self.debit(deal.requester, bond)?;
        self.open_case(
            id,
            CaseId::Late { order: subject },
            now + self.params.answer_window,
            order.seq,
            bond,
        )
    }

    pub(super) fn answer(
        &mut self,
        now: u64,
        sender: Address,
        deal: &Deal,
        order: &Order,
        receipt: &Receipt,
        signature: &[u8],
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        let subject = struct_hash(order);
        if sender != deal.provider {
            self.check_signature(receipt, signature, deal.providerKey)?;
        }
        self.assert_receipt(deal, order, subject, receipt)?;
        let bond = self.stop_case(now, id, CaseId::Late { order: subject })?;
        self.credit(deal.provider, bond)
    }

    pub(super) fn excuse(
        &mut self,
        now: u64,
        deal: &Deal,
        cancel: &Cancel,
        signature: &[u8],
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        self.check_signature(cancel, signature, deal.requesterKey)?;
        let bond = self.stop_case(now, id, CaseId::Late { order: cancel.order })?;
        self.credit(deal.provider, bond)
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn demand(
        &mut self,
        now: u64,
        sender: Address,
        deal: &Deal,
        order: &Order,
        receipt: &Receipt,
        signature: &[u8],
        task: u32,
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        only(sender, deal.requester)?;
        let extra = if self.deal_state(id).claims > 0 { self.params.challenge_window } else { 0 };
        before(now, deal.expiry + self.params.grace + extra)?;
        let order_hash = self.unsettled_order(id, order)?;
        if task >= order.tasks {
            return Err(ModelError::NoSuchTask);
        }
        if receipt.order != order_hash {
            return Err(ModelError::WrongOrder);
        }
        let subject = struct_hash(receipt);
        if self.asserted(order_hash) != Some(subject) {
            self.check_signature(receipt, signature, deal.providerKey)?;
        }
        let bond = self.params.case_bond;
        self.debit(deal.requester, bond)?;
        self.open_case(
            id,
            CaseId::Demand { receipt: subject, task },
            now + self.params.answer_window,
            order.seq,
            bond,
        )
    }

    pub(super) fn reveal(
        &mut self,
        now: u64,
        deal: &Deal,
        order: &Order,
        receipt: &Receipt,
        reveal: &Reveal,
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        let bond = self.stop_case(
            now,
            id,
            CaseId::Demand { receipt: struct_hash(receipt), task: reveal.task },
        )?;
        if receipt.order != struct_hash(order) {
            return Err(ModelError::WrongOrder);
        }
        let root = SumNode { hash: receipt.root, fuel: receipt.fuel };
        if !verify_leaf(
            root,
            order.tasks,
            reveal.task,
            reveal.halted.hash(),
            reveal.fuel,
            &reveal.proof,
        ) {
            return Err(ModelError::NotInReceipt);
        }
        if reveal.fuel != reveal.halted.fuel_used(order.fuelLimit) {
            return Err(ModelError::WrongFuel);
        }
        let shown =
            if reveal.halted.out_len > MAX_REVEAL_BYTES { 0 } else { reveal.halted.out_len };
        if reveal.output.len() as u64 != shown {
            return Err(ModelError::WrongOutputLength);
        }
        if shown == reveal.halted.out_len && output_hash(&reveal.output) != reveal.halted.out_hash {
            return Err(ModelError::WrongOutput);
        }
        // The requester gets time to take the revealed result to court before the claim is paid.
        let later = now + self.params.challenge_window;
        let claim = self.cases.get_mut(&(id, CaseId::Claim { order: receipt.order }));
        if let Some(claim) = claim.filter(|claim| claim.status == CaseStatus::Open) {
            claim.deadline = claim.deadline.max(later);
        }
        self.credit(deal.provider, bond)
    }

    pub(super) fn settle(
        &mut self,
        now: u64,
        deal: &Deal,
        which: CaseId,
    ) -> Result<(), ModelError> {
        let (id, kind) = (struct_hash(deal), which.kind());
        let case = self.running(id, which)?;
        let bond = if kind.bonded() { case.amount } else { 0 };
        let state = self.deal_state(id);
        let moot = state.status == DealStatus::Closed
            || (kind != CaseKind::Hold && case.seq < state.orders);
        if !moot {
            from(now, case.deadline)?;
            let waits = match kind {
                CaseKind::Claim => state.challenges > 0,
                CaseKind::Late => state.challenges > 0 || state.claims > 0,
                CaseKind::Demand | CaseKind::Hold => false,
            };
            if waits {
                return Err(ModelError::DealBusy);
            }
        }
        self.end_case(id, which);
        if moot || kind == CaseKind::Hold {
            return self.credit(deal.requester, bond);
        }
        match kind {
            CaseKind::Claim => self.pay(id, deal, case.amount).map(|_| ()),
            CaseKind::Late => {
                self.credit(deal.requester, bond)?;
                self.end(id, deal, Ending::Late)
            }
            CaseKind::Demand | CaseKind::Hold => {
                self.credit(deal.requester, bond)?;
                self.end(id, deal, Ending::Guilty)
            }
        }
    }

    pub(super) fn hold(
        &mut self,
        now: u64,
        sender: Address,
        deal: &Deal,
        game: GameId,
        until: u64,
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        only(sender, deal.court)?;
        let Params { challenge_window, answer_window, .. } = self.params;
        let extra =
            if self.deal_state(id).claims > 0 { 2 * challenge_window + answer_window } else { 0 };
        before(now, deal.expiry + self.params.grace + extra)?;
        if until <= now || until > now + MAX_HOLD {
            return Err(ModelError::HoldOutOfRange);
        }
        self.open_case(id, CaseId::Hold { game }, until, 0, 0)
    }

    pub(super) fn lift(
        &mut self,
        sender: Address,
        deal: &Deal,
        game: GameId,
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        only(sender, deal.court)?;
        self.running(id, CaseId::Hold { game })?;
        self.end_case(id, CaseId::Hold { game });
        Ok(())
    }

    /// Returns the hash of an order of this deal, which must be at or above the watermark.
    fn unsettled_order(&self, id: DealId, order: &Order) -> Result<OrderId, ModelError> {
        if order.deal != id {
            return Err(ModelError::WrongDeal);
        }
        if order.tasks == 0 || order.tasks > MAX_ORDER_TASKS {
            return Err(ModelError::TasksOutOfRange);
        }
        if order.seq < self.deal_state(id).orders {
            return Err(ModelError::OrderSettled);
        }
        Ok(struct_hash(order))
    }

    /// Checks a receipt's numbers and binds the provider to it.
    fn assert_receipt(
        &mut self,
        deal: &Deal,
        order: &Order,
        order_hash: OrderId,
        receipt: &Receipt,
    ) -> Result<(), ModelError> {
        if receipt.order != order_hash {
            return Err(ModelError::WrongOrder);
        }
        if receipt.fuel > u128::from(order.fuelLimit) * u128::from(order.tasks) {
            return Err(ModelError::FuelTooHigh);
        }
        let fee = pricing::order_fee(deal, receipt.fuel, order.tasks)
            .ok_or(ModelError::AmountOverflow)?;
        if receipt.fee != fee {
            return Err(ModelError::WrongFee);
        }
        let hash = struct_hash(receipt);
        match self.asserted(order_hash) {
            None => self.asserted.insert(order_hash, hash),
            Some(known) if known == hash => None,
            Some(_) => return Err(ModelError::ReceiptConflict),
        };
        Ok(())
    }

    fn open_case(
        &mut self,
        id: DealId,
        which: CaseId,
        deadline: u64,
        seq: u64,
        amount: u128,
    ) -> Result<(), ModelError> {
        if self.case(id, which).status != CaseStatus::None {
            return Err(ModelError::CaseExists);
        }
        self.cases
            .insert((id, which), CaseState { status: CaseStatus::Open, deadline, seq, amount });
        self.state(id).count_case(which.kind(), true);
        Ok(())
    }

    fn running(&self, id: DealId, which: CaseId) -> Result<CaseState, ModelError> {
        let case = self.case(id, which);
        if case.status == CaseStatus::Open { Ok(case) } else { Err(ModelError::CaseNotOpen) }
    }

    /// Ends a case that was answered in time, and returns the bond.
    fn stop_case(&mut self, now: u64, id: DealId, which: CaseId) -> Result<u128, ModelError> {
        let case = self.running(id, which)?;
        before(now, case.deadline)?;
        self.end_case(id, which);
        Ok(case.amount)
    }

    fn end_case(&mut self, id: DealId, which: CaseId) {
        if let Some(case) = self.cases.get_mut(&(id, which)) {
            case.status = CaseStatus::Ended;
        }
        let state = self.state(id);
        if state.status == DealStatus::Open {
            state.count_case(which.kind(), false);
        }
    }
}

fn before(now: u64, until: u64) -> Result<(), ModelError> {
    if now < until { Ok(()) } else { Err(ModelError::TooLate) }
}

fn from(now: u64, start: u64) -> Result<(), ModelError> {
    if now >= start { Ok(()) } else { Err(ModelError::TooEarly) }
}
