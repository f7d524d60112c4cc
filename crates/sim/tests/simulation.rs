//! The simulated market. Every seed is a whole history with crashes, partitions, reorgs and
//! cheaters on both sides.
//!
//! | variable | does |
//! |---|---|
//! | `RIALTO_SIM_SEEDS` | runs so many seeds |
//! | `RIALTO_SIM_FIRST` | beginning with this one |
//! | `RIALTO_SIM_SEED` | runs this seed alone and tells its story |
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rialto_sim::world::World;

/// Seeds run by default. They take a few seconds.
const SEEDS: u64 = 16;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Runs one seed and prints its story.
fn tell(seed: u64) {
    let mut world = World::new(seed, true);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    println!("{:#?}", world.options);
    for line in world.story.iter().flatten() {
        println!("{line}");
    }
    println!("{:?}", world.coverage);
    match &outcome {
        Ok(outcome) => println!("seed {seed} after {} s: {outcome:?}", world.schedule.now() / 1000),
        Err(_) => println!("seed {seed} panics after {} s", world.schedule.now() / 1000),
    }
    assert!(matches!(outcome, Ok(Ok(()))), "seed {seed}");
}

#[test]
fn whatever_happens_nobody_honest_loses_and_everything_ends() {
    if let Some(seed) = number("RIALTO_SIM_SEED") {
        return tell(seed);
    }
    let first = number("RIALTO_SIM_FIRST").unwrap_or(0);
    let seeds = number("RIALTO_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let (coverage, failures) = (Mutex::new(BTreeMap::<&str, u64>::new()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            match catch_unwind(|| rialto_sim::run(seed)) {
                Ok(Ok(run)) => {
                    let mut coverage = coverage.lock().unwrap();
                    run.coverage
                        .into_iter()
                        .for_each(|(what, times)| *coverage.entry(what).or_default() += times);
                }
                Ok(Err(broken)) => {
                    failures.lock().unwrap().push(format!("RIALTO_SIM_SEED={seed}: {broken}"))
                }
                Err(_) => {
                    failures.lock().unwrap().push(format!("RIALTO_SIM_SEED={seed}: a core panics"))
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    let (coverage, failures) = (coverage.into_inner().unwrap(), failures.into_inner().unwrap());
    println!("{seeds} seeds: {coverage:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    if first == 0 && seeds >= SEEDS {
        let events = [
            "job done",
            "job failed",
            "order done",
            "cheater",
            "rejection",
            "local run",
            "crash",
            "cut",
            "partition",
            "reorg",
            "redeem",
            "claim",
            "settle",
            "close",
            "expire",
            "late",
            "answer",
            "demand",
            "reveal",
            "honest demand",
            "job waits",
            "deal taken over",
        ];
        for what in events {
            assert!(
                coverage.contains_key(what),
                "no {what} in {seeds} seeds: the options are too tame"
            );
        }
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let (once, again, other) = (rialto_sim::run(3), rialto_sim::run(3), rialto_sim::run(8));
    assert_eq!(once, again);
    assert_ne!(once.unwrap().fingerprint, other.unwrap().fingerprint);
}
