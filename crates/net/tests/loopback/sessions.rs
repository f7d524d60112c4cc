//! Deal sessions.

use rialto_net::{
    CloseCode, CloseReason, Limits, NetConfig, NetError, Node, ProviderSession, RequesterSession,
};
use rialto_protocol::{
    Address, B256, Bytes,
    receipt::{Halted, Status},
    types::{Deal, Receipt},
    wire::{
        MAX_INLINE_BYTES, Message, Payload, PeerAddr, Signed, ToProvider, ToRequester, WIRE_VERSION,
    },
};

use crate::{Home, within};

pub fn hello(version: u16) -> ToProvider {
    let deal = Deal {
        ask: rialto_protocol::AskId::repeat_byte(1),
        requester: Address::repeat_byte(2),
        provider: Address::repeat_byte(3),
        requesterKey: Address::repeat_byte(4),
        providerKey: Address::repeat_byte(5),
        budget: u128::MAX,
        collateral: 1,
        price: 1,
        taskFee: 1,
        latePenalty: 1,
        openedAt: 1,
        expiry: u64::MAX,
        court: Address::ZERO,
        salt: 7,
    };
    ToProvider::Hello { version, deal }
}

fn welcome(next_seq: u64) -> ToRequester {
    ToRequester::Welcome { version: WIRE_VERSION, next_seq, paid: 5 }
}

/// Returns a receipt of this many tasks with a mebibyte of output.
fn receipt(tasks: usize) -> ToRequester {
    let halted = Halted {
        status: Status::Finished,
        exit_code: 0,
        out_hash: B256::repeat_byte(1),
        out_len: 1 << 20,
        fuel_left: i64::MIN,
        digest: 0,
    };
    let receipt =
        Receipt { order: rialto_protocol::OrderId::ZERO, root: B256::ZERO, fuel: 1, fee: 1 };
    ToRequester::Receipt {
        receipt: Signed { value: receipt, signature: Bytes::from(vec![1; 65]) },
        results: vec![halted; tasks],
        outputs: Payload::Inline(vec![9; MAX_INLINE_BYTES].into()),
    }
}

async fn session(requester: &Home, provider: &Home) -> (RequesterSession, ProviderSession) {
    let mut left = within(requester.connect(&provider.addr())).await.unwrap();
    left.send(&hello(1)).await.unwrap();
    let mut right = within(provider.accept()).await.unwrap();
    assert_eq!(within(right.recv()).await, Some(hello(1)));
    (left, right)
}

/// Opens a session that the provider must refuse, and returns the reason. The refusal may come at
/// any step.
async fn refused(requester: &Home, provider: &Home) -> CloseReason {
    let mut session = match within(requester.connect(&provider.addr())).await {
        Ok(session) => session,
        Err(NetError::Closed(reason)) => return reason,
        Err(other) => panic!("{other}"),
    };
    let _ = session.send(&hello(1)).await;
    assert_eq!(within(session.recv()).await, None);
    session.reason().unwrap()
}

/// Waits until the port of a node that was closed can be bound.
async fn free(there: &PeerAddr) {
    while std::net::UdpSocket::bind(there.direct[0]).is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// A requester that knows a provider's address finds it after a restart, unless another process
/// took the port.
#[tokio::test]
async fn a_node_comes_back_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let config = || NetConfig {
        port_file: Some(folder.path().join("port")),
        ..NetConfig::loopback([2; 32], folder.path().join("blobs"))
    };
    let node = Node::bind(config()).await.unwrap();
    let there = node.addr();
    node.close().await;
    drop(node);
    within(free(&there)).await;
    let node = Node::bind(config()).await.unwrap();
    assert_eq!(node.addr(), there);
    let requester = Home::new(1).await;
    let mut session = within(requester.connect(&there)).await.unwrap();
    session.send(&hello(1)).await.unwrap();
    node.close().await;
    drop(node);
    within(free(&there)).await;
    let squatter = std::net::UdpSocket::bind(there.direct[0]).unwrap();
    let node = Node::bind(config()).await.unwrap();
    let elsewhere = node.addr();
    assert_ne!(elsewhere, there);
    node.close().await;
    drop(squatter);
    std::fs::write(folder.path().join("port"), "no port").unwrap();
    Node::bind(config()).await.unwrap().close().await;
}

