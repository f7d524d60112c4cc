//! Deterministic simulator: the very cores that the provider and the requester ship, under a fake clock, network, disk
//! and chain, all driven by one seed, which draws the options of the run too.
//!
//! A run has two phases. While there are faults (crashes between any two effects, lost sessions, partitions, reorgs,
//! hosts that fail, gossip that gets lost) nothing may happen that costs an honest side money. Then faults end, hostile
//! participants stay hostile, and everything has to come to its end: every job is reported, every deal closed.
//!
//! | module | knows |
//! |---|---|
//! | [`options`] | what a run is like |
//! | [`random`], [`schedule`] | chance and time |
//! | [`ledger`] | both contracts, by the reference model, and what they say in the words of either core |
//! | [`chain`] | blocks around them, senders with intents, reorgs |
//! | [`network`] | sessions, and how they break |
//! | [`compute`] | the program that all tasks run, its steps, and lies about it |
//! | [`desk`], [`purse`] | what the services translate, in a few lines |
//! | [`seller`], [`buyer`] | the cores with their disks |
//! | [`world`] | what happens when, faults included |
//! | [`check`], [`verdict`] | what must never happen, and what must be true in the end |
//! | [`mod@search`] | one honest side against a strategist: the search for counterexamples to docs/threat-model.md |
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

/// A run that broke no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Hash of everything that was written, sent and mined.
    pub fingerprint: u64,
    /// How often what happened.
    pub coverage: BTreeMap<&'static str, u64>,
    /// How long it took, simulated seconds.
    pub seconds: u64,
}

/// Runs a seed; fails with the rule that was broken.
pub fn run(seed: u64) -> Result<Run, String> {
    let mut world = World::new(seed, false);
    world.run().map_err(|broken| format!("at second {}: {broken}", world.schedule.now() / 1000))?;
    let seconds = world.schedule.now() / 1000;
    Ok(Run { fingerprint: world.fingerprint(), coverage: world.coverage, seconds })
}
