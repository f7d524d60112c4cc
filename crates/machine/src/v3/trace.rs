//! Runs a task step by step over plain arrays, and hashes its state only on request.
//!
//! The trees are updated when a hash is requested: for memory from the pages written since, for the
//! stack and the globals by comparison. Tracing is therefore as fast as interpreting. It takes the
//! guest's memory, as much again for the tree, and as much for each [`Snapshot`].

use std::convert::Infallible;
use std::sync::Arc;

use alloy_primitives::B256;
use rialto_protocol::receipt::{Halted, Status, task_seed};
use rialto_protocol::types::Order;

use crate::input::Halves;
use crate::tree::{Tree, leaf_of};
use crate::v3::ir::{Entry, GLOBALS_DEPTH, Instruction, ProgramParts, STACK_DEPTH};
use crate::v3::limits::{MAX_GLOBALS, STACK_BUDGET_SLOTS, STACK_SLOTS};
use crate::v3::lower::{Lowered, data_leaves, words_leaf};
use crate::v3::step::{self, Flow, Registers, Roots, World, encode_state, hash_state};

/// The terms of an order for one task, besides program and input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskLimits {
    /// Random seed of the task.
    pub seed: u64,
    /// Fuel limit.
    pub fuel: u64,
    /// Most bytes of output.
    pub out: u64,
    /// Most pages of memory.
    pub pages: u32,
}

impl TaskLimits {
    /// Returns the limits of a task of an order; the first task is 0.
    pub fn of(order: &Order, task: u32) -> Self {
        let Order { seed, fuelLimit: fuel, outLimit: out, maxPages: pages, .. } = *order;
        Self { seed: task_seed(seed, task), fuel, out, pages }
    }
}

/// Log of the bytes of memory that are marked dirty together.
const PAGE_SHIFT: usize = 12;
const PAGE_LEAVES: usize = 1 << (PAGE_SHIFT - 5);
const SYSTEM_GLOBALS: usize = 4;

/// The state of a running task, except its registers.
pub(crate) struct Arrays {
    pub program: Arc<Lowered>,
    pub input: Arc<Halves>,
    pub stack: Vec<u64>,
    /// Start of the highest frame so far. A frame has fewer than 2^16 slots, so those from `top +
    /// 2^16` on were never written.
    top: u32,
    pub globals: Vec<u64>,
    pub memory: Vec<u8>,
    /// Pages of memory written since the tree was last updated.
    dirty: Vec<bool>,
    /// Open calls, as the `pc` and `fp` that each returns to.
    calls: Vec<(u32, u32)>,
    /// Number of calls, from the outermost, whose hash is known.
    hashed: usize,
}

impl World for Arrays {
    type Error = Infallible;

    #[inline(always)]
    fn instruction(&mut self, pc: u32) -> Result<Instruction, Infallible> {
        Ok(self.program.code.get(pc as usize).copied().unwrap_or_default())
    }

    #[inline(always)]
    fn slot(&mut self, slot: u32) -> Result<u64, Infallible> {
        Ok(self.stack[slot as usize])
    }

    #[inline(always)]
    fn set_slot(&mut self, slot: u32, value: u64) -> Result<(), Infallible> {
        self.stack[slot as usize] = value;
        Ok(())
    }

    #[inline(always)]
    fn global(&mut self, index: u32) -> Result<u64, Infallible> {
        Ok(self.globals[index as usize])
    }

    #[inline(always)]
    fn set_global(&mut self, index: u32, value: u64) -> Result<(), Infallible> {
        self.globals[index as usize] = value;
        Ok(())
    }

    #[inline(always)]
    fn entry(&mut self, index: u32) -> Result<Entry, Infallible> {
        Ok(self.program.table.get(index as usize).copied().unwrap_or_default())
    }

    #[inline(always)]
    fn load(&mut self, address: u64, size: u8) -> Result<u64, Infallible> {
        let at = address as usize;
        Ok(match size {
            1 => self.memory[at].into(),
            2 => u16::from_le_bytes(bytes(&self.memory, at)).into(),
            4 => u32::from_le_bytes(bytes(&self.memory, at)).into(),
            _ => u64::from_le_bytes(bytes(&self.memory, at)),
        })
    }

    #[inline(always)]
    fn store(&mut self, address: u64, size: u8, value: u64) -> Result<(), Infallible> {
        let at = address as usize;
        let end = at + usize::from(size);
        match size {
            1 => self.memory[at] = value as u8,
            2 => self.memory[at..end].copy_from_slice(&(value as u16).to_le_bytes()),
            4 => self.memory[at..end].copy_from_slice(&(value as u32).to_le_bytes()),
            _ => self.memory[at..end].copy_from_slice(&value.to_le_bytes()),
        }
        self.dirty[at >> PAGE_SHIFT] = true;
        self.dirty[(end - 1) >> PAGE_SHIFT] = true;
        Ok(())
    }

