//! A seller: the provider's core with a disk, a machine and a key, as its service would drive it.

use std::{collections::BTreeMap, sync::Arc};

use alloy_signer_local::PrivateKeySigner;
use rialto_protocol::{
    Address, B256, Bytes, keccak256,
    model::{Call as MarketCall, MAX_REVEAL_BYTES, Reveal},
    receipt::{SumTree, inputs_root},
    types::{Order, Receipt, struct_hash},
    wire::{AskGossip, BlobRef, Message, Payload, PeerAddr, ToProvider, ToRequester},
};
use rialto_provider::core::{
    AskConfig, Call, Config, Core, Effect, Event, Limits, Money, Outcome, Price, ProviderEvent, Record, Refusal,
    Results, What, Work, journal::Key,
};

use crate::{
    chain::{Block, Ending, Who, model_kind},
    compute::{self, INPUT_BYTES},
    network::Side,
    options::{Options, SellerOptions, Temper},
    world::{CHAIN_ID, Happening, MARKET, World, key},
};

/// Blocks that are heard again after a restart, as the service does it (it takes more).
const REHEARD_BLOCKS: u64 = 8;
/// Fuel per second of one simulated core.
const FUEL_PER_SECOND: u64 = 1_000_000_000;
/// How often the account is read without a reason, in ticks.
const ACCOUNT_TICKS: u64 = 30;

/// A seller.
pub struct Seller {
    /// Account.
    pub account: Address,
    /// Address on the network.
    pub endpoint: B256,
    /// The core; none while it is down.
    pub core: Option<Core>,
    /// Incarnation.
    pub life: u32,
    /// Most that was ever earned, by deal.
    pub earned: BTreeMap<B256, u128>,
    /// Outputs that travel as blobs. On disk.
    pub blobs: BTreeMap<BlobRef, Bytes>,
    key: PrivateKeySigner,
    config: Config,
    disk: BTreeMap<Key, Vec<u8>>,
    told: Vec<Arc<Block>>,
    from: u64,
    /// What is being fetched or run.
    jobs: BTreeMap<B256, u64>,
    next_job: u64,
    ticks: u64,
}

impl Seller {
    /// A seller that never ran.
    pub fn new(index: usize, own: &SellerOptions, options: &Options) -> Self {
        let key = key("seller", index);
        let endpoint = keccak256(format!("endpoint of seller {index}"));
        let config = Config {
            provider: key.address(),
            endpoint,
            chain_id: CHAIN_ID,
            market: MARKET,
            grace_seconds: options.params.grace,
            asks: AskConfig {
                price: Price::Constant(own.price),
                task_fee: own.task_fee,
                cores: own.cores,
                fuel_per_second: FUEL_PER_SECOND,
                late_penalty_bps: 5_000,
                republish_seconds: 60,
                ..AskConfig::default()
            },
            limits: Limits {
                order_tasks: if own.temper == Temper::Small { 1 } else { Limits::default().order_tasks },
                fetch_seconds: 60,
                ..Limits::default()
            },
            money: Money {
                credit_window: own.credit_window,
                tx_worth: own.tx_worth,
                redeem_at: own.redeem_at,
                claim_after_seconds: own.claim_after_seconds,
                reorg_quiet_seconds: 20,
                keep_closed_seconds: 900,
                ..Money::default()
            },
        };
        Self {
            account: key.address(),
            endpoint,
            core: None,
            life: 0,
            earned: BTreeMap::new(),
            blobs: BTreeMap::new(),
            key,
            config,
            disk: BTreeMap::new(),
            told: Vec::new(),
            from: 0,
            jobs: BTreeMap::new(),
            next_job: 0,
            ticks: 0,
        }
    }

    /// Loses everything but the disk; `false` if it is down already.
    pub fn crash(&mut self) -> bool {
        self.jobs.clear();
        self.core.take().is_some()
    }

