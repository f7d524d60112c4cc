//! Tracing tasks for games: which comes first, and how much memory it takes.
//!
//! Segments wait here for their answers. Each core takes the task with the earliest deadline among
//! those that nobody traces, and answers all segments about it in one go: whatever is asked about a
//! task, it is gone through twice, from the first position that is asked about. What was hashed on
//! the way is remembered, so that the same question by another accuser costs nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy_primitives::B256;
use rialto_machine::play::{PARTS, Player, span};
use rialto_protocol::{
    OrderId,
    court::{Answer, GameView, Question},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::runner::{Runner, compute, lock};
use crate::core::{Refusal, Work};

/// Memory that traced tasks may take together, MiB: three times that of a task each. One alone may
/// take more.
const ROOM_MIB: u32 = 8 << 10;
/// How often it is looked whether there is room.
const ROOM_POLL: Duration = Duration::from_millis(50);
/// Hashes that are remembered of a task.
const MAX_KNOWN: usize = 1 << 16;

/// A task of an order.
pub(crate) type TaskId = (OrderId, u32);

/// A segment that waits for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub work: Work,
    pub view: GameView,
}

/// Who waits, who is being served, and what is kept between the moves of games.
pub(crate) struct Traces {
    cores: u32,
    desk: Mutex<Desk>,
    kept: Mutex<HashMap<TaskId, Kept>>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Desk {
    waiting: BTreeMap<TaskId, Vec<Asked>>,
    traced: BTreeSet<TaskId>,
    workers: u32,
}

#[derive(Clone)]
struct Kept {
    trace: Arc<Mutex<Trace>>,
    /// Ticks at each use.
    used: u64,
    _room: Arc<OwnedSemaphorePermit>,
}

impl Traces {
    pub fn new(cores: u32) -> Self {
        let room = Arc::new(Semaphore::new(ROOM_MIB as usize));
        Self { cores: cores.max(1), desk: Mutex::default(), kept: Mutex::default(), room }
    }

    /// Takes a segment in; whether another worker is needed.
    pub fn ask(&self, task: u32, asked: Asked) -> bool {
        let mut desk = lock(&self.desk);
        desk.waiting.entry((asked.work.hash, task)).or_default().push(asked);
        let more = desk.workers < self.cores;
        desk.workers += u32::from(more);
        more
    }

    /// All segments about the task that is due first and that nobody traces; `None`: the worker is
    /// not needed any more.
    pub fn take(&self) -> Option<(TaskId, Vec<Asked>)> {
        let mut desk = lock(&self.desk);
        let free = desk.waiting.iter().filter(|(task, _)| !desk.traced.contains(*task));
        let first = free
            .min_by_key(|(task, all)| (all.iter().map(|asked| asked.view.deadline).min(), **task));
        let Some(task) = first.map(|(task, _)| *task) else {
            desk.workers = desk.workers.saturating_sub(1);
            return None;
        };
        desk.traced.insert(task);
        let all = desk.waiting.remove(&task)?;
        Some((task, all))
    }

    /// A worker is done with a task.
    pub fn done(&self, task: TaskId) {
        lock(&self.desk).traced.remove(&task);
    }

    /// Nobody plays about this task any more.
    pub fn forget(&self, task: TaskId) {
        lock(&self.kept).remove(&task);
    }

    fn known(&self, task: TaskId) -> Option<Kept> {
        let mut kept = lock(&self.kept);
        let used = kept.values().map(|kept| kept.used).max().unwrap_or(0) + 1;
        let found = kept.get_mut(&task)?;
        found.used = used;
        Some(found.clone())
    }

    /// Room for a trace: what is kept of others and not in use makes way, the longest unused first.
    async fn make_room(&self, pages: u32) -> Arc<OwnedSemaphorePermit> {
        let needed = (u64::from(pages) * 3 / 16).clamp(1, ROOM_MIB.into()) as u32;
        loop {
            if let Ok(room) = self.room.clone().try_acquire_many_owned(needed) {
                return Arc::new(room);
            }
            let evicted = {
                let mut kept = lock(&self.kept);
                let idle = kept.iter().filter(|(_, kept)| Arc::strong_count(&kept.trace) == 1);
                let oldest = idle.min_by_key(|(_, kept)| kept.used).map(|(task, _)| *task);
                oldest.and_then(|task| kept.remove(&task)).is_some()
            };
            if !evicted {
                tokio::time::sleep(ROOM_POLL).await;
            }
        }
    }

