//! Whose a results' folder is. A hidden file in it says which job wrote what, so that a later run
//! replaces its own results and nothing else: not another job's, not what somebody put there or
//! changed.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use super::{
    JobFile, JobFileError,
    names::{BUNDLE, RECORD, STREAM, TABLE, err_of},
    results::Stdout,
};

/// Format of the record.
const VERSION: u32 = 1;
/// Longest line of a record, bytes: a path and some digits.
const MAX_LINE_BYTES: u64 = 16 << 10;

/// The record's first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    version: u32,
    /// Empty until it is known.
    job: String,
    name: String,
    /// The job file: a later run of the same one replaces what an earlier one wrote.
    source: Option<PathBuf>,
    /// What it says: so does one that says the same.
    says: String,
    /// Who submits it.
    process: u32,
}

/// A file that was written: how long and when. Without both it was being written.
type Stamp = Option<(u64, u64)>;

/// What is known of a folder.
#[derive(Debug, Default)]
struct Known {
    header: Option<Header>,
    /// By path below the folder.
    files: HashMap<String, Stamp>,
}

impl Known {
    fn read(folder: &Path) -> Result<Self, JobFileError> {
        let path = folder.join(RECORD);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return Ok(Self::default());
            }
            Err(error) => return Err(JobFileError::file(&path)(error)),
        };
        let mut known = Self::default();
        let mut reader = BufReader::new(file);
        let mut line = String::new();
        loop {
            line.clear();
            let read = std::io::Read::take(&mut reader, MAX_LINE_BYTES).read_line(&mut line);
            // Half a line is what a kill left.
            if read.map_err(JobFileError::file(&path))? == 0 || !line.ends_with('\n') {
                return Ok(known);
            }
            if known.header.is_none() {
                let header: Option<Header> = serde_json::from_str(&line).ok();
                let foreign = || foreign(&path, "was not written by this version of Rialto".into());
                known.header =
                    Some(header.filter(|header| header.version == VERSION).ok_or_else(foreign)?);
            } else if let Ok((file, len, at)) = serde_json::from_str::<(String, u64, u64)>(&line) {
                known.files.insert(file, Some((len, at)));
            } else if let Ok((file,)) = serde_json::from_str::<(String,)>(&line) {
                known.files.entry(file).or_insert(None);
            }
        }
    }

    /// Whether a file is as it was written.
    fn wrote(&self, folder: &Path, file: &str) -> bool {
        match self.files.get(file) {
            None => false,
            Some(None) => true,
            Some(stamp) => stamp_of(&folder.join(file)) == *stamp,
        }
    }
}

fn stamp_of(path: &Path) -> Stamp {
    let about = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let at = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((about.len(), u64::try_from(at.as_nanos()).ok()?))
}

fn foreign(path: &Path, why: String) -> JobFileError {
    JobFileError::Foreign { path: path.display().to_string(), why }
}

/// A results' folder that belongs to a job.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    header: Header,
    /// What the record held before, for taking the claim back; and whether the folder was there.
    before: Option<Vec<u8>>,
    fresh: bool,
}

impl Claim {
    /// Looks whether a job's results may go where it says, and touches nothing. `job` is its id,
    /// once it has one; `runs` says whether another job has not ended.
    ///
    /// # Errors
    /// `C-JOB-002`: the folder can't be written. `C-JOB-015`: what lies there is not this job's,
    /// and `force` does not say that it may be replaced. `C-JOB-003` to `C-JOB-006`: names.
    pub fn look(
        file: &JobFile,
        job: Option<&str>,
        force: bool,
        runs: impl Fn(&str) -> bool,
    ) -> Result<(), JobFileError> {
        let folder = &file.results.folder;
        reachable(folder)?;
        let known = match Known::read(folder) {
            Err(JobFileError::Foreign { .. }) if force => Known::default(),
            other => other?,
        };
        if let Some(header) = &known.header {
            allowed(file, job, header, force, &runs)?;
        }
        let empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
        if force || empty {
            return Ok(());
        }
        let look = |name: &str| {
            let path = folder.join(name);
            match std::fs::symlink_metadata(&path).is_ok() && !known.wrote(folder, name) {
                true => Err(foreign(&path, "is there, and this job did not write it".into())),
                false => Ok(()),
            }
        };
        look(BUNDLE)?;
        match file.results.stdout {
            Stdout::Stream => look(STREAM),
            Stdout::Table => look(TABLE),
            Stdout::None => Ok(()),
            Stdout::Files => {
                let names = file.results.names(&file.tasks)?;
                (0..file.tasks.count()?).try_for_each(|task| {
                    let name = names.name_of(task)?;
                    look(&name)?;
                    look(&err_of(&name))
                })
            }
        }
    }

