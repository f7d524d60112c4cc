//! One JSON-RPC endpoint, in process or over HTTP. Every call has a timeout, a bounded number of
//! retries with backoff, and a bounded answer; the number of concurrent calls is bounded, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;

use crate::error::{ChainError, RpcFault};

/// Most concurrent calls of one endpoint. Public endpoints throttle clients with more.
const MAX_CALLS_IN_FLIGHT: usize = 32;
/// Attempts of one call. Four retries take about three seconds, enough for a failover.
const MAX_ATTEMPTS: u32 = 5;
/// Backoff before the first retry; it doubles each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Longest backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// Longest wait for one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, far above a full block with receipts.
const MAX_RESPONSE_BYTES: usize = 32 * 1024 * 1024;
/// Longest text of a foreign error that a message repeats.
const MAX_FOREIGN_TEXT_BYTES: usize = 300;

/// An in-process chain: `(method, params) → result`. It may block, because it runs on a blocking
/// thread.
pub type LocalRpc = Arc<dyn Fn(&str, Value) -> Result<Value, RpcFault> + Send + Sync>;

/// Endpoint of a chain.
#[derive(Clone)]
pub enum Rpc {
    /// Ethereum JSON-RPC over `http://` or `https://`, with the system's root certificates.
    Http(Url),
    /// Ethereum JSON-RPC over `https://`, where only the given root certificates are trusted, such
    /// as those of a private authority.
    Private {
        /// URL of the endpoint.
        url: Url,
        /// Root certificates, PEM.
        roots: Arc<[u8]>,
    },
    /// A chain inside this process.
    Local(LocalRpc),
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Paths and queries of providers' URLs may contain API keys.
            Rpc::Http(url) | Rpc::Private { url, .. } => {
                write!(f, "Http({})", url.origin().ascii_serialization())
            }
            Rpc::Local(_) => write!(f, "Local"),
        }
    }
}

