//! `rialto provide`: sells this machine's cores. `rialto provider`: asks one that does.

mod explain;
mod status;
mod tell;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use rialto_chain::{Chain, Court, PrivateKeySigner};
use rialto_client::{
    Home, MarketConfig,
    control::{self, Refusal},
    view,
};
use rialto_exec::Engine;
use rialto_net::Node;
use rialto_protocol::Address;
use rialto_provider::{Price, Provider, ProviderConfig, ProviderEvent};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, broadcast::error::RecvError},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    env::{
        PlaceArgs,
        hardware::{self, Machine},
        selling::{self, Selling},
    },
    exit,
    ui::Ui,
};
use serde::{Deserialize, Serialize};
use tell::Teller;

/// Longest wait for a relay before selling anyway.
const RELAY_PATIENCE: Duration = Duration::from_secs(15);
/// After the last work is done, vouchers for it may still be on their way.
const VOUCHER_PATIENCE: Duration = Duration::from_secs(10);
/// How often the status line is drawn.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// A task is taken only if it could be traced so many times within its court's allowance: twice for
/// a game, and as much again for programs that are slower to trace than the one that was measured.
const TRACED_TIMES: u64 = 4;
/// Bytes of a WebAssembly page.
const PAGE_BYTES: u64 = 64 << 10;

/// `rialto provide`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto provide --init                     # writes a commented provider.toml
  rialto wallet create                      # an account to sell with
  rialto provide --explain                  # what would be announced and locked; sends nothing
  rialto provide --rpc https://rpc.example.org --market 0x5FbD…
  rialto provide --relay https://relay.example.org --cores 6 --memory 16384

Ctrl-C or SIGTERM: takes nothing new, finishes what was accepted, redeems, ends. A second one ends at once; nothing is lost.")]
pub struct Provide {
    /// Write a commented price configuration, and end.
    #[arg(long)]
    pub init: bool,
    /// Show what would be announced, offered and locked, and what it costs. Nothing is sent.
    #[arg(long)]
    pub explain: bool,
    /// The price configuration (default: `provider.toml` in the home folder).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Cores to sell (default: what this machine has, cgroup limits included).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub cores: Option<u32>,
    /// Memory to sell, MiB (default: three quarters of what there is).
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..))]
    pub memory: Option<u64>,
    /// Address to listen on (default: config.toml). Behind a NAT any port will do: see --relay.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub bind: Option<SocketAddr>,
    /// Write dossiers of everything that is signed into this folder, for a watchtower (`rialto
    /// watch`).
    #[arg(long, value_name = "DIR")]
    pub watchtower: Option<PathBuf>,
    /// A relay through which requesters reach this provider when they can't directly, such as
    /// `https://relay.example.org`.
    #[arg(long, value_name = "URL")]
    pub relay: Option<String>,
    /// Address to tell others besides those found, such as a forwarded port.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub external: Vec<SocketAddr>,
}

/// A place to sell at, found.
struct Place {
    /// The key.
    signer: PrivateKeySigner,
    /// Which market, and where to listen.
    market: MarketConfig,
    /// The market's chain.
    chain: Chain,
    /// This provider's folder on this market.
    folder: PathBuf,
    /// Settings and what is the same for all markets.
    home: Home,
}

impl Place {
    async fn find(args: &Provide, place: &PlaceArgs) -> Result<Self> {
        let (home, market) = (place.home()?, on(args, place)?);
        let signer = place.signer(&market).await?;
        let chain = market.connect().await?;
        let folder = home.provider(chain.chain_id(), market.market, signer.address());
        rialto_client::private_dir(&folder)?;
        Ok(Self { signer, market, chain, folder, home })
    }
}

/// The market, and how to be on it: flags first.
fn on(args: &Provide, place: &PlaceArgs) -> Result<MarketConfig> {
    let mut market = place.market()?;
    market.bind = args.bind.or(market.bind);
    market.relay = args.relay.clone().or(market.relay);
    market.external.extend(args.external.iter().copied());
    Ok(market)
}

/// What a running provider can be asked through its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Request {
    /// A report.
    Status,
    /// Take nothing new, finish, redeem, end.
    Drain,
}

/// `rialto provider`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rialto provider status\n  rialto provider drain    # like SIGTERM"
)]
pub struct ProviderCommand {
    /// What to do.
    #[command(subcommand)]
    pub what: ProviderWhat,
}

/// What a running provider can be asked.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ProviderWhat {
    /// Earnings, utilisation, deals, refusals, balances and gas. Works when it is stopped, too.
    Status,
    /// Take nothing new, finish what was accepted, redeem, and end.
    Drain,
}

