//! Gossip of asks.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use futures::future::{BoxFuture, ready};
use rialto_net::{AskCheck, AskPublisher, AskStream, Limits, NetError, Verdict};
use rialto_protocol::{
    Address, B256, Bytes,
    types::{self, Ask, WASM_3, ask_topic},
    wire::{AskGossip, PeerAddr, Signed},
};

use crate::{Home, until, within};

const NOW: u64 = 1_000_000;

pub fn topic() -> B256 {
    ask_topic(31337, Address::repeat_byte(0x42))
}

/// A check whose verdict is the first byte of the signature: 0 good, 1 stale, 2 bad, 3 unknown.
pub struct Checker {
    now: AtomicU64,
    asked: AtomicUsize,
    /// Whether asks that were stale or unknown are good now.
    caught_up: AtomicBool,
}

impl Checker {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU64::new(NOW),
            asked: AtomicUsize::new(0),
            caught_up: AtomicBool::new(false),
        })
    }
}

impl AskCheck for Checker {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn check<'a>(&'a self, ask: &'a Signed<Ask>) -> BoxFuture<'a, Verdict> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(ready(match ask.signature[0] {
            0 => Verdict::Good,
            1 | 3 if self.caught_up.load(Ordering::Relaxed) => Verdict::Good,
            1 => Verdict::Stale("no deposit".into()),
            2 => Verdict::Bad("signature".into()),
            _ => Verdict::Unknown("chain away".into()),
        }))
    }
}

/// A check that accepts everything, with its own time, as a node that forwards bad asks would.
struct Gullible(u64);

impl AskCheck for Gullible {
    fn now(&self) -> u64 {
        self.0
    }

    fn check<'a>(&'a self, _: &'a Signed<Ask>) -> BoxFuture<'a, Verdict> {
        Box::pin(ready(Verdict::Good))
    }
}

pub fn ask(peer: PeerAddr, provider: u8, salt: u64, truth: u8) -> AskGossip {
    let value = Ask {
        provider: Address::repeat_byte(provider),
        key: Address::repeat_byte(provider),
        endpoint: peer.endpoint,
        priceStart: 100,
        priceEnd: 50,
        from: NOW - 10,
        to: NOW + 1000,
        taskFee: 1,
        minBudget: 1,
        maxBudget: 1000,
        collateralBps: 5000,
        latePenaltyBps: 100,
        maxSeconds: 3600,
        capacity: 4,
        cores: 2,
        fuelPerSecond: 1 << 30,
        runtime: WASM_3,
        court: Address::ZERO,
        salt,
        limits: types::Limits { tasks: 1 << 16, taskFuel: 1 << 40, ..types::Limits::default() },
        ..Ask::default()
    };
    AskGossip { ask: Signed { value, signature: Bytes::from(vec![truth; 65]) }, peer }
}

struct Member {
    home: Home,
    checker: Arc<Checker>,
    publisher: AskPublisher,
    stream: AskStream,
}

async fn member_with(seed: u8, bootstrap: Vec<PeerAddr>, limits: Limits) -> Member {
    let home = Home::with(seed, limits).await;
    let checker = Checker::new();
    let (publisher, stream) = home.asks(topic(), bootstrap, checker.clone()).unwrap();
    Member { home, checker, publisher, stream }
}

async fn member(seed: u8, bootstrap: Vec<PeerAddr>) -> Member {
    member_with(seed, bootstrap, Limits::default()).await
}

/// Returns a member that publishes asks that the others must refuse.
async fn forwarder_of_bad(seed: u8, bootstrap: Vec<PeerAddr>, now: u64) -> (Home, AskPublisher) {
    let home = Home::new(seed).await;
    let (publisher, _) = home.asks(topic(), bootstrap, Arc::new(Gullible(now))).unwrap();
    (home, publisher)
}

async fn next(member: &mut Member) -> AskGossip {
    within(member.stream.next()).await.unwrap()
}

fn salts(asks: &[AskGossip]) -> BTreeSet<u64> {
    asks.iter().map(|a| a.ask.value.salt).collect()
}

