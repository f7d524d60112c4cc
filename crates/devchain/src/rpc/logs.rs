//! Queries and filters of logs.

use alloy_primitives::U64;
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log};
use serde_json::Value;

use super::{
    Answer, RpcError,
    params::{Params, json},
};
use crate::{
    block::rpc_logs,
    chain::Chain,
    error::Error,
    filters::{Told, matches},
};

/// Widest range of blocks that one query covers.
const MAX_RANGE_BLOCKS: u64 = 10_000;
/// Most logs that one answer holds.
const MAX_LOGS: usize = 20_000;
/// Most addresses, and most alternatives per topic, that one query names.
const MAX_ALTERNATIVES: usize = 1024;

fn take_filter(p: &mut Params) -> Result<Filter, RpcError> {
    let filter = p.take::<Filter>(0, "filter")?;
    if filter.address.len() > MAX_ALTERNATIVES
        || filter.topics.iter().any(|topic| topic.len() > MAX_ALTERNATIVES)
    {
        return Err(RpcError::invalid_params("filter names too many addresses or topics"));
    }
    Ok(filter)
}

pub(super) fn get(chain: &Chain, p: &mut Params) -> Answer {
    let filter = take_filter(p)?;
    json(query(chain, &filter)?)
}

fn query(chain: &Chain, filter: &Filter) -> Result<Vec<Log>, RpcError> {
    let snapshot = chain.store.snapshot()?;
    let (from, to) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let number =
                snapshot.number(&hash)?.ok_or_else(|| RpcError::server("unknown block"))?;
            (number, number)
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let number = |bound: Option<BlockNumberOrTag>| {
                chain.number_of(bound.unwrap_or_default()).unwrap_or(chain.meta.head)
            };
            let (from, to) = (number(from_block), number(to_block));
            if from > to {
                return Err(RpcError::invalid_params(
                    "invalid block range params: from is after to",
                ));
            }
            if from > chain.meta.head {
                return Err(RpcError::invalid_params(
                    "block range extends beyond current head block",
                ));
            }
            (from, to.min(chain.meta.head))
        }
    };
    if to.saturating_sub(from) >= MAX_RANGE_BLOCKS {
        return Err(RpcError::limit(format!("query covers more than {MAX_RANGE_BLOCKS} blocks")));
    }
    let mut logs = Vec::new();
    for number in from..=to {
        let head = snapshot.head(number)?.ok_or(Error::Damaged { what: "block" })?;
        if !filter.matches_bloom(head.header.logs_bloom) {
            continue;
        }
        let found = rpc_logs(&head, &snapshot.body(number)?, |_| true);
        logs.extend(found.into_iter().filter(|log| matches(filter, log)));
        if logs.len() > MAX_LOGS {
            return Err(RpcError::limit(format!("query returned more than {MAX_LOGS} results")));
        }
    }
    Ok(logs)
}

pub(super) fn new_filter(chain: &mut Chain, p: &mut Params) -> Answer {
    let filter = take_filter(p)?;
    json(U64::from(chain.filters.watch_logs(filter)))
}

fn not_found() -> RpcError {
    RpcError::server("filter not found")
}

fn take_id(p: &mut Params) -> Result<u64, RpcError> {
    Ok(p.take::<U64>(0, "filter id")?.to())
}

pub(super) fn changes(chain: &mut Chain, p: &mut Params) -> Answer {
    match chain.filters.poll(take_id(p)?).ok_or_else(not_found)? {
        Told::Blocks(hashes) => json(hashes),
        Told::Logs(logs) => json(logs),
    }
}

pub(super) fn all(chain: &Chain, p: &mut Params) -> Answer {
    let filter = chain.filters.log_filter(take_id(p)?).ok_or_else(not_found)?;
    json(query(chain, filter)?)
}

pub(super) fn uninstall(chain: &mut Chain, p: &mut Params) -> Answer {
    Ok(Value::Bool(chain.filters.remove(take_id(p)?)))
}