impl Rpc {
    /// Returns a reasonable interval for polls of this endpoint.
    pub(crate) fn default_poll(&self) -> Duration {
        match self {
            Rpc::Local(_) => Duration::from_millis(25),
            Rpc::Http(url) | Rpc::Private { url, .. } if is_loopback(url) => {
                Duration::from_millis(200)
            }
            Rpc::Http(_) | Rpc::Private { .. } => Duration::from_secs(2),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// A client of one endpoint; clones share it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    wire: Wire,
    slots: Arc<Semaphore>,
    next_id: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Wire {
    Http { client: reqwest::Client, url: Url },
    Local(LocalRpc),
}

/// Reason why one attempt gave no result.
enum Miss {
    /// The node answered with an error.
    Fault(RpcFault),
    /// There was no answer, or a retry may give a better one.
    Transient(String),
    /// The answer is unusable, and a retry would give the same.
    Broken(String),
}

impl Endpoint {
    pub(crate) fn new(rpc: &Rpc) -> Result<Endpoint, ChainError> {
        let wire = match rpc {
            Rpc::Local(handle) => Wire::Local(handle.clone()),
            Rpc::Http(url) => Wire::Http { client: http_client(url, None)?, url: url.clone() },
            Rpc::Private { url, roots } => {
                Wire::Http { client: http_client(url, Some(roots))?, url: url.clone() }
            }
        };
        Ok(Endpoint {
            wire,
            slots: Arc::new(Semaphore::new(MAX_CALLS_IN_FLIGHT)),
            next_id: Arc::new(AtomicU64::new(1)),
        })
    }

    /// Calls `method`, with retries if they may help.
    pub(crate) async fn call<R: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<R, ChainError> {
        let mut backoff = FIRST_BACKOFF;
        let mut attempts = 0;
        let value = loop {
            attempts += 1;
            let cause = match self.attempt(method, &params).await {
                Ok(value) => break value,
                Err(Miss::Fault(fault)) if !fault.is_transient() => {
                    return Err(ChainError::Refused { method: method.into(), fault });
                }
                Err(Miss::Broken(cause)) => {
                    return Err(ChainError::Malformed { method: method.into(), cause });
                }
                Err(Miss::Fault(fault)) => fault.to_string(),
                Err(Miss::Transient(cause)) => cause,
            };
            if attempts == MAX_ATTEMPTS {
                return Err(ChainError::Unreachable { method: method.into(), attempts, cause });
            }
            tracing::debug!(method, attempts, cause, "chain call retried");
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        };
        serde_json::from_value(value)
            .map_err(|e| ChainError::Malformed { method: method.into(), cause: e.to_string() })
    }

    async fn attempt(&self, method: &str, params: &Value) -> Result<Value, Miss> {
        let _slot = self.slots.acquire().await.map_err(|e| Miss::Broken(e.to_string()))?;
        let answer = async {
            match &self.wire {
                Wire::Local(handle) => {
                    local(handle.clone(), method.to_owned(), params.clone()).await
                }
                Wire::Http { client, url } => {
                    let id = self.next_id.fetch_add(1, Ordering::Relaxed);
                    http(client, url, id, method, params).await
                }
            }
        };
        tokio::time::timeout(CALL_TIMEOUT, answer).await.unwrap_or_else(|_| {
            Err(Miss::Transient(format!("no answer within {} s", CALL_TIMEOUT.as_secs())))
        })
    }
}

async fn local(handle: LocalRpc, method: String, params: Value) -> Result<Value, Miss> {
    match tokio::task::spawn_blocking(move || handle(&method, params)).await {
        Ok(result) => result.map_err(Miss::Fault),
        Err(e) => Err(Miss::Broken(e.to_string())),
    }
}

async fn http(
    client: &reqwest::Client,
    url: &Url,
    id: u64,
    method: &str,
    params: &Value,
) -> Result<Value, Miss> {
    #[derive(Deserialize)]
    struct Answer {
        id: Value,
        #[serde(default)]
        result: Value,
        error: Option<Fault>,
    }
    #[derive(Deserialize)]
    struct Fault {
        code: i64,
        message: String,
        data: Option<Value>,
    }

    let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    // `without_url`, because the URL may contain an API key.
    let transient = |e: reqwest::Error| Miss::Transient(chain_of(&e.without_url()));
    let mut response = client.post(url.clone()).json(&request).send().await.map_err(transient)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transient)? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(Miss::Broken(format!("answer above {MAX_RESPONSE_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    let answer: Answer = match serde_json::from_slice(&body) {
        Ok(answer) => answer,
        Err(_) if status.is_client_error() && status.as_u16() != 429 && status.as_u16() != 408 => {
            return Err(Miss::Broken(format!(
                "HTTP {status}: {}",
                clip(&String::from_utf8_lossy(&body))
            )));
        }
        Err(e) => return Err(Miss::Transient(format!("HTTP {status}, no JSON-RPC answer: {e}"))),
    };
    if let Some(Fault { code, message, data }) = answer.error {
        return Err(Miss::Fault(RpcFault { code, message: clip(&message), data }));
    }
    if answer.id != json!(id) {
        return Err(Miss::Transient("answer to another question".into()));
    }
    Ok(answer.result)
}

impl RpcFault {
    /// Returns whether a retry may help. Rate limits and internal errors of a backend pass; every
    /// other error is the node's answer.
    fn is_transient(&self) -> bool {
        if self.data.is_some() || self.code == 3 {
            return false;
        }
        let text = self.message.to_ascii_lowercase();
        matches!(self.code, 429 | -32005 | -32603)
            || text.contains("rate limit")
            || text.contains("too many requests")
    }

    /// Returns the revert data, if the fault is an execution revert; empty if the revert had none.
    pub(crate) fn revert_data(&self) -> Option<alloy_primitives::Bytes> {
        let hex = match &self.data {
            Some(Value::String(hex)) => Some(hex.as_str()),
            // Some nodes wrap the data: {"data": "0x…"}.
            Some(Value::Object(map)) => map.get("data").and_then(Value::as_str),
            _ => None,
        };
        let data = hex.and_then(|hex| hex.parse().ok());
        let reverted = self.code == 3 || self.message.to_ascii_lowercase().contains("revert");
        reverted.then(|| data.unwrap_or_default())
    }
}

/// Creates an HTTP client. It trusts only the certificates in `roots` (PEM); `None` trusts the
/// system's.
fn http_client(url: &Url, roots: Option<&[u8]>) -> Result<reqwest::Client, ChainError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(ChainError::BadEndpoint(format!(
            "scheme {} is not http or https",
            url.scheme()
        )));
    }
    // reqwest needs a process-wide TLS provider. If the process already has one, that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT);
    client = match roots {
        // Without TLS no certificate is checked, so the system's are not read; a bare container has
        // none.
        None if url.scheme() == "http" => client.tls_certs_only([]),
        None => client,
        Some(pem) => client.tls_certs_only(certificates(pem)?),
    };
    client.build().map_err(|e| ChainError::BadEndpoint(chain_of(&e)))
}

fn certificates(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, ChainError> {
    let found = reqwest::Certificate::from_pem_bundle(pem)
        .map_err(|e| ChainError::BadRoots(chain_of(&e)))?;
    if found.is_empty() {
        return Err(ChainError::BadRoots("there is no certificate in it".into()));
    }
    Ok(found)
}

/// Returns an error's text with its sources, bounded.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    clip(&text)
}

fn clip(text: &str) -> String {
    let end = (0..=MAX_FOREIGN_TEXT_BYTES.min(text.len()))
        .rev()
        .find(|&i| text.is_char_boundary(i))
        .unwrap_or(0);
    text[..end].to_owned()
}
