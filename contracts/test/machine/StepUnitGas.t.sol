// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { note, vm } from "../base/Vm.sol";
import { StepUnitFixture } from "./StepUnitFixture.sol";

/// Execution gas of the dearest step of each kind, every operand in a leaf of its own: code of 2^17
/// instructions, 64 MiB of memory. `snapshots/StepUnit.json` has the numbers, from the shipped
/// bytecode.
contract StepUnitGasTest is StepUnitFixture {
    string constant GROUP = "StepUnit";
    /// Slots in different leaves.
    uint16 constant A = 41;
    uint16 constant B = 83;
    uint16 constant C = 167;
    uint16 constant D = 335;
    uint64 constant ADDRESS = 1021;

    /// Gas of this instruction's step.
    function gasOf(uint8 op, uint8 aux, uint16 d, uint16 a, uint16 b, uint64 imm)
        private
        forgetting
        returns (uint256)
    {
        setInstruction(r.pc, encode(Instruction(op, aux, d, a, b, imm)));
        last = take();
        Step memory it = last;
        vm.cool(address(floats));
        bytes32 to = unit.step(it.from, it.proof);
        uint256 gas = vm.lastCallGas().gasTotalUsed;
        vm.assertEq(to, it.to, "step");
        return gas;
    }

    function snapshot(
        string memory name,
        uint8 op,
        uint8 aux,
        uint16 d,
        uint16 a,
        uint16 b,
        uint64 imm
    ) private {
        record(name, gasOf(op, aux, d, a, b, imm));
    }

    function record(string memory name, uint256 gas) private {
        note(GROUP, name, gas);
        vm.assertLe(gas, 35_000, name);
    }

    function max(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }

    function test_steps() public {
        (r.tableDepth, r.tableLen) = (20, 1 << 20);
        snapshot("copy", 4, 0, D, A, 0, 0);
        snapshot("const", 5, 0, D, 0, 0, 7);
        snapshot("select", 6, 0, D, A, B, C);
        snapshot("zero", 14, 4, 6, 0, 0, 0);
        setSlot(A, 999_999);
        setLeaf(TABLE, 999_999, bytes32(uint256(7) << 224));
        snapshot("jnz", 9, 0, 0, A, 0, 10);
        snapshot("jtab", 10, 0, 0, A, 0, 5 << 32 | 10);
        snapshot("call", 11, 0, 0, 0, 0, 50);
        snapshot("ret", 13, 0, 0, 0, 0, 0);
        snapshot("calli", 12, 0, 0, A, 0, 7);
        snapshot("gget", 15, 0, D, 0, 0, 1000);
        snapshot("gset", 16, 0, 0, A, 0, 1000);
        setSlot(A, ADDRESS);
        snapshot("load, straddling", 17, 3, D, A, 0, 0);
        snapshot("load, within a leaf", 17, 2, D, A, 0, 4);
        snapshot("store, straddling", 18, 3, 0, A, B, 0);
        snapshot("store, within a leaf", 18, 2, 0, A, B, 4);
        snapshot("mgrow", 20, 0, D, A, 0, 0);
        snapshot("inlen", 21, 0, D, A, 0, 0);
        snapshot("in32", 22, 0, 6, A, 0, 0);
        setSlot(10, 7);
        snapshot("out32", 23, 0, 0, 6, 0, 0);
        snapshot("exit", 24, 0, 0, A, 0, 0);
        snapshot("trap", 0, 0, 0, 0, 0, 0);
    }

    function test_integers() public {
        setSlot(A, ONES / 3);
        setSlot(B, 12_345);
        uint256 gas = 0;
        for (uint8 id = 0; id < 28; ++id) {
            gas = max(gas, max(gasOf(1, id, D, A, B, 0), gasOf(1, WIDE | id, D, A, B, 0)));
        }
        record("alu, dearest function", gas);
    }

    function test_floats() public {
        uint256 gas = 0;
        for (uint8 id = 0; id < 28; ++id) {
            setSlot(A, 0x3eaa_aaab);
            setSlot(B, 0x3f19_999a);
            gas = max(gas, gasOf(3, id, D, A, B, 0));
            setSlot(A, 0x3fd5_5555_5555_5555);
            setSlot(B, 0xbfe3_3333_3333_3334);
            gas = max(gas, gasOf(3, WIDE | id, D, A, B, 0));
        }
        record("fp, dearest function", gas);
    }

    /// The largest that a program can be: 2^29 instructions, 4 GiB.
    function test_deepest() public {
        (r.codeDepth, r.memoryDepth, r.pages) = (28, 27, 65_536);
        setSlot(A, ADDRESS);
        uint256 gas = gasOf(18, 3, 0, A, B, 0);
        note(GROUP, "store, straddling, deepest trees", gas);
        vm.assertLe(gas, 40_000, "deepest trees");
    }

    /// As if the judge were called by itself: base, calldata with the floor of EIP-7623, execution.
    function test_transaction() public {
        setSlot(A, ADDRESS);
        uint256 gas = gasOf(18, 3, 0, A, B, 0);
        bytes memory data = abi.encodeCall(unit.step, (last.from, last.proof));
        uint256 tokens = 0;
        for (uint256 i = 0; i < data.length; ++i) {
            tokens += data[i] == 0 ? 1 : 4;
        }
        gas = 21_000 + max(4 * tokens + gas, 10 * tokens);
        note(GROUP, "store, straddling, whole transaction", gas);
        vm.assertLe(gas, 200_000, "whole transaction");
    }

    function test_size() public {
        note("Size", "StepUnit", address(unit).code.length);
        vm.assertLe(address(unit).code.length, 24_575, "EIP-170");
    }
}
