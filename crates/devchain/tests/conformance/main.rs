//! One table of scenarios, run against the devchain in process, over HTTP, and against anvil if it
//! is installed. The normalised answers must be the same.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../anvil/mod.rs"]
mod anvil;
mod normal;
mod scenarios;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use normal::Normaliser;
use scenarios::{Scenario, Step};
use serde_json::{Value, json};
use targets::{Anvil, InProcess, OverHttp, Target};

/// Runs a scenario and returns every step's normalised answer.
fn run(scenario: &Scenario, target: &dyn Target) -> Vec<Value> {
    let mut saved = BTreeMap::new();
    let mut normaliser = Normaliser::default();
    let mut transcript = Vec::new();
    for step in &scenario.steps {
        let params = fill(&step.params, &saved);
        let answer = target.request(step.method, params);
        if let (Ok(hash), "eth_sendRawTransaction", false) = (&answer, step.method, step.waits) {
            target.settle(hash);
        }
        if let (Some((name, pointer)), Ok(answer)) = (step.save, &answer) {
            let value = answer.pointer(pointer).cloned().unwrap_or_default();
            saved.insert(name, value);
        }
        transcript.push(normaliser.answer(step, answer));
    }
    transcript
}

/// Replaces `"$name"` by the value that an earlier step saved.
fn fill(params: &Value, saved: &BTreeMap<&str, Value>) -> Value {
    match params {
        Value::String(text) => match text.strip_prefix('$') {
            Some(name) => {
                saved.get(name).unwrap_or_else(|| panic!("nothing saved as {name}")).clone()
            }
            None => params.clone(),
        },
        Value::Array(items) => items.iter().map(|item| fill(item, saved)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), fill(value, saved))).collect()
        }
        _ => params.clone(),
    }
}

/// Compares a transcript with the expectations of the table and with another target's transcript.
fn faults(scenario: &Scenario, target: &dyn Target, ours: Option<&[Value]>) -> Vec<String> {
    let transcript = run(scenario, target);
    let mut faults = Vec::new();
    for (at, (step, answer)) in scenario.steps.iter().zip(&transcript).enumerate() {
        let place = format!("{} / {at} {} {}", scenario.name, step.method, step.note);
        let foreign = ours.is_some();
        if let Some(expected) =
            step.expected.as_ref().filter(|_| !(foreign && step.differs.is_some()))
            && expected != answer
        {
            faults.push(format!(
                "{place}\n{}",
                differences(expected, answer, "expected", target.name())
            ));
        }
        let Some(ours) = ours.map(|ours| &ours[at]) else { continue };
        match (step.differs, same(step, ours, answer)) {
            (None, false) => {
                faults.push(format!(
                    "{place}\n{}",
                    differences(ours, answer, "devchain", target.name())
                ));
            }
            (Some(why), true) if !step.races => {
                faults.push(format!("{place}\n  no longer differs ({why})"))
            }
            _ => {}
        }
    }
    faults
}

fn same(step: &Step, ours: &Value, theirs: &Value) -> bool {
    let gas = |value: &Value| {
        value.as_str().and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok())
    };
    match (step.within_percent, gas(ours), gas(theirs)) {
        (Some(percent), Some(ours), Some(theirs)) => {
            ours.abs_diff(theirs) * 100 <= theirs * percent
        }
        _ => ours == theirs,
    }
}

/// Returns the leaves in which two answers differ.
fn differences(left: &Value, right: &Value, left_name: &str, right_name: &str) -> String {
    match (left, right) {
        (Value::Object(lefts), Value::Object(rights)) => {
            let keys: BTreeSet<&String> = lefts.keys().chain(rights.keys()).collect();
            let parts = keys
                .into_iter()
                .filter(|key| left[*key] != right[*key] || !lefts.contains_key(*key));
            let part = |key: &String| {
                format!(
                    "  .{key}{}",
                    differences(&left[key], &right[key], left_name, right_name).trim_end()
                )
            };
            parts.map(part).collect::<Vec<_>>().join("\n")
        }
        (Value::Array(lefts), Value::Array(rights)) if lefts.len() == rights.len() => {
            let parts =
                lefts.iter().zip(rights).enumerate().filter(|(_, (left, right))| left != right);
            let part = |(at, (left, right))| {
                format!("  [{at}]{}", differences(left, right, left_name, right_name))
            };
            parts.map(part).collect::<Vec<_>>().join("\n")
        }
        _ => format!("  {left_name} {left}\n  {right_name} {right}"),
    }
}

