//! The court's bytecode with its judge of steps, compared with the model and the machine, call by
//! call. A real program is disputed down to the step; receipts are wrong about tasks, fuel, sums
//! and padding; both sides make mistakes; clocks run out to the second.
//!
//! `RIALTO_MODEL_CASES` is the number of histories, instead of [`HISTORIES`].

mod compare;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_signer::SignerSync;
use rialto_chain::bindings::{ICourt, IMarket};
use rialto_machine::start_parts;
use rialto_protocol::case::CaseId;
use rialto_protocol::{
    court::{Answer, Challenge, GameNews, GameStory, PARTS, Question, Segment, Verdict},
    fault::FaultProof,
    model::{
        BURNED, Call, DealStatus, Market, Terms,
        court::{Court, CourtCall, CourtError},
    },
    pricing,
    receipt::{SumNode, inputs_proof},
    types::{
        Ask, Deal, Game, Limits, Move, Order, Receipt, Voucher, WASM_3, digest, domain, struct_hash,
    },
};
use rialto_sim::random::Random;

use super::{
    Pair,
    moves::{ACTORS, PROVIDERS, REQUESTERS, STRANGER},
    work::{FUEL, Side, Signed, Work},
};

/// Histories by default, and calls of each.
const HISTORIES: u64 = 8;
const CALLS: usize = 150;
/// Numbers of tasks of the orders, for trees of every shape and one that takes two answers to
/// unfold.
pub(super) const TASKS: [u32; 5] = [1, 2, 3, 5, 17];
struct Played {
    story: GameStory,
    signed: usize,
    accuser: usize,
    /// Step from which on accuser and provider lie; `u64::MAX` is never.
    lies: [u64; 2],
}

enum Act {
    Market(Call),
    Court(CourtCall),
}

/// The contract and the model of a court.
struct Courts {
    pair: Pair,
    court: Court,
    work: Work,
    random: Random,
    deals: Vec<Deal>,
    signed: Vec<Signed>,
    games: Vec<Played>,
    seen: BTreeMap<String, u32>,
}

impl Courts {
    fn new(seed: u64) -> Self {
        let pair = Pair::new();
        let domain = domain(pair.real.chain_id(), pair.real.court);
        let court = Court::new(pair.real.court, super::RULES, domain);
        let (deals, signed, games, seen) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        let mut this = Self {
            pair,
            court,
            work: Work::new(),
            random: Random::new(seed),
            deals,
            signed,
            games,
            seen,
        };
        for actor in 0..ACTORS {
            if actor != 4 {
                this.do_market(
                    actor,
                    Call::Allow { spender: this.court.address(), amount: u128::MAX },
                );
            }
        }
        for (at, tasks) in TASKS.into_iter().enumerate() {
            let deal = this.open(at);
            for seq in 0..2 {
                let order = this.work.order(&deal, seq, tasks);
                this.sign(&deal, order);
            }
            this.deals.push(deal);
        }
        this
    }

    fn now(&self) -> u64 {
        self.pair.real.now()
    }

    fn do_market(&mut self, sender: usize, call: Call) {
        let now = self.now() + 1;
        self.pair.step(now, sender, &call).unwrap().unwrap();
    }

    fn open(&mut self, salt: usize) -> Deal {
        let table = &self.pair.table;
        let (provider, requester) = (PROVIDERS[salt % 2], REQUESTERS[salt % 2]);
        let now = self.now();
        let ask = Ask {
            provider: table.address(provider),
            key: table.pinned[provider].address(),
            priceStart: 1_000_000,
            priceEnd: 1_000_000,
            from: now,
            to: now + 1_000,
            taskFee: 1,
            maxBudget: 2_000,
            collateralBps: 10_000,
            maxSeconds: 400,
            capacity: 9,
            runtime: WASM_3,
            court: self.court.address(),
            salt: salt as u64,
            limits: Limits::default(),
            ..Ask::default()
        };
        let terms = Terms {
            key: table.pinned[requester].address(),
            budget: 1_001,
            opened_at: now,
            duration: 400,
            max_price: 1_000_000,
            salt: 0,
        };
        let signature = table.sign(&ask, ask.provider);
        let deal = Market::deal_terms(table.address(requester), &ask, &terms).unwrap();
        self.do_market(requester, Call::Open { ask, signature, terms });
        deal
    }

