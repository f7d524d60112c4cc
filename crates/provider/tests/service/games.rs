//! False accusations before the court of an embedded chain: the provider answers each of them by
//! itself.

use std::{collections::BTreeMap, time::Duration};

use alloy_primitives::B256;
use futures::StreamExt;
use rialto_chain::{CourtCall, CourtEvent, EventStream, MarketCall, MarketEvent, Signed};
use rialto_protocol::{
    GameId,
    court::PARTS,
    receipt::{SumNode, SumTree},
    types::{Cancel, Game, Order, struct_hash},
    wire::ToProvider,
};
use rialto_provider::{
    Conduct, Provider, ProviderEvent, Shell,
    core::{Effect, Event},
};

use crate::place::{Place, Requester, soon};

pub const WORDS: [&str; 3] = ["a", "b", "c"];

/// What the court said of the games so far.
#[derive(Default)]
pub struct Court {
    pub games: BTreeMap<GameId, Game>,
    pub shown: BTreeMap<GameId, Vec<SumNode>>,
    /// Level, position, segment, whose turn.
    pub moved: BTreeMap<GameId, (u8, u64, [B256; 17], bool)>,
    pub ended: BTreeMap<GameId, (bool, u128)>,
}

impl Court {
    pub async fn hear(&mut self, events: &mut EventStream, enough: impl Fn(&Self) -> bool) {
        soon(async {
            while !enough(self) {
                for (_, event) in events.next().await.unwrap().added {
                    let MarketEvent::Court { event, .. } = event else { continue };
                    match event {
                        CourtEvent::Accused(it) => drop(self.games.insert(it.id, it.game.clone())),
                        CourtEvent::Unfolded { id, height: 0, nodes, .. } => {
                            drop(self.shown.insert(id, nodes))
                        }
                        CourtEvent::Moved(it) => {
                            self.moved.insert(
                                it.id,
                                (it.level, it.position, it.segment, it.accusers_turn),
                            );
                        }
                        CourtEvent::Ended(it) => {
                            self.ended.insert(it.id, (it.accuser_won, it.to_provider));
                        }
                        _ => {}
                    }
                }
            }
        })
        .await;
    }
}

pub async fn accused(place: &Place) -> (Provider, Requester, Order, Signed) {
    let provider = place.provider(|config| config.asks.court = place.court).await;
    let mut requester = Requester::new(place).await;
    requester.open(place, 1_000_000).await;
    requester.hello().await;
    let order = requester.order(place, 0, &WORDS).await;
    let (receipt, _, _) = requester.signed_receipt(&order).await;
    requester.sends("allow", MarketCall::Allow { spender: place.court, amount: u128::MAX }).await;
    let signed = Signed {
        deal: requester.deal.clone(),
        order: order.clone(),
        receipt: receipt.value,
        signature: receipt.signature,
    };
    (provider, requester, order, signed)
}

