//! Ended jobs on disk: the status and the report of each lie in its folder, beside its outputs. So
//! lists, names, reports and results outlive restarts, and the core's memory of the job.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rialto_exec::map_file;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::RequesterError,
    job::{JobReport, Output, TaskOutcome},
    library::{PROGRAM, SHARED, TASKS, write},
};
use crate::core::{JobId, JobStatus};

const STATUS: &str = "status.bin";
const REPORT: &str = "report.bin";
/// Most ended jobs that a list shows, the newest: it reads a small file for each.
const MAX_LISTED: usize = 10_000;

fn unreadable(path: &Path) -> impl FnOnce(postcard::Error) -> RequesterError {
    let path = path.display().to_string();
    move |error| RequesterError::File { path, source: std::io::Error::other(error) }
}

fn put(path: &Path, value: &impl Serialize) -> Result<(), RequesterError> {
    let bytes = postcard::to_stdvec(value).map_err(unreadable(path))?;
    write(path, |file| std::io::Write::write_all(file, &bytes))
}

fn get<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RequesterError> {
    match std::fs::read(path) {
        Ok(bytes) => postcard::from_bytes(&bytes).map(Some).map_err(unreadable(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RequesterError::file(path)(error)),
    }
}

/// Keeps a job's status and report. Paths are kept relative, so that the folder may move.
pub(crate) fn keep(
    folder: &Path,
    status: &JobStatus,
    report: &JobReport,
) -> Result<(), RequesterError> {
    let mut report = report.clone();
    let local = |path: &Path| path.strip_prefix(folder).map(Path::to_path_buf).unwrap_or_default();
    outputs(&mut report).for_each(|output| output.path = local(&output.path));
    report.folder = PathBuf::new();
    put(&folder.join(REPORT), &report)?;
    put(&folder.join(STATUS), status)
}

/// Whether a job's report is kept.
pub(crate) fn is_kept(folder: &Path) -> bool {
    folder.join(STATUS).exists()
}

/// The job goes on: what was reported is not its end. Best effort: a new report replaces it.
pub(crate) fn drop_report(folder: &Path) -> Result<(), RequesterError> {
    let _ = std::fs::remove_file(folder.join(STATUS));
    let _ = std::fs::remove_file(folder.join(REPORT));
    Ok(())
}

fn outputs(report: &mut JobReport) -> impl Iterator<Item = &mut Output> {
    report.tasks.iter_mut().flatten().map(|task: &mut TaskOutcome| &mut task.output)
}

/// The report in a job's folder, if the job has ended. Its paths lead to where the folder is now.
///
/// # Errors
/// `R-SVC-003`.
pub fn report(folder: &Path) -> Result<Option<JobReport>, RequesterError> {
    let Some(mut report) = get::<JobReport>(&folder.join(REPORT))? else { return Ok(None) };
    outputs(&mut report).for_each(|output| output.path = folder.join(&output.path));
    report.folder = folder.to_path_buf();
    Ok(Some(report))
}

/// A job's bytes, as it was submitted.
#[derive(Clone, Debug)]
pub struct JobContent {
    /// The program.
    pub program: Bytes,
    /// The half of the input that all tasks share; may be empty. It is read from disk when it is
    /// looked at.
    pub shared: Bytes,
    /// Every task's own half.
    pub tasks: Vec<Bytes>,
}

/// Program and inputs in a job's folder; `None` if there are none, or none any more: inputs of jobs
/// that are long over are removed.
///
/// # Errors
/// `R-SVC-003`.
pub fn content(folder: &Path) -> Result<Option<JobContent>, RequesterError> {
    let bytes = |name: &str| match map_file(&folder.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RequesterError::file(&folder.join(name))(error)),
    };
    let tasks = get::<Vec<rialto_protocol::Bytes>>(&folder.join(TASKS))?;
    let (Some(program), Some(tasks)) = (bytes(PROGRAM)?, tasks) else { return Ok(None) };
    let shared = bytes(SHARED)?.unwrap_or_default();
    Ok(Some(JobContent { program, shared, tasks: tasks.into_iter().map(|task| task.0).collect() }))
}

/// A job's status, if it has ended.
///
/// # Errors
/// `R-SVC-003`.
pub fn status(folder: &Path) -> Result<Option<JobStatus>, RequesterError> {
    get(&folder.join(STATUS))
}

/// Every ended job in `root`. A folder that can't be read is left out.
pub(crate) fn list(root: &Path) -> Vec<JobStatus> {
    let Ok(folders) = std::fs::read_dir(root) else { return Vec::new() };
    let named = folders.flatten().filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.parse::<JobId>().is_ok())
    });
    let known = named.filter_map(|entry| {
        status(&entry.path()).unwrap_or_else(|error| {
            tracing::warn!(%error, "an ended job can't be read");
            None
        })
    });
    let mut known: Vec<_> = known.collect();
    known.sort_by_key(|status: &JobStatus| (std::cmp::Reverse(status.submitted), status.id));
    known.truncate(MAX_LISTED);
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{JobPhase, Policy, Progress};
    use rialto_protocol::{
        B256,
        receipt::{Halted, Status},
    };

    #[test]
    fn what_is_kept_is_found_again_even_where_the_folder_moved() {
        let root = tempfile::tempdir().unwrap();
        let id = JobId(0xab);
        let folder = root.path().join(id.to_string());
        let halted = Halted {
            status: Status::Finished,
            exit_code: 0,
            out_hash: B256::ZERO,
            out_len: 3,
            fuel_left: 1,
            digest: 0,
        };
        let output = Output { path: folder.join("outputs/x.bin"), offset: 1, len: 3 };
        let kept = JobReport {
            job: id,
            name: "pricing".into(),
            outcome: Ok(()),
            tasks: vec![None, Some(TaskOutcome { halted, votes: 2, output })],
            providers: Vec::new(),
            requester_paid: 5,
            deals: 1,
            transactions: Vec::new(),
            progress: Progress::default(),
            checks: Default::default(),
            disputes: Vec::new(),
            evidence: Default::default(),
            folder: folder.clone(),
        };
        let status_of = |id, submitted| JobStatus {
            id,
            name: "pricing".into(),
            phase: JobPhase::Ended,
            outcome: Some(Ok(())),
            submitted,
            deadline: 9,
            ended: Some(8),
            policy: Policy::Trust,
            budget: 1,
            deals: 1,
            progress: Progress::default(),
            waits: None,
        };
        keep(&folder, &status_of(id, 1), &kept).unwrap();
        keep(&root.path().join(JobId(2).to_string()), &status_of(JobId(2), 7), &kept).unwrap();
        std::fs::create_dir(root.path().join("else")).unwrap();
        let moved = root.path().join("moved");
        std::fs::rename(&folder, &moved).unwrap();
        let found = report(&moved).unwrap().unwrap();
        assert_eq!(found.tasks[1].as_ref().unwrap().output.path, moved.join("outputs/x.bin"));
        assert_eq!((found.requester_paid, found.folder), (5, moved.clone()));
        std::fs::rename(&moved, &folder).unwrap();
        assert_eq!(
            list(root.path()).iter().map(|status| status.id).collect::<Vec<_>>(),
            [JobId(2), id]
        );
        assert!(report(&root.path().join("else")).unwrap().is_none());
    }
}
