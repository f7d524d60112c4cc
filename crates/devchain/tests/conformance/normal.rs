//! Makes answers of different chains comparable: fields that must differ are renamed or dropped,
//! all others stay.

use std::collections::BTreeMap;

use alloy_primitives::keccak256;
use serde_json::{Map, Value, json};

use crate::{scenarios::Step, targets::Fault};

/// Fields that hold a block's or transaction's hash: named by order of appearance.
const HASHES: &[&str] = &["hash", "blockHash", "parentHash", "transactionHash", "transactions"];
/// Fields that do not depend on behaviour: roots of different tries, sizes, randomness, block times
/// from a running clock, and anvil's blob price on receipts of transactions without blobs.
const DROPPED: &[&str] = &[
    "stateRoot",
    "mixHash",
    "size",
    "extraData",
    "miner",
    "timestamp",
    "blockTimestamp",
    "totalDifficulty",
    "parentBeaconBlockRoot",
    "blobGasPrice",
];
/// Phrases that identify an error; the phrases in one row mean the same.
const MESSAGES: &[&[&str]] = &[
    &["nonce too low"],
    &["insufficient funds"],
    &["already known", "already imported"],
    &["underpriced"],
    &["block gas limit", "intrinsic gas too high"],
    &["intrinsic gas too low"],
    &["priority fee"],
    &["base fee"],
    &["chain id"],
    &["revert"],
    &["out of gas"],
    &["filter not found"],
    &["method not found"],
    &["decode", "empty transaction data"],
];

/// Longest string that is shown in full.
const LONG: usize = 200;

#[derive(Default)]
pub struct Normaliser {
    hashes: BTreeMap<String, usize>,
}

impl Normaliser {
    pub fn answer(&mut self, step: &Step, answer: Result<Value, Fault>) -> Value {
        match answer {
            Ok(_) if step.ignore => json!("fine"),
            Err((code, ..)) if step.ignore => json!({ "error": code }),
            Ok(value) => match step.only {
                Some(pointer) => value.pointer(pointer).cloned().unwrap_or_default(),
                None => self.value("", value),
            },
            Err((code, message, data)) => {
                let message = message.to_lowercase();
                let row =
                    MESSAGES.iter().find(|row| row.iter().any(|words| message.contains(words)));
                json!({ "error": code, "says": row.map_or(message.as_str(), |row| row[0]), "data": data })
            }
        }
    }

    fn value(&mut self, key: &str, value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut normal = Map::new();
                for (key, value) in fields {
                    if !DROPPED.contains(&key.as_str()) {
                        let value = self.value(&key, value);
                        normal.insert(key, value);
                    }
                }
                Value::Object(normal)
            }
            Value::Array(items) => items.into_iter().map(|item| self.value(key, item)).collect(),
            Value::String(text) if HASHES.contains(&key) && text.len() == 66 => {
                let next = self.hashes.len();
                json!(format!("hash {}", self.hashes.entry(text).or_insert(next)))
            }
            // Long strings, mostly blooms, would make the transcript unreadable.
            Value::String(text) if text.len() > LONG => {
                json!(format!("{} characters, {}", text.len(), keccak256(text)))
            }
            other => other,
        }
    }
}