    fn read(&self, key: &Key) -> Option<Record> {
        self.disk.get(key).map(|bytes| Record::read(bytes).expect("what was written can be read"))
    }

    fn results(&self, order: B256) -> Option<Results> {
        match self.read(&Key::results(order)) {
            Some(Record::Results(_, results)) => Some(results),
            _ => None,
        }
    }

    fn inputs(&self, order: &Order, hash: B256) -> Option<Vec<B256>> {
        let Some(Record::Inputs(_, Payload::Inline(bytes))) = self.read(&Key::inputs(hash)) else { return None };
        let inputs: Vec<_> = bytes.chunks_exact(INPUT_BYTES).map(B256::from_slice).collect();
        (inputs.len() == order.tasks as usize && inputs_root(&inputs) == order.inputs).then_some(inputs)
    }

    fn outputs(&self, results: &Results) -> Option<Bytes> {
        match &results.outputs {
            Payload::Inline(bytes) => Some(bytes.clone()),
            Payload::Blob(blob) => self.blobs.get(blob).cloned(),
        }
    }

    fn begin(&mut self, order: B256) -> u64 {
        self.next_job += 1;
        self.jobs.insert(order, self.next_job);
        self.next_job
    }
}

/// How a transaction ended, for the core.
pub fn transacted(intent: String, ending: &Ending) -> Event {
    Event::Transacted {
        intent,
        outcome: if ending.is_ok() { Outcome::Mined { fee_wei: 0 } } else { Outcome::Reverted },
    }
}

impl World {
    /// Starts or restarts a seller from its disk.
    pub(crate) fn start_seller(&mut self, index: usize) {
        let balance = self.chain.market.account(self.sellers[index].account).balance;
        let seller = &mut self.sellers[index];
        seller.life += 1;
        let rows = seller.disk.range(..Key::bulk()).map(|(_, bytes)| Record::read(bytes).expect("it was written so"));
        let core = Core::restore(seller.config.clone(), rows);
        seller.from = core.cursor().saturating_sub(REHEARD_BLOCKS);
        seller.told.clear();
        seller.core = Some(core);
        let from_block = seller.from;
        self.feed_seller(index, Event::Started { from_block, counter: 0, account: balance });
    }

    pub(crate) fn seller_tick(&mut self, index: usize) {
        let seller = &mut self.sellers[index];
        seller.ticks += 1;
        let drains = self.options.sellers[index].temper == Temper::Drains && seller.ticks == 200;
        if seller.ticks.is_multiple_of(ACCOUNT_TICKS) {
            self.read_account(index);
        }
        self.feed_seller(index, if drains { Event::Drain } else { Event::Tick });
    }

    pub(crate) fn read_account(&mut self, index: usize) {
        let account = self.chain.market.account(self.sellers[index].account);
        self.feed_seller(index, Event::Account { account: account.balance, counter: account.counter });
    }

    /// What the chain says, in the core's words.
    pub(crate) fn seller_hears(&mut self, index: usize) {
        let seller = &mut self.sellers[index];
        let news = self.chain.news(&mut seller.told, seller.from);
        let core = seller.core.as_ref();
        let ours = |log: &crate::chain::Log| {
            let opened = matches!(&log.fact.what, What::Opened(deal) if deal.provider == seller.account);
            opened || core.is_some_and(|core| core.deal(log.fact.deal).is_some())
        };
        let touched = news.added.iter().chain(&news.removed).any(ours);
        let removed = news.removed.iter().map(|log| log.fact.at).collect();
        let added = news.added.into_iter().map(|log| log.fact).collect();
        self.feed_seller(index, Event::Chain { removed, added, head: news.head });
        if touched {
            let (wait, life) = (self.latency(), self.sellers[index].life);
            self.schedule.after(wait, Happening::ReadAccount { seller: index, life });
        }
    }

