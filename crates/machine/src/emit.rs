//! Rewrites a function for M': new indices, charges at the blocks' tops, stack accounting around calls.
//! All other operators are copied byte for byte.

use wasm_encoder::{BlockType, Function, Instruction, ValType};
use wasmparser::Operator;

use crate::body::Body;
use crate::cost;

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

/// Rewrites one body. `params`: how many parameters the function has.
pub(crate) fn function(body: &Body<'_>, params: u32, map: &Mapping) -> Function {
    let declared: u32 = body.locals.iter().map(|(count, _)| count).sum();
    let mut locals: Vec<_> = body.locals.iter().map(|(count, ty)| (*count, val_type(*ty))).collect();
    let scratch = params + declared;
    if body.has_bulk {
        locals.push((1, ValType::I32));
    }
    let mut writer = Writer { out: Function::new(locals), scratch, frame: body.frame };
    let mut charges = body.charges.iter().peekable();

    let bytes = body.code.as_bytes();
    let base = body.code.range().start;
    let mut reader = body.code.get_operators_reader().expect("the gate has read this body");
    while !reader.eof() {
        let at = reader.original_position();
        if let Some(charge) = charges.next_if(|charge| charge.at == at) {
            charge_fuel(&mut writer.out, charge.cost);
        }
        let op = reader.read().expect("the gate has read this body");
        writer.operator(&op, &bytes[at - base..reader.original_position() - base], map);
    }
    writer.out
}

/// `fuel -= cost; if fuel < 0 { trap }`.
pub(crate) fn charge_fuel(out: &mut Function, cost: u64) {
    debit(out, FUEL, cost as i64);
}

fn debit(out: &mut Function, global: u32, amount: i64) {
    out.instruction(&Instruction::GlobalGet(global));
    out.instruction(&Instruction::I64Const(amount));
    out.instruction(&Instruction::I64Sub);
    out.instruction(&Instruction::GlobalSet(global));
    trap_if_negative(out, global);
}

fn trap_if_negative(out: &mut Function, global: u32) {
    out.instruction(&Instruction::GlobalGet(global));
    out.instruction(&Instruction::I64Const(0));
    out.instruction(&Instruction::I64LtS);
    out.instruction(&Instruction::If(BlockType::Empty));
    out.instruction(&Instruction::Unreachable);
    out.instruction(&Instruction::End);
}

struct Writer {
    out: Function,
    /// An i32 local of its own, where the body has bulk operators.
    scratch: u32,
    frame: u32,
}

impl Writer {
    fn operator(&mut self, op: &Operator<'_>, raw: &[u8], map: &Mapping) {
        match op {
            Operator::Call { function_index } => {
                let callee = map.funcs[*function_index as usize];
                self.call(&Instruction::Call(callee.index), callee.shallow);
            }
            Operator::CallIndirect { type_index, .. } => {
                let type_index = type_index + map.types;
                self.call(&Instruction::CallIndirect { type_index, table_index: 0 }, false);
            }
            Operator::GlobalGet { global_index } => {
                self.out.instruction(&Instruction::GlobalGet(map.globals[*global_index as usize]));
            }
            Operator::GlobalSet { global_index } => {
                self.out.instruction(&Instruction::GlobalSet(map.globals[*global_index as usize]));
            }
            Operator::Block { blockty: wasmparser::BlockType::FuncType(ty) } => {
                self.out.instruction(&Instruction::Block(BlockType::FunctionType(ty + map.types)));
            }
            Operator::Loop { blockty: wasmparser::BlockType::FuncType(ty) } => {
                self.out.instruction(&Instruction::Loop(BlockType::FunctionType(ty + map.types)));
            }
            Operator::If { blockty: wasmparser::BlockType::FuncType(ty) } => {
                self.out.instruction(&Instruction::If(BlockType::FunctionType(ty + map.types)));
            }
            Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } => {
                self.charge_length();
                self.out.raw(raw.iter().copied());
            }
            _ => {
                self.out.raw(raw.iter().copied());
            }
        }
    }

    fn call(&mut self, call: &Instruction<'_>, shallow: bool) {
        if !shallow {
            debit(&mut self.out, STACK_LEFT, self.frame.into());
        }
        self.out.instruction(call);
        if !shallow {
            self.out.instruction(&Instruction::GlobalGet(STACK_LEFT));
            self.out.instruction(&Instruction::I64Const(self.frame.into()));
            self.out.instruction(&Instruction::I64Add);
            self.out.instruction(&Instruction::GlobalSet(STACK_LEFT));
        }
    }

    /// Charges for the length on top of the operand stack: one fuel for each eight bytes, rounded up.
    fn charge_length(&mut self) {
        let round_up = cost::BULK_BYTES_PER_FUEL - 1;
        let shift = i64::from(cost::BULK_BYTES_PER_FUEL.trailing_zeros());
        for instruction in [
            Instruction::LocalSet(self.scratch),
            Instruction::GlobalGet(FUEL),
            Instruction::LocalGet(self.scratch),
            Instruction::I64ExtendI32U,
            Instruction::I64Const(round_up),
            Instruction::I64Add,
            Instruction::I64Const(shift),
            Instruction::I64ShrU,
            Instruction::I64Sub,
            Instruction::GlobalSet(FUEL),
        ] {
            self.out.instruction(&instruction);
        }
        trap_if_negative(&mut self.out, FUEL);
        self.out.instruction(&Instruction::LocalGet(self.scratch));
    }
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
