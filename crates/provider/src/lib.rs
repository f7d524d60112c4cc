//! The seller's side of Rialto.
//!
//! [`core`] decides, without IO; the service around it performs.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod core;
