//! Job files, inputs and results' folders as people have them: moved, renamed, piped, full, shared
//! with others.
#![allow(clippy::unwrap_used)]

mod home;

use std::{
    fs::{File, read_to_string},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use home::Home;
use serde_json::Value;

fn guest(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/guests")
        .join(name)
        .to_str()
        .unwrap()
        .to_owned()
}

/// A job file in a folder: what `program` does with `args`.
fn job(folder: &Path, file: &str, program: &str, more: &str) -> String {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(file);
    let head = "budget = 1\nverify = \"trust\"\ndeadline = \"10 min\"\nseed = 1";
    std::fs::write(&path, format!("program = {:?}\n{head}\n{more}\n", guest(program))).unwrap();
    path.to_str().unwrap().to_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // Programs that say something on standard error have a file for that, too.
    let mut names: Vec<String> =
        entries.filter(|name| !name.starts_with('.') && !name.ends_with(".err")).collect();
    names.sort();
    names
}

fn spent(home: &Home) -> u64 {
    let jobs = home.ok(&["jobs"]);
    let spent = |job: &Value| job["spent"].as_str().unwrap().parse::<u64>().unwrap();
    jobs["jobs"].as_array().unwrap().iter().map(spent).sum()
}

#[test]
fn what_was_submitted_is_what_comes_back_and_goes_where_it_belongs() {
    let home = Home::new();
    home.ok(&["up", "--detach", "--providers", "1"]);
    let folder = home.0.path().join("run [v2] ~");
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("in/b.txt", "bee\n");
    put("in/.hidden.txt", "secret\n");
    let tasks = "[tasks]\nfiles = \"in/*.txt\"\n[output]\nname = \"{stem}.out\"";
    let file = job(&folder, "one.toml", "surroundings.wasm", tasks);
    // Detached, and the world moves on.
    let id = home.ok(&["run", &file, "--detach"])["job"].as_str().unwrap().to_owned();
    put("in/a.txt", "late\n");
    std::fs::remove_file(folder.join("in/b.txt")).unwrap();
    assert!(home.run(&["jobs", "logs", "-f", &id]).status.success());
    let written = home.ok(&["jobs", "results", &id]);
    let results = folder.join("results");
    assert_eq!(names(&results), ["b.out", "bundle.json"], "{written}");
    assert!(read_to_string(results.join("b.out")).unwrap().contains("bee"));
    assert_eq!(
        home.ok(&["verify-bundle", results.join("bundle.json").to_str().unwrap()])["holds"],
        true
    );

    // Another job is not to write there, and pays nothing; the same one is, and its old results go.
    let paid = spent(&home);
    let other = job(&folder, "two.toml", "surroundings.wasm", "[output]\nstdout = \"stream\"");
    assert_eq!(home.fails(&["run", &other]), (2, "C-JOB-015".into()));
    assert_eq!(spent(&home), paid);
    assert_eq!(
        home.fails(&["jobs", "results", &id, "--to", folder.join("in").to_str().unwrap()]).0,
        0
    );
    let done = home.ok(&["run", &file]);
    assert_eq!(names(&results), ["a.out", "bundle.json"], "{done}");
    let taken = results.join("a.out");
    std::fs::write(&taken, "mine").unwrap();
    assert_eq!(home.fails(&["run", &file]), (2, "C-JOB-015".into()), "somebody changed a result");
    assert_eq!(read_to_string(&taken).unwrap(), "mine");
    let forced = home.ok(&["run", &other, "--force"]);
    assert_eq!(names(&results), ["a.out", "bundle.json", "stdout.txt"], "{forced}");
    assert_eq!(
        home.fails(&["jobs", "results", &id]),
        (2, "C-JOB-015".into()),
        "these are a later job's by now"
    );

    // What can't be written is told before it is paid for.
    let paid = spent(&home);
    for (at, output) in [
        "folder = \"one.toml\"",
        "folder = \"/proc/x\"",
        "folder = \"one.toml/x\"",
        "name = \"bundle.json\"",
        "name = \"same\"",
        "name = \"{item}\"",
        "name = \"{item}/x\"\nfiles = \"a/x\"",
        "files = \"../{task}\"",
    ]
    .into_iter()
    .enumerate()
    {
        let tasks = format!("[tasks]\nlist = [\"a\", \"a/b\"]\n[output]\n{output}");
        let file = job(&folder, &format!("no-{at}.toml"), "surroundings.wasm", &tasks);
        let (exit, code) = home.fails(&["run", &file]);
        assert!(exit == 2 && code.starts_with("C-JOB-00"), "{output}: {exit} {code}");
    }
    assert_eq!(spent(&home), paid);

    // Several tasks create one file, and one of ours: nothing is lost, nothing of ours replaced.
    let many =
        "[tasks]\nrange = \"0..3\"\n[output]\nfolder = \"made\"\nstdout = \"none\"\nfiles = \".\"";
    let done = home.ok(&["run", &job(&folder, "many.toml", "rusty.wasm", many)]);
    assert_eq!(
        names(&folder.join("made")).iter().filter(|name| name.starts_with("log")).count(),
        3,
        "{done}"
    );
    assert!(done["results"]["notes"].as_array().unwrap().len() >= 2, "{done}");

    // A job file has whatever name, or none.
    let text = read_to_string(&other).unwrap().replace("results", "piped");
    let from = |mut command: Command, text: &str| {
        let mut child = command
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let piped = from(home.command(&["run", "-", "--to", "piped"]), &text);
    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stdout));
    assert_eq!(names(&folder.join("piped")), ["bundle.json", "stdout.txt"]);
    std::fs::copy(&other, folder.join("JOB.TOML")).unwrap();
    home.ok(&[
        "run",
        folder.join("JOB.TOML").to_str().unwrap(),
        "--to",
        folder.join("upper").to_str().unwrap(),
    ]);

    // Failed tasks are results, unless somebody says otherwise.
    let fails = job(
        &folder,
        "fails.toml",
        "crash.wasm",
        "args = [\"exit\"]\n[output]\nfolder = \"failed\"",
    );
    assert_eq!(home.run(&["run", &fails]).status.code(), Some(0));
    assert_eq!(home.run(&["run", &fails, "--strict"]).status.code(), Some(1));
    let looped = job(
        &folder,
        "loops.toml",
        "crash.wasm",
        "args = [\"loop\"]\n[output]\nfolder = \"looped\"",
    );
    let dry = home.run(&["run", &looped, "--dry-run", "--fuel", "1M"]);
    assert!(String::from_utf8_lossy(&dry.stderr).contains("ran out of fuel"), "{dry:?}");
    assert_eq!(dry.status.code(), Some(1));

    // Ambiguous, empty and short names: nothing happens.
    let jobs = home.ok(&["jobs"])["jobs"].as_array().unwrap().len();
    for what in ["cancel", "remove", "results", "resume"] {
        for named in ["", " ", "surroundings", &id[..3], "*"] {
            let (exit, code) = home.fails(&["jobs", what, named]);
            assert!(
                exit == 2 && ["C-JOB-011", "C-JOB-012"].contains(&code.as_str()),
                "{what} {named:?}: {exit} {code}"
            );
        }
    }
    assert_eq!(home.ok(&["jobs"])["jobs"].as_array().unwrap().len(), jobs);

    // Without market, chain or background process.
    home.ok(&["jobs", "stop"]);
    home.ok(&["down"]);
    let away = folder.join("away");
    home.ok(&["jobs", "results", &id, "--to", away.to_str().unwrap(), "--name", "{task:03}.txt"]);
    assert_eq!(names(&away), ["000.txt", "bundle.json"]);
    assert_eq!(home.ok(&["jobs", "show", &id])["verified"], 1);
    assert_eq!(home.ok(&["jobs"])["jobs"].as_array().unwrap().len(), jobs);
    // A log goes on; nothing of it is lost at the next start.
    assert!(std::fs::read_dir(home.0.path().join("local")).unwrap().count() > 1);
}

