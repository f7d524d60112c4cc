//! What a court's logs say, in the protocol's own types. `ICourt.sol` says what each moves.

use alloy_primitives::{Address, B256, Log};
use alloy_sol_types::SolEventInterface;
use rialto_protocol::types::{Game, struct_hash};

use crate::bindings::{Fault, ICourt::ICourtEvents as Raw, Verdict};
use crate::court_call::Segment;

/// A game begins at this level at most.
pub const MAX_LEVEL: u8 = 14;
/// Parts of a segment.
pub const PARTS: u32 = 16;

/// An event of a court: its word, no more. It counts for a deal that names this very court ([`Deal::court`]), and a game's later
/// events for a game that the same court began. Values that no court can say are not decoded.
///
/// [`Deal::court`]: rialto_protocol::types::Deal
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CourtEvent {
    /// A game began; it is the provider's turn.
    Accused(Box<Accused>),
    /// A segment was answered by another.
    Moved(Box<Moved>),
    /// A step was judged; an `Ended` comes with it.
    Stepped {
        /// Game id.
        id: B256,
        /// Steps before it.
        position: u64,
        /// State that it begins from.
        state: B256,
        /// What the loser said that follows.
        claimed: B256,
        /// What follows.
        next: B256,
    },
    /// A game ended.
    Ended(GameEnd),
    /// A receipt was shown to be wrong without a game; the deal ended with it.
    Convicted {
        /// Deal id.
        deal: B256,
        /// Struct hash of the receipt.
        receipt: B256,
        /// Who signed it.
        provider: Address,
        /// What was wrong.
        fault: Fault,
    },
}

/// How a game began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accused {
    /// Game id: the struct hash of `game`.
    pub id: B256,
    /// The game.
    pub game: Game,
    /// Struct hash of the order.
    pub order: B256,
    /// The segment spans 16^level steps; even, 2 to 14.
    pub level: u8,
    /// End of the provider's turn, unix seconds.
    pub deadline: u64,
    /// The accuser's state hashes.
    pub segment: Segment,
}

/// A move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Game id.
    pub id: B256,
    /// The part of the segment before that was disputed.
    pub pick: u32,
    /// Steps before the new segment.
    pub position: u64,
    /// The new segment spans 16^level steps; 1 to 13.
    pub level: u8,
    /// Whether the accuser is to move now; else the provider.
    pub accusers_turn: bool,
    /// End of that turn, unix seconds.
    pub deadline: u64,
    /// The new segment's state hashes.
    pub segment: Segment,
}

/// How a game ended, and where the bond went: into accounts of the market, base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GameEnd {
    /// Game id.
    pub id: B256,
    /// By a step, or by time.
    pub verdict: Verdict,
    /// Who won: the accuser, or else the provider.
    pub accuser_won: bool,
    /// Whether the deal ended with it.
    pub slashed: bool,
    /// To the accuser.
    pub to_accuser: u128,
    /// To the provider.
    pub to_provider: u128,
    /// Burned.
    pub burned: u128,
}

impl CourtEvent {
    /// Decodes a log of a court; `None` if it is no event of `ICourt`, or none that a court can emit.
    pub fn decode(log: &Log) -> Option<CourtEvent> {
        Some(match Raw::decode_raw_log(log.topics(), &log.data.data).ok()? {
            Raw::Accused(e) => {
                let game = Game::from(&e.game);
                let told = e.deal == game.deal && e.provider == game.provider && e.id == struct_hash(&game);
                if !told || !(2..=MAX_LEVEL).contains(&e.level) || !e.level.is_multiple_of(2) {
                    return None;
                }
                let (id, order, level) = (e.id, e.order, e.level);
                CourtEvent::Accused(Box::new(Accused {
                    id,
                    game,
                    order,
                    level,
                    deadline: e.deadline,
                    segment: e.segment,
                }))
            }
            Raw::Moved(e) => {
                let end = 1u64.checked_shl(4 * u32::from(e.level)).and_then(|span| e.position.checked_add(span));
                let fits = end.is_some_and(|end| end <= 1 << (4 * MAX_LEVEL));
                if e.pick >= PARTS || !(1..MAX_LEVEL).contains(&e.level) || !fits {
                    return None;
                }
                CourtEvent::Moved(Box::new(Moved {
                    id: e.id,
                    pick: e.pick,
                    position: e.position,
                    level: e.level,
                    accusers_turn: e.accusersTurn,
                    deadline: e.deadline,
                    segment: e.segment,
                }))
            }
            Raw::Stepped(e) => {
                CourtEvent::Stepped { id: e.id, position: e.position, state: e.state, claimed: e.claimed, next: e.next }
            }
            Raw::Ended(e) => CourtEvent::Ended(GameEnd {
                id: e.id,
                verdict: e.verdict,
                accuser_won: e.accuserWon,
                slashed: e.slashed,
                to_accuser: e.toAccuser,
                to_provider: e.toProvider,
                burned: e.burned,
            }),
            Raw::Convicted(e) => {
                CourtEvent::Convicted { deal: e.deal, receipt: e.receipt, provider: e.provider, fault: e.fault }
            }
        })
    }

