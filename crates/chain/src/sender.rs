//! Sender of the transactions of one key. It persists each intent with its signed transaction
//! before it broadcasts anything, and watches the transaction until it is final. The same intent is
//! never executed twice.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::call::MarketCall;
use crate::chain::Chain;
use crate::contract_error::MarketError;
use crate::court::Court;
use crate::court_call::{CourtCall, Signed};
use crate::error::SendError;
use crate::journal::{Journal, Mined, Owner, RawCall};
use crate::link::Link;
use crate::worker::{Command, ToSend, Worker};

/// Most calls that may wait for one key.
const MAX_WAITING_CALLS: usize = 256;
/// Longest name of an intent, bytes.
const MAX_INTENT_BYTES: usize = 256;
/// Most call data, bytes. Nodes refuse transactions above 128 KiB.
const MAX_CALL_BYTES: usize = 120 * 1024;

/// Sender of the transactions of one key, in order. All clones share one sender. It stops when the
/// last clone is dropped. The next sender with the same journal resumes what was persisted.
#[derive(Clone)]
pub struct Sender {
    chain: Chain,
    tx: TxSender,
    /// Held while an accusation raises the court's allowance, because one allowance is enough for
    /// all.
    accusing: Arc<Mutex<()>>,
    /// Held while a call is under way that must leave money in the account, so that the next call
    /// sees the balance after it.
    spending: Arc<Mutex<()>>,
}

impl Sender {
    pub(crate) async fn start(
        chain: Chain,
        signer: PrivateKeySigner,
        journal: Option<&Path>,
    ) -> Result<Sender, SendError> {
        let tx = TxSender::start(chain.link().clone(), signer, journal).await?;
        Ok(Sender { chain, tx, accusing: Arc::default(), spending: Arc::default() })
    }

    /// Returns the account that sends.
    pub fn account(&self) -> Address {
        self.tx.handle.account
    }

    /// Sends `call` and waits until it is final.
    ///
    /// `intent` is an idempotency key. If the same intent is sent again, such as after a crash, it
    /// returns the first one's outcome, waits for it if necessary, and never pays twice. A call
    /// that would revert is refused before anything is sent or persisted, and its intent stays
    /// unused. Dropping the future does not stop the transaction.
    ///
    /// # Errors
    /// [`SendError::Rejected`] if the call would revert, [`SendError::Reverted`] if it was mined
    /// and reverted, [`SendError::IntentConflict`] if the intent belongs to another call,
    /// [`SendError::Stuck`] if the transaction is not mined after all fee bumps; the other variants
    /// say why nothing was sent.
    pub async fn send(
        &self,
        intent: impl Into<String>,
        call: MarketCall,
    ) -> Result<Mined, SendError> {
        self.tx.send(intent.into(), call.raw(self.chain.market(), self.chain.token())?).await
    }

    /// Sends a call that takes `takes` from the sender's market account, unless that leaves less
    /// than `keeps` in it. If the account does not even have `takes`, the market refuses the call.
    /// An intent that was sent before is handled as by [`Sender::send`], because the account has
    /// already paid for it.
    ///
    /// # Errors
    /// [`SendError::KeepsTooLittle`] if less than `keeps` would be left; nothing was sent then. The
    /// others are those of [`Sender::send`].
    pub async fn send_keeping(
        &self,
        intent: impl Into<String>,
        call: MarketCall,
        takes: u128,
        keeps: u128,
    ) -> Result<Mined, SendError> {
        let intent = intent.into();
        let _one = self.spending.lock().await;
        if keeps > 0 && !self.tx.knows(&intent).await? {
            let account = self.account();
            let balance = self.chain.account(account).await?;
            if balance >= takes && balance < takes.saturating_add(keeps) {
                return Err(SendError::KeepsTooLittle { account, balance, takes, keeps });
            }
        }
        self.send(intent, call).await
    }