#[test]
fn pipes_devices_and_full_disks() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let rialto = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
        command.arg("--home").arg(&home).args(args).current_dir(folder.path()).stdin(Stdio::null());
        command
    };
    // Success is said only when the bytes are out.
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for args in [
        &["completions", "bash"][..],
        &["man"],
        &["wallet", "list"],
        &["--help"],
        &["--version"],
        &["wallet", "list", "--output", "json"],
        &["check", &guest("crash.wasm")],
        &["run", "--help"],
        &["man", "--output", "json"],
    ] {
        let lost = rialto(args).stdout(full()).stderr(Stdio::piped()).output().unwrap();
        let told = String::from_utf8_lossy(&lost.stderr).into_owned();
        assert!(
            lost.status.code() == Some(1) && told.contains("C-OUT-001"),
            "{args:?}: {} {told}",
            lost.status
        );
        let mut unread =
            rialto(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(unread.stdout.take());
        assert_eq!(
            unread.wait().unwrap().code(),
            Some(0),
            "a closed pipe is nobody's fault: {args:?}"
        );
    }
    // What is no file is refused at once, wherever it lies.
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::create_dir(folder.path().join("d")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("d/zero")).unwrap();
    let program = guest("surroundings.wasm");
    for (args, code) in [
        (vec!["run", "--input", "x=pipe", &program], 125),
        (vec!["run", "--input", "x=d", &program], 125),
        (vec!["run", "--input", "x=/dev/zero", &program], 125),
        (vec!["check", "pipe"], 2),
        (vec!["check", &program, "--run", "--input", "x=pipe"], 2),
    ] {
        let began = Instant::now();
        let refused = rialto(&args).output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains("C-JOB-002") || told.contains("C-CHK-002"), "{told}");
        assert!(began.elapsed() < Duration::from_secs(20), "{args:?}");
    }
    // Who waits for its input can be told to end.
    let ends = |mut child: std::process::Child, signal: &str| {
        std::thread::sleep(Duration::from_millis(700));
        assert!(child.try_wait().unwrap().is_none(), "it waits");
        assert!(
            Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let asked = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(asked.elapsed() < Duration::from_secs(10), "{signal} ends it");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for signal in ["-TERM", "-INT"] {
        ends(
            rialto(&["run", &program]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap(),
            signal,
        );
        ends(rialto(&["run", "pipe"]).stderr(Stdio::null()).spawn().unwrap(), signal);
        ends(
            rialto(&["run", "-"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap(),
            signal,
        );
    }
    // An empty variable is no folder, and what is wrong with a command line is JSON where that was
    // asked for.
    let empty = rialto(&[]).args(["config", "init"]).env("XDG_DATA_HOME", "").output().unwrap();
    assert!(empty.status.success() && !folder.path().join("rialto").exists(), "{empty:?}");
    let wrong = rialto(&["--output", "json", "jobs", "nonsense"]).output().unwrap();
    let told: Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!((wrong.status.code(), &told["code"]), (Some(2), &"C-ARG-001".into()));
}

#[test]
fn a_market_that_does_not_come_up_says_why() {
    let home = Home::new();
    home.ok(&["up", "--detach", "--providers", "1"]);
    home.ok(&["down"]);
    let local = home.0.path().join("local");
    let mut open = vec![local.clone()];
    let mut stores: Vec<PathBuf> = Vec::new();
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false if path.extension().is_some_and(|kind| kind == "redb") => stores.push(path),
                false => {}
            }
        }
    }
    assert!(!stores.is_empty());
    stores.iter().for_each(|path| std::fs::write(path, [0x5a; 5000]).unwrap());
    let output = home.run(&["up", "--detach"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !output.status.success() && told.contains("C-UP-002") && told.contains("DEV-001"),
        "{told}"
    );
    let log = read_to_string(local.join("up.log")).unwrap();
    assert!(log.contains("DEV-001"), "{log}");
    home.run(&["up", "--detach"]);
    assert!(read_to_string(local.join("up.log")).unwrap().len() > log.len(), "the log goes on");
}
