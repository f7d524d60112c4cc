//! An unreachable provider, a requester on another network, and a relay between them: three network
//! namespaces with a process each. The relay's host forwards no packets, so the two sides can meet
//! only through the relay.
//!
//! Needs root, `ip` and an `iroh-relay` (`cargo xtask relay` builds one). If one of these is
//! missing, the test is skipped and prints why.
#![allow(clippy::unwrap_used)]

mod spaces;

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use rialto_net::{Limits, NetConfig, Node};
use rialto_protocol::{
    Address, B256,
    types::Deal,
    wire::{BlobRef, PeerAddr, ToProvider, ToRequester, WIRE_VERSION},
};

/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// Size of the blob that goes through the relay, bytes.
const BLOB_BYTES: usize = 4 << 20;

#[test]
fn a_provider_that_nobody_can_reach_serves_through_a_relay() {
    let Some(relay) = spaces::relay_binary() else {
        return println!(
            "skipped: no iroh-relay here (`cargo xtask relay` builds one, or set RIALTO_RELAY)"
        );
    };
    let Some(lan) = spaces::Spaces::new(1) else {
        return println!(
            "skipped: network namespaces can't be made here (root and `ip` are needed)"
        );
    };
    let folder = tempfile::tempdir().unwrap();
    let _relay = lan.relay(&relay, folder.path());

    let role = |space: &spaces::Namespace, role: &str, more: &[(&str, &str)]| {
        let mut command = space.command(std::env::current_exe().unwrap());
        command.args(["role", "--exact", "--nocapture", "--test-threads=1"]);
        command.env("RIALTO_NS_ROLE", role).env("RIALTO_NS_HOME", folder.path().join(role));
        command.envs(more.iter().copied()).stdout(Stdio::piped());
        spaces::Running(command.spawn().unwrap())
    };
    let mut provider = role(&lan.left, "provider", &[]);
    let addr = spaces::said(&mut provider, "at ");
    let mut requester = role(&lan.right, "requester", &[("RIALTO_NS_PEER", &addr)]);
    assert_eq!(spaces::said(&mut requester, "unreachable directly: "), "yes");
    assert_eq!(spaces::said(&mut requester, "session and blob: "), "done");
}

/// The body of the child processes.
#[test]
fn role() {
    let Ok(role) = std::env::var("RIALTO_NS_ROLE") else { return };
    let home = PathBuf::from(std::env::var_os("RIALTO_NS_HOME").unwrap());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let config = NetConfig {
            secret: [if role == "provider" { 7 } else { 8 }; 32],
            bind: (Ipv4Addr::UNSPECIFIED, 0).into(),
            port_file: None,
            relay: Some(spaces::relay_url()),
            external: vec![],
            blob_dir: home,
            limits: Limits::default(),
        };
        let node = Node::bind(config).await.unwrap();
        match role.as_str() {
            "provider" => tokio::time::timeout(3 * PATIENCE, provide(node)).await.unwrap(),
            _ => tokio::time::timeout(PATIENCE, request(node)).await.unwrap(),
        }
    });
}

async fn provide(node: Node) {
    let started = Instant::now();
    while node.addr().relay.is_none() {
        assert!(started.elapsed() < PATIENCE, "no home relay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let blob = node.blobs().put_bytes(vec![42; BLOB_BYTES]).await.unwrap();
    println!("\nat {}", hex(&node.addr(), blob));
    let mut sessions = Vec::new();
    while let Some(mut session) = node.accept().await {
        node.blobs().allow(session.peer(), blob).unwrap();
        assert!(matches!(session.recv().await, Some(ToProvider::Hello { .. })));
        session
            .send(&ToRequester::Welcome { version: WIRE_VERSION, next_seq: 3, paid: 5 })
            .await
            .unwrap();
        sessions.push(session);
    }
}

async fn request(node: Node) {
    let (peer, blob) = unhex(&std::env::var("RIALTO_NS_PEER").unwrap());
    println!("\nunreachable directly: {}", if spaces::reaches_the_left() { "no" } else { "yes" });
    let mut session = loop {
        match node.connect(&peer).await {
            Ok(session) => break session,
            Err(error) => println!("not yet: {error}"),
        }
    };
    let deal = Deal { provider: Address::repeat_byte(1), ..Deal::default() };
    session.send(&ToProvider::Hello { version: WIRE_VERSION, deal }).await.unwrap();
    assert!(matches!(session.recv().await, Some(ToRequester::Welcome { next_seq: 3, .. })));
    let fetched = node.blobs().fetch(&peer, blob, u64::MAX).await.unwrap();
    assert_eq!(fetched.read().await.unwrap(), vec![42; BLOB_BYTES]);
    println!("\nsession and blob: done");
}

fn hex(peer: &PeerAddr, blob: BlobRef) -> String {
    let relay = peer.relay.as_deref().unwrap();
    format!("{} {} {} {relay}", peer.endpoint, B256::from(blob.hash), blob.size)
}

fn unhex(text: &str) -> (PeerAddr, BlobRef) {
    let parts: Vec<&str> = text.split(' ').collect();
    let hash: B256 = parts[1].parse().unwrap();
    let peer = PeerAddr {
        endpoint: parts[0].parse().unwrap(),
        direct: vec![],
        relay: Some(parts[3].into()),
    };
    (peer, BlobRef { hash: hash.0, size: parts[2].parse().unwrap() })
}
