//! One pass over a function. It finds out whether the function is valid and allowed, where it
//! charges how much fuel, how many stack slots it needs, and which functions it calls.
//!
//! # Metering
//! A body is cut into blocks that control enters only at the top. Each block charges its whole cost
//! when it is entered. A block starts at the start of the function, of a loop's body and of both
//! arms of an `if`; where branches meet (at the end of a `block` that some branch targets, and of
//! every `if`); and after a `br_if`. A call doesn't cut a block: the operators after it are paid
//! for in advance. So is the first block of the callee, if the callee is known (see `calls`). After
//! a trap anywhere, also in a callee, the fuel left is therefore the limit less the blocks entered,
//! and less the prepaid fuel (see `emit`).

use std::collections::BTreeSet;

use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, ModuleArity, Operator, ValType,
    ValidatorResources,
};

use crate::error::GateError;
use crate::v3::cost;
use crate::v3::gate::{Place, reject};
use crate::v3::limits::{
    CALL_SLOTS, MAX_BODY_BYTES, MAX_BRANCHES_BY_LOCALS, MAX_FRAME_SLOTS, MAX_FUNCTION_WORK,
    MAX_NESTING,
};
use crate::v3::work::{Flow, Work};

/// A function's body that passed the gate.
pub(crate) struct Body<'a> {
    pub code: FunctionBody<'a>,
    pub locals: Vec<(u32, ValType)>,
    /// Slots of parameters, locals and operands, and the overhead of a call.
    pub frame: u32,
    /// Charge of the first block, if that costs anything.
    pub entry: Option<Charge>,
    /// Charges of the other blocks, by position in the module.
    pub charges: Vec<Charge>,
    /// Functions that it calls directly.
    pub callees: BTreeSet<u32>,
    pub calls_indirectly: bool,
    pub has_bulk: bool,
    /// Whether some loop makes no call. A call in such a loop, even an unlikely one, costs it
    /// registers.
    pub has_tight_loop: bool,
    pub work: Work,
}

/// A block's cost, charged before the operator at `at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    pub at: usize,
    pub cost: u64,
    /// Functions that this block calls directly, once for each call.
    pub callees: Vec<u32>,
}

impl Charge {
    fn new(at: usize) -> Self {
        Self { at, cost: 0, callees: Vec::new() }
    }
}

/// Reads and checks the body of a function that has `results` results. `import_costs` is the extra
/// fuel for calling each imported function.
pub(crate) fn read<'a>(
    func: FuncToValidate<ValidatorResources>,
    code: FunctionBody<'a>,
    results: usize,
    import_costs: &[u64],
    allocs: &mut FuncValidatorAllocations,
) -> Result<Body<'a>, GateError> {
    let place = Place::Function(func.index);
    if code.range().len() > MAX_BODY_BYTES {
        return Err(place.too_large("bytes", code.range().len() as u64, MAX_BODY_BYTES as u64));
    }
    let mut validator = func.into_validator(std::mem::take(allocs));
    let params = validator.len_locals();

    let mut locals = Vec::new();
    let mut slots = params;
    for local in reject(code.get_locals_reader(), place)? {
        let (count, ty) = reject(local, place)?;
        slots = slots.saturating_add(count);
        if slots > MAX_FRAME_SLOTS {
            return Err(place.too_large(
                "parameters and locals",
                slots.into(),
                MAX_FRAME_SLOTS.into(),
            ));
        }
        reject(validator.define_locals(code.range().start, count, ty), place)?;
        locals.push((count, ty));
    }

    let mut reader = reject(code.get_operators_reader(), place)?;
    let mut body = Body {
        code: code.clone(),
        locals,
        frame: 0,
        entry: None,
        charges: Vec::new(),
        callees: BTreeSet::new(),
        calls_indirectly: false,
        has_bulk: false,
        has_tight_loop: false,
        work: Work::default(),
    };
    let mut meter = Meter::new(reader.original_position());
    let mut flow = Flow::new(results as u32);
    let mut height = 0;
    while !reader.eof() {
        let at = reader.original_position();
        let op = reject(reader.read(), place)?;
        let arity = op.operator_arity(&validator).unwrap_or_default();
        let block = match op {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                validator.block_type_arity(blockty).unwrap_or_default()
            }
            _ => (0, 0),
        };
        reject(validator.op(at, &op), place)?;
        flow.operator(&op, arity, block, validator.operand_stack_height());
        if flow.steps > MAX_FUNCTION_WORK.steps {
            return Err(place.too_much_work("steps", flow.steps, MAX_FUNCTION_WORK.steps, None));
        }
        height = height.max(validator.operand_stack_height());
        if validator.control_stack_height() > MAX_NESTING {
            return Err(place.too_large(
                "nested blocks",
                validator.control_stack_height().into(),
                MAX_NESTING.into(),
            ));
        }
        let mut extra = 0;
        match &op {
            Operator::Call { function_index } => {
                body.callees.insert(*function_index);
                extra = import_costs.get(*function_index as usize).copied().unwrap_or(0);
            }
            Operator::CallIndirect { .. } => body.calls_indirectly = true,
            Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } => body.has_bulk = true,
            _ => {}
        }
        meter.op(&op, extra, reader.original_position());
    }
    reject(reader.finish(), place)?;
    *allocs = validator.into_allocations();

    let frame = slots.saturating_add(height);
    if frame > MAX_FRAME_SLOTS {
        return Err(place.too_large(
            "slots of locals and operands",
            frame.into(),
            MAX_FRAME_SLOTS.into(),
        ));
    }
    body.frame = frame + CALL_SLOTS;
    body.has_tight_loop = meter.tight_loop;
    // Bounded before `flow.work`, whose own time grows with this product.
    let size = flow.size(slots);
    if size > MAX_BRANCHES_BY_LOCALS / 64 {
        return Err(place.too_much_work(
            "branches times locals",
            size.saturating_mul(64),
            MAX_BRANCHES_BY_LOCALS,
            None,
        ));
    }
    body.work = flow.work(slots, body.has_tight_loop);
    if let Some((what, found, limit)) = body.work.beyond(MAX_FUNCTION_WORK) {
        return Err(place.too_much_work(what, found, limit, None));
    }
    (body.entry, body.charges) = meter.finish();
    body.work.chains += (body.charges.len() as u64).pow(2);
    Ok(body)
}

