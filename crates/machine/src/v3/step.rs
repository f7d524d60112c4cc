//! One step: the only definition in Rust of every instruction. The tracer runs it over plain
//! arrays, the prover over arrays that record the touched leaves, the verifier over a proof.
//! `contracts/src/machine/StepUnit.sol` defines the same in Solidity.
//!
//! A step is total: it has a result for all bits of instruction and state. An undefined instruction
//! is a TRAP.

use alloy_primitives::{B256, keccak256};
use rialto_protocol::receipt::{Halted, Status, chain_output};

use crate::v3::float;
use crate::v3::ir::{self, Entry, Instruction, LOADS, MAX_CALL_DEPTH, STORES, WIDE, alu, op};
use crate::v3::limits::{MAX_GLOBALS, STACK_SLOTS};

/// The part of a state that is not in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Next instruction.
    pub pc: u32,
    /// First slot of the current frame.
    pub fp: u32,
    /// Number of open calls.
    pub depth: u32,
    /// Pages of memory.
    pub pages: u32,
    /// Bytes of output.
    pub out_len: u64,
    /// Most bytes of output.
    pub out_limit: u64,
    /// Result of `inlen`.
    pub in_len: u64,
    /// Most pages of memory.
    pub max_pages: u32,
    /// Entries of the table.
    pub table_len: u32,
    /// Depth of the tree over code.
    pub code_depth: u32,
    /// Depth of the tree over memory.
    pub memory_depth: u32,
    /// Depth of the tree over the table.
    pub table_depth: u32,
    /// canonVersion. Steps ignore it.
    pub version: u32,
    /// Keccak chain over the output's leaves.
    pub out_hash: B256,
}

/// The rest of a state, as a step reads and writes it. The step checks that indices are in range
/// before it passes them.
pub trait World {
    /// Reason why a value is not available. It never occurs in the tracer, which has all values.
    type Error;
    /// Returns the instruction at `pc`.
    fn instruction(&mut self, pc: u32) -> Result<Instruction, Self::Error>;
    /// Returns a slot of the stack.
    fn slot(&mut self, slot: u32) -> Result<u64, Self::Error>;
    /// Writes a slot of the stack.
    fn set_slot(&mut self, slot: u32, value: u64) -> Result<(), Self::Error>;
    /// Returns a global.
    fn global(&mut self, index: u32) -> Result<u64, Self::Error>;
    /// Writes a global.
    fn set_global(&mut self, index: u32, value: u64) -> Result<(), Self::Error>;
    /// Returns an entry of the table.
    fn entry(&mut self, index: u32) -> Result<Entry, Self::Error>;
    /// Returns `size` bytes of memory, little-endian, zero-extended.
    fn load(&mut self, address: u64, size: u8) -> Result<u64, Self::Error>;
    /// Writes the low `size` bytes to memory, little-endian.
    fn store(&mut self, address: u64, size: u8, value: u64) -> Result<(), Self::Error>;
    /// Grows memory to `pages` pages; the new ones are zero.
    fn grow(&mut self, pages: u32);
    /// Returns a leaf of the input.
    fn input(&mut self, leaf: u32) -> Result<[u8; 32], Self::Error>;
    /// Opens a call that returns to `pc` and `fp`.
    fn push(&mut self, pc: u32, fp: u32);
    /// Notes that a frame begins at `fp`.
    fn frame(&mut self, fp: u32);
    /// Closes the innermost call and returns the `pc` and `fp` that it returns to.
    fn pop(&mut self) -> Result<(u32, u32), Self::Error>;
}

/// Outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The run continues.
    Next,
    /// The run has halted with this status and exit code; the rest of [`Halted`] is in the
    /// registers and globals.
    Halt(Status, u32),
}

const TRAP: Flow = Flow::Halt(Status::Trap, 0);

