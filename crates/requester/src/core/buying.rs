//! Opening deals: at the start, and again when providers fall away. All deals of one attempt open
//! in one transaction; where the market refuses that, each is tried by itself to find out which one
//! it is.
//!
//! What a deal will be, its id included, is known and recorded before the transaction. So whatever
//! becomes of that, a deal that the chain says is open is recognised, and used or closed.

use std::collections::BTreeMap;

use rialto_protocol::{
    DealId,
    model::{self, Market, ModelError},
    receipt::task_seed,
};

use super::{
    Call, Core, Effect, JobError, JobEvent, JobId, JobSpec, Plan, Policy, Record, Terms,
    Transacted, TxNote, Why,
    book::Offer,
    journal::{Job, OrderStatus, Phase, Standing},
    matching::{self, Load, Need, NoMatch},
    verify::worst_fee,
};

/// Most attempts to open deals for one job: a market that keeps refusing is not asked for ever.
const MAX_OPENINGS: usize = 64;
/// For a chain's clock that lags: an opening is given up so long after no block could take it by
/// ours, seconds.
const LATE_SECONDS: u64 = 60;

/// What a whole job needs, with nothing bought yet.
pub(super) fn need_of(spec: &JobSpec) -> Need {
    let constraints = &spec.constraints;
    Need {
        tasks: spec.tasks().into(),
        replicas: spec.policy.replicas(),
        expected_fuel: constraints.expected_fuel.map(|fuel| fuel.clamp(1, spec.fuel_limit.max(1))),
        fuel_limit: spec.fuel_limit,
        max_pages: spec.max_pages,
        out_limit: spec.out_limit,
        load: Load {
            tasks: 1,
            inputs: spec.largest_input(),
            program: spec.program_bytes,
            shared: spec.shared_bytes,
        },
        budget: constraints.budget,
        max_price: constraints.max_price,
        deadline: constraints.deadline,
        min_collateral_bps: constraints.min_collateral_bps,
        min_providers: constraints.min_providers,
        max_providers: constraints.max_providers,
        any_court: spec.policy == Policy::Trust,
        excluded: constraints.exclude.iter().map(|provider| (*provider, Why::Listed)).collect(),
    }
}

/// Fewest distinct providers without which a job can't be verified: where this machine may not
/// check, somebody else has to.
pub(super) fn distinct(spec: &JobSpec) -> u32 {
    if spec.policy.samples() && !spec.constraints.run_locally { 2 } else { spec.policy.replicas() }
}

/// A plan for at least so many distinct providers.
fn at_least(
    distinct: u32,
    need: &Need,
    find: impl FnOnce(&Need) -> Result<Plan, NoMatch>,
) -> Result<Plan, NoMatch> {
    let plan = find(&Need { min_providers: need.min_providers.max(distinct), ..need.clone() })?;
    let found = plan.deals.len() as u32;
    if found < distinct {
        return Err(NoMatch::TooFew { needed: distinct, found, excluded: plan.excluded });
    }
    Ok(plan)
}

/// What is wanted of an offer.
struct Wish {
    budget: u128,
    seconds: u32,
    max_price: u128,
    salt: u64,
}

fn open_intent(job: JobId, attempt: usize) -> String {
    format!("open-{job}-{attempt}")
}

impl Core {
    /// What a whole job needs, less providers that are not to be used.
    pub(super) fn need_of(&self, spec: &JobSpec) -> Need {
        let mut need = need_of(spec);
        need.excluded.extend(self.known_cheaters());
        need.excluded.extend(self.resting());
        need
    }

    /// The cheapest set of at least `distinct` providers, by the index: without reasons.
    pub(super) fn plan(&self, now: u64, need: &Need, distinct: u32) -> Result<Plan, NoMatch> {
        at_least(distinct, need, |need| matching::plan(now, &self.book, need))
    }

    /// The same, and why each other offer is left out: for when somebody hears it.
    pub(super) fn explain(&self, now: u64, need: &Need, distinct: u32) -> Result<Plan, NoMatch> {
        at_least(distinct, need, |need| matching::explain(now, self.book.offers(), need))
    }

