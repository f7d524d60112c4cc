//! Games before a court, as its events tell them: every move with who made it, and how it ended.

use std::collections::BTreeMap;

use rialto_chain::{CourtEvent, Games, LogMeta, MarketEvent};
use rialto_protocol::{
    Address, B256,
    court::{GameNews, GameStory, GameView},
    fault::Fault,
    types::Deal,
};

use crate::history::{DealEnd, History};

/// A game from its begin to where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameTale {
    /// Its id.
    pub id: B256,
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
    /// The level it began at.
    pub first_level: u8,
}

/// Something that was done in a game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameMove {
    /// What.
    pub kind: Played,
    /// Level of the segment that came of it, or that the step is of.
    pub level: u8,
    /// Steps before it.
    pub position: u64,
    /// Which sixteenth of the segment before was disputed.
    pub pick: Option<u32>,
    /// Transaction.
    pub tx: B256,
    /// Its block.
    pub block: u64,
    /// End of the turn that it gave to the other side, unix seconds.
    pub deadline: Option<u64>,
}

/// Kinds of things that are done in a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    /// The accuser's first segment.
    Accusation,
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

    /// Whose turn it is, if it goes on.
    pub fn turn(&self) -> Option<Address> {
        let game = &self.story.view.game;
        self.is_open().then_some(if self.story.view.accusers_turn { game.accuser } else { game.provider })
    }

    fn new(court: Address, deal: Deal, view: GameView, meta: &LogMeta) -> Self {
        let first = GameMove {
            kind: Played::Accusation,
            level: view.level,
            position: 0,
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
            first_level: view.level,
            story: GameStory::new(view),
            moves: vec![first],
        }
    }

    fn tell(&mut self, meta: &LogMeta, pick: Option<u32>, news: &GameNews) {
        if !self.story.learn(news) {
            return;
        }
        let (tx, block) = (meta.tx, meta.block);
        let (kind, level, position, deadline) = match news {
            GameNews::Accused(_) | GameNews::Convicted { .. } => return,
            GameNews::Moved { level, position, accusers_turn, deadline, .. } => {
                let kind = if *accusers_turn { Played::ByProvider } else { Played::ByAccuser };
                (kind, *level, *position, Some(*deadline))
            }
            GameNews::Stepped { position, .. } => (Played::Step, 0, *position, None),
            // A step is there already.
            GameNews::Ended { verdict, .. } if verdict.by_step => return,
            GameNews::Ended { .. } => (Played::Timeout, self.story.view.level, self.story.view.position, None),
        };
        self.moves.push(GameMove { kind, level, position, pick, tx, block, deadline });
    }
}

/// A receipt that a court found wrong without a game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// The deal's id.
    pub id: B256,
    /// Its terms.
    pub deal: Deal,
    /// Struct hash of the receipt.
    pub receipt: B256,
    /// What was wrong with it.
    pub fault: Fault,
    /// Transaction.
    pub tx: B256,
    /// Its block.
    pub block: u64,
}

impl History {
    /// Every receipt that a deal's court found wrong without a game, the oldest first. Only courts that this history was read with
    /// are heard.
    pub fn convictions(&self) -> Vec<Conviction> {
        let mut known = Games::default();
        let mut deals: BTreeMap<B256, &Deal> = BTreeMap::new();
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

    /// Every game that a court began over a deal that names it, the oldest first. Only courts that this history was read with are
    /// heard.
    pub fn games(&self) -> Vec<GameTale> {
        let mut known = Games::default();
        let (mut tales, mut places): (Vec<GameTale>, BTreeMap<B256, usize>) = Default::default();
        let mut deals: BTreeMap<B256, Deal> = BTreeMap::new();
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
        let ends: BTreeMap<B256, DealEnd> =
            self.deals().into_iter().filter_map(|deal| Some((deal.id, deal.end?))).collect();
        for tale in &mut tales {
            tale.deal_end = ends.get(&tale.story.view.game.deal).copied();
        }
        tales
    }
}
