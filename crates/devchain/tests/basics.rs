//! The minimal path: deploy, call, send, read back.
#![allow(clippy::unwrap_used)]

mod support;

use alloy_primitives::{Address, B256};
use serde_json::json;
use support::*;

#[test]
fn a_contract_is_deployed_called_and_leaves_a_receipt() {
    let (chain, owner) = (open(), account(0));
    let receipt = mined(&chain, &signed(transaction(0, None, 0, &deploying(COUNTER)), &owner));
    let counter: Address = serde_json::from_value(receipt["contractAddress"].clone()).unwrap();
    assert_eq!(counter, owner.address().create(0));
    assert_eq!(receipt["status"], "0x1");

    let receipt = mined(&chain, &signed(transaction(1, Some(counter), 0, &[1]), &owner));
    assert_eq!(receipt["blockNumber"], "0x2");
    assert_eq!(receipt["logs"][0]["topics"][0], json!(B256::with_last_byte(1).to_string().replace("0001", "c001")));
    let value = ask(&chain, "eth_call", json!([{ "to": counter }, "latest"]));
    assert_eq!(value, json!(B256::with_last_byte(1)));
    assert_eq!(ask(&chain, "eth_call", json!([{ "to": counter }, "0x1"])), json!(B256::ZERO));
    let gas = number(&ask(&chain, "eth_estimateGas", json!([{ "to": counter, "input": "0x01" }])));
    assert!((26_000..60_000).contains(&gas), "{gas}");
    assert_eq!(ask(&chain, "eth_getTransactionCount", json!([owner.address(), "latest"])), "0x2");
    let block = ask(&chain, "eth_getBlockByNumber", json!(["latest", true]));
    assert_eq!(block["transactions"][0]["hash"], receipt["transactionHash"]);
    assert_eq!(block["hash"], receipt["blockHash"]);
}
