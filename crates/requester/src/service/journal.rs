//! The journal on disk: records in one redb table by number; every batch is atomic and synced.

use std::path::Path;

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle};
use rialto_party::{JournalError, JournalFile, Step};
use rialto_protocol::{Address, wire::PeerAddr};

use super::error::RequesterError;
use crate::core::{Record, State};

/// Records of this version.
const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("requester-records-4");
/// From older versions to this one; the first that was released is 4. A change of [`Record`] that
/// its fixture (`tests/journals/`) does not survive takes a new version, and a step to it.
const STEPS: &[Step] = &[];
/// Where providers said on chain that they are found, by account: what is heard before the core's
/// cursor is not heard again.
const PEERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("peers");
/// Most of them. Announcing costs gas, so a stranger does not fill it for nothing; then the rest is
/// only heard live.
const MAX_PEERS: u64 = 4096;
/// A journal of more records is replaced by a snapshot when it is opened.
const MAX_RECORDS: u64 = 10_000;

/// The journal. Clones share it. Blocking.
#[derive(Clone)]
pub(crate) struct Journal(JournalFile);

fn unreadable(error: postcard::Error) -> JournalError {
    JournalError::Broken(error.to_string())
}

impl Journal {
    /// Opens the journal of `owner`, or begins it.
    pub fn open(path: &Path, owner: &str) -> Result<Self, RequesterError> {
        let file = JournalFile::open(path, owner, RECORDS.name(), STEPS)?;
        file.write(|write| {
            write.open_table(RECORDS)?;
            write.open_table(PEERS)?;
            Ok(())
        })?;
        Ok(Self(file))
    }

    /// Writes all of it, or nothing.
    pub fn append(&self, records: &[Record]) -> Result<(), RequesterError> {
        self.0.write(|write| {
            let mut table = write.open_table(RECORDS)?;
            let next = table.last()?.map_or(0, |(number, _)| number.value() + 1);
            for (number, record) in (next..).zip(records) {
                let bytes = postcard::to_stdvec(record).map_err(unreadable)?;
                table.insert(number, bytes.as_slice())?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Every record, in order. A long journal becomes a snapshot first.
    pub fn load(&self) -> Result<Vec<Record>, RequesterError> {
        let records = self.read()?;
        if records.len() as u64 <= MAX_RECORDS {
            return Ok(records);
        }
        let snapshot = Record::Snapshot(Box::new(State::replay(&records)));
        let bytes = postcard::to_stdvec(&snapshot).map_err(unreadable)?;
        self.0.write(|write| {
            let mut table = write.open_table(RECORDS)?;
            table.retain(|_, _| false)?;
            table.insert(0, bytes.as_slice())?;
            Ok(())
        })?;
        Ok(vec![snapshot])
    }

    /// Keeps where providers are found.
    pub fn keep_peers(&self, peers: &[(Address, PeerAddr)]) -> Result<(), RequesterError> {
        self.0.write(|write| {
            let mut table = write.open_table(PEERS)?;
            for (provider, peer) in peers {
                let known = table.get(provider.as_slice())?.is_some();
                if known || table.len()? < MAX_PEERS {
                    let bytes = postcard::to_stdvec(peer).map_err(unreadable)?;
                    table.insert(provider.as_slice(), bytes.as_slice())?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Where providers said they are found.
    pub fn peers(&self) -> Result<Vec<PeerAddr>, RequesterError> {
        let read = || {
            let table = self.0.read()?.open_table(PEERS)?;
            let mut peers = Vec::new();
            for row in table.iter()? {
                peers.push(postcard::from_bytes(row?.1.value()).map_err(unreadable)?);
            }
            Ok::<_, JournalError>(peers)
        };
        Ok(read()?)
    }

    fn read(&self) -> Result<Vec<Record>, RequesterError> {
        let read = || {
            let table = self.0.read()?.open_table(RECORDS)?;
            let mut records = Vec::with_capacity(table.len()? as usize);
            for row in table.iter()? {
                records.push(postcard::from_bytes(row?.1.value()).map_err(unreadable)?);
            }
            Ok::<_, JournalError>(records)
        };
        Ok(read()?)
    }
}

/// Runs disk work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RequesterError> + Send + 'static,
) -> Result<T, RequesterError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(RequesterError::Journal(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{JobId, tests::records};

    #[test]
    fn a_journal_of_version_4_keeps_its_open_deals() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        {
            let db = redb::Database::create(&path).unwrap();
            let write = db.begin_write().unwrap();
            let mut table = write
                .open_table(TableDefinition::<u64, &[u8]>::new("requester-records-4"))
                .unwrap();
            for (number, row) in (0..).zip(records::rows(records::VERSION_4)) {
                table.insert(number, row.as_slice()).unwrap();
            }
            drop(table);
            write.commit().unwrap();
        }
        let state = State::replay(&Journal::open(&path, "me").unwrap().load().unwrap());
        assert!(state.deals.values().any(|deal| deal.closed.is_none()));
    }

    #[test]
    fn keeps_order_owner_and_stays_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let forgotten = |id| Record::Forgotten { job: JobId(id) };
        {
            let journal = Journal::open(&path, "me").unwrap();
            journal.append(&[forgotten(1), forgotten(2)]).unwrap();
            journal.append(&[forgotten(3)]).unwrap();
        }
        assert!(
            matches!(Journal::open(&path, "you"), Err(RequesterError::ForeignJournal(known)) if known == "me")
        );
        let journal = Journal::open(&path, "me").unwrap();
        assert_eq!(journal.load().unwrap(), [forgotten(1), forgotten(2), forgotten(3)]);
        journal.append(&vec![forgotten(4); MAX_RECORDS as usize]).unwrap();
        assert_eq!(journal.load().unwrap(), [Record::Snapshot(Box::default())]);
        journal.append(&[forgotten(5)]).unwrap();
        assert_eq!(journal.load().unwrap(), [Record::Snapshot(Box::default()), forgotten(5)]);
    }
}
