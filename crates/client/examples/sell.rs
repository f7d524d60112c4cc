//! Sells this machine's cores until Ctrl-C. `rialto provide` does the same with more care: it
//! measures the machine, reads prices from a file, and drains before it ends.
//!
//! ```text
//! rialto up --detach
//! cargo run -p rialto-client --example sell -- ~/.local/share/rialto provider-9
//! ```
//!
//! The local market gives its accounts gas money; what backs deals has to be deposited.

use std::{error::Error, path::Path};

use rialto_client::{Home, MarketChoice, MarketConfig, local_key, private_dir};
use rialto_exec::{Config, Engine};
use rialto_net::Node;
use rialto_provider::{AskConfig, Price, Provider, ProviderConfig};

/// Base units per Tfuel, and per task.
const PRICE: u128 = 120_000;
const TASK_FEE: u128 = 10;
/// What one core does in a second. It is stated, not enforced; late work is penalised.
const FUEL_PER_SECOND: u64 = 500_000_000;

/// Sells with a named key of the local market until `stop` is ready.
///
/// # Errors
/// No market, or a provider that does not start.
pub async fn sell(
    home: &Path,
    name: &str,
    stop: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    let home = Home::new(home);
    let market = MarketConfig::find(&home, &MarketChoice::default())?;
    let chain = market.connect().await?;
    // Everybody knows these keys: they are for local markets only.
    let key = local_key(name);
    // Journal, blobs and compiled programs of this provider on this market. Started again, it goes
    // on.
    let folder = home.provider(chain.chain_id(), market.market, key.address());
    private_dir(&folder)?;
    let engine = Engine::new(Config::new(folder.join("programs")))?;
    let node = Node::bind(market.net(&folder)?).await?;
    let config = ProviderConfig {
        asks: AskConfig {
            price: Price::Constant(PRICE),
            task_fee: TASK_FEE,
            cores: std::thread::available_parallelism().map_or(1, usize::from) as u32,
            fuel_per_second: FUEL_PER_SECOND,
            // Who judges disputes. Requesters prefer offers that name the market's own court.
            court: market.court.unwrap_or_default(),
            ..AskConfig::default()
        },
        // Requesters find this endpoint on chain.
        announce: true,
        first_block: market.first_block,
        ..ProviderConfig::new(&folder, key)
    };
    let provider = Provider::start(config, chain, node.clone(), engine).await?;
    let mut events = provider.events();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            event = events.recv() => match event {
                Ok(event) => println!("{event:?}"),
                Err(why) => println!("{why}"),
            },
        }
    }
    provider.stop().await;
    node.close().await;
    Ok(())
}

#[tokio::main]
#[allow(dead_code)] // a test compiles this file as a module and calls `sell`
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, home, name] = args.as_slice() else { return Err("usage: sell HOME NAME".into()) };
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    sell(Path::new(home), name, interrupted).await
}
