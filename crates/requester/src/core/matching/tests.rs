use std::{collections::BTreeSet, sync::LazyLock};

use proptest::prelude::*;
use rialto_protocol::{B256, pricing::share};

use super::{screen::PAGE_BYTES, *};
use crate::core::tests::{START, address, offer};

fn need(tasks: u64, replicas: u32) -> Need {
    Need {
        tasks,
        replicas,
        expected_fuel: Some(1_000_000_000),
        fuel_limit: 2_000_000_000,
        max_pages: 16,
        out_limit: 4096,
        load: Load { tasks: 1, inputs: 100, program: 1_000, shared: 0 },
        budget: 100_000_000,
        max_price: 10_000_000,
        deadline: START + 1_000,
        min_collateral_bps: 0,
        min_providers: 1,
        max_providers: 8,
        any_court: false,
        excluded: BTreeMap::new(),
    }
}

fn providers(plan: &Plan) -> Vec<Address> {
    plan.deals.iter().map(|deal| deal.offer.provider()).collect()
}

#[test]
fn takes_the_cheapest_that_are_fast_enough() {
    let offers = [offer(1, 3_000), offer(2, 1_000), offer(3, 2_000)];
    // 2 cores of 10^9 fuel a second: 2 000 tasks each in 1 000 s.
    let plan = explain(START, &offers, &need(1_500, 1)).unwrap();
    assert_eq!(providers(&plan), [address(2)]);
    assert_eq!(plan.cost, 1_500 * 2, "a task costs 1 for its fuel and 1 task fee");
    let both = explain(START, &offers, &need(2_500, 1)).unwrap();
    assert_eq!(providers(&both), [address(2), address(3)]);
    assert!(both.excluded.iter().all(|e| e.provider == address(1) && e.why == Why::NotNeeded));
    let all = explain(START, &offers, &Need { min_providers: 3, ..need(10, 1) }).unwrap();
    assert_eq!(providers(&all), [address(2), address(3), address(1)]);
    let error = explain(START, &offers, &need(7_000, 1)).unwrap_err();
    assert!(matches!(error, NoMatch::TooSlow { capacity: 6_000, needed: 7_000, .. }), "{error}");
}

#[test]
fn replicas_have_distinct_owners() {
    let mut twin = offer(2, 1_000);
    twin.ask.value.salt = 5;
    let mut shared_endpoint = offer(3, 1_000);
    shared_endpoint.ask.value.endpoint = twin.ask.value.endpoint;
    let offers = [offer(1, 1_000), offer(2, 1_000), twin, shared_endpoint];
    let plan = explain(START, &offers, &need(10, 2)).unwrap();
    assert_eq!(providers(&plan).len(), 2);
    let same = plan.excluded.iter().filter(|e| e.why == Why::SameOwner).count();
    assert_eq!(same, 2);
    let error = explain(START, &offers, &need(10, 3)).unwrap_err();
    assert!(matches!(error, NoMatch::TooFew { needed: 3, found: 2, .. }), "{error}");
}

type Change = fn(&mut Offer, &mut Need);

#[test]
fn every_constraint_names_itself() {
    let cases: [(&str, Change); 22] = [
        ("R-MAT-001", |offer, _| offer.ask.value.to = START),
        ("R-MAT-016", |offer, _| offer.known_court = false),
        ("R-MAT-002", |_, need| need.max_price = 999),
        ("R-MAT-003", |offer, _| offer.ask.value.limits.taskMemory = 16 * PAGE_BYTES - 1),
        ("R-MAT-018", |offer, _| {
            offer.ask.value.runtime = rialto_protocol::types::runtime("wasm/4")
        }),
        ("R-MAT-019", |offer, _| offer.ask.value.key = Address::ZERO),
        ("R-MAT-020", |offer, _| offer.ask.value.limits.taskFuel = 1_999_999_999),
        ("R-MAT-021", |offer, _| offer.ask.value.limits.taskOutput = 4095),
        ("R-MAT-022", |offer, need| {
            offer.ask.value.limits.orderOutput = 3 * 4096 - 1;
            need.load.tasks = 3;
        }),
        ("R-MAT-023", |offer, _| offer.ask.value.limits.program = 999),
        ("R-MAT-024", |offer, _| offer.ask.value.limits.inputs = 99),
        ("R-MAT-025", |offer, need| (offer.ask.value.limits.shared, need.load.shared) = (7, 8)),
        ("R-MAT-026", |offer, need| (offer.ask.value.limits.tasks, need.load.tasks) = (7, 8)),
        ("R-MAT-027", |offer, _| offer.ask.value.limits.orders = 0),
        // A task costs 2 for its fuel and 1 task fee at most.
        ("R-MAT-028", |offer, need| (offer.ask.value.limits.credit, need.load.tasks) = (8, 3)),
        ("R-MAT-004", |_, need| need.min_collateral_bps = 1_001),
        ("R-MAT-005", |offer, need| {
            offer.ask.value.maxSeconds = 10;
            need.expected_fuel = Some(20_000_000_000);
        }),
        ("R-MAT-006", |_, need| need.expected_fuel = Some(1_001_000_000_000)),
        ("R-MAT-007", |offer, _| offer.ask.value.minBudget = 100_000_001),
        ("R-MAT-007", |_, need| need.budget = 2),
        ("R-MAT-008", |offer, _| {
            offer.ask.value.minBudget = 1_000;
            offer.deposit = 99;
        }),
        ("R-MAT-009", |offer, need| {
            need.excluded.insert(offer.provider(), Why::Listed);
        }),
    ];
    for (code, change) in cases {
        let (mut offer, mut need) = (offer(1, 1_000), need(1, 1));
        assert!(explain(START, [&offer], &need).is_ok(), "{code}");
        change(&mut offer, &mut need);
        let error = explain(START, [&offer], &need).unwrap_err();
        assert_eq!(
            error.excluded().iter().map(|e| e.why.code()).collect::<Vec<_>>(),
            [code],
            "{error}"
        );
        assert!(error.excluded()[0].why.to_string().starts_with(&format!("[{code}]")));
    }
    assert_eq!(explain(START, [], &need(1, 1)), Err(NoMatch::NoAsks));
}

