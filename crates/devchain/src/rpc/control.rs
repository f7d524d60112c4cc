//! Test controls with anvil's names: time, mining, snapshots, reorgs, and state.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use serde_json::{Value, json};

use super::{
    Answer, RpcError,
    params::{self, Params},
    transactions,
};
use crate::chain::Chain;

/// Most blocks that one request makes.
const MAX_BLOCKS: u64 = 10_000;
/// Most transactions that one reorg puts on its new branch.
const MAX_REORG_TRANSACTIONS: usize = 1024;

pub(super) fn answer(chain: &mut Chain, method: &str, p: &mut Params) -> Answer {
    match method {
        "evm_mine" => mine_one(chain, p),
        "anvil_mine" | "hardhat_mine" => mine_many(chain, p),
        "evm_setAutomine" | "anvil_setAutomine" => {
            chain.automine = p.take(0, "enabled")?;
            Ok(Value::Null)
        }
        "anvil_getAutomine" | "hardhat_getAutomine" => Ok(Value::Bool(chain.automine)),

        "evm_increaseTime" | "anvil_increaseTime" => increase_time(chain, p),
        "evm_setNextBlockTimestamp" | "anvil_setNextBlockTimestamp" => set_next_timestamp(chain, p),
        "anvil_setBlockTimestampInterval" => {
            chain.time.interval = Some(take_number(p, 0, "seconds")?);
            Ok(Value::Null)
        }
        "anvil_removeBlockTimestampInterval" => {
            Ok(Value::Bool(chain.time.interval.take().is_some()))
        }
        "anvil_setNextBlockBaseFeePerGas" | "hardhat_setNextBlockBaseFeePerGas" => {
            chain.next_base_fee = Some(take_number(p, 0, "base fee")?);
            Ok(Value::Null)
        }

        "evm_snapshot" | "anvil_snapshot" => params::json(U64::from(chain.mark())),
        "evm_revert" | "anvil_revert" => {
            Ok(Value::Bool(chain.return_to_mark(take_number(p, 0, "snapshot id")?)?))
        }
        "anvil_reorg" => reorg(chain, p),
        "anvil_rollback" => {
            chain.roll_back(take_depth(p)?.unwrap_or(1))?;
            Ok(Value::Null)
        }
        "anvil_dropTransaction" | "hardhat_dropTransaction" => {
            let hash = p.take::<B256>(0, "transaction hash")?;
            params::json(chain.pool.remove(&hash).then_some(hash))
        }

        "anvil_setBalance" | "hardhat_setBalance" => set_balance(chain, p),
        "anvil_setNonce" | "hardhat_setNonce" => set_nonce(chain, p),
        "anvil_setCode" | "hardhat_setCode" => set_code(chain, p),
        "anvil_setStorageAt" | "hardhat_setStorageAt" => set_storage(chain, p),
        _ => Err(RpcError::method_not_found()),
    }
}