    /// Sends an accusation. If necessary, it first allows the court to take bonds from the sender's
    /// market account, without a limit. `intent` names only the accusation; the allowance may be
    /// repeated without harm. The caller must have checked the court's code with
    /// [`Court::is_known_code`], because the court may take money.
    ///
    /// # Errors
    /// [`SendError::BondMissing`] if the account does not have the bond; nothing was sent then. The
    /// others are those of [`Sender::send`].
    pub async fn accuse(
        &self,
        intent: impl Into<String>,
        court: &Court,
        signed: Signed,
    ) -> Result<Mined, SendError> {
        let intent = intent.into();
        let _one = self.accusing.lock().await;
        let fuel_limit = signed.order.fuelLimit;
        let call = CourtCall::Accuse { signed: Box::new(signed) };
        let call = MarketCall::Court { court: court.address(), call };
        let refused = match self.send(intent.clone(), call.clone()).await {
            Err(SendError::Rejected(error)) => error,
            outcome => return outcome,
        };
        if !matches!(
            refused.market(),
            Some(MarketError::AllowanceTooLow(_) | MarketError::InsufficientBalance(_))
        ) {
            return Err(SendError::Rejected(refused));
        }
        let account = self.account();
        let (bond, balance, head) = futures::try_join!(
            court.bond_for(fuel_limit),
            self.chain.account(account),
            self.chain.head()
        )?;
        if balance < bond {
            return Err(SendError::BondMissing { account, balance, bond });
        }
        // Each allowance has a new intent, because an earlier one may be used up or withdrawn.
        let allow = MarketCall::Allow { spender: court.address(), amount: u128::MAX };
        self.send(format!("{intent}-allow-{}", head.number), allow).await?;
        self.send(intent, call).await
    }

    /// Stops at once, like a crash. This is safe, because every step is persisted before it is
    /// taken. The journal is free when this returns.
    pub async fn stop(self) {
        self.tx.stop().await;
    }
}

/// Sender of raw calls and contract creations, which knows nothing of the market.
#[derive(Clone)]
pub(crate) struct TxSender {
    handle: Arc<Handle>,
}

struct Handle {
    account: Address,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
    journal: watch::Receiver<()>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TxSender {
    pub(crate) async fn start(
        link: Arc<Link>,
        signer: PrivateKeySigner,
        journal: Option<&Path>,
    ) -> Result<TxSender, SendError> {
        let account = signer.address();
        let owner = Owner { account, chain_id: link.chain_id, genesis: link.genesis };
        let journal = Journal::open(journal, owner).await?;
        let (commands, inbox) = mpsc::channel(MAX_WAITING_CALLS);
        let open = journal.watch();
        let worker = Worker::resume(link, signer, journal, inbox).await?;
        let task = tokio::spawn(worker.run());
        Ok(TxSender { handle: Arc::new(Handle { account, commands, task, journal: open }) })
    }

    pub(crate) async fn stop(&self) {
        self.handle.task.abort();
        // Wait until a pending write to the journal has ended.
        let mut open = self.handle.journal.clone();
        while open.changed().await.is_ok() {}
    }

    pub(crate) async fn send(&self, intent: String, call: RawCall) -> Result<Mined, SendError> {
        check_size("the intent key", intent.len(), MAX_INTENT_BYTES)?;
        check_size("the call data", call.data.len(), MAX_CALL_BYTES)?;
        let (reply, outcome) = oneshot::channel();
        self.tell(Command::Send(ToSend { intent, call, reply }))?;
        outcome.await.unwrap_or(Err(SendError::Stopped))
    }

    /// Returns whether an intent was persisted: it was sent or is about to be.
    async fn knows(&self, intent: &str) -> Result<bool, SendError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Knows { intent: intent.to_owned(), reply })?;
        answer.await.unwrap_or(Err(SendError::Stopped))
    }

    fn tell(&self, command: Command) -> Result<(), SendError> {
        self.handle.commands.try_send(command).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => SendError::Busy { waiting: MAX_WAITING_CALLS },
            mpsc::error::TrySendError::Closed(_) => SendError::Stopped,
        })
    }
}

fn check_size(what: &'static str, bytes: usize, limit: usize) -> Result<(), SendError> {
    if bytes > limit { Err(SendError::TooLarge { what, bytes, limit }) } else { Ok(()) }
}
