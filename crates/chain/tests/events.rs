//! The event stream under reorgs, lag, failures and long histories: undoing `removed` and applying
//! `added` always leads to the chain's final events.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{Bytes, keccak256};
use futures::StreamExt;
use rialto_chain::{
    Chain, EventBatch, EventStream, LogMeta, MarketCall, MarketEvent, RpcFault, Sender,
};
use rialto_devchain::Devchain;
use serde_json::json;
use support::*;

type Entry = (LogMeta, MarketEvent);

/// A reader that keeps exactly the events of the stream.
struct Reader {
    stream: EventStream,
    known: Vec<Entry>,
    removed: usize,
    last: EventBatch,
}

impl Reader {
    fn new(chain: &Chain, from: u64) -> Reader {
        Reader {
            stream: chain.events(from),
            known: Vec::new(),
            removed: 0,
            last: EventBatch::default(),
        }
    }

    async fn next(&mut self) {
        let batch = soon(self.stream.next()).await.expect("the stream goes on");
        self.take(batch);
    }

    /// Reads the next batch, if it arrives at once.
    async fn glance(&mut self) {
        if let Ok(batch) = tokio::time::timeout(Duration::from_millis(30), self.stream.next()).await
        {
            self.take(batch.expect("the stream goes on"));
        }
    }

    fn take(&mut self, batch: EventBatch) {
        for entry in &batch.removed {
            assert_eq!(
                self.known.pop().as_ref(),
                Some(entry),
                "newest first, and only what was added"
            );
            self.removed += 1;
        }
        for entry in &batch.added {
            assert!(self.known.last().is_none_or(|last| last.0 < entry.0), "oldest first");
            self.known.push(entry.clone());
        }
        self.last = batch;
    }

    /// Reads until the newest block of `dev` is delivered.
    async fn catch_up(&mut self, dev: &Devchain) {
        let head = head(dev);
        while self.last.head != head.0 || self.last.through != head.0 || self.last.time != head.1 {
            self.next().await;
        }
    }

    fn notes(&self) -> Vec<String> {
        self.known.iter().filter_map(|(_, event)| note(event)).collect()
    }
}

fn note(event: &MarketEvent) -> Option<String> {
    match event {
        MarketEvent::Announced { endpoint, .. } => {
            Some(String::from_utf8(endpoint.to_vec()).unwrap())
        }
        _ => None,
    }
}

