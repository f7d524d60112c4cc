//! The deterministic machine: gate, canonicaliser, metering, WASI polyfill.
