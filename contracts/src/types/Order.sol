// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// Requester-signed batch of tasks sent into a deal.
struct Order {
    /// Deal id.
    bytes32 deal;
    /// 0, 1, 2 … within the deal, without gaps.
    uint64 seq;
    /// programRoot (see docs/protocol.md).
    bytes32 program;
    /// Merkle root over the tasks' input roots.
    bytes32 inputs;
    /// Number of tasks, ≥ 1.
    uint32 tasks;
    /// Fuel limit of each task.
    uint64 fuelLimit;
    /// Output limit of each task, bytes.
    uint64 outLimit;
    /// Memory limit of each task, 64 KiB pages.
    uint32 maxPages;
    /// Task i's random seed is derived from this and i.
    uint64 seed;
    /// Latest time the requester can use the receipt, unix seconds.
    uint64 dueBy;
}

bytes32 constant ORDER_TYPEHASH = keccak256(
    "Order(bytes32 deal,uint64 seq,bytes32 program,bytes32 inputs,uint32 tasks,uint64 fuelLimit,"
    "uint64 outLimit,uint32 maxPages,uint64 seed,uint64 dueBy)"
);

using { hash } for Order global;

/// EIP-712 struct hash.
function hash(Order calldata order) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := order
    }
    return hashWords(ORDER_TYPEHASH, offset, 10);
}
