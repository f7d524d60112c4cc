//! Task runner: `cargo xtask ci` is what decides whether a change lands.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

const HELP: &str = "\
Usage: cargo xtask <TASK>

Tasks:
  ci         everything below, in this order
  fmt        formatting of all Rust sources
  contracts  Solidity: build, artifacts fresh, sizes, tests, gas snapshots
  demo       README's first command, its summary checked
  test       README's second command; it may rebuild no dependency of the first
  clippy     lints, warnings denied
  doc        pages of all crates, warnings denied

Not part of ci:
  relay      builds the relay of Cargo.lock's version into target/relay, for tests across network namespaces (minutes)
";

/// Why a check failed, for people.
type Fault = String;
/// A check.
type Check = fn() -> Result<(), Fault>;

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let all: [(&str, Check); 6] = [
        ("fmt", fmt),
        ("contracts", contracts),
        ("demo", demo),
        ("test", test),
        ("clippy", clippy),
        ("doc", doc),
    ];
    let extra: [(&str, Check); 1] = [("relay", relay)];
    let chosen = all.iter().filter(|(name, _)| task == "ci" || task == *name);
    let chosen: Vec<_> = chosen.chain(extra.iter().filter(|(name, _)| task == *name)).collect();
    if chosen.is_empty() {
        print!("{HELP}");
        return if matches!(task.as_str(), "" | "help" | "--help") {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    }
    for (name, check) in chosen {
        println!("xtask: {name} …");
        let started = Instant::now();
        let outcome = check();
        println!("xtask: {name} took {} s", started.elapsed().as_secs());
        if let Err(fault) = outcome {
            println!("xtask: {name} FAILED: {fault}");
            return ExitCode::FAILURE;
        }
    }
    println!("xtask: all good");
    ExitCode::SUCCESS
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the root folder")
        .to_owned()
}

fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

fn run(program: &str, args: &[&str]) -> Result<(), Fault> {
    let status = command(program, args).status().map_err(|e| format!("{program}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{program} {}`: {status}", args.join(" "))) }
}

fn fmt() -> Result<(), Fault> {
    run("cargo", &["fmt", "--all", "--check"])
}

fn contracts() -> Result<(), Fault> {
    run("bash", &["contracts/test.sh"])
}

fn clippy() -> Result<(), Fault> {
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// Pages of all crates: a broken link is a fault.
fn doc() -> Result<(), Fault> {
    let mut command = command("cargo", &["doc", "--workspace", "--no-deps"]);
    let status = command.env("RUSTDOCFLAGS", "-D warnings").status().map_err(|e| e.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("`cargo doc`: {status}")) }
}

/// A relay server needs features that no node does: it is built apart, so that nobody else pays for
/// them.
fn relay() -> Result<(), Fault> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).map_err(|e| e.to_string())?;
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"iroh-relay\"");
    let version = lines
        .nth(1)
        .and_then(|line| line.split('"').nth(1))
        .ok_or("no iroh-relay in Cargo.lock")?;
    let build = ["--root", "target/relay", "--target-dir", "target/relay/build"];
    let args = [
        "install",
        "--debug",
        "--locked",
        "--version",
        version,
        "--features",
        "server",
        "iroh-relay",
    ];
    run("cargo", &[&args[..], &build[..]].concat())
}

/// Runs the newcomer's command and holds its summary to what it promises.
fn demo() -> Result<(), Fault> {
    let image = root().join("target/demo/raytrace.png");
    let image = image.to_str().ok_or("the checkout's path is not UTF-8")?;
    let output = command("cargo", &["run", "--", "demo", "--output", "json", "--image", image])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stdout)));
    }
    let summary: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("summary: {e}"))?;
    println!("{summary:#}");
    let number = |path: &str| summary.pointer(path).and_then(serde_json::Value::as_u64);
    let expect =
        |held: bool, what: &str| if held { Ok(()) } else { Err(format!("{what} does not hold")) };
    expect(number("/tasks").is_some_and(|n| n > 0), "tasks > 0")?;
    expect(number("/verified") == number("/tasks"), "every task verified")?;
    expect(number("/cheats_detected").is_some_and(|n| n > 0), "a cheat detected")?;
    expect(summary["balances_reconciled"] == true, "balances reconciled")?;
    expect(
        number("/transactions") <= number("/deals").map(|n| n * 2),
        "at most two transactions per deal",
    )?;
    expect(summary["ok"] == true, "the demo's own verdict")?;
    expect(
        number("/gas/per_deal").is_some_and(|gas| gas <= 180_000),
        "a deal costs at most 180k gas",
    )?;
    expect(Path::new(image).is_file(), "the picture is there")
}

/// Runs the test command; whatever `cargo run` had built must not be built again.
fn test() -> Result<(), Fault> {
    let tree = command(
        "cargo",
        &["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"],
    )
    .output()
    .map_err(|e| e.to_string())?;
    let built: BTreeSet<String> = String::from_utf8_lossy(&tree.stdout)
        .lines()
        .filter(|line| !line.contains("(/"))
        .filter_map(|line| {
            Some(line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
                .filter(|p| !p.is_empty())
        })
        .collect();
    let mut child = command("cargo", &["test", "--workspace"])
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut rebuilt = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            eprintln!("{line}");
            if let Some(package) =
                line.trim_start().strip_prefix("Compiling ").filter(|p| built.contains(p.trim()))
            {
                rebuilt.push(package.to_owned());
            }
        }
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    if !status.success() {
        return Err(format!("cargo test --workspace: {status}"));
    }
    if rebuilt.is_empty() {
        Ok(())
    } else {
        Err(format!("`cargo test` built again what `cargo run` had: {rebuilt:?}"))
    }
}
