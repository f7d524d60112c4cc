//! Ethereum JSON-RPC: dispatch of methods.

mod blocks;
mod calls;
mod control;
mod error;
mod fees;
mod logs;
mod params;
mod state;
mod transactions;

use alloy_primitives::{Bytes, U64, keccak256};
use serde_json::{Value, json};

pub use error::RpcError;
use params::Params;

use crate::chain::Chain;

type Answer = Result<Value, RpcError>;

/// Answers one request.
pub(crate) fn answer(chain: &mut Chain, method: &str, params: Value) -> Answer {
    let p = &mut Params::new(params)?;
    chain.beat()?;
    match method {
        "eth_chainId" => params::json(U64::from(chain.chain_id())),
        "net_version" => Ok(Value::String(chain.chain_id().to_string())),
        "net_listening" => Ok(Value::Bool(true)),
        "web3_clientVersion" => Ok(json!(concat!("rialto-devchain/", env!("CARGO_PKG_VERSION")))),
        "web3_sha3" => params::json(keccak256(p.take::<Bytes>(0, "data")?)),
        "eth_syncing" => Ok(Value::Bool(false)),
        "eth_accounts" => Ok(json!([])),

        "eth_blockNumber" => params::json(U64::from(chain.meta.head)),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => blocks::block(chain, method, p),
        "eth_getBlockTransactionCountByNumber" | "eth_getBlockTransactionCountByHash" => {
            blocks::transaction_count(chain, method, p)
        }
        "eth_getBlockReceipts" => blocks::receipts(chain, p),

        "eth_sendRawTransaction" => transactions::send_raw(chain, p),
        "eth_getTransactionByHash" => transactions::by_hash(chain, p),
        "eth_getRawTransactionByHash" => transactions::raw_by_hash(chain, p),
        "eth_getTransactionByBlockNumberAndIndex" | "eth_getTransactionByBlockHashAndIndex" => {
            transactions::by_position(chain, method, p)
        }
        "eth_getTransactionReceipt" => transactions::receipt(chain, p),

        "eth_getTransactionCount" => state::nonce(chain, p),
        "eth_getBalance" => state::balance(chain, p),
        "eth_getCode" => state::code(chain, p),
        "eth_getStorageAt" => state::storage_at(chain, p),

        "eth_call" => calls::call(chain, p),
        "eth_estimateGas" => calls::estimate_gas(chain, p),

        "eth_gasPrice" => fees::gas_price(chain),
        "eth_maxPriorityFeePerGas" => fees::tip(),
        "eth_feeHistory" => fees::history(chain, p),

        "eth_getLogs" => logs::get(chain, p),
        "eth_newFilter" => logs::new_filter(chain, p),
        "eth_newBlockFilter" => params::json(U64::from(chain.filters.watch_blocks())),
        "eth_getFilterChanges" => logs::changes(chain, p),
        "eth_getFilterLogs" => logs::all(chain, p),
        "eth_uninstallFilter" => logs::uninstall(chain, p),

        _ => control::answer(chain, method, p),
    }
}
