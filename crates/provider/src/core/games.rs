//! Defending receipts before the court: what a game asks of us, and its answers.
//!
//! An answer is found by tracing the task, outside; it is asked for when a game's turn is ours, and lost in a crash: then it is asked
//! for again, and comes out the same. What is sent is an intent like any other.

use alloy_primitives::B256;
use rialto_protocol::{
    court::{Answer, GameNews, GameStory, Searches},
    types::struct_hash,
};

use super::{Call, Core, DealRow, Effect, OnChain, ProviderEvent, Refusal, chain::CLOCK_SKEW_SECONDS, record::Action};

/// Answers to segments, by game and level; `Nothing`: the segment is right, and we have lost.
pub(super) type Answers = Searches<(B256, u8), Answer>;

impl Core {
    /// Whether it is our turn in a game, and there is still something to be said.
    pub(super) fn owes(&self, id: B256, game: &GameStory) -> bool {
        let lost = self.games.found(&(id, game.view.level)) == Some(&Answer::Nothing);
        game.view.turn_of(self.config.provider) && self.now < game.view.deadline && !lost
    }

    /// Has answers found where it is our turn.
    pub(super) fn defend(&mut self, chain: &OnChain) {
        for (id, game) in chain.open_games() {
            let key = (*id, game.view.level);
            if !self.games.due(&key, self.now) || !self.owes(*id, game) {
                continue;
            }
            if let Some(work) = self.work(game.view.order) {
                self.games.ask(key);
                self.effects.push(Effect::Play { work, view: Box::new(game.view.clone()) });
            }
        }
    }

    pub(super) fn played(&mut self, game: B256, level: u8, result: Result<Answer, Refusal>) {
        self.games.answer(&(game, level), self.now, result.ok());
        let deal = self.games().into_iter().find(|(known, _)| *known == game).map(|(_, deal)| deal);
        self.changed.deals.extend(deal);
    }

    /// What open games ask of us now.
    pub(super) fn wanted_in_games(&self, row: &DealRow, chain: &OnChain) -> Vec<(Action, Call)> {
        let wanted = chain.open_games().filter_map(|(id, game)| {
            let (deal, view) = (Box::new(row.deal.clone()), &game.view);
            let late = self.now >= view.deadline.saturating_add(CLOCK_SKEW_SECONDS);
            if view.accusers_turn && late {
                let call = Call::Timeout { deal, game: Box::new(view.game.clone()) };
                return Some((Action::Timeout { game: *id }, call));
            }
            let answer = self.games.found(&(*id, view.level))?;
            if *answer == Answer::Nothing || !self.owes(*id, game) {
                return None;
            }
            let call = Call::Play { deal, view: Box::new(view.clone()), answer: Box::new(answer.clone()) };
            Some((Action::Play { game: *id, level: view.level }, call))
        });
        wanted.collect()
    }

    pub(super) fn tell_game(&mut self, deal: B256, news: &GameNews) {
        let event = match news {
            GameNews::Accused(view) => ProviderEvent::Accused {
                deal,
                game: struct_hash(&view.game),
                order: view.order,
                task: view.game.task,
                until: view.deadline,
            },
            GameNews::Moved { game, level, deadline, .. } => {
                ProviderEvent::GameMoved { game: *game, level: *level, until: *deadline }
            }
            GameNews::Stepped { .. } => return,
            GameNews::Convicted { receipt, fault } => {
                let lost = self.deals.get(&deal).map_or(0, |row| row.deal.collateral);
                ProviderEvent::Convicted { deal, receipt: *receipt, fault: *fault, lost }
            }
            GameNews::Ended { game, verdict } => {
                self.games.keep(|(known, _)| known != game);
                self.effects.push(Effect::ForgetGame { game: *game });
                let collateral = self.deals.get(&deal).map_or(0, |row| row.deal.collateral);
                ProviderEvent::GameEnded {
                    deal,
                    game: *game,
                    won: !verdict.accuser_won,
                    received: verdict.to_provider,
                    lost: if verdict.slashed { collateral } else { 0 },
                }
            }
        };
        self.tell(event);
    }
}
