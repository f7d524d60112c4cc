//! A market on an embedded chain, a provider's node, and a requester that does everything by hand.

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_signer::SignerSync;
use futures::future::BoxFuture;
use rialto_chain::{
    Chain, ChainConfig, CourtArtifacts, CourtCode, Courts, DeployParams, EventStream, FromLog,
    KnownCourts, MarketCall, MarketEvent, OpenArgs, PrivateKeySigner, Rpc, RpcFault, Terms, deploy,
    deploy_court,
};
use rialto_devchain::{Config, Devchain};
use rialto_exec::{CancelFlag, Engine, Executor, Limits, Outcome, SharedData};
use rialto_machine::{
    CANON_VERSION, Machines, TaskLimits, canonicalise,
    input::{Half, Halves, TaskInput, input_root},
    lower,
    play::Player,
    start_parts,
};
use rialto_net::{AskCheck, AskStream, NetConfig, Node, RequesterSession, Verdict};
use rialto_protocol::eip712::Typed;
use rialto_protocol::{
    court::Challenge,
    model::Market,
    receipt::{Halted, inputs_proof, inputs_root},
    types::{Ack, Ask, Deal, Order, Receipt, Voucher, ask_topic, digest, struct_hash},
    wire::{AskGossip, BlobRef, Payload, Signed, ToProvider, ToRequester, WIRE_VERSION},
};
use rialto_provider::{Plain, Provider, ProviderConfig, Shell};

const PATIENCE: Duration = Duration::from_secs(120);
const PROGRAM: &[u8] = include_bytes!("../../../../examples/guests/surroundings.wasm");
const FUEL: u64 = 1_000_000_000;
/// Orders are due so long after their deal was opened.
pub const DUE_SECONDS: u64 = 600;

/// The result, or a panic when it hangs.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("hangs")
}

fn key(name: &str) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(name)).unwrap()
}

pub struct Place {
    pub chain: Chain,
    pub court: Address,
    dev: Devchain,
    rpc: Rpc,
    folder: tempfile::TempDir,
    node: Node,
    engine: Engine,
}

struct AllGood;

impl AskCheck for AllGood {
    fn now(&self) -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    }

    fn check<'a>(&'a self, _: &'a Signed<Ask>) -> BoxFuture<'a, Verdict> {
        Box::pin(async { Verdict::Good })
    }
}

