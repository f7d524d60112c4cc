// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { FloatUnit } from "./FloatUnit.sol";
import { Integers } from "./Integers.sol";
import { IStepUnit, Task } from "./IStepUnit.sol";

/// @title Judge of single steps of canonVersion 3
/// @notice docs/machine.md is the specification; `crates/machine/src/step.rs` is the same in Rust.
/// Stateless, immutable, without an owner.
///
/// A step reads its proof from front to back, each leaf when it is touched, and checks it against
/// the root that the state, or what the step has written so far, commits to. A halt ends the call
/// at once (`halt` never returns), so what stands after a check relies on it. Every loop is bounded
/// by a constant: no tree is deeper than 28.
contract StepUnit is IStepUnit {
    // ─────────────────────────────────────── instructions ────────────────────────────────────────

    uint256 private constant ALU = 1;
    uint256 private constant ALU_IMM = 2;
    uint256 private constant FP = 3;
    uint256 private constant COPY = 4;
    uint256 private constant CONST = 5;
    uint256 private constant SELECT = 6;
    uint256 private constant JMP = 7;
    uint256 private constant JZ = 8;
    uint256 private constant JNZ = 9;
    uint256 private constant JTAB = 10;
    uint256 private constant CALL = 11;
    uint256 private constant CALLI = 12;
    uint256 private constant RET = 13;
    uint256 private constant ZERO = 14;
    uint256 private constant GGET = 15;
    uint256 private constant GSET = 16;
    uint256 private constant LOAD = 17;
    uint256 private constant STORE = 18;
    uint256 private constant MSIZE = 19;
    uint256 private constant MGROW = 20;
    uint256 private constant INLEN = 21;
    uint256 private constant IN32 = 22;
    uint256 private constant OUT32 = 23;
    uint256 private constant EXIT = 24;

    /// In `aux` of integer and float functions: 64 bits, else 32.
    uint256 private constant WIDE = 0x80;
    /// Bytes of loads and stores, by `aux`.
    bytes32 private constant SIZES = hex"010204080102010204";
    /// Bits that a load's sign is extended to; 0: it isn't.
    bytes32 private constant SIGNS = hex"000000002020404040";
    uint256 private constant LOADS = 9;
    uint256 private constant STORES = 4;

    // ─────────────────────────────────────────── rules ───────────────────────────────────────────

    uint16 private constant CANON_VERSION = 3;
    uint256 private constant STACK_SLOTS = 1 << 20;
    uint256 private constant MAX_CALL_DEPTH = 1 << 20;
    uint256 private constant MAX_GLOBALS = 1 << 10;
    /// Deepest tree that a step looks into.
    uint256 private constant MAX_DEPTH = 28;
    uint256 private constant STACK_DEPTH = 18;
    uint256 private constant GLOBALS_DEPTH = 8;
    uint256 private constant INPUT_DEPTH = 27;
    /// Root of an empty stack: Z18.
    bytes32 private constant EMPTY_STACK =
        0x5a2dce0a8a7f68bb74560f8f71837c2c2ebbcbf7fffb42ae1896f13f7c7479a0;
    /// What `stackLeft` starts with.
    uint256 private constant STACK_BUDGET = 983040;
    /// Counts as fuel in the bound of steps.
    uint256 private constant FREE_FUEL = 1 << 13;
    uint256 private constant MOST_STEPS = 1 << 56;

    /// Bytes of a program, and of what starts a task: the program, the input's tree and length, the
    /// system leaf's siblings.
    uint256 private constant PROGRAM_BYTES = 151;
    uint256 private constant PARTS_BYTES = PROGRAM_BYTES + 40 + 32 * GLOBALS_DEPTH;
    /// Bytes of what H(halted) is the hash of, without the tag.
    uint256 private constant HALTED_BYTES = 61;

    uint8 private constant FINISHED = 0;
    uint8 private constant TRAPPED = 1;

    // ────────────────────────────────────────── machine ──────────────────────────────────────────

    // Trees, by where their root lies in `Machine`, in words.
    uint256 private constant MEMORY = 4;
    uint256 private constant STACK = 5;
    uint256 private constant GLOBALS = 6;
    uint256 private constant CODE = 8;
    uint256 private constant TABLE = 9;
    uint256 private constant INPUT = 10;

    /// A running state, as it lies in memory: `hashOf` hashes the first eleven words as they are.
    struct Machine {
        /// Ends with "rialto-run".
        bytes32 tag;
        /// pc, fp, depth, pages, outLen, outLimit; stale but for the last until the step ends.
        uint256 registers;
        /// inLen, maxPages, tableLen, codeDepth, memoryDepth, tableDepth, canonVersion.
        uint256 limits;
        bytes32 callHash;
        bytes32 memoryRoot;
        bytes32 stackRoot;
        bytes32 globalsRoot;
        bytes32 outHash;
        bytes32 codeRoot;
        bytes32 tableRoot;
        bytes32 inputTree;
        uint256 pc;
        uint256 fp;
        uint256 depth;
        uint256 pages;
        uint256 outLen;
        Proof proof;
    }

    /// How far the proof is read, and the leaf that was read last.
    struct Proof {
        /// In calldata: the next item, and the end.
        uint256 next;
        uint256 end;
        /// The open leaf: its tree, 2^depth + index (the path to it), itself, and its siblings in
        /// calldata.
        uint256 tree;
        uint256 path;
        uint256 leaf;
        uint256 siblings;
        /// It has been written, and its tree's root does not yet say so.
        bool written;
    }

    FloatUnit private immutable FLOATS;

    /// @param floats Computes floats: stateless and total.
    constructor(FloatUnit floats) {
        FLOATS = floats;
    }

    /// What computes floats.
    function floatUnit() external view returns (address) {
        return address(FLOATS);
    }

    // ─────────────────────────────────────────── start ───────────────────────────────────────────

    /// @inheritdoc IStepUnit
    function start(Task calldata task, bytes calldata parts)
        external
        pure
        returns (bytes32 state, uint64 steps)
    {
        unchecked {
            if (parts.length != PARTS_BYTES) revert WrongParts(task.program, keccak256(parts));
            bytes calldata program = parts[:PROGRAM_BYTES];
            check(
                task.program, keccak256(abi.encodePacked("rialto-program", CANON_VERSION, program))
            );
            Machine memory m;
            m.inputTree = bytes32(parts[151:]);
            uint256 inLen = uint64(bytes8(parts[183:]));
            check(task.input, keccak256(abi.encode(m.inputTree, inLen)));
            m.codeRoot = bytes32(program);
            m.tableRoot = bytes32(program[32:]);
            m.memoryRoot = bytes32(program[64:]);
            m.stackRoot = EMPTY_STACK;
            m.globalsRoot = firstGlobals(task, bytes32(program[96:]), parts[191:]);
            m.pc = numberAt(program, 128);
            m.pages = numberAt(program, 132);
            m.registers = task.outLimit;
            uint256 maxPages = numberAt(program, 136);
            if (task.maxPages < maxPages) maxPages = task.maxPages;
            m.limits = inLen << 192 | maxPages << 160 | numberAt(program, 140) << 128
                | uint256(uint8(program[148])) << 96 | uint256(uint8(program[149])) << 64
                | uint256(uint8(program[150])) << 32 | CANON_VERSION;
            state = hashOf(m);
            uint256 bound = (task.fuelLimit + FREE_FUEL) * numberAt(program, 144);
            steps = uint64(bound < MOST_STEPS ? bound : MOST_STEPS);
        }
    }

    /// Root of the globals once the system leaf has the task's fuel and seed.
    function firstGlobals(Task calldata task, bytes32 globalsRoot, bytes calldata siblings)
        private
        pure
        returns (bytes32)
    {
        uint256 from;
        assembly ("memory-safe") {
            from := siblings.offset
        }
        // fuel, stackLeft, digest, seed: in the program the first and the last are zero.
        uint256 leaf = STACK_BUDGET << 128;
        check(globalsRoot, fold(leaf, 1 << GLOBALS_DEPTH, from));
        return fold(uint256(task.fuelLimit) << 192 | leaf | task.seed, 1 << GLOBALS_DEPTH, from);
    }

    function numberAt(bytes calldata text, uint256 from) private pure returns (uint256) {
        return uint32(bytes4(text[from:]));
    }

    function check(bytes32 expected, bytes32 given) private pure {
        if (given != expected) revert WrongParts(expected, given);
    }

    // ─────────────────────────────────────────── step ────────────────────────────────────────────

    /// @inheritdoc IStepUnit
    function step(bytes32 state, bytes calldata proof) external view returns (bytes32) {
        unchecked {
            Machine memory m;
            uint256 from;
            assembly ("memory-safe") {
                from := proof.offset
            }
            (m.proof.next, m.proof.end) = (from, from + proof.length);
            uint256 kind = uint256(calldataWord(take(m, 1))) >> 248;
            if (kind == 0) return haltedFrom(m, state);
            if (kind != 1) revert WrongProof();
            runningFrom(m, state);

            uint256 it = fetch(m);
            uint256 op = it >> 120;
            if (op == 0) trap(m);
            else if (op <= FP) compute(m, op, it);
            else if (op <= SELECT || op == ZERO) move(m, op, it);
            else if (op <= JTAB) jump(m, op, it);
            else if (op <= RET) call(m, op, it);
            else if (op <= GSET) global(m, op, it);
            else if (op == LOAD) load(m, it);
            else if (op == STORE) store(m, it);
            else if (op <= MGROW) size(m, op, it);
            else host(m, op, it);
            close(m);
            return hashOf(m);
        }
    }

    /// The state that has halted is its own successor.
    function haltedFrom(Machine memory m, bytes32 state) private pure returns (bytes32) {
        uint256 from = take(m, HALTED_BYTES);
        bytes memory text = new bytes(HALTED_BYTES);
        assembly ("memory-safe") {
            calldatacopy(add(text, 0x20), from, HALTED_BYTES)
        }
        if (keccak256(abi.encodePacked("rialto-halt", text)) != state) revert WrongProof();
        return state;
    }

    /// Reads the ten words.
    function runningFrom(Machine memory m, bytes32 state) private pure {
        uint256 from = take(m, 320);
        assembly ("memory-safe") {
            calldatacopy(add(m, 0x20), from, 320)
        }
        uint256 registers = m.registers;
        m.pc = registers >> 224;
        m.fp = uint32(registers >> 192);
        m.depth = uint32(registers >> 160);
        m.pages = uint32(registers >> 128);
        m.outLen = uint64(registers >> 64);
        if (hashOf(m) != state) revert WrongProof();
    }

    /// H(running).
    function hashOf(Machine memory m) private pure returns (bytes32 hash) {
        m.tag = bytes32(uint256(uint80(bytes10("rialto-run"))));
        m.registers = m.pc << 224 | m.fp << 192 | m.depth << 160 | m.pages << 128 | m.outLen << 64
            | uint64(m.registers);
        assembly ("memory-safe") {
            hash := keccak256(add(m, 22), 330)
        }
    }

    /// H(halted); ends the call.
    function halt(Machine memory m, uint8 status, uint256 exitCode) private pure {
        uint256 system = open(m, GLOBALS, GLOBALS_DEPTH, 0);
        bytes32 hash = keccak256(
            abi.encodePacked(
                "rialto-halt",
                status,
                uint32(exitCode),
                m.outHash,
                uint64(m.outLen),
                uint64(system >> 192),
                uint64(system >> 64)
            )
        );
        assembly ("memory-safe") {
            mstore(0x00, hash)
            return(0x00, 0x20)
        }
    }

    function trap(Machine memory m) private pure {
        halt(m, TRAPPED, 0);
    }

    /// The instruction at pc, which moves on.
    function fetch(Machine memory m) private pure returns (uint256) {
        unchecked {
            uint256 pc = m.pc;
            uint256 leaf = find(m, CODE, uint32(m.limits >> 96), pc >> 1);
            m.pc = uint32(pc + 1);
            return pc & 1 == 0 ? leaf >> 128 : uint128(leaf);
        }
    }

    // ───────────────────────────────── operands of instructions ──────────────────────────────────

    function auxOf(uint256 it) private pure returns (uint256) {
        return uint8(it >> 112);
    }

    function dOf(uint256 it) private pure returns (uint256) {
        return uint16(it >> 96);
    }

    function aOf(uint256 it) private pure returns (uint256) {
        return uint16(it >> 80);
    }

    function bOf(uint256 it) private pure returns (uint256) {
        return uint16(it >> 64);
    }

    function immOf(uint256 it) private pure returns (uint256) {
        return uint64(it);
    }

    // ────────────────────────────────── groups of instructions ───────────────────────────────────

    function compute(Machine memory m, uint256 op, uint256 it) private view {
        unchecked {
            uint256 a = get(m, aOf(it));
            uint256 b = op == ALU_IMM ? immOf(it) : get(m, bOf(it));
            (uint256 id, bool wide) = (auxOf(it) & ~WIDE, auxOf(it) & WIDE != 0);
            (uint256 result, bool traps) = op == FP
                ? FLOATS.compute(uint8(id), wide, uint64(a), uint64(b))
                : Integers.compute(id, wide, a, b);
            if (traps) trap(m);
            set(m, dOf(it), result);
        }
    }

    function move(Machine memory m, uint256 op, uint256 it) private pure {
        unchecked {
            if (op == COPY) {
                set(m, dOf(it), get(m, aOf(it)));
            } else if (op == CONST) {
                set(m, dOf(it), immOf(it));
            } else if (op == SELECT) {
                bool first = uint32(get(m, uint16(it))) != 0;
                set(m, dOf(it), get(m, first ? aOf(it) : bOf(it)));
            } else {
                uint256 count = auxOf(it);
                if (count == 0 || count > 4) trap(m);
                for (uint256 i = 0; i < count; ++i) {
                    set(m, dOf(it) + i, 0);
                }
            }
        }
    }

    function jump(Machine memory m, uint256 op, uint256 it) private pure {
        unchecked {
            uint256 target = uint32(it);
            if (op != JMP) {
                uint256 a = uint32(get(m, aOf(it)));
                if (op == JTAB) {
                    uint256 most = immOf(it) >> 32;
                    target = uint32(target + (a < most ? a : most));
                } else if ((a == 0) != (op == JZ)) {
                    return;
                }
            }
            m.pc = target;
        }
    }

    function call(Machine memory m, uint256 op, uint256 it) private pure {
        unchecked {
            if (op == RET) return ret(m);
            uint256 target = uint32(it);
            if (op == CALLI) {
                uint256 index = uint32(get(m, aOf(it)));
                if (index >= uint32(m.limits >> 128)) trap(m);
                // Type u32 ‖ pc u32 ‖ zeros.
                uint256 entry = find(m, TABLE, uint32(m.limits >> 32), index);
                if (entry >> 224 == 0 || entry >> 224 != target) trap(m);
                target = uint32(entry >> 192);
            }
            uint256 fp = m.fp + dOf(it);
            if (fp >= STACK_SLOTS || m.depth >= MAX_CALL_DEPTH) trap(m);
            m.callHash = keccak256(abi.encodePacked(m.callHash, uint32(m.pc), uint32(m.fp)));
            (m.pc, m.fp) = (target, fp);
            ++m.depth;
        }
    }

    function ret(Machine memory m) private pure {
        unchecked {
            if (m.depth == 0) halt(m, FINISHED, 0);
            --m.depth;
            uint256 item = take(m, 40);
            bytes32 before = calldataWord(item);
            uint64 back = uint64(uint256(calldataWord(item + 32)) >> 192);
            if (keccak256(abi.encodePacked(before, back)) != m.callHash) revert WrongProof();
            (m.callHash, m.pc, m.fp) = (before, back >> 32, uint32(back));
        }
    }

    function global(Machine memory m, uint256 op, uint256 it) private pure {
        unchecked {
            uint256 index = immOf(it);
            uint256 value;
            if (op == GSET) value = get(m, aOf(it));
            if (index >= MAX_GLOBALS) trap(m);
            uint256 leaf = open(m, GLOBALS, GLOBALS_DEPTH, index >> 2);
            if (op == GGET) set(m, dOf(it), word(leaf, index));
            else write(m, withWord(leaf, index, value));
        }
    }

    // The bytes of a load or store are the first of 32 that begin at the address: a window on one
    // leaf, or on two.

    function load(Machine memory m, uint256 it) private pure {
        unchecked {
            uint256 aux = auxOf(it);
            if (aux >= LOADS) trap(m);
            uint256 bits = 8 * uint256(uint8(SIZES[aux]));
            uint256 address_ = addressOf(get(m, aOf(it)), it);
            uint256 depth = reach(m, address_, bits);
            uint256 skipped = 8 * (address_ & 31);
            uint256 window = open(m, MEMORY, depth, address_ >> 5) << skipped;
            if (skipped + bits > 256) {
                window |= open(m, MEMORY, depth, (address_ >> 5) + 1) >> (256 - skipped);
            }
            uint256 value = swap(window >> 192) & ((1 << bits) - 1);
            uint256 to = uint8(SIGNS[aux]);
            set(m, dOf(it), to == 0 ? value : Integers.signed(value, bits) & ((1 << to) - 1));
        }
    }

    function store(Machine memory m, uint256 it) private pure {
        unchecked {
            uint256 aux = auxOf(it);
            if (aux >= STORES) trap(m);
            uint256 bits = 8 * uint256(uint8(SIZES[aux]));
            uint256 address_ = addressOf(get(m, aOf(it)), it);
            uint256 window = swap(get(m, bOf(it))) << 192;
            uint256 depth = reach(m, address_, bits);
            uint256 skipped = 8 * (address_ & 31);
            uint256 mask = ~(type(uint256).max >> bits);
            write(
                m, blend(open(m, MEMORY, depth, address_ >> 5), window >> skipped, mask >> skipped)
            );
            if (skipped + bits <= 256) return;
            skipped = 256 - skipped;
            write(
                m,
                blend(
                    open(m, MEMORY, depth, (address_ >> 5) + 1), window << skipped, mask << skipped
                )
            );
        }
    }

    function addressOf(uint256 base, uint256 it) private pure returns (uint256) {
        unchecked {
            return uint256(uint32(base)) + uint32(it);
        }
    }

    /// Depth of the memory, in which all of these bits are.
    function reach(Machine memory m, uint256 address_, uint256 bits)
        private
        pure
        returns (uint256 depth)
    {
        unchecked {
            uint256 last = address_ + bits / 8 - 1;
            depth = uint32(m.limits >> 64);
            // Pages beyond the tree: where no lowered program leads.
            if (last >> 16 >= m.pages || !within(last >> 5, depth)) trap(m);
        }
    }

    function size(Machine memory m, uint256 op, uint256 it) private pure {
        unchecked {
            uint256 pages = m.pages;
            if (op == MGROW) {
                uint256 more = uint32(get(m, aOf(it)));
                if (pages + more > uint32(m.limits >> 160)) pages = type(uint32).max;
                else m.pages += more;
            }
            set(m, dOf(it), pages);
        }
    }

    function host(Machine memory m, uint256 op, uint256 it) private pure {
        unchecked {
            if (op == INLEN) set(m, dOf(it), m.limits >> 192);
            else if (op == IN32) input(m, it);
            else if (op == OUT32) output(m, it);
            else if (op == EXIT) halt(m, FINISHED, uint32(get(m, aOf(it))));
            else trap(m);
        }
    }

    function input(Machine memory m, uint256 it) private pure {
        unchecked {
            uint256 leaf = find(m, INPUT, INPUT_DEPTH, uint32(get(m, aOf(it))));
            for (uint256 i = 0; i < 4; ++i) {
                set(m, dOf(it) + i, swap(word(leaf, i)));
            }
        }
    }

    function output(Machine memory m, uint256 it) private pure {
        unchecked {
            uint256 leaf = 0;
            for (uint256 i = 0; i < 4; ++i) {
                leaf = leaf << 64 | swap(get(m, aOf(it) + i));
            }
            uint256 count = uint32(get(m, aOf(it) + 4));
            if (count == 0 || count > 32 || m.outLen & 31 != 0) trap(m);
            if (m.outLen + count > uint64(m.registers)) trap(m);
            leaf &= ~(type(uint256).max >> (8 * count));
            m.outHash = keccak256(abi.encode(m.outHash, leaf));
            m.outLen += count;
        }
    }

    // ────────────────────────────────────── bytes and words ──────────────────────────────────────

    /// Eight bytes in the other order. Nothing above them is looked at.
    function swap(uint256 value) private pure returns (uint256) {
        value = (value & 0x00ff00ff00ff00ff) << 8 | (value >> 8) & 0x00ff00ff00ff00ff;
        value = (value & 0x0000ffff0000ffff) << 16 | (value >> 16) & 0x0000ffff0000ffff;
        return uint64(value << 32 | value >> 32);
    }

    /// Of a leaf the word that belongs to a slot or global, big-endian.
    function word(uint256 leaf, uint256 index) private pure returns (uint256) {
        unchecked {
            return uint64(leaf >> (192 - 64 * (index & 3)));
        }
    }

    function withWord(uint256 leaf, uint256 index, uint256 value) private pure returns (uint256) {
        unchecked {
            uint256 lowest = 192 - 64 * (index & 3);
            return blend(leaf, value << lowest, uint256(type(uint64).max) << lowest);
        }
    }

    function blend(uint256 outside, uint256 inside, uint256 mask) private pure returns (uint256) {
        return outside & ~mask | inside & mask;
    }

    // ─────────────────────────────────────────── trees ───────────────────────────────────────────

    /// A slot of the frame.
    function get(Machine memory m, uint256 offset) private pure returns (uint256) {
        unchecked {
            uint256 slot = m.fp + offset;
            return word(openSlot(m, slot), slot);
        }
    }

    function set(Machine memory m, uint256 offset, uint256 value) private pure {
        unchecked {
            uint256 slot = m.fp + offset;
            write(m, withWord(openSlot(m, slot), slot, value));
        }
    }

    function openSlot(Machine memory m, uint256 slot) private pure returns (uint256) {
        if (slot >= STACK_SLOTS) trap(m);
        return open(m, STACK, STACK_DEPTH, slot >> 2);
    }

    /// Whether a leaf is in a tree of this depth.
    function within(uint256 index, uint256 depth) private pure returns (bool) {
        return depth <= MAX_DEPTH && index >> depth == 0;
    }

    /// A leaf that need not be in the tree.
    function find(Machine memory m, uint256 tree, uint256 depth, uint256 index)
        private
        pure
        returns (uint256)
    {
        if (!within(index, depth)) trap(m);
        return open(m, tree, depth, index);
    }

    /// A leaf of a tree, from the proof unless it is the one that is open.
    function open(Machine memory m, uint256 tree, uint256 depth, uint256 index)
        private
        pure
        returns (uint256 leaf)
    {
        unchecked {
            Proof memory proof = m.proof;
            uint256 path = 1 << depth | index;
            if (proof.tree == tree && proof.path == path) return proof.leaf;
            close(m);
            uint256 item = take(m, 32 + 32 * depth);
            leaf = uint256(calldataWord(item));
            (proof.tree, proof.path, proof.leaf, proof.siblings) = (tree, path, leaf, item + 32);
            bytes32 root;
            assembly ("memory-safe") {
                root := mload(add(m, shl(5, tree)))
            }
            if (fold(leaf, path, item + 32) != root) revert WrongProof();
        }
    }

    /// Changes the open leaf.
    function write(Machine memory m, uint256 leaf) private pure {
        (m.proof.leaf, m.proof.written) = (leaf, true);
    }

    /// What was written to the open leaf becomes part of its tree's root.
    function close(Machine memory m) private pure {
        Proof memory proof = m.proof;
        if (!proof.written) return;
        proof.written = false;
        uint256 tree = proof.tree;
        bytes32 root = fold(proof.leaf, proof.path, proof.siblings);
        assembly ("memory-safe") {
            mstore(add(m, shl(5, tree)), root)
        }
    }

    /// Root of the tree that has a leaf at the end of a path, its siblings in calldata from the
    /// bottom up. The path is 1 for the root; a step down appends 0 or 1.
    function fold(uint256 leaf, uint256 path, uint256 siblings)
        private
        pure
        returns (bytes32 root)
    {
        assembly ("memory-safe") {
            root := leaf
            for { } gt(path, 1) { } {
                let side := shl(5, and(path, 1))
                mstore(side, root)
                mstore(xor(side, 0x20), calldataload(siblings))
                root := keccak256(0x00, 0x40)
                siblings := add(siblings, 0x20)
                path := shr(1, path)
            }
        }
    }

    /// Where the next bytes of the proof lie.
    function take(Machine memory m, uint256 size_) private pure returns (uint256 from) {
        unchecked {
            Proof memory proof = m.proof;
            from = proof.next;
            proof.next = from + size_;
            if (proof.next > proof.end) revert WrongProof();
        }
    }

    function calldataWord(uint256 from) private pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := calldataload(from)
        }
    }
}
