//! The task behind a sender: accepts intents, broadcasts, and watches every open one until it is final.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::Bytes;
use alloy_signer_local::PrivateKeySigner;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::contract_error::ContractError;
use crate::error::{ChainError, SendError};
use crate::eth::{CallRequest, Header, TxReceipt};
use crate::flight::{Fate, Flight};
use crate::journal::{Journal, Mined, Outcome, RawCall, Record};
use crate::link::{Link, reverted};
use crate::tx::{Fees, check_funds, gas_limit, sign};

/// Transactions of one key in flight: nodes keep about this many per account.
const MAX_OPEN: usize = 16;
/// Signed transactions per intent: each bump raises fees by an eighth, nine of them nearly triple it.
const MAX_ATTEMPTS: usize = 10;
/// Polls between two broadcasts of the same transaction.
const REBROADCAST_POLLS: u32 = 10;
/// Polls between two checks that nothing final was lost to a reorg.
const HEAL_POLLS: u32 = 20;
/// Calls that wait for an open one to be mined.
const MAX_DEFERRED: usize = 64;
/// Outcomes between two prunings of the journal.
const PRUNE_EVERY: u64 = 512;
/// Polls that a simulation waits for an endpoint that has not seen the last transaction of this key.
const LAG_PATIENCE_POLLS: u32 = 50;
/// Final transactions kept at hand, to broadcast again if a reorg deeper than `confirmations` drops them.
const KEEP_FINAL: usize = 64;

type Reply = oneshot::Sender<Result<Mined, SendError>>;

/// What a sender asks of its worker.
pub(crate) enum Command {
    /// To send a call.
    Send(ToSend),
    /// Whether an intent is in the journal.
    Knows { intent: String, reply: oneshot::Sender<Result<bool, SendError>> },
}

/// A call to send.
pub(crate) struct ToSend {
    pub(crate) intent: String,
    pub(crate) call: RawCall,
    pub(crate) reply: Reply,
}

pub(crate) struct Worker {
    link: Arc<Link>,
    signer: PrivateKeySigner,
    journal: Journal,
    inbox: mpsc::Receiver<Command>,
    /// Persisted and not final, by nonce.
    open: BTreeMap<u64, Flight>,
    /// Who waits for which open intent.
    waiters: BTreeMap<String, Vec<Reply>>,
    /// Calls that would revert now, and why, but may not once what is open is mined.
    deferred: Vec<(ToSend, SendError)>,
    /// Final transactions by nonce, newest `KEEP_FINAL`.
    finals: BTreeMap<u64, Bytes>,
    next_nonce: u64,
    next_seq: u64,
    /// Newest block known to hold a transaction of this key: older state would mislead a simulation.
    seen_block: u64,
}

impl Worker {
    /// Takes up what the journal holds.
    pub(crate) async fn resume(
        link: Arc<Link>,
        signer: PrivateKeySigner,
        journal: Journal,
        inbox: mpsc::Receiver<Command>,
    ) -> Result<Worker, SendError> {
        journal.prune().await?;
        let records = journal.all().await?;
        // A fresh journal knows nothing of transactions that wait in the mempool: the node may.
        let mut next_nonce = link.endpoint.nonce(signer.address(), records.is_empty()).await?;
        let mut next_seq = 0;
        let (mut open, mut finals) = (BTreeMap::new(), BTreeMap::new());
        for (intent, record) in records {
            next_nonce = next_nonce.max(record.nonce + 1);
            next_seq = next_seq.max(record.seq + 1);
            if record.outcome.is_some() {
                keep(&mut finals, &record);
            } else {
                open.insert(record.nonce, Flight::resumed(intent, record));
            }
        }
        let (waiters, deferred) = Default::default();
        let seen_block = 0;
        Ok(Worker { link, signer, journal, inbox, open, waiters, deferred, finals, next_nonce, next_seq, seen_block })
    }

