//! The court in Rust: the rules of `ICourt.sol` over plain maps, beside the [`Market`] whose deals
//! it judges.
//!
//! The court does not know the steps of a program; its [`Judge`] does.

mod shown;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::Eip712Domain;

use shown::{
    check, check_input, check_nodes, check_segment, convicting, fold, hash_leaves, hash_of_node,
    hash_of_nodes, hash_of_segment, height_of, join, ordered, seconds_left, span, verify,
};

use super::{CaseStatus, DealStatus, MAX_HOLD, Market, ModelError};
use crate::{
    case::CaseId,
    court::{COMPENSATION_BPS, Challenge, GameEnd, GameNews, GameView, PARTS, Segment, Verdict},
    fault::FaultProof,
    ids::DealId,
    ids::GameId,
    pricing,
    receipt::{Halted, SumNode, task_seed, unfolded},
    types::{Deal, Game, Move, Order, Receipt, digest, struct_hash},
};

/// Highest level of a run.
pub const MAX_LEVEL: u8 = 14;
/// Longest time of a side at the start, or for one task, seconds.
pub const MAX_ALLOWANCE: u32 = 10 * 86_400;
/// Time for which the deal is held after the last possible deadline, seconds.
pub const SETTLE_SECONDS: u64 = 86_400;

/// Parameters of a court (`ICourt.Rules`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Fixed part of an accusation's bond, base units.
    pub base_bond: u128,
    /// Part of the bond per Tfuel of the order's fuel limit, base units.
    pub bond_per_tfuel: u128,
    /// Fixed part of the time for one task, seconds.
    pub base_seconds: u32,
    /// Least time for a move, seconds.
    pub move_seconds: u32,
    /// Fuel that a side must be able to trace per second.
    pub fuel_per_second: u64,
}

impl Rules {
    /// Returns the bond of an accusation over an order with this fuel limit, base units; `None`
    /// above 2^128 − 1.
    pub fn bond_for(&self, fuel_limit: u64) -> Option<u128> {
        pricing::fee(self.bond_per_tfuel, self.base_bond, fuel_limit.into(), 1)
    }

    /// Returns the time for one task of this fuel limit, if no other task waits, seconds.
    pub fn allowance(&self, fuel_limit: u64) -> u32 {
        self.clamp(self.tracing(fuel_limit))
    }

    fn tracing(&self, fuel_limit: u64) -> u64 {
        u64::from(self.base_seconds).saturating_add(fuel_limit / self.fuel_per_second)
    }

    fn clamp(&self, seconds: u64) -> u32 {
        u32::try_from(seconds).unwrap_or(u32::MAX).min(MAX_ALLOWANCE).max(self.move_seconds)
    }
}

/// Task of a challenge, according to its order (`IStepUnit.Task`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct JudgedTask {
    pub program: B256,
    pub input: B256,
    pub seed: u64,
    pub fuel_limit: u64,
    pub out_limit: u64,
    pub max_pages: u32,
}

/// A court's judge of single steps (`IStepUnit`).
pub trait Judge {
    /// Returns the hash of the first state, and a number of steps after which every run has halted;
    /// `None` if `parts` do not hash to the task's roots.
    fn start(&self, task: &JudgedTask, parts: &[u8]) -> Option<(B256, u64)>;
    /// Returns the hash of the state that follows the one with this hash; `None` if the proof
    /// belongs to another state.
    fn step(&self, state: B256, proof: &[u8]) -> Option<B256>;
}

/// Stage of a game, by the call that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The provider must open up to four levels of the receipt's tree.
    Unfold = 1,
    /// The accuser must pick a node, or challenge a leaf.
    Pick = 2,
    /// Both sides narrow down a run, by turns.
    Run = 3,
}

/// State of a game in the court (`ICourt.GameState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub struct GameState {
    pub segment: B256,
    pub position: u64,
    pub since: u64,
    pub accuser_seconds: u32,
    pub provider_seconds: u32,
    pub stage: Stage,
    pub level: u8,
    pub task: u32,
    pub accusers_turn: bool,
}

