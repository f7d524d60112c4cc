//! One function: NaNs made canonical where somebody could see them, and a look at the mark after
//! each write of fuel.
//!
//! Every float on the operand stack and in a local is of a kind (below). Arithmetic, comparisons
//! and conversions to integers cannot tell one NaN from another, so they take any kind; what can
//! tell takes `Exact`, and a `Loose` value is made exact in front of it. A local that is only ever
//! assigned loose values stays loose; which ones do is found by trying: all start loose, and each
//! assignment of an exact value makes its local exact for the next pass.

use std::collections::BTreeSet;

use wasm_encoder::{BlockType, Encode, Function, Ieee32, Ieee64, Instruction};
use wasmparser::{
    FuncToValidate, FuncValidator, FuncValidatorAllocations, FunctionBody, ModuleArity, Operator,
    OperatorsReader, ValType, ValidatorResources,
};

use super::{Added, FUEL, Result, tick};

/// Passes that look for loose locals; then none is. Real programs need two or three.
const MAX_PASSES: usize = 8;

/// What is known of a value. The machine prescribes its bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// It has the prescribed bits, and if it is a NaN, then the canonical one. Also: it is no
    /// float.
    Clean,
    /// It has the prescribed bits, whatever NaN they may be.
    Exact,
    /// If it is a NaN, the prescribed bits are the canonical NaN's, but it may have others.
    Loose,
}

/// What a function has to know of its module.
pub(super) struct Around {
    /// The globals that are not M''s.
    pub(super) added: Added,
    /// Offsets of this body's `if`s that are hardly ever taken.
    pub(super) marked: BTreeSet<u32>,
}

/// Rewrites a body. Also the offsets of `if`s that are hardly ever taken.
pub(super) fn tune(
    function: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    around: &Around,
    allocations: &mut FuncValidatorAllocations,
) -> Result<(Function, Vec<u32>)> {
    let mut exact = BTreeSet::new();
    for pass in 0.. {
        let again = FuncToValidate { resources: function.resources.clone(), ..function };
        let mut validator = again.into_validator(std::mem::take(allocations));
        let mut writer = Writer::new(&mut validator, body, around)?;
        writer.all_exact = pass == MAX_PASSES;
        writer.exact_locals = exact;
        writer.body(body)?;
        let Writer { out, locals, changed, mut unlikely, exact_locals, .. } = writer;
        exact = exact_locals;
        *allocations = validator.into_allocations();
        if !changed {
            let mut function = Function::new(locals);
            unlikely.iter_mut().for_each(|at| *at += function.byte_len() as u32);
            function.raw(out);
            return Ok((function, unlikely));
        }
    }
    unreachable!("the last pass changes nothing")
}

struct Writer<'a> {
    validator: &'a mut FuncValidator<ValidatorResources>,
    out: Vec<u8>,
    around: &'a Around,
    /// Offsets in `out`.
    unlikely: Vec<u32>,
    /// Declared locals: the function's own, then temporaries.
    locals: Vec<(u32, wasm_encoder::ValType)>,
    params: u32,
    next_local: u32,
    temporaries: Vec<(ValType, u32)>,
    /// Of the operand stack; as long as the code is reachable.
    kinds: Vec<Kind>,
    /// Locals that hold exact values; parameters do anyway.
    exact_locals: BTreeSet<u32>,
    all_exact: bool,
    /// A local has become exact in this pass, so that what was written is not good.
    changed: bool,
    /// The last operator was a write of fuel.
    wrote_fuel: bool,
    /// Blocks open around the `if` being written that is hardly ever taken.
    rare: Option<u32>,
}

