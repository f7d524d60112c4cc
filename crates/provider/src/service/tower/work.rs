//! What a tower finds out: what stands below a node, how a task goes, whether a receipt is right.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
};

use alloy_primitives::B256;
use rialto_exec::{Batch, CancelFlag, Executor, Limits as RunLimits, SharedData};
use rialto_machine::{
    TaskLimits,
    input::{Half, Halves, input_roots},
    play::Player,
    start_parts,
};
use rialto_protocol::{
    OrderId,
    court::{Answer, Challenge, GameView, Question},
    receipt::{Halted, SumTree, inputs_proof},
};

use super::desk::Desk;
use crate::{
    core::{Refusal, Work},
    service::{
        dossier::{Done, Dossier, DossierError, Part},
        runner::{checked_inputs, compute, half_of, lock},
        traces::{Asked, Traces},
    },
};

/// Orders whose own results are kept: those of which a receipt was found wrong.
const MAX_OWN: usize = 64;

/// Everything that finding out takes.
pub(super) struct Works {
    pub desk: Arc<Desk>,
    pub executor: Arc<dyn Executor>,
    pub traces: Traces,
    /// Ends what is being run.
    pub cancel: CancelFlag,
    own: Mutex<HashMap<OrderId, Arc<Vec<Halted>>>>,
}

fn failed(why: impl ToString) -> Refusal {
    Refusal::Attempt(why.to_string())
}

/// A task of a dossier, ready to be traced.
struct Traceable {
    player: Player,
    /// For a challenge.
    parts: Vec<u8>,
    inputs: Vec<B256>,
}

fn loaded(
    dossier: &Dossier,
    done: &Done,
    path: &Path,
) -> Result<(Vec<u8>, bytes::Bytes, Half, Vec<bytes::Bytes>), Refusal> {
    let order = &dossier.order.value;
    let read = |part: Part| part.load(path).map_err(failed);
    let shared =
        done.shared.map(|part| part.map(path)).transpose().map_err(failed)?.unwrap_or_default();
    let half = match done.shared {
        Some(part) => half_of(&part.path(path)).map_err(failed)?,
        None => Half::of(&[]),
    };
    let inputs = checked_inputs(&read(done.inputs)?, order.tasks, half, order.inputs)?;
    Ok((read(done.program)?, shared, half, inputs))
}

fn traceable(
    executor: &dyn Executor,
    dossier: &Dossier,
    path: &Path,
    task: u32,
) -> Result<Traceable, Refusal> {
    let done = dossier.done.as_ref().ok_or_else(|| failed("nothing was done"))?;
    let (wasm, shared, half, inputs) = loaded(dossier, done, path)?;
    let program = executor.judged(&wasm, dossier.order.value.program);
    let program = Arc::new(program.map_err(|why| Refusal::Program(why.to_string()))?);
    let input = inputs.get(task as usize).ok_or_else(|| failed("no such task"))?.clone();
    let roots = input_roots(&inputs, half);
    let halves = Arc::new(Halves::new(input.into(), shared.into()));
    let parts = start_parts(&program, &halves);
    let player = Player::new(program, halves, TaskLimits::of(&dossier.order.value, task));
    Ok(Traceable { player, parts, inputs: roots })
}

impl Works {
    pub fn new(desk: Arc<Desk>, executor: Arc<dyn Executor>, cores: u32) -> Self {
        Self {
            desk,
            executor,
            traces: Traces::new(cores),
            cancel: CancelFlag::new(),
            own: Mutex::default(),
        }
    }

    fn dossier(&self, order: OrderId) -> Result<(Dossier, std::path::PathBuf), DossierError> {
        self.desk.dossier(order)
    }

    /// What an asked segment needs to be queued with others about its task.
    pub fn asked(&self, order: OrderId, view: GameView) -> Result<Asked, Refusal> {
        let (dossier, _) = self.dossier(order).map_err(failed)?;
        let done = dossier.done.as_ref().ok_or_else(|| failed("nothing was done"))?;
        let blob =
            |part: Part| rialto_protocol::wire::BlobRef { hash: part.hash.0, size: part.size };
        let (program, shared) = (blob(done.program), done.shared.map(blob));
        Ok(Asked {
            work: Work { hash: order, order: dossier.order.value, program, shared, peer: None },
            view,
        })
    }

    /// Answers all segments about a task.
    pub async fn trace(
        &self,
        task: (OrderId, u32),
        asked: &[Asked],
    ) -> Result<Vec<Answer>, Refusal> {
        let (order, desk, executor) = (task.0, self.desk.clone(), self.executor.clone());
        let player = compute(move || {
            let (dossier, path) = desk.dossier(order).map_err(failed)?;
            Ok(traceable(&*executor, &dossier, &path, task.1)?.player)
        });
        self.traces.answer(task, asked, player).await
    }

