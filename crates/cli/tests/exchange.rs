//! `rialto market`, `deals` and `deploy` as real processes: the local market, and a chain of the
//! test's own whose time it moves.
#![allow(clippy::unwrap_used)]

#[path = "../../devchain/tests/anvil/mod.rs"]
mod anvil;
#[path = "../../chain/tests/support/mod.rs"]
mod chain;
mod home;
#[path = "../../chain/tests/tls/mod.rs"]
mod tls;
mod world;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use home::{Home, kill};
use rialto_chain::{DealStatus, FromLog, MarketCall};
use rialto_devchain::serve;
use rialto_protocol::{
    B256, pricing,
    types::{Order, Receipt, struct_hash},
};
use serde_json::{Value, json};
use world::World;

#[test]
fn the_order_book_and_the_price_of_fuel() {
    let home = Home::new();
    assert_eq!(home.fails(&["market"]), (3, "C-MKT-001".into()));
    let court = home.ok(&["up", "--detach", "--providers", "3"])["up"]["court"].clone();
    assert!(court.is_string());
    let before = home.ok(&["market"]);
    let prices = |shown: &Value| -> Vec<u64> {
        shown["asks"].as_array().unwrap().iter().map(|ask| ask["price"].as_u64().unwrap()).collect()
    };
    assert_eq!(prices(&before), [120_000, 135_000, 150_000], "the cheapest first");
    let first = &before["asks"][0];
    assert_eq!((&first["used"], &first["owner"]), (&0.into(), &first["ask"]["provider"]));
    assert_eq!(first["ask"]["court"], court);
    assert!(
        first["ask"]["to"].as_u64() > before["at"].as_u64()
            && first["deposit"].as_u64().unwrap() > 0
    );
    assert_eq!(before["history"], json!([]));
    assert_eq!(home.ok(&["deals"])["deals"], json!([]));

    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pricing/pricing.wasm");
    let job = home.0.path().join("job.toml");
    let text = format!(
        "program = {program:?}\nargs = [\"100\", \"{{n}}\", \"0.03\", \"0.2\", \"1\", \"1000\", \"7\"]\nbudget = 5\nverify = {{ replicas = 2 }}\n[tasks]\nrange = \"90..92\"\n"
    );
    std::fs::write(&job, text).unwrap();
    let explained = home.ok(&["run", job.to_str().unwrap(), "--explain"]);
    assert!(
        explained["sent"] == false && explained["opening"]["gas"].as_u64().unwrap() > 100_000,
        "{explained}"
    );
    let would_open = explained["deals"].as_array().unwrap();
    assert!(
        would_open.len() >= 2
            && would_open.iter().all(|deal| deal["collateral"].as_u64().unwrap() > 0)
    );
    let selling = home.ok(&["provide", "--explain"]);
    assert!(
        selling["sent"] == false && selling["announce"]["gas"].as_u64().unwrap() > 21_000,
        "{selling}"
    );
    assert_eq!(
        (&selling["deposit"], &selling["collateral"]["smallest"]),
        (&"1000000000".into(), &"2000".into())
    );
    assert_eq!(selling["court"], court, "the market's own, unless told otherwise");
    let named = |court: &str| {
        std::fs::write(
            home.0.path().join("provider.toml"),
            format!("[deal]\ncourt = \"{court}\"\n"),
        )
        .unwrap();
    };
    named("none");
    assert_eq!(
        home.ok(&["provide", "--explain"])["court"],
        "0x0000000000000000000000000000000000000000"
    );
    named(first["ask"]["provider"].as_str().unwrap());
    assert_eq!(home.fails(&["provide", "--explain"]), (2, "P-CFG-008".into()), "nothing is there");
    named(home.ok(&["config", "show"])["market"].as_str().unwrap());
    assert_eq!(home.fails(&["provide", "--explain"]), (2, "P-CFG-008".into()), "it is no court");
    std::fs::remove_file(home.0.path().join("provider.toml")).unwrap();
    assert_eq!(home.ok(&["wallet", "balance"])["market"], "1000000000", "nothing was sent");
    assert_eq!(home.ok(&["market"])["history"], json!([]));
    let bought = home.ok(&["run", job.to_str().unwrap()]);
    assert_eq!(bought["done"], true);

    let after = home.ok(&["market"]);
    let history = after["history"].as_array().unwrap();
    assert!(
        history.len() >= 2
            && history.iter().all(|point| point["price"].as_u64().unwrap() >= 120_000),
        "{after}"
    );
    let index = after["index"].as_array().unwrap();
    assert!(
        !index.is_empty() && (120_000..=150_000).contains(&index[0][1].as_u64().unwrap()),
        "{after}"
    );
    let all = home.ok(&["deals", "list", "--all"]);
    let deals = all["deals"].as_array().unwrap();
    assert_eq!(deals.len(), history.len());
    assert!(
        deals
            .iter()
            .all(|deal| deal["role"] == "requester" && deal["deal"]["price"].as_u64().is_some())
    );
    assert!(deals.iter().all(|deal| deal["deal"]["court"] == court), "pinned at open");

    // The books: what came in, what was bound and came back, what was paid. They end with what the
    // contract says.
    home.ok(&["jobs", "stop"]);
    let books = home.ok(&["deals", "export"]);
    let movements = books["movements"].as_array().unwrap();
    let sum = |what: &str, key: &str| -> i64 {
        movements
            .iter()
            .filter(|one| one["what"] == what)
            .map(|one| one[key].as_i64().unwrap())
            .sum()
    };
    assert_eq!(
        (movements[0]["what"].as_str(), sum("deposit", "free")),
        (Some("deposit"), 1_000_000_000)
    );
    assert_eq!(
        (-sum("budget", "free"), sum("budget", "bound")),
        (sum("budget", "bound"), -sum("budget", "free"))
    );
    let cost: i64 = movements
        .iter()
        .map(|one| one["free"].as_i64().unwrap() + one["bound"].as_i64().unwrap())
        .sum();
    assert_eq!(1_000_000_000 - cost, -sum("payment", "bound"), "what is gone was paid: {books}");
    assert_eq!(books["balance"].as_i64().unwrap() + books["locked"].as_i64().unwrap(), cost);
    assert_eq!(
        books["balance"].to_string(),
        home.ok(&["wallet", "balance"])["market"].as_str().unwrap()
    );
    let file = home.0.path().join("books.csv");
    let name = file.to_str().unwrap();
    assert_eq!(home.ok(&["deals", "export", name])["movements"], movements.len());
    let table = std::fs::read_to_string(&file).unwrap();
    assert_eq!(table.lines().count(), movements.len() + 1);
    assert!(table.lines().nth(1).unwrap().contains(",deposit,,"), "{table}");
    assert_eq!(home.ok(&["deals", "export", name, "--since", "9999-01-01"])["movements"], 0);
    assert_eq!(
        home.ok(&["deals", "export", name, "--until", "9999-01-01"])["movements"],
        movements.len()
    );

    // People see a plot; a watch goes on until told to stop.
    let mut watch = Command::new(env!("CARGO_BIN_EXE_rialto"))
        .arg("--home")
        .arg(home.0.path())
        .args(["market", "--watch", "--every", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(
        (&mut seen).filter(|line| line.contains("on chain 31337")).take(2).count(),
        2,
        "it looks again"
    );
    assert!(seen.any(|line| line.contains('┤') && line.contains("tUSD")));
    assert!(
        Command::new("kill").args(["-INT", &watch.id().to_string()]).status().unwrap().success()
    );
    seen.for_each(drop);
    assert_eq!(watch.wait().unwrap().code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_whose_provider_is_gone_is_closed() {
    let world = World::new().await;
    let chain = &world.chain;
    let args = chain::open(chain, 1_000, 1).await;
    let sender = chain.sender_in_memory(chain::key("requester")).await.unwrap();
    let opened = sender.send("open", MarketCall::Open(vec![args])).await.unwrap();
    let deal = opened.logs.iter().find_map(|log| match rialto_chain::MarketEvent::decode(log) {
        Some(rialto_chain::MarketEvent::DealOpened { deal, .. }) => Some(deal),
        _ => None,
    });
    let deal = deal.unwrap();
    let id = struct_hash(&deal);
    // The provider says it is owed something, and then is never seen again.
    let order = Order { deal: id, tasks: 1, fuelLimit: 1_000, dueBy: u64::MAX, ..Order::default() };
    let fee = pricing::order_fee(&deal, 7, 1).unwrap();
    let receipt = Receipt { order: struct_hash(&order), root: B256::repeat_byte(1), fuel: 7, fee };
    let signature = chain::signed(chain, "requester", &order);
    let claim = MarketCall::Claim { deal: deal.clone(), order, signature, receipt };
    let provider = chain.sender_in_memory(chain::key("provider")).await.unwrap();
    provider.send("claim", claim).await.unwrap();

    let name = &id.to_string()[..12];
    let listed = &world.ok(&["deals"])["deals"][0];
    assert_eq!(
        (&listed["role"], &listed["phase"], &listed["paid"]),
        (&"requester".into(), &"open".into(), &0.into())
    );
    assert_eq!(
        (&listed["cases"][0]["kind"], &listed["deal"]["budget"]),
        (&"claim".into(), &1_000.into())
    );
    assert_eq!(world.fails(&["deals", "close", name]), (1, "C-DEAL-004".into()), "it is open");
    assert_eq!(world.fails(&["deals", "show", "0x12"]), (2, "C-DEAL-001".into()));
    assert_eq!(world.fails(&["deals", "show", "0x12345678"]), (2, "C-DEAL-002".into()));
    // The other side sees the same deal, from where it stands.
    let other = Home::new();
    let key = other.secret("key", &format!("{:x}", chain::key("provider").to_bytes()));
    other.ok(&["wallet", "import", "--key-file", &key, "--passphrase-file", &world.pass]);
    let sold =
        &other.ok(&["--rpc", &world.place[0], "--market", &world.place[1], "deals"])["deals"][0];
    assert_eq!((&sold["id"], &sold["role"]), (&listed["id"], &"provider".into()));
    assert!(sold["what_to_do"].as_str().unwrap().contains("rialto provide"), "{sold}");
    world.pass_time(3_600);
    assert_eq!(world.ok(&["deals", "show", name])["phase"], "grace");
    world.pass_time(1_200);

    let shown = world.ok(&["deals", "show", name]);
    assert_eq!(shown["phase"], "due");
    assert!(shown["what_to_do"].as_str().unwrap().contains("rialto deals close"), "{shown}");
    let explained = world.ok(&["deals", "close", name, "--explain"]);
    assert!(
        explained["sent"] == false && explained["gas"].as_u64().unwrap() > 21_000,
        "{explained}"
    );
    assert_eq!(explained["transactions"].as_array().unwrap().len(), 2, "settle, then close");
    assert_eq!(chain.deal_state(id).await.unwrap().status, DealStatus::Open);
    let closed = world.ok(&["deals", "close", name]);
    assert_eq!(
        (&closed["closed"], closed["steps"].as_array().unwrap().len()),
        (&true.into(), 2),
        "{closed}"
    );
    assert_eq!(chain.deal_state(id).await.unwrap().status, DealStatus::Closed);
    let account = chain.account(chain::key("requester").address()).await.unwrap();
    assert_eq!(account, 10_000_000 - fee, "what is not owed comes back");
    assert_eq!(world.fails(&["deals", "close", name]), (1, "C-DEAL-005".into()));
    assert_eq!(world.ok(&["deals"])["deals"], json!([]));
    let over = &world.ok(&["deals", "list", "--all"])["deals"][0];
    assert_eq!((&over["ended"], &over["paid"]), (&"expired".into(), &(fee as u64).into()));

    // An imitation that answers alike, and a chain eighty minutes ahead of this clock.
    let code = chain::control(&world.dev, "eth_getCode", json!([world.place[1], "latest"]));
    let code = code.as_str().unwrap();
    let last = if code.ends_with('0') { '1' } else { '0' };
    let imitation = format!("{}{last}", &code[..code.len() - 1]);
    assert!(chain.is_known_code().await.unwrap());
    chain::control(&world.dev, "anvil_setCode", json!([world.place[1], imitation]));
    let output = world.home.run(&world.args(&["doctor"]));
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed =
        report["checks"].as_array().unwrap().iter().filter(|check| check["state"] == "failed");
    let failed: Vec<&str> = failed.map(|check| check["code"].as_str().unwrap()).collect();
    assert_eq!(failed, ["C-DOC-010", "C-DOC-011"], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_is_deployed_once_however_often_it_is_killed() {
    let dev = chain::devchain(&["deployer"]);
    let server = serve(dev.clone(), (std::net::Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let home = Home::new();
    let pass = home.secret("pass", "correct horse\n");
    let key = home.secret("key", &format!("{:x}", chain::key("deployer").to_bytes()));
    home.ok(&["wallet", "import", "--key-file", &key, "--passphrase-file", &pass]);
    let url = server.url();
    let deploy = ["--rpc", &url, "--passphrase-file", &pass, "deploy", "--test-token"];
    let with = |more: &[&'static str]| [&deploy[..], more].concat();

    let explained = home.ok(&with(&["--explain"]));
    let gas = |n: usize| explained["transactions"][n]["gas"].as_u64().unwrap();
    assert!(explained["sent"] == false && gas(0) > 100_000 && gas(1) > 1_000_000, "{explained}");
    let court_gas = gas(2);
    assert_eq!(chain::nonce(&dev, "deployer"), 0);

    // Killed between its first two transactions: the first is mined, the second not yet sent.
    let mut child = Command::new(env!("CARGO_BIN_EXE_rialto"))
        .arg("--home")
        .arg(home.0.path())
        .args(with(&[]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while chain::nonce(&dev, "deployer") == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill(&child.id().into());
    child.wait().unwrap();
    assert_eq!(chain::nonce(&dev, "deployer"), 1);
    let first = home.ok(&deploy);
    let sent = chain::nonce(&dev, "deployer");
    let took = first["court_gas"].as_u64().unwrap();
    assert!(took.abs_diff(court_gas) * 5 < took, "told {court_gas}, took {took}");
    assert_eq!(home.ok(&deploy), first, "told again");
    assert_eq!(home.fails(&with(&["--grace", "1 h"])), (2, "C-DPL-004".into()));
    assert_eq!(home.fails(&with(&["--name", "two", "--grace", "9000 d"])), (5, "M-036".into()));
    assert_eq!(home.fails(&with(&["--name", "no spaces"])), (2, "C-DPL-001".into()));

    // Another one, with the token that exists.
    let token = first["token"].as_str().unwrap();
    let second = home.ok(&[
        "--rpc",
        &url,
        "--passphrase-file",
        &pass,
        "deploy",
        "--token",
        token,
        "--name",
        "two",
        "--grace",
        "1 h",
    ]);
    assert_eq!((&second["token"], &second["token_gas"]), (&first["token"], &0.into()));
    assert_ne!(second["market"], first["market"]);
    let again = chain::nonce(&dev, "deployer") - sent;
    assert_eq!(
        sent,
        1 + again,
        "one that is not killed sends as many transactions, but for the token's"
    );
    let market = second["market"].as_str().unwrap();
    let none = home.fails(&[
        "--rpc",
        &url,
        "deploy",
        "--token",
        "0x0000000000000000000000000000000000000007",
        "--explain",
    ]);
    assert_eq!(none, (3, "C-010".into()));
    let chain =
        chain::connect(rialto_chain::Rpc::Http(url.parse().unwrap()), market.parse().unwrap())
            .await;
    assert_eq!((chain.windows().grace, chain.is_known_code().await.unwrap()), (3_600, true));

    // The lines that it prints make a configuration.
    let output = Command::new(env!("CARGO_BIN_EXE_rialto"))
        .arg("--home")
        .arg(home.0.path())
        .args(with(&[]))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.split_once("[market]").unwrap().1;
    std::fs::write(home.0.path().join("config.toml"), format!("[market]{lines}")).unwrap();
    assert_eq!(home.ok(&["wallet", "balance"])["market"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_with_a_certificate_of_ones_own() {
    let (dev, deployed, _) = chain::market(7_000_000).await;
    let url = tls::serve(dev);
    let home = Home::new();
    let pass = home.secret("pass", "correct horse\n");
    let key = home.secret("key", &format!("{:x}", chain::key("provider").to_bytes()));
    home.ok(&["wallet", "import", "--key-file", &key, "--passphrase-file", &pass]);
    let configure = |more: &str| {
        let text = format!("[market]\nrpc = \"{url}\"\naddress = \"{}\"\n{more}", deployed.market);
        std::fs::write(home.0.path().join("config.toml"), text).unwrap();
    };
    configure("");
    assert_eq!(
        home.fails(&["wallet", "balance"]),
        (3, "C-MKT-004".into()),
        "nobody vouches for it"
    );
    configure("rpc_ca = \"ca.pem\"");
    assert_eq!(home.fails(&["wallet", "balance"]), (2, "C-MKT-006".into()), "no such file");
    std::fs::write(home.0.path().join("ca.pem"), "something else").unwrap();
    assert_eq!(home.fails(&["wallet", "balance"]), (3, "C-MKT-004".into()));
    std::fs::write(home.0.path().join("ca.pem"), tls::CA).unwrap();
    assert_eq!(home.ok(&["wallet", "balance"])["market"], "7000000");
    // What goes on in the background trusts it, too, and money moves through it.
    let done = home.ok(&["wallet", "withdraw", "2", "--passphrase-file", &pass]);
    assert_eq!(done["market"], "5000000");
    assert_eq!(home.ok(&["deals"])["deals"], json!([]));
}

/// On a chain that is not ours, with blocks of its own time, and killed before its first
/// transaction is mined.
#[tokio::test(flavor = "multi_thread")]
async fn anvil_takes_a_market() {
    let Some(binary) = anvil::find() else { return };
    let anvil = anvil::Process::start(&binary, &["--accounts", "1", "--block-time", "1"]);
    anvil.fund(chain::key("deployer").address(), rialto_protocol::U256::from(10u128.pow(19)));
    let home = Home::new();
    let pass = home.secret("pass", "correct horse\n");
    let key = home.secret("key", &format!("{:x}", chain::key("deployer").to_bytes()));
    home.ok(&["wallet", "import", "--key-file", &key, "--passphrase-file", &pass]);
    let url = format!("http://{}", anvil.addr);
    let deploy = ["--rpc", &url, "--passphrase-file", &pass, "deploy", "--test-token"];
    let journal =
        home.0.path().join(format!("wallet/31337-{:x}.redb", chain::key("deployer").address()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_rialto"))
        .arg("--home")
        .arg(home.0.path())
        .args(deploy)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !journal.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    kill(&child.id().into());
    child.wait().unwrap();

    let deployed = home.ok(&deploy);
    assert_eq!(home.ok(&deploy), deployed);
    let market = deployed["market"].as_str().unwrap();
    let second = chain::key("deployer").address().create(1);
    assert_eq!(
        market.parse(),
        Ok(second),
        "the account's second transaction: nothing was sent twice"
    );
    let at = |more: &[&'static str]| [&["--rpc", &url, "--market", market][..], more].concat();
    let seen = home.ok(&at(&["market", "--patience", "1"]));
    assert_eq!((&seen["asks"], &seen["history"]), (&json!([]), &json!([])));
    assert_eq!(home.ok(&at(&["deals"]))["deals"], json!([]));
    let report = home.ok(&at(&["doctor"]));
    let contract = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "contract")
        .unwrap();
    assert_eq!(contract["state"], "ok", "{report}");
}
