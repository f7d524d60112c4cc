// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// Provider-signed result of an order.
struct Receipt {
    /// Struct hash of the order.
    bytes32 order;
    /// Root of the Merkle-sum tree over (H(halted), fuel used) of every task.
    bytes32 root;
    /// Sum of the fuel used.
    uint128 fuel;
    /// `Pricing.fee(deal.price, deal.taskFee, fuel, tasks)`, base units.
    uint128 fee;
}

bytes32 constant RECEIPT_TYPEHASH =
    keccak256("Receipt(bytes32 order,bytes32 root,uint128 fuel,uint128 fee)");

using { hash } for Receipt global;

/// EIP-712 struct hash.
function hash(Receipt calldata receipt) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := receipt
    }
    return hashWords(RECEIPT_TYPEHASH, offset, 4);
}
