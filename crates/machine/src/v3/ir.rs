//! The register machine to which canonical modules are lowered: its instructions and programs.
//! `docs/machine.md` is the specification.

use alloy_primitives::{B256, keccak256};

/// Operation codes. Any other code is a trap.
pub mod op {
    #![allow(missing_docs)] // `docs/machine.md` tells what each does
    pub const TRAP: u8 = 0;
    pub const ALU: u8 = 1;
    pub const ALU_IMM: u8 = 2;
    pub const FP: u8 = 3;
    pub const COPY: u8 = 4;
    pub const CONST: u8 = 5;
    pub const SELECT: u8 = 6;
    pub const JMP: u8 = 7;
    pub const JZ: u8 = 8;
    pub const JNZ: u8 = 9;
    pub const JTAB: u8 = 10;
    pub const CALL: u8 = 11;
    pub const CALLI: u8 = 12;
    pub const RET: u8 = 13;
    pub const ZERO: u8 = 14;
    pub const GGET: u8 = 15;
    pub const GSET: u8 = 16;
    pub const LOAD: u8 = 17;
    pub const STORE: u8 = 18;
    pub const MSIZE: u8 = 19;
    pub const MGROW: u8 = 20;
    pub const INLEN: u8 = 21;
    pub const IN32: u8 = 22;
    pub const OUT32: u8 = 23;
    pub const EXIT: u8 = 24;

    /// All defined codes besides [`TRAP`].
    pub const ALL: std::ops::RangeInclusive<u8> = ALU..=EXIT;

    /// Returns the name of an operation, for people.
    pub fn name(op: u8) -> &'static str {
        const NAMES: [&str; 25] = [
            "trap", "alu", "alui", "fp", "copy", "const", "select", "jmp", "jz", "jnz", "jtab",
            "call", "calli", "ret", "zero", "gget", "gset", "load", "store", "msize", "mgrow",
            "inlen", "in32", "out32", "exit",
        ];
        NAMES.get(usize::from(op)).copied().unwrap_or("trap")
    }
}

/// Integer functions: the low seven bits of `aux` of [`op::ALU`] and [`op::ALU_IMM`].
pub mod alu {
    #![allow(missing_docs)] // named as in WebAssembly
    pub const EQZ: u8 = 0;
    pub const EQ: u8 = 1;
    pub const NE: u8 = 2;
    pub const LT_S: u8 = 3;
    pub const LT_U: u8 = 4;
    pub const LE_S: u8 = 5;
    pub const LE_U: u8 = 6;
    pub const CLZ: u8 = 7;
    pub const CTZ: u8 = 8;
    pub const POPCNT: u8 = 9;
    pub const ADD: u8 = 10;
    pub const SUB: u8 = 11;
    pub const MUL: u8 = 12;
    pub const DIV_S: u8 = 13;
    pub const DIV_U: u8 = 14;
    pub const REM_S: u8 = 15;
    pub const REM_U: u8 = 16;
    pub const AND: u8 = 17;
    pub const OR: u8 = 18;
    pub const XOR: u8 = 19;
    pub const SHL: u8 = 20;
    pub const SHR_S: u8 = 21;
    pub const SHR_U: u8 = 22;
    pub const ROTL: u8 = 23;
    pub const ROTR: u8 = 24;
    pub const EXT8: u8 = 25;
    pub const EXT16: u8 = 26;
    pub const EXT32: u8 = 27;

    /// Number of functions.
    pub const COUNT: u8 = 28;

    /// Names of the functions, by code.
    pub const NAMES: [&str; COUNT as usize] = [
        "eqz", "eq", "ne", "lt_s", "lt_u", "le_s", "le_u", "clz", "ctz", "popcnt", "add", "sub",
        "mul", "div_s", "div_u", "rem_s", "rem_u", "and", "or", "xor", "shl", "shr_s", "shr_u",
        "rotl", "rotr", "ext8", "ext16", "ext32",
    ];
}

