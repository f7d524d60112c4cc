//! Taking wrong receipts to court: accusing, and playing the games that follow (`docs/court.md`).
//!
//! A deal whose provider signed or asserted a wrong receipt stays open until the court has spoken,
//! for a closed one has no collateral left to lose. A receipt that contradicts itself is shown to
//! the court as it is ([`Action::Convict`]). For anything else there is a game. Only what this
//! machine itself finds wrong is accused: it traced a task, or ran all of them. The game leads from
//! the receipt's root to one task, and through its run to one step. What tracing found is lost in a
//! crash, and found again. Every game ends by time alone, and so does the wait. A game goes on
//! after its deal has closed: the bond is at stake.

use std::cmp::Reverse;

use rialto_protocol::case::CaseKind;
use rialto_protocol::{
    B256, Bytes, DealId, GameId, OrderId, ReceiptId,
    court::{
        Answer, BOUNTY_BPS, COMPENSATION_BPS, Challenge, GameNews, GameStory, GameView, Question,
        Searches, Segment,
    },
    pricing::share,
    receipt::{Halted, SumNode, SumTree, unfolded},
    types::struct_hash,
    wire::Signed,
};

use super::{
    Call, Core, Effect, JobEvent, Record,
    cases::{CLOCK_SKEW_SECONDS, intent},
    claims::reveals,
    event::{Accusation, Conviction, Trace, TraceKey, Traced},
    job::Dispute,
    journal::{Action, Batch, Denied, Misstated, OpenDeal, OrderStatus},
};

/// An accusation or conviction that was refused so often is not made, unless something is being
/// claimed: then it is tried as long as the market allows.
const MAX_ACCUSATIONS: u32 = 3;

/// What was found by tracing.
pub(super) type Traces = Searches<TraceKey, Traced>;

/// A receipt to be accused, and what this machine knows to be wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Charge {
    order: OrderId,
    /// Struct hash.
    receipt: ReceiptId,
    /// This task of it; none: all tasks were run here, and the tree is another.
    task: Option<u32>,
    /// Whether that task was not traced yet.
    unproven: bool,
    /// Fuel that the task left: the more, the sooner it is traced.
    fuel_left: i64,
}

impl Core {
    /// Whether a deal waits for the court: an accusation is wanted, or a game under way.
    pub(super) fn disputes(&self, deal: &OpenDeal) -> bool {
        deal.closed.is_none() && (self.wants_court(deal) || self.in_court(deal))
    }

    /// Whether a game that this account began is under way.
    pub(super) fn in_court(&self, deal: &OpenDeal) -> bool {
        self.our_games(deal).next().is_some()
    }

    /// Whether a deal is in court, or will be, as far as that can be known.
    pub(super) fn goes_to_court(&self, deal: &OpenDeal) -> bool {
        let court =
            |action: &Action| matches!(action, Action::Accuse { .. } | Action::Convict { .. });
        let refused =
            deal.actions.iter().any(|(action, tries)| court(action) && *tries >= MAX_ACCUSATIONS);
        self.in_court(deal) || !refused && self.wants_court(deal)
    }

    /// Whether something is to be said in court, now or when the other side has answered: then
    /// somebody has to be here. Games that were begun by hand are known from the chain like all
    /// others.
    pub fn plays(&self) -> bool {
        let lost = |game: &GameStory| game.view.accusers_turn && self.now >= game.view.deadline;
        self.state.deals.values().any(|deal| {
            let goes_on = self.our_games(deal).any(|(_, game)| !lost(game));
            goes_on || deal.closed.is_none() && (self.wants_court(deal) || self.finds_out(deal))
        })
    }

    fn wants_court(&self, deal: &OpenDeal) -> bool {
        self.convictable(deal).is_some() || self.charge(deal).is_some()
    }

