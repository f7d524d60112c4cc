//! A market on this machine: embedded chain, contracts, providers and one requester, each with its own key, data
//! folder and QUIC endpoint on loopback. They are wired here and talk through chain and network only.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use rialto_chain::{
    Chain, ChainConfig, CourtRules, DeployParams, Deployed, LocalRpc, MarketCall, PrivateKeySigner, Rpc, RpcFault,
    Sender, deploy,
};
use rialto_client::{LOCAL_REQUESTER, local_key, write_private};
use rialto_devchain::{Devchain, Server, serve};
use rialto_exec::Engine;
use rialto_net::{NetConfig, Node};
use rialto_protocol::{Address, U256, keccak256, wire::PeerAddr};
use rialto_provider::{AskConfig, Fault, Money, Price, Provider, ProviderConfig};
use rialto_requester::{Patience, Requester, RequesterConfig};
use serde::{Deserialize, Serialize};

/// Chain id of the embedded chain.
pub const CHAIN_ID: u64 = 31_337;
/// Gas money of every account on the embedded chain: 1000 ether, in wei.
const GAS_MONEY_WEI: u128 = 1_000 * 10u128.pow(18);
/// Windows of the embedded market, seconds: long enough for a person to watch, short enough to wait for.
const CHALLENGE_SECONDS: u64 = 120;
const ANSWER_SECONDS: u64 = 60;
const GRACE_SECONDS: u64 = 60;
/// Bond of a late notice or demand, where nobody wants another: 0.1 tUSD.
const CASE_BOND: u128 = 100_000;
/// The embedded court: bonds that a test account can pay, and turns that a person can wait for.
const COURT: CourtRules = CourtRules {
    base_bond: 100_000,
    bond_per_tfuel: 100_000,
    base_seconds: 120,
    move_seconds: 60,
    fuel_per_second: 20_000_000,
};
/// What every account starts with on the market: 1000 tUSD.
const DEPOSIT: u128 = 1_000_000_000;
/// An idle embedded chain makes a block this often, seconds, so that its time moves.
const HEARTBEAT_SECONDS: u64 = 1;
/// Most memory of tasks of one node, bytes: many nodes share this machine.
const NODE_MEMORY_BYTES: u64 = 1 << 30;

/// Longest that an endpoint takes to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Most providers of a standing market: so many accounts have gas money from the first block on.
pub const MAX_PROVIDERS: u32 = 64;

/// One provider to bring up.
#[derive(Clone, Debug)]
pub struct ProviderPlan {
    /// Price of its asks.
    pub price: Price,
    /// Base units per task.
    pub task_fee: u128,
    /// What it risks, and when it wants its money.
    pub money: Money,
    /// How it cheats, if it does.
    pub fault: Option<Fault>,
}

impl ProviderPlan {
    /// One that does as it says.
    pub fn honest(price: Price, task_fee: u128) -> Self {
        Self { price, task_fee, money: Money::default(), fault: None }
    }
}

/// A provider and what belongs to it.
pub struct LocalProvider {
    /// Account.
    pub address: Address,
    /// Its endpoint.
    pub peer: PeerAddr,
    /// Its service and endpoint, while it runs.
    running: Option<(Provider, Node)>,
}

impl LocalProvider {
    /// Ends it. It does not come back.
    async fn stop(&mut self) {
        if let Some((service, node)) = self.running.take() {
            service.stop().await;
            close(&node).await;
        }
    }
}

/// Closes an endpoint. A peer that vanished is not waited for.
async fn close(node: &Node) {
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, node.close()).await;
}

/// What may differ from market to market.
pub struct Setting {
    /// How long the requester waits for what.
    pub patience: Patience,
    /// Bond of a late notice or demand, base units.
    pub case_bond: u128,
    /// Accounts beside the requester's and the providers', by name: each has gas money and the same deposit.
    pub guests: Vec<String>,
}

impl Default for Setting {
    fn default() -> Self {
        Self { patience: Patience::default(), case_bond: CASE_BOND, guests: Vec::new() }
    }
}

/// Where the nodes keep their data: a temporary folder is removed when this is dropped.
pub enum Folder {
    /// Removed at the end.
    Temporary(tempfile::TempDir),
    /// Kept.
    Kept(PathBuf),
}

