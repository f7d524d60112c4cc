//! `rialto doctor`, `check`, `completions` and `man` as real processes.
#![allow(clippy::unwrap_used)]

mod home;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use home::Home;
use serde_json::Value;

fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// State and code of a check; the doctor ends with 1 exactly if something failed.
fn check(report: &Value, name: &str) -> (String, String) {
    let checks = report["checks"].as_array().unwrap();
    let found = checks
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("{name}: {report}"));
    assert_eq!(found["state"] == "ok", found.get("what_to_do").is_none(), "{found}");
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("code"))
}

fn doctor(home: &Home, args: &[&str]) -> Value {
    let output = home.run(&[args, &["doctor"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        output.status.code(),
        Some(i32::from(report["failed"].as_u64().unwrap() > 0)),
        "{report}"
    );
    report
}

#[test]
fn a_doctor_names_what_is_wrong_and_what_to_do() {
    let home = Home::new();
    std::fs::set_permissions(home.0.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let ok = ("ok".to_owned(), String::new());
    let alone = doctor(&home, &[]);
    for name in ["home", "keys", "engine", "udp"] {
        assert_eq!(check(&alone, name), ok, "{name}");
    }
    assert_eq!(check(&alone, "market"), ("warning".into(), "C-DOC-009".into()));

    home.ok(&["up", "--detach", "--providers", "1"]);
    let up = doctor(&home, &[]);
    for name in ["market", "contract", "clock", "past", "account", "endpoint"] {
        assert_eq!(check(&up, name), ok, "{name}");
    }
    // The token is a contract, but no market; nobody listens on port 1; a key lies open.
    let facts: Value =
        serde_json::from_slice(&std::fs::read(home.0.path().join("local/market.json")).unwrap())
            .unwrap();
    let text = |key: &str| facts[key].as_str().unwrap().to_owned();
    let token = doctor(&home, &["--rpc", &text("rpc"), "--market", &text("token")]);
    assert_eq!(check(&token, "market"), ("failed".into(), "C-DOC-009".into()));
    let nobody = doctor(&home, &["--rpc", "http://127.0.0.1:1", "--market", &text("market")]);
    assert_eq!(check(&nobody, "market"), ("failed".into(), "C-DOC-009".into()));
    let pass = home.secret("pass", "correct horse\n");
    let made = home.ok(&["wallet", "create", "--passphrase-file", &pass]);
    let keystore = made["keystore"].as_str().unwrap();
    std::fs::set_permissions(keystore, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(check(&doctor(&home, &[]), "keys"), ("failed".into(), "C-DOC-003".into()));
}

/// Runs `rialto check … --run` with nothing on stdin.
fn trial(program: &str, args: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_rialto"))
        .args(["--output", "json", "check"])
        .arg(guest(program))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_check_can_run_the_program() {
    let args = ["--run", "--", "100", "90", "0.03", "0.2", "1", "1000", "7"];
    let (code, first) = trial("pricing/pricing.wasm", &args);
    assert_eq!((code, &first["run"]["ending"]), (0, &"finished".into()), "{first}");
    let run = &first["run"];
    assert!(
        run["fuel"].as_u64().unwrap() > 100_000 && run["stdout_bytes"].as_u64().unwrap() > 10,
        "{first}"
    );
    let pages = first["memory_pages"]["min"].as_u64().unwrap();
    assert!(run["memory_bytes"].as_u64().unwrap() >= pages << 16, "{first}");
    let (_, again) = trial("pricing/pricing.wasm", &args);
    for same in ["fuel", "memory_bytes", "out_hash"] {
        assert_eq!(run[same], again["run"][same], "{same} is the program's, not the machine's");
    }

    let crash = |how: &str, more: &[&str]| {
        trial("guests/crash.wasm", &[&["--run"], more, &["--", how]].concat())
    };
    let (code, failed) = crash("exit", &[]);
    assert_eq!((code, &failed["run"]["exit_code"]), (1, &7.into()));
    assert_eq!(crash("divide", &[]).0, 126);
    assert_eq!(crash("loop", &["--fuel", "1000000"]).0, 124);
    let (code, refused) = trial("guests/crash.wasm", &["--", "exit"]);
    assert_eq!((code, &refused["code"]), (2, &"C-CHK-001".into()));
    assert!(trial("guests/crash.wasm", &[]).1.get("run").is_none());
}

#[test]
fn shells_and_man_know_every_command() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rialto")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("rialto") && script.contains("verify-bundle"), "{shell}");
    }
    let bash = run(&["completions", "bash"]);
    let mut shell = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), bash.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success(), "bash reads it");

    assert!(run(&["man"]).contains(".TH rialto 1"));
    let folder = tempfile::tempdir().unwrap();
    run(&["man", "--dir", folder.path().to_str().unwrap()]);
    let help = run(&["--help"]);
    let commands = help.split_once("Commands:").unwrap().1.split_once("Options:").unwrap().0;
    let names: Vec<&str> =
        commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names.into_iter().filter(|name| !name.is_empty() && *name != "help") {
        let page = folder.path().join(format!("rialto-{name}.1"));
        assert!(page.is_file(), "{}", page.display());
        // Every command's help shows how it is used.
        assert!(run(&[name, "--help"]).contains("Example"), "{name}");
    }
}
