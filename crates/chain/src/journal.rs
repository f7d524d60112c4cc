//! Journal of a key's sender: every intent with its nonce and its signed transactions, written
//! before they are broadcast, and its outcome when it is final.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::SendError;

/// Finished intents that are kept, so that a repeated intent finds its outcome. The oldest are
/// removed first.
const KEEP_FINISHED: usize = 4096;
/// Page cache, bytes.
const CACHE_BYTES: usize = 4 << 20;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const INTENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("intents");
const OWNER: &str = "owner";

/// Key and chain that a journal belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) account: Address,
    pub(crate) chain_id: u64,
    /// Hash of block 0, which distinguishes a devchain from an earlier one with the same id.
    pub(crate) genesis: B256,
}

/// One contract call or creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RawCall {
    /// Called contract; `None` creates a contract.
    pub(crate) to: Option<Address>,
    pub(crate) data: Bytes,
    pub(crate) value: U256,
}

/// One signed transaction for an intent. Attempts with the same nonce replace each other, so at
/// most one of them is mined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) tx: B256,
    /// Signed transaction, as it is broadcast.
    pub(crate) raw: Bytes,
    /// Highest fee, wei per gas.
    pub(crate) max_fee: u128,
    /// Highest tip, wei per gas.
    pub(crate) tip: u128,
}

/// A mined, successful transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mined {
    /// Transaction hash.
    pub tx: B256,
    /// Block that contains it.
    pub block: u64,
    /// Gas used.
    pub gas_used: u64,
    /// Fee, wei.
    pub fee_wei: u128,
    /// Created contract, if the transaction created one.
    pub created: Option<Address>,
    /// Logs of every contract, in order.
    pub logs: Vec<alloy_primitives::Log>,
}

/// Outcome of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Mined(Mined),
    Reverted { tx: B256, block: u64, data: Option<Bytes> },
}

/// Record of one intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Order of acceptance.
    pub(crate) seq: u64,
    pub(crate) call: RawCall,
    pub(crate) gas_limit: u64,
    pub(crate) nonce: u64,
    /// Newest block when the nonce was chosen. No block up to it has used the nonce.
    pub(crate) after_block: u64,
    /// Attempts, at least one. The last one is rebroadcast.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) outcome: Option<Outcome>,
}

impl Record {
    /// Returns the newest attempt, which replaces all earlier ones.
    pub(crate) fn last(&self) -> &Attempt {
        self.attempts.last().expect("a record is created with its first attempt")
    }
}

/// The journal of one key. It can be opened only once at a time, so a key has only one sender.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Open>);

/// Fields are dropped in this order, so a watcher of `closed` is notified when the file is free
/// again.
struct Open {
    db: Database,
    closed: watch::Sender<()>,
}

impl Journal {
    /// Opens or creates the journal at `path`; without one, keeps it in memory.
    pub(crate) async fn open(path: Option<&Path>, owner: Owner) -> Result<Journal, SendError> {
        let path = path.map(Path::to_path_buf);
        blocking(move || {
            let db = match path {
                Some(path) => Database::builder().set_cache_size(CACHE_BYTES).create(path),
                None => {
                    Database::builder().create_with_backend(redb::backends::InMemoryBackend::new())
                }
            };
            let journal =
                Journal(Arc::new(Open { db: db.map_err(broken)?, closed: watch::Sender::new(()) }));
            journal.claim(&owner)?;
            Ok(journal)
        })
        .await
    }

    /// Returns a receiver that fails when the journal is closed and its file is free.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.0.closed.subscribe()
    }

    fn claim(&self, owner: &Owner) -> Result<(), SendError> {
        let write = self.0.db.begin_write().map_err(broken)?;
        {
            write.open_table(INTENTS).map_err(broken)?;
            let mut meta = write.open_table(META).map_err(broken)?;
            let found = meta
                .get(OWNER)
                .map_err(broken)?
                .map(|bytes| decode::<Owner>(bytes.value()))
                .transpose()?;
            match found {
                Some(found) if found != *owner => {
                    return Err(SendError::ForeignJournal(format!(
                        "{} on chain {} (genesis {})",
                        found.account, found.chain_id, found.genesis
                    )));
                }
                Some(_) => {}
                None => {
                    meta.insert(OWNER, encode(owner)?.as_slice()).map_err(broken)?;
                }
            }
        }
        write.commit().map_err(broken)
    }

    /// Returns all intents, in order of acceptance.
    pub(crate) async fn all(&self) -> Result<Vec<(String, Record)>, SendError> {
        let open = self.0.clone();
        blocking(move || {
            let read = open.db.begin_read().map_err(broken)?;
            let table = read.open_table(INTENTS).map_err(broken)?;
            let mut all = Vec::new();
            for row in table.iter().map_err(broken)? {
                let (intent, bytes) = row.map_err(broken)?;
                all.push((intent.value().to_owned(), decode::<Record>(bytes.value())?));
            }
            all.sort_by_key(|(_, record)| record.seq);
            Ok(all)
        })
        .await
    }

    /// Returns the record of an intent.
    pub(crate) async fn get(&self, intent: &str) -> Result<Option<Record>, SendError> {
        let (open, intent) = (self.0.clone(), intent.to_owned());
        blocking(move || {
            let read = open.db.begin_read().map_err(broken)?;
            let table = read.open_table(INTENTS).map_err(broken)?;
            let row = table.get(intent.as_str()).map_err(broken)?;
            row.map(|bytes| decode(bytes.value())).transpose()
        })
        .await
    }

    /// Writes a record, which is durable when this returns.
    pub(crate) async fn put(&self, intent: &str, record: &Record) -> Result<(), SendError> {
        let (open, intent, bytes) = (self.0.clone(), intent.to_owned(), encode(record)?);
        blocking(move || {
            let write = open.db.begin_write().map_err(broken)?;
            write
                .open_table(INTENTS)
                .map_err(broken)?
                .insert(intent.as_str(), bytes.as_slice())
                .map_err(broken)?;
            write.commit().map_err(broken)
        })
        .await
    }

    /// Removes the oldest finished intents beyond the limit.
    pub(crate) async fn prune(&self) -> Result<(), SendError> {
        let mut finished = self.all().await?;
        finished.retain(|(_, record)| record.outcome.is_some());
        let Some(excess) = finished.len().checked_sub(KEEP_FINISHED).filter(|n| *n > 0) else {
            return Ok(());
        };
        let open = self.0.clone();
        blocking(move || {
            let write = open.db.begin_write().map_err(broken)?;
            {
                let mut table = write.open_table(INTENTS).map_err(broken)?;
                for (intent, _) in finished.iter().take(excess) {
                    table.remove(intent.as_str()).map_err(broken)?;
                }
            }
            write.commit().map_err(broken)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SendError> + Send + 'static,
) -> Result<T, SendError> {
    tokio::task::spawn_blocking(work).await.map_err(broken)?
}

fn broken(error: impl std::fmt::Display) -> SendError {
    SendError::Journal(error.to_string())
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, SendError> {
    postcard::to_stdvec(value).map_err(broken)
}

fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, SendError> {
    postcard::from_bytes(bytes).map_err(broken)
}
