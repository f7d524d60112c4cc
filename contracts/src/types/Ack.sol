// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// Provider-signed acceptance of an order.
struct Ack {
    /// Struct hash of the order.
    bytes32 order;
    /// The provider owes the receipt by then (unix seconds), or the late penalty.
    uint64 dueBy;
}

bytes32 constant ACK_TYPEHASH = keccak256("Ack(bytes32 order,uint64 dueBy)");

using { hash } for Ack global;

/// EIP-712 struct hash.
function hash(Ack calldata ack) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := ack
    }
    return hashWords(ACK_TYPEHASH, offset, 2);
}
