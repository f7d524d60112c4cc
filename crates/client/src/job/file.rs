//! `job.toml`: reading it, and the job that it stands for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use rialto_exec::{Limits, PAGE_BYTES};
use rialto_machine::{
    input::{MAX_HALF_BYTES, TaskInput},
    limits::MAX_FUEL,
};
use rialto_protocol::Address;
use rialto_requester::{Content, Job, Policy};
use serde::{Deserialize, Serialize};
use toml::Value;

use super::{
    JobFileError,
    inputs::Gathered,
    pattern::metadata,
    results::{Results, Stdout},
    tasks::{Feed, Read, Source},
    template::Template,
};
use crate::settings::{BYTES, DURATION, FUEL, Section, Settings};

/// The commented job file that `rialto job init` writes.
pub const TEMPLATE: &str = include_str!("job.toml");

/// Every key of a job file.
pub(super) const SHAPE: &[Section] = &[
    (
        "",
        &["name", "program", "args", "stdin", "verify", "max_price", "budget", "deadline", "seed"],
    ),
    ("env", &["*"]),
    ("tasks", &["range", "list", "files", "feed", "matrix"]),
    ("inputs", &["*"]),
    ("output", &["folder", "stdout", "name", "files"]),
    ("limits", &["fuel", "memory", "output"]),
    ("providers", &["least", "most", "exclude", "collateral", "run_here"]),
];
/// Forms of `verify`.
const VERIFY: &str =
    "\"trust\", { replicas = 2 }, { audit = 0.05 } or { adaptive = { floor = 0.02 } } is needed";
/// Bytes of all tasks' own inputs together: they stay in memory while the job runs.
const MAX_TASKS_BYTES: u64 = 1 << 30;
/// Largest job file, bytes: long lists fit better into a file of their own.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Fuel limit of a task where nothing is said: about a quarter of an hour of a core.
const FUEL_LIMIT: u64 = 1_000_000_000_000;
/// Memory limit where nothing is said.
const MEMORY_BYTES: u64 = 256 << 20;
/// Output limit where nothing is said.
const OUT_BYTES: u64 = 16 << 20;
/// Time for a job where nothing is said, seconds.
const DEADLINE_SECONDS: u64 = 3600;
/// Longest time for a job, seconds: ten years.
const MAX_DEADLINE_SECONDS: u64 = 10 * 366 * 86_400;

/// Where the paths in a job file start.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    base: &'a Path,
    home: Option<&'a Path>,
}

impl<'a> Place<'a> {
    /// Paths start at `base`, an absolute folder; `~` is `home`.
    pub fn new(base: &'a Path, home: Option<&'a Path>) -> Self {
        Self { base, home }
    }

    /// The folder that a path starts at, and the rest of it.
    pub(super) fn base_of<'t>(&self, text: &'t str) -> Result<(&'a Path, &'t str), JobFileError> {
        let Some(rest) = text.strip_prefix('~') else { return Ok((self.base, text)) };
        match (rest.strip_prefix('/').or((rest.is_empty()).then_some("")), self.home) {
            (Some(rest), Some(home)) => Ok((home, rest.trim_start_matches('/'))),
            (Some(_), None) => Err(JobFileError::Value(format!(
                "`{text}`: nobody says where `~` is: write the whole path"
            ))),
            (None, _) => Err(JobFileError::Value(format!(
                "`{text}`: only your own `~/…` is known; if it is a name, write `./{text}`"
            ))),
        }
    }

    /// A whole path.
    ///
    /// # Errors
    /// `C-JOB-003` for a `~` that nobody can resolve.
    pub fn path(&self, text: &str) -> Result<PathBuf, JobFileError> {
        let (base, rest) = self.base_of(text)?;
        Ok(if rest.is_empty() { base.to_owned() } else { base.join(rest) })
    }
}

