//! The table of scenarios.

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, U256, hex, keccak256};
use serde_json::{Value, json};

use crate::support::*;

/// One request and its expected answer.
pub struct Step {
    pub method: &'static str,
    pub params: Value,
    /// Expected normalised answer; a step without one is only compared between targets.
    pub expected: Option<Value>,
    /// Saves the part of the answer under this pointer for later steps, as `"$name"`.
    pub save: Option<(&'static str, &'static str)>,
    /// Reason why anvil answers differently, and why the devchain's answer is right.
    pub differs: Option<&'static str>,
    /// Whether anvil may also give the devchain's answer, because its own answer depends on timing.
    pub races: bool,
    pub ignore: bool,
    pub only: Option<&'static str>,
    /// A transaction that no block includes yet.
    pub waits: bool,
    pub within_percent: Option<u64>,
    pub note: &'static str,
}

impl Step {
    fn expect(mut self, answer: Value) -> Self {
        self.expected = Some(answer);
        self
    }

    fn fails(self, code: i64, says: &str) -> Self {
        self.expect(json!({ "error": code, "says": says, "data": null }))
    }

    fn save(mut self, name: &'static str, pointer: &'static str) -> Self {
        self.save = Some((name, pointer));
        self
    }

    fn differs(mut self, why: &'static str) -> Self {
        self.differs = Some(why);
        self
    }

    fn may_differ(self, why: &'static str) -> Self {
        Self { races: true, ..self.differs(why) }
    }

    /// Compares only success or the code of the failure.
    fn ignore(mut self) -> Self {
        self.ignore = true;
        self
    }

    /// Compares only the value under this pointer.
    fn only(mut self, pointer: &'static str) -> Self {
        self.only = Some(pointer);
        self
    }

    fn waits(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Allows anvil's quantity to differ by some percent.
    fn within_percent(mut self, percent: u64) -> Self {
        self.within_percent = Some(percent);
        self
    }

    fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }
}

pub struct Scenario {
    pub name: &'static str,
    pub steps: Vec<Step>,
}

fn ask(method: &'static str, params: Value) -> Step {
    Step {
        method,
        params,
        expected: None,
        save: None,
        differs: None,
        races: false,
        ignore: false,
        only: None,
        waits: false,
        within_percent: None,
        note: "",
    }
}

fn send(from: u8, transaction: TxEip1559) -> Step {
    ask("eth_sendRawTransaction", json!([signed(transaction, &account(from))]))
}

fn address(index: u8) -> Address {
    account(index).address()
}

/// The first contract of account 0.
fn contract() -> Address {
    address(0).create(0)
}

fn deploy(runtime: &[u8]) -> Step {
    send(0, transaction(0, None, 0, &deploying(runtime))).ignore()
}

fn word(value: u64) -> Value {
    json!(B256::from(U256::from(value)))
}

pub fn all() -> Vec<Scenario> {
    let scenario = |name, steps| Scenario { name, steps };
    vec![
        scenario("identity", identity()),
        scenario("transfer", transfer()),
        scenario("transaction types", types()),
        scenario("contract", contract_calls()),
        scenario("logs", logs()),
        scenario("reverts", reverts()),
        scenario("refused transactions", refused()),
        scenario("waiting transactions", waiting()),
        scenario("nonce gaps", gaps()),
        scenario("fees", fees()),
        scenario("time", time()),
        scenario("filters", filters()),
        scenario("snapshots", snapshots()),
        scenario("reorg", reorg()),
        scenario("interventions", interventions()),
    ]
}

