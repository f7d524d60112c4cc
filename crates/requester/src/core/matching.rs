//! Matching: the set of offers that does a job at the least total cost under its constraints, and,
//! for every offer left out, the constraint that left it out. Pure: asked before anything is spent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use rialto_protocol::{
    Address, B256,
    pricing::{fee, price_at, share},
};
use serde::{Deserialize, Serialize};

use super::book::Offer;

/// At most so much of a deal's end, seconds, is kept for settling: providers want to redeem an hour before expiry.
pub const MAX_TAIL_SECONDS: u64 = 5400;
/// A deal's budget is this many times its expected share of the work's worst case: faster providers do more.
const BUDGET_SLACK: u128 = 2;
/// A task of unknown fuel is assumed to use this part of its limit.
pub(super) const UNKNOWN_FUEL_PART: u64 = 10;
/// Bytes of a WebAssembly page.
const PAGE_BYTES: u64 = 1 << 16;

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
    /// Providers not to use, and why.
    pub excluded: BTreeMap<Address, Why>,
}

impl Need {
    /// Fuel of one task, for estimates.
    pub(super) fn fuel(&self) -> u64 {
        self.expected_fuel.unwrap_or(self.fuel_limit / UNKNOWN_FUEL_PART).clamp(1, self.fuel_limit.max(1))
    }
}

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
            _ => None,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] ", self.code())?;
        match self {
            Self::Window { from, to } => write!(f, "valid from {from} to {to} only"),
            Self::Price { price, max } => write!(f, "price {price} per Tfuel is over the maximum of {max}"),
            Self::Memory { bytes, needed } => write!(f, "offers {bytes} bytes of memory per task, {needed} needed"),
            Self::Collateral { bps, needed } => {
                write!(f, "collateral of {bps}/10000 of the budget is under the minimum of {needed}/10000")
            }
            Self::TooShort { seconds, needed } => write!(f, "deals last {seconds} s at most, {needed} s needed"),
            Self::TooSlow { seconds, left } => write!(f, "one task takes it {seconds} s, {left} s are left"),
            Self::Budget { needed, available } => write!(f, "needs a budget of {needed}, {available} available"),
            Self::Deposit { deposit, needed } => write!(f, "deposit {deposit} does not cover a collateral of {needed}"),
            Self::Listed => write!(f, "excluded by the job"),
            Self::Cheated => write!(f, "gave a wrong result to this job, or to one before"),
            Self::Unreliable => write!(f, "stalled, refused or broke the protocol in this job"),
            Self::Draining => write!(f, "is stopping and takes no new orders for now"),
            Self::OpenFailed { reason } => write!(f, "the market refused the deal: {reason}"),
            Self::SameOwner => write!(f, "same owner as another offer"),
            Self::NotNeeded => write!(f, "not needed: others do it for less"),
        }
    }
}

/// An offer left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// Its provider.
    pub provider: Address,
    /// The ask's name.
    pub ask: B256,
    /// The constraint.
    pub why: Why,
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
    /// Every other offer with its reason.
    pub excluded: Vec<Excluded>,
    /// Expected cost, base units.
    pub cost: u128,
    /// Money locked while the job runs, base units. What is not earned comes back.
    pub locked: u128,
    /// Expected time, seconds.
    pub seconds: u64,
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
    /// Offers left out, with reasons.
    pub fn excluded(&self) -> &[Excluded] {
        match self {
            Self::NoAsks => &[],
            Self::TooFew { excluded, .. } | Self::TooSlow { excluded, .. } | Self::TooDear { excluded, .. } => excluded,
        }
    }
}

fn advise(excluded: &[Excluded]) -> String {
    let advice: BTreeSet<_> = excluded.iter().filter_map(|e| e.why.advice().map(|a| (e.why.code(), a))).collect();
    advice.iter().map(|(code, advice)| format!("; {advice} ({code})")).collect()
}

/// An offer that passes every constraint, in numbers.
struct Candidate<'a> {
    offer: &'a Offer,
    price: u128,
    /// Expected fee of one task.
    unit: u128,
    /// Worst fee of one task.
    worst: u128,
    /// Tasks it can do before the deadline.
    capacity: u64,
    seconds: u32,
}

