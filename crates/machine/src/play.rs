//! One side of a dispute: from a segment of the other side, the answer that tells the truth (`docs/court.md`).
//!
//! A segment is 17 state hashes at equal distances over 16^level steps. Who tells the truth agrees with the first and looks for the first
//! of the others that is wrong.

use std::sync::Arc;

use alloy_primitives::B256;
pub use rialto_protocol::court::{Answer, PARTS};
use rialto_protocol::receipt::Halted;

use crate::input::Halves;
use crate::lower::Lowered;
use crate::trace::{Snapshot, TaskLimits, Tracer};

/// Most levels: 16^14 steps.
pub const MAX_LEVEL: u8 = 14;

/// Steps of a segment of this level: 16^level.
pub const fn span(level: u8) -> u64 {
    1 << (4 * level)
}

/// The level a game over a run of at most so many steps begins at: the smallest even one that spans them.
pub fn level_for(steps: u64) -> u8 {
    (2..=MAX_LEVEL).step_by(2).find(|level| span(*level) >= steps).unwrap_or(MAX_LEVEL)
}

/// A task that can be looked at anywhere in its run. A whole game costs about two runs: what is disputed gets sixteen times
/// shorter with every move, and a state before it is kept.
pub struct Player {
    program: Arc<Lowered>,
    input: Arc<Halves>,
    limits: TaskLimits,
    tracer: Tracer,
    /// A state at or before everything that is still in dispute.
    kept: Snapshot,
    /// A position from which the run stays as it is, and the state's hash there.
    ended: Option<(u64, B256)>,
    /// What is said to be the end.
    claim: Option<B256>,
}

impl Player {
    /// A player for this task.
    pub fn new(program: Arc<Lowered>, input: Arc<Halves>, limits: TaskLimits) -> Self {
        let tracer = Tracer::new(program.clone(), input.clone(), limits);
        let mut kept = Snapshot::default();
        tracer.save(&mut kept);
        Self { program, input, limits, tracer, kept, ended: None, claim: None }
    }

    /// For demonstrations and tests: a player that says that the run ends so, and tells the truth about everything before.
    pub fn claiming(self, end: &Halted) -> Self {
        Self { claim: Some(end.hash()), ..self }
    }

    /// The level at which a game over this task begins.
    pub fn level(&self) -> u8 {
        level_for(self.program.parts.most_steps(self.limits.fuel))
    }

    /// Hash of the state after so many steps.
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

    /// State hashes after each sixteenth of the segment that begins at `position`.
    pub fn dissect(&mut self, position: u64, level: u8) -> [B256; PARTS] {
        self.keep(position);
        let part = span(level) / PARTS as u64;
        let mut states = [B256::ZERO; PARTS];
        for (end, state) in (1..).map(|part_of: u64| position.saturating_add(part_of * part)).zip(&mut states) {
            *state = self.hash_at(end);
        }
        states
    }

    /// An accuser's first segment: over the whole run.
    pub fn open(&mut self) -> [B256; PARTS] {
        self.dissect(0, self.level())
    }

    /// The answer to a segment of this level that begins at `position`.
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

    /// The tracer at this step, to look at.
    pub fn at(&mut self, position: u64) -> &mut Tracer {
        self.go(position);
        &mut self.tracer
    }

    /// Goes to a position, and keeps it for what comes after.
    fn keep(&mut self, position: u64) {
        if self.ended.is_none_or(|(end, _)| position < end) {
            self.go(position);
            self.tracer.save(&mut self.kept);
        }
    }

    /// Goes to a position, from where the tracer is, from what is kept, or from the start.
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
