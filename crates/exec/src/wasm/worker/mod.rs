//! Programs are checked and compiled in processes of their own, because nothing bounds what a
//! compiler may do with a hostile module but a process: its memory, its processor time and what it
//! can reach are limited, and it can be killed at any time.
//!
//! A worker is this very binary, started again. So whoever uses this crate in a binary calls
//! [`main_if_worker`] first thing in `main`; in one that doesn't, compilation happens in the
//! process itself, with a warning.
//!
//! ```text
//! parent ── stdin: the module ──▶ worker (confined, see `confine`) ── stdout: a reply ──▶ parent
//! ```
//! One worker compiles one module and is gone: nothing of one buyer's program meets another's.

mod child;
mod confine;
mod reply;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wasm::compile::Compiled;
use crate::{CancelFlag, ExecError};

pub use confine::Protection;
use reply::Reply;

/// A worker's name for itself, where other processes have their path.
const NAME: &str = "rialto-worker";
/// A worker that only says how it is confined.
const PROBE: &str = "probe";
/// This binary can be a worker.
static INSTALLED: AtomicBool = AtomicBool::new(false);
/// It was said that it can't, or that something protects it less than it could.
static WARNED: AtomicBool = AtomicBool::new(false);
/// How often somebody who waits looks up.
const WAIT: Duration = Duration::from_millis(20);
/// Memory of a worker, bytes, and so much more for each byte of the module.
const MEMORY_BYTES: u64 = 2 << 30;
const MEMORY_BYTES_PER_BYTE: u64 = 64;
/// Processor time of a worker, seconds, and bytes of the module for which it has one more.
const CPU_SECONDS: u64 = 120;
const BYTES_PER_CPU_SECOND: u64 = 8 << 10;
/// Wall time for each second of processor time: hosts are busy.
const WALL_PER_CPU: u32 = 8;
/// Largest reply, bytes.
const MAX_REPLY_BYTES: u64 = 1 << 30;
/// Workers that may die of one program: the first may have been the host's fault.
const ATTEMPTS: usize = 2;

/// Becomes a worker, and never returns, if this process was started as one. `arguments` are the
/// process's own, `std::env::args_os()`. To be called before anything else, by every binary that
/// prepares programs.
pub fn main_if_worker(arguments: impl IntoIterator<Item = OsString>) {
    let mut arguments = arguments.into_iter();
    if arguments.next().is_some_and(|name| name == NAME) {
        let rest: Vec<_> =
            arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
        child::run(&rest);
    }
    INSTALLED.store(true, Ordering::Relaxed);
}

/// What keeps an untrusted program from this host while it is compiled: tried out in a worker,
/// where this binary has them.
pub fn protections() -> Vec<Protection> {
    if !is_installed() {
        let why = "this binary has no workers: programs are compiled in its own process";
        return vec![Protection { name: "process of its own", holds: false, why: why.into() }];
    }
    match exchange(&[PROBE.into()], &[], Duration::from_secs(20), &CancelFlag::new()) {
        Ok(Reply::Probe(found)) => found,
        Ok(_) => {
            vec![Protection {
                name: "process of its own",
                holds: false,
                why: "it answered something else".into(),
            }]
        }
        Err(end) => {
            vec![Protection { name: "process of its own", holds: false, why: end.to_string() }]
        }
    }
}

pub(crate) fn is_installed() -> bool {
    INSTALLED.load(Ordering::Relaxed)
}

/// Says once that this binary has no workers.
pub(crate) fn warn_if_not_installed() {
    if !is_installed() && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "[X-WRK-001] this binary has no workers: programs are compiled in its own process"
        );
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("cancelled")]
    Cancelled,
    #[error("it cannot be started: {0}")]
    Start(std::io::Error),
    #[error("{0}")]
    Died(String),
}

/// How many modules are compiled at a time. Whoever asks first is served first, so that nobody who
/// brings many modules keeps another waiting for ever.
pub(crate) struct Workers {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    free: usize,
    next: u64,
    waiting: BTreeSet<u64>,
}

/// Leave to compile; given back when dropped.
pub(crate) struct Turn<'a>(&'a Workers);

impl Workers {
    pub(crate) fn new(count: usize) -> Self {
        let queue = Queue { free: count.max(1), next: 0, waiting: BTreeSet::new() };
        Self { queue: Mutex::new(queue), changed: Condvar::new() }
    }

    /// Waits for a turn.
    pub(crate) fn turn(&self, cancel: &CancelFlag) -> Result<Turn<'_>, ExecError> {
        let mut queue = self.lock();
        let ticket = queue.next;
        queue.next += 1;
        queue.waiting.insert(ticket);
        while queue.free == 0 || queue.waiting.first() != Some(&ticket) {
            if cancel.is_cancelled() {
                queue.waiting.remove(&ticket);
                self.changed.notify_all();
                return Err(ExecError::Cancelled);
            }
            queue =
                self.changed.wait_timeout(queue, WAIT).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.waiting.remove(&ticket);
        queue.free -= 1;
        self.changed.notify_all();
        Ok(Turn(self))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().free += 1;
        self.0.changed.notify_all();
    }
}

