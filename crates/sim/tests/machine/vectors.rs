//! Programs that run every numeric operator of WebAssembly on edge cases, often enough to judge
//! each on the contract.

use rand::{RngCore, SeedableRng, rngs::StdRng};
use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction as I,
    MemArg, MemorySection, MemoryType, Module, TypeSection, ValType,
};

/// Returns the operators by their bytes, with the types of operands and result.
fn operators() -> Vec<(Vec<u8>, &'static [ValType], ValType)> {
    use ValType::*;
    const I1: &[ValType] = &[I32];
    const I2: &[ValType] = &[I32, I32];
    const L1: &[ValType] = &[I64];
    const L2: &[ValType] = &[I64, I64];
    const F1: &[ValType] = &[F32];
    const F2: &[ValType] = &[F32, F32];
    const D1: &[ValType] = &[F64];
    const D2: &[ValType] = &[F64, F64];
    let mut all = Vec::new();
    let mut range = |from: u8, to: u8, takes, gives| {
        all.extend((from..=to).map(|byte| (vec![byte], takes, gives)))
    };
    range(0x45, 0x45, I1, I32);
    range(0x46, 0x4f, I2, I32);
    range(0x50, 0x50, L1, I32);
    range(0x51, 0x5a, L2, I32);
    range(0x5b, 0x60, F2, I32);
    range(0x61, 0x66, D2, I32);
    range(0x67, 0x69, I1, I32);
    range(0x6a, 0x78, I2, I32);
    range(0x79, 0x7b, L1, I64);
    range(0x7c, 0x8a, L2, I64);
    range(0x8b, 0x91, F1, F32);
    range(0x92, 0x98, F2, F32);
    range(0x99, 0x9f, D1, F64);
    range(0xa0, 0xa6, D2, F64);
    range(0xa7, 0xa7, L1, I32);
    range(0xa8, 0xa9, F1, I32);
    range(0xaa, 0xab, D1, I32);
    range(0xac, 0xad, I1, I64);
    range(0xae, 0xaf, F1, I64);
    range(0xb0, 0xb1, D1, I64);
    range(0xb2, 0xb3, I1, F32);
    range(0xb4, 0xb5, L1, F32);
    range(0xb6, 0xb6, D1, F32);
    range(0xb7, 0xb8, I1, F64);
    range(0xb9, 0xba, L1, F64);
    range(0xbb, 0xbb, F1, F64);
    range(0xbc, 0xbc, F1, I32);
    range(0xbd, 0xbd, D1, I64);
    range(0xbe, 0xbe, I1, F32);
    range(0xbf, 0xbf, L1, F64);
    range(0xc0, 0xc1, I1, I32);
    range(0xc2, 0xc4, L1, I64);
    for (function, takes, gives) in [
        (0, F1, I32),
        (1, F1, I32),
        (2, D1, I32),
        (3, D1, I32),
        (4, F1, I64),
        (5, F1, I64),
        (6, D1, I64),
        (7, D1, I64),
    ] {
        all.push((vec![0xfc, function], takes, gives));
    }
    all
}

/// Returns whether an operator traps on some operands, as divisions and conversions do. The
/// official suite covers these.
fn traps(operator: &[u8]) -> bool {
    matches!(operator[0], 0x6d..=0x70 | 0x7f..=0x82 | 0xa8..=0xab | 0xae..=0xb1)
}

pub fn integer(rng: &mut StdRng) -> u64 {
    const EDGES: [u64; 12] = [
        0,
        1,
        2,
        31,
        32,
        63,
        64,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        i64::MAX as u64,
        i64::MIN as u64,
    ];
    let edge = EDGES[rng.next_u32() as usize % EDGES.len()];
    match rng.next_u32() % 4 {
        0 => edge,
        1 => edge.wrapping_add(u64::from(rng.next_u32() % 5)).wrapping_sub(2),
        2 => rng.next_u64() >> (rng.next_u32() % 64),
        _ => rng.next_u64(),
    }
}

/// Returns bits of a float, with evenly spread exponents, and often a NaN or an infinity.
pub fn float(rng: &mut StdRng, wide: bool) -> u64 {
    let (fraction, exponent): (u32, u32) = if wide { (52, 11) } else { (23, 8) };
    let top = (1u64 << exponent) - 1;
    let field = match rng.next_u32() % 6 {
        0 => top,
        1 => 0,
        2 | 3 => (top / 2).wrapping_add(u64::from(rng.next_u32() % 140)).wrapping_sub(70) & top,
        _ => rng.next_u64() & top,
    };
    let low = match rng.next_u32() % 3 {
        0 => 0,
        1 => integer(rng),
        _ => rng.next_u64(),
    } & ((1 << fraction) - 1);
    (u64::from(rng.next_u32() & 1) << exponent | field) << fraction | low
}

pub fn operand(rng: &mut StdRng, ty: ValType, tame: bool) -> I<'static> {
    let small = i64::from(rng.next_u32() % 2000) + 1;
    match ty {
        ValType::I32 if tame => I::I32Const(small as i32),
        ValType::I64 if tame => I::I64Const(small),
        ValType::F32 if tame => I::F32Const((small as f32 / 7.0).into()),
        ValType::F64 if tame => I::F64Const((small as f64 / 7.0).into()),
        ValType::I32 => I::I32Const(integer(rng) as i32),
        ValType::I64 => I::I64Const(integer(rng) as i64),
        ValType::F32 => I::F32Const(wasm_encoder::Ieee32::new(float(rng, false) as u32)),
        _ => I::F64Const(wasm_encoder::Ieee64::new(float(rng, true))),
    }
}

