//! A buyer: the requester's core with a disk, a machine and a key, driven as the service drives it.
//! A hostile buyer runs the same core, but withholds or changes some of its messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_signer_local::PrivateKeySigner;
use rialto_protocol::{
    Address, B256, Bytes, DealId, OrderId, keccak256,
    model::{Call as MarketCall, court::CourtCall},
    pricing::share,
    receipt::Halted,
    signing::signed_by,
    types::Voucher,
    wire::{AskGossip, BlobRef, Message, Payload, ToProvider, ToRequester, WIRE_VERSION},
};
use rialto_provider::core::LogId;
use rialto_requester::core::{
    Config, Constraints, Core, Cursor, Effect, Event, Fact, JobEvent, JobId, JobSpec, Offer,
    Outgoing, Patience, Record, State, Stored, Summary, Transacted, TxNote, verify::OutputCheck,
};

use crate::{
    chain::{Block, Ending, Who},
    compute::{self, FUEL_LIMIT, INPUT_BYTES, OUT_LIMIT},
    ledger::Act,
    network::Side,
    options::{BuyerOptions, Manner, Options},
    purse,
    world::{CHAIN_ID, Happening, MARKET, RULES, World, key},
};

/// Hash of the program that every job runs.
const PROGRAM: B256 = B256::repeat_byte(0x50);
/// Speed of a buyer's own machine, in fuel per second.
const OWN_FUEL_PER_SECOND: u64 = 2_000_000_000;

/// One simulated requester.
pub struct Buyer {
    /// The buyer's account on chain.
    pub account: Address,
    /// The buyer's endpoint on the network.
    pub endpoint: B256,
    /// The running core, or `None` while the buyer is down.
    pub core: Option<Core>,
    /// Number of starts so far. It identifies events that were meant for an earlier start.
    pub life: u32,
    /// Whether the buyer has left for good.
    pub vanished: bool,
    /// Orders that the buyer accepted, including those that it later found wrong.
    pub accepted: BTreeSet<OrderId>,
    /// Final reports by job.
    pub reports: BTreeMap<JobId, Summary>,
    index: usize,
    key: PrivateKeySigner,
    config: Config,
    disk: Vec<Vec<u8>>,
    told: Vec<Arc<Block>>,
    /// Open session of each deal.
    sessions: BTreeMap<DealId, u64>,
    /// First block that the buyer reads.
    from: u64,
    /// Facts that are not final yet.
    pending: Vec<(LogId, Fact)>,
    quarrels: u64,
}

/// Outputs that are being written to disk.
#[derive(Debug)]
pub struct Storing {
    deal: DealId,
    order: OrderId,
    results: Vec<Halted>,
    outputs: Payload,
}

impl Buyer {
    /// Returns a buyer that has not been started yet.
    pub fn new(index: usize, own: &BuyerOptions, options: &Options) -> Self {
        let key = key("buyer", index);
        let config = Config {
            requester: key.address(),
            key: key.address(),
            chain_id: CHAIN_ID,
            market: MARKET,
            grace_seconds: options.params.grace,
            challenge_seconds: options.params.challenge_window,
            answer_seconds: options.params.answer_window,
            case_bond: options.params.case_bond,
            dispute_from: options.court.then_some(1),
            patience: Patience { idle: own.idle, ..Patience::default() },
        };
        Self {
            account: key.address(),
            endpoint: keccak256(format!("endpoint of buyer {index}")),
            core: None,
            life: 0,
            vanished: false,
            accepted: BTreeSet::new(),
            reports: BTreeMap::new(),
            index,
            key,
            config,
            disk: Vec::new(),
            told: Vec::new(),
            sessions: BTreeMap::new(),
            from: 0,
            pending: Vec::new(),
            quarrels: 0,
        }
    }

    /// Drops everything but the disk. Returns `false` if the buyer is already down.
    pub fn crash(&mut self) -> bool {
        self.sessions.clear();
        self.pending.clear();
        self.core.take().is_some()
    }

    /// Returns the id of the buyer's job with this index.
    pub fn job_id(&self, job: usize) -> JobId {
        JobId(0x100 * (self.index as u64 + 1) + job as u64)
    }

    /// Returns the core's state or, while the buyer is down, the state restored from its disk.
    pub fn state(&self) -> State {
        match &self.core {
            Some(core) => core.state().clone(),
            None => State::replay(&self.records()),
        }
    }

