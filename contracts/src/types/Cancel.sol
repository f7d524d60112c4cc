// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// Requester-signed: the order need not be done. It can't be called late any more.
struct Cancel {
    /// Struct hash of the order.
    bytes32 order;
}

bytes32 constant CANCEL_TYPEHASH = keccak256("Cancel(bytes32 order)");

using { hash } for Cancel global;

/// EIP-712 struct hash.
function hash(Cancel calldata cancel) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := cancel
    }
    return hashWords(CANCEL_TYPEHASH, offset, 1);
}
