//! Which files a pattern means, now: a list that is kept. Whatever can't become a task's file is
//! named, never skipped in silence.

use std::{
    fs::FileType,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use glob::{MatchOptions, Pattern};
use rialto_requester::MAX_JOB_TASKS;

use super::JobFileError;

/// Deepest folder below the one where a pattern starts.
const MAX_DEPTH: usize = 32;
/// As shells do it: `*` stays within a folder and does not mean hidden files.
const SHELL: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What a pattern means.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files, sorted.
    pub files: Vec<PathBuf>,
    /// What matched and is no file, for people.
    pub notes: Vec<String>,
}

impl Found {
    /// Adds the files that a pattern means, or the one that a path names, from the folder `base`
    /// on.
    ///
    /// # Errors
    /// `C-JOB-002` for what can't be a task's file, `C-JOB-005` for what is no pattern, or matches
    /// nothing.
    pub fn add(&mut self, base: &Path, text: &str) -> Result<(), JobFileError> {
        let bad = |why: &dyn std::fmt::Display| {
            JobFileError::Tasks(format!("tasks.files = \"{text}\": {why}"))
        };
        let named = base.join(text);
        // Brackets are common in names: a file of just that name is what is meant.
        let plain =
            !text.contains(['*', '?', '[']) || (!text.contains(['*', '?']) && named.is_file());
        let before = self.files.len();
        if plain {
            self.candidate(&named, None)?;
        } else {
            Pattern::new(text).map_err(|why| bad(&why))?;
            let start = if text.starts_with('/') { Path::new("/") } else { base };
            let parts: Vec<&str> =
                text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
            self.walk(start, &parts, None, 0)?;
        }
        match self.files.len() > before {
            true => Ok(()),
            false => Err(bad(&"no file matches")),
        }
    }

    /// Sorts, and drops what several patterns mean.
    pub fn finish(mut self) -> Self {
        self.files.sort();
        self.files.dedup();
        self
    }

    /// `root` is the folder, links resolved, in which the first wildcard stands: what a wildcard
    /// means lies below it.
    fn walk(
        &mut self,
        folder: &Path,
        parts: &[&str],
        root: Option<&Path>,
        depth: usize,
    ) -> Result<(), JobFileError> {
        let Some((part, rest)) = parts.split_first() else { return Ok(()) };
        if !part.contains(['*', '?', '[']) {
            let path = folder.join(part);
            return match rest.is_empty() {
                true if std::fs::symlink_metadata(&path).is_ok() => self.candidate(&path, root),
                true => Ok(()),
                false => self.walk(&path, rest, root, depth),
            };
        }
        if depth > MAX_DEPTH {
            return Err(refused(
                folder,
                format!("more than {MAX_DEPTH} folders below where the pattern starts"),
            ));
        }
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            // A pattern such as `*/in/*.txt` tries folders that not every one has.
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(JobFileError::file(folder)(error)),
        };
        let own;
        let root = match root {
            Some(root) => root,
            None => {
                own = std::fs::canonicalize(folder).map_err(JobFileError::file(folder))?;
                &own
            }
        };
        let mut entries =
            entries.collect::<std::io::Result<Vec<_>>>().map_err(JobFileError::file(folder))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let all_below = *part == "**";
        if all_below {
            self.walk(folder, rest, Some(root), depth)?;
        }
        let pattern =
            Pattern::new(part).map_err(|why| refused(folder, format!("`{part}`: {why}")))?;
        for entry in entries {
            let (name, path) = (entry.file_name(), entry.path());
            if !pattern.matches_with(&name.to_string_lossy(), SHELL) {
                continue;
            }
            if name.to_str().is_none() {
                return Err(refused(&path, "its name is not UTF-8: rename it".into()));
            }
            let about = entry.file_type().map_err(JobFileError::file(&path))?;
            let folder = about.is_dir() || (about.is_symlink() && path.is_dir());
            match (all_below, folder) {
                // Links among all folders below may lead around in a circle.
                (true, true) if about.is_symlink() => {
                    self.notes.push(format!("{} is a link to a folder", path.display()))
                }
                (true, true) => self.walk(&path, parts, Some(root), depth + 1)?,
                (true, false) if rest.is_empty() => self.candidate(&path, Some(root))?,
                (true, false) => {}
                (false, _) if rest.is_empty() => self.candidate(&path, Some(root))?,
                (false, true) => {
                    inside(&path, root)?;
                    self.walk(&path, rest, Some(root), depth + 1)?;
                }
                (false, false) => {}
            }
        }
        Ok(())
    }

    fn candidate(&mut self, path: &Path, root: Option<&Path>) -> Result<(), JobFileError> {
        let about = metadata(path)?;
        if let Some(root) = root {
            inside(path, root)?;
        }
        if about.is_dir() && root.is_some() {
            self.notes.push(format!("{} is a folder", path.display()));
            return Ok(());
        }
        if !about.is_file() {
            return Err(refused(path, format!("it is {}, not a file", kind(about.file_type()))));
        }
        if self.files.len() >= MAX_JOB_TASKS {
            return Err(JobFileError::Tasks(format!(
                "more than {MAX_JOB_TASKS} files match: split the job"
            )));
        }
        self.files.push(path.to_owned());
        Ok(())
    }
}

