//! `rialto demo`: a market on this machine renders a picture, and a cheater is caught.

mod cheat;
mod court;
mod grief;
mod picture;
mod report;
mod story;
mod trouble;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Args;
use rialto_client::view;
use rialto_exec::{CancelFlag, Engine, Limits, SharedData};
use rialto_local_market::{Folder, LocalMarket, LocalProvider, ProviderPlan};
use rialto_machine::{input::TaskInput, output};
use rialto_protocol::{Address, DealId, receipt::task_seed};
use rialto_provider::{Money, Plain, Price, Shell};
use rialto_requester::{Job, JobEvent, JobReport, Policy};

use crate::{
    env::signals::{self, unless_interrupted},
    samples::RAYTRACE,
    ui::{Output, Ui, json_on_lines},
};
use picture::Picture;
use story::Story;

/// Light paths per pixel: the picture is pleasant and three renderings fit in half a minute on two
/// cores.
pub const DEFAULT_SAMPLES: u32 = 16;
/// The picture's size and the side of a tile, pixels.
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const TILE: u32 = 80;
/// Every task runs on so many providers.
const REPLICAS: u32 = 2;
/// How tiles are checked where the user says nothing.
pub const DEFAULT_POLICY: Policy = Policy::Replicate { n: REPLICAS };
/// A task may use so many times the fuel of the tile that was measured.
const FUEL_MARGIN: u64 = 10;
/// Output limit of a task, bytes: a tile and its framing.
const OUT_LIMIT: u64 = 1 << 20;
/// Memory limit of a task, pages of 64 KiB.
const MAX_PAGES: u32 = 256;
/// Most that the demo's requester locks in deals, base units.
const BUDGET: u128 = 100_000_000;
/// Time for the whole job.
const DEADLINE: Duration = Duration::from_secs(900);
/// Longest wait for the last deals to close on chain after all work is done.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(600);
/// Longest that a provider which is going to vanish is given to redeem what it was just paid.
const LAST_REDEMPTION: Duration = Duration::from_secs(2);

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
    /// How tiles are checked: trust, replicas=N, audit=RATE or adaptive=FLOOR
    /// (docs/verification.md).
    #[arg(long, value_name = "POLICY", default_value_t = DEFAULT_POLICY)]
    pub policy: rialto_requester::Policy,
    /// Stay up after the picture is done, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
    /// Where to write the picture.
    #[arg(long, value_name = "FILE", default_value = "raytrace.png")]
    pub image: PathBuf,
    /// Light paths per pixel. More give a better picture at a higher price.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SAMPLES, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub samples: u32,
    /// Keep chain, journals and blobs of all nodes in this folder (default: a temporary folder).
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
    /// This time the requester is the cheat: it cancels and calls late, rejects right results, and
    /// accuses an honest provider many times at once.
    Grief,
}

/// What one core of this machine does, measured on one tile.
struct Measured {
    fuel: u64,
    fuel_per_second: u64,
}

/// Runs the demo; with `--keep` until it is interrupted a second time.
pub async fn run(args: &Demo, ui: Ui) -> Result<u8> {
    let mut kept = None;
    let code = unless_interrupted(async {
        let (code, market) = demo(args, ui).await?;
        kept = market;
        Ok(code)
    })
    .await?;
    if let Some(market) = kept {
        keep(market, ui).await?;
    }
    Ok(code)
}

