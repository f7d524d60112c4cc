//! Where results go: standard output and created files of every task, written below one folder, the
//! evidence first.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use rialto_machine::output::{self, Outputs};
use rialto_protocol::receipt::{Halted, Status};
use rialto_requester::{JobReport, TaskOutcome};
use serde::{Deserialize, Serialize};

use super::{
    JobFile, JobFileError, Source,
    claim::{Claim, Record},
    names::{BUNDLE, Names, STREAM, TABLE, Taken, err_of, within},
};
use crate::{
    bundle,
    escape::{bytes_as_text, csv_record},
};

/// Most notes about single files.
const MAX_NOTES: usize = 20;
/// Columns of a table after a task's own.
const COLUMNS: [&str; 4] = ["status", "exit_code", "fuel", "stdout"];

/// What becomes of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdout {
    /// A file per task.
    Files,
    /// One file, in order of tasks.
    Stream,
    /// A CSV: a task's parameters, end and output.
    Table,
    /// Not kept.
    None,
}

/// Where results go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// The folder.
    pub folder: PathBuf,
    /// Standard output.
    pub stdout: Stdout,
    /// Name of a task's file: a template.
    pub name: String,
    /// Folder of the files that a task created, within the folder: a template.
    pub files: String,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Written {
    /// Where.
    pub folder: PathBuf,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Tasks that have no verified result.
    pub missing: u64,
    /// Tasks that trapped, ran out of fuel or ended with an exit code other than 0.
    pub failed: u64,
    /// The evidence.
    pub bundle: PathBuf,
    /// What is called otherwise than one would think, or can't be read, for people.
    pub notes: Vec<String>,
}

/// Writes the results of a job: the evidence first, then a task's output at a time. What earlier
/// runs wrote into the folder is removed; files of others stay, and are replaced only with `force`.
/// A file that a task created and whose name is taken gets one beside it.
///
/// # Errors
/// `C-JOB-002`, `C-JOB-015`.
pub fn write_results(
    job: &JobFile,
    report: &JobReport,
    force: bool,
    written_one: impl FnMut(u32),
) -> Result<Written, JobFileError> {
    let evidence = |file: &mut File| bundle::write_of(report, file);
    write(job, &report.job.to_string(), &report.tasks, force, evidence, written_one)
}

fn write(
    job: &JobFile,
    id: &str,
    tasks: &[Option<TaskOutcome>],
    force: bool,
    evidence: impl FnOnce(&mut File) -> std::io::Result<()>,
    mut written_one: impl FnMut(u32),
) -> Result<Written, JobFileError> {
    let claim = Claim::take(job, Some(id), force, |_| false)?;
    let folder = &job.results.folder;
    let names = job.results.names(&job.tasks)?;
    let mut writer = Writer {
        results: &job.results,
        tasks: &job.tasks,
        fuel: job.fuel,
        written: Written {
            folder: folder.clone(),
            bundle: folder.join(BUNDLE),
            ..Written::default()
        },
        record: claim.clear()?,
        taken: names.plan()?,
        names,
        force,
    };
    writer.evidence(evidence)?;
    let count = job.tasks.count()?;
    let mut one = match job.results.stdout {
        Stdout::Stream => Some(writer.open(0, STREAM)?),
        Stdout::Table => Some(writer.open(0, TABLE)?),
        Stdout::Files | Stdout::None => None,
    };
    if let (Stdout::Table, Some(one)) = (job.results.stdout, &mut one) {
        let names = job.tasks.names();
        let columns = COLUMNS.map(|column| free_column(column, &names));
        let head: Vec<&str> =
            names.iter().copied().chain(columns.iter().map(String::as_str)).collect();
        one.append(&mut writer.written, csv_record(&head).as_bytes())?;
    }
    for task in 0..count {
        match tasks.get(task as usize).and_then(Option::as_ref) {
            None => writer.written.missing += 1,
            Some(outcome) => writer.task(task, outcome, one.as_mut())?,
        }
        written_one(task);
    }
    if let Some(one) = one {
        writer.close(one)?;
    }
    let notes = &mut writer.written.notes;
    if notes.len() > MAX_NOTES {
        let more = notes.len() - MAX_NOTES;
        notes.truncate(MAX_NOTES);
        notes.push(format!("and {more} more like these"));
    }
    Ok(writer.written)
}

/// A column's name that no parameter has.
fn free_column(column: &str, names: &[&str]) -> String {
    let mut free = column.to_owned();
    while names.contains(&free.as_str()) {
        free.insert_str(0, "task_");
    }
    free
}

struct Writer<'a> {
    results: &'a Results,
    tasks: &'a Source,
    names: Names<'a>,
    fuel: u64,
    written: Written,
    record: Record,
    taken: Taken,
    force: bool,
}

