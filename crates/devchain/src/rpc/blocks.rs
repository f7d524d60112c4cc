//! Queries about blocks.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::{Block, BlockTransactions, Header};
use serde_json::Value;

use super::{
    Answer, RpcError,
    params::{Params, json},
};
use crate::{
    block::{Head, Included, rpc_receipt, rpc_transaction},
    chain::Chain,
    error::Error,
    state::Changes,
    store::Snapshot,
};

/// Returns the block that the first parameter names, as hash or number according to the method's
/// name.
pub(super) fn id(method: &str, p: &mut Params) -> Result<BlockId, RpcError> {
    if method.contains("Hash") {
        return Ok(BlockId::from(p.take::<B256>(0, "block hash")?));
    }
    Ok(p.take::<BlockNumberOrTag>(0, "block number")?.into())
}

/// Returns a stored block, or the pending block, which is empty.
pub(super) fn find(
    chain: &Chain,
    snapshot: &Snapshot,
    id: BlockId,
) -> Result<Option<(Head, Vec<Included>)>, Error> {
    match chain.find(snapshot, id)? {
        Some(None) => Ok(None),
        Some(Some(head)) => {
            let body = snapshot.body(head.header.number)?;
            Ok(Some((head, body)))
        }
        None => Ok(Some(chain.draft().seal(&Changes::default()))),
    }
}

pub(super) fn block(chain: &Chain, method: &str, p: &mut Params) -> Answer {
    let id = id(method, p)?;
    let full = p.optional::<bool>(1, "full transactions")?.unwrap_or_default();
    let snapshot = chain.store.snapshot()?;
    let Some((head, body)) = find(chain, &snapshot, id)? else { return Ok(Value::Null) };
    let header: Header = head.to_rpc();
    let transactions = if full {
        let transactions = body.into_iter().enumerate();
        BlockTransactions::Full(
            transactions
                .map(|(at, included)| rpc_transaction(&head, at as u64, included))
                .collect(),
        )
    } else {
        BlockTransactions::Hashes(
            body.iter().map(|included| *included.transaction.tx_hash()).collect(),
        )
    };
    json(Block::new(header, transactions).with_withdrawals(Some(Vec::new().into())))
}

pub(super) fn transaction_count(chain: &Chain, method: &str, p: &mut Params) -> Answer {
    let id = id(method, p)?;
    let snapshot = chain.store.snapshot()?;
    json(find(chain, &snapshot, id)?.map(|(_, body)| U64::from(body.len())))
}

pub(super) fn receipts(chain: &Chain, p: &mut Params) -> Answer {
    let id = p.take::<BlockId>(0, "block")?;
    let snapshot = chain.store.snapshot()?;
    let Some((head, body)) = find(chain, &snapshot, id)? else { return Ok(Value::Null) };
    json((0..body.len()).filter_map(|at| rpc_receipt(&head, &body, at)).collect::<Vec<_>>())
}
