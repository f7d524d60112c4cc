//! The sender under crashes, reorgs, stuck transactions, foreign transactions and bad endpoints:
//! every intent happens exactly once.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::keccak256;
use rialto_chain::{Chain, ChainConfig, MarketCall, RpcFault, SendError, Sender};
use serde_json::{Value, json};
use support::*;

struct Journal {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn journal() -> Journal {
    let folder = tempfile::tempdir().unwrap();
    Journal { path: folder.path().join("sender.redb"), _folder: folder }
}

/// Returns a withdrawal. The balance shows how often it happened.
fn withdraw(amount: u128) -> MarketCall {
    MarketCall::Withdraw { to: key("provider").address(), amount }
}

async fn provider(chain: &Chain, journal: &Journal) -> Sender {
    soon(chain.sender(key("provider"), &journal.path)).await.unwrap()
}

async fn balance(chain: &Chain) -> u128 {
    chain.account(key("provider").address()).await.unwrap()
}

/// Waits until `condition` holds.
async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn fault(message: &str) -> Option<Result<Value, RpcFault>> {
    Some(Err(RpcFault { code: -32000, message: message.into(), data: None }))
}

#[tokio::test]
async fn a_known_intent_returns_its_old_outcome() {
    let (dev, _, chain) = market(1000).await;
    let journal = journal();
    let sender = provider(&chain, &journal).await;
    let first = soon(sender.send("pay-out", withdraw(1))).await.unwrap();
    let again = soon(sender.send("pay-out", withdraw(1))).await.unwrap();
    assert_eq!(first, again);
    let conflict = soon(sender.send("pay-out", withdraw(2))).await.unwrap_err();
    assert_eq!(conflict, SendError::IntentConflict("pay-out".into()));
    soon(sender.stop()).await;

    let sender = provider(&chain, &journal).await;
    assert_eq!(soon(sender.send("pay-out", withdraw(1))).await.unwrap(), first);
    assert_eq!(balance(&chain).await, 999);
    let nonces = nonce(&dev, "provider");
    soon(sender.send("another", withdraw(1))).await.unwrap();
    assert_eq!(nonce(&dev, "provider"), nonces + 1);
}

#[tokio::test]
async fn a_refused_intent_stays_free() {
    let (_dev, _, chain) = market(1000).await;
    let sender = provider(&chain, &journal()).await;
    let refused = soon(sender.send("x", withdraw(5000))).await.unwrap_err();
    assert!(matches!(refused, SendError::Rejected(_)), "{refused}");
    soon(sender.send("x", withdraw(10))).await.unwrap();
}

#[tokio::test]
async fn many_at_once_all_happen_once() {
    let (dev, _, chain) = market(1000).await;
    let sender = provider(&chain, &journal()).await;
    let before = nonce(&dev, "provider");
    let sends = (0..40).map(|i| {
        let sender = sender.clone();
        // Each intent is sent twice.
        async move { sender.send(format!("intent {}", i / 2), withdraw(1)).await }
    });
    for outcome in soon(futures::future::join_all(sends)).await {
        outcome.unwrap();
    }
    assert_eq!(balance(&chain).await, 980);
    assert_eq!(nonce(&dev, "provider"), before + 20);
}

#[tokio::test]
async fn killed_between_persisting_and_broadcasting() {
    let (dev, deployed, _) = market(1000).await;
    let disturbed = Disturbed::new(&dev);
    let chain = connect(disturbed.rpc(), deployed.market).await;
    let journal = journal();
    let sender = provider(&chain, &journal).await;

    let attempted = Arc::new(AtomicBool::new(false));
    let seen = attempted.clone();
    disturbed.by(move |method, _, _| {
        (method == "eth_sendRawTransaction").then(|| seen.store(true, Ordering::SeqCst))?;
        fault("connection lost")
    });
    let before = nonce(&dev, "provider");
    let doomed = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("once", withdraw(1)).await }
    });
    until(|| attempted.load(Ordering::SeqCst)).await;
    soon(sender.stop()).await;
    assert_eq!(soon(doomed).await.unwrap().unwrap_err(), SendError::Stopped);
    assert_eq!(nonce(&dev, "provider"), before, "never reached the chain");

    disturbed.heal();
    let sender = provider(&chain, &journal).await;
    soon(sender.send("once", withdraw(1))).await.unwrap();
    assert_eq!(balance(&chain).await, 999);
    assert_eq!(nonce(&dev, "provider"), before + 1);
}