    pub(crate) async fn run(mut self) {
        let mut poll = interval(self.link.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heal = interval(self.link.poll * HEAL_POLLS);
        heal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = self.inbox.recv(), if self.open.len() < MAX_OPEN => match command {
                    Some(Command::Knows { intent, reply }) => {
                        // Whoever asked may be gone.
                        let _ = reply.send(self.journal.get(&intent).await.map(|record| record.is_some()));
                    }
                    Some(Command::Send(command)) => {
                        self.accept(command).await;
                        poll.reset_immediately();
                    }
                    None => return,
                },
                _ = poll.tick(), if !self.open.is_empty() => self.watch().await,
                _ = heal.tick() => self.heal().await,
            }
        }
    }

    async fn accept(&mut self, command: ToSend) {
        match self.journal.get(&command.intent).await {
            Err(error) => answer(command.reply, Err(error)),
            Ok(Some(record)) if record.call != command.call => {
                answer(command.reply, Err(SendError::IntentConflict(command.intent)));
            }
            Ok(Some(Record { outcome: Some(outcome), .. })) => answer(command.reply, told(outcome)),
            Ok(Some(_)) => self.waiters.entry(command.intent).or_default().push(command.reply),
            Ok(None) => self.launch(command).await,
        }
    }

    /// Simulates, signs, persists, broadcasts.
    async fn launch(&mut self, command: ToSend) {
        let ToSend { intent, call, reply } = command;
        match self.sign_new(&intent, &call).await {
            Ok(record) => {
                self.waiters.entry(intent.clone()).or_default().push(reply);
                let flight = Flight::new(intent, record);
                flight.broadcast(&self.link).await;
                self.open.insert(flight.record.nonce, flight);
            }
            Err(why @ SendError::Rejected(_)) if !self.open.is_empty() && self.deferred.len() < MAX_DEFERRED => {
                self.deferred.push((ToSend { intent, call, reply }, why));
            }
            Err(error) => answer(reply, Err(error)),
        }
    }

    async fn sign_new(&mut self, intent: &str, call: &RawCall) -> Result<Record, SendError> {
        self.await_seen_block().await?;
        let gas_limit = gas_limit(&self.link, self.signer.address(), call).await?;
        let fees = Fees::now(&self.link).await?;
        check_funds(&self.link, self.signer.address(), gas_limit, fees.max_fee, call).await?;
        let (nonce, after_block) = self.fresh_nonce().await?;
        let attempt = sign(&self.signer, self.link.chain_id, nonce, gas_limit, fees, call)?;
        let record = Record {
            seq: self.next_seq,
            call: call.clone(),
            gas_limit,
            nonce,
            after_block,
            attempts: vec![attempt],
            outcome: None,
        };
        self.journal.put(intent, &record).await?;
        self.next_nonce = nonce + 1;
        self.next_seq += 1;
        Ok(record)
    }

    /// Waits, within bounds, until the endpoint knows the state that this key's last transaction made.
    async fn await_seen_block(&self) -> Result<(), ChainError> {
        for _ in 0..LAG_PATIENCE_POLLS {
            if self.link.endpoint.latest().await?.number() >= self.seen_block {
                break;
            }
            tokio::time::sleep(self.link.poll).await;
        }
        Ok(())
    }

    /// A nonce neither used on chain nor by any record, and the newest block when that was so.
    async fn fresh_nonce(&self) -> Result<(u64, u64), ChainError> {
        // In this order: a nonce used in a block after `head` is looked for after `head`.
        let head = self.link.endpoint.latest().await?.number();
        let used = self.link.endpoint.nonce(self.signer.address(), false).await?;
        Ok((self.next_nonce.max(used), head))
    }

    /// One look at everything open.
    async fn watch(&mut self) {
        if let Err(error) = self.try_watch().await {
            tracing::warn!(account = %self.signer.address(), %error, "sender waits");
        }
    }

    async fn try_watch(&mut self) -> Result<(), SendError> {
        let head = self.link.endpoint.latest().await?;
        let used = self.link.endpoint.nonce(self.signer.address(), false).await?;
        let nonces: Vec<u64> = self.open.keys().copied().collect();
        let mut landed = false;
        for nonce in nonces {
            let Some(flight) = self.open.get_mut(&nonce) else { continue };
            match flight.fate(&self.link, self.signer.address(), &head, used).await? {
                Fate::Final(receipt) => {
                    self.finish(nonce, receipt).await?;
                    landed = true;
                }
                Fate::Mined | Fate::Unclear => {}
                Fate::Displaced => self.relaunch(nonce, &head).await?,
                Fate::Pending => self.press(nonce, nonce == used).await?,
            }
        }
        if landed {
            for (command, _) in std::mem::take(&mut self.deferred) {
                self.accept(command).await;
            }
        }
        Ok(())
    }

    /// Persists the outcome, then tells.
    async fn finish(&mut self, nonce: u64, receipt: TxReceipt) -> Result<(), SendError> {
        let Some(flight) = self.open.get(&nonce) else { return Ok(()) };
        let mut record = flight.record.clone();
        self.seen_block = receipt.block();
        let outcome = if receipt.succeeded() {
            Outcome::Mined(mined(receipt))
        } else {
            let data = self.revert_data(&record, receipt.block()).await;
            Outcome::Reverted { tx: receipt.transaction_hash, block: receipt.block(), data }
        };
        record.outcome = Some(outcome.clone());
        self.journal.put(&flight.intent, &record).await?;
        keep(&mut self.finals, &record);
        if record.seq % PRUNE_EVERY == PRUNE_EVERY - 1 {
            self.journal.prune().await?;
        }
        if let Some(flight) = self.open.remove(&nonce) {
            tracing::info!(intent = flight.intent, tx = %record.last().tx, nonce, "transaction final");
            for reply in self.waiters.remove(&flight.intent).unwrap_or_default() {
                answer(reply, told(outcome.clone()));
            }
        }
        Ok(())
    }

    /// Why a mined transaction reverted, as far as the node can still tell.
    async fn revert_data(&self, record: &Record, block: u64) -> Option<Bytes> {
        let request = CallRequest::by(self.signer.address(), &record.call);
        match self.link.endpoint.eth_call(&request, Some(block.saturating_sub(1))).await.map_err(reverted) {
            Err(ChainError::Contract(error)) => Some(error.data().clone()),
            _ => None,
        }
    }

    /// The nonce was used by somebody else with this key, finally: the intent did not happen, and gets a new nonce.
    async fn relaunch(&mut self, nonce: u64, head: &Header) -> Result<(), SendError> {
        let Some(flight) = self.open.get(&nonce) else { return Ok(()) };
        tracing::warn!(intent = flight.intent, nonce, "nonce used by a foreign transaction of this key");
        let (intent, mut record) = (flight.intent.clone(), flight.record.clone());
        let fees = Fees::now(&self.link).await?;
        (record.nonce, record.after_block) = self.fresh_nonce().await?;
        record.after_block = record.after_block.max(head.number());
        record.attempts =
            vec![sign(&self.signer, self.link.chain_id, record.nonce, record.gas_limit, fees, &record.call)?];
        self.journal.put(&intent, &record).await?;
        self.next_nonce = record.nonce + 1;
        self.open.remove(&nonce);
        let flight = Flight::new(intent, record);
        flight.broadcast(&self.link).await;
        self.open.insert(flight.record.nonce, flight);
        Ok(())
    }

    /// An unmined transaction: broadcast it again now and then; replace it when it is the next one and takes too long.
    async fn press(&mut self, nonce: u64, is_next: bool) -> Result<(), SendError> {
        let Some(flight) = self.open.get_mut(&nonce) else { return Ok(()) };
        if flight.due_again(REBROADCAST_POLLS) {
            flight.broadcast(&self.link).await;
        }
        if !is_next || flight.sent_at.elapsed() < self.link.bump_after {
            return Ok(());
        }
        let fees = if flight.record.attempts.len() < MAX_ATTEMPTS {
            // Above the cap: no bump now, the cheaper transaction goes on waiting.
            Fees::now(&self.link).await.ok().and_then(|now| now.bumped(flight.record.last(), self.link.max_fee))
        } else {
            None
        };
        let Some(fees) = fees else {
            let stuck = SendError::Stuck { tx: flight.record.last().tx, nonce };
            for reply in self.waiters.remove(&flight.intent).unwrap_or_default() {
                answer(reply, Err(stuck.clone()));
            }
            flight.sent_at = Instant::now();
            for (command, why) in std::mem::take(&mut self.deferred) {
                answer(command.reply, Err(why));
            }
            return Ok(());
        };
        let mut record = flight.record.clone();
        record.attempts.push(sign(&self.signer, self.link.chain_id, nonce, record.gas_limit, fees, &record.call)?);
        self.journal.put(&flight.intent, &record).await?;
        tracing::info!(intent = flight.intent, nonce, tx = %record.last().tx, max_fee = fees.max_fee, "fee bumped");
        flight.record = record;
        flight.sent_at = Instant::now();
        flight.broadcast(&self.link).await;
        Ok(())
    }

    /// A reorg deeper than `confirmations` may have dropped what was final: broadcast it again.
    async fn heal(&mut self) {
        let Ok(used) = self.link.endpoint.nonce(self.signer.address(), false).await else { return };
        for (nonce, raw) in self.finals.range(used..) {
            tracing::warn!(nonce, "a final transaction is gone from the chain: broadcast again");
            if let Err(error) = self.link.endpoint.send_raw(raw).await {
                tracing::debug!(nonce, %error, "broadcast answered");
            }
        }
    }
}

fn keep(finals: &mut BTreeMap<u64, Bytes>, record: &Record) {
    finals.insert(record.nonce, record.last().raw.clone());
    while finals.len() > KEEP_FINAL {
        finals.pop_first();
    }
}

fn mined(receipt: TxReceipt) -> Mined {
    Mined {
        tx: receipt.transaction_hash,
        block: receipt.block(),
        gas_used: receipt.gas_used(),
        fee_wei: receipt.fee_wei(),
        created: receipt.contract_address,
        logs: receipt.logs.into_iter().map(|log| log.into_log()).collect(),
    }
}

fn told(outcome: Outcome) -> Result<Mined, SendError> {
    match outcome {
        Outcome::Mined(mined) => Ok(mined),
        Outcome::Reverted { tx, block, data } => {
            Err(SendError::Reverted { tx, block, cause: data.map(|data| ContractError::decode(&data)) })
        }
    }
}

fn answer(reply: Reply, outcome: Result<Mined, SendError>) {
    // Whoever asked may be gone; the outcome is in the journal.
    let _ = reply.send(outcome);
}