    fn records(&self) -> Vec<Record> {
        let read =
            |bytes: &Vec<u8>| postcard::from_bytes(bytes).expect("what was written can be read");
        self.disk.iter().map(read).collect()
    }
}

fn input(job: JobId, task: u32) -> B256 {
    keccak256([job.0.to_be_bytes().as_slice(), &task.to_be_bytes()].concat())
}

/// Converts the ending of a transaction to an event of the core.
pub fn transacted(intent: String, ending: Ending) -> Event {
    let outcome = match ending {
        Ok(mined) => {
            let kind = intent.split('-').next().unwrap_or_default().to_string();
            let deals = mined.opened.len().max(1) as u32;
            Transacted::Mined {
                tx: TxNote { kind, tx: mined.tx, gas: Some(50_000), deals },
                opened: mined.opened,
            }
        }
        Err((code, reason)) => Transacted::Reverted { code, reason },
    };
    Event::Transacted { intent, outcome }
}

impl World {
    /// Starts or restarts a buyer from its disk. Its user submits again every job that was lost.
    pub(crate) fn start_buyer(&mut self, index: usize) {
        let compact = self.random.percent(30);
        let buyer = &mut self.buyers[index];
        buyer.life += 1;
        let mut records = buyer.records();
        if compact {
            records = vec![Record::Snapshot(Box::new(State::replay(&records)))];
        }
        buyer.told.clear();
        let core = Core::restore(buyer.config.clone(), &records);
        let canonical = |cursor: &Cursor| {
            self.chain.blocks.get(cursor.block as usize).is_some_and(|b| b.hash == cursor.hash)
        };
        buyer.from = core.state().cursor.filter(canonical).map_or(0, |cursor| cursor.block + 1);
        buyer.core = Some(core);
        self.feed_buyer(index, Event::Started);
        for job in 0..self.options.buyers[index].jobs.len() {
            if self.options.buyers[index].jobs[job].at < self.schedule.now() {
                self.submit(index, job);
            }
        }
    }

    pub(crate) fn submit(&mut self, index: usize, job: usize) {
        let (buyer, wish) = (&self.buyers[index], &self.options.buyers[index].jobs[job]);
        let id = buyer.job_id(job);
        let Some(core) = buyer.core.as_ref().filter(|core| !core.state().jobs.contains_key(&id))
        else {
            return;
        };
        let spec = JobSpec {
            id,
            name: String::new(),
            program: PROGRAM,
            inputs: (0..wish.tasks).map(|task| input(id, task)).collect(),
            program_bytes: 1_000,
            shared_bytes: 0,
            input_bytes: vec![INPUT_BYTES as u32; wish.tasks as usize],
            fuel_limit: FUEL_LIMIT,
            out_limit: OUT_LIMIT,
            max_pages: 16,
            seed: id.0,
            secret: keccak256(id.0.to_be_bytes()),
            policy: wish.policy,
            constraints: Constraints {
                budget: wish.budget,
                max_price: 10_000_000,
                deadline: self.schedule.unix().max(wish.at / 1000 + crate::schedule::BEGINNING)
                    + wish.within,
                min_collateral_bps: 0,
                min_providers: 3,
                max_providers: 8,
                exclude: BTreeSet::new(),
                expected_fuel: None,
                run_locally: wish.run_locally,
            },
        };
        debug_assert!(core.config().requester == buyer.account);
        self.count("job");
        self.feed_buyer(index, Event::Submit(spec));
    }

    /// Handles a gossiped ask: checks it against the chain, as the service does.
    pub(crate) fn ask_heard(&mut self, index: usize, bytes: &[u8]) {
        let Ok(gossip) = AskGossip::decode(bytes) else {
            return self.hold(Err("an ask can't be read".into()));
        };
        let ask = &gossip.ask.value;
        let account = self.chain.ledger.market.account(ask.provider);
        let backed =
            share(ask.minBudget, ask.collateralBps).is_some_and(|needed| account.balance >= needed);
        let signed = signed_by(ask, &self.domain, &gossip.ask.signature, ask.provider);
        if signed && backed && account.counter == ask.counter {
            self.feed_buyer(index, Event::Heard(Offer::new(gossip, account.balance, true)));
        }
    }