#[tokio::test]
async fn killed_while_broadcasting() {
    let (dev, deployed, _) = market(1000).await;
    let disturbed = Disturbed::new(&dev);
    let chain = connect(disturbed.rpc(), deployed.market).await;
    let journal = journal();
    let sender = provider(&chain, &journal).await;

    // The transaction arrives, but its answer is lost.
    let over = Arc::new(AtomicBool::new(false));
    let waiting = over.clone();
    disturbed.by(move |method, params, next| {
        (method == "eth_sendRawTransaction").then(|| {
            let sent = next(method, params.clone());
            while !waiting.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            sent
        })
    });
    let before = nonce(&dev, "provider");
    let doomed = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("once", withdraw(1)).await }
    });
    until(|| nonce(&dev, "provider") == before + 1).await;
    soon(sender.stop()).await;
    assert_eq!(soon(doomed).await.unwrap().unwrap_err(), SendError::Stopped);

    over.store(true, Ordering::SeqCst);
    disturbed.heal();
    let sender = provider(&chain, &journal).await;
    soon(sender.send("once", withdraw(1))).await.unwrap();
    assert_eq!(balance(&chain).await, 999);
    assert_eq!(nonce(&dev, "provider"), before + 1);
}

#[tokio::test]
async fn killed_between_broadcasting_and_receipt() {
    let (dev, deployed, _) = market(1000).await;
    let disturbed = Disturbed::new(&dev);
    let chain = connect(disturbed.rpc(), deployed.market).await;
    let journal = journal();
    let sender = provider(&chain, &journal).await;

    // The transaction is mined, but this endpoint never shows its receipt.
    disturbed.by(|method, _, _| (method == "eth_getTransactionReceipt").then_some(Ok(Value::Null)));
    let before = nonce(&dev, "provider");
    let doomed = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("once", withdraw(1)).await }
    });
    until(|| nonce(&dev, "provider") == before + 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!doomed.is_finished(), "a used nonce alone is no outcome");
    drop(doomed);
    soon(sender.stop()).await;

    disturbed.heal();
    let sender = provider(&chain, &journal).await;
    // The outcome is found without another call, and nothing is sent a second time.
    soon(sender.send("once", withdraw(1))).await.unwrap();
    assert_eq!(balance(&chain).await, 999);
    assert_eq!(nonce(&dev, "provider"), before + 1);
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_with_a_higher_fee() {
    let (dev, deployed, _) = market(1000).await;
    let disturbed = Disturbed::new(&dev);
    let cfg = ChainConfig {
        bump_after: Duration::from_millis(30),
        ..config(disturbed.rpc(), deployed.market)
    };
    let chain = soon(Chain::connect(cfg)).await.unwrap();
    let journal = journal();
    let sender = provider(&chain, &journal).await;

    // The network accepts only the fourth distinct transaction, as if the fees of the first three
    // were too low.
    let sights = Arc::new(std::sync::Mutex::new(Vec::<Value>::new()));
    let seen = sights.clone();
    disturbed.by(move |method, params, next| {
        if method != "eth_sendRawTransaction" {
            return None;
        }
        let mut seen = seen.lock().unwrap();
        let raw = params[0].clone();
        if !seen.contains(&raw) {
            seen.push(raw.clone());
        }
        if seen.iter().position(|known| *known == raw) == Some(3) {
            return Some(next(method, params.clone()));
        }
        Some(Ok(json!(keccak256("swallowed"))))
    });
    let before = nonce(&dev, "provider");
    let mined = soon(sender.send("once", withdraw(1))).await.unwrap();
    assert_eq!(sights.lock().unwrap().len(), 4);
    assert_eq!(nonce(&dev, "provider"), before + 1);
    assert_eq!(balance(&chain).await, 999);
    let winner: alloy_primitives::Bytes =
        serde_json::from_value(sights.lock().unwrap()[3].clone()).unwrap();
    assert_eq!(mined.tx, keccak256(winner));
}

