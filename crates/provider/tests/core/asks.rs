use rialto_protocol::types::struct_hash;
use rialto_provider::core::{Effect, Event, ProviderEvent, What};

use crate::world::*;

fn published(effects: &[Effect]) -> Vec<rialto_protocol::types::Ask> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Publish(ask) = e { Some(ask.clone()) } else { None })
        .collect()
}

#[test]
fn offers_at_once_and_says_it_again() {
    let mut world = World::new();
    let first = published(&world.take());
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].priceStart, first[0].priceEnd, first[0].capacity), (100, 100, 4));
    assert!(first[0].from <= world.now && world.now < first[0].to);
    assert!(published(&world.wait(1)).is_empty());
    assert_eq!(published(&world.wait(15)), first);
}

#[test]
fn signs_again_before_the_ask_ends() {
    let mut world = World::new();
    let first = published(&world.take())[0].clone();
    let renewed = published(&world.wait(first.to - world.now - 30));
    assert_eq!(renewed.len(), 1);
    assert!(renewed[0].to > first.to && renewed[0].from > first.from);
    assert_eq!(renewed[0].salt, first.salt, "the later window replaces the earlier one");
}

#[test]
fn offers_only_what_collateral_and_capacity_allow() {
    let mut world = World::new();
    world.take();
    // 20 % collateral: 1_000 back a budget of 5_000.
    let ask = published(&world.feed(Event::Account { account: 1_000, counter: 0 }))[0].clone();
    assert_eq!(ask.maxBudget, 5_000);
    let low = world.feed(Event::Account { account: 1, counter: 0 });
    assert!(published(&low).is_empty());
    assert!(told(&low).contains(&ProviderEvent::LowBalance { account: 1, needed: 2 }));
    world.feed(Event::Account { account: 1_000_000, counter: 0 });
    world.take();
    let deals: Vec<_> = (0..4).map(|salt| world.open(salt)).collect();
    world.take();
    assert!(published(&world.wait(5_000)).is_empty(), "no room");
    let after = world.says(struct_hash(&deals[0]), What::Closed { paid: 0 });
    assert_eq!(published(&after)[0].capacity, 4, "the market counts: there is room for one more");
}

#[test]
fn a_raised_counter_kills_the_ask() {
    let mut world = World::new();
    world.take();
    let ask = published(&world.feed(Event::Account { account: 1_000_000, counter: 3 }))[0].clone();
    assert_eq!(ask.counter, 3);
}

#[test]
fn keeps_its_ask_over_a_restart_unless_the_terms_changed() {
    let mut world = World::new();
    let first = published(&world.take());
    world.wait(2);
    assert_eq!(published(&world.crash()), first);
    world.config.asks.task_fee = 9;
    world.wait(2);
    let changed = published(&world.crash());
    assert_eq!(changed[0].taskFee, 9);
    assert!(changed[0].from > first[0].from, "nodes keep the later one");
}

#[test]
fn draining_offers_nothing() {
    let mut world = World::new();
    world.take();
    world.feed(Event::Drain);
    assert!(published(&world.wait(100)).is_empty());
}