/// Bit of `aux` that makes an integer or float function one of 64 bits instead of 32.
pub const WIDE: u8 = 0x80;

/// Kinds of [`op::LOAD`]: number of bytes, and number of bits to which the sign is extended, or 0.
pub const LOADS: [(u8, u8); 9] =
    [(1, 0), (2, 0), (4, 0), (8, 0), (1, 32), (2, 32), (1, 64), (2, 64), (4, 64)];
/// Kinds of [`op::STORE`]: number of bytes.
pub const STORES: [u8; 4] = [1, 2, 4, 8];

/// Depth of the tree over the stack: 2^20 slots, four to a leaf.
pub const STACK_DEPTH: u8 = 18;
/// Depth of the tree over the globals: 1,024 of them, four to a leaf.
pub const GLOBALS_DEPTH: u8 = 8;
/// Depth of the tree over the input, that is over both halves.
pub const INPUT_DEPTH: u8 = 27;
/// Least and greatest depth of the tree over memory: 64 KiB and 4 GiB.
pub const MEMORY_DEPTHS: std::ops::RangeInclusive<u8> = 11..=27;
/// Greatest depth of the tree over code: 2^28 instructions, two to a leaf.
pub const MAX_CODE_DEPTH: u8 = 27;
/// Greatest depth of the tree over the table: 2^20 entries, one to a leaf.
pub const MAX_TABLE_DEPTH: u8 = 20;
/// Greatest depth of a tree that a step reads.
pub const MAX_DEPTH: u32 = 28;
/// Most calls that can be open.
pub const MAX_CALL_DEPTH: u32 = 1 << 20;

/// One instruction. It is encoded in 16 bytes, big-endian and in this order, two to a leaf of the
/// code tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // operands: see `docs/machine.md`
pub struct Instruction {
    pub op: u8,
    pub aux: u8,
    pub d: u16,
    pub a: u16,
    pub b: u16,
    pub imm: u64,
}

impl Instruction {
    /// Returns the encoding in 16 bytes.
    pub fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[0] = self.op;
        bytes[1] = self.aux;
        bytes[2..4].copy_from_slice(&self.d.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.a.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.b.to_be_bytes());
        bytes[8..].copy_from_slice(&self.imm.to_be_bytes());
        bytes
    }

    /// Decodes 16 bytes.
    ///
    /// # Panics
    /// If there are fewer than 16 bytes.
    pub fn decode(bytes: &[u8]) -> Self {
        let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Self {
            op: bytes[0],
            aux: bytes[1],
            d: short(2),
            a: short(4),
            b: short(6),
            imm: u64::from_be_bytes(bytes[8..16].try_into().expect("eight bytes")),
        }
    }
}

impl std::fmt::Display for Instruction {
    /// Writes the instruction for people, such as `add.64 s3 = s1, s2`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { op, aux, d, a, b, imm } = *self;
        let name = op::name(op);
        let bits = if aux & WIDE != 0 { 64 } else { 32 };
        let function = alu::NAMES.get(usize::from(aux & !WIDE)).copied().unwrap_or("trap");
        match op {
            op::ALU => write!(f, "{function}.{bits} s{d} = s{a}, s{b}"),
            op::ALU_IMM => write!(f, "{function}.{bits} s{d} = s{a}, {imm:#x}"),
            op::FP => {
                write!(f, "f{bits}.{} s{d} = s{a}, s{b}", crate::v3::float::name(aux & !WIDE))
            }
            op::COPY | op::MGROW | op::IN32 => write!(f, "{name} s{d} = s{a}"),
            op::CONST => write!(f, "const s{d} = {imm:#x}"),
            op::SELECT => write!(f, "select s{d} = s{} ? s{a} : s{b}", imm as u16),
            op::JMP => write!(f, "jmp {imm}"),
            op::JZ | op::JNZ => write!(f, "{name} s{a}, {imm}"),
            op::JTAB => write!(f, "jtab s{a}, {} + 0..={}", imm as u32, imm >> 32),
            op::CALL => write!(f, "call {imm}, frame + {d}"),
            op::CALLI => write!(f, "calli s{a}, type {imm}, frame + {d}"),
            op::ZERO => write!(f, "zero s{d}, {aux} slots"),
            op::GGET => write!(f, "gget s{d} = g{imm}"),
            op::GSET => write!(f, "gset g{imm} = s{a}"),
            op::LOAD => {
                let (bytes, sign) = LOADS.get(usize::from(aux)).copied().unwrap_or_default();
                write!(
                    f,
                    "load.{}{} s{d} = [s{a} + {imm:#x}]",
                    u32::from(bytes) * 8,
                    if sign > 0 { "s" } else { "" }
                )
            }
            op::STORE => {
                let bytes = STORES.get(usize::from(aux)).copied().unwrap_or_default();
                write!(f, "store.{} [s{a} + {imm:#x}] = s{b}", u32::from(bytes) * 8)
            }
            op::MSIZE | op::INLEN => write!(f, "{name} s{d}"),
            op::OUT32 => write!(f, "out32 s{a}.."),
            op::EXIT => write!(f, "exit s{a}"),
            _ => f.write_str(name),
        }
    }
}