/// A job as a user writes it. Paths are absolute: it means the same wherever it is read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFile {
    /// What the user calls it.
    pub name: String,
    /// The file itself, if it is one that stays.
    pub source: Option<PathBuf>,
    /// What to tell before it is used, for people.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// WebAssembly module.
    pub program: PathBuf,
    /// Arguments after the program's name: templates.
    pub args: Vec<String>,
    /// Environment: templates.
    pub env: BTreeMap<String, String>,
    /// Standard input: a template, unless tasks are fed files.
    pub stdin: Option<String>,
    /// Its tasks.
    pub tasks: Source,
    /// Files and folders that all tasks see, by the name they see.
    pub inputs: BTreeMap<String, PathBuf>,
    /// Where results go.
    pub results: Results,
    /// Fuel limit of a task.
    pub fuel: u64,
    /// Memory limit of a task, 64 KiB pages.
    pub max_pages: u32,
    /// Output limit of a task, bytes.
    pub out_bytes: u64,
    /// How results are checked.
    pub verify: Policy,
    /// Highest price, base units per Tfuel.
    pub max_price: Option<u128>,
    /// Most that may be locked, base units.
    pub budget: u128,
    /// Seconds until the work must be done.
    pub within: u64,
    /// Fewest providers wanted, where said.
    pub least: Option<u32>,
    /// Most providers.
    pub most: u32,
    /// Providers not to use.
    pub exclude: BTreeSet<Address>,
    /// Smallest collateral, 1/10_000 of a deal's budget.
    pub collateral_bps: u32,
    /// Whether this machine may run tasks: to audit, to settle a mismatch.
    pub run_here: bool,
    /// Random seed, if it is to be the same every time.
    pub seed: Option<u64>,
}

impl JobFile {
    /// Reads a job file. `home` is what `~` stands for.
    ///
    /// # Errors
    /// `C-JOB-001` to `C-JOB-003`, `C-JOB-005`, `C-CFG-…`.
    pub fn read(path: &Path, home: Option<&Path>) -> Result<Self, JobFileError> {
        if std::fs::symlink_metadata(path)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        {
            return Err(JobFileError::Missing { path: path.display().to_string() });
        }
        let whole = std::path::absolute(path).map_err(JobFileError::file(path))?;
        let read = || {
            let about = metadata(&whole)?;
            if !about.is_file() || about.len() > MAX_FILE_BYTES {
                let why = if about.is_file() {
                    "it is too large: put long lists into files"
                } else {
                    "it is not a file"
                };
                return Err(JobFileError::File {
                    path: path.display().to_string(),
                    why: why.into(),
                });
            }
            let text = std::fs::read_to_string(&whole).map_err(JobFileError::file(path))?;
            let settings = Settings::parse(&text, SHAPE)?;
            Self::from_settings(
                &settings,
                &Place::new(whole.parent().unwrap_or(Path::new("/")), home),
            )
        };
        let file = read().map_err(|why| JobFileError::In {
            file: path.display().to_string(),
            why: Box::new(why),
        })?;
        // One file by whatever way it is named.
        Ok(Self { source: Some(std::fs::canonicalize(&whole).unwrap_or(whole)), ..file })
    }

    /// What it says, in short: two files that say the same have the same.
    pub(super) fn fingerprint(&self) -> String {
        let same = Self { source: None, notes: Vec::new(), ..self.clone() };
        let said = serde_json::to_vec(&same).unwrap_or_default();
        rialto_protocol::keccak256(said).to_string()
    }

    /// Reads the text of a job file that is none on disk.
    ///
    /// # Errors
    /// `C-JOB-002`, `C-JOB-003`, `C-JOB-005`, `C-CFG-…`.
    pub fn parse(text: &str, place: &Place<'_>) -> Result<Self, JobFileError> {
        Self::from_settings(&Settings::parse(text, SHAPE)?, place)
    }

