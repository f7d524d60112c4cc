//! Gossip of asks: judging those that pass through, and those we may buy from.

use futures::future::BoxFuture;
use rialto_chain::{AskStanding, Chain, Clock};
use rialto_net::{AskCheck, AskStream, Verdict};
use rialto_protocol::{types::Ask, wire::Signed};
use tokio::sync::mpsc;

use super::driver::Input;
use crate::core::{Event, Offer};

/// Judges asks by what the chain says: signature, counter, deposit.
pub struct ChainCheck {
    chain: Chain,
    clock: Clock,
}

impl ChainCheck {
    /// For the market of a chain's client. `clock` is told by the caller what the chain says.
    pub fn new(chain: Chain, clock: Clock) -> Self {
        Self { chain, clock }
    }
}

impl AskCheck for ChainCheck {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn check<'a>(&'a self, ask: &'a Signed<Ask>) -> BoxFuture<'a, Verdict> {
        Box::pin(async {
            match self.chain.judge_ask(ask).await {
                Ok(AskStanding::Good) => Verdict::Good,
                Ok(AskStanding::Stale(why)) => Verdict::Stale(why),
                Ok(AskStanding::Bad(why)) => Verdict::Bad(why),
                Err(error) => Verdict::Unknown(error.to_string()),
            }
        })
    }
}

/// Brings good asks to the driver, with what their providers hold.
pub(crate) async fn listen(mut asks: AskStream, chain: Chain, inputs: mpsc::Sender<Input>) {
    while let Some(gossip) = asks.next().await {
        match chain.account(gossip.ask.value.provider).await {
            Ok(deposit) => {
                if inputs.send(Input::Event(Event::Heard(Offer::new(gossip, deposit)))).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(provider = %gossip.ask.value.provider, %error, "deposit not read"),
        }
    }
}
