//! What a provider asserts on chain: made up, inflated, in part, late, twice; and what it takes to
//! be believed.

mod lies;

use rialto_protocol::case::CaseId;
use rialto_protocol::{
    DealId, OrderId,
    bounds::Lack,
    court::{Answer, GameEnd, GameNews, GameView, Question},
    receipt::{SumNode, unfolded},
    types::Game,
};

use super::{
    cases::{first_deal, intents, until},
    *,
};

fn dead() -> Halted {
    Halted {
        status: Status::Trap,
        exit_code: 0,
        out_hash: B256::ZERO,
        out_len: 0,
        fuel_left: -1,
        digest: 0,
    }
}

fn tx(kind: &str) -> TxNote {
    TxNote { kind: kind.into(), tx: B256::ZERO, gas: None, deals: 1 }
}

/// A receipt by a tree over such ends.
fn receipt_of(world: &World, order: OrderId, ends: &[Halted]) -> Receipt {
    let known = &world.core.state().orders[&order].order;
    let root = SumTree::over(ends, known.fuelLimit).root();
    receipt_with(world, order, root)
}

fn receipt_with(world: &World, order: OrderId, root: SumNode) -> Receipt {
    let known = &world.core.state().orders[&order].order;
    let fee = order_fee(&world.market[&known.deal], root.fuel, known.tasks).unwrap();
    Receipt { order, root: root.hash, fuel: root.fuel, fee }
}

fn claim(world: &mut World, receipt: &Receipt) -> DealId {
    let known = world.core.state().orders[&receipt.order].order.clone();
    let deadline = world.now + 200;
    world.says(
        known.deal,
        What::Claimed { order: receipt.order, seq: known.seq, deadline, receipt: receipt.clone() },
    );
    known.deal
}

/// A provider that has acked an order, delivered nothing, and whose deals are judged.
fn promised(run_locally: bool) -> (World, OrderId) {
    let mut world = World::with(&[Manner::Promises], before_court);
    world.can_trace = true;
    let mut job = spec(12, Policy::Audit { rate_ppm: 1_000_000 });
    if !run_locally {
        job.policy = Policy::Trust;
        job.constraints.run_locally = false;
    }
    world.feed(Event::Submit(job));
    until(&mut world, 100, |world| {
        world.core.state().orders.values().any(|order| order.ack.is_some())
    });
    let order = *world.core.state().orders.iter().find(|(_, order)| order.ack.is_some()).unwrap().0;
    (world, order)
}

/// A provider whose large orders were accepted and vouched for, and that has not redeemed.
fn accepted(policy: Policy) -> (World, OrderId) {
    let mut world = World::with(&[Manner::Sleeps], |offer| {
        before_court(offer);
        offer.ask.value.cores = 45;
    });
    world.can_trace = true;
    world.feed(Event::Submit(spec(400, policy)));
    let large = |world: &World| {
        let orders = world.core.state().orders.iter();
        let mut orders = orders
            .filter(|(_, order)| order.status == OrderStatus::Accepted && order.order.tasks > 32);
        orders
            .find(|(_, order)| {
                let deal = &world.core.state().deals[&order.order.deal];
                deal.voucher.as_ref().is_some_and(|voucher| voucher.orders > order.order.seq)
            })
            .map(|(name, _)| *name)
    };
    until(&mut world, 300, |world| large(world).is_some());
    let order = large(&world).unwrap();
    (world, order)
}

fn accusations(world: &World) -> Vec<Accusation> {
    let accused = |(_, call): &(String, Call)| {
        if let Call::Accuse(it) = call { Some((**it).clone()) } else { None }
    };
    world.cases.iter().filter_map(accused).collect()
}

