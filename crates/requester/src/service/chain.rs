//! Calls as transactions, outcomes as the core knows them, and deals that are over.

use futures::StreamExt;
use rialto_chain::{Chain, Ending, EventBatch, LogMeta, MarketCall, MarketEvent, Mined, OpenArgs, SendError, Sender};
use rialto_protocol::{B256, types::Deal, wire::PeerAddr};
use tokio::sync::mpsc;

use super::driver::Input;
use crate::core::{Call, Event, Terms, Transacted, TxNote};

/// Performs a call of the core.
pub(crate) async fn transact(sender: Sender, intent: String, call: Call, inputs: mpsc::Sender<Input>) {
    let (kind, deals) = match &call {
        Call::Open(terms) => ("open", terms.len() as u32),
        Call::Close { .. } => ("close", 1),
        Call::Expire { .. } => ("expire", 1),
    };
    let outcome = match sender.send(intent.clone(), market_call(call)).await {
        Ok(mined) => {
            Transacted::Mined { opened: opened(&mined), tx: note(kind, mined.tx, Some(mined.gas_used), deals) }
        }
        Err(error) => failed(&error),
    };
    if !matches!(outcome, Transacted::Mined { .. }) {
        tracing::warn!(intent, ?outcome, "transaction");
    }
    let _ = inputs.send(Input::Event(Event::Transacted { intent, outcome })).await;
}

fn note(kind: &str, tx: B256, gas: Option<u64>, deals: u32) -> TxNote {
    TxNote { kind: kind.into(), tx, gas, deals }
}

fn market_call(call: Call) -> MarketCall {
    match call {
        Call::Open(terms) => MarketCall::Open(terms.into_iter().map(open_args).collect()),
        Call::Close { deal, release } => {
            MarketCall::Close { deal, release: release.value, signature: release.signature }
        }
        Call::Expire { deal } => MarketCall::Expire { deal },
    }
}

fn open_args(terms: Terms) -> OpenArgs {
    let Terms { offer, budget, seconds, max_price, salt } = terms;
    let (ask, signature) = (offer.ask.value, offer.ask.signature);
    OpenArgs { ask, signature, budget, duration: seconds, max_price, salt }
}

/// Deals that a transaction opened.
fn opened(mined: &Mined) -> Vec<Deal> {
    let deal = |log| match MarketEvent::decode(log) {
        Some(MarketEvent::DealOpened { deal, .. }) => Some(deal),
        _ => None,
    };
    mined.logs.iter().filter_map(deal).collect()
}

/// What the chain can't decide now is tried again under the same intent; everything else needs a new one.
fn failed(error: &SendError) -> Transacted {
    let text = error.to_string();
    match error {
        SendError::Chain(_)
        | SendError::FeeAboveCap { .. }
        | SendError::NoGasMoney { .. }
        | SendError::Stuck { .. }
        | SendError::Stopped
        | SendError::Busy { .. } => Transacted::Unsent { reason: text },
        _ => {
            let inner = text.trim_start_matches('[');
            let (code, reason) = inner.split_once("] ").unwrap_or(("S-000", inner));
            Transacted::Reverted { code: code.into(), reason: reason.into() }
        }
    }
}

/// Brings the market's events to the driver, for ever.
pub(crate) async fn follow(chain: Chain, from_block: u64, inputs: mpsc::Sender<Input>) {
    loop {
        let mut events = chain.events(from_block);
        while let Some(batch) = events.next().await {
            if inputs.send(Input::Chain(batch)).await.is_err() {
                return;
            }
        }
        // A reorg deeper than the stream remembers: hear everything again.
        tracing::error!("the chain rewrote its history; hearing it again");
    }
}

/// Ends of deals that are not final yet.
#[derive(Debug, Default)]
pub(crate) struct Endings(Vec<(LogMeta, Event)>);

impl Endings {
    /// Takes a batch in; returns what is final by now.
    pub fn take(&mut self, batch: &EventBatch, confirmations: u64) -> Vec<Event> {
        self.0.retain(|(meta, _)| !batch.removed.iter().any(|(removed, _)| removed == meta));
        for (meta, event) in &batch.added {
            if let MarketEvent::DealClosed { deal, ending, paid, .. } = event {
                let kind = match ending {
                    Ending::Redeemed => "redeem",
                    Ending::Released => "close",
                    Ending::Expired => "expire",
                    _ => "settle",
                };
                let tx = note(kind, meta.tx, None, 1);
                self.0.push((*meta, Event::DealClosed { deal: *deal, paid: *paid, tx }));
            }
        }
        let last = (batch.head + 1).saturating_sub(confirmations.max(1));
        let (done, open) = std::mem::take(&mut self.0).into_iter().partition(|(meta, _)| meta.block <= last);
        self.0 = open;
        let done: Vec<(LogMeta, Event)> = done;
        done.into_iter().map(|(_, event)| event).collect()
    }
}

/// Addresses that providers announced.
pub(crate) fn announced(batch: &EventBatch) -> impl Iterator<Item = PeerAddr> + '_ {
    batch.added.iter().filter_map(|(_, event)| match event {
        MarketEvent::Announced { endpoint, .. } => {
            let peer: PeerAddr = postcard::from_bytes(endpoint).ok()?;
            peer.check().ok().map(|()| peer)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(block: u64, deal: u8) -> (LogMeta, MarketEvent) {
        let meta = LogMeta { block, index: 0, block_hash: B256::repeat_byte(block as u8), tx: B256::repeat_byte(deal) };
        let deal = B256::repeat_byte(deal);
        let ending = Ending::Redeemed;
        (meta, MarketEvent::DealClosed { deal, ending, paid: 5, to_requester: 1, to_provider: 5, burned: 0 })
    }

    #[test]
    fn an_end_counts_once_it_is_final_and_a_reorg_takes_it_back() {
        let mut endings = Endings::default();
        let batch = |added, removed, head| EventBatch { added, removed, head, time: 0, through: head };
        assert!(endings.take(&batch(vec![closed(10, 1), closed(10, 2)], vec![], 10), 3).is_empty());
        assert!(endings.take(&batch(vec![], vec![closed(10, 2)], 11), 3).is_empty());
        let done = endings.take(&batch(vec![], vec![], 12), 3);
        assert!(matches!(&done[..], [Event::DealClosed { deal, paid: 5, .. }] if *deal == B256::repeat_byte(1)));
        assert!(endings.take(&batch(vec![], vec![], 100), 3).is_empty());
        assert_eq!(endings.take(&batch(vec![closed(101, 3)], vec![], 101), 1).len(), 1);
    }
}
