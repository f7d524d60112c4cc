//! Cases of a deal: what one side, or the deal's court, starts against the other. Each ends by
//! time alone.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::ids::{GameId, OrderId, ReceiptId};

/// Kinds of cases, as `IMarket.CaseKind` counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum CaseKind {
    /// Provider: this order's receipt is unpaid.
    Claim = 0,
    /// Requester: this acked order is late.
    Late = 1,
    /// Requester: show me this task's end.
    Demand = 2,
    /// Court: a dispute is going on.
    Hold = 3,
}

impl CaseKind {
    /// Whether opening it takes a bond from the requester.
    pub fn bonded(self) -> bool {
        matches!(self, Self::Late | Self::Demand)
    }
}

/// Names a case within its deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Parts", into = "Parts")]
#[allow(missing_docs)] // the kinds say what the fields are
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
    /// A case as the contract names it. The task counts for a demand only.
    pub fn new(kind: CaseKind, subject: B256, task: u32) -> Self {
        match kind {
            CaseKind::Claim => Self::Claim { order: subject.into() },
            CaseKind::Late => Self::Late { order: subject.into() },
            CaseKind::Demand => Self::Demand { receipt: subject.into(), task },
            CaseKind::Hold => Self::Hold { game: subject.into() },
        }
    }

    /// Its kind.
    pub fn kind(&self) -> CaseKind {
        match self {
            Self::Claim { .. } => CaseKind::Claim,
            Self::Late { .. } => CaseKind::Late,
            Self::Demand { .. } => CaseKind::Demand,
            Self::Hold { .. } => CaseKind::Hold,
        }
    }

    /// The order, receipt or game that it is about.
    pub fn subject(&self) -> B256 {
        match *self {
            Self::Claim { order } | Self::Late { order } => order.into(),
            Self::Demand { receipt, .. } => receipt.into(),
            Self::Hold { game } => game.into(),
        }
    }

    /// The task of a demand; 0 otherwise.
    pub fn task(&self) -> u32 {
        if let Self::Demand { task, .. } = *self { task } else { 0 }
    }
}

/// A case as it is stored: the way in which the contract names it.
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
