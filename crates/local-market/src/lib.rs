//! A market on this machine: embedded chain, contracts, providers and one requester, each with its
//! own key, data folder and QUIC endpoint on loopback. They are wired here and talk through chain
//! and network only.

#![forbid(unsafe_code)]

mod error;
mod standing;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rialto_chain::{
    Chain, ChainConfig, CourtRules, DeployParams, Deployed, LocalRpc, MarketCall, PrivateKeySigner,
    Rpc, RpcFault, deploy,
};
use rialto_client::{LOCAL_REQUESTER, local_key};
use rialto_devchain::{Devchain, Server, serve};
use rialto_exec::Engine;
use rialto_net::{NetConfig, Node};
use rialto_protocol::{Address, U256, keccak256, wire::PeerAddr};
use rialto_provider::{AskConfig, Money, Plain, Price, Provider, ProviderConfig, Shell};
use rialto_requester::{Patience, Requester, RequesterConfig};

pub use error::LocalMarketError;
pub use standing::{MAX_PROVIDERS, Standing};

use error::{Result, Step};

/// Chain id of the embedded chain.
pub const CHAIN_ID: u64 = 31_337;
/// Gas money of every account on the embedded chain: 1000 ether, in wei.
const GAS_MONEY_WEI: u128 = 1_000 * 10u128.pow(18);
/// Windows of the embedded market, seconds: long enough for a person to watch, short enough to wait
/// for.
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

/// One provider to bring up.
#[derive(Clone, Debug)]
pub struct ProviderPlan {
    /// Price of its asks.
    pub price: Price,
    /// Base units per task.
    pub task_fee: u128,
    /// What it risks, and when it wants its money.
    pub money: Money,
    /// What stands around it: something that misbehaves, in a demonstration.
    pub shell: Arc<dyn Shell>,
}

impl ProviderPlan {
    /// One that does as it says.
    pub fn honest(price: Price, task_fee: u128) -> Self {
        Self { price, task_fee, money: Money::default(), shell: Arc::new(Plain) }
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
    /// Accounts beside the requester's and the providers', by name: each has gas money and the same
    /// deposit.
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
            None => {
                let made = tempfile::Builder::new().prefix("rialto-").tempdir();
                Ok(Self::Temporary(made.step("no temporary folder can be made")?))
            }
            Some(path) => {
                let failed = |source| LocalMarketError::Folder { path: path.to_owned(), source };
                std::fs::create_dir_all(path).map_err(failed)?;
                match std::fs::read_dir(path).map_err(failed)?.next() {
                    None => Ok(Self::Kept(path.to_owned())),
                    Some(_) => Err(LocalMarketError::NotEmpty { path: path.to_owned() }),
                }
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
    pub async fn start(
        folder: Folder,
        plans: &[ProviderPlan],
        fuel_per_second: u64,
    ) -> Result<Self> {
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
        fund(&chain, admin, &accounts[1..]).await.step("the accounts were not funded")?;

        let mut providers: Vec<LocalProvider> = Vec::with_capacity(plans.len());
        for (name, plan) in names.iter().zip(plans) {
            let bootstrap = providers.first().map(|first| first.peer.clone()).into_iter().collect();
            let home = folder.path().join(name);
            let provider =
                start_provider(&rpc, &deployed, name, &home, plan, bootstrap, fuel_per_second)
                    .await
                    .step(format!("{name} did not start"))?;
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
            .step("the requester did not start")?;
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
        serve(self.devchain.clone(), (std::net::Ipv4Addr::LOCALHOST, 0).into())
            .await
            .step("the chain's endpoint did not start")
    }

    /// Lets the chain's time run ahead; everybody's clock follows it.
    pub fn let_pass(&self, seconds: u64) -> Result<()> {
        let control = |method, params| {
            self.devchain
                .handle(method, params)
                .map_err(|fault| LocalMarketError::Chain(fault.message))
        };
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

    /// Everything that the market holds is somebody's: tokens in the contract equal all accounts,
    /// while no deal is open.
    pub async fn reconciles(&self) -> Result<bool> {
        let mut owners =
            vec![self.requester_address, rialto_protocol::model::BURNED, self.deployed.court];
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

fn open_chain(folder: &Path, accounts: &[Address]) -> Result<Devchain> {
    Devchain::open(rialto_devchain::Config {
        chain_id: CHAIN_ID,
        accounts: accounts.iter().map(|account| (*account, U256::from(GAS_MONEY_WEI))).collect(),
        path: Some(folder.join("chain")),
        heartbeat_secs: Some(HEARTBEAT_SECONDS),
        ..Default::default()
    })
    .step("the embedded chain did not start")
}

async fn deploy_contracts(
    rpc: &Rpc,
    admin: &PrivateKeySigner,
    case_bond: u128,
) -> Result<Deployed> {
    let params = DeployParams {
        token: None,
        challenge_window: CHALLENGE_SECONDS,
        answer_window: ANSWER_SECONDS,
        grace: GRACE_SECONDS,
        case_bond,
        court: COURT,
    };
    deploy(rpc, admin.clone(), params).await.step("the contracts were not deployed")
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
        ..ProviderConfig::new(home, signer)
    };
    let chain = connect(rpc, deployed.market).await?;
    let (shell, engine) = (plan.shell.clone(), node_engine(home)?);
    let service = Provider::start_in(shell, config, chain, node.clone(), engine).await?;
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
    Engine::new(config).step("the engine did not start")
}

/// The endpoint of a node, by its name; its port is kept in `home`.
///
/// # Errors
/// No socket.
pub async fn bind(name: &str, home: &Path) -> Result<Node> {
    let secret = keccak256(format!("rialto embedded endpoint {name}")).0;
    let config = NetConfig {
        port_file: Some(home.join("port")),
        ..NetConfig::loopback(secret, home.join("blobs"))
    };
    Node::bind(config).await.step(format!("endpoint of {name}"))
}

async fn connect(rpc: &Rpc, market: Address) -> Result<Chain> {
    Chain::connect(ChainConfig::new(rpc.clone(), market)).await.step("the market is not reachable")
}

fn local_rpc(devchain: Devchain) -> Rpc {
    let handle: LocalRpc = Arc::new(move |method, params| {
        devchain.handle(method, params).map_err(|e| RpcFault {
            code: e.code,
            message: e.message,
            data: e.data,
        })
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
    let deposits = accounts
        .iter()
        .map(|account| MarketCall::Deposit { account: *account, amount: DEPOSIT })
        .collect();
    sender.send("deposit", MarketCall::Batch(deposits)).await?;
    sender.stop().await;
    Ok(())
}
