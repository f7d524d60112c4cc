//! What is told about a job: counts while it runs, the summary at its end.

use rialto_protocol::{DealId, receipt::Halted};

use super::{
    Checks, Core, JobError, JobEvent, JobId, JobPhase, JobStatus, Outcome, Policy, Progress,
    ProviderReport, ProviderStatus, Source, Summary, TaskResult,
    journal::{Batch, Check, Job, OpenDeal, OrderStatus, Phase, Standing},
    policy::{PPM, batch_detection, detection_probability},
};

impl Summary {
    /// Of a job that was refused before anything happened.
    pub(super) fn refused(job: JobId, fault: JobError) -> Self {
        Self {
            job,
            outcome: Err(fault),
            tasks: Vec::new(),
            providers: Vec::new(),
            requester_paid: 0,
            transactions: Vec::new(),
            progress: Progress::default(),
            checks: Checks::default(),
            disputes: Vec::new(),
        }
    }
}

impl Core {
    /// Tells counts that changed.
    pub(super) fn tell_progress(&mut self) {
        for id in self.state.jobs.keys().copied().collect::<Vec<_>>() {
            if matches!(self.state.jobs[&id].phase, Phase::Reported { .. }) {
                continue;
            }
            let progress = self.progress(id);
            if self.told.get(&id) != Some(&progress) {
                self.told.insert(id, progress);
                self.tell(id, JobEvent::Progress(progress));
            }
        }
    }

    /// Counts of a job.
    pub(super) fn progress(&self, id: JobId) -> Progress {
        let job = &self.state.jobs[&id];
        let started: u64 =
            job.open_batches.iter().map(|batch| self.done(&job.batches[*batch as usize])).sum();
        let verified = job.verified();
        let spent = job.deals.iter().map(|deal| {
            let deal = &self.state.deals[deal];
            if deal.job != id || deal.earned_before > 0 {
                return deal
                    .orders
                    .iter()
                    .map(|order| &self.state.orders[order])
                    .filter(|o| o.job == id)
                    .map(|o| o.accepted_fee())
                    .sum();
            }
            deal.voucher.as_ref().map_or(0, |voucher| voucher.amount)
        });
        Progress {
            tasks: job.spec.tasks().into(),
            done: verified + started,
            verified,
            paid: job.paid_tasks.min(verified),
            spent: spent.sum(),
            retries: job.retries,
            failovers: job.failovers,
        }
    }

    /// How a job ended, with the counts of now: what was under way at its deadline may have been
    /// verified since.
    fn outcome(&self, job: &Job, outcome: &Outcome) -> Outcome {
        let (verified, tasks) = (job.verified(), u64::from(job.spec.tasks()));
        match outcome {
            Err(JobError::Deadline { .. }) => Err(JobError::Deadline { verified, tasks }),
            Err(JobError::Stranded { why, .. }) => {
                Err(JobError::Stranded { left: tasks.saturating_sub(verified), why: why.clone() })
            }
            other => other.clone(),
        }
    }

    /// A job in short; `None` if there is no such job (any more).
    pub fn job_status(&self, id: JobId) -> Option<JobStatus> {
        let job = self.state.jobs.get(&id)?;
        let (phase, outcome, ended) = match &job.phase {
            Phase::Running => (JobPhase::Running, None, None),
            Phase::Settling { at, outcome } => {
                (JobPhase::Settling, Some(self.outcome(job, outcome)), Some(*at))
            }
            Phase::Reported { at, outcome } => {
                (JobPhase::Ended, Some(self.outcome(job, outcome)), Some(*at))
            }
        };
        Some(JobStatus {
            id,
            name: job.spec.name.clone(),
            phase,
            outcome,
            submitted: job.submitted,
            deadline: job.spec.constraints.deadline,
            ended,
            policy: job.spec.policy,
            budget: job.spec.constraints.budget,
            deals: job.deals.len() as u32,
            progress: self.progress(id),
            waits: self.stranded_why.get(&id).cloned().or_else(|| self.missed(id)),
        })
    }