impl<'a> Writer<'a> {
    fn new(
        validator: &'a mut FuncValidator<ValidatorResources>,
        body: &FunctionBody<'_>,
        around: &'a Around,
    ) -> Result<Self> {
        let params = validator.len_locals();
        let mut locals = Vec::new();
        for local in body.get_locals_reader()? {
            let (count, ty) = local?;
            validator.define_locals(0, count, ty)?;
            locals.push((count, encoded(ty)));
        }
        Ok(Self {
            next_local: validator.len_locals(),
            validator,
            out: Vec::new(),
            around,
            unlikely: Vec::new(),
            locals,
            params,
            temporaries: Vec::new(),
            kinds: Vec::new(),
            exact_locals: BTreeSet::new(),
            all_exact: false,
            changed: false,
            wrote_fuel: false,
            rare: None,
        })
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<()> {
        let bytes = body.as_bytes();
        let start = body.range().start;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            // what a charge ends with happens below the mark only
            if let Some(after) = self.after_charge(&operators)? {
                operators = after;
                continue;
            }
            let at = operators.original_position();
            let operator = operators.read()?;
            let raw = &bytes[at - start..operators.original_position() - start];
            self.operator(&operator, raw, at)?;
            let open = self.validator.control_stack_height();
            if self.around.marked.contains(&((at - start) as u32)) {
                self.unlikely.push((self.out.len() - raw.len()) as u32);
                self.rare = self.rare.or(Some(open - 1));
            }
            self.rare = self.rare.filter(|around| open > *around);
        }
        Ok(operators.finish()?)
    }

    fn operator(&mut self, operator: &Operator<'_>, raw: &[u8], at: usize) -> Result<()> {
        let dead = self.validator.get_control_frame(0).is_none_or(|frame| frame.unreachable);
        let (pops, _) = operator.operator_arity(self.validator).unwrap_or_default();
        // what an arm or a frame leaves goes above what was below it
        let base = match operator {
            Operator::Else | Operator::End => {
                self.validator.get_control_frame(0).map_or(0, |frame| frame.height)
            }
            _ => self.kinds.len().saturating_sub(pops as usize),
        };
        let pushed = if dead { Kind::Exact } else { self.prepare(operator, pops as usize) };
        self.validator.op(at, operator)?;
        match operator {
            Operator::I64Const { value } if self.rare.is_some() => {
                self.emit(&self.around.added.constant(*value))
            }
            _ => self.out.extend_from_slice(raw),
        }
        self.wrote_fuel = matches!(operator, Operator::GlobalSet { global_index: FUEL });
        if self.wrote_fuel {
            self.look_at_mark();
        }
        // In dead code, too: a block in it has operands of its own.
        self.kinds.truncate(base);
        self.kinds.resize(self.validator.operand_stack_height() as usize, pushed);
        Ok(())
    }

    /// Makes operands exact where `operator` could see the difference. The kind of its results.
    fn prepare(&mut self, operator: &Operator<'_>, pops: usize) -> Kind {
        use Operator::*;
        match operator {
            F32Add | F32Sub | F32Mul | F32Div | F32Min | F32Max | F32Sqrt | F32Ceil | F32Floor
            | F32Trunc | F32Nearest | F64Add | F64Sub | F64Mul | F64Div | F64Min | F64Max
            | F64Sqrt | F64Ceil | F64Floor | F64Trunc | F64Nearest | F32DemoteF64
            | F64PromoteF32 => Kind::Loose,
            // of a canonical NaN it is the canonical NaN
            F32Abs | F64Abs => self.top(0),
            F32Const { value } => {
                constant(f32::from_bits(value.bits()).is_nan() && value.bits() != CANONICAL_32)
            }
            F64Const { value } => {
                constant(f64::from_bits(value.bits()).is_nan() && value.bits() != CANONICAL_64)
            }
            LocalGet { local_index } => self.kind_of_local(*local_index),
            LocalSet { local_index } | LocalTee { local_index } => self.assign(*local_index),
            Select => match (self.top(2), self.top(1)) {
                (Kind::Clean, other) | (other, Kind::Clean) => other,
                (a, b) if a == b => a,
                _ => {
                    self.make_exact(1, 2);
                    Kind::Exact
                }
            },
            F32Neg
            | F64Neg
            | F32Copysign
            | F64Copysign
            | F32Store { .. }
            | F64Store { .. }
            | I32ReinterpretF32
            | I64ReinterpretF64
            | GlobalSet { .. }
            | Call { .. }
            | Br { .. }
            | Return
            | Block { .. }
            | Loop { .. } => {
                self.make_exact(0, pops);
                Kind::Exact
            }
            CallIndirect { .. } | BrIf { .. } | BrTable { .. } | If { .. } => {
                self.make_exact(1, pops - 1);
                Kind::Exact
            }
            Else | End => {
                let frame = self.validator.get_control_frame(0).map(|frame| frame.block_type);
                let results = frame
                    .and_then(|ty| self.validator.block_type_arity(ty))
                    .map_or(0, |(_, results)| results);
                self.make_exact(0, results as usize);
                Kind::Exact
            }
            F32Load { .. }
            | F64Load { .. }
            | F32ReinterpretI32
            | F64ReinterpretI64
            | GlobalGet { .. } => Kind::Exact,
            // integers, comparisons, and conversions from integers
            _ => Kind::Clean,
        }
    }

