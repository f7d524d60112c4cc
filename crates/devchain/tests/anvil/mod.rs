//! An anvil process, if anvil is installed: in the contracts' npm packages, in PATH, or at
//! `RIALTO_ANVIL`.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use alloy_primitives::{Address, U256};
use serde_json::json;

/// A fresh anvil on a free port of loopback, stopped when dropped.
pub struct Process {
    child: Child,
    pub addr: SocketAddr,
}

/// Returns the path of anvil; prints a message if there is none.
pub fn find() -> Option<PathBuf> {
    let named = std::env::var_os("RIALTO_ANVIL").map(PathBuf::from);
    // The crate that includes this file lies beside ours.
    let npm = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/node_modules/.bin/anvil");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("anvil"));
    let found = named.into_iter().chain([npm]).chain(in_path).find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: no anvil (`npm ci` in contracts/, or set RIALTO_ANVIL)");
    }
    found
}

impl Process {
    pub fn start(binary: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(binary)
            .args(["--host", "127.0.0.1", "--port", "0", "--hardfork", "prague"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = lines
            .by_ref()
            .find_map(|line| line.ok()?.strip_prefix("Listening on ")?.trim().parse().ok())
            .unwrap();
        // Keep reading, or anvil blocks once the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, addr }
    }

    /// Gives an account gas money, wei.
    pub fn fund(&self, account: Address, wei: U256) {
        let call =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": [account, wei] }).to_string();
        let mut stream = TcpStream::connect(self.addr).unwrap();
        let size = call.len();
        write!(stream, "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n{call}", self.addr).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("\"error\""), "{answer}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
