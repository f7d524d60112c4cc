//! The journal on disk: one redb table, the newest value of a key counts, every batch is atomic and
//! synced.

use std::{path::Path, sync::Weak};

use redb::{Database, TableDefinition, TableHandle};
use rialto_party::{JournalError, JournalFile, Step};

use super::error::ProviderError;
use crate::core::{OrderRow, Record, Results, journal::Key};
use rialto_protocol::OrderId;

/// Rows of this version.
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("provider-rows-2");

/// From older versions to this one; the first that was released is 2. A change of [`Record`] that
/// its fixture (`tests/journals/`) does not survive takes a new version, and a step to it.
const STEPS: &[Step] = &[];

/// The journal. Clones share it. Blocking.
#[derive(Clone)]
pub(crate) struct Journal(JournalFile);

fn broken(error: impl Into<JournalError>) -> ProviderError {
    error.into().into()
}

impl Journal {
    /// Tells whether anybody still has the journal open.
    pub fn watch(&self) -> Weak<Database> {
        self.0.watch()
    }

    /// Opens the journal of `owner`, or begins it.
    pub fn open(path: &Path, owner: &str) -> Result<Self, ProviderError> {
        let file = JournalFile::open(path, owner, ROWS.name(), STEPS)?;
        file.write(|write| {
            write.open_table(ROWS)?;
            Ok(())
        })?;
        Ok(Self(file))
    }

    /// A journal that nobody has open.
    pub fn look(path: &Path) -> Result<Self, ProviderError> {
        Ok(Self(JournalFile::look(path)?))
    }

    /// Writes all of it, or nothing.
    pub fn append(&self, records: &[Record]) -> Result<(), ProviderError> {
        self.0.write(|write| {
            let mut table = write.open_table(ROWS)?;
            for (key, value) in records.iter().flat_map(Record::writes) {
                match value {
                    Some(value) => drop(table.insert(key.as_bytes(), value.as_slice())?),
                    None => drop(table.remove(key.as_bytes())?),
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Every row that a core is restored from.
    pub fn load(&self) -> Result<Vec<Record>, ProviderError> {
        let read = self.0.read()?;
        let table = read.open_table(ROWS).map_err(broken)?;
        let end = Key::bulk();
        let rows = table.range::<&[u8]>(..end.as_bytes()).map_err(broken)?;
        rows.map(|row| {
            let (_, value) = row.map_err(broken)?;
            Record::read(value.value()).map_err(|error| ProviderError::Journal(error.to_string()))
        })
        .collect()
    }

    /// An order, if it is kept.
    pub fn order(&self, order: OrderId) -> Result<Option<OrderRow>, ProviderError> {
        match self.get(&Key::order(order))? {
            Some(Record::Order(_, row)) => Ok(Some(*row)),
            _ => Ok(None),
        }
    }

    /// An order's inputs, as they came.
    pub fn inputs(&self, order: OrderId) -> Result<rialto_protocol::wire::Payload, ProviderError> {
        match self.get(&Key::inputs(order))? {
            Some(Record::Inputs(_, payload)) => Ok(payload),
            _ => Err(ProviderError::Journal(format!("no inputs of order {order}"))),
        }
    }

    /// An order's results.
    pub fn results(&self, order: OrderId) -> Result<Results, ProviderError> {
        match self.get(&Key::results(order))? {
            Some(Record::Results(_, results)) => Ok(results),
            _ => Err(ProviderError::Journal(format!("no results of order {order}"))),
        }
    }

    fn get(&self, key: &Key) -> Result<Option<Record>, ProviderError> {
        let read = self.0.read()?;
        let table = read.open_table(ROWS).map_err(broken)?;
        let Some(value) = table.get(key.as_bytes()).map_err(broken)? else { return Ok(None) };
        Record::read(value.value())
            .map(Some)
            .map_err(|error| ProviderError::Journal(error.to_string()))
    }
}

/// Runs disk work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ProviderError::Journal(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::MarketRow;
    use rialto_protocol::wire::Payload;

    #[test]
    fn keeps_the_newest_and_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let order = OrderId::repeat_byte(1);
        let row = |cursor| Record::Market(Box::new(MarketRow { cursor, ..MarketRow::default() }));
        let inputs = Payload::Inline(b"x".as_slice().into());
        {
            let journal = Journal::open(&path, "me").unwrap();
            journal.append(&[row(1), Record::Inputs(order, inputs.clone())]).unwrap();
            journal.append(&[row(2)]).unwrap();
        }
        assert!(
            matches!(Journal::open(&path, "you"), Err(ProviderError::ForeignJournal(known)) if known == "me")
        );
        let journal = Journal::open(&path, "me").unwrap();
        assert_eq!(journal.load().unwrap(), [row(2)]);
        assert_eq!(journal.inputs(order).unwrap(), inputs);
        journal.append(&[Record::ForgetOrder(order)]).unwrap();
        assert!(journal.inputs(order).is_err());
    }

    #[test]
    fn another_versions_journal_is_not_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        {
            let db = Database::create(&path).unwrap();
            let write = db.begin_write().unwrap();
            write.open_table::<&[u8], &[u8]>(TableDefinition::new("provider-rows-1")).unwrap();
            write.commit().unwrap();
        }
        assert!(
            matches!(Journal::open(&path, "me"), Err(ProviderError::OtherVersion(name)) if name == "provider-rows-1")
        );
    }
}
