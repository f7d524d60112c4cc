//! Prices that fall while idle, the books, and what transactions are worth.

use rialto_protocol::{
    pricing::price_at,
    types::{Ask, struct_hash},
};
use rialto_provider::core::{Core, Effect, Event, Price, What, Worth};

use crate::world::*;

fn asks(effects: &[Effect]) -> Vec<Ask> {
    let mut asks: Vec<Ask> = Vec::new();
    for effect in effects {
        if let Effect::Publish(ask) = effect
            && asks.last() != Some(ask)
        {
            asks.push(ask.clone());
        }
    }
    asks
}

fn auction() -> World {
    let mut config = config();
    config.asks.price = Price::Idle { price: 1_000, floor: 200, seconds: 1_800 };
    World::with(config)
}

fn asked(world: &World, ask: &Ask) -> u128 {
    price_at(ask, world.now).unwrap()
}

#[test]
fn nobody_comes_and_the_price_falls_to_the_floor() {
    let mut world = auction();
    let began = world.now;
    let mut ask = asks(&world.take())[0].clone();
    assert_eq!(ask.priceStart, 1_000);
    let mut signed = 1;
    while world.now < began + 3_000 {
        if let Some(new) = asks(&world.wait(1)).last()
            && *new != ask
        {
            (ask, signed) = (new.clone(), signed + 1);
        }
        let wanted = 1_000u128.saturating_sub(800 * u128::from(world.now - began) / 1_800).max(200);
        let price = asked(&world, &ask);
        assert!(
            price.abs_diff(wanted) <= 25,
            "{price} asked, {wanted} wanted after {} s",
            world.now - began
        );
        assert!((200..=1_000).contains(&price));
    }
    assert_eq!(asked(&world, &ask), 200);
    assert!(signed <= 10, "{signed} asks signed in 50 minutes");
    // A restart does not begin the auction again.
    assert!(asks(&world.crash()).iter().all(|ask| asked(&world, ask) == 200));
}

#[test]
fn work_brings_the_price_back_to_the_top() {
    let mut world = auction();
    world.wait(2_000);
    world.wait(15);
    world.take();
    // A deal: the auction found its taker, and begins again.
    let (deal, session) = world.deal(1);
    let ask = asks(&world.take()).pop().unwrap();
    assert!(asked(&world, &ask) >= 980, "{}", asked(&world, &ask));
    world.wait(900);
    world.wait(15);
    world.take();
    // Half of the cores run: the top, for as long as they do.
    let order = world.place(session, world.order(&deal, 0, 1));
    world.fetched(order);
    let ask = asks(&world.take()).pop().unwrap();
    assert_eq!((ask.priceStart, ask.priceEnd), (1_000, 1_000));
    // And falls from the moment they don't.
    world.run(order);
    world.wait(90);
    let ask = asks(&world.take()).pop().unwrap();
    assert!(ask.priceEnd < 1_000 && asked(&world, &ask) < 1_000);
}

#[test]
fn a_busy_minute_of_small_orders_does_not_sign_an_ask_for_each() {
    let mut world = auction();
    let (deal, session) = world.deal(1);
    world.wait(100);
    world.take();
    for seq in 0..30 {
        world.deliver(session, &deal, seq, 1);
        let paid = world.voucher(&deal, TASK_FEE * u128::from(seq + 1), seq + 1, false);
        world.say(session, paid);
        world.wait(1);
    }
    assert!(asks(&world.take()).len() <= 4);
}

#[test]
fn the_books_hold_what_happened_each_thing_once() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 2);
    world.deliver(session, &deal, 1, 3);
    let id = struct_hash(&deal);
    let paid = world.voucher(&deal, 500, 2, true);
    let effects = world.say(session, paid);
    let intent = intent_of(&effects);
    world.mined(&intent);
    world.mined(&intent);
    world.says(id, What::Redeemed { paid: 500, orders: 2 });
    world.says(id, What::Closed { paid: 500 });
    world.feed(Event::Busy { core_millis: 1_500 });
    let check = |core: &Core| {
        let sums = core.status().ledger.today;
        assert_eq!((sums.deals, sums.orders, sums.tasks, sums.earned), (1, 2, 5, 5 * TASK_FEE));
        assert_eq!((sums.paid, sums.lost, sums.gas_wei, sums.txs), (500, 0, 7, 1));
        assert_eq!((sums.fuel, sums.core_millis), (5 * u128::from(TFUEL), 1_500));
        assert_eq!(core.status().ledger.total, sums);
    };
    check(&world.core);
    // The chain is heard again after a restart, and time passes.
    world.crash();
    world.wait(30);
    check(&world.core);
    // The deal is forgotten, the books are not.
    world.wait(4_000);
    assert!(world.core.deal(id).is_none());
    world.crash();
    check(&world.core);
    // A week later it is part of the total only.
    world.wait(8 * 86_400);
    let ledger = world.core.status().ledger;
    assert_eq!((ledger.today.paid, ledger.week.paid, ledger.total.paid), (0, 0, 500));
}

#[test]
fn what_a_reorg_takes_back_leaves_the_books() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 2);
    let id = struct_hash(&deal);
    let fact = world.fact(id, What::Closed { paid: 0 });
    let head = fact.at.block;
    world.feed(Event::Chain { removed: vec![], added: vec![fact.clone()], head });
    let status = world.core.status();
    assert_eq!(status.ledger.total.lost, 200);
    assert_eq!(status.refusals["P-PAY-006"].times, 1);
    world.logs.pop();
    world.feed(Event::Chain { removed: vec![fact.at], added: vec![], head });
    world.wait(100);
    assert_eq!(world.core.status().ledger.total.lost, 0);
    world.says(id, What::Redeemed { paid: 200, orders: 1 });
    assert_eq!(world.core.status().ledger.total.paid, 200);
}

#[test]
fn refusals_are_counted_with_the_last_detail_and_survive() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    for tasks in [65, 66] {
        world.place(session, world.order(&deal, 0, tasks));
    }
    let refusals = world.core.status().refusals;
    assert_eq!((refusals["P-ADM-006"].times, refusals["P-ADM-006"].at), (2, world.now));
    assert!(refusals["P-ADM-006"].detail.starts_with("66 tasks"));
    world.wait(61);
    world.crash();
    assert_eq!(world.core.status().refusals["P-ADM-006"].times, 2);
}

#[test]
fn dear_gas_leaves_small_sums_where_they_are() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 2);
    let paid = world.voucher(&deal, 200, 1, false);
    world.say(session, paid);
    world.feed(Event::Worth(Worth { redeem: 200, claim: 500 }));
    assert!(intents(&world.wait(LENGTH - 100)).is_empty(), "not worth its gas");
    world.feed(Event::Worth(Worth { redeem: 199, claim: 500 }));
    assert_eq!(intents(&world.wait(1)), ["redeem"]);
    assert_eq!(world.core.status().worth.redeem, 199);
}

#[test]
fn says_why_nothing_is_offered() {
    let mut world = World::new();
    assert!(world.core.status().silent.is_none() && world.core.status().offer.is_some());
    world.feed(Event::Account { account: 1, counter: 0 });
    assert!(world.core.status().silent.unwrap().to_string().starts_with("[P-OFR-003]"));
    world.feed(Event::Account { account: 1_000_000, counter: 0 });
    for salt in 0..4 {
        world.open(salt);
    }
    assert!(world.core.status().silent.unwrap().to_string().starts_with("[P-OFR-002]"));
    world.feed(Event::Drain);
    assert!(world.core.status().silent.unwrap().to_string().starts_with("[P-OFR-001]"));
}
