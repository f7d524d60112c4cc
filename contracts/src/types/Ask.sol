// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { hashWords } from "./hashWords.sol";

/// Provider-signed offer. Valid in the half-open window `[from, to)`, in which the price runs linearly
/// from `priceStart` to `priceEnd`. Lives off chain, gossiped.
struct Ask {
    /// Account that sells, is paid and locks collateral.
    address provider;
    /// Public key of the provider's QUIC endpoint.
    bytes32 endpoint;
    /// Base units per Tfuel at `from`.
    uint128 priceStart;
    /// Base units per Tfuel at `to`.
    uint128 priceEnd;
    /// Unix seconds, inclusive.
    uint64 from;
    /// Unix seconds, exclusive.
    uint64 to;
    /// Base units per task, on top of fuel.
    uint128 taskFee;
    /// Smallest budget of a deal, base units.
    uint128 minBudget;
    /// Largest budget of a deal, base units.
    uint128 maxBudget;
    /// Collateral locked per deal, in 1/10_000 of its budget.
    uint32 collateralBps;
    /// Penalty for an acked order that is late, in 1/10_000 of the deal's collateral.
    uint32 latePenaltyBps;
    /// Longest deal, seconds.
    uint32 maxSeconds;
    /// Most deals open under this ask at once.
    uint32 capacity;
    /// Tasks that run at once.
    uint32 cores;
    /// Measured fuel per second of one core. A statement, not enforced.
    uint64 fuelPerSecond;
    /// Most linear memory per task, bytes.
    uint64 maxMemory;
    /// Contract that judges disputes of deals under this ask; zero for none.
    address court;
    /// Must equal the provider's counter on chain; raising that cancels every ask at once.
    uint64 counter;
    /// Makes the ask's hash unique.
    uint64 salt;
}

bytes32 constant ASK_TYPEHASH = keccak256(
    "Ask(address provider,bytes32 endpoint,uint128 priceStart,uint128 priceEnd,uint64 from,uint64 to,"
    "uint128 taskFee,uint128 minBudget,uint128 maxBudget,uint32 collateralBps,uint32 latePenaltyBps,"
    "uint32 maxSeconds,uint32 capacity,uint32 cores,uint64 fuelPerSecond,uint64 maxMemory,address court,"
    "uint64 counter,uint64 salt)"
);

using { hash } for Ask global;

/// EIP-712 struct hash.
function hash(Ask calldata ask) pure returns (bytes32) {
    uint256 offset;
    assembly ("memory-safe") {
        offset := ask
    }
    return hashWords(ASK_TYPEHASH, offset, 19);
}