/// Reads a JSON number, or a string of hex or decimal digits.
fn number(value: &Value) -> Option<U256> {
    match value {
        Value::Number(number) => number.as_u64().map(U256::from),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn take_u256(p: &mut Params, index: usize, name: &str) -> Result<U256, RpcError> {
    let value = p.take::<Value>(index, name)?;
    number(&value).ok_or_else(|| {
        RpcError::invalid_params(format!("invalid argument {index} ({name}): not a number"))
    })
}

fn take_number(p: &mut Params, index: usize, name: &str) -> Result<u64, RpcError> {
    let value = take_u256(p, index, name)?;
    u64::try_from(value).map_err(|_| {
        RpcError::invalid_params(format!("invalid argument {index} ({name}): too large"))
    })
}

fn mine_pending(chain: &mut Chain) -> Result<(), RpcError> {
    let ready = chain.ready()?;
    chain.mine(ready)?;
    Ok(())
}

/// `evm_mine([time | {timestamp, blocks}])`.
fn mine_one(chain: &mut Chain, p: &mut Params) -> Answer {
    let options = p.optional::<Value>(0, "options")?.unwrap_or_default();
    let (time, blocks) = match &options {
        Value::Object(fields) => (fields.get("timestamp"), fields.get("blocks").and_then(number)),
        Value::Null => (None, None),
        time => (Some(time), None),
    };
    if let Some(time) = time.filter(|time| !time.is_null()) {
        let time = number(time).ok_or_else(|| RpcError::invalid_params("invalid timestamp"))?;
        set_next(chain, time)?;
    }
    for _ in 0..bounded_blocks(blocks.unwrap_or(U256::ONE))? {
        mine_pending(chain)?;
    }
    Ok(json!("0x0"))
}

fn bounded_blocks(count: U256) -> Result<u64, RpcError> {
    match u64::try_from(count) {
        Ok(count) if count <= MAX_BLOCKS => Ok(count),
        _ => Err(RpcError::limit(format!("at most {MAX_BLOCKS} blocks at a time"))),
    }
}

/// `anvil_mine([count], [seconds between])`.
fn mine_many(chain: &mut Chain, p: &mut Params) -> Answer {
    let optional = |p: &mut Params, index, name| match p.optional::<Value>(index, name)? {
        None => Ok(None),
        Some(value) => number(&value)
            .map(Some)
            .ok_or_else(|| RpcError::invalid_params(format!("invalid {name}"))),
    };
    let count = bounded_blocks(optional(p, 0, "block count")?.unwrap_or(U256::ONE))?;
    let between = optional(p, 1, "seconds between")?;
    for made in 0..count {
        if let Some(seconds) = between.filter(|_| made > 0) {
            set_next(chain, U256::from(chain.head.header.timestamp).saturating_add(seconds))?;
        }
        mine_pending(chain)?;
    }
    Ok(Value::Null)
}

fn increase_time(chain: &mut Chain, p: &mut Params) -> Answer {
    let seconds = take_number(p, 0, "seconds")?;
    let later = chain.time.next_block(chain.head.header.timestamp).checked_add(seconds);
    chain.time.set(
        later
            .filter(|time| *time <= i64::MAX as u64)
            .ok_or_else(|| RpcError::invalid_params("too far in the future"))?,
    );
    chain.keep_time()?;
    params::json(chain.time.offset)
}

fn set_next_timestamp(chain: &mut Chain, p: &mut Params) -> Answer {
    let time = take_u256(p, 0, "timestamp")?;
    set_next(chain, time)?;
    Ok(Value::Null)
}

fn set_next(chain: &mut Chain, time: U256) -> Result<(), RpcError> {
    let last = chain.head.header.timestamp;
    match u64::try_from(time) {
        Ok(time) if time >= last && time <= i64::MAX as u64 => {
            chain.time.next = Some(time);
            Ok(())
        }
        _ => Err(RpcError::invalid_params(format!(
            "timestamp {time} must not lie before the newest block's ({last})"
        ))),
    }
}

fn take_depth(p: &mut Params) -> Result<Option<u64>, RpcError> {
    match p.optional::<Value>(0, "depth")? {
        None => Ok(None),
        Some(value) => number(&value)
            .and_then(|depth| u64::try_from(depth).ok())
            .map(Some)
            .ok_or_else(|| RpcError::invalid_params("invalid depth")),
    }
}

/// `anvil_reorg(depth, [[raw transaction, block index], …])`, or the same as one object.
///
/// Replaces the newest `depth` blocks by as many new ones, which contain exactly the given
/// transactions; index 0 is the lowest new block. All other transactions of the old blocks become
/// unknown, as if never sent. Transactions that are invalid on the new branch are left out, and the
/// error names the first one.
fn reorg(chain: &mut Chain, p: &mut Params) -> Answer {
    let first = p.take::<Value>(0, "depth")?;
    let (depth, pairs) = match first {
        Value::Object(mut options) => {
            let pairs = options
                .remove("tx_block_pairs")
                .or_else(|| options.remove("txBlockPairs"))
                .unwrap_or_default();
            (options.remove("depth").unwrap_or_default(), pairs)
        }
        depth => (depth, p.optional(1, "transactions")?.unwrap_or_default()),
    };
    let depth = number(&depth).ok_or_else(|| RpcError::invalid_params("invalid depth"))?;
    let depth = bounded_blocks(depth)?;
    let pairs: Option<Vec<(Bytes, u64)>> = serde_json::from_value(pairs).map_err(|error| {
        RpcError::invalid_params(format!(
            "transactions must be [signed bytes, block index] pairs: {error}"
        ))
    })?;
    let pairs = pairs.unwrap_or_default();
    if pairs.len() > MAX_REORG_TRANSACTIONS {
        return Err(RpcError::limit(format!(
            "at most {MAX_REORG_TRANSACTIONS} transactions at a time"
        )));
    }
    let mut blocks: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for (raw, index) in &pairs {
        if *index >= depth {
            return Err(RpcError::invalid_params(format!(
                "block index {index} lies beyond the new branch of {depth} blocks"
            )));
        }
        blocks.entry(*index).or_default().push(transactions::decode(raw)?);
    }
    chain.roll_back(depth)?;
    let mut rejected = Vec::new();
    for index in 0..depth {
        rejected.extend(chain.mine(blocks.remove(&index).unwrap_or_default())?);
    }
    match rejected.first() {
        None => Ok(Value::Null),
        Some((transaction, reason)) => {
            let error = RpcError::invalid_transaction(reason);
            let message = format!(
                "reorg done without transaction {}: {}",
                transaction.tx_hash(),
                error.message
            );
            Err(RpcError { message, ..error })
        }
    }
}

fn set_balance(chain: &mut Chain, p: &mut Params) -> Answer {
    let (address, balance) = (p.take::<Address>(0, "address")?, take_u256(p, 1, "balance")?);
    chain.change_account(address, |account| account.balance = balance)?;
    Ok(Value::Null)
}

fn set_nonce(chain: &mut Chain, p: &mut Params) -> Answer {
    let (address, nonce) = (p.take::<Address>(0, "address")?, take_number(p, 1, "nonce")?);
    chain.change_account(address, |account| account.nonce = nonce)?;
    Ok(Value::Null)
}

fn set_code(chain: &mut Chain, p: &mut Params) -> Answer {
    let (address, code) = (p.take::<Address>(0, "address")?, p.take::<Bytes>(1, "code")?);
    if revm::bytecode::Bytecode::new_raw_checked(code.clone()).is_err() {
        return Err(RpcError::invalid_params("code is a malformed delegation"));
    }
    chain.intervene(|changes, view| {
        let mut account = view.account(address)?.unwrap_or_default();
        account.code_hash = keccak256(&code);
        if !code.is_empty() {
            changes.set_code(view, account.code_hash, code)?;
        }
        changes.set_account(view, address, &account)
    })?;
    Ok(Value::Null)
}

fn set_storage(chain: &mut Chain, p: &mut Params) -> Answer {
    let (address, slot) = (p.take::<Address>(0, "address")?, p.take::<U256>(1, "slot")?);
    let value = p.take::<U256>(2, "value")?;
    chain.intervene(|changes, view| changes.set_slot(view, address, slot, value))?;
    Ok(Value::Bool(true))
}