fn check(start: impl Fn() -> Box<dyn Target>, compare: bool) {
    let mut all = Vec::new();
    for scenario in scenarios::all() {
        let ours = compare.then(|| run(&scenario, &InProcess(support::open())));
        all.extend(faults(&scenario, start().as_ref(), ours.as_deref()));
    }
    assert!(all.is_empty(), "{} differences:\n{}", all.len(), all.join("\n"));
}

#[test]
fn in_process() {
    check(|| Box::new(InProcess(support::open())), false);
}

/// The answers are as recorded when they agreed with anvil 1.7.1. After an intended change, record
/// them again: `RIALTO_RECORD=1 cargo test -p rialto-devchain --test conformance`.
#[test]
fn as_recorded() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/transcript.json");
    let run = |scenario: &Scenario| {
        (scenario.name.to_owned(), run(scenario, &InProcess(support::open())).into())
    };
    let transcript = Value::Object(scenarios::all().iter().map(run).collect());
    if std::env::var_os("RIALTO_RECORD").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&transcript).unwrap() + "\n").unwrap();
    }
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(recorded == transcript, "{}", differences(&recorded, &transcript, "recorded", "now"));
}

#[test]
fn over_http() {
    check(|| Box::new(OverHttp::start()), false);
}

#[test]
fn as_anvil() {
    if let Some(binary) = anvil::find() {
        check(|| Box::new(Anvil::start(&binary)), true);
    }
}

#[test]
fn http_bodies_are_bounded_and_batches_answered() {
    let server = OverHttp::start();
    let addr = server.addr();
    let call = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_blockNumber" });
    let code = |body: &str| serde_json::from_str::<Value>(body).unwrap()["error"]["code"].as_i64();

    let mut batch =
        vec![call(1), json!({ "jsonrpc": "2.0", "method": "eth_blockNumber" }), json!(5), call(2)];
    let (status, answer) = targets::post(addr, json!(batch).to_string().as_bytes());
    let answers: Vec<Value> = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, answers.len()), (200, 3), "a notification is not answered: {answer}");
    assert_eq!((&answers[0]["id"], &answers[2]["id"]), (&json!(1), &json!(2)));
    assert_eq!(answers[1]["error"]["code"], -32600);

    batch.resize(257, call(3));
    assert_eq!(code(&targets::post(addr, json!(batch).to_string().as_bytes()).1), Some(-32600));
    assert_eq!(code(&targets::post(addr, b"[]").1), Some(-32600));
    assert_eq!(code(&targets::post(addr, b"{\"method\":").1), Some(-32700));
    assert_eq!(
        code(&targets::post(addr, "[".repeat(100_000).as_bytes()).1),
        Some(-32700),
        "deep nesting"
    );
    assert_eq!(
        code(&targets::post(addr, b"{\"id\":{},\"method\":\"eth_chainId\"}").1),
        Some(-32600)
    );
    assert_eq!(code(&targets::post(addr, b"{\"id\":1}").1), Some(-32600));
    assert_eq!(code(&targets::post(addr, &[0xff, 0xfe]).1), Some(-32700));
    let (status, _) = targets::post(addr, &vec![b' '; (2 << 20) + 1]);
    assert!(matches!(status, 0 | 413), "an oversized body is refused: {status}");
    for (host, kind) in [("evil.example", "application/json"), ("127.0.0.1", "text/plain")] {
        assert_eq!(
            targets::post_as(addr, host, kind, call(1).to_string().as_bytes()).0,
            403,
            "{host} {kind}"
        );
    }
    assert_eq!(
        targets::post(addr, json!({ "method": "eth_chainId" }).to_string().as_bytes()).0,
        204,
        "a notification"
    );
    assert_eq!(server.request("eth_chainId", json!([])).unwrap(), json!("0x7a69"), "still alive");
}