    /// That nobody of a job is there, if that is so.
    fn missed(&self, id: JobId) -> Option<String> {
        let open = |deal: &DealId| {
            let deal = &self.state.deals[deal];
            deal.closing.is_none() && deal.closed.is_none()
        };
        let open: Vec<_> = self.own_deals(id).into_iter().filter(open).collect();
        let missed = self.state.jobs[&id].runs()
            && !open.is_empty()
            && open.iter().all(|deal| self.lost(*deal));
        missed.then(|| {
            "none of its providers can be reached: they are dialled again every few seconds".into()
        })
    }

    /// Tasks of an open batch that some provider is through with.
    fn done(&self, batch: &Batch) -> u64 {
        let done = batch.orders.iter().map(|name| {
            let order = &self.state.orders[name];
            match order.status {
                OrderStatus::Delivered | OrderStatus::Accepted => batch.count,
                OrderStatus::Open => self.progress.get(name).copied().unwrap_or(0).min(batch.count),
                _ => 0,
            }
        });
        done.max().unwrap_or(0).into()
    }

    /// The report of a job as it stands.
    pub fn summary(&self, id: JobId) -> Summary {
        let job = &self.state.jobs[&id];
        let outcome: Outcome = match &job.phase {
            Phase::Running => Ok(()),
            Phase::Settling { outcome, .. } | Phase::Reported { outcome, .. } => {
                self.outcome(job, outcome)
            }
        };
        let mut tasks = vec![None; job.spec.inputs.len()];
        for (index, batch) in (0..).zip(&job.batches) {
            if batch.settled {
                self.results_of(
                    id,
                    index,
                    batch,
                    &mut tasks[batch.first as usize..][..batch.count as usize],
                );
            }
        }
        let providers: Vec<_> =
            job.deals.iter().map(|deal| self.provider_report(id, *deal)).collect();
        Summary {
            job: id,
            outcome,
            tasks,
            requester_paid: providers.iter().map(|provider| provider.earned).sum(),
            providers,
            transactions: job.transactions.clone(),
            progress: self.progress(id),
            checks: self.checks(id),
            disputes: job.deals.iter().flat_map(|deal| self.dispute_reports(*deal)).collect(),
        }
    }

    fn checks(&self, id: JobId) -> Checks {
        let job = &self.state.jobs[&id];
        let mut checks = Checks { doubted: job.doubted, ..Checks::default() };
        let mut histories = Vec::new();
        let mut whole = false;
        for batch in &job.batches {
            let orders = batch.orders.iter().map(|order| &self.state.orders[order]);
            let accepted: Vec<_> =
                orders.filter(|order| order.status == OrderStatus::Accepted).collect();
            checks.own_runs += batch.verdicts.len() as u64;
            let fuel = batch
                .verdicts
                .values()
                .map(|halted| u128::from(halted.fuel_used(job.spec.fuel_limit)));
            checks.own_fuel += fuel.sum::<u128>();
            checks.repeated +=
                accepted.iter().skip(1).map(|order| u64::from(order.order.tasks)).sum::<u64>();
            checks.repeated_fees +=
                accepted.iter().skip(1).map(|order| order.accepted_fee()).sum::<u128>();
            whole |= batch.check == Check::Repeat || batch.unjudgeable;
            if batch.settled {
                checks.checked += match accepted.len() {
                    0 => 0,
                    1 => batch.verdicts.len() as u64,
                    _ => batch.count.into(),
                };
            }
            if let [only] = accepted.as_slice() {
                let provider = self.state.deals[&only.order.deal].provider();
                histories.push(self.state.history.get(&provider).copied().unwrap_or_default());
            }
        }
        let policy = job.spec.policy;
        let least = histories.iter().map(|history| policy.rate(history)).min();
        let tasks = u64::from(job.spec.tasks());
        let unseen = |cheated: u64| {
            let found = match (policy, least) {
                (Policy::Replicate { .. } | Policy::Trust, _) => {
                    detection_probability(policy, tasks, cheated)
                }
                // Nobody was believed on a sample.
                (_, None) => PPM,
                (_, Some(rate)) if whole || !job.spec.constraints.run_locally => {
                    batch_detection(rate)
                }
                (_, Some(rate)) => {
                    detection_probability(Policy::Audit { rate_ppm: rate }, tasks, cheated)
                }
            };
            (cheated, PPM - found)
        };
        let counts = std::iter::successors(Some(1u64), |count| count.checked_mul(10));
        checks.unseen = counts.take_while(|count| *count <= tasks).map(unseen).collect();
        checks
    }

