//! Questions to the chain about one account.

use alloy_primitives::{Address, U256};
use rialto_chain::{Chain, ChainError};

/// Asks the chain about one account: its money in the market, its asks, its gas.
#[derive(Clone)]
pub struct Wallet {
    chain: Chain,
    account: Address,
}

impl Wallet {
    /// Asks about `account` in the market of `chain`.
    pub fn new(chain: Chain, account: Address) -> Self {
        Self { chain, account }
    }

    /// Returns the account's free money in the market, base units.
    pub async fn money(&self) -> Result<u128, ChainError> {
        self.chain.account(self.account).await
    }

    /// Returns the account's free money in the market and the counter of its asks.
    pub async fn standing(&self) -> Result<(u128, u64), ChainError> {
        futures::try_join!(self.chain.account(self.account), self.chain.ask_counter(self.account))
    }

    /// Returns the price of gas and the account's gas money, wei.
    pub async fn gas(&self) -> Result<(u128, U256), ChainError> {
        futures::try_join!(self.chain.gas_price(), self.chain.native_balance(self.account))
    }
}
