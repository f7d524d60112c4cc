//! Steps that no program reaches: random instructions on random states, with fitting proofs. Each
//! has the same next state in Rust and on the contract, and a proof with a changed byte has none.
//!
//! `RIALTO_TOTALITY_CASES` is the number of cases (default 3000), `RIALTO_TOTALITY_SEED` the first
//! seed (default 1). A failure names its seed.

use std::collections::BTreeMap;
use std::convert::Infallible;

use alloy_primitives::B256;
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use rialto_machine::ir::{Entry, GLOBALS_DEPTH, INPUT_DEPTH, Instruction, STACK_DEPTH, WIDE, op};
use rialto_machine::step::{
    Flow, Registers, Roots, World, call_hash, encode_state, hash_state, step,
};
use rialto_machine::{WrongProof, judge};
use rialto_protocol::receipt::{Halted, Status, node};

use crate::{evm, number, vectors};

/// Trees of a state. Their order has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Code,
    Stack,
    Globals,
    Table,
    Memory,
    Input,
}

/// Trees that are invented on demand: a leaf gets a random value when the step first touches it,
/// and all other nodes are random, too. A first walk finds the leaves, and a second walk over the
/// same trees writes the proof.
struct Made {
    rng: StdRng,
    seed: u64,
    r: Registers,
    it: Instruction,
    /// Leaves before and after the step.
    first: BTreeMap<(Place, u32), B256>,
    now: BTreeMap<(Place, u32), B256>,
    /// Call that a return closes: callHash before the call, pc, fp.
    call: (B256, u32, u32),
    calls: B256,
    open: Option<(Place, u32)>,
    proof: Option<Vec<u8>>,
}

fn random(rng: &mut StdRng) -> B256 {
    let mut bytes = B256::ZERO;
    rng.fill_bytes(bytes.as_mut_slice());
    bytes
}

/// Returns a word that is an interesting operand.
fn word(rng: &mut StdRng) -> u64 {
    match rng.random_range(0..8) {
        0..3 => rng.random_range(0..40),
        3..5 => vectors::integer(rng),
        5 => vectors::float(rng, true),
        6 => vectors::float(rng, false),
        _ => rng.next_u64(),
    }
}

