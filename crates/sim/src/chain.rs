//! A chain around the reference models of both contracts: blocks, a mempool, reorgs, and for every key a sender that keeps its
//! intents, as `rialto_chain` does it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use rialto_protocol::{Address, B256, DealId, keccak256};
use rialto_provider::core::{Fact, LogId, What};
use rialto_requester::core as requester;

use crate::{
    ledger::{Act, Ledger, Said},
    schedule::Millis,
};

/// Blocks that a reorg can take back at most.
pub const MAX_REORG_BLOCKS: usize = 4;

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// By index.
    Seller(usize),
    /// By index.
    Buyer(usize),
}

/// An event of the market.
#[derive(Clone, Debug)]
pub struct Log {
    /// In the words of the provider's core, which has one for everything.
    pub fact: Fact,
    /// Transaction.
    pub tx: B256,
    /// What kind of transaction.
    pub kind: &'static str,
    /// The same in the words of the requester's core, where it needs to know it.
    pub heard: Option<requester::What>,
}

/// A block.
#[derive(Debug)]
pub struct Block {
    /// Its height.
    pub number: u64,
    /// Its name.
    pub hash: B256,
    /// Unix seconds.
    pub time: u64,
    /// What happened in it.
    pub logs: Vec<Log>,
    txs: Vec<Tx>,
}

/// What a follower of the chain is told: rialto_chain's `EventBatch`.
#[derive(Debug, Default)]
pub struct News {
    /// Newest first.
    pub removed: Vec<Log>,
    /// Oldest first.
    pub added: Vec<Log>,
    /// Newest block.
    pub head: u64,
}

/// How a transaction ended: what it opened, or a code and a reason.
pub type Ending = Result<Mined, (String, String)>;

/// A successful transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mined {
    /// Its hash.
    pub tx: B256,
    /// Ids of the deals it opened.
    pub opened: Vec<DealId>,
}

/// The outcome of an intent, for whoever waits for it.
#[derive(Debug)]
pub struct Answer {
    /// Who.
    pub who: Who,
    /// Intent.
    pub intent: String,
    /// How it ended.
    pub ending: Ending,
}

/// A transaction: calls that happen all or not at all.
#[derive(Clone, Debug)]
pub struct Tx {
    /// Whose.
    pub who: Who,
    /// Account.
    pub sender: Address,
    /// Idempotency key.
    pub intent: String,
    /// Calls.
    pub calls: Vec<Act>,
    /// When it reaches whoever makes blocks.
    pub ready_at: Millis,
}

#[derive(Debug)]
struct Sent {
    calls: Vec<Act>,
    /// Block and outcome; the outcome counts once it is final.
    mined: Option<(u64, Ending)>,
    last: bool,
    awaited: bool,
}

/// The chain.
#[derive(Debug)]
pub struct Chain {
    /// The state after the newest block.
    pub ledger: Ledger,
    /// All blocks.
    pub blocks: Vec<Arc<Block>>,
    confirmations: u64,
    /// Highest block that was ever final.
    last: u64,
    undo: VecDeque<Ledger>,
    mempool: Vec<Tx>,
    journal: BTreeMap<(Who, String), Sent>,
    deferred: Vec<Tx>,
    forks: u64,
}

impl Chain {
    /// A chain whose first block is empty.
    pub fn new(ledger: Ledger, confirmations: u64, time: u64) -> Self {
        let first = Block { number: 0, hash: keccak256(b"first"), time, logs: Vec::new(), txs: Vec::new() };
        Self {
            ledger,
            blocks: vec![Arc::new(first)],
            confirmations,
            last: 0,
            undo: VecDeque::new(),
            mempool: Vec::new(),
            journal: BTreeMap::new(),
            deferred: Vec::new(),
            forks: 0,
        }
    }

    /// The newest block.
    pub fn head(&self) -> &Arc<Block> {
        self.blocks.last().expect("there is always the first block")
    }

    /// Sends under an intent: simulates first, keeps what was sent, and returns a known intent's outcome.
    /// `None`: the answer comes from [`Chain::mine`].
    pub fn send(&mut self, tx: Tx) -> Option<Answer> {
        let answer = |ending| Some(Answer { who: tx.who, intent: tx.intent.clone(), ending });
        if let Some(known) = self.journal.get_mut(&(tx.who, tx.intent.clone())) {
            if known.calls != tx.calls {
                return answer(Err(("S-CONFLICT".into(), "this intent was another call".into())));
            }
            if let (true, Some((_, ending))) = (known.last, &known.mined) {
                return answer(ending.clone());
            }
            known.awaited = true;
            return None;
        }
        if let Err(refused) = apply(&mut self.ledger.clone(), self.head().time, &tx) {
            if self.busy(tx.who) {
                self.deferred.push(tx);
                return None;
            }
            return answer(Err(refused));
        }
        let sent = Sent { calls: tx.calls.clone(), mined: None, last: false, awaited: true };
        self.journal.insert((tx.who, tx.intent.clone()), sent);
        self.mempool.push(tx);
        None
    }

    fn busy(&self, who: Who) -> bool {
        self.journal.iter().any(|((owner, _), sent)| *owner == who && !sent.last)
    }

