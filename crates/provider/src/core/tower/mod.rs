//! A watchtower, without IO: defends receipts of providers that sleep, and takes wrong ones to
//! court.
//!
//! It holds dossiers by name only; what is in them the shell reads when it is needed. What is due
//! follows from the chain's facts and the dossiers alone, so nothing is kept over a restart but
//! what was handed to the sender, under names that are always the same. The earliest deadline comes
//! first. Where the provider could still act itself, it gets a part of the time to do so.

mod event;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{
    DealId, GameId, OrderId,
    court::{Answer, BOUNTY_BPS, COMPENSATION_BPS, GameNews, GameStory, Question, Searches},
    pricing::share,
    types::{Deal, struct_hash},
};

use super::{
    chain::CLOCK_SKEW_SECONDS,
    event::Outcome,
    facts::{Fact, Facts, OnChain, What},
};

pub use event::{Deed, Held, TowerEffect, TowerEvent, TowerInput, Unable};

/// A whole, in per cent.
const WHOLE: u64 = 100;
/// An accuser whose time is up is left to the provider for so long.
const TIMEOUT_PATIENCE_SECONDS: u64 = 30;
/// A mined transaction whose event does not come, or is taken back, is sent again after so long.
const EVENT_PATIENCE_SECONDS: u64 = 120;
/// First pause after a transaction that failed; doubles with every one.
const RETRY_SECONDS: u64 = 5;
/// Longest such pause.
const MAX_RETRY_SECONDS: u64 = 60;
/// Reverts in a row after which people are told.
const TOLD_REVERTS: u32 = 3;
/// An audit that could not be done here is tried again after so long.
const AUDIT_RETRY_SECONDS: u64 = 300;
/// Deals without a dossier whose facts are kept, for dossiers that come later.
const MAX_STRANGE_DEALS: usize = 50_000;

/// What a tower does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TowerRules {
    /// Its account.
    pub account: Address,
    /// Whether it defends what its dossiers are of.
    pub defends: bool,
    /// Whether it runs their tasks again, and accuses.
    pub audits: bool,
    /// Whether an audit only tells what it would do.
    pub looks_only: bool,
    /// How much of the provider's time it waits for the provider, per cent.
    pub after: u64,
    /// Expiry and this: after it nothing new is opened against a deal without claims, seconds.
    pub grace_seconds: u64,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Duty {
    Answer { order: OrderId },
    Excuse { order: OrderId },
    Reveal { order: OrderId, task: u32 },
    Turn { game: GameId, turn: u8 },
    Timeout { game: GameId },
    Accuse { order: OrderId },
}

struct Due {
    duty: Duty,
    deal: DealId,
    order: OrderId,
    /// Unix seconds.
    deadline: u64,
    /// Whether the provider may do it itself first.
    shared: bool,
    /// What to send, if that is known.
    deed: Option<Deed>,
}

/// Where a transaction stands.
enum Try {
    Sent,
    Again(u64),
}

struct Tries {
    state: Try,
    count: u32,
    reverted: u32,
}

#[derive(Default)]
struct Row {
    deal: Option<Deal>,
    facts: Facts,
    orders: BTreeSet<OrderId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Audit {
    Due,
    Asked,
    Right,
    Wrong,
    Again(u64),
}

struct Known {
    held: Held,
    audit: Audit,
}

/// One tower.
pub struct Tower {
    rules: TowerRules,
    now: u64,
    caught_up: bool,
    deals: BTreeMap<DealId, Row>,
    held: BTreeMap<OrderId, Known>,
    authority: BTreeMap<(Address, Address), u64>,
    /// When a duty was first seen.
    seen: BTreeMap<Duty, u64>,
    tries: BTreeMap<Duty, Tries>,
    intents: BTreeMap<String, (Duty, DealId, OrderId)>,
    answers: Searches<(GameId, u8), Answer>,
    told: BTreeSet<(GameId, u8)>,
    effects: Vec<TowerEffect>,
}

impl Tower {
    /// A tower that knows nothing yet.
    pub fn new(rules: TowerRules) -> Self {
        Self {
            rules,
            now: 0,
            caught_up: false,
            deals: BTreeMap::new(),
            held: BTreeMap::new(),
            authority: BTreeMap::new(),
            seen: BTreeMap::new(),
            tries: BTreeMap::new(),
            intents: BTreeMap::new(),
            answers: Searches::default(),
            told: BTreeSet::new(),
            effects: Vec::new(),
        }
    }

