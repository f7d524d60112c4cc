//! EVM client of the market: contract bindings, one sender per key, and a stream of events that
//! follows reorgs.
//!
//! | module | content |
//! |---|---|
//! | `rpc` | one endpoint, in process or over HTTP: timeouts, retries, bounds |
//! | `chain` | [`Chain`]: a market's state, signatures (ERC-1271 too), permits |
//! | `asks` | [`AskStanding`]: state of an ask on chain |
//! | `court` | [`Court`]: a court's rules and disputes |
//! | `call`, `court_call` | [`MarketCall`], [`CourtCall`]: the transactions that can be sent |
//! | `sender`, `worker`, `flight`, `journal`, `tx` | [`Sender`]: persists intents before it broadcasts them, and watches them until final |
//! | `follow`, `event`, `court_event` | [`EventBatch`]: events of the market and its courts, added and removed |
//! | `clock` | [`Clock`]: this machine's time, or the chain's if that is ahead |
//! | `contract_error` | [`ContractError`]: why a contract refused a call, and what to do |
//! | `deploy` | [`deploy()`]: deploys the committed artifacts |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod asks;
mod call;
mod chain;
mod clock;
mod contract_error;
mod convert;
mod court;
mod court_call;
mod court_event;
mod deploy;
mod error;
mod eth;
mod event;
mod flight;
mod follow;
mod games;
mod journal;
mod known;
mod link;
mod rpc;
mod sender;
mod tx;
mod worker;

pub mod bindings;

pub use alloy_signer_local::PrivateKeySigner;
pub use asks::AskStanding;
pub use bindings::{CaseStatus, DealStatus};
pub use call::{MarketCall, OpenArgs, RevealArgs};
pub use chain::{CaseState, Chain, ChainConfig, DealState, Head, Windows};
pub use clock::Clock;
pub use contract_error::{ContractError, CourtError, MarketError, StepUnitError};
pub use court::{Court, CourtRules, GameStage, GameStanding, segment_hash};
pub use court_call::{CourtCall, MoveArgs, Signed, StepArgs, WrongFuelArgs, WrongSumArgs};
pub use deploy::{
    DeployParams, DeployQuote, Deployed, chain_id, deploy, deploy_by, deploy_court,
    quote_deployment,
};
pub use error::{ChainError, RpcFault, SendError};
pub use event::{FromLog, LogMeta};
pub use follow::{Courts, EventBatch, EventStream};
pub use games::Games;
pub use journal::Mined;
pub use known::{CourtArtifacts, CourtCode, KnownCourts};
pub use rialto_protocol::court::{Segment, Verdict};
pub use rialto_protocol::event::{
    Accused, CaseOutcome, Challenged, CourtEvent, Ending, GameEnd, MarketEvent, Moved,
};
pub use rialto_protocol::fault::Fault;
pub use rialto_protocol::model::Terms;
pub use rpc::{LocalRpc, Rpc};
pub use sender::Sender;
