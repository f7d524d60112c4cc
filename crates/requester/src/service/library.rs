//! The bytes of jobs: programs and inputs as blobs for providers, outputs in the job's folder, and
//! running tasks on this machine.

use std::{
    collections::{BTreeSet, HashMap},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use rialto_blobs::{Blob, Hint, Source};
use rialto_exec::{AttemptError, CancelFlag, Executor, Limits, Prepared, SharedData, Task};
use rialto_machine::{
    input::{HalfHasher, MAX_HALF_BYTES, input_roots},
    limits::MAX_FUEL,
};
use rialto_net::Node;
use rialto_protocol::{
    B256, DealId, OrderId,
    receipt::Halted,
    wire::{BlobRef, MAX_INLINE_BYTES, Payload, PeerAddr},
};

use super::{
    error::RequesterError,
    job::{Content, Job, outputs_folder},
    journal::blocking,
    trace::Traceable,
};
use crate::core::{JobError, JobId, LocalRun, Stored, verify::OutputCheck};

/// Largest program, bytes.
const MAX_PROGRAM_BYTES: u64 = 64 << 20;
/// Largest memo, bytes.
const MAX_MEMO_BYTES: u64 = 256 << 20;
/// File of a job's memo.
const MEMO: &str = "memo.bin";
/// Files of a job's program, of what its tasks share, and of its tasks' own inputs.
pub(super) const PROGRAM: &str = "program.wasm";
pub(super) const SHARED: &str = "shared.bin";
pub(super) const TASKS: &str = "tasks.bin";
/// All tasks' own inputs of a job, bytes: they stay in memory while it runs.
const MAX_TASK_BYTES: u64 = 1 << 30;
/// Piece in which files are read.
const PIECE_BYTES: usize = 256 << 10;

/// In use by one at a time.
type Shared<T> = Arc<Mutex<T>>;

/// All jobs' bytes.
pub(crate) struct Library {
    node: Node,
    /// Where outputs come from.
    source: Arc<dyn Source>,
    pub(super) executor: Arc<dyn Executor>,
    jobs: Mutex<HashMap<JobId, Arc<Shelf>>>,
    /// Blobs that a deal's provider may fetch.
    grants: Mutex<HashMap<DealId, (B256, BTreeSet<BlobRef>)>>,
    root: PathBuf,
    /// Tasks of games, by order and index.
    pub(super) traceables: Mutex<HashMap<(OrderId, u32), Shared<Traceable>>>,
}

/// The bytes of one job. While it is held, its blobs stay.
pub(super) struct Shelf {
    pub program: Blob,
    pub shared: Option<Blob>,
    pub tasks: Vec<Bytes>,
    /// Made ready when this machine runs the first task.
    ready: tokio::sync::OnceCell<Arc<dyn Prepared>>,
}

/// What an order carries.
pub(crate) struct Carried {
    pub program: BlobRef,
    pub shared: Option<BlobRef>,
    pub inputs: Payload,
}

/// A job that was looked at: what the core needs to know of its bytes.
pub(crate) struct Known {
    pub program: B256,
    pub inputs: Vec<B256>,
    pub program_bytes: u64,
    pub shared_bytes: u64,
}

impl Known {
    /// Of a job whose bytes don't matter yet, only how many they are. What can't be looked at is
    /// told when it is taken in.
    pub fn unread(job: &Job) -> Self {
        Self {
            program: B256::ZERO,
            inputs: vec![B256::ZERO; job.tasks.len()],
            program_bytes: size(&job.program),
            shared_bytes: job.shared.as_ref().map_or(0, size),
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section is a single map operation: a panic leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Library {
    pub fn new(root: PathBuf, node: Node, executor: Arc<dyn Executor>) -> Self {
        let (jobs, grants, traceables) = Default::default();
        let source = Arc::new(node.blobs().clone());
        Self { node, source, executor, jobs, grants, root, traceables }
    }

    /// Where all jobs' folders are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A job's folder.
    pub fn folder(&self, job: JobId) -> PathBuf {
        self.root.join(job.to_string())
    }

    /// Checks a job's bytes and keeps them: on disk, so that the job survives a restart.
    pub async fn take(&self, id: JobId, job: &Job) -> Result<Known, RequesterError> {
        if job.limits.fuel > MAX_FUEL as u64 {
            return Err(JobError::FuelLimit.into());
        }
        let task_bytes = job.tasks.iter().map(|task| task.len() as u64).sum();
        at_most("task inputs", task_bytes, MAX_TASK_BYTES)?;
        at_most("memo", job.memo.len() as u64, MAX_MEMO_BYTES)?;
        let folder = self.folder(id);
        let wasm = read(&job.program, MAX_PROGRAM_BYTES, "program").await?;
        let (executor, limits, bytes) = (self.executor.clone(), job.limits, wasm.clone());
        let program = blocking(move || {
            let program = executor.prepare(&bytes, &CancelFlag::new())?;
            match program.check(&limits) {
                Err(AttemptError::StartPages { needed, limit }) => {
                    Err(RequesterError::Memory { needed, limit })
                }
                // Providers run it, whatever this host lends.
                _ => Ok(program.root()),
            }
        })
        .await?;
        let (shared, tasks, memo, to) =
            (job.shared.clone(), job.tasks.clone(), job.memo.clone(), folder.clone());
        let inputs = blocking(move || {
            if !memo.is_empty() {
                write(&to.join(MEMO), |file| file.write_all(&memo))?;
            }
            write_job(&to, &wasm, shared.as_ref(), &tasks)
        })
        .await?;
        self.load(id).await?;
        let shelf = self.shelf(id)?;
        let shared_bytes = shelf.shared.as_ref().map_or(0, |blob| blob.reference().size);
        Ok(Known { program, inputs, program_bytes: shelf.program.reference().size, shared_bytes })
    }

    /// What was kept beside a job when it was submitted.
    pub async fn memo(&self, id: JobId) -> Result<Bytes, RequesterError> {
        let path = self.folder(id).join(MEMO);
        match tokio::fs::read(&path).await {
            Ok(bytes) => Ok(bytes.into()),
            // An empty one is not written.
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound && self.folder(id).exists() =>
            {
                Ok(Bytes::new())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(RequesterError::NoJob)
            }
            Err(error) => Err(RequesterError::file(&path)(error)),
        }
    }

    /// Takes up a job from its folder.
    pub async fn load(&self, id: JobId) -> Result<(), RequesterError> {
        let folder = self.folder(id);
        let program = self.program(&folder.join(PROGRAM)).await?;
        let shared = folder.join(SHARED);
        let shared = if shared.exists() { Some(self.blob(&shared).await?) } else { None };
        let path = folder.join(TASKS);
        let tasks = blocking(move || {
            let bytes = std::fs::read(&path).map_err(RequesterError::file(&path))?;
            let tasks: Vec<rialto_protocol::Bytes> = postcard::from_bytes(&bytes)
                .map_err(|error| RequesterError::Journal(error.to_string()))?;
            Ok(tasks.into_iter().map(|task| task.0).collect())
        })
        .await?;
        lock(&self.jobs)
            .insert(id, Arc::new(Shelf { program, shared, tasks, ready: Default::default() }));
        Ok(())
    }

    /// Forgets a job that was not submitted after all, or is long over.
    pub async fn discard(&self, id: JobId) {
        self.close(id);
        let folder = self.folder(id);
        if let Err(error) = tokio::fs::remove_dir_all(&folder).await {
            tracing::debug!(job = %id, %error, "job folder not removed");
        }
    }

    /// A job is too old to go on: its inputs are removed; program, report and outputs stay.
    pub async fn drop_inputs(&self, id: JobId) {
        for name in [SHARED, TASKS] {
            // There may be none.
            let _ = tokio::fs::remove_file(self.folder(id).join(name)).await;
        }
    }

    /// The job needs its inputs no more; outputs stay.
    pub fn close(&self, id: JobId) {
        lock(&self.jobs).remove(&id);
    }

    /// As a blob; the same program is written once, however many jobs run it.
    async fn program(&self, path: &Path) -> Result<Blob, RequesterError> {
        let bytes = tokio::fs::read(path).await.map_err(RequesterError::file(path))?;
        let reference = self.node.blobs().put_bytes(bytes).await?;
        self.held(reference, path)
    }

    async fn blob(&self, path: &Path) -> Result<Blob, RequesterError> {
        let reference = self.node.blobs().put_file(path).await?;
        self.held(reference, path)
    }

    fn held(&self, reference: BlobRef, path: &Path) -> Result<Blob, RequesterError> {
        let missing = || std::io::Error::other("the blob store lost it");
        self.node.blobs().get(reference).ok_or_else(missing).map_err(RequesterError::file(path))
    }

    pub(super) fn shelf(&self, job: JobId) -> Result<Arc<Shelf>, RequesterError> {
        lock(&self.jobs).get(&job).cloned().ok_or(RequesterError::NoJob)
    }

    /// The same, from disk where the job was reported already: what is claimed on chain, and games,
    /// may come later.
    pub(super) async fn shelf_or_load(&self, job: JobId) -> Result<Arc<Shelf>, RequesterError> {
        if let Ok(shelf) = self.shelf(job) {
            return Ok(shelf);
        }
        self.load(job).await?;
        self.shelf(job)
    }

    /// What an order of tasks `first .. first + count` carries. The deal's provider may fetch it.
    pub async fn work(
        &self,
        job: JobId,
        first: u32,
        count: u32,
        deal: DealId,
        peer: B256,
    ) -> Result<Carried, RequesterError> {
        let shelf = self.shelf_or_load(job).await?;
        let tasks = shelf.tasks.iter().skip(first as usize).take(count as usize);
        let tasks: Vec<_> = tasks.cloned().map(rialto_protocol::Bytes).collect();
        let bytes = postcard::to_stdvec(&tasks)
            .map_err(|error| RequesterError::Journal(error.to_string()))?;
        let inputs = if bytes.len() <= MAX_INLINE_BYTES {
            Payload::Inline(bytes.into())
        } else {
            Payload::Blob(self.node.blobs().put_bytes(bytes).await?)
        };
        let (program, shared) =
            (shelf.program.reference(), shelf.shared.as_ref().map(Blob::reference));
        let blob = if let Payload::Blob(blob) = inputs { Some(blob) } else { None };
        for blob in [Some(program), shared, blob].into_iter().flatten() {
            self.node.blobs().allow(peer, blob)?;
            lock(&self.grants)
                .entry(deal)
                .or_insert_with(|| (peer, BTreeSet::new()))
                .1
                .insert(blob);
        }
        Ok(Carried { program, shared, inputs })
    }

    /// The deal is over: its provider has no more access, unless by another deal.
    pub fn release(&self, deal: DealId) {
        let mut grants = lock(&self.grants);
        let Some((peer, blobs)) = grants.remove(&deal) else { return };
        for blob in blobs {
            if !grants.values().any(|(other, held)| *other == peer && held.contains(&blob)) {
                self.node.blobs().revoke(peer, blob);
            }
        }
    }

    /// File of an order's outputs.
    pub fn order_output(&self, job: JobId, order: OrderId) -> PathBuf {
        outputs_folder(&self.folder(job)).join(format!("{order}.bin"))
    }

    /// File of a local run's output.
    pub fn local_output(&self, job: JobId, task: u32) -> PathBuf {
        outputs_folder(&self.folder(job)).join(format!("task-{task}.bin"))
    }

    /// Brings an order's outputs to disk, checking them against the results on the way.
    pub async fn store(
        &self,
        job: JobId,
        order: OrderId,
        peer: &PeerAddr,
        results: Vec<Halted>,
        outputs: Payload,
    ) -> Stored {
        let Some(expected) = OutputCheck::expected_bytes(&results) else {
            return Stored::Wrong { task: 0 };
        };
        let path = self.order_output(job, order);
        let stored = match outputs {
            Payload::Inline(bytes) => blocking(move || keep(&path, &results, &bytes[..])).await,
            Payload::Blob(reference) if reference.size != expected => {
                return Stored::Wrong { task: 0 };
            }
            Payload::Blob(reference) => {
                match self.source.get(reference, &Hint::Peer(peer.clone())).await {
                    Err(error) => return Stored::Missing { why: error.to_string() },
                    Ok(blob) => {
                        let stored = blocking(move || {
                            let file = std::fs::File::open(blob.path())
                                .map_err(RequesterError::file(blob.path()))?;
                            keep(&path, &results, file)
                        })
                        .await;
                        self.node.blobs().remove(reference);
                        stored
                    }
                }
            }
        };
        stored.unwrap_or_else(|error| Stored::Missing { why: error.to_string() })
    }

    /// Runs tasks on this machine, and keeps outputs that are not stored already. `root` is what
    /// the job's orders name its program by.
    pub async fn run(
        &self,
        job: JobId,
        root: B256,
        limits: Limits,
        tasks: Vec<LocalRun>,
    ) -> Result<Vec<(u32, Halted)>, RequesterError> {
        let shelf = self.shelf_or_load(job).await?;
        let prepare = || async {
            let (executor, wasm) = (self.executor.clone(), shelf.program.read().await?);
            blocking(move || Ok(executor.prepare_signed(&wasm, root, &CancelFlag::new())?)).await
        };
        let program = shelf.ready.get_or_try_init(prepare).await?.clone();
        let shared = match &shelf.shared {
            Some(blob) => {
                SharedData::file(blob.path()).map_err(RequesterError::file(blob.path()))?
            }
            None => SharedData::none(),
        };
        // The executor runs as many at a time as it has cores.
        let runs = tasks.into_iter().map(|LocalRun { index, task, seed, stored }| {
            let (program, shared) = (program.clone(), shared.clone());
            let (input, path) =
                (shelf.tasks.get(task as usize).cloned(), self.local_output(job, task));
            blocking(move || {
                let input = input.ok_or(RequesterError::NoJob)?;
                let task = Task { input: &input, shared: &shared, limits, seed };
                let outcome = program.run(&task, &CancelFlag::new())?;
                if stored != Some(outcome.halted) {
                    write(&path, |file| file.write_all(&outcome.output))?;
                }
                Ok((index, outcome.halted))
            })
        });
        futures::future::try_join_all(runs).await
    }
}

fn size(content: &Content) -> u64 {
    match content {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::File(path) => std::fs::metadata(path).map_or(0, |data| data.len()),
    }
}

fn at_most(what: &'static str, bytes: u64, limit: u64) -> Result<(), RequesterError> {
    if bytes > limit { Err(RequesterError::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

/// Content in memory, bounded.
async fn read(content: &Content, limit: u64, what: &'static str) -> Result<Bytes, RequesterError> {
    match content {
        Content::Bytes(bytes) => {
            at_most(what, bytes.len() as u64, limit)?;
            Ok(bytes.clone())
        }
        Content::File(path) => {
            let size = tokio::fs::metadata(path).await.map_err(RequesterError::file(path))?.len();
            at_most(what, size, limit)?;
            Ok(tokio::fs::read(path).await.map_err(RequesterError::file(path))?.into())
        }
    }
}

/// Writes a whole file or nothing.
pub(crate) fn write(
    path: &Path,
    content: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> Result<(), RequesterError> {
    let part = path.with_extension("part");
    let result = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
        let mut file = std::fs::File::create(&part)?;
        content(&mut file)?;
        file.sync_data()?;
        std::fs::rename(&part, path)
    });
    result.map_err(RequesterError::file(path))
}

/// Writes a job's folder and hashes its inputs.
fn write_job(
    folder: &Path,
    wasm: &[u8],
    shared: Option<&Content>,
    tasks: &[Bytes],
) -> Result<Vec<B256>, RequesterError> {
    write(&folder.join(PROGRAM), |file| file.write_all(wasm))?;
    let mut hasher = HalfHasher::default();
    if let Some(shared) = shared {
        let mut source: Box<dyn Read> = match shared {
            Content::Bytes(bytes) => Box::new(std::io::Cursor::new(bytes.clone())),
            Content::File(path) => {
                Box::new(std::fs::File::open(path).map_err(RequesterError::file(path))?)
            }
        };
        let mut size = 0;
        write(&folder.join(SHARED), |file| {
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                let count = source.read(&mut piece)?;
                size += count as u64;
                if count == 0 || size > MAX_HALF_BYTES {
                    return Ok(());
                }
                hasher.update(&piece[..count]);
                file.write_all(&piece[..count])?;
            }
        })?;
        at_most("shared input", size, MAX_HALF_BYTES)?;
    }
    let shared = hasher.finish();
    let copies: Vec<_> = tasks.iter().cloned().map(rialto_protocol::Bytes).collect();
    let bytes =
        postcard::to_stdvec(&copies).map_err(|error| RequesterError::Journal(error.to_string()))?;
    write(&folder.join(TASKS), |file| file.write_all(&bytes))?;
    Ok(input_roots(tasks, shared))
}

/// Copies a stream of outputs to its file while checking it.
fn keep(path: &Path, results: &[Halted], mut stream: impl Read) -> Result<Stored, RequesterError> {
    let mut fault = None;
    let mut check = OutputCheck::new(results);
    let written = write(path, |file| {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = stream.read(&mut piece)?;
            if count == 0 {
                break;
            }
            if let Err(found) = check.feed(&piece[..count]) {
                fault = Some(found);
                break;
            }
            file.write_all(&piece[..count])?;
        }
        if fault.is_none() {
            fault = check.clone().finish().err();
        }
        // A wrong stream leaves no file.
        if fault.is_some() { Err(std::io::ErrorKind::InvalidData.into()) } else { Ok(()) }
    });
    match fault {
        Some(crate::core::verify::ReceiptFault::Output { task }) => {
            // Best effort: the unfinished file is never read.
            let _ = std::fs::remove_file(path.with_extension("part"));
            Ok(Stored::Wrong { task })
        }
        _ => written.map(|()| Stored::Right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_machine::input::{Half, input_root};
    use rialto_protocol::receipt::{Status, output_hash};

    #[test]
    fn outputs_are_kept_only_if_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outputs/a.bin");
        let halted = |output: &[u8]| Halted {
            status: Status::Finished,
            exit_code: 0,
            out_hash: output_hash(output),
            out_len: output.len() as u64,
            fuel_left: 0,
            digest: 0,
        };
        let results = [halted(b"one"), halted(&[7; 100])];
        let mut stream = [b"one".as_slice(), &[7; 100]].concat();
        assert_eq!(keep(&path, &results, &stream[..]).unwrap(), Stored::Right);
        assert_eq!(std::fs::read(&path).unwrap(), stream);
        let other = folder.path().join("outputs/b.bin");
        stream[50] ^= 1;
        assert_eq!(keep(&other, &results, &stream[..]).unwrap(), Stored::Wrong { task: 1 });
        assert!(!other.exists() && !other.with_extension("part").exists());
        assert_eq!(keep(&other, &results, &b"one"[..]).unwrap(), Stored::Wrong { task: 1 });
    }

    #[test]
    fn a_job_is_written_and_hashed_like_the_machine_does() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = [Bytes::from_static(b"first"), Bytes::from_static(b"second")];
        let shared = Content::Bytes(Bytes::from(vec![3; 600_000]));
        let roots = write_job(folder.path(), b"wasm", Some(&shared), &tasks).unwrap();
        let shared = Half::of(&[3; 600_000]);
        assert_eq!(roots[1], input_root(Half::of(b"second"), shared));
        assert_eq!(std::fs::read(folder.path().join("shared.bin")).unwrap(), vec![3; 600_000]);
        assert_eq!(std::fs::read(folder.path().join("program.wasm")).unwrap(), b"wasm");
    }
}