    fn keep(
        &self,
        task: TaskId,
        trace: Arc<Mutex<Trace>>,
        room: Arc<OwnedSemaphorePermit>,
    ) -> Kept {
        let mut kept = lock(&self.kept);
        let used = kept.values().map(|kept| kept.used).max().unwrap_or(0) + 1;
        let new = Kept { trace, used, _room: room };
        kept.insert(task, new.clone());
        new
    }
}

impl Runner {
    /// Answers all these segments about one task, in their order.
    pub async fn answer(&self, task: TaskId, asked: &[Asked]) -> Result<Vec<Answer>, Refusal> {
        let Some(work) = asked.first().map(|asked| &asked.work) else { return Ok(Vec::new()) };
        self.traces.answer(task, asked, self.player(work, task.1)).await
    }
}

impl Traces {
    /// Answers all these segments about one task, in their order; `player` is made if the task is
    /// not kept.
    pub async fn answer(
        &self,
        task: TaskId,
        asked: &[Asked],
        player: impl Future<Output = Result<Player, Refusal>>,
    ) -> Result<Vec<Answer>, Refusal> {
        let Some(work) = asked.first().map(|asked| &asked.work) else { return Ok(Vec::new()) };
        let kept = match self.known(task) {
            Some(kept) => kept,
            None => {
                let room = self.make_room(work.order.maxPages).await;
                let trace = Trace { player: player.await?, known: BTreeMap::new() };
                self.keep(task, Arc::new(Mutex::new(trace)), room)
            }
        };
        let views: Vec<_> = asked.iter().map(|asked| asked.view.clone()).collect();
        compute(move || Ok(lock(&kept.trace).answer(&views))).await
    }
}

/// A task being traced, and the hashes of its states that are known.
struct Trace {
    player: Player,
    known: BTreeMap<u64, B256>,
}

/// What a segment is answered with.
#[derive(Clone, Copy)]
enum Plan {
    Nothing,
    Move { pick: u32, begin: u64, part: u64 },
    Step { pick: u32, begin: u64 },
}

impl Trace {
    fn answer(&mut self, views: &[GameView]) -> Vec<Answer> {
        let segments: Vec<_> = views
            .iter()
            .map(|view| match &view.question {
                Question::Run { level: level @ 1.., position, segment, .. } => {
                    Some((*position, *level, segment))
                }
                _ => None,
            })
            .collect();
        let ends = |position: u64, part: u64| {
            (0..=PARTS as u64).map(move |end| position.saturating_add(end * part))
        };
        let asked = segments.iter().flatten();
        self.learn(
            asked
                .flat_map(|(position, level, _)| ends(*position, span(*level) / PARTS as u64))
                .collect(),
        );
        let plans: Vec<_> = segments
            .iter()
            .map(|segment| {
                let Some((position, level, segment)) = segment else { return Plan::Nothing };
                let part = span(*level) / PARTS as u64;
                let right = |(end, hash): (u64, &B256)| self.known.get(&end) == Some(hash);
                let wrong = ends(*position, part).zip(segment.iter()).position(|end| !right(end));
                // The begin is agreed, or there is nothing to be said.
                let Some(pick) = wrong.and_then(|wrong| wrong.checked_sub(1)) else {
                    return Plan::Nothing;
                };
                let begin = position.saturating_add(pick as u64 * part);
                let pick = pick as u32;
                if *level == 1 {
                    Plan::Step { pick, begin }
                } else {
                    Plan::Move { pick, begin, part }
                }
            })
            .collect();
        let parts = |begin: u64, part: u64| ends(begin, part / PARTS as u64).skip(1);
        let mut wanted = BTreeSet::new();
        let mut steps = BTreeMap::new();
        for plan in &plans {
            match *plan {
                Plan::Nothing => {}
                Plan::Move { begin, part, .. } => wanted.extend(parts(begin, part)),
                Plan::Step { begin, .. } => drop(steps.insert(begin, Vec::new())),
            }
        }
        self.learn(wanted);
        for (position, proof) in &mut steps {
            *proof = self.player.at(*position).prove();
        }
        let answers = plans.iter().map(|plan| match *plan {
            Plan::Nothing => Answer::Nothing,
            Plan::Step { pick, begin } => {
                Answer::Step { pick, proof: steps.get(&begin).cloned().unwrap_or_default() }
            }
            Plan::Move { pick, begin, part } => {
                let mut states = Box::new([B256::ZERO; PARTS]);
                for (state, end) in states.iter_mut().zip(parts(begin, part)) {
                    *state = self.known.get(&end).copied().unwrap_or_default();
                }
                Answer::Move { pick, states }
            }
        });
        let answers = answers.collect();
        if self.known.len() > MAX_KNOWN {
            self.known.clear();
        }
        answers
    }

    /// Hashes the states at these positions, going forward once.
    fn learn(&mut self, positions: BTreeSet<u64>) {
        let new: Vec<_> =
            positions.into_iter().filter(|position| !self.known.contains_key(position)).collect();
        let Some(first) = new.first() else { return };
        // Later segments lie within these: it need not go back further than here.
        self.player.dissect(*first, 1);
        for position in new {
            let hash = self.player.hash_at(position);
            self.known.insert(position, hash);
        }
    }
}
