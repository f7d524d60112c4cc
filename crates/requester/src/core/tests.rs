//! A small world for the core: scripted providers with real keys, a market, a disk, and a clock.

mod audit;
mod bonds;
mod cases;
mod chaos;
mod claims;
mod court;
mod jobs;
mod leases;
mod openings;
mod oracle;
pub(crate) mod records;
mod seller;

use std::collections::{BTreeMap, BTreeSet};

use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use rialto_protocol::eip712::Typed;
use rialto_protocol::{
    Address, B256, Bytes, keccak256,
    pricing::{order_fee, share},
    receipt::{Halted, Status, SumTree, output_hash, task_seed},
    types::{
        Ack, Ask, Cancel, Deal, Limits, Order, Receipt, Release, WASM_3, digest, domain,
        struct_hash,
    },
    wire::{Payload, PeerAddr, Signed, ToRequester, WIRE_VERSION},
};

use super::*;
use crate::core::journal::{DropReason, OrderStatus, Standing};

pub const CHAIN: u64 = 31337;
pub const MARKET: Address = Address::repeat_byte(0x77);
pub const REQUESTER: Address = Address::repeat_byte(0xaa);
/// Fuel limit of a task in these tests.
pub const FUEL_LIMIT: u64 = 4_000_000_000;
pub const START: u64 = 1_000;
const GRACE: u64 = 100;

/// What every provider of these tests accepts, where nothing else is said.
pub const LIMITS: Limits = Limits {
    tasks: 4096,
    orders: 4,
    taskFuel: 1 << 60,
    taskMemory: 1 << 32,
    taskOutput: 1 << 30,
    orderOutput: 4 << 30,
    program: 64 << 20,
    inputs: 1 << 30,
    shared: 1 << 40,
    credit: 1_000_000_000,
};

pub fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(n)).unwrap()
}

pub fn address(n: u8) -> Address {
    key(n).address()
}

fn sign<T: Typed>(n: u8, value: T) -> Signed<T> {
    let signature = key(n).sign_hash_sync(&digest(&value, &domain(CHAIN, MARKET))).unwrap();
    Signed { value, signature: Bytes::from(signature.as_bytes().to_vec()) }
}

/// A valid offer of provider `n`.
pub fn offer(n: u8, price: u128) -> Offer {
    let ask = Ask {
        provider: address(n),
        key: address(n),
        endpoint: B256::repeat_byte(n),
        priceStart: price,
        priceEnd: price,
        from: 0,
        to: 1_000_000,
        taskFee: 1,
        minBudget: 1,
        maxBudget: 1_000_000_000,
        collateralBps: 1_000,
        latePenaltyBps: 0,
        maxSeconds: 100_000,
        capacity: 10,
        cores: 2,
        fuelPerSecond: 1_000_000_000,
        runtime: WASM_3,
        attributes: B256::ZERO,
        court: Address::ZERO,
        counter: 0,
        salt: 1,
        limits: LIMITS,
    };
    let peer = PeerAddr { endpoint: ask.endpoint, direct: Vec::new(), relay: None };
    Offer { ask: sign(n, ask), peer, deposit: 1_000_000_000_000, known_court: true }
}

/// Deals are judged by a court.
pub fn before_court(offer: &mut Offer) {
    offer.ask.value.court = Address::repeat_byte(0xcc);
}

pub fn spec(tasks: u32, policy: Policy) -> JobSpec {
    JobSpec {
        id: JobId(7),
        name: "a job".into(),
        program: B256::repeat_byte(0x50),
        inputs: (0..tasks).map(|task| keccak256(task.to_be_bytes())).collect(),
        program_bytes: 1_000,
        shared_bytes: 0,
        input_bytes: vec![100; tasks as usize],
        fuel_limit: FUEL_LIMIT,
        out_limit: 4096,
        max_pages: 16,
        seed: 99,
        secret: B256::repeat_byte(0x5e),
        policy,
        constraints: Constraints {
            budget: 100_000_000,
            max_price: 10_000_000,
            deadline: START + 3_000,
            min_collateral_bps: 0,
            min_providers: 4,
            max_providers: 8,
            exclude: BTreeSet::new(),
            expected_fuel: None,
            run_locally: true,
        },
    }
}

/// The program of these tests: output and fuel depend on input and seed.
pub fn run(input: B256, seed: u64) -> (Vec<u8>, Halted) {
    let hash = keccak256([input.as_slice(), &seed.to_be_bytes()].concat());
    let output = hash[..usize::from(hash[0]) % 32].repeat(usize::from(hash[1]) % 5);
    let fuel = 1_000_000_000 + u64::from(hash[2]) * 1_000_000;
    let halted = Halted {
        status: Status::Finished,
        exit_code: 0,
        out_hash: output_hash(&output),
        out_len: output.len() as u64,
        fuel_left: (FUEL_LIMIT - fuel) as i64,
        digest: 0,
    };
    (output, halted)
}

