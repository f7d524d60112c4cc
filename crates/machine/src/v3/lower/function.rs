//! Lowering of one function's body: operands get the slots of their heights, and jumps get their
//! targets.

use wasmparser::{BlockType, FuncType, FunctionBody, Operator, Parser, Payload};

use super::operators::{Float, float, integer};
use super::{OWN, bulk, host};
use crate::v3::ir::{Instruction, WIDE, alu, op};

/// A function that code can call.
pub(super) struct Callee<'a> {
    /// Its name, if it is a function of the host.
    pub host: Option<&'a str>,
    pub params: u32,
    pub results: u32,
    /// Number of its type, from 1.
    pub number: u32,
}

/// A call's target whose position is not known yet.
enum Target {
    Function(u32),
    Helper(usize),
}

/// The code of all functions lowered so far.
#[derive(Default)]
pub(super) struct Code {
    code: Vec<Instruction>,
    calls: Vec<(usize, Target)>,
    helpers: [u32; 2],
    /// Most instructions of one operator, and of one function's entry. They bound the steps for one
    /// fuel.
    per_operator: u32,
    per_entry: u32,
}

impl Code {
    pub fn len(&self) -> u32 {
        self.code.len() as u32
    }

    pub fn uses_bulk(&self) -> bool {
        self.calls.iter().any(|(_, target)| matches!(target, Target::Helper(_)))
    }

    pub fn function(
        &mut self,
        types: &[FuncType],
        numbers: &[u32],
        callees: &[Callee<'_>],
        ty: u32,
        body: &FunctionBody<'_>,
    ) {
        let ty = &types[ty as usize];
        let params = ty.params().len() as u32;
        let declared: u32 =
            body.get_locals_reader().expect(OWN).into_iter().map(|local| local.expect(OWN).0).sum();
        let start = self.code.len();
        let results = ty.results().len() as u32;
        let mut lowering = Lowering {
            types,
            numbers,
            callees,
            locals: params + declared,
            results,
            height: 0,
            live: true,
            fence: start,
            frames: Vec::new(),
            out: self,
        };
        lowering.zero(params, declared);
        let entry = lowering.out.code.len() - start;
        lowering.frames.push(Frame::new(Kind::Block, 0, (0, results), true));
        let mut reader = body.get_operators_reader().expect(OWN);
        let mut longest = 0;
        while !reader.eof() {
            let before = lowering.out.code.len();
            lowering.operator(&reader.read().expect(OWN));
            longest = longest.max(lowering.out.code.len().saturating_sub(before));
        }
        self.per_operator = self.per_operator.max(longest as u32);
        self.per_entry = self.per_entry.max(entry as u32);
    }

    /// Appends a function that calls one of the host's, so that the table can hold it.
    pub fn host_stub(&mut self, callee: &Callee<'_>) {
        self.code.push(Instruction { op: host(callee.host.expect(OWN)), ..Default::default() });
        self.code.push(Instruction { op: op::RET, ..Default::default() });
    }

    /// Appends the helpers for bulk memory.
    pub fn helpers(&mut self) {
        let module = bulk::module();
        let ty = FuncType::new([wasmparser::ValType::I32; 3], []);
        let mut bodies = Vec::new();
        for payload in Parser::new(0).parse_all(&module) {
            if let Payload::CodeSectionEntry(body) = payload.expect(OWN) {
                bodies.push(body);
            }
        }
        for (helper, body) in bodies.iter().enumerate() {
            self.helpers[helper] = self.len();
            self.function(std::slice::from_ref(&ty), &[], &[], 0, body);
        }
    }

    /// Returns the code, with functions at these positions, and the most steps for one fuel.
    pub fn finish(mut self, at: &[u32]) -> (Vec<Instruction>, u32) {
        for (index, target) in self.calls {
            self.code[index].imm = u64::from(match target {
                Target::Function(function) => at[function as usize],
                Target::Helper(helper) => self.helpers[helper],
            });
        }
        (self.code, self.per_operator + self.per_entry)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Block,
    Loop,
    If,
}

/// An open block.
struct Frame {
    kind: Kind,
    /// Number of operands below its parameters.
    height: u32,
    params: u32,
    results: u32,
    /// Whether control can enter it.
    entered: bool,
    /// Jumps to its end, to be bound.
    exits: Vec<usize>,
    /// The jump around an `if`'s first arm.
    skip: Option<usize>,
    /// First instruction of a loop.
    start: u32,
}

impl Frame {
    fn new(kind: Kind, height: u32, (params, results): (u32, u32), entered: bool) -> Self {
        Self { kind, height, params, results, entered, exits: Vec::new(), skip: None, start: 0 }
    }

    /// Returns the number of operands that a branch to it carries.
    fn arity(&self) -> u32 {
        if self.kind == Kind::Loop { self.params } else { self.results }
    }
}

struct Lowering<'a> {
    types: &'a [FuncType],
    /// Number of each type, from 1; equal types have one number.
    numbers: &'a [u32],
    callees: &'a [Callee<'a>],
    /// Parameters and locals: the slots below the operands.
    locals: u32,
    results: u32,
    height: u32,
    live: bool,
    /// Instructions before this index must not change, because a jump depends on their position.
    fence: usize,
    frames: Vec<Frame>,
    out: &'a mut Code,
}

