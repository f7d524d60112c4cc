//! Flags, and nothing else: what they mean is decided where they are used.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Where to work.
    #[command(flatten)]
    pub place: crate::place::PlaceArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Form of what is printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Human,
    /// One JSON object at the end.
    Json,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring up a market on this machine, render a picture on it, and catch a cheater.
    Demo(Demo),
    /// Run one WASI program as a task on a market on this machine, or buy a job (job.toml) on any market.
    Run(Run),
    /// Write a job file to begin with.
    Job(crate::jobs::JobCommand),
    /// Jobs that live on: list, show, logs, cancel, resume, results.
    Jobs(crate::jobs::JobsCommand),
    /// Check a job's evidence, without chain or network.
    VerifyBundle(crate::jobs::VerifyBundle),
    /// The background process of `run job.toml` and `jobs`.
    #[command(hide = true)]
    Host(crate::jobs::HostArgs),
    /// Keep a market up on this machine: chain, contracts, providers, a funded account. It survives everything.
    Up(crate::up::Up),
    /// Take the market of `rialto up` down.
    Down(crate::up::Down),
    /// Accounts: create, import, balance, deposit, withdraw.
    Wallet(crate::wallet::WalletCommand),
    /// Which market and account commands use.
    Config(crate::config::Config),
    /// What is on offer now, and what fuel cost over time.
    Market(crate::board::Market),
    /// This account's deals: list, show, and close those whose time is up.
    Deals(crate::deals::DealsCommand),
    /// Games before a court: list, show, accuse, answer, end those whose time ran out.
    Dispute(crate::dispute::DisputeCommand),
    /// Trace a task of an ended job, or a program, and show or prove single steps.
    Replay(Box<crate::replay::ReplayCommand>),
    /// Put a market on any EVM chain.
    Deploy(crate::deploy::Deploy),
    /// Tell whether the machine takes a program, what it is called on chain, and what a run takes.
    Check(Check),
    /// Sell this machine's cores on a market.
    Provide(Box<crate::provide::Provide>),
    /// Ask this home's providers: earnings, deals, refusals; or stop one.
    Provider(crate::provide::ProviderCommand),
    /// Defend the receipts of providers that sleep, or check those of strangers and accuse wrong ones.
    Watch(crate::watch::Watch),
    /// Measure how fast this machine is at it.
    Bench(crate::bench::Bench),
    /// Look whether everything that commands need works here, and say what to do about what doesn't.
    Doctor(crate::doctor::Doctor),
    /// Print completions for a shell.
    Completions(crate::shell::Completions),
    /// Print the manual page, or write the pages of all commands.
    Man(crate::shell::Man),
}

/// `rialto demo`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto demo
  rialto demo --providers 6 --cheaters 2
  rialto demo --cheat withhold
  rialto demo --cheat claim
  rialto demo --cheat grief
  rialto demo --output json
  rialto demo --keep          # stays up and prints how to connect")]
pub struct Demo {
    /// Providers on the market.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub providers: u32,
    /// How many of them cheat.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=32))]
    pub cheaters: u32,
    /// What a cheater does.
    #[arg(long, value_enum, default_value_t = Cheat::Output)]
    pub cheat: Cheat,
    /// How tiles are checked: trust, replicas=N, audit=RATE or adaptive=FLOOR (docs/verification.md).
    #[arg(long, value_name = "POLICY", default_value_t = crate::demo::DEFAULT_POLICY)]
    pub policy: rialto_requester::Policy,
    /// Stay up after the picture is done, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
    /// Where to write the picture.
    #[arg(long, value_name = "FILE", default_value = "raytrace.png")]
    pub image: PathBuf,
    /// Light paths per pixel: more is prettier and dearer.
    #[arg(long, value_name = "N", default_value_t = crate::demo::DEFAULT_SAMPLES, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub samples: u32,
    /// Keep chain, journals and blobs of every node here (default: a temporary folder, removed at the end).
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// What a cheater of the demo does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Cheat {
    /// It falsifies the output of some tiles: the court finds the wrong step.
    Output,
    /// It states twice the fuel of some tiles: the court finds the wrong step.
    Fuel,
    /// It claims its fee on chain and shows the results to nobody: they are demanded there.
    Withhold,
    /// It claims the highest fee for tiles that it never computed: the court finds the wrong step.
    Claim,
    /// It promises tiles for a time and delivers none: it is called late on chain.
    Late,
    /// It vanishes for good after some tiles: its deal ends by time alone.
    Crash,
    /// This time the requester is the cheat: it cancels and calls late, rejects right results, and accuses an honest provider
    /// many times at once.
    Grief,
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
    /// A WebAssembly program for WASI preview 1 (clang, Zig, Rust: wasm32-wasi, wasm32-wasip1), or a job file (job.toml;
    /// `-` is standard input).
    pub program: PathBuf,
    /// Of a job: tell what it would cost, under every way of checking, and spend nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Of a job: tell which transaction it would begin with, whose money that locks and what may follow; send nothing.
    #[arg(long, conflicts_with_all = ["dry_run", "detach"])]
    pub explain: bool,
    /// Of a job: return once it is under way; `rialto jobs` follows it.
    #[arg(long, conflicts_with = "dry_run")]
    pub detach: bool,
    /// Of a job: write results here, whatever its file says.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Of a job: replace what others wrote into the results' folder.
    #[arg(long)]
    pub force: bool,
    /// Of a job: end with exit code 1 if a task trapped, ran out of fuel or ended with an exit code.
    #[arg(long, conflicts_with_all = ["dry_run", "explain", "detach"])]
    pub strict: bool,
    /// What the program is given.
    #[command(flatten)]
    pub given: Given,
    /// Folder for files that the program creates (default: they are only listed).
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// On how many distinct providers the task runs; results are compared (default: 2, or as the job file says).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub replicas: Option<u32>,
    /// How results are checked, instead of by replicas: trust, replicas=N, audit=RATE or adaptive=FLOOR. The market has to
    /// do it all, so a sample is checked by a second provider. Of a job: whatever its file says.
    #[arg(long, value_name = "POLICY", conflicts_with = "replicas")]
    pub policy: Option<rialto_requester::Policy>,
}

