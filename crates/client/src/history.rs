//! What a market's chain tells of it: who announced themselves, which deals were opened at which
//! price, and what became of them. No indexer: the market's own events, read once and then
//! followed.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures::StreamExt;
use rialto_chain::{
    Chain, Courts, Ending, EventBatch, EventStream, LogMeta, MarketCall, MarketEvent,
};
use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{Address, B256, DealId, types::Deal, wire::PeerAddr};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::class::{Class, Classified};

/// Longest wait for the next piece of a market's past.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a market's past or a deal of it is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The endpoint gives no events.
    #[error(
        "[C-HIS-001] the chain gave no events of the market within {} s: try again, or use an endpoint that keeps them (eth_getLogs)",
        PATIENCE.as_secs()
    )]
    Silent,
    /// Everything read was taken back.
    #[error("[C-HIS-002] the chain rewrote more of its past than is remembered: run it again")]
    Rewritten,
    /// Money comes from nowhere.
    #[error(
        "[C-HIS-003] the market's events don't add up, so some are missing: is `first_block` in config.toml later than the market's first?"
    )]
    Missing,
    /// The contract says something else.
    #[error(
        "[C-HIS-004] the market's events make {events} base units, the contract says {contract}: try again; if it stays so, `first_block` in config.toml is too late, or the endpoint keeps some events back"
    )]
    Differs {
        /// By the events.
        events: u128,
        /// By the contract.
        contract: u128,
    },
}

impl Classified for HistoryError {
    fn class(&self) -> Class {
        Class::NoMarket
    }
}

/// A market's events as they are canonical now.
pub struct History {
    pub(crate) events: Vec<(LogMeta, MarketEvent)>,
    stream: EventStream,
    time: u64,
}

impl History {
    /// Reads everything from the market's first block to the newest. `progress` is told how far it
    /// is, in parts per hundred.
    ///
    /// # Errors
    /// `C-HIS-001`, `C-HIS-002`.
    pub async fn read(
        chain: &Chain,
        first_block: u64,
        progress: impl FnMut(u64),
    ) -> Result<Self, HistoryError> {
        Self::read_with(chain, first_block, Courts::default(), progress).await
    }

    /// The same, with what courts say: see [`History::games`].
    ///
    /// # Errors
    /// `C-HIS-001`, `C-HIS-002`.
    pub async fn read_with(
        chain: &Chain,
        first_block: u64,
        courts: Courts,
        mut progress: impl FnMut(u64),
    ) -> Result<Self, HistoryError> {
        let stream = chain.events_with(first_block, courts);
        let mut history = Self { events: Vec::new(), stream, time: 0 };
        loop {
            let batch =
                timeout(PATIENCE, history.stream.next()).await.map_err(|_| HistoryError::Silent)?;
            let batch = batch.ok_or(HistoryError::Rewritten)?;
            let (read, all) =
                (batch.through.saturating_sub(first_block), batch.head.saturating_sub(first_block));
            history.apply(batch);
            if read >= all {
                return Ok(history);
            }
            progress(read * 100 / all);
        }
    }

    /// Waits for the next block.
    ///
    /// # Errors
    /// `C-HIS-002`.
    pub async fn news(&mut self) -> Result<(), HistoryError> {
        let batch = self.stream.next().await.ok_or(HistoryError::Rewritten)?;
        self.apply(batch);
        Ok(())
    }

    fn apply(&mut self, batch: EventBatch) {
        if !batch.removed.is_empty() {
            let gone: HashSet<LogMeta> = batch.removed.iter().map(|(meta, _)| *meta).collect();
            self.events.retain(|(meta, _)| !gone.contains(meta));
        }
        self.events.extend(batch.added);
        self.time = batch.time;
    }

    /// Time of the newest block, unix seconds.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Whether a transaction's events are there.
    pub fn has(&self, tx: B256) -> bool {
        self.events.iter().any(|(meta, _)| meta.tx == tx)
    }

    /// Where providers said they are, the newest word of each.
    pub fn peers(&self) -> Vec<PeerAddr> {
        let mut peers: BTreeMap<Address, PeerAddr> = BTreeMap::new();
        for (_, event) in &self.events {
            if let MarketEvent::Announced { provider, endpoint } = event
                && let Ok(peer) = postcard::from_bytes::<PeerAddr>(endpoint)
                && peer.check().is_ok()
            {
                peers.insert(*provider, peer);
            }
        }
        peers.into_values().collect()
    }

    /// Every deal, the oldest first.
    pub fn deals(&self) -> Vec<DealStory> {
        let mut deals: Vec<DealStory> = Vec::new();
        let mut places = BTreeMap::new();
        for (meta, event) in &self.events {
            if let MarketEvent::DealOpened { id, deal } = event {
                places.insert(*id, deals.len());
                deals.push(DealStory::new(*id, deal.clone(), meta));
            } else if let Some(place) = event.deal().and_then(|deal| places.get(&deal)) {
                deals[*place].tell(meta, event);
            }
        }
        deals
    }

