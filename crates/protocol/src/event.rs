//! Events of the market and its courts. `IMarket.sol` and `ICourt.sol` specify each.

use alloy_primitives::{Address, B256, Bytes};

use crate::{
    case::CaseId,
    court::{Segment, Verdict},
    fault::Fault,
    ids::{DealId, GameId, OrderId, ReceiptId},
    receipt::{Halted, SumNode},
    types::{Deal, Game, Receipt},
};

/// How a deal ended (`IMarket.Ending`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// A closing voucher was redeemed.
    Redeemed,
    /// The requester closed it with the provider's release.
    Released,
    /// It expired.
    Expired,
    /// An acked order was late.
    Late,
    /// A demanded task was not revealed.
    Withheld,
    /// Its court convicted the provider.
    Slashed,
}

/// How a case ended (`IMarket.CaseOutcome`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaseOutcome {
    /// A claim was paid to the provider.
    Paid,
    /// Nothing was at stake any more: the deal had closed, the order was below the watermark, or a
    /// hold ran out. The requester got its bond back, if there was one.
    Void,
    /// The provider answered in time and got the bond.
    Answered,
    /// The provider did not answer. The requester got its bond back, and the deal ended.
    Defaulted,
}

/// One event of the market. Sums are in base units, times in Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // `IMarket.sol` explains the fields
pub enum MarketEvent {
    /// The balance of `account` grew by `amount`.
    Deposited { account: Address, from: Address, amount: u128 },
    /// The balance of `account` fell by `amount`.
    Withdrawn { account: Address, to: Address, amount: u128 },
    /// `spender` may take up to `amount` from the account of `owner`.
    Allowed { owner: Address, spender: Address, amount: u128 },
    /// `amount` moved from the account of `from` to that of `to`.
    Transferred { from: Address, to: Address, amount: u128 },
    /// A provider announced its endpoint. Any account can announce anything, so this is only a
    /// hint.
    Announced { provider: Address, endpoint: Bytes },
    /// The provider revoked all of its asks with another counter.
    AsksCancelled { provider: Address, counter: u64 },
    /// A deal was opened.
    DealOpened { id: DealId, deal: Deal },
    /// A voucher was redeemed: the deal's new `paid` and watermark.
    Redeemed { deal: DealId, paid: u128, orders: u64 },
    /// A deal was closed.
    DealClosed {
        deal: DealId,
        ending: Ending,
        paid: u128,
        to_requester: u128,
        to_provider: u128,
        burned: u128,
    },
    /// A claim was opened for `receipt.fee`.
    Claimed { deal: DealId, order: OrderId, seq: u64, deadline: u64, receipt: Receipt },
    /// A late notice was opened.
    LateNoticed { deal: DealId, order: OrderId, seq: u64, deadline: u64, bond: u128 },
    /// A late notice was answered.
    Answered { deal: DealId, order: OrderId, receipt: Receipt },
    /// A late notice ended because its order was cancelled.
    Excused { deal: DealId, order: OrderId },
    /// A demand was opened; `receipt` is the receipt's struct hash.
    Demanded { deal: DealId, receipt: ReceiptId, task: u32, seq: u64, deadline: u64, bond: u128 },
    /// A demand was answered. `proof` has the leaf's siblings from the bottom up. `output` is empty
    /// if it is longer than the contract's limit.
    Revealed {
        deal: DealId,
        receipt: ReceiptId,
        task: u32,
        fuel: u64,
        halted: Halted,
        proof: Vec<SumNode>,
        output: Bytes,
    },
    /// The court placed a hold on the deal.
    Held { deal: DealId, game: GameId, deadline: u64 },
    /// The court lifted a hold.
    Lifted { deal: DealId, game: GameId },
    /// A case ended by `settle`.
    CaseSettled { deal: DealId, case: CaseId, outcome: CaseOutcome, amount: u128 },
    /// A court emitted an event. [`CourtEvent`] says for which deals it counts.
    Court { court: Address, event: CourtEvent },
}

impl MarketEvent {
    /// Returns the deal that the event is about, if any.
    pub fn deal(&self) -> Option<DealId> {
        match self {
            MarketEvent::DealOpened { id, .. } => Some(*id),
            MarketEvent::Redeemed { deal, .. }
            | MarketEvent::DealClosed { deal, .. }
            | MarketEvent::Claimed { deal, .. }
            | MarketEvent::LateNoticed { deal, .. }
            | MarketEvent::Answered { deal, .. }
            | MarketEvent::Excused { deal, .. }
            | MarketEvent::Demanded { deal, .. }
            | MarketEvent::Revealed { deal, .. }
            | MarketEvent::Held { deal, .. }
            | MarketEvent::Lifted { deal, .. }
            | MarketEvent::CaseSettled { deal, .. } => Some(*deal),
            MarketEvent::Deposited { .. }
            | MarketEvent::Withdrawn { .. }
            | MarketEvent::Allowed { .. }
            | MarketEvent::Transferred { .. }
            | MarketEvent::Announced { .. }
            | MarketEvent::AsksCancelled { .. } => None,
            MarketEvent::Court { event, .. } => event.deal(),
        }
    }
}

