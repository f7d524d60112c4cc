//! The one task that owns the core: feeds it, and performs what it says, in order. It never waits
//! for a peer, the chain or work: those run beside it and come back as events.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rialto_chain::{Chain, Clock, Courts, Games, Sender};
use rialto_exec::Limits;
use rialto_net::Node;
use rialto_party::{MAX_OUTBOUND_MESSAGES, Seal};
use rialto_protocol::{
    Address, DealId,
    eip712::Typed,
    types::Voucher,
    wire::{PeerAddr, Signed},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    archive,
    chain::{self, Follow, Heard},
    error::RequesterError,
    job::{Evidence, Feed, JobReport, OrderEvidence, Output, TaskOutcome},
    journal::{Journal, blocking},
    library::Library,
    session::Session,
};
use crate::core::{
    Accusables, Core, Effect, Event, Exposure, History, JobError, JobEvent, JobId, JobPhase,
    JobSpec, JobStatus, NoMatch, Offer, Outgoing, Phase, Plan, Policy, PolicyQuote, Record, Source,
    Stored, Summary, TaskResult,
};

/// Events of a job kept for a slow watcher; older ones are lost to it.
pub(crate) const MAX_WATCHED_EVENTS: usize = 16_384;
/// How often the core is told the time.
const TICK: Duration = Duration::from_millis(500);

/// What comes to the driver.
pub(crate) enum Input {
    /// For the core.
    Event(Event),
    /// From a session, for the core, if it is still the deal's session.
    Session { deal: DealId, number: u64, event: Event },
    /// A session is over.
    SessionEnded { deal: DealId, number: u64, why: String },
    /// The chain moved.
    Chain(Heard),
    /// A job whose bytes are in the library.
    Submit { spec: JobSpec, answer: oneshot::Sender<Arc<Feed>> },
    /// Somebody wants to watch a job.
    Watch { job: JobId, answer: oneshot::Sender<Option<Arc<Feed>>> },
    /// Somebody asks what a job would cost.
    Quote { spec: JobSpec, answer: oneshot::Sender<Result<Plan, NoMatch>> },
    /// … under several policies.
    Quotes {
        spec: JobSpec,
        policies: Vec<Policy>,
        cheated: Vec<u64>,
        answer: oneshot::Sender<Vec<PolicyQuote>>,
    },
    /// Somebody asks which deals a job would open if it were taken up again.
    QuoteResumed {
        job: JobId,
        within: Duration,
        budget: Option<u128>,
        answer: oneshot::Sender<Requoted>,
    },
    /// Somebody wants to know what is remembered of providers.
    History(oneshot::Sender<Vec<(Address, History)>>),
    /// Somebody wants to see the order book.
    Offers(oneshot::Sender<Vec<Offer>>),
    /// Somebody wants to know whether a game is played.
    Needed(oneshot::Sender<bool>),
    /// Somebody wants to know what can be lost.
    Exposures(oneshot::Sender<Vec<Exposure>>),
    /// Somebody wants to know which accusations have to stay affordable.
    Accusables(oneshot::Sender<Accusables>),
    /// Somebody wants to know the jobs that the core knows.
    Jobs(oneshot::Sender<Vec<JobStatus>>),
    /// A job that ended without all its results is to go on.
    Resume {
        job: JobId,
        within: Duration,
        budget: Option<u128>,
        answer: oneshot::Sender<Result<Arc<Feed>, RequesterError>>,
    },
    /// A job that the core knows no more, or that has ended, is to be removed with all its files.
    Remove { job: JobId, answer: oneshot::Sender<bool> },
}

/// What a job would open if it were taken up again, if it needs anything; or why that can't be.
pub(crate) type Requoted = Result<Result<Option<Plan>, NoMatch>, JobError>;

