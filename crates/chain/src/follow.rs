//! The canonical events of the market and its courts. Events that a reorg removes are removed here,
//! too.
//!
//! This does not use alloy's `watch_canonical_logs_from`: it ends at the first failed request, does
//! not notice a chain that became shorter, and needs two requests per block of the whole history.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::error::ChainError;
use crate::eth::{Header, RpcLog};
use rialto_protocol::event::MarketEvent;

use crate::event::{LogMeta, market_or_court};
use crate::link::Link;

/// Remembered blocks below the head. A deeper reorg ends the stream.
const MAX_REORG_BLOCKS: usize = 128;
/// Most blocks of one eth_getLogs on old history: a limit of many public endpoints.
const MAX_RANGE_BLOCKS: u64 = 2_000;
/// Most blocks read one by one between two batches.
const MAX_STEP_BLOCKS: u64 = 64;
/// Blocks fetched at the same time.
const FETCHES_IN_FLIGHT: usize = 8;
/// Polls answered by a head below ours before it counts as a shorter chain and not as a lagging
/// backend.
const LAG_PATIENCE_POLLS: u32 = 20;
/// Most courts that one stream follows. Parties choose the courts of their deals themselves, so
/// nobody else can add to them.
const MAX_COURTS: usize = 128;
/// Longest pause after failures.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// An endless stream of batches of events. It ends only if a reorg is deeper than the 128 blocks
/// that it remembers. The caller must then rebuild its state from the chain and start a new stream.
pub type EventStream = BoxStream<'static, EventBatch>;

/// Courts that a stream follows besides the market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Courts {
    /// Courts to follow from the stream's first block on: the own one, and those of the deals that
    /// were open before.
    pub known: BTreeSet<Address>,
    /// Requesters or providers. The courts of their deals are followed, too, each from the
    /// `DealOpened` of the first such deal on.
    pub parties: BTreeSet<Address>,
}

impl Courts {
    /// Follows the courts of this account's deals.
    pub fn of(party: Address) -> Courts {
        Courts { known: BTreeSet::new(), parties: BTreeSet::from([party]) }
    }
}

/// Changes since the batch before. First undo `removed` (newest first), then apply `added` (oldest
/// first). A batch is also sent for a new block without events, and for every range of old history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBatch {
    /// Events of blocks that are now canonical.
    pub added: Vec<(LogMeta, MarketEvent)>,
    /// Events added before, whose blocks are no longer canonical.
    pub removed: Vec<(LogMeta, MarketEvent)>,
    /// Number of the newest block.
    pub head: u64,
    /// Time of the newest block, Unix seconds.
    pub time: u64,
    /// Block up to which every event has been delivered; below `head` while catching up. To resume
    /// later, start at a final block that is not above it.
    pub through: u64,
}

/// A block whose events were delivered.
struct Seen {
    number: u64,
    hash: B256,
    events: Vec<(LogMeta, MarketEvent)>,
}

pub(crate) struct Follower {
    link: Arc<Link>,
    market: Address,
    courts: Courts,
    /// First block not delivered yet.
    next: u64,
    /// Newest delivered blocks, without gaps.
    tail: VecDeque<Seen>,
    /// Whether blocks were delivered that are no longer in `tail`.
    forgot: bool,
    /// Blocks per request on old history. It shrinks when an endpoint refuses.
    range: u64,
    /// Number of consecutive polls answered by a head below ours.
    behind_polls: u32,
    /// Next batch, being collected.
    batch: EventBatch,
    /// Newest block, and first one not delivered, of the last batch.
    reported: Option<(u64, B256, u64)>,
    pause: Duration,
}

/// Reason why a step stopped.
enum Trouble {
    /// The step can be tried again later.
    Later(ChainError),
    /// The chain rewrote blocks below the remembered ones.
    TooDeep,
}

impl From<ChainError> for Trouble {
    fn from(error: ChainError) -> Self {
        Trouble::Later(error)
    }
}

