//! One side of a dispute. It computes the truthful answer to a segment of the other side
//! (`docs/court.md`).
//!
//! A segment consists of 17 state hashes at equal distances over 16^level steps. The truthful side
//! agrees with the first hash and looks for the first wrong one among the others.

use std::sync::Arc;

use alloy_primitives::B256;
pub use rialto_protocol::court::{Answer, PARTS};
use rialto_protocol::receipt::Halted;

use crate::input::Halves;
use crate::v3::lower::Lowered;
use crate::v3::trace::{Snapshot, TaskLimits, Tracer};

/// Highest level: 16^14 steps.
pub const MAX_LEVEL: u8 = 14;

/// Returns the number of steps of a segment of this level, 16^level.
pub const fn span(level: u8) -> u64 {
    1 << (4 * level)
}

/// Returns the level at which a game over a run of at most this many steps begins: the smallest
/// even level that spans them.
pub fn level_for(steps: u64) -> u8 {
    (2..=MAX_LEVEL).step_by(2).find(|level| span(*level) >= steps).unwrap_or(MAX_LEVEL)
}

/// A task whose states can be read at any step of its run. A whole game costs about two runs,
/// because every move makes the disputed part sixteen times shorter, and the player keeps a state
/// before it.
pub struct Player {
    program: Arc<Lowered>,
    input: Arc<Halves>,
    limits: TaskLimits,
    tracer: Tracer,
    /// State at or before the part that is still in dispute.
    kept: Snapshot,
    /// Position at which the run has halted, and the hash of the state there.
    ended: Option<(u64, B256)>,
    /// Hash that the player claims as the end, if not the true one.
    claim: Option<B256>,
}

impl Player {
    /// Creates a player for this task.
    pub fn new(program: Arc<Lowered>, input: Arc<Halves>, limits: TaskLimits) -> Self {
        let tracer = Tracer::new(program.clone(), input.clone(), limits);
        let mut kept = Snapshot::default();
        tracer.save(&mut kept);
        Self { program, input, limits, tracer, kept, ended: None, claim: None }
    }

    /// Makes the player claim that the run ends with `end`, and tell the truth about everything
    /// before. For demonstrations and tests.
    pub fn claiming(self, end: &Halted) -> Self {
        Self { claim: Some(end.hash()), ..self }
    }

    /// Returns the level at which a game over this task begins.
    pub fn level(&self) -> u8 {
        level_for(self.program.parts.most_steps(self.limits.fuel))
    }

    /// Returns the hash of the state after `position` steps.
    pub fn hash_at(&mut self, position: u64) -> B256 {
        if let Some((_, hash)) = self.ended.filter(|(end, _)| *end <= position) {
            return hash;
        }
        self.go(position);
        let hash = self.tracer.hash();
        if self.tracer.halted().is_none() {
            return hash;
        }
        let hash = self.claim.unwrap_or(hash);
        self.ended = Some((position, hash));
        hash
    }

    /// Returns the state hashes after each sixteenth of the segment that begins at `position`.
    pub fn dissect(&mut self, position: u64, level: u8) -> [B256; PARTS] {
        self.keep(position);
        let part = span(level) / PARTS as u64;
        let mut states = [B256::ZERO; PARTS];
        for (end, state) in
            (1..).map(|part_of: u64| position.saturating_add(part_of * part)).zip(&mut states)
        {
            *state = self.hash_at(end);
        }
        states
    }

    /// Returns an accuser's first segment, over the whole run.
    pub fn open(&mut self) -> [B256; PARTS] {
        self.dissect(0, self.level())
    }

    /// Returns the answer to a segment of this level that begins at `position`.
    pub fn answer(&mut self, position: u64, level: u8, segment: &[B256; PARTS + 1]) -> Answer {
        let part = span(level) / PARTS as u64;
        if self.hash_at(position) != segment[0] {
            return Answer::Nothing;
        }
        for pick in 0..PARTS as u64 {
            let begin = position.saturating_add(pick * part);
            self.keep(begin);
            if self.hash_at(begin.saturating_add(part)) == segment[pick as usize + 1] {
                continue;
            }
            let pick = pick as u32;
            if level == 1 {
                self.go(begin);
                return Answer::Step { pick, proof: self.tracer.prove() };
            }
            return Answer::Move { pick, states: Box::new(self.dissect(begin, level - 1)) };
        }
        Answer::Nothing
    }

    /// Returns the tracer at this step, for reading.
    pub fn at(&mut self, position: u64) -> &mut Tracer {
        self.go(position);
        &mut self.tracer
    }

    /// Goes to a position and keeps its state for later.
    fn keep(&mut self, position: u64) {
        if self.ended.is_none_or(|(end, _)| position < end) {
            self.go(position);
            self.tracer.save(&mut self.kept);
        }
    }

    /// Goes to a position from the tracer's current one, from the kept state, or from the start.
    fn go(&mut self, position: u64) {
        if self.tracer.steps() > position {
            self.tracer.restore(&self.kept);
        }
        if self.tracer.steps() > position {
            self.tracer = Tracer::new(self.program.clone(), self.input.clone(), self.limits);
            self.tracer.save(&mut self.kept);
        }
        self.tracer.run(position);
    }
}
