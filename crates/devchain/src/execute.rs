//! Execution of transactions and calls in the virtual machine.

use alloy_consensus::{Transaction as _, TxEnvelope, Typed2718, transaction::Recovered};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::{
    Context, ExecuteEvm, MainBuilder, MainContext,
    context::{BlockEnv, TxEnv},
    context_interface::{
        either::Either,
        result::{EVMError, ExecutionResult, InvalidTransaction},
    },
    handler::{MainnetContext, MainnetEvm, validation},
    primitives::hardfork::SpecId,
};

use crate::{error::Error, state::View};

/// The only hard fork of this chain. The contracts are compiled for it.
const SPEC: SpecId = SpecId::PRAGUE;

/// Reason why a transaction or call was not executed at all.
pub(crate) type Refusal = EVMError<Error, InvalidTransaction>;

pub(crate) type Evm<'a> = MainnetEvm<MainnetContext<View<'a>>>;

/// Returns a virtual machine for transactions.
pub(crate) fn machine(view: View<'_>, block: BlockEnv, chain_id: u64) -> Evm<'_> {
    Context::mainnet()
        .with_db(view)
        .with_block(block)
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(SPEC);
            cfg.chain_id = chain_id;
        })
        .build_mainnet()
}

/// Returns a virtual machine for calls. The caller may be a contract, and its nonce is ignored.
fn oracle(view: View<'_>, block: BlockEnv, chain_id: u64) -> Evm<'_> {
    let mut machine = machine(view, block, chain_id);
    machine.ctx.cfg.disable_nonce_check = true;
    machine.ctx.cfg.disable_eip3607 = true;
    machine
}

/// Converts a signed transaction to the virtual machine's form.
pub(crate) fn transaction_env(transaction: &Recovered<TxEnvelope>) -> TxEnv {
    TxEnv {
        tx_type: transaction.ty(),
        caller: transaction.signer(),
        gas_limit: transaction.gas_limit(),
        gas_price: transaction.max_fee_per_gas(),
        kind: transaction.kind(),
        value: transaction.value(),
        data: transaction.input().clone(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        access_list: transaction.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: transaction.max_priority_fee_per_gas(),
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: transaction
            .authorization_list()
            .unwrap_or_default()
            .iter()
            .cloned()
            .map(Either::Left)
            .collect(),
    }
}

/// Checks everything about a transaction that depends neither on its sender's account nor on fees.
pub(crate) fn check(
    view: View<'_>,
    mut block: BlockEnv,
    chain_id: u64,
    transaction: &TxEnv,
) -> Result<(), Refusal> {
    block.basefee = 0;
    let mut machine = machine(view, block, chain_id);
    machine.ctx.tx = transaction.clone();
    validation::validate_env::<_, Refusal>(&mut machine.ctx)?;
    validation::validate_initial_tx_gas(transaction, SPEC, false, false, u64::MAX, None)?;
    Ok(())
}

/// A call, which is a transaction without a signature.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub env: TxEnv,
    /// Whether the caller named a gas price. If not, the call runs with a base fee of zero.
    pub priced: bool,
}

impl Call {
    /// Converts a request. `gas_cap` bounds the gas that an answer may use.
    pub fn new(
        request: TransactionRequest,
        gas_cap: u64,
        chain_id: u64,
    ) -> Result<Self, &'static str> {
        if let (Some(input), Some(data)) = (&request.input.input, &request.input.data)
            && input != data
        {
            return Err("both \"data\" and \"input\" are set and not equal");
        }
        if request.blob_versioned_hashes.is_some_and(|hashes| !hashes.is_empty()) {
            return Err("blobs are not supported");
        }
        if request.gas_price.is_some()
            && (request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some())
        {
            return Err("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified");
        }
        let gas_price = request.gas_price.or(request.max_fee_per_gas).unwrap_or_default();
        let mut env = TxEnv {
            tx_type: 0,
            caller: request.from.unwrap_or_default(),
            gas_limit: request.gas.unwrap_or(gas_cap).min(gas_cap),
            gas_price,
            kind: request.to.unwrap_or(TxKind::Create),
            value: request.value.unwrap_or_default(),
            data: request.input.input.or(request.input.data).unwrap_or_default(),
            nonce: request.nonce.unwrap_or_default(),
            chain_id: Some(request.chain_id.unwrap_or(chain_id)),
            access_list: request.access_list.unwrap_or_default(),
            gas_priority_fee: request
                .max_priority_fee_per_gas
                .or(request.max_fee_per_gas.map(|_| 0)),
            blob_hashes: Vec::new(),
            max_fee_per_blob_gas: 0,
            authorization_list: request
                .authorization_list
                .unwrap_or_default()
                .into_iter()
                .map(Either::Left)
                .collect(),
        };
        env.derive_tx_type().map_err(|_| "a transaction with authorizations needs a recipient")?;
        Ok(Self { env, priced: gas_price > 0 })
    }

    /// Runs the call and discards its changes.
    pub fn run(
        &self,
        view: View<'_>,
        mut block: BlockEnv,
        chain_id: u64,
    ) -> Result<ExecutionResult, Refusal> {
        if !self.priced {
            block.basefee = 0;
        }
        oracle(view, block, chain_id).transact_one(self.env.clone())
    }

    pub fn with_gas(&self, gas: u64) -> Self {
        let mut call = self.clone();
        call.env.gas_limit = gas;
        call
    }

    /// Returns the gas that the caller can pay for with `balance`.
    pub fn affordable_gas(&self, balance: U256) -> u64 {
        if !self.priced {
            return u64::MAX;
        }
        let left = balance.saturating_sub(self.env.value);
        (left / U256::from(self.env.gas_price)).saturating_to()
    }

    pub fn caller(&self) -> Address {
        self.env.caller
    }
}

/// Returns the text of an `Error(string)` revert, if the bytes are one.
pub(crate) fn revert_reason(output: &Bytes) -> Option<String> {
    const ERROR_STRING: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
    let words = output.strip_prefix(&ERROR_STRING)?;
    let word =
        |at: usize| U256::try_from_be_slice(words.get(at..at.checked_add(32)?)?)?.try_into().ok();
    let offset: usize = word(0)?;
    let length: usize = word(offset)?;
    let start = offset.checked_add(32)?;
    let text = words.get(start..start.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}
