// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// One dispute over one receipt. Not signed: the game's id is this struct's hash.
struct Game {
    /// Deal id.
    bytes32 deal;
    /// Struct hash of the order.
    bytes32 order;
    /// Struct hash of the receipt.
    bytes32 receipt;
    /// Says that the receipt is wrong. Gets its bond back, or loses it.
    address accuser;
    /// The deal's provider.
    address provider;
    /// The key that signed the receipt, and can sign moves.
    address providerKey;
    /// The accuser's money in the court, base units.
    uint128 bond;
    /// Block timestamp of the accusation, unix seconds.
    uint64 openedAt;
}

bytes32 constant GAME_TYPEHASH = keccak256(
    "Game(bytes32 deal,bytes32 order,bytes32 receipt,address accuser,address provider,"
    "address providerKey,uint128 bond,uint64 openedAt)"
);

using { hash, hashNew } for Game global;

/// EIP-712 struct hash: the game's id.
function hash(Game calldata game) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := game
    }
    return hashWords(GAME_TYPEHASH, offset, 8);
}

/// The same of a game that is just being opened.
function hashNew(Game memory game) pure returns (bytes32) {
    return keccak256(abi.encode(GAME_TYPEHASH, game));
}