    /// Takes the folder: it is made, and tried. What an earlier run wrote stays until results
    /// replace it.
    ///
    /// # Errors
    /// As [`Claim::look`].
    pub fn take(
        file: &JobFile,
        job: Option<&str>,
        force: bool,
        runs: impl Fn(&str) -> bool,
    ) -> Result<Self, JobFileError> {
        Self::look(file, job, force, runs)?;
        let folder = file.results.folder.clone();
        let fresh = !folder.exists();
        std::fs::create_dir_all(&folder).map_err(JobFileError::file(&folder))?;
        let header = Header {
            version: VERSION,
            job: job.unwrap_or_default().to_owned(),
            name: file.name.clone(),
            source: file.source.clone(),
            says: file.fingerprint(),
            process: std::process::id(),
        };
        let before = std::fs::read(folder.join(RECORD)).ok();
        let claim = Self { folder, header, before, fresh };
        claim.put()?;
        Ok(claim)
    }

    /// Now the job has an id.
    ///
    /// # Errors
    /// `C-JOB-002`.
    pub fn name(&mut self, job: &str) -> Result<(), JobFileError> {
        job.clone_into(&mut self.header.job);
        self.put()
    }

    /// The job was not taken: the folder is as it was. Best effort.
    pub fn release(self) {
        let path = self.folder.join(RECORD);
        let _ = match &self.before {
            Some(bytes) => replace(&path, |file| file.write_all(bytes)),
            None => std::fs::remove_file(&path),
        };
        if self.fresh {
            // Only if nothing is in it.
            let _ = std::fs::remove_dir(&self.folder);
        }
    }

    /// Writes the record anew: the first line, and the files from before.
    fn put(&self) -> Result<(), JobFileError> {
        let path = self.folder.join(RECORD);
        let before = self.before.as_deref().unwrap_or_default();
        let files =
            before.iter().position(|byte| *byte == b'\n').map_or(&[][..], |at| &before[at + 1..]);
        let head = head(&self.header);
        replace(&path, |file| file.write_all(&head).and_then(|()| file.write_all(files)))
            .map_err(JobFileError::file(&path))
    }

    /// Removes what the folder's owners wrote and nobody changed since, and begins the record anew.
    pub(super) fn clear(&self) -> Result<Record, JobFileError> {
        let known = Known::read(&self.folder)?;
        let mut folders: Vec<PathBuf> = Vec::new();
        for file in known.files.keys().filter(|file| known.wrote(&self.folder, file)) {
            let path = self.folder.join(file);
            let _ = std::fs::remove_file(&path);
            let above = path.ancestors().skip(1).take_while(|above| *above != self.folder);
            folders.extend(above.map(Path::to_path_buf));
        }
        folders.sort();
        folders.dedup();
        // The innermost first; one that is not empty stays.
        folders.iter().rev().for_each(|folder| drop(std::fs::remove_dir(folder)));
        let path = self.folder.join(RECORD);
        let head = head(&self.header);
        replace(&path, |file| file.write_all(&head)).map_err(JobFileError::file(&path))?;
        let file = File::options().append(true).open(&path).map_err(JobFileError::file(&path))?;
        Ok(Record { file, path, folder: self.folder.clone() })
    }
}

fn head(header: &Header) -> Vec<u8> {
    let mut line = serde_json::to_vec(header).expect("plain data");
    line.push(b'\n');
    line
}

