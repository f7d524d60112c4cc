//! Cases: what one side starts when the other is silent. Each ends by time alone.

use alloy_primitives::{Address, B256};

use super::{
    DealStatus, MAX_HOLD, MAX_REVEAL_BYTES, Market, ModelError, Params, Reveal,
    deals::{Ending, only},
};
use crate::{
    pricing,
    receipt::{MAX_ORDER_TASKS, SumNode, output_hash, verify_leaf},
    types::{Ack, Cancel, Deal, Order, Receipt, struct_hash},
};

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CaseKind {
    /// Provider: this order's receipt is unpaid.
    Claim = 0,
    /// Requester: this acked order is late.
    Late = 1,
    /// Requester: show me this task's end.
    Demand = 2,
    /// Court: a dispute is going on.
    Hold = 3,
}

impl CaseKind {
    /// Whether opening it takes a bond from the requester.
    pub fn bonded(self) -> bool {
        matches!(self, Self::Late | Self::Demand)
    }
}

/// None → Open → Ended, for ever.
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
pub struct Case {
    /// Where it is.
    pub status: CaseStatus,
    /// From then on anyone can settle it, unix seconds.
    pub deadline: u64,
    /// The order's place in its deal; 0 for a hold.
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
        self.open_case(id, CaseKind::Claim, subject, 0, deadline, order.seq, receipt.fee)
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
        if !self.asserted(subject).is_zero() {
            return Err(ModelError::ReceiptAsserted);
        }
        self.check_signature(ack, signature, deal.providerKey)?;
        let bond = self.params.case_bond;
        self.debit(deal.requester, bond)?;
        self.open_case(id, CaseKind::Late, subject, 0, now + self.params.answer_window, order.seq, bond)
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
        let bond = self.stop_case(now, id, CaseKind::Late, subject, 0)?;
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
        let bond = self.stop_case(now, id, CaseKind::Late, cancel.order, 0)?;
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
        if self.asserted(order_hash) != subject {
            self.check_signature(receipt, signature, deal.providerKey)?;
        }
        let bond = self.params.case_bond;
        self.debit(deal.requester, bond)?;
        self.open_case(id, CaseKind::Demand, subject, task, now + self.params.answer_window, order.seq, bond)
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
        let bond = self.stop_case(now, id, CaseKind::Demand, struct_hash(receipt), reveal.task)?;
        if receipt.order != struct_hash(order) {
            return Err(ModelError::WrongOrder);
        }
        let root = SumNode { hash: receipt.root, fuel: receipt.fuel };
        if !verify_leaf(root, order.tasks, reveal.task, reveal.halted.hash(), reveal.fuel, &reveal.proof) {
            return Err(ModelError::NotInReceipt);
        }
        if reveal.fuel != reveal.halted.fuel_used(order.fuelLimit) {
            return Err(ModelError::WrongFuel);
        }
        let shown = if reveal.halted.out_len > MAX_REVEAL_BYTES { 0 } else { reveal.halted.out_len };
        if reveal.output.len() as u64 != shown {
            return Err(ModelError::WrongOutputLength);
        }
        if shown == reveal.halted.out_len && output_hash(&reveal.output) != reveal.halted.out_hash {
            return Err(ModelError::WrongOutput);
        }
        // What has come to light can be taken to court before its claim is paid.
        let later = now + self.params.challenge_window;
        let claim = self.cases.get_mut(&(id, CaseKind::Claim, receipt.order, 0));
        if let Some(claim) = claim.filter(|claim| claim.status == CaseStatus::Open) {
            claim.deadline = claim.deadline.max(later);
        }
        self.credit(deal.provider, bond)
    }

    pub(super) fn settle(
        &mut self,
        now: u64,
        deal: &Deal,
        kind: CaseKind,
        subject: B256,
        task: u32,
    ) -> Result<(), ModelError> {
        let id = struct_hash(deal);
        let case = self.running(id, kind, subject, task)?;
        let bond = if kind.bonded() { case.amount } else { 0 };
        let state = self.deal_state(id);
        let moot = state.status == DealStatus::Closed || (kind != CaseKind::Hold && case.seq < state.orders);
        if !moot {
            from(now, case.deadline)?;
            let waits = match kind {
                CaseKind::Claim => state.holds > 0,
                CaseKind::Late => state.holds > 0 || state.claims > 0,
                CaseKind::Demand | CaseKind::Hold => false,
            };
            if waits {
                return Err(ModelError::DealBusy);
            }
        }
        self.end_case(id, kind, subject, task);
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
        game: B256,
        until: u64,
    ) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        only(sender, deal.court)?;
        let Params { challenge_window, answer_window, .. } = self.params;
        let extra = if self.deal_state(id).claims > 0 { 2 * challenge_window + answer_window } else { 0 };
        before(now, deal.expiry + self.params.grace + extra)?;
        if until <= now || until > now + MAX_HOLD {
            return Err(ModelError::HoldOutOfRange);
        }
        self.open_case(id, CaseKind::Hold, game, 0, until, 0, 0)
    }

    pub(super) fn lift(&mut self, sender: Address, deal: &Deal, game: B256) -> Result<(), ModelError> {
        let id = self.open_deal(deal)?;
        only(sender, deal.court)?;
        self.running(id, CaseKind::Hold, game, 0)?;
        self.end_case(id, CaseKind::Hold, game, 0);
        Ok(())
    }

    /// Hash of an order of this deal at or above the watermark.
    fn unsettled_order(&self, id: B256, order: &Order) -> Result<B256, ModelError> {
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
        order_hash: B256,
        receipt: &Receipt,
    ) -> Result<(), ModelError> {
        if receipt.order != order_hash {
            return Err(ModelError::WrongOrder);
        }
        if receipt.fuel > u128::from(order.fuelLimit) * u128::from(order.tasks) {
            return Err(ModelError::FuelTooHigh);
        }
        let fee = pricing::order_fee(deal, receipt.fuel, order.tasks).ok_or(ModelError::AmountOverflow)?;
        if receipt.fee != fee {
            return Err(ModelError::WrongFee);
        }
        let hash = struct_hash(receipt);
        match self.asserted(order_hash) {
            B256::ZERO => self.asserted.insert(order_hash, hash),
            known if known == hash => None,
            _ => return Err(ModelError::ReceiptConflict),
        };
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn open_case(
        &mut self,
        id: B256,
        kind: CaseKind,
        subject: B256,
        task: u32,
        deadline: u64,
        seq: u64,
        amount: u128,
    ) -> Result<(), ModelError> {
        if self.case(id, kind, subject, task).status != CaseStatus::None {
            return Err(ModelError::CaseExists);
        }
        self.cases.insert((id, kind, subject, task), Case { status: CaseStatus::Open, deadline, seq, amount });
        self.state(id).count_case(kind, true);
        Ok(())
    }

    fn running(&self, id: B256, kind: CaseKind, subject: B256, task: u32) -> Result<Case, ModelError> {
        let case = self.case(id, kind, subject, task);
        if case.status == CaseStatus::Open { Ok(case) } else { Err(ModelError::CaseNotOpen) }
    }

    /// Ends a case that the provider answers in time; returns the bond.
    fn stop_case(&mut self, now: u64, id: B256, kind: CaseKind, subject: B256, task: u32) -> Result<u128, ModelError> {
        let case = self.running(id, kind, subject, task)?;
        before(now, case.deadline)?;
        self.end_case(id, kind, subject, task);
        Ok(case.amount)
    }

    fn end_case(&mut self, id: B256, kind: CaseKind, subject: B256, task: u32) {
        if let Some(case) = self.cases.get_mut(&(id, kind, subject, task)) {
            case.status = CaseStatus::Ended;
        }
        let state = self.state(id);
        if state.status == DealStatus::Open {
            state.count_case(kind, false);
        }
    }
}

fn before(now: u64, until: u64) -> Result<(), ModelError> {
    if now < until { Ok(()) } else { Err(ModelError::TooLate) }
}

fn from(now: u64, start: u64) -> Result<(), ModelError> {
    if now >= start { Ok(()) } else { Err(ModelError::TooEarly) }
}
