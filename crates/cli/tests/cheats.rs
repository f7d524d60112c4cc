//! What `rialto demo` promises of cheaters that no game catches: the chain and time do, without
//! anybody's help.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

/// Runs the demo with a small picture and gives its summary back.
fn demo(cheat: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
    command.args(["demo", "--samples", "1", "--output", "json", "--cheat", cheat, "--image"]);
    let output = command.arg(folder.path().join("picture.png")).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["verified"], summary["tasks"], "others did the work");
    assert_eq!(summary["balances_reconciled"], true);
    assert_eq!(summary["picture_is_honest"], true);
    assert_eq!(summary["cheats_detected"], 1);
    let paid = summary["providers"].as_array().unwrap().iter().map(|p| p["paid"].as_u64().unwrap());
    assert_eq!(paid.sum::<u64>(), summary["requester_paid"].as_u64().unwrap());
    summary
}

/// The one dispute, and what its provider earned and was paid.
fn dispute(summary: &Value, kind: &str) -> (Value, u64, u64) {
    let [dispute] = summary["disputes"].as_array().unwrap().as_slice() else {
        panic!("{summary:#}")
    };
    assert_eq!((&dispute["kind"], &dispute["provider"]), (&Value::from(kind), &summary["cheater"]));
    assert_eq!(dispute["step_gas"], Value::Null);
    assert_eq!(dispute["moves"] == 0, kind != "claim", "only what was made up is taken to court");
    let gas = dispute["calls"].as_array().unwrap().iter().map(|call| call["gas"].as_u64().unwrap());
    assert_eq!(gas.sum::<u64>(), dispute["gas_total"].as_u64().unwrap());
    let providers = summary["providers"].as_array().unwrap();
    let cheater =
        providers.iter().find(|provider| provider["address"] == summary["cheater"]).unwrap();
    let number = |field: &str| cheater[field].as_u64().unwrap();
    (dispute.clone(), number("earned"), number("paid"))
}

fn money(dispute: &Value, field: &str) -> u128 {
    dispute[field].as_str().unwrap().parse().unwrap()
}

fn calls(dispute: &Value) -> Vec<&str> {
    dispute["calls"].as_array().unwrap().iter().map(|call| call["call"].as_str().unwrap()).collect()
}

#[test]
fn who_claims_what_it_shows_to_nobody_is_guilty() {
    let summary = demo("withhold");
    let (dispute, earned, paid) = dispute(&summary, "withhold");
    assert_eq!((earned, paid, &dispute["winner"]), (0, 0, &Value::from("requester")));
    assert!(dispute["task"].is_u64());
    let calls = calls(&dispute);
    assert!(["claim", "demand", "settle"].iter().all(|call| calls.contains(call)), "{calls:?}");
    let (slashed, burned) = (money(&dispute, "slashed"), money(&dispute, "burned"));
    assert_eq!(slashed, burned + money(&dispute, "requester_compensated"));
    assert!(burned * 10 >= slashed * 3 && burned > 0, "{burned} of {slashed}");
}

#[test]
fn who_claims_what_it_never_computed_is_taken_to_court() {
    let summary = demo("claim");
    let (dispute, earned, paid) = dispute(&summary, "claim");
    assert_eq!((earned, paid, &dispute["winner"]), (0, 0, &Value::from("requester")));
    let calls = calls(&dispute);
    assert!(
        ["claim", "accuse", "unfold", "challenge"].iter().all(|call| calls.contains(call)),
        "{calls:?}"
    );
    assert!(calls.contains(&"step") || calls.contains(&"timeout"), "{calls:?}");
    let (slashed, burned) = (money(&dispute, "slashed"), money(&dispute, "burned"));
    assert!(burned * 10 >= slashed * 3 && burned > 0, "{burned} of {slashed}");
}

/// Cancelling and calling late, a hundred rejections, and accusations of a right receipt all at
/// once.
#[test]
fn who_means_harm_pays_for_it() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
    let output = command
        .args(["demo", "--samples", "1", "--output", "json", "--cheat", "grief"])
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&summary["ok"], &summary["balances_reconciled"]),
        (&Value::from(true), &Value::from(true))
    );
    let start = 1_000_000_000;
    let (provider, griefer) = (money(&summary, "provider"), money(&summary, "griefer"));
    let lost =
        u128::from(summary["accusations"].as_u64().unwrap()) * start - money(&summary, "puppets");
    assert!(provider > start + money(&summary, "fee"), "the provider is paid for its trouble");
    assert!(griefer < start - money(&summary, "fee"), "its bond is gone");
    assert_eq!(provider + griefer + money(&summary, "burned"), 2 * start + lost);
}

#[test]
fn who_promises_and_does_not_deliver_pays_the_penalty() {
    let summary = demo("late");
    let (dispute, earned, paid) = dispute(&summary, "late");
    assert_eq!((earned, paid, &dispute["winner"]), (0, 0, &Value::from("requester")));
    assert_eq!(calls(&dispute), ["late", "settle"]);
    let penalty = money(&dispute, "requester_compensated");
    assert!(penalty > 0 && penalty == money(&dispute, "slashed") && money(&dispute, "burned") == 0);
}

#[test]
fn the_deal_of_who_vanished_ends_by_time_alone() {
    let summary = demo("crash");
    let (dispute, earned, paid) = dispute(&summary, "crash");
    assert!(paid <= earned, "what it had redeemed stays paid, the rest is lost to it");
    assert!(matches!(calls(&dispute).last(), Some(&"expire")), "{:?}", calls(&dispute));
    assert_eq!((money(&dispute, "slashed"), &dispute["winner"]), (0, &Value::from("nobody")));
}
