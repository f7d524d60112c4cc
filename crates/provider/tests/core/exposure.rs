//! What counterparties can cost a provider without breaking a rule, and what bounds it.

use alloy_primitives::Address;
use rialto_protocol::case::CaseId;
use rialto_protocol::{
    AskId,
    court::Answer,
    types::{Ask, Deal, Order, struct_hash},
    wire::{BlobRef, ToProvider},
};
use rialto_provider::core::{Core, Effect, Event, OrderState, Refusal, What, Worth};

use crate::{attacks::*, world::*};

#[test]
fn a_lost_game_is_not_waited_for() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    let order = world.deliver(session, &deal, 0, 4);
    let deadline = world.now + 3_600;
    let played = challenged(&mut world, &deal, order, 0, 1, deadline);
    let effects = world.feed(Event::Played { game: played, turn: 6, result: Ok(Answer::Nothing) });
    assert!(intents(&effects).is_empty());
    assert!(plays(&world.wait(100)).is_empty());
    // What this host could not do is tried again.
    let other = challenged(&mut world, &deal, order, 1, 2, deadline);
    let failed = Err(Refusal::Attempt("no memory".into()));
    world.feed(Event::Played { game: other, turn: 6, result: failed });
    assert_eq!(plays(&world.wait(20)), [(other, 6)]);
    world.says(id, What::Closed { paid: 0 });
    world.now = deadline + 3_601;
    world.wait(0);
    assert!(world.core.deal(id).is_none(), "nothing of it can be won any more");
}

#[test]
fn the_ask_of_a_deal_binds_after_a_restart_with_smaller_limits() {
    let mut world = World::new();
    let ask = world
        .take()
        .iter()
        .find_map(|e| if let Effect::Publish(ask) = e { Some(ask.clone()) } else { None });
    let ask: Ask = ask.unwrap();
    assert_eq!((ask.limits.tasks, ask.limits.credit, ask.limits.orders), (64, 2_000, 6));
    assert_eq!((ask.key, ask.runtime), (world.config.key, rialto_protocol::types::WASM_3));
    // The owner becomes timid. The deal is opened under the old ask, and seen after the restart.
    let deal = Deal { ask: struct_hash(&ask), court: ask.court, ..world.deal_terms(1) };
    world.config.limits.order_tasks = 1;
    world.config.limits.task_fuel = 1;
    world.config.limits.task_pages = 1;
    world.config.limits.task_out_bytes = 1;
    world.config.limits.program_bytes = 1;
    world.config.limits.input_bytes = 1;
    world.config.limits.deal_orders = 1;
    world.config.money.credit_window = 1;
    world.crash();
    world.says(struct_hash(&deal), What::Opened(Box::new(deal.clone())));
    let session = world.connect(0x55);
    world.hello(session, &deal);
    let order = world.order(&deal, 0, 10);
    let offer = world.offer(order);
    assert!(codes(&world.say(session, offer)).is_empty());
    // It stays so over another restart, and after the ask is long over and forgotten.
    world.crash();
    world.now = ask.to + 2_000;
    world.wait(0);
    let session = world.connect(0x55);
    world.hello(session, &deal);
    let next = Order { dueBy: world.now + 200, ..world.order(&deal, 1, 10) };
    let offer = world.offer(next);
    assert!(codes(&world.say(session, offer)).is_empty());
    // A deal under an ask that nobody knows is served as the configuration says today.
    let other = Deal { ask: AskId::repeat_byte(1), ..world.deal_terms(2) };
    world.says(struct_hash(&other), What::Opened(Box::new(other.clone())));
    let session = world.connect(0x56);
    world.hello(session, &other);
    let offer = world.offer(world.order(&other, 0, 10));
    assert_eq!(codes(&world.say(session, offer)), ["P-ADM-006"]);
}

