//! The commands: what each is called, and which function runs it. No command knows another.

mod bench;
mod buy;
mod check;
mod config;
mod deals;
mod demo;
mod deploy;
mod dispute;
mod doctor;
mod job;
mod jobs;
mod manual;
mod market;
mod provide;
mod replay;
mod run;
mod up;
mod verify_bundle;
mod wallet;
mod watch;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::{Args, CommandFactory, Parser, Subcommand};
use rialto_requester::Policy;

use crate::{
    env::{PlaceArgs, signals::unless_interrupted},
    job::background,
    program::Given,
    ui::{Output, Ui},
};

/// A decentralized compute market: strangers' results, checked, metered and paid.
#[derive(Debug, Parser)]
#[command(name = "rialto", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// How to print results.
    #[arg(long, value_enum, default_value_t = Output::Human, global = true)]
    pub output: Output,
    /// Log level of stderr: error, warn, info, debug, trace, or per target (`rialto_net=debug`).
    #[arg(long, value_name = "FILTER", default_value = "error,iroh=off", global = true)]
    pub log: String,
    /// Market and account.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring up a market on this machine, render a picture on it, and catch a cheater.
    Demo(demo::Demo),
    /// Run one WASI program as a task on a market on this machine, or buy a job (job.toml) on any
    /// market.
    Run(Run),
    /// Write a job file to begin with.
    Job(job::JobCommand),
    /// Manage jobs: list, show, logs, cancel, resume, results.
    Jobs(jobs::JobsCommand),
    /// Check a job's evidence, without chain or network.
    VerifyBundle(verify_bundle::VerifyBundle),
    /// The background process of `run job.toml` and `jobs`.
    #[command(hide = true)]
    Host,
    /// Keep a market up on this machine: chain, contracts, providers, a funded account.
    Up(up::Up),
    /// Stop the market of `rialto up`.
    Down(up::Down),
    /// Manage accounts: create, import, balance, deposit, withdraw.
    Wallet(wallet::WalletCommand),
    /// Show or write the configuration: which market and account commands use.
    Config(config::Config),
    /// Show the order book, and the price of fuel over time.
    Market(market::Market),
    /// Manage this account's deals: list, show, export, close.
    Deals(deals::DealsCommand),
    /// Play games before a court: list, show, accuse, answer, end by timeout.
    Dispute(dispute::DisputeCommand),
    /// Trace a task of an ended job, or a program, and show or prove single steps.
    Replay(Box<replay::ReplayCommand>),
    /// Deploy a market on any EVM chain.
    Deploy(deploy::Deploy),
    /// Check whether a program is accepted, show its programRoot, and measure a run of it.
    Check(check::Check),
    /// Sell this machine's cores on a market.
    Provide(Box<provide::Provide>),
    /// Show this home's providers (earnings, deals, refusals), or drain them.
    Provider(provide::ProviderCommand),
    /// Defend receipts of providers that are offline, or audit receipts and accuse wrong ones.
    Watch(watch::Watch),
    /// Measure how fast this machine is.
    Bench(bench::Bench),
    /// Check that this machine, the market and the account work, and say what to do if they do not.
    Doctor(doctor::Doctor),
    /// Print completions for a shell.
    Completions(manual::Completions),
    /// Print the manual page, or write the pages of all commands.
    Man(manual::Man),
}

/// `rialto run`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  rialto run hello.wasm
  rialto run sort.wasm -- --reverse < words.txt > sorted.txt
  rialto run --input data=./data prog.wasm -- data/a.csv
  rialto run job.toml --dry-run          # what it would cost, and what a cheat would risk
  rialto run job.toml --explain          # which deals would be opened, and what that sends and locks
  rialto run job.toml                    # on the market of `rialto up`, or any other; Ctrl-C leaves it running
  rialto run job.toml --strict           # … and exit code 1 if any task failed

