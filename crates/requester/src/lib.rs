//! Buys compute: matching, ordering, verifying, paying.
//!
//! [`core`] decides, without IO: plain data and `handle(now, event) -> effects`. [`service`]
//! performs the effects with the chain, the network and this machine's engine, and keeps the
//! journal.
//!
//! ```no_run
//! # async fn example(config: rialto_requester::RequesterConfig, chain: rialto_chain::Chain, node: rialto_net::Node,
//! #     executor: std::sync::Arc<dyn rialto_exec::Executor>, wasm: bytes::Bytes, inputs: Vec<bytes::Bytes>) -> Result<(), Box<dyn std::error::Error>> {
//! use rialto_requester::{Job, Policy, Requester};
//!
//! let requester = Requester::start(config, chain, node, executor).await?;
//! let job = Job { policy: Policy::Replicate { n: 2 }, ..Job::new(wasm, inputs) };
//! let handle = requester.submit(job).await?;
//! let mut events = handle.events();
//! while let Some(event) = events.next().await {
//!     // tell the story
//! #   let _ = event;
//! }
//! let report = handle.wait().await?;
//! # let _ = report;
//! # Ok(()) }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![forbid(unsafe_code)]

pub mod core;
pub mod service;

pub use core::{
    Accusable, BadPolicy, Checks, Dispute, Excluded, Exposure, History, JobError, JobEvent, JobId,
    JobPhase, JobStatus, MAX_JOB_TASKS, NoMatch, Outcome, Patience, Plan, Policy, PolicyQuote,
    Price, Progress, ProviderReport, ProviderStatus, TxNote, Why, WrongTask, detection_probability,
    price_of,
};
pub use service::{
    Content, Evidence, Job, JobContent, JobEvents, JobHandle, JobReport, OrderEvidence, Output,
    Requester, RequesterConfig, RequesterError, TaskOutcome, read_content, read_report,
    read_status,
};
