//! Job files: what a user writes (`job.toml`), the tasks it stands for, and the job that a
//! requester takes.

mod claim;
mod file;
mod inputs;
mod names;
mod pattern;
mod results;
mod tasks;
mod template;

pub use crate::escape::csv_record;
pub use claim::Claim;
pub use file::{JobFile, Place, TEMPLATE};
pub use inputs::Gathered;
pub(crate) use results::ending;
pub use results::{Stdout, Written, write_results};
pub use tasks::{Feed, Source};

use std::path::Path;

use crate::{
    class::{Class, Classified},
    settings::SettingsError,
};

/// Why a job file, or what it names, can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JobFileError {
    /// Something in a file.
    #[error("{file}: {why}")]
    In {
        /// The file.
        file: String,
        /// What.
        why: Box<JobFileError>,
    },
    /// Its keys or values.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no such file.
    #[error("[C-JOB-001] there is no {path}: `rialto job init` writes one to begin with")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file it names can't be read or written.
    #[error("[C-JOB-002] {path}: {why}")]
    File {
        /// Which one.
        path: String,
        /// What the system said.
        why: String,
    },
    /// A value that makes no sense.
    #[error("[C-JOB-003] {0}")]
    Value(String),
    /// A template that can't be filled in.
    #[error("[C-JOB-004] `{template}`: {why}")]
    Template {
        /// The template.
        template: String,
        /// What is wrong with it.
        why: String,
    },
    /// Tasks can't be listed.
    #[error("[C-JOB-005] {0}")]
    Tasks(String),
    /// Two tasks would write the same file.
    #[error(
        "[C-JOB-006] tasks {first} and {second} would both write `{path}`: put something that tells them apart into the name, such as {{task}}"
    )]
    Clash {
        /// A task.
        first: u32,
        /// Another one.
        second: u32,
        /// What both would write.
        path: String,
    },
    /// A name that would have to be a file and a folder.
    #[error(
        "[C-JOB-006] `{path}` would be a file of task {task}, and a folder of another file: change output.name or output.files"
    )]
    FileAndFolder {
        /// Whose file.
        task: u32,
        /// The name.
        path: String,
    },
    /// What lies in the results' folder is not this job's.
    #[error("[C-JOB-015] {path} {why}: write elsewhere with --to DIR, or replace it with --force")]
    Foreign {
        /// What.
        path: String,
        /// Whose it is.
        why: String,
    },
    /// An input can't be encoded.
    #[error("[C-JOB-007] {what}: {why}")]
    Input {
        /// Which input.
        what: String,
        /// Why.
        why: rialto_machine::input::InputError,
    },
    /// An output that can't be unpacked.
    #[error("[C-JOB-008] the output of task {task} can't be unpacked: {why}")]
    Output {
        /// Whose.
        task: u32,
        /// Why.
        why: String,
    },
}

impl Classified for JobFileError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

impl JobFileError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |why| Self::File { path, why: why.to_string() }
    }
}
