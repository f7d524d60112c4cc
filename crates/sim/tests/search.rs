//! scratch
#![allow(clippy::unwrap_used)]
use rialto_sim::search::{Arena, Search, provider, requester};
use std::fmt::Debug;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn search<A: Arena>(all: &[A::Weakness])
where
    A::Weakness: Debug,
{
    let tries = number("RIALTO_SEARCH_TRIES").unwrap_or(200);
    let seed = number("RIALTO_SEARCH_SEED").unwrap_or(0);
    let weakness = std::env::var("WEAK").ok().map(|name| *all.iter().find(|w| format!("{w:?}") == name).unwrap());
    let begin = std::time::Instant::now();
    match Search::<A>::new(seed, weakness).run(tries) {
        Ok(seen) => println!("{seen:?} {:?}", begin.elapsed()),
        Err(found) => {
            for line in &found.story {
                println!("{line}");
            }
            for play in &found.plays {
                println!("{play:?}");
            }
            panic!("{} after {} {:?}", found.broken, found.tried, begin.elapsed());
        }
    }
}

#[test]
fn provider() {
    search::<provider::Street>(&provider::Weakness::ALL);
}

#[test]
fn requester() {
    search::<requester::Alley>(&requester::Weakness::ALL);
}

use rialto_sim::search::scope::{Small, explore};

fn small<A: Small>() {
    let depth = number("RIALTO_SEARCH_DEPTH").unwrap_or(2) as usize;
    let begin = std::time::Instant::now();
    match explore::<A>(None, depth, u64::MAX) {
        Ok(seen) => println!("{seen:?} {:?}", begin.elapsed()),
        Err(found) => {
            for play in &found.plays {
                println!("{play:?}");
            }
            for line in rialto_sim::search::replay::<A>(&found.plays, None, true).0.story() {
                println!("{line}");
            }
            panic!("{} after {} {:?}", found.broken, found.states, begin.elapsed());
        }
    }
}

#[test]
fn small_provider() {
    small::<provider::Street>();
}

#[test]
fn small_requester() {
    small::<requester::Alley>();
}