#[test]
fn asks_are_forgotten_when_no_deal_can_come_of_them() {
    let mut world = World::new();
    for _ in 0..40 {
        world.wait(300);
        world.wait(300);
    }
    let known = |core: &Core| {
        core.rows().iter().filter(|r| matches!(r, rialto_provider::core::Record::Ask(..))).count()
    };
    assert!((2..12).contains(&known(&world.core)), "{}", known(&world.core));
}

#[test]
fn deals_of_another_key_are_kept_and_not_served() {
    let mut world = World::new();
    let deal = Deal { providerKey: Address::repeat_byte(0x77), ..world.deal_terms(1) };
    world.says(struct_hash(&deal), What::Opened(Box::new(deal.clone())));
    let session = world.connect(0x55);
    world.hello(session, &deal);
    let offer = world.offer(world.order(&deal, 0, 1));
    assert_eq!(codes(&world.say(session, offer)), ["P-ADM-001"]);
    world.now = deal.expiry + GRACE + 5;
    assert_eq!(intents(&world.wait(0)), ["expire"], "its collateral comes home");
    let keyless = Deal { requesterKey: Address::ZERO, ..world.deal_terms(2) };
    world.says(struct_hash(&keyless), What::Opened(Box::new(keyless.clone())));
    assert!(world.core.deal(struct_hash(&keyless)).is_none());
}

#[test]
fn orders_that_come_to_nothing_do_not_cost_cores_without_end() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let (other, of_other) = world.deal(2);
    let begun = world.now;
    let mut fetched = 0;
    let garbage = |world: &World, n: u64| {
        let mut offer = world.offer(Order { dueBy: world.now + 100, ..world.order(&deal, 0, 1) });
        if let ToProvider::Order { program, order, .. } = &mut offer {
            *program = BlobRef { hash: [n as u8; 32], size: 8 << 20 };
            order.value.seed = n;
            *order = world.sign(order.value.clone());
        }
        offer
    };
    for n in 0..1_000 {
        let offer = garbage(&world, n);
        let effects = world.say(session, offer);
        let Some(Effect::Fetch(work)) = effects.iter().find(|e| matches!(e, Effect::Fetch(_)))
        else {
            assert_eq!(codes(&effects), ["P-ADM-019"]);
            world.wait(1);
            continue;
        };
        fetched += 1;
        world.feed(Event::Fetched {
            order: work.hash,
            result: Err(Refusal::Program("garbage".into())),
        });
    }
    let spent = world.config.limits.free_preparing_seconds
        + (world.now - begun) * u64::from(world.config.limits.preparing_bps) / 10_000;
    assert!(
        fetched * 8 <= spent + 8 && fetched * 9 >= spent,
        "{fetched} programs of 8 s each in {spent} s"
    );
    // The same program in many orders at once is counted once if it is one, and each time if it is
    // none.
    let (third, of_third) = world.deal(3);
    let program = BlobRef { hash: [9; 32], size: 60_000_000 };
    let mut placed = Vec::new();
    for seq in 0..6 {
        let ToProvider::Order { order, shared, inputs, .. } =
            world.offer(world.order(&third, seq, 1))
        else {
            panic!()
        };
        placed.push(struct_hash(&order.value));
        assert!(
            codes(&world.say(of_third, ToProvider::Order { order, program, shared, inputs }))
                .is_empty()
        );
    }
    for order in placed {
        world.feed(Event::Fetched { order, result: Err(Refusal::Program("garbage".into())) });
    }
    let offer = world.offer(world.order(&third, 6, 1));
    assert_eq!(codes(&world.say(of_third, offer)), ["P-ADM-019"]);
    // Nobody else has less for it, and who pays can go on.
    let offer = world.offer(world.order(&other, 0, 1));
    assert!(codes(&world.say(of_other, offer)).is_empty());
    let paid = world.voucher(&deal, 5_000, 0, false);
    world.say(session, paid);
    let offer = garbage(&world, 5_000);
    assert!(codes(&world.say(session, offer)).is_empty());
}

