//! How functions of M' are called: which take fuel with them, which are counted against the stack limit, and whose first block
//! the caller pays for.
//!
//! # Stack
//! A *counted* function takes the stack left as a parameter, pays for its own frame when it is entered (`stack -= frame`, TRAP if
//! negative) and hands what is left to those that it calls: nothing needs to be given back. A function needn't be counted if it is
//! *shallow*: it makes no indirect and no recursive call, nor does anything below it, and it and the deepest chain of
//! calls below it take at most [`SHALLOW_SLOTS`]. So at any time the slots in use are at most those paid for, plus a frame that was
//! just entered, plus one shallow chain; [`crate::limits::STACK_BUDGET_SLOTS`] leaves room for these.
//!
//! # Fuel
//! A function that charges takes what is prepaid as a parameter and returns what it left of it: it stays in a register
//! across calls. The first block of a function that is only ever called directly is charged by its callers, with their block;
//! a function that has no other block and calls none that charges neither takes nor returns fuel. Functions in
//! the table all take both parameters, because callers can't know whom they call.

use std::collections::BTreeSet;

use crate::body::{Body, Charge};
use crate::gate::Module;
use crate::limits::SHALLOW_SLOTS;

/// How a function is called.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    /// Slots of the deepest chain of calls that starts with it, if it is shallow.
    pub depth: Option<u32>,
    /// It takes what is prepaid and returns what is left of it.
    pub fuel: bool,
    /// It takes the stack left.
    pub stack: bool,
    /// What its callers pay for its first block; none if it pays itself.
    pub entry: Option<u64>,
    /// It ends the run: fuel must be exact when it is called.
    pub ends: bool,
}

impl Shape {
    /// Most general: what a call through the table takes.
    pub const INDIRECT: Self = Self { depth: None, fuel: true, stack: true, entry: None, ends: false };

    /// A function of the host.
    pub fn host(name: &str) -> Self {
        Self { depth: Some(0), ends: name == "exit", ..Self::default() }
    }
}

/// Cost of a block with the first blocks of the functions that it calls.
pub(crate) fn cost(charge: &Charge, shape: impl Fn(u32) -> Shape) -> u64 {
    charge.cost + charge.callees.iter().map(|callee| shape(*callee).entry.unwrap_or(0)).sum::<u64>()
}

/// The shape of each function of a module, imports included, whose shapes are given. `in_table`: functions that the table holds.
pub(crate) fn shapes(module: &Module<'_>, imports: &[Shape], in_table: &BTreeSet<u32>) -> Vec<Shape> {
    let first = imports.len();
    let mut callers: Vec<Vec<u32>> = vec![Vec::new(); first + module.funcs.len()];
    for (at, (_, body)) in (first as u32..).zip(&module.funcs) {
        for callee in &body.callees {
            callers[*callee as usize].push(at);
        }
    }
    let mut shapes = imports.to_vec();
    for ((at, (_, body)), depth) in (first as u32..).zip(&module.funcs).zip(depths(module, imports, &callers)) {
        let in_table = in_table.contains(&at);
        let entry = first_block(body, imports).filter(|_| !in_table);
        let charges = !body.charges.is_empty() || body.has_bulk || entry.is_none();
        let ends = body.callees.iter().any(|callee| imports.get(*callee as usize).is_some_and(|callee| callee.ends));
        let fuel = charges || ends || in_table || body.calls_indirectly;
        shapes.push(Shape { depth, fuel, stack: in_table || depth.is_none(), entry, ends: false });
    }
    // Who calls one that charges takes fuel for it.
    let mut charging: Vec<usize> = (0..shapes.len()).filter(|at| shapes[*at].fuel).collect();
    while let Some(at) = charging.pop() {
        for caller in callers[at].iter().map(|caller| *caller as usize) {
            if !std::mem::replace(&mut shapes[caller].fuel, true) {
                charging.push(caller);
            }
        }
    }
    shapes
}

/// What a function's first block costs, if its callers can pay for it: it calls no function of the module itself.
fn first_block(body: &Body<'_>, imports: &[Shape]) -> Option<u64> {
    let Some(entry) = &body.entry else { return Some(0) };
    let calls_own = entry.callees.iter().any(|callee| *callee as usize >= imports.len());
    (!calls_own).then(|| cost(entry, |callee| imports[callee as usize]))
}

/// For each function defined in a module: the slots of the deepest chain of calls that starts with it, if it is shallow.
fn depths(module: &Module<'_>, imports: &[Shape], callers: &[Vec<u32>]) -> Vec<Option<u32>> {
    let first = imports.len();
    let mut open = vec![0; callers.len()];
    for (open, (_, body)) in open[first..].iter_mut().zip(&module.funcs) {
        *open = body.callees.len();
    }
    // Callees before callers; what lies on a cycle, or calls into one, never has all its callees done.
    let mut depth: Vec<_> = imports.iter().map(|import| import.depth).collect();
    depth.resize(callers.len(), None);
    let mut done: Vec<usize> = (0..open.len()).filter(|at| open[*at] == 0).collect();
    while let Some(at) = done.pop() {
        if let Some((_, body)) = at.checked_sub(first).map(|at| &module.funcs[at]) {
            let below = body.callees.iter().try_fold(0, |most, callee| Some(depth[*callee as usize]?.max(most)));
            depth[at] = below
                .map(|below: u32| below + body.frame)
                .filter(|slots| !body.calls_indirectly && *slots <= SHALLOW_SLOTS);
        }
        for caller in &callers[at] {
            open[*caller as usize] -= 1;
            if open[*caller as usize] == 0 {
                done.push(*caller as usize);
            }
        }
    }
    depth.split_off(first)
}