    fn from_settings(settings: &Settings, place: &Place<'_>) -> Result<Self, JobFileError> {
        let at = |text: &str| place.path(text);
        if place.base.to_str().is_none() || place.home.is_some_and(|home| home.to_str().is_none()) {
            return Err(JobFileError::Value(format!(
                "the path {} is not UTF-8",
                place.base.display()
            )));
        }
        let need = |key: &str, example: &str| {
            JobFileError::Value(format!("{key} is needed, such as {key} = {example}"))
        };
        let program =
            settings.text("", "program")?.ok_or_else(|| need("program", "\"prog.wasm\""))?;
        let text = |section, key| settings.text(section, key);
        let flag = |section, key, otherwise| match settings.get(section, key) {
            None => Ok(otherwise),
            Some(Value::Boolean(flag)) => Ok(*flag),
            Some(other) => Err(JobFileError::Value(format!(
                "{section}.{key} = {other}: true or false is needed"
            ))),
        };
        let measure = |section, key, units| settings.measure(section, key, units);
        let args: Vec<String> = match settings.get("", "args") {
            None => Vec::new(),
            Some(Value::Array(items)) => super::tasks::scalars("args", items)?,
            Some(_) => return Err(JobFileError::Value("args: a list of texts is needed".into())),
        };
        let Read { source: tasks, notes } = Source::read(settings, place)?;
        let stdin = text("", "stdin")?.map(str::to_owned);
        if stdin.is_some() && matches!(tasks, Source::Files { feed: Feed::Stdin, .. }) {
            return Err(JobFileError::Value(
                "stdin is the task's file already: remove it, or set tasks.feed = \"file\"".into(),
            ));
        }
        let memory = measure("limits", "memory", BYTES)?.unwrap_or(MEMORY_BYTES);
        let fuel = measure("limits", "fuel", FUEL)?.unwrap_or(FUEL_LIMIT);
        if fuel == 0 || fuel > MAX_FUEL as u64 {
            return Err(JobFileError::Value(format!("limits.fuel: from 1 to {MAX_FUEL}")));
        }
        let within = measure("", "deadline", DURATION)?.unwrap_or(DEADLINE_SECONDS);
        if within == 0 || within > MAX_DEADLINE_SECONDS {
            return Err(JobFileError::Value(format!(
                "deadline: from 1 s to {} d",
                MAX_DEADLINE_SECONDS / 86_400
            )));
        }
        let stdout = match text("output", "stdout")? {
            None | Some("files") => Stdout::Files,
            Some("stream") => Stdout::Stream,
            Some("table") => Stdout::Table,
            Some("none") => Stdout::None,
            Some(other) => {
                return Err(JobFileError::Value(format!(
                    "output.stdout = \"{other}\": \"files\", \"stream\", \"table\" or \"none\" is needed"
                )));
            }
        };
        let name = text("output", "name")?.unwrap_or("{task}.out");
        // Where nothing is said, created files go where no task's own file is.
        let files = match stdout {
            Stdout::Files if name.trim_start_matches("./") == "{task}" => "{task}.files",
            _ => "{task}",
        };
        let stem = || {
            Path::new(program)
                .file_stem()
                .map_or_else(|| "job".into(), |stem| stem.to_string_lossy().into_owned())
        };
        Ok(Self {
            name: text("", "name")?.map_or_else(stem, str::to_owned),
            source: None,
            notes,
            program: at(program)?,
            args,
            env: settings.texts("env")?,
            stdin,
            inputs: settings
                .texts("inputs")?
                .into_iter()
                .map(|(name, path)| Ok((name, at(&path)?)))
                .collect::<Result<_, JobFileError>>()?,
            results: Results {
                folder: at(text("output", "folder")?.unwrap_or("results"))?,
                stdout,
                name: name.to_owned(),
                files: text("output", "files")?.unwrap_or(files).to_owned(),
            },
            tasks,
            fuel,
            max_pages: u32::try_from(memory.div_ceil(PAGE_BYTES))
                .ok()
                .filter(|pages| *pages <= rialto_machine::limits::MAX_MEMORY_PAGES)
                .ok_or_else(|| JobFileError::Value("limits.memory: at most 4 GiB".into()))?,
            out_bytes: measure("limits", "output", BYTES)?.unwrap_or(OUT_BYTES),
            verify: verify(settings.get("", "verify"))?,
            max_price: settings.amount("", "max_price")?,
            budget: settings
                .amount("", "budget")?
                .filter(|budget| *budget > 0)
                .ok_or_else(|| need("budget", "5"))?,
            within,
            least: settings.small("providers", "least", 1000)?,
            most: settings.small("providers", "most", 1000)?.unwrap_or(16),
            exclude: settings
                .list("providers", "exclude", "addresses")?
                .unwrap_or_default()
                .into_iter()
                .collect(),
            collateral_bps: settings.share("providers", "collateral", 10.0, 10_000)?.unwrap_or(0),
            run_here: flag("providers", "run_here", true)?,
            seed: settings.number("", "seed", 0, u64::MAX >> 1)?,
        })
    }

    /// How many tasks it has, with every template read and every name compared.
    ///
    /// # Errors
    /// `C-JOB-003` to `C-JOB-006`.
    pub fn check(&self) -> Result<u32, JobFileError> {
        let count = self.tasks.count()?;
        Call::new(self)?;
        self.results.names(&self.tasks)?.plan()?;
        Ok(count)
    }

    /// The job it stands for. Files that all tasks share are written, as they travel, to `shared`,
    /// which must live until the job is submitted.
    ///
    /// # Errors
    /// `C-JOB-…`.
    pub fn job(&self, shared: &Path) -> Result<Job, JobFileError> {
        let count = self.readable()?;
        let call = Call::new(self)?;
        let tasks =
            (0..count).map(|task| call.input(&self.tasks, task)).collect::<Result<Vec<_>, _>>()?;
        self.job_of(tasks, shared)
    }

