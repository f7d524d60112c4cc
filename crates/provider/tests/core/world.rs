//! A world for one core: keys, a chain that only we write, peers, and a journal that can be crashed
//! into. Every batch of effects is checked: nothing is done that the journal does not know.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use rialto_protocol::{
    AskId, DealId, OrderId,
    pricing::share,
    receipt::{Halted, Status},
    types::{Cancel, Deal, Order, Voucher, digest, domain, struct_hash},
    wire::{BlobRef, Payload, Signed, ToProvider, ToRequester, WIRE_VERSION},
};
use rialto_provider::core::{
    AskConfig, Call, Config, Core, Effect, Event, Fact, Limits, LogId, Money, OnChain, Outcome,
    Price, ProviderEvent, Record, Refusal, Results, Work, journal::Key, record::OrderState,
};

pub const START: u64 = 1_000_000;
pub const LENGTH: u64 = 4_000;
pub const GRACE: u64 = 600;
pub const CHALLENGE: u64 = 1_000;
pub const TFUEL: u64 = 1_000_000_000_000;
/// Base units per task that uses all of the default fuel limit.
pub const TASK_FEE: u128 = 100;

pub fn config() -> Config {
    Config {
        provider: Address::repeat_byte(0x11),
        key: Address::repeat_byte(0x12),
        endpoint: B256::repeat_byte(0x22),
        chain_id: 31337,
        market: Address::repeat_byte(0x33),
        grace_seconds: GRACE,
        challenge_seconds: CHALLENGE,
        asks: AskConfig {
            price: Price::Constant(100),
            min_budget: 10,
            max_budget: 1_000_000,
            capacity: 4,
            cores: 2,
            fuel_per_second: TFUEL,
            ..AskConfig::default()
        },
        limits: Limits { queue_orders: 8, deal_orders: 6, order_tasks: 64, ..Limits::default() },
        money: Money {
            credit_window: 2_000,
            tx_worth: 10,
            redeem_margin_seconds: 600,
            claim_after_seconds: 300,
            ..Money::default()
        },
    }
}

/// A transaction the core asked for, by intent.
pub type Sent = BTreeMap<String, Call>;

pub struct World {
    pub config: Config,
    pub core: Core,
    pub now: u64,
    pub journal: BTreeMap<Key, Vec<u8>>,
    pub key: PrivateKeySigner,
    /// Everything since the last `take`.
    pub effects: Vec<Effect>,
    pub sent: Sent,
    pub logs: Vec<Fact>,
    next_session: u64,
    /// Whether core and journal are compared after every event.
    pub compared: bool,
}