    /// The deal that it says it is about. A game is tied to its deal by its `Accused`.
    pub fn deal(&self) -> Option<B256> {
        match self {
            CourtEvent::Accused(accused) => Some(accused.game.deal),
            CourtEvent::Convicted { deal, .. } => Some(*deal),
            CourtEvent::Moved(_) | CourtEvent::Stepped { .. } | CourtEvent::Ended(_) => None,
        }
    }

    /// The game that it is about.
    pub fn game(&self) -> Option<B256> {
        match self {
            CourtEvent::Accused(accused) => Some(accused.id),
            CourtEvent::Moved(moved) => Some(moved.id),
            CourtEvent::Stepped { id, .. } | CourtEvent::Ended(GameEnd { id, .. }) => Some(*id),
            CourtEvent::Convicted { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::SolEvent;

    use super::*;
    use crate::bindings::ICourt;

    fn log(event: &impl SolEvent) -> Log {
        Log { address: Address::ZERO, data: event.encode_log_data() }
    }

    #[test]
    fn what_no_court_can_say_is_not_heard() {
        let game = Game { task: 3, bond: 7, deal: B256::repeat_byte(1), ..Game::default() };
        let accused = ICourt::Accused {
            id: struct_hash(&game),
            deal: game.deal,
            provider: game.provider,
            game: (&game).into(),
            order: B256::ZERO,
            level: 14,
            deadline: 5,
            segment: [B256::ZERO; 17],
        };
        let Some(CourtEvent::Accused(heard)) = CourtEvent::decode(&log(&accused)) else { panic!() };
        assert_eq!((heard.game, heard.level), (game, 14));
        let no = |event: ICourt::Accused| assert_eq!(CourtEvent::decode(&log(&event)), None);
        no(ICourt::Accused { id: B256::ZERO, ..accused.clone() });
        no(ICourt::Accused { deal: B256::ZERO, ..accused.clone() });
        no(ICourt::Accused { provider: Address::repeat_byte(1), ..accused.clone() });
        for level in [0, 1, 3, 16, 255] {
            no(ICourt::Accused { level, ..accused.clone() });
        }

        let moved = ICourt::Moved {
            id: B256::ZERO,
            pick: 15,
            position: (1 << 56) - 16,
            level: 1,
            accusersTurn: true,
            deadline: 5,
            segment: [B256::ZERO; 17],
        };
        assert!(CourtEvent::decode(&log(&moved)).is_some());
        let no = |event: ICourt::Moved| assert_eq!(CourtEvent::decode(&log(&event)), None);
        no(ICourt::Moved { pick: 16, ..moved.clone() });
        no(ICourt::Moved { level: 2, ..moved.clone() });
        no(ICourt::Moved { position: u64::MAX, ..moved.clone() });
        for level in [0, 14, 16, 255] {
            no(ICourt::Moved { level, position: 0, ..moved.clone() });
        }
        // Cut short, or with the topics of another event.
        let mut short = log(&moved);
        short.data.data = short.data.data.slice(..short.data.data.len() - 1);
        assert_eq!(CourtEvent::decode(&short), None);
    }
}
