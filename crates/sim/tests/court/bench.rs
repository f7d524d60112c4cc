//! A market with its court on an embedded chain with a manual clock, a provider's receipt over real
//! runs, and two sides that play a game from the chain's events.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use alloy_signer::SignerSync;
use alloy_sol_types::Eip712Domain;
use futures::StreamExt;
use rialto_chain::{
    Chain, ChainConfig, Court, CourtCall, CourtEvent, CourtRules, Courts, DeployParams, Deployed,
    EventStream, FromLog, GameEnd, MarketCall, MarketEvent, Mined, MoveArgs, OpenArgs,
    PrivateKeySigner, Rpc, RpcFault, Segment, SendError, Sender, Signed, StepArgs, Terms, deploy,
    segment_hash,
};
use rialto_devchain::{Clock, Config, Devchain};
use rialto_machine::input::{Halves, SharedInput, TaskInput};
use rialto_machine::play::{Answer, Player, span};
use rialto_machine::{Lowered, TaskLimits, Tracer, canonicalise, lower, start_parts};
use rialto_protocol::court::Challenge;
use rialto_protocol::eip712::Typed;
use rialto_protocol::receipt::{Halted, SumNode, SumTree, inputs_proof, inputs_root, task_seed};
use rialto_protocol::types::{
    Ask, Deal, Game, Limits, Move, Order, Receipt, WASM_3, digest, struct_hash,
};
use rialto_protocol::{Address, B256, Bytes, GameId, U256, keccak256};
use serde_json::json;

/// A real program: Monte Carlo pricing of options, in C, with floats.
const PRICING: &[u8] = include_bytes!("../../../../examples/pricing/pricing.wasm");
pub const TASKS: u32 = 3;
/// The task in dispute.
pub const TASK: u32 = 1;
pub const DEPOSIT: u128 = 1_000_000_000;
pub const BUDGET: u128 = 10_000_001;
pub const RULES: CourtRules = CourtRules {
    base_bond: 100_001,
    bond_per_tfuel: 50_000,
    base_seconds: 600,
    move_seconds: 60,
    fuel_per_second: 1_000_000_000,
};
/// Start of the chain, Unix seconds.
const BEGIN: u64 = 1_800_000_000;
const NAMES: [&str; 5] = ["deployer", "requester", "provider", "accuser", "stranger"];

/// Returns the result; panics if it hangs.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(600), future).await.expect("hangs")
}

pub fn key(name: &str) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(name)).unwrap()
}

pub fn address(name: &str) -> Address {
    key(name).address()
}

pub fn signed<T: Typed>(name: &str, value: &T, domain: &Eip712Domain) -> Bytes {
    key(name).sign_hash_sync(&digest(value, domain)).unwrap().as_bytes().to_vec().into()
}

/// A market with its court and funded accounts.
pub struct Place {
    pub dev: Devchain,
    pub chain: Chain,
    pub court: Court,
    pub deployed: Deployed,
    senders: BTreeMap<&'static str, Sender>,
    sent: std::cell::Cell<u64>,
}

impl Place {
    pub async fn new() -> Self {
        let ether = U256::from(10).pow(U256::from(18));
        let accounts = NAMES.iter().map(|name| (address(name), U256::from(1000) * ether)).collect();
        let dev =
            Devchain::open(Config { accounts, clock: Clock::Manual(BEGIN), ..Config::default() })
                .unwrap();
        let answering = dev.clone();
        let rpc = Rpc::Local(Arc::new(move |method, params| {
            answering.handle(method, params).map_err(|e| RpcFault {
                code: e.code,
                message: e.message,
                data: e.data,
            })
        }));
        let windows = (600, 300, 1200);
        let params = DeployParams {
            token: None,
            challenge_window: windows.0,
            answer_window: windows.1,
            grace: windows.2,
            case_bond: 5,
            court: RULES,
        };
        let deployed = soon(deploy(&rpc, key("deployer"), params)).await.unwrap();
        let config = ChainConfig {
            poll: Some(Duration::from_millis(2)),
            ..ChainConfig::new(rpc, deployed.market)
        };
        let chain = soon(Chain::connect(config)).await.unwrap();
        let court = chain.court(deployed.court).await.unwrap();
        let mut senders = BTreeMap::new();
        for name in NAMES {
            senders.insert(name, chain.sender_in_memory(key(name)).await.unwrap());
        }
        let place = Self { dev, chain, court, deployed, senders, sent: Default::default() };
        for name in NAMES {
            place
                .send(name, MarketCall::Mint { to: address(name), amount: DEPOSIT })
                .await
                .unwrap();
            place.send(name, MarketCall::Approve { amount: DEPOSIT }).await.unwrap();
            place
                .send(name, MarketCall::Deposit { account: address(name), amount: DEPOSIT })
                .await
                .unwrap();
        }
        place
    }

