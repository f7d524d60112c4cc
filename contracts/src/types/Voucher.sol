// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// Requester-signed cumulative payment for a deal.
struct Voucher {
    /// Deal id.
    bytes32 deal;
    /// All that is owed so far, base units.
    uint128 amount;
    /// Orders with `seq < orders` are settled by this amount and can't be claimed any more.
    uint64 orders;
    /// Whether the provider may close the deal with this voucher.
    bool close;
}

bytes32 constant VOUCHER_TYPEHASH =
    keccak256("Voucher(bytes32 deal,uint128 amount,uint64 orders,bool close)");

using { hash } for Voucher global;

/// EIP-712 struct hash.
function hash(Voucher calldata voucher) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := voucher
    }
    return hashWords(VOUCHER_TYPEHASH, offset, 4);
}
