//! `rialto bench net`: how fast blobs move between two nodes on loopback, checked and on disk,
//! against one bare QUIC stream on the same machine in the same minute.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Args;
use iroh::{
    Endpoint, EndpointAddr, RelayMode, SecretKey, TransportAddr,
    dns::DnsResolver,
    endpoint::{QuicTransportConfig, VarInt, presets},
};
use rialto_client::view;
use rialto_net::{NetConfig, Node, limits::CHUNK_BYTES, limits::WINDOW_BYTES};

use super::usage;
use crate::ui::{Output, Ui, json_on_lines};

const ALPN: &[u8] = b"rialto/bench/1";
const MIB: usize = 1 << 20;

/// `rialto bench net`
#[derive(Clone, Debug, Args)]
pub struct Net {
    /// Size of a transfer, MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    mib: u32,
    /// Transfers of each kind, interleaved; the median counts.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// One way to move bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A blob: from disk to disk, counted, hashed and synced.
    Blob,
    /// A QUIC stream between two buffers in memory, with the same windows.
    Stream,
    /// The same with iroh's own windows.
    Wide,
}

const WAYS: [(Way, &str); 3] = [
    (Way::Blob, "blob, disk to disk, checked"),
    (Way::Stream, "bare QUIC stream, the same windows"),
    (Way::Wide, "bare QUIC stream, iroh's windows"),
];

/// One transfer.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    wall: Duration,
    cpu: Duration,
}

/// Measures and prints.
pub async fn run(args: &Net, ui: Ui) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let bytes = noise(args.mib as usize * MIB);
    let from = Node::bind(NetConfig::loopback([1; 32], folder.path().join("from"))).await?;
    let to = Node::bind(NetConfig::loopback([2; 32], folder.path().join("to"))).await?;
    let mut transfers: [Vec<Transfer>; 3] = Default::default();
    for _ in 0..args.rounds {
        for (n, (way, _)) in WAYS.iter().enumerate() {
            let transfer = match way {
                Way::Blob => blob(&from, &to, &bytes).await?,
                Way::Stream => stream(&bytes, Some(WINDOW_BYTES)).await?,
                Way::Wide => stream(&bytes, None).await?,
            };
            transfers[n].push(transfer);
        }
    }
    from.close().await;
    to.close().await;
    let measured: Vec<_> = transfers.into_iter().map(|all| Median::of(all, bytes.len())).collect();
    let ratio = |n: usize| measured[0].per_second / measured[n].per_second;
    match ui.output() {
        Output::Json => json_on_lines(&view::BenchNet {
            mib: args.mib,
            rounds: args.rounds,
            blob: measured[0].view(),
            stream: measured[1].view(),
            stream_wide: measured[2].view(),
            blob_to_stream: ratio(1),
            blob_to_stream_wide: ratio(2),
        }),
        Output::Human => {
            println!("{} MiB over loopback, median of {}", args.mib, args.rounds);
            for ((_, name), median) in WAYS.iter().zip(&measured) {
                println!("  {name:<36}{}", median.line());
            }
            println!(
                "  a blob is as fast as {:.2} bare streams ({:.2} with iroh's windows)",
                ratio(1),
                ratio(2)
            );
        }
    }
    Ok(())
}

/// Puts a blob into one node, brings it to another, and removes it from both.
async fn blob(from: &Node, to: &Node, bytes: &Bytes) -> Result<Transfer> {
    let blob = from.blobs().put_bytes(bytes.clone()).await?;
    from.blobs().allow(to.id(), blob)?;
    let clock = Clock::start();
    let fetched = to.blobs().fetch(&from.addr(), blob, blob.size).await?;
    let transfer = clock.stop();
    ensure!(fetched.reference() == blob, "another blob came");
    from.blobs().remove(blob);
    to.blobs().remove(blob);
    Ok(transfer)
}