    fn results_of(&self, id: JobId, index: u32, batch: &Batch, results: &mut [Option<TaskResult>]) {
        let given = batch.orders.iter().map(|name| (*name, &self.state.orders[name]));
        let given: Vec<_> =
            given.filter(|(_, order)| order.results.len() == batch.count as usize).collect();
        let mut offsets = vec![0u64; given.len()];
        for (task, slot) in (0..).zip(results) {
            if let Some(right) = self.right(id, index, task) {
                let gave = |results: &[Halted]| results[task as usize] == right;
                let source = given
                    .iter()
                    .zip(&offsets)
                    .find(|((_, order), _)| order.stored && gave(&order.results));
                let source = source
                    .map(|((order, _), offset)| Source::Order { order: *order, offset: *offset });
                let judged = batch.verdicts.contains_key(&task);
                let accepted =
                    |order: &super::journal::OurOrder| order.status == OrderStatus::Accepted;
                let votes = given
                    .iter()
                    .filter(|(_, order)| accepted(order) && gave(&order.results))
                    .count() as u32;
                if let Some(source) = source.or(judged.then_some(Source::Local)) {
                    *slot = Some(TaskResult {
                        halted: right,
                        source,
                        votes: votes + u32::from(judged),
                    });
                }
            }
            for (offset, (_, order)) in offsets.iter_mut().zip(&given) {
                *offset = offset.saturating_add(order.results[task as usize].out_len);
            }
        }
    }

    fn provider_report(&self, job: JobId, id: DealId) -> ProviderReport {
        let deal = &self.state.deals[&id];
        let orders = deal.orders.iter().map(|order| &self.state.orders[order]);
        let accepted: Vec<_> = orders
            .clone()
            .filter(|order| order.job == job && order.status == OrderStatus::Accepted)
            .collect();
        // What was earned in the deal for other jobs is not this job's.
        let others: u128 =
            orders.clone().filter(|order| order.job != job).map(|order| order.accepted_fee()).sum();
        let alone = orders.clone().all(|order| order.job == job);
        let earned = deal.owed().saturating_sub(others);
        let kept = deal.closed.is_none() && (deal.job != job || self.keeps(id));
        let fuel = accepted
            .iter()
            .filter_map(|order| order.receipt.as_ref())
            .map(|receipt| receipt.value.fuel)
            .sum();
        ProviderReport {
            provider: deal.provider(),
            deal: id,
            price: deal.terms.price,
            task_fee: deal.terms.taskFee,
            budget: deal.terms.budget,
            tasks: accepted.iter().map(|order| u64::from(order.order.tasks)).sum(),
            fuel,
            earned,
            paid: deal
                .closed
                .map(|paid| if alone { paid } else { paid.saturating_sub(others).min(earned) }),
            status: status_of(deal, kept),
            wrong: deal.wrong.clone(),
        }
    }
}

fn status_of(deal: &OpenDeal, kept: bool) -> ProviderStatus {
    match &deal.standing {
        Standing::Faulty => ProviderStatus::Cheated,
        Standing::Dropped(reason) => ProviderStatus::Dropped { code: reason.to_string() },
        Standing::Active if deal.closed.is_some() || kept => ProviderStatus::Settled,
        Standing::Active => ProviderStatus::Unsettled,
    }
}
