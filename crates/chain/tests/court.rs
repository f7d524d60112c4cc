//! The first turns of a game, from the receipt down to a task, from both sides and from the events.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use futures::StreamExt;
use rialto_chain::{
    Chain, Court, CourtCall, CourtError, CourtEvent, Courts, FromLog, GameStage, Games, MarketCall,
    MarketError, MarketEvent, OpenArgs, SendError, Sender, Signed,
};
use rialto_protocol::GameId;
use rialto_protocol::court::{Answer, GameNews, GameStory, Question};
use rialto_protocol::pricing;
use rialto_protocol::receipt::SumTree;
use rialto_protocol::types::{Deal, Order, Receipt, struct_hash};
use support::*;

const TASKS: u32 = 20;
const FUEL: u64 = 1_000_000;
/// Bond of an accusation over such an order: the base bond, and nothing for so little fuel.
const BOND: u128 = 100;

/// Returns a signed receipt over twenty tasks, in a deal under the market's court.
async fn receipt(chain: &Chain, court: Address) -> (Signed, SumTree) {
    let OpenArgs { mut ask, terms, .. } = open(chain, 400, 1).await;
    ask.court = court;
    let signature = signed(chain, "provider", &ask);
    let buys = chain.sender_in_memory(key("requester")).await.unwrap();
    let call = MarketCall::Open(vec![OpenArgs { ask, signature, terms }]);
    let mined = soon(buys.send("open", call)).await.unwrap();
    let deal = mined.logs.iter().find_map(|log| match MarketEvent::decode(log) {
        Some(MarketEvent::DealOpened { deal, .. }) => Some(deal),
        _ => None,
    });
    let deal = deal.unwrap();
    let order =
        Order { deal: struct_hash(&deal), tasks: TASKS, fuelLimit: FUEL, ..Order::default() };
    let tree = SumTree::new((0..TASKS).map(|task| (keccak256([task as u8]), u64::from(task))));
    let fee = pricing::order_fee(&deal, tree.root().fuel, TASKS).unwrap();
    let receipt =
        Receipt { order: struct_hash(&order), root: tree.root().hash, fuel: tree.root().fuel, fee };
    let signature = signed(chain, "provider", &receipt);
    (Signed { deal, order, receipt, signature }, tree)
}

/// A game as the court's events describe it.
struct Watcher {
    events: rialto_chain::EventStream,
    games: Games,
    story: Option<GameStory>,
    delegated: Option<(Address, Address, u64)>,
}

impl Watcher {
    fn new(chain: &Chain, from: u64, court: Address, deal: &Deal) -> Self {
        let courts = Courts { known: BTreeSet::from([court]), ..Courts::default() };
        let mut games = Games::default();
        games.add_deal(struct_hash(deal), deal);
        Self { events: chain.events_with(from, courts), games, story: None, delegated: None }
    }

    /// Reads up to the newest block.
    async fn catch_up(&mut self, chain: &Chain) -> &GameStory {
        let head = chain.head().await.unwrap().number;
        loop {
            let batch = soon(self.events.next()).await.unwrap();
            for (_, event) in &batch.added {
                if let MarketEvent::Court {
                    event: CourtEvent::Delegated { owner, to, until },
                    ..
                } = event
                {
                    assert!(self.games.news(event).is_none());
                    self.delegated = Some((*owner, *to, *until));
                }
                match (self.games.news(event), &mut self.story) {
                    (Some((_, GameNews::Accused(view))), story) => {
                        *story = Some(GameStory::new(*view))
                    }
                    (Some((_, news)), Some(story)) => {
                        assert!(story.learn(&news), "each turn once: {news:?}")
                    }
                    _ => {}
                }
            }
            if batch.through >= head {
                return self.story.as_ref().unwrap();
            }
        }
    }
}

async fn play(
    sender: &Sender,
    signed: &Signed,
    story: &GameStory,
    answer: Answer,
) -> Result<(), SendError> {
    let (deal, order, court) = (signed.deal.clone(), signed.order.clone(), signed.deal.court);
    let turn = format!("turn {} of {}", story.view.turn(), sender.account());
    let call = CourtCall::answer(deal, order, &story.view, answer).unwrap();
    soon(sender.send(turn, MarketCall::Court { court, call })).await.map(drop)
}

fn refused(error: SendError) -> rialto_chain::ContractError {
    match error {
        SendError::Rejected(error) => error,
        error => panic!("{error}"),
    }
}

async fn standing(court: &Court, id: GameId) -> (GameStage, u8, u32, bool) {
    let at = court.game(id).await.unwrap().unwrap();
    assert_eq!(Some(at.deadline()), court.deadline(id).await.unwrap());
    (at.stage, at.level, at.task, at.accusers_turn)
}

