//! Rows as keys and bytes, for any store that keeps the newest value of a key.

use alloy_primitives::B256;

use super::record::Record;
use rialto_protocol::{AskId, DealId, OrderId};

/// A row's key: its kind, then what names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

/// Keys below this hold the rows a core is restored from; above are inputs and results.
const FIRST_BULK_KIND: u8 = 4;

impl Key {
    fn new(kind: u8, name: impl Into<B256>) -> Self {
        let (name, mut bytes): (B256, _) = (name.into(), vec![kind]);
        bytes.extend_from_slice(name.as_slice());
        Self(bytes)
    }

    /// Kind 0 holds what there is one of: the provider's row, and its books under names that no
    /// hash could take.
    fn day(day: u32) -> Self {
        Self::new(0, B256::left_padding_from(&(u64::from(day) + (1 << 32)).to_be_bytes()))
    }

    fn refusals() -> Self {
        Self::new(0, B256::with_last_byte(1))
    }

    fn deal(id: DealId) -> Self {
        Self::new(1, id)
    }

    /// Where an order is.
    pub fn order(hash: OrderId) -> Self {
        Self::new(2, hash)
    }

    fn ask(hash: AskId) -> Self {
        Self::new(3, hash)
    }

    /// Where an order's inputs are.
    pub fn inputs(order: OrderId) -> Self {
        Self::new(FIRST_BULK_KIND, order)
    }

    /// Where an order's results are.
    pub fn results(order: OrderId) -> Self {
        Self::new(FIRST_BULK_KIND + 1, order)
    }

    /// First key that [`Core::restore`](super::Core::restore) doesn't need.
    pub fn bulk() -> Self {
        Self(vec![FIRST_BULK_KIND])
    }

    /// As bytes; ordered like the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A row's value cannot be read: another version's journal, or a damaged one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("[P-JRN-001] a row of the journal cannot be read: {0}")]
pub struct Unreadable(String);

impl Record {
    /// What to write: keys with their new values, or none to delete.
    pub fn writes(&self) -> Vec<(Key, Option<Vec<u8>>)> {
        let value = || {
            Some(
                postcard::to_stdvec(self)
                    .expect("rows are plain data; writing to memory cannot fail"),
            )
        };
        match self {
            Self::Market(_) => vec![(Key::new(0, B256::ZERO), value())],
            Self::Ask(hash, _) => vec![(Key::ask(*hash), value())],
            Self::ForgetAsk(hash) => vec![(Key::ask(*hash), None)],
            Self::Deal(id, _) => vec![(Key::deal(*id), value())],
            Self::Order(hash, _) => vec![(Key::order(*hash), value())],
            Self::Inputs(hash, _) => vec![(Key::inputs(*hash), value())],
            Self::Results(hash, _) => vec![(Key::results(*hash), value())],
            Self::Day(day, _) => vec![(Key::day(*day), value())],
            Self::ForgetDay(day) => vec![(Key::day(*day), None)],
            Self::Refusals(_) => vec![(Key::refusals(), value())],
            Self::ForgetDeal(id) => vec![(Key::deal(*id), None)],
            Self::ForgetOrder(hash) => {
                vec![
                    (Key::order(*hash), None),
                    (Key::inputs(*hash), None),
                    (Key::results(*hash), None),
                ]
            }
        }
    }

    /// Reads a value back.
    pub fn read(value: &[u8]) -> Result<Self, Unreadable> {
        postcard::from_bytes(value).map_err(|error| Unreadable(error.to_string()))
    }
}
