//! Ids of asks, deals, orders, receipts and disputes. Each is a struct hash, and each has a type of
//! its own, so that the compiler rejects one id in place of another.

use std::{fmt, str::FromStr};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => { $(
        $(#[$doc])*
        ///
        /// It is printed, stored and sent as a plain hash.
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(B256);

        impl $name {
            /// The zero hash, for "none".
            pub const ZERO: Self = Self(B256::ZERO);

            /// Returns whether it is [`Self::ZERO`].
            pub fn is_zero(&self) -> bool {
                self.0.is_zero()
            }

            /// Returns an id of 32 equal bytes, for tests.
            pub const fn repeat_byte(byte: u8) -> Self {
                Self(B256::repeat_byte(byte))
            }

            /// Returns an id of zero bytes and this last byte, for tests.
            pub const fn with_last_byte(byte: u8) -> Self {
                Self(B256::with_last_byte(byte))
            }

            /// Returns its 32 bytes.
            pub fn as_slice(&self) -> &[u8] {
                self.0.as_slice()
            }
        }

        impl From<B256> for $name {
            fn from(hash: B256) -> Self {
                Self(hash)
            }
        }

        impl From<$name> for B256 {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = <B256 as FromStr>::Err;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )* };
}

ids! {
    /// Id of an ask: its struct hash.
    AskId,
    /// Id of a deal: the struct hash of its terms.
    DealId,
    /// Id of an order: its struct hash.
    OrderId,
    /// Id of a receipt: its struct hash.
    ReceiptId,
    /// Id of a dispute in a court: the struct hash of its [`Game`](crate::types::Game).
    GameId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_the_hash_that_it_is() {
        let (hash, id) = (B256::repeat_byte(0xab), DealId::repeat_byte(0xab));
        assert_eq!(id.to_string(), hash.to_string());
        assert_eq!(format!("{id:?} {id:.4} {id:x}"), format!("{hash:?} {hash:.4} {hash:x}"));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("0xab".parse::<DealId>().is_err());
        assert_eq!(serde_json::to_string(&id).unwrap(), serde_json::to_string(&hash).unwrap());
        let bytes = postcard::to_stdvec(&hash).unwrap();
        assert_eq!(postcard::to_stdvec(&id).unwrap(), bytes);
        assert_eq!(postcard::from_bytes::<DealId>(&bytes), Ok(id));
    }
}