/// Runs the demo; exit code 0 only if everything is as it should be. Returns the market if it is to
/// stay up.
async fn demo(args: &Demo, ui: Ui) -> Result<(u8, Option<LocalMarket>)> {
    if args.cheat == Cheat::Grief {
        return Ok((grief::grief(args, ui).await?, None));
    }
    let needed = args.policy.replicas();
    ensure!(
        args.providers >= args.cheaters + needed,
        failure!(
            Usage,
            "C-DEM-001",
            "{} providers with {} cheaters leave fewer than {needed} honest ones: use --providers {} or more",
            args.providers,
            args.cheaters,
            args.cheaters + needed
        )
    );
    let started = Instant::now();
    let picture = Picture { width: WIDTH, height: HEIGHT, tile: TILE, samples: args.samples };
    let story = Story::new(ui);
    let folder = Folder::new(args.data.as_deref())?;
    story.opening(args, &picture);

    let home = folder.path().to_owned();
    let measured = tokio::task::spawn_blocking(move || measure(&home, picture)).await??;
    let setting = args.cheat.setting();
    let mut market =
        LocalMarket::start_with(folder, &plans(args), measured.fuel_per_second, setting).await?;
    story.market_is_up(&market, &measured, started.elapsed());

    let job = job(picture, args, measured.fuel)?;
    let handle = market.requester.submit(job).await.context("the job was refused")?;
    let (mut events, mut doomed) = (handle.events(), cheat::Doomed::new(args, &market));
    while let Some(event) = events.next().await {
        story.tell(&market, &event);
        while let Some((provider, deal)) = doomed.next(&event) {
            let redeemed = vanish(&mut market, provider, deal).await?;
            story.vanished(&market, provider, redeemed);
        }
        if let JobEvent::Settling { .. } = event {
            story.settling();
        }
    }
    let report = tokio::time::timeout(CLOSING_TIMEOUT, handle.wait())
        .await
        .context("the deals did not close in time")?
        .context("the job's report is lost")?;
    let mut troubles = Vec::new();
    if args.cheat.is_silence() {
        story.waiting();
        troubles = trouble::follow(&market, &story, args.cheat, &report).await?;
    }
    story.work_is_over();

    let rgb = assemble(&report, &picture)?;
    picture.write_png(&rgb, &args.image)?;
    let engine = market.engine.clone();
    let honest = tokio::task::spawn_blocking(move || honest_run(&engine, picture)).await??;
    let checks = report::Checks {
        picture_is_honest: honest == rgb,
        balances_reconciled: report::reconcile(&market, &report, &troubles).await?,
    };
    let cases = court::cases(&market, &report, &picture).await?;
    let ending =
        report::Ending::new(args, &market, &report, &cases, &troubles, checks, started.elapsed());
    match ui.output() {
        Output::Human => ending.print(),
        Output::Json => json_on_lines(&ending.view()),
    }
    let code = u8::from(!ending.is_good());
    if args.keep {
        return Ok((code, Some(market)));
    }
    market.stop().await;
    Ok((code, None))
}

/// Prices differ, so that there is something to compare: one falls while it waits, the others stand
/// still. The cheaters are among the cheapest, as cheaters would be.
fn plans(args: &Demo) -> Vec<ProviderPlan> {
    (0..args.providers)
        .map(|n| {
            let base = 120_000 + 15_000 * u128::from((n * 7) % args.providers);
            let price = if n == 0 {
                Price::Declining { start: base * 2, end: base }
            } else {
                Price::Constant(base)
            };
            let cheats = cheat::cheats(args, n);
            let shell: Arc<dyn Shell> = if cheats { args.cheat.shell() } else { Arc::new(Plain) };
            let money = if cheats { args.cheat.money() } else { Money::default() };
            ProviderPlan { price, task_fee: 20 + u128::from(n), money, shell }
        })
        .collect()
}

/// A provider vanishes for good, once it has redeemed what it was just paid in a deal. Returns how
/// much that was.
async fn vanish(market: &mut LocalMarket, provider: Address, deal: Option<DealId>) -> Result<u128> {
    let (since, mut paid) = (Instant::now(), 0);
    while let Some(deal) = deal
        && paid == 0
        && since.elapsed() < LAST_REDEMPTION
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
        paid = market.chain.deal_state(deal).await?.paid;
    }
    market.shut_down(provider).await;
    Ok(paid)
}

/// One task's own input, encoded.
fn task_input(picture: &Picture, tile: u32) -> Result<Bytes> {
    let input = TaskInput { argv: picture.argv(tile), ..TaskInput::default() };
    Ok(input.encode()?.into())
}

