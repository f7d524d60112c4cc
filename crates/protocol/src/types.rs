//! Signed structs. Each is hashed and signed under EIP-712; `contracts/src/types/` holds the same
//! structs in Solidity, and shared vectors hold the two together.

use alloy_primitives::{Address, B256};
use alloy_sol_types::{Eip712Domain, eip712_domain};

use crate::{
    eip712::{Typed, typed},
    ids::{AskId, DealId, GameId, OrderId, ReceiptId},
};

typed! {
    /// The largest orders that a provider accepts. Whatever is within them it must not refuse for its size.
    Limits => B256 {
        /// Most tasks of an order.
        tasks: u32,
        /// Most unfinished orders of a deal.
        orders: u32,
        /// Highest fuel limit of a task.
        taskFuel: u64,
        /// Most linear memory of a task, bytes.
        taskMemory: u64,
        /// Highest output limit of a task, bytes.
        taskOutput: u64,
        /// Highest output limit of all tasks of an order together, bytes.
        orderOutput: u64,
        /// Largest program, bytes.
        program: u64,
        /// Largest inputs of an order's tasks together, bytes.
        inputs: u64,
        /// Largest input that the tasks of an order share, bytes.
        shared: u64,
        /// Most unpaid work of a deal: delivered and unpaid, and the most that accepted orders can cost. Base units.
        credit: u128,
    }

    /// Provider-signed offer. Valid in the half-open window `[from, to)`, in which the price runs
    /// linearly from `priceStart` to `priceEnd`. Lives off chain, gossiped.
    Ask => AskId {
        /// Account that sells, is paid and locks collateral. It signs the ask: with a key, or as a contract.
        provider: Address,
        /// Key that signs acks, receipts, releases and moves in every deal under this ask. No contract: it can't change
        /// its mind.
        key: Address,
        /// Public key of the provider's QUIC endpoint.
        endpoint: B256,
        /// Base units per Tfuel at `from`.
        priceStart: u128,
        /// Base units per Tfuel at `to`.
        priceEnd: u128,
        /// Unix seconds, inclusive.
        from: u64,
        /// Unix seconds, exclusive.
        to: u64,
        /// Base units per task, on top of fuel.
        taskFee: u128,
        /// Smallest budget of a deal, base units.
        minBudget: u128,
        /// Largest budget of a deal, base units.
        maxBudget: u128,
        /// Collateral locked per deal, in 1/10_000 of its budget.
        collateralBps: u32,
        /// Penalty for an acked order that is late, in 1/10_000 of the deal's collateral.
        latePenaltyBps: u32,
        /// Longest deal, seconds.
        maxSeconds: u32,
        /// Most deals of the provider, under whatever ask, that may be open once this one has opened.
        capacity: u32,
        /// Tasks that run at once.
        cores: u32,
        /// Measured fuel per second of one core. A statement, not enforced.
        fuelPerSecond: u64,
        /// What runs: a short name, zero-padded on the right ([`runtime`]).
        runtime: B256,
        /// Hash of the provider's list of attributes (docs/protocol.md); zero: an empty list.
        attributes: B256,
        /// Contract that judges disputes of deals under this ask; zero for none.
        court: Address,
        /// Must equal the provider's counter on chain; raising that cancels every ask at once.
        counter: u64,
        /// Makes the ask's hash unique.
        salt: u64,
        /// The largest orders that are accepted.
        limits: Limits,
    }

    /// Terms fixed when a deal opens. The deal's id is this struct's hash.
    Deal => DealId {
        /// Struct hash of the ask.
        ask: AskId,
        requester: Address,
        provider: Address,
        /// Signs orders, cancellations and vouchers.
        requesterKey: Address,
        /// Signs acks, receipts, releases and moves.
        providerKey: Address,
        /// Most the provider can be paid, base units.
        budget: u128,
        /// Provider's money locked from open to close, base units.
        collateral: u128,
        /// Base units per Tfuel.
        price: u128,
        /// Base units per task.
        taskFee: u128,
        /// Base units, at most `collateral`.
        latePenalty: u128,
        /// Chosen by the requester within the market's tolerance, so that the id is known before the transaction. Unix
        /// seconds.
        openedAt: u64,
        /// Unix seconds.
        expiry: u64,
        /// The only contract that may slash this deal; zero for none.
        court: Address,
        /// Chosen by the requester.
        salt: u64,
    }

    /// Requester-signed batch of tasks sent into a deal.
    Order => OrderId {
        /// Deal id.
        deal: DealId,
        /// 0, 1, 2 … within the deal, without gaps.
        seq: u64,
        /// programRoot (see `rialto_machine`).
        program: B256,
        /// Merkle root over the tasks' input roots (`receipt::inputs_root`).
        inputs: B256,
        /// Number of tasks, ≥ 1.
        tasks: u32,
        /// Fuel limit of each task.
        fuelLimit: u64,
        /// Output limit of each task, bytes.
        outLimit: u64,
        /// Memory limit of each task, 64 KiB pages.
        maxPages: u32,
        /// Task i's random seed is derived from this and i (`receipt::task_seed`).
        seed: u64,
        /// Latest time the requester can use the receipt, unix seconds.
        dueBy: u64,
    }

    /// Provider-signed acceptance of an order.
    Ack => B256 {
        /// Struct hash of the order.
        order: OrderId,
        /// The provider owes the receipt by then (unix seconds), or the late penalty.
        dueBy: u64,
    }

    /// Provider-signed result of an order.
    Receipt => ReceiptId {
        /// Struct hash of the order.
        order: OrderId,
        /// Root of the Merkle-sum tree over (H(halted), fuel used) of every task.
        root: B256,
        /// Sum of the fuel used.
        fuel: u128,
        /// `pricing::fee(deal.price, deal.taskFee, fuel, tasks)`, base units.
        fee: u128,
    }

    /// Requester-signed: the order need not be done. It can't be called late any more.
    Cancel => B256 {
        /// Struct hash of the order.
        order: OrderId,
    }

    /// Requester-signed cumulative payment for a deal.
    Voucher => B256 {
        /// Deal id.
        deal: DealId,
        /// All that is owed so far, base units.
        amount: u128,
        /// Orders with `seq < orders` are settled by this amount and can't be claimed any more.
        orders: u64,
        /// Whether the provider may close the deal with this voucher.
        close: bool,
    }

    /// Provider-signed consent to close: the requester may close the deal paying this in all.
    Release => B256 {
        /// Deal id.
        deal: DealId,
        /// All that is owed in the end, base units.
        amount: u128,
    }

    /// A watchtower's word to a provider: it defends this receipt until then. Only ever shown off chain; the signature is the
    /// tower's account key's.
    Appointment => B256 {
        /// Deal id.
        deal: DealId,
        /// Struct hash of the receipt.
        receipt: ReceiptId,
        /// The tower's account.
        tower: Address,
        /// It answers what is opened before this time, unix seconds.
        until: u64,
    }

    /// One dispute over one receipt. Not signed: the game's id is this struct's hash.
    Game => GameId {
        /// Deal id.
        deal: DealId,
        /// Struct hash of the order.
        order: OrderId,
        /// Struct hash of the receipt.
        receipt: ReceiptId,
        /// Says that the receipt is wrong. Gets its bond back, or loses it.
        accuser: Address,
        /// The deal's provider.
        provider: Address,
        /// The key that signed the receipt, and can sign moves.
        providerKey: Address,
        /// The accuser's money in the court, base units.
        bond: u128,
        /// Block timestamp of the accusation, unix seconds.
        openedAt: u64,
    }

    /// One side's move in a game, signed so that anybody can send it. The only struct that is signed in the court's domain:
    /// `domain` with the court's address instead of the market's.
    Move => B256 {
        /// Game id.
        game: GameId,
        /// Level of the segment that it answers.
        level: u32,
        /// Which sixteenth of it the side disputes, 0 to 15.
        pick: u32,
        /// Hash of the segment that it answers: keccak256 of its 17 state hashes.
        from: B256,
        /// Hash of the segment that it puts there.
        to: B256,
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

/// EIP-712 struct hash: the name of a deal, an order, an ask. Not bound to a market.
pub fn struct_hash<T: Typed>(value: &T) -> T::Id {
    value.hash().into()
}

/// EIP-712 digest that is signed: bound to chain id and market.
pub fn digest<T: Typed>(value: &T, domain: &Eip712Domain) -> B256 {
    value.digest(domain)
}

/// Gossip topic of a market: keccak256("rialto-asks" ‖ chain id (8 bytes, big-endian) ‖ market).
pub fn ask_topic(chain_id: u64, market: Address) -> B256 {
    let mut bytes = Vec::with_capacity(39);
    bytes.extend_from_slice(b"rialto-asks");
    bytes.extend_from_slice(&chain_id.to_be_bytes());
    bytes.extend_from_slice(market.as_slice());
    alloy_primitives::keccak256(bytes)
}
