//! Assigns the events of courts to the deals that the disputes are about.

use std::collections::HashMap;

use alloy_primitives::Address;
use rialto_protocol::court::{self, Answer, GameNews, GameView, Question};
use rialto_protocol::event::{Accused, Challenged, CourtEvent, GameEnd, MarketEvent, Moved};
use rialto_protocol::fault::FaultProof;
use rialto_protocol::types::{Deal, Order};
use rialto_protocol::{DealId, GameId};

use crate::court_call::{CourtCall, MoveArgs, Signed, StepArgs, WrongFuelArgs, WrongSumArgs};

/// Courts of known deals, and deals of known disputes.
#[derive(Clone, Debug, Default)]
pub struct Games {
    courts: HashMap<DealId, Address>,
    deals: HashMap<GameId, DealId>,
}

impl Games {
    /// Adds a deal. Events of its court are then accepted for it.
    pub fn add_deal(&mut self, id: DealId, deal: &Deal) {
        if !deal.court.is_zero() {
            self.courts.insert(id, deal.court);
        }
    }

    /// Adds a dispute that is known from before.
    pub fn add_game(&mut self, game: GameId, deal: DealId) {
        self.deals.insert(game, deal);
    }

    /// Returns the deal and the event, if its court reports on one of the deal's disputes or
    /// receipts. Returns `None` for all other events, and for those of a court that the deal does
    /// not name.
    pub fn news(&mut self, event: &MarketEvent) -> Option<(DealId, GameNews)> {
        let MarketEvent::Court { court, event } = event else { return None };
        let deal = match event.deal() {
            Some(deal) => deal,
            None => *self.deals.get(&event.game()?)?,
        };
        if self.courts.get(&deal) != Some(court) {
            return None;
        }
        let news = news(event)?;
        self.deals.extend(event.game().map(|game| (game, deal)));
        Some((deal, news))
    }
}

fn news(event: &CourtEvent) -> Option<GameNews> {
    Some(match event {
        CourtEvent::Delegated { .. } => return None,
        CourtEvent::Accused(accused) => {
            let Accused { game, receipt, tasks, deadline, .. } = &**accused;
            GameNews::Accused(Box::new(GameView::begun(
                game.clone(),
                receipt.clone(),
                *tasks,
                *deadline,
            )))
        }
        CourtEvent::Unfolded { id, place, height, deadline, nodes } => GameNews::Unfolded {
            game: *id,
            place: *place,
            height: *height,
            deadline: *deadline,
            nodes: nodes.clone(),
        },
        CourtEvent::Picked { id, place, height, deadline } => {
            GameNews::Picked { game: *id, place: *place, height: *height, deadline: *deadline }
        }
        CourtEvent::Challenged(challenged) => {
            let Challenged { id, task, halted, level, deadline, segment } = &**challenged;
            GameNews::Challenged {
                game: *id,
                task: *task,
                halted: *halted,
                level: *level,
                deadline: *deadline,
                segment: Box::new(*segment),
            }
        }
        CourtEvent::Moved(moved) => {
            let Moved { id, position, level, accusers_turn, deadline, segment, .. } = &**moved;
            GameNews::Moved {
                game: *id,
                level: *level,
                position: *position,
                accusers_turn: *accusers_turn,
                deadline: *deadline,
                segment: Box::new(*segment),
            }
        }
        CourtEvent::Stepped { id, position, state, claimed, next } => GameNews::Stepped {
            game: *id,
            position: *position,
            state: *state,
            claimed: *claimed,
            next: *next,
        },
        CourtEvent::Ended(GameEnd {
            id,
            verdict,
            accuser_won,
            slashed,
            to_accuser,
            to_provider,
            burned,
        }) => GameNews::Ended {
            game: *id,
            verdict: court::GameEnd {
                verdict: *verdict,
                accuser_won: *accuser_won,
                slashed: *slashed,
                to_accuser: *to_accuser,
                to_provider: *to_provider,
                burned: *burned,
            },
        },
        CourtEvent::Convicted { receipt, fault, .. } => {
            GameNews::Convicted { receipt: *receipt, fault: *fault }
        }
    })
}

impl CourtCall {
    /// Converts an answer of the side to move to a call, for an order of this deal. Returns `None`
    /// if there is no answer, or if it does not fit the dispute's current question.
    pub fn answer(deal: Deal, order: Order, view: &GameView, answer: Answer) -> Option<CourtCall> {
        let game = view.game.clone();
        let order = Box::new(order);
        Some(match (answer, &view.question) {
            (Answer::Unfold { nodes }, Question::Node { .. }) => {
                CourtCall::Unfold { game: Box::new(game), order, nodes }
            }
            (Answer::Pick { index }, Question::Nodes { nodes, .. }) => {
                CourtCall::Pick { game: Box::new(game), nodes: nodes.clone(), index }
            }
            (Answer::Challenge(challenge), Question::Nodes { nodes, .. }) => CourtCall::Challenge {
                game: Box::new(game),
                order,
                nodes: nodes.clone(),
                challenge,
            },
            (Answer::Contradict { index, halted }, Question::Nodes { nodes, .. }) => {
                CourtCall::Contradict {
                    deal: Box::new(deal),
                    game: Box::new(game),
                    order,
                    nodes: nodes.clone(),
                    index,
                    halted,
                }
            }
            (Answer::Move { pick, states }, Question::Run { segment, .. }) => {
                CourtCall::Move(Box::new(MoveArgs {
                    game,
                    pick,
                    segment: **segment,
                    states: *states,
                    signature: Default::default(),
                }))
            }
            (Answer::Step { pick, proof }, Question::Run { segment, .. }) => {
                CourtCall::Step(Box::new(StepArgs {
                    deal,
                    game,
                    pick,
                    segment: **segment,
                    proof: proof.into(),
                }))
            }
            _ => return None,
        })
    }

    /// Returns the call that proves a receipt wrong without a dispute.
    pub fn convict(signed: Signed, proof: FaultProof) -> CourtCall {
        match proof {
            FaultProof::Sum { node, children, place, siblings } => {
                CourtCall::WrongSum(Box::new(WrongSumArgs {
                    signed,
                    node,
                    children,
                    place,
                    siblings,
                }))
            }
            FaultProof::Fuel { task, fuel, halted, proof } => {
                CourtCall::WrongFuel(Box::new(WrongFuelArgs { signed, task, fuel, halted, proof }))
            }
        }
    }
}
