//! Deterministic simulator and end-to-end tests.