/// Sells until told to stop.
pub async fn provide(args: &Provide, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let home = place.home()?;
    let file = args.config.clone().unwrap_or_else(|| home.path().join("provider.toml"));
    if args.init {
        return init(&home, &file, ui);
    }
    let selling = Selling::read(&file)?;
    if args.explain {
        let market = on(args, place)?;
        let account = place.whose(&market)?;
        return explain::explain(&market, account, &selling, ui).await;
    }
    let place = Place::find(args, place).await?;
    let seller = Seller::start(args, selling, &place, ui).await?;
    let (provider, drain) = (seller.provider.clone(), Arc::new(Notify::new()));
    let (asked, chain) = (drain.clone(), place.chain.clone());
    let _served = control::serve(&place.folder, move |request, mut answers: control::Answers| {
        let (provider, chain, asked) = (provider.clone(), chain.clone(), asked.clone());
        async move {
            let outcome = match request {
                Request::Status => match status::running(&provider, &chain).await {
                    Ok(answer) => answers.send(&answer).await.map_err(anyhow::Error::from),
                    Err(error) => Err(error),
                },
                Request::Drain => {
                    asked.notify_one();
                    answers.send(&"draining").await.map_err(anyhow::Error::from)
                }
            };
            let refused =
                |why: anyhow::Error| Refusal { class: exit::class(&why), text: format!("{why:#}") };
            (answers, outcome.map_err(refused))
        }
    })?;
    seller.sell(drain).await
}

/// Asks the providers of this home.
pub async fn provider(args: &ProviderCommand, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let folders = status::folders(place.home()?.path(), place.account)?;
    for folder in folders {
        match args.what {
            ProviderWhat::Status => status::show(&folder, ui).await?,
            ProviderWhat::Drain => {
                let Some(answer) = control::ask::<String>(&folder, &Request::Drain).await? else {
                    bail!(failure!(
                        Failed,
                        "P-CTL-005",
                        "no provider runs in {}",
                        folder.display()
                    ));
                };
                tell::line(
                    ui,
                    &answer,
                    &view::DrainAnswer { folder: folder.clone(), state: answer.clone() },
                );
            }
        }
    }
    Ok(exit::OK)
}

fn init(home: &Home, file: &Path, ui: Ui) -> Result<u8> {
    rialto_client::private_dir(file.parent().unwrap_or(home.path()))?;
    let mut options = std::fs::OpenOptions::new();
    let mut out = match options.write(true).create_new(true).open(file) {
        Ok(out) => out,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!(failure!(
                Usage,
                "P-CFG-007",
                "{} is there already: edit it, or move it away",
                file.display()
            ))
        }
        Err(error) => {
            return Err(error).with_context(|| failure!(Usage, "P-CFG-001", "{}", file.display()));
        }
    };
    std::io::Write::write_all(&mut out, selling::TEMPLATE.as_bytes())?;
    let text = format!("wrote {}: set your price, then run `rialto provide`", file.display());
    tell::line(ui, &text, &view::Written { written: file.to_owned() });
    Ok(0)
}

/// The court that asks name, if any. It can take the collateral: only one that this version knows
/// gets that power.
async fn court(chain: &Chain, named: Option<Address>) -> Result<Option<Court>> {
    let Some(address) = named.filter(|address| !address.is_zero()) else { return Ok(None) };
    let court = chain.court(address).await.context(failure!(
        Usage,
        "P-CFG-008",
        "the court can't be used"
    ))?;
    ensure!(
        court.is_known_code().await?,
        failure!(
            Usage,
            "P-CFG-008",
            "the code of the court {address} is not what this version knows: it could take your collateral; set deal.court to another, or to \"none\""
        )
    );
    Ok(Some(court))
}

/// A running provider and what belongs to it.
struct Seller {
    provider: Arc<Provider>,
    node: Node,
    teller: Teller,
}

