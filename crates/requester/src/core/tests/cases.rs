//! Trouble on chain: claims, late notices, demands, and names of transactions.

use super::*;
use rialto_protocol::case::CaseId;

use crate::core::Cursor;

/// Who is late pays all of the collateral.
fn penalised(offer: &mut Offer) {
    offer.ask.value.latePenaltyBps = 10_000;
}

pub fn until(world: &mut World, seconds: u64, test: impl Fn(&World) -> bool) {
    let end = world.now + seconds;
    while !test(world) {
        assert!(
            world.now < end,
            "it does not happen: {:#?}",
            world.told.iter().rev().take(8).collect::<Vec<_>>()
        );
        world.step();
    }
}

pub fn intents(world: &World) -> Vec<&str> {
    world.cases.iter().map(|(intent, _)| intent.split("-0x").next().unwrap()).collect()
}

pub fn first_deal(world: &World) -> (DealId, Deal) {
    let (id, deal) = world.core.state().deals.iter().next().unwrap();
    (*id, deal.terms.clone())
}

/// A provider that never answers has acked an order, and claims it all the same.
fn claimed(fee: u128) -> (World, DealId, Receipt) {
    claimed_of(fee, |_| ())
}

fn claimed_of(fee: u128, change: fn(&mut Offer)) -> (World, DealId, Receipt) {
    let mut world = World::with(&[Manner::Promises], change);
    let mut job = spec(12, Policy::Trust);
    job.constraints.run_locally = false;
    world.feed(Event::Submit(job));
    until(&mut world, 100, |world| {
        world.core.state().orders.values().any(|order| order.ack.is_some())
    });
    let (deal, _) = first_deal(&world);
    let order = *world.core.state().orders.iter().find(|(_, order)| order.ack.is_some()).unwrap().0;
    let receipt = Receipt { order, root: B256::repeat_byte(9), fuel: 5, fee };
    let deadline = world.now + 200;
    world.says(deal, What::Claimed { order, seq: 0, deadline, receipt: receipt.clone() });
    (world, deal, receipt)
}

#[test]
fn a_claim_of_withheld_work_is_answered_with_demands_that_cost_no_more_than_what_is_at_stake() {
    // At stake: the claim, and 70 % of the collateral.
    let (mut world, deal, receipt) = claimed(60);
    let stake = receipt.fee + share(world.market[&deal].collateral, 7_000).unwrap();
    assert!(stake >= 25 * 3, "{stake}");
    until(&mut world, 5, |world| !world.cases.is_empty());
    let (_, Call::Demand { receipt: of, task, .. }) = world.cases[0].clone() else {
        panic!("{:?}", world.cases)
    };
    assert_eq!(of, receipt);
    let demanded = struct_hash(&receipt);
    world.says(deal, What::Demanded { receipt: demanded, task, seq: 0, deadline: world.now + 100 });
    // A crash changes nothing: the intent is on disk.
    world.step();
    world.crash();
    let halted = run(B256::ZERO, 0).1;
    world.says(deal, What::Revealed { receipt: demanded, task, halted, until: 0 });
    until(&mut world, 60, |world| world.cases.len() == 2);
    let (_, Call::Demand { task: second, .. }) = world.cases[1].clone() else {
        panic!("{:?}", world.cases)
    };
    assert_ne!(second, task);
    world.says(
        deal,
        What::Demanded { receipt: demanded, task: second, seq: 0, deadline: world.now + 50 },
    );
    // The second is not answered: that ends the deal.
    until(&mut world, 100, |world| world.cases.len() == 3);
    let case = CaseId::Demand { receipt: demanded, task: second };
    assert!(matches!(&world.cases[2].1, Call::Settle { case: settled, .. } if *settled == case));
    world.says(deal, What::Ended { case, paid: 0 });
    world.says(
        deal,
        What::Closed {
            paid: 0,
            tx: TxNote { kind: "settle".into(), tx: B256::ZERO, gas: None, deals: 1 },
        },
    );
    (0..20).for_each(|_| world.step());
    assert_eq!(intents(&world), ["demand", "demand", "settle"]);
    assert!(world.core.state().deals[&deal].over());
}