#[test]
fn a_provider_whose_deposit_is_small_gets_a_small_budget() {
    let mut small = offer(1, 1_000_000);
    small.deposit = 500;
    let plan = explain(START, [&small], &need(100, 1)).unwrap();
    assert_eq!(plan.deals[0].budget, 5_000, "at 10 % collateral");
}

#[test]
fn unknown_fuel_excludes_nobody_for_being_slow() {
    let unknown = Need {
        expected_fuel: None,
        fuel_limit: 1 << 43,
        budget: u128::MAX / 2,
        ..need(1_000_000, 1)
    };
    let mut offer = offer(1, 1_000);
    offer.ask.value.maxBudget = u128::MAX;
    offer.deposit = u128::MAX;
    assert!(explain(START, [&offer], &unknown).is_ok());
}

/// Nobody looks at signatures here, and making them takes time.
static OFFERS: LazyLock<Vec<Offer>> = LazyLock::new(|| (1..7).map(|n| offer(n, 0)).collect());

/// An offer of few possible numbers, so that prices meet and cross, ties happen and owners come
/// twice.
fn any_offer() -> impl Strategy<Value = Offer> {
    let price = || prop_oneof![4 => (0u128..8).prop_map(|n| n * 500_000), 1 => 0..5_000_000u128, 1 => Just(u128::MAX)];
    let window = (0u64..60, 1u64..400)
        .prop_map(|(from, length)| (START + from - 20, START + from - 20 + length));
    let curve = (price(), price(), any::<bool>(), window, 0u128..4);
    let size =
        (1u32..3, 1u64..4, 0u64..4, prop_oneof![Just(30u32), Just(100_000)], 0u32..3, 0u128..3);
    let money = prop_oneof![3 => Just(1_000_000_000u128), 1 => 0u128..2_000];
    (1u8..7, 0u64..10, 1u8..7, curve, size, money, 0u64..2).prop_map(
        |(n, salt, endpoint, curve, size, deposit, counter)| {
            let (start, end, level, (from, to), task_fee) = curve;
            let (cores, speed, memory, max_seconds, collateral, min_budget) = size;
            let mut offer = OFFERS[usize::from(n) - 1].clone();
            let ask = &mut offer.ask.value;
            (ask.priceStart, ask.priceEnd) = (start, if level { start } else { end });
            (ask.from, ask.to, ask.taskFee) = (from, to, task_fee);
            (ask.cores, ask.fuelPerSecond, ask.limits.taskMemory) =
                (cores, speed * 300_000_000, memory << 20);
            if salt == 4 {
                (ask.limits.taskFuel, ask.limits.credit) = (1_000_000_000_000, 2_000_000);
            }
            (ask.maxSeconds, ask.collateralBps, ask.minBudget) =
                (max_seconds, collateral * 1_000, min_budget * 1_000);
            (ask.salt, ask.counter, ask.endpoint) = (salt, counter, B256::repeat_byte(endpoint));
            offer.peer.endpoint = ask.endpoint;
            offer.deposit = deposit;
            offer.known_court = salt != 3;
            offer
        },
    )
}