/// How a provider behaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Manner {
    Honest,
    /// Wrong output, consistently signed, for tasks divisible by this.
    Cheats(u32),
    /// Says too much fuel, consistently signed.
    Overcharges,
    /// Says a larger total than the results add up to.
    Inflates,
    /// Signs a receipt whose root is not the results'.
    BadRoot,
    /// Signs a fee that price and fuel do not make.
    BadFee,
    /// Sends outputs that are not what it signed.
    BadOutputs,
    /// Signs with another key.
    Forges,
    /// Welcomes, and never answers an order.
    Silent,
    /// Acks orders, and delivers nothing.
    Promises,
    /// Cannot be reached after so many orders.
    Dies(usize),
    /// Refuses every order with this code.
    Refuses(&'static str),
    /// Refuses orders of more tasks than this.
    Small(u32),
    /// Takes so many seconds longer for every order.
    Slow(u64),
    /// Honest, and does not redeem; gives a release when asked.
    Releases,
    /// Honest, takes the money at expiry only.
    Sleeps,
}

pub struct Actor {
    n: u8,
    manner: Manner,
    orders: BTreeMap<OrderId, (Order, u32)>,
    receipts: BTreeMap<OrderId, ToRequester>,
    next_seq: BTreeMap<DealId, u64>,
    paid: BTreeMap<DealId, u128>,
    up: bool,
    busy_until: u64,
    seen: usize,
    pub rejected: Vec<(OrderId, u32)>,
    /// Orders taken: the most each can cost; its fee, and from when on that is owed.
    ledger: BTreeMap<OrderId, (u128, Option<(u64, u128)>)>,
}

/// Everything around a core.
pub struct World {
    pub core: Core,
    pub now: u64,
    pub journal: Vec<Record>,
    pub actors: BTreeMap<Address, Actor>,
    pub market: BTreeMap<DealId, Deal>,
    pub closed: BTreeMap<DealId, u128>,
    pub told: Vec<JobEvent>,
    pub summary: Option<Summary>,
    /// (due, event), delivered in this order.
    pub mail: Vec<(u64, Event)>,
    pub refuse_open: BTreeSet<Address>,
    pub opens: u32,
    /// Outcomes by intent, as the sender's journal keeps them.
    mined: BTreeMap<String, Vec<DealId>>,
    pub can_run: bool,
    /// Late notices, demands and settlements sent.
    pub cases: Vec<(String, Call)>,
    /// Whether the market refuses them.
    pub refuse_cases: bool,
    /// Names under which deals were closed.
    pub closes: Vec<String>,
    /// So many of them the market refuses.
    pub refuse_close: usize,
    /// What is special in every offer.
    pub change: fn(&mut Offer),
    /// What was to be traced.
    pub traces: Vec<Trace>,
    /// Whether it is, by this machine.
    pub can_trace: bool,
    /// Tasks run on this machine.
    pub own_runs: usize,
    /// Whatever was sent to providers.
    pub sent: Vec<Outgoing>,
}

pub fn config() -> Config {
    Config {
        requester: REQUESTER,
        key: REQUESTER,
        chain_id: CHAIN,
        market: MARKET,
        grace_seconds: GRACE,
        challenge_seconds: 200,
        answer_seconds: 100,
        dispute_from: Some(1),
        case_bond: 25,
        patience: Patience::default(),
    }
}

impl World {
    /// Providers 1, 2, 3 … with these manners and rising prices.
    pub fn new(manners: &[Manner]) -> Self {
        Self::with(manners, |_| ())
    }

    /// The same, with something special in every offer.
    pub fn with(manners: &[Manner], change: fn(&mut Offer)) -> Self {
        let mut world = Self {
            core: Core::restore(config(), []),
            now: START,
            journal: Vec::new(),
            actors: BTreeMap::new(),
            market: BTreeMap::new(),
            closed: BTreeMap::new(),
            told: Vec::new(),
            summary: None,
            mail: Vec::new(),
            refuse_open: BTreeSet::new(),
            opens: 0,
            mined: BTreeMap::new(),
            can_run: true,
            cases: Vec::new(),
            refuse_cases: false,
            closes: Vec::new(),
            refuse_close: 0,
            change,
            traces: Vec::new(),
            can_trace: false,
            own_runs: 0,
            sent: Vec::new(),
        };
        world.feed(Event::Started);
        for (n, manner) in (1..).zip(manners) {
            world.arrive(n, manner.clone());
        }
        world
    }