    pub fn sender(&self, name: &str) -> &Sender {
        &self.senders[name]
    }

    pub async fn send(&self, name: &str, call: MarketCall) -> Result<Mined, SendError> {
        self.sent.set(self.sent.get() + 1);
        soon(self.sender(name).send(format!("{}", self.sent.get()), call)).await
    }

    pub fn in_court(&self, call: CourtCall) -> MarketCall {
        MarketCall::Court { court: self.court.address(), call }
    }

    pub async fn send_court(&self, name: &str, call: CourtCall) -> Result<Mined, SendError> {
        self.send(name, self.in_court(call)).await
    }

    /// Returns the code with which the contract would refuse a call now.
    pub async fn refused(&self, name: &str, call: CourtCall) -> &'static str {
        match self.chain.simulate(address(name), &self.in_court(call)).await {
            Err(SendError::Rejected(error)) => error.code(),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub async fn possible(&self, name: &str, call: &CourtCall) -> bool {
        self.chain.simulate(address(name), &self.in_court(call.clone())).await.is_ok()
    }

    /// Sets the chain's time.
    pub fn at(&self, time: u64) {
        self.control("evm_setNextBlockTimestamp", json!([time]));
        self.control("evm_mine", json!([]));
    }

    pub fn control(&self, method: &str, params: serde_json::Value) -> serde_json::Value {
        self.dev.handle(method, params).unwrap()
    }

    pub async fn account(&self, name: &str) -> u128 {
        self.chain.account(address(name)).await.unwrap()
    }

    pub async fn burned(&self) -> u128 {
        self.chain.account(rialto_protocol::model::BURNED).await.unwrap()
    }

    /// Returns whether the accounts add up to the market's tokens and the court has none. It must
    /// hold when no deal is open and no game runs.
    pub async fn reconciles(&self) -> bool {
        let court = self.chain.account(self.court.address()).await.unwrap();
        let mut sum = self.burned().await + court;
        for name in NAMES {
            sum += self.account(name).await;
        }
        let market = self.chain.token_balance(self.deployed.market).await.unwrap();
        U256::from(sum) == market && court == 0
    }

    /// Opens a deal of the requester with the provider, whose ask names the court.
    pub async fn deal(&self, salt: u64) -> Deal {
        let now = self.chain.now().await.unwrap();
        let ask = Ask {
            provider: address("provider"),
            key: address("provider"),
            endpoint: B256::repeat_byte(7),
            priceStart: 1_000_000,
            priceEnd: 1_000_000,
            from: now,
            to: now + 86_400,
            taskFee: 1,
            minBudget: 1,
            maxBudget: BUDGET,
            collateralBps: 5000,
            latePenaltyBps: 1000,
            maxSeconds: 30 * 86_400,
            capacity: 100,
            cores: 1,
            fuelPerSecond: 1_000_000_000,
            runtime: WASM_3,
            court: self.court.address(),
            salt,
            limits: Limits::default(),
            ..Ask::default()
        };
        let signature = signed("provider", &ask, self.chain.domain());
        let key = address("requester");
        let terms = Terms {
            key,
            budget: BUDGET,
            opened_at: now,
            duration: 86_400,
            max_price: 1_000_000,
            salt,
        };
        let open = OpenArgs { ask, signature, terms };
        let mined = self.send("requester", MarketCall::Open(vec![open])).await.unwrap();
        let deal = mined.logs.iter().find_map(|log| match MarketEvent::decode(log) {
            Some(MarketEvent::DealOpened { deal, .. }) => Some(deal),
            _ => None,
        });
        deal.unwrap()
    }
}

/// Three runs of one program, as an honest provider knows them.
pub struct Work {
    pub program: Arc<Lowered>,
    pub inputs: Vec<Arc<Halves>>,
    pub ends: Vec<Halted>,
    /// Steps of the task in dispute.
    pub steps: u64,
    fuel: u64,
}

const SEED: u64 = 77;
const PAGES: u32 = 256;
const OUT: u64 = 1 << 20;

impl Work {
    /// Creates tasks that price options by this many paths, under a fuel limit.
    pub fn new(paths: u32, fuel: u64) -> Self {
        let program = Arc::new(lower(&canonicalise(PRICING).unwrap().module));
        let shared = SharedInput::default().encode().unwrap();
        let input = |strike: u32| {
            let words = [
                "pricing",
                "100",
                &strike.to_string(),
                "0.03",
                "0.2",
                "1",
                &paths.to_string(),
                "7",
            ];
            let argv = words.iter().map(|word| word.as_bytes().to_vec()).collect();
            let task = TaskInput { argv, ..TaskInput::default() }.encode().unwrap();
            Arc::new(Halves::new(task.into(), shared.clone().into()))
        };
        let inputs: Vec<_> = (0..TASKS).map(|task| input(90 + 10 * task)).collect();
        let mut work = Self { program, inputs, ends: Vec::new(), steps: 0, fuel };
        for task in 0..TASKS {
            let mut tracer = Tracer::new(
                work.program.clone(),
                work.inputs[task as usize].clone(),
                work.limits(task),
            );
            let steps = tracer.finish(1 << 40).unwrap();
            work.ends.push(*tracer.halted().unwrap());
            if task == TASK {
                work.steps = steps;
            }
        }
        work
    }