/// Lets the provider play its game over `ends`, until we have said what the game comes down to.
/// Returns our answers.
fn play(world: &mut World, ends: &[Halted], seconds: u64) -> Vec<Answer> {
    let accusation = accusations(world).pop().expect("somebody is accused");
    let (order, receipt) = (accusation.order.clone(), accusation.receipt.value.clone());
    let tree = SumTree::over(ends, order.fuelLimit);
    let deal = struct_hash(&accusation.deal);
    let game = Game {
        deal,
        order: struct_hash(&order),
        receipt: struct_hash(&receipt),
        accuser: REQUESTER,
        provider: accusation.deal.provider,
        providerKey: accusation.deal.providerKey,
        bond: 5,
        openedAt: world.now,
    };
    let id = struct_hash(&game);
    let view = GameView::begun(game, receipt, order.tasks, world.now + 100);
    let Question::Node { mut height, mut place } = view.question.clone() else { panic!() };
    world.says(deal, What::Game(GameNews::Accused(Box::new(view))));
    let (mut answers, end) = (Vec::new(), world.now + seconds);
    loop {
        let nodes = tree.unfold(height.into(), place).unwrap();
        height -= unfolded(height.into()) as u8;
        let deadline = world.now + 100;
        let news = GameNews::Unfolded { game: id, place, height, deadline, nodes: nodes.clone() };
        world.says(deal, What::Game(news));
        let seen = world.cases.len();
        loop {
            assert!(world.now < end, "no answer: {:?}", intents(world));
            world.step();
            match world.cases.get(seen) {
                Some((_, Call::Play { answer, view, .. })) => {
                    assert_eq!(
                        view.question,
                        Question::Nodes { height, place, nodes: nodes.clone() }
                    );
                    answers.push((**answer).clone());
                    break;
                }
                Some((_, Call::Convict(_))) => return answers,
                _ => {}
            }
        }
        match answers.last().unwrap() {
            Answer::Pick { index } => {
                place = place * nodes.len() as u32 + index;
                world
                    .says(deal, What::Game(GameNews::Picked { game: id, place, height, deadline }));
            }
            Answer::Challenge(it) => {
                let task = place * nodes.len() as u32 + it.index;
                let right = world.truth(struct_hash(&order))[task as usize];
                assert_eq!(it.states[15], right.hash(), "we say how it ends");
                assert_ne!(
                    nodes[it.index as usize].hash,
                    right.hash(),
                    "and what is said is not that"
                );
                let (halted, segment) = (nodes[it.index as usize].hash, Box::new([B256::ZERO; 17]));
                let news =
                    GameNews::Challenged { game: id, task, halted, level: 2, deadline, segment };
                world.says(deal, What::Game(news));
                return answers;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The court finds for us.
fn convicted(world: &mut World) {
    let accusation = accusations(world).pop().unwrap();
    let deal = struct_hash(&accusation.deal);
    let game = *world.core.state().deals[&deal].chain.games.keys().next().unwrap();
    let verdict = GameEnd {
        verdict: rialto_protocol::court::Verdict::Step,
        accuser_won: true,
        slashed: true,
        to_accuser: 5,
        to_provider: 0,
        burned: 0,
    };
    world.says(deal, What::Game(GameNews::Ended { game, verdict }));
    world.says(deal, What::Closed { paid: 0, tx: tx("settle") });
    (0..5).for_each(|_| world.step());
    assert!(!world.core.plays() && world.core.state().deals[&deal].over());
}

fn false_receipts(world: &World) -> usize {
    world.told.iter().filter(|event| matches!(event, JobEvent::FalseReceipt { .. })).count()
}

#[test]
fn a_made_up_claim_of_undelivered_work_is_run_here_at_once_and_accused_by_what_stands_on_chain() {
    let (mut world, order) = promised(true);
    let receipt = receipt_of(&world, order, &vec![dead(); world.truth(order).len()]);
    let deal = claim(&mut world, &receipt);
    let began = world.now;
    until(&mut world, 10, |world| !world.cases.is_empty());
    assert!(world.now <= began + 5, "at once");
    let accusation = accusations(&world).pop().unwrap();
    assert_eq!(accusation.receipt, Signed { value: receipt.clone(), signature: Bytes::new() });
    assert_eq!(struct_hash(&accusation.order), order);
    assert!(world.own_runs >= accusation.order.tasks as usize && world.traces.is_empty());
    assert_eq!(false_receipts(&world), 1);
    assert_eq!(world.core.state().deals[&deal].standing, Standing::Faulty);
    // A crash changes nothing, and asks for it once.
    world.crash();
    (0..10).for_each(|_| world.step());
    assert_eq!(intents(&world), ["accuse"]);
    let answers = play(&mut world, &vec![dead(); accusation.order.tasks as usize], 50);
    assert!(matches!(answers.last(), Some(Answer::Challenge(_))));
    assert!(world.core.plays() && world.core.state().deals[&deal].closing.is_none());
    convicted(&mut world);
}

#[test]
fn one_false_leaf_among_many_right_ones_is_found_and_the_game_leads_to_it() {
    let (mut world, order) = accepted(Policy::Trust);
    let truth = world.truth(order);
    for wrong in [0, 17, truth.len() - 1] {
        let (mut world, order) = accepted(Policy::Trust);
        let mut ends = world.truth(order);
        ends[wrong] = dead();
        let receipt = receipt_of(&world, order, &ends);
        claim(&mut world, &receipt);
        until(&mut world, 200, |world| !world.cases.is_empty());
        let answers = play(&mut world, &ends, 50);
        let [Answer::Pick { .. }, Answer::Challenge(it)] = answers.as_slice() else {
            panic!("{answers:?}")
        };
        assert_eq!(it.index as usize, wrong % 4, "64 leaves: 16 nodes, then 4 leaves");
        convicted(&mut world);
    }
    let receipt = receipt_of(&world, order, &truth);
    claim(&mut world, &receipt);
    (0..250).for_each(|_| world.step());
    assert!(
        world.cases.is_empty(),
        "what was delivered and accepted is owed: {:?}",
        intents(&world)
    );
    let looked = |event: &JobEvent| matches!(event, JobEvent::LocalRun { first: 0, .. });
    assert!(!world.told.iter().any(looked), "nothing is run for it");
}

#[test]
fn an_inflated_claim_of_accepted_and_vouched_work_is_accused_until_the_voucher_is_redeemed() {
    for redeemed in [false, true] {
        let (mut world, order) = accepted(Policy::Trust);
        let ends = vec![dead(); world.truth(order).len()];
        let receipt = receipt_of(&world, order, &ends);
        if redeemed {
            let deal = world.core.state().orders[&order].order.deal;
            let paid = world.core.state().deals[&deal].voucher.clone().unwrap();
            world.says(deal, What::Redeemed { paid: paid.amount, orders: paid.orders });
        }
        claim(&mut world, &receipt);
        if redeemed {
            (0..50).for_each(|_| world.step());
            assert!(accusations(&world).is_empty() && world.own_runs == 0, "the claim is void");
            continue;
        }
        until(&mut world, 200, |world| !world.cases.is_empty());
        assert_eq!(accusations(&world).len(), 1);
        play(&mut world, &ends, 50);
        convicted(&mut world);
    }
}

#[test]
fn a_right_claim_of_what_was_never_delivered_is_demanded_and_not_accused() {
    let (mut world, order) = promised(true);
    let receipt = receipt_of(&world, order, &world.truth(order));
    claim(&mut world, &receipt);
    (0..300).for_each(|_| world.step());
    assert!(world.cases.iter().all(|(_, call)| !matches!(call, Call::Accuse(_))));
    assert!(
        world.cases.iter().any(|(_, call)| matches!(call, Call::Demand { .. })),
        "it has to be shown"
    );
    assert_eq!(false_receipts(&world), 0);
    assert!(world.own_runs > 0);
}

#[test]
fn what_was_delivered_and_is_claimed_before_it_is_verified_is_verified_at_once() {
    for manner in [Manner::Cheats(1), Manner::Honest] {
        let mut world = World::with(&[manner.clone(), Manner::Promises], before_court);
        world.can_trace = true;
        world.feed(Event::Submit(spec(12, Policy::Replicate { n: 2 })));
        let delivered = |world: &World| {
            let orders = world.core.state().orders.iter();
            let mut delivered = orders.filter(|(_, order)| order.status == OrderStatus::Delivered);
            delivered.next().map(|(name, order)| (*name, order.receipt.clone().unwrap().value))
        };
        until(&mut world, 100, |world| delivered(world).is_some());
        let (order, receipt) = delivered(&world).unwrap();
        let before = world.own_runs;
        claim(&mut world, &receipt);
        (0..8).for_each(|_| world.step());
        assert!(world.own_runs > before, "at once");
        let honest = manner == Manner::Honest;
        assert_eq!(accusations(&world).is_empty(), honest);
        let status = world.core.state().orders[&order].status;
        assert_eq!(status, if honest { OrderStatus::Accepted } else { OrderStatus::Wrong });
    }
}

#[test]
fn claims_are_accused_as_long_as_the_market_lets_deals_be_held() {
    // Seconds after expiry + grace at which a false claim is known, and whether another claim has
    // been open since before.
    for (after, accused) in [(-150i64, true), (-3, true), (0, true), (490, true), (501, false)] {
        let (mut world, _) = promised(true);
        let (deal, terms) = first_deal(&world);
        let closes = terms.expiry + GRACE;
        let orders: Vec<_> = world.core.state().deals[&deal].orders.clone();
        assert!(orders.len() > 1);
        while world.now < terms.expiry - 5 {
            world.step();
        }
        world.cases.clear();
        assert!(world.core.is_exposed() || world.core.state().deals[&deal].closed.is_some());
        // A right claim keeps the window open.
        let right = receipt_of(&world, orders[0], &world.truth(orders[0]));
        let known = world.core.state().orders[&orders[0]].order.clone();
        let what = What::Claimed {
            order: orders[0],
            seq: known.seq,
            deadline: closes + 199,
            receipt: right,
        };
        world.says(deal, what);
        while world.now < (closes as i64 + after) as u64 {
            world.step();
        }
        let false_one = orders[1];
        let ends = vec![dead(); world.truth(false_one).len()];
        let receipt = receipt_of(&world, false_one, &ends);
        let seq = world.core.state().orders[&false_one].order.seq;
        let deadline = world.now + 200;
        world.says(deal, What::Claimed { order: false_one, seq, deadline, receipt });
        (0..12).for_each(|_| world.step());
        assert_eq!(
            accusations(&world).len(),
            usize::from(accused),
            "{after}: {:?}",
            intents(&world)
        );
        let settles = |call: &Call| matches!(call, Call::Settle { case, .. } if *case == CaseId::Claim { order: false_one });
        assert!(!world.cases.iter().any(|(_, call)| settles(call)), "we don't pay it ourselves");
    }
}

#[test]
fn a_false_claim_is_never_settled_by_us_while_it_can_be_accused() {
    let (mut world, order) = promised(true);
    let (_, terms) = first_deal(&world);
    while world.now < terms.expiry + GRACE - 3 {
        world.step();
    }
    world.cases.clear();
    // The court can't be asked: the account has no bond.
    world.refuse_cases = true;
    let receipt = receipt_of(&world, order, &vec![dead(); world.truth(order).len()]);
    claim(&mut world, &receipt);
    while world.now < terms.expiry + GRACE + 400 {
        world.step();
    }
    let settled = world.cases.iter().any(|(_, call)| matches!(call, Call::Settle { .. }));
    assert!(
        !settled && accusations(&world).len() > 10,
        "tried as long as the market allows: {:?}",
        intents(&world)
    );
    assert!(world.core.is_exposed() && world.core.plays());
    assert_eq!(
        world.cases.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len(),
        world.cases.len()
    );
    world.refuse_cases = false;
    (0..3_000).for_each(|_| world.step());
    assert!(!world.core.is_exposed() && !world.core.plays(), "it ends by time alone");
}

#[test]
fn two_false_claims_in_a_deal_take_one_bond_and_the_second_follows_only_if_the_first_game_is_lost()
{
    let (mut world, _) = promised(true);
    let (deal, _) = first_deal(&world);
    let orders = world.core.state().deals[&deal].orders.clone();
    let mut receipts = Vec::new();
    for order in &orders[..2] {
        let receipt = receipt_of(&world, *order, &vec![dead(); world.truth(*order).len()]);
        claim(&mut world, &receipt);
        receipts.push(receipt);
    }
    until(&mut world, 20, |world| !world.cases.is_empty());
    let first = accusations(&world)[0].clone();
    play(&mut world, &vec![dead(); first.order.tasks as usize], 50);
    (0..50).for_each(|_| world.step());
    assert_eq!(accusations(&world).len(), 1);
    let game = *world.core.state().deals[&deal].chain.games.keys().next().unwrap();
    let verdict = GameEnd {
        verdict: rialto_protocol::court::Verdict::Step,
        accuser_won: false,
        slashed: false,
        to_accuser: 0,
        to_provider: 4,
        burned: 1,
    };
    world.says(deal, What::Game(GameNews::Ended { game, verdict }));
    (0..10).for_each(|_| world.step());
    let accused: BTreeSet<_> =
        accusations(&world).iter().map(|it| struct_hash(&it.receipt.value)).collect();
    assert_eq!(accused, receipts.iter().map(struct_hash).collect());
}

#[test]
fn padding_that_is_not_empty_can_not_be_unfolded_and_loses_by_time() {
    let (mut world, order) = accepted(Policy::Trust);
    let tasks = world.truth(order).len();
    assert!(!tasks.is_power_of_two());
    // The tree of the right results with something in a padding leaf.
    let tree = SumTree::over(&world.truth(order), FUEL_LIMIT);
    let at = tasks.next_power_of_two() as u32 - 1;
    let padding = SumNode { hash: B256::repeat_byte(3), fuel: 0 };
    let root = padding.lead(at, &tree.siblings(0, at).unwrap()).unwrap();
    let receipt = receipt_with(&world, order, root);
    let deal = claim(&mut world, &receipt);
    until(&mut world, 200, |world| !world.cases.is_empty());
    let accusation = accusations(&world).pop().unwrap();
    assert_eq!(accusation.receipt.value, receipt);
    // It can show the nodes under the root; of those the last is wrong, and nothing can be shown
    // below it.
    let game =
        Game { deal, order, receipt: struct_hash(&receipt), accuser: REQUESTER, ..Game::default() };
    let id = struct_hash(&game);
    let view = GameView::begun(game, receipt, tasks as u32, world.now + 50);
    let Question::Node { height, .. } = view.question else { panic!() };
    world.says(deal, What::Game(GameNews::Accused(Box::new(view))));
    let mut nodes = tree.unfold(height.into(), 0).unwrap();
    let last = nodes.len() - 1;
    let below = u32::from(height) - 4;
    nodes[last] = padding.lead(at, &tree.siblings(0, at).unwrap()[..below as usize]).unwrap();
    let (deadline, height) = (world.now + 50, below as u8);
    world
        .says(deal, What::Game(GameNews::Unfolded { game: id, place: 0, height, deadline, nodes }));
    until(&mut world, 20, |world| world.cases.len() == 2);
    let (_, Call::Play { answer, .. }) = &world.cases[1] else { panic!("{:?}", intents(&world)) };
    assert_eq!(**answer, Answer::Pick { index: last as u32 });
    let deadline = world.now + 50;
    world.says(
        deal,
        What::Game(GameNews::Picked { game: id, place: last as u32, height, deadline }),
    );
    until(&mut world, 60, |world| world.cases.len() == 3);
    assert!(matches!(&world.cases[2].1, Call::Timeout { .. }) && world.now >= deadline);
}

#[test]
fn a_leaf_with_the_right_end_and_other_fuel_ends_the_game_that_showed_it() {
    let (mut world, order) = accepted(Policy::Trust);
    let truth = world.truth(order);
    // Two such lies: their total does not tell where.
    let mut leaves: Vec<_> =
        truth.iter().map(|end| (end.hash(), end.fuel_used(FUEL_LIMIT))).collect();
    (leaves[5].1, leaves[21].1) = (leaves[5].1 + 7, leaves[21].1 + 9);
    let tree = SumTree::new(leaves.iter().copied());
    let receipt = receipt_with(&world, order, tree.root());
    let deal = claim(&mut world, &receipt);
    until(&mut world, 200, |world| !world.cases.is_empty());
    assert_eq!(accusations(&world).len(), 1);
    let game =
        Game { deal, order, receipt: struct_hash(&receipt), accuser: REQUESTER, ..Game::default() };
    let id = struct_hash(&game);
    let view = GameView::begun(game, receipt.clone(), truth.len() as u32, world.now + 50);
    let Question::Node { mut height, mut place } = view.question else { panic!() };
    world.says(deal, What::Game(GameNews::Accused(Box::new(view))));
    loop {
        let nodes = tree.unfold(height.into(), place).unwrap();
        height -= unfolded(height.into()) as u8;
        let (deadline, seen) = (world.now + 50, world.cases.len());
        world.says(
            deal,
            What::Game(GameNews::Unfolded {
                game: id,
                place,
                height,
                deadline,
                nodes: nodes.clone(),
            }),
        );
        until(&mut world, 20, |world| world.cases.len() > seen);
        match world.cases[seen].1.clone() {
            Call::Play { answer, .. } => {
                let index = match *answer {
                    Answer::Pick { index } => index,
                    Answer::Contradict { index, halted } => {
                        let task = place as usize * nodes.len() + index as usize;
                        assert_eq!((task, height, halted), (5, 0, truth[5]));
                        return;
                    }
                    other => panic!("{other:?}"),
                };
                place = place * nodes.len() as u32 + index;
                world
                    .says(deal, What::Game(GameNews::Picked { game: id, place, height, deadline }));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_total_that_does_not_add_up_is_convicted_without_a_game_though_nothing_was_delivered() {
    let (mut world, order) = promised(true);
    let right = SumTree::over(&world.truth(order), FUEL_LIMIT).root();
    let receipt = receipt_with(&world, order, SumNode { fuel: right.fuel + 1_000_000, ..right });
    claim(&mut world, &receipt);
    until(&mut world, 10, |world| !world.cases.is_empty());
    let (_, Call::Convict(conviction)) = &world.cases[0] else { panic!("{:?}", intents(&world)) };
    assert_eq!(conviction.receipt, Signed { value: receipt, signature: Bytes::new() });
}

#[test]
fn where_this_machine_may_not_run_tasks_they_are_demanded_at_once_and_nobody_is_accused() {
    let (mut world, order) = promised(false);
    let receipt = receipt_of(&world, order, &vec![dead(); world.truth(order).len()]);
    let deal = claim(&mut world, &receipt);
    let began = world.now;
    until(&mut world, 4, |world| !world.cases.is_empty());
    let demanded = struct_hash(&receipt);
    let mut answered = 0;
    let end = world.now + 190;
    while world.now < end {
        world.step();
        if let Some((_, Call::Demand { task, .. })) = world.cases.get(answered).cloned() {
            answered += 1;
            world.says(
                deal,
                What::Demanded { receipt: demanded, task, seq: 0, deadline: world.now + 100 },
            );
            let until = world.now + 201;
            world.says(deal, What::Revealed { receipt: demanded, task, halted: dead(), until });
        }
    }
    assert!(intents(&world).iter().all(|intent| *intent == "demand"), "{:?}", intents(&world));
    assert_eq!(answered, world.truth(order).len().min(4));
    let exposure = world.core.exposures().pop().unwrap();
    assert_eq!(exposure.lack, Some(Lack::Runs));
    assert!(
        exposure.claimed == receipt.fee && exposure.most >= receipt.fee && exposure.signed == 0
    );
    let claim = CaseId::Claim { order };
    let deadline = world.core.state().deals[&deal].chain.cases[&claim].deadline;
    assert!(
        deadline > began + 202,
        "what was revealed gives the claim new time: {deadline}, claimed at {began}"
    );
}

#[test]
fn where_this_machine_could_not_run_the_order_what_is_revealed_is_traced_and_accused_before_it_can_be_settled()
 {
    let (mut world, order) = promised(true);
    world.can_run = false;
    let ends = vec![dead(); world.truth(order).len()];
    let receipt = receipt_of(&world, order, &ends);
    let deal = claim(&mut world, &receipt);
    until(&mut world, 10, |world| {
        world.cases.iter().any(|(_, call)| matches!(call, Call::Demand { .. }))
    });
    let demand = world.cases.iter().find(|(_, call)| matches!(call, Call::Demand { .. })).cloned();
    let Some((_, Call::Demand { task, .. })) = demand else { panic!() };
    let demanded = struct_hash(&receipt);
    world.says(deal, What::Demanded { receipt: demanded, task, seq: 0, deadline: world.now + 100 });
    let later = world.now + 400;
    world.says(deal, What::Revealed { receipt: demanded, task, halted: dead(), until: later });
    until(&mut world, 10, |world| !accusations(world).is_empty());
    assert_eq!(world.traces[0].key, TraceKey::Open { order, task });
    assert_eq!(accusations(&world)[0].receipt.value, receipt);
    let answers = play(&mut world, &ends, 50);
    let Some(Answer::Challenge(it)) = answers.last() else { panic!("{answers:?}") };
    assert_eq!(it.index, task, "the one that was traced");
    convicted(&mut world);
}

#[test]
fn a_run_that_failed_is_tried_again_while_a_claim_is_open() {
    let (mut world, order) = promised(true);
    world.can_run = false;
    let receipt = receipt_of(&world, order, &vec![dead(); world.truth(order).len()]);
    claim(&mut world, &receipt);
    (0..20).for_each(|_| world.step());
    assert!(accusations(&world).is_empty());
    world.can_run = true;
    until(&mut world, 120, |world| !accusations(world).is_empty());
}

#[test]
fn a_late_notice_that_is_answered_by_a_made_up_receipt_is_accused() {
    let mut world = World::with(&[Manner::Promises], |offer| {
        before_court(offer);
        offer.ask.value.latePenaltyBps = 10_000;
    });
    let mut job = spec(12, Policy::Trust);
    job.constraints.deadline = START + 60;
    world.feed(Event::Submit(job));
    until(&mut world, 300, |world| !world.cases.is_empty());
    let (_, Call::Late { order, deal, .. }) = world.cases[0].clone() else {
        panic!("{:?}", intents(&world))
    };
    let (deal, name) = (struct_hash(&deal), struct_hash(&order));
    world.says(deal, What::LateNoticed { order: name, seq: order.seq, deadline: world.now + 100 });
    let receipt = receipt_of(&world, name, &vec![dead(); order.tasks as usize]);
    world.says(deal, What::Answered { order: name, receipt: receipt.clone() });
    until(&mut world, 20, |world| !accusations(world).is_empty());
    assert_eq!(accusations(&world)[0].receipt.value, receipt);
}

#[test]
fn an_order_that_was_refused_and_split_can_still_be_claimed_and_is_looked_into() {
    let mut world = World::with(&[Manner::Small(1), Manner::Small(1)], before_court);
    world.feed(Event::Submit(spec(12, Policy::Trust)));
    assert_eq!(world.run(2_000).outcome, Ok(()));
    world.assert_right();
    let refused = |world: &World| {
        let orders = world.core.state().orders.iter();
        let mut refused = orders
            .filter(|(_, order)| order.status == OrderStatus::Refused && order.order.tasks > 1);
        refused.next().map(|(name, _)| *name)
    };
    let order = refused(&world).expect("large orders are refused");
    let mut world = World::with(&[Manner::Small(1)], before_court);
    let mut job = spec(400, Policy::Trust);
    job.constraints.max_providers = 1;
    world.feed(Event::Submit(job));
    until(&mut world, 100, |world| refused(world).is_some());
    (0..10).for_each(|_| world.step());
    let order = refused(&world).unwrap_or(order);
    let receipt = receipt_of(&world, order, &vec![dead(); world.truth(order).len()]);
    let deal = claim(&mut world, &receipt);
    until(&mut world, 10, |world| !world.cases.is_empty());
    let accusation = accusations(&world).pop().unwrap();
    assert_eq!((struct_hash(&accusation.order), accusation.receipt.value), (order, receipt));
    assert!(world.core.state().deals[&deal].denied.len() == 1);
}

#[test]
fn a_claim_in_a_deal_without_a_court_is_answered_by_demands_even_where_tasks_can_be_run() {
    let mut world = World::new(&[Manner::Promises]);
    world.feed(Event::Submit(spec(12, Policy::Trust)));
    until(&mut world, 100, |world| {
        world.core.state().orders.values().any(|order| order.ack.is_some())
    });
    let order = *world.core.state().orders.iter().find(|(_, order)| order.ack.is_some()).unwrap().0;
    let receipt = receipt_of(&world, order, &vec![dead(); world.truth(order).len()]);
    claim(&mut world, &receipt);
    until(&mut world, 5, |world| !world.cases.is_empty());
    assert_eq!(intents(&world), ["demand"]);
    assert_eq!(world.core.exposures()[0].lack, Some(Lack::Court));
}

#[test]
fn what_can_be_lost_is_what_was_signed_for_where_a_court_judges_and_tasks_can_be_run() {
    let (mut world, order) = accepted(Policy::Trust);
    let exposure = world.core.exposures().pop().unwrap();
    let deal = &world.core.state().deals[&exposure.deal];
    let signed = deal.voucher.as_ref().unwrap().amount;
    assert_eq!((exposure.signed, exposure.most, exposure.lack), (signed, signed, None));
    assert_eq!((exposure.locked, exposure.claimed), (deal.terms.budget, 0));
    let receipt = receipt_of(&world, order, &vec![dead(); world.truth(order).len()]);
    claim(&mut world, &receipt);
    until(&mut world, 3, |world| world.core.exposures()[0].claimed > 0);
    let exposure = world.core.exposures().pop().unwrap();
    assert_eq!(exposure.claimed, receipt.fee.min(exposure.locked - exposure.signed));
    assert_eq!(exposure.most, exposure.signed);
    assert!(world.core.is_exposed());
}
