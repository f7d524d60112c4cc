//! Control sockets: whoever holds a folder (a provider, a requester's host, a local market) answers
//! questions there. One JSON object a line over a Unix socket: a question, then any number of
//! answers. The folder is the owner's alone, and so is the socket.

use std::{
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
};

use crate::class::{Class, Classified};

/// Longest question, bytes: a job of a million tasks with a text each.
const MAX_REQUEST_BYTES: u64 = 256 << 20;
/// Longest answer, bytes: a report with thousands of deals.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// The socket in a folder.
const NAME: &str = "control.sock";
/// Callers at once.
const MAX_CALLERS: usize = 32;
/// Longest wait for a question, and for a caller to read.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket can't be made or reached.
    #[error("[C-CTL-001] {path}: {why}")]
    Socket {
        /// Which one.
        path: String,
        /// What the system said.
        why: std::io::Error,
    },
    /// The one asked ended in the middle, or speaks otherwise.
    #[error("[C-CTL-002] no answer from {path}: it ended, or another version runs there ({why})")]
    Broken {
        /// Which socket.
        path: String,
        /// What came instead.
        why: String,
    },
    /// The one asked refused: its own words.
    #[error("{}", .0.text)]
    Refused(Refusal),
}

impl Classified for ControlError {
    fn class(&self) -> Class {
        match self {
            Self::Refused(refusal) => refusal.class,
            Self::Socket { .. } | Self::Broken { .. } => Class::Failed,
        }
    }
}

/// Why the one asked refuses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of failure it is.
    pub class: Class,
    /// In words.
    pub text: String,
}

impl Refusal {
    /// An error as it is told the caller.
    pub fn of(error: &(impl Classified + std::fmt::Display)) -> Self {
        Self { class: error.class(), text: error.to_string() }
    }
}

/// A line of an answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line<T> {
    Ok(T),
    Error(Refusal),
    End,
}

/// A socket's address takes about a hundred bytes, and folders are longer than that: it is named
/// through the open folder instead.
struct Near {
    _folder: std::fs::File,
    path: PathBuf,
}

impl Near {
    fn new(folder: &Path) -> std::io::Result<Self> {
        let open = std::fs::File::open(folder)?;
        Ok(Self {
            path: PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())).join(NAME),
            _folder: open,
        })
    }
}

/// Where a handler puts its answers.
pub struct Answers {
    write: OwnedWriteHalf,
}

impl Answers {
    /// Sends one answer.
    ///
    /// # Errors
    /// The caller has gone away, or does not read.
    pub async fn send<T: Serialize>(&mut self, answer: &T) -> std::io::Result<()> {
        self.line(&Line::Ok(answer)).await
    }

    async fn line<T: Serialize>(&mut self, line: &Line<T>) -> std::io::Result<()> {
        let mut text = serde_json::to_string(line).map_err(std::io::Error::other)?;
        text.push('\n');
        tokio::time::timeout(PATIENCE, self.write.write_all(text.as_bytes())).await?
    }
}

