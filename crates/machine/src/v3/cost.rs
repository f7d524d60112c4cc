//! Fuel costs of operators.
//!
//! An operator costs one fuel, or more if it takes longer than an addition on every engine. Markers
//! that compile to nothing (`block`, `loop`, `end`, `nop`) are free. No program can run for free,
//! because every cycle contains a branch or a call.

use wasmparser::Operator;

/// A direct call, and the entry into a run.
pub const CALL: u64 = 4;
/// A call through the table, with its checks of bounds, null and type.
const CALL_INDIRECT: u64 = 8;
/// `memory.grow`, for any number of pages.
const GROW: u64 = 256;
/// Reading a leaf of the input from the host.
const IN32: u64 = 32;
/// Passing a leaf of the output to the host, which hashes it with one keccak permutation.
const OUT32: u64 = 512;

/// Bytes that `memory.copy` and `memory.fill` move for one fuel; the fuel is rounded up.
pub const BULK_BYTES_PER_FUEL: i64 = 8;

/// Returns the fuel for calling an imported host function, on top of [`CALL`].
pub fn import(name: &str) -> u64 {
    match name {
        "in32" => IN32,
        "out32" => OUT32,
        _ => 0,
    }
}

/// Returns the fuel of one operator. `memory.copy` and `memory.fill` charge for their length when
/// they run.
pub fn of(op: &Operator<'_>) -> u64 {
    use Operator::*;
    match op {
        Block { .. } | Loop { .. } | End | Nop => 0,
        I32DivS | I32DivU | I32RemS | I32RemU => 6,
        I64DivS | I64DivU | I64RemS | I64RemU => 10,
        F32Div | F64Div => 5,
        F32Sqrt | F64Sqrt => 6,
        Call { .. } => CALL,
        CallIndirect { .. } => CALL_INDIRECT,
        MemoryGrow { .. } => GROW,
        _ => 1,
    }
}
