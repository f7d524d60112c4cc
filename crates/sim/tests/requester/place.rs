//! A whole market in one process: embedded chain, providers and a requester, each with its own key,
//! folder and QUIC endpoint on loopback.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use rialto_chain::{
    Chain, ChainConfig, DeployParams, Deployed, MarketCall, PrivateKeySigner, Rpc, RpcFault, deploy,
};
use rialto_devchain::{Config, Devchain};
use rialto_exec::Engine;
use rialto_faults::Fault;
use rialto_machine::input::TaskInput;
use rialto_net::{NetConfig, Node};
use rialto_protocol::{Address, U256, keccak256, wire::PeerAddr};
use rialto_provider::{Plain, Price, Provider, ProviderConfig, Shell};
use rialto_requester::{Job, Requester, RequesterConfig};

/// Squares the eight bytes of its stdin.
pub const SQUARE: &[u8] = include_bytes!("../../../../examples/tiny/tiny.wasm");
/// Deposit of each account, base units.
pub const DEPOSIT: u128 = 1_000_000_000;
const PATIENCE: Duration = Duration::from_secs(600);

/// Returns the result; panics if it hangs.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("hangs")
}

pub fn key(name: &str) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(name)).unwrap()
}

pub struct Seller {
    pub address: Address,
    pub peer: PeerAddr,
    pub service: Provider,
    node: Node,
    config: ProviderConfig,
    shell: Arc<dyn Shell>,
}

pub struct Place {
    pub chain: Chain,
    pub sellers: Vec<Seller>,
    pub deployed: Deployed,
    dev: Devchain,
    folder: tempfile::TempDir,
    node: Node,
    engine: Engine,
}

impl Place {
    /// Creates a market with one provider per fault; `None` is an honest one.
    pub async fn new(faults: &[Option<Fault>]) -> Self {
        Self::with(faults, |_| ()).await
    }

    /// Does the same, with a court.
    pub async fn in_court(faults: &[Option<Fault>]) -> Self {
        Self::make(faults, true, |_| ()).await
    }

    /// Does the same, with other settings of the providers.
    pub async fn in_court_with(
        faults: &[Option<Fault>],
        change: impl Fn(&mut ProviderConfig),
    ) -> Self {
        Self::make(faults, true, change).await
    }

    pub async fn with(faults: &[Option<Fault>], change: impl Fn(&mut ProviderConfig)) -> Self {
        Self::make(faults, false, change).await
    }

