//! The environment of the cores: time, chain, network, disks and crashes. A run begins with faults
//! and ends without them.

use std::collections::BTreeMap;

use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::Eip712Domain;
use rialto_protocol::eip712::Typed;
use rialto_protocol::{
    Address, Bytes, DealId, OrderId, keccak256,
    model::{
        Call, Market,
        court::{Court, Rules},
    },
    types::{digest, domain},
    wire::{Message, Signed as Sealed},
};
use rialto_provider::core as provider;
use rialto_requester::core as requester;

use crate::{
    buyer::Buyer,
    chain::{Answer, Chain, Tx, Who},
    check::{Broken, History, Signed},
    ledger::{Act, Ledger},
    network::{Network, Side},
    options::Options,
    random::Random,
    schedule::{BEGINNING, Millis, Schedule},
    seller::Seller,
};

/// Chain id of every simulated market.
pub const CHAIN_ID: u64 = 31_337;
/// Address of every simulated market.
pub const MARKET: Address = Address::repeat_byte(0x77);
/// Address of the court of every simulated market that has one.
pub const COURT: Address = Address::repeat_byte(0xcc);
/// Deposit of every node, in base units.
pub const DEPOSIT: u128 = 1_000_000_000;
/// Rules of that court. They leave a node time to answer even if it crashes and learns of the chain
/// late.
pub const RULES: Rules = Rules {
    base_bond: 500,
    bond_per_tfuel: 50_000,
    base_seconds: 300,
    move_seconds: 240,
    fuel_per_second: 50_000_000,
};
/// Time after the last job's deadline by which a run must have ended. Deals last half as long again
/// as jobs, and the longest pause before a transaction is retried is half an hour.
const PATIENCE: Millis = 4 * 3600 * 1000;
/// Interval at which cores receive the time while jobs are running.
const TICK: Millis = 1000;
/// The same interval once all jobs are reported and only deals have to end.
const SLOW_TICK: Millis = 5000;

/// One scheduled event. An event with `life` is dropped if the node has restarted since.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Happening {
    Block,
    Heal,
    Part,
    Rejoin { buyer: usize, seller: usize },
    Restart(Who),
    Tick { who: Who, life: u32 },
    Hear { who: Who, life: u32 },
    ReadAccount { seller: usize, life: u32 },
    Seller { seller: usize, life: u32, event: provider::Event },
    Work { seller: usize, life: u32, order: OrderId, job: u64, event: provider::Event },
    Buyer { buyer: usize, life: u32, event: Box<requester::Event> },
    Fetch { seller: usize, life: u32, work: provider::Work, job: u64 },
    Store { buyer: usize, life: u32, storing: Box<crate::buyer::Storing> },
    Gossip { buyer: usize, ask: Vec<u8> },
    Dialled { session: u64 },
    Frame { session: u64, to: Side, bytes: Vec<u8> },
    Lost { session: u64, side: Side },
    Post { buyer: usize, deal: DealId, bytes: Vec<u8> },
    Submit { buyer: usize, job: usize },
    Cancel { buyer: usize, job: usize },
    Vanish { buyer: usize },
    Quarrel { buyer: usize, call: Box<Act> },
}

/// State of a whole run.
pub struct World {
    /// Options of the run.
    pub options: Options,
    /// Clock and scheduled events.
    pub schedule: Schedule<Happening>,
    /// Source of every random choice.
    pub random: Random,
    /// The chain and its senders.
    pub chain: Chain,
    /// Sessions and partitions.
    pub network: Network,
    /// All sellers, by index.
    pub sellers: Vec<Seller>,
    /// All buyers, by index.
    pub buyers: Vec<Buyer>,
    /// Everything that was signed.
    pub signed: Signed,
    /// Hash of the run so far.
    pub history: History,
    /// Number of occurrences of each kind of event.
    pub coverage: BTreeMap<&'static str, u64>,
    /// Readable log of the run, if one is wanted.
    pub story: Option<Vec<String>>,
    /// EIP-712 domain of the market.
    pub domain: Eip712Domain,
    /// First rule that the run broke.
    pub broken: Option<Broken>,
    /// Whether the phase of faults is over.
    pub healed: bool,
}

/// Returns the key of a node.
pub fn key(kind: &str, index: usize) -> PrivateKeySigner {
    let secret = keccak256(format!("{kind} {index}"));
    PrivateKeySigner::from_bytes(&secret).expect("a hash is a valid key but for one in 2^127")
}