#[test]
fn money_comes_home_when_it_is_worth_it_and_at_intervals() {
    let mut config = config();
    config.asks.max_deal_seconds = 1_000_000;
    let mut world = World::with(config);
    let deal = Deal { expiry: world.now + 500_000, ..world.deal_terms(1) };
    let id = struct_hash(&deal);
    world.says(id, What::Opened(Box::new(deal.clone())));
    let session = world.connect(0x55);
    world.hello(session, &deal);
    let redeemed = |world: &mut World, amount: u128| {
        let intent = intent_of(&world.take());
        world.mined(&intent);
        world.says(id, What::Redeemed { paid: amount, orders: 0 });
    };
    // A hundred times its gas, and an hour of the deal.
    let voucher = world.voucher(&deal, 1_000, 0, false);
    world.say(session, voucher);
    world.take();
    world.now = deal.openedAt + 3_599;
    assert!(intents(&world.wait(0)).is_empty(), "a short deal has one redemption");
    world.wait(1);
    redeemed(&mut world, 1_000);
    // Less than that waits for a day.
    let voucher = world.voucher(&deal, 1_999, 0, false);
    world.say(session, voucher);
    let at = world.now;
    world.now = at + 86_399;
    assert!(intents(&world.wait(0)).is_empty());
    world.take();
    world.wait(1);
    redeemed(&mut world, 1_999);
    // Never what costs more than it brings.
    let dust = world.voucher(&deal, 2_008, 0, false);
    world.say(session, dust);
    world.take();
    world.now += 200_000;
    assert!(intents(&world.wait(0)).is_empty());
    world.feed(Event::Worth(Worth { redeem: 8, claim: 100 }));
    assert_eq!(intents(&world.wait(1)), ["redeem"]);
}

#[test]
fn a_rejection_cannot_hold_a_claim_up_to_the_end() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order = world.deliver(session, &deal, 0, 4);
    world.say(session, reject(order, 0));
    world.now = deal.expiry - 1;
    assert!(intents(&world.wait(0)).is_empty());
    assert_eq!(intents(&world.wait(1)), ["claim"]);
}

#[test]
fn a_claim_is_settled_a_window_after_its_receipt_was_revealed() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    let order = world.deliver(session, &deal, 0, 4);
    let receipt = struct_hash(world.core.order(order).unwrap().state.receipt().unwrap());
    let (claim, demand) = (CaseId::Claim { order }, CaseId::Demand { receipt, task: 2 });
    let deadline = world.now + CHALLENGE;
    world.says(id, What::CaseOpened { case: claim, seq: 0, deadline });
    world.wait(900);
    let demanded = world.now + 500;
    world.says(id, What::CaseOpened { case: demand, seq: 0, deadline: demanded });
    let reveal = world.sent.keys().find(|intent| intent.starts_with("reveal")).unwrap().clone();
    world.mined(&reveal);
    world.says(id, What::CaseEnded { case: demand, paid: 0 });
    assert!(intents(&world.wait(CHALLENGE - 1)).is_empty(), "it would be refused");
    assert_eq!(intents(&world.wait(4)), ["settle"]);
}

#[test]
fn status_says_what_can_be_lost() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let at_risk = |world: &World| world.core.status().deals[&struct_hash(&deal)].at_risk;
    assert_eq!(at_risk(&world), 0);
    world.deliver(session, &deal, 0, 3);
    let waiting = world.place(session, world.order(&deal, 1, 5));
    assert_eq!(at_risk(&world), 8 * TASK_FEE);
    let paid = world.voucher(&deal, 3 * TASK_FEE, 1, false);
    world.say(session, paid);
    assert_eq!(at_risk(&world), 5 * TASK_FEE);
    world.fetched(waiting);
    assert!(matches!(world.core.order(waiting).unwrap().state, OrderState::Accepted { .. }));
    assert_eq!(at_risk(&world), 5 * TASK_FEE);
}
