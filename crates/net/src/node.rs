//! The node: one QUIC endpoint that dials, accepts, and dispatches every connection by its purpose.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use iroh::{
    Endpoint, RelayMode, SecretKey,
    dns::DnsResolver,
    endpoint::{
        ConnectOptions, Connection, IdleTimeout, Incoming, NetReportConfig, PortmapperConfig,
        QuicTransportConfig, QuicTransportConfigBuilder, RecvStream, SendStream, VarInt, presets,
    },
};
use rialto_protocol::{B256, wire::PeerAddr};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    address::{self, Reach},
    asks::{AskCheck, AskPublisher, AskStream, Topics},
    blobs::{Blobs, Server},
    error::{CloseCode, CloseReason, NetError},
    limits::{
        CONNECT_TIMEOUT, FIRST_MESSAGE_TIMEOUT, IDLE_TIMEOUT, Limits, MAX_HANDSHAKES,
        MAX_WAITING_SESSIONS, NET_VERSION, SESSION_IDLE_TIMEOUT, SESSION_KEEP_ALIVE, WINDOW_BYTES,
    },
    session::{ProviderSession, RequesterSession, Session},
    slots::Slots,
};

/// Purpose of a connection. It decides the ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Session,
    Asks,
    Blobs,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Session, Self::Asks, Self::Blobs];

    pub(crate) fn alpn(self) -> Vec<u8> {
        let name = match self {
            Self::Session => "session",
            Self::Asks => "asks",
            Self::Blobs => "blobs",
        };
        format!("rialto/{name}/{NET_VERSION}").into_bytes()
    }
}

/// Settings of a node.
#[derive(Clone)]
pub struct NetConfig {
    /// Secret key of the endpoint; the public key is the node's id.
    pub secret: [u8; 32],
    /// Address to listen on. Loopback keeps all traffic on this machine.
    pub bind: SocketAddr,
    /// File that keeps the port between starts. If `bind` leaves the port free, the node tries its
    /// last port first, so that peers find it at its old address.
    pub port_file: Option<PathBuf>,
    /// URL of the home relay, for peers behind NATs. `None`: direct addresses only.
    pub relay: Option<String>,
    /// Addresses to publish besides those that the node finds itself, such as a forwarded port.
    pub external: Vec<SocketAddr>,
    /// Folder of the blob store.
    pub blob_dir: PathBuf,
    /// Bounds that the operator chose.
    pub limits: Limits,
}

impl NetConfig {
    /// Returns the settings of a node on loopback, with a free port and default limits.
    pub fn loopback(secret: [u8; 32], blob_dir: impl Into<PathBuf>) -> Self {
        Self {
            secret,
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            port_file: None,
            relay: None,
            external: vec![],
            blob_dir: blob_dir.into(),
            limits: Limits::default(),
        }
    }
}

/// A node of the network. Clones share one endpoint; it closes with `close`, or when the last clone
/// is dropped.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    dialer: Dialer,
    has_relay: bool,
    external: Vec<SocketAddr>,
    sessions: Slots,
    incoming: Mutex<mpsc::Receiver<ProviderSession>>,
    topics: Arc<Topics>,
    blobs: Blobs,
    accepting: Mutex<Option<tokio::task::JoinHandle<()>>>,
    cancel: CancellationToken,
    _stop_on_drop: DropGuard,
}

/// Opens connections within the node's reach and time bound.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    reach: Reach,
}

impl Dialer {
    pub(crate) fn id(&self) -> B256 {
        B256::from(*self.endpoint.id().as_bytes())
    }