/// Writes a file as a whole or not at all.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    let written = write(&mut file).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// Whether a folder is there, or can be made: its nearest ancestor that exists is a folder that may
/// be written.
fn reachable(folder: &Path) -> Result<(), JobFileError> {
    let there = folder.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    let refused =
        |why: &str| JobFileError::File { path: folder.display().to_string(), why: why.into() };
    if !there.is_dir() {
        return Err(refused(&format!("{} is not a folder", there.display())));
    }
    let flags = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(there, flags)
        .map_err(|why| refused(&format!("{} can't be written: {why}", there.display())))
}

/// Whether a job may write where another one did, or will.
fn allowed(
    file: &JobFile,
    job: Option<&str>,
    header: &Header,
    force: bool,
    runs: &impl Fn(&str) -> bool,
) -> Result<(), JobFileError> {
    let folder = &file.results.folder;
    if job == Some(header.job.as_str()) || force {
        return Ok(());
    }
    let submitting = header.job.is_empty() && header.process != std::process::id();
    if submitting && Path::new(&format!("/proc/{}", header.process)).exists() {
        return Err(foreign(
            folder,
            format!("is where the job `{}` will write, which is being submitted now", header.name),
        ));
    }
    let same = (file.source.is_some() && header.source == file.source)
        || header.says == file.fingerprint();
    if !header.job.is_empty() && runs(&header.job) {
        let id = &header.job;
        return Err(foreign(
            folder,
            format!("is where job {id} (`{}`) will write, which has not ended", header.name),
        ));
    }
    // Results of an earlier run are fetched into another folder, not over those of a later one.
    if job.is_none() && (same || header.job.is_empty()) {
        return Ok(());
    }
    Err(foreign(folder, format!("holds the results of job {} (`{}`)", header.job, header.name)))
}

/// The record of a folder while results are written.
pub(super) struct Record {
    file: File,
    path: PathBuf,
    folder: PathBuf,
}

impl Record {
    /// Something is about to be written.
    pub fn begin(&mut self, file: &str) -> Result<(), JobFileError> {
        self.line(&(file,))
    }

    /// It was.
    pub fn end(&mut self, file: &str) -> Result<(), JobFileError> {
        match stamp_of(&self.folder.join(file)) {
            Some((len, at)) => self.line(&(file, len, at)),
            None => Ok(()),
        }
    }