impl Place {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ether = U256::from(10).pow(U256::from(18));
        let names = ["deployer", "provider", "requester"];
        let accounts = names.map(|name| (key(name).address(), U256::from(1000) * ether)).to_vec();
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
        let chain =
            soon(Chain::connect(ChainConfig::new(rpc.clone(), deployed.market))).await.unwrap();
        for name in ["provider", "requester"] {
            let sender = chain.sender_in_memory(key(name)).await.unwrap();
            let amount = 100_000_000;
            soon(sender.send("mint", MarketCall::Mint { to: key(name).address(), amount }))
                .await
                .unwrap();
            let permit = chain.permit(&key(name), amount, u64::MAX).await.unwrap();
            soon(sender.send("deposit", permit)).await.unwrap();
            soon(sender.stop()).await;
        }
        let node =
            Node::bind(NetConfig::loopback([1; 32], folder.path().join("blobs"))).await.unwrap();
        let engine = engine(folder.path(), Machines::default());
        Self { chain, court: deployed.court, dev, rpc, folder, node, engine }
    }

    /// From now on the current machine is another one, with a court of its own, and the old ones
    /// are known.
    pub async fn upgrade(&mut self, machines: Machines, artifacts: CourtArtifacts<'_>) {
        let config = ChainConfig::new(self.rpc.clone(), self.chain.market());
        let rules = soon(self.chain.court(self.court)).await.unwrap().rules();
        self.court = soon(deploy_court(&config, key("deployer"), rules, artifacts)).await.unwrap();
        let new = CourtCode::of(machines.current().version(), artifacts).unwrap();
        let old = CourtCode::of(CANON_VERSION, CourtArtifacts::COMMITTED).unwrap();
        let config = ChainConfig { courts: KnownCourts::new([new, old]), ..config };
        self.chain = soon(Chain::connect(config)).await.unwrap();
        self.engine = engine(self.folder.path(), machines);
    }

    /// The provider; each call is a new life of the same one.
    pub async fn provider(&self, change: impl FnOnce(&mut ProviderConfig)) -> Provider {
        let mut config = self.config();
        change(&mut config);
        self.provider_in(Arc::new(Plain), config).await
    }

    /// One that misbehaves as a shell makes it.
    pub async fn misbehaving(&self, shell: impl Shell) -> Provider {
        self.provider_in(Arc::new(shell), self.config()).await
    }

    fn config(&self) -> ProviderConfig {
        let mut config = ProviderConfig::new(self.folder.path().join("provider"), key("provider"));
        config.asks.price = rialto_provider::Price::Constant(100_000_000);
        config.asks.cores = 2;
        config.money.tx_worth = 1;
        config
    }

    async fn provider_in(&self, shell: Arc<dyn Shell>, config: ProviderConfig) -> Provider {
        let (chain, node, engine) = (self.chain.clone(), self.node.clone(), self.engine.clone());
        soon(Provider::start_in(shell, config, chain, node, engine)).await.unwrap()
    }

    /// What the chain says from its beginning, court included.
    pub fn events(&self) -> EventStream {
        self.chain
            .events_with(0, Courts { known: [self.court].into(), parties: Default::default() })
    }

    /// A task, to be traced under the rules that its order was signed under.
    pub fn player(&self, order: &Order, words: &[&str], task: u32) -> Player {
        let halves = Halves::new(encoded(words)[task as usize].clone(), Bytes::new());
        let program = Arc::new(self.engine.judged(PROGRAM, order.program).unwrap());
        Player::new(program, Arc::new(halves), TaskLimits::of(order, task))
    }

    /// Version of the machine that an order's program was signed under.
    pub fn version(&self, order: &Order) -> u16 {
        self.engine.judged(PROGRAM, order.program).unwrap().parts.version
    }

    /// What an accuser says about a task.
    pub fn challenge(&self, words: &[&str], task: u32, states: [B256; 16]) -> Challenge {
        let inputs = encoded(words);
        let roots: Vec<_> =
            inputs.iter().map(|task| input_root(Half::of(task), Half::of(&[]))).collect();
        let halves = Halves::new(inputs[task as usize].clone(), Bytes::new());
        let parts = start_parts(&lower(&canonicalise(PROGRAM).unwrap().module), &halves).into();
        let (input, input_proof) = (roots[task as usize], inputs_proof(&roots, task));
        Challenge { index: task, input, input_proof, parts, states: Box::new(states) }
    }

    /// The chain's clock jumps.
    pub fn later(&self, seconds: u64) {
        self.dev.handle("evm_increaseTime", serde_json::json!([seconds])).unwrap();
        self.dev.handle("evm_mine", serde_json::json!([])).unwrap();
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What an honest machine makes of an order.
    pub fn run(&self, order: &Order, words: &[&str]) -> Vec<Outcome> {
        let program = self.engine.prepare(PROGRAM).unwrap();
        let limits = Limits::of(order);
        let inputs: Vec<_> = encoded(words).into_iter().map(|bytes| bytes.0).collect();
        let shared = SharedData::none();
        self.engine
            .run_batch(&program, &inputs, &shared, &limits, order.seed, &CancelFlag::new(), &|_| ())
            .unwrap()
    }
}

fn engine(folder: &Path, machines: Machines) -> Engine {
    let config = rialto_exec::Config {
        cores: 2,
        machines,
        ..rialto_exec::Config::new(folder.join("cache"))
    };
    Engine::new(config).unwrap()
}

