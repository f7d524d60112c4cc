//! Work: bringing an order's parts here, checking that they are what was signed, and running it.

use std::{
    collections::HashMap,
    hash::Hash,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::{B256, Bytes};
use rialto_blobs::{Blob, BlobError, Hint, Source};
use rialto_exec::{
    AttemptError, Batch, CancelFlag, Executor, Limits as RunLimits, Prepared, SharedData,
    SharedFiles, Task, map_file,
};
use rialto_machine::{
    TaskLimits,
    input::{Half, HalfHasher, Halves, MAX_HALF_BYTES, input_roots},
    play::Player,
};
use rialto_net::{NetError, Node};
use rialto_protocol::{
    DealId, OrderId,
    court::{Answer, GameView, Question},
    receipt::{SumTree, inputs_root, task_seed},
    wire::{BlobRef, Payload, PeerAddr},
};
use tokio::sync::oneshot;

use super::{
    journal::{Journal, blocking},
    outputs::Outputs,
    shell::Shell,
    traces::Traces,
};
use crate::core::{Refusal, Results, Work};

/// Programs and shared inputs whose roots are remembered, each.
const MAX_REMEMBERED: usize = 256;
/// Checked inputs that wait in memory for their turn to run, bytes; beyond it they are read and
/// checked again.
const MAX_READY_BYTES: usize = 64 << 20;
/// Progress is told no more often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Everything work needs; shared by all tasks of the service.
pub(crate) struct Runner {
    pub node: Node,
    /// Where blobs come from that are not here.
    source: Arc<dyn Source>,
    pub executor: Arc<dyn Executor>,
    pub journal: Journal,
    pub shell: Arc<dyn Shell>,
    /// Where connected peers are.
    pub peers: Mutex<HashMap<B256, PeerAddr>>,
    /// What must stay on disk, by deal.
    pins: Mutex<HashMap<DealId, HashMap<BlobRef, Blob>>>,
    /// By bytes and signed root: the root says under which rules they are prepared.
    programs: Mutex<HashMap<(BlobRef, B256), Arc<dyn Prepared>>>,
    shared_halves: Mutex<HashMap<BlobRef, Half>>,
    shared_files: SharedFiles,
    ready: Mutex<Ready>,
    /// Tasks being traced for games.
    pub traces: Traces,
}

/// Inputs that were checked against their order, by order. Checking costs more than a tiny task
/// itself: 27 hashes each.
#[derive(Default)]
struct Ready {
    inputs: HashMap<OrderId, Vec<bytes::Bytes>>,
    bytes: usize,
}

impl Ready {
    /// What a list takes, its bookkeeping included.
    fn size(inputs: &[bytes::Bytes]) -> usize {
        inputs.iter().map(|input| input.len() + size_of::<bytes::Bytes>()).sum()
    }

    /// Keeps inputs if there is room. What never runs makes way for whoever comes later.
    fn put(&mut self, order: OrderId, inputs: Vec<bytes::Bytes>) {
        let size = Self::size(&inputs);
        if size > MAX_READY_BYTES {
            return;
        }
        self.take(order);
        while self.bytes + size > MAX_READY_BYTES {
            let Some(any) = self.inputs.keys().next().copied() else { break };
            self.take(any);
        }
        self.bytes += size;
        self.inputs.insert(order, inputs);
    }

    fn take(&mut self, order: OrderId) -> Option<Vec<bytes::Bytes>> {
        let inputs = self.inputs.remove(&order)?;
        self.bytes -= Self::size(&inputs);
        Some(inputs)
    }
}

/// An order, ready to run.
struct Loaded {
    program: Arc<dyn Prepared>,
    shared: SharedData,
    inputs: Vec<bytes::Bytes>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Every critical section is a single map operation: a panic leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    pub fn new(
        node: Node,
        executor: Arc<dyn Executor>,
        journal: Journal,
        cores: u32,
        shell: Arc<dyn Shell>,
    ) -> Self {
        Self {
            source: Arc::new(node.blobs().clone()),
            node,
            executor,
            journal,
            shell,
            peers: Mutex::default(),
            pins: Mutex::default(),
            programs: Mutex::default(),
            shared_halves: Mutex::default(),
            shared_files: SharedFiles::default(),
            ready: Mutex::default(),
            traces: Traces::new(cores),
        }
    }

    /// Brings everything here and checks it.
    pub async fn fetch(&self, work: &Work) -> Result<(), Refusal> {
        let loaded = self.load(work).await?;
        lock(&self.ready).put(work.hash, loaded.inputs);
        Ok(())
    }

    /// Runs all tasks. `progress` hears how many are done, not too often.
    pub async fn run(
        &self,
        work: &Work,
        cancel: CancelFlag,
        progress: impl Fn(u32) + Send + Sync + 'static,
    ) -> Result<Results, Refusal> {
        if let Some(results) = self.shell.results(&work.order) {
            return Ok(results);
        }
        let loaded = self.load(work).await?;
        let (order, shell) = (work.order.clone(), self.shell.clone());
        let outputs = Mutex::new(Outputs::new(self.node.blobs().clone(), loaded.inputs.len()));
        let (results, blob) = compute(move || {
            let told = Mutex::new((0, Instant::now()));
            let done = |task, outcome| {
                let outcome = shell.outcome(&order, task, outcome);
                lock(&outputs)
                    .put(task, outcome)
                    .map_err(|error| AttemptError::Output(error.to_string()))?;
                let mut told = lock(&told);
                told.0 += 1;
                if told.1.elapsed() >= PROGRESS_INTERVAL {
                    told.1 = Instant::now();
                    progress(told.0);
                }
                Ok(())
            };
            let Loaded { program, shared, inputs } = &loaded;
            let batch = Batch { inputs, shared, limits: RunLimits::of(&order), seed: order.seed };
            program.run_each(&batch, &cancel, &done).map_err(attempt)?;
            let outputs = outputs.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
            outputs.map_err(|error| attempt(AttemptError::Output(error.to_string())))
        })
        .await?;
        if let Some(blob) = blob {
            self.hold(work.order.deal, blob);
        }
        Ok(results)
    }

    /// Runs one task again, and compares it with what was delivered.
    pub async fn rerun(&self, work: &Work, task: u32, cancel: CancelFlag) -> Result<bool, Refusal> {
        let loaded = self.load(work).await?;
        let (journal, hash) = (self.journal.clone(), work.hash);
        let before = blocking(move || journal.results(hash))
            .await
            .map_err(|error| Refusal::Attempt(error.to_string()))?;
        let before = before.halted.get(task as usize).map(|halted| halted.hash());
        let order = work.order.clone();
        let outcome = compute(move || {
            let Loaded { program, shared, inputs } = &loaded;
            let input =
                inputs.get(task as usize).ok_or_else(|| Refusal::Attempt("no such task".into()))?;
            let (limits, seed) = (RunLimits::of(&order), task_seed(order.seed, task));
            program.run(&Task { input, shared, limits, seed }, &cancel).map_err(attempt)
        })
        .await?;
        Ok(before == Some(outcome.halted.hash()))
    }

    /// What stands below a node of a receipt's tree; `Nothing` if the receipt is not of the results
    /// that we have.
    pub async fn unfold(&self, work: &Work, view: &GameView) -> Result<Answer, Refusal> {
        let Question::Node { height, place } = view.question else { return Ok(Answer::Nothing) };
        let (journal, hash, limit) = (self.journal.clone(), work.hash, work.order.fuelLimit);
        let results = blocking(move || journal.results(hash)).await;
        let results = results.map_err(|error| Refusal::Attempt(error.to_string()))?;
        compute(move || {
            let tree = SumTree::over(&results.halted, limit);
            Ok(tree
                .unfold(height.into(), place)
                .map_or(Answer::Nothing, |nodes| Answer::Unfold { nodes }))
        })
        .await
    }

    /// A task that can be looked at anywhere in its run.
    pub async fn player(&self, work: &Work, task: u32) -> Result<Player, Refusal> {
        let (_, inputs) = self.shared_and_inputs(work).await?;
        let failed = |error: &dyn std::fmt::Display| Refusal::Attempt(error.to_string());
        let program = self.blob(work, work.program).await.map_err(|error| failed(&error))?;
        let wasm = program.read().await.map_err(|error| failed(&error))?;
        let shared = match work.shared {
            None => bytes::Bytes::new(),
            Some(reference) => {
                let blob = self.blob(work, reference).await.map_err(|error| failed(&error))?;
                map_file(blob.path()).map_err(|error| failed(&error))?
            }
        };
        let (journal, hash) = (self.journal.clone(), work.hash);
        let results =
            blocking(move || journal.results(hash)).await.map_err(|error| failed(&error))?;
        let (executor, order, shell) =
            (self.executor.clone(), work.order.clone(), self.shell.clone());
        compute(move || {
            let input =
                inputs.get(task as usize).ok_or_else(|| Refusal::Attempt("no such task".into()))?;
            let program = executor
                .judged(&wasm, order.program)
                .map_err(|error| Refusal::Program(error.to_string()))?;
            let player = Player::new(
                Arc::new(program),
                Arc::new(Halves::new(input.clone().into(), shared.into())),
                TaskLimits::of(&order, task),
            );
            let claimed = results.halted.get(task as usize).and_then(|said| shell.stands_by(said));
            Ok(match claimed {
                Some(end) => player.claiming(&end),
                None => player,
            })
        })
        .await
    }

    /// A part of an order's outputs.
    pub async fn output(
        &self,
        results: &Results,
        offset: u64,
        size: usize,
    ) -> Result<Bytes, NetError> {
        match &results.outputs {
            Payload::Inline(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                Ok(bytes
                    .get(from..from.saturating_add(size))
                    .map(Bytes::copy_from_slice)
                    .unwrap_or_default())
            }
            Payload::Blob(reference) => {
                let missing = BlobError::Missing(B256::from(reference.hash));
                let blob = self.node.blobs().get(*reference).ok_or(missing)?;
                Ok(blob.read_part(offset, size).await?.into())
            }
        }
    }

    /// Keeps a blob on disk until its deal is released.
    pub fn pin(&self, deal: DealId, blob: BlobRef) {
        if let Some(held) = self.node.blobs().get(blob) {
            self.hold(deal, held);
        }
    }

    fn hold(&self, deal: DealId, blob: Blob) {
        lock(&self.pins).entry(deal).or_default().insert(blob.reference(), blob);
    }

    /// The deal is over: its blobs may go, and its peer has no access any more.
    pub fn release(&self, deal: DealId, peer: Option<B256>) {
        for blob in lock(&self.pins).remove(&deal).unwrap_or_default().into_keys() {
            if let Some(peer) = peer {
                self.node.blobs().revoke(peer, blob);
            }
        }
    }

    async fn load(&self, work: &Work) -> Result<Loaded, Refusal> {
        let program = self.program(work).await?;
        // Whether this host lends enough was decided when the order was admitted.
        if let Err(AttemptError::StartPages { needed, limit }) =
            program.check(&RunLimits::of(&work.order))
        {
            return Err(Refusal::Program(format!(
                "it starts with {needed} pages, the order allows {limit}"
            )));
        }
        let (shared, inputs) = self.shared_and_inputs(work).await?;
        Ok(Loaded { program, shared, inputs })
    }

    /// What the order's tasks read, checked against the order.
    async fn shared_and_inputs(
        &self,
        work: &Work,
    ) -> Result<(SharedData, Vec<bytes::Bytes>), Refusal> {
        let (shared, half) = self.shared(work).await?;
        let ready = lock(&self.ready).take(work.hash);
        if let Some(inputs) = ready {
            return Ok((shared, inputs));
        }
        let bytes = self.inputs(work).await?;
        let (tasks, expected) = (work.order.tasks, work.order.inputs);
        let inputs = compute(move || checked_inputs(&bytes, tasks, half, expected)).await?;
        Ok((shared, inputs))
    }

    async fn program(&self, work: &Work) -> Result<Arc<dyn Prepared>, Refusal> {
        let refused = |error: &dyn std::fmt::Display| Refusal::Program(error.to_string());
        let blob = self.blob(work, work.program).await.map_err(|error| refused(&error))?;
        let name = (work.program, work.order.program);
        if let Some(known) = lock(&self.programs).get(&name) {
            return Ok(known.clone());
        }
        let wasm = blob.read().await.map_err(|error| refused(&error))?;
        let program = prepare(self.executor.clone(), wasm, work.order.program).await?;
        remember(&self.programs, MAX_REMEMBERED, name, program.clone());
        Ok(program)
    }

    async fn shared(&self, work: &Work) -> Result<(SharedData, Half), Refusal> {
        let refused = |error: &dyn std::fmt::Display| Refusal::Inputs(error.to_string());
        let Some(reference) = work.shared else { return Ok((SharedData::none(), Half::of(&[]))) };
        if reference.size > MAX_HALF_BYTES {
            return Err(Refusal::Inputs("too large".into()));
        }
        let blob = self.blob(work, reference).await.map_err(|error| refused(&error))?;
        let data = self.shared_files.open(blob.path()).map_err(|error| refused(&error))?;
        let known = lock(&self.shared_halves).get(&reference).copied();
        let half = match known {
            Some(half) => half,
            None => {
                let held = blob.clone();
                let half = compute(move || {
                    half_of(held.path()).map_err(|e| Refusal::Inputs(e.to_string()))
                })
                .await?;
                remember(&self.shared_halves, MAX_REMEMBERED, reference, half);
                half
            }
        };
        Ok((data, half))
    }

    async fn inputs(&self, work: &Work) -> Result<Bytes, Refusal> {
        let refused = |error: &dyn std::fmt::Display| Refusal::Inputs(error.to_string());
        let (journal, hash) = (self.journal.clone(), work.hash);
        match blocking(move || journal.inputs(hash)).await.map_err(|error| refused(&error))? {
            Payload::Inline(bytes) => Ok(bytes),
            Payload::Blob(reference) => {
                let blob = self.blob(work, reference).await;
                let bytes = blob
                    .map_err(|error| refused(&error))?
                    .read()
                    .await
                    .map_err(|error| refused(&error))?;
                Ok(bytes.into())
            }
        }
    }

    /// A blob of an order: from here, or from the requester. Its size was judged when the order was
    /// admitted.
    async fn blob(&self, work: &Work, reference: BlobRef) -> Result<Blob, BlobError> {
        let blob = match self.node.blobs().get(reference) {
            Some(here) => here,
            None => {
                let peer = work.peer.and_then(|peer| lock(&self.peers).get(&peer).cloned());
                let peer = peer.ok_or(BlobError::Missing(B256::from(reference.hash)))?;
                self.source.get(reference, &Hint::Peer(peer)).await?
            }
        };
        self.hold(work.order.deal, blob.clone());
        Ok(blob)
    }
}

/// Prepares a program on a thread of its own: the executor lets few be prepared at a time, and
/// whoever waits for a turn must not occupy the threads that the journal is written on. It is given
/// up when nobody waits for it any more.
async fn prepare(
    executor: Arc<dyn Executor>,
    wasm: bytes::Bytes,
    root: B256,
) -> Result<Arc<dyn Prepared>, Refusal> {
    let (answer, answered) = oneshot::channel();
    let waiting = Waiting(CancelFlag::new());
    let cancel = waiting.0.clone();
    let preparing = move || drop(answer.send(executor.prepare_signed(&wasm, root, &cancel)));
    let thread = std::thread::Builder::new().name("rialto-prepare".into()).spawn(preparing);
    thread.map_err(|error| Refusal::Attempt(error.to_string()))?;
    let prepared = answered.await.map_err(|error| Refusal::Attempt(error.to_string()))?;
    prepared.map_err(|error| Refusal::Program(error.to_string()))
}

/// Raises its flag when dropped.
struct Waiting(CancelFlag);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn remember<K: Hash + Eq + Copy, V>(map: &Mutex<HashMap<K, V>>, most: usize, key: K, value: V) {
    let mut map = lock(map);
    if map.len() >= most {
        let any = map.keys().next().copied();
        any.map(|key| map.remove(&key));
    }
    map.insert(key, value);
}

fn attempt(error: AttemptError) -> Refusal {
    Refusal::Attempt(error.to_string())
}

/// Takes the tasks' inputs apart and checks them against the order.
pub(super) fn checked_inputs(
    bytes: &[u8],
    tasks: u32,
    shared: Half,
    expected: B256,
) -> Result<Vec<bytes::Bytes>, Refusal> {
    let inputs: Vec<Bytes> =
        postcard::from_bytes(bytes).map_err(|error| Refusal::Inputs(error.to_string()))?;
    if inputs.len() != tasks as usize {
        return Err(Refusal::Inputs(format!("{} inputs for {tasks} tasks", inputs.len())));
    }
    if inputs.iter().any(|task| task.len() as u64 > MAX_HALF_BYTES) {
        return Err(Refusal::Inputs("too large".into()));
    }
    let roots = input_roots(&inputs, shared);
    let root = inputs_root(&roots);
    if root != expected {
        return Err(Refusal::Inputs(format!("their root is {root}, the order says {expected}")));
    }
    Ok(inputs.into_iter().map(|task| task.0).collect())
}

/// A shared input on disk, in constant memory.
pub(super) fn half_of(path: &Path) -> std::io::Result<Half> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = HalfHasher::default();
    let mut piece = vec![0; 256 << 10];
    loop {
        match std::io::Read::read(&mut file, &mut piece)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&piece[..count]),
        }
    }
}

/// Runs work that takes a core off the async threads.
pub(super) async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Refusal::Attempt(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_wait_within_their_bound() {
        let mut ready = Ready::default();
        let inputs = |bytes: usize| vec![bytes::Bytes::from(vec![0; bytes])];
        let order = OrderId::repeat_byte;
        ready.put(order(1), inputs(10));
        ready.put(order(1), inputs(20));
        assert_eq!(ready.take(order(1)), Some(inputs(20)));
        assert_eq!((ready.take(order(1)), ready.bytes), (None, 0));
        ready.put(order(2), inputs(MAX_READY_BYTES));
        assert_eq!(ready.take(order(2)), None, "too large to keep");
        for n in 0..8 {
            ready.put(order(n), inputs(MAX_READY_BYTES / 4));
            assert!(ready.bytes <= MAX_READY_BYTES && ready.inputs.contains_key(&order(n)));
        }
    }
}
