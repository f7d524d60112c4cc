//! One JSON schema for each answer, compared with those in `schemas/`. `UPDATE=1` rewrites them.
//!
//! Types of other crates have a mirror here, which is compared with what they serialise to.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rialto_protocol::{Address, B256, types};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde_json::Value;

use super::*;

macro_rules! text {
    ($name:ident, $pattern:literal, $says:literal) => {
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $says })
            }
        }
    };
}

text!(Account, "^0x[0-9a-f]{40}$", "An address in hex, lower case.");
text!(Hash, "^0x[0-9a-f]{64}$", "32 bytes in hex.");
text!(Decimal, "^[0-9]+$", "A whole number of up to 128 bits as a decimal text.");

/// An event: docs/protocol.md and `--help` say which there are.
#[derive(JsonSchema)]
pub struct AnyEvent {
    /// What happened; further fields depend on it.
    #[allow(dead_code)]
    event: String,
}

/// An object whose fields this schema does not fix.
pub struct AnyObject;

impl JsonSchema for AnyObject {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnyObject".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

macro_rules! mirror {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(JsonSchema)]
        #[allow(non_snake_case, dead_code)]
        pub struct $name { $($field: $ty),* }
    };
}

mirror!(
    /// The terms of a deal (docs/protocol.md).
    Deal {
        ask: Hash, requester: Account, provider: Account, requesterKey: Account, providerKey: Account,
        budget: u128, collateral: u128, price: u128, taskFee: u128, latePenalty: u128, openedAt: u64,
        expiry: u64, court: Account, salt: u64,
    }
);
mirror!(
    /// How to reach a peer.
    PeerAddr { endpoint: Hash, direct: Vec<std::net::SocketAddr>, relay: Option<String> }
);
mirror!(
    /// A step as a court judged it.
    JudgedStep { position: u64, state: Hash, claimed: Hash, next: Hash }
);
mirror!(
    /// How a game ended, and where the bond went, base units.
    GameEnd {
        verdict: Verdict, accuser_won: bool, slashed: bool, to_accuser: u128, to_provider: u128, burned: u128,
    }
);
mirror!(
    /// What was checked, what that cost, and what it leaves unseen.
    Checks {
        checked: u64, own_runs: u64, own_fuel: u128, repeated: u64, repeated_fees: u128, doubted: u64,
        unseen: Vec<(u64, u32)>,
    }
);

/// What a game ended by.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[allow(dead_code)]
pub enum Verdict {
    Step,
    Timeout,
    Fuel,
}

/// What a requester lacks to go to court.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[allow(dead_code)]
pub enum Lack {
    Court,
    Runs,
    Bond,
}

/// What is wrong with a receipt.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[allow(dead_code)]
pub enum Fault {
    Sum,
    Fuel,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

macro_rules! answers {
    ($($name:literal: $ty:ty),* $(,)?) => {
        fn schemas() -> BTreeMap<&'static str, Schema> {
            BTreeMap::from([$(($name, schema_for!($ty))),*])
        }
    };
}

answers! {
    "bench-compare": BenchCompare,
    "bench-exec": BenchExec,
    "bench-idle": BenchIdle,
    "bench-latency": BenchLatency,
    "bench-match": BenchMatch,
    "bench-net": BenchNet,
    "bench-tasks": BenchTasks,
    "check": ProgramCheck,
    "completions": Completions,
    "config-path": ConfigPath,
    "config-show": ConfigShown,
    "deals": DealList,
    "deals-close": DealClosed,
    "deals-export": Books,
    "deals-export-file": BooksWritten,
    "deals-show": super::Deal,
    "demo": DemoReport,
    "demo-grief": DemoGrief,
    "demo-keep": DemoKept,
    "deploy": Deployed,
    "deploy-explain": DeployPlan,
    "dispute": GameList,
    "dispute-accuse": Accused,
    "dispute-delegate": Delegated,
    "dispute-move": Answered,
    "dispute-show": GameShown,
    "doctor": Diagnosis,
    "down": MarketDown,
    "explain": TransactionPlan,
    "failure": Failure,
    "job": JobEnded,
    "job-detach": JobUnderWay,
    "job-dry-run": JobQuote,
    "job-explain": JobPlan,
    "jobs": JobList,
    "jobs-cancel": JobCancelled,
    "jobs-forgive": Forgiven,
    "jobs-logs": JobStoryLine,
    "jobs-providers": KnownProviders,
    "jobs-remove": JobRemoved,
    "jobs-results": JobResults,
    "jobs-resume": JobResumed,
    "jobs-show": JobShown,
    "jobs-stop": HostStopped,
    "man": ManualPage,
    "man-dir": ManualPages,
    "market": Market,
    "provide-ended": SellingEnded,
    "provide-explain": SellingPlan,
    "provide-missed": MissedEvents,
    "provide-started": SellingStarted,
    "provide-state": State,
    "provide-warning": SellingWarning,
    "provider-drain": DrainAnswer,
    "provider-status": ProviderStatus<(), ()>,
    "replay": Replay,
    "replay-proof": WrittenProof,
    "replay-step": ReplaySteps,
    "run": ProgramRun,
    "up": MarketUp,
    "verify-bundle": BundleChecked,
    "wallet-account": AccountMade,
    "wallet-balance": Balance,
    "wallet-list": AccountList,
    "wallet-mint": Minted,
    "wallet-move": Moved,
    "watch-prospect": Prospect,
    "watch-started": WatchStarted,
    "watch-verify": Appointment,
    "written": Written,
}

