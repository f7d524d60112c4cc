//! Signed structs. Each is hashed and signed under EIP-712. `contracts/src/types/` has the same
//! structs in Solidity, and shared vectors hold the two equal.

use alloy_primitives::{Address, B256};
use alloy_sol_types::{Eip712Domain, eip712_domain};

use crate::{
    eip712::{Typed, typed},
    ids::{AskId, DealId, GameId, OrderId, ReceiptId},
};

typed! {
    /// Limits of the orders that a provider accepts. It must not refuse an order within them for
    /// its size.
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
        /// Most unpaid work of a deal, base units: delivered and unpaid, plus the most that
        /// accepted orders can cost.
        credit: u128,
    }

    /// Offer of a provider, signed by it. It is valid in the half-open window `[from, to)`, in
    /// which the price moves linearly from `priceStart` to `priceEnd`. It is gossiped off chain.
    Ask => AskId {
        /// Account that sells, is paid and locks collateral. It signs the ask, with a key or as a
        /// contract.
        provider: Address,
        /// Key that signs acks, receipts, releases and moves in every deal under this ask. It is
        /// never a contract, so its signatures can't be revoked.
        key: Address,
        /// Public key of the provider's QUIC endpoint.
        endpoint: B256,
        /// Price at `from`, base units per Tfuel.
        priceStart: u128,
        /// Price at `to`, base units per Tfuel.
        priceEnd: u128,
        /// Start of validity, Unix seconds, inclusive.
        from: u64,
        /// End of validity, Unix seconds, exclusive.
        to: u64,
        /// Fee per task, on top of fuel, base units.
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
        /// Most open deals of the provider, under all its asks, when a deal under this ask has
        /// opened.
        capacity: u32,
        /// Number of tasks that run at once.
        cores: u32,
        /// Measured fuel per second of one core. Nothing enforces it.
        fuelPerSecond: u64,
        /// Runtime of the programs: a short name, zero-padded on the right ([`runtime`]).
        runtime: B256,
        /// Hash of the provider's list of attributes (docs/protocol.md); zero for an empty list.
        attributes: B256,
        /// Contract that judges disputes of deals under this ask; zero for none.
        court: Address,
        /// Must equal the provider's counter on chain. Raising that counter cancels all asks at
        /// once.
        counter: u64,
        /// Makes the ask's hash unique.
        salt: u64,
        /// Limits of the orders that the provider accepts.
        limits: Limits,
    }

    /// Terms of a deal, fixed when it opens. The deal's id is this struct's hash.
    Deal => DealId {
        /// Struct hash of the ask.
        ask: AskId,
        requester: Address,
        provider: Address,
        /// Key that signs orders, cancellations and vouchers.
        requesterKey: Address,
        /// Key that signs acks, receipts, releases and moves.
        providerKey: Address,
        /// Most that the provider can be paid, base units.
        budget: u128,
        /// Provider's money locked from open to close, base units.
        collateral: u128,
        /// Price, base units per Tfuel.
        price: u128,
        /// Fee per task, base units.
        taskFee: u128,
        /// Penalty for a late order, base units, at most `collateral`.
        latePenalty: u128,
        /// Start of the deal, Unix seconds. The requester chooses it within the market's tolerance,
        /// so that the id is known before the transaction.
        openedAt: u64,
        /// End of the deal, Unix seconds.
        expiry: u64,
        /// The only contract that may slash this deal; zero for none.
        court: Address,
        /// Number that the requester chooses to distinguish deals with equal terms.
        salt: u64,
    }

    /// Batch of tasks in a deal, signed by the requester.
    Order => OrderId {
        /// Deal id.
        deal: DealId,
        /// Sequence number within the deal: 0, 1, 2 … without gaps.
        seq: u64,
        /// Root of the program (`programRoot` in docs/machine.md).
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
        /// Seed from which task i's random seed is derived, with i (`receipt::task_seed`).
        seed: u64,
        /// Latest time at which the requester can use the receipt, Unix seconds.
        dueBy: u64,
    }

    /// Acceptance of an order, signed by the provider.
    Ack => B256 {
        /// Struct hash of the order.
        order: OrderId,
        /// Time until which the provider owes the receipt, Unix seconds. After that it owes the
        /// late penalty.
        dueBy: u64,
    }

    /// Result of an order, signed by the provider.
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

    /// Cancellation of an order, signed by the requester. The order need not be done, and calling
    /// it late has no effect any more.
    Cancel => B256 {
        /// Struct hash of the order.
        order: OrderId,
    }

    /// Cumulative payment for a deal, signed by the requester.
    Voucher => B256 {
        /// Deal id.
        deal: DealId,
        /// Total debt so far, base units.
        amount: u128,
        /// Watermark: this amount settles all orders with `seq < orders`, which can't be claimed
        /// any more.
        orders: u64,
        /// Whether the provider may close the deal with this voucher.
        close: bool,
    }

    /// Consent to close, signed by the provider: the requester may close the deal if it pays this
    /// amount in all.
    Release => B256 {
        /// Deal id.
        deal: DealId,
        /// Total debt at the end, base units.
        amount: u128,
    }

    /// Promise of a watchtower to a provider: it defends this receipt until `until`. It is used off
    /// chain only; the tower's account key signs it.
    Appointment => B256 {
        /// Deal id.
        deal: DealId,
        /// Struct hash of the receipt.
        receipt: ReceiptId,
        /// Account of the tower.
        tower: Address,
        /// The tower answers everything that is opened before this time, Unix seconds.
        until: u64,
    }

    /// One dispute over one receipt. It is not signed; its id is this struct's hash.
    Game => GameId {
        /// Deal id.
        deal: DealId,
        /// Struct hash of the order.
        order: OrderId,
        /// Struct hash of the receipt.
        receipt: ReceiptId,
        /// Account that says that the receipt is wrong. It gets its bond back or loses it.
        accuser: Address,
        /// Provider of the deal.
        provider: Address,
        /// Key that signed the receipt and can sign moves.
        providerKey: Address,
        /// The accuser's bond, base units.
        bond: u128,
        /// Block timestamp of the accusation, Unix seconds.
        openedAt: u64,
    }

    /// Move of one side in a game, signed so that anybody can send it. It is the only struct that
    /// is signed in the court's domain, which is [`domain`] with the court's address instead of the
    /// market's.
    Move => B256 {
        /// Game id.
        game: GameId,
        /// Level of the segment that the move answers.
        level: u32,
        /// Disputed sixteenth of that segment, 0 to 15.
        pick: u32,
        /// Hash of the segment that the move answers: keccak256 of its 17 state hashes.
        from: B256,
        /// Hash of the segment that the move gives.
        to: B256,
    }
}