    pub fn arrive(&mut self, n: u8, manner: Manner) {
        let actor = Actor {
            n,
            manner,
            orders: BTreeMap::new(),
            receipts: BTreeMap::new(),
            next_seq: BTreeMap::new(),
            paid: BTreeMap::new(),
            up: false,
            busy_until: 0,
            seen: 0,
            rejected: Vec::new(),
            ledger: BTreeMap::new(),
        };
        self.actors.insert(address(n), actor);
        self.hear(n);
    }

    /// The offer of a provider is heard.
    pub fn hear(&mut self, n: u8) {
        let mut offer = offer(n, 1_000_000 + u128::from(n) * 1_000);
        (self.change)(&mut offer);
        self.feed(Event::Heard(offer));
    }

    pub fn feed(&mut self, event: Event) {
        let effects = self.core.handle(self.now, event);
        let persisted =
            effects.iter().filter(|effect| matches!(effect, Effect::Persist(_))).count();
        assert!(
            persisted <= 1 && (persisted == 0 || matches!(effects[0], Effect::Persist(_))),
            "records come first"
        );
        effects.into_iter().for_each(|effect| self.perform(effect));
    }

    /// Delivers what is due, or lets a second pass.
    pub fn step(&mut self) {
        let due = self.mail.iter().position(|(due, _)| *due <= self.now);
        match due {
            Some(at) => {
                let (_, event) = self.mail.remove(at);
                self.feed(event);
            }
            None => {
                self.now += 1;
                self.feed(Event::Tick);
            }
        }
    }

    pub fn run(&mut self, seconds: u64) -> &Summary {
        let end = self.now + seconds;
        while self.summary.is_none() && self.now < end {
            self.step();
        }
        self.check();
        if self.summary.is_none() {
            let end = self.told.len().saturating_sub(12);
            panic!("the job does not end: {:#?}", &self.told[end..]);
        }
        self.summary.as_ref().expect("the job ends in time")
    }

    /// Loses everything that is not in the journal.
    pub fn crash(&mut self) {
        let before = self.core.state().clone();
        let copies: Vec<Record> = self
            .journal
            .iter()
            .map(|record| postcard::from_bytes(&postcard::to_stdvec(record).unwrap()).unwrap())
            .collect();
        self.core = Core::restore(config(), &copies);
        assert_eq!(*self.core.state(), before, "replay gives the same state");
        let ours = |event: &Event| !matches!(event, Event::Chain { .. });
        self.mail.retain(|(_, event)| !ours(event));
        self.actors.values_mut().for_each(|actor| actor.up = false);
        self.feed(Event::Started);
        for n in self.actors.values().map(|actor| actor.n).collect::<Vec<_>>() {
            self.hear(n);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Persist(records) => self.journal.extend(records),
            Effect::Connect { deal, .. } => {
                let actor = self.actors.get_mut(&self.market[&deal].provider).unwrap();
                let reachable = !matches!(actor.manner, Manner::Dies(after) if actor.seen >= after);
                actor.up = reachable;
                let event = if reachable {
                    Event::Connected { deal }
                } else {
                    Event::Disconnected { deal, why: "connection refused".into() }
                };
                self.post(0, event);
            }
            Effect::Hangup { deal } => {
                self.actors.get_mut(&self.market[&deal].provider).unwrap().up = false
            }
            Effect::Send { deal, message } => self.receive(deal, message),
            Effect::Store { order, results, outputs, .. } => {
                let Payload::Inline(bytes) = outputs else { panic!("these providers send inline") };
                let mut check = verify::OutputCheck::new(&results);
                let result = match check.feed(&bytes).and_then(|()| check.finish()) {
                    Ok(()) => Stored::Right,
                    Err(verify::ReceiptFault::Output { task }) => Stored::Wrong { task },
                    Err(other) => panic!("{other}"),
                };
                self.post(0, Event::Stored { order, result });
            }
            Effect::RunLocally { job, batch, tasks } => {
                let inputs = &self.core.state().jobs[&job].spec.inputs;
                let results =
                    tasks.iter().map(|t| (t.index, run(inputs[t.task as usize], t.seed).1));
                self.own_runs += tasks.len();
                let result = if self.can_run {
                    Ok(results.collect())
                } else {
                    Err("too little memory".into())
                };
                self.post(1, Event::RanLocally { job, batch, result });
            }
            Effect::Transact { intent, call } => self.transact(intent, *call),
            Effect::Tell { event, .. } => self.told.push(event),
            Effect::Finished(summary) => self.summary = Some(*summary),
            Effect::Release { .. } => {}
            Effect::Trace(trace) => self.trace(*trace),
            Effect::ForgetTrace { .. } => {}
        }
    }