/// What is at the end of a path, links followed.
pub(super) fn metadata(path: &Path) -> Result<std::fs::Metadata, JobFileError> {
    std::fs::metadata(path).map_err(|error| match std::fs::symlink_metadata(path) {
        Ok(link) if link.is_symlink() => {
            refused(path, format!("it is a link that leads nowhere ({error})"))
        }
        _ => JobFileError::file(path)(error),
    })
}

/// Refuses a link that leaves a folder: it might lead to what nobody meant to send.
pub(super) fn inside(path: &Path, root: &Path) -> Result<PathBuf, JobFileError> {
    let whole = std::fs::canonicalize(path).map_err(JobFileError::file(path))?;
    match whole.starts_with(root) {
        true => Ok(whole),
        false => Err(refused(
            path,
            format!(
                "it is a link to {}, outside of {}: name that itself, or copy it",
                whole.display(),
                root.display()
            ),
        )),
    }
}

pub(super) fn refused(path: &Path, why: String) -> JobFileError {
    JobFileError::File { path: path.display().to_string(), why }
}

/// What something is that is no file.
pub(super) fn kind(what: FileType) -> &'static str {
    match what {
        what if what.is_dir() => "a folder",
        what if what.is_fifo() => "a named pipe",
        what if what.is_socket() => "a socket",
        what if what.is_block_device() || what.is_char_device() => "a device",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener};

    use super::*;

    fn found(base: &Path, text: &str) -> Result<Vec<String>, String> {
        let mut found = Found::default();
        found.add(base, text).map_err(|why| why.to_string())?;
        let files = found.finish().files;
        let short = |path: &PathBuf| path.strip_prefix(base).unwrap_or(path).display().to_string();
        Ok(files.iter().map(short).collect())
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        folder
    }

    #[test]
    fn a_pattern_means_what_a_shell_means() {
        let tree = [
            "in/a.txt",
            "in/b.txt",
            "in/.hidden.txt",
            "in/c.dat",
            "in/x/d.txt",
            "in/x/y/e.txt",
            "in/n[1].txt",
            "in/n1.txt",
        ];
        let tree = folder(&tree);
        let table: &[(&str, &[&str])] = &[
            ("in/*.txt", &["in/a.txt", "in/b.txt", "in/n1.txt", "in/n[1].txt"]),
            ("./in//[ab].txt", &["in/a.txt", "in/b.txt"]),
            ("in/.*.txt", &["in/.hidden.txt"]),
            ("in/?.dat", &["in/c.dat"]),
            ("in/*/d.txt", &["in/x/d.txt"]),
            ("in/x/**/*.txt", &["in/x/d.txt", "in/x/y/e.txt"]),
            ("in/x/**", &["in/x/d.txt", "in/x/y/e.txt"]),
            ("in/n[1].txt", &["in/n[1].txt"]),
            ("in/a.txt", &["in/a.txt"]),
            ("in/x/../c.dat", &["in/x/../c.dat"]),
            ("**/e.txt", &["in/x/y/e.txt"]),
        ];
        for (pattern, files) in table {
            assert_eq!(found(tree.path(), pattern).unwrap(), *files, "{pattern}");
        }
        assert!(found(tree.path(), "in/*.none").unwrap_err().starts_with("[C-JOB-005]"));
        assert!(found(tree.path(), "in/[").unwrap_err().starts_with("[C-JOB-005]"));
        assert!(found(tree.path(), "nowhere/a.txt").unwrap_err().starts_with("[C-JOB-002]"));
        let whole = format!("{}/in/c.*", tree.path().display());
        assert_eq!(found(Path::new("/"), &whole[1..]).unwrap().len(), 1);
        assert_eq!(found(Path::new("/nowhere"), &whole).unwrap().len(), 1);
    }

    #[test]
    fn a_folder_of_any_name_is_no_pattern() {
        for name in
            ["run [v2]", "set ?", "all *", "[", "a]b", "{x}", "**", "tab\tname", "~", "weiß"]
        {
            let tree = folder(&[
                &format!("{name}/in/b.txt"),
                "set x/in/strangers.txt",
                "run v/in/strangers.txt",
            ]);
            let base = tree.path().join(name);
            assert_eq!(found(&base, "in/*.txt").unwrap(), ["in/b.txt"], "{name}");
        }
    }

    #[test]
    fn what_is_no_file_is_named() {
        let refused = |make: &dyn Fn(&Path)| {
            let tree = folder(&["in/a.txt"]);
            make(&tree.path().join("in"));
            found(tree.path(), "in/*").unwrap_err()
        };
        let lost = refused(&|folder| symlink("nowhere", folder.join("lost")).unwrap());
        assert!(lost.starts_with("[C-JOB-002]") && lost.contains("leads nowhere"), "{lost}");
        let away = refused(&|folder| symlink("/etc/passwd", folder.join("away")).unwrap());
        assert!(away.starts_with("[C-JOB-002]") && away.contains("outside of"), "{away}");
        let circle = refused(&|folder| symlink("circle", folder.join("circle")).unwrap());
        assert!(circle.contains("leads nowhere"), "{circle}");
        let socket = refused(&|folder| drop(UnixListener::bind(folder.join("s")).unwrap()));
        assert!(socket.contains("a socket, not a file"), "{socket}");
        let device = refused(&|folder| symlink("/dev/zero", folder.join("z")).unwrap());
        assert!(device.contains("outside of"), "{device}");
        let text = std::ffi::OsStr::from_bytes(b"\xff.txt");
        let binary = refused(&|folder| std::fs::write(folder.join(text), "x").unwrap());
        assert!(binary.contains("not UTF-8"), "{binary}");
        // A path that is written out leads where it leads.
        let tree = folder(&["a/x.txt"]);
        symlink("a/x.txt", tree.path().join("link")).unwrap();
        assert_eq!(found(tree.path(), "link").unwrap(), ["link"]);
        assert!(found(tree.path(), "a").unwrap_err().contains("a folder, not a file"));
        assert!(found(tree.path(), "/dev/zero").unwrap_err().contains("a device, not a file"));
        // A link that stays below, and folders: the first is meant, the others are told.
        symlink("x.txt", tree.path().join("a/y.txt")).unwrap();
        std::fs::create_dir(tree.path().join("a/sub")).unwrap();
        let mut all = Found::default();
        all.add(tree.path(), "a/*").unwrap();
        all.add(tree.path(), "a/x*").unwrap();
        let all = all.finish();
        assert_eq!((all.files.len(), all.notes.len()), (2, 1));
    }
}
