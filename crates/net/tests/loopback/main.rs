//! Tests with two to five nodes on loopback, and strangers that break the rules.
#![allow(clippy::unwrap_used)]

mod blobs;
mod gossip;
mod hostile;
mod sessions;

use std::{future::Future, sync::Arc, time::Duration};

use rialto_net::{Limits, NetConfig, Node};
use tempfile::TempDir;

/// Bound of every wait. It is generous, so that a slow machine does not fail the test.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("took too long")
}

/// Polls until `ready` returns true.
async fn until(mut ready: impl FnMut() -> bool) {
    within(async {
        while !ready() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A node with its own folder.
struct Home {
    node: Node,
    folder: Arc<TempDir>,
    seed: u8,
}

impl Home {
    async fn new(seed: u8) -> Self {
        Self::with(seed, Limits::default()).await
    }

    async fn with(seed: u8, limits: Limits) -> Self {
        Self::open(seed, limits, Arc::new(tempfile::tempdir().unwrap())).await
    }

    async fn open(seed: u8, limits: Limits, folder: Arc<TempDir>) -> Self {
        let mut config = NetConfig::loopback([seed; 32], folder.path().join("blobs"));
        config.limits = limits;
        Self { node: Node::bind(config).await.unwrap(), folder, seed }
    }

    /// Restarts the node as after a crash: same key and folder, another port.
    async fn restart(self, limits: Limits) -> Self {
        self.node.close().await;
        Self::open(self.seed, limits, self.folder.clone()).await
    }
}

impl std::ops::Deref for Home {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}