impl Made {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let it = instruction(&mut rng);
        let r = registers(&mut rng);
        let call = (random(&mut rng), rng.random(), rng.random());
        Self {
            seed: rng.next_u64(),
            calls: call_hash(call.0, call.1, call.2),
            rng,
            r,
            it,
            first: BTreeMap::new(),
            now: BTreeMap::new(),
            call,
            open: None,
            proof: None,
        }
    }

    fn depth(&self, place: Place) -> u32 {
        match place {
            Place::Code => self.r.code_depth,
            Place::Stack => STACK_DEPTH.into(),
            Place::Globals => GLOBALS_DEPTH.into(),
            Place::Table => self.r.table_depth,
            Place::Memory => self.r.memory_depth,
            Place::Input => INPUT_DEPTH.into(),
        }
    }

    fn make(&mut self, place: Place, index: u32) -> B256 {
        let rng = &mut self.rng;
        let mut leaf = random(rng);
        match place {
            Place::Code if index == self.r.pc >> 1 => {
                leaf[16 * (self.r.pc as usize & 1)..][..16].copy_from_slice(&self.it.encode());
            }
            Place::Stack | Place::Globals => {
                leaf.chunks_exact_mut(8)
                    .for_each(|bytes| bytes.copy_from_slice(&word(rng).to_be_bytes()));
            }
            Place::Table if rng.random_ratio(3, 4) => {
                leaf[..4].copy_from_slice(&(self.it.imm as u32).to_be_bytes());
            }
            Place::Table => leaf[..4].fill(0),
            _ => {}
        }
        leaf
    }

    /// Returns a node of height `height`, computed from known leaves or invented.
    fn node(&self, place: Place, height: u32, index: u32) -> B256 {
        let (from, past) = (u64::from(index) << height, (u64::from(index) + 1) << height);
        let mut within = self.now.range((place, from as u32)..=(place, (past - 1) as u32));
        match (within.next(), height) {
            (Some((_, leaf)), 0) => *leaf,
            (Some(_), _) => node(
                self.node(place, height - 1, 2 * index),
                self.node(place, height - 1, 2 * index + 1),
            ),
            (None, _) => {
                let mut bytes = B256::repeat_byte(place as u8 + 1);
                bytes[..8].copy_from_slice(&self.seed.to_be_bytes());
                bytes[8..16].copy_from_slice(&from.to_be_bytes());
                bytes[16..20].copy_from_slice(&height.to_be_bytes());
                bytes
            }
        }
    }

    /// Returns the root of a tree. A tree that the step does not read may have an impossible depth.
    fn root(&self, place: Place) -> B256 {
        let depth = self.depth(place);
        if depth > 28 { B256::repeat_byte(0xee) } else { self.node(place, depth, 0) }
    }

    fn roots(&self) -> Roots {
        Roots {
            calls: self.calls,
            memory: self.root(Place::Memory),
            stack: self.root(Place::Stack),
            globals: self.root(Place::Globals),
            code: self.root(Place::Code),
            table: self.root(Place::Table),
            input: self.root(Place::Input),
        }
    }

    fn touch(&mut self, place: Place, index: u32) -> B256 {
        if !self.now.contains_key(&(place, index)) {
            let leaf = self.make(place, index);
            self.first.insert((place, index), leaf);
            self.now.insert((place, index), leaf);
        }
        let leaf = self.now[&(place, index)];
        if self.open.replace((place, index)) != Some((place, index)) && self.proof.is_some() {
            let siblings: Vec<B256> = (0..self.depth(place))
                .map(|height| self.node(place, height, (index >> height) ^ 1))
                .collect();
            let proof = self.proof.get_or_insert_default();
            proof.extend_from_slice(leaf.as_slice());
            siblings.iter().for_each(|sibling| proof.extend_from_slice(sibling.as_slice()));
        }
        leaf
    }

    fn change(&mut self, place: Place, index: u32, at: usize, bytes: &[u8]) {
        self.touch(place, index);
        let leaf = self.now.entry((place, index)).or_default();
        leaf[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn number(&mut self, place: Place, index: u32) -> u64 {
        let leaf = self.touch(place, index >> 2);
        u64::from_be_bytes(leaf[8 * (index as usize & 3)..][..8].try_into().unwrap())
    }

    /// Takes the step and returns the state after it.
    fn walk(&mut self) -> (Flow, B256) {
        let mut r = self.r;
        let Ok(flow) = step(&mut r, self);
        if let Flow::Halt(status, exit_code) = flow {
            self.touch(Place::Globals, 0);
            let halted = Halted {
                status,
                exit_code,
                out_hash: r.out_hash,
                out_len: r.out_len,
                fuel_left: self.number(Place::Globals, 0) as i64,
                digest: self.number(Place::Globals, 2),
            };
            return (flow, halted.hash());
        }
        (flow, hash_state(&encode_state(&r, &self.roots())))
    }

    /// Returns a state, a proof of the step from it, and the next state.
    fn case(&mut self) -> (B256, Vec<u8>, Flow, B256) {
        self.walk();
        (self.now, self.open, self.calls) =
            (self.first.clone(), None, call_hash(self.call.0, self.call.1, self.call.2));
        let words = encode_state(&self.r, &self.roots());
        self.proof = Some([[1].as_slice(), &words].concat());
        let (flow, next) = self.walk();
        (hash_state(&words), self.proof.take().unwrap(), flow, next)
    }
}

impl World for Made {
    type Error = Infallible;

    fn instruction(&mut self, pc: u32) -> Result<Instruction, Infallible> {
        self.touch(Place::Code, pc >> 1);
        Ok(self.it)
    }

    fn slot(&mut self, slot: u32) -> Result<u64, Infallible> {
        Ok(self.number(Place::Stack, slot))
    }

    fn set_slot(&mut self, slot: u32, value: u64) -> Result<(), Infallible> {
        self.change(Place::Stack, slot >> 2, 8 * (slot as usize & 3), &value.to_be_bytes());
        Ok(())
    }

    fn global(&mut self, index: u32) -> Result<u64, Infallible> {
        Ok(self.number(Place::Globals, index))
    }

    fn set_global(&mut self, index: u32, value: u64) -> Result<(), Infallible> {
        self.change(Place::Globals, index >> 2, 8 * (index as usize & 3), &value.to_be_bytes());
        Ok(())
    }

    fn entry(&mut self, index: u32) -> Result<Entry, Infallible> {
        let leaf = self.touch(Place::Table, index);
        let number = |at: usize| u32::from_be_bytes(leaf[at..at + 4].try_into().unwrap());
        Ok(Entry { ty: number(0), pc: number(4) })
    }

    fn load(&mut self, address: u64, size: u8) -> Result<u64, Infallible> {
        let mut value = 0;
        for byte in 0..u64::from(size) {
            let leaf = self.touch(Place::Memory, ((address + byte) >> 5) as u32);
            value |= u64::from(leaf[((address + byte) & 31) as usize]) << (8 * byte);
        }
        Ok(value)
    }

    fn store(&mut self, address: u64, size: u8, value: u64) -> Result<(), Infallible> {
        for byte in 0..u64::from(size) {
            let at = address + byte;
            self.change(
                Place::Memory,
                (at >> 5) as u32,
                (at & 31) as usize,
                &[(value >> (8 * byte)) as u8],
            );
        }
        Ok(())
    }

    fn grow(&mut self, _pages: u32) {}

    fn input(&mut self, leaf: u32) -> Result<[u8; 32], Infallible> {
        Ok(self.touch(Place::Input, leaf).0)
    }

    fn push(&mut self, pc: u32, fp: u32) {
        self.calls = call_hash(self.calls, pc, fp);
    }

    fn frame(&mut self, _fp: u32) {}

    fn pop(&mut self) -> Result<(u32, u32), Infallible> {
        let (before, pc, fp) = self.call;
        if let Some(proof) = &mut self.proof {
            proof.extend_from_slice(before.as_slice());
            proof.extend_from_slice(&pc.to_be_bytes());
            proof.extend_from_slice(&fp.to_be_bytes());
        }
        (self.calls, self.open) = (before, None);
        Ok((pc, fp))
    }
}

fn instruction(rng: &mut StdRng) -> Instruction {
    let op =
        if rng.random_ratio(1, 24) { rng.random() } else { rng.random_range(0..=*op::ALL.end()) };
    let aux = match op {
        _ if rng.random_ratio(1, 24) => rng.random(),
        op::ALU | op::ALU_IMM | op::FP => {
            rng.random_range(0..29) | if rng.random() { WIDE } else { 0 }
        }
        op::LOAD => rng.random_range(0..10),
        op::STORE => rng.random_range(0..5),
        _ => rng.random_range(0..6),
    };
    // Small offsets, so that operands often share a leaf.
    let mut offset = || match rng.random_range(0..4) {
        0..2 => rng.random_range(0..9),
        2 => rng.random_range(0..200),
        _ => rng.random(),
    };
    let (d, a, b) = (offset(), offset(), offset());
    let imm = match rng.random_range(0..4) {
        _ if matches!(op, op::GGET | op::GSET | op::LOAD | op::STORE) && rng.random() => {
            rng.random_range(0..1030)
        }
        0 => rng.random_range(0..1100),
        1 => {
            u64::from(rng.random_range(0..30_u32)) << 32
                | u64::from(rng.next_u32() >> rng.random_range(0..32))
        }
        2 => vectors::integer(rng),
        _ => word(rng),
    };
    Instruction { op, aux, d, a, b, imm }
}

/// Returns registers that a program can reach, and others.
fn registers(rng: &mut StdRng) -> Registers {
    let mut depth = || {
        if rng.random_ratio(1, 20) {
            [29, 30, 31, 32, 63, 64, 256, u32::MAX][rng.random_range(0..8)]
        } else {
            rng.random_range(0..=28)
        }
    };
    let (code_depth, memory_depth, table_depth) = (depth(), depth(), depth());
    let any = |rng: &mut StdRng| rng.next_u32() >> rng.random_range(0..32);
    let pc = if rng.random_ratio(1, 20) {
        any(rng)
    } else {
        rng.next_u32() >> (31 - code_depth.min(28))
    };
    let fp = match rng.random_range(0..10) {
        0 => 0,
        1 => (1 << 20) - rng.random_range(0..12),
        2 => any(rng),
        _ => rng.random_range(0..1 << 20),
    };
    let depth = match rng.random_range(0..8) {
        0 => 0,
        1 => (1 << 20) - 1,
        2 => 1 << 20,
        3 => any(rng),
        _ => rng.random_range(1..100),
    };
    let out_len = match rng.random_range(0..6) {
        0 => rng.next_u64() >> rng.random_range(0..64),
        1 => u64::MAX - rng.random_range(0..64),
        _ => u64::from(rng.next_u32()) << 5,
    };
    let out_limit = match rng.random_range(0..4) {
        0 => rng.next_u64(),
        1 => out_len.saturating_add(rng.random_range(0..34)),
        _ => u64::MAX,
    };
    Registers {
        pc,
        fp,
        depth,
        pages: if rng.random() { 1 << rng.random_range(0..17) } else { any(rng) },
        out_len,
        out_limit,
        in_len: rng.next_u64(),
        max_pages: any(rng),
        table_len: if rng.random() { rng.next_u32() } else { any(rng) },
        code_depth,
        memory_depth,
        table_depth,
        version: rng.next_u32(),
        out_hash: random(rng),
    }
}

/// For each instruction, the numbers of steps that continued, finished and trapped.
type Tally = BTreeMap<u8, [u32; 3]>;

fn check(seed: u64, chain: &mut evm::Judge, tally: &mut Tally, most: &mut u64) {
    let mut made = Made::new(seed);
    let (state, proof, flow, next) = made.case();
    assert_eq!(judge(state, &proof), Ok(next), "{:?}", made.it);
    let (on_chain, gas) = chain.step(state, proof.clone()).unwrap();
    assert_eq!(on_chain, next, "{:?} {:?} on the contract", made.it, made.r);
    *most = gas.max(*most);
    let outcome = match flow {
        Flow::Next => 0,
        Flow::Halt(Status::Finished, _) => 1,
        Flow::Halt(Status::Trap, _) => 2,
    };
    // Without code there is no instruction to count.
    if made.now.keys().any(|(place, _)| *place == Place::Code) {
        tally.entry(made.it.op).or_default()[outcome] += 1;
    }

    // Bytes after the last item are ignored; any other change is refused.
    let rng = &mut made.rng;
    let longer = [proof.as_slice(), random(rng).as_slice()].concat();
    assert_eq!(judge(state, &longer), Ok(next));
    let mut flipped = proof.clone();
    flipped[rng.random_range(0..proof.len())] ^= 1 << rng.random_range(0..8);
    let shorter = proof[..rng.random_range(0..proof.len())].to_vec();
    let other = random(rng);
    for (state, proof, what) in [
        (state, flipped, "another bit"),
        (state, shorter, "too short"),
        (other, proof, "another state"),
    ] {
        assert_eq!(judge(state, &proof), Err(WrongProof), "{what}");
        assert!(chain.refuses(state, proof), "{what} on the contract");
    }
    assert_eq!(chain.step(state, longer).unwrap().0, next);
}

#[test]
fn every_step_has_a_next_state() {
    let (first, count) = (number("RIALTO_TOTALITY_SEED", 1), number("RIALTO_TOTALITY_CASES", 3000));
    let mut chain = evm::Judge::new();
    let (mut tally, mut most) = (Tally::new(), 0);
    for seed in first..first + count {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check(seed, &mut chain, &mut tally, &mut most);
        }));
        assert!(
            outcome.is_ok(),
            "RIALTO_TOTALITY_SEED={seed} RIALTO_TOTALITY_CASES=1 reproduces this"
        );
    }
    println!("{count} steps, at most {most} gas; that went on, finished, trapped:");
    for (op, [next, finished, trapped]) in tally.range(..=op::ALL.end()) {
        println!("  {:8}{next:6}{finished:6}{trapped:6}", op::name(*op));
    }
    assert!(most < 165_000, "a step is too dear: {most} gas");
    if count < 1000 {
        return;
    }
    for op in op::ALL.filter(|op| *op != op::EXIT) {
        assert!(
            tally.get(&op).is_some_and(|[next, ..]| *next > 5),
            "{} hardly goes on",
            op::name(op)
        );
    }
    assert!(
        tally
            .iter()
            .filter(|(op, _)| !op::ALL.contains(op))
            .all(|(_, counts)| counts[..2] == [0, 0])
    );
    assert!(tally[&op::EXIT][1] > 5 && tally[&op::RET][1] > 0);
}

