//! The index: offers on pages of similar price, each page knowing what none of its offers beats. A
//! search opens pages in the order of the best that could be on them, and so visits offers in the
//! order of their rank without looking at all.
//!
//! What a page knows is a bound, never an answer: prices are computed for every offer of a page
//! that is opened. Bounds have to be right, for that the order depends on; tight they need only be
//! for speed.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
    ops::Bound,
    sync::Arc,
};

use rialto_protocol::{
    Address,
    pricing::{fee, travelled},
    types::Ask,
};

use super::{
    Need,
    screen::{
        Candidate, OPENING_LAG_SECONDS, PAGE_BYTES, Rank, opening_price, rank, screen, speed,
    },
};
use crate::core::book::{Key, Offer};

/// Most offers of a page; a fuller one is split.
const MAX_PAGE_OFFERS: usize = if cfg!(test) { 8 } else { 128 };
/// A page with fewer is dissolved into its neighbour.
const MIN_PAGE_OFFERS: usize = MAX_PAGE_OFFERS / 4;
/// Bounds are not narrowed for every offer that leaves a page, but for each of so many.
const NARROW_EVERY: usize = MAX_PAGE_OFFERS / 8 + 1;
/// Bounds of prices that move are made anew this often, seconds. They hold for twice as long, if
/// the turn comes late.
const TURN_SECONDS: u64 = 32;
/// Most pages whose bounds are made anew within a second: a few milliseconds. A million asks take
/// half a minute, and up to 2^16 are done at once.
const MAX_PAGES_PER_SECOND: usize = if cfg!(test) { 2 } else { 512 };

/// Where an offer belongs: offers of similar price are neighbours. The key tells equal ones apart.
type Place = (u64, Key);

/// Offers by place, on pages.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Index {
    /// By the place from which on offers are on this page; the first also has what lies before.
    pages: BTreeMap<Place, Page>,
    /// When a deal begins that is opened at the latest time told, unix seconds.
    now: u64,
    /// Where making bounds anew goes on.
    next: Option<Place>,
}

/// Unix seconds `[since, until)` in which a page's floor of prices holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    since: u64,
    until: u64,
}

impl Window {
    fn from(now: u64) -> Self {
        Self { since: now, until: now.saturating_add(2 * TURN_SECONDS) }
    }

    /// Whether the next one is not due yet.
    fn lasts(&self, now: u64) -> bool {
        self.since <= now && now < self.since.saturating_add(TURN_SECONDS)
    }
}

#[derive(Clone, Debug)]
struct Page {
    offers: Vec<Arc<Offer>>,
    best: Best,
}

impl Index {
    /// Takes in an offer that is not there.
    pub(in crate::core) fn insert(&mut self, offer: Arc<Offer>) {
        let place = place(&offer);
        let Some(at) = self.page_of(&place) else {
            self.pages.insert(place, Page::new(vec![offer], self.now));
            return;
        };
        let page = self.pages.get_mut(&at).expect("page_of found it");
        page.best.take_in(&offer);
        page.offers.push(offer);
        if page.offers.len() > MAX_PAGE_OFFERS {
            self.split(at);
        }
    }

    fn split(&mut self, at: Place) {
        let Some(Page { mut offers, .. }) = self.pages.remove(&at) else { return };
        offers.sort_by_cached_key(|offer| place(offer));
        let upper = offers.split_off(offers.len() / 2);
        // The first page may have offers from before its place.
        let (at, middle) = (at.min(place(&offers[0])), place(&upper[0]));
        self.pages.insert(at, Page::new(offers, self.now));
        self.pages.insert(middle, Page::new(upper, self.now));
    }

    /// Takes out this very offer.
    pub(in crate::core) fn remove(&mut self, offer: &Arc<Offer>) {
        let Some(at) = self.page_of(&place(offer)) else { return };
        let alone = self.pages.len() == 1;
        let page = self.pages.get_mut(&at).expect("page_of found it");
        page.offers.retain(|other| !Arc::ptr_eq(other, offer));
        let left = page.offers.len();
        if left == 0 || (left < MIN_PAGE_OFFERS && !alone) {
            let page = self.pages.remove(&at).expect("it was there");
            page.offers.into_iter().for_each(|offer| self.insert(offer));
        } else if left.is_multiple_of(NARROW_EVERY) {
            page.best = Best::of(&page.offers, page.best.window);
        }
    }

