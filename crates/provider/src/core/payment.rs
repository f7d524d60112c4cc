//! Being paid: which vouchers are taken, and consenting to close.

use alloy_primitives::Bytes;
use rialto_protocol::{
    DealId, OrderId,
    types::{Release, Voucher},
    wire::{Signed, ToRequester},
};

use super::{Core, DealRow, OrderState, ProviderEvent, Refusal, Verdict};

/// What to do with a voucher.
enum Judged {
    Take,
    /// Underpays and closes, while a rejected task is being re-run.
    Hold,
    /// Not better than what we have.
    Old,
}

impl Core {
    pub(super) fn voucher_offered(
        &mut self,
        session: u64,
        deal: DealId,
        voucher: &Signed<Voucher>,
    ) {
        let Some(row) = self.deals.get(&deal).filter(|row| row.chain().open) else {
            return self.refuse(session, Some(deal), None, Refusal::UnknownDeal);
        };
        if voucher.value.deal != deal {
            return self.refuse_unsigned(session, deal, None, Refusal::VoucherSignature);
        }
        match self.judge(row, deal, &voucher.value) {
            Ok(Judged::Old) => {}
            Err(why) => self.refuse(session, Some(deal), None, why),
            Ok(Judged::Take | Judged::Hold) => {
                if self.signed(session, deal, None, voucher, Refusal::VoucherSignature) {
                    self.bind(session, deal);
                    self.take_or_hold(deal, voucher);
                }
            }
        }
    }

    /// A signed voucher that was judged worth having.
    fn take_or_hold(&mut self, deal: DealId, voucher: &Signed<Voucher>) {
        let judged = self.deals.get(&deal).map(|row| self.judge(row, deal, &voucher.value));
        match judged {
            Some(Ok(Judged::Take)) => self.take(deal, voucher.clone()),
            Some(Ok(Judged::Hold)) => {
                if let Some(row) = self.deal_mut(deal)
                    && row.held.as_ref().is_none_or(|held| held.value.amount < voucher.value.amount)
                {
                    row.held = Some(voucher.clone());
                }
            }
            _ => {}
        }
    }

    /// The one rule: never settle an order for less than it costs, unless our own result was wrong.
    fn judge(&self, row: &DealRow, deal: DealId, voucher: &Voucher) -> Result<Judged, Refusal> {
        let (amount, orders) = (voucher.amount, voucher.orders);
        let better = amount > row.voucher_amount()
            || orders > row.watermark()
            || (voucher.close && !row.closing());
        if !better
            || amount < row.voucher_amount()
            || orders < row.watermark()
            || row.closing() && !voucher.close
        {
            return Ok(Judged::Old);
        }
        if amount > row.deal.budget {
            return Err(Refusal::VoucherOverBudget { amount, budget: row.deal.budget });
        }
        if !voucher.close && (orders > row.next_seq || self.any_unfinished_below(deal, orders)) {
            return Err(Refusal::Watermark { orders });
        }
        // Closing forfeits whatever it does not pay.
        let owed = if voucher.close { row.earned } else { self.owed_below(row, deal, orders) };
        match (amount >= owed, voucher.close, row.verdict) {
            (true, _, _) | (false, true, Verdict::Differs) => Ok(Judged::Take),
            (false, true, Verdict::Pending) => Ok(Judged::Hold),
            _ => Err(Refusal::Underpays { amount, owed }),
        }
    }

    fn any_unfinished_below(&self, deal: DealId, orders: u64) -> bool {
        let below =
            |hash: &OrderId| self.orders.get(hash).is_some_and(|row| row.order.value.seq < orders);
        self.unfinished.iter().any(|hash| self.deal_of(*hash) == Some(deal) && below(hash))
    }

    /// Fees of everything delivered below a watermark.
    fn owed_below(&self, row: &DealRow, deal: DealId, orders: u64) -> u128 {
        let fresh =
            self.by_deal.range((deal, row.watermark())..(deal, orders.max(row.watermark())));
        fresh
            .filter_map(|(_, hash)| self.orders.get(hash)?.state.receipt())
            .fold(row.settled, |sum, receipt| sum.saturating_add(receipt.fee))
    }

    fn take(&mut self, deal: DealId, voucher: Signed<Voucher>) {
        let Some(row) = self.deals.get(&deal) else { return };
        let (amount, before) = (voucher.value.amount, row.voucher_amount());
        let settled = self.owed_below(row, deal, voucher.value.orders);
        if voucher.value.close {
            self.abandon_unfinished(deal);
        }
        let Some(row) = self.deal_mut(deal) else { return };
        row.settled = settled;
        row.held = None;
        row.voucher = Some(voucher);
        if amount > before {
            self.tell(ProviderEvent::Paid { deal, amount, more: amount - before });
        }
    }

    /// The verdict on a rejected task is there: what becomes of the voucher that waited for it.
    pub(super) fn decide_held(&mut self, deal: DealId) {
        let Some(row) = self.deals.get(&deal) else { return };
        let Some(held) = row.held.clone() else { return };
        match self.judge(row, deal, &held.value) {
            Ok(Judged::Take) => self.take(deal, held),
            Ok(Judged::Hold) => {}
            Ok(Judged::Old) => self.drop_held(deal),
            Err(why) => {
                self.drop_held(deal);
                match self.session_of(deal) {
                    Some(session) => self.refuse(session, Some(deal), None, why),
                    None => {
                        self.tell(ProviderEvent::Refused { deal: Some(deal), order: None, why })
                    }
                }
            }
        }
    }

    fn drop_held(&mut self, deal: DealId) {
        if let Some(row) = self.deal_mut(deal) {
            row.held = None;
        }
    }

    /// The deal ends: nothing unfinished of it is worth finishing.
    pub(super) fn abandon_unfinished(&mut self, deal: DealId) {
        for hash in self.unfinished.clone() {
            if self.deal_of(hash) != Some(deal) {
                continue;
            }
            match self.orders.get(&hash).map(|row| row.state.clone()) {
                Some(OrderState::Accepted { ack }) => {
                    self.stop(hash);
                    self.set_state(hash, OrderState::Cancelled { ack });
                }
                _ => self.forget_order(hash),
            }
        }
    }

    pub(super) fn release_asked(&mut self, session: u64, deal: DealId, amount: u128) {
        let Some(row) = self.deals.get(&deal) else { return };
        let (chain, watermark) = (row.chain(), row.watermark());
        if !chain.open {
            return self.refuse(session, Some(deal), None, Refusal::UnknownDeal);
        }
        let earned = if row.verdict == Verdict::Differs { 0 } else { row.earned };
        let owed = earned.max(row.voucher_amount()).max(chain.paid);
        let amount = amount.max(row.released.unwrap_or(0));
        if amount < owed || amount > row.deal.budget {
            return self.refuse(
                session,
                Some(deal),
                None,
                Refusal::ReleaseUnderpays { amount, owed },
            );
        }
        // Who has a release can wait with closing, and call us late before. Below our voucher's
        // watermark that is void.
        let promised = |hash: &OrderId| {
            self.orders.get(hash).is_some_and(|row| row.owed() && row.order.value.seq >= watermark)
        };
        let owed = self.orders_of(deal).find(promised);
        if let Some(order) = owed {
            return self.refuse(session, Some(deal), None, Refusal::ReleaseOwes { order });
        }
        self.abandon_unfinished(deal);
        if let Some(row) = self.deal_mut(deal) {
            row.released = Some(amount);
        }
        let value = Release { deal, amount };
        self.send(session, ToRequester::Release(Signed { value, signature: Bytes::new() }));
    }
}