/// Takes one step.
///
/// # Errors
/// The world's own error, if it can't provide a value.
#[inline(always)]
pub fn step<W: World>(r: &mut Registers, w: &mut W) -> Result<Flow, W::Error> {
    if !within(r.pc >> 1, r.code_depth) {
        return Ok(TRAP);
    }
    let it = w.instruction(r.pc)?;
    let next = r.pc.wrapping_add(1);
    // Checks a slot of the frame; a slot outside the stack is a trap.
    macro_rules! slot {
        ($offset:expr) => {{
            let slot = u64::from(r.fp) + $offset as u64;
            if slot >= u64::from(STACK_SLOTS) {
                return Ok(TRAP);
            }
            slot as u32
        }};
    }
    macro_rules! get {
        ($offset:expr) => {
            w.slot(slot!($offset))?
        };
    }
    macro_rules! set {
        ($offset:expr, $value:expr) => {{
            let value = $value;
            w.set_slot(slot!($offset), value)?
        }};
    }
    match it.op {
        op::ALU | op::ALU_IMM => {
            let a = get!(it.a);
            let b = if it.op == op::ALU { get!(it.b) } else { it.imm };
            let Some(value) = integer(it.aux, a, b) else { return Ok(TRAP) };
            set!(it.d, value);
        }
        op::FP => {
            let (a, b) = (get!(it.a), get!(it.b));
            let Some(value) = float::native(it.aux & !WIDE, it.aux & WIDE != 0, a, b) else {
                return Ok(TRAP);
            };
            set!(it.d, value);
        }
        op::COPY => set!(it.d, get!(it.a)),
        op::CONST => set!(it.d, it.imm),
        op::SELECT => {
            let chosen = if get!(it.imm as u16) as u32 != 0 { it.a } else { it.b };
            set!(it.d, get!(chosen));
        }
        op::JMP => {
            r.pc = it.imm as u32;
            return Ok(Flow::Next);
        }
        op::JZ | op::JNZ => {
            let zero = get!(it.a) as u32 == 0;
            r.pc = if zero == (it.op == op::JZ) { it.imm as u32 } else { next };
            return Ok(Flow::Next);
        }
        op::JTAB => {
            let most = (it.imm >> 32) as u32;
            r.pc = (it.imm as u32).wrapping_add((get!(it.a) as u32).min(most));
            return Ok(Flow::Next);
        }
        op::CALL => return Ok(call(r, w, it.d, it.imm as u32)),
        op::CALLI => {
            let index = get!(it.a) as u32;
            if index >= r.table_len || !within(index, r.table_depth) {
                return Ok(TRAP);
            }
            let entry = w.entry(index)?;
            if entry.ty == 0 || entry.ty != it.imm as u32 {
                return Ok(TRAP);
            }
            return Ok(call(r, w, it.d, entry.pc));
        }
        op::RET => {
            if r.depth == 0 {
                return Ok(Flow::Halt(Status::Finished, 0));
            }
            r.depth -= 1;
            (r.pc, r.fp) = w.pop()?;
            return Ok(Flow::Next);
        }
        op::ZERO => {
            if !(1..=4).contains(&it.aux) {
                return Ok(TRAP);
            }
            for i in 0..it.aux {
                set!(u64::from(it.d) + u64::from(i), 0);
            }
        }
        op::GGET => {
            if it.imm >= u64::from(MAX_GLOBALS) {
                return Ok(TRAP);
            }
            set!(it.d, w.global(it.imm as u32)?);
        }
        op::GSET => {
            let value = get!(it.a);
            if it.imm >= u64::from(MAX_GLOBALS) {
                return Ok(TRAP);
            }
            w.set_global(it.imm as u32, value)?;
        }
        op::LOAD => {
            let Some((size, sign)) = LOADS.get(usize::from(it.aux)).copied() else {
                return Ok(TRAP);
            };
            let address = address(get!(it.a), it.imm);
            if !in_memory(r, address, size) {
                return Ok(TRAP);
            }
            let value = w.load(address, size)?;
            set!(it.d, extended(value, size * 8, sign));
        }
        op::STORE => {
            let Some(size) = STORES.get(usize::from(it.aux)).copied() else { return Ok(TRAP) };
            let (address, value) = (address(get!(it.a), it.imm), get!(it.b));
            if !in_memory(r, address, size) {
                return Ok(TRAP);
            }
            w.store(address, size, value)?;
        }
        op::MSIZE => set!(it.d, r.pages.into()),
        op::MGROW => {
            let more = get!(it.a) as u32;
            let now = r.pages;
            if u64::from(now) + u64::from(more) > u64::from(r.max_pages) {
                set!(it.d, u32::MAX.into());
            } else {
                set!(it.d, now.into());
                r.pages += more;
                w.grow(r.pages);
            }
        }
        op::INLEN => set!(it.d, r.in_len),
        op::IN32 => {
            let index = get!(it.a) as u32;
            if !within(index, ir::INPUT_DEPTH.into()) {
                return Ok(TRAP);
            }
            let leaf = w.input(index)?;
            for (i, word) in leaf.chunks_exact(8).enumerate() {
                set!(
                    u64::from(it.d) + i as u64,
                    u64::from_le_bytes(word.try_into().expect("eight bytes"))
                );
            }
        }
        op::OUT32 => {
            let mut leaf = [0; 32];
            for i in 0..4 {
                leaf[i * 8..][..8].copy_from_slice(&get!(u64::from(it.a) + i as u64).to_le_bytes());
            }
            let bytes = get!(u64::from(it.a) + 4) as u32;
            let room = r.out_limit.saturating_sub(r.out_len);
            if bytes == 0 || bytes > 32 || !r.out_len.is_multiple_of(32) || u64::from(bytes) > room
            {
                return Ok(TRAP);
            }
            leaf[bytes as usize..].fill(0);
            r.out_hash = chain_output(r.out_hash, &leaf);
            r.out_len += u64::from(bytes);
        }
        op::EXIT => return Ok(Flow::Halt(Status::Finished, get!(it.a) as u32)),
        _ => return Ok(TRAP),
    }
    r.pc = next;
    Ok(Flow::Next)
}

