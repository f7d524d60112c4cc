//! Errors in their form for clients.

use alloy_primitives::{Bytes, U256};
use revm::context_interface::result::InvalidTransaction;
use serde_json::Value;

use crate::{error::Error, execute::revert_reason};

/// A JSON-RPC error object.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// Error code: JSON-RPC's own, EIP-1474's, or 3 for a revert.
    pub code: i64,
    /// Message, for people.
    pub message: String,
    /// For a revert, the returned bytes in hex.
    pub data: Option<Value>,
}

impl RpcError {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(crate) fn parse() -> Self {
        Self::new(-32700, "Parse error")
    }

    pub(crate) fn invalid_request(message: &str) -> Self {
        Self::new(-32600, message)
    }

    pub(crate) fn method_not_found() -> Self {
        Self::new(-32601, "Method not found")
    }

    pub(crate) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// A query that cannot be answered.
    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(-32000, message)
    }

    /// EIP-1474 "transaction rejected".
    pub(crate) fn rejected(message: impl Into<String>) -> Self {
        Self::new(-32003, message)
    }

    /// EIP-1474 "limit exceeded".
    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(-32005, message)
    }

    pub(crate) fn no_such_block() -> Self {
        Self::server("header not found")
    }

    /// A transaction that no block can include at present, in the wording that clients recognise.
    pub(crate) fn invalid_transaction(reason: &InvalidTransaction) -> Self {
        use InvalidTransaction as I;
        Self::rejected(match reason {
            I::NonceTooLow { tx, state } => {
                format!("nonce too low: next nonce {state}, tx nonce {tx}")
            }
            I::NonceTooHigh { tx, state } => {
                format!("nonce too high: next nonce {state}, tx nonce {tx}")
            }
            I::LackOfFundForMaxFee { fee, balance } => format!(
                "insufficient funds for gas * price + value: balance {balance}, tx cost {fee}, overshot {}",
                U256::saturating_sub(**fee, **balance)
            ),
            I::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
                format!("intrinsic gas too low: gas {gas_limit}, minimum needed {initial_gas}")
            }
            I::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
                format!(
                    "intrinsic gas too low for floor data gas cost: gas {gas_limit}, minimum needed {gas_floor}"
                )
            }
            I::CallerGasLimitMoreThanBlock => "exceeds block gas limit".into(),
            I::PriorityFeeGreaterThanMaxFee => {
                "max priority fee per gas higher than max fee per gas".into()
            }
            I::GasPriceLessThanBasefee => "max fee per gas less than block base fee".into(),
            I::RejectCallerWithCode => "sender not an eoa".into(),
            I::CreateInitCodeSizeLimit => "max initcode size exceeded".into(),
            I::InvalidChainId | I::MissingChainId => "invalid chain id for signer".into(),
            other => other.to_string(),
        })
    }

    /// A call that reverted.
    pub(crate) fn reverted(output: &Bytes) -> Self {
        let message = match revert_reason(output) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".into(),
        };
        Self { code: 3, message, data: Some(Value::String(output.to_string())) }
    }
}

impl From<Error> for RpcError {
    fn from(error: Error) -> Self {
        tracing::error!(%error, "devchain request failed");
        Self::new(-32603, error.to_string())
    }
}