fn identity() -> Vec<Step> {
    vec![
        ask("eth_chainId", json!([])).expect(json!("0x7a69")),
        ask("net_version", json!([])).expect(json!("31337")),
        ask("eth_syncing", json!([])).expect(json!(false)),
        ask("eth_blockNumber", json!([])).expect(json!("0x0")),
        ask("web3_sha3", json!(["0x68656c6c6f"])).expect(json!(keccak256("hello"))),
        ask("eth_getBlockByNumber", json!(["0x0", false])).save("genesis", "/hash"),
        ask("eth_getBlockByHash", json!(["$genesis", false])),
        ask("eth_getBlockByNumber", json!(["0x9", false])).expect(Value::Null),
        ask("eth_getBlockByHash", json!([B256::ZERO, false])).expect(Value::Null),
        ask("eth_getTransactionByHash", json!([B256::ZERO])).expect(Value::Null),
        ask("eth_getTransactionReceipt", json!([B256::ZERO])).expect(Value::Null),
        ask("eth_getBalance", json!([Address::repeat_byte(9), "latest"])).expect(json!("0x0")),
        ask("eth_getCode", json!([Address::repeat_byte(9), "latest"])).expect(json!("0x")),
        ask("eth_getTransactionCount", json!([Address::repeat_byte(9), "latest"]))
            .expect(json!("0x0")),
        ask("eth_nonsense", json!([])).fails(-32601, "method not found"),
        ask("eth_getBalance", json!(["nonsense"])).ignore(),
        ask("eth_call", json!([{ "to": 7 }])).ignore(),
        ask("eth_getBalance", json!([Address::ZERO, "0x99"]))
            .fails(-32000, "header not found")
            .differs("anvil: -32602 BlockOutOfRange; geth: -32000 header not found"),
        ask("eth_getBalance", json!([Address::ZERO])).expect(json!("0x0")).differs(
            "anvil insists on a block; geth and the specification's examples default to latest",
        ),
    ]
}

