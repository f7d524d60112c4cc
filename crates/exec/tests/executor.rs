//! What every executor must do, asked through the seam. A new one calls [`keeps_the_contract`].
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use alloy_primitives::B256;
use bytes::Bytes;
use rialto_exec::{
    AttemptError, Batch, CancelFlag, Config, Engine, ExecError, Executor, Lent, Limits, Prepared,
    SharedData, Task,
};
use rialto_machine::input::TaskInput;
use rialto_machine::{Machine, Machines, v3};
use rialto_protocol::receipt::{Status, output_hash, task_seed};

const LIMITS: Limits = Limits { fuel: 100_000_000, out_bytes: 1 << 20, max_pages: 512 };

/// A program that ends within [`LIMITS`], and inputs for which it writes different outputs of more
/// than a byte.
struct Guest {
    program: Vec<u8>,
    inputs: Vec<Bytes>,
}

fn surroundings() -> Guest {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guests/surroundings.wasm");
    let input = |word: &str| {
        let argv = vec![b"guest".to_vec(), word.as_bytes().to_vec()];
        Bytes::from(TaskInput { argv, ..TaskInput::default() }.encode().unwrap())
    };
    Guest { program: std::fs::read(path).unwrap(), inputs: ["a", "bb", "ccc"].map(input).to_vec() }
}

/// The contract of [`Executor`] and [`Prepared`].
fn keeps_the_contract(executor: &dyn Executor, guest: &Guest) {
    let (go, stop) = (CancelFlag::new(), CancelFlag::new());
    stop.cancel();
    let lent = executor.lends();
    assert!(lent.cores > 0 && lent.memory_bytes > 0 && !lent.max_wall.is_zero());

    let program = executor.prepare(&guest.program, &go).unwrap();
    a_program_is_known_by_its_root(executor, guest, &*program);
    executor.prepare(b"no program", &go).unwrap_err();
    assert!(matches!(
        executor.prepare(&[&guest.program[..], b"!"].concat(), &stop),
        Err(ExecError::Cancelled)
    ));

    limits_are_checked_before_a_run(&*program, lent);
    a_run_is_bounded_and_the_same_every_time(&*program, guest);
    a_batch_is_its_tasks_one_by_one(&*program, guest);

    let judged = executor.judged(&guest.program, program.root());
    match executor.machines() {
        Some(_) => assert_eq!(judged.unwrap().parts.root(), program.root()),
        None => assert!(matches!(judged, Err(ExecError::NoCourt)), "it says that no court can"),
    }
}

fn a_program_is_known_by_its_root(executor: &dyn Executor, guest: &Guest, program: &dyn Prepared) {
    let (go, root) = (CancelFlag::new(), program.root());
    assert_eq!(executor.prepare(&guest.program, &go).unwrap().root(), root);
    assert_eq!(executor.prepare_signed(&guest.program, root, &go).unwrap().root(), root);
    executor.identify(&guest.program, root).unwrap();
    let other = B256::repeat_byte(7);
    let is_other = |error| matches!(error, ExecError::OtherProgram { root } if root == other);
    assert!(is_other(executor.prepare_signed(&guest.program, other, &go).unwrap_err()));
    assert!(is_other(executor.identify(&guest.program, other).unwrap_err()));
}

fn limits_are_checked_before_a_run(program: &dyn Prepared, lent: Lent) {
    program.check(&LIMITS).unwrap();
    let none = program.check(&Limits { max_pages: 0, ..LIMITS });
    assert!(matches!(none, Err(AttemptError::StartPages { limit: 0, .. })));
    let lends = u128::from(lent.memory_bytes);
    let all = program.check(&Limits { max_pages: u32::MAX, ..LIMITS });
    assert!(match all {
        Ok(()) => true,
        Err(AttemptError::Memory { needed, .. }) => u128::from(needed) > lends,
        Err(_) => false,
    });
}

fn a_run_is_bounded_and_the_same_every_time(program: &dyn Prepared, guest: &Guest) {
    let (go, stop) = (CancelFlag::new(), CancelFlag::new());
    stop.cancel();
    let shared = SharedData::none();
    let task = Task { input: &guest.inputs[0], shared: &shared, limits: LIMITS, seed: 3 };
    let outcome = program.run(&task, &go).unwrap();
    assert_eq!(program.run(&task, &go).unwrap(), outcome);
    assert_eq!(outcome.halted.status, Status::Finished);
    assert_eq!(outcome.halted.out_len, outcome.output.len() as u64);
    assert_eq!(outcome.halted.out_hash, output_hash(&outcome.output));
    let fuel = outcome.halted.fuel_used(LIMITS.fuel);
    assert!(fuel > 0 && outcome.output.len() > 1);

    // One byte or one fuel less is another result, the same for everybody, and never an error.
    let short = Limits { out_bytes: outcome.output.len() as u64 - 1, ..LIMITS };
    let cut = program.run(&Task { limits: short, ..task }, &go).unwrap();
    assert!(cut.output.len() as u64 <= short.out_bytes && cut.halted != outcome.halted);
    let poor = Limits { fuel: fuel - 1, ..LIMITS };
    let spent = program.run(&Task { limits: poor, ..task }, &go).unwrap();
    assert_eq!((spent.halted.status, spent.halted.fuel_used(poor.fuel)), (Status::Trap, poor.fuel));
    assert_eq!(program.run(&task, &stop), Err(AttemptError::Cancelled));
}