/// Random bytes are refused as a proof.
#[test]
fn noise_is_refused() {
    let mut chain = evm::Judge::new();
    let mut rng = StdRng::seed_from_u64(9);
    for length in [0, 1, 2, 61, 62, 63, 320, 321, 322, 353, 1000, 5000] {
        for kind in [0, 1, 2, 255] {
            let mut proof = vec![0; length];
            rng.fill_bytes(&mut proof);
            if let Some(first) = proof.first_mut() {
                *first = kind;
            }
            let state = random(&mut rng);
            assert_eq!(judge(state, &proof), Err(WrongProof));
            assert!(chain.refuses(state, proof), "{length} bytes of kind {kind}");
        }
    }
}

/// Every halted state is followed by itself.
#[test]
fn what_has_halted_stays() {
    let mut chain = evm::Judge::new();
    let mut rng = StdRng::seed_from_u64(10);
    for _ in 0..50 {
        let mut bytes = [0; Halted::BYTES];
        rng.fill_bytes(&mut bytes);
        let state = alloy_primitives::keccak256([b"rialto-halt".as_slice(), &bytes].concat());
        let mut proof = [[0].as_slice(), &bytes].concat();
        assert_eq!(judge(state, &proof), Ok(state));
        assert_eq!(chain.step(state, proof.clone()).unwrap().0, state);
        proof[rng.random_range(0..=Halted::BYTES)] ^= 1 << rng.random_range(0..8);
        assert_eq!(judge(state, &proof), Err(WrongProof));
        assert!(chain.refuses(state, proof));
    }
}