Exit code of a program: the program's own. 124: it ran out of fuel; 126: it trapped; 125: the market could not run it.")]
pub struct Run {
    /// A WebAssembly program for WASI preview 1 (clang, Zig, Rust: wasm32-wasi, wasm32-wasip1), or
    /// a job file (job.toml;
    /// `-` is standard input).
    pub program: PathBuf,
    /// Job file: show what it would cost under every policy. Nothing is spent.
    #[arg(long)]
    pub dry_run: bool,
    /// Job file: show the first transaction, whose money it locks and what may follow. Nothing is
    /// sent.
    #[arg(long, conflicts_with_all = ["dry_run", "detach"])]
    pub explain: bool,
    /// Job file: return once the job is under way; `rialto jobs` follows it.
    #[arg(long, conflicts_with = "dry_run")]
    pub detach: bool,
    /// Job file: write results into this folder instead of the one that the file names.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Job file: replace files of others in the results' folder.
    #[arg(long)]
    pub force: bool,
    /// Job file: end with exit code 1 if a task trapped, ran out of fuel or failed.
    #[arg(long, conflicts_with_all = ["dry_run", "explain", "detach"])]
    pub strict: bool,
    /// What the program is given.
    #[command(flatten)]
    pub given: Given,
    /// Folder for files that the program creates (default: they are only listed).
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// How results are checked.
    #[command(flatten)]
    pub checking: Checking,
}

/// How results are checked.
#[derive(Clone, Debug, Args)]
pub struct Checking {
    /// On how many distinct providers the task runs; results are compared (default: 2, or as the
    /// job file says).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub replicas: Option<u32>,
    /// How results are checked, instead of by replicas: trust, replicas=N, audit=RATE or
    /// adaptive=FLOOR. The market has to do it all, so a sample is checked by a second provider. Of
    /// a job: whatever its file says.
    #[arg(long, value_name = "POLICY", conflicts_with = "replicas")]
    pub policy: Option<Policy>,
}

impl Checking {
    /// The policy, if one was named.
    fn policy(&self) -> Option<Policy> {
        self.policy
            .or(self.replicas.map(|n| if n == 1 { Policy::Trust } else { Policy::Replicate { n } }))
    }
}

impl Run {
    /// Whether a job file is meant, by its name or its content.
    fn is_job(&self) -> bool {
        buy::is_job(&self.program)
    }

    /// A program and what it is given.
    ///
    /// # Errors
    /// `C-JOB-003`: a flag is for job files only.
    fn program(&self) -> Result<run::Program> {
        if self.dry_run || self.explain || self.detach || self.to.is_some() || self.strict {
            bail!(failure!(
                Usage,
                "C-JOB-003",
                "--dry-run, --explain, --detach, --to and --strict are for job files: `rialto job init` writes one"
            ));
        }
        ensure!(
            !self.force || self.files.is_some(),
            failure!(Usage, "C-JOB-003", "--force is for job files, and beside --files")
        );
        Ok(run::Program {
            path: self.program.clone(),
            given: self.given.clone(),
            files: self.files.clone(),
            force: self.force,
            policy: self.checking.policy(),
        })
    }

    /// A job file and the flags that overrule it.
    ///
    /// # Errors
    /// `C-JOB-003`: a flag is for programs only.
    fn purchase(&self) -> Result<buy::Purchase> {
        if !self.given.is_nothing() || self.files.is_some() {
            bail!(failure!(
                Usage,
                "C-JOB-003",
                "a job file says it all: write arguments, environment and inputs into {}",
                self.program.display()
            ));
        }
        Ok(buy::Purchase {
            file: self.program.clone(),
            dry_run: self.dry_run,
            explain: self.explain,
            detach: self.detach,
            to: self.to.clone(),
            force: self.force,
            strict: self.strict,
            policy: self.checking.policy(),
            fuel: self.given.fuel,
            memory: self.given.memory,
        })
    }
}

impl Cli {
    /// Whether a program is run whose own exit code is passed on: then a failure of this one needs
    /// a code of its own.
    pub fn runs_program(&self) -> bool {
        matches!(&self.command, Command::Run(args) if !args.is_job())
    }

