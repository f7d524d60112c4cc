//! Quarrels: results said to be wrong, late notices, demands.

use alloy_primitives::B256;
use rialto_protocol::types::struct_hash;

use super::{
    Call, CaseId, CaseKind, Core, DealRow, OnChain, OrderState, ProviderEvent, Verdict, chain::CLOCK_SKEW_SECONDS,
    facts::Case, record::Action,
};

/// Most tasks of one deal that are run again because the requester rejected them.
const MAX_DEAL_RERUNS: usize = 16;

impl Core {
    /// The requester found a result wrong. Find out whether it is: run the task again.
    pub(super) fn rejected(&mut self, deal: B256, hash: B256, task: u32) {
        let Some(row) = self.orders.get(&hash).filter(|row| row.order.value.deal == deal) else { return };
        let delivered = matches!(row.state, OrderState::Done { .. });
        let known = row.rejected.get(&task).is_some_and(|verdict| *verdict != Verdict::Clean);
        if !delivered || known || task >= row.order.value.tasks {
            return;
        }
        let reruns: usize = self.orders_of(deal).filter_map(|h| self.orders.get(&h)).map(|r| r.rejected.len()).sum();
        if reruns >= MAX_DEAL_RERUNS {
            return;
        }
        self.set_rejected(hash, task, Verdict::Pending);
        self.judge_deal(deal);
        self.rerun(hash, task);
    }

    pub(super) fn reran(&mut self, hash: B256, task: u32, same: Option<bool>) {
        let Some(row) = self.orders.get(&hash) else { return };
        if row.rejected.get(&task) != Some(&Verdict::Pending) {
            return;
        }
        let verdict = match same {
            Some(true) => Verdict::Reproduced,
            Some(false) => Verdict::Differs,
            None => Verdict::Clean,
        };
        let deal = row.order.value.deal;
        self.set_rejected(hash, task, verdict);
        self.judge_deal(deal);
        self.tell(ProviderEvent::Rejected { deal, order: hash, task, verdict });
        self.decide_held(deal);
    }

    /// One wrong result decides; then one that is not known yet.
    fn judge_deal(&mut self, deal: B256) {
        let all: Vec<_> = self
            .orders_of(deal)
            .filter_map(|hash| self.orders.get(&hash))
            .flat_map(|row| row.rejected.values().copied())
            .collect();
        let verdict = [Verdict::Differs, Verdict::Pending, Verdict::Reproduced]
            .into_iter()
            .find(|verdict| all.contains(verdict))
            .unwrap_or_default();
        if let Some(row) = self.deal_mut(deal) {
            row.verdict = verdict;
        }
    }

    /// Orders we are called late on are run first, cancelled ones included: only a receipt answers.
    pub(super) fn hurry(&mut self, chain: &OnChain) {
        let now = self.now;
        for (case, state) in &chain.cases {
            if case.kind != CaseKind::Late || now >= state.deadline {
                continue;
            }
            let order = case.subject;
            match self.orders.get(&order).map(|row| row.state.clone()) {
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
    pub(super) fn wanted_in_cases(&self, id: B256, row: &DealRow, chain: &OnChain) -> Vec<(Action, Call)> {
        chain.cases.iter().filter_map(|(case, state)| self.wanted_in_case(id, row, chain, *case, state)).collect()
    }

    fn wanted_in_case(
        &self,
        id: B256,
        row: &DealRow,
        chain: &OnChain,
        case: CaseId,
        state: &Case,
    ) -> Option<(Action, Call)> {
        let deal = Box::new(row.deal.clone());
        if self.now >= state.deadline.saturating_add(CLOCK_SKEW_SECONDS) {
            let call = Call::Settle { deal, case };
            return self.worth_settling(row, chain, case, state).then_some((Action::Settle { case }, call));
        }
        let hash = match case.kind {
            CaseKind::Late => case.subject,
            CaseKind::Demand => self.orders_of(id).find(|hash| self.receipt_hash(*hash) == Some(case.subject))?,
            CaseKind::Claim | CaseKind::Hold => return None,
        };
        let order = self.orders.get(&hash)?;
        let receipt = order.state.receipt()?.clone();
        let order = Box::new(order.order.value.clone());
        Some(if case.kind == CaseKind::Late {
            (Action::Answer { case }, Call::Answer { deal, order, receipt })
        } else {
            (Action::Reveal { case }, Call::Reveal { deal, order, receipt, task: case.task })
        })
    }

    /// Claims pay us; what else stands in the way of a claim or of the deal's end is cleared, but never
    /// a demand that would find us guilty.
    fn worth_settling(&self, row: &DealRow, chain: &OnChain, case: CaseId, state: &Case) -> bool {
        let void = state.seq < chain.orders;
        match case.kind {
            CaseKind::Hold => true,
            CaseKind::Demand => void,
            CaseKind::Claim => !chain.any_case(&[CaseKind::Demand, CaseKind::Hold]),
            CaseKind::Late => {
                (void || self.over(row)) && !chain.any_case(&[CaseKind::Demand, CaseKind::Hold, CaseKind::Claim])
            }
        }
    }

    fn receipt_hash(&self, order: B256) -> Option<B256> {
        self.orders.get(&order)?.state.receipt().map(struct_hash)
    }
}