fn a_batch_is_its_tasks_one_by_one(program: &dyn Prepared, guest: &Guest) {
    let (go, stop) = (CancelFlag::new(), CancelFlag::new());
    stop.cancel();
    let shared = SharedData::none();
    let batch = Batch { inputs: &guest.inputs, shared: &shared, limits: LIMITS, seed: 11 };
    let outcomes = Mutex::new(BTreeMap::new());
    let done = |task, outcome| {
        assert!(outcomes.lock().unwrap().insert(task, outcome).is_none(), "each task ends once");
        Ok(())
    };
    program.run_each(&batch, &go, &done).unwrap();
    let outcomes = outcomes.into_inner().unwrap();
    assert_eq!(outcomes.len(), guest.inputs.len());
    for (index, outcome) in &outcomes {
        let input = &guest.inputs[*index as usize];
        let seed = task_seed(batch.seed, *index);
        let alone = Task { input, shared: &shared, limits: LIMITS, seed };
        assert_eq!(program.run(&alone, &go).unwrap(), *outcome);
    }
    assert_ne!(outcomes[&0].output, outcomes[&1].output);

    let full = || AttemptError::Output("full".into());
    assert_eq!(program.run_each(&batch, &go, &|_, _| Err(full())), Err(full()));
    let none = program.run_each(&batch, &stop, &|_, _| Ok(()));
    assert_eq!(none, Err(AttemptError::Cancelled));
}

fn engine(machines: Machines) -> (Engine, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { cores: 2, machines, ..Config::new(dir.path()) };
    (Engine::new(config).unwrap(), dir)
}

#[test]
fn wasm_keeps_the_contract() {
    let (engine, _dir) = engine(Machines::default());
    keeps_the_contract(&engine, &surroundings());
}

static OTHER: v3::Rules = v3::Rules::numbered(9);
static UPGRADED: [&dyn Machine; 2] = [&OTHER, &v3::RULES];

#[test]
fn an_upgraded_engine_keeps_it_and_knows_what_was_signed_before() {
    let guest = surroundings();
    let (old, _old_dir) = engine(Machines::default());
    let (new, _new_dir) = engine(Machines::new(&UPGRADED));
    keeps_the_contract(&new, &guest);
    let go = CancelFlag::new();
    let root_of = |executor: &dyn Executor| executor.prepare(&guest.program, &go).unwrap().root();
    let (signed, current) = (root_of(&old), root_of(&new));
    assert_ne!(signed, current, "new programs are named under the new rules");

    let before = Executor::prepare(&old, &guest.program, &go).unwrap();
    let after = new.prepare_signed(&guest.program, signed, &go).unwrap();
    let shared = SharedData::none();
    let task = Task { input: &guest.inputs[0], shared: &shared, limits: LIMITS, seed: 3 };
    assert_eq!(after.root(), signed);
    assert_eq!(after.run(&task, &go).unwrap(), before.run(&task, &go).unwrap());
    let version = |root| new.judged(&guest.program, root).unwrap().parts.version;
    assert_eq!((version(signed), version(current)), (3, 9));
    assert!(matches!(old.judged(&guest.program, current), Err(ExecError::OtherProgram { .. })));
}

/// The engine's programs where no court is to judge them.
#[derive(Debug)]
struct Unjudged(Engine);

impl Executor for Unjudged {
    fn lends(&self) -> Lent {
        self.0.lends()
    }

    fn prepare(&self, program: &[u8], cancel: &CancelFlag) -> Result<Arc<dyn Prepared>, ExecError> {
        Executor::prepare(&self.0, program, cancel)
    }

    fn prepare_signed(
        &self,
        program: &[u8],
        root: B256,
        cancel: &CancelFlag,
    ) -> Result<Arc<dyn Prepared>, ExecError> {
        self.0.prepare_signed(program, root, cancel)
    }

    fn identify(&self, program: &[u8], root: B256) -> Result<(), ExecError> {
        self.0.identify(program, root)
    }

    fn machines(&self) -> Option<Machines> {
        None
    }
}

#[test]
fn an_executor_without_a_court_says_so() {
    let (engine, _dir) = engine(Machines::default());
    keeps_the_contract(&Unjudged(engine), &surroundings());
}
