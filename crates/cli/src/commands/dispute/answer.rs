//! Answers in games, and ends by time.

use anyhow::{Result, anyhow, bail, ensure};
use rialto_chain::{CourtCall, MarketCall};
use rialto_client::{GameTale, History, JobFolder, Replay, SignedTask, signed_tasks, view};
use rialto_machine::TaskLimits;
use rialto_protocol::{
    court::{Answer, Question},
    receipt::{Halted, SumNode, SumTree, task_seed},
    types::{Order, struct_hash},
};
use rialto_provider::KeptTask;
use rialto_requester::JobReport;

use super::{after, find, sender, tell};
use crate::{
    env::PlaceArgs,
    retrace::{task_of, traced},
    transact::{self, Account},
    ui::{Ui, progress::bar, span},
};

/// Refuses what has ended.
fn open(tale: &GameTale) -> Result<()> {
    ensure!(
        tale.is_open(),
        failure!(
            Failed,
            "C-DSP-012",
            "game {} has ended: `rialto dispute show` tells how",
            tale.id
        )
    );
    Ok(())
}

/// Answers for this account.
pub(super) async fn answer(
    account: &Account,
    place: &PlaceArgs,
    history: History,
    tale: GameTale,
    explain: bool,
    ui: Ui,
) -> Result<()> {
    open(&tale)?;
    let (view, now) = (&tale.story.view, history.time());
    if !view.turn_of(account.address) {
        let side = if view.accusers_turn { view.game.accuser } else { view.game.provider };
        bail!(failure!(
            Failed,
            "C-DSP-013",
            "it is the turn of {side}, not of {}: {}",
            account.address,
            tell::standing(&tale, now)
        ));
    }
    ensure!(
        now < view.deadline,
        failure!(
            Failed,
            "C-DSP-014",
            "this account's time was up {} ago: anybody can end the game now",
            span(now - view.deadline)
        )
    );
    let (order, found) = match &view.question {
        Question::Node { height, place: at } => {
            let (order, tree) = kept_tree(account, place, &tale).await?;
            let nodes = tree.unfold((*height).into(), *at).ok_or_else(|| nothing(&tale))?;
            (order, Answer::Unfold { nodes })
        }
        Question::Nodes { height, place: at, nodes } => {
            let own = own_order(account, place, &tale)?;
            let found = wrong_node(&own, &tale, *height, *at, nodes).await?;
            (own.signed.order.order.value.clone(), found)
        }
        Question::Run { task, level, position, segment, .. } => {
            let (order, replay) = task_of_game(account, place, &tale, *task).await?;
            let (level, position, segment) = (*level, *position, segment.clone());
            let found = tokio::task::spawn_blocking(move || {
                let bar = bar(None, "looking for the answer");
                let found = replay.player().answer(position, level, &segment);
                bar.finish_and_clear();
                found
            });
            (order, found.await?)
        }
    };
    let did = match (&found, &view.question) {
        (Answer::Unfold { nodes }, _) => {
            format!("open {} nodes of the receipt in game {}", nodes.len(), tale.id)
        }
        (Answer::Pick { index }, _) => {
            format!("dispute node {index} of those shown in game {}", tale.id)
        }
        (Answer::Contradict { index, .. }, _) => {
            format!(
                "show that leaf {index} of those shown in game {} names other fuel than its task used",
                tale.id
            )
        }
        (Answer::Challenge(it), _) => {
            format!("challenge leaf {} of those shown in game {}", it.index, tale.id)
        }
        (Answer::Move { pick, .. }, _) => {
            format!("dispute part {pick} of the segment of game {}", tale.id)
        }
        (Answer::Step { pick, .. }, Question::Run { position, .. }) => {
            format!("prove step {} in game {}", position + u64::from(*pick), tale.id)
        }
        _ => return Err(nothing(&tale)),
    };
    let (turn, call) = (view.turn(), CourtCall::answer(tale.deal.clone(), order, view, found));
    let call = MarketCall::Court { court: tale.court, call: call.ok_or_else(|| nothing(&tale))? };
    send(
        account,
        history,
        &tale,
        Doing { did, intent: format!("move-{:x}-{turn}", tale.id), call, explain },
        ui,
    )
    .await
}

/// Why there is no answer.
fn nothing(tale: &GameTale) -> anyhow::Error {
    anyhow::Error::new(failure!(
        Failed,
        "C-DSP-016",
        "tracing finds nothing wrong in what the other side says in game {}: who is right has an answer, so the other side is",
        tale.id
    ))
}

