//! The market's real bytecode on the embedded chain, driven with raw transactions.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolInterface, SolValue};
use rialto_chain::bindings::{self as abi, ICourt, IMarket, IStepUnit, IToken};
use rialto_devchain::{Clock, Config, Devchain};
use rialto_protocol::{
    fault::FaultProof,
    model::{
        Call, Params,
        court::{CourtCall, Rules},
    },
    receipt::SumNode,
};
use serde_json::{Value, json};

const CHAIN_ID: u64 = 31_337;
/// Gas limit above any call of the market; the longest reveal takes about 1M.
const GAS_LIMIT: u64 = 4_000_000;
/// Time of the first block, Unix seconds.
pub const GENESIS: u64 = 1_800_000_000;

pub struct Bytecode {
    chain: Devchain,
    pub market: Address,
    pub court: Address,
    token: Address,
    keys: Vec<PrivateKeySigner>,
    nonces: Vec<u64>,
}

impl Bytecode {
    /// Deploys token, market and court, and gives every key `tokens`, all of them approved.
    pub fn new(keys: Vec<PrivateKeySigner>, params: Params, rules: Rules, tokens: u128) -> Self {
        let accounts =
            keys.iter().map(|key| (key.address(), U256::from(10).pow(U256::from(24)))).collect();
        let config = Config {
            chain_id: CHAIN_ID,
            accounts,
            clock: Clock::Manual(GENESIS),
            ..Config::default()
        };
        let chain = Devchain::open(config).unwrap();
        let nonces = vec![0; keys.len()];
        let mut this = Self {
            chain,
            market: Address::ZERO,
            court: Address::ZERO,
            token: Address::ZERO,
            keys,
            nonces,
        };
        let bytecode = |text: &str| {
            let artifact: Value = serde_json::from_str(text).unwrap();
            hex::decode(artifact["bytecode"].as_str().unwrap()).unwrap()
        };
        this.token =
            this.deploy(bytecode(include_str!("../../../../contracts/artifacts/TestToken.json")));
        let arguments = (
            this.token,
            params.challenge_window,
            params.answer_window,
            params.grace,
            params.case_bond,
        );
        let market = bytecode(include_str!("../../../../contracts/artifacts/Market.json"));
        this.market = this.deploy([market, arguments.abi_encode_params()].concat());
        let artifact = |name: &str| {
            let path =
                format!("{}/../../contracts/artifacts/{name}.json", env!("CARGO_MANIFEST_DIR"));
            bytecode(&std::fs::read_to_string(path).unwrap())
        };
        let floats = this.deploy(artifact("FloatUnit"));
        let unit = this.deploy([artifact("StepUnit"), (floats,).abi_encode_params()].concat());
        let court = (this.market, unit, abi_rules(rules)).abi_encode_params();
        this.court = this.deploy([artifact("Court"), court].concat());
        for actor in 0..this.keys.len() {
            let to = this.keys[actor].address();
            let value = U256::from(tokens);
            this.send(actor, this.token, IToken::mintCall { to, amount: value }.abi_encode())
                .unwrap();
            this.send(
                actor,
                this.token,
                IToken::approveCall { spender: this.market, amount: U256::MAX }.abi_encode(),
            )
            .unwrap();
        }
        this
    }

    pub fn chain_id(&self) -> u64 {
        CHAIN_ID
    }

    /// Returns the time of the newest block.
    pub fn now(&self) -> u64 {
        let block = self.rpc("eth_getBlockByNumber", json!(["latest", false]));
        quantity(&block["timestamp"])
    }

    /// Executes one call in its own block at `now`. Returns the name of the contract's error if it
    /// reverts.
    pub fn execute(&mut self, now: u64, sender: usize, call: &Call) -> Result<(), String> {
        self.rpc("evm_setNextBlockTimestamp", json!([now]));
        self.send(sender, self.market, encode(call))
    }

    /// Does the same with a call of the court.
    pub fn execute_in_court(
        &mut self,
        now: u64,
        sender: usize,
        call: &CourtCall,
    ) -> Result<(), String> {
        self.rpc("evm_setNextBlockTimestamp", json!([now]));
        self.send(sender, self.court, encode_court(call))
    }

    /// Calls a view of the court.
    pub fn read_court<C: SolCall>(&self, call: C) -> C::Return {
        self.view(self.court, call)
    }

    /// Calls a view of the market.
    pub fn read<C: SolCall>(&self, call: C) -> C::Return {
        self.view(self.market, call)
    }

    /// Returns the tokens of `owner`.
    pub fn tokens(&self, owner: Address) -> U256 {
        self.view(self.token, IToken::balanceOfCall { owner })
    }

    fn view<C: SolCall>(&self, to: Address, call: C) -> C::Return {
        let answer = self.rpc(
            "eth_call",
            json!([{ "to": to, "data": Bytes::from(call.abi_encode()) }, "latest"]),
        );
        C::abi_decode_returns(&hex::decode(answer.as_str().unwrap()).unwrap()).unwrap()
    }

