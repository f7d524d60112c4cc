//! Defending receipts before the court: what a game asks of us, and its answers.
//!
//! Our turns are found outside: a node of the receipt's tree from the results, a segment by tracing
//! the task. They are asked for when a game's turn is ours, the earliest deadline first over all
//! deals, and lost in a crash: then they are asked for again, and come out the same. What is sent
//! is an intent like any other. A game is played to its end, also when its deal has closed: then
//! there is its bond to win.

use std::collections::BTreeSet;

use rialto_protocol::{
    DealId, GameId,
    court::{Answer, GameNews, GameStory, Question, Searches},
    types::struct_hash,
};

use super::{
    Call, Core, DealRow, Effect, OnChain, ProviderEvent, Refusal, chain::CLOCK_SKEW_SECONDS,
    record::Action, reruns::TaskId,
};

/// Our turns, by game and turn; `Nothing`: we are in the wrong, and have lost.
pub(super) type Answers = Searches<(GameId, u8), Answer>;

impl Core {
    /// Whether it is our turn in a game, and there is still something to be said.
    pub(super) fn owes(&self, id: GameId, game: &GameStory) -> bool {
        let lost = self.games.found(&(id, game.view.turn())) == Some(&Answer::Nothing);
        !game.view.accusers_turn && self.now < game.view.deadline && !lost
    }

    /// Whether a game is not over for us: we can answer, or win by time.
    fn undecided(&self, id: GameId, game: &GameStory) -> bool {
        game.end.is_none() && (game.view.accusers_turn || self.owes(id, game))
    }

    /// Whether a deal has such a game: everything of it is needed.
    pub(super) fn plays(&self, row: &DealRow) -> bool {
        row.chain().open_games().any(|(id, game)| self.undecided(*id, game))
    }

    fn open_games(&self) -> impl Iterator<Item = (&GameId, &GameStory)> {
        self.deals.values().flat_map(|row| row.chain().open_games())
    }

    /// Has answers found where it is our turn.
    pub(super) fn defend(&mut self) {
        let due = |(id, game): &(&GameId, &GameStory)| {
            self.games.due(&(**id, game.view.turn()), self.now) && self.owes(**id, game)
        };
        let mut views: Vec<_> =
            self.open_games().filter(due).map(|(id, game)| (*id, game.view.clone())).collect();
        views.sort_by_key(|(id, view)| (view.deadline, *id));
        for (id, view) in views {
            if let Some(work) = self.work(view.receipt.order) {
                self.games.ask((id, view.turn()));
                self.effects.push(Effect::Play { work, view: Box::new(view) });
            }
        }
    }

    /// Whether some answer is being looked for.
    pub(super) fn answering(&self) -> bool {
        self.open_games().any(|(id, game)| self.games.asked(&(*id, game.view.turn())))
    }

    /// Tasks that are being traced for games.
    pub(super) fn traced_tasks(&self) -> usize {
        let asked =
            self.open_games().filter(|(id, game)| self.games.asked(&(**id, game.view.turn())));
        asked.filter_map(|(_, game)| task_of(game)).collect::<BTreeSet<_>>().len()
    }

    pub(super) fn played(&mut self, game: GameId, turn: u8, result: Result<Answer, Refusal>) {
        self.games.answer(&(game, turn), self.now, result.ok());
        let deal = self
            .deals
            .iter()
            .find(|(_, row)| row.chain().games.contains_key(&game))
            .map(|(id, _)| *id);
        self.changed.deals.extend(deal);
    }

    /// What open games ask of us now, the earliest deadline first.
    pub(super) fn wanted_in_games(&self, row: &DealRow, chain: &OnChain) -> Vec<(Action, Call)> {
        let mut games: Vec<_> = chain.open_games().collect();
        games.sort_by_key(|(id, game)| (game.view.deadline, **id));
        let wanted = games.into_iter().filter_map(|(id, game)| {
            let (deal, view) = (Box::new(row.deal.clone()), &game.view);
            if view.accusers_turn {
                let late = self.now >= view.deadline.saturating_add(CLOCK_SKEW_SECONDS);
                let call = Call::Timeout { deal, game: Box::new(view.game.clone()) };
                return late.then_some((Action::Timeout { game: *id }, call));
            }
            let answer = self.games.found(&(*id, view.turn()))?;
            if *answer == Answer::Nothing || !self.owes(*id, game) {
                return None;
            }
            let order = Box::new(self.orders.get(&view.receipt.order)?.order.value.clone());
            let call = Call::Play {
                deal,
                order,
                view: Box::new(view.clone()),
                answer: Box::new(answer.clone()),
            };
            Some((Action::Play { game: *id, turn: view.turn() }, call))
        });
        wanted.collect()
    }

    /// Tells what happened, after it was learned.
    pub(super) fn tell_game(&mut self, deal: DealId, news: &GameNews) {
        let Some(row) = self.deals.get(&deal) else { return };
        let collateral = row.deal.collateral;
        let event = match news {
            GameNews::Accused(view) => ProviderEvent::Accused {
                deal,
                game: struct_hash(&view.game),
                order: view.receipt.order,
                until: view.deadline,
            },
            GameNews::Unfolded { game, .. }
            | GameNews::Picked { game, .. }
            | GameNews::Challenged { game, .. }
            | GameNews::Moved { game, .. } => {
                let Some(view) = row.chain().games.get(game).map(|story| &story.view) else {
                    return;
                };
                let (turn, task, until) = (view.turn(), view.question.task(), view.deadline);
                ProviderEvent::GameMoved { game: *game, turn, task, until }
            }
            GameNews::Stepped { .. } => return,
            GameNews::Convicted { receipt, fault } => ProviderEvent::Convicted {
                deal,
                receipt: *receipt,
                fault: *fault,
                lost: collateral,
            },
            GameNews::Ended { game, verdict } => {
                self.game_ended(deal, *game);
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

    fn game_ended(&mut self, deal: DealId, game: GameId) {
        self.games.keep(|(known, _)| *known != game);
        let Some(row) = self.deals.get(&deal) else { return };
        let task = row.chain().games.get(&game).and_then(task_of);
        let others = |task: &TaskId| {
            row.chain().open_games().any(|(_, other)| task_of(other).as_ref() == Some(task))
        };
        if let Some((order, task)) = task.filter(|task| !others(task)) {
            self.effects.push(Effect::ForgetTrace { order, task });
        }
        self.release_if_over(deal);
    }
}

/// The task that a game has come down to.
fn task_of(game: &GameStory) -> Option<TaskId> {
    match &game.view.question {
        Question::Run { task, .. } => Some((game.view.receipt.order, *task)),
        Question::Node { .. } | Question::Nodes { .. } => None,
    }
}
