//! Bonds of accusations: counted for each deal, and nothing is opened that leaves too little for
//! them.

use super::{cases::until, *};
use crate::core::bonds::{Accusable, Accusables};

const JOB: JobId = JobId(7);

fn one(fuel_limit: u64, count: u32) -> Accusables {
    Accusables::from([(Accusable { court: Address::repeat_byte(0xcc), fuel_limit }, count)])
}

fn short(world: &mut World, attempt: usize) {
    world.mail.clear();
    let outcome = Transacted::Short { holds: 500, takes: 400, bonds: 200 };
    world.feed(Event::Transacted { intent: format!("open-{JOB}-{attempt}"), outcome });
}

#[test]
fn there_is_a_bond_for_each_deal_from_before_it_opens_until_it_is_closed() {
    let mut world = World::with(&[Manner::Honest, Manner::Honest], before_court);
    assert!(world.core.accusables().is_empty());
    world.feed(Event::Submit(spec(8, Policy::Audit { rate_ppm: 1_000_000 })));
    until(&mut world, 60, |world| !world.core.state().jobs[&JOB].openings.is_empty());
    assert!(world.core.state().deals.is_empty());
    assert_eq!(world.core.accusables(), one(FUEL_LIMIT, 2), "while they are being opened");
    world.crash();
    assert_eq!(world.core.accusables(), one(FUEL_LIMIT, 2), "after a restart as well");
    until(&mut world, 60, |world| world.core.state().deals.len() == 2);
    assert_eq!(world.core.accusables(), one(FUEL_LIMIT, 2));
    assert_eq!(world.run(600).outcome, Ok(()));
    until(&mut world, 600, |world| world.core.idle());
    assert!(world.core.accusables().is_empty());
}

#[test]
fn where_nobody_would_be_accused_no_bond_is_kept() {
    let kept = |local: bool, prepare: fn(&mut Offer), dispute_from: Option<u128>| {
        let mut world = World::with(&[Manner::Honest], prepare);
        let config = Config { dispute_from, ..world.core.config().clone() };
        world.core = Core::restore(config, []);
        world.feed(Event::Started);
        let mut offer = offer(1, 1_000_000);
        prepare(&mut offer);
        world.feed(Event::Heard(offer));
        let mut spec = spec(4, Policy::Trust);
        spec.constraints.run_locally = local;
        world.feed(Event::Submit(spec));
        until(&mut world, 60, |world| !world.core.state().deals.is_empty());
        !world.core.accusables().is_empty()
    };
    let unknown = |offer: &mut Offer| {
        before_court(offer);
        offer.known_court = false;
    };
    assert!(kept(true, before_court, Some(1)));
    assert!(!kept(true, |_| (), Some(1)), "no court");
    assert!(!kept(true, unknown, Some(1)), "a court of unknown code");
    assert!(!kept(false, before_court, Some(1)), "nothing is run here");
    assert!(!kept(true, before_court, None), "nobody is accused");
}

#[test]
fn a_job_whose_bonds_the_account_does_not_hold_ends_before_anything_is_opened() {
    let mut world = World::with(&[Manner::Honest, Manner::Honest], before_court);
    world.feed(Event::Submit(spec(8, Policy::Replicate { n: 2 })));
    until(&mut world, 60, |world| !world.core.state().jobs[&JOB].openings.is_empty());
    short(&mut world, 0);
    let outcome = world.run(60).outcome.clone();
    assert_eq!(outcome, Err(JobError::Bonds { holds: 500, takes: 400, bonds: 200 }));
    let text = outcome.unwrap_err().to_string();
    assert!(text.starts_with("[R-JOB-026] ") && text.contains("deposit 100 more"), "{text}");
    assert!(
        world.core.idle()
            && world.core.accusables().is_empty()
            && world.core.state().deals.is_empty()
    );
    // Deposited since: the same job goes on.
    world.summary = None;
    world.feed(Event::Resume { job: JOB, deadline: world.now + 3_000, budget: None });
    assert_eq!(world.run(600).outcome, Ok(()));
}

#[test]
fn a_job_with_deals_waits_for_their_money_before_it_opens_more() {
    let mut world = World::with(&[Manner::Silent, Manner::Honest], before_court);
    let mut spec = spec(8, Policy::Trust);
    spec.constraints.max_providers = 1;
    world.feed(Event::Submit(spec));
    until(&mut world, 600, |world| world.core.state().jobs[&JOB].openings.len() == 2);
    let told = |world: &World| {
        let ours =
            |event: &&JobEvent| matches!(event, JobEvent::Note { code, .. } if code == "R-JOB-026");
        world.told.iter().filter(ours).count()
    };
    for _ in 0..3 {
        short(&mut world, 1);
        assert!(world.core.state().jobs[&JOB].runs() && world.core.state().deals.len() == 1);
    }
    assert_eq!(told(&world), 1, "told once");
    assert_eq!(world.core.accusables(), one(FUEL_LIMIT, 2));
    assert_eq!(world.run(600).outcome, Ok(()), "tried again");
}

#[test]
fn a_deal_serves_no_later_job_whose_bond_would_be_larger() {
    for (fuel_limit, opens) in [(FUEL_LIMIT, 1), (FUEL_LIMIT + 1, 2)] {
        let mut world = World::with(&[Manner::Honest], before_court);
        let mut config = world.core.config().clone();
        config.patience.idle = 500;
        world.core = Core::restore(config, []);
        world.feed(Event::Started);
        let mut offer = offer(1, 1_000_000);
        before_court(&mut offer);
        world.feed(Event::Heard(offer));
        for (id, fuel_limit) in [(1, FUEL_LIMIT), (2, fuel_limit)] {
            world.summary = None;
            world.feed(Event::Submit(JobSpec {
                id: JobId(id),
                fuel_limit,
                ..spec(4, Policy::Trust)
            }));
            assert_eq!(world.run(400).outcome, Ok(()));
        }
        assert_eq!(world.opens, opens, "fuel limit {fuel_limit}");
    }
}
