//! What `rialto run` was given: a job file, wherever it comes from, and flags that overrule it.

use std::{io::Read, path::Path};

use anyhow::{Context, Result, bail, ensure};
use rialto_client::job::{JobFile, Place};
use rialto_exec::PAGE_BYTES;

use crate::{args::Run, place};

/// Standard input as a job file.
const STDIN: &str = "-";
/// Longest job file that comes through a pipe, bytes.
const MAX_PIPED_BYTES: u64 = 64 << 20;
/// Bytes by which a file without a telling name is known.
const SAMPLE_BYTES: u64 = 64 << 10;

/// Whether it is a job file: by its name, or by what is in it.
pub fn is_job(args: &Run) -> bool {
    let path = &args.program;
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match (extension.as_deref(), std::fs::metadata(path)) {
        (Some("toml"), _) => true,
        _ if path.as_os_str() == STDIN => true,
        (Some("wasm" | "wat"), _) | (_, Err(_)) => false,
        (_, Ok(about)) if about.is_file() => is_text(path, extension.is_none()),
        // A program is a file; what comes through a pipe is text.
        (_, Ok(about)) => !about.is_dir(),
    }
}

/// Whether a file may be a job file: any text, or one that is TOML if its name promises something else.
fn is_text(path: &Path, any: bool) -> bool {
    let mut sample = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(SAMPLE_BYTES).read_to_end(&mut sample));
    let text = match std::str::from_utf8(&sample) {
        Ok(text) => text,
        // A sample may end within a letter.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&sample[..error.valid_up_to()]).unwrap_or(""),
        Err(_) => return false,
    };
    let text = text.trim_start_matches('\u{feff}');
    read.is_ok() && !text.is_empty() && !text.contains('\0') && (any || text.parse::<toml::Table>().is_ok())
}

/// Reads the job file, and lets flags overrule it.
pub fn read(args: &Run) -> Result<JobFile> {
    let path = &args.program;
    if !args.given.is_nothing() || args.files.is_some() {
        bail!("[C-JOB-003] a job file says it all: write arguments, environment and inputs into {}", path.display());
    }
    let home = place::user_home();
    let is_file = std::fs::metadata(path).is_ok_and(|about| about.is_file());
    let mut file = match path.as_os_str() == STDIN || (path.exists() && !is_file) {
        true => piped(path, home.as_deref())?,
        false => JobFile::read(path, home.as_deref())?,
    };
    if let Some(to) = &args.to {
        file.results.folder = std::path::absolute(place::resolved(to)?)?;
    }
    if let Some(policy) = args.checked() {
        file.verify = policy;
    }
    if let Some(fuel) = args.given.fuel {
        file.fuel = fuel;
    }
    if let Some(bytes) = args.given.memory {
        file.max_pages = u32::try_from(bytes.div_ceil(PAGE_BYTES))?.min(rialto_machine::limits::MAX_MEMORY_PAGES);
    }
    Ok(file)
}

/// One that comes through a pipe: its paths start where the command was called.
fn piped(path: &Path, home: Option<&Path>) -> Result<JobFile> {
    let failed = || format!("[C-JOB-002] {} can't be read", path.display());
    let mut bytes = Vec::new();
    match path.as_os_str() == STDIN {
        true => std::io::stdin().lock().take(MAX_PIPED_BYTES + 1).read_to_end(&mut bytes),
        false => {
            ensure!(!path.is_dir(), "[C-JOB-002] {} is a folder", path.display());
            std::fs::File::open(path).and_then(|file| file.take(MAX_PIPED_BYTES + 1).read_to_end(&mut bytes))
        }
    }
    .with_context(failed)?;
    ensure!(bytes.len() as u64 <= MAX_PIPED_BYTES, "[C-JOB-002] {} is larger than a job file may be", path.display());
    ensure!(!bytes.starts_with(b"\0asm"), "[C-JOB-003] a program has to be a file: {} is none", path.display());
    let text = String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("[C-JOB-002] {} is not UTF-8", path.display()))?;
    let base = std::env::current_dir().context("[C-JOB-002] the folder that this was called in is gone")?;
    JobFile::parse(&text, &Place::new(&base, home)).with_context(|| format!("{} can't be used", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn run(path: &Path, more: &[&str]) -> Run {
        let args = ["rialto", "run"].map(std::ffi::OsStr::new).into_iter().chain([path.as_os_str()]);
        let cli = Cli::parse_from(args.chain(more.iter().map(std::ffi::OsStr::new)));
        match cli.command {
            Command::Run(run) => run,
            _ => panic!("not a run"),
        }
    }

    #[test]
    fn a_job_file_is_known_by_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let text = "program = \"p.wasm\"\nbudget = 1\n";
        let table: [(&str, &[u8], bool); 12] = [
            ("job.toml", text.as_bytes(), true),
            ("job.TOML", text.as_bytes(), true),
            ("Job.Toml", b"", true),
            ("job", text.as_bytes(), true),
            ("job", b"\xef\xbb\xbfname = \"x\"\n", true),
            ("job.txt", text.as_bytes(), true),
            ("job.conf", "name = \"ä\"".as_bytes(), true),
            ("prog.wasm", text.as_bytes(), false),
            ("prog.WASM", b"\0asm", false),
            ("prog", b"\0asm\x01\0\0\0", false),
            ("prog", b"\x7fELF\0", false),
            ("main.py", b"import os\n", false),
        ];
        for (name, bytes, job) in table {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(is_job(&run(&path, &[])), job, "{name}");
        }
        assert!(is_job(&run(Path::new("-"), &[])) && is_job(&run(Path::new("gone.toml"), &[])));
        assert!(!is_job(&run(Path::new("gone.wasm"), &[])) && !is_job(&run(folder.path(), &[])));
    }

    #[test]
    fn flags_overrule_the_file_or_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(&path, "program = \"p.wasm\"\nbudget = 1\nverify = \"trust\"\n").unwrap();
        let file = |more: &[&str]| read(&run(&path, more)).unwrap();
        let plain = file(&[]);
        assert_eq!(file(&["--replicas", "3"]).verify.replicas(), 3);
        assert_eq!(file(&["--replicas", "1"]).verify.to_string(), "trust");
        assert_eq!(file(&["--policy", "audit=0.05"]).verify.to_string(), "audit=0.05");
        assert_eq!((file(&["--fuel", "5"]).fuel, file(&["--fuel", "20 gfuel"]).fuel), (5, 20_000_000_000));
        assert_eq!((file(&["--memory", "1"]).max_pages, file(&["--memory", "2 GiB"]).max_pages), (16, 32_768));
        assert!(file(&["--to", "there"]).results.folder.ends_with("there"));
        assert_eq!(file(&["--dry-run"]), plain, "and nothing else changes");
        for more in [&["--env", "A=b"][..], &["--input", "a=b"], &["--files", "there"], &["--", "x"]] {
            assert!(read(&run(&path, more)).unwrap_err().to_string().starts_with("[C-JOB-003]"), "{more:?}");
        }
    }
}
