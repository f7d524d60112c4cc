//! Runs canonical programs fast and safely on wasmtime.
