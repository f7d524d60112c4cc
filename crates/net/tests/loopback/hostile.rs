//! A raw QUIC client that breaks the protocol. The node must neither panic nor block, and must keep
//! serving honest peers.

use iroh::{
    Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey,
    endpoint::{Connection, presets},
};
use rialto_net::{CloseCode, Limits};
use rialto_protocol::{
    B256,
    wire::{Message, ToProvider},
};

use crate::{Home, gossip, sessions::hello, within};

async fn stranger(seed: u8) -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&[seed; 32]))
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .unwrap()
        .bind()
        .await
        .unwrap()
}

async fn dial(from: &Endpoint, to: &Home, alpn: &[u8]) -> Connection {
    let addr = to.addr();
    let id = EndpointId::from_bytes(&addr.endpoint.0).unwrap();
    let target = addr.direct.iter().fold(EndpointAddr::new(id), |a, ip| a.with_ip_addr(*ip));
    within(from.connect(target, alpn)).await.unwrap()
}

/// Sends bytes on a new connection and returns the code with which the node ends it.
async fn provoke(from: &Endpoint, to: &Home, alpn: &[u8], bytes: &[u8]) -> u64 {
    let connection = dial(from, to, alpn).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    // The node may end it before everything is written.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    match within(connection.closed()).await {
        iroh::endpoint::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("{other}"),
    }
}

async fn still_serves(provider: &Home) {
    let requester = Home::new(77).await;
    let mut session = within(requester.connect(&provider.addr())).await.unwrap();
    session.send(&hello(1)).await.unwrap();
    assert_eq!(within(within(provider.accept()).await.unwrap().recv()).await, Some(hello(1)));
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

#[tokio::test]
async fn garbage_on_sessions() {
    let (node, stranger) = (Home::new(1).await, stranger(66).await);
    let alpn = b"rialto/session/1";
    let bad = CloseCode::BadMessage as u64;
    let valid = hello(1).encode().unwrap();
    let mut trailing = valid.clone();
    trailing.push(0);
    assert_eq!(provoke(&stranger, &node, alpn, &[0xff; 64]).await, bad, "a frame of 4 GiB");
    // The claimed length alone ends the connection; the node does not wait for the bytes.
    let claim = |bytes: u32| bytes.to_be_bytes();
    assert_eq!(
        provoke(&stranger, &node, alpn, &claim((4 << 10) + 1)).await,
        bad,
        "first frame over 4 KiB"
    );
    assert_ne!(
        provoke(&stranger, &node, alpn, &claim(4 << 10)).await,
        bad,
        "cut, but not too long"
    );
    assert_eq!(provoke(&stranger, &node, alpn, &framed(&[])).await, bad, "empty frame");
    assert_eq!(provoke(&stranger, &node, alpn, &framed(&[200; 100])).await, bad, "not a message");
    assert_eq!(provoke(&stranger, &node, alpn, &framed(&trailing)).await, bad, "bytes left over");
    // A cut within a frame, or no byte at all, needs no particular code, but the connection must
    // end.
    provoke(&stranger, &node, alpn, &framed(&valid)[..20]).await;
    provoke(&stranger, &node, alpn, &[]).await;
    still_serves(&node).await;
}

#[tokio::test]
async fn a_frame_over_the_limit_after_hello() {
    let (node, stranger) = (Home::new(1).await, stranger(66).await);
    let mut bytes = framed(&hello(1).encode().unwrap());
    bytes.extend_from_slice(&(ToProvider::MAX_BYTES as u32 + 1).to_be_bytes());
    let connection = dial(&stranger, &node, b"rialto/session/1").await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&bytes).await.unwrap();
    let mut session = within(node.accept()).await.unwrap();
    assert_eq!(within(session.recv()).await, Some(hello(1)));
    assert_eq!(within(session.recv()).await, None);
    assert!(matches!(session.reason(), Some(rialto_net::CloseReason::BadMessage(_))));
}

