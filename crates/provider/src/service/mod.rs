//! The service: a core, and everything that performs its effects.
//!
//! | module | knows |
//! |---|---|
//! | `driver` | the one task that owns the core |
//! | `session` | reading and writing one session |
//! | `runner` | fetching, checking, running |
//! | `traces` | tracing tasks for games |
//! | `outputs` | an order's outputs while it runs |
//! | `journal` | rows on disk |
//! | `meter` | how busy the cores are, and what the process takes |
//! | `report` | everything an owner asks about |
//! | [`Dossier`] | all that defends one receipt, on disk |
//! | `handover` | writing dossiers for a watchtower |
//! | `evidence` | what shows what was agreed and done of an order |
//! | `kept` | what is kept for games, read while the provider does not run |
//! | `facts` | chain events as facts, calls as transactions |
//! | `asks` | publishing our asks |
//! | `tower` | a watchtower, for providers that sleep |
//! | [`Shell`] | what may change between the core's decisions and the world |

mod asks;
mod dossier;
mod driver;
mod error;
mod evidence;
mod facts;
mod handover;
mod journal;
mod kept;
mod meter;
mod outputs;
mod report;
mod runner;
mod session;
mod shell;
mod tower;
mod traces;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use alloy_primitives::{Address, Bytes};
use rialto_chain::{Chain, Clock, Games, MarketCall, PrivateKeySigner, Sender};
use rialto_exec::{Executor, Lent};
use rialto_net::Node;
use rialto_party::{ChainCheck, MAX_INPUTS, Seal, Wallet};
use rialto_protocol::{keccak256, pricing::BPS, types::ask_topic, wire::PeerAddr};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::core::{AskConfig, Config, Core, Limits, Money, ProviderEvent, Status};
use driver::{Driver, Input};
use runner::{Runner, lock};

pub use dossier::{Done, Dossier, DossierError, Found, Inspector, Part};
pub use error::ProviderError;
pub use evidence::Evidence;
pub use kept::{KeptTask, kept_results, kept_task};
pub use meter::{Footprint, Usage};
pub use report::{Gas, Report, stored};
pub use shell::{Conduct, Plain, Shell};
pub use tower::{AppointmentError, AppointmentFile, Prospect, Standing, TowerConfig, Watchtower};

/// Events kept for a slow watcher; older ones are lost to it.
const MAX_WATCHED_EVENTS: usize = 4096;

/// How often a stop looks whether the journal is free.
const STOP_POLL: Duration = Duration::from_millis(1);

/// How a provider is set up.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Folder of journal and sender; one per provider and market.
    pub data_dir: PathBuf,
    /// Key of the account that sells.
    pub signer: PrivateKeySigner,
    /// What is offered.
    pub asks: AskConfig,
    /// What is accepted.
    pub limits: Limits,
    /// What is risked.
    pub money: Money,
    /// What a whole coin of the chain's native money is worth, base units. With it the worth of a
    /// transaction follows the price of gas; without, `money.tx_worth` is taken.
    pub coin: Option<u128>,
    /// Peers through which gossip is joined.
    pub bootstrap: Vec<PeerAddr>,
    /// Whether to announce our address on chain, once per address: postcard of [`PeerAddr`].
    pub announce: bool,
    /// Block of the market's creation: where its events begin.
    pub first_block: u64,
    /// Where dossiers of everything signed are written, for a watchtower.
    pub watchtower: Option<PathBuf>,
}

impl ProviderConfig {
    /// Defaults for a key and a folder. The offer's `cores` and `fuel_per_second` should say what
    /// the machine has.
    pub fn new(data_dir: impl Into<PathBuf>, signer: PrivateKeySigner) -> Self {
        Self {
            data_dir: data_dir.into(),
            signer,
            asks: AskConfig::default(),
            limits: Limits::default(),
            money: Money::default(),
            coin: None,
            bootstrap: Vec::new(),
            announce: false,
            first_block: 0,
            watchtower: None,
        }
    }
}

/// A running provider. It stops when dropped.
pub struct Provider {
    account: Address,
    sender: Sender,
    inputs: mpsc::Sender<Input>,
    events: broadcast::Sender<ProviderEvent>,
    first_watcher: Mutex<Option<broadcast::Receiver<ProviderEvent>>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    journal: Weak<redb::Database>,
    _stop_on_drop: DropGuard,
}

