//! Receipts that contradict themselves: shown to the deal's court as they are.

use rialto_protocol::case::CaseId;
use rialto_protocol::{
    DealId,
    court::{Answer, GameEnd, GameNews, GameView},
    fault::{Fault, FaultProof},
    types::Game,
};

use super::{
    cases::{first_deal, intents, until},
    *,
};

fn in_court(manners: &[Manner]) -> World {
    World::with(manners, before_court)
}

fn status(summary: &Summary) -> ProviderStatus {
    let found = summary.providers.iter().find(|provider| provider.provider == address(1));
    found.expect("it had a deal").status.clone()
}

#[test]
fn a_total_that_does_not_add_up_is_shown_to_the_court_once_and_ends_the_deal() {
    let mut world = in_court(&[Manner::Inflates, Manner::Honest, Manner::Honest]);
    world.feed(Event::Submit(spec(24, Policy::Replicate { n: 2 })));
    until(&mut world, 100, |world| !world.cases.is_empty());
    let (intent, Call::Convict(conviction)) = world.cases[0].clone() else {
        panic!("{:?}", world.cases)
    };
    let deal = struct_hash(&conviction.deal);
    assert_eq!((conviction.deal.provider, conviction.order.deal), (address(1), deal));
    let FaultProof::Sum { node, place: 0, .. } = &conviction.proof else {
        panic!("{:?}", conviction.proof)
    };
    assert_eq!(
        (node.hash, node.fuel),
        (conviction.receipt.value.root, conviction.receipt.value.fuel)
    );
    // A crash changes nothing: the intent is on disk, and the same call is made again.
    world.crash();
    (0..20).for_each(|_| world.step());
    assert_eq!(world.cases.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), [intent]);
    assert!(
        world.core.state().deals[&deal].closing.is_none(),
        "a closing voucher would end the deal"
    );

    let receipt = struct_hash(&conviction.receipt.value);
    world.says(deal, What::Game(GameNews::Convicted { receipt, fault: Fault::Sum }));
    let tx = TxNote { kind: "settle".into(), tx: B256::ZERO, gas: None, deals: 1 };
    world.says(deal, What::Closed { paid: 0, tx });
    let summary = world.run(1_000).clone();
    assert_eq!(summary.outcome, Ok(()));
    world.assert_right();
    assert_eq!(status(&summary), ProviderStatus::Cheated);
    let compensation = share(conviction.deal.collateral, 7_000).unwrap();
    let told = |event: &JobEvent| {
        matches!(event, JobEvent::Convicted { provider, compensation: to_us, .. }
            if *provider == address(1) && *to_us == compensation)
    };
    assert!(world.told.iter().any(told));
    assert_eq!(intents(&world), ["convict"]);
    assert_eq!(world.core.state().history[&address(1)].faults, 1);
}

#[test]
fn where_no_court_is_named_or_it_refuses_the_deal_ends_unpaid() {
    for refused in [false, true] {
        let special = if refused { before_court } else { |_: &mut Offer| () };
        let mut world = World::with(&[Manner::Inflates, Manner::Honest, Manner::Honest], special);
        world.refuse_cases = refused;
        world.feed(Event::Submit(spec(24, Policy::Replicate { n: 2 })));
        let summary = world.run(2_000).clone();
        assert_eq!(summary.outcome, Ok(()));
        assert_eq!((status(&summary), summary.providers[0].earned), (ProviderStatus::Cheated, 0));
        let tries = if refused { 3 } else { 0 };
        assert_eq!(world.cases.len(), tries, "{:?}", world.cases);
        let given_up =
            |event: &JobEvent| matches!(event, JobEvent::Note { code, .. } if code == "R-GAME-003");
        assert_eq!(world.told.iter().any(given_up), refused);
    }
}

/// More is claimed on chain than was delivered: the deal, and what is asserted.
fn overclaimed(world: &mut World) -> (DealId, Receipt) {
    let mut job = spec(12, Policy::Trust);
    job.constraints.run_locally = false;
    world.feed(Event::Submit(job));
    let delivered = |world: &World| {
        let order = world
            .core
            .state()
            .orders
            .values()
            .find(|order| order.order.tasks > 1 && order.receipt.is_some());
        order.map(|order| order.receipt.clone().unwrap().value)
    };
    until(world, 100, |world| delivered(world).is_some());
    let mut receipt = delivered(world).unwrap();
    let (deal, _) = first_deal(world);
    receipt.fuel += 1;
    let deadline = START + 1_000;
    world.says(
        deal,
        What::Claimed { order: receipt.order, seq: 0, deadline, receipt: receipt.clone() },
    );
    (deal, receipt)
}

#[test]
fn a_claim_of_more_than_was_delivered_needs_no_signature() {
    let mut world = in_court(&[Manner::Honest]);
    let (_, receipt) = overclaimed(&mut world);
    until(&mut world, 20, |world| !world.cases.is_empty());
    let (_, Call::Convict(conviction)) = world.cases[0].clone() else {
        panic!("{:?}", world.cases)
    };
    assert_eq!(conviction.receipt, Signed { value: receipt, signature: Bytes::new() });
    assert_eq!(conviction.proof.fault(), Fault::Sum);
}

