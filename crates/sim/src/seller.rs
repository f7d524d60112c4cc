//! A seller: the provider's core with a disk, a machine and a key, driven as the service drives it.

use std::{collections::BTreeMap, sync::Arc};

use alloy_signer_local::PrivateKeySigner;
use rialto_protocol::{
    Address, B256, Bytes, DealId, OrderId, keccak256,
    types::{Receipt, struct_hash},
    wire::{AskGossip, BlobRef, Message, Payload, PeerAddr, ToProvider, ToRequester},
};
use rialto_provider::core::{
    AskConfig, Call, Config, Core, Effect, Event, Limits, Money, Outcome, Price, ProviderEvent,
    Refusal, What, Work,
};

use crate::{
    chain::{Block, Ending, Who},
    compute,
    desk::{Desk, results},
    network::Side,
    options::{Options, SellerOptions, Temper},
    world::{CHAIN_ID, COURT, Happening, MARKET, World, key},
};

/// Blocks that are read again after a restart. The service does the same with more blocks.
const REHEARD_BLOCKS: u64 = 8;
/// Speed of one simulated core, in fuel per second.
const FUEL_PER_SECOND: u64 = 1_000_000_000;
/// Number of ticks between two regular reads of the account.
const ACCOUNT_TICKS: u64 = 30;

/// One simulated provider.
pub struct Seller {
    /// The seller's account on chain.
    pub account: Address,
    /// The seller's endpoint on the network.
    pub endpoint: B256,
    /// The running core, or `None` while the seller is down.
    pub core: Option<Core>,
    /// Number of starts so far. It identifies events that were meant for an earlier start.
    pub life: u32,
    /// Highest earned sum that the core ever reported, by deal.
    pub earned: BTreeMap<DealId, u128>,
    /// The seller's disk.
    pub desk: Desk,
    key: PrivateKeySigner,
    config: Config,
    told: Vec<Arc<Block>>,
    from: u64,
    /// Orders whose inputs are being fetched or whose tasks are running, with the job's number.
    jobs: BTreeMap<OrderId, u64>,
    next_job: u64,
    ticks: u64,
}

impl Seller {
    /// Returns a seller that has not been started yet.
    pub fn new(index: usize, own: &SellerOptions, options: &Options) -> Self {
        let key = key("seller", index);
        let endpoint = keccak256(format!("endpoint of seller {index}"));
        let config = Config {
            provider: key.address(),
            key: key.address(),
            endpoint,
            chain_id: CHAIN_ID,
            market: MARKET,
            grace_seconds: options.params.grace,
            challenge_seconds: options.params.challenge_window,
            asks: AskConfig {
                price: Price::Constant(own.price),
                task_fee: own.task_fee,
                cores: own.cores,
                fuel_per_second: FUEL_PER_SECOND,
                late_penalty_bps: 5_000,
                court: if options.court { COURT } else { Address::ZERO },
                republish_seconds: 60,
                ..AskConfig::default()
            },
            limits: Limits {
                order_tasks: if own.temper == Temper::Small {
                    1
                } else {
                    Limits::default().order_tasks
                },
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
            desk: Desk::default(),
            key,
            config,
            told: Vec::new(),
            from: 0,
            jobs: BTreeMap::new(),
            next_job: 0,
            ticks: 0,
        }
    }

    /// Drops everything but the disk. Returns `false` if the seller is already down.
    pub fn crash(&mut self) -> bool {
        self.jobs.clear();
        self.core.take().is_some()
    }

    fn begin(&mut self, order: OrderId) -> u64 {
        self.next_job += 1;
        self.jobs.insert(order, self.next_job);
        self.next_job
    }
}

/// Converts the ending of a transaction to an event of the core.
pub fn transacted(intent: String, ending: &Ending) -> Event {
    Event::Transacted {
        intent,
        outcome: if ending.is_ok() { Outcome::Mined { fee_wei: 0 } } else { Outcome::Reverted },
    }
}

impl World {
    /// Starts or restarts a seller from its disk.
    pub(crate) fn start_seller(&mut self, index: usize) {
        let balance = self.chain.ledger.market.account(self.sellers[index].account).balance;
        let seller = &mut self.sellers[index];
        seller.life += 1;
        let core = Core::restore(seller.config.clone(), seller.desk.rows());
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
        let account = self.chain.ledger.market.account(self.sellers[index].account);
        self.feed_seller(
            index,
            Event::Account { account: account.balance, counter: account.counter },
        );
    }

    /// Hands the news of the chain to the seller's core.
    pub(crate) fn seller_hears(&mut self, index: usize) {
        let seller = &mut self.sellers[index];
        let news = self.chain.news(&mut seller.told, seller.from);
        let core = seller.core.as_ref();
        let ours = |log: &crate::chain::Log| {
            let opened =
                matches!(&log.fact.what, What::Opened(deal) if deal.provider == seller.account);
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
            Ok(message) => {
                self.feed_seller(index, Event::Message { session, message: Box::new(message) })
            }
            Err(error) => self.hold(Err(format!("a requester's message can't be read: {error}"))),
        }
    }

