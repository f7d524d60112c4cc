//! The example of docs/court.md: a whole game over a small program, on the committed contracts. The
//! page must contain exactly this output; `RIALTO_WRITE_EXAMPLE=true` writes it there.

use std::fmt::Write;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::abi::TokenSeq;
use alloy_sol_types::{SolType, SolValue, sol};
use rialto_chain::bindings::{self as abi, Terms};
use rialto_machine::input::Halves;
use rialto_machine::ir::{alu, op};
use rialto_machine::play::{Answer, PARTS, Player, span};
use rialto_machine::{Lowered, TaskLimits, Tracer, canonicalise, lower, start_parts};
use rialto_protocol::eip712::Typed;
use rialto_protocol::pricing::order_fee;
use rialto_protocol::receipt::{Halted, SumNode, SumTree, inputs_proof, inputs_root, task_seed};
use rialto_protocol::types::{Ask, Deal, Game, Order, Receipt, digest, domain, struct_hash};

use crate::evm::{Judge, Task};

sol! {
    struct Rules {
        uint128 baseBond;
        uint128 bondPerTfuel;
        uint32 baseSeconds;
        uint32 moveSeconds;
        uint64 fuelPerSecond;
    }
    struct Node {
        bytes32 hash;
        uint128 fuel;
    }
    struct Challenge {
        bytes32 input;
        bytes32[] inputProof;
        bytes parts;
        bytes32[16] states;
    }
}

/// Counts the steps of 27 down to 1, where 3n + 1 follows an odd n, and n / 2 an even one.
const PROGRAM: &str = include_str!("turns.wat");

const START: u64 = 1_800_000_000;
const TASK: u32 = 1;
const MILLION: u128 = 1_000_000;

/// Returns a struct's type in a function's signature.
fn tuple<T: Typed>() -> String {
    let text = T::encode_type();
    let fields = text.split_once('(').unwrap().1.split_once(')').unwrap().0;
    let types: Vec<&str> =
        fields.split(',').map(|field| field.split_once(' ').unwrap().0).collect();
    let limits = "(uint32,uint32,uint64,uint64,uint64,uint64,uint64,uint64,uint64,uint128)";
    format!("({})", types.join(",")).replace("Limits", limits)
}

/// Type of a list of nodes in a function's signature.
const NODES: &str = "(bytes32,uint128)[]";

fn nodes(nodes: &[SumNode]) -> Vec<Node> {
    nodes.iter().map(|node| Node { hash: node.hash, fuel: node.fuel }).collect()
}

/// Encodes a call of a function with this name and these types.
fn call<T: SolValue>(name: &str, types: &[&str], arguments: &T) -> Vec<u8>
where
    for<'a> <T::SolType as SolType>::Token<'a>: TokenSeq<'a>,
{
    let selector = keccak256(format!("{name}({})", types.join(",")));
    [&selector[..4], &arguments.abi_encode_params()].concat()
}

/// A provider that made a mistake at one step and continued from the wrong state.
struct Liar {
    player: Player,
    from: u64,
    /// Number of steps until it halts, and its claimed halted state.
    steps: u64,
    halted: B256,
}

impl Liar {
    fn hash_at(&mut self, position: u64) -> B256 {
        match position {
            _ if position < self.from => self.player.hash_at(position),
            _ if position < self.steps => keccak256(self.player.hash_at(position)),
            _ => self.halted,
        }
    }

    fn answer(
        &mut self,
        position: u64,
        level: u8,
        segment: &[B256; PARTS + 1],
    ) -> (u32, [B256; PARTS]) {
        let part = span(level - 1);
        let wrong =
            |pick: &u64| self.hash_at(position + (pick + 1) * part) != segment[*pick as usize + 1];
        let pick = (0..PARTS as u64).find(wrong).unwrap();
        let states = std::array::from_fn(|i| {
            self.hash_at(position + pick * part + (i as u64 + 1) * span(level - 2))
        });
        (pick as u32, states)
    }
}

struct Stage {
    judge: Judge,
    market: Address,
    court: Address,
    provider: PrivateKeySigner,
    requester: Address,
    deal: Deal,
}

