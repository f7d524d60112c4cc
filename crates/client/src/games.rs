//! Games before a court, as its events tell them: every move with who made it, and how it ended.

use std::collections::BTreeMap;

use rialto_chain::{CourtEvent, Games, LogMeta, MarketEvent};
use rialto_protocol::{
    Address, B256, DealId, GameId, ReceiptId,
    court::{GameNews, GameStory, GameView, Question, Verdict},
    fault::Fault,
    types::Deal,
};

use serde::Serialize;

use crate::history::{DealEnd, History};

/// A game from its begin to where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameTale {
    /// Its id.
    pub id: GameId,
    /// Whose court.
    pub court: Address,
    /// The deal's terms.
    pub deal: Deal,
    /// How the deal ended, if it has.
    pub deal_end: Option<DealEnd>,
    /// Where it stands, the judged step and its end.
    pub story: GameStory,
    /// What was done in it, in order.
    pub moves: Vec<GameMove>,
}

/// Something that was done in a game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameMove {
    /// What.
    pub kind: Played,
    /// What came of it, or, where the game ended, what was in dispute.
    pub place: Place,
    /// Of a run: which sixteenth of the segment before was disputed.
    pub pick: Option<u32>,
    /// Transaction.
    pub tx: B256,
    /// Its block.
    pub block: u64,
    /// End of the turn that it gave to the other side, unix seconds.
    pub deadline: Option<u64>,
}

/// What a game is about at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "about")]
pub enum Place {
    /// A node of the receipt's tree, or the nodes below it.
    Tree {
        /// Levels over the leaves.
        height: u8,
        /// The node's place among those of its height, or of the node over the nodes, from the
        /// left.
        place: u32,
    },
    /// A segment of a task's run.
    Run {
        /// Index in the order.
        task: u32,
        /// The segment spans 16^level steps; 0: a single step.
        level: u8,
        /// Steps before it.
        position: u64,
    },
}

impl Place {
    fn of(question: &Question) -> Self {
        match question {
            Question::Node { height, place } | Question::Nodes { height, place, .. } => {
                Self::Tree { height: *height, place: *place }
            }
            Question::Run { task, level, position, .. } => {
                Self::Run { task: *task, level: *level, position: *position }
            }
        }
    }
}

/// Kinds of things that are done in a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    /// The accusation of the receipt.
    Accusation,
    /// The provider opened a node of the receipt's tree; anybody may have sent it.
    Unfolded,
    /// The accuser picked one of its nodes.
    Picked,
    /// The accuser challenged a task: its first segment, over the whole run.
    Challenge,
    /// A segment of the accuser.
    ByAccuser,
    /// A segment of the provider.
    ByProvider,
    /// A step was judged; anybody may have sent it.
    Step,
    /// A turn's time ran out; anybody may have sent it.
    Timeout,
}

impl GameTale {
    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        self.story.end.is_none()
    }

    /// What it is about now, or was at its end.
    pub fn place(&self) -> Place {
        Place::of(&self.story.view.question)
    }

    /// Whose turn it is, if it goes on.
    pub fn turn(&self) -> Option<Address> {
        let game = &self.story.view.game;
        self.is_open().then_some(if self.story.view.accusers_turn {
            game.accuser
        } else {
            game.provider
        })
    }

    fn new(court: Address, deal: Deal, view: GameView, meta: &LogMeta) -> Self {
        let first = GameMove {
            kind: Played::Accusation,
            place: Place::of(&view.question),
            pick: None,
            tx: meta.tx,
            block: meta.block,
            deadline: Some(view.deadline),
        };
        Self {
            id: rialto_protocol::types::struct_hash(&view.game),
            court,
            deal,
            deal_end: None,
            story: GameStory::new(view),
            moves: vec![first],
        }
    }

    fn tell(&mut self, meta: &LogMeta, pick: Option<u32>, news: &GameNews) {
        if !self.story.learn(news) {
            return;
        }
        let (tx, block) = (meta.tx, meta.block);
        let mut place = Place::of(&self.story.view.question);
        let (kind, deadline) = match news {
            GameNews::Accused(_) | GameNews::Convicted { .. } => return,
            GameNews::Unfolded { deadline, .. } => (Played::Unfolded, Some(*deadline)),
            GameNews::Picked { deadline, .. } => (Played::Picked, Some(*deadline)),
            GameNews::Challenged { deadline, .. } => (Played::Challenge, Some(*deadline)),
            GameNews::Moved { accusers_turn, deadline, .. } => {
                let kind = if *accusers_turn { Played::ByProvider } else { Played::ByAccuser };
                (kind, Some(*deadline))
            }
            GameNews::Stepped { position: at, .. } => {
                if let Place::Run { level, position, .. } = &mut place {
                    (*level, *position) = (0, *at);
                }
                (Played::Step, None)
            }
            // A step is there already.
            GameNews::Ended { verdict, .. } if verdict.verdict == Verdict::Step => return,
            GameNews::Ended { .. } => (Played::Timeout, None),
        };
        self.moves.push(GameMove { kind, place, pick, tx, block, deadline });
    }
}

