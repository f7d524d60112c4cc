//! Small, valid modules that are expensive to compile. Their `_start` does nothing.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function,
    FunctionSection, Instruction as I, MemorySection, MemoryType, Module, RefType, TableSection,
    TableType, TypeSection, ValType,
};

const NOTHING: BlockType = BlockType::Empty;
/// Index of the type with as many parameters and results as [`wide`] says.
const WIDE: u32 = 1;

/// A kind of bomb: its name, its largest accepted size, and a function that makes one of a size.
pub type Kind = (&'static str, u32, fn(u32) -> Vec<u8>);

/// All kinds. Each name begins with the part that grows with the size; the rest of the name makes
/// that part more expensive.
pub const KINDS: [Kind; 21] = [
    ("loops around 100 locals", 779, |n| one(100, |f| nest(f, 100, n))),
    ("locals in 100 loops", 356, |n| one(n, |f| nest(f, n, 100))),
    ("nests of 30 loops around 100 locals", 29, |n| {
        one(100, |f| (0..n).for_each(|_| nest(f, 100, 30)))
    }),
    ("loops after one another among 1000 locals", 547, |n| one(1000, |f| seq(f, 1000, n))),
    ("blocks that 100 locals leave by two ways", 780, |n| one(100, |f| fan(f, 100, n))),
    ("branches to one place with 1000 locals", 31, |n| one(1000, |f| same(f, 1000, n))),
    ("table entries to one place with 100 locals", 1500, |n| one(100, |f| table_of(f, 100, n))),
    ("table entries to 64 blocks", 21_828, |n| one(1, |f| tables(f, n, 1))),
    ("tables of 100 entries", 232, |n| one(1, |f| tables(f, 100, n))),
    ("blocks with 900 parameters", 18, |n| one(1, |f| wide_blocks(f, 900, n))),
    ("calls with 900 parameters", 50, |n| wide_calls(900, n)),
    ("locals of many functions", 277, |n| many(n, 1000)),
    ("functions", 52_427, |n| many(n, 0)),
    ("branches", 174_759, |n| one(1, |f| branches(f, n))),
    ("ifs", 82_781, |n| one(1, |f| ifs(f, n))),
    ("loops", 1702, |n| one(1, |f| loops(f, n))),
    ("nested blocks that are left", 16_383, |n| one(1, |f| deep(f, n))),
    ("calls through the table", 61_081, |n| one(1, |f| indirect(f, n))),
    ("fills of memory", 59_352, |n| one(1, |f| fills(f, n))),
    ("loads", 262_143, |n| one(1, |f| loads(f, n))),
    ("unreachable calls with 900 parameters", 691, |n| one(1, |f| dead(f, n))),
];

/// Returns a module with one function besides `_start`, which has `locals` i64 locals.
fn one(locals: u32, body: impl FnOnce(&mut Function)) -> Vec<u8> {
    let mut function = Function::new([(locals, ValType::I64)]);
    body(&mut function);
    function.instruction(&I::End);
    module(900, &[(0, function)])
}

fn module(arity: usize, functions: &[(u32, Function)]) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function(vec![ValType::I64; arity], vec![ValType::I64; arity]);
    let mut start = Function::new([]);
    start.instruction(&I::End);
    let (mut section, mut code) = (FunctionSection::new(), CodeSection::new());
    section.function(0);
    code.function(&start);
    for (ty, function) in functions {
        section.function(*ty);
        code.function(function);
    }
    finish(&types, &section, 1, 1, &code, &DataSection::new())
}

fn finish(
    types: &TypeSection,
    functions: &FunctionSection,
    entries: u64,
    pages: u64,
    code: &CodeSection,
    data: &DataSection,
) -> Vec<u8> {
    let mut tables = TableSection::new();
    let ty = RefType::FUNCREF;
    tables.table(TableType {
        element_type: ty,
        table64: false,
        minimum: entries,
        maximum: None,
        shared: false,
    });
    let mut memories = MemorySection::new();
    let minimum = pages;
    memories.memory(MemoryType {
        minimum,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0).export("_start", ExportKind::Func, 0);
    let mut module = Module::new();
    module.section(types).section(functions).section(&tables).section(&memories).section(&exports);
    module.section(code).section(data);
    module.finish()
}

/// Returns a module with almost no code, but with a table of `entries`, `pages` of memory, and
/// `pieces` of data that are `gap` bytes apart; the last one is at the end of memory.
pub fn plain(entries: u64, pages: u64, pieces: u64, gap: u64) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut code = CodeSection::new();
    let mut start = Function::new([]);
    start.instruction(&I::End);
    code.function(&start);
    let mut data = DataSection::new();
    for piece in 0..pieces {
        let at = (pages << 16) - 1 - piece * gap;
        data.active(0, &ConstExpr::i32_const(at as u32 as i32), [1]);
    }
    finish(&types, &functions, entries, pages, &code, &data)
}