#[tokio::test]
async fn both_directions_and_who_is_who() {
    let (requester, provider) = (Home::new(1).await, Home::new(2).await);
    let (mut left, mut right) = session(&requester, &provider).await;
    assert_eq!(left.peer(), provider.id());
    assert_eq!(right.peer(), requester.id());
    assert_eq!(right.peer_addr(), requester.addr(), "enough to dial back");
    right.send(&welcome(3)).await.unwrap();
    assert_eq!(within(left.recv()).await, Some(welcome(3)));
    for amount in 0..100 {
        left.send(&ToProvider::AskRelease { amount }).await.unwrap();
        assert_eq!(within(right.recv()).await, Some(ToProvider::AskRelease { amount }));
    }
    drop(left);
    assert_eq!(within(right.recv()).await, None);
    assert_eq!(right.reason(), Some(CloseReason::Finished));
}

#[tokio::test]
async fn a_large_receipt_crosses_whole() {
    let (requester, provider) = (Home::new(1).await, Home::new(2).await);
    let (mut left, mut right) = session(&requester, &provider).await;
    let message = receipt(1 << 16);
    assert!(message.encode().unwrap().len() > 3 << 20);
    right.send(&welcome(0)).await.unwrap();
    let sent = message.clone();
    let sending = tokio::spawn(async move {
        right.send(&sent).await.unwrap();
        right
    });
    assert_eq!(within(left.recv()).await, Some(welcome(0)));
    assert_eq!(within(left.recv()).await, Some(message));
    within(sending).await.unwrap();
}