fn transfer() -> Vec<Step> {
    let to = Address::repeat_byte(7);
    vec![
        ask("eth_getBalance", json!([address(0), "latest"])),
        send(0, TxEip1559 { gas_limit: 21_000, ..transaction(0, Some(to), 5, &[]) })
            .save("hash", ""),
        ask("eth_blockNumber", json!([])).expect(json!("0x1")),
        ask("eth_getTransactionReceipt", json!(["$hash"])).save("block", "/blockHash"),
        ask("eth_getTransactionByHash", json!(["$hash"])),
        ask("eth_getRawTransactionByHash", json!(["$hash"])),
        ask("eth_getBlockByNumber", json!(["latest", true])),
        ask("eth_getBlockByHash", json!(["$block", false])),
        ask("eth_getBlockReceipts", json!(["0x1"])),
        ask("eth_getBlockTransactionCountByNumber", json!(["latest"])).expect(json!("0x1")),
        ask("eth_getBlockTransactionCountByHash", json!(["$block"])).expect(json!("0x1")),
        ask("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])),
        ask("eth_getTransactionByBlockHashAndIndex", json!(["$block", "0x1"])).expect(Value::Null),
        ask("eth_getBalance", json!([to, "latest"])).expect(json!("0x5")),
        ask("eth_getBalance", json!([to, "0x0"])).expect(json!("0x0")),
        ask("eth_getBalance", json!([to, { "blockHash": "$block" }])).expect(json!("0x5")),
        ask("eth_getBalance", json!([address(0), "latest"])).note("paid value and fee"),
        ask("eth_getBalance", json!([Address::ZERO, "latest"])).note("the tip"),
        ask("eth_getTransactionCount", json!([address(0), "latest"])).expect(json!("0x1")),
        ask("eth_getTransactionCount", json!([address(0), "pending"])).expect(json!("0x1")),
        ask("eth_getTransactionCount", json!([address(0), "earliest"])).expect(json!("0x0")),
    ]
}

fn types() -> Vec<Step> {
    let (to, from) = (Address::repeat_byte(7), account(0));
    let send_raw = |raw: String| ask("eth_sendRawTransaction", json!([raw])).save("hash", "");
    let receipt = || ask("eth_getTransactionReceipt", json!(["$hash"]));
    let shown = || ask("eth_getTransactionByHash", json!(["$hash"]));
    vec![
        send_raw(signed(legacy(0, to, Some(CHAIN_ID)), &from)),
        receipt(),
        shown(),
        send_raw(signed(legacy(1, to, None), &from)).note("before EIP-155"),
        receipt(),
        shown(),
        send_raw(signed(access_list(2, to), &from)),
        receipt(),
        shown(),
        send_raw(signed(transaction(3, Some(to), 0, &[]), &from)),
        receipt(),
        shown(),
        ask("eth_getBlockByNumber", json!(["latest", false])),
    ]
}

fn contract_calls() -> Vec<Step> {
    let counter = contract();
    vec![
        deploy(COUNTER).save("deployed", ""),
        ask("eth_getTransactionReceipt", json!(["$deployed"])),
        ask("eth_getCode", json!([counter, "latest"])).expect(json!(hex::encode_prefixed(COUNTER))),
        ask("eth_getCode", json!([counter, "0x0"])).expect(json!("0x")),
        ask("eth_estimateGas", json!([{ "from": address(1), "to": counter, "input": "0x01" }]))
            .within_percent(5),
        send(1, transaction(0, Some(counter), 0, &[1])).save("first", ""),
        ask("eth_getTransactionReceipt", json!(["$first"])),
        send(2, transaction(0, Some(counter), 0, &[1])).ignore(),
        ask("eth_call", json!([{ "to": counter }, "latest"])).expect(word(2)),
        ask("eth_call", json!([{ "to": counter }])).expect(word(2)),
        ask("eth_call", json!([{ "to": counter }, "pending"])).expect(word(2)),
        ask("eth_call", json!([{ "to": counter }, "0x2"])).expect(word(1)),
        ask("eth_call", json!([{ "to": counter }, "0x0"]))
            .expect(json!("0x"))
            .note("before it was there"),
        ask("eth_getStorageAt", json!([counter, "0x0", "latest"])).expect(word(2)),
        ask("eth_getStorageAt", json!([counter, "0x0", "0x2"])).expect(word(1)),
        ask("eth_call", json!([{ "to": counter, "data": "0x01", "from": counter }, "latest"]))
            .expect(json!("0x"))
            .note("from a contract"),
        ask("eth_call", json!([{ "data": hex::encode_prefixed(deploying(COUNTER)) }]))
            .expect(json!(hex::encode_prefixed(COUNTER)))
            .note("creation"),
        ask("eth_estimateGas", json!([{ "from": address(1), "to": address(2), "value": "0x1" }]))
            .expect(json!("0x5208")),
        ask(
            "eth_estimateGas",
            json!([{ "to": address(2), "input": format!("0x{}", "11".repeat(1000)) }]),
        )
        .within_percent(2)
        .note("EIP-7623 floor"),
        ask(
            "eth_estimateGas",
            json!([{ "from": address(0), "input": hex::encode_prefixed(deploying(COUNTER)) }]),
        )
        .within_percent(5),
    ]
}

fn logs() -> Vec<Step> {
    let counter = contract();
    let topic = word(0xc001);
    let caller = |index: u8| json!(address(index).into_word());
    let query = |filter: Value| ask("eth_getLogs", json!([filter]));
    vec![
        deploy(COUNTER),
        send(1, transaction(0, Some(counter), 0, &[1])).save("first", ""),
        send(2, transaction(0, Some(counter), 0, &[1])).ignore(),
        send(1, transaction(1, Some(counter), 0, &[1])).ignore(),
        ask("eth_getTransactionReceipt", json!(["$first"])).save("block", "/blockHash"),
        query(json!({ "fromBlock": "0x0", "toBlock": "latest" })),
        query(json!({})).note("the newest block alone"),
        query(json!({ "blockHash": "$block" })),
        query(json!({ "fromBlock": "0x0", "address": counter })),
        query(json!({ "fromBlock": "0x0", "address": Address::repeat_byte(9) })).expect(json!([])),
        query(
            json!({ "fromBlock": "0x0", "address": [counter, Address::repeat_byte(9)], "topics": [topic] }),
        ),
        query(json!({ "fromBlock": "0x0", "topics": [null, caller(2)] })),
        query(json!({ "fromBlock": "0x0", "topics": [[topic, word(1)], [caller(1), caller(3)]] })),
        query(json!({ "fromBlock": "0x0", "topics": [caller(1)] })).expect(json!([])),
        query(json!({ "fromBlock": "0x0", "topics": [topic, null, null] }))
            .note("more topics than the logs have"),
        query(json!({ "fromBlock": "0x2", "toBlock": "0x2" })),
        query(json!({ "fromBlock": "0x50", "toBlock": "0x60" })).ignore(),
        query(json!({ "fromBlock": "0x3", "toBlock": "0x2" })).ignore().differs(
            "anvil answers []; geth refuses, and a client that asks this has a fault worth knowing",
        ),
        query(json!({ "blockHash": B256::ZERO })).ignore(),
    ]
}

fn reverts() -> Vec<Step> {
    let echo = contract();
    // Error("nope")
    let reason = format!("0x08c379a0{:064x}{:064x}{:0<64}", 32, 4, hex::encode("nope"));
    let custom = "0xdeadbeef00000001";
    let reverted = |data: &str| json!({ "error": 3, "says": "revert", "data": data });
    vec![
        deploy(ECHO_REVERT),
        ask("eth_call", json!([{ "to": echo, "input": reason }])).expect(reverted(&reason)),
        ask("eth_call", json!([{ "to": echo, "input": custom }])).expect(reverted(custom)),
        ask("eth_call", json!([{ "to": echo }])).expect(reverted("0x")),
        ask("eth_estimateGas", json!([{ "to": echo, "input": custom }])).expect(reverted(custom)),
        send(0, transaction(1, Some(echo), 0, &[1])).save("hash", ""),
        ask("eth_getTransactionReceipt", json!(["$hash"])).note("mined, failed, paid for"),
        ask("eth_getTransactionCount", json!([address(0), "latest"])).expect(json!("0x2")),
        send(0, transaction(2, None, 0, &deploying(ENDLESS))).ignore(),
        ask("eth_call", json!([{ "to": address(0).create(2), "gas": "0x186a0" }, "latest"]))
            .fails(-32000, "out of gas")
            .differs("anvil: -32603 EVM error OutOfGas; geth: -32000 out of gas"),
        ask(
            "eth_call",
            json!([{ "to": echo, "from": Address::repeat_byte(5), "value": "0x1" }, "latest"]),
        )
        .fails(-32000, "insufficient funds")
        .differs("anvil: -32003; geth: -32000, since no transaction is rejected here"),
    ]
}

fn refused() -> Vec<Step> {
    let to = Some(Address::repeat_byte(7));
    let other_chain = TxEip1559 { chain_id: 5, ..transaction(1, to, 0, &[]) };
    let huge = U256::from(10).pow(U256::from(30));
    vec![
        send(0, transaction(0, to, 0, &[])).save("hash", ""),
        send(0, transaction(0, to, 1, &[])).fails(-32003, "nonce too low"),
        send(0, TxEip1559 { value: huge, ..transaction(1, to, 0, &[]) })
            .fails(-32003, "insufficient funds"),
        send(0, TxEip1559 { gas_limit: 20_999, ..transaction(1, to, 0, &[]) })
            .fails(-32003, "intrinsic gas too low")
            .differs(
                "anvil: -32000 here, -32003 elsewhere; EIP-1474 gives rejected transactions -32003",
            ),
        send(0, TxEip1559 { gas_limit: 30_000_001, ..transaction(1, to, 0, &[]) })
            .fails(-32003, "block gas limit")
            .differs(
                "anvil: -32000 here, -32003 elsewhere; EIP-1474 gives rejected transactions -32003",
            ),
        send(0, TxEip1559 { max_priority_fee_per_gas: 11 * GWEI, ..transaction(1, to, 0, &[]) })
            .fails(-32003, "priority fee"),
        send(0, other_chain).fails(-32003, "chain id"),
        ask("eth_sendRawTransaction", json!(["0x02deadbeef"])).fails(-32602, "decode"),
        ask("eth_sendRawTransaction", json!(["0x"])).fails(-32602, "decode"),
        ask("eth_blockNumber", json!([])).expect(json!("0x1")),
        send(0, TxEip1559 { gas_limit: 30_000, ..transaction(1, to, 0, &[1; 1000]) })
            .waits()
            .fails(-32003, "intrinsic gas too low")
            .differs("anvil takes what no block can hold: it forgets the gas of the input"),
        send(1, TxEip1559 { gas_limit: 40_000, ..transaction(0, to, 0, &[1; 1000]) })
            .waits()
            .fails(-32003, "intrinsic gas too low")
            .differs("anvil takes what no block can hold: it forgets EIP-7623's floor"),
    ]
}

fn waiting() -> Vec<Step> {
    let to = Some(Address::repeat_byte(7));
    let tipped = |nonce, tip: u128| TxEip1559 {
        max_fee_per_gas: 10 * tip,
        max_priority_fee_per_gas: tip,
        ..transaction(nonce, to, 0, &[])
    };
    vec![
        ask("evm_setAutomine", json!([false])).ignore(),
        send(0, tipped(0, GWEI)).waits().save("first", ""),
        ask("eth_getTransactionReceipt", json!(["$first"])).expect(Value::Null),
        ask("eth_getTransactionByHash", json!(["$first"]))
            .differs("anvil shows what it would pay now; geth shows its fee cap, since nobody knows the base fee yet"),
        send(0, tipped(0, GWEI)).fails(-32003, "already known"),
        send(0, tipped(0, 2 * GWEI)).waits().save("replacement", ""),
        send(1, tipped(0, 3 * GWEI)).waits().save("best", ""),
        send(2, tipped(1, 3 * GWEI)).waits().note("its predecessor is missing").save("early", ""),
        ask("eth_getTransactionByHash", json!(["$first"])).expect(Value::Null).note("replaced"),
        ask("eth_getTransactionCount", json!([address(0), "pending"])).expect(json!("0x1")),
        ask("eth_getTransactionCount", json!([address(0), "latest"])).expect(json!("0x0")),
        ask("eth_getTransactionCount", json!([address(2), "pending"])).expect(json!("0x0")),
        ask("evm_mine", json!([])).ignore(),
        ask("eth_getBlockByNumber", json!(["latest", false])).note("best tip first"),
        ask("eth_getTransactionReceipt", json!(["$replacement"])),
        ask("eth_getTransactionReceipt", json!(["$best"])),
        ask("eth_getTransactionReceipt", json!(["$early"])).expect(Value::Null),
        send(2, tipped(0, GWEI)).waits().ignore(),
        ask("evm_mine", json!([])).ignore(),
        ask("eth_getBlockByNumber", json!(["latest", false])).note("the missing one and its successor"),
        send(0, tipped(1, GWEI)).waits().ignore(),
        send(0, tipped(1, GWEI + GWEI / 20))
            .waits()
            .fails(-32003, "underpriced")
            .differs("anvil takes any higher bid; geth wants 10 % more, and senders must cope with that"),
        ask("evm_setAutomine", json!([true])).ignore(),
        send(3, TxEip1559 { max_fee_per_gas: 1, max_priority_fee_per_gas: 1, ..transaction(0, to, 0, &[]) })
            .waits()
            .note("pays less than the base fee")
            .differs("anvil refuses; geth lets it wait, and raising the fee of what waits can only be tried so"),
    ]
}

/// A transaction that waits for its predecessor is mined right after it.
fn gaps() -> Vec<Step> {
    let to = Some(Address::repeat_byte(7));
    vec![
        send(0, transaction(1, to, 0, &[])).waits().save("second", ""),
        ask("eth_blockNumber", json!([])).expect(json!("0x0")),
        ask("eth_getTransactionReceipt", json!(["$second"])).expect(Value::Null),
        send(0, transaction(0, to, 0, &[])).ignore(),
        ask("eth_getTransactionCount", json!([address(0), "latest"])).expect(json!("0x2")),
        ask("eth_blockNumber", json!([]))
            .expect(json!("0x2"))
            .may_differ("anvil mostly puts both in one block; here automining means one block per transaction, always"),
    ]
}

fn fees() -> Vec<Step> {
    let endless = contract();
    let hungry =
        |nonce| TxEip1559 { gas_limit: 30_000_000, ..transaction(nonce, Some(endless), 0, &[]) };
    vec![
        ask("eth_gasPrice", json!([])),
        ask("eth_maxPriorityFeePerGas", json!([])),
        deploy(ENDLESS),
        send(0, hungry(1)).ignore(),
        send(0, hungry(2)).ignore(),
        ask("eth_getBlockByNumber", json!(["latest", false])).note("a full block"),
        ask("anvil_mine", json!(["0x3"])).ignore(),
        ask("eth_getBlockByNumber", json!(["latest", false])).note("after empty ones"),
        ask("eth_feeHistory", json!(["0x4", "latest", [0.0, 50.0, 100.0]])),
        ask("eth_feeHistory", json!(["0x4", "0x5", [0.0, 50.0, 100.0]])).differs(
            "the last base fee is that of the block after the range; anvil gives that of the block after the head",
        ),
        ask("eth_feeHistory", json!(["0x2", "latest", [10.0]])),
        ask("eth_feeHistory", json!(["0x40", "latest", []]))
            .differs("anvil reports an empty list of rewards; geth reports none when none are asked for"),
        ask("eth_gasPrice", json!([])),
        ask("anvil_setNextBlockBaseFeePerGas", json!(["0x12a05f200"])).ignore(),
        send(0, transaction(3, Some(address(1)), 0, &[])).save("dear", ""),
        ask("eth_getTransactionReceipt", json!(["$dear"])),
    ]
}

fn time() -> Vec<Step> {
    let environment = contract();
    let time = |after: u64| {
        ask("eth_getBlockByNumber", json!(["latest", false]))
            .only("/timestamp")
            .expect(json!(format!("0x{:x}", START + after)))
    };
    vec![
        ask("evm_setNextBlockTimestamp", json!([START + 1000])).ignore(),
        deploy(ENVIRONMENT),
        time(1000),
        ask("evm_setNextBlockTimestamp", json!([format!("0x{:x}", START + 5000)])).ignore(),
        ask("evm_mine", json!([])).ignore(),
        time(5000),
        ask("evm_setNextBlockTimestamp", json!([START])).ignore().note("in the past"),
        ask("evm_mine", json!([START + 9000])).ignore(),
        time(9000),
        ask("anvil_setBlockTimestampInterval", json!([12])).ignore(),
        ask("anvil_mine", json!(["0x2"])).ignore(),
        time(9024),
        send(0, transaction(1, Some(address(1)), 0, &[])).ignore(),
        time(9036),
        ask("anvil_removeBlockTimestampInterval", json!([])).expect(json!(true)),
        ask("anvil_removeBlockTimestampInterval", json!([])).expect(json!(false)),
        ask("evm_setNextBlockTimestamp", json!([START + 10_000])).ignore(),
        ask("anvil_mine", json!(["0x3", "0x64"])).ignore(),
        time(10_200),
        ask("eth_call", json!([{ "to": environment, "from": address(3), "gasPrice": "0x3b9aca00" }, "0x1"]))
            .note("the environment of an old block"),
        ask("eth_call", json!([{ "to": environment, "from": address(3) }, "0x1"]))
            .differs("who names no price sees base fee 0, as on geth: a base fee above the price would be impossible"),
    ]
}

fn filters() -> Vec<Step> {
    let counter = contract();
    let bump = |from, nonce| send(from, transaction(nonce, Some(counter), 0, &[1])).ignore();
    let changes = |name: &str| ask("eth_getFilterChanges", json!([format!("${name}")]));
    vec![
        deploy(COUNTER),
        ask(
            "eth_newFilter",
            json!([{ "address": counter, "topics": [null, address(1).into_word()] }]),
        )
        .save("logs", "")
        .ignore(),
        ask("eth_newBlockFilter", json!([])).save("blocks", "").ignore(),
        changes("logs").expect(json!([])),
        bump(1, 0),
        bump(2, 0),
        bump(1, 1),
        changes("logs"),
        changes("logs").expect(json!([])),
        ask("eth_getFilterLogs", json!(["$logs"])).ignore(),
        changes("blocks").ignore(),
        changes("blocks").expect(json!([])),
        ask("eth_uninstallFilter", json!(["$logs"])).expect(json!(true)),
        ask("eth_uninstallFilter", json!(["$logs"])).expect(json!(false)),
        changes("logs").fails(-32000, "filter not found"),
    ]
}

fn snapshots() -> Vec<Step> {
    let counter = contract();
    let bump = |nonce| send(1, transaction(nonce, Some(counter), 0, &[1]));
    let value = || ask("eth_call", json!([{ "to": counter }]));
    vec![
        deploy(COUNTER),
        bump(0).ignore(),
        ask("evm_snapshot", json!([])).save("point", ""),
        bump(1).save("undone", ""),
        bump(2).ignore(),
        value().expect(word(3)),
        ask("evm_revert", json!(["$point"])).expect(json!(true)),
        value().expect(word(1)),
        ask("eth_blockNumber", json!([])).expect(json!("0x2")),
        ask("eth_getTransactionCount", json!([address(1), "latest"])).expect(json!("0x1")),
        ask("eth_getTransactionReceipt", json!(["$undone"])).expect(Value::Null),
        ask("evm_revert", json!(["$point"])).expect(json!(false)).note("a point serves once"),
        bump(1).ignore(),
        value().expect(word(2)),
    ]
}

fn reorg() -> Vec<Step> {
    let counter = contract();
    let bump = |from, nonce| transaction(nonce, Some(counter), 0, &[1]).for_account(from);
    let value = || ask("eth_call", json!([{ "to": counter }]));
    vec![
        deploy(COUNTER),
        ask("eth_sendRawTransaction", json!([bump(1, 0)])).ignore(),
        ask("eth_newFilter", json!([{ "address": counter }])).save("logs", "").ignore(),
        ask("eth_sendRawTransaction", json!([bump(1, 1)])).save("dropped", ""),
        ask("eth_sendRawTransaction", json!([bump(2, 0)])).save("kept", ""),
        ask("eth_getBlockByNumber", json!(["latest", false])).save("old", "/hash"),
        value().expect(word(3)),
        ask("anvil_reorg", json!([2, [[bump(2, 0), 1], [bump(3, 0), 1]]])).expect(Value::Null),
        ask("eth_blockNumber", json!([])).expect(json!("0x4")),
        value().expect(word(3)),
        ask("eth_getBlockByHash", json!(["$old", false])).expect(Value::Null),
        ask("eth_getTransactionReceipt", json!(["$dropped"])).expect(Value::Null),
        ask("eth_getTransactionReceipt", json!(["$kept"])).differs(
            "the new branch's base fee follows from its parent (EIP-1559); anvil carries on from the old branch",
        ),
        ask("eth_getBlockByNumber", json!(["0x3", false])).only("/transactions").expect(json!([])),
        ask("eth_getLogs", json!([{ "fromBlock": "0x0" }])),
        ask("eth_getTransactionCount", json!([address(1), "latest"])).expect(json!("0x1")),
        ask("eth_getFilterChanges", json!(["$logs"])).differs(
            "anvil's filters never tell of removed logs; other nodes' do, and clients must be tried against it",
        ),
        ask("anvil_rollback", json!([2])).expect(Value::Null),
        ask("eth_blockNumber", json!([])).expect(json!("0x2")),
        value().expect(word(1)),
        ask("anvil_reorg", json!([9, []])).ignore(),
        ask("eth_sendRawTransaction", json!([bump(1, 1)])).ignore().note("the dropped one, sent again"),
        value().expect(word(2)),
    ]
}

fn interventions() -> Vec<Step> {
    let someone = Address::repeat_byte(0x44);
    vec![
        ask("anvil_setBalance", json!([someone, "0x1234"])).expect(Value::Null),
        ask("eth_getBalance", json!([someone, "latest"])).expect(json!("0x1234")),
        ask("anvil_setNonce", json!([someone, "0x9"])).expect(Value::Null),
        ask("eth_getTransactionCount", json!([someone, "latest"])).expect(json!("0x9")),
        ask("anvil_setCode", json!([someone, hex::encode_prefixed(COUNTER)])).expect(Value::Null),
        ask("anvil_setStorageAt", json!([someone, "0x0", word(41)])).expect(json!(true)),
        ask("eth_call", json!([{ "to": someone }])).expect(word(41)),
        ask("anvil_setCode", json!([someone, "0x"])).expect(Value::Null),
        ask("eth_getCode", json!([someone, "latest"])).expect(json!("0x")),
        ask("eth_blockNumber", json!([])).expect(json!("0x0")),
    ]
}

/// A signed transaction of a test account.
trait ForAccount {
    fn for_account(self, index: u8) -> String;
}

impl ForAccount for TxEip1559 {
    fn for_account(self, index: u8) -> String {
        signed(self, &account(index))
    }
}
