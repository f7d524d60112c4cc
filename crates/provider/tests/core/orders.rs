use rialto_protocol::{
    Address,
    receipt::SumTree,
    types::{Deal, Order, struct_hash},
    wire::{Payload, ToProvider, ToRequester},
};
use rialto_provider::core::{Effect, Event, ProviderEvent, Refusal, What};

use crate::world::*;

#[test]
fn an_order_becomes_a_receipt() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order = world.place(session, world.order(&deal, 0, 3));
    let acked = world.fetched(order);
    assert!(
        matches!(messages(&acked)[0], ToRequester::Ack(ack) if ack.value.order == order && ack.value.dueBy == world.now + 200)
    );
    assert_eq!(runs(&acked), [order]);
    let progress = world.feed(Event::Progress { order, done: 2 });
    assert!(matches!(messages(&progress)[0], ToRequester::Progress { done: 2, .. }));
    let done = world.run(order);
    let Some(Effect::SendReceipt { receipt, .. }) =
        done.iter().find(|e| matches!(e, Effect::SendReceipt { .. }))
    else {
        panic!("{done:?}");
    };
    let tree = SumTree::new(results(3).halted.iter().map(|h| (h.hash(), TFUEL)));
    assert_eq!(
        (receipt.root, receipt.fuel, receipt.fee),
        (tree.root().hash, 3 * u128::from(TFUEL), 3 * TASK_FEE)
    );
    assert!(told(&done).iter().any(|e| matches!(e, ProviderEvent::TasksDone { tasks: 3, .. })));
}

#[test]
fn what_could_not_be_traced_in_time_is_refused_where_a_court_judges() {
    let mut config = config();
    config.limits.traced_fuel = TFUEL;
    let mut world = World::with(config);
    for (court, code) in [(Address::ZERO, None), (Address::repeat_byte(0xcc), Some("P-ADM-007"))] {
        let deal = Deal { court, ..world.deal_terms(9) };
        world.says(struct_hash(&deal), What::Opened(Box::new(deal.clone())));
        let session = world.connect(0x55);
        world.hello(session, &deal);
        let within = world.order(&deal, 0, 1);
        let over = world.offer(Order { fuelLimit: TFUEL + 1, ..within.clone() });
        assert_eq!(codes(&world.say(session, over)), Vec::from_iter(code));
        if code.is_some() {
            let within = world.offer(Order { fuelLimit: TFUEL, ..within });
            assert!(codes(&world.say(session, within)).is_empty());
        }
    }
}

#[test]
fn every_refusal_has_its_code() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let base = world.order(&deal, 0, 1);
    let cases: Vec<(Order, &str)> = vec![
        (Order { seq: 1, ..base.clone() }, "P-ADM-003"),
        (Order { tasks: 0, ..base.clone() }, "P-ADM-006"),
        (Order { tasks: 65, ..base.clone() }, "P-ADM-006"),
        (Order { fuelLimit: 0, ..base.clone() }, "P-ADM-007"),
        (Order { fuelLimit: u64::MAX, ..base.clone() }, "P-ADM-007"),
        (Order { maxPages: 1 << 17, ..base.clone() }, "P-ADM-008"),
        (Order { outLimit: 1 << 40, ..base.clone() }, "P-ADM-009"),
        (Order { dueBy: world.now, ..base.clone() }, "P-ADM-010"),
        (Order { dueBy: deal.expiry, ..base.clone() }, "P-ADM-011"),
        (Order { fuelLimit: 10 * TFUEL, tasks: 15, ..base.clone() }, "P-ADM-004"),
        (Order { fuelLimit: 10 * TFUEL, tasks: 5, ..base.clone() }, "P-ADM-005"),
    ];
    for (order, code) in cases {
        let offer = world.offer(order);
        let effects = world.say(session, offer);
        assert_eq!(codes(&effects), [code]);
        assert!(!effects.iter().any(|e| matches!(e, Effect::Fetch(_))));
    }
    let ToProvider::Order { order, program, shared, .. } = world.offer(base.clone()) else {
        unreachable!()
    };
    let mut forged = order.clone();
    forged.value.seed += 1;
    let refused = world.say(
        session,
        ToProvider::Order {
            order: forged,
            program,
            shared,
            inputs: Payload::Inline(Default::default()),
        },
    );
    assert_eq!(codes(&refused), ["P-ADM-002"]);
    let mut huge = program;
    huge.size = 1 << 40;
    let effects = world.say(
        session,
        ToProvider::Order {
            order: order.clone(),
            program: huge,
            shared,
            inputs: Payload::Inline(Default::default()),
        },
    );
    assert_eq!(codes(&effects), ["P-ADM-017"]);
    let order = world.place(session, base);
    assert_eq!(
        codes(&world.feed(Event::Fetched { order, result: Err(Refusal::Program("no".into())) })),
        ["P-ADM-015"]
    );
    world.feed(Event::Drain);
    let offer = world.offer(world.order(&deal, 1, 1));
    assert_eq!(codes(&world.say(session, offer)), ["P-ADM-013"]);
}

