//! The minimal path: deploy, call, send, read back.
#![allow(clippy::unwrap_used)]

mod support;

use alloy_consensus::{TxEip1559, TxEip4844, TxEip7702};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, U256};
use alloy_signer::SignerSync;
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
    assert_eq!(
        receipt["logs"][0]["topics"][0],
        json!(B256::with_last_byte(1).to_string().replace("0001", "c001"))
    );
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

#[test]
fn blobs_are_refused_and_delegations_work() {
    let (chain, owner) = (open(), account(0));
    let blob = TxEip4844 {
        chain_id: CHAIN_ID,
        gas_limit: 100_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        max_fee_per_blob_gas: GWEI,
        blob_versioned_hashes: vec![B256::with_last_byte(1)],
        ..Default::default()
    };
    let error = chain.handle("eth_sendRawTransaction", json!([signed(blob, &owner)])).unwrap_err();
    assert!(error.code == -32003 && error.message.contains("type not supported"), "{error}");

    let counter = owner.address().create(0);
    mined(&chain, &signed(transaction(0, None, 0, &deploying(COUNTER)), &owner));
    let authorization =
        Authorization { chain_id: U256::from(CHAIN_ID), address: counter, nonce: 0 };
    let signature = account(5).sign_hash_sync(&authorization.signature_hash()).unwrap();
    let delegation = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 1,
        gas_limit: 200_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: account(5).address(),
        input: vec![1].into(),
        authorization_list: vec![authorization.into_signed(signature)],
        ..Default::default()
    };
    let receipt = mined(&chain, &signed(delegation, &owner));
    assert_eq!((&receipt["status"], &receipt["type"]), (&json!("0x1"), &json!("0x4")));
    let code = ask(&chain, "eth_getCode", json!([account(5).address()]));
    assert_eq!(
        code,
        json!(format!("0xef0100{}", counter.to_string().to_lowercase().trim_start_matches("0x")))
    );
    assert_eq!(number(&ask(&chain, "eth_call", json!([{ "to": account(5).address() }]))), 1);
}

#[test]
fn money_is_conserved_but_for_the_burnt_base_fee() {
    let chain = open();
    let balance = |address: Address, at: &str| -> U256 {
        serde_json::from_value(ask(&chain, "eth_getBalance", json!([address, at]))).unwrap()
    };
    let (from, to) = (account(0).address(), account(1).address());
    let receipt = mined(&chain, &signed(transaction(0, Some(to), 12_345, &[]), &account(0)));
    let block = ask(&chain, "eth_getBlockByNumber", json!(["latest", false]));
    let gas = U256::from(number(&receipt["gasUsed"]));
    let tip = gas * U256::from(GWEI);
    let burnt = gas * U256::from(number(&block["baseFeePerGas"]));
    assert_eq!(balance(to, "latest") - balance(to, "earliest"), U256::from(12_345));
    assert_eq!(balance(Address::ZERO, "latest"), tip);
    assert_eq!(
        balance(from, "earliest") - balance(from, "latest"),
        U256::from(12_345) + tip + burnt
    );
    assert_eq!(U256::from(number(&receipt["effectiveGasPrice"])) * gas, tip + burnt);
}

#[test]
fn an_estimate_is_enough_and_nearly_the_least() {
    let (chain, owner) = (open(), account(0));
    mined(&chain, &signed(transaction(0, None, 0, &deploying(STORE_LENGTH)), &owner));
    let target = owner.address().create(0);
    mined(&chain, &signed(transaction(1, Some(target), 0, &[1]), &owner));
    // Clearing the slot earns a refund, so the call needs more gas than it uses in the end.
    let estimate =
        number(&ask(&chain, "eth_estimateGas", json!([{ "from": owner.address(), "to": target }])));
    let with = |gas: u64| {
        chain.handle("eth_call", json!([{ "to": target, "gas": format!("0x{gas:x}") }])).is_ok()
    };
    assert!(with(estimate) && !with(estimate * 98 / 100), "{estimate}");
    let receipt = mined(
        &chain,
        &signed(TxEip1559 { gas_limit: estimate, ..transaction(2, Some(target), 0, &[]) }, &owner),
    );
    assert_eq!(receipt["status"], "0x1");
    assert!(number(&receipt["gasUsed"]) < estimate);
    let broke = json!([{ "from": account(9).address(), "to": target, "gasPrice": "0x3b9aca00" }]);
    let error = chain.handle("eth_estimateGas", broke).unwrap_err();
    assert!(error.message.contains("gas required exceeds allowance (0)"), "{error}");
}

#[test]
fn block_hashes_are_those_of_the_headers_and_the_machine_sees_them() {
    let (chain, owner) = (open(), account(0));
    mined(&chain, &signed(transaction(0, None, 0, &deploying(PARENT_HASH)), &owner));
    let block = ask(&chain, "eth_getBlockByNumber", json!(["latest", false]));
    let header: alloy_consensus::Header = serde_json::from_value(block.clone()).unwrap();
    assert_eq!(json!(header.hash_slow()), block["hash"]);
    let seen = ask(&chain, "eth_call", json!([{ "to": owner.address().create(0) }, "latest"]));
    assert_eq!(seen, block["parentHash"]);
}
