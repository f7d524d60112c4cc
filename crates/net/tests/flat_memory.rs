//! A large blob moves between two nodes without ever being whole in memory. The test is alone in
//! its process, because it measures the memory of the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::{fs::File, io::Write, time::Duration};

use rialto_net::{NetConfig, Node};

/// Size of the blob, MiB; RIALTO_TEST_BLOB_MIB overrides it.
const DEFAULT_MIB: usize = 32;

/// Returns the peak memory of the process, bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn a_large_blob_is_never_whole_in_memory() {
    let mib = std::env::var("RIALTO_TEST_BLOB_MIB").map_or(DEFAULT_MIB, |mib| mib.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let mut file = File::create(&source).unwrap();
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut piece = vec![0; 1 << 20];
    for _ in 0..mib {
        noise.fill(&mut piece);
        file.write_all(&piece).unwrap();
    }
    drop(file);
    let from = Node::bind(NetConfig::loopback([1; 32], folder.path().join("from"))).await.unwrap();
    let to = Node::bind(NetConfig::loopback([2; 32], folder.path().join("to"))).await.unwrap();
    let before = peak_bytes();
    let blob = from.blobs().put_file(&source).await.unwrap();
    from.blobs().allow(to.id(), blob).unwrap();
    let addr = from.addr();
    let fetch = to.blobs().fetch(&addr, blob, blob.size);
    let fetched =
        tokio::time::timeout(Duration::from_secs(60 + mib as u64), fetch).await.unwrap().unwrap();
    assert_eq!(std::fs::metadata(fetched.path()).unwrap().len(), (mib as u64) << 20);
    let grown = peak_bytes() - before;
    println!("{mib} MiB moved with {} KiB more memory", grown >> 10);
    assert!(grown < 16 << 20, "{grown} bytes more memory");
}