    /// Takes one event in and says what to do about it, in order. `now`: unix seconds.
    pub fn handle(&mut self, now: u64, input: TowerInput) -> Vec<TowerEffect> {
        self.now = self.now.max(now);
        match input {
            TowerInput::Started { from_block } => {
                self.caught_up = false;
                for row in self.deals.values_mut() {
                    row.facts.remove(|at| at.block >= from_block);
                }
            }
            TowerInput::Tick => {}
            TowerInput::Chain { removed, added, caught_up } => {
                for at in removed {
                    for row in self.deals.values_mut() {
                        row.facts.remove(|known| *known == at);
                    }
                }
                added.into_iter().for_each(|fact| self.learn(fact));
                self.caught_up |= caught_up;
                self.forget_strangers();
            }
            TowerInput::Held(held) => self.hold(*held),
            TowerInput::Dropped(order) => self.drop_order(order),
            TowerInput::Authority { court, provider, until } => {
                self.authority.insert((court, provider), until);
            }
            TowerInput::Played { game, turn, result } => {
                if let Err(why) = &result {
                    let order =
                        self.story(game).map(|story| story.view.game.order).unwrap_or_default();
                    let event =
                        TowerEvent::ActionFails { what: "turn", order, why: why.clone().into() };
                    self.effects.push(TowerEffect::Tell(event));
                }
                self.answers.answer(&(game, turn), self.now, result.ok());
            }
            TowerInput::Audited { order, result } => self.audited(order, result),
            TowerInput::Acted { intent, outcome, why } => self.acted(&intent, outcome, why),
        }
        if self.caught_up {
            self.tend_audits();
            self.tend();
        }
        std::mem::take(&mut self.effects)
    }

    /// Whether a deal's facts were told.
    pub fn knows(&self, deal: DealId) -> bool {
        self.deals.get(&deal).is_some_and(|row| !row.facts.is_empty())
    }

    /// Whether a deal has closed and no game about it goes on: its dossiers are not needed.
    pub fn is_over(&self, deal: DealId) -> bool {
        self.deals.get(&deal).is_some_and(|row| {
            row.facts.chain().closed && row.facts.chain().open_games().next().is_none()
        })
    }

    /// Whether nothing is to be done, or looked into, before the chain says more.
    pub fn idle(&self) -> bool {
        let auditing = self.rules.audits
            && self.held.values().any(|known| known.audit == Audit::Asked || self.audits(known));
        self.caught_up && !auditing && self.due().is_empty() && !self.any_game()
    }

    /// Whether some receipt was found wrong.
    pub fn found_wrong(&self) -> bool {
        self.held.values().any(|known| known.audit == Audit::Wrong)
    }

    fn any_game(&self) -> bool {
        self.deals.values().any(|row| {
            row.facts.chain().open_games().any(|(_, story)| self.side(row, story).is_some())
        })
    }

    fn hold(&mut self, held: Held) {
        let (order, id) = (held.order, struct_hash(&held.deal));
        let row = self.deals.entry(id).or_default();
        row.deal = Some(held.deal.clone());
        row.orders.insert(order);
        let audit = match (held.audited, self.held.get(&order)) {
            (_, Some(known)) if known.held.receipt == held.receipt => known.audit,
            (Some(true), _) => Audit::Right,
            _ => Audit::Due,
        };
        self.held.insert(order, Known { held, audit });
    }

    fn drop_order(&mut self, order: OrderId) {
        let Some(known) = self.held.remove(&order) else { return };
        if let Some(row) = self.deals.get_mut(&struct_hash(&known.held.deal)) {
            row.orders.remove(&order);
        }
    }

    fn story(&self, game: GameId) -> Option<&GameStory> {
        self.deals.values().find_map(|row| row.facts.chain().games.get(&game))
    }

    fn learn(&mut self, fact: Fact) {
        let (id, what) = (fact.deal, fact.what.clone());
        if let What::Opened(deal) = &what {
            if struct_hash(&**deal) != id {
                return;
            }
            self.deals.entry(id).or_default().deal = Some((**deal).clone());
        }
        let Some(row) = self.deals.get_mut(&id) else { return };
        if !row.facts.add(fact) {
            return;
        }
        let What::Game(news) = what else { return };
        self.tell_game(id, &news);
    }