    /// Feeds an event to the core and executes the effects, until none is left or the seller
    /// crashes.
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
                for record in &records {
                    let written = self.sellers[index].desk.write(record);
                    self.history.add(&written);
                }
            }
            Effect::Send { session, message } => self.seller_sends(index, session, message),
            Effect::SendReceipt { session, deal, receipt } => {
                self.deliver(index, session, deal, receipt)
            }
            Effect::Hangup { session } => self.leave(session, Side::Seller),
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
                let desk = &self.sellers[index].desk;
                let (inputs, before) =
                    (desk.inputs(&work.order, work.hash), desk.results(work.hash));
                let same = inputs.zip(before).and_then(|(inputs, before)| {
                    let right = compute::run_order(&inputs, &work.order);
                    Some(right.get(task as usize)?.0 == *before.halted.get(task as usize)?)
                });
                let event = Event::Reran { order: work.hash, task, same };
                self.schedule.after(2_000, Happening::Seller { seller: index, life, event });
            }
            Effect::Play { work, view } => {
                let answer = self.sellers[index].desk.answer(&work.order, &view);
                let result =
                    answer.ok_or_else(|| Refusal::Attempt("nothing is known of it".into()));
                let event =
                    Event::Played { game: struct_hash(&view.game), turn: view.turn(), result };
                self.schedule.after(2_000, Happening::Seller { seller: index, life, event });
            }
            Effect::StopRerun { .. } | Effect::ForgetTrace { .. } => {}
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

    fn deliver(&mut self, index: usize, session: u64, deal: DealId, mut receipt: Receipt) {
        if self.options.sellers[index].temper == Temper::Overbills {
            receipt.fuel *= 2;
        }
        if matches!(
            self.options.sellers[index].temper,
            Temper::Silent | Temper::Withholds | Temper::Promises
        ) {
            return;
        }
        let Some(results) = self.sellers[index].desk.results(receipt.order) else {
            return self.hold(Err(format!(
                "seller {index} delivers {} without results on disk",
                receipt.order
            )));
        };
        let rule = self.signed.receipt(deal, &receipt);
        self.hold(rule);
        let receipt = self.seal(&self.sellers[index].key, receipt);
        let message =
            ToRequester::Receipt { receipt, results: results.halted, outputs: results.outputs };
        let bytes = self.encode(&message);
        self.carry(session, Side::Buyer, bytes);
    }

    /// Fetches the blobs of an order from its requester, if the seller can reach it, and checks the
    /// inputs against the order.
    pub(crate) fn fetched(&mut self, index: usize, work: &Work, job: u64) {
        let buyer = self.buyers.iter().position(|buyer| Some(buyer.endpoint) == work.peer);
        let reach = |buyer: usize| {
            self.buyers[buyer].core.is_some() && !self.network.apart.contains(&(buyer, index))
        };
        let result = if !buyer.is_some_and(reach) {
            Err(Refusal::Program("its sender can't be reached".into()))
        } else if self.sellers[index].desk.inputs(&work.order, work.hash).is_none() {
            Err(Refusal::Inputs("not what was signed".into()))
        } else {
            Ok(())
        };
        self.worked(index, work.hash, job, Event::Fetched { order: work.hash, result });
    }

    /// Hands the end of a fetch or a run to the core, unless it was stopped meanwhile.
    pub(crate) fn worked(&mut self, index: usize, order: OrderId, job: u64, event: Event) {
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
        let Some(inputs) = self.sellers[index].desk.inputs(order, hash) else {
            return self.hold(Err(format!("seller {index} runs {hash} without inputs on disk")));
        };
        let mut outcomes = compute::run_order(&inputs, order);
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
            let outputs: Vec<u8> =
                outcomes.iter().flat_map(|(_, output)| output.iter().copied()).collect();
            let outputs = self.put(index, outputs.into());
            Ok(results(&outcomes, outputs))
        };
        let half = Event::Progress { order: hash, done: order.tasks / 2 };
        self.schedule.after(
            wait / 2,
            Happening::Work { seller: index, life, order: hash, job, event: half },
        );
        let event = Event::Ran { order: hash, result };
        self.schedule.after(wait, Happening::Work { seller: index, life, order: hash, job, event });
    }

    fn put(&mut self, index: usize, bytes: Bytes) -> Payload {
        if !self.options.sellers[index].blobs {
            return Payload::Inline(bytes);
        }
        let blob = BlobRef { hash: keccak256(&bytes).0, size: bytes.len() as u64 };
        self.sellers[index].desk.blobs.insert(blob, bytes);
        Payload::Blob(blob)
    }

    fn seller_transacts(&mut self, index: usize, intent: String, call: Call) {
        let life = self.sellers[index].life;
        if self.options.sellers[index].temper == Temper::Sleeps
            && matches!(call, Call::Redeem { .. })
        {
            let event = Event::Transacted { intent, outcome: Outcome::Unsent };
            return self.schedule.after(1_000, Happening::Seller { seller: index, life, event });
        }
        let refuses = match self.options.sellers[index].temper {
            Temper::Withholds => matches!(call, Call::Reveal { .. } | Call::Play { .. }),
            Temper::Promises => {
                matches!(
                    call,
                    Call::Reveal { .. }
                        | Call::Answer { .. }
                        | Call::Claim { .. }
                        | Call::Play { .. }
                )
            }
            // A revelation on chain would not match the receipt, so such a seller sends none.
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
        let Some(act) = self.sellers[index].desk.act(call) else {
            return self.hold(Err(format!("seller {index} lacks what belongs to {intent}")));
        };
        self.transact(Who::Seller(index), intent, vec![act]);
    }
}
