//! The chain answers every request and stays consistent.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use alloy_consensus::TxEip1559;
use proptest::prelude::*;
use rialto_devchain::Devchain;
use serde_json::{Value, json};
use support::*;

const METHODS: &[&str] = &[
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockReceipts",
    "eth_getBlockTransactionCountByNumber",
    "eth_getTransactionByHash",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionReceipt",
    "eth_getTransactionCount",
    "eth_getBalance",
    "eth_getCode",
    "eth_getStorageAt",
    "eth_call",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_sendRawTransaction",
    "eth_getLogs",
    "eth_newFilter",
    "eth_newBlockFilter",
    "eth_getFilterChanges",
    "eth_getFilterLogs",
    "eth_uninstallFilter",
    "web3_sha3",
    "evm_mine",
    "anvil_mine",
    "evm_setAutomine",
    "evm_increaseTime",
    "evm_setNextBlockTimestamp",
    "anvil_setBlockTimestampInterval",
    "anvil_removeBlockTimestampInterval",
    "anvil_setNextBlockBaseFeePerGas",
    "evm_snapshot",
    "evm_revert",
    "anvil_reorg",
    "anvil_rollback",
    "anvil_dropTransaction",
    "anvil_setBalance",
    "anvil_setNonce",
    "anvil_setCode",
    "anvil_setStorageAt",
    "eth_gasPrice",
    "nonsense",
    "",
];

fn counter() -> String {
    account(0).address().create(0).to_string()
}

/// Values that some parameter may accept or mishandle.
fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0u64..20).prop_map(Value::from),
        any::<u64>()
            .prop_filter("a number of blocks takes its time", |n| *n > 10_000)
            .prop_map(Value::from),
        any::<i64>().prop_filter("same", |n| *n > 10_000 || *n < 0).prop_map(Value::from),
        any::<f64>().prop_filter("same", |n| *n > 10_000.0 || *n < 0.0).prop_map(Value::from),
        (0u64..20).prop_map(|n| json!(format!("0x{n:x}"))),
        prop::sample::select(vec![
            "latest",
            "pending",
            "earliest",
            "safe",
            "finalized",
            "",
            "0x",
            "0x0",
            "0xg",
            "-1",
            "💥"
        ])
        .prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..80)
            .prop_map(|bytes| json!(alloy_primitives::hex::encode_prefixed(bytes))),
        Just(json!(alloy_primitives::U256::MAX)),
        (0u8..4).prop_map(|index| json!(account(index).address())),
        Just(json!(counter())),
        (0u8..4, 0u64..4).prop_map(|(from, nonce)| {
            json!(signed(
                transaction(nonce, Some(account(0).address().create(0)), 1, &[1]),
                &account(from)
            ))
        }),
        ".{0,12}".prop_map(Value::from),
    ]
}

fn param() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "from",
        "to",
        "gas",
        "gasPrice",
        "maxFeePerGas",
        "value",
        "data",
        "input",
        "nonce",
        "accessList",
        "address",
        "topics",
        "fromBlock",
        "toBlock",
        "blockHash",
        "depth",
        "tx_block_pairs",
        "timestamp",
        "blocks",
        "authorizationList",
    ]);
    leaf().prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

fn request() -> impl Strategy<Value = (&'static str, Value)> {
    let params = prop_oneof![
        9 => prop::collection::vec(param(), 0..4).prop_map(Value::from),
        1 => param(),
    ];
    (prop::sample::select(METHODS), params)
}

fn young() -> Devchain {
    let chain = open();
    mined(&chain, &signed(transaction(0, None, 0, &deploying(COUNTER)), &account(0)));
    for nonce in 0..3 {
        mined(
            &chain,
            &signed(transaction(nonce, Some(account(0).address().create(0)), 1, &[1]), &account(1)),
        );
    }
    chain
}

