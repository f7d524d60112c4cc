//! Quarrels: late notices, demands, and what to do about claims.

use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{DealId, OrderId, ReceiptId, types::struct_hash};

use super::{
    Call, Core, DealRow, OnChain, OrderState, chain::CLOCK_SKEW_SECONDS, facts::Case,
    record::Action,
};

impl Core {
    /// Orders we are called late on are run first, those included that a closing voucher gave up.
    /// Not those that the requester cancelled with its signature, nor those that our voucher
    /// settles: a transaction stops the notice.
    pub(super) fn hurry(&mut self, id: DealId) {
        let Some(row) = self.deals.get(&id) else { return };
        let called = |(case, state): (&CaseId, &Case)| match *case {
            CaseId::Late { order } if self.now < state.deadline && state.seq >= row.watermark() => {
                Some(order)
            }
            _ => None,
        };
        let called: Vec<_> = row.chain().cases.iter().filter_map(called).collect();
        for order in called {
            let Some(row) = self.orders.get(&order).filter(|row| row.cancel.is_none()) else {
                continue;
            };
            match Some(row.state.clone()) {
                Some(OrderState::Cancelled { ack } | OrderState::Failed { ack, .. }) => {
                    self.set_state(order, OrderState::Accepted { ack });
                    self.urgent.insert(order);
                }
                Some(OrderState::Accepted { .. }) => {
                    self.urgent.insert(order);
                }
                _ => {}
            }
        }
    }

    /// What our own cases, and the other side's, ask of us now.
    pub(super) fn wanted_in_cases(
        &self,
        id: DealId,
        row: &DealRow,
        chain: &OnChain,
    ) -> Vec<(Action, Call)> {
        chain
            .cases
            .iter()
            .filter_map(|(case, state)| self.wanted_in_case(id, row, chain, *case, state))
            .collect()
    }

    fn wanted_in_case(
        &self,
        id: DealId,
        row: &DealRow,
        chain: &OnChain,
        case: CaseId,
        state: &Case,
    ) -> Option<(Action, Call)> {
        let deal = Box::new(row.deal.clone());
        if self.now >= self.settles_at(case, state).saturating_add(CLOCK_SKEW_SECONDS) {
            let call = Call::Settle { deal, case };
            return self
                .worth_settling(row, chain, case, state)
                .then_some((Action::Settle { case }, call));
        }
        let (hash, demanded) = match case {
            CaseId::Late { order } => (order, None),
            CaseId::Demand { receipt, task } => (self.order_of_receipt(id, receipt)?, Some(task)),
            CaseId::Claim { .. } | CaseId::Hold { .. } => return None,
        };
        let order = self.orders.get(&hash)?;
        if let (None, None, Some(cancel)) = (demanded, order.state.receipt(), &order.cancel) {
            return Some((Action::Excuse { case }, Call::Excuse { deal, cancel: cancel.clone() }));
        }
        let receipt = order.state.receipt()?.clone();
        let order = Box::new(order.order.value.clone());
        Some(match demanded {
            None => (Action::Answer { case }, Call::Answer { deal, order, receipt }),
            Some(task) => (Action::Reveal { case }, Call::Reveal { deal, order, receipt, task }),
        })
    }

    /// A claim stays open for a challenge window after every reveal of its receipt.
    fn settles_at(&self, case: CaseId, state: &Case) -> u64 {
        let CaseId::Claim { order } = case else { return state.deadline };
        match self.orders.get(&order).map_or(0, |row| row.revealed_at) {
            0 => state.deadline,
            revealed => state.deadline.max(revealed.saturating_add(self.config.challenge_seconds)),
        }
    }

    /// The order of a receipt, by the receipt's hash.
    pub(super) fn order_of_receipt(&self, id: DealId, receipt: ReceiptId) -> Option<OrderId> {
        self.orders_of(id).find(|hash| self.receipt_hash(*hash) == Some(receipt))
    }

    /// Claims pay us; what else stands in the way of a claim or of the deal's end is cleared, but
    /// never a demand that would find us guilty.
    fn worth_settling(&self, row: &DealRow, chain: &OnChain, case: CaseId, state: &Case) -> bool {
        let void = state.seq < chain.orders;
        match case.kind() {
            CaseKind::Hold => true,
            CaseKind::Demand => void,
            // What a claim pays, a voucher that is redeemed later does not pay again.
            CaseKind::Claim => {
                !chain.any_case(&[CaseKind::Demand, CaseKind::Hold]) && self.voucher_is_home(row)
            }
            CaseKind::Late => {
                (void || self.over(row))
                    && !chain.any_case(&[CaseKind::Demand, CaseKind::Hold, CaseKind::Claim])
            }
        }
    }

    fn receipt_hash(&self, order: OrderId) -> Option<ReceiptId> {
        self.orders.get(&order)?.state.receipt().map(struct_hash)
    }
}
