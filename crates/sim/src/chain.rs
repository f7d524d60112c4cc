//! A chain around the reference models of both contracts. It has blocks, a mempool and reorgs. For
//! every key it has a sender that keeps its intents, as `rialto_chain` does.

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

/// Most blocks that one reorg removes.
pub const MAX_REORG_BLOCKS: usize = 4;

/// One node of the simulation, by its index among nodes of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The seller with this index.
    Seller(usize),
    /// The buyer with this index.
    Buyer(usize),
}

/// One event that a contract emitted.
#[derive(Clone, Debug)]
pub struct Log {
    /// The event as a fact of the provider's core. That core has a fact for every event.
    pub fact: Fact,
    /// Hash of the transaction.
    pub tx: B256,
    /// Kind of the transaction, for counting.
    pub kind: &'static str,
    /// The event as the requester's core takes it, if that core handles it.
    pub heard: Option<requester::What>,
}

/// One block.
#[derive(Debug)]
pub struct Block {
    /// Height of the block.
    pub number: u64,
    /// Hash of the block.
    pub hash: B256,
    /// Time of the block, Unix seconds.
    pub time: u64,
    /// Events of the block, in order.
    pub logs: Vec<Log>,
    txs: Vec<Tx>,
}

/// Update for a follower of the chain; corresponds to `EventBatch` of `rialto_chain`.
#[derive(Debug, Default)]
pub struct News {
    /// Events of blocks that a reorg removed, newest first.
    pub removed: Vec<Log>,
    /// Events of new blocks, oldest first.
    pub added: Vec<Log>,
    /// Height of the newest block.
    pub head: u64,
}

/// Ending of a transaction: the mined transaction, or a code and a reason.
pub type Ending = Result<Mined, (String, String)>;

/// One successful transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mined {
    /// Hash of the transaction.
    pub tx: B256,
    /// Ids of the deals that it opened.
    pub opened: Vec<DealId>,
}

/// The ending of an intent, for the node that waits for it.
#[derive(Debug)]
pub struct Answer {
    /// Node that sent the transaction.
    pub who: Who,
    /// Name of the intent.
    pub intent: String,
    /// Ending of its transaction.
    pub ending: Ending,
}

/// One transaction: a batch of calls of which all or none take effect.
#[derive(Clone, Debug)]
pub struct Tx {
    /// Node that sends it.
    pub who: Who,
    /// Account that sends it.
    pub sender: Address,
    /// Name of the intent. A second transaction with the same name is not sent.
    pub intent: String,
    /// Calls of the batch, in order.
    pub calls: Vec<Act>,
    /// Time from which a block can include it.
    pub ready_at: Millis,
}

#[derive(Debug)]
struct Sent {
    calls: Vec<Act>,
    /// Height of its block and its ending. The ending counts once the block is final.
    mined: Option<(u64, Ending)>,
    last: bool,
    awaited: bool,
}

/// The simulated chain with its senders.
#[derive(Debug)]
pub struct Chain {
    /// State of the contracts after the newest block.
    pub ledger: Ledger,
    /// All blocks, oldest first.
    pub blocks: Vec<Arc<Block>>,
    confirmations: u64,
    /// Height of the last block that was final.
    last: u64,
    undo: VecDeque<Ledger>,
    mempool: Vec<Tx>,
    journal: BTreeMap<(Who, String), Sent>,
    deferred: Vec<Tx>,
    forks: u64,
}

impl Chain {
    /// Returns a chain that has one empty block.
    pub fn new(ledger: Ledger, confirmations: u64, time: u64) -> Self {
        let first =
            Block { number: 0, hash: keccak256(b"first"), time, logs: Vec::new(), txs: Vec::new() };
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

    /// Returns the newest block.
    pub fn head(&self) -> &Arc<Block> {
        self.blocks.last().expect("there is always the first block")
    }

    /// Sends a transaction under its intent. Returns the ending at once if the intent's ending is
    /// already known, or if the contracts refuse the calls now. Returns `None` if [`Chain::mine`]
    /// returns the ending later: the transaction is sent, or it waits for an earlier one of the
    /// node.
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

    /// Forgets which endings a crashed node waited for. Its transactions stay sent.
    pub fn forget_waiting(&mut self, who: Who) {
        self.deferred.retain(|tx| tx.who != who);
        self.journal
            .iter_mut()
            .filter(|((owner, _), _)| *owner == who)
            .for_each(|(_, sent)| sent.awaited = false);
    }

    /// Makes a block. Returns the awaited endings that became final with it.
    pub fn mine(&mut self, now: Millis, time: u64) -> Vec<Answer> {
        let number = self.head().number + 1;
        let hash = keccak256([number.to_be_bytes(), self.forks.to_be_bytes()].concat());
        self.undo.push_back(self.ledger.clone());
        if self.undo.len() > MAX_REORG_BLOCKS {
            self.undo.pop_front();
        }
        // If one transaction of a key has to wait, its later ones wait too.
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
                    answers.push(Answer {
                        who: *who,
                        intent: intent.clone(),
                        ending: ending.clone(),
                    });
                }
            }
        }
        for tx in std::mem::take(&mut self.deferred) {
            answers.extend(self.send(tx));
        }
        answers
    }

    /// Removes up to `depth` blocks that are not final. Their transactions return to the mempool.
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

    /// Returns the update for a follower that already knows the blocks of `told`, from block `from`
    /// on, and adds the new blocks to `told`.
    pub fn news(&self, told: &mut Vec<Arc<Block>>, from: u64) -> News {
        let canonical = |block: &Block| {
            self.blocks.get(block.number as usize).is_some_and(|b| b.hash == block.hash)
        };
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

/// Applies all calls of a transaction, or none. Returns the events of each call, with its kind.
fn apply(
    ledger: &mut Ledger,
    time: u64,
    tx: &Tx,
) -> Result<Vec<(Said, &'static str)>, (String, String)> {
    let mut next = ledger.clone();
    let mut all = Vec::new();
    for act in &tx.calls {
        let said = next.apply(time, tx.sender, act)?;
        all.extend(said.into_iter().map(|said| (said, act.kind())));
    }
    *ledger = next;
    Ok(all)
}