    /// Facts of deals that nobody brought a dossier of are kept as long as the deal is open, and
    /// not without end.
    fn forget_strangers(&mut self) {
        self.deals.retain(|_, row| !row.orders.is_empty() || !row.facts.chain().closed);
        while self.deals.len() > MAX_STRANGE_DEALS + self.held.len() {
            let Some(id) =
                self.deals.iter().find(|(_, row)| row.orders.is_empty()).map(|(id, _)| *id)
            else {
                return;
            };
            self.deals.remove(&id);
        }
    }

    fn tell(&mut self, event: TowerEvent) {
        self.effects.push(TowerEffect::Tell(event));
    }

    /// Which side of a game this tower plays: the accuser's (`true`), the provider's, or none.
    fn side(&self, row: &Row, story: &GameStory) -> Option<bool> {
        let game = &story.view.game;
        let known =
            self.held.get(&game.order).filter(|known| known.held.receipt == Some(game.receipt))?;
        if !row.orders.contains(&known.held.order) {
            return None;
        }
        if game.accuser == self.rules.account {
            return (self.rules.audits && known.audit == Audit::Wrong).then_some(true);
        }
        self.rules.defends.then_some(false)
    }

    fn tell_game(&mut self, id: DealId, news: &GameNews) {
        let Some(row) = self.deals.get(&id) else { return };
        let me = self.rules.account;
        match news {
            GameNews::Accused(view) if view.game.accuser == me => {
                let (game, order, bond) =
                    (struct_hash(&view.game), view.game.order, view.game.bond);
                self.tell(TowerEvent::Accused { deal: id, game, order, bond });
            }
            GameNews::Ended { game, verdict } => {
                let Some(story) = row.facts.chain().games.get(game) else { return };
                let (accusing, view) = (story.view.game.accuser == me, story.view.clone());
                let watched = self.side(row, story).is_some() || accusing;
                let bounty = match &row.deal {
                    Some(deal) if accusing && verdict.slashed => reward(deal, me),
                    _ => 0,
                };
                let shared = |story: &GameStory| {
                    story.view.game.order == view.game.order
                        && story.view.question.task() == view.question.task()
                };
                let last = !row.facts.chain().open_games().any(|(_, story)| shared(story));
                let won = verdict.accuser_won == accusing;
                let received = if accusing { verdict.to_accuser } else { verdict.to_provider };
                self.answers.keep(|(known, _)| known != game);
                self.told.retain(|(known, _)| known != game);
                if let Some(task) = view.question.task().filter(|_| last) {
                    self.effects.push(TowerEffect::ForgetTrace { order: view.game.order, task });
                }
                if watched {
                    self.tell(TowerEvent::GameEnded {
                        deal: id,
                        game: *game,
                        won,
                        received,
                        bounty,
                    });
                }
            }
            GameNews::Convicted { receipt, fault } => {
                let ours = |order: &OrderId| {
                    self.held.get(order).is_some_and(|known| known.held.receipt == Some(*receipt))
                };
                if row.orders.iter().any(ours) {
                    self.tell(TowerEvent::Convicted { deal: id, receipt: *receipt, fault: *fault });
                }
            }
            _ => {}
        }
    }

    /// Whether an order is to be run again.
    fn audits(&self, known: &Known) -> bool {
        let accused = |story: &GameStory| {
            story.view.game.accuser == self.rules.account
                && Some(story.view.game.receipt) == known.held.receipt
        };
        // A game that was begun before a restart is played on, also when its deal has closed.
        let open = self.deals.get(&struct_hash(&known.held.deal)).is_some_and(|row| {
            let chain = row.facts.chain();
            chain.open || chain.open_games().any(|(_, story)| accused(story))
        });
        let due = match known.audit {
            Audit::Due => true,
            Audit::Again(at) => self.now >= at,
            Audit::Asked | Audit::Right | Audit::Wrong => false,
        };
        self.rules.audits && open && due && known.held.receipt.is_some()
    }

