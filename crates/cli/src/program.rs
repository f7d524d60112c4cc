//! Programs on this machine, and what a run of one is given.

use std::{
    io::{Cursor, IsTerminal, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rialto_client::job::Gathered;
use rialto_exec::{Limits, PAGE_BYTES};
use rialto_machine::input::TaskInput;
use rialto_protocol::receipt::{Halted, Status};

use crate::env::values::{fuel, key_value, memory};

/// Most bytes of stdin: they travel as part of the task.
const MAX_STDIN_BYTES: u64 = 64 << 20;
/// Most bytes of all input files together: they are hashed and sent as a whole.
const MAX_INPUT_BYTES: u64 = 1 << 30;
/// Output limit, bytes: what providers take by default.
const OUT_LIMIT: u64 = 64 << 20;
/// Fuel limit where nothing is said.
pub const FUEL_LIMIT: u64 = 100_000_000_000;
/// Memory limit where nothing is said, bytes.
const MEMORY_BYTES: u64 = 1 << 30;
/// Most bytes of a program that are read: the gate's own limit is lower.
const MAX_PROGRAM_BYTES: u64 = 256 << 20;

/// What a program is given, and how much it may use.
#[derive(Clone, Debug, Args)]
pub struct Given {
    /// Arguments of the program.
    #[arg(last = true)]
    pub args: Vec<String>,
    /// Set an environment variable of the program.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub env: Vec<(String, String)>,
    /// Give the program a file or folder as `/NAME`, read-only.
    #[arg(long, value_name = "NAME=PATH", value_parser = key_value)]
    pub input: Vec<(String, String)>,
    /// Fuel limit of a task (about one per wasm instruction), such as 20G (default: 100G, or as the
    /// job file says).
    #[arg(long, value_name = "FUEL", value_parser = fuel)]
    pub fuel: Option<u64>,
    /// Memory limit of a task, MiB, or with a unit (default: 1024, or as the job file says).
    #[arg(long, value_name = "MIB", value_parser = memory)]
    pub memory: Option<u64>,
}

impl Given {
    /// Whether it gets nothing.
    pub fn is_nothing(&self) -> bool {
        self.args.is_empty() && self.env.is_empty() && self.input.is_empty()
    }
}

/// Reads a program, refusing what is no file or absurdly large before reading it.
pub fn read_program(path: &Path) -> Result<Vec<u8>> {
    let about = std::fs::metadata(path).with_context(|| {
        failure!(Usage, "C-CHK-002", "cannot read the program {}: check the path", path.display())
    })?;
    ensure!(about.is_file(), failure!(Usage, "C-CHK-002", "{} is not a file", path.display()));
    let length = about.len();
    ensure!(
        length <= MAX_PROGRAM_BYTES,
        failure!(
            Usage,
            "C-CHK-002",
            "{} has {length} bytes, more than any program may",
            path.display()
        )
    );
    std::fs::read(path)
        .with_context(|| failure!(Usage, "C-CHK-002", "cannot read the program {}", path.display()))
}

/// First line of the error when the gate says no.
pub fn refused(path: &Path) -> String {
    format!("the machine does not take {}", path.display())
}

/// The task's own input, encoded, and the shared half, if there are input files.
pub async fn inputs(program: &Path, given: &Given) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let named = given.input.clone();
    let shared = tokio::task::spawn_blocking(move || shared_input(&named)).await??;
    let task = TaskInput {
        argv: std::iter::once(program_name(program))
            .chain(given.args.iter().cloned())
            .map(String::into_bytes)
            .collect(),
        env: given
            .env
            .iter()
            .map(|(key, value)| (key.clone().into_bytes(), value.clone().into_bytes()))
            .collect(),
        stdin: tokio::task::spawn_blocking(stdin).await??,
        ..TaskInput::default()
    };
    Ok((task.encode().context("the task's input can't be encoded")?, shared))
}

/// What a task may use.
pub fn limits(given: &Given) -> Result<Limits> {
    let pages = given.memory.unwrap_or(MEMORY_BYTES).div_ceil(PAGE_BYTES);
    let max_pages = u32::try_from(pages)?.min(rialto_machine::limits::MAX_MEMORY_PAGES);
    Ok(Limits { fuel: given.fuel.unwrap_or(FUEL_LIMIT), out_bytes: OUT_LIMIT, max_pages })
}

/// Whether a program trapped because it had no fuel left.
pub fn out_of_fuel(halted: &Halted) -> bool {
    halted.status == Status::Trap && halted.fuel_left < 0
}

/// Everything on stdin, unless that is a terminal.
fn stdin() -> Result<Vec<u8>> {
    let stdin = std::io::stdin();
    let mut bytes = Vec::new();
    if !stdin.is_terminal() {
        let read = stdin.lock().take(MAX_STDIN_BYTES + 1).read_to_end(&mut bytes);
        read.context(failure!(Failed, "C-RUN-002", "standard input can't be read"))?;
        ensure!(
            bytes.len() as u64 <= MAX_STDIN_BYTES,
            failure!(
                Failed,
                "C-RUN-002",
                "standard input has more than {MAX_STDIN_BYTES} bytes: pass a file with --input NAME=PATH instead"
            )
        );
    }
    Ok(bytes)
}

fn program_name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "program".into(), |stem| stem.to_string_lossy().into_owned())
}

/// Input files and folders, encoded as the job's shared half.
fn shared_input(inputs: &[(String, String)]) -> Result<Option<Vec<u8>>> {
    if inputs.is_empty() {
        return Ok(None);
    }
    let mut found = Gathered::default();
    for (name, path) in inputs {
        found.add(name, &crate::env::resolved(Path::new(path))?)?;
    }
    ensure!(
        found.bytes() <= MAX_INPUT_BYTES,
        failure!(
            Failed,
            "C-RUN-003",
            "the input files have more than {MAX_INPUT_BYTES} bytes together: a job file takes more"
        )
    );
    let mut encoded = Cursor::new(Vec::new());
    let len = found.encode(&mut encoded, &PathBuf::from("the inputs"))?;
    let mut encoded = encoded.into_inner();
    encoded.resize(usize::try_from(len)?, 0);
    Ok(Some(encoded))
}