#[tokio::test]
async fn a_transaction_that_nobody_mines_is_reported_and_watched_on() {
    let (dev, deployed, _) = market(1000).await;
    let disturbed = Disturbed::new(&dev);
    let cfg = ChainConfig {
        bump_after: Duration::from_millis(100),
        max_fee_per_gas_wei: 4_000_000_000,
        ..config(disturbed.rpc(), deployed.market)
    };
    let chain = soon(Chain::connect(cfg)).await.unwrap();
    let sender = provider(&chain, &journal()).await;
    disturbed.by(|method, _, _| {
        (method == "eth_sendRawTransaction").then(|| Ok(json!(keccak256("swallowed"))))
    });
    let stuck = soon(sender.send("once", withdraw(1))).await.unwrap_err();
    assert!(matches!(stuck, SendError::Stuck { .. }), "{stuck}");
    assert_eq!(balance(&chain).await, 1000);
    // The same intent continues to wait, and succeeds when the network recovers.
    disturbed.heal();
    soon(sender.send("once", withdraw(1))).await.unwrap();
    assert_eq!(balance(&chain).await, 999);
}

#[tokio::test]
async fn gas_above_the_cap_is_not_paid() {
    let (dev, deployed, _) = market(1000).await;
    let cfg = ChainConfig { max_fee_per_gas_wei: 1000, ..config(local(&dev), deployed.market) };
    let chain = soon(Chain::connect(cfg)).await.unwrap();
    let sender = provider(&chain, &journal()).await;
    let error = soon(sender.send("x", withdraw(1))).await.unwrap_err();
    assert!(matches!(error, SendError::FeeAboveCap { cap_wei: 1000, .. }), "{error}");
}

#[tokio::test]
async fn a_reorg_before_finality_only_delays() {
    let (dev, deployed, _) = market(1000).await;
    let cfg = ChainConfig { confirmations: 4, ..config(local(&dev), deployed.market) };
    let chain = soon(Chain::connect(cfg)).await.unwrap();
    let sender = provider(&chain, &journal()).await;
    let before = nonce(&dev, "provider");
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("once", withdraw(1)).await }
    });
    until(|| nonce(&dev, "provider") == before + 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished(), "one block is not final");
    control(&dev, "anvil_rollback", json!([1]));
    control(&dev, "evm_mine", json!([]));
    until(|| nonce(&dev, "provider") == before + 1).await;
    control(&dev, "anvil_mine", json!([5]));
    let mined = soon(waiting).await.unwrap().unwrap();
    assert!(chain.head().await.unwrap().number >= mined.block + 3);
    assert_eq!(balance(&chain).await, 999);
    assert_eq!(nonce(&dev, "provider"), before + 1);
}

#[tokio::test]
async fn what_a_deep_reorg_drops_is_broadcast_again() {
    let (dev, _, chain) = market(1000).await;
    let journal = journal();
    let sender = provider(&chain, &journal).await;
    for i in 0..3 {
        soon(sender.send(format!("final {i}"), withdraw(1))).await.unwrap();
    }
    soon(sender.stop()).await;
    let nonces = nonce(&dev, "provider");
    control(&dev, "anvil_rollback", json!([3]));
    assert_eq!(nonce(&dev, "provider"), nonces - 3);
    let sender = provider(&chain, &journal).await;
    until(|| nonce(&dev, "provider") == nonces).await;
    assert_eq!(balance(&chain).await, 997);
    soon(sender.send("next", withdraw(1))).await.unwrap();
    assert_eq!(balance(&chain).await, 996);
}

