//! Bounds of the modules that the machine accepts, and of runs. They are part of the rules that
//! [`crate::v3::CANON_VERSION`] names.

use crate::v3::work::Work;

/// Most bytes of a module. A host's compile time and memory grow with them.
pub const MAX_MODULE_BYTES: usize = 32 << 20;
/// Most functions, imports included.
pub const MAX_FUNCTIONS: u32 = 100_000;
/// Most function types.
pub const MAX_TYPES: u32 = 20_000;
/// Most parameters, and most results, of a function type. Engines accept 1,000, and M' adds two
/// parameters and one result.
pub const MAX_ARITY: usize = 998;
/// Most bytes of one function's body.
pub const MAX_BODY_BYTES: usize = 2 << 20;
/// Most slots of one function's frame: parameters, locals and operands.
pub const MAX_FRAME_SLOTS: u32 = 1 << 14;
/// Deepest nesting of blocks.
pub const MAX_NESTING: u32 = 16_384;
/// Most work of one function. A compiler holds all of a function at a time.
pub const MAX_FUNCTION_WORK: Work =
    Work { steps: 6 << 20, alive: 8 << 20, moves: 2 << 20, chains: u64::MAX };
/// Most work of a module without any code.
pub const MAX_WORK: Work =
    Work { steps: 256 << 10, alive: 2 << 20, moves: 256 << 10, chains: u64::MAX };
/// Further work that a module may have for each byte of its code section. Real programs have up to
/// 10, 2 and 0.4.
pub const MAX_WORK_PER_BYTE: Work = Work { steps: 20, alive: 8, moves: 2, chains: 0 };
/// Most branches of one function, times its parameters and locals. The time to compute the
/// function's work grows with this product.
pub const MAX_BRANCHES_BY_LOCALS: u64 = 1 << 27;
/// Most globals of M', with the injected ones: as many as fit into the globals tree of depth 8,
/// four to a leaf.
pub const MAX_GLOBALS: u32 = 4 << 8;
/// Most entries of the table.
pub const MAX_TABLE_ENTRIES: u64 = 1 << 20;
/// Most data segments, and most element segments.
pub const MAX_SEGMENTS: u32 = 100_000;
/// Most exports.
pub const MAX_EXPORTS: u32 = 100_000;
/// Most 64 KiB pages of memory: 4 GiB. It is also the maximum of a module that declares none.
pub const MAX_MEMORY_PAGES: u32 = 1 << 16;

/// Most fuel that a run can be given. It leaves room so that no charge overflows the integer.
pub const MAX_FUEL: i64 = 1 << 62;

/// Most fuel that is prepaid at any time, and thus the most that a trap forfeits.
pub const PREPAID_FUEL: i64 = 4096;

/// Slots of the machine's stack.
pub const STACK_SLOTS: u32 = 1 << 20;
/// Deepest stack, in slots, of a function whose calls need not be counted (see `calls`).
pub const SHALLOW_SLOTS: u32 = 1 << 15;
/// Slots that a call takes besides the guest's own: two parameters, three locals and five operands
/// that metering adds, and the registers that engines save.
pub const CALL_SLOTS: u32 = 16;
/// Initial value of `stackLeft`. The rest is for the innermost frame, which is not yet paid for,
/// and for the shallow calls from it.
pub const STACK_BUDGET_SLOTS: u32 = STACK_SLOTS - 2 * SHALLOW_SLOTS;

const _: () =
    assert!(MAX_FRAME_SLOTS + CALL_SLOTS + SHALLOW_SLOTS <= STACK_SLOTS - STACK_BUDGET_SLOTS);
