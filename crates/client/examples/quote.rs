//! Says what a job would cost under every way of checking results, and spends nothing.
//!
//! ```text
//! rialto up --detach && rialto job init
//! cargo run -p rialto-client --example quote -- ~/.local/share/rialto job.toml
//! ```

use std::{error::Error, path::Path};

use rialto_client::{Buyer, Home, MarketChoice, MarketConfig, Quote, job::JobFile};

/// Quotes a job file on the market of a home folder.
///
/// # Errors
/// No market, an unusable job file, or a task that does not run here: each with its code.
pub async fn quote(home: &Path, file: &Path) -> Result<Quote, Box<dyn Error>> {
    let home = Home::new(home);
    // What flags would choose. By default: config.toml in the home folder, or the market of `rialto
    // up`.
    let market = MarketConfig::find(&home, &MarketChoice::default())?;
    // On another market the key is one of the wallet: `Wallet::new(home.wallet()).open(account,
    // &passphrase)`.
    let key = market.local_signer().ok_or("this is no local market: open a key of the wallet")?;
    let buyer = Buyer::start(&home, &market, key).await?;
    // One task is run on this machine to learn its fuel; providers' offers are heard meanwhile.
    let quote = buyer.quote(&JobFile::read(file, None)?).await?;
    buyer.stop().await;
    for policy in &quote.policies {
        match policy.pay {
            Some(pay) => println!("{:<16} {pay} base units", policy.policy),
            None => {
                println!("{:<16} {}", policy.policy, policy.why.as_deref().unwrap_or("no offers"))
            }
        }
    }
    Ok(quote)
}

#[tokio::main]
#[allow(dead_code)] // a test compiles this file as a module and calls `quote`
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, home, file] = args.as_slice() else { return Err("usage: quote HOME JOB.toml".into()) };
    quote(Path::new(home), Path::new(file)).await.map(drop)
}
