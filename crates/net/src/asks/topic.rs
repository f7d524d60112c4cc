//! The tasks of one topic: reading and writing of its links, the dialler and the sweeper.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use iroh::endpoint::{Connection, RecvStream, SendStream};
use rialto_protocol::{
    AskId, B256,
    types::struct_hash,
    wire::{AskGossip, Message, PeerAddr},
};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    AskCheck, Verdict,
    book::{Book, Deferred, Origin, Serial, Sight},
    budget::Budgets,
    links::{Links, Plan, Side, Trust},
};
use crate::{
    address::endpoint_id,
    error::{CloseCode, NetError},
    frame::{FrameError, FrameReader, FrameWriter},
    limits::{
        CHECK_TIMEOUT, COST_BAD, COST_MESSAGE, COST_STALE, Limits, MAX_CHECKS, RECHECKS_PER_SWEEP,
        STALL_TIMEOUT, SWEEP_INTERVAL,
    },
    node::{Dialer, Purpose, open_stream},
};

/// Gossip of one market at this node.
pub(crate) struct Topic {
    id: B256,
    dialer: Dialer,
    check: Arc<dyn AskCheck>,
    checks: Semaphore,
    book: Mutex<Book>,
    /// Position of the book's latest entry.
    pub(super) head: watch::Sender<Serial>,
    budgets: Mutex<Budgets>,
    pub(super) links: Links,
    pub(super) cancel: CancellationToken,
}

/// Outcome of a message, which decides its cost to the sender.
enum Outcome {
    Fine,
    Stale(String),
    Bad(String),
}

impl Topic {
    pub(super) fn start(
        id: B256,
        dialer: Dialer,
        limits: &Limits,
        check: Arc<dyn AskCheck>,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        let topic = Arc::new(Self {
            id,
            check,
            checks: Semaphore::new(MAX_CHECKS),
            book: Mutex::new(Book::new(limits.asks)),
            head: watch::channel(0).0,
            budgets: Mutex::new(Budgets::new(limits.gossip_burst, limits.gossip_per_second)),
            links: Links::new(dialer.id(), limits.gossip_peers),
            dialer,
            cancel,
        });
        // Both tasks end when the node's token is cancelled.
        tokio::spawn(topic.clone().keep_linked());
        tokio::spawn(topic.clone().keep_swept());
        topic
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budgets(&self) -> MutexGuard<'_, Budgets> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_candidate(&self, peer: &PeerAddr) {
        self.links.add_candidate(peer, Trust::Sure);
    }

    pub(super) fn live(&self) -> Vec<AskGossip> {
        self.book().live(self.check.now()).map(|entry| entry.gossip.clone()).collect()
    }

    pub(super) fn withdraw(&self, ask_hash: AskId) {
        self.book().retire(ask_hash);
    }

    pub(super) async fn publish(&self, gossip: AskGossip) -> Result<(), NetError> {
        gossip.encode()?;
        let sight = self.book().sight(&gossip, self.check.now());
        match sight {
            Sight::Known => {
                // Another node may have passed our own ask back to us with an outdated address.
                self.readdress(&gossip, Origin::Own);
                return Ok(());
            }
            Sight::Bad(why) | Sight::Stale(why) => return Err(NetError::AskRefused(why.into())),
            Sight::New => {}
        }
        match self.judge(&gossip).await {
            Verdict::Good => {
                self.keep(gossip, Origin::Own);
                Ok(())
            }
            Verdict::Stale(why) | Verdict::Bad(why) | Verdict::Unknown(why) => {
                Err(NetError::AskRefused(why))
            }
        }
    }

    /// Returns the first entry after the cursor whose origin is `wanted`, and moves the cursor past
    /// it.
    pub(super) fn next_entry(
        &self,
        cursor: &mut Serial,
        wanted: impl Fn(Origin) -> bool,
    ) -> Option<AskGossip> {
        let now = self.check.now();
        let book = self.book();
        while let Some((serial, entry)) = book.after(*cursor, now) {
            *cursor = serial;
            if wanted(entry.origin) {
                return Some(entry.gossip.clone());
            }
        }
        None
    }

    /// Runs the caller's check, for one copy of an ask at a time.
    async fn judge(&self, gossip: &AskGossip) -> Verdict {
        let _mark = Judging::begin(self, gossip);
        let Ok(_place) = self.checks.acquire().await else {
            return Verdict::Unknown("node closed".into());
        };
        match timeout(CHECK_TIMEOUT, self.check.check(&gossip.ask)).await {
            Ok(verdict) => verdict,
            Err(_) => Verdict::Unknown("check timed out".into()),
        }
    }