#[test]
fn where_less_than_a_bond_is_at_stake_nothing_is_demanded() {
    let (mut world, deal, _) = claimed_of(24, |offer| offer.ask.value.collateralBps = 0);
    (0..250).for_each(|_| world.step());
    assert!(world.cases.is_empty());
    assert!(
        world
            .told
            .iter()
            .any(|event| matches!(event, JobEvent::Note { code, .. } if code == "R-CASE-005"))
    );
    assert!(world.core.state().deals[&deal].closed.is_none());
    let (mut world, _, _) = claimed_of(25, |offer| offer.ask.value.collateralBps = 0);
    (0..250).for_each(|_| world.step());
    assert_eq!(intents(&world), ["demand"]);
}

#[test]
fn a_promise_that_is_broken_is_called_late_and_keeps_the_deal_open_until_that_is_settled() {
    for answered in [false, true] {
        let mut world = World::with(&[Manner::Promises], penalised);
        let mut job = spec(12, Policy::Trust);
        (job.constraints.run_locally, job.constraints.deadline) = (false, START + 60);
        world.feed(Event::Submit(job));
        until(&mut world, 200, |world| !world.cases.is_empty());
        let (deal, terms) = first_deal(&world);
        let (_, Call::Late { order, ack, .. }) = world.cases[0].clone() else {
            panic!("{:?}", world.cases)
        };
        assert!(world.now >= ack.value.dueBy, "not before it is due");
        assert!(
            world.core.state().deals[&deal].closing.is_none(),
            "a closing voucher would end the deal"
        );
        let order = struct_hash(&order);
        world.says(deal, What::LateNoticed { order, seq: 0, deadline: world.now + 100 });
        if answered {
            let receipt = Receipt { order, root: B256::ZERO, fuel: 0, fee: 0 };
            world.says(deal, What::Answered { order, receipt });
            until(&mut world, 30, |world| world.cases.len() == 2);
            assert!(
                matches!(world.cases[1].1, Call::Late { .. }),
                "the other order is late as well"
            );
            let (_, Call::Late { order, .. }) = world.cases[1].clone() else { panic!() };
            let order = struct_hash(&order);
            world.says(deal, What::LateNoticed { order, seq: 1, deadline: world.now + 100 });
            let receipt = Receipt { order, root: B256::ZERO, fuel: 0, fee: 0 };
            world.says(deal, What::Answered { order, receipt });
            until(&mut world, 30, |world| world.core.state().deals[&deal].closing.is_some());
            assert_eq!(intents(&world), ["late", "late"]);
        } else {
            until(&mut world, 200, |world| world.cases.len() == 2);
            let case = CaseId::Late { order };
            assert_eq!(world.cases[1].1, Call::Settle { deal: terms, case });
        }
    }
}

#[test]
fn a_refused_transaction_gets_a_new_name_and_is_given_up_where_that_loses_nothing() {
    let (mut world, _, _) = claimed(60);
    world.refuse_cases = true;
    (0..400).for_each(|_| world.step());
    let names: Vec<_> = world.cases.iter().map(|(intent, _)| intent.clone()).collect();
    assert!(names.len() >= 3, "{names:?}");
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>().len(),
        names.len(),
        "no name is used twice: {names:?}"
    );
    assert!(names[1].ends_with("-1") && names[2].ends_with("-2"));
}

#[test]
fn a_release_that_the_market_refuses_is_tried_again_under_another_name() {
    let mut world = World::new(&[Manner::Releases]);
    world.refuse_close = 2;
    world.feed(Event::Submit(spec(4, Policy::Trust)));
    until(&mut world, 3_000, |world| world.core.idle());
    let closes: Vec<_> =
        world.closes.iter().map(|name| name.rsplit('-').next().unwrap().to_string()).collect();
    assert_eq!(closes[1..], ["1", "2"]);
}

