//! Where results go: standard output and created files of every task, written below one folder.

use std::{
    collections::HashMap,
    io::Write,
    path::{Path, PathBuf},
};

use rialto_machine::{
    input::normalise,
    output::{self, Outputs},
};
use rialto_protocol::receipt::{Halted, Status};
use rialto_requester::TaskOutcome;
use serde::{Deserialize, Serialize};

use super::{JobFile, JobFileError, Row, template::fill};

/// The concatenated standard output.
const STREAM: &str = "stdout.txt";
/// The table.
const TABLE: &str = "results.csv";

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
}

impl Results {
    /// Fills in the names of all tasks: they have to differ.
    pub(super) fn check(&self, rows: &[Row]) -> Result<(), JobFileError> {
        let mut names = HashMap::new();
        for (task, row) in (0u32..).zip(rows) {
            within(&fill(&self.files, &row.vars)?)?;
            if self.stdout != Stdout::Files {
                continue;
            }
            let path = within(&fill(&self.name, &row.vars)?)?;
            if let Some(first) = names.insert(path.clone(), task) {
                return Err(JobFileError::Clash { first, second: task, path });
            }
        }
        Ok(())
    }
}

/// A path that stays within the results' folder; `.` is the folder itself.
fn within(path: &str) -> Result<String, JobFileError> {
    if path.split('/').all(|part| part.is_empty() || part == ".") {
        return Ok(String::new());
    }
    normalise(path).map_err(|why| JobFileError::Input { what: "output".into(), why })
}

/// Writes the results of a job. One task's output at a time is held in memory.
///
/// # Errors
/// `C-JOB-002`, `C-JOB-006` (tasks that created the same file), `C-JOB-008`.
pub fn write_results(
    job: &JobFile,
    tasks: &[Option<TaskOutcome>],
    mut written_one: impl FnMut(u32),
) -> Result<Written, JobFileError> {
    let rows = job.rows()?;
    let mut writer = Writer {
        results: &job.results,
        fuel: job.fuel,
        written: Written { folder: job.results.folder.clone(), ..Written::default() },
        created: HashMap::new(),
    };
    let folder = &job.results.folder;
    std::fs::create_dir_all(folder).map_err(JobFileError::file(folder))?;
    let one = match job.results.stdout {
        Stdout::Stream => Some(folder.join(STREAM)),
        Stdout::Table => Some(folder.join(TABLE)),
        Stdout::Files | Stdout::None => None,
    };
    let mut one = match one {
        Some(path) => {
            let file = std::fs::File::create(&path).map_err(JobFileError::file(&path))?;
            Some((std::io::BufWriter::new(file), path))
        }
        None => None,
    };
    if let (Stdout::Table, Some((file, path))) = (job.results.stdout, &mut one) {
        let names = rows[0].vars.iter().map(|(name, _)| name.as_str());
        let head: Vec<&str> = names.chain(["status", "exit_code", "fuel", "stdout"]).collect();
        writer.append(file, path, csv_record(&head).as_bytes())?;
    }
    for (task, row) in (0u32..).zip(&rows) {
        match tasks.get(task as usize).and_then(Option::as_ref) {
            None => writer.written.missing += 1,
            Some(outcome) => writer.task(task, row, outcome, one.as_mut())?,
        }
        written_one(task);
    }
    if let Some((mut file, path)) = one {
        file.flush().map_err(JobFileError::file(&path))?;
        writer.written.files += 1;
    }
    Ok(writer.written)
}

struct Writer<'a> {
    results: &'a Results,
    fuel: u64,
    written: Written,
    created: HashMap<PathBuf, u32>,
}

type OneFile = (std::io::BufWriter<std::fs::File>, PathBuf);

