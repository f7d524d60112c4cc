//! Requesters that think: each of these took a budget or a collateral from an earlier version.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, Bytes};
use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{
    DealId, GameId, OrderId,
    court::{Answer, GameEnd, GameNews, GameView},
    receipt::SumNode,
    types::{Cancel, Deal, Game, Order, struct_hash},
    wire::{Signed, ToProvider},
};
use rialto_provider::core::{Call, Effect, Event, Outcome, Verdict, What};

use crate::world::*;

pub fn names(world: &World) -> BTreeSet<String> {
    world.sent.keys().map(|intent| intent.split('-').next().unwrap().to_string()).collect()
}

pub fn reject(order: OrderId, task: u32) -> ToProvider {
    ToProvider::Reject { order, task, expected: B256::ZERO }
}

pub fn reruns(effects: &[Effect]) -> Vec<(OrderId, u32)> {
    let rerun = |effect: &Effect| match effect {
        Effect::Rerun { work, task } => Some((work.hash, *task)),
        _ => None,
    };
    effects.iter().filter_map(rerun).collect()
}

pub fn stopped_reruns(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::StopRerun { .. })).count()
}

/// Games that are asked for, in order.
pub fn plays(effects: &[Effect]) -> Vec<(GameId, u8)> {
    let play = |effect: &Effect| match effect {
        Effect::Play { view, .. } => Some((struct_hash(&view.game), view.turn())),
        _ => None,
    };
    effects.iter().filter_map(play).collect()
}

pub fn accuser(n: u64) -> Address {
    Address::left_padding_from(&(n + 1).to_be_bytes())
}

/// A game over the receipt of an order.
pub fn game(
    world: &World,
    deal: &Deal,
    order: OrderId,
    by: u64,
    deadline: u64,
) -> (GameId, GameView) {
    let row = world.core.order(order).unwrap();
    let receipt = row.state.receipt().unwrap().clone();
    let game = Game {
        deal: struct_hash(deal),
        order,
        receipt: struct_hash(&receipt),
        accuser: accuser(by),
        provider: deal.provider,
        providerKey: deal.providerKey,
        bond: 5,
        openedAt: world.now,
    };
    (struct_hash(&game), GameView::begun(game, receipt, row.order.value.tasks, deadline))
}

/// Somebody accuses; the provider shows the leaves; a task is challenged. The game's id.
pub fn challenged(
    world: &mut World,
    deal: &Deal,
    order: OrderId,
    task: u32,
    by: u64,
    deadline: u64,
) -> GameId {
    let (id, view) = game(world, deal, order, by, deadline);
    let (deal, turn) = (struct_hash(deal), view.turn());
    world.says(deal, What::Game(GameNews::Accused(Box::new(view))));
    unfolded(world, deal, id, turn);
    challenge(world, deal, id, task, deadline);
    id
}

pub fn unfolded(world: &mut World, deal: DealId, id: GameId, turn: u8) {
    let nodes = vec![SumNode::EMPTY; 16];
    let effects = world.feed(Event::Played {
        game: id,
        turn,
        result: Ok(Answer::Unfold { nodes: nodes.clone() }),
    });
    all_mined(world, &effects);
    let deadline = world.now + 600;
    world.says(
        deal,
        What::Game(GameNews::Unfolded { game: id, place: 0, height: 0, deadline, nodes }),
    );
}

pub fn challenge(
    world: &mut World,
    deal: DealId,
    id: GameId,
    task: u32,
    deadline: u64,
) -> Vec<Effect> {
    let (halted, segment) = (B256::ZERO, Box::new([B256::ZERO; 17]));
    world.says(
        deal,
        What::Game(GameNews::Challenged { game: id, task, halted, level: 6, deadline, segment }),
    )
}

pub fn moved(world: &mut World, id: GameId, turn: u8) -> Vec<Effect> {
    let states = Box::new([B256::repeat_byte(7); 16]);
    let effects =
        world.feed(Event::Played { game: id, turn, result: Ok(Answer::Move { pick: 0, states }) });
    all_mined(world, &effects);
    effects
}

pub fn all_mined(world: &mut World, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Transact { intent, .. } = effect {
            world.mined(intent);
        }
    }
}