/// A file that is being written.
struct Open {
    file: std::io::BufWriter<File>,
    path: PathBuf,
    name: String,
}

impl Open {
    fn append(&mut self, written: &mut Written, bytes: &[u8]) -> Result<(), JobFileError> {
        written.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(JobFileError::file(&self.path))
    }
}

impl Writer<'_> {
    /// Writes the evidence: whatever becomes of the results, it is there.
    fn evidence(
        &mut self,
        write: impl FnOnce(&mut File) -> std::io::Result<()>,
    ) -> Result<(), JobFileError> {
        let path = self.results.folder.join(BUNDLE);
        if path.symlink_metadata().is_ok_and(|about| about.is_dir()) {
            return Err(JobFileError::Foreign {
                path: path.display().to_string(),
                why: "is a folder".into(),
            });
        }
        self.record.begin(BUNDLE)?;
        crate::home::write_private_with(&path, write).map_err(|why| JobFileError::File {
            path: path.display().to_string(),
            why: why.to_string(),
        })?;
        self.record.end(BUNDLE)
    }

    fn task(
        &mut self,
        task: u32,
        outcome: &TaskOutcome,
        one: Option<&mut Open>,
    ) -> Result<(), JobFileError> {
        let unpacked = match outcome.output.read() {
            Ok(stream) => output::parse(&stream).map_err(|why| why.to_string()),
            Err(why) => Err(format!("{}: {why}", outcome.output.path.display())),
        };
        let Outputs { stdout, stderr, files, .. } = match unpacked {
            Ok(outputs) => outputs,
            // One that is lost is no reason to withhold the others.
            Err(why) => {
                self.written.missing += 1;
                self.note(JobFileError::Output { task, why }.to_string());
                return Ok(());
            }
        };
        if !well(&outcome.halted) {
            self.written.failed += 1;
        }
        match (self.results.stdout, one) {
            (Stdout::Stream, Some(one)) => one.append(&mut self.written, &stdout)?,
            (Stdout::Table, Some(one)) => {
                let text = bytes_as_text(&stdout);
                let end = [
                    ending(&outcome.halted).to_owned(),
                    outcome.halted.exit_code.to_string(),
                    outcome.halted.fuel_used(self.fuel).to_string(),
                ];
                let values = self.tasks.values(task);
                let values = values.iter().map(String::as_str);
                let cells: Vec<&str> =
                    values.chain(end.iter().map(String::as_str)).chain([text.trim_end()]).collect();
                one.append(&mut self.written, csv_record(&cells).as_bytes())?;
            }
            (Stdout::Files, _) => {
                let name = self.names.name_of(task)?;
                self.put(task, &name, &stdout)?;
                if !stderr.is_empty() {
                    self.put(task, &err_of(&name), &stderr)?;
                }
            }
            _ => {}
        }
        let folder = self.names.folder_of(task)?;
        for (path, bytes) in files {
            let wanted = match folder.as_str() {
                "" => within(&path)?,
                folder => format!("{folder}/{}", within(&path)?),
            };
            let (root, force) = (&self.results.folder, self.force);
            let path = self
                .taken
                .take(task, &wanted, |path, folder| in_the_way(&root.join(path), folder, force));
            if path != wanted {
                self.note(format!(
                    "`{wanted}`, created by task {task}, is {path}: the name was taken"
                ));
            }
            self.put(task, &path, &bytes)?;
        }
        Ok(())
    }

    fn note(&mut self, text: String) {
        self.written.notes.push(text);
    }

    fn put(&mut self, task: u32, name: &str, bytes: &[u8]) -> Result<(), JobFileError> {
        let mut one = self.open(task, name)?;
        one.append(&mut self.written, bytes)?;
        self.close(one)
    }

    /// Creates a file below the folder. Nothing that lies there is written through: not a link, not
    /// somebody's file.
    fn open(&mut self, task: u32, wanted: &str) -> Result<Open, JobFileError> {
        let (root, force) = (&self.results.folder, self.force);
        let blocked = |name: &str| {
            let above = name.match_indices('/').map(|(at, _)| &name[..at]);
            above.into_iter().any(|above| in_the_way(&root.join(above), true, force))
                || in_the_way(&root.join(name), false, force)
        };
        let mut name = wanted.to_owned();
        if blocked(&name) {
            name = self
                .taken
                .take(task, wanted, |path, folder| in_the_way(&root.join(path), folder, force));
            self.written.notes.push(format!("`{wanted}` is {name}: something else is there"));
        }
        let path = root.join(&name);
        self.record.begin(&name)?;
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if self.force {
            let _ = std::fs::remove_file(&path);
        }
        let file =
            made.and_then(|()| File::create_new(&path)).map_err(JobFileError::file(&path))?;
        Ok(Open { file: std::io::BufWriter::new(file), path, name })
    }

    fn close(&mut self, one: Open) -> Result<(), JobFileError> {
        let Open { file, path, name } = one;
        file.into_inner().map_err(|why| JobFileError::file(&path)(why.into_error()))?;
        self.written.files += 1;
        self.record.end(&name)
    }
}

