// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// Returns the EIP-712 struct hash of a struct in calldata whose fields are all one word:
/// keccak(typehash ‖ words), copied at once instead of field by field. A field out of its
/// type's range gives a hash that no proper encoder signs, and reading the field reverts.
function hashWords(bytes32 typehash, uint256 offset, uint256 words) pure returns (bytes32 result) {
    assembly ("memory-safe") {
        let free := mload(0x40)
        mstore(free, typehash)
        calldatacopy(add(free, 32), offset, mul(words, 32))
        result := keccak256(free, mul(add(words, 1), 32))
    }
}
