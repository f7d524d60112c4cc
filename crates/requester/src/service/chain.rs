//! Calls as transactions, outcomes as the core knows them, and what the chain says once it is
//! final.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt;
use rialto_chain::{
    CaseOutcome, Chain, ChainError, CourtCall, Courts, Ending, EventBatch, FromLog, Games, LogMeta,
    MarketCall, MarketEvent, Mined, OpenArgs, SendError, Sender,
};
use rialto_protocol::case::CaseId;
use rialto_protocol::{Address, B256, Bytes, DealId, model, wire::PeerAddr};
use tokio::sync::mpsc;

use super::driver::Input;
use crate::core::{
    Accusable, Accusables, Accusation, Call, Conviction, Cursor, Event, Fact, Terms, Transacted,
    TxNote, What,
};

/// Without events the core is told a cursor after so many blocks.
const CURSOR_BLOCKS: u64 = 256;
/// Pause after a question to the chain that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Performs a call of the core.
pub(crate) async fn transact(
    chain: Chain,
    sender: Sender,
    intent: String,
    call: Call,
    keep: Accusables,
    inputs: mpsc::Sender<Input>,
) {
    let takes = call.takes(chain.windows().case_bond);
    let (kind, deals) = match &call {
        Call::Open(terms) => ("open", terms.len() as u32),
        Call::Close { .. } => ("close", 1),
        Call::Expire { .. } => ("expire", 1),
        Call::Late { .. } => ("late", 1),
        Call::Demand { .. } => ("demand", 1),
        Call::Settle { .. } => ("settle", 1),
        Call::Accuse(_) => ("accuse", 1),
        Call::Play { .. } => ("play", 1),
        Call::Timeout { .. } => ("timeout", 1),
        Call::Convict(_) => ("convict", 1),
    };
    let sent = match call {
        Call::Accuse(accusation) => accuse(&chain, &sender, &intent, *accusation).await,
        call if takes > 0 => match bonds(&chain, &keep).await {
            Ok(keeps) => sender.send_keeping(intent.clone(), market_call(call), takes, keeps).await,
            Err(error) => Err(error.into()),
        },
        call => sender.send(intent.clone(), market_call(call)).await,
    };
    let outcome = match sent {
        Ok(mined) => Transacted::Mined {
            opened: opened(&mined),
            tx: note(kind, mined.tx, Some(mined.gas_used), deals),
        },
        Err(error) => failed(&error),
    };
    if !matches!(outcome, Transacted::Mined { .. }) {
        tracing::warn!(intent, ?outcome, "transaction");
    }
    let _ = inputs.send(Input::Event(Event::Transacted { intent, outcome })).await;
}

/// The bonds of accusations together, base units.
pub(crate) async fn bonds(chain: &Chain, accusables: &Accusables) -> Result<u128, ChainError> {
    let mut all = 0u128;
    for (Accusable { court, fuel_limit }, count) in accusables {
        let bond = chain.court(*court).await?.bond_for(*fuel_limit).await?;
        all = all.saturating_add(bond.saturating_mul((*count).into()));
    }
    Ok(all)
}

/// Accuses: before a court whose code is known, because it is given money.
async fn accuse(
    chain: &Chain,
    sender: &Sender,
    intent: &str,
    accusation: Accusation,
) -> Result<Mined, SendError> {
    let Accusation { deal, order, receipt } = accusation;
    if !chain.is_known_court(deal.court).await? {
        return Err(ChainError::NoCourt { court: deal.court, chain_id: chain.chain_id() }.into());
    }
    let court = chain.court(deal.court).await?;
    let signed =
        rialto_chain::Signed { deal, order, receipt: receipt.value, signature: receipt.signature };
    sender.accuse(intent, &court, signed).await
}

fn note(kind: &str, tx: B256, gas: Option<u64>, deals: u32) -> TxNote {
    TxNote { kind: kind.into(), tx, gas, deals }
}

