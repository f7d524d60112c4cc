//! The targets of the suite: the devchain in process, the devchain over HTTP, and anvil.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use rialto_devchain::{Devchain, Server};
use serde_json::{Value, json};

use crate::{anvil, support};

/// Number of polls, and pause between them, until anvil has mined a transaction.
const MAX_POLLS: u32 = 500;
const POLL_PAUSE: Duration = Duration::from_millis(10);

/// An error as JSON-RPC carries it: code, message, data.
pub type Fault = (i64, String, Value);

pub trait Target {
    fn name(&self) -> &'static str;
    fn request(&self, method: &str, params: Value) -> Result<Value, Fault>;
    /// Waits until a transaction is in a block, if the target does not mine at once.
    fn settle(&self, _hash: &Value) {}
}

pub struct InProcess(pub Devchain);

impl Target for InProcess {
    fn name(&self) -> &'static str {
        "devchain in process"
    }

    fn request(&self, method: &str, params: Value) -> Result<Value, Fault> {
        self.0
            .handle(method, params)
            .map_err(|error| (error.code, error.message, error.data.unwrap_or_default()))
    }
}

/// The devchain behind its HTTP endpoint.
pub struct OverHttp {
    server: Server,
    _runtime: tokio::runtime::Runtime,
}

impl OverHttp {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = runtime.block_on(rialto_devchain::serve(support::open(), any)).unwrap();
        Self { server, _runtime: runtime }
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }
}

impl Target for OverHttp {
    fn name(&self) -> &'static str {
        "devchain over HTTP"
    }

    fn request(&self, method: &str, params: Value) -> Result<Value, Fault> {
        request(self.server.addr(), method, params)
    }
}

/// A fresh anvil.
pub struct Anvil {
    process: anvil::Process,
}

impl Anvil {
    pub fn start(binary: &Path) -> Self {
        let (id, start) = (support::CHAIN_ID.to_string(), support::START.to_string());
        let args = ["--accounts", "1", "--chain-id", &id, "--timestamp", &start];
        let process = anvil::Process::start(binary, &args);
        for (address, balance) in support::config().accounts {
            process.fund(address, balance);
        }
        Self { process }
    }

    /// Anvil computes the fees of a block some time after mining it, and omits them until then.
    fn fee_history(&self, params: Value) -> Result<Value, Fault> {
        let number =
            |value: &Value| u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok();
        let newest = number(&params[1])
            .or_else(|| number(&request(self.process.addr, "eth_blockNumber", json!([])).ok()?));
        let wanted = number(&params[0]).zip(newest).map(|(count, newest)| count.min(newest + 1));
        for _ in 0..MAX_POLLS {
            let answer = request(self.process.addr, "eth_feeHistory", params.clone())?;
            if answer["gasUsedRatio"].as_array().map(|known| known.len() as u64) == wanted {
                return Ok(answer);
            }
            std::thread::sleep(POLL_PAUSE);
        }
        request(self.process.addr, "eth_feeHistory", params)
    }
}

impl Target for Anvil {
    fn name(&self) -> &'static str {
        "anvil"
    }

    fn request(&self, method: &str, params: Value) -> Result<Value, Fault> {
        if method == "eth_feeHistory" {
            return self.fee_history(params);
        }
        request(self.process.addr, method, params)
    }

    fn settle(&self, hash: &Value) {
        for _ in 0..MAX_POLLS {
            // Anvil has the receipt before the transaction has left the pool.
            let receipt = self.request("eth_getTransactionReceipt", json!([hash])).unwrap();
            let transaction = self.request("eth_getTransactionByHash", json!([hash])).unwrap();
            if !receipt.is_null() && !transaction["blockNumber"].is_null() {
                return;
            }
            std::thread::sleep(POLL_PAUSE);
        }
    }
}

fn request(addr: SocketAddr, method: &str, params: Value) -> Result<Value, Fault> {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
    let (status, answer) = post(addr, body.as_bytes());
    assert_eq!(status, 200, "{method}: {answer}");
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)));
    match answer.get_mut("error") {
        None => Ok(answer["result"].take()),
        Some(error) => {
            let message = error["message"].as_str().unwrap().to_owned();
            Err((error["code"].as_i64().unwrap(), message, error["data"].take()))
        }
    }
}

/// Posts a body as clients do, and returns status and answer.
pub fn post(addr: SocketAddr, body: &[u8]) -> (u16, String) {
    post_as(addr, &addr.to_string(), "application/json", body)
}

/// Posts a body of some type to some host name.
pub fn post_as(addr: SocketAddr, host: &str, kind: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // A server that refuses a body may hang up before it has read it all.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status =
        head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, body.to_owned())
}