impl Folder {
    /// A given folder, which must be empty or absent, or a temporary one.
    pub fn new(given: Option<&Path>) -> Result<Self> {
        match given {
            None => Ok(Self::Temporary(tempfile::Builder::new().prefix("rialto-").tempdir()?)),
            Some(path) => {
                std::fs::create_dir_all(path)
                    .with_context(|| format!("[C-HOM-001] cannot create {}", path.display()))?;
                let empty = std::fs::read_dir(path)?.next().is_none();
                anyhow::ensure!(
                    empty,
                    "[C-DEM-002] {} is not empty: every market starts in a folder of its own",
                    path.display()
                );
                Ok(Self::Kept(path.to_owned()))
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}

/// The market. `stop` ends it in order; dropping it ends it at once, without losing anything.
pub struct LocalMarket {
    /// Reads of the chain.
    pub chain: Chain,
    /// What was deployed.
    pub deployed: Deployed,
    /// The requester's account.
    pub requester_address: Address,
    /// The requester.
    pub requester: Requester,
    /// The requester's own engine.
    pub engine: Engine,
    /// The providers, as planned.
    pub providers: Vec<LocalProvider>,
    /// Accounts that belong to no node.
    guests: Vec<Address>,
    requester_node: Node,
    devchain: Devchain,
    // Last: nodes let go of their files before the folder is removed.
    folder: Folder,
}

impl LocalMarket {
    /// Brings everything up. `fuel_per_second` is what one core of this machine was measured to do.
    pub async fn start(folder: Folder, plans: &[ProviderPlan], fuel_per_second: u64) -> Result<Self> {
        Self::start_with(folder, plans, fuel_per_second, Setting::default()).await
    }

    /// The same with some things set.
    pub async fn start_with(
        folder: Folder,
        plans: &[ProviderPlan],
        fuel_per_second: u64,
        Setting { patience, case_bond, guests }: Setting,
    ) -> Result<Self> {
        let names: Vec<String> = (1..=plans.len()).map(|n| format!("provider-{n}")).collect();
        let admin = local_key("admin");
        let requester_key = local_key(LOCAL_REQUESTER);
        let mut accounts = vec![admin.address(), requester_key.address()];
        accounts.extend(names.iter().chain(&guests).map(|name| local_key(name).address()));

        let devchain = open_chain(folder.path(), &accounts)?;
        let rpc = local_rpc(devchain.clone());
        let deployed = deploy_contracts(&rpc, &admin, case_bond).await?;
        let chain = connect(&rpc, deployed.market).await?;
        fund(&chain, admin, &accounts[1..]).await.context("the accounts were not funded")?;

        let mut providers: Vec<LocalProvider> = Vec::with_capacity(plans.len());
        for (name, plan) in names.iter().zip(plans) {
            let bootstrap = providers.first().map(|first| first.peer.clone()).into_iter().collect();
            let home = folder.path().join(name);
            let provider = start_provider(&rpc, &deployed, name, &home, plan, bootstrap, fuel_per_second)
                .await
                .with_context(|| format!("{name} did not start"))?;
            providers.push(provider);
        }

        let home = folder.path().join("requester");
        let engine = node_engine(&home)?;
        let requester_node = bind("requester", &home).await?;
        let config = RequesterConfig {
            first_block: deployed.block,
            patience,
            ..RequesterConfig::new(&home, requester_key.clone())
        };
        let own_chain = connect(&rpc, deployed.market).await?;
        let requester = Requester::start(config, own_chain, requester_node.clone(), engine.clone())
            .await
            .context("the requester did not start")?;
        let requester_address = requester_key.address();
        let guests = guests.iter().map(|name| local_key(name).address()).collect();
        Ok(Self {
            chain,
            deployed,
            requester_address,
            requester,
            engine,
            providers,
            guests,
            requester_node,
            devchain,
            folder,
        })
    }

    /// Opens the embedded chain to other programs on this machine.
    pub async fn serve_rpc(&self) -> Result<Server> {
        Ok(serve(self.devchain.clone(), (std::net::Ipv4Addr::LOCALHOST, 0).into()).await?)
    }

    /// Lets the chain's time run ahead; everybody's clock follows it.
    pub fn let_pass(&self, seconds: u64) -> Result<()> {
        let control = |method, params| self.devchain.handle(method, params).map_err(|e| anyhow::anyhow!(e.message));
        control("evm_increaseTime", serde_json::json!([seconds]))?;
        control("evm_mine", serde_json::json!([]))?;
        Ok(())
    }

    /// A provider goes down and does not come back.
    pub async fn shut_down(&mut self, provider: Address) {
        for gone in self.providers.iter_mut().filter(|local| local.address == provider) {
            gone.stop().await;
        }
    }

    /// Where the nodes keep their data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that the market holds is somebody's: tokens in the contract equal all accounts, while no deal is open.
    pub async fn reconciles(&self) -> Result<bool> {
        let mut owners = vec![self.requester_address, rialto_protocol::model::BURNED, self.deployed.court];
        owners.extend(self.providers.iter().map(|provider| provider.address));
        owners.extend(&self.guests);
        let mut accounts = U256::ZERO;
        for owner in owners {
            accounts += U256::from(self.chain.account(owner).await?);
        }
        Ok(accounts == self.chain.token_balance(self.deployed.market).await?)
    }

    /// Ends everything in order: requester, providers, endpoints.
    pub async fn stop(mut self) {
        self.requester.stop().await;
        close(&self.requester_node).await;
        futures::future::join_all(self.providers.iter_mut().map(LocalProvider::stop)).await;
    }
}

/// A market that outlives its process: whatever ran on its folder before goes on.
pub struct Standing {
    /// Reads of the chain.
    pub chain: Chain,
    /// What was deployed.
    pub deployed: Deployed,
    /// The chain's endpoint.
    pub server: Server,
    providers: Vec<LocalProvider>,
}

/// What is written down once the contracts are there. Without it they are deployed anew, which leaves only unused ones behind.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Deployment {
    token: Address,
    market: Address,
    block: u64,
    court: Address,
    step_unit: Address,
    float_unit: Address,
    /// Port of the endpoint, taken again if it is free.
    port: u16,
}

impl Standing {
    /// Brings up what is in a folder, or begins it.
    pub async fn start(folder: &Path, plans: &[ProviderPlan], fuel_per_second: u64) -> Result<Self> {
        let admin = local_key("admin");
        let names: Vec<String> = (1..=MAX_PROVIDERS).map(|n| format!("provider-{n}")).collect();
        let mut accounts = vec![admin.address(), local_key(LOCAL_REQUESTER).address()];
        accounts.extend(names.iter().map(|name| local_key(name).address()));
        let devchain = open_chain(folder, &accounts)?;
        let rpc = local_rpc(devchain.clone());
        let file = folder.join("deployment.json");
        let known: Option<Deployment> = match std::fs::read(&file) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "[C-UP-005] {} is damaged, or an older version's: `rialto down --wipe` begins anew",
                    file.display()
                )
            })?),
            Err(_) => None,
        };
        let port = known.map_or(0, |known| known.port);
        let server = match serve(devchain.clone(), (std::net::Ipv4Addr::LOCALHOST, port).into()).await {
            Ok(server) => server,
            Err(_) => serve(devchain, (std::net::Ipv4Addr::LOCALHOST, 0).into()).await?,
        };
        let deployed = match known {
            Some(Deployment { token, market, block, court, step_unit, float_unit, .. }) => {
                let (token_gas, market_gas, court_gas) = (0, 0, 0);
                Deployed { token, market, block, token_gas, market_gas, court, step_unit, float_unit, court_gas }
            }
            None => deploy_contracts(&rpc, &admin, CASE_BOND).await?,
        };
        let Deployed { token, market, block, court, step_unit, float_unit, .. } = deployed;
        let now = Deployment { token, market, block, court, step_unit, float_unit, port: server.addr().port() };
        write_private(&file, &serde_json::to_vec_pretty(&now)?)?;
        let chain = connect(&rpc, market).await?;
        anyhow::ensure!(
            chain.is_known_code().await? && chain.is_known_court(court).await?,
            "[C-UP-005] the market in {} is an older version's: `rialto down --wipe` begins anew",
            folder.display()
        );
        // Each account once: the intent's name says which.
        let sender = chain.sender(admin.clone(), &folder.join("admin.redb")).await?;
        for account in &accounts[1..=plans.len() + 1] {
            fund_once(&sender, admin.address(), *account).await.context("the accounts were not funded")?;
        }
        sender.stop().await;
        let mut providers: Vec<LocalProvider> = Vec::with_capacity(plans.len());
        for (name, plan) in names.iter().zip(plans) {
            let bootstrap = providers.first().map(|first| first.peer.clone()).into_iter().collect();
            let home = folder.join(name);
            let provider = start_provider(&rpc, &deployed, name, &home, plan, bootstrap, fuel_per_second).await;
            providers.push(provider.with_context(|| format!("{name} did not start"))?);
        }
        Ok(Self { chain, deployed, server, providers })
    }

    /// Ends it in order.
    pub async fn stop(self) {
        for mut provider in self.providers {
            provider.stop().await;
        }
        self.server.shutdown().await;
    }
}

