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

    /// Returns the hash of a task's first state, and a number of steps after which every run of a
    /// program that was lowered by the rules has halted. Reverts unless `task.program` and
    /// `task.input` are the hashes of `parts`. Anyone may call it.
    function start(Task calldata task, bytes calldata parts)
        external
        view
        returns (bytes32 state, uint64 steps);

    /// Returns the hash of the state that follows the one with hash `state`. A halted state is
    /// followed by itself. Reverts only if the proof does not hash to `state`. It is total:
    /// whatever the bits of state and program, some proof does not revert, and all such proofs give
    /// the same result. Anyone may call it.
    function step(bytes32 state, bytes calldata proof) external view returns (bytes32 next);
}
