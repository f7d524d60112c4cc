//! What results are called: filled in and compared for all tasks before anything is bought, and
//! kept apart when they are written.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use rialto_machine::input::{MAX_COMPONENT_BYTES, normalise};

use super::{
    JobFileError, Source,
    results::{Results, Stdout},
    template::Template,
};

/// The evidence, beside the results.
pub const BUNDLE: &str = "bundle.json";
/// The concatenated standard output.
pub const STREAM: &str = "stdout.txt";
/// The table.
pub const TABLE: &str = "results.csv";
/// What was written by whom (see `claim`).
pub const RECORD: &str = ".rialto-results";
/// Added to the name of a task's standard output for its standard error.
const ERR: &str = ".err";
/// Names that no task's file gets.
const OURS: [&str; 5] = [BUNDLE, STREAM, TABLE, RECORD, "bundle.new"];

/// A path that stays within the results' folder; `.` is the folder itself.
pub(super) fn within(path: &str) -> Result<String, JobFileError> {
    if path.split('/').all(|part| part.is_empty() || part == ".") {
        return Ok(String::new());
    }
    normalise(path).map_err(|why| JobFileError::Input { what: "output".into(), why })
}

/// A path in a set, in eight bytes: there may be millions.
fn key(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// The folders that a path lies in, the outermost first.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// The names of a job's results.
pub(super) struct Names<'a> {
    source: &'a Source,
    stdout: Stdout,
    name: Template,
    files: Template,
}

impl Results {
    /// Their names, for the tasks of a job.
    ///
    /// # Errors
    /// `C-JOB-004`.
    pub(super) fn names<'a>(&self, source: &'a Source) -> Result<Names<'a>, JobFileError> {
        let names = source.names();
        let template = |text: &str| Template::new(text, &names);
        Ok(Names {
            source,
            stdout: self.stdout,
            name: template(&self.name)?,
            files: template(&self.files)?,
        })
    }
}

/// File of a task's standard error, by that of its standard output.
pub(super) fn err_of(name: &str) -> String {
    format!("{name}{ERR}")
}

impl Names<'_> {
    /// File of a task's standard output.
    pub fn name_of(&self, task: u32) -> Result<String, JobFileError> {
        let name = self.name.fill(self.source, task);
        let last = name.rsplit('/').next().unwrap_or(&name);
        if last.len() + ERR.len() > MAX_COMPONENT_BYTES {
            let (begin, most): (String, _) =
                (last.chars().take(20).collect(), MAX_COMPONENT_BYTES - ERR.len());
            return Err(JobFileError::Value(format!(
                "output.name: `{begin}…` has {} bytes, and a name has at most {most}: call it something like {{task}}.out",
                last.len()
            )));
        }
        let path = within(&name)?;
        if path.is_empty() || last.is_empty() {
            return Err(JobFileError::Value(format!(
                "output.name: task {task} has the empty name `{name}`"
            )));
        }
        Ok(path)
    }

    /// Folder of the files that it creates.
    pub fn folder_of(&self, task: u32) -> Result<String, JobFileError> {
        within(&self.files.fill(self.source, task))
    }

    /// Fills in the names of all tasks: they have to differ, from each other and from ours, and
    /// none is file and folder.
    pub fn plan(&self) -> Result<Taken, JobFileError> {
        let mut taken = Taken::default();
        let mut firsts: HashMap<u64, u32> = HashMap::new();
        // Names that the standard error of another task's file would have, if there is one called
        // so.
        let mut errs: Vec<(u64, u32, String, bool)> = Vec::new();
        for task in 0..self.source.count()? {
            let folder = self.folder_of(task)?;
            for path in above(&folder).chain([folder.as_str()]).filter(|path| !path.is_empty()) {
                if ours(path) {
                    return Err(reserved(path));
                }
                taken.folders.insert(key(path));
                errs.extend(
                    path.strip_suffix(ERR).map(|name| (key(name), task, path.to_owned(), true)),
                );
            }
            if self.stdout != Stdout::Files {
                continue;
            }
            let path = self.name_of(task)?;
            if ours(&path) {
                return Err(reserved(&path));
            }
            if let Some(first) = firsts.insert(key(&path), task) {
                return Err(JobFileError::Clash { first, second: task, path });
            }
            errs.extend(path.strip_suffix(ERR).map(|name| (key(name), task, path.clone(), false)));
            taken.folders.extend(above(&path).map(key));
        }
        for (name, second, path, folder) in errs {
            match firsts.get(&name).copied() {
                None => {}
                Some(task) if folder => return Err(JobFileError::FileAndFolder { task, path }),
                Some(first) => return Err(JobFileError::Clash { first, second, path }),
            }
        }
        let both = firsts.iter().filter(|(path, _)| taken.folders.contains(path));
        if let Some(task) = both.map(|(_, task)| *task).min() {
            return Err(JobFileError::FileAndFolder { task, path: self.name_of(task)? });
        }
        taken.files = firsts.into_keys().collect();
        Ok(taken)
    }
}

