//! docs/codes.md and the sources contain the same codes: every code of the sources is explained,
//! and every explained code is in the sources.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Least number of codes. A search that finds fewer is broken.
const MIN_CODES: usize = 300;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
        {
            found.push(path);
        }
    }
}

/// Returns the codes in a text, such as `P-ADM-003` or `M-001`: a capital letter, perhaps a word in
/// capitals, and three digits.
fn codes(text: &str) -> Vec<String> {
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words = text.split(|c: char| !part_of_word(c));
    words.filter(|word| is_code(word)).map(str::to_owned).collect()
}

fn is_code(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let capitals = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase());
    let number = |text: &str| text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    match parts.as_slice() {
        [family, digits] => family.len() == 1 && capitals(family) && number(digits),
        [family, area, digits] => {
            family.len() == 1 && capitals(family) && capitals(area) && number(digits)
        }
        _ => false,
    }
}

/// Returns the codes of the sources, without comments and unit tests, and a file for each.
fn said() -> BTreeMap<String, PathBuf> {
    let mut files = Vec::new();
    for krate in std::fs::read_dir(root().join("crates")).unwrap() {
        let source = krate.unwrap().path().join("src");
        if source.is_dir() {
            sources(&source, &mut files);
        }
    }
    let mut said = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for code in lines.flat_map(codes) {
            said.entry(code).or_insert_with(|| file.clone());
        }
    }
    said
}

/// Returns the rows of the page: the codes of the first cell, and the number of cells with text.
fn explained() -> Vec<(String, usize)> {
    let page = std::fs::read_to_string(root().join("docs/codes.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_end_matches('|').split(" | ").map(str::trim).collect();
        let full = cells.iter().filter(|cell| !cell.is_empty()).count();
        // The overview has prefixes, in code quotes.
        codes(cells[0].trim_matches('`'))
            .into_iter()
            .map(move |code| (code, full))
            .collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn every_code_is_explained_and_every_explanation_is_of_a_code() {
    let (said, rows) = (said(), explained());
    assert!(said.len() >= MIN_CODES, "{} codes found in the sources", said.len());
    let known: BTreeSet<&str> = rows.iter().map(|(code, _)| code.as_str()).collect();
    let missing: Vec<String> = said
        .iter()
        .filter(|(code, _)| !known.contains(code.as_str()))
        .map(|(code, file)| format!("{code} ({})", file.display()))
        .collect();
    assert!(missing.is_empty(), "not in docs/codes.md: {missing:#?}");
    let stale: Vec<_> = known.iter().filter(|code| !said.contains_key(**code)).collect();
    assert!(stale.is_empty(), "in docs/codes.md, but nothing says them: {stale:?}");
    let twice: Vec<_> = known
        .iter()
        .filter(|code| rows.iter().filter(|(row, _)| row == *code).count() > 1)
        .collect();
    assert!(twice.is_empty(), "in docs/codes.md twice: {twice:?}");
    let empty: Vec<_> = rows.iter().filter(|(_, cells)| *cells != 3).collect();
    assert!(
        empty.is_empty(),
        "docs/codes.md: a row has a code, what it means and what to do: {empty:?}"
    );
}

#[test]
fn codes_are_told_from_what_looks_like_them() {
    let text = "[P-ADM-003] and (M-001), \"C-HOM-001\", not SHA-256, ADM-003, X-1, ISO-8859-001, R-JOB-00, C-A-001-B";
    assert_eq!(codes(text), ["P-ADM-003", "M-001", "C-HOM-001"]);
}