    fn kind_of_local(&self, local: u32) -> Kind {
        match self.validator.get_local_type(local) {
            Some(ValType::F32 | ValType::F64) if self.is_exact(local) => Kind::Exact,
            Some(ValType::F32 | ValType::F64) => Kind::Loose,
            _ => Kind::Clean,
        }
    }

    fn is_exact(&self, local: u32) -> bool {
        self.all_exact || local < self.params || self.exact_locals.contains(&local)
    }

    /// An assignment to a local. The kind that `local.tee` leaves.
    fn assign(&mut self, local: u32) -> Kind {
        if self.is_exact(local) {
            self.make_exact(0, 1);
        } else if self.top(0) == Kind::Exact {
            self.changed |= self.exact_locals.insert(local);
        }
        self.top(0)
    }

    fn top(&self, depth: usize) -> Kind {
        self.kinds[self.kinds.len() - 1 - depth]
    }

    /// Makes `count` operands exact that lie below the topmost `below`.
    fn make_exact(&mut self, below: usize, count: usize) {
        let Some(deepest) =
            (below..below + count).rev().find(|depth| self.top(*depth) == Kind::Loose)
        else {
            return;
        };
        // all but the deepest go to temporaries and come back
        let mut saved = Vec::new();
        for depth in 0..deepest {
            let ty = self.operand(depth);
            let temporary = self.temporary(ty, saved.len());
            self.emit(&Instruction::LocalSet(temporary));
            saved.push((ty, temporary));
        }
        self.canonical(deepest, saved.len());
        for (depth, (_, temporary)) in saved.iter().enumerate().rev() {
            self.emit(&Instruction::LocalGet(*temporary));
            if depth >= below && self.top(depth) == Kind::Loose {
                self.canonical(depth, saved.len());
            }
        }
    }

    /// Makes the operand on top canonical if it is a NaN; in the validator's eyes it still lies at
    /// `depth`. `used` temporaries are taken.
    fn canonical(&mut self, depth: usize, used: usize) {
        let ty = self.operand(depth);
        let temporary = self.temporary(ty, used);
        // a NaN is not at least itself
        let (nan, at_least) = match ty {
            ValType::F32 => (Instruction::F32Const(Ieee32::new(CANONICAL_32)), Instruction::F32Ge),
            _ => (Instruction::F64Const(Ieee64::new(CANONICAL_64)), Instruction::F64Ge),
        };
        let value = Instruction::LocalGet(temporary);
        for instruction in [
            Instruction::LocalTee(temporary),
            nan,
            value.clone(),
            value,
            at_least,
            Instruction::Select,
        ] {
            self.emit(&instruction);
        }
        let at = self.kinds.len() - 1 - depth;
        self.kinds[at] = Kind::Clean;
    }

