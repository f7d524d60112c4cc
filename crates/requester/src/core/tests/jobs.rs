//! Whole jobs with scripted providers.

use super::*;

fn has(world: &World, test: impl Fn(&JobEvent) -> bool) -> bool {
    world.told.iter().any(test)
}

fn status(summary: &Summary, n: u8) -> &ProviderReport {
    summary.providers.iter().find(|provider| provider.provider == address(n)).unwrap()
}

#[test]
fn trust_spreads_pays_and_closes() {
    let mut world = World::new(&[Manner::Honest, Manner::Honest, Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(60, Policy::Trust)));
    let summary = world.run(600).clone();
    assert_eq!(summary.outcome, Ok(()));
    world.assert_right();
    assert_eq!(world.opens, 1, "all deals open in one transaction");
    assert_eq!(summary.providers.len(), 4);
    assert!(
        summary
            .providers
            .iter()
            .all(|provider| provider.tasks > 0 && provider.status == ProviderStatus::Settled)
    );
    assert!(summary.providers.iter().all(|provider| provider.paid == Some(provider.earned)));
    assert_eq!(summary.requester_paid, world.closed.values().sum::<u128>());
    assert_eq!(
        summary.progress,
        Progress {
            tasks: 60,
            done: 60,
            verified: 60,
            paid: 60,
            spent: summary.requester_paid,
            retries: 0,
            failovers: 0
        }
    );
    assert!(has(&world, |event| matches!(event, JobEvent::Quote { providers: 4, .. })));
    assert!(world.core.idle());
}

#[test]
fn replicas_agree_and_everybody_is_paid() {
    let mut world = World::new(&[Manner::Honest, Manner::Honest, Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(40, Policy::Replicate { n: 2 })));
    let summary = world.run(600).clone();
    assert_eq!(summary.outcome, Ok(()));
    world.assert_right();
    assert!(summary.tasks.iter().flatten().all(|task| task.votes >= 2));
    assert!(world.cheaters().is_empty());
    let runs: u64 = summary.providers.iter().map(|provider| provider.tasks).sum();
    assert!((80..100).contains(&runs), "{runs} runs for 80 wanted");
}

#[test]
fn a_cheater_is_named_with_exact_tasks_and_left_unpaid() {
    let mut world =
        World::new(&[Manner::Honest, Manner::Cheats(3), Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(40, Policy::Replicate { n: 2 })));
    let summary = world.run(600).clone();
    assert_eq!(summary.outcome, Ok(()));
    world.assert_right();
    assert_eq!(world.cheaters(), BTreeSet::from([address(2)]));
    let cheater = status(&summary, 2);
    assert_eq!(cheater.status, ProviderStatus::Cheated);
    assert!(!cheater.wrong.is_empty() && cheater.wrong.iter().all(|wrong| wrong.task % 3 == 0));
    assert!(
        cheater.wrong.iter().all(|wrong| wrong.theirs.out_hash == output_hash(b"made up by 2"))
    );
    assert_eq!(cheater.earned, cheater.paid.unwrap());
    assert!(!world.actors[&address(2)].rejected.is_empty());
    assert!(has(
        &world,
        |event| matches!(event, JobEvent::Mismatch { results, .. } if results.len() == 2)
    ));
    // Whatever the cheater was paid was for batches that others confirmed.
    for n in [1, 3, 4] {
        assert_eq!(status(&summary, n).status, ProviderStatus::Settled);
    }
}

#[test]
fn overcharging_is_cheating() {
    let mut world = World::new(&[Manner::Overcharges, Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(12, Policy::Replicate { n: 2 })));
    assert_eq!(world.run(600).outcome, Ok(()));
    world.assert_right();
    assert_eq!(world.cheaters(), BTreeSet::from([address(1)]));
    assert_eq!(status(world.summary.as_ref().unwrap(), 1).earned, 0);
}

