// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// What one task runs, as its order says.
struct Task {
    /// programRoot.
    bytes32 program;
    /// inputRoot.
    bytes32 input;
    /// Random seed of this task.
    uint64 seed;
    uint64 fuelLimit;
    /// Bytes.
    uint64 outLimit;
    /// 64 KiB pages.
    uint32 maxPages;
}

/// @title Judge of single steps
/// @notice Stateless, immutable, without an owner: the rules of one canonVersion (docs/machine.md).
interface IStepUnit {
    /// `parts` is not what `program` or `input` commits to.
    error WrongParts(bytes32 expected, bytes32 given);
    /// The proof does not hash to what the state commits to.
    error WrongProof();

    /// Hash of the first state of a task, and a number of steps after which every run of a program that was made by the
    /// rules has halted. `parts` is what `task.program` and `task.input` are hashes of; reverts if it is not.
    function start(Task calldata task, bytes calldata parts) external view returns (bytes32 state, uint64 steps);

    /// Hash of the state after the one that `state` is the hash of. A halted state is followed by itself. Total: whatever the
    /// state and the program's bits, there is a proof for which it does not revert, and all such proofs give the same result.
    /// Reverts only if the proof does not hash to `state`.
    function step(bytes32 state, bytes calldata proof) external view returns (bytes32 next);
}
