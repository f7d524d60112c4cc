// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// The largest orders that a provider accepts. It must not refuse a smaller one for its size.
struct Limits {
    /// Most tasks of an order.
    uint32 tasks;
    /// Most unfinished orders of a deal.
    uint32 orders;
    /// Highest fuel limit of a task.
    uint64 taskFuel;
    /// Most linear memory of a task, bytes.
    uint64 taskMemory;
    /// Highest output limit of a task, bytes.
    uint64 taskOutput;
    /// Highest output limit of all tasks of an order together, bytes.
    uint64 orderOutput;
    /// Largest program, bytes.
    uint64 program;
    /// Largest inputs of an order's tasks together, bytes.
    uint64 inputs;
    /// Largest input that the tasks of an order share, bytes.
    uint64 shared;
    /// Most unpaid work of a deal: delivered and unpaid, and the most that accepted orders can
    /// cost. Base units.
    uint128 credit;
}

bytes32 constant LIMITS_TYPEHASH = keccak256(
    "Limits(uint32 tasks,uint32 orders,uint64 taskFuel,uint64 taskMemory,uint64 taskOutput,"
    "uint64 orderOutput,uint64 program,uint64 inputs,uint64 shared,uint128 credit)"
);

using { hash } for Limits global;

/// EIP-712 struct hash.
function hash(Limits calldata limits) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := limits
    }
    return hashWords(LIMITS_TYPEHASH, offset, 10);
}
