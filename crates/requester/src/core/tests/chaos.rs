//! Random worlds: hostile providers, lost, doubled and reordered messages, crashes at any moment.

use proptest::prelude::*;

use super::*;

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        4 => Just(Manner::Honest),
        2 => (1u32..5).prop_map(Manner::Cheats),
        1 => Just(Manner::Overcharges),
        1 => Just(Manner::BadRoot),
        1 => Just(Manner::BadOutputs),
        1 => Just(Manner::Forges),
        1 => Just(Manner::Silent),
        1 => (1usize..4).prop_map(Manner::Dies),
        1 => Just(Manner::Refuses("P-ADM-012")),
        1 => (1u32..4).prop_map(Manner::Small),
        1 => (1u64..60).prop_map(Manner::Slow),
        1 => Just(Manner::Releases),
        1 => Just(Manner::Sleeps),
    ]
}

#[derive(Clone, Debug)]
enum Twist {
    Step(u8),
    Crash,
    Lose(u16),
    Double(u16),
    Swap(u16, u16),
    Drop(u8),
    Cancel,
    Garbage(u8, u8),
}

fn twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        12 => (1u8..30).prop_map(Twist::Step),
        1 => Just(Twist::Crash),
        1 => any::<u16>().prop_map(Twist::Lose),
        2 => any::<u16>().prop_map(Twist::Double),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Twist::Swap(a, b)),
        1 => any::<u8>().prop_map(Twist::Drop),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Twist::Garbage(a, b)),
    ]
}

impl World {
    fn twist(&mut self, twist: &Twist) {
        let at = |n: &u16, len: usize| usize::from(*n) % len.max(1);
        let messages = |mail: &[(u64, Event)]| -> Vec<usize> {
            let session = |event: &Event| matches!(event, Event::Message { .. });
            mail.iter()
                .enumerate()
                .filter(|(_, (_, event))| session(event))
                .map(|(at, _)| at)
                .collect()
        };
        let some = messages(&self.mail);
        match twist {
            Twist::Step(steps) => (0..*steps).for_each(|_| self.step()),
            Twist::Crash => self.crash(),
            Twist::Lose(n) if !some.is_empty() => {
                // A lost message means a lost session: the transport is reliable until it breaks.
                let (_, event) = self.mail.remove(some[at(n, some.len())]);
                let Event::Message { deal, .. } = event else { return };
                self.actors.get_mut(&self.market[&deal].provider).unwrap().up = false;
                self.mail.retain(
                    |(_, event)| !matches!(event, Event::Message { deal: of, .. } if *of == deal),
                );
                self.feed(Event::Disconnected { deal, why: "lost".into() });
            }
            Twist::Double(n) if !some.is_empty() => {
                let copy = self.mail[some[at(n, some.len())]].clone();
                self.mail.push(copy);
            }
            Twist::Swap(a, b) if !some.is_empty() => {
                self.mail.swap(some[at(a, some.len())], some[at(b, some.len())]);
            }
            Twist::Drop(n) => {
                let deals: Vec<_> =
                    self.market.iter().map(|(id, deal)| (*id, deal.provider)).collect();
                if let Some((deal, provider)) = deals.get(usize::from(*n) % deals.len().max(1)) {
                    self.actors.get_mut(provider).unwrap().up = false;
                    self.feed(Event::Disconnected { deal: *deal, why: "cut".into() });
                }
            }
            Twist::Cancel => self.feed(Event::Cancel(JobId(7))),
            Twist::Garbage(n, what) => self.garbage(*n, *what),
            _ => {}
        }
    }

    /// Messages that no honest provider sends.
    fn garbage(&mut self, n: u8, what: u8) {
        let deals: Vec<_> = self.market.iter().map(|(id, deal)| (*id, deal.provider)).collect();
        let Some((deal, provider)) = deals.get(usize::from(n) % deals.len().max(1)).copied() else {
            return;
        };
        let key = self.actors[&provider].n;
        let orders: Vec<OrderId> = self.core.state().orders.keys().copied().collect();
        let order =
            orders.get(usize::from(n) % orders.len().max(1)).copied().unwrap_or(OrderId::ZERO);
        let receipt = Receipt { order, root: B256::ZERO, fuel: 1, fee: u128::MAX };
        let message = match what % 8 {
            0 => {
                ToRequester::Welcome { version: WIRE_VERSION, next_seq: u64::MAX, paid: u128::MAX }
            }
            1 => ToRequester::Progress { order, done: u32::MAX },
            2 => ToRequester::Ack(sign(key, Ack { order, dueBy: 0 })),
            3 => {
                ToRequester::Refuse { order: None, code: "P-PAY-003".into(), detail: String::new() }
            }
            4 => ToRequester::Release(sign(key, Release { deal, amount: u128::MAX })),
            5 => ToRequester::Release(sign(key, Release { deal, amount: 0 })),
            6 => ToRequester::Receipt {
                receipt: sign(key, receipt),
                results: vec![],
                outputs: Payload::Inline(Bytes::new()),
            },
            _ => {
                let results = vec![run(B256::ZERO, 0).1; 3];
                ToRequester::Receipt {
                    receipt: sign(key, receipt),
                    results,
                    outputs: Payload::Inline(Bytes::new()),
                }
            }
        };
        self.feed(Event::Message { deal, message });
        self.feed(Event::Stored { order, result: Stored::Wrong { task: n.into() } });
        self.feed(Event::RanLocally {
            job: JobId(7),
            batch: n.into(),
            result: Ok(vec![(u32::MAX, run(B256::ZERO, 1).1)]),
        });
        self.feed(Event::Transacted {
            intent: "open-0-0".into(),
            outcome: Transacted::Unsent { reason: String::new() },
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn money_is_safe_and_every_job_ends_whatever_happens(
        manners in proptest::collection::vec(manner(), 1..6),
        twists in proptest::collection::vec(twist(), 0..60),
        tasks in 1u32..24,
        replicas in 0u32..4,
        run_locally: bool,
        can_run: bool,
        budget in prop_oneof![1u128..200_000, Just(100_000_000u128)],
        cancel in proptest::option::of(0usize..60),
    ) {
        let mut world = World::new(&manners);
        world.can_run = can_run;
        let policy = if replicas == 0 { Policy::Trust } else { Policy::Replicate { n: replicas } };
        let mut job = spec(tasks, policy);
        job.constraints.run_locally = run_locally;
        job.constraints.budget = budget;
        world.feed(Event::Submit(job));
        for (at, twist) in twists.iter().enumerate() {
            world.twist(twist);
            if cancel == Some(at) {
                world.twist(&Twist::Cancel);
            }
            world.check();
        }
        // Faults are over: from here on only time passes.
        world.run(4_000);
        let right = world.summary.as_ref().unwrap();
        if right.outcome == Ok(()) {
            // A trusted cheater is believed, and without a judge so is a majority of them.
            let honest = manners.iter().all(|m| !matches!(m, Manner::Cheats(_) | Manner::Overcharges));
            if honest {
                world.assert_right();
            }
            prop_assert!(right.tasks.iter().all(Option::is_some));
        }
        let honest = (1..).zip(&manners).filter(|(_, m)| !matches!(m, Manner::Cheats(_) | Manner::Overcharges));
        if run_locally && can_run {
            for (n, _) in honest {
                prop_assert!(!world.cheaters().contains(&address(n)), "an honest provider was blamed");
            }
        }
        for _ in 0..12_000 {
            world.step();
        }
        prop_assert!(world.core.idle(), "every deal ends by time alone");
        world.crash();
        world.check();
    }
}
