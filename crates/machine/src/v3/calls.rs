//! Calling conventions of the functions of M': which functions take fuel, which count against the
//! stack limit, and for which the caller pays the first block.
//!
//! # Stack
//! A *counted* function takes the remaining stack as a parameter, pays for its own frame when it is
//! entered (`stack -= frame`, TRAP if negative) and passes the rest to the functions that it calls.
//! Nothing needs to be returned. A function need not be counted if it is *shallow*: neither it nor
//! any function below it makes an indirect or recursive call, and it takes at most
//! [`SHALLOW_SLOTS`] together with the deepest chain of calls below it. At any time the slots in
//! use are therefore at most those paid for, plus a frame that was just entered, plus one shallow
//! chain; [`crate::v3::limits::STACK_BUDGET_SLOTS`] leaves room for these.
//!
//! # Fuel
//! A function that charges takes the prepaid fuel as a parameter and returns the rest, so that the
//! fuel stays in a register across calls. If a function is only called directly, its callers charge
//! its first block with their own. A function that has no other block and calls none that charges
//! neither takes nor returns fuel. All functions in the table take both parameters, because their
//! callers can't know which function they call.

use std::collections::BTreeSet;

use crate::v3::body::{Body, Charge};
use crate::v3::gate::Module;
use crate::v3::limits::SHALLOW_SLOTS;

/// Calling convention of one function.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    /// Slots of the deepest chain of calls that starts with this function, if it is shallow.
    pub depth: Option<u32>,
    /// Whether it takes the prepaid fuel and returns the rest.
    pub fuel: bool,
    /// Whether it takes the remaining stack.
    pub stack: bool,
    /// Fuel that its callers pay for its first block; `None` if it pays itself.
    pub entry: Option<u64>,
    /// Whether it ends the run. The fuel global must then be exact when it is called.
    pub ends: bool,
}

impl Shape {
    /// The most general convention, which calls through the table use.
    pub const INDIRECT: Self =
        Self { depth: None, fuel: true, stack: true, entry: None, ends: false };

    /// Returns the convention of a host function.
    pub fn host(name: &str) -> Self {
        Self { depth: Some(0), ends: name == "exit", ..Self::default() }
    }
}

/// Returns the cost of a block, with the first blocks of the functions that it calls.
pub(crate) fn cost(charge: &Charge, shape: impl Fn(u32) -> Shape) -> u64 {
    charge.cost + charge.callees.iter().map(|callee| shape(*callee).entry.unwrap_or(0)).sum::<u64>()
}

/// Returns the shape of each function of a module. `imports` are the shapes of its imports,
/// `in_table` the functions that its table holds.
pub(crate) fn shapes(
    module: &Module<'_>,
    imports: &[Shape],
    in_table: &BTreeSet<u32>,
) -> Vec<Shape> {
    let first = imports.len();
    let mut callers: Vec<Vec<u32>> = vec![Vec::new(); first + module.funcs.len()];
    for (at, (_, body)) in (first as u32..).zip(&module.funcs) {
        for callee in &body.callees {
            callers[*callee as usize].push(at);
        }
    }
    let mut shapes = imports.to_vec();
    for ((at, (_, body)), depth) in
        (first as u32..).zip(&module.funcs).zip(depths(module, imports, &callers))
    {
        let in_table = in_table.contains(&at);
        let entry = first_block(body, imports).filter(|_| !in_table);
        let charges = !body.charges.is_empty() || body.has_bulk || entry.is_none();
        let ends = body
            .callees
            .iter()
            .any(|callee| imports.get(*callee as usize).is_some_and(|callee| callee.ends));
        let fuel = charges || ends || in_table || body.calls_indirectly;
        shapes.push(Shape { depth, fuel, stack: in_table || depth.is_none(), entry, ends: false });
    }
    // A caller of a function that takes fuel needs fuel to pass.
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

/// Returns the cost of a function's first block, if its callers can pay for it. They can't if the
/// block calls a function of the module, because the cost would then depend on that function's
/// shape.
fn first_block(body: &Body<'_>, imports: &[Shape]) -> Option<u64> {
    let Some(entry) = &body.entry else { return Some(0) };
    let calls_own = entry.callees.iter().any(|callee| *callee as usize >= imports.len());
    (!calls_own).then(|| cost(entry, |callee| imports[callee as usize]))
}

/// Returns, for each function that a module defines, the slots of the deepest chain of calls that
/// starts with it, if it is shallow.
fn depths(module: &Module<'_>, imports: &[Shape], callers: &[Vec<u32>]) -> Vec<Option<u32>> {
    let first = imports.len();
    let mut open = vec![0; callers.len()];
    for (open, (_, body)) in open[first..].iter_mut().zip(&module.funcs) {
        *open = body.callees.len();
    }
    // Callees come before callers. A function on a cycle, or one that calls into a cycle, never has
    // all its callees done and so keeps `None`.
    let mut depth: Vec<_> = imports.iter().map(|import| import.depth).collect();
    depth.resize(callers.len(), None);
    let mut done: Vec<usize> = (0..open.len()).filter(|at| open[*at] == 0).collect();
    while let Some(at) = done.pop() {
        if let Some((_, body)) = at.checked_sub(first).map(|at| &module.funcs[at]) {
            let below = body
                .callees
                .iter()
                .try_fold(0, |most, callee| Some(depth[*callee as usize]?.max(most)));
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