    fn grow(&mut self, pages: u32) {
        let bytes = (pages as usize) << 16;
        self.memory.resize(bytes, 0);
        self.dirty.resize(self.dirty.len().max(bytes >> PAGE_SHIFT), false);
    }

    fn input(&mut self, leaf: u32) -> Result<[u8; 32], Infallible> {
        Ok(self.input.leaf(leaf))
    }

    #[inline(always)]
    fn push(&mut self, pc: u32, fp: u32) {
        self.calls.push((pc, fp));
    }

    #[inline(always)]
    fn frame(&mut self, fp: u32) {
        self.top = self.top.max(fp);
    }

    #[inline(always)]
    fn pop(&mut self) -> Result<(u32, u32), Infallible> {
        let call = self.calls.pop().unwrap_or_default();
        self.hashed = self.hashed.min(self.calls.len());
        Ok(call)
    }
}

#[inline(always)]
fn bytes<const N: usize>(memory: &[u8], at: usize) -> [u8; N] {
    memory[at..at + N].try_into().expect("a slice of N bytes")
}

/// The trees over the arrays, with copies of those that have no dirty marks.
pub(crate) struct Trees {
    memory: Tree,
    stack: Tree,
    globals: Tree,
    /// Stack and globals at the last update of the trees.
    stack_of: Vec<u64>,
    globals_of: Vec<u64>,
    /// `calls[i]` is the hash of the chain over the first i + 1 calls.
    calls: Vec<B256>,
}

impl Trees {
    /// Updates all trees.
    fn update(&mut self, arrays: &mut Arrays) {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for (page, dirty) in arrays.dirty.iter_mut().enumerate().filter(|(_, dirty)| **dirty) {
            *dirty = false;
            let (first, end) = (page * PAGE_LEAVES, (page + 1) * PAGE_LEAVES);
            match ranges.last_mut() {
                Some(last) if last.1 == first => last.1 = end,
                _ => ranges.push((first, end)),
            }
        }
        self.memory.update(&ranges, |at| leaf_of(&arrays.memory, at));
        let used = (arrays.top as usize + (1 << 16)).min(STACK_SLOTS as usize);
        take_over(&mut self.stack, &mut self.stack_of, &arrays.stack[..used]);
        take_over(&mut self.globals, &mut self.globals_of, &arrays.globals);
        self.calls.truncate(arrays.hashed);
        for (pc, fp) in &arrays.calls[arrays.hashed..] {
            let before = self.calls.last().copied().unwrap_or_default();
            self.calls.push(step::call_hash(before, *pc, *fp));
        }
        arrays.hashed = arrays.calls.len();
    }

    pub fn roots(&self, arrays: &Arrays) -> Roots {
        let parts: &ProgramParts = &arrays.program.parts;
        Roots {
            calls: self.calls.last().copied().unwrap_or_default(),
            memory: self.memory.root(|at| leaf_of(&arrays.memory, at)),
            stack: self.stack.root(|at| words_leaf(&arrays.stack, at)),
            globals: self.globals.root(|at| words_leaf(&arrays.globals, at)),
            code: parts.code,
            table: parts.table,
            input: arrays.input.tree(),
        }
    }

    /// Returns a leaf of the tree over memory, with its siblings.
    pub fn open_memory(&self, arrays: &Arrays, leaf: usize) -> (B256, Vec<B256>) {
        let of = |at| leaf_of(&arrays.memory, at);
        (of(leaf), self.memory.siblings(leaf, of))
    }

    pub fn open_stack(&self, arrays: &Arrays, leaf: usize) -> (B256, Vec<B256>) {
        let of = |at| words_leaf(&arrays.stack, at);
        (of(leaf), self.stack.siblings(leaf, of))
    }

    pub fn open_globals(&self, arrays: &Arrays, leaf: usize) -> (B256, Vec<B256>) {
        let of = |at| words_leaf(&arrays.globals, at);
        (of(leaf), self.globals.siblings(leaf, of))
    }

    /// Updates the tree after one leaf was written.
    pub fn wrote_memory(&mut self, arrays: &Arrays, leaf: usize) {
        self.memory.update(&[(leaf, leaf + 1)], |at| leaf_of(&arrays.memory, at));
    }

    pub fn wrote_stack(&mut self, arrays: &Arrays, slot: usize) {
        self.stack_of.resize(self.stack_of.len().max(slot + 1), 0);
        self.stack_of[slot] = arrays.stack[slot];
        self.stack.update(&[(slot / 4, slot / 4 + 1)], |at| words_leaf(&arrays.stack, at));
    }

