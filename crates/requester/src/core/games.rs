//! Taking wrong receipts to court: accusing, and playing the games that follow (`docs/court.md`).
//!
//! A deal whose provider signed a wrong result stays open until the court has spoken, for a closed one has no collateral left to lose.
//! A receipt that contradicts itself is shown to the court as it is ([`Action::Convict`]). For anything else there is a game:
//! first the task is traced here: only what this machine itself finds wrong is accused. What tracing found is lost in a crash, and
//! found again. Every game ends by time alone, and so does the wait.

use rialto_protocol::{
    B256,
    court::{Answer, COMPENSATION_BPS, GameNews, GameStory, Searches},
    pricing::share,
    receipt::SumTree,
    types::struct_hash,
};

use super::{
    Call, Core, Effect, JobEvent, Record,
    cases::CLOCK_SKEW_SECONDS,
    event::{Accusation, Conviction, Trace, TraceKey, Traced},
    job::Dispute,
    journal::{Action, OpenDeal, Standing},
};

/// An accusation or conviction that was refused so often is not made.
const MAX_ACCUSATIONS: u32 = 3;

/// What was found by tracing.
pub(super) type Traces = Searches<TraceKey, Traced>;

impl Core {
    /// Whether a deal waits for the court: an accusation is wanted, or a game under way.
    pub(super) fn disputes(&self, deal: &OpenDeal) -> bool {
        deal.closed.is_none() && (self.wants_court(deal) || self.our_games(deal).next().is_some())
    }

    /// Whether something is to be said in court, now or when the other side has answered: then somebody has to be here. Games that
    /// were begun by hand are known from the chain like all others.
    pub fn plays(&self) -> bool {
        let lost = |game: &GameStory| game.view.accusers_turn && self.now >= game.view.deadline;
        self.state.deals.values().any(|deal| {
            let goes_on = self.our_games(deal).any(|(_, game)| !lost(game));
            goes_on || deal.closed.is_none() && self.wants_court(deal)
        })
    }

    fn wants_court(&self, deal: &OpenDeal) -> bool {
        self.convictable(deal).is_some() || self.accusable(deal).is_some()
    }

