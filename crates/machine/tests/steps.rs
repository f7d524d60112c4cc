//! Every step of small programs is proven and judged; games are played over them.
#![allow(clippy::unwrap_used)]

mod host;

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use host::run_wat;
use rialto_machine::input::Halves;
use rialto_machine::play::{Answer, PARTS, Player, span};
use rialto_machine::{Lowered, Snapshot, TaskLimits, Tracer, canonicalise, judge, lower};

fn lowered(text: &str) -> Arc<Lowered> {
    Arc::new(lower(&canonicalise(&wat::parse_str(text).unwrap()).unwrap().module))
}

fn input() -> Arc<Halves> {
    Arc::new(Halves::new(vec![7; 100].into(), vec![9; 50].into()))
}

const LIMITS: TaskLimits = TaskLimits { seed: 5, fuel: 100_000, out: 1 << 20, pages: 8 };

/// A program that uses calls, a table, floats, memory across leaves, growth, branches with values,
/// bulk memory and globals.
const MIXED: &str = r#"(module
    (type $two (func (param i32 i32) (result i32)))
    (memory 1 4) (table 4 funcref) (elem (i32.const 1) $sum $less)
    (global $g (mut i64) (i64.const 3))
    (func $sum (type $two) (i32.add (local.get 0) (local.get 1)))
    (func $less (type $two) (i32.gt_s (local.get 0) (local.get 1)))
    (func $pair (param i64) (result i64 i64) (local i32 i32 i32 i32 i32)
        (local.get 0) (i64.mul (local.get 0) (i64.const 5)))
    (func $fac (param i64) (result i64)
        (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 1))
            (else (i64.mul (local.get 0) (call $fac (i64.sub (local.get 0) (i64.const 1)))))))
    (func (export "_start") (local $i i32) (local $x f64) (local $n i64)
        (i64.store offset=28 (i32.const 0) (i64.const 0x1122334455667788))
        (global.set $g (i64.add (global.get $g) (i64.load offset=1 (i32.const 28))))
        (call $pair (global.get $g)) (local.set $n) (drop)
        (local.set $n (i64.add (local.get $n) (call $fac (i64.const 6))))
        (local.set $i (i32.const 5))
        (loop $l
            (local.set $x (f64.add (f64.sqrt (f64.convert_i32_s (local.get $i))) (local.get $x)))
            (i32.store16 (i32.add (i32.const 31) (local.get $i)) (call_indirect (type $two) (local.get $i) (i32.const 3)
                (i32.add (i32.const 1) (i32.and (local.get $i) (i32.const 1)))))
            (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
        (drop (memory.grow (i32.const 1)))
        (memory.copy (i32.const 65530) (i32.const 20) (i32.const 30))
        (memory.fill (i32.const 100) (i32.const 0xab) (i32.const 13))
        (drop (block $b (result f64) (br_if $b (f64.neg (local.get $x)) (i32.const 1)) (drop) (f64.const 2)))
        (block $c (block $d (block $e (br_table $c $d $e $d (i32.const 2))) (drop (i32.const 1))) (drop (i32.const 2)))
        (drop (select (f32.const 1.5) (f32.copysign (f32.const 2) (f32.const -3)) (i32.load8_s (i32.const 101))))
        (i64.store (i32.const 200) (i64.trunc_sat_f64_s (f64.mul (local.get $x) (f64.const 1e9))))
        {end}))"#;

fn endings() -> Vec<String> {
    [
        "",
        "unreachable",
        "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
        "(drop (i32.load (i32.const 0x20000)))",
        "(loop (br 0))",
    ]
    .map(|end| MIXED.replace("{end}", end))
    .to_vec()
}

#[test]
fn every_step_is_proven_and_judged_right() {
    for text in endings() {
        let program = lowered(&text);
        let mut tracer = Tracer::new(program.clone(), input(), TaskLimits { fuel: 3000, ..LIMITS });
        let mut state = tracer.hash();
        let mut steps = 0;
        while tracer.halted().is_none() {
            let before = tracer.hash();
            assert_eq!(before, state, "step {steps}");
            let proof = tracer.prove();
            state = judge(before, &proof).unwrap();
            steps += 1;
            // A proof with any changed byte is refused; this tries one byte per step.
            let at = (steps * 7919) % proof.len();
            let mut wrong = proof.clone();
            wrong[at] ^= 1;
            assert!(judge(before, &wrong).is_err(), "byte {at} of step {steps}");
            assert!(judge(before, &proof[..proof.len() - 1]).is_err());
        }
        assert_eq!(state, tracer.halted().unwrap().hash());
        // A halted state is followed by itself.
        let proof = tracer.prove();
        assert_eq!(judge(state, &proof), Ok(state));
        let fast =
            Tracer::new(program, input(), TaskLimits { fuel: 3000, ..LIMITS }).finish(1 << 30);
        assert_eq!(fast, Some(steps as u64));
        assert_eq!(run_wat(&text, 3000).halted().fuel_left, tracer.halted().unwrap().fuel_left);
    }
}

#[test]
fn going_back_gives_the_same_states() {
    let program = lowered(&endings()[0]);
    let mut tracer = Tracer::new(program, input(), LIMITS);
    let mut saved = Snapshot::default();
    tracer.run(200);
    tracer.save(&mut saved);
    let then = tracer.hash();
    let mut after = Vec::new();
    for until in (201..900).step_by(37) {
        tracer.run(until);
        after.push(tracer.hash());
    }
    tracer.restore(&saved);
    assert_eq!((tracer.steps(), tracer.hash()), (200, then));
    for (until, hash) in (201..900).step_by(37).zip(after) {
        tracer.run(until);
        assert_eq!(tracer.hash(), hash, "step {until}");
    }
}

/// A side that gives a wrong hash for every state from step `from` on.
struct Liar {
    player: Player,
    from: u64,
}

impl Liar {
    fn hash_at(&mut self, position: u64) -> B256 {
        let hash = self.player.hash_at(position);
        if position < self.from { hash } else { keccak256(hash) }
    }

    fn dissect(&mut self, position: u64, level: u8) -> [B256; PARTS] {
        std::array::from_fn(|part| self.hash_at(position + (part as u64 + 1) * span(level - 1)))
    }

    /// Disputes the first state about which it disagrees.
    fn answer(
        &mut self,
        position: u64,
        level: u8,
        segment: &[B256; PARTS + 1],
    ) -> Option<(u32, [B256; PARTS])> {
        let part = span(level - 1);
        let pick = (0..PARTS as u64).find(|pick| {
            self.hash_at(position + (pick + 1) * part) != segment[*pick as usize + 1]
        })?;
        (level > 1).then(|| (pick as u32, self.dissect(position + pick * part, level - 1)))
    }
}

#[test]
fn a_lie_is_found_at_its_very_step() {
    let program = lowered(&endings()[0]);
    let player = || Player::new(program.clone(), input(), LIMITS);
    let steps = Tracer::new(program.clone(), input(), LIMITS).finish(1 << 30).unwrap();
    for from in [1, 2, 16, 17, 255, 256, 257, steps / 2, steps - 1, steps, steps + 1, steps + 1000]
    {
        let (mut honest, mut liar) = (player(), Liar { player: player(), from });
        let mut level = honest.level();
        let mut position = 0;
        let mut segment = [[honest.hash_at(0)].as_slice(), &honest.open()].concat();
        let found = loop {
            // The liar answers the honest side's segment; the last segment, at level 1, is the
            // liar's.
            let whole: [B256; PARTS + 1] = segment.clone().try_into().unwrap();
            let (pick, states) = liar.answer(position, level, &whole).unwrap();
            level -= 1;
            position += u64::from(pick) * span(level);
            segment = [[whole[pick as usize]].as_slice(), &states].concat();
            let whole: [B256; PARTS + 1] = segment.clone().try_into().unwrap();
            match honest.answer(position, level, &whole) {
                Answer::Move { pick, states } => {
                    level -= 1;
                    position += u64::from(pick) * span(level);
                    segment = [[whole[pick as usize]].as_slice(), states.as_slice()].concat();
                }
                Answer::Step { pick, proof } => {
                    let next = judge(whole[pick as usize], &proof).unwrap();
                    assert_ne!(next, whole[pick as usize + 1]);
                    break position + u64::from(pick) + 1;
                }
                _ => panic!("an honest side always has an answer to a lie"),
            }
        };
        assert_eq!(found, from, "of {steps} steps");
    }
}
