//! Records of every version that was released: what they add up to now. A journal that can't be
//! read any more would forget open deals, so a change of the format comes with a migration
//! (`rialto_party::Step`), and its fixture stays.

use std::path::Path;

use super::{cases::until, *};
use crate::core::State;

/// Records of version 4, one a line: two jobs, deals that are open, one that is in court.
pub const VERSION_4: &str = include_str!("../../../tests/journals/requester-records-4.txt");

/// Rows of a fixture.
pub fn rows(fixture: &str) -> Vec<Vec<u8>> {
    fixture.lines().map(|line| line.parse::<Bytes>().unwrap().to_vec()).collect()
}

fn read(fixture: &str) -> Vec<Record> {
    rows(fixture).iter().map(|row| postcard::from_bytes(row).unwrap()).collect()
}

/// A life with much of what a journal can hold, up to a moment at which deals are open.
fn life() -> World {
    let manners = [
        Manner::Honest,
        Manner::Cheats(2),
        Manner::Silent,
        Manner::Refuses("P-ADM-012"),
        Manner::BadRoot,
        Manner::Releases,
        Manner::Honest,
        Manner::Dies(3),
    ];
    let mut world = World::with(&manners, before_court);
    world.can_trace = true;
    world.feed(Event::Submit(spec(12, Policy::Replicate { n: 2 })));
    world.run(2_000);
    let mut second = spec(8, Policy::Trust);
    second.id = JobId(8);
    world.feed(Event::Submit(second));
    until(&mut world, 200, |world| {
        let orders = world.core.state().orders.values();
        orders.filter(|order| order.job == JobId(8) && order.receipt.is_some()).count() > 1
    });
    world.crash();
    world
}

#[test]
#[ignore = "writes a fixture: run it once, when a version of the format is released"]
fn writes_the_fixture_of_this_version() {
    let rows = life().journal;
    let lines = rows
        .iter()
        .map(|record| format!("{}\n", Bytes::from(postcard::to_stdvec(record).unwrap())));
    let path = "tests/journals/requester-records-4.txt";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(!path.exists() || VERSION_4.is_empty(), "what was released does not change");
    std::fs::write(path, lines.collect::<String>()).unwrap();
}

#[test]
fn a_journal_of_version_4_is_read_to_the_last_byte() {
    let records = read(VERSION_4);
    for (record, row) in records.iter().zip(rows(VERSION_4)) {
        assert_eq!(postcard::to_stdvec(record).unwrap(), row, "{record:?}");
    }
    let mut kinds: Vec<String> = records
        .iter()
        .map(|record| format!("{record:?}").split([' ', '(']).next().unwrap().to_owned())
        .collect();
    kinds.sort();
    kinds.dedup();

    let state = State::replay(&records);
    let open = state.deals.values().filter(|deal| deal.closed.is_none()).count();
    let unfinished: usize = state.deals.values().map(|deal| deal.unfinished().count()).sum();
    let paid: u128 = state.deals.values().map(|deal| deal.chain.paid).sum();
    let found = (kinds.len(), state.jobs.len(), state.deals.len(), open, unfinished, paid);
    assert_eq!(found, (24, 2, 11, 6, 13, 24019), "{kinds:?}");
}
