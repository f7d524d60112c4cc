//! Quarrels: results said to be wrong, late notices, demands.

use alloy_primitives::B256;

use super::{CaseKind, Core, OnChain, OrderState, ProviderEvent, Verdict};

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
        for case in chain.cases.values().filter(|case| case.kind == CaseKind::Late && now < case.deadline) {
            match self.orders.get(&case.order).map(|row| row.state.clone()) {
                Some(OrderState::Cancelled { ack } | OrderState::Failed { ack, .. })
                    if !self.urgent.contains(&case.order) =>
                {
                    self.set_state(case.order, OrderState::Accepted { ack });
                    self.urgent.insert(case.order);
                }
                Some(OrderState::Accepted { .. }) => {
                    self.urgent.insert(case.order);
                }
                _ => {}
            }
        }
    }
}
