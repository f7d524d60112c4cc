//! Deal sessions: one QUIC connection with one stream, on which each side sends framed messages.
//!
//! A session has no memory: after a drop the caller connects again and the protocol above
//! (`Hello`, `Welcome`) finds out what is missing.

use std::{fmt, marker::PhantomData};

use bytes::Bytes;
use iroh::endpoint::{Connection, ReadError, RecvStream, SendStream, WriteError};
use rialto_protocol::{
    B256,
    wire::{Message, PeerAddr, ToProvider, ToRequester},
};
use tokio::time::timeout;

use crate::{
    address,
    error::{CloseCode, CloseReason, NetError},
    frame::{FrameError, FrameReader, FrameWriter, SendError},
    limits::{LINGER_TIMEOUT, MAX_FIRST_MESSAGE_BYTES},
    slots::Slot,
};

/// A session as the requester holds it.
pub type RequesterSession = Session<ToProvider, ToRequester>;
/// A session as the provider holds it.
pub type ProviderSession = Session<ToRequester, ToProvider>;

/// One connection of a deal: sends `Out`, receives `In`. Dropping it finishes what was sent, then closes.
pub struct Session<Out, In> {
    sender: SessionSender<Out>,
    receiver: SessionReceiver<In>,
}

impl<Out, In> fmt::Debug for Session<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("peer", &self.sender.peer()).finish_non_exhaustive()
    }
}

impl<Out: Message, In: Message> Session<Out, In> {
    pub(crate) fn new(connection: Connection, (send, recv): (SendStream, RecvStream), slot: Slot) -> Self {
        let link = Link { connection, _slot: slot };
        Self {
            receiver: SessionReceiver {
                link: link.clone(),
                reader: FrameReader::new(recv),
                first: None,
                limit: MAX_FIRST_MESSAGE_BYTES.min(In::MAX_BYTES),
                reason: None,
                types: PhantomData,
            },
            sender: SessionSender { link, writer: Some(FrameWriter::new(send)), types: PhantomData },
        }
    }

    /// Public key of the peer's endpoint, proven by the handshake.
    pub fn peer(&self) -> B256 {
        self.sender.peer()
    }

    /// Where the peer is right now: enough to fetch a blob from it.
    pub fn peer_addr(&self) -> PeerAddr {
        self.sender.peer_addr()
    }

    /// See [`SessionSender::send`].
    pub async fn send(&mut self, message: &Out) -> Result<(), NetError> {
        self.sender.send(message).await
    }

    /// See [`SessionReceiver::recv`].
    pub async fn recv(&mut self) -> Option<In> {
        self.receiver.recv().await
    }

    /// See [`SessionReceiver::reason`].
    pub fn reason(&self) -> Option<CloseReason> {
        self.receiver.reason()
    }

    /// See [`SessionSender::closed`].
    pub async fn closed(&self) -> CloseReason {
        self.sender.closed().await
    }

    /// Both directions apart, for two tasks. The session ends when both are dropped.
    pub fn split(self) -> (SessionSender<Out>, SessionReceiver<In>) {
        (self.sender, self.receiver)
    }

    /// Ends the session at once; what is on the way may be lost.
    pub fn abort(self, code: CloseCode) {
        code.close(&self.sender.link.connection);
    }

    /// Waits for the peer's first message, so that silent or hostile strangers never reach the node.
    pub(crate) async fn receive_first(&mut self) -> Result<(), CloseReason> {
        self.receiver.first = self.receiver.recv().await;
        match &self.receiver.first {
            Some(_) => Ok(()),
            None => Err(self.receiver.reason.clone().unwrap_or(CloseReason::Finished)),
        }
    }
}

/// What both halves keep alive: the connection and its place under the session limits.
#[derive(Clone)]
struct Link {
    connection: Connection,
    _slot: Slot,
}

