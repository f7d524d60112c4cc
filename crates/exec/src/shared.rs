//! The shared half of a job's input.
use bytes::Bytes;
use std::path::Path;

/// The shared half of a job's input: nothing, bytes in memory, or a file read on demand.
#[derive(Clone, Debug, Default)]
pub struct SharedData(Bytes);

impl SharedData {
    /// No shared input.
    pub fn none() -> Self {
        Self::default()
    }
    /// In memory.
    pub fn bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }
    /// A file that nobody changes while it is in use; read on demand, never whole in memory.
    pub fn file(_path: &Path) -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// Bytes.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