    /// What was agreed on, deal by deal, the oldest first.
    pub fn prices(&self) -> Vec<PricePoint> {
        let point = |(_, event): &(LogMeta, MarketEvent)| match event {
            MarketEvent::DealOpened { deal, .. } => Some(PricePoint {
                at: deal.openedAt,
                price: deal.price,
                task_fee: deal.taskFee,
                budget: deal.budget,
                provider: deal.provider,
            }),
            _ => None,
        };
        self.events.iter().filter_map(point).collect()
    }
}

/// A deal's price, fixed when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PricePoint {
    /// When the deal began, unix seconds.
    pub at: u64,
    /// Base units per Tfuel.
    pub price: u128,
    /// Base units per task.
    pub task_fee: u128,
    /// Most that the deal can pay, base units.
    pub budget: u128,
    /// Who sells.
    #[cfg_attr(test, schemars(with = "crate::view::Account"))]
    pub provider: Address,
}

/// The fuel price of a market over time: of every stretch in which deals were opened, their mean
/// weighted by budget.
/// `points` the oldest first; at most `stretches` of equal length.
pub fn price_index(points: &[PricePoint], stretches: usize) -> Vec<(u64, u128)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let (from, span) = (first.at, last.at.saturating_sub(first.at) + 1);
    let mut sums: BTreeMap<u64, (u128, u128)> = BTreeMap::new();
    for point in points {
        let stretch =
            u128::from(point.at.saturating_sub(from)) * stretches.max(1) as u128 / u128::from(span);
        let (weighted, weight) = sums.entry(stretch as u64).or_default();
        *weighted = weighted.saturating_add(point.price.saturating_mul(point.budget.max(1)));
        *weight = weight.saturating_add(point.budget.max(1));
    }
    let middle = |stretch: u64| {
        from + (u128::from(2 * stretch + 1) * u128::from(span) / (2 * stretches.max(1) as u128))
            as u64
    };
    sums.into_iter()
        .map(|(stretch, (weighted, weight))| (middle(stretch).min(last.at), weighted / weight))
        .collect()
}

/// A deal, and what the chain said of it since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DealStory {
    /// Its id.
    pub id: DealId,
    /// Its terms.
    pub deal: Deal,
    /// Transaction that opened it.
    pub opened_by: B256,
    /// Paid to the provider so far, base units.
    pub paid: u128,
    /// Orders settled by vouchers.
    pub orders: u64,
    /// Cases that are open.
    pub cases: Vec<OpenCase>,
    /// How it ended, if it has.
    pub end: Option<DealEnd>,
}

/// A case that was opened on chain and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCase {
    /// Which.
    pub case: CaseId,
    /// Unix seconds from which on anyone can settle it.
    pub deadline: u64,
}

/// How a deal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DealEnd {
    /// By what.
    pub ending: Ending,
    /// Back to the requester, base units.
    pub to_requester: u128,
    /// To the provider with its collateral, base units.
    pub to_provider: u128,
    /// Burned, base units.
    pub burned: u128,
    /// The transaction.
    pub tx: B256,
}

/// Where a deal is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum DealPhase {
    /// Work can be ordered.
    Open {
        /// Unix seconds.
        until: u64,
    },
    /// Expired; until the grace is over the provider can still redeem and claim.
    Grace {
        /// Unix seconds.
        until: u64,
    },
    /// Expired, but cases are open.
    Contested {
        /// Unix seconds when the last of them can be settled.
        until: u64,
    },
    /// Everybody's money can be set free: see [`DealStory::next_step`].
    Due,
    /// Over.
    Closed,
}

impl DealStory {
    fn new(id: DealId, deal: Deal, meta: &LogMeta) -> Self {
        Self { id, deal, opened_by: meta.tx, paid: 0, orders: 0, cases: Vec::new(), end: None }
    }

    fn tell(&mut self, meta: &LogMeta, event: &MarketEvent) {
        let mut open = |case, deadline| self.cases.push(OpenCase { case, deadline });
        match *event {
            MarketEvent::Redeemed { paid, orders, .. } => (self.paid, self.orders) = (paid, orders),
            MarketEvent::Claimed { order, deadline, .. } => open(CaseId::Claim { order }, deadline),
            MarketEvent::LateNoticed { order, deadline, .. } => {
                open(CaseId::Late { order }, deadline)
            }
            MarketEvent::Demanded { receipt, task, deadline, .. } => {
                open(CaseId::Demand { receipt, task }, deadline)
            }
            MarketEvent::Held { game, deadline, .. } => open(CaseId::Hold { game }, deadline),
            MarketEvent::Lifted { game, .. } => self.ended(CaseId::Hold { game }),
            // An answered notice or demand ends with the answer.
            MarketEvent::Answered { order, .. } | MarketEvent::Excused { order, .. } => {
                self.ended(CaseId::Late { order })
            }
            MarketEvent::Revealed { receipt, task, .. } => {
                self.ended(CaseId::Demand { receipt, task })
            }
            MarketEvent::CaseSettled { case, .. } => self.ended(case),
            MarketEvent::DealClosed { ending, paid, to_requester, to_provider, burned, .. } => {
                self.paid = paid;
                self.end = Some(DealEnd { ending, to_requester, to_provider, burned, tx: meta.tx });
            }
            _ => {}
        }
    }