impl World {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: Config) -> Self {
        let mut world = Self {
            core: Core::restore(config.clone(), []),
            config,
            now: START,
            journal: BTreeMap::new(),
            key: PrivateKeySigner::from_bytes(&B256::repeat_byte(0x44)).unwrap(),
            effects: Vec::new(),
            sent: Sent::new(),
            logs: Vec::new(),
            next_session: 0,
            compared: true,
        };
        world.feed(Event::Started { from_block: 0, counter: 0, account: 1_000_000 });
        world
    }

    /// Feeds an event, performs its effects against the journal and checks them.
    pub fn feed(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.core.handle(self.now, event);
        for (at, effect) in effects.iter().enumerate() {
            match effect {
                Effect::Persist(records) => {
                    assert_eq!(at, 0, "written before anything is done");
                    for (key, value) in records.iter().flat_map(Record::writes) {
                        match value {
                            Some(value) => drop(self.journal.insert(key, value)),
                            None => drop(self.journal.remove(&key)),
                        }
                    }
                }
                acting => self.watch(acting),
            }
        }
        if self.compared {
            self.check_rows();
        }
        self.effects.extend(effects.iter().cloned());
        effects
    }

    /// What is done must be in the journal already.
    fn watch(&mut self, effect: &Effect) {
        match effect {
            Effect::Send { message: ToRequester::Ack(ack), .. } => {
                let row = self.order_row(ack.value.order).expect("an ack without a row");
                assert_eq!(row.state.ack(), Some(&ack.value));
            }
            Effect::SendReceipt { receipt, .. } => {
                let row = self.order_row(receipt.order).expect("a receipt without a row");
                assert_eq!(row.state.receipt(), Some(receipt));
                assert!(
                    self.journal.contains_key(&Key::results(receipt.order)),
                    "a receipt without results"
                );
            }
            Effect::Send { message: ToRequester::Release(release), .. } => {
                let row = self.deal_row(release.value.deal).expect("a release without a row");
                assert_eq!(row.released, Some(release.value.amount));
                let deal = release.value.deal;
                for record in self.rows() {
                    if let Record::Order(_, order) = record {
                        let settled = order.order.value.seq < row.watermark();
                        assert!(
                            order.order.value.deal != deal || settled || !order.owed(),
                            "a release that can be late"
                        );
                    }
                }
            }
            Effect::Fetch(Work { hash, .. }) | Effect::Run(Work { hash, .. }) => {
                assert!(self.order_row(*hash).is_some(), "work without a row");
                assert!(self.journal.contains_key(&Key::inputs(*hash)), "work without inputs");
            }
            Effect::Rerun { work, task } => {
                assert!(self.order_row(work.hash).unwrap().rejected.contains_key(task));
                assert!(self.journal.contains_key(&Key::results(work.hash)));
            }
            Effect::Transact { intent, call } => {
                let known = self.rows().into_iter().any(|record| match record {
                    Record::Deal(_, row) => {
                        row.txs.values().any(|tx| tx.intent == *intent && tx.call == *call)
                    }
                    _ => false,
                });
                assert!(known, "a transaction without a row: {intent}");
                if let Some(before) = self.sent.insert(intent.clone(), call.clone()) {
                    assert_eq!(before, *call, "one intent, one call");
                }
            }
            Effect::Publish(ask) => {
                let known = struct_hash(ask);
                assert!(
                    self.rows()
                        .into_iter()
                        .any(|r| matches!(r, Record::Ask(hash, _) if hash == known))
                );
                assert!(
                    self.rows()
                        .into_iter()
                        .any(|r| matches!(r, Record::Market(m) if m.ask.as_ref() == Some(ask)))
                );
            }
            _ => {}
        }
    }

    /// The journal holds exactly the core's rows, and a core restored from it has the same ones.
    fn check_rows(&self) {
        let rows: BTreeMap<_, _> = self.core.rows().iter().flat_map(Record::writes).collect();
        let written: BTreeMap<_, _> =
            self.journal.range(..Key::bulk()).map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
        assert!(written.is_empty() || rows == written, "the journal is not the core");
        let restored = Core::restore(self.config.clone(), self.rows());
        assert_eq!(restored.rows(), self.core.rows());
        for (key, _) in self.journal.range(Key::bulk()..) {
            let order = OrderId::from(B256::from_slice(&key.as_bytes()[1..]));
            assert!(self.core.order(order).is_some(), "bulk rows of a forgotten order");
        }
    }

    pub fn rows(&self) -> Vec<Record> {
        self.journal.range(..Key::bulk()).map(|(_, value)| Record::read(value).unwrap()).collect()
    }

    pub fn order_row(&self, hash: OrderId) -> Option<rialto_provider::core::OrderRow> {
        self.rows().into_iter().find_map(|r| {
            if let Record::Order(h, row) = r { (h == hash).then_some(*row) } else { None }
        })
    }

    pub fn deal_row(&self, id: DealId) -> Option<rialto_provider::core::DealRow> {
        self.rows().into_iter().find_map(|r| {
            if let Record::Deal(d, row) = r { (d == id).then_some(*row) } else { None }
        })
    }

    /// The process dies; a new one starts from the journal, and the chain tells its last blocks
    /// again.
    pub fn crash(&mut self) -> Vec<Effect> {
        self.core = Core::restore(self.config.clone(), self.rows());
        let from_block = self.core.cursor().saturating_sub(1);
        let effects = self.feed(Event::Started { from_block, counter: 0, account: 1_000_000 });
        let added = self.logs.iter().filter(|fact| fact.at.block >= from_block).cloned().collect();
        self.feed(Event::Chain { removed: vec![], added, head: self.head() });
        effects
    }

    pub fn head(&self) -> u64 {
        self.logs.last().map_or(0, |fact| fact.at.block)
    }

    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn wait(&mut self, seconds: u64) -> Vec<Effect> {
        self.now += seconds;
        self.feed(Event::Tick)
    }

    // ── the chain ──

    pub fn fact(&mut self, deal: DealId, what: rialto_provider::core::What) -> Fact {
        let block = self.head() + 1;
        let hash =
            keccak256([block.to_be_bytes(), (self.logs.len() as u64).to_be_bytes()].concat());
        let fact = Fact { at: LogId { block, index: 0, hash }, deal, what };
        self.logs.push(fact.clone());
        fact
    }

    pub fn says(&mut self, deal: DealId, what: rialto_provider::core::What) -> Vec<Effect> {
        let fact = self.fact(deal, what);
        let head = fact.at.block;
        self.feed(Event::Chain { removed: vec![], added: vec![fact], head })
    }

    pub fn deal_terms(&self, salt: u64) -> Deal {
        Deal {
            ask: AskId::ZERO,
            requester: Address::repeat_byte(0x13),
            provider: self.config.provider,
            requesterKey: self.key.address(),
            providerKey: self.config.key,
            budget: 10_000,
            collateral: share(10_000, 2_000).unwrap(),
            price: 100,
            taskFee: 0,
            latePenalty: 200,
            openedAt: self.now,
            expiry: self.now + LENGTH,
            court: Address::ZERO,
            salt,
        }
    }

    /// Opens a deal on chain.
    pub fn open(&mut self, salt: u64) -> Deal {
        let deal = self.deal_terms(salt);
        let what = rialto_provider::core::What::Opened(Box::new(deal.clone()));
        self.says(struct_hash(&deal), what);
        deal
    }

    pub fn chain(&self, deal: &Deal) -> OnChain {
        OnChain::of(&self.core.deal(struct_hash(deal)).unwrap().facts)
    }

    pub fn mined(&mut self, intent: &str) -> Vec<Effect> {
        self.feed(Event::Transacted {
            intent: intent.into(),
            outcome: Outcome::Mined { fee_wei: 7 },
        })
    }

    // ── the requester ──

    pub fn connect(&mut self, peer: u8) -> u64 {
        self.next_session += 1;
        let session = self.next_session;
        self.feed(Event::Connected { session, peer: B256::repeat_byte(peer) });
        session
    }

    pub fn hello(&mut self, session: u64, deal: &Deal) -> Vec<Effect> {
        self.say(session, ToProvider::Hello { version: WIRE_VERSION, deal: deal.clone() })
    }

    /// A deal with a session of the requester's usual endpoint.
    pub fn deal(&mut self, salt: u64) -> (Deal, u64) {
        let deal = self.open(salt);
        let session = self.connect(0x55);
        self.hello(session, &deal);
        (deal, session)
    }

    pub fn say(&mut self, session: u64, message: ToProvider) -> Vec<Effect> {
        self.feed(Event::Message { session, message: Box::new(message) })
    }

    pub fn sign<T: rialto_protocol::eip712::Typed>(&self, value: T) -> Signed<T> {
        let digest = digest(&value, &domain(self.config.chain_id, self.config.market));
        let signature = self.key.sign_hash_sync(&digest).unwrap();
        Signed { value, signature: Bytes::from(signature.as_bytes().to_vec()) }
    }

    pub fn order(&self, deal: &Deal, seq: u64, tasks: u32) -> Order {
        Order {
            deal: struct_hash(deal),
            seq,
            program: B256::repeat_byte(0x66),
            inputs: B256::repeat_byte(0x77),
            tasks,
            fuelLimit: TFUEL,
            outLimit: 1_000,
            maxPages: 16,
            seed: 7,
            dueBy: self.now + 200,
        }
    }

    pub fn offer(&self, order: Order) -> ToProvider {
        ToProvider::Order {
            order: self.sign(order),
            program: BlobRef { hash: [1; 32], size: 100 },
            shared: None,
            inputs: Payload::Inline(Bytes::from_static(b"inputs")),
        }
    }

    pub fn voucher(&self, deal: &Deal, amount: u128, orders: u64, close: bool) -> ToProvider {
        ToProvider::Voucher(self.sign(Voucher { deal: struct_hash(deal), amount, orders, close }))
    }

    pub fn cancel(&self, order: OrderId) -> ToProvider {
        ToProvider::Cancel(self.sign(Cancel { order }))
    }

    /// A transaction ends so.
    pub fn ended(&mut self, intent: &str, outcome: Outcome) -> Vec<Effect> {
        self.feed(Event::Transacted { intent: intent.into(), outcome })
    }

    /// Sends an order; its hash.
    pub fn place(&mut self, session: u64, order: Order) -> OrderId {
        let hash = struct_hash(&order);
        let offer = self.offer(order);
        self.say(session, offer);
        hash
    }

    /// Sends an order and brings it to its receipt.
    pub fn deliver(&mut self, session: u64, deal: &Deal, seq: u64, tasks: u32) -> OrderId {
        let hash = self.place(session, self.order(deal, seq, tasks));
        self.fetched(hash);
        self.run(hash);
        assert!(self.is_done(hash), "{:?}", self.effects);
        hash
    }

    pub fn fetched(&mut self, order: OrderId) -> Vec<Effect> {
        self.feed(Event::Fetched { order, result: Ok(()) })
    }

    pub fn run(&mut self, order: OrderId) -> Vec<Effect> {
        let tasks = self.core.order(order).unwrap().order.value.tasks;
        self.feed(Event::Ran { order, result: Ok(results(tasks)) })
    }

    pub fn is_done(&self, order: OrderId) -> bool {
        matches!(self.core.order(order).map(|row| &row.state), Some(OrderState::Done { .. }))
    }
}

