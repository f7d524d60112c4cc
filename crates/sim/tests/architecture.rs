//! Holds the house as DESIGN draws it: arrows point down, cores are pure, files tell one story.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// Level of every crate. A crate may depend on strictly lower levels only.
const LEVELS: &[(&str, u8)] = &[
    ("rialto-protocol", 0),
    ("rialto-machine", 1),
    ("rialto-chain", 1),
    ("rialto-net", 1),
    ("rialto-exec", 2),
    ("rialto-party", 2),
    ("rialto-provider", 3),
    ("rialto-requester", 3),
    ("rialto-client", 4),
    ("rialto-local-market", 5),
    ("rialto", 6),
];
/// The embedded chain imports nothing of ours; the local market wires it, and tests use it.
const DEVCHAIN: &str = "rialto-devchain";
/// End-to-end tests import everything; nothing imports them.
const SIM: &str = "rialto-sim";
/// Longest source file, lines. The aim is 500.
const MAX_FILE_LINES: usize = 750;
/// Longest contract, lines.
const MAX_MARKET_LINES: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

#[test]
fn arrows_point_down() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let levels: BTreeMap<&str, u8> = LEVELS.iter().copied().collect();
    let mut faults = Vec::new();
    let packages = metadata["packages"].as_array().unwrap();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let folder = folder.file_name().unwrap().to_str().unwrap();
        if name != "xtask" && name != "rialto" && name != format!("rialto-{folder}") {
            faults.push(format!("crate {name} lives in a folder called {folder}"));
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let target = dependency["name"].as_str().unwrap();
            if !target.starts_with("rialto") || name == SIM {
                continue;
            }
            let for_tests = dependency["kind"] == "dev";
            let allowed = match target {
                SIM => false,
                DEVCHAIN => for_tests || name == "rialto-local-market",
                _ => match (levels.get(name), levels.get(target)) {
                    (Some(from), Some(to)) => from > to,
                    _ => false,
                },
            };
            if !allowed {
                faults.push(format!("{name} must not depend on {target}"));
            }
        }
    }
    for (name, _) in LEVELS {
        assert!(packages.iter().any(|p| p["name"] == *name), "{name} is gone: update LEVELS");
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

fn sources(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !matches!(name, "node_modules" | "out" | "cache" | "target") {
            sources(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

fn rust_sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(&root().join(folder), "rs", &mut found);
    found
}

/// Text of a source file without its comments and without its unit tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Whether `word` occurs and is not the beginning of a longer name.
fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        !code[at + word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_') || word.ends_with(':')
    })
}

#[test]
fn cores_are_pure() {
    let forbidden = [
        "SystemTime",
        "Instant::",
        "std::env",
        "std::fs",
        "std::net::Tcp",
        "tokio",
        "rand::",
        "println!",
        "eprintln!",
        "std::thread",
        ".await",
        "async fn",
    ];
    let mut faults = Vec::new();
    for folder in ["crates/protocol/src", "crates/machine/src", "crates/provider/src/core", "crates/requester/src/core"]
    {
        for path in rust_sources(folder) {
            if path.file_name().is_some_and(|n| n == "tests.rs") || path.components().any(|c| c.as_os_str() == "tests")
            {
                continue;
            }
            let code = code(&path);
            for word in forbidden.iter().filter(|word| mentions(&code, word)) {
                faults.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "no clock, rng, env or IO inside cores: {faults:#?}");
}

#[test]
fn only_the_shell_prints_and_reads_the_environment() {
    let mut faults = Vec::new();
    for krate in ["protocol", "machine", "chain", "net", "exec", "party", "provider", "requester", "devchain"] {
        for path in rust_sources(&format!("crates/{krate}/src")) {
            let code = code(&path);
            for word in ["println!", "eprintln!", "env::var", "env::args"].iter().filter(|word| code.contains(**word)) {
                faults.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn files_tell_one_story() {
    let mut faults = Vec::new();
    for path in rust_sources("crates").into_iter().chain(rust_sources("xtask")) {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if lines > MAX_FILE_LINES {
            faults.push(format!("{}: {lines} lines", path.display()));
        }
        if matches!(name, "utils" | "util" | "common" | "helpers" | "misc") {
            faults.push(format!("{}: name what it knows", path.display()));
        }
    }
    let market = std::fs::read_to_string(root().join("contracts/src/Market.sol")).unwrap().lines().count();
    if market > MAX_MARKET_LINES {
        faults.push(format!("Market.sol: {market} lines"));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn unsafe_code_has_three_places() {
    const PLACES: [&str; 4] =
        ["exec/src/artifact.rs", "exec/src/map.rs", "protocol/src/lanes.rs", "sim/tests/architecture.rs"];
    let mut faults = Vec::new();
    for path in rust_sources("crates").into_iter().chain(rust_sources("xtask")) {
        let uses = code(&path)
            .lines()
            .any(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe"));
        if uses && !PLACES.iter().any(|place| path.ends_with(place)) {
            faults.push(path.display().to_string());
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
