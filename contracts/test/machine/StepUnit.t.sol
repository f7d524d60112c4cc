// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IStepUnit } from "../../src/machine/IStepUnit.sol";
import { vm } from "../base/Vm.sol";
import { StepUnitFixture } from "./StepUnitFixture.sol";

/// Every instruction, what traps, proofs, totality.
contract StepUnitTest is StepUnitFixture {
    // ──────────────────────────────────── integers and floats ────────────────────────────────────

    /// Both ways to write a function of two operands.
    function integerIs(uint8 aux, uint64 a, uint64 b, uint64 expected) private {
        setSlot(1, a);
        setSlot(2, b);
        setSlot(3, ~expected);
        goes(2, 1, aux, 3, 1, 2, 0);
        vm.assertEq(slot(3), expected, string.concat("function ", vm.toString(aux)));
        setSlot(3, ~expected);
        goes(2, 2, aux, 3, 1, 0, b);
        vm.assertEq(slot(3), expected, string.concat("immediate, function ", vm.toString(aux)));
    }

    function test_integers32() public {
        uint64 high = 0xdead_beef << 32;
        uint64 minus = 0xffff_ffff;
        integerIs(0, high, 0, 1);
        integerIs(0, 1, 0, 0);
        integerIs(1, high | 5, 5, 1);
        integerIs(1, 4, 5, 0);
        integerIs(2, high | 5, 5, 0);
        integerIs(2, 4, 5, 1);
        integerIs(3, minus, 0, 1);
        integerIs(3, 0, 0, 0);
        integerIs(4, minus, 0, 0);
        integerIs(4, 3, 4, 1);
        integerIs(5, 0x8000_0000, 0x7fff_ffff, 1);
        integerIs(5, 1, 0, 0);
        integerIs(6, 0x8000_0000, 0x7fff_ffff, 0);
        integerIs(6, 9, 9, 1);
        integerIs(7, 0, 0, 32);
        integerIs(7, high | 0x1_0000, 0, 15);
        integerIs(8, high, 0, 32);
        integerIs(8, 0xa0, 0, 5);
        integerIs(9, high | 0xf0f0_0001, 0, 9);
        integerIs(10, minus, 2, 1);
        integerIs(11, 1, 2, minus);
        integerIs(12, 0x1_0001, 0x1_0001, 0x2_0001);
        integerIs(13, minus - 6, 2, minus - 2);
        integerIs(13, 6, minus, minus - 5);
        integerIs(14, minus - 6, 2, 0x7fff_fffc);
        integerIs(15, minus - 6, 2, minus);
        integerIs(15, 0x8000_0000, minus, 0);
        integerIs(16, minus - 6, 5, 4);
        integerIs(17, high | 0xff00, 0x0ff0, 0x0f00);
        integerIs(18, high | 0xff00, 0x0ff0, 0xfff0);
        integerIs(19, high | 0xff00, 0x0ff0, 0xf0f0);
        integerIs(20, 0x8000_0001, 33, 2);
        integerIs(21, 0x8000_0000, 31, minus);
        integerIs(22, 0x8000_0000, 63, 1);
        integerIs(23, 0x8000_0001, 1, 3);
        integerIs(23, 0x1234_5678, 32, 0x1234_5678);
        integerIs(24, 0x8000_0001, 1, 0xc000_0000);
        integerIs(24, 0x1234_5678, 0, 0x1234_5678);
        integerIs(25, 0x1280, 0, 0xffff_ff80);
        integerIs(26, 0x18000, 0, 0xffff_8000);
        integerIs(27, high | 0x8000_0000, 0, 0x8000_0000);
    }

    function test_integers64() public {
        uint64 least = 1 << 63;
        integerIs(WIDE | 0, 1 << 32, 0, 0);
        integerIs(WIDE | 1, 1 << 32 | 5, 5, 0);
        integerIs(WIDE | 2, 1 << 32 | 5, 5, 1);
        integerIs(WIDE | 3, ONES, 0, 1);
        integerIs(WIDE | 4, ONES, 0, 0);
        integerIs(WIDE | 5, least, least - 1, 1);
        integerIs(WIDE | 6, least, least - 1, 0);
        integerIs(WIDE | 7, 0, 0, 64);
        integerIs(WIDE | 7, 1, 0, 63);
        integerIs(WIDE | 8, 0, 0, 64);
        integerIs(WIDE | 8, least, 0, 63);
        integerIs(WIDE | 9, ONES, 0, 64);
        integerIs(WIDE | 10, ONES, 2, 1);
        integerIs(WIDE | 11, 1, 2, ONES);
        integerIs(WIDE | 12, ONES, ONES, 1);
        integerIs(WIDE | 13, ONES - 6, 2, ONES - 2);
        integerIs(WIDE | 13, 6, ONES, ONES - 5);
        integerIs(WIDE | 14, ONES, 2, least - 1);
        integerIs(WIDE | 15, ONES - 6, 2, ONES);
        integerIs(WIDE | 15, least, ONES, 0);
        integerIs(WIDE | 16, ONES, 10, 5);
        integerIs(WIDE | 17, ONES, 0x123, 0x123);
        integerIs(WIDE | 18, least, 1, least + 1);
        integerIs(WIDE | 19, ONES, 1, ONES - 1);
        integerIs(WIDE | 20, 3, 127, least);
        integerIs(WIDE | 21, least, 127, ONES);
        integerIs(WIDE | 22, least, 127, 1);
        integerIs(WIDE | 23, least | 1, 65, 3);
        integerIs(WIDE | 24, 3, 1, least | 1);
        integerIs(WIDE | 25, 0x80, 0, ONES - 0x7f);
        integerIs(WIDE | 26, 0x8000, 0, ONES - 0x7fff);
        integerIs(WIDE | 27, 0x8000_0000, 0, ONES << 31);
    }

    function test_zerosOfEveryLength() public {
        for (uint8 bit = 0; bit < 64; ++bit) {
            uint64 one = uint64(1) << bit;
            integerIs(WIDE | 7, one, 0, 63 - bit);
            integerIs(WIDE | 7, one | (one - 1), 0, 63 - bit);
            integerIs(WIDE | 8, one, 0, bit);
            integerIs(WIDE | 8, ONES << bit, 0, bit);
            if (bit >= 32) continue;
            integerIs(7, one | (one - 1), 0, 31 - bit);
            integerIs(8, one, 0, bit);
        }
    }

    function test_integersThatTrap() public {
        setSlot(1, 1 << 63);
        setSlot(2, 1 << 31);
        for (uint8 id = 13; id <= 16; ++id) {
            traps(1, id, 3, 2, 0, 0);
            traps(2, WIDE | id, 3, 1, 0, 0);
            // Of 32 bits only the low ones count.
            traps(2, id, 3, 1, 0, 1 << 32);
        }
        traps(2, 13, 3, 2, 0, 0xffff_ffff);
        traps(2, WIDE | 13, 3, 1, 0, ONES);
        for (uint8 id = 28; id < 128; ++id) {
            traps(2, id, 3, 1, 0, 1);
            traps(1, WIDE | id, 3, 1, 1, 0);
        }
    }

    function test_integersFuzz(uint8 id, bool wide, uint64 a, uint64 b, uint8 narrowed) public {
        id %= 29;
        if (narrowed & 1 != 0) a = uint64(int64(int8(uint8(a))));
        if (narrowed & 2 != 0) b = uint64(int64(int8(uint8(b))));
        setSlot(1, a);
        setSlot(2, b);
        run(1, wide ? WIDE | id : id, 3, 1, 2, 0);
        run(2, wide ? WIDE | id : id, 3, 1, 0, b);
    }

    function test_floats() public {
        setSlot(1, 0x3f80_0000);
        setSlot(2, 0x4000_0000);
        goes(2, 3, 4, 3, 1, 2, 0);
        vm.assertEq(slot(3), 0x4040_0000, "1 + 2");
        setSlot(1, 0x3ff0_0000_0000_0000);
        goes(2, 3, WIDE | 10, 3, 1, 2, 0);
        vm.assertEq(slot(3), 0x3ff0_0000_0000_0000, "root of 1");
        goes(2, 3, WIDE | 17, 3, 1, 2, 0);
        vm.assertEq(slot(3), 1, "to an integer");
        setSlot(1, 0x7ff8_0000_0000_0000);
        traps(3, WIDE | 17, 3, 1, 2, 0);
        goes(2, 3, WIDE | 21, 3, 1, 2, 0);
        vm.assertEq(slot(3), 0, "saturating");
        traps(3, 28, 3, 1, 2, 0);
        traps(3, 255, 3, 1, 2, 0);
        vm.assertEq(unit.floatUnit(), address(floats), "what computes them");
    }

    // ─────────────────────────────────────────── moves ───────────────────────────────────────────

    function test_moves() public {
        setSlot(1, 11);
        setSlot(9, 1 << 32);
        goes(2, 4, 0, 2, 1, 0, 0);
        vm.assertEq(slot(2), 11, "copy");
        goes(2, 5, 0, 65_535, 0, 0, ONES - 5);
        vm.assertEq(slot(65_535), ONES - 5, "const");
        // The condition is a number of 32 bits; what is not chosen is not touched.
        goes(4, 6, 0, 2, 4, 65_535, 9);
        vm.assertEq(slot(2), ONES - 5, "select of the second");
        goes(2, 6, 0, 2, 1, 65_535, 7 << 16 | 1);
        vm.assertEq(slot(2), 11, "select of the first");
        for (uint8 count = 1; count <= 4; ++count) {
            for (uint16 i = 0; i < 6; ++i) {
                setSlot(i, 77);
            }
            goes(count > 3 ? 3 : 2, 14, count, 1, 0, 0, 0);
            for (uint16 i = 0; i < 6; ++i) {
                vm.assertEq(slot(i), i >= 1 && i <= count ? 0 : 77, "zero");
            }
        }
        traps(14, 0, 1, 0, 0, 0);
        traps(14, 5, 1, 0, 0, 0);
    }

    function test_slotsBeyondTheStack() public {
        r.fp = 2 ** 20 - 4;
        setSlot(0, 1);
        goes(2, 4, 0, 3, 0, 0, 0);
        traps(4, 0, 4, 0, 0, 0);
        vm.assertEq(last.leaves, 3, "what is read before is proven");
        traps(4, 0, 0, 4, 0, 0);
        vm.assertEq(last.leaves, 2, "code and the system leaf");
        traps(14, 4, 1, 0, 0, 0);
        traps(1, 10, 0, 0, 4, 0);
        traps(6, 0, 0, 4, 0, 0);
        traps(23, 0, 0, 0, 0, 0);
        traps(22, 0, 1, 1, 0, 0);
        r.fp = type(uint32).max;
        traps(5, 0, 0, 0, 0, 0);
        traps(5, 0, 1, 0, 0, 0);
    }

    // ─────────────────────────────────────────── jumps ───────────────────────────────────────────

    function test_jumps() public {
        setSlot(1, 1 << 32);
        setSlot(2, 3);
        goes(1, 7, 0, 0, 0, 0, 5 << 32 | 10);
        vm.assertEq(r.pc, 10, "jmp");
        goes(2, 8, 0, 0, 1, 0, 20);
        vm.assertEq(r.pc, 20, "jz that jumps");
        goes(2, 8, 0, 0, 2, 0, 10);
        vm.assertEq(r.pc, 21, "jz that goes on");
        goes(2, 9, 0, 0, 2, 0, 30);
        vm.assertEq(r.pc, 30, "jnz that jumps");
        goes(2, 9, 0, 0, 1, 0, 10);
        vm.assertEq(r.pc, 31, "jnz that goes on");
        goes(2, 10, 0, 0, 2, 0, 5 << 32 | 40);
        vm.assertEq(r.pc, 43, "jtab");
        goes(2, 10, 0, 0, 2, 0, 2 << 32 | 40);
        vm.assertEq(r.pc, 42, "jtab beyond its targets");
        goes(2, 10, 0, 0, 2, 0, 5 << 32 | 0xffff_fffe);
        vm.assertEq(r.pc, 1, "jtab wraps");
    }

    function test_codeEnds() public {
        r.pc = 2 ** 17 - 1;
        goes(2, 5, 0, 0, 0, 0, 0);
        next("no code there");
        vm.assertTrue(last.over && last.status == 1 && last.leaves == 1, "trap without a code leaf");
        r.pc = type(uint32).max;
        next("no code there");
        vm.assertTrue(last.over, "trap");
        for (uint32 depth = 29; depth != 1; depth = depth == 29 ? type(uint32).max : 1) {
            r.codeDepth = depth;
            next("no such tree");
            vm.assertTrue(last.over, "trap");
        }
    }

    /// The last instruction of the largest code; pc wraps.
    function test_deepestCode() public {
        (r.codeDepth, r.pc) = (28, 2 ** 29 - 1);
        goes(2, 5, 0, 0, 0, 0, 0);
        vm.assertEq(r.pc, 2 ** 29, "next");
        (r.codeDepth, r.pc) = (0, 0);
        goes(1, 7, 0, 0, 0, 0, 1);
        goes(2, 5, 0, 0, 0, 0, 0);
    }

    // ─────────────────────────────────────────── calls ───────────────────────────────────────────

    function test_calls() public {
        goes(1, 11, 0, 30, 0, 0, 500);
        vm.assertTrue(r.pc == 500 && r.fp == 1030 && r.depth == 1, "call");
        vm.assertEq(
            r.callHash, keccak256(abi.encodePacked(uint256(0), uint32(78), uint32(1000))), "chain"
        );
        setLeaf(TABLE, 99, bytes32(uint256(7) << 224 | uint256(600) << 192));
        setSlot(2, 99);
        goes(3, 12, 0, 4, 2, 0, 9 << 32 | 7);
        vm.assertTrue(r.pc == 600 && r.fp == 1034 && r.depth == 2, "calli");
        goes(1, 13, 0, 0, 0, 0, 0);
        vm.assertTrue(r.pc == 501 && r.fp == 1030 && r.depth == 1, "ret");
        goes(1, 13, 0, 0, 0, 0, 0);
        vm.assertTrue(
            r.pc == 78 && r.fp == 1000 && r.depth == 0 && r.callHash == 0, "ret to the first"
        );
        run(13, 0, 0, 0, 0, 0);
        vm.assertTrue(last.over && last.status == 0 && last.exitCode == 0, "the end");
    }

    function test_callsThatTrap() public {
        r.fp = 2 ** 20 - 30;
        traps(11, 0, 30, 0, 0, 0);
        r.depth = 2 ** 20;
        traps(11, 0, 1, 0, 0, 0);
        r.depth = 2 ** 20 - 1;
        goes(1, 11, 0, 29, 0, 0, 500);
        r.depth = 0;
        setLeaf(TABLE, 3, bytes32(uint256(7) << 224 | 600));
        setSlot(0, 3);
        traps(12, 0, 0, 0, 0, 8);
        traps(12, 0, 4, 0, 0, 7);
        vm.assertEq(last.leaves, 4, "code, slot, entry, system leaf");
        setSlot(0, 4);
        traps(12, 0, 0, 0, 0, 0);
        setSlot(0, 100);
        traps(12, 0, 0, 0, 0, 0);
        vm.assertEq(last.leaves, 3, "no entry");
        (r.tableLen, r.tableDepth) = (1000, 7);
        setSlot(0, 128);
        traps(12, 0, 0, 0, 0, 0);
        r.tableDepth = 29;
        setSlot(0, 3);
        traps(12, 0, 0, 0, 0, 7);
    }

    function test_retNeedsWhatWasCalled() public {
        goes(1, 11, 0, 30, 0, 0, 500);
        run(13, 0, 0, 0, 0, 0);
        for (uint256 i = 1; i <= 40; ++i) {
            bytes memory proof = last.proof;
            proof[proof.length - i] ^= 0x01;
            refuses(last.from, proof);
        }
    }

    // ────────────────────────────────────────── globals ──────────────────────────────────────────

    function test_globals() public {
        setSlot(1, 55);
        goes(3, 16, 0, 0, 1, 0, 1023);
        vm.assertEq(wordAt(GLOBALS, 1023), 55, "gset");
        goes(3, 15, 0, 2, 0, 0, 1023);
        vm.assertEq(slot(2), 55, "gget");
        traps(15, 0, 2, 0, 0, 1024);
        vm.assertEq(last.leaves, 2, "code and the system leaf");
        traps(16, 0, 0, 1, 0, 1024);
        vm.assertEq(last.leaves, 3, "the value is read first");
        traps(16, 0, 0, 1, 0, 1 << 32);
    }

    /// Metering writes the system leaf; the halted state says what is in it.
    function test_systemLeaf() public {
        setSlot(1, ONES - 6);
        goes(3, 16, 0, 0, 1, 0, 0);
        setSlot(1, 17);
        goes(3, 16, 0, 0, 1, 0, 2);
        run(0, 0, 0, 0, 0, 0);
        bytes memory text =
            abi.encodePacked(uint8(1), uint32(0), uint256(0), uint64(0), int64(-7), uint64(17));
        vm.assertEq(last.to, keccak256(bytes.concat("rialto-halt", text)), "halted");
        // The open leaf is the system leaf already.
        r.fp = 2 ** 20;
        traps(15, 0, 0, 0, 0, 3);
        vm.assertEq(last.leaves, 2, "shared");
    }

    // ────────────────────────────────────────── memory ───────────────────────────────────────────

    /// Every kind at every place in a leaf, straddling or not.
    function test_loadsAndStores() public {
        setSlot(2, 0x8899_aabb_ccdd_eeff);
        for (uint256 aux = 0; aux < 4; ++aux) {
            uint256 size = 2 ** aux;
            for (uint64 from = 1; from < 34; ++from) {
                setLeaf(MEMORY, 7, keccak256("left"));
                setLeaf(MEMORY, 8, keccak256("right"));
                setSlot(1, 1 << 32 | 200);
                goes(3 + cut(from, size), 18, uint8(aux), 0, 1, 2, 0xf << 32 | from + 16);
                uint64 mask = ONES >> uint64(64 - 8 * size);
                setSlot(4, 0);
                goes(4 + cut(from, size), 17, uint8(aux), 4, 1, 0, from + 16);
                vm.assertEq(slot(4), 0x8899_aabb_ccdd_eeff & mask, "what was stored");
                for (uint256 kind = 4; kind < 9; ++kind) {
                    run(17, uint8(kind), 4, 1, 0, from + 16);
                }
            }
        }
    }

    /// 1 if bytes from 216 + `from` on lie in two leaves.
    function cut(uint256 from, uint256 size) private pure returns (uint256) {
        return (216 + from) / 32 != (215 + from + size) / 32 ? 1 : 0;
    }

    function test_extensions() public {
        setLeaf(MEMORY, 0, bytes32(hex"80ffffff800000007f"));
        setSlot(1, 0);
        uint64[9] memory from0 = [
            0x80,
            0xff80,
            0xffff_ff80,
            0x80_ffff_ff80,
            0xffff_ff80,
            0xffff_ff80,
            ONES - 0x7f,
            ONES - 0x7f,
            ONES - 0x7f
        ];
        for (uint8 aux = 0; aux < 9; ++aux) {
            goes(4, 17, aux, 4, 1, 0, 0);
            vm.assertEq(slot(4), from0[aux], "extended");
        }
        goes(4, 17, 4, 4, 1, 0, 8);
        vm.assertEq(slot(4), 0x7f, "positive");
        for (uint256 aux = 9; aux < 256; aux += 13) {
            traps(17, uint8(aux), 4, 1, 0, 0);
        }
        for (uint256 aux = 4; aux < 256; aux += 9) {
            traps(18, uint8(aux), 4, 1, 0, 0);
        }
        vm.assertEq(last.leaves, 2, "nothing is read before");
    }

    function test_memoryEnds() public {
        uint64 end = 3 << 16;
        setSlot(1, end - 8);
        goes(4, 17, 3, 4, 1, 0, 0);
        goes(4, 18, 3, 0, 1, 4, 0);
        traps(17, 3, 4, 1, 0, 1);
        vm.assertEq(last.leaves, 3, "code, address, system leaf");
        traps(18, 3, 0, 1, 4, 1);
        setSlot(1, 0xffff_ffff);
        traps(17, 0, 4, 1, 0, 0xffff_ffff);
        r.pages = 0;
        setSlot(1, 0);
        traps(17, 0, 4, 1, 0, 0);
        // Pages that the tree has no leaves for.
        (r.pages, r.memoryDepth) = (4, 11);
        goes(4, 17, 0, 4, 1, 0, 65_535);
        traps(17, 0, 4, 1, 0, 65_536);
        traps(17, 3, 4, 1, 0, 65_530);
        r.memoryDepth = 29;
        traps(17, 0, 4, 1, 0, 0);
        // All of 4 GiB.
        (r.pages, r.memoryDepth) = (65_536, 27);
        goes(4, 17, 0, 4, 1, 0, 0xffff_ffff);
        traps(17, 1, 4, 1, 0, 0xffff_ffff);
    }

    function test_growth() public {
        goes(2, 19, 0, 2, 0, 0, 0);
        vm.assertEq(slot(2), 3, "msize");
        setSlot(1, 1 << 32 | 1021);
        goes(2, 20, 0, 2, 1, 0, 0);
        vm.assertTrue(slot(2) == 3 && r.pages == 1024, "mgrow");
        setSlot(1, 1);
        goes(2, 20, 0, 2, 1, 0, 0);
        vm.assertTrue(slot(2) == 0xffff_ffff && r.pages == 1024, "no more");
        setSlot(1, 0xffff_ffff);
        goes(2, 20, 0, 2, 1, 0, 0);
        vm.assertTrue(slot(2) == 0xffff_ffff && r.pages == 1024, "does not wrap");
        setSlot(1, 0);
        goes(2, 20, 0, 2, 1, 0, 0);
        vm.assertEq(slot(2), 1024, "by nothing");
    }

    // ─────────────────────────────────────────── host ────────────────────────────────────────────

    function test_input() public {
        goes(2, 21, 0, 2, 0, 0, 0);
        vm.assertEq(slot(2), 5 << 32 | 7, "inlen");
        setLeaf(
            INPUT,
            2 ** 27 - 1,
            bytes32(hex"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20")
        );
        setSlot(0, 1 << 32 | 2 ** 27 - 1);
        goes(5, 22, 0, 2, 0, 0, 0);
        vm.assertEq(slot(2), 0x0807_0605_0403_0201, "first word");
        vm.assertEq(slot(5), 0x201f_1e1d_1c1b_1a19, "last word");
        setSlot(0, 2 ** 27);
        traps(22, 0, 2, 0, 0, 0);
        vm.assertEq(last.leaves, 3, "no input leaf");
    }

    function test_output() public {
        bytes32 leaf = hex"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
        setLeaf(INPUT, 0, leaf);
        goes(4, 22, 0, 4, 0, 0, 0);
        setSlot(8, 1 << 32 | 32);
        goes(3, 23, 0, 0, 4, 0, 0);
        bytes32 hash = keccak256(abi.encode(bytes32(0), leaf));
        vm.assertTrue(r.outHash == hash && r.outLen == 32, "a whole leaf");
        setSlot(8, 33);
        traps(23, 0, 0, 4, 0, 0);
        setSlot(8, 0);
        traps(23, 0, 0, 4, 0, 0);
        setSlot(8, 3);
        r.outLimit = 34;
        traps(23, 0, 0, 4, 0, 0);
        r.outLimit = 31;
        traps(23, 0, 0, 4, 0, 0);
        r.outLimit = 35;
        goes(3, 23, 0, 0, 4, 0, 0);
        hash = keccak256(abi.encode(hash, bytes32(hex"010203")));
        vm.assertTrue(r.outHash == hash && r.outLen == 35, "a part of a leaf");
        r.outLimit = 1000;
        traps(23, 0, 0, 4, 0, 0);
        for (uint64 part = 1; part < 32; ++part) {
            r.outLen = 32 + part;
            traps(23, 0, 0, 4, 0, 0);
        }
    }

    /// Of the last leaf what lies behind its bytes is cleared, whatever it was.
    function test_outputOfEveryLength() public {
        for (uint16 slot = 4; slot < 8; ++slot) {
            setSlot(slot, ONES);
        }
        for (uint64 count = 1; count <= 32; ++count) {
            setSlot(8, count);
            (r.outHash, r.outLen, r.outLimit) = (bytes32(0), 0, 32);
            goes(3, 23, 0, 0, 4, 0, 0);
            bytes32 leaf = bytes32(type(uint256).max << (256 - 8 * count));
            vm.assertTrue(
                r.outHash == keccak256(abi.encode(bytes32(0), leaf)), "behind the bytes are zeros"
            );
        }
    }

    function test_exit() public {
        setSlot(1, 3 << 32 | 42);
        (r.outHash, r.outLen) = (keccak256("output"), 35);
        run(24, 0, 0, 1, 0, 0);
        vm.assertTrue(last.over && last.status == 0 && last.exitCode == 42, "exit");
        bytes memory text =
            abi.encodePacked(uint8(0), uint32(42), r.outHash, uint64(35), uint64(1234), uint64(99));
        vm.assertEq(last.to, keccak256(bytes.concat("rialto-halt", text)), "halted");
    }

    function test_whatHasNoMeaningTraps() public {
        traps(0, 0, 0, 0, 0, 0);
        for (uint256 op = 25; op < 256; ++op) {
            traps(uint8(op), 0, 0, 0, 0, 0);
        }
    }

    // ────────────────────────────────────────── proofs ───────────────────────────────────────────

    function test_haltedStaysHalted() public {
        traps(0, 0, 0, 0, 0, 0);
        bytes memory text = halted(last);
        vm.assertEq(unit.step(last.to, bytes.concat(hex"00", text)), last.to, "the same");
        vm.assertEq(
            unit.step(last.to, bytes.concat(hex"00", text, hex"77")),
            last.to,
            "what follows is not looked at"
        );
        for (uint256 i = 0; i < 62; ++i) {
            bytes memory other = bytes.concat(hex"00", text);
            other[i] ^= 0x01;
            refuses(last.to, other);
        }
        refuses(last.to, hex"00");
        refuses(last.to, "");
        refuses(last.to, bytes.concat(hex"02", text));
    }

    /// The longest proof: nothing in it can be another, nothing can be missing, and what follows it
    /// is not looked at.
    function test_everyByteOfTheProofCounts() public {
        setSlot(1, 100);
        setSlot(9, 7);
        setLeaf(MEMORY, 3, keccak256("left"));
        setLeaf(MEMORY, 4, keccak256("right"));
        goes(5, 18, 3, 0, 1, 9, 24);
        bytes memory proof = last.proof;
        vm.assertEq(proof.length, 1 + 320 + 32 * (17 + 2 * 19 + 2 * 22), "length");
        for (uint256 i = 0; i < proof.length; ++i) {
            bytes1 was = proof[i];
            proof[i] ^= 0x40;
            refuses(last.from, proof);
            proof[i] = was;
        }
        for (uint256 i = 1; i < proof.length; i += 31) {
            bytes memory part = abi.encodePacked(proof);
            assembly ("memory-safe") {
                mstore(part, sub(mload(part), i))
            }
            refuses(last.from, part);
        }
        vm.assertEq(unit.step(last.from, bytes.concat(proof, proof)), last.to, "what follows");
        refuses(last.to, proof);
    }

    /// Zeros at the end can't be left out either.
    function test_proofIsComplete() public {
        (r.codeDepth, r.pc) = (0, 1);
        goes(1, 7, 0, 0, 0, 0, 0);
        bytes memory proof = last.proof;
        vm.assertEq(unit.step(last.from, proof), last.to, "complete");
        assembly ("memory-safe") {
            mstore(proof, sub(mload(proof), 1))
        }
        refuses(last.from, proof);
    }

    /// A leaf is proven anew when another was touched between, against the root as it is then.
    function test_sharing() public {
        setSlot(0, 10);
        setSlot(4, 20);
        goes(2, 1, 10, 2, 0, 1, 0);
        goes(3, 1, 10, 5, 0, 4, 0);
        goes(4, 1, 10, 1, 0, 4, 0);
        goes(4, 1, 10, 8, 0, 4, 0);
        // Two leaves of memory, and the first slot's again.
        (r.memoryDepth, r.pages) = (18, 128);
        setSlot(0, 30);
        goes(5, 17, 1, 1, 0, 0, 1);
        // The same leaf of another tree is another leaf.
        setSlot(0, 1000 * 8);
        goes(4, 17, 0, 0, 0, 0, 6);
        vm.assertEq(slot(0), 0, "memory's, not the stack's");
    }

    // ───────────────────────────────────────── totality ──────────────────────────────────────────

    /// Whatever the bits of instruction, registers and operands are: with a proof that fits there
    /// is a next state, and it is the model's.
    function test_total(uint256 seed) public {
        random = seed;
        randomRegisters();
        uint64 operands = pick() % 8;
        for (uint256 i = 0; i < operands; ++i) {
            uint256 place = r.fp + pick() % 8;
            if (place < 2 ** 20) setWord(STACK, place, randomNumber());
        }
        setWord(GLOBALS, pick() % 12, randomNumber());
        for (uint256 i = 0; i < 4; ++i) {
            randomLeaf(MEMORY, pick() % 4);
            randomLeaf(TABLE, pick() % 4);
        }
        randomLeaf(INPUT, pick() % 4);
        if (inTree(CODE, r.pc / 2)) setInstruction(r.pc, randomInstruction());
        for (uint256 i = 0; i < 2 && !last.over; ++i) {
            next(vm.toString(seed));
        }
    }

    uint256 private random;

    function pick() private returns (uint64) {
        random = uint256(keccak256(abi.encode(random)));
        return uint64(random);
    }

    /// Small, near a boundary, or anything.
    function randomNumber() private returns (uint64) {
        uint64 kind = pick() % 4;
        if (kind == 0) return pick() % 40;
        uint64[6] memory bounds = [uint64(1 << 16), 1 << 20, 1 << 27, 1 << 32, 1 << 63, 1 << 31];
        unchecked {
            if (kind == 1) return bounds[pick() % 6] + pick() % 9 - 4;
        }
        return kind == 2 ? pick() >> (pick() % 64) : pick();
    }

    function randomNarrow(uint32 usual) private returns (uint32) {
        return pick() % 4 == 0 ? uint32(randomNumber()) : usual;
    }

    function randomRegisters() private {
        r.codeDepth = randomDepth(16);
        r.memoryDepth = randomDepth(21);
        r.tableDepth = randomDepth(2);
        r.pc = randomNarrow(r.pc);
        r.fp = randomNarrow(r.fp);
        r.pages = randomNarrow(r.pages);
        r.outLen = pick() % 2 == 0 ? randomNumber() : 32;
        r.outLimit = randomNumber();
        r.inLen = randomNumber();
        r.maxPages = randomNarrow(r.maxPages);
        r.tableLen = randomNarrow(4);
        r.version = randomNarrow(r.version);
        r.outHash = keccak256(abi.encode(random));
        if (pick() % 2 == 0) {
            frames.push(Frame(keccak256("before"), uint32(pick()), uint32(pick())));
            Frame memory frame = frames[0];
            r.callHash = keccak256(abi.encodePacked(frame.before, frame.pc, frame.fp));
            r.depth = 1 + randomNarrow(0) % type(uint32).max;
        }
    }

    function randomDepth(uint32 usual) private returns (uint32) {
        uint64 kind = pick() % 8;
        return kind == 0 ? uint32(randomNumber()) : kind == 1 ? uint32(pick() % 31) : usual;
    }

    function randomLeaf(uint256 tree, uint256 index) private {
        if (!inTree(tree, index)) return;
        bytes32 leaf = keccak256(abi.encode(random, index));
        if (tree == TABLE) leaf = bytes32(uint256(pick() % 3) << 224 | uint256(leaf) >> 32);
        setLeaf(tree, index, leaf);
    }

    function randomInstruction() private returns (bytes16) {
        uint8 op = uint8(pick() % 8 == 0 ? pick() : pick() % 25);
        uint8 aux = uint8(pick() % 4 == 0 ? pick() : pick() % 5);
        if (op <= 3) aux = uint8(pick() % 29 + pick() % 2 * 128);
        uint16[3] memory slots;
        for (uint256 i = 0; i < 3; ++i) {
            slots[i] = uint16(pick() % 16 == 0 ? pick() : pick() % 8);
        }
        uint64 imm = pick() % 2 == 0 ? pick() % 3 : randomNumber();
        return encode(Instruction(op, aux, slots[0], slots[1], slots[2], imm));
    }
}
