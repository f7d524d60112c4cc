use rialto_protocol::case::CaseId;
use rialto_protocol::{
    types::struct_hash,
    wire::{ToProvider, ToRequester},
};
use rialto_provider::core::{Effect, Event, Outcome, ProviderEvent, Record, TxState, What};

use crate::world::*;

#[test]
fn a_voucher_pays_and_reopens_the_credit_window() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    for seq in 0..2 {
        world.deliver(session, &deal, seq, 10);
    }
    let more = world.offer(world.order(&deal, 2, 1));
    assert_eq!(codes(&world.say(session, more.clone())), ["P-ADM-005"]);
    let voucher = world.voucher(&deal, 20 * TASK_FEE, 2, false);
    let paid = world.say(session, voucher.clone());
    assert!(told(&paid).contains(&ProviderEvent::Paid { deal: id, amount: 2_000, more: 2_000 }));
    assert!(intents(&paid).is_empty(), "money is only moved at the end");
    assert!(world.say(session, voucher).is_empty(), "the same again is nothing");
    assert!(codes(&world.say(session, more)).is_empty());
}

#[test]
fn never_settles_work_for_less_than_it_costs() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 3);
    world.deliver(session, &deal, 1, 2);
    let unfinished = world.place(session, world.order(&deal, 2, 1));
    let refused = |world: &mut World, amount, orders, close| {
        let voucher = world.voucher(&deal, amount, orders, close);
        let effects = world.say(session, voucher);
        assert_eq!(world.core.deal(struct_hash(&deal)).unwrap().voucher, None);
        codes(&effects)
    };
    assert_eq!(refused(&mut world, 3 * TASK_FEE - 1, 1, false), ["P-PAY-003"]);
    assert_eq!(refused(&mut world, 3 * TASK_FEE, 2, false), ["P-PAY-003"]);
    assert_eq!(refused(&mut world, 9 * TASK_FEE, 3, false), ["P-PAY-004"], "order 2 is not done");
    assert_eq!(
        refused(&mut world, 9 * TASK_FEE, 9, false),
        ["P-PAY-004"],
        "orders that were never sent"
    );
    assert_eq!(refused(&mut world, 10_001, 2, false), ["P-PAY-002"]);
    assert_eq!(refused(&mut world, 5 * TASK_FEE - 1, 3, true), ["P-PAY-003"]);
    let mut forged = world.sign(rialto_protocol::types::Voucher {
        deal: struct_hash(&deal),
        amount: 500,
        orders: 2,
        close: false,
    });
    forged.value.amount = 501;
    assert_eq!(codes(&world.say(session, ToProvider::Voucher(forged))), ["P-PAY-001"]);
    // Paid out of order: fine, as long as what is settled is paid.
    let fine = world.voucher(&deal, 4 * TASK_FEE, 1, false);
    assert!(codes(&world.say(session, fine)).is_empty());
    let short = world.voucher(&deal, 4 * TASK_FEE, 2, false);
    assert_eq!(codes(&world.say(session, short)), ["P-PAY-003"]);
    // A better voucher never goes back.
    let less = world.voucher(&deal, 3 * TASK_FEE, 1, false);
    assert!(world.say(session, less).is_empty());
    assert_eq!(world.core.deal(struct_hash(&deal)).unwrap().voucher_amount(), 4 * TASK_FEE);
    assert!(world.core.order(unfinished).is_some());
}

#[test]
fn a_closing_voucher_is_redeemed_at_once() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 3);
    let running = world.place(session, world.order(&deal, 1, 2));
    world.fetched(running);
    let voucher = world.voucher(&deal, 3 * TASK_FEE, 2, true);
    let effects = world.say(session, voucher);
    assert_eq!(intent_of(&effects), format!("redeem-{}-300-2-close", struct_hash(&deal)));
    assert!(
        effects.contains(&Effect::Stop { order: running }),
        "closing gives up what is unfinished"
    );
    let order = world.offer(world.order(&deal, 2, 1));
    assert_eq!(codes(&world.say(session, order)), ["P-ADM-016"]);
    world.mined(&intent_of(&effects));
    let id = struct_hash(&deal);
    world.says(id, What::Redeemed { paid: 300, orders: 2 });
    let closed = world.says(id, What::Closed { paid: 300 });
    assert!(told(&closed).contains(&ProviderEvent::DealClosed { deal: id, paid: 300, lost: 0 }));
    assert!(world.core.idle());
    world.wait(3_599);
    assert!(world.core.deal(id).is_some());
    world.wait(1);
    let kept = |row: &Record| {
        matches!(row, Record::Market(_) | Record::Ask(..) | Record::Day(..) | Record::Refusals(_))
    };
    assert!(
        world.core.deal(id).is_none() && world.core.rows().iter().all(kept),
        "all but the asks and the books"
    );
}

