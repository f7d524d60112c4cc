//! What can go wrong, with stable codes, and why a connection ended.

use std::{fmt, io};

use iroh::endpoint::{Connection, ConnectionError, VarInt};
use rialto_protocol::{B256, wire::WireError};

/// Failure of the network layer.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The endpoint could not be bound.
    #[error("[N-NODE-001] cannot bind {addr}: {reason}")]
    Bind {
        /// Where.
        addr: std::net::SocketAddr,
        /// Why.
        reason: String,
    },
    /// A configured or received address makes no sense.
    #[error("[N-NODE-002] bad address: {0}")]
    Address(String),
    /// No connection to a peer.
    #[error("[N-NODE-003] cannot connect to {peer}: {reason}")]
    Connect {
        /// Endpoint.
        peer: B256,
        /// Why.
        reason: String,
    },
    /// The node was closed.
    #[error("[N-NODE-004] the node is closed")]
    NodeClosed,
    /// An own limit is reached.
    #[error("[N-NODE-005] limit reached: {0}")]
    Limit(&'static str),
    /// A session or transfer ended.
    #[error("[N-SES-001] {0}")]
    Closed(CloseReason),
    /// A message broke its bounds or could not be read.
    #[error("[N-SES-002] {0}")]
    Wire(#[from] WireError),
    /// The peer took nothing off the wire for too long.
    #[error("[N-SES-003] the peer is stuck")]
    Stalled,
    /// An ask was not accepted by our own checks.
    #[error("[N-ASK-001] ask refused: {0}")]
    AskRefused(String),
    /// A blob is larger than asked for or allowed.
    #[error("[N-BLB-001] blob of {size} bytes is over the limit of {limit}")]
    BlobTooLarge {
        /// Bytes.
        size: u64,
        /// Bytes.
        limit: u64,
    },
    /// The peer does not have the blob, or does not serve it to us: it does not say which.
    #[error("[N-BLB-002] the peer does not serve the blob {0}")]
    BlobDenied(B256),
    /// The peer had no room for another transfer, several times in a row.
    #[error("[N-BLB-003] the peer is busy")]
    BlobBusy,
    /// The content is not what the hash or size said.
    #[error("[N-BLB-004] the peer sent something else than the blob {0}")]
    BlobWrong(B256),
    /// The transfer was cut; what came is kept, and the next fetch goes on from there.
    #[error("[N-BLB-005] transfer cut after {received} of {size} bytes: {reason}")]
    BlobCut {
        /// Bytes on disk.
        received: u64,
        /// Bytes.
        size: u64,
        /// Why.
        reason: String,
    },
    /// The store has no room, even without everything that is only cached.
    #[error("[N-BLB-006] blob store is full: {needed} more bytes needed, limit {limit}")]
    BlobStoreFull {
        /// Bytes.
        needed: u64,
        /// Bytes.
        limit: u64,
    },
    /// Not in our store.
    #[error("[N-BLB-007] blob {0} is not here")]
    BlobMissing(B256),
    /// The disk.
    #[error("[N-BLB-008] blob store: {0}")]
    BlobIo(#[from] io::Error),
}

/// Why we end a connection, as its QUIC application error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CloseCode {
    /// Nothing is left to say.
    Done = 0,
    /// A limit on sessions, peers or transfers is reached; try later.
    Busy = 1,
    /// A message could not be read or was over a bound.
    BadMessage = 2,
    /// No first message in time, or nothing taken off the wire.
    Timeout = 3,
    /// Gossip on a market that this node does not follow.
    UnknownTopic = 4,
    /// The peer's gossip used up its budget.
    OverBudget = 5,
    /// A newer connection of the same peer took this one's place.
    Replaced = 6,
    /// The node goes down.
    Shutdown = 7,
    /// The blob is not here, or not for this peer.
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

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer finished: it will send no more.
    Finished,
    /// The peer closed with one of our codes.
    ByPeer(CloseCode),
    /// We closed.
    ByUs,
    /// The peer's message could not be read.
    BadMessage(WireError),
    /// Nothing came from the peer for [`crate::limits::IDLE_TIMEOUT`].
    TimedOut,
    /// Anything else: the peer's process or the path is gone.
    Lost(String),
}

impl CloseReason {
    pub(crate) fn of(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => match CloseCode::from_wire(close.error_code) {
                Some(CloseCode::Done) => Self::Finished,
                Some(code) => Self::ByPeer(code),
                None => Self::Lost(format!("closed with unknown code {}", close.error_code)),
            },
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
