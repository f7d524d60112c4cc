//! The four functions that a program can call, and everything one running task has on the host.
//! This is the whole untrusted surface: see the contract in `rialto_machine`'s documentation.

use std::time::{Duration, Instant};

use alloy_primitives::B256;
use bytes::Bytes;
use rialto_machine::input::HALF_DEPTH;
use rialto_protocol::receipt::chain_output;
use wasmtime::{Caller, Linker, ResourceLimiter, Result, Trap};

use crate::shared::{Read, SharedData, SharedReader, leaf};
use crate::{AttemptError, CancelFlag, Limits};

/// Name of the import module.
const MODULE: &str = "rialto";
/// No memory is larger: growing beyond it is how tuned code asks whether it should go on (`tune`).
const LARGEST_MEMORY_BYTES: u64 = 1 << 32;
/// Bytes reserved for a task's output before it writes any.
const OUTPUT_RESERVE_BYTES: u64 = 4 << 10;
/// An output of so many bytes gets room for all it may have, at once: what is not written takes no
/// memory, and doubling on and on would leave holes of every size behind.
const OUTPUT_LARGE_BYTES: usize = 1 << 20;
/// Most of such room, bytes.
const OUTPUT_ROOM_BYTES: u64 = 256 << 20;

/// Why the host ended a run.
#[derive(Debug)]
pub(crate) enum Stop {
    Exit(u32),
    Trap,
    Attempt(AttemptError),
}

/// When a run must end, whatever it does.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// The caller's flag and the batch's.
    pub(crate) cancel: [CancelFlag; 2],
    pub(crate) max_wall: Duration,
}

impl Watch {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.iter().any(CancelFlag::is_cancelled)
    }
}

/// One task's state on the host.
#[derive(Debug)]
pub(crate) struct Host {
    task: Bytes,
    shared: SharedReader,
    output: Vec<u8>,
    out_hash: B256,
    out_limit: u64,
    memory_limit: u64,
    /// Bytes that the memory has.
    memory: u64,
    watch: Watch,
    started: Instant,
    stop: Option<Stop>,
}

impl Host {
    /// `memory_limit` is in bytes: what the program and the order both allow.
    pub(crate) fn new(
        task: Bytes,
        shared: SharedData,
        limits: &Limits,
        memory_limit: u64,
        watch: Watch,
    ) -> Self {
        Self {
            task,
            shared: SharedReader::new(shared),
            output: Vec::with_capacity(limits.out_bytes.min(OUTPUT_RESERVE_BYTES) as usize),
            out_hash: B256::ZERO,
            out_limit: limits.out_bytes,
            memory_limit,
            memory: 0,
            watch,
            started: Instant::now(),
            stop: None,
        }
    }

    pub(crate) fn take_stop(&mut self) -> Option<Stop> {
        self.stop.take()
    }

    /// Bytes of memory that the program took in all.
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    /// The output and its hash.
    pub(crate) fn into_output(self) -> (Bytes, B256) {
        (self.output.into(), self.out_hash)
    }

    /// Called every few milliseconds while the task runs.
    fn check_watch(&mut self) -> Result<()> {
        if self.watch.is_cancelled() {
            return self.end(Stop::Attempt(AttemptError::Cancelled));
        }
        if self.started.elapsed() >= self.watch.max_wall {
            return self.end(Stop::Attempt(AttemptError::WallTime(self.watch.max_wall)));
        }
        Ok(())
    }

    fn inlen(&self) -> i64 {
        (self.task.len() as u64 | self.shared.len() << 32) as i64
    }

    fn in32(&mut self, index: u32) -> Result<[u8; 32]> {
        match index >> HALF_DEPTH {
            0 => Ok(leaf(&self.task, index.into())),
            1 => match self.shared.leaf(u64::from(index) - (1 << HALF_DEPTH)) {
                Ok((leaf, Read::Memory)) => Ok(leaf),
                Ok((leaf, Read::File)) => self.check_watch().map(|()| leaf), // slow, and costs little fuel
                Err(error) => self.end(Stop::Attempt(AttemptError::SharedInput(error.to_string()))),
            },
            _ => self.end(Stop::Trap),
        }
    }

    fn out32(&mut self, words: [i64; 4], n: u32) -> Result<()> {
        let after_the_last = !self.output.len().is_multiple_of(32);
        if n == 0
            || n > 32
            || after_the_last
            || self.output.len() as u64 + u64::from(n) > self.out_limit
        {
            return self.end(Stop::Trap);
        }
        let mut leaf = [0; 32];
        for (bytes, word) in leaf.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        leaf[n as usize..].fill(0);
        if self.output.capacity() - self.output.len() < 32 && !self.make_room() {
            return self
                .end(Stop::Attempt(AttemptError::OutOfMemory("for the task's output".into())));
        }
        self.output.extend_from_slice(&leaf[..n as usize]);
        self.out_hash = chain_output(self.out_hash, &leaf);
        Ok(())
    }

    /// Room for more output.
    fn make_room(&mut self) -> bool {
        let len = self.output.len();
        let rest = (self.out_limit - len as u64).min(OUTPUT_ROOM_BYTES) as usize;
        let all = len >= OUTPUT_LARGE_BYTES && self.output.try_reserve_exact(rest.max(32)).is_ok();
        all || self.output.try_reserve(32).is_ok()
    }

    /// Ends the run. The error only unwinds the program; what counts is `stop`.
    fn end<T>(&mut self, stop: Stop) -> Result<T> {
        self.stop = Some(stop);
        Err(Trap::UnreachableCodeReached.into())
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        if desired as u64 > LARGEST_MEMORY_BYTES {
            self.check_watch()?; // it is `tick` who asks, or a program that asks for the impossible
        }
        let granted = desired as u64 <= self.memory_limit;
        if granted {
            self.memory = desired as u64;
        }
        Ok(granted)
    }

    /// The growth was allowed, so a failure is this host's: −1 would be a wrong result.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        self.end(Stop::Attempt(AttemptError::OutOfMemory(error.to_string())))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(current == 0 || desired == current)
    }
}

/// The four imports.
pub(crate) fn link(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(MODULE, "inlen", |caller: Caller<'_, Host>| caller.data().inlen())?;
    linker.func_wrap(
        MODULE,
        "in32",
        |mut caller: Caller<'_, Host>, index: u32| -> Result<(i64, i64, i64, i64)> {
            let leaf = caller.data_mut().in32(index)?;
            let word = |at: usize| {
                i64::from_le_bytes(leaf[at..at + 8].try_into().expect("a word has 8 bytes"))
            };
            Ok((word(0), word(8), word(16), word(24)))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "out32",
        |mut caller: Caller<'_, Host>, a: i64, b: i64, c: i64, d: i64, n: u32| -> Result<()> {
            caller.data_mut().out32([a, b, c, d], n)
        },
    )?;
    linker.func_wrap(MODULE, "exit", |mut caller: Caller<'_, Host>, code: u32| -> Result<()> {
        caller.data_mut().end(Stop::Exit(code))
    })?;
    Ok(())
}
