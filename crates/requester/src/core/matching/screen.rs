//! Constraints: whether an offer can do a job's tasks, one by itself, and in which order offers are
//! taken.

use rialto_protocol::{
    pricing::{fee, price_at, share},
    types::{Ask, WASM_3},
};

use super::{Limit, Need, Why};
use crate::core::book::{Key, Offer};

/// A deal opens so long before it is asked for, seconds: not in the future of a chain whose clock
/// lags behind ours.
pub(in crate::core) const OPENING_LAG_SECONDS: u64 = 30;

/// At most so much of a deal's end, seconds, is kept for settling: providers want to redeem an hour
/// before expiry.
pub const MAX_TAIL_SECONDS: u64 = 5400;
/// Bytes of a WebAssembly page.
pub(in crate::core) const PAGE_BYTES: u64 = 1 << 16;

/// An offer that passes every constraint, in numbers.
pub(in crate::core) struct Candidate<'a> {
    pub(in crate::core) offer: &'a Offer,
    /// Price now, base units per Tfuel.
    pub(in crate::core) price: u128,
    /// Expected fee of one task, base units.
    pub(in crate::core) unit: u128,
    /// Worst fee of one task, base units.
    pub(in crate::core) worst: u128,
    /// Tasks it can do before the deadline.
    pub(in crate::core) capacity: u64,
    /// Length of its deal.
    pub(in crate::core) seconds: u32,
}

/// The order in which offers are taken: expected fee of one task, then the faster, then provider
/// and salt.
pub(in crate::core) type Rank = (u128, u64, Key);

/// See [`Rank`].
pub(in crate::core) fn rank(unit: u128, speed: u64, key: Key) -> Rank {
    (unit, u64::MAX - speed, key)
}

impl Candidate<'_> {
    pub(in crate::core) fn rank(&self) -> Rank {
        rank(self.unit, speed(self.offer), self.offer.key())
    }
}

/// How much of a deal's length may be worked in: the last third of it, at most
/// `MAX_TAIL_SECONDS`, is kept for settling.
pub fn working_seconds(length: u64) -> u64 {
    length - MAX_TAIL_SECONDS.min(length / 3)
}

/// Length of a deal in which `work` seconds can be worked.
fn length_for(work: u64) -> u64 {
    work.saturating_add((work / 2 + 60).min(MAX_TAIL_SECONDS))
}

/// Part of its speed, one of so many, at which a provider promises work that burns its whole fuel
/// limit.
const PROMISED_SPEED_PART: u64 = 2;
/// Seconds of a deal besides that: a provider adds some to every promise, and wants to claim before
/// the deal expires.
const PROMISE_MARGIN_SECONDS: u64 = 120;

/// How long before its deal expires a provider can still promise orders that burn so much at most,
/// of tasks that burn no more than `longest` each, seconds.
pub fn promise_seconds(ask: &Ask, fuel: u128, longest: u64) -> u64 {
    let speed = (ask.fuelPerSecond / PROMISED_SPEED_PART).max(1);
    let running = fuel.div_ceil(u128::from(speed) * u128::from(ask.cores.max(1)));
    let seconds = running.saturating_add(longest.div_ceil(speed).into());
    u64::try_from(seconds).unwrap_or(u64::MAX).saturating_add(PROMISE_MARGIN_SECONDS)
}

/// Fuel per second of all cores.
pub fn speed(offer: &Offer) -> u64 {
    let ask = &offer.ask.value;
    ask.fuelPerSecond.saturating_mul(ask.cores.max(1).into()).max(1)
}

/// When a deal begins that is opened at `now`, unix seconds: price and end follow from it.
pub fn opening_time(ask: &Ask, now: u64) -> u64 {
    now.saturating_sub(OPENING_LAG_SECONDS).max(ask.from)
}

/// Price of a deal that is opened at `now`, base units per Tfuel; none where it can't be.
pub(super) fn opening_price(ask: &Ask, now: u64) -> Option<u128> {
    price_at(ask, now).and(price_at(ask, opening_time(ask, now)))
}