    pub fn limits(&self, task: u32) -> TaskLimits {
        TaskLimits { seed: task_seed(SEED, task), fuel: self.fuel, out: OUT, pages: PAGES }
    }

    pub fn player(&self) -> Player {
        Player::new(self.program.clone(), self.inputs[TASK as usize].clone(), self.limits(TASK))
    }

    pub fn order(&self, deal: &Deal) -> Order {
        let inputs: Vec<B256> = self.inputs.iter().map(|input| input.root()).collect();
        Order {
            deal: struct_hash(deal),
            seq: 0,
            program: self.program.parts.root(),
            inputs: inputs_root(&inputs),
            tasks: TASKS,
            fuelLimit: self.fuel,
            outLimit: OUT,
            maxPages: PAGES,
            seed: SEED,
            dueBy: deal.expiry,
        }
    }

    /// Returns the leaves of an honest receipt.
    pub fn leaves(&self) -> Vec<(B256, u64)> {
        self.ends.iter().map(|end| (end.hash(), end.fuel_used(self.fuel))).collect()
    }

    /// Returns the provider's signed receipt with these leaves.
    pub fn receipt(&self, place: &Place, deal: Deal, leaves: &[(B256, u64)]) -> Signed {
        let order = self.order(&deal);
        sign_receipt(place, deal, order, SumTree::new(leaves.iter().copied()).root())
    }

    /// Returns the challenge of the task in dispute, with these states.
    pub fn challenge(&self, states: [B256; 16]) -> Challenge {
        let roots: Vec<B256> = self.inputs.iter().map(|input| input.root()).collect();
        Challenge {
            index: TASK,
            input: roots[TASK as usize],
            input_proof: inputs_proof(&roots, TASK),
            parts: start_parts(&self.program, &self.inputs[TASK as usize]).into(),
            states: Box::new(states),
        }
    }
}

/// Returns a receipt with this root, signed by the provider.
pub fn sign_receipt(place: &Place, deal: Deal, order: Order, root: SumNode) -> Signed {
    let receipt = Receipt { order: struct_hash(&order), root: root.hash, fuel: root.fuel, fee: 0 };
    let signature = signed("provider", &receipt, place.chain.domain());
    Signed { deal, order, receipt, signature }
}

/// One side of a game.
pub trait Side {
    fn hash_at(&mut self, position: u64) -> B256;
    /// Returns the hashes after each sixteenth of the segment.
    fn dissect(&mut self, position: u64, level: u8) -> [B256; 16] {
        std::array::from_fn(|part| self.hash_at(position + (part as u64 + 1) * span(level - 1)))
    }
    fn answer(&mut self, position: u64, level: u8, segment: &Segment) -> Answer;
}

impl Side for Player {
    fn hash_at(&mut self, position: u64) -> B256 {
        Player::hash_at(self, position)
    }

    fn answer(&mut self, position: u64, level: u8, segment: &Segment) -> Answer {
        Player::answer(self, position, level, segment)
    }
}

/// A side that gives wrong hashes from step `from` on, and disputes the first state about which it
/// disagrees.
pub struct Liar {
    pub player: Player,
    pub from: u64,
}

impl Side for Liar {
    fn hash_at(&mut self, position: u64) -> B256 {
        let hash = self.player.hash_at(position);
        if position < self.from { hash } else { keccak256(hash) }
    }

