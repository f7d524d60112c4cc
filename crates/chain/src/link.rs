//! A checked connection to a chain, with the limits that all its users keep.

use std::time::Duration;

use alloy_primitives::{B256, Bytes};

use crate::chain::ChainConfig;
use crate::contract_error::ContractError;
use crate::error::ChainError;
use crate::eth::CallRequest;
use crate::known::KnownCourts;
use crate::rpc::Endpoint;

pub(crate) struct Link {
    pub(crate) endpoint: Endpoint,
    pub(crate) chain_id: u64,
    /// Hash of block 0; zero if the node does not keep it.
    pub(crate) genesis: B256,
    pub(crate) confirmations: u64,
    pub(crate) poll: Duration,
    pub(crate) max_fee: u128,
    pub(crate) bump_after: Duration,
    pub(crate) courts: KnownCourts,
}

impl Link {
    pub(crate) async fn connect(cfg: &ChainConfig) -> Result<Link, ChainError> {
        let endpoint = Endpoint::new(&cfg.rpc)?;
        let chain_id = endpoint.chain_id().await?;
        if let Some(expected) = cfg.chain_id.filter(|expected| *expected != chain_id) {
            return Err(ChainError::WrongChain { expected, found: chain_id });
        }
        let genesis = endpoint.header(0).await?.map(|header| header.hash).unwrap_or_default();
        Ok(Link {
            endpoint,
            chain_id,
            genesis,
            confirmations: cfg.confirmations.max(1),
            poll: cfg.poll.unwrap_or_else(|| cfg.rpc.default_poll()),
            max_fee: cfg.max_fee_per_gas_wei,
            bump_after: cfg.bump_after,
            courts: cfg.courts.clone(),
        })
    }

    /// Performs an eth_call at the newest block. A revert becomes [`ChainError::Contract`].
    pub(crate) async fn eth_call(&self, call: &CallRequest) -> Result<Bytes, ChainError> {
        self.endpoint.eth_call(call, None).await.map_err(reverted)
    }
}

/// Converts an execution revert to the contract's own error.
pub(crate) fn reverted(error: ChainError) -> ChainError {
    match &error {
        ChainError::Refused { fault, .. } => match fault.revert_data() {
            Some(data) => ContractError::decode(&data).into(),
            None => error,
        },
        _ => error,
    }
}
