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