/// A receipt that a court found wrong without a game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// The deal's id.
    pub id: DealId,
    /// Its terms.
    pub deal: Deal,
    /// Struct hash of the receipt.
    pub receipt: ReceiptId,
    /// What was wrong with it.
    pub fault: Fault,
    /// Transaction.
    pub tx: B256,
    /// Its block.
    pub block: u64,
}

impl History {
    /// Every receipt that a deal's court found wrong without a game, the oldest first. Only courts
    /// that this history was read with are heard.
    pub fn convictions(&self) -> Vec<Conviction> {
        let mut known = Games::default();
        let mut deals: BTreeMap<DealId, &Deal> = BTreeMap::new();
        let mut all = Vec::new();
        for (meta, event) in &self.events {
            if let MarketEvent::DealOpened { id, deal } = event {
                known.add_deal(*id, deal);
                deals.insert(*id, deal);
            }
            if let Some((id, GameNews::Convicted { receipt, fault })) = known.news(event)
                && let Some(deal) = deals.get(&id)
            {
                let deal = (*deal).clone();
                all.push(Conviction { id, deal, receipt, fault, tx: meta.tx, block: meta.block });
            }
        }
        all
    }

    /// Every game that a court began over a deal that names it, the oldest first. Only courts that
    /// this history was read with are heard.
    pub fn games(&self) -> Vec<GameTale> {
        let mut known = Games::default();
        let (mut tales, mut places): (Vec<GameTale>, BTreeMap<GameId, usize>) = Default::default();
        let mut deals: BTreeMap<DealId, Deal> = BTreeMap::new();
        for (meta, event) in &self.events {
            match event {
                MarketEvent::DealOpened { id, deal } => {
                    known.add_deal(*id, deal);
                    deals.insert(*id, deal.clone());
                }
                MarketEvent::Court { court, event: said } => {
                    let Some((deal, news)) = known.news(event) else { continue };
                    let pick = match said {
                        CourtEvent::Moved(moved) => Some(moved.pick),
                        _ => None,
                    };
                    match (said.game(), &news) {
                        (Some(id), GameNews::Accused(view)) if !places.contains_key(&id) => {
                            let Some(deal) = deals.get(&deal) else { continue };
                            places.insert(id, tales.len());
                            tales.push(GameTale::new(*court, deal.clone(), (**view).clone(), meta));
                        }
                        (Some(id), _) => {
                            if let Some(place) = places.get(&id) {
                                tales[*place].tell(meta, pick, &news);
                            }
                        }
                        (None, _) => {}
                    }
                }
                _ => {}
            }
        }
        let ends: BTreeMap<DealId, DealEnd> =
            self.deals().into_iter().filter_map(|deal| Some((deal.id, deal.end?))).collect();
        for tale in &mut tales {
            tale.deal_end = ends.get(&tale.story.view.game.deal).copied();
        }
        tales
    }
}