/// Cuts a body into blocks.
struct Meter {
    charges: Vec<Charge>,
    /// Whether control can reach the position being read; its block is then the last one.
    live: bool,
    frames: Vec<Frame>,
    tight_loop: bool,
}

struct Frame {
    kind: Kind,
    /// Whether control can jump to the frame's end: a branch targets it, or the first arm of an
    /// `if` falls through.
    joined: bool,
    calls: bool,
}

#[derive(PartialEq)]
enum Kind {
    Block,
    Loop,
    /// An `if`, with whether control can reach it, and thus its `else` or its end.
    If(bool),
}

impl Meter {
    fn new(start: usize) -> Self {
        let function = Frame { kind: Kind::Block, joined: false, calls: false };
        Self {
            charges: vec![Charge::new(start)],
            live: true,
            frames: vec![function],
            tight_loop: false,
        }
    }

    fn op(&mut self, op: &Operator<'_>, extra: u64, next: usize) {
        if let (true, Some(charge)) = (self.live, self.charges.last_mut()) {
            charge.cost += cost::of(op) + extra;
            if let Operator::Call { function_index } = op {
                charge.callees.push(*function_index);
            }
        }
        match op {
            Operator::Block { .. } => {
                self.frames.push(Frame { kind: Kind::Block, joined: false, calls: false })
            }
            Operator::Loop { .. } => {
                self.frames.push(Frame { kind: Kind::Loop, joined: false, calls: false });
                self.cut(self.live, next);
            }
            Operator::If { .. } => {
                self.frames.push(Frame { kind: Kind::If(self.live), joined: false, calls: false });
                self.cut(self.live, next);
            }
            Operator::Else => {
                let live = self.live;
                let entered = self.frames.last_mut().is_some_and(|frame| {
                    frame.joined |= live;
                    let entered = frame.kind == Kind::If(true);
                    frame.kind = Kind::Block;
                    entered
                });
                self.cut(entered, next);
            }
            Operator::End => self.end(next),
            Operator::Br { relative_depth } => {
                self.branch(*relative_depth);
                self.live = false;
            }
            Operator::BrIf { relative_depth } => {
                self.branch(*relative_depth);
                self.cut(self.live, next);
            }
            Operator::BrTable { targets } => {
                for target in targets.targets().flatten().chain([targets.default()]) {
                    self.branch(target);
                }
                self.live = false;
            }
            Operator::Return | Operator::Unreachable => self.live = false,
            Operator::Call { .. } | Operator::CallIndirect { .. } => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.calls = true;
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, next: usize) {
        let Some(frame) = self.frames.pop() else { return };
        self.tight_loop |= frame.kind == Kind::Loop && !frame.calls;
        if let Some(outer) = self.frames.last_mut() {
            outer.calls |= frame.calls;
        }
        match frame.kind {
            // Control entered at the top and leaves at the bottom, so the same block continues.
            Kind::Block if !frame.joined => {}
            Kind::Loop => {}
            Kind::Block => self.cut(true, next),
            Kind::If(entered) => self.cut(entered || frame.joined, next),
        }
    }

    fn branch(&mut self, depth: u32) {
        let target = self.frames.len().checked_sub(1 + depth as usize);
        if let (true, Some(frame)) =
            (self.live, target.and_then(|target| self.frames.get_mut(target)))
        {
            frame.joined |= frame.kind != Kind::Loop;
        }
    }

    /// Starts a new block at `next`.
    fn cut(&mut self, live: bool, next: usize) {
        self.live = live;
        if live {
            self.charges.push(Charge::new(next));
        }
    }

    /// Returns the charge of the first block and those of the others, without blocks that cost
    /// nothing.
    fn finish(self) -> (Option<Charge>, Vec<Charge>) {
        let mut charges = self.charges.into_iter();
        let entry = charges.next().filter(|charge| charge.cost > 0);
        (entry, charges.filter(|charge| charge.cost > 0).collect())
    }
}