    /// The same for a quote, which looks at the first task only: the others are there, and empty.
    ///
    /// # Errors
    /// `C-JOB-…`.
    pub(crate) fn sample(&self, shared: &Path) -> Result<Job, JobFileError> {
        let mut tasks = vec![Bytes::new(); self.readable()? as usize];
        tasks[0] = Call::new(self)?.input(&self.tasks, 0)?;
        self.job_of(tasks, shared)
    }

    /// How many tasks there are, if all that they need can be read.
    fn readable(&self) -> Result<u32, JobFileError> {
        let count = self.check()?;
        let mut bytes = 0u64;
        let files =
            if let Source::Files { files, .. } = &self.tasks { files.as_slice() } else { &[] };
        for path in files {
            bytes += own(path)?;
            if bytes > MAX_TASKS_BYTES {
                return Err(JobFileError::Tasks(format!(
                    "the tasks' own files have more than {MAX_TASKS_BYTES} bytes together: split the job"
                )));
            }
        }
        if !self.program.is_file() {
            return Err(JobFileError::File {
                path: self.program.display().to_string(),
                why: "no such file".into(),
            });
        }
        Ok(count)
    }

    fn job_of(&self, tasks: Vec<Bytes>, shared: &Path) -> Result<Job, JobFileError> {
        let base = Job::new(self.program.clone(), tasks);
        let replicas = self.verify.replicas();
        Ok(Job {
            name: self.name.clone(),
            shared: self.shared(shared)?,
            limits: Limits {
                fuel: self.fuel,
                out_bytes: self.out_bytes,
                max_pages: self.max_pages,
            },
            policy: self.verify,
            budget: self.budget,
            max_price: self.max_price.unwrap_or(u128::MAX),
            within: Duration::from_secs(self.within),
            min_collateral_bps: self.collateral_bps,
            min_providers: self
                .least
                .unwrap_or(base.min_providers)
                .max(replicas)
                .min(self.most.max(replicas)),
            max_providers: self.most.max(replicas),
            exclude: self.exclude.clone(),
            run_locally: self.run_here,
            seed: self.seed,
            ..base
        })
    }

    /// Writes the files that all tasks share as one half; piece by piece, whatever their size.
    fn shared(&self, to: &Path) -> Result<Option<Content>, JobFileError> {
        if self.inputs.is_empty() {
            return Ok(None);
        }
        let mut found = Gathered::default();
        for (name, path) in &self.inputs {
            found.add(name, path)?;
        }
        let mut file = std::fs::File::create(to).map_err(JobFileError::file(to))?;
        let len = found.encode(&mut file, to)?;
        debug_assert!(len <= MAX_HALF_BYTES);
        file.set_len(len).map_err(JobFileError::file(to))?;
        Ok(Some(Content::File(to.to_owned())))
    }
}

/// How tasks are called: templates that were read once.
struct Call {
    program: Vec<u8>,
    args: Vec<Template>,
    env: Vec<(Vec<u8>, Template)>,
    stdin: Option<Template>,
}

impl Call {
    fn new(job: &JobFile) -> Result<Self, JobFileError> {
        let names = job.tasks.names();
        let template = |text: &String| Template::new(text, &names);
        let program = job.program.file_stem();
        Ok(Self {
            program: program
                .map_or_else(|| "program".into(), |stem| stem.to_string_lossy().into_owned())
                .into_bytes(),
            args: job.args.iter().map(template).collect::<Result<_, _>>()?,
            env: job
                .env
                .iter()
                .map(|(name, value)| Ok((name.clone().into_bytes(), template(value)?)))
                .collect::<Result<_, JobFileError>>()?,
            stdin: job.stdin.as_ref().map(template).transpose()?,
        })
    }

    /// A task's own input, encoded.
    fn input(&self, source: &Source, task: u32) -> Result<Bytes, JobFileError> {
        let filled = |template: &Template| template.fill(source, task).into_bytes();
        let mut input = TaskInput {
            argv: std::iter::once(self.program.clone())
                .chain(self.args.iter().map(filled))
                .collect(),
            env: self.env.iter().map(|(name, value)| (name.clone(), filled(value))).collect(),
            stdin: self.stdin.as_ref().map(filled).unwrap_or_default(),
            ..TaskInput::default()
        };
        if let Some((path, feed)) = source.file(task) {
            own(path)?;
            let bytes = std::fs::read(path).map_err(JobFileError::file(path))?;
            match feed {
                Feed::Stdin => input.stdin = bytes,
                Feed::File => {
                    let name = path
                        .file_name()
                        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
                    input.files.push((name, bytes));
                }
            }
        }
        Ok(input
            .encode()
            .map_err(|why| JobFileError::Input { what: format!("task {task}"), why })?
            .into())
    }
}

