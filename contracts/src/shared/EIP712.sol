// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// An EIP-712 domain that describes itself (EIP-5267) and stays right when the chain forks.
abstract contract EIP712 {
    string private constant NAME = "Rialto";
    string private constant VERSION = "2";
    bytes32 private constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );

    uint256 private immutable CHAIN_ID = block.chainid;
    bytes32 private immutable SEPARATOR = buildSeparator();

    /// Returns the EIP-712 domain separator.
    function domainSeparator() public view virtual returns (bytes32) {
        return block.chainid == CHAIN_ID ? SEPARATOR : buildSeparator();
    }

    /// Returns the domain as in EIP-5267. `fields` says that name, version, chainId and
    /// verifyingContract are used.
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        return (hex"0f", NAME, VERSION, block.chainid, address(this), bytes32(0), new uint256[](0));
    }

    /// Returns the digest to sign for a struct hash.
    function digestOf(bytes32 structHash) internal view returns (bytes32) {
        return digestUnder(domainSeparator(), structHash);
    }

    /// Returns the digest to sign for a struct hash in a domain: keccak(0x1901 ‖ separator ‖ hash).
    function digestUnder(bytes32 separator, bytes32 structHash)
        internal
        pure
        returns (bytes32 digest)
    {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, shl(240, 0x1901))
            mstore(add(free, 2), separator)
            mstore(add(free, 34), structHash)
            digest := keccak256(free, 66)
        }
    }

    function buildSeparator() private view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN_TYPEHASH,
                keccak256(bytes(NAME)),
                keccak256(bytes(VERSION)),
                block.chainid,
                address(this)
            )
        );
    }
}