#[test]
fn schemas_are_as_committed() {
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        let _ = std::fs::remove_dir_all(folder());
        std::fs::create_dir_all(folder()).unwrap();
    }
    let mut known = BTreeSet::new();
    for (name, schema) in schemas() {
        let (file, text) =
            (format!("{name}.json"), serde_json::to_string_pretty(&schema).unwrap() + "\n");
        if update {
            std::fs::write(folder().join(&file), &text).unwrap();
        }
        let committed = std::fs::read_to_string(folder().join(&file)).unwrap_or_default();
        assert_eq!(text, committed, "{file}: if that is meant, UPDATE=1 rewrites the files");
        known.insert(file);
    }
    let files = std::fs::read_dir(folder()).unwrap();
    let files: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, known, "an answer is gone: UPDATE=1 removes its schema");
}

/// Fields of an object, and of a mirror's schema.
fn same_fields(value: &impl serde::Serialize, schema: &Schema) {
    let value = serde_json::to_value(value).unwrap();
    let fields: BTreeSet<&String> = value.as_object().unwrap().keys().collect();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap();
    assert_eq!(fields, properties.keys().collect(), "{schema:?}");
}

/// Whether texts of a mirror's enum are those that values serialise to.
fn same_words(values: &[impl serde::Serialize], schema: &Schema) {
    let words: BTreeSet<String> = values
        .iter()
        .map(|value| serde_json::to_value(value).unwrap().as_str().unwrap().to_owned())
        .collect();
    let text = serde_json::to_string(schema).unwrap();
    for word in &words {
        assert!(text.contains(&format!("\"{word}\"")), "{word}: {text}");
    }
}

#[test]
fn mirrors_are_what_they_mirror() {
    use rialto_protocol::{bounds, court, fault, wire};
    same_fields(&types::Deal::default(), &schema_for!(Deal));
    same_fields(
        &wire::PeerAddr { endpoint: B256::ZERO, direct: Vec::new(), relay: None },
        &schema_for!(PeerAddr),
    );
    let step =
        court::JudgedStep { position: 0, state: B256::ZERO, claimed: B256::ZERO, next: B256::ZERO };
    same_fields(&step, &schema_for!(JudgedStep));
    let end = court::GameEnd {
        verdict: court::Verdict::Step,
        accuser_won: true,
        slashed: true,
        to_accuser: 0,
        to_provider: 0,
        burned: 0,
    };
    same_fields(&end, &schema_for!(GameEnd));
    same_fields(&rialto_requester::Checks::default(), &schema_for!(Checks));
    same_words(&[bounds::Lack::Court, bounds::Lack::Runs, bounds::Lack::Bond], &schema_for!(Lack));
    same_words(&[fault::Fault::Sum, fault::Fault::Fuel], &schema_for!(Fault));
    same_words(
        &[court::Verdict::Step, court::Verdict::Timeout, court::Verdict::Fuel],
        &schema_for!(Verdict),
    );
}

#[test]
fn money_is_a_text_or_a_number_of_128_bits() {
    let texts = serde_json::to_string(&Decimal(u128::MAX)).unwrap();
    assert_eq!(texts, format!("\"{}\"", u128::MAX));
    assert_eq!(serde_json::to_string(&Account(Address::ZERO)).unwrap().len(), 44);
}