impl Seller {
    async fn start(args: &Provide, selling: Selling, place: &Place, ui: Ui) -> Result<Self> {
        let mut teller = Teller::new(ui);
        let here = Machine::detect();
        let cores = args.cores.or(selling.cores).unwrap_or(here.cores);
        let memory_bytes =
            args.memory.map(|mib| mib << 20).or(selling.memory_bytes).unwrap_or(here.memory_bytes);
        let mut exec = rialto_exec::Config::new(place.folder.join("programs"));
        (exec.cores, exec.max_memory_bytes) = (cores as usize, memory_bytes);
        let engine = Engine::new(exec)?;
        let fuel_per_second = match selling.fuel_per_second {
            Some(given) => given,
            None => {
                let (engine, cache) =
                    (engine.clone(), place.home.path().join("provider").join("speed.json"));
                tokio::task::spawn_blocking(move || hardware::speed(&engine, cores, &cache))
                    .await??
            }
        };
        let mut net = place.market.net(&place.folder)?;
        if let Some(bytes) = selling.disk_bytes {
            net.limits.blob_store_bytes = bytes;
        }
        let node = Node::bind(net).await?;
        if !node.online(RELAY_PATIENCE).await {
            teller.warn(
                "P-NET-001",
                "the relay does not answer: requesters behind other NATs can't reach this provider",
            );
        }
        let mut asks = selling.asks;
        (asks.cores, asks.fuel_per_second) = (cores, fuel_per_second);
        let mut limits = selling.limits;
        if let Some(court) = court(&place.chain, selling.court.or(place.market.court)).await? {
            let cache = place.home.path().join("provider").join("tracing.json");
            let speed = tokio::task::spawn_blocking(move || hardware::tracing(&cache)).await??;
            limits.traced_fuel = court.rules().most_fuel(speed / TRACED_TIMES);
            asks.court = court.address();
        }
        limits.task_pages =
            limits.task_pages.min(u32::try_from(memory_bytes / PAGE_BYTES).unwrap_or(u32::MAX));
        teller.opening(place, &node, &asks, &limits, memory_bytes);
        let config = ProviderConfig {
            asks,
            limits,
            money: selling.money,
            coin: selling.coin,
            announce: true,
            watchtower: args
                .watchtower
                .clone()
                .or(selling.watchtower.map(|folder| place.home.path().join(folder))),
            first_block: place.market.first_block,
            ..ProviderConfig::new(&place.folder, place.signer.clone())
        };
        let provider = Provider::start(config, place.chain.clone(), node.clone(), engine).await?;
        Ok(Self { provider: Arc::new(provider), node, teller })
    }

    /// Until drained, or told twice to end.
    async fn sell(mut self, drain: Arc<Notify>) -> Result<u8> {
        let mut events = self.provider.events();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut lines = interval(LINE_INTERVAL);
        lines.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut draining = None;
        let code = loop {
            let told_to_end = tokio::select! {
                event = events.recv() => {
                    match event {
                        Ok(ProviderEvent::Progress { .. }) => {}
                        Ok(event) => self.teller.tell(&event),
                        Err(RecvError::Lagged(missed)) => self.teller.missed(missed),
                        Err(RecvError::Closed) => bail!(failure!(Failed, "P-SVC-007", "the provider has stopped: see the log (--log info)")),
                    }
                    continue;
                }
                _ = lines.tick(), if self.teller.wants_line() => {
                    let report = self.provider.report().await?;
                    self.teller.draw(&report);
                    continue;
                }
                () = self.provider.stopped() => bail!(failure!(Failed, "P-SVC-007", "the provider has stopped: see the log (--log info)")),
                done = async { draining.as_mut().expect("only polled when there").await }, if draining.is_some() => {
                    let done: Result<Result<()>, _> = done;
                    done??;
                    break 0;
                }
                () = drain.notified() => false,
                _ = terminate.recv() => true,
                _ = interrupt.recv() => true,
            };
            if draining.is_some() {
                if told_to_end {
                    self.teller.say(
                        "leaving at once: the next start goes on from here",
                        &view::State { event: "left" },
                    );
                    break exit::INTERRUPTED;
                }
                continue;
            }
            self.teller.say(
                "draining: nothing new is taken; again to leave at once",
                &view::State { event: "draining" },
            );
            draining = Some(tokio::spawn(drained(self.provider.clone())));
        };
        let last = self.provider.report().await.ok();
        self.teller.closing(last.as_ref());
        // Everything that matters is on disk already.
        self.node.close().await;
        Ok(code)
    }
}

/// Finishes what was accepted, waits a moment for the last vouchers, redeems.
async fn drained(provider: Arc<Provider>) -> Result<()> {
    provider.drain().await?;
    let patience = Instant::now() + VOUCHER_PATIENCE;
    loop {
        let status = provider.status().await?;
        let unpaid = status
            .deals
            .values()
            .any(|deal| deal.open && deal.voucher.max(deal.paid) < deal.earned);
        if !unpaid || status.sessions == 0 || Instant::now() > patience {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(provider.drain().await?)
}

/// How a price reads.
fn price(price: Price) -> String {
    match price {
        Price::Constant(price) => format!("{} per Tfuel", crate::ui::money(price)),
        Price::Declining { start, end } => {
            format!("{} falling to {} per Tfuel", crate::ui::money(start), crate::ui::money(end))
        }
        Price::Idle { price, floor, seconds } => format!(
            "{} per Tfuel, falling to {} within {} min of idleness",
            crate::ui::money(price),
            crate::ui::money(floor),
            seconds / 60
        ),
    }
}
