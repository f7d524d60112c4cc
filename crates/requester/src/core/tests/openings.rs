//! What is opened is known before it is.

use super::{
    cases::{first_deal, until},
    *,
};
use rialto_protocol::DealId;

fn opening(world: &mut World, tasks: u32) -> DealId {
    world.feed(Event::Submit(spec(tasks, Policy::Trust)));
    until(world, 60, |world| !world.core.state().jobs[&JobId(7)].openings.is_empty());
    world.core.state().jobs[&JobId(7)].openings[0].terms[0].id()
}

fn note(world: &World, code: &str) -> bool {
    world
        .told
        .iter()
        .any(|event| matches!(event, JobEvent::Note { code: told, .. } if told == code))
}

fn opened(deal: DealId) -> Event {
    let tx = TxNote { kind: "open".into(), tx: B256::repeat_byte(5), gas: Some(80_000), deals: 1 };
    Event::Chain { facts: vec![Fact { deal, what: What::Opened { tx } }], cursor: None }
}

#[test]
fn a_deal_begins_before_its_block_and_with_its_ask() {
    let mut world = World::new(&[Manner::Honest]);
    let deal = opening(&mut world, 4);
    assert_eq!(world.market[&deal].openedAt, world.now - 30);
    assert_eq!(world.market[&deal].price, 1_001_000);
    world.run(600);
    let mut world = World::with(&[Manner::Honest], |offer| offer.ask.value.from = START - 5);
    let deal = opening(&mut world, 4);
    assert_eq!(world.market[&deal].openedAt, START - 5);
}

#[test]
fn a_deal_that_the_chain_says_is_open_is_used_whatever_became_of_its_transaction() {
    for reverted in [true, false] {
        let mut world = World::new(&[Manner::Honest, Manner::Honest]);
        let first = opening(&mut world, 8);
        let both: Vec<_> =
            world.core.state().jobs[&JobId(7)].openings[0].terms.iter().map(Terms::id).collect();
        world.mail.clear();
        let no = Transacted::Reverted { code: "C-1".into(), reason: "no".into() };
        let outcome = if reverted { no } else { Transacted::Unsent { reason: "no answer".into() } };
        world.feed(Event::Transacted { intent: format!("open-{}-0", JobId(7)), outcome });
        assert!(world.core.state().deals.is_empty());
        both.iter().for_each(|deal| world.feed(opened(*deal)));
        assert!(both.iter().all(|deal| world.core.state().deals[deal].works()));
        world.crash();
        world.feed(opened(first));
        assert_eq!(world.run(600).outcome, Ok(()));
        world.assert_right();
        // Those that were tried one by one after the refusal are used, or closed, too.
        until(&mut world, 60, |world| world.core.idle());
        assert_eq!(world.core.state().deals.len(), if reverted { 4 } else { 2 });
    }
}

#[test]
fn the_outcome_that_comes_after_the_event_opens_nothing_twice() {
    let mut world = World::new(&[Manner::Honest]);
    let deal = opening(&mut world, 4);
    world.feed(opened(deal));
    assert_eq!(world.run(600).outcome, Ok(()));
    let opens =
        world.told.iter().filter(|event| matches!(event, JobEvent::DealOpened { .. })).count();
    assert_eq!((opens, world.core.state().deals.len()), (1, 1));
}

#[test]
fn a_deal_that_opens_when_nobody_needs_it_any_more_is_closed() {
    let mut world = World::new(&[Manner::Honest]);
    let deal = opening(&mut world, 4);
    world.mail.clear();
    let outcome = Transacted::Reverted { code: "C-1".into(), reason: "no".into() };
    world.feed(Event::Transacted { intent: format!("open-{}-0", JobId(7)), outcome });
    assert!(world.run(600).outcome.is_err());
    world.feed(opened(deal));
    assert!(world.core.state().deals[&deal].closing.is_some());
    until(&mut world, 60, |world| world.core.idle());
    assert_eq!(world.closed[&deal], 0);
}

#[test]
fn what_comes_too_late_is_opened_anew_under_other_terms_and_nobody_is_blamed() {
    for reverted in [true, false] {
        let mut world = World::new(&[Manner::Honest]);
        let deal = opening(&mut world, 4);
        world.mail.clear();
        let intent = format!("open-{}-0", JobId(7));
        let unsent = Transacted::Unsent { reason: "no answer".into() };
        world.now += 570;
        world.feed(Event::Transacted { intent: intent.clone(), outcome: unsent.clone() });
        assert_eq!(
            world.core.state().jobs[&JobId(7)].openings.len(),
            1,
            "the same, while it can be mined"
        );
        world.now += 61;
        let too_late = Transacted::Reverted { code: "C-9".into(), reason: "too late".into() };
        world.feed(Event::Transacted { intent, outcome: if reverted { too_late } else { unsent } });
        assert!(note(&world, "R-JOB-025"));
        until(&mut world, 60, |world| !world.core.state().deals.is_empty());
        let (id, terms) = first_deal(&world);
        assert!(
            id != deal && terms.openedAt > START + 570 && terms.salt != world.market[&deal].salt
        );
        assert_eq!(world.run(600).outcome, Ok(()));
    }
}

#[test]
fn an_ask_that_the_market_would_refuse_is_left_out() {
    let mut world = World::with(&[Manner::Honest], |offer| offer.ask.value.latePenaltyBps = 10_001);
    world.feed(Event::Submit(spec(4, Policy::Trust)));
    assert!(world.run(100).outcome.is_err());
    assert_eq!(world.opens, 0);
    assert!(
        world
            .told
            .iter()
            .any(|event| matches!(event, JobEvent::Excluded(e) if e.why.code() == "R-MAT-012"))
    );
}

#[test]
fn orders_are_as_small_as_every_limit_of_their_provider_asks() {
    // World checks each order that is placed; here they are small enough to matter.
    let changes: [fn(&mut Offer); 6] = [
        |offer| offer.ask.value.limits.tasks = 3,
        |offer| offer.ask.value.limits.orders = 1,
        |offer| offer.ask.value.limits.inputs = 350,
        |offer| offer.ask.value.limits.orderOutput = 4 * 4096 + 17,
        // A task costs 4005 at most.
        |offer| offer.ask.value.limits.credit = 4_100,
        |offer| offer.ask.value.limits.credit = 25_000,
    ];
    for change in changes {
        for (policy, run_locally) in [
            (Policy::Trust, true),
            (Policy::Replicate { n: 2 }, true),
            (Policy::Audit { rate_ppm: 300_000 }, false),
        ] {
            let mut world = World::with(&[Manner::Honest, Manner::Honest, Manner::Slow(7)], change);
            let mut job = spec(60, policy);
            job.constraints.run_locally = run_locally;
            world.feed(Event::Submit(job));
            assert_eq!(world.run(3_000).outcome, Ok(()));
            world.assert_right();
        }
    }
}
