//! The chain: its head, adding blocks, and removing them.

use std::{collections::BTreeMap, path::PathBuf};

use alloy_consensus::{Transaction as _, TxEnvelope, Typed2718, transaction::Recovered};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, U256};
use revm::{
    ExecuteEvm,
    context::BlockEnv,
    context_interface::result::{EVMError, InvalidTransaction},
};

use crate::{
    block::{Draft, Head},
    error::Error,
    execute,
    filters::Filters,
    pool::Pool,
    rpc::RpcError,
    state::{Account, Changes, View},
    store::{Meta, Snapshot, Store},
    time::{Clock, Time},
};

/// Most snapshots at a time; a new one replaces the oldest.
const MAX_SNAPSHOTS: usize = 1024;
/// Blocks behind the head that count as safe and as finalized: one and two epochs.
const SAFE_DEPTH_BLOCKS: u64 = 32;
const FINALIZED_DEPTH_BLOCKS: u64 = 64;

/// Settings of a chain.
#[derive(Clone, Debug)]
pub struct Config {
    /// Chain id, in signatures and in the CHAINID opcode.
    pub chain_id: u64,
    /// Accounts of the first block with their balances, wei. Ignored if the data folder has a
    /// chain.
    pub accounts: Vec<(Address, U256)>,
    /// Data folder. Without one, nothing survives the process.
    pub path: Option<PathBuf>,
    /// Source of block time.
    pub clock: Clock,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// Base fee of the first block, wei per gas. Later ones follow EIP-1559.
    pub base_fee: u64,
    /// If set, a request that finds the newest block this many seconds old first makes an empty
    /// block, so that time passes on chain although nobody sends transactions. It needs no thread:
    /// a chain without requests does nothing.
    pub heartbeat_secs: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chain_id: 31_337,
            accounts: Vec::new(),
            path: None,
            clock: Clock::System,
            gas_limit: 30_000_000,
            base_fee: 1_000_000_000,
            heartbeat_secs: None,
        }
    }
}

/// A point to return to.
struct Mark {
    head: Head,
    journal_end: u64,
    time: Time,
}

/// A transaction that a block could not include, and why.
pub(crate) type Rejected = (Recovered<TxEnvelope>, InvalidTransaction);

pub(crate) struct Chain {
    pub store: Store,
    pub meta: Meta,
    pub head: Head,
    pub pool: Pool,
    pub filters: Filters,
    pub time: Time,
    /// Whether each transaction becomes a block at once.
    pub automine: bool,
    /// Base fee of the next block, if set.
    pub next_base_fee: Option<u64>,
    snapshots: BTreeMap<u64, Mark>,
    next_snapshot: u64,
    config: Config,
}

/// State and environment for a query.
pub(crate) struct Scene<'a> {
    pub view: View<'a>,
    pub env: BlockEnv,
}

impl Chain {
    pub fn open(config: Config) -> Result<Self, Error> {
        let store = Store::open(config.path.as_deref())?;
        let mut time = Time::new(config.clock, 0);
        let (meta, head) = match store.meta(config.chain_id)? {
            Some(meta) => {
                time.offset = meta.time_offset as i64;
                let head =
                    store.snapshot()?.head(meta.head)?.ok_or(Error::Damaged { what: "block" })?;
                (meta, head)
            }
            None => genesis(&store, &config, time.next_block(0))?,
        };
        Ok(Self {
            store,
            meta,
            head,
            pool: Pool::default(),
            filters: Filters::default(),
            time,
            automine: true,
            next_base_fee: None,
            snapshots: BTreeMap::new(),
            next_snapshot: 0,
            config,
        })
    }

    pub fn chain_id(&self) -> u64 {
        self.config.chain_id
    }

    pub fn gas_limit(&self) -> u64 {
        self.config.gas_limit
    }

    pub fn next_base_fee(&self) -> u64 {
        self.next_base_fee.unwrap_or_else(|| self.head.next_base_fee())
    }

    /// Returns the next block as it would be if it were made now.
    pub fn draft(&self) -> Draft {
        let time = self.time.next_block(self.head.header.timestamp);
        Draft::after(&self.head, time, self.config.gas_limit, self.next_base_fee(), self.meta.forks)
    }