/// Mints test tokens and deposits them, once per account however often this is called.
async fn fund_once(sender: &Sender, admin: Address, account: Address) -> Result<()> {
    let step = |step: &str| format!("{step}-{account:x}");
    sender.send(step("mint"), MarketCall::Mint { to: admin, amount: DEPOSIT }).await?;
    sender.send(step("approve"), MarketCall::Approve { amount: DEPOSIT }).await?;
    sender.send(step("deposit"), MarketCall::Deposit { account, amount: DEPOSIT }).await?;
    Ok(())
}

fn open_chain(folder: &Path, accounts: &[Address]) -> Result<Devchain> {
    Devchain::open(rialto_devchain::Config {
        chain_id: CHAIN_ID,
        accounts: accounts.iter().map(|account| (*account, U256::from(GAS_MONEY_WEI))).collect(),
        path: Some(folder.join("chain")),
        heartbeat_secs: Some(HEARTBEAT_SECONDS),
        ..Default::default()
    })
    .context("the embedded chain did not start")
}

async fn deploy_contracts(rpc: &Rpc, admin: &PrivateKeySigner, case_bond: u128) -> Result<Deployed> {
    let params = DeployParams {
        token: None,
        challenge_window: CHALLENGE_SECONDS,
        answer_window: ANSWER_SECONDS,
        grace: GRACE_SECONDS,
        case_bond,
        court: COURT,
    };
    deploy(rpc, admin.clone(), params).await.context("the contracts were not deployed")
}