/// What a program is given, and how much it may use.
#[derive(Clone, Debug, Args)]
pub struct Given {
    /// Arguments of the program.
    #[arg(last = true)]
    pub args: Vec<String>,
    /// Environment variable the program sees.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub env: Vec<(String, String)>,
    /// Input file or folder the program sees as `/NAME`, read-only.
    #[arg(long, value_name = "NAME=PATH", value_parser = key_value)]
    pub input: Vec<(String, String)>,
    /// Fuel limit of a task (about one per wasm instruction), such as 20G (default: 100G, or as the job file says).
    #[arg(long, value_name = "FUEL", value_parser = fuel)]
    pub fuel: Option<u64>,
    /// Memory limit of a task, MiB, or with a unit (default: 1024, or as the job file says).
    #[arg(long, value_name = "MIB", value_parser = memory)]
    pub memory: Option<u64>,
}

impl Run {
    /// How results are checked, if that was said.
    pub fn checked(&self) -> Option<rialto_requester::Policy> {
        use rialto_requester::Policy;
        self.policy.or(self.replicas.map(|n| if n == 1 { Policy::Trust } else { Policy::Replicate { n } }))
    }
}

impl Given {
    /// Whether it gets nothing.
    pub fn is_nothing(&self) -> bool {
        self.args.is_empty() && self.env.is_empty() && self.input.is_empty()
    }
}

/// `rialto check`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto check prog.wasm
  rialto check prog.wasm --run -- 1000 7          # what it takes here: fuel, time, memory
  rialto check prog.wasm --run --input data=./data < in.txt

Exit code with --run: 0 if the program ended with 0, 124 if it ran out of fuel, 126 if it trapped, 1 otherwise.")]
pub struct Check {
    /// A WebAssembly program.
    pub program: PathBuf,
    /// Run it here, too, and tell what that takes. Nothing is bought.
    #[arg(long)]
    pub run: bool,
    /// What the program is given.
    #[command(flatten)]
    pub given: Given,
}

/// A time such as `90 s` or `2 h`, in seconds.
pub fn seconds(text: &str) -> Result<u64, String> {
    use rialto_client::settings::{DURATION, measure};
    measure(text, DURATION).ok_or_else(|| format!("{} is needed", DURATION.needed))
}

/// An amount of tokens such as `12.5`, in base units.
pub fn amount(text: &str) -> Result<u128, String> {
    rialto_client::settings::base_units(text).map_err(str::to_owned)
}

/// An amount of fuel such as `20G`.
fn fuel(text: &str) -> Result<u64, String> {
    use rialto_client::settings::{FUEL, measure};
    let fuel = measure(text, FUEL).filter(|fuel| (1..=i64::MAX as u64).contains(fuel));
    fuel.ok_or_else(|| format!("{} is needed", FUEL.needed))
}

/// Memory in bytes; a bare number counts MiB.
fn memory(text: &str) -> Result<u64, String> {
    use rialto_client::settings::{BYTES, measure};
    let bytes = match text.trim().parse::<u64>() {
        Ok(mib) => mib.checked_mul(1 << 20),
        Err(_) => measure(text, BYTES),
    };
    match bytes {
        Some(bytes) if (1..=MAX_MEMORY_BYTES).contains(&bytes) => Ok(bytes),
        Some(_) => Err("from 1 byte to 4 GiB".into()),
        None => Err(format!("a number of MiB, or {} is needed", BYTES.needed)),
    }
}

/// Most memory that a program can have, bytes.
const MAX_MEMORY_BYTES: u64 = 4 << 30;

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