impl World {
    /// Returns the state of a seed's run before its first event.
    pub fn new(seed: u64, story: bool) -> Self {
        let mut random = Random::new(seed);
        let options = Options::draw(&mut random);
        let domain = domain(CHAIN_ID, MARKET);
        let sellers: Vec<_> =
            (0..).zip(&options.sellers).map(|(i, o)| Seller::new(i, o, &options)).collect();
        let buyers: Vec<_> =
            (0..).zip(&options.buyers).map(|(i, o)| Buyer::new(i, o, &options)).collect();
        let accounts: Vec<_> =
            sellers.iter().map(|s| s.account).chain(buyers.iter().map(|b| b.account)).collect();
        let tokens = accounts.iter().map(|account| (*account, DEPOSIT)).collect();
        let mut market = Market::new(options.params, domain.clone(), tokens);
        for account in accounts {
            let deposit = Call::Deposit { account, amount: DEPOSIT };
            market.apply(BEGINNING, account, &deposit).expect("everybody holds what is deposited");
            let allow = Call::Allow { spender: COURT, amount: u128::MAX };
            market.apply(BEGINNING, account, &allow).expect("anybody can allow anything");
        }
        let court = Court::new(COURT, RULES, rialto_protocol::types::domain(CHAIN_ID, COURT));
        let chain = Chain::new(Ledger { market, court }, options.confirmations, BEGINNING);
        let mut world = Self {
            options,
            schedule: Schedule::default(),
            random,
            chain,
            network: Network::default(),
            sellers,
            buyers,
            signed: Signed::default(),
            history: History::default(),
            coverage: BTreeMap::new(),
            story: story.then(Vec::new),
            domain,
            broken: None,
            healed: false,
        };
        world.plan();
        world
    }

