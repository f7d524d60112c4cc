//! A description of one step, for people: every slot, global, byte of memory, entry and leaf that
//! it reads or writes, with its values before and after.

use std::convert::Infallible;

use crate::v3::ir::{Entry, Instruction};
use crate::v3::step::{self, Flow, Registers, World};
use crate::v3::trace::{Arrays, Tracer};

/// One executed step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Executed instruction.
    pub instruction: Instruction,
    /// Registers before the step; `pc` is the position of the instruction.
    pub before: Registers,
    /// Registers after the step.
    pub after: Registers,
    /// Places that it touched, each once, in the order of the first touch.
    pub touches: Vec<Touch>,
}

/// A place that a step read or wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Touched place.
    pub what: Place,
    /// Value before the step.
    pub before: Value,
    /// Value after the step; the same if it was only read.
    pub after: Value,
}

/// A place in the state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A slot of the stack, counted from the first slot of the stack.
    Slot(u32),
    /// A global, by index in M'.
    Global(u32),
    /// Bytes of memory from this address on.
    Memory(u64),
    /// Size of the memory.
    Pages,
    /// An entry of the table.
    Table(u32),
    /// A leaf of the input.
    Input(u32),
    /// The output, from this byte on.
    Output(u64),
    /// The innermost open call.
    Call,
}

/// The value of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing: the place does not exist yet, or no longer.
    Nothing,
    /// The 64 bits of a slot or global, or a number of pages.
    Word(u64),
    /// Bytes of memory, input or output.
    Bytes(Vec<u8>),
    /// A function in the table: the number of its type and the position of its first instruction.
    Entry(Entry),
    /// Return address of a call.
    Return {
        /// Instruction to return to.
        pc: u32,
        /// First slot of the caller's frame.
        fp: u32,
    },
}

impl Touch {
    /// Returns whether the value changed.
    pub fn changed(&self) -> bool {
        self.before != self.after
    }
}

impl Tracer {
    /// Takes one step and describes it. Returns `None` after the run has ended, because a halted
    /// state is followed by itself.
    pub fn explain(&mut self) -> Option<Step> {
        let Some((_, instruction)) = self.next() else {
            self.count_step();
            return None;
        };
        let (before, mut after) = (self.r, self.r);
        let mut noting =
            Noting { arrays: &mut self.arrays, pages: before.pages, touches: Vec::new() };
        let Ok(flow) = step::step(&mut after, &mut noting);
        let mut touches = noting.touches;
        if after.out_len != before.out_len {
            touches.push(written(&touches, &before, &after));
        }
        self.r = after;
        self.count_step();
        if let Flow::Halt(status, exit_code) = flow {
            self.end(&after, status, exit_code);
        }
        Some(Step { instruction, before, after, touches })
    }

    /// Returns the fuel left, as the global counts it, that is without the prepaid fuel. Negative
    /// after it ran out.
    pub fn fuel_left(&self) -> i64 {
        self.arrays.globals[0] as i64
    }
}

/// Returns the bytes appended to the output. They are in the first slots that the step read.
fn written(touches: &[Touch], before: &Registers, after: &Registers) -> Touch {
    let word = |touch: &Touch| match touch.before {
        Value::Word(word) => word.to_le_bytes(),
        _ => [0; 8],
    };
    let mut bytes: Vec<u8> = touches.iter().take(4).flat_map(word).collect();
    bytes.truncate((after.out_len - before.out_len) as usize);
    Touch {
        what: Place::Output(before.out_len),
        before: Value::Nothing,
        after: Value::Bytes(bytes),
    }
}

/// Passes a step on to the arrays and records the places that it touches.
struct Noting<'a> {
    arrays: &'a mut Arrays,
    pages: u32,
    touches: Vec<Touch>,
}

impl Noting<'_> {
    fn read(&mut self, what: Place, value: Value) {
        if !self.touches.iter().any(|touch| touch.what == what) {
            self.touches.push(Touch { what, before: value.clone(), after: value });
        }
    }

    fn wrote(&mut self, what: Place, before: Value, after: Value) {
        match self.touches.iter_mut().find(|touch| touch.what == what) {
            Some(touch) => touch.after = after,
            None => self.touches.push(Touch { what, before, after }),
        }
    }

    fn bytes(value: u64, size: u8) -> Value {
        Value::Bytes(value.to_le_bytes()[..usize::from(size)].to_vec())
    }
}