#[test]
fn numbers_run_on_after_a_refusal_whoever_counts_how() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let bad = Order { maxPages: 1 << 17, ..world.order(&deal, 0, 1) };
    world.place(session, bad);
    // The requester goes on with 1, or uses 0 again: both are fine, twice the same is not.
    let one = world.place(session, world.order(&deal, 1, 1));
    let zero = world.place(session, world.order(&deal, 0, 1));
    assert!(world.core.order(one).is_some() && world.core.order(zero).is_some());
    let again = world.offer(Order { seed: 8, ..world.order(&deal, 0, 1) });
    assert_eq!(codes(&world.say(session, again)), ["P-ADM-003"]);
    let gap = world.offer(world.order(&deal, 3, 1));
    assert_eq!(codes(&world.say(session, gap)), ["P-ADM-003"]);
}

#[test]
fn the_same_order_again_is_the_same_order() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order = world.order(&deal, 0, 1);
    let hash = world.place(session, order.clone());
    let again = world.offer(order.clone());
    assert!(
        !world.say(session, again.clone()).iter().any(|e| matches!(e, Effect::Fetch(_))),
        "it is being fetched"
    );
    world.fetched(hash);
    assert!(matches!(messages(&world.say(session, again.clone()))[..], [ToRequester::Ack(_)]));
    world.run(hash);
    assert_eq!(receipts(&world.say(session, again)), [hash].into());
    assert_eq!(world.core.deal(struct_hash(&deal)).unwrap().earned, TASK_FEE, "billed once");
}

#[test]
fn the_queue_is_bounded() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    for seq in 0..6 {
        world.place(session, world.order(&deal, seq, 1));
    }
    let full = world.offer(world.order(&deal, 6, 1));
    assert_eq!(codes(&world.say(session, full)), ["P-ADM-012"]);
}

#[test]
fn deals_take_turns_and_debtors_wait() {
    let mut world = World::new();
    let (a, of_a) = world.deal(1);
    let (b, of_b) = world.deal(2);
    let place = |world: &mut World, session, deal, seq| {
        let hash = world.place(session, world.order(deal, seq, 2));
        (hash, runs(&world.fetched(hash)))
    };
    let (a0, ran) = place(&mut world, of_a, &a, 0);
    assert_eq!(ran, [a0]);
    let (a1, _) = place(&mut world, of_a, &a, 1);
    let (b0, _) = place(&mut world, of_b, &b, 0);
    let (b1, _) = place(&mut world, of_b, &b, 1);
    assert_eq!(runs(&world.run(a0)), [b0], "b's turn");
    assert_eq!(runs(&world.run(b0)), [a1]);
    assert_eq!(runs(&world.run(a1)), [b1]);
    world.run(b1);
    // a owes more than half of its window; b pays.
    for seq in 2..5 {
        world.deliver(of_a, &a, seq, 3);
    }
    let paid = world.voucher(&b, 4 * TASK_FEE, 2, false);
    world.say(of_b, paid);
    let (busy, _) = place(&mut world, of_b, &b, 2);
    let (_a5, _) = place(&mut world, of_a, &a, 5);
    let (b3, _) = place(&mut world, of_b, &b, 3);
    assert_eq!(runs(&world.run(busy)), [b3], "who pays comes first");
}

#[test]
fn small_orders_share_the_cores() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let first = world.place(session, world.order(&deal, 0, 1));
    assert_eq!(runs(&world.fetched(first)), [first]);
    let second = world.place(session, world.order(&deal, 1, 1));
    assert_eq!(runs(&world.fetched(second)), [second]);
    let third = world.place(session, world.order(&deal, 2, 1));
    assert!(runs(&world.fetched(third)).is_empty());
}

#[test]
fn a_host_that_cannot_says_so_and_tries_twice() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order = world.place(session, world.order(&deal, 0, 1));
    world.fetched(order);
    let again = world.feed(Event::Ran { order, result: Err(broken()) });
    assert_eq!(runs(&again), [order]);
    let failed = world.feed(Event::Ran { order, result: Err(broken()) });
    assert_eq!(codes(&failed), ["P-RUN-001"]);
    assert!(runs(&failed).is_empty());
    assert!(runs(&world.crash()).is_empty(), "remembered");
}

#[test]
fn accepted_work_survives_a_crash() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order = world.place(session, world.order(&deal, 0, 1));
    world.fetched(order);
    assert_eq!(runs(&world.crash()), [order]);
    world.run(order);
    assert!(world.is_done(order));
}

#[test]
fn what_never_arrives_is_forgotten() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order =
        world.place(session, Order { dueBy: world.now + 3_000, ..world.order(&deal, 0, 1) });
    let effects = world.wait(301);
    assert_eq!(codes(&effects), ["P-ADM-014"]);
    assert!(effects.contains(&Effect::Stop { order }));
    assert!(world.core.order(order).is_none());
}

#[test]
fn cancelling_stops_the_work() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let running = world.place(session, world.order(&deal, 0, 2));
    world.fetched(running);
    let fetching = world.place(session, world.order(&deal, 1, 1));
    let (cancel, stop) = (world.cancel(fetching), world.cancel(running));
    assert!(world.say(session, cancel).contains(&Effect::Stop { order: fetching }));
    assert!(world.say(session, stop).contains(&Effect::Stop { order: running }));
    assert!(world.core.idle());
    assert!(world.run(running).is_empty(), "too late an answer");
    assert!(!world.is_done(running));
    // Wanted after all.
    let again = world.offer(world.core.order(running).unwrap().order.value.clone());
    assert_eq!(runs(&world.say(session, again)), [running]);
}