    pub fn wrote_globals(&mut self, arrays: &Arrays, index: usize) {
        self.globals_of[index] = arrays.globals[index];
        self.globals.update(&[(index / 4, index / 4 + 1)], |at| words_leaf(&arrays.globals, at));
    }

    /// Returns callHash before the innermost call.
    pub fn call_before(&self) -> B256 {
        self.calls.len().checked_sub(2).map(|at| self.calls[at]).unwrap_or_default()
    }
}

/// Updates a tree over words, whose last state is `old`, to `new`.
fn take_over(tree: &mut Tree, old: &mut Vec<u64>, new: &[u64]) {
    old.resize(old.len().max(new.len()), 0);
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    const CHUNK: usize = 64;
    for (chunk, (old, new)) in old.chunks_mut(CHUNK).zip(new.chunks(CHUNK)).enumerate() {
        if old[..new.len()] == *new {
            continue;
        }
        for (leaf, (old, new)) in old.chunks_mut(4).zip(new.chunks(4)).enumerate() {
            if old[..new.len()] != *new {
                let leaf = chunk * (CHUNK / 4) + leaf;
                ranges.push((leaf, leaf + 1));
                old[..new.len()].copy_from_slice(new);
            }
        }
    }
    tree.update(&ranges, |at| words_leaf(new, at));
}

/// A task that runs in steps.
pub struct Tracer {
    pub(crate) r: Registers,
    pub(crate) arrays: Arrays,
    pub(crate) trees: Trees,
    halted: Option<Halted>,
    steps: u64,
}

/// A state of a run, to which a tracer can return.
#[derive(Clone, Default)]
pub struct Snapshot {
    r: Option<Registers>,
    halted: Option<Halted>,
    steps: u64,
    stack: Vec<u64>,
    globals: Vec<u64>,
    memory: Vec<u8>,
    calls: Vec<(u32, u32)>,
}