    pub(crate) fn seller_reads(&mut self, index: usize, session: u64, bytes: &[u8]) {
        match ToProvider::decode(bytes) {
            Ok(message) => self.feed_seller(index, Event::Message { session, message: Box::new(message) }),
            Err(error) => self.hold(Err(format!("a requester's message can't be read: {error}"))),
        }
    }

    /// One event through the core, and everything that follows from it, unless the seller crashes before.
    pub(crate) fn feed_seller(&mut self, index: usize, event: Event) {
        let now = self.schedule.unix() + self.options.sellers[index].skew;
        let Some(core) = self.sellers[index].core.as_mut() else { return };
        for effect in core.handle(now, event) {
            if self.strikes(Who::Seller(index)) {
                return self.crash(Who::Seller(index));
            }
            self.perform_seller(index, effect);
        }
    }

    fn perform_seller(&mut self, index: usize, effect: Effect) {
        let life = self.sellers[index].life;
        match effect {
            Effect::Persist(records) => {
                for (key, value) in records.iter().flat_map(Record::writes) {
                    self.history.add(value.as_deref().unwrap_or_default());
                    match value {
                        Some(value) => drop(self.sellers[index].disk.insert(key, value)),
                        None => drop(self.sellers[index].disk.remove(&key)),
                    }
                }
            }
            Effect::Send { session, message } => self.seller_sends(index, session, message),
            Effect::SendReceipt { session, deal, receipt } => self.deliver(index, session, deal, receipt),
            Effect::Hangup { session } => self.leave(session, Side::Seller),
            Effect::CheckSignature { check, .. } => {
                let event = Event::SignatureChecked { check, valid: false };
                self.schedule.after(50, Happening::Seller { seller: index, life, event });
            }
            Effect::Publish(ask) => {
                let seller = &self.sellers[index];
                let peer = PeerAddr { endpoint: seller.endpoint, direct: Vec::new(), relay: None };
                let ask = AskGossip { ask: self.seal(&seller.key, ask), peer };
                let bytes = self.encode(&ask);
                for buyer in 0..self.buyers.len() {
                    if self.healed || !self.random.percent(self.options.faults.gossip) {
                        let wait = self.latency();
                        self.schedule.after(wait, Happening::Gossip { buyer, ask: bytes.clone() });
                    }
                }
            }
            Effect::Fetch(work) => {
                let job = self.sellers[index].begin(work.hash);
                let wait = self.latency();
                self.schedule.after(wait, Happening::Fetch { seller: index, life, work, job });
            }
            Effect::Run(work) => self.run_order(index, &work),
            Effect::Rerun { work, task } => {
                let seller = &self.sellers[index];
                let (inputs, before) = (seller.inputs(&work.order, work.hash), seller.results(work.hash));
                let same = inputs.zip(before).and_then(|(inputs, before)| {
                    let right = compute::run_order(&inputs, work.order.seed);
                    Some(right.get(task as usize)?.0 == *before.halted.get(task as usize)?)
                });
                let event = Event::Reran { order: work.hash, task, same };
                self.schedule.after(2_000, Happening::Seller { seller: index, life, event });
            }
            Effect::Play { .. } | Effect::ForgetGame { .. } => unreachable!("no deal here names a court"),
            Effect::Stop { order } => drop(self.sellers[index].jobs.remove(&order)),
            Effect::Transact { intent, call } => self.seller_transacts(index, intent, call),
            Effect::Release { .. } => {}
            Effect::Tell(event) => {
                match &event {
                    ProviderEvent::Rejected { .. } => self.count("rejection"),
                    ProviderEvent::TasksDone { .. } => self.count("order done"),
                    _ => {}
                }
                self.tell(|| format!("seller {index}: {event:?}"));
            }
        }
    }