#[test]
fn a_majority_of_cheaters_loses_against_this_machine() {
    let mut world = World::new(&[Manner::Cheats(1), Manner::Cheats(1), Manner::Honest]);
    // Both make up the same results.
    world.actors.get_mut(&address(2)).unwrap().n = 2;
    world.feed(Event::Submit(spec(10, Policy::Replicate { n: 3 })));
    assert_eq!(world.run(2_000).outcome, Ok(()));
    world.assert_right();
    assert_eq!(world.cheaters(), BTreeSet::from([address(1), address(2)]));
}

#[test]
fn without_a_local_run_another_provider_breaks_the_tie() {
    let mut world =
        World::new(&[Manner::Cheats(2), Manner::Honest, Manner::Honest, Manner::Honest]);
    let mut job = spec(20, Policy::Replicate { n: 2 });
    job.constraints.run_locally = false;
    world.feed(Event::Submit(job));
    assert_eq!(world.run(600).outcome, Ok(()));
    world.assert_right();
    assert_eq!(world.cheaters(), BTreeSet::from([address(1)]));
    assert!(!has(&world, |event| matches!(event, JobEvent::LocalRun { .. })));
}

#[test]
fn a_machine_that_cannot_run_the_task_falls_back_to_a_tie_break() {
    let mut world =
        World::new(&[Manner::Cheats(2), Manner::Honest, Manner::Honest, Manner::Honest]);
    world.can_run = false;
    world.feed(Event::Submit(spec(20, Policy::Replicate { n: 2 })));
    assert_eq!(world.run(600).outcome, Ok(()));
    world.assert_right();
    assert_eq!(world.cheaters(), BTreeSet::from([address(1)]));
}

#[test]
fn work_of_providers_that_fall_away_goes_elsewhere() {
    for manner in [
        Manner::Silent,
        Manner::Dies(1),
        Manner::Dies(3),
        Manner::Refuses("P-ADM-013"),
        Manner::Refuses("P-ADM-012"),
        Manner::Refuses("P-RUN-001"),
        Manner::BadRoot,
        Manner::BadFee,
        Manner::BadOutputs,
        Manner::Forges,
    ] {
        let mut world = World::new(&[manner.clone(), Manner::Honest, Manner::Honest]);
        world.feed(Event::Submit(spec(24, Policy::Replicate { n: 2 })));
        let summary = world.run(1_000).clone();
        assert_eq!(summary.outcome, Ok(()), "{manner:?}");
        world.assert_right();
        assert!(world.cheaters().is_empty(), "{manner:?}: {:?}", world.cheaters());
        if manner != Manner::Dies(3) {
            assert_eq!(status(&summary, 1).earned, 0, "{manner:?}");
        }
        // The others are overtaken by duplicates before patience with them is over.
        if matches!(manner, Manner::BadRoot | Manner::BadFee | Manner::BadOutputs | Manner::Forges)
        {
            assert!(
                matches!(status(&summary, 1).status, ProviderStatus::Dropped { .. }),
                "{manner:?}"
            );
            assert!(
                has(&world, |event| matches!(event, JobEvent::ProviderDropped { .. })),
                "{manner:?}"
            );
        }
    }
}

#[test]
fn a_new_deal_replaces_a_dead_provider() {
    let mut world = World::new(&[Manner::Dies(2), Manner::Honest, Manner::Honest]);
    let mut job = spec(12, Policy::Replicate { n: 2 });
    (job.constraints.min_providers, job.constraints.max_providers) = (2, 2);
    job.constraints.run_locally = false;
    world.feed(Event::Submit(job));
    let summary = world.run(1_000).clone();
    assert_eq!(summary.outcome, Ok(()));
    world.assert_right();
    assert_eq!(world.opens, 2);
    assert!(status(&summary, 3).tasks > 0);
}

