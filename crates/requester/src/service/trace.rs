//! Tracing tasks on this machine, for games before a court.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rialto_exec::map_file;
use rialto_machine::{
    TaskLimits,
    input::{Halves, input_roots},
    play::Player,
    start_parts,
};
use rialto_protocol::{B256, OrderId, receipt::inputs_proof};

use super::{
    error::RequesterError,
    journal::blocking,
    library::{Library, lock},
};
use crate::core::{FirstSegment, Trace, Traced};

/// Tasks that are kept between the moves of a game: each takes three times its memory. More games
/// than that start over with every move.
const MAX_PLAYERS: usize = 4;

/// A task, ready to be looked at anywhere in its run.
pub(crate) struct Traceable {
    player: Player,
    parts: Vec<u8>,
    input: B256,
    input_proof: Vec<B256>,
}

impl Library {
    /// Finds what a game needs.
    pub async fn trace(&self, trace: Trace) -> Result<Traced, RequesterError> {
        let name = (rialto_protocol::types::struct_hash(&trace.order), trace.task);
        let known = lock(&self.traceables).get(&name).cloned();
        let traceable = match known {
            Some(traceable) => traceable,
            None => {
                let traceable = Arc::new(Mutex::new(self.traceable(&trace).await?));
                let mut all = lock(&self.traceables);
                if all.len() >= MAX_PLAYERS {
                    let any = all.keys().next().copied();
                    any.map(|any| all.remove(&any));
                }
                all.insert(name, traceable.clone());
                traceable
            }
        };
        blocking(move || {
            let mut traceable = traceable.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(match trace.segment {
                Some((level, position, segment)) => {
                    Traced::Answer(traceable.player.answer(position, level, &segment))
                }
                None => {
                    // How the task went, for a challenge.
                    let states = Box::new(traceable.player.open());
                    let Traceable { parts, input, input_proof, .. } = &*traceable;
                    let (input, input_proof) = (*input, input_proof.clone());
                    let parts = rialto_protocol::Bytes::from(parts.clone());
                    Traced::First(Box::new(FirstSegment { input, input_proof, parts, states }))
                }
            })
        })
        .await
    }

    /// The game is over.
    pub fn forget_trace(&self, order: OrderId, task: u32) {
        lock(&self.traceables).remove(&(order, task));
    }

    async fn traceable(&self, trace: &Trace) -> Result<Traceable, RequesterError> {
        let shelf = self.shelf_or_load(trace.job).await?;
        let wasm = shelf.program.read().await?;
        let shared: Bytes = match &shelf.shared {
            Some(blob) => map_file(blob.path()).map_err(RequesterError::file(blob.path()))?,
            None => Bytes::new(),
        };
        let (order, task, first) = (trace.order.clone(), trace.task, trace.first as usize);
        let tasks: Vec<Bytes> =
            shelf.tasks.iter().skip(first).take(order.tasks as usize).cloned().collect();
        let input = tasks.get(task as usize).cloned().ok_or(RequesterError::NoJob)?;
        let executor = self.executor.clone();
        blocking(move || {
            let program = Arc::new(executor.judged(&wasm, order.program)?);
            let halves = Arc::new(Halves::new(input.into(), shared.into()));
            let roots = input_roots(&tasks, halves.shared());
            Ok(Traceable {
                parts: start_parts(&program, &halves),
                input: *roots.get(task as usize).ok_or(RequesterError::NoJob)?,
                input_proof: inputs_proof(&roots, task),
                player: Player::new(program, halves, TaskLimits::of(&order, task)),
            })
        })
        .await
    }
}
