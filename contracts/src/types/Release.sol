// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// Provider-signed consent to close: the requester may close the deal paying this in all.
struct Release {
    /// Deal id.
    bytes32 deal;
    /// All that is owed in the end, base units.
    uint128 amount;
}

bytes32 constant RELEASE_TYPEHASH = keccak256("Release(bytes32 deal,uint128 amount)");

using { hash } for Release global;

/// EIP-712 struct hash.
function hash(Release calldata release) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := release
    }
    return hashWords(RELEASE_TYPEHASH, offset, 2);
}
