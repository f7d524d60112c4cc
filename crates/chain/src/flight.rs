//! One open transaction, and its fate on chain.

use alloy_primitives::Address;
use tokio::time::Instant;

use crate::error::ChainError;
use crate::eth::{Header, TxReceipt};
use crate::journal::Record;
use crate::link::Link;

/// Most blocks that one poll searches for the user of a nonce.
const MAX_SEARCH_BLOCKS: u64 = 64;

/// A persisted intent that is not final.
pub(crate) struct Flight {
    pub(crate) intent: String,
    pub(crate) record: Record,
    /// Time of this process's first broadcast of the last attempt.
    pub(crate) sent_at: Instant,
    polls_since_broadcast: u32,
    /// Last block searched for the user of the nonce.
    searched: u64,
    seen_mined: bool,
}

/// Fate of a transaction at one poll.
pub(crate) enum Fate {
    /// Mined, deep enough to be final.
    Final(TxReceipt),
    /// Mined, but not deep enough.
    Mined,
    /// Not mined, and its nonce is free.
    Pending,
    /// Its nonce is used, by a transaction not found yet.
    Unclear,
    /// Its nonce is used, finally, by a transaction that is not ours.
    Displaced,
}

impl Flight {
    pub(crate) fn new(intent: String, record: Record) -> Flight {
        Flight {
            intent,
            searched: record.after_block,
            record,
            sent_at: Instant::now(),
            polls_since_broadcast: 0,
            seen_mined: false,
        }
    }

    /// Creates a flight from the journal. It is unknown whether it was ever broadcast, so the first
    /// poll broadcasts it.
    pub(crate) fn resumed(intent: String, record: Record) -> Flight {
        Flight { polls_since_broadcast: u32::MAX, ..Flight::new(intent, record) }
    }

    /// Broadcasts the newest attempt. A refusal changes nothing, because the transaction may be
    /// known, mined, or sent by another route; only the chain decides.
    pub(crate) async fn broadcast(&self, link: &Link) {
        let attempt = self.record.last();
        match link.endpoint.send_raw(&attempt.raw).await {
            Ok(_) => {
                tracing::debug!(intent = self.intent, tx = %attempt.tx, nonce = self.record.nonce, "broadcast")
            }
            Err(error) => {
                tracing::debug!(intent = self.intent, tx = %attempt.tx, nonce = self.record.nonce, %error, "broadcast refused");
            }
        }
    }

    /// Returns whether it is time to broadcast again.
    pub(crate) fn due_again(&mut self, every_polls: u32) -> bool {
        let due = self.polls_since_broadcast >= every_polls;
        self.polls_since_broadcast = if due { 0 } else { self.polls_since_broadcast + 1 };
        due
    }

    /// Finds out the fate on a chain whose newest block is `head` and on which `account` has used
    /// `used` nonces.
    pub(crate) async fn fate(
        &mut self,
        link: &Link,
        account: Address,
        head: &Header,
        used: u64,
    ) -> Result<Fate, ChainError> {
        for attempt in self.record.attempts.iter().rev() {
            if let Some(receipt) = link.endpoint.receipt(attempt.tx).await? {
                self.seen_mined = true;
                let deep = head.number() + 1 >= receipt.block() + link.confirmations;
                return Ok(if deep { Fate::Final(receipt) } else { Fate::Mined });
            }
        }
        if used <= self.record.nonce {
            if std::mem::take(&mut self.seen_mined) {
                tracing::info!(
                    intent = self.intent,
                    nonce = self.record.nonce,
                    "dropped by a reorg"
                );
                self.polls_since_broadcast = u32::MAX;
            }
            return Ok(Fate::Pending);
        }
        self.search(link, account, head).await
    }

    /// Searches final blocks for the transaction that used the nonce.
    async fn search(
        &mut self,
        link: &Link,
        account: Address,
        head: &Header,
    ) -> Result<Fate, ChainError> {
        let last_final = (head.number() + 1).saturating_sub(link.confirmations);
        let to = last_final.min(self.searched + MAX_SEARCH_BLOCKS);
        for number in self.searched + 1..=to {
            let Some(block) = link.endpoint.full_block(number).await? else {
                return Ok(Fate::Unclear);
            };
            let nonce = self.record.nonce;
            let user = block
                .transactions
                .iter()
                .find(|tx| tx.from == account && tx.nonce.to::<u64>() == nonce);
            match user {
                Some(tx) if self.record.attempts.iter().all(|attempt| attempt.tx != tx.hash) => {
                    return Ok(Fate::Displaced);
                }
                // It is our own transaction, whose receipt will follow.
                Some(_) => return Ok(Fate::Unclear),
                None => self.searched = number,
            }
        }
        if to == last_final {
            // Not found: the endpoint gave the nonce and the blocks at different moments. Search
            // again from the start.
            self.searched = self.record.after_block;
        }
        Ok(Fate::Unclear)
    }
}
