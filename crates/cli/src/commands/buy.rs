//! What `rialto run` was given: a job file, wherever it comes from, and flags that overrule it.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rialto_client::{
    Host, Passphrase,
    job::{Claim, JobFile, Place},
    view,
};
use rialto_exec::PAGE_BYTES;
use rialto_requester::{JobId, Policy};

use crate::{
    env::{self, PlaceArgs, signals},
    exit,
    job::{background, follow, quote, results},
    ui::Ui,
};

/// Standard input as a job file.
const STDIN: &str = "-";
/// Longest job file that comes through a pipe, bytes.
const MAX_PIPED_BYTES: u64 = 64 << 20;
/// Bytes by which a file without a telling name is known.
const SAMPLE_BYTES: u64 = 64 << 10;

/// A job to buy, and the flags that overrule its file.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// The job file; `-` is standard input.
    pub file: PathBuf,
    /// Tell what it would cost.
    pub dry_run: bool,
    /// Tell what would be sent.
    pub explain: bool,
    /// Return once it is under way.
    pub detach: bool,
    /// Where results go, whatever the file says.
    pub to: Option<PathBuf>,
    /// Replace what others wrote there.
    pub force: bool,
    /// End with an exit code if a task failed.
    pub strict: bool,
    /// How results are checked, whatever the file says.
    pub policy: Option<Policy>,
    /// Fuel of a task, whatever the file says.
    pub fuel: Option<u64>,
    /// Memory of a task, bytes, whatever the file says.
    pub memory: Option<u64>,
}

/// Whether it is a job file: by its name, or by what is in it.
pub fn is_job(path: &Path) -> bool {
    let extension =
        path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match (extension.as_deref(), std::fs::metadata(path)) {
        (Some("toml"), _) => true,
        _ if path.as_os_str() == STDIN => true,
        (Some("wasm" | "wat"), _) | (_, Err(_)) => false,
        (_, Ok(about)) if about.is_file() => is_text(path, extension.is_none()),
        // A program is a file; what comes through a pipe is text.
        (_, Ok(about)) => !about.is_dir(),
    }
}

/// Whether a file may be a job file: any text, or one that is TOML if its name promises something
/// else.
fn is_text(path: &Path, any: bool) -> bool {
    let mut sample = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(SAMPLE_BYTES).read_to_end(&mut sample));
    let text = match std::str::from_utf8(&sample) {
        Ok(text) => text,
        // A sample may end within a letter.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&sample[..error.valid_up_to()]).unwrap_or("")
        }
        Err(_) => return false,
    };
    let text = text.trim_start_matches('\u{feff}');
    read.is_ok()
        && !text.is_empty()
        && !text.contains('\0')
        && (any || text.parse::<toml::Table>().is_ok())
}

/// Reads the job file, and lets flags overrule it.
pub fn read(args: &Purchase) -> Result<JobFile> {
    let path = &args.file;
    let home = env::user_home();
    let is_file = std::fs::metadata(path).is_ok_and(|about| about.is_file());
    let mut file = match path.as_os_str() == STDIN || (path.exists() && !is_file) {
        true => piped(path, home.as_deref())?,
        false => JobFile::read(path, home.as_deref())?,
    };
    if let Some(to) = &args.to {
        file.results.folder = std::path::absolute(env::resolved(to)?)?;
    }
    if let Some(policy) = args.policy {
        file.verify = policy;
    }
    if let Some(fuel) = args.fuel {
        file.fuel = fuel;
    }
    if let Some(bytes) = args.memory {
        file.max_pages = u32::try_from(bytes.div_ceil(PAGE_BYTES))?
            .min(rialto_machine::limits::MAX_MEMORY_PAGES);
    }
    Ok(file)
}

