//! The honest side: the requester's core with its journal and its machine, and the relevant part of
//! the service. The strategist chooses how many seconds later transactions are mined and the chain
//! is read.

use std::collections::{BTreeMap, BTreeSet};

use alloy_signer_local::PrivateKeySigner;
use rialto_protocol::{
    Address, B256, DealId, keccak256,
    receipt::Halted,
    types::struct_hash,
    wire::{Payload, Signed},
};
use rialto_requester::core::{
    Call, Config, Constraints, Core, Cursor, Effect, Event, Fact, JobEvent, JobId, JobSpec,
    Outgoing, Patience, Policy, Record, Stored, Trace, Transacted, TxNote, What,
    verify::OutputCheck,
};

use super::{Alley, Weakness};
use crate::{
    check::Broken,
    compute::{self, FUEL_LIMIT, INPUT_BYTES, OUT_LIMIT},
    ledger::{Act, Said},
    purse,
    search::yard::{DEPOSIT, PARAMS, RULES, key},
    world::{CHAIN_ID, MARKET},
};

/// Hash of the program that every job runs.
const PROGRAM: B256 = B256::repeat_byte(0x50);
/// Speed of the requester's machine, in fuel per second.
const FUEL_PER_SECOND: u64 = 2_000_000_000;
/// Speed of its tracing, in fuel per second.
const TRACED_PER_SECOND: u64 = 50_000_000;
/// Tasks of a small job, and of a large one whose orders have several tasks.
const TASKS: [u32; 2] = [4, 16];

/// One scheduled event of the requester's side.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// The core receives an event.
    Core(Box<Event>),
    /// A transaction is mined.
    Mined { intent: String, acts: Vec<Act>, kind: &'static str, takes: u128, bonds: u128 },
    /// The core receives facts of the chain.
    Heard { facts: Vec<Fact>, block: u64 },
}

/// The honest requester.
#[derive(Clone)]
pub struct House {
    /// The requester's account on chain.
    pub account: Address,
    /// Key with which the requester signs.
    pub key: PrivateKeySigner,
    /// The requester's core.
    pub core: Core,
    /// Sum that its owner deposited in the market.
    pub(super) had: u128,
    /// Seconds until a transaction is mined, and again until its events are read.
    pub lag: u64,
    /// Whether the machine cannot run tasks now; below, whether it ever could not.
    pub(super) weary: bool,
    pub(super) was_weary: bool,
    journal: Vec<Record>,
    queue: BTreeMap<(u64, u64), Due>,
    serial: u64,
    said: Vec<(u64, Fact)>,
    jobs: u64,
}

/// Returns the input of a job's task.
pub(super) fn input(job: JobId, task: u32) -> B256 {
    keccak256([job.0.to_be_bytes().as_slice(), &task.to_be_bytes()].concat())
}

fn config(account: Address, key: Address) -> Config {
    Config {
        requester: account,
        key,
        chain_id: CHAIN_ID,
        market: MARKET,
        grace_seconds: PARAMS.grace,
        challenge_seconds: PARAMS.challenge_window,
        answer_seconds: PARAMS.answer_window,
        case_bond: PARAMS.case_bond,
        dispute_from: Some(1),
        patience: Patience::default(),
    }
}

