//! Deals that outlive jobs.

use super::*;

fn world(manners: &[Manner]) -> World {
    let mut world = World::new(manners);
    let mut config = config();
    config.patience.idle = 500;
    world.core = Core::restore(config, []);
    world.feed(Event::Started);
    for n in 1..=manners.len() as u8 {
        world.feed(Event::Heard(offer(n, 1_000_000 + u128::from(n) * 1_000)));
    }
    world
}

fn job(world: &World, id: u64, tasks: u32) -> JobSpec {
    let mut job = JobSpec { id: JobId(id), ..spec(tasks, Policy::Trust) };
    job.constraints.deadline = world.now + 3_000;
    (job.constraints.min_providers, job.constraints.max_providers) = (2, 2);
    job
}

#[test]
fn the_next_job_takes_over_what_is_open_and_every_bill_is_exact() {
    let mut world = world(&[Manner::Honest, Manner::Honest]);
    let mut paid = 0;
    for id in 1..=4 {
        world.summary = None;
        let job = job(&world, id, 20);
        world.feed(Event::Submit(job));
        let summary = world.run(400).clone();
        assert_eq!(summary.outcome, Ok(()));
        world.assert_right();
        let fees: u128 = {
            let state = world.core.state();
            state
                .orders
                .values()
                .filter(|order| order.job == JobId(id))
                .map(|order| order.accepted_fee())
                .sum()
        };
        assert_eq!((summary.requester_paid, summary.progress.spent), (fees, fees));
        assert!(
            summary
                .providers
                .iter()
                .all(|p| p.status == ProviderStatus::Settled && p.paid.is_none())
        );
        paid += fees;
        (0..30).for_each(|_| world.step());
    }
    assert_eq!(world.opens, 1, "four jobs, one transaction");
    assert!(world.closed.is_empty());
    (0..1_000).for_each(|_| world.step());
    assert_eq!(
        world.closed.values().sum::<u128>(),
        paid,
        "closed when idle for long, and paid to the base unit"
    );
    assert!(world.core.idle());
}

#[test]
fn what_does_not_suit_is_not_taken_over_and_who_was_caught_is_not_kept() {
    let mut world = world(&[Manner::Honest, Manner::Cheats(2)]);
    let first = JobSpec { policy: Policy::Replicate { n: 2 }, ..job(&world, 1, 12) };
    world.feed(Event::Submit(first));
    assert_eq!(world.run(600).outcome, Ok(()));
    let open = world.core.state().deals.values().filter(|deal| deal.closing.is_none()).count();
    assert_eq!(open, 1, "the cheater's deal is closed at once");
    world.summary = None;
    let mut dear = job(&world, 2, 4);
    dear.constraints.max_price = 1_000_500;
    dear.constraints.deadline = world.now + 60;
    world.feed(Event::Submit(dear));
    assert!(matches!(world.run(100).outcome, Err(JobError::Stranded { left: 4, .. })));
    world.summary = None;
    let mut poor = job(&world, 3, 4);
    poor.constraints.budget = 30_000;
    world.feed(Event::Submit(poor));
    assert_eq!(world.run(600).outcome, Ok(()));
    assert_eq!(world.opens, 2, "more is free in the open deal than this job may spend");
}

#[test]
fn two_jobs_at_once_do_not_share_a_deal_and_a_job_that_is_resumed_leaves_the_other_alone() {
    let mut world = world(&[Manner::Honest, Manner::Honest]);
    let first = job(&world, 1, 400);
    world.feed(Event::Submit(first));
    while world.core.state().deals.values().all(|deal| deal.earned == 0) {
        world.step();
    }
    world.feed(Event::Cancel(JobId(1)));
    assert_eq!(world.run(200).outcome, Err(JobError::Cancelled));
    world.summary = None;
    let second = job(&world, 2, 40);
    world.feed(Event::Submit(second));
    (0..20).for_each(|_| world.step());
    world.feed(Event::Resume { job: JobId(1), deadline: world.now + 2_000, budget: None });
    for _ in 0..3_000 {
        let state = world.core.state();
        for deal in state.deals.values() {
            let open = deal
                .orders
                .iter()
                .map(|order| &state.orders[order])
                .filter(|order| order.awaited());
            let jobs: BTreeSet<_> = open.map(|order| order.job).collect();
            assert!(jobs.len() <= 1, "one holder at a time");
        }
        if state
            .jobs
            .values()
            .all(|job| matches!(job.phase, Phase::Reported { outcome: Ok(()), .. }))
        {
            return;
        }
        world.step();
    }
    panic!("both end");
}
