//! What a job's tasks are: one, a range, a list, a file each, or every combination of some
//! parameters.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use rialto_requester::MAX_JOB_TASKS;
use serde::{Deserialize, Serialize};
use toml::Value;

use super::{
    JobFileError,
    file::Place,
    pattern::{Found, kind, metadata, refused},
};
use crate::settings::Settings;

/// Where tasks come from. It stands for itself: what was submitted stays what it was, whatever
/// becomes of files and patterns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A single task.
    One,
    /// Whole numbers, `{n}`.
    Range {
        /// First.
        from: i64,
        /// Last.
        to: i64,
        /// From one to the next, ≥ 1.
        step: i64,
    },
    /// Texts, `{item}`.
    List(Vec<String>),
    /// Files: `{file}` is the name, `{stem}` the name without its extension.
    Files {
        /// Absolute, and UTF-8.
        files: Vec<PathBuf>,
        /// What the task sees of its file.
        feed: Feed,
    },
    /// Every combination of the values of these names, the last name's changing fastest.
    Matrix(Vec<(String, Vec<String>)>),
}

/// How a task gets its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Feed {
    /// As its standard input.
    Stdin,
    /// As the input file `/{file}`.
    File,
}

/// Names that templates have anyway.
const RESERVED: &[&str] = &["task"];
/// Largest file of a list, bytes.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// Tasks as a job file asks for them, and what to tell about that.
pub(super) struct Read {
    pub source: Source,
    pub notes: Vec<String>,
}

impl Source {
    /// Reads `[tasks]`; paths and patterns start at `place`. What a pattern means is found here,
    /// once.
    pub(super) fn read(settings: &Settings, place: &Place<'_>) -> Result<Read, JobFileError> {
        let plain = |source| Ok(Read { source, notes: Vec::new() });
        let kinds = ["range", "list", "files", "matrix"];
        let given: Vec<&str> =
            kinds.into_iter().filter(|kind| settings.get("tasks", kind).is_some()).collect();
        let kind = match given.as_slice() {
            [] => return plain(Self::One),
            [kind] => *kind,
            more => return Err(value(format!("tasks: {} exclude each other", more.join(" and ")))),
        };
        let what = settings.get("tasks", kind).expect("found above");
        match (kind, what) {
            ("range", Value::String(text)) => plain(
                range(text)
                    .ok_or_else(|| value(format!("tasks.range = \"{text}\": {RANGE_FORM}")))?,
            ),
            ("list", Value::Array(items)) => plain(Self::List(scalars("tasks.list", items)?)),
            ("list", Value::String(file)) => plain(Self::List(lines(&place.path(file)?)?)),
            ("files", Value::String(_) | Value::Array(_)) => {
                let feed = match settings.text("tasks", "feed")? {
                    None | Some("stdin") => Feed::Stdin,
                    Some("file") => Feed::File,
                    Some(other) => {
                        return Err(value(format!(
                            "tasks.feed = \"{other}\": \"stdin\" or \"file\" is needed"
                        )));
                    }
                };
                let patterns = match what {
                    Value::Array(items) => scalars("tasks.files", items)?,
                    text => text.as_str().map(str::to_owned).into_iter().collect(),
                };
                let mut found = Found::default();
                for pattern in &patterns {
                    let (base, pattern) = place.base_of(pattern)?;
                    found.add(base, pattern)?;
                }
                let Found { files, notes } = found.finish();
                Ok(Read { source: Self::Files { files, feed }, notes })
            }
            ("matrix", Value::Table(table)) => {
                let axis = |(name, values): (&String, &Value)| {
                    let label = format!("tasks.matrix.{name}");
                    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    if name.is_empty()
                        || RESERVED.contains(&name.as_str())
                        || !name.chars().all(good)
                    {
                        return Err(value(format!(
                            "{label}: another name is needed, of letters and digits"
                        )));
                    }
                    let values = match values {
                        Value::Array(items) => scalars(&label, items)?,
                        Value::String(text) => match range(text) {
                            Some(range) => (0..range.count()?)
                                .map(|task| range.values(task).swap_remove(1))
                                .collect(),
                            None => {
                                return Err(value(format!(
                                    "{label} = \"{text}\": a list, or {RANGE_FORM}"
                                )));
                            }
                        },
                        _ => return Err(value(format!("{label}: a list of values is needed"))),
                    };
                    Ok((name.clone(), values))
                };
                plain(Self::Matrix(table.iter().map(axis).collect::<Result<_, _>>()?))
            }
            ("range", _) => Err(value(format!("tasks.range: {RANGE_FORM}"))),
            ("list", _) => Err(value(
                "tasks.list: a list of texts or numbers is needed, or the file of one".into(),
            )),
            ("files", _) => Err(value(
                "tasks.files: a pattern such as \"texts/*.txt\" is needed, or a list".into(),
            )),
            _ => Err(value("tasks.matrix is a section: write [tasks.matrix]".into())),
        }
    }