/// One that comes through a pipe: its paths start where the command was called.
fn piped(path: &Path, home: Option<&Path>) -> Result<JobFile> {
    let failed = || failure!(Usage, "C-JOB-002", "{} can't be read", path.display());
    let mut bytes = Vec::new();
    match path.as_os_str() == STDIN {
        true => std::io::stdin().lock().take(MAX_PIPED_BYTES + 1).read_to_end(&mut bytes),
        false => {
            ensure!(!path.is_dir(), failure!(Usage, "C-JOB-002", "{} is a folder", path.display()));
            std::fs::File::open(path)
                .and_then(|file| file.take(MAX_PIPED_BYTES + 1).read_to_end(&mut bytes))
        }
    }
    .with_context(failed)?;
    ensure!(
        bytes.len() as u64 <= MAX_PIPED_BYTES,
        failure!(Usage, "C-JOB-002", "{} is larger than a job file may be", path.display())
    );
    ensure!(
        !bytes.starts_with(b"\0asm"),
        failure!(Usage, "C-JOB-003", "a program has to be a file: {} is none", path.display())
    );
    let text = String::from_utf8(bytes).map_err(|_| {
        anyhow::Error::new(failure!(Usage, "C-JOB-002", "{} is not UTF-8", path.display()))
    })?;
    let base = std::env::current_dir().context(failure!(
        Usage,
        "C-JOB-002",
        "the folder that this was called in is gone"
    ))?;
    JobFile::parse(&text, &Place::new(&base, home))
        .with_context(|| format!("{} can't be used", path.display()))
}

/// A job that is under way, to be watched.
struct UnderWay {
    host: Host,
    secret: Option<Passphrase>,
    id: JobId,
}

/// `rialto run job.toml`
pub async fn buy(args: &Purchase, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let begun = tokio::select! {
        begun = begin(args, place, ui) => begun?,
        () = signals::interrupted() => {
            eprintln!("\ninterrupted: `rialto jobs` tells whether the job was taken");
            return Ok(exit::INTERRUPTED);
        }
    };
    match begun {
        Ok(UnderWay { host, secret, id }) => {
            let wishes = follow::Wishes { force: args.force, strict: args.strict };
            follow::until_end(&host, secret, place, id, wishes, ui).await
        }
        Err(code) => Ok(code),
    }
}

/// Reads, checks, submits; or does what else was asked for, which ends with an exit code.
async fn begin(args: &Purchase, place: &PlaceArgs, ui: Ui) -> Result<Result<UnderWay, u8>> {
    let (home, only_tell) = (place.home()?, args.dry_run || args.explain);
    // What is wrong with it is told before anything is started. Its inputs may be many, and slow to
    // read.
    let given = args.clone();
    let (file, tasks, folder) = blocking(move || {
        let file = read(&given)?;
        let tasks = file.check()?;
        let folder = Claim::look(&file, None, given.force, results::runs(&home));
        anyhow::Ok((file, tasks, folder))
    })
    .await?;
    file.notes.iter().for_each(|note| eprintln!("rialto: left out: {note}"));
    match folder {
        Err(why) if only_tell => eprintln!("rialto: it would be refused: {why}"),
        other => other?,
    }
    let (host, secret) = background::running(place).await?;
    if args.dry_run {
        return Ok(Err(quote::dry_run(&host, &file, ui).await?));
    }
    if args.explain {
        return Ok(Err(quote::explain(&host, &file, ui).await?));
    }
    let id = submit(&host, &file, args.force, place).await?;
    if args.detach {
        let text = format!(
            "job {id} of {tasks} tasks is under way\n  rialto jobs logs -f {id}    what happens\n  rialto jobs results {id}    its results, once it has ended"
        );
        ui.answer(&text, || view::JobUnderWay {
            job: id.to_string(),
            tasks: tasks.into(),
            detached: true,
        });
        return Ok(Err(exit::OK));
    }
    Ok(Ok(UnderWay { host, secret, id }))
}

/// Submits a job once its results have a place.
async fn submit(host: &Host, file: &JobFile, force: bool, place: &PlaceArgs) -> Result<JobId> {
    let (copy, home) = (file.clone(), place.home()?);
    let mut claim =
        blocking(move || Ok(Claim::take(&copy, None, force, results::runs(&home))?)).await?;
    match host.submit(file).await {
        Ok(id) => {
            claim.name(&id.to_string())?;
            Ok(id)
        }
        Err(why) => {
            claim.release();
            Err(why.into())
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(is_job(&path), job, "{name}");
        }
        assert!(is_job(Path::new("-")) && is_job(Path::new("gone.toml")));
        assert!(!is_job(Path::new("gone.wasm")) && !is_job(folder.path()));
    }
}