    /// Signs a receipt of the order, either right or wrong in one of the possible ways.
    fn sign(&mut self, deal: &Deal, order: Order) {
        let tasks = order.tasks as usize;
        let mut ends: Vec<_> = self.work.ends[..tasks]
            .iter()
            .map(|end| SumNode { hash: end.hash(), fuel: end.fuel_used(FUEL).into() })
            .collect();
        ends.resize(tasks.next_power_of_two(), SumNode::EMPTY);
        let at = self.random.index(tasks);
        let mut more = 0;
        match self.random.within(0..=11) {
            0 | 1 => {}
            2 => ends[at].fuel += 5,
            3 => more = 1,
            4 => *ends.last_mut().unwrap() = SumNode { hash: B256::repeat_byte(9), fuel: 3 },
            5 => ends[at].fuel = u128::from(FUEL) + 1,
            _ => ends[at].hash = keccak256(ends[at].hash),
        }
        let mut signed = Signed { receipt: Receipt::default(), order, ends };
        let height = signed.ends.len().ilog2();
        let root = signed.level(height)[0];
        let fuel = root.fuel + more;
        let fee = pricing::order_fee(deal, fuel, signed.order.tasks).unwrap();
        signed.receipt = Receipt { order: struct_hash(&signed.order), root: root.hash, fuel, fee };
        self.signed.push(signed);
    }

    fn deal_of(&self, signed: usize) -> Deal {
        let id = self.signed[signed].order.deal;
        self.deals.iter().find(|deal| struct_hash(*deal) == id).unwrap().clone()
    }

    fn actor(&self, owner: Address) -> usize {
        (0..ACTORS).find(|actor| self.pair.table.address(*actor) == owner).unwrap()
    }

    /// Returns the time of the next call: mostly the next second, else around the end of a turn.
    fn time(&mut self) -> u64 {
        let now = self.now() + 1;
        let mut moments: Vec<u64> = self
            .games
            .iter()
            .filter(|game| game.story.end.is_none())
            .map(|game| game.story.view.deadline)
            .collect();
        moments.retain(|moment| *moment > now);
        match moments.is_empty() || self.random.percent(93) {
            true => now,
            false => (self.random.pick(&moments) + self.random.within(0..=2) - 1).max(now),
        }
    }

    fn next(&mut self) -> (usize, Act) {
        let running: Vec<usize> =
            (0..self.games.len()).filter(|at| self.games[*at].story.end.is_none()).collect();
        match self.random.within(0..=99) {
            0..=7 => self.accuse(),
            8..=9 => self.convict(),
            10..=12 => self.in_market(),
            13 => {
                let (to, until) =
                    (self.pair.table.address(STRANGER), self.now() + self.random.within(0..=30));
                (self.random.index(ACTORS), Act::Court(CourtCall::Delegate { to, until }))
            }
            _ if running.is_empty() => self.accuse(),
            14..=19 => {
                let game = self.random.pick(&running);
                self.timeout(game)
            }
            // Mostly the first game, so that games end.
            dice => {
                let game = if dice < 85 { running[0] } else { self.random.pick(&running) };
                self.play(game)
            }
        }
    }

    /// Returns a receipt, mostly of an open deal.
    fn some_receipt(&mut self) -> usize {
        let open = |signed: &Signed| {
            self.pair.model.deal_state(signed.order.deal).status == DealStatus::Open
        };
        let open: Vec<usize> =
            (0..self.signed.len()).filter(|at| open(&self.signed[*at])).collect();
        if open.is_empty() || self.random.percent(10) {
            return self.random.index(self.signed.len());
        }
        self.random.pick(&open)
    }

