//! Errors of the network, with stable codes, and reasons why a connection ended.

use std::{fmt, io};

use iroh::endpoint::{Connection, ConnectionError, VarInt};
use rialto_blobs::BlobError;
use rialto_protocol::{B256, wire::WireError};

/// Failure of a network operation.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The endpoint could not be bound.
    #[error("[N-NODE-001] cannot bind {addr}: {reason}")]
    Bind {
        /// Address that was asked for.
        addr: std::net::SocketAddr,
        /// Cause, for people.
        reason: String,
    },
    /// A configured or received address is invalid, or may not be dialled from here.
    #[error("[N-NODE-002] bad address: {0}")]
    Address(String),
    /// A peer could not be reached.
    #[error("[N-NODE-003] cannot connect to {peer}: {reason}")]
    Connect {
        /// Public key of the peer's endpoint.
        peer: B256,
        /// Cause, for people.
        reason: String,
    },
    /// The node was closed.
    #[error("[N-NODE-004] the node is closed")]
    NodeClosed,
    /// A limit of this node is reached.
    #[error("[N-NODE-005] limit reached: {0}")]
    Limit(&'static str),
    /// A session or transfer ended.
    #[error("[N-SES-001] {0}")]
    Closed(CloseReason),
    /// A message exceeded its bounds or could not be decoded.
    #[error("[N-SES-002] {0}")]
    Wire(#[from] WireError),
    /// The peer took nothing off the wire for too long.
    #[error("[N-SES-003] the peer is stuck")]
    Stalled,
    /// The node's own checks refused an ask that it was to publish.
    #[error("[N-ASK-001] ask refused: {0}")]
    AskRefused(String),
    /// The peer does not have the blob or does not serve it to this node. It does not say which, so
    /// that nobody can probe for content.
    #[error("[N-BLB-002] the peer does not serve the blob {0}")]
    BlobDenied(B256),
    /// The peer had no room for another transfer, several times in a row.
    #[error("[N-BLB-003] the peer is busy")]
    BlobBusy,
    /// The transfer was cut. The received bytes are kept, and the next fetch continues after them.
    #[error("[N-BLB-005] transfer cut after {received} of {size} bytes: {reason}")]
    BlobCut {
        /// Bytes that are on disk.
        received: u64,
        /// Size of the blob, bytes.
        size: u64,
        /// Cause, for people.
        reason: String,
    },
    /// The store of blobs.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl From<io::Error> for NetError {
    fn from(error: io::Error) -> Self {
        Self::Blob(error.into())
    }
}

impl From<NetError> for BlobError {
    /// What a peer as a source says.
    fn from(error: NetError) -> Self {
        match error {
            NetError::Blob(error) => error,
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

/// Reason for which this node ends a connection, sent as the QUIC application error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CloseCode {
    /// All is sent.
    Done = 0,
    /// A limit on sessions, peers or transfers is reached; try later.
    Busy = 1,
    /// A message could not be decoded or exceeded a bound.
    BadMessage = 2,
    /// The peer sent no first message in time, or stopped receiving.
    Timeout = 3,
    /// The gossip is about a market that this node does not follow.
    UnknownTopic = 4,
    /// The peer's gossip used up its budget.
    OverBudget = 5,
    /// A newer connection of the same peer replaced this one.
    Replaced = 6,
    /// The node is shutting down.
    Shutdown = 7,
    /// The blob is missing, or this peer may not fetch it.
    Denied = 8,
}

impl CloseCode {
    const ALL: [Self; 9] = [
        Self::Done,
        Self::Busy,
        Self::BadMessage,
        Self::Timeout,
        Self::UnknownTopic,
        Self::OverBudget,
        Self::Replaced,
        Self::Shutdown,
        Self::Denied,
    ];

    fn from_wire(code: VarInt) -> Option<Self> {
        Self::ALL.into_iter().find(|c| u64::from(*c as u32) == code.into_inner())
    }

    /// Ends the connection with this code.
    pub(crate) fn close(self, connection: &Connection) {
        connection.close(VarInt::from_u32(self as u32), self.words().as_bytes());
    }

    fn words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Busy => "busy",
            Self::BadMessage => "bad message",
            Self::Timeout => "timeout",
            Self::UnknownTopic => "unknown topic",
            Self::OverBudget => "over budget",
            Self::Replaced => "replaced",
            Self::Shutdown => "shutdown",
            Self::Denied => "denied",
        }
    }
}

/// Reason why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer finished: it will send no more.
    Finished,
    /// The peer closed with one of our codes.
    ByPeer(CloseCode),
    /// This side closed the session.
    ByUs,
    /// The peer's message could not be decoded.
    BadMessage(WireError),
    /// No packet came from the peer for [`crate::limits::IDLE_TIMEOUT`], or for
    /// [`crate::limits::SESSION_IDLE_TIMEOUT`] in a session.
    TimedOut,
    /// Anything else: the peer's process or the path is gone.
    Lost(String),
}

impl CloseReason {
    pub(crate) fn of(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                match CloseCode::from_wire(close.error_code) {
                    Some(CloseCode::Done) => Self::Finished,
                    Some(code) => Self::ByPeer(code),
                    None => Self::Lost(format!("closed with unknown code {}", close.error_code)),
                }
            }
            ConnectionError::LocallyClosed => Self::ByUs,
            ConnectionError::TimedOut => Self::TimedOut,
            other => Self::Lost(other.to_string()),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => write!(f, "the peer finished"),
            Self::ByPeer(code) => write!(f, "the peer closed: {}", code.words()),
            Self::ByUs => write!(f, "closed by this side"),
            Self::BadMessage(error) => write!(f, "unreadable message: {error}"),
            Self::TimedOut => write!(f, "the peer fell silent"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
        }
    }
}
