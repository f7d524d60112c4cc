//! What a person reads while the demo runs.

use std::{cell::Cell, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use rialto_local_market::{LocalMarket, initial_deposit};
use rialto_protocol::{Address, court::Verdict};
use rialto_requester::{JobEvent, WrongTask};

use super::Demo;
use super::{Measured, REPLICAS, picture::Picture};
use crate::ui::{self, Paint, Ui};

/// Wrong tasks of a cheater that are listed one by one.
const MAX_LISTED: usize = 8;

/// Tells the story on stdout, with a progress bar on stderr where that is a terminal.
pub struct Story {
    told: bool,
    paint: Paint,
    bar: ProgressBar,
    working: Cell<bool>,
}

impl Story {
    pub fn new(ui: Ui) -> Self {
        let bar = ProgressBar::new(1);
        let style = ProgressStyle::with_template("  {bar:40.green/black.dim} {msg}  {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━╌"));
        Self { told: ui.for_people(), paint: Paint::for_stdout(), bar, working: Cell::new(false) }
    }

    fn line(&self, text: &str) {
        if self.told {
            self.bar.suspend(|| println!("{text}"));
        }
    }

    fn heading(&self, text: &str) {
        self.line("");
        self.line(&self.paint.bold(text));
    }

    pub fn opening(&self, args: &Demo, picture: &Picture) {
        self.line(
            &self.paint.bold("Rialto: strangers compute, the market checks, meters and pays."),
        );
        self.line(&format!(
            "A requester wants a {}×{} path-traced picture: {} tiles, each computed by {REPLICAS} of {} providers.",
            picture.width,
            picture.height,
            picture.tiles(),
            args.providers
        ));
        match args.cheaters {
            0 => self.line("Nobody cheats today."),
            1 => self.line("One of the providers cheats. Nobody knows which."),
            n => self.line(&format!("{n} of the providers cheat. Nobody knows which.")),
        }
        self.line(&self.paint.dim("  compiling the ray tracer and measuring one tile …"));
    }

    pub fn market_is_up(&self, market: &LocalMarket, measured: &Measured, after: Duration) {
        self.heading("The market");
        let deployed = &market.deployed;
        self.line(&format!(
            "  chain      {} (embedded), block {}",
            market.chain.chain_id(),
            deployed.block
        ));
        self.line(&format!("  market     {}", deployed.market));
        self.line(&format!("  accounts   {} each, in a test token", ui::money(initial_deposit())));
        self.line(&format!(
            "  machine    {} per second and core; a tile takes {}",
            ui::fuel(measured.fuel_per_second.into()),
            ui::fuel(measured.fuel.into())
        ));
        self.line(&self.paint.dim(&format!("  up after {:.1} s", after.as_secs_f64())));
        self.heading("Asks, heard by gossip");
    }

    pub fn tell(&self, market: &LocalMarket, event: &JobEvent) {
        let who = |address: &Address| name(market, *address);
        match event {
            JobEvent::AskHeard { provider, price, task_fee, .. } => {
                let price = price.map_or("not valid now".to_owned(), |price| format!("{} per Tfuel", ui::money(price)));
                self.line(&format!("  {}  {price} + {} per task", who(provider), ui::money(*task_fee)));
            }
            JobEvent::Excluded(excluded) => {
                self.line(&self.paint.dim(&format!("  left out: {} {}", who(&excluded.provider), excluded.why)));
            }
            JobEvent::Quote { providers, cost, locked, seconds } => {
                self.heading("Deals");
                self.line(&format!(
                    "  quote: {providers} providers, about {} in all and {seconds} s; up to {} locked",
                    ui::money(*cost),
                    ui::money(*locked)
                ));
            }
            JobEvent::DealOpened { provider, price, budget, collateral, gas, .. } => self.line(&format!(
                "  {}  at {} per Tfuel: {} locked by the requester, {} by the provider{}",
                who(provider),
                ui::money(*price),
                ui::money(*budget),
                ui::money(*collateral),
                self.paint.dim(&format!("  ({} gas)", ui::count(*gas)))
            )),
            JobEvent::Progress(progress) => {
                self.bar.set_length(progress.tasks);
                self.bar.set_position(progress.verified);
                self.bar.set_message(format!(
                    "{} done · {} verified · {} paid of {}",
                    progress.done, progress.verified, progress.paid, progress.tasks
                ));
            }
            JobEvent::Mismatch { task, results } => {
                let sides: Vec<_> = results
                    .iter()
                    .map(|(provider, halted)| format!("{} says {}", who(provider), ui::short_hash(halted.out_hash)))
                    .collect();
                self.line(&format!("  {} tile {task}: {}", self.paint.bad("results differ on"), sides.join(", ")));
            }
            JobEvent::LocalRun { tasks, .. } => {
                self.line(&format!(
                    "  the requester computes {tasks} disputed tile(s) itself to find out who is right"
                ));
            }
            JobEvent::Cheater { provider, tasks, .. } => self.cheater(&who(provider), tasks),
            JobEvent::ProviderDropped { provider, code, why, .. } => {
                self.line(&format!("  {} gets no more work: [{code}] {why}", who(provider)));
            }
            JobEvent::ProviderBack { provider, .. } => self.line(&format!("  {} is back", who(provider))),
            JobEvent::DealClosed { provider, paid, gas, .. } => {
                let gas = gas.map_or(String::new(), |gas| self.paint.dim(&format!("  ({} gas)", ui::count(gas))));
                let how = match *paid {
                    0 => "got nothing, and the deal is over".to_owned(),
                    paid => format!("redeemed {} and closed the deal", ui::money(paid)),
                };
                self.line(&format!("  {}  {how}{gas}", who(provider)));
            }
            JobEvent::FalseReceipt { provider, claimed, right, .. } => {
                let right = right.map_or_else(|| "not that".to_owned(), ui::money);
                self.line(&format!(
                    "  {} {} asserts a receipt for {} that is wrong; right is {right}",
                    self.paint.bad("caught cheating:"),
                    who(provider),
                    ui::money(*claimed)
                ));
            }
            JobEvent::Accused { provider, first, count, bond, .. } => {
                self.heading("In court");
                self.line(&format!(
                    "  the requester accuses {} of its receipt for {}: bond {}",
                    who(provider),
                    tiles(*first, *count),
                    ui::money(*bond)
                ));
            }
            JobEvent::TreeNarrowed { height, ours, .. } => {
                let nodes = match height {
                    0 => "single tiles".to_owned(),
                    height => format!("groups of {} tiles", 1u64 << height.min(&63)),
                };
                let text = match ours {
                    true => "  requester says which of them is wrong".to_owned(),
                    false => format!("  provider  shows what its receipt stands for: {nodes}"),
                };
                self.line(&self.paint.dim(&text));
            }
            JobEvent::TaskChallenged { task, level, .. } => self.line(&format!(
                "  the requester says that tile {task} ended otherwise: at most 16^{level} steps in dispute"
            )),
            JobEvent::GameMoved { level, position, ours, .. } => self.line(&self.paint.dim(&format!(
                "  {:<9} narrows it to {} steps, from step {} on",
                if *ours { "requester" } else { "provider" },
                ui::count(1 << (4 * u32::from(*level))),
                ui::count(*position)
            ))),
            JobEvent::StepJudged { position, claimed, right, .. } => {
                self.line(&format!("  the contract takes step {} itself:", ui::count(*position)));
                self.line(&format!("      claimed  {}", self.paint.bad(&claimed.to_string())));
                self.line(&format!("      right    {}", self.paint.good(&right.to_string())));
            }
            JobEvent::GameEnded { provider, won, end, .. } => {
                let verdict = match (won, end.verdict != Verdict::Timeout) {
                    (true, true) => self.paint.bad("guilty"),
                    (true, false) => self.paint.bad("guilty, by silence"),
                    (false, _) => self.paint.good("innocent"),
                };
                self.line(&format!(
                    "  {} is {verdict}; the requester's bond comes back: {}",
                    who(provider),
                    ui::money(end.to_accuser)
                ));
            }
            JobEvent::Misstated { provider, fault, .. } => self.line(&format!(
                "  {} {} signed a receipt with {fault}",
                self.paint.bad("caught cheating:"),
                who(provider)
            )),
            JobEvent::Convicted { provider, compensation, .. } => self.line(&format!(
                "  {} is {}, without a game; {} of its collateral go to the requester",
                who(provider),
                self.paint.bad("guilty"),
                ui::money(*compensation)
            )),
            JobEvent::Note { code, text } => self.line(&self.paint.dim(&format!("  [{code}] {text}"))),
            JobEvent::OrderSent { .. } if !self.working.replace(true) => self.heading("Work"),
            JobEvent::OrderSent { .. }
            | JobEvent::TasksDone { .. }
            | JobEvent::TasksVerified { .. }
            | JobEvent::Paid { .. }
            | JobEvent::Settling { .. } => {}
        }
    }

    fn cheater(&self, who: &str, tasks: &[WrongTask]) {
        self.line(&format!("  {} {who} signed wrong results:", self.paint.bad("caught cheating:")));
        for wrong in tasks.iter().take(MAX_LISTED) {
            self.line(&format!(
                "      tile {:<4} signed {}   right is {}",
                wrong.task,
                self.paint.bad(&wrong.theirs.out_hash.to_string()),
                self.paint.good(&wrong.right.out_hash.to_string())
            ));
        }
        if tasks.len() > MAX_LISTED {
            self.line(&format!("      and {} more", tasks.len() - MAX_LISTED));
        }
    }

    pub fn vanished(&self, market: &LocalMarket, provider: Address, redeemed: u128) {
        self.line(&format!(
            "  {} vanishes for good; it had redeemed {}",
            self.paint.bad(&name(market, provider)),
            ui::money(redeemed)
        ));
    }

    /// The work is done, and some deals have to wait for the chain's time.
    pub fn waiting(&self) {
        self.bar.finish_and_clear();
        self.heading("On chain, without the other side's help");
    }

    pub fn time_passes(&self, seconds: u64) {
        self.line(
            &self
                .paint
                .dim(&format!("  {} pass (the chain's time is moved on)", ui::span(seconds))),
        );
    }

    pub fn on_chain(&self, text: &str, gas: Option<u64>) {
        let gas =
            gas.map_or(String::new(), |gas| self.paint.dim(&format!("  ({} gas)", ui::count(gas))));
        self.line(&format!("  {text}{gas}"));
    }

    pub fn settling(&self) {
        self.bar.finish_and_clear();
        self.heading("Settlement");
    }

    pub fn work_is_over(&self) {
        self.bar.finish_and_clear();
        self.line(&self.paint.dim("  comparing with what one honest machine computes …"));
    }
}

/// "tile 3", or "tiles 3 to 9".
fn tiles(first: u32, count: u32) -> String {
    match count {
        0 | 1 => format!("tile {first}"),
        _ => format!("tiles {first} to {}", first.saturating_add(count - 1)),
    }
}

/// "provider-2 0x1234…abcd", or just the address of a stranger.
pub fn name(market: &LocalMarket, address: Address) -> String {
    match market.providers.iter().position(|provider| provider.address == address) {
        Some(at) => format!("provider-{} {}", at + 1, ui::short(address)),
        None => ui::short(address),
    }
}
