//! `rialto bench compare`: the same tiny tasks here, on Ray and on Dask, on this machine in the
//! same minutes. Those two trust their workers: nothing is metered, signed, checked or paid.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use rialto_client::view;
use rialto_requester::Policy;
use serde::Deserialize;

use super::tasks::{self, Tasks};
use crate::ui::{Ui, json_on_lines};

/// What python3 runs.
const SCRIPT: &str = include_str!("compare.py");
/// Python package of each, and what one installs to have it.
const OTHERS: [(&str, &str); 2] = [("ray", "ray"), ("dask", "dask distributed")];

/// `rialto bench compare`
#[derive(Clone, Debug, Args)]
pub struct Compare {
    /// Number of tasks, on each.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    tasks: u32,
    /// The Python that has ray and dask, such as one of a virtual environment.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
}

/// What the script prints.
#[derive(Clone, Debug, Deserialize)]
struct Answer {
    version: String,
    seconds: f64,
    latency_p50_micros: f64,
    latency_p99_micros: f64,
}

/// Measures and prints.
pub async fn run(args: &Compare, ui: Ui) -> Result<()> {
    let own = Tasks { tasks: args.tasks, policy: Policy::Trust, providers: None };
    let own = tasks::measure(&own).await?;
    let rate = own.per_second();
    let whole = f64::from(args.tasks) / (own.submit + own.work).as_secs_f64();
    if ui.for_people() {
        println!("{} tiny tasks on this machine", args.tasks);
        println!(
            "  {:<20}{rate:>9.0} tasks a second ({whole:.0} with handing in)",
            "rialto, trust"
        );
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let script = folder.path().join("compare.py");
    std::fs::write(&script, SCRIPT)?;
    let mut others = std::collections::BTreeMap::new();
    for (name, packages) in OTHERS {
        let answer = tokio::task::block_in_place(|| ask(&args.python, &script, name, args.tasks))?;
        let (value, line) = match answer {
            Some(answer) => told(name, &answer, args.tasks, rate, whole),
            None => {
                let how = format!("{} -m pip install {packages}", args.python);
                let line = format!("  {name:<20}is missing: {how}");
                (view::BenchOther::Missing { missing: true, install: how }, line)
            }
        };
        others.insert(name.to_owned(), value);
        if ui.for_people() {
            println!("{line}");
        }
    }
    if !ui.for_people() {
        json_on_lines(&view::BenchCompare {
            tasks: args.tasks,
            rialto: view::OwnRate { tasks_per_second: rate, with_handing_in: whole },
            others,
        });
    }
    Ok(())
}

fn told(
    name: &str,
    answer: &Answer,
    tasks: u32,
    rate: f64,
    whole: f64,
) -> (view::BenchOther, String) {
    let theirs = f64::from(tasks) / answer.seconds;
    let value = view::BenchOther::Measured {
        version: answer.version.clone(),
        tasks_per_second: theirs,
        latency_p50_micros: answer.latency_p50_micros,
        latency_p99_micros: answer.latency_p99_micros,
        rialto_is_times_as_fast: rate / theirs,
        with_handing_in: whole / theirs,
    };
    let line = format!(
        "  {:<20}{theirs:>9.0} tasks a second: rialto does {:.1} times as many ({:.1} with handing in); one task takes it {:.1} ms (p50)",
        format!("{name} {}", answer.version),
        rate / theirs,
        whole / theirs,
        answer.latency_p50_micros / 1e3,
    );
    (value, line)
}

/// Runs the script; `None` if this Python has no such package.
fn ask(python: &str, script: &Path, which: &str, tasks: u32) -> Result<Option<Answer>> {
    let import = format!("import {}", if which == "dask" { "dask, distributed" } else { which });
    let found = Command::new(python).args(["-c", &import]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = Command::new(python);
    command.arg(script).args([which, &tasks.to_string(), &cores.to_string()]).stderr(Stdio::null());
    let output = command.output().with_context(|| format!("{python} did not start"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let answer = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    match answer {
        Some(answer) if output.status.success() => Ok(Some(answer)),
        _ => bail!("{which} did not do the tasks: {}", output.status),
    }
}