#[test]
fn redeems_before_the_deal_expires_and_only_what_is_worth_it() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let (poor, of_poor) = world.deal(2);
    world.deliver(session, &deal, 0, 3);
    let voucher = world.voucher(&deal, 3 * TASK_FEE, 1, false);
    world.say(session, voucher);
    let dust = world.voucher(&poor, world.config.money.tx_worth, 0, false);
    world.say(of_poor, dust);
    world.take();
    world.now = deal.expiry - 601;
    assert!(intents(&world.wait(0)).is_empty());
    let effects = world.wait(1);
    assert_eq!(intent_of(&effects), format!("redeem-{}-300-1", struct_hash(&deal)));
    // Another one before the first is mined waits for it.
    let better = world.voucher(&deal, 4 * TASK_FEE, 1, false);
    assert!(intents(&world.say(session, better)).is_empty());
    world.mined(&intent_of(&effects));
    world.says(struct_hash(&deal), What::Redeemed { paid: 300, orders: 1 });
    let all: Vec<_> = intents(&world.take());
    assert_eq!(all, ["redeem", "redeem"], "the second after the first, none for dust");
}

#[test]
fn redeems_in_the_middle_when_told_to() {
    let mut config = config();
    config.money.redeem_at = 250;
    let mut world = World::with(config);
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 5);
    let small = world.voucher(&deal, 200, 0, false);
    assert!(intents(&world.say(session, small)).is_empty());
    let large = world.voucher(&deal, 500, 1, false);
    assert_eq!(intents(&world.say(session, large)), ["redeem"]);
}

#[test]
fn claims_what_stays_unpaid_after_redeeming_what_was_paid() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    world.deliver(session, &deal, 0, 3);
    let unpaid = world.deliver(session, &deal, 1, 2);
    let voucher = world.voucher(&deal, 300, 1, false);
    world.say(session, voucher);
    assert!(intents(&world.wait(299)).is_empty());
    let both = world.wait(1);
    assert_eq!(intents(&both), ["redeem", "claim"], "neither waits for the other");
    let sent: Vec<_> = world.sent.keys().cloned().collect();
    let [claim, redeem] = sent.as_slice() else { panic!("{sent:?}") };
    world.mined(claim);
    let claimed = CaseId::Claim { order: unpaid };
    let deadline = world.now + 1_000;
    world.says(id, What::CaseOpened { case: claimed, seq: 1, deadline });
    assert!(
        intents(&world.wait(1_003)).is_empty(),
        "what a claim pays, a voucher would not pay again"
    );
    world.mined(redeem);
    let settle = world.says(id, What::Redeemed { paid: 300, orders: 1 });
    assert_eq!(intents(&settle), ["settle"]);
    world.mined(&intent_of(&settle));
    world.says(id, What::CaseEnded { case: claimed, paid: 200 });
    assert_eq!(world.chain(&deal).paid, 500);
    assert!(intents(&world.wait(100)).is_empty());
    assert!(world.core.deal(id).unwrap().txs.is_empty(), "done and forgotten");
}

#[test]
fn never_claims_what_a_vouchers_amount_already_pays() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 3);
    world.deliver(session, &deal, 1, 2);
    // Pays order 1 alone.
    let voucher = world.voucher(&deal, 200, 0, false);
    world.say(session, voucher);
    let claims = world.wait(400);
    let fees: u128 = claims
        .iter()
        .filter_map(|e| match e {
            Effect::Transact {
                call: rialto_provider::core::Call::Claim { receipt, .. }, ..
            } => Some(receipt.fee),
            _ => None,
        })
        .sum();
    assert_eq!(fees, 300);
}

#[test]
fn ends_its_own_deals_by_time() {
    let mut world = World::new();
    let (deal, _) = world.deal(1);
    world.now = deal.expiry + GRACE;
    assert!(intents(&world.wait(0)).is_empty());
    let expire = world.wait(2);
    assert_eq!(intents(&expire), ["expire"]);
    world.mined(&intent_of(&expire));
    let closed = world.says(struct_hash(&deal), What::Closed { paid: 0 });
    assert!(told(&closed).iter().any(|e| matches!(e, ProviderEvent::DealClosed { .. })));
}

