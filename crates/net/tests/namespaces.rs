//! A provider that nobody can reach, a requester elsewhere, a relay of one's own in the middle: three network namespaces with
//! a process each. The relay's host forwards nothing, so the only way from one side to the other is the relay.
//!
//! Needs root, `ip` and an `iroh-relay` (`cargo xtask relay` builds one); skipped with the reason where one is missing.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rialto_net::{Limits, NetConfig, Node};
use rialto_protocol::{
    Address, B256,
    types::Deal,
    wire::{BlobRef, PeerAddr, ToProvider, ToRequester, WIRE_VERSION},
};

/// Bounds every wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the relay listens, on both of its sides.
const RELAY_PORT: u16 = 3340;
/// Bytes of the blob that goes through the relay.
const BLOB_BYTES: usize = 4 << 20;
const PROVIDER_ADDR: &str = "10.77.1.2";
const RELAY_ADDR: &str = "10.77.1.1";

/// A namespace that goes with its processes.
struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Option<Self> {
        let name = format!("rialto-{name}-{}", std::process::id());
        ip(&["netns", "add", &name]).then_some(())?;
        let made = Self(name);
        ip(&["-n", &made.0, "link", "set", "lo", "up"]).then_some(made)
    }

    /// A cable to another one. `ends`: addresses here and there.
    fn cable(&self, other: &Self, number: u8, ends: (&str, &str)) -> bool {
        let (near, far) =
            (format!("rl{}n{number}", std::process::id() % 9999), format!("rl{}f{number}", std::process::id() % 9999));
        ip(&["link", "add", &near, "netns", &self.0, "type", "veth", "peer", "name", &far, "netns", &other.0])
            && [(&self.0, &near, ends.0), (&other.0, &far, ends.1)].iter().all(|(space, link, addr)| {
                ip(&["-n", space, "addr", "add", &format!("{addr}/24"), "dev", link])
                    && ip(&["-n", space, "link", "set", link, "up"])
            })
    }

    fn route_through(&self, gateway: &str) -> bool {
        ip(&["-n", &self.0, "route", "add", "default", "via", gateway])
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

/// A child that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn relay_binary() -> Option<PathBuf> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/relay/bin/iroh-relay");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("iroh-relay"));
    std::env::var_os("RIALTO_RELAY")
        .map(PathBuf::from)
        .into_iter()
        .chain([built])
        .chain(on_path)
        .find(|file| file.exists())
}

#[test]
fn a_provider_that_nobody_can_reach_serves_through_a_relay() {
    let Some(relay) = relay_binary() else {
        return println!("skipped: no iroh-relay here (`cargo xtask relay` builds one, or set RIALTO_RELAY)");
    };
    let spaces = (Namespace::new("relay"), Namespace::new("provider"), Namespace::new("requester"));
    let (Some(middle), Some(left), Some(right)) = spaces else {
        return println!("skipped: network namespaces can't be made here (root and `ip` are needed)");
    };
    let wired = middle.cable(&left, 1, (RELAY_ADDR, PROVIDER_ADDR))
        && middle.cable(&right, 2, ("10.77.2.1", "10.77.2.2"))
        && left.route_through(RELAY_ADDR)
        && right.route_through("10.77.2.1");
    if !wired {
        return println!("skipped: no veth pairs here");
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.toml");
    std::fs::write(&config, format!("http_bind_addr = \"0.0.0.0:{RELAY_PORT}\"\nenable_metrics = false\n")).unwrap();
    let mut serve = middle.command(&relay);
    let _relay =
        Running(serve.arg("--config-path").arg(&config).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());

    let role = |space: &Namespace, role: &str, more: &[(&str, &str)]| {
        let mut command = space.command(std::env::current_exe().unwrap());
        command.args(["role", "--exact", "--nocapture", "--test-threads=1"]);
        command.env("RIALTO_NS_ROLE", role).env("RIALTO_NS_HOME", folder.path().join(role));
        command.envs(more.iter().copied()).stdout(Stdio::piped());
        Running(command.spawn().unwrap())
    };
    let mut provider = role(&left, "provider", &[]);
    let addr = said(&mut provider, "at ");
    let mut requester = role(&right, "requester", &[("RIALTO_NS_PEER", &addr)]);
    assert_eq!(said(&mut requester, "unreachable directly: "), "yes");
    assert_eq!(said(&mut requester, "session and blob: "), "done");
}

/// Reads a child's lines until one begins so.
fn said(child: &mut Running, begins: &str) -> String {
    let out = child.0.stdout.as_mut().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::with_capacity(1, out);
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the process ended before it said {begins}");
        if let Some(rest) = line.trim().strip_prefix(begins) {
            return rest.to_owned();
        }
    }
}

/// What the children run.
#[test]
fn role() {
    let Ok(role) = std::env::var("RIALTO_NS_ROLE") else { return };
    let home = PathBuf::from(std::env::var_os("RIALTO_NS_HOME").unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let config = NetConfig {
            secret: [if role == "provider" { 7 } else { 8 }; 32],
            bind: (Ipv4Addr::UNSPECIFIED, 0).into(),
            relay: Some(format!("http://{RELAY_ADDR}:{RELAY_PORT}")),
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
        session.send(&ToRequester::Welcome { version: WIRE_VERSION, next_seq: 3, paid: 5 }).await.unwrap();
        sessions.push(session);
    }
}

async fn request(node: Node) {
    let (peer, blob) = unhex(&std::env::var("RIALTO_NS_PEER").unwrap());
    let direct = SocketAddr::new(PROVIDER_ADDR.parse().unwrap(), 9);
    // A host that could be reached would refuse at once.
    let refused = matches!(TcpStream::connect_timeout(&direct, Duration::from_secs(2)), Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused);
    println!("\nunreachable directly: {}", if refused { "no" } else { "yes" });
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
    let peer = PeerAddr { endpoint: parts[0].parse().unwrap(), direct: vec![], relay: Some(parts[3].into()) };
    (peer, BlobRef { hash: hash.0, size: parts[2].parse().unwrap() })
}