impl House {
    /// Returns a requester that has not been started yet.
    pub fn new() -> Self {
        let (owner, signer) = (key("the requester"), key("the requester's key"));
        let account = owner.address();
        Self {
            account,
            core: Core::restore(config(account, signer.address()), []),
            key: signer,
            had: DEPOSIT,
            lag: 1,
            weary: false,
            was_weary: false,
            journal: Vec::new(),
            queue: BTreeMap::new(),
            serial: 0,
            said: Vec::new(),
            jobs: 0,
        }
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn take_due(&mut self, now: u64) -> Option<Due> {
        let first = self.queue.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    fn later(&mut self, at: u64, due: Due) {
        self.serial += 1;
        self.queue.insert((at, self.serial), due);
    }

    pub(super) fn hear_later(&mut self, now: u64, block: u64, said: &[Said]) {
        let facts: Vec<_> = said.iter().filter_map(fact_of).collect();
        self.said.extend(facts.iter().map(|fact| (block, fact.clone())));
        self.later(now + self.lag, Due::Heard { facts, block });
    }

    /// Schedules the arrival of a seller's message.
    pub(super) fn hear_message(&mut self, at: u64, event: Event) {
        self.later(at, Due::Core(Box::new(event)));
    }

    /// Returns the scheduled events without their serial numbers, for the state's hash.
    pub(super) fn under_way(&self) -> impl std::fmt::Debug + '_ {
        let queue: Vec<_> = self.queue.iter().map(|((at, _), due)| (at, due)).collect();
        (queue, self.lag, self.weary)
    }

    pub(super) fn quiet(&self) -> bool {
        self.queue.is_empty() && self.core.idle()
    }
}

impl Default for House {
    fn default() -> Self {
        Self::new()
    }
}

/// Converts an event of a contract to a fact of the requester's core.
fn fact_of(said: &Said) -> Option<Fact> {
    let opened = || {
        let opened = matches!(said.what, rialto_provider::core::What::Opened(_));
        opened.then(|| What::Opened {
            tx: TxNote { kind: "open".into(), tx: B256::ZERO, gas: None, deals: 1 },
        })
    };
    let what = said.heard.clone().or_else(opened)?;
    Some(Fact { deal: said.deal, what })
}

impl Alley {
    /// Feeds an event to the core and executes the effects, until none is left.
    pub(super) fn feed(&mut self, event: Event) -> Result<(), Broken> {
        let now = self.yard.now;
        for effect in self.house.core.handle(now, event) {
            self.perform(effect)?;
        }
        Ok(())
    }

    pub(super) fn house_happens(&mut self, due: Due) -> Result<(), Broken> {
        match due {
            Due::Core(event) => self.feed(*event),
            Due::Mined { intent, acts, kind, takes, bonds } => {
                let holds = self.yard.ledger.market.account(self.house.account).balance;
                if let Err(outcome) = purse::keeps(holds, takes, bonds) {
                    self.yard.tell(|| format!("requester keeps its bonds: no {kind}"));
                    let at = self.yard.now + self.house.lag;
                    self.house
                        .later(at, Due::Core(Box::new(Event::Transacted { intent, outcome })));
                    return Ok(());
                }
                let outcome = match self.call(self.house.account, &acts)? {
                    Some(said) => {
                        let opened = said.iter().filter(|said| {
                            matches!(said.what, rialto_provider::core::What::Opened(_))
                        });
                        let opened: Vec<DealId> = opened.map(|said| said.deal).collect();
                        let deals = opened.len().max(1) as u32;
                        let tx = TxNote {
                            kind: kind.into(),
                            tx: keccak256(&intent),
                            gas: Some(50_000),
                            deals,
                        };
                        Transacted::Mined { tx, opened }
                    }
                    None => Transacted::Reverted { code: "M-000".into(), reason: "refused".into() },
                };
                let at = self.yard.now + self.house.lag;
                self.house.later(at, Due::Core(Box::new(Event::Transacted { intent, outcome })));
                Ok(())
            }
            Due::Heard { facts, block } => {
                let cursor = Some(Cursor { block, hash: keccak256(block.to_be_bytes()) });
                let facts = facts.into_iter().filter(|fact| self.is_ours(fact.deal)).collect();
                self.feed(Event::Chain { facts, cursor })
            }
        }
    }

    fn is_ours(&self, deal: DealId) -> bool {
        self.foe
            .deals
            .iter()
            .any(|known| known.id == deal && known.deal.requester == self.house.account)
    }

    /// Submits a job to the core. `how` chooses its size and its verification policy.
    pub(super) fn submit(&mut self, how: u8) -> Result<(), Broken> {
        if self.house.jobs >= 3 {
            return Ok(());
        }
        self.house.jobs += 1;
        let spec = self.spec(self.house.jobs, how);
        self.feed(Event::Submit(spec))
    }