#[test]
fn when_nobody_is_left_this_machine_finishes_or_the_job_says_why_not() {
    let mut world = World::new(&[Manner::Honest, Manner::Dies(2)]);
    world.feed(Event::Submit(spec(6, Policy::Replicate { n: 2 })));
    assert_eq!(world.run(1_000).outcome, Ok(()));
    world.assert_right();
    assert!(has(&world, |event| matches!(event, JobEvent::LocalRun { .. })));

    let mut world = World::new(&[Manner::Honest, Manner::Dies(2)]);
    let mut job = spec(6, Policy::Replicate { n: 2 });
    job.constraints.run_locally = false;
    world.feed(Event::Submit(job));
    let outcome = world.run(3_200).outcome.clone();
    assert!(matches!(outcome, Err(JobError::Stranded { .. })), "{outcome:?}");
    assert!(world.now >= START + 3_000, "somebody might have come until the deadline");
    let waits = world
        .told
        .iter()
        .filter(|event| matches!(event, JobEvent::Note { code, .. } if code == "R-JOB-024"));
    assert_eq!(waits.count(), 1);
}

#[test]
fn a_provider_that_stops_frees_its_budget_and_the_work_goes_to_whoever_comes() {
    let mut world = World::new(&[Manner::Refuses("P-ADM-013"), Manner::Refuses("P-ADM-013")]);
    let mut job = spec(24, Policy::Trust);
    job.constraints.run_locally = false;
    // So little that no third deal opens while the first two lock it.
    job.constraints.budget = 500_000;
    world.feed(Event::Submit(job));
    (0..400).for_each(|_| world.step());
    assert!(
        world.core.state().deals.values().all(|deal| deal.closed.is_some()),
        "deals with who is stopping are settled"
    );
    assert!(has(
        &world,
        |event| matches!(event, JobEvent::Note { code, .. } if code == "R-JOB-024")
    ));
    assert!(world.summary.is_none(), "the job waits");
    world.arrive(3, Manner::Honest);
    let summary = world.run(1_000).clone();
    assert_eq!(summary.outcome, Ok(()));
    world.assert_right();
    assert!(status(&summary, 3).tasks == 24);
}

#[test]
fn a_provider_that_stopped_and_came_back_is_used_again_but_not_at_once() {
    let mut world = World::new(&[Manner::Refuses("P-ADM-013")]);
    let mut job = spec(6, Policy::Trust);
    job.constraints.run_locally = false;
    world.feed(Event::Submit(job));
    for _ in 0..600 {
        world.step();
        // Its offers go on circulating.
        if world.now.is_multiple_of(10) {
            world.feed(Event::Heard(offer(1, 1_001_000)));
        }
    }
    assert!((2..12).contains(&world.opens), "asked again now and then: {} openings", world.opens);
    world.actors.get_mut(&address(1)).unwrap().manner = Manner::Honest;
    for _ in 0..2_000 {
        world.step();
        if world.now.is_multiple_of(10) {
            world.feed(Event::Heard(offer(1, 1_001_000)));
        }
        if world.summary.is_some() {
            break;
        }
    }
    assert_eq!(world.summary.as_ref().expect("it ends").outcome, Ok(()));
    world.assert_right();
}

#[test]
fn a_provider_that_was_too_busy_is_asked_again() {
    let mut world = World::new(&[Manner::Refuses("P-ADM-012")]);
    let mut job = spec(6, Policy::Trust);
    job.constraints.run_locally = false;
    world.feed(Event::Submit(job));
    (0..300).for_each(|_| world.step());
    assert!(has(&world, |event| matches!(event, JobEvent::ProviderDropped { .. })));
    world.actors.get_mut(&address(1)).unwrap().manner = Manner::Honest;
    assert_eq!(world.run(2_000).outcome, Ok(()));
    world.assert_right();
}

#[test]
fn large_orders_that_nobody_takes_are_split() {
    let mut world = World::new(&[Manner::Small(1), Manner::Small(1), Manner::Small(1)]);
    world.feed(Event::Submit(spec(30, Policy::Replicate { n: 2 })));
    let summary = world.run(2_000).clone();
    assert_eq!(summary.outcome, Ok(()));
    world.assert_right();
    assert!(summary.tasks.iter().flatten().filter(|task| task.votes >= 2).count() > 0);
}

