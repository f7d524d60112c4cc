//! Checks of a gossiped ask against the chain.

use rialto_protocol::{
    pricing::{BPS, share},
    types::{Ask, digest},
    wire::Signed,
};

use crate::{bindings::IMarket, chain::Chain, error::ChainError};

/// Judgement of an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskStanding {
    /// The ask is signed by its provider, which has the deposit for it.
    Good,
    /// The ask is not good now: its counter is outdated, or the deposit is too small or not seen
    /// yet.
    Stale(String),
    /// The ask never was good: its signature is wrong, or the market refuses its terms.
    Bad(String),
}

impl Chain {
    /// Judges an ask by its terms, signature, counter and deposit.
    ///
    /// # Errors
    /// A [`ChainError`] if the endpoint fails.
    pub async fn judge_ask(&self, signed: &Signed<Ask>) -> Result<AskStanding, ChainError> {
        let ask = &signed.value;
        let sold = !ask.key.is_zero() && ask.from < ask.to && ask.minBudget <= ask.maxBudget;
        if !sold || ask.latePenaltyBps > BPS {
            return Ok(AskStanding::Bad("terms that the market refuses".into()));
        }
        let Some(needed) = share(ask.minBudget, ask.collateralBps) else {
            return Ok(AskStanding::Bad("collateral beyond 128 bits".into()));
        };
        if !self
            .is_valid_signature(ask.provider, digest(ask, self.domain()), &signed.signature)
            .await?
        {
            return Ok(AskStanding::Bad("not signed by its provider".into()));
        }
        let account = self.read(IMarket::accountCall { owner: ask.provider }).await?;
        Ok(match account.balance {
            _ if account.counter != ask.counter => {
                AskStanding::Stale(format!("its counter is {}", account.counter))
            }
            balance if balance < needed => {
                AskStanding::Stale(format!("{balance} of {needed} deposited"))
            }
            _ => AskStanding::Good,
        })
    }
}