fn number(value: &serde_json::Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// Returns number and time of the newest block.
fn head(dev: &Devchain) -> (u64, u64) {
    let block = control(dev, "eth_getBlockByNumber", json!(["latest", false]));
    (number(&block["number"]), number(&block["timestamp"]))
}

async fn announce(sender: &Sender, text: &str) {
    let call = MarketCall::Announce(Bytes::copy_from_slice(text.as_bytes()));
    soon(sender.send(text, call)).await.unwrap();
}

/// Returns a sender that does not rebroadcast dropped transactions.
async fn careless(chain: &Chain) -> Sender {
    soon(chain.sender_in_memory(key("provider"))).await.unwrap()
}

#[tokio::test]
async fn added_then_taken_back_then_added_anew() {
    let (dev, deployed, chain) = market(1000).await;
    let mut reader = Reader::new(&chain, deployed.block);
    let sender = careless(&chain).await;
    announce(&sender, "one").await;
    announce(&sender, "two").await;
    announce(&sender, "three").await;
    reader.catch_up(&dev).await;
    assert_eq!(reader.notes(), ["one", "two", "three"]);
    soon(sender.stop()).await;

    // Three other blocks replace the last two.
    control(&dev, "anvil_rollback", json!([2]));
    control(&dev, "evm_mine", json!([]));
    let sender = careless(&chain).await;
    announce(&sender, "another").await;
    announce(&sender, "and more").await;
    reader.catch_up(&dev).await;
    assert_eq!(reader.notes(), ["one", "another", "and more"]);
    assert_eq!(reader.removed, 2);
}

#[tokio::test]
async fn a_chain_that_became_shorter_is_noticed() {
    let (dev, deployed, chain) = market(1000).await;
    let mut reader = Reader::new(&chain, deployed.block);
    let sender = careless(&chain).await;
    announce(&sender, "one").await;
    announce(&sender, "two").await;
    reader.catch_up(&dev).await;
    soon(sender.stop()).await;
    control(&dev, "anvil_rollback", json!([1]));
    reader.catch_up(&dev).await;
    assert_eq!(reader.notes(), ["one"]);
}

#[tokio::test]
async fn a_lagging_backend_takes_nothing_back() {
    let (dev, deployed, honest) = market(1000).await;
    let disturbed = Disturbed::new(&dev);
    let chain = connect(disturbed.rpc(), deployed.market).await;
    // Every second request goes to a backend that is three blocks behind.
    let turn = AtomicBool::new(false);
    disturbed.by(move |method, params, next| {
        if method != "eth_getBlockByNumber"
            || params[0] != "latest"
            || !turn.fetch_xor(true, Ordering::SeqCst)
        {
            return None;
        }
        let head = number(&next("eth_blockNumber", json!([])).ok()?);
        Some(next(method, json!([format!("{:#x}", head.saturating_sub(3)), false])))
    });
    let mut reader = Reader::new(&chain, deployed.block);
    let sender = careless(&honest).await;
    for i in 0..10 {
        announce(&sender, &format!("note {i}")).await;
        reader.next().await;
    }
    reader.catch_up(&dev).await;
    assert_eq!(reader.notes().len(), 10);
    assert_eq!(reader.removed, 0);
}

#[tokio::test]
async fn a_reorg_in_the_middle_of_reading_mixes_nothing() {
    let (dev, deployed, honest) = market(1000).await;
    let sender = careless(&honest).await;
    for i in 0..6 {
        announce(&sender, &format!("note {i}")).await;
    }
    soon(sender.stop()).await;
    let (newest, _) = head(&dev);
    let middle = newest - 2;
    let middle_hash = control(&dev, "eth_getBlockByNumber", json!([format!("{middle:#x}"), false]))
        ["hash"]
        .clone();
    // When the middle block has been read, the chain changes from one block below it on. The blocks
    // above it are read after that.
    let disturbed = Disturbed::new(&dev);
    let chain = connect(disturbed.rpc(), deployed.market).await;
    let changed = AtomicBool::new(false);
    let world = dev.clone();
    disturbed.by(move |method, params, next| {
        if method == "eth_getLogs"
            && params[0]["blockHash"] == middle_hash
            && !changed.load(Ordering::SeqCst)
        {
            let answer = next(method, params.clone());
            control(&world, "anvil_rollback", json!([4]));
            control(&world, "anvil_mine", json!([6]));
            changed.store(true, Ordering::SeqCst);
            return Some(answer);
        }
        let above = method == "eth_getBlockByNumber"
            && params[0] != "latest"
            && number(&params[0]) > middle;
        while above && !changed.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    });
    let mut reader = Reader::new(&chain, deployed.block);
    while reader.last.head != newest + 2 || reader.last.through != newest + 2 {
        reader.next().await;
    }
    assert_eq!(reader.notes(), ["note 0", "note 1"]);
}

#[tokio::test]
async fn resumes_where_it_was_told_to() {
    let (dev, deployed, chain) = market(1000).await;
    let sender = careless(&chain).await;
    announce(&sender, "before").await;
    let mut reader = Reader::new(&chain, deployed.block);
    reader.catch_up(&dev).await;
    announce(&sender, "after").await;
    let mut second = Reader::new(&chain, reader.last.through + 1);
    second.catch_up(&dev).await;
    assert_eq!(second.notes(), ["after"]);
    assert_eq!(second.last.time, chain.now().await.unwrap());
}

#[tokio::test]
async fn a_long_history_is_read_in_bounded_ranges() {
    let (dev, deployed, honest) = market(1000).await;
    let sender = careless(&honest).await;
    for i in 0..4 {
        announce(&sender, &format!("note {i}")).await;
        control(&dev, "anvil_mine", json!([150]));
    }
    announce(&sender, "last").await;
    // The endpoint accepts at most 40 blocks per request.
    let disturbed = Disturbed::new(&dev);
    let chain = connect(disturbed.rpc(), deployed.market).await;
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    disturbed.by(move |_, params, _| {
        count.fetch_add(1, Ordering::SeqCst);
        let range = &params[0];
        let (from, to) = (range.get("fromBlock")?, range.get("toBlock")?);
        let fault =
            RpcFault { code: -32000, message: "block range is too wide".into(), data: None };
        (number(to) - number(from) >= 40).then_some(Err(fault))
    });
    let mut reader = Reader::new(&chain, 0);
    reader.catch_up(&dev).await;
    assert_eq!(reader.notes(), ["note 0", "note 1", "note 2", "note 3", "last"]);
    assert!(
        asked.load(Ordering::SeqCst) < 500,
        "far fewer questions than blocks of history times two"
    );
}

#[tokio::test]
async fn a_reorg_below_everything_remembered_ends_the_stream() {
    let (dev, deployed, chain) = market(1000).await;
    control(&dev, "anvil_mine", json!([200]));
    let mut reader = Reader::new(&chain, deployed.block);
    reader.catch_up(&dev).await;
    control(&dev, "anvil_rollback", json!([150]));
    control(&dev, "anvil_mine", json!([151, 7]));
    let ended = soon(async {
        while let Some(batch) = reader.stream.next().await {
            assert!(batch.head <= head(&dev).0);
        }
    });
    ended.await;
}

/// Random events, reorgs, rollbacks and failures; the reader must end with the chain's events.
#[tokio::test]
async fn whatever_happens_the_reader_ends_with_the_truth() {
    for seed in 1..=4u64 {
        let (dev, deployed, honest) = market(1000).await;
        let disturbed = Disturbed::new(&dev);
        let chain = connect(disturbed.rpc(), deployed.market).await;
        let dice =
            move |salt: u64, i: u64| keccak256([seed, salt, i].map(u64::to_be_bytes).concat())[0];
        let calls = AtomicU64::new(0);
        disturbed.by(move |_, _, _| {
            let roll = dice(1, calls.fetch_add(1, Ordering::SeqCst));
            let fault = RpcFault { code: -32000, message: "header not found".into(), data: None };
            (roll < 20).then_some(Err(fault))
        });
        let mut reader = Reader::new(&chain, deployed.block);
        for step in 0..25 {
            let roll = dice(2, step);
            if roll < 150 {
                let sender = careless(&honest).await;
                announce(&sender, &format!("step {step}")).await;
                soon(sender.stop()).await;
            } else if roll < 200 || head(&dev).0 < deployed.block + 8 {
                control(&dev, "anvil_mine", json!([roll % 4 + 1]));
            } else {
                control(&dev, "anvil_rollback", json!([roll % 5 + 1]));
                if roll % 2 == 0 {
                    control(&dev, "anvil_mine", json!([roll % 7 + 1]));
                }
            }
            if roll % 3 == 0 {
                reader.glance().await;
            }
        }
        control(&dev, "evm_mine", json!([]));
        disturbed.heal();
        reader.catch_up(&dev).await;
        let mut truth = Reader::new(&honest, deployed.block);
        truth.catch_up(&dev).await;
        assert_eq!(reader.known, truth.known, "seed {seed}");
    }
}
