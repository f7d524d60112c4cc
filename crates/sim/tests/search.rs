//! The search for counterexamples to docs/threat-model.md: an honest provider and an honest
//! requester, each against a strategist that can do everything that keys and money allow; and small
//! worlds, in which every sequence is tried.
//!
//! | variable | does |
//! |---|---|
//! | `RIALTO_SEARCH_TRIES` | tries so many sequences against each side, and as many against each weakness |
//! | `RIALTO_SEARCH_SEED` | beginning with this seed |
//! | `RIALTO_SEARCH_WEAKNESS` | looks for this weakness alone, or for `all`, and tells what it finds; else only for those that a few hundred sequences find |
//! | `RIALTO_SEARCH_DEPTH` | small worlds: all sequences of so many moves |
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::time::Instant;

use rialto_sim::search::{
    Arena, Found, Play, Search, When,
    provider::{Street, Weakness as ProviderWeakness, foe::Move as Buys},
    replay,
    requester::{Alley, Weakness as RequesterWeakness, foe::Move as Sells},
    scope::{Small, explore},
};

/// Sequences tried against each shipped core. They take half a minute of one core.
const TRIES: u64 = 700;
/// Most sequences until a weakness must be found.
const TRIES_TO_FIND: u64 = 4_000;
/// Moves in small worlds.
const DEPTH: u64 = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn tell<M: Debug>(found: &Found<M>) -> String {
    let moves: Vec<_> = found.plays.iter().map(|play| format!("{play:?}")).collect();
    let (story, moves) = (found.story.join("\n"), moves.join("\n"));
    format!("{}\nafter {} sequences; shrunk:\n{moves}\n{story}", found.broken, found.tried)
}

