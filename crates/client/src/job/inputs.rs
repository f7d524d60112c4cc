//! Files and folders that all tasks see: gathered, bounded, and encoded as the half of the input
//! that they share.

use std::{
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use rialto_machine::input::Plan;

use super::{
    JobFileError,
    pattern::{inside, kind, metadata, refused},
};

/// Most input files and folders: what a half has place for, with room for the folders between.
const MAX_FILES: usize = 100_000;
/// Deepest input folder.
const MAX_DEPTH: usize = 32;

/// What was found under names that tasks see.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Files: the name that tasks see, where it is, bytes.
    files: Vec<(String, PathBuf, u64)>,
    /// Folders that are empty.
    folders: Vec<String>,
}

impl Gathered {
    /// Adds a file, or a folder with all that is in it. Links are followed as long as they stay in
    /// the folder.
    ///
    /// # Errors
    /// `C-JOB-002` for what can't be read, or sent: pipes, devices, sockets, links that leave the
    /// folder or run in a circle, names that are not UTF-8.
    pub fn add(&mut self, name: &str, path: &Path) -> Result<(), JobFileError> {
        let root = match metadata(path)? {
            about if about.is_dir() => {
                std::fs::canonicalize(path).map_err(JobFileError::file(path))?
            }
            _ => PathBuf::from("/"),
        };
        self.collect(name, path, &root, &mut Vec::new())
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, _, size)| size).fold(0, |sum, size| sum.saturating_add(*size))
    }

    fn collect(
        &mut self,
        name: &str,
        path: &Path,
        root: &Path,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), JobFileError> {
        let about = metadata(path)?;
        let whole = inside(path, root)?;
        if self.files.len() + self.folders.len() >= MAX_FILES {
            return Err(refused(path, format!("more than {MAX_FILES} input files")));
        }
        if about.is_file() {
            self.files.push((name.to_owned(), path.to_owned(), about.len()));
            return Ok(());
        }
        if !about.is_dir() {
            return Err(refused(path, format!("it is {}, not a file", kind(about.file_type()))));
        }
        if above.contains(&whole) {
            return Err(refused(
                path,
                "it is a link to a folder that it lies in: that has no end".into(),
            ));
        }
        if above.len() >= MAX_DEPTH {
            return Err(refused(path, format!("it is more than {MAX_DEPTH} folders deep")));
        }
        let entries =
            std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let mut entries = entries.map_err(JobFileError::file(path))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        if entries.is_empty() {
            self.folders.push(name.to_owned());
        }
        above.push(whole);
        for entry in entries {
            let file_name = entry.file_name();
            let Some(below) = file_name.to_str() else {
                return Err(refused(&entry.path(), "its name is not UTF-8: rename it".into()));
            };
            self.collect(&format!("{name}/{below}"), &entry.path(), root, above)?;
        }
        above.pop();
        Ok(())
    }

    /// Writes them as one half of an input; piece by piece, whatever their size. Says how many
    /// bytes that are.
    ///
    /// # Errors
    /// `C-JOB-002`, `C-JOB-007`.
    pub fn encode(&self, out: &mut (impl Write + Seek), to: &Path) -> Result<u64, JobFileError> {
        let sizes: Vec<(String, u64)> =
            self.files.iter().map(|(name, _, size)| (name.clone(), *size)).collect();
        let plan = Plan::with_folders(&sizes, &self.folders)
            .map_err(|why| JobFileError::Input { what: "inputs".into(), why })?;
        out.write_all(&plan.head).map_err(JobFileError::file(to))?;
        for placed in &plan.files {
            let path = &self.files[placed.index].1;
            let source = std::fs::File::open(path).map_err(JobFileError::file(path))?;
            out.seek(SeekFrom::Start(placed.offset)).map_err(JobFileError::file(to))?;
            let copied = std::io::copy(&mut source.take(placed.size), out)
                .map_err(JobFileError::file(to))?;
            if copied != placed.size {
                return Err(refused(path, "it changed meanwhile".into()));
            }
        }
        Ok(plan.len)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener};

    use super::*;

    fn gathered(make: &dyn Fn(&Path)) -> Result<(Vec<String>, Vec<String>), String> {
        let tree = tempfile::tempdir().unwrap();
        let data = tree.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(tree.path().join("secret"), "s").unwrap();
        make(&data);
        let mut all = Gathered::default();
        all.add("d", &data).map_err(|why| why.to_string())?;
        Ok((all.files.iter().map(|(name, ..)| name.clone()).collect(), all.folders.clone()))
    }

    #[test]
    fn a_folder_is_all_that_is_in_it() {
        let all = gathered(&|folder| {
            std::fs::create_dir_all(folder.join("a/empty")).unwrap();
            std::fs::write(folder.join("a/.hidden"), "h").unwrap();
            std::fs::write(folder.join("z"), "z").unwrap();
            symlink("z", folder.join("same")).unwrap();
            symlink("../z", folder.join("a/up")).unwrap();
        });
        let names = ["d/a/.hidden", "d/a/up", "d/same", "d/z"].map(String::from).to_vec();
        assert_eq!(all.unwrap(), (names, vec!["d/a/empty".to_owned()]));
        assert_eq!(gathered(&|_| ()).unwrap(), (Vec::new(), vec!["d".to_owned()]));
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        type Make = fn(&Path);
        let table: [(&str, Make); 9] = [
            ("leads nowhere", |folder| symlink("nowhere", folder.join("x")).unwrap()),
            ("leads nowhere", |folder| symlink("x", folder.join("x")).unwrap()),
            ("outside of", |folder| symlink("../secret", folder.join("x")).unwrap()),
            ("outside of", |folder| symlink("/etc", folder.join("x")).unwrap()),
            ("outside of", |folder| symlink("/dev/zero", folder.join("x")).unwrap()),
            ("no end", |folder| symlink(".", folder.join("x")).unwrap()),
            ("no end", |folder| symlink("../data", folder.join("x")).unwrap()),
            ("a socket", |folder| drop(UnixListener::bind(folder.join("x")).unwrap())),
            ("UTF-8", |folder| {
                std::fs::write(folder.join(std::ffi::OsStr::from_bytes(b"\xfe")), "x").unwrap();
            }),
        ];
        for (why, make) in table {
            let refused = gathered(&make).unwrap_err();
            assert!(
                refused.starts_with("[C-JOB-002]") && refused.contains(why),
                "{why}: {refused}"
            );
        }
        let mut all = Gathered::default();
        assert!(all.add("z", Path::new("/dev/zero")).unwrap_err().to_string().contains("a device"));
    }
}
