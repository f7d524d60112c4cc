//! What a job's tasks are: one, a range, a list, a file each, or every combination of some parameters.

use std::path::{Path, PathBuf};

use rialto_requester::MAX_JOB_TASKS;
use serde::{Deserialize, Serialize};
use toml::Value;

use super::JobFileError;
use crate::settings::Settings;

/// Where tasks come from.
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
    /// Files that match a pattern: `{file}` is the name, `{stem}` the name without its extension.
    Files {
        /// Absolute.
        pattern: String,
        /// What the task sees of it.
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

/// One task: what its templates are filled in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Names and values; `task` is the number, as wide as the largest.
    pub vars: Vec<(String, String)>,
    /// Its own file.
    pub file: Option<PathBuf>,
}

/// Names that templates have anyway.
const RESERVED: &[&str] = &["task"];

impl Source {
    /// Reads `[tasks]`; patterns start at `base`.
    pub(super) fn read(settings: &Settings, base: &Path) -> Result<Self, JobFileError> {
        let kinds = ["range", "list", "files", "matrix"];
        let given: Vec<&str> = kinds.into_iter().filter(|kind| settings.get("tasks", kind).is_some()).collect();
        let kind = match given.as_slice() {
            [] => return Ok(Self::One),
            [kind] => *kind,
            more => return Err(value(format!("tasks: {} exclude each other", more.join(" and ")))),
        };
        let what = settings.get("tasks", kind).expect("found above");
        match (kind, what) {
            ("range", Value::String(text)) => {
                range(text).ok_or_else(|| value(format!("tasks.range = \"{text}\": {RANGE_FORM}")))
            }
            ("list", Value::Array(items)) => Ok(Self::List(scalars("tasks.list", items)?)),
            ("files", Value::String(pattern)) => {
                let feed = match settings.text("tasks", "feed")? {
                    None | Some("stdin") => Feed::Stdin,
                    Some("file") => Feed::File,
                    Some(other) => {
                        return Err(value(format!("tasks.feed = \"{other}\": \"stdin\" or \"file\" is needed")));
                    }
                };
                let pattern = base.join(pattern).to_string_lossy().into_owned();
                Ok(Self::Files { pattern, feed })
            }
            ("matrix", Value::Table(table)) => {
                let axis = |(name, values): (&String, &Value)| {
                    let label = format!("tasks.matrix.{name}");
                    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    if RESERVED.contains(&name.as_str()) || !name.chars().all(good) {
                        return Err(value(format!("{label}: another name is needed, of letters and digits")));
                    }
                    let values = match values {
                        Value::Array(items) => scalars(&label, items)?,
                        Value::String(text) => match range(text) {
                            Some(range) => range
                                .rows()?
                                .into_iter()
                                .map(|row| row.vars.into_iter().nth(1).unwrap_or_default().1)
                                .collect(),
                            None => return Err(value(format!("{label} = \"{text}\": a list, or {RANGE_FORM}"))),
                        },
                        _ => return Err(value(format!("{label}: a list of values is needed"))),
                    };
                    Ok((name.clone(), values))
                };
                Ok(Self::Matrix(table.iter().map(axis).collect::<Result<_, _>>()?))
            }
            ("range", _) => Err(value(format!("tasks.range: {RANGE_FORM}"))),
            ("list", _) => Err(value("tasks.list: a list of texts or numbers is needed".into())),
            ("files", _) => Err(value("tasks.files: a pattern such as \"texts/*.txt\" is needed".into())),
            _ => Err(value("tasks.matrix is a section: write [tasks.matrix]".into())),
        }
    }

    /// Every task in order.
    ///
    /// # Errors
    /// `C-JOB-002`, `C-JOB-005`: no task, or too many.
    pub fn rows(&self) -> Result<Vec<Row>, JobFileError> {
        let one = |name: &str, value: String| vec![(name.to_owned(), value)];
        let rows: Vec<Named> = match self {
            Self::One => vec![(Vec::new(), None)],
            Self::Range { from, to, step } => {
                let count = (i128::from(*to) - i128::from(*from)) / i128::from(*step) + 1;
                bounded(usize::try_from(count).unwrap_or(usize::MAX))?;
                let mut numbers = Vec::with_capacity(count as usize);
                let mut next = Some(*from);
                while let Some(n) = next.filter(|n| n <= to) {
                    numbers.push((one("n", n.to_string()), None));
                    next = n.checked_add(*step);
                }
                numbers
            }
            Self::List(items) => {
                bounded(items.len())?;
                items.iter().map(|item| (one("item", item.clone()), None)).collect()
            }
            Self::Files { pattern, .. } => files(pattern)?,
            Self::Matrix(axes) => {
                let count = axes.iter().try_fold(1usize, |count, (_, values)| count.checked_mul(values.len()));
                bounded(count.unwrap_or(usize::MAX))?;
                let mut all = vec![Vec::new()];
                for (name, values) in axes {
                    let with = |row: Vec<(String, String)>| {
                        values.iter().map(move |value| {
                            let mut row = row.clone();
                            row.push((name.clone(), value.clone()));
                            row
                        })
                    };
                    all = all.into_iter().flat_map(with).collect();
                }
                all.into_iter().map(|vars| (vars, None)).collect()
            }
        };
        bounded(rows.len())?;
        let width = rows.len().saturating_sub(1).to_string().len();
        let number = |(task, (mut vars, file)): (usize, (Vec<_>, _))| {
            vars.insert(0, ("task".to_owned(), format!("{task:0width$}")));
            Row { vars, file }
        };
        Ok(rows.into_iter().enumerate().map(number).collect())
    }
}

