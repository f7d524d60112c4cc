//! JSON-RPC over HTTP: single requests and batches, on loopback.

use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, HOST},
        uri::Authority,
    },
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{Devchain, Error, RpcError};

/// Longest request body, bytes.
const MAX_BODY_BYTES: usize = 2 << 20;
/// Most requests in one batch.
const MAX_BATCH_REQUESTS: usize = 256;

/// A running HTTP endpoint; stops when dropped.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Returns the address of the endpoint.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the URL of the endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops listening and waits until the current requests are answered.
    pub async fn shutdown(mut self) {
        self.stop.take();
        // An error means that the task panicked or was cancelled, so it has stopped in any case.
        let _ = (&mut self.task).await;
    }
}

/// Serves a chain at `addr`; port 0 takes any free port. Only loopback addresses are accepted,
/// because every client of the endpoint controls the chain.
///
/// # Errors
/// [`Error::Io`] if the address is not on loopback or can't be bound.
pub async fn serve(chain: Devchain, addr: SocketAddr) -> Result<Server, Error> {
    let io = |source| Error::Io { what: "the chain's endpoint cannot listen", source };
    if !addr.ip().is_loopback() {
        return Err(io(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "only loopback addresses are served",
        )));
    }
    let listener = TcpListener::bind(addr).await.map_err(io)?;
    let addr = listener.local_addr().map_err(io)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let app = Router::new()
        .route("/", post(answer_body))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(chain);
    let task = tokio::spawn(async move {
        let until = async {
            // Resolves on `shutdown`, or when the server is dropped.
            let _ = stopped.await;
        };
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until).await {
            tracing::error!(%error, "devchain endpoint failed");
        }
    });
    Ok(Server { addr, stop: Some(stop), task })
}

/// Returns whether a request comes from a local client and not from a web page in a browser. It
/// must have the content type JSON, which a foreign page cannot set without a preflight request,
/// and a loopback host, which a rebound DNS name is not.
fn is_local(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default()
    };
    let host = text(HOST).parse::<Authority>();
    let host = host
        .as_ref()
        .map(|authority| authority.host().trim_matches(['[', ']']))
        .unwrap_or_default();
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    loopback && text(CONTENT_TYPE).starts_with("application/json")
}

async fn answer_body(State(chain): State<Devchain>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_local(&headers) {
        return (StatusCode::FORBIDDEN, "only application/json for a loopback host is answered")
            .into_response();
    }
    // An answer takes the chain's lock and runs the virtual machine, so it must not block the
    // threads that serve sockets.
    match tokio::task::spawn_blocking(move || answer(&chain, &body)).await {
        Ok(Some(answer)) => {
            ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
        }
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Returns the answer to a body of one request or a batch; `None` if it has only notifications.
fn answer(chain: &Devchain, body: &[u8]) -> Option<Value> {
    match serde_json::from_slice(body) {
        Err(_) => Some(failure(Value::Null, RpcError::parse())),
        Ok(Value::Array(batch)) if batch.is_empty() => {
            Some(failure(Value::Null, RpcError::invalid_request("empty batch")))
        }
        Ok(Value::Array(batch)) if batch.len() > MAX_BATCH_REQUESTS => {
            Some(failure(Value::Null, RpcError::invalid_request("batch too large")))
        }
        Ok(Value::Array(batch)) => {
            let answers: Vec<_> =
                batch.into_iter().filter_map(|request| answer_one(chain, request)).collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(request) => answer_one(chain, request),
    }
}

fn answer_one(chain: &Devchain, request: Value) -> Option<Value> {
    let Value::Object(mut request) = request else {
        return Some(failure(Value::Null, RpcError::invalid_request("Invalid Request")));
    };
    let id = request.remove("id");
    if matches!(id, Some(Value::Array(_) | Value::Object(_) | Value::Bool(_))) {
        return Some(failure(Value::Null, RpcError::invalid_request("invalid id")));
    }
    let Some(Value::String(method)) = request.remove("method") else {
        return Some(failure(id.unwrap_or_default(), RpcError::invalid_request("Invalid Request")));
    };
    let result = chain.handle(&method, request.remove("params").unwrap_or_default());
    let id = id?;
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(id, error),
    })
}

fn failure(id: Value, error: RpcError) -> Value {
    let mut object = json!({ "code": error.code, "message": error.message });
    if let Some(data) = error.data {
        object["data"] = data;
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": object })
}