    /// Time goes on: floors of prices that move are made anew when they are due, some each second.
    pub(in crate::core) fn turn(&mut self, now: u64) {
        let now = now.saturating_sub(OPENING_LAG_SECONDS);
        if now <= self.now {
            return;
        }
        self.now = now;
        let from = self.next.take().map_or(Bound::Unbounded, Bound::Included);
        let mut left = MAX_PAGES_PER_SECOND;
        for (at, page) in self.pages.range_mut((from, Bound::Unbounded)) {
            if page.best.moves && !page.best.window.lasts(now) {
                if left == 0 {
                    self.next = Some(*at);
                    return;
                }
                page.best = Best::of(&page.offers, Window::from(now));
                left -= 1;
            }
        }
    }

    /// Every offer that passes `need`, in the order of its rank.
    pub(in crate::core) fn ascending<'a>(&'a self, now: u64, need: &'a Need) -> Ascending<'a> {
        let ranked = |page: &'a Page| Some(Ranked { rank: page.best.rank(now, need)?, item: page });
        Ascending {
            now,
            need,
            pages: self.pages.values().filter_map(ranked).collect(),
            offers: BinaryHeap::new(),
        }
    }

    fn page_of(&self, place: &Place) -> Option<Place> {
        let before = self.pages.range(..=place).next_back();
        before.or_else(|| self.pages.first_key_value()).map(|(at, _)| *at)
    }
}

impl Page {
    fn new(offers: Vec<Arc<Offer>>, now: u64) -> Self {
        Self { best: Best::of(&offers, Window::from(now)), offers }
    }
}

/// What no offer of a page beats, each number by itself.
#[derive(Clone, Debug)]
struct Best {
    /// Earliest beginning and latest end.
    from: u64,
    to: u64,
    /// Lowest price at any time.
    price: u128,
    window: Window,
    /// Prices at both ends of the window. No price is below the line between them, within the
    /// window.
    floor: (u128, u128),
    /// Whether a price changes with time.
    moves: bool,
    task_fee: u128,
    min_budget: u128,
    collateral_bps: u32,
    max_seconds: u32,
    task_memory: u64,
    task_fuel: u64,
    fuel_per_second: u64,
    speed: u64,
    key: Key,
}

impl Best {
    fn of(offers: &[Arc<Offer>], window: Window) -> Self {
        let mut best = Self {
            from: u64::MAX,
            to: 0,
            price: u128::MAX,
            window,
            floor: (u128::MAX, u128::MAX),
            moves: false,
            task_fee: u128::MAX,
            min_budget: u128::MAX,
            collateral_bps: 0,
            max_seconds: 0,
            task_memory: 0,
            task_fuel: 0,
            fuel_per_second: 0,
            speed: 0,
            key: (Address::repeat_byte(0xff), u64::MAX),
        };
        offers.iter().for_each(|offer| best.take_in(offer));
        best
    }

    fn take_in(&mut self, offer: &Offer) {
        let ask = &offer.ask.value;
        let (left, right) = floor(ask, self.window);
        self.from = self.from.min(ask.from);
        self.to = self.to.max(ask.to);
        self.price = self.price.min(ask.priceStart).min(ask.priceEnd);
        self.floor = (self.floor.0.min(left), self.floor.1.min(right));
        self.moves |= ask.priceStart != ask.priceEnd;
        self.task_fee = self.task_fee.min(ask.taskFee);
        self.min_budget = self.min_budget.min(ask.minBudget);
        self.collateral_bps = self.collateral_bps.max(ask.collateralBps);
        self.max_seconds = self.max_seconds.max(ask.maxSeconds);
        self.task_memory = self.task_memory.max(ask.limits.taskMemory);
        self.task_fuel = self.task_fuel.max(ask.limits.taskFuel);
        self.fuel_per_second = self.fuel_per_second.max(ask.fuelPerSecond);
        self.speed = self.speed.max(speed(offer));
        self.key = self.key.min(offer.key());
    }

    /// The rank that no offer here comes before; `None` where none of them can pass.
    fn rank(&self, now: u64, need: &Need) -> Option<Rank> {
        let slowest =
            need.expected_fuel.map_or(1, |fuel| fuel.div_ceil(self.fuel_per_second.max(1)));
        let time = need.deadline.saturating_sub(now).min(self.max_seconds.into());
        let hopeless = now < self.from
            || now >= self.to
            || self.task_memory < u64::from(need.max_pages) * PAGE_BYTES
            || self.task_fuel < need.fuel_limit
            || self.collateral_bps < need.min_collateral_bps
            || self.min_budget > need.budget
            || slowest > time;
        let price = self.price_from(now.saturating_sub(OPENING_LAG_SECONDS));
        if hopeless || price > need.max_price {
            return None;
        }
        Some(rank(fee(price, self.task_fee, need.fuel().into(), 1)?, self.speed, self.key))
    }

