//! Shared parts of the devchain's tests: accounts, signed transactions, small contracts.
#![allow(dead_code, reason = "each test file uses its part")]

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use rialto_devchain::{Clock, Config, Devchain};
use serde_json::{Value, json};

pub const CHAIN_ID: u64 = 31_337;
pub const GWEI: u128 = 1_000_000_000;
/// Start of tests' manual clocks.
pub const START: u64 = 1_800_000_000;

/// Test account `index`; the same on every run.
pub fn account(index: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(index + 1)).unwrap()
}

pub fn config() -> Config {
    let balance = U256::from(10_000u64) * U256::from(10u64).pow(U256::from(18));
    Config {
        chain_id: CHAIN_ID,
        accounts: (0..4).map(|index| (account(index).address(), balance)).collect(),
        clock: Clock::Manual(START),
        ..Config::default()
    }
}

pub fn open() -> Devchain {
    Devchain::open(config()).unwrap()
}

/// Returns an unsigned transaction, with fees that are high enough for a young chain.
pub fn transaction(nonce: u64, to: Option<Address>, value: u64, input: &[u8]) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: to.map_or(TxKind::Create, TxKind::Call),
        value: U256::from(value),
        access_list: Default::default(),
        input: Bytes::copy_from_slice(input),
    }
}

pub fn legacy(nonce: u64, to: Address, chain_id: Option<u64>) -> TxLegacy {
    TxLegacy {
        chain_id,
        nonce,
        gas_price: 10 * GWEI,
        gas_limit: 100_000,
        to: to.into(),
        ..Default::default()
    }
}

pub fn access_list(nonce: u64, to: Address) -> TxEip2930 {
    TxEip2930 {
        chain_id: CHAIN_ID,
        nonce,
        gas_price: 10 * GWEI,
        gas_limit: 100_000,
        to: to.into(),
        ..Default::default()
    }
}

pub fn sign<T: SignableTransaction<Signature>>(
    transaction: T,
    signer: &PrivateKeySigner,
) -> TxEnvelope
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    transaction.into_signed(signature).into()
}

/// Returns the signed bytes, as `eth_sendRawTransaction` takes them.
pub fn raw(transaction: &TxEnvelope) -> String {
    hex::encode_prefixed(transaction.encoded_2718())
}

pub fn signed<T: SignableTransaction<Signature>>(
    transaction: T,
    signer: &PrivateKeySigner,
) -> String
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    raw(&sign(transaction, signer))
}

/// Sends a transaction that must be accepted, and returns its hash.
pub fn send(chain: &Devchain, raw: &str) -> Value {
    chain.handle("eth_sendRawTransaction", json!([raw])).unwrap()
}

/// Sends a transaction that must be mined at once, and returns its receipt.
pub fn mined(chain: &Devchain, raw: &str) -> Value {
    let hash = send(chain, raw);
    let receipt = chain.handle("eth_getTransactionReceipt", json!([hash])).unwrap();
    assert!(!receipt.is_null(), "not mined: {hash}");
    receipt
}

pub fn ask(chain: &Devchain, method: &str, params: Value) -> Value {
    chain.handle(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
}

pub fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// Init code that deploys `runtime` (at most 255 bytes).
pub fn deploying(runtime: &[u8]) -> Vec<u8> {
    let length = u8::try_from(runtime.len()).unwrap();
    // PUSH1 length, DUP1, PUSH1 9, PUSH0, CODECOPY, PUSH0, RETURN
    [&[0x60, length, 0x80, 0x60, 0x09, 0x5f, 0x39, 0x5f, 0xf3], runtime].concat()
}

/// Without input returns slot 0; with input adds one to it and logs the new value under the topics
/// 0xc001 and the caller.
pub const COUNTER: &[u8] =
    &hex!("36600c575f545f5260205ff35b60015f5401805f555f523361c00160205fa200");
/// Reverts with its input.
pub const ECHO_REVERT: &[u8] = &hex!("365f5f37365ffd");
/// Returns timestamp, number, base fee, chain id, gas price and caller, a word each.
pub const ENVIRONMENT: &[u8] = &hex!("425f524360205248604052466060523a6080523360a05260c05ff3");
/// Returns the hash of the block before.
pub const PARENT_HASH: &[u8] = &hex!("60014303405f5260205ff3");
/// Loops until its gas is used up.
pub const ENDLESS: &[u8] = &hex!("5b600056");
/// Stores the length of its input in slot 0: clearing the slot earns a refund.
pub const STORE_LENGTH: &[u8] = &hex!("365f5500");