#[test]
fn a_straggler_is_duplicated_and_the_first_result_wins() {
    let mut world = World::new(&[Manner::Slow(500), Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(20, Policy::Trust)));
    let began = world.now;
    let summary = world.run(2_000).clone();
    assert_eq!(summary.outcome, Ok(()));
    world.assert_right();
    assert!(world.now - began < 300, "took {} s", world.now - began);
}

#[test]
fn no_match_says_which_constraint_to_change() {
    let mut world = World::new(&[Manner::Honest, Manner::Honest]);
    let mut job = spec(4, Policy::Replicate { n: 3 });
    job.constraints.max_price = 1_001_000;
    job.constraints.deadline = world.now + 60;
    world.feed(Event::Submit(job));
    let outcome = world.run(100).outcome.clone();
    let Err(JobError::Stranded { why: text, left: 4 }) = outcome else { panic!("{outcome:?}") };
    assert!(
        text.contains("3 distinct providers needed, 1 fit; raise the maximum price (R-MAT-002)"),
        "{text}"
    );
    assert!(has(
        &world,
        |event| matches!(event, JobEvent::Excluded(e) if e.why.code() == "R-MAT-002")
    ));
    assert_eq!(world.opens, 0);

    let mut world = World::new(&[]);
    let mut job = spec(4, Policy::Trust);
    job.constraints.deadline = world.now + 60;
    let deadline = job.constraints.deadline;
    world.feed(Event::Submit(job));
    assert!(world.run(100).outcome.as_ref().unwrap_err().to_string().contains("R-JOB-010"));
    assert!(world.now >= deadline, "not before its deadline");
}

#[test]
fn only_what_waiting_cannot_mend_ends_a_job_early() {
    let excluded =
        |why: Why| vec![Excluded { provider: address(1), ask: rialto_protocol::AskId::ZERO, why }];
    let budget = || Why::Budget { needed: 2, available: 1 };
    let price = || Why::Price { price: 2, max: 1 };
    let table = [
        (NoMatch::NoAsks, true),
        (NoMatch::TooFew { needed: 1, found: 0, excluded: Vec::new() }, true),
        (NoMatch::TooFew { needed: 1, found: 0, excluded: excluded(price()) }, true),
        (NoMatch::TooFew { needed: 1, found: 0, excluded: excluded(Why::Draining) }, true),
        (NoMatch::TooFew { needed: 1, found: 0, excluded: excluded(Why::Unreachable) }, true),
        (
            NoMatch::TooFew {
                needed: 2,
                found: 1,
                excluded: [excluded(budget()), excluded(Why::Draining)].concat(),
            },
            true,
        ),
        (NoMatch::TooSlow { capacity: 1, needed: 2, excluded: Vec::new() }, true),
        (NoMatch::TooFew { needed: 1, found: 0, excluded: excluded(budget()) }, false),
        (NoMatch::TooSlow { capacity: 1, needed: 2, excluded: excluded(budget()) }, false),
        (NoMatch::TooDear { cost: 2, budget: 1, excluded: Vec::new() }, false),
    ];
    for (why, may_pass) in table {
        assert_eq!(why.may_pass(), may_pass, "{why:?}");
    }
}

#[test]
fn an_offer_that_does_not_open_is_left_out_and_the_rest_open() {
    let mut world = World::new(&[Manner::Honest, Manner::Honest, Manner::Honest]);
    world.refuse_open.insert(address(2));
    world.feed(Event::Submit(spec(12, Policy::Replicate { n: 2 })));
    let summary = world.run(600).clone();
    assert_eq!(summary.outcome, Ok(()));
    assert!(has(
        &world,
        |event| matches!(event, JobEvent::Excluded(e) if e.why.code() == "R-MAT-012")
    ));
    assert_eq!(summary.providers.len(), 2);
}

