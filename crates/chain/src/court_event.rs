//! Courts' logs as events of the protocol. Values that no court can say are not decoded.

use alloy_primitives::Log;
use alloy_sol_types::SolEventInterface;
use rialto_protocol::court::PARTS;
use rialto_protocol::event::{Accused, Challenged, CourtEvent, GameEnd, Moved};
use rialto_protocol::receipt::{MAX_ORDER_TASKS, SumNode};
use rialto_protocol::types::{Game, Receipt, struct_hash};
use rialto_protocol::{DealId, GameId};

use crate::bindings::ICourt::ICourtEvents as Raw;
use crate::event::FromLog;

/// Highest level at which a run begins.
const MAX_LEVEL: u8 = 14;
/// Most levels of a receipt's tree above its leaves.
const MAX_HEIGHT: u8 = MAX_ORDER_TASKS.ilog2() as u8;
/// Most levels that one answer opens.
const UNFOLD_LEVELS: u8 = 4;

impl FromLog for CourtEvent {
    fn decode(log: &Log) -> Option<CourtEvent> {
        Some(match Raw::decode_raw_log(log.topics(), &log.data.data).ok()? {
            Raw::Accused(e) => {
                let (game, receipt) = (Game::from(&e.game), Receipt::from(&e.receipt));
                let id = struct_hash(&game);
                let told = (DealId::from(e.deal), e.provider, GameId::from(e.id))
                    == (game.deal, game.provider, id);
                let meant = game.receipt == struct_hash(&receipt) && game.order == receipt.order;
                if !told || !meant || !(1..=MAX_ORDER_TASKS).contains(&e.tasks) {
                    return None;
                }
                let (tasks, deadline) = (e.tasks, e.deadline);
                CourtEvent::Accused(Box::new(Accused { id, game, receipt, tasks, deadline }))
            }
            Raw::Unfolded(e) => {
                let levels = e.nodes.len().checked_ilog2()? as u8;
                let whole =
                    e.nodes.len().is_power_of_two() && (e.height == 0 || levels == UNFOLD_LEVELS);
                if !whole
                    || levels > UNFOLD_LEVELS
                    || !is_place(e.place, e.height.checked_add(levels)?)
                {
                    return None;
                }
                let nodes = e.nodes.iter().map(SumNode::from).collect();
                CourtEvent::Unfolded {
                    id: e.id.into(),
                    place: e.place,
                    height: e.height,
                    deadline: e.deadline,
                    nodes,
                }
            }
            Raw::Picked(e) => {
                // A picked node is above the leaves and below the root.
                if !(1..=MAX_HEIGHT - UNFOLD_LEVELS).contains(&e.height)
                    || !is_place(e.place, e.height)
                {
                    return None;
                }
                CourtEvent::Picked {
                    id: e.id.into(),
                    place: e.place,
                    height: e.height,
                    deadline: e.deadline,
                }
            }
            Raw::Challenged(e) => {
                if e.task >= MAX_ORDER_TASKS
                    || !(2..=MAX_LEVEL).contains(&e.level)
                    || !e.level.is_multiple_of(2)
                {
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
                let end = 1u64
                    .checked_shl(4 * u32::from(e.level))
                    .and_then(|span| e.position.checked_add(span));
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
                verdict: e.verdict.known()?,
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
                fault: e.fault.known()?,
            },
            Raw::Delegated(e) => CourtEvent::Delegated { owner: e.owner, to: e.to, until: e.time },
        })
    }
}

/// Returns whether a receipt's tree can have this node at this height.
fn is_place(place: u32, height: u8) -> bool {
    height <= MAX_HEIGHT && u64::from(place) < 1 << (MAX_HEIGHT - height)
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::SolEvent;

    use alloy_primitives::{Address, B256};

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
        assert_eq!(
            (heard.game, heard.receipt.clone(), heard.tasks),
            (game.clone(), receipt, 1 << 16)
        );
        let no = |event: ICourt::Accused| assert_eq!(CourtEvent::decode(&log(&event)), None);
        no(ICourt::Accused { id: B256::ZERO, ..accused.clone() });
        no(ICourt::Accused { deal: B256::ZERO, ..accused.clone() });
        no(ICourt::Accused { provider: Address::repeat_byte(1), ..accused.clone() });
        let mut other = heard.receipt.clone();
        other.fuel += 1;
        no(ICourt::Accused { receipt: (&other).into(), ..accused.clone() });
        let elsewhere = Game { order: OrderId::ZERO, ..game };
        no(ICourt::Accused {
            id: struct_hash(&elsewhere).into(),
            game: (&elsewhere).into(),
            ..accused.clone()
        });
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
        for (place, height, nodes) in
            [(0, 12, 16), ((1 << 12) - 1, 0, 16), (0, 0, 1), ((1 << 15) - 1, 0, 2)]
        {
            assert!(heard(&unfolded(place, height, nodes)), "{place} {height} {nodes}");
        }
        let bad = [
            (1, 12, 16),
            (0, 13, 16),
            (0, 1, 8),
            (0, 0, 0),
            (0, 0, 3),
            (0, 0, 32),
            (1 << 12, 0, 16),
            (0, 255, 16),
        ];
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
        // A log that is cut short or has the topics of another event is not decoded.
        let mut short = log(&moved);
        short.data.data = short.data.data.slice(..short.data.data.len() - 1);
        assert_eq!(CourtEvent::decode(&short), None);
    }
}
