//! EVM client of the market: bindings, one sender per key, canonical event stream.
