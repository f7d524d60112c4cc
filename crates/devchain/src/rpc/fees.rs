//! Gas prices.

use alloy_consensus::Transaction as _;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{U64, U128};
use alloy_rpc_types_eth::FeeHistory;

use super::{
    Answer, RpcError,
    params::{Params, json},
};
use crate::{
    block::{Head, Included},
    chain::Chain,
    error::Error,
};

/// Suggested tip, wei per gas. It is constant, because nobody competes for space in this chain's
/// blocks.
const SUGGESTED_TIP: u64 = 1_000_000_000;
/// Most blocks that one fee history covers.
const MAX_HISTORY_BLOCKS: u64 = 1024;
/// Most percentiles that one fee history reports.
const MAX_PERCENTILES: usize = 100;

pub(super) fn tip() -> Answer {
    json(U64::from(SUGGESTED_TIP))
}

pub(super) fn gas_price(chain: &Chain) -> Answer {
    json(U128::from(u128::from(chain.next_base_fee()) + u128::from(SUGGESTED_TIP)))
}

pub(super) fn history(chain: &Chain, p: &mut Params) -> Answer {
    let count = p.take::<U64>(0, "block count")?.to::<u64>().min(MAX_HISTORY_BLOCKS);
    let newest = p.take::<BlockNumberOrTag>(1, "newest block")?;
    let percentiles =
        p.optional::<Vec<f64>>(2, "percentiles")?.filter(|percentiles| !percentiles.is_empty());
    check(percentiles.as_deref().unwrap_or_default())?;
    let newest = chain.number_of(newest).unwrap_or(chain.meta.head);
    if newest > chain.meta.head {
        return Err(RpcError::server(format!(
            "request beyond head block: requested {newest}, head {}",
            chain.meta.head
        )));
    }
    if count == 0 {
        return json(FeeHistory::default());
    }
    let oldest = (newest + 1).saturating_sub(count);
    let snapshot = chain.store.snapshot()?;
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for number in oldest..=newest {
        let head = snapshot.head(number)?.ok_or(Error::Damaged { what: "block" })?;
        history.base_fee_per_gas.push(head.base_fee().into());
        history.gas_used_ratio.push(head.header.gas_used as f64 / head.header.gas_limit as f64);
        history.base_fee_per_blob_gas.push(1);
        history.blob_gas_used_ratio.push(0.0);
        if let Some(percentiles) = &percentiles {
            rewards.push(block_rewards(&head, &snapshot.body(number)?, percentiles));
        }
        if number == newest {
            let next = if newest == chain.meta.head {
                chain.next_base_fee()
            } else {
                head.next_base_fee()
            };
            history.base_fee_per_gas.push(next.into());
            history.base_fee_per_blob_gas.push(1);
        }
    }
    history.reward = percentiles.map(|_| rewards);
    json(history)
}

fn check(percentiles: &[f64]) -> Result<(), RpcError> {
    let rising = percentiles.windows(2).all(|pair| pair[0] <= pair[1]);
    let bounded = percentiles.iter().all(|percentile| (0.0..=100.0).contains(percentile));
    if percentiles.len() > MAX_PERCENTILES || !rising || !bounded {
        return Err(RpcError::invalid_params(
            "invalid reward percentile: at most 100, rising, each within 0..=100",
        ));
    }
    Ok(())
}

/// Returns the tips at the given percentiles of the block's gas.
fn block_rewards(head: &Head, body: &[Included], percentiles: &[f64]) -> Vec<u128> {
    let tip = |included: &Included| {
        included.transaction.effective_tip_per_gas(head.base_fee()).unwrap_or_default()
    };
    let mut tips: Vec<(u128, u64)> =
        body.iter().map(|included| (tip(included), included.gas_used)).collect();
    tips.sort_unstable();
    let at = |percentile: f64| {
        let threshold = (head.header.gas_used as f64 * percentile / 100.0) as u64;
        let mut gas = 0;
        let reached = tips.iter().find(|(_, used)| {
            gas += used;
            gas >= threshold
        });
        reached.or(tips.last()).map(|(tip, _)| *tip).unwrap_or_default()
    };
    percentiles.iter().map(|percentile| at(*percentile)).collect()
}
