//! `rialto watch` as real processes: providers that are killed for good and defended by a tower,
//! and a stranger that audits a liar.
#![allow(clippy::unwrap_used)]

mod home;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use home::Home;
use rialto_chain::{
    Chain, ChainConfig, CourtCall, CourtRules, Courts, DealStatus, DeployParams, Deployed,
    MarketCall, PrivateKeySigner, Rpc, Sender, deploy,
};
use rialto_client::{GameTale, History, Replay, SignedTask, signed_tasks};
use rialto_devchain::{Devchain, Server, serve};
use rialto_exec::Engine;
use rialto_faults::Fault;
use rialto_machine::{TaskLimits, input::TaskInput};
use rialto_net::{NetConfig, Node};
use rialto_protocol::{
    U256,
    court::{Answer, BOUNTY_BPS, COMPENSATION_BPS},
    keccak256,
    pricing::share,
    receipt::task_seed,
    types::struct_hash,
};
use rialto_provider::{Price, Provider, ProviderConfig};
use rialto_requester::{Job, JobReport, Policy, Requester, RequesterConfig};
use serde_json::{Value, json};

const DEPOSIT: u128 = 1_000_000_000;
const GAS_MONEY: U256 = U256::from_limbs([10_000_000_000_000_000_000, 0, 0, 0]);
const NAMES: [&str; 5] = ["admin", "requester", "provider", "tower", "stranger"];
const TINY: &[u8] = include_bytes!("../../../examples/tiny/tiny.wasm");
const RULES: CourtRules = CourtRules {
    base_bond: 1_000_003,
    bond_per_tfuel: 50,
    base_seconds: 600,
    move_seconds: 300,
    fuel_per_second: 5_000_000,
};

fn key(name: &str) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(name)).unwrap()
}

/// A chain with a market and a court, reached over HTTP; everybody but the tower and the stranger
/// has a deposit.
struct World {
    folder: tempfile::TempDir,
    dev: Devchain,
    chain: Chain,
    deployed: Deployed,
    rpc: String,
    _server: Server,
}

/// A process that says JSON.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// What was heard and not asked for yet.
    kept: Vec<Value>,
}