/// Serves in a folder until dropped. Only one may serve a folder at a time: its journal's lock, or
/// the like, says so, and a socket that lies there is a dead one's. What `answer` refuses is told
/// the caller in its words.
///
/// # Errors
/// `C-CTL-001`.
pub fn serve<Q, F, A>(folder: &Path, answer: F) -> Result<Served, ControlError>
where
    Q: DeserializeOwned + Send + 'static,
    F: Fn(Q, Answers) -> A + Send + Sync + 'static,
    A: Future<Output = (Answers, Result<(), Refusal>)> + Send,
{
    let path = folder.join(NAME);
    let failed = |why| ControlError::Socket { path: path.display().to_string(), why };
    let _ = std::fs::remove_file(&path);
    let near = Near::new(folder).map_err(failed)?;
    let listener = UnixListener::bind(&near.path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let (answer, places) = (Arc::new(answer), Arc::new(Semaphore::new(MAX_CALLERS)));
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

async fn talk<Q, F, A>(stream: UnixStream, answer: &F) -> std::io::Result<()>
where
    Q: DeserializeOwned,
    F: Fn(Q, Answers) -> A,
    A: Future<Output = (Answers, Result<(), Refusal>)>,
{
    let (read, write) = stream.into_split();
    let mut reader = BufReader::new(read);
    let mut answers = Answers { write };
    let question =
        match tokio::time::timeout(PATIENCE, line(&mut reader, MAX_REQUEST_BYTES)).await?? {
            None => return Ok(()),
            Some(text) => serde_json::from_str(&text),
        };
    let last: Line<()> = match question {
        Err(why) => Line::Error(Refusal {
            class: Class::Failed,
            text: format!("[C-CTL-003] not a question: {why}"),
        }),
        Ok(question) => {
            // Whoever hangs up needs no more answers: the handler is dropped.
            let mut gone = [0; 1];
            let (back, outcome) = tokio::select! {
                done = answer(question, answers) => done,
                _ = reader.read(&mut gone) => return Ok(()),
            };
            answers = back;
            match outcome {
                Ok(()) => Line::End,
                Err(refusal) => Line::Error(refusal),
            }
        }
    };
    answers.line(&last).await
}

/// One line within a bound; `None` at the end of the stream. A longer one is an error before it is
/// held.
async fn line(
    reader: &mut (impl AsyncBufRead + Unpin),
    most: u64,
) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    reader.take(most).read_line(&mut text).await?;
    match text.pop() {
        Some('\n') => Ok(Some(text)),
        None => Ok(None),
        Some(_) => Err(std::io::Error::other("a line that is too long, or cut off")),
    }
}

/// Answers to a question, as they come.
pub struct Replies<T> {
    reader: BufReader<OwnedReadHalf>,
    // Held open: hanging up would end the answering.
    _write: OwnedWriteHalf,
    path: String,
    answer: std::marker::PhantomData<T>,
}

impl<T: DeserializeOwned> Replies<T> {
    /// The next answer; `None` after the last.
    ///
    /// # Errors
    /// `C-CTL-002`, or why the one asked refused.
    pub async fn next(&mut self) -> Result<Option<T>, ControlError> {
        let broken = |why: String| ControlError::Broken { path: self.path.clone(), why };
        let text = line(&mut self.reader, MAX_ANSWER_BYTES)
            .await
            .map_err(|why| broken(why.to_string()))?;
        let text = text.ok_or_else(|| broken("it hung up".into()))?;
        // Not through `Value`: money may need more than 64 bits.
        match serde_json::from_str(&text).map_err(|why| broken(why.to_string()))? {
            Line::Ok(answer) => Ok(Some(answer)),
            Line::Error(why) => Err(ControlError::Refused(why)),
            Line::End => Ok(None),
        }
    }
}

/// Asks whoever serves in a folder; `None` if nobody does.
///
/// # Errors
/// `C-CTL-001`.
pub async fn call<T>(
    folder: &Path,
    question: &impl Serialize,
) -> Result<Option<Replies<T>>, ControlError> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    let path = folder.join(NAME).display().to_string();
    let failed = |why| ControlError::Socket { path: path.clone(), why };
    let near = match Near::new(folder) {
        Ok(near) => near,
        Err(why) if why.kind() == NotFound => return Ok(None),
        Err(why) => return Err(failed(why)),
    };
    let stream = match UnixStream::connect(&near.path).await {
        Ok(stream) => stream,
        Err(why) if matches!(why.kind(), NotFound | ConnectionRefused) => return Ok(None),
        Err(why) => return Err(failed(why)),
    };
    let (read, mut write) = stream.into_split();
    let mut text =
        serde_json::to_string(question).map_err(|why| failed(std::io::Error::other(why)))?;
    text.push('\n');
    write.write_all(text.as_bytes()).await.map_err(failed)?;
    Ok(Some(Replies {
        reader: BufReader::new(read),
        _write: write,
        path,
        answer: std::marker::PhantomData,
    }))
}

