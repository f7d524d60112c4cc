//! The state of accounts: a flat map that the virtual machine reads, and the changes that it makes.
//!
//! Keys of 20 bytes are accounts, keys of 52 bytes are storage slots (account ‖ slot). An empty
//! value means that the account does not exist, or that the slot is zero.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use revm::{
    bytecode::Bytecode,
    database_interface::Database,
    state::{AccountInfo, EvmState},
};

use crate::{
    error::Error,
    store::{Snapshot, encoded},
};

/// One account, without its code and storage.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Account {
    pub balance: U256,
    pub nonce: u64,
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { balance: U256::ZERO, nonce: 0, code_hash: KECCAK256_EMPTY }
    }
}

impl Account {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A key with its present or former value.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Entry {
    pub key: Bytes,
    pub value: Bytes,
}

fn slot_key(address: Address, slot: U256) -> [u8; 52] {
    let mut key = [0; 52];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

/// The state at one block.
pub(crate) struct View<'a> {
    store: &'a Snapshot,
    /// Values at that block that were replaced since; empty for the newest block.
    past: BTreeMap<Bytes, Bytes>,
}

impl<'a> View<'a> {
    /// Returns the newest state.
    pub fn latest(store: &'a Snapshot) -> Self {
        Self { store, past: BTreeMap::new() }
    }

    /// Returns the state before the journal records `since..until` (`until` is the journal's end).
    pub fn past(store: &'a Snapshot, since: u64, until: u64) -> Result<Self, Error> {
        let mut past = BTreeMap::new();
        for record in (since..until).rev() {
            for prior in store.priors(record)? {
                past.insert(prior.key, prior.value);
            }
        }
        Ok(Self { store, past })
    }

    fn get(&self, key: &[u8]) -> Result<Vec<u8>, Error> {
        match self.past.get(key) {
            Some(value) => Ok(value.to_vec()),
            None => self.store.state(key),
        }
    }

    pub fn account(&self, address: Address) -> Result<Option<Account>, Error> {
        match self.get(address.as_slice())?.as_slice() {
            [] => Ok(None),
            mut bytes => Account::decode(&mut bytes)
                .map(Some)
                .map_err(|_| Error::Damaged { what: "account" }),
        }
    }

    pub fn slot(&self, address: Address, slot: U256) -> Result<U256, Error> {
        let value = self.get(&slot_key(address, slot))?;
        U256::try_from_be_slice(&value).ok_or(Error::Damaged { what: "slot" })
    }

    pub fn code(&self, address: Address) -> Result<Bytes, Error> {
        match self.account(address)? {
            Some(account) if account.code_hash != KECCAK256_EMPTY => {
                self.store.code(&account.code_hash)
            }
            _ => Ok(Bytes::new()),
        }
    }
}

impl Database for View<'_> {
    type Error = Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Error> {
        let Some(Account { balance, nonce, code_hash }) = self.account(address)? else {
            return Ok(None);
        };
        Ok(Some(AccountInfo { balance, nonce, code_hash, code: None, ..AccountInfo::default() }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Error> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        Bytecode::new_raw_checked(self.store.code(&hash)?)
            .map_err(|_| Error::Damaged { what: "code" })
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Error> {
        self.slot(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Error> {
        Ok(self.store.head(number)?.map(|head| head.hash).unwrap_or_default())
    }
}

/// Changes of the state, with the values that they replace.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub writes: Vec<Entry>,
    pub priors: Vec<Entry>,
    pub code: Vec<(B256, Bytes)>,
}

impl Changes {
    /// Returns the changes of a run of the virtual machine on top of `view`, in key order.
    pub fn of_run(state: EvmState, view: &View<'_>) -> Result<Self, Error> {
        let mut changes = Self::default();
        let mut touched: Vec<_> =
            state.into_iter().filter(|(_, account)| account.is_touched()).collect();
        touched.sort_unstable_by_key(|(address, _)| *address);
        for (address, account) in touched {
            // Since Cancun an account can destroy itself only in the transaction that created it,
            // so it has no stored slots to clear.
            let gone = account.is_selfdestructed();
            let info = if gone { AccountInfo::default() } else { account.info };
            if let Some(code) = info.code.as_ref().filter(|code| !code.is_empty()) {
                changes.set_code(view, info.code_hash, code.original_bytes())?;
            }
            let record =
                Account { balance: info.balance, nonce: info.nonce, code_hash: info.code_hash };
            changes.set_account(view, address, &record)?;
            let mut slots: Vec<_> = account.storage.into_iter().collect();
            slots.sort_unstable_by_key(|(slot, _)| *slot);
            for (slot, value) in slots {
                changes.set_slot(
                    view,
                    address,
                    slot,
                    if gone { U256::ZERO } else { value.present_value },
                )?;
            }
        }
        Ok(changes)
    }

    pub fn set_account(
        &mut self,
        view: &View<'_>,
        address: Address,
        account: &Account,
    ) -> Result<(), Error> {
        let value = if account.is_empty() { Bytes::new() } else { encoded(account) };
        self.set(view, address.as_slice(), value)
    }

    pub fn set_slot(
        &mut self,
        view: &View<'_>,
        address: Address,
        slot: U256,
        value: U256,
    ) -> Result<(), Error> {
        self.set(view, &slot_key(address, slot), value.to_be_bytes_trimmed_vec().into())
    }

    pub fn set_code(&mut self, view: &View<'_>, hash: B256, code: Bytes) -> Result<(), Error> {
        // Code is stored by its hash and never removed, so a rollback or reorg can't make it wrong.
        if !view.store.has_code(&hash)? {
            self.code.push((hash, code));
        }
        Ok(())
    }

    fn set(&mut self, view: &View<'_>, key: &[u8], value: Bytes) -> Result<(), Error> {
        let prior = view.get(key)?;
        if prior != value {
            let key = Bytes::copy_from_slice(key);
            self.priors.push(Entry { key: key.clone(), value: prior.into() });
            self.writes.push(Entry { key, value });
        }
        Ok(())
    }
}