fn encoded(words: &[&str]) -> Vec<Bytes> {
    let task = |word: &&str| TaskInput {
        argv: vec![b"guest".to_vec(), word.as_bytes().to_vec()],
        ..TaskInput::default()
    };
    words.iter().map(|word| task(word).encode().unwrap().into()).collect()
}

pub struct Requester {
    node: Node,
    chain: Chain,
    pub session: RequesterSession,
    pub deal: Deal,
    pub ack: Option<Signed<Ack>>,
    program: BlobRef,
}

impl Requester {
    /// Finds the provider by gossip and connects.
    pub async fn new(place: &Place) -> Self {
        let config = NetConfig::loopback([2; 32], place.folder().join("requester-blobs"));
        let node = Node::bind(config).await.unwrap();
        let topic = ask_topic(place.chain.chain_id(), place.chain.market());
        let (_, mut asks) = node.asks(topic, vec![place.node.addr()], Arc::new(AllGood)).unwrap();
        let offer = soon(asks.next()).await.unwrap();
        let session = soon(node.connect(&offer.peer)).await.unwrap();
        let program = node.blobs().put_bytes(PROGRAM).await.unwrap();
        node.blobs().allow(offer.peer.endpoint, program).unwrap();
        Self {
            node,
            chain: place.chain.clone(),
            session,
            deal: Deal::default(),
            ack: None,
            program,
        }
    }

    /// Opens a deal under the newest ask.
    pub async fn open(&mut self, place: &Place, budget: u128) {
        let offer = self.asks(place).live().pop().unwrap();
        self.open_under(offer, budget).await;
    }