#[inline(always)]
fn call<W: World>(r: &mut Registers, w: &mut W, offset: u16, pc: u32) -> Flow {
    let fp = u64::from(r.fp) + u64::from(offset);
    if fp >= u64::from(STACK_SLOTS) || r.depth >= MAX_CALL_DEPTH {
        return TRAP;
    }
    w.push(r.pc.wrapping_add(1), r.fp);
    w.frame(fp as u32);
    (r.pc, r.fp) = (pc, fp as u32);
    r.depth += 1;
    Flow::Next
}

/// Returns whether a leaf is in a tree of this depth.
#[inline(always)]
fn within(leaf: u32, depth: u32) -> bool {
    depth <= ir::MAX_DEPTH && leaf >> depth == 0
}

#[inline(always)]
fn address(base: u64, offset: u64) -> u64 {
    u64::from(base as u32) + u64::from(offset as u32)
}

#[inline(always)]
fn in_memory(r: &Registers, address: u64, size: u8) -> bool {
    let end = address + u64::from(size);
    // The tree always holds all pages of a lowered program. The other checks keep the step total in
    // states that no such program reaches.
    end <= u64::from(r.pages) << 16
        && r.memory_depth <= ir::MAX_DEPTH
        && (end - 1) >> 5 >> r.memory_depth == 0
}

/// Extends the sign of the low `from` bits to `to` bits, unless `to` is 0.
#[inline(always)]
fn extended(value: u64, from: u8, to: u8) -> u64 {
    if to == 0 {
        return value;
    }
    let wide = (value << (64 - from)) as i64 >> (64 - from);
    if to == 32 { u64::from(wide as u32) } else { wide as u64 }
}

/// Returns the result of an integer function; `None` is a trap.
#[inline(always)]
pub(crate) fn integer(aux: u8, a: u64, b: u64) -> Option<u64> {
    if aux & WIDE != 0 {
        integer64(aux & !WIDE, a, b)
    } else {
        integer32(aux, a as u32, b as u32).map(u64::from)
    }
}

macro_rules! integer {
    ($name:ident, $unsigned:ty, $signed:ty) => {
        #[inline(always)]
        fn $name(function: u8, a: $unsigned, b: $unsigned) -> Option<$unsigned> {
            let (sa, sb) = (a as $signed, b as $signed);
            Some(match function {
                alu::EQZ => (a == 0).into(),
                alu::EQ => (a == b).into(),
                alu::NE => (a != b).into(),
                alu::LT_S => (sa < sb).into(),
                alu::LT_U => (a < b).into(),
                alu::LE_S => (sa <= sb).into(),
                alu::LE_U => (a <= b).into(),
                alu::CLZ => a.leading_zeros() as $unsigned,
                alu::CTZ => a.trailing_zeros() as $unsigned,
                alu::POPCNT => a.count_ones() as $unsigned,
                alu::ADD => a.wrapping_add(b),
                alu::SUB => a.wrapping_sub(b),
                alu::MUL => a.wrapping_mul(b),
                alu::DIV_S => sa.checked_div(sb)? as $unsigned,
                alu::DIV_U => a.checked_div(b)?,
                alu::REM_S if b == 0 => return None,
                alu::REM_S => sa.wrapping_rem(sb) as $unsigned,
                alu::REM_U => a.checked_rem(b)?,
                alu::AND => a & b,
                alu::OR => a | b,
                alu::XOR => a ^ b,
                alu::SHL => a.wrapping_shl(b as u32),
                alu::SHR_S => sa.wrapping_shr(b as u32) as $unsigned,
                alu::SHR_U => a.wrapping_shr(b as u32),
                alu::ROTL => a.rotate_left(b as u32 % <$unsigned>::BITS),
                alu::ROTR => a.rotate_right(b as u32 % <$unsigned>::BITS),
                alu::EXT8 => a as i8 as $signed as $unsigned,
                alu::EXT16 => a as i16 as $signed as $unsigned,
                alu::EXT32 => a as i32 as $signed as $unsigned,
                _ => return None,
            })
        }
    };
}
integer!(integer32, u32, i32);
integer!(integer64, u64, i64);

