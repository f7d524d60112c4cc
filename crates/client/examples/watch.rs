//! Watches a market: prints the order book once, then every deal that is opened. Needs no account.
//!
//! ```text
//! rialto up --detach
//! cargo run -p rialto-client --example watch -- ~/.local/share/rialto
//! ```

use std::{error::Error, path::Path, time::Duration};

use rialto_client::{Book, History, Home, MarketChoice, MarketConfig};

/// Longest wait for offers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Prints offers, and then `deals` deals as they are opened. Returns the price of each, base units
/// per Tfuel.
///
/// # Errors
/// No market, or a chain that does not answer.
pub async fn watch(home: &Path, deals: usize) -> Result<Vec<u128>, Box<dyn Error>> {
    let home = Home::new(home);
    let market = MarketConfig::find(&home, &MarketChoice::default())?;
    let chain = market.connect().await?;
    // The chain's events from the market's first block on. Among them are the addresses of
    // providers, through which the gossip of offers is joined.
    let mut history = History::read(&chain, market.first_block, |_percent| {}).await?;
    let scratch = home.path().join("watch");
    let book = Book::open(&chain, &market, history.peers(), &scratch).await?;
    book.heard(PATIENCE).await;
    for offer in book.listed().await? {
        println!("{} sells at {:?} base units per Tfuel", offer.ask.provider, offer.price);
    }
    book.close().await;

    let mut known = history.prices().len();
    let mut seen = Vec::new();
    while seen.len() < deals {
        // Returns with the next block.
        history.news().await?;
        let prices = history.prices();
        for deal in prices.iter().skip(known) {
            println!("a deal with {} at {} base units per Tfuel", deal.provider, deal.price);
            seen.push(deal.price);
        }
        // A reorganisation of the chain may have taken some back.
        known = prices.len();
    }
    Ok(seen)
}

#[tokio::main]
#[allow(dead_code)] // a test compiles this file as a module and calls `watch`
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, home] = args.as_slice() else { return Err("usage: watch HOME".into()) };
    watch(Path::new(home), usize::MAX).await.map(drop)
}