/// Asserts that the blocks are linked, can be found by hash and number, and have times that do not
/// decrease.
fn assert_whole(chain: &Devchain) {
    let head = number(&ask(chain, "eth_blockNumber", json!([])));
    let mut parent: Option<Value> = None;
    for n in 0..=head {
        let block = ask(chain, "eth_getBlockByNumber", json!([format!("0x{n:x}"), false]));
        assert_eq!(block, ask(chain, "eth_getBlockByHash", json!([block["hash"], false])));
        if let Some(parent) = parent {
            assert_eq!(block["parentHash"], parent["hash"]);
            assert!(number(&block["timestamp"]) >= number(&parent["timestamp"]));
        }
        for hash in block["transactions"].as_array().unwrap() {
            let receipt = ask(chain, "eth_getTransactionReceipt", json!([hash]));
            assert_eq!(receipt["blockHash"], block["hash"]);
        }
        parent = Some(block);
    }
    assert_eq!(
        ask(chain, "eth_getBlockByNumber", json!([format!("0x{:x}", head + 1), false])),
        Value::Null
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_is_asked_panics_or_breaks_the_chain(requests in prop::collection::vec(request(), 1..40)) {
        let chain = young();
        for (method, params) in requests {
            if let Err(error) = chain.handle(method, params.clone()) {
                prop_assert!(error.code != -32603, "{method} {params}: {error}");
            }
        }
        assert_whole(&chain);
    }
}

/// An action of a client that adds or removes blocks.
#[derive(Clone, Debug)]
enum Step {
    Bump(u8),
    Mine(u64),
    Give(u64),
    Reorg(u64, bool),
    RollBack(u64),
    Mark,
    Return(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..4).prop_map(Step::Bump),
        1 => (1u64..4).prop_map(Step::Mine),
        1 => (0u64..1000).prop_map(Step::Give),
        2 => (0u64..5, any::<bool>()).prop_map(|(depth, keep)| Step::Reorg(depth, keep)),
        1 => (0u64..4).prop_map(Step::RollBack),
        1 => Just(Step::Mark),
        1 => (0usize..4).prop_map(Step::Return),
    ]
}

/// Returns balance and counter at a block.
fn glance(chain: &Devchain, block: &Value) -> (Value, Value) {
    let at = json!({ "blockHash": block });
    let balance = ask(chain, "eth_getBalance", json!([account(2).address(), at]));
    (balance, ask(chain, "eth_call", json!([{ "to": counter() }, at])))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// While a block is part of the chain, the state at it stays what it was when the block was the
    /// newest.
    #[test]
    fn history_holds_through_reorgs(steps in prop::collection::vec(step(), 1..40)) {
        let chain = young();
        let mut history: BTreeMap<String, (Value, Value)> = BTreeMap::new();
        let mut marks = Vec::new();
        for step in steps {
            match step {
                Step::Bump(from) => {
                    let from = account(from);
                    let nonce = number(&ask(&chain, "eth_getTransactionCount", json!([from.address()])));
                    mined(&chain, &signed(transaction(nonce, Some(account(0).address().create(0)), 1, &[1]), &from));
                }
                Step::Mine(count) => drop(ask(&chain, "anvil_mine", json!([count]))),
                Step::Give(wei) => {
                    // A change outside of blocks belongs to the next block.
                    ask(&chain, "anvil_setBalance", json!([account(2).address(), wei + 10u64.pow(18)]));
                    ask(&chain, "evm_mine", json!([]));
                }
                Step::Reorg(depth, keep) => {
                    let head = ask(&chain, "eth_getBlockByNumber", json!(["latest", false]));
                    let again: Vec<Value> = head["transactions"].as_array().unwrap().iter().filter(|_| keep && depth > 0)
                        .map(|hash| json!([ask(&chain, "eth_getRawTransactionByHash", json!([hash])), depth - 1])).collect();
                    // A kept transaction may have lost its predecessor: that is an error, not a
                    // broken chain.
                    let _ = chain.handle("anvil_reorg", json!([depth, again]));
                }
                Step::RollBack(depth) => drop(chain.handle("anvil_rollback", json!([depth]))),
                Step::Mark => {
                    let head = ask(&chain, "eth_getBlockByNumber", json!(["latest", false]));
                    marks.push((ask(&chain, "evm_snapshot", json!([])), head["hash"].clone()));
                }
                Step::Return(index) => {
                    let Some((mark, hash)) = marks.get(index) else { continue };
                    if ask(&chain, "evm_revert", json!([mark])) == true {
                        prop_assert_eq!(&ask(&chain, "eth_getBlockByNumber", json!(["latest", false]))["hash"], hash);
                    }
                }
            }
            let head = ask(&chain, "eth_getBlockByNumber", json!(["latest", false]))["hash"].clone();
            let now = glance(&chain, &head);
            if let Some(then) = history.insert(head.as_str().unwrap().to_owned(), now.clone()) {
                prop_assert_eq!(then, now);
            }
        }
        for (hash, then) in &history {
            if !ask(&chain, "eth_getBlockByHash", json!([hash, false])).is_null() {
                prop_assert_eq!(then, &glance(&chain, &json!(hash)), "{}", hash);
            }
        }
        assert_whole(&chain);
    }
}