/// Finds the cheapest set of distinct providers that does `need` in time, or says why there is none.
///
/// Costs are linear in task runs, so taking offers by unit cost until time suffices is the least total
/// cost; `min_providers` then only adds the next cheapest. Offers heard twice count once.
pub fn plan<'a>(now: u64, offers: impl IntoIterator<Item = &'a Offer>, need: &Need) -> Result<Plan, NoMatch> {
    let mut excluded = Vec::new();
    let mut candidates = Vec::new();
    for offer in offers {
        match screen(now, offer, need) {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => excluded.push(leave_out(offer, why)),
        }
    }
    if candidates.is_empty() && excluded.is_empty() {
        return Err(NoMatch::NoAsks);
    }
    candidates.sort_by_key(|c| (c.unit, u64::MAX - speed(c.offer), c.offer.provider(), c.offer.ask.value.salt));
    let mut owners = BTreeSet::new();
    candidates.retain(|c| {
        let fresh = !owners.contains(&owner_of_account(c.offer)) && !owners.contains(&owner_of_endpoint(c.offer));
        if fresh {
            owners.extend([owner_of_account(c.offer), owner_of_endpoint(c.offer)]);
        } else {
            excluded.push(leave_out(c.offer, Why::SameOwner));
        }
        fresh
    });
    let mut taken = choose(candidates, need, &mut excluded)?;
    let plan = loop {
        match afford(&taken, need) {
            Ok(deals) => break deals,
            // The dearest goes first: with fewer deals the same budget reaches each one's minimum.
            Err(why) if taken.len() > need.replicas as usize => {
                let dearest = taken.pop().expect("there are more than replicas");
                excluded.push(leave_out(dearest.offer, why));
            }
            Err(why) => {
                excluded.extend(taken.iter().map(|c| leave_out(c.offer, why.clone())));
                return Err(NoMatch::TooFew { needed: need.replicas, found: 0, excluded });
            }
        }
    };
    let runs = need.tasks.saturating_mul(need.replicas.into());
    let cost = expected_cost(&taken, need.tasks, runs);
    if cost > need.budget {
        return Err(NoMatch::TooDear { cost, budget: need.budget, excluded });
    }
    let rate: u128 = taken.iter().map(|c| u128::from(speed(c.offer))).sum();
    let seconds = (u128::from(runs) * u128::from(need.fuel())).div_ceil(rate.max(1));
    let locked = plan.iter().map(|deal| deal.budget).sum();
    Ok(Plan { deals: plan, excluded, cost, locked, seconds: seconds.try_into().unwrap_or(u64::MAX) })
}

/// How much of a deal's length may be worked in: the last third of it, at most
/// [`MAX_TAIL_SECONDS`], is kept for settling.
pub fn working_seconds(length: u64) -> u64 {
    length - MAX_TAIL_SECONDS.min(length / 3)
}

/// Length of a deal in which `work` seconds can be worked.
fn length_for(work: u64) -> u64 {
    work.saturating_add((work / 2 + 60).min(MAX_TAIL_SECONDS))
}

/// Fuel per second of all cores.
pub fn speed(offer: &Offer) -> u64 {
    let ask = &offer.ask.value;
    ask.fuelPerSecond.saturating_mul(ask.cores.max(1).into()).max(1)
}

fn screen<'a>(now: u64, offer: &'a Offer, need: &Need) -> Result<Candidate<'a>, Why> {
    let ask = &offer.ask.value;
    if let Some(why) = need.excluded.get(&ask.provider) {
        return Err(why.clone());
    }
    let price = price_at(ask, now).ok_or(Why::Window { from: ask.from, to: ask.to })?;
    if price > need.max_price {
        return Err(Why::Price { price, max: need.max_price });
    }
    let bytes = u64::from(need.max_pages) * PAGE_BYTES;
    if ask.maxMemory < bytes {
        return Err(Why::Memory { bytes: ask.maxMemory, needed: bytes });
    }
    if ask.collateralBps < need.min_collateral_bps {
        return Err(Why::Collateral { bps: ask.collateralBps, needed: need.min_collateral_bps });
    }
    let one_task = need.expected_fuel.map_or(1, |fuel| fuel.div_ceil(ask.fuelPerSecond.max(1)));
    let left = need.deadline.saturating_sub(now);
    if one_task > left {
        return Err(Why::TooSlow { seconds: one_task, left });
    }
    let seconds = u32::try_from(length_for(left)).unwrap_or(u32::MAX).min(ask.maxSeconds);
    let usable = left.min(working_seconds(seconds.into()));
    if one_task > usable || usable == 0 {
        return Err(Why::TooShort { seconds: ask.maxSeconds.into(), needed: one_task.max(1) });
    }
    let over = |_| Why::Price { price, max: need.max_price };
    let unit = fee(price, ask.taskFee, need.fuel().into(), 1).ok_or(()).map_err(over)?;
    let worst = fee(price, ask.taskFee, need.fuel_limit.into(), 1).ok_or(()).map_err(over)?;
    let least = ask.minBudget.max(worst).max(1);
    let most = need.budget.min(ask.maxBudget);
    if least > most {
        return Err(Why::Budget { needed: least, available: most });
    }
    let collateral = share(least, ask.collateralBps).unwrap_or(u128::MAX);
    if collateral > offer.deposit {
        return Err(Why::Deposit { deposit: offer.deposit, needed: collateral });
    }
    let capacity = need.expected_fuel.map_or(u64::MAX, |fuel| {
        let runs = u128::from(usable) * u128::from(speed(offer)) / u128::from(fuel.max(1));
        runs.try_into().unwrap_or(u64::MAX).max(1)
    });
    Ok(Candidate { offer, price, unit, worst, capacity, seconds })
}

