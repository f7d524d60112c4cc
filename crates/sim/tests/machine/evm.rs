//! The committed StepUnit and FloatUnit on an EVM.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_sol_types::{SolCall, SolError, SolValue, sol};
use revm::context::TxEnv;
use revm::context_interface::result::{ExecutionResult, Output};
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
    error WrongProof();
    function compute(uint8 op, bool wide, uint64 a, uint64 b) external pure returns (uint64 result, bool trap);
}

/// An empty chain on which gas is free and the caller sets the time.
pub struct Evm {
    db: CacheDB<EmptyDB>,
    pub now: u64,
}

fn creation_code(name: &str) -> Vec<u8> {
    let path = format!("{}/../../contracts/artifacts/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let artifact: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    hex::decode(artifact["bytecode"].as_str().unwrap()).unwrap()
}

impl Evm {
    fn transact(
        &mut self,
        caller: Address,
        kind: TxKind,
        data: Vec<u8>,
        commit: bool,
    ) -> ExecutionResult {
        let tx = TxEnv {
            caller,
            kind,
            data: data.into(),
            gas_limit: 16_000_000,
            chain_id: Some(1),
            ..Default::default()
        };
        let mut evm = Context::mainnet()
            .with_db(&mut self.db)
            .modify_block_chained(|block| block.timestamp = U256::from(self.now))
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
                cfg.disable_nonce_check = true;
            })
            .build_mainnet();
        if commit { evm.transact_commit(tx).unwrap() } else { evm.transact(tx).unwrap().result }
    }

    /// Deploys the committed bytecode.
    pub fn create(&mut self, name: &str, arguments: Vec<u8>) -> Address {
        let code = [creation_code(name), arguments].concat();
        match self.transact(Address::ZERO, TxKind::Create, code, true) {
            ExecutionResult::Success { output: Output::Create(_, Some(address)), .. } => address,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Returns the result of a call and the gas of the whole transaction. State changes only if
    /// `commit` is set.
    pub fn call(
        &mut self,
        caller: Address,
        to: Address,
        data: Vec<u8>,
        commit: bool,
    ) -> Result<(Bytes, u64), String> {
        match self.transact(caller, TxKind::Call(to), data, commit) {
            ExecutionResult::Success { output, gas, .. } => {
                Ok((output.into_data(), gas.tx_gas_used()))
            }
            other => Err(format!("{other:?}")),
        }
    }
}

pub struct Judge {
    pub evm: Evm,
    pub unit: Address,
    floats: Address,
}

impl Judge {
    pub fn new() -> Self {
        let mut evm = Evm { db: CacheDB::default(), now: 1 };
        let floats = evm.create("FloatUnit", Vec::new());
        let unit = evm.create("StepUnit", (floats,).abi_encode_params());
        Self { evm, unit, floats }
    }

    fn call(&mut self, to: Address, data: Vec<u8>) -> Result<(Bytes, u64), String> {
        self.evm.call(Address::ZERO, to, data, false)
    }

    /// Returns the hash of the next state, and the gas of the whole transaction.
    pub fn step(&mut self, state: B256, proof: Vec<u8>) -> Result<(B256, u64), String> {
        let (output, gas) =
            self.call(self.unit, stepCall { state, proof: proof.into() }.abi_encode())?;
        Ok((stepCall::abi_decode_returns(&output).map_err(|error| error.to_string())?, gas))
    }

    /// Returns whether the proof is refused because it does not belong to this state.
    pub fn refuses(&mut self, state: B256, proof: Vec<u8>) -> bool {
        let data = stepCall { state, proof: proof.into() }.abi_encode();
        match self.evm.transact(Address::ZERO, TxKind::Call(self.unit), data, false) {
            ExecutionResult::Revert { output, .. } => **output == WrongProof::SELECTOR,
            _ => false,
        }
    }

    /// Returns the result of a float operation; `None` is a trap.
    pub fn float(&mut self, op: u8, wide: bool, a: u64, b: u64) -> Result<Option<u64>, String> {
        let (output, _) = self.call(self.floats, computeCall { op, wide, a, b }.abi_encode())?;
        let it = computeCall::abi_decode_returns(&output).map_err(|error| error.to_string())?;
        Ok((!it.trap).then_some(it.result))
    }

    /// Returns the hash of the first state and the bound on steps.
    pub fn start(&mut self, task: Task, parts: Vec<u8>) -> Result<(B256, u64), String> {
        let (output, _) =
            self.call(self.unit, startCall { task, parts: parts.into() }.abi_encode())?;
        let start = startCall::abi_decode_returns(&output).map_err(|error| error.to_string())?;
        Ok((start.state, start.steps))
    }
}
