//! `rialto replay` and `rialto dispute` as real processes: a job whose provider signed a wrong
//! result, on a chain of the test's own.
#![allow(clippy::unwrap_used)]

#[path = "../../chain/tests/support/mod.rs"]
mod chain;
mod home;
mod world;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use home::Home;
use rialto_chain::{CourtCall, Courts, DealStatus, FromLog, MarketCall, MarketEvent};
use rialto_client::{GameTale, History, Replay};
use rialto_machine::{TaskLimits, input::TaskInput};
use rialto_protocol::{
    B256, Bytes,
    court::{Answer, COMPENSATION_BPS, Question},
    fault::FaultProof,
    pricing,
    receipt::{Halted, SumNode, SumTree, inputs_root, task_seed},
    types::{Deal, Order, Receipt, struct_hash},
    wire::Signed,
};
use rialto_requester::{Evidence, JobId, JobReport, OrderEvidence};
use serde_json::{Value, json};
use world::World;

const FUEL: u64 = 10_000;
const SEED: u64 = 3;

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
}

#[test]
fn a_program_is_traced_and_its_steps_are_shown_and_proven() {
    let home = Home::new();
    let program = example("tiny/tiny.wasm");
    let program = program.to_str().unwrap();
    let whole = home.ok(&["replay", program]);
    let ran = &home.ok(&["check", program, "--run"])["run"];
    assert_eq!(
        (&whole["fuel"], &whole["out_hash"], &whole["status"]),
        (&ran["fuel"], &ran["out_hash"], &json!("finished"))
    );
    let steps = whole["steps"].as_u64().unwrap();
    assert!(steps > 100 && whole["steps_per_fuel"].as_f64().unwrap() > 0.1, "{whole}");

    let file = home.0.path().join("step.json");
    let file = file.to_str().unwrap();
    let args = ["replay", program, "--step", "50", "--around", "2", "--prove", file];
    let shown = home.ok(&args);
    let told = shown["steps"].as_array().unwrap();
    assert_eq!(
        told.iter().map(|step| step["step"].as_u64().unwrap()).collect::<Vec<_>>(),
        [48, 49, 50, 51, 52]
    );
    assert!(
        told.windows(2).all(|pair| pair[0]["next"] == pair[1]["state"]),
        "one leads to the next"
    );
    assert_eq!(
        (&shown["proof"]["judged"], &shown["proof"]["contract"]),
        (&json!("right"), &Value::Null)
    );
    let proof: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!((&proof["state"], &proof["next"]), (&told[2]["state"], &told[2]["next"]));
    let state: B256 = proof["state"].as_str().unwrap().parse().unwrap();
    let bytes: Bytes = proof["proof"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        rialto_machine::judge(state, &bytes).unwrap().to_string(),
        proof["next"].as_str().unwrap()
    );

    // The last step halts, and whatever comes after is that halted state.
    let last = home.ok(&["replay", program, "--step", &(steps - 1).to_string()]);
    assert_eq!(
        (&last["steps"][0]["next"], &last["steps"][0]["halted"]),
        (&whole["halted"], &json!("finished with exit code 0"))
    );
    let beyond = home.ok(&["replay", program, "--step", &(steps + 7).to_string(), "--prove", file]);
    assert_eq!(
        (&beyond["steps"][0]["state"], &beyond["steps"][0]["next"]),
        (&whole["halted"], &whole["halted"])
    );
    // People see what a step touches.
    let mut human = std::process::Command::new(env!("CARGO_BIN_EXE_rialto"));
    human.args(["replay", program, "--step", "50"]).stdin(std::process::Stdio::null());
    let human = String::from_utf8(human.output().unwrap().stdout).unwrap();
    assert!(
        human.contains("state before")
            && human.contains("fuel left")
            && human.contains("state after"),
        "{human}"
    );

    assert_eq!(home.fails(&["replay", program, "3"]), (2, "C-RPL-001".into()));
    assert_eq!(home.fails(&["replay", "3f2a"]), (2, "C-RPL-001".into()), "which task?");
    assert_eq!(home.fails(&["replay", "3f2a", "0"]), (2, "C-JOB-012".into()));
    assert_eq!(home.fails(&["dispute"]), (3, "C-MKT-001".into()));
}

/// A job of two tasks, of which the provider says something else about the second.
struct Job {
    id: String,
    deal: Deal,
    order: Order,
    ends: Vec<Halted>,
    replay: Replay,
    claimed: Halted,
}

