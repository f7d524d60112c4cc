//! Which gossiped asks are passed on.

use futures::future::BoxFuture;
use rialto_chain::{AskStanding, Chain, Clock};
use rialto_net::{AskCheck, Verdict};
use rialto_protocol::{types::Ask, wire::Signed};

/// Judges asks by what the chain says of their signature, counter and deposit.
pub struct ChainCheck {
    chain: Chain,
    clock: Clock,
}

impl ChainCheck {
    /// Judges asks of the market of `chain`. The caller tells `clock` the chain's time.
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
