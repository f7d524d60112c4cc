//! `rialto provide` as its owner meets it: a chain over HTTP, real provider processes, a requester
//! of the test's own.
#![allow(clippy::unwrap_used)]

#[path = "../../devchain/tests/anvil/mod.rs"]
mod anvil;
#[path = "../../net/tests/spaces/mod.rs"]
mod spaces;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use rialto_chain::{
    Chain, ChainConfig, CourtCall, Courts, DeployParams, MarketCall, PrivateKeySigner, Rpc, deploy,
};
use rialto_client::{History, Replay, signed_tasks};
use rialto_devchain::{Devchain, Server, serve};
use rialto_exec::Engine;
use rialto_machine::{TaskLimits, input::TaskInput};
use rialto_net::{NetConfig, Node};
use rialto_protocol::{Address, U256, court::Answer, keccak256, receipt::task_seed};
use rialto_requester::{Job, Policy, Requester, RequesterConfig};
use serde_json::Value;

const DEPOSIT: u128 = 1_000_000_000;
/// Gas money of each account, wei.
const GAS_MONEY: U256 = U256::from_limbs([10_000_000_000_000_000_000, 0, 0, 0]);
const RAYTRACE: &[u8] = include_bytes!("../../../examples/raytrace/raytrace.wasm");
const TINY: &[u8] = include_bytes!("../../../examples/tiny/tiny.wasm");
/// Light paths per pixel: a task takes about a second of this machine.
const SAMPLES: &str = "40";

/// A chain that provider processes reach over HTTP.
struct World {
    folder: tempfile::TempDir,
    chain: Chain,
    market: Address,
    court: Address,
    rpc: String,
    _node: ChainNode,
}

/// What makes the blocks, ended when dropped.
#[allow(dead_code, reason = "held, not read")]
enum ChainNode {
    Embedded(Devchain, Server),
    Anvil(anvil::Process),
}

fn key(name: &str) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(name)).unwrap()
}

fn accounts() -> [Address; 3] {
    ["admin", "requester", "provider"].map(|name| key(name).address())
}

