// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// Provider-signed consent to close: the requester may close the deal paying this in all.
struct Release {
    /// Deal id.
    bytes32 deal;
    /// All that is owed in the end, base units.
    uint128 amount;
}

bytes32 constant RELEASE_TYPEHASH = keccak256("Release(bytes32 deal,uint128 amount)");

using { hash } for Release global;

/// EIP-712 struct hash. Every field is one word, so the struct is its own encoding.
function hash(Release calldata release) pure returns (bytes32) {
    return keccak256(abi.encode(RELEASE_TYPEHASH, release));
}
