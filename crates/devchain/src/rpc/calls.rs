//! Calls, and estimates of their gas.

use alloy_eips::BlockId;
use alloy_primitives::U64;
use alloy_rpc_types_eth::TransactionRequest;
use revm::context_interface::result::{EVMError, ExecutionResult, HaltReason};
use serde_json::Value;

use super::{
    Answer, RpcError,
    params::{Params, json},
    state::at,
};
use crate::{
    chain::{Chain, machine_error},
    execute::{Call, Refusal},
    store::Snapshot,
};

/// An estimate may exceed the least sufficient gas by this share, percent. It makes the search
/// shorter.
const ESTIMATE_SLACK_PERCENT: u64 = 1;
/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// Gas that a call with value gives its callee for free. A run therefore needs more at first than
/// it uses.
const CALL_STIPEND: u64 = 2_300;

/// Runs a call at a block.
fn run(
    chain: &Chain,
    snapshot: &Snapshot,
    id: BlockId,
    call: &Call,
) -> Result<Result<ExecutionResult, Refusal>, RpcError> {
    let scene = chain.scene(snapshot, id)?;
    Ok(call.run(scene.view, scene.env, chain.chain_id()))
}

fn read(chain: &Chain, p: &mut Params) -> Result<(Call, BlockId), RpcError> {
    let request = p.take::<TransactionRequest>(0, "call")?;
    let id = at(p, 1)?;
    if p.optional::<Value>(2, "state overrides")?
        .is_some_and(|overrides| !matches!(&overrides, Value::Object(o) if o.is_empty()))
    {
        return Err(RpcError::invalid_params("state overrides are not supported"));
    }
    let call = Call::new(request, chain.gas_limit(), chain.chain_id())
        .map_err(RpcError::invalid_params)?;
    Ok((call, id))
}

fn refused(refusal: Refusal) -> RpcError {
    match refusal {
        EVMError::Transaction(reason) => {
            RpcError { code: -32000, ..RpcError::invalid_transaction(&reason) }
        }
        other => machine_error(other).into(),
    }
}

fn halted(reason: &HaltReason) -> RpcError {
    RpcError::server(match reason {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        other => format!("execution failed: {other:?}"),
    })
}

pub(super) fn call(chain: &Chain, p: &mut Params) -> Answer {
    let (call, id) = read(chain, p)?;
    let snapshot = chain.store.snapshot()?;
    match run(chain, &snapshot, id, &call)?.map_err(refused)? {
        ExecutionResult::Success { output, .. } => json(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(RpcError::reverted(&output)),
        ExecutionResult::Halt { reason, .. } => Err(halted(&reason)),
    }
}

pub(super) fn estimate_gas(chain: &Chain, p: &mut Params) -> Answer {
    let (call, id) = read(chain, p)?;
    let snapshot = chain.store.snapshot()?;
    let balance =
        chain.scene(&snapshot, id)?.view.account(call.caller())?.unwrap_or_default().balance;
    let most = call.env.gas_limit.min(call.affordable_gas(balance));
    let exceeded = || RpcError::server(format!("gas required exceeds allowance ({most})"));

    let (used, spent) = match run(chain, &snapshot, id, &call.with_gas(most))? {
        Ok(ExecutionResult::Success { gas, .. }) => {
            (gas.tx_gas_used(), gas.total_gas_spent().max(gas.floor_gas()))
        }
        Ok(ExecutionResult::Revert { output, .. }) => return Err(RpcError::reverted(&output)),
        Ok(ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. }) => return Err(exceeded()),
        Ok(ExecutionResult::Halt { reason, .. }) => return Err(halted(&reason)),
        Err(EVMError::Transaction(reason)) if needs_gas(&reason) => return Err(exceeded()),
        Err(refusal) => return Err(refused(refusal)),
    };
    if used == TRANSFER_GAS {
        return json(U64::from(TRANSFER_GAS));
    }
    let sufficient = |gas: u64| -> Result<bool, RpcError> {
        match run(chain, &snapshot, id, &call.with_gas(gas))? {
            Ok(result) => Ok(result.is_success()),
            Err(EVMError::Transaction(reason)) if needs_gas(&reason) => Ok(false),
            Err(refusal) => Err(refused(refusal)),
        }
    };
    // `low` never suffices, `high` always does. The gas spent before refunds, plus the share that
    // calls retain (1/64 each), is nearly always enough and bounds the search at once.
    let (mut low, mut high) = (used - 1, most);
    let guess = spent.saturating_add(CALL_STIPEND).saturating_mul(64) / 63;
    let mut middle = guess.min(high);
    while low + 1 < high && high - low > high * ESTIMATE_SLACK_PERCENT / 100 {
        if sufficient(middle)? {
            high = middle;
        } else {
            low = middle;
        }
        // Most runs need little more gas than they use, so the search goes upwards from `low`.
        middle = (low + (high - low) / 2).min(low.saturating_mul(2));
    }
    json(U64::from(high))
}

/// Returns whether a transaction was refused only because of its low gas limit.
fn needs_gas(reason: &revm::context_interface::result::InvalidTransaction) -> bool {
    use revm::context_interface::result::InvalidTransaction as I;
    matches!(reason, I::CallGasCostMoreThanGasLimit { .. } | I::GasFloorMoreThanGasLimit { .. })
}
