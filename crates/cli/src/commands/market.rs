//! `rialto market`: what is on offer now, and what was paid over time.

use std::{collections::BTreeMap, io::IsTerminal, time::Duration};

use anyhow::Result;
use clap::Args;
use rialto_client::{Book, Listed, price_index, view};
use rialto_protocol::Address;
use tokio::time::{Instant, sleep_until};

use crate::{
    env::PlaceArgs,
    exit,
    ui::{Paint, Ui, bare, count, fuel, money, plot::plot, short, span, table, time},
};

/// Size of the plot, characters.
const PLOT: (usize, usize) = (64, 10);
/// Points of the plot: one for every dot across.
const STRETCHES: usize = 128;
/// Most asks shown to people; all of them in JSON.
const MAX_ROWS: usize = 40;
/// Clears a terminal from the upper left corner on.
const HOME: &str = "\x1b[H\x1b[J";

/// `rialto market`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto market                          # the order book, and the price of fuel since the market began
  rialto market --since '7 d'
  rialto market --watch                  # again every two seconds, until Ctrl-C
  rialto market --output json            # with --watch: one object a line

Asks come by gossip: this command joins it for a moment, and asks the chain what they are worth. Prices are those of the
deals that were opened, a dot each; the line is the mean of those opened about the same time, weighted by budget. No server
is asked for either. A deal with oneself costs nothing but gas: a price is what two accounts agreed on, no more.")]
pub struct Market {
    /// Refresh until Ctrl-C.
    #[arg(long, short)]
    pub watch: bool,
    /// Time between two refreshes.
    #[arg(long, value_name = "TIME", default_value = "2 s", value_parser = crate::env::values::seconds, requires = "watch")]
    pub every: u64,
    /// Longest wait for asks.
    #[arg(long, value_name = "TIME", default_value = "8 s", value_parser = crate::env::values::seconds)]
    pub patience: u64,
    /// Show prices of this last time only (default: since the market began).
    #[arg(long, value_name = "TIME", value_parser = crate::env::values::seconds)]
    pub since: Option<u64>,
}

/// Shows it, once or until Ctrl-C.
pub async fn market(args: &Market, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let config = place.market()?;
    let chain = config.connect().await?;
    let scratch = tempfile::Builder::new().prefix("rialto-").tempdir()?;
    let mut history = crate::past::read(&chain, config.first_block, ui).await?;
    let book = Book::open(&chain, &config, history.peers(), scratch.path()).await?;
    book.heard(Duration::from_secs(args.patience)).await;
    let mut asks = Vec::new();
    loop {
        match book.listed().await {
            Ok(listed) => asks = listed,
            // Whoever watches is told, and sees what was known before.
            Err(error) if args.watch => eprintln!("{error}"),
            Err(error) => return Err(error.into()),
        }
        let mut points = history.prices();
        if let Some(since) = args.since {
            points.retain(|point| point.at.saturating_add(since) >= history.time());
        }
        let shown = view::Market {
            market: config.market.into(),
            chain_id: chain.chain_id(),
            at: history.time(),
            asks: asks.clone(),
            index: price_index(&points, STRETCHES),
            history: points,
        };
        let heard = show(&shown, args.watch, ui)?;
        if !args.watch || !heard {
            break;
        }
        let next = Instant::now() + Duration::from_secs(args.every.max(1));
        loop {
            tokio::select! {
                news = history.news() => {
                    news?;
                    history.peers().into_iter().for_each(|peer| book.add_peer(peer));
                }
                () = sleep_until(next) => break,
            }
        }
    }
    book.close().await;
    Ok(exit::OK)
}

/// Whether anybody listens still.
fn show(shown: &view::Market, again: bool, ui: Ui) -> Result<bool> {
    if again && ui.for_people() && std::io::stdout().is_terminal() {
        crate::ui::raw(HOME.as_bytes());
    }
    ui.answer_with(|| text(shown), shown);
    Ok(!crate::ui::unheard())
}

fn text(shown: &view::Market) -> String {
    let paint = Paint::for_stdout();
    let mut out = vec![format!(
        "{}  {} on chain {}, {} UTC",
        paint.bold("Market"),
        shown.market.0,
        shown.chain_id,
        time(shown.at)
    )];
    if shown.asks.is_empty() {
        out.push(
            "  nobody offers anything (or nobody could be reached: --patience, --log info)".into(),
        );
    } else {
        let rows: Vec<_> =
            shown.asks.iter().take(MAX_ROWS).map(|one| row(one, shown.at, paint)).collect();
        let head = [
            "provider",
            "tUSD per Tfuel",
            "per task",
            "free deals",
            "of tUSD",
            "collateral",
            "at most",
            "speed",
            "memory",
            "valid for",
            "owner",
        ];
        out.push(table(&head, &[], &rows));
        if shown.asks.len() > MAX_ROWS {
            out.push(format!(
                "  … and {} more (--output json shows all)",
                shown.asks.len() - MAX_ROWS
            ));
        }
    }
    out.push(format!("\n{}", paint.bold("Price of a Tfuel in the deals that were opened")));
    match shown.history.last() {
        None => out.push("  no deal was opened yet".into()),
        Some(last) => {
            let dots: Vec<_> = shown.history.iter().map(|point| (point.at, point.price)).collect();
            out.push(plot(&shown.index, &dots, PLOT.0, PLOT.1, money, time));
            let sellers: BTreeMap<Address, ()> =
                shown.history.iter().map(|point| (point.provider, ())).collect();
            out.push(format!(
                "  {} deals with {} providers; the last at {}, {} ago",
                count(shown.history.len() as u64),
                count(sellers.len() as u64),
                money(last.price),
                span(shown.at.saturating_sub(last.at))
            ));
        }
    }
    out.join("\n")
}

fn row(one: &Listed, now: u64, paint: Paint) -> Vec<String> {
    let ask = &one.ask;
    let price = match one.price {
        Some(price) if ask.priceStart == ask.priceEnd => bare(price),
        Some(price) if ask.priceStart > ask.priceEnd => format!("{} ↓", bare(price)),
        Some(price) => format!("{} ↑", bare(price)),
        None => "not yet".into(),
    };
    let free = format!("{} of {}", ask.capacity.saturating_sub(one.used), ask.capacity);
    vec![
        short(ask.provider),
        price,
        bare(ask.taskFee),
        if one.is_free() { free } else { paint.bad(&free) },
        format!("{} to {}", bare(ask.minBudget), bare(ask.maxBudget)),
        format!("{} %", f64::from(ask.collateralBps) / 100.0),
        span(ask.maxSeconds.into()),
        format!("{} × {}/s", ask.cores, fuel(ask.fuelPerSecond.into())),
        format!("{} MiB", ask.limits.taskMemory >> 20),
        span(ask.to.saturating_sub(now)),
        if one.owner == ask.provider { "itself".to_owned() } else { short(one.owner) },
    ]
}
