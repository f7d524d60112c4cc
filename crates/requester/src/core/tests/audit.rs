//! Policies that check a sample.

use super::*;

fn audit(rate_ppm: u32) -> Policy {
    Policy::Audit { rate_ppm }
}

fn second(spec: JobSpec) -> JobSpec {
    JobSpec { id: JobId(8), ..spec }
}

fn again(world: &mut World, spec: JobSpec) -> Summary {
    world.summary = None;
    let mut spec = second(spec);
    spec.constraints.deadline = world.now + 3_000;
    world.feed(Event::Submit(spec));
    world.run(3_200).clone()
}

#[test]
fn a_secret_sample_is_run_here_and_its_share_is_the_rate() {
    let mut world = World::new(&[Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(400, audit(100_000))));
    let summary = world.run(2_000).clone();
    assert_eq!(summary.outcome, Ok(()));
    world.assert_right();
    assert!((15..70).contains(&world.own_runs), "{} of about 40", world.own_runs);
    assert_eq!(summary.checks.own_runs, world.own_runs as u64);
    assert_eq!(summary.checks.checked, world.own_runs as u64);
    assert!(summary.checks.own_fuel > 0 && summary.checks.repeated == 0);
    assert_eq!(summary.checks.unseen, [(1, 900_000), (10, 348_679), (100, 27)]);
    let runs: u64 = summary.providers.iter().map(|provider| provider.tasks).sum();
    assert!(runs < 440, "nobody else runs anything again: {runs}");
}

#[test]
fn a_fault_in_the_sample_names_the_task_and_all_else_of_that_provider_is_run_again() {
    let mut world = World::new(&[Manner::Cheats(3), Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(200, audit(150_000))));
    let summary = world.run(2_000).clone();
    assert_eq!(summary.outcome, Ok(()));
    assert_eq!(world.cheaters(), BTreeSet::from([address(1)]));
    world.assert_right();
    let cheater =
        summary.providers.iter().find(|provider| provider.provider == address(1)).unwrap();
    assert_eq!(cheater.status, ProviderStatus::Cheated);
    assert!(
        cheater
            .wrong
            .iter()
            .all(|wrong| wrong.task.is_multiple_of(3) && wrong.theirs != wrong.right)
    );
    assert_eq!(cheater.earned, cheater.paid.unwrap(), "nothing beyond the vouchers it had");
    assert_eq!(world.core.state().history[&address(1)].faults, 1);
}

#[test]
fn where_this_machine_may_not_or_cannot_check_another_provider_does() {
    for can_run in [true, false] {
        let mut world =
            World::new(&[Manner::Cheats(2), Manner::Honest, Manner::Honest, Manner::Honest]);
        world.can_run = can_run;
        let mut job = spec(120, audit(400_000));
        job.constraints.run_locally = !can_run;
        world.feed(Event::Submit(job));
        let summary = world.run(3_200).clone();
        assert_eq!(summary.outcome, Ok(()));
        assert_eq!(world.cheaters(), BTreeSet::from([address(1)]));
        world.assert_right();
        assert!(summary.checks.repeated > 0 && summary.checks.repeated_fees > 0);
        assert_eq!(summary.checks.own_runs, 0);
        assert!(
            summary.checks.unseen.iter().all(|(_, unseen)| *unseen == 600_000),
            "whole batches are repeated"
        );
    }
}

#[test]
fn what_another_provider_was_to_repeat_is_not_paid_if_the_work_ends_before_one_did() {
    for manner in [Manner::Cheats(1), Manner::Honest] {
        let mut world = World::new(&[manner, Manner::Promises]);
        let mut job = spec(12, audit(1_000_000));
        job.constraints.run_locally = false;
        world.feed(Event::Submit(job));
        (0..60).for_each(|_| world.step());
        let delivered = |world: &World| {
            let orders = world.core.state().orders.values();
            orders.filter(|order| order.status == OrderStatus::Delivered).count()
        };
        assert!(delivered(&world) > 0, "it waits for who repeats it");
        world.feed(Event::Cancel(JobId(7)));
        let summary = world.run(3_200).clone();
        assert_eq!(summary.outcome, Err(JobError::Cancelled));
        assert!(delivered(&world) > 0, "nobody said that it is wrong");
        assert_eq!((summary.requester_paid, summary.progress.verified), (0, 0));
        assert!(summary.tasks.iter().all(Option::is_none), "nor is it told as a result");
    }
}

