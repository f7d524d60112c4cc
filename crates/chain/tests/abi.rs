//! The bindings equal the ABI of the committed artifacts.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use alloy_primitives::{hex, keccak256};
use alloy_sol_types::SolStruct;
use rialto_chain::bindings::{self, ICourt, IMarket, IStepUnit, IToken};
use rialto_protocol::eip712::Typed;
use rialto_protocol::types as protocol;
use serde_json::Value;

fn abi(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/artifacts").join(name);
    let artifact: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    artifact["abi"].as_array().unwrap().clone()
}

fn type_of(parameter: &Value) -> String {
    let name = parameter["type"].as_str().unwrap();
    match name.strip_prefix("tuple") {
        Some(dimensions) => format!("({}){dimensions}", types_of(&parameter["components"])),
        None => name.to_owned(),
    }
}

fn types_of(parameters: &Value) -> String {
    parameters.as_array().unwrap().iter().map(type_of).collect::<Vec<_>>().join(",")
}

fn signature(item: &Value) -> String {
    format!("{}({})", item["name"].as_str().unwrap(), types_of(&item["inputs"]))
}

fn selectors(abi: &[Value], kind: &str) -> BTreeSet<String> {
    let items = abi.iter().filter(|item| item["type"] == kind);
    items.map(|item| hex::encode(&keccak256(signature(item))[..4])).collect()
}

fn topics(abi: &[Value]) -> BTreeSet<String> {
    let items = abi.iter().filter(|item| item["type"] == "event");
    items.map(|item| hex::encode(keccak256(signature(item)))).collect()
}

/// Returns indexed parameters and return types, which a selector does not contain but decoding
/// needs.
fn shapes(abi: &[Value]) -> BTreeSet<String> {
    abi.iter()
        .map(|item| match item["type"].as_str().unwrap() {
            "event" => {
                let inputs = item["inputs"].as_array().unwrap().iter();
                let indexed: String =
                    inputs.map(|i| if i["indexed"] == true { 'i' } else { '-' }).collect();
                format!("{} {indexed}", signature(item))
            }
            "function" => format!("{} -> ({})", signature(item), types_of(&item["outputs"])),
            _ => String::new(),
        })
        .collect()
}

fn hexes<'a, const N: usize>(items: impl Iterator<Item = &'a [u8; N]>) -> BTreeSet<String> {
    items.map(hex::encode).collect()
}

#[test]
fn market_bindings_equal_the_interface() {
    let interface = abi("IMarket.json");
    assert_eq!(hexes(IMarket::IMarketCalls::SELECTORS.iter()), selectors(&interface, "function"));
    assert_eq!(hexes(IMarket::IMarketErrors::SELECTORS.iter()), selectors(&interface, "error"));
    assert_eq!(hexes(IMarket::IMarketEvents::SELECTORS.iter()), topics(&interface));
}

#[test]
fn the_deployed_market_has_the_interface() {
    let (interface, market) = (abi("IMarket.json"), abi("Market.json"));
    assert!(shapes(&market).is_superset(&shapes(&interface)));
    assert_eq!(topics(&market), topics(&interface), "no event that a client can't read");
    assert_eq!(
        selectors(&market, "error"),
        selectors(&interface, "error"),
        "no error that a client can't explain"
    );
}

#[test]
fn court_bindings_equal_the_interface() {
    let interface = abi("ICourt.json");
    assert_eq!(hexes(ICourt::ICourtCalls::SELECTORS.iter()), selectors(&interface, "function"));
    assert_eq!(hexes(ICourt::ICourtErrors::SELECTORS.iter()), selectors(&interface, "error"));
    assert_eq!(hexes(ICourt::ICourtEvents::SELECTORS.iter()), topics(&interface));
    let units = abi("IStepUnit.json");
    assert_eq!(hexes(IStepUnit::IStepUnitCalls::SELECTORS.iter()), selectors(&units, "function"));
    assert_eq!(hexes(IStepUnit::IStepUnitErrors::SELECTORS.iter()), selectors(&units, "error"));
}

#[test]
fn the_deployed_court_has_the_interface() {
    let (interface, court) = (abi("ICourt.json"), abi("Court.json"));
    assert!(shapes(&court).is_superset(&shapes(&interface)));
    assert_eq!(topics(&court), topics(&interface), "no event that a client can't read");
    let known = ["ICourt.json", "IMarket.json"]
        .iter()
        .flat_map(|name| selectors(&abi(name), "error"))
        .collect();
    assert!(selectors(&court, "error").is_subset(&known), "no error that a client can't explain");
    let (interface, unit) = (abi("IStepUnit.json"), abi("StepUnit.json"));
    assert!(shapes(&unit).is_superset(&shapes(&interface)));
    assert!(selectors(&unit, "error").is_subset(&selectors(&interface, "error")));
}

#[test]
fn token_bindings_equal_the_test_token() {
    let token = abi("TestToken.json");
    assert_eq!(hexes(IToken::ITokenCalls::SELECTORS.iter()), selectors(&token, "function"));
    assert_eq!(hexes(IToken::ITokenErrors::SELECTORS.iter()), selectors(&token, "error"));
    assert_eq!(hexes(IToken::ITokenEvents::SELECTORS.iter()), topics(&token));
}

#[test]
fn signed_structs_equal_the_protocol() {
    assert_eq!(<bindings::Ask as SolStruct>::eip712_encode_type(), protocol::Ask::encode_type());
    assert_eq!(<bindings::Deal as SolStruct>::eip712_encode_type(), protocol::Deal::encode_type());
    assert_eq!(
        <bindings::Order as SolStruct>::eip712_encode_type(),
        protocol::Order::encode_type()
    );
    assert_eq!(<bindings::Ack as SolStruct>::eip712_encode_type(), protocol::Ack::encode_type());
    assert_eq!(
        <bindings::Receipt as SolStruct>::eip712_encode_type(),
        protocol::Receipt::encode_type()
    );
    assert_eq!(
        <bindings::Limits as SolStruct>::eip712_encode_type(),
        protocol::Limits::encode_type()
    );
    assert_eq!(
        <bindings::Cancel as SolStruct>::eip712_encode_type(),
        protocol::Cancel::encode_type()
    );
    assert_eq!(
        <bindings::Voucher as SolStruct>::eip712_encode_type(),
        protocol::Voucher::encode_type()
    );
    assert_eq!(
        <bindings::Release as SolStruct>::eip712_encode_type(),
        protocol::Release::encode_type()
    );
    assert_eq!(<bindings::Game as SolStruct>::eip712_encode_type(), protocol::Game::encode_type());
}
