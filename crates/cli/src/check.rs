//! `rialto check`: does the machine take a program, and what is it called?

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    args::{Check, Output},
    print, print_json,
};

/// Prints programRoot and memory, or why the gate refuses.
pub fn check(args: &Check, output: Output) -> Result<u8> {
    let wasm = read_program(&args.program)?;
    let canonical = rialto_machine::canonicalise(&wasm).with_context(|| refused(&args.program))?;
    match output {
        Output::Json => print_json(&json!({
            "program_root": canonical.program_root,
            "canon_version": rialto_machine::CANON_VERSION,
            "bytes": wasm.len(),
            "canonical_bytes": canonical.module.len(),
            "memory_pages": { "min": canonical.min_pages, "max": canonical.max_pages },
        })),
        Output::Human => {
            println!("{} is accepted", args.program.display());
            println!("  programRoot       {}", canonical.program_root);
            println!("  canonVersion      {}", rialto_machine::CANON_VERSION);
            println!(
                "  size              {} bytes, canonical {}",
                print::count(wasm.len() as u64),
                print::count(canonical.module.len() as u64)
            );
            println!("  memory            {} to {} pages of 64 KiB", canonical.min_pages, canonical.max_pages);
        }
    }
    Ok(0)
}

/// Most bytes of a program that are read: the gate's own limit is lower.
const MAX_PROGRAM_BYTES: u64 = 256 << 20;

/// Reads a program, refusing what is no file or absurdly large before reading it.
pub fn read_program(path: &std::path::Path) -> Result<Vec<u8>> {
    let length = std::fs::metadata(path)
        .with_context(|| format!("cannot read the program {}: check the path", path.display()))?
        .len();
    anyhow::ensure!(length <= MAX_PROGRAM_BYTES, "{} has {length} bytes, more than any program may", path.display());
    std::fs::read(path).with_context(|| format!("cannot read the program {}", path.display()))
}

/// First line of the error when the gate says no.
pub fn refused(path: &std::path::Path) -> String {
    format!("the machine does not take {}", path.display())
}
