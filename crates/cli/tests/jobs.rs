//! Jobs as users have them: `run job.toml`, `jobs`, evidence; with real processes that are killed
//! in the middle.
#![allow(clippy::unwrap_used)]

#[path = "../../devchain/tests/anvil/mod.rs"]
mod anvil;
mod ground;
mod home;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use ground::{Ground, balance};
use home::{Home, kill};
use serde_json::Value;

/// Longest wait for something that takes seconds.
const PATIENCE: Duration = Duration::from_secs(240);

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
}

/// A job file in the home folder: pricing on `paths` paths per task, for so many strikes.
fn pricing(home: &Home, name: &str, paths: u64, strikes: u32, more: &str) -> String {
    let program = example("pricing/pricing.wasm");
    let text = format!(
        "name = \"{name}\"\nprogram = {program:?}\nargs = [\"100\", \"{{n}}\", \"0.03\", \"0.2\", \"1\", \"{paths}\", \"7\"]\nseed = 1\n{more}\n[tasks]\nrange = \"90..{}\"\n[output]\nfolder = \"{name}\"\nstdout = \"table\"\n",
        90 + strikes
    );
    let path = home.0.path().join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(50));
    }
}

fn verified(home: &Home, job: &str) -> u64 {
    home.ok(&["jobs", "show", job])["verified"].as_u64().unwrap()
}

/// The process of the host.
fn host(home: &Home) -> Value {
    let folder = home.0.path().to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_host = |pid: &u64| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains(folder) && line.trim_end_matches('\0').ends_with("\0host")
    };
    let pid = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_host);
    pid.expect("a host runs").into()
}

#[test]
fn a_job_is_quoted_bought_and_proven() {
    let home = Home::new();
    let file = pricing(&home, "sweep", 2_000, 6, "budget = 5\nverify = { replicas = 2 }");
    assert_eq!(home.fails(&["run", &file]), (3, "C-MKT-001".into()), "no market yet");
    home.ok(&["up", "--detach", "--providers", "2"]);
    quoted_bought_and_proven(&home);
    home.ok(&["jobs", "stop"]);
}

#[test]
fn a_job_is_quoted_bought_and_proven_on_anvil() {
    let Some(binary) = anvil::find() else { return };
    let home = Home::new();
    let ground = Ground::on_anvil(&binary, &home, 2);
    let before = balance(&home);
    quoted_bought_and_proven(&home);
    home.ok(&["jobs", "stop"]);
    let earned: u128 = ground.providers.iter().map(|provider| balance(provider) - before).sum();
    assert_eq!(earned, before - balance(&home), "what left one account came to the others");
}

