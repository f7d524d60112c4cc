//! Asks that we may buy from.

use std::collections::BTreeSet;

use rialto_chain::{Chain, ChainError};
use rialto_net::AskStream;
use rialto_protocol::Address;
use tokio::sync::mpsc;

use super::driver::Input;
use crate::core::{Event, Offer};

/// Most courts that are remembered; more are looked at every time.
const MAX_KNOWN_COURTS: usize = 256;

/// Brings good asks to the driver, with what their providers hold and whether their courts are known.
pub(crate) async fn listen(mut asks: AskStream, chain: Chain, inputs: mpsc::Sender<Input>) {
    let mut courts = KnownCourts::default();
    while let Some(gossip) = asks.next().await {
        let ask = &gossip.ask.value;
        match futures::try_join!(chain.account(ask.provider), courts.know(&chain, ask.court)) {
            Ok((deposit, known)) => {
                if inputs.send(Input::Event(Event::Heard(Offer::new(gossip, deposit, known)))).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(provider = %ask.provider, %error, "deposit or court not read"),
        }
    }
}

/// Courts whose code was found to be known. Deployed code does not change; of others it is not remembered.
#[derive(Debug, Default)]
struct KnownCourts(BTreeSet<Address>);

impl KnownCourts {
    /// Whether a court is known, or none is named.
    async fn know(&mut self, chain: &Chain, court: Address) -> Result<bool, ChainError> {
        if court.is_zero() || self.0.contains(&court) {
            return Ok(true);
        }
        let known = chain.is_known_court(court).await?;
        if known && self.0.len() < MAX_KNOWN_COURTS {
            self.0.insert(court);
        }
        Ok(known)
    }
}