fn at_court(place: &Place, call: CourtCall) -> MarketCall {
    MarketCall::Court { court: place.court, call }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_false_accusations_are_answered_and_pay() {
    let place = Place::new().await;
    let (provider, mut requester, order, signed) = accused(&place).await;
    let mut watch = provider.events();
    let (mut court, mut events) = (Court::default(), place.events());
    // Five games: four over one task, each about another part of it, and one over another task.
    for n in 0..5 {
        let accusation = CourtCall::Accuse { signed: Box::new(signed.clone()) };
        requester.sends(&format!("accuse-{n}"), at_court(&place, accusation)).await;
        // There is one of an accuser in a second.
        place.later(1);
    }
    court.hear(&mut events, |court| court.shown.len() == 5).await;
    let tree = SumTree::over(
        &place.run(&order, &WORDS).iter().map(|o| o.halted).collect::<Vec<_>>(),
        order.fuelLimit,
    );
    assert!(court.shown.values().all(|nodes| *nodes == tree.unfold(2, 0).unwrap()));
    let ids: Vec<_> = court.games.keys().copied().collect();
    let wrong_from = |n: usize| if n == 4 { 15 } else { 3 * n };
    for (n, id) in ids.iter().enumerate() {
        let task = u32::from(n == 4);
        let mut states = place.player(&order, &WORDS, task).open();
        states[wrong_from(n)..].fill(B256::repeat_byte(9));
        let call = CourtCall::Challenge {
            game: Box::new(court.games[id].clone()),
            order: Box::new(order.clone()),
            nodes: court.shown[id].clone(),
            challenge: Box::new(place.challenge(&WORDS, task, states)),
        };
        requester.sends(&format!("challenge-{n}"), at_court(&place, call)).await;
    }
    court.hear(&mut events, |court| court.moved.len() == 5).await;
    // The answers are the truth about the parts that were wrong.
    for (n, id) in ids.iter().enumerate() {
        let (level, position, segment, accusers_turn) = court.moved[id];
        let mut player = place.player(&order, &WORDS, u32::from(n == 4));
        assert!(accusers_turn && level + 1 == player.level());
        assert_eq!(position, wrong_from(n) as u64 * rialto_machine::play::span(level));
        assert_eq!(segment[1..], player.dissect(position, level));
        assert_eq!(segment[0], player.hash_at(position));
    }
    // The deal ends meanwhile, by a closing voucher, and the provider restarts; it wins what is
    // left all the same.
    requester.pay(1_000_000, 1, true).await;
    soon(async {
        while !matches!(watch.recv().await.unwrap(), ProviderEvent::DealClosed { .. }) {}
    })
    .await;
    assert!(
        tokio::time::timeout(Duration::from_millis(300), provider.drain()).await.is_err(),
        "games go on"
    );
    soon(provider.stop()).await;
    let provider = place.provider(|config| config.asks.court = place.court).await;
    place.later(20 * 24 * 3600);
    court.hear(&mut events, |court| court.ended.len() == 5).await;
    assert!(
        court.ended.values().all(|(accuser_won, to_provider)| !accuser_won && *to_provider > 0)
    );
    soon(provider.drain()).await.unwrap();
    soon(provider.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_that_is_played_to_its_last_level_is_won() {
    let place = Place::new().await;
    let (provider, requester, order, signed) = accused(&place).await;
    let (mut court, mut events) = (Court::default(), place.events());
    requester
        .sends("accuse", at_court(&place, CourtCall::Accuse { signed: Box::new(signed) }))
        .await;
    court.hear(&mut events, |court| court.shown.len() == 1).await;
    let (id, game) = court.games.iter().map(|(id, game)| (*id, game.clone())).next().unwrap();
    let mut states = place.player(&order, &WORDS, 2).open();
    states[7..].fill(B256::repeat_byte(9));
    let call = CourtCall::Challenge {
        game: Box::new(game.clone()),
        order: Box::new(order.clone()),
        nodes: court.shown[&id].clone(),
        challenge: Box::new(place.challenge(&WORDS, 2, states)),
    };
    requester.sends("challenge", at_court(&place, call)).await;
    // The accuser disputes whatever the provider says, at another place every time.
    for turn in 0u8.. {
        let before = court.moved.get(&id).map_or(u8::MAX, |(level, ..)| *level);
        court
            .hear(&mut events, |court| court.moved.get(&id).is_some_and(|m| m.3 && m.0 < before))
            .await;
        if court.moved[&id].0 == 1 {
            break;
        }
        let segment = court.moved[&id].2;
        let pick = usize::from(turn * 5) % PARTS;
        let mut states = [B256::repeat_byte(turn + 1); PARTS];
        // Some of what it says is true.
        states[..2].fill(segment[pick]);
        let args = rialto_chain::MoveArgs {
            game: game.clone(),
            pick: pick as u32,
            segment,
            states,
            signature: Default::default(),
        };
        requester
            .sends(&format!("move-{turn}"), at_court(&place, CourtCall::Move(Box::new(args))))
            .await;
    }
    // Two neighbours are one step apart, and there is no step that the accuser could show.
    let mut player = place.player(&order, &WORDS, 2);
    let (_, position, segment, _) = court.moved[&id];
    assert_ne!(segment[1..], [B256::ZERO; PARTS]);
    assert_eq!(segment[1..], player.dissect(position, 1));
    place.later(20 * 24 * 3600);
    court.hear(&mut events, |court| court.ended.contains_key(&id)).await;
    assert!(!court.ended[&id].0);
    soon(provider.stop()).await;
}

/// Promises every order and runs none.
#[derive(Debug)]
struct Idle;

impl Shell for Idle {
    fn effect(&self, effect: Effect) -> Conduct {
        match effect {
            Effect::Fetch(work) => {
                Conduct::Says(Event::Fetched { order: work.hash, result: Ok(()) })
            }
            Effect::Run(_) => Conduct::Nothing,
            effect => Conduct::Perform(effect),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_order_is_excused_on_chain() {
    let place = Place::new().await;
    // The order must not be done before its cancellation comes.
    let provider = place.misbehaving(Idle).await;
    let mut requester = Requester::new(&place).await;
    requester.open(&place, 1_000_000).await;
    requester.hello().await;
    let order = requester.order(&place, 0, &WORDS).await;
    let ack = requester.acked(&order).await;
    let cancel = requester.sign(Cancel { order: struct_hash(&order) });
    requester.say(&ToProvider::Cancel(cancel)).await;
    let id = struct_hash(&requester.deal);
    soon(async {
        while provider.status().await.unwrap().deals[&id].unfinished > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    place.later(ack.value.dueBy - requester.deal.openedAt);
    let deal = requester.deal.clone();
    let late =
        MarketCall::Late { deal, order: order.clone(), ack: ack.value, signature: ack.signature };
    requester.sends("late", late).await;
    let mut events = place.events();
    soon(async {
        let excused =
            |event: &MarketEvent| matches!(event, MarketEvent::Excused { order: o, .. } if *o == struct_hash(&order));
        while !events.next().await.unwrap().added.iter().any(|(_, event)| excused(event)) {}
    })
    .await;
    assert_eq!(provider.status().await.unwrap().deals[&id].delivered, 0, "without any work");
    soon(provider.stop()).await;
}