/// From dialling to the last byte of one stream.
async fn stream(bytes: &Bytes, window: Option<u32>) -> Result<Transfer> {
    let (server, client) = (endpoint([3; 32], window).await?, endpoint([4; 32], window).await?);
    let port = server.bound_sockets().first().context("no socket")?.port();
    let addr = EndpointAddr::from_parts(
        server.id(),
        [TransportAddr::Ip((Ipv4Addr::LOCALHOST, port).into())],
    );
    let data = bytes.clone();
    let serving = tokio::spawn({
        let server = server.clone();
        async move {
            let connection = server.accept().await.context("the endpoint is closed")?.await?;
            let mut send = connection.accept_bi().await?.0;
            for start in (0..data.len()).step_by(CHUNK_BYTES) {
                send.write_chunk(data.slice(start..data.len().min(start + CHUNK_BYTES))).await?;
            }
            send.finish()?;
            connection.closed().await;
            anyhow::Ok(())
        }
    });
    let clock = Clock::start();
    let connection = client.connect(addr, ALPN).await?;
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(b"?").await?;
    let mut received = 0;
    while let Some(chunk) = recv.read_chunk(CHUNK_BYTES).await? {
        received += chunk.len();
    }
    let transfer = clock.stop();
    connection.close(VarInt::from_u32(0), b"");
    serving.await??;
    client.close().await;
    server.close().await;
    ensure!(received == bytes.len(), "bytes are missing");
    Ok(transfer)
}

async fn endpoint(secret: [u8; 32], window: Option<u32>) -> Result<Endpoint> {
    let transport = match window.map(VarInt::from_u32) {
        None => QuicTransportConfig::default(),
        Some(window) => QuicTransportConfig::builder()
            .stream_receive_window(window)
            .receive_window(window)
            .send_window(window.into_inner())
            .build(),
    };
    let endpoint = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&secret))
        .alpns(vec![ALPN.to_vec()])
        .transport_config(transport)
        .clear_address_lookup()
        .clear_ip_transports()
        .bind_addr((Ipv4Addr::LOCALHOST, 0))?
        .relay_mode(RelayMode::Disabled)
        .dns_resolver(DnsResolver::with_nameserver((Ipv4Addr::LOCALHOST, 53).into()));
    Ok(endpoint.bind().await?)
}

struct Clock {
    started: Instant,
    cpu: Duration,
}

impl Clock {
    fn start() -> Self {
        Self { started: Instant::now(), cpu: usage::cpu() }
    }

    fn stop(&self) -> Transfer {
        Transfer { wall: self.started.elapsed(), cpu: usage::cpu().saturating_sub(self.cpu) }
    }
}

struct Median {
    /// MB a second; in the middle, the slowest, the fastest.
    per_second: f64,
    slowest: f64,
    fastest: f64,
    /// CPU time of both sides, seconds a GB, in the middle.
    cpu: f64,
}

impl Median {
    fn of(mut all: Vec<Transfer>, bytes: usize) -> Self {
        let mb = bytes as f64 / 1e6;
        let speed = |transfer: &Transfer| mb / transfer.wall.as_secs_f64().max(1e-9);
        all.sort_by_key(|transfer| transfer.cpu);
        let cpu = all[all.len() / 2].cpu.as_secs_f64() * 1e3 / mb;
        all.sort_by_key(|transfer| transfer.wall);
        let (fastest, slowest) = (speed(&all[0]), speed(&all[all.len() - 1]));
        Self { per_second: speed(&all[all.len() / 2]), slowest, fastest, cpu }
    }

    fn line(&self) -> String {
        format!(
            "{:7.0} MB/s ({:.0} to {:.0}), {:.2} s of CPU a GB",
            self.per_second, self.slowest, self.fastest, self.cpu
        )
    }

    fn view(&self) -> view::BenchTransfer {
        view::BenchTransfer {
            mb_per_second: self.per_second,
            slowest: self.slowest,
            fastest: self.fastest,
            cpu_seconds_per_gb: self.cpu,
        }
    }
}

/// Bytes that nothing can compress.
fn noise(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}
