//! Going back: reorgs, rollbacks and snapshots, as clients see them.
#![allow(clippy::unwrap_used)]

mod support;

use rialto_devchain::Devchain;
use serde_json::{Value, json};
use support::*;

fn bump(from: u8, nonce: u64) -> String {
    signed(transaction(nonce, Some(account(0).address().create(0)), 0, &[1]), &account(from))
}

fn value(chain: &Devchain) -> u64 {
    number(&ask(chain, "eth_call", json!([{ "to": account(0).address().create(0) }])))
}

fn counter() -> Devchain {
    let chain = open();
    mined(&chain, &signed(transaction(0, None, 0, &deploying(COUNTER)), &account(0)));
    chain
}

/// Block number, counter value and removed flag of logs.
fn story(logs: &Value) -> Vec<(u64, u64, bool)> {
    let log = |log: &Value| {
        (number(&log["blockNumber"]), number(&log["data"]), log["removed"].as_bool().unwrap())
    };
    logs.as_array().unwrap().iter().map(log).collect()
}

#[test]
fn a_reorg_removes_logs_last_first_and_then_adds_those_of_the_new_branch() {
    let chain = counter();
    let filter = ask(&chain, "eth_newFilter", json!([{}]));
    let blocks = ask(&chain, "eth_newBlockFilter", json!([]));
    for nonce in 0..3 {
        mined(&chain, &bump(1, nonce));
    }
    assert_eq!(
        story(&ask(&chain, "eth_getFilterChanges", json!([filter]))),
        [(2, 1, false), (3, 2, false), (4, 3, false)]
    );
    assert_eq!(ask(&chain, "eth_getFilterChanges", json!([blocks])).as_array().unwrap().len(), 3);
    let old: Vec<Value> = (3..=4)
        .map(|n| ask(&chain, "eth_getBlockByNumber", json!([format!("0x{n:x}"), false])))
        .collect();

    ask(&chain, "anvil_reorg", json!([2, [[bump(2, 0), 1], [bump(1, 1), 1]]]));
    assert_eq!(
        story(&ask(&chain, "eth_getFilterChanges", json!([filter]))),
        [(4, 3, true), (3, 2, true), (4, 2, false), (4, 3, false)]
    );
    assert_eq!(ask(&chain, "eth_getFilterChanges", json!([blocks])).as_array().unwrap().len(), 2);
    for block in &old {
        assert_eq!(ask(&chain, "eth_getBlockByHash", json!([block["hash"], false])), Value::Null);
        let query = json!([{ "blockHash": block["hash"] }]);
        assert_eq!(chain.handle("eth_getLogs", query).unwrap_err().message, "unknown block");
        assert_eq!(ask(&chain, "eth_getBlockReceipts", json!([block["hash"]])), Value::Null);
        assert!(chain.handle("eth_call", json!([{}, { "blockHash": block["hash"] }])).is_err());
    }
}

#[test]
fn an_empty_reorg_changes_every_hash_but_not_the_height() {
    let chain = counter();
    ask(&chain, "anvil_mine", json!([5]));
    let hashes = |chain: &Devchain| -> Vec<Value> {
        let block = |n: u64| {
            ask(chain, "eth_getBlockByNumber", json!([format!("0x{n:x}"), false]))["hash"].clone()
        };
        (0..=6).map(block).collect()
    };
    let mut seen = vec![hashes(&chain)];
    for _ in 0..3 {
        ask(&chain, "anvil_reorg", json!([4, []]));
        seen.push(hashes(&chain));
    }
    for (at, now) in seen.iter().enumerate() {
        for earlier in &seen[..at] {
            assert_eq!(now[..3], earlier[..3]);
            assert!((3..7).all(|n| now[n] != earlier[n]));
        }
    }
}

#[test]
fn dropped_transactions_can_be_sent_again_and_raw_bytes_re_mined() {
    let chain = counter();
    let receipt = mined(&chain, &bump(1, 0));
    let raw = ask(&chain, "eth_getRawTransactionByHash", json!([receipt["transactionHash"]]));
    assert_eq!(raw, bump(1, 0));
    ask(&chain, "anvil_reorg", json!([1, []]));
    assert_eq!(
        ask(&chain, "eth_getTransactionByHash", json!([receipt["transactionHash"]])),
        Value::Null
    );
    assert_eq!(value(&chain), 0);
    let again = mined(&chain, raw.as_str().unwrap());
    assert_eq!(
        (&again["transactionHash"], &again["blockNumber"]),
        (&receipt["transactionHash"], &json!("0x3"))
    );
    assert_ne!(again["blockHash"], receipt["blockHash"]);
}