/// Whether a path can't be a folder of results (or, a file of them).
fn in_the_way(path: &Path, folder: bool, force: bool) -> bool {
    match std::fs::symlink_metadata(path) {
        Err(_) => false,
        Ok(about) if folder => !about.is_dir(),
        Ok(about) => about.is_dir() || !force,
    }
}

fn well(halted: &Halted) -> bool {
    halted.status == Status::Finished && halted.exit_code == 0
}

/// How a task ended, in a word.
pub(crate) fn ending(halted: &Halted) -> &'static str {
    match halted.status {
        Status::Finished if halted.exit_code == 0 => "finished",
        Status::Finished => "failed",
        Status::Trap if halted.fuel_left < 0 => "out of fuel",
        Status::Trap => "trap",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_protocol::receipt::output_hash;
    use rialto_requester::Output;

    /// A stream in which `text` is written to standard output (see `rialto_machine::output`).
    fn stream(text: &str) -> Vec<u8> {
        let mut stream = (1u64 | (text.len() as u64) << 32).to_le_bytes().to_vec();
        stream.extend_from_slice(text.as_bytes());
        stream.resize(stream.len().next_multiple_of(8), 0);
        stream
    }

    fn outcome(folder: &Path, text: &str, exit_code: u32) -> Option<TaskOutcome> {
        let bytes = stream(text);
        let path = folder.join(format!("{exit_code}-{text}.bin"));
        std::fs::write(&path, &bytes).unwrap();
        let halted = Halted {
            status: Status::Finished,
            exit_code,
            out_hash: output_hash(&bytes),
            out_len: bytes.len() as u64,
            fuel_left: 5,
            digest: 0,
        };
        let output = Output { path, offset: 0, len: bytes.len() as u64 };
        Some(TaskOutcome { halted, votes: 1, output })
    }

    fn job(folder: &Path, output: &str) -> JobFile {
        let path = folder.join("job.toml");
        let text = format!(
            "program = \"p.wasm\"\nbudget = 1\n[limits]\nfuel = 12\n[tasks]\nlist = [\"a,b\", 2, 3]\n[output]\n{output}"
        );
        std::fs::write(&path, text).unwrap();
        JobFile::read(&path, None).unwrap()
    }

    fn written(
        job: &JobFile,
        id: &str,
        tasks: &[Option<TaskOutcome>],
    ) -> Result<Written, JobFileError> {
        write(job, id, tasks, false, |file| file.write_all(b"evidence"), |_| ())
    }

    fn all(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => open.push(path),
                    false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
                }
            }
        }
        found.sort();
        found.retain(|name| name != ".rialto-results");
        found
    }

    #[test]
    fn results_go_where_they_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let tasks =
            [outcome(folder.path(), "one\n", 0), None, outcome(folder.path(), "three\n", 7)];
        let results = folder.path().join("results");
        let read = |name: &str| std::fs::read_to_string(results.join(name)).unwrap();
        let mut seen = 0;
        let file = job(folder.path(), "");
        let done =
            write(&file, "1", &tasks, false, |file| file.write_all(b"evidence"), |_| seen += 1)
                .unwrap();
        assert_eq!((done.files, done.missing, done.failed, seen), (2, 1, 1, 3));
        assert_eq!((read("0.out").as_str(), read("2.out").as_str()), ("one\n", "three\n"));
        assert_eq!(std::fs::read_to_string(done.bundle).unwrap(), "evidence");
        written(&job(folder.path(), "stdout = \"stream\""), "1", &tasks).unwrap();
        assert_eq!(read(STREAM), "one\nthree\n");
        assert_eq!(all(&results), [BUNDLE, STREAM], "what the last run wrote is gone");
        written(&job(folder.path(), "stdout = \"table\""), "1", &tasks).unwrap();
        assert_eq!(
            read(TABLE),
            "task,item,status,exit_code,fuel,stdout\n0,\"a,b\",finished,0,7,one\n2,3,failed,7,7,three\n"
        );
    }

    /// An outcome that created files: path, contents.
    fn created(folder: &Path, named: &str, files: &[(&str, &str)]) -> Option<TaskOutcome> {
        let mut bytes = Vec::new();
        let word = |bytes: &mut Vec<u8>, word: u64| bytes.extend_from_slice(&word.to_le_bytes());
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend_from_slice(text.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        };
        for (id, (path, contents)) in (0u64..).zip(files) {
            word(&mut bytes, 3 | id << 8 | (path.len() as u64) << 32);
            text(&mut bytes, path);
            word(&mut bytes, 5 | id << 8 | (contents.len() as u64) << 32);
            word(&mut bytes, u64::MAX);
            text(&mut bytes, contents);
        }
        let path = folder.join(format!("{named}.bin"));
        std::fs::write(&path, &bytes).unwrap();
        let output = Output { path, offset: 0, len: bytes.len() as u64 };
        outcome(folder, "x", 0).map(|outcome| TaskOutcome { output, ..outcome })
    }

    #[test]
    fn whatever_was_paid_for_is_had() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("results");
        let same = [("report.txt", "r"), ("bundle.json", "{}"), ("results.csv", "c")];
        let tasks = [
            created(folder.path(), "t0", &same),
            created(folder.path(), "t1", &same),
            created(folder.path(), "t2", &[("report.txt/x", "x"), ("0.out", "o")]),
        ];
        let file = job(folder.path(), "files = \".\"");
        let done = written(&file, "1", &tasks).unwrap();
        let names = [
            "0.2.out",
            "0.out",
            "1.out",
            "2.out",
            "bundle.0.json",
            "bundle.1.json",
            "bundle.json",
            "report.1.txt",
            "report.2.txt/x",
            "report.txt",
            "results.0.csv",
            "results.1.csv",
        ];
        assert_eq!(all(&results), names);
        assert_eq!((done.files, done.notes.len(), done.missing), (11, 7, 0), "{:?}", done.notes);
        assert_eq!(std::fs::read_to_string(results.join(BUNDLE)).unwrap(), "evidence");
        // Once more: the same, with the same names.
        assert_eq!(written(&file, "1", &tasks).unwrap(), done);
        assert_eq!(all(&results), names);
        // An output that is lost costs the others nothing.
        std::fs::remove_file(&tasks[1].as_ref().unwrap().output.path).unwrap();
        let done = written(&file, "1", &tasks).unwrap();
        assert_eq!(
            (done.missing, done.notes.iter().filter(|note| note.contains("C-JOB-008")).count()),
            (1, 1)
        );
        assert!(results.join("0.out").exists() && results.join("2.out").exists());
    }

    #[test]
    fn nothing_is_written_through_a_link_or_over_what_came_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("results");
        let tasks = [created(folder.path(), "t0", &[("a/x", "new")]), None, None];
        let file = job(folder.path(), "files = \".\"\nname = \"out/{task}\"");
        std::fs::create_dir_all(folder.path().join("elsewhere")).unwrap();
        std::fs::create_dir_all(&results).unwrap();
        std::fs::write(folder.path().join("elsewhere/x"), "old").unwrap();
        std::os::unix::fs::symlink("../elsewhere", results.join("a")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", results.join("out")).unwrap();
        let done = written(&file, "1", &tasks).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("elsewhere")).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(folder.path().join("elsewhere/x")).unwrap(), "old");
        assert_eq!((done.files, done.notes.len()), (2, 2), "{:?}", done.notes);
        assert!(results.join("a.0/x").exists() && results.join("out.0/0").exists());
        let foreign = written(&file, "2", &tasks).unwrap_err().to_string();
        assert!(foreign.starts_with("[C-JOB-015]") && foreign.contains("job 1"), "{foreign}");
    }

    #[test]
    fn tables_name_a_column_once_and_lose_no_byte() {
        let table = [
            (&["task"][..], ["status", "exit_code", "fuel", "stdout"]),
            (&["fuel", "strike"], ["status", "exit_code", "task_fuel", "stdout"]),
            (
                &["status", "task_status", "stdout"],
                ["task_task_status", "exit_code", "fuel", "task_stdout"],
            ),
        ];
        for (names, columns) in table {
            assert_eq!(COLUMNS.map(|column| free_column(column, names)), columns);
        }
        let folder = tempfile::tempdir().unwrap();
        let mut binary = outcome(folder.path(), "XX", 0).unwrap();
        let bytes = std::fs::read(&binary.output.path).unwrap();
        binary.output.path = folder.path().join("binary");
        let raw: Vec<u8> =
            bytes.iter().map(|byte| if *byte == b'X' { 0xff } else { *byte }).collect();
        std::fs::write(&binary.output.path, raw).unwrap();
        let tasks =
            [Some(binary), outcome(folder.path(), "=1+1", 0), outcome(folder.path(), "\x1b[2J", 0)];
        written(&job(folder.path(), "stdout = \"table\""), "1", &tasks).unwrap();
        let text = std::fs::read_to_string(folder.path().join("results").join(TABLE)).unwrap();
        let last: Vec<&str> =
            text.lines().skip(1).map(|line| line.rsplit(',').next().unwrap()).collect();
        assert_eq!(last, ["base64://8=", "'=1+1", "\\u{1b}[2J"]);
    }
}