#[tokio::test]
async fn an_ask_reaches_everyone_over_hops() {
    let mut first = member(1, vec![]).await;
    let mut line = vec![];
    let mut last = first.home.addr();
    for seed in 2..=5 {
        let member = member(seed, vec![last]).await;
        last = member.home.addr();
        line.push(member);
    }
    let offer = ask(first.home.addr(), 1, 1, 0);
    first.publisher.publish(offer.clone()).await.unwrap();
    for member in &mut line {
        assert_eq!(next(member).await, offer);
    }
    let back = ask(line[3].home.addr(), 5, 2, 0);
    line[3].publisher.publish(back.clone()).await.unwrap();
    assert_eq!(next(&mut first).await, back);
    assert_eq!(first.checker.asked.load(Ordering::Relaxed), 2, "each ask judged once");
}

#[tokio::test]
async fn a_late_joiner_learns_what_is_there() {
    let a = member(1, vec![]).await;
    let b = member(2, vec![a.home.addr()]).await;
    for salt in 0..200 {
        let gossip = ask(a.home.addr(), salt as u8, salt, 0);
        a.publisher.publish(gossip).await.unwrap();
    }
    until(|| b.stream.live().len() == 200).await;
    let mut late = member(3, vec![b.home.addr()]).await;
    let mut seen = vec![];
    for _ in 0..200 {
        seen.push(next(&mut late).await);
    }
    assert_eq!(salts(&seen), (0..200).collect());
    // A second reader of the same node starts from the beginning, too.
    let (_, mut again) = late.home.asks(topic(), vec![], Checker::new()).unwrap();
    assert!(within(again.next()).await.is_some());
    // A node takes addresses from asks, so it may dial their providers besides its bootstrap peers.
    until(|| late.publisher.peers() == 2).await;
}

#[tokio::test]
async fn bad_asks_stop_at_the_first_honest_node() {
    let mut honest = member(1, vec![]).await;
    let mut behind = member(2, vec![honest.home.addr()]).await;
    let (liar, publisher) = forwarder_of_bad(3, vec![honest.home.addr()], NOW).await;
    for (salt, truth) in [(1, 1), (2, 2), (3, 3)] {
        publisher.publish(ask(liar.addr(), 9, salt, truth)).await.unwrap();
    }
    publisher.publish(ask(liar.addr(), 9, 4, 0)).await.unwrap();
    assert_eq!(next(&mut honest).await.ask.value.salt, 4, "the good one gets through");
    assert_eq!(next(&mut behind).await.ask.value.salt, 4);
    assert_eq!(salts(&honest.stream.live()), [4].into());
    assert_eq!(salts(&behind.stream.live()), [4].into());
    assert_eq!(behind.checker.asked.load(Ordering::Relaxed), 1, "the bad ones never got that far");
}

#[tokio::test]
async fn an_ask_ahead_of_the_chain_is_taken_later() {
    let mut node = member(1, vec![]).await;
    let (early, publisher) = forwarder_of_bad(3, vec![node.home.addr()], NOW).await;
    for truth in [1, 2, 3] {
        publisher.publish(ask(early.addr(), 9, truth, truth as u8)).await.unwrap();
    }
    until(|| node.checker.asked.load(Ordering::Relaxed) >= 3).await;
    assert_eq!(node.stream.live(), vec![]);
    node.checker.caught_up.store(true, Ordering::Relaxed);
    let taken = [next(&mut node).await, next(&mut node).await];
    assert_eq!(salts(&taken), [1, 3].into(), "but what was bad stays bad");
}

