//! One session of a deal: connects, reads what comes, signs and writes what goes out.

use std::sync::Arc;

use rialto_net::{Node, SessionReceiver, SessionSender};
use rialto_party::{Paced, Seal};
use rialto_protocol::{
    DealId,
    wire::{PeerAddr, ToProvider, ToRequester, WIRE_VERSION},
};
use tokio::sync::mpsc;

use super::{driver::Input, error::RequesterError, library::Library};
use crate::core::{Event, Outgoing};

/// A session from dialling to its end.
pub(crate) struct Session {
    pub deal: DealId,
    /// Tells it from earlier sessions of the deal.
    pub number: u64,
    pub peer: PeerAddr,
    pub node: Node,
    pub seal: Seal,
    pub library: Arc<Library>,
    pub inputs: mpsc::Sender<Input>,
}

impl Session {
    /// Runs until either side ends it; returns why.
    pub async fn run(self, outbound: mpsc::Receiver<Outgoing>) -> String {
        let session = match self.node.connect(&self.peer).await {
            Ok(session) => session,
            Err(error) => return error.to_string(),
        };
        if self.tell(Event::Connected { deal: self.deal }).await.is_err() {
            return "stopped".into();
        }
        let (sender, receiver) = session.split();
        tokio::select! {
            why = self.read(receiver) => why,
            ended = self.write(sender, outbound) => match ended {
                Ok(()) => "ended".into(),
                Err(error) => error.to_string(),
            },
        }
    }

    async fn tell(&self, event: Event) -> Result<(), ()> {
        let input = Input::Session { deal: self.deal, number: self.number, event };
        self.inputs.send(input).await.map_err(|_| ())
    }

    /// Until the session ends; returns why.
    async fn read(&self, receiver: SessionReceiver<ToRequester>) -> String {
        let mut receiver = Paced::new(receiver);
        while let Some(message) = receiver.recv().await {
            if self.tell(Event::Message { deal: self.deal, message }).await.is_err() {
                return "stopped".into();
            }
        }
        receiver.reason().map_or_else(|| "ended".into(), |why| why.to_string())
    }

    async fn write(
        &self,
        mut sender: SessionSender<ToProvider>,
        mut outbound: mpsc::Receiver<Outgoing>,
    ) -> Result<(), RequesterError> {
        while let Some(next) = outbound.recv().await {
            let message = self.message(next).await?;
            sender.send(&message).await?;
        }
        Ok(())
    }

    async fn message(&self, next: Outgoing) -> Result<ToProvider, RequesterError> {
        Ok(match next {
            Outgoing::Hello(deal) => ToProvider::Hello { version: WIRE_VERSION, deal },
            Outgoing::Order { job, first, order } => {
                let work = self
                    .library
                    .work(job, first, order.tasks, self.deal, self.peer.endpoint)
                    .await?;
                let order = self.seal.sign(order)?;
                ToProvider::Order {
                    order,
                    program: work.program,
                    shared: work.shared,
                    inputs: work.inputs,
                }
            }
            Outgoing::Voucher(voucher) => ToProvider::Voucher(self.seal.sign(voucher)?),
            Outgoing::Reject { order, task, expected } => {
                ToProvider::Reject { order, task, expected }
            }
            Outgoing::Cancel(cancel) => ToProvider::Cancel(self.seal.sign(cancel)?),
            Outgoing::AskRelease { amount } => ToProvider::AskRelease { amount },
        })
    }
}