/// Sending half of a session.
pub struct SessionSender<Out> {
    link: Link,
    /// `None` only while being dropped.
    writer: Option<FrameWriter>,
    types: PhantomData<fn(Out)>,
}

impl<Out: Message> SessionSender<Out> {
    /// Sends one message; waits while the peer is slow, at most [`crate::limits::STALL_TIMEOUT`] without
    /// progress. Cancel safe in that frames are never torn: a cancelled message goes out with the next.
    pub async fn send(&mut self, message: &Out) -> Result<(), NetError> {
        let bytes = message.encode()?;
        let writer = self.writer.as_mut().expect("taken only by drop");
        let result = writer.send(&bytes).await;
        result.map_err(|error| match error {
            SendError::Write(WriteError::ConnectionLost(lost)) => NetError::Closed(CloseReason::of(&lost)),
            SendError::Write(WriteError::Stopped(_)) => NetError::Closed(CloseReason::Finished),
            SendError::Write(other) => NetError::Closed(CloseReason::Lost(other.to_string())),
            SendError::Stalled => {
                CloseCode::Timeout.close(&self.link.connection);
                NetError::Stalled
            }
        })
    }
}

impl<Out> SessionSender<Out> {
    /// Public key of the peer's endpoint.
    pub fn peer(&self) -> B256 {
        B256::from(*self.link.connection.remote_id().as_bytes())
    }

    /// Where the peer is right now.
    pub fn peer_addr(&self) -> PeerAddr {
        address::of_connection(&self.link.connection)
    }

    /// Completes when the connection is gone, with the reason.
    pub async fn closed(&self) -> CloseReason {
        CloseReason::of(&self.link.connection.closed().await)
    }
}

impl<Out> Drop for SessionSender<Out> {
    /// Lets what was sent arrive before the connection goes.
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        writer.finish();
        let link = self.link.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Either way the connection may go now.
                let _ = timeout(LINGER_TIMEOUT, writer.stream().stopped()).await;
                drop(link);
            });
        }
    }
}

/// Receiving half of a session.
pub struct SessionReceiver<In> {
    link: Link,
    reader: FrameReader,
    /// Received before the session was handed out.
    first: Option<In>,
    /// Bytes of the next message: small until the first one has come.
    limit: usize,
    reason: Option<CloseReason>,
    types: PhantomData<fn() -> In>,
}

impl<In: Message> SessionReceiver<In> {
    /// Next message; `None` when the session is over (see [`Self::reason`]). Cancel safe. A message
    /// that breaks the rules ends the session.
    pub async fn recv(&mut self) -> Option<In> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.reason.is_some() {
            return None;
        }
        let result = self.reader.next(self.limit).await;
        match self.judge(result) {
            Ok(message) => {
                self.limit = In::MAX_BYTES;
                Some(message)
            }
            Err(reason) => {
                if matches!(reason, CloseReason::BadMessage(_)) {
                    CloseCode::BadMessage.close(&self.link.connection);
                }
                tracing::debug!(peer = %self.link.connection.remote_id(), %reason, "session over");
                self.reason = Some(reason);
                None
            }
        }
    }

    fn judge(&self, result: Result<Option<Bytes>, FrameError>) -> Result<In, CloseReason> {
        match result {
            Ok(Some(frame)) => In::decode(&frame).map_err(CloseReason::BadMessage),
            Ok(None) => Err(CloseReason::Finished),
            Err(FrameError::Wire(error)) => Err(CloseReason::BadMessage(error)),
            Err(FrameError::Torn) => Err(CloseReason::Lost("ended within a message".into())),
            Err(FrameError::Read(ReadError::ConnectionLost(lost))) => Err(CloseReason::of(&lost)),
            Err(FrameError::Read(other)) => Err(CloseReason::Lost(other.to_string())),
        }
    }

    /// Why `recv` returned `None`.
    pub fn reason(&self) -> Option<CloseReason> {
        self.reason.clone()
    }
}
