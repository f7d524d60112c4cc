//! Refusals: the reasons for which a provider does not accept a message. Each has a stable code,
//! which is sent to the requester.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ids::OrderId, wire::MAX_DETAIL_BYTES};

/// What the requester can do after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Send a smaller order.
    Size,
    /// Use another deal with the same provider.
    ThisDeal,
    /// Try again later.
    Passing,
    /// Nothing: this provider never accepts such orders.
    ForGood,
}

macro_rules! codes {
    ($($name:ident $code:literal $class:ident,)*) => {
        /// Code of a refusal, without its details.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum RefusalCode {
            $(#[doc = concat!("`", $code, "`: see [`Refusal`].")] $name,)*
            /// A code that this build does not know.
            Other(String),
        }

        impl RefusalCode {
            /// Returns the stable code, such as `P-ADM-004`.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $code,)*
                    Self::Other(code) => code,
                }
            }

            /// Returns what the requester can do. An unknown refusal may pass with time.
            pub fn class(&self) -> Class {
                match self {
                    $(Self::$name => Class::$class,)*
                    Self::Other(_) => Class::Passing,
                }
            }
        }

        impl From<&str> for RefusalCode {
            fn from(code: &str) -> Self {
                match code {
                    $($code => Self::$name,)*
                    // Accept only codes of providers. A peer could otherwise imitate an error of
                    // another component.
                    other if other.starts_with("P-") => Self::Other(other.to_owned()),
                    _ => Self::Other(NO_CODE.to_owned()),
                }
            }
        }

        impl Refusal {
            /// Returns the code of the refusal.
            pub fn code(&self) -> RefusalCode {
                match self {
                    $(Self::$name { .. } => RefusalCode::$name,)*
                }
            }
        }
    };
}

/// Code in place of one that is not a provider's.
const NO_CODE: &str = "P-000";

codes! {
    UnknownDeal "P-ADM-001" ForGood,
    BadSignature "P-ADM-002" ForGood,
    WrongSeq "P-ADM-003" Passing,
    OverBudget "P-ADM-004" Size,
    CreditWindow "P-ADM-005" Size,
    TaskCount "P-ADM-006" Size,
    FuelLimit "P-ADM-007" ForGood,
    MemoryLimit "P-ADM-008" ForGood,
    OutputLimit "P-ADM-009" ForGood,
    DueBy "P-ADM-010" Size,
    DealExpires "P-ADM-011" ThisDeal,
    QueueFull "P-ADM-012" Passing,
    Draining "P-ADM-013" ThisDeal,
    Inputs "P-ADM-014" Passing,
    Program "P-ADM-015" Passing,
    Settling "P-ADM-016" ThisDeal,
    TooLarge "P-ADM-017" Size,
    Preparing "P-ADM-019" Passing,
    Attempt "P-RUN-001" Passing,
    Version "P-SES-001" Passing,
    NoHello "P-SES-002" Passing,
    Busy "P-SES-003" Passing,
    VoucherSignature "P-PAY-001" Passing,
    VoucherOverBudget "P-PAY-002" Passing,
    Underpays "P-PAY-003" Passing,
    Watermark "P-PAY-004" Passing,
    ReleaseUnderpays "P-PAY-005" Passing,
    Unpaid "P-PAY-006" Passing,
    ReleaseOwes "P-PAY-007" Passing,
    RerunUnpaid "P-PAY-008" Passing,
}

impl From<String> for RefusalCode {
    fn from(code: String) -> Self {
        Self::from(code.as_str())
    }
}

