//! The task of a sender. It accepts intents, broadcasts their transactions, and watches each one
//! until it is final.

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

/// Most transactions of one key in flight. Nodes keep about this many per account.
const MAX_OPEN: usize = 16;
/// Most signed transactions per intent. Each fee bump raises the fee by an eighth, so that nine
/// bumps nearly triple it.
const MAX_ATTEMPTS: usize = 10;
/// Polls between two broadcasts of the same transaction.
const REBROADCAST_POLLS: u32 = 10;
/// Polls between two checks whether a reorg dropped a final transaction.
const HEAL_POLLS: u32 = 20;
/// Most calls that wait until an open transaction is mined.
const MAX_DEFERRED: usize = 64;
/// Number of outcomes between two prunings of the journal.
const PRUNE_EVERY: u64 = 512;
/// Polls for which a simulation waits until the endpoint has seen the last transaction of this key.
const LAG_PATIENCE_POLLS: u32 = 50;
/// Number of final transactions that are kept, to broadcast them again if a reorg deeper than
/// `confirmations` drops them.
const KEEP_FINAL: usize = 64;

type Reply = oneshot::Sender<Result<Mined, SendError>>;

/// Request of a sender to its worker.
pub(crate) enum Command {
    /// Send a call.
    Send(ToSend),
    /// Answer whether an intent is in the journal.
    Knows { intent: String, reply: oneshot::Sender<Result<bool, SendError>> },
}

/// One call to send.
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
    /// Transactions that are persisted and not final, by nonce.
    open: BTreeMap<u64, Flight>,
    /// Callers that wait for each open intent.
    waiters: BTreeMap<String, Vec<Reply>>,
    /// Calls that would revert now, each with the reason. They may succeed once an open transaction
    /// is mined.
    deferred: Vec<(ToSend, SendError)>,
    /// The newest [`KEEP_FINAL`] final transactions, by nonce.
    finals: BTreeMap<u64, Bytes>,
    next_nonce: u64,
    next_seq: u64,
    /// Newest block that is known to have a transaction of this key. A simulation on older state
    /// would be wrong.
    seen_block: u64,
}

impl Worker {
    /// Resumes the open transactions of the journal.
    pub(crate) async fn resume(
        link: Arc<Link>,
        signer: PrivateKeySigner,
        journal: Journal,
        inbox: mpsc::Receiver<Command>,
    ) -> Result<Worker, SendError> {
        journal.prune().await?;
        let records = journal.all().await?;
        // A new journal does not know transactions in the mempool, but the node may know them.
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
        Ok(Worker {
            link,
            signer,
            journal,
            inbox,
            open,
            waiters,
            deferred,
            finals,
            next_nonce,
            next_seq,
            seen_block,
        })
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
                        // The caller may be gone.
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

    /// Simulates, signs, persists and broadcasts a call.
    async fn launch(&mut self, command: ToSend) {
        let ToSend { intent, call, reply } = command;
        match self.sign_new(&intent, &call).await {
            Ok(record) => {
                self.waiters.entry(intent.clone()).or_default().push(reply);
                let flight = Flight::new(intent, record);
                flight.broadcast(&self.link).await;
                self.open.insert(flight.record.nonce, flight);
            }
            Err(why @ SendError::Rejected(_))
                if !self.open.is_empty() && self.deferred.len() < MAX_DEFERRED =>
            {
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

    /// Waits, for a limited time, until the endpoint has the state after this key's last
    /// transaction.
    async fn await_seen_block(&self) -> Result<(), ChainError> {
        for _ in 0..LAG_PATIENCE_POLLS {
            if self.link.endpoint.latest().await?.number() >= self.seen_block {
                break;
            }
            tokio::time::sleep(self.link.poll).await;
        }
        Ok(())
    }

    /// Returns a nonce that is used neither on chain nor by a record, and the newest block at that
    /// time.
    async fn fresh_nonce(&self) -> Result<(u64, u64), ChainError> {
        // The order matters: the search for a foreign use of the nonce begins after `head`, and
        // this nonce was unused at `head`.
        let head = self.link.endpoint.latest().await?.number();
        let used = self.link.endpoint.nonce(self.signer.address(), false).await?;
        Ok((self.next_nonce.max(used), head))
    }

    /// Checks all open transactions once.
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

    /// Persists the outcome, then tells the callers.
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

    /// Returns the reason why a mined transaction reverted, if the node can still give it.
    async fn revert_data(&self, record: &Record, block: u64) -> Option<Bytes> {
        let request = CallRequest::by(self.signer.address(), &record.call);
        match self
            .link
            .endpoint
            .eth_call(&request, Some(block.saturating_sub(1)))
            .await
            .map_err(reverted)
        {
            Err(ChainError::Contract(error)) => Some(error.data().clone()),
            _ => None,
        }
    }

    /// Gives an intent a new nonce, after a foreign transaction of this key with the old nonce
    /// became final. The intent was not executed.
    async fn relaunch(&mut self, nonce: u64, head: &Header) -> Result<(), SendError> {
        let Some(flight) = self.open.get(&nonce) else { return Ok(()) };
        tracing::warn!(
            intent = flight.intent,
            nonce,
            "nonce used by a foreign transaction of this key"
        );
        let (intent, mut record) = (flight.intent.clone(), flight.record.clone());
        let fees = Fees::now(&self.link).await?;
        (record.nonce, record.after_block) = self.fresh_nonce().await?;
        record.after_block = record.after_block.max(head.number());
        record.attempts = vec![sign(
            &self.signer,
            self.link.chain_id,
            record.nonce,
            record.gas_limit,
            fees,
            &record.call,
        )?];
        self.journal.put(&intent, &record).await?;
        self.next_nonce = record.nonce + 1;
        self.open.remove(&nonce);
        let flight = Flight::new(intent, record);
        flight.broadcast(&self.link).await;
        self.open.insert(flight.record.nonce, flight);
        Ok(())
    }

    /// Handles a transaction that is not mined: broadcasts it again from time to time, and replaces
    /// it if it is the next one and takes too long.
    async fn press(&mut self, nonce: u64, is_next: bool) -> Result<(), SendError> {
        let Some(flight) = self.open.get_mut(&nonce) else { return Ok(()) };
        if flight.due_again(REBROADCAST_POLLS) {
            flight.broadcast(&self.link).await;
        }
        if !is_next || flight.sent_at.elapsed() < self.link.bump_after {
            return Ok(());
        }
        let fees = if flight.record.attempts.len() < MAX_ATTEMPTS {
            // If the fee would be above the maximum, there is no bump now and the cheaper
            // transaction stays.
            Fees::now(&self.link)
                .await
                .ok()
                .and_then(|now| now.bumped(flight.record.last(), self.link.max_fee))
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
        record.attempts.push(sign(
            &self.signer,
            self.link.chain_id,
            nonce,
            record.gas_limit,
            fees,
            &record.call,
        )?);
        self.journal.put(&flight.intent, &record).await?;
        tracing::info!(intent = flight.intent, nonce, tx = %record.last().tx, max_fee = fees.max_fee, "fee bumped");
        flight.record = record;
        flight.sent_at = Instant::now();
        flight.broadcast(&self.link).await;
        Ok(())
    }

    /// Broadcasts final transactions again that a reorg deeper than `confirmations` dropped.
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
        Outcome::Reverted { tx, block, data } => Err(SendError::Reverted {
            tx,
            block,
            cause: data.map(|data| ContractError::decode(&data)),
        }),
    }
}

fn answer(reply: Reply, outcome: Result<Mined, SendError>) {
    // The caller may be gone. The outcome is in the journal.
    let _ = reply.send(outcome);
}
