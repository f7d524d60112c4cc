//! Proofs of single steps. They are made from a tracer and checked in the same way as the contract
//! does (`docs/machine.md`, "Proof of a step").

use alloy_primitives::{B256, keccak256};
use rialto_protocol::receipt::{Halted, Status};

use crate::tree::fold;
use crate::v3::ir::{Entry, GLOBALS_DEPTH, INPUT_DEPTH, Instruction, STACK_DEPTH};
use crate::v3::lower::{code_leaf, table_leaf};
use crate::v3::step::{
    self, Flow, Registers, Roots, STATE_BYTES, World, call_hash, decode_state, encode_state,
    hash_state,
};
use crate::v3::trace::{Arrays, Tracer, Trees};

const HALTED: u8 = 0;
const RUNNING: u8 = 1;

/// Tree that a leaf belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Code,
    Stack,
    Globals,
    Table,
    Memory,
    Input,
}

impl Tracer {
    /// Takes one step and returns its proof.
    pub fn prove(&mut self) -> Vec<u8> {
        if let Some(halted) = self.halted() {
            let encoded = halted.encode();
            self.count_step();
            return [[HALTED].as_slice(), &encoded].concat();
        }
        let mut proof = vec![RUNNING];
        proof.extend_from_slice(&self.state());
        let mut r = self.r;
        let mut recorder =
            Recorder { arrays: &mut self.arrays, trees: &mut self.trees, proof, open: None };
        let Ok(flow) = step::step(&mut r, &mut recorder);
        if let Flow::Halt(..) = flow {
            recorder.touch(Place::Globals, 0);
        }
        let proof = recorder.proof;
        self.r = r;
        self.count_step();
        if let Flow::Halt(status, exit_code) = flow {
            self.end(&r, status, exit_code);
        }
        proof
    }
}

/// Takes a step on the arrays, updates the trees at each write, and records every leaf that is
/// touched.
struct Recorder<'a> {
    arrays: &'a mut Arrays,
    trees: &'a mut Trees,
    proof: Vec<u8>,
    open: Option<(Place, u32)>,
}

impl Recorder<'_> {
    fn touch(&mut self, place: Place, leaf: u32) {
        if self.open.replace((place, leaf)) == Some((place, leaf)) {
            return;
        }
        let (arrays, program, at) = (&*self.arrays, &*self.arrays.program, leaf as usize);
        let (leaf, siblings) = match place {
            Place::Code => {
                let of = |at| code_leaf(&program.code, at);
                (of(at), program.code_tree.siblings(at, of))
            }
            Place::Table => {
                let of = |at| table_leaf(&program.table, at);
                (of(at), program.table_tree.siblings(at, of))
            }
            Place::Stack => self.trees.open_stack(arrays, at),
            Place::Globals => self.trees.open_globals(arrays, at),
            Place::Memory => self.trees.open_memory(arrays, at),
            Place::Input => (arrays.input.leaf(leaf).into(), arrays.input.siblings(leaf)),
        };
        self.proof.extend_from_slice(leaf.as_slice());
        siblings.iter().for_each(|sibling| self.proof.extend_from_slice(sibling.as_slice()));
    }

    fn leaves(address: u64, size: u8) -> (u32, u32) {
        ((address >> 5) as u32, ((address + u64::from(size) - 1) >> 5) as u32)
    }
}

