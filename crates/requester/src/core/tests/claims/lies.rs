//! Random lies about a receipt, told through claims.

use proptest::prelude::*;

use super::*;

/// What is done to the right ends of an order's tasks before they are claimed.
#[derive(Clone, Debug)]
enum Lie {
    /// A task ended otherwise.
    End(u16),
    /// A task used more fuel, and says so.
    Fuel(u16),
    /// A leaf says more fuel than its end used.
    Leaf(u16),
    /// The total is another.
    Total(u32),
    /// There is something in the padding.
    Padding(u16),
    /// The tree is unknown.
    Root,
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        any::<u16>().prop_map(Lie::End),
        any::<u16>().prop_map(Lie::Fuel),
        any::<u16>().prop_map(Lie::Leaf),
        (1u32..1_000_000).prop_map(Lie::Total),
        any::<u16>().prop_map(Lie::Padding),
        Just(Lie::Root),
    ]
}

/// The root of a receipt with these lies in it.
fn root_with(truth: &[Halted], lies: &[Lie]) -> SumNode {
    let mut ends = truth.to_vec();
    let at = |n: u16| usize::from(n) % truth.len();
    for lie in lies {
        match lie {
            Lie::End(n) => ends[at(*n)].out_hash = B256::repeat_byte(0xee),
            Lie::Fuel(n) => ends[at(*n)].fuel_left -= 1_000,
            _ => {}
        }
    }
    let mut leaves: Vec<_> =
        ends.iter().map(|end| (end.hash(), end.fuel_used(FUEL_LIMIT))).collect();
    for lie in lies {
        if let Lie::Leaf(n) = lie {
            leaves[at(*n)].1 += 5;
        }
    }
    let tree = SumTree::new(leaves);
    let mut root = tree.root();
    for lie in lies {
        let width = tree.width(0);
        match lie {
            Lie::Padding(n) if width > truth.len() as u32 => {
                let place = truth.len() as u32 + u32::from(*n) % (width - truth.len() as u32);
                let node = SumNode { hash: B256::repeat_byte(9), fuel: 0 };
                root.hash = node.lead(place, &tree.siblings(0, place).unwrap()).unwrap().hash;
            }
            Lie::Total(more) => root.fuel += u128::from(*more),
            Lie::Root => root.hash = B256::repeat_byte(7),
            _ => {}
        }
    }
    root
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn every_false_claim_is_taken_to_court_in_time_and_no_right_one_is(
        manner in prop_oneof![Just(Manner::Promises), Just(Manner::Sleeps), Just(Manner::Slow(9)), Just(Manner::Dies(2)), Just(Manner::Silent)],
        policy in prop_oneof![Just(Policy::Trust), Just(Policy::Replicate { n: 2 }), Just(Policy::Audit { rate_ppm: 200_000 })],
        claims in proptest::collection::vec((0u32..900, any::<u16>(), proptest::collection::vec(lie(), 0..3)), 1..5),
        tasks in 1u32..60,
        crash in proptest::option::of(0u32..900),
        late in prop_oneof![Just(0u64), Just(4_560), Just(4_670)],
    ) {
        let mut world = World::with(&[manner, Manner::Honest, Manner::Honest], before_court);
        let mut job = spec(tasks, policy);
        job.constraints.min_providers = 3;
        world.feed(Event::Submit(job));
        (0..40).for_each(|_| world.step());
        let mut claims: Vec<_> = claims;
        claims.sort_by_key(|(at, ..)| *at);
        let begin = world.now;
        let mut open: BTreeMap<OrderId, (Receipt, u64, bool)> = BTreeMap::new();
        let provider = |world: &World, deal: &DealId| world.market[deal].provider == address(1);
        let mut crashed = false;
        for (at, which, lies) in claims {
            while world.now < begin + late + u64::from(at) {
                world.step();
                if crash.is_some_and(|crash| world.now >= begin + late + u64::from(crash)) && !crashed {
                    world.crash();
                    crashed = true;
                }
            }
            let state = world.core.state();
            let of = |order: &&journal::OurOrder| provider(&world, &order.order.deal);
            let known = |order: &&journal::OurOrder| {
                let deal = &state.deals[&order.order.deal];
                deal.closed.is_none() && !open.contains_key(&struct_hash(&order.order))
                    && world.now < deal.terms.expiry + GRACE
            };
            let orders: Vec<_> = state.orders.values().filter(of).filter(known).collect();
            let Some(order) = orders.get(usize::from(which) % orders.len().max(1)) else { continue };
            let name = struct_hash(&order.order);
            let truth = world.truth(name);
            let root = root_with(&truth, &lies);
            let right = root == SumTree::over(&truth, FUEL_LIMIT).root();
            let receipt = receipt_with(&world, name, root);
            let deadline = world.now + 200;
            claim(&mut world, &receipt);
            open.insert(name, (receipt, deadline, right));
        }
        let end = open.values().map(|(_, deadline, _)| *deadline).max().unwrap_or(0);
        while world.now + 20 < end {
            world.step();
        }
        let mut accused = BTreeSet::new();
        for (_, call) in &world.cases {
            let (deal, receipt) = match call {
                Call::Accuse(it) => (struct_hash(&it.deal), &it.receipt.value),
                Call::Convict(it) => (struct_hash(&it.deal), &it.receipt.value),
                _ => continue,
            };
            accused.insert(deal);
            let truth = world.truth(receipt.order);
            prop_assert_ne!(SumTree::over(&truth, FUEL_LIMIT).root(), SumNode { hash: receipt.root, fuel: receipt.fuel });
        }
        for (name, (_, _, right)) in &open {
            let deal = world.core.state().orders[name].order.deal;
            let closed = world.core.state().deals[&deal].closed.is_some();
            prop_assert!(*right || closed || accused.contains(&deal), "{:?}", intents(&world));
        }
    }
}