impl Tracer {
    /// Creates a task before its first step.
    pub fn new(program: Arc<Lowered>, input: Arc<Halves>, limits: TaskLimits) -> Self {
        let parts = program.parts;
        let mut globals = program.globals.clone();
        globals.resize(MAX_GLOBALS as usize, 0);
        globals[..SYSTEM_GLOBALS].copy_from_slice(&system_leaf(&limits));
        let mut memory = vec![0; (parts.pages as usize) << 16];
        for (offset, bytes) in &program.data {
            memory[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        let r = Registers {
            pc: parts.entry,
            fp: 0,
            depth: 0,
            pages: parts.pages,
            out_len: 0,
            out_limit: limits.out,
            in_len: input.len_word(),
            max_pages: parts.max_pages.min(limits.pages),
            table_len: parts.table_len,
            code_depth: parts.code_depth.into(),
            memory_depth: parts.memory_depth.into(),
            table_depth: parts.table_depth.into(),
            version: parts.version.into(),
            out_hash: B256::ZERO,
        };
        let mut tree = Tree::new(parts.memory_depth.into());
        tree.update(&data_leaves(&program.data), |at| leaf_of(&memory, at));
        let trees = Trees {
            memory: tree,
            stack: Tree::new(STACK_DEPTH.into()),
            globals: Tree::new(GLOBALS_DEPTH.into()),
            stack_of: Vec::new(),
            globals_of: vec![0; MAX_GLOBALS as usize],
            calls: Vec::new(),
        };
        let dirty = vec![false; memory.len() >> PAGE_SHIFT];
        let stack = vec![0; STACK_SLOTS as usize];
        let arrays = Arrays {
            program,
            input,
            stack,
            top: 0,
            globals,
            memory,
            dirty,
            calls: Vec::new(),
            hashed: 0,
        };
        Self { r, arrays, trees, halted: None, steps: 0 }
    }

    /// Returns the number of steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns how the run ended, if it has.
    pub fn halted(&self) -> Option<&Halted> {
        self.halted.as_ref()
    }

    /// Returns position and content of the next instruction; `None` after the run has ended.
    pub fn next(&self) -> Option<(u32, Instruction)> {
        let pc = self.r.pc;
        self.halted
            .is_none()
            .then(|| (pc, self.arrays.program.code.get(pc as usize).copied().unwrap_or_default()))
    }

    /// Returns the registers.
    pub fn registers(&self) -> &Registers {
        &self.r
    }

    /// Runs until `until` steps have been taken in all. A run that has ended keeps its state and
    /// counts on.
    pub fn run(&mut self, until: u64) {
        let mut left = until.saturating_sub(self.steps);
        let mut r = self.r;
        while left > 0 && self.halted.is_none() {
            let Ok(flow) = step::step(&mut r, &mut self.arrays);
            left -= 1;
            if let Flow::Halt(status, exit_code) = flow {
                self.end(&r, status, exit_code);
            }
        }
        self.r = r;
        self.steps = self.steps.max(until);
    }

    /// Runs to the end, but to at most `most` steps in all. Returns the number of steps with the
    /// one that halted, or `None` if the run has not ended.
    pub fn finish(&mut self, most: u64) -> Option<u64> {
        const CHUNK: u64 = 1 << 20;
        while self.halted.is_none() && self.steps < most {
            let before = self.steps;
            let mut r = self.r;
            for _ in 0..CHUNK.min(most - before) {
                let Ok(flow) = step::step(&mut r, &mut self.arrays);
                self.steps += 1;
                if let Flow::Halt(status, exit_code) = flow {
                    self.end(&r, status, exit_code);
                    break;
                }
            }
            self.r = r;
        }
        self.halted.map(|_| self.steps)
    }

    pub(crate) fn end(&mut self, r: &Registers, status: Status, exit_code: u32) {
        let system = self.arrays.globals[..SYSTEM_GLOBALS].try_into().expect("four words");
        self.halted = Some(step::halted(r, status, exit_code, system));
    }

    pub(crate) fn count_step(&mut self) {
        self.steps += 1;
    }

    /// Returns the hash of the state.
    pub fn hash(&mut self) -> B256 {
        match &self.halted {
            Some(halted) => halted.hash(),
            None => hash_state(&self.state()),
        }
    }

    /// Returns the ten words of the running state, and updates the trees.
    pub(crate) fn state(&mut self) -> [u8; step::STATE_BYTES] {
        self.trees.update(&mut self.arrays);
        encode_state(&self.r, &self.trees.roots(&self.arrays))
    }

    /// Saves this state.
    pub fn save(&self, snapshot: &mut Snapshot) {
        let used = (self.arrays.top as usize + (1 << 16)).min(STACK_SLOTS as usize);
        snapshot.r = Some(self.r);
        snapshot.halted = self.halted;
        snapshot.steps = self.steps;
        snapshot.stack.clear();
        snapshot.stack.extend_from_slice(&self.arrays.stack[..used]);
        snapshot.globals.clone_from(&self.arrays.globals);
        snapshot.memory.clone_from(&self.arrays.memory);
        snapshot.calls.clone_from(&self.arrays.calls);
    }

    /// Returns to a saved state of this run; does nothing if none was saved.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        let Some(r) = snapshot.r else { return };
        let arrays = &mut self.arrays;
        arrays.stack[..snapshot.stack.len()].copy_from_slice(&snapshot.stack);
        arrays.stack[snapshot.stack.len()..].fill(0);
        arrays.globals.clone_from(&snapshot.globals);
        for (page, dirty) in arrays.dirty.iter_mut().enumerate() {
            let range = |memory: &[u8]| {
                (page << PAGE_SHIFT).min(memory.len())..((page + 1) << PAGE_SHIFT).min(memory.len())
            };
            *dirty |=
                arrays.memory[range(&arrays.memory)] != snapshot.memory[range(&snapshot.memory)];
        }
        arrays.memory.clone_from(&snapshot.memory);
        let same =
            arrays.calls.iter().zip(&snapshot.calls).take_while(|(now, then)| now == then).count();
        arrays.hashed = arrays.hashed.min(same);
        arrays.calls.clone_from(&snapshot.calls);
        (self.r, self.halted, self.steps) = (r, snapshot.halted, snapshot.steps);
    }
}

/// Returns fuel, stackLeft, digest and seed before the first step.
fn system_leaf(limits: &TaskLimits) -> [u64; SYSTEM_GLOBALS] {
    [limits.fuel, STACK_BUDGET_SLOTS.into(), 0, limits.seed]
}

/// Returns the `parts` from which `StepUnit.start` computes the first state of a task: program ‖
/// input tree ‖ inLen ‖ siblings of the system leaf.
pub fn start_parts(program: &Lowered, input: &Halves) -> Vec<u8> {
    let leaf = |at| words_leaf(&program.globals, at);
    let globals = Tree::over(GLOBALS_DEPTH.into(), program.globals.len().div_ceil(4), leaf);
    let mut parts = program.parts.encode();
    parts.extend_from_slice(input.tree().as_slice());
    parts.extend_from_slice(&input.len_word().to_be_bytes());
    globals
        .siblings(0, leaf)
        .iter()
        .for_each(|sibling| parts.extend_from_slice(sibling.as_slice()));
    parts
}