impl World for Recorder<'_> {
    type Error = std::convert::Infallible;

    fn instruction(&mut self, pc: u32) -> Result<Instruction, Self::Error> {
        self.touch(Place::Code, pc >> 1);
        self.arrays.instruction(pc)
    }

    fn slot(&mut self, slot: u32) -> Result<u64, Self::Error> {
        self.touch(Place::Stack, slot >> 2);
        self.arrays.slot(slot)
    }

    fn set_slot(&mut self, slot: u32, value: u64) -> Result<(), Self::Error> {
        self.touch(Place::Stack, slot >> 2);
        self.arrays.set_slot(slot, value)?;
        self.trees.wrote_stack(self.arrays, slot as usize);
        Ok(())
    }

    fn global(&mut self, index: u32) -> Result<u64, Self::Error> {
        self.touch(Place::Globals, index >> 2);
        self.arrays.global(index)
    }

    fn set_global(&mut self, index: u32, value: u64) -> Result<(), Self::Error> {
        self.touch(Place::Globals, index >> 2);
        self.arrays.set_global(index, value)?;
        self.trees.wrote_globals(self.arrays, index as usize);
        Ok(())
    }

    fn entry(&mut self, index: u32) -> Result<Entry, Self::Error> {
        self.touch(Place::Table, index);
        self.arrays.entry(index)
    }

    fn load(&mut self, address: u64, size: u8) -> Result<u64, Self::Error> {
        let (first, last) = Self::leaves(address, size);
        self.touch(Place::Memory, first);
        self.touch(Place::Memory, last);
        self.arrays.load(address, size)
    }

    fn store(&mut self, address: u64, size: u8, value: u64) -> Result<(), Self::Error> {
        let (first, last) = Self::leaves(address, size);
        self.touch(Place::Memory, first);
        // The bytes of the first leaf are written first, so that the second leaf is opened in the
        // tree that contains them.
        for byte in 0..size {
            let address = address + u64::from(byte);
            if address >> 5 == u64::from(first) {
                self.arrays.store(address, 1, value >> (8 * byte))?;
            }
        }
        self.trees.wrote_memory(self.arrays, first as usize);
        if last != first {
            self.touch(Place::Memory, last);
            self.arrays.store(address, size, value)?;
            self.trees.wrote_memory(self.arrays, last as usize);
        }
        Ok(())
    }

    fn grow(&mut self, pages: u32) {
        self.arrays.grow(pages);
    }

    fn input(&mut self, leaf: u32) -> Result<[u8; 32], Self::Error> {
        self.touch(Place::Input, leaf);
        self.arrays.input(leaf)
    }

    fn push(&mut self, pc: u32, fp: u32) {
        self.arrays.push(pc, fp);
    }

    fn frame(&mut self, fp: u32) {
        self.arrays.frame(fp);
    }

    fn pop(&mut self) -> Result<(u32, u32), Self::Error> {
        self.proof.extend_from_slice(self.trees.call_before().as_slice());
        let (pc, fp) = self.arrays.pop()?;
        self.proof.extend_from_slice(&pc.to_be_bytes());
        self.proof.extend_from_slice(&fp.to_be_bytes());
        self.open = None;
        Ok((pc, fp))
    }
}

/// The proof does not hash to the state's commitments, or is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "[M-PRF-001] the proof does not belong to this state; make a proof of the step that follows it"
)]
pub struct WrongProof;

/// Returns the hash of the state that follows the state with the hash `state`, as `StepUnit.step`
/// does.
///
/// # Errors
/// [`WrongProof`] if the proof does not belong to the state.
pub fn judge(state: B256, proof: &[u8]) -> Result<B256, WrongProof> {
    let (kind, body) = proof.split_first().ok_or(WrongProof)?;
    if *kind == HALTED {
        let encoded = body.get(..Halted::BYTES).ok_or(WrongProof)?;
        let hash = keccak256([b"rialto-halt".as_slice(), encoded].concat());
        return if hash == state { Ok(state) } else { Err(WrongProof) };
    }
    let words: &[u8; STATE_BYTES] =
        body.get(..STATE_BYTES).and_then(|words| words.try_into().ok()).ok_or(WrongProof)?;
    if *kind != RUNNING || hash_state(words) != state {
        return Err(WrongProof);
    }
    let (mut r, roots) = decode_state(words);
    let depths = Depths { code: r.code_depth, memory: r.memory_depth, table: r.table_depth };
    let mut verifier = Verifier { rest: &body[STATE_BYTES..], roots, depths, open: None };
    Ok(match step::step(&mut r, &mut verifier)? {
        Flow::Next => hash_state(&encode_state(&r, &verifier.roots)),
        Flow::Halt(status, exit_code) => verifier.halt(&r, status, exit_code)?,
    })
}

struct Depths {
    code: u32,
    memory: u32,
    table: u32,
}

/// Takes a step on the leaves that a proof shows.
struct Verifier<'a> {
    rest: &'a [u8],
    roots: Roots,
    depths: Depths,
    open: Option<Open<'a>>,
}

struct Open<'a> {
    place: Place,
    index: u32,
    leaf: B256,
    siblings: &'a [u8],
}

fn words(bytes: &[u8]) -> impl Iterator<Item = B256> {
    bytes.chunks_exact(32).map(B256::from_slice)
}