    /// Opens a deal that names this court, as soon as an ask does.
    pub async fn open_before(&mut self, place: &Place, budget: u128, court: Address) {
        let asks = self.asks(place);
        let offer = soon(async {
            loop {
                let named = asks.live().into_iter().find(|offer| offer.ask.value.court == court);
                if let Some(offer) = named {
                    break offer;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let offer = offer.await;
        self.open_under(offer, budget).await;
    }

    fn asks(&self, place: &Place) -> AskStream {
        let topic = ask_topic(place.chain.chain_id(), place.chain.market());
        self.node.asks(topic, vec![], Arc::new(AllGood)).unwrap().1
    }

    async fn open_under(&mut self, offer: AskGossip, budget: u128) {
        let sender = self.chain.sender_in_memory(key("requester")).await.unwrap();
        let (ask, signature) = (offer.ask.value, offer.ask.signature);
        let opened_at = self.chain.now().await.unwrap();
        let terms = Terms {
            key: key("orders").address(),
            budget,
            opened_at,
            duration: 3600,
            max_price: u128::MAX,
            salt: 1,
        };
        let expected = Market::deal_terms(key("requester").address(), &ask, &terms).unwrap();
        let open = OpenArgs { ask, signature, terms };
        let mined = soon(sender.send("open", MarketCall::Open(vec![open]))).await.unwrap();
        self.deal = mined
            .logs
            .iter()
            .find_map(|log| match MarketEvent::decode(log)? {
                MarketEvent::DealOpened { deal, .. } => Some(deal),
                _ => None,
            })
            .unwrap();
        assert_eq!(self.deal, expected, "known before the transaction");
    }

    pub async fn connect(&mut self, place: &Place) {
        self.session = soon(self.node.connect(&place.node.addr())).await.unwrap();
    }

    pub async fn say(&mut self, message: &ToProvider) {
        soon(self.session.send(message)).await.unwrap();
    }

    /// (next sequence number, paid) as the provider knows them.
    pub async fn hello(&mut self) -> (u64, u128) {
        self.say(&ToProvider::Hello { version: WIRE_VERSION, deal: self.deal.clone() }).await;
        match soon(self.session.recv()).await.unwrap() {
            ToRequester::Welcome { next_seq, paid, .. } => (next_seq, paid),
            other => panic!("{other:?}"),
        }
    }

    /// With the key that the terms named, which has no account.
    pub fn sign<T: Typed>(&self, value: T) -> Signed<T> {
        let signature = key("orders").sign_hash_sync(&digest(&value, self.chain.domain())).unwrap();
        Signed { value, signature: Bytes::from(signature.as_bytes().to_vec()) }
    }

    fn make(&self, place: &Place, seq: u64, words: &[&str]) -> (Order, Payload) {
        let inputs = encoded(words);
        let roots: Vec<_> =
            inputs.iter().map(|task| input_root(Half::of(task), Half::of(&[]))).collect();
        let order = Order {
            deal: struct_hash(&self.deal),
            seq,
            program: place.engine.prepare(PROGRAM).unwrap().root(),
            inputs: inputs_root(&roots),
            tasks: words.len() as u32,
            fuelLimit: FUEL,
            outLimit: 1 << 20,
            maxPages: 512,
            seed: 5,
            dueBy: self.deal.openedAt + DUE_SECONDS,
        };
        (order, Payload::Inline(postcard::to_stdvec(&inputs).unwrap().into()))
    }

    pub async fn order(&mut self, place: &Place, seq: u64, words: &[&str]) -> Order {
        let (order, inputs) = self.make(place, seq, words);
        let signed = self.sign(order.clone());
        self.say(&ToProvider::Order { order: signed, program: self.program, shared: None, inputs })
            .await;
        order
    }

    /// 0: inputs of another order. 1: a program that is none.
    pub async fn spoiled_order(&mut self, place: &Place, spoil: u64) {
        let (order, inputs) = self.make(place, spoil, &["x"]);
        let (_, other) = self.make(place, spoil, &["y"]);
        let garbage = self.node.blobs().put_bytes(b"not wasm".as_slice()).await.unwrap();
        self.node.blobs().allow(self.session.peer(), garbage).unwrap();
        let (program, inputs) = if spoil == 0 { (self.program, other) } else { (garbage, inputs) };
        let order = self.sign(order);
        self.say(&ToProvider::Order { order, program, shared: None, inputs }).await;
    }

    /// A transaction of the requester.
    pub async fn sends(&self, intent: &str, call: MarketCall) {
        let sender = self.chain.sender_in_memory(key("requester")).await.unwrap();
        soon(sender.send(intent, call)).await.unwrap();
        soon(sender.stop()).await;
    }

    /// The provider's promise.
    pub async fn acked(&mut self, order: &Order) -> Signed<Ack> {
        loop {
            match soon(self.session.recv()).await.unwrap() {
                ToRequester::Ack(ack) if ack.value.order == struct_hash(order) => return ack,
                ToRequester::Progress { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The receipt of an order, its results and outputs.
    pub async fn receipt(&mut self, order: &Order) -> (Receipt, Vec<Halted>, Vec<u8>) {
        let (receipt, results, outputs) = self.signed_receipt(order).await;
        (receipt.value, results, outputs)
    }

    /// The same, with the provider's signature. The order's ack is kept.
    pub async fn signed_receipt(
        &mut self,
        order: &Order,
    ) -> (Signed<Receipt>, Vec<Halted>, Vec<u8>) {
        let hash = struct_hash(order);
        let mut acked = false;
        loop {
            match soon(self.session.recv()).await.unwrap() {
                ToRequester::Ack(ack) if ack.value.order == hash => {
                    acked = true;
                    self.ack = Some(ack);
                }
                ToRequester::Ack(_) => {}
                ToRequester::Receipt { receipt, results, outputs }
                    if receipt.value.order == hash =>
                {
                    assert!(acked, "acked first");
                    let Payload::Inline(outputs) = outputs else { panic!("large outputs") };
                    return (receipt, results, outputs.to_vec());
                }
                ToRequester::Progress { .. } | ToRequester::Receipt { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn pay(&mut self, amount: u128, orders: u64, close: bool) {
        let voucher = self.sign(Voucher { deal: struct_hash(&self.deal), amount, orders, close });
        self.say(&ToProvider::Voucher(voucher)).await;
    }
}
