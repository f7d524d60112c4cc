//! Choosing: how many of the offers that pass are taken, cheapest first, and how the budget is
//! split among them.

use std::collections::BTreeSet;

use rialto_protocol::B256;

use super::{
    Excluded, Need, NoMatch, Offer, Plan, Planned, Why,
    screen::{Candidate, speed},
    why::leave_out,
};

/// A deal's budget is this many times its expected share of the work's worst case: faster providers
/// do more.
const BUDGET_SLACK: u128 = 2;

/// Whether somebody wants to know of offers that are left out.
pub(super) enum Left<'r> {
    /// Nobody: what decides is enough.
    Unasked,
    /// All of them.
    Told(&'r mut Vec<Excluded>),
}

impl Left<'_> {
    pub(super) fn out(&mut self, offer: &Offer, why: Why) {
        if let Self::Told(excluded) = self {
            excluded.push(leave_out(offer, why));
        }
    }
}

/// A plan from candidates that come in the order of their rank. Its reasons, and an error's, are in
/// `left`.
pub(super) fn settle<'a>(
    candidates: impl Iterator<Item = Candidate<'a>>,
    need: &Need,
    left: &mut Left,
) -> Result<Plan, NoMatch> {
    let mut taken = choose(candidates, need, left)?;
    let deals = loop {
        match afford(&taken, need) {
            Ok(deals) => break deals,
            // The dearest goes first: with fewer deals the same budget reaches each one's minimum.
            Err(why) if taken.len() > need.replicas as usize => {
                let dearest = taken.pop().expect("there are more than replicas");
                left.out(dearest.offer, why);
            }
            Err(why) => {
                taken.iter().for_each(|c| left.out(c.offer, why.clone()));
                return Err(NoMatch::TooFew {
                    needed: need.replicas,
                    found: 0,
                    excluded: Vec::new(),
                });
            }
        }
    };
    let runs = need.tasks.saturating_mul(need.replicas.into());
    let cost = expected_cost(&taken, need.tasks, runs);
    if cost > need.budget {
        return Err(NoMatch::TooDear { cost, budget: need.budget, excluded: Vec::new() });
    }
    let rate: u128 = taken.iter().map(|c| u128::from(speed(c.offer))).sum();
    let seconds = (u128::from(runs) * u128::from(need.fuel())).div_ceil(rate.max(1));
    let locked = deals.iter().map(|deal| deal.budget).sum();
    let seconds = seconds.try_into().unwrap_or(u64::MAX);
    Ok(Plan { deals, excluded: Vec::new(), cost, locked, seconds })
}

/// The cheapest candidates of distinct owners that suffice; in the order of their rank on the way
/// in and out.
fn choose<'a>(
    candidates: impl Iterator<Item = Candidate<'a>>,
    need: &Need,
    left: &mut Left,
) -> Result<Vec<Candidate<'a>>, NoMatch> {
    let runs = need.tasks.saturating_mul(need.replicas.into());
    let useful = |c: &Candidate| c.capacity.min(need.tasks);
    let capacity = |taken: &[Candidate]| taken.iter().map(useful).fold(0, u64::saturating_add);
    let wanted =
        need.min_providers.max(need.replicas).min(need.max_providers.max(need.replicas)) as usize;
    let most = need.max_providers.max(need.replicas) as usize;
    let mut owners = BTreeSet::new();
    let mut taken: Vec<Candidate> = Vec::new();
    let mut short = capacity(&taken) < runs;
    for candidate in candidates {
        if taken.len() >= wanted && !short && matches!(left, Left::Unasked) {
            break;
        }
        let [account, endpoint] = owners_of(candidate.offer);
        if owners.contains(&account) || owners.contains(&endpoint) {
            left.out(candidate.offer, Why::SameOwner);
            continue;
        }
        owners.extend([account, endpoint]);
        if taken.len() < wanted || (short && taken.len() < most) {
            taken.push(candidate);
            short = capacity(&taken) < runs;
            continue;
        }
        if short {
            // No room for more: the slowest makes way for a faster, dearer one.
            let slowest = (0..taken.len())
                .min_by_key(|i| useful(&taken[*i]))
                .expect("replicas is at least 1");
            if useful(&taken[slowest]) < useful(&candidate) {
                left.out(taken.remove(slowest).offer, Why::NotNeeded);
                taken.push(candidate);
                short = capacity(&taken) < runs;
                continue;
            }
        }
        left.out(candidate.offer, Why::NotNeeded);
    }
    if taken.len() < need.replicas as usize {
        let found = taken.len() as u32;
        return Err(NoMatch::TooFew { needed: need.replicas, found, excluded: Vec::new() });
    }
    if short {
        return Err(NoMatch::TooSlow {
            capacity: capacity(&taken),
            needed: runs,
            excluded: Vec::new(),
        });
    }
    Ok(taken)
}

/// Splits the budget: each deal gets twice its expected share of the work's worst case, scaled down
/// to what there is, within the ask's range and what the provider's deposit covers.
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

/// Whoever is behind an offer: its account and its endpoint.
fn owners_of(offer: &Offer) -> [B256; 2] {
    [offer.provider().into_word(), offer.ask.value.endpoint]
}
