//! A market on an embedded chain, and an endpoint whose answers can be disturbed.
#![allow(dead_code, clippy::unwrap_used)]

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_signer::SignerSync;
use rialto_chain::{
    Chain, ChainConfig, CourtRules, DeployParams, Deployed, LocalRpc, MarketCall, OpenArgs,
    PrivateKeySigner, Rpc, RpcFault, Terms, deploy,
};
use rialto_devchain::{Config, Devchain};
use rialto_protocol::DealId;
use rialto_protocol::eip712::Typed;
use rialto_protocol::types::{Ask, Deal, Limits, WASM_3, digest, struct_hash};
use serde_json::{Value, json};

/// Longest wait of a test: a hang fails, a slow machine does not.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns the result; panics if it hangs.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("hangs")
}

/// A deterministic key.
pub fn key(name: &str) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(name)).unwrap()
}

/// Returns an embedded chain on which every named key has gas money.
pub fn devchain(names: &[&str]) -> Devchain {
    let ether = U256::from(10).pow(U256::from(18));
    let accounts =
        names.iter().map(|name| (key(name).address(), U256::from(1000) * ether)).collect();
    Devchain::open(Config { accounts, ..Config::default() }).unwrap()
}

/// Returns the chain as an in-process endpoint.
pub fn local(chain: &Devchain) -> Rpc {
    let chain = chain.clone();
    Rpc::Local(Arc::new(move |method, params| handle(&chain, method, params)))
}

fn handle(chain: &Devchain, method: &str, params: Value) -> Result<Value, RpcFault> {
    chain.handle(method, params).map_err(|e| RpcFault {
        code: e.code,
        message: e.message,
        data: e.data,
    })
}

/// A function of a request and the undisturbed chain.
pub type Disturbance = dyn Fn(
        &str,
        &Value,
        &dyn Fn(&str, Value) -> Result<Value, RpcFault>,
    ) -> Option<Result<Value, RpcFault>>
    + Send
    + Sync;

/// An endpoint whose answers can be disturbed at any time: `None` passes the request on.
#[derive(Clone)]
pub struct Disturbed {
    chain: Devchain,
    by: Arc<Mutex<Option<Arc<Disturbance>>>>,
}

impl Disturbed {
    pub fn new(chain: &Devchain) -> Disturbed {
        Disturbed { chain: chain.clone(), by: Arc::default() }
    }

    pub fn by(
        &self,
        disturbance: impl Fn(
            &str,
            &Value,
            &dyn Fn(&str, Value) -> Result<Value, RpcFault>,
        ) -> Option<Result<Value, RpcFault>>
        + Send
        + Sync
        + 'static,
    ) {
        *self.by.lock().unwrap() = Some(Arc::new(disturbance));
    }

    pub fn heal(&self) {
        *self.by.lock().unwrap() = None;
    }

    pub fn rpc(&self) -> Rpc {
        let this = self.clone();
        let rpc: LocalRpc = Arc::new(move |method, params| {
            let by = this.by.lock().unwrap().clone();
            let next = |method: &str, params: Value| handle(&this.chain, method, params);
            by.and_then(|by| by(method, &params, &next)).unwrap_or_else(|| next(method, params))
        });
        Rpc::Local(rpc)
    }
}

pub const RULES: CourtRules = CourtRules {
    base_bond: 100,
    bond_per_tfuel: 50,
    base_seconds: 600,
    move_seconds: 60,
    fuel_per_second: 5_000_000,
};

pub const WINDOWS: DeployParams = DeployParams {
    token: None,
    challenge_window: 600,
    answer_window: 300,
    grace: 1200,
    case_bond: 5,
    court: RULES,
};

/// Deploys token and market with the key "deployer".
pub async fn deployed(rpc: &Rpc) -> Deployed {
    soon(deploy(rpc, key("deployer"), WINDOWS)).await.unwrap()
}

pub fn config(rpc: Rpc, market: Address) -> ChainConfig {
    ChainConfig { poll: Some(Duration::from_millis(5)), ..ChainConfig::new(rpc, market) }
}

pub async fn connect(rpc: Rpc, market: Address) -> Chain {
    soon(Chain::connect(config(rpc, market))).await.unwrap()
}

/// Returns a chain with a market, on which "provider" and "requester" have `amount` in their
/// accounts.
pub async fn market(amount: u128) -> (Devchain, Deployed, Chain) {
    let dev = devchain(&["deployer", "provider", "requester"]);
    let rpc = local(&dev);
    let deployed = deployed(&rpc).await;
    let chain = connect(rpc, deployed.market).await;
    for name in ["provider", "requester"] {
        fund(&chain, name, amount).await;
    }
    (dev, deployed, chain)
}

/// Mints and deposits.
pub async fn fund(chain: &Chain, name: &str, amount: u128) {
    let signer = key(name);
    let sender = chain.sender_in_memory(signer.clone()).await.unwrap();
    soon(sender.send("mint", MarketCall::Mint { to: signer.address(), amount })).await.unwrap();
    let permit = chain.permit(&signer, amount, u64::MAX).await.unwrap();
    soon(sender.send("deposit", permit)).await.unwrap();
    soon(sender.stop()).await;
}

/// Returns an ask of the provider: 1000 base units per Tfuel, for a day.
pub async fn ask(chain: &Chain, salt: u64) -> Ask {
    let now = chain.now().await.unwrap();
    Ask {
        provider: key("provider").address(),
        key: key("provider").address(),
        endpoint: B256::repeat_byte(7),
        priceStart: 1000,
        priceEnd: 1000,
        from: now.saturating_sub(10),
        to: now + 86_400,
        taskFee: 1,
        minBudget: 10,
        maxBudget: 1_000_000,
        collateralBps: 5000,
        latePenaltyBps: 1000,
        maxSeconds: 7200,
        capacity: 100,
        cores: 1,
        fuelPerSecond: 1_000_000_000,
        runtime: WASM_3,
        court: Address::ZERO,
        salt,
        limits: Limits { tasks: 1000, taskFuel: 1 << 40, ..Limits::default() },
        ..Ask::default()
    }
}

pub fn signed<T: Typed>(chain: &Chain, name: &str, value: &T) -> Bytes {
    let signature = key(name).sign_hash_sync(&digest(value, chain.domain())).unwrap();
    Bytes::copy_from_slice(&signature.as_bytes())
}

pub async fn open(chain: &Chain, budget: u128, salt: u64) -> OpenArgs {
    let ask = ask(chain, 1).await;
    let signature = signed(chain, "provider", &ask);
    let opened_at = chain.now().await.unwrap();
    let key = key("requester").address();
    OpenArgs {
        ask,
        signature,
        terms: Terms { key, budget, opened_at, duration: 3600, max_price: 1000, salt },
    }
}

pub fn deal_id(deal: &Deal) -> DealId {
    struct_hash(deal)
}

/// Calls a test control of the chain.
pub fn control(chain: &Devchain, method: &str, params: Value) -> Value {
    chain.handle(method, params).unwrap()
}

/// Returns the number of mined transactions of a key.
pub fn nonce(chain: &Devchain, name: &str) -> u64 {
    let hex = control(chain, "eth_getTransactionCount", json!([key(name).address(), "latest"]));
    u64::from_str_radix(hex.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}
