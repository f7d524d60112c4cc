//! What a provider keeps of an order until its deal is over, read while it does not run: for a game
//! that is played by hand.

use std::path::Path;

use rialto_machine::input::Half;
use rialto_net::NetError;
use rialto_protocol::{
    OrderId,
    receipt::Halted,
    types::Order,
    wire::{BlobRef, Payload},
};

use super::{ProviderError, journal::Journal, runner::checked_inputs};

/// A task of an order, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTask {
    /// The order, signed by its requester. Its inputs are those that it names; the program was not
    /// looked at.
    pub order: Order,
    /// The program.
    pub program: Vec<u8>,
    /// The task's own half of its input.
    pub input: Vec<u8>,
    /// The half that all tasks share.
    pub shared: Vec<u8>,
}

/// An order in a stopped provider's folder, and how each of its tasks ended by what it signed;
/// `None` if it keeps no such order, or signed no receipt for it. Locked while the provider runs.
pub fn kept_results(
    data_dir: &Path,
    hash: OrderId,
) -> Result<Option<(Order, Vec<Halted>)>, ProviderError> {
    let path = data_dir.join("journal.redb");
    if !path.exists() {
        return Ok(None);
    }
    let journal = Journal::look(&path)?;
    let Some(row) = journal.order(hash)? else { return Ok(None) };
    match journal.results(hash) {
        Ok(results) => Ok(Some((row.order.value, results.halted))),
        Err(_) => Ok(None),
    }
}

/// A task of an order in a stopped provider's folders; `None` if it keeps no such order. Locked
/// while the provider runs: it answers by itself.
pub fn kept_task(
    data_dir: &Path,
    blob_dir: &Path,
    hash: OrderId,
    task: u32,
) -> Result<Option<KeptTask>, ProviderError> {
    let path = data_dir.join("journal.redb");
    if !path.exists() {
        return Ok(None);
    }
    let journal = Journal::look(&path)?;
    let Some(row) = journal.order(hash)? else { return Ok(None) };
    let blob = |reference: BlobRef| -> Result<Vec<u8>, ProviderError> {
        let path = rialto_blobs::path(blob_dir, reference);
        std::fs::read(&path).map_err(|why| NetError::from(why).into())
    };
    let order = row.order.value;
    let inputs = match journal.inputs(hash)? {
        Payload::Inline(bytes) => bytes.to_vec(),
        Payload::Blob(reference) => blob(reference)?,
    };
    let shared = row.shared.map(blob).transpose()?.unwrap_or_default();
    let broken = |why: String| ProviderError::Journal(why);
    let inputs = checked_inputs(&inputs, order.tasks, Half::of(&shared), order.inputs);
    let inputs = inputs.map_err(|why| broken(why.to_string()))?;
    let input = inputs
        .get(task as usize)
        .ok_or_else(|| broken(format!("the order has no task {task}")))?
        .to_vec();
    Ok(Some(KeptTask { program: blob(row.program)?, order, input, shared }))
}