    pub(crate) async fn dial(
        &self,
        peer: &PeerAddr,
        purpose: Purpose,
    ) -> Result<Connection, NetError> {
        let failed = |reason: String| NetError::Connect { peer: peer.endpoint, reason };
        let target = self.reach.dialable(peer)?;
        let mut options = ConnectOptions::new();
        if purpose == Purpose::Session {
            // QUIC uses the shorter timeout of the two sides, so it is enough that the dialler sets
            // it.
            let watchful = transport(SESSION_IDLE_TIMEOUT).keep_alive_interval(SESSION_KEEP_ALIVE);
            options = options.with_transport_config(watchful.build());
        }
        let connected = async {
            let connecting =
                self.endpoint.connect_with_opts(target, &purpose.alpn(), options).await;
            connecting
                .map_err(|error| format!("{error:#}"))?
                .await
                .map_err(|error| format!("{error:#}"))
        };
        match timeout(CONNECT_TIMEOUT, connected).await {
            Ok(outcome) => outcome.map_err(failed),
            Err(_) => Err(failed(format!("no answer in {} s", CONNECT_TIMEOUT.as_secs()))),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Node {
    /// Binds the endpoint, opens the blob store and starts to accept connections.
    ///
    /// # Errors
    /// [`NetError::Bind`] if the address can't be bound, [`NetError::Address`] if the relay's URL
    /// is wrong, [`NetError::Blob`] if the store can't be opened
    /// within its limit.
    pub async fn bind(config: NetConfig) -> Result<Self, NetError> {
        let cancel = CancellationToken::new();
        let blobs_store =
            Blobs::open_store(config.blob_dir.clone(), config.limits.blob_store_bytes).await?;
        let endpoint = bind(&config).await?;
        let reach =
            Reach { loopback_only: config.bind.ip().is_loopback() && config.relay.is_none() };
        let dialer = Dialer { endpoint, reach };
        let blobs = Blobs::new(blobs_store, dialer.clone());
        let topics = Arc::new(Topics::new(dialer.clone(), config.limits.clone(), cancel.clone()));
        let sessions = Slots::new(config.limits.sessions, config.limits.sessions_per_peer);
        let (waiting, incoming) = mpsc::channel(MAX_WAITING_SESSIONS);
        let acceptor = Arc::new(Acceptor {
            sessions: sessions.clone(),
            waiting,
            topics: topics.clone(),
            blobs: blobs.server(),
            cancel: cancel.clone(),
        });
        let accepting = tokio::spawn(acceptor.run(dialer.endpoint.clone()));
        Ok(Self(Arc::new(Inner {
            dialer,
            has_relay: config.relay.is_some(),
            external: config.external,
            sessions,
            incoming: Mutex::new(incoming),
            topics,
            blobs,
            accepting: Mutex::new(Some(accepting)),
            _stop_on_drop: cancel.clone().drop_guard(),
            cancel,
        })))
    }

    /// Public key of this endpoint.
    pub fn id(&self) -> B256 {
        self.0.dialer.id()
    }

    /// Returns the addresses at which others can reach this node now.
    pub fn addr(&self) -> PeerAddr {
        address::of_endpoint(self.0.dialer.endpoint.addr(), &self.0.external)
    }

    /// Waits until peers anywhere can reach this node, which with a relay means until the relay
    /// answers. Waits for at most `patience`; returns whether peers can reach it.
    pub async fn online(&self, patience: Duration) -> bool {
        !self.0.has_relay || timeout(patience, self.0.dialer.endpoint.online()).await.is_ok()
    }

    /// Opens a session to a provider, within [`CONNECT_TIMEOUT`]. The provider sees the session
    /// when the first message arrives, which must happen within [`FIRST_MESSAGE_TIMEOUT`].
    ///
    /// # Errors
    /// [`NetError::Connect`] if the provider does not answer, [`NetError::Address`] if no address
    /// of it may be dialled, [`NetError::Limit`] if too many sessions are open,
    /// [`NetError::NodeClosed`] after `close`.
    pub async fn connect(&self, provider: &PeerAddr) -> Result<RequesterSession, NetError> {
        if self.0.cancel.is_cancelled() {
            return Err(NetError::NodeClosed);
        }
        let slot = self.0.sessions.take(provider.endpoint).ok_or(NetError::Limit("sessions"))?;
        let connection = self.0.dialer.dial(provider, Purpose::Session).await?;
        let streams = open_stream(&connection).await?;
        Ok(Session::new(connection, streams, slot))
    }

    /// Returns the next session that a requester opened, after its first message has arrived;
    /// `None` once the node is closed. While nobody calls this, further requesters are told to come
    /// back later.
    pub async fn accept(&self) -> Option<ProviderSession> {
        self.0.incoming.lock().await.recv().await
    }

    /// Joins the gossip of a market's asks (`types::ask_topic`). `check` judges every ask before it
    /// is kept or forwarded. Joining a topic again returns the same book and ignores the new check.
    ///
    /// # Errors
    /// [`NetError::Limit`] if the node has joined too many topics, [`NetError::NodeClosed`] after
    /// `close`.
    pub fn asks(
        &self,
        topic: B256,
        bootstrap: Vec<PeerAddr>,
        check: Arc<dyn AskCheck>,
    ) -> Result<(AskPublisher, AskStream), NetError> {
        self.0.topics.join(topic, bootstrap, check)
    }

    /// Adds a peer as a gossip candidate to every topic, for example from an announcement on chain.
    pub fn add_bootstrap(&self, peer: PeerAddr) {
        self.0.topics.add_candidate(&peer);
    }

    /// Returns the blob store of this node.
    pub fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// Ends every connection, and waits until the peers know it or can't be reached.
    pub async fn close(&self) {
        self.0.cancel.cancel();
        if let Some(accepting) = self.0.accepting.lock().await.take() {
            // Joining the task only fails if the runtime is shutting down.
            let _ = accepting.await;
        }
    }
}

/// Binds the endpoint, at its last port if the settings want that and the port is free.
async fn bind(config: &NetConfig) -> Result<Endpoint, NetError> {
    let file = config.port_file.as_ref().filter(|_| config.bind.port() == 0);
    let Some(file) = file else { return bind_at(config, config.bind).await };
    // The file may hold anything. A wrong port can't be bound, and then any free port is taken.
    let last =
        std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let endpoint = match bind_at(config, (config.bind.ip(), last).into()).await {
        Err(_) if last != 0 => bind_at(config, config.bind).await,
        bound => bound,
    }?;
    let port = endpoint.bound_sockets().first().map_or(0, SocketAddr::port);
    if port != last
        && let Err(error) = std::fs::write(file, format!("{port}\n"))
    {
        tracing::warn!(file = %file.display(), %error, "the port is not remembered");
    }
    Ok(endpoint)
}

async fn bind_at(config: &NetConfig, addr: SocketAddr) -> Result<Endpoint, NetError> {
    let failed = |reason: String| NetError::Bind { addr, reason };
    // A relay without QUIC address discovery can only be found by HTTP. Without a relay no probe
    // may leave this machine.
    let mut probes = NetReportConfig::minimal();
    probes.https_probes = config.relay.is_some();
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&config.secret))
        .alpns(Purpose::ALL.map(Purpose::alpn).to_vec())
        .transport_config(transport(IDLE_TIMEOUT).build())
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(probes)
        .clear_address_lookup()
        .clear_ip_transports()
        .bind_addr(addr)
        .map_err(|e| failed(format!("{e:#}")))?;
    builder = match &config.relay {
        Some(url) => builder.relay_mode(RelayMode::custom([address::relay_url(url)?])),
        // Without a relay there is no name to resolve. This resolver reads no system configuration
        // and could ask nobody but this machine.
        None => builder
            .relay_mode(RelayMode::Disabled)
            .dns_resolver(DnsResolver::with_nameserver((Ipv4Addr::LOCALHOST, 53).into())),
    };
    for addr in &config.external {
        builder = builder.external_addr(*addr);
    }
    builder.bind().await.map_err(|e| failed(format!("{e:#}")))
}

/// Returns a transport with one stream per connection, opened by the dialler, bounded windows and
/// no datagrams.
fn transport(idle: Duration) -> QuicTransportConfigBuilder {
    let idle = IdleTimeout::try_from(idle).expect("a constant far below 2^62 ms");
    QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(u64::from(WINDOW_BYTES))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle))
}

