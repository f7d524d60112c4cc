//! What shows what was agreed and done of an order: enough to defend its receipt without us.

use rialto_protocol::{
    DealId, OrderId,
    types::{Ack, Cancel, Deal, Order, Receipt},
    wire::{BlobRef, Payload, Signed},
};

use super::{Provider, ProviderError, driver::Input, journal::blocking};
use crate::core::{OrderRow, Results};

/// An order and everything that belongs to it. Blobs lie in the node's store as long as the deal is
/// open or a game goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The deal's terms.
    pub deal: Deal,
    /// Signed by the requester's key.
    pub order: Signed<Order>,
    /// Signed by ours.
    pub ack: Option<Signed<Ack>>,
    /// Signed by ours.
    pub receipt: Option<Signed<Receipt>>,
    /// Signed by the requester's key.
    pub cancel: Option<Signed<Cancel>>,
    /// The program, as it came.
    pub program: BlobRef,
    /// The input that all tasks share.
    pub shared: Option<BlobRef>,
    /// The tasks' own inputs, as they came.
    pub inputs: Payload,
    /// Every task's end and output, once there is a receipt.
    pub results: Option<Results>,
}

impl Provider {
    /// Orders of a deal that were delivered, by their place in it.
    pub async fn delivered(&self, deal: DealId) -> Result<Vec<OrderId>, ProviderError> {
        self.look(move |driver| driver.core.delivered(deal)).await
    }

    /// Everything about an order; `None` if it is not known (any more).
    pub async fn evidence(&self, order: OrderId) -> Result<Option<Evidence>, ProviderError> {
        let known = self.look(move |driver| {
            let row: OrderRow = driver.core.order(order)?.clone();
            let deal = driver.core.deal(row.order.value.deal)?.deal.clone();
            Some((row, deal, driver.journal.clone(), driver.seal.clone()))
        });
        let Some((row, deal, journal, seal)) = known.await? else { return Ok(None) };
        let done = row.state.receipt().is_some();
        let (inputs, results) = blocking(move || {
            let results = if done { Some(journal.results(order)?) } else { None };
            Ok((journal.inputs(order)?, results))
        })
        .await?;
        let ack = row.state.ack().cloned().map(|ack| seal.sign(ack)).transpose()?;
        let receipt = row.state.receipt().cloned().map(|receipt| seal.sign(receipt)).transpose()?;
        let OrderRow { order, program, shared, cancel, .. } = row;
        Ok(Some(Evidence { deal, order, ack, receipt, cancel, program, shared, inputs, results }))
    }

    /// Asks the one task that owns the core.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut super::driver::Driver) -> T + Send + 'static,
    ) -> Result<T, ProviderError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let ask = move |driver: &mut super::driver::Driver| drop(answer.send(ask(driver)));
        self.inputs.send(Input::Look(Box::new(ask))).await.map_err(|_| ProviderError::Stopped)?;
        answered.await.map_err(|_| ProviderError::Stopped)
    }
}
