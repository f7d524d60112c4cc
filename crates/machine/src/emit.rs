//! Rewrites a function for M': new indices, charges at the blocks' tops, stack accounting around calls.
//! All other operators are copied byte for byte.

use wasm_encoder::{BlockType, Function, Instruction, ValType};
use wasmparser::Operator;

use crate::body::Body;
use crate::cost;
use crate::limits::PREPAID_FUEL;

/// Global of M': fuel left; negative once it ran out.
pub(crate) const FUEL: u32 = 0;
/// Global of M': stack slots left.
pub(crate) const STACK_LEFT: u32 = 1;

/// Where a module's indices go in M'.
pub(crate) struct Mapping {
    /// Added to type indices.
    pub types: u32,
    pub globals: Vec<u32>,
    pub funcs: Vec<Callee>,
}

/// A function of M' as a callee.
#[derive(Clone, Copy)]
pub(crate) struct Callee {
    pub index: u32,
    /// Calling it is not counted against the stack limit.
    pub shallow: bool,
}

/// Rewrites one body of a function with this many parameters and these results.
pub(crate) fn function(body: &Body<'_>, params: u32, results: &[wasmparser::ValType], map: &Mapping) -> Emitted {
    let mut locals = Locals::new(body, params);
    let whole = match results {
        [] => Some(BlockType::Empty),
        [result] => Some(BlockType::Result(val_type(*result))),
        _ => None,
    };
    let prepay = whole.filter(|_| body.has_tight_loop);
    let mut writer = Writer {
        prepaid: prepay.map(|_| Prepaid { fuel: locals.add(ValType::I64), total: locals.add(ValType::I64) }),
        stack: if !body.callees.is_empty() || body.calls_indirectly { locals.add(ValType::I64) } else { 0 },
        length: if body.has_bulk { locals.add(ValType::I32) } else { 0 },
        frame: body.frame.into(),
        counted: false,
        depth: 0,
        out: Emitted::new(locals.runs),
    };
    let mut charges = body.charges.iter().peekable();
    let bytes = body.code.as_bytes();
    let base = body.code.range().start;
    let mut reader = body.code.get_operators_reader().expect("the gate has read this body");
    // All ways out of the body lead to the end of this block: the function's label is now its label.
    if let Some(whole) = prepay {
        writer.out.put(&[Instruction::Block(whole)]);
    }
    while !reader.eof() {
        let at = reader.original_position();
        if let Some(charge) = charges.next_if(|charge| charge.at == at) {
            writer.charge(charge.cost);
        }
        let op = reader.read().expect("the gate has read this body");
        writer.operator(&op, &bytes[at - base..reader.original_position() - base], map);
    }
    if prepay.is_some() {
        writer.give_back();
        writer.out.put(&[Instruction::End]);
    }
    writer.out
}

/// A function of M' and where in it are the `if`s that are hardly ever taken, for the engine to lay them out of the way.
pub(crate) struct Emitted {
    pub function: Function,
    pub unlikely: Vec<u32>,
}

impl Emitted {
    pub fn new(locals: Vec<(u32, ValType)>) -> Self {
        Self { function: Function::new(locals), unlikely: Vec::new() }
    }

    pub fn put(&mut self, instructions: &[Instruction<'_>]) {
        for instruction in instructions {
            self.function.instruction(instruction);
        }
    }

    /// `fuel -= cost; if fuel < 0 { trap }`, all in the global.
    pub fn charge(&mut self, cost: u64) {
        self.put(&[Instruction::GlobalGet(FUEL), Instruction::I64Const(cost as i64), Instruction::I64Sub]);
        self.put(&[Instruction::GlobalSet(FUEL)]);
        self.trap_if_less(Instruction::GlobalGet(FUEL), 0);
    }

    fn trap_if_less(&mut self, value: Instruction<'_>, than: i64) {
        self.put(&[value, Instruction::I64Const(than), Instruction::I64LtS]);
        self.unlikely_if();
        self.put(&[Instruction::Unreachable, Instruction::End]);
    }

    fn unlikely_if(&mut self) {
        self.unlikely.push(self.function.byte_len() as u32);
        self.put(&[Instruction::If(BlockType::Empty)]);
    }
}

/// A function's locals and those added to them.
struct Locals {
    runs: Vec<(u32, ValType)>,
    next: u32,
}

impl Locals {
    fn new(body: &Body<'_>, params: u32) -> Self {
        let runs: Vec<_> = body.locals.iter().map(|(count, ty)| (*count, val_type(*ty))).collect();
        let next = params + runs.iter().map(|(count, _)| count).sum::<u32>();
        Self { runs, next }
    }