/// One event of a court. The client accepts it only for a deal that names this court
/// ([`Deal::court`]), and only for a dispute that this court began. Values that no court can emit
/// are not decoded.
///
/// [`Deal::court`]: crate::types::Deal
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CourtEvent {
    /// A dispute began. The provider has to open the receipt's root.
    Accused(Box<Accused>),
    /// The disputed node was opened. The accuser has to pick one of its nodes.
    Unfolded {
        /// Id of the dispute.
        id: GameId,
        /// Index of the node among those of its height, from the left.
        place: u32,
        /// Number of levels of `nodes` above the leaves. At 0 each hash is H(halted).
        height: u8,
        /// End of the accuser's turn, Unix seconds.
        deadline: u64,
        /// At most 16 nodes below it, from the left.
        nodes: Vec<SumNode>,
    },
    /// One of the nodes was picked. The provider has to open it.
    Picked {
        /// Id of the dispute.
        id: GameId,
        /// Index of the node among those of its height, from the left.
        place: u32,
        /// Number of the node's levels above the leaves.
        height: u8,
        /// End of the provider's turn, Unix seconds.
        deadline: u64,
    },
    /// A task was challenged. The provider has to move.
    Challenged(Box<Challenged>),
    /// A side answered a segment with a new one.
    Moved(Box<Moved>),
    /// A step was verified. An `Ended` follows.
    Stepped {
        /// Id of the dispute.
        id: GameId,
        /// Number of steps before it.
        position: u64,
        /// Hash of the state before it.
        state: B256,
        /// Hash of the next state, as the loser claimed.
        claimed: B256,
        /// Hash of the next state, as the step unit computed.
        next: B256,
    },
    /// A dispute ended.
    Ended(GameEnd),
    /// A receipt was proven wrong without a dispute, which ended the deal.
    Convicted {
        /// Id of the deal.
        deal: DealId,
        /// Struct hash of the receipt.
        receipt: ReceiptId,
        /// Provider that signed it.
        provider: Address,
        /// Kind of the fault.
        fault: Fault,
    },
    /// An account allowed another one to move for it in all of its disputes.
    Delegated {
        /// Account whose moves are meant.
        owner: Address,
        /// Account that may move.
        to: Address,
        /// End of the permission, Unix seconds.
        until: u64,
    },
}

/// Start of a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accused {
    /// Id of the dispute: the struct hash of `game`.
    pub id: GameId,
    /// The dispute's fixed data.
    pub game: Game,
    /// The accused receipt. `game.receipt` is its struct hash, and `game.order` that of its order.
    pub receipt: Receipt,
    /// Number of the order's tasks, 1 to 2^16.
    pub tasks: u32,
    /// End of the provider's turn, Unix seconds.
    pub deadline: u64,
}

/// Challenge of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenged {
    /// Id of the dispute.
    pub id: GameId,
    /// Index of the task in the order.
    pub task: u32,
    /// H(halted) of the task, as the provider claimed.
    pub halted: B256,
    /// Level of the first segment, which spans the whole run of 16^level steps: an even number from
    /// 2 to 14.
    pub level: u8,
    /// End of the provider's turn, Unix seconds.
    pub deadline: u64,
    /// State hashes of the accuser.
    pub segment: Segment,
}

/// One move in the run of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Id of the dispute.
    pub id: GameId,
    /// Index of the disputed part of the previous segment.
    pub pick: u32,
    /// Number of steps before the new segment.
    pub position: u64,
    /// Level of the new segment, 1 to 13. The segment spans 16^level steps.
    pub level: u8,
    /// Whether the accuser has to move next; otherwise the provider has to.
    pub accusers_turn: bool,
    /// End of that turn, Unix seconds.
    pub deadline: u64,
    /// State hashes of the new segment.
    pub segment: Segment,
}

/// End of a dispute, with the distribution of the bond to accounts of the market, in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GameEnd {
    /// Id of the dispute.
    pub id: GameId,
    /// Whether it ended by a step or by time.
    pub verdict: Verdict,
    /// Whether the accuser won; otherwise the provider did.
    pub accuser_won: bool,
    /// Whether the deal ended with the dispute.
    pub slashed: bool,
    /// Sum that the accuser got, base units.
    pub to_accuser: u128,
    /// Sum that the provider got, base units.
    pub to_provider: u128,
    /// Sum that was burned, base units.
    pub burned: u128,
}

impl CourtEvent {
    /// Returns the deal that the event states. The `Accused` event says which deal a dispute is
    /// about.
    pub fn deal(&self) -> Option<DealId> {
        match self {
            CourtEvent::Accused(accused) => Some(accused.game.deal),
            CourtEvent::Convicted { deal, .. } => Some(*deal),
            CourtEvent::Unfolded { .. }
            | CourtEvent::Picked { .. }
            | CourtEvent::Challenged(_)
            | CourtEvent::Moved(_)
            | CourtEvent::Stepped { .. }
            | CourtEvent::Ended(_)
            | CourtEvent::Delegated { .. } => None,
        }
    }

    /// Returns the dispute that the event is about.
    pub fn game(&self) -> Option<GameId> {
        match self {
            CourtEvent::Accused(accused) => Some(accused.id),
            CourtEvent::Challenged(challenged) => Some(challenged.id),
            CourtEvent::Moved(moved) => Some(moved.id),
            CourtEvent::Unfolded { id, .. }
            | CourtEvent::Picked { id, .. }
            | CourtEvent::Stepped { id, .. }
            | CourtEvent::Ended(GameEnd { id, .. }) => Some(*id),
            CourtEvent::Convicted { .. } | CourtEvent::Delegated { .. } => None,
        }
    }
}
