//! What a court's logs say, in the protocol's own types. `ICourt.sol` says what each moves.

use alloy_primitives::{Address, B256, Log};
use alloy_sol_types::SolEventInterface;
use rialto_protocol::court::{PARTS, Segment};
use rialto_protocol::receipt::{MAX_ORDER_TASKS, SumNode};
use rialto_protocol::types::{Game, Receipt, struct_hash};
use rialto_protocol::{DealId, GameId, ReceiptId};

use crate::bindings::{Fault, ICourt::ICourtEvents as Raw, Verdict};

/// A run begins at this level at most.
const MAX_LEVEL: u8 = 14;
/// Most levels of a receipt's tree over its leaves.
const MAX_HEIGHT: u8 = MAX_ORDER_TASKS.ilog2() as u8;
/// Most levels that one answer opens.
const UNFOLD_LEVELS: u8 = 4;

/// An event of a court: its word, no more. It counts for a deal that names this very court ([`Deal::court`]), and a game's later
/// events for a game that the same court began. Values that no court can say are not decoded.
///
/// [`Deal::court`]: rialto_protocol::types::Deal
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CourtEvent {
    /// A game began; the provider is to open the receipt's root.
    Accused(Box<Accused>),
    /// The node in dispute was opened; the accuser is to pick.
    Unfolded {
        /// Game id.
        id: GameId,
        /// The node's place among those of its height, from the left.
        place: u32,
        /// Levels of `nodes` over the leaves. At 0 each hash is H(halted).
        height: u8,
        /// End of the accuser's turn, unix seconds.
        deadline: u64,
        /// What is below the node, from the left; at most 16.
        nodes: Vec<SumNode>,
    },
    /// One of the nodes was picked; the provider is to open it.
    Picked {
        /// Game id.
        id: GameId,
        /// The node's place among those of its height, from the left.
        place: u32,
        /// Its levels over the leaves.
        height: u8,
        /// End of the provider's turn, unix seconds.
        deadline: u64,
    },
    /// A task was challenged; the provider is to move.
    Challenged(Box<Challenged>),
    /// A segment was answered by another.
    Moved(Box<Moved>),
    /// A step was judged; an `Ended` comes with it.
    Stepped {
        /// Game id.
        id: GameId,
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
        deal: DealId,
        /// Struct hash of the receipt.
        receipt: ReceiptId,
        /// Who signed it.
        provider: Address,
        /// What was wrong.
        fault: Fault,
    },
    /// An account lets another move for it, in all of its games.
    Delegated {
        /// Whose games.
        owner: Address,
        /// Who may move.
        to: Address,
        /// Before this time, unix seconds.
        until: u64,
    },
}

/// How a game began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accused {
    /// Game id: the struct hash of `game`.
    pub id: GameId,
    /// The game.
    pub game: Game,
    /// The receipt that is said to be wrong; `game.receipt` is its struct hash, `game.order` its order's.
    pub receipt: Receipt,
    /// Tasks of the order; 1 to 2^16.
    pub tasks: u32,
    /// End of the provider's turn, unix seconds.
    pub deadline: u64,
}