    fn spec(&self, job: u64, how: u8) -> JobSpec {
        let tasks = TASKS[usize::from(how) / 3 % 2];
        let id = JobId(job);
        JobSpec {
            id,
            name: String::new(),
            program: PROGRAM,
            inputs: (0..tasks).map(|task| input(id, task)).collect(),
            program_bytes: 1_000,
            shared_bytes: 0,
            input_bytes: vec![INPUT_BYTES as u32; tasks as usize],
            fuel_limit: FUEL_LIMIT,
            out_limit: OUT_LIMIT,
            max_pages: 16,
            seed: id.0,
            secret: keccak256(id.0.to_be_bytes()),
            policy: [
                Policy::Audit { rate_ppm: 1_000_000 },
                Policy::Replicate { n: 2 },
                Policy::Trust,
            ][usize::from(how) % 3],
            constraints: Constraints {
                budget: 200_000,
                max_price: 10_000_000,
                deadline: self.yard.now + 900,
                min_collateral_bps: 0,
                min_providers: 2,
                max_providers: 3,
                exclude: BTreeSet::new(),
                expected_fuel: None,
                run_locally: true,
            },
        }
    }

    /// Returns the number of submitted jobs.
    pub(super) fn jobs(&self) -> u64 {
        self.house.jobs
    }

    /// Withdraws money of the owner before anything is bought.
    pub(super) fn impoverish(&mut self, bonds: u8, less: bool) -> Result<(), Broken> {
        let spec = self.spec(1, 0);
        if self.house.jobs > 0 || self.house.had < DEPOSIT {
            return Ok(());
        }
        let Ok(plan) = self.house.core.quote(self.yard.now, &spec) else { return Ok(()) };
        let bond = RULES.bond_for(spec.fuel_limit).unwrap_or(0);
        let left = plan.locked + bond * u128::from(1 + bonds % 2) - u128::from(less);
        let account = self.house.account;
        self.yard.withdraw(account, DEPOSIT.saturating_sub(left));
        self.house.had = left.min(DEPOSIT);
        Ok(())
    }