impl World {
    async fn open(&self, salt: u64) -> Deal {
        let ask = rialto_protocol::types::Ask {
            court: self.deployed.court,
            ..chain::ask(&self.chain, salt).await
        };
        let signature = chain::signed(&self.chain, "provider", &ask);
        let (key, opened_at) = (chain::key("requester").address(), self.chain.now().await.unwrap());
        let terms = rialto_chain::Terms {
            key,
            budget: 100_000,
            opened_at,
            duration: 3600,
            max_price: 1000,
            salt,
        };
        let terms = rialto_chain::OpenArgs { ask, signature, terms };
        let sender = self.chain.sender_in_memory(chain::key("requester")).await.unwrap();
        let opened = sender.send("open", MarketCall::Open(vec![terms])).await.unwrap();
        let deal = opened.logs.iter().find_map(|log| match MarketEvent::decode(log) {
            Some(MarketEvent::DealOpened { deal, .. }) => Some(deal),
            _ => None,
        });
        deal.unwrap()
    }

    /// What a requester leaves of an ended job in its folder.
    async fn job(&self, id: u64) -> Job {
        let (deal, wasm) = (self.open(id).await, std::fs::read(example("tiny/tiny.wasm")).unwrap());
        let input = |n: u64| {
            TaskInput { stdin: n.to_le_bytes().to_vec(), ..TaskInput::default() }.encode().unwrap()
        };
        let tasks = [input(3), input(1 << 20)];
        let replays: Vec<Replay> = (0..)
            .zip(&tasks)
            .map(|(task, input)| {
                let limits =
                    TaskLimits { seed: task_seed(SEED, task), fuel: FUEL, out: 1_000, pages: 16 };
                Replay::new(&wasm, input.clone(), Vec::new(), limits).unwrap()
            })
            .collect();
        let inputs: Vec<B256> = replays.iter().map(|replay| replay.input.root()).collect();
        let order = Order {
            deal: struct_hash(&deal),
            program: replays[0].program.parts.root(),
            inputs: inputs_root(&inputs),
            tasks: 2,
            fuelLimit: FUEL,
            outLimit: 1_000,
            maxPages: 16,
            seed: SEED,
            dueBy: u64::MAX,
            ..Order::default()
        };
        let mut results: Vec<Halted> = replays
            .iter()
            .map(|replay| {
                let mut tracer = replay.tracer();
                tracer.finish(replay.most_steps()).unwrap();
                *tracer.halted().unwrap()
            })
            .collect();
        results[1].exit_code += 1;
        let tree = SumTree::new(results.iter().map(|end| (end.hash(), end.fuel_used(FUEL)))).root();
        let fee = pricing::order_fee(&deal, tree.fuel, 2).unwrap();
        let receipt = Receipt { order: struct_hash(&order), root: tree.hash, fuel: tree.fuel, fee };
        let (claimed, ends, signed) = (results[1], results.clone(), order.clone());
        let evidence = Evidence {
            chain_id: self.chain.chain_id(),
            market: self.chain.market(),
            program: order.program,
            inputs,
            deals: vec![deal.clone()],
            orders: vec![OrderEvidence {
                first: 0,
                order: Signed {
                    signature: chain::signed(&self.chain, "requester", &order),
                    value: order,
                },
                ack: None,
                receipt: Some(Signed {
                    signature: chain::signed(&self.chain, "provider", &receipt),
                    value: receipt,
                }),
                results,
            }],
            vouchers: Vec::new(),
        };
        let job = JobId(id);
        let report = JobReport {
            job,
            name: format!("job-{id}"),
            outcome: Ok(()),
            tasks: vec![None, None],
            providers: Vec::new(),
            requester_paid: 0,
            deals: 1,
            transactions: Vec::new(),
            progress: Default::default(),
            checks: Default::default(),
            disputes: Vec::new(),
            evidence,
            folder: PathBuf::new(),
        };
        let home = rialto_client::Home::new(self.home.0.path());
        let account = chain::key("requester").address();
        let folder = home
            .requester(self.chain.chain_id(), self.chain.market(), account)
            .join("jobs")
            .join(job.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let tasks: Vec<Bytes> = tasks.into_iter().map(Bytes::from).collect();
        std::fs::write(folder.join("program.wasm"), &wasm).unwrap();
        std::fs::write(folder.join("tasks.bin"), postcard::to_stdvec(&tasks).unwrap()).unwrap();
        std::fs::write(folder.join("report.bin"), postcard::to_stdvec(&report).unwrap()).unwrap();
        let replay = replays[1].clone();
        Job { id: job.to_string(), deal, order: signed, ends, replay, claimed }
    }

    async fn game(&self, id: &Value) -> GameTale {
        let courts = Courts { known: BTreeSet::from([self.deployed.court]), ..Courts::default() };
        let history = History::read_with(&self.chain, 0, courts, |_| ()).await.unwrap();
        let mut games = history.games();
        games.retain(|game| game.id.to_string() == id.as_str().unwrap());
        games.remove(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_result_is_accused_and_the_game_is_played_by_hand() {
    let world = World::new().await;
    let job = world.job(0xabc1).await;
    let id = job.id.as_str();

    let right = world.ok(&["replay", id, "0"]);
    assert_eq!(
        (&right["right"], &right["signed"][0]["equal"]),
        (&json!(true), &json!(true)),
        "{right}"
    );
    let wrong = world.home.run(&world.args(&["replay", "job-43969", "1"]));
    assert_eq!(wrong.status.code(), Some(1), "by its name, too");
    let wrong: Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!(
        (&wrong["right"], &wrong["signed"][0]["signed"]),
        (&json!(false), &json!(job.claimed.hash())),
        "{wrong}"
    );
    assert_eq!(world.fails(&["replay", id, "2"]), (2, "C-RPL-002".into()));
    let file = world.home.0.path().join("proof.json");
    let proven = world.ok(&["replay", id, "1", "--step", "100", "--prove", file.to_str().unwrap()]);
    assert!(proven["proof"]["contract"].is_string(), "the contract was asked: {proven}");

    assert_eq!(world.ok(&["dispute"])["games"], json!([]));
    assert_eq!(world.fails(&["dispute", "show", "0x1"]), (2, "C-DSP-001".into()));
    assert_eq!(world.fails(&["dispute", "show", "0x12345678"]), (2, "C-DSP-002".into()));
    assert_eq!(
        world.fails(&["dispute", "accuse", id, "0"]),
        (1, "C-DSP-006".into()),
        "it is right"
    );
    assert_eq!(
        world.fails(&["dispute", "accuse", id, "1"]),
        (2, "C-DSP-010".into()),
        "nobody said yes"
    );
    let nobody = format!("{:?}", world.deployed.court);
    assert_eq!(
        world.fails(&["dispute", "accuse", id, "1", "--provider", &nobody]),
        (1, "C-DSP-004".into())
    );
    let explained = world.ok(&["dispute", "accuse", id, "1", "--explain"]);
    assert_eq!(
        (&explained["sent"], explained["transactions"].as_array().unwrap().len()),
        (&json!(false), 2),
        "{explained}"
    );
    assert!(world.game_count().await == 0, "nothing was sent");

    let accused = world.ok(&["dispute", "accuse", id, "1", "--yes"]);
    let game = &accused["game"];
    assert_eq!((&accused["wrong"], &accused["task"]), (&json!(true), &json!(1)));
    assert_eq!(world.fails(&["dispute", "accuse", id, "1", "--yes"]), (1, "C-DSP-011".into()));
    let name = &game.as_str().unwrap()[..12];
    assert_eq!(
        world.fails(&["dispute", "move", name]),
        (1, "C-DSP-013".into()),
        "it is the provider's turn"
    );
    assert_eq!(world.fails(&["dispute", "timeout", name]), (1, "C-DSP-014".into()));

    // The provider sticks to what it signed.
    let provider = world.chain.sender_in_memory(chain::key("provider")).await.unwrap();
    let mut liar = job.replay.player().claiming(&job.claimed);
    loop {
        let tale = world.game(game).await;
        if !tale.is_open() {
            break;
        }
        let view = &tale.story.view;
        if view.accusers_turn {
            world.ok(&["dispute", "move", name, "--explain"]);
            world.ok(&["dispute", "move", name]);
            continue;
        }
        let answer = match &view.question {
            Question::Run { position, level, segment, .. } => {
                liar.answer(*position, *level, segment)
            }
            Question::Node { height, place } => Answer::Unfold {
                nodes: SumTree::over(&job.ends, FUEL).unfold((*height).into(), *place).unwrap(),
            },
            Question::Nodes { .. } => panic!("not the provider's turn"),
        };
        let call = CourtCall::answer(tale.deal.clone(), job.order.clone(), view, answer).unwrap();
        let call = MarketCall::Court { court: tale.court, call };
        provider.send(format!("move-{}", view.turn()), call).await.unwrap();
    }
    let listed = &world.ok(&["dispute"])["games"][0];
    assert_eq!(
        (&listed["role"], &listed["winner"], &listed["ended"]),
        (&json!("accuser"), &json!("accuser"), &json!("by a step"))
    );
    let shown = world.ok(&["dispute", "show", name]);
    let played = shown["played"].as_array().unwrap();
    assert_eq!(
        played.len() as u64,
        2 + shown["moves"].as_u64().unwrap(),
        "accusation, turns, step: {shown}"
    );
    let kinds: Vec<_> = played.iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(
        kinds[..3],
        ["accuse", "unfold", "challenge"],
        "one group of leaves: nothing to pick"
    );
    assert_eq!((&shown["task"], &shown["tasks"]), (&json!(1), &json!(2)));
    assert!(played.iter().all(|row| row["gas"].as_u64().unwrap() > 21_000));
    assert_eq!(shown["step"]["claimed"], json!(job.claimed.hash()), "the lie was about the end");
    assert_eq!(shown["step"]["next"], wrong["halted"]);
    assert!(shown["end"]["slashed"] == true && shown["burned"].as_u64().unwrap() > 0, "{shown}");
    assert_eq!(
        world.chain.deal_state(struct_hash(&job.deal)).await.unwrap().status,
        DealStatus::Closed
    );
    assert_eq!(world.fails(&["dispute", "move", name]), (1, "C-DSP-012".into()));
    for (args, said) in
        [(&["dispute"][..], "won by the accuser"), (&["dispute", "show", name][..], "claimed")]
    {
        let mut human = std::process::Command::new(env!("CARGO_BIN_EXE_rialto"));
        human.arg("--home").arg(world.home.0.path()).args(world.args(args));
        let text = String::from_utf8(human.output().unwrap().stdout).unwrap();
        assert!(text.contains(said), "{text}");
    }
}

impl World {
    async fn game_count(&self) -> usize {
        let courts = Courts { known: BTreeSet::from([self.deployed.court]), ..Courts::default() };
        History::read_with(&self.chain, 0, courts, |_| ()).await.unwrap().games().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_ends_by_time_and_a_right_result_is_accused_only_by_force() {
    let world = World::new().await;
    let job = world.job(0xabc2).await;
    let forced = world.ok(&["dispute", "accuse", &job.id, "0", "--force", "--yes"]);
    assert_eq!(forced["wrong"], false);
    let name = &forced["game"].as_str().unwrap()[..12];
    // The provider's own commands see the game, but have no inputs of it here.
    let other = Home::new();
    let key = other.secret("key", &format!("{:x}", chain::key("provider").to_bytes()));
    other.ok(&["wallet", "import", "--key-file", &key, "--passphrase-file", &world.pass]);
    let place = ["--rpc", &world.place[0], "--market", &world.place[1]];
    assert_eq!(other.ok(&[&place[..], &["dispute"]].concat())["games"][0]["role"], "provider");
    assert_eq!(
        other.fails(&[&place[..], &["dispute", "move", name]].concat()),
        (1, "C-DSP-015".into())
    );

    world.pass_time(700);
    assert!(
        world.ok(&["dispute", "show", name])["what_to_do"]
            .as_str()
            .unwrap()
            .contains("dispute timeout")
    );
    assert_eq!(world.ok(&["dispute", "timeout", name, "--explain"])["sent"], false);
    let ended = world.ok(&["dispute", "timeout", name]);
    assert_eq!(
        (&ended["open"], &ended["standing"]),
        (&json!(false), &json!("ended by time, won by the accuser"))
    );
    assert_eq!(world.fails(&["dispute", "timeout", name]), (1, "C-DSP-012".into()));
    assert_eq!(
        world.fails(&["dispute", "accuse", &job.id, "1", "--yes"]),
        (1, "C-DSP-005".into()),
        "the deal is over"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_was_convicted_without_a_game_is_listed() {
    let world = World::new().await;
    let Job { deal, order, ends, .. } = world.job(0xabc3).await;
    let tree = SumTree::over(&ends, FUEL).root();
    let receipt =
        Receipt { order: struct_hash(&order), root: tree.hash, fuel: tree.fuel + 1, fee: 0 };
    let signature = chain::signed(&world.chain, "provider", &receipt);
    let proof = FaultProof::find(SumNode { fuel: receipt.fuel, ..tree }, &ends, FUEL).unwrap();
    let hash = struct_hash(&receipt);
    let call = CourtCall::convict(
        rialto_chain::Signed { deal: deal.clone(), order, receipt, signature },
        proof,
    );
    let sender = world.chain.sender_in_memory(chain::key("requester")).await.unwrap();
    sender.send("convict", MarketCall::Court { court: deal.court, call }).await.unwrap();
    sender.stop().await;
    let listed = world.ok(&["dispute"]);
    let one = &listed["convictions"][0];
    assert_eq!(
        (&one["receipt"], &one["fault"], &listed["games"]),
        (&json!(hash), &json!("sum"), &json!([]))
    );
    assert_eq!(
        one["to_requester"],
        json!(pricing::share(deal.collateral, COMPENSATION_BPS).unwrap() as u64)
    );
    let mut human = std::process::Command::new(env!("CARGO_BIN_EXE_rialto"));
    human.arg("--home").arg(world.home.0.path()).args(world.args(&["dispute"]));
    let text = String::from_utf8(human.output().unwrap().stdout).unwrap();
    println!("{text}");
    assert!(
        text.contains("without a game") && text.contains("fuel that does not add up"),
        "{text}"
    );
}