/// How the run of a task came into dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenged {
    /// Game id.
    pub id: GameId,
    /// Index in the order.
    pub task: u32,
    /// How it ended, by the provider's word: H(halted).
    pub halted: B256,
    /// The segment spans 16^level steps, the whole run; even, 2 to 14.
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
    pub id: GameId,
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
    pub id: GameId,
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
                let (game, receipt) = (Game::from(&e.game), Receipt::from(&e.receipt));
                let id = struct_hash(&game);
                let told = (DealId::from(e.deal), e.provider, GameId::from(e.id)) == (game.deal, game.provider, id);
                let meant = game.receipt == struct_hash(&receipt) && game.order == receipt.order;
                if !told || !meant || !(1..=MAX_ORDER_TASKS).contains(&e.tasks) {
                    return None;
                }
                let (tasks, deadline) = (e.tasks, e.deadline);
                CourtEvent::Accused(Box::new(Accused { id, game, receipt, tasks, deadline }))
            }
            Raw::Unfolded(e) => {
                let levels = e.nodes.len().checked_ilog2()? as u8;
                let whole = e.nodes.len().is_power_of_two() && (e.height == 0 || levels == UNFOLD_LEVELS);
                if !whole || levels > UNFOLD_LEVELS || !is_place(e.place, e.height.checked_add(levels)?) {
                    return None;
                }
                let nodes = e.nodes.iter().map(SumNode::from).collect();
                CourtEvent::Unfolded { id: e.id.into(), place: e.place, height: e.height, deadline: e.deadline, nodes }
            }
            Raw::Picked(e) => {
                // Above the leaves, and below the root.
                if !(1..=MAX_HEIGHT - UNFOLD_LEVELS).contains(&e.height) || !is_place(e.place, e.height) {
                    return None;
                }
                CourtEvent::Picked { id: e.id.into(), place: e.place, height: e.height, deadline: e.deadline }
            }
            Raw::Challenged(e) => {
                if e.task >= MAX_ORDER_TASKS || !(2..=MAX_LEVEL).contains(&e.level) || !e.level.is_multiple_of(2) {
                    return None;
                }
                CourtEvent::Challenged(Box::new(Challenged {
                    id: e.id.into(),
                    task: e.task,
                    halted: e.halted,
                    level: e.level,
                    deadline: e.deadline,
                    segment: e.segment,
                }))
            }
            Raw::Moved(e) => {
                let end = 1u64.checked_shl(4 * u32::from(e.level)).and_then(|span| e.position.checked_add(span));
                let fits = end.is_some_and(|end| end <= 1 << (4 * MAX_LEVEL));
                if e.part >= PARTS as u32 || !(1..MAX_LEVEL).contains(&e.level) || !fits {
                    return None;
                }
                CourtEvent::Moved(Box::new(Moved {
                    id: e.id.into(),
                    pick: e.part,
                    position: e.position,
                    level: e.level,
                    accusers_turn: e.accusersTurn,
                    deadline: e.deadline,
                    segment: e.segment,
                }))
            }
            Raw::Stepped(e) => CourtEvent::Stepped {
                id: e.id.into(),
                position: e.position,
                state: e.state,
                claimed: e.claimed,
                next: e.next,
            },
            Raw::Ended(e) => CourtEvent::Ended(GameEnd {
                id: e.id.into(),
                verdict: e.verdict,
                accuser_won: e.accuserWon,
                slashed: e.slashed,
                to_accuser: e.toAccuser,
                to_provider: e.toProvider,
                burned: e.burned,
            }),
            Raw::Convicted(e) => CourtEvent::Convicted {
                deal: e.deal.into(),
                receipt: e.receipt.into(),
                provider: e.provider,
                fault: e.fault,
            },
            Raw::Delegated(e) => CourtEvent::Delegated { owner: e.owner, to: e.to, until: e.time },
        })
    }

    /// The deal that it says it is about. A game is tied to its deal by its `Accused`.
    pub fn deal(&self) -> Option<DealId> {
        match self {
            CourtEvent::Accused(accused) => Some(accused.game.deal),
            CourtEvent::Convicted { deal, .. } => Some(*deal),
            CourtEvent::Unfolded { .. }
            | CourtEvent::Picked { .. }
            | CourtEvent::Challenged(_)
            | CourtEvent::Moved(_)
            | CourtEvent::Stepped { .. }
            | CourtEvent::Ended(_)
            | CourtEvent::Delegated { .. } => None,
        }
    }

    /// The game that it is about.
    pub fn game(&self) -> Option<GameId> {
        match self {
            CourtEvent::Accused(accused) => Some(accused.id),
            CourtEvent::Challenged(challenged) => Some(challenged.id),
            CourtEvent::Moved(moved) => Some(moved.id),
            CourtEvent::Unfolded { id, .. }
            | CourtEvent::Picked { id, .. }
            | CourtEvent::Stepped { id, .. }
            | CourtEvent::Ended(GameEnd { id, .. }) => Some(*id),
            CourtEvent::Convicted { .. } | CourtEvent::Delegated { .. } => None,
        }
    }
}

