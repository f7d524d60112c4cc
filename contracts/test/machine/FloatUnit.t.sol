// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { FloatUnit } from "../../src/FloatUnit.sol";
import { vm } from "../base/Vm.sol";

/// vectors/float.json, which was computed by a processor's floats; and the dearest operation. Many random cases
/// against the same bytecode: crates/sim/tests/machine/float_unit.rs.
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
        bytes[2] memory values = [vm.parseJsonBytes(json, ".narrow"), vm.parseJsonBytes(json, ".wide")];
        bytes memory integers = vm.parseJsonBytes(json, ".integers");
        uint256 cases = 0;
        for (uint256 i = 0; i < 56; ++i) {
            string memory place = string.concat(".results[", vm.toString(i), "]");
            Batch memory it;
            it.op = uint8(vm.parseJsonUint(json, string.concat(place, ".op")));
            it.wide = vm.parseJsonBool(json, string.concat(place, ".wide"));
            vm.assertEq(uint256(it.op) * 2 + (it.wide ? 1 : 0), i, "every operation in both formats");
            it.first = it.op >= 23 && it.op < 27 ? integers : values[(it.op == 27) == it.wide ? 0 : 1];
            it.second = it.op < 10 ? values[it.wide ? 1 : 0] : new bytes(8);
            it.results = vm.parseJsonBytes(json, string.concat(place, ".results"));
            it.traps = vm.parseJsonBytes(json, string.concat(place, ".traps"));
            cases += checkAll(it);
        }
        vm.assertEq(cases, 13_072, "cases");
        vm.snapshotValue("FloatUnit", "dearest operation", dearest);
        // Mutants are compiled by the quick way.
        if (!vm.envOr("RIALTO_ANY_GAS", false)) vm.assertLe(dearest, 3500, "execution gas of one operation");
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

    /// Whatever the operands and the operation's number, there is a result.
    function test_total(uint8 op, bool wide, uint64 a, uint64 b) public view {
        (uint64 result, bool trap) = unit.compute(op, wide, a, b);
        if (op >= 28) vm.assertTrue(trap, "no such operation");
        if (trap) vm.assertEq(result, 0, "a trap has no result");
        if (!wide && op < 15) vm.assertEq(result >> 32, 0, "zero-extended");
        if (op < 15) vm.assertFalse(trap, "only conversions trap");
    }

    function test_size() public {
        vm.snapshotValue("Size", "FloatUnit", address(unit).code.length);
        vm.assertLe(address(unit).code.length, 24_575, "EIP-170");
    }

    /// Eight bytes, big-endian; zeros past the end.
    function wordAt(bytes memory list, uint256 from) private pure returns (uint64 word) {
        for (uint256 i = 0; i < 8; ++i) {
            word = word << 8 | (from + i < list.length ? uint8(list[from + i]) : 0);
        }
    }
}