/// Bytes of a task's own file, which must still be one.
fn own(path: &Path) -> Result<u64, JobFileError> {
    let about = metadata(path)?;
    match about.is_file() {
        true => Ok(about.len()),
        false => Err(JobFileError::File {
            path: path.display().to_string(),
            why: "it is not a file any more".into(),
        }),
    }
}

fn verify(value: Option<&Value>) -> Result<Policy, JobFileError> {
    let wrong = |value: &Value| JobFileError::Value(format!("verify = {value}: {VERIFY}"));
    let Some(value) = value else { return Ok(Policy::Replicate { n: 2 }) };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Table(table) => {
            let mut entries = table.iter();
            let (Some((kind, inner)), None) = (entries.next(), entries.next()) else {
                return Err(wrong(value));
            };
            match inner {
                Value::Table(inner) if kind == "adaptive" && inner.len() == 1 => {
                    format!("adaptive={}", inner.get("floor").ok_or_else(|| wrong(value))?)
                }
                Value::Integer(_) | Value::Float(_) => format!("{kind}={inner}"),
                _ => return Err(wrong(value)),
            }
        }
        _ => return Err(wrong(value)),
    };
    text.parse().map_err(|_| wrong(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<JobFile, JobFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(&path, text).unwrap();
        JobFile::read(&path, None)
    }

    const LEAST: &str = "program = \"p.wasm\"\nbudget = 1\n";

    #[test]
    fn the_template_is_a_job_and_holds_every_key() {
        let job = parse(TEMPLATE).unwrap();
        assert_eq!((job.verify, job.name.as_str()), (Policy::Replicate { n: 2 }, "my job"));
        for (section, keys) in SHAPE {
            for key in keys.iter().filter(|key| **key != "*") {
                let mentioned = |line: &str| {
                    let line = line.trim_start_matches("# ");
                    line.starts_with(&format!("{key} ="))
                        || line.starts_with(&format!("[{section}.{key}]"))
                };
                assert!(TEMPLATE.lines().any(mentioned), "{section}.{key}");
            }
        }
    }

    #[test]
    fn values_mean_what_they_say() {
        let job = parse(&format!(
            "{LEAST}verify = {{ adaptive = {{ floor = 0.02 }} }}\nmax_price = 0.5\ndeadline = \"2 h\"\nargs = [\"-n\", 3]\n[limits]\nfuel = \"2 Gfuel\"\nmemory = \"64 MiB\"\n[output]\nstdout = \"table\""
        ))
        .unwrap();
        assert_eq!(job.verify, Policy::Adaptive { floor_ppm: 20_000 });
        assert_eq!((job.max_price, job.budget, job.within), (Some(500_000), 1_000_000, 7_200));
        assert_eq!((job.fuel, job.max_pages, job.args[1].as_str()), (2_000_000_000, 1024, "3"));
        assert!(job.program.is_absolute() && job.program.ends_with("p.wasm"));
        assert_eq!(parse(&format!("{LEAST}verify = \"trust\"")).unwrap().verify, Policy::Trust);
        assert_eq!(
            parse(&format!("{LEAST}verify = {{ audit = 0.05 }}")).unwrap().verify,
            Policy::Audit { rate_ppm: 50_000 }
        );
        let copy: JobFile = serde_json::from_str(&serde_json::to_string(&job).unwrap()).unwrap();
        assert_eq!(copy, job);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        assert!(refused("budget = 1").contains("program is needed"));
        assert!(refused("program = \"p\"").contains("budget is needed"));
        assert!(refused("program = \"p\"\nbudget = 0.0").contains("budget is needed"));
        assert!(refused(&format!("{LEAST}verifi = 1")).contains("did you mean `verify`"));
        assert!(refused(&format!("{LEAST}verify = {{ replicas = 0 }}")).contains(VERIFY));
        assert!(
            refused(&format!("{LEAST}verify = {{ replicas = 2, audit = 1 }}")).contains(VERIFY)
        );
        assert!(refused(&format!("{LEAST}[limits]\nmemory = \"9 GiB\"")).contains("at most 4 GiB"));
        assert!(refused(&format!("{LEAST}[limits]\nfule = 1")).contains("did you mean `fuel`"));
        assert!(refused(&format!("{LEAST}deadline = \"soon\"")).contains("a time such as"));
        assert!(
            refused(&format!("{LEAST}stdin = \"x\"\n[tasks]\nfiles = \"*\"")).contains("already")
        );
        for none in ["0", "\"0 s\"", "\"100000 days\""] {
            assert!(refused(&format!("{LEAST}deadline = {none}")).contains("from 1 s"), "{none}");
        }
        let missing = JobFile::read(Path::new("/nowhere/job.toml"), None).unwrap_err().to_string();
        assert!(missing.contains("[C-JOB-001]") && missing.contains("job init"), "{missing}");
        let template =
            parse(&format!("{LEAST}args = [\"{{itme}}\"]\n[tasks]\nlist = [1]")).unwrap();
        assert!(template.check().unwrap_err().to_string().contains("did you mean `item`"));
    }

    #[test]
    fn a_tilde_is_home_and_everything_else_is_a_name() {
        let place = Place::new(Path::new("/base"), Some(Path::new("/home/me")));
        let table = [
            ("~", "/home/me"),
            ("~/", "/home/me"),
            ("~/x/y", "/home/me/x/y"),
            ("~//x", "/home/me/x"),
            ("./~", "/base/./~"),
            ("x/~/y", "/base/x/~/y"),
            ("/~/x", "/~/x"),
            ("x", "/base/x"),
            ("../x", "/base/../x"),
            ("x~", "/base/x~"),
        ];
        for (text, path) in table {
            assert_eq!(place.path(text).unwrap(), Path::new(path), "{text}");
        }
        for text in ["~you/x", "~x", "~~"] {
            assert!(place.path(text).unwrap_err().to_string().contains("write `./~"), "{text}");
        }
        assert!(Place::new(Path::new("/base"), None).path("~/x").is_err());
        let everywhere =
            "program = \"~/p.wasm\"\nbudget = 1\n[inputs]\nd = \"~/d\"\n[output]\nfolder = \"~/r\"";
        let job = JobFile::parse(everywhere, &place).unwrap();
        let paths = [&job.program, &job.inputs["d"], &job.results.folder];
        assert!(paths.iter().all(|path| path.starts_with("/home/me")), "{paths:?}");
    }

    #[test]
    fn created_files_have_a_place_of_their_own() {
        let folder =
            |output: &str| parse(&format!("{LEAST}[output]\n{output}")).unwrap().results.files;
        assert_eq!(folder(""), "{task}");
        assert_eq!(folder("name = \"{task}\""), "{task}.files");
        assert_eq!(folder("name = \"{task}\"\nstdout = \"table\""), "{task}");
        let both =
            parse(&format!("{LEAST}[output]\nname = \"{{task}}\"\nfiles = \"{{task}}\"")).unwrap();
        assert!(both.check().unwrap_err().to_string().starts_with("[C-JOB-006]"));
    }

    #[test]
    fn inputs_are_what_the_machine_reads() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("p.wasm", b"\0asm");
        std::fs::create_dir(folder.path().join("data")).unwrap();
        write("data/b", &[2; 100]);
        write("data/a", b"first");
        write("one.txt", b"uno");
        write(
            "job.toml",
            b"program = \"p.wasm\"\nbudget = 1\nargs = [\"{stem}\"]\n[tasks]\nfiles = \"*.txt\"\n[inputs]\nset = \"data\"\n",
        );
        let file = JobFile::read(&folder.path().join("job.toml"), None).unwrap();
        let shared = folder.path().join("shared");
        let job = file.job(&shared).unwrap();
        let task = TaskInput {
            argv: vec![b"p".to_vec(), b"one".to_vec()],
            stdin: b"uno".to_vec(),
            ..TaskInput::default()
        };
        assert_eq!(job.tasks, [Bytes::from(task.encode().unwrap())]);
        let all = rialto_machine::input::SharedInput {
            files: vec![("set/a".into(), b"first".to_vec()), ("set/b".into(), vec![2; 100])],
        };
        assert_eq!(std::fs::read(&shared).unwrap(), all.encode().unwrap());
        std::fs::remove_file(folder.path().join("data/a")).unwrap();
        std::fs::remove_file(folder.path().join("p.wasm")).unwrap();
        assert!(file.job(&shared).unwrap_err().to_string().contains("p.wasm: no such file"));
    }
}