    fn seller_sends(&mut self, index: usize, session: u64, message: ToRequester) {
        let silent = self.options.sellers[index].temper == Temper::Silent;
        if silent && !matches!(message, ToRequester::Welcome { .. }) {
            return;
        }
        let key = &self.sellers[index].key;
        let message = match message {
            ToRequester::Ack(ack) => ToRequester::Ack(self.seal(key, ack.value)),
            ToRequester::Release(release) => ToRequester::Release(self.seal(key, release.value)),
            other => other,
        };
        let rule = match &message {
            ToRequester::Ack(ack) => self.signed.ack(&ack.value),
            ToRequester::Release(release) => self.signed.release(&release.value),
            _ => Ok(()),
        };
        self.hold(rule);
        let bytes = self.encode(&message);
        self.carry(session, Side::Buyer, bytes);
    }

    fn deliver(&mut self, index: usize, session: u64, deal: B256, mut receipt: Receipt) {
        if self.options.sellers[index].temper == Temper::Overbills {
            receipt.fuel *= 2;
        }
        if matches!(self.options.sellers[index].temper, Temper::Silent | Temper::Withholds | Temper::Promises) {
            return;
        }
        let Some(results) = self.sellers[index].results(receipt.order) else {
            return self.hold(Err(format!("seller {index} delivers {} without results on disk", receipt.order)));
        };
        let rule = self.signed.receipt(deal, &receipt);
        self.hold(rule);
        let receipt = self.seal(&self.sellers[index].key, receipt);
        let message = ToRequester::Receipt { receipt, results: results.halted, outputs: results.outputs };
        let bytes = self.encode(&message);
        self.carry(session, Side::Buyer, bytes);
    }

    /// Blobs come from the requester, if it can be reached; inputs are checked against the order.
    pub(crate) fn fetched(&mut self, index: usize, work: &Work, job: u64) {
        let buyer = self.buyers.iter().position(|buyer| Some(buyer.endpoint) == work.peer);
        let reach = |buyer: usize| self.buyers[buyer].core.is_some() && !self.network.apart.contains(&(buyer, index));
        let result = if !buyer.is_some_and(reach) {
            Err(Refusal::Program("its sender can't be reached".into()))
        } else if self.sellers[index].inputs(&work.order, work.hash).is_none() {
            Err(Refusal::Inputs("not what was signed".into()))
        } else {
            Ok(())
        };
        self.worked(index, work.hash, job, Event::Fetched { order: work.hash, result });
    }

    /// Something that was being done is done, unless it was stopped meanwhile.
    pub(crate) fn worked(&mut self, index: usize, order: B256, job: u64, event: Event) {
        if self.sellers[index].jobs.get(&order) == Some(&job) {
            if !matches!(event, Event::Progress { .. }) {
                self.sellers[index].jobs.remove(&order);
            }
            self.feed_seller(index, event);
        }
    }

    fn run_order(&mut self, index: usize, work: &Work) {
        let (life, hash, order) = (self.sellers[index].life, work.hash, &work.order);
        let job = self.sellers[index].begin(hash);
        let Some(inputs) = self.sellers[index].inputs(order, hash) else {
            return self.hold(Err(format!("seller {index} runs {hash} without inputs on disk")));
        };
        let mut outcomes = compute::run_order(&inputs, order.seed);
        let fuel: u64 = outcomes.iter().map(|(halted, _)| halted.fuel_used(order.fuelLimit)).sum();
        let options = &self.options.sellers[index];
        let mut wait = 50 + fuel * 1000 / FUEL_PER_SECOND / u64::from(options.cores);
        match options.temper {
            Temper::Lies(lie) => lie.apply(order.seq, &mut outcomes),
            Temper::Slow => wait *= 40,
            _ => {}
        }
        let result = if !self.healed && self.random.percent(self.options.faults.attempts) {
            Err(Refusal::Attempt("no memory".into()))
        } else {
            let outputs: Vec<u8> = outcomes.iter().flat_map(|(_, output)| output.iter().copied()).collect();
            let outputs = self.put(index, outputs.into());
            Ok(Results { halted: outcomes.into_iter().map(|(halted, _)| halted).collect(), outputs })
        };
        let half = Event::Progress { order: hash, done: order.tasks / 2 };
        self.schedule.after(wait / 2, Happening::Work { seller: index, life, order: hash, job, event: half });
        let event = Event::Ran { order: hash, result };
        self.schedule.after(wait, Happening::Work { seller: index, life, order: hash, job, event });
    }