    fn answer(&mut self, position: u64, level: u8, segment: &Segment) -> Answer {
        let part = span(level - 1);
        let pick = (0..16)
            .find(|pick| self.hash_at(position + (pick + 1) * part) != segment[*pick as usize + 1]);
        match pick {
            Some(pick) if level > 1 => Answer::Move {
                pick: pick as u32,
                states: Box::new(self.dissect(position + pick * part, level - 1)),
            },
            _ => Answer::Nothing,
        }
    }
}

/// A game as the chain's events describe it.
pub struct Watched {
    pub id: GameId,
    pub game: Game,
    /// Nodes of the receipt that the provider has shown.
    pub nodes: Vec<SumNode>,
    pub level: u8,
    pub position: u64,
    pub accusers_turn: bool,
    pub deadline: u64,
    pub segment: Segment,
    pub stepped: Option<u64>,
    pub end: Option<GameEnd>,
}

/// Follows the newest game of a stream.
pub struct Watch {
    stream: EventStream,
    courts: Vec<(Address, CourtEvent)>,
    /// Hash of the newest block read.
    read: B256,
}

impl Watch {
    /// Follows the courts of the requester's deals.
    pub fn new(place: &Place) -> Self {
        let courts = Courts::of(address("requester"));
        Self {
            stream: place.chain.events_with(place.deployed.block, courts),
            courts: Vec::new(),
            read: B256::ZERO,
        }
    }

    /// Reads to the newest block and returns all canonical events of courts.
    pub async fn all(&mut self, place: &Place) -> &[(Address, CourtEvent)] {
        let head = place.chain.head().await.unwrap();
        // The stream sends only one batch for blocks without events.
        while self.read != head.hash {
            let batch = soon(self.stream.next()).await.expect("the stream goes on");
            for (_, event) in batch.removed {
                if let MarketEvent::Court { court, event } = event {
                    assert_eq!(self.courts.pop(), Some((court, event)), "newest first");
                }
            }
            self.courts.extend(batch.added.into_iter().filter_map(|(_, event)| match event {
                MarketEvent::Court { court, event } => Some((court, event)),
                _ => None,
            }));
            if batch.through == head.number && batch.head == head.number {
                self.read = head.hash;
            }
        }
        &self.courts
    }

    /// Returns the newest game.
    pub async fn game(&mut self, place: &Place) -> Watched {
        let court = place.court.address();
        let mut game: Option<Watched> = None;
        for (_, event) in self.all(place).await.iter().filter(|(from, _)| *from == court) {
            match (event, &mut game) {
                (CourtEvent::Accused(begun), game) => {
                    *game = Some(Watched {
                        id: begun.id,
                        game: begun.game.clone(),
                        nodes: Vec::new(),
                        level: 0,
                        position: 0,
                        accusers_turn: false,
                        deadline: begun.deadline,
                        segment: [B256::ZERO; 17],
                        stepped: None,
                        end: None,
                    });
                }
                (CourtEvent::Unfolded { id, deadline, nodes, .. }, Some(game))
                    if *id == game.id =>
                {
                    (game.nodes, game.deadline, game.accusers_turn) =
                        (nodes.clone(), *deadline, true);
                }
                (CourtEvent::Challenged(it), Some(game)) if it.id == game.id => {
                    (game.level, game.segment, game.deadline) = (it.level, it.segment, it.deadline);
                    game.accusers_turn = false;
                }
                (CourtEvent::Moved(moved), Some(game)) if moved.id == game.id => {
                    game.position = moved.position;
                    game.level = moved.level;
                    game.accusers_turn = moved.accusers_turn;
                    game.deadline = moved.deadline;
                    game.segment = moved.segment;
                }
                (CourtEvent::Stepped { id, position, .. }, Some(game)) if *id == game.id => {
                    game.stepped = Some(*position);
                }
                (CourtEvent::Ended(end), Some(game)) if end.id == game.id => game.end = Some(*end),
                _ => {}
            }
        }
        game.expect("a game was begun")
    }
}

impl Watched {
    /// Returns the provider's call that shows these leaves below its receipt's root.
    pub fn unfold(&self, order: &Order, leaves: &[(B256, u64)]) -> CourtCall {
        let nodes = SumTree::new(leaves.iter().copied()).unfold(2, 0).unwrap();
        CourtCall::Unfold {
            game: Box::new(self.game.clone()),
            order: Box::new(order.clone()),
            nodes,
        }
    }

