//! The subject of the court's games: a real program, receipts of any content, and sides that tell
//! the truth up to some step.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use rialto_machine::{
    Lowered, TaskLimits, Tracer, canonicalise, input::Halves, lower, play::Player, play::span,
    start_parts,
};
use rialto_protocol::{
    court::{Answer, PARTS, Segment},
    model::court::{Judge, JudgedTask},
    receipt::{Halted, SumNode, SumTree, inputs_root, unfolded},
    types::{Deal, Order, Receipt, struct_hash},
};

use super::games::TASKS;

/// Fuel limit of a task. A run under it counts as 16^8 steps long.
pub(super) const FUEL: u64 = 10_000_000;
pub(super) const SEED: u64 = 7;

/// Counts the steps of 27 down to 1 (the program of docs/court.md).
pub(super) const PROGRAM: &str = include_str!("../machine/turns.wat");

/// The program, its inputs and the end of each task, as a side that has run it knows them. It is
/// also the model's judge.
pub(super) struct Work {
    pub(super) program: Arc<Lowered>,
    pub(super) inputs: Vec<Arc<Halves>>,
    pub(super) roots: Vec<B256>,
    pub(super) ends: Vec<Halted>,
}

impl Work {
    pub(super) fn new() -> Self {
        let buffer = wast::parser::ParseBuffer::new(PROGRAM).unwrap();
        let wasm = wast::parser::parse::<wast::Wat<'_>>(&buffer).unwrap().encode().unwrap();
        let program = Arc::new(lower(&canonicalise(&wasm).unwrap().module));
        let most = *TASKS.iter().max().unwrap() as u8;
        let inputs: Vec<_> = (0..most)
            .map(|task| Arc::new(Halves::new(vec![task].into(), Default::default())))
            .collect();
        let roots = inputs.iter().map(|input| input.root()).collect();
        let mut this = Self { program, inputs, roots, ends: Vec::new() };
        this.ends = (0..u32::from(most))
            .map(|task| {
                let mut tracer = Tracer::new(
                    this.program.clone(),
                    this.inputs[task as usize].clone(),
                    this.limits(task),
                );
                tracer.finish(1 << 30).unwrap();
                *tracer.halted().unwrap()
            })
            .collect();
        this
    }

    pub(super) fn order(&self, deal: &Deal, seq: u64, tasks: u32) -> Order {
        Order {
            deal: struct_hash(deal),
            seq,
            program: self.program.parts.root(),
            inputs: inputs_root(&self.roots[..tasks as usize]),
            tasks,
            fuelLimit: FUEL,
            outLimit: 1024,
            maxPages: 1,
            seed: SEED,
            dueBy: deal.expiry,
        }
    }

    pub(super) fn limits(&self, task: u32) -> TaskLimits {
        let order =
            Order { seed: SEED, fuelLimit: FUEL, outLimit: 1024, maxPages: 1, ..Order::default() };
        TaskLimits::of(&order, task)
    }

    pub(super) fn player(&self, task: u32) -> Player {
        Player::new(self.program.clone(), self.inputs[task as usize].clone(), self.limits(task))
    }

    pub(super) fn tree(&self, tasks: u32) -> SumTree {
        SumTree::over(&self.ends[..tasks as usize], FUEL)
    }
}

impl Judge for Work {
    fn start(&self, task: &JudgedTask, parts: &[u8]) -> Option<(B256, u64)> {
        let at = self.roots.iter().position(|root| *root == task.input)?;
        if task.program != self.program.parts.root()
            || start_parts(&self.program, &self.inputs[at]) != parts
        {
            return None;
        }
        let limits = TaskLimits {
            seed: task.seed,
            fuel: task.fuel_limit,
            out: task.out_limit,
            pages: task.max_pages,
        };
        let first = Player::new(self.program.clone(), self.inputs[at].clone(), limits).hash_at(0);
        Some((first, self.program.parts.most_steps(task.fuel_limit)))
    }

    fn step(&self, state: B256, proof: &[u8]) -> Option<B256> {
        rialto_machine::judge(state, proof).ok()
    }
}

/// A signed receipt of any content, and its tree.
pub(super) struct Signed {
    pub(super) order: Order,
    pub(super) receipt: Receipt,
    /// H(halted) and fuel of every leaf, with padding.
    pub(super) ends: Vec<SumNode>,
}

impl Signed {
    /// Returns the nodes that a court wants to see below a node.
    pub(super) fn unfold(&self, height: u8, place: u32) -> Vec<SumNode> {
        let levels = unfolded(height.into());
        let below = u32::from(height) - levels;
        let all = if below == 0 { self.ends.clone() } else { self.level(below) };
        let first = (place << levels) as usize;
        all.get(first..first + (1 << levels)).unwrap_or_default().to_vec()
    }

    pub(super) fn level(&self, height: u32) -> Vec<SumNode> {
        let leaf = |end: &SumNode| {
            if *end == SumNode::EMPTY { *end } else { SumNode::leaf(end.hash, end.fuel as u64) }
        };
        let mut nodes: Vec<_> = self.ends.iter().map(leaf).collect();
        for _ in 0..height {
            nodes =
                nodes.chunks(2).map(|pair| SumNode::parent(pair[0], pair[1]).unwrap()).collect();
        }
        nodes
    }
}

/// A side of a game that tells the truth about states up to some step.
pub(super) struct Side {
    pub(super) player: Player,
    pub(super) from: u64,
}

impl Side {
    pub(super) fn hash_at(&mut self, position: u64) -> B256 {
        let hash = self.player.hash_at(position);
        if position < self.from { hash } else { keccak256(hash) }
    }

    pub(super) fn dissect(&mut self, position: u64, level: u8) -> [B256; PARTS] {
        std::array::from_fn(|part| self.hash_at(position + (part as u64 + 1) * span(level - 1)))
    }

    pub(super) fn answer(&mut self, position: u64, level: u8, segment: &Segment) -> Option<Answer> {
        if self.from == u64::MAX {
            return Some(self.player.answer(position, level, segment));
        }
        let part = span(level - 1);
        let pick = (0..16).find(|pick| {
            self.hash_at(position + (pick + 1) * part) != segment[*pick as usize + 1]
        })?;
        let states = Box::new(if level > 1 {
            self.dissect(position + pick * part, level - 1)
        } else {
            [B256::ZERO; 16]
        });
        Some(Answer::Move { pick: pick as u32, states })
    }
}