    /// Providers that were caught, by this job or one before: `forgive` takes that back.
    fn known_cheaters(&self) -> impl Iterator<Item = (rialto_protocol::Address, Why)> + '_ {
        self.state
            .history
            .iter()
            .filter(|(_, history)| history.faults > 0)
            .map(|(provider, _)| (*provider, Why::Cheated))
    }

    /// Opens deals where work has nobody to go to.
    pub(super) fn seek(&mut self, id: JobId) {
        let job = &self.state.jobs[&id];
        let pending = job.openings.iter().position(|opening| opening.pending);
        if let Some(attempt) = pending {
            let call = Call::Open(job.openings[attempt].terms.clone());
            return self.transact(open_intent(id, attempt), call);
        }
        let first = job.deals.is_empty();
        let lacks = self.lacks(id);
        let Some((need, distinct)) = lacks else {
            self.stranded.remove(&id);
            self.stranded_why.remove(&id);
            return;
        };
        if self.seek_at.get(&id).is_some_and(|at| self.now < *at) {
            return;
        }
        // From when somebody looks: after a restart the offers have to be heard anew, whenever the
        // job was submitted.
        let since = *self.stranded.entry(id).or_insert(self.now);
        let openings = self.state.jobs[&id].openings.len();
        let patience =
            if first { self.config.patience.asks } else { self.config.patience.stranded };
        let waited = self.now >= since.saturating_add(patience);
        self.book.turn(self.now);
        let enough =
            |plan: Plan| plan.deals.len() >= need.min_providers.min(need.max_providers) as usize;
        // The index decides whether it is time; reasons are looked for when they are told.
        if waited || self.plan(self.now, &need, distinct).is_ok_and(enough) {
            match self.explain(self.now, &need, distinct) {
                Ok(plan) if openings < MAX_OPENINGS => self.open(id, plan),
                Ok(_) => {
                    self.end(id, Err(JobError::Open(format!("{MAX_OPENINGS} attempts failed"))))
                }
                Err(why) => self.no_match(id, why, first),
            }
        }
        // While new offers are awaited this machine need not be idle.
        if !first {
            self.run_stranded(id);
        }
    }

    /// What a job lacks, and from how many distinct providers; none if its deals can do all that is
    /// left.
    pub(super) fn lacks(&self, id: JobId) -> Option<(Need, u32)> {
        let job = &self.state.jobs[&id];
        if job.deals.is_empty() {
            return self.first_need(job).map(|need| (need, distinct(&job.spec)));
        }
        self.more_need(id, job).map(|need| (need, 1))
    }

    /// Before anything is bought: deals that earlier jobs left open.
    pub(super) fn inherit(&mut self, id: JobId) {
        let job = &self.state.jobs[&id];
        let fresh = job.deals.is_empty() && !job.openings.iter().any(|opening| opening.pending);
        if fresh && self.take_over(id) > 0 {
            self.top_up(id);
        }
    }

    /// Deals were taken over: more are opened only if the job wants more providers, and they are on
    /// offer now.
    fn top_up(&mut self, id: JobId) {
        let job = &self.state.jobs[&id];
        let own = self.own_deals(id);
        let (has, wants) = (own.len() as u32, &job.spec.constraints);
        let least = distinct(&job.spec).max(wants.min_providers.min(wants.max_providers));
        if has >= least {
            return;
        }
        let Some(mut need) = self.first_need(job) else { return };
        need.excluded
            .extend(own.iter().map(|deal| (self.state.deals[deal].provider(), Why::SameOwner)));
        let locked = own.iter().map(|deal| &self.state.deals[deal]);
        let locked =
            locked.map(|deal| deal.terms.budget.saturating_sub(deal.earned_before)).sum::<u128>();
        need.budget = need.budget.saturating_sub(locked);
        (need.replicas, need.min_providers) = (1, least - has);
        need.max_providers = need.max_providers.saturating_sub(has).max(1);
        // Without more it works with what it has, or seeks again where that is not enough.
        if let Ok(plan) = self.explain(self.now, &need, 1) {
            self.open(id, plan);
        }
    }

    /// The whole job, less providers that were tried in vain.
    fn first_need(&self, job: &Job) -> Option<Need> {
        let mut need = self.need_of(&job.spec);
        need.excluded.extend(job.barred.clone());
        Some(need)
    }

    /// One more provider, if there is work that no deal can take.
    fn more_need(&self, id: JobId, job: &Job) -> Option<Need> {
        let (tasks, batch) = self.unplaceable(id)?;
        let locked = self.locked(id);
        let mut excluded: BTreeMap<_, _> = job.barred.clone();
        excluded.extend(self.known_cheaters());
        excluded.extend(self.resting());
        let open = job
            .deals
            .iter()
            .map(|deal| &self.state.deals[deal])
            .filter(|deal| deal.closed.is_none());
        for deal in open {
            let why = if deal.standing == Standing::Faulty { Why::Cheated } else { Why::SameOwner };
            excluded.entry(deal.provider()).or_insert(why);
        }
        if let Some(batch) = batch {
            let orders =
                job.batches[batch as usize].orders.iter().map(|order| &self.state.orders[order]);
            for order in orders.filter(|order| order.status != OrderStatus::Refused) {
                let deal = &self.state.deals[&order.order.deal];
                excluded.entry(deal.provider()).or_insert(Why::SameOwner);
            }
        }
        let mut need = need_of(&job.spec);
        if let Some(batch) = batch.and_then(|batch| job.batches.get(batch as usize)) {
            // It can't be made smaller any more.
            need.load.tasks = batch.count;
            need.load.inputs = job.spec.carried_inputs(batch.first, batch.count);
        }
        let working =
            self.own_deals(id).iter().filter(|deal| self.state.deals[*deal].works()).count() as u32;
        Some(Need {
            tasks,
            replicas: 1,
            expected_fuel: if job.measured.1 > 0 {
                Some(job.expected_fuel())
            } else {
                need.expected_fuel
            },
            budget: need.budget.saturating_sub(locked),
            min_providers: need.min_providers.saturating_sub(working).max(1),
            max_providers: need.max_providers.saturating_sub(working).max(1),
            excluded,
            ..need
        })
    }

    /// Tasks that no deal can take, and the first batch of them if it is one.
    fn unplaceable(&self, id: JobId) -> Option<(u64, Option<u32>)> {
        let job = &self.state.jobs[&id];
        let own = self.own_deals(id);
        // What is delivered and not paid uses up credit, and stays so while nothing is under way
        // that could verify it.
        let moves = own.iter().any(|deal| self.awaited_orders(*deal) > 0)
            || self.judging.iter().any(|(job, _)| *job == id);
        let takes = |batch: Option<u32>, count: u32| {
            own.iter().any(|deal| {
                let one = worst_fee(&self.state.deals[deal].terms, job.spec.fuel_limit, count);
                let batch_of = batch.and_then(|batch| job.batches.get(batch as usize));
                let accepts =
                    batch_of.is_none_or(|of| self.accepts(job, *deal, of.first, of.count));
                let credit = moves || self.credit_left(*deal) >= one;
                self.could_take(*deal, batch)
                    && accepts
                    && credit
                    && self.spare_at_best(*deal) >= one
            })
        };
        let mut stuck = job.open_batches.iter().copied().filter(|batch| {
            self.missing(job, *batch) > 0
                && !takes(Some(*batch), job.batches[*batch as usize].count)
        });
        if let Some(batch) = stuck.next() {
            let count = |batch: u32| u64::from(job.batches[batch as usize].count);
            return Some((count(batch) + stuck.map(count).sum::<u64>(), Some(batch)));
        }
        let uncut = u64::from(job.spec.tasks() - job.next_task);
        (uncut > 0 && !takes(None, 1)).then_some((uncut, None))
    }

    fn open(&mut self, id: JobId, plan: Plan) {
        self.tell(
            id,
            JobEvent::Quote {
                providers: plan.deals.len() as u32,
                cost: plan.cost,
                locked: plan.locked,
                seconds: plan.seconds,
            },
        );
        plan.excluded
            .iter()
            .for_each(|excluded| self.tell(id, JobEvent::Excluded(excluded.clone())));
        let job = &self.state.jobs[&id];
        let seed = task_seed(id.0, job.openings.len() as u32);
        let max_price = job.spec.constraints.max_price;
        let wanted = (0..).zip(plan.deals).map(|(index, deal)| {
            let wish = Wish {
                budget: deal.budget,
                seconds: deal.seconds,
                max_price,
                salt: task_seed(seed, index),
            };
            (deal.offer, wish)
        });
        self.try_open(id, wanted.collect());
    }

    /// What is opened now from an offer.
    fn terms(&self, offer: &Offer, wish: &Wish) -> Result<Terms, ModelError> {
        let terms = model::Terms {
            key: self.config.key,
            budget: wish.budget,
            opened_at: matching::opening_time(&offer.ask.value, self.now),
            duration: wish.seconds,
            max_price: wish.max_price,
            salt: wish.salt,
        };
        let deal = Market::deal_terms(self.config.requester, &offer.ask.value, &terms)?;
        Ok(Terms { offer: offer.clone(), max_price: wish.max_price, deal })
    }

    fn try_open(&mut self, id: JobId, wanted: Vec<(Offer, Wish)>) {
        let mut terms = Vec::with_capacity(wanted.len());
        for (offer, wish) in wanted {
            match self.terms(&offer, &wish) {
                Ok(found) => terms.push(found),
                Err(why) => self.bar(id, &offer, why.to_string()),
            }
        }
        if terms.is_empty() {
            return;
        }
        let attempt = self.state.jobs[&id].openings.len();
        self.record(Record::Opening { job: id, terms: terms.clone() });
        self.transact(open_intent(id, attempt), Call::Open(terms));
    }

    /// Sends a transaction, unless its outcome is awaited.
    pub(super) fn transact(&mut self, intent: String, call: Call) {
        let due = match self.sent.get(&intent) {
            None => true,
            Some(None) => false,
            Some(Some(retry_at)) => self.now >= *retry_at,
        };
        if due {
            self.sent.insert(intent.clone(), None);
            self.effects.push(Effect::Transact { intent, call: Box::new(call) });
        }
    }

    pub(super) fn transacted(&mut self, intent: String, outcome: Transacted) {
        let unsent = match &outcome {
            Transacted::Unsent { reason } => Some(reason.clone()),
            Transacted::Short { holds, takes, bonds } => {
                let why = JobError::Bonds { holds: *holds, takes: *takes, bonds: *bonds };
                if self.too_poor(&intent, &why) {
                    return;
                }
                Some(why.to_string())
            }
            Transacted::Mined { .. } | Transacted::Reverted { .. } => None,
        };
        if let Some(reason) = unsent {
            if let Some((id, attempt)) = self.opening_named(&intent, true)
                && self.comes_too_late(id, attempt, LATE_SECONDS)
            {
                return self.opened_too_late(id, attempt, &reason);
            }
            let retry_at = self.now.saturating_add(self.config.patience.transaction);
            if let Some(sent) = self.sent.get_mut(&intent) {
                *sent = Some(retry_at);
            }
            return;
        }
        match (self.opening_named(&intent, false), outcome) {
            (Some((id, attempt)), Transacted::Mined { tx, opened }) => {
                self.opened(id, attempt, tx, &opened)
            }
            (Some((id, attempt)), Transacted::Reverted { code, reason }) => {
                self.open_failed(id, attempt, format!("{reason} ({code})"));
            }
            (None, Transacted::Reverted { code, reason }) => {
                self.action_failed(&intent, &code, &reason)
            }
            (None, Transacted::Mined { .. })
            | (_, Transacted::Unsent { .. } | Transacted::Short { .. }) => {}
        }
    }

    /// The account can't keep the bonds of accusations beside what an opening takes. A job that has
    /// no deals ends: nothing was locked for it. One that has deals waits for money to come back
    /// from them. Returns whether the job ended.
    fn too_poor(&mut self, intent: &str, why: &JobError) -> bool {
        let Some((id, attempt)) = self.opening_named(intent, true) else { return false };
        if self.state.jobs[&id].deals.is_empty() {
            self.record(Record::OpenFailed { job: id, attempt: attempt as u32 });
            self.end(id, Err(why.clone()));
            return true;
        }
        if self.stranded_why.insert(id, why.to_string()).is_none() {
            self.note(id, "R-JOB-026", format!("no more deals are opened for now: {why}"));
        }
        false
    }

    /// The opening whose transaction has this name.
    fn opening_named(&self, intent: &str, pending: bool) -> Option<(JobId, usize)> {
        self.state.jobs.iter().find_map(|(id, job)| {
            let known =
                job.openings.iter().enumerate().filter(|(_, opening)| opening.pending || !pending);
            known
                .map(|(attempt, _)| attempt)
                .find(|attempt| open_intent(*id, *attempt) == intent)
                .map(|a| (*id, a))
        })
    }

    /// What a transaction opened, as its sender saw it.
    fn opened(&mut self, id: JobId, attempt: usize, tx: TxNote, opened: &[DealId]) {
        let Some(opening) = self.state.jobs.get(&id).and_then(|job| job.openings.get(attempt))
        else {
            return;
        };
        let pending = opening.pending;
        let ours: Vec<_> =
            (0..).zip(&opening.terms).map(|(index, terms)| (index, terms.id())).collect();
        let ours: Vec<_> = ours.into_iter().filter(|(_, deal)| opened.contains(deal)).collect();
        if ours.is_empty() {
            return self.open_failed(id, attempt, "the transaction opened no deal".into());
        }
        let fresh = ours.iter().filter(|(_, deal)| !self.state.deals.contains_key(deal));
        let fresh: Vec<_> = fresh.map(|(index, _)| *index).collect();
        if pending || !fresh.is_empty() {
            self.begin(id, attempt as u32, fresh, tx);
        }
    }

    /// The chain says that a deal of ours is open.
    pub(super) fn found_open(&mut self, deal: DealId, tx: TxNote) {
        if let Some((job, attempt, index)) = self.state.opening_of(deal) {
            self.begin(job, attempt, vec![index], tx);
        }
    }

    /// Deals are open: they are used, or closed where nobody needs them any more.
    fn begin(&mut self, id: JobId, attempt: u32, deals: Vec<u32>, tx: TxNote) {
        let opening = self.state.jobs.get(&id).and_then(|job| job.openings.get(attempt as usize));
        let terms = |index: &u32| Some(opening?.terms.get(*index as usize)?.deal.clone());
        let terms: Vec<_> = deals.iter().filter_map(terms).collect();
        let gas = tx.gas.unwrap_or(0) / u64::from(tx.deals.max(1));
        self.record(Record::Opened { job: id, attempt, deals, tx: tx.clone() });
        for deal in terms {
            let id_of_deal = rialto_protocol::types::struct_hash(&deal);
            let event = JobEvent::DealOpened {
                provider: deal.provider,
                deal: id_of_deal,
                price: deal.price,
                budget: deal.budget,
                collateral: deal.collateral,
                tx: tx.tx,
                gas,
            };
            self.tell(id, event);
            // Cancelled while the transaction was under way, or others were opened instead.
            let job = &self.state.jobs[&id];
            if !job.runs() || self.locked(id) > job.spec.constraints.budget {
                self.vouch(id_of_deal, true);
            }
        }
        self.stranded.remove(&id);
        self.stranded_why.remove(&id);
        self.tend_sessions();
    }

    /// What of a job's money is in its deals, base units.
    fn locked(&self, id: JobId) -> u128 {
        let own = self.own_deals(id);
        let deals = own.iter().filter_map(|deal| self.state.deals.get(deal));
        let locked = deals.map(|deal| {
            deal.closed.unwrap_or(deal.terms.budget).saturating_sub(deal.earned_before)
        });
        locked.fold(0, u128::saturating_add)
    }

    /// Whether no block opens these deals any more, so many seconds after that was so by our clock.
    fn comes_too_late(&self, id: JobId, attempt: usize, seconds: u64) -> bool {
        let opening = self.state.jobs.get(&id).and_then(|job| job.openings.get(attempt));
        opening.is_some_and(|opening| {
            opening
                .terms
                .iter()
                .any(|terms| self.now >= terms.opens_until().saturating_add(seconds))
        })
    }

    /// Nobody is to blame: others, or the same, are opened anew under another name.
    fn opened_too_late(&mut self, id: JobId, attempt: usize, reason: &str) {
        self.record(Record::OpenFailed { job: id, attempt: attempt as u32 });
        self.seek_at.remove(&id);
        self.note(
            id,
            "R-JOB-025",
            format!("deals were not opened in time, it is tried anew: {reason}"),
        );
    }

    fn open_failed(&mut self, id: JobId, attempt: usize, reason: String) {
        let Some(opening) = self.state.jobs.get(&id).and_then(|job| job.openings.get(attempt))
        else {
            return;
        };
        if !opening.pending {
            return;
        }
        if self.comes_too_late(id, attempt, 0) {
            return self.opened_too_late(id, attempt, &reason);
        }
        let terms = opening.terms.clone();
        self.record(Record::OpenFailed { job: id, attempt: attempt as u32 });
        if !self.state.jobs[&id].runs() {
            return;
        }
        match terms.as_slice() {
            [only] => self.bar(id, &only.offer, reason),
            _ => {
                self.note(
                    id,
                    "R-JOB-022",
                    format!("deals did not open together, trying one by one: {reason}"),
                );
                let seed = task_seed(id.0 ^ u64::MAX, attempt as u32);
                for (index, terms) in (0..).zip(terms) {
                    let (budget, seconds, max_price) =
                        (terms.deal.budget, terms.seconds(), terms.max_price);
                    let wish = Wish { budget, seconds, max_price, salt: task_seed(seed, index) };
                    self.try_open(id, vec![(terms.offer, wish)]);
                }
            }
        }
    }

    /// An offer that can't be opened.
    fn bar(&mut self, id: JobId, offer: &Offer, reason: String) {
        let (provider, ask, why) = (offer.provider(), offer.name(), Why::OpenFailed { reason });
        self.record(Record::Barred { job: id, provider, why: why.clone() });
        self.tell(id, JobEvent::Excluded(matching::Excluded { provider, ask, why }));
    }

    fn no_match(&mut self, id: JobId, why: NoMatch, first: bool) {
        let job = &self.state.jobs[&id];
        let can_run = job.spec.constraints.run_locally;
        let refused = job.barred.values().find_map(|why| match why {
            Why::OpenFailed { reason } => Some(reason.clone()),
            _ => None,
        });
        if first {
            let error = match refused {
                Some(reason) => Some(JobError::Open(reason)),
                None => (!why.may_pass()).then(|| JobError::NoMatch(why.to_string())),
            };
            if error.is_some() || !self.stranded_why.contains_key(&id) {
                why.excluded()
                    .iter()
                    .for_each(|excluded| self.tell(id, JobEvent::Excluded(excluded.clone())));
            }
            return match error {
                Some(error) => self.end(id, Err(error)),
                // Others may come, or come back, and prices fall: there is time until the deadline.
                None => self.wait_for_providers(id, why.to_string()),
            };
        }
        // Results under way may still free a provider, or settle the batch.
        let job = &self.state.jobs[&id];
        let under_way = job
            .deals
            .iter()
            .any(|deal| self.state.deals[deal].works() && self.awaited_orders(*deal) > 0);
        if !can_run && !under_way {
            if !self.stranded_why.contains_key(&id) {
                why.excluded()
                    .iter()
                    .for_each(|excluded| self.tell(id, JobEvent::Excluded(excluded.clone())));
            }
            self.wait_for_providers(id, why.to_string());
            self.wake(id);
        }
    }

    /// Runs one stranded batch on this machine, if the job allows it and patience has run out.
    fn run_stranded(&mut self, id: JobId) {
        let Some(job) = self.state.jobs.get(&id).filter(|job| job.phase == Phase::Running) else {
            return;
        };
        let Some(since) = self.stranded.get(&id) else { return };
        let waited = self.now >= since.saturating_add(self.config.patience.stranded);
        let busy = self.judging.iter().any(|(job, _)| *job == id);
        if !waited
            || busy
            || !job.spec.constraints.run_locally
            || job.openings.iter().any(|o| o.pending)
        {
            return;
        }
        let Some((_, batch)) = self.unplaceable(id) else { return };
        let batch = match batch {
            Some(batch) => batch,
            None => {
                let left = job.spec.tasks() - job.next_task;
                let batch = job.batches.len() as u32;
                self.record(Record::Cut {
                    job: id,
                    count: left.min(super::orders::LOCAL_BATCH_TASKS),
                });
                batch
            }
        };
        let (count, unjudgeable) = {
            let batch = &self.state.jobs[&id].batches[batch as usize];
            (batch.count, batch.unjudgeable)
        };
        if unjudgeable {
            self.wait_for_providers(id, "nor can this machine run them".into());
            return self.wake(id);
        }
        let all: Vec<u32> = (0..count).collect();
        self.judge(id, batch, &all);
    }

    pub(super) fn note(&mut self, job: JobId, code: &str, text: String) {
        self.tell(job, JobEvent::Note { code: code.into(), text });
    }
}
