//! Random lives of a provider: hostile sessions, duplicates, reordering, reorgs, crashes at any
//! point. The world checks after every event that the journal is the core and that nothing is done
//! before it is written; here the money is checked.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use alloy_primitives::B256;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{
    DealId, OrderId,
    types::{Deal, Order, struct_hash},
    wire::{ToProvider, ToRequester},
};
use rialto_provider::core::{
    Call, Effect, Event, Fact, LogId, OnChain, OrderRow, OrderState, Outcome, ProviderEvent,
    Verdict, What,
};

use crate::world::*;

/// What may happen next. Numbers pick among what there is; `stray` picks anything, fitting or not.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Open,
    Connect { deal: usize, peer: u8 },
    Disconnect(usize),
    Order { deal: usize, stray: bool, ahead: u64, tasks: u32, due: u64 },
    Again { order: usize, stray: bool },
    Fetched { order: usize, stray: bool, fine: bool },
    Ran { order: usize, stray: bool, fine: bool },
    Pay { deal: usize, stray: bool, percent: u128, short: u64, close: bool, forged: bool },
    Reject { order: usize, stray: bool, task: u32 },
    Reran { order: usize, stray: bool, same: Option<bool> },
    Cancel { order: usize, stray: bool, forged: bool },
    Release { deal: usize, stray: bool, percent: u128 },
    Transaction { at: usize, outcome: u8 },
    Quarrel { order: usize, kind: u8 },
    Reorg(usize),
    Crash,
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..64usize;
    let stray = prop::bool::weighted(0.05);
    let percent = prop_oneof![6 => Just(100u128), 1 => 0..130u128];
    let few = prop_oneof![6 => Just(0u64), 1 => 0..4u64];
    let fine = prop::bool::weighted(0.9);
    prop_oneof![
        6 => (0..120u64).prop_map(Step::Wait),
        1 => (0..900u64).prop_map(Step::Wait),
        2 => Just(Step::Open),
        3 => (at.clone(), 0..3u8).prop_map(|(deal, peer)| Step::Connect { deal, peer }),
        1 => at.clone().prop_map(Step::Disconnect),
        14 => (at.clone(), stray, few.clone(), 0..12u32, 0..900u64)
            .prop_map(|(deal, stray, ahead, tasks, due)| Step::Order { deal, stray, ahead, tasks, due }),
        1 => (at.clone(), stray).prop_map(|(order, stray)| Step::Again { order, stray }),
        14 => (at.clone(), stray, fine).prop_map(|(order, stray, fine)| Step::Fetched { order, stray, fine }),
        14 => (at.clone(), stray, fine).prop_map(|(order, stray, fine)| Step::Ran { order, stray, fine }),
        6 => (at.clone(), stray, percent.clone(), few, prop::bool::weighted(0.1), prop::bool::weighted(0.05))
            .prop_map(|(deal, stray, percent, short, close, forged)| Step::Pay { deal, stray, percent, short, close, forged }),
        1 => (at.clone(), stray, 0..9u32).prop_map(|(order, stray, task)| Step::Reject { order, stray, task }),
        2 => (at.clone(), stray, prop::option::of(prop::bool::ANY))
            .prop_map(|(order, stray, same)| Step::Reran { order, stray, same }),
        1 => (at.clone(), stray, prop::bool::weighted(0.2))
            .prop_map(|(order, stray, forged)| Step::Cancel { order, stray, forged }),
        1 => (at.clone(), stray, percent).prop_map(|(deal, stray, percent)| Step::Release { deal, stray, percent }),
        8 => (at.clone(), 0..6u8).prop_map(|(at, outcome)| Step::Transaction { at, outcome }),
        2 => (at, 0..3u8).prop_map(|(order, kind)| Step::Quarrel { order, kind }),
        1 => (1..4usize).prop_map(Step::Reorg),
        1 => Just(Step::Crash),
        1 => prop::bool::weighted(0.05).prop_map(|drain| if drain { Step::Drain } else { Step::Wait(1) }),
    ]
}

/// Most deals in one life: more would only spread thin what happens.
const MAX_DEALS: usize = 3;

