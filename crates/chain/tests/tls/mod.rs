//! An embedded chain behind TLS, with a certificate of the test's own authority. `ca.pem`,
//! `server.pem` and `server.key` are for tests only: the authority's key was deleted, and the
//! certificates are valid for a hundred years.
#![allow(dead_code, clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use rialto_devchain::Devchain;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};

/// The authority's certificate, PEM.
pub const CA: &[u8] = include_bytes!("ca.pem");

/// Serves a chain on loopback until the process ends, and returns the URL.
pub fn serve(dev: Devchain) -> String {
    let chain = vec![CertificateDer::from_pem_slice(include_bytes!("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, dev) = (config.clone(), dev.clone());
            // A client that does not trust the certificate ends the connection in the middle.
            std::thread::spawn(move || talk(stream, config, &dev));
        }
    });
    url
}

/// Answers requests of one connection until it ends.
fn talk(stream: TcpStream, config: Arc<ServerConfig>, dev: &Devchain) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            length = line
                .strip_prefix("content-length:")
                .map_or(length, |number| number.trim().parse().unwrap());
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request: Value = serde_json::from_slice(&body)?;
        let answer = match dev
            .handle(request["method"].as_str().unwrap_or_default(), request["params"].clone())
        {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }),
            Err(e) => {
                let error = json!({ "code": e.code, "message": e.message, "data": e.data });
                json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })
            }
        };
        let answer = answer.to_string();
        write!(
            reader.get_mut(),
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
        reader.get_mut().flush()?;
    }
}
