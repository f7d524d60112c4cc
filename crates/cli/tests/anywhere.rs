//! A market whose parts are nowhere near each other: chain, relay, provider and requester are
//! processes in a network namespace each. Provider and requester reach the chain and the relay,
//! never each other; their lines are cut and mended.
//!
//! Needs root, `ip` and an `iroh-relay` (`cargo xtask relay` builds one); skipped with the reason
//! where one is missing.
#![allow(clippy::unwrap_used)]

mod home;
#[path = "../../net/tests/spaces/mod.rs"]
mod spaces;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use home::Home;
use rialto_chain::{Chain, ChainConfig, DeployParams, MarketCall, PrivateKeySigner, Rpc, deploy};
use rialto_devchain::Devchain;
use rialto_protocol::{Address, U256, keccak256};
use serde_json::{Value, json};
use spaces::{Between, Namespace, Running, Side};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(240);
const CHAIN_PORT: u16 = 8545;
const DEPOSIT: u128 = 1_000_000_000;
/// Gas money of each account, wei.
const GAS_MONEY: U256 = U256::from_limbs([10_000_000_000_000_000_000, 0, 0, 0]);
const TASKS: u64 = 50;
/// Whose accounts there are.
const NAMES: [&str; 3] = ["admin", "provider", "requester"];

fn key(name: &str) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(name)).unwrap()
}

/// Somebody with a home in a namespace.
struct Party<'a> {
    space: &'a Namespace,
    home: Home,
}

impl<'a> Party<'a> {
    /// With a key, and a configuration in which the chain is at an address of this side.
    fn new(space: &'a Namespace, name: &str, chain: &str, market: &Value) -> Self {
        let home = Home::new();
        home.locked("correct horse");
        let file = home.secret("key", &format!("{:x}", key(name).to_bytes()));
        home.ok(&["wallet", "import", "--key-file", &file]);
        let configuration = format!(
            "[market]\nrpc = \"http://{chain}:{CHAIN_PORT}\"\naddress = {}\ncourt = {}\nfirst_block = {}\n[net]\nrelay = \"{}\"\n",
            market["market"],
            market["court"],
            market["block"],
            spaces::relay_url()
        );
        std::fs::write(home.0.path().join("config.toml"), configuration).unwrap();
        Self { space, home }
    }

    fn command(&self, args: &[&str]) -> Command {
        let inner = self.home.command(args);
        let mut command = self.space.command(inner.get_program());
        command.args(inner.get_args()).stdin(Stdio::null());
        command
    }

    fn ok(&self, args: &[&str]) -> Value {
        let output = self.command(args).output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {stdout}{stderr}");
        serde_json::from_str(&stdout).unwrap()
    }

    fn balance(&self) -> u128 {
        self.ok(&["wallet", "balance"])["market"].as_str().unwrap().parse().unwrap()
    }

    /// What happened in a job so far, by the events' names.
    fn story(&self, job: &str) -> Vec<String> {
        let output = self.command(&["jobs", "logs", job]).output().unwrap();
        let lines = output.stdout.lines().map_while(Result::ok);
        let named = |line: String| match &serde_json::from_str::<Value>(&line).unwrap()["event"] {
            Value::String(name) => name.clone(),
            event => event.as_object().unwrap().keys().next().unwrap().clone(),
        };
        lines.map(named).collect()
    }

    fn sells(&self) -> Running {
        let settings = "[price]\nfuel = 0.01\n[machine]\nfuel_per_second = 400000000\n";
        std::fs::write(self.home.0.path().join("provider.toml"), settings).unwrap();
        let mut command = self.command(&["provide", "--cores", "1", "--memory", "1024"]);
        let mut provider = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut lines =
            BufReader::new(provider.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line.contains("\"ask_published\"")),
            "the provider ended before it sold anything"
        );
        // Read on, or it blocks once the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        provider
    }
}

impl Drop for Party<'_> {
    fn drop(&mut self) {
        let _ = self.command(&["jobs", "stop"]).output();
    }
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(200));
    }
}

