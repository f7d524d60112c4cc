//! One sender per key. An intent is persisted with its signed transaction before anything is
//! broadcast; its fate is open until it is seen final; the same intent never happens twice.

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

/// Calls that may wait for one key.
const MAX_WAITING_CALLS: usize = 256;
/// Longest intent key.
const MAX_INTENT_BYTES: usize = 256;
/// Most call data: nodes refuse transactions above 128 KiB.
const MAX_CALL_BYTES: usize = 120 * 1024;

/// Sends transactions of one key, in order. Clones share it; when the last is dropped it stops, and what it had
/// persisted is resumed by the next sender on the same journal.
#[derive(Clone)]
pub struct Sender {
    chain: Chain,
    tx: TxSender,
    /// Held while an accusation sees to its allowance: one is enough for all.
    accusing: Arc<Mutex<()>>,
    /// Held while a call is under way that has to leave money in the account: the next one sees what it took.
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

    /// The sending account.
    pub fn account(&self) -> Address {
        self.tx.handle.account
    }

    /// Sends `call` and waits until it is final.
    ///
    /// `intent` names what is meant, once and for all: the same intent sent again (after a crash, say) waits for, or
    /// returns, the first one's outcome, and never pays twice. A call that would revert is refused before anything is
    /// sent or persisted; its intent stays free. Dropping the future does not stop what was begun.
    pub async fn send(&self, intent: impl Into<String>, call: MarketCall) -> Result<Mined, SendError> {
        self.tx.send(intent.into(), call.raw(self.chain.market(), self.chain.token())?).await
    }

    /// Sends a call that takes money from the sender's account in the market, unless less than `keeps` would be left of it
    /// ([`SendError::KeepsTooLittle`]); then nothing was sent. What the account does not hold at all, the market says itself. An
    /// intent that was sent before is waited for as [`Sender::send`] does: what it took is gone from the account already.
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

    /// Accuses, and does what that needs first: the court is allowed to take bonds from the sender's account in the market, once and
    /// for all. What the account lacks of the bond, [`SendError::BondMissing`] says; then nothing was sent. `intent` stands for the
    /// accusation alone; to allow is harmless to repeat. The caller has made sure of the court's code
    /// ([`Court::is_known_code`]): it may take money.
    pub async fn accuse(&self, intent: impl Into<String>, court: &Court, signed: Signed) -> Result<Mined, SendError> {
        let intent = intent.into();
        let _one = self.accusing.lock().await;
        let fuel_limit = signed.order.fuelLimit;
        let call = CourtCall::Accuse { signed: Box::new(signed) };
        let call = MarketCall::Court { court: court.address(), call };
        let refused = match self.send(intent.clone(), call.clone()).await {
            Err(SendError::Rejected(error)) => error,
            outcome => return outcome,
        };
        if !matches!(refused.market(), Some(MarketError::AllowanceTooLow(_) | MarketError::InsufficientBalance(_))) {
            return Err(SendError::Rejected(refused));
        }
        let account = self.account();
        let (bond, balance, head) =
            futures::try_join!(court.bond_for(fuel_limit), self.chain.account(account), self.chain.head())?;
        if balance < bond {
            return Err(SendError::BondMissing { account, balance, bond });
        }
        // A new name each time: that it was done once, before, is not enough.
        let allow = MarketCall::Allow { spender: court.address(), amount: u128::MAX };
        self.send(format!("{intent}-allow-{}", head.number), allow).await?;
        self.send(intent, call).await
    }

    /// Stops at once, as a crash would: every step is persisted before it is taken. When this returns the journal is free.
    pub async fn stop(self) {
        self.tx.stop().await;
    }
}

/// The sender below the market's vocabulary: raw calls and contract creations.
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
        // A write that was under way ends first.
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

    /// Whether an intent was persisted: sent, or about to be.
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
