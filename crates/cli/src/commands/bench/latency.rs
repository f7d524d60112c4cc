//! `rialto bench latency`: jobs of one task, one after the other, on a deal that is open. Nothing
//! else is under way, so this is how long a result takes that somebody waits for: order, run,
//! receipt, output on disk, voucher.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rialto_client::view;
use rialto_exec::Limits;
use rialto_local_market::LocalMarket;
use rialto_requester::{Job, JobEvent, Patience, Policy};

use super::{
    spread::{Spread, micros},
    tasks::{job, market},
};
use crate::ui::{Output, Ui, json_on_lines};

/// Deals are kept for so long between jobs, seconds.
const KEEP_SECONDS: u64 = 600;
/// Tasks of the first job, at least, and jobs before those that count.
const WARM_UP_TASKS: u32 = 2_000;
/// Fuel limit of the first job's tasks: ten times the usual task's worst fee.
const WARM_UP_FUEL: u64 = 1_000_000_000;
const WARM_UP_JOBS: u32 = 5;

/// `rialto bench latency`
#[derive(Clone, Debug, Args)]
pub struct Latency {
    /// Jobs that count.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    jobs: u32,
}

/// When what happened to a job, from handing it in.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    /// Program checked, input hashed and written, job in the journal.
    accepted: Duration,
    ordered: Duration,
    /// Its receipt is here.
    done: Duration,
    /// Result verified: its output is on disk.
    verified: Duration,
    /// The report is there.
    reported: Duration,
}

/// Measures and prints.
pub async fn run(args: &Latency, ui: Ui) -> Result<()> {
    let patience = Patience { idle: KEEP_SECONDS, ..Patience::default() };
    let market = market(1, patience).await?;
    // A deal is as large as the worst case of the job that opens it. This one's is dear: there is
    // room for all that follow.
    let (warm_up, usual) = (job(WARM_UP_TASKS.max(args.jobs), 1)?, job(1, 1)?);
    let limits = Limits { fuel: WARM_UP_FUEL, ..warm_up.limits };
    let first = one(&market, Job { limits, ..warm_up }).await?;
    for _ in 0..WARM_UP_JOBS {
        one(&market, usual.clone()).await?;
    }
    let mut all = Vec::with_capacity(args.jobs as usize);
    for _ in 0..args.jobs {
        all.push(one(&market, usual.clone()).await?);
    }
    market.stop().await;
    let spread = |of: fn(&Moments) -> Duration| Spread::of(all.iter().map(of).collect());
    let steps = [
        ("hand in", spread(|at| at.accepted)),
        ("to the order", spread(|at| at.ordered.saturating_sub(at.accepted))),
        ("order to receipt", spread(|at| at.done.saturating_sub(at.ordered))),
        ("receipt to verified", spread(|at| at.verified.saturating_sub(at.done))),
        ("verified to report", spread(|at| at.reported.saturating_sub(at.verified))),
    ];
    let (result, order) =
        (spread(|at| at.verified), spread(|at| at.verified.saturating_sub(at.ordered)));
    match ui.output() {
        Output::Json => json_on_lines(&view::BenchLatency {
            jobs: args.jobs,
            first_task: result.view(),
            from_order: order.view(),
            deal_opened_too_micros: micros(first.verified),
            steps: steps.iter().map(|(name, spread)| ((*name).to_owned(), spread.view())).collect(),
        }),
        Output::Human => {
            println!("{} jobs of one tiny task on an open deal, one after the other", args.jobs);
            println!("  from handing in to the verified result  {result}");
            println!("  from the order to the verified result   {order}");
            for (name, spread) in steps {
                println!("    {name:<38}{spread}");
            }
            println!(
                "  the first one, which opened the deal: {:.0} ms",
                first.verified.as_secs_f64() * 1e3
            );
        }
    }
    Ok(())
}

/// One job.
async fn one(market: &LocalMarket, job: Job) -> Result<Moments> {
    let tasks = job.tasks.len();
    let job =
        Job { policy: Policy::Trust, budget: rialto_local_market::initial_deposit() / 4, ..job };
    let started = Instant::now();
    let handle = market.requester.submit(job).await.context("the job was refused")?;
    let mut at = Moments { accepted: started.elapsed(), ..Moments::default() };
    let (mut events, mut deals) = (handle.events(), 0);
    while let Some(event) = events.next().await {
        match event {
            JobEvent::DealOpened { .. } => deals += 1,
            JobEvent::OrderSent { .. } => at.ordered = started.elapsed(),
            JobEvent::TasksDone { .. } => at.done = started.elapsed(),
            JobEvent::TasksVerified { .. } => at.verified = started.elapsed(),
            JobEvent::Settling { outcome: Err(why) } => bail!("the job failed: {why}"),
            _ => {}
        }
    }
    handle.wait().await.context("the job's report is lost")?;
    at.reported = started.elapsed();
    ensure!(deals == 0 || tasks > 1, "a deal was opened for a job that should have found one");
    Ok(at)
}