    /// One order at a time, of the deal that ends first.
    fn tend_audits(&mut self) {
        if !self.rules.audits || self.held.values().any(|known| known.audit == Audit::Asked) {
            return;
        }
        let due = self.held.values().filter(|known| self.audits(known));
        let first = due
            .min_by_key(|known| (known.held.deal.expiry, known.held.order))
            .map(|known| known.held.order);
        if let Some(known) = first.and_then(|order| self.held.get_mut(&order)) {
            known.audit = Audit::Asked;
            self.effects.push(TowerEffect::Audit { order: known.held.order });
        }
    }

    fn audited(&mut self, order: OrderId, result: Result<bool, String>) {
        let now = self.now;
        let Some(known) = self.held.get_mut(&order) else { return };
        let deal = struct_hash(&known.held.deal);
        match result {
            Ok(right) => {
                known.audit = if right { Audit::Right } else { Audit::Wrong };
                self.tell(TowerEvent::Audited { deal, order, right });
            }
            Err(why) => {
                known.audit = Audit::Again(now.saturating_add(AUDIT_RETRY_SECONDS));
                self.tell(TowerEvent::AuditFails { order, why });
            }
        }
    }

    /// Everything that is due, the earliest deadline first.
    fn due(&self) -> Vec<Due> {
        let mut due = Vec::new();
        for (id, row) in self.deals.iter().filter(|(_, row)| !row.orders.is_empty()) {
            let chain = row.facts.chain();
            if chain.open && self.rules.defends {
                due.extend(self.due_in_cases(*id, row, chain));
            }
            for (game, story) in chain.open_games() {
                due.extend(self.due_in_game(*id, row, *game, story));
            }
            if chain.open && self.rules.audits && !self.rules.looks_only {
                due.extend(self.due_accusations(*id, row, chain));
            }
        }
        due.sort_by(|a, b| (a.deadline, &a.duty).cmp(&(b.deadline, &b.duty)));
        due
    }

    fn due_in_cases(&self, id: DealId, row: &Row, chain: &OnChain) -> Vec<Due> {
        let mut due = Vec::new();
        for (case, state) in &chain.cases {
            // What is below the watermark is void: nobody has to answer.
            if self.now >= state.deadline || state.seq < chain.orders {
                continue;
            }
            let found = match case {
                CaseId::Late { order } => self.held.get(order).and_then(|known| {
                    let order = known.held.order;
                    match known.held.receipt {
                        Some(_) => Some((Duty::Answer { order }, Deed::Answer { order })),
                        None => known
                            .held
                            .cancelled
                            .then_some((Duty::Excuse { order }, Deed::Excuse { order })),
                    }
                }),
                CaseId::Demand { receipt, task } => {
                    let of = |order: &&OrderId| {
                        self.held
                            .get(*order)
                            .is_some_and(|known| known.held.receipt == Some(*receipt))
                    };
                    let (order, task) = (row.orders.iter().find(of).copied(), *task);
                    order.map(|order| (Duty::Reveal { order, task }, Deed::Reveal { order, task }))
                }
                CaseId::Claim { .. } | CaseId::Hold { .. } => None,
            };
            let Some((duty, deed)) = found else { continue };
            let order = match &duty {
                Duty::Answer { order } | Duty::Excuse { order } | Duty::Reveal { order, .. } => {
                    *order
                }
                _ => continue,
            };
            if row.orders.contains(&order) {
                due.push(Due {
                    duty,
                    deal: id,
                    order,
                    deadline: state.deadline,
                    shared: true,
                    deed: Some(deed),
                });
            }
        }
        due
    }

    fn due_in_game(&self, id: DealId, row: &Row, game: GameId, story: &GameStory) -> Option<Due> {
        let accusing = self.side(row, story)?;
        let (view, order) = (&story.view, story.view.game.order);
        if view.accusers_turn != accusing {
            let patience = if accusing { 0 } else { TIMEOUT_PATIENCE_SECONDS };
            let at = view.deadline.saturating_add(CLOCK_SKEW_SECONDS + patience);
            let deed = Deed::Timeout {
                deal: Box::new(row.deal.clone()?),
                game: Box::new(view.game.clone()),
            };
            let due = Due {
                duty: Duty::Timeout { game },
                deal: id,
                order,
                deadline: at,
                shared: false,
                deed: Some(deed),
            };
            return (self.now >= at).then_some(due);
        }
        if self.now >= view.deadline {
            return None;
        }
        let turn = view.turn();
        let answer = self.answers.found(&(game, turn));
        if answer == Some(&Answer::Nothing) {
            return None;
        }
        let deed = answer.map(|answer| Deed::Play {
            order,
            view: Box::new(view.clone()),
            answer: answer.clone(),
        });
        Some(Due {
            duty: Duty::Turn { game, turn },
            deal: id,
            order,
            deadline: view.deadline,
            shared: !accusing,
            deed,
        })
    }

