//! Every bound of the network, in one place. [`Limits`] holds those that an operator may change.

use std::time::Duration;

/// Version in every ALPN: endpoints of different versions do not even finish a handshake.
pub const NET_VERSION: u16 = 1;

/// Longest time for a handshake: enough for a few lost packets, little enough to try the next provider.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest silence of a new connection before its first message: honest peers speak at once.
pub const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a packet for this long is dead; keep-alives (every 5 s, by iroh) prevent it while the peer lives.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for sessions, where work waits and coming back costs one round trip: three keep-alives missed.
pub const SESSION_IDLE_TIMEOUT: Duration = Duration::from_secs(6);
/// Pause after which a session's dialler sends a keep-alive.
pub const SESSION_KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Longest wait for a peer to take the last bytes of a session or blob: a full window over a slow line.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that takes nothing, or sends nothing of a blob, for this long is alive but stuck; longer than any honest pause.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Handshakes in progress at once; more are refused, so that a flood of strangers costs bounded memory.
pub const MAX_HANDSHAKES: usize = 64;
/// Bytes in flight per connection and direction, 2 MiB: 20 MB/s over a path of 100 ms.
pub const WINDOW_BYTES: u32 = 2 << 20;
/// Largest first message of a session (Hello, Welcome, Refuse), 4 KiB: nothing is known of the peer yet.
pub const MAX_FIRST_MESSAGE_BYTES: usize = 4 << 10;
/// Sessions accepted but not yet taken by `Node::accept`; more are refused as busy.
pub const MAX_WAITING_SESSIONS: usize = 64;

/// Topics of a node: one per market it trades on.
pub const MAX_TOPICS: usize = 8;
/// Gossip peers that a node dials by itself: enough that a random graph of any size hangs together.
pub const DIALED_PEERS: usize = 8;
/// Addresses kept for dialling, per topic; the oldest learnt goes first.
pub const MAX_CANDIDATES: usize = 1024;
/// First pause after a failed dial of a peer; doubles up to [`MAX_DIAL_BACKOFF`].
pub const MIN_DIAL_BACKOFF: Duration = Duration::from_millis(500);
/// Longest pause between dials of one peer.
pub const MAX_DIAL_BACKOFF: Duration = Duration::from_secs(60);
/// Asks of one provider kept per topic: a few price classes; a new one replaces the oldest.
pub const MAX_ASKS_PER_PROVIDER: usize = 8;
/// Hashes remembered of asks that left the book or were refused, per topic: they are not judged twice.
pub const MAX_REMEMBERED_ASKS: usize = 16_384;
/// Longest validity of an ask that is gossiped, 30 days: a forgotten one must not stay for ever.
pub const MAX_ASK_SECONDS: u64 = 30 * 24 * 3600;
/// Asks judged by the caller's check at once, per topic: bounds the calls to the chain.
pub const MAX_CHECKS: usize = 16;
/// Longest time for the caller's check of one ask; then it is as if the chain were out of reach.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How often expired asks are dropped, a few old ones judged again, and undecided ones too.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Asks judged again per sweep, longest unjudged first: deposits are withdrawn, counters rise.
pub const RECHECKS_PER_SWEEP: usize = 8;
/// Asks kept aside, per topic, because the chain was away or did not show their deposit yet.
pub const MAX_DEFERRED_ASKS: usize = 128;
/// Times that an ask kept aside is judged again: 2 minutes, longer than any chain takes to show a deposit.
pub const MAX_DEFERRALS: u32 = 24;
/// Peers whose gossip budget is remembered, per topic.
pub const MAX_BUDGETS: usize = 4096;
/// Price of any gossip message, in tokens of the sender's budget.
pub const COST_MESSAGE: u32 = 1;
/// Price of an ask that is no longer good (expired, cancelled, no deposit): may be bad timing.
pub const COST_STALE: u32 = 16;
/// Price of an ask that never was good: about 16 of them use up the default budget.
pub const COST_BAD: u32 = 256;

/// Most (peer, blob) pairs that may be allowed at once.
pub const MAX_GRANTS: usize = 65_536;
/// Blobs being fetched at once; more wait.
pub const MAX_FETCHES: usize = 64;
/// Blobs being fetched from one peer at once, so that a slow one takes no other's place; more wait.
pub const MAX_FETCHES_PER_PEER: usize = 8;
/// Slowest transfer that is put up with, 32 KiB/s on average after [`STALL_TIMEOUT`]: trickling must not hold a place.
pub const MIN_BLOB_BYTES_PER_SECOND: u64 = 32 << 10;
/// Blobs being served at once; more are told to come back.
pub const MAX_SERVES: usize = 64;
/// Blobs being served to one peer at once.
pub const MAX_SERVES_PER_PEER: usize = 8;
/// Attempts to fetch from a busy peer.
pub const MAX_BUSY_RETRIES: u32 = 20;
/// Pause before asking a busy peer again.
pub const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// Piece in which blobs move between disk and network, 128 KiB.
pub const CHUNK_BYTES: usize = 128 << 10;
/// Largest blob that `read` brings into memory, 256 MiB.
pub const MAX_READ_BYTES: u64 = 256 << 20;

/// Bounds that an operator may change.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions open at once, in and out.
    pub sessions: usize,
    /// Incoming sessions of one peer: one per deal between two parties, and some that are dying.
    pub sessions_per_peer: usize,
    /// Gossip peers that dialled us, per topic.
    pub gossip_peers: usize,
    /// Asks kept per topic.
    pub asks: usize,
    /// Gossip tokens a peer can save up: a whole book at once, for newcomers.
    pub gossip_burst: u32,
    /// Gossip tokens a peer earns per second.
    pub gossip_per_second: u32,
    /// Bytes on disk in the blob store, unfinished downloads included.
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