fn ours(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or(path);
    OURS.iter().any(|ours| ours.eq_ignore_ascii_case(first))
}

fn reserved(path: &str) -> JobFileError {
    JobFileError::Value(format!(
        "output: `{path}` is a name that Rialto uses itself: choose another"
    ))
}

/// Paths below the results' folder that have an owner.
#[derive(Debug, Default)]
pub(super) struct Taken {
    files: HashSet<u64>,
    folders: HashSet<u64>,
}

impl Taken {
    /// Takes a free path for a file that a task created: the one it chose, or one close to it that
    /// nobody has. `there` says what lies in the folder already and can't be a file (or, a folder)
    /// of results.
    pub fn take(&mut self, task: u32, wanted: &str, there: impl Fn(&str, bool) -> bool) -> String {
        let mut path = wanted.to_owned();
        for attempt in 1.. {
            let Some(bad) = self.obstacle(&path, &there) else { break };
            path = beside(wanted, bad, task, attempt);
        }
        self.folders.extend(above(&path).map(key));
        self.files.insert(key(&path));
        path
    }

    /// How many parts of a path make up what can't be, if anything: a file with that name, or in
    /// place of its folder.
    fn obstacle(&self, path: &str, there: impl Fn(&str, bool) -> bool) -> Option<usize> {
        if ours(path) {
            return Some(1);
        }
        let in_the_way = |folder: &str| self.files.contains(&key(folder)) || there(folder, true);
        if let Some(at) = above(path).position(in_the_way) {
            return Some(at + 1);
        }
        let whole = self.files.contains(&key(path))
            || self.folders.contains(&key(path))
            || there(path, false);
        whole.then(|| path.split('/').count())
    }
}