#[test]
fn a_closing_voucher_that_cannot_be_redeemed_stops_nothing_else() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    let order = world.deliver(session, &deal, 0, 4);
    let silent = world.place(session, world.order(&deal, 1, 2));
    world.fetched(silent);
    let receipt = world.core.order(order).unwrap().state.receipt().unwrap().clone();
    let voucher = world.voucher(&deal, 4 * TASK_FEE, 1, true);
    let redeem = intent_of(&world.say(session, voucher));
    world.ended(&redeem, Outcome::Reverted);
    let deadline = world.now + 1_800;
    let demand = CaseId::Demand { receipt: struct_hash(&receipt), task: 3 };
    world.says(id, What::CaseOpened { case: demand, seq: 0, deadline });
    let late = CaseId::Late { order: silent };
    world.says(id, What::CaseOpened { case: late, seq: 1, deadline });
    world.run(silent);
    let (played, view) = game(&world, &deal, order, 1, deadline);
    world.says(id, What::Game(GameNews::Accused(Box::new(view.clone()))));
    let nodes = vec![SumNode::EMPTY; 4];
    world.feed(Event::Played {
        game: played,
        turn: view.turn(),
        result: Ok(Answer::Unfold { nodes }),
    });
    assert_eq!(names(&world), ["answer", "play", "redeem", "reveal"].map(String::from).into());
    // It is tried for ever, and the claim is not forgotten either.
    let mut redeems = 0;
    while world.now < deal.expiry + GRACE - 10 {
        world.wait(20);
        let open: Vec<_> =
            world.sent.keys().filter(|intent| intent.starts_with("redeem")).cloned().collect();
        redeems = open.len();
        open.iter().for_each(|intent| drop(world.ended(intent, Outcome::Reverted)));
    }
    assert!((8..40).contains(&redeems), "{redeems} redemptions");
    assert!(names(&world).contains("claim"), "{:?}", world.sent.keys());
}

#[test]
fn one_rejection_is_free_and_the_others_are_paid_for() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let order = world.deliver(session, &deal, 0, 20);
    world.take();
    for task in 0..16 {
        world.say(session, reject(order, task));
    }
    assert_eq!(reruns(&world.take()), [(order, 0)]);
    assert!(reruns(&world.feed(Event::Reran { order, task: 0, same: None })).is_empty());
    assert_eq!(world.core.status().refusals["P-PAY-008"].times, 15);
    // What could not be run is not tried again for free.
    assert!(reruns(&world.say(session, reject(order, 0))).is_empty());
    // Three tasks paid: three more.
    let paid = world.voucher(&deal, 3 * TASK_FEE, 0, false);
    world.say(session, paid);
    for task in 0..16 {
        world.say(session, reject(order, task));
    }
    let verdicts = &world.core.order(order).unwrap().rejected;
    assert_eq!(verdicts.len(), 4);
    assert_eq!(verdicts.values().filter(|verdict| **verdict == Verdict::Pending).count(), 3);
    // One at a time, and every one once; a stray answer is nothing.
    let mut ran = Vec::new();
    world.take();
    world.feed(Event::Reran { order, task: 15, same: Some(false) });
    for _ in 0..9 {
        let Some((_, task)) = world.core.order(order).and_then(|row| {
            let pending = row.rejected.iter().find(|(_, verdict)| **verdict == Verdict::Pending);
            pending.map(|(task, _)| (order, *task))
        }) else {
            break;
        };
        ran.push(task);
        assert!(reruns(&world.feed(Event::Reran { order, task, same: Some(true) })).len() <= 1);
    }
    assert_eq!(ran, [1, 2, 3]);
}

#[test]
fn rejections_of_free_work_are_bounded_too() {
    let mut world = World::new();
    let deal = Deal { price: 0, taskFee: 0, ..world.deal_terms(1) };
    world.says(struct_hash(&deal), What::Opened(Box::new(deal.clone())));
    let session = world.connect(0x55);
    world.hello(session, &deal);
    let order = world.deliver(session, &deal, 0, 60);
    for task in 0..60 {
        world.say(session, reject(order, task));
    }
    assert_eq!(world.core.order(order).unwrap().rejected.len(), 1);
}

