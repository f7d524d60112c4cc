//! The books: what was earned, paid, spent and lost by day, and what was refused by code. Small for
//! ever: days are sums, old days are one sum.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Core, Record, Refusal};
use rialto_protocol::DealId;

/// Seconds of a day (UTC, as the chain counts).
pub const DAY_SECONDS: u64 = 86_400;
/// Days kept one by one: a year and a month, for comparisons; older ones become one sum.
pub const KEEP_DAYS: usize = 400;
/// The day that stands for all older ones.
pub const OLDER: u32 = 0;
/// Refusals are written down no more often: a stranger causes them for free, and a write costs a
/// disk its time.
const REFUSALS_EVERY_SECONDS: u64 = 60;
/// Codes counted one by one: more than there are.
const MAX_CODES: usize = 64;

/// Sums over some time. Money in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Fees of what was delivered.
    pub earned: u128,
    /// Arrived on chain, by vouchers and claims.
    pub paid: u128,
    /// Delivered, and unpaid when its deal was over.
    pub lost: u128,
    /// Gas of what was sent, wei.
    pub gas_wei: u128,
    /// Transactions mined.
    pub txs: u64,
    /// Deals opened.
    pub deals: u64,
    /// Orders delivered.
    pub orders: u64,
    /// Tasks delivered.
    pub tasks: u64,
    /// Fuel delivered.
    pub fuel: u128,
    /// Time that cores were busy, all cores together, milliseconds.
    pub core_millis: u64,
}

/// How often something was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Times.
    pub times: u64,
    /// The last one's detail.
    pub detail: String,
    /// When that was, unix seconds.
    pub at: u64,
}

/// Refusals and losses by code.
pub type Counts = BTreeMap<String, Count>;

/// What of a deal is in the books already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booked {
    /// Its opening.
    pub opened: bool,
    /// So much paid.
    pub paid: u128,
    /// So much lost.
    pub lost: u128,
}

/// The books in a [`Status`](super::Status).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Since midnight UTC.
    pub today: Sums,
    /// Today and the six days before.
    pub week: Sums,
    /// Ever.
    pub total: Sums,
}

/// The books as a core holds them.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub days: BTreeMap<u32, Sums>,
    /// As written.
    pub counts: Counts,
    /// Not written yet.
    fresh: Counts,
    written_at: u64,
}

impl Sums {
    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            earned: self.earned.saturating_add(other.earned),
            paid: self.paid.saturating_add(other.paid),
            lost: self.lost.saturating_add(other.lost),
            gas_wei: self.gas_wei.saturating_add(other.gas_wei),
            txs: self.txs.saturating_add(other.txs),
            deals: self.deals.saturating_add(other.deals),
            orders: self.orders.saturating_add(other.orders),
            tasks: self.tasks.saturating_add(other.tasks),
            fuel: self.fuel.saturating_add(other.fuel),
            core_millis: self.core_millis.saturating_add(other.core_millis),
        }
    }
}

/// The day of a time.
pub fn day(now: u64) -> u32 {
    u32::try_from(now / DAY_SECONDS).unwrap_or(u32::MAX).max(OLDER + 1)
}

/// Books from rows of days, as of `now`.
pub fn ledger<'a>(days: impl IntoIterator<Item = (&'a u32, &'a Sums)>, now: u64) -> Ledger {
    let today = day(now);
    let mut ledger = Ledger::default();
    for (at, sums) in days {
        ledger.total = ledger.total.plus(sums);
        if *at != OLDER && today.saturating_sub(*at) < 7 {
            ledger.week = ledger.week.plus(sums);
        }
        if *at == today {
            ledger.today = *sums;
        }
    }
    ledger
}

/// Adds one occurrence.
pub fn count(counts: &mut Counts, code: String, detail: String, at: u64) {
    if counts.len() < MAX_CODES || counts.contains_key(&code) {
        let count = counts.entry(code).or_default();
        *count = Count { times: count.times.saturating_add(1), detail, at };
    }
}

impl Books {
    fn all_counts(&self) -> Counts {
        let mut all = self.counts.clone();
        for (code, new) in &self.fresh {
            let known = all.entry(code.clone()).or_default();
            *known = Count { times: known.times.saturating_add(new.times), ..new.clone() };
        }
        all
    }

    /// What was paid and a reorg took back is taken out of the newest days.
    fn unpay(&mut self, mut amount: u128) {
        for sums in self.days.values_mut().rev() {
            let part = sums.paid.min(amount);
            (sums.paid, amount) = (sums.paid - part, amount - part);
        }
    }

    /// Days that are too many become one sum. What has to be written.
    fn prune(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        while self.days.keys().filter(|day| **day != OLDER).count() > KEEP_DAYS {
            let Some(oldest) = self.days.keys().copied().find(|day| *day != OLDER) else { break };
            let sums = self.days.remove(&oldest).unwrap_or_default();
            let older = self.days.entry(OLDER).or_default();
            *older = older.plus(&sums);
            records.extend([Record::ForgetDay(oldest), Record::Day(OLDER, Box::new(*older))]);
        }
        records
    }
}

