//! The committed programs are what their sources make, byte for byte. Checked where the pinned
//! compiler is installed.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

const ZIG: &str = "0.17.1";

#[test]
fn committed_programs_are_fresh() {
    let version = Command::new("python3").args(["-m", "ziglang", "version"]).output();
    if !version.is_ok_and(|output| output.stdout.trim_ascii() == ZIG.as_bytes()) {
        eprintln!("skipped: needs `pip install ziglang=={ZIG}`");
        return;
    }
    let exec = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    for program in ["raytrace", "kernels", "pricing", "words"] {
        let folder = exec.join("../../examples").join(program);
        let program = format!("{program}.wasm");
        let fresh = out.path().join(&program);
        assert!(
            Command::new(folder.join("build.sh")).arg(&fresh).status().unwrap().success(),
            "{program}"
        );
        assert!(
            std::fs::read(folder.join(&program)).unwrap() == std::fs::read(fresh).unwrap(),
            "{program} is stale"
        );
    }
}