#[test]
fn a_reorg_without_room_or_with_unfit_transactions_says_so() {
    let chain = counter();
    mined(&chain, &bump(1, 0));
    let fails = |params: Value| chain.handle("anvil_reorg", params).unwrap_err().code;
    let before = ask(&chain, "eth_getBlockByNumber", json!(["latest", true]));
    assert_eq!(fails(json!([3, []])), -32602, "below the first block");
    assert_eq!(fails(json!([1, [[bump(1, 0), 1]]])), -32602, "beyond the new branch");
    assert_eq!(fails(json!([1, [["0x1234", 0]]])), -32602, "not a transaction");
    assert_eq!(fails(json!(["x", []])), -32602);
    assert_eq!(
        before,
        ask(&chain, "eth_getBlockByNumber", json!(["latest", true])),
        "nothing happened yet"
    );

    let error = chain
        .handle("anvil_reorg", json!([1, [[bump(1, 7), 0], [bump(2, 0), 0], [bump(0, 0), 0]]]))
        .unwrap_err();
    assert!(error.code == -32003 && error.message.contains("nonce too low"), "{error}");
    assert_eq!(value(&chain), 1, "the fit one is in");
}

#[test]
fn snapshots_bring_back_state_time_and_height_and_tell_filters() {
    let chain = counter();
    let filter = ask(&chain, "eth_newFilter", json!([{}]));
    ask(&chain, "anvil_setBalance", json!([account(7).address(), "0x5"]));
    let outer = ask(&chain, "evm_snapshot", json!([]));
    mined(&chain, &bump(1, 0));
    let inner = ask(&chain, "evm_snapshot", json!([]));
    ask(&chain, "anvil_setBalance", json!([account(7).address(), "0x6"]));
    ask(&chain, "evm_increaseTime", json!([1000]));
    mined(&chain, &bump(1, 1));
    assert_eq!(ask(&chain, "evm_revert", json!([outer])), true);
    assert_eq!(ask(&chain, "evm_revert", json!([inner])), false, "it lay after the other");
    assert_eq!(value(&chain), 0);
    assert_eq!(ask(&chain, "eth_getBalance", json!([account(7).address()])), "0x5");
    assert_eq!(
        story(&ask(&chain, "eth_getFilterChanges", json!([filter]))),
        [(2, 1, false), (3, 2, false), (3, 2, true), (2, 1, true)]
    );
    ask(&chain, "evm_mine", json!([]));
    assert_eq!(
        number(&ask(&chain, "eth_getBlockByNumber", json!(["latest", false]))["timestamp"]),
        START
    );

    let point = ask(&chain, "evm_snapshot", json!([]));
    ask(&chain, "anvil_reorg", json!([1, []]));
    assert_eq!(ask(&chain, "evm_revert", json!([point])), false, "its block is gone");
}

#[test]
fn a_standing_clock_stands_and_moves_when_told() {
    let chain = open();
    let time =
        || number(&ask(&chain, "eth_getBlockByNumber", json!(["latest", false]))["timestamp"]);
    let next =
        || number(&ask(&chain, "eth_getBlockByNumber", json!(["pending", false]))["timestamp"]);
    assert_eq!(time(), START);
    ask(&chain, "anvil_mine", json!([10]));
    assert_eq!(time(), START);
    ask(&chain, "evm_increaseTime", json!([60]));
    assert_eq!((time(), next()), (START, START + 60));
    ask(&chain, "evm_setNextBlockTimestamp", json!([START + 500]));
    ask(&chain, "evm_mine", json!([]));
    ask(&chain, "evm_mine", json!([]));
    assert_eq!(time(), START + 500, "time runs on from a time that was set");
    assert_eq!(
        chain.handle("evm_setNextBlockTimestamp", json!([START + 499])).unwrap_err().code,
        -32602
    );
    assert_eq!(chain.handle("evm_increaseTime", json!([u64::MAX])).unwrap_err().code, -32602);
    ask(&chain, "evm_setNextBlockTimestamp", json!([START + 500]));
    ask(&chain, "evm_mine", json!([]));
    assert_eq!(time(), START + 500);
}

#[test]
fn the_heartbeat_makes_blocks_only_when_asked_and_due() {
    let chain =
        Devchain::open(rialto_devchain::Config { heartbeat_secs: Some(5), ..config() }).unwrap();
    let head = || number(&ask(&chain, "eth_blockNumber", json!([])));
    assert_eq!((head(), head()), (0, 0));
    ask(&chain, "evm_increaseTime", json!([4]));
    assert_eq!(head(), 0);
    ask(&chain, "evm_increaseTime", json!([60]));
    assert_eq!((head(), head()), (1, 1), "one block, however long it rested");
    assert_eq!(
        number(&ask(&chain, "eth_getBlockByNumber", json!(["latest", false]))["timestamp"]),
        START + 64
    );
}
