//! Cases of a deal, which one side, or the deal's court, opens against the other. Each case ends
//! after a fixed time, whatever the sides do.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::ids::{GameId, OrderId, ReceiptId};

/// Kinds of cases, with the numbers of `IMarket.CaseKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum CaseKind {
    /// The provider claims the fee of an order whose receipt is unpaid.
    Claim = 0,
    /// The requester says that an acked order is late.
    Late = 1,
    /// The requester demands the halted state of a task.
    Demand = 2,
    /// The court holds the deal while a dispute is open.
    Hold = 3,
}

impl CaseKind {
    /// Returns whether the requester has to pay a bond to open it.
    pub fn bonded(self) -> bool {
        matches!(self, Self::Late | Self::Demand)
    }
}

/// Id of a case within its deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Parts", into = "Parts")]
#[allow(missing_docs)] // `CaseKind` explains the fields
pub enum CaseId {
    /// See [`CaseKind::Claim`].
    Claim { order: OrderId },
    /// See [`CaseKind::Late`].
    Late { order: OrderId },
    /// See [`CaseKind::Demand`].
    Demand { receipt: ReceiptId, task: u32 },
    /// See [`CaseKind::Hold`].
    Hold { game: GameId },
}

impl CaseId {
    /// Returns the id for the contract's names of it. The task matters only for a demand.
    pub fn new(kind: CaseKind, subject: B256, task: u32) -> Self {
        match kind {
            CaseKind::Claim => Self::Claim { order: subject.into() },
            CaseKind::Late => Self::Late { order: subject.into() },
            CaseKind::Demand => Self::Demand { receipt: subject.into(), task },
            CaseKind::Hold => Self::Hold { game: subject.into() },
        }
    }

    /// Returns the kind of the case.
    pub fn kind(&self) -> CaseKind {
        match self {
            Self::Claim { .. } => CaseKind::Claim,
            Self::Late { .. } => CaseKind::Late,
            Self::Demand { .. } => CaseKind::Demand,
            Self::Hold { .. } => CaseKind::Hold,
        }
    }

    /// Returns the hash of the order, receipt or dispute that the case is about.
    pub fn subject(&self) -> B256 {
        match *self {
            Self::Claim { order } | Self::Late { order } => order.into(),
            Self::Demand { receipt, .. } => receipt.into(),
            Self::Hold { game } => game.into(),
        }
    }

    /// Returns the task of a demand, or 0 for other kinds.
    pub fn task(&self) -> u32 {
        if let Self::Demand { task, .. } = *self { task } else { 0 }
    }
}

/// Stored form of an id: kind, subject and task, as in the contract.
#[derive(Serialize, Deserialize)]
struct Parts {
    kind: CaseKind,
    subject: B256,
    task: u32,
}

impl From<CaseId> for Parts {
    fn from(case: CaseId) -> Self {
        Self { kind: case.kind(), subject: case.subject(), task: case.task() }
    }
}

impl From<Parts> for CaseId {
    fn from(parts: Parts) -> Self {
        Self::new(parts.kind, parts.subject, parts.task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_stored_as_kind_subject_and_task() {
        let subject = B256::repeat_byte(7);
        for kind in [CaseKind::Claim, CaseKind::Late, CaseKind::Demand, CaseKind::Hold] {
            let task = if kind == CaseKind::Demand { 300 } else { 0 };
            let case = CaseId::new(kind, subject, task);
            assert_eq!((case.kind(), case.subject(), case.task()), (kind, subject, task));
            let bytes = postcard::to_stdvec(&case).unwrap();
            assert_eq!(bytes, postcard::to_stdvec(&(kind, subject, task)).unwrap());
            assert_eq!(postcard::from_bytes::<CaseId>(&bytes), Ok(case));
        }
    }
}
