//! Names of things, each a hash of what it names. One type each, so that none is taken for another.

use std::{fmt, str::FromStr};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => { $(
        $(#[$doc])*
        ///
        /// It is written, stored and sent as a plain hash.
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(B256);

        impl $name {
            /// No such thing: 32 zero bytes.
            pub const ZERO: Self = Self(B256::ZERO);

            /// Whether it is [`Self::ZERO`].
            pub fn is_zero(&self) -> bool {
                self.0.is_zero()
            }

            /// 32 times the same byte, for tests.
            pub const fn repeat_byte(byte: u8) -> Self {
                Self(B256::repeat_byte(byte))
            }

            /// Zeros and a last byte, for tests.
            pub const fn with_last_byte(byte: u8) -> Self {
                Self(B256::with_last_byte(byte))
            }

            /// Its 32 bytes.
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
    /// Names an ask: its struct hash.
    AskId,
    /// Names a deal: the struct hash of its terms.
    DealId,
    /// Names an order: its struct hash.
    OrderId,
    /// Names a receipt: its struct hash.
    ReceiptId,
    /// Names a game before a court: the struct hash of what it began with.
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