impl Follower {
    pub(crate) fn new(
        link: Arc<Link>,
        market: Address,
        from_block: u64,
        courts: Courts,
    ) -> Follower {
        Follower {
            pause: link.poll,
            link,
            market,
            courts,
            next: from_block,
            tail: VecDeque::new(),
            forgot: false,
            range: MAX_RANGE_BLOCKS,
            behind_polls: 0,
            batch: EventBatch::default(),
            reported: None,
        }
    }

    pub(crate) fn stream(self) -> EventStream {
        stream::unfold(self, |mut follower| async move {
            follower.advance().await.map(|batch| (batch, follower))
        })
        .boxed()
    }

    /// Returns the next batch; `None` if a reorg was too deep.
    async fn advance(&mut self) -> Option<EventBatch> {
        loop {
            let before = self.next;
            match self.step().await {
                Ok(()) => self.pause = self.link.poll,
                Err(Trouble::TooDeep) => {
                    tracing::error!(market = %self.market, blocks = MAX_REORG_BLOCKS, "reorg deeper than remembered");
                    return None;
                }
                Err(Trouble::Later(error)) => {
                    tracing::warn!(market = %self.market, %error, "event stream waits");
                    self.pause = (self.pause * 2).min(MAX_PAUSE);
                }
            }
            if let Some(batch) = self.take_batch() {
                return Some(batch);
            }
            if self.next == before {
                tokio::time::sleep(self.pause).await;
            }
        }
    }

    fn take_batch(&mut self) -> Option<EventBatch> {
        let now = Some((self.batch.head, self.head_hash(), self.next));
        if self.batch.added.is_empty() && self.batch.removed.is_empty() && self.reported == now {
            return None;
        }
        self.reported = now;
        self.batch.through = self.next.saturating_sub(1);
        let quiet =
            EventBatch { head: self.batch.head, time: self.batch.time, ..EventBatch::default() };
        Some(std::mem::replace(&mut self.batch, quiet))
    }

    fn head_hash(&self) -> B256 {
        self.tail.back().map(|seen| seen.hash).unwrap_or_default()
    }

    /// Polls the chain once. The collected events stay in `batch`, even if it fails in the middle.
    async fn step(&mut self) -> Result<(), Trouble> {
        let head = self.link.endpoint.latest().await?;
        if !self.rewind(&head).await? {
            return Ok(());
        }
        self.batch.head = head.number();
        self.batch.time = head.timestamp();
        if self.next > head.number() {
            return Ok(());
        }
        let settled = head.number().saturating_sub(MAX_REORG_BLOCKS as u64);
        if self.next < settled {
            self.read_range(settled).await
        } else {
            self.read_blocks(head.number()).await
        }
    }

    /// Removes blocks that are no longer canonical. Returns false if the endpoint seems to lag and
    /// should be polled again.
    async fn rewind(&mut self, head: &Header) -> Result<bool, Trouble> {
        let Some(tip) = self.tail.back().map(|seen| seen.number) else { return Ok(true) };
        if tip > head.number() {
            let known =
                self.tail.iter().any(|seen| seen.number == head.number() && seen.hash == head.hash);
            if known && self.behind_polls < LAG_PATIENCE_POLLS {
                self.behind_polls += 1;
                return Ok(false);
            }
        }
        self.behind_polls = 0;
        while let Some(last) = self.tail.back() {
            if self.is_canonical(last.number, last.hash, head).await? {
                return Ok(true);
            }
            let Some(gone) = self.tail.pop_back() else { break };
            tracing::info!(block = gone.number, hash = %gone.hash, events = gone.events.len(), "block taken back");
            self.next = gone.number;
            self.batch.removed.extend(gone.events.into_iter().rev());
        }
        if self.forgot { Err(Trouble::TooDeep) } else { Ok(true) }
    }

    async fn is_canonical(&self, number: u64, hash: B256, head: &Header) -> Result<bool, Trouble> {
        if number >= head.number() {
            return Ok(number == head.number() && hash == head.hash);
        }
        match self.link.endpoint.header(number).await? {
            Some(header) => Ok(header.hash == hash),
            None => Err(Trouble::Later(missing("eth_getBlockByNumber", number))),
        }
    }

