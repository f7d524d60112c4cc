//! Signals that end a command.

use std::time::Duration;

use anyhow::Result;

use crate::exit;

/// Waits for Ctrl-C or SIGTERM.
pub async fn interrupted() {
    let mut terminate =
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(signal) => signal,
            Err(_) => return std::future::pending().await,
        };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Longest that blocking work is waited for at the end of the process.
pub const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs something that may be dropped at any time, until it is done or interrupted.
pub async fn unless_interrupted(work: impl Future<Output = Result<u8>>) -> Result<u8> {
    tokio::select! {
        done = work => done,
        () = interrupted() => {
            eprintln!("\ninterrupted");
            Ok(exit::INTERRUPTED)
        }
    }
}