    /// Schedules the events that are known from the start.
    fn plan(&mut self) {
        let schedule = &mut self.schedule;
        schedule.at(0, Happening::Block);
        schedule.at(self.options.faults.until, Happening::Heal);
        if self.options.faults.partition > 0 {
            schedule.at(self.options.faults.partition, Happening::Part);
        }
        for (buyer, options) in self.options.buyers.iter().enumerate() {
            schedule.at(0, Happening::Restart(Who::Buyer(buyer)));
            for (job, wish) in options.jobs.iter().enumerate() {
                schedule.at(wish.at, Happening::Submit { buyer, job });
                if let Some(at) = wish.cancelled {
                    schedule.at(at, Happening::Cancel { buyer, job });
                }
            }
            if let crate::options::Manner::Vanishes(at) = options.manner {
                schedule.at(at, Happening::Vanish { buyer });
            }
        }
        for seller in 0..self.sellers.len() {
            schedule.at(0, Happening::Restart(Who::Seller(seller)));
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// Describes the first broken rule.
    pub fn run(&mut self) -> Result<(), Broken> {
        let jobs = self.options.buyers.iter().flat_map(|buyer| &buyer.jobs);
        let last = jobs.map(|job| job.at + job.within * 1500).max().unwrap_or(0);
        let horizon = last.max(self.options.faults.until) + PATIENCE;
        while let Some(next) = self.schedule.advance() {
            let block = matches!(next, Happening::Block);
            self.happen(next);
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
            if block && self.healed && self.converged() {
                return self.verdict();
            }
            if self.schedule.now() > horizon {
                return Err(self.unfinished());
            }
        }
        Err("nothing happens any more".into())
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Block => self.block(),
            Happening::Heal => {
                self.healed = true;
                self.network.apart.clear();
                self.tell(|| "faults are over".into());
            }
            Happening::Part => self.part(),
            Happening::Rejoin { buyer, seller } => {
                self.network.apart.remove(&(buyer, seller));
            }
            Happening::Restart(who) => self.restart(who),
            Happening::Tick { who, life } if self.lives(who, life) => {
                let wait = if self.healed && self.all_reported() { SLOW_TICK } else { TICK };
                self.schedule.after(wait, Happening::Tick { who, life });
                match who {
                    Who::Seller(seller) => self.seller_tick(seller),
                    Who::Buyer(buyer) => self.feed_buyer(buyer, requester::Event::Tick),
                }
            }
            Happening::Hear { who, life } if self.lives(who, life) => match who {
                Who::Seller(seller) => self.seller_hears(seller),
                Who::Buyer(buyer) => self.buyer_hears(buyer),
            },
            Happening::ReadAccount { seller, life } if self.lives(Who::Seller(seller), life) => {
                self.read_account(seller);
            }
            Happening::Seller { seller, life, event } if self.lives(Who::Seller(seller), life) => {
                self.feed_seller(seller, event);
            }
            Happening::Work { seller, life, order, job, event }
                if self.lives(Who::Seller(seller), life) =>
            {
                self.worked(seller, order, job, event);
            }
            Happening::Fetch { seller, life, work, job }
                if self.lives(Who::Seller(seller), life) =>
            {
                self.fetched(seller, &work, job);
            }
            Happening::Buyer { buyer, life, event } if self.lives(Who::Buyer(buyer), life) => {
                self.feed_buyer(buyer, *event);
            }
            Happening::Store { buyer, life, storing } if self.lives(Who::Buyer(buyer), life) => {
                self.store(buyer, *storing);
            }
            Happening::Tick { .. }
            | Happening::Hear { .. }
            | Happening::ReadAccount { .. }
            | Happening::Seller { .. }
            | Happening::Work { .. }
            | Happening::Fetch { .. }
            | Happening::Buyer { .. }
            | Happening::Store { .. } => {}
            Happening::Gossip { buyer, ask } => self.ask_heard(buyer, &ask),
            Happening::Dialled { session } => self.dialled(session),
            Happening::Frame { session, to, bytes } => self.arrive(session, to, &bytes),
            Happening::Lost { session, side } => self.lost(session, side),
            Happening::Post { buyer, deal, bytes } => self.post(buyer, deal, bytes),
            Happening::Submit { buyer, job } => self.submit(buyer, job),
            Happening::Cancel { buyer, job } => {
                let id = self.buyers[buyer].job_id(job);
                self.feed_buyer(buyer, requester::Event::Cancel(id));
            }
            Happening::Vanish { buyer } => {
                self.buyers[buyer].vanished = true;
                self.crash(Who::Buyer(buyer));
            }
            Happening::Quarrel { buyer, call } => self.quarrel(buyer, *call),
        }
    }

    /// Counts an event of this kind, and adds it to the log.
    pub fn count(&mut self, what: &'static str) {
        *self.coverage.entry(what).or_default() += 1;
    }

    /// Adds a line to the log, if one is kept.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!(
                "{:>9}.{:03} {}",
                self.schedule.now() / 1000,
                self.schedule.now() % 1000,
                what()
            ));
        }
    }

    /// Records a broken rule, unless another one was broken before.
    pub fn hold(&mut self, rule: Result<(), Broken>) {
        if let Err(broken) = rule {
            self.broken.get_or_insert(broken);
        }
    }

    /// Draws the latency of a message.
    pub fn latency(&mut self) -> Millis {
        self.random.within(1..=self.options.latency)
    }

    /// Signs a struct with a node's key.
    pub fn seal<T: Typed>(&self, key: &PrivateKeySigner, value: T) -> Sealed<T> {
        let signature =
            key.sign_hash_sync(&digest(&value, &self.domain)).expect("a key in memory signs");
        Sealed { value, signature: Bytes::from(signature.as_bytes().to_vec()) }
    }

    /// Encodes a message. If its own codec refuses it, that breaks a rule.
    pub fn encode<M: Message>(&mut self, message: &M) -> Vec<u8> {
        let bytes = message.encode();
        self.hold(
            bytes
                .as_ref()
                .map(drop)
                .map_err(|error| format!("a core sends what the codec refuses: {error}")),
        );
        bytes.unwrap_or_default()
    }

    fn lives(&self, who: Who, life: u32) -> bool {
        match who {
            Who::Seller(i) => self.sellers[i].core.is_some() && self.sellers[i].life == life,
            Who::Buyer(i) => self.buyers[i].core.is_some() && self.buyers[i].life == life,
        }
    }

    /// Returns the number of starts of a node.
    pub fn life(&self, who: Who) -> u32 {
        match who {
            Who::Seller(i) => self.sellers[i].life,
            Who::Buyer(i) => self.buyers[i].life,
        }
    }

    /// Draws whether a node crashes before its next effect.
    pub fn strikes(&mut self, who: Who) -> bool {
        let frail = matches!(who, Who::Seller(i) if self.options.sellers[i].temper == crate::options::Temper::Frail);
        let chance = if frail { 40_000 } else { self.options.faults.crash };
        !self.healed && self.random.one_in_a_million(chance)
    }

    /// Crashes a node. It loses everything that it has not persisted.
    pub fn crash(&mut self, who: Who) {
        let down = match who {
            Who::Seller(i) => self.sellers[i].crash(),
            Who::Buyer(i) => self.buyers[i].crash(),
        };
        if !down {
            return;
        }
        self.count("crash");
        self.tell(|| format!("{who:?} crashes"));
        self.chain.forget_waiting(who);
        let side = if matches!(who, Who::Seller(_)) { Side::Seller } else { Side::Buyer };
        let own = self.network.of(|session| match who {
            Who::Seller(i) => session.seller == i,
            Who::Buyer(i) => session.buyer == i,
        });
        for session in own {
            self.network.cut(session);
            self.leave(session, side);
        }
        if !matches!(who, Who::Buyer(i) if self.buyers[i].vanished) {
            let wait = self.random.within(100..=self.options.faults.down);
            self.schedule.after(wait, Happening::Restart(who));
        }
    }

    fn restart(&mut self, who: Who) {
        match who {
            Who::Seller(i) => self.start_seller(i),
            Who::Buyer(i) if !self.buyers[i].vanished => self.start_buyer(i),
            Who::Buyer(_) => {}
        }
        let life = self.life(who);
        self.schedule.after(TICK, Happening::Tick { who, life });
        let wait = self.latency();
        self.schedule.after(wait, Happening::Hear { who, life });
    }

    fn block(&mut self) {
        let faults = &self.options.faults;
        if !self.healed && faults.reorgs > 0 && self.options.confirmations > 1 {
            let (chance, depth) =
                (faults.reorgs, self.random.within(1..=self.options.confirmations - 1));
            if self.random.percent(chance) {
                self.count("reorg");
                self.tell(|| format!("the chain takes {depth} blocks back"));
                let (now, random) = (self.schedule.now(), &mut self.random);
                self.chain.reorg(depth, || now + random.within(0..=30_000));
            }
        }
        let answers = self.chain.mine(self.schedule.now(), self.schedule.unix());
        let logs = self.chain.head().logs.clone();
        for log in logs {
            self.count(log.kind);
            self.history.add(log.fact.deal.as_slice());
            self.tell(|| format!("chain: {} {}: {:?}", log.kind, log.fact.deal, log.fact.what));
        }
        self.answer(answers);
        let all: Vec<_> = (0..self.sellers.len())
            .map(Who::Seller)
            .chain((0..self.buyers.len()).map(Who::Buyer))
            .collect();
        for who in all {
            let (wait, life) = (self.latency(), self.life(who));
            self.schedule.after(wait, Happening::Hear { who, life });
        }
        let rule = self.money_is_conserved();
        self.hold(rule);
        self.watch_earnings();
        self.schedule.after(self.options.block, Happening::Block);
    }

    /// Sends a transaction of a node.
    pub fn transact(&mut self, who: Who, intent: String, calls: Vec<Act>) {
        let sender = match who {
            Who::Seller(i) => self.sellers[i].account,
            Who::Buyer(i) => self.buyers[i].account,
        };
        self.tell(|| format!("{who:?} sends {intent}"));
        self.history.add(intent.as_bytes());
        let ready_at = self.schedule.now() + self.latency();
        let answer = self.chain.send(Tx { who, sender, intent, calls, ready_at });
        self.answer(answer);
    }

    fn answer(&mut self, answers: impl IntoIterator<Item = Answer>) {
        for Answer { who, intent, ending } in answers {
            let (wait, life) = (self.latency(), self.life(who));
            if let Err((code, reason)) = &ending {
                self.tell(|| format!("{who:?}'s {intent} fails: {code}, {reason}"));
            }
            let what = match who {
                Who::Seller(seller) => {
                    let event = crate::seller::transacted(intent, &ending);
                    Happening::Seller { seller, life, event }
                }
                Who::Buyer(buyer) => {
                    let event = crate::buyer::transacted(intent, ending);
                    Happening::Buyer { buyer, life, event: Box::new(event) }
                }
            };
            self.schedule.after(wait, what);
        }
    }
}
