//! Blob transfers: the client sends hash, size and offset; the server answers with the bytes from
//! the offset on, or closes with a code. The client trusts no byte: it bounds, counts and hashes.

use std::{io::SeekFrom, sync::Arc, time::Duration};

use bytes::BytesMut;
use iroh::endpoint::{Connection, ReadError, RecvStream, SendStream, WriteError};
use rialto_protocol::{
    B256,
    wire::{BlobRef, PeerAddr},
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    time::{sleep, timeout},
};

use rialto_blobs::{Blob, BlobError, Disk, Partial, Store};

use super::{Turn, blocking};
use crate::{
    error::{CloseCode, CloseReason, NetError},
    limits::{
        BUSY_PAUSE, CHUNK_BYTES, FIRST_MESSAGE_TIMEOUT, LINGER_TIMEOUT, MAX_BUSY_RETRIES,
        MAX_SERVES, MAX_SERVES_PER_PEER, MIN_BLOB_BYTES_PER_SECOND, STALL_TIMEOUT,
    },
    node::{Dialer, Purpose, accept_stream, open_stream},
    slots::Slots,
};

/// Bytes of a request: hash (32) ‖ size (8, big-endian) ‖ offset (8, big-endian).
const REQUEST_BYTES: usize = 48;

fn encode_request(blob: BlobRef, offset: u64) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    bytes[..32].copy_from_slice(&blob.hash);
    bytes[32..40].copy_from_slice(&blob.size.to_be_bytes());
    bytes[40..].copy_from_slice(&offset.to_be_bytes());
    bytes
}

fn decode_request(bytes: &[u8; REQUEST_BYTES]) -> Option<(BlobRef, u64)> {
    let (hash, rest) = bytes.split_first_chunk::<32>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let offset = u64::from_be_bytes(rest.try_into().ok()?);
    let blob = BlobRef { hash: *hash, size: u64::from_be_bytes(*size) };
    (offset <= blob.size).then_some((blob, offset))
}

/// Permission to download: the only download of this blob from this peer, one of a few from this
/// peer, one of many in all.
pub(super) type Turns = Arc<(Turn<(B256, B256)>, Turn<B256>, Turn<()>)>;

/// Fetches a blob. Retries a busy peer, and starts once more from zero if the bytes that an earlier
/// cut transfer left turn out to be wrong.
pub(super) async fn fetch(
    store: &Disk,
    dialer: &Dialer,
    peer: &PeerAddr,
    blob: BlobRef,
    turns: Turns,
) -> Result<Blob, NetError> {
    let mut busy = 0;
    loop {
        let (store, key, turns) = (store.clone(), peer.endpoint, turns.clone());
        let download =
            blocking(move || Ok(Download { partial: store.partial(key, blob)?, _turns: turns }))
                .await?;
        let received = download.partial.received();
        let patience = patience(blob.size - received);
        let result = match timeout(patience, download.run(dialer, peer, blob)).await {
            Ok(result) => result,
            Err(_) => {
                Err(NetError::BlobCut { received, size: blob.size, reason: "far too slow".into() })
            }
        };
        match result {
            Err(NetError::BlobBusy) if busy < MAX_BUSY_RETRIES => {
                busy += 1;
                sleep(BUSY_PAUSE).await;
            }
            Err(NetError::Blob(BlobError::Wrong(_))) if received > 0 => {
                tracing::info!(peer = %peer.endpoint, blob = %B256::from(blob.hash), "blob restarted from zero");
            }
            result => return result,
        }
    }
}

/// Returns the longest acceptable time for the transfer of this many bytes.
fn patience(bytes: u64) -> Duration {
    STALL_TIMEOUT + Duration::from_secs(bytes / MIN_BLOB_BYTES_PER_SECOND)
}

/// A download in progress. It moves into the blocking threads as a whole. So if the caller is
/// cancelled, no other download touches the file before the last write is done.
struct Download {
    partial: Partial,
    _turns: Turns,
}

impl Download {
    async fn run(
        mut self,
        dialer: &Dialer,
        peer: &PeerAddr,
        blob: BlobRef,
    ) -> Result<Blob, NetError> {
        let offset = self.partial.received();
        let connection = dialer.dial(peer, Purpose::Blobs).await?;
        let (mut send, mut recv) = open_stream(&connection).await?;
        let request = encode_request(blob, offset);
        match timeout(STALL_TIMEOUT, send.write_all(&request)).await {
            Ok(Ok(())) => {}
            Ok(Err(WriteError::ConnectionLost(lost))) => {
                return Err(self.cut(blob, &CloseReason::of(&lost)));
            }
            Ok(Err(other)) => return Err(self.cut(blob, &CloseReason::Lost(other.to_string()))),
            Err(_) => return Err(NetError::Stalled),
        }
        // This only fails on a stream that is already closed.
        let _ = send.finish();
        loop {
            let left = blob.size - self.partial.received();
            let (piece, end) = match next_piece(&mut recv, left).await {
                Ok(next) => next,
                Err(reason) => return Err(self.cut(blob, &reason)),
            };
            if piece.len() as u64 > left {
                self.partial.discard();
                CloseCode::BadMessage.close(&connection);
                return Err(BlobError::Wrong(B256::from(blob.hash)).into());
            }
            self = blocking(move || {
                self.partial.append(&piece)?;
                Ok(self)
            })
            .await?;
            if end {
                break;
            }
        }
        if self.partial.received() < blob.size {
            return Err(self.cut(blob, &CloseReason::Finished));
        }
        CloseCode::Done.close(&connection);
        blocking(move || {
            let Self { partial, _turns } = self;
            Ok(partial.finish()?)
        })
        .await
    }

