//! The client's examples, run on a local market: one sells, one quotes, one watches, one buys.
#![allow(clippy::unwrap_used)]

#[path = "../../client/examples/buy.rs"]
mod buy;
#[path = "../../client/examples/quote.rs"]
mod quote;
#[path = "../../client/examples/sell.rs"]
mod sell;
#[path = "../../client/examples/watch.rs"]
mod watch;

use std::path::Path;

use rialto_client::{Home, local_key, private_dir};
use rialto_local_market::Standing;
use tokio::sync::oneshot;

/// Name of the key that sells.
const SELLER: &str = "provider-1";
/// Longest wait for the watcher to see the deal.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// Options priced by the job.
const TASKS: u64 = 4;

fn job_file(folder: &Path) -> std::path::PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pricing/pricing.wasm");
    let text = format!(
        "name = \"example\"\nprogram = {program:?}\nargs = [\"100\", \"{{n}}\", \"0.03\", \"0.2\", \"1\", \"1000\", \"7\"]\nverify = \"trust\"\nbudget = 5\n[tasks]\nrange = \"90..{}\"\n",
        90 + TASKS
    );
    let file = folder.join("job.toml");
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn examples_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    private_dir(&home.local()).unwrap();
    // Nobody sells on it but the example.
    let market = Standing::start(&home.local(), &[], 0).await.unwrap();
    market.fund(local_key(SELLER).address()).await.unwrap();
    market.facts().write(&home).unwrap();
    let file = job_file(folder.path());

    let (stop, stopped) = oneshot::channel::<()>();
    let path = folder.path().to_owned();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let seller = tokio::task::spawn_local({
                let path = path.clone();
                async move {
                    sell::sell(&path, SELLER, async { drop(stopped.await) })
                        .await
                        .map_err(|e| e.to_string())
                }
            });
            let quoted = quote::quote(&path, &file).await.unwrap();
            assert_eq!((quoted.tasks, quoted.chosen.len()), (TASKS, 1), "{quoted:?}");
            assert_eq!(quoted.chosen[0].provider, local_key(SELLER).address());
            let watcher = tokio::task::spawn_local({
                let path = path.clone();
                async move { watch::watch(&path, 1).await.map_err(|e| e.to_string()) }
            });
            // The watcher counts what comes after it has read the past.
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            let written = buy::buy(&path, &file).await.unwrap();
            assert_eq!((written.missing, written.failed), (0, 0));
            let first = std::fs::read_to_string(written.folder.join("0.out")).unwrap();
            // The program prints its arguments, and the option's price after them.
            let price = first.trim().split(',').nth(6).and_then(|price| price.parse::<f64>().ok());
            assert!(price.is_some_and(|price| (10.0..20.0).contains(&price)), "{first}");
            let prices = tokio::time::timeout(PATIENCE, watcher).await.unwrap().unwrap().unwrap();
            assert_eq!(prices, [quoted.chosen[0].price], "what was quoted is what was agreed on");
            stop.send(()).unwrap();
            seller.await.unwrap().unwrap();
        })
        .await;
    market.stop().await;
}
