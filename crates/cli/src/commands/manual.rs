//! What a shell and `man` want to know: completions and manual pages, made from the flags
//! themselves.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use clap_complete::Shell;
use rialto_client::view;

use crate::{
    exit,
    ui::{self, Output, Ui},
};

/// `rialto completions`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto completions bash > ~/.local/share/bash-completion/completions/rialto
  rialto completions zsh  > ~/.zfunc/_rialto          # a folder of $fpath
  rialto completions fish > ~/.config/fish/completions/rialto.fish")]
pub struct Completions {
    /// Which shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `rialto man`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto man | man -l -                           # the page of `rialto` itself
  rialto man --dir ~/.local/share/man/man1        # one page per command: man rialto-run")]
pub struct Man {
    /// Write the pages of all commands into this folder.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Prints completions.
pub fn completions(args: &Completions, mut all: clap::Command, ui: Ui) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut all, "rialto", &mut script);
    match ui.output() {
        Output::Human => ui::raw(&script),
        Output::Json => ui::json(&view::Completions {
            completions: String::from_utf8_lossy(&script).into_owned(),
        }),
    }
    Ok(exit::OK)
}

/// Prints a page, or writes all.
pub fn man(args: &Man, mut all: clap::Command, ui: Ui) -> Result<u8> {
    all.build();
    let Some(folder) = &args.dir else {
        let mut text = Vec::new();
        clap_mangen::Man::new(all).render(&mut text).context("the page was not written")?;
        match ui.output() {
            Output::Human => ui::raw(&text),
            Output::Json => {
                ui::json(&view::ManualPage { page: String::from_utf8_lossy(&text).into_owned() })
            }
        }
        return Ok(exit::OK);
    };
    let failed = || failure!(Failed, "C-HOM-001", "{}", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    let mut written = Vec::new();
    pages(&all, folder, &mut written).with_context(failed)?;
    let text = format!("{} pages in {}", written.len(), folder.display());
    ui.answer(&text, || view::ManualPages { written });
    Ok(exit::OK)
}

/// Every command that is not hidden, under the name by which `man` finds it: `rialto-run`.
fn pages(
    command: &clap::Command,
    folder: &Path,
    written: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    written.push(clap_mangen::Man::new(command.clone()).generate_to(folder)?);
    let mut below = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set() && below.get_name() != "help");
    below.try_for_each(|below| pages(below, folder, written))
}