impl Stage {
    fn new() -> Self {
        let mut judge = Judge::new();
        judge.evm.now = START;
        let token = judge.evm.create("TestToken", Vec::new());
        let market = judge.evm.create(
            "Market",
            (token, 86_400_u64, 3600_u64, 86_400_u64, MILLION).abi_encode_params(),
        );
        let rules = Rules {
            baseBond: 20 * MILLION,
            bondPerTfuel: MILLION,
            baseSeconds: 3600,
            moveSeconds: 600,
            fuelPerSecond: 100_000_000,
        };
        let court = judge.evm.create("Court", (market, judge.unit, rules).abi_encode_params());
        let provider =
            PrivateKeySigner::from_bytes(&keccak256("the provider of docs/court.md")).unwrap();
        let requester = Address::repeat_byte(0x11);
        let ask = Ask {
            provider: provider.address(),
            key: provider.address(),
            priceStart: 4 * MILLION,
            priceEnd: 4 * MILLION,
            from: START,
            to: START + 3600,
            minBudget: 1,
            maxBudget: 1000 * MILLION,
            collateralBps: 5000,
            maxSeconds: 7 * 86_400,
            capacity: 1,
            court,
            ..Ask::default()
        };
        let budget = 100 * MILLION;
        let deal = Deal {
            ask: struct_hash(&ask),
            requester,
            provider: provider.address(),
            requesterKey: requester,
            providerKey: provider.address(),
            budget,
            collateral: budget / 2,
            price: ask.priceStart,
            openedAt: START,
            expiry: START + 86_400,
            court,
            ..Deal::default()
        };
        let mut stage = Self { judge, market, court, provider, requester, deal };
        for owner in [requester, stage.provider.address()] {
            stage.send(
                owner,
                token,
                call("mint", &["address", "uint256"], &(owner, U256::from(500 * MILLION))),
            );
            stage.send(
                owner,
                token,
                call("approve", &["address", "uint256"], &(market, U256::MAX)),
            );
            stage.send(
                owner,
                market,
                call("deposit", &["address", "uint128"], &(owner, 200 * MILLION)),
            );
            stage.send(owner, market, call("allow", &["address", "uint128"], &(court, u128::MAX)));
        }
        let signature = stage.sign(&ask);
        let (key, duration, price) = (requester, 86_400, ask.priceStart);
        let terms = Terms { key, budget, openedAt: START, duration, maxPrice: price, salt: 0 };
        let (id, _) = stage.send(
            requester,
            market,
            call(
                "open",
                &[&tuple::<Ask>(), "bytes", "(address,uint128,uint64,uint32,uint128,uint64)"],
                &(abi::Ask::from(&ask), signature, terms),
            ),
        );
        assert_eq!(id.as_ref(), struct_hash(&stage.deal).as_slice());
        stage
    }

    fn send(&mut self, from: Address, to: Address, data: Vec<u8>) -> (Bytes, u64) {
        self.judge.evm.call(from, to, data, true).unwrap()
    }

    /// Returns the provider's signature.
    fn sign<T: Typed>(&self, value: &T) -> Bytes {
        let signature =
            self.provider.sign_hash_sync(&digest(value, &domain(1, self.market))).unwrap();
        Bytes::from(signature.as_bytes().to_vec())
    }

    /// Returns the balance of a market account, millions of base units.
    fn money(&mut self, owner: Address) -> u128 {
        let (answer, _) = self
            .judge
            .evm
            .call(owner, self.market, call("account", &["address"], &(owner,)), false)
            .unwrap();
        <(u128, u64, u32)>::abi_decode_params(&answer).unwrap().0
    }
}

fn program() -> Arc<Lowered> {
    let buffer = wast::parser::ParseBuffer::new(PROGRAM).unwrap();
    let wasm = wast::parser::parse::<wast::Wat<'_>>(&buffer).unwrap().encode().unwrap();
    Arc::new(lower(&canonicalise(&wasm).unwrap().module))
}

