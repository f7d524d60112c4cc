//! `rialto job init`

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use rialto_client::{job::TEMPLATE, view};

use crate::{exit, ui::Ui};

/// `rialto job`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  rialto job init && $EDITOR job.toml && rialto run job.toml --dry-run"
)]
pub struct JobCommand {
    /// What to do.
    #[command(subcommand)]
    pub what: JobWhat,
}

/// What can be done with job files.
#[derive(Debug, Subcommand)]
pub enum JobWhat {
    /// Write a commented job file to begin with.
    #[command(
        after_help = "Example:\n  rialto job init && $EDITOR job.toml && rialto run job.toml --dry-run"
    )]
    Init {
        /// Where.
        #[arg(default_value = "job.toml")]
        file: PathBuf,
    },
}

/// Writes the template.
pub fn job(args: &JobCommand, ui: Ui) -> Result<u8> {
    let JobWhat::Init { file } = &args.what;
    let mut out = match std::fs::OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(out) => out,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!(failure!(
                Usage,
                "C-JOB-009",
                "{} is there already: edit it, or name another file",
                file.display()
            ))
        }
        Err(error) => {
            return Err(error).with_context(|| failure!(Usage, "C-JOB-002", "{}", file.display()));
        }
    };
    std::io::Write::write_all(&mut out, TEMPLATE.as_bytes())?;
    let text = format!("wrote {0}: edit it, then `rialto run {0} --dry-run`", file.display());
    ui.answer(&text, || view::Written { written: file.clone() });
    Ok(exit::OK)
}
