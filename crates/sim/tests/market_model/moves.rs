//! Random moves: mostly sensible calls, some of them spoilt, often at boundary times.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::Eip712Domain;
use proptest::prelude::*;
use rialto_protocol::case::CaseId;
use rialto_protocol::eip712::Typed;
use rialto_protocol::{
    DealId, GameId, OrderId,
    model::{
        Call, CaseStatus, DealStatus, MAX_REVEAL_BYTES, Market, OPENING_TOLERANCE, Params, Reveal,
        Terms,
    },
    pricing,
    receipt::{Halted, Status, SumTree, output_hash},
    types::{
        Ack, Ask, Cancel, Deal, Limits, Order, Receipt, Release, Voucher, WASM_3, digest,
        struct_hash,
    },
};

/// Random numbers for one move, which depends on the state of the market.
#[derive(Clone, Debug)]
pub struct Choice {
    op: u8,
    pick: u16,
    value: u16,
    time: u8,
    spoil: u8,
}

pub fn choices(steps: usize) -> impl Strategy<Value = Vec<Choice>> {
    let one = (any::<u8>(), any::<u16>(), any::<u16>(), any::<u8>(), any::<u8>())
        .prop_map(|(op, pick, value, time, spoil)| Choice { op, pick, value, time, spoil });
    proptest::collection::vec(one, steps)
}

/// Two requesters, two providers, a court, and a stranger.
pub const ACTORS: usize = 6;
pub const REQUESTERS: [usize; 2] = [0, 1];
pub const PROVIDERS: [usize; 2] = [2, 3];
const COURT: usize = 4;
pub const STRANGER: usize = 5;
/// One move in this many is spoilt.
const SPOIL_ONE_IN: u8 = 4;

/// A task's end, its fuel and its whole output.
type Task = (Halted, u64, Bytes);

/// Everything that the two sides have signed so far.
pub struct Table {
    pub keys: Vec<PrivateKeySigner>,
    /// The keys that each actor pins in its deals.
    pub pinned: Vec<PrivateKeySigner>,
    pub domain: Eip712Domain,
    pub params: Params,
    pub asks: Vec<Ask>,
    pub deals: Vec<Deal>,
    pub orders: Vec<Order>,
    pub receipts: Vec<(Receipt, Vec<Task>)>,
    pub acks: Vec<Ack>,
    /// Allowances, as owner and spender.
    allowed: Vec<(usize, usize)>,
    /// Every case that was ever tried: deal, kind, subject, task.
    pub cases: Vec<(usize, CaseId)>,
    serial: u64,
}

impl Table {
    pub fn new(keys: Vec<PrivateKeySigner>, domain: Eip712Domain, params: Params) -> Self {
        let pinned = (0..keys.len() as u8)
            .map(|n| PrivateKeySigner::from_bytes(&keccak256([n, 1])).unwrap())
            .collect();
        Self {
            keys,
            pinned,
            domain,
            params,
            asks: Vec::new(),
            deals: Vec::new(),
            orders: Vec::new(),
            receipts: Vec::new(),
            acks: Vec::new(),
            allowed: Vec::new(),
            cases: Vec::new(),
            serial: 0,
        }
    }

    pub fn address(&self, actor: usize) -> Address {
        self.keys[actor].address()
    }