/// An order of an ended job that a game is about.
struct Own {
    folder: JobFolder,
    report: JobReport,
    /// The order, as its first task.
    signed: SignedTask,
}

impl Own {
    /// A task of the order, by its index there.
    fn task(&self, index: u32) -> Result<SignedTask> {
        let order = self.signed.order_hash();
        let all = signed_tasks(&self.report, self.signed.order.first.saturating_add(index))?;
        let found = all.into_iter().find(|one| one.order_hash() == order);
        found.ok_or_else(|| {
            anyhow::Error::new(failure!(Failed, "C-DSP-015", "order {order} has no task {index}"))
        })
    }
}

/// The order that a game is about, from the job of this account that ordered it.
fn own_order(account: &Account, place: &PlaceArgs, tale: &GameTale) -> Result<Own> {
    let (order, home) = (tale.story.view.game.order, place.home()?);
    let own = home.requester(account.chain.chain_id(), account.chain.market(), account.address);
    for folder in JobFolder::all(&home).into_iter().filter(|folder| folder.path().starts_with(&own))
    {
        let Some(report) = folder.report()? else { continue };
        let found =
            report.evidence.orders.iter().find(|given| struct_hash(&given.order.value) == order);
        let Some(first) = found.map(|given| given.first) else { continue };
        let signed =
            signed_tasks(&report, first)?.into_iter().find(|one| one.order_hash() == order);
        if let Some(signed) = signed {
            return Ok(Own { folder, report, signed });
        }
    }
    bail!(failure!(
        Failed,
        "C-DSP-015",
        "neither an ended job nor the provider of {} here has the order {order}: who runs (`rialto jobs`, `rialto provide`) plays by itself",
        account.address
    ),)
}

/// The first of the shown nodes that is not as this machine finds it.
async fn wrong_node(
    own: &Own,
    tale: &GameTale,
    height: u8,
    place: u32,
    nodes: &[SumNode],
) -> Result<Answer> {
    let order = &own.signed.order.order.value;
    let mut ends = Vec::new();
    for index in 0..order.tasks {
        ends.push(end_of(own, index).await?);
    }
    let tree = SumTree::over(&ends, order.fuelLimit);
    let above = u32::from(height) + nodes.len().checked_ilog2().unwrap_or(0);
    let index = tree.first_difference(above, place, nodes).ok_or_else(|| nothing(tale))?;
    if height > 0 {
        return Ok(Answer::Pick { index });
    }
    let at = place.saturating_mul(nodes.len() as u32).saturating_add(index);
    // The task ended as the provider says, and used other fuel: the end itself shows it.
    let shown = nodes.get(index as usize).map(|node| node.hash);
    if let Some(halted) = ends.get(at as usize).filter(|end| shown == Some(end.hash())) {
        return Ok(Answer::Contradict { index, halted: *halted });
    }
    let task = own.task(at)?;
    let replay = task_of(&own.folder, &task).await?;
    let player = replay.clone();
    let states = tokio::task::spawn_blocking(move || {
        let bar = bar(None, "looking for the first segment");
        let states = player.player().open();
        bar.finish_and_clear();
        states
    });
    let challenge = task.challenge(&replay, index, states.await?);
    Ok(Answer::Challenge(Box::new(challenge.ok_or_else(|| nothing(tale))?)))
}

/// How a task of an order ends: what its provider delivered, where the job verified exactly that;
/// else by tracing it.
async fn end_of(own: &Own, index: u32) -> Result<Halted> {
    let task = own.task(index)?;
    let verified =
        own.report.tasks.get(task.task as usize).and_then(|end| end.as_ref()).map(|end| end.halted);
    if let Some(verified) = verified.filter(|end| task.halted() == Some(end)) {
        return Ok(verified);
    }
    let replay = task_of(&own.folder, &task).await?;
    Ok(traced(&replay, None).await?.1)
}

/// The order and the task that a game is about: as this account's provider keeps it, or from the
/// job of this account that ordered it.
async fn task_of_game(
    account: &Account,
    place: &PlaceArgs,
    tale: &GameTale,
    task: u32,
) -> Result<(Order, Replay)> {
    if tale.story.view.game.provider == account.address
        && let Some(found) = task_of_provider(account, place, tale, task).await?
    {
        return Ok(found);
    }
    let own = own_order(account, place, tale)?;
    let replay = task_of(&own.folder, &own.task(task)?).await?;
    Ok((own.signed.order.order.value, replay))
}