/// Checks a module under the rules of this version and compiles it, in a worker.
/// [`ExecError::Worker`] is a verdict: it would end the same way again.
pub(crate) fn compile(
    version: u16,
    wasm: &[u8],
    cancel: &CancelFlag,
) -> Result<Compiled, ExecError> {
    let bytes = wasm.len() as u64;
    let memory = MEMORY_BYTES + MEMORY_BYTES_PER_BYTE * bytes;
    let cpu = CPU_SECONDS + bytes / BYTES_PER_CPU_SECOND;
    let arguments = [memory.to_string(), cpu.to_string(), version.to_string()];
    let wall = Duration::from_secs(cpu) * WALL_PER_CPU;
    let mut attempt = 1;
    loop {
        match exchange(&arguments, wasm, wall, cancel) {
            Ok(Reply::Compiled(compiled)) => return Ok(compiled),
            Ok(Reply::Refused(why)) => return Err(ExecError::Refused(why)),
            Ok(Reply::Failed(why)) => return Err(ExecError::Compile(why)),
            Err(End::Cancelled) => return Err(ExecError::Cancelled),
            Err(End::Start(error)) => return Err(ExecError::Start(error)),
            Ok(Reply::Probe(_)) => {
                return Err(ExecError::Worker("it answered something else".into()));
            }
            Err(End::Died(why)) if attempt == ATTEMPTS => return Err(ExecError::Worker(why)),
            Err(End::Died(why)) => {
                tracing::warn!(attempt, why, "[X-WRK-002] a worker died, starting another")
            }
        }
        attempt += 1;
    }
}

/// A worker that is killed when nobody waits for it any more.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One worker's life.
fn exchange(
    arguments: &[String],
    input: &[u8],
    wall: Duration,
    cancel: &CancelFlag,
) -> Result<Reply, End> {
    let mut command = Command::new("/proc/self/exe");
    if !cfg!(target_os = "linux") {
        command = Command::new(std::env::current_exe().map_err(End::Start)?);
    }
    command.arg0(NAME).args(arguments).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut worker = Worker(command.spawn().map_err(End::Start)?);
    let (mut to, from) =
        (worker.0.stdin.take().expect("piped"), worker.0.stdout.take().expect("piped"));
    let (send, receive) = channel();
    let deadline = Instant::now() + wall;
    std::thread::scope(|scope| {
        // Both end when the worker does.
        scope.spawn(move || {
            to.write_all(&(input.len() as u64).to_be_bytes()).and_then(|()| to.write_all(input))
        });
        scope.spawn(move || {
            let mut reply = Vec::new();
            let read = from.take(MAX_REPLY_BYTES).read_to_end(&mut reply);
            let _ = send.send(read.map(|_| reply));
        });
        let reply = loop {
            match receive.recv_timeout(WAIT) {
                Ok(reply) => break reply,
                Err(RecvTimeoutError::Disconnected) => break Ok(Vec::new()),
                Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => {
                    let _ = worker.0.kill();
                    return Err(End::Cancelled);
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                    let _ = worker.0.kill();
                    return Err(End::Died(format!(
                        "it did not answer within {} s",
                        wall.as_secs()
                    )));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        let reply = reply.ok().and_then(Reply::decode);
        if reply.is_none() {
            // It has closed its side, or said too much: it does not go on.
            std::thread::sleep(Duration::from_millis(5));
            let ended = worker.0.try_wait().ok().flatten();
            let _ = worker.0.kill();
            let ended = ended.or_else(|| worker.0.wait().ok());
            return Err(End::Died(ended.map_or_else(|| "it ended".into(), how)));
        }
        Ok(reply.expect("there is one"))
    })
}

/// How a worker ended.
fn how(status: ExitStatus) -> String {
    match status.signal() {
        Some(6) => "it had no more memory, or gave up (SIGABRT)".into(),
        Some(9) => {
            "it was killed: it took too much processor time, or the system had no more memory"
                .into()
        }
        Some(24) => "it took too much processor time (SIGXCPU)".into(),
        Some(signal) => format!("it was killed by signal {signal}"),
        None => format!("it ended without an answer, {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_taken_in_the_order_in_which_they_are_asked_for() {
        let (workers, order) = (Workers::new(1), Mutex::new(Vec::new()));
        let (cancel, gone) = (CancelFlag::new(), CancelFlag::new());
        let busy = workers.turn(&cancel).unwrap();
        std::thread::scope(|scope| {
            let waits = |count: usize| {
                while workers.lock().waiting.len() < count {
                    std::thread::sleep(Duration::from_millis(1));
                }
            };
            let ask = |number: u32, cancel: CancelFlag| {
                let (workers, order) = (&workers, &order);
                scope.spawn(move || {
                    let turn = workers.turn(&cancel);
                    if turn.is_ok() {
                        order.lock().unwrap().push(number);
                    }
                });
            };
            for number in 0..4 {
                ask(number, if number == 1 { gone.clone() } else { cancel.clone() });
                waits(number as usize + 1);
            }
            // Who gives up keeps nobody behind it waiting.
            gone.cancel();
            while workers.lock().waiting.len() > 3 {
                std::thread::sleep(Duration::from_millis(1));
            }
            drop(busy);
        });
        assert_eq!(*order.lock().unwrap(), [0, 2, 3]);
    }
}