impl Lowering<'_> {
    fn emit(&mut self, op: u8, aux: u8, d: u16, a: u16, b: u16, imm: u64) -> usize {
        self.out.code.push(Instruction { op, aux, d, a, b, imm });
        self.out.code.len() - 1
    }

    /// Returns the slot of the operand at a height.
    fn slot(&self, height: u32) -> u16 {
        u16::try_from(self.locals + height).expect("frames are bounded")
    }

    /// Returns the slot for one more operand.
    fn push(&mut self) -> u16 {
        self.height += 1;
        self.slot(self.height - 1)
    }

    fn pop(&mut self) -> u16 {
        self.height -= 1;
        self.slot(self.height)
    }

    /// Returns the last instruction, if it may still be changed and computes this slot.
    fn last(&mut self, slot: u16) -> Option<&mut Instruction> {
        let index = self.out.code.len().checked_sub(1).filter(|index| *index >= self.fence)?;
        let last = &mut self.out.code[index];
        let computes = matches!(
            last.op,
            op::ALU
                | op::ALU_IMM
                | op::FP
                | op::COPY
                | op::CONST
                | op::SELECT
                | op::GGET
                | op::LOAD
                | op::MSIZE
                | op::MGROW
                | op::INLEN
        );
        (computes && last.d == slot).then_some(last)
    }

    /// Takes an operand and returns its slot. If the last instruction only copied the operand
    /// there, removes that and returns the slot that it was copied from.
    fn take(&mut self) -> u16 {
        let slot = self.pop();
        match self.last(slot).map(|last| (last.op, last.a)) {
            Some((op::COPY, from)) => {
                self.out.code.pop();
                from
            }
            _ => slot,
        }
    }

    /// Takes an operand and returns its value, if the last instruction made it from a constant.
    fn take_constant(&mut self) -> Option<u64> {
        let slot = self.slot(self.height - 1);
        let imm = self.last(slot).filter(|last| last.op == op::CONST)?.imm;
        self.out.code.pop();
        self.height -= 1;
        Some(imm)
    }

    /// Marks the current position as a jump target and returns it.
    fn label(&mut self) -> u32 {
        self.fence = self.out.code.len();
        self.out.len()
    }

    fn bind(&mut self, jump: usize) {
        let here = self.label();
        self.out.code[jump].imm = here.into();
    }

    fn zero(&mut self, first: u32, count: u32) {
        for at in (0..count).step_by(4) {
            self.emit(op::ZERO, (count - at).min(4) as u8, (first + at) as u16, 0, 0, 0);
        }
    }

    /// Emits code that moves the top `count` operands down to `slot`.
    fn carry(&mut self, count: u32, slot: u16) {
        let from = self.slot(self.height - count);
        if from != slot {
            for i in 0..count as u16 {
                self.emit(op::COPY, 0, slot + i, from + i, 0, 0);
            }
        }
    }

    /// Returns whether a branch has operands to move.
    fn carries(&self, depth: u32) -> bool {
        let frame = self.target(depth);
        self.is_function(depth)
            || (frame.arity() != 0 && self.height - frame.arity() != frame.height)
    }

    fn is_function(&self, depth: u32) -> bool {
        depth as usize + 1 == self.frames.len()
    }

    fn target(&self, depth: u32) -> &Frame {
        &self.frames[self.frames.len() - 1 - depth as usize]
    }

    /// Emits a jump to a block's label. The operands are already in their slots.
    fn jump(&mut self, op: u8, condition: u16, depth: u32) {
        let start = self.target(depth).start;
        let jump = self.emit(op, 0, 0, condition, 0, start.into());
        let at = self.frames.len() - 1 - depth as usize;
        if self.frames[at].kind != Kind::Loop {
            self.frames[at].exits.push(jump);
        }
    }

    /// Emits a branch with its operands.
    fn branch(&mut self, depth: u32) {
        if self.is_function(depth) {
            return self.leave();
        }
        let (arity, height) = (self.target(depth).arity(), self.target(depth).height);
        self.carry(arity, self.slot(height));
        self.jump(op::JMP, 0, depth);
    }

    /// Emits a return from the function.
    fn leave(&mut self) {
        self.carry(self.results, 0);
        self.emit(op::RET, 0, 0, 0, 0, 0);
    }

    fn signature(&self, ty: BlockType) -> (u32, u32) {
        match ty {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => {
                let ty = &self.types[index as usize];
                (ty.params().len() as u32, ty.results().len() as u32)
            }
        }
    }

    fn open(&mut self, kind: Kind, ty: BlockType) {
        let (params, results) = self.signature(ty);
        let skip = (kind == Kind::If && self.live).then(|| {
            let condition = self.take();
            self.emit(op::JZ, 0, 0, condition, 0, 0)
        });
        let height = if self.live { self.height - params } else { 0 };
        let mut frame = Frame::new(kind, height, (params, results), self.live);
        frame.skip = skip;
        if kind == Kind::Loop && self.live {
            frame.start = self.label();
        }
        // Code inside an `if` may not change the instructions before it, because both arms need
        // them.
        self.fence = self.out.code.len();
        self.frames.push(frame);
    }

    fn otherwise(&mut self) {
        if self.live {
            self.branch(0);
        }
        let frame = self.frames.last_mut().expect(OWN);
        self.live = frame.entered;
        let skip = frame.skip.take();
        self.height = frame.height + frame.params;
        if let Some(skip) = skip {
            self.bind(skip);
        }
    }

    fn end(&mut self) {
        let frame = self.frames.pop().expect(OWN);
        if self.frames.is_empty() {
            if self.live {
                self.leave();
            }
            return;
        }
        if let Some(skip) = frame.skip {
            self.bind(skip);
        }
        for exit in frame.exits {
            self.bind(exit);
        }
        self.live = frame.entered;
        self.height = frame.height + frame.results;
        if frame.kind != Kind::Loop {
            self.fence = self.out.code.len();
        }
    }

    fn binary(&mut self, aux: u8) {
        if let Some(imm) = self.take_constant() {
            let a = self.take();
            let d = self.push();
            self.emit(op::ALU_IMM, aux, d, a, 0, imm);
            return;
        }
        let b = self.take();
        let a = self.take();
        let d = self.push();
        self.emit(op::ALU, aux, d, a, b, 0);
    }

    /// Emits gt or ge, as lt or le with exchanged operands.
    fn swapped(&mut self, aux: u8) {
        let b = self.take();
        let a = self.take();
        let d = self.push();
        self.emit(op::ALU, aux, d, b, a, 0);
    }

    fn unary(&mut self, op: u8, aux: u8) {
        let a = self.take();
        let d = self.push();
        self.emit(op, aux, d, a, a, 0);
    }

    fn with_constant(&mut self, aux: u8, imm: u64) {
        let a = self.take();
        let d = self.push();
        self.emit(op::ALU_IMM, aux, d, a, 0, imm);
    }

    fn float(&mut self, aux: u8, swap: bool) {
        let mut b = self.take();
        let mut a = self.take();
        if swap {
            (a, b) = (b, a);
        }
        let d = self.push();
        self.emit(op::FP, aux, d, a, b, 0);
    }

    fn copysign(&mut self, wide: u8, sign: u64) {
        let b = self.take();
        let a = self.take();
        let (d, spare) = (self.slot(self.height), self.slot(self.height + 2));
        self.height += 1;
        // `spare` is above the slots of both operands, which are still to be read.
        self.emit(op::ALU_IMM, alu::AND | wide, spare, b, 0, sign);
        self.emit(op::ALU_IMM, alu::AND | wide, d, a, 0, sign - 1);
        self.emit(op::ALU, alu::OR | wide, d, d, spare, 0);
    }

    fn constant(&mut self, imm: u64) {
        let d = self.push();
        self.emit(op::CONST, 0, d, 0, 0, imm);
    }

    fn load(&mut self, aux: u8, offset: u64) {
        let a = self.take();
        let d = self.push();
        self.emit(op::LOAD, aux, d, a, 0, offset);
    }

    fn store(&mut self, aux: u8, offset: u64) {
        let b = self.take();
        let a = self.take();
        self.emit(op::STORE, aux, 0, a, b, offset);
    }

    fn call(&mut self, params: u32, results: u32, instruction: Instruction) -> usize {
        self.height -= params;
        let d = self.slot(self.height);
        self.height += results;
        self.out.code.push(Instruction { d, ..instruction });
        self.out.code.len() - 1
    }

    fn operator(&mut self, operator: &Operator<'_>) {
        use Operator as O;
        match operator {
            O::Block { blockty } => return self.open(Kind::Block, *blockty),
            O::Loop { blockty } => return self.open(Kind::Loop, *blockty),
            O::If { blockty } => return self.open(Kind::If, *blockty),
            O::Else => return self.otherwise(),
            O::End => return self.end(),
            _ if !self.live => return,
            _ => {}
        }
        const W: u8 = WIDE;
        match operator {
            O::Nop => {}
            O::Unreachable => {
                self.emit(op::TRAP, 0, 0, 0, 0, 0);
                self.live = false;
            }
            O::Br { relative_depth } => {
                self.branch(*relative_depth);
                self.live = false;
            }
            O::BrIf { relative_depth } => {
                let condition = self.take();
                if self.carries(*relative_depth) {
                    let skip = self.emit(op::JZ, 0, 0, condition, 0, 0);
                    self.branch(*relative_depth);
                    self.bind(skip);
                } else {
                    self.jump(op::JNZ, condition, *relative_depth);
                    self.fence = self.out.code.len();
                }
            }
            O::BrTable { targets } => {
                let index = self.take();
                let table = self.out.len() + 1;
                let all: Vec<u32> = targets
                    .targets()
                    .map(|target| target.expect(OWN))
                    .chain([targets.default()])
                    .collect();
                let most = all.len() as u64 - 1;
                self.emit(op::JTAB, 0, 0, index, 0, most << 32 | u64::from(table));
                let mut trampolines = Vec::new();
                for depth in all {
                    if self.carries(depth) {
                        trampolines.push((self.emit(op::JMP, 0, 0, 0, 0, 0), depth));
                    } else {
                        self.jump(op::JMP, 0, depth);
                    }
                }
                for (jump, depth) in trampolines {
                    self.bind(jump);
                    self.branch(depth);
                }
                self.live = false;
            }
            O::Return => {
                self.leave();
                self.live = false;
            }
            O::Call { function_index } => {
                let Callee { host: name, params, results, .. } =
                    self.callees[*function_index as usize];
                if let Some(name) = name {
                    self.height -= params;
                    let at = self.slot(self.height);
                    self.height += results;
                    self.emit(host(name), 0, at, at, 0, 0);
                } else {
                    let index = self.call(
                        params,
                        results,
                        Instruction { op: op::CALL, ..Default::default() },
                    );
                    self.out.calls.push((index, Target::Function(*function_index)));
                }
                self.fence = self.out.code.len();
            }
            O::CallIndirect { type_index, .. } => {
                let a = self.take();
                let ty = &self.types[*type_index as usize];
                let (params, results) = (ty.params().len() as u32, ty.results().len() as u32);
                let number = self.numbers[*type_index as usize];
                self.call(
                    params,
                    results,
                    Instruction { op: op::CALLI, a, imm: number.into(), ..Default::default() },
                );
                self.fence = self.out.code.len();
            }
            O::MemoryCopy { .. } | O::MemoryFill { .. } => {
                let helper =
                    if matches!(operator, O::MemoryCopy { .. }) { bulk::COPY } else { bulk::FILL };
                let index = self.call(3, 0, Instruction { op: op::CALL, ..Default::default() });
                self.out.calls.push((index, Target::Helper(helper)));
                self.fence = self.out.code.len();
            }
            O::Drop => {
                self.take();
            }
            O::Select => {
                let condition = self.take();
                let b = self.take();
                let a = self.take();
                let d = self.push();
                self.emit(op::SELECT, 0, d, a, b, condition.into());
            }
            O::LocalGet { local_index } => {
                let d = self.push();
                self.emit(op::COPY, 0, d, *local_index as u16, 0, 0);
            }
            O::LocalSet { local_index } => self.set_local(*local_index as u16),
            O::LocalTee { local_index } => {
                self.set_local(*local_index as u16);
                let d = self.push();
                self.emit(op::COPY, 0, d, *local_index as u16, 0, 0);
            }
            O::GlobalGet { global_index } => {
                let d = self.push();
                self.emit(op::GGET, 0, d, 0, 0, (*global_index).into());
            }
            O::GlobalSet { global_index } => {
                let a = self.take();
                self.emit(op::GSET, 0, 0, a, 0, (*global_index).into());
            }
            O::I32Load8U { memarg } | O::I64Load8U { memarg } => self.load(0, memarg.offset),
            O::I32Load16U { memarg } | O::I64Load16U { memarg } => self.load(1, memarg.offset),
            O::I32Load { memarg } | O::F32Load { memarg } | O::I64Load32U { memarg } => {
                self.load(2, memarg.offset)
            }
            O::I64Load { memarg } | O::F64Load { memarg } => self.load(3, memarg.offset),
            O::I32Load8S { memarg } => self.load(4, memarg.offset),
            O::I32Load16S { memarg } => self.load(5, memarg.offset),
            O::I64Load8S { memarg } => self.load(6, memarg.offset),
            O::I64Load16S { memarg } => self.load(7, memarg.offset),
            O::I64Load32S { memarg } => self.load(8, memarg.offset),
            O::I32Store8 { memarg } | O::I64Store8 { memarg } => self.store(0, memarg.offset),
            O::I32Store16 { memarg } | O::I64Store16 { memarg } => self.store(1, memarg.offset),
            O::I32Store { memarg } | O::F32Store { memarg } | O::I64Store32 { memarg } => {
                self.store(2, memarg.offset)
            }
            O::I64Store { memarg } | O::F64Store { memarg } => self.store(3, memarg.offset),
            O::MemorySize { .. } => {
                let d = self.push();
                self.emit(op::MSIZE, 0, d, 0, 0, 0);
            }
            O::MemoryGrow { .. } => self.unary(op::MGROW, 0),
            O::I32Const { value } => self.constant(u64::from(*value as u32)),
            O::I64Const { value } => self.constant(*value as u64),
            O::F32Const { value } => self.constant(value.bits().into()),
            O::F64Const { value } => self.constant(value.bits()),
            O::I32Eqz => self.unary(op::ALU, alu::EQZ),
            O::I64Eqz => self.unary(op::ALU, alu::EQZ | W),
            O::I32Clz => self.unary(op::ALU, alu::CLZ),
            O::I32Ctz => self.unary(op::ALU, alu::CTZ),
            O::I32Popcnt => self.unary(op::ALU, alu::POPCNT),
            O::I64Clz => self.unary(op::ALU, alu::CLZ | W),
            O::I64Ctz => self.unary(op::ALU, alu::CTZ | W),
            O::I64Popcnt => self.unary(op::ALU, alu::POPCNT | W),
            O::I32Extend8S => self.unary(op::ALU, alu::EXT8),
            O::I32Extend16S => self.unary(op::ALU, alu::EXT16),
            O::I64Extend8S => self.unary(op::ALU, alu::EXT8 | W),
            O::I64Extend16S => self.unary(op::ALU, alu::EXT16 | W),
            O::I64Extend32S | O::I64ExtendI32S => self.unary(op::ALU, alu::EXT32 | W),
            O::I32WrapI64 => self.with_constant(alu::AND | W, 0xffff_ffff),
            O::I32GtS => self.swapped(alu::LT_S),
            O::I32GtU => self.swapped(alu::LT_U),
            O::I32GeS => self.swapped(alu::LE_S),
            O::I32GeU => self.swapped(alu::LE_U),
            O::I64GtS => self.swapped(alu::LT_S | W),
            O::I64GtU => self.swapped(alu::LT_U | W),
            O::I64GeS => self.swapped(alu::LE_S | W),
            O::I64GeU => self.swapped(alu::LE_U | W),
            // These operators do not change the bits of the slot.
            O::I64ExtendI32U
            | O::I32ReinterpretF32
            | O::I64ReinterpretF64
            | O::F32ReinterpretI32
            | O::F64ReinterpretI64 => {}
            O::F32Abs => self.with_constant(alu::AND, 0x7fff_ffff),
            O::F32Neg => self.with_constant(alu::XOR, 0x8000_0000),
            O::F64Abs => self.with_constant(alu::AND | W, i64::MAX as u64),
            O::F64Neg => self.with_constant(alu::XOR | W, 1 << 63),
            O::F32Copysign => self.copysign(0, 1 << 31),
            O::F64Copysign => self.copysign(W, 1 << 63),
            _ => match (integer(operator), float(operator)) {
                (Some(aux), _) => self.binary(aux),
                (_, Some(Float::Two(aux))) => self.float(aux, false),
                (_, Some(Float::Swapped(aux))) => self.float(aux, true),
                (_, Some(Float::One(aux))) => self.unary(op::FP, aux),
                _ => panic!("{OWN}: {operator:?}"),
            },
        }
    }

    fn set_local(&mut self, local: u16) {
        let slot = self.pop();
        if let Some(last) = self.last(slot) {
            last.d = local;
        } else {
            self.emit(op::COPY, 0, local, slot, 0, 0);
        }
    }
}
