//! Holds the house as DESIGN draws it: arrows point down, cores are pure, files tell one story.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

/// Level of every crate. A crate may depend on strictly lower levels only.
const LEVELS: &[(&str, u8)] = &[
    ("rialto-protocol", 0),
    ("rialto-blobs", 1),
    ("rialto-machine", 1),
    ("rialto-chain", 1),
    ("rialto-net", 2),
    ("rialto-exec", 2),
    ("rialto-party", 3),
    ("rialto-provider", 4),
    ("rialto-requester", 4),
    ("rialto-client", 5),
    ("rialto-faults", 5),
    ("rialto-local-market", 6),
    ("rialto", 7),
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
    // What only tests see is no arrow: schemas of answers name types of the views.
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("#[cfg_attr(test,"));
    lines.map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Whether `word` occurs and is not the beginning of a longer name.
fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        !code[at + word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
            || word.ends_with(':')
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
    for folder in [
        "crates/protocol/src",
        "crates/machine/src",
        "crates/provider/src/core",
        "crates/requester/src/core",
    ] {
        for path in rust_sources(folder) {
            if path.file_name().is_some_and(|n| n == "tests.rs")
                || path.components().any(|c| c.as_os_str() == "tests")
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
    for krate in [
        "protocol",
        "machine",
        "chain",
        "blobs",
        "net",
        "exec",
        "party",
        "provider",
        "requester",
        "faults",
        "devchain",
    ] {
        for path in rust_sources(&format!("crates/{krate}/src")) {
            let code = code(&path);
            for word in ["println!", "eprintln!", "env::var", "env::args"]
                .iter()
                .filter(|word| code.contains(**word))
            {
                faults.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Modules that may know each other, and why.
const CIRCLES: &[(&str, &[&str], &str)] = &[
    (
        "chain",
        &["chain", "court", "deploy", "flight", "follow", "link", "sender", "tx", "worker"],
        "one link, many views",
    ),
    ("devchain", &["block", "state", "store"], "a store keeps blocks and state, which read it"),
    ("devchain", &["chain", "rpc"], "the chain answers requests about itself"),
    ("net", &["asks", "blobs", "node"], "a node has both, and both have a node"),
    ("protocol", &["receipt", "tree"], "a receipt is a tree of leaves"),
    ("sim", &["buyer", "network", "seller", "world"], "a simulated world and those who live in it"),
];

/// Paths below `crate::` that a text names: a module, and what is below it.
fn named(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '$') {
            paths(&code[at + prefix.len()..], &[], &mut found);
        }
    }
    found
}

/// Reads `a::b` or `{a, b::{c, d}}`, and returns what follows it.
fn paths<'a>(text: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([' ', '\n', ',']);
            if rest.is_empty() || rest.starts_with('}') {
                return rest.get(1..).unwrap_or_default();
            }
            let after = paths(rest, before, found);
            rest = if after.len() == rest.len() {
                &rest[rest.chars().next().map_or(0, char::len_utf8)..]
            } else {
                after
            };
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    if end == 0 {
        return text;
    }
    let path = [before, &[text[..end].to_owned()]].concat();
    match text[end..].strip_prefix("::") {
        Some(rest) => paths(rest, &path, found),
        None => {
            found.push(path);
            &text[end..]
        }
    }
}

/// Paths that a file names, with `super::` resolved. `place`: the file's own module.
fn imports(code: &str, place: &[String]) -> Vec<Vec<String>> {
    let mut found = named(code);
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::")
            || code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
        {
            continue;
        }
        let (mut rest, mut up) = (&code[at..], 0);
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, up) = (after, up + 1);
        }
        if up <= place.len() {
            paths(rest, &place[..place.len() - up], &mut found);
        }
    }
    found
}

/// The module that a file of a crate is.
fn module(source: &Path, file: &Path) -> Vec<String> {
    let path = file.strip_prefix(source).unwrap().with_extension("");
    let mut parts: Vec<String> =
        path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Groups of modules that reach each other.
fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reach = |from: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(at) = next.pop() {
            next.extend(
                arrows
                    .get(&at)
                    .into_iter()
                    .flatten()
                    .filter(|to| seen.insert((*to).clone()))
                    .cloned(),
            );
        }
        seen
    };
    let all: BTreeMap<&String, BTreeSet<String>> =
        arrows.keys().map(|module| (module, reach(module))).collect();
    let mut found = BTreeSet::new();
    for (module, seen) in &all {
        let circle: BTreeSet<String> = seen
            .iter()
            .filter(|other| all.get(*other).is_some_and(|back| back.contains(*module)))
            .cloned()
            .collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

#[test]
fn modules_of_a_crate_know_each_other_one_way() {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let (krate, source) =
            (folder.file_name().unwrap().to_str().unwrap().to_owned(), folder.join("src"));
        let files = rust_sources(&format!("crates/{krate}/src"));
        let shown: BTreeMap<String, String> = reexports(&source);
        let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in
            files.iter().filter(|file| !file.components().any(|part| part.as_os_str() == "tests"))
        {
            let place = module(&source, file);
            let Some(top) = place.first() else { continue };
            let known =
                imports(&code(file), &place).into_iter().filter_map(|path| path.into_iter().next());
            // A name that the crate's root shows comes from a module, too.
            let known = known.map(|name| shown.get(&name).cloned().unwrap_or(name));
            arrows.entry(top.clone()).or_default().extend(known.filter(|name| name != top));
        }
        found.extend(circles(&arrows).into_iter().map(|circle| (krate.clone(), circle)));
    }
    let excused = |circle: &BTreeSet<String>, modules: &[&str]| {
        circle.iter().all(|one| modules.contains(&one.as_str()))
    };
    let faults: Vec<_> = found
        .iter()
        .filter(|(krate, circle)| {
            !CIRCLES.iter().any(|(of, modules, _)| of == krate && excused(circle, modules))
        })
        .collect();
    assert!(faults.is_empty(), "modules that import each other: {faults:#?}");
    for (krate, modules, why) in CIRCLES {
        let held = found.iter().any(|(of, circle)| of == krate && excused(circle, modules));
        assert!(held, "{krate} has no such circle any more ({why}): remove it from CIRCLES");
    }
}