impl GameState {
    /// Returns the end of the turn, Unix seconds.
    pub fn deadline(&self) -> u64 {
        self.since
            + u64::from(if self.accusers_turn {
                self.accuser_seconds
            } else {
                self.provider_seconds
            })
    }
}

/// A call of the court. `ICourt.sol` documents the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CourtCall {
    Accuse {
        deal: Deal,
        order: Order,
        receipt: Receipt,
        signature: Bytes,
    },
    Unfold {
        game: Game,
        order: Order,
        nodes: Vec<SumNode>,
    },
    Pick {
        game: Game,
        nodes: Vec<SumNode>,
        index: u32,
    },
    Challenge {
        game: Game,
        order: Order,
        nodes: Vec<SumNode>,
        challenge: Challenge,
    },
    Contradict {
        deal: Deal,
        game: Game,
        order: Order,
        nodes: Vec<SumNode>,
        index: u32,
        halted: Halted,
    },
    Delegate {
        to: Address,
        until: u64,
    },
    Move {
        game: Game,
        part: u32,
        segment: Box<Segment>,
        states: Box<[B256; PARTS]>,
        signature: Bytes,
    },
    Step {
        deal: Deal,
        game: Game,
        part: u32,
        segment: Box<Segment>,
        proof: Bytes,
    },
    Timeout {
        deal: Deal,
        game: Game,
    },
    Convict {
        deal: Deal,
        order: Order,
        receipt: Receipt,
        signature: Bytes,
        proof: FaultProof,
    },
}

/// Reason why the court refuses a call: one variant per custom error of `ICourt.sol`, and those of
/// the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum CourtError {
    #[error(transparent)]
    Market(#[from] ModelError),
    #[error("the input is not the task's in the order")]
    NotInOrder,
    #[error("the accuser says what the provider says: there is nothing to decide")]
    NoDispute,
    #[error("the same accusation was made in the same block: wait for the next")]
    GameExists,
    #[error("there is no such game: it ended, or never began")]
    NoGame,
    #[error("the segment, or list of nodes, is not the one in dispute: look at the game again")]
    WrongSegment,
    #[error("there is no such part or node to pick from")]
    NoSuchPart,
    #[error("the game waits for something else")]
    WrongStage,
    #[error("the new segment ends as the old one: nothing is in dispute")]
    EndsAgree,
    #[error("this is not what is due at this level of the game")]
    WrongLevel,
    #[error("the step is as the other side said")]
    StepIsRight,
    #[error("the node's fuel is what its children's is")]
    SumIsRight,
    #[error("the leaf's fuel is what its halted state used")]
    FuelIsRight,
    #[error("program and input are not what the order commits to")]
    WrongParts,
    #[error("the proof is not of this state")]
    WrongProof,
}

/// State of a court.
#[derive(Clone, Debug)]
pub struct Court {
    address: Address,
    rules: Rules,
    domain: Eip712Domain,
    games: BTreeMap<GameId, GameState>,
    busy_until: BTreeMap<Address, u64>,
    delegates: BTreeMap<(Address, Address), u64>,
}

/// Events of a call, each with the id of its deal.
type Said = Vec<(DealId, GameNews)>;

impl Court {
    /// Creates a court without games. Moves are signed in `domain`, which is the court's own.
    pub fn new(address: Address, rules: Rules, domain: Eip712Domain) -> Self {
        let (games, busy_until, delegates) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { address, rules, domain, games, busy_until, delegates }
    }

    /// Returns the court's address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Returns the court's parameters.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Returns the state of a game; `None` if it never began or has ended.
    pub fn game(&self, id: GameId) -> Option<&GameState> {
        self.games.get(&id)
    }

    /// Returns all open games.
    pub fn games(&self) -> impl Iterator<Item = (GameId, &GameState)> {
        self.games.iter().map(|(id, game)| (*id, game))
    }

    /// Returns the time until which the provider's queue of challenged tasks lasts, Unix seconds.
    pub fn busy_until(&self, provider: Address) -> u64 {
        self.busy_until.get(&provider).copied().unwrap_or_default()
    }

