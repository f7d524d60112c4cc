// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { IMarket } from "../../src/market/IMarket.sol";

/// ERC-1271 wallet of one key.
contract KeyWallet {
    address private immutable OWNER;
    uint256 private padding;

    constructor(address owner) {
        OWNER = owner;
    }

    /// Answer with so many bytes more than needed.
    function pad(uint256 bytes_) external {
        padding = bytes_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        address signer = ecrecover(
            digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64])
        );
        bytes4 answer = signer == OWNER ? this.isValidSignature.selector : bytes4(0xffffffff);
        uint256 size = 32 + padding;
        assembly ("memory-safe") {
            let at_ := mload(0x40)
            mstore(at_, answer)
            return(at_, size)
        }
    }
}

/// Wallet of one key that can stop agreeing, and does what its owner says.
contract FlipWallet {
    address private immutable OWNER;
    bool private off;

    constructor(address owner) {
        OWNER = owner;
    }

    function flip() external {
        off = !off;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        address signer = ecrecover(
            digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64])
        );
        return signer == OWNER && !off ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// No wallet at all.
contract NoWallet { }

/// Burns whatever gas it gets.
contract BurningWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        while (true) { }
        return 0x1626ba7e;
    }
}

/// Answers as much as its gas pays for.
contract HugeAnswerWallet {
    fallback() external {
        assembly ("memory-safe") {
            return(0, 150000)
        }
    }
}

/// Answers yes, but for its last byte.
contract CutAnswerWallet {
    fallback() external {
        assembly ("memory-safe") {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 31)
        }
    }
}

/// Answers with the right four bytes, but not with a word.
contract ShortAnswerWallet {
    fallback() external {
        assembly ("memory-safe") {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 4)
        }
    }
}

/// Withdraws its money while its signature is checked, and then says yes.
contract EnteringWallet {
    IMarket private immutable MARKET;

    constructor(IMarket market) {
        MARKET = market;
    }

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        (uint128 balance,,) = MARKET.account(address(this));
        MARKET.withdraw(address(this), balance);
        return this.isValidSignature.selector;
    }
}