/// Results of tasks that used all their fuel.
pub fn results(tasks: u32) -> Results {
    let halted = Halted {
        status: Status::Finished,
        exit_code: 0,
        out_hash: B256::ZERO,
        out_len: 0,
        fuel_left: 0,
        digest: 0,
    };
    Results { halted: vec![halted; tasks as usize], outputs: Payload::Inline(Bytes::new()) }
}

pub fn codes(effects: &[Effect]) -> Vec<String> {
    let code = |effect: &Effect| match effect {
        Effect::Send { message: ToRequester::Refuse { code, .. }, .. } => Some(code.clone()),
        _ => None,
    };
    effects.iter().filter_map(code).collect()
}

pub fn told(effects: &[Effect]) -> Vec<ProviderEvent> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Tell(event) = e { Some(event.clone()) } else { None })
        .collect()
}

pub fn intents(effects: &[Effect]) -> Vec<String> {
    let name = |effect: &Effect| match effect {
        Effect::Transact { intent, .. } => Some(intent.split('-').next().unwrap().to_string()),
        _ => None,
    };
    effects.iter().filter_map(name).collect()
}

pub fn intent_of(effects: &[Effect]) -> String {
    let all: Vec<_> = effects
        .iter()
        .filter_map(|e| {
            if let Effect::Transact { intent, .. } = e { Some(intent.clone()) } else { None }
        })
        .collect();
    assert_eq!(all.len(), 1, "{effects:?}");
    all[0].clone()
}

pub fn runs(effects: &[Effect]) -> Vec<OrderId> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Run(work) = e { Some(work.hash) } else { None })
        .collect()
}

pub fn messages(effects: &[Effect]) -> Vec<&ToRequester> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Send { message, .. } = e { Some(message) } else { None })
        .collect()
}

pub fn receipts(effects: &[Effect]) -> BTreeSet<OrderId> {
    effects
        .iter()
        .filter_map(|e| {
            if let Effect::SendReceipt { receipt, .. } = e { Some(receipt.order) } else { None }
        })
        .collect()
}

/// What a host that can't says.
pub fn broken() -> Refusal {
    Refusal::Attempt("no memory".into())
}