impl World {
    async fn new() -> Self {
        let devchain = Devchain::open(rialto_devchain::Config {
            accounts: accounts().map(|account| (account, GAS_MONEY)).to_vec(),
            heartbeat_secs: Some(1),
            ..Default::default()
        })
        .unwrap();
        let server =
            serve(devchain.clone(), (std::net::Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        Self::on(server.addr(), ChainNode::Embedded(devchain, server)).await
    }

    async fn on_anvil(binary: &Path) -> Self {
        let anvil = anvil::Process::start(binary, &["--accounts", "1", "--block-time", "1"]);
        let addr = anvil.addr;
        for account in accounts() {
            anvil.fund(account, GAS_MONEY);
        }
        Self::on(addr, ChainNode::Anvil(anvil)).await
    }

    async fn on(addr: std::net::SocketAddr, node: ChainNode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let accounts = accounts();
        let rpc = format!("http://{addr}");
        let at = Rpc::Http(rpc.parse().unwrap());
        let params = DeployParams {
            token: None,
            challenge_window: 60,
            answer_window: 60,
            grace: 60,
            case_bond: 1000,
            court: Default::default(),
        };
        let deployed = deploy(&at, key("admin"), params).await.unwrap();
        let chain = Chain::connect(ChainConfig::new(at, deployed.market)).await.unwrap();
        let sender = chain.sender_in_memory(key("admin")).await.unwrap();
        let amount = 3 * DEPOSIT;
        sender.send("mint", MarketCall::Mint { to: accounts[0], amount }).await.unwrap();
        sender.send("approve", MarketCall::Approve { amount }).await.unwrap();
        let deposit =
            |account: &Address| MarketCall::Deposit { account: *account, amount: DEPOSIT };
        sender
            .send("deposit", MarketCall::Batch(accounts.iter().map(deposit).collect()))
            .await
            .unwrap();
        sender.stop().await;
        let world = Self {
            folder,
            chain,
            market: deployed.market,
            court: deployed.court,
            rpc,
            _node: node,
        };
        world.secret("provider.key", &format!("{:x}\n", key("provider").to_bytes()));
        world.secret("passphrase", "correct horse\n");
        let mut import = world.rialto();
        import
            .args(["wallet", "import", "--key-file"])
            .arg(world.folder.path().join("provider.key"));
        assert!(world.at_home(&mut import).status().unwrap().success());
        world
    }

    /// A file that nobody else may read.
    fn secret(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The home that holds the provider's key, and what opens it.
    fn at_home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .arg("--passphrase-file")
            .arg(self.folder.path().join("passphrase"))
            .arg("--home")
            .arg(self.home())
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn rialto(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
        command.args(["--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command
    }

    fn provide(&self) -> Provider {
        let mut command = self.rialto();
        command.args([
            "provide",
            "--rpc",
            &self.rpc,
            "--market",
            &self.market.to_string(),
            "--cores",
            "1",
        ]);
        let mut child = self.at_home(command.args(["--memory", "1024"])).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Provider { child, lines }
    }

    /// `rialto dispute …` of the provider's account.
    fn dispute(&self, args: &[&str]) -> (bool, Value) {
        let mut command = self.rialto();
        command
            .args(["--rpc", &self.rpc, "--market", &self.market.to_string(), "dispute"])
            .args(args);
        let output = self.at_home(&mut command).output().unwrap();
        (output.status.success(), serde_json::from_slice(&output.stdout).unwrap())
    }

    fn status(&self) -> Value {
        let output =
            self.rialto().args(["provider", "status", "--home"]).arg(self.home()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    async fn requester(&self) -> (Requester, Node) {
        self.requester_with(0).await
    }

    /// One that keeps deals open for so many seconds after their job.
    async fn requester_with(&self, idle: u64) -> (Requester, Node) {
        let home = self.folder.path().join("requester");
        let node = Node::bind(NetConfig::loopback([9; 32], home.join("blobs"))).await.unwrap();
        let engine = Engine::new(rialto_exec::Config::new(home.join("programs"))).unwrap();
        let mut config = RequesterConfig::new(&home, key("requester"));
        config.patience.idle = idle;
        let requester =
            Requester::start(config, self.chain.clone(), node.clone(), engine).await.unwrap();
        (requester, node)
    }
}

struct Provider {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Provider {
    /// Reads on until an event of this name.
    fn hears(&mut self, name: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "ended before it said {name}");
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
                std::io::Read::read_to_string(&mut self.lines, &mut line).unwrap();
                panic!("{line}");
            });
            if value["event"] == name {
                return value;
            }
        }
    }

    fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill")
                .args([signal, &self.child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn job(tasks: u32) -> Job {
    let input = |task: u32| -> Bytes {
        let argv = ["raytrace", "64", "64", "64", "0", SAMPLES]
            .map(|arg| arg.as_bytes().to_vec())
            .to_vec();
        TaskInput { argv, stdin: task.to_le_bytes().to_vec(), ..TaskInput::default() }
            .encode()
            .unwrap()
            .into()
    };
    Job {
        policy: Policy::Trust,
        min_providers: 1,
        max_providers: 1,
        run_locally: false,
        within: Duration::from_secs(600),
        ..Job::new(Bytes::from_static(RAYTRACE), (0..tasks).map(input).collect())
    }
}

fn write_settings(home: &Path) {
    std::fs::create_dir_all(home).unwrap();
    let text = "[price]\nfuel = 0.01\nfloor = 0.005\n[machine]\nfuel_per_second = 400000000\n[money]\ncoin = 10\n";
    std::fs::write(home.join("provider.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sells_survives_a_kill_and_drains() {
    survives_a_kill_and_drains(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sells_survives_a_kill_and_drains_on_anvil() {
    if let Some(binary) = anvil::find() {
        survives_a_kill_and_drains(World::on_anvil(&binary).await).await;
    }
}

async fn survives_a_kill_and_drains(world: World) {
    write_settings(&world.home());
    let mut provider = world.provide();
    provider.hears("ask_published");
    let (requester, node) = world.requester().await;
    let handle = requester.submit(job(12)).await.unwrap();
    provider.hears("order_accepted");

    // In the middle of its work: no time to say anything.
    provider.signal("-KILL");
    drop(provider);
    let stopped = world.status();
    assert_eq!(stopped["running"], false);
    assert_eq!(stopped["stored"]["ledger"]["total"]["deals"], 1);
    let mut provider = world.provide();
    let report =
        tokio::time::timeout(Duration::from_secs(240), handle.wait()).await.unwrap().unwrap();
    assert!(report.tasks.iter().all(Option::is_some), "every task has its result");
    provider.hears("deal_closed");

    // The deal's end and what the provider's own transaction cost are heard separately.
    let total = "/status/report/status/ledger/total/gas_wei";
    let settled =
        |status: &Value| status.pointer(total).is_some_and(|gas| gas.as_f64().unwrap() > 0.0);
    let mut running = world.status();
    for _ in 0..100 {
        if settled(&running) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        running = world.status();
    }
    assert!(settled(&running), "{running}");
    let status = &running["status"]["report"]["status"];
    assert_eq!(
        (&running["running"], &status["draining"]),
        (&Value::from(true), &Value::from(false))
    );
    let total = &status["ledger"]["total"];
    assert_eq!(
        (&total["deals"], &total["tasks"]),
        (&Value::from(1), &Value::from(12)),
        "nothing twice: {total}"
    );
    let (earned, paid) = (total["earned"].as_u64().unwrap(), total["paid"].as_u64().unwrap());
    assert!(earned > 0 && paid >= earned, "{total}");
    assert!(running["status"]["report"]["footprint"]["open_files"].as_u64().unwrap() > 0);
    // 70,000 gas at the chain's price, at 10 tokens a coin.
    assert_ne!(
        status["worth"]["redeem"], 1_000,
        "the worth of a transaction follows the price of gas"
    );

    provider.signal("-TERM");
    provider.hears("draining");
    provider.hears("ended");
    assert_eq!(provider.child.wait().unwrap().code(), Some(0));
    let stopped = world.status();
    assert_eq!(stopped["stored"]["ledger"]["total"]["paid"].as_u64().unwrap(), paid);
    requester.stop().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_was_stopped_answers_an_accusation_by_hand() {
    let world = World::new().await;
    write_settings(&world.home());
    let settings = world.home().join("provider.toml");
    let more = format!("[deal]\ncourt = \"{}\"\n", world.court);
    std::fs::write(&settings, std::fs::read_to_string(&settings).unwrap() + &more).unwrap();
    let mut provider = world.provide();
    provider.hears("ask_published");
    let (requester, node) = world.requester_with(100_000).await;
    let input = |n: u64| -> Bytes {
        TaskInput { stdin: n.to_le_bytes().to_vec(), ..TaskInput::default() }
            .encode()
            .unwrap()
            .into()
    };
    let mut squares = Job {
        tasks: (0..2).map(input).collect(),
        program: Bytes::from_static(TINY).into(),
        ..job(1)
    };
    squares.limits.fuel = 10_000_000;
    let handle = requester.submit(squares).await.unwrap();
    let report =
        tokio::time::timeout(Duration::from_secs(240), handle.wait()).await.unwrap().unwrap();
    assert_eq!(report.outcome, Ok(()));

    // Somebody says that its first task ended otherwise.
    let signed = signed_tasks(&report, 0).unwrap().remove(0);
    let order = &signed.order.order.value;
    let limits = TaskLimits {
        seed: task_seed(order.seed, 0),
        fuel: order.fuelLimit,
        out: order.outLimit,
        pages: order.maxPages,
    };
    let replay = Replay::new(TINY, input(0).to_vec(), Vec::new(), limits).unwrap();
    let lie = std::array::from_fn(|part| keccak256([part as u8]));
    let court = world.chain.court(signed.deal.court).await.unwrap();
    // The provider that runs would answer by itself.
    provider.signal("-KILL");
    drop(provider);
    let accuser = world.chain.sender_in_memory(key("admin")).await.unwrap();
    accuser.accuse("accuse", &court, signed.accusation().unwrap()).await.unwrap();

    let (_, games) = world.dispute(&["list"]);
    let game = games["games"][0]["id"].as_str().unwrap();
    assert_eq!(
        (&games["games"][0]["role"], &games["games"][0]["open"]),
        (&"provider".into(), &true.into()),
        "{games}"
    );
    let (ok, moved) = world.dispute(&["move", game]);
    assert!(
        ok && moved["open"] == true && moved["did"].as_str().unwrap().starts_with("open "),
        "{moved}"
    );
    assert!(moved["standing"].as_str().unwrap().starts_with("the accuser's turn"), "{moved}");
    let courts = Courts { known: BTreeSet::from([signed.deal.court]), ..Courts::default() };
    let tale = History::read_with(&world.chain, 0, courts, |_| ()).await.unwrap().games().remove(0);
    let challenge = Answer::Challenge(Box::new(signed.challenge(&replay, 0, lie).unwrap()));
    let call =
        CourtCall::answer(tale.deal.clone(), order.clone(), &tale.story.view, challenge).unwrap();
    accuser.send("challenge", MarketCall::Court { court: tale.court, call }).await.unwrap();
    let (ok, moved) = world.dispute(&["move", game]);
    assert!(ok && moved["did"].as_str().unwrap().starts_with("dispute part 0"), "{moved}");
    let (ok, refused) = world.dispute(&["move", game]);
    assert!(!ok && refused["code"] == "C-DSP-013", "{refused}");
    accuser.stop().await;
    requester.stop().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once_and_loses_nothing() {
    let world = World::new().await;
    write_settings(&world.home());
    let mut provider = world.provide();
    provider.hears("ask_published");
    let (requester, node) = world.requester().await;
    let _job = requester.submit(job(12)).await.unwrap();
    let order = provider.hears("order_accepted")["order"].clone();
    provider.signal("-TERM");
    provider.hears("draining");
    provider.signal("-TERM");
    provider.hears("left");
    assert_eq!(provider.child.wait().unwrap().code(), Some(130));
    drop(provider);
    let mut provider = world.provide();
    while provider.hears("tasks_done")["order"] != order {}
    requester.stop().await;
    node.close().await;
}

#[test]
fn a_template_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
        command.args(["provide", "--init", "--home"]).arg(folder.path()).output().unwrap()
    };
    assert!(run().status.success());
    assert!(
        std::fs::read_to_string(folder.path().join("provider.toml")).unwrap().contains("[price]")
    );
    let again = run();
    assert!(
        !again.status.success() && String::from_utf8_lossy(&again.stderr).contains("[P-CFG-007]")
    );
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "00").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
    let output = command
        .args(["wallet", "import", "--key-file"])
        .arg(&key)
        .arg("--home")
        .arg(folder.path())
        .output();
    let (status, said) =
        output.map(|output| (output.status, String::from_utf8(output.stderr).unwrap())).unwrap();
    assert!(said.contains("[W-002]") && said.contains("chmod 600"), "{said}");
    assert_eq!(status.code(), Some(4));
}

/// Whatever comes to a port of this namespace goes to a socket in the file system, which all
/// namespaces share.
async fn into_socket(port: u16, socket: PathBuf) {
    let listener =
        tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await.unwrap();
    println!("\nproxy: ready");
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = tokio::net::UnixStream::connect(&socket).await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
    }
}

/// The port under which the chain is found in every namespace.
const CHAIN_PORT: u16 = 8545;

/// `rialto provide` where nobody can reach it, a requester elsewhere, a relay in the middle; the
/// chain is the only other thing that both reach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sells_through_a_relay_from_where_nobody_can_reach_it() {
    let Some(relay) = spaces::relay_binary() else {
        return println!(
            "skipped: no iroh-relay here (`cargo xtask relay` builds one, or set RIALTO_RELAY)"
        );
    };
    let Some(lan) = spaces::Spaces::new(2) else {
        return println!(
            "skipped: network namespaces can't be made here (root and `ip` are needed)"
        );
    };
    let world = World::new().await;
    write_settings(&world.home());
    let _relay = lan.relay(&relay, world.folder.path());
    let socket = world.folder.path().join("rpc.sock");
    let outside = tokio::net::UnixListener::bind(&socket).unwrap();
    let chain = world.rpc.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = outside.accept().await {
            let mut far = tokio::net::TcpStream::connect(&chain).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let role = |space: &spaces::Namespace, role: &str| {
        let mut command = space.command(std::env::current_exe().unwrap());
        command
            .args(["role", "--exact", "--nocapture", "--test-threads=1"])
            .env("RIALTO_NS_ROLE", role);
        command.env("RIALTO_NS_SOCKET", &socket).env("RIALTO_NS_MARKET", world.market.to_string());
        spaces::Running(
            command
                .env("RIALTO_NS_HOME", world.folder.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    };
    let mut proxy = role(&lan.left, "proxy");
    spaces::said(&mut proxy, "proxy: ");
    let mut command = lan.left.command(env!("CARGO_BIN_EXE_rialto"));
    command.args([
        "--output",
        "json",
        "provide",
        "--market",
        &world.market.to_string(),
        "--cores",
        "1",
    ]);
    command.args([
        "--rpc",
        &format!("http://127.0.0.1:{CHAIN_PORT}"),
        "--relay",
        &spaces::relay_url(),
        "--memory",
        "1024",
    ]);
    let mut child = world.at_home(&mut command).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let mut provider = Provider { child, lines };
    assert_eq!(
        provider.hears("started")["relay"].as_str().unwrap().trim_end_matches('/'),
        spaces::relay_url()
    );
    provider.hears("ask_published");
    let mut requester = role(&lan.right, "requester");
    assert_eq!(spaces::said(&mut requester, "unreachable directly: "), "yes");
    assert_eq!(spaces::said(&mut requester, "job: "), "4 tasks");
    provider.hears("deal_closed");
}

/// What the children run.
#[test]
fn role() {
    let Ok(role) = std::env::var("RIALTO_NS_ROLE") else { return };
    let var = |name: &str| std::env::var(name).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let proxy = into_socket(CHAIN_PORT, var("RIALTO_NS_SOCKET").into());
        if role == "proxy" {
            return proxy.await;
        }
        tokio::spawn(proxy);
        println!(
            "\nunreachable directly: {}",
            if spaces::reaches_the_left() { "no" } else { "yes" }
        );
        let home = PathBuf::from(var("RIALTO_NS_HOME")).join("requester");
        let net = NetConfig {
            bind: (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
            relay: Some(spaces::relay_url()),
            ..NetConfig::loopback([9; 32], home.join("blobs"))
        };
        let node = Node::bind(net).await.unwrap();
        let at = Rpc::Http(format!("http://127.0.0.1:{CHAIN_PORT}").parse().unwrap());
        let chain = Chain::connect(ChainConfig::new(at, var("RIALTO_NS_MARKET").parse().unwrap()))
            .await
            .unwrap();
        let engine = Engine::new(rialto_exec::Config::new(home.join("programs"))).unwrap();
        let requester =
            Requester::start(RequesterConfig::new(&home, key("requester")), chain, node, engine)
                .await
                .unwrap();
        let report = requester.submit(job(4)).await.unwrap().wait().await.unwrap();
        println!("\njob: {} tasks", report.tasks.iter().flatten().count());
        requester.stop().await;
    });
}
