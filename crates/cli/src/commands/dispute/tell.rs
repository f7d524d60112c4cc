//! Games for people and programs: lists, and one move by move.

use std::collections::BTreeMap;

use anyhow::Result;
use rialto_client::{Conviction, GameMove, GameTale, History, Place, Played, view};
use rialto_machine::play::span as steps_of;
use rialto_protocol::{
    Address, B256,
    court::{COMPENSATION_BPS, Question, Verdict},
    pricing::share,
    types::Deal,
};

use crate::{
    transact::Account,
    ui::{Paint, Ui, count, money, short, span, table, time},
};

/// Most games shown to people; all of them in JSON.
const MAX_ROWS: usize = 50;

fn role(tale: &GameTale, account: Address) -> &'static str {
    let game = &tale.story.view.game;
    if game.accuser == account {
        "accuser"
    } else if game.provider == account {
        "provider"
    } else if tale.deal.requester == account {
        "requester"
    } else {
        "neither"
    }
}

fn ended(tale: &GameTale) -> Option<&'static str> {
    tale.story.end.map(|end| match end.verdict {
        Verdict::Step => "by a step",
        Verdict::Timeout => "by time",
        Verdict::Fuel => "by a leaf that contradicts itself",
    })
}

fn winner(tale: &GameTale) -> Option<&'static str> {
    tale.story.end.map(|end| if end.accuser_won { "accuser" } else { "provider" })
}

fn shown(tale: &GameTale, account: Address) -> view::Game {
    let state = &tale.story.view;
    view::Game {
        id: tale.id.into(),
        court: tale.court.into(),
        deal: state.game.deal.into(),
        order: state.game.order.into(),
        receipt: state.game.receipt.into(),
        tasks: state.tasks,
        task: state.question.task(),
        stage: stage(&state.question).to_owned(),
        place: tale.place(),
        requester: tale.deal.requester.into(),
        provider: state.game.provider.into(),
        accuser: state.game.accuser.into(),
        role: role(tale, account).to_owned(),
        open: tale.is_open(),
        turn: tale.turn().map(Into::into),
        deadline: tale.is_open().then_some(state.deadline),
        moves: tale.story.moves,
        bond: state.game.bond,
        collateral: tale.deal.collateral,
        ended: ended(tale).map(str::to_owned),
        winner: winner(tale).map(str::to_owned),
    }
}

/// What a game waits for, or did at its end.
fn stage(question: &Question) -> &'static str {
    match question {
        Question::Node { .. } => "unfold",
        Question::Nodes { .. } => "pick",
        Question::Run { .. } => "run",
    }
}

/// What is in dispute, for people.
fn about(place: Place) -> String {
    match place {
        Place::Tree { height: 0, .. } => "leaves".into(),
        Place::Tree { height, .. } => format!("2^{height} tasks"),
        Place::Run { level, .. } => format!("16^{level} steps"),
    }
}

/// Where a game stands, in a word or two.
pub(super) fn standing(tale: &GameTale, now: u64) -> String {
    let view = &tale.story.view;
    let side = if view.accusers_turn { "accuser" } else { "provider" };
    match (ended(tale), winner(tale)) {
        (Some(how), Some(who)) => format!("ended {how}, won by the {who}"),
        _ if now >= view.deadline => format!("the {side}'s time is up"),
        _ => format!("the {side}'s turn, {} left", span(view.deadline - now)),
    }
}

/// What an account can do about a game.
fn what_to_do(tale: &GameTale, account: Address, now: u64) -> String {
    let (view, id) = (&tale.story.view, format!("{:.10}", tale.id.to_string()));
    if !tale.is_open() {
        "nothing".into()
    } else if now >= view.deadline {
        format!("anybody can end it: rialto dispute timeout {id}")
    } else if view.turn_of(account) {
        format!("answer within {}: rialto dispute move {id}", span(view.deadline - now))
    } else {
        format!("wait: the turn is another's, for at most {}", span(view.deadline - now))
    }
}

