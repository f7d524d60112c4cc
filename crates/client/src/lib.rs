//! What a program needs to buy compute: the market it is on, job files, jobs that outlive the process that
//! submitted them, and evidence that anyone can check offline. Everything the command line does goes through here.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bundle;
pub mod control;
mod home;
pub mod host;
pub mod job;
mod jobs;
mod market;
mod quote;
pub mod settings;
mod wallet;

pub use bundle::{Bundle, BundleError, Checked, Contradiction, Fault};
pub use home::{Home, HomeError, private_dir, write_private};
pub use host::{Buyer, HostError, Told};
pub use jobs::{Follow, Host, JobFolder};
pub use market::{
    LOCAL_REQUESTER, LocalFacts, MarketChoice, MarketConfig, MarketError, TEMPLATE as CONFIG_TEMPLATE, local_key,
};
pub use quote::{Chosen, LeftOut, PolicyPrice, Quote, Trial};
pub use wallet::{Passphrase, Wallet, WalletError, read_key};
