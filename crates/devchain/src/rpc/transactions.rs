//! Sending and looking up transactions.

use alloy_consensus::{
    TxEnvelope,
    transaction::{Recovered, SignerRecoverable, TransactionInfo},
};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{B256, Bytes, U64};
use alloy_rpc_types_eth::Transaction;
use serde_json::Value;

use super::{
    Answer, RpcError, blocks,
    params::{Params, json},
};
use crate::{
    block::{Head, Included, rpc_receipt, rpc_transaction},
    chain::Chain,
    error::Error,
};

/// Longest signed transaction, bytes. Other nodes have the same bound.
const MAX_TRANSACTION_BYTES: usize = 128 * 1024;

/// Decodes a signed transaction and recovers its signer.
pub(super) fn decode(raw: &Bytes) -> Result<Recovered<TxEnvelope>, RpcError> {
    if raw.len() > MAX_TRANSACTION_BYTES {
        let message = format!(
            "oversized data: transaction size {}, limit {MAX_TRANSACTION_BYTES}",
            raw.len()
        );
        return Err(RpcError::rejected(message));
    }
    let mut rest = raw.as_ref();
    let transaction = TxEnvelope::decode_2718(&mut rest).map_err(|error| {
        RpcError::invalid_params(format!("failed to decode signed transaction: {error}"))
    })?;
    if !rest.is_empty() {
        return Err(RpcError::invalid_params(
            "failed to decode signed transaction: bytes left over",
        ));
    }
    let sender = transaction
        .recover_signer()
        .map_err(|_| RpcError::rejected("invalid sender: the signature recovers to nobody"))?;
    Ok(Recovered::new_unchecked(transaction, sender))
}

pub(super) fn send_raw(chain: &mut Chain, p: &mut Params) -> Answer {
    let transaction = decode(&p.take(0, "signed transaction")?)?;
    json(chain.submit(transaction)?)
}

/// Returns the block that contains the transaction with this hash, all its transactions, and the
/// position.
fn find(chain: &Chain, hash: &B256) -> Result<Option<(Head, Vec<Included>, usize)>, Error> {
    let snapshot = chain.store.snapshot()?;
    let Some((number, position)) = snapshot.position(hash)? else { return Ok(None) };
    let head = snapshot.head(number)?.ok_or(Error::Damaged { what: "block" })?;
    Ok(Some((head, snapshot.body(number)?, position as usize)))
}

pub(super) fn by_hash(chain: &Chain, p: &mut Params) -> Answer {
    let hash = p.take::<B256>(0, "transaction hash")?;
    if let Some(waiting) = chain.pool.get(&hash) {
        return json(Transaction::from_transaction(waiting.clone(), TransactionInfo::default()));
    }
    let Some((head, mut body, at)) = find(chain, &hash)? else { return Ok(Value::Null) };
    json(rpc_transaction(&head, at as u64, body.swap_remove(at)))
}

pub(super) fn raw_by_hash(chain: &Chain, p: &mut Params) -> Answer {
    let hash = p.take::<B256>(0, "transaction hash")?;
    let encoded = |transaction: &TxEnvelope| Bytes::from(transaction.encoded_2718());
    if let Some(waiting) = chain.pool.get(&hash) {
        return json(encoded(waiting));
    }
    json(find(chain, &hash)?.map(|(_, body, at)| encoded(&body[at].transaction)))
}

pub(super) fn by_position(chain: &Chain, method: &str, p: &mut Params) -> Answer {
    let id = blocks::id(method, p)?;
    let at = p.take::<U64>(1, "index")?.to::<u64>();
    let snapshot = chain.store.snapshot()?;
    let Some((head, mut body)) = blocks::find(chain, &snapshot, id)? else {
        return Ok(Value::Null);
    };
    match usize::try_from(at) {
        Ok(index) if index < body.len() => {
            json(rpc_transaction(&head, at, body.swap_remove(index)))
        }
        _ => Ok(Value::Null),
    }
}

pub(super) fn receipt(chain: &Chain, p: &mut Params) -> Answer {
    let hash = p.take::<B256>(0, "transaction hash")?;
    json(find(chain, &hash)?.and_then(|(head, body, at)| rpc_receipt(&head, &body, at)))
}