/// As many rejections as somebody has paid for, and then a game.
fn rejections_before_a_game(paid: u32) {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    let mut orders = Vec::new();
    for seq in 0..u64::from(paid.div_ceil(20)) {
        // A thousandth of the fuel limit is paid for in full.
        let order = Order { fuelLimit: TFUEL / 100, ..world.order(&deal, seq, 20) };
        let hash = world.place(session, order);
        world.fetched(hash);
        world.run(hash);
        assert!(world.is_done(hash));
        orders.push(hash);
    }
    let earned = world.core.deal(id).unwrap().earned;
    let voucher = world.voucher(&deal, earned, orders.len() as u64, false);
    world.say(session, voucher);
    world.take();
    for order in &orders {
        for task in 0..20 {
            world.say(session, reject(*order, task));
        }
    }
    assert_eq!(reruns(&world.take()).len(), 1, "one at a time");
    let pending: usize =
        orders.iter().map(|order| world.core.order(*order).unwrap().rejected.len()).sum();
    assert!(pending >= paid as usize, "{pending} are to be run again");
    let deadline = world.now + 3_600;
    let played = challenged(&mut world, &deal, orders[0], 0, 1, deadline);
    let effects = world.take();
    let turn = effects
        .iter()
        .position(|e| matches!(e, Effect::Play { view, .. } if view.question.task() == Some(0)));
    assert!(turn.is_some(), "the task is traced at once");
    // What ran makes way for every turn, and nothing is begun before the answer is found.
    assert!(stopped_reruns(&effects) >= 1);
    for _ in 0..5 {
        assert!(reruns(&world.wait(1)).is_empty());
    }
    let effects = moved(&mut world, played, 6);
    assert!(intents(&effects).contains(&"play".to_string()));
    assert_eq!(reruns(&effects).len(), 1, "it is the accuser's turn: there is time");
    // A crash changes nothing of it.
    world.take();
    world.crash();
    let effects = world.take();
    assert!(plays(&effects).contains(&(played, 6)) && reruns(&effects).is_empty());
}

#[test]
fn sixteen_rejections_do_not_delay_a_game() {
    rejections_before_a_game(16);
}

#[test]
fn a_thousand_rejections_do_not_delay_a_game() {
    rejections_before_a_game(1_000);
}

#[test]
fn nothing_but_a_signature_cancels() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    let order = world.place(session, world.order(&deal, 0, 4));
    world.fetched(order);
    let value = Cancel { order };
    let unsigned = Signed { value: value.clone(), signature: Bytes::new() };
    let other = Signed {
        value,
        signature: world.sign(Cancel { order: OrderId::repeat_byte(9) }).signature,
    };
    for cancel in [unsigned, other] {
        let effects = world.say(session, ToProvider::Cancel(cancel));
        assert_eq!(codes(&effects), ["P-ADM-002"]);
        assert!(!effects.contains(&Effect::Stop { order }));
    }
    // Signed, it stops the work; and a notice about it costs its sender the bond, without any work.
    let cancel = world.cancel(order);
    assert!(world.say(session, cancel).contains(&Effect::Stop { order }));
    world.crash();
    world.take();
    let (late, deadline) = (CaseId::Late { order }, world.now + 1_800);
    world.wait(5);
    world.says(id, What::CaseOpened { case: late, seq: 0, deadline });
    world.wait(6);
    let effects = world.take();
    assert!(runs(&effects).is_empty());
    let excuse = intent_of(&effects);
    assert!(
        matches!(&world.sent[&excuse], Call::Excuse { cancel, .. } if cancel.value.order == order)
    );
    world.mined(&excuse);
    world.says(id, What::CaseEnded { case: late, paid: 0 });
    assert!(world.core.idle());
}

#[test]
fn a_promise_that_was_cancelled_by_words_alone_is_kept() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    world.deliver(session, &deal, 0, 4);
    let voucher = world.voucher(&deal, 4 * TASK_FEE, 1, false);
    world.say(session, voucher);
    let order = world.place(session, world.order(&deal, 1, 4));
    world.take();
    assert_eq!(runs(&world.fetched(order)), [order]);
    world.say(
        session,
        ToProvider::Cancel(Signed { value: Cancel { order }, signature: Bytes::new() }),
    );
    // It goes on, and the receipt is there long before it is due.
    world.run(order);
    assert!(world.is_done(order));
    // Called late all the same: everything that was vouched comes home at once, before anything can
    // end the deal.
    world.wait(200);
    world.take();
    let deadline = world.now + 1_800;
    let effects =
        world.says(id, What::CaseOpened { case: CaseId::Late { order }, seq: 1, deadline });
    assert_eq!(
        intents(&effects).into_iter().collect::<BTreeSet<_>>(),
        ["answer", "redeem"].map(String::from).into()
    );
}