/// The same from the folder of this account's provider, which must not run; `None` if it has no
/// such order.
async fn task_of_provider(
    account: &Account,
    place: &PlaceArgs,
    tale: &GameTale,
    task: u32,
) -> Result<Option<(Order, Replay)>> {
    let folder =
        place.home()?.provider(account.chain.chain_id(), account.chain.market(), account.address);
    if !folder.exists() {
        return Ok(None);
    }
    let blobs = account.market.net(&folder)?.blob_dir;
    let order = tale.story.view.game.order;
    let found = tokio::task::spawn_blocking(move || {
        let kept = rialto_provider::kept_task(&folder, &blobs, order, task).map_err(|why| {
            anyhow::Error::new(failure!(
                Failed,
                "C-DSP-018",
                "the provider in {} can't be read: while it runs it answers by itself ({why})",
                folder.display()
            ))
        })?;
        let Some(KeptTask { order, program, input, shared }) = kept else { return Ok(None) };
        let limits = TaskLimits {
            seed: task_seed(order.seed, task),
            fuel: order.fuelLimit,
            out: order.outLimit,
            pages: order.maxPages,
        };
        let replay = Replay::new(&program, input, shared, limits)?;
        ensure!(
            replay.program.parts.root() == order.program,
            failure!(Failed, "C-RPL-003", "{} holds another program", folder.display())
        );
        Ok(Some((order, replay)))
    });
    found.await?
}

/// The order and the tree of results that this account's provider, which must not run, signed.
async fn kept_tree(
    account: &Account,
    place: &PlaceArgs,
    tale: &GameTale,
) -> Result<(Order, SumTree)> {
    let folder =
        place.home()?.provider(account.chain.chain_id(), account.chain.market(), account.address);
    let order = tale.story.view.game.order;
    let gone = failure!(
        Failed,
        "C-DSP-015",
        "the provider of {} here does not have the order {order}: it can't be opened",
        account.address
    );
    ensure!(folder.exists(), gone);
    let found = tokio::task::spawn_blocking(move || {
        rialto_provider::kept_results(&folder, order).map_err(|why| {
            anyhow::Error::new(failure!(
                Failed,
                "C-DSP-018",
                "the provider in {} can't be read: while it runs it answers by itself ({why})",
                folder.display()
            ))
        })
    });
    let (order, ends) = found.await??.ok_or_else(|| anyhow!(gone))?;
    let tree = SumTree::over(&ends, order.fuelLimit);
    Ok((order, tree))
}

/// Ends a game by time.
pub(super) async fn timeout(
    account: &Account,
    history: History,
    tale: GameTale,
    explain: bool,
    ui: Ui,
) -> Result<()> {
    open(&tale)?;
    let (view, now) = (&tale.story.view, history.time());
    ensure!(
        now >= view.deadline,
        failure!(Failed, "C-DSP-014", "too early: {}", tell::standing(&tale, now))
    );
    let (deal, game) = (Box::new(tale.deal.clone()), Box::new(view.game.clone()));
    let call = MarketCall::Court { court: tale.court, call: CourtCall::Timeout { deal, game } };
    let did = format!("end game {} because a turn's time is up", tale.id);
    send(
        account,
        history,
        &tale,
        Doing { did, intent: format!("timeout-{:x}", tale.id), call, explain },
        ui,
    )
    .await
}

/// What is to be sent.
struct Doing {
    did: String,
    intent: String,
    call: MarketCall,
    explain: bool,
}

/// Sends it, and tells where the game stands then.
async fn send(
    account: &Account,
    mut history: History,
    tale: &GameTale,
    doing: Doing,
    ui: Ui,
) -> Result<()> {
    let Doing { did, intent, call, explain } = doing;
    if explain {
        return account.explain(&[(did, Some(call))], ui).await;
    }
    let sender = sender(account).await?;
    let mined = transact::once(&sender, &intent, call, &did, ui).await?;
    sender.stop().await;
    after(&mut history, mined.tx).await?;
    let now = find(&history, &tale.id.to_string())?;
    let text = format!("{}\n  {}", transact::told(&mined), tell::standing(&now, history.time()));
    ui.answer(&text, || view::Answered {
        game: tale.id.into(),
        did,
        transaction: mined.tx.into(),
        block: mined.block,
        gas_used: mined.gas_used,
        open: now.is_open(),
        place: now.place(),
        standing: tell::standing(&now, history.time()),
    });
    Ok(())
}