    /// What is to be said about a receipt's tree.
    pub async fn tree(self: Arc<Self>, order: OrderId, view: GameView) -> Result<Answer, Refusal> {
        match view.question.clone() {
            Question::Node { height, place } => {
                compute(move || {
                    let (dossier, _) = self.dossier(order).map_err(failed)?;
                    let done = dossier.done.as_ref().ok_or_else(|| failed("nothing was done"))?;
                    let tree = SumTree::over(&done.results, dossier.order.value.fuelLimit);
                    let nodes = tree.unfold(height.into(), place);
                    Ok(nodes.map_or(Answer::Nothing, |nodes| Answer::Unfold { nodes }))
                })
                .await
            }
            Question::Nodes { height, place, nodes } => {
                let own = self.own(order).await?;
                compute(move || {
                    let (dossier, path) = self.dossier(order).map_err(failed)?;
                    let tree = SumTree::over(&own, dossier.order.value.fuelLimit);
                    let above = u32::from(height) + nodes.len().checked_ilog2().unwrap_or(0);
                    let Some(index) = tree.first_difference(above, place, &nodes) else {
                        return Ok(Answer::Nothing);
                    };
                    if height > 0 {
                        return Ok(Answer::Pick { index });
                    }
                    let task = place.saturating_mul(nodes.len() as u32).saturating_add(index);
                    let Traceable { mut player, parts, inputs } =
                        traceable(&*self.executor, &dossier, &path, task)?;
                    let states = Box::new(player.open());
                    let input = *inputs.get(task as usize).ok_or_else(|| failed("no such task"))?;
                    let input_proof = inputs_proof(&inputs, task);
                    Ok(Answer::Challenge(Box::new(Challenge {
                        index,
                        input,
                        input_proof,
                        parts: parts.into(),
                        states,
                    })))
                })
                .await
            }
            Question::Run { .. } => Ok(Answer::Nothing),
        }
    }

    /// Runs an order's tasks again: whether its receipt is right.
    pub async fn audit(self: Arc<Self>, order: OrderId) -> Result<bool, Refusal> {
        let own = self.own(order).await?;
        let (dossier, _) = self.dossier(order).map_err(failed)?;
        let done = dossier.done.as_ref().ok_or_else(|| failed("nothing was done"))?;
        let (root, receipt) =
            (SumTree::over(&own, dossier.order.value.fuelLimit).root(), &done.receipt.value);
        let right = (root.hash, root.fuel) == (receipt.root, receipt.fuel);
        if right {
            lock(&self.own).remove(&order);
            // Not to be run again at the next start; if that can't be written, it is.
            let _ = self.desk.audited(order, true);
        }
        Ok(right)
    }

    /// How each task of an order ends, run here.
    async fn own(&self, order: OrderId) -> Result<Arc<Vec<Halted>>, Refusal> {
        if let Some(known) = lock(&self.own).get(&order) {
            return Ok(known.clone());
        }
        let (desk, executor, cancel) =
            (self.desk.clone(), self.executor.clone(), self.cancel.clone());
        let own = compute(move || {
            let (dossier, path) = desk.dossier(order).map_err(failed)?;
            let done = dossier.done.as_ref().ok_or_else(|| failed("nothing was done"))?;
            let (wasm, _, _, inputs) = loaded(&dossier, done, &path)?;
            let shared = done
                .shared
                .map(|part| SharedData::file(&part.path(&path)))
                .transpose()
                .map_err(failed)?;
            let signed = &dossier.order.value;
            let program = executor.prepare_signed(&wasm, signed.program, &cancel);
            let program = program.map_err(|why| Refusal::Program(why.to_string()))?;
            let ends = Mutex::new(vec![None; inputs.len()]);
            let put = |task: u32, outcome: rialto_exec::Outcome| {
                if let Some(end) = lock(&ends).get_mut(task as usize) {
                    *end = Some(outcome.halted);
                }
                Ok(())
            };
            let (shared, limits) = (shared.unwrap_or_else(SharedData::none), RunLimits::of(signed));
            let batch = Batch { inputs: &inputs, shared: &shared, limits, seed: signed.seed };
            program.run_each(&batch, &cancel, &put).map_err(failed)?;
            let ends: Option<Vec<Halted>> = lock(&ends).iter().copied().collect();
            ends.ok_or_else(|| failed("a task did not end"))
        })
        .await?;
        let own = Arc::new(own);
        let mut all = lock(&self.own);
        if all.len() >= MAX_OWN {
            let any = all.keys().next().copied();
            any.map(|any| all.remove(&any));
        }
        all.insert(order, own.clone());
        Ok(own)
    }
}
