//! What both searches share: the contracts, time in seconds, keys and cached signatures.

use std::cell::RefCell;
use std::collections::BTreeMap;

use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use rialto_protocol::eip712::Typed;
use rialto_protocol::{
    Address, B256, Bytes, keccak256,
    model::{
        Call, Market, Params,
        court::{Court, Rules},
    },
    types::{digest, domain},
    wire::Signed,
};
use rialto_provider::core::{Fact, LogId};

use crate::{
    ledger::{Act, Ledger, Said},
    world::{CHAIN_ID, MARKET},
};

/// Address of the court that every deal names.
pub const COURT: Address = Address::repeat_byte(0xcc);
/// Unix time at which every run begins, in seconds.
pub const BEGIN: u64 = 1_800_000_000;
/// Parameters of the market. The challenge window is as short as the market's constructor allows:
/// as long as the answer window.
pub const PARAMS: Params =
    Params { challenge_window: 300, answer_window: 300, grace: 600, case_bond: 25 };
/// Rules of the court. They give 320 seconds for a task at the usual fuel limit.
pub const RULES: Rules = Rules {
    base_bond: 400,
    bond_per_tfuel: 50_000,
    base_seconds: 120,
    move_seconds: 60,
    fuel_per_second: 20_000_000,
};
/// Deposit of each account, in base units.
pub const DEPOSIT: u128 = 1_000_000;

thread_local! {
    /// Keys by name, and signatures by key and digest. They are the same in every run, so that they
    /// are computed once per thread.
    static KEYS: RefCell<BTreeMap<String, PrivateKeySigner>> = const { RefCell::new(BTreeMap::new()) };
    static SIGNATURES: RefCell<BTreeMap<(Address, B256), Bytes>> = const { RefCell::new(BTreeMap::new()) };
}

/// Returns the key of the owner with this name.
pub fn key(name: &str) -> PrivateKeySigner {
    let make = || {
        PrivateKeySigner::from_bytes(&keccak256(name))
            .expect("a hash is a key but for one in 2^127")
    };
    KEYS.with_borrow_mut(|keys| keys.entry(name.to_owned()).or_insert_with(make).clone())
}

/// Signs a struct with a key, in the market's domain.
pub fn sign<T: Typed>(key: &PrivateKeySigner, value: T) -> Signed<T> {
    let digest = digest(&value, &domain(CHAIN_ID, MARKET));
    let make =
        || key.sign_hash_sync(&digest).expect("a key in memory signs").as_bytes().to_vec().into();
    let signature = SIGNATURES
        .with_borrow_mut(|known| known.entry((key.address(), digest)).or_insert_with(make).clone());
    Signed { value, signature }
}

/// State of both contracts, with the time.
#[derive(Clone, Debug)]
pub struct Yard {
    /// Current time, Unix seconds.
    pub now: u64,
    /// State of the contracts.
    pub ledger: Ledger,
    /// Number of blocks so far. Each call has a block of its own.
    pub block: u64,
    /// Readable log, if one is wanted.
    pub story: Option<Vec<String>>,
    everybody: Vec<Address>,
    /// Sum that was withdrawn.
    withdrawn: u128,
}

impl Yard {
    /// Returns contracts in which each of these accounts has its deposit and has allowed the court
    /// to take bonds.
    pub fn new(everybody: Vec<Address>, story: bool) -> Self {
        let domains = (domain(CHAIN_ID, MARKET), domain(CHAIN_ID, COURT));
        let tokens = everybody.iter().map(|owner| (*owner, DEPOSIT)).collect();
        let mut market = Market::new(PARAMS, domains.0, tokens);
        for account in everybody.iter().copied() {
            let deposit = Call::Deposit { account, amount: DEPOSIT };
            market.apply(BEGIN, account, &deposit).expect("everybody holds what is deposited");
            let allow = Call::Allow { spender: COURT, amount: u128::MAX };
            market.apply(BEGIN, account, &allow).expect("anybody can allow anything");
        }
        let court = Court::new(COURT, RULES, domains.1);
        let story = story.then(Vec::new);
        Self {
            now: BEGIN,
            ledger: Ledger { market, court },
            block: 0,
            story,
            everybody,
            withdrawn: 0,
        }
    }

    /// Applies a call in a block of its own, and returns the events.
    ///
    /// # Errors
    /// Returns the code if the contract refuses the call.
    pub fn call(&mut self, sender: Address, act: &Act) -> Result<Vec<Said>, String> {
        self.block += 1;
        self.ledger.apply(self.now, sender, act).map_err(|(code, _)| code)
    }

    /// Withdraws money of an owner from the market.
    pub fn withdraw(&mut self, owner: Address, amount: u128) {
        if self.call(owner, &Act::Market(Call::Withdraw { to: owner, amount })).is_ok() {
            self.withdrawn += amount;
        }
    }

    /// Converts the events of the newest block to facts.
    pub fn facts(&self, said: &[Said]) -> Vec<Fact> {
        let hash = keccak256(self.block.to_be_bytes());
        let fact = |(index, said): (u64, &Said)| {
            let at = LogId { block: self.block, index, hash };
            Fact { at, deal: said.deal, what: said.what.clone() }
        };
        (0..).zip(said).map(fact).collect()
    }

    /// Checks that money is conserved: accounts, deals and bonds together hold the sum of all
    /// deposits.
    ///
    /// # Errors
    /// Says both sums if they differ.
    pub fn conserved(&self) -> Result<(), String> {
        let total = DEPOSIT * self.everybody.len() as u128 - self.withdrawn;
        let owed = self.ledger.market.owed();
        if owed == total { Ok(()) } else { Err(format!("{owed} are owed, {total} were deposited")) }
    }

    /// Adds a line to the log, if one is kept.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.now - BEGIN;
        if let Some(story) = &mut self.story {
            story.push(format!("{now:>6} s  {}", what()));
        }
    }
}
