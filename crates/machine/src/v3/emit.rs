//! Rewrites a function for M': it gets new indices, charges at the tops of its blocks, and passes
//! fuel and stack through calls. All other operators are copied byte for byte.
//!
//! # Fuel
//! The global `fuel` holds the remaining fuel, less up to [`PREPAID_FUEL`] that is prepaid. The
//! prepaid fuel travels through parameters and results, so that it stays in a register: a charge is
//! `prepaid -= cost; if prepaid < 0 { refill }`. The two are added up when the run finishes or
//! exits, and when fuel runs out, so the global is then exact to the unit. A trap of another kind
//! forfeits the prepaid fuel.

use std::collections::{BTreeMap, HashMap};

use wasm_encoder::{BlockType, Function, Instruction, TypeSection, ValType};
use wasmparser::{FuncType, Operator};

use crate::v3::body::{Body, Charge};
use crate::v3::calls::{self, Shape};
use crate::v3::cost;
use crate::v3::limits::PREPAID_FUEL;

/// Global of M' that holds the remaining fuel; negative after it ran out.
pub(crate) const FUEL: u32 = 0;
/// Global of M' that holds the stack budget, in slots; negative after it was exceeded.
pub(crate) const STACK_LEFT: u32 = 1;

/// Mapping of a module's indices to those of M'.
pub(crate) struct Mapping<'a> {
    pub types: &'a [FuncType],
    pub globals: Vec<u32>,
    pub funcs: Vec<Callee>,
    /// Function of M' that prepays fuel (see [`refill`]).
    pub refill: u32,
}

/// A function of M' that code can call.
#[derive(Clone, Copy)]
pub(crate) struct Callee {
    pub index: u32,
    pub shape: Shape,
}

/// The type section of M'. Every type is in it once.
#[derive(Default)]
pub(crate) struct Types {
    indices: BTreeMap<(Vec<ValType>, Vec<ValType>), u32>,
    pub section: TypeSection,
}

/// Cache of the guest's types, as types of blocks and of functions in the table. A type may be
/// long, and code that names it short, so looking each up again could take a time far above the
/// size of the code.
#[derive(Default)]
struct Known {
    blocks: HashMap<u32, BlockType>,
    indirect: HashMap<u32, u32>,
}

impl Types {
    pub fn index(&mut self, params: Vec<ValType>, results: Vec<ValType>) -> u32 {
        let next = self.indices.len() as u32;
        *self.indices.entry((params, results)).or_insert_with_key(|(params, results)| {
            self.section.ty().function(params.iter().copied(), results.iter().copied());
            next
        })
    }

    /// Returns a guest's type as the type of a block.
    fn block(&mut self, ty: &FuncType) -> BlockType {
        match (ty.params(), ty.results()) {
            ([], []) => BlockType::Empty,
            ([], [result]) => BlockType::Result(val_type(*result)),
            (params, results) => {
                BlockType::FunctionType(self.index(encoded(params), encoded(results)))
            }
        }
    }

    /// Returns the index of a function's type in M', with the parameters that its shape adds.
    pub fn function(&mut self, ty: &FuncType, shape: Shape) -> u32 {
        let (mut params, mut results) = (encoded(ty.params()), encoded(ty.results()));
        params.extend(
            [shape.fuel, shape.stack].into_iter().filter(|taken| *taken).map(|_| ValType::I64),
        );
        results.extend(shape.fuel.then_some(ValType::I64));
        self.index(params, results)
    }
}

fn encoded(types: &[wasmparser::ValType]) -> Vec<ValType> {
    types.iter().copied().map(val_type).collect()
}