    fn operand(&self, depth: usize) -> ValType {
        self.validator
            .get_operand_type(depth)
            .flatten()
            .expect("operands of reachable code have types")
    }

    /// The `index`th temporary; each has one type for good.
    fn temporary(&mut self, ty: ValType, index: usize) -> u32 {
        let mut same = self.temporaries.iter().filter(|(other, _)| *other == ty);
        if let Some((_, local)) = same.nth(index) {
            return *local;
        }
        let missing = index + 1 - self.temporaries.iter().filter(|(other, _)| *other == ty).count();
        for _ in 0..missing {
            self.temporaries.push((ty, self.next_local));
            self.locals.push((1, encoded(ty)));
            self.next_local += 1;
        }
        self.next_local - 1
    }

    /// Behind a write of fuel: skips M's `if fuel < 0 { trap }`, and does it inside `if fuel <
    /// mark`; no mark is negative.
    fn after_charge<'b>(
        &mut self,
        operators: &OperatorsReader<'b>,
    ) -> Result<Option<OperatorsReader<'b>>> {
        if !std::mem::take(&mut self.wrote_fuel) {
            return Ok(None);
        }
        let mut ahead = operators.clone();
        let trap: [fn(&Operator<'_>) -> bool; 6] = [
            |operator| matches!(operator, Operator::GlobalGet { global_index: FUEL }),
            |operator| matches!(operator, Operator::I64Const { value: 0 }),
            |operator| matches!(operator, Operator::I64LtS),
            |operator| matches!(operator, Operator::If { blockty: wasmparser::BlockType::Empty }),
            |operator| matches!(operator, Operator::Unreachable),
            |operator| matches!(operator, Operator::End),
        ];
        let mut skipped = Vec::with_capacity(trap.len());
        for expected in trap {
            if ahead.eof() {
                return Ok(None);
            }
            let at = ahead.original_position();
            let operator = ahead.read()?;
            if !expected(&operator) {
                return Ok(None);
            }
            skipped.push((at, operator));
        }
        for (at, operator) in skipped {
            self.validator.op(at, &operator)?;
        }
        self.out.pop().filter(|end| *end == END).expect("looking at the mark ends with `end`");
        for instruction in [
            Instruction::GlobalGet(FUEL),
            self.around.added.constant(0),
            Instruction::I64LtS,
            Instruction::If(BlockType::Empty),
            Instruction::Unreachable,
            Instruction::End,
            Instruction::End,
        ] {
            self.emit(&instruction);
        }
        Ok(Some(ahead))
    }

    /// `if fuel < mark { tick() }`
    fn look_at_mark(&mut self) {
        for instruction in [
            Instruction::GlobalGet(FUEL),
            Instruction::GlobalGet(self.around.added.mark),
            Instruction::I64LtS,
        ] {
            self.emit(&instruction);
        }
        self.unlikely_if();
        tick(self.around.added).iter().for_each(|instruction| self.emit(instruction));
        self.emit(&Instruction::End);
    }

    fn unlikely_if(&mut self) {
        self.unlikely.push(self.out.len() as u32);
        self.emit(&Instruction::If(BlockType::Empty));
    }

    fn emit(&mut self, instruction: &Instruction<'_>) {
        instruction.encode(&mut self.out);
    }
}

/// `end`
const END: u8 = 0x0b;
const CANONICAL_32: u32 = 0x7fc0_0000;
const CANONICAL_64: u64 = 0x7ff8_0000_0000_0000;

fn constant(odd_nan: bool) -> Kind {
    if odd_nan { Kind::Exact } else { Kind::Clean }
}

fn encoded(ty: ValType) -> wasm_encoder::ValType {
    match ty {
        ValType::I32 => wasm_encoder::ValType::I32,
        ValType::I64 => wasm_encoder::ValType::I64,
        ValType::F32 => wasm_encoder::ValType::F32,
        ValType::F64 => wasm_encoder::ValType::F64,
        _ => unreachable!("M' has number types only: its features allow no others in locals"),
    }
}
