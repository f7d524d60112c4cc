// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// Terms fixed when a deal opens. Not signed: the deal's id is this struct's hash.
struct Deal {
    /// Struct hash of the ask.
    bytes32 ask;
    address requester;
    address provider;
    /// Signs orders, cancellations and vouchers.
    address requesterKey;
    /// Signs acks, receipts, releases and moves.
    address providerKey;
    /// Most the provider can be paid, base units.
    uint128 budget;
    /// Provider's money locked from open to close, base units.
    uint128 collateral;
    /// Base units per Tfuel.
    uint128 price;
    /// Base units per task.
    uint128 taskFee;
    /// Base units, at most `collateral`.
    uint128 latePenalty;
    /// Chosen by the requester within the market's tolerance, so that the id is known before the
    /// transaction. Unix seconds.
    uint64 openedAt;
    /// Unix seconds.
    uint64 expiry;
    /// The only contract that may slash this deal; zero for none.
    address court;
    /// Chosen by the requester.
    uint64 salt;
}

bytes32 constant DEAL_TYPEHASH = keccak256(
    "Deal(bytes32 ask,address requester,address provider,address requesterKey,"
    "address providerKey,uint128 budget,uint128 collateral,uint128 price,uint128 taskFee,"
    "uint128 latePenalty,uint64 openedAt,uint64 expiry,address court,uint64 salt)"
);

using { hash, hashNew } for Deal global;

/// EIP-712 struct hash: the deal's id.
function hash(Deal calldata deal) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := deal
    }
    return hashWords(DEAL_TYPEHASH, offset, 14);
}

/// The same of a deal that is just being opened.
function hashNew(Deal memory deal) pure returns (bytes32) {
    return keccak256(abi.encode(DEAL_TYPEHASH, deal));
}