impl World for Noting<'_> {
    type Error = Infallible;

    fn instruction(&mut self, pc: u32) -> Result<Instruction, Infallible> {
        self.arrays.instruction(pc)
    }

    fn slot(&mut self, slot: u32) -> Result<u64, Infallible> {
        let value = self.arrays.slot(slot)?;
        self.read(Place::Slot(slot), Value::Word(value));
        Ok(value)
    }

    fn set_slot(&mut self, slot: u32, value: u64) -> Result<(), Infallible> {
        let before = self.arrays.slot(slot)?;
        self.wrote(Place::Slot(slot), Value::Word(before), Value::Word(value));
        self.arrays.set_slot(slot, value)
    }

    fn global(&mut self, index: u32) -> Result<u64, Infallible> {
        let value = self.arrays.global(index)?;
        self.read(Place::Global(index), Value::Word(value));
        Ok(value)
    }

    fn set_global(&mut self, index: u32, value: u64) -> Result<(), Infallible> {
        let before = self.arrays.global(index)?;
        self.wrote(Place::Global(index), Value::Word(before), Value::Word(value));
        self.arrays.set_global(index, value)
    }

    fn entry(&mut self, index: u32) -> Result<Entry, Infallible> {
        let entry = self.arrays.entry(index)?;
        self.read(Place::Table(index), Value::Entry(entry));
        Ok(entry)
    }

    fn load(&mut self, address: u64, size: u8) -> Result<u64, Infallible> {
        let value = self.arrays.load(address, size)?;
        self.read(Place::Memory(address), Self::bytes(value, size));
        Ok(value)
    }

    fn store(&mut self, address: u64, size: u8, value: u64) -> Result<(), Infallible> {
        let before = self.arrays.load(address, size)?;
        self.wrote(Place::Memory(address), Self::bytes(before, size), Self::bytes(value, size));
        self.arrays.store(address, size, value)
    }

    fn grow(&mut self, pages: u32) {
        self.wrote(Place::Pages, Value::Word(self.pages.into()), Value::Word(pages.into()));
        self.arrays.grow(pages);
    }

    fn input(&mut self, leaf: u32) -> Result<[u8; 32], Infallible> {
        let bytes = self.arrays.input(leaf)?;
        self.read(Place::Input(leaf), Value::Bytes(bytes.to_vec()));
        Ok(bytes)
    }

    fn push(&mut self, pc: u32, fp: u32) {
        self.wrote(Place::Call, Value::Nothing, Value::Return { pc, fp });
        self.arrays.push(pc, fp);
    }

    fn frame(&mut self, fp: u32) {
        self.arrays.frame(fp);
    }

    fn pop(&mut self) -> Result<(u32, u32), Infallible> {
        let (pc, fp) = self.arrays.pop()?;
        self.wrote(Place::Call, Value::Return { pc, fp }, Value::Nothing);
        Ok((pc, fp))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::input::Halves;
    use crate::v3::{TaskLimits, canonicalise, lower};

    const PROGRAM: &str = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (i32.store (i32.const 100) (i32.const 0x01020304))
            (drop (memory.grow (i32.const 1)))
            (call $exit (i32.load8_u (i32.const 101)))))"#;

    fn tracer() -> Tracer {
        let program =
            Arc::new(lower(&canonicalise(&wat::parse_str(PROGRAM).unwrap()).unwrap().module));
        let input = Arc::new(Halves::new(Default::default(), Default::default()));
        Tracer::new(program, input, TaskLimits { seed: 1, fuel: 10_000, out: 64, pages: 16 })
    }

    #[test]
    fn steps_are_told_and_taken() {
        let (mut told, mut proven) = (tracer(), tracer());
        let mut all = Vec::new();
        while let Some(step) = told.explain() {
            proven.prove();
            assert_eq!(told.hash(), proven.hash(), "a step that is told is the step");
            assert_eq!(step.after, *told.registers());
            all.extend(step.touches);
        }
        assert_eq!((told.halted(), told.halted().unwrap().exit_code), (proven.halted(), 3));
        assert_eq!(told.fuel_left(), told.halted().unwrap().fuel_left);
        let touched = |what| all.iter().find(|touch| touch.what == what).unwrap();
        let stored = touched(Place::Memory(100));
        assert_eq!(stored.before, Value::Bytes(vec![0; 4]));
        assert_eq!(stored.after, Value::Bytes(vec![4, 3, 2, 1]));
        assert!(stored.changed() && !touched(Place::Memory(101)).changed());
        let Value::Word(pages) = touched(Place::Pages).before else { panic!() };
        assert_eq!(touched(Place::Pages).after, Value::Word(pages + 1));
        let (steps, hash) = (told.steps(), told.hash());
        assert_eq!(
            (told.explain(), told.steps(), told.hash()),
            (None, steps + 1, hash),
            "it stays as it ended"
        );
    }
}