/// The cheapest candidates that suffice; sorted by unit cost on the way in and out.
fn choose<'a>(
    candidates: Vec<Candidate<'a>>,
    need: &Need,
    out: &mut Vec<Excluded>,
) -> Result<Vec<Candidate<'a>>, NoMatch> {
    let runs = need.tasks.saturating_mul(need.replicas.into());
    let useful = |c: &Candidate| c.capacity.min(need.tasks);
    let wanted = need.min_providers.max(need.replicas).min(need.max_providers.max(need.replicas)) as usize;
    let most = need.max_providers.max(need.replicas) as usize;
    let mut taken: Vec<Candidate> = Vec::new();
    let mut rest = Vec::new();
    for candidate in candidates {
        let capacity: u64 = taken.iter().map(useful).fold(0, u64::saturating_add);
        let short = capacity < runs;
        if taken.len() < wanted || (short && taken.len() < most) {
            taken.push(candidate);
            continue;
        }
        if short {
            // No room for more: the slowest makes way for a faster, dearer one.
            let slowest = (0..taken.len()).min_by_key(|i| useful(&taken[*i])).expect("replicas is at least 1");
            if useful(&taken[slowest]) < useful(&candidate) {
                rest.push(taken.remove(slowest));
                taken.push(candidate);
                continue;
            }
        }
        rest.push(candidate);
    }
    out.extend(rest.iter().map(|c| leave_out(c.offer, Why::NotNeeded)));
    if taken.len() < need.replicas as usize {
        let found = taken.len() as u32;
        return Err(NoMatch::TooFew { needed: need.replicas, found, excluded: std::mem::take(out) });
    }
    let capacity: u64 = taken.iter().map(useful).fold(0, u64::saturating_add);
    if capacity < runs {
        return Err(NoMatch::TooSlow { capacity, needed: runs, excluded: std::mem::take(out) });
    }
    Ok(taken)
}

/// Splits the budget: each deal gets twice its expected share of the work's worst case, scaled down to
/// what there is, within the ask's range and what the provider's deposit covers.
fn afford(taken: &[Candidate], need: &Need) -> Result<Vec<Planned>, Why> {
    let rate: u128 = taken.iter().map(|c| u128::from(speed(c.offer))).sum();
    let runs = u128::from(need.tasks) * u128::from(need.replicas);
    let share_of = |c: &Candidate| -> u64 {
        let part = (runs * u128::from(speed(c.offer))).div_ceil(rate);
        u64::try_from(part).unwrap_or(u64::MAX).clamp(1, need.tasks.max(1))
    };
    let wish = |c: &Candidate| -> u128 {
        let tasks = (u128::from(share_of(c)) * BUDGET_SLACK).min(need.tasks.max(1).into());
        c.worst.saturating_mul(tasks).max(1)
    };
    let wishes = taken.iter().map(wish).fold(0, u128::saturating_add);
    let mut left = need.budget;
    let mut deals = Vec::with_capacity(taken.len());
    for candidate in taken {
        let ask = &candidate.offer.ask.value;
        let wish = wish(candidate);
        let scaled = if wishes <= need.budget { wish } else { part(need.budget, wish, wishes) };
        let budget = scaled.max(ask.minBudget).min(ask.maxBudget).min(covered(candidate.offer));
        let least = candidate.worst.max(ask.minBudget).max(1);
        if budget < least || budget > left {
            return Err(Why::Budget { needed: least.max(budget), available: left.min(scaled) });
        }
        left -= budget;
        deals.push(Planned {
            offer: candidate.offer.clone(),
            price: candidate.price,
            budget,
            seconds: candidate.seconds,
            share: share_of(candidate),
        });
    }
    Ok(deals)
}