fn put(function: &mut Function, instructions: &[I<'_>]) {
    instructions.iter().for_each(|instruction| {
        function.instruction(instruction);
    });
}

/// Emits code that adds one to every local.
fn count_up(f: &mut Function, locals: u32) {
    for local in 0..locals {
        put(f, &[I::LocalGet(local), I::I64Const(1), I::I64Add, I::LocalSet(local)]);
    }
}

fn use_all(f: &mut Function, locals: u32) {
    (0..locals).for_each(|local| put(f, &[I::LocalGet(local), I::Drop]));
}

fn branch_if(f: &mut Function, local: u32, depth: u32) {
    put(f, &[I::LocalGet(local), I::I32WrapI64, I::BrIf(depth)]);
}

fn ends(f: &mut Function, count: u32) {
    (0..count).for_each(|_| put(f, &[I::End]));
}

fn nest(f: &mut Function, locals: u32, loops: u32) {
    (0..loops).for_each(|_| put(f, &[I::Loop(NOTHING)]));
    count_up(f, locals);
    (0..loops).for_each(|depth| branch_if(f, depth % locals, depth));
    ends(f, loops);
}

fn seq(f: &mut Function, locals: u32, loops: u32) {
    for at in 0..loops {
        let local = at % locals;
        put(
            f,
            &[I::Loop(NOTHING), I::LocalGet(local), I::I64Const(1), I::I64Add, I::LocalTee(local)],
        );
        put(f, &[I::I32WrapI64, I::BrIf(0), I::End]);
    }
    use_all(f, locals);
}

fn fan(f: &mut Function, locals: u32, blocks: u32) {
    (0..blocks).for_each(|_| put(f, &[I::Block(NOTHING)]));
    (0..blocks).for_each(|depth| branch_if(f, 0, depth));
    count_up(f, locals);
    ends(f, blocks);
    use_all(f, locals);
}

fn same(f: &mut Function, locals: u32, ways: u32) {
    put(f, &[I::Block(NOTHING)]);
    (0..ways).for_each(|_| branch_if(f, 0, 0));
    count_up(f, locals);
    put(f, &[I::End]);
    use_all(f, locals);
}

fn table_of(f: &mut Function, locals: u32, entries: u32) {
    put(f, &[I::Block(NOTHING), I::Block(NOTHING), I::LocalGet(0), I::I32WrapI64]);
    put(f, &[I::BrTable(vec![1; entries as usize].into(), 0), I::End]);
    count_up(f, locals);
    put(f, &[I::End]);
    use_all(f, locals);
}

fn tables(f: &mut Function, entries: u32, count: u32) {
    (0..64).for_each(|_| put(f, &[I::Block(NOTHING)]));
    for _ in 0..count {
        let targets: Vec<u32> = (0..entries).map(|at| at % 64).collect();
        put(
            f,
            &[
                I::LocalGet(0),
                I::I32WrapI64,
                I::BrTable(targets.into(), 0),
                I::End,
                I::Block(NOTHING),
            ],
        );
    }
    ends(f, 64);
}

fn wide_blocks(f: &mut Function, arity: u32, blocks: u32) {
    (0..arity).for_each(|_| put(f, &[I::I64Const(1)]));
    for _ in 0..blocks {
        put(f, &[I::Block(BlockType::FunctionType(WIDE)), I::I32Const(0), I::BrIf(0), I::End]);
    }
    (0..arity).for_each(|_| put(f, &[I::Drop]));
}

fn wide_calls(arity: usize, calls: u32) -> Vec<u8> {
    let mut callee = Function::new([]);
    (0..arity as u32).for_each(|param| put(&mut callee, &[I::LocalGet(param)]));
    put(&mut callee, &[I::End]);
    let mut caller = Function::new([]);
    (0..arity).for_each(|_| put(&mut caller, &[I::I64Const(1)]));
    (0..calls).for_each(|_| put(&mut caller, &[I::Call(1)]));
    (0..arity).for_each(|_| put(&mut caller, &[I::Drop]));
    put(&mut caller, &[I::End]);
    module(arity, &[(WIDE, callee), (0, caller)])
}

fn many(functions: u32, locals: u32) -> Vec<u8> {
    let function = || {
        let mut function = Function::new((locals > 0).then_some((locals, ValType::I64)));
        function.instruction(&I::End);
        (0, function)
    };
    module(1, &(0..functions).map(|_| function()).collect::<Vec<_>>())
}

fn branches(f: &mut Function, count: u32) {
    put(f, &[I::Block(NOTHING)]);
    (0..count).for_each(|_| put(f, &[I::I32Const(0), I::BrIf(0)]));
    put(f, &[I::End]);
}

fn ifs(f: &mut Function, count: u32) {
    for _ in 0..count {
        put(
            f,
            &[
                I::LocalGet(0),
                I::I32WrapI64,
                I::If(NOTHING),
                I::I64Const(1),
                I::LocalSet(0),
                I::End,
            ],
        );
    }
}

fn loops(f: &mut Function, count: u32) {
    (0..count).for_each(|_| put(f, &[I::Loop(NOTHING), I::I32Const(0), I::BrIf(0), I::End]));
}

fn deep(f: &mut Function, blocks: u32) {
    (0..blocks).for_each(|_| put(f, &[I::Block(NOTHING)]));
    (0..blocks).for_each(|_| put(f, &[I::I32Const(0), I::BrIf(0), I::End]));
}

fn indirect(f: &mut Function, calls: u32) {
    (0..calls)
        .for_each(|_| put(f, &[I::I32Const(0), I::CallIndirect { type_index: 0, table_index: 0 }]));
}

fn fills(f: &mut Function, count: u32) {
    (0..count)
        .for_each(|_| put(f, &[I::I32Const(0), I::I32Const(0), I::I32Const(0), I::MemoryFill(0)]));
}

fn loads(f: &mut Function, count: u32) {
    let at = wasm_encoder::MemArg { offset: 0, align: 3, memory_index: 0 };
    (0..count)
        .for_each(|_| put(f, &[I::LocalGet(0), I::I32WrapI64, I::I64Load(at), I::LocalSet(0)]));
}

fn dead(f: &mut Function, calls: u32) {
    put(f, &[I::Unreachable]);
    for _ in 0..calls {
        put(f, &[I::I32Const(0), I::CallIndirect { type_index: WIDE, table_index: 0 }]);
        (0..900).for_each(|_| put(f, &[I::Drop]));
    }
}
