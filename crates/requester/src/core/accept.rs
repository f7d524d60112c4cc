//! Accepting results: replicas are compared as they come, conflicts are judged, cheaters are named.
//!
//! Nothing is paid that is not verified as the policy demands, by other providers or by this
//! machine. A conflict goes to this machine first, if the job allows: the machine is deterministic,
//! so one run of the one task decides, at once, for nothing, and against any majority. Only where
//! this machine may not or cannot run it, a further distinct provider breaks the tie.

use rialto_protocol::{DealId, OrderId, receipt::Halted, types::struct_hash};

use super::{
    Core, Effect, JobEvent, JobId, LocalRun, Outgoing, Record, WrongTask,
    journal::{Batch, Check, Job, Misstated, OrderStatus, Standing},
    matching::Why,
    orders::required,
    policy,
    verify::{Comparison, compare},
};

/// Most providers asked for, beyond the policy's, to break ties in one batch.
const MAX_TIE_BREAKS: u32 = 8;
/// Most tasks that a provider is told are wrong; the closing voucher says the rest.
const MAX_REJECTIONS: usize = 16;

impl Core {
    /// Compares what a batch has, and does what follows.
    pub(super) fn weigh(&mut self, id: JobId, index: u32) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let Some(batch) = job.batches.get(index as usize).filter(|batch| !batch.split) else {
            return;
        };
        let votes: Vec<_> = batch
            .orders
            .iter()
            .map(|order| (*order, &self.state.orders[order]))
            .filter(|(_, order)| order.counts())
            .map(|(name, order)| (name, order.results.as_slice()))
            .collect();
        let can_judge = job.spec.constraints.run_locally && !batch.unjudgeable;
        if let [(only, _)] = votes.as_slice()
            && !batch.settled
            && let Some(check) = self.draw(job, batch, *only, can_judge)
        {
            self.record(Record::Drawn { job: id, batch: index, check });
            return self.weigh(id, index);
        }
        let comparison =
            compare(batch.count, &votes, &batch.verdicts, required(job, batch), can_judge);
        if comparison == Comparison::Agreed && !batch.settled {
            let open = batch.unchecked();
            if !open.is_empty() {
                return self.audit(id, index, &open);
            }
        }
        let runs = job.runs();
        let settled = batch.settled;
        match comparison {
            Comparison::Agreed => self.settle(id, index),
            Comparison::Wrong(wrong) => {
                for (order, tasks) in wrong {
                    self.found_wrong(order, tasks);
                }
                self.weigh(id, index);
            }
            // After the work is over no provider gets more; what was delivered is verified here, so
            // that honest work of a job that was cancelled is paid.
            _ if !runs => {
                if can_judge && !votes.is_empty() && !settled {
                    let all: Vec<u32> = (0..batch.count).collect();
                    self.judge(id, index, &all);
                }
            }
            Comparison::Judge(tasks) => {
                self.tell_mismatch(id, index, &tasks);
                self.judge(id, index, &tasks);
            }
            Comparison::TieBreak(tasks) => {
                let (wanted, live) = (self.wanted(id, index), votes_of(self, id, index));
                if live as u32 >= wanted
                    && self.state.jobs[&id].batches[index as usize].extra < MAX_TIE_BREAKS
                {
                    self.tell_mismatch(id, index, &tasks);
                    self.record(Record::Widened { job: id, batch: index });
                }
                self.reopen(id, index);
            }
            Comparison::Wait if settled => self.reopen(id, index),
            Comparison::Wait => {}
        }
    }

    /// What of a batch is checked, drawn now that its first results are signed; nothing, if that is
    /// known already.
    fn draw(&self, job: &Job, batch: &Batch, order: OrderId, can_judge: bool) -> Option<Check> {
        // This machine was to check it, and can't.
        let stuck = match &batch.check {
            Check::Undrawn => false,
            Check::Sample(tasks)
                if !can_judge && tasks.iter().any(|task| !batch.verdicts.contains_key(task)) =>
            {
                true
            }
            Check::Sample(_) | Check::Repeat => return None,
        };
        if !job.spec.policy.samples() {
            return None;
        }
        let known = &self.state.orders[&order];
        let receipt = struct_hash(&known.receipt.as_ref()?.value);
        let provider = self.state.deals[&known.order.deal].provider();
        let history = self.state.history.get(&provider).copied().unwrap_or_default();
        let (rate, secret) = (job.spec.policy.rate(&history), job.spec.secret);
        Some(if can_judge {
            Check::Sample(policy::sample(secret, receipt, batch.count, rate))
        } else if stuck || policy::repeats(secret, receipt, rate) {
            Check::Repeat
        } else {
            Check::Sample(Vec::new())
        })
    }

    /// Runs a sample of a batch on this machine; its provider goes on meanwhile.
    fn audit(&mut self, id: JobId, index: u32, tasks: &[u32]) {
        if !self.judging.contains(&(id, index)) {
            self.auditing.insert((id, index));
            self.judge(id, index, tasks);
        }
    }

    /// Whether a deal takes part in a conflict that is being judged: it gets no more work until
    /// that is known.
    pub(super) fn disputed(&self, deal: DealId) -> bool {
        self.judging.difference(&self.auditing).any(|(job, batch)| {
            let batch = self.state.jobs.get(job).and_then(|job| job.batches.get(*batch as usize));
            let given = |order: &OrderId| {
                let order = &self.state.orders[order];
                order.order.deal == deal && order.status == OrderStatus::Delivered
            };
            batch.is_some_and(|batch| batch.orders.iter().any(given))
        })
    }

    fn wanted(&self, id: JobId, index: u32) -> u32 {
        let job = &self.state.jobs[&id];
        let batch = &job.batches[index as usize];
        required(job, batch) + batch.extra
    }

    fn reopen(&mut self, id: JobId, index: u32) {
        if self.state.jobs[&id].batches[index as usize].settled {
            self.record(Record::Unsettled { job: id, batch: index });
        }
    }

    /// Batches in which a deal has a part are compared again.
    pub(super) fn weigh_orders_of(&mut self, deal: DealId) {
        for order in &self.state.deals[&deal].orders {
            let order = &self.state.orders[order];
            self.dirty.insert((order.job, order.batch));
        }
    }

    fn tell_mismatch(&mut self, id: JobId, index: u32, tasks: &[u32]) {
        let batch = &self.state.jobs[&id].batches[index as usize];
        let told = tasks.iter().take(MAX_REJECTIONS).map(|task| {
            let results = batch
                .orders
                .iter()
                .map(|order| &self.state.orders[order])
                .filter(|order| order.counts());
            let result = |order: &super::journal::OurOrder| {
                (self.state.deals[&order.order.deal].provider(), order.results[*task as usize])
            };
            JobEvent::Mismatch { task: batch.first + task, results: results.map(result).collect() }
        });
        let told: Vec<_> = told.collect();
        if !self.judging.contains(&(id, index)) {
            told.into_iter().for_each(|event| self.tell(id, event));
        }
    }

    /// Runs tasks of a batch (by index) on this machine, to know what is right.
    pub(super) fn judge(&mut self, id: JobId, index: u32, tasks: &[u32]) {
        let batch = &self.state.jobs[&id].batches[index as usize];
        let seed = self.state.jobs[&id].spec.batch_seed(batch.first);
        let open = tasks.iter().filter(|task| !batch.verdicts.contains_key(task));
        let orders = batch.orders.iter().map(|order| &self.state.orders[order]);
        let stored = orders.clone().find(|order| order.stored && order.counts());
        let run = |index: &u32| LocalRun {
            index: *index,
            task: batch.first + index,
            seed: rialto_protocol::receipt::task_seed(seed, *index),
            stored: stored.and_then(|order| order.results.get(*index as usize)).copied(),
        };
        let runs: Vec<_> = open.map(run).collect();
        if runs.is_empty() || !self.judging.insert((id, index)) {
            return;
        }
        let (first, count) = (runs[0].task, runs.len() as u32);
        self.effects.push(Effect::RunLocally { job: id, batch: index, tasks: runs });
        self.tell(id, JobEvent::LocalRun { first, tasks: count });
    }

    pub(super) fn ran_locally(
        &mut self,
        id: JobId,
        index: u32,
        result: Result<Vec<(u32, Halted)>, String>,
    ) {
        if !self.judging.remove(&(id, index)) {
            return;
        }
        self.auditing.remove(&(id, index));
        let Some(batch) = self.state.jobs.get(&id).and_then(|job| job.batches.get(index as usize))
        else {
            return;
        };
        let results = match result {
            Ok(results)
                if results.iter().all(|(task, _)| *task < batch.count) && !results.is_empty() =>
            {
                Some(results)
            }
            Ok(_) => None,
            Err(why) => {
                self.note(id, "R-VER-010", format!("this machine could not run it: {why}"));
                None
            }
        };
        self.record(Record::Judged { job: id, batch: index, results });
        self.dirty.insert((id, index));
    }

    /// Every task of the batch has its result.
    fn settle(&mut self, id: JobId, index: u32) {
        let batch = &self.state.jobs[&id].batches[index as usize];
        let (first, count, orders) = (batch.first, batch.count, batch.orders.clone());
        if !batch.settled {
            self.record(Record::Settled { job: id, batch: index });
            self.tell(id, JobEvent::TasksVerified { first, count });
        }
        for order in &orders {
            match self.state.orders[order].status {
                OrderStatus::Delivered => self.accept(*order),
                OrderStatus::Open => {
                    self.cancel_order(*order);
                    // What waited behind it can be paid now.
                    self.vouch(self.state.orders[order].order.deal, false);
                }
                _ => {}
            }
        }
        // Now that the right results are known.
        for order in &orders {
            if self.state.orders[order].status == OrderStatus::Discarded {
                self.hold_against(*order);
            }
        }
    }

    /// Owes a delivered order's fee.
    fn accept(&mut self, order: OrderId) {
        let known = &self.state.orders[&order];
        let deal = &self.state.deals[&known.order.deal];
        let fee = known.receipt.as_ref().map_or(0, |receipt| receipt.value.fee);
        let id = known.order.deal;
        // A late receipt of an order that was cancelled and settled may find its money spent.
        if deal.earned.saturating_add(fee) > deal.terms.budget || deal.closed.is_some() {
            return self.record(Record::Discarded { order });
        }
        let closing = deal.closing.is_some();
        let checked = self.checked_tasks(order);
        self.record(Record::Accepted { order });
        if checked > 0 {
            self.record(Record::Passed { order, tasks: checked });
        }
        self.vouch(id, closing);
    }

    /// Tasks of an order that somebody else, or this machine, ran with the same result.
    fn checked_tasks(&self, order: OrderId) -> u32 {
        let known = &self.state.orders[&order];
        let batch = &self.state.jobs[&known.job].batches[known.batch as usize];
        let confirmed = |other: &OrderId| {
            let other = &self.state.orders[other];
            other.counts() && other.results == known.results
        };
        let others = batch.orders.iter().any(|other| *other != order && confirmed(other));
        if others { batch.count } else { batch.verdicts.len() as u32 }
    }

    /// The right result of a task, as far as it is known: judged here, or given by an accepted
    /// replica.
    pub(super) fn right(&self, id: JobId, index: u32, task: u32) -> Option<Halted> {
        let batch = &self.state.jobs[&id].batches[index as usize];
        let accepted = |order: &&OrderId| self.state.orders[*order].status == OrderStatus::Accepted;
        batch.verdicts.get(&task).copied().or_else(|| {
            let order = batch.orders.iter().find(accepted)?;
            self.state.orders[order].results.get(task as usize).copied()
        })
    }

    /// A provider signed wrong results: it gets nothing beyond what it has, and its other results
    /// do not count.
    fn found_wrong(&mut self, order: OrderId, tasks: Vec<(u32, Halted)>) {
        let id = self.state.orders[&order].order.deal;
        let first_time = self.state.deals[&id].standing != Standing::Faulty;
        self.blame(order, tasks);
        if first_time {
            self.shun(id);
        }
    }

    /// A receipt of a provider contradicts itself in a way that the deal's court is shown.
    pub(super) fn found_misstated(&mut self, misstated: Misstated) {
        let (order, fault) = (misstated.order, misstated.proof.fault());
        let id = self.state.orders[&order].order.deal;
        let deal = &self.state.deals[&id];
        let (job, provider, first_time) =
            (deal.job, deal.provider(), deal.standing != Standing::Faulty);
        self.record(Record::Misstated(Box::new(misstated)));
        self.tell(job, JobEvent::Misstated { provider, deal: id, order, fault });
        if first_time {
            self.shun(id);
        }
    }

    /// Who signed what is wrong is dealt with no more, and nothing of it is believed that nobody
    /// confirms.
    pub(super) fn shun(&mut self, id: DealId) {
        let (job, provider) = (self.state.deals[&id].job, self.state.deals[&id].provider());
        self.record(Record::Barred { job, provider, why: Why::Cheated });
        self.book.forget(provider);
        self.cancel_orders(id);
        for order in self.state.deals[&id].orders.clone() {
            if self.state.orders[&order].status == OrderStatus::Delivered {
                self.record(Record::Discarded { order });
            }
        }
        if self.state.jobs[&job].spec.policy.samples() {
            self.doubt(id, job);
        }
        self.weigh_orders_of(id);
        self.send_rejections(id);
        self.vouch(id, true);
    }

    /// What was accepted from a cheater on its word and a sample is run again, by somebody else. A
    /// job that is done stays done: nobody works for it any more, and its results may be in use.
    /// That they are doubtful is told.
    fn doubt(&mut self, id: DealId, job: JobId) {
        let ours = |order: &&OrderId| {
            let known = &self.state.orders[*order];
            let confirmed = self.checked_tasks(**order) == known.order.tasks;
            known.job == job && known.status == OrderStatus::Accepted && !confirmed
        };
        let doubtful: Vec<_> = self.state.deals[&id].orders.iter().filter(ours).copied().collect();
        if self.state.jobs[&job].is_done() {
            let tasks: u32 =
                doubtful.iter().map(|order| self.state.orders[order].order.tasks).sum();
            if tasks > 0 {
                let provider = self.state.deals[&id].provider();
                let text = format!(
                    "{provider} was caught when the job was done: {tasks} of its tasks had been accepted on its word and a sample"
                );
                self.note(job, "R-VER-011", text);
            }
            return;
        }
        for order in doubtful {
            self.record(Record::Doubted { order });
        }
    }

    /// Remembers and tells what exactly is wrong.
    fn blame(&mut self, order: OrderId, tasks: Vec<(u32, Halted)>) {
        let known = &self.state.orders[&order];
        let (id, job) = (known.order.deal, known.job);
        let first = self.state.first_task(known).unwrap_or_default();
        let wrong = |(task, right): (u32, Halted)| WrongTask {
            task: first + task,
            theirs: known.results[task as usize],
            right,
        };
        let tasks: Vec<_> = tasks.into_iter().map(wrong).collect();
        let provider = self.state.deals[&id].provider();
        self.record(Record::Wrong { order, tasks: tasks.clone() });
        self.tell(job, JobEvent::Cheater { provider, deal: id, tasks });
    }

    /// Results of a cheater that were put aside are compared once the right ones are known.
    fn hold_against(&mut self, order: OrderId) {
        let known = &self.state.orders[&order];
        if self.state.deals[&known.order.deal].standing != Standing::Faulty {
            return;
        }
        let (job, index) = (known.job, known.batch);
        let mut wrong = Vec::new();
        for (task, theirs) in (0..).zip(&known.results) {
            wrong.extend(
                self.right(job, index, task)
                    .filter(|right| right != theirs)
                    .map(|right| (task, right)),
            );
        }
        if !wrong.is_empty() {
            self.blame(order, wrong);
        }
    }

    /// Tells a cheater which results were found wrong.
    pub(super) fn send_rejections(&mut self, id: DealId) {
        let deal = &self.state.deals[&id];
        let rejections = deal.wrong.iter().take(MAX_REJECTIONS).filter_map(|wrong| {
            let (order, task) = self.state.wrong_order(deal, wrong)?;
            Some(Outgoing::Reject { order, task, expected: wrong.right.hash() })
        });
        let rejections: Vec<_> = rejections.collect();
        rejections.into_iter().for_each(|message| self.send(id, message));
    }
}

/// Votes that a batch has.
fn votes_of(core: &Core, id: JobId, index: u32) -> usize {
    let batch = &core.state.jobs[&id].batches[index as usize];
    batch.orders.iter().filter(|order| core.state.orders[*order].counts()).count()
}