/// Rewrites the body of a function that has this type and shape.
pub(crate) fn function(
    body: &Body<'_>,
    ty: &FuncType,
    shape: Shape,
    map: &Mapping<'_>,
    types: &mut Types,
) -> Emitted {
    let params = ty.params().len() as u32;
    let fuel = shape.fuel.then_some(params);
    let stack = shape.stack.then_some(params + u32::from(shape.fuel));
    let added = u32::from(shape.fuel) + u32::from(shape.stack);
    let mut locals = Locals::new(body, params + added);
    let mut writer = Writer {
        fuel,
        stack,
        total: if body.has_tight_loop && shape.fuel {
            Some(locals.add(ValType::I64))
        } else {
            None
        },
        scratch: if body.has_bulk || body.calls_indirectly { locals.add(ValType::I32) } else { 0 },
        map,
        params,
        added,
        depth: 0,
        known: Known::default(),
        out: Emitted::new(locals.runs),
    };
    let mut charges = body.charges.iter().peekable();
    let bytes = body.code.as_bytes();
    let base = body.code.range().start;
    let mut reader = body.code.get_operators_reader().expect("the gate has read this body");
    if shape.depth.is_none() {
        writer.count(body.frame.into());
    }
    // Every exit of the body leads to the end of this block, behind which the fuel is returned: the
    // label of the function becomes the label of the block.
    if fuel.is_some() {
        let whole = types.block(&FuncType::new([], ty.results().iter().copied()));
        writer.out.put(&[Instruction::Block(whole)]);
    }
    if let (Some(entry), None) = (&body.entry, shape.entry) {
        writer.charge(entry);
    }
    while !reader.eof() {
        let at = reader.original_position();
        if let Some(charge) = charges.next_if(|charge| charge.at == at) {
            writer.charge(charge);
        }
        let op = reader.read().expect("the gate has read this body");
        writer.operator(&op, &bytes[at - base..reader.original_position() - base], types);
    }
    if let Some(fuel) = fuel {
        writer.out.put(&[Instruction::LocalGet(fuel), Instruction::End]);
    }
    writer.out
}

/// Returns the function that prepays fuel. It takes the prepaid fuel, which is negative, and
/// returns the new prepaid fuel.
pub(crate) fn refill() -> Emitted {
    let mut out = Emitted::new(vec![(1, ValType::I64)]);
    out.refill(0, 1);
    out.put(&[Instruction::LocalGet(0), Instruction::End]);
    out
}

/// A function of M', with the positions of its `if`s that are hardly ever taken. Engines can move
/// their code out of the way.
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

    /// Emits `fuel -= cost; if fuel < 0 { trap }` on the global.
    pub fn charge(&mut self, cost: u64) {
        self.put(&[
            Instruction::GlobalGet(FUEL),
            Instruction::I64Const(cost as i64),
            Instruction::I64Sub,
        ]);
        self.set_fuel();
    }

    /// Emits `total = fuel + prepaid; prepaid = max(min(total, PREPAID_FUEL), 0); fuel = total -
    /// prepaid; if fuel < 0 { trap }`.
    ///
    /// The check comes last, because compilers take the code after an `if` for likely, even inside
    /// an unlikely `if`.
    fn refill(&mut self, prepaid: u32, total: u32) {
        let (least, most) = (Instruction::I64Const(0), Instruction::I64Const(PREPAID_FUEL));
        let (get_prepaid, get_total) =
            (Instruction::LocalGet(prepaid), Instruction::LocalGet(total));
        self.put(&[Instruction::GlobalGet(FUEL), get_prepaid.clone(), Instruction::I64Add]);
        self.put(&[Instruction::LocalTee(total), most.clone(), get_total.clone(), most]);
        self.put(&[
            Instruction::I64LtS,
            Instruction::Select,
            Instruction::LocalTee(prepaid),
            least.clone(),
        ]);
        self.put(&[get_prepaid.clone(), least, Instruction::I64GtS, Instruction::Select]);
        self.put(&[Instruction::LocalSet(prepaid), get_total, get_prepaid, Instruction::I64Sub]);
        self.set_fuel();
    }

    /// Emits `fuel = …; if fuel < 0 { trap }`. Engines may recognise this sequence (`rialto-exec`
    /// does).
    fn set_fuel(&mut self) {
        self.put(&[Instruction::GlobalSet(FUEL)]);
        self.put(&[Instruction::GlobalGet(FUEL), Instruction::I64Const(0), Instruction::I64LtS]);
        self.unlikely_if();
        self.put(&[Instruction::Unreachable, Instruction::End]);
    }

    fn unlikely_if(&mut self) {
        self.unlikely.push(self.function.byte_len() as u32);
        self.put(&[Instruction::If(BlockType::Empty)]);
    }
}

