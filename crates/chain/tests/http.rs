//! HTTP endpoints that recover slowly, give wrong answers, or never end an answer.
#![allow(clippy::unwrap_used)]

mod support;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::Address;
use rialto_chain::{Chain, ChainError, Rpc};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Reads one request and returns its JSON-RPC id.
async fn request_id(stream: &mut TcpStream) -> Option<u64> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let read = stream.read(&mut chunk).await.ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..read]);
        if bytes[0] != b'P' {
            return None; // not a POST in plain text
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(request) = serde_json::from_str::<serde_json::Value>(body) {
            return request["id"].as_u64();
        }
    }
}

/// Starts a server that answers request n with the HTTP response `answers(n, id)` and counts
/// requests.
async fn server(
    answers: impl Fn(usize, u64) -> String + Send + Sync + 'static,
) -> (Rpc, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/key-that-must-stay-secret", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(id) = request_id(&mut stream).await else { continue };
            let answer = answers(count.fetch_add(1, Ordering::SeqCst), id);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (Rpc::Http(url.parse().unwrap()), asked)
}

fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn result(id: u64, value: &str) -> String {
    response("200 OK", &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{value}}}"#))
}

async fn failure(rpc: Rpc) -> ChainError {
    soon(Chain::connect(config(rpc, Address::ZERO))).await.err().unwrap()
}

#[tokio::test]
async fn passing_troubles_are_waited_out() {
    let (rpc, asked) = server(|n, id| match n {
        0 => response("503 Service Unavailable", "<html>busy</html>"),
        1 => response("429 Too Many Requests", ""),
        2 => result(id + 1, r#""0x1""#),
        3 => String::new(),
        _ => result(id, r#""0x7""#),
    })
    .await;
    let cfg = rialto_chain::ChainConfig { chain_id: Some(1), ..config(rpc, Address::ZERO) };
    let error = soon(Chain::connect(cfg)).await.err().unwrap();
    assert_eq!(error, ChainError::WrongChain { expected: 1, found: 7 });
    assert_eq!(asked.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_dead_endpoint_is_given_up_and_its_key_kept_secret() {
    let (rpc, asked) = server(|_, _| response("502 Bad Gateway", "")).await;
    let printed = format!("{rpc:?}");
    let error = failure(rpc).await;
    assert!(matches!(error, ChainError::Unreachable { attempts: 5, .. }), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 5);
    assert!(!format!("{printed}{error}").contains("secret"));
}

#[tokio::test]
async fn refusals_and_nonsense_are_not_asked_again() {
    let (rpc, asked) = server(|_, _| response("401 Unauthorized", "who are you")).await;
    let error = failure(rpc).await;
    assert!(
        matches!(&error, ChainError::Malformed { cause, .. } if cause.contains("401")),
        "{error}"
    );
    let (rpc, asked_too) = server(|_, id| result(id, r#"{"not": "a number"}"#)).await;
    let error = failure(rpc).await;
    assert!(matches!(error, ChainError::Malformed { .. }), "{error}");
    assert_eq!((asked.load(Ordering::SeqCst), asked_too.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (rpc, _) = server(|_, id| result(id, &format!("\"{}\"", "f".repeat(33 << 20)))).await;
    let error = failure(rpc).await;
    assert!(
        matches!(&error, ChainError::Malformed { cause, .. } if cause.contains("above")),
        "{error}"
    );
}

/// TLS is built in: a server that answers in plain text causes a TLS error, not "scheme not
/// supported".
#[tokio::test]
async fn https_speaks_tls() {
    let (Rpc::Http(mut url), _) = server(|_, id| result(id, r#""0x1""#)).await else { panic!() };
    url.set_scheme("https").unwrap();
    match failure(Rpc::Http(url)).await {
        ChainError::Unreachable { .. } => {}
        // The machine has no root certificates.
        ChainError::BadEndpoint(cause) => {
            assert!(cause.to_lowercase().contains("certificate"), "{cause}")
        }
        error => panic!("{error}"),
    }
}

/// Only a client that names a private authority trusts its certificate.
#[tokio::test]
async fn roots_of_ones_own_are_the_only_ones() {
    let (dev, deployed, _) = market(10).await;
    let url: url::Url = tls::serve(dev).parse().unwrap();
    let with = |roots: &[u8]| Rpc::Private { url: url.clone(), roots: roots.into() };
    let chain = connect(with(tls::CA), deployed.market).await;
    assert_eq!(chain.account(key("provider").address()).await.unwrap(), 10);
    assert!(chain.is_known_code().await.unwrap());

    // Without the authority the client refuses the certificate, or does not connect if the system
    // has no roots.
    match failure(Rpc::Http(url.clone())).await {
        ChainError::Unreachable { cause, .. } | ChainError::BadEndpoint(cause) => {
            assert!(cause.to_lowercase().contains("certificate"), "{cause}");
        }
        error => panic!("{error}"),
    }
    // A wrong authority: the server's own certificate is none.
    assert!(matches!(
        failure(with(include_bytes!("tls/server.pem"))).await,
        ChainError::Unreachable { .. }
    ));
    for nonsense in
        [&b"no certificate"[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        let error = failure(with(nonsense)).await;
        assert!(matches!(error, ChainError::BadRoots(_) | ChainError::BadEndpoint(_)), "{error}");
    }
}
