// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IStepUnit, Task } from "../../src/machine/IStepUnit.sol";
import { note, vm } from "../base/Vm.sol";
import { StepUnitFixture } from "./StepUnitFixture.sol";

/// The first state of a task.
contract StepUnitStartTest is StepUnitFixture {
    uint64 constant SEED = 0x1234_5678_9abc_def0;

    Task task;

    function parts() private view returns (bytes memory) {
        return bytes.concat(program(), root(INPUT), bytes8(r.inLen), siblings(GLOBALS, 0));
    }

    function program() private view returns (bytes memory) {
        bytes memory roots = bytes.concat(root(CODE), root(TABLE), root(MEMORY), root(GLOBALS));
        bytes memory depths =
            abi.encodePacked(uint8(r.codeDepth), uint8(r.memoryDepth), uint8(r.tableDepth));
        return bytes.concat(
            roots, abi.encodePacked(r.pc, r.pages, r.maxPages, r.tableLen, uint32(5)), depths
        );
    }

    function setUp() public override {
        super.setUp();
        r.fp = 0;
        setLeaf(CODE, 5, keccak256("code"));
        setLeaf(TABLE, 5, keccak256("table"));
        setLeaf(MEMORY, 5, keccak256("memory"));
        setLeaf(INPUT, 5, keccak256("input"));
        setLeaf(GLOBALS, 1, keccak256("globals"));
        setLeaf(GLOBALS, 0, bytes32(uint256(983_040) << 128));
        bytes32 programRoot =
            keccak256(bytes.concat("rialto-program", bytes2(uint16(3)), program()));
        bytes32 inputRoot = keccak256(abi.encode(root(INPUT), uint256(r.inLen)));
        task = Task(programRoot, inputRoot, SEED, 1_000_000, 777, 2048);
    }

    /// The first state of a task in the model, which has begun with the program's.
    function begin() private returns (bytes32) {
        setWord(GLOBALS, 0, task.fuelLimit);
        setWord(GLOBALS, 3, task.seed);
        r.outLimit = task.outLimit;
        if (task.maxPages < r.maxPages) r.maxPages = task.maxPages;
        return hashOf();
    }

    function test_start() public {
        (bytes32 state, uint64 steps) = unit.start(task, parts());
        note("StepUnit", "start", vm.lastCallGas().gasTotalUsed);
        vm.assertEq(steps, (1_000_000 + 8192) * 5, "steps");
        vm.assertEq(state, begin(), "the first state");
        next("and it steps");
    }

    function test_ordersPages() public {
        task.maxPages = 100;
        (bytes32 state,) = unit.start(task, parts());
        vm.assertEq(state, begin(), "the smaller");
    }

    function test_mostSteps() public {
        uint64[3] memory fuel = [uint64(1 << 54), 1 << 62, type(uint64).max];
        for (uint256 i = 0; i < 3; ++i) {
            task.fuelLimit = fuel[i];
            (, uint64 steps) = unit.start(task, parts());
            vm.assertEq(steps, 2 ** 56, "bounded");
        }
    }

    function test_everyPartCounts() public {
        bytes memory right = parts();
        vm.assertEq(right.length, 447, "length");
        for (uint256 i = 0; i < right.length; ++i) {
            bytes1 was = right[i];
            right[i] ^= 0x40;
            (bool ok, bytes memory why) =
                address(unit).staticcall(abi.encodeCall(unit.start, (task, right)));
            vm.assertTrue(!ok && bytes4(why) == IStepUnit.WrongParts.selector, "refused");
            right[i] = was;
        }
        expectWrong(task.program, keccak256(bytes.concat(right, hex"00")));
        unit.start(task, bytes.concat(right, hex"00"));
        expectWrong(task.program, keccak256(""));
        unit.start(task, "");
    }

    function test_wrongPartsSayWhich() public {
        bytes memory right = parts();
        (bytes32 programRoot, bytes32 inputRoot) = (task.program, task.input);
        task.program = keccak256("other");
        expectWrong(task.program, programRoot);
        unit.start(task, right);
        (task.program, task.input) = (programRoot, keccak256("other"));
        expectWrong(task.input, inputRoot);
        unit.start(task, right);
    }

    function expectWrong(bytes32 expected, bytes32 given) private {
        vm.expectRevert(abi.encodeWithSelector(IStepUnit.WrongParts.selector, expected, given));
    }

    function test_emptyStack() public view {
        vm.assertEq(root(STACK), zeros[18], "Z18");
    }
}