    /// Returns the accuser's call that challenges the task in dispute.
    pub fn challenge(&self, order: &Order, challenge: Challenge) -> CourtCall {
        let (game, order, nodes) =
            (Box::new(self.game.clone()), Box::new(order.clone()), self.nodes.clone());
        CourtCall::Challenge { game, order, nodes, challenge: Box::new(challenge) }
    }

    /// Returns a side's move as a call by its own account.
    pub fn call(&self, pick: u32, states: &[B256; 16]) -> MoveArgs {
        let states = *states;
        MoveArgs {
            game: self.game.clone(),
            pick,
            segment: self.segment,
            states,
            signature: Bytes::new(),
        }
    }

    /// Returns the struct that a side signs so that anybody can send its move.
    pub fn terms(&self, pick: u32, states: &[B256; 16]) -> Move {
        let mut answer = [self.segment[pick as usize]; 17];
        answer[1..].copy_from_slice(states);
        Move {
            game: self.id,
            level: self.level.into(),
            pick,
            from: segment_hash(&self.segment),
            to: segment_hash(&answer),
        }
    }

    pub fn step(&self, deal: &Deal, pick: u32, proof: Vec<u8>) -> CourtCall {
        let (game, segment) = (self.game.clone(), self.segment);
        CourtCall::Step(Box::new(StepArgs {
            deal: deal.clone(),
            game,
            pick,
            segment,
            proof: proof.into(),
        }))
    }

    pub fn timeout(&self, deal: &Deal) -> CourtCall {
        CourtCall::Timeout { deal: Box::new(deal.clone()), game: Box::new(self.game.clone()) }
    }
}

/// Gas by kind of call.
#[derive(Default)]
pub struct Gas(Vec<(&'static str, u64)>);

impl Gas {
    pub fn note(&mut self, kind: &'static str, mined: &Mined) {
        self.0.push((kind, mined.gas_used));
    }

    pub fn print(&self, what: &str) {
        let total: u64 = self.0.iter().map(|(_, gas)| gas).sum();
        println!("{what}: {total} gas in {} transactions", self.0.len());
        for (kind, gas) in &self.0 {
            println!("  {kind:<8} {gas}");
        }
    }
}

/// Accuses a receipt over these leaves, has it unfolded, and challenges the task in dispute with
/// these states.
pub async fn accuse(
    place: &Place,
    work: &Work,
    signed: Signed,
    leaves: &[(B256, u64)],
    states: [B256; 16],
    name: &str,
    gas: &mut Gas,
) {
    let order = signed.order.clone();
    gas.note(
        "accuse",
        &soon(place.sender("accuser").accuse(name, &place.court, signed)).await.unwrap(),
    );
    let mut watch = Watch::new(place);
    let game = watch.game(place).await;
    gas.note("unfold", &place.send_court("provider", game.unfold(&order, leaves)).await.unwrap());
    let game = watch.game(place).await;
    let call = game.challenge(&order, work.challenge(states));
    gas.note("challenge", &place.send_court("accuser", call).await.unwrap());
}

/// Plays until the side to move has no answer, or the game ends.
pub async fn play(
    place: &Place,
    watch: &mut Watch,
    deal: &Deal,
    accuser: &mut impl Side,
    provider: &mut impl Side,
    gas: &mut Gas,
) -> Watched {
    loop {
        let game = watch.game(place).await;
        if game.end.is_some() {
            return game;
        }
        let known = place.court.game(game.id).await.unwrap().expect("a game that runs");
        assert_eq!((known.level, known.position), (game.level, game.position));
        assert_eq!((known.segment, known.deadline()), (segment_hash(&game.segment), game.deadline));
        let (position, level) = (game.position, game.level);
        let (name, answer) = if game.accusers_turn {
            ("accuser", accuser.answer(position, level, &game.segment))
        } else {
            ("provider", provider.answer(position, level, &game.segment))
        };
        match answer {
            Answer::Move { pick, states } => {
                let call = CourtCall::Move(Box::new(game.call(pick, &states)));
                gas.note("move", &place.send_court(name, call).await.unwrap());
            }
            Answer::Step { pick, proof } => {
                println!("  proof of the step: {} bytes", proof.len());
                gas.note(
                    "step",
                    &place.send_court(name, game.step(deal, pick, proof)).await.unwrap(),
                );
            }
            _ => return game,
        }
    }
}
