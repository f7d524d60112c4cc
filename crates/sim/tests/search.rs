//! The search for counterexamples to docs/threat-model.md: an honest provider, and an honest requester, each against a strategist
//! that can do whatever keys and money allow; and small worlds, in which everything is tried.
//!
//! | variable | does |
//! |---|---|
//! | `RIALTO_SEARCH_TRIES` | tries so many sequences against each side, and as many against each weakness |
//! | `RIALTO_SEARCH_SEED` | beginning with this seed |
//! | `RIALTO_SEARCH_WEAKNESS` | looks for this weakness alone, and tells what it finds |
//! | `RIALTO_SEARCH_DEPTH` | small worlds: all sequences of so many moves |
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::time::Instant;

use rialto_sim::search::{
    Arena, Found, Play, Search, When,
    provider::{Street, Weakness as ProviderWeakness},
    replay,
    requester::{Alley, Weakness as RequesterWeakness, foe::Move as Sells},
    scope::{Small, explore},
};

/// Sequences tried against each shipped core: half a minute of one core.
const TRIES: u64 = 700;
/// Most sequences that finding a weakness may take.
const TRIES_TO_FIND: u64 = 4_000;
/// Moves in small worlds.
const DEPTH: u64 = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn tell<M: Debug>(found: &Found<M>) -> String {
    let moves: Vec<_> = found.plays.iter().map(|play| format!("{play:?}")).collect();
    let (story, moves) = (found.story.join("\n"), moves.join("\n"));
    format!("{}\nafter {} sequences; shrunk:\n{moves}\n{story}", found.broken, found.tried)
}

fn finds_nothing<A: Arena>(who: &str) {
    let (tries, seed) = (number("RIALTO_SEARCH_TRIES").unwrap_or(TRIES), number("RIALTO_SEARCH_SEED").unwrap_or(0));
    let begin = Instant::now();
    let seen = Search::<A>::new(seed, None).run(tries).unwrap_or_else(|found| panic!("{}", tell(&found)));
    println!("{who}, seed {seed}: {seen:?}, {:.0?}", begin.elapsed());
    assert!(seen.features > 50 && seen.danger > 500, "the strategist is too tame: {seen:?}");
}

#[test]
fn nobody_robs_a_provider() {
    finds_nothing::<Street>("provider");
}

#[test]
fn nobody_robs_a_requester() {
    finds_nothing::<Alley>("requester");
}

/// Every weakness is found, or the search searches nothing.
fn finds<A: Arena>(all: &[A::Weakness]) {
    let wanted = std::env::var("RIALTO_SEARCH_WEAKNESS").ok();
    let tries = number("RIALTO_SEARCH_TRIES").unwrap_or(TRIES_TO_FIND).max(TRIES_TO_FIND);
    let seed = number("RIALTO_SEARCH_SEED").unwrap_or(0);
    for weakness in all.iter().copied() {
        let alone = wanted.as_ref().is_some_and(|wanted| *wanted == format!("{weakness:?}"));
        if wanted.is_some() && !alone {
            continue;
        }
        let begin = Instant::now();
        let found = Search::<A>::new(seed, Some(weakness)).run(tries);
        let Err(found) = found else { panic!("{weakness:?} is not found in {tries} sequences: {found:?}") };
        let (moves, took) = (found.plays.len(), begin.elapsed());
        println!("{weakness:?}: {} sequences, {moves} moves, {took:.1?}: {}", found.tried, found.broken);
        if alone {
            println!("{}", tell(&found));
        }
        let shipped = replay::<A>(&found.plays, None, false).1;
        assert!(shipped.is_ok(), "{weakness:?}: the shipped core loses as well: {shipped:?}\n{}", tell(&found));
    }
}

#[test]
fn whatever_a_provider_forgets_is_found() {
    finds::<Street>(&ProviderWeakness::ALL);
}

#[test]
fn whatever_a_requester_forgets_is_found() {
    finds::<Alley>(&RequesterWeakness::ALL);
}

/// All sequences of a few moves.
fn tries_everything<A: Small>(who: &str) {
    let depth = number("RIALTO_SEARCH_DEPTH").unwrap_or(DEPTH) as usize;
    let begin = Instant::now();
    match explore::<A>(None, depth, u64::MAX) {
        Ok(explored) => println!("{who}: {explored:?}, {:.0?}", begin.elapsed()),
        Err(broke) => {
            let story = replay::<A>(&broke.plays, None, true).0.story().join("\n");
            panic!("{}\nafter {} states: {:#?}\n{story}", broke.broken, broke.states, broke.plays);
        }
    }
}

#[test]
fn in_small_worlds_nobody_robs_a_provider() {
    tries_everything::<Street>("provider");
}

#[test]
fn in_small_worlds_nobody_robs_a_requester() {
    tries_everything::<Alley>("requester");
}

/// Found once: a seller has a puppet accuse it, both fall silent, and the deal is held, with the requester's budget in it, for as
/// long as a court may hold it.
#[test]
fn a_puppets_accusation_holds_no_budget() {
    let now = |what| Play { when: When::Now, what };
    let plays = [
        now(Sells::Offer { who: 0, cheap: false }),
        now(Sells::Offer { who: 1, cheap: false }),
        now(Sells::Job { how: 2 }),
        Play { when: When::Later(10), what: Sells::Accuse { order: 1, who: 4 } },
    ];
    replay::<Alley>(&plays, None, false).1.unwrap();
}
