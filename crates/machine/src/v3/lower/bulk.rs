//! The helpers that replace `memory.copy` and `memory.fill`, as WebAssembly that is lowered like
//! all other code. They check the bounds first, then move eight bytes at a time, then the rest.

use wasm_encoder::{
    BlockType, CodeSection, Function, FunctionSection, Instruction as I, MemArg, MemorySection,
    MemoryType, Module, TypeSection, ValType,
};

/// Parameters of both helpers: destination, source or byte, length.
const TO: u32 = 0;
const FROM: u32 = 1;
const LEN: u32 = 2;
/// Local of `fill`: the byte, eight times.
const WORD: u32 = 3;

/// Index of each helper in [`module`].
pub(super) const COPY: usize = 0;
pub(super) const FILL: usize = 1;

/// Returns a module with both helpers.
pub(super) fn module() -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 3], []);
    let mut functions = FunctionSection::new();
    functions.function(0).function(0);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 0,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut code = CodeSection::new();
    code.function(&copy()).function(&fill());
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&code);
    module.finish()
}

const AT: MemArg = MemArg { offset: 0, align: 0, memory_index: 0 };

fn put(function: &mut Function, instructions: &[I<'_>]) {
    instructions.iter().for_each(|instruction| {
        function.instruction(instruction);
    });
}

/// Emits a TRAP unless `start + LEN` is within memory.
fn check(function: &mut Function, start: u32) {
    put(
        function,
        &[I::LocalGet(start), I::I64ExtendI32U, I::LocalGet(LEN), I::I64ExtendI32U, I::I64Add],
    );
    put(function, &[I::MemorySize(0), I::I64ExtendI32U, I::I64Const(16), I::I64Shl]);
    put(function, &[I::I64GtU, I::If(BlockType::Empty), I::Unreachable, I::End]);
}

/// Emits `local += by`.
fn add(function: &mut Function, local: u32, by: i32) {
    put(function, &[I::LocalGet(local), I::I32Const(by), I::I32Add, I::LocalSet(local)]);
}

/// Emits `while LEN >= least { body }`.
fn turns(function: &mut Function, least: i32, body: impl Fn(&mut Function)) {
    put(function, &[I::Block(BlockType::Empty), I::Loop(BlockType::Empty)]);
    put(function, &[I::LocalGet(LEN), I::I32Const(least), I::I32LtU, I::BrIf(1)]);
    body(function);
    put(function, &[I::Br(0), I::End, I::End]);
}

/// Emits one iteration of a copy of `bytes` bytes, which advances both positions.
fn moved(function: &mut Function, bytes: i32, forward: bool) {
    if !forward {
        add(function, TO, -bytes);
        add(function, FROM, -bytes);
    }
    let (load, store) = if bytes == 8 {
        (I::I64Load(AT), I::I64Store(AT))
    } else {
        (I::I32Load8U(AT), I::I32Store8(AT))
    };
    put(function, &[I::LocalGet(TO), I::LocalGet(FROM), load, store]);
    if forward {
        add(function, TO, bytes);
        add(function, FROM, bytes);
    }
    add(function, LEN, -bytes);
}

fn copy() -> Function {
    let mut function = Function::new([]);
    check(&mut function, TO);
    check(&mut function, FROM);
    put(&mut function, &[I::LocalGet(TO), I::LocalGet(FROM), I::I32LeU, I::If(BlockType::Empty)]);
    for bytes in [8, 1] {
        turns(&mut function, bytes, |function| moved(function, bytes, true));
    }
    // Backwards, so that no byte is overwritten before it is read.
    put(&mut function, &[I::Else]);
    for local in [TO, FROM] {
        put(&mut function, &[I::LocalGet(local), I::LocalGet(LEN), I::I32Add, I::LocalSet(local)]);
    }
    for bytes in [8, 1] {
        turns(&mut function, bytes, |function| moved(function, bytes, false));
    }
    put(&mut function, &[I::End, I::End]);
    function
}

fn fill() -> Function {
    let mut function = Function::new([(1, ValType::I64)]);
    check(&mut function, TO);
    put(&mut function, &[I::LocalGet(FROM), I::I64ExtendI32U, I::I64Const(0xff), I::I64And]);
    put(&mut function, &[I::I64Const(0x0101_0101_0101_0101), I::I64Mul, I::LocalSet(WORD)]);
    for bytes in [8, 1] {
        let store = if bytes == 8 { I::I64Store(AT) } else { I::I64Store8(AT) };
        turns(&mut function, bytes, |function| {
            put(function, &[I::LocalGet(TO), I::LocalGet(WORD), store.clone()]);
            add(function, TO, bytes);
            add(function, LEN, -bytes);
        });
    }
    put(&mut function, &[I::End]);
    function
}
