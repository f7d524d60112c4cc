//! A journal on disk: one redb file, which belongs to one account and to one version of its format.

use std::{
    path::Path,
    sync::{Arc, Weak},
};

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableHandle,
    WriteTransaction,
};

/// Pages kept in memory, bytes: rows are written often and read seldom.
const CACHE_BYTES: usize = 16 << 20;
/// Whose journal it is.
const OWNER: TableDefinition<'_, &str, &str> = TableDefinition::new("owner");

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file can't be opened, read or written.
    #[error("{0}")]
    Broken(String),
    /// It belongs to another account or market: the owner it names.
    #[error("it belongs to {0}")]
    Foreign(String),
    /// Another version wrote it: the table it has.
    #[error("another version wrote it: {0}")]
    OtherVersion(String),
}

impl<E: Into<redb::Error>> From<E> for JournalError {
    fn from(error: E) -> Self {
        Self::Broken(error.into().to_string())
    }
}

/// Makes the entries of one version into those of the next.
#[derive(Clone, Copy)]
pub struct Step {
    /// The table of the older version.
    pub from: &'static str,
    /// The table of the next one.
    pub to: &'static str,
    /// Fills the one from the other. The older table is deleted afterwards.
    pub run: fn(&WriteTransaction) -> Result<(), JournalError>,
}

/// The file of a journal. Clones share it. Every call blocks.
#[derive(Clone)]
pub struct JournalFile(Arc<Database>);

impl JournalFile {
    /// Opens the journal of `owner`, or begins it. `rows` names the table of its entries and ends
    /// in `-` and the version of their format. An older version's entries become this one's by
    /// `steps`, all of them in one transaction. A version that no step begins from is refused: to
    /// take its journal for an empty one would forget open deals.
    ///
    /// # Errors
    /// The file can't be used, or it is another owner's or another version's.
    pub fn open(
        path: &Path,
        owner: &str,
        rows: &str,
        steps: &[Step],
    ) -> Result<Self, JournalError> {
        let db = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
        let write = db.begin_write()?;
        let any = rows.rsplit_once('-').map_or(rows, |(name, _)| name);
        let other = |name: &str| {
            name != rows && name.rsplit_once('-').is_some_and(|(family, _)| family == any)
        };
        {
            let mut table = write.open_table(OWNER)?;
            let known = table.get("owner")?.map(|value| value.value().to_string());
            match known {
                Some(known) if known != owner => return Err(JournalError::Foreign(known)),
                Some(_) => {}
                None => drop(table.insert("owner", owner)?),
            }
        }
        let tables: Vec<_> = write.list_tables()?.map(|table| table.name().to_string()).collect();
        if let Some(mut version) = tables.into_iter().find(|name| other(name)) {
            while version != rows {
                let step = steps.iter().find(|step| step.from == version);
                let Some(step) = step else { return Err(JournalError::OtherVersion(version)) };
                (step.run)(&write)?;
                write.delete_table(TableDefinition::<&[u8], &[u8]>::new(step.from)).or_else(
                    |error| match error {
                        // Entries by number instead of by key.
                        redb::TableError::TableTypeMismatch { .. } => {
                            write.delete_table(TableDefinition::<u64, &[u8]>::new(step.from))
                        }
                        other => Err(other),
                    },
                )?;
                version = step.to.to_owned();
            }
        }
        write.commit()?;
        Ok(Self(Arc::new(db)))
    }

    /// Opens an existing journal that no process has open, whoever's it is.
    ///
    /// # Errors
    /// There is none, or it can't be read.
    pub fn look(path: &Path) -> Result<Self, JournalError> {
        Ok(Self(Arc::new(Database::builder().set_cache_size(CACHE_BYTES).open(path)?)))
    }

    /// Returns what tells whether any clone is still open.
    pub fn watch(&self) -> Weak<Database> {
        Arc::downgrade(&self.0)
    }

    /// Runs `change` in one transaction: all of it is on disk when this returns, or nothing.
    ///
    /// # Errors
    /// What `change` returns, or the file can't be written.
    pub fn write(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let write = self.0.begin_write()?;
        change(&write)?;
        Ok(write.commit()?)
    }

