// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// ECDSA signatures of keys; for accounts, ERC-1271 as well.
library Signatures {
    /// Most gas that a contract wallet may use to check a signature.
    uint256 internal constant GAS_LIMIT = 200_000;
    /// Highest s that is not malleable (EIP-2): half the order of secp256k1.
    uint256 private constant MAX_S =
        0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    /// `isValidSignature(bytes32,bytes)`: selector and the answer that means yes.
    bytes4 private constant ERC1271 = 0x1626ba7e;

    /// Returns whether the key `signer` signed `digest` (r ‖ s ‖ v, low s, v 27 or 28). A key can't
    /// take its signature back.
    function isByKey(address signer, bytes32 digest, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        return recover(digest, signature) == signer && signer != address(0);
    }

    /// Returns whether the account `signer` signed `digest`: with a key, or as a contract. A
    /// contract may answer otherwise tomorrow.
    function isByAccount(address signer, bytes32 digest, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        return isByKey(signer, digest, signature) || accepts(signer, digest, signature);
    }

    /// Returns the signer, or zero if the signature is malformed or malleable.
    function recover(bytes32 digest, bytes calldata signature)
        private
        view
        returns (address signer)
    {
        if (signature.length != 65) return address(0);
        uint8 v = uint8(signature[64]);
        uint256 s;
        assembly ("memory-safe") {
            s := calldataload(add(signature.offset, 32))
        }
        if (s > MAX_S || (v != 27 && v != 28)) return address(0);
        // `ecrecover`, without a copy of the signature. Its answer is a word, or nothing if nobody
        // can be recovered.
        assembly ("memory-safe") {
            let request := mload(0x40)
            mstore(request, digest)
            mstore(add(request, 32), v)
            calldatacopy(add(request, 64), signature.offset, 64)
            mstore(0, 0)
            pop(staticcall(gas(), 1, request, 128, 0, 32))
            signer := mload(0)
        }
    }

    /// Returns whether the contract at `signer` says yes. However much it answers, one word of it
    /// is read.
    function accepts(address signer, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool yes)
    {
        if (signer.code.length == 0) return false;
        bytes memory request = abi.encodeWithSelector(ERC1271, digest, signature);
        assembly ("memory-safe") {
            let ok := staticcall(GAS_LIMIT, signer, add(request, 32), mload(request), 0, 32)
            yes := and(and(ok, gt(returndatasize(), 31)), eq(mload(0), ERC1271))
        }
    }
}