#[tokio::test]
async fn asks_outside_their_time_are_refused_before_they_are_judged() {
    const DAY: u64 = 24 * 3600;
    let mut honest = member(1, vec![]).await;
    for (seed, to, now) in [(3, NOW, NOW - 1000), (4, NOW + 31 * DAY, NOW + 2 * DAY)] {
        let (liar, publisher) = forwarder_of_bad(seed, vec![honest.home.addr()], now).await;
        let mut wrong = ask(liar.addr(), seed, 1, 0);
        wrong.ask.value.to = to;
        publisher.publish(wrong).await.unwrap();
        let mut right = ask(liar.addr(), seed, 2, 0);
        right.ask.value.to = NOW + 3 * DAY;
        publisher.publish(right.clone()).await.unwrap();
        assert_eq!(next(&mut honest).await, right);
    }
    assert_eq!(honest.checker.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn own_asks_meet_the_same_checks() {
    let node = member(1, vec![]).await;
    let addr = node.home.addr();
    let mut elsewhere = ask(addr.clone(), 1, 1, 0);
    elsewhere.ask.value.endpoint = B256::repeat_byte(9);
    let mut empty = ask(addr.clone(), 1, 1, 0);
    empty.ask.value.from = empty.ask.value.to;
    let mut expired = ask(addr.clone(), 1, 1, 0);
    expired.ask.value.to = NOW;
    for gossip in
        [elsewhere, empty, expired, ask(addr.clone(), 1, 1, 2), ask(addr.clone(), 1, 1, 1)]
    {
        assert!(matches!(node.publisher.publish(gossip).await, Err(NetError::AskRefused(_))));
    }
    node.publisher.publish(ask(addr.clone(), 1, 1, 0)).await.unwrap();
    node.publisher.publish(ask(addr, 1, 1, 0)).await.unwrap();
    assert_eq!(node.stream.live().len(), 1);
}

#[tokio::test]
async fn expired_asks_are_gone_for_everyone() {
    let mut a = member(1, vec![]).await;
    a.publisher.publish(ask(a.home.addr(), 1, 1, 0)).await.unwrap();
    let mut lasting = ask(a.home.addr(), 1, 2, 0);
    lasting.ask.value.to = NOW + 5000;
    a.publisher.publish(lasting).await.unwrap();
    a.checker.now.store(NOW + 999, Ordering::Relaxed);
    assert_eq!(salts(&a.stream.live()), [1, 2].into());
    a.checker.now.store(NOW + 1000, Ordering::Relaxed);
    assert_eq!(salts(&a.stream.live()), [2].into(), "the window is half open");
    let mut late = member(2, vec![a.home.addr()]).await;
    assert_eq!(next(&mut late).await.ask.value.salt, 2, "not passed on any more");
    drop(late);
    // A node whose chain is ahead judges the ask as stale.
    let mut ahead = member(3, vec![]).await;
    ahead.checker.now.store(NOW + 1000, Ordering::Relaxed);
    a.checker.now.store(NOW, Ordering::Relaxed);
    a.home.add_bootstrap(ahead.home.addr());
    assert_eq!(next(&mut ahead).await.ask.value.salt, 2);
    assert_eq!(a.stream.live().len(), 2);
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(50), a.stream.next()).await.is_err(),
        "own ones"
    );
}

#[tokio::test]
async fn a_peer_gets_no_more_than_its_rate() {
    let limits = Limits { gossip_burst: 10, gossip_per_second: 0, ..Limits::default() };
    let slow = member_with(1, vec![], limits).await;
    let fast = member(2, vec![slow.home.addr()]).await;
    for salt in 0..50 {
        fast.publisher.publish(ask(fast.home.addr(), salt as u8, salt, 0)).await.unwrap();
    }
    until(|| slow.stream.live().len() == 10).await;
    // Another peer has its own budget. It proves that the node works while the first peer waits.
    let other = member(3, vec![slow.home.addr()]).await;
    other.publisher.publish(ask(other.home.addr(), 200, 1000, 0)).await.unwrap();
    until(|| salts(&slow.stream.live()).contains(&1000)).await;
    let from_fast = slow.stream.live().iter().filter(|a| a.peer == fast.home.addr()).count();
    assert!(
        from_fast <= 20,
        "ten from the peer itself, at most ten by way of the other: {from_fast}"
    );
}

