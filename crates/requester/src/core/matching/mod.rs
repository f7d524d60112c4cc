//! Matching: the set of offers that does a job at the least total cost under its constraints, and,
//! for every offer left out, the constraint that left it out. Pure: asked before anything is spent.
//!
//! | module | knows |
//! |---|---|
//! | `screen` | whether one offer passes a job's constraints, and in which order offers are taken |
//! | `index` | how to visit a book's offers in that order without looking at all of them |
//! | `choose` | how many of them to take, and how the budget is split |
//! | `why` | how to say it |
//!
//! [`plan`] asks the index and stops when it has what it needs; [`explain`] looks at every offer,
//! finds the same plan, and says why the others are not in it.

mod choose;
pub(super) mod index;
mod screen;
#[cfg(test)]
mod tests;
mod why;

use std::collections::BTreeMap;

use rialto_protocol::Address;

use super::book::{Book, Offer};
use choose::{Left, settle};
pub(super) use screen::suits;
use screen::{Candidate, screen};
pub use screen::{opening_time, promise_seconds, speed, working_seconds};
pub use why::{Excluded, Limit, NoMatch, Why};

/// A task of unknown fuel is assumed to use this part of its limit.
pub(super) const UNKNOWN_FUEL_PART: u64 = 10;

/// What is left to buy.
#[derive(Clone, Debug)]
pub struct Need {
    /// Tasks to place.
    pub tasks: u64,
    /// Distinct providers per task.
    pub replicas: u32,
    /// Fuel one task is expected to use. Where it is unknown nobody is excluded for being slow, and
    /// estimates assume a tenth of the limit.
    pub expected_fuel: Option<u64>,
    /// Fuel limit of one task; for money that has to be there.
    pub fuel_limit: u64,
    /// Memory limit of one task, pages.
    pub max_pages: u32,
    /// Output limit of one task, bytes.
    pub out_limit: u64,
    /// What an order carries.
    pub load: Load,
    /// Most that may be locked in new deals, base units.
    pub budget: u128,
    /// Highest price, base units per Tfuel.
    pub max_price: u128,
    /// Unix seconds by which the work must be done.
    pub deadline: u64,
    /// Smallest collateral, in 1/10_000 of a deal's budget.
    pub min_collateral_bps: u32,
    /// Fewest providers wanted (for speed and fail-over), where there are as many.
    pub min_providers: u32,
    /// Most providers.
    pub max_providers: u32,
    /// Whether a court of unknown code will do, because nothing is taken to court.
    pub any_court: bool,
    /// Providers not to use, and why.
    pub excluded: BTreeMap<Address, Why>,
}

/// The smallest order that is of use: what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Tasks.
    pub tasks: u32,
    /// Their own inputs, bytes.
    pub inputs: u64,
    /// Program, bytes.
    pub program: u64,
    /// Shared input, bytes.
    pub shared: u64,
}

impl Need {
    /// Fuel of one task, for estimates.
    pub(super) fn fuel(&self) -> u64 {
        self.expected_fuel
            .unwrap_or(self.fuel_limit / UNKNOWN_FUEL_PART)
            .clamp(1, self.fuel_limit.max(1))
    }
}

/// An offer taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The offer.
    pub offer: Offer,
    /// Price now, base units per Tfuel.
    pub price: u128,
    /// Budget to lock, base units.
    pub budget: u128,
    /// Length of the deal, seconds.
    pub seconds: u32,
    /// Task runs expected to land here.
    pub share: u64,
}

/// What a job would cost, before anything is spent.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Plan {
    /// Deals to open, cheapest first.
    pub deals: Vec<Planned>,
    /// Every other offer with its reason; none where nobody asked for reasons.
    pub excluded: Vec<Excluded>,
    /// Expected cost, base units.
    pub cost: u128,
    /// Money locked while the job runs, base units. What is not earned comes back.
    pub locked: u128,
    /// Expected time, seconds.
    pub seconds: u64,
}

/// Finds the cheapest set of distinct providers that does `need` in time, or says that there is
/// none; reasons are [`explain`]'s. Visits the book's offers cheapest first, and no more of them
/// than decide.
///
/// Costs are linear in task runs, so taking offers by unit cost until time suffices is the least
/// total cost; `min_providers` then only adds the next cheapest. Offers heard twice count once.
pub fn plan(now: u64, book: &Book, need: &Need) -> Result<Plan, NoMatch> {
    if book.is_empty() {
        return Err(NoMatch::NoAsks);
    }
    settle(book.ascending(now, need), need, &mut Left::Unasked)
}

/// The plan that [`plan`] finds, by looking at every offer; reasons are [`explain`]'s.
pub fn scan<'a>(
    now: u64,
    offers: impl IntoIterator<Item = &'a Offer>,
    need: &Need,
) -> Result<Plan, NoMatch> {
    look_at_all(now, offers, need, &mut Left::Unasked)
}

/// The plan that [`plan`] finds, and why every other offer is not in it.
pub fn explain<'a>(
    now: u64,
    offers: impl IntoIterator<Item = &'a Offer>,
    need: &Need,
) -> Result<Plan, NoMatch> {
    let mut excluded = Vec::new();
    match look_at_all(now, offers, need, &mut Left::Told(&mut excluded)) {
        Ok(plan) => Ok(Plan { excluded, ..plan }),
        Err(why) => Err(why.because(excluded)),
    }
}

fn look_at_all<'a>(
    now: u64,
    offers: impl IntoIterator<Item = &'a Offer>,
    need: &Need,
    left: &mut Left,
) -> Result<Plan, NoMatch> {
    let mut candidates = Vec::new();
    let mut seen = false;
    for offer in offers {
        seen = true;
        match screen(now, offer, need) {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => left.out(offer, why),
        }
    }
    if !seen {
        return Err(NoMatch::NoAsks);
    }
    candidates.sort_by_key(Candidate::rank);
    settle(candidates.into_iter(), need, left)
}