pub(crate) struct Driver {
    pub core: Core,
    pub clock: Clock,
    pub chain: Chain,
    pub sender: Sender,
    pub node: Node,
    pub journal: Journal,
    pub library: Arc<Library>,
    pub seal: Seal,
    pub first_block: u64,
    pub inputs: mpsc::Sender<Input>,
    pub cancel: CancellationToken,
    pub tasks: TaskTracker,
    pub feeds: HashMap<JobId, Arc<Feed>>,
    pub sessions: HashMap<DealId, Open>,
    pub next_session: u64,
}

/// A session as the driver knows it.
pub(crate) struct Open {
    number: u64,
    /// `None`: the provider was too slow; the session is ending.
    outbound: Option<mpsc::Sender<Outgoing>>,
}

impl Driver {
    /// Runs until cancelled, or until the journal can't be written.
    pub async fn run(mut self, mut inputs: mpsc::Receiver<Input>) -> Result<(), RequesterError> {
        self.start().await?;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let cancel = self.cancel.clone();
        loop {
            let input = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                _ = ticks.tick() => Input::Event(Event::Tick),
                input = inputs.recv() => match input {
                    Some(input) => input,
                    None => return Ok(()),
                },
            };
            self.take(input).await?;
        }
    }

    /// Takes up jobs that an earlier process left.
    async fn start(&mut self) -> Result<(), RequesterError> {
        let open = |phase: &Phase| !matches!(phase, Phase::Reported { .. });
        let jobs =
            self.core.state().jobs.iter().filter(|(_, job)| open(&job.phase)).map(|(id, _)| *id);
        for job in jobs.collect::<Vec<_>>() {
            self.feeds.insert(job, Arc::new(Feed::new(MAX_WATCHED_EVENTS)));
            if let Err(error) = self.library.load(job).await {
                tracing::error!(%job, %error, "the job's files are gone: it is cancelled");
                self.feed(Event::Cancel(job)).await?;
            }
        }
        self.keep_reports().await?;
        let journal = self.journal.clone();
        blocking(move || journal.peers())
            .await?
            .into_iter()
            .for_each(|peer| self.node.add_bootstrap(peer));
        self.feed(Event::Started).await?;
        let deals = self
            .core
            .state()
            .deals
            .iter()
            .filter(|(_, deal)| !deal.over())
            .map(|(id, _)| *id)
            .collect();
        let (mut games, mut courts) = (Games::default(), Courts::of(self.core.config().requester));
        for (id, deal) in self.core.state().deals.iter().filter(|(_, deal)| !deal.over()) {
            games.add_deal(*id, &deal.terms);
            courts.known.extend((!deal.terms.court.is_zero()).then_some(deal.terms.court));
            deal.chain.games.keys().for_each(|game| games.add_game(*game, *id));
        }
        let follow = Follow {
            chain: self.chain.clone(),
            account: self.core.config().requester,
            first_block: self.first_block,
            cursor: self.core.state().cursor,
            deals,
            games,
            courts,
            inputs: self.inputs.clone(),
        };
        self.beside(follow.run());
        Ok(())
    }

    /// Reports that were given just before an earlier process ended may not have been kept.
    async fn keep_reports(&self) -> Result<(), RequesterError> {
        let reported = self
            .core
            .state()
            .jobs
            .iter()
            .filter(|(_, job)| matches!(job.phase, Phase::Reported { .. }));
        for job in reported.map(|(id, _)| *id) {
            let folder = self.library.folder(job);
            if !folder.exists() || archive::is_kept(&folder) {
                continue;
            }
            if let Some(status) = self.core.job_status(job) {
                let report = self.report(self.core.summary(job))?;
                blocking(move || archive::keep(&folder, &status, &report)).await?;
            }
        }
        Ok(())
    }

    async fn take(&mut self, input: Input) -> Result<(), RequesterError> {
        match input {
            Input::Event(event) => self.feed(event).await?,
            Input::Session { deal, number, event } => {
                if self.sessions.get(&deal).is_some_and(|open| open.number == number) {
                    self.feed(event).await?;
                }
            }
            Input::SessionEnded { deal, number, why } => {
                if self.sessions.get(&deal).is_some_and(|open| open.number == number) {
                    self.sessions.remove(&deal);
                    tracing::debug!(%deal, why, "session over");
                    self.feed(Event::Disconnected { deal, why }).await?;
                }
            }
            Input::Chain(Heard { time, announced, facts, cursor }) => {
                self.clock.chain_says(time);
                if !announced.is_empty() {
                    announced.iter().for_each(|(_, peer)| self.node.add_bootstrap(peer.clone()));
                    let journal = self.journal.clone();
                    blocking(move || journal.keep_peers(&announced)).await?;
                }
                if !facts.is_empty() || cursor.is_some() {
                    self.feed(Event::Chain { facts, cursor }).await?;
                }
            }
            Input::Submit { spec, answer } => {
                let feed = Arc::new(Feed::new(MAX_WATCHED_EVENTS));
                self.feeds.insert(spec.id, feed.clone());
                let _ = answer.send(feed);
                self.feed(Event::Submit(spec)).await?;
            }
            Input::Watch { job, answer } => {
                let _ = answer.send(self.feeds.get(&job).cloned());
            }
            Input::Quote { spec, answer } => {
                let _ = answer.send(self.core.quote(self.clock.now(), &spec));
            }
            Input::Quotes { spec, policies, cheated, answer } => {
                let _ = answer.send(self.core.quotes(self.clock.now(), &spec, &policies, &cheated));
            }
            Input::QuoteResumed { job, within, budget, answer } => {
                let now = self.clock.now();
                let deadline = now.saturating_add(within.as_secs());
                let _ = answer.send(self.core.quote_resumed(now, job, deadline, budget));
            }
            Input::History(answer) => {
                let history = self.core.state().history.iter();
                let _ =
                    answer.send(history.map(|(provider, history)| (*provider, *history)).collect());
            }
            Input::Offers(answer) => {
                let _ = answer.send(self.core.book().offers().cloned().collect());
            }
            Input::Needed(answer) => {
                let _ = answer.send(self.core.plays() || self.core.is_exposed());
            }
            Input::Exposures(answer) => {
                let _ = answer.send(self.core.exposures());
            }
            Input::Accusables(answer) => {
                let _ = answer.send(self.core.accusables());
            }
            Input::Jobs(answer) => {
                let jobs = self.core.state().jobs.keys();
                let _ = answer.send(jobs.filter_map(|id| self.core.job_status(*id)).collect());
            }
            Input::Resume { job, within, budget, answer } => {
                let _ = answer.send(self.resume(job, within, budget).await?);
            }
            Input::Remove { job, answer } => {
                let busy =
                    self.core.job_status(job).is_some_and(|status| status.phase != JobPhase::Ended);
                if !busy {
                    self.library.discard(job).await;
                }
                let _ = answer.send(!busy);
            }
        }
        Ok(())
    }

    /// Takes a job up again; the outer error is the journal's.
    async fn resume(
        &mut self,
        job: JobId,
        within: Duration,
        budget: Option<u128>,
    ) -> Result<Result<Arc<Feed>, RequesterError>, RequesterError> {
        if let Err(error) = self.core.resumable(job) {
            return Ok(Err(error.into()));
        }
        if let Err(error) = self.library.load(job).await {
            return Ok(Err(error));
        }
        let feed = Arc::new(Feed::new(MAX_WATCHED_EVENTS));
        self.feeds.insert(job, feed.clone());
        let folder = self.library.folder(job);
        blocking(move || archive::drop_report(&folder)).await?;
        let deadline = self.clock.now().saturating_add(within.as_secs());
        self.feed(Event::Resume { job, deadline, budget }).await?;
        Ok(Ok(feed))
    }

    /// One event through the core, and everything that follows from it.
    async fn feed(&mut self, event: Event) -> Result<(), RequesterError> {
        for effect in self.core.handle(self.clock.now(), event) {
            if let Effect::Persist(records) = effect {
                for record in &records {
                    if let Record::Forgotten { job } = record {
                        self.feeds.remove(job);
                        self.library.close(*job);
                        self.library.drop_inputs(*job).await;
                    }
                }
                let journal = self.journal.clone();
                blocking(move || journal.append(&records)).await?;
            } else {
                self.perform(effect)?;
            }
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> Result<(), RequesterError> {
        match effect {
            Effect::Persist(_) => unreachable!("written by `feed`"),
            Effect::Connect { deal, peer } => self.connect(deal, peer),
            Effect::Hangup { deal } => drop(self.sessions.remove(&deal)),
            Effect::Send { deal, message } => self.post(deal, message),
            Effect::Store { deal, order, results, outputs } => {
                let Some(known) = self.core.state().deals.get(&deal) else { return Ok(()) };
                let (job, peer, library) =
                    (known.job, self.core.whereabouts(deal), self.library.clone());
                self.answer(async move {
                    let storing =
                        async { library.store(job, order, &peer, results, outputs).await };
                    let result: Stored = storing.await;
                    Event::Stored { order, result }
                });
            }
            Effect::RunLocally { job, batch, tasks } => {
                let Some(known) = self.core.state().jobs.get(&job) else { return Ok(()) };
                let spec = &known.spec;
                let limits = Limits {
                    fuel: spec.fuel_limit,
                    out_bytes: spec.out_limit,
                    max_pages: spec.max_pages,
                };
                let (library, root) = (self.library.clone(), spec.program);
                self.answer(async move {
                    let result = library
                        .run(job, root, limits, tasks)
                        .await
                        .map_err(|error| error.to_string());
                    Event::RanLocally { job, batch, result }
                });
            }
            Effect::Transact { intent, call } => {
                let chain = self.chain.clone();
                let keep = self.core.accusables();
                self.beside(chain::transact(
                    chain,
                    self.sender.clone(),
                    intent,
                    *call,
                    keep,
                    self.inputs.clone(),
                ));
            }
            Effect::Trace(trace) => {
                let (library, key) = (self.library.clone(), trace.key);
                self.answer(async move {
                    let result = library.trace(*trace).await.map_err(|error| error.to_string());
                    Event::Traced { key, result }
                });
            }
            Effect::ForgetTrace { order, task } => self.library.forget_trace(order, task),
            Effect::Release { deal } => self.library.release(deal),
            Effect::Tell { job, event } => {
                if !matches!(event, JobEvent::Progress(_)) {
                    tracing::info!(%job, ?event, "requester");
                }
                if let Some(feed) = self.feeds.get(&job) {
                    // Nobody has to watch.
                    let _ = feed.events.send(event);
                }
            }
            Effect::Finished(summary) => self.finished(*summary)?,
        }
        Ok(())
    }

    fn connect(&mut self, deal: DealId, peer: PeerAddr) {
        let number = self.next_session;
        self.next_session += 1;
        let (outbound, queue) = mpsc::channel(MAX_OUTBOUND_MESSAGES);
        self.sessions.insert(deal, Open { number, outbound: Some(outbound) });
        let session = Session {
            deal,
            number,
            peer,
            node: self.node.clone(),
            seal: self.seal.clone(),
            library: self.library.clone(),
            inputs: self.inputs.clone(),
        };
        let (inputs, task) = (self.inputs.clone(), self.beside(session.run(queue)));
        self.beside(async move {
            // However it ended, a panic included.
            let why = match task.await {
                Ok(Some(why)) => why,
                Ok(None) => return,
                Err(error) => error.to_string(),
            };
            let _ = inputs.send(Input::SessionEnded { deal, number, why }).await;
        });
    }

    /// Posts a message; a provider that does not take them loses its session, not our memory.
    fn post(&mut self, deal: DealId, message: Outgoing) {
        let Some(open) = self.sessions.get_mut(&deal) else { return };
        if open.outbound.as_ref().is_some_and(|outbound| outbound.try_send(message).is_err()) {
            open.outbound = None;
        }
    }

    fn finished(&mut self, summary: Summary) -> Result<(), RequesterError> {
        let job = summary.job;
        let report = Arc::new(self.report(summary)?);
        self.library.close(job);
        if let Some(status) = self.core.job_status(job) {
            let (folder, kept) = (self.library.folder(job), report.clone());
            self.beside(async move {
                if let Err(error) = blocking(move || archive::keep(&folder, &status, &kept)).await {
                    tracing::error!(%job, %error, "the report is not kept");
                }
            });
        }
        if let Some(feed) = self.feeds.get(&job) {
            feed.report.send_replace(Some(report));
        }
        Ok(())
    }

    fn report(&self, summary: Summary) -> Result<JobReport, RequesterError> {
        let job = summary.job;
        let config = self.core.config();
        let mut evidence =
            Evidence { chain_id: config.chain_id, market: config.market, ..Evidence::default() };
        let mut deals = 0;
        if let Some(known) = self.core.state().jobs.get(&job) {
            deals = known.deals.len() as u32;
            evidence.program = known.spec.program;
            evidence.inputs = known.spec.inputs.clone();
            for deal in known.deals.iter().filter_map(|deal| self.core.state().deals.get(deal)) {
                evidence.deals.push(deal.terms.clone());
                let orders =
                    deal.orders.iter().filter_map(|order| self.core.state().orders.get(order));
                for order in orders.filter(|order| order.job == job) {
                    evidence.orders.push(OrderEvidence {
                        first: known
                            .batches
                            .get(order.batch as usize)
                            .map_or(0, |batch| batch.first),
                        order: self.sign(&order.order)?,
                        ack: order.ack.clone(),
                        receipt: order.receipt.clone(),
                        results: order.results.clone(),
                    });
                }
                let voucher: Option<Signed<Voucher>> =
                    deal.voucher.as_ref().map(|voucher| self.sign(voucher)).transpose()?;
                evidence.vouchers.extend(voucher);
            }
        }
        let outcome = |(task, result): (u32, Option<TaskResult>)| {
            result.map(|result| TaskOutcome {
                halted: result.halted,
                votes: result.votes,
                output: self.output(job, task, &result),
            })
        };
        let name =
            self.core.state().jobs.get(&job).map(|job| job.spec.name.clone()).unwrap_or_default();
        Ok(JobReport {
            job,
            name,
            outcome: summary.outcome,
            tasks: (0..).zip(summary.tasks).map(outcome).collect(),
            providers: summary.providers,
            requester_paid: summary.requester_paid,
            deals,
            transactions: summary.transactions,
            progress: summary.progress,
            checks: summary.checks,
            disputes: summary.disputes,
            evidence,
            folder: self.library.folder(job),
        })
    }

    fn output(&self, job: JobId, task: u32, result: &TaskResult) -> Output {
        let len = result.halted.out_len;
        match result.source {
            Source::Order { order, offset } => {
                Output { path: self.library.order_output(job, order), offset, len }
            }
            Source::Local => Output { path: self.library.local_output(job, task), offset: 0, len },
        }
    }

    /// The signature that was given before: signing is deterministic.
    fn sign<T: Typed + Clone>(&self, value: &T) -> Result<Signed<T>, RequesterError> {
        Ok(self.seal.sign(value.clone())?)
    }

    /// Starts a task whose result is an event.
    fn answer(&self, task: impl Future<Output = Event> + Send + 'static) {
        let inputs = self.inputs.clone();
        self.beside(async move {
            let event = task.await;
            let _ = inputs.send(Input::Event(event)).await;
        });
    }

    /// Starts a task that ends with the service; `None` if that came first.
    fn beside<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<Option<T>> {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move { cancel.run_until_cancelled(task).await })
    }
}