const RANGE_FORM: &str = "a range such as \"0..100\" (without 100), \"1..=12\" or \"0..=90 step 10\" is needed";

fn value(text: String) -> JobFileError {
    JobFileError::Value(text)
}

fn bounded(count: usize) -> Result<(), JobFileError> {
    match count {
        0 => Err(JobFileError::Tasks("the job has no task".into())),
        n if n > MAX_JOB_TASKS => Err(JobFileError::Tasks(format!(
            "a job has at most {MAX_JOB_TASKS} tasks: split it, or let a task do more"
        ))),
        _ => Ok(()),
    }
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

type Named = (Vec<(String, String)>, Option<PathBuf>);

fn files(pattern: &str) -> Result<Vec<Named>, JobFileError> {
    let bad = |why: &dyn std::fmt::Display| JobFileError::Tasks(format!("tasks.files = \"{pattern}\": {why}"));
    let mut found = Vec::new();
    for path in glob::glob(pattern).map_err(|why| bad(&why))? {
        let path = path.map_err(|why| bad(&why))?;
        if path.is_file() {
            found.push(path);
            bounded(found.len())?;
        }
    }
    if found.is_empty() {
        return Err(bad(&"no file matches"));
    }
    found.sort();
    let named = |path: PathBuf| {
        let part =
            |part: Option<&std::ffi::OsStr>| part.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let vars = vec![("file".to_owned(), part(path.file_name())), ("stem".to_owned(), part(path.file_stem()))];
        (vars, Some(path))
    };
    Ok(found.into_iter().map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<Row>, JobFileError> {
        let settings = Settings::parse(text, super::super::file::SHAPE).unwrap();
        Source::read(&settings, Path::new("/nowhere"))?.rows()
    }

    fn values(text: &str) -> Vec<Vec<String>> {
        let plain = |row: Row| row.vars.into_iter().map(|(_, value)| value).collect();
        rows(text).unwrap().into_iter().map(plain).collect()
    }

    #[test]
    fn tasks_are_what_is_written() {
        assert_eq!(values(""), [["0"]]);
        assert_eq!(values("[tasks]\nrange = \"8..=10\""), [["0", "8"], ["1", "9"], ["2", "10"]]);
        assert_eq!(values("[tasks]\nrange = \"0..30 step 10\""), [["0", "0"], ["1", "10"], ["2", "20"]]);
        assert_eq!(values("[tasks]\nrange = \"0..11\"")[3], ["03", "3"]);
        assert_eq!(values("[tasks]\nlist = [\"a\", 2, 0.5]"), [["0", "a"], ["1", "2"], ["2", "0.5"]]);
        let matrix = "[tasks.matrix]\nspot = [90, 100]\nvol = \"1..=2\"";
        assert_eq!(values(matrix), [["0", "90", "1"], ["1", "90", "2"], ["2", "100", "1"], ["3", "100", "2"]]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |text: &str| rows(text).unwrap_err().to_string();
        assert!(refused("[tasks]\nrange = \"5\"").starts_with("[C-JOB-003] tasks.range"));
        assert!(refused("[tasks]\nrange = \"5..5\"").contains("is needed"));
        assert!(refused("[tasks]\nrange = \"0..9000000000000000000\"").starts_with("[C-JOB-005]"));
        assert!(refused("[tasks]\nlist = []").contains("no task"));
        assert!(refused("[tasks]\nlist = [[1]]").contains("texts and numbers"));
        assert!(refused("[tasks]\nlist = [1]\nrange = \"0..2\"").contains("range and list exclude"));
        assert!(refused("[tasks]\nfiles = \"*.none\"").contains("no file matches"));
        assert!(refused("[tasks.matrix]\ntask = [1]").contains("another name"));
        let wide: Vec<String> = (0..1100).map(|n| n.to_string()).collect();
        let wide = wide.join(",");
        assert!(refused(&format!("[tasks.matrix]\na = [{wide}]\nb = [{wide}]")).contains("at most"));
    }

    #[test]
    fn files_come_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", "c.dat"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("d.txt")).unwrap();
        let settings =
            Settings::parse("[tasks]\nfiles = \"*.txt\"\nfeed = \"file\"", super::super::file::SHAPE).unwrap();
        let source = Source::read(&settings, folder.path()).unwrap();
        let found = source.rows().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].vars[1..], [("file".into(), "a.txt".into()), ("stem".into(), "a".into())]);
        assert_eq!(found[1].file.as_deref(), Some(folder.path().join("b.txt").as_path()));
        assert!(matches!(source, Source::Files { feed: Feed::File, .. }));
    }
}
