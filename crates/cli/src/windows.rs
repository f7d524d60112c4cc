//! How long a market's sides have for what, by kind of chain. Whoever can't reach the chain in a
//! window loses what the window is about, and an attacker picks the hour: windows must outlast what
//! a chain's users have to put up with.

use clap::ValueEnum;
use rialto_chain::DeployParams;
use rialto_client::view;
use rialto_local_market::CHAIN_ID;

use crate::ui::span;

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// Layer 1: Ethereum, Gnosis, and their test networks.
const LAYER_ONE: &[u64] = &[1, 100, 11_155_111, 560_048, 17_000, 10_200];
/// Chains for trying: hardhat, anvil and the embedded chain; ganache.
pub const TEST_CHAINS: &[u64] = &[CHAIN_ID, 1_337];

/// A kind of chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// For trying: nobody's money is at stake.
    Test,
    /// One sequencer takes all transactions; it can be down for hours, and forcing one in takes up
    /// to a day.
    Rollup,
    /// Many block makers: a transaction that pays enough is in within minutes.
    #[value(name = "l1")]
    LayerOne,
}

/// Windows of a market and its court, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// From a claim until it is paid.
    pub challenge: u64,
    /// To answer a late notice or a demand.
    pub answer: u64,
    /// After a deal's expiry.
    pub grace: u64,
    /// For a turn of a dispute, at least.
    pub turn: u64,
}

/// What a chain of a kind can keep its users waiting for, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promise {
    /// Longest outage that turns have to outlast: what such chains have seen.
    outage: u64,
    /// Until a transaction is in whatever its block makers do.
    inclusion: u64,
}

/// A window that is shorter than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    /// Stable code.
    pub code: &'static str,
    /// What, and what it should be.
    pub text: String,
}

impl Short {
    /// For programs.
    pub fn view(&self) -> view::ShortWindow {
        view::ShortWindow { code: self.code.to_owned(), text: self.text.clone() }
    }
}

impl Kind {
    /// The kind of a chain, by its id: one that is not known is taken for a rollup, whose windows
    /// are the longest.
    pub fn of(chain_id: u64) -> Self {
        match chain_id {
            id if TEST_CHAINS.contains(&id) => Self::Test,
            id if LAYER_ONE.contains(&id) => Self::LayerOne,
            _ => Self::Rollup,
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test chain",
            Self::Rollup => "rollup",
            Self::LayerOne => "layer 1",
        }
    }

    /// For programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Rollup => "rollup",
            Self::LayerOne => "layer_one",
        }
    }

    /// What to choose where nothing else is said.
    pub fn windows(self) -> Windows {
        match self {
            Self::Test => Windows {
                challenge: 30 * MINUTE,
                answer: 10 * MINUTE,
                grace: 10 * MINUTE,
                turn: 5 * MINUTE,
            },
            // The court takes no longer turns.
            Self::Rollup => {
                Windows { challenge: 3 * DAY, answer: 2 * DAY, grace: 2 * DAY, turn: 8 * HOUR }
            }
            Self::LayerOne => {
                Windows { challenge: 2 * DAY, answer: DAY, grace: DAY, turn: 6 * HOUR }
            }
        }
    }

    fn promise(self) -> Promise {
        match self {
            Self::Test => Promise { outage: 0, inclusion: 0 },
            Self::Rollup => Promise { outage: 6 * HOUR, inclusion: DAY },
            Self::LayerOne => Promise { outage: HOUR, inclusion: 6 * HOUR },
        }
    }
}

impl Windows {
    /// Of a market and its court that are to be deployed.
    pub fn of(params: &DeployParams) -> Self {
        Self {
            challenge: params.challenge_window,
            answer: params.answer_window,
            grace: params.grace,
            turn: params.court.move_seconds.into(),
        }
    }

    /// Whether turns are shorter than an outage of such a chain: then a game can be lost by
    /// somebody who did nothing wrong.
    pub fn short_turn(&self, kind: Kind) -> Option<Short> {
        let least = kind.promise().outage;
        (self.turn < least).then(|| Short {
            code: "C-DPL-005",
            text: format!(
                "turns of {} are shorter than a {} may be out of reach, {}: who can't answer loses the game",
                span(self.turn),
                kind.name(),
                span(least)
            ),
        })
    }

    /// Market windows that are shorter than a transaction can be kept out of such a chain.
    pub fn short(&self, kind: Kind) -> Vec<Short> {
        let least = kind.promise().inclusion;
        let windows = [
            ("C-DPL-006", "--answer", self.answer, "a late notice or demand can't be answered"),
            (
                "C-DPL-007",
                "--challenge",
                self.challenge,
                "a false claim is paid before anybody can accuse",
            ),
            ("C-DPL-008", "--grace", self.grace, "work that was done can't be claimed any more"),
        ];
        let short = windows.into_iter().filter(|(_, _, window, _)| *window < least);
        short
            .map(|(code, flag, window, harm)| Short {
                code,
                text: format!(
                    "{flag} of {} is shorter than a {} can keep a transaction out, {}: {harm} meanwhile",
                    span(window),
                    kind.name(),
                    span(least)
                ),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_keep_what_each_kind_of_chain_promises() {
        for kind in [Kind::Test, Kind::Rollup, Kind::LayerOne] {
            let windows = kind.windows();
            assert_eq!((windows.short_turn(kind), windows.short(kind)), (None, vec![]), "{kind:?}");
            // What the contracts take: Market's and Court's constructors.
            assert!(windows.answer <= windows.challenge && windows.answer <= windows.grace);
            assert!((1..=8 * HOUR).contains(&windows.turn));
        }
        for kind in [Kind::Rollup, Kind::LayerOne] {
            assert!(kind.windows().turn >= 6 * HOUR && kind.windows().answer >= DAY);
        }
    }

    #[test]
    fn what_is_too_short_is_named() {
        let embedded = Windows { challenge: 120, answer: 60, grace: 60, turn: 60 };
        let codes = |kind| embedded.short(kind).iter().map(|short| short.code).collect::<Vec<_>>();
        assert_eq!(codes(Kind::LayerOne), ["C-DPL-006", "C-DPL-007", "C-DPL-008"]);
        assert_eq!(codes(Kind::Test), Vec::<&str>::new());
        assert_eq!(embedded.short_turn(Kind::Rollup).unwrap().code, "C-DPL-005");
        let hour = Windows { turn: HOUR, ..embedded };
        assert!(
            hour.short_turn(Kind::LayerOne).is_none() && hour.short_turn(Kind::Rollup).is_some()
        );
    }

    #[test]
    fn chains_have_kinds() {
        assert_eq!(
            [1, 31_337, 10, 8_453, 42_161, 987_654].map(Kind::of),
            [Kind::LayerOne, Kind::Test, Kind::Rollup, Kind::Rollup, Kind::Rollup, Kind::Rollup]
        );
    }
}
