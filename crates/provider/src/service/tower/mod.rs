//! A watchtower: defends the receipts of providers that sleep, from their dossiers, and takes wrong
//! receipts to court.
//!
//! | module | knows |
//! |---|---|
//! | [`core::tower`](crate::core::tower) | what is due, and when |
//! | `desk` | dossiers and appointments on disk |
//! | `work` | tracing, running again |
//!
//! It can't spend or take anything of a provider's: what it sends is what anybody may send, and
//! moves, which the provider's account lets it make until a date. Its own journal holds nothing but
//! its transactions; everything else follows from the chain and the dossiers.

mod deeds;
mod desk;
mod work;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use alloy_primitives::{Address, Bytes};
use futures::StreamExt;
use rialto_chain::{
    Chain, Clock, CourtCall, Courts, EventBatch, Games, MarketCall, PrivateKeySigner, SendError,
    Sender, Signed,
};
use rialto_exec::Executor;
use rialto_party::Seal;
use rialto_protocol::{
    DealId, GameId, OrderId,
    court::Answer,
    fault::FaultProof,
    receipt::SumNode,
    types::{Appointment, Deal, struct_hash},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use self::{
    deeds::{act, contradiction},
    desk::{Desk, Look, Slip},
    work::Works,
};
use super::{
    dossier::{Dossier, DossierError},
    error::ProviderError,
    facts,
    journal::blocking,
};
use crate::core::{
    Outcome, Refusal,
    tower::{Deed, Held, Tower, TowerEffect, TowerEvent, TowerInput, TowerRules, Unable, reward},
};

pub use desk::{AppointmentError, AppointmentFile};

/// Things that wait for the tower; whoever brings more waits.
const MAX_INPUTS: usize = 256;
/// How often it is told the time.
const TICK: Duration = Duration::from_secs(1);
/// The folders are looked through, and leaves to move asked for, after so many ticks.
const LOOK_TICKS: u32 = 5;
/// An appointment is signed anew when it could last so much longer, seconds.
const APPOINTMENT_STEP_SECONDS: u64 = 3600;

/// How a tower is set up.
#[derive(Clone, Debug)]
pub struct TowerConfig {
    /// Folder of its sender's journal; one per account and market.
    pub data_dir: PathBuf,
    /// Its account.
    pub account: Address,
    /// The account's key; one that only looks needs none.
    pub signer: Option<PrivateKeySigner>,
    /// Folders of dossiers.
    pub folders: Vec<PathBuf>,
    /// Whether it defends.
    pub defends: bool,
    /// Whether it runs tasks again, and accuses.
    pub audits: bool,
    /// Whether an audit only tells what it would do.
    pub looks_only: bool,
    /// How much of the provider's time it waits for the provider, per cent.
    pub after: u64,
    /// Tasks that are traced at a time.
    pub cores: u32,
    /// Block of the market's creation.
    pub first_block: u64,
}

/// What stands about a tower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Dossiers held.
    pub held: usize,
    /// Whether everything was looked at, and nothing is to be done before the chain says more.
    pub idle: bool,
    /// Whether some receipt was found wrong.
    pub wrong: bool,
}

/// What a wrong receipt takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prospect {
    /// Deal.
    pub deal: DealId,
    /// The provider that signed it.
    pub provider: Address,
    /// Bond that an accusation locks, base units; 0: it is shown without a game.
    pub bond: u128,
    /// What this account has in the market, base units.
    pub balance: u128,
    /// What a conviction gives it, base units.
    pub reward: u128,
}

/// A running tower. It stops when dropped.
pub struct Watchtower {
    asks: mpsc::Sender<Input>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    works: Arc<Works>,
    account: Address,
    sender: Sender,
    _stop_on_drop: DropGuard,
}

enum Input {
    Core(TowerInput),
    Chain(u64, EventBatch),
    Broke(u64),
    Looked(Look),
    Leaves(Vec<((Address, Address), u64)>),
    Ask(oneshot::Sender<Standing>),
}

struct Driver {
    core: Tower,
    rules: TowerRules,
    chain: Chain,
    clock: Clock,
    sender: Sender,
    seal: Seal,
    works: Arc<Works>,
    games: Games,
    courts: BTreeSet<Address>,
    /// Courts of unknown code: nothing is sent to them.
    strange: BTreeSet<Address>,
    leaves: Vec<((Address, Address), u64)>,
    following: Option<JoinHandle<Option<()>>>,
    /// Streams that were begun: what an earlier one still says is not heard.
    stream: u64,
    /// The block that it began at.
    from_block: Option<u64>,
    first_block: u64,
    looking: bool,
    looked: bool,
    events: mpsc::UnboundedSender<TowerEvent>,
    inputs: mpsc::Sender<Input>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    /// Appointments signed: until when.
    appointed: std::collections::HashMap<OrderId, u64>,
    told: BTreeSet<(Address, Address)>,
}

