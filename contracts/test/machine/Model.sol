// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { FloatUnit } from "../../src/machine/FloatUnit.sol";

/// The machine once more, as plainly as Solidity says it: sparse trees in storage, bytes one by
/// one, functions on sized integers. It writes the proof of the step it takes. For tests only.
abstract contract Model {
    uint256 constant MEMORY = 0;
    uint256 constant STACK = 1;
    uint256 constant GLOBALS = 2;
    uint256 constant CODE = 3;
    uint256 constant TABLE = 4;
    uint256 constant INPUT = 5;

    struct Registers {
        uint32 pc;
        uint32 fp;
        uint32 depth;
        uint32 pages;
        uint64 outLen;
        uint64 outLimit;
        uint64 inLen;
        uint32 maxPages;
        uint32 tableLen;
        uint32 codeDepth;
        uint32 memoryDepth;
        uint32 tableDepth;
        uint32 version;
        bytes32 callHash;
        bytes32 outHash;
    }

    struct Instruction {
        uint8 op;
        uint8 aux;
        uint16 d;
        uint16 a;
        uint16 b;
        uint64 imm;
    }

    /// Where a call returns to, and the chain before it.
    struct Frame {
        bytes32 before;
        uint32 pc;
        uint32 fp;
    }

    /// A step that was taken.
    struct Step {
        bytes32 from;
        bytes32 to;
        bytes proof;
        /// Leaves that the proof has.
        uint256 leaves;
        /// It has halted, and how.
        bool over;
        uint8 status;
        uint32 exitCode;
        /// What was touched last.
        bool touched;
        uint256 tree;
        uint256 index;
    }

    Registers r;
    Frame[] frames;
    FloatUnit floats;
    /// Nodes by 2^(levels below the root) + index; absent: of an empty subtree. A tree of another
    /// depth is another tree.
    mapping(uint256 tree => mapping(uint256 depth => mapping(uint256 path => bytes32))) private
        nodes;
    bytes32[29] zeros;

    function makeZeros() internal {
        for (uint256 i = 1; i < 29; ++i) {
            zeros[i] = node(zeros[i - 1], zeros[i - 1]);
        }
    }

    // ─────────────────────────────────────────── trees ───────────────────────────────────────────

    function node(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(abi.encode(left, right));
    }

    function depthOf(uint256 tree) internal view returns (uint256) {
        if (tree == MEMORY) return r.memoryDepth;
        if (tree == STACK) return 18;
        if (tree == GLOBALS) return 8;
        if (tree == CODE) return r.codeDepth;
        return tree == TABLE ? r.tableDepth : 27;
    }

    function inTree(uint256 tree, uint256 index) internal view returns (bool) {
        uint256 depth = depthOf(tree);
        return depth <= 28 && index < 2 ** depth;
    }

    function nodeAt(uint256 tree, uint256 path, uint256 height) private view returns (bytes32 it) {
        it = nodes[tree][depthOf(tree)][path];
        if (it == 0) it = zeros[height];
    }

    function root(uint256 tree) internal view returns (bytes32) {
        return depthOf(tree) > 28 ? bytes32(0) : nodeAt(tree, 1, depthOf(tree));
    }

    function leafAt(uint256 tree, uint256 index) internal view returns (bytes32) {
        return nodes[tree][depthOf(tree)][2 ** depthOf(tree) + index];
    }

    function setLeaf(uint256 tree, uint256 index, bytes32 leaf) internal {
        require(inTree(tree, index), "no such leaf");
        uint256 path = 2 ** depthOf(tree) + index;
        nodes[tree][depthOf(tree)][path] = leaf;
        for (uint256 height = 0; path > 1; ++height) {
            path /= 2;
            nodes[tree][depthOf(tree)][path] =
                node(nodeAt(tree, 2 * path, height), nodeAt(tree, 2 * path + 1, height));
        }
    }

    function siblings(uint256 tree, uint256 index) internal view returns (bytes memory text) {
        uint256 depth = depthOf(tree);
        uint256 path = 2 ** depth + index;
        bytes32[] memory list = new bytes32[](depth);
        for (uint256 height = 0; height < depth; ++height) {
            list[height] = nodeAt(tree, path ^ 1, height);
            path /= 2;
        }
        return abi.encodePacked(list);
    }

    function wordAt(uint256 tree, uint256 index) internal view returns (uint64) {
        return uint64(uint256(leafAt(tree, index / 4)) >> (64 * (3 - index % 4)));
    }

    function setWord(uint256 tree, uint256 index, uint64 value) internal {
        uint256 shift = 64 * (3 - index % 4);
        uint256 others = uint256(leafAt(tree, index / 4)) & ~(uint256(type(uint64).max) << shift);
        setLeaf(tree, index / 4, bytes32(others | uint256(value) << shift));
    }

    function byteAt(uint256 index) internal view returns (uint8) {
        return uint8(leafAt(MEMORY, index / 32)[index % 32]);
    }

    function setByte(uint256 index, uint8 value) internal {
        bytes memory leaf = abi.encode(leafAt(MEMORY, index / 32));
        leaf[index % 32] = bytes1(value);
        setLeaf(MEMORY, index / 32, bytes32(leaf));
    }

    /// A slot of the frame.
    function slot(uint256 offset) internal view returns (uint64) {
        return wordAt(STACK, r.fp + offset);
    }

    function setSlot(uint256 offset, uint64 value) internal {
        setWord(STACK, r.fp + offset, value);
    }

    function encode(Instruction memory it) internal pure returns (bytes16) {
        return bytes16(abi.encodePacked(it.op, it.aux, it.d, it.a, it.b, it.imm));
    }

    function setInstruction(uint256 pc, bytes16 it) internal {
        bytes32 leaf = leafAt(CODE, pc / 2);
        (bytes16 even, bytes16 odd) = (bytes16(leaf), bytes16(uint128(uint256(leaf))));
        setLeaf(
            CODE,
            pc / 2,
            pc % 2 == 0 ? bytes32(bytes.concat(it, odd)) : bytes32(bytes.concat(even, it))
        );
    }

    // ─────────────────────────────────────────── state ───────────────────────────────────────────

    function words() internal view returns (bytes memory) {
        bytes memory first = abi.encodePacked(
            r.pc, r.fp, r.depth, r.pages, r.outLen, r.outLimit, r.inLen, r.maxPages
        );
        bytes memory second =
            abi.encodePacked(r.tableLen, r.codeDepth, r.memoryDepth, r.tableDepth, r.version);
        bytes memory third =
            abi.encodePacked(r.callHash, root(MEMORY), root(STACK), root(GLOBALS), r.outHash);
        return bytes.concat(first, second, third, root(CODE), root(TABLE), root(INPUT));
    }

    function hashOf() internal view returns (bytes32) {
        return keccak256(bytes.concat("rialto-run", words()));
    }

    function halted(Step memory it) internal view returns (bytes memory) {
        return abi.encodePacked(
            it.status, it.exitCode, r.outHash, r.outLen, wordAt(GLOBALS, 0), wordAt(GLOBALS, 2)
        );
    }

    // ─────────────────────────────────────────── step ────────────────────────────────────────────

    /// Takes a step.
    function take() internal returns (Step memory it) {
        it.from = hashOf();
        it.proof = bytes.concat(hex"01", words());
        perform(it);
        if (it.over) touch(it, GLOBALS, 0);
        it.to = it.over ? keccak256(bytes.concat("rialto-halt", halted(it))) : hashOf();
    }

    function touch(Step memory it, uint256 tree, uint256 index) private view {
        if (it.touched && it.tree == tree && it.index == index) return;
        (it.touched, it.tree, it.index) = (true, tree, index);
        ++it.leaves;
        it.proof = bytes.concat(it.proof, leafAt(tree, index), siblings(tree, index));
    }

    function halt(Step memory it, uint8 status, uint32 exitCode) private pure {
        if (it.over) return;
        (it.over, it.status, it.exitCode) = (true, status, exitCode);
    }

    /// A trap if this holds; whether it is over.
    function trapIf(Step memory it, bool condition) private pure returns (bool) {
        if (condition) halt(it, 1, 0);
        return it.over;
    }

    function get(Step memory it, uint256 offset) private view returns (uint64) {
        uint256 place = r.fp + offset;
        if (trapIf(it, place >= 2 ** 20)) return 0;
        touch(it, STACK, place / 4);
        return wordAt(STACK, place);
    }

    function set(Step memory it, uint256 offset, uint256 value) private {
        uint256 place = r.fp + offset;
        if (trapIf(it, place >= 2 ** 20)) return;
        touch(it, STACK, place / 4);
        setWord(STACK, place, uint64(value));
    }

    function perform(Step memory it) private {
        uint32 pc = r.pc;
        if (trapIf(it, !inTree(CODE, pc / 2))) return;
        touch(it, CODE, pc / 2);
        bytes32 leaf = leafAt(CODE, pc / 2);
        Instruction memory i = decode(pc % 2 == 0 ? uint256(leaf) >> 128 : uint128(uint256(leaf)));
        uint32 next = pc == type(uint32).max ? 0 : pc + 1;
        uint32 target = uint32(i.imm);
        if (i.op >= 7 && i.op <= 10) {
            uint32 a = i.op == 7 ? 0 : uint32(get(it, i.a));
            if ((i.op == 8 && a != 0) || (i.op == 9 && a == 0)) target = next;
            if (i.op == 10) {
                uint64 most = i.imm >> 32;
                target = uint32((uint256(target) + (a < most ? a : most)) % 2 ** 32);
            }
            if (!it.over) r.pc = target;
        } else if (i.op == 11) {
            enter(it, i.d, target, next);
        } else if (i.op == 12) {
            uint256 index = uint32(get(it, i.a));
            if (trapIf(it, index >= r.tableLen || !inTree(TABLE, index))) return;
            touch(it, TABLE, index);
            (uint32 kind, uint32 entry) =
                (uint32(bytes4(leafAt(TABLE, index))), uint32(bytes4(leafAt(TABLE, index) << 32)));
            if (!trapIf(it, kind == 0 || kind != target)) enter(it, i.d, entry, next);
        } else if (i.op == 13) {
            if (r.depth == 0) return halt(it, 0, 0);
            Frame memory frame = frames[frames.length - 1];
            frames.pop();
            it.proof = abi.encodePacked(it.proof, frame.before, frame.pc, frame.fp);
            (r.callHash, r.pc, r.fp) = (frame.before, frame.pc, frame.fp);
            --r.depth;
        } else {
            straight(it, i);
            if (!it.over) r.pc = next;
        }
    }

    function decode(uint256 bits) private pure returns (Instruction memory) {
        return Instruction(
            uint8(bits >> 120),
            uint8(bits >> 112),
            uint16(bits >> 96),
            uint16(bits >> 80),
            uint16(bits >> 64),
            uint64(bits)
        );
    }

    function enter(Step memory it, uint256 offset, uint32 target, uint32 next) private {
        if (trapIf(it, r.fp + offset >= 2 ** 20 || r.depth >= 2 ** 20)) return;
        frames.push(Frame(r.callHash, next, r.fp));
        r.callHash = keccak256(abi.encodePacked(r.callHash, next, r.fp));
        (r.pc, r.fp) = (target, uint32(r.fp + offset));
        ++r.depth;
    }

    /// All that goes on with the next instruction.
    function straight(Step memory it, Instruction memory i) private {
        if (i.op >= 1 && i.op <= 3) {
            uint64 a = get(it, i.a);
            uint64 b = i.op == 2 ? i.imm : get(it, i.b);
            if (it.over) return;
            (uint64 value, bool traps) = i.op == 3
                ? floats.compute(i.aux % 128, i.aux >= 128, a, b)
                : integer(i.aux % 128, i.aux >= 128, a, b);
            if (!trapIf(it, traps)) set(it, i.d, value);
        } else if (i.op == 4) {
            set(it, i.d, get(it, i.a));
        } else if (i.op == 5) {
            set(it, i.d, i.imm);
        } else if (i.op == 6) {
            uint16 chosen = uint32(get(it, uint16(i.imm))) != 0 ? i.a : i.b;
            set(it, i.d, get(it, chosen));
        } else if (i.op == 14) {
            if (trapIf(it, i.aux == 0 || i.aux > 4)) return;
            for (uint256 n = 0; n < i.aux; ++n) {
                set(it, uint256(i.d) + n, 0);
            }
        } else if (i.op == 15) {
            if (trapIf(it, i.imm >= 1024)) return;
            touch(it, GLOBALS, i.imm / 4);
            set(it, i.d, wordAt(GLOBALS, i.imm));
        } else if (i.op == 16) {
            uint64 value = get(it, i.a);
            if (trapIf(it, i.imm >= 1024)) return;
            touch(it, GLOBALS, i.imm / 4);
            setWord(GLOBALS, i.imm, value);
        } else if (i.op == 17) {
            load(it, i);
        } else if (i.op == 18) {
            store(it, i);
        } else if (i.op == 19) {
            set(it, i.d, r.pages);
        } else if (i.op == 20) {
            uint32 more = uint32(get(it, i.a));
            bool room = uint256(r.pages) + more <= r.maxPages;
            set(it, i.d, room ? r.pages : type(uint32).max);
            if (room && !it.over) r.pages += more;
        } else {
            host(it, i);
        }
    }

    function reach(Step memory it, uint64 base, uint64 imm, uint256 size)
        private
        view
        returns (uint256 from)
    {
        from = uint256(uint32(base)) + uint32(imm);
        uint256 end = from + size;
        trapIf(it, end > uint256(r.pages) * 65_536 || !inTree(MEMORY, (end - 1) / 32));
    }

    function load(Step memory it, Instruction memory i) private {
        if (trapIf(it, i.aux > 8)) return;
        uint8[9] memory sizes = [1, 2, 4, 8, 1, 2, 1, 2, 4];
        uint256 from = reach(it, get(it, i.a), i.imm, sizes[i.aux]);
        if (it.over) return;
        uint64 value = 0;
        for (uint256 n = 0; n < sizes[i.aux]; ++n) {
            touch(it, MEMORY, (from + n) / 32);
            value |= uint64(byteAt(from + n)) << uint64(8 * n);
        }
        int64 extended = int64(value);
        if (i.aux == 4 || i.aux == 6) extended = int8(uint8(value));
        if (i.aux == 5 || i.aux == 7) extended = int16(uint16(value));
        if (i.aux == 8) extended = int32(uint32(value));
        set(it, i.d, i.aux == 4 || i.aux == 5 ? uint32(uint64(extended)) : uint64(extended));
    }

    function store(Step memory it, Instruction memory i) private {
        if (trapIf(it, i.aux > 3)) return;
        (uint64 base, uint64 value) = (get(it, i.a), get(it, i.b));
        uint256 size = 2 ** i.aux;
        uint256 from = reach(it, base, i.imm, size);
        if (it.over) return;
        for (uint256 n = 0; n < size; ++n) {
            touch(it, MEMORY, (from + n) / 32);
            setByte(from + n, uint8(value >> (8 * n)));
        }
    }

    function host(Step memory it, Instruction memory i) private {
        if (i.op == 21) {
            set(it, i.d, r.inLen);
        } else if (i.op == 22) {
            uint256 index = uint32(get(it, i.a));
            if (trapIf(it, !inTree(INPUT, index))) return;
            touch(it, INPUT, index);
            for (uint256 n = 0; n < 4; ++n) {
                set(it, uint256(i.d) + n, turned(wordAt(INPUT, 4 * index + n)));
            }
        } else if (i.op == 23) {
            bytes memory leaf;
            for (uint256 n = 0; n < 4; ++n) {
                leaf = abi.encodePacked(leaf, turned(get(it, uint256(i.a) + n)));
            }
            uint256 size = uint32(get(it, uint256(i.a) + 4));
            bool fits = uint256(r.outLen) + size <= r.outLimit;
            if (trapIf(it, size == 0 || size > 32 || r.outLen % 32 != 0 || !fits)) return;
            for (uint256 n = size; n < 32; ++n) {
                leaf[n] = 0;
            }
            r.outHash = keccak256(bytes.concat(r.outHash, leaf));
            r.outLen += uint64(size);
        } else if (i.op == 24) {
            halt(it, 0, uint32(get(it, i.a)));
        } else {
            halt(it, 1, 0);
        }
    }

    function turned(uint64 value) private pure returns (uint64 other) {
        for (uint256 n = 0; n < 8; ++n) {
            other = other << 8 | uint8(value >> (8 * n));
        }
    }

    // ───────────────────────────────────── integer functions ─────────────────────────────────────

    function integer(uint256 id, bool wide, uint64 a, uint64 b)
        internal
        pure
        returns (uint64 value, bool trap)
    {
        if (!wide) (a, b) = (uint32(a), uint32(b));
        int256 x = wide ? int256(int64(a)) : int32(uint32(a));
        int256 y = wide ? int256(int64(b)) : int32(uint32(b));
        if (id >= 13 && id <= 16 && b == 0) return (0, true);
        // The one quotient that its type has not.
        if (id == 13 && y == -1 && x == (wide ? int256(type(int64).min) : type(int32).min)) {
            return (0, true);
        }
        if (id > 27) return (0, true);
        value = uint64(uint256(result(id, wide ? 64 : 32, a, b, x, y)));
        if (!wide) value = uint32(value);
    }

    function result(uint256 id, uint256 bits, uint64 a, uint64 b, int256 x, int256 y)
        private
        pure
        returns (int256)
    {
        (int256 ua, int256 ub) = (int256(uint256(a)), int256(uint256(b)));
        bool[7] memory truths = [a == 0, a == b, a != b, x < y, a < b, x <= y, a <= b];
        if (id < 7) return truths[id] ? int256(1) : int256(0);
        if (id <= 9) return int256(bitsOf(id, bits, a));
        if (id == 10) return ua + ub;
        if (id == 11) return ua - ub;
        if (id == 12) return ua * ub;
        if (id == 13) return x / y;
        if (id == 14) return ua / ub;
        if (id == 15) return x % y;
        if (id == 16) return ua % ub;
        if (id == 17) return int256(uint256(a & b));
        if (id == 18) return int256(uint256(a | b));
        if (id == 19) return int256(uint256(a ^ b));
        uint256 n = b % bits;
        if (id == 20) return ua * int256(2 ** n);
        if (id == 21) return x >> n;
        if (id == 22) return ua / int256(2 ** n);
        if (id <= 24) {
            for (uint256 i = 0; i < n; ++i) {
                if (id == 23) ua = ua * 2 % int256(2 ** bits) + ua / int256(2 ** (bits - 1));
                else ua = ua / 2 + ua % 2 * int256(2 ** (bits - 1));
            }
            return ua;
        }
        if (id == 25) return int8(uint8(a));
        if (id == 26) return int16(uint16(a));
        return int32(uint32(a));
    }

    /// clz, ctz, popcnt.
    function bitsOf(uint256 id, uint256 bits, uint64 a) private pure returns (uint256 count) {
        for (uint256 i = 0; i < bits; ++i) {
            bool one = a >> (id == 7 ? bits - 1 - i : i) & 1 == 1;
            if (id == 9) count += one ? 1 : 0;
            else if (one) return count;
            else ++count;
        }
    }
}
