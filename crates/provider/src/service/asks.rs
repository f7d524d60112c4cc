//! Gossip of asks: publishing ours, and judging those that pass through.

use alloy_sol_types::Eip712Domain;
use futures::future::BoxFuture;
use rialto_chain::{Chain, Clock};
use rialto_net::{AskCheck, AskPublisher, Node, Verdict};
use rialto_protocol::{
    pricing::{BPS, share},
    types::{Ask, digest},
    wire::{AskGossip, Signed},
};

use super::session::Seal;

/// Judges asks by what the chain says.
pub(crate) struct ChainCheck {
    pub chain: Chain,
    pub clock: Clock,
    pub domain: Eip712Domain,
}

impl AskCheck for ChainCheck {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn check<'a>(&'a self, ask: &'a Signed<Ask>) -> BoxFuture<'a, Verdict> {
        Box::pin(self.judge(ask))
    }
}

impl ChainCheck {
    async fn judge(&self, signed: &Signed<Ask>) -> Verdict {
        let ask = &signed.value;
        if ask.from >= ask.to || ask.minBudget > ask.maxBudget || ask.latePenaltyBps > BPS {
            return Verdict::Bad("terms that the market refuses".into());
        }
        let Some(needed) = share(ask.minBudget, ask.collateralBps) else {
            return Verdict::Bad("collateral beyond 128 bits".into());
        };
        let digest = digest(ask, &self.domain);
        match self.chain.is_valid_signature(ask.provider, digest, &signed.signature).await {
            Ok(true) => {}
            Ok(false) => return Verdict::Bad("not signed by its provider".into()),
            Err(error) => return Verdict::Unknown(error.to_string()),
        }
        let account = futures::try_join!(self.chain.account(ask.provider), self.chain.ask_counter(ask.provider));
        match account {
            Ok((_, counter)) if counter != ask.counter => Verdict::Stale(format!("its counter is {counter}")),
            Ok((balance, _)) if balance < needed => Verdict::Stale(format!("{balance} of {needed} deposited")),
            Ok(_) => Verdict::Good,
            Err(error) => Verdict::Unknown(error.to_string()),
        }
    }
}

/// Signs and gossips an ask.
pub(crate) async fn publish(ask: Ask, node: Node, publisher: AskPublisher, seal: Seal) {
    let (provider, to) = (ask.provider, ask.to);
    let published = match seal.sign(ask) {
        Ok(ask) => publisher.publish(AskGossip { ask, peer: node.addr() }).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = published {
        tracing::warn!(%provider, to, error, "ask not published");
    }
}