    /// Hands the facts that have become final to the buyer's core.
    pub(crate) fn buyer_hears(&mut self, index: usize) {
        let buyer = &mut self.buyers[index];
        let news = self.chain.news(&mut buyer.told, buyer.from);
        buyer.pending.retain(|(at, _)| !news.removed.iter().any(|log| log.fact.at == *at));
        for log in news.added {
            buyer
                .pending
                .extend(log.heard.map(|what| (log.fact.at, Fact { deal: log.fact.deal, what })));
        }
        let last = (news.head + 1).saturating_sub(self.options.confirmations);
        let (said, open) =
            std::mem::take(&mut buyer.pending).into_iter().partition(|(at, _)| at.block <= last);
        buyer.pending = open;
        let said: Vec<(LogId, Fact)> = said;
        let facts = said.into_iter().map(|(_, fact)| fact).collect();
        let cursor = self
            .chain
            .blocks
            .get(last as usize)
            .map(|block| Cursor { block: last, hash: block.hash });
        self.feed_buyer(index, Event::Chain { facts, cursor });
    }

    pub(crate) fn buyer_reads(&mut self, index: usize, deal: DealId, session: u64, bytes: &[u8]) {
        if self.buyers[index].sessions.get(&deal) != Some(&session) {
            return;
        }
        match ToRequester::decode(bytes) {
            Ok(message) => {
                if self.options.buyers[index].manner == Manner::Harasses {
                    self.find_quarrel(index, deal, &message);
                }
                self.feed_buyer(index, Event::Message { deal, message });
            }
            Err(error) => self.hold(Err(format!("a provider's message can't be read: {error}"))),
        }
    }

    pub(crate) fn buyer_lost(&mut self, index: usize, deal: DealId, session: u64, why: &str) {
        let buyer = &mut self.buyers[index];
        if buyer.sessions.get(&deal) == Some(&session) {
            buyer.sessions.remove(&deal);
            self.feed_buyer(index, Event::Disconnected { deal, why: why.into() });
        }
    }

    /// Feeds an event to the core and executes the effects, until none is left or the buyer
    /// crashes.
    pub(crate) fn feed_buyer(&mut self, index: usize, event: Event) {
        let now = self.schedule.unix() + self.options.buyers[index].skew;
        let Some(core) = self.buyers[index].core.as_mut() else { return };
        for effect in core.handle(now, event) {
            if self.strikes(Who::Buyer(index)) {
                return self.crash(Who::Buyer(index));
            }
            self.perform_buyer(index, effect);
        }
    }

