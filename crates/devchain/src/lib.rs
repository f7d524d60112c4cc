//! An EVM chain in the process, over revm, with Ethereum JSON-RPC. It settles the market if no
//! chain is configured, and tests can move it through time, roll it back and reorganise it.
//!
//! ```
//! use rialto_devchain::{Config, Devchain};
//! use serde_json::json;
//!
//! let chain = Devchain::open(Config::default())?;
//! assert_eq!(chain.handle("eth_chainId", json!([]))?, json!("0x7a69"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The hard fork is prague. Every transaction becomes a block at once, unless `evm_setAutomine` is
//! off. In a data folder every block is one database transaction, so after any crash the chain is
//! at a block boundary. The crate's README lists the methods and the differences from anvil.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod block;
mod chain;
mod error;
mod execute;
mod filters;
mod http;
mod pool;
mod rpc;
mod state;
mod store;
mod time;

use std::sync::{Arc, Mutex, PoisonError};

pub use chain::Config;
pub use error::Error;
pub use http::{Server, serve};
pub use rpc::RpcError;
pub use time::Clock;

/// A chain. Clones share it. It answers one request at a time.
#[derive(Clone)]
pub struct Devchain {
    chain: Arc<Mutex<chain::Chain>>,
}

impl Devchain {
    /// Opens the chain in the configured data folder, or begins a new one.
    ///
    /// # Errors
    /// [`Error::OtherChain`] or [`Error::OtherFormat`] if the folder belongs to another chain or
    /// version, [`Error::Damaged`] if its data is incomplete, [`Error::Store`] or [`Error::Io`] if
    /// the disk fails.
    pub fn open(config: Config) -> Result<Self, Error> {
        Ok(Self { chain: Arc::new(Mutex::new(chain::Chain::open(config)?)) })
    }

    /// Answers one JSON-RPC request. Blocks while the request runs, which takes milliseconds: a
    /// call uses at most the gas of one block.
    ///
    /// # Errors
    /// The error object that a JSON-RPC client gets.
    pub fn handle(
        &self,
        method: &str,
        params: serde_json::Value,
    ) -> Result<serde_json::Value, RpcError> {
        // A panic during an answer leaves no partial state, because an answer writes to the store
        // last and in one transaction. So a poisoned lock can be used.
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        rpc::answer(&mut chain, method, params)
    }
}

impl std::fmt::Debug for Devchain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Devchain").finish_non_exhaustive()
    }
}