    /// Begins to read: what is seen does not change meanwhile.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn read(&self) -> Result<ReadTransaction, JournalError> {
        Ok(self.0.begin_read()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows-2");

    #[test]
    fn a_journal_is_its_owners_and_keeps_whole_transactions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        {
            let journal = JournalFile::open(&path, "me", "rows-2", &[]).unwrap();
            let put = |write: &WriteTransaction, key, value: &[u8]| {
                write.open_table(ROWS)?.insert(key, value)?;
                Ok::<_, JournalError>(())
            };
            journal.write(|write| put(write, 1, b"one")).unwrap();
            let failed = journal.write(|write| {
                put(write, 2, b"two")?;
                Err(JournalError::Broken("for a reason".into()))
            });
            assert!(matches!(failed, Err(JournalError::Broken(why)) if why == "for a reason"));
        }
        let other = JournalFile::open(&path, "you", "rows-2", &[]);
        assert!(matches!(other, Err(JournalError::Foreign(known)) if known == "me"));
        let journal = JournalFile::look(&path).unwrap();
        let table = journal.read().unwrap().open_table(ROWS).unwrap();
        let rows: Vec<_> = table.iter().unwrap().map(|row| row.unwrap().0.value()).collect();
        assert_eq!(rows, [1]);
    }

    fn put(
        write: &WriteTransaction,
        table: &str,
        key: u64,
        value: &[u8],
    ) -> Result<(), JournalError> {
        write.open_table(TableDefinition::<u64, &[u8]>::new(table))?.insert(key, value)?;
        Ok(())
    }

    /// Copies every entry, with one byte more.
    fn grow(write: &WriteTransaction, from: &str, to: &str, more: u8) -> Result<(), JournalError> {
        let old = write.open_table(TableDefinition::<u64, &[u8]>::new(from))?;
        for row in old.iter()? {
            let (key, value) = row?;
            put(write, to, key.value(), &[value.value(), &[more]].concat())?;
        }
        Ok(())
    }

    const STEPS: [Step; 2] = [
        Step { from: "rows-1", to: "rows-2", run: |write| grow(write, "rows-1", "rows-2", 2) },
        Step { from: "rows-2", to: "rows-3", run: |write| grow(write, "rows-2", "rows-3", 3) },
    ];

    #[test]
    fn another_versions_journal_is_not_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        drop(JournalFile::open(&path, "me", "rows-1", &[]).unwrap());
        drop(JournalFile::open(&path, "me", "rows-2", &[]).expect("no row was written yet"));
        let journal = JournalFile::open(&path, "me", "rows-2", &[]).unwrap();
        journal.write(|write| put(write, "rows-2", 7, b"x")).unwrap();
        drop(journal);
        for rows in ["rows-1", "rows-3"] {
            let other = JournalFile::open(&path, "me", rows, &[]);
            assert!(
                matches!(other, Err(JournalError::OtherVersion(name)) if name == "rows-2"),
                "{rows}"
            );
        }
        // There is no way back.
        assert!(matches!(
            JournalFile::open(&path, "me", "rows-1", &STEPS),
            Err(JournalError::OtherVersion(_))
        ));
    }

    #[test]
    fn an_older_versions_entries_become_this_ones_step_by_step_or_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = JournalFile::open(&path, "me", "rows-1", &[]).unwrap();
        journal.write(|write| put(write, "rows-1", 7, b"x")).unwrap();
        drop(journal);
        let fails =
            Step { run: |_| Err(JournalError::Broken("a row can't be read".into())), ..STEPS[1] };
        let failed = JournalFile::open(&path, "me", "rows-3", &[STEPS[0], fails]);
        assert!(matches!(failed, Err(JournalError::Broken(_))));
        drop(failed);
        for _ in 0..2 {
            let journal = JournalFile::open(&path, "me", "rows-3", &STEPS).unwrap();
            let read = journal.read().unwrap();
            let tables: Vec<_> =
                read.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
            assert_eq!(tables, ["owner", "rows-3"]);
            let table = read.open_table(TableDefinition::<u64, &[u8]>::new("rows-3")).unwrap();
            let rows: Vec<_> =
                table.iter().unwrap().map(|row| row.unwrap().1.value().to_vec()).collect();
            assert_eq!(rows, [b"x\x02\x03"]);
        }
    }
}