    fn perform_buyer(&mut self, index: usize, effect: Effect) {
        let life = self.buyers[index].life;
        match effect {
            Effect::Persist(records) => {
                for record in records {
                    if let Record::TakenOver { .. } = record {
                        self.count("deal taken over");
                    }
                    if let Record::Accepted { order } = record {
                        self.buyers[index].accepted.insert(order);
                    }
                    let bytes = postcard::to_stdvec(&record).expect("records are plain data");
                    self.history.add(&bytes);
                    self.buyers[index].disk.push(bytes);
                }
            }
            Effect::Connect { deal, peer } => {
                let Some(seller) =
                    self.sellers.iter().position(|seller| seller.endpoint == peer.endpoint)
                else {
                    return self.hold(Err(format!("buyer {index} dials a stranger")));
                };
                let session = self.network.dial(index, seller, deal);
                self.buyers[index].sessions.insert(deal, session);
                let wait = 2 * self.latency();
                self.schedule.after(wait, Happening::Dialled { session });
            }
            Effect::Hangup { deal } => {
                if let Some(session) = self.buyers[index].sessions.remove(&deal) {
                    self.leave(session, Side::Buyer);
                }
            }
            Effect::Send { deal, message } => self.buyer_sends(index, deal, message),
            Effect::Store { deal, order, results, outputs } => {
                let storing = Box::new(Storing { deal, order, results, outputs });
                let wait = self.latency();
                self.schedule.after(wait, Happening::Store { buyer: index, life, storing });
            }
            Effect::RunLocally { job, batch, tasks } => {
                self.count("local run");
                let ran: Vec<_> = tasks
                    .iter()
                    .map(|run| (run.index, compute::run(input(job, run.task), run.seed).0))
                    .collect();
                let fuel: u64 = ran.iter().map(|(_, halted)| halted.fuel_used(FUEL_LIMIT)).sum();
                let can = self.options.buyers[index].can_run;
                let result = if can { Ok(ran) } else { Err("no room".to_string()) };
                let event = Event::RanLocally { job, batch, result };
                let wait = 50 + fuel * 1000 / OWN_FUEL_PER_SECOND;
                self.schedule
                    .after(wait, Happening::Buyer { buyer: index, life, event: Box::new(event) });
            }
            Effect::Transact { intent, call } => {
                let account = self.buyers[index].account;
                let holds = self.chain.ledger.market.account(account).balance;
                let Some(core) = &self.buyers[index].core else { return };
                let (takes, keep) = (call.takes(core.config().case_bond), core.accusables());
                if let Err(outcome) = purse::keeps(holds, takes, purse::bonds(&RULES, &keep)) {
                    self.count("bonds kept");
                    let event = Event::Transacted { intent, outcome };
                    return self.schedule.after(
                        50,
                        Happening::Buyer { buyer: index, life, event: Box::new(event) },
                    );
                }
                let Some(calls) = purse::acts(*call) else {
                    return self
                        .hold(Err(format!("buyer {index} sends {intent}, which says nothing")));
                };
                self.transact(Who::Buyer(index), intent, calls);
            }
            Effect::Trace(trace) => {
                self.count("trace");
                let inputs: Vec<B256> = (trace.first..trace.first + trace.order.tasks)
                    .map(|task| input(trace.job, task))
                    .collect();
                let can = self.options.buyers[index].can_run;
                let found = purse::traced(&trace, &inputs).filter(|_| can);
                let result = found.ok_or_else(|| "no room".to_string());
                let event = Event::Traced { key: trace.key, result };
                self.schedule
                    .after(2_000, Happening::Buyer { buyer: index, life, event: Box::new(event) });
            }
            Effect::ForgetTrace { .. } => {}
            Effect::Release { .. } => {}
            Effect::Tell { job, event } => {
                match &event {
                    JobEvent::Cheater { .. } => self.count("cheater"),
                    JobEvent::Misstated { .. } => self.count("misstated receipt"),
                    JobEvent::Note { code, .. } if code == "R-CASE-001" => {
                        self.count("honest late notice")
                    }
                    JobEvent::Note { code, .. } if code == "R-CASE-002" => {
                        self.count("honest demand")
                    }
                    JobEvent::Note { code, .. } if code == "R-CASE-003" => {
                        self.count("wrong claim")
                    }
                    JobEvent::Note { code, .. } if code == "R-JOB-024" => self.count("job waits"),
                    _ => {}
                }
                if !matches!(event, JobEvent::Progress(_)) {
                    self.tell(|| format!("buyer {index}, job {job}: {event:?}"));
                }
            }
            Effect::Finished(summary) => {
                self.count(if summary.outcome.is_ok() { "job done" } else { "job failed" });
                self.tell(|| {
                    format!("buyer {index}: job {} ends: {:?}", summary.job, summary.outcome)
                });
                self.buyers[index].reports.insert(summary.job, *summary);
            }
        }
    }

    fn buyer_sends(&mut self, index: usize, deal: DealId, message: Outgoing) {
        let key = &self.buyers[index].key;
        let rule = match &message {
            Outgoing::Order { order, .. } => self.signed.order(order),
            Outgoing::Voucher(voucher) => self.signed.voucher(voucher),
            _ => Ok(()),
        };
        let message = match message {
            Outgoing::Hello(deal) => ToProvider::Hello { version: WIRE_VERSION, deal },
            Outgoing::Order { job, first, order } => {
                let inputs: Vec<u8> =
                    (first..first + order.tasks).flat_map(|task| input(job, task).0).collect();
                debug_assert!(inputs.len() == order.tasks as usize * INPUT_BYTES);
                ToProvider::Order {
                    order: self.seal(key, order),
                    program: BlobRef { hash: PROGRAM.0, size: 1000 },
                    shared: None,
                    inputs: Payload::Inline(inputs.into()),
                }
            }
            Outgoing::Voucher(voucher) => return self.pay(index, deal, voucher, rule),
            Outgoing::Reject { order, task, expected } => {
                ToProvider::Reject { order, task, expected }
            }
            Outgoing::Cancel(cancel) => ToProvider::Cancel(self.seal(key, cancel)),
            // A harassing buyer keeps the deal open, so that it can open cases.
            Outgoing::AskRelease { .. }
                if self.options.buyers[index].manner == Manner::Harasses =>
            {
                return;
            }
            Outgoing::AskRelease { amount } => ToProvider::AskRelease { amount },
        };
        self.hold(rule);
        let bytes = self.encode(&message);
        self.post(index, deal, bytes);
    }

