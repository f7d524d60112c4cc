//! The one task that owns the core: feeds it, and performs what it says, in order. It never waits
//! for a peer, the chain or work: those run beside it and come back as events.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256};
use futures::StreamExt;
use rialto_chain::{Chain, Clock, Courts, EventBatch, Games, MarketEvent, Sender};
use rialto_exec::CancelFlag;
use rialto_net::{AskPublisher, ProviderSession};
use rialto_party::{MAX_OUTBOUND_MESSAGES, Seal, Wallet};
use rialto_protocol::{
    OrderId,
    court::{Answer, GameView},
    types::struct_hash,
    wire::Payload,
};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    asks,
    error::ProviderError,
    facts,
    handover::{Handover, Writer},
    journal::{Journal, blocking},
    meter::{Footprint, Meter},
    report::{Gas, Report},
    runner::{Runner, lock},
    session::{self, Outbound},
    shell::Conduct,
    traces::Asked,
};
use crate::core::{
    Call, Core, Effect, Event, Outcome, ProviderEvent, Record, Refusal, Work, Worth,
};

/// How often the core is told the time.
const TICK: Duration = Duration::from_secs(1);
/// The account is looked at again after so many ticks, even if no event says that it changed.
const ACCOUNT_TICKS: u32 = 30;
/// Blocks below the last ones heard that are heard again after a restart: what a reorg may have
/// changed meanwhile.
const REHEARD_BLOCKS: u64 = 128;
/// The price of gas and the gas money are looked at after so many ticks; prices of gas move within
/// minutes.
const GAS_TICKS: u32 = 60;
/// Processor time is looked at after so many ticks.
const CPU_TICKS: u32 = 10;
/// Such looks that make a minute.
const CPU_LOOKS: usize = 7;

/// What comes to the driver.
pub(crate) enum Input {
    /// For the core.
    Event(Event),
    /// A requester connected.
    Session(Box<ProviderSession>),
    /// The chain moved.
    Chain(EventBatch),
    /// The chain's stream broke: history changed deeper than it remembers.
    ChainBroke,
    /// Gas, as the chain has it.
    Gas(Gas),
    /// Somebody asks.
    Look(Box<dyn FnOnce(&mut Driver) + Send>),
    /// Somebody waits until everything accepted is done.
    Drain(oneshot::Sender<()>),
}

pub(crate) struct Driver {
    pub core: Core,
    pub clock: Clock,
    pub chain: Chain,
    pub wallet: Wallet,
    pub sender: Sender,
    pub journal: Journal,
    pub runner: Arc<Runner>,
    pub publisher: AskPublisher,
    pub seal: Seal,
    /// Where dossiers are written for a watchtower.
    pub handover: Option<Handover>,
    pub first_block: u64,
    pub inputs: mpsc::Sender<Input>,
    pub events: broadcast::Sender<ProviderEvent>,
    pub cancel: CancellationToken,
    pub tasks: TaskTracker,
    pub sessions: HashMap<u64, Open>,
    /// Whose games the chain's stream tells.
    pub games: Games,
    pub next_session: u64,
    pub jobs: HashMap<OrderId, Job>,
    /// The rejected task that is being run again.
    pub rerun: Option<((OrderId, u32), Job)>,
    pub drained: Vec<oneshot::Sender<()>>,
    pub coin: Option<u128>,
    pub gas: Option<Gas>,
    pub told_gas: bool,
    pub started: Instant,
    pub meter: Meter,
    /// (milliseconds since the start, processor time), oldest first.
    pub cpu: VecDeque<(u64, u64)>,
}

/// A session as the driver knows it.
pub(crate) struct Open {
    peer: B256,
    outbound: mpsc::Sender<Outbound>,
}

/// An order being fetched or run.
pub(crate) struct Job {
    cancel: CancelFlag,
    task: AbortHandle,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.task.abort();
    }
}