/// Plays the game and returns the text of the page.
fn play() -> String {
    let mut stage = Stage::new();
    let program = program();
    let inputs: Vec<Arc<Halves>> = (0..2_u8)
        .map(|task| Arc::new(Halves::new(vec![task].into(), Default::default())))
        .collect();
    let roots: Vec<B256> = inputs.iter().map(|input| input.root()).collect();
    let order = Order {
        deal: struct_hash(&stage.deal),
        program: program.parts.root(),
        inputs: inputs_root(&roots),
        tasks: 2,
        fuelLimit: 10_000,
        outLimit: 1024,
        maxPages: 1,
        seed: 7,
        dueBy: START + 600,
        ..Order::default()
    };
    let limits = |task| TaskLimits::of(&order, task);
    let player =
        |task: u32| Player::new(program.clone(), inputs[task as usize].clone(), limits(task));
    let ended = |task: u32| {
        let mut tracer = Tracer::new(program.clone(), inputs[task as usize].clone(), limits(task));
        let steps = tracer.finish(1 << 30).unwrap();
        (*tracer.halted().unwrap(), steps)
    };
    let (right, steps) = ended(TASK);
    assert_eq!(right.exit_code, 111);
    let wrong = Halted { exit_code: 112, ..right };
    // The mistake is at the first multiplication from step 1000 on.
    let mut honest = player(TASK);
    let mistake = (1000..steps)
        .find(|at| {
            let (_, it) = honest.at(*at).next().unwrap();
            matches!(it.op, op::ALU | op::ALU_IMM) && it.aux & 0x7f == alu::MUL
        })
        .unwrap();
    let mut liar = Liar { player: player(TASK), from: mistake + 1, steps, halted: wrong.hash() };

    let tree = SumTree::over(&[ended(0).0, wrong], order.fuelLimit);
    let mut receipt = Receipt {
        order: struct_hash(&order),
        root: tree.root().hash,
        fuel: tree.root().fuel,
        fee: 0,
    };
    receipt.fee = order_fee(&stage.deal, receipt.fuel, 2).unwrap();
    let signature = stage.sign(&receipt);
    let parts = start_parts(&program, &inputs[TASK as usize]);
    assert_eq!(parts.len(), 447);
    let first = honest.hash_at(0);
    let task = Task {
        program: order.program,
        input: roots[TASK as usize],
        seed: task_seed(order.seed, TASK),
        fuelLimit: order.fuelLimit,
        outLimit: order.outLimit,
        maxPages: order.maxPages,
    };
    let (begin, most) = stage.judge.start(task, parts.clone()).unwrap();
    assert_eq!((begin, most), (first, program.parts.most_steps(order.fuelLimit)));

    let mut states = honest.open();
    let mut level = honest.level();
    let mut text = format!(
        "| | |\n|---|---|\n\
         | program, `order.program` | `{}` |\n\
         | task {TASK}'s input | `{}` |\n\
         | s(0), which the court computes from the order | `{first}` |\n\
         | how it ended, the provider's word: exit code {} | `{}` |\n\
         | how it ended, the accuser's: exit code {} after {steps} steps | `{}` |\n\
         | steps that the run is padded to: 16^{level}, as at most {most} | {} |\n",
        order.program,
        roots[TASK as usize],
        wrong.exit_code,
        wrong.hash(),
        right.exit_code,
        right.hash(),
        span(level),
    );

    let (accuser, court) = (stage.requester, stage.court);
    let data = call(
        "accuse",
        &[&tuple::<Deal>(), &tuple::<Order>(), &tuple::<Receipt>(), "bytes"],
        &(
            abi::Deal::from(&stage.deal),
            abi::Order::from(&order),
            abi::Receipt::from(&receipt),
            signature,
        ),
    );
    let (id, mut gas) = stage.send(accuser, court, data);
    let game = Game {
        deal: struct_hash(&stage.deal),
        order: struct_hash(&order),
        receipt: struct_hash(&receipt),
        accuser,
        provider: stage.provider.address(),
        providerKey: stage.provider.address(),
        bond: 20 * MILLION,
        openedAt: START,
    };
    assert_eq!(id.as_ref(), struct_hash(&game).as_slice());
    let _ = writeln!(text, "| the game | `{}` |\n", struct_hash(&game));
    let _ = writeln!(
        text,
        "The accuser names the receipt, the provider shows what stands under its root, and the accuser says how the second of these \
         leaves really went:\n\n| call | by | shows | gas |\n|---|---|---|---|\n\
         | `accuse` | accuser | the receipt, whose root is `{}` | {gas} |",
        receipt.root
    );
    let shown = nodes(&tree.unfold(1, 0).unwrap());
    let types = [&tuple::<Game>(), &tuple::<Order>(), NODES];
    stage.judge.evm.now += 60;
    let data =
        call("unfold", &types, &(abi::Game::from(&game), abi::Order::from(&order), shown.clone()));
    let (_, used) = stage.send(stage.provider.address(), court, data);
    let leaf = |leaf: &Node| format!("`{}`, {} fuel", leaf.hash, leaf.fuel);
    let _ = writeln!(
        text,
        "| `unfold` | provider | {}; {} | {used} |",
        leaf(&shown[0]),
        leaf(&shown[1])
    );
    gas += used;
    stage.judge.evm.now += 60;
    let challenge = Challenge {
        input: roots[TASK as usize],
        inputProof: inputs_proof(&roots, TASK),
        parts: parts.into(),
        states,
    };
    let types = [
        &tuple::<Game>(),
        &tuple::<Order>(),
        NODES,
        "uint32",
        "(bytes32,bytes32[],bytes,bytes32[16])",
    ];
    let data = call(
        "challenge",
        &types,
        &(abi::Game::from(&game), abi::Order::from(&order), shown, TASK, challenge),
    );
    let (_, used) = stage.send(accuser, court, data);
    let _ = writeln!(
        text,
        "| `challenge` | accuser | that it ended as `{}`, and how it got there | {used} |\n",
        right.hash()
    );
    gas += used;
    text += "| call | by | pick | segment from step | every | hash of the segment | gas |\n|---|---|---|---|---|---|---|\n";
    let mut row = |name: &str,
                   by: &str,
                   pick: Option<u32>,
                   position: u64,
                   level: u8,
                   segment: B256,
                   gas: u64| {
        let pick = pick.map_or("–".to_owned(), |pick| pick.to_string());
        let _ = writeln!(
            text,
            "| `{name}` | {by} | {pick} | {position} | {} | `{segment}` | {gas} |",
            span(level - 1)
        );
    };
    let joined = |first: B256, states: &[B256; PARTS]| -> [B256; PARTS + 1] {
        std::array::from_fn(|i| if i == 0 { first } else { states[i - 1] })
    };
    let mut segment = joined(first, &states);
    let mut position = 0;
    row("challenge", "accuser", None, position, level, keccak256(segment.abi_encode()), used);
    let mut providers_turn = true;
    let (pick, proof) = loop {
        let (name, side, pick);
        if providers_turn {
            (name, side) = ("provider", stage.provider.address());
            (pick, states) = liar.answer(position, level, &segment);
        } else {
            (name, side) = ("accuser", accuser);
            match honest.answer(position, level, &segment) {
                Answer::Move { pick: part, states: mine } => (pick, states) = (part, *mine),
                Answer::Step { pick, proof } => break (pick, proof),
                _ => panic!("who is right has an answer"),
            }
        }
        stage.judge.evm.now += 60;
        let data = call(
            "move",
            &[&tuple::<Game>(), "uint32", "bytes32[17]", "bytes32[16]", "bytes"],
            &(abi::Game::from(&game), pick, segment, states, Bytes::new()),
        );
        let (_, used) = stage.send(side, court, data);
        level -= 1;
        position += u64::from(pick) * span(level);
        segment = joined(segment[pick as usize], &states);
        row("move", name, Some(pick), position, level, keccak256(segment.abi_encode()), used);
        gas += used;
        providers_turn = !providers_turn;
    };

    let at = position + u64::from(pick);
    assert_eq!(at, mistake);
    let (state, claimed) = (segment[pick as usize], segment[pick as usize + 1]);
    let (next, alone) = stage.judge.step(state, proof.clone()).unwrap();
    assert_eq!(next, honest.hash_at(at + 1));
    let burned = Address::left_padding_from(&[0xde, 0xad]);
    let before = [accuser, game.provider, burned].map(|owner| stage.money(owner));
    let data = call(
        "step",
        &[&tuple::<Deal>(), &tuple::<Game>(), "uint32", "bytes32[17]", "bytes"],
        &(
            abi::Deal::from(&stage.deal),
            abi::Game::from(&game),
            pick,
            segment,
            Bytes::from(proof.clone()),
        ),
    );
    let (_, used) = stage.send(accuser, court, data);
    row("step", "anyone", Some(pick), at, 1, keccak256(segment.abi_encode()), used);
    gas += used;
    let after = [accuser, game.provider, burned].map(|owner| stage.money(owner));
    let (pc, it) = honest.at(at).next().unwrap();
    let function = format!(
        "{}{}",
        alu::NAMES[usize::from(it.aux & 0x7f)],
        if it.aux & 0x80 != 0 { ".64" } else { "" }
    );
    let gained = |i: usize| (after[i] - before[i]) / MILLION;
    let _ = write!(
        text,
        "\nIn all {gas} gas. Step {at} is instruction {pc}, `{} {function}`: S[{}] = S[{}] times {}. Its proof has {} bytes; `StepUnit.step` \
         alone, as a transaction, takes {alone} gas.\n\n\
         | | |\n|---|---|\n\
         | state before it | `{state}` |\n\
         | state after it, the provider's word | `{claimed}` |\n\
         | state after it, by the proof | `{next}` |\n\n\
         The provider had locked 50 million base units of collateral, the accuser a bond of 20 million, and the budget was 100 million. To \
         the accuser, who is the requester, came {}: bond, budget and 70 % of the collateral. To the provider came {}, and {} burned.\n",
        op::name(it.op),
        it.d,
        it.a,
        it.imm,
        proof.len(),
        gained(0),
        gained(1),
        gained(2),
    );
    text
}

#[test]
fn the_page_tells_what_happens() {
    const BEGIN: &str = "<!-- played by crates/sim/tests/machine/example.rs -->\n";
    const END: &str = "<!-- end of what is played -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/court.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (told, after) = rest.split_once(END).unwrap();
    let played = play();
    if std::env::var("RIALTO_WRITE_EXAMPLE").is_ok() {
        std::fs::write(path, [before, BEGIN, &played, END, after].concat()).unwrap();
        return;
    }
    assert!(
        told == played,
        "docs/court.md should say (RIALTO_WRITE_EXAMPLE=true writes it):\n{played}"
    );
    assert!(page.contains(PROGRAM), "the page should show the program:\n{PROGRAM}");
}