#[tokio::test]
async fn bad_asks_use_up_the_budget_and_the_peer_is_cut_off() {
    // Three bad asks exceed this budget.
    let limits = Limits { gossip_burst: 600, gossip_per_second: 0, ..Limits::default() };
    let honest = member_with(1, vec![], limits).await;
    let (liar, publisher) = forwarder_of_bad(3, vec![honest.home.addr()], NOW).await;
    until(|| honest.publisher.peers() == 1).await;
    for salt in 0..3 {
        publisher.publish(ask(liar.addr(), 9, salt, 2)).await.unwrap();
    }
    until(|| honest.publisher.peers() == 0).await;
    publisher.publish(ask(liar.addr(), 9, 10, 0)).await.unwrap();
    let friend = member(4, vec![honest.home.addr()]).await;
    friend.publisher.publish(ask(friend.home.addr(), 4, 20, 0)).await.unwrap();
    until(|| salts(&honest.stream.live()).contains(&20)).await;
    assert_eq!(salts(&honest.stream.live()), [20].into(), "the liar is not heard any more");
}

#[tokio::test]
async fn a_provider_keeps_few_asks_and_old_ones_do_not_return() {
    let a = member(1, vec![]).await;
    let b = member(2, vec![a.home.addr()]).await;
    for salt in 0..12 {
        a.publisher.publish(ask(a.home.addr(), 1, salt, 0)).await.unwrap();
    }
    until(|| salts(&b.stream.live()) == (4..12).collect()).await;
    a.publisher.publish(ask(a.home.addr(), 1, 0, 0)).await.unwrap();
    assert_eq!(salts(&a.stream.live()), (4..12).collect());
    let withdrawn = a.stream.live()[0].clone();
    a.publisher.withdraw(rialto_protocol::types::struct_hash(&withdrawn.ask.value));
    assert_eq!(salts(&a.stream.live()), (5..12).collect());
}

#[tokio::test]
async fn a_full_book_takes_no_more() {
    let small = member_with(1, vec![], Limits { asks: 3, ..Limits::default() }).await;
    let a = member(2, vec![small.home.addr()]).await;
    for salt in 0..6 {
        a.publisher.publish(ask(a.home.addr(), salt as u8, salt, 0)).await.unwrap();
    }
    until(|| small.checker.asked.load(Ordering::Relaxed) == 6).await;
    assert_eq!(salts(&small.stream.live()), [0, 1, 2].into());
}

#[tokio::test]
async fn a_restarted_provider_corrects_its_address() {
    let mut reader = member(1, vec![]).await;
    let provider = member(2, vec![reader.home.addr()]).await;
    let old = ask(provider.home.addr(), 2, 1, 0);
    provider.publisher.publish(old.clone()).await.unwrap();
    assert_eq!(next(&mut reader).await, old);
    let home = provider.home.restart(Limits::default()).await;
    let (publisher, _stream) =
        home.asks(topic(), vec![reader.home.addr()], Checker::new()).unwrap();
    let new = ask(home.addr(), 2, 1, 0);
    assert_ne!(new.peer, old.peer, "another port");
    publisher.publish(new.clone()).await.unwrap();
    assert_eq!(next(&mut reader).await, new);
    // An address from another peer is not believed.
    let (liar, publisher) = forwarder_of_bad(3, vec![reader.home.addr()], NOW).await;
    let mut lie = new.clone();
    lie.peer.direct = liar.addr().direct;
    publisher.publish(lie).await.unwrap();
    publisher.publish(ask(liar.addr(), 3, 2, 0)).await.unwrap();
    assert_eq!(next(&mut reader).await.ask.value.salt, 2);
    assert_eq!(reader.stream.live()[0], new);
}

#[tokio::test]
async fn a_lost_link_is_dialled_again() {
    let hub = member(1, vec![]).await;
    let node = member(2, vec![hub.home.addr()]).await;
    until(|| node.publisher.peers() == 1).await;
    let home = hub.home.restart(Limits::default()).await;
    until(|| node.publisher.peers() == 0).await;
    let (publisher, _stream) = home.asks(topic(), vec![], Checker::new()).unwrap();
    publisher.publish(ask(home.addr(), 1, 1, 0)).await.unwrap();
    node.home.add_bootstrap(home.addr());
    until(|| node.stream.live().len() == 1).await;
}

#[tokio::test]
async fn streams_end_with_the_node() {
    let mut node = member(1, vec![]).await;
    node.home.close().await;
    assert_eq!(within(node.stream.next()).await, None);
    assert!(matches!(node.home.asks(topic(), vec![], Checker::new()), Err(NetError::NodeClosed)));
}