/// Tasks of a moment each, for one provider and nobody else.
fn job(home: &Home) -> String {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pricing/pricing.wasm");
    let text = format!(
        "name = \"far\"\nprogram = {program:?}\nargs = [\"100\", \"{{n}}\", \"0.03\", \"0.2\", \"1\", \"400000\", \"7\"]\nseed = 1\nbudget = 5\nverify = \"trust\"\ndeadline = \"20 min\"\n[tasks]\nrange = \"90..{}\"\n[providers]\nmost = 1\nrun_here = false\n[output]\nfolder = \"far\"\nstdout = \"table\"\n",
        90 + TASKS
    );
    let path = home.0.path().join("job.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_job_outlives_the_lines_that_it_goes_through() {
    let Some(relay) = spaces::relay_binary() else {
        return println!(
            "skipped: no iroh-relay here (`cargo xtask relay` builds one, or set RIALTO_RELAY)"
        );
    };
    let made = spaces::Spaces::new(3).and_then(|lan| lan.between(3).map(|between| (lan, between)));
    let Some((lan, bank)) = made else {
        return println!(
            "skipped: network namespaces can't be made here (root and `ip` are needed)"
        );
    };
    let folder = tempfile::tempdir().unwrap();
    let role = |space: &Namespace, role: &str| {
        let mut command = space.command(std::env::current_exe().unwrap());
        command
            .args(["role", "--exact", "--nocapture", "--test-threads=1"])
            .env("RIALTO_NS_ROLE", role);
        Running(
            command.env("RIALTO_NS_HOME", folder.path()).stdout(Stdio::piped()).spawn().unwrap(),
        )
    };
    let mut chain = role(&bank.space, "chain");
    let market: Value = serde_json::from_str(&spaces::said(&mut chain, "market: ")).unwrap();
    let _relay = lan.relay(&relay, folder.path());
    let provider = Party::new(&lan.left, "provider", Between::ADDRS[0], &market);
    let requester = Party::new(&lan.right, "requester", Between::ADDRS[1], &market);
    let _selling = provider.sells();
    assert_eq!(spaces::said(&mut role(&lan.right, "look"), "unreachable directly: "), "yes");

    let started = requester.ok(&["run", &job(&requester.home), "--detach"]);
    let id = started["job"].as_str().unwrap();
    let verified = || requester.ok(&["jobs", "show", id])["verified"].as_u64().unwrap();
    wait_for("the first results", || verified() > 0);
    for (cut, side) in (1..).zip([Side::Left, Side::Right]) {
        let count = |name: &str| requester.story(id).iter().filter(|event| *event == name).count();
        lan.line(side, &bank, false);
        wait_for("the other side is missed", || count("ProviderDropped") == cut);
        let before = verified();
        assert!(before < TASKS, "it can't end meanwhile");
        lan.line(side, &bank, true);
        wait_for("both sides are back", || count("ProviderBack") == cut);
        wait_for("work goes on", || verified() > before);
    }
    wait_for("the end", || requester.ok(&["jobs", "show", id])["phase"] == "ended");
    let shown = requester.ok(&["jobs", "show", id]);
    assert_eq!((&shown["done"], &shown["verified"]), (&true.into(), &TASKS.into()), "{shown}");

    // What left one account came to the other, and no task was paid twice.
    wait_for("the deal is closed", || requester.ok(&["deals"])["deals"] == json!([]));
    let (spent, earned) = (DEPOSIT - requester.balance(), provider.balance() - DEPOSIT);
    let paid: u128 = shown["report"]["requester_paid"].as_str().unwrap().parse().unwrap();
    assert_eq!((spent, earned), (paid, paid), "{shown}");
    assert_eq!(shown["report"]["deals"], 1, "{shown}");
    let sold = provider.ok(&["provider", "status"]);
    assert_eq!(sold["status"]["report"]["status"]["ledger"]["total"]["tasks"], TASKS, "{sold}");
    let table = requester.ok(&["jobs", "results", id]);
    assert_eq!(table["results"]["failed"], 0, "{table}");
}

/// What the children run.
#[test]
fn role() {
    let Ok(role) = std::env::var("RIALTO_NS_ROLE") else { return };
    if role == "look" {
        return println!(
            "\nunreachable directly: {}",
            if spaces::reaches_the_left() { "no" } else { "yes" }
        );
    }
    let home = PathBuf::from(std::env::var_os("RIALTO_NS_HOME").unwrap());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(bank(&home));
}

/// JSON-RPC for everybody who gets here: what the chain itself serves is for its own machine.
fn serve(chain: &Devchain) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, CHAIN_PORT)).unwrap();
    let chain = chain.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let chain = chain.clone();
            // Whoever hangs up in the middle ends its own connection only.
            std::thread::spawn(move || while answered(&chain, &stream).is_ok() {});
        }
    });
}

fn answered(chain: &Devchain, mut stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut size = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim().to_ascii_lowercase();
        size =
            line.strip_prefix("content-length:").map_or(size, |size| size.trim().parse().unwrap());
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; size];
    reader.read_exact(&mut body)?;
    let one = |call: &Value| match chain
        .handle(call["method"].as_str().unwrap(), call["params"].clone())
    {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }),
        Err(error) => {
            let error = json!({ "code": error.code, "message": error.message, "data": error.data });
            json!({ "jsonrpc": "2.0", "id": call["id"], "error": error })
        }
    };
    let answer = match serde_json::from_slice(&body)? {
        Value::Array(calls) => calls.iter().map(one).collect(),
        call => one(&call),
    };
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    stream.write_all((head + &answer).as_bytes())
}

/// A chain with a market on which everybody has money, until it is killed.
async fn bank(home: &Path) {
    let accounts: Vec<Address> = NAMES.iter().map(|name| key(name).address()).collect();
    let devchain = Devchain::open(rialto_devchain::Config {
        accounts: accounts.iter().map(|account| (*account, GAS_MONEY)).collect(),
        path: Some(home.join("chain")),
        heartbeat_secs: Some(1),
        ..Default::default()
    })
    .unwrap();
    serve(&devchain);
    let at = Rpc::Http(format!("http://127.0.0.1:{CHAIN_PORT}").parse().unwrap());
    let params = DeployParams {
        token: None,
        challenge_window: 600,
        answer_window: 600,
        grace: 600,
        case_bond: 1000,
        court: rialto_chain::CourtRules::default(),
    };
    let deployed = deploy(&at, key(NAMES[0]), params).await.unwrap();
    let chain = Chain::connect(ChainConfig::new(at, deployed.market)).await.unwrap();
    let sender = chain.sender_in_memory(key(NAMES[0])).await.unwrap();
    let amount = DEPOSIT * accounts.len() as u128;
    sender.send("mint", MarketCall::Mint { to: accounts[0], amount }).await.unwrap();
    sender.send("approve", MarketCall::Approve { amount }).await.unwrap();
    let deposit = |account: &Address| MarketCall::Deposit { account: *account, amount: DEPOSIT };
    sender
        .send("deposit", MarketCall::Batch(accounts.iter().map(deposit).collect()))
        .await
        .unwrap();
    let market =
        json!({ "market": deployed.market, "court": deployed.court, "block": deployed.block });
    println!("\nmarket: {market}");
    std::future::pending::<()>().await;
}
