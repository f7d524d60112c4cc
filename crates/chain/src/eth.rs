//! The Ethereum JSON-RPC methods that the client uses, with their answers.
//!
//! Only the fields in use are decoded, so chains with their own transaction types are readable.

use alloy_primitives::{Address, B256, Bytes, Log, LogData, U64, U128, U256};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ChainError;
use crate::journal::RawCall;
use crate::rpc::Endpoint;

/// A block's header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header {
    number: U64,
    pub(crate) hash: B256,
    pub(crate) parent_hash: B256,
    timestamp: U64,
    base_fee_per_gas: Option<U128>,
}

impl Header {
    pub(crate) fn number(&self) -> u64 {
        self.number.to()
    }
    /// Time of the block, Unix seconds.
    pub(crate) fn timestamp(&self) -> u64 {
        self.timestamp.to()
    }
    /// Base fee, wei per gas; zero on chains without one.
    pub(crate) fn base_fee(&self) -> u128 {
        self.base_fee_per_gas.map(|fee| fee.to()).unwrap_or_default()
    }
}

/// A block with the senders and nonces of its transactions.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FullBlock {
    pub(crate) transactions: Vec<SentBy>,
}

/// Sender and nonce of a transaction.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SentBy {
    pub(crate) hash: B256,
    pub(crate) from: Address,
    pub(crate) nonce: U64,
}

/// A mined transaction's receipt.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TxReceipt {
    pub(crate) transaction_hash: B256,
    block_number: U64,
    status: U64,
    gas_used: U128,
    #[serde(default)]
    effective_gas_price: U128,
    /// Fee for data, which some rollups charge besides gas.
    #[serde(default)]
    l1_fee: U128,
    pub(crate) contract_address: Option<Address>,
    #[serde(default)]
    pub(crate) logs: Vec<RpcLog>,
}

impl TxReceipt {
    pub(crate) fn block(&self) -> u64 {
        self.block_number.to()
    }
    pub(crate) fn succeeded(&self) -> bool {
        self.status == U64::from(1)
    }
    pub(crate) fn gas_used(&self) -> u64 {
        u64::try_from(self.gas_used.to::<u128>()).unwrap_or(u64::MAX)
    }
    pub(crate) fn fee_wei(&self) -> u128 {
        let price: u128 = self.effective_gas_price.to();
        self.gas_used.to::<u128>().saturating_mul(price).saturating_add(self.l1_fee.to())
    }
}

/// A log, as JSON-RPC returns it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcLog {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    pub(crate) block_hash: B256,
    block_number: U64,
    pub(crate) transaction_hash: B256,
    log_index: U64,
    #[serde(default)]
    pub(crate) removed: bool,
}

impl RpcLog {
    pub(crate) fn block(&self) -> u64 {
        self.block_number.to()
    }
    pub(crate) fn index(&self) -> u64 {
        self.log_index.to()
    }
    pub(crate) fn into_log(self) -> Log {
        Log { address: self.address, data: LogData::new_unchecked(self.topics, self.data) }
    }
}

/// A call to simulate, by eth_call or eth_estimateGas.
#[derive(Clone, Debug)]
pub(crate) struct CallRequest {
    pub(crate) from: Option<Address>,
    /// Called contract; `None` creates a contract.
    pub(crate) to: Option<Address>,
    pub(crate) data: Bytes,
    pub(crate) value: U256,
    /// Gas limit; `None` leaves it to the node.
    pub(crate) gas: Option<u64>,
}

impl CallRequest {
    pub(crate) fn read(to: Address, data: Vec<u8>) -> CallRequest {
        CallRequest { from: None, to: Some(to), data: data.into(), value: U256::ZERO, gas: None }
    }

    /// Creates the request of a call that `account` would send.
    pub(crate) fn by(account: Address, call: &RawCall) -> CallRequest {
        CallRequest {
            from: Some(account),
            to: call.to,
            data: call.data.clone(),
            value: call.value,
            gas: None,
        }
    }

    /// Returns the gas that a transaction with this data costs before it runs (EIP-2028).
    pub(crate) fn intrinsic_gas(&self) -> u64 {
        21_000 + self.data.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum::<u64>()
    }