/// Whether there can be so many nodes at this height of a receipt's tree.
fn is_place(place: u32, height: u8) -> bool {
    height <= MAX_HEIGHT && u64::from(place) < 1 << (MAX_HEIGHT - height)
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::SolEvent;

    use super::*;
    use crate::bindings::{self, ICourt};
    use rialto_protocol::OrderId;

    fn log(event: &impl SolEvent) -> Log {
        Log { address: Address::ZERO, data: event.encode_log_data() }
    }

    #[test]
    fn what_no_court_can_say_is_not_heard() {
        let receipt = Receipt { order: OrderId::repeat_byte(2), fuel: 3, ..Receipt::default() };
        let (deal, order, hash) = (DealId::repeat_byte(1), receipt.order, struct_hash(&receipt));
        let game = Game { deal, order, receipt: hash, bond: 7, ..Game::default() };
        let accused = ICourt::Accused {
            id: struct_hash(&game).into(),
            deal: game.deal.into(),
            provider: game.provider,
            game: (&game).into(),
            receipt: (&receipt).into(),
            tasks: 1 << 16,
            deadline: 5,
        };
        let Some(CourtEvent::Accused(heard)) = CourtEvent::decode(&log(&accused)) else { panic!() };
        assert_eq!((heard.game, heard.receipt.clone(), heard.tasks), (game.clone(), receipt, 1 << 16));
        let no = |event: ICourt::Accused| assert_eq!(CourtEvent::decode(&log(&event)), None);
        no(ICourt::Accused { id: B256::ZERO, ..accused.clone() });
        no(ICourt::Accused { deal: B256::ZERO, ..accused.clone() });
        no(ICourt::Accused { provider: Address::repeat_byte(1), ..accused.clone() });
        let mut other = heard.receipt.clone();
        other.fuel += 1;
        no(ICourt::Accused { receipt: (&other).into(), ..accused.clone() });
        let elsewhere = Game { order: OrderId::ZERO, ..game };
        no(ICourt::Accused { id: struct_hash(&elsewhere).into(), game: (&elsewhere).into(), ..accused.clone() });
        for tasks in [0, (1 << 16) + 1] {
            no(ICourt::Accused { tasks, ..accused.clone() });
        }
    }

    #[test]
    fn only_nodes_that_a_tree_can_have_are_heard() {
        let unfolded = |place, height, nodes| ICourt::Unfolded {
            id: B256::repeat_byte(1),
            place,
            height,
            deadline: 5,
            nodes: vec![bindings::SumNode { hash: B256::ZERO, fuel: 1 }; nodes],
        };
        let heard = |event: &ICourt::Unfolded| CourtEvent::decode(&log(event)).is_some();
        for (place, height, nodes) in [(0, 12, 16), ((1 << 12) - 1, 0, 16), (0, 0, 1), ((1 << 15) - 1, 0, 2)] {
            assert!(heard(&unfolded(place, height, nodes)), "{place} {height} {nodes}");
        }
        let bad =
            [(1, 12, 16), (0, 13, 16), (0, 1, 8), (0, 0, 0), (0, 0, 3), (0, 0, 32), (1 << 12, 0, 16), (0, 255, 16)];
        for (place, height, nodes) in bad {
            assert!(!heard(&unfolded(place, height, nodes)), "{place} {height} {nodes}");
        }
        let picked = |place, height| ICourt::Picked { id: B256::ZERO, place, height, deadline: 5 };
        let heard = |event: &ICourt::Picked| CourtEvent::decode(&log(event)).is_some();
        assert!(heard(&picked(15, 12)) && heard(&picked((1 << 15) - 1, 1)));
        for (place, height) in [(16, 12), (0, 13), (0, 0), (1 << 15, 1), (0, 255)] {
            assert!(!heard(&picked(place, height)), "{place} {height}");
        }
    }

    #[test]
    fn only_segments_that_a_run_can_have_are_heard() {
        let challenged = ICourt::Challenged {
            id: B256::ZERO,
            task: (1 << 16) - 1,
            halted: B256::ZERO,
            level: 14,
            deadline: 5,
            segment: [B256::ZERO; 17],
        };
        assert!(CourtEvent::decode(&log(&challenged)).is_some());
        let no = |event: ICourt::Challenged| assert_eq!(CourtEvent::decode(&log(&event)), None);
        no(ICourt::Challenged { task: 1 << 16, ..challenged.clone() });
        for level in [0, 1, 3, 16, 255] {
            no(ICourt::Challenged { level, ..challenged.clone() });
        }

        let moved = ICourt::Moved {
            id: B256::ZERO,
            part: 15,
            position: (1 << 56) - 16,
            level: 1,
            accusersTurn: true,
            deadline: 5,
            segment: [B256::ZERO; 17],
        };
        assert!(CourtEvent::decode(&log(&moved)).is_some());
        let no = |event: ICourt::Moved| assert_eq!(CourtEvent::decode(&log(&event)), None);
        no(ICourt::Moved { part: 16, ..moved.clone() });
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