fn job(picture: Picture, args: &Demo, fuel: u64) -> Result<Job> {
    let tasks =
        (0..picture.tiles()).map(|tile| task_input(&picture, tile)).collect::<Result<Vec<_>>>()?;
    Ok(Job {
        limits: Limits {
            fuel: fuel.saturating_mul(FUEL_MARGIN),
            out_bytes: OUT_LIMIT,
            max_pages: MAX_PAGES,
        },
        policy: args.policy,
        budget: BUDGET,
        within: DEADLINE,
        min_providers: args.providers,
        max_providers: args.providers,
        expected_fuel: Some(fuel),
        ..Job::new(Bytes::from_static(RAYTRACE), tasks)
    })
}

/// The tiles that were verified, joined.
fn assemble(report: &JobReport, picture: &Picture) -> Result<Vec<u8>> {
    let tiles = report
        .tasks
        .iter()
        .map(|task| {
            let task = task.as_ref().context("a tile has no verified result")?;
            Ok(output::parse(&task.output.read()?)?.stdout)
        })
        .collect::<Result<Vec<_>>>()?;
    picture.assemble(tiles.iter().map(Vec::as_slice))
}

/// Runs the middle tile: what a task takes, and how fast this machine is.
fn measure(folder: &Path, picture: Picture) -> Result<Measured> {
    let engine = Engine::new(rialto_exec::Config::new(folder.join("requester").join("programs")))?;
    let program = engine.prepare(RAYTRACE)?;
    let limits = Limits { fuel: 1 << 50, out_bytes: OUT_LIMIT, max_pages: MAX_PAGES };
    let tile = picture.tiles() / 2;
    let started = Instant::now();
    let outcome =
        engine.run(&program, &task_input(&picture, tile)?, &SharedData::none(), &limits, 0)?;
    let seconds = started.elapsed().as_secs_f64().max(1e-6);
    let fuel = outcome.halted.fuel_used(limits.fuel).max(1);
    Ok(Measured { fuel, fuel_per_second: ((fuel as f64 / seconds) as u64).max(1) })
}

/// What one honest machine makes of the same tasks, without any market.
fn honest_run(engine: &Engine, picture: Picture) -> Result<Vec<u8>> {
    let program = engine.prepare(RAYTRACE)?;
    let inputs =
        (0..picture.tiles()).map(|tile| task_input(&picture, tile)).collect::<Result<Vec<_>>>()?;
    let limits = Limits { fuel: 1 << 50, out_bytes: OUT_LIMIT, max_pages: MAX_PAGES };
    let seed = task_seed(0, 0);
    let outcomes = engine.run_batch(
        &program,
        &inputs,
        &SharedData::none(),
        &limits,
        seed,
        &CancelFlag::new(),
        &|_| {},
    )?;
    let tiles = outcomes
        .iter()
        .map(|outcome| Ok(output::parse(&outcome.output)?.stdout))
        .collect::<Result<Vec<_>>>()?;
    picture.assemble(tiles.iter().map(Vec::as_slice))
}

/// Stays up until interrupted, and says how to get in.
async fn keep(market: LocalMarket, ui: Ui) -> Result<()> {
    let server = market.serve_rpc().await?;
    let peer = |provider: &LocalProvider| view::DemoPeer {
        address: provider.address.into(),
        endpoint: provider.peer.endpoint.into(),
        direct: provider.peer.direct.clone(),
    };
    let facts = view::DemoKept {
        rpc: server.url(),
        chain_id: market.chain.chain_id(),
        market: market.deployed.market.into(),
        token: market.deployed.token.into(),
        data: market.folder().to_owned(),
        peers: market.providers.iter().map(peer).collect(),
    };
    match ui.output() {
        Output::Json => json_on_lines(&facts),
        Output::Human => {
            println!("\nThe market stays up until Ctrl-C.");
            println!(
                "  Ethereum JSON-RPC  {}   (chain id {})",
                server.url(),
                market.chain.chain_id()
            );
            println!("  market             {}", market.deployed.market);
            println!("  token              {}", market.deployed.token);
            println!("  data               {}", market.folder().display());
            for provider in &market.providers {
                let direct: Vec<_> = provider.peer.direct.iter().map(ToString::to_string).collect();
                println!(
                    "  provider           {} at {} ({})",
                    provider.address,
                    direct.join(", "),
                    provider.peer.endpoint
                );
            }
        }
    }
    signals::interrupted().await;
    server.shutdown().await;
    market.stop().await;
    Ok(())
}
