//! Runs docs/tutorial.md: the files that it shows are written, and its shell blocks run as one
//! script.
#![allow(clippy::unwrap_used)]

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Fenced blocks of a page: what stands behind the first fence, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let (mut blocks, mut open): (Vec<(String, String)>, bool) = (Vec::new(), false);
    for line in page.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(kind), false) => blocks.push((kind.to_owned(), String::new())),
            (Some(_), true) => {}
            (None, true) => {
                let text = &mut blocks.last_mut().unwrap().1;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => continue,
        }
        if line.starts_with("```") {
            open = !open;
        }
    }
    assert!(!open, "a fence is open at the end");
    blocks
}

/// Whether a compiler is here that builds a program from a source file; what it takes is in `args`.
fn builds(program: &str, args: &[&str], folder: &Path) -> bool {
    let probe = folder.join("probe.wasm");
    let built = Command::new(program).args(args).arg("-o").arg(&probe).current_dir(folder).output();
    let here = built.is_ok_and(|output| output.status.success());
    let _ = std::fs::remove_file(probe);
    here
}

#[test]
fn every_command_of_the_tutorial_works() {
    let folder = tempfile::tempdir().unwrap();
    let (home, work) = (folder.path().join("home"), folder.path().join("work"));
    std::fs::create_dir_all(&home).unwrap();
    std::fs::create_dir_all(&work).unwrap();
    let page = std::fs::read_to_string(checkout().join("docs/tutorial.md")).unwrap();
    let sources = checkout().join("examples/collatz");
    let mut script = String::from("set -eux\n");
    let mut commands = 0;
    for (kind, text) in blocks(&page) {
        match kind.as_str() {
            "rust" => std::fs::write(work.join("collatz.rs"), text).unwrap(),
            "c" => std::fs::write(work.join("collatz.c"), text).unwrap(),
            "toml" => std::fs::write(work.join("job.toml"), text).unwrap(),
            "sh" => {
                commands += text.lines().count();
                script.push_str(&text);
            }
            build => {
                // A compiler for WASI may be missing here: then the committed module stands in for
                // it.
                let module = build
                    .strip_prefix("sh build=")
                    .unwrap_or_else(|| panic!("what is a block of `{build}`?"));
                let words: Vec<&str> =
                    text.split_whitespace().take_while(|word| *word != "-o").collect();
                if builds(words[0], &words[1..], &work) {
                    commands += 1;
                    script.push_str(&text);
                } else {
                    eprintln!(
                        "no compiler for `{}` here: the committed {module} is used",
                        text.trim()
                    );
                    std::fs::copy(sources.join(module), work.join(module)).unwrap();
                }
            }
        }
    }
    assert!(commands > 20, "the tutorial has its commands in blocks of sh");
    let bin = Path::new(env!("CARGO_BIN_EXE_rialto")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths =
        std::env::join_paths([bin.to_owned()].into_iter().chain(std::env::split_paths(&path)))
            .unwrap();
    let child = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&work)
        .env("HOME", &home)
        .env("PATH", paths)
        .env_remove("XDG_DATA_HOME")
        .env_remove("RIALTO_HOME")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = child.id();
    let output = child.wait_with_output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
    // Whatever the script left running when it failed has its own group, but for the provider.
    let _ = Command::new("kill").args(["--", &format!("-{group}")]).stderr(Stdio::null()).status();
    let down = Command::new(bin.join("rialto"))
        .arg("down")
        .env("HOME", &home)
        .env_remove("RIALTO_HOME")
        .output();
    assert!(output.status.success(), "{stdout}\n{stderr}\n{down:?}");
    assert_eq!(
        stdout.matches("871 takes 178 steps").count(),
        3,
        "both programs, and the first row: {stdout}"
    );
    assert!(stdout.contains("everything holds"), "{stdout}");
    assert!(stdout.contains("all 20 tasks verified"), "{stdout}");
    let seller = std::fs::read_to_string(work.join("seller.log")).unwrap();
    assert!(seller.contains("ended: earned 0.02"), "20 tasks for a fee of 0.001 each: {seller}");
}

/// The programs that the page shows are the committed ones.
#[test]
fn the_committed_programs_are_those_of_the_tutorial() {
    let page = std::fs::read_to_string(checkout().join("docs/tutorial.md")).unwrap();
    for (kind, file) in [("rust", "collatz.rs"), ("c", "collatz.c")] {
        let committed =
            std::fs::read_to_string(checkout().join("examples/collatz").join(file)).unwrap();
        let shown = blocks(&page).into_iter().find(|(found, _)| found == kind).unwrap().1;
        assert_eq!(
            committed
                .lines()
                .skip_while(|line| line.starts_with("//") || line.is_empty())
                .collect::<Vec<_>>(),
            shown.lines().collect::<Vec<_>>(),
            "{file}"
        );
    }
}
