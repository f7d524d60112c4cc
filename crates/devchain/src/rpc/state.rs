//! Queries about accounts.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, U64, U256};

use super::{
    Answer, RpcError,
    params::{Params, json},
};
use crate::chain::Chain;

/// Returns the block that a parameter names; the newest one by default.
pub(super) fn at(p: &mut Params, index: usize) -> Result<BlockId, RpcError> {
    Ok(p.optional(index, "block")?.unwrap_or_default())
}

pub(super) fn nonce(chain: &Chain, p: &mut Params) -> Answer {
    let (address, id) = (p.take::<Address>(0, "address")?, at(p, 1)?);
    let snapshot = chain.store.snapshot()?;
    let mut nonce = chain.scene(&snapshot, id)?.view.account(address)?.unwrap_or_default().nonce;
    if id == BlockId::Number(BlockNumberOrTag::Pending) {
        nonce = chain.pool.nonce_after(address, nonce);
    }
    json(U64::from(nonce))
}

pub(super) fn balance(chain: &Chain, p: &mut Params) -> Answer {
    let (address, id) = (p.take::<Address>(0, "address")?, at(p, 1)?);
    let snapshot = chain.store.snapshot()?;
    json(chain.scene(&snapshot, id)?.view.account(address)?.unwrap_or_default().balance)
}

pub(super) fn code(chain: &Chain, p: &mut Params) -> Answer {
    let (address, id) = (p.take::<Address>(0, "address")?, at(p, 1)?);
    let snapshot = chain.store.snapshot()?;
    json(chain.scene(&snapshot, id)?.view.code(address)?)
}

pub(super) fn storage_at(chain: &Chain, p: &mut Params) -> Answer {
    let (address, slot, id) =
        (p.take::<Address>(0, "address")?, p.take::<U256>(1, "slot")?, at(p, 2)?);
    let snapshot = chain.store.snapshot()?;
    json(B256::from(chain.scene(&snapshot, id)?.view.slot(address, slot)?))
}