/// A function's locals, and those that the rewriting adds.
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

struct Writer<'a> {
    out: Emitted,
    /// Local (a parameter) that holds the prepaid fuel.
    fuel: Option<u32>,
    /// Local (a parameter) that holds the remaining stack.
    stack: Option<u32>,
    /// Local for refilling inline, without a call.
    total: Option<u32>,
    /// Local for the top of the operand stack, an i32.
    scratch: u32,
    map: &'a Mapping<'a>,
    /// Number of the guest's parameters. The added ones come after them and shift the guest's
    /// locals.
    params: u32,
    added: u32,
    /// Number of open blocks, without the function itself.
    depth: u32,
    known: Known,
}

impl Writer<'_> {
    fn operator(&mut self, op: &Operator<'_>, raw: &[u8], types: &mut Types) {
        match op {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => self.depth += 1,
            Operator::End => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        let map = self.map;
        let blocks = &mut self.known.blocks;
        let mut block =
            |ty: &u32| *blocks.entry(*ty).or_insert_with(|| types.block(&map.types[*ty as usize]));
        let local = |index: &u32| index + if *index < self.params { 0 } else { self.added };
        let instruction = match op {
            Operator::Call { function_index } => {
                let callee = map.funcs[*function_index as usize];
                return self.call(Instruction::Call(callee.index), callee.shape);
            }
            Operator::CallIndirect { type_index, .. } => {
                let function = || types.function(&map.types[*type_index as usize], Shape::INDIRECT);
                let type_index = *self.known.indirect.entry(*type_index).or_insert_with(function);
                self.out.put(&[Instruction::LocalSet(self.scratch)]);
                return self.call(
                    Instruction::CallIndirect { type_index, table_index: 0 },
                    Shape::INDIRECT,
                );
            }
            Operator::Return if self.fuel.is_some() => Instruction::Br(self.depth),
            Operator::LocalGet { local_index } => Instruction::LocalGet(local(local_index)),
            Operator::LocalSet { local_index } => Instruction::LocalSet(local(local_index)),
            Operator::LocalTee { local_index } => Instruction::LocalTee(local(local_index)),
            Operator::GlobalGet { global_index } => {
                Instruction::GlobalGet(map.globals[*global_index as usize])
            }
            Operator::GlobalSet { global_index } => {
                Instruction::GlobalSet(map.globals[*global_index as usize])
            }
            Operator::Block { blockty: wasmparser::BlockType::FuncType(ty) } => {
                Instruction::Block(block(ty))
            }
            Operator::Loop { blockty: wasmparser::BlockType::FuncType(ty) } => {
                Instruction::Loop(block(ty))
            }
            Operator::If { blockty: wasmparser::BlockType::FuncType(ty) } => {
                Instruction::If(block(ty))
            }
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

    /// Returns the local that holds the prepaid fuel.
    fn fuel(&self) -> u32 {
        self.fuel.expect("a function that charges takes fuel")
    }

    /// Emits the charge of a block.
    fn charge(&mut self, charge: &Charge) {
        let cost = calls::cost(charge, |callee| self.map.funcs[callee as usize].shape);
        let fuel = self.fuel();
        self.out.put(&[
            Instruction::LocalGet(fuel),
            Instruction::I64Const(cost as i64),
            Instruction::I64Sub,
        ]);
        self.store_fuel(fuel);
    }

    /// Emits a charge for the length on top of the operand stack: one fuel for eight bytes, rounded
    /// up.
    fn charge_length(&mut self) {
        let fuel = self.fuel();
        let round_up = cost::BULK_BYTES_PER_FUEL - 1;
        let shift = i64::from(cost::BULK_BYTES_PER_FUEL.trailing_zeros());
        self.out.put(&[Instruction::LocalSet(self.scratch), Instruction::LocalGet(fuel)]);
        self.out.put(&[Instruction::LocalGet(self.scratch), Instruction::I64ExtendI32U]);
        self.out.put(&[Instruction::I64Const(round_up), Instruction::I64Add]);
        self.out.put(&[Instruction::I64Const(shift), Instruction::I64ShrU, Instruction::I64Sub]);
        self.store_fuel(fuel);
        self.out.put(&[Instruction::LocalGet(self.scratch)]);
    }

    /// Emits code that stores the prepaid fuel from the top of the operand stack and refills it if
    /// it is negative. If some loop makes no calls, refilling is inline, because a call would cost
    /// the loop registers.
    fn store_fuel(&mut self, fuel: u32) {
        self.out.put(&[Instruction::LocalTee(fuel), Instruction::I64Const(0), Instruction::I64LtS]);
        self.out.unlikely_if();
        match self.total {
            Some(total) => self.out.refill(fuel, total),
            None => {
                let refill = Instruction::Call(self.map.refill);
                self.out.put(&[Instruction::LocalGet(fuel), refill, Instruction::LocalSet(fuel)]);
            }
        }
        self.out.put(&[Instruction::End]);
    }

    /// Emits a call. For a call through the table, the index is in `scratch`.
    fn call(&mut self, call: Instruction<'_>, callee: Shape) {
        if callee.ends {
            self.give_back();
        }
        if callee.fuel {
            self.out.put(&[Instruction::LocalGet(self.fuel())]);
        }
        if callee.stack {
            // A caller that isn't counted only calls shallow functions, which ignore this
            // parameter.
            self.out.put(&[self.stack.map_or(Instruction::I64Const(0), Instruction::LocalGet)]);
        }
        if matches!(call, Instruction::CallIndirect { .. }) {
            self.out.put(&[Instruction::LocalGet(self.scratch)]);
        }
        self.out.put(&[call]);
        if callee.fuel {
            self.out.put(&[Instruction::LocalSet(self.fuel())]);
        }
    }

    /// Emits code that adds the prepaid fuel to the global.
    fn give_back(&mut self) {
        let fuel = self.fuel();
        self.out.put(&[
            Instruction::GlobalGet(FUEL),
            Instruction::LocalGet(fuel),
            Instruction::I64Add,
        ]);
        self.out.put(&[
            Instruction::I64Const(0),
            Instruction::LocalSet(fuel),
            Instruction::GlobalSet(FUEL),
        ]);
    }

    /// Emits `stack -= frame; if stack < 0 { stackLeft = stack; trap }`.
    fn count(&mut self, frame: i64) {
        let stack = self.stack.expect("a counted function takes the stack left");
        self.out.put(&[
            Instruction::LocalGet(stack),
            Instruction::I64Const(frame),
            Instruction::I64Sub,
        ]);
        self.out.put(&[
            Instruction::LocalTee(stack),
            Instruction::I64Const(0),
            Instruction::I64LtS,
        ]);
        self.out.unlikely_if();
        self.out.put(&[Instruction::LocalGet(stack), Instruction::GlobalSet(STACK_LEFT)]);
        self.out.put(&[Instruction::Unreachable, Instruction::End]);
    }
}

/// Converts a number type. The gate accepts no other types.
pub(crate) fn val_type(ty: wasmparser::ValType) -> ValType {
    match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 | wasmparser::ValType::Ref(_) => {
            unreachable!("refused by the gate")
        }
    }
}
