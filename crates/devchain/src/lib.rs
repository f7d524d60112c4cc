//! In-process EVM chain over revm with Ethereum JSON-RPC: the settlement layer when no chain is
//! configured, and the chain that tests can move through time, roll back and reorganise.
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
//! Hard fork: prague. Every transaction becomes a block at once (unless `evm_setAutomine` says otherwise).
//! With a data folder every block is one database transaction, so the chain survives any crash at a block
//! boundary. See the crate's README for the methods and for what differs from anvil.
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

/// A chain. Clones share it; requests are answered one at a time.
#[derive(Clone)]
pub struct Devchain {
    chain: Arc<Mutex<chain::Chain>>,
}

impl Devchain {
    /// Opens the chain in the configured data folder, or begins a new one.
    pub fn open(config: Config) -> Result<Self, Error> {
        Ok(Self { chain: Arc::new(Mutex::new(chain::Chain::open(config)?)) })
    }

    /// Answers one JSON-RPC request. Blocks for as long as the request runs (milliseconds; a call runs at
    /// most one block's worth of gas).
    pub fn handle(&self, method: &str, params: serde_json::Value) -> Result<serde_json::Value, RpcError> {
        // A panic while answering leaves nothing half-done: what is stored is written last, in one piece.
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        rpc::answer(&mut chain, method, params)
    }
}

impl std::fmt::Debug for Devchain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Devchain").finish_non_exhaustive()
    }
}