/// Names that a crate's root passes on, and the module of each.
fn reexports(source: &Path) -> BTreeMap<String, String> {
    let Ok(text) = std::fs::read_to_string(source.join("lib.rs")) else { return BTreeMap::new() };
    let mut found = Vec::new();
    for (at, prefix) in text.match_indices("\npub use ") {
        paths(&text[at + prefix.len()..], &[], &mut found);
    }
    found
        .into_iter()
        .filter(|path| path.len() > 1)
        .map(|path| (path[path.len() - 1].clone(), path[0].clone()))
        .collect()
}

#[test]
fn no_command_knows_another() {
    let source = root().join("crates/cli/src");
    let commands = source.join("commands");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()
    };
    let known: BTreeSet<String> = std::fs::read_dir(&commands).unwrap().map(name).collect();
    assert!(known.contains("wallet") && known.len() > 15, "{known:?}");
    let mut faults = Vec::new();
    for file in rust_sources("crates/cli/src") {
        let place = module(&source, &file);
        let own = file.strip_prefix(&commands).ok().and(place.get(1));
        for path in imports(&code(&file), &place) {
            let [first, command, ..] = path.as_slice() else { continue };
            // The parent knows all of them; a command knows its own parts.
            let parent = place == ["commands"];
            let allowed =
                first != "commands" || !known.contains(command) || own == Some(command) || parent;
            if !allowed {
                faults.push(format!("{}: {}", file.display(), path.join("::")));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn imports_are_read() {
    let text = "use crate::{a::{self, b}, c}; fn f() { super::super::d::e(); crate::g::h() } use super::k;";
    let place = ["x".to_owned(), "y".to_owned()];
    let found: BTreeSet<String> =
        imports(text, &place).iter().map(|path| path.join("::")).collect();
    let expected = ["a::self", "a::b", "c", "d::e", "g::h", "x::k"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
    let arrows = [("a", "b"), ("b", "c"), ("c", "b"), ("d", "a")];
    let mut map: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in arrows {
        map.entry(from.into()).or_default().insert(to.into());
    }
    assert_eq!(circles(&map), [BTreeSet::from(["b".to_owned(), "c".to_owned()])]);
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
    let market = std::fs::read_to_string(root().join("contracts/src/market/Market.sol"))
        .unwrap()
        .lines()
        .count();
    if market > MAX_MARKET_LINES {
        faults.push(format!("Market.sol: {market} lines"));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn unsafe_code_has_three_places() {
    const PLACES: [&str; 4] = [
        "exec/src/wasm/artifact.rs",
        "exec/src/map.rs",
        "protocol/src/lanes.rs",
        "sim/tests/architecture.rs",
    ];
    let mut faults = Vec::new();
    for path in rust_sources("crates").into_iter().chain(rust_sources("xtask")) {
        let uses = code(&path).lines().any(|line| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
        });
        if uses && !PLACES.iter().any(|place| path.ends_with(place)) {
            faults.push(path.display().to_string());
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Widest line of a comment, of Markdown: columns.
const MAX_WIDTH: usize = 100;

/// Whether `line` may be wider: a table's row can't be broken.
fn is_row(line: &str) -> bool {
    line.trim_start_matches(['/', '!', ' ']).starts_with('|')
}

#[test]
fn comments_are_not_too_wide() {
    let mut faults = Vec::new();
    for path in rust_sources("crates").into_iter().chain(rust_sources("xtask")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut drawing = false;
        for (number, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
            // Drawings and examples keep their shape.
            drawing ^= comment.trim_start_matches(['/', '!', ' ']).starts_with("```");
            let hidden = comment.trim_start_matches(['/', '!', ' ']).starts_with("# ");
            if line.chars().count() > MAX_WIDTH && !drawing && !is_row(line) && !hidden {
                faults.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "wider than {MAX_WIDTH} columns: {faults:#?}");
}

#[test]
fn markdown_is_not_too_wide() {
    let mut pages = Vec::new();
    for folder in ["docs", "contracts", "crates", "examples"] {
        sources(&root().join(folder), "md", &mut pages);
    }
    for entry in std::fs::read_dir(root()).unwrap() {
        pages.extend(
            Some(entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "md")),
        );
    }
    let mut faults = Vec::new();
    for path in pages {
        let text = std::fs::read_to_string(&path).unwrap();
        // A test writes what stands between these two.
        let mut written = false;
        for (number, line) in text.lines().enumerate() {
            written |= line.starts_with("<!-- played by");
            written &= !line.starts_with("<!-- end of");
            let unit = line.trim_start().starts_with("ExecStart=");
            if line.chars().count() > MAX_WIDTH && !written && !is_row(line) && !unit {
                faults.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "wider than {MAX_WIDTH} columns: {faults:#?}");
}

#[test]
fn the_root_folder_holds_what_it_is_known_to_hold() {
    const KNOWN: [&str; 18] = [
        ".cargo",
        ".ci",
        ".gitignore",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "SECURITY.md",
        "contracts",
        "crates",
        "docs",
        "examples",
        "rustfmt.toml",
        "xtask",
    ];
    let listed = Command::new("git")
        .args(["ls-tree", "--name-only", "HEAD"])
        .current_dir(root())
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let stray: Vec<_> = listed.lines().filter(|name| !KNOWN.contains(name)).collect();
    assert!(stray.is_empty(), "not known at the root: {stray:?}");
}

/// Longest function, lines.
const MAX_FUNCTION_LINES: usize = 80;
/// Functions that are longer. Each is one dispatch, or tells one thing from beginning to end.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    ("crates/chain/src/call.rs", "market_data"),
    ("crates/chain/src/contract_error.rs", "market_message"),
    ("crates/chain/src/court_event.rs", "decode"),
    ("crates/chain/src/event.rs", "decode"),
    ("crates/cli/src/commands/demo/grief.rs", "grief"),
    ("crates/cli/src/commands/demo/report.rs", "print"),
    ("crates/cli/src/commands/demo/story.rs", "tell"),
    ("crates/cli/src/commands/dispute/accuse.rs", "accuse"),
    ("crates/cli/src/commands/dispute/answer.rs", "answer"),
    ("crates/cli/src/commands/dispute/tell.rs", "sheet"),
    ("crates/cli/src/commands/provide/tell.rs", "sentence"),
    ("crates/cli/src/commands/watch.rs", "watch"),
    ("crates/cli/src/job/follow.rs", "tell"),
    ("crates/client/src/bundle.rs", "check"),
    ("crates/client/src/job/file.rs", "from_settings"),
    ("crates/client/src/ledger.rs", "tell"),
    ("crates/machine/src/v3/body.rs", "read"),
    ("crates/machine/src/v3/gate.rs", "take"),
    ("crates/machine/src/v3/lower/function.rs", "operator"),
    ("crates/machine/src/v3/step.rs", "step"),
    ("crates/provider/src/service/mod.rs", "start_in"),
    ("crates/requester/src/core/journal/mod.rs", "apply"),
    ("crates/requester/src/service/driver.rs", "take"),
    ("crates/sim/src/buyer.rs", "perform_buyer"),
    ("crates/sim/src/search/provider/foe.rs", "on_chain"),
    ("crates/sim/src/search/provider/shop.rs", "perform"),
    ("crates/sim/src/search/requester/foe.rs", "on_chain"),
];

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    let mut long = Vec::new();
    for path in rust_sources("crates").into_iter().chain(rust_sources("xtask")) {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        if !name.contains("/src/") || name.contains("/tests") {
            continue;
        }
        let text = code(&path);
        let lines: Vec<&str> = text.lines().collect();
        for (first, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let Some(function) =
                line.trim_start().split("fn ").nth(1).filter(|_| is_function(line))
            else {
                continue;
            };
            let function = function.split(['(', '<']).next().unwrap();
            let end = format!("{}}}", " ".repeat(indent));
            // A trait's method may have no body.
            let head = lines[first..].iter().find(|line| line.ends_with(['{', ';', '}']));
            if head.is_none_or(|line| line.ends_with(';')) {
                continue;
            }
            let last = lines[first..].iter().position(|line| *line == end).unwrap_or(0);
            if last + 1 > MAX_FUNCTION_LINES {
                long.push((name.clone(), function.to_owned()));
            }
        }
    }
    for (file, function) in &long {
        if !LONG_FUNCTIONS.contains(&(file, function)) {
            faults.push(format!("{file}: {function}"));
        }
    }
    for (file, function) in LONG_FUNCTIONS {
        if !long.iter().any(|(at, name)| at == file && name == function) {
            faults.push(format!("{file}: {function} is not long any more: take it off the list"));
        }
    }
    assert!(faults.is_empty(), "above {MAX_FUNCTION_LINES} lines: {faults:#?}");
}

/// Whether a function with a body begins on this line.
fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    let rest = ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "]
        .iter()
        .fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
    rest.starts_with("fn ")
}