    fn trace(&mut self, trace: Trace) {
        if self.can_trace {
            let result = match &trace.segment {
                Some(_) => {
                    Traced::Answer(rialto_protocol::court::Answer::Step { pick: 3, proof: vec![1] })
                }
                None => {
                    let mut states = Box::new([B256::repeat_byte(1); 16]);
                    states[15] = self.truth(struct_hash(&trace.order))[trace.task as usize].hash();
                    let (input, input_proof, parts) = (B256::ZERO, Vec::new(), Bytes::new());
                    Traced::First(Box::new(FirstSegment { input, input_proof, parts, states }))
                }
            };
            self.post(1, Event::Traced { key: trace.key, result: Ok(result) });
        }
        self.traces.push(trace);
    }

    /// How an order's tasks end.
    pub fn truth(&self, order: OrderId) -> Vec<Halted> {
        let known = &self.core.state().orders[&order];
        let job = &self.core.state().jobs[&known.job];
        let first = job.batches[known.batch as usize].first as usize;
        let inputs = job.spec.inputs[first..].iter().take(known.order.tasks as usize);
        (0..)
            .zip(inputs)
            .map(|(task, input)| run(*input, task_seed(known.order.seed, task)).1)
            .collect()
    }

    fn post(&mut self, delay: u64, event: Event) {
        self.mail.push((self.now + delay, event));
    }

    fn tx(kind: &str, deals: u32) -> TxNote {
        TxNote { kind: kind.into(), tx: keccak256(kind), gas: Some(100_000), deals }
    }

    fn transact(&mut self, intent: String, call: Call) {
        match call {
            Call::Open(terms) => {
                let opened = if let Some(known) = self.mined.get(&intent) {
                    known.clone()
                } else if terms
                    .iter()
                    .any(|terms| self.refuse_open.contains(&terms.offer.provider()))
                {
                    let outcome =
                        Transacted::Reverted { code: "C-1".into(), reason: "no capacity".into() };
                    return self.post(0, Event::Transacted { intent, outcome });
                } else {
                    terms.iter().for_each(|terms| self.open(terms));
                    let opened: Vec<_> = terms.iter().map(Terms::id).collect();
                    self.opens += 1;
                    self.mined.insert(intent.clone(), opened.clone());
                    opened
                };
                let tx = Self::tx("open", opened.len() as u32);
                self.post(
                    1,
                    Event::Transacted { intent, outcome: Transacted::Mined { tx, opened } },
                );
            }
            Call::Close { deal, release } => {
                self.closes.push(intent.clone());
                if self.closes.len() <= self.refuse_close {
                    let outcome =
                        Transacted::Reverted { code: "C-3".into(), reason: "busy".into() };
                    return self.post(1, Event::Transacted { intent, outcome });
                }
                self.close(struct_hash(&deal), release.value.amount, "close");
                self.post(
                    1,
                    Event::Transacted {
                        intent,
                        outcome: Transacted::Mined { tx: Self::tx("close", 1), opened: vec![] },
                    },
                );
            }
            Call::Expire { deal } => {
                assert!(self.now >= deal.expiry + GRACE);
                self.close(struct_hash(&deal), 0, "expire");
            }
            Call::Late { .. }
            | Call::Demand { .. }
            | Call::Settle { .. }
            | Call::Accuse(_)
            | Call::Play { .. }
            | Call::Timeout { .. }
            | Call::Convict(_) => {
                if self.refuse_cases {
                    let outcome =
                        Transacted::Reverted { code: "C-2".into(), reason: "not now".into() };
                    self.post(1, Event::Transacted { intent: intent.clone(), outcome });
                }
                // The sender knows an intent that it has seen.
                if self.cases.iter().all(|(known, _)| *known != intent) {
                    self.cases.push((intent, call));
                }
            }
        }
    }

    /// As the market does it.
    fn open(&mut self, terms: &Terms) {
        let (ask, deal) = (&terms.offer.ask.value, &terms.deal);
        assert!(
            deal.budget >= ask.minBudget
                && deal.budget <= ask.maxBudget
                && terms.seconds() <= ask.maxSeconds
        );
        assert!(
            deal.openedAt <= self.now && self.now <= terms.opens_until() && self.now < deal.expiry
        );
        assert_eq!((deal.requester, deal.requesterKey), (REQUESTER, config().key));
        assert!(deal.price <= terms.max_price);
        self.market.insert(terms.id(), deal.clone());
    }