impl Provider {
    /// Starts a provider, or takes up what an earlier one left in its data folder. It sells as soon
    /// as its account in the market holds collateral for the smallest deal.
    pub async fn start(
        config: ProviderConfig,
        chain: Chain,
        node: Node,
        executor: impl Into<Arc<dyn Executor>>,
    ) -> Result<Self, ProviderError> {
        Self::start_in(Arc::new(Plain), config, chain, node, executor).await
    }

    /// Like [`Provider::start`], inside another shell.
    ///
    /// # Errors
    /// `P-SVC-…`.
    pub async fn start_in(
        shell: Arc<dyn Shell>,
        config: ProviderConfig,
        chain: Chain,
        node: Node,
        executor: impl Into<Arc<dyn Executor>>,
    ) -> Result<Self, ProviderError> {
        let executor = executor.into();
        let account = config.signer.address();
        tokio::fs::create_dir_all(&config.data_dir).await?;
        let cores = config.asks.cores;
        let limits = within_lent(config.limits, &config.asks, executor.lends());
        let core_config = Config {
            provider: account,
            key: account,
            endpoint: node.id(),
            chain_id: chain.chain_id(),
            market: chain.market(),
            grace_seconds: chain.windows().grace,
            challenge_seconds: chain.windows().challenge,
            asks: config.asks,
            limits,
            money: config.money,
        };
        let owner =
            format!("provider {account} on chain {} market {}", chain.chain_id(), chain.market());
        let path = config.data_dir.join("journal.redb");
        let (journal, records) = journal::blocking(move || {
            let journal = journal::Journal::open(&path, &owner)?;
            let records = journal.load()?;
            Ok((journal, records))
        })
        .await?;
        let core = Core::restore(core_config, records);

        let clock = Clock::default();
        clock.chain_says(chain.now().await?);
        let wallet = Wallet::new(chain.clone(), account);
        let accounts = wallet.standing().await?;
        let sender =
            chain.sender(config.signer.clone(), &config.data_dir.join("sender.redb")).await?;
        let seal = Seal::new(config.signer, chain.domain().clone());
        let check = ChainCheck::new(chain.clone(), clock.clone());
        let topic = ask_topic(chain.chain_id(), chain.market());
        let (publisher, _) = node.asks(topic, config.bootstrap, Arc::new(check))?;

        let (inputs, queue) = mpsc::channel(MAX_INPUTS);
        let (events, first_watcher) = broadcast::channel(MAX_WATCHED_EVENTS);
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let watch = journal.watch();
        let runner = Runner::new(node.clone(), executor, journal.clone(), cores, shell);
        let driver = Driver {
            core,
            clock,
            chain,
            wallet,
            sender: sender.clone(),
            journal,
            runner: Arc::new(runner),
            publisher,
            seal,
            handover: config.watchtower.map(handover::Handover::new),
            first_block: config.first_block,
            inputs: inputs.clone(),
            events: events.clone(),
            cancel: cancel.clone(),
            tasks: tasks.clone(),
            sessions: HashMap::new(),
            games: Games::default(),
            next_session: 0,
            jobs: HashMap::new(),
            rerun: None,
            drained: Vec::new(),
            coin: config.coin,
            gas: None,
            told_gas: false,
            started: std::time::Instant::now(),
            meter: meter::Meter::default(),
            cpu: std::collections::VecDeque::new(),
        };
        tasks.spawn(drive(driver, queue, accounts, cancel.clone()));
        tasks.spawn(accept(node.clone(), inputs.clone(), cancel.clone()));
        if config.announce {
            tasks.spawn(announce(node, sender.clone(), cancel.clone()));
        }
        Ok(Self {
            account,
            sender,
            inputs,
            events,
            first_watcher: Mutex::new(Some(first_watcher)),
            _stop_on_drop: cancel.clone().drop_guard(),
            cancel,
            tasks,
            journal: watch,
        })
    }

    /// The account that sells.
    pub fn account(&self) -> Address {
        self.account
    }

    /// The one sender of the provider's key, for deposits and withdrawals.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// What happens from now on; for the first who asks, from the start on.
    pub fn events(&self) -> broadcast::Receiver<ProviderEvent> {
        lock(&self.first_watcher).take().unwrap_or_else(|| self.events.subscribe())
    }