const SUM: u32 = 0;
/// Returns the local for an operand, one or two of each type.
fn local(ty: ValType, at: usize) -> u32 {
    let first = match ty {
        ValType::I32 => 1,
        ValType::I64 => 3,
        ValType::F32 => 5,
        _ => 7,
    };
    first + at as u32
}

/// Adds a value to the sum of all results.
pub fn fold(function: &mut Vec<I<'static>>, ty: ValType, sum: u32) {
    function.extend(
        match ty {
            ValType::I32 => Some(vec![I::I64ExtendI32U]),
            ValType::F32 => Some(vec![I::I32ReinterpretF32, I::I64ExtendI32U]),
            ValType::F64 => Some(vec![I::I64ReinterpretF64]),
            _ => None,
        }
        .into_iter()
        .flatten(),
    );
    function.extend([
        I::LocalGet(sum),
        I::I64Const(7),
        I::I64Rotl,
        I::I64Xor,
        I::I64Const(0x9e37_79b9_7f4a_7c15_u64 as i64),
        I::I64Mul,
    ]);
    function.push(I::LocalSet(sum));
}

/// Spends fuel according to some bits of the sum, so that the halted state depends on the results
/// although nothing is written.
pub fn burn(function: &mut Vec<I<'static>>, sum: u32) {
    function.extend([I::LocalGet(sum), I::I64Const(52), I::I64ShrU, I::LocalSet(sum)]);
    function.extend([
        I::Loop(BlockType::Empty),
        I::LocalGet(sum),
        I::I64Const(1),
        I::I64Sub,
        I::LocalTee(sum),
    ]);
    function.extend([I::I64Const(0), I::I64GtS, I::BrIf(0), I::End]);
}

/// Returns programs over all operators. In each, every operator runs twice on constants in locals
/// and once on an immediate constant.
pub fn programs(wanted: u32) -> Vec<Vec<u8>> {
    let mut rng = StdRng::seed_from_u64(3);
    (0..wanted).map(|_| program(&mut rng)).collect()
}

fn program(rng: &mut StdRng) -> Vec<u8> {
    let mut body = Vec::new();
    let mut raw: Vec<(usize, Vec<u8>)> = Vec::new();
    for (bytes, takes, gives) in operators() {
        for turn in 0..3 {
            for (at, ty) in takes.iter().enumerate() {
                body.push(operand(rng, *ty, traps(&bytes)));
                if turn < 2 || at == 0 {
                    body.push(I::LocalSet(local(*ty, at)));
                    body.push(I::LocalGet(local(*ty, at)));
                }
            }
            // The `nop` keeps lowering from reading operands from their source, so that their own
            // slots are used.
            raw.push((body.len(), bytes.clone()));
            body.push(I::Nop);
            fold(&mut body, gives, SUM);
        }
    }
    for offset in [30, 31, 32, 63] {
        memory(&mut body, rng, offset);
    }
    burn(&mut body, SUM);
    body.push(I::End);
    let mut function = Function::new([
        (1, ValType::I64),
        (2, ValType::I32),
        (2, ValType::I64),
        (2, ValType::F32),
        (3, ValType::F64),
    ]);
    let mut raw = raw.into_iter().peekable();
    for (at, instruction) in body.iter().enumerate() {
        match raw.next_if(|(index, _)| *index == at) {
            Some((_, bytes)) => {
                function.raw(bytes);
            }
            None => {
                function.instruction(instruction);
            }
        }
    }
    module(function)
}

/// Emits every load and store, at an offset at which the wide ones straddle two leaves.
fn memory(body: &mut Vec<I<'static>>, rng: &mut StdRng, offset: u64) {
    let at = MemArg { offset, align: 0, memory_index: 0 };
    let stores = [
        (ValType::I32, I::I32Store(at)),
        (ValType::I32, I::I32Store8(at)),
        (ValType::I32, I::I32Store16(at)),
        (ValType::I64, I::I64Store(at)),
        (ValType::I64, I::I64Store8(at)),
        (ValType::I64, I::I64Store16(at)),
        (ValType::I64, I::I64Store32(at)),
        (ValType::F32, I::F32Store(at)),
        (ValType::F64, I::F64Store(at)),
    ];
    for (ty, store) in stores {
        body.push(I::I32Const((rng.next_u32() % 3000) as i32));
        body.push(I::LocalTee(local(ValType::I32, 0)));
        body.push(operand(rng, ty, false));
        body.push(store);
        let loads = [
            (ValType::I32, I::I32Load(at)),
            (ValType::I32, I::I32Load8S(at)),
            (ValType::I32, I::I32Load8U(at)),
            (ValType::I32, I::I32Load16S(at)),
            (ValType::I32, I::I32Load16U(at)),
            (ValType::I64, I::I64Load(at)),
            (ValType::I64, I::I64Load8S(at)),
            (ValType::I64, I::I64Load16S(at)),
            (ValType::I64, I::I64Load32S(at)),
            (ValType::I64, I::I64Load32U(at)),
            (ValType::F32, I::F32Load(at)),
            (ValType::F64, I::F64Load(at)),
        ];
        for (ty, load) in loads {
            body.extend([I::LocalGet(local(ValType::I32, 0)), load]);
            fold(body, ty, SUM);
        }
    }
}

fn module(start: Function) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: Some(1),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 0);
    let mut code = CodeSection::new();
    code.function(&start);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&exports).section(&code);
    module.finish()
}
