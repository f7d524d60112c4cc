//! Filters that clients poll. A filter returns the changes since the last poll, including those
//! that a reorg reverted.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log};

use crate::block::{Head, Included, rpc_logs};

/// Most filters at a time; a new one replaces the least recently used.
const MAX_FILTERS: usize = 256;
/// Most entries that a filter keeps for a client that does not poll. A filter with more is removed,
/// so that the client gets "filter not found" and starts over, instead of missing entries
/// unnoticed.
const MAX_PENDING_ENTRIES: usize = 16_384;

/// Subject of a filter, with the entries that it has not returned yet.
enum Watch {
    Blocks(Vec<B256>),
    Logs { filter: Box<Filter>, pending: Vec<Log> },
}

/// Entries that a poll returns.
pub(crate) enum Told {
    Blocks(Vec<B256>),
    Logs(Vec<Log>),
}

#[derive(Default)]
pub(crate) struct Filters {
    watches: BTreeMap<u64, (u64, Watch)>,
    /// Counts uses, to find the least recently used filter.
    uses: u64,
    last_id: u64,
}

impl Filters {
    pub fn watch_blocks(&mut self) -> u64 {
        self.insert(Watch::Blocks(Vec::new()))
    }

    pub fn watch_logs(&mut self, filter: Filter) -> u64 {
        self.insert(Watch::Logs { filter: Box::new(filter), pending: Vec::new() })
    }

    fn insert(&mut self, watch: Watch) -> u64 {
        if self.watches.len() >= MAX_FILTERS
            && let Some(oldest) =
                self.watches.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id)
        {
            self.watches.remove(&oldest);
        }
        self.last_id += 1;
        self.uses += 1;
        self.watches.insert(self.last_id, (self.uses, watch));
        self.last_id
    }

    pub fn remove(&mut self, id: u64) -> bool {
        self.watches.remove(&id).is_some()
    }

    /// Returns the entries since the last poll, if the filter exists.
    pub fn poll(&mut self, id: u64) -> Option<Told> {
        self.uses += 1;
        let (used, watch) = self.watches.get_mut(&id)?;
        *used = self.uses;
        Some(match watch {
            Watch::Blocks(pending) => Told::Blocks(std::mem::take(pending)),
            Watch::Logs { pending, .. } => Told::Logs(std::mem::take(pending)),
        })
    }

    /// Returns the log filter with this id.
    pub fn log_filter(&self, id: u64) -> Option<&Filter> {
        match &self.watches.get(&id)?.1 {
            Watch::Logs { filter, .. } => Some(filter),
            Watch::Blocks(_) => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Adds the entries of a block that joined the chain.
    pub fn added(&mut self, head: &Head, body: &[Included]) {
        let logs = rpc_logs(head, body, |_| true);
        self.tell(head, &logs, true);
    }

    /// Adds the logs of a block that left the chain again, last first, as removed.
    pub fn removed(&mut self, head: &Head, body: &[Included]) {
        let mut logs = rpc_logs(head, body, |_| true);
        logs.iter_mut().for_each(|log| log.removed = true);
        logs.reverse();
        self.tell(head, &logs, false);
    }

    fn tell(&mut self, head: &Head, logs: &[Log], added: bool) {
        self.watches.retain(|_, (_, watch)| match watch {
            Watch::Blocks(pending) => {
                if added {
                    pending.push(head.hash);
                }
                pending.len() <= MAX_PENDING_ENTRIES
            }
            Watch::Logs { filter, pending } => {
                if covers(filter, head.header.number)
                    && filter.matches_bloom(head.header.logs_bloom)
                {
                    pending.extend(logs.iter().filter(|log| matches(filter, log)).cloned());
                }
                pending.len() <= MAX_PENDING_ENTRIES
            }
        });
    }
}

/// Returns whether the filter's address and topics match a log.
pub(crate) fn matches(filter: &Filter, log: &Log) -> bool {
    filter.matches_address(log.address()) && filter.matches_topics(log.topics())
}

/// Returns whether the filter's explicit block bounds include `number`.
fn covers(filter: &Filter, number: u64) -> bool {
    let FilterBlockOption::Range { from_block, to_block } = filter.block_option else {
        return true;
    };
    let explicit = |bound: Option<BlockNumberOrTag>| bound.and_then(|bound| bound.as_number());
    explicit(from_block).is_none_or(|from| number >= from)
        && explicit(to_block).is_none_or(|to| number <= to)
}