/// On whatever market the home is configured for.
fn quoted_bought_and_proven(home: &Home) {
    let file = pricing(home, "sweep", 2_000, 6, "budget = 5\nverify = { replicas = 2 }");
    let before = home.ok(&["wallet", "balance"]);

    let quote = &home.ok(&["run", &file, "--dry-run"])["quote"];
    assert_eq!(quote["tasks"], 6);
    assert_eq!(quote["trial"]["ending"], "finished");
    assert_eq!(quote["chosen"].as_array().unwrap().len(), 2);
    let price = |policy: &str| {
        let policies = quote["policies"].as_array().unwrap();
        policies.iter().find(|price| price["policy"] == policy).unwrap()["pay"].as_u64().unwrap()
    };
    assert!(price("trust") > 0 && price("replicas=2") >= 2 * price("trust"));
    assert_eq!(home.ok(&["wallet", "balance"]), before, "a quote spends nothing");
    assert_eq!(home.ok(&["jobs"])["jobs"], serde_json::json!([]));

    let done = home.ok(&["run", &file]);
    assert_eq!((&done["done"], &done["verified"]), (&Value::Bool(true), &6.into()));
    assert_eq!(done["results"]["failed"], 0);
    let table = std::fs::read_to_string(home.0.path().join("sweep/results.csv")).unwrap();
    assert_eq!(table.lines().count(), 7);
    assert!(table.lines().nth(1).unwrap().starts_with("0,90,finished,0,"), "{table}");

    // The evidence holds, with the program too; changed, it does not.
    let bundle = done["bundle"].as_str().unwrap().to_owned();
    let program = example("pricing/pricing.wasm");
    let checked = home.ok(&["verify-bundle", &bundle, "--program", program.to_str().unwrap()]);
    assert_eq!(
        (&checked["holds"], &checked["checked"]["replicated"]),
        (&Value::Bool(true), &6.into())
    );
    let other = example("words/words.wasm");
    assert_eq!(
        home.run(&["verify-bundle", &bundle, "--program", other.to_str().unwrap()]).status.code(),
        Some(1)
    );
    let mut text = std::fs::read_to_string(&bundle).unwrap();
    let at = text.find("\"fee\":").unwrap() + 6;
    text.insert(at, '9');
    let changed = home.0.path().join("changed.json");
    std::fs::write(&changed, text).unwrap();
    assert_eq!(home.run(&["verify-bundle", changed.to_str().unwrap()]).status.code(), Some(1));

    // A second job, named alike, is found by its name; results can be had again elsewhere.
    let again = home.ok(&["run", &file]);
    assert_ne!(again["job"], done["job"]);
    assert_eq!(home.ok(&["jobs", "show", "sweep"])["job"], again["job"]);
    let elsewhere = home.0.path().join("elsewhere");
    // Two jobs are called so by now.
    let id = again["job"].as_str().unwrap();
    home.ok(&["jobs", "results", id, "--to", elsewhere.to_str().unwrap()]);
    assert_eq!(
        std::fs::read_to_string(elsewhere.join("results.csv")).unwrap(),
        table,
        "same seed, same results"
    );
    home.ok(&["jobs", "remove", again["job"].as_str().unwrap()]);
    assert_eq!(home.ok(&["jobs"])["jobs"].as_array().unwrap().len(), 1);

    // Every deal is over, and what the deals paid is what the account lacks.
    assert_eq!(home.ok(&["deals"])["deals"], serde_json::json!([]));
    let deals = home.ok(&["deals", "list", "--all"]);
    let deals = deals["deals"].as_array().unwrap();
    let over = |deal: &Value| deal["ended"] == "redeemed" || deal["ended"] == "released";
    assert!(deals.len() >= 4 && deals.iter().all(over), "{deals:?}");
    let paid: u64 = deals.iter().map(|deal| deal["paid"].as_u64().unwrap()).sum();
    let had: u128 = before["market"].as_str().unwrap().parse().unwrap();
    assert!(paid > 0 && had - balance(home) == u128::from(paid), "{deals:?}");
}

#[test]
fn what_cannot_be_bought_says_why() {
    let home = Home::new();
    home.ok(&["up", "--detach", "--providers", "1"]);
    let fails = |file: &str, more: &[&str]| home.fails(&[&["run", file], more].concat());
    assert_eq!(home.fails(&["run", "nowhere.toml"]), (2, "C-JOB-001".into()));
    let misspelt = pricing(&home, "misspelt", 10, 1, "budgte = 1");
    assert_eq!(fails(&misspelt, &[]), (2, "C-CFG-004".into()));
    let dear = pricing(&home, "dear", 10, 1, "budget = 0.0001\nverify = \"trust\"");
    assert_eq!(
        home.run(&["run", &dear, "--dry-run"]).status.code(),
        Some(3),
        "nobody fits, and why"
    );
    let poor = pricing(&home, "poor", 10, 1, "budget = 100000");
    assert_eq!(fails(&poor, &[]), (5, "R-SVC-006".into()));
    let cheap =
        pricing(&home, "cheap", 10, 1, "budget = 1\nmax_price = 0.000001\nverify = \"trust\"");
    let quote = home.run(&["run", &cheap, "--dry-run"]);
    let quote: Value = serde_json::from_slice(&quote.stdout).unwrap();
    assert!(
        quote["quote"]["left_out"][0]["why"].as_str().unwrap().contains("over the maximum"),
        "{quote}"
    );
    assert_eq!(
        fails(&cheap, &["--", "x"]),
        (2, "C-JOB-003".into()),
        "arguments belong into the file"
    );
    assert_eq!(home.fails(&["jobs", "show", "none"]), (2, "C-JOB-012".into()));
    home.ok(&["job", "init", home.0.path().join("new.toml").to_str().unwrap()]);
    assert_eq!(home.fails(&["job", "init", &cheap]), (2, "C-JOB-009".into()));
    home.ok(&["jobs", "stop"]);
}

