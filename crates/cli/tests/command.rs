//! The shipped binary as its users meet it: whole markets in one process, real programs, bad input,
//! Ctrl-C.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn rialto() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rialto"))
}

fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guests").join(name)
}

/// Runs with some stdin and gives everything back.
fn fed(command: &mut Command, stdin: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn demo_pays_the_honest_and_not_the_cheater() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("picture.png");
    let mut command = rialto();
    command.args(["demo", "--samples", "1", "--output", "json", "--image"]).arg(&image);
    let output = fed(&mut command, b"");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["verified"], summary["tasks"]);
    assert!(summary["cheats_detected"].as_u64().unwrap() > 0);
    assert_eq!(summary["balances_reconciled"], true);
    assert_eq!(summary["picture_is_honest"], true);
    let providers = summary["providers"].as_array().unwrap();
    let earned = |p: &Value| p["earned"].as_u64().unwrap();
    let cheater = providers.iter().find(|p| p["address"] == summary["cheater"]).unwrap();
    assert_eq!((earned(cheater), &cheater["status"]), (0, &Value::from("cheated")));
    assert_eq!(
        providers.iter().map(earned).sum::<u64>(),
        summary["requester_paid"].as_u64().unwrap()
    );
    assert!(summary["transactions"].as_u64() <= summary["deals"].as_u64().map(|deals| 2 * deals));
    assert!(std::fs::read(image).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn run_is_the_program_and_nothing_else_on_stdout() {
    let mut command = rialto();
    command
        .arg("run")
        .arg(guest("surroundings.wasm"))
        .args(["--env", "FOO=bar", "--", "one", "two"]);
    let output = fed(&mut command, b"a line\n");
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
    for line in ["arg 1: one\n", "arg 2: two\n", "env: FOO=bar\n", "line 1: a line\n"] {
        assert!(stdout.contains(line), "{line:?} is not in {stdout}");
    }
    let stderr = text(&output.stderr);
    assert!(stderr.contains("run by 2 providers, results equal"), "{stderr}");
}

#[test]
fn run_writes_created_files_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = rialto();
    command
        .arg("run")
        .arg(guest("rusty.wasm"))
        .arg("--files")
        .arg(folder.path())
        .args(["--output", "json"]);
    let output = fed(&mut command, b"");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&result["exit_code"], &result["status"]),
        (&Value::from(0), &Value::from("finished"))
    );
    for file in result["files"].as_array().unwrap() {
        let written = std::fs::read(folder.path().join(file["path"].as_str().unwrap())).unwrap();
        assert_eq!(written.len() as u64, file["bytes"].as_u64().unwrap());
    }
    assert!(folder.path().join("log").is_file());
}

#[test]
fn run_tells_how_a_program_ended() {
    let code = |args: &[&str]| {
        let mut command = rialto();
        command
            .args(["run", "--replicas", "1"])
            .args(&args[1..])
            .arg(guest("crash.wasm"))
            .args(["--", args[0]]);
        let output = fed(&mut command, b"");
        (output.status.code().unwrap(), text(&output.stderr))
    };
    assert_eq!(code(&["exit"]).0, 7, "the program's own code");
    let (trapped, why) = code(&["divide"]);
    assert_eq!(trapped, 126, "{why}");
    let (endless, why) = code(&["loop", "--fuel", "1000000"]);
    assert_eq!(endless, 124, "{why}");
    assert!(why.contains("--fuel"), "{why}");
}

#[test]
fn bad_input_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let junk = folder.path().join("junk.wasm");
    std::fs::write(&junk, b"\x7fELF and so on").unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["run", "no/such/program.wasm"], 125, "check the path"),
        (&["run", junk.to_str().unwrap()], 125, "M-GATE-001"),
        (&["check", junk.to_str().unwrap()], 1, "not a WebAssembly module"),
        (&["run", junk.to_str().unwrap(), "--env", "novalue"], 2, "NAME=VALUE"),
        (&["demo", "--providers", "2", "--cheaters", "1"], 2, "--providers 3"),
        (&["dmeo"], 2, "demo"),
    ];
    for (args, code, hint) in cases {
        let output = fed(rialto().args(args), b"");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "docs/codes.md, {args:?}: {stderr}");
        assert!(stderr.contains(hint), "{args:?}: {hint:?} is not in {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
    let output = fed(rialto().args(["check", "--output", "json"]).arg(&junk), b"");
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(error["error"].as_str().unwrap().contains("M-GATE-001"));
}

#[test]
fn ctrl_c_in_the_middle_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let image = temporary.path().join("never.png");
    let mut child = rialto()
        .args(["demo", "--samples", "64", "--image"])
        .arg(&image)
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("Work")), "the work begins");
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{stderr}");
    let left: Vec<_> =
        std::fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}