/// Lists games.
pub(super) fn list(account: &Account, history: &History, all: bool, ui: Ui) {
    let (own_court, account, now) = (account.market.court, account.address, history.time());
    let mut tales = history.games();
    tales.retain(|tale| match all {
        true => own_court.is_none_or(|court| court == tale.court),
        false => role(tale, account) != "neither",
    });
    tales.reverse();
    let games: Vec<view::Game> = tales.iter().map(|tale| shown(tale, account)).collect();
    let ours = |deal: &Deal| match all {
        true => own_court.is_none_or(|court| court == deal.court),
        false => deal.requester == account || deal.provider == account,
    };
    let convictions: Vec<view::Convicted> = history
        .convictions()
        .into_iter()
        .rev()
        .filter(|one| ours(&one.deal))
        .map(convicted)
        .collect();
    let text = || {
        let games = match tales.as_slice() {
            [] if all => "no game was played before the market's own court".into(),
            [] => format!("no game is about a deal of {account}, or has it for a side"),
            tales => rows(tales, account, now),
        };
        let convictions = convictions.iter().take(MAX_ROWS).map(|one| {
            format!(
                "\nwithout a game: {} signed a receipt with {}; of a collateral of {} the requester got {} (deal {:.10}, transaction {})",
                short(one.provider.0),
                one.fault,
                money(one.collateral),
                money(one.to_requester),
                one.deal.0.to_string(),
                one.tx.0
            )
        });
        games + &convictions.collect::<String>()
    };
    ui.answer_with(
        text,
        &view::GameList { account: account.into(), games, convictions: convictions.clone() },
    );
}

fn convicted(Conviction { id, deal, receipt, fault, tx, block }: Conviction) -> view::Convicted {
    view::Convicted {
        deal: id.into(),
        court: deal.court.into(),
        requester: deal.requester.into(),
        provider: deal.provider.into(),
        receipt: receipt.into(),
        fault,
        collateral: deal.collateral,
        to_requester: share(deal.collateral, COMPENSATION_BPS).unwrap_or(0),
        tx: tx.into(),
        block,
    }
}

fn rows(tales: &[GameTale], account: Address, now: u64) -> String {
    let row = |tale: &GameTale| {
        let view = &tale.story.view;
        vec![
            format!("{:.10}", tale.id.to_string()),
            role(tale, account).into(),
            short(view.game.provider),
            short(view.game.accuser),
            about(tale.place()),
            tale.story.moves.to_string(),
            money(view.game.bond),
            standing(tale, now),
        ]
    };
    let all: Vec<_> = tales.iter().take(MAX_ROWS).map(row).collect();
    let head = ["game", "as", "provider", "accuser", "about", "turns", "bond", "state"];
    let mut text = table(&head, &[1, 4, 7], &all);
    if tales.len() > MAX_ROWS {
        text.push_str(&format!(
            "\n  … and {} more (--output json shows all)",
            tales.len() - MAX_ROWS
        ));
    }
    let ours = tales
        .iter()
        .filter(|tale| tale.turn() == Some(account) && now < tale.story.view.deadline)
        .count();
    if ours > 0 {
        text.push_str(&format!(
            "\n  {ours} wait for this account's answer: rialto dispute move ID"
        ));
    }
    text
}

fn row(tale: &GameTale, played: &GameMove, gas: Option<u64>) -> view::GameTurn {
    let game = &tale.story.view.game;
    let (what, by) = match played.kind {
        Played::Accusation => ("accuse", Some(game.accuser)),
        Played::Unfolded => ("unfold", None),
        Played::Picked => ("pick", Some(game.accuser)),
        Played::Challenge => ("challenge", Some(game.accuser)),
        Played::ByAccuser => ("move", Some(game.accuser)),
        Played::ByProvider => ("move", Some(game.provider)),
        Played::Step => ("step", None),
        Played::Timeout => ("timeout", None),
    };
    let GameMove { place, pick, tx, block, .. } = *played;
    let every = match place {
        Place::Run { level, .. } => Some(steps_of(level.saturating_sub(1))),
        Place::Tree { .. } => None,
    };
    view::GameTurn {
        what: what.to_owned(),
        by: by.map(Into::into),
        place,
        every,
        pick,
        tx: tx.into(),
        block,
        gas,
    }
}