/// Deposit that every account starts with, base units.
pub fn initial_deposit() -> u128 {
    DEPOSIT
}

async fn start_provider(
    rpc: &Rpc,
    deployed: &Deployed,
    name: &str,
    home: &Path,
    plan: &ProviderPlan,
    bootstrap: Vec<PeerAddr>,
    fuel_per_second: u64,
) -> Result<LocalProvider> {
    let signer = local_key(name);
    let address = signer.address();
    let node = bind(name, home).await?;
    let config = ProviderConfig {
        asks: AskConfig {
            price: plan.price,
            task_fee: plan.task_fee,
            cores: cores() as u32,
            fuel_per_second,
            court: deployed.court,
            ..AskConfig::default()
        },
        bootstrap,
        announce: true,
        first_block: deployed.block,
        money: plan.money.clone(),
        fault: plan.fault,
        ..ProviderConfig::new(home, signer)
    };
    let chain = connect(rpc, deployed.market).await?;
    let service = Provider::start(config, chain, node.clone(), node_engine(home)?).await?;
    Ok(LocalProvider { address, peer: node.addr(), running: Some((service, node)) })
}

/// Cores of this machine, which all local nodes share.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn node_engine(home: &Path) -> Result<Engine> {
    let mut config = rialto_exec::Config::new(home.join("programs"));
    config.cores = cores();
    config.max_memory_bytes = NODE_MEMORY_BYTES;
    Ok(Engine::new(config)?)
}

pub async fn bind(name: &str, home: &Path) -> Result<Node> {
    let secret = keccak256(format!("rialto embedded endpoint {name}")).0;
    let config = NetConfig { port_file: Some(home.join("port")), ..NetConfig::loopback(secret, home.join("blobs")) };
    Node::bind(config).await.with_context(|| format!("endpoint of {name}"))
}

async fn connect(rpc: &Rpc, market: Address) -> Result<Chain> {
    Chain::connect(ChainConfig::new(rpc.clone(), market)).await.context("the market is not reachable")
}

fn local_rpc(devchain: Devchain) -> Rpc {
    let handle: LocalRpc = Arc::new(move |method, params| {
        devchain.handle(method, params).map_err(|e| RpcFault { code: e.code, message: e.message, data: e.data })
    });
    Rpc::Local(handle)
}

/// Mints test tokens and deposits the same amount into every account.
async fn fund(chain: &Chain, admin: PrivateKeySigner, accounts: &[Address]) -> Result<()> {
    let total = DEPOSIT * accounts.len() as u128;
    let to = admin.address();
    let sender = chain.sender_in_memory(admin).await?;
    sender.send("mint", MarketCall::Mint { to, amount: total }).await?;
    sender.send("approve", MarketCall::Approve { amount: total }).await?;
    let deposits = accounts.iter().map(|account| MarketCall::Deposit { account: *account, amount: DEPOSIT }).collect();
    sender.send("deposit", MarketCall::Batch(deposits)).await?;
    sender.stop().await;
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn interrupted() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Longest that blocking work is waited for at the end of the process.
pub const STOP_TIMEOUT: Duration = Duration::from_millis(500);