#[test]
fn facts_are_known_once_and_the_cursor_waits_for_nothing() {
    let mut world = World::new(&[Manner::Honest]);
    let cursor = |block| Some(Cursor { block, hash: B256::repeat_byte(1) });
    world.feed(Event::Chain { facts: vec![], cursor: cursor(300) });
    assert_eq!(world.core.state().cursor, cursor(300));
    world.feed(Event::Chain { facts: vec![], cursor: cursor(301) });
    assert_eq!(world.core.state().cursor, cursor(300), "not for every block");
    world.feed(Event::Submit(spec(4, Policy::Trust)));
    until(&mut world, 60, |world| {
        world.core.state().jobs[&JobId(7)].openings.iter().any(|opening| opening.pending)
    });
    world.feed(Event::Chain { facts: vec![], cursor: cursor(1_000) });
    assert_eq!(
        world.core.state().cursor,
        cursor(1_000),
        "a deal is recognised by its id when it is heard of"
    );
    until(&mut world, 60, |world| !world.core.state().deals.is_empty());
    let (deal, _) = first_deal(&world);
    let redeemed = Fact { deal, what: What::Redeemed { paid: 5, orders: 1 } };
    let records = world.journal.len();
    world.feed(Event::Chain {
        facts: vec![redeemed.clone(), redeemed.clone()],
        cursor: cursor(1_001),
    });
    assert_eq!(world.core.state().cursor, cursor(1_001));
    assert_eq!(world.journal.len(), records + 1);
    world.feed(Event::Chain { facts: vec![redeemed], cursor: None });
    assert_eq!(world.journal.len(), records + 1, "nothing new, nothing written");
}

#[test]
fn what_is_heard_of_a_deal_with_its_opening_is_not_lost() {
    let mut world = World::new(&[Manner::Honest]);
    world.feed(Event::Submit(spec(4, Policy::Trust)));
    until(&mut world, 60, |world| {
        world.core.state().jobs[&JobId(7)].openings.iter().any(|opening| opening.pending)
    });
    let deal = *world.market.keys().next().expect("it is on chain already");
    let tx = |kind: &str| TxNote { kind: kind.into(), tx: keccak256(kind), gas: None, deals: 1 };
    let facts = [What::Opened { tx: tx("open") }, What::Closed { paid: 0, tx: tx("expire") }];
    let facts = facts.into_iter().map(|what| Fact { deal, what }).collect();
    world.feed(Event::Chain { facts, cursor: None });
    assert_eq!(world.core.state().deals[&deal].closed, Some(0));
}

/// Two providers do a job whose third has promised orders and fallen silent. They are so busy that
/// this is noticed before they could take its orders as stragglers.
fn left_in_the_lurch() -> (World, DealId) {
    let mut world = World::with(&[Manner::Promises, Manner::Slow(10), Manner::Slow(10)], penalised);
    let mut job = spec(48, Policy::Replicate { n: 2 });
    job.constraints.run_locally = false;
    world.feed(Event::Submit(job));
    world.run(400);
    assert_eq!(world.summary.as_ref().unwrap().outcome, Ok(()));
    let deals = &world.core.state().deals;
    let (id, deal) = deals.iter().find(|(_, deal)| deal.provider() == address(1)).unwrap();
    let id = *id;
    assert_eq!(deal.standing, Standing::Dropped(DropReason::Silent));
    let others = deals.values().filter(|deal| deal.provider() != address(1));
    assert_eq!(
        others.filter(|deal| deal.closed.is_some()).count(),
        2,
        "the others are paid and gone"
    );
    (world, id)
}

#[test]
fn a_silent_provider_is_kept_to_its_word_though_others_did_the_work() {
    let (mut world, deal) = left_in_the_lurch();
    assert!(world.now < START + 400, "long before the order is due");
    assert!(world.core.is_exposed(), "the job is over, but it may still claim");
    assert!(
        world
            .told
            .iter()
            .any(|event| matches!(event, JobEvent::Note { code, .. } if code == "R-CASE-006"))
    );
    let known = &world.core.state().deals[&deal];
    assert!(
        known.closing.is_none()
            && known.unfinished().all(|order| !world.core.state().orders[order].cancelled)
    );
    until(&mut world, 3_100, |world| !world.cases.is_empty());
    let (_, Call::Late { order, ack, .. }) = world.cases[0].clone() else {
        panic!("{:?}", world.cases)
    };
    assert!(world.now >= ack.value.dueBy && ack.value.dueBy == START + 3_000);
    let order = struct_hash(&order);
    world.says(deal, What::LateNoticed { order, seq: 0, deadline: world.now + 100 });
    until(&mut world, 200, |world| world.cases.len() == 2);
    let case = CaseId::Late { order };
    assert!(matches!(&world.cases[1].1, Call::Settle { case: settled, .. } if *settled == case));
}