#[test]
fn who_is_caught_when_the_job_is_done_takes_nothing_out_of_it() {
    let mut world = World::new(&[Manner::Honest, Manner::Honest, Manner::Honest]);
    let mut job = spec(200, audit(500_000));
    job.constraints.run_locally = false;
    world.feed(Event::Submit(job));
    let believed = |world: &World| {
        let state = world.core.state();
        let of =
            |order: &&journal::OurOrder| world.market[&order.order.deal].provider == address(1);
        let alone = |order: &&journal::OurOrder| {
            state.jobs[&order.job].batches[order.batch as usize].orders.len() == 1
        };
        let accepted = state.orders.values().filter(|order| order.status == OrderStatus::Accepted);
        accepted.filter(of).any(|order| alone(&order))
    };
    while !believed(&world) {
        world.step();
    }
    // From now on it cheats, takes long, and nothing reaches it: others do its work, and the job is
    // done without it.
    let until = world.now + 200;
    let cheater = world.actors.get_mut(&address(1)).unwrap();
    (cheater.manner, cheater.busy_until) = (Manner::Cheats(1), until);
    let placed = cheater.seen;
    while world.actors[&address(1)].seen == placed {
        world.step();
    }
    world.actors.get_mut(&address(1)).unwrap().up = false;
    while world.core.state().jobs[&JobId(7)].runs() {
        world.step();
    }
    assert!(
        world.core.state().jobs[&JobId(7)].is_done()
            && world.cheaters().is_empty()
            && world.now < until
    );
    while world.now < until + 100 {
        world.step();
    }
    assert_eq!(world.cheaters(), BTreeSet::from([address(1)]), "its late results show it");
    assert!(world.core.summary(JobId(7)).tasks.iter().all(Option::is_some));
    assert!(
        world
            .told
            .iter()
            .any(|event| matches!(event, JobEvent::Note { code, .. } if code == "R-VER-011"))
    );
}

#[test]
fn one_provider_alone_is_not_enough_where_another_has_to_check() {
    let mut world = World::new(&[Manner::Honest]);
    let mut job = spec(12, audit(400_000));
    job.constraints.run_locally = false;
    job.constraints.deadline = world.now + 200;
    world.feed(Event::Submit(job));
    let outcome = world.run(300).outcome.clone();
    assert!(
        matches!(&outcome, Err(JobError::Stranded { why, .. }) if why.contains("2 distinct providers needed")),
        "{outcome:?}"
    );
}

#[test]
fn trust_is_earned_across_jobs_and_restarts_and_lost_at_a_fault() {
    let policy = Policy::Adaptive { floor_ppm: 20_000 };
    let mut world = World::new(&[Manner::Honest, Manner::Cheats(7)]);
    world.feed(Event::Submit(spec(200, policy)));
    let first = world.run(3_000).clone();
    assert_eq!(first.outcome, Ok(()));
    world.assert_right();
    assert_eq!(world.cheaters(), BTreeSet::from([address(2)]));
    let checked = world.core.state().history[&address(1)].checked;
    assert!((20..150).contains(&checked), "all at first, then fewer: {checked}");
    world.crash();
    assert_eq!(world.core.state().history[&address(1)].checked, checked);
    world.own_runs = 0;
    let summary = again(&mut world, spec(200, policy));
    assert_eq!(summary.outcome, Ok(()));
    assert!(world.own_runs < 60, "{} of 200 for a provider that is known", world.own_runs);
    assert_eq!(summary.providers.len(), 1, "who was caught is not used again");
    assert!(world.told.iter().any(|e| matches!(e, JobEvent::Excluded(e) if e.why == Why::Cheated)));
    world.feed(Event::Forgive(address(2)));
    assert!(!world.core.state().history.contains_key(&address(2)));
}

#[test]
fn quotes_say_cost_chance_and_exclusions_of_every_policy() {
    let world = World::new(&[Manner::Honest, Manner::Honest]);
    let mut job = spec(100, Policy::Trust);
    job.constraints.max_price = 1_001_500;
    let policies = [Policy::Trust, Policy::Replicate { n: 2 }, audit(50_000)];
    let quotes = world.core.quotes(START, &job, &policies, &[1, 10]);
    let pay = |n: usize| quotes[n].price.unwrap().pay;
    assert!(quotes[1].plan.is_err(), "one of two is too dear");
    assert_eq!(quotes[0].detection, [(1, 0), (10, 0)]);
    assert_eq!(quotes[2].detection, [(1, 50_000), (10, 401_263)]);
    assert_eq!(pay(0), pay(2));
    assert!(quotes[2].price.unwrap().own_fuel > 0);
    let excluded = &quotes[0].plan.as_ref().unwrap().excluded;
    assert!(excluded.iter().any(|e| e.provider == address(2) && e.why.code() == "R-MAT-002"));
}

#[test]
fn a_crash_at_every_step_changes_no_sample() {
    let mut world = World::new(&[Manner::Honest, Manner::Cheats(4), Manner::Honest]);
    world.feed(Event::Submit(spec(40, audit(300_000))));
    for steps in (1..60).cycle().step_by(7).take(400) {
        (0..steps).for_each(|_| world.step());
        world.now += 1;
        world.crash();
        if world.summary.is_some() {
            break;
        }
    }
    assert_eq!(world.summary.as_ref().unwrap().outcome, Ok(()));
    for job in world.core.state().jobs.values() {
        for (index, batch) in job.batches.iter().enumerate() {
            assert!(batch.unchecked().is_empty(), "batch {index} is settled without its sample");
        }
    }
}