    fn our_games<'a>(
        &self,
        deal: &'a OpenDeal,
    ) -> impl Iterator<Item = (&'a GameId, &'a GameStory)> + use<'a> {
        let me = self.config.requester;
        deal.chain.open_games().filter(move |(_, game)| game.view.game.accuser == me)
    }

    /// Whether there is a court to be asked about what a deal's provider signed, and it is worth
    /// it.
    fn worth_a_case(&self, deal: &OpenDeal) -> bool {
        let worth = self.config.dispute_from.is_some_and(|least| self.stake(deal) >= least.max(1));
        worth && deal.closed.is_none() && self.is_judged(deal)
    }

    /// Whether an action is new, or was not refused too often. While something is claimed it is
    /// tried until the market's time for games is over: what is refused for longer is refused for
    /// good, and the deal has to end.
    fn worth_trying(&self, deal: &OpenDeal, action: Action) -> bool {
        let claimed =
            deal.chain.any_open(&[CaseKind::Claim]) && self.now < self.disputes_until(deal);
        deal.actions.get(&action).is_none_or(|tries| claimed || *tries < MAX_ACCUSATIONS)
    }

    /// The receipt that contradicts itself, if the court is to be shown: that takes neither tracing
    /// nor a bond.
    fn convictable<'a>(&self, deal: &'a OpenDeal) -> Option<&'a Misstated> {
        if deal.misstated.is_empty() || !self.worth_a_case(deal) {
            return None;
        }
        deal.misstated.iter().find(|misstated| self.worth_trying(deal, conviction(misstated)))
    }

    /// What is to be accused next in a deal, if the court is to be asked and no game of ours is
    /// under way: one conviction ends the deal. What is claimed comes first, then what is traced
    /// soonest.
    fn charge(&self, deal: &OpenDeal) -> Option<Charge> {
        let suspect = !deal.denied.is_empty() || !deal.wrong.is_empty();
        if !suspect
            || !self.worth_a_case(deal)
            || self.in_court(deal)
            || self.now.saturating_add(CLOCK_SKEW_SECONDS) >= self.disputes_until(deal)
        {
            return None;
        }
        let tried = |charge: &Charge| {
            let us = |game: &GameView| game.game.accuser == self.config.requester;
            let action = Action::Accuse { order: charge.order, receipt: charge.receipt };
            deal.chain
                .games
                .values()
                .any(|story| us(&story.view) && story.view.game.receipt == charge.receipt)
                || !self.worth_trying(deal, action)
        };
        // The one that is under way, or else the one that was refused least often.
        let open = self.charges(deal).filter(|charge| !tried(charge));
        open.min_by_key(|charge| {
            let action = Action::Accuse { order: charge.order, receipt: charge.receipt };
            let tries = deal.actions.get(&action).copied();
            let name = intent(struct_hash(&deal.terms), &action, tries.unwrap_or(0));
            let under_way = matches!(self.sent.get(&name), Some(None));
            let soonest = Reverse(charge.fuel_left);
            (!under_way, tries.unwrap_or(0), tries.is_none(), soonest)
        })
    }

    fn charges<'a>(&'a self, deal: &'a OpenDeal) -> impl Iterator<Item = Charge> + 'a {
        let denied = deal.denied.iter().map(|(receipt, denied)| Charge {
            order: denied.order,
            receipt: *receipt,
            task: denied.task,
            unproven: false,
            fuel_left: i64::MAX,
        });
        denied.chain(self.wrong_tasks(deal))
    }

    /// The wrong tasks of delivered receipts. All of them: while an accusation is under way another
    /// task may turn out to be wrong that is traced sooner, and a deal has the bond of one.
    fn wrong_tasks<'a>(&'a self, deal: &'a OpenDeal) -> impl Iterator<Item = Charge> + 'a {
        deal.wrong.iter().filter_map(|wrong| {
            let (name, task) = self.state.wrong_order(deal, wrong)?;
            let order = self
                .state
                .orders
                .get(&name)
                .filter(|order| self.may_run_here(order) && !order.results.is_empty())?;
            let receipt = struct_hash(&order.receipt.as_ref()?.value);
            let fuel_left = wrong.right.fuel_left;
            let charge =
                Charge { order: name, receipt, task: Some(task), unproven: true, fuel_left };
            (!deal.confirmed.contains(&(name, task))).then_some(charge)
        })
    }

    /// What the court asks of us now; what has to be found out first is asked for.
    pub(super) fn wanted_in_games(&mut self, id: DealId) -> Vec<Action> {
        let mut wanted = Vec::new();
        let deal = &self.state.deals[&id];
        if let Some(misstated) = self.convictable(deal) {
            wanted.push(conviction(misstated));
        } else if let Some(charge) = self.charge(deal) {
            let Charge { order, receipt, task, unproven, fuel_left: _ } = charge;
            let traced = |task| self.traces.found(&TraceKey::Open { order, task }).is_some();
            match task.filter(|task| unproven && !traced(*task)) {
                Some(task) => self.trace_task(order, task),
                None => wanted.push(Action::Accuse { order, receipt }),
            }
        }
        // A stranger's game holds the deal as well, and nobody else may end it when a turn has run
        // out: who accuses may be the accused's own puppet.
        let ours = |view: &GameView| view.game.accuser == self.config.requester;
        let late = |view: &GameView| self.now >= view.deadline.saturating_add(CLOCK_SKEW_SECONDS);
        let strangers =
            self.state.deals[&id].chain.open_games().filter(|(_, story)| !ours(&story.view));
        let left = strangers
            .filter(|(_, story)| self.state.deals[&id].closed.is_none() && late(&story.view));
        wanted.extend(left.map(|(game, _)| Action::Timeout { game: *game }));
        let games: Vec<_> = self
            .our_games(&self.state.deals[&id])
            .map(|(game, story)| (*game, story.view.clone()))
            .collect();
        for (game, view) in games {
            if self.now >= view.deadline.saturating_add(CLOCK_SKEW_SECONDS) {
                wanted.extend((!view.accusers_turn).then_some(Action::Timeout { game }));
                continue;
            }
            if !view.accusers_turn {
                continue;
            }
            match self.turn(id, game, &view) {
                None => self.find_answer(id, game, &view),
                Some(_) => wanted.push(Action::Play { game, turn: view.turn() }),
            }
        }
        wanted
    }

    /// What is to be said in this turn of ours, from what is known.
    fn turn(&self, id: DealId, game: GameId, view: &GameView) -> Option<Answer> {
        match &view.question {
            Question::Node { .. } => None,
            Question::Run { .. } => match self
                .traces
                .found(&TraceKey::Answer { game, turn: view.turn() })
            {
                Some(Traced::Answer(answer)) if *answer != Answer::Nothing => Some(answer.clone()),
                _ => None,
            },
            Question::Nodes { height: 0, place, nodes } => {
                let leaf = self.wrong_leaf(id, view, *place, nodes)?;
                if let Some(halted) = leaf.wrong_fuel {
                    return Some(Answer::Contradict { index: leaf.index, halted });
                }
                let key = TraceKey::Open { order: view.game.order, task: leaf.task };
                let Some(Traced::First(first)) = self.traces.found(&key) else { return None };
                let shown = nodes.get(leaf.index as usize).map(|node| node.hash);
                if shown == first.states.last().copied() {
                    return None;
                }
                Some(Answer::Challenge(Box::new(Challenge {
                    index: leaf.index,
                    input: first.input,
                    input_proof: first.input_proof.clone(),
                    parts: first.parts.clone(),
                    states: first.states.clone(),
                })))
            }
            Question::Nodes { height, place, nodes } => self
                .wrong_node(id, view, *height, *place, nodes)
                .map(|index| Answer::Pick { index }),
        }
    }

    /// A turn of ours in which nothing can be said yet: what is missing is found out.
    fn find_answer(&mut self, id: DealId, game: GameId, view: &GameView) {
        let order = view.game.order;
        match &view.question {
            Question::Node { .. } => {}
            Question::Run { task, level, position, segment, .. } => {
                let key = TraceKey::Answer { game, turn: view.turn() };
                self.trace(key, order, *task, Some((*level, *position, segment.clone())));
            }
            Question::Nodes { height: 0, place, nodes } => {
                match self.wrong_leaf(id, view, *place, nodes) {
                    Some(leaf) => self.trace_task(order, leaf.task),
                    None => self.run_all(order),
                }
            }
            Question::Nodes { .. } => self.run_all(order),
        }
    }

    /// A task of a game's receipt that is known to be wrong.
    fn known_wrong(&self, id: DealId, view: &GameView) -> Option<u32> {
        let deal = self.state.deals.get(&id)?;
        let order = self.state.orders.get(&view.game.order)?;
        let denied = deal.denied.get(&view.game.receipt).and_then(|denied| denied.task);
        denied.or_else(|| {
            let delivered =
                order.receipt.as_ref().is_some_and(|receipt| receipt.value == view.receipt);
            let wrong = deal.wrong.iter().filter_map(|wrong| self.state.wrong_order(deal, wrong));
            let mut wrong = wrong.filter(|(name, task)| {
                *name == view.game.order && !deal.confirmed.contains(&(*name, *task))
            });
            // The one that was traced before, if any was.
            let traced = |task: u32| {
                self.traces.found(&TraceKey::Open { order: view.game.order, task }).is_some()
            };
            let first = wrong.clone().find(|(_, task)| traced(*task)).or_else(|| wrong.next());
            first.filter(|_| delivered).map(|(_, task)| task)
        })
    }

    /// Every task's end and the tree over them, if this machine has run the whole order.
    fn own_tree(&self, view: &GameView) -> Option<(Vec<Halted>, SumTree)> {
        let order = self.state.orders.get(&view.game.order)?;
        let own = self.batch_of(order).and_then(Batch::own_results)?;
        let tree = SumTree::over(&own, order.order.fuelLimit);
        Some((own, tree))
    }

    /// Which of the nodes that the provider showed is wrong: over the task that is known to be, or
    /// the first that is not as here.
    fn wrong_node(
        &self,
        id: DealId,
        view: &GameView,
        height: u8,
        place: u32,
        nodes: &[SumNode],
    ) -> Option<u32> {
        let levels = nodes.len().checked_ilog2()?;
        if let Some(task) = self.known_wrong(id, view) {
            let index = task.checked_shr(height.into())?.checked_sub(place.checked_shl(levels)?)?;
            return ((index as usize) < nodes.len()).then_some(index);
        }
        let (_, tree) = self.own_tree(view)?;
        tree.first_difference(u32::from(height) + levels, place, nodes)
    }

    /// The same of leaves. One that only has other fuel than its end used comes first: that ends
    /// the game at once.
    fn wrong_leaf(
        &self,
        id: DealId,
        view: &GameView,
        place: u32,
        nodes: &[SumNode],
    ) -> Option<WrongLeaf> {
        let first = place.checked_mul(nodes.len() as u32)?;
        if self.known_wrong(id, view).is_some() {
            let index = self.wrong_node(id, view, 0, place, nodes)?;
            return Some(WrongLeaf { index, task: first.checked_add(index)?, wrong_fuel: None });
        }
        let (own, tree) = self.own_tree(view)?;
        let levels = nodes.len().checked_ilog2()?;
        debug_assert_eq!(levels, unfolded(levels));
        let ours = tree.unfold(levels, place)?;
        let differ =
            || (0u32..).zip(ours.iter().zip(nodes)).filter(|(_, (ours, theirs))| ours != theirs);
        let fuels = differ().find(|(_, (ours, theirs))| ours.hash == theirs.hash);
        let (index, (ours, theirs)) = fuels.or_else(|| differ().next())?;
        let task = first.checked_add(index)?;
        let halted = *own.get(task as usize)?;
        let wrong_fuel = (ours.hash == theirs.hash).then_some(halted);
        Some(WrongLeaf { index, task, wrong_fuel })
    }

    /// Traces a task for a challenge, unless that is known or under way.
    pub(super) fn trace_task(&mut self, order: OrderId, task: u32) {
        self.trace(TraceKey::Open { order, task }, order, task, None);
    }

    fn trace(
        &mut self,
        key: TraceKey,
        order: OrderId,
        task: u32,
        segment: Option<(u8, u64, Box<Segment>)>,
    ) {
        if !self.traces.due(&key, self.now) {
            return;
        }
        let Some(known) = self.state.orders.get(&order).filter(|known| self.may_run_here(known))
        else {
            return;
        };
        let Some(first) = self.state.first_task(known).filter(|_| task < known.order.tasks) else {
            return;
        };
        let trace = Trace { key, job: known.job, order: known.order.clone(), first, task, segment };
        self.traces.ask(key);
        self.effects.push(Effect::Trace(Box::new(trace)));
    }

    pub(super) fn traced(&mut self, key: TraceKey, result: Result<Traced, String>) {
        if !self.traces.asked(&key) {
            return;
        }
        if let Err(why) = &result {
            let job = self
                .state
                .deals
                .values()
                .find(|deal| self.disputes(deal) || self.finds_out(deal))
                .map(|deal| deal.job);
            if let Some(job) = job {
                self.note(
                    job,
                    "R-GAME-002",
                    format!("a task could not be traced, and is tried again: {why}"),
                );
            }
        }
        self.traces.answer(&key, self.now, result.as_ref().ok().cloned());
        if let (TraceKey::Open { order, task }, Ok(Traced::First(first))) = (key, &result)
            && let Some(end) = first.states.last()
        {
            self.traced_to(order, task, *end);
        }
    }

    /// This machine knows how a task ends: what the provider said of it is that, or wrong.
    fn traced_to(&mut self, order: OrderId, task: u32, end: B256) {
        let Some(known) = self.state.orders.get(&order) else { return };
        let (id, job) = (known.order.deal, known.job);
        let Some(deal) = self.state.deals.get(&id) else { return };
        let delivered =
            known.results.get(task as usize).filter(|_| known.status == OrderStatus::Wrong);
        if delivered.is_some_and(|theirs| theirs.hash() == end)
            && !deal.confirmed.contains(&(order, task))
        {
            self.record(Record::Confirmed { deal: id, order, task });
            let text = format!(
                "tracing task {task} of order {order} gives what the provider signed: not accused"
            );
            return self.note(job, "R-GAME-001", text);
        }
        let claims = deal
            .chain
            .cases
            .values()
            .filter_map(|case| case.receipt.as_ref())
            .filter(|said| said.order == order);
        let wrong = claims.into_iter().find(|receipt| {
            let shown = |(at, halted): (u32, Halted)| at == task && halted.hash() != end;
            let receipt = struct_hash(*receipt);
            !deal.denied.contains_key(&receipt) && reveals(deal, receipt).any(shown)
        });
        if let Some(receipt) = wrong.cloned() {
            self.found_false(Denied { order, receipt, task: Some(task) });
        }
    }

    /// The call of an action in court, from what is known.
    pub(super) fn court_call(&self, id: DealId, deal: &OpenDeal, action: Action) -> Option<Call> {
        let terms = deal.terms.clone();
        Some(match action {
            Action::Accuse { order: name, receipt } => {
                let order = self.state.orders.get(&name)?;
                let delivered = order
                    .receipt
                    .as_ref()
                    .filter(|delivered| struct_hash(&delivered.value) == receipt);
                let denied = || {
                    let value = deal.denied.get(&receipt)?.receipt.clone();
                    Some(Signed { value, signature: Bytes::new() })
                };
                let receipt = delivered.cloned().or_else(denied)?;
                Call::Accuse(Box::new(Accusation {
                    deal: terms,
                    order: order.order.clone(),
                    receipt,
                }))
            }
            Action::Play { game, turn } => {
                let view = deal
                    .chain
                    .games
                    .get(&game)
                    .map(|story| &story.view)
                    .filter(|view| view.turn() == turn)?;
                let order = self.state.orders.get(&view.game.order)?.order.clone();
                let answer = self.turn(id, game, view)?;
                Call::Play {
                    deal: terms,
                    order: Box::new(order),
                    view: Box::new(view.clone()),
                    answer: Box::new(answer),
                }
            }
            Action::Convict { order, receipt } => {
                let misstated = deal.misstated.iter().find(|misstated| {
                    misstated.order == order && struct_hash(&misstated.receipt.value) == receipt
                })?;
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

    /// An accusation that can't be made: the deal goes its way without it, unless something is
    /// claimed.
    pub(super) fn tell_given_up(&mut self, id: DealId, action: Action) {
        let Some(deal) = self.state.deals.get(&id) else { return };
        let spent = deal.actions.get(&action) == Some(&MAX_ACCUSATIONS);
        if matches!(action, Action::Accuse { .. } | Action::Convict { .. }) && spent {
            let (job, provider) = (deal.job, deal.provider());
            let text = if deal.chain.any_open(&[CaseKind::Claim]) {
                format!(
                    "{provider} could not be accused so far; it is tried as long as the market allows"
                )
            } else {
                format!("{provider} could not be accused; it is not paid, and keeps its collateral")
            };
            self.note(job, "R-GAME-003", text);
        }
    }

    pub(super) fn tell_game(&mut self, id: DealId, news: &GameNews) {
        let Some(deal) = self.state.deals.get(&id) else { return };
        let (job, provider) = (deal.job, deal.provider());
        let first_of = |order: &OrderId| {
            self.state.orders.get(order).and_then(|order| self.state.first_task(order))
        };
        let event = match news {
            GameNews::Accused(view) => JobEvent::Accused {
                provider,
                deal: id,
                game: struct_hash(&view.game),
                first: first_of(&view.game.order).unwrap_or_default(),
                count: view.tasks,
                bond: view.game.bond,
            },
            GameNews::Unfolded { game, height, .. } => {
                JobEvent::TreeNarrowed { game: *game, height: *height, ours: false }
            }
            GameNews::Picked { game, height, .. } => {
                JobEvent::TreeNarrowed { game: *game, height: *height, ours: true }
            }
            GameNews::Challenged { game, task, level, .. } => {
                let order = deal.chain.games.get(game).map(|story| story.view.game.order);
                let first = order.and_then(|order| first_of(&order)).unwrap_or_default();
                JobEvent::TaskChallenged {
                    game: *game,
                    task: first.saturating_add(*task),
                    level: *level,
                }
            }
            GameNews::Moved { game, level, position, accusers_turn, .. } => JobEvent::GameMoved {
                game: *game,
                level: *level,
                position: *position,
                ours: !accusers_turn,
            },
            GameNews::Stepped { game, position, claimed, next, .. } => JobEvent::StepJudged {
                game: *game,
                position: *position,
                claimed: *claimed,
                right: *next,
            },
            GameNews::Ended { game, verdict } => {
                if let Some(order) = deal.chain.games.get(game).map(|story| story.view.game.order) {
                    let mut traced = Vec::new();
                    self.traces.keep(|key| match key {
                        TraceKey::Open { order: other, task } if *other == order => {
                            traced.push(*task);
                            false
                        }
                        TraceKey::Answer { game: other, .. } => other != game,
                        TraceKey::Open { .. } => true,
                    });
                    self.effects
                        .extend(traced.into_iter().map(|task| Effect::ForgetTrace { order, task }));
                }
                JobEvent::GameEnded {
                    provider,
                    game: *game,
                    won: verdict.accuser_won,
                    end: *verdict,
                }
            }
            GameNews::Convicted { fault, .. } => {
                let compensation = share(deal.terms.collateral, COMPENSATION_BPS).unwrap_or(0);
                JobEvent::Convicted { provider, deal: id, fault: *fault, compensation }
            }
        };
        self.tell(job, event);
    }

    /// Every game about a deal, for a report.
    pub(super) fn dispute_reports(&self, id: DealId) -> Vec<Dispute> {
        let Some(deal) = self.state.deals.get(&id) else { return Vec::new() };
        let report = |(game, story): (&GameId, &GameStory)| {
            let view = &story.view;
            let first = self
                .state
                .orders
                .get(&view.game.order)
                .and_then(|order| self.state.first_task(order));
            let slashed = story.end.is_some_and(|end| end.slashed);
            let part =
                |bps| if slashed { share(deal.terms.collateral, bps).unwrap_or(0) } else { 0 };
            let stranger = view.game.accuser != deal.terms.requester;
            Dispute {
                game: *game,
                deal: id,
                court: deal.terms.court,
                provider: deal.provider(),
                accuser: view.game.accuser,
                task: view
                    .question
                    .task()
                    .map(|task| first.unwrap_or_default().saturating_add(task)),
                moves: story.moves,
                bond: view.game.bond,
                step: story.step,
                end: story.end,
                compensation: part(COMPENSATION_BPS).saturating_sub(if stranger {
                    part(BOUNTY_BPS)
                } else {
                    0
                }),
                burned: if slashed {
                    deal.terms.collateral.saturating_sub(part(COMPENSATION_BPS))
                } else {
                    0
                },
            }
        };
        deal.chain.games.iter().map(report).collect()
    }
}

/// A leaf of a receipt's tree that is wrong.
struct WrongLeaf {
    /// Among those shown.
    index: u32,
    /// Index in the order.
    task: u32,
    /// The leaf's fuel and the task's end, if it is only the fuel.
    wrong_fuel: Option<Halted>,
}

fn conviction(misstated: &Misstated) -> Action {
    Action::Convict { order: misstated.order, receipt: struct_hash(&misstated.receipt.value) }
}