    /// What it is doing.
    pub async fn status(&self) -> Result<Status, ProviderError> {
        self.look(|driver| driver.core.status()).await
    }

    /// Everything an owner asks about.
    pub async fn report(&self) -> Result<Report, ProviderError> {
        self.look(Driver::report).await
    }

    /// Takes no new work, and returns once what was accepted is done and no transaction is under
    /// way. Sessions stay open: requesters can still pay.
    pub async fn drain(&self) -> Result<(), ProviderError> {
        let (answer, answered) = oneshot::channel();
        self.inputs.send(Input::Drain(answer)).await.map_err(|_| ProviderError::Stopped)?;
        answered.await.map_err(|_| ProviderError::Stopped)
    }

    /// Stops at once. Everything that matters is on disk: the next start goes on from there. The
    /// node stays open: it is the caller's. When this returns the data folder is free.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // A read that was under way ends first.
        while self.journal.strong_count() > 0 {
            tokio::time::sleep(STOP_POLL).await;
        }
        self.sender.stop().await;
    }

    /// Returns once the provider has stopped, by `stop` or because its journal could not be
    /// written.
    pub async fn stopped(&self) {
        self.cancel.cancelled().await;
    }
}

/// What is offered must be possible here at the limit: a task that the host stops before it has
/// burned its fuel is no result, and its order would be late.
fn within_lent(limits: Limits, asks: &AskConfig, lent: Lent) -> Limits {
    let speed =
        u128::from(asks.fuel_per_second) * u128::from(limits.promised_speed_bps) / u128::from(BPS);
    let fuel =
        u64::try_from(speed.saturating_mul(lent.max_wall.as_secs().into())).unwrap_or(u64::MAX);
    let pages = u32::try_from(lent.memory_bytes / rialto_exec::PAGE_BYTES).unwrap_or(u32::MAX);
    if fuel < limits.task_fuel || pages < limits.task_pages {
        tracing::warn!(fuel, pages, "limits lowered to what this host lends to a task");
    }
    Limits {
        task_fuel: limits.task_fuel.min(fuel),
        task_pages: limits.task_pages.min(pages),
        memory_bytes: limits.memory_bytes.min(lent.memory_bytes),
        ..limits
    }
}

async fn drive(
    driver: Driver,
    queue: mpsc::Receiver<Input>,
    accounts: (u128, u64),
    cancel: CancellationToken,
) {
    // However it ends, a panic included, nothing goes on without the core.
    let _stop = cancel.drop_guard();
    if let Err(error) = driver.run(queue, accounts).await {
        tracing::error!(%error, "the provider had to stop");
    }
}

async fn accept(node: Node, inputs: mpsc::Sender<Input>, cancel: CancellationToken) {
    while let Some(Some(session)) = cancel.run_until_cancelled(node.accept()).await {
        if inputs.send(Input::Session(Box::new(session))).await.is_err() {
            return;
        }
    }
}

/// Says on chain where we are; the same address is said once.
async fn announce(node: Node, sender: Sender, cancel: CancellationToken) {
    let bytes = match postcard::to_stdvec(&node.addr()) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => return tracing::warn!(%error, "address not announced"),
    };
    let intent = format!("announce-{}", keccak256(&bytes));
    if let Some(Err(error)) =
        cancel.run_until_cancelled(sender.send(intent, MarketCall::Announce(bytes))).await
    {
        tracing::warn!(%error, "address not announced");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_offered_that_the_host_would_stop() {
        let asks = AskConfig { fuel_per_second: 1_000, ..AskConfig::default() };
        let lent = Lent { cores: 2, memory_bytes: 1 << 20, max_wall: Duration::from_secs(60) };
        let limits = within_lent(Limits::default(), &asks, lent);
        assert_eq!(
            (limits.task_fuel, limits.task_pages, limits.memory_bytes),
            (30_000, 16, 1 << 20)
        );
        // The defaults fit each other.
        let config = rialto_exec::Config::new("");
        let lent =
            Lent { memory_bytes: config.max_memory_bytes, max_wall: config.max_wall, ..lent };
        let limits = within_lent(Limits::default(), &AskConfig::default(), lent);
        assert_eq!(limits.task_fuel, Limits::default().task_fuel);
    }
}
