//! Help texts, compared with those in `tests/help/`. `UPDATE=1` rewrites them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::CommandFactory;

use super::Cli;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help")
}

/// The help of a command and of every command below it, by file name.
fn texts(command: &mut clap::Command, name: &str, found: &mut Vec<(String, String)>) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    found.push((format!("{name}.txt"), format!("{}\n", lines.join("\n").trim_end())));
    for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
        let name = format!("{name}-{}", below.get_name());
        texts(below, &name, found);
    }
}

#[test]
fn help_texts_are_as_committed() {
    let mut all = Cli::command();
    all.build();
    let mut found = Vec::new();
    texts(&mut all, "rialto", &mut found);
    if std::env::var_os("UPDATE").is_some() {
        let _ = std::fs::remove_dir_all(folder());
        std::fs::create_dir_all(folder()).unwrap();
        found.iter().for_each(|(name, text)| std::fs::write(folder().join(name), text).unwrap());
    }
    for (name, text) in &found {
        let committed = std::fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert_eq!(text, &committed, "{name}: if that is meant, UPDATE=1 rewrites the files");
    }
    let known: BTreeSet<String> = found.into_iter().map(|(name, _)| name).collect();
    let files = std::fs::read_dir(folder()).unwrap();
    let files: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, known, "a command is gone: UPDATE=1 removes its help");
}
