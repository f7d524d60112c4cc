//! One session: reads what comes, writes what goes out, ends when either can't go on.

use std::sync::Arc;

use alloy_primitives::B256;
use rialto_net::{ProviderSession, SessionReceiver, SessionSender};
use rialto_party::{Paced, Seal};
use rialto_protocol::{
    DealId,
    types::Receipt,
    wire::{Payload, ToProvider, ToRequester},
};
use tokio::sync::mpsc;

use super::{driver::Input, error::ProviderError, journal::blocking, runner::Runner};
use crate::core::Event;

/// Something to be sent.
pub(crate) enum Outbound {
    /// As it is, but for our signature.
    Message(ToRequester),
    /// With its results from the journal.
    Receipt {
        /// Deal id.
        deal: DealId,
        /// Ours.
        receipt: Receipt,
    },
}

/// Signs what of a message is ours.
fn signed(seal: &Seal, message: ToRequester) -> Result<ToRequester, ProviderError> {
    Ok(match message {
        ToRequester::Ack(ack) => ToRequester::Ack(seal.sign(ack.value)?),
        ToRequester::Release(release) => ToRequester::Release(seal.sign(release.value)?),
        other => other,
    })
}

/// Serves a session until it ends.
pub(crate) async fn serve(
    id: u64,
    session: ProviderSession,
    inputs: mpsc::Sender<Input>,
    outbound: mpsc::Receiver<Outbound>,
    runner: Arc<Runner>,
    seal: Seal,
) {
    let peer = session.peer();
    let (sender, receiver) = session.split();
    let reading = read(id, receiver, inputs);
    let writing = write(peer, sender, outbound, runner, seal);
    tokio::select! {
        () = reading => {}
        ended = writing => if let Err(error) = ended {
            tracing::debug!(session = id, %peer, %error, "session could not be written");
        },
    }
}

async fn read(id: u64, receiver: SessionReceiver<ToProvider>, inputs: mpsc::Sender<Input>) {
    let mut receiver = Paced::new(receiver);
    while let Some(message) = receiver.recv().await {
        let message = Box::new(message);
        if inputs.send(Input::Event(Event::Message { session: id, message })).await.is_err() {
            return;
        }
    }
}

async fn write(
    peer: B256,
    mut sender: SessionSender<ToRequester>,
    mut outbound: mpsc::Receiver<Outbound>,
    runner: Arc<Runner>,
    seal: Seal,
) -> Result<(), ProviderError> {
    while let Some(next) = outbound.recv().await {
        let message = match next {
            Outbound::Message(message) => signed(&seal, message)?,
            Outbound::Receipt { deal, receipt } => {
                full_receipt(peer, deal, receipt, &runner, &seal).await?
            }
        };
        sender.send(&message).await?;
    }
    Ok(())
}

/// A receipt with everything that belongs to it; the peer may fetch its outputs.
async fn full_receipt(
    peer: B256,
    deal: DealId,
    receipt: Receipt,
    runner: &Runner,
    seal: &Seal,
) -> Result<ToRequester, ProviderError> {
    let (journal, order) = (runner.journal.clone(), receipt.order);
    let results = blocking(move || journal.results(order)).await?;
    if let Payload::Blob(blob) = results.outputs {
        runner.pin(deal, blob);
        runner.node.blobs().allow(peer, blob)?;
    }
    let receipt = runner.shell.receipt(receipt);
    Ok(ToRequester::Receipt {
        receipt: seal.sign(receipt)?,
        results: results.halted,
        outputs: results.outputs,
    })
}