    fn ended(&mut self, ended: CaseId) {
        self.cases.retain(|open| open.case != ended);
    }

    /// Where it is at a time of the chain; `grace` is the market's.
    pub fn phase(&self, now: u64, grace: u64) -> DealPhase {
        let over = self.deal.expiry.saturating_add(grace);
        if self.end.is_some() {
            DealPhase::Closed
        } else if now < self.deal.expiry {
            DealPhase::Open { until: self.deal.expiry }
        } else if now < over {
            DealPhase::Grace { until: over }
        } else {
            match self
                .cases
                .iter()
                .map(|case| case.deadline)
                .filter(|deadline| *deadline > now)
                .max()
            {
                Some(until) => DealPhase::Contested { until },
                None => DealPhase::Due,
            }
        }
    }

    /// What anyone can do now: settle a case whose time is up, or close the deal when it is
    /// [`DealPhase::Due`]. Do it, and ask again on fresh history, until nothing is left.
    pub fn next_step(&self, now: u64, grace: u64) -> Option<MarketCall> {
        // A hold stands in the way of claims, a claim in the way of late notices.
        let rank = |kind: CaseKind| match kind {
            CaseKind::Hold => 0,
            CaseKind::Demand => 1,
            CaseKind::Claim => 2,
            CaseKind::Late => 3,
        };
        let due = self.cases.iter().filter(|case| case.deadline <= now || self.end.is_some());
        match due.min_by_key(|open| rank(open.case.kind())) {
            Some(open) => Some(MarketCall::Settle { deal: self.deal.clone(), case: open.case }),
            None if self.phase(now, grace) == DealPhase::Due => {
                Some(MarketCall::Expire { deal: self.deal.clone() })
            }
            None => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rialto_protocol::OrderId;

    fn meta(block: u64) -> LogMeta {
        LogMeta { block, index: 0, block_hash: B256::ZERO, tx: B256::with_last_byte(block as u8) }
    }

    fn opened(at: u64, price: u128, budget: u128) -> MarketEvent {
        let deal = Deal { openedAt: at, expiry: at + 100, price, budget, ..Deal::default() };
        MarketEvent::DealOpened { id: DealId::with_last_byte(at as u8), deal }
    }

    pub(crate) fn history(events: Vec<MarketEvent>) -> History {
        let events = events
            .into_iter()
            .enumerate()
            .map(|(block, event)| (meta(block as u64), event))
            .collect();
        History { events, stream: futures::stream::empty().boxed(), time: 0 }
    }

    #[test]
    fn a_deal_is_what_its_events_say() {
        let id = DealId::with_last_byte(10);
        let order = OrderId::repeat_byte(7);
        let receipt = rialto_protocol::types::Receipt::default();
        let mut past = history(vec![
            opened(10, 5, 100),
            MarketEvent::Redeemed { deal: id, paid: 30, orders: 2 },
            MarketEvent::Claimed { deal: id, order, seq: 2, deadline: 150, receipt },
        ]);
        let deal = past.deals().remove(0);
        assert_eq!((deal.paid, deal.orders, deal.cases.len()), (30, 2, 1));
        let phases = [109, 110, 120, 150].map(|now| deal.phase(now, 10));
        let expected = [
            DealPhase::Open { until: 110 },
            DealPhase::Grace { until: 120 },
            DealPhase::Contested { until: 150 },
            DealPhase::Due,
        ];
        assert_eq!(phases, expected);
        assert_eq!(deal.next_step(149, 10), None);
        assert!(matches!(
            deal.next_step(150, 10),
            Some(MarketCall::Settle { case: CaseId::Claim { .. }, .. })
        ));

        past.events.push((
            meta(9),
            MarketEvent::CaseSettled {
                deal: id,
                case: CaseId::Claim { order },
                outcome: rialto_chain::CaseOutcome::Paid,
                amount: 4,
            },
        ));
        assert!(matches!(past.deals()[0].next_step(150, 10), Some(MarketCall::Expire { .. })));
        // A reorg takes it back.
        past.apply(EventBatch { removed: vec![past.events[3].clone()], ..EventBatch::default() });
        assert_eq!(past.deals()[0], deal);
        past.events.push((
            meta(10),
            MarketEvent::DealClosed {
                deal: id,
                ending: Ending::Expired,
                paid: 34,
                to_requester: 66,
                to_provider: 34,
                burned: 0,
            },
        ));
        let over = past.deals().remove(0);
        assert_eq!((over.phase(0, 10), over.paid), (DealPhase::Closed, 34));
    }

    #[test]
    fn the_index_is_weighted_by_budget() {
        let past = history(vec![opened(100, 10, 1), opened(100, 20, 3), opened(199, 40, 1)]);
        let points = past.prices();
        assert_eq!(price_index(&points, 2), vec![(125, 17), (175, 40)]);
        assert_eq!(price_index(&points[..1], 5), vec![(100, 10)]);
        assert_eq!(price_index(&[], 5), vec![]);
    }
}
