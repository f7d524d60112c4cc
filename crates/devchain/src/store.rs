//! The chain's data: one redb database, in a file or in memory, written one block at a time.
//!
//! The state is a flat map from key to value (see [`crate::state`]). Every change appends one
//! record of prior values to the journal. Reorgs and snapshots apply these records, newest first,
//! and calls at old blocks read them.

use std::path::Path;

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use redb::{
    Database, Key, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, Value,
    WriteTransaction, backends::InMemoryBackend,
};

use crate::{
    block::{Head, Included},
    error::Error,
    state::{Changes, Entry},
};

/// Version of the layout below. A folder of another version is refused.
const FORMAT: u64 = 1;
/// Number of journal records that are kept. It bounds how far back calls, snapshots and reorgs
/// reach. A record has about 1 KB. Unit tests use a small bound, to reach it.
pub(crate) const MAX_JOURNAL_RECORDS: u64 = if cfg!(test) { 64 } else { 16_384 };
/// Name of the database in the data folder.
const FILE_NAME: &str = "devchain.redb";
/// Page cache, bytes.
const CACHE_BYTES: usize = 32 << 20;

const META: TableDefinition<u64, &[u8]> = TableDefinition::new("meta");
const HEADS: TableDefinition<u64, &[u8]> = TableDefinition::new("heads");
const BODIES: TableDefinition<u64, &[u8]> = TableDefinition::new("bodies");
const NUMBERS: TableDefinition<&[u8; 32], u64> = TableDefinition::new("numbers");
const TRANSACTIONS: TableDefinition<&[u8; 32], (u64, u64)> = TableDefinition::new("transactions");
const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
const CODE: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("code");
const JOURNAL: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");

/// The only row of the meta table.
const META_ROW: u64 = 0;

/// Persistent counters.
#[derive(Clone, Debug, RlpEncodable, RlpDecodable)]
pub(crate) struct Meta {
    format: u64,
    pub chain_id: u64,
    /// Number of the newest block.
    pub head: u64,
    /// Journal records are numbered `journal_start..journal_end`.
    pub journal_start: u64,
    pub journal_end: u64,
    /// Number of times that the chain went back. It is part of every block's randomness, so that a
    /// new block never has the hash of the block that it replaces.
    pub forks: u64,
    /// Seconds between the clock and block time (two's complement).
    pub time_offset: u64,
}

impl Meta {
    pub fn new(chain_id: u64) -> Self {
        Self {
            format: FORMAT,
            chain_id,
            head: 0,
            journal_start: 0,
            journal_end: 0,
            forks: 0,
            time_offset: 0,
        }
    }
}

pub(crate) struct Store {
    db: Database,
}

