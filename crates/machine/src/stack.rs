//! Which calls must be counted against the stack limit.
//!
//! Around a counted call the *caller* pays for its own frame: `stackLeft -= frame`, TRAP if negative, the call,
//! `stackLeft += frame`; once for calls that follow each other without a branch between. A call needn't be counted if the callee is *shallow*: it makes no indirect and no
//! recursive call, nor does anything below it, and it and the deepest chain of calls below it take at most
//! [`SHALLOW_SLOTS`]. So at any time the slots in use are at most those paid for, plus the frame of the innermost
//! caller that paid, plus one shallow chain; [`crate::limits::STACK_BUDGET_SLOTS`] leaves room for these.

use crate::gate::Module;
use crate::limits::SHALLOW_SLOTS;

/// For each function of a module, imports included: the slots of the deepest chain of calls that starts with it, if
/// calling it goes uncounted. The depths of the imports are given.
pub(crate) fn shallow(module: &Module<'_>, imports: &[Option<u32>]) -> Vec<Option<u32>> {
    let first = imports.len();
    let count = first + module.funcs.len();
    let mut callers: Vec<Vec<u32>> = vec![Vec::new(); count];
    let mut open: Vec<usize> = vec![0; count];
    for (at, (_, body)) in module.funcs.iter().enumerate() {
        open[first + at] = body.callees.len();
        for callee in &body.callees {
            callers[*callee as usize].push((first + at) as u32);
        }
    }
    // Callees before callers; what lies on a cycle, or calls into one, never has all its callees done.
    let mut depth = imports.to_vec();
    depth.resize(count, None);
    let mut done: Vec<usize> = (0..count).filter(|at| open[*at] == 0).collect();
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
    depth
}