    fn accuse(&mut self) -> (usize, Act) {
        let at = self.some_receipt();
        let deal = self.deal_of(at);
        let (order, receipt) = (self.signed[at].order.clone(), self.signed[at].receipt.clone());
        let mut signature = self.pair.table.sign(&receipt, deal.providerKey);
        if self.random.percent(15) {
            signature = Bytes::new();
        }
        let accuser = self.random.pick(&[REQUESTERS[0], REQUESTERS[1], STRANGER, PROVIDERS[0]]);
        (accuser, Act::Court(CourtCall::Accuse { deal, order, receipt, signature }))
    }

    fn convict(&mut self) -> (usize, Act) {
        let at = self.random.index(self.signed.len());
        let (deal, signed) = (self.deal_of(at), &self.signed[at]);
        let (order, receipt) = (signed.order.clone(), signed.receipt.clone());
        let signature = self.pair.table.sign(&receipt, deal.providerKey);
        let results = &self.work.ends[..order.tasks as usize];
        let root = SumNode { hash: receipt.root, fuel: receipt.fuel };
        let found = FaultProof::find(root, results, FUEL);
        let task = self.random.index(results.len()) as u32;
        let tree = self.work.tree(order.tasks);
        let proof = found.unwrap_or_else(|| match task % 2 {
            0 => {
                let end = &results[task as usize];
                let proof = tree.proof(task).unwrap();
                FaultProof::Fuel { task, fuel: end.fuel_used(FUEL), halted: *end, proof }
            }
            _ => {
                let level = tree.height() - 1;
                let children = tree.children(level, 0).unwrap_or([SumNode::EMPTY; 2]);
                FaultProof::Sum {
                    node: tree.root(),
                    children,
                    place: task / 8,
                    siblings: Vec::new(),
                }
            }
        });
        (STRANGER, Act::Court(CourtCall::Convict { deal, order, receipt, signature, proof }))
    }

    /// Returns a call of the market that moves money or holds besides the games.
    fn in_market(&mut self) -> (usize, Act) {
        let at = self.random.index(self.signed.len());
        let deal = self.deal_of(at);
        let (requester, provider) = (self.actor(deal.requester), self.actor(deal.provider));
        let call = match self.random.within(0..=7) {
            0 | 1 => {
                let (order, receipt) =
                    (self.signed[at].order.clone(), self.signed[at].receipt.clone());
                let signature = self.pair.table.sign(&order, deal.requesterKey);
                Call::Claim { deal, order, signature, receipt }
            }
            2 => {
                let voucher = Voucher {
                    deal: struct_hash(&deal),
                    amount: 10,
                    orders: 0,
                    close: self.random.percent(30),
                };
                let signature = self.pair.table.sign(&voucher, deal.requesterKey);
                Call::Redeem { deal, voucher, signature }
            }
            3 if !self.games.is_empty() => {
                let game = self.random.index(self.games.len());
                let (game, deal) = (
                    struct_hash(&self.games[game].story.view.game),
                    self.deal_of(self.games[game].signed),
                );
                Call::Settle { deal, case: CaseId::Hold { game } }
            }
            4 => Call::Expire { deal },
            5 => Call::Allow {
                spender: self.court.address(),
                amount: u128::from(self.random.within(0..=400)),
            },
            6 => {
                return (
                    requester,
                    Act::Market(Call::Allow { spender: self.court.address(), amount: u128::MAX }),
                );
            }
            _ => {
                Call::Settle { deal, case: CaseId::Claim { order: self.signed[at].receipt.order } }
            }
        };
        (provider, Act::Market(call))
    }

    fn timeout(&mut self, game: usize) -> (usize, Act) {
        let mut deal = self.deal_of(self.games[game].signed);
        if self.random.percent(10) {
            deal.salt += 1;
        }
        let game = self.games[game].story.view.game.clone();
        (self.random.index(ACTORS), Act::Court(CourtCall::Timeout { deal, game }))
    }