impl Store {
    /// Opens the database in `folder` (created if missing), or one in memory.
    pub fn open(folder: Option<&Path>) -> Result<Self, Error> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let db = match folder {
            None => builder.create_with_backend(InMemoryBackend::new())?,
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(|source| Error::Io {
                    what: "the chain's data folder cannot be made",
                    source,
                })?;
                builder.create(folder.join(FILE_NAME))?
            }
        };
        let txn = db.begin_write()?;
        txn.open_table(META)?;
        txn.open_table(HEADS)?;
        txn.open_table(BODIES)?;
        txn.open_table(NUMBERS)?;
        txn.open_table(TRANSACTIONS)?;
        txn.open_table(STATE)?;
        txn.open_table(CODE)?;
        txn.open_table(JOURNAL)?;
        txn.commit()?;
        Ok(Self { db })
    }

    /// Returns the counters; `None` if the database is new.
    pub fn meta(&self, chain_id: u64) -> Result<Option<Meta>, Error> {
        let table = self.db.begin_read()?.open_table(META)?;
        let Some(meta) = read::<_, Meta>(&table, META_ROW, "meta")? else { return Ok(None) };
        if meta.format != FORMAT {
            return Err(Error::OtherFormat { found: meta.format, wanted: FORMAT });
        }
        if meta.chain_id != chain_id {
            return Err(Error::OtherChain { found: meta.chain_id, wanted: chain_id });
        }
        Ok(Some(meta))
    }

    /// Returns a consistent view of all data.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        let txn = self.db.begin_read()?;
        Ok(Snapshot {
            heads: txn.open_table(HEADS)?,
            bodies: txn.open_table(BODIES)?,
            numbers: txn.open_table(NUMBERS)?,
            transactions: txn.open_table(TRANSACTIONS)?,
            state: txn.open_table(STATE)?,
            code: txn.open_table(CODE)?,
            journal: txn.open_table(JOURNAL)?,
        })
    }

    /// Stores the counters.
    pub fn put_meta(&self, meta: &Meta) -> Result<(), Error> {
        let txn = self.db.begin_write()?;
        write_meta(&txn, meta)?;
        Ok(txn.commit()?)
    }

    /// Applies changes of the state outside of any block. Updates the journal's end in `meta`.
    pub fn put_changes(&self, changes: &Changes, meta: &mut Meta) -> Result<(), Error> {
        let txn = self.db.begin_write()?;
        let mut next = meta.clone();
        write_changes(&txn, changes, &mut next)?;
        write_meta(&txn, &next)?;
        txn.commit()?;
        *meta = next;
        Ok(())
    }

    /// Appends one block, in one transaction. Updates head and journal in `meta`.
    pub fn put_block(
        &self,
        head: &mut Head,
        body: &Vec<Included>,
        changes: &Changes,
        meta: &mut Meta,
    ) -> Result<(), Error> {
        let txn = self.db.begin_write()?;
        let mut next = meta.clone();
        write_changes(&txn, changes, &mut next)?;
        head.journal_end = next.journal_end;
        next.head = head.header.number;
        {
            txn.open_table(HEADS)?.insert(next.head, alloy_rlp::encode(&*head).as_slice())?;
            txn.open_table(BODIES)?.insert(next.head, alloy_rlp::encode(body).as_slice())?;
            txn.open_table(NUMBERS)?.insert(&head.hash.0, next.head)?;
            let mut index = txn.open_table(TRANSACTIONS)?;
            for (position, included) in body.iter().enumerate() {
                index.insert(&included.transaction.tx_hash().0, (next.head, position as u64))?;
            }
        }
        write_meta(&txn, &next)?;
        txn.commit()?;
        *meta = next;
        Ok(())
    }

    /// Removes every block above `head` and every change of the state after journal record
    /// `journal_end`, in one transaction. Updates `meta`.
    pub fn roll_back(&self, head: u64, journal_end: u64, meta: &mut Meta) -> Result<(), Error> {
        assert!(journal_end >= meta.journal_start, "the journal reaches back that far");
        let txn = self.db.begin_write()?;
        {
            let mut journal = txn.open_table(JOURNAL)?;
            let mut state = txn.open_table(STATE)?;
            for record in (journal_end..meta.journal_end).rev() {
                let removed = journal.remove(record)?.ok_or(Error::Damaged { what: "journal" })?;
                for prior in decode::<Vec<Entry>>(removed.value(), "journal")? {
                    put(&mut state, &prior)?;
                }
            }
            let mut heads = txn.open_table(HEADS)?;
            let mut bodies = txn.open_table(BODIES)?;
            let mut numbers = txn.open_table(NUMBERS)?;
            let mut transactions = txn.open_table(TRANSACTIONS)?;
            for number in head + 1..=meta.head {
                let gone = heads.remove(number)?.ok_or(Error::Damaged { what: "block" })?;
                numbers.remove(&decode::<Head>(gone.value(), "block")?.hash.0)?;
                let gone = bodies.remove(number)?.ok_or(Error::Damaged { what: "block" })?;
                for included in decode::<Vec<Included>>(gone.value(), "block")? {
                    transactions.remove(&included.transaction.tx_hash().0)?;
                }
            }
        }
        let mut next = meta.clone();
        (next.head, next.journal_end, next.forks) = (head, journal_end, meta.forks + 1);
        write_meta(&txn, &next)?;
        txn.commit()?;
        *meta = next;
        Ok(())
    }
}

