//! What a program needs to buy compute: the market it is on, job files, jobs that outlive the
//! process that submitted them, and evidence that anyone can check offline. Everything the command
//! line does goes through here.
//!
//! A job bought in this process, on the market of this home's `rialto up`:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//! use rialto_client::{Bundle, Buyer, Home, MarketChoice, MarketConfig, job};
//!
//! let home = Home::new("/home/me/.local/share/rialto");
//! let market = MarketConfig::find(&home, &MarketChoice::default())?;
//! let key = market.local_signer().ok_or("not the local market: open a key with `Wallet`")?;
//! let buyer = Buyer::start(&home, &market, key).await?;
//!
//! let file = job::JobFile::read(Path::new("job.toml"), None)?;
//! let quote = buyer.quote(&file).await?;
//! println!("{} tasks, about {:?} base units", quote.tasks, quote.cost);
//!
//! let handle = buyer.submit(&file).await?;
//! let mut events = handle.events();
//! while let Some(event) = events.next().await {
//!     println!("{event:?}");
//! }
//! let report = handle.wait().await?;
//! let written = job::write_results(&file, &report, false, |_task| {})?;
//! assert!(Bundle::read(&written.bundle)?.check().holds());
//! buyer.stop().await;
//! # Ok(()) }
//! ```
//!
//! To have jobs live on beside the program, let [`host::serve`] work in a process of its own and
//! talk to it with [`Host`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod book;
mod bundle;
mod buyer;
mod class;
pub mod control;
mod error;
pub mod escape;
mod games;
mod history;
mod home;
pub mod host;
pub mod job;
mod ledger;
mod market;
mod replay;
pub mod settings;
pub mod view;
mod wallet;

pub use book::{Book, BookError, Listed};
pub use bundle::{Bundle, BundleError, Checked, Contradiction, Fault};
pub use buyer::{
    Buyer,
    quote::{Chosen, LeftOut, Opening, PolicyPrice, Quote, Resumption, Trial},
};
pub use class::{Class, Classified};
pub use error::HostError;
pub use games::{Conviction, GameMove, GameTale, Place, Played};
pub use history::{
    DealEnd, DealPhase, DealStory, History, HistoryError, OpenCase, PricePoint, price_index,
};
pub use home::{Home, HomeError, private_dir, write_private};
pub use host::{Follow, Host, JobFolder, Told};
pub use ledger::{Movement, What};
pub use market::{
    LOCAL_REQUESTER, LocalFacts, MarketChoice, MarketConfig, MarketError,
    TEMPLATE as CONFIG_TEMPLATE, local_key,
};
pub use replay::{Replay, ReplayError, SignedTask, signed_tasks};
pub use wallet::{Passphrase, Wallet, WalletError, read_key};