#[tokio::test]
async fn a_foreign_transaction_of_the_same_key_takes_the_nonce() {
    let (dev, deployed, _) = market(1000).await;
    let disturbed = Disturbed::new(&dev);
    let chain = connect(disturbed.rpc(), deployed.market).await;
    let sender = provider(&chain, &journal()).await;
    disturbed.by(
        |method, _, _| {
            if method == "eth_sendRawTransaction" { fault("mempool is full") } else { None }
        },
    );
    let attempts = nonce(&dev, "provider");
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("ours", withdraw(1)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Another sender uses the key, and the nonce for which our transaction was signed.
    let other = connect(local(&dev), deployed.market)
        .await
        .sender_in_memory(key("provider"))
        .await
        .unwrap();
    soon(other.send("theirs", withdraw(100))).await.unwrap();
    soon(other.stop()).await;
    disturbed.heal();
    soon(waiting).await.unwrap().unwrap();
    assert_eq!(balance(&chain).await, 899);
    assert_eq!(nonce(&dev, "provider"), attempts + 2);
}

#[tokio::test]
async fn a_mined_revert_is_told_with_its_reason() {
    let (dev, _, chain) = market(1000).await;
    let journal = journal();
    let sender = provider(&chain, &journal).await;
    control(&dev, "evm_setAutomine", json!([false]));
    // Each would succeed alone; the second fails when the first has been mined.
    let [first, second] = ["a", "b"].map(|intent| {
        let sender = sender.clone();
        tokio::spawn(async move { sender.send(intent, withdraw(600)).await })
    });
    let pending =
        || control(&dev, "eth_getTransactionCount", json!([key("provider").address(), "pending"]));
    let goal = format!("{:#x}", nonce(&dev, "provider") + 2);
    until(|| pending() == json!(goal)).await;
    control(&dev, "evm_mine", json!([]));
    let outcomes = [soon(first).await.unwrap(), soon(second).await.unwrap()];
    let failed = outcomes.into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(matches!(failed.as_slice(), [SendError::Reverted { .. }]), "{failed:?}");
    assert_eq!(balance(&chain).await, 400);
    soon(sender.stop()).await;
    // The outcome is in the journal, and nothing is sent again.
    let sender = provider(&chain, &journal).await;
    for intent in ["a", "b"] {
        let _ = soon(sender.send(intent, withdraw(600))).await;
    }
    assert_eq!(balance(&chain).await, 400);
}

#[tokio::test]
async fn a_call_that_needs_an_open_one_waits_for_it() {
    let (dev, _, chain) = market(1000).await;
    let sender = provider(&chain, &journal()).await;
    soon(sender.send("out", withdraw(1000))).await.unwrap();
    soon(sender.send("approve", MarketCall::Approve { amount: 1000 })).await.unwrap();
    control(&dev, "evm_setAutomine", json!([false]));
    let deposit = MarketCall::Deposit { account: key("provider").address(), amount: 500 };
    let sends = [("in", deposit), ("out again", withdraw(500))].map(|(intent, call)| {
        let sender = sender.clone();
        tokio::spawn(async move { sender.send(intent, call).await })
    });
    let done = Arc::new(AtomicBool::new(false));
    let miner = tokio::spawn({
        let (dev, done) = (dev.clone(), done.clone());
        async move {
            while !done.load(Ordering::SeqCst) {
                control(&dev, "evm_mine", json!([]));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    for send in sends {
        soon(send).await.unwrap().unwrap();
    }
    done.store(true, Ordering::SeqCst);
    soon(miner).await.unwrap();
    assert_eq!(balance(&chain).await, 0);
}

#[tokio::test]
async fn a_backend_behind_our_last_transaction_is_not_believed() {
    let (dev, deployed, _) = market(1000).await;
    let disturbed = Disturbed::new(&dev);
    let chain = connect(disturbed.rpc(), deployed.market).await;
    let sender = provider(&chain, &journal()).await;
    soon(sender.send("out", withdraw(1000))).await.unwrap();
    soon(sender.send("approve", MarketCall::Approve { amount: 1000 })).await.unwrap();
    // For twenty requests, state and head are those before the approval.
    let left = AtomicU64::new(20);
    disturbed.by(move |method, params, next| {
        let latest = method == "eth_getBlockByNumber" && params[0] == "latest";
        if left.load(Ordering::SeqCst) == 0 || !(latest || method == "eth_estimateGas") {
            return None;
        }
        let head = next("eth_blockNumber", json!([])).ok()?;
        let head = u64::from_str_radix(head.as_str()?.trim_start_matches("0x"), 16).ok()?;
        let old = format!("{:#x}", head - 1);
        if latest {
            left.fetch_sub(1, Ordering::SeqCst);
            return Some(next(method, json!([old, false])));
        }
        Some(next(method, json!([params[0], old])))
    });
    let deposit = MarketCall::Deposit { account: key("provider").address(), amount: 500 };
    soon(sender.send("in", deposit)).await.unwrap();
    assert_eq!(balance(&chain).await, 500);
}

/// An endpoint whose answers lag, get lost and fail, by a seeded generator: everything still
/// happens exactly once.
#[tokio::test]
async fn a_lagging_and_failing_endpoint() {
    for seed in 1..=3u64 {
        let (dev, deployed, honest) = market(1000).await;
        let disturbed = Disturbed::new(&dev);
        let chain = connect(disturbed.rpc(), deployed.market).await;
        let state = Arc::new(AtomicU64::new(seed));
        disturbed.by(move |method, params, next| {
            let roll = state.fetch_add(1, Ordering::SeqCst);
            let roll = keccak256([seed.to_be_bytes(), roll.to_be_bytes()].concat())[0];
            match method {
                "eth_getTransactionReceipt" if roll < 120 => Some(Ok(Value::Null)),
                // The backend is one block behind.
                "eth_getTransactionCount" if roll < 60 => {
                    let head = next("eth_blockNumber", json!([])).ok()?;
                    let head =
                        u64::from_str_radix(head.as_str()?.trim_start_matches("0x"), 16).ok()?;
                    Some(next(method, json!([params[0], format!("{:#x}", head.saturating_sub(1))])))
                }
                // The transaction is sent, but the answer is lost.
                "eth_sendRawTransaction" if roll < 60 => {
                    let _ = next(method, params.clone());
                    Some(Err(RpcFault {
                        code: -32603,
                        message: "internal error".into(),
                        data: None,
                    }))
                }
                "eth_sendRawTransaction" if roll < 120 => fault("mempool is full"),
                _ if roll > 240 => Some(Err(RpcFault {
                    code: 429,
                    message: "too many requests".into(),
                    data: None,
                })),
                _ => None,
            }
        });
        let journal = journal();
        let before = nonce(&dev, "provider");
        for round in 0..3 {
            let sender = provider(&chain, &journal).await;
            for i in 0..3 {
                soon(sender.send(format!("{round}/{i}"), withdraw(1))).await.unwrap();
            }
            soon(sender.stop()).await;
        }
        assert_eq!(balance(&honest).await, 991, "seed {seed}");
        assert_eq!(nonce(&dev, "provider"), before + 9, "seed {seed}");
    }
}

#[tokio::test]
async fn a_journal_serves_one_key_on_one_chain_at_a_time() {
    let (_dev, _, chain) = market(1000).await;
    let journal = journal();
    let sender = provider(&chain, &journal).await;
    let twice = soon(chain.sender(key("provider"), &journal.path)).await.err().unwrap();
    assert!(matches!(twice, SendError::Journal(_)), "{twice}");
    soon(sender.stop()).await;
    let other_key = soon(chain.sender(key("requester"), &journal.path)).await.err().unwrap();
    assert!(matches!(other_key, SendError::ForeignJournal(_)), "{other_key}");
    let (_dev, _, other_chain) = market(500).await;
    // The chain has the same id and another genesis, unless both began in the same second; then it
    // is the same chain.
    if let Some(error) = soon(other_chain.sender(key("provider"), &journal.path)).await.err() {
        assert!(matches!(error, SendError::ForeignJournal(_)), "{error}");
    }
}