/// Asks something that has one answer; `None` if nobody serves there.
///
/// # Errors
/// `C-CTL-001`, `C-CTL-002`, or why the one asked refused.
pub async fn ask<T: DeserializeOwned>(
    folder: &Path,
    question: &impl Serialize,
) -> Result<Option<T>, ControlError> {
    let Some(mut replies) = call(folder, question).await? else { return Ok(None) };
    match replies.next().await? {
        Some(answer) => Ok(Some(answer)),
        None => Err(ControlError::Broken { path: replies.path, why: "an empty answer".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    enum Question {
        Count(u32),
        Refuse,
        Large,
    }

    fn served(folder: &Path) -> Served {
        serve(folder, |question, mut answers: Answers| async move {
            let outcome = match question {
                Question::Count(to) => {
                    for n in 0..to {
                        let _ = answers.send(&n).await;
                    }
                    Ok(())
                }
                Question::Refuse => {
                    Err(Refusal { class: Class::NoMoney, text: "[X-1] not now".to_owned() })
                }
                Question::Large => {
                    let _ = answers.send(&u128::MAX).await;
                    Ok(())
                }
            };
            (answers, outcome)
        })
        .unwrap()
    }

    #[tokio::test]
    async fn asks_and_answers() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(150));
        assert!(call::<u32>(&deep, &Question::Refuse).await.unwrap().is_none(), "no such folder");
        std::fs::create_dir(&deep).unwrap();
        assert!(call::<u32>(&deep, &Question::Refuse).await.unwrap().is_none(), "nobody serves");
        let server = served(&deep);
        let path = deep.join(NAME);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Two at once, each with its own answers.
        let mut one = call::<u32>(&deep, &Question::Count(3)).await.unwrap().unwrap();
        let mut two = call::<u32>(&deep, &Question::Count(2)).await.unwrap().unwrap();
        assert_eq!((one.next().await.unwrap(), two.next().await.unwrap()), (Some(0), Some(0)));
        assert_eq!((one.next().await.unwrap(), two.next().await.unwrap()), (Some(1), Some(1)));
        assert_eq!((one.next().await.unwrap(), two.next().await.unwrap()), (Some(2), None));
        let refused = ask::<u32>(&deep, &Question::Refuse).await.unwrap_err();
        assert_eq!(
            (refused.to_string(), refused.class()),
            ("[X-1] not now".to_owned(), Class::NoMoney)
        );
        assert_eq!(ask::<u128>(&deep, &Question::Large).await.unwrap(), Some(u128::MAX));
        assert!(
            ask::<u32>(&deep, &"what").await.unwrap_err().to_string().starts_with("[C-CTL-003]")
        );
        assert!(matches!(
            ask::<u32>(&deep, &Question::Count(0)).await,
            Err(ControlError::Broken { .. })
        ));
        drop(server);
        assert!(ask::<u32>(&deep, &Question::Count(1)).await.unwrap().is_none());
        // A killed one leaves its socket: the next takes the place.
        drop(std::os::unix::net::UnixListener::bind(Near::new(&deep).unwrap().path).unwrap());
        assert!(path.exists());
        assert!(ask::<u32>(&deep, &Question::Count(1)).await.unwrap().is_none());
        let _server = served(&deep);
        assert_eq!(ask::<u32>(&deep, &Question::Count(1)).await.unwrap(), Some(0));
    }

    #[tokio::test]
    async fn a_question_without_end_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let _server = served(folder.path());
        let mut stream = UnixStream::connect(folder.path().join(NAME)).await.unwrap();
        let chunk = vec![b'x'; 1 << 20];
        let mut sent = 0;
        while sent <= MAX_REQUEST_BYTES as usize + (4 << 20) {
            if stream.write_all(&chunk).await.is_err() {
                return;
            }
            sent += chunk.len();
        }
        panic!("it took {sent} bytes");
    }
}