impl From<RefusalCode> for String {
    fn from(code: RefusalCode) -> Self {
        code.as_str().to_owned()
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One refusal with its details, for the requester and for the provider's owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// This provider has no open deal with that id.
    #[error("[P-ADM-001] no open deal of this provider has that id")]
    UnknownDeal,
    /// The message is not signed by the deal's requester key.
    #[error("[P-ADM-002] not signed by the deal's requester key")]
    BadSignature,
    /// The sequence number is not the next free one.
    #[error("[P-ADM-003] sequence number {got}, expected {expected}")]
    WrongSeq {
        /// Sent.
        got: u64,
        /// Next.
        expected: u64,
    },
    /// At its fuel limit the order may cost more than the rest of the budget.
    #[error("[P-ADM-004] may cost {cost}, but {left} is left of the budget")]
    OverBudget {
        /// Most it can cost.
        cost: u128,
        /// Budget left.
        left: u128,
    },
    /// The deal has too much unpaid work.
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
    /// The order has no tasks, or too many.
    #[error("[P-ADM-006] {tasks} tasks; 1 to {limit} are accepted")]
    TaskCount {
        /// Sent.
        tasks: u32,
        /// Limit.
        limit: u32,
    },
    /// The fuel limit is too high, or zero.
    #[error("[P-ADM-007] fuel limit {fuel}; 1 to {limit} is accepted")]
    FuelLimit {
        /// Sent.
        fuel: u64,
        /// Limit.
        limit: u64,
    },
    /// The memory limit is too high.
    #[error("[P-ADM-008] {pages} pages of memory; at most {limit} are accepted")]
    MemoryLimit {
        /// Sent.
        pages: u32,
        /// Limit.
        limit: u32,
    },
    /// The output limit is too high.
    #[error("[P-ADM-009] {bytes} bytes of output; at most {limit} are accepted")]
    OutputLimit {
        /// Sent.
        bytes: u64,
        /// Limit.
        limit: u64,
    },
    /// The provider does not expect to finish in time.
    #[error(
        "[P-ADM-010] due in {due_seconds} s, but expected to take {expected_seconds} s from now"
    )]
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
    /// The queue is full.
    #[error("[P-ADM-012] {waiting} orders are waiting already: try later")]
    QueueFull {
        /// Waiting.
        waiting: usize,
    },
    /// The provider is being shut down.
    #[error("[P-ADM-013] this provider is stopping and takes no new orders")]
    Draining,
    /// The inputs did not arrive, or do not match the order.
    #[error("[P-ADM-014] inputs: {0}")]
    Inputs(String),
    /// The program did not arrive, does not match the order, or cannot be run.
    #[error("[P-ADM-015] program: {0}")]
    Program(String),
    /// The deal is being closed, or a case is open.
    #[error("[P-ADM-016] the deal is being settled and takes no new orders")]
    Settling,
    /// The program or the inputs are too large.
    #[error("[P-ADM-017] {what} of {bytes} bytes; at most {limit} are accepted")]
    TooLarge {
        /// What.
        what: String,
        /// Sent.
        bytes: u64,
        /// Limit.
        limit: u64,
    },
    /// The order was accepted, but this host could not run it. This is not a result.
    #[error("[P-RUN-001] this host could not run it: {0}")]
    Attempt(String),
    /// The peer uses another version of the messages.
    #[error("[P-SES-001] wire version {0} is not spoken here")]
    Version(u16),
    /// The message came before `Hello`, or is about another deal.
    #[error("[P-SES-002] say hello for this deal first")]
    NoHello,
    /// The deal sent more signatures in a second than the provider checks.
    #[error("[P-SES-003] too many signed messages for this deal: wait a second")]
    Busy,
    /// The voucher is not signed by the requester's key of the deal.
    #[error("[P-PAY-001] voucher not signed by the deal's requester key")]
    VoucherSignature,
    /// The voucher is over the deal's budget.
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
    /// A deal ended with unpaid work. It is only counted, not sent.
    #[error("[P-PAY-006] a deal ended with {amount} delivered and unpaid")]
    Unpaid {
        /// Base units.
        amount: u128,
    },
    /// The requested release is for less than is owed.
    #[error("[P-PAY-005] release at {amount} refused: {owed} is owed")]
    ReleaseUnderpays {
        /// Offered.
        amount: u128,
        /// Owed.
        owed: u128,
    },
    /// An acked order is neither done nor cancelled, so that the requester could still send a late
    /// notice after a release.
    #[error(
        "[P-PAY-007] release refused: order {order} was accepted and is neither done nor cancelled with the requester's signature"
    )]
    ReleaseOwes {
        /// Struct hash of the order.
        order: OrderId,
    },
    /// There are more rejections than the deal has paid for. It is only counted, not sent.
    #[error(
        "[P-PAY-008] task not run again: rejected tasks would cost {cost}, and the deal has paid {paid}"
    )]
    RerunUnpaid {
        /// Cost of all re-runs except the most expensive one, base units.
        cost: u128,
        /// Sum paid by voucher, base units.
        paid: u128,
    },
    /// Preparing programs and inputs for this deal took more time than the deal has paid for.
    #[error(
        "[P-ADM-019] fetching, checking and compiling for this deal took more than it has paid for: wait {seconds} s, or pay"
    )]
    Preparing {
        /// Seconds until the provider considers another order.
        seconds: u64,
    },
}

impl Refusal {
    /// Returns the message without its code, cut to [`MAX_DETAIL_BYTES`].
    pub fn detail(&self) -> String {
        let text = self.to_string();
        let detail = text.split_once("] ").map_or(text.as_str(), |(_, detail)| detail);
        let mut end = detail.len().min(MAX_DETAIL_BYTES);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        detail[..end].to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_begins_with_its_code() {
        // As they stand above: `#[error("[P-…] …")]`, then the variant.
        let source = include_str!("refusal.rs").split("pub enum Refusal {").nth(1).unwrap();
        let variants = source.split("\n}\n").next().unwrap();
        let mut seen = 0;
        for text in variants.split("#[error(").skip(1) {
            let code = text.split_once('[').unwrap().1.split(']').next().unwrap();
            let name = text.split_once(")]").unwrap().1.trim_start();
            let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
            let known = RefusalCode::from(code);
            assert_eq!((format!("{known:?}"), known.as_str()), (name, code));
            seen += 1;
        }
        assert_eq!(seen, 30);
    }

    #[test]
    fn a_code_is_a_text_outside() {
        let code = RefusalCode::from("P-ADM-011");
        assert_eq!((&code, code.class()), (&RefusalCode::DealExpires, Class::ThisDeal));
        let bytes = postcard::to_stdvec(&code).unwrap();
        assert_eq!(bytes, postcard::to_stdvec("P-ADM-011").unwrap());
        assert_eq!(postcard::from_bytes::<RefusalCode>(&bytes), Ok(code));
        let new = RefusalCode::from("P-NEW-001");
        assert_eq!((new.as_str(), new.class()), ("P-NEW-001", Class::Passing));
        assert_eq!(RefusalCode::from("R-DEAL-001").as_str(), NO_CODE);
    }
}