    fn json(&self) -> Value {
        let mut map = json!({ "data": self.data, "input": self.data });
        if let Some(from) = self.from {
            map["from"] = json!(from);
        }
        if let Some(to) = self.to {
            map["to"] = json!(to);
        }
        if !self.value.is_zero() {
            map["value"] = json!(self.value);
        }
        if let Some(gas) = self.gas {
            map["gas"] = json!(U64::from(gas));
        }
        map
    }
}

/// Encodes a block's number for JSON-RPC.
fn at(number: u64) -> Value {
    json!(U64::from(number))
}

impl Endpoint {
    pub(crate) async fn chain_id(&self) -> Result<u64, ChainError> {
        Ok(self.call::<U64>("eth_chainId", json!([])).await?.to())
    }

    pub(crate) async fn latest(&self) -> Result<Header, ChainError> {
        let block: Option<Header> =
            self.call("eth_getBlockByNumber", json!(["latest", false])).await?;
        block.ok_or_else(|| ChainError::Malformed {
            method: "eth_getBlockByNumber".into(),
            cause: "there is no latest block".into(),
        })
    }

    pub(crate) async fn header(&self, number: u64) -> Result<Option<Header>, ChainError> {
        self.call("eth_getBlockByNumber", json!([at(number), false])).await
    }

    pub(crate) async fn full_block(&self, number: u64) -> Result<Option<FullBlock>, ChainError> {
        self.call("eth_getBlockByNumber", json!([at(number), true])).await
    }

    pub(crate) async fn receipt(&self, tx: B256) -> Result<Option<TxReceipt>, ChainError> {
        self.call("eth_getTransactionReceipt", json!([tx])).await
    }

    pub(crate) async fn balance(&self, account: Address) -> Result<U256, ChainError> {
        self.call("eth_getBalance", json!([account, "latest"])).await
    }

    /// Sets an account's balance. Only nodes of test chains know this call.
    pub(crate) async fn set_balance(&self, account: Address, wei: U256) -> Result<(), ChainError> {
        self.call::<Value>("anvil_setBalance", json!([account, wei])).await.map(drop)
    }

    pub(crate) async fn code(&self, account: Address) -> Result<Bytes, ChainError> {
        self.call("eth_getCode", json!([account, "latest"])).await
    }

    /// Returns the number of mined transactions of `account`; with `pending`, those in the mempool
    /// count, too.
    pub(crate) async fn nonce(&self, account: Address, pending: bool) -> Result<u64, ChainError> {
        let block = if pending { "pending" } else { "latest" };
        Ok(self.call::<U64>("eth_getTransactionCount", json!([account, block])).await?.to())
    }

    pub(crate) async fn gas_price(&self) -> Result<u128, ChainError> {
        Ok(self.call::<U128>("eth_gasPrice", json!([])).await?.to())
    }

    pub(crate) async fn tip(&self) -> Result<u128, ChainError> {
        Ok(self.call::<U128>("eth_maxPriorityFeePerGas", json!([])).await?.to())
    }

    pub(crate) async fn eth_call(
        &self,
        call: &CallRequest,
        block: Option<u64>,
    ) -> Result<Bytes, ChainError> {
        let block = block.map(at).unwrap_or_else(|| json!("latest"));
        self.call("eth_call", json!([call.json(), block])).await
    }

    pub(crate) async fn estimate_gas(&self, call: &CallRequest) -> Result<u64, ChainError> {
        Ok(self.call::<U64>("eth_estimateGas", json!([call.json()])).await?.to())
    }

    pub(crate) async fn send_raw(&self, raw: &Bytes) -> Result<B256, ChainError> {
        self.call("eth_sendRawTransaction", json!([raw])).await
    }

    /// Returns the logs of these contracts in blocks `from..=to`.
    pub(crate) async fn logs(
        &self,
        of: &[Address],
        from: u64,
        to: u64,
    ) -> Result<Vec<RpcLog>, ChainError> {
        self.call(
            "eth_getLogs",
            json!([{ "address": of, "fromBlock": at(from), "toBlock": at(to) }]),
        )
        .await
    }

    /// Returns the logs of these contracts in exactly this block; fails if the node does not know
    /// it.
    pub(crate) async fn logs_of(
        &self,
        of: &[Address],
        block: B256,
    ) -> Result<Vec<RpcLog>, ChainError> {
        self.call("eth_getLogs", json!([{ "address": of, "blockHash": block }])).await
    }
}
