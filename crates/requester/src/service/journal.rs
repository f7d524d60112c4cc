//! The journal on disk: records in one redb table by number; every batch is atomic and synced.

use std::{path::Path, sync::Arc};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use rialto_protocol::{Address, wire::PeerAddr};

use super::error::RequesterError;
use crate::core::{Record, State};

/// Records of this version. Another version's journal is not read.
const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("requester-records-4");
/// Pages kept in memory, bytes: records are written often and read at the start.
const CACHE_BYTES: usize = 16 << 20;
/// Whose journal it is.
const OWNER: TableDefinition<'_, &str, &str> = TableDefinition::new("owner");
/// Where providers said on chain that they are found, by account: what is heard before the core's cursor is not heard again.
const PEERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("peers");
/// Most of them. Announcing costs gas, so a stranger does not fill it for nothing; then the rest is only heard live.
const MAX_PEERS: u64 = 4096;
/// A journal of more records is replaced by a snapshot when it is opened.
const MAX_RECORDS: u64 = 10_000;

/// The journal. Clones share it. Blocking.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Database>);

fn broken(error: impl Into<redb::Error>) -> RequesterError {
    RequesterError::Journal(error.into().to_string())
}

fn unreadable(error: postcard::Error) -> RequesterError {
    RequesterError::Journal(error.to_string())
}

impl Journal {
    /// Opens the journal of `owner`, or begins it.
    pub fn open(path: &Path, owner: &str) -> Result<Self, RequesterError> {
        let db = Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(broken)?;
        let write = db.begin_write().map_err(broken)?;
        {
            write.open_table(RECORDS).map_err(broken)?;
            write.open_table(PEERS).map_err(broken)?;
            let mut table = write.open_table(OWNER).map_err(broken)?;
            let known = table.get("owner").map_err(broken)?.map(|value| value.value().to_string());
            match known {
                Some(known) if known != owner => return Err(RequesterError::ForeignJournal(known)),
                Some(_) => {}
                None => drop(table.insert("owner", owner).map_err(broken)?),
            }
        }
        write.commit().map_err(broken)?;
        Ok(Self(Arc::new(db)))
    }

    /// Writes all of it, or nothing.
    pub fn append(&self, records: &[Record]) -> Result<(), RequesterError> {
        let write = self.0.begin_write().map_err(broken)?;
        {
            let mut table = write.open_table(RECORDS).map_err(broken)?;
            let next = table.last().map_err(broken)?.map_or(0, |(number, _)| number.value() + 1);
            for (number, record) in (next..).zip(records) {
                let bytes = postcard::to_stdvec(record).map_err(unreadable)?;
                table.insert(number, bytes.as_slice()).map_err(broken)?;
            }
        }
        write.commit().map_err(broken)
    }

    /// Every record, in order. A long journal becomes a snapshot first.
    pub fn load(&self) -> Result<Vec<Record>, RequesterError> {
        let records = self.read()?;
        if records.len() as u64 <= MAX_RECORDS {
            return Ok(records);
        }
        let snapshot = Record::Snapshot(Box::new(State::replay(&records)));
        let bytes = postcard::to_stdvec(&snapshot).map_err(unreadable)?;
        let write = self.0.begin_write().map_err(broken)?;
        {
            let mut table = write.open_table(RECORDS).map_err(broken)?;
            table.retain(|_, _| false).map_err(broken)?;
            table.insert(0, bytes.as_slice()).map_err(broken)?;
        }
        write.commit().map_err(broken)?;
        Ok(vec![snapshot])
    }

    /// Keeps where providers are found.
    pub fn keep_peers(&self, peers: &[(Address, PeerAddr)]) -> Result<(), RequesterError> {
        let write = self.0.begin_write().map_err(broken)?;
        {
            let mut table = write.open_table(PEERS).map_err(broken)?;
            for (provider, peer) in peers {
                let known = table.get(provider.as_slice()).map_err(broken)?.is_some();
                if known || table.len().map_err(broken)? < MAX_PEERS {
                    let bytes = postcard::to_stdvec(peer).map_err(unreadable)?;
                    table.insert(provider.as_slice(), bytes.as_slice()).map_err(broken)?;
                }
            }
        }
        write.commit().map_err(broken)
    }

    /// Where providers said they are found.
    pub fn peers(&self) -> Result<Vec<PeerAddr>, RequesterError> {
        let read = self.0.begin_read().map_err(broken)?;
        let table = read.open_table(PEERS).map_err(broken)?;
        let mut peers = Vec::new();
        for row in table.iter().map_err(broken)? {
            peers.push(postcard::from_bytes(row.map_err(broken)?.1.value()).map_err(unreadable)?);
        }
        Ok(peers)
    }

    fn read(&self) -> Result<Vec<Record>, RequesterError> {
        let read = self.0.begin_read().map_err(broken)?;
        let table = read.open_table(RECORDS).map_err(broken)?;
        let mut records = Vec::with_capacity(table.len().map_err(broken)? as usize);
        for row in table.iter().map_err(broken)? {
            let (_, value) = row.map_err(broken)?;
            records.push(postcard::from_bytes(value.value()).map_err(unreadable)?);
        }
        Ok(records)
    }
}

/// Runs disk work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RequesterError> + Send + 'static,
) -> Result<T, RequesterError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(RequesterError::Journal(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::JobId;

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
        assert!(matches!(Journal::open(&path, "you"), Err(RequesterError::ForeignJournal(known)) if known == "me"));
        let journal = Journal::open(&path, "me").unwrap();
        assert_eq!(journal.load().unwrap(), [forgotten(1), forgotten(2), forgotten(3)]);
        journal.append(&vec![forgotten(4); MAX_RECORDS as usize]).unwrap();
        assert_eq!(journal.load().unwrap(), [Record::Snapshot(Box::default())]);
        journal.append(&[forgotten(5)]).unwrap();
        assert_eq!(journal.load().unwrap(), [Record::Snapshot(Box::default()), forgotten(5)]);
    }
}