    fn our_games<'a>(&self, deal: &'a OpenDeal) -> impl Iterator<Item = (&'a B256, &'a GameStory)> + use<'a> {
        let me = self.config.requester;
        deal.chain.open_games().filter(move |(_, game)| game.view.game.accuser == me)
    }

    /// Whether there is a court to be asked about what a deal's provider signed, and it is worth it.
    fn worth_a_case(&self, deal: &OpenDeal) -> bool {
        let compensation = share(deal.terms.collateral, COMPENSATION_BPS).unwrap_or(0);
        let worth = self.config.dispute_from.is_some_and(|least| compensation >= least.max(1));
        worth && deal.standing == Standing::Faulty && !deal.terms.court.is_zero() && !deal.undisputed
    }

    /// Whether an action is new, or was not refused too often.
    fn worth_trying(deal: &OpenDeal, action: Action) -> bool {
        deal.actions.get(&action).is_none_or(|tries| *tries < MAX_ACCUSATIONS)
    }

    /// The order whose receipt contradicts itself, if the court is to be shown: that takes neither tracing nor a bond.
    fn convictable(&self, deal: &OpenDeal) -> Option<B256> {
        let order = deal.misstated.as_ref().filter(|_| self.worth_a_case(deal))?.order;
        (deal.closed.is_none() && Self::worth_trying(deal, Action::Convict { order })).then_some(order)
    }

    /// The first wrong task of a provider, if the court is to be asked about it: order, and index within it.
    fn accusable(&self, deal: &OpenDeal) -> Option<(B256, u32)> {
        let constraints = &self.state.jobs.get(&deal.job)?.spec.constraints;
        let asked = deal.chain.games.values().any(|game| game.view.game.accuser == self.config.requester);
        if !self.worth_a_case(deal)
            || asked
            || !constraints.run_locally
            || self.now.saturating_add(CLOCK_SKEW_SECONDS) >= deal.terms.expiry
        {
            return None;
        }
        let (order, task) = self.wrong_task(deal)?;
        Self::worth_trying(deal, Action::Accuse { order, task }).then_some((order, task))
    }

    /// The wrong task of a delivered order that is to be accused: the one that was, or else the shortest, which is traced
    /// soonest. Order, and index within it.
    fn wrong_task(&self, deal: &OpenDeal) -> Option<(B256, u32)> {
        let accused = deal.actions.keys().find_map(|action| match action {
            Action::Accuse { order, task } => Some((*order, *task)),
            _ => None,
        });
        accused.or_else(|| {
            let signed = |name: &B256| {
                let order = &self.state.orders[name];
                order.receipt.is_some() && !order.results.is_empty()
            };
            let wrong = deal.wrong.iter().filter_map(|wrong| {
                let (order, task) = self.state.wrong_order(deal, wrong).filter(|(order, _)| signed(order))?;
                Some((wrong.right.fuel_left, (order, task)))
            });
            wrong.max_by_key(|(fuel_left, _)| *fuel_left).map(|(_, found)| found)
        })
    }

    /// What the court asks of us now; what has to be found out first is asked for.
    pub(super) fn wanted_in_games(&mut self, id: B256) -> Vec<Action> {
        let deal = &self.state.deals[&id];
        let (mut wanted, mut traces) = (Vec::new(), Vec::new());
        if let Some(order) = self.convictable(deal) {
            wanted.push(Action::Convict { order });
        } else if let Some((order, task)) = self.accusable(deal).filter(|_| deal.closed.is_none()) {
            let key = TraceKey::Open { order, task };
            if self.traces.found(&key).is_some() {
                wanted.push(Action::Accuse { order, task });
            } else if self.traces.due(&key, self.now) {
                traces.extend(self.trace(key, order, task, None));
            }
        }
        for (game, story) in self.our_games(deal) {
            let view = &story.view;
            if self.now >= view.deadline.saturating_add(CLOCK_SKEW_SECONDS) {
                wanted.extend((!view.accusers_turn).then_some(Action::Timeout { game: *game }));
                continue;
            }
            if !view.accusers_turn {
                continue;
            }
            let key = TraceKey::Answer { game: *game, level: view.level };
            match self.traces.found(&key) {
                Some(Traced::Answer(Answer::Nothing)) => {}
                Some(_) => wanted.push(Action::Play { game: *game, level: view.level }),
                None if self.traces.due(&key, self.now) => {
                    let segment = Some((view.level, view.position, view.segment.clone()));
                    traces.extend(self.trace(key, view.order, view.game.task, segment));
                }
                None => {}
            }
        }
        for trace in traces {
            self.traces.ask(trace.key);
            self.effects.push(Effect::Trace(Box::new(trace)));
        }
        wanted
    }

    fn trace(
        &self,
        key: TraceKey,
        order: B256,
        task: u32,
        segment: Option<(u8, u64, Box<rialto_protocol::court::Segment>)>,
    ) -> Option<Trace> {
        let known = self.state.orders.get(&order)?;
        let first = self.state.first_task(known)?;
        Some(Trace { key, job: known.job, order: known.order.clone(), first, task, segment })
    }

    pub(super) fn traced(&mut self, key: TraceKey, result: Result<Traced, String>) {
        if !self.traces.asked(&key) {
            return;
        }
        if let (TraceKey::Open { order, task }, Ok(Traced::First(first))) = (key, &result) {
            let known = &self.state.orders[&order];
            let theirs = known.results.get(task as usize).map(|halted| halted.hash());
            if theirs == first.states.last().copied() {
                let (deal, job) = (known.order.deal, known.job);
                self.record(Record::Undisputed { deal });
                let text = format!("tracing task {task} of order {order} gives what the provider signed: not accused");
                return self.note(job, "R-GAME-001", text);
            }
        }
        if let Err(why) = &result {
            let job = self.state.deals.values().find(|deal| self.disputes(deal)).map(|deal| deal.job);
            if let Some(job) = job {
                self.note(job, "R-GAME-002", format!("a task could not be traced, and is tried again: {why}"));
            }
        }
        self.traces.answer(&key, self.now, result.ok());
    }

    /// The call of an action in court, from what is known.
    pub(super) fn court_call(&self, deal: &OpenDeal, action: Action) -> Option<Call> {
        let terms = deal.terms.clone();
        Some(match action {
            Action::Accuse { order: name, task } => {
                let order = self.state.orders.get(&name)?;
                let Traced::First(first) = self.traces.found(&TraceKey::Open { order: name, task })? else {
                    return None;
                };
                let limit = order.order.fuelLimit;
                let leaves = order.results.iter().map(|halted| (halted.hash(), halted.fuel_used(limit)));
                Call::Accuse(Box::new(Accusation {
                    deal: terms,
                    order: order.order.clone(),
                    receipt: order.receipt.clone()?,
                    task,
                    halted: *order.results.get(task as usize)?,
                    proof: SumTree::new(leaves).proof(task)?,
                    first: (**first).clone(),
                }))
            }
            Action::Play { game, level } => {
                let view = &deal.chain.games.get(&game)?.view;
                let Traced::Answer(answer) = self.traces.found(&TraceKey::Answer { game, level })? else {
                    return None;
                };
                Call::Play { deal: terms, view: Box::new(view.clone()), answer: Box::new(answer.clone()) }
            }
            Action::Convict { order } => {
                let misstated = deal.misstated.as_ref().filter(|misstated| misstated.order == order)?;
                Call::Convict(Box::new(Conviction {
                    deal: terms,
                    order: self.state.orders.get(&order)?.order.clone(),
                    receipt: misstated.receipt.clone(),
                    proof: misstated.proof.clone(),
                }))
            }
            Action::Timeout { game } => {
                let view = &deal.chain.games.get(&game)?.view;
                Call::Timeout { deal: terms, game: Box::new(view.game.clone()) }
            }
            _ => return None,
        })
    }

    /// An accusation that can't be made: the deal goes its way without it.
    pub(super) fn give_up_accusing(&mut self, id: B256, action: Action) {
        let deal = &self.state.deals[&id];
        let spent = deal.actions.get(&action).is_some_and(|tries| *tries >= MAX_ACCUSATIONS);
        if matches!(action, Action::Accuse { .. } | Action::Convict { .. }) && spent && !deal.undisputed {
            let (job, provider) = (deal.job, deal.provider());
            self.record(Record::Undisputed { deal: id });
            self.note(
                job,
                "R-GAME-003",
                format!("{provider} could not be accused; it is not paid, and keeps its collateral"),
            );
        }
    }

    pub(super) fn tell_game(&mut self, id: B256, news: &GameNews) {
        let deal = &self.state.deals[&id];
        let (job, provider) = (deal.job, deal.provider());
        let event = match news {
            GameNews::Accused(view) => {
                let order = self.state.orders.get(&view.order);
                let first = order.and_then(|order| self.state.first_task(order)).unwrap_or_default();
                JobEvent::Accused {
                    provider,
                    deal: id,
                    game: struct_hash(&view.game),
                    task: first + view.game.task,
                    level: view.level,
                    bond: view.game.bond,
                }
            }
            GameNews::Moved { game, level, position, accusers_turn, .. } => {
                JobEvent::GameMoved { game: *game, level: *level, position: *position, ours: !accusers_turn }
            }
            GameNews::Stepped { game, position, claimed, next, .. } => {
                JobEvent::StepJudged { game: *game, position: *position, claimed: *claimed, right: *next }
            }
            GameNews::Ended { game, verdict } => {
                if let Some(story) = deal.chain.games.get(game) {
                    let (order, task) = (story.view.order, story.view.game.task);
                    self.effects.push(Effect::ForgetTrace { order, task });
                    self.traces.keep(|key| match key {
                        TraceKey::Open { order: other, task: at } => (*other, *at) != (order, task),
                        TraceKey::Answer { game: other, .. } => other != game,
                    });
                }
                JobEvent::GameEnded { provider, game: *game, won: verdict.accuser_won, end: *verdict }
            }
            GameNews::Convicted { fault, .. } => {
                let compensation = share(deal.terms.collateral, COMPENSATION_BPS).unwrap_or(0);
                JobEvent::Convicted { provider, deal: id, fault: *fault, compensation }
            }
        };
        self.tell(job, event);
    }

    /// Every game about a deal, for a report.
    pub(super) fn dispute_reports(&self, id: B256) -> Vec<Dispute> {
        let deal = &self.state.deals[&id];
        let report = |(game, story): (&B256, &GameStory)| {
            let order = self.state.orders.get(&story.view.order);
            let first = order.and_then(|order| self.state.first_task(order)).unwrap_or_default();
            let slashed = story.end.is_some_and(|end| end.slashed);
            let collateral = if slashed { deal.terms.collateral } else { 0 };
            let compensation = share(collateral, COMPENSATION_BPS).unwrap_or(0);
            Dispute {
                game: *game,
                deal: id,
                court: deal.terms.court,
                provider: deal.provider(),
                accuser: story.view.game.accuser,
                task: first + story.view.game.task,
                moves: story.moves,
                bond: story.view.game.bond,
                step: story.step,
                end: story.end,
                compensation,
                burned: collateral - compensation,
            }
        };
        deal.chain.games.iter().map(report).collect()
    }
}