    /// Returns anybody's proof that a leaf's fuel is not what its end used, spoilt where asked.
    fn contradicts(&mut self, mut call: CourtCall, spoilt: Option<u64>) -> (usize, Act) {
        if let (Some(how), CourtCall::Contradict { deal, game, order, nodes, index, halted }) =
            (spoilt, &mut call)
        {
            match how % 6 {
                0 => *index = 16,
                1 => nodes[0].fuel ^= 1,
                2 => order.seq += 1,
                3 => halted.fuel_left -= 1,
                4 => deal.salt += 1,
                _ => game.openedAt += 1,
            }
        }
        (self.random.index(ACTORS), Act::Court(call))
    }

    /// Returns the next call of a game, mostly the due one, and mostly right.
    fn play(&mut self, at: usize) -> (usize, Act) {
        let (view, signed) = (self.games[at].story.view.clone(), self.games[at].signed);
        if self.now() >= view.deadline && self.random.percent(80) {
            return self.timeout(at);
        }
        let (accuser, provider) = (self.games[at].accuser, self.actor(view.game.provider));
        let (game, order) = (view.game.clone(), self.signed[signed].order.clone());
        let spoilt = self.random.percent(15);
        let how = self.random.bits();
        let (sender, mut call) = match &view.question {
            Question::Node { height, place } => {
                let nodes = self.signed[signed].unfold(*height, *place);
                (self.random.index(ACTORS), CourtCall::Unfold { game, order, nodes })
            }
            Question::Nodes { height: 0, place, nodes } => {
                let first = place * nodes.len() as u32;
                let wrong = self.work.tree(order.tasks).first_difference(
                    unfolded_from(nodes),
                    *place,
                    nodes,
                );
                let index = wrong.unwrap_or(self.random.index(nodes.len()) as u32);
                let task = (first + index).min(order.tasks - 1);
                let same =
                    |index: u32| nodes[index as usize].hash == self.work.ends[task as usize].hash();
                let only_fuel = wrong.is_some_and(same) && task == first + index;
                if self.random.percent(if only_fuel { 80 } else { 8 }) {
                    let (deal, halted) = (self.deal_of(signed), self.work.ends[task as usize]);
                    let nodes = nodes.clone();
                    let call = CourtCall::Contradict { deal, game, order, nodes, index, halted };
                    return self.contradicts(call, spoilt.then_some(how));
                }
                if wrong.is_none_or(same) {
                    self.games[at].lies[0] = self.random.within(1..=3_000);
                }
                let mut side =
                    Side { player: self.work.player(task), from: self.games[at].lies[0] };
                let level = side.player.level();
                let challenge = Challenge {
                    index,
                    input: self.work.roots[task as usize],
                    input_proof: inputs_proof(&self.work.roots[..order.tasks as usize], task),
                    parts: start_parts(&self.work.program, &self.work.inputs[task as usize]).into(),
                    states: Box::new(side.dissect(0, level)),
                };
                (accuser, CourtCall::Challenge { game, order, nodes: nodes.clone(), challenge })
            }
            Question::Nodes { height, place, nodes } => {
                let tree = self.work.tree(order.tasks);
                let above = u32::from(*height) + nodes.len().ilog2();
                let wrong = tree.first_difference(above, *place, nodes);
                let index = wrong.unwrap_or(self.random.index(nodes.len()) as u32);
                (accuser, CourtCall::Pick { game, nodes: nodes.clone(), index })
            }
            Question::Run { task, level, position, segment, .. } => {
                let (sender, lies) = if view.accusers_turn {
                    (accuser, self.games[at].lies[0])
                } else {
                    (provider, self.games[at].lies[1])
                };
                let mut side = Side { player: self.work.player(*task), from: lies };
                let part = self.random.index(16) as u32;
                match side.answer(*position, *level, segment) {
                    Some(Answer::Step { pick, proof }) => {
                        let deal = self.deal_of(signed);
                        let call = CourtCall::Step {
                            deal,
                            game,
                            part: pick,
                            segment: segment.clone(),
                            proof: proof.into(),
                        };
                        (self.random.index(ACTORS), call)
                    }
                    Some(Answer::Move { pick, states }) if *level > 1 => {
                        self.signed_move(sender, &view.game, pick, *level, segment, states)
                    }
                    _ if *level > 1 => {
                        let states =
                            Box::new(std::array::from_fn(|i| keccak256([i as u8, part as u8])));
                        self.signed_move(sender, &view.game, part, *level, segment, states)
                    }
                    _ => {
                        let proof = side.player.at(position + u64::from(part)).prove();
                        let deal = self.deal_of(signed);
                        let call = CourtCall::Step {
                            deal,
                            game,
                            part,
                            segment: segment.clone(),
                            proof: proof.into(),
                        };
                        (sender, call)
                    }
                }
            }
        };
        if !spoilt {
            return (sender, Act::Court(call));
        }
        match &mut call {
            CourtCall::Unfold { order, nodes, game } => match how % 8 {
                0 => drop(nodes.pop()),
                1 => nodes[0].fuel ^= 1,
                2 => order.seq += 1,
                3 => game.openedAt += 1,
                4..=6 => {
                    call = CourtCall::Pick { game: game.clone(), nodes: nodes.clone(), index: 0 }
                }
                _ => nodes[0].hash = B256::ZERO,
            },
            CourtCall::Pick { nodes, index, .. } => match how % 4 {
                0 => *index = 16,
                1 => nodes[0].fuel += 1,
                _ => return (STRANGER, Act::Court(call)),
            },
            CourtCall::Challenge { order, nodes, challenge, game } => match how % 11 {
                0 => challenge.states[PARTS - 1] = nodes[challenge.index as usize].hash,
                1 => challenge.input = B256::ZERO,
                2 => challenge.parts = vec![0; 447].into(),
                3 => challenge.index = (challenge.index + 1) % nodes.len() as u32,
                4 => order.seed += 1,
                5 => drop(challenge.input_proof.pop()),
                6 => call = CourtCall::Pick { game: game.clone(), nodes: nodes.clone(), index: 0 },
                _ => return (STRANGER, Act::Court(call)),
            },
            CourtCall::Move { part, segment, states, signature, game } => match how % 6 {
                0 => *part = 16,
                1 => segment[3] = B256::ZERO,
                2 => states[PARTS - 1] = segment[*part as usize % 16 + 1],
                3 => *signature = vec![7; 65].into(),
                4 => game.bond += 1,
                _ => {
                    let deal = self.deal_of(signed);
                    call = CourtCall::Step {
                        deal,
                        game: game.clone(),
                        part: 0,
                        segment: segment.clone(),
                        proof: Bytes::new(),
                    };
                }
            },
            CourtCall::Step { deal, part, proof, segment, game } => match how % 5 {
                0 => deal.salt += 1,
                1 => *part = (*part + 1) % 16,
                2 => *proof = vec![1; proof.len()].into(),
                3 => segment[9] = B256::ZERO,
                _ => {
                    let states = Box::new([B256::ZERO; PARTS]);
                    call = CourtCall::Move {
                        game: game.clone(),
                        part: 0,
                        segment: segment.clone(),
                        states,
                        signature: Bytes::new(),
                    };
                }
            },
            _ => {}
        }
        (sender, Act::Court(call))
    }