fn any_need() -> impl Strategy<Value = Need> {
    let work = (
        prop_oneof![Just(1u64), 1u64..5_000],
        1u32..4,
        prop_oneof![Just(1u64), 1u64..4_000_000_000_000],
    );
    let limits =
        (0u32..64, 0u32..3, 0u64..2_000, prop_oneof![Just(u128::MAX / 2), 1u128..10_000_000_000]);
    let wish = (0u32..6, 1u32..6, any::<bool>(), prop_oneof![Just(u128::MAX), 0u128..4_000_000]);
    (work, limits, wish, proptest::collection::btree_set(1u8..7, 0..3)).prop_map(
        |(work, limits, wish, barred)| {
            let (tasks, replicas, fuel_limit) = work;
            let (max_pages, collateral, time, budget) = limits;
            let (min_providers, max_providers, known, max_price) = wish;
            let excluded = barred
                .into_iter()
                .map(|n| (OFFERS[usize::from(n) - 1].provider(), Why::Listed))
                .collect();
            let expected_fuel = known.then_some(fuel_limit / 2);
            let (deadline, min_collateral_bps) = (START + time, collateral * 1_000);
            let any_court = max_pages % 2 == 0;
            Need {
                tasks,
                replicas,
                expected_fuel,
                fuel_limit,
                max_pages,
                out_limit: 4096,
                load: Load { tasks: 1, inputs: 100, program: 1_000, shared: 0 },
                budget,
                max_price,
                deadline,
                min_collateral_bps,
                min_providers,
                max_providers,
                any_court,
                excluded,
            }
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Hear(Box<Offer>),
    Expire,
    Turn,
    Wait(u64),
    Forget(u8),
    Ask(Box<Need>),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_offer().prop_map(|offer| Step::Hear(Box::new(offer))),
        1 => Just(Step::Expire),
        1 => Just(Step::Turn),
        2 => (1u64..20).prop_map(Step::Wait),
        1 => (1u8..7).prop_map(Step::Forget),
        4 => any_need().prop_map(|need| Step::Ask(Box::new(need))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever came into the book and left it, and however prices moved: the index finds what
    /// looking at all finds.
    #[test]
    fn the_index_finds_what_looking_at_all_finds(steps in proptest::collection::vec(any_step(), 1..120)) {
        let (mut book, mut now) = (Book::with_room(50), START);
        for step in steps {
            match step {
                Step::Hear(offer) => drop(book.insert(now, *offer)),
                Step::Expire => book.expire(now),
                Step::Turn => book.turn(now),
                Step::Wait(seconds) => now += seconds,
                Step::Forget(n) => book.forget(OFFERS[usize::from(n) - 1].provider()),
                Step::Ask(need) => {
                    // Plans are made a moment before and after what the book knows as now, too.
                    for at in [now, now + 11, now - 3] {
                        let found = plan(at, &book, &need);
                        let expected = scan(at, book.offers(), &need);
                        let explained = explain(at, book.offers(), &need);
                        let bare = explained.map(|plan| Plan { excluded: Vec::new(), ..plan });
                        prop_assert_eq!(&bare.map_err(|why| why.because(Vec::new())), &expected);
                        prop_assert_eq!(found, expected);
                        let mut ranks: Vec<_> = book.offers().filter_map(|o| screen(at, o, &need).ok()).map(|c| c.rank()).collect();
                        ranks.sort();
                        let visited: Vec<_> = book.ascending(at, &need).map(|c| c.rank()).collect();
                        prop_assert_eq!(visited, ranks);
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn plans_keep_every_promise(
        prices in proptest::collection::vec((1u128..10_000_000, 1u32..5, 1u64..3_000_000_000, 1u128..1_000_000, 0u128..10_000_000), 1..10),
        tasks in 1u64..5_000,
        replicas in 1u32..4,
        min_providers in 0u32..6,
        max_providers in 1u32..6,
        budget in 1u128..10_000_000_000,
        known: bool,
    ) {
        let offers: Vec<_> = (1..).zip(&prices).map(|(n, (price, cores, speed, min_budget, deposit))| {
            let mut offer = offer(n, *price);
            offer.ask.value.cores = *cores;
            offer.ask.value.fuelPerSecond = *speed;
            offer.ask.value.minBudget = *min_budget;
            offer.deposit = *deposit;
            offer
        }).collect();
        let expected_fuel = known.then_some(1_000_000_000);
        let need = Need { min_providers, max_providers, budget, expected_fuel, ..need(tasks, replicas) };
        match explain(START, &offers, &need) {
            Ok(plan) => {
                prop_assert!(plan.deals.len() >= replicas as usize);
                prop_assert!(plan.deals.len() <= max_providers.max(replicas) as usize);
                prop_assert!(plan.locked <= budget && plan.cost <= budget);
                prop_assert_eq!(plan.deals.len() + plan.excluded.len(), offers.len());
                let owners: BTreeSet<_> = providers(&plan).into_iter().collect();
                prop_assert_eq!(owners.len(), plan.deals.len());
                for deal in &plan.deals {
                    let ask = &deal.offer.ask.value;
                    prop_assert!(deal.budget >= ask.minBudget && deal.budget <= ask.maxBudget);
                    prop_assert!(deal.seconds <= ask.maxSeconds && deal.price <= need.max_price);
                    prop_assert!(share(deal.budget, ask.collateralBps).unwrap() <= deal.offer.deposit);
                }
            }
            Err(error) => prop_assert!(error.excluded().len() <= offers.len()),
        }
    }
}
