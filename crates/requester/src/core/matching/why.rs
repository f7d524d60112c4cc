//! Why an offer was left out, and why no set of offers does a job: said to people, and coded for
//! machines.

use std::{collections::BTreeSet, fmt};

use rialto_protocol::{Address, AskId, B256};
use serde::{Deserialize, Serialize};

use crate::core::book::Offer;

/// The constraint that kept an offer out. `Display` says it for people, [`Why::code`] for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Why {
    /// Its window has not begun or has ended.
    Window { from: u64, to: u64 },
    /// Dearer than the job allows.
    Price { price: u128, max: u128 },
    /// Too little memory per task.
    Memory { bytes: u64, needed: u64 },
    /// Too little collateral.
    Collateral { bps: u32, needed: u32 },
    /// Its longest deal is shorter than its share of the work takes.
    TooShort { seconds: u64, needed: u64 },
    /// Too slow to finish a single task before the deadline.
    TooSlow { seconds: u64, left: u64 },
    /// The budget does not reach its smallest deal, or one task at the fuel limit.
    Budget { needed: u128, available: u128 },
    /// Its free deposit cannot cover the collateral.
    Deposit { deposit: u128, needed: u128 },
    /// Named in the job's exclusion list.
    Listed,
    /// Gave a wrong result to this job, or to one before.
    Cheated,
    /// Stalled, refused or broke the protocol in this job.
    Unreliable,
    /// Is stopping, and takes no new orders for now.
    Draining,
    /// The market refused to open it.
    OpenFailed { reason: String },
    /// Same owner (account or endpoint) as an offer that was taken.
    SameOwner,
    /// Fits, but others do the job for less.
    NotNeeded,
    /// Its deals are judged by a court of unknown code.
    Court { court: Address },
    /// A deal that is open with it gets no answer.
    Unreachable,
    /// It runs something else.
    Runtime { runtime: B256 },
    /// It names no key to sign with.
    NoKey,
    /// What it accepts in one order is too small for the job.
    Limit { limit: Limit, offered: u128, needed: u128 },
}

/// What an ask limits an order by (`Ask.limits`), besides memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// Fuel of a task.
    Fuel,
    /// Output of a task, bytes.
    Output,
    /// Output of an order, bytes.
    OrderOutput,
    /// Program, bytes.
    Program,
    /// Inputs of an order, bytes.
    Inputs,
    /// Shared input, bytes.
    Shared,
    /// Tasks of an order.
    Tasks,
    /// Unfinished orders of a deal.
    Orders,
    /// Unpaid work of a deal, base units.
    Credit,
}

impl Limit {
    /// Stable code.
    fn code(self) -> &'static str {
        match self {
            Self::Fuel => "R-MAT-020",
            Self::Output => "R-MAT-021",
            Self::OrderOutput => "R-MAT-022",
            Self::Program => "R-MAT-023",
            Self::Inputs => "R-MAT-024",
            Self::Shared => "R-MAT-025",
            Self::Tasks => "R-MAT-026",
            Self::Orders => "R-MAT-027",
            Self::Credit => "R-MAT-028",
        }
    }

    fn advice(self) -> Option<&'static str> {
        match self {
            Self::Fuel => Some("lower the fuel limit"),
            Self::Output | Self::OrderOutput => Some("lower the output limit"),
            Self::Program => Some("make the program smaller"),
            Self::Inputs => Some("make the tasks' inputs smaller"),
            Self::Shared => Some("make the shared input smaller"),
            Self::Tasks | Self::Orders => None,
            Self::Credit => Some("lower the fuel limit"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fuel => "fuel of a task",
            Self::Output => "bytes of output of a task",
            Self::OrderOutput => "bytes of output of an order",
            Self::Program => "bytes of program",
            Self::Inputs => "bytes of an order's inputs",
            Self::Shared => "bytes of shared input",
            Self::Tasks => "tasks of an order",
            Self::Orders => "unfinished orders",
            Self::Credit => "unpaid base units",
        })
    }
}

