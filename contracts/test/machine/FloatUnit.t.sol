// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { FloatUnit } from "../../src/machine/FloatUnit.sol";
import { bar, note, vm } from "../base/Vm.sol";

/// vectors/float.json, which was computed by a processor's floats; and the dearest operation. Many
/// random cases against the same bytecode: crates/sim/tests/machine/float_unit.rs.
contract FloatUnitTest {
    bool public IS_TEST = true;
    FloatUnit unit;
    uint256 dearest;

    /// All cases of one operation in one format.
    struct Batch {
        uint8 op;
        bool wide;
        bytes first;
        bytes second;
        bytes results;
        bytes traps;
    }

    function setUp() public {
        if (!vm.envOr("RIALTO_ARTIFACT", false)) {
            unit = new FloatUnit();
            return;
        }
        bytes memory code = vm.parseJsonBytes(vm.readFile("artifacts/FloatUnit.json"), ".bytecode");
        FloatUnit deployed;
        assembly ("memory-safe") {
            deployed := create(0, add(code, 32), mload(code))
        }
        require(address(deployed) != address(0), "artifact does not deploy");
        unit = deployed;
    }

    function test_vectors() public {
        string memory json = vm.readFile("vectors/float.json");
        bytes[2] memory values =
            [vm.parseJsonBytes(json, ".narrow"), vm.parseJsonBytes(json, ".wide")];
        bytes memory integers = vm.parseJsonBytes(json, ".integers");
        uint256 cases = 0;
        for (uint256 i = 0; i < 56; ++i) {
            string memory place = string.concat(".results[", vm.toString(i), "]");
            Batch memory it;
            it.op = uint8(vm.parseJsonUint(json, string.concat(place, ".op")));
            it.wide = vm.parseJsonBool(json, string.concat(place, ".wide"));
            vm.assertEq(
                uint256(it.op) * 2 + (it.wide ? 1 : 0), i, "every operation in both formats"
            );
            it.first =
                it.op >= 23 && it.op < 27 ? integers : values[(it.op == 27) == it.wide ? 0 : 1];
            it.second = it.op < 10 ? values[it.wide ? 1 : 0] : new bytes(8);
            it.results = vm.parseJsonBytes(json, string.concat(place, ".results"));
            it.traps = vm.parseJsonBytes(json, string.concat(place, ".traps"));
            cases += checkAll(it);
        }
        vm.assertEq(cases, 13_072, "cases");
        note("FloatUnit", "dearest operation", dearest);
        // Of what is shipped; the quick build is dearer, and mutants are built like it.
        bar(dearest, 3500, "execution gas of one operation");
    }

    function checkAll(Batch memory it) private returns (uint256 cases) {
        uint256 size = it.wide || it.op >= 15 ? 8 : 4;
        for (uint256 i = 0; i < it.first.length; i += 8) {
            for (uint256 j = 0; j < it.second.length; j += 56) {
                uint64 expected = wordAt(it.results, cases * size) >> (64 - 8 * size);
                bool traps = it.traps.length != 0 && it.traps[cases] != 0;
                checkOne(it, wordAt(it.first, i), wordAt(it.second, j), expected, traps);
                ++cases;
            }
        }
        vm.assertEq(cases * size, it.results.length, "results");
    }

    function checkOne(Batch memory it, uint64 a, uint64 b, uint64 expected, bool traps) private {
        (uint64 result, bool trap) = unit.compute(it.op, it.wide, a, b);
        uint256 gas = vm.lastCallGas().gasTotalUsed;
        if (gas > dearest) dearest = gas;
        if (result == expected && trap == traps) return;
        string memory what = string.concat(vm.toString(it.op), it.wide ? " wide " : " narrow ");
        what = string.concat(what, vm.toString(a), " ", vm.toString(b));
        vm.assertEq(result, expected, what);
        revert(string.concat("trap: ", what));
    }

    /// What the vectors' few second operands leave out: zeros, infinities and NaNs on the right.
    function test_specialSecondOperands() public view {
        for (uint256 i = 0; i < 2; ++i) {
            specials(i == 1);
        }
    }

    function specials(bool wide) private view {
        uint64 minus = wide ? 1 << 63 : 1 << 31;
        uint64 one = wide ? 1023 << 52 : 127 << 23;
        uint64 inf = wide ? 2047 << 52 : 255 << 23;
        uint64 nan = inf | (wide ? 1 << 51 : 1 << 22);
        // add, sub
        gives(4, wide, one, inf, inf);
        gives(4, wide, one, minus | inf, minus | inf);
        gives(4, wide, inf, minus | inf, nan);
        gives(4, wide, inf, inf, inf);
        // Infinity is no number that something could be taken from.
        gives(4, wide, minus | (inf - 1), inf, inf);
        gives(4, wide, inf, minus | (inf - 1), inf);
        gives(5, wide, inf - 1, inf, minus | inf);
        gives(4, wide, minus, minus, minus);
        gives(4, wide, minus, 0, 0);
        gives(5, wide, one, inf, minus | inf);
        gives(5, wide, inf, inf, nan);
        gives(5, wide, minus, 0, minus);
        // mul, div
        gives(6, wide, minus | one, inf, minus | inf);
        gives(6, wide, 0, inf, nan);
        gives(6, wide, inf, 0, nan);
        gives(6, wide, inf, inf, inf);
        gives(7, wide, one, inf, 0);
        gives(7, wide, minus | one, inf, minus);
        gives(7, wide, inf, inf, nan);
        gives(7, wide, inf, one, inf);
        gives(7, wide, one, minus, minus | inf);
        gives(7, wide, inf, 0, inf);
        gives(7, wide, 0, 0, nan);
        gives(7, wide, 0, minus | one, minus);
        // min, max
        gives(8, wide, one, inf, one);
        gives(8, wide, 0, minus, minus);
        gives(8, wide, minus, 0, minus);
        gives(8, wide, minus | one, minus | inf, minus | inf);
        gives(9, wide, one, inf, inf);
        gives(9, wide, 0, minus, 0);
        gives(9, wide, minus, 0, 0);
        gives(9, wide, minus | one, minus | inf, minus | one);
        // eq, ne, lt, le
        uint64[4] memory equal = [uint64(1), 0, 0, 1];
        uint64[4] memory less = [uint64(0), 1, 1, 1];
        uint64[4] memory more = [uint64(0), 1, 0, 0];
        uint64[4] memory unordered = [uint64(0), 1, 0, 0];
        for (uint8 op = 0; op < 4; ++op) {
            gives(op, wide, 0, minus, equal[op]);
            gives(op, wide, inf, inf, equal[op]);
            gives(op, wide, one, inf, less[op]);
            gives(op, wide, minus | inf, minus | one, less[op]);
            gives(op, wide, one, minus | inf, more[op]);
            gives(op, wide, inf, one, more[op]);
            for (uint64 bits = 1; bits < 4; bits += 2) {
                gives(op, wide, one, inf | bits, unordered[op]);
                gives(op, wide, minus | inf | bits, one, unordered[op]);
                gives(op, wide, inf | bits, inf | bits, unordered[op]);
            }
        }
        for (uint8 op = 4; op < 10; ++op) {
            gives(op, wide, one, inf | 1, nan);
            gives(op, wide, minus | inf, minus | inf | 1, nan);
            gives(op, wide, inf | 1, one, nan);
            gives(op, wide, 0, nan, nan);
        }
    }

    /// Significands of every length from one bit to both operands': powers of two, and one less.
    function test_everyLength() public view {
        for (uint64 i = 0; i < 52; ++i) {
            // 2^100 or 1 times the subnormal 2^(i − 1074).
            gives(6, true, 1123 << 52, uint64(1) << i, (49 + i) << 52);
            gives(6, true, 1023 << 52, uint64(1) << i, uint64(1) << i);
        }
        for (uint64 i = 0; i < 23; ++i) {
            gives(6, false, 227 << 23, uint64(1) << i, (78 + i) << 23);
            gives(6, false, 127 << 23, uint64(1) << i, uint64(1) << i);
        }
        for (uint64 i = 0; i < 64; ++i) {
            gives(26, true, uint64(1) << i, 0, (1023 + i) << 52);
            gives(26, false, uint64(1) << i, 0, (127 + i) << 23);
            // From 54 (25) ones on they round up to the next power.
            if (i > 53) gives(26, true, (uint64(1) << i) - 1, 0, (1023 + i) << 52);
            if (i > 24) gives(26, false, (uint64(1) << i) - 1, 0, (127 + i) << 23);
        }
    }

    function gives(uint8 op, bool wide, uint64 a, uint64 b, uint64 expected) private view {
        (uint64 result, bool trap) = unit.compute(op, wide, a, b);
        string memory what = string.concat(vm.toString(op), wide ? " wide " : " narrow ");
        vm.assertEq(result, expected, string.concat(what, vm.toString(a), " ", vm.toString(b)));
        vm.assertFalse(trap, what);
    }

    /// Their first 63 bits are those of a number in the middle between two: only what is left of
    /// them says that they lie above it.
    function test_rootsJustAboveTheMiddle() public view {
        gives(10, true, 0x4009ed2affd21f09, 0, 0x3ffccdb729afc7e9);
        gives(10, true, 0x3ff22554fca16474, 0, 0x3ff10a06eb47abb7);
        gives(10, true, 0x3ff654bae1c50cee, 0, 0x3ff2e6fad8466bb3);
    }

    /// Sums, products, least and greatest don't depend on the order, a difference is a sum, and of
    /// two numbers one is not greater.
    function test_order(bool wide, uint64 a, uint64 b, uint8 shape) public view {
        uint64 minus = wide ? 1 << 63 : 1 << 31;
        // Near each other, or anything.
        if (shape & 1 == 0) b = a ^ (b & 0xf) ^ (b & minus);
        uint8[5] memory even = [0, 4, 6, 8, 9];
        for (uint256 i = 0; i < even.length; ++i) {
            (uint64 one,) = unit.compute(even[i], wide, a, b);
            (uint64 other,) = unit.compute(even[i], wide, b, a);
            vm.assertEq(one, other, "the order counts");
        }
        (uint64 difference,) = unit.compute(5, wide, a, b);
        (uint64 sum,) = unit.compute(4, wide, a, b ^ minus);
        vm.assertEq(difference, sum, "a difference is a sum");
        (uint64 equal,) = unit.compute(0, wide, a, b);
        (uint64 less,) = unit.compute(2, wide, a, b);
        (uint64 more,) = unit.compute(2, wide, b, a);
        (uint64 atMost,) = unit.compute(3, wide, a, b);
        vm.assertEq(atMost, less | equal, "at most");
        vm.assertLe(less + more + equal, 1, "one of them at most");
    }

    /// Whatever the operands and the operation's number, there is a result.
    function test_total(uint8 op, bool wide, uint64 a, uint64 b) public view {
        (uint64 result, bool trap) = unit.compute(op, wide, a, b);
        if (op >= 28) vm.assertTrue(trap, "no such operation");
        if (trap) vm.assertEq(result, 0, "a trap has no result");
        if (!wide && op < 15) vm.assertEq(result >> 32, 0, "zero-extended");
        if (op < 15) vm.assertFalse(trap, "only conversions trap");
    }

    function test_size() public {
        note("Size", "FloatUnit", address(unit).code.length);
        vm.assertLe(address(unit).code.length, 24_575, "EIP-170");
    }

    /// Eight bytes, big-endian; zeros past the end.
    function wordAt(bytes memory list, uint256 from) private pure returns (uint64 word) {
        for (uint256 i = 0; i < 8; ++i) {
            word = word << 8 | (from + i < list.length ? uint8(list[from + i]) : 0);
        }
    }
}
