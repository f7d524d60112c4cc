use alloy_primitives::B256;
use rialto_protocol::case::CaseId;
use rialto_protocol::{OrderId, ReceiptId, types::struct_hash, wire::ToProvider};
use rialto_provider::core::{Call, Effect, Event, Outcome, ProviderEvent, Verdict, What};

use crate::world::*;

fn reject(order: OrderId, task: u32) -> ToProvider {
    ToProvider::Reject { order, task, expected: B256::ZERO }
}

fn reruns(effects: &[Effect]) -> Vec<u32> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Rerun { task, .. } = e { Some(*task) } else { None })
        .collect()
}

#[test]
fn a_wrong_result_takes_what_is_offered() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    world.deliver(session, &deal, 0, 3);
    let wrong = world.deliver(session, &deal, 1, 4);
    assert_eq!(reruns(&world.say(session, reject(wrong, 2))), [2]);
    assert!(reruns(&world.say(session, reject(wrong, 2))).is_empty(), "once");
    // The closing voucher comes before the answer is known: it waits.
    let settlement = world.voucher(&deal, 300, 2, true);
    assert!(intents(&world.say(session, settlement)).is_empty());
    let order = world.offer(world.order(&deal, 2, 1));
    assert_eq!(codes(&world.say(session, order)), ["P-ADM-016"]);
    let found = world.feed(Event::Reran { order: wrong, task: 2, same: Some(false) });
    assert!(told(&found).contains(&ProviderEvent::Rejected {
        deal: id,
        order: wrong,
        task: 2,
        verdict: Verdict::Differs
    }));
    assert_eq!(intent_of(&found), format!("redeem-{id}-300-2-close"));
}

#[test]
fn a_wrong_result_is_never_claimed() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let wrong = world.deliver(session, &deal, 0, 4);
    world.say(session, reject(wrong, 0));
    world.feed(Event::Reran { order: wrong, task: 0, same: Some(false) });
    world.take();
    world.wait(2_000);
    world.now = deal.expiry + GRACE - 10;
    world.wait(0);
    assert!(intents(&world.take()).is_empty());
    let late = world.voucher(&deal, 50, 1, true);
    assert_eq!(intents(&world.say(session, late)), ["redeem"]);
}

#[test]
fn a_right_result_is_defended() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let right = world.deliver(session, &deal, 0, 4);
    world.say(session, reject(right, 1));
    let settlement = world.voucher(&deal, 100, 1, true);
    world.say(session, settlement.clone());
    let found = world.feed(Event::Reran { order: right, task: 1, same: Some(true) });
    assert_eq!(codes(&found), ["P-PAY-003"]);
    assert_eq!(intents(&found), ["claim"], "at once");
    assert_eq!(codes(&world.say(session, settlement)), ["P-PAY-003"]);
    let full = world.voucher(&deal, 400, 1, true);
    assert_eq!(intents(&world.say(session, full)), ["redeem"]);
}

#[test]
fn a_rejection_survives_a_crash_and_a_broken_host_decides_nothing() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order = world.deliver(session, &deal, 0, 4);
    world.say(session, reject(order, 1));
    let settlement = world.voucher(&deal, 100, 1, true);
    world.say(session, settlement);
    world.take();
    world.crash();
    assert_eq!(reruns(&world.take()), [1]);
    world.feed(Event::Reran { order, task: 1, same: None });
    let row = world.core.deal(struct_hash(&deal)).unwrap();
    assert_eq!((row.verdict, &row.held, &row.voucher), (Verdict::Clean, &None, &None));
}

#[test]
fn a_late_notice_is_answered_with_the_receipt() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let done = world.deliver(session, &deal, 0, 1);
    let late = CaseId::Late { order: done };
    let deadline = world.now + 500;
    let effects = world.says(struct_hash(&deal), What::CaseOpened { case: late, seq: 0, deadline });
    assert!(
        told(&effects)
            .contains(&ProviderEvent::CaseOpened { deal: struct_hash(&deal), case: late })
    );
    assert_eq!(intents(&effects), ["answer"]);
    world.mined(&intent_of(&effects));
    world.says(struct_hash(&deal), What::CaseEnded { case: late, paid: 0 });
    assert_eq!(intents(&world.wait(300)), ["claim"], "an answer does not pay");
}

#[test]
fn a_late_order_is_run_first_even_if_it_was_cancelled() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let (other, of_other) = world.deal(2);
    let cancelled = world.place(session, world.order(&deal, 0, 1));
    world.fetched(cancelled);
    // Its closing voucher, which can't be redeemed in time, gives it up.
    let close = world.voucher(&deal, 0, 0, true);
    assert_eq!(intents(&world.say(session, close)), ["redeem"]);
    let running = world.place(of_other, world.order(&other, 0, 2));
    world.fetched(running);
    let waiting = world.place(of_other, world.order(&other, 1, 2));
    world.fetched(waiting);
    let deadline = world.now + 500;
    let late = CaseId::Late { order: cancelled };
    world.says(struct_hash(&deal), What::CaseOpened { case: late, seq: 0, deadline });
    assert_eq!(runs(&world.run(running))[0], cancelled);
    assert_eq!(intents(&world.run(cancelled)), ["answer"]);
}

#[test]
fn a_demand_is_answered() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order = world.deliver(session, &deal, 0, 4);
    let receipt = world.core.order(order).unwrap().state.receipt().unwrap().clone();
    let demand = CaseId::Demand { receipt: struct_hash(&receipt), task: 3 };
    let deadline = world.now + 500;
    let effects =
        world.says(struct_hash(&deal), What::CaseOpened { case: demand, seq: 0, deadline });
    assert!(effects.iter().any(|e| matches!(
        e,
        Effect::Transact { call: Call::Reveal { task: 3, receipt: r, .. }, .. } if *r == receipt
    )));
    world.feed(Event::Transacted { intent: intent_of(&effects), outcome: Outcome::Reverted });
    assert_eq!(intents(&world.wait(100)), ["reveal"]);
}

#[test]
fn claims_wait_for_demands_and_nobody_convicts_himself() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    let order = world.deliver(session, &deal, 0, 4);
    let claim = CaseId::Claim { order };
    let demand = CaseId::Demand { receipt: ReceiptId::repeat_byte(9), task: 0 };
    let deadline = world.now + 400;
    world.says(id, What::CaseOpened { case: claim, seq: 0, deadline });
    world.says(id, What::CaseOpened { case: demand, seq: 0, deadline });
    assert!(intents(&world.wait(1_000)).is_empty());
    assert_eq!(intents(&world.says(id, What::CaseEnded { case: demand, paid: 0 })), ["settle"]);
}
