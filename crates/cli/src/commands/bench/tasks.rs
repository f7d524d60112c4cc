//! `rialto bench tasks`: everything that happens around a task, a hundred thousand times.
//! Everything is real: the chain, the journals with their syncs, QUIC, signatures, receipts,
//! vouchers. Only the work is next to nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use rialto_client::view;
use rialto_exec::Limits;
use rialto_local_market::{Folder, LocalMarket, ProviderPlan, Setting};
use rialto_machine::{input::TaskInput, output};
use rialto_provider::Price;
use rialto_requester::{Job, JobEvent, JobReport, Patience, Policy};

use super::usage;
use crate::{
    samples::TINY,
    ui::{Output, Ui, json_on_lines},
};

/// Fuel limit of a tiny task: twenty times what it uses.
const FUEL: u64 = 1_000_000;
/// What a core is said to do; tiny tasks are nowhere near it.
const FUEL_PER_SECOND: u64 = 500_000_000;
/// Price, base units per Tfuel, and fee per task.
const PRICE: u128 = 100_000;
const TASK_FEE: u128 = 10;
/// Time for all of it.
const WITHIN: Duration = Duration::from_secs(1_800);

/// `rialto bench tasks`
#[derive(Clone, Debug, Args)]
pub struct Tasks {
    /// Number of tasks.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub tasks: u32,
    /// How results are checked: trust, replicas=N, audit=RATE or adaptive=FLOOR.
    #[arg(long, value_name = "POLICY", default_value = "trust")]
    pub policy: Policy,
    /// Providers on the market; by default as many as the policy needs.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub providers: Option<u32>,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Tasks that were verified and paid.
    pub tasks: u32,
    /// Policy, as the flag says it.
    pub policy: String,
    /// Providers that had a deal.
    pub providers: u32,
    /// From handing in the job to its acceptance: program checked, inputs hashed and written.
    pub submit: Duration,
    /// From there to the first order: offers, deals opened on chain.
    pub open: Duration,
    /// From the first order to the closing voucher.
    pub work: Duration,
    /// CPU time of everybody (chain, providers, requester) from handing in to the closing voucher.
    pub cpu: Duration,
    /// Resident memory at the end, bytes.
    pub memory: u64,
}

impl Measured {
    /// Tasks from order to voucher per second.
    pub fn per_second(&self) -> f64 {
        f64::from(self.tasks) / self.work.as_secs_f64()
    }

    /// CPU time of a task, µs.
    pub fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.tasks)
    }
}

/// Measures and prints.
pub async fn run(args: &Tasks, ui: Ui) -> Result<()> {
    let measured = measure(args).await?;
    let rate = measured.per_second();
    match ui.output() {
        Output::Json => json_on_lines(&view::BenchTasks {
            tasks: measured.tasks,
            tasks_per_second: rate.round(),
            policy: measured.policy.clone(),
            providers: measured.providers,
            seconds: measured.work.as_secs_f64(),
            submit_seconds: measured.submit.as_secs_f64(),
            open_seconds: measured.open.as_secs_f64(),
            cpu_micros_per_task: measured.cpu_micros(),
            memory_bytes: measured.memory,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }),
        Output::Human => {
            println!(
                "{} tasks, {}, {} provider(s)",
                measured.tasks, measured.policy, measured.providers
            );
            println!(
                "  {rate:.0} tasks a second from order to voucher ({:.2} s)",
                measured.work.as_secs_f64()
            );
            println!(
                "  {:.1} µs of CPU a task, requester, providers and chain together",
                measured.cpu_micros()
            );
            println!(
                "  before: {:.2} s to hand in, {:.2} s to open",
                measured.submit.as_secs_f64(),
                measured.open.as_secs_f64()
            );
            println!("  {} MiB resident at the end", measured.memory >> 20);
        }
    }
    Ok(())
}

/// Brings up a market, runs the job, and checks its results.
pub async fn measure(args: &Tasks) -> Result<Measured> {
    let needed = args.policy.replicas();
    let providers = args.providers.unwrap_or(needed);
    ensure!(
        providers >= needed,
        failure!(
            Usage,
            "C-BCH-001",
            "this policy needs {needed} providers: use --providers {needed} or more"
        )
    );
    let market = market(providers, Patience::default()).await?;
    let (started, cpu) = (Instant::now(), usage::cpu());
    let job = Job { policy: args.policy, ..job(args.tasks, providers)? };
    let handle = market.requester.submit(job).await.context("the job was refused")?;
    let submitted = Instant::now();
    let mut events = handle.events();
    let (mut ordered, mut settled) = (None, None);
    while let Some(event) = events.next().await {
        match event {
            JobEvent::OrderSent { .. } => drop(ordered.get_or_insert_with(Instant::now)),
            JobEvent::Settling { outcome } => {
                settled = Some((Instant::now(), usage::cpu()));
                if let Err(why) = outcome {
                    bail!("the job failed: {why}");
                }
            }
            JobEvent::Note { code, text } => eprintln!("rialto: [{code}] {text}"),
            _ => {}
        }
    }
    let report = handle.wait().await.context("the job's report is lost")?;
    let (ordered, (settled, used)) =
        (ordered.context("nothing was ordered")?, settled.context("the job did not end")?);
    let memory = usage::memory();
    check(&report, args.tasks)?;
    market.stop().await;
    Ok(Measured {
        tasks: args.tasks,
        policy: args.policy.to_string(),
        providers,
        submit: submitted - started,
        open: ordered - submitted,
        work: settled - ordered,
        cpu: used - cpu,
        memory,
    })
}

/// A market of equal providers.
pub async fn market(providers: u32, patience: Patience) -> Result<LocalMarket> {
    let plan = |n| ProviderPlan::honest(Price::Constant(PRICE + u128::from(n)), TASK_FEE);
    let plans: Vec<_> = (0..providers).map(plan).collect();
    let setting = Setting { patience, ..Setting::default() };
    Ok(LocalMarket::start_with(Folder::new(None)?, &plans, FUEL_PER_SECOND, setting).await?)
}

/// A job of tiny tasks: task `i` squares `i`.
pub fn job(tasks: u32, providers: u32) -> Result<Job> {
    let input = |task: u32| -> Result<Bytes> {
        let stdin = u64::from(task).to_le_bytes().to_vec();
        Ok(TaskInput { stdin, ..TaskInput::default() }.encode()?.into())
    };
    Ok(Job {
        limits: Limits { fuel: FUEL, out_bytes: 4096, max_pages: 64 },
        budget: rialto_local_market::initial_deposit(),
        within: WITHIN,
        min_providers: providers,
        max_providers: providers,
        ..Job::new(Bytes::from_static(TINY), (0..tasks).map(input).collect::<Result<_>>()?)
    })
}

/// Every task has a result, and those looked at are right.
fn check(report: &JobReport, tasks: u32) -> Result<()> {
    ensure!(
        report.tasks.len() == tasks as usize && report.tasks.iter().all(Option::is_some),
        "results are missing"
    );
    for task in [0, tasks / 3, tasks / 2, tasks - 1] {
        let result = report.tasks[task as usize].as_ref().context("a result is missing")?;
        let stdout = output::parse(&result.output.read()?)?.stdout;
        let square = u64::from(task).wrapping_mul(task.into()).to_le_bytes();
        ensure!(stdout == square, "task {task} has a wrong result");
    }
    Ok(())
}
