//! Persistence: everything up to the newest block survives any end of the process.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use rialto_devchain::{Config, Devchain, Error};
use serde_json::{Value, json};
use support::*;

fn open_in(folder: &Path) -> Devchain {
    Devchain::open(Config { path: Some(folder.to_owned()), ..config() }).unwrap()
}

/// Returns all blocks of the chain and the counter.
fn picture(chain: &Devchain) -> Vec<Value> {
    let counter = account(0).address().create(0);
    let mut picture = Vec::new();
    for number in 0..=number(&ask(chain, "eth_blockNumber", json!([]))) {
        let tag = format!("0x{number:x}");
        picture.push(ask(chain, "eth_getBlockByNumber", json!([tag, true])));
        picture.push(ask(chain, "eth_getBlockReceipts", json!([tag])));
        picture.push(ask(chain, "eth_call", json!([{ "to": counter }, tag])));
        picture.push(ask(chain, "eth_getBalance", json!([account(0).address(), tag])));
    }
    picture.push(ask(chain, "eth_getLogs", json!([{ "fromBlock": "0x0" }])));
    picture
}

fn work(chain: &Devchain) {
    let (owner, counter) = (account(0), account(0).address().create(0));
    mined(chain, &signed(transaction(0, None, 0, &deploying(COUNTER)), &owner));
    for nonce in 1..5 {
        mined(chain, &signed(transaction(nonce, Some(counter), 0, &[1]), &owner));
    }
    ask(chain, "evm_increaseTime", json!([3600]));
    ask(chain, "evm_mine", json!([]));
}

#[test]
fn a_reopened_chain_is_the_same_chain_and_continues() {
    let folder = tempfile::tempdir().unwrap();
    let chain = open_in(folder.path());
    work(&chain);
    let before = picture(&chain);
    drop(chain);

    let chain = open_in(folder.path());
    assert_eq!(before, picture(&chain));
    // Time continues from its last value, and so do nonces, state and history.
    ask(&chain, "evm_mine", json!([]));
    let block = ask(&chain, "eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(number(&block["timestamp"]), START + 3600);
    let counter = account(0).address().create(0);
    mined(&chain, &signed(transaction(5, Some(counter), 0, &[1]), &account(0)));
    assert_eq!(number(&ask(&chain, "eth_call", json!([{ "to": counter }]))), 5);
    assert_eq!(number(&ask(&chain, "eth_call", json!([{ "to": counter }, "0x3"]))), 2);
    // A reorg can go back to blocks from before the restart.
    ask(&chain, "anvil_reorg", json!([6, []]));
    assert_eq!(number(&ask(&chain, "eth_call", json!([{ "to": counter }]))), 1);
    let after = picture(&chain);
    drop(chain);
    assert_eq!(after, picture(&open_in(folder.path())));
}

#[test]
fn a_file_copied_from_under_a_running_chain_is_a_whole_chain() {
    // The content of the disk at any moment is what a power cut would leave.
    let folder = tempfile::tempdir().unwrap();
    let chain = open_in(folder.path());
    work(&chain);
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    assert_eq!(picture(&chain), picture(&open_in(copy.path())));
}

#[test]
fn a_folder_is_held_by_one_chain_and_belongs_to_one_chain_id() {
    let folder = tempfile::tempdir().unwrap();
    let chain = open_in(folder.path());
    let again = Config { path: Some(folder.path().to_owned()), ..config() };
    assert!(matches!(Devchain::open(again.clone()), Err(Error::Store(_))), "opened twice");
    drop(chain);
    let other = Devchain::open(Config { chain_id: 1, ..again });
    assert!(matches!(other, Err(Error::OtherChain { found: CHAIN_ID, wanted: 1 })), "{other:?}");
}

#[test]
fn a_damaged_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("devchain.redb"), [0x55; 9000]).unwrap();
    assert!(Devchain::open(Config { path: Some(folder.path().to_owned()), ..config() }).is_err());
}

/// Environment variable of the process that is killed: the folder of its chain.
const VICTIM: &str = "RIALTO_DEVCHAIN_VICTIM";

/// The body of the process that `a_killed_process…` kills; not a test by itself.
#[test]
#[ignore = "runs only as a child process"]
fn victim() {
    let Some(folder) = std::env::var_os(VICTIM) else { return };
    let (chain, owner, counter) =
        (open_in(Path::new(&folder)), account(0), account(0).address().create(0));
    for nonce in 1..100_000 {
        mined(&chain, &signed(transaction(nonce, Some(counter), 0, &[1]), &owner));
        println!("\nmined {nonce}");
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let counter = account(0).address().create(0);
    mined(
        &open_in(folder.path()),
        &signed(transaction(0, None, 0, &deploying(COUNTER)), &account(0)),
    );
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--ignored", "--nocapture"])
        .env(VICTIM, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let confirmed =
        lines.filter_map(|line| line.strip_prefix("mined ")?.parse::<u64>().ok()).nth(20);
    child.kill().unwrap();
    child.wait().unwrap();
    let confirmed = confirmed.expect("the child mined at least 20 blocks");

    let chain = open_in(folder.path());
    let head = number(&ask(&chain, "eth_blockNumber", json!([])));
    let value = number(&ask(&chain, "eth_call", json!([{ "to": counter }])));
    let nonce = number(&ask(&chain, "eth_getTransactionCount", json!([account(0).address()])));
    assert!(value >= confirmed, "{value} of {confirmed} confirmed");
    // There is one transaction per block, so state, head and nonce must be of the same moment.
    assert_eq!((head, nonce), (value + 1, value + 1));
    assert_eq!(
        ask(&chain, "eth_getLogs", json!([{ "fromBlock": "0x0" }])).as_array().unwrap().len()
            as u64,
        value
    );
    mined(&chain, &signed(transaction(nonce, Some(counter), 0, &[1]), &account(0)));
}
