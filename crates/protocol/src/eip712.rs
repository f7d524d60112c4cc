//! Hashes and digests of structs, as EIP-712 defines them.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::Eip712Domain;

use crate::ids::{AskId, DealId, GameId, OrderId, ReceiptId};

/// A struct that is hashed and signed under EIP-712. The module `types` declares all of them.
pub trait Typed {
    /// Type of the struct's hash: an id type, or [`B256`] if the hash is no id.
    type Id: From<B256>;

    /// Returns `Name(type field,…)`, followed by the encoded types of the structs inside it, sorted
    /// by name (EIP-712, *encodeType*).
    fn encode_type() -> String;

    /// Returns the Keccak-256 hash of [`Self::encode_type`].
    fn type_hash() -> B256;

    /// Returns one word for each field (EIP-712, *encodeData*).
    fn encode_data(&self) -> Vec<B256>;

    /// Returns the struct hash (EIP-712, *hashStruct*). It does not depend on a domain.
    fn hash(&self) -> B256 {
        let words = [vec![Self::type_hash()], self.encode_data()].concat();
        keccak256(words.concat())
    }

    /// Returns the digest to sign: the struct's hash, bound to chain id and contract.
    fn digest(&self, domain: &Eip712Domain) -> B256 {
        let [separator, hash] = [domain.hash_struct(), self.hash()];
        keccak256([&[0x19, 0x01], separator.as_slice(), hash.as_slice()].concat())
    }
}

/// A type that a field of such a struct can have.
pub trait Field {
    /// Name of the type in Solidity.
    const TYPE: &'static str;

    /// Returns the field's word in the encoding of the struct.
    fn word(&self) -> B256;

    /// Adds the encoded types of the structs that the field contains.
    fn add_types(_: &mut BTreeSet<String>) {}
}

macro_rules! fields {
    ($($rust:ty, $solidity:literal, $value:ident => $word:expr;)*) => { $(
        impl Field for $rust {
            const TYPE: &'static str = $solidity;

            fn word(&self) -> B256 {
                let $value = *self;
                $word
            }
        }
    )* };
}

fields! {
    bool, "bool", it => B256::with_last_byte(it.into());
    u32, "uint32", it => U256::from(it).into();
    u64, "uint64", it => U256::from(it).into();
    u128, "uint128", it => U256::from(it).into();
    Address, "address", it => it.into_word();
    B256, "bytes32", it => it;
    AskId, "bytes32", it => it.into();
    DealId, "bytes32", it => it.into();
    OrderId, "bytes32", it => it.into();
    ReceiptId, "bytes32", it => it.into();
    GameId, "bytes32", it => it.into();
}

/// Declares structs with the names and fields that they have in Solidity. `Name => Id` gives the
/// type of the struct's hash.
macro_rules! typed {
    ($(
        $(#[$doc:meta])*
        $name:ident => $id:ty {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        }
    )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[allow(non_snake_case, missing_docs)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::eip712::Typed for $name {
            type Id = $id;

            fn encode_type() -> String {
                use $crate::eip712::Field;
                let fields = [$(format!("{} {}", <$type>::TYPE, stringify!($field))),*];
                let mut types = std::collections::BTreeSet::new();
                $(<$type>::add_types(&mut types);)*
                let mut text = format!("{}({})", stringify!($name), fields.join(","));
                text.extend(types);
                text
            }

            fn type_hash() -> alloy_primitives::B256 {
                static HASH: std::sync::OnceLock<alloy_primitives::B256> =
                    std::sync::OnceLock::new();
                *HASH.get_or_init(|| alloy_primitives::keccak256(Self::encode_type()))
            }

            fn encode_data(&self) -> Vec<alloy_primitives::B256> {
                vec![$($crate::eip712::Field::word(&self.$field)),*]
            }
        }

        impl $crate::eip712::Field for $name {
            const TYPE: &'static str = stringify!($name);

            fn word(&self) -> alloy_primitives::B256 {
                $crate::eip712::Typed::hash(self)
            }

            fn add_types(types: &mut std::collections::BTreeSet<String>) {
                types.insert(<Self as $crate::eip712::Typed>::encode_type());
            }
        }
    )* };
}
pub(crate) use typed;