/// A consistent view of the store. It is cheap to create and never blocks a writer.
pub(crate) struct Snapshot {
    heads: ReadOnlyTable<u64, &'static [u8]>,
    bodies: ReadOnlyTable<u64, &'static [u8]>,
    numbers: ReadOnlyTable<&'static [u8; 32], u64>,
    transactions: ReadOnlyTable<&'static [u8; 32], (u64, u64)>,
    state: ReadOnlyTable<&'static [u8], &'static [u8]>,
    code: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    journal: ReadOnlyTable<u64, &'static [u8]>,
}

impl Snapshot {
    pub fn head(&self, number: u64) -> Result<Option<Head>, Error> {
        read(&self.heads, number, "block")
    }

    pub fn body(&self, number: u64) -> Result<Vec<Included>, Error> {
        read(&self.bodies, number, "block")?.ok_or(Error::Damaged { what: "block" })
    }

    /// Returns the number of the block with this hash.
    pub fn number(&self, hash: &B256) -> Result<Option<u64>, Error> {
        Ok(self.numbers.get(&hash.0)?.map(|found| found.value()))
    }

    /// Returns block and position of the transaction with this hash.
    pub fn position(&self, hash: &B256) -> Result<Option<(u64, u64)>, Error> {
        Ok(self.transactions.get(&hash.0)?.map(|found| found.value()))
    }

    /// Returns the newest value of `key`; empty if there is none.
    pub fn state(&self, key: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.state.get(key)?.map(|found| found.value().to_vec()).unwrap_or_default())
    }

    pub fn code(&self, hash: &B256) -> Result<Bytes, Error> {
        let found = self.code.get(&hash.0)?.ok_or(Error::Damaged { what: "code" })?;
        Ok(Bytes::copy_from_slice(found.value()))
    }

    pub fn has_code(&self, hash: &B256) -> Result<bool, Error> {
        Ok(self.code.get(&hash.0)?.is_some())
    }

    /// Returns the values that journal record `record` replaced.
    pub fn priors(&self, record: u64) -> Result<Vec<Entry>, Error> {
        read(&self.journal, record, "journal")?.ok_or(Error::Damaged { what: "journal" })
    }
}

fn write_meta(txn: &WriteTransaction, meta: &Meta) -> Result<(), Error> {
    txn.open_table(META)?.insert(META_ROW, alloy_rlp::encode(meta).as_slice())?;
    Ok(())
}

fn write_changes(txn: &WriteTransaction, changes: &Changes, meta: &mut Meta) -> Result<(), Error> {
    if !changes.code.is_empty() {
        let mut table = txn.open_table(CODE)?;
        for (hash, code) in &changes.code {
            table.insert(&hash.0, code.as_ref())?;
        }
    }
    let mut state = txn.open_table(STATE)?;
    for entry in &changes.writes {
        put(&mut state, entry)?;
    }
    let mut journal = txn.open_table(JOURNAL)?;
    journal.insert(meta.journal_end, alloy_rlp::encode(&changes.priors).as_slice())?;
    meta.journal_end += 1;
    while meta.journal_end - meta.journal_start > MAX_JOURNAL_RECORDS {
        journal.remove(meta.journal_start)?;
        meta.journal_start += 1;
    }
    Ok(())
}

fn put(
    state: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    entry: &Entry,
) -> Result<(), Error> {
    if entry.value.is_empty() {
        state.remove(entry.key.as_ref())?;
    } else {
        state.insert(entry.key.as_ref(), entry.value.as_ref())?;
    }
    Ok(())
}

fn read<K, T>(
    table: &impl ReadableTable<K, &'static [u8]>,
    key: u64,
    what: &'static str,
) -> Result<Option<T>, Error>
where
    K: Key + for<'a> Value<SelfType<'a> = u64> + 'static,
    T: Decodable,
{
    table.get(key)?.map(|found| decode(found.value(), what)).transpose()
}

fn decode<T: Decodable>(mut bytes: &[u8], what: &'static str) -> Result<T, Error> {
    T::decode(&mut bytes).map_err(|_| Error::Damaged { what })
}

/// Encodes a value with the codec that the store decodes with.
pub(crate) fn encoded(value: &impl Encodable) -> Bytes {
    alloy_rlp::encode(value).into()
}