    fn add(&mut self, ty: ValType) -> u32 {
        self.runs.push((1, ty));
        self.next += 1;
        self.next - 1
    }
}

/// Locals of a function that prepays: see `Writer::charge`.
#[derive(Clone, Copy)]
struct Prepaid {
    fuel: u32,
    total: u32,
}

struct Writer {
    out: Emitted,
    prepaid: Option<Prepaid>,
    /// Local for the stack left before a counted call.
    stack: u32,
    /// Local for the length of a bulk operator.
    length: u32,
    frame: i64,
    /// This function's frame is off `stackLeft`, from a counted call to the next control operator.
    counted: bool,
    /// Blocks open, the function not counted.
    depth: u32,
}

impl Writer {
    fn operator(&mut self, op: &Operator<'_>, raw: &[u8], map: &Mapping) {
        if is_control(op) {
            self.uncount();
        }
        match op {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => self.depth += 1,
            Operator::End => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        let block = |ty: &u32| BlockType::FunctionType(ty + map.types);
        let instruction = match op {
            Operator::Call { function_index } => {
                let callee = map.funcs[*function_index as usize];
                return self.call(Instruction::Call(callee.index), callee.shallow);
            }
            Operator::CallIndirect { type_index, .. } => {
                let type_index = type_index + map.types;
                return self.call(Instruction::CallIndirect { type_index, table_index: 0 }, false);
            }
            Operator::Return if self.prepaid.is_some() => Instruction::Br(self.depth),
            Operator::GlobalGet { global_index } => Instruction::GlobalGet(map.globals[*global_index as usize]),
            Operator::GlobalSet { global_index } => Instruction::GlobalSet(map.globals[*global_index as usize]),
            Operator::Block { blockty: wasmparser::BlockType::FuncType(ty) } => Instruction::Block(block(ty)),
            Operator::Loop { blockty: wasmparser::BlockType::FuncType(ty) } => Instruction::Loop(block(ty)),
            Operator::If { blockty: wasmparser::BlockType::FuncType(ty) } => Instruction::If(block(ty)),
            _ => {
                if matches!(op, Operator::MemoryCopy { .. } | Operator::MemoryFill { .. }) {
                    self.charge_length();
                }
                self.out.function.raw(raw.iter().copied());
                return;
            }
        };
        self.out.put(&[instruction]);
    }

    /// Charges a block.
    ///
    /// Most functions take it from the global: `fuel -= cost; if fuel < 0 { trap }`. One with a tight loop keeps
    /// up to [`PREPAID_FUEL`] in a local, because a store in every turn slows the loops down that store
    /// much themselves: `prepaid -= cost; if prepaid < 0 { refill }`. Before calls and when the function returns it gives back
    /// what is left, so that the fuel is exact to the unit whenever the run ends without a trap
    /// and when it runs out; a trap of another kind forfeits what was prepaid.
    fn charge(&mut self, cost: u64) {
        self.load_fuel();
        self.out.put(&[Instruction::I64Const(cost as i64), Instruction::I64Sub]);
        self.store_fuel();
    }

    /// Charges for the length on top of the operand stack: one fuel for each eight bytes, rounded up.
    fn charge_length(&mut self) {
        let round_up = cost::BULK_BYTES_PER_FUEL - 1;
        let shift = i64::from(cost::BULK_BYTES_PER_FUEL.trailing_zeros());
        self.out.put(&[Instruction::LocalSet(self.length)]);
        self.load_fuel();
        self.out.put(&[Instruction::LocalGet(self.length), Instruction::I64ExtendI32U]);
        self.out.put(&[Instruction::I64Const(round_up), Instruction::I64Add]);
        self.out.put(&[Instruction::I64Const(shift), Instruction::I64ShrU, Instruction::I64Sub]);
        self.store_fuel();
        self.out.put(&[Instruction::LocalGet(self.length)]);
    }

    fn load_fuel(&mut self) {
        let from = self.prepaid.map_or(Instruction::GlobalGet(FUEL), |prepaid| Instruction::LocalGet(prepaid.fuel));
        self.out.put(&[from]);
    }

    /// Stores the fuel on top of the operand stack; refills or traps if it is negative.
    fn store_fuel(&mut self) {
        let Some(prepaid) = self.prepaid else {
            self.out.put(&[Instruction::GlobalSet(FUEL)]);
            return self.out.trap_if_less(Instruction::GlobalGet(FUEL), 0);
        };
        self.out.put(&[Instruction::LocalTee(prepaid.fuel), Instruction::I64Const(0), Instruction::I64LtS]);
        self.out.unlikely_if();
        self.refill(prepaid);
        self.out.put(&[Instruction::End]);
    }

    /// `total = fuel + prepaid; prepaid = min(total, PREPAID_FUEL); fuel = total - prepaid`, or `fuel = total` and a trap
    /// if that is negative.
    fn refill(&mut self, Prepaid { fuel, total }: Prepaid) {
        let most = Instruction::I64Const(PREPAID_FUEL);
        let out = &mut self.out;
        out.put(&[Instruction::GlobalGet(FUEL), Instruction::LocalGet(fuel), Instruction::I64Add]);
        out.put(&[Instruction::LocalTee(total), most.clone()]);
        out.put(&[Instruction::LocalGet(total), most, Instruction::I64LtS, Instruction::Select]);
        out.put(&[Instruction::LocalSet(fuel), Instruction::LocalGet(total), Instruction::LocalGet(fuel)]);
        out.put(&[Instruction::I64Sub, Instruction::GlobalSet(FUEL)]);
        out.put(&[Instruction::LocalGet(total), Instruction::I64Const(0), Instruction::I64LtS]);
        out.put(&[Instruction::If(BlockType::Empty), Instruction::LocalGet(total), Instruction::GlobalSet(FUEL)]);
        out.put(&[Instruction::Unreachable, Instruction::End]);
    }

    /// Gives back what is prepaid.
    fn give_back(&mut self) {
        if let Some(Prepaid { fuel, .. }) = self.prepaid {
            self.out.put(&[Instruction::GlobalGet(FUEL), Instruction::LocalGet(fuel), Instruction::I64Add]);
            self.out.put(&[Instruction::GlobalSet(FUEL), Instruction::I64Const(0), Instruction::LocalSet(fuel)]);
        }
    }

    fn call(&mut self, call: Instruction<'_>, shallow: bool) {
        if !shallow {
            self.count();
        }
        self.give_back();
        self.out.put(&[call]);
    }

    /// `stackLeft -= frame; if stackLeft < 0 { trap }`, unless that is so already.
    fn count(&mut self) {
        if !self.counted {
            self.counted = true;
            self.out.put(&[Instruction::GlobalGet(STACK_LEFT), Instruction::LocalTee(self.stack)]);
            self.out.put(&[Instruction::I64Const(self.frame), Instruction::I64Sub]);
            self.out.put(&[Instruction::GlobalSet(STACK_LEFT)]);
            self.out.trap_if_less(Instruction::LocalGet(self.stack), self.frame);
        }
    }

    /// Gives the frame back: callees have left `stackLeft` as they found it.
    fn uncount(&mut self) {
        if self.counted {
            self.counted = false;
            self.out.put(&[Instruction::LocalGet(self.stack), Instruction::GlobalSet(STACK_LEFT)]);
        }
    }
}

/// Where control may go elsewhere than to the next operator, or come from elsewhere.
fn is_control(op: &Operator<'_>) -> bool {
    use Operator::*;
    matches!(
        op,
        Block { .. }
            | Loop { .. }
            | If { .. }
            | Else
            | End
            | Br { .. }
            | BrIf { .. }
            | BrTable { .. }
            | Return
            | Unreachable
    )
}

/// The gate lets only the four number types through.
pub(crate) fn val_type(ty: wasmparser::ValType) -> ValType {
    match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 | wasmparser::ValType::Ref(_) => unreachable!("refused by the gate"),
    }
}