    /// Clears all queues of challenged tasks. Tests use it to find out which attacks the queue
    /// prevents.
    #[doc(hidden)]
    pub fn forget_queue(&mut self) {
        self.busy_until.clear();
    }

    /// Applies a call at `now` (Unix seconds) and returns its events, each with the id of its deal.
    ///
    /// # Errors
    /// The error with which the contract would revert. Nothing has changed then.
    pub fn apply(
        &mut self,
        market: &mut Market,
        judge: &dyn Judge,
        now: u64,
        sender: Address,
        call: &CourtCall,
    ) -> Result<Vec<(DealId, GameNews)>, CourtError> {
        let (mut court, mut next) = (self.clone(), market.clone());
        let said = court.dispatch(&mut next, judge, now, sender, call)?;
        (*self, *market) = (court, next);
        Ok(said)
    }

    fn dispatch(
        &mut self,
        market: &mut Market,
        judge: &dyn Judge,
        now: u64,
        sender: Address,
        call: &CourtCall,
    ) -> Result<Said, CourtError> {
        match call {
            CourtCall::Accuse { deal, order, receipt, signature } => {
                self.accuse(market, now, sender, deal, order, receipt, signature)
            }
            CourtCall::Unfold { game, order, nodes } => self.unfold(now, game, order, nodes),
            CourtCall::Pick { game, nodes, index } => self.pick(now, sender, game, nodes, *index),
            CourtCall::Challenge { game, order, nodes, challenge } => {
                self.challenge(judge, now, sender, game, order, nodes, challenge)
            }
            CourtCall::Contradict { deal, game, order, nodes, index, halted } => {
                self.contradict(market, now, deal, game, order, nodes, *index, halted)
            }
            CourtCall::Delegate { to, until } => {
                self.delegates.insert((sender, *to), *until);
                Ok(Vec::new())
            }
            CourtCall::Move { game, part, segment, states, signature } => {
                self.answer(now, sender, game, *part, segment, states, signature)
            }
            CourtCall::Step { deal, game, part, segment, proof } => {
                self.step(market, judge, now, deal, game, *part, segment, proof)
            }
            CourtCall::Timeout { deal, game } => {
                let id = struct_hash(game);
                let state = *self.games.get(&id).ok_or(CourtError::NoGame)?;
                if now < state.deadline() {
                    return Err(ModelError::TooEarly.into());
                }
                let end = self.end(market, deal, game, Verdict::Timeout, !state.accusers_turn)?;
                Ok(vec![(game.deal, GameNews::Ended { game: id, verdict: end })])
            }
            CourtCall::Convict { deal, order, receipt, signature, proof } => {
                let id = check(market, deal, order, receipt, signature)?;
                convicting(order, receipt, proof)?;
                market.slash(self.address, deal, sender)?;
                Ok(vec![(
                    id,
                    GameNews::Convicted { receipt: struct_hash(receipt), fault: proof.fault() },
                )])
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn accuse(
        &mut self,
        market: &mut Market,
        now: u64,
        sender: Address,
        deal: &Deal,
        order: &Order,
        receipt: &Receipt,
        signature: &[u8],
    ) -> Result<Said, CourtError> {
        let deal_id = check(market, deal, order, receipt, signature)?;
        let bond = self.rules.bond_for(order.fuelLimit).ok_or(ModelError::AmountOverflow)?;
        let game = Game {
            deal: deal_id,
            order: receipt.order,
            receipt: struct_hash(receipt),
            accuser: sender,
            provider: deal.provider,
            providerKey: deal.providerKey,
            bond,
            openedAt: now,
        };
        let id = struct_hash(&game);
        if self.games.contains_key(&id) {
            return Err(CourtError::GameExists);
        }
        let (height, time, wait) = (
            height_of(order.tasks),
            self.rules.allowance(order.fuelLimit),
            self.rules.move_seconds,
        );
        let state = GameState {
            segment: hash_of_node(&SumNode { hash: receipt.root, fuel: receipt.fuel }),
            position: 0,
            since: now,
            accuser_seconds: time,
            provider_seconds: wait,
            stage: Stage::Unfold,
            level: height,
            task: 0,
            accusers_turn: false,
        };
        self.games.insert(id, state);
        let turns = 2 * u64::from(height).div_ceil(4) + u64::from(MAX_LEVEL) + 3;
        let longest =
            u64::from(time) + u64::from(MAX_ALLOWANCE) + turns * u64::from(wait) + SETTLE_SECONDS;
        debug_assert!(longest <= MAX_HOLD);
        market.hold(now, self.address, deal, id, now + longest)?;
        market.take(self.address, sender, bond)?;
        let view = GameView::begun(game, receipt.clone(), order.tasks, now + u64::from(wait));
        Ok(vec![(deal_id, GameNews::Accused(Box::new(view)))])
    }

    fn unfold(
        &mut self,
        now: u64,
        game: &Game,
        order: &Order,
        nodes: &[SumNode],
    ) -> Result<Said, CourtError> {
        let (id, mut state) = self.load(game, Stage::Unfold)?;
        let left = seconds_left(&state, now)?;
        ordered(game, order)?;
        let levels = unfolded(state.level.into());
        if nodes.len() != 1 << levels {
            return Err(ModelError::NotInReceipt.into());
        }
        let node = state.segment;
        state.level -= levels as u8;
        state.segment = hash_of_nodes(nodes);
        state.stage = Stage::Pick;
        self.turn(&mut state, now, left);
        self.games.insert(id, state);
        let folded = if state.level == 0 {
            hash_leaves(order, state.task << levels, nodes)?
        } else {
            nodes.to_vec()
        };
        if hash_of_node(&fold(folded).ok_or(ModelError::NotInReceipt)?) != node {
            return Err(ModelError::NotInReceipt.into());
        }
        let (place, height, deadline) = (state.task, state.level, state.deadline());
        Ok(vec![(
            game.deal,
            GameNews::Unfolded { game: id, place, height, deadline, nodes: nodes.to_vec() },
        )])
    }

    fn pick(
        &mut self,
        now: u64,
        sender: Address,
        game: &Game,
        nodes: &[SumNode],
        index: u32,
    ) -> Result<Said, CourtError> {
        let (id, mut state) = self.load(game, Stage::Pick)?;
        let left = self.picks(now, sender, game, &state, nodes, index)?;
        if state.level == 0 {
            return Err(CourtError::WrongLevel);
        }
        state.task = state.task * nodes.len() as u32 + index;
        state.segment = hash_of_node(&nodes[index as usize]);
        state.stage = Stage::Unfold;
        self.turn(&mut state, now, left);
        self.games.insert(id, state);
        let (place, height, deadline) = (state.task, state.level, state.deadline());
        Ok(vec![(game.deal, GameNews::Picked { game: id, place, height, deadline })])
    }

    #[allow(clippy::too_many_arguments)]
    fn challenge(
        &mut self,
        judge: &dyn Judge,
        now: u64,
        sender: Address,
        game: &Game,
        order: &Order,
        nodes: &[SumNode],
        it: &Challenge,
    ) -> Result<Said, CourtError> {
        let (id, mut state) = self.load(game, Stage::Pick)?;
        let left = self.picks(now, sender, game, &state, nodes, it.index)?;
        if state.level != 0 {
            return Err(CourtError::WrongLevel);
        }
        ordered(game, order)?;
        state.task = state.task * nodes.len() as u32 + it.index;
        if state.task >= order.tasks {
            return Err(ModelError::NoSuchTask.into());
        }
        let halted = nodes[it.index as usize].hash;
        if it.states[PARTS - 1] == halted {
            return Err(CourtError::NoDispute);
        }
        check_input(order, state.task, it)?;
        let task = JudgedTask {
            program: order.program,
            input: it.input,
            seed: task_seed(order.seed, state.task),
            fuel_limit: order.fuelLimit,
            out_limit: order.outLimit,
            max_pages: order.maxPages,
        };
        let (first, steps) = judge.start(&task, &it.parts).ok_or(CourtError::WrongParts)?;
        state.level =
            (2..MAX_LEVEL).step_by(2).find(|level| span(*level) >= steps).unwrap_or(MAX_LEVEL);
        let segment = join(first, &it.states);
        state.segment = hash_of_segment(&segment);
        state.stage = Stage::Run;
        self.turn(&mut state, now, left);
        state.provider_seconds = self.queue(now, game.provider, order.fuelLimit);
        self.games.insert(id, state);
        let (task, level, deadline) = (state.task, state.level, state.deadline());
        let segment = Box::new(segment);
        Ok(vec![(
            game.deal,
            GameNews::Challenged { game: id, task, halted, level, deadline, segment },
        )])
    }

    #[allow(clippy::too_many_arguments)]
    fn contradict(
        &mut self,
        market: &mut Market,
        now: u64,
        deal: &Deal,
        game: &Game,
        order: &Order,
        nodes: &[SumNode],
        index: u32,
        halted: &Halted,
    ) -> Result<Said, CourtError> {
        let (id, state) = self.load(game, Stage::Pick)?;
        seconds_left(&state, now)?;
        check_nodes(&state, nodes, index)?;
        if state.level != 0 {
            return Err(CourtError::WrongLevel);
        }
        ordered(game, order)?;
        let leaf = nodes[index as usize];
        if halted.hash() != leaf.hash {
            return Err(ModelError::NotInReceipt.into());
        }
        if leaf.fuel == u128::from(halted.fuel_used(order.fuelLimit)) {
            return Err(CourtError::FuelIsRight);
        }
        let end = self.end(market, deal, game, Verdict::Fuel, true)?;
        Ok(vec![(game.deal, GameNews::Ended { game: id, verdict: end })])
    }

    #[allow(clippy::too_many_arguments)]
    fn answer(
        &mut self,
        now: u64,
        sender: Address,
        game: &Game,
        part: u32,
        segment: &Segment,
        states: &[B256; PARTS],
        signature: &[u8],
    ) -> Result<Said, CourtError> {
        let (id, mut state) = self.load(game, Stage::Run)?;
        let left = seconds_left(&state, now)?;
        check_segment(&state, segment, part)?;
        if state.level == 1 {
            return Err(CourtError::WrongLevel);
        }
        let at = part as usize;
        if states[PARTS - 1] == segment[at + 1] {
            return Err(CourtError::EndsAgree);
        }
        let answer = join(segment[at], states);
        let (from, to) = (state.segment, hash_of_segment(&answer));
        let signed = Move { game: id, level: state.level.into(), pick: part, from, to };
        let (side, key) = if state.accusers_turn {
            (game.accuser, game.accuser)
        } else {
            (game.provider, game.providerKey)
        };
        if !self.acts(now, side, sender) {
            verify(key, digest(&signed, &self.domain), signature)?;
        }
        state.level -= 1;
        state.position += u64::from(part) * span(state.level);
        state.segment = to;
        self.turn(&mut state, now, left);
        self.games.insert(id, state);
        let (level, position, accusers_turn, deadline) =
            (state.level, state.position, state.accusers_turn, state.deadline());
        let segment = Box::new(answer);
        Ok(vec![(
            game.deal,
            GameNews::Moved { game: id, level, position, accusers_turn, deadline, segment },
        )])
    }

    #[allow(clippy::too_many_arguments)]
    fn step(
        &mut self,
        market: &mut Market,
        judge: &dyn Judge,
        now: u64,
        deal: &Deal,
        game: &Game,
        part: u32,
        segment: &Segment,
        proof: &[u8],
    ) -> Result<Said, CourtError> {
        let (id, state) = self.load(game, Stage::Run)?;
        seconds_left(&state, now)?;
        check_segment(&state, segment, part)?;
        if state.level != 1 {
            return Err(CourtError::WrongLevel);
        }
        let (begin, claimed) = (segment[part as usize], segment[part as usize + 1]);
        let next = judge.step(begin, proof).ok_or(CourtError::WrongProof)?;
        if next == claimed {
            return Err(CourtError::StepIsRight);
        }
        let position = state.position + u64::from(part);
        let end = self.end(market, deal, game, Verdict::Step, state.accusers_turn)?;
        Ok(vec![
            (game.deal, GameNews::Stepped { game: id, position, state: begin, claimed, next }),
            (game.deal, GameNews::Ended { game: id, verdict: end }),
        ])
    }

    fn end(
        &mut self,
        market: &mut Market,
        deal: &Deal,
        game: &Game,
        verdict: Verdict,
        accuser_won: bool,
    ) -> Result<GameEnd, CourtError> {
        let (deal_id, id) = (struct_hash(deal), struct_hash(game));
        if deal_id != game.deal {
            return Err(ModelError::WrongDeal.into());
        }
        self.games.remove(&id);
        let open = market.deal_state(deal_id).status == DealStatus::Open;
        let share =
            pricing::share(game.bond, COMPENSATION_BPS).ok_or(ModelError::AmountOverflow)?;
        let (to_accuser, to_provider) = if accuser_won { (game.bond, 0) } else { (0, share) };
        let burned = game.bond - to_accuser - to_provider;
        if open && accuser_won {
            market.slash(self.address, deal, game.accuser)?;
        } else if open && market.case(deal_id, CaseId::Hold { game: id }).status == CaseStatus::Open
        {
            market.lift(self.address, deal, id)?;
        }
        for (owner, amount) in
            [(game.accuser, to_accuser), (game.provider, to_provider), (super::BURNED, burned)]
        {
            market.transfer(self.address, owner, amount)?;
        }
        Ok(GameEnd {
            verdict,
            accuser_won,
            slashed: accuser_won && open,
            to_accuser,
            to_provider,
            burned,
        })
    }

    fn load(&self, game: &Game, stage: Stage) -> Result<(GameId, GameState), CourtError> {
        let id = struct_hash(game);
        let state = *self.games.get(&id).ok_or(CourtError::NoGame)?;
        if state.stage == stage { Ok((id, state)) } else { Err(CourtError::WrongStage) }
    }

    /// Returns whether `sender` may act for an account.
    fn acts(&self, now: u64, side: Address, sender: Address) -> bool {
        sender == side || self.delegates.get(&(side, sender)).is_some_and(|until| now < *until)
    }

    /// Checks that the accuser picks one of the shown nodes, in time. Returns its remaining time,
    /// seconds.
    fn picks(
        &self,
        now: u64,
        sender: Address,
        game: &Game,
        state: &GameState,
        nodes: &[SumNode],
        index: u32,
    ) -> Result<u32, CourtError> {
        let left = seconds_left(state, now)?;
        if !self.acts(now, game.accuser, sender) {
            return Err(ModelError::Unauthorized.into());
        }
        check_nodes(state, nodes, index)?;
        Ok(left)
    }

    /// Passes the turn. The side that moved keeps its remaining time; the other side has at least
    /// the time of one move.
    fn turn(&self, state: &mut GameState, now: u64, left: u32) {
        let least = self.rules.move_seconds;
        if state.accusers_turn {
            (state.accuser_seconds, state.provider_seconds) =
                (left, state.provider_seconds.max(least));
        } else {
            (state.provider_seconds, state.accuser_seconds) =
                (left, state.accuser_seconds.max(least));
        }
        state.accusers_turn = !state.accusers_turn;
        state.since = now;
    }

    /// Adds a task to the provider's queue and returns the time until it must be traced, seconds.
    fn queue(&mut self, now: u64, provider: Address, fuel_limit: u64) -> u32 {
        let busy = self.busy_until.entry(provider).or_default();
        // The queue never exceeds the longest allowance. Otherwise one task with an absurd fuel
        // limit would delay all later games.
        let most = now.saturating_add(MAX_ALLOWANCE.into());
        *busy = (*busy).max(now).saturating_add(self.rules.tracing(fuel_limit)).min(most);
        self.rules.clamp(*busy - now)
    }
}