/// Returns callHash' = keccak(callHash ‖ retPc u32 ‖ retFp u32).
pub fn call_hash(before: B256, pc: u32, fp: u32) -> B256 {
    let mut bytes = [0; 40];
    bytes[..32].copy_from_slice(before.as_slice());
    bytes[32..36].copy_from_slice(&pc.to_be_bytes());
    bytes[36..].copy_from_slice(&fp.to_be_bytes());
    keccak256(bytes)
}

/// Roots that a running state commits to, besides its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Chain over the open calls.
    pub calls: B256,
    /// Root of the tree over memory.
    pub memory: B256,
    /// Root of the tree over the stack.
    pub stack: B256,
    /// Root of the tree over the globals.
    pub globals: B256,
    /// Root of the tree over code.
    pub code: B256,
    /// Root of the tree over the table.
    pub table: B256,
    /// Root of the tree over both halves of the input.
    pub input: B256,
}

/// Size of a running state, bytes.
pub const STATE_BYTES: usize = 320;

/// Returns the ten words of a running state.
pub fn encode_state(r: &Registers, roots: &Roots) -> [u8; STATE_BYTES] {
    let mut bytes = [0; STATE_BYTES];
    for (i, number) in [r.pc, r.fp, r.depth, r.pages].into_iter().enumerate() {
        bytes[4 * i..][..4].copy_from_slice(&number.to_be_bytes());
    }
    for (i, number) in [r.out_len, r.out_limit, r.in_len].into_iter().enumerate() {
        bytes[16 + 8 * i..][..8].copy_from_slice(&number.to_be_bytes());
    }
    let numbers =
        [r.max_pages, r.table_len, r.code_depth, r.memory_depth, r.table_depth, r.version];
    for (i, number) in numbers.into_iter().enumerate() {
        bytes[40 + 4 * i..][..4].copy_from_slice(&number.to_be_bytes());
    }
    let hashes = [
        roots.calls,
        roots.memory,
        roots.stack,
        roots.globals,
        r.out_hash,
        roots.code,
        roots.table,
        roots.input,
    ];
    for (i, hash) in hashes.into_iter().enumerate() {
        bytes[64 + 32 * i..][..32].copy_from_slice(hash.as_slice());
    }
    bytes
}

/// Decodes the result of [`encode_state`].
pub(crate) fn decode_state(bytes: &[u8; STATE_BYTES]) -> (Registers, Roots) {
    let word = |at: usize| B256::from_slice(&bytes[at..at + 32]);
    let long = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let int = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let registers = Registers {
        pc: int(0),
        fp: int(4),
        depth: int(8),
        pages: int(12),
        out_len: long(16),
        out_limit: long(24),
        in_len: long(32),
        max_pages: int(40),
        table_len: int(44),
        code_depth: int(48),
        memory_depth: int(52),
        table_depth: int(56),
        version: int(60),
        out_hash: word(192),
    };
    let roots = Roots {
        calls: word(64),
        memory: word(96),
        stack: word(128),
        globals: word(160),
        code: word(224),
        table: word(256),
        input: word(288),
    };
    (registers, roots)
}

/// Returns H(running) = keccak("rialto-run" ‖ the ten words).
pub fn hash_state(state: &[u8; STATE_BYTES]) -> B256 {
    keccak256([b"rialto-run".as_slice(), state].concat())
}

/// Returns the halted state after these registers. `system` is the system leaf.
pub(crate) fn halted(r: &Registers, status: Status, exit_code: u32, system: [u64; 4]) -> Halted {
    Halted {
        status,
        exit_code,
        out_hash: r.out_hash,
        out_len: r.out_len,
        fuel_left: system[0] as i64,
        digest: system[2],
    }
}
