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

/// Brings good asks to the driver, with what their providers hold and whether their courts are
/// known.
///
/// A court counts as known for new deals if it judges by `machine`, the version that new programs
/// run under. Courts of deals that are open are found by their code when they are needed.
pub(crate) async fn listen(
    mut asks: AskStream,
    chain: Chain,
    machine: Option<u16>,
    inputs: mpsc::Sender<Input>,
) {
    let mut courts = UsableCourts { machine, found: BTreeSet::new() };
    while let Some(gossip) = asks.next().await {
        let ask = &gossip.ask.value;
        match futures::try_join!(chain.account(ask.provider), courts.know(&chain, ask.court)) {
            Ok((deposit, known)) => {
                if inputs
                    .send(Input::Event(Event::Heard(Offer::new(gossip, deposit, known))))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(provider = %ask.provider, %error, "deposit or court not read")
            }
        }
    }
}

/// Courts that new deals may name. Deployed code does not change; of other courts nothing is
/// remembered.
struct UsableCourts {
    machine: Option<u16>,
    found: BTreeSet<Address>,
}

impl UsableCourts {
    /// Whether a court judges what would run, or none is named.
    async fn know(&mut self, chain: &Chain, court: Address) -> Result<bool, ChainError> {
        if court.is_zero() || self.found.contains(&court) {
            return Ok(true);
        }
        let judges_by = chain.court_machine(court).await?;
        let known = judges_by.is_some() && judges_by == self.machine;
        if known && self.found.len() < MAX_KNOWN_COURTS {
            self.found.insert(court);
        }
        Ok(known)
    }
}