impl Running {
    fn of(mut command: std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, kept: Vec::new() }
    }

    /// The next event of this name, whatever comes in between.
    fn hears(&mut self, name: &str) -> Value {
        if let Some(at) = self.kept.iter().position(|event| event["event"] == name) {
            return self.kept.remove(at);
        }
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.lines.read_line(&mut line).unwrap() > 0,
                "ended before it said {name}: {said}"
            );
            print!("{line}");
            said += &line;
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if value["event"] == name {
                return value;
            }
            self.kept.push(value);
        }
    }

    /// For good, without a word.
    fn killed(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl World {
    async fn new() -> Self {
        let accounts = NAMES.map(|name| (key(name).address(), GAS_MONEY)).to_vec();
        let config =
            rialto_devchain::Config { accounts, heartbeat_secs: Some(1), ..Default::default() };
        let dev = Devchain::open(config).unwrap();
        let server = serve(dev.clone(), (std::net::Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let rpc = server.url();
        let at = Rpc::Http(rpc.parse().unwrap());
        let params = DeployParams {
            token: None,
            challenge_window: 600,
            answer_window: 600,
            grace: 1200,
            case_bond: 1000,
            court: RULES,
        };
        let deployed = deploy(&at, key("admin"), params).await.unwrap();
        let chain = Chain::connect(ChainConfig::new(at, deployed.market)).await.unwrap();
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            dev,
            chain,
            deployed,
            rpc,
            _server: server,
        };
        for name in ["admin", "requester", "provider"] {
            world.fund(name, DEPOSIT).await;
        }
        world
    }

    async fn fund(&self, name: &str, amount: u128) {
        let sender = self.sender("admin").await;
        let account = key(name).address();
        let to = key("admin").address();
        for (step, call) in [
            ("mint", MarketCall::Mint { to, amount }),
            ("approve", MarketCall::Approve { amount }),
            ("deposit", MarketCall::Deposit { account, amount }),
        ] {
            sender.send(format!("{step}-{name}"), call).await.unwrap();
        }
        sender.stop().await;
    }

    async fn sender(&self, name: &str) -> Sender {
        self.chain.sender_in_memory(key(name)).await.unwrap()
    }

    async fn account(&self, name: &str) -> u128 {
        self.chain.account(key(name).address()).await.unwrap()
    }

    /// A home with somebody's key and this market.
    fn home(&self, name: &str) -> Home {
        let home = Home::new();
        home.locked("correct horse");
        let file = home.secret("key", &format!("{:x}", key(name).to_bytes()));
        home.ok(&["wallet", "import", "--key-file", &file]);
        let (rpc, Deployed { market, court, block, .. }) = (&self.rpc, &self.deployed);
        let text = format!(
            "[market]\nrpc = \"{rpc}\"\naddress = \"{market}\"\ncourt = \"{court}\"\nfirst_block = {block}\n"
        );
        std::fs::write(home.0.path().join("config.toml"), text).unwrap();
        home
    }

    /// Where dossiers are brought.
    fn dossiers(&self) -> PathBuf {
        self.folder.path().join("dossiers")
    }

    /// A provider process that writes dossiers.
    fn provide(&self, home: &Home) -> Running {
        let text =
            "[price]\nfuel = 0.01\n[machine]\nfuel_per_second = 400000000\n[money]\ncoin = 10\n";
        std::fs::write(home.0.path().join("provider.toml"), text).unwrap();
        let dossiers = self.dossiers();
        let dossiers = dossiers.to_str().unwrap();
        Running::of(home.command(&[
            "provide",
            "--cores",
            "1",
            "--memory",
            "1024",
            "--watchtower",
            dossiers,
        ]))
    }

    fn watch(&self, home: &Home, more: &[&str]) -> Running {
        let mut command = home.command(&["watch"]);
        command.arg(self.dossiers()).args(more);
        Running::of(command)
    }

    async fn requester(&self) -> (Requester, Node) {
        let home = self.folder.path().join("requester");
        let node = Node::bind(NetConfig::loopback([9; 32], home.join("blobs"))).await.unwrap();
        let engine = Engine::new(rialto_exec::Config::new(home.join("programs"))).unwrap();
        let mut config = RequesterConfig::new(&home, key("requester"));
        config.patience.idle = 100_000;
        let requester =
            Requester::start(config, self.chain.clone(), node.clone(), engine).await.unwrap();
        (requester, node)
    }

    /// Buys two squares on trust, and goes away; the deal stays open.
    async fn buy(&self) -> std::sync::Arc<JobReport> {
        let (requester, node) = self.requester().await;
        let mut job = Job {
            policy: Policy::Trust,
            min_providers: 1,
            max_providers: 1,
            run_locally: false,
            within: Duration::from_secs(600),
            ..Job::new(Bytes::from_static(TINY), (0..2).map(input).collect())
        };
        job.limits.fuel = 10_000_000;
        let handle = requester.submit(job).await.unwrap();
        let report =
            tokio::time::timeout(Duration::from_secs(300), handle.wait()).await.unwrap().unwrap();
        assert_eq!(report.outcome, Ok(()));
        requester.stop().await;
        node.close().await;
        report
    }

    /// Waits until the one order's dossier is there.
    fn dossier(&self, signed: &SignedTask) -> PathBuf {
        let deal = self.dossiers().join(signed.order.order.value.deal.to_string());
        let path = deal.join(format!("{}.dossier.json", signed.order_hash()));
        for _ in 0..600 {
            if path.exists() && text(&path)["done"].is_object() {
                return path;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no dossier at {}", path.display());
    }

    fn pass_time(&self, seconds: u64) {
        self.dev.handle("evm_increaseTime", json!([seconds])).unwrap();
        self.dev.handle("evm_mine", json!([])).unwrap();
    }

    async fn game(&self) -> GameTale {
        let courts = Courts { known: BTreeSet::from([self.deployed.court]), ..Courts::default() };
        History::read_with(&self.chain, 0, courts, |_| ()).await.unwrap().games().remove(0)
    }

    /// Waits until it is the accuser's turn.
    async fn accusers_turn(&self) -> GameTale {
        for _ in 0..600 {
            let tale = self.game().await;
            if tale.story.view.accusers_turn {
                return tale;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("nobody answered");
    }
}

fn input(n: u64) -> Bytes {
    TaskInput { stdin: n.to_le_bytes().to_vec(), ..TaskInput::default() }.encode().unwrap().into()
}

fn text(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_killed_for_good_in_a_game_wins_through_its_tower() {
    let world = World::new().await;
    let (seller, keeper) = (world.home("provider"), world.home("tower"));
    let mut provider = world.provide(&seller);
    provider.hears("ask_published");
    let report = world.buy().await;
    let signed = signed_tasks(&report, 0).unwrap().remove(0);
    let dossier = world.dossier(&signed);

    let tower_account = key("tower").address().to_string();
    let leave = ["dispute", "delegate", &tower_account, "--until", "30d"];
    assert_eq!(seller.ok(&[&leave[..], &["--explain"]].concat())["sent"], false);
    assert_eq!(
        seller
            .fails(&["dispute", "delegate", &key("provider").address().to_string(), "--revoke"])
            .1,
        "C-DSP-021"
    );
    let given = seller.ok(&leave);
    assert!(given["until"].as_u64().unwrap() > 29 * 86_400, "{given}");

    // A liar accuses; the provider opens its receipt, and is gone.
    let accuser = world.sender("admin").await;
    let court = world.chain.court(world.deployed.court).await.unwrap();
    accuser.accuse("accuse", &court, signed.accusation().unwrap()).await.unwrap();
    provider.hears("game_moved");
    provider.killed();
    let before = world.account("provider").await;
    let order = &signed.order.order.value;
    let limits = TaskLimits {
        seed: task_seed(order.seed, 0),
        fuel: order.fuelLimit,
        out: order.outLimit,
        pages: order.maxPages,
    };
    let replay = Replay::new(TINY, input(0).to_vec(), Vec::new(), limits).unwrap();
    let lie = |n: u8| std::array::from_fn(|part| keccak256([n, part as u8]));
    let play = async |tale: &GameTale, answer, name: &str| {
        let call =
            CourtCall::answer(tale.deal.clone(), order.clone(), &tale.story.view, answer).unwrap();
        accuser.send(name, MarketCall::Court { court: tale.court, call }).await.unwrap();
    };
    let tale = world.accusers_turn().await;
    play(
        &tale,
        Answer::Challenge(Box::new(signed.challenge(&replay, 0, lie(0)).unwrap())),
        "challenge",
    )
    .await;

    let mut tower = world.watch(&keeper, &[]);
    let took = loop {
        let took = tower.hears("took");
        if took["order"] == json!(signed.order_hash()) {
            break took;
        }
    };
    let threat = tower.hears("threatened");
    let (until, acts_at) = (threat["until"].as_u64().unwrap(), threat["acts_at"].as_u64().unwrap());
    let now = world.chain.now().await.unwrap();
    assert!(
        threat["what"] == "turn" && acts_at > now + 200 && acts_at < until,
        "half of the time: {threat}, {now}"
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!world.game().await.story.view.accusers_turn, "it waits for the provider");
    world.pass_time(acts_at - now);
    assert_eq!(tower.hears("acted")["what"], "turn");

    // The tower is killed, too, and goes on.
    tower.killed();
    let tale = world.accusers_turn().await;
    play(&tale, Answer::Move { pick: 0, states: Box::new(lie(1)) }, "move").await;
    let mut tower = world.watch(&keeper, &["--after", "0"]);
    assert_eq!(tower.hears("acted")["what"], "turn");
    // A liar has no end to that.
    world.accusers_turn().await;
    world.pass_time(3600);
    let ended = tower.hears("game_ended");
    assert_eq!(ended["won"], true, "{ended}");
    let bond = court.bond_for(order.fuelLimit).await.unwrap();
    let won = share(bond, COMPENSATION_BPS).unwrap();
    assert_eq!(ended["received"], json!(won as u64));
    assert_eq!(world.account("provider").await, before + won, "it can't be taken by the tower");
    assert_eq!(world.account("tower").await, 0);

    // What was promised can be shown.
    let promise = PathBuf::from(dossier.to_str().unwrap().replace(".dossier.", ".appointment."));
    let promise = promise.to_str().unwrap();
    let verified = Home::new().ok(&["watch", "verify", promise]);
    assert_eq!(verified["tower"].as_str().unwrap().to_lowercase(), tower_account.to_lowercase());
    assert_eq!((&verified["receipt"], &verified["until"]), (&took["receipt"], &took["until"]));
    let mut forged = text(Path::new(promise));
    forged["appointment"]["until"] = json!(u64::MAX);
    let alone = world.folder.path().join("forged.appointment.json");
    std::fs::write(&alone, forged.to_string()).unwrap();
    assert_eq!(Home::new().fails(&["watch", "verify", alone.to_str().unwrap()]).1, "P-TWR-011");
    assert_eq!(Home::new().fails(&["watch", "verify", dossier.to_str().unwrap()]).1, "P-TWR-010");
    accuser.stop().await;
}

/// A copy of a folder of dossiers in which one thing is changed.
fn broken(
    world: &World,
    name: &str,
    dossier: &Path,
    change: impl FnOnce(&mut Value, &Path),
) -> PathBuf {
    let folder = world.folder.path().join(name);
    let deal = dossier.parent().unwrap();
    let copy = folder.join(deal.file_name().unwrap());
    std::fs::create_dir_all(copy.join("parts")).unwrap();
    for part in std::fs::read_dir(deal.join("parts")).unwrap().flatten() {
        std::fs::copy(part.path(), copy.join("parts").join(part.file_name())).unwrap();
    }
    let mut value = text(dossier);
    change(&mut value, &copy);
    if !value.is_null() {
        std::fs::write(copy.join(dossier.file_name().unwrap()), value.to_string()).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tower_alone_answers_a_late_notice_and_a_demand_without_leave_and_takes_no_broken_dossiers()
 {
    let world = World::new().await;
    let (seller, keeper) = (world.home("provider"), world.home("tower"));
    let mut provider = world.provide(&seller);
    provider.hears("ask_published");
    let report = world.buy().await;
    let signed = signed_tasks(&report, 1).unwrap().remove(0);
    let dossier = world.dossier(&signed);
    provider.killed();

    assert_eq!(keeper.fails(&["watch"]), (2, "C-WCH-001".into()));
    let name = dossier.file_name().unwrap().to_owned();
    let cases: Vec<(&str, PathBuf)> = vec![
        (
            "P-DOS-002",
            broken(&world, "no json", &dossier, |it, at| {
                *it = Value::Null;
                std::fs::write(at.join(&name), "{").unwrap();
            }),
        ),
        ("P-DOS-003", broken(&world, "foreign", &dossier, |it, _| it["chain_id"] = json!(1))),
        (
            "P-DOS-004",
            broken(&world, "unsigned", &dossier, |it, _| {
                it["done"]["receipt"]["signature"] = it["order"]["signature"].clone();
            }),
        ),
        (
            "P-DOS-004",
            broken(&world, "other terms", &dossier, |it, _| it["deal"]["salt"] = json!(0)),
        ),
        (
            "P-DOS-005",
            broken(&world, "other end", &dossier, |it, _| {
                it["done"]["results"][0]["exit_code"] = json!(7)
            }),
        ),
        (
            "P-DOS-006",
            broken(&world, "no part", &dossier, |_, at| {
                std::fs::remove_dir_all(at.join("parts")).unwrap()
            }),
        ),
        (
            "P-DOS-007",
            broken(&world, "other program", &dossier, |it, _| {
                it["done"]["program"] = it["done"]["inputs"].clone();
            }),
        ),
        ("P-DOS-008", broken(&world, "nothing done", &dossier, |it, _| it["done"] = Value::Null)),
    ];
    for (code, folder) in cases {
        let output = keeper.run(&["watch", folder.to_str().unwrap(), "--once"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{code}: {said}");
        let refused: Vec<Value> =
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let refused: Vec<_> = refused.iter().filter(|event| event["event"] == "refused").collect();
        assert!(
            refused.len() == 1 && refused[0]["code"] == code,
            "{code} at {}: {said}",
            folder.display()
        );
        assert!(!said.contains("took"), "{said}");
    }

    let mut tower = world.watch(&keeper, &["--after", "0"]);
    let warned = tower.hears("unauthorised");
    assert!(warned["why"].as_str().unwrap().contains("[P-TWR-002]"), "{warned}");
    assert_eq!(tower.hears("took")["until"], Value::Null);

    // The requester has the receipt, and quarrels all the same.
    let requester = world.sender("requester").await;
    let (deal, order) = (signed.deal.clone(), signed.order.order.value.clone());
    let (ack, receipt) = (signed.order.ack.clone().unwrap(), signed.order.receipt.clone().unwrap());
    let now = world.chain.now().await.unwrap();
    world.pass_time(ack.value.dueBy.saturating_sub(now) + 1);
    let before = world.account("provider").await;
    let late = MarketCall::Late {
        deal: deal.clone(),
        order: order.clone(),
        ack: ack.value,
        signature: ack.signature,
    };
    requester.send("late", late).await.unwrap();
    assert_eq!(tower.hears("acted")["what"], "answer");
    let (value, signature) = (receipt.value, receipt.signature);
    let demand =
        MarketCall::Demand { deal, order, receipt: value, signature, task: signed.index() };
    requester.send("demand", demand).await.unwrap();
    assert_eq!(tower.hears("acted")["what"], "reveal");
    let state = world.chain.deal_state(signed.order.order.value.deal).await.unwrap();
    assert_eq!((state.status, state.lates, state.challenges), (DealStatus::Open, 0, 0));
    assert_eq!(world.account("provider").await, before + 2 * 1000, "both bonds are the provider's");
    let promise = dossier.to_str().unwrap().replace(".dossier.", ".appointment.");
    assert!(!Path::new(&promise).exists(), "without leave it promises nothing");
    requester.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_audits_a_liar_and_gets_the_bounty_to_the_base_unit() {
    let world = World::new().await;
    let stranger = world.home("stranger");
    let home = world.folder.path().join("liar");
    let node = Node::bind(NetConfig::loopback([7; 32], home.join("blobs"))).await.unwrap();
    let engine = Engine::new(rialto_exec::Config::new(home.join("programs"))).unwrap();
    let mut config = ProviderConfig::new(&home, key("provider"));
    config.asks.price = Price::Constant(10_000_000_000);
    config.asks.court = world.deployed.court;
    config.announce = true;
    config.first_block = world.deployed.block;
    let shell = Arc::new(Fault::CorruptOutput { every: 2 });
    config.watchtower = Some(world.dossiers());
    let begin = |config, node, engine| {
        Provider::start_in(shell.clone(), config, world.chain.clone(), node, engine)
    };
    let liar = begin(config.clone(), node.clone(), engine.clone()).await.unwrap();
    let report = world.buy().await;
    let signed = signed_tasks(&report, 0).unwrap().remove(0);
    let written = std::fs::read(world.dossier(&signed)).unwrap();
    // What is missing is written at the next start.
    liar.stop().await;
    std::fs::remove_dir_all(world.dossiers()).unwrap();
    let liar = begin(config, node.clone(), engine).await.unwrap();
    let dossier = world.dossier(&signed);
    assert!(std::fs::read(&dossier).unwrap() == written);

    let folder = world.dossiers();
    let audit = ["watch", "--audit", folder.to_str().unwrap()];
    let looked = stranger.run(&[&audit[..], &["--explain"]].concat());
    let said = String::from_utf8(looked.stdout).unwrap();
    assert_eq!(looked.status.code(), Some(1), "{said}");
    let prospect: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let court = world.chain.court(world.deployed.court).await.unwrap();
    let bond = court.bond_for(signed.order.order.value.fuelLimit).await.unwrap();
    let bounty = share(signed.deal.collateral, BOUNTY_BPS).unwrap();
    assert!(bounty > 0, "{:?}", signed.deal);
    assert_eq!(
        (&prospect["event"], &prospect["bond"], &prospect["reward"], &prospect["balance"]),
        (&json!("prospect"), &json!(bond as u64), &json!(bounty as u64), &json!(0)),
        "{said}"
    );
    let stuck = stranger.run(&[&audit[..], &["--once"]].concat());
    let said = String::from_utf8(stuck.stdout).unwrap();
    assert!(
        stuck.status.code() == Some(5) && said.contains(&format!("deposit {bond} more")),
        "{said}"
    );

    world.fund("stranger", bond).await;
    let (requester, provider) = (world.account("requester").await, world.account("provider").await);
    let done = stranger.run(&[&audit[..], &["--once"]].concat());
    let said = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(1), "a receipt was wrong: {said}");
    let ended = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ended = ended.filter(|event| event["event"] == "game_ended").collect::<Vec<_>>();
    assert!(
        ended.len() == 1 && ended[0]["won"] == true && ended[0]["bounty"] == json!(bounty as u64),
        "{said}"
    );
    assert_eq!(world.account("stranger").await, bond + bounty);
    assert_eq!(world.account("provider").await, provider);
    let state = world.chain.deal_state(struct_hash(&signed.deal)).await.unwrap();
    assert_eq!(state.status, DealStatus::Closed);
    let compensation = share(signed.deal.collateral, COMPENSATION_BPS).unwrap() - bounty;
    let rest = signed.deal.budget - state.paid;
    assert_eq!(world.account("requester").await, requester + compensation + rest);
    assert!(
        world
            .game()
            .await
            .story
            .end
            .is_some_and(|end| end.verdict == rialto_protocol::court::Verdict::Step),
        "it was played to a step"
    );
    // The deal is over: its dossiers go.
    for _ in 0..300 {
        if !dossier.parent().unwrap().exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!dossier.parent().unwrap().exists());
    liar.stop().await;
    node.close().await;
}