/// A path whose part number `bad` tells its task: `a/report.txt` becomes `a/report.7.txt`, then
/// `a/report.7-2.txt`.
fn beside(path: &str, bad: usize, task: u32, attempt: u32) -> String {
    let mark = if attempt == 1 { format!(".{task}") } else { format!(".{task}-{attempt}") };
    let marked = |part: &str| {
        let (stem, extension) = match part.rfind('.').filter(|at| *at > 0 && part.len() - at <= 16)
        {
            Some(at) => part.split_at(at),
            None => (part, ""),
        };
        let mut most = (MAX_COMPONENT_BYTES - mark.len() - extension.len()).min(stem.len());
        while !stem.is_char_boundary(most) {
            most -= 1;
        }
        format!("{}{mark}{extension}", &stem[..most])
    };
    let part =
        |(at, part): (usize, &str)| if at + 1 == bad { marked(part) } else { part.to_owned() };
    path.split('/').enumerate().map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(name: &str, files: &str, stdout: Stdout) -> Results {
        Results { folder: "/nowhere".into(), stdout, name: name.into(), files: files.into() }
    }

    fn plan(results: &Results, source: &Source) -> Result<Taken, JobFileError> {
        results.names(source)?.plan()
    }

    fn items(items: &[&str]) -> Source {
        Source::List(items.iter().map(|item| (*item).to_owned()).collect())
    }

    #[test]
    fn names_that_cannot_be_are_refused_before_anything_is_bought() {
        let long = "x".repeat(252);
        let table: &[(&str, &str, &[&str], &str)] = &[
            ("same", "{task}", &["a", "b"], "[C-JOB-006] tasks 0 and 1"),
            ("{item}", "{task}", &["a", "./a"], "[C-JOB-006] tasks 0 and 1"),
            ("{item}", "{task}", &["a", "b/..", "c"], "`..`"),
            ("{item}", ".", &["a", "a/b"], "[C-JOB-006] `a`"),
            ("{item}", ".", &["x/a/b", "x/a"], "[C-JOB-006] `x/a`"),
            ("{task}", "{task}", &["a", "b"], "[C-JOB-006] `"),
            ("{item}", "0.err", &["0", "x"], "[C-JOB-006] `0.err`"),
            ("{item}", "f", &["a", "a.err"], "[C-JOB-006] tasks 0 and 1"),
            ("{item}", "f", &["a.err", "a"], "[C-JOB-006] tasks 1 and 0"),
            ("{item}", "f", &["bundle.json"], "a name that Rialto uses"),
            ("{item}", "f", &["Results.CSV"], "a name that Rialto uses"),
            ("{item}", "f", &["stdout.txt/x"], "a name that Rialto uses"),
            ("{task}.out", "bundle.json", &["a"], "a name that Rialto uses"),
            ("{item}", "f", &[&long], "252 bytes"),
            ("{item}", "f", &[""], "empty name"),
            ("{item}/", "f", &["a"], "empty name"),
            ("{item}", "f", &["a\u{1b}b"], "control character"),
            ("{item}.out", "../{task}", &["a"], "`..`"),
        ];
        for (name, files, list, why) in table {
            let refused =
                plan(&results(name, files, Stdout::Files), &items(list)).unwrap_err().to_string();
            assert!(refused.contains(why), "{name} {files} {list:?}: {refused}");
        }
        let fine: &[(&str, &str, &[&str])] = &[
            ("{task}.out", "{task}", &["a", "b"]),
            ("{item}", ".", &["a", "b", "c.err"]),
            ("{item}/{task}", "{item}", &["a", "b"]),
            ("{item}", "made/{task}", &["a", "A"]),
            ("{item}", "{task}", &["x/y", "x/z"]),
        ];
        for (name, files, list) in fine {
            plan(&results(name, files, Stdout::Files), &items(list)).unwrap();
        }
        plan(&results("same", ".", Stdout::Table), &items(&["a", "b"])).unwrap();
    }

    #[test]
    fn what_a_task_creates_finds_a_place() {
        let mut taken =
            plan(&results("{task}.out", ".", Stdout::Files), &items(&["a", "b", "c"])).unwrap();
        let long = "y".repeat(255);
        let shorter = format!("{}.2", "y".repeat(253));
        let table = [
            (0, "report.txt", "report.txt"),
            (1, "report.txt", "report.1.txt"),
            (2, "report.txt", "report.2.txt"),
            (2, "report.2.txt", "report.2.2.txt"),
            (0, "bundle.json", "bundle.0.json"),
            (1, "bundle.json", "bundle.1.json"),
            (1, "results.csv/x", "results.1.csv/x"),
            (0, "1.out", "1.0.out"),
            (0, "a/b/c", "a/b/c"),
            (1, "a", "a.1"),
            (1, "a/b", "a/b.1"),
            (1, "a/b/c/d", "a/b/c.1/d"),
            (2, "there", "there.2"),
            (0, ".rialto-results", ".rialto-results.0"),
            (1, long.as_str(), long.as_str()),
            (2, long.as_str(), shorter.as_str()),
            (2, long.as_str(), ""),
        ];
        let mut all = HashSet::new();
        for (task, wanted, given) in table {
            let got = taken.take(task, wanted, |path, _| path == "there");
            assert!(given.is_empty() || got == given, "{wanted}: {got}");
            assert!(
                got.split('/').all(|part| part.len() <= 255) && all.insert(got.clone()),
                "{got}"
            );
        }
    }
}