    fn put(&mut self, index: usize, bytes: Bytes) -> Payload {
        if !self.options.sellers[index].blobs {
            return Payload::Inline(bytes);
        }
        let blob = BlobRef { hash: keccak256(&bytes).0, size: bytes.len() as u64 };
        self.sellers[index].blobs.insert(blob, bytes);
        Payload::Blob(blob)
    }

    fn seller_transacts(&mut self, index: usize, intent: String, call: Call) {
        let life = self.sellers[index].life;
        if self.options.sellers[index].temper == Temper::Sleeps && matches!(call, Call::Redeem { .. }) {
            let event = Event::Transacted { intent, outcome: Outcome::Unsent };
            return self.schedule.after(1_000, Happening::Seller { seller: index, life, event });
        }
        let refuses = match self.options.sellers[index].temper {
            Temper::Withholds => matches!(call, Call::Reveal { .. }),
            Temper::Promises => matches!(call, Call::Reveal { .. } | Call::Answer { .. } | Call::Claim { .. }),
            // What it would show on chain is not what it signed.
            Temper::Overbills => matches!(call, Call::Answer { .. } | Call::Claim { .. }),
            _ => false,
        };
        if refuses {
            let event = Event::Transacted { intent, outcome: Outcome::Unsent };
            return self.schedule.after(1_000, Happening::Seller { seller: index, life, event });
        }
        if let Call::Claim { receipt, deal, .. } | Call::Answer { receipt, deal, .. } = &call {
            let rule = self.signed.receipt(struct_hash(&**deal), receipt);
            self.hold(rule);
        }
        let call = match call {
            Call::Play { .. } | Call::Timeout { .. } => unreachable!("no deal here names a court"),
            Call::Redeem { deal, voucher } => {
                MarketCall::Redeem { deal: *deal, voucher: voucher.value, signature: voucher.signature }
            }
            Call::Claim { deal, order, receipt } => {
                MarketCall::Claim { deal: *deal, order: order.value, signature: order.signature, receipt }
            }
            Call::Answer { deal, order, receipt } => MarketCall::Answer { deal: *deal, order: *order, receipt },
            Call::Settle { deal, case } => {
                MarketCall::Settle { deal: *deal, kind: model_kind(case.kind), subject: case.subject, task: case.task }
            }
            Call::Expire { deal } => MarketCall::Expire { deal: *deal },
            Call::Reveal { deal, order, receipt, task } => {
                let Some(reveal) = self.sellers[index].reveal(&order, &receipt, task) else {
                    return self.hold(Err(format!("seller {index} can't reveal task {task} of {}", receipt.order)));
                };
                MarketCall::Reveal { deal: *deal, order: *order, receipt, reveal }
            }
        };
        self.transact(Who::Seller(index), intent, vec![call]);
    }
}

impl Seller {
    fn reveal(&self, order: &Order, receipt: &Receipt, task: u32) -> Option<Reveal> {
        let results = self.results(receipt.order)?;
        let outputs = self.outputs(&results)?;
        let at = task as usize;
        let halted = *results.halted.get(at)?;
        let limit = order.fuelLimit;
        let proof = SumTree::new(results.halted.iter().map(|h| (h.hash(), h.fuel_used(limit)))).proof(task)?;
        let from = results.halted[..at].iter().map(|h| h.out_len as usize).sum::<usize>();
        let shown = if halted.out_len > MAX_REVEAL_BYTES { 0 } else { halted.out_len as usize };
        let output = Bytes::copy_from_slice(outputs.get(from..from + shown)?);
        Some(Reveal { task, fuel: halted.fuel_used(limit), halted, proof, output })
    }
}
