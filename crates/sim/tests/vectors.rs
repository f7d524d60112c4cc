//! Checks the same vectors as forge: Rust and Solidity hash, price and commit alike.
#![allow(clippy::unwrap_used)]

use std::{path::Path, str::FromStr};

use alloy_sol_types::Eip712Domain;
use rialto_protocol::eip712::Typed;
use rialto_protocol::{
    B256, pricing,
    receipt::{Halted, Status, SumNode, SumTree, output_hash, verify_leaf},
    types::{
        Ack, Ask, Cancel, Deal, Game, Limits, Move, Order, Receipt, Release, Voucher, digest,
        domain,
    },
};
use serde_json::Value;

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/vectors").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Reads a field that is written as a string or a bool.
fn get<T: FromStr>(value: &Value, field: &str) -> T {
    let text = match &value[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.parse().unwrap_or_else(|_| panic!("{field}: {text}"))
}

fn check<T: Typed>(value: &T, domain: &Eip712Domain, vector: &Value) {
    assert_eq!(value.hash(), get::<B256>(vector, "structHash"), "{vector}");
    assert_eq!(digest(value, domain), get::<B256>(vector, "digest"), "{vector}");
}

fn limits(v: &Value) -> Limits {
    Limits {
        tasks: get(v, "tasks"),
        orders: get(v, "orders"),
        taskFuel: get(v, "taskFuel"),
        taskMemory: get(v, "taskMemory"),
        taskOutput: get(v, "taskOutput"),
        orderOutput: get(v, "orderOutput"),
        program: get(v, "program"),
        inputs: get(v, "inputs"),
        shared: get(v, "shared"),
        credit: get(v, "credit"),
    }
}

#[test]
fn structs_hash_alike() {
    let file = vectors("eip712.json");
    let domain = domain(get(&file["domain"], "chainId"), get(&file["domain"], "verifyingContract"));
    assert_eq!(domain.separator(), get::<B256>(&file, "separator"));
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    for vector in file["vectors"].as_array().unwrap() {
        let v = &vector["value"];
        let name = vector["type"].as_str().unwrap();
        *seen.entry(name).or_default() += 1;
        match name {
            "Ask" => check(
                &Ask {
                    provider: get(v, "provider"),
                    key: get(v, "key"),
                    endpoint: get(v, "endpoint"),
                    priceStart: get(v, "priceStart"),
                    priceEnd: get(v, "priceEnd"),
                    from: get(v, "from"),
                    to: get(v, "to"),
                    taskFee: get(v, "taskFee"),
                    minBudget: get(v, "minBudget"),
                    maxBudget: get(v, "maxBudget"),
                    collateralBps: get(v, "collateralBps"),
                    latePenaltyBps: get(v, "latePenaltyBps"),
                    maxSeconds: get(v, "maxSeconds"),
                    capacity: get(v, "capacity"),
                    cores: get(v, "cores"),
                    fuelPerSecond: get(v, "fuelPerSecond"),
                    runtime: get(v, "runtime"),
                    attributes: get(v, "attributes"),
                    court: get(v, "court"),
                    counter: get(v, "counter"),
                    salt: get(v, "salt"),
                    limits: limits(&v["limits"]),
                },
                &domain,
                vector,
            ),
            "Limits" => check(&limits(v), &domain, vector),
            "Cancel" => check(&Cancel { order: get(v, "order") }, &domain, vector),
            "Deal" => check(
                &Deal {
                    ask: get(v, "ask"),
                    requester: get(v, "requester"),
                    provider: get(v, "provider"),
                    requesterKey: get(v, "requesterKey"),
                    providerKey: get(v, "providerKey"),
                    budget: get(v, "budget"),
                    collateral: get(v, "collateral"),
                    price: get(v, "price"),
                    taskFee: get(v, "taskFee"),
                    latePenalty: get(v, "latePenalty"),
                    openedAt: get(v, "openedAt"),
                    expiry: get(v, "expiry"),
                    court: get(v, "court"),
                    salt: get(v, "salt"),
                },
                &domain,
                vector,
            ),
            "Order" => check(
                &Order {
                    deal: get(v, "deal"),
                    seq: get(v, "seq"),
                    program: get(v, "program"),
                    inputs: get(v, "inputs"),
                    tasks: get(v, "tasks"),
                    fuelLimit: get(v, "fuelLimit"),
                    outLimit: get(v, "outLimit"),
                    maxPages: get(v, "maxPages"),
                    seed: get(v, "seed"),
                    dueBy: get(v, "dueBy"),
                },
                &domain,
                vector,
            ),
            "Ack" => {
                check(&Ack { order: get(v, "order"), dueBy: get(v, "dueBy") }, &domain, vector)
            }
            "Receipt" => check(
                &Receipt {
                    order: get(v, "order"),
                    root: get(v, "root"),
                    fuel: get(v, "fuel"),
                    fee: get(v, "fee"),
                },
                &domain,
                vector,
            ),
            "Voucher" => check(
                &Voucher {
                    deal: get(v, "deal"),
                    amount: get(v, "amount"),
                    orders: get(v, "orders"),
                    close: get(v, "close"),
                },
                &domain,
                vector,
            ),
            "Release" => {
                check(&Release { deal: get(v, "deal"), amount: get(v, "amount") }, &domain, vector)
            }
            "Game" => check(
                &Game {
                    deal: get(v, "deal"),
                    order: get(v, "order"),
                    receipt: get(v, "receipt"),
                    accuser: get(v, "accuser"),
                    provider: get(v, "provider"),
                    providerKey: get(v, "providerKey"),
                    bond: get(v, "bond"),
                    openedAt: get(v, "openedAt"),
                },
                &domain,
                vector,
            ),
            "Move" => check(
                &Move {
                    game: get(v, "game"),
                    level: get(v, "level"),
                    pick: get(v, "pick"),
                    from: get(v, "from"),
                    to: get(v, "to"),
                },
                &domain,
                vector,
            ),
            other => panic!("unknown struct {other}"),
        }
    }
    assert_eq!(seen.len(), 11, "every signed struct has vectors");
    assert!(seen.values().all(|count| *count >= 2), "{seen:?}");
}

#[test]
fn prices_are_alike() {
    let file = vectors("pricing.json");
    let ask = |v: &Value| Ask {
        priceStart: get(v, "priceStart"),
        priceEnd: get(v, "priceEnd"),
        from: get(v, "from"),
        to: get(v, "to"),
        ..Ask::default()
    };
    let result = |v: &Value| v.get("result").map(|_| get::<u128>(v, "result"));
    let list = |name: &str| file[name].as_array().unwrap().clone();
    for v in list("price") {
        assert_eq!(pricing::price_at(&ask(&v), get(&v, "time")), result(&v), "{v}");
    }
    for v in list("fee") {
        let fee =
            pricing::fee(get(&v, "price"), get(&v, "taskFee"), get(&v, "fuel"), get(&v, "tasks"));
        assert_eq!(fee, result(&v), "{v}");
    }
    for v in list("share") {
        assert_eq!(pricing::share(get(&v, "amount"), get(&v, "bps")), result(&v), "{v}");
    }
}

fn node(v: &Value) -> SumNode {
    SumNode { hash: get(v, "hash"), fuel: get(v, "fuel") }
}

fn nodes(v: &Value) -> Vec<SumNode> {
    v.as_array().unwrap().iter().map(node).collect()
}

#[test]
fn receipts_are_alike() {
    let file = vectors("receipt.json");
    for v in file["outputs"].as_array().unwrap() {
        let output: alloy_primitives::Bytes = get(v, "output");
        assert_eq!(output_hash(&output), get::<B256>(v, "outHash"));
    }
    for v in file["halted"].as_array().unwrap() {
        let halted = Halted {
            status: if get::<u8>(v, "status") == 0 { Status::Finished } else { Status::Trap },
            exit_code: get(v, "exitCode"),
            out_hash: get(v, "outHash"),
            out_len: get(v, "outLen"),
            fuel_left: get(v, "fuelLeft"),
            digest: get(v, "digest"),
        };
        assert_eq!(halted.hash(), get::<B256>(v, "hash"), "{v}");
        assert_eq!(halted.fuel_used(get(v, "fuelLimit")), get::<u64>(v, "fuelUsed"), "{v}");
    }
    for v in file["trees"].as_array().unwrap() {
        let tasks: Vec<(B256, u64)> = v["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| (get(task, "halted"), get(task, "fuel")))
            .collect();
        let tree = SumTree::new(tasks.iter().copied());
        assert_eq!(tree.root(), node(&v["root"]));
        for (index, siblings) in (0..).zip(v["proofs"].as_array().unwrap()) {
            let siblings = nodes(siblings);
            let (halted, fuel) = tasks[index as usize];
            assert_eq!(tree.proof(index).unwrap(), siblings);
            assert!(verify_leaf(tree.root(), tasks.len() as u32, index, halted, fuel, &siblings));
        }
    }
    for v in file["refused"].as_array().unwrap() {
        let (tasks, index, fuel) = (get(v, "tasks"), get(v, "index"), get(v, "fuel"));
        assert!(
            !verify_leaf(
                node(&v["root"]),
                tasks,
                index,
                get(v, "halted"),
                fuel,
                &nodes(&v["siblings"])
            ),
            "{v}"
        );
    }
}