    fn deploy(&mut self, code: Vec<u8>) -> Address {
        let hash = self.raw(0, TxKind::Create, code);
        let receipt = self.rpc("eth_getTransactionReceipt", json!([hash]));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt["contractAddress"].as_str().unwrap().parse().unwrap()
    }

    fn send(&mut self, sender: usize, to: Address, data: Vec<u8>) -> Result<(), String> {
        let hash = self.raw(sender, TxKind::Call(to), data.clone());
        let receipt = self.rpc("eth_getTransactionReceipt", json!([hash]));
        if receipt["status"] == "0x1" {
            return Ok(());
        }
        // The call failed in the newest block and changed nothing, so a simulation at that block
        // gives the reason.
        let from = self.keys[sender].address();
        let request = json!([{ "from": from, "to": to, "data": Bytes::from(data), "gas": format!("{GAS_LIMIT:#x}") }, "latest"]);
        let fault = self.chain.handle("eth_call", request).expect_err("it failed a moment ago");
        let data = hex::decode(fault.data.unwrap().as_str().unwrap()).unwrap();
        let name = IMarket::IMarketErrors::abi_decode_validate(&data)
            .map(|error| format!("{error:?}"))
            .or_else(|_| {
                ICourt::ICourtErrors::abi_decode_validate(&data).map(|error| format!("{error:?}"))
            })
            .or_else(|_| {
                IStepUnit::IStepUnitErrors::abi_decode_validate(&data)
                    .map(|error| format!("{error:?}"))
            })
            .unwrap_or_else(|_| panic!("revert {}", hex::encode(&data)));
        Err(name.split('(').next().unwrap_or_default().to_owned())
    }

    fn raw(&mut self, sender: usize, to: TxKind, input: Vec<u8>) -> B256 {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.nonces[sender],
            gas_limit: if to.is_create() { 16_000_000 } else { GAS_LIMIT },
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: 1,
            to,
            value: U256::ZERO,
            access_list: Default::default(),
            input: input.into(),
        };
        let signature = self.keys[sender].sign_hash_sync(&transaction.signature_hash()).unwrap();
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        self.nonces[sender] += 1;
        let hash =
            self.rpc("eth_sendRawTransaction", json!([Bytes::from(envelope.encoded_2718())]));
        hash.as_str().unwrap().parse().unwrap()
    }

    fn rpc(&self, method: &str, params: Value) -> Value {
        self.chain.handle(method, params).unwrap_or_else(|fault| panic!("{method}: {fault:?}"))
    }
}