#[test]
fn a_cancelled_job_goes_on_where_it_was() {
    let home = Home::new();
    home.ok(&["up", "--detach", "--providers", "2"]);
    let file = pricing(
        &home,
        "long",
        400_000,
        24,
        "budget = 20\nverify = \"trust\"\ndeadline = \"10 min\"",
    );
    let started = home.ok(&["run", &file, "--detach"]);
    let job = started["job"].as_str().unwrap();
    wait_for("some tasks", || verified(&home, job) > 2);
    assert_eq!(home.fails(&["jobs", "results", job]), (1, "C-JOB-014".into()));
    assert_eq!(
        home.fails(&["jobs", "resume", job, "--explain"]),
        (2, "R-JOB-006".into()),
        "it runs"
    );
    assert_eq!(home.fails(&["jobs", "remove", job]), (1, "C-JOB-010".into()));
    home.ok(&["jobs", "cancel", job]);
    wait_for("its end", || home.ok(&["jobs", "show", job])["phase"] == "ended");
    let status = home.ok(&["jobs", "show", job]);
    assert!(status["standing"].as_str().unwrap().contains("R-JOB-023"), "{status}");
    let kept = status["verified"].as_u64().unwrap();
    assert!((1..24).contains(&kept), "{status}");
    let before = home.ok(&["wallet", "balance"]);
    let explained = home.ok(&["jobs", "resume", job, "--explain"]);
    assert!(
        explained["sent"] == false && explained["opening"]["gas"].as_u64().unwrap() > 21_000,
        "{explained}"
    );
    assert_eq!(
        (&explained["left"], &explained["no_match"]),
        (&(24 - kept).into(), &Value::Null),
        "{explained}"
    );
    assert!(explained["deals"][0]["budget"].as_u64().unwrap() > 0, "{explained}");
    assert_eq!(
        home.run(&["jobs", "resume", job, "--explain", "--budget", "0.0001"]).status.code(),
        Some(3)
    );
    assert_eq!(home.ok(&["jobs", "show", job])["phase"], "ended", "nothing was sent");
    assert_eq!(home.ok(&["wallet", "balance"]), before);
    let done = home.ok(&["jobs", "resume", job]);
    assert_eq!((&done["done"], &done["verified"]), (&Value::Bool(true), &24.into()));
    assert!(home.run(&["jobs", "logs", job]).stdout.len() > 100);
    // Nobody has to read to the end.
    let mut logs = home
        .command(&["jobs", "logs", job])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(logs.stdout.take());
    let unread = logs.wait_with_output().unwrap();
    assert_eq!(
        (unread.status.code(), String::from_utf8_lossy(&unread.stderr).as_ref()),
        (Some(0), "")
    );
    home.ok(&["jobs", "stop"]);
}