    /// A crash: nobody waits any more. What was sent stays sent.
    pub fn forget_waiting(&mut self, who: Who) {
        self.deferred.retain(|tx| tx.who != who);
        self.journal.iter_mut().filter(|((owner, _), _)| *owner == who).for_each(|(_, sent)| sent.awaited = false);
    }

    /// Makes a block; returns what is final by it and awaited.
    pub fn mine(&mut self, now: Millis, time: u64) -> Vec<Answer> {
        let number = self.head().number + 1;
        let hash = keccak256([number.to_be_bytes(), self.forks.to_be_bytes()].concat());
        self.undo.push_back(self.ledger.clone());
        if self.undo.len() > MAX_REORG_BLOCKS {
            self.undo.pop_front();
        }
        // One key's transactions come in order.
        let mut late: Vec<Who> = Vec::new();
        let (mut txs, mut waiting) = (Vec::new(), Vec::new());
        for tx in std::mem::take(&mut self.mempool) {
            if tx.ready_at > now || late.contains(&tx.who) {
                late.push(tx.who);
                waiting.push(tx);
            } else {
                txs.push(tx);
            }
        }
        self.mempool = waiting;
        let mut logs: Vec<Log> = Vec::new();
        for tx in &txs {
            let name = keccak256(format!("{:?}{}", tx.who, tx.intent));
            let ending = apply(&mut self.ledger, time, tx).map(|said| {
                let opened = said.iter().filter(|(said, _)| matches!(said.what, What::Opened(_)));
                let mined = Mined { tx: name, opened: opened.map(|(said, _)| said.deal).collect() };
                for (Said { deal, what, mut heard }, kind) in said {
                    let at = LogId { block: number, index: logs.len() as u64, hash };
                    if let Some(requester::What::Closed { tx, .. }) = &mut heard {
                        tx.tx = name;
                    }
                    logs.push(Log { fact: Fact { at, deal, what }, tx: name, kind, heard });
                }
                mined
            });
            if let Some(sent) = self.journal.get_mut(&(tx.who, tx.intent.clone())) {
                sent.mined = Some((number, ending));
            }
        }
        self.blocks.push(Arc::new(Block { number, hash, time, logs, txs }));
        self.finalise(number)
    }

    fn finalise(&mut self, head: u64) -> Vec<Answer> {
        self.last = self.last.max((head + 1).saturating_sub(self.confirmations));
        let mut answers = Vec::new();
        for ((who, intent), sent) in self.journal.iter_mut().filter(|(_, sent)| !sent.last) {
            if let Some((block, ending)) = &sent.mined
                && *block + self.confirmations <= head + 1
            {
                sent.last = true;
                if sent.awaited {
                    answers.push(Answer { who: *who, intent: intent.clone(), ending: ending.clone() });
                }
            }
        }
        for tx in std::mem::take(&mut self.deferred) {
            answers.extend(self.send(tx));
        }
        answers
    }

    /// Takes back blocks that are not final, at most `depth`. Their transactions wait again.
    pub fn reorg(&mut self, depth: u64, mut again: impl FnMut() -> Millis) {
        for _ in 0..depth {
            if self.head().number <= self.last {
                return;
            }
            let Some(ledger) = self.undo.pop_back() else { return };
            self.ledger = ledger;
            self.forks += 1;
            let Some(block) = self.blocks.pop() else { return };
            let mut txs = block.txs.clone();
            for tx in &mut txs {
                tx.ready_at = again();
                if let Some(sent) = self.journal.get_mut(&(tx.who, tx.intent.clone())) {
                    sent.mined = None;
                }
            }
            txs.append(&mut self.mempool);
            self.mempool = txs;
        }
    }

    /// What a follower that was told `told` has to hear, from block `from` on.
    pub fn news(&self, told: &mut Vec<Arc<Block>>, from: u64) -> News {
        let canonical = |block: &Block| self.blocks.get(block.number as usize).is_some_and(|b| b.hash == block.hash);
        let mut removed = Vec::new();
        while let Some(block) = told.pop_if(|block| !canonical(block)) {
            removed.extend(block.logs.iter().rev().cloned());
        }
        let next = told.last().map_or(from, |block| block.number + 1);
        let fresh = self.blocks.iter().skip(next as usize);
        let mut added = Vec::new();
        for block in fresh {
            added.extend(block.logs.iter().cloned());
            told.push(block.clone());
        }
        let forgotten = told.len().saturating_sub(2 * MAX_REORG_BLOCKS);
        told.drain(..forgotten);
        News { removed, added, head: self.head().number }
    }
}

/// All calls of a transaction, or none; what the contracts say about each, and its kind.
fn apply(ledger: &mut Ledger, time: u64, tx: &Tx) -> Result<Vec<(Said, &'static str)>, (String, String)> {
    let mut next = ledger.clone();
    let mut all = Vec::new();
    for act in &tx.calls {
        let said = next.apply(time, tx.sender, act)?;
        all.extend(said.into_iter().map(|said| (said, act.kind())));
    }
    *ledger = next;
    Ok(all)
}