impl<'a> Verifier<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], WrongProof> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(WrongProof)?;
        self.rest = rest;
        Ok(taken)
    }

    fn root(&mut self, place: Place) -> (&mut B256, u32) {
        match place {
            Place::Code => (&mut self.roots.code, self.depths.code),
            Place::Stack => (&mut self.roots.stack, STACK_DEPTH.into()),
            Place::Globals => (&mut self.roots.globals, GLOBALS_DEPTH.into()),
            Place::Table => (&mut self.roots.table, self.depths.table),
            Place::Memory => (&mut self.roots.memory, self.depths.memory),
            Place::Input => (&mut self.roots.input, INPUT_DEPTH.into()),
        }
    }

    /// Returns a leaf after checking it against its root. The leaf that was touched last stays
    /// open.
    fn leaf(&mut self, place: Place, index: u32) -> Result<B256, WrongProof> {
        if let Some(open) =
            self.open.as_ref().filter(|open| (open.place, open.index) == (place, index))
        {
            return Ok(open.leaf);
        }
        let (root, depth) = self.root(place);
        let root = *root;
        let leaf = B256::from_slice(self.take(32)?);
        let siblings = self.take(32 * depth as usize)?;
        if fold(leaf, index, words(siblings)) != root {
            return Err(WrongProof);
        }
        self.open = Some(Open { place, index, leaf, siblings });
        Ok(leaf)
    }

    /// Writes the leaf that was touched last and updates its root.
    fn write(&mut self, leaf: B256) {
        let Some(open) = &mut self.open else { return };
        open.leaf = leaf;
        let (place, root) = (open.place, fold(leaf, open.index, words(open.siblings)));
        *self.root(place).0 = root;
    }

    fn word(&mut self, place: Place, index: u32) -> Result<u64, WrongProof> {
        let leaf = self.leaf(place, index >> 2)?;
        let at = 8 * (index as usize & 3);
        Ok(u64::from_be_bytes(leaf[at..at + 8].try_into().expect("eight bytes")))
    }

    fn set_word(&mut self, place: Place, index: u32, value: u64) -> Result<(), WrongProof> {
        let mut leaf = self.leaf(place, index >> 2)?;
        leaf[8 * (index as usize & 3)..][..8].copy_from_slice(&value.to_be_bytes());
        self.write(leaf);
        Ok(())
    }

    fn halt(&mut self, r: &Registers, status: Status, exit_code: u32) -> Result<B256, WrongProof> {
        let mut system = [0; 4];
        for (index, word) in (0..).zip(&mut system) {
            *word = self.word(Place::Globals, index)?;
        }
        Ok(step::halted(r, status, exit_code, system).hash())
    }
}

impl World for Verifier<'_> {
    type Error = WrongProof;

    fn instruction(&mut self, pc: u32) -> Result<Instruction, WrongProof> {
        let leaf = self.leaf(Place::Code, pc >> 1)?;
        Ok(Instruction::decode(&leaf[16 * (pc as usize & 1)..]))
    }

    fn slot(&mut self, slot: u32) -> Result<u64, WrongProof> {
        self.word(Place::Stack, slot)
    }

    fn set_slot(&mut self, slot: u32, value: u64) -> Result<(), WrongProof> {
        self.set_word(Place::Stack, slot, value)
    }

    fn global(&mut self, index: u32) -> Result<u64, WrongProof> {
        self.word(Place::Globals, index)
    }

    fn set_global(&mut self, index: u32, value: u64) -> Result<(), WrongProof> {
        self.set_word(Place::Globals, index, value)
    }

    fn entry(&mut self, index: u32) -> Result<Entry, WrongProof> {
        let leaf = self.leaf(Place::Table, index)?;
        let number =
            |at: usize| u32::from_be_bytes(leaf[at..at + 4].try_into().expect("four bytes"));
        Ok(Entry { ty: number(0), pc: number(4) })
    }

    fn load(&mut self, address: u64, size: u8) -> Result<u64, WrongProof> {
        let mut value = 0;
        for byte in 0..size {
            let address = address + u64::from(byte);
            let leaf = self.leaf(Place::Memory, (address >> 5) as u32)?;
            value |= u64::from(leaf[(address & 31) as usize]) << (8 * byte);
        }
        Ok(value)
    }

    fn store(&mut self, address: u64, size: u8, value: u64) -> Result<(), WrongProof> {
        for byte in 0..size {
            let address = address + u64::from(byte);
            let mut leaf = self.leaf(Place::Memory, (address >> 5) as u32)?;
            leaf[(address & 31) as usize] = (value >> (8 * byte)) as u8;
            self.write(leaf);
        }
        Ok(())
    }

    fn grow(&mut self, _pages: u32) {}

    fn input(&mut self, leaf: u32) -> Result<[u8; 32], WrongProof> {
        Ok(self.leaf(Place::Input, leaf)?.0)
    }

    fn push(&mut self, pc: u32, fp: u32) {
        self.roots.calls = call_hash(self.roots.calls, pc, fp);
    }

    fn frame(&mut self, _fp: u32) {}

    fn pop(&mut self) -> Result<(u32, u32), WrongProof> {
        let before = B256::from_slice(self.take(32)?);
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        let (pc, fp) = (number(self.take(4)?), number(self.take(4)?));
        if call_hash(before, pc, fp) != self.roots.calls {
            return Err(WrongProof);
        }
        self.roots.calls = before;
        self.open = None;
        Ok((pc, fp))
    }
}