fn market_call(call: Call) -> MarketCall {
    match call {
        Call::Open(terms) => MarketCall::Open(terms.into_iter().map(open_args).collect()),
        Call::Close { deal, release } => {
            MarketCall::Close { deal, release: release.value, signature: release.signature }
        }
        Call::Expire { deal } => MarketCall::Expire { deal },
        Call::Late { deal, order, ack } => {
            MarketCall::Late { deal, order, ack: ack.value, signature: ack.signature }
        }
        // The provider asserted the receipt on chain: its signature is not looked at.
        Call::Demand { deal, order, receipt, task } => {
            MarketCall::Demand { deal, order, receipt, signature: Bytes::new(), task }
        }
        Call::Settle { deal, case } => MarketCall::Settle { deal, case },
        Call::Play { deal, order, view, answer } => {
            let court = deal.court;
            let call = CourtCall::answer(deal, *order, &view, *answer)
                .expect("the core answers what is asked");
            MarketCall::Court { court, call }
        }
        Call::Timeout { deal, game } => MarketCall::Court {
            court: deal.court,
            call: CourtCall::Timeout { deal: Box::new(deal), game },
        },
        Call::Convict(conviction) => {
            let Conviction { deal, order, receipt, proof } = *conviction;
            let court = deal.court;
            let signed = rialto_chain::Signed {
                deal,
                order,
                receipt: receipt.value,
                signature: receipt.signature,
            };
            MarketCall::Court { court, call: CourtCall::convict(signed, proof) }
        }
        Call::Accuse(_) => unreachable!("sent by `accuse`"),
    }
}

fn open_args(terms: Terms) -> OpenArgs {
    let (duration, max_price) = (terms.seconds(), terms.max_price);
    let Terms { offer, deal, .. } = terms;
    let (key, budget, opened_at, salt) = (deal.requesterKey, deal.budget, deal.openedAt, deal.salt);
    let terms = model::Terms { key, budget, opened_at, duration, max_price, salt };
    OpenArgs { ask: offer.ask.value, signature: offer.ask.signature, terms }
}

/// Deals that a transaction opened.
fn opened(mined: &Mined) -> Vec<DealId> {
    let deal = |log| match MarketEvent::decode(log) {
        Some(MarketEvent::DealOpened { id, .. }) => Some(id),
        _ => None,
    };
    mined.logs.iter().filter_map(deal).collect()
}

/// What the chain can't decide now is tried again under the same intent; everything else needs a
/// new one.
fn failed(error: &SendError) -> Transacted {
    let text = error.to_string();
    match error {
        SendError::Chain(_)
        | SendError::FeeAboveCap { .. }
        | SendError::NoGasMoney { .. }
        | SendError::Stuck { .. }
        | SendError::Stopped
        | SendError::Busy { .. } => Transacted::Unsent { reason: text },
        SendError::KeepsTooLittle { balance, takes, keeps, .. } => {
            Transacted::Short { holds: *balance, takes: *takes, bonds: *keeps }
        }
        _ => {
            let inner = text.trim_start_matches('[');
            let (code, reason) = inner.split_once("] ").unwrap_or(("S-000", inner));
            Transacted::Reverted { code: code.into(), reason: reason.into() }
        }
    }
}

/// What the driver is told of the chain.
pub(crate) struct Heard {
    /// Time of the newest block, unix seconds.
    pub time: u64,
    /// Addresses that providers announced.
    pub announced: Vec<(Address, PeerAddr)>,
    /// Final events of our deals.
    pub facts: Vec<Fact>,
    /// A final block up to which everything was told.
    pub cursor: Option<Cursor>,
}

/// Brings what is final to the driver, for ever, beginning after `cursor`.
pub(crate) struct Follow {
    pub chain: Chain,
    pub account: Address,
    /// Where the market's events begin.
    pub first_block: u64,
    pub cursor: Option<Cursor>,
    /// Deals of ours that are not over.
    pub deals: BTreeSet<DealId>,
    /// Their courts, and games known.
    pub games: Games,
    pub courts: Courts,
    pub inputs: mpsc::Sender<Input>,
}

impl Follow {
    pub async fn run(mut self) {
        loop {
            let from = self.begin().await;
            let mut events = self.chain.events_with(from, self.courts.clone());
            let mut pending = Pending::default();
            while let Some(batch) = events.next().await {
                let heard = self.take(&mut pending, batch).await;
                if self.inputs.send(Input::Chain(heard)).await.is_err() {
                    return;
                }
            }
            tracing::error!("the chain rewrote more than its stream remembers");
        }
    }

