//! What must hold of a test world at every moment, and at the end.

use super::*;

impl World {
    /// What holds at every moment.
    pub fn check(&self) {
        let state = self.core.state();
        for (id, deal) in &state.deals {
            let faulty = deal.standing == Standing::Faulty;
            let watermark = deal.voucher.as_ref().map_or(0, |voucher| voucher.orders);
            let accepted: Vec<_> = deal.orders.iter().map(|order| &state.orders[order]).collect();
            let fees_below = |orders: u64| -> u128 {
                let below = accepted.iter().filter(|order| order.order.seq < orders);
                // A trusted result may be found wrong after it was paid for.
                let accepted = below.filter(|order| {
                    order.status == OrderStatus::Accepted
                        || (faulty && order.status == OrderStatus::Wrong)
                });
                accepted
                    .filter_map(|order| order.receipt.as_ref())
                    .map(|receipt| receipt.value.fee)
                    .sum()
            };
            let fees = fees_below(u64::MAX);
            assert!(deal.earned <= deal.terms.budget, "never above the budget");
            assert!(faulty || fees == deal.earned, "earned is what was accepted");
            let signed = deal.voucher.as_ref().map_or(0, |voucher| voucher.amount);
            assert!(
                signed <= fees_below(watermark),
                "signed for what was accepted below the watermark, and only that"
            );
            assert!(faulty || signed == fees_below(watermark), "and for all of it");
            assert!(signed <= deal.owed());
            assert!(self.closed.get(id).is_none_or(|paid| *paid <= signed));
            for (seq, order) in deal.orders.iter().enumerate() {
                assert_eq!(state.orders[order].order.seq, seq as u64);
            }
        }
        for job in state.jobs.values() {
            let locked = job.deals.iter().map(|deal| &state.deals[deal]);
            let locked: u128 = locked.map(|deal| deal.closed.unwrap_or(deal.terms.budget)).sum();
            assert!(
                locked <= job.spec.constraints.budget,
                "locked and paid together stay within the job's budget"
            );
            for batch in &job.batches {
                let orders = batch
                    .orders
                    .iter()
                    .filter(|order| state.orders[*order].status != OrderStatus::Refused);
                let owners: Vec<_> = orders
                    .map(|order| state.deals[&state.orders[order].order.deal].provider())
                    .collect();
                assert_eq!(
                    owners.iter().collect::<BTreeSet<_>>().len(),
                    owners.len(),
                    "distinct owners"
                );
            }
        }
    }

    /// Every result of the summary is the program's.
    pub fn assert_right(&self) {
        let summary = self.summary.as_ref().unwrap();
        let state = self.core.state();
        let job = &state.jobs[&summary.job];
        for batch in job.batches.iter().filter(|batch| !batch.split) {
            for index in 0..batch.count {
                let task = (batch.first + index) as usize;
                let right =
                    run(job.spec.inputs[task], task_seed(job.spec.batch_seed(batch.first), index))
                        .1;
                assert_eq!(summary.tasks[task].expect("a result").halted, right, "task {task}");
            }
        }
    }

    pub fn cheaters(&self) -> BTreeSet<Address> {
        let told = self.told.iter().filter_map(|event| match event {
            JobEvent::Cheater { provider, .. } => Some(*provider),
            _ => None,
        });
        told.collect()
    }
}