fn quantity(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn encode(call: &Call) -> Vec<u8> {
    match call.clone() {
        Call::Deposit { account, amount } => {
            IMarket::depositCall { owner: account, amount }.abi_encode()
        }
        Call::Withdraw { to, amount } => IMarket::withdrawCall { to, amount }.abi_encode(),
        Call::Announce { endpoint } => IMarket::announceCall { endpoint }.abi_encode(),
        Call::CancelAsks { counter } => IMarket::cancelAsksCall { counter }.abi_encode(),
        Call::Open { ask, signature, terms } => {
            IMarket::openCall { ask: (&ask).into(), signature, terms: (&terms).into() }.abi_encode()
        }
        Call::Redeem { deal, voucher, signature } => {
            IMarket::redeemCall { deal: (&deal).into(), voucher: (&voucher).into(), signature }
                .abi_encode()
        }
        Call::Close { deal, release, signature } => {
            IMarket::closeCall { deal: (&deal).into(), release: (&release).into(), signature }
                .abi_encode()
        }
        Call::Claim { deal, order, signature, receipt } => IMarket::claimCall {
            deal: (&deal).into(),
            order: (&order).into(),
            signature,
            receipt: (&receipt).into(),
        }
        .abi_encode(),
        Call::Late { deal, order, ack, signature } => IMarket::lateCall {
            deal: (&deal).into(),
            order: (&order).into(),
            ack: (&ack).into(),
            signature,
        }
        .abi_encode(),
        Call::Answer { deal, order, receipt, signature } => IMarket::answerCall {
            deal: (&deal).into(),
            order: (&order).into(),
            receipt: (&receipt).into(),
            signature,
        }
        .abi_encode(),
        Call::Excuse { deal, cancel, signature } => {
            IMarket::excuseCall { deal: (&deal).into(), cancel: (&cancel).into(), signature }
                .abi_encode()
        }
        Call::Demand { deal, order, receipt, signature, task } => IMarket::demandCall {
            deal: (&deal).into(),
            order: (&order).into(),
            receipt: (&receipt).into(),
            signature,
            task,
        }
        .abi_encode(),
        Call::Reveal { deal, order, receipt, reveal } => IMarket::revealCall {
            deal: (&deal).into(),
            order: (&order).into(),
            receipt: (&receipt).into(),
            task: reveal.task,
            fuel: reveal.fuel,
            halted: (&reveal.halted).into(),
            proof: reveal.proof.iter().map(Into::into).collect(),
            output: reveal.output,
        }
        .abi_encode(),
        Call::Settle { deal, case } => {
            let (kind, subject, task) = (case.kind().into(), case.subject(), case.task());
            IMarket::settleCall { deal: (&deal).into(), kind, subject, task }.abi_encode()
        }
        Call::Expire { deal } => IMarket::expireCall { deal: (&deal).into() }.abi_encode(),
        Call::Hold { deal, game, until } => {
            IMarket::holdCall { deal: (&deal).into(), game: game.into(), deadline: until }
                .abi_encode()
        }
        Call::Lift { deal, game } => {
            IMarket::liftCall { deal: (&deal).into(), game: game.into() }.abi_encode()
        }
        Call::Slash { deal, convictor } => {
            IMarket::slashCall { deal: (&deal).into(), convictor }.abi_encode()
        }
        Call::Allow { spender, amount } => IMarket::allowCall { spender, amount }.abi_encode(),
        Call::Take { owner, amount } => IMarket::takeCall { owner, amount }.abi_encode(),
        Call::Give { to, amount } => IMarket::giveCall { to, amount }.abi_encode(),
    }
}

fn abi_rules(rules: Rules) -> abi::Rules {
    abi::Rules {
        baseBond: rules.base_bond,
        bondPerTfuel: rules.bond_per_tfuel,
        baseSeconds: rules.base_seconds,
        moveSeconds: rules.move_seconds,
        fuelPerSecond: rules.fuel_per_second,
    }
}

fn nodes(nodes: &[SumNode]) -> Vec<abi::SumNode> {
    nodes.iter().map(Into::into).collect()
}

fn encode_court(call: &CourtCall) -> Vec<u8> {
    match call.clone() {
        CourtCall::Accuse { deal, order, receipt, signature } => ICourt::accuseCall {
            deal: (&deal).into(),
            order: (&order).into(),
            receipt: (&receipt).into(),
            signature,
        }
        .abi_encode(),
        CourtCall::Unfold { game, order, nodes: shown } => ICourt::unfoldCall {
            game: (&game).into(),
            order: (&order).into(),
            nodes: nodes(&shown),
        }
        .abi_encode(),
        CourtCall::Pick { game, nodes: shown, index } => {
            ICourt::pickCall { game: (&game).into(), nodes: nodes(&shown), index }.abi_encode()
        }
        CourtCall::Challenge { game, order, nodes: shown, challenge } => ICourt::challengeCall {
            game: (&game).into(),
            order: (&order).into(),
            nodes: nodes(&shown),
            index: challenge.index,
            it: (&challenge).into(),
        }
        .abi_encode(),
        CourtCall::Contradict { deal, game, order, nodes: shown, index, halted } => {
            ICourt::contradictCall {
                deal: (&deal).into(),
                game: (&game).into(),
                order: (&order).into(),
                nodes: nodes(&shown),
                index,
                halted: (&halted).into(),
            }
            .abi_encode()
        }
        CourtCall::Delegate { to, until } => ICourt::delegateCall { to, time: until }.abi_encode(),
        CourtCall::Move { game, part, segment, states, signature } => ICourt::moveCall {
            game: (&game).into(),
            part,
            segment: *segment,
            states: *states,
            signature,
        }
        .abi_encode(),
        CourtCall::Step { deal, game, part, segment, proof } => ICourt::stepCall {
            deal: (&deal).into(),
            game: (&game).into(),
            part,
            segment: *segment,
            proof,
        }
        .abi_encode(),
        CourtCall::Timeout { deal, game } => {
            ICourt::timeoutCall { deal: (&deal).into(), game: (&game).into() }.abi_encode()
        }
        CourtCall::Convict { deal, order, receipt, signature, proof } => {
            let (deal, order, receipt) = ((&deal).into(), (&order).into(), (&receipt).into());
            match proof {
                FaultProof::Sum { node, children: [left, right], place, siblings } => {
                    ICourt::wrongSumCall {
                        deal,
                        order,
                        receipt,
                        signature,
                        fault: abi::SumFault {
                            node: (&node).into(),
                            left: (&left).into(),
                            right: (&right).into(),
                            place,
                            siblings: nodes(&siblings),
                        },
                    }
                    .abi_encode()
                }
                FaultProof::Fuel { task, fuel, halted, proof } => ICourt::wrongFuelCall {
                    deal,
                    order,
                    receipt,
                    signature,
                    task,
                    fuel,
                    halted: (&halted).into(),
                    proof: nodes(&proof),
                }
                .abi_encode(),
            }
        }
    }
}