    async fn make(
        faults: &[Option<Fault>],
        court: bool,
        change: impl Fn(&mut ProviderConfig),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ether = U256::from(10).pow(U256::from(18));
        let names: Vec<String> = (0..faults.len()).map(|n| format!("seller {n}")).collect();
        let all: Vec<&str> =
            ["deployer", "buyer"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let accounts =
            all.iter().map(|name| (key(name).address(), U256::from(1000) * ether)).collect();
        let dev = Devchain::open(Config { accounts, ..Config::default() }).unwrap();
        let answering = dev.clone();
        let rpc = Rpc::Local(Arc::new(move |method, params| {
            answering.handle(method, params).map_err(|e| RpcFault {
                code: e.code,
                message: e.message,
                data: e.data,
            })
        }));
        let params = DeployParams {
            token: None,
            challenge_window: 600,
            answer_window: 300,
            grace: 1200,
            case_bond: 5,
            court: Default::default(),
        };
        let deployed = soon(deploy(&rpc, key("deployer"), params)).await.unwrap();
        let chain = soon(Chain::connect(ChainConfig::new(rpc, deployed.market))).await.unwrap();
        for name in &all[1..] {
            let sender = chain.sender_in_memory(key(name)).await.unwrap();
            let to = key(name).address();
            soon(sender.send("mint", MarketCall::Mint { to, amount: DEPOSIT })).await.unwrap();
            let permit = chain.permit(&key(name), DEPOSIT, u64::MAX).await.unwrap();
            soon(sender.send("deposit", permit)).await.unwrap();
            soon(sender.stop()).await;
        }
        let node = bind("buyer", folder.path().join("buyer/blobs")).await;
        let engine = engine(folder.path().join("buyer/programs"));
        let mut place = Self { chain, sellers: Vec::new(), deployed, dev, folder, node, engine };
        for (name, fault) in names.iter().zip(faults) {
            let home = place.folder.path().join(name);
            let own = bind(name, home.join("blobs")).await;
            let mut config = ProviderConfig::new(&home, key(name));
            config.asks.price = Price::Constant(100_000_000);
            config.asks.cores = 2;
            config.asks.task_fee = 3;
            config.money.tx_worth = 1;
            config.announce = true;
            config.first_block = place.deployed.block;
            config.bootstrap =
                place.sellers.first().map(|first| first.peer.clone()).into_iter().collect();
            if court {
                config.asks.court = place.deployed.court;
            }
            change(&mut config);
            let (chain, cache) = (place.chain.clone(), engine_at(&home));
            let shell: Arc<dyn Shell> = match fault {
                Some(fault) => Arc::new(*fault),
                None => Arc::new(Plain),
            };
            let starting =
                Provider::start_in(shell.clone(), config.clone(), chain, own.clone(), cache);
            let (service, address) = (soon(starting).await.unwrap(), key(name).address());
            place.sellers.push(Seller {
                address,
                peer: own.addr(),
                service,
                node: own,
                config,
                shell,
            });
        }
        place
    }

    /// Stops a provider, lets `meanwhile` happen, and starts it again on the same folder.
    pub async fn restart(&mut self, seller: usize, meanwhile: impl Future) {
        let Seller { address, peer, service, node, config, shell } = self.sellers.remove(seller);
        soon(service.stop()).await;
        meanwhile.await;
        let cache = engine_at(&config.data_dir);
        let starting = Provider::start_in(
            shell.clone(),
            config.clone(),
            self.chain.clone(),
            node.clone(),
            cache,
        );
        let service = soon(starting).await.unwrap();
        self.sellers.insert(seller, Seller { address, peer, service, node, config, shell });
    }

    /// Lets the chain's time pass.
    pub fn wait(&self, seconds: u64) {
        self.dev.handle("evm_increaseTime", serde_json::json!([seconds])).unwrap();
        self.dev.handle("evm_mine", serde_json::json!([])).unwrap();
    }

    /// Starts the requester; each call restarts the same one.
    pub async fn requester(&self, change: impl FnOnce(&mut RequesterConfig)) -> Requester {
        let mut config = RequesterConfig::new(self.folder.path().join("buyer"), key("buyer"));
        config.first_block = self.deployed.block;
        (config.patience.asks, config.patience.stranded) = (5, 2);
        change(&mut config);
        soon(Requester::start(config, self.chain.clone(), self.node.clone(), self.engine.clone()))
            .await
            .unwrap()
    }

    /// Returns whether the accounts add up to the contract's tokens, which must hold when no deal
    /// is open.
    pub async fn reconciles(&self) -> bool {
        let mut sum = self.chain.account(key("buyer").address()).await.unwrap();
        sum += self.chain.account(rialto_protocol::model::BURNED).await.unwrap();
        for seller in &self.sellers {
            sum += self.chain.account(seller.address).await.unwrap();
        }
        U256::from(sum) == self.chain.token_balance(self.deployed.market).await.unwrap()
    }

    pub async fn stop(self) {
        for seller in self.sellers {
            soon(seller.service.stop()).await;
            seller.node.close().await;
        }
        self.node.close().await;
    }
}

async fn bind(name: &str, blobs: PathBuf) -> Node {
    Node::bind(NetConfig::loopback(keccak256(name).0, blobs)).await.unwrap()
}

fn engine_at(home: &std::path::Path) -> Engine {
    engine(home.join("programs"))
}

fn engine(cache: PathBuf) -> Engine {
    let mut config = rialto_exec::Config::new(cache);
    config.cores = 2;
    config.max_memory_bytes = 1 << 30;
    Engine::new(config).unwrap()
}

/// Returns a job that squares `0 .. tasks`.
pub fn squares(tasks: u64) -> Job {
    let input = |n: u64| {
        TaskInput { stdin: n.to_le_bytes().to_vec(), ..TaskInput::default() }
            .encode()
            .unwrap()
            .into()
    };
    let mut job = Job::new(bytes::Bytes::from_static(SQUARE), (0..tasks).map(input).collect());
    job.limits = rialto_exec::Limits { fuel: 1_000_000_000, out_bytes: 4096, max_pages: 64 };
    job.budget = 100_000_000;
    job
}

/// Returns whether an output is the right square.
pub fn is_square(output: &[u8], n: u64) -> bool {
    rialto_machine::output::parse(output).unwrap().stdout == n.wrapping_mul(n).to_le_bytes()
}