    /// Sends a voucher, unless the buyer's manner withholds or delays it.
    fn pay(
        &mut self,
        index: usize,
        deal: DealId,
        voucher: Voucher,
        rule: Result<(), crate::check::Broken>,
    ) {
        self.hold(rule);
        let message = ToProvider::Voucher(self.seal(&self.buyers[index].key, voucher));
        let bytes = self.encode(&message);
        match self.options.buyers[index].manner {
            Manner::NeverPays | Manner::Harasses => {}
            Manner::PaysLate(wait) => {
                self.schedule.after(wait, Happening::Post { buyer: index, deal, bytes })
            }
            Manner::Honest | Manner::Vanishes(_) => self.post(index, deal, bytes),
        }
    }

    /// Sends bytes on the session of a deal, if there is one.
    pub(crate) fn post(&mut self, index: usize, deal: DealId, bytes: Vec<u8>) {
        if let Some(session) = self.buyers[index].sessions.get(&deal).copied() {
            self.carry(session, Side::Seller, bytes);
        }
    }

    /// Checks arriving outputs while they are written to disk.
    pub(crate) fn store(&mut self, index: usize, storing: Storing) {
        let Storing { deal, order, results, outputs } = storing;
        let bytes: Option<Bytes> = match outputs {
            Payload::Inline(bytes) => Some(bytes),
            Payload::Blob(blob) => {
                let provider =
                    self.buyers[index].core.as_ref().and_then(|core| core.state().deals.get(&deal));
                let provider = provider.map(|deal| deal.provider());
                let seller =
                    self.sellers.iter().position(|seller| Some(seller.account) == provider);
                let reach = |seller: &usize| {
                    self.sellers[*seller].core.is_some()
                        && !self.network.apart.contains(&(index, *seller))
                };
                seller
                    .filter(reach)
                    .and_then(|seller| self.sellers[seller].desk.blobs.get(&blob).cloned())
            }
        };
        let result = match bytes {
            None => Stored::Missing { why: "its provider can't be reached".into() },
            Some(bytes) => {
                let mut check = OutputCheck::new(&results);
                match check.feed(&bytes).and_then(|()| check.finish()) {
                    Ok(()) => Stored::Right,
                    Err(_) => Stored::Wrong { task: 0 },
                }
            }
        };
        self.feed_buyer(index, Event::Stored { order, result });
    }

    /// Schedules the calls of a harassing buyer: a late notice for every ack once the order is due,
    /// and for some receipts an accusation or a demand.
    fn find_quarrel(&mut self, index: usize, deal: DealId, message: &ToRequester) {
        let Some(core) = &self.buyers[index].core else { return };
        let Some(terms) = core.state().deals.get(&deal).map(|deal| deal.terms.clone()) else {
            return;
        };
        let order_of =
            |order: OrderId| core.state().orders.get(&order).map(|known| known.order.clone());
        match message {
            ToRequester::Ack(ack) => {
                let Some(order) = order_of(ack.value.order) else { return };
                let (ack, signature) = (ack.value.clone(), ack.signature.clone());
                let due = (ack.dueBy.saturating_sub(crate::schedule::BEGINNING) + 20) * 1000;
                let call =
                    Box::new(Act::Market(MarketCall::Late { deal: terms, order, ack, signature }));
                self.schedule.at(due, Happening::Quarrel { buyer: index, call });
            }
            ToRequester::Receipt { receipt, results, .. } if self.random.percent(30) => {
                let Some(order) = order_of(receipt.value.order) else { return };
                let (receipt, signature) = (receipt.value.clone(), receipt.signature.clone());
                let (task, wait) =
                    (self.random.index(results.len()) as u32, self.random.within(0..=60_000));
                let call = if !terms.court.is_zero() && self.random.percent(40) {
                    Act::Court(CourtCall::Accuse { deal: terms, order, receipt, signature })
                } else {
                    Act::Market(MarketCall::Demand { deal: terms, order, receipt, signature, task })
                };
                let call = Box::new(call);
                self.schedule.after(wait, Happening::Quarrel { buyer: index, call });
            }
            _ => {}
        }
    }

    pub(crate) fn quarrel(&mut self, index: usize, call: Act) {
        self.buyers[index].quarrels += 1;
        let intent = format!("quarrel-{}", self.buyers[index].quarrels);
        self.transact(Who::Buyer(index), intent, vec![call]);
    }
}