    /// What the ask says is kept, and so is its credit: nothing is ever refused for its size.
    fn check_limits(&mut self, deal: DealId, spec: &JobSpec, first: u32, order: &Order) {
        let terms = &self.market[&deal];
        let limits = self.core.state().deals[&deal].offer.ask.value.limits.clone();
        assert!(order.tasks <= limits.tasks && order.fuelLimit <= limits.taskFuel);
        assert!(
            u64::from(order.maxPages) << 16 <= limits.taskMemory
                && order.outLimit <= limits.taskOutput
        );
        assert!(order.outLimit * u64::from(order.tasks) <= limits.orderOutput);
        let inputs = spec.input_bytes[first as usize..][..order.tasks as usize]
            .iter()
            .map(|bytes| u64::from(*bytes) + 1);
        assert!(inputs.sum::<u64>() <= limits.inputs);
        assert!(spec.program_bytes <= limits.program && spec.shared_bytes <= limits.shared);
        let cost = verify::worst_fee(terms, order.fuelLimit, order.tasks);
        let actor = self.actors.get_mut(&terms.provider).unwrap();
        actor.ledger.insert(struct_hash(order), (cost, None));
        let of_deal =
            |name: &OrderId| actor.orders.get(name).is_some_and(|(order, _)| order.deal == deal);
        let rows = || actor.ledger.iter().filter(|(name, _)| of_deal(name)).map(|(_, row)| row);
        let (owed, open): (Vec<_>, Vec<_>) =
            rows().partition(|(_, done)| done.is_some_and(|(at, _)| at <= self.now));
        assert!(open.len() <= limits.orders as usize, "{} unfinished orders", open.len());
        let owed: u128 = owed.iter().filter_map(|(_, done)| done.map(|(_, fee)| fee)).sum();
        let unpaid = owed.saturating_sub(actor.paid.get(&deal).copied().unwrap_or(0));
        let open: u128 = open.iter().map(|(worst, _)| worst).sum();
        assert!(
            unpaid + open <= limits.credit,
            "{unpaid} unpaid and {open} open, of {} credit",
            limits.credit
        );
    }

    fn close(&mut self, deal: DealId, paid: u128, kind: &str) {
        assert!(paid <= self.market[&deal].budget);
        if self.closed.insert(deal, paid).is_none() {
            self.says(deal, What::Closed { paid, tx: Self::tx(kind, 1) });
        }
    }

    /// The chain says something, finally.
    pub fn says(&mut self, deal: DealId, what: What) {
        self.post(1, Event::Chain { facts: vec![Fact { deal, what }], cursor: None });
    }

    fn reply(&mut self, deal: DealId, delay: u64, message: ToRequester) {
        self.post(delay, Event::Message { deal, message });
    }
}

fn receipt(
    n: u8,
    manner: &Manner,
    terms: &Deal,
    order: &Order,
    first: u32,
    spec: &JobSpec,
) -> ToRequester {
    let mut results = Vec::new();
    let mut stream = Vec::new();
    for index in 0..order.tasks {
        let task = first + index;
        let (mut output, mut halted) =
            run(spec.inputs[task as usize], task_seed(order.seed, index));
        match manner {
            Manner::Cheats(every) if task.is_multiple_of(*every) => {
                output = format!("made up by {n}").into_bytes();
                halted.out_hash = output_hash(&output);
                halted.out_len = output.len() as u64;
            }
            Manner::Overcharges => halted.fuel_left -= 1,
            _ => {}
        }
        results.push(halted);
        stream.extend(output);
    }
    if *manner == Manner::BadOutputs {
        stream.push(1);
    }
    let root = SumTree::new(
        results.iter().map(|halted| (halted.hash(), halted.fuel_used(order.fuelLimit))),
    )
    .root();
    let mut fee = order_fee(terms, root.fuel, order.tasks).unwrap();
    let (mut hash, mut fuel) = (root.hash, root.fuel);
    match manner {
        Manner::Inflates => fuel *= 2,
        Manner::BadRoot => hash = keccak256(hash),
        Manner::BadFee => fee += 1,
        _ => {}
    }
    let receipt = Receipt { order: struct_hash(order), root: hash, fuel, fee };
    let signer = if *manner == Manner::Forges { 0xf0 } else { n };
    ToRequester::Receipt {
        receipt: sign(signer, receipt),
        results,
        outputs: Payload::Inline(stream.into()),
    }
}