#[tokio::test]
async fn what_was_sent_arrives_although_the_sender_is_gone() {
    let (requester, provider) = (Home::new(1).await, Home::new(2).await);
    let (mut left, mut right) = session(&requester, &provider).await;
    let refusal =
        ToRequester::Refuse { order: None, code: "P-ADM-001".into(), detail: "full".into() };
    right.send(&refusal).await.unwrap();
    right.send(&receipt(1)).await.unwrap();
    drop(right);
    assert_eq!(within(left.recv()).await, Some(refusal));
    assert_eq!(within(left.recv()).await, Some(receipt(1)));
    assert_eq!(within(left.recv()).await, None);
    // A side that keeps sending gets an error.
    within(async { while left.send(&hello(1)).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_message_over_its_limits_is_not_even_sent() {
    let (requester, provider) = (Home::new(1).await, Home::new(2).await);
    let (_left, mut right) = session(&requester, &provider).await;
    let long =
        ToRequester::Refuse { order: None, code: "P-ADM-001".into(), detail: "x".repeat(513) };
    assert!(matches!(right.send(&long).await, Err(NetError::Wire(_))));
    right.send(&welcome(0)).await.unwrap();
}

#[tokio::test]
async fn halves_work_apart_and_survive_cancelled_waits() {
    let (requester, provider) = (Home::new(1).await, Home::new(2).await);
    let (left, right) = session(&requester, &provider).await;
    let (mut out, mut back) = left.split();
    let (mut answers, mut asked) = right.split();
    let echo = tokio::spawn(async move {
        while let Some(message) = asked.recv().await {
            let ToProvider::AskRelease { amount } = message else { panic!("{message:?}") };
            answers.send(&welcome(amount as u64)).await.unwrap();
        }
        asked.reason()
    });
    let sending = tokio::spawn(async move {
        for amount in 0..500 {
            out.send(&ToProvider::AskRelease { amount }).await.unwrap();
        }
        out
    });
    let mut next = 0;
    while next < 500 {
        tokio::select! {
            biased;
            answer = back.recv() => {
                assert_eq!(answer, Some(welcome(next)));
                next += 1;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    drop(within(sending).await.unwrap());
    drop(back);
    assert_eq!(within(echo).await.unwrap(), Some(CloseReason::Finished));
}

#[tokio::test]
async fn drop_and_reconnect() {
    let (requester, provider) = (Home::new(1).await, Home::new(2).await);
    let (mut left, right) = session(&requester, &provider).await;
    right.abort(CloseCode::Shutdown);
    assert_eq!(within(left.recv()).await, None);
    assert_eq!(left.reason(), Some(CloseReason::ByPeer(CloseCode::Shutdown)));
    assert_eq!(within(left.closed()).await, CloseReason::ByPeer(CloseCode::Shutdown));
    assert!(matches!(left.send(&hello(1)).await, Err(NetError::Closed(_))));
    for _ in 0..3 {
        session(&requester, &provider).await;
    }
    let provider = provider.restart(Limits::default()).await;
    session(&requester, &provider).await;
}

#[tokio::test]
async fn limits_refuse_and_recover() {
    let limits = Limits { sessions_per_peer: 2, sessions: 3, ..Limits::default() };
    let provider = Home::with(9, limits).await;
    let (one, two) = (Home::new(1).await, Home::new(2).await);
    let first = session(&one, &provider).await;
    let _second = session(&one, &provider).await;
    assert_eq!(
        refused(&one, &provider).await,
        CloseReason::ByPeer(CloseCode::Busy),
        "two of one peer"
    );
    let _other = session(&two, &provider).await;
    assert_eq!(
        refused(&two, &provider).await,
        CloseReason::ByPeer(CloseCode::Busy),
        "three in all"
    );
    drop(first);
    within(async {
        loop {
            // The slot is free when both sides have dropped the old session.
            let Ok(mut again) = one.connect(&provider.addr()).await else { continue };
            let _ = again.send(&hello(2)).await;
            tokio::select! {
                _ = again.recv() => {}
                accepted = provider.accept() => break assert_eq!(accepted.unwrap().peer(), one.id()),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn own_limit_is_an_error() {
    let requester = Home::with(1, Limits { sessions: 1, ..Limits::default() }).await;
    let provider = Home::new(2).await;
    let _one = session(&requester, &provider).await;
    assert!(matches!(requester.connect(&provider.addr()).await, Err(NetError::Limit(_))));
}

#[tokio::test]
async fn nobody_there_is_an_error_in_bounded_time() {
    let (requester, gone) = (Home::new(1).await, Home::new(2).await);
    let addr = gone.addr();
    gone.close().await;
    assert!(gone.accept().await.is_none());
    let somebody = Home::new(3).await;
    let mut impostor = somebody.addr();
    impostor.endpoint = Home::new(4).await.id();
    let (nobody, wrong) =
        within(async { tokio::join!(requester.connect(&addr), requester.connect(&impostor)) })
            .await;
    assert!(matches!(nobody, Err(NetError::Connect { .. })));
    assert!(
        matches!(wrong, Err(NetError::Connect { .. })),
        "the key at that address is another one"
    );
    requester.close().await;
    assert!(matches!(requester.connect(&addr).await, Err(NetError::NodeClosed)));
}

#[tokio::test]
async fn a_loopback_node_never_dials_outside() {
    let node = Home::new(1).await;
    let own = node.addr();
    assert!(!own.direct.is_empty() && own.direct.iter().all(|a| a.ip().is_loopback()), "{own:?}");
    assert_eq!(own.relay, None);
    let mut outside = Home::new(2).await.addr();
    outside.direct = vec!["192.0.2.1:4433".parse().unwrap()];
    outside.relay = Some("https://relay.example".into());
    assert!(matches!(node.connect(&outside).await, Err(NetError::Address(_))));
}