#[test]
fn anything_opened_against_a_deal_brings_its_voucher_home() {
    let kinds = [Some(CaseKind::Late), Some(CaseKind::Demand), Some(CaseKind::Hold), None];
    for kind in kinds {
        let mut world = World::new();
        let (deal, session) = world.deal(1);
        let id = struct_hash(&deal);
        let order = world.deliver(session, &deal, 0, 4);
        // It is worth little, it was opened just now, and nothing else would redeem it.
        let voucher = world.voucher(&deal, 2 * TASK_FEE, 0, false);
        assert!(intents(&world.say(session, voucher)).is_empty());
        let deadline = world.now + 1_800;
        let what = match kind {
            Some(kind) => What::CaseOpened {
                case: CaseId::new(kind, B256::repeat_byte(3), 0),
                seq: 0,
                deadline,
            },
            None => {
                What::Game(GameNews::Accused(Box::new(game(&world, &deal, order, 1, deadline).1)))
            }
        };
        let effects = world.says(id, what);
        assert_eq!(intents(&effects), ["redeem"], "{kind:?}");
        // While that is under way everything else is answered, and a failed one is tried again.
        let redeem = intent_of(&effects);
        let receipt = world.core.order(order).unwrap().state.receipt().unwrap().clone();
        let demand = CaseId::Demand { receipt: struct_hash(&receipt), task: 1 };
        let effects = world.says(id, What::CaseOpened { case: demand, seq: 0, deadline });
        assert_eq!(intents(&effects), ["reveal"]);
        world.ended(&redeem, Outcome::Reverted);
        assert_eq!(intents(&world.wait(11)), ["redeem"]);
    }
}

#[test]
fn a_notice_about_what_a_voucher_settles_is_void_without_any_work() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    world.deliver(session, &deal, 0, 4);
    let broken_order = world.place(session, world.order(&deal, 1, 1));
    world.fetched(broken_order);
    for _ in 0..2 {
        world.feed(Event::Ran { order: broken_order, result: Err(broken()) });
    }
    let voucher = world.voucher(&deal, 4 * TASK_FEE, 2, false);
    world.say(session, voucher);
    world.says(id, What::Redeemed { paid: 4 * TASK_FEE, orders: 0 });
    world.take();
    let deadline = world.now + 1_800;
    let late = CaseId::Late { order: broken_order };
    let effects = world.says(id, What::CaseOpened { case: late, seq: 1, deadline });
    assert!(runs(&effects).is_empty());
    assert_eq!(intents(&effects), ["redeem"], "it raises the watermark, though nothing is paid");
}

#[test]
fn a_release_is_given_only_when_nothing_can_be_called_late() {
    let ask = ToProvider::AskRelease { amount: 3 * TASK_FEE };
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 3);
    let running = world.place(session, world.order(&deal, 1, 2));
    world.fetched(running);
    let effects = world.say(session, ask.clone());
    assert_eq!(codes(&effects), ["P-PAY-007"]);
    assert!(!effects.contains(&Effect::Stop { order: running }), "and the work goes on");
    // Nor while it lies there because this host could not run it.
    for _ in 0..2 {
        world.feed(Event::Ran { order: running, result: Err(broken()) });
    }
    assert_eq!(codes(&world.say(session, ask.clone())), ["P-PAY-007"]);
    // Cancelled with a signature it can't be called late any more.
    let cancel = world.cancel(running);
    world.say(session, cancel);
    assert!(codes(&world.say(session, ask.clone())).is_empty());
    // What is only being fetched was never promised.
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    world.deliver(session, &deal, 0, 3);
    let fetching = world.place(session, world.order(&deal, 1, 2));
    assert!(codes(&world.say(session, ask)).is_empty());
    assert!(world.core.order(fetching).is_none());
}

#[test]
fn many_games_are_played_earliest_deadline_first() {
    let mut config = config();
    config.asks.capacity = 8;
    let mut world = World::with(config);
    let deals: Vec<_> = (0..4).map(|salt| world.deal(salt)).collect();
    let mut orders = Vec::new();
    for (deal, session) in &deals {
        orders.push(world.deliver(*session, deal, 0, 20));
    }
    // Everything comes in one block, the last deadline first.
    let mut facts = Vec::new();
    let mut expected = Vec::new();
    for n in 0..400u64 {
        let at = (n % 4) as usize;
        let deadline = world.now + 3_600 - n;
        let (id, view) = game(&world, &deals[at].0, orders[at], n, deadline);
        expected.push((deadline, id));
        facts.push((struct_hash(&deals[at].0), What::Game(GameNews::Accused(Box::new(view)))));
    }
    let added: Vec<_> = facts.into_iter().map(|(deal, what)| world.fact(deal, what)).collect();
    let head = world.head();
    let effects = world.feed(Event::Chain { removed: vec![], added, head });
    expected.sort_unstable();
    let order: Vec<_> = plays(&effects).into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    assert!(plays(&world.wait(1)).is_empty(), "each is asked for once");
}

