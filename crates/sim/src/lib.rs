//! Deterministic simulator of the market. It runs the cores that the provider and the requester
//! ship, with a simulated clock, network, disk and chain. One seed determines the whole run,
//! including its options.
//!
//! A run has two phases. In the first phase there are faults: crashes between any two effects, lost
//! sessions, partitions, reorgs, failing hosts and lost gossip. No fault may cost an honest side
//! money. In the second phase there are no more faults, but hostile participants stay hostile. By
//! its end, every job must be reported and every deal closed.
//!
//! | module | content |
//! |---|---|
//! | [`options`] | options of a run |
//! | [`random`], [`schedule`] | random numbers; simulated time |
//! | [`ledger`] | both contracts, from the reference model; their events as each core's facts |
//! | [`chain`] | blocks, senders with intents, reorgs |
//! | [`network`] | sessions and their failures |
//! | [`compute`] | the program that all tasks run, its steps, and falsified results |
//! | [`desk`], [`purse`] | stand-ins for the translation that the services do |
//! | [`seller`], [`buyer`] | the cores with their disks and machines |
//! | [`world`] | the order of events, faults included |
//! | [`check`], [`verdict`] | invariants during a run, and conditions at its end |
//! | [`mod@search`] | search for counterexamples to docs/threat-model.md |
#![forbid(unsafe_code)]

pub mod buyer;
pub mod chain;
pub mod check;
pub mod compute;
pub mod desk;
pub mod ledger;
pub mod network;
pub mod options;
pub mod purse;
pub mod random;
pub mod schedule;
pub mod search;
pub mod seller;
pub mod verdict;
pub mod world;

use std::collections::BTreeMap;

use world::World;

/// Summary of a run that broke no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Hash of everything that was written, sent and mined, in order.
    pub fingerprint: u64,
    /// Number of occurrences of each kind of event.
    pub coverage: BTreeMap<&'static str, u64>,
    /// Length of the run in simulated seconds.
    pub seconds: u64,
}

/// Runs the simulation of a seed.
///
/// # Errors
/// Describes the first rule that the run broke.
pub fn run(seed: u64) -> Result<Run, String> {
    let mut world = World::new(seed, false);
    world.run().map_err(|broken| format!("at second {}: {broken}", world.schedule.now() / 1000))?;
    let seconds = world.schedule.now() / 1000;
    Ok(Run { fingerprint: world.fingerprint(), coverage: world.coverage, seconds })
}
