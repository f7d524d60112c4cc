// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { FloatUnit } from "../../src/machine/FloatUnit.sol";
import { IStepUnit } from "../../src/machine/IStepUnit.sol";
import { StepUnit } from "../../src/machine/StepUnit.sol";
import { vm } from "../base/Vm.sol";
import { Model } from "./Model.sol";

/// Every step is taken twice: by the unit from a proof, and by the model, which writes the proof.
abstract contract StepUnitFixture is Model {
    bool public IS_TEST = true;
    StepUnit unit;
    /// What the last step was.
    Step last;

    uint8 constant WIDE = 0x80;
    uint64 constant ONES = type(uint64).max;

    function setUp() public virtual {
        makeZeros();
        floats = FloatUnit(deploy("FloatUnit", type(FloatUnit).creationCode, ""));
        unit = StepUnit(deploy("StepUnit", type(StepUnit).creationCode, abi.encode(floats)));
        r = Registers({
            pc: 77,
            fp: 1000,
            depth: 0,
            pages: 3,
            outLen: 0,
            outLimit: 1000,
            inLen: 5 << 32 | 7,
            maxPages: 1024,
            tableLen: 100,
            codeDepth: 16,
            memoryDepth: 21,
            tableDepth: 7,
            version: 3,
            callHash: 0,
            outHash: 0
        });
        setWord(GLOBALS, 0, 1234);
        setWord(GLOBALS, 1, 983_040);
        setWord(GLOBALS, 2, 99);
    }

    /// From source, or with RIALTO_ARTIFACT=true from the bytecode that is shipped.
    function deploy(string memory name, bytes memory code, bytes memory arguments)
        private
        returns (address deployed)
    {
        if (vm.envOr("RIALTO_ARTIFACT", false)) {
            code = vm.parseJsonBytes(
                vm.readFile(string.concat("artifacts/", name, ".json")), ".bytecode"
            );
        }
        code = bytes.concat(code, arguments);
        assembly ("memory-safe") {
            deployed := create(0, add(code, 32), mload(code))
        }
        require(deployed != address(0), "does not deploy");
    }

    /// Memory is not freed by itself, and a long test would take too much.
    modifier forgetting() {
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        _;
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }

    /// An instruction at pc, and its step.
    function run(uint8 op, uint8 aux, uint16 d, uint16 a, uint16 b, uint64 imm)
        internal
        forgetting
    {
        setInstruction(r.pc, encode(Instruction(op, aux, d, a, b, imm)));
        next(string.concat("op ", vm.toString(op), " aux ", vm.toString(aux)));
    }

    function next(string memory what) internal forgetting {
        last = take();
        vm.assertEq(unit.step(last.from, last.proof), last.to, what);
    }

    /// The same, which goes on and whose proof has so many leaves.
    function goes(uint256 leaves, uint8 op, uint8 aux, uint16 d, uint16 a, uint16 b, uint64 imm)
        internal
    {
        run(op, aux, d, a, b, imm);
        vm.assertFalse(last.over, "goes on");
        vm.assertEq(last.leaves, leaves, "leaves of the proof");
    }

    function traps(uint8 op, uint8 aux, uint16 d, uint16 a, uint16 b, uint64 imm) internal {
        run(op, aux, d, a, b, imm);
        vm.assertTrue(last.over && last.status == 1, "trap");
        vm.assertEq(last.exitCode, 0, "no exit code");
    }

    function refuses(bytes32 state, bytes memory proof) internal forgetting {
        vm.expectRevert(abi.encodeWithSelector(IStepUnit.WrongProof.selector));
        unit.step(state, proof);
    }
}
