//! The committed StepUnit on an EVM.

use alloy_primitives::{Address, B256, Bytes, TxKind, hex};
use alloy_sol_types::{SolCall, SolValue, sol};
use revm::context::TxEnv;
use revm::context_interface::result::ExecutionResult;
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use revm::{Context, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext};

sol! {
    struct Task {
        bytes32 program;
        bytes32 input;
        uint64 seed;
        uint64 fuelLimit;
        uint64 outLimit;
        uint32 maxPages;
    }
    function start(Task task, bytes parts) external view returns (bytes32 state, uint64 steps);
    function step(bytes32 state, bytes proof) external view returns (bytes32 next);
}

pub struct Judge {
    db: CacheDB<EmptyDB>,
    unit: Address,
}

fn creation_code(name: &str) -> Vec<u8> {
    let path = format!("{}/../../contracts/artifacts/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let artifact: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    hex::decode(artifact["bytecode"].as_str().unwrap()).unwrap()
}

impl Judge {
    pub fn new() -> Self {
        let mut judge = Self { db: CacheDB::default(), unit: Address::ZERO };
        let float = judge.create(creation_code("FloatUnit"), 0);
        let code = [creation_code("StepUnit"), (float,).abi_encode_params()].concat();
        judge.unit = judge.create(code, 1);
        judge
    }

    fn transact(&mut self, kind: TxKind, data: Vec<u8>, nonce: u64, commit: bool) -> ExecutionResult {
        let tx =
            TxEnv { kind, data: data.into(), nonce, gas_limit: 16_000_000, chain_id: Some(1), ..Default::default() };
        let mut evm = Context::mainnet()
            .with_db(&mut self.db)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
                cfg.disable_nonce_check = true;
            })
            .build_mainnet();
        if commit { evm.transact_commit(tx).unwrap() } else { evm.transact(tx).unwrap().result }
    }

    fn create(&mut self, code: Vec<u8>, nonce: u64) -> Address {
        let result = self.transact(TxKind::Create, code, nonce, true);
        assert!(result.is_success(), "{result:?}");
        Address::ZERO.create(nonce)
    }

    fn call(&mut self, data: Vec<u8>) -> Result<(Bytes, u64), String> {
        let result = self.transact(TxKind::Call(self.unit), data, 0, false);
        match result {
            ExecutionResult::Success { output, gas, .. } => Ok((output.into_data(), gas.used())),
            other => Err(format!("{other:?}")),
        }
    }

    /// Hash of the next state, and the gas of a whole transaction.
    pub fn step(&mut self, state: B256, proof: Vec<u8>) -> Result<(B256, u64), String> {
        let (output, gas) = self.call(stepCall { state, proof: proof.into() }.abi_encode())?;
        Ok((stepCall::abi_decode_returns(&output).map_err(|error| error.to_string())?, gas))
    }

    /// Hash of the first state, and the bound on steps.
    pub fn start(&mut self, task: Task, parts: Vec<u8>) -> Result<(B256, u64), String> {
        let (output, _) = self.call(startCall { task, parts: parts.into() }.abi_encode())?;
        let start = startCall::abi_decode_returns(&output).map_err(|error| error.to_string())?;
        Ok((start.state, start.steps))
    }
}