    /// The block after the cursor, if the chain still has that block; else all of history is heard
    /// again, which the core can bear: what it knows already changes nothing.
    async fn begin(&mut self) -> u64 {
        while let Some(cursor) = self.cursor {
            match self.chain.block_hash(cursor.block).await {
                Ok(Some(hash)) if hash == cursor.hash => {
                    return (cursor.block + 1).max(self.first_block);
                }
                Ok(_) => {
                    tracing::error!(
                        block = cursor.block,
                        "the chain rewrote what was final; hearing it again"
                    );
                    self.cursor = None;
                }
                Err(error) => {
                    tracing::warn!(%error, "the chain does not answer");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        self.first_block
    }

    async fn take(&mut self, pending: &mut Pending, batch: EventBatch) -> Heard {
        let last =
            (batch.head + 1).saturating_sub(self.chain.confirmations().max(1)).min(batch.through);
        let announced = announced(&batch).collect();
        let mut facts = Vec::new();
        let done = pending.take(batch.added, &batch.removed, last);
        let opened_in = |tx: B256| {
            let opens = |(meta, event): &&(LogMeta, MarketEvent)| {
                meta.tx == tx && matches!(event, MarketEvent::DealOpened { .. })
            };
            done.iter().filter(opens).count() as u32
        };
        // No earlier than the block of any event here.
        let revealed_until = batch.time.saturating_add(self.chain.windows().challenge);
        for (meta, event) in &done {
            if let MarketEvent::DealOpened { id, deal } = event
                && deal.requester == self.account
            {
                self.deals.insert(*id);
                self.games.add_deal(*id, deal);
                self.courts.known.extend((!deal.court.is_zero()).then_some(deal.court));
            }
            let game =
                self.games.news(event).map(|(deal, news)| Fact { deal, what: What::Game(news) });
            let known = game.or_else(|| fact(meta, event, revealed_until));
            let Some(mut fact) = known.filter(|fact| self.deals.contains(&fact.deal)) else {
                continue;
            };
            if let What::Closed { tx, .. } | What::Opened { tx } = &mut fact.what {
                // For the report only: an endpoint that does not answer leaves it open.
                tx.gas = self.chain.gas_used(tx.tx).await.ok().flatten();
            }
            if let What::Opened { tx } = &mut fact.what {
                tx.deals = opened_in(tx.tx);
            }
            facts.push(fact);
        }
        let known = self.cursor.map_or(0, |cursor| cursor.block);
        let mut cursor = None;
        if last > known && (!facts.is_empty() || last >= known.saturating_add(CURSOR_BLOCKS)) {
            // Where its hash can't be read, more is heard again after a restart.
            let hash = self.chain.block_hash(last).await.ok().flatten();
            cursor = hash.map(|hash| Cursor { block: last, hash });
            self.cursor = cursor.or(self.cursor);
        }
        Heard { time: batch.time, announced, facts, cursor }
    }
}

/// Events that are not final yet.
#[derive(Debug, Default)]
struct Pending(Vec<(LogMeta, MarketEvent)>);

impl Pending {
    /// Takes news in; returns what is final with block `last`, oldest first.
    fn take(
        &mut self,
        added: Vec<(LogMeta, MarketEvent)>,
        removed: &[(LogMeta, MarketEvent)],
        last: u64,
    ) -> Vec<(LogMeta, MarketEvent)> {
        self.0.retain(|(meta, _)| !removed.iter().any(|(removed, _)| removed == meta));
        self.0.extend(added);
        let (done, open) =
            std::mem::take(&mut self.0).into_iter().partition(|(meta, _)| meta.block <= last);
        self.0 = open;
        done
    }
}

/// What an event says about a deal; `None` if nothing that a requester needs.
fn fact(meta: &LogMeta, event: &MarketEvent, revealed_until: u64) -> Option<Fact> {
    let ended = |case, paid| What::Ended { case, paid };
    let what = match event {
        MarketEvent::Redeemed { paid, orders, .. } => {
            What::Redeemed { paid: *paid, orders: *orders }
        }
        MarketEvent::DealClosed { ending, paid, .. } => {
            let kind = match ending {
                Ending::Redeemed => "redeem",
                Ending::Released => "close",
                Ending::Expired => "expire",
                _ => "settle",
            };
            What::Closed { paid: *paid, tx: note(kind, meta.tx, None, 1) }
        }
        MarketEvent::Claimed { order, seq, deadline, receipt, .. } => What::Claimed {
            order: *order,
            seq: *seq,
            deadline: *deadline,
            receipt: receipt.clone(),
        },
        MarketEvent::LateNoticed { order, seq, deadline, .. } => {
            What::LateNoticed { order: *order, seq: *seq, deadline: *deadline }
        }
        MarketEvent::Answered { order, receipt, .. } => {
            What::Answered { order: *order, receipt: receipt.clone() }
        }
        MarketEvent::Demanded { receipt, task, seq, deadline, .. } => {
            What::Demanded { receipt: *receipt, task: *task, seq: *seq, deadline: *deadline }
        }
        MarketEvent::Revealed { receipt, task, halted, .. } => What::Revealed {
            receipt: *receipt,
            task: *task,
            halted: *halted,
            until: revealed_until,
        },
        MarketEvent::Excused { order, .. } => ended(CaseId::Late { order: *order }, 0),
        MarketEvent::DealOpened { .. } => What::Opened { tx: note("open", meta.tx, None, 1) },
        MarketEvent::Held { game, deadline, .. } => What::Held { game: *game, deadline: *deadline },
        MarketEvent::Lifted { game, .. } => ended(CaseId::Hold { game: *game }, 0),
        MarketEvent::CaseSettled { case, outcome, amount, .. } => {
            let paid = if *outcome == CaseOutcome::Paid { *amount } else { 0 };
            ended(*case, paid)
        }
        MarketEvent::Deposited { .. }
        | MarketEvent::Withdrawn { .. }
        | MarketEvent::Allowed { .. }
        | MarketEvent::Transferred { .. }
        | MarketEvent::Announced { .. }
        | MarketEvent::AsksCancelled { .. }
        | MarketEvent::Court { .. } => return None,
    };
    Some(Fact { deal: event.deal()?, what })
}

/// Addresses that providers announced.
fn announced(batch: &EventBatch) -> impl Iterator<Item = (Address, PeerAddr)> + '_ {
    batch.added.iter().filter_map(|(_, event)| match event {
        MarketEvent::Announced { provider, endpoint } => {
            let peer: PeerAddr = postcard::from_bytes(endpoint).ok()?;
            peer.check().ok().map(|()| (*provider, peer))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(block: u64, deal: u8) -> (LogMeta, MarketEvent) {
        let meta = LogMeta {
            block,
            index: 0,
            block_hash: B256::repeat_byte(block as u8),
            tx: B256::repeat_byte(deal),
        };
        let deal = DealId::repeat_byte(deal);
        let ending = Ending::Redeemed;
        (
            meta,
            MarketEvent::DealClosed {
                deal,
                ending,
                paid: 5,
                to_requester: 1,
                to_provider: 5,
                burned: 0,
            },
        )
    }

    #[test]
    fn an_end_counts_once_it_is_final_and_a_reorg_takes_it_back() {
        let mut pending = Pending::default();
        assert!(pending.take(vec![closed(10, 1), closed(10, 2)], &[], 8).is_empty());
        assert!(pending.take(vec![], &[closed(10, 2)], 9).is_empty());
        let done = pending.take(vec![], &[], 10);
        let facts: Vec<_> = done.iter().filter_map(|(meta, event)| fact(meta, event, 0)).collect();
        assert!(
            matches!(&facts[..], [Fact { deal, what: What::Closed { paid: 5, .. } }] if *deal == DealId::repeat_byte(1))
        );
        assert!(pending.take(vec![], &[], 100).is_empty());
        assert_eq!(pending.take(vec![closed(101, 3)], &[], 101).len(), 1);
    }
}