    /// Returns a side's move, sent by itself or, signed, by a stranger.
    fn signed_move(
        &mut self,
        side: usize,
        game: &Game,
        part: u32,
        level: u8,
        segment: &Segment,
        states: Box<[B256; PARTS]>,
    ) -> (usize, CourtCall) {
        let (game, segment) = (game.clone(), Box::new(*segment));
        if self.random.percent(60) {
            return (
                side,
                CourtCall::Move { game, part, segment, states, signature: Bytes::new() },
            );
        }
        let mut answer = [segment[part as usize]; PARTS + 1];
        answer[1..].copy_from_slice(&*states);
        let hash = |segment: &Segment| keccak256(segment.concat());
        let terms = Move {
            game: struct_hash(&game),
            level: level.into(),
            pick: part,
            from: hash(&segment),
            to: hash(&answer),
        };
        let table = &self.pair.table;
        let key = if game.accuser == table.address(side) {
            &table.keys[side]
        } else {
            &table.pinned[side]
        };
        let court = domain(self.pair.real.chain_id(), self.court.address());
        let signature =
            key.sign_hash_sync(&digest(&terms, &court)).unwrap().as_bytes().to_vec().into();
        (STRANGER, CourtCall::Move { game, part, segment, states, signature })
    }

    fn perform(&mut self, now: u64, sender: usize, act: Act) -> Result<(), String> {
        let outcome = match &act {
            Act::Market(call) => self.pair.step(now, sender, call)?.map(|()| Vec::new()),
            Act::Court(call) => {
                let by = self.pair.table.address(sender);
                let expected = self.court.apply(&mut self.pair.model, &self.work, now, by, call);
                let expected = expected.map_err(|error| match error {
                    CourtError::Market(error) => format!("{error:?}"),
                    error => format!("{error:?}"),
                });
                let got = self.pair.real.execute_in_court(now, sender, call);
                if got != expected.as_ref().map(drop).map_err(Clone::clone) {
                    return Err(format!(
                        "at {now}, actor {sender}: model {expected:?}, bytecode {got:?}, {call:#?}"
                    ));
                }
                expected
            }
        };
        let name = match (&act, &outcome) {
            (_, Err(error)) => error.clone(),
            (Act::Market(call), _) => {
                format!("{call:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
            }
            (Act::Court(call), _) => {
                format!("{call:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
            }
        };
        *self.seen.entry(name).or_default() += 1;
        for (_, news) in outcome.unwrap_or_default() {
            self.learn(news);
        }
        self.compare()
    }

    fn learn(&mut self, news: GameNews) {
        if let GameNews::Accused(view) = &news {
            let signed =
                self.signed.iter().position(|signed| signed.receipt == view.receipt).unwrap();
            let accuser = self.actor(view.game.accuser);
            let lie = |random: &mut Random| {
                if random.percent(60) { u64::MAX } else { random.within(1..=3_000) }
            };
            let lies = [lie(&mut self.random), self.random.within(1..=3_000)];
            self.games.push(Played {
                story: GameStory::new((**view).clone()),
                signed,
                accuser,
                lies,
            });
        }
        if let GameNews::Ended { verdict, .. } = &news {
            let how = match verdict.verdict {
                Verdict::Step => "by a step",
                Verdict::Fuel => "by its fuel",
                Verdict::Timeout => "by time",
            };
            *self.seen.entry(how.into()).or_default() += 1;
        }
        let of = |game: &&mut Played| Some(struct_hash(&game.story.view.game)) == news.game();
        if let Some(game) = self.games.iter_mut().find(of) {
            assert!(game.story.learn(&news), "{news:?} is news");
        }
    }
}

/// Returns the height of the node above these leaves.
fn unfolded_from(leaves: &[SumNode]) -> u32 {
    leaves.len().ilog2()
}

fn history(seed: u64) -> Result<BTreeMap<String, u32>, String> {
    let mut courts = Courts::new(seed);
    for _ in 0..CALLS {
        let now = courts.time();
        let (sender, act) = courts.next();
        courts.perform(now, sender, act)?;
    }
    courts.everything_ends()?;
    Ok(courts.seen)
}

#[test]
fn the_court_and_its_model_agree() {
    let histories =
        std::env::var("RIALTO_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(HISTORIES);
    let mut seen = BTreeMap::<String, u32>::new();
    for seed in 0..histories {
        let one = history(seed).unwrap_or_else(|why| panic!("history {seed}: {why}"));
        one.into_iter().for_each(|(what, times)| *seen.entry(what).or_default() += times);
    }
    println!("{seen:#?}");
    for what in [
        "Accuse",
        "Unfold",
        "Pick",
        "Challenge",
        "Move",
        "Step",
        "Timeout",
        "Convict",
        "Contradict",
        "Delegate",
        "by its fuel",
        "FuelIsRight",
        "by a step",
        "by time",
        "WrongSegment",
        "WrongStage",
        "TooLate",
        "TooEarly",
        "InvalidSignature",
        "Unauthorized",
        "NotInReceipt",
    ] {
        assert!(
            seen.contains_key(what),
            "no {what} in {histories} histories: the moves are too weak"
        );
    }
}