impl Writer<'_> {
    fn task(
        &mut self,
        task: u32,
        row: &Row,
        outcome: &TaskOutcome,
        one: Option<&mut OneFile>,
    ) -> Result<(), JobFileError> {
        let stream = outcome.output.read().map_err(JobFileError::file(&outcome.output.path))?;
        let damaged = |why: output::OutputError| JobFileError::Output { task, why: why.to_string() };
        let Outputs { stdout, stderr, files, .. } = output::parse(&stream).map_err(damaged)?;
        if !well(&outcome.halted) {
            self.written.failed += 1;
        }
        match (self.results.stdout, one) {
            (Stdout::Stream, Some((file, path))) => self.append(file, path, &stdout)?,
            (Stdout::Table, Some((file, path))) => {
                let text = String::from_utf8_lossy(&stdout);
                let end = [
                    ending(&outcome.halted).to_owned(),
                    outcome.halted.exit_code.to_string(),
                    outcome.halted.fuel_used(self.fuel).to_string(),
                ];
                let values = row.vars.iter().map(|(_, value)| value.as_str());
                let cells: Vec<&str> = values.chain(end.iter().map(String::as_str)).chain([text.trim_end()]).collect();
                self.append(file, path, csv_record(&cells).as_bytes())?;
            }
            (Stdout::Files, _) => {
                let name = within(&fill(&self.results.name, &row.vars)?)?;
                self.put(&self.results.folder.join(&name), &stdout)?;
                if !stderr.is_empty() {
                    self.put(&self.results.folder.join(format!("{name}.err")), &stderr)?;
                }
            }
            _ => {}
        }
        let folder = self.results.folder.join(within(&fill(&self.results.files, &row.vars)?)?);
        for (path, bytes) in files {
            // The polyfill's paths are in normal form: they stay within the folder.
            let path = folder.join(within(&path)?);
            if let Some(first) = self.created.insert(path.clone(), task) {
                return Err(JobFileError::Clash { first, second: task, path: path.display().to_string() });
            }
            self.put(&path, &bytes)?;
        }
        Ok(())
    }

    fn append(&mut self, file: &mut impl Write, path: &Path, bytes: &[u8]) -> Result<(), JobFileError> {
        self.written.bytes += bytes.len() as u64;
        file.write_all(bytes).map_err(JobFileError::file(path))
    }

    fn put(&mut self, path: &Path, bytes: &[u8]) -> Result<(), JobFileError> {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(path, bytes)).map_err(JobFileError::file(path))?;
        self.written.files += 1;
        self.written.bytes += bytes.len() as u64;
        Ok(())
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

/// A line of CSV (RFC 4180).
pub fn csv_record(cells: &[&str]) -> String {
    let quoted = |cell: &&str| match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => (*cell).to_owned(),
    };
    let mut line = cells.iter().map(quoted).collect::<Vec<_>>().join(",");
    line.push('\n');
    line
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
        JobFile::read(&path).unwrap()
    }

    #[test]
    fn results_go_where_they_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = [outcome(folder.path(), "one\n", 0), None, outcome(folder.path(), "three\n", 7)];
        let read = |name: &str| std::fs::read_to_string(folder.path().join("results").join(name)).unwrap();
        let mut seen = 0;
        let written = write_results(&job(folder.path(), ""), &tasks, |_| seen += 1).unwrap();
        assert_eq!((written.files, written.missing, written.failed, seen), (2, 1, 1, 3));
        assert_eq!((read("0.out").as_str(), read("2.out").as_str()), ("one\n", "three\n"));
        write_results(&job(folder.path(), "stdout = \"stream\""), &tasks, |_| ()).unwrap();
        assert_eq!(read(STREAM), "one\nthree\n");
        write_results(&job(folder.path(), "stdout = \"table\""), &tasks, |_| ()).unwrap();
        assert_eq!(
            read(TABLE),
            "task,item,status,exit_code,fuel,stdout\n0,\"a,b\",finished,0,7,one\n2,3,failed,7,7,three\n"
        );
    }

    #[test]
    fn names_differ_and_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |output: &str| job(folder.path(), output).rows().unwrap_err().to_string();
        assert!(refused("name = \"same\"").starts_with("[C-JOB-006] tasks 0 and 1"));
        assert!(refused("name = \"../{task}\"").contains("`..`"));
        assert!(refused("files = \"../{task}\"").contains("`..`"));
        assert!(job(folder.path(), "files = \".\"").rows().is_ok());
    }
}