#[test]
fn a_conviction_that_is_refused_for_good_does_not_keep_the_deal_from_ending() {
    let mut world = in_court(&[Manner::Releases]);
    world.refuse_cases = true;
    let (deal, receipt) = overclaimed(&mut world);
    let config = world.core.config();
    let windows = 2 * config.challenge_seconds + config.answer_seconds;
    let until_then = world.market[&deal].expiry + config.grace_seconds + windows;
    let settles = |world: &World| {
        let claim = CaseId::Claim { order: receipt.order };
        world
            .cases
            .iter()
            .any(|(_, call)| matches!(call, Call::Settle { case, .. } if *case == claim))
    };
    let convicts = |world: &World| {
        world.cases.iter().filter(|(_, call)| matches!(call, Call::Convict(_))).count()
    };
    while world.now + 1 < until_then {
        world.step();
        assert!(!settles(&world), "as long as the market allows games, the claim is held against");
    }
    assert!(convicts(&world) > 3);
    (0..60).for_each(|_| world.step());
    assert!(settles(&world), "then the deal has to end");
    let tried = convicts(&world);
    (0..3_600).for_each(|_| world.step());
    assert_eq!(convicts(&world), tried);
}

#[test]
fn a_game_that_was_begun_by_hand_is_played_on() {
    let mut world = in_court(&[Manner::Sleeps]);
    world.feed(Event::Submit(spec(6, Policy::Trust)));
    until(&mut world, 200, |world| {
        world.core.state().orders.values().any(|order| order.receipt.is_some())
    });
    let (deal, terms) = first_deal(&world);
    let (hash, order) =
        world.core.state().orders.iter().find(|(_, order)| order.receipt.is_some()).unwrap();
    let (hash, receipt) = (*hash, struct_hash(&order.receipt.as_ref().unwrap().value));
    assert!(!world.core.plays());
    // Another command of this account accuses: the core hears it from the chain alone.
    let tasks = world.core.state().orders[&hash].order.tasks;
    let value = world.core.state().orders[&hash].receipt.clone().unwrap().value;
    let provider = terms.provider;
    let game = Game {
        deal,
        order: hash,
        receipt,
        accuser: REQUESTER,
        provider,
        bond: 5,
        ..Game::default()
    };
    let id = struct_hash(&game);
    let segment = Box::new([B256::ZERO; 17]);
    world.says(
        deal,
        What::Game(GameNews::Accused(Box::new(GameView::begun(
            game,
            value,
            tasks,
            world.now + 500,
        )))),
    );
    until(&mut world, 20, |world| world.core.plays());
    assert!(world.traces.is_empty(), "it is the provider's turn");
    let deadline = world.now + 500;
    let news = [
        GameNews::Challenged {
            game: id,
            task: 0,
            halted: B256::ZERO,
            level: 2,
            deadline,
            segment: segment.clone(),
        },
        GameNews::Moved {
            game: id,
            level: 1,
            position: 16,
            accusers_turn: true,
            deadline,
            segment,
        },
    ];
    news.into_iter().for_each(|news| world.says(deal, What::Game(news)));
    until(&mut world, 20, |world| !world.traces.is_empty());
    let trace = world.traces.remove(0);
    assert_eq!((trace.task, trace.key), (0, TraceKey::Answer { game: id, turn: 1 }));
    let answer = Answer::Step { pick: 3, proof: vec![1] };
    world.feed(Event::Traced { key: trace.key, result: Ok(Traced::Answer(answer.clone())) });
    until(&mut world, 20, |world| !world.cases.is_empty());
    let (_, Call::Play { answer: sent, .. }) = world.cases[0].clone() else {
        panic!("{:?}", world.cases)
    };
    assert_eq!(*sent, answer);
    // The job is over, and its report given; the game is not. Nor is it when the deal is over: the
    // bond is at stake.
    world.run(1_000);
    assert!(world.core.plays() && world.core.state().deals[&deal].closing.is_none());
    let tx = TxNote { kind: "redeem".into(), tx: B256::ZERO, gas: None, deals: 1 };
    world.says(deal, What::Closed { paid: 0, tx });
    (0..20).for_each(|_| world.step());
    assert!(world.core.plays() && !world.core.idle());
    let (to_accuser, to_provider, burned) = (5, 0, 0);
    let verdict = GameEnd {
        verdict: rialto_protocol::court::Verdict::Step,
        accuser_won: true,
        slashed: false,
        to_accuser,
        to_provider,
        burned,
    };
    world.says(deal, What::Game(GameNews::Ended { game: id, verdict }));
    until(&mut world, 20, |world| !world.core.plays());
    assert!(world.core.idle());
}

#[test]
fn a_deal_is_accused_once_whatever_else_turns_out_to_be_wrong_meanwhile() {
    let mut several = 0;
    for every in 1..8 {
        let mut world = in_court(&[Manner::Cheats(every), Manner::Honest, Manner::Honest]);
        world.can_trace = true;
        world.feed(Event::Submit(spec(64, Policy::Replicate { n: 2 })));
        until(&mut world, 200, |world| !world.cases.is_empty());
        // The accusation is under way and its game is not heard of yet; other orders are compared.
        (0..100).for_each(|_| world.step());
        let accused: BTreeMap<OrderId, DealId> = world
            .cases
            .iter()
            .filter_map(|(_, call)| match call {
                Call::Accuse(it) => Some((struct_hash(&it.order), struct_hash(&it.deal))),
                _ => None,
            })
            .collect();
        assert_eq!(accused.len(), 1, "every {every}: {accused:?}");
        let deal = accused.values().next().unwrap();
        several += usize::from(world.core.state().deals[deal].wrong.len() > 1);
    }
    assert!(several > 0, "other tasks are wrong, too");
}
