//! Answers in games, and ends by time.

use anyhow::{Result, anyhow, bail, ensure};
use rialto_chain::{CourtCall, MarketCall};
use rialto_client::{GameTale, History, JobFolder, Replay, signed_tasks};
use rialto_machine::TaskLimits;
use rialto_protocol::{court::Answer, receipt::task_seed};
use rialto_provider::KeptTask;
use serde_json::json;

use super::{after, find, sender, tell};
use crate::{
    args::Output,
    errand::{self, Errand},
    place::PlaceArgs,
    print::{either, span},
    replay::{bar, task_of},
};

/// Refuses what has ended.
fn open(tale: &GameTale) -> Result<()> {
    ensure!(tale.is_open(), "[C-DSP-012] game {} has ended: `rialto dispute show` tells how", tale.id);
    Ok(())
}

/// Answers for this account.
pub(super) async fn answer(
    errand: &Errand,
    place: &PlaceArgs,
    history: History,
    tale: GameTale,
    explain: bool,
    format: Output,
) -> Result<()> {
    open(&tale)?;
    let (view, now) = (&tale.story.view, history.time());
    if !view.turn_of(errand.account) {
        let side = if view.accusers_turn { view.game.accuser } else { view.game.provider };
        bail!("[C-DSP-013] it is the turn of {side}, not of {}: {}", errand.account, tell::standing(&tale, now));
    }
    ensure!(
        now < view.deadline,
        "[C-DSP-014] this account's time was up {} ago: anybody can end the game now",
        span(now - view.deadline)
    );
    let replay = task_of_game(errand, place, &tale).await?;
    let (level, position, segment) = (view.level, view.position, view.segment.clone());
    let found = tokio::task::spawn_blocking(move || {
        let bar = bar(None, "looking for the answer");
        let found = replay.player().answer(position, level, &segment);
        bar.finish_and_clear();
        found
    })
    .await?;
    let did = match &found {
        Answer::Move { pick, .. } => format!("dispute part {pick} of the segment of game {}", tale.id),
        Answer::Step { pick, .. } => format!("prove step {} in game {}", position + u64::from(*pick), tale.id),
        Answer::Nothing => bail!(
            "[C-DSP-016] tracing finds nothing wrong in the segment of game {}: who is right has an answer, so the other side is",
            tale.id
        ),
    };
    let Some(call) = CourtCall::answer(tale.deal.clone(), view, found) else { bail!("[C-DSP-016] there is no answer") };
    let call = MarketCall::Court { court: tale.court, call };
    send(errand, history, &tale, Doing { did, intent: format!("move-{:x}-{level}", tale.id), call, explain }, format)
        .await
}

/// The task that a game is about: as this account's provider keeps it, or from the job of this account that ordered it.
async fn task_of_game(errand: &Errand, place: &PlaceArgs, tale: &GameTale) -> Result<Replay> {
    let (view, home) = (&tale.story.view, place.home()?);
    if view.game.provider == errand.account
        && let Some(replay) = task_of_provider(errand, place, tale).await?
    {
        return Ok(replay);
    }
    let own = home.requester(errand.chain.chain_id(), errand.chain.market(), errand.account);
    for folder in JobFolder::all(&home).into_iter().filter(|folder| folder.path().starts_with(&own)) {
        let Some(report) = folder.report()? else { continue };
        let orders = &report.evidence.orders;
        let found = orders.iter().find(|order| rialto_protocol::types::struct_hash(&order.order.value) == view.order);
        let Some(order) = found else { continue };
        let task = order.first.saturating_add(view.game.task);
        if let Some(signed) = signed_tasks(&report, task)?.into_iter().find(|one| one.order_hash() == view.order) {
            return task_of(&folder, &signed).await;
        }
    }
    bail!(
        "[C-DSP-015] neither an ended job nor the provider of {} here has the order {}: who runs (`rialto jobs`, `rialto provide`) plays by itself",
        errand.account,
        view.order
    )
}

/// The same from the folder of this account's provider, which must not run; `None` if it has no such order.
async fn task_of_provider(errand: &Errand, place: &PlaceArgs, tale: &GameTale) -> Result<Option<Replay>> {
    let folder = place.home()?.provider(errand.chain.chain_id(), errand.chain.market(), errand.account);
    if !folder.exists() {
        return Ok(None);
    }
    let blobs = errand.market.net(&folder)?.blob_dir;
    let (order, task) = (tale.story.view.order, tale.story.view.game.task);
    let found = tokio::task::spawn_blocking(move || {
        let kept = rialto_provider::kept_task(&folder, &blobs, order, task).map_err(|why| {
            anyhow!(
                "[C-DSP-018] the provider in {} can't be read: while it runs it answers by itself ({why})",
                folder.display()
            )
        })?;
        let Some(KeptTask { order, program, input, shared }) = kept else { return Ok(None) };
        let limits = TaskLimits {
            seed: task_seed(order.seed, task),
            fuel: order.fuelLimit,
            out: order.outLimit,
            pages: order.maxPages,
        };
        let replay = Replay::new(&program, input, shared, limits)?;
        ensure!(replay.program.parts.root() == order.program, "[C-RPL-003] {} holds another program", folder.display());
        Ok(Some(replay))
    });
    found.await?
}

/// Ends a game by time.
pub(super) async fn timeout(
    errand: &Errand,
    history: History,
    tale: GameTale,
    explain: bool,
    format: Output,
) -> Result<()> {
    open(&tale)?;
    let (view, now) = (&tale.story.view, history.time());
    ensure!(now >= view.deadline, "[C-DSP-014] too early: {}", tell::standing(&tale, now));
    let (deal, game) = (Box::new(tale.deal.clone()), Box::new(view.game.clone()));
    let call = MarketCall::Court { court: tale.court, call: CourtCall::Timeout { deal, game } };
    let did = format!("end game {} because a turn's time is up", tale.id);
    send(errand, history, &tale, Doing { did, intent: format!("timeout-{:x}", tale.id), call, explain }, format).await
}

/// What is to be sent.
struct Doing {
    did: String,
    intent: String,
    call: MarketCall,
    explain: bool,
}

/// Sends it, and tells where the game stands then.
async fn send(errand: &Errand, mut history: History, tale: &GameTale, doing: Doing, format: Output) -> Result<()> {
    let Doing { did, intent, call, explain } = doing;
    if explain {
        return errand.explain(&[(did, Some(call))], format).await;
    }
    let sender = sender(errand).await?;
    let mined = errand::once(&sender, &intent, call, &did, format).await?;
    sender.stop().await;
    after(&mut history, mined.tx).await?;
    let now = find(&history, &tale.id.to_string())?;
    let text = format!("{}\n  {}", errand::told(&mined), tell::standing(&now, history.time()));
    either(format, &text, || {
        json!({ "game": tale.id, "did": did, "transaction": mined.tx, "block": mined.block, "gas_used": mined.gas_used,
            "open": now.is_open(), "level": now.story.view.level, "standing": tell::standing(&now, history.time()) })
    });
    Ok(())
}
