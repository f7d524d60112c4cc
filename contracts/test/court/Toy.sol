// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Halted } from "../../src/types/Halted.sol";
import { IStepUnit, Task } from "../../src/machine/IStepUnit.sol";

/// State of the toy machine: a counter and a number that it stirs.
struct ToyState {
    uint64 pc;
    uint64 x;
    uint64 end;
    uint64 fuelLimit;
}

library ToyLib {
    function hash(ToyState memory it) internal pure returns (bytes32) {
        return keccak256(abi.encode("toy", it));
    }

    function hash(Halted memory it) internal pure returns (bytes32) {
        return keccak256(
            abi.encodePacked(
                "rialto-halt", it.status, it.exitCode, it.outHash, it.outLen, it.fuelLeft, it.digest
            )
        );
    }

    function first(Task memory task, uint64 end) internal pure returns (ToyState memory) {
        return ToyState(0, task.seed ^ uint64(uint256(task.input)), end, task.fuelLimit);
    }

    function stir(uint64 x) internal pure returns (uint64) {
        unchecked {
            return x * 6364136223846793005 + 1442695040888963407;
        }
    }

    function halt(ToyState memory it) internal pure returns (Halted memory halted) {
        halted.exitCode = uint32(it.x);
        halted.fuelLeft = int64(it.fuelLimit - it.pc);
    }
}

/// Counts to the number that its program is, and halts. For tests of the court only.
contract Toy is IStepUnit {
    function start(Task calldata task, bytes calldata parts)
        external
        pure
        returns (bytes32 state, uint64 steps)
    {
        bytes32 given = keccak256(parts);
        if (given != task.program) revert WrongParts(task.program, given);
        return (ToyLib.hash(ToyLib.first(task, abi.decode(parts, (uint64)))), task.fuelLimit);
    }

    function step(bytes32 state, bytes calldata proof) external pure returns (bytes32) {
        (bool running, bytes memory body) = abi.decode(proof, (bool, bytes));
        if (!running) {
            if (ToyLib.hash(abi.decode(body, (Halted))) != state) revert WrongProof();
            return state;
        }
        ToyState memory it = abi.decode(body, (ToyState));
        if (ToyLib.hash(it) != state) revert WrongProof();
        if (it.pc == it.end) return ToyLib.hash(ToyLib.halt(it));
        ++it.pc;
        it.x = ToyLib.stir(it.x);
        return ToyLib.hash(it);
    }
}

/// A way to be wrong about a run, from step `since` on.
enum Lie {
    /// None.
    Honest,
    /// A number that does not follow.
    State,
    /// Halts early.
    Early,
    /// Goes on for 100 steps too many.
    Long,
    /// Ends with the right state but another fuel.
    Fuel,
    /// Every hash is made up.
    Noise
}

/// What one side says of a run: state hashes as far as it goes, then the last for ever.
struct Trace {
    ToyState[] states;
    bytes32[] hashes;
    Halted halted;
    /// The first of its hashes that is not right.
    uint64 wrongFrom;
}

library Traces {
    function make(ToyState memory first, Lie lie, uint64 since)
        internal
        pure
        returns (Trace memory trace)
    {
        uint64 end = first.end;
        trace.wrongFrom = since;
        if (lie == Lie.Early) (end, trace.wrongFrom) = (since - 1, since);
        if (lie == Lie.Long) (end, trace.wrongFrom) = (end + 100, end + 1);
        if (lie == Lie.Fuel) trace.wrongFrom = end + 1;
        if (lie == Lie.Honest) trace.wrongFrom = type(uint64).max;
        trace.states = new ToyState[](end + 1);
        trace.hashes = new bytes32[](end + 2);
        ToyState memory it = ToyState(0, first.x, first.end, first.fuelLimit);
        for (uint64 i = 0; i <= end; ++i) {
            if (i != 0) it = ToyState(i, ToyLib.stir(it.x), first.end, first.fuelLimit);
            if (i == since && lie == Lie.State) it.x ^= 1;
            trace.states[i] = it;
            trace.hashes[i] = ToyLib.hash(it);
            if (lie == Lie.Noise && i >= since) {
                trace.hashes[i] = keccak256(abi.encode("noise", first.x, i));
            }
        }
        trace.halted = ToyLib.halt(it);
        if (lie == Lie.Fuel) trace.halted.fuelLeft -= 7;
        if (lie == Lie.Noise) trace.halted.outLen = 99;
        // A lie about the last state alone.
        if (lie == Lie.State && since == end + 1) trace.halted.exitCode ^= 1;
        trace.hashes[end + 1] = ToyLib.hash(trace.halted);
    }

    function hashAt(Trace memory trace, uint256 position) internal pure returns (bytes32) {
        uint256 last = trace.hashes.length - 1;
        return trace.hashes[position < last ? position : last];
    }

    /// Hashes after each part of the segment that begins at `position`.
    function statesOf(Trace memory trace, uint256 position, uint256 part)
        internal
        pure
        returns (bytes32[16] memory list)
    {
        for (uint256 i = 0; i < 16; ++i) {
            list[i] = hashAt(trace, position + (i + 1) * part);
        }
    }

    /// Proof of the step at `position`.
    function proof(Trace memory trace, uint256 position) internal pure returns (bytes memory) {
        if (position < trace.states.length) {
            return abi.encode(true, abi.encode(trace.states[position]));
        }
        return abi.encode(false, abi.encode(trace.halted));
    }
}