impl Watchtower {
    /// Starts a tower; what it says comes out of the receiver.
    ///
    /// # Errors
    /// `P-SVC-…`.
    pub async fn start(
        config: TowerConfig,
        chain: Chain,
        executor: impl Into<Arc<dyn Executor>>,
    ) -> Result<(Self, mpsc::UnboundedReceiver<TowerEvent>), ProviderError> {
        let executor = executor.into();
        tokio::fs::create_dir_all(&config.data_dir).await?;
        let account = config.account;
        let (signer, sender) = match config.signer {
            Some(signer) => {
                (signer.clone(), chain.sender(signer, &config.data_dir.join("sender.redb")).await?)
            }
            // It signs and sends nothing.
            None => {
                let nobody = PrivateKeySigner::random();
                (nobody.clone(), chain.sender_in_memory(nobody).await?)
            }
        };
        let clock = Clock::default();
        clock.chain_says(chain.now().await?);
        let windows = chain.windows();
        let rules = TowerRules {
            account,
            defends: config.defends,
            audits: config.audits,
            looks_only: config.looks_only,
            after: config.after,
            grace_seconds: windows.grace,
        };
        let desk = Arc::new(Desk::new(
            config.folders,
            chain.chain_id(),
            chain.market(),
            config.audits,
            executor.clone(),
        ));
        let works = Arc::new(Works::new(desk, executor, config.cores));
        let (inputs, queue) = mpsc::channel(MAX_INPUTS);
        let (events, told) = mpsc::unbounded_channel();
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let driver = Driver {
            core: Tower::new(rules.clone()),
            rules,
            seal: Seal::new(signer, chain.domain().clone()),
            chain,
            clock,
            sender: sender.clone(),
            works: works.clone(),
            games: Games::default(),
            courts: BTreeSet::new(),
            strange: BTreeSet::new(),
            leaves: Vec::new(),
            following: None,
            stream: 0,
            from_block: None,
            first_block: config.first_block,
            looking: false,
            looked: false,
            events,
            inputs: inputs.clone(),
            cancel: cancel.clone(),
            tasks: tasks.clone(),
            appointed: Default::default(),
            told: BTreeSet::new(),
        };
        let ended = cancel.clone().drop_guard();
        tasks.spawn(async move {
            let _ended = ended;
            driver.run(queue).await;
        });
        let _stop_on_drop = cancel.clone().drop_guard();
        Ok((Self { asks: inputs, cancel, tasks, works, account, sender, _stop_on_drop }, told))
    }

    /// What stands about it; `None` if it has stopped.
    pub async fn standing(&self) -> Option<Standing> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Input::Ask(answer)).await.ok()?;
        answered.await.ok()
    }

    /// What accusing the receipt of an order takes and gives.
    ///
    /// # Errors
    /// `P-DOS-…`, `P-SVC-004`.
    pub async fn prospect(&self, chain: &Chain, order: OrderId) -> Result<Prospect, ProviderError> {
        let (dossier, account) = (self.works.desk.dossier(order)?.0, self.account);
        let bond = match contradiction(&dossier) {
            Some(_) => 0,
            None => {
                chain
                    .court(dossier.deal.court)
                    .await?
                    .bond_for(dossier.order.value.fuelLimit)
                    .await?
            }
        };
        let balance = chain.account(account).await?;
        let (deal, provider) = (struct_hash(&dossier.deal), dossier.deal.provider);
        Ok(Prospect { deal, provider, bond, balance, reward: reward(&dossier.deal, account) })
    }

    /// Stops at once: what was sent is in its journal, everything else is found again.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.works.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.sender.stop().await;
    }
}