struct Life {
    world: World,
    deals: Vec<Deal>,
    orders: Vec<OrderId>,
    /// Session and the deal it said hello for.
    sessions: Vec<(u64, DealId)>,
    /// Transactions asked for and not ended.
    open: BTreeMap<String, Call>,
    /// Ever asked for.
    asked: BTreeSet<String>,
    seen: BTreeSet<String>,
}

fn pick<T: Clone>(all: &[T], at: usize) -> Option<T> {
    if all.is_empty() { None } else { Some(all[at % all.len()].clone()) }
}

impl Life {
    fn new() -> Self {
        Self {
            world: World::new(),
            deals: vec![],
            orders: vec![],
            sessions: vec![],
            open: BTreeMap::new(),
            asked: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: Step) {
        let before: BTreeMap<_, _> = self
            .deals
            .iter()
            .map(|deal| (struct_hash(deal), self.world.core.deal(struct_hash(deal)).cloned()))
            .collect();
        self.world.take();
        self.act(step);
        let effects = self.world.take();
        for effect in &effects {
            if let Effect::Transact { intent, call } = effect {
                self.open.insert(intent.clone(), call.clone());
                // After a crash what was sent is sent again, whatever was learned meanwhile: it has
                // one name.
                if !self.asked.insert(intent.clone()) {
                    continue;
                }
            }
            self.check_effect(effect);
        }
        self.seen.extend(names(&effects));
        for (id, before) in before {
            if let (Some(before), Some(after)) = (before, self.world.core.deal(id)) {
                assert!(
                    after.voucher_amount() >= before.voucher_amount(),
                    "the best voucher only gets better"
                );
                assert!(after.earned >= before.earned);
            }
        }
        self.check_money();
    }

    fn act(&mut self, step: Step) {
        let world = &mut self.world;
        match step {
            Step::Wait(seconds) => drop(world.wait(seconds)),
            Step::Open if self.deals.len() < MAX_DEALS => {
                self.deals.push(world.open(self.deals.len() as u64))
            }
            Step::Open => {}
            Step::Connect { deal, peer } => {
                let Some(deal) = pick(&self.deals, deal) else { return };
                self.connect(&deal, peer);
            }
            Step::Disconnect(at) => {
                let Some((session, _)) = pick(&self.sessions, at) else { return };
                world.feed(Event::Disconnected { session });
                self.sessions.retain(|(known, _)| *known != session);
            }
            Step::Order { deal, stray, ahead, tasks, due } => {
                let Some((session, deal)) = self.session(deal, stray) else { return };
                let seq =
                    self.world.core.deal(struct_hash(&deal)).map_or(0, |row| row.next_seq) + ahead;
                let due_by = self.world.now + due;
                let order = Order { dueBy: due_by, ..self.world.order(&deal, seq, tasks) };
                self.orders.push(self.world.place(session, order));
            }
            Step::Again { order, stray } => {
                let Some((session, order)) = self.order(order, stray, |_| true) else { return };
                let offer =
                    self.world.offer(self.world.core.order(order).unwrap().order.value.clone());
                self.world.say(session, offer);
            }
            Step::Fetched { order, stray, fine } => {
                let fetching = |state: &OrderState| matches!(state, OrderState::Fetching { .. });
                let Some((_, order)) = self.order(order, stray, fetching) else { return };
                let result = if fine { Ok(()) } else { Err(broken()) };
                self.world.feed(Event::Fetched { order, result });
            }
            Step::Ran { order, stray, fine } => {
                let accepted = |state: &OrderState| matches!(state, OrderState::Accepted { .. });
                let Some((_, order)) = self.order(order, stray, accepted) else { return };
                let tasks = self.world.core.order(order).unwrap().order.value.tasks;
                let result = if fine { Ok(results(tasks)) } else { Err(broken()) };
                self.world.feed(Event::Ran { order, result });
            }
            Step::Pay { deal, stray, percent, short, close, forged } => {
                let Some((session, deal)) = self.session(deal, stray) else { return };
                let (earned, next) = self
                    .world
                    .core
                    .deal(struct_hash(&deal))
                    .map_or((500, 0), |r| (r.earned, r.next_seq));
                let mut voucher = self.world.voucher(
                    &deal,
                    earned * percent / 100,
                    next.saturating_sub(short),
                    close,
                );
                if let (true, ToProvider::Voucher(signed)) = (forged, &mut voucher) {
                    signed.value.amount += 1;
                }
                self.world.say(session, voucher);
            }
            Step::Reject { order, stray, task } => {
                let Some((session, order)) =
                    self.order(order, stray, |state| state.receipt().is_some())
                else {
                    return;
                };
                self.world.say(session, ToProvider::Reject { order, task, expected: B256::ZERO });
            }
            Step::Reran { order, stray, same } => {
                let pending = |row: &OrderRow| {
                    row.rejected.iter().find(|(_, v)| **v == Verdict::Pending).map(|(t, _)| *t)
                };
                let waits = |hash: &&OrderId| {
                    self.world.core.order(**hash).is_some_and(|row| pending(row).is_some())
                };
                let waiting: Vec<_> = self.orders.iter().filter(waits).copied().collect();
                let Some(order) = pick(if stray { &self.orders } else { &waiting }, order) else {
                    return;
                };
                let task = self.world.core.order(order).and_then(pending).unwrap_or(0);
                self.world.feed(Event::Reran { order, task, same });
            }
            Step::Cancel { order, stray, forged } => {
                let Some((session, order)) = self.order(order, stray, OrderState::unfinished)
                else {
                    return;
                };
                let mut cancel = self.world.cancel(order);
                if let (true, ToProvider::Cancel(signed)) = (forged, &mut cancel) {
                    signed.signature = Default::default();
                }
                let before = self.world.core.order(order).map(|row| row.state.clone());
                let effects = self.world.say(session, cancel);
                if forged {
                    assert_eq!(self.world.core.order(order).map(|row| row.state.clone()), before);
                    assert!(
                        !effects.contains(&Effect::Stop { order }),
                        "only a signature stops work"
                    );
                }
            }
            Step::Release { deal, stray, percent } => {
                let Some((session, deal)) = self.session(deal, stray) else { return };
                let earned = self.world.core.deal(struct_hash(&deal)).map_or(0, |row| row.earned);
                self.world.say(session, ToProvider::AskRelease { amount: earned * percent / 100 });
            }
            Step::Transaction { at, outcome } => self.transaction(at, outcome),
            Step::Quarrel { order, kind } => self.quarrel(order, kind),
            Step::Reorg(depth) => {
                let keep = world.logs.len().saturating_sub(depth);
                let taken: Vec<Fact> = world.logs.drain(keep..).collect();
                let removed: Vec<LogId> = taken.iter().rev().map(|fact| fact.at).collect();
                let head = world.head();
                world.feed(Event::Chain { removed, added: vec![], head });
                // Deals that vanished come back in another block, or not at all.
                for fact in
                    taken.into_iter().filter(|fact| matches!(fact.what, What::Opened(_))).step_by(2)
                {
                    world.says(fact.deal, fact.what);
                }
            }
            Step::Crash => {
                self.sessions.clear();
                self.world.crash();
            }
            Step::Drain => drop(world.feed(Event::Drain)),
        }
    }

    fn connect(&mut self, deal: &Deal, peer: u8) -> u64 {
        let session = self.world.connect(peer);
        self.world.hello(session, deal);
        self.sessions.push((session, struct_hash(deal)));
        session
    }

    /// A deal and its newest session (a new one if it has none); astray, any session.
    fn session(&mut self, at: usize, stray: bool) -> Option<(u64, Deal)> {
        let deal = pick(&self.deals, at)?;
        let id = struct_hash(&deal);
        let fitting = if stray {
            pick(&self.sessions, at / 2)
        } else {
            self.sessions.iter().rev().find(|s| s.1 == id).copied()
        };
        let session = match fitting {
            Some((session, _)) => session,
            None => self.connect(&deal, 0),
        };
        Some((session, deal))
    }

    /// An order in a state, and a session of its deal; astray, any order and any session.
    fn order(
        &mut self,
        at: usize,
        stray: bool,
        wanted: impl Fn(&OrderState) -> bool,
    ) -> Option<(u64, OrderId)> {
        let known = |hash: &&OrderId| {
            self.world.core.order(**hash).is_some_and(|row| stray || wanted(&row.state))
        };
        let fitting: Vec<_> = self.orders.iter().filter(known).copied().collect();
        let hash = pick(&fitting, at)?;
        let id = self.world.core.order(hash)?.order.value.deal;
        let deal = self.deals.iter().position(|deal| struct_hash(deal) == id)?;
        Some((self.session(deal, stray)?.0, hash))
    }

    fn chain_of(&self, id: DealId) -> OnChain {
        let facts: Vec<_> =
            self.world.logs.iter().filter(|fact| fact.deal == id).cloned().collect();
        OnChain::of(&facts)
    }

    /// A transaction ends: mined (and the chain says what follows), refused, or lost.
    fn transaction(&mut self, at: usize, outcome: u8) {
        let intents: Vec<_> = self.open.keys().cloned().collect();
        let Some(intent) = pick(&intents, at) else { return };
        let Some(call) = self.open.remove(&intent) else { return };
        let said = match outcome {
            0 => {
                return drop(
                    self.world.feed(Event::Transacted { intent, outcome: Outcome::Reverted }),
                );
            }
            1 => {
                return drop(
                    self.world.feed(Event::Transacted { intent, outcome: Outcome::Unsent }),
                );
            }
            _ => self.what_follows(&call),
        };
        let Some((deal, said)) = said else {
            return drop(self.world.feed(Event::Transacted { intent, outcome: Outcome::Reverted }));
        };
        for what in said {
            self.world.says(deal, what);
        }
        self.world.feed(Event::Transacted { intent, outcome: Outcome::Mined { fee_wei: 7 } });
    }

    /// The market in a few lines; `None`: it reverts.
    fn what_follows(&self, call: &Call) -> Option<(DealId, Vec<What>)> {
        let (Call::Redeem { deal, .. }
        | Call::Claim { deal, .. }
        | Call::Answer { deal, .. }
        | Call::Excuse { deal, .. }
        | Call::Reveal { deal, .. }
        | Call::Settle { deal, .. }
        | Call::Play { deal, .. }
        | Call::Timeout { deal, .. }
        | Call::Expire { deal }) = call;
        let id = struct_hash(&**deal);
        let chain = self.chain_of(id);
        if !chain.open {
            return None;
        }
        let said = match call {
            Call::Play { .. } | Call::Timeout { .. } => panic!("no deal here names a court"),
            Call::Redeem { voucher, .. } => {
                let paid = chain.paid.max(voucher.value.amount);
                let mut said =
                    vec![What::Redeemed { paid, orders: chain.orders.max(voucher.value.orders) }];
                if voucher.value.close {
                    said.push(What::Closed { paid });
                }
                said
            }
            Call::Claim { order, .. } => {
                let subject = struct_hash(&order.value);
                if chain.claimed.contains(&subject) || order.value.seq < chain.orders {
                    return None;
                }
                let case = CaseId::Claim { order: subject };
                vec![What::CaseOpened {
                    case,
                    seq: order.value.seq,
                    deadline: self.world.now + 600,
                }]
            }
            Call::Answer { order, .. } => {
                vec![What::CaseEnded {
                    case: CaseId::Late { order: struct_hash(&**order) },
                    paid: 0,
                }]
            }
            Call::Excuse { cancel, .. } => {
                vec![What::CaseEnded { case: CaseId::Late { order: cancel.value.order }, paid: 0 }]
            }
            Call::Reveal { receipt, task, .. } => {
                vec![What::CaseEnded {
                    case: CaseId::Demand { receipt: struct_hash(receipt), task: *task },
                    paid: 0,
                }]
            }
            Call::Settle { case, .. } => {
                let state = chain.cases.get(case)?;
                let order = self.world.core.order(case.subject().into());
                let fee = order.and_then(|row| row.state.receipt()).map_or(0, |r| r.fee);
                let pays = case.kind() == CaseKind::Claim && state.seq >= chain.orders;
                vec![What::CaseEnded { case: *case, paid: if pays { fee } else { 0 } }]
            }
            Call::Expire { deal } => {
                assert!(self.world.now >= deal.expiry + GRACE);
                if !chain.cases.is_empty() {
                    return None;
                }
                vec![What::Closed { paid: chain.paid }]
            }
        };
        Some((id, said))
    }

    fn quarrel(&mut self, order: usize, kind: u8) {
        let Some(hash) = pick(&self.orders, order) else { return };
        let Some(row) = self.world.core.order(hash) else { return };
        let (id, seq) = (row.order.value.deal, row.order.value.seq);
        let chain = self.chain_of(id);
        if !chain.open || row.state.ack().is_none() {
            return;
        }
        let opened = match (kind, row.state.receipt()) {
            (0, _) => CaseId::Late { order: hash },
            (1, Some(receipt)) => CaseId::Demand { receipt: struct_hash(receipt), task: 0 },
            _ => CaseId::Hold { game: B256::from(hash).into() },
        };
        if !chain.cases.contains_key(&opened) {
            let deadline = self.world.now + 300;
            self.world.says(id, What::CaseOpened { case: opened, seq, deadline });
        }
    }

    fn check_effect(&self, effect: &Effect) {
        match effect {
            // Nothing is taken on that could put more than the window at risk.
            Effect::Send { message: ToRequester::Ack(ack), .. } => {
                let row = self.world.core.order(ack.value.order).unwrap();
                let deal = &self.world.core.deal(row.order.value.deal).unwrap().deal;
                assert!(ack.value.dueBy >= row.order.value.dueBy && ack.value.dueBy < deal.expiry);
            }
            Effect::Transact { call: Call::Redeem { deal, voucher }, .. } => {
                assert!(voucher.value.amount <= deal.budget);
            }
            Effect::Transact { call: Call::Claim { deal, order, receipt }, .. } => {
                let row = self.world.core.deal(struct_hash(&**deal)).unwrap();
                assert_ne!(row.verdict, Verdict::Differs, "a wrong result is never claimed");
                assert!(
                    row.verdict != Verdict::Pending || self.world.now >= deal.expiry,
                    "found out first"
                );
                let stuck = row
                    .txs
                    .values()
                    .any(|tx| matches!(tx.call, Call::Redeem { .. }) && tx.reverted >= 3);
                assert!(stuck || order.value.seq >= row.watermark());
                assert!(
                    stuck || receipt.fee <= row.earned - row.voucher_amount(),
                    "what is paid is not claimed"
                );
            }
            Effect::Tell(ProviderEvent::Paid { deal, amount, .. }) => {
                assert!(*amount <= self.world.core.deal(*deal).unwrap().deal.budget);
            }
            _ => {}
        }
    }

    fn check_money(&self) {
        for deal in &self.deals {
            let id = struct_hash(deal);
            let Some(row) = self.world.core.deal(id) else { continue };
            let orders: Vec<_> = self
                .world
                .core
                .rows()
                .into_iter()
                .filter_map(|record| match record {
                    rialto_provider::core::Record::Order(_, row) if row.order.value.deal == id => {
                        Some(*row)
                    }
                    _ => None,
                })
                .collect();
            let fees: u128 =
                orders.iter().filter_map(|order| order.state.receipt()).map(|r| r.fee).sum();
            // Cancelled work that was only done to answer a late notice is not billed.
            assert!(row.earned <= fees);
            let called_late = self
                .world
                .logs
                .iter()
                .any(|fact| fact.deal == id && matches!(fact.what, What::CaseOpened { .. }));
            let settled: u128 = orders
                .iter()
                .filter(|order| order.order.value.seq < row.watermark())
                .filter_map(|order| order.state.receipt())
                .map(|receipt| receipt.fee)
                .sum();
            let underpaid = settled > row.voucher_amount() && !called_late
                || row.closing() && row.voucher_amount() < row.earned;
            assert!(
                !underpaid || row.verdict == Verdict::Differs && row.closing(),
                "settled for less than it costs"
            );
            let unfinished = orders.iter().filter(|order| {
                matches!(order.state, OrderState::Fetching { .. } | OrderState::Accepted { .. })
            });
            // Late notices bring cancelled work back: that is not lending, it is defence.
            let reserved: u128 =
                unfinished.map(|order| u128::from(order.order.value.tasks) * TASK_FEE).sum();
            let exposed =
                row.earned.saturating_sub(row.voucher_amount().max(OnChain::of(&row.facts).paid))
                    + reserved;
            let reorged = row.reorgs > 0;
            assert!(
                exposed <= self.world.config.money.credit_window || called_late || reorged,
                "{exposed} at risk"
            );
            assert!(row.earned + reserved <= deal.budget || called_late);
        }
    }

    /// From here on everything works: the chain mines, time passes. All that is owed by voucher
    /// must become money before the deal expires, and every deal must end.
    fn heal(&mut self) {
        let last = self.deals.iter().map(|deal| deal.expiry).max().unwrap_or(0);
        let owed: Vec<_> = self
            .deals
            .iter()
            .map(|deal| {
                let row = self.world.core.deal(struct_hash(deal));
                row.filter(|_| self.world.now + 700 < deal.expiry).map(|row| row.voucher_amount())
            })
            .collect();
        let mut checked = vec![false; self.deals.len()];
        while self.world.now < last + GRACE + 3_000 {
            self.step(Step::Wait(100));
            for _ in 0..self.open.len() {
                self.step(Step::Transaction { at: 0, outcome: 9 });
            }
            for (at, deal) in self.deals.iter().enumerate() {
                if !checked[at] && self.world.now >= deal.expiry {
                    checked[at] = true;
                    let chain = self.chain_of(struct_hash(deal));
                    if let (Some(owed), true) = (owed[at], chain.open || chain.closed) {
                        assert!(
                            chain.paid + self.world.config.money.tx_worth >= owed,
                            "redeemed before expiry"
                        );
                    }
                }
            }
        }
        for deal in &self.deals {
            let chain = self.chain_of(struct_hash(deal));
            let stuck = chain.cases.keys().any(|case| case.kind() == CaseKind::Demand);
            assert!(
                !chain.open || stuck,
                "every deal ends: {chain:?} {:?}",
                self.world.core.deal(struct_hash(deal))
            );
        }
    }
}

/// What happened, over all lives: a test of lives in which nothing happens would test nothing.
fn names(effects: &[Effect]) -> Vec<String> {
    let name = |effect: &Effect| match effect {
        Effect::Tell(event) => {
            format!("{event:?}").split([' ', '{']).next().unwrap_or_default().to_string()
        }
        Effect::Transact { intent, .. } => intent.split('-').next().unwrap_or_default().to_string(),
        Effect::Send { message: ToRequester::Refuse { code, .. }, .. } => code.clone(),
        _ => String::new(),
    };
    effects.iter().map(name).collect()
}

#[test]
fn survives_any_life() {
    let config = ProptestConfig {
        cases: 20,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..Default::default()
    };
    let seen = RefCell::new(BTreeSet::new());
    let lives = proptest::collection::vec(step(), 1..250);
    let lived = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        .run(&lives, |steps| {
            let mut life = Life::new();
            for step in steps {
                life.step(step);
            }
            life.heal();
            seen.borrow_mut().append(&mut life.seen);
            Ok(())
        });
    if let Err(error) = lived {
        panic!("{error}");
    }
    let seen = seen.into_inner();
    for name in [
        "TasksDone",
        "Paid",
        "Rejected",
        "Redeemed",
        "DealClosed",
        "redeem",
        "claim",
        "answer",
        "reveal",
        "settle",
        "expire",
        "P-ADM-001",
        "P-ADM-003",
        "P-ADM-005",
        "P-ADM-010",
        "P-ADM-016",
        "P-PAY-003",
        "P-PAY-005",
        "P-RUN-001",
    ] {
        assert!(seen.contains(name), "{name} never happened: {seen:?}");
    }
}