    /// Adds a good ask to the book and wakes every reader. The ask's provider becomes a candidate
    /// to dial.
    fn keep(&self, gossip: AskGossip, origin: Origin) {
        let addr = gossip.peer.clone();
        let mut book = self.book();
        let Some(serial) = book.insert(gossip, origin) else { return };
        self.head.send_replace(book.head());
        drop(book);
        tracing::debug!(peer = %addr.endpoint, serial, "ask kept");
        let from_itself = origin == Origin::Peer(addr.endpoint);
        self.links.add_candidate(&addr, if from_itself { Trust::Sure } else { Trust::Hint });
    }

    fn readdress(&self, gossip: &AskGossip, origin: Origin) {
        let mut book = self.book();
        if book.readdress(gossip, origin).is_some() {
            self.head.send_replace(book.head());
            drop(book);
            self.links.add_candidate(&gossip.peer, Trust::Sure);
        }
    }

    /// Handles a message from a peer.
    async fn receive(&self, peer: B256, frame: &[u8]) -> Outcome {
        let gossip = match AskGossip::decode(frame) {
            Ok(gossip) => gossip,
            Err(error) => return Outcome::Bad(error.to_string()),
        };
        if endpoint_id(gossip.peer.endpoint).is_none() {
            return Outcome::Bad("endpoint is not a public key".into());
        }
        let sight = self.book().sight(&gossip, self.check.now());
        match sight {
            Sight::Known => {
                if gossip.ask.value.endpoint == peer {
                    self.readdress(&gossip, Origin::Peer(peer));
                }
                return Outcome::Fine;
            }
            Sight::Bad(why) => return Outcome::Bad(why.into()),
            Sight::Stale(why) => return Outcome::Stale(why.into()),
            Sight::New => {}
        }
        match self.judge(&gossip).await {
            Verdict::Good => {
                self.keep(gossip, Origin::Peer(peer));
                Outcome::Fine
            }
            Verdict::Stale(why) => {
                // The deposit may be in a block that our endpoint has not seen yet.
                self.book().defer(Deferred { gossip, origin: Origin::Peer(peer), tries: 0 });
                Outcome::Stale(why)
            }
            Verdict::Bad(why) => {
                self.book().refuse(&gossip);
                Outcome::Bad(why)
            }
            Verdict::Unknown(why) => {
                tracing::debug!(%peer, why, "ask not judged yet");
                self.book().defer(Deferred { gossip, origin: Origin::Peer(peer), tries: 0 });
                Outcome::Fine
            }
        }
    }

    /// Serves a link that a peer dialled.
    pub(super) async fn serve(&self, connection: Connection, streams: (SendStream, RecvStream)) {
        self.link(connection, streams, Side::Accepted).await;
    }

    /// Dials a link and serves it. Returns how long it lasted.
    async fn dial(&self, addr: &PeerAddr) -> Duration {
        let linked = async {
            let connection = self.dialer.dial(addr, Purpose::Asks).await?;
            let (mut send, recv) = open_stream(&connection).await?;
            match timeout(STALL_TIMEOUT, send.write_all(self.id.as_slice())).await {
                Ok(Ok(())) => Ok((connection, (send, recv))),
                _ => Err(NetError::Stalled),
            }
        };
        match linked.await {
            Ok((connection, streams)) => {
                let start = Instant::now();
                self.link(connection, streams, Side::Dialed).await;
                start.elapsed()
            }
            Err(error) => {
                tracing::debug!(peer = %addr.endpoint, %error, "gossip peer not reached");
                Duration::ZERO
            }
        }
    }

    /// Reads and writes until either direction ends.
    async fn link(
        &self,
        connection: Connection,
        (send, recv): (SendStream, RecvStream),
        side: Side,
    ) {
        let peer = B256::from(*connection.remote_id().as_bytes());
        let in_debt = !self.budgets().spend(peer, 0, Instant::now());
        if in_debt {
            return CloseCode::OverBudget.close(&connection);
        }
        let Some(seat) = self.links.join(peer, side) else {
            return CloseCode::Busy.close(&connection);
        };
        let code = tokio::select! {
            code = self.read(peer, FrameReader::new(recv)) => code,
            () = self.write(peer, FrameWriter::new(send)) => CloseCode::Done,
            () = seat.replaced.cancelled() => CloseCode::Replaced,
            () = self.cancel.cancelled() => CloseCode::Shutdown,
        };
        code.close(&connection);
        self.links.leave(&seat);
        tracing::debug!(%peer, ?side, ?code, "gossip link ended");
    }