/// An entry of the table, as calls through it need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Number of the function's type, from 1; 0 if the entry is null.
    pub ty: u32,
    /// First instruction of the function.
    pub pc: u32,
}

impl Entry {
    /// Returns the leaf of the table tree: type u32 ‖ pc u32 ‖ zeros.
    pub fn leaf(self) -> B256 {
        let mut leaf = B256::ZERO;
        leaf[..4].copy_from_slice(&self.ty.to_be_bytes());
        leaf[4..8].copy_from_slice(&self.pc.to_be_bytes());
        leaf
    }
}

/// Preimage of a `programRoot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramParts {
    /// Version of the machine.
    pub version: u16,
    /// Root of the tree over code.
    pub code: B256,
    /// Root of the tree over the table.
    pub table: B256,
    /// Root of the tree over memory before the first step.
    pub memory: B256,
    /// Root of the tree over the globals before the first step, `fuel` and `seed` zero.
    pub globals: B256,
    /// First instruction of a run.
    pub entry: u32,
    /// Pages of memory at the start.
    pub pages: u32,
    /// Most pages of memory.
    pub max_pages: u32,
    /// Entries of the table.
    pub table_len: u32,
    /// Most steps for one fuel.
    pub steps_per_fuel: u32,
    /// Depth of the tree over code.
    pub code_depth: u8,
    /// Depth of the tree over memory.
    pub memory_depth: u8,
    /// Depth of the tree over the table.
    pub table_depth: u8,
}

impl ProgramParts {
    /// Size of the encoding, bytes.
    pub const BYTES: usize = 4 * 32 + 5 * 4 + 3;

    /// Returns the encoding: the four roots, the five numbers and the three depths; integers are
    /// big-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = [self.code, self.table, self.memory, self.globals].concat();
        for number in [self.entry, self.pages, self.max_pages, self.table_len, self.steps_per_fuel]
        {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&[self.code_depth, self.memory_depth, self.table_depth]);
        bytes
    }

    /// Returns programRoot = keccak("rialto-program" ‖ canonVersion u16 ‖ parts).
    pub fn root(&self) -> B256 {
        keccak256(
            [b"rialto-program".as_slice(), &self.version.to_be_bytes(), &self.encode()].concat(),
        )
    }

    /// Returns a number of steps after which every run with this fuel has halted.
    pub fn most_steps(&self, fuel: u64) -> u64 {
        (u128::from(fuel) + FREE_FUEL).saturating_mul(self.steps_per_fuel.into()).min(1 << 56)
            as u64
    }
}

/// Added to the fuel in [`ProgramParts::most_steps`], for the steps before the first charge and in
/// the block in which fuel runs out.
const FREE_FUEL: u128 = 1 << 13;
