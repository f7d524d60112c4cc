//! Length-prefixed frames on a QUIC stream: the length in 4 bytes, big-endian, then the bytes.
//!
//! Reader and writer keep their progress in `self`, so a cancelled future (as in `select!`) neither
//! loses nor tears a frame. Memory grows with the bytes that arrive, not with the length that a
//! peer claims.

use bytes::{Buf, Bytes, BytesMut};
use iroh::endpoint::{ReadError, RecvStream, SendStream, WriteError};
use rialto_protocol::wire::WireError;
use tokio::time::timeout;

use crate::limits::STALL_TIMEOUT;

const PREFIX_BYTES: usize = 4;
/// Most memory that is reserved because of a claimed length alone, 64 KiB.
const MAX_TRUSTED_BYTES: usize = 64 << 10;

/// Reason why no frame could be read.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The frame is over its limit.
    Wire(WireError),
    /// The stream or connection broke.
    Read(ReadError),
    /// The stream ended within a frame.
    Torn,
}

/// Reads frames from a stream.
pub(crate) struct FrameReader {
    stream: RecvStream,
    partial: BytesMut,
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, partial: BytesMut::new() }
    }

    /// Returns the next frame, of at most `limit` bytes; `None` after the last one. Cancel safe.
    pub(crate) async fn next(&mut self, limit: usize) -> Result<Option<Bytes>, FrameError> {
        loop {
            let wanted = match self.partial.first_chunk::<PREFIX_BYTES>() {
                None => PREFIX_BYTES,
                Some(prefix) => {
                    let bytes = u32::from_be_bytes(*prefix) as usize;
                    if bytes > limit {
                        return Err(FrameError::Wire(WireError::TooLong { bytes, limit }));
                    }
                    PREFIX_BYTES + bytes
                }
            };
            let have = self.partial.len();
            if have >= PREFIX_BYTES && have == wanted {
                let mut frame = std::mem::take(&mut self.partial).freeze();
                frame.advance(PREFIX_BYTES);
                return Ok(Some(frame));
            }
            if self.partial.capacity() == have {
                self.partial.reserve((wanted - have).min(MAX_TRUSTED_BYTES));
            }
            match self.stream.read_chunk(wanted - have).await {
                Ok(Some(chunk)) => self.partial.extend_from_slice(&chunk),
                Ok(None) if have == 0 => return Ok(None),
                Ok(None) => return Err(FrameError::Torn),
                Err(error) => return Err(FrameError::Read(error)),
            }
        }
    }
}

/// Reason why a frame could not be written.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The stream or connection broke.
    Write(WriteError),
    /// The peer received nothing for [`STALL_TIMEOUT`].
    Stalled,
}

/// Writes frames to a stream.
pub(crate) struct FrameWriter {
    stream: SendStream,
    pending: BytesMut,
}

impl FrameWriter {
    pub(crate) fn new(stream: SendStream) -> Self {
        Self { stream, pending: BytesMut::new() }
    }

    /// Writes one frame, after the rest of any cancelled call. If this call is cancelled, the frame
    /// is still sent whole, before the next one or by `flush`.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.flush().await?;
        let length = u32::try_from(bytes.len()).expect("messages are bounded far below 4 GiB");
        self.pending.reserve(PREFIX_BYTES + bytes.len());
        self.pending.extend_from_slice(&length.to_be_bytes());
        self.pending.extend_from_slice(bytes);
        self.flush().await
    }

    /// Writes the rest of earlier frames.
    pub(crate) async fn flush(&mut self) -> Result<(), SendError> {
        while !self.pending.is_empty() {
            let written = timeout(STALL_TIMEOUT, self.stream.write(&self.pending))
                .await
                .map_err(|_| SendError::Stalled)?
                .map_err(SendError::Write)?;
            self.pending.advance(written);
        }
        Ok(())
    }

    /// Tells the peer that no frame follows.
    pub(crate) fn finish(&mut self) {
        // This only fails on a stream that is already closed.
        let _ = self.stream.finish();
    }

    pub(crate) fn stream(&self) -> &SendStream {
        &self.stream
    }
}
