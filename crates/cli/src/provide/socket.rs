//! The control socket of a running provider: one JSON request a line, one JSON answer a line. The folder is the owner's
//! alone, and so is the socket.

use std::{
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

/// Longest request, bytes.
const MAX_REQUEST_BYTES: u64 = 4 << 10;
/// Longest answer, bytes: a report with thousands of deals.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// The socket in a provider's folder.
const NAME: &str = "control.sock";
/// Callers at once.
const MAX_CALLERS: usize = 8;
/// Longest wait for a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// A report.
    Status,
    /// Take nothing new, finish, redeem, end.
    Drain,
}

/// A socket's address takes about a hundred bytes, and a provider's folder is longer than that: it is named through the open
/// folder instead.
struct Near {
    _folder: std::fs::File,
    path: PathBuf,
}

impl Near {
    fn new(folder: &Path) -> std::io::Result<Self> {
        let open = std::fs::File::open(folder)?;
        Ok(Self { path: PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())).join(NAME), _folder: open })
    }
}

/// Serves in a folder until dropped. `answer` gives JSON for every request.
pub fn serve<F, A>(folder: &Path, answer: F) -> Result<Served>
where
    F: Fn(Request) -> A + Send + Sync + 'static,
    A: Future<Output = Result<String>> + Send,
{
    // One provider a folder: the journal's lock says so, and what lies here is a dead one's.
    let path = folder.join(NAME);
    let _ = std::fs::remove_file(&path);
    let failed = || format!("[P-CTL-001] {}", path.display());
    let near = Near::new(folder).with_context(failed)?;
    let listener = UnixListener::bind(&near.path).with_context(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let (answer, places) = (Arc::new(answer), Arc::new(tokio::sync::Semaphore::new(MAX_CALLERS)));
    let task = tokio::spawn(async move {
        while let Ok(place) = places.clone().acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else { return };
            let answer = answer.clone();
            tokio::spawn(async move {
                let _place = place;
                // A caller that went away needs no answer.
                let _ = talk(stream, &*answer).await;
            });
        }
    });
    Ok(Served { task, path })
}

/// A socket that is served; gone when dropped.
pub struct Served {
    task: tokio::task::JoinHandle<()>,
    path: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn talk<F, A>(stream: UnixStream, answer: &F) -> Result<()>
where
    F: Fn(Request) -> A,
    A: Future<Output = Result<String>>,
{
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(MAX_REQUEST_BYTES));
    tokio::time::timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await??;
    let answered = match serde_json::from_str(&line) {
        Ok(request) => answer(request).await,
        Err(error) => Err(error.into()),
    };
    let mut text = match answered {
        Ok(json) => format!("{{\"ok\":{json}}}"),
        Err(error) => serde_json::to_string(&serde_json::json!({ "error": format!("{error:#}") }))?,
    };
    text.push('\n');
    write.write_all(text.as_bytes()).await?;
    Ok(())
}

/// Asks a running provider; `None` if none runs there.
pub async fn call<T: for<'a> Deserialize<'a>>(folder: &Path, request: Request) -> Result<Option<T>> {
    let failed = || format!("[P-CTL-002] {}", folder.join(NAME).display());
    let near = Near::new(folder).with_context(failed)?;
    let stream = match UnixStream::connect(&near.path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(failed),
    };
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{}\n", serde_json::to_string(&request)?).as_bytes()).await?;
    let mut text = String::new();
    BufReader::new(read.take(MAX_ANSWER_BYTES)).read_line(&mut text).await?;
    // Not through `Value`: money may need more than 64 bits.
    let reply: Reply<T> = serde_json::from_str(&text).context("[P-CTL-003] it ended, or another version runs there")?;
    match reply {
        Reply { error: Some(error), .. } => bail!("{error}"),
        Reply { ok: Some(answer), .. } => Ok(Some(answer)),
        Reply { .. } => bail!("[P-CTL-003] an empty answer"),
    }
}

#[derive(Deserialize)]
struct Reply<T> {
    ok: Option<T>,
    error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asks_and_answers() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(150));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join(NAME);
        assert_eq!(call::<u32>(&deep, Request::Status).await.unwrap(), None);
        let served = serve(&deep, |request| async move {
            match request {
                Request::Status => Ok("7".to_owned()),
                Request::Drain => bail!("[X-1] not now"),
            }
        });
        let served = served.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(call::<u32>(&deep, Request::Status).await.unwrap(), Some(7));
        assert_eq!(call::<u32>(&deep, Request::Drain).await.unwrap_err().to_string(), "[X-1] not now");
        drop(served);
        assert_eq!(call::<u32>(&deep, Request::Status).await.unwrap(), None);
    }
}
