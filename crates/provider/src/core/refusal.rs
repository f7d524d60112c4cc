//! Why something was not accepted. Every code is stable and goes over the wire.

use rialto_protocol::OrderId;
use serde::{Deserialize, Serialize};

/// A coded reason, told to the requester and to the provider's owner alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// No open deal with this provider under that id.
    #[error("[P-ADM-001] no open deal of this provider has that id")]
    UnknownDeal,
    /// Not signed by the requester's key of the deal.
    #[error("[P-ADM-002] not signed by the deal's requester key")]
    BadSignature,
    /// Not a sequence number that is free and next.
    #[error("[P-ADM-003] sequence number {got}, expected {expected}")]
    WrongSeq {
        /// Sent.
        got: u64,
        /// Next.
        expected: u64,
    },
    /// At its fuel limit the order would cost more than is left of the budget.
    #[error("[P-ADM-004] may cost {cost}, but {left} is left of the budget")]
    OverBudget {
        /// Most it can cost.
        cost: u128,
        /// Budget left.
        left: u128,
    },
    /// Too much unpaid work.
    #[error(
        "[P-ADM-005] may cost {cost}, but unpaid work already takes {exposed} of the credit window of {window}: pay first"
    )]
    CreditWindow {
        /// Most it can cost.
        cost: u128,
        /// Unpaid, and accepted.
        exposed: u128,
        /// Window.
        window: u128,
    },
    /// No tasks, or too many.
    #[error("[P-ADM-006] {tasks} tasks; 1 to {limit} are accepted")]
    TaskCount {
        /// Sent.
        tasks: u32,
        /// Limit.
        limit: u32,
    },
    /// Fuel limit too high or zero.
    #[error("[P-ADM-007] fuel limit {fuel}; 1 to {limit} is accepted")]
    FuelLimit {
        /// Sent.
        fuel: u64,
        /// Limit.
        limit: u64,
    },
    /// Memory limit too high.
    #[error("[P-ADM-008] {pages} pages of memory; at most {limit} are accepted")]
    MemoryLimit {
        /// Sent.
        pages: u32,
        /// Limit.
        limit: u32,
    },
    /// Output limit too high.
    #[error("[P-ADM-009] {bytes} bytes of output; at most {limit} are accepted")]
    OutputLimit {
        /// Sent.
        bytes: u64,
        /// Limit.
        limit: u64,
    },
    /// Would not be done in time.
    #[error("[P-ADM-010] due in {due_seconds} s, but expected to take {expected_seconds} s from now")]
    DueBy {
        /// From now.
        due_seconds: u64,
        /// From now.
        expected_seconds: u64,
    },
    /// The deal ends before the work could be paid.
    #[error("[P-ADM-011] the deal expires in {seconds_left} s, too soon for an order due then")]
    DealExpires {
        /// From now.
        seconds_left: u64,
    },
    /// Enough is waiting.
    #[error("[P-ADM-012] {waiting} orders are waiting already: try later")]
    QueueFull {
        /// Waiting.
        waiting: usize,
    },
    /// The provider is being shut down.
    #[error("[P-ADM-013] this provider is stopping and takes no new orders")]
    Draining,
    /// Inputs did not arrive or are not what was signed.
    #[error("[P-ADM-014] inputs: {0}")]
    Inputs(String),
    /// The program did not arrive, is not what was signed, or cannot be run.
    #[error("[P-ADM-015] program: {0}")]
    Program(String),
    /// The deal is being closed, or in dispute.
    #[error("[P-ADM-016] the deal is being settled and takes no new orders")]
    Settling,
    /// Program or inputs too large.
    #[error("[P-ADM-017] {what} of {bytes} bytes; at most {limit} are accepted")]
    TooLarge {
        /// What.
        what: String,
        /// Sent.
        bytes: u64,
        /// Limit.
        limit: u64,
    },
    /// Accepted, but this host could not run it. Not a result.
    #[error("[P-RUN-001] this host could not run it: {0}")]
    Attempt(String),
    /// The messages of another version.
    #[error("[P-SES-001] wire version {0} is not spoken here")]
    Version(u16),
    /// A message before `Hello`, or about another deal.
    #[error("[P-SES-002] say hello for this deal first")]
    NoHello,
    /// More signatures than are checked for one deal in a second.
    #[error("[P-SES-003] too many signed messages for this deal: wait a second")]
    Busy,
    /// The voucher is not signed by the requester's key of the deal.
    #[error("[P-PAY-001] voucher not signed by the deal's requester key")]
    VoucherSignature,
    /// Over the budget.
    #[error("[P-PAY-002] voucher of {amount} is over the budget of {budget}")]
    VoucherOverBudget {
        /// Offered.
        amount: u128,
        /// Most.
        budget: u128,
    },
    /// Its watermark settles orders that the amount does not pay.
    #[error("[P-PAY-003] voucher of {amount} settles orders that cost {owed}")]
    Underpays {
        /// Offered.
        amount: u128,
        /// Owed.
        owed: u128,
    },
    /// Its watermark settles an order that is not done or was never sent.
    #[error("[P-PAY-004] voucher settles orders below {orders}, which are not all done")]
    Watermark {
        /// Offered.
        orders: u64,
    },
    /// A deal ended with work unpaid. Not sent: counted.
    #[error("[P-PAY-006] a deal ended with {amount} delivered and unpaid")]
    Unpaid {
        /// Base units.
        amount: u128,
    },
    /// A release for less than is owed.
    #[error("[P-PAY-005] release at {amount} refused: {owed} is owed")]
    ReleaseUnderpays {
        /// Offered.
        amount: u128,
        /// Owed.
        owed: u128,
    },
    /// A release while something promised is neither done nor cancelled: it could still be called late.
    #[error(
        "[P-PAY-007] release refused: order {order} was accepted and is neither done nor cancelled with the requester's signature"
    )]
    ReleaseOwes {
        /// Struct hash of the order.
        order: OrderId,
    },
    /// More rejections than the deal has paid for. Not sent: counted.
    #[error("[P-PAY-008] task not run again: rejected tasks would cost {cost}, and the deal has paid {paid}")]
    RerunUnpaid {
        /// Running them again, the dearest one for free, base units.
        cost: u128,
        /// By voucher, base units.
        paid: u128,
    },
    /// The deal has taken more preparing than it has paid for.
    #[error(
        "[P-ADM-019] fetching, checking and compiling for this deal took more than it has paid for: wait {seconds} s, or pay"
    )]
    Preparing {
        /// Until the next order is looked at.
        seconds: u64,
    },
}

impl Refusal {
    /// The stable code, such as `P-ADM-004`.
    pub fn code(&self) -> String {
        let text = self.to_string();
        text.split(']').next().unwrap_or_default().trim_start_matches('[').to_string()
    }

    /// The message without its code, at most [`MAX_DETAIL_BYTES`](rialto_protocol::wire::MAX_DETAIL_BYTES).
    pub fn detail(&self) -> String {
        let text = self.to_string();
        let detail = text.split_once("] ").map_or(text.as_str(), |(_, detail)| detail);
        let mut end = detail.len().min(rialto_protocol::wire::MAX_DETAIL_BYTES);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        detail[..end].to_string()
    }
}
