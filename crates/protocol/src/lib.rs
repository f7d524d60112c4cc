//! The rules of the market: everything that both sides must compute alike.
//!
//! No IO, no clock, no randomness. Money is integer base units of the market's one ERC-20 token;
//! a price is base units per Tfuel (10^12 fuel).
//!
//! | module | knows |
//! |---|---|
//! | [`ids`] | names of asks, deals, orders, receipts, games |
//! | [`event`] | what the market and its courts say |
//! | [`case`] | claims, late notices, demands, holds |
//! | [`eip712`] | how a struct is hashed and signed |
//! | [`types`] | every signed struct, its EIP-712 hash, and the market's domain |
//! | [`signing`] | 65-byte signatures: sign, recover, check |
//! | [`pricing`] | price curves, fees, collateral |
//! | [`receipt`] | what a halted task is, and the Merkle-sum tree over an order's tasks |
//! | [`tree`], [`lanes`] | keccak trees over task inputs, and many hashes at once |
//! | [`court`], [`fault`] | games as both sides see them, and what shows a receipt to be wrong without one |
//! | [`bounds`] | the most that an honest side can lose in a deal |
//! | [`model`] | the market itself: oracle of the bytecode and of the simulator, prediction for clients |
//! | [`refusal`] | why a provider does not accept something, and what cures it |
//! | [`wire`] | messages of a deal session and of gossip, with bounded decoding |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bounds;
pub mod case;
pub mod court;
pub mod eip712;
pub mod event;
pub mod fault;
pub mod ids;
pub mod lanes;
pub mod model;
pub mod pricing;
pub mod receipt;
pub mod refusal;
pub mod signing;
pub mod tree;
pub mod types;
pub mod wire;

pub use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
pub use ids::{AskId, DealId, GameId, OrderId, ReceiptId};
