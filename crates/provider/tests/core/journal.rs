//! Rows of every version that was released: what they add up to now. A journal that can't be read
//! any more would forget open deals, so a change of the format comes with a migration
//! (`rialto_party::Step`), and its fixture stays.

use std::path::Path;

use alloy_primitives::hex;
use rialto_protocol::{case::CaseId, types::struct_hash, wire::ToProvider};
use rialto_provider::core::{Core, Record, What, journal::Key};

use super::world::{World, config};

/// Rows of version 2, key and value on a line.
const VERSION_2: &str = include_str!("../journals/provider-rows-2.txt");

fn rows(fixture: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let row = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap();
        (hex::decode(key).unwrap(), hex::decode(value).unwrap())
    };
    fixture.lines().map(row).collect()
}

/// A life with much of what a journal can hold, up to a moment at which deals are open.
fn life() -> World {
    let mut world = World::new();
    // One deal is paid and over.
    let (done, session) = world.deal(1);
    let order = world.deliver(session, &done, 0, 4);
    let fee = world.core.order(order).unwrap().state.receipt().unwrap().fee;
    let voucher = world.voucher(&done, fee, 1, true);
    world.say(session, voucher);
    world.says(struct_hash(&done), What::Closed { paid: fee });
    // Of the second, an order is delivered and called late, and one was accepted.
    let (deal, session) = world.deal(2);
    let id = struct_hash(&deal);
    let order = world.deliver(session, &deal, 0, 2);
    let deadline = world.now + 1_800;
    world.says(id, What::CaseOpened { case: CaseId::Late { order }, seq: 0, deadline });
    let order = world.order(&deal, 1, 3);
    let order = world.place(session, order);
    world.say(session, ToProvider::Reject { order, task: 0, expected: Default::default() });
    // Of the third nothing was asked yet.
    world.open(3);
    world
}

#[test]
#[ignore = "writes a fixture: run it once, when a version of the format is released"]
fn writes_the_fixture_of_this_version() {
    let journal = life().journal;
    let line = |(key, value): (&Key, &Vec<u8>)| {
        format!("{} {}\n", hex::encode(key.as_bytes()), hex::encode(value))
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals/provider-rows-2.txt");
    assert!(VERSION_2.is_empty(), "what was released does not change");
    std::fs::write(path, journal.iter().map(line).collect::<String>()).unwrap();
}

#[test]
fn a_journal_of_version_2_is_read_to_the_last_byte() {
    let rows = rows(VERSION_2);
    let records: Vec<Record> = rows.iter().map(|(_, value)| Record::read(value).unwrap()).collect();
    for (record, (key, value)) in records.iter().zip(&rows) {
        let writes = record.writes();
        let [(known, Some(written))] = &writes[..] else { panic!("{record:?}") };
        assert_eq!((known.as_bytes(), written), (&key[..], value), "{record:?}");
    }
    let core = Core::restore(config(), records);
    let open: Vec<_> = core.live_deals().map(|(id, deal)| (id, deal.salt)).collect();
    assert_eq!(open.iter().map(|(_, salt)| *salt).collect::<Vec<_>>().len(), 2, "{open:?}");
    let (called, _) = open.iter().find(|(_, salt)| *salt == 2).unwrap();
    let row = core.deal(*called).unwrap();
    assert_eq!(row.chain().cases.len(), 1, "the late notice is known");
    assert_eq!(core.delivered(*called).len(), 1);
    assert_eq!(core.kept_orders().filter(|(_, row)| row.state.receipt().is_none()).count(), 1);
}
