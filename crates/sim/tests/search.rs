//! scratch
#![allow(clippy::unwrap_used)]
use rialto_sim::search::{
    Search,
    provider::{Street, Weakness},
};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn provider() {
    let tries = number("RIALTO_SEARCH_TRIES").unwrap_or(200);
    let seed = number("RIALTO_SEARCH_SEED").unwrap_or(0);
    let weakness =
        std::env::var("WEAK").ok().map(|name| *Weakness::ALL.iter().find(|w| format!("{w:?}") == name).unwrap());
    let begin = std::time::Instant::now();
    match Search::<Street>::new(seed, weakness).run(tries) {
        Ok(seen) => println!("{seen:?} {:?}", begin.elapsed()),
        Err(found) => {
            for line in &found.story {
                println!("{line}");
            }
            println!("{:#?}", found.plays);
            panic!("{} after {} {:?}", found.broken, found.tried, begin.elapsed());
        }
    }
}