    /// Reads messages as fast as the peer's budget allows. While this node does not read, QUIC's
    /// flow control stops the peer from sending.
    async fn read(&self, peer: B256, mut frames: FrameReader) -> CloseCode {
        loop {
            let wait = self.budgets().wait(peer, Instant::now());
            match wait {
                Some(Duration::ZERO) => {}
                Some(pause) => {
                    sleep(pause).await;
                    continue;
                }
                None => std::future::pending().await,
            }
            let (outcome, fatal) = match frames.next(AskGossip::MAX_BYTES).await {
                Ok(Some(frame)) => (self.receive(peer, &frame).await, false),
                Ok(None) | Err(FrameError::Torn | FrameError::Read(_)) => return CloseCode::Done,
                Err(FrameError::Wire(error)) => (Outcome::Bad(error.to_string()), true),
            };
            let cost = match outcome {
                Outcome::Fine => COST_MESSAGE,
                Outcome::Stale(why) => {
                    tracing::debug!(%peer, why, "stale ask");
                    COST_STALE
                }
                Outcome::Bad(why) => {
                    tracing::debug!(%peer, why, "bad ask");
                    COST_BAD
                }
            };
            let solvent = self.budgets().spend(peer, cost, Instant::now());
            if fatal {
                return CloseCode::BadMessage;
            }
            if !solvent && cost > COST_MESSAGE {
                return CloseCode::OverBudget;
            }
        }
    }

    /// Sends the whole book, then each new entry, except asks that came from this peer.
    async fn write(&self, peer: B256, mut frames: FrameWriter) {
        let mut head = self.head.subscribe();
        let mut cursor = 0;
        loop {
            head.borrow_and_update();
            while let Some(gossip) =
                self.next_entry(&mut cursor, |origin| origin != Origin::Peer(peer))
            {
                match gossip.encode() {
                    Ok(bytes) => {
                        if frames.send(&bytes).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::warn!(%error, "ask in the book can't be encoded"),
                }
            }
            if head.changed().await.is_err() {
                return;
            }
        }
    }

    /// Dials candidates while there are too few links.
    async fn keep_linked(self: Arc<Self>) {
        loop {
            let wake = match self.links.plan(Instant::now()) {
                Plan::Dial(addr) => {
                    let topic = self.clone();
                    tokio::spawn(async move {
                        let lasted = topic.cancel.run_until_cancelled(topic.dial(&addr)).await;
                        topic.links.dial_ended(
                            addr.endpoint,
                            lasted.unwrap_or_default(),
                            Instant::now(),
                        );
                    });
                    continue;
                }
                Plan::Wait(until) => until,
            };
            let pause = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = pause => {}
                () = self.links.bell.notified() => {}
            }
        }
    }

    /// Removes expired asks, and checks deferred asks and a few old asks again.
    async fn keep_swept(self: Arc<Self>) {
        while self.cancel.run_until_cancelled(sleep(SWEEP_INTERVAL)).await.is_some() {
            self.cancel.run_until_cancelled(self.sweep()).await;
        }
    }

    async fn sweep(&self) {
        let now = self.check.now();
        let (due, deferred) = {
            let mut book = self.book();
            book.expire(now);
            (book.due_for_recheck(RECHECKS_PER_SWEEP), book.take_deferred())
        };
        for gossip in due {
            if let Verdict::Stale(why) | Verdict::Bad(why) = self.judge(&gossip).await {
                let hash = struct_hash(&gossip.ask.value);
                tracing::debug!(ask = %hash, why, "ask dropped");
                self.book().drop_ask(hash);
            }
        }
        for ask in deferred {
            let sight = self.book().sight(&ask.gossip, now);
            if sight != Sight::New {
                continue;
            }
            match self.judge(&ask.gossip).await {
                Verdict::Good => self.keep(ask.gossip, ask.origin),
                Verdict::Stale(_) | Verdict::Unknown(_) => self.book().defer(ask),
                Verdict::Bad(_) => self.book().refuse(&ask.gossip),
            }
        }
    }
}

/// Guard for an ask that is being checked. Dropping it ends the mark, even if the check is
/// cancelled.
struct Judging<'a> {
    topic: &'a Topic,
    gossip: &'a AskGossip,
}

impl<'a> Judging<'a> {
    fn begin(topic: &'a Topic, gossip: &'a AskGossip) -> Self {
        topic.book().begin_judging(gossip);
        Self { topic, gossip }
    }
}

impl Drop for Judging<'_> {
    fn drop(&mut self) {
        self.topic.book().end_judging(self.gossip);
    }
}