#[test]
fn no_order_promises_more_output_than_providers_take() {
    let mut world = World::new(&[Manner::Honest, Manner::Honest]);
    let mut job = spec(200, Policy::Trust);
    job.out_limit = 1 << 30;
    job.constraints.min_providers = 2;
    world.feed(Event::Submit(job));
    assert_eq!(world.run(3_000).outcome, Ok(()));
    let bytes = |order: &rialto_protocol::types::Order| order.outLimit * u64::from(order.tasks);
    let most = world.core.state().orders.values().map(|order| bytes(&order.order)).max();
    assert_eq!(most, Some(4 << 30));
}

#[test]
fn who_has_much_to_fetch_is_waited_for() {
    let silent_for = |carried_bytes: u64| {
        let mut world = World::new(&[Manner::Silent, Manner::Silent]);
        let mut job = spec(2, Policy::Trust);
        job.shared_bytes = carried_bytes;
        job.constraints.run_locally = false;
        job.constraints.min_providers = 2;
        world.feed(Event::Submit(job));
        let dropped =
            |world: &World| has(world, |event| matches!(event, JobEvent::ProviderDropped { .. }));
        (0..2_000).find(|_| {
            world.step();
            dropped(&world)
        })
    };
    let (little, much) = (silent_for(1 << 10).unwrap(), silent_for(1 << 30).unwrap());
    assert!(little < 80, "{little}");
    assert!(much > 250 && much < 400, "{much}");
}

#[test]
fn the_deadline_ends_a_job_and_its_deals() {
    let mut world = World::new(&[Manner::Silent, Manner::Silent]);
    let mut job = spec(12, Policy::Trust);
    job.constraints.run_locally = false;
    job.constraints.deadline = START + 30;
    job.constraints.min_providers = 2;
    world.feed(Event::Submit(job));
    let outcome = world.run(5_000).outcome.clone();
    assert_eq!(outcome, Err(JobError::Deadline { verified: 0, tasks: 12 }));
    for _ in 0..3_000 {
        world.step();
    }
    assert!(world.core.idle(), "silent providers' deals expire");
    assert_eq!(world.closed.values().sum::<u128>(), 0);
}

#[test]
fn cancelling_pays_what_was_accepted() {
    let mut world = World::new(&[Manner::Honest, Manner::Honest, Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(500, Policy::Trust)));
    while world.core.state().deals.values().all(|deal| deal.earned == 0) {
        world.step();
    }
    world.feed(Event::Cancel(JobId(7)));
    let summary = world.run(600).clone();
    assert_eq!(summary.outcome, Err(JobError::Cancelled));
    assert!(summary.requester_paid > 0);
    assert_eq!(summary.requester_paid, world.closed.values().sum::<u128>());
}

#[test]
fn what_was_delivered_before_a_cancel_is_verified_here_and_paid() {
    let mut world = World::new(&[Manner::Releases, Manner::Silent]);
    world.feed(Event::Submit(spec(500, Policy::Replicate { n: 2 })));
    while !has(&world, |event| matches!(event, JobEvent::TasksDone { .. })) {
        world.step();
    }
    world.feed(Event::Cancel(JobId(7)));
    let summary = world.run(600).clone();
    assert_eq!(summary.outcome, Err(JobError::Cancelled));
    assert!(status(&summary, 1).earned > 0);
    assert_eq!(status(&summary, 1).paid, Some(status(&summary, 1).earned));
    assert!(summary.progress.verified > 0);
}

#[test]
fn a_provider_that_does_not_redeem_is_asked_for_a_release_and_then_expires() {
    let mut world = World::new(&[Manner::Releases, Manner::Sleeps]);
    world.feed(Event::Submit(spec(12, Policy::Trust)));
    let summary = world.run(600).clone();
    assert_eq!(summary.outcome, Ok(()));
    assert_eq!(status(&summary, 1).paid, Some(status(&summary, 1).earned));
    assert_eq!(status(&summary, 2).paid, None);
    assert_eq!(status(&summary, 2).status, ProviderStatus::Unsettled);
    for _ in 0..10_000 {
        world.step();
    }
    assert!(world.core.idle());
}

