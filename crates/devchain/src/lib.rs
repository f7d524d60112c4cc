//! In-process EVM chain over revm with Ethereum JSON-RPC.