    pub fn sign<T: Typed>(&self, value: &T, signer: Address) -> Bytes {
        let mut keys = self.keys.iter().chain(&self.pinned);
        let key = keys.find(|key| key.address() == signer).unwrap_or(&self.keys[0]);
        key.sign_hash_sync(&digest(value, &self.domain)).unwrap().as_bytes().to_vec().into()
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Returns the time of the move: at once, a little later, or around an important moment.
    pub fn time(&self, now: u64, choice: &Choice, market: &Market) -> u64 {
        let step = match choice.time {
            0..170 => return now,
            170..230 => u64::from(choice.time - 169) / 4,
            _ => 0,
        };
        if step > 0 {
            return now + step;
        }
        let mut moments = Vec::new();
        for deal in &self.deals {
            let end = deal.expiry + self.params.grace;
            moments.extend([deal.expiry, end, end + self.params.challenge_window]);
        }
        moments.extend(self.asks.iter().flat_map(|ask| [ask.from, ask.to]));
        moments.extend(self.acks.iter().map(|ack| ack.dueBy));
        for (deal, case) in &self.cases {
            moments.push(market.case(struct_hash(&self.deals[*deal]), *case).deadline);
        }
        moments.retain(|moment| *moment > now && *moment < now + 5_000);
        moments.sort_unstable();
        moments.dedup();
        // Near moments are more likely, so that a run does not end everything at once.
        match moments.get(usize::from(choice.pick) % moments.len().clamp(1, 3)) {
            Some(moment) => (moment + u64::from(choice.time % 3)).saturating_sub(1).max(now),
            None => now + 1,
        }
    }

    /// Returns the next call and its sender.
    pub fn call(&mut self, now: u64, choice: &Choice, market: &Market) -> (usize, Call) {
        let (sender, call) = self.sensible(now, choice, market);
        if !choice.spoil.is_multiple_of(SPOIL_ONE_IN) {
            return (sender, call);
        }
        self.spoilt(sender, call, choice)
    }

    fn sensible(&mut self, now: u64, choice: &Choice, market: &Market) -> (usize, Call) {
        let Choice { op, pick, value, .. } = *choice;
        let (pick, small) = (usize::from(pick), u128::from(value));
        if self.asks.is_empty() {
            return self.open(now, pick, value, true);
        }
        match op {
            0..8 => (
                pick % ACTORS,
                Call::Deposit {
                    account: self.address(usize::from(value) % ACTORS),
                    amount: small % 4_000,
                },
            ),
            8..16 => (
                pick % ACTORS,
                Call::Withdraw {
                    to: self.address(usize::from(value) % ACTORS),
                    amount: small % 3_000,
                },
            ),
            16..18 => (
                pick % ACTORS,
                Call::Announce { endpoint: vec![7; usize::from(value) % 1200].into() },
            ),
            18..24 => self.between_accounts(pick, value),
            24..26 => (PROVIDERS[pick % 2], Call::CancelAsks { counter: u64::from(value % 3) }),
            26..60 => self.open(now, pick, value, op % 3 == 0),
            _ if self.deals.is_empty() => self.open(now, pick, value, false),
            _ => {
                let open = |at: &usize| {
                    market.deal_state(struct_hash(&self.deals[*at])).status == DealStatus::Open
                };
                let all = 0..self.deals.len();
                // Mostly an open deal, sometimes a closed one.
                let likely: Vec<_> =
                    if pick % 10 == 0 { all.collect() } else { all.filter(open).collect() };
                match likely.iter().rev().nth((pick / 7) % likely.len().clamp(1, 3)) {
                    Some(at) => self.in_deal(now, choice, *at, market),
                    None => self.open(now, pick, value, false),
                }
            }
        }
    }

    fn in_deal(&mut self, now: u64, choice: &Choice, at: usize, market: &Market) -> (usize, Call) {
        let Choice { op, pick, value, .. } = *choice;
        let pick = usize::from(pick);
        let deal = self.deals[at].clone();
        let id = struct_hash(&deal);
        let state = market.deal_state(id);
        let by = |address: Address, table: &Self| {
            table.keys.iter().position(|k| k.address() == address).unwrap_or(0)
        };
        let (requester, provider) = (by(deal.requester, self), by(deal.provider, self));
        match op {
            60..100 => {
                let amount = (state.paid + u128::from(value) * 3).min(deal.budget + 5);
                let orders = state.orders + u64::from(pick % 5 == 0);
                let voucher = Voucher { deal: id, amount, orders, close: pick % 9 == 0 };
                let signature = self.sign(&voucher, deal.requesterKey);
                (provider, Call::Redeem { deal, voucher, signature })
            }
            100..108 => {
                let release = Release { deal: id, amount: u128::from(value) * 9 };
                let signature = self.sign(&release, deal.providerKey);
                (requester, Call::Close { deal, release, signature })
            }
            108..140 => {
                let order = self.order(now, at, pick, value);
                let receipt = self.receipt(&deal, &order, value);
                self.cases.push((at, CaseId::Claim { order: struct_hash(&order) }));
                let signature = self.sign(&order, deal.requesterKey);
                (provider, Call::Claim { deal, order, signature, receipt })
            }
            140..165 => {
                let order = self.order(now, at, pick, value);
                let ack =
                    Ack { order: struct_hash(&order), dueBy: now + u64::from(value % 4 == 0) * 20 };
                self.acks.push(ack.clone());
                self.cases.push((at, CaseId::Late { order: ack.order }));
                let signature = self.sign(&ack, deal.providerKey);
                (requester, Call::Late { deal, order, ack, signature })
            }
            165..185 => {
                let order = self.order(now, at, pick, value);
                let receipt = self.receipt(&deal, &order, value);
                let task = u32::from(value) % order.tasks.max(1);
                self.cases.push((at, CaseId::Demand { receipt: struct_hash(&receipt), task }));
                let signature = self.sign(&receipt, deal.providerKey);
                (requester, Call::Demand { deal, order, receipt, signature, task })
            }
            185..199 => self.answer(provider, deal, at, pick, value),
            205..231 => {
                let Some((at, case)) =
                    self.cases.iter().rev().nth(pick % self.cases.len().clamp(1, 4)).copied()
                else {
                    return (pick % ACTORS, Call::Expire { deal });
                };
                (pick % ACTORS, Call::Settle { deal: self.deals[at].clone(), case })
            }
            231..235 => (pick % ACTORS, Call::Expire { deal }),
            235..236 => {
                let order = self.order(now, at, pick, value);
                let cancel = Cancel { order: struct_hash(&order) };
                let signature = self.sign(&cancel, deal.requesterKey);
                (pick % ACTORS, Call::Excuse { deal, cancel, signature })
            }
            236..248 => {
                let game = GameId::with_last_byte((pick % 3) as u8);
                self.cases.push((at, CaseId::Hold { game }));
                (COURT, Call::Hold { deal, game, until: now + u64::from(value % 190) })
            }
            199..205 | 248..254 => {
                let held = self.cases.iter().rev().find_map(|(at, case)| {
                    let CaseId::Hold { game } = *case else { return None };
                    let status = market.case(struct_hash(&self.deals[*at]), *case).status;
                    (status == CaseStatus::Open).then_some((*at, game))
                });
                let (at, game) = held.unwrap_or((at, GameId::ZERO));
                (COURT, Call::Lift { deal: self.deals[at].clone(), game })
            }
            _ => (COURT, Call::Slash { convictor: self.address(pick % ACTORS), deal }),
        }
    }

    /// Answers a late notice or demand, if there is one.
    fn answer(
        &mut self,
        provider: usize,
        deal: Deal,
        at: usize,
        pick: usize,
        value: u16,
    ) -> (usize, Call) {
        let open: Vec<_> = self.cases.iter().rev().filter(|case| case.0 == at).copied().collect();
        for (_, case) in open {
            match case {
                CaseId::Late { order: subject } => {
                    if let Some(order) =
                        self.orders.iter().find(|order| struct_hash(*order) == subject).cloned()
                    {
                        if value.is_multiple_of(4) {
                            let cancel = Cancel { order: subject };
                            let signature = self.sign(&cancel, deal.requesterKey);
                            return (pick % ACTORS, Call::Excuse { deal, cancel, signature });
                        }
                        let receipt = self.receipt(&deal, &order, value);
                        let (sender, signature) = if value.is_multiple_of(3) {
                            (provider, Bytes::new())
                        } else {
                            (pick % ACTORS, self.sign(&receipt, deal.providerKey))
                        };
                        return (sender, Call::Answer { deal, order, receipt, signature });
                    }
                }
                CaseId::Demand { receipt: subject, task } => {
                    let found = self
                        .receipts
                        .iter()
                        .find(|(receipt, _)| struct_hash(receipt) == subject)
                        .cloned();
                    if let Some((receipt, tasks)) = found {
                        let order = self
                            .orders
                            .iter()
                            .find(|order| struct_hash(*order) == receipt.order)
                            .cloned();
                        if let Some(order) = order {
                            let sender =
                                if value.is_multiple_of(3) { pick % ACTORS } else { provider };
                            return (
                                sender,
                                Call::Reveal { deal, order, receipt, reveal: reveal(&tasks, task) },
                            );
                        }
                    }
                }
                CaseId::Claim { .. } | CaseId::Hold { .. } => {}
            }
        }
        (pick % ACTORS, Call::Expire { deal })
    }

    fn open(&mut self, now: u64, pick: usize, value: u16, fresh: bool) -> (usize, Call) {
        let stale = self.asks.last().is_none_or(|ask| now >= ask.to);
        if fresh || (stale && !pick.is_multiple_of(8)) {
            let provider = self.address(PROVIDERS[pick % 2]);
            let key = self.pinned_key(PROVIDERS[pick % 2], value);
            let salt = self.serial();
            self.asks.push(Ask {
                provider,
                key,
                endpoint: B256::with_last_byte(1),
                priceStart: u128::from(value) * 1_000,
                priceEnd: u128::from(value / 2) * 1_000,
                from: now - u64::from(value % 5),
                to: now + 50 + u64::from(value % 400),
                taskFee: u128::from(value % 7),
                minBudget: 10,
                maxBudget: 3_000,
                collateralBps: u32::from(value % 5) * 5_000,
                latePenaltyBps: u32::from(value % 11) * 1_000,
                maxSeconds: 300,
                capacity: 1 + u32::from(value % 3),
                cores: 1,
                fuelPerSecond: 1,
                runtime: WASM_3,
                court: if value.is_multiple_of(4) { Address::ZERO } else { self.address(COURT) },
                salt,
                limits: Limits { tasks: 5, credit: value.into(), ..Limits::default() },
                ..Ask::default()
            });
        }
        let ask = self.asks[self.asks.len() - 1 - (pick / 3) % self.asks.len().min(2)].clone();
        let signature = self.sign(&ask, ask.provider);
        // Mostly now; sometimes the earliest allowed time, a second before it, or the future.
        let opened_at = match value % 16 {
            0 => now + 1,
            1 => now - OPENING_TOLERANCE,
            2 => now - OPENING_TOLERANCE - 1,
            3 => now - u64::from(value % 40),
            _ => now,
        };
        let terms = Terms {
            key: self.pinned_key(REQUESTERS[pick % 2], value / 3),
            opened_at,
            budget: 10 + u128::from(value) % 1_500,
            duration: 1 + u32::from(value % 300),
            max_price: ask.priceStart,
            salt: self.serial(),
        };
        (REQUESTERS[pick % 2], Call::Open { ask, signature, terms })
    }

    /// Returns an actor's key: mostly its own, sometimes the account's, or none.
    fn pinned_key(&self, actor: usize, value: u16) -> Address {
        match value % 32 {
            0 => Address::ZERO,
            1..4 => self.address(actor),
            _ => self.pinned[actor].address(),
        }
    }

    /// Returns a call about an allowance, or one that moves money between accounts.
    fn between_accounts(&mut self, pick: usize, value: u16) -> (usize, Call) {
        let (from, to) = (pick % ACTORS, (pick / 7) % ACTORS);
        let amount = u128::from(value) % 900;
        match value % 3 {
            0 => {
                let amount = if value.is_multiple_of(9) { u128::MAX } else { amount };
                self.allowed.push((from, to));
                (from, Call::Allow { spender: self.address(to), amount })
            }
            1 => {
                let (owner, spender) = self.allowed.last().copied().unwrap_or((from, to));
                (spender, Call::Take { owner: self.address(owner), amount: amount / 4 })
            }
            _ => (from, Call::Give { to: self.address(to), amount }),
        }
    }

    /// Returns a known order of the deal, or a new one.
    fn order(&mut self, now: u64, at: usize, pick: usize, value: u16) -> Order {
        let deal = struct_hash(&self.deals[at]);
        let known: Vec<_> = self.orders.iter().filter(|order| order.deal == deal).collect();
        if !pick.is_multiple_of(3) && !known.is_empty() {
            return known[pick % known.len()].clone();
        }
        let order = Order {
            deal,
            seq: known.len() as u64,
            program: B256::ZERO,
            inputs: B256::ZERO,
            tasks: 1 + u32::from(value % 5),
            fuelLimit: 1_000_000_000,
            outLimit: 1 << 20,
            maxPages: 16,
            seed: u64::from(value),
            dueBy: now + 60,
        };
        self.orders.push(order.clone());
        order
    }

    /// Returns a known receipt of the order, or a new one.
    fn receipt(&mut self, deal: &Deal, order: &Order, value: u16) -> Receipt {
        let hash = struct_hash(order);
        if !value.is_multiple_of(8)
            && let Some((receipt, _)) =
                self.receipts.iter().find(|(receipt, _)| receipt.order == hash)
        {
            return receipt.clone();
        }
        let tasks: Vec<Task> = (0..order.tasks)
            .map(|task| {
                let length = if value.is_multiple_of(6) {
                    MAX_REVEAL_BYTES as usize + 1
                } else {
                    usize::from(value % 100)
                };
                let output = Bytes::from(
                    keccak256(task.to_be_bytes()).0.repeat(length.div_ceil(32))[..length].to_vec(),
                );
                let halted = Halted {
                    status: if value.is_multiple_of(5) { Status::Trap } else { Status::Finished },
                    exit_code: u32::from(value % 2),
                    out_hash: output_hash(&output),
                    out_len: length as u64,
                    fuel_left: i64::from(value) * 15_000 - 3_000_000,
                    digest: 0,
                };
                (halted, halted.fuel_used(order.fuelLimit), output)
            })
            .collect();
        let root =
            SumTree::new(tasks.iter().map(|(halted, fuel, _)| (halted.hash(), *fuel))).root();
        let receipt = Receipt {
            order: hash,
            root: root.hash,
            fuel: root.fuel,
            fee: pricing::order_fee(deal, root.fuel, order.tasks).unwrap(),
        };
        self.receipts.push((receipt.clone(), tasks));
        receipt
    }

    /// Returns the call with one invalid change.
    fn spoilt(&mut self, sender: usize, mut call: Call, choice: &Choice) -> (usize, Call) {
        let how = choice.spoil / SPOIL_ONE_IN;
        if how.is_multiple_of(4) {
            return (usize::from(choice.value) % ACTORS, call);
        }
        let wrong = |signature: &mut Bytes| {
            let mut bytes = signature.to_vec();
            bytes.resize(65, 0);
            match how % 5 {
                0 => bytes[64] = bytes[64].wrapping_sub(27),
                1 => bytes.truncate(64),
                2 => bytes[3] ^= 1,
                3 => {
                    bytes =
                        self.keys[COURT].sign_hash_sync(&B256::ZERO).unwrap().as_bytes().to_vec()
                }
                _ => bytes.clear(),
            }
            *signature = bytes.into();
        };
        let n = how / 4;
        match &mut call {
            Call::Open { ask, signature, terms } => match n % 11 {
                0 => wrong(signature),
                1 => terms.budget = ask.minBudget - 1,
                2 => terms.budget = ask.maxBudget + 1,
                3 => terms.duration = ask.maxSeconds + 1,
                4 => terms.duration = 0,
                5 => {
                    terms.max_price = terms.max_price.saturating_sub(u128::from(choice.value) * 600)
                }
                6 => ask.priceStart += 1,
                7 => terms.opened_at += 1,
                8 => terms.opened_at -= OPENING_TOLERANCE + 1,
                9 => terms.key = Address::ZERO,
                _ => {
                    ask.latePenaltyBps = 10_001;
                    *signature = self.sign(ask, ask.provider);
                }
            },
            Call::Redeem { deal, voucher, signature } => match n % 4 {
                0 => wrong(signature),
                1 => voucher.amount += 1,
                2 => deal.price += 1,
                _ => voucher.deal = DealId::ZERO,
            },
            Call::Close { deal, release, signature } => match n % 3 {
                0 => wrong(signature),
                1 => deal.budget += 1,
                _ => release.deal = DealId::ZERO,
            },
            Call::Claim { order, signature, receipt, .. } => match n % 6 {
                0 => wrong(signature),
                1 => receipt.fee += 1,
                2 => receipt.fuel = u128::MAX,
                3 => receipt.order = OrderId::ZERO,
                4 => order.tasks = if choice.value.is_multiple_of(2) { 0 } else { 65_537 },
                _ => order.deal = DealId::ZERO,
            },
            Call::Late { ack, signature, .. } => match n % 3 {
                0 => wrong(signature),
                1 => ack.order = OrderId::ZERO,
                _ => ack.dueBy += 1,
            },
            Call::Answer { receipt, signature, .. } => match n % 3 {
                0 => receipt.fee += 1,
                1 => wrong(signature),
                _ => receipt.root = B256::ZERO,
            },
            Call::Excuse { cancel, signature, .. } => match n % 2 {
                0 => cancel.order = OrderId::ZERO,
                _ => wrong(signature),
            },
            Call::Allow { amount, .. } | Call::Take { amount, .. } | Call::Give { amount, .. } => {
                *amount = 1 << 100
            }
            Call::Demand { order, signature, task, receipt, .. } => match n % 4 {
                0 => wrong(signature),
                1 => *task = order.tasks,
                2 => receipt.order = OrderId::ZERO,
                _ => receipt.fuel += 1,
            },
            Call::Reveal { reveal, receipt, order, .. } => match n % 6 {
                0 => reveal.fuel += 1,
                1 => reveal.halted.exit_code += 1,
                2 => reveal.output = [&reveal.output[..], &[0]].concat().into(),
                3 => receipt.root = B256::ZERO,
                4 => reveal.task += 1,
                _ => order.seed += 1,
            },
            Call::Settle { case, .. } => match case {
                CaseId::Demand { task, .. } if n.is_multiple_of(2) => *task += 1,
                _ => *case = CaseId::new(case.kind(), B256::ZERO, case.task()),
            },
            Call::Hold { until, .. } => *until += 31 * 86_400,
            Call::Withdraw { amount, .. } | Call::Deposit { amount, .. } => *amount = 1 << 100,
            Call::Expire { deal } | Call::Slash { deal, .. } | Call::Lift { deal, .. } => {
                deal.salt += 1 << 32
            }
            Call::Announce { .. } | Call::CancelAsks { .. } => {}
        }
        (sender, call)
    }
}

fn reveal(tasks: &[Task], task: u32) -> Reveal {
    let (halted, fuel, output) = tasks[task as usize % tasks.len()].clone();
    let tree = SumTree::new(tasks.iter().map(|(halted, fuel, _)| (halted.hash(), *fuel)));
    let output = if halted.out_len > MAX_REVEAL_BYTES { Bytes::new() } else { output };
    Reveal { task, fuel, halted, proof: tree.proof(task).unwrap_or_default(), output }
}

/// Number of times that each call succeeded and each error occurred.
#[derive(Default)]
pub struct Coverage(pub BTreeMap<String, u32>);

impl Coverage {
    pub fn count(&mut self, call: &Call, outcome: &Result<(), String>) {
        let call = format!("{call:?}");
        let name = call.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
        let key = match outcome {
            Ok(()) => name,
            Err(error) => error.clone(),
        };
        *self.0.entry(key).or_default() += 1;
    }
}