#[tokio::test]
async fn a_game_goes_from_the_receipt_down_to_a_task() {
    let (dev, deployed, chain) = market(1000).await;
    let court = chain.court(deployed.court).await.unwrap();
    let (signed, tree) = receipt(&chain, deployed.court).await;
    let sells = chain.sender_in_memory(key("provider")).await.unwrap();
    let accuses = chain.sender_in_memory(key("deployer")).await.unwrap();
    let accuser = accuses.account();
    let mut watcher = Watcher::new(&chain, deployed.block, deployed.court, &signed.deal);

    // Without its bond nothing is sent, not even the allowance.
    let before = nonce(&dev, "deployer");
    let poor = soon(accuses.accuse("accuse", &court, signed.clone())).await.unwrap_err();
    assert_eq!(poor, SendError::BondMissing { account: accuser, balance: 0, bond: BOND });
    assert_eq!((nonce(&dev, "deployer"), court.allowed(accuser).await.unwrap()), (before, 0));
    fund(&chain, "deployer", BOND + 7).await;
    let direct = CourtCall::Accuse { signed: Box::new(signed.clone()) };
    let direct = MarketCall::Court { court: deployed.court, call: direct };
    let error = refused(soon(accuses.send("direct", direct)).await.unwrap_err());
    assert!(
        matches!(error.market(), Some(MarketError::AllowanceTooLow(e)) if e.needed == BOND),
        "{error}"
    );

    soon(accuses.accuse("accuse", &court, signed.clone())).await.unwrap();
    assert_eq!(court.allowed(accuser).await.unwrap(), u128::MAX, "once and for all");
    assert_eq!(chain.account(accuser).await.unwrap(), 7);
    assert_eq!(chain.account(deployed.court).await.unwrap(), BOND);
    let story = watcher.catch_up(&chain).await.clone();
    let id = struct_hash(&story.view.game);
    assert_eq!((&story.view.receipt, story.view.tasks), (&signed.receipt, TASKS));
    assert_eq!(story.view.question, Question::Node { height: 5, place: 0 });
    assert!(story.view.turn_of(key("provider").address()));
    assert_eq!(standing(&court, id).await, (GameStage::Unfold, 5, 0, false));

    // The court refuses nodes that are not the receipt's; anybody can send the right ones.
    let mut wrong = tree.unfold(5, 0).unwrap();
    wrong[3].fuel += 1;
    let error = refused(
        play(&accuses, &signed, &story, Answer::Unfold { nodes: wrong }).await.unwrap_err(),
    );
    assert!(matches!(error.market(), Some(MarketError::NotInReceipt(_))), "{error}");
    play(&accuses, &signed, &story, Answer::Unfold { nodes: tree.unfold(5, 0).unwrap() })
        .await
        .unwrap();
    let story = watcher.catch_up(&chain).await.clone();
    let nodes = tree.unfold(5, 0).unwrap();
    assert_eq!(story.view.question, Question::Nodes { height: 1, place: 0, nodes });
    assert_eq!(standing(&court, id).await, (GameStage::Pick, 1, 0, true));
    let error =
        refused(play(&sells, &signed, &story, Answer::Pick { index: 6 }).await.unwrap_err());
    assert_eq!(error.code(), "M-001", "only the accuser, or its delegate");

    let until = chain.now().await.unwrap() + 10_000;
    let call = CourtCall::Delegate { to: sells.account(), until };
    soon(accuses.send("delegate", MarketCall::Court { court: deployed.court, call }))
        .await
        .unwrap();
    assert_eq!(court.delegate_until(accuser, sells.account()).await.unwrap(), until);
    play(&sells, &signed, &story, Answer::Pick { index: 6 }).await.unwrap();
    let story = watcher.catch_up(&chain).await.clone();
    assert_eq!(watcher.delegated, Some((accuser, sells.account(), until)));
    assert_eq!(story.view.question, Question::Node { height: 1, place: 6 });
    assert_eq!(standing(&court, id).await, (GameStage::Unfold, 1, 6, false));
    play(&sells, &signed, &story, Answer::Unfold { nodes: tree.unfold(1, 6).unwrap() })
        .await
        .unwrap();
    let story = watcher.catch_up(&chain).await.clone();
    let Question::Nodes { height: 0, place: 6, nodes } = &story.view.question else {
        panic!("{:?}", story.view)
    };
    assert_eq!(nodes.iter().map(|node| node.fuel).collect::<Vec<_>>(), [12, 13], "leaves");
    assert_eq!(story.moves, 3);

    // Leaves are challenged, not picked.
    let error =
        refused(play(&sells, &signed, &story, Answer::Pick { index: 1 }).await.unwrap_err());
    assert!(matches!(error.court(), Some(CourtError::WrongLevel(e)) if e.level == 0), "{error}");
    let challenge = rialto_protocol::court::Challenge {
        index: 1,
        input: B256::ZERO,
        input_proof: vec![B256::ZERO; 5],
        parts: Bytes::new(),
        states: Box::new([nodes[1].hash; 16]),
    };
    let error = refused(
        play(&accuses, &signed, &story, Answer::Challenge(Box::new(challenge))).await.unwrap_err(),
    );
    assert!(matches!(error.court(), Some(CourtError::NoDispute(_))), "{error}");
    let not_yet = Answer::Step { pick: 0, proof: Vec::new() };
    assert_eq!(
        CourtCall::answer(signed.deal.clone(), signed.order.clone(), &story.view, not_yet),
        None
    );

    // The accuser has no true move, and loses by time.
    control(&dev, "evm_increaseTime", serde_json::json!([RULES.base_seconds]));
    control(&dev, "evm_mine", serde_json::json!([]));
    let (deal, game) = (Box::new(signed.deal.clone()), Box::new(story.view.game.clone()));
    let call = MarketCall::Court { court: deployed.court, call: CourtCall::Timeout { deal, game } };
    let provider = chain.account(sells.account()).await.unwrap();
    soon(sells.send("timeout", call)).await.unwrap();
    let end = watcher.catch_up(&chain).await.end.unwrap();
    assert_eq!((end.accuser_won, end.slashed, end.to_provider, end.burned), (false, false, 70, 30));
    assert_eq!(chain.account(sells.account()).await.unwrap(), provider + 70);
    assert_eq!(court.game(id).await.unwrap(), None);
    assert_eq!(chain.account(deployed.court).await.unwrap(), 0);
}