    fn cut(&self, blob: BlobRef, reason: &CloseReason) -> NetError {
        match reason {
            CloseReason::ByPeer(CloseCode::Denied) => NetError::BlobDenied(B256::from(blob.hash)),
            CloseReason::ByPeer(CloseCode::Busy) => NetError::BlobBusy,
            other => {
                let (received, reason) = (self.partial.received(), other.to_string());
                NetError::BlobCut { received, size: blob.size, reason }
            }
        }
    }
}

/// Reads up to a chunk, or one byte more than `left` if the peer sends that much. The flag is true
/// at the end of the stream.
async fn next_piece(recv: &mut RecvStream, left: u64) -> Result<(BytesMut, bool), CloseReason> {
    let most = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX).min(CHUNK_BYTES);
    let mut piece = BytesMut::with_capacity(most);
    while piece.len() < most {
        match timeout(STALL_TIMEOUT, recv.read_chunk(most - piece.len())).await {
            Ok(Ok(Some(bytes))) => piece.extend_from_slice(&bytes),
            Ok(Ok(None)) => return Ok((piece, true)),
            // The received bytes are kept first; the error occurs again with the next piece.
            _ if !piece.is_empty() => return Ok((piece, false)),
            Ok(Err(ReadError::ConnectionLost(lost))) => return Err(CloseReason::of(&lost)),
            Ok(Err(other)) => return Err(CloseReason::Lost(other.to_string())),
            Err(_) => return Err(CloseReason::TimedOut),
        }
    }
    Ok((piece, false))
}

/// Serves blobs to the peers that may fetch them.
#[derive(Clone)]
pub(crate) struct Server {
    store: Disk,
    slots: Slots,
}

impl Server {
    pub(super) fn new(store: Disk) -> Self {
        Self { store, slots: Slots::new(MAX_SERVES, MAX_SERVES_PER_PEER) }
    }

    /// Answers the single request of a connection.
    pub(crate) async fn serve(&self, connection: Connection) {
        let peer = B256::from(*connection.remote_id().as_bytes());
        // A stranger costs a handshake and no more.
        if !self.store.knows(peer) {
            return CloseCode::Denied.close(&connection);
        }
        let Some(_slot) = self.slots.take(peer) else { return CloseCode::Busy.close(&connection) };
        let Some((mut send, mut recv)) = accept_stream(&connection).await else { return };
        let mut request = [0; REQUEST_BYTES];
        match timeout(FIRST_MESSAGE_TIMEOUT, recv.read_exact(&mut request)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return CloseCode::BadMessage.close(&connection),
            Err(_) => return CloseCode::Timeout.close(&connection),
        }
        let Some((blob, offset)) = decode_request(&request) else {
            return CloseCode::BadMessage.close(&connection);
        };
        let Some(pin) = self.store.get_for(peer, blob) else {
            return CloseCode::Denied.close(&connection);
        };
        let sent =
            match timeout(patience(blob.size - offset), send_file(&mut send, &pin, offset)).await {
                Ok(sent) => sent,
                Err(_) => Err("the peer is far too slow".into()),
            };
        if let Err(error) = sent {
            tracing::debug!(%peer, blob = %B256::from(blob.hash), error, "blob not served to the end");
            return CloseCode::Timeout.close(&connection);
        }
        // The peer has either received everything or is gone.
        let _ = timeout(LINGER_TIMEOUT, connection.closed()).await;
    }
}

async fn send_file(send: &mut SendStream, blob: &Blob, offset: u64) -> Result<(), String> {
    let mut file = File::open(blob.path()).await.map_err(|e| e.to_string())?;
    file.seek(SeekFrom::Start(offset)).await.map_err(|e| e.to_string())?;
    let mut left = blob.reference().size - offset;
    while left > 0 {
        let mut piece = BytesMut::with_capacity(CHUNK_BYTES);
        let read = file.read_buf(&mut piece).await.map_err(|e| e.to_string())?;
        if read == 0 {
            return Err("the file is shorter than it was".into());
        }
        left = left.saturating_sub(read as u64);
        match timeout(STALL_TIMEOUT, send.write_chunk(piece.freeze())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the peer is stuck".into()),
        }
    }
    send.finish().map_err(|e| e.to_string())
}
