//! Buys a job, prints what happens, writes the results, and checks the evidence.
//!
//! ```text
//! rialto up --detach && rialto job init
//! cargo run -p rialto-client --example buy -- ~/.local/share/rialto job.toml
//! ```

use std::{error::Error, path::Path};

use rialto_client::{
    Bundle, Buyer, Home, MarketChoice, MarketConfig,
    job::{JobFile, Written, write_results},
};

/// Buys a job on the market of a home folder, and waits for its end.
///
/// # Errors
/// No market, a job that is refused or fails, or evidence that does not hold.
pub async fn buy(home: &Path, file: &Path) -> Result<Written, Box<dyn Error>> {
    let home = Home::new(home);
    let market = MarketConfig::find(&home, &MarketChoice::default())?;
    let key = market.local_signer().ok_or("this is no local market: open a key of the wallet")?;
    let buyer = Buyer::start(&home, &market, key).await?;

    let file = JobFile::read(file, None)?;
    let handle = buyer.submit(&file).await?;
    let mut events = handle.events();
    while let Some(event) = events.next().await {
        println!("{event:?}");
    }
    let report = handle.wait().await?;
    buyer.stop().await;
    if let Err(why) = &report.outcome {
        return Err(why.to_string().into());
    }

    // Results lie on this disk now. The evidence beside them is all that was signed: anyone can
    // check it.
    let written = write_results(&file, &report, false, |_task| {})?;
    if !Bundle::read(&written.bundle)?.check().holds() {
        return Err("the evidence does not hold".into());
    }
    println!(
        "{} files in {}, for {} base units",
        written.files,
        written.folder.display(),
        report.requester_paid
    );
    Ok(written)
}

#[tokio::main]
#[allow(dead_code)] // a test compiles this file as a module and calls `buy`
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, home, file] = args.as_slice() else { return Err("usage: buy HOME JOB.toml".into()) };
    buy(Path::new(home), Path::new(file)).await.map(drop)
}