    /// How many tasks there are.
    ///
    /// # Errors
    /// `C-JOB-005`: none, or too many.
    pub fn count(&self) -> Result<u32, JobFileError> {
        let count = match self {
            Self::One => 1,
            Self::Range { from, to, step } => {
                let count = (i128::from(*to) - i128::from(*from)) / i128::from(*step) + 1;
                usize::try_from(count).unwrap_or(usize::MAX)
            }
            Self::List(items) => items.len(),
            Self::Files { files, .. } => files.len(),
            Self::Matrix(axes) => {
                let count = axes
                    .iter()
                    .try_fold(1usize, |count, (_, values)| count.checked_mul(values.len()));
                count.unwrap_or(usize::MAX)
            }
        };
        match count {
            0 => Err(JobFileError::Tasks("the job has no task".into())),
            n if n > MAX_JOB_TASKS => Err(JobFileError::Tasks(format!(
                "a job has at most {MAX_JOB_TASKS} tasks: split it, or let a task do more"
            ))),
            n => Ok(n as u32),
        }
    }

    /// Names that templates may hold, the number of the task first.
    pub fn names(&self) -> Vec<&str> {
        let own = match self {
            Self::One => Vec::new(),
            Self::Range { .. } => vec!["n"],
            Self::List(_) => vec!["item"],
            Self::Files { .. } => vec!["file", "stem"],
            Self::Matrix(axes) => axes.iter().map(|(name, _)| name.as_str()).collect(),
        };
        RESERVED.iter().copied().chain(own).collect()
    }

    /// Writes a task's value for the name at a place. Beyond the last task there are none.
    pub(super) fn put(&self, task: u32, place: usize, out: &mut String) {
        let at = task as usize;
        let Some(own) = place.checked_sub(RESERVED.len()) else {
            // Writing to a string does not fail.
            let _ = write!(out, "{task}");
            return;
        };
        match self {
            Self::One => {}
            Self::Range { from, step, .. } => {
                let _ = write!(out, "{}", i128::from(*from) + i128::from(*step) * i128::from(task));
            }
            Self::List(items) => out.push_str(items.get(at).map_or("", String::as_str)),
            Self::Files { files, .. } => {
                let path = files.get(at).map_or(Path::new(""), PathBuf::as_path);
                let part = if own == 0 { path.file_name() } else { path.file_stem() };
                out.push_str(&part.map(std::ffi::OsStr::to_string_lossy).unwrap_or_default());
            }
            Self::Matrix(axes) => {
                let below: usize =
                    axes.iter().skip(own + 1).map(|(_, values)| values.len()).product();
                let value = axes
                    .get(own)
                    .and_then(|(_, values)| values.get(at / below.max(1) % values.len().max(1)));
                out.push_str(value.map_or("", String::as_str));
            }
        }
    }

    /// A task's values, in the order of the names.
    pub fn values(&self, task: u32) -> Vec<String> {
        let value = |place| {
            let mut value = String::new();
            self.put(task, place, &mut value);
            value
        };
        (0..self.names().len()).map(value).collect()
    }

