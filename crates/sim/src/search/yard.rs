//! The ground that searches stand on: both contracts, time in seconds, keys, and signatures that are made once.

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

/// The court of every deal.
pub const COURT: Address = Address::repeat_byte(0xcc);
/// Unix seconds at which every run begins.
pub const BEGIN: u64 = 1_800_000_000;
/// The market's windows: a claim has no longer than an answer takes, which is the least that a market can be built with.
pub const PARAMS: Params = Params { challenge_window: 300, answer_window: 300, grace: 600, case_bond: 25 };
/// What the court is built with. A task at the usual limit has 320 seconds.
pub const RULES: Rules =
    Rules { base_bond: 400, bond_per_tfuel: 50_000, base_seconds: 120, move_seconds: 60, fuel_per_second: 20_000_000 };
/// Deposit of everybody, base units.
pub const DEPOSIT: u128 = 1_000_000;

thread_local! {
    /// Keys by name, and signatures by key and digest: the same ones are made in every run.
    static KEYS: RefCell<BTreeMap<String, PrivateKeySigner>> = const { RefCell::new(BTreeMap::new()) };
    static SIGNATURES: RefCell<BTreeMap<(Address, B256), Bytes>> = const { RefCell::new(BTreeMap::new()) };
}

/// A key by its owner's name.
pub fn key(name: &str) -> PrivateKeySigner {
    let make = || PrivateKeySigner::from_bytes(&keccak256(name)).expect("a hash is a key but for one in 2^127");
    KEYS.with_borrow_mut(|keys| keys.entry(name.to_owned()).or_insert_with(make).clone())
}

/// A struct with a key's signature, in the market's domain.
pub fn sign<T: Typed>(key: &PrivateKeySigner, value: T) -> Signed<T> {
    let digest = digest(&value, &domain(CHAIN_ID, MARKET));
    let make = || key.sign_hash_sync(&digest).expect("a key in memory signs").as_bytes().to_vec().into();
    let signature =
        SIGNATURES.with_borrow_mut(|known| known.entry((key.address(), digest)).or_insert_with(make).clone());
    Signed { value, signature }
}

/// Both contracts, the time, and what was said about deals.
#[derive(Clone, Debug)]
pub struct Yard {
    /// Unix seconds.
    pub now: u64,
    /// The contracts.
    pub ledger: Ledger,
    /// Blocks so far; each call is in one of its own.
    pub block: u64,
    /// What happened, for people.
    pub story: Option<Vec<String>>,
    everybody: Vec<Address>,
    /// What was withdrawn.
    withdrawn: u128,
}

impl Yard {
    /// Contracts in which each of these accounts has its deposit, and has allowed the court its bonds.
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
        Self { now: BEGIN, ledger: Ledger { market, court }, block: 0, story, everybody, withdrawn: 0 }
    }

    /// A call in a block of its own. `None`: refused.
    pub fn call(&mut self, sender: Address, act: &Act) -> Result<Vec<Said>, String> {
        self.block += 1;
        self.ledger.apply(self.now, sender, act).map_err(|(code, _)| code)
    }

    /// An owner takes money out of the market.
    pub fn withdraw(&mut self, owner: Address, amount: u128) {
        if self.call(owner, &Act::Market(Call::Withdraw { to: owner, amount })).is_ok() {
            self.withdrawn += amount;
        }
    }

    /// What was said as facts, of the newest block.
    pub fn facts(&self, said: &[Said]) -> Vec<Fact> {
        let hash = keccak256(self.block.to_be_bytes());
        let fact = |(index, said): (u64, &Said)| {
            let at = LogId { block: self.block, index, hash };
            Fact { at, deal: said.deal, what: said.what.clone() }
        };
        (0..).zip(said).map(fact).collect()
    }

    /// Money is conserved: what accounts, deals and bonds hold is what was deposited.
    pub fn conserved(&self) -> Result<(), String> {
        let total = DEPOSIT * self.everybody.len() as u128 - self.withdrawn;
        let owed = self.ledger.market.owed();
        if owed == total { Ok(()) } else { Err(format!("{owed} are owed, {total} were deposited")) }
    }

    /// Adds to the story, if there is one.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.now - BEGIN;
        if let Some(story) = &mut self.story {
            story.push(format!("{now:>6} s  {}", what()));
        }
    }
}