    /// Runs the command until it is done or interrupted. Either way temporary folders are removed:
    /// their owners are dropped.
    pub async fn run(&self) -> Result<u8> {
        let (place, ui) = (&self.place, Ui::new(self.output));
        match &self.command {
            // What holds money or keeps others waiting ends in order: it minds its signals itself.
            Command::Provide(args) => provide::provide(args, place, ui).await,
            Command::Watch(args) => watch::watch(args, place, ui).await,
            Command::Up(args) => up::up(args, place, ui).await,
            Command::Host => background::serve(place).await,
            Command::Run(args) if args.is_job() => buy::buy(&args.purchase()?, place, ui).await,
            Command::Jobs(args) => jobs::jobs(args, place, ui).await,
            Command::Demo(args) => demo::run(args, ui).await,
            Command::Run(args) => unless_interrupted(run::run(&args.program()?, ui)).await,
            Command::Bench(args) => unless_interrupted(bench::bench(args, ui)).await,
            Command::Check(args) => unless_interrupted(check::check(args, ui)).await,
            Command::Provider(args) => unless_interrupted(provide::provider(args, place, ui)).await,
            Command::Down(args) => unless_interrupted(up::down(args, place, ui)).await,
            Command::Wallet(args) => unless_interrupted(wallet::wallet(args, place, ui)).await,
            Command::Market(args) => unless_interrupted(market::market(args, place, ui)).await,
            Command::Deals(args) => unless_interrupted(deals::deals(args, place, ui)).await,
            Command::Dispute(args) => unless_interrupted(dispute::dispute(args, place, ui)).await,
            Command::Replay(args) => unless_interrupted(replay::replay(args, place, ui)).await,
            Command::Deploy(args) => unless_interrupted(deploy::deploy(args, place, ui)).await,
            Command::Doctor(args) => unless_interrupted(doctor::doctor(args, place, ui)).await,
            Command::Job(args) => job::job(args, ui),
            Command::VerifyBundle(args) => verify_bundle::verify_bundle(args, ui),
            Command::Config(args) => config::config(args, place, ui),
            Command::Completions(args) => manual::completions(args, Self::command(), ui),
            Command::Man(args) => manual::man(args, Self::command(), ui),
        }
    }
}

#[cfg(test)]
mod snapshots;

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, path::Path};

    use super::*;

    fn run(path: &Path, more: &[&str]) -> Run {
        let args = ["rialto", "run"].map(OsStr::new).into_iter().chain([path.as_os_str()]);
        match Cli::parse_from(args.chain(more.iter().map(OsStr::new))).command {
            Command::Run(run) => run,
            _ => panic!("not a run"),
        }
    }

    #[test]
    fn flags_overrule_the_file_or_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(&path, "program = \"p.wasm\"\nbudget = 1\nverify = \"trust\"\n").unwrap();
        let file = |more: &[&str]| buy::read(&run(&path, more).purchase().unwrap()).unwrap();
        let plain = file(&[]);
        assert_eq!(file(&["--replicas", "3"]).verify.replicas(), 3);
        assert_eq!(file(&["--replicas", "1"]).verify.to_string(), "trust");
        assert_eq!(file(&["--policy", "audit=0.05"]).verify.to_string(), "audit=0.05");
        assert_eq!(
            (file(&["--fuel", "5"]).fuel, file(&["--fuel", "20 gfuel"]).fuel),
            (5, 20_000_000_000)
        );
        assert_eq!(
            (file(&["--memory", "1"]).max_pages, file(&["--memory", "2 GiB"]).max_pages),
            (16, 32_768)
        );
        assert!(file(&["--to", "there"]).results.folder.ends_with("there"));
        assert_eq!(file(&["--dry-run"]), plain, "and nothing else changes");
        for more in
            [&["--env", "A=b"][..], &["--input", "a=b"], &["--files", "there"], &["--", "x"]]
        {
            assert!(
                run(&path, more).purchase().unwrap_err().to_string().starts_with("[C-JOB-003]"),
                "{more:?}"
            );
        }
    }
}