    /// A task's own file.
    pub(super) fn file(&self, task: u32) -> Option<(&Path, Feed)> {
        match self {
            Self::Files { files, feed } => {
                files.get(task as usize).map(|path| (path.as_path(), *feed))
            }
            _ => None,
        }
    }
}

/// The items in a file, one a line.
fn lines(path: &Path) -> Result<Vec<String>, JobFileError> {
    let about = metadata(path)?;
    if !about.is_file() {
        return Err(refused(path, format!("it is {}, not a file", kind(about.file_type()))));
    }
    if about.len() > MAX_LIST_BYTES {
        return Err(refused(path, format!("a list has at most {MAX_LIST_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(JobFileError::file(path))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let line = |(at, line): (usize, &str)| match line.is_empty() {
        true => Err(refused(path, format!("line {} is empty: a line is a task", at + 1))),
        false => Ok(line.to_owned()),
    };
    text.lines().enumerate().map(line).collect()
}

const RANGE_FORM: &str =
    "a range such as \"0..100\" (without 100), \"1..=12\" or \"0..=90 step 10\" is needed";

fn value(text: String) -> JobFileError {
    JobFileError::Value(text)
}

fn range(text: &str) -> Option<Source> {
    let (span, step) = match text.split_once("step") {
        Some((span, step)) => (span, step.trim().parse().ok().filter(|step| *step > 0)?),
        None => (text, 1),
    };
    let (from, to) = span.split_once("..")?;
    let from: i64 = from.trim().parse().ok()?;
    let to: i64 = match to.trim().strip_prefix('=') {
        Some(to) => to.trim().parse().ok()?,
        None => to.trim().parse::<i64>().ok()?.checked_sub(1)?,
    };
    (to >= from).then_some(Source::Range { from, to, step })
}

pub(super) fn scalars(label: &str, items: &[Value]) -> Result<Vec<String>, JobFileError> {
    let text = |item: &Value| match item {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(item.to_string()),
        _ => Err(value(format!("{label}: texts and numbers are needed, not {item}"))),
    };
    items.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<Vec<String>>, JobFileError> {
        let settings = Settings::parse(text, super::super::file::SHAPE).unwrap();
        let source = Source::read(&settings, &Place::new(Path::new("/nowhere"), None))?.source;
        Ok((0..source.count()?).map(|task| source.values(task)).collect())
    }

    fn values(text: &str) -> Vec<Vec<String>> {
        rows(text).unwrap()
    }

    #[test]
    fn tasks_are_what_is_written() {
        assert_eq!(values(""), [["0"]]);
        assert_eq!(values("[tasks]\nrange = \"8..=10\""), [["0", "8"], ["1", "9"], ["2", "10"]]);
        assert_eq!(
            values("[tasks]\nrange = \"0..30 step 10\""),
            [["0", "0"], ["1", "10"], ["2", "20"]]
        );
        assert_eq!(values("[tasks]\nrange = \"0..11\"")[8], ["8", "8"]);
        assert_eq!(
            values("[tasks]\nlist = [\"a\", 2, 0.5]"),
            [["0", "a"], ["1", "2"], ["2", "0.5"]]
        );
        let matrix = "[tasks.matrix]\nspot = [90, 100]\nvol = \"1..=2\"";
        assert_eq!(
            values(matrix),
            [["0", "90", "1"], ["1", "90", "2"], ["2", "100", "1"], ["3", "100", "2"]]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |text: &str| rows(text).unwrap_err().to_string();
        assert!(refused("[tasks]\nrange = \"5\"").starts_with("[C-JOB-003] tasks.range"));
        assert!(refused("[tasks]\nrange = \"5..5\"").contains("is needed"));
        assert!(refused("[tasks]\nrange = \"0..9000000000000000000\"").starts_with("[C-JOB-005]"));
        assert!(refused("[tasks]\nlist = []").contains("no task"));
        assert!(refused("[tasks]\nlist = [[1]]").contains("texts and numbers"));
        assert!(
            refused("[tasks]\nlist = [1]\nrange = \"0..2\"").contains("range and list exclude")
        );
        assert!(refused("[tasks]\nfiles = \"*.none\"").contains("no file matches"));
        assert!(refused("[tasks.matrix]\ntask = [1]").contains("another name"));
        let wide: Vec<String> = (0..1100).map(|n| n.to_string()).collect();
        let wide = wide.join(",");
        assert!(
            refused(&format!("[tasks.matrix]\na = [{wide}]\nb = [{wide}]")).contains("at most")
        );
    }

    #[test]
    fn files_are_a_list_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str| std::fs::write(folder.path().join(name), name).unwrap();
        ["b.txt", "a.txt", "c.dat"].into_iter().for_each(touch);
        std::fs::create_dir(folder.path().join("d.txt")).unwrap();
        let text = "[tasks]\nfiles = [\"*.txt\", \"c.dat\", \"a*\"]\nfeed = \"file\"";
        let settings = Settings::parse(text, super::super::file::SHAPE).unwrap();
        let Read { source, notes } =
            Source::read(&settings, &Place::new(folder.path(), None)).unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(matches!(source, Source::Files { feed: Feed::File, .. }));
        let seen = |source: &Source| -> Vec<String> {
            (0..source.count().unwrap()).map(|task| source.values(task).swap_remove(1)).collect()
        };
        let all = ["a.txt", "b.txt", "c.dat"];
        assert_eq!(
            (seen(&source), source.names()),
            (all.map(String::from).to_vec(), vec!["task", "file", "stem"])
        );
        assert_eq!(source.values(1)[2], "b");
        assert_eq!(source.file(1), Some((folder.path().join("b.txt").as_path(), Feed::File)));
        // The world moves on; the list does not.
        touch("0.txt");
        std::fs::remove_file(folder.path().join("b.txt")).unwrap();
        let kept: Source = serde_json::from_str(&serde_json::to_string(&source).unwrap()).unwrap();
        assert_eq!(seen(&kept), all);
    }

    #[test]
    fn a_list_may_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let list = |bytes: &[u8]| {
            std::fs::write(folder.path().join("items.txt"), bytes).unwrap();
            let settings =
                Settings::parse("[tasks]\nlist = \"items.txt\"", super::super::file::SHAPE)
                    .unwrap();
            match Source::read(&settings, &Place::new(folder.path(), None)).map(|read| read.source)
            {
                Ok(Source::List(items)) => Ok(items),
                Ok(other) => panic!("{other:?}"),
                Err(why) => Err(why.to_string()),
            }
        };
        let table: &[(&[u8], &[&str])] = &[
            (b"a\nb\n", &["a", "b"]),
            (b"a\nb", &["a", "b"]),
            (b"a\r\nb\r\n", &["a", "b"]),
            (b"\xef\xbb\xbfa\n", &["a"]),
            (b" a b \n#c\n\n\n", &[" a b ", "#c"]),
            ("ä\n".as_bytes(), &["ä"]),
            (b"", &[]),
        ];
        for (bytes, items) in table {
            assert_eq!(list(bytes).unwrap(), *items);
        }
        assert!(list(b"a\n\nb").unwrap_err().contains("line 2 is empty"));
        assert!(list(b"\xff").unwrap_err().starts_with("[C-JOB-002]"));
    }

    #[test]
    fn every_task_is_found_by_its_number() {
        let row = |text: &str, task: u32| {
            let settings = Settings::parse(text, super::super::file::SHAPE).unwrap();
            let source = Source::read(&settings, &Place::new(Path::new("/"), None)).unwrap().source;
            source.values(task).split_off(1)
        };
        assert_eq!(row("[tasks]\nrange = \"0..1000000\"", 999_999), ["999999"]);
        let last = "[tasks]\nrange = \"9223372036854775800..=9223372036854775806 step 3\"";
        assert_eq!(row(last, 2), ["9223372036854775806"]);
        let cube = "[tasks.matrix]\na = \"0..100\"\nb = \"0..100\"\nc = \"0..100\"";
        assert_eq!(row(cube, 123_456), ["12", "34", "56"]);
    }
}