impl Driver {
    /// Runs until cancelled, or until the journal can't be written.
    pub async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        accounts: (u128, u64),
    ) -> Result<(), ProviderError> {
        self.start(accounts).await?;
        self.hand_over();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut count = 0u32;
        let cancel = self.cancel.clone();
        loop {
            let input = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                _ = ticks.tick() => {
                    self.ticked(count).await?;
                    count = count.wrapping_add(1);
                    Input::Event(Event::Tick)
                }
                input = inputs.recv() => match input {
                    Some(input) => input,
                    None => return Ok(()),
                },
            };
            self.take(input).await?;
            self.meter.note(self.millis(), self.core.busy_cores());
            if !self.drained.is_empty() && self.core.idle() {
                for waiting in self.drained.drain(..) {
                    // Whoever gave up waiting does not need to know.
                    let _ = waiting.send(());
                }
            }
        }
    }

    async fn start(&mut self, (account, counter): (u128, u64)) -> Result<(), ProviderError> {
        let from_block = self.core.cursor().saturating_sub(REHEARD_BLOCKS).max(self.first_block);
        self.feed(Event::Started { from_block, counter, account }).await?;
        let mut courts = Courts::of(self.core.config().provider);
        for (id, deal) in self.core.live_deals() {
            self.games.add_deal(id, deal);
            courts.known.extend((!deal.court.is_zero()).then_some(deal.court));
        }
        self.pin_kept();
        self.core.games().into_iter().for_each(|(game, deal)| self.games.add_game(game, deal));
        let (mut events, inputs) =
            (self.chain.events_with(from_block, courts), self.inputs.clone());
        self.beside(async move {
            while let Some(batch) = events.next().await {
                if inputs.send(Input::Chain(batch)).await.is_err() {
                    return;
                }
            }
            let _ = inputs.send(Input::ChainBroke).await;
        });
        Ok(())
    }

    /// Writes for a watchtower what is missing, and from now on what changes.
    fn hand_over(&self) {
        let Some(handover) = &self.handover else { return };
        let mut kept = BTreeSet::new();
        for (hash, row) in self.core.kept_orders() {
            let id = row.order.value.deal;
            let Some(deal) = self.core.deal(id) else { continue };
            kept.insert(id);
            handover.order(hash, row, &deal.deal);
        }
        let writer = Writer {
            journal: self.journal.clone(),
            blobs: self.runner.node.blobs().clone(),
            seal: self.seal.clone(),
            shell: self.runner.shell.clone(),
            chain_id: self.chain.chain_id(),
            market: self.chain.market(),
            provider: self.core.config().provider,
            events: self.events.clone(),
        };
        self.beside(handover.clone().work(Arc::new(writer), kept));
    }

    fn note_for_tower(&self, records: &[Record]) {
        let Some(handover) = &self.handover else { return };
        for record in records {
            if let Record::Order(hash, row) = record
                && let Some(deal) = self.core.deal(row.order.value.deal)
            {
                handover.order(*hash, row, &deal.deal);
            }
        }
    }

    /// What open deals need stays on disk: without it nothing could be revealed, run again or
    /// traced.
    fn pin_kept(&self) {
        let kept: Vec<_> = self.core.kept_orders().map(|(hash, row)| (hash, row.clone())).collect();
        let (runner, journal) = (self.runner.clone(), self.journal.clone());
        self.beside(blocking(move || {
            for (hash, row) in kept {
                let mut blobs = vec![row.program];
                blobs.extend(row.shared);
                let done = row.state.receipt().is_some();
                let payloads = [
                    Some(journal.inputs(hash)?),
                    if done { Some(journal.results(hash)?.outputs) } else { None },
                ];
                blobs.extend(payloads.into_iter().flatten().filter_map(|payload| match payload {
                    Payload::Blob(blob) => Some(blob),
                    Payload::Inline(_) => None,
                }));
                blobs.into_iter().for_each(|blob| runner.pin(row.order.value.deal, blob));
            }
            Ok(())
        }));
    }

    async fn take(&mut self, input: Input) -> Result<(), ProviderError> {
        match input {
            Input::Event(Event::Disconnected { session }) => self.gone(session).await,
            Input::Event(event) => {
                if let Event::Fetched { order, .. } | Event::Ran { order, .. } = &event {
                    self.jobs.remove(order);
                }
                if let Event::Reran { order, task, .. } = &event
                    && self.rerun.as_ref().is_some_and(|(known, _)| *known == (*order, *task))
                {
                    self.rerun = None;
                }
                self.feed(event).await
            }
            Input::Session(session) => self.welcome(*session).await,
            Input::Chain(batch) => self.chain_moved(batch).await,
            Input::ChainBroke => {
                tracing::error!("the chain rewrote its history; starting over");
                let account = self.core.status().account;
                let counter = self.chain.ask_counter(self.core.config().provider).await?;
                self.start((account, counter)).await
            }
            Input::Look(ask) => {
                ask(self);
                Ok(())
            }
            Input::Gas(gas) => self.gas_seen(gas).await,
            Input::Drain(waiting) => {
                self.drained.push(waiting);
                self.feed(Event::Drain).await
            }
        }
    }

    async fn welcome(&mut self, session: ProviderSession) -> Result<(), ProviderError> {
        let (id, peer) = (self.next_session, session.peer());
        self.next_session += 1;
        let (outbound, queue) = mpsc::channel(MAX_OUTBOUND_MESSAGES);
        self.sessions.insert(id, Open { peer, outbound });
        lock(&self.runner.peers).insert(peer, session.peer_addr());
        self.feed(Event::Connected { session: id, peer }).await?;
        let serving = session::serve(
            id,
            session,
            self.inputs.clone(),
            queue,
            self.runner.clone(),
            self.seal.clone(),
        );
        let inputs = self.inputs.clone();
        let task = self.beside(serving);
        self.beside(async move {
            // However it ended, a panic included.
            let _ = task.await;
            let _ = inputs.send(Input::Event(Event::Disconnected { session: id })).await;
        });
        Ok(())
    }

    async fn gone(&mut self, session: u64) -> Result<(), ProviderError> {
        if let Some(open) = self.sessions.remove(&session) {
            self.forget_peer(open.peer);
        }
        self.feed(Event::Disconnected { session }).await
    }

    fn forget_peer(&self, peer: B256) {
        if !self.sessions.values().any(|open| open.peer == peer) {
            lock(&self.runner.peers).remove(&peer);
        }
    }

    async fn chain_moved(&mut self, batch: EventBatch) -> Result<(), ProviderError> {
        self.clock.chain_says(batch.time);
        let me = self.core.config().provider;
        let ours = |event: &MarketEvent| match event.deal() {
            Some(deal) => self.core.deal(deal).is_some(),
            None => moves_account(event, me),
        };
        let all = || batch.added.iter().chain(&batch.removed);
        let opened = |event: &MarketEvent| matches!(event, MarketEvent::DealOpened { deal, .. } if deal.provider == me);
        for (_, event) in &batch.added {
            if let MarketEvent::Announced { provider, endpoint } = event
                && *provider != me
                && let Ok(peer) = postcard::from_bytes::<rialto_protocol::wire::PeerAddr>(endpoint)
                && peer.check().is_ok()
            {
                self.runner.node.add_bootstrap(peer);
            }
        }
        let touched = all().any(|(_, event)| ours(event) || opened(event));
        let removed = batch.removed.iter().map(|(meta, _)| facts::log_id(meta)).collect();
        let games = &mut self.games;
        let added = batch
            .added
            .iter()
            .filter_map(|(meta, event)| facts::fact(meta, event, games))
            .collect();
        self.feed(Event::Chain { removed, added, head: batch.through }).await?;
        if touched {
            self.look_at_account();
        }
        Ok(())
    }

    /// What is done from time to time.
    async fn ticked(&mut self, count: u32) -> Result<(), ProviderError> {
        if count.is_multiple_of(ACCOUNT_TICKS) && count > 0 {
            self.look_at_account();
        }
        if count.is_multiple_of(CPU_TICKS) {
            self.cpu.push_back((self.millis(), Footprint::now().cpu_millis));
            while self.cpu.len() > CPU_LOOKS {
                self.cpu.pop_front();
            }
        }
        if count.is_multiple_of(GAS_TICKS) {
            self.look_at_gas();
            self.meter.note(self.millis(), self.core.busy_cores());
            let core_millis = self.meter.unreported();
            if core_millis > 0 {
                self.feed(Event::Busy { core_millis }).await?;
            }
        }
        Ok(())
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn report(&mut self) -> Report {
        let now = self.millis();
        self.meter.note(now, self.core.busy_cores());
        let footprint = Footprint::now();
        let (since, before) = self.cpu.front().copied().unwrap_or_default();
        let spent = footprint.cpu_millis.saturating_sub(before) * 10_000;
        Report {
            account: self.core.config().provider,
            endpoint: self.core.config().endpoint,
            at: self.clock.now(),
            status: self.core.status(),
            usage: self.meter.usage(),
            cpu_bps: spent / now.saturating_sub(since).max(1),
            footprint,
            peers: self.publisher.peers(),
            gas: self.gas,
        }
    }

    async fn gas_seen(&mut self, gas: Gas) -> Result<(), ProviderError> {
        self.gas = Some(gas);
        if gas.low() && !std::mem::replace(&mut self.told_gas, true) {
            let event =
                ProviderEvent::LowGas { balance_wei: gas.balance_wei, wanted_wei: gas.wanted_wei };
            self.perform(Effect::Tell(event));
        }
        self.told_gas = gas.low();
        match self.coin {
            Some(coin) => self.feed(Event::Worth(Worth::of(gas.price_wei, coin))).await,
            None => Ok(()),
        }
    }

    fn look_at_gas(&self) {
        let (wallet, inputs) = (self.wallet.clone(), self.inputs.clone());
        self.beside(async move {
            match wallet.gas().await {
                Ok((price, balance)) => {
                    let _ = inputs.send(Input::Gas(Gas::new(price, balance.saturating_to()))).await;
                }
                Err(error) => tracing::warn!(%error, "gas not read"),
            }
        });
    }

    fn look_at_account(&self) {
        let (wallet, inputs) = (self.wallet.clone(), self.inputs.clone());
        self.beside(async move {
            match wallet.standing().await {
                Ok((account, counter)) => {
                    let _ = inputs.send(Input::Event(Event::Account { account, counter })).await;
                }
                Err(error) => tracing::warn!(%error, "account not read"),
            }
        });
    }

    /// One event through the core, and everything that follows from it.
    async fn feed(&mut self, event: Event) -> Result<(), ProviderError> {
        for effect in self.core.handle(self.clock.now(), event) {
            if let Effect::Persist(records) = effect {
                let journal = self.journal.clone();
                let records = blocking(move || journal.append(&records).map(|()| records)).await?;
                self.note_for_tower(&records);
            } else {
                match self.runner.shell.effect(effect) {
                    Conduct::Perform(effect) => self.perform(effect),
                    Conduct::Says(event) => self.say(event),
                    Conduct::Nothing => {}
                }
            }
        }
        Ok(())
    }

    /// Tells the core of an event, later: it is busy with another.
    fn say(&self, event: Event) {
        let inputs = self.inputs.clone();
        self.beside(async move {
            let _ = inputs.send(Input::Event(event)).await;
        });
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Persist(_) => unreachable!("written by `feed`"),
            Effect::Send { session, message } => self.post(session, Outbound::Message(message)),
            Effect::SendReceipt { session, deal, receipt } => {
                self.post(session, Outbound::Receipt { deal, receipt })
            }
            Effect::Hangup { session } => {
                // What was posted is still sent; then the session ends by itself.
                if let Some(open) = self.sessions.remove(&session) {
                    self.forget_peer(open.peer);
                }
            }
            Effect::Publish(ask) => {
                let (node, publisher, seal) =
                    (self.runner.node.clone(), self.publisher.clone(), self.seal.clone());
                self.beside(asks::publish(ask, node, publisher, seal));
            }
            Effect::Fetch(work) => self.fetch(work),
            Effect::Run(work) => self.run_order(work),
            Effect::Rerun { work, task } => self.rerun(work, task),
            Effect::StopRerun { order, task } => {
                drop(self.rerun.take_if(|(known, _)| *known == (order, task)))
            }
            Effect::Play { work, view } => self.play(work, *view),
            Effect::ForgetTrace { order, task } => self.runner.traces.forget((order, task)),
            Effect::Stop { order } => drop(self.jobs.remove(&order)),
            Effect::Transact { intent, call } => self.transact(intent, call),
            Effect::Release { deal, peer } => {
                self.handover.iter().for_each(|handover| handover.over(deal));
                self.runner.release(deal, peer);
            }
            Effect::Tell(event) => {
                tracing::info!(?event, "provider");
                let _ = self.events.send(event);
            }
        }
    }

    /// Posts a message; a requester that does not take them loses its session, not our memory.
    fn post(&mut self, session: u64, message: Outbound) {
        let Some(open) = self.sessions.get(&session) else { return };
        if open.outbound.try_send(message).is_err()
            && let Some(open) = self.sessions.remove(&session)
        {
            self.forget_peer(open.peer);
        }
    }

    fn fetch(&mut self, work: Work) {
        let (runner, inputs, order) = (self.runner.clone(), self.inputs.clone(), work.hash);
        let fetching = self.beside(async move { runner.fetch(&work).await });
        let job = Job { cancel: CancelFlag::new(), task: fetching.abort_handle() };
        self.jobs.insert(order, job);
        self.beside(async move {
            let result = match fetching.await {
                Ok(Some(result)) => result,
                Ok(None) => return,
                Err(error) if error.is_cancelled() => return,
                Err(error) => Err(Refusal::Attempt(error.to_string())),
            };
            let _ = inputs.send(Input::Event(Event::Fetched { order, result })).await;
        });
    }

    fn run_order(&mut self, work: Work) {
        let (runner, inputs, order) = (self.runner.clone(), self.inputs.clone(), work.hash);
        let cancel = CancelFlag::new();
        let (flag, telling) = (cancel.clone(), inputs.clone());
        let progress = move |done| {
            let _ = telling.try_send(Input::Event(Event::Progress { order, done }));
        };
        let running = self.beside(async move { runner.run(&work, flag, progress).await });
        self.jobs.insert(order, Job { cancel: cancel.clone(), task: running.abort_handle() });
        self.beside(async move {
            let result = match running.await {
                Ok(Some(result)) => result,
                Ok(None) => return,
                Err(error) if error.is_cancelled() => return,
                Err(error) => Err(Refusal::Attempt(error.to_string())),
            };
            if !cancel.is_cancelled() {
                let _ = inputs.send(Input::Event(Event::Ran { order, result })).await;
            }
        });
    }

    fn rerun(&mut self, work: Work, task: u32) {
        let (runner, inputs) = (self.runner.clone(), self.inputs.clone());
        let (order, cancel) = (work.hash, CancelFlag::new());
        let flag = cancel.clone();
        let running = self.beside(async move { runner.rerun(&work, task, flag).await });
        self.rerun =
            Some(((order, task), Job { cancel: cancel.clone(), task: running.abort_handle() }));
        self.beside(async move {
            let same = match running.await {
                Ok(Some(Ok(same))) => Some(same),
                Ok(Some(Err(why))) => {
                    tracing::warn!(%order, task, %why, "rejected task not run again");
                    None
                }
                Ok(None) => return,
                Err(error) if error.is_cancelled() => return,
                Err(error) => {
                    tracing::warn!(%order, task, %error, "rejected task not run again");
                    None
                }
            };
            if !cancel.is_cancelled() {
                let _ = inputs.send(Input::Event(Event::Reran { order, task, same })).await;
            }
        });
    }

    fn play(&self, work: Work, view: GameView) {
        let (runner, inputs) = (self.runner.clone(), self.inputs.clone());
        let Some(task) = view.question.task() else {
            self.beside(async move {
                let result = runner.unfold(&work, &view).await;
                played(&inputs, &view, result).await;
            });
            return;
        };
        if runner.traces.ask(task, Asked { work, view }) {
            self.beside(trace(runner, inputs));
        }
    }

    fn transact(&self, intent: String, call: Call) {
        let (runner, sender, inputs) =
            (self.runner.clone(), self.sender.clone(), self.inputs.clone());
        let name = intent.clone();
        let sending = self.beside(async move { transact(&runner, &sender, &name, call).await });
        self.beside(async move {
            let outcome = match sending.await {
                Ok(Some(outcome)) => outcome,
                Ok(None) => return,
                Err(_) => Outcome::Unsent,
            };
            let _ = inputs.send(Input::Event(Event::Transacted { intent, outcome })).await;
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

/// Whether an event that is about no deal moves our account or asks.
fn moves_account(event: &MarketEvent, me: Address) -> bool {
    match event {
        MarketEvent::Deposited { account, .. } | MarketEvent::Withdrawn { account, .. } => {
            *account == me
        }
        MarketEvent::Transferred { from, to, .. } => *from == me || *to == me,
        MarketEvent::AsksCancelled { provider, .. } => *provider == me,
        _ => false,
    }
}

/// Answers segments as long as there are some that nobody else answers.
async fn trace(runner: Arc<Runner>, inputs: mpsc::Sender<Input>) {
    while let Some((task, asked)) = runner.traces.take() {
        let answers = runner.answer(task, &asked).await;
        runner.traces.done(task);
        match answers {
            Ok(answers) => {
                for (asked, answer) in asked.iter().zip(answers) {
                    played(&inputs, &asked.view, Ok(answer)).await;
                }
            }
            Err(why) => {
                for asked in &asked {
                    played(&inputs, &asked.view, Err(why.clone())).await;
                }
            }
        }
    }
}

async fn played(inputs: &mpsc::Sender<Input>, view: &GameView, result: Result<Answer, Refusal>) {
    let (game, turn) = (struct_hash(&view.game), view.turn());
    if let Err(why) = &result {
        tracing::error!(%game, turn, %why, "no answer found in a game");
    }
    let _ = inputs.send(Input::Event(Event::Played { game, turn, result })).await;
}

async fn transact(runner: &Runner, sender: &Sender, intent: &str, call: Call) -> Outcome {
    let call = match facts::market_call(call) {
        Ok(call) => call,
        Err(None) => return Outcome::Reverted,
        Err(Some(reveal)) => {
            let (journal, order) = (runner.journal.clone(), reveal.receipt.order);
            let Ok(results) = blocking(move || journal.results(order)).await else {
                return Outcome::Reverted;
            };
            let Some((offset, size)) = reveal.shown(&results) else { return Outcome::Reverted };
            let Ok(output) = runner.output(&results, offset, size).await else {
                return Outcome::Reverted;
            };
            let Some(call) = reveal.with(&results, output) else { return Outcome::Reverted };
            call
        }
    };
    match sender.send(intent, call).await {
        Ok(mined) => {
            tracing::info!(intent, tx = %mined.tx, gas = mined.gas_used, "transaction mined");
            Outcome::Mined { fee_wei: mined.fee_wei }
        }
        Err(error) => {
            tracing::warn!(intent, %error, "transaction not mined");
            facts::outcome_of(&error)
        }
    }
}