impl Driver {
    async fn run(mut self, mut queue: mpsc::Receiver<Input>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (cancel, mut count) = (self.cancel.clone(), 0u32);
        loop {
            let input = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {
                    if count.is_multiple_of(LOOK_TICKS) {
                        self.look();
                        self.ask_leaves();
                    }
                    count = count.wrapping_add(1);
                    Input::Core(TowerInput::Tick)
                }
                input = queue.recv() => match input {
                    Some(input) => input,
                    None => return,
                },
            };
            self.take(input).await;
        }
    }

    async fn take(&mut self, input: Input) {
        match input {
            Input::Core(input) => self.feed(input),
            Input::Chain(stream, batch) if stream == self.stream => {
                self.clock.chain_says(batch.time);
                let removed = batch.removed.iter().map(|(meta, _)| facts::log_id(meta)).collect();
                let games = &mut self.games;
                let added = batch
                    .added
                    .iter()
                    .filter_map(|(meta, event)| facts::fact(meta, event, games))
                    .collect();
                let caught_up = batch.through >= batch.head;
                self.feed(TowerInput::Chain { removed, added, caught_up });
                if !batch.removed.is_empty() || !batch.added.is_empty() {
                    self.ask_leaves();
                }
            }
            Input::Broke(stream) if stream == self.stream => {
                tracing::error!("the chain rewrote its history; starting over");
                let from_block = self.from_block.unwrap_or(self.first_block);
                self.follow(from_block.saturating_sub(256).max(self.first_block));
            }
            Input::Chain(..) | Input::Broke(_) => {}
            Input::Looked(look) => self.looked(look).await,
            Input::Leaves(leaves) => self.leaves_known(leaves),
            Input::Ask(answer) => {
                let held = self.works.desk.slips().len();
                let waits = |slip: &Slip| {
                    let known = self.core.knows(struct_hash(&slip.deal));
                    self.rules.defends && known && !self.appointed.contains_key(&slip.order)
                };
                let unsigned = self.works.desk.slips().iter().any(waits);
                let idle = self.looked && !self.looking && self.core.idle() && !unsigned;
                let _ = answer.send(Standing { held, idle, wrong: self.core.found_wrong() });
            }
        }
    }

    fn feed(&mut self, input: TowerInput) {
        for effect in self.core.handle(self.clock.now(), input) {
            match effect {
                TowerEffect::Tell(event) => self.tell(event),
                TowerEffect::Play { order, view, .. } => self.play(order, *view),
                TowerEffect::ForgetTrace { order, task } => self.works.traces.forget((order, task)),
                TowerEffect::Audit { order } => self.audit(order),
                TowerEffect::Act { intent, deed } => self.act(intent, *deed),
            }
        }
    }

    fn tell(&self, event: TowerEvent) {
        tracing::info!(?event, "tower");
        // Nobody listens any more: it goes on all the same.
        let _ = self.events.send(event);
    }

    fn beside<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move { cancel.run_until_cancelled(task).await })
    }

    /// Looks through the folders, beside everything else.
    fn look(&mut self) {
        if std::mem::replace(&mut self.looking, true) {
            return;
        }
        let (desk, inputs) = (self.works.desk.clone(), self.inputs.clone());
        self.beside(async move {
            let look = blocking(move || Ok(desk.look())).await.unwrap_or_default();
            let _ = inputs.send(Input::Looked(look)).await;
        });
    }

    async fn looked(&mut self, look: Look) {
        (self.looking, self.looked) = (false, true);
        for order in look.gone {
            self.appointed.remove(&order);
            self.feed(TowerInput::Dropped(order));
        }
        for (path, why) in look.refused {
            let (path, why) = (path.display().to_string(), why.to_string());
            let code = why
                .split_once('[')
                .and_then(|(_, rest)| rest.split_once(']'))
                .map_or("", |(code, _)| code);
            self.tell(TowerEvent::Refused { path, code: code.to_owned(), why });
        }
        let mut unheard: Option<u64> = None;
        for slip in look.held {
            let (deal, id) = (slip.deal.clone(), struct_hash(&slip.deal));
            if !self.is_known_court(&deal, &slip).await {
                continue;
            }
            self.games.add_deal(id, &deal);
            let new_court = !deal.court.is_zero() && self.courts.insert(deal.court);
            let before = self.from_block.is_none() || !self.core.knows(id);
            if new_court || before {
                unheard = Some(unheard.map_or(deal.openedAt, |known| known.min(deal.openedAt)));
            }
            let Slip { deal, order, receipt, cancelled, audited, .. } = slip;
            self.feed(TowerInput::Held(Box::new(Held {
                deal,
                order,
                receipt,
                cancelled,
                audited,
            })));
        }
        if let Some(since) = unheard {
            let from_block = self.block_of(since).await;
            let from_block = self.from_block.map_or(from_block, |known| known.min(from_block));
            self.follow(from_block);
        } else if self.from_block.is_none() {
            // Nothing is held yet: what is opened from now on is heard.
            let from_block = self.chain.head().await.map_or(self.first_block, |head| head.number);
            self.follow(from_block);
        }
        self.ask_leaves();
        self.appoint();
    }

    /// A court of unknown code may say anything, and take what is sent to it.
    async fn is_known_court(&mut self, deal: &Deal, slip: &Slip) -> bool {
        if deal.court.is_zero() || self.courts.contains(&deal.court) {
            return true;
        }
        let known = match self.chain.is_known_court(deal.court).await {
            _ if self.strange.contains(&deal.court) => false,
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, court = %deal.court, "court not looked at");
                self.works.desk.again(slip);
                return false;
            }
        };
        if !known {
            self.strange.insert(deal.court);
            let path = slip.path.display().to_string();
            let why = format!(
                "[P-TWR-001] the court {} is not of the code that this version knows",
                deal.court
            );
            self.tell(TowerEvent::Refused { path, code: "P-TWR-001".into(), why });
        }
        known
    }

    /// The first block that is not before a time.
    async fn block_of(&self, time: u64) -> u64 {
        let Ok(head) = self.chain.head().await else { return self.first_block };
        let (mut low, mut high) = (self.first_block, head.number);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.chain.block_time(middle).await {
                Ok(Some(at)) if at < time => low = middle + 1,
                Ok(Some(_)) => high = middle,
                // An endpoint that does not keep so much: everything that it keeps is read.
                _ => return self.first_block,
            }
        }
        low
    }

    /// Hears the chain from a block on.
    fn follow(&mut self, from_block: u64) {
        if let Some(before) = self.following.take() {
            before.abort();
        }
        self.stream += 1;
        self.from_block = Some(from_block);
        self.feed(TowerInput::Started { from_block });
        let courts = Courts { known: self.courts.clone(), parties: BTreeSet::new() };
        let (mut events, inputs, stream) =
            (self.chain.events_with(from_block, courts), self.inputs.clone(), self.stream);
        let following = self.beside(async move {
            while let Some(batch) = events.next().await {
                if inputs.send(Input::Chain(stream, batch)).await.is_err() {
                    return;
                }
            }
            let _ = inputs.send(Input::Broke(stream)).await;
        });
        self.following = Some(following);
    }

    /// Asks courts for which providers this account may move.
    fn ask_leaves(&self) {
        if !self.rules.defends {
            return;
        }
        let pairs: BTreeSet<(Address, Address)> = self
            .works
            .desk
            .slips()
            .iter()
            .map(|slip| (slip.deal.court, slip.deal.provider))
            .collect();
        let pairs: Vec<_> =
            pairs.into_iter().filter(|(court, _)| self.courts.contains(court)).collect();
        let (chain, inputs, me) = (self.chain.clone(), self.inputs.clone(), self.rules.account);
        self.beside(async move {
            let mut leaves = Vec::new();
            for (court, provider) in pairs {
                let until = async { chain.court(court).await?.delegate_until(provider, me).await };
                match until.await {
                    Ok(until) => leaves.push(((court, provider), until)),
                    Err(error) => tracing::warn!(%error, %provider, "leave to move not read"),
                }
            }
            let _ = inputs.send(Input::Leaves(leaves)).await;
        });
    }

    fn leaves_known(&mut self, leaves: Vec<((Address, Address), u64)>) {
        let now = self.clock.now();
        for ((court, provider), until) in &leaves {
            self.feed(TowerInput::Authority { court: *court, provider: *provider, until: *until });
            if *until > now || *provider == self.rules.account {
                self.told.remove(&(*court, *provider));
            } else if self.told.insert((*court, *provider)) {
                let me = self.rules.account;
                let why = format!(
                    "[P-TWR-002] {provider} has not let {me} move for it before the court {court}: `rialto dispute delegate {me} --until 30d` there; until then only late notices, demands and openings are answered, and no appointment is signed"
                );
                self.tell(TowerEvent::Unauthorised { provider: *provider, court: *court, why });
            }
        }
        self.leaves = leaves;
        self.appoint();
    }

    /// Signs what this tower answers for: as long as it may move, and something can be opened.
    fn appoint(&mut self) {
        if !self.rules.defends {
            return;
        }
        let (windows, now) = (self.chain.windows(), self.clock.now());
        for slip in self.works.desk.slips() {
            if self.strange.contains(&slip.deal.court) || !self.core.knows(struct_hash(&slip.deal))
            {
                continue;
            }
            let last = slip
                .deal
                .expiry
                .saturating_add(windows.grace + 2 * windows.challenge + windows.answer);
            let leave = if slip.deal.court.is_zero() || slip.deal.provider == self.rules.account {
                u64::MAX
            } else {
                let pair = (slip.deal.court, slip.deal.provider);
                self.leaves.iter().find(|(known, _)| *known == pair).map_or(0, |(_, until)| *until)
            };
            let until =
                Some(last.min(leave)).filter(|until| *until > now && slip.receipt.is_some());
            let known = self.appointed.get(&slip.order).copied();
            let better = until.is_some_and(|until| {
                known.is_none_or(|known| until >= known.saturating_add(APPOINTMENT_STEP_SECONDS))
            });
            if known.is_some() && !better {
                continue;
            }
            let (deal, order, provider) = (struct_hash(&slip.deal), slip.order, slip.deal.provider);
            if let (Some(until), Some(receipt)) = (until, slip.receipt) {
                let appointment = Appointment { deal, receipt, tower: self.rules.account, until };
                let written = self.seal.sign(appointment).map(|signed| {
                    let file =
                        AppointmentFile::new(self.chain.chain_id(), self.chain.market(), signed);
                    self.works.desk.appoint(&slip, &file)
                });
                if let Err(why) =
                    written.unwrap_or_else(|why| Err(DossierError::Malformed(why.to_string())))
                {
                    let path = slip.path.display().to_string();
                    self.tell(TowerEvent::Refused {
                        path,
                        code: "P-DOS-001".into(),
                        why: why.to_string(),
                    });
                }
            } else if known == Some(0) {
                continue;
            }
            self.appointed.insert(order, until.unwrap_or(0));
            self.tell(TowerEvent::Took { deal, order, receipt: slip.receipt, provider, until });
        }
    }

    fn play(&mut self, order: OrderId, view: rialto_protocol::court::GameView) {
        let (works, inputs) = (self.works.clone(), self.inputs.clone());
        let (game, turn) = (struct_hash(&view.game), view.turn());
        let Some(task) = view.question.task() else {
            self.beside(async move {
                let result = works.tree(order, view).await;
                played(&inputs, game, turn, result).await;
            });
            return;
        };
        self.beside(async move {
            let reader = works.clone();
            let asked = super::runner::compute(move || reader.asked(order, view)).await;
            match asked {
                Ok(asked) if works.traces.ask(task, asked.clone()) => trace(works, inputs).await,
                Ok(_) => {}
                Err(why) => played(&inputs, game, turn, Err(why)).await,
            }
        });
    }

    fn audit(&self, order: OrderId) {
        let (works, inputs) = (self.works.clone(), self.inputs.clone());
        self.beside(async move {
            let result = works.audit(order).await.map_err(|why| format!("[P-TWR-004] {why}"));
            let _ = inputs.send(Input::Core(TowerInput::Audited { order, result })).await;
        });
    }

    fn act(&self, intent: String, deed: Deed) {
        let (works, sender, chain, inputs) =
            (self.works.clone(), self.sender.clone(), self.chain.clone(), self.inputs.clone());
        let name = intent.clone();
        let acting = self.beside(async move { act(&works, &sender, &chain, &name, deed).await });
        self.beside(async move {
            let (outcome, why) = match acting.await {
                Ok(Some(Ok(fee_wei))) => (Outcome::Mined { fee_wei }, None),
                Ok(Some(Err((outcome, why)))) => (outcome, Some(why)),
                Ok(None) => return,
                Err(error) => (Outcome::Unsent, Some(error.to_string().into())),
            };
            let _ = inputs.send(Input::Core(TowerInput::Acted { intent, outcome, why })).await;
        });
    }
}

async fn played(
    inputs: &mpsc::Sender<Input>,
    game: GameId,
    turn: u8,
    result: Result<Answer, Refusal>,
) {
    let result = result.map_err(|why| format!("[P-TWR-005] {why}"));
    let _ = inputs.send(Input::Core(TowerInput::Played { game, turn, result })).await;
}

/// Answers segments as long as there are some that nobody else answers.
async fn trace(works: Arc<Works>, inputs: mpsc::Sender<Input>) {
    while let Some((task, asked)) = works.traces.take() {
        let answers = works.trace(task, &asked).await;
        works.traces.done(task);
        let mut answers = answers.map(Vec::into_iter);
        for asked in &asked {
            let result = match &mut answers {
                Ok(answers) => answers.next().ok_or_else(|| Refusal::Attempt("no answer".into())),
                Err(why) => Err(why.clone()),
            };
            played(&inputs, struct_hash(&asked.view.game), asked.view.turn(), result).await;
        }
    }
}