    fn line(&mut self, what: &impl Serialize) -> Result<(), JobFileError> {
        let mut line = serde_json::to_vec(what).expect("plain data");
        line.push(b'\n');
        self.file.write_all(&line).map_err(JobFileError::file(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job file `name.toml` with a task for each item, whose results go to `results`.
    fn job(folder: &Path, name: &str, more: &str) -> JobFile {
        let path = folder.join(format!("{name}.toml"));
        let list = "[tasks]\nlist = [\"a\", \"b\"]\n[output]\nname = \"{item}\"\n";
        std::fs::write(
            &path,
            format!("name = \"{name}\"\nprogram = \"p\"\nbudget = 1\n{list}{more}"),
        )
        .unwrap();
        JobFile::read(&path, None).unwrap()
    }

    fn write(claim: &Claim, files: &[&str]) {
        let mut record = claim.clear().unwrap();
        for file in files {
            record.begin(file).unwrap();
            std::fs::write(claim.folder.join(file), *file).unwrap();
            record.end(file).unwrap();
        }
    }

    #[test]
    fn a_folder_is_one_jobs() {
        let tree = tempfile::tempdir().unwrap();
        let (one, two) = (job(tree.path(), "one", ""), job(tree.path(), "two", ""));
        let none = |_: &str| false;
        let look = |file: &JobFile, id: Option<&str>, force: bool| match Claim::look(
            file, id, force, none,
        ) {
            Ok(()) => "ok".to_owned(),
            Err(why) => why.to_string(),
        };
        let mut claim = Claim::take(&one, None, false, none).unwrap();
        assert_eq!(
            look(&two, None, false),
            "ok",
            "whoever only submitted, and does not any more, has no claim"
        );
        claim.name("111").unwrap();
        assert!(
            look(&two, None, false).contains("holds the results of job 111 (`one`)"),
            "{}",
            look(&two, None, false)
        );
        assert_eq!((look(&two, None, true), look(&one, None, false)), ("ok".into(), "ok".into()));
        std::fs::copy(tree.path().join("one.toml"), tree.path().join("copy")).unwrap();
        let copy = JobFile::read(&tree.path().join("copy"), None).unwrap();
        assert_eq!(look(&copy, None, false), "ok", "it says the same");
        std::os::unix::fs::symlink("one.toml", tree.path().join("link.toml")).unwrap();
        let link = JobFile::read(
            &tree.path().join("../").join(tree.path().file_name().unwrap()).join("link.toml"),
            None,
        );
        assert_eq!(link.unwrap().source, one.source);
        write(&claim, &["a", "b", "bundle.json"]);
        assert_eq!(
            (look(&one, Some("111"), false), look(&one, None, false)),
            ("ok".into(), "ok".into())
        );
        assert!(
            look(&one, Some("222"), false).contains("job 111"),
            "an older run's results go elsewhere"
        );
        let runs = Claim::look(&one, None, false, |job| job == "111").unwrap_err().to_string();
        assert!(runs.starts_with("[C-JOB-015]") && runs.contains("has not ended"), "{runs}");
        // What was changed since is somebody's.
        std::fs::write(claim.folder.join("b"), "changed").unwrap();
        assert!(look(&one, Some("111"), false).contains("did not write it"));
        std::fs::remove_file(claim.folder.join("b")).unwrap();
        assert_eq!(look(&one, Some("111"), false), "ok");
        std::fs::create_dir_all(claim.folder.join("b")).unwrap();
        assert!(look(&one, None, false).contains("did not write it"));
    }

    #[test]
    fn what_somebody_put_there_stays() {
        let none = |_: &str| false;
        for (name, stdout) in [
            ("a", "files"),
            ("b.err", "files"),
            ("bundle.json", "files"),
            ("bundle.json", "none"),
            ("stdout.txt", "stream"),
            ("results.csv", "table"),
        ] {
            let tree = tempfile::tempdir().unwrap();
            let file = job(tree.path(), "one", &format!("stdout = \"{stdout}\""));
            std::fs::create_dir(&file.results.folder).unwrap();
            std::fs::write(file.results.folder.join(name), "mine").unwrap();
            std::fs::write(file.results.folder.join("notes.md"), "mine").unwrap();
            let refused = Claim::take(&file, None, false, none).unwrap_err().to_string();
            assert!(
                refused.starts_with("[C-JOB-015]") && refused.contains(name),
                "{name} {stdout}: {refused}"
            );
            Claim::take(&file, None, true, none).unwrap();
        }
        let tree = tempfile::tempdir().unwrap();
        let file = job(tree.path(), "one", "");
        let claim = Claim::take(&file, Some("1"), false, none).unwrap();
        write(&claim, &["a", "b"]);
        std::fs::write(claim.folder.join("notes.md"), "mine").unwrap();
        std::fs::write(claim.folder.join("b"), "changed").unwrap();
        write(&claim, &["c"]);
        let mut left: Vec<_> = std::fs::read_dir(&claim.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, [".rialto-results", "b", "c", "notes.md"]);
    }

    #[test]
    fn a_job_that_was_not_taken_leaves_nothing() {
        let tree = tempfile::tempdir().unwrap();
        let file = job(tree.path(), "one", "");
        Claim::take(&file, None, false, |_| false).unwrap().release();
        assert!(!file.results.folder.exists());
        let claim = Claim::take(&file, Some("1"), false, |_| false).unwrap();
        write(&claim, &["a"]);
        let record = std::fs::read(claim.folder.join(RECORD)).unwrap();
        Claim::take(&file, None, false, |_| false).unwrap().release();
        assert_eq!(std::fs::read(claim.folder.join(RECORD)).unwrap(), record);
    }

    #[test]
    fn folders_that_cannot_be_are_refused() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("afile"), "x").unwrap();
        for folder in
            ["afile", "afile/x", "afile/x/y", "/proc/x", "/dev/null", "/dev/null/x", "/proc/self/x"]
        {
            let mut file = job(tree.path(), "one", "");
            file.results.folder = tree.path().join(folder);
            let refused = Claim::take(&file, None, false, |_| false).unwrap_err().to_string();
            assert!(refused.starts_with("[C-JOB-002]"), "{folder}: {refused}");
        }
    }
}