#[test]
fn a_killed_host_and_a_killed_market_lose_nothing() {
    let home = Home::new();
    let up = home.ok(&["up", "--detach", "--providers", "2"]);
    let before: u128 = home.ok(&["wallet", "balance"])["market"].as_str().unwrap().parse().unwrap();
    let file = pricing(
        &home,
        "hard",
        400_000,
        32,
        "budget = 20\nverify = { replicas = 2 }\ndeadline = \"10 min\"",
    );
    let started = home.ok(&["run", &file, "--detach"]);
    let job = started["job"].as_str().unwrap();
    wait_for("some tasks", || verified(&home, job) > 2);
    kill(&host(&home));
    let after_kill = verified(&home, job);
    assert!(after_kill > 2, "a command brings the host back, which remembers");
    wait_for("more tasks", || verified(&home, job) > after_kill);
    // Chain and providers at once. They come back where they were, so that nobody has to look for
    // them.
    let ports = || {
        ["1", "2"]
            .map(|n| std::fs::read(home.0.path().join(format!("local/provider-{n}/port"))).unwrap())
    };
    let before_kill = ports();
    kill(&up["up"]["pid"]);
    sleep(Duration::from_millis(500));
    let again = home.ok(&["up", "--detach", "--providers", "2"]);
    assert_eq!(again["up"]["market"], up["up"]["market"]);
    assert_eq!(ports(), before_kill);
    home.run(&["jobs", "logs", "-f", job]);
    let status = home.ok(&["jobs", "show", job]);
    assert_eq!(
        (&status["done"], &status["verified"]),
        (&Value::Bool(true), &32.into()),
        "{status}"
    );
    // What left the account is what the deals paid: no more, and none twice.
    let report = &status["report"];
    let paid: u128 = report["requester_paid"].as_str().unwrap().parse().unwrap();
    let open =
        report["providers"].as_array().unwrap().iter().any(|provider| provider["paid"].is_null());
    let now: u128 = home.ok(&["wallet", "balance"])["market"].as_str().unwrap().parse().unwrap();
    assert!(open || before - now == paid, "{before} - {now} != {paid}: {status}");
    home.ok(&["jobs", "results", job]);
    home.ok(&["jobs", "stop"]);
}

#[test]
fn the_examples_are_jobs() {
    let home = Home::new();
    home.ok(&["up", "--detach", "--providers", "2"]);
    let run = |name: &str| {
        let (file, to) = (example(&format!("{name}/job.toml")), home.0.path().join(name));
        let done = home.ok(&["run", file.to_str().unwrap(), "--to", to.to_str().unwrap()]);
        assert_eq!(
            (&done["done"], &done["results"]["failed"]),
            (&Value::Bool(true), &0.into()),
            "{done}"
        );
        let checked = home.ok(&["verify-bundle", to.join("bundle.json").to_str().unwrap()]);
        assert_eq!(checked["checked"]["tasks"], done["tasks"]);
        to
    };
    let table = std::fs::read_to_string(run("pricing").join("results.csv")).unwrap();
    assert_eq!(table.lines().count(), 21);
    assert_eq!(table.lines().next(), Some("task,strike,volatility,status,exit_code,fuel,stdout"));
    let words = run("words");
    for text in ["gettysburg", "jabberwocky", "sonnet18"] {
        assert!(
            std::fs::read_to_string(words.join(format!("{text}.words"))).unwrap().lines().count()
                >= 5
        );
    }
    let pixels = std::fs::read(run("raytrace").join("stdout.txt")).unwrap();
    assert_eq!(pixels.len(), 640 * 480 * 3);
    let packed = std::fs::read(run("zopfli").join("sonnet18.txt.gz")).unwrap();
    assert_eq!(packed[..2], [0x1f, 0x8b], "gzip's magic number");
    home.ok(&["jobs", "stop"]);
}

#[test]
fn an_account_of_the_wallet_buys_and_a_wrong_passphrase_does_not() {
    let home = Home::new();
    let up = home.ok(&["up", "--detach", "--providers", "2"]);
    let pass = home.secret("pass", "correct horse\n");
    let wrong = home.secret("wrong", "battery\n");
    let account = home.ok(&["wallet", "create", "--passphrase-file", &pass])["account"]
        .as_str()
        .unwrap()
        .to_owned();
    let file = pricing(&home, "own", 1_000, 2, "budget = 1\nverify = \"trust\"");
    let own = |file: &str, pass: &str| {
        home.fails(&["run", file, "--account", &account, "--passphrase-file", pass])
    };
    assert_eq!(own(&file, &wrong), (4, "W-006".into()));
    assert_eq!(own(&file, &pass), (5, "R-SVC-006".into()), "an account without money");
    home.ok(&["jobs", "stop", "--account", &account]);
    assert!(up["up"]["requester"].as_str() != Some(&account));
}