    /// Returns the number of the block that a tag names; `None` for the pending one.
    pub fn number_of(&self, tag: BlockNumberOrTag) -> Option<u64> {
        let head = self.meta.head;
        match tag {
            BlockNumberOrTag::Pending => None,
            BlockNumberOrTag::Latest => Some(head),
            BlockNumberOrTag::Safe => Some(head.saturating_sub(SAFE_DEPTH_BLOCKS)),
            BlockNumberOrTag::Finalized => Some(head.saturating_sub(FINALIZED_DEPTH_BLOCKS)),
            BlockNumberOrTag::Earliest => Some(0),
            BlockNumberOrTag::Number(number) => Some(number),
        }
    }

    /// Returns the stored block that `id` names. The outer option is empty for the pending block,
    /// the inner one for a block that does not exist.
    pub fn find(&self, snapshot: &Snapshot, id: BlockId) -> Result<Option<Option<Head>>, Error> {
        let number = match id {
            BlockId::Hash(hash) => snapshot.number(&hash.block_hash)?,
            BlockId::Number(tag) => match self.number_of(tag) {
                None => return Ok(None),
                Some(number) => Some(number),
            },
        };
        Ok(Some(match number {
            Some(number) => snapshot.head(number)?,
            None => None,
        }))
    }

    /// Returns state and environment at the block that `id` names.
    pub fn scene<'a>(&self, snapshot: &'a Snapshot, id: BlockId) -> Result<Scene<'a>, RpcError> {
        let Some(found) = self.find(snapshot, id)? else {
            return Ok(Scene { view: View::latest(snapshot), env: self.draft().env() });
        };
        let head = found.ok_or_else(RpcError::no_such_block)?;
        if head.header.number == self.meta.head {
            return Ok(Scene { view: View::latest(snapshot), env: head.env() });
        }
        if head.journal_end < self.meta.journal_start {
            return Err(RpcError::server("historical state is no longer kept for this block"));
        }
        Ok(Scene {
            view: View::past(snapshot, head.journal_end, self.meta.journal_end)?,
            env: head.env(),
        })
    }

    /// Accepts a signed transaction and, if automining is on, mines its block.
    pub fn submit(&mut self, transaction: Recovered<TxEnvelope>) -> Result<B256, RpcError> {
        let hash = *transaction.tx_hash();
        let snapshot = self.store.snapshot()?;
        self.admit(&snapshot, &transaction)?;
        self.pool.add(transaction).map_err(|unfit| RpcError::rejected(unfit.to_string()))?;
        if !self.automine {
            return Ok(hash);
        }
        // The transaction, and each one that waited for it, gets a block of its own.
        while let Some(next) = self.ready()?.into_iter().next() {
            for (rejected, reason) in self.mine(vec![next])? {
                if *rejected.tx_hash() == hash {
                    return Err(RpcError::invalid_transaction(&reason));
                }
            }
        }
        Ok(hash)
    }

    /// Checks everything about a transaction that does not depend on earlier waiting transactions.
    fn admit(
        &self,
        snapshot: &Snapshot,
        transaction: &Recovered<TxEnvelope>,
    ) -> Result<(), RpcError> {
        if transaction.is_eip4844() {
            return Err(RpcError::rejected(
                "transaction type not supported: this chain carries no blobs",
            ));
        }
        let env = execute::transaction_env(transaction);
        match execute::check(View::latest(snapshot), self.draft().env(), self.chain_id(), &env) {
            Err(EVMError::Transaction(invalid)) => {
                return Err(RpcError::invalid_transaction(&invalid));
            }
            other => other.map_err(machine_error)?,
        }
        let account = View::latest(snapshot).account(transaction.signer())?.unwrap_or_default();
        if transaction.nonce() < account.nonce {
            let reason =
                InvalidTransaction::NonceTooLow { tx: transaction.nonce(), state: account.nonce };
            return Err(RpcError::invalid_transaction(&reason));
        }
        let gas_cost = U256::from(transaction.gas_limit())
            .saturating_mul(U256::from(transaction.max_fee_per_gas()));
        let cost = gas_cost.saturating_add(transaction.value());
        if cost > account.balance {
            let reason = InvalidTransaction::LackOfFundForMaxFee {
                fee: Box::new(cost),
                balance: Box::new(account.balance),
            };
            return Err(RpcError::invalid_transaction(&reason));
        }
        Ok(())
    }

    /// Returns the waiting transactions that the next block may include, in order.
    pub fn ready(&self) -> Result<Vec<Recovered<TxEnvelope>>, Error> {
        let snapshot = self.store.snapshot()?;
        let view = View::latest(&snapshot);
        let mut nonces = BTreeMap::new();
        for sender in self.pool.senders() {
            nonces.insert(sender, view.account(sender)?.unwrap_or_default().nonce);
        }
        Ok(self.pool.ready(&nonces, self.next_base_fee()))
    }

    /// Makes the next block from the `candidates` that fit, in order. Returns the candidates that
    /// are invalid at their position; they leave the pool, too.
    pub fn mine(&mut self, candidates: Vec<Recovered<TxEnvelope>>) -> Result<Vec<Rejected>, Error> {
        let snapshot = self.store.snapshot()?;
        let mut draft = self.draft();
        let mut machine = execute::machine(View::latest(&snapshot), draft.env(), self.chain_id());
        let mut rejected = Vec::new();
        for transaction in candidates {
            if transaction.gas_limit() > draft.gas_left()
                && transaction.gas_limit() <= self.config.gas_limit
            {
                continue;
            }
            match machine.transact_one(execute::transaction_env(&transaction)) {
                Ok(result) => draft.push(transaction, result),
                // Its predecessor did not fit in this block; both wait for the next one.
                Err(EVMError::Transaction(InvalidTransaction::NonceTooHigh { .. })) => {}
                Err(EVMError::Transaction(invalid)) => rejected.push((transaction, invalid)),
                Err(EVMError::Database(error)) => return Err(error),
                Err(other) => {
                    rejected.push((transaction, InvalidTransaction::Str(other.to_string().into())))
                }
            }
        }
        let changes = Changes::of_run(machine.finalize(), &View::latest(&snapshot))?;
        let (mut head, body) = draft.seal(&changes);
        let mut time = self.time.clone();
        time.made_block(head.header.timestamp);
        self.meta.time_offset = time.offset as u64;
        self.store.put_block(&mut head, &body, &changes, &mut self.meta)?;

        self.time = time;
        self.next_base_fee = None;
        for (transaction, _) in &rejected {
            self.pool.remove(transaction.tx_hash());
        }
        let snapshot = self.store.snapshot()?;
        for sender in self.pool.senders() {
            let nonce = View::latest(&snapshot).account(sender)?.unwrap_or_default().nonce;
            self.pool.forget_below(sender, nonce);
        }
        self.filters.added(&head, &body);
        self.head = head;
        Ok(rejected)
    }

    /// Makes an empty block if the newest one is older than the heartbeat.
    pub fn beat(&mut self) -> Result<(), Error> {
        let free = self.automine && self.time.next.is_none() && self.time.interval.is_none();
        let Some(heartbeat) = self.config.heartbeat_secs.filter(|_| free) else { return Ok(()) };
        let last = self.head.header.timestamp;
        if self.time.next_block(last) >= last.saturating_add(heartbeat.max(1)) {
            self.mine(Vec::new())?;
        }
        Ok(())
    }

    /// Changes one account or slot outside of any block, for tests.
    pub fn intervene(
        &mut self,
        change: impl FnOnce(&mut Changes, &View<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let snapshot = self.store.snapshot()?;
        let mut changes = Changes::default();
        change(&mut changes, &View::latest(&snapshot))?;
        self.store.put_changes(&changes, &mut self.meta)
    }

    /// Changes one account outside of any block, for tests.
    pub fn change_account(
        &mut self,
        address: Address,
        change: impl FnOnce(&mut Account),
    ) -> Result<(), Error> {
        self.intervene(|changes, view| {
            let mut account = view.account(address)?.unwrap_or_default();
            change(&mut account);
            changes.set_account(view, address, &account)
        })
    }

    /// Persists the offset between clock and block time.
    pub fn keep_time(&mut self) -> Result<(), Error> {
        self.meta.time_offset = self.time.offset as u64;
        self.store.put_meta(&self.meta)
    }

    /// Removes the newest `depth` blocks, with everything that happened since. Their transactions
    /// become unknown. Waiting transactions stay.
    pub fn roll_back(&mut self, depth: u64) -> Result<(), RpcError> {
        let target = self.meta.head.checked_sub(depth).ok_or_else(|| {
            RpcError::invalid_params(format!(
                "depth {depth} reaches below the first block (head is {})",
                self.meta.head
            ))
        })?;
        let head = self.store.snapshot()?.head(target)?.ok_or(Error::Damaged { what: "block" })?;
        let journal_end = head.journal_end;
        self.return_to(head, journal_end)
    }

    fn return_to(&mut self, head: Head, journal_end: u64) -> Result<(), RpcError> {
        if journal_end < self.meta.journal_start {
            return Err(RpcError::server("the state of that block is no longer kept"));
        }
        let snapshot = self.store.snapshot()?;
        let old_head = self.meta.head;
        self.store.roll_back(head.header.number, journal_end, &mut self.meta)?;
        if !self.filters.is_empty() {
            for number in (head.header.number + 1..=old_head).rev() {
                let gone = snapshot.head(number)?.ok_or(Error::Damaged { what: "block" })?;
                self.filters.removed(&gone, &snapshot.body(number)?);
            }
        }
        self.head = head;
        self.next_base_fee = None;
        self.snapshots.retain(|_, mark| mark.journal_end <= journal_end);
        Ok(())
    }

    /// Saves this point and returns its id. It exists until the process ends or the chain goes back
    /// behind it.
    pub fn mark(&mut self) -> u64 {
        if self.snapshots.len() >= MAX_SNAPSHOTS {
            self.snapshots.pop_first();
        }
        let id = self.next_snapshot;
        self.next_snapshot += 1;
        let mark = Mark {
            head: self.head.clone(),
            journal_end: self.meta.journal_end,
            time: self.time.clone(),
        };
        self.snapshots.insert(id, mark);
        id
    }

    /// Returns to a saved point, with its time, and deletes it and all later ones. Returns false if
    /// there is no such point.
    pub fn return_to_mark(&mut self, id: u64) -> Result<bool, RpcError> {
        let Some(mark) = self.snapshots.get(&id) else { return Ok(false) };
        let (head, journal_end, time) = (mark.head.clone(), mark.journal_end, mark.time.clone());
        self.return_to(head, journal_end)?;
        self.snapshots.split_off(&id);
        self.time = time;
        self.keep_time()?;
        Ok(true)
    }
}

