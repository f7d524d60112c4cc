//! What an operator costs in fuel.
//!
//! One per operator; more for what takes longer than an addition on every engine. Markers that compile to
//! nothing (`block`, `loop`, `end`, `nop`) are free: every cycle runs through a branch or a call, and those cost.

use wasmparser::Operator;

/// A direct call; also what entering the run costs.
pub const CALL: u64 = 4;
/// A call through the table: bounds, null and type checks.
const CALL_INDIRECT: u64 = 8;
/// `memory.grow`.
const GROW: u64 = 256;
/// Reading a leaf of the input from the host.
const IN32: u64 = 32;
/// Handing a leaf of the output to the host, which hashes it: a keccak permutation.
const OUT32: u64 = 512;

/// Bytes that `memory.copy` and `memory.fill` move for one fuel, rounded up.
pub const BULK_BYTES_PER_FUEL: i64 = 8;

/// Fuel of calling an imported host function, on top of [`CALL`].
pub fn import(name: &str) -> u64 {
    match name {
        "in32" => IN32,
        "out32" => OUT32,
        _ => 0,
    }
}

/// Fuel of one operator. `memory.copy` and `memory.fill` add their length when they run.
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