fn finds_nothing<A: Arena>(who: &str) {
    let (tries, seed) =
        (number("RIALTO_SEARCH_TRIES").unwrap_or(TRIES), number("RIALTO_SEARCH_SEED").unwrap_or(0));
    let begin = Instant::now();
    let seen =
        Search::<A>::new(seed, None).run(tries).unwrap_or_else(|found| panic!("{}", tell(&found)));
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

/// Checks that the search finds weaknesses: those in `soon`, or those of `all` that the environment
/// names. A search that finds none of them would prove nothing.
fn finds<A: Arena>(all: &[A::Weakness], soon: &[A::Weakness])
where
    A::Weakness: PartialEq,
{
    let wanted = std::env::var("RIALTO_SEARCH_WEAKNESS").ok();
    let tries = number("RIALTO_SEARCH_TRIES").unwrap_or(TRIES_TO_FIND).max(TRIES_TO_FIND);
    let seed = number("RIALTO_SEARCH_SEED").unwrap_or(0);
    let mut faults = Vec::new();
    for weakness in all.iter().copied() {
        let alone = wanted.as_ref().is_some_and(|wanted| *wanted == format!("{weakness:?}"));
        let chosen = match wanted.as_deref() {
            None => soon.contains(&weakness),
            Some("all") => true,
            Some(_) => alone,
        };
        if !chosen {
            continue;
        }
        let begin = Instant::now();
        let found = Search::<A>::new(seed, Some(weakness)).run(tries);
        let Err(found) = found else {
            faults.push(format!("{weakness:?} is not found in {tries} sequences: {found:?}"));
            continue;
        };
        let (moves, took) = (found.plays.len(), begin.elapsed());
        println!(
            "{weakness:?}: {} sequences, {moves} moves, {took:.1?}: {}",
            found.tried, found.broken
        );
        if alone {
            println!("{}", tell(&found));
        }
        if let Err(broken) = replay::<A>(&found.plays, None, false).1 {
            faults.push(format!(
                "{weakness:?}: the shipped core loses as well: {broken}\n{}",
                tell(&found)
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn whatever_a_provider_forgets_is_found() {
    finds::<Street>(
        &ProviderWeakness::ALL,
        &[
            ProviderWeakness::ClosingShadows,
            ProviderWeakness::StopsWhenClosed,
            ProviderWeakness::OneClock,
            ProviderWeakness::RejectionsFirst,
        ],
    );
}

#[test]
fn whatever_a_requester_forgets_is_found() {
    finds::<Alley>(
        &RequesterWeakness::ALL,
        &[
            RequesterWeakness::ClaimsUnjudged,
            RequesterWeakness::PaidIsPaid,
            RequesterWeakness::AccusesUntilExpiry,
            RequesterWeakness::RevealIsNoNews,
        ],
    );
}

/// Tries all sequences of a few moves.
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

fn now<M>(what: M) -> Play<M> {
    Play { when: When::Now, what }
}

fn later<M>(seconds: u16, what: M) -> Play<M> {
    Play { when: When::Later(seconds), what }
}

/// Returns, for each weakness, an attack that it allows, written by hand.
fn attacks_on_providers() -> Vec<(ProviderWeakness, Vec<Play<Buys>>)> {
    use ProviderWeakness as Weak;
    let open = |who| now(Buys::Open { who, budget: 0, seconds: 0, back: 0 });
    let order = |due, slow| {
        later(1, Buys::Order { deal: 0, tasks: 1, fuel: 0, due, seq: 0, starve: false, slow })
    };
    let pay = |close| later(150, Buys::Voucher { deal: 0, pay: 0, upto: 0, close });
    let wait = || later(300, Buys::Wait);
    let late = || now(Buys::Late { order: 0 });
    let settle = || later(20, Buys::Settle { which: 0 });
    let accuse = |order, times| now(Buys::Accuse { order, who: 2, times });
    let begun = || vec![open(0), order(0, false)];
    let with = |mut plays: Vec<Play<Buys>>, more: Vec<Play<Buys>>| {
        plays.extend(more);
        plays
    };
    let paid = || {
        let mut plays = vec![open(0)];
        (0..3).for_each(|_| plays.extend([order(0, false), pay(false)]));
        plays
    };
    let four: Vec<_> = (0..4).flat_map(|who| [open(who), order(0, true)]).collect();
    let all_late = (0..4).map(|order| now(Buys::Late { order })).collect::<Vec<_>>();
    vec![
        (
            Weak::RedeemsAtTheEnd,
            with(
                paid(),
                vec![now(Buys::Break), order(0, false), wait(), wait(), late(), wait(), settle()],
            ),
        ),
        (
            Weak::UnsignedCancel,
            with(
                begun(),
                vec![
                    later(20, Buys::Cancel { order: 0, signed: false }),
                    wait(),
                    wait(),
                    late(),
                    wait(),
                    settle(),
                ],
            ),
        ),
        (
            Weak::EasyRelease,
            with(
                begun(),
                vec![
                    later(20, Buys::AskRelease { deal: 0, amount: 0 }),
                    wait(),
                    wait(),
                    late(),
                    wait(),
                    settle(),
                ],
            ),
        ),
        (
            Weak::EasyPromise,
            with(with(four, vec![later(200, Buys::Wait)]), with(all_late, vec![wait(), settle()])),
        ),
        (
            Weak::RejectionsFirst,
            with(
                begun(),
                vec![
                    later(200, Buys::Reject { order: 0, task: 0, times: 15 }),
                    accuse(0, 0),
                    wait(),
                ],
            ),
        ),
        (
            Weak::StopsWhenClosed,
            with(
                begun(),
                vec![
                    pay(false),
                    accuse(0, 0),
                    now(Buys::Voucher { deal: 0, pay: 0, upto: 0, close: true }),
                    wait(),
                ],
            ),
        ),
        (
            Weak::OneClock,
            with(
                vec![open(0), order(0, false), pay(false), order(0, false), later(150, Buys::Wait)],
                vec![
                    accuse(0, 3),
                    accuse(1, 3),
                    later(20, Buys::PressAll { how: 0 }),
                    wait(),
                    wait(),
                ],
            ),
        ),
        (
            Weak::ClosingShadows,
            with(
                begun(),
                vec![pay(true), now(Buys::Demand { order: 0, task: 0 }), wait(), settle()],
            ),
        ),
    ]
}

/// Returns the same against requesters.
fn attacks_on_requesters() -> Vec<(RequesterWeakness, Vec<Play<Sells>>)> {
    use RequesterWeakness as Weak;
    let begun = |acks, delivers| {
        let mut plays: Vec<_> = (0..2).map(|who| now(Sells::Offer { who, cheap: false })).collect();
        plays.extend((0..2).map(|who| now(Sells::Manner { who, calls: true, acks, delivers })));
        plays.push(now(Sells::Job { how: 0 }));
        plays.push(later(60, Sells::Wait));
        plays
    };
    let wait = || later(300, Sells::Wait);
    let claim = |order, how| now(Sells::Claim { order, how });
    let settle = || [later(20, Sells::Settle { which: 0 }), now(Sells::Settle { which: 1 })];
    let with = |mut plays: Vec<Play<Sells>>, more: Vec<Play<Sells>>| {
        plays.extend(more);
        plays
    };
    let end = || vec![wait(), wait()].into_iter().chain(settle()).collect::<Vec<_>>();
    // The demand is made at once and answered in its last second, when the claim's own window is
    // over.
    let mut weary = vec![now(Sells::Weary { on: true })];
    weary.extend(begun(true, 8));
    weary.extend([
        claim(0, 2),
        later(301, Sells::Reveal { which: 0 }),
        now(Sells::Settle { which: 0 }),
    ]);
    let mut poor = begun(true, 8);
    poor.insert(4, now(Sells::Poor { bonds: 0, less: true }));
    // As the search found it: the first game keeps the deal from ending, and the claim is made when
    // the deal has expired.
    let edge = |which, shift| Play { when: When::Edge { which, shift }, what: Sells::Wait };
    let mut in_grace: Vec<_> = (0..2).map(|who| now(Sells::Offer { who, cheap: false })).collect();
    in_grace.push(now(Sells::Manner { who: 0, calls: true, acks: true, delivers: 1 }));
    in_grace.push(now(Sells::Job { how: 0 }));
    in_grace.push(later(120, Sells::Play { game: 0, how: 192 }));
    in_grace.extend([edge(1, 0), edge(0, 1), claim(0, 2)]);
    vec![
        (Weak::ClaimsUnjudged, with(with(begun(true, 8), vec![claim(0, 1)]), end())),
        (Weak::PaidIsPaid, with(with(begun(true, 0), vec![claim(0, 1), claim(1, 1)]), end())),
        (Weak::AccusesUntilExpiry, in_grace),
        (Weak::RevealIsNoNews, weary),
        // The account holds a unit less than the bond.
        (Weak::BondsUnkept, with(with(poor, vec![claim(0, 1)]), end())),
    ]
}

/// Weaknesses, each with the moves that exploit it.
type Attacks<A> = Vec<(<A as Arena>::Weakness, Vec<Play<<A as Arena>::Move>>)>;

fn breaks<A: Arena>(attacks: Attacks<A>) {
    let mut faults = Vec::new();
    for (weakness, plays) in attacks {
        match replay::<A>(&plays, Some(weakness), false).1 {
            Err(broken) => println!("{weakness:?}: {broken}"),
            Ok(()) => {
                let story = replay::<A>(&plays, Some(weakness), true).0.story().join("\n");
                faults.push(format!("{weakness:?} loses nothing:\n{story}"));
            }
        }
        if let Err(broken) = replay::<A>(&plays, None, false).1 {
            let story = replay::<A>(&plays, None, true).0.story().join("\n");
            faults.push(format!(
                "the shipped core loses by the attack on {weakness:?}: {broken}\n{story}"
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn known_attacks_rob_a_provider_that_forgets_and_no_other() {
    breaks::<Street>(attacks_on_providers());
}

#[test]
fn known_attacks_rob_a_requester_that_forgets_and_no_other() {
    breaks::<Alley>(attacks_on_requesters());
}

/// An attack that the search found: a seller lets a puppet accuse it, and both stop answering. Then
/// the court holds the deal, with the requester's budget, for as long as a court may.
#[test]
fn a_puppets_accusation_holds_no_budget() {
    let plays = [
        now(Sells::Offer { who: 0, cheap: false }),
        now(Sells::Offer { who: 1, cheap: false }),
        now(Sells::Job { how: 2 }),
        later(10, Sells::Accuse { order: 1, who: 4 }),
    ];
    replay::<Alley>(&plays, None, false).1.unwrap();
}
