// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// How a task ended, as a provider asserts it and a court can check it.
struct Halted {
    /// 0: returned or exited; 1: trapped, or ran out of fuel.
    uint8 status;
    /// Exit code; 0 if it trapped.
    uint32 exitCode;
    /// keccak chain over the output's 32-byte leaves (`HaltedLib.outputHash`).
    bytes32 outHash;
    /// Output bytes.
    uint64 outLen;
    /// Fuel left; negative when it ran out.
    int64 fuelLeft;
    /// Reserved system word.
    uint64 digest;
}

/// Hashes of a task's end. `crates/protocol/src/receipt.rs` computes the same.
library HaltedLib {
    /// Returns H(halted).
    function hash(Halted calldata halted) internal pure returns (bytes32) {
        return keccak256(
            abi.encodePacked(
                "rialto-halt",
                halted.status,
                halted.exitCode,
                halted.outHash,
                halted.outLen,
                halted.fuelLeft,
                halted.digest
            )
        );
    }

    /// Returns the fuel used under a limit: all of it if the task ran out.
    function fuelUsed(Halted calldata halted, uint64 fuelLimit) internal pure returns (uint64) {
        uint64 left = halted.fuelLeft > 0 ? uint64(halted.fuelLeft) : 0;
        return left < fuelLimit ? fuelLimit - left : 0;
    }

    /// Returns keccak(…keccak(keccak(0 ‖ leaf 0) ‖ leaf 1)…), the last leaf padded with zeros.
    function outputHash(bytes calldata output) internal pure returns (bytes32 chained) {
        for (uint256 start = 0; start < output.length; start += 32) {
            uint256 end = start + 32 < output.length ? start + 32 : output.length;
            // A shorter slice is padded on the right by the conversion.
            chained = keccak256(abi.encode(chained, bytes32(output[start:end])));
        }
    }
}