/// Opens the one stream of an outgoing connection.
pub(crate) async fn open_stream(
    connection: &Connection,
) -> Result<(SendStream, RecvStream), NetError> {
    connection.open_bi().await.map_err(|error| NetError::Closed(CloseReason::of(&error)))
}

/// Accepts the one stream of an incoming connection; `None` if the peer is too slow or gone.
pub(crate) async fn accept_stream(connection: &Connection) -> Option<(SendStream, RecvStream)> {
    match timeout(FIRST_MESSAGE_TIMEOUT, connection.accept_bi()).await {
        Ok(Ok(streams)) => Some(streams),
        Ok(Err(_)) => None,
        Err(_) => {
            CloseCode::Timeout.close(connection);
            None
        }
    }
}

/// Accepts connections and dispatches them by their purpose.
struct Acceptor {
    sessions: Slots,
    waiting: mpsc::Sender<ProviderSession>,
    topics: Arc<Topics>,
    blobs: Server,
    cancel: CancellationToken,
}

impl Acceptor {
    /// Accepts until the node is cancelled, then closes the endpoint.
    async fn run(self: Arc<Self>, endpoint: Endpoint) {
        let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
        loop {
            let incoming = tokio::select! {
                () = self.cancel.cancelled() => break,
                incoming = endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            match handshakes.clone().try_acquire_owned() {
                Ok(permit) => {
                    let serve = self.clone().serve(incoming, permit);
                    let cancel = self.cancel.clone();
                    tokio::spawn(async move { cancel.run_until_cancelled(serve).await });
                }
                Err(_) => incoming.refuse(),
            }
        }
        endpoint.close().await;
    }

    async fn serve(self: Arc<Self>, incoming: Incoming, handshake: OwnedSemaphorePermit) {
        let connection = match timeout(CONNECT_TIMEOUT, incoming).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                tracing::debug!(error = format!("{error:#}"), "incoming handshake failed");
                return;
            }
            Err(_) => return,
        };
        drop(handshake);
        let alpn = connection.alpn().to_vec();
        match Purpose::ALL.into_iter().find(|p| p.alpn() == alpn) {
            Some(Purpose::Session) => self.serve_session(connection).await,
            Some(Purpose::Asks) => self.topics.serve(connection).await,
            Some(Purpose::Blobs) => self.blobs.serve(connection).await,
            None => CloseCode::BadMessage.close(&connection),
        }
    }

    async fn serve_session(&self, connection: Connection) {
        let peer = B256::from(*connection.remote_id().as_bytes());
        let Some(slot) = self.sessions.take(peer) else {
            tracing::debug!(%peer, "session refused: limit");
            return CloseCode::Busy.close(&connection);
        };
        let Some(streams) = accept_stream(&connection).await else { return };
        // A session is handed out with its first message, so that a silent stranger takes a slot
        // for seconds only and never reaches the provider.
        let mut session = ProviderSession::new(connection, streams, slot);
        match timeout(FIRST_MESSAGE_TIMEOUT, session.receive_first()).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => {
                return tracing::debug!(%peer, %reason, "session refused: no first message");
            }
            Err(_) => return session.abort(CloseCode::Timeout),
        }
        if let Err(refused) = self.waiting.try_send(session) {
            tracing::debug!(%peer, "session refused: nobody takes it");
            match refused {
                mpsc::error::TrySendError::Full(session) => session.abort(CloseCode::Busy),
                mpsc::error::TrySendError::Closed(session) => session.abort(CloseCode::Shutdown),
            }
        }
    }
}
