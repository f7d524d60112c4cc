//! Signed structs. Each is hashed and signed under EIP-712; `contracts/src/types/` holds the same
//! structs in Solidity, and shared vectors hold the two together.

use alloy_primitives::{Address, B256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};

sol! {
    /// The largest orders that a provider accepts. Whatever is within them it must not refuse for its size.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Limits {
        /// Most tasks of an order.
        uint32 tasks;
        /// Most unfinished orders of a deal.
        uint32 orders;
        /// Highest fuel limit of a task.
        uint64 taskFuel;
        /// Most linear memory of a task, bytes.
        uint64 taskMemory;
        /// Highest output limit of a task, bytes.
        uint64 taskOutput;
        /// Highest output limit of all tasks of an order together, bytes.
        uint64 orderOutput;
        /// Largest program, bytes.
        uint64 program;
        /// Largest inputs of an order's tasks together, bytes.
        uint64 inputs;
        /// Largest input that the tasks of an order share, bytes.
        uint64 shared;
        /// Most unpaid work of a deal: delivered and unpaid, and the most that accepted orders can cost. Base units.
        uint128 credit;
    }

    /// Provider-signed offer. Valid in the half-open window `[from, to)`, in which the price runs
    /// linearly from `priceStart` to `priceEnd`. Lives off chain, gossiped.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Ask {
        /// Account that sells, is paid and locks collateral. It signs the ask: with a key, or as a contract.
        address provider;
        /// Key that signs acks, receipts, releases and moves in every deal under this ask. No contract: it can't change
        /// its mind.
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
        /// Most deals of the provider, under whatever ask, that may be open once this one has opened.
        uint32 capacity;
        /// Tasks that run at once.
        uint32 cores;
        /// Measured fuel per second of one core. A statement, not enforced.
        uint64 fuelPerSecond;
        /// What runs: a short name, zero-padded on the right ([`runtime`]).
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

    /// Terms fixed when a deal opens. The deal's id is this struct's hash.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
        /// Chosen by the requester within the market's tolerance, so that the id is known before the transaction. Unix
        /// seconds.
        uint64 openedAt;
        /// Unix seconds.
        uint64 expiry;
        /// The only contract that may slash this deal; zero for none.
        address court;
        /// Chosen by the requester.
        uint64 salt;
    }

    /// Requester-signed batch of tasks sent into a deal.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Order {
        /// Deal id.
        bytes32 deal;
        /// 0, 1, 2 … within the deal, without gaps.
        uint64 seq;
        /// programRoot (see `rialto_machine`).
        bytes32 program;
        /// Merkle root over the tasks' input roots (`receipt::inputs_root`).
        bytes32 inputs;
        /// Number of tasks, ≥ 1.
        uint32 tasks;
        /// Fuel limit of each task.
        uint64 fuelLimit;
        /// Output limit of each task, bytes.
        uint64 outLimit;
        /// Memory limit of each task, 64 KiB pages.
        uint32 maxPages;
        /// Task i's random seed is derived from this and i (`receipt::task_seed`).
        uint64 seed;
        /// Latest time the requester can use the receipt, unix seconds.
        uint64 dueBy;
    }

    /// Provider-signed acceptance of an order.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Ack {
        /// Struct hash of the order.
        bytes32 order;
        /// The provider owes the receipt by then (unix seconds), or the late penalty.
        uint64 dueBy;
    }

    /// Provider-signed result of an order.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Receipt {
        /// Struct hash of the order.
        bytes32 order;
        /// Root of the Merkle-sum tree over (H(halted), fuel used) of every task.
        bytes32 root;
        /// Sum of the fuel used.
        uint128 fuel;
        /// `pricing::fee(deal.price, deal.taskFee, fuel, tasks)`, base units.
        uint128 fee;
    }

    /// Requester-signed: the order need not be done. It can't be called late any more.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Cancel {
        /// Struct hash of the order.
        bytes32 order;
    }

    /// Requester-signed cumulative payment for a deal.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Voucher {
        /// Deal id.
        bytes32 deal;
        /// All that is owed so far, base units.
        uint128 amount;
        /// Orders with `seq < orders` are settled by this amount and can't be claimed any more.
        uint64 orders;
        /// Whether the provider may close the deal with this voucher.
        bool close;
    }

    /// Provider-signed consent to close: the requester may close the deal paying this in all.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Release {
        /// Deal id.
        bytes32 deal;
        /// All that is owed in the end, base units.
        uint128 amount;
    }

    /// A watchtower's word to a provider: it defends this receipt until then. Only ever shown off chain; the signature is the
    /// tower's account key's.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Appointment {
        /// Deal id.
        bytes32 deal;
        /// Struct hash of the receipt.
        bytes32 receipt;
        /// The tower's account.
        address tower;
        /// It answers what is opened before this time, unix seconds.
        uint64 until;
    }

    /// One dispute over one receipt. Not signed: the game's id is this struct's hash.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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

    /// One side's move in a game, signed so that anybody can send it. The only struct that is signed in the court's domain:
    /// `domain` with the court's address instead of the market's.
    #[derive(Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    struct Move {
        /// Game id.
        bytes32 game;
        /// Level of the segment that it answers.
        uint32 level;
        /// Which sixteenth of it the side disputes, 0 to 15.
        uint32 pick;
        /// Hash of the segment that it answers: keccak256 of its 17 state hashes.
        bytes32 from;
        /// Hash of the segment that it puts there.
        bytes32 to;
    }
}

/// The runtime that this build sells and buys: WebAssembly of machine version 3.
pub const WASM_3: B256 = runtime("wasm/3");

/// An ask's runtime by name; at most 32 bytes of it count.
pub const fn runtime(name: &str) -> B256 {
    let (name, mut bytes, mut at) = (name.as_bytes(), [0; 32], 0);
    while at < name.len() && at < bytes.len() {
        bytes[at] = name[at];
        at += 1;
    }
    B256::new(bytes)
}

/// EIP-712 domain of a market: name "Rialto", version "1", chain id and market address.
pub fn domain(chain_id: u64, market: Address) -> Eip712Domain {
    eip712_domain! {
        name: "Rialto",
        version: "2",
        chain_id: chain_id,
        verifying_contract: market,
    }
}

/// EIP-712 struct hash: a deal's id, an order's or ask's name. Not bound to a market.
pub fn struct_hash<T: SolStruct>(value: &T) -> B256 {
    value.eip712_hash_struct()
}

/// EIP-712 digest that is signed: bound to chain id and market.
pub fn digest<T: SolStruct>(value: &T, domain: &Eip712Domain) -> B256 {
    value.eip712_signing_hash(domain)
}

/// Gossip topic of a market: keccak256("rialto-asks" ‖ chain id (8 bytes, big-endian) ‖ market).
pub fn ask_topic(chain_id: u64, market: Address) -> B256 {
    let mut bytes = Vec::with_capacity(39);
    bytes.extend_from_slice(b"rialto-asks");
    bytes.extend_from_slice(&chain_id.to_be_bytes());
    bytes.extend_from_slice(market.as_slice());
    alloy_primitives::keccak256(bytes)
}