impl Core {
    /// Writes something into today's sums.
    pub(super) fn note(&mut self, change: impl FnOnce(&mut Sums)) {
        change(self.books.days.entry(day(self.now)).or_default());
        self.changed.books = true;
    }

    /// Counts a refusal or a loss.
    pub(super) fn count(&mut self, why: &Refusal) {
        count(&mut self.books.fresh, why.code().into(), why.detail(), self.now);
    }

    /// Brings what the chain says about a deal into the books, each thing once: after a restart and
    /// after reorgs the same events are told again.
    pub(super) fn book(&mut self, id: DealId) {
        let Some(row) = self.deals.get(&id) else { return };
        let (chain, booked, heard) =
            (row.chain(), row.booked, self.heard && self.now >= row.quiet_until);
        let mut new = booked;
        new.opened |= chain.open || chain.closed;
        if chain.paid > booked.paid || heard {
            new.paid = chain.paid;
        }
        if chain.closed {
            new.lost = row.earned.saturating_sub(chain.paid);
        } else if heard {
            new.lost = 0;
        }
        if new == booked {
            return;
        }
        if let Some(row) = self.deal_mut(id) {
            row.booked = new;
        }
        if new.lost > booked.lost {
            self.count(&Refusal::Unpaid { amount: new.lost });
        }
        self.books.unpay(booked.paid.saturating_sub(new.paid));
        let rewound = booked.paid > new.paid;
        self.note(|sums| {
            sums.deals += u64::from(new.opened && !booked.opened);
            sums.paid = sums.paid.saturating_add(new.paid.saturating_sub(booked.paid));
            sums.lost = sums.lost.saturating_sub(booked.lost).saturating_add(new.lost);
        });
        if rewound {
            // Any day may have changed.
            let all = self.books.days.iter().map(|(day, sums)| Record::Day(*day, Box::new(*sums)));
            self.changed.more.extend(all);
        }
    }

    /// Rows of the books that changed with this event.
    pub(super) fn books_written(&mut self, changed: bool) -> Vec<Record> {
        let mut records = Vec::new();
        if changed {
            let today = day(self.now);
            records.extend(
                self.books.days.get(&today).map(|sums| Record::Day(today, Box::new(*sums))),
            );
            records.extend(self.books.prune());
        }
        let due = self.now >= self.books.written_at.saturating_add(REFUSALS_EVERY_SECONDS);
        if !self.books.fresh.is_empty() && due {
            self.books.counts = self.books.all_counts();
            self.books.fresh.clear();
            self.books.written_at = self.now;
            records.push(Record::Refusals(Box::new(self.books.counts.clone())));
        }
        records
    }

    /// The books, for a status.
    pub(super) fn ledger(&self) -> (Ledger, Counts) {
        (ledger(&self.books.days, self.now), self.books.all_counts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_weeks_and_a_total() {
        let now = 1_000 * DAY_SECONDS + 5;
        let paid = |paid| Sums { paid, ..Sums::default() };
        let days = BTreeMap::from([
            (OLDER, paid(1)),
            (993, paid(10)),
            (994, paid(100)),
            (1_000, paid(1_000)),
        ]);
        let ledger = ledger(&days, now);
        assert_eq!((ledger.today.paid, ledger.week.paid, ledger.total.paid), (1_000, 1_100, 1_111));
    }

    #[test]
    fn old_days_become_one_sum_and_nothing_is_lost() {
        let mut books = Books::default();
        for day in 1..=KEEP_DAYS as u32 + 3 {
            books.days.insert(day, Sums { tasks: u64::from(day), ..Sums::default() });
        }
        let before = ledger(&books.days, 0).total;
        let records = books.prune();
        assert_eq!(ledger(&books.days, 0).total, before);
        assert_eq!(books.days.len(), KEEP_DAYS + 1);
        assert_eq!(books.days[&OLDER].tasks, 6);
        assert_eq!(records.last(), Some(&Record::Day(OLDER, Box::new(books.days[&OLDER]))));
        assert!(books.prune().is_empty());
    }

    #[test]
    fn what_a_reorg_took_back_is_taken_from_the_newest_days() {
        let mut books = Books::default();
        for (day, paid) in [(5, 10), (6, 3)] {
            books.days.insert(day, Sums { paid, ..Sums::default() });
        }
        books.unpay(5);
        assert_eq!((books.days[&5].paid, books.days[&6].paid), (8, 0));
    }

    #[test]
    fn codes_are_bounded() {
        let mut counts = Counts::new();
        for code in 0..2 * MAX_CODES {
            count(&mut counts, format!("X-{code:03}"), "first".into(), 1);
        }
        count(&mut counts, "X-000".into(), "second".into(), 2);
        assert_eq!(counts.len(), MAX_CODES);
        assert_eq!(counts["X-000"], Count { times: 2, detail: "second".into(), at: 2 });
    }
}
