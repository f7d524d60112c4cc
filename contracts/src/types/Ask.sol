// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import { Limits } from "./Limits.sol";

/// An offer that the provider signs. It is valid in the half-open window `[from, to)`, in which
/// the price runs linearly from `priceStart` to `priceEnd`. It lives off chain: nodes gossip
/// it.
struct Ask {
    /// The account that sells, is paid and locks collateral. It signs the ask, with a key or as a
    /// contract.
    address provider;
    /// The key that signs acks, receipts, releases and moves in every deal under this ask. It can't
    /// be a contract, which could change its mind.
    address key;
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
    /// The most deals of the provider, under all its asks, that may be open once this one has
    /// opened.
    uint32 capacity;
    /// Tasks that run at once.
    uint32 cores;
    /// Measured fuel per second of one core. A statement, not enforced.
    uint64 fuelPerSecond;
    /// The runtime: a short name, zero-padded on the right, such as "wasm/3".
    bytes32 runtime;
    /// Hash of the provider's list of attributes (docs/protocol.md); zero: an empty list.
    bytes32 attributes;
    /// Contract that judges disputes of deals under this ask; zero for none.
    address court;
    /// Must equal the provider's counter on chain; raising that cancels every ask at once.
    uint64 counter;
    /// Makes the ask's hash unique.
    uint64 salt;
    /// The largest orders that are accepted.
    Limits limits;
}

bytes32 constant ASK_TYPEHASH = keccak256(
    "Ask(address provider,address key,bytes32 endpoint,uint128 priceStart,uint128 priceEnd,"
    "uint64 from,uint64 to,uint128 taskFee,uint128 minBudget,uint128 maxBudget,"
    "uint32 collateralBps,uint32 latePenaltyBps,uint32 maxSeconds,uint32 capacity,uint32 cores,"
    "uint64 fuelPerSecond,bytes32 runtime,bytes32 attributes,address court,uint64 counter,"
    "uint64 salt,Limits limits)"
    "Limits(uint32 tasks,uint32 orders,uint64 taskFuel,uint64 taskMemory,uint64 taskOutput,"
    "uint64 orderOutput,uint64 program,uint64 inputs,uint64 shared,uint128 credit)"
);

using { hash } for Ask global;

/// EIP-712 struct hash.
function hash(Ask calldata ask) pure returns (bytes32 result) {
    bytes32 typehash = ASK_TYPEHASH;
    bytes32 limits = ask.limits.hash();
    // All but the last field are one word.
    assembly ("memory-safe") {
        let free := mload(0x40)
        mstore(free, typehash)
        calldatacopy(add(free, 32), ask, mul(21, 32))
        mstore(add(free, mul(22, 32)), limits)
        result := keccak256(free, mul(23, 32))
    }
}