fn genesis(store: &Store, config: &Config, timestamp: u64) -> Result<(Meta, Head), Error> {
    let mut meta = Meta::new(config.chain_id);
    let snapshot = store.snapshot()?;
    let mut changes = Changes::default();
    for (address, balance) in config.accounts.iter().copied().collect::<BTreeMap<_, _>>() {
        changes.set_account(
            &View::latest(&snapshot),
            address,
            &Account { balance, ..Account::default() },
        )?;
    }
    let (mut head, body) =
        Draft::genesis(timestamp, config.gas_limit, config.base_fee).seal(&changes);
    store.put_block(&mut head, &body, &changes, &mut meta)?;
    Ok((meta, head))
}

/// Converts a failure of the virtual machine that is not the transaction's fault.
pub(crate) fn machine_error(error: execute::Refusal) -> Error {
    match error {
        EVMError::Database(error) => error,
        other => Error::Machine(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MAX_JOURNAL_RECORDS;

    #[test]
    fn history_is_bounded_and_its_end_is_an_error() {
        let rich = Address::repeat_byte(1);
        let accounts = vec![(rich, U256::ONE)];
        let mut chain =
            Chain::open(Config { clock: Clock::Manual(1), accounts, ..Config::default() }).unwrap();
        let oldest_mark = chain.mark();
        let blocks = MAX_JOURNAL_RECORDS + 10;
        for number in 1..=blocks {
            chain.mine(Vec::new()).unwrap();
            // Two records per block: the block's own and this one.
            chain.change_account(rich, |account| account.balance = U256::from(number)).unwrap();
        }
        let balance = |chain: &Chain, number: u64| {
            let snapshot = chain.store.snapshot().unwrap();
            let scene = chain.scene(&snapshot, BlockId::number(number))?;
            Ok::<_, RpcError>(scene.view.account(rich).unwrap().unwrap().balance)
        };
        let reach = MAX_JOURNAL_RECORDS / 2;
        assert_eq!(balance(&chain, blocks - reach + 1).unwrap(), U256::from(blocks - reach));
        assert!(
            balance(&chain, blocks - reach - 1).unwrap_err().message.contains("no longer kept")
        );
        assert!(chain.roll_back(reach + 1).is_err());
        assert!(chain.return_to_mark(oldest_mark).is_err());
        assert_eq!(chain.meta.head, blocks, "nothing happened");
        assert_eq!(chain.meta.journal_end - chain.meta.journal_start, MAX_JOURNAL_RECORDS);

        chain.roll_back(reach - 1).unwrap();
        assert_eq!(balance(&chain, blocks - reach + 1).unwrap(), U256::from(blocks - reach));
        chain.mine(Vec::new()).unwrap();
        assert_eq!(chain.head.header.number, blocks - reach + 2);
    }
}
