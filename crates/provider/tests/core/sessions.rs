use alloy_primitives::B256;
use rialto_protocol::{
    types::{Cancel, Order, struct_hash},
    wire::{Signed, ToProvider, ToRequester, WIRE_VERSION},
};
use rialto_provider::core::{Effect, Event, What};

use crate::world::*;

fn welcomed(effects: &[Effect]) -> Option<(u64, u128)> {
    messages(effects).into_iter().find_map(|m| match m {
        ToRequester::Welcome { next_seq, paid, .. } => Some((*next_seq, *paid)),
        _ => None,
    })
}

#[test]
fn a_hello_may_come_before_its_deal() {
    let mut world = World::new();
    let deal = world.deal_terms(1);
    let session = world.connect(0x55);
    assert_eq!(welcomed(&world.hello(session, &deal)), None);
    let effects = world.says(struct_hash(&deal), What::Opened(Box::new(deal.clone())));
    assert_eq!(welcomed(&effects), Some((0, 0)));
}

#[test]
fn a_hello_for_nothing_is_refused_in_the_end() {
    let mut world = World::new();
    let deal = world.deal_terms(1);
    let session = world.connect(0x55);
    world.hello(session, &deal);
    let effects = world.wait(61);
    assert_eq!(codes(&effects), ["P-ADM-001"]);
    assert!(effects.contains(&Effect::Hangup { session }));
}

#[test]
fn strangers_versions_and_foreign_deals_are_turned_away() {
    let mut world = World::new();
    let deal = world.open(1);
    let session = world.connect(0x55);
    let order = world.offer(world.order(&deal, 0, 1));
    assert_eq!(codes(&world.say(session, order)), ["P-SES-002"]);
    let old = ToProvider::Hello { version: WIRE_VERSION + 1, deal: deal.clone() };
    assert_eq!(codes(&world.say(session, old)), ["P-SES-001"]);
    let session = world.connect(0x55);
    let mut foreign = deal.clone();
    foreign.provider = foreign.requester;
    assert_eq!(codes(&world.hello(session, &foreign)), ["P-ADM-001"]);
    let mut early = deal;
    early.budget += 1;
    let session = world.connect(0x55);
    assert_eq!(welcomed(&world.hello(session, &early)), None, "other terms are another deal");
}

#[test]
fn resuming_brings_back_what_was_lost() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let done = world.deliver(session, &deal, 0, 1);
    let waiting = world.place(session, world.order(&deal, 1, 1));
    world.fetched(waiting);
    let fetching = world.place(session, world.order(&deal, 2, 1));
    world.feed(Event::Disconnected { session });
    world.crash();
    world.wait(6);
    let session = world.connect(0x55);
    let effects = world.hello(session, &deal);
    assert_eq!(welcomed(&effects), Some((3, 0)));
    assert_eq!(receipts(&effects), [done].into());
    let acks: Vec<_> = messages(&effects)
        .into_iter()
        .filter_map(|m| if let ToRequester::Ack(ack) = m { Some(ack.value.order) } else { None })
        .collect();
    assert_eq!(acks, [done, waiting]);
    assert!(effects.iter().any(|e| matches!(e, Effect::Fetch(work) if work.hash == fetching)));
}

#[test]
fn receipts_go_to_whom_the_requester_sent_and_nobody_else() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order = world.deliver(session, &deal, 0, 1);
    let thief = world.connect(0x99);
    let effects = world.hello(thief, &deal);
    assert!(welcomed(&effects).is_some());
    assert!(receipts(&effects).is_empty());
    // An order that is known may be on chain for all to see: it proves nothing.
    let known = world.offer(world.core.order(order).unwrap().order.value.clone());
    assert_eq!(codes(&world.say(thief, known)), ["P-ADM-002"]);
    let unsigned = Signed { value: Cancel { order }, signature: Default::default() };
    for message in [ToProvider::Cancel(unsigned), ToProvider::AskRelease { amount: 9_999 }] {
        assert_eq!(codes(&world.say(thief, message)), ["P-ADM-002"]);
    }
    // The requester moves: something new and signed from another endpoint.
    world.feed(Event::Disconnected { session });
    let voucher = world.voucher(&deal, TASK_FEE, 1, false);
    world.say(thief, voucher);
    let moved = world.connect(0x99);
    world.hello(moved, &deal);
    assert_eq!(
        world.core.deal(struct_hash(&deal)).unwrap().endpoint,
        Some(B256::repeat_byte(0x99))
    );
}

#[test]
fn who_signs_nothing_loses_its_session() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order = world.deliver(session, &deal, 0, 1);
    let stranger = world.connect(0x99);
    world.hello(stranger, &deal);
    for at in 1..=16 {
        let effects =
            world.say(stranger, ToProvider::Reject { order, task: 0, expected: B256::ZERO });
        assert_eq!(codes(&effects), ["P-ADM-002"]);
        assert_eq!(effects.contains(&Effect::Hangup { session: stranger }), at == 16);
    }
    assert!(world.say(stranger, ToProvider::AskRelease { amount: 0 }).is_empty());
    let next = world.offer(world.order(&deal, 1, 1));
    assert!(codes(&world.say(session, next)).is_empty());
}

#[test]
fn signatures_are_checked_so_often_in_a_second() {
    let mut world = World::new();
    let (deal, _) = world.deal(1);
    let mut codes_seen = std::collections::BTreeMap::new();
    for at in 0..80u64 {
        let session = world.connect(0x99);
        world.hello(session, &deal);
        for seq in 0..16 {
            let mut offer = world.offer(Order { seed: at, ..world.order(&deal, seq, 1) });
            if let ToProvider::Order { order, .. } = &mut offer {
                order.signature = Default::default();
            }
            for code in codes(&world.say(session, offer)) {
                *codes_seen.entry(code).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(
        codes_seen,
        [("P-ADM-002".to_string(), 1_024), ("P-SES-003".to_string(), 256)].into()
    );
}

#[test]
fn one_deal_does_not_take_all_sessions() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 1);
    for peer in 100..150 {
        let stranger = world.connect(peer);
        world.hello(stranger, &deal);
    }
    assert!(world.core.status().sessions <= 9);
    let order = world.offer(world.order(&deal, 1, 1));
    assert!(codes(&world.say(session, order)).is_empty(), "the requester's own session survives");
}