    fn due_accusations(&self, id: DealId, row: &Row, chain: &OnChain) -> Vec<Due> {
        let Some(deal) = row.deal.as_ref().filter(|deal| !deal.court.is_zero()) else {
            return Vec::new();
        };
        let until = deal.expiry.saturating_add(self.rules.grace_seconds);
        let wrong = |order: &&OrderId| {
            let Some(known) = self.held.get(*order).filter(|known| known.audit == Audit::Wrong)
            else {
                return false;
            };
            let mine = |story: &GameStory| {
                story.view.game.accuser == self.rules.account
                    && Some(story.view.game.receipt) == known.held.receipt
            };
            !chain.games.values().any(mine)
        };
        // One conviction ends the deal.
        let first = row
            .orders
            .iter()
            .find(wrong)
            .filter(|_| self.now < until || chain.any_case(&[CaseKind::Claim]));
        let busy =
            chain.open_games().any(|(_, story)| story.view.game.accuser == self.rules.account);
        let due = first.filter(|_| !busy).map(|order| Due {
            duty: Duty::Accuse { order: *order },
            deal: id,
            order: *order,
            deadline: until,
            shared: false,
            deed: Some(Deed::Accuse { order: *order }),
        });
        due.into_iter().collect()
    }

    /// Does what is due, and looks for what to say.
    fn tend(&mut self) {
        let due = self.due();
        self.seen.retain(|duty, _| due.iter().any(|one| one.duty == *duty));
        self.tries.retain(|duty, tries| {
            matches!(tries.state, Try::Sent) || due.iter().any(|one| one.duty == *duty)
        });
        for Due { duty, deal, order, deadline, shared, deed } in due {
            let now = self.now;
            let first = !self.seen.contains_key(&duty);
            let since = *self.seen.entry(duty.clone()).or_insert(now);
            let wait = if shared {
                deadline.saturating_sub(since).saturating_mul(self.rules.after.min(WHOLE)) / WHOLE
            } else {
                0
            };
            // At the very end it would come too late.
            let acts_at = since
                .saturating_add(wait)
                .min(deadline.saturating_sub(CLOCK_SKEW_SECONDS).max(since));
            if first && shared {
                self.tell(TowerEvent::Threatened {
                    deal,
                    order,
                    what: name(&duty),
                    until: deadline,
                    acts_at,
                });
            }
            if let Duty::Turn { game, turn } = duty
                && self.answers.due(&(game, turn), now)
                && let Some(view) = self.story(game).map(|story| story.view.clone())
            {
                self.answers.ask((game, turn));
                self.effects.push(TowerEffect::Play {
                    order,
                    view: Box::new(view),
                    accusing: !shared,
                });
            }
            let Some(deed) = deed.filter(|_| now >= acts_at) else { continue };
            if self.may(&deed) {
                self.act(duty, deal, order, deed);
            } else if let Duty::Turn { game, turn } = duty
                && self.told.insert((game, turn))
                && let Deed::Play { view, .. } = deed
            {
                let provider = view.game.provider;
                let court =
                    self.deals.get(&deal).and_then(|row| row.deal.as_ref()).map(|deal| deal.court);
                let why = format!(
                    "[P-TWR-003] game {game}: a move of {provider} is due, and this tower may not make it"
                );
                self.tell(TowerEvent::Unauthorised {
                    provider,
                    court: court.unwrap_or_default(),
                    why,
                });
            }
        }
        self.tell_hopeless();
    }

