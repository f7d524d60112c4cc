// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// One side's move in a game, signed so that anybody can send it. The only struct whose domain is
/// the court, not the market.
struct Move {
    /// Game id.
    bytes32 game;
    /// Level of the segment that it answers.
    uint32 level;
    /// Which sixteenth of it the side disputes, 0 to 15.
    uint32 pick;
    /// Hash of the segment that it answers.
    bytes32 from;
    /// Hash of the segment that it puts there.
    bytes32 to;
}

bytes32 constant MOVE_TYPEHASH =
    keccak256("Move(bytes32 game,uint32 level,uint32 pick,bytes32 from,bytes32 to)");

using { hash, hashNew } for Move global;

/// EIP-712 struct hash.
function hash(Move calldata it) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := it
    }
    return hashWords(MOVE_TYPEHASH, offset, 5);
}

/// The same of a move that is put together from what was sent.
function hashNew(Move memory it) pure returns (bytes32) {
    return keccak256(abi.encode(MOVE_TYPEHASH, it));
}