/// ⌊total · part / whole⌋ without overflow.
fn part(total: u128, part: u128, whole: u128) -> u128 {
    use rialto_protocol::U256;
    (U256::from(total) * U256::from(part) / U256::from(whole.max(1))).try_into().unwrap_or(total)
}

/// The largest budget whose collateral the provider's deposit covers.
fn covered(offer: &Offer) -> u128 {
    match offer.ask.value.collateralBps {
        0 => u128::MAX,
        bps => part(offer.deposit, rialto_protocol::pricing::BPS.into(), bps.into()),
    }
}

/// Cost when the cheapest do as many runs as they can.
fn expected_cost(taken: &[Candidate], tasks: u64, runs: u64) -> u128 {
    let mut left = runs;
    let mut cost = 0u128;
    for candidate in taken {
        let here = left.min(candidate.capacity).min(tasks);
        cost = cost.saturating_add(candidate.unit.saturating_mul(here.into()));
        left -= here;
    }
    cost
}

fn leave_out(offer: &Offer, why: Why) -> Excluded {
    Excluded { provider: offer.provider(), ask: offer.name(), why }
}

fn owner_of_account(offer: &Offer) -> B256 {
    offer.provider().into_word()
}

fn owner_of_endpoint(offer: &Offer) -> B256 {
    offer.ask.value.endpoint
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::tests::{START, address, offer};

    fn need(tasks: u64, replicas: u32) -> Need {
        Need {
            tasks,
            replicas,
            expected_fuel: Some(1_000_000_000),
            fuel_limit: 2_000_000_000,
            max_pages: 16,
            budget: 100_000_000,
            max_price: 10_000_000,
            deadline: START + 1_000,
            min_collateral_bps: 0,
            min_providers: 1,
            max_providers: 8,
            excluded: BTreeMap::new(),
        }
    }

    fn providers(plan: &Plan) -> Vec<Address> {
        plan.deals.iter().map(|deal| deal.offer.provider()).collect()
    }

    #[test]
    fn takes_the_cheapest_that_are_fast_enough() {
        let offers = [offer(1, 3_000), offer(2, 1_000), offer(3, 2_000)];
        // 2 cores of 10^9 fuel a second: 2 000 tasks each in 1 000 s.
        let plan = plan(START, &offers, &need(1_500, 1)).unwrap();
        assert_eq!(providers(&plan), [address(2)]);
        assert_eq!(plan.cost, 1_500 * 2, "a task costs 1 for its fuel and 1 task fee");
        let both = super::plan(START, &offers, &need(2_500, 1)).unwrap();
        assert_eq!(providers(&both), [address(2), address(3)]);
        assert!(both.excluded.iter().all(|e| e.provider == address(1) && e.why == Why::NotNeeded));
        let all = super::plan(START, &offers, &Need { min_providers: 3, ..need(10, 1) }).unwrap();
        assert_eq!(providers(&all), [address(2), address(3), address(1)]);
        let error = super::plan(START, &offers, &need(7_000, 1)).unwrap_err();
        assert!(matches!(error, NoMatch::TooSlow { capacity: 6_000, needed: 7_000, .. }), "{error}");
    }

    #[test]
    fn replicas_have_distinct_owners() {
        let mut twin = offer(2, 1_000);
        twin.ask.value.salt = 5;
        let mut shared_endpoint = offer(3, 1_000);
        shared_endpoint.ask.value.endpoint = twin.ask.value.endpoint;
        let offers = [offer(1, 1_000), offer(2, 1_000), twin, shared_endpoint];
        let plan = plan(START, &offers, &need(10, 2)).unwrap();
        assert_eq!(providers(&plan).len(), 2);
        let same = plan.excluded.iter().filter(|e| e.why == Why::SameOwner).count();
        assert_eq!(same, 2);
        let error = super::plan(START, &offers, &need(10, 3)).unwrap_err();
        assert!(matches!(error, NoMatch::TooFew { needed: 3, found: 2, .. }), "{error}");
    }

    type Change = fn(&mut Offer, &mut Need);

    #[test]
    fn every_constraint_names_itself() {
        let cases: [(&str, Change); 10] = [
            ("R-MAT-001", |offer, _| offer.ask.value.to = START),
            ("R-MAT-002", |_, need| need.max_price = 999),
            ("R-MAT-003", |offer, _| offer.ask.value.maxMemory = 16 * PAGE_BYTES - 1),
            ("R-MAT-004", |_, need| need.min_collateral_bps = 1_001),
            ("R-MAT-005", |offer, need| {
                offer.ask.value.maxSeconds = 10;
                need.expected_fuel = Some(20_000_000_000);
            }),
            ("R-MAT-006", |_, need| need.expected_fuel = Some(1_001_000_000_000)),
            ("R-MAT-007", |offer, _| offer.ask.value.minBudget = 100_000_001),
            ("R-MAT-007", |_, need| need.budget = 2),
            ("R-MAT-008", |offer, _| {
                offer.ask.value.minBudget = 1_000;
                offer.deposit = 99;
            }),
            ("R-MAT-009", |offer, need| {
                need.excluded.insert(offer.provider(), Why::Listed);
            }),
        ];
        for (code, change) in cases {
            let (mut offer, mut need) = (offer(1, 1_000), need(1, 1));
            assert!(plan(START, [&offer], &need).is_ok(), "{code}");
            change(&mut offer, &mut need);
            let error = plan(START, [&offer], &need).unwrap_err();
            assert_eq!(error.excluded().iter().map(|e| e.why.code()).collect::<Vec<_>>(), [code], "{error}");
            assert!(error.excluded()[0].why.to_string().starts_with(&format!("[{code}]")));
        }
        assert_eq!(plan(START, [], &need(1, 1)), Err(NoMatch::NoAsks));
    }

    #[test]
    fn a_provider_whose_deposit_is_small_gets_a_small_budget() {
        let mut small = offer(1, 1_000_000);
        small.deposit = 500;
        let plan = plan(START, [&small], &need(100, 1)).unwrap();
        assert_eq!(plan.deals[0].budget, 5_000, "at 10 % collateral");
    }

    #[test]
    fn unknown_fuel_excludes_nobody_for_being_slow() {
        let unknown = Need { expected_fuel: None, fuel_limit: 1 << 50, budget: u128::MAX / 2, ..need(1_000_000, 1) };
        let mut offer = offer(1, 1_000);
        offer.ask.value.maxBudget = u128::MAX;
        offer.deposit = u128::MAX;
        assert!(plan(START, [&offer], &unknown).is_ok());
    }

    proptest! {
        #[test]
        fn plans_keep_every_promise(
            prices in proptest::collection::vec((1u128..10_000_000, 1u32..5, 1u64..3_000_000_000, 1u128..1_000_000, 0u128..10_000_000), 1..10),
            tasks in 1u64..5_000,
            replicas in 1u32..4,
            min_providers in 0u32..6,
            max_providers in 1u32..6,
            budget in 1u128..10_000_000_000,
            known: bool,
        ) {
            let offers: Vec<_> = (1..).zip(&prices).map(|(n, (price, cores, speed, min_budget, deposit))| {
                let mut offer = offer(n, *price);
                offer.ask.value.cores = *cores;
                offer.ask.value.fuelPerSecond = *speed;
                offer.ask.value.minBudget = *min_budget;
                offer.deposit = *deposit;
                offer
            }).collect();
            let expected_fuel = known.then_some(1_000_000_000);
            let need = Need { min_providers, max_providers, budget, expected_fuel, ..need(tasks, replicas) };
            match plan(START, &offers, &need) {
                Ok(plan) => {
                    prop_assert!(plan.deals.len() >= replicas as usize);
                    prop_assert!(plan.deals.len() <= max_providers.max(replicas) as usize);
                    prop_assert!(plan.locked <= budget && plan.cost <= budget);
                    prop_assert_eq!(plan.deals.len() + plan.excluded.len(), offers.len());
                    let owners: BTreeSet<_> = providers(&plan).into_iter().collect();
                    prop_assert_eq!(owners.len(), plan.deals.len());
                    for deal in &plan.deals {
                        let ask = &deal.offer.ask.value;
                        prop_assert!(deal.budget >= ask.minBudget && deal.budget <= ask.maxBudget);
                        prop_assert!(deal.seconds <= ask.maxSeconds && deal.price <= need.max_price);
                        prop_assert!(share(deal.budget, ask.collateralBps).unwrap() <= deal.offer.deposit);
                    }
                }
                Err(error) => prop_assert!(error.excluded().len() <= offers.len()),
            }
        }
    }
}