#[tokio::test]
async fn more_streams_than_one_are_not_to_be_had() {
    let (node, stranger) = (Home::new(1).await, stranger(66).await);
    let connection = dial(&stranger, &node, b"rialto/session/1").await;
    let _first = connection.open_bi().await.unwrap();
    let more = async {
        tokio::select! {
            _ = connection.open_bi() => "bi",
            _ = connection.open_uni() => "uni",
            () = tokio::time::sleep(std::time::Duration::from_millis(300)) => "none",
        }
    };
    assert_eq!(more.await, "none");
    still_serves(&node).await;
}

#[tokio::test]
async fn unknown_protocols_are_refused() {
    let (node, stranger) = (Home::new(1).await, stranger(66).await);
    let addr = node.addr();
    let target = EndpointAddr::new(EndpointId::from_bytes(&addr.endpoint.0).unwrap())
        .with_ip_addr(addr.direct[0]);
    assert!(
        within(stranger.connect(target, b"rialto/session/2")).await.is_err(),
        "another version"
    );
    still_serves(&node).await;
}

#[tokio::test]
async fn garbage_on_gossip() {
    let (node, stranger) = (Home::new(1).await, stranger(66).await);
    let alpn = b"rialto/asks/1";
    let topic = gossip::topic();
    let (_publisher, stream) = node.asks(topic, vec![], gossip::Checker::new()).unwrap();
    let with_topic = |rest: &[u8]| [topic.as_slice(), rest].concat();
    let wrong = provoke(&stranger, &node, alpn, B256::repeat_byte(1).as_slice()).await;
    assert_eq!(wrong, CloseCode::UnknownTopic as u64);
    assert_eq!(provoke(&stranger, &node, alpn, &[1, 2, 3]).await, CloseCode::BadMessage as u64);
    let oversize = with_topic(&framed(&vec![0; 3 << 10]));
    assert_eq!(provoke(&stranger, &node, alpn, &oversize).await, CloseCode::BadMessage as u64);
    // The burst is 4096 tokens, each piece of garbage costs 256, and the peer regains a few
    // meanwhile.
    let flood = with_topic(&framed(&[7; 40]).repeat(40));
    assert_eq!(provoke(&stranger, &node, alpn, &flood).await, CloseCode::OverBudget as u64);
    assert_eq!(
        provoke(&stranger, &node, alpn, &with_topic(&[])).await,
        CloseCode::OverBudget as u64,
        "still in debt"
    );
    assert_eq!(stream.live(), vec![]);
    still_serves(&node).await;
}

#[tokio::test]
async fn garbage_on_blobs() {
    let node = Home::with(1, Limits::default()).await;
    let stranger = stranger(66).await;
    let alpn = b"rialto/blobs/1";
    let denied = CloseCode::Denied as u64;
    assert_eq!(provoke(&stranger, &node, alpn, &[9; 48]).await, denied, "unknown to us");
    let blob = node.blobs().put_bytes(vec![1, 2, 3]).await.unwrap();
    let other = node.blobs().put_bytes(vec![4, 5, 6]).await.unwrap();
    node.blobs().allow(B256::from(*stranger.id().as_bytes()), blob).unwrap();
    let request = |hash: [u8; 32], size: u64, offset: u64| {
        [&hash[..], &size.to_be_bytes()[..], &offset.to_be_bytes()[..]].concat()
    };
    assert_eq!(
        provoke(&stranger, &node, alpn, &request(blob.hash, 3, 4)).await,
        CloseCode::BadMessage as u64
    );
    assert_eq!(
        provoke(&stranger, &node, alpn, &request(blob.hash, 3, 0)[..47]).await,
        CloseCode::BadMessage as u64
    );
    assert_eq!(
        provoke(&stranger, &node, alpn, &request(blob.hash, 4, 0)).await,
        denied,
        "another size"
    );
    assert_eq!(
        provoke(&stranger, &node, alpn, &request(other.hash, 3, 0)).await,
        denied,
        "not allowed"
    );
    assert_eq!(provoke(&stranger, &node, alpn, &request([0; 32], 0, 0)).await, denied, "not here");
    still_serves(&node).await;
}