/// Whether a provider accepts what a job needs, by everything that its ask says. What is within it
/// must not be refused for its size.
pub(in crate::core) fn suits(ask: &Ask, need: &Need) -> Result<(), Why> {
    if ask.runtime != WASM_3 {
        return Err(Why::Runtime { runtime: ask.runtime });
    }
    if ask.key.is_zero() {
        return Err(Why::NoKey);
    }
    let (limits, load) = (&ask.limits, &need.load);
    let bytes = u64::from(need.max_pages) * PAGE_BYTES;
    if limits.taskMemory < bytes {
        return Err(Why::Memory { bytes: limits.taskMemory, needed: bytes });
    }
    let outputs = need.out_limit.saturating_mul(load.tasks.into());
    for (limit, offered, needed) in [
        (Limit::Fuel, limits.taskFuel, need.fuel_limit),
        (Limit::Output, limits.taskOutput, need.out_limit),
        (Limit::OrderOutput, limits.orderOutput, outputs),
        (Limit::Program, limits.program, load.program),
        (Limit::Inputs, limits.inputs, load.inputs),
        (Limit::Shared, limits.shared, load.shared),
        (Limit::Tasks, limits.tasks.into(), load.tasks.into()),
        (Limit::Orders, limits.orders.into(), 1),
    ] {
        if offered < needed {
            return Err(Why::Limit { limit, offered: offered.into(), needed: needed.into() });
        }
    }
    Ok(())
}

/// Whether a provider gives credit for the smallest order that is of use, which can cost so much at
/// its price.
fn credits(ask: &Ask, price: u128, need: &Need) -> Result<(), Why> {
    let fuel = u128::from(need.fuel_limit) * u128::from(need.load.tasks);
    let needed = fee(price, ask.taskFee, fuel, need.load.tasks).unwrap_or(u128::MAX);
    let offered = ask.limits.credit;
    if offered < needed {
        Err(Why::Limit { limit: Limit::Credit, offered, needed })
    } else {
        Ok(())
    }
}

/// Whether an offer passes every constraint.
pub(in crate::core) fn screen<'a>(
    now: u64,
    offer: &'a Offer,
    need: &Need,
) -> Result<Candidate<'a>, Why> {
    let ask = &offer.ask.value;
    if let Some(why) = need.excluded.get(&ask.provider) {
        return Err(why.clone());
    }
    if !offer.known_court && !need.any_court {
        return Err(Why::Court { court: ask.court });
    }
    let price = opening_price(ask, now).ok_or(Why::Window { from: ask.from, to: ask.to })?;
    if price > need.max_price {
        return Err(Why::Price { price, max: need.max_price });
    }
    suits(ask, need)?;
    credits(ask, price, need)?;
    if ask.collateralBps < need.min_collateral_bps {
        return Err(Why::Collateral { bps: ask.collateralBps, needed: need.min_collateral_bps });
    }
    let one_task = need.expected_fuel.map_or(1, |fuel| fuel.div_ceil(ask.fuelPerSecond.max(1)));
    let left = need.deadline.saturating_sub(now);
    if one_task > left {
        return Err(Why::TooSlow { seconds: one_task, left });
    }
    let lag = now.saturating_sub(opening_time(ask, now));
    // Until the end of its work it has to be able to promise the smallest order.
    let work = left.saturating_add(lag);
    let fuel = u128::from(need.fuel_limit) * u128::from(need.load.tasks);
    let promise = promise_seconds(ask, fuel, need.fuel_limit);
    let length = length_for(work).max(work.saturating_add(promise));
    let seconds = u32::try_from(length).unwrap_or(u32::MAX).min(ask.maxSeconds);
    let length = u64::from(seconds);
    let usable =
        left.min(working_seconds(length).min(length.saturating_sub(promise)).saturating_sub(lag));
    if one_task > usable || usable == 0 {
        let needed = one_task.max(1).saturating_add(lag).saturating_add(promise);
        return Err(Why::TooShort { seconds: ask.maxSeconds.into(), needed });
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
