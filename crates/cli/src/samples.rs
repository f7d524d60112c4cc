//! Programs that are part of this binary; sources and build commands are in `examples/`.

/// The path tracer of the demo, on which speed is measured.
pub const RAYTRACE: &[u8] = include_bytes!("../../../examples/raytrace/raytrace.wasm");
/// Reads a number, writes its square.
pub const TINY: &[u8] = include_bytes!("../../../examples/tiny/tiny.wasm");