#[test]
fn a_crash_at_every_step_changes_nothing() {
    let mut world =
        World::new(&[Manner::Honest, Manner::Cheats(4), Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(16, Policy::Replicate { n: 2 })));
    for steps in (1..60).cycle().step_by(7).take(400) {
        (0..steps).for_each(|_| world.step());
        // A restart takes a while.
        world.now += 1;
        world.crash();
        world.check();
        if world.summary.is_some() {
            break;
        }
    }
    assert_eq!(world.summary.as_ref().unwrap().outcome, Ok(()));
    world.assert_right();
    assert_eq!(world.opens, 1);
}

#[test]
fn old_jobs_are_forgotten() {
    let mut world = World::new(&[Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(4, Policy::Trust)));
    world.run(600);
    world.now += 25 * 3600;
    world.feed(Event::Tick);
    assert_eq!(*world.core.state(), State::default());
    world.crash();
}

#[test]
fn a_provider_is_dialled_where_it_is_now_and_where_it_was() {
    let mut world = World::new(&[Manner::Honest]);
    let ports = |ports: std::ops::RangeInclusive<u16>| -> Vec<_> {
        ports.map(|port| std::net::SocketAddr::from(([127, 0, 0, 1], port))).collect()
    };
    let heard = |world: &mut World, direct: Vec<std::net::SocketAddr>| {
        let mut offer = offer(1, 1_001_000);
        offer.peer.direct = direct;
        world.feed(Event::Heard(offer));
    };
    heard(&mut world, ports(1..=1));
    world.feed(Event::Submit(spec(60, Policy::Trust)));
    while world.core.state().deals.is_empty() {
        world.step();
    }
    let dialled = |world: &World| {
        world.core.whereabouts(*world.core.state().deals.keys().next().unwrap()).direct
    };
    assert_eq!(dialled(&world), ports(1..=1));
    heard(&mut world, ports(2..=3));
    assert_eq!(dialled(&world), [ports(2..=3), ports(1..=1)].concat());
    heard(&mut world, ports(2..=9));
    let both = [ports(2..=5), ports(1..=1), ports(6..=8)].concat();
    assert_eq!(dialled(&world), both, "no more than are allowed, and not hearsay alone");
}

#[test]
fn a_provider_that_is_back_is_found_within_seconds_while_work_waits() {
    let mut world = World::new(&[Manner::Dies(1)]);
    let mut job = spec(600, Policy::Trust);
    (job.constraints.run_locally, job.constraints.min_providers) = (false, 1);
    world.feed(Event::Submit(job));
    let dropped =
        |world: &World| has(world, |event| matches!(event, JobEvent::ProviderDropped { .. }));
    while !dropped(&world) {
        world.step();
    }
    (0..200).for_each(|_| world.step());
    let link = *world.core.links.values().next().unwrap();
    let crate::core::session::LinkState::Down { retry_at } = link.state else { panic!("{link:?}") };
    assert!(link.failures > 5 && retry_at <= world.now + 4, "{link:?} at {}", world.now);
    // Meanwhile nobody locks more money with it.
    let why = world
        .core
        .quote(world.now, &JobSpec { id: JobId(8), ..spec(4, Policy::Trust) })
        .unwrap_err();
    assert!(why.to_string().contains("(R-MAT-017)"), "{why}");
    // It is there again, says so, and is back before the next attempt would have been due.
    world.actors.get_mut(&address(1)).unwrap().manner = Manner::Honest;
    world.feed(Event::Heard(offer(1, 1_001_000)));
    let until = world.now + 1;
    while world.now < until || world.mail.iter().any(|(due, _)| *due <= world.now) {
        world.step();
    }
    assert!(has(&world, |event| matches!(event, JobEvent::ProviderBack { .. })));
}