    fn tell_hopeless(&mut self) {
        let games = self.deals.values().flat_map(|row| row.facts.chain().open_games());
        let lost = |(id, story): (&GameId, &GameStory)| {
            let turn = (*id, story.view.turn());
            (self.answers.found(&turn) == Some(&Answer::Nothing))
                .then_some((turn, story.view.game.order))
        };
        for (turn, order) in games.filter_map(lost).collect::<Vec<_>>() {
            if self.told.insert(turn) {
                self.tell(TowerEvent::Hopeless { game: turn.0, order });
            }
        }
    }

    /// Whether this account may send it: a move needs the side's leave, everything else is
    /// anybody's.
    fn may(&self, deed: &Deed) -> bool {
        let Deed::Play { view, answer: Answer::Move { .. }, .. } = deed else { return true };
        let Question::Run { .. } = view.question else { return true };
        let (me, game) = (self.rules.account, &view.game);
        let court =
            self.deals.get(&game.deal).and_then(|row| row.deal.as_ref()).map(|deal| deal.court);
        let until = court
            .and_then(|court| self.authority.get(&(court, game.provider)))
            .copied()
            .unwrap_or(0);
        game.accuser == me || game.provider == me || self.now < until
    }

    fn act(&mut self, duty: Duty, deal: DealId, order: OrderId, deed: Deed) {
        let (count, reverted) = match self.tries.get(&duty) {
            None => (0, 0),
            Some(Tries { state: Try::Again(at), count, reverted }) if self.now >= *at => {
                (*count, *reverted)
            }
            Some(_) => return,
        };
        let intent = format!("tower-{}-{count}", intent(&duty));
        self.tries.insert(duty.clone(), Tries { state: Try::Sent, count, reverted });
        self.intents.insert(intent.clone(), (duty, deal, order));
        self.effects.push(TowerEffect::Act { intent, deed: Box::new(deed) });
    }

    fn acted(&mut self, intent: &str, outcome: Outcome, why: Option<Unable>) {
        let Some((duty, deal, order)) = self.intents.remove(intent) else { return };
        let (now, what) = (self.now, name(&duty));
        let Some(tries) = self.tries.get_mut(&duty) else { return };
        let pause = match outcome {
            Outcome::Mined { .. } => {
                (tries.count, tries.reverted) = (tries.count + 1, 0);
                EVENT_PATIENCE_SECONDS
            }
            Outcome::Unsent => RETRY_SECONDS << tries.reverted.min(4),
            Outcome::Reverted => {
                tries.count += 1;
                RETRY_SECONDS << tries.reverted.min(4)
            }
        };
        tries.state = Try::Again(now.saturating_add(if matches!(outcome, Outcome::Mined { .. }) {
            pause
        } else {
            pause.min(MAX_RETRY_SECONDS)
        }));
        if let Outcome::Mined { .. } = outcome {
            return self.tell(TowerEvent::Acted { what, deal, order });
        }
        tries.reverted += 1;
        // A missing bond stays missing until somebody deposits, so people hear of it at once.
        let bond = matches!(why, Some(Unable::Bond(_)));
        if tries.reverted == TOLD_REVERTS || bond && tries.reverted == 1 {
            let why = why.unwrap_or_else(|| "it was refused".to_owned().into());
            self.tell(TowerEvent::ActionFails { what, order, why });
        }
    }
}

/// What `convictor` gets for a conviction in a deal, base units: a stranger its bounty, the
/// requester its compensation.
pub fn reward(deal: &Deal, convictor: Address) -> u128 {
    let bps = if convictor == deal.requester { COMPENSATION_BPS } else { BOUNTY_BPS };
    share(deal.collateral, bps).unwrap_or(0)
}

fn name(duty: &Duty) -> &'static str {
    match duty {
        Duty::Answer { .. } => "answer",
        Duty::Excuse { .. } => "excuse",
        Duty::Reveal { .. } => "reveal",
        Duty::Turn { .. } => "turn",
        Duty::Timeout { .. } => "timeout",
        Duty::Accuse { .. } => "accuse",
    }
}

fn intent(duty: &Duty) -> String {
    let name = name(duty);
    match duty {
        Duty::Answer { order } | Duty::Excuse { order } | Duty::Accuse { order } => {
            format!("{name}-{order}")
        }
        Duty::Reveal { order, task } => format!("{name}-{order}-{task}"),
        Duty::Turn { game, turn } => format!("{name}-{game}-{turn}"),
        Duty::Timeout { game } => format!("{name}-{game}"),
    }
}