    /// Stops the requester and starts it again at once.
    pub(super) fn restart(&mut self) -> Result<(), Broken> {
        let house = &mut self.house;
        house.core = Core::restore(house.core.config().clone(), &house.journal);
        house.queue.retain(|_, due| matches!(due, Due::Mined { .. }));
        self.foe.sessions_end();
        self.feed(Event::Started)?;
        let from = self.house.core.state().cursor.map_or(0, |cursor| cursor.block + 1);
        let facts = self
            .house
            .said
            .iter()
            .filter(|(block, _)| *block >= from)
            .map(|(_, fact)| fact.clone())
            .collect();
        let (at, block) = (self.yard.now + self.house.lag, self.yard.block);
        self.house.later(at, Due::Heard { facts, block });
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> Result<(), Broken> {
        let now = self.yard.now;
        match effect {
            Effect::Persist(records) => self.house.journal.extend(records),
            Effect::Connect { deal, .. } => {
                let event = if self.foe.takes_calls(deal) {
                    self.foe.connected(deal);
                    Event::Connected { deal }
                } else {
                    Event::Disconnected { deal, why: "unreachable".into() }
                };
                self.house.later(now + 1, Due::Core(Box::new(event)));
            }
            Effect::Hangup { deal } => self.foe.hung_up(deal),
            Effect::Send { deal, message } => return self.send(deal, message),
            Effect::Store { deal, order, results, outputs } => {
                let result = self.store(deal, &results, outputs);
                self.house.later(now + 1, Due::Core(Box::new(Event::Stored { order, result })));
            }
            Effect::RunLocally { job, batch, tasks } => {
                let ran: Vec<_> = tasks
                    .iter()
                    .map(|run| (run.index, compute::run(input(job, run.task), run.seed).0))
                    .collect();
                let fuel: u64 = ran.iter().map(|(_, halted)| halted.fuel_used(FUEL_LIMIT)).sum();
                self.books.ran(tasks.len() as u64);
                let result = if self.house.weary { Err("no room".to_string()) } else { Ok(ran) };
                let event = Event::RanLocally { job, batch, result };
                self.house.later(now + 1 + fuel / FUEL_PER_SECOND, Due::Core(Box::new(event)));
            }
            Effect::Trace(trace) => self.trace(&trace),
            Effect::ForgetTrace { .. } | Effect::Release { .. } | Effect::Finished(_) => {}
            Effect::Transact { intent, call } => self.transact(intent, *call)?,
            Effect::Tell { event, .. } => self.told(&event),
        }
        Ok(())
    }

    fn told(&mut self, event: &JobEvent) {
        let name = format!("{event:?}");
        let name = name.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
        let code =
            if let JobEvent::Note { code, .. } = event { code.clone() } else { String::new() };
        self.saw((name, code));
        if !matches!(event, JobEvent::Progress(_)) {
            self.yard.tell(|| format!("requester: {event:?}"));
        }
    }

    fn store(&self, deal: DealId, results: &[Halted], outputs: Payload) -> Stored {
        match outputs {
            Payload::Inline(bytes) => {
                let mut check = OutputCheck::new(results);
                match check.feed(&bytes).and_then(|()| check.finish()) {
                    Ok(()) => Stored::Right,
                    Err(_) => Stored::Wrong { task: 0 },
                }
            }
            Payload::Blob(_) => {
                Stored::Missing { why: format!("the provider of {deal} does not serve it") }
            }
        }
    }

    fn trace(&mut self, trace: &Trace) {
        let inputs: Vec<B256> = (trace.first..trace.first + trace.order.tasks)
            .map(|task| input(trace.job, task))
            .collect();
        let found = purse::traced(trace, &inputs);
        self.books.traces += 1;
        let seconds = 1 + FUEL_LIMIT / TRACED_PER_SECOND;
        let result = found.ok_or_else(|| "no such task".to_string());
        let event = Event::Traced { key: trace.key, result };
        let at = self.yard.now + seconds;
        self.house.later(at, Due::Core(Box::new(event)));
    }

    fn send(&mut self, deal: DealId, message: Outgoing) -> Result<(), Broken> {
        self.yard.tell(|| {
            format!(
                "to the foe: {}",
                format!("{message:?}").split([' ', '(', '{']).next().unwrap_or_default()
            )
        });
        self.books.messages_out += 1;
        if let Outgoing::Voucher(voucher) = &message {
            self.books.vouched(voucher);
        }
        if let Outgoing::Order { order, .. } = &message {
            self.books.ordered(order);
        }
        let key = self.house.key.clone();
        self.foe_hears(deal, message, &key)
    }

    fn transact(&mut self, intent: String, call: Call) -> Result<(), Broken> {
        let now = self.yard.now;
        if self.withheld(&call) {
            let outcome = Transacted::Reverted { code: "M-000".into(), reason: "not now".into() };
            self.house.later(now + 1, Due::Core(Box::new(Event::Transacted { intent, outcome })));
            return Ok(());
        }
        let takes = call.takes(PARAMS.case_bond);
        let bonds = if self.weak(Weakness::BondsUnkept) {
            0
        } else {
            purse::bonds(&RULES, &self.house.core.accusables())
        };
        let Some(acts) = purse::acts(call) else { return Err(format!("{intent} says nothing")) };
        let kind = acts.first().map_or("nothing", Act::kind);
        self.yard.tell(|| format!("requester sends {kind}"));
        self.house.later(now + self.house.lag, Due::Mined { intent, acts, kind, takes, bonds });
        Ok(())
    }

    /// Returns whether a requester with a defect does not send this call.
    fn withheld(&self, call: &Call) -> bool {
        let (deal, order, signature) = match call {
            Call::Accuse(it) => (&it.deal, &it.order, &it.receipt),
            Call::Convict(it) => (&it.deal, &it.order, &it.receipt),
            _ => return false,
        };
        let asserted = |receipt: &Signed<_>| -> bool { receipt.signature.is_empty() };
        match self.weakness {
            Some(Weakness::ClaimsUnjudged) => asserted(signature),
            Some(Weakness::PaidIsPaid) => self.books.voucher_covers(struct_hash(deal), order.seq),
            Some(Weakness::AccusesUntilExpiry) => self.yard.now + self.house.lag >= deal.expiry,
            Some(Weakness::RevealIsNoNews | Weakness::BondsUnkept) | None => false,
        }
    }
}