#[test]
fn oversized_and_misshapen_requests_are_refused_in_words() {
    let chain = young();
    let code = |method: &str, params: Value| chain.handle(method, params).unwrap_err().code;
    assert_eq!(
        code("eth_sendRawTransaction", json!([format!("0x{}", "02".repeat(200_000))])),
        -32003,
        "oversized"
    );
    assert_eq!(code("eth_getBalance", json!({ "address": "0x" })), -32602, "params by name");
    assert_eq!(code("anvil_mine", json!(["0xffffffff"])), -32005);
    assert_eq!(code("anvil_reorg", json!([1, vec![json!(["0x", 0]); 5000]])), -32005);
    assert_eq!(
        code(
            "eth_newFilter",
            json!([{ "address": vec![counter(); 1]  , "topics": vec![Value::Null; 9] }])
        ),
        -32602
    );
    let many: Vec<String> = (0..2000u64).map(|n| format!("0x{n:040x}")).collect();
    assert_eq!(code("eth_getLogs", json!([{ "address": many }])), -32602);
    assert_eq!(code("eth_feeHistory", json!(["0x1", "latest", [90.0, 10.0]])), -32602);
    assert_eq!(code("eth_feeHistory", json!(["0x1", "latest", vec![1.0; 101]])), -32602);
    assert_eq!(code("eth_feeHistory", json!(["0x1", "0x99", []])), -32000);
    assert_eq!(
        code("anvil_setCode", json!([counter(), "0xef0100"])),
        -32602,
        "a malformed delegation"
    );
    assert_eq!(
        code("eth_call", json!([{ "to": counter(), "data": "0x01", "input": "0x02" }])),
        -32602
    );
    assert_eq!(
        code("eth_call", json!([{ "to": counter() }, "latest", { counter(): {} }])),
        -32602,
        "overrides"
    );
    let mut deep = json!([]);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    assert_eq!(code("eth_call", deep), -32602);
    assert_whole(&chain);
}

#[test]
fn queues_are_bounded() {
    let chain = young();
    let filter = ask(&chain, "eth_newBlockFilter", json!([]));
    for _ in 0..300 {
        ask(&chain, "eth_newBlockFilter", json!([]));
    }
    assert_eq!(
        chain.handle("eth_getFilterChanges", json!([filter])).unwrap_err().message,
        "filter not found"
    );

    ask(&chain, "evm_setAutomine", json!([false]));
    let to = Some(account(9).address());
    for nonce in 3..1027 {
        let large = TxEip1559 { gas_limit: 20_000_000, ..transaction(nonce, to, 0, &[]) };
        send(&chain, &signed(large, &account(1)));
    }
    let full = chain.handle(
        "eth_sendRawTransaction",
        json!([signed(transaction(1027, to, 0, &[]), &account(1))]),
    );
    assert_eq!(full.unwrap_err().message, "txpool is full");
    // A block's gas limit bounds its transactions; the others wait for the next blocks.
    ask(&chain, "evm_mine", json!([]));
    let block = ask(&chain, "eth_getBlockByNumber", json!(["latest", false]));
    let taken = block["transactions"].as_array().unwrap().len();
    assert!((2..1024).contains(&taken), "{taken}");
    assert_eq!(number(&block["gasUsed"]), taken as u64 * 21_000);
    ask(&chain, "anvil_mine", json!([3]));
    assert_whole(&chain);
}