    /// Reads old history, below any reorg, many blocks at once.
    async fn read_range(&mut self, settled: u64) -> Result<(), Trouble> {
        let to = settled.min(self.next + self.range - 1);
        match self.link.endpoint.logs(&self.addresses(), self.next, to).await {
            Ok(logs) => {
                let events = self.events(logs);
                if self.learn(&events) {
                    return Ok(());
                }
                self.batch.added.extend(events);
                self.next = to + 1;
                self.forgot = true;
                self.tail.clear();
                self.range = (self.range * 2).min(MAX_RANGE_BLOCKS);
                Ok(())
            }
            Err(error) => {
                self.range = (self.range / 2).max(1);
                Err(error.into())
            }
        }
    }

    /// Reads blocks near the head, each with its logs by hash, so that both are of the same fork.
    async fn read_blocks(&mut self, head: u64) -> Result<(), Trouble> {
        let (link, addresses) = (self.link.clone(), self.addresses());
        let (endpoint, addresses) = (&link.endpoint, addresses.as_slice());
        let to = head.min(self.next + MAX_STEP_BLOCKS - 1);
        let mut blocks = stream::iter(self.next..=to)
            .map(|number| async move {
                let header = endpoint
                    .header(number)
                    .await?
                    .ok_or_else(|| missing("eth_getBlockByNumber", number))?;
                let logs = endpoint.logs_of(addresses, header.hash).await?;
                Ok::<_, ChainError>((header, logs))
            })
            .buffered(FETCHES_IN_FLIGHT);
        while let Some((header, logs)) = blocks.try_next().await? {
            if self.tail.back().is_some_and(|tip| tip.hash != header.parent_hash) {
                // There was a reorg in between; the next step rewinds.
                break;
            }
            let events = self.events(logs);
            if self.learn(&events) {
                break;
            }
            self.batch.added.extend(events.iter().cloned());
            self.next = header.number() + 1;
            self.tail.push_back(Seen { number: header.number(), hash: header.hash, events });
            if self.tail.len() > MAX_REORG_BLOCKS {
                self.tail.pop_front();
                self.forgot = true;
            }
        }
        Ok(())
    }

    /// Returns the contracts whose logs are requested.
    fn addresses(&self) -> Vec<Address> {
        std::iter::once(self.market)
            .chain(self.courts.known.iter().copied().filter(|court| *court != self.market))
            .collect()
    }

    /// Adds the courts of new deals of the parties. Returns whether there were any: the logs just
    /// read then lack their events and must be read again.
    fn learn(&mut self, events: &[(LogMeta, MarketEvent)]) -> bool {
        let before = self.courts.known.len();
        for (_, event) in events {
            let MarketEvent::DealOpened { deal, .. } = event else { continue };
            let ours = [deal.requester, deal.provider]
                .iter()
                .any(|party| self.courts.parties.contains(party));
            if !ours || deal.court.is_zero() || self.courts.known.contains(&deal.court) {
                continue;
            }
            if self.courts.known.len() >= MAX_COURTS {
                tracing::error!(court = %deal.court, max = MAX_COURTS, "too many courts: this one is not heard");
                continue;
            }
            self.courts.known.insert(deal.court);
        }
        self.courts.known.len() != before
    }

    fn events(&self, mut logs: Vec<RpcLog>) -> Vec<(LogMeta, MarketEvent)> {
        logs.retain(|log| !log.removed);
        logs.sort_by_key(|log| (log.block(), log.index()));
        let is_court = |address: Address| self.courts.known.contains(&address);
        logs.into_iter()
            .filter_map(|log| {
                let meta = LogMeta {
                    block: log.block(),
                    index: log.index(),
                    block_hash: log.block_hash,
                    tx: log.transaction_hash,
                };
                Some((meta, market_or_court(&log.into_log(), self.market, is_court)?))
            })
            .collect()
    }
}

fn missing(method: &str, number: u64) -> ChainError {
    ChainError::Malformed {
        method: method.into(),
        cause: format!("block {number} is missing below the head"),
    }
}