#[test]
fn consents_to_close_when_nothing_is_lost() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 3);
    assert_eq!(codes(&world.say(session, ToProvider::AskRelease { amount: 299 })), ["P-PAY-005"]);
    let effects = world.say(session, ToProvider::AskRelease { amount: 300 });
    assert!(
        messages(&effects)
            .iter()
            .any(|m| matches!(m, ToRequester::Release(release) if release.value.amount == 300))
    );
    let order = world.offer(world.order(&deal, 1, 1));
    assert_eq!(codes(&world.say(session, order)), ["P-ADM-016"]);
}

#[test]
fn tries_again_what_reverted_and_says_when_it_keeps_failing() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 3);
    let voucher = world.voucher(&deal, 300, 1, true);
    let mut intent = intent_of(&world.say(session, voucher));
    let mut seen = std::collections::BTreeSet::from([intent.clone()]);
    for _ in 0..3 {
        world.feed(Event::Transacted { intent: intent.clone(), outcome: Outcome::Reverted });
        assert!(intents(&world.wait(1)).is_empty(), "not at once");
        intent = intent_of(&world.wait(200));
        assert!(seen.insert(intent.clone()), "a reverted intent is spent");
    }
    world.feed(Event::Transacted { intent: intent.clone(), outcome: Outcome::Reverted });
    assert!(
        told(&world.take()).iter().any(|e| matches!(e, ProviderEvent::TransactionFails { .. }))
    );
    assert_eq!(intents(&world.wait(1_800)), ["redeem"], "money is never given up");
}

#[test]
fn what_was_not_sent_is_sent_again_under_the_same_name() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 3);
    let voucher = world.voucher(&deal, 300, 1, true);
    let intent = intent_of(&world.say(session, voucher));
    assert_eq!(intent_of(&world.crash()), intent);
    world.feed(Event::Transacted { intent: intent.clone(), outcome: Outcome::Unsent });
    assert_eq!(intent_of(&world.wait(10)), intent);
}

#[test]
fn a_reorg_takes_facts_back_and_the_work_goes_on() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    world.deliver(session, &deal, 0, 3);
    let voucher = world.voucher(&deal, 300, 1, true);
    let intent = intent_of(&world.say(session, voucher));
    world.mined(&intent);
    world.says(id, What::Redeemed { paid: 300, orders: 1 });
    world.says(id, What::Closed { paid: 300 });
    let removed: Vec<_> =
        world.logs.drain(world.logs.len() - 2..).rev().map(|fact| fact.at).collect();
    let head = world.head();
    world.feed(Event::Chain { removed, added: vec![], head });
    assert!(world.chain(&deal).open && world.chain(&deal).paid == 0);
    assert!(intents(&world.wait(1)).is_empty(), "it will probably come back by itself");
    let again = intent_of(&world.wait(60));
    assert_ne!(again, intent);
    let txs = &world.core.deal(id).unwrap().txs;
    assert!(txs.values().any(|tx| tx.intent == again && tx.state == TxState::Sent));
}

#[test]
fn a_deal_that_a_reorg_took_is_no_deal_until_it_is_back() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let opened = world.logs.pop().unwrap();
    world.feed(Event::Chain { removed: vec![opened.at], added: vec![], head: 0 });
    let order = world.offer(world.order(&deal, 0, 1));
    assert_eq!(codes(&world.say(session, order.clone())), ["P-ADM-001"]);
    world.feed(Event::Chain { removed: vec![], added: vec![opened], head: 1 });
    assert!(codes(&world.say(session, order)).is_empty());
}

#[test]
fn draining_turns_vouchers_into_money() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 3);
    let running = world.place(session, world.order(&deal, 1, 1));
    world.fetched(running);
    let voucher = world.voucher(&deal, 300, 1, false);
    world.say(session, voucher);
    let effects = world.feed(Event::Drain);
    assert_eq!(intents(&effects), ["redeem"]);
    assert!(!world.core.idle(), "what was accepted is finished");
    world.run(running);
    assert!(!world.core.idle());
    world.mined(&intent_of(&effects));
    assert!(world.core.idle());
}