    /// No price is lower for a deal that begins at `now`, or with its ask.
    fn price_from(&self, now: u64) -> u128 {
        let ((left, right), window) = (self.floor, self.window);
        if now < window.since || now >= window.until || left.max(right) == u128::MAX {
            return self.price;
        }
        under(left, right, window.since, window.until, now).max(self.price)
    }
}

/// Prices at both ends of the window such that the ask is never below the line between them, while
/// it is valid.
fn floor(ask: &Ask, window: Window) -> (u128, u128) {
    if ask.priceStart == ask.priceEnd {
        return (ask.priceStart, ask.priceStart);
    }
    let at = |time: u64| {
        under(ask.priceStart, ask.priceEnd, ask.from, ask.to, time.clamp(ask.from, ask.to))
    };
    let ends = (at(window.since), at(window.until));
    if ask.from <= window.since && window.until <= ask.to {
        return ends;
    }
    // Valid in a part of the window, or not at all: its lowest there.
    let lowest = ends.0.min(ends.1);
    (lowest, lowest)
}

/// The line from `start` at `from` to `end` at `to`, at `now`, rounded down. `from` ≤ `now` ≤ `to`,
/// `from` < `to`.
fn under(start: u128, end: u128, from: u64, to: u64, now: u64) -> u128 {
    if end >= start {
        start + travelled(end - start, now - from, to - from)
    } else {
        end + travelled(start - end, to - now, to - from)
    }
}

/// Offers that pass, lowest rank first.
pub(in crate::core) struct Ascending<'a> {
    now: u64,
    need: &'a Need,
    pages: BinaryHeap<Ranked<&'a Page>>,
    offers: BinaryHeap<Ranked<&'a Offer>>,
}

impl<'a> Iterator for Ascending<'a> {
    type Item = Candidate<'a>;

    fn next(&mut self) -> Option<Candidate<'a>> {
        loop {
            let page_first = match (self.pages.peek(), self.offers.peek()) {
                (Some(page), Some(offer)) => page.rank <= offer.rank,
                (page, _) => page.is_some(),
            };
            if page_first {
                let page = self.pages.pop()?;
                self.open(page.item);
            } else if let Ok(candidate) = screen(self.now, self.offers.pop()?.item, self.need) {
                return Some(candidate);
            }
        }
    }
}

impl<'a> Ascending<'a> {
    /// Ranks what is on a page. Constraints other than the price are looked at when an offer's turn
    /// comes.
    fn open(&mut self, page: &'a Page) {
        let fuel = self.need.fuel().into();
        for offer in &page.offers {
            let ask = &offer.ask.value;
            let price = opening_price(ask, self.now).filter(|price| *price <= self.need.max_price);
            if let Some(unit) = price.and_then(|price| fee(price, ask.taskFee, fuel, 1)) {
                self.offers
                    .push(Ranked { rank: rank(unit, speed(offer), offer.key()), item: offer });
            }
        }
    }
}

/// Greatest where the rank is lowest: a heap gives the greatest first.
struct Ranked<T> {
    rank: Rank,
    item: T,
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.rank.cmp(&self.rank)
    }
}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl<T> Eq for Ranked<T> {}

/// A Z-order curve over both prices and the fee, each on a logarithmic scale.
fn place(offer: &Offer) -> Place {
    let ask = &offer.ask.value;
    let scales = [ask.priceStart, ask.priceEnd, ask.taskFee].map(magnitude);
    let bits =
        (0..u16::BITS).rev().flat_map(|bit| scales.map(|scale| u64::from((scale >> bit) & 1)));
    (bits.fold(0, |curve, bit| (curve << 1) | bit), offer.key())
}

/// Length in bits, then the eight bits after the first: keeps the order, to a 256th.
fn magnitude(value: u128) -> u16 {
    let length = u128::BITS - value.leading_zeros();
    let after = (value.checked_shl(u128::BITS - length).unwrap_or(0) << 1) >> (u128::BITS - 8);
    ((length << 8) | after as u32) as u16
}