impl Why {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Window { .. } => "R-MAT-001",
            Self::Price { .. } => "R-MAT-002",
            Self::Memory { .. } => "R-MAT-003",
            Self::Collateral { .. } => "R-MAT-004",
            Self::TooShort { .. } => "R-MAT-005",
            Self::TooSlow { .. } => "R-MAT-006",
            Self::Budget { .. } => "R-MAT-007",
            Self::Deposit { .. } => "R-MAT-008",
            Self::Listed => "R-MAT-009",
            Self::Cheated => "R-MAT-010",
            Self::Unreliable => "R-MAT-011",
            Self::OpenFailed { .. } => "R-MAT-012",
            Self::SameOwner => "R-MAT-013",
            Self::NotNeeded => "R-MAT-014",
            Self::Draining => "R-MAT-015",
            Self::Court { .. } => "R-MAT-016",
            Self::Unreachable => "R-MAT-017",
            Self::Runtime { .. } => "R-MAT-018",
            Self::NoKey => "R-MAT-019",
            Self::Limit { limit, .. } => limit.code(),
        }
    }

    /// What a user can change to let the offer in, if anything.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Price { .. } => Some("raise the maximum price"),
            Self::Memory { .. } => Some("lower the memory limit"),
            Self::Collateral { .. } => Some("lower the minimum collateral"),
            Self::TooShort { .. } => Some("split the job"),
            Self::TooSlow { .. } => Some("move the deadline, or lower the fuel limit"),
            Self::Budget { .. } => Some("raise the budget, or lower the fuel limit"),
            Self::Unreachable => Some("wait until it can be reached, or for another provider"),
            Self::Limit { limit, .. } => limit.advice(),
            _ => None,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] ", self.code())?;
        match self {
            Self::Window { from, to } => write!(f, "valid from {from} to {to} only"),
            Self::Price { price, max } => {
                write!(f, "price {price} per Tfuel is over the maximum of {max}")
            }
            Self::Memory { bytes, needed } => {
                write!(f, "offers {bytes} bytes of memory per task, {needed} needed")
            }
            Self::Collateral { bps, needed } => {
                write!(
                    f,
                    "collateral of {bps}/10000 of the budget is under the minimum of {needed}/10000"
                )
            }
            Self::TooShort { seconds, needed } => {
                write!(f, "deals last {seconds} s at most, {needed} s needed")
            }
            Self::TooSlow { seconds, left } => {
                write!(f, "one task takes it {seconds} s, {left} s are left")
            }
            Self::Budget { needed, available } => {
                write!(f, "needs a budget of {needed}, {available} available")
            }
            Self::Deposit { deposit, needed } => {
                write!(f, "deposit {deposit} does not cover a collateral of {needed}")
            }
            Self::Listed => write!(f, "excluded by the job"),
            Self::Cheated => write!(f, "gave a wrong result to this job, or to one before"),
            Self::Unreliable => write!(f, "stalled, refused or broke the protocol in this job"),
            Self::Draining => write!(f, "is stopping and takes no new orders for now"),
            Self::Unreachable => {
                write!(f, "cannot be reached now: it is dialled again every few seconds")
            }
            Self::OpenFailed { reason } => write!(f, "the market refused the deal: {reason}"),
            Self::SameOwner => write!(f, "same owner as another offer"),
            Self::NotNeeded => write!(f, "not needed: others do it for less"),
            Self::Runtime { runtime } => {
                let name =
                    runtime.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte));
                write!(
                    f,
                    "runs {}, not wasm/3",
                    name.flat_map(char::escape_default).collect::<String>()
                )
            }
            Self::NoKey => write!(f, "its offer names no key to sign receipts with"),
            Self::Limit { limit, offered, needed } => {
                write!(f, "takes {offered} {limit} at most, {needed} needed")
            }
            Self::Court { court } => {
                write!(f, "its deals are judged by {court}, which is no court of known code")
            }
        }
    }
}

/// An offer left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// Its provider.
    pub provider: Address,
    /// The ask's name.
    pub ask: AskId,
    /// The constraint.
    pub why: Why,
}

/// Why no set of offers does the job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum NoMatch {
    /// Nobody offers anything.
    #[error("[R-JOB-010] no asks heard: is a provider running and reachable?")]
    NoAsks,
    /// Too few distinct providers pass the constraints.
    #[error("[R-JOB-011] {needed} distinct providers needed, {found} fit{}", advise(.excluded))]
    TooFew { needed: u32, found: u32, excluded: Vec<Excluded> },
    /// All that fit together are too slow.
    #[error("[R-JOB-012] the providers that fit do {capacity} of {needed} task runs before the deadline: move the deadline{}", advise(.excluded))]
    TooSlow { capacity: u64, needed: u64, excluded: Vec<Excluded> },
    /// The expected cost is over the budget.
    #[error("[R-JOB-013] expected cost {cost} is over the budget of {budget}: raise the budget{}", advise(.excluded))]
    TooDear { cost: u128, budget: u128, excluded: Vec<Excluded> },
}

impl NoMatch {
    /// Offers left out, with reasons; none where nobody asked for reasons.
    pub fn excluded(&self) -> &[Excluded] {
        match self {
            Self::NoAsks => &[],
            Self::TooFew { excluded, .. }
            | Self::TooSlow { excluded, .. }
            | Self::TooDear { excluded, .. } => excluded,
        }
    }
}

impl NoMatch {
    /// Whether waiting may help: new offers, cheaper ones. What the budget does not allow stays so.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NoAsks => true,
            Self::TooDear { .. } => false,
            Self::TooFew { excluded, .. } | Self::TooSlow { excluded, .. } => {
                excluded.is_empty()
                    || excluded.iter().any(|left| !matches!(left.why, Why::Budget { .. }))
            }
        }
    }

    /// The same with reasons.
    pub(super) fn because(self, excluded: Vec<Excluded>) -> Self {
        match self {
            Self::NoAsks => Self::NoAsks,
            Self::TooFew { needed, found, .. } => Self::TooFew { needed, found, excluded },
            Self::TooSlow { capacity, needed, .. } => Self::TooSlow { capacity, needed, excluded },
            Self::TooDear { cost, budget, .. } => Self::TooDear { cost, budget, excluded },
        }
    }
}

pub(super) fn leave_out(offer: &Offer, why: Why) -> Excluded {
    Excluded { provider: offer.provider(), ask: offer.name(), why }
}

fn advise(excluded: &[Excluded]) -> String {
    let advice: BTreeSet<_> =
        excluded.iter().filter_map(|e| e.why.advice().map(|a| (e.why.code(), a))).collect();
    advice.iter().map(|(code, advice)| format!("; {advice} ({code})")).collect()
}
