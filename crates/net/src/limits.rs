//! All bounds of the network. [`Limits`] holds those that an operator may change.

use std::time::Duration;

/// Version in every ALPN: endpoints of different versions do not even finish a handshake.
pub const NET_VERSION: u16 = 1;

/// Longest time for a handshake: long enough for a few lost packets, short enough to try the next
/// provider.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the first message of a new connection: honest peers send it at once.
pub const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a packet for this long is dead. Keep-alives (every 5 s, by iroh) prevent
/// that while the peer lives.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for sessions: three missed keep-alives. Work waits for a session, and reconnecting
/// costs one round trip, so it pays to notice a dead one soon.
pub const SESSION_IDLE_TIMEOUT: Duration = Duration::from_secs(6);
/// Pause after which the dialler of a session sends a keep-alive.
pub const SESSION_KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Longest wait until a peer has received the last bytes of a session or blob: a full window over a
/// slow line.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time without progress in sending a message or in a blob transfer. It is longer than any
/// pause of an honest peer, so the peer is alive but stuck.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Handshakes in progress at once; more are refused, so that a flood of strangers costs bounded
/// memory.
pub const MAX_HANDSHAKES: usize = 64;
/// Bytes in flight per connection and direction, 2 MiB: 20 MB/s over a path of 100 ms.
pub const WINDOW_BYTES: u32 = 2 << 20;
/// Largest first message of a session (Hello, Welcome, Refuse), 4 KiB: the peer is still unknown.
pub const MAX_FIRST_MESSAGE_BYTES: usize = 4 << 10;
/// Sessions accepted but not yet returned by `Node::accept`; more are refused as busy.
pub const MAX_WAITING_SESSIONS: usize = 64;

/// Topics of a node: one per market it trades on.
pub const MAX_TOPICS: usize = 8;
/// Gossip peers that a node dials by itself: enough to keep a random graph of any size connected.
pub const DIALED_PEERS: usize = 8;
/// Addresses kept for dialling, per topic; the oldest one is dropped first.
pub const MAX_CANDIDATES: usize = 1024;
/// Backoff after the first failed dial of a peer; it doubles up to [`MAX_DIAL_BACKOFF`].
pub const MIN_DIAL_BACKOFF: Duration = Duration::from_millis(500);
/// Longest pause between dials of one peer.
pub const MAX_DIAL_BACKOFF: Duration = Duration::from_secs(60);
/// Asks of one provider kept per topic: a few price classes; a new one replaces the oldest.
pub const MAX_ASKS_PER_PROVIDER: usize = 8;
/// Remembered hashes of asks that left the book or were refused, per topic, so that no ask is
/// judged twice.
pub const MAX_REMEMBERED_ASKS: usize = 16_384;
/// Longest remaining validity of a gossiped ask, 30 days: a forgotten ask must not stay for ever.
pub const MAX_ASK_SECONDS: u64 = 30 * 24 * 3600;
/// Asks that the caller's check judges at once, per topic: this bounds the calls to the chain.
pub const MAX_CHECKS: usize = 16;
/// Longest time for the caller's check of one ask. After that it counts as if the chain were
/// unreachable.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval at which expired asks are dropped, a few old ones are judged again, and deferred ones
/// are retried.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Asks judged again per sweep, those with the oldest judgement first: deposits may have been
/// withdrawn and counters raised.
pub const RECHECKS_PER_SWEEP: usize = 8;
/// Deferred asks per topic: the chain was unreachable or did not show their deposit yet.
pub const MAX_DEFERRED_ASKS: usize = 128;
/// Retries of a deferred ask: 2 minutes in all, longer than any chain takes to show a deposit.
pub const MAX_DEFERRALS: u32 = 24;
/// Peers whose gossip budget is remembered, per topic.
pub const MAX_BUDGETS: usize = 4096;
/// Price of any gossip message, in tokens of the sender's budget.
pub const COST_MESSAGE: u32 = 1;
/// Price of an ask that is no longer good (expired, cancelled, no deposit), in tokens. It is
/// moderate, because bad timing can be the reason.
pub const COST_STALE: u32 = 16;
/// Price of an ask that never was good, in tokens: about 16 of them use up the default budget.
pub const COST_BAD: u32 = 256;

/// Blobs being fetched at once; more wait.
pub const MAX_FETCHES: usize = 64;
/// Blobs being fetched from one peer at once, so that a slow peer can't block the others; more
/// wait.
pub const MAX_FETCHES_PER_PEER: usize = 8;
/// Slowest accepted transfer, 32 KiB/s on average after [`STALL_TIMEOUT`]: a trickling peer must
/// not hold a slot.
pub const MIN_BLOB_BYTES_PER_SECOND: u64 = 32 << 10;
/// Blobs being served at once; more requests are refused as busy.
pub const MAX_SERVES: usize = 64;
/// Blobs being served to one peer at once.
pub const MAX_SERVES_PER_PEER: usize = 8;
/// Retries of a fetch from a busy peer.
pub const MAX_BUSY_RETRIES: u32 = 20;
/// Pause before asking a busy peer again.
pub const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// Size of the pieces in which blobs move between disk and network, 128 KiB.
pub const CHUNK_BYTES: usize = 128 << 10;

/// Bounds that an operator may change.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions open at once, in and out.
    pub sessions: usize,
    /// Incoming sessions of one peer: one per deal between the two, and some that are about to die.
    pub sessions_per_peer: usize,
    /// Gossip peers that dialled this node, per topic.
    pub gossip_peers: usize,
    /// Asks kept per topic.
    pub asks: usize,
    /// Gossip tokens that a peer can save: enough for a whole book at once, which a newcomer's
    /// peers send.
    pub gossip_burst: u32,
    /// Gossip tokens a peer earns per second.
    pub gossip_per_second: u32,
    /// Bytes of the blob store on disk, with unfinished downloads.
    pub blob_store_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 512,
            sessions_per_peer: 16,
            gossip_peers: 64,
            asks: 4096,
            gossip_burst: 4096,
            gossip_per_second: 64,
            blob_store_bytes: 64 << 30,
        }
    }
}