/// Runtime of this build: WebAssembly with machine version 3.
pub const WASM_3: B256 = runtime("wasm/3");

/// Returns an ask's runtime by name, of which at most 32 bytes count.
pub const fn runtime(name: &str) -> B256 {
    let (name, mut bytes, mut at) = (name.as_bytes(), [0; 32], 0);
    while at < name.len() && at < bytes.len() {
        bytes[at] = name[at];
        at += 1;
    }
    B256::new(bytes)
}

/// Returns the EIP-712 domain of a market: name "Rialto", version "2", chain id and market address.
pub fn domain(chain_id: u64, market: Address) -> Eip712Domain {
    eip712_domain! {
        name: "Rialto",
        version: "2",
        chain_id: chain_id,
        verifying_contract: market,
    }
}

/// Returns the EIP-712 struct hash: the id of a deal, an order or an ask. It is not bound to a
/// market.
pub fn struct_hash<T: Typed>(value: &T) -> T::Id {
    value.hash().into()
}

/// Returns the EIP-712 digest to sign, which is bound to chain id and market.
pub fn digest<T: Typed>(value: &T, domain: &Eip712Domain) -> B256 {
    value.digest(domain)
}

/// Returns the gossip topic of a market: keccak256("rialto-asks" ‖ chain id (8 bytes, big-endian) ‖
/// market).
pub fn ask_topic(chain_id: u64, market: Address) -> B256 {
    let mut bytes = Vec::with_capacity(39);
    bytes.extend_from_slice(b"rialto-asks");
    bytes.extend_from_slice(&chain_id.to_be_bytes());
    bytes.extend_from_slice(market.as_slice());
    alloy_primitives::keccak256(bytes)
}