/// Shows a game.
pub(super) async fn show(
    account: &Account,
    history: &History,
    tale: &GameTale,
    ui: Ui,
) -> Result<()> {
    let mut gas: BTreeMap<B256, Option<u64>> = BTreeMap::new();
    for played in &tale.moves {
        gas.insert(played.tx, account.chain.gas_used(played.tx).await?);
    }
    let (account, now) = (account.address, history.time());
    let slashed = tale.story.end.is_some_and(|end| end.slashed);
    let (collateral, end) = (tale.deal.collateral, tale.deal_end.filter(|_| slashed));
    let compensation = if slashed { share(collateral, COMPENSATION_BPS).unwrap_or(0) } else { 0 };
    let whole = view::GameShown {
        game: shown(tale, account),
        played: tale.moves.iter().map(|played| row(tale, played, gas[&played.tx])).collect(),
        step: tale.story.step,
        end: tale.story.end,
        gas: gas.values().flatten().sum(),
        to_requester: end.map_or(0, |end| end.to_requester),
        burned: tale.story.end.map_or(0, |end| end.burned)
            + if slashed { collateral - compensation } else { 0 },
        what_to_do: what_to_do(tale, account, now),
    };
    ui.answer_with(|| sheet(tale, &whole, now), &whole);
    Ok(())
}

/// Where in the receipt, for people.
fn place_of(place: Place) -> String {
    match place {
        Place::Tree { height: 0, place } => format!("leaves, group {}", count(place.into())),
        Place::Tree { height, place } => format!("height {height}, node {}", count(place.into())),
        Place::Run { position, .. } => format!("from step {}", count(position)),
    }
}

fn sheet(tale: &GameTale, whole: &view::GameShown, now: u64) -> String {
    let (paint, view) = (Paint::for_stdout(), &tale.story.view);
    let mut out = vec![format!("{} {}", paint.bold("game"), tale.id)];
    let mut line = |name: &str, text: String| out.push(format!("  {name:<11} {text}"));
    line("state", standing(tale, now));
    line(
        "about",
        match view.question.task() {
            Some(task) => format!(
                "task {task} of the {} of order {}",
                count(view.tasks.into()),
                view.game.order
            ),
            None => format!(
                "one of the {} tasks of order {}",
                count(view.tasks.into()),
                view.game.order
            ),
        },
    );
    line("deal", format!("{} of requester {}", view.game.deal, tale.deal.requester));
    line("provider", view.game.provider.to_string());
    line("accuser", format!("{} with a bond of {}", view.game.accuser, money(view.game.bond)));
    line("court", tale.court.to_string());
    line("began", format!("{} UTC, about receipt {}", time(view.game.openedAt), view.game.receipt));
    if tale.is_open() {
        line("turn until", format!("{} UTC", time(view.deadline)));
    }
    let rows: Vec<Vec<String>> = whole
        .played
        .iter()
        .map(|row| {
            vec![
                row.what.clone(),
                row.by.map_or("anyone".into(), |by| short(by.0)),
                row.pick.map_or("–".into(), |pick| pick.to_string()),
                place_of(row.place),
                row.every.map_or("–".into(), count),
                row.gas.map_or("?".into(), count),
                row.tx.0.to_string(),
            ]
        })
        .collect();
    out.push(table(
        &["what", "by", "pick", "where", "every", "gas", "transaction"],
        &[1, 3, 6],
        &rows,
    ));
    let mut line = |name: &str, text: String| out.push(format!("  {name:<11} {text}"));
    line("gas", format!("{} in all", count(whole.gas)));
    if let Some(step) = &tale.story.step {
        line("judged", format!("step {}", count(step.position)));
        line("  before", step.state.to_string());
        line("  claimed", paint.bad(&step.claimed.to_string()));
        line("  follows", paint.good(&step.next.to_string()));
    }
    if let Some(end) = &tale.story.end {
        let bond = format!(
            "{} to the accuser, {} to the provider, {} burned",
            money(end.to_accuser),
            money(end.to_provider),
            money(end.burned)
        );
        line("bond", bond);
        if end.slashed {
            let lost = money(tale.deal.collateral);
            line(
                "deal",
                format!(
                    "over: of the collateral of {lost} the requester got 70 %, the rest was burned"
                ),
            );
            line(
                "",
                format!(
                    "{} in all went to the requester, with what was left of the budget",
                    money(whole.to_requester)
                ),
            );
        }
    } else {
        line(
            "at stake",
            format!(
                "a bond of {}, a collateral of {}",
                money(view.game.bond),
                money(tale.deal.collateral)
            ),
        );
    }
    line("what to do", whole.what_to_do.clone());
    out.join("\n")
}
