//! Deal sessions: one QUIC connection with one stream, on which each side sends framed messages.
//!
//! A session keeps no state between connections: after a lost connection the caller connects again,
//! and the messages `Hello` and `Welcome` find out what is missing.

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

/// The requester's side of a session.
pub type RequesterSession = Session<ToProvider, ToRequester>;
/// The provider's side of a session.
pub type ProviderSession = Session<ToRequester, ToProvider>;

/// One connection of a deal, which sends `Out` and receives `In`. Dropping it first delivers the
/// messages that were sent, then closes.
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
    pub(crate) fn new(
        connection: Connection,
        (send, recv): (SendStream, RecvStream),
        slot: Slot,
    ) -> Self {
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
            sender: SessionSender {
                link,
                writer: Some(FrameWriter::new(send)),
                types: PhantomData,
            },
        }
    }

    /// Returns the public key of the peer's endpoint, which the handshake has proven.
    pub fn peer(&self) -> B256 {
        self.sender.peer()
    }

    /// Returns the peer's current address, which is enough to fetch a blob from it.
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

    /// Splits the session into its two directions, for two tasks. It ends when both are dropped.
    pub fn split(self) -> (SessionSender<Out>, SessionReceiver<In>) {
        (self.sender, self.receiver)
    }

    /// Ends the session at once. Messages in flight may be lost.
    pub fn abort(self, code: CloseCode) {
        code.close(&self.sender.link.connection);
    }

    /// Waits for the peer's first message, so that silent strangers never reach the node's owner.
    pub(crate) async fn receive_first(&mut self) -> Result<(), CloseReason> {
        self.receiver.first = self.receiver.recv().await;
        match &self.receiver.first {
            Some(_) => Ok(()),
            None => Err(self.receiver.reason.clone().unwrap_or(CloseReason::Finished)),
        }
    }
}

/// Connection and its place under the session limits. Both halves keep it alive.
#[derive(Clone)]
struct Link {
    connection: Connection,
    _slot: Slot,
}

/// Sending half of a session.
pub struct SessionSender<Out> {
    link: Link,
    /// `None` only while the sender is being dropped.
    writer: Option<FrameWriter>,
    types: PhantomData<fn(Out)>,
}

impl<Out: Message> SessionSender<Out> {
    /// Sends one message. Waits while the peer is slow, at most [`crate::limits::STALL_TIMEOUT`]
    /// without progress. A cancelled call never tears a frame: its message is sent before the next
    /// one.
    ///
    /// # Errors
    /// [`NetError::Wire`] if the message exceeds its bounds, [`NetError::Closed`] if the session is
    /// over, [`NetError::Stalled`] if the peer stopped receiving; the session then ends.
    pub async fn send(&mut self, message: &Out) -> Result<(), NetError> {
        let bytes = message.encode()?;
        let writer = self.writer.as_mut().expect("taken only by drop");
        let result = writer.send(&bytes).await;
        result.map_err(|error| match error {
            SendError::Write(WriteError::ConnectionLost(lost)) => {
                NetError::Closed(CloseReason::of(&lost))
            }
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
    /// Returns the public key of the peer's endpoint.
    pub fn peer(&self) -> B256 {
        B256::from(*self.link.connection.remote_id().as_bytes())
    }

    /// Returns the peer's current address.
    pub fn peer_addr(&self) -> PeerAddr {
        address::of_connection(&self.link.connection)
    }

    /// Waits until the connection is gone and returns the reason.
    pub async fn closed(&self) -> CloseReason {
        CloseReason::of(&self.link.connection.closed().await)
    }
}

impl<Out> Drop for SessionSender<Out> {
    /// Delivers sent messages before the connection closes.
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        writer.finish();
        let link = self.link.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Delivered or not, the connection may close now.
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
    /// First message, received before the session was handed out.
    first: Option<In>,
    /// Largest next message, bytes: small until the first one has arrived.
    limit: usize,
    reason: Option<CloseReason>,
    types: PhantomData<fn() -> In>,
}

impl<In: Message> SessionReceiver<In> {
    /// Returns the next message; `None` when the session is over (see [`Self::reason`]). Cancel
    /// safe. A message that can't be decoded ends the session.
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

    /// Returns the reason why `recv` returned `None`.
    pub fn reason(&self) -> Option<CloseReason> {
        self.reason.clone()
    }
}