#[test]
fn traced_tasks_come_before_what_earns() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let first = world.deliver(session, &deal, 0, 2);
    let deadline = world.now + 3_600;
    // Ten games over one task take one core; the other is free for work.
    let one: Vec<_> =
        (0..10).map(|by| challenged(&mut world, &deal, first, 0, by, deadline)).collect();
    let work = world.place(session, world.order(&deal, 1, 1));
    assert_eq!(runs(&world.fetched(work)), [work]);
    // Another task takes the other one.
    let two = challenged(&mut world, &deal, first, 1, 20, deadline);
    world.run(work);
    let next = world.place(session, world.order(&deal, 2, 1));
    assert!(runs(&world.fetched(next)).is_empty(), "games first");
    moved(&mut world, two, 6);
    assert_eq!(runs(&world.take()).last(), Some(&next));
    world.run(next);
    // But a promise that is short of time shares the cores: games can't eat it without bound.
    challenged(&mut world, &deal, first, 1, 21, deadline);
    let urgent = world.place(session, Order { dueBy: world.now + 20, ..world.order(&deal, 3, 1) });
    assert!(runs(&world.fetched(urgent)).is_empty());
    let due = world.core.order(urgent).unwrap().state.ack().unwrap().dueBy;
    let mut began = None;
    while began.is_none() && world.now < due {
        began = runs(&world.wait(1)).first().map(|_| world.now);
    }
    assert!(began.unwrap() + 10 < due, "{began:?} {due}");
    for id in one {
        assert!(intents(&moved(&mut world, id, 6)).contains(&"play".to_string()));
    }
}

#[test]
fn a_game_is_played_on_after_its_deal_has_closed() {
    let mut world = World::new();
    let (deal, session) = world.deal(1);
    let id = struct_hash(&deal);
    let order = world.deliver(session, &deal, 0, 4);
    let deadline = world.now + 3_600;
    let lost = challenged(&mut world, &deal, order, 1, 1, deadline);
    let played = challenged(&mut world, &deal, order, 0, 2, deadline);
    moved(&mut world, played, 6);
    let segment = Box::new([B256::repeat_byte(8); 17]);
    let turn = |level, accusers_turn, deadline| {
        let segment = segment.clone();
        What::Game(GameNews::Moved {
            game: played,
            level,
            position: 0,
            accusers_turn,
            deadline,
            segment,
        })
    };
    world.says(id, turn(5, true, deadline));
    // Another game was lost, and the deal is over.
    let end = |accuser_won, slashed| GameEnd {
        verdict: rialto_protocol::court::Verdict::Timeout,
        accuser_won,
        slashed,
        to_accuser: 5,
        to_provider: 0,
        burned: 0,
    };
    world.says(id, What::Game(GameNews::Ended { game: lost, verdict: end(true, true) }));
    let closed = world.says(id, What::Closed { paid: 0 });
    assert!(
        !closed.iter().any(|e| matches!(e, Effect::Release { .. })),
        "what the game needs stays on disk"
    );
    assert!(!world.core.idle(), "who stopped now would lose");
    assert_eq!(world.core.live_deals().count(), 1);
    // Long after a closed deal is forgotten otherwise, through a crash, the accuser moves.
    world.now = deadline - 100;
    world.wait(0);
    world.crash();
    world.wait(10);
    world.take();
    assert_eq!(plays(&world.says(id, turn(4, false, deadline + 5_000))), [(played, 4)]);
    assert_eq!(intents(&moved(&mut world, played, 4)), ["play"]);
    world.says(id, turn(3, true, deadline + 6_000));
    // It gives up: its bond is ours.
    world.now = deadline + 6_001;
    assert!(intents(&world.wait(0)).is_empty());
    let timeout = world.wait(2);
    assert_eq!(intents(&timeout), ["timeout"]);
    world.mined(&intent_of(&timeout));
    let over =
        world.says(id, What::Game(GameNews::Ended { game: played, verdict: end(false, false) }));
    assert!(over.iter().any(|e| matches!(e, Effect::Release { .. })));
    assert!(over.contains(&Effect::ForgetTrace { order, task: 0 }));
    assert!(world.core.idle());
    world.wait(1);
    assert!(world.core.deal(id).is_none() && world.core.order(order).is_none());
}
