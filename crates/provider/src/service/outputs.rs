//! An order's results while its tasks run: outputs one after the other in the order of the tasks,
//! whatever order they end in. Few bytes stay in memory; more go to disk as they come, so that an
//! order takes as much memory as a task.

use std::collections::HashMap;

use bytes::Bytes;
use rialto_blobs::{Blob, Draft};
use rialto_exec::Outcome;
use rialto_net::{Blobs, NetError};
use rialto_protocol::{
    receipt::Halted,
    wire::{MAX_INLINE_BYTES, Payload},
};

use crate::core::Results;

/// Outputs that wait in memory for those of tasks before theirs, bytes; more of them wait on disk.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// Takes outcomes as they come. Blocks.
pub(crate) struct Outputs {
    blobs: Blobs,
    halted: Vec<Option<Halted>>,
    /// The first task whose output has not come.
    next: usize,
    /// Outputs in order, as far as they are not in `draft` yet.
    tail: Vec<u8>,
    /// Outputs in order, once they are too many for a message.
    draft: Option<Draft>,
    /// Outputs of later tasks.
    waiting: HashMap<usize, Waiting>,
    waiting_bytes: usize,
    /// Those of them that are not in memory, in no order.
    aside: Option<Draft>,
}

enum Waiting {
    Here(Bytes),
    Aside { offset: u64, size: usize },
}

impl Outputs {
    pub fn new(blobs: Blobs, tasks: usize) -> Self {
        Self {
            blobs,
            halted: vec![None; tasks],
            next: 0,
            tail: Vec::new(),
            draft: None,
            waiting: HashMap::new(),
            waiting_bytes: 0,
            aside: None,
        }
    }

    /// Takes a task's outcome.
    pub fn put(&mut self, task: u32, outcome: Outcome) -> Result<(), NetError> {
        let task = task as usize;
        self.halted[task] = Some(outcome.halted);
        if task != self.next {
            return self.wait(task, outcome.output);
        }
        self.append(&outcome.output)?;
        while let Some(waiting) = self.waiting.remove(&self.next) {
            match waiting {
                Waiting::Here(output) => {
                    self.waiting_bytes -= output.len();
                    self.append(&output)?;
                }
                Waiting::Aside { offset, size } => {
                    let output = self
                        .aside
                        .as_ref()
                        .map_or(Ok(Bytes::new()), |aside| aside.read(offset, size))?;
                    self.append(&output)?;
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, task: usize, output: Bytes) -> Result<(), NetError> {
        let size = output.len();
        let waiting = if self.waiting_bytes + size <= MAX_WAITING_BYTES {
            self.waiting_bytes += size;
            Waiting::Here(output)
        } else {
            let aside = match &mut self.aside {
                Some(aside) => aside,
                none => none.insert(self.blobs.draft()?),
            };
            let offset = aside.written();
            aside.append(&output)?;
            Waiting::Aside { offset, size }
        };
        self.waiting.insert(task, waiting);
        Ok(())
    }

    /// The next task's output.
    fn append(&mut self, output: &[u8]) -> Result<(), NetError> {
        self.next += 1;
        if self.tail.len() + output.len() <= MAX_INLINE_BYTES {
            self.tail.extend_from_slice(output);
            return Ok(());
        }
        let draft = match &mut self.draft {
            Some(draft) => draft,
            none => none.insert(self.blobs.draft()?),
        };
        draft.append(&self.tail)?;
        self.tail.clear();
        Ok(draft.append(output)?)
    }

    /// Everything, once every task ended. What is too much for a message is a blob, which is held.
    pub fn finish(self) -> Result<(Results, Option<Blob>), NetError> {
        let halted =
            self.halted.into_iter().map(|halted| halted.expect("every task ended")).collect();
        let Some(mut draft) = self.draft else {
            return Ok((Results { halted, outputs: Payload::Inline(self.tail.into()) }, None));
        };
        draft.append(&self.tail)?;
        let blob = draft.finish()?;
        Ok((Results { halted, outputs: Payload::Blob(blob.reference()) }, Some(blob)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_net::{NetConfig, Node};
    use rialto_protocol::{B256, receipt::Status};

    fn outcome(output: Vec<u8>) -> Outcome {
        let halted = Halted {
            status: Status::Finished,
            exit_code: 0,
            out_hash: B256::ZERO,
            out_len: output.len() as u64,
            fuel_left: 0,
            digest: 0,
        };
        Outcome { halted, output: output.into(), memory_bytes: 0 }
    }

    /// Tasks of `size` bytes each that end in this order.
    async fn gathered(ends: &[u32], size: usize) -> (Results, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::bind(NetConfig::loopback([1; 32], folder.path())).await.unwrap();
        let blobs = node.blobs().clone();
        let mut outputs = Outputs::new(blobs.clone(), ends.len());
        for task in ends {
            outputs.put(*task, outcome(vec![*task as u8; size + *task as usize])).unwrap();
            let here: usize = outputs
                .waiting
                .values()
                .map(|waiting| match waiting {
                    Waiting::Here(output) => output.len(),
                    Waiting::Aside { .. } => 0,
                })
                .sum();
            assert!(
                here == outputs.waiting_bytes
                    && here <= MAX_WAITING_BYTES
                    && outputs.tail.len() <= MAX_INLINE_BYTES
            );
        }
        let (results, blob) = outputs.finish().unwrap();
        let bytes = match (&results.outputs, blob) {
            (Payload::Inline(bytes), None) => bytes.to_vec(),
            (Payload::Blob(_), Some(blob)) => blob.read().await.unwrap().to_vec(),
            other => panic!("{other:?}"),
        };
        assert!(
            blobs.used_bytes() == bytes.len() as u64 || bytes.len() <= MAX_INLINE_BYTES,
            "nothing else is left"
        );
        node.close().await;
        (results, bytes)
    }

    #[tokio::test]
    async fn outputs_are_in_the_order_of_tasks() {
        let orders: [&[u32]; 4] =
            [&[0, 1, 2, 3, 4, 5], &[5, 4, 3, 2, 1, 0], &[1, 2, 3, 4, 5, 0], &[2, 0, 5, 1, 3, 4]];
        for size in [0, 10, MAX_INLINE_BYTES / 3, MAX_INLINE_BYTES, MAX_WAITING_BYTES / 2] {
            let expected: Vec<u8> = (0..6).flat_map(|task| vec![task as u8; size + task]).collect();
            for ends in orders {
                let (results, bytes) = gathered(ends, size).await;
                assert_eq!(
                    results.halted.iter().map(|halted| halted.out_len).sum::<u64>(),
                    expected.len() as u64
                );
                assert!(bytes == expected, "{ends:?} of {size} bytes");
            }
        }
    }
}