#[test]
fn a_silent_provider_that_comes_back_is_let_off() {
    let (mut world, deal) = left_in_the_lurch();
    world.feed(Event::Disconnected { deal, why: "reset".into() });
    until(&mut world, 60, |world| world.core.state().deals[&deal].closing.is_some());
    let known = &world.core.state().deals[&deal];
    assert!(known.orders.iter().all(|order| world.core.state().orders[order].cancelled));
    until(&mut world, 6_000, |world| world.core.idle());
    assert!(world.cases.is_empty(), "it is not called late");
    assert!(matches!(world.closed.get(&deal), Some(0)));
    assert!(world.now > START + 3_000, "it ends by time alone");
    assert!(!world.core.is_exposed());
}

#[test]
fn a_promise_whose_penalty_is_not_worth_the_bond_is_let_go() {
    let mut world = World::new(&[Manner::Promises, Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(24, Policy::Replicate { n: 2 })));
    world.run(400);
    let deal =
        world.core.state().deals.values().find(|deal| deal.provider() == address(1)).unwrap();
    assert!(deal.closing.is_some());
}

#[test]
fn before_a_deal_is_closed_or_released_whatever_is_unfinished_is_let_off_in_writing() {
    // Two orders are promised and late, and late notices are not worth their bond: the deal is
    // closed in the end.
    let mut world = World::new(&[Manner::Promises]);
    let mut job = spec(12, Policy::Trust);
    (job.constraints.run_locally, job.constraints.deadline) = (false, START + 60);
    world.feed(Event::Submit(job));
    until(&mut world, 300, |world| {
        world.sent.iter().any(|sent| matches!(sent, Outgoing::AskRelease { .. }))
    });
    let (deal, _) = first_deal(&world);
    let position = |test: &dyn Fn(&Outgoing) -> bool| world.sent.iter().position(test).unwrap();
    let closed = position(&|sent| matches!(sent, Outgoing::Voucher(voucher) if voucher.close));
    let asked = position(&|sent| matches!(sent, Outgoing::AskRelease { .. }));
    let orders = &world.core.state().deals[&deal].orders;
    assert!(orders.len() > 1);
    for order in orders {
        let cancelled = position(&|sent| *sent == Outgoing::Cancel(Cancel { order: *order }));
        assert!(cancelled < closed && closed < asked);
    }
    assert!(world.now > START + 60);
    (0..200).for_each(|_| world.step());
    assert!(world.cases.is_empty(), "what was cancelled is not called late");
}

#[test]
fn a_promise_for_later_than_the_order_is_due_is_taken_and_called_late_only_then() {
    let mut world = World::with(&[Manner::Silent], penalised);
    let mut job = spec(12, Policy::Trust);
    (job.constraints.run_locally, job.constraints.deadline) = (false, START + 60);
    world.feed(Event::Submit(job));
    until(&mut world, 60, |world| !world.core.state().orders.is_empty());
    let (name, order) = world.core.state().orders.iter().next().unwrap();
    let (name, deal, due) = (*name, order.order.deal, order.order.dueBy);
    let ack = sign(1, Ack { order: name, dueBy: due + 70 });
    world.feed(Event::Message { deal, message: ToRequester::Ack(ack.clone()) });
    assert_eq!(world.core.state().orders[&name].ack, Some(ack));
    while world.now < due + 70 {
        world.step();
        assert!(world.cases.is_empty(), "at {} of {}", world.now, due + 70);
    }
    until(&mut world, 10, |world| !world.cases.is_empty());
    assert!(matches!(&world.cases[0].1, Call::Late { order, .. } if struct_hash(order) == name));
}
