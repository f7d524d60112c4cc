//! How the cheaters of a demo are set up, and what its requester is prepared for.

use std::{collections::BTreeSet, sync::Arc};

use rialto_faults::Fault;
use rialto_local_market::{LocalMarket, Setting};
use rialto_protocol::{Address, DealId};
use rialto_provider::{Money, Plain, Shell};
use rialto_requester::{JobEvent, Patience};

use super::{Cheat, Demo};

/// Of a liar's tasks, one in so many is falsified.
const LIE_EVERY: u32 = 5;
/// Longest wait for a game before the court, seconds.
const GAME_SECONDS: u64 = 480;
/// Bond of a late notice or demand, base units. A tile costs a few thousandths of a cent, and for
/// less than its bond nobody is demanded anything of, or called late.
const CASE_BOND: u128 = 20;
/// A provider that gives no sign of life for so long is silent, seconds: less than the job takes.
const SILENCE_SECONDS: u64 = 4;
/// Who withholds claims after so many seconds: it is in a hurry.
pub const CLAIM_SECONDS: u64 = 60;
/// A report does not wait longer for deals to close, seconds: what the chain decides by time comes
/// after it.
const REPORT_SECONDS: u64 = 8;
/// Who vanishes does so with its first voucher, or when all but one of so many parts of the picture
/// are verified.
const CRASH_PARTS: u64 = 3;

impl Cheat {
    /// Whether it comes out on chain after the work is done by others, some of it by time alone.
    pub fn is_silence(self) -> bool {
        matches!(self, Self::Withhold | Self::Claim | Self::Late | Self::Crash)
    }

    /// How its node misbehaves. Who vanishes is honest until then.
    pub fn shell(self) -> Arc<dyn Shell> {
        let fault = match self {
            Self::Output => Fault::CorruptOutput { every: LIE_EVERY },
            Self::Fuel => Fault::OverstateFuel { every: LIE_EVERY },
            Self::Withhold => Fault::Withhold,
            Self::Claim => Fault::Invent,
            Self::Late => Fault::Promise,
            Self::Crash | Self::Grief => return Arc::new(Plain),
        };
        Arc::new(fault)
    }

    /// When it wants its money.
    pub fn money(self) -> Money {
        match self {
            Self::Withhold | Self::Claim => {
                Money { tx_worth: 0, claim_after_seconds: CLAIM_SECONDS, ..Money::default() }
            }
            Self::Crash => Money { tx_worth: 0, redeem_at: 1, ..Money::default() },
            Self::Output | Self::Fuel | Self::Late | Self::Grief => Money::default(),
        }
    }

    /// The market's own rules, and its requester's.
    pub fn setting(self) -> Setting {
        let patience = if self.is_silence() {
            Patience { stall: SILENCE_SECONDS, settle: REPORT_SECONDS, ..Patience::default() }
        } else {
            Patience { settle: GAME_SECONDS, ..Patience::default() }
        };
        match self {
            // Who vanished can't answer: with the usual bond it is not worth calling it late, and
            // its deal expires.
            Self::Crash => Setting { patience, ..Setting::default() },
            _ => Setting { patience, case_bond: CASE_BOND, ..Setting::default() },
        }
    }
}

/// Whether a provider of a demo is one of its cheaters, by its number.
pub fn cheats(args: &Demo, n: u32) -> bool {
    (1..=args.cheaters).contains(&n)
}

/// The cheaters' accounts.
pub fn cheaters(args: &Demo, market: &LocalMarket) -> Vec<Address> {
    let providers = (0..).zip(&market.providers);
    providers.filter(|(n, _)| cheats(args, *n)).map(|(_, provider)| provider.address).collect()
}

/// Providers that are going to vanish.
pub struct Doomed(BTreeSet<Address>);

impl Doomed {
    pub fn new(args: &Demo, market: &LocalMarket) -> Self {
        let all = if args.cheat == Cheat::Crash { cheaters(args, market) } else { Vec::new() };
        Self(all.into_iter().collect())
    }

    /// Whose time has come, and the deal in which it has just been given a voucher.
    pub fn next(&mut self, event: &JobEvent) -> Option<(Address, Option<DealId>)> {
        match event {
            JobEvent::Paid { provider, deal, closing, .. } => {
                self.0.remove(provider).then_some((*provider, (!closing).then_some(*deal)))
            }
            JobEvent::Progress(progress)
                if progress.verified * CRASH_PARTS >= progress.tasks * (CRASH_PARTS - 1) =>
            {
                self.0.pop_first().map(|provider| (provider, None))
            }
            _ => None,
        }
    }
}
