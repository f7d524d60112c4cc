//! Every answer that programs get: what the command line prints with `--output json`.
//!
//! `crates/client/schemas/` has a JSON schema of each, one file each; a test
//! keeps them fresh (`view/schema.rs`). Addresses and hashes are hex texts. Money is in base units:
//! an integer of up to 128 bits, which is a text where [`Decimal`] says so.

mod bench;
mod deals;
mod demo;
mod disputes;
mod jobs;
mod market;
mod program;
#[cfg(test)]
pub(crate) mod schema;
mod selling;
mod setup;
mod transaction;

use rialto_protocol::{Address, AskId, B256, DealId, GameId, OrderId, ReceiptId};
use serde::Serialize;

pub use bench::{
    BenchCompare, BenchExec, BenchIdle, BenchJob, BenchLatency, BenchMatch, BenchNet, BenchOther,
    BenchSpread, BenchTasks, BenchTransfer, Kernel, KernelMeans, OwnRate,
};
pub use deals::{
    Books, BooksLine, BooksWritten, Case, CloseStep, Deal, DealClosed, DealList, MostLost,
};
pub use demo::{
    Cheater, DemoDispute, DemoGas, DemoGrief, DemoKept, DemoPeer, DemoProvider, DemoReport, Exact,
    FalseTile, GasOfCall,
};
pub use disputes::{Accused, Answered, Convicted, Delegated, Game, GameList, GameShown, GameTurn};
pub use jobs::{
    BundleChecked, Forgiven, HostStopped, Job, JobCancelled, JobChecks, JobEnded, JobList, JobPlan,
    JobProvider, JobQuote, JobRemoved, JobReport, JobResults, JobResumed, JobShown, JobStoryLine,
    JobUnderWay, KnownProvider, KnownProviders, Transaction,
};
pub use market::{Market, MarketDown, MarketUp};
pub use program::{
    Pages, ProgramCheck, ProgramFile, ProgramRun, Replay, ReplayStep, ReplaySteps, ReplayedResult,
    StepProof, StepTouch, Trial, WrittenProof,
};
pub use selling::{
    Announcement, Appointment, DrainAnswer, MissedEvents, MostLostSelling, Prospect,
    ProviderStatus, Range, SellingEnded, SellingPlan, SellingStarted, SellingWarning, State,
    WatchStarted,
};
pub use setup::{
    AccountList, AccountMade, Balance, Check, CheckState, Completions, ConfigPath, ConfigShown,
    Diagnosis, Failure, ManualPage, ManualPages, Minted, Moved, Written,
};
pub use transaction::{
    DeployPlan, Deployed, Plan, PlannedTransaction, ShortWindow, TransactionPlan,
};

/// An address as hex text, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Account(pub Address);

/// 32 bytes as hex text: a hash or an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Hash(pub B256);

/// An amount as a decimal text: base units, wei or fuel, of up to 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(pub u128);

impl From<Address> for Account {
    fn from(address: Address) -> Self {
        Self(address)
    }
}

macro_rules! hashes {
    ($($name:ty),*) => { $(
        impl From<$name> for Hash {
            fn from(hash: $name) -> Self {
                Self(hash.into())
            }
        }
    )* };
}

hashes!(B256, AskId, DealId, OrderId, ReceiptId, GameId);

impl From<u128> for Decimal {
    fn from(amount: u128) -> Self {
        Self(amount)
    }
}

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}
