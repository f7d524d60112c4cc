//! Tuned code against Cranelift's own NaN canonicalisation of untuned M': equal results, bit by
//! bit.

use wasmtime::{Instance, Linker, Module, Store, Val};

use crate::wasm::engine::wasmtime_config;
use crate::wasm::tune::tune;

/// What a module leaves: its memory and its globals, or a trap.
type End = (bool, Vec<u8>, [i64; 2]);

struct Both {
    plain: wasmtime::Engine,
    tuned: wasmtime::Engine,
}

impl Both {
    fn new() -> Self {
        let engine = |canonical_nans| {
            let mut config = wasmtime_config(1, canonical_nans);
            config.max_wasm_stack(1 << 20);
            wasmtime::Engine::new(&config).unwrap()
        };
        Self { plain: engine(true), tuned: engine(false) }
    }

    /// Runs a module both ways.
    fn agree(&self, module: &[u8]) -> End {
        let (plain, tuned) = (run(&self.plain, module), run(&self.tuned, &tune(module).unwrap()));
        assert_eq!(plain, tuned, "{}", wat_of(module));
        plain
    }

    fn agree_on(&self, text: &str) -> End {
        self.agree(&wat::parse_str(text).unwrap())
    }
}

fn wat_of(module: &[u8]) -> String {
    format!("module of {} bytes: {module:02x?}", module.len())
}

fn run(engine: &wasmtime::Engine, module: &[u8]) -> End {
    let mut store = Store::new(engine, ());
    let module = Module::from_binary(engine, module).unwrap();
    let instance: Instance = Linker::new(engine).instantiate(&mut store, &module).unwrap();
    instance.get_global(&mut store, "fuel").unwrap().set(&mut store, Val::I64(20_000)).unwrap();
    let ended = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ());
    let memory = instance.get_memory(&mut store, "memory").unwrap().data(&store)[..1024].to_vec();
    let mut global =
        |name: &str| match instance.get_global(&mut store, name).unwrap().get(&mut store) {
            Val::I64(value) => value,
            Val::F64(bits) => bits as i64,
            other => panic!("{other:?}"),
        };
    (ended.is_ok(), memory, [global("fuel"), global("float")])
}

/// A module with the fuel as its first global, some odd NaNs in memory and a helper that floats
/// pass through.
fn module(body: &str) -> String {
    let charge = "(global.set $fuel (i64.sub (global.get $fuel) (i64.const 3)))
        (if (i64.lt_s (global.get $fuel) (i64.const 0)) (then unreachable))";
    let body = body.replace("CHARGE", charge);
    format!(
        r#"(module
            (global $fuel (export "fuel") (mut i64) (i64.const 0))
            (global $float (export "float") (mut f64) (f64.const 1))
            (memory (export "memory") 1 1)
            (table funcref (elem $helper))
            (type $helper (func (param f64 f32 i32) (result f64)))
            (func $helper (type $helper) {charge}
                (select (f64.mul (local.get 0) (f64.promote_f32 (local.get 1))) (local.get 0) (local.get 2)))
            (func (export "run") (local $i i32) (local $n i64) (local $a f64) (local $b f64) (local $c f64)
                (local $x f32) (local $y f32) (local $z f32) {body})
            (data (i32.const 0) "\01\02\03\04\05\06\f4\7f\01\00\00\00\00\00\f8\ff\aa\bb\cc\7f\01\00\80\ff")
            (data (i32.const 24) "\00\00\00\00\00\00\f0\7f\00\00\00\00\00\00\f0\ff\00\00\80\7f\00\00\c0\ff")
            (data (i32.const 48) "\00\00\00\00\00\00\00\00\18\2d\44\54\fb\21\09\40\db\0f\49\c0\00\00\80\3f"))"#
    )
}

#[test]
fn odd_nans_pass_through_what_only_moves_them() {
    let both = Both::new();
    let (_, memory, [_, float]) = both.agree_on(&module(
        "(local.set $a (f64.load (i32.const 0)))
         (f64.store (i32.const 200) (local.get $a))
         (f64.store (i32.const 208) (f64.neg (local.get $a)))
         (f64.store (i32.const 216) (select (local.get $a) (f64.const 1) (i32.const 1)))
         (f32.store (i32.const 224) (block (result f32) (f32.load (i32.const 16))))
         (global.set $float (local.get $a))",
    ));
    assert_eq!(memory[200..208], memory[..8]);
    assert_eq!(memory[208..215], memory[..7]);
    assert_eq!(
        (memory[215], &memory[216..224], &memory[224..228]),
        (0xff, &memory[..8], &memory[16..20])
    );
    assert_eq!(float.to_le_bytes(), memory[..8]);
}

#[test]
fn nans_of_arithmetic_are_canonical_wherever_they_can_be_seen() {
    let both = Both::new();
    let nan = "(f64.add (f64.load (i32.const 0)) (f64.const 1))";
    let canonical = 0x7ff8_0000_0000_0000u64;
    for (seen, expected) in [
        (format!("(f64.store (i32.const 200) {nan})"), canonical),
        (format!("(i64.store (i32.const 200) (i64.reinterpret_f64 {nan}))"), canonical),
        (format!("(f64.store (i32.const 200) (f64.neg {nan}))"), canonical | 1 << 63),
        (format!("(f64.store (i32.const 200) (f64.abs {nan}))"), canonical),
        (
            format!("(f64.store (i32.const 200) (f64.copysign (f64.const -2) {nan}))"),
            2f64.to_bits(),
        ),
        (
            format!("(f64.store (i32.const 200) (f64.copysign {nan} (f64.const -2)))"),
            canonical | 1 << 63,
        ),
        (
            format!("(global.set $float {nan}) (f64.store (i32.const 200) (global.get $float))"),
            canonical,
        ),
        (
            format!(
                "(local.set $a {nan}) (local.set $b (local.get $a)) (f64.store (i32.const 200) (local.get $b))"
            ),
            canonical,
        ),
        (
            format!("(f64.store (i32.const 200) (call $helper {nan} (f32.const 1) (i32.const 0)))"),
            canonical,
        ),
        (
            format!(
                "(f64.store (i32.const 200) (select {nan} (f64.load (i32.const 8)) (i32.const 1)))"
            ),
            canonical,
        ),
        (
            format!(
                "(f64.store (i32.const 200) (block (result f64) (br_if 0 {nan} (i32.const 1))))"
            ),
            canonical,
        ),
        (
            format!("(f64.store (i32.const 200) (f64.promote_f32 (f32.demote_f64 {nan})))"),
            canonical,
        ),
    ] {
        let (_, memory, _) = both.agree_on(&module(&seen));
        assert_eq!(memory[200..208], expected.to_le_bytes(), "{seen}");
    }
}

/// Found by `crates/sim/tests/machine/differential.rs`, seed 2607.
#[test]
fn blocks_in_dead_code_have_operands_of_their_own() {
    let body = "(block (br 0) (f64.const 1) (f64.const 2) (block (param f64 f64) f64.add drop))
        (block (unreachable) (block (param f64 f64) f64.add global.set $float))";
    Both::new().agree_on(&module(body));
}

#[test]
fn a_local_may_hold_both_kinds() {
    let both = Both::new();
    let text = |first: &str, second: &str| {
        module(&format!(
            "(loop $again CHARGE
                (f64.store (i32.add (i32.const 200) (i32.shl (local.get $i) (i32.const 3))) (local.get $a))
                (if (i32.and (local.get $i) (i32.const 1)) (then (local.set $a {first})) (else (local.set $a {second})))
                (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))"
        ))
    };
    let (raw, sum) =
        ("(f64.load (i32.const 0))", "(f64.div (local.get $a) (f64.load (i32.const 8)))");
    for (first, second) in [(raw, sum), (sum, raw), (sum, sum), (raw, raw)] {
        both.agree_on(&text(first, second));
    }
}

#[test]
fn the_fuel_is_right_wherever_the_program_traps() {
    let both = Both::new();
    for end in
        ["unreachable", "(drop (i32.div_u (i32.const 1) (local.get $i)))", "(br 0)", "", "(return)"]
    {
        let (_, _, [fuel, _]) = both.agree_on(&module(&format!(
            "CHARGE (drop (call $helper (f64.const 0) (f32.const 0) (i32.const 1))) CHARGE
             (drop (call_indirect (type $helper) (f64.const 0) (f32.const 0) (i32.const 1) (i32.const 0))) {end}"
        )));
        assert_eq!(fuel, 20_000 - 4 * 3);
    }
    let (finished, _, [fuel, _]) = both.agree_on(&module("(loop $again CHARGE (br $again))"));
    assert_eq!((finished, fuel), (false, -1));
}

/// splitmix64: tests repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % n as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// An f64 (`wide`) or f32 expression.
    fn float(&mut self, wide: bool, depth: usize) -> String {
        let ty = if wide { "f64" } else { "f32" };
        if depth == 0 {
            return match self.below(4) {
                0 => format!("({ty}.load (i32.const {}))", self.below(18) * 4),
                1 => {
                    format!(
                        "({ty}.const {})",
                        self.pick(&["0", "-1.5", "inf", "nan", "-nan", "nan:0x300000", "1e-38"])
                    )
                }
                2 => format!("({ty}.convert_i32_s (local.get $i))"),
                _ => format!(
                    "(local.get {})",
                    self.pick(if wide { &["$a", "$b", "$c"] } else { &["$x", "$y", "$z"] })
                ),
            };
        }
        let depth = self.below(depth);
        match self.below(13) {
            0..=3 => {
                let op = self.pick(&["add", "sub", "mul", "div", "min", "max"]);
                format!("({ty}.{op} {} {})", self.float(wide, depth), self.float(wide, depth))
            }
            4 => format!(
                "({ty}.{} {})",
                self.pick(&["sqrt", "ceil", "floor", "trunc", "nearest"]),
                self.float(wide, depth)
            ),
            5 => format!("({ty}.{} {})", self.pick(&["neg", "abs"]), self.float(wide, depth)),
            6 => format!("({ty}.copysign {} {})", self.float(wide, depth), self.float(wide, depth)),
            7 => format!(
                "(select {} {} {})",
                self.float(wide, depth),
                self.float(wide, depth),
                self.integer(depth)
            ),
            8 if wide => format!("(f64.promote_f32 {})", self.float(false, depth)),
            8 => format!("(f32.demote_f64 {})", self.float(true, depth)),
            9 => format!(
                "(if (result {ty}) {} (then {}) (else {}))",
                self.integer(depth),
                self.float(wide, depth),
                self.float(wide, depth)
            ),
            10 => format!(
                "(block (result {ty}) (br_if 0 {} {}))",
                self.float(wide, depth),
                self.integer(depth)
            ),
            11 if wide => format!(
                "(call $helper {} {} {})",
                self.float(true, depth),
                self.float(false, depth),
                self.integer(depth)
            ),
            _ => {
                let local = self.pick(if wide { &["$a", "$b", "$c"] } else { &["$x", "$y", "$z"] });
                format!("(local.tee {local} {})", self.float(wide, depth))
            }
        }
    }

    fn integer(&mut self, depth: usize) -> String {
        match self.below(4) {
            0 if depth > 0 => {
                format!("(f64.lt {} {})", self.float(true, depth - 1), self.float(true, depth - 1))
            }
            1 if depth > 0 => format!("(i32.reinterpret_f32 {})", self.float(false, depth - 1)),
            2 if depth > 0 => format!("(i32.trunc_sat_f64_s {})", self.float(true, depth - 1)),
            _ => format!("(i32.and (local.get $i) (i32.const {}))", 1 << self.below(3)),
        }
    }

    fn statement(&mut self) -> String {
        let depth = 1 + self.below(5);
        match self.below(8) {
            0 | 1 => format!(
                "(f64.store (i32.const {}) {})",
                self.below(24) * 8,
                self.float(true, depth)
            ),
            2 => format!(
                "(f32.store (i32.const {}) {})",
                self.below(48) * 4,
                self.float(false, depth)
            ),
            3 => format!("(global.set $float {})", self.float(true, depth)),
            4 | 5 => format!(
                "(local.set {} {})",
                self.pick(&["$a", "$b", "$c"]),
                self.float(true, depth)
            ),
            6 => format!(
                "(local.set {} {})",
                self.pick(&["$x", "$y", "$z"]),
                self.float(false, depth)
            ),
            _ => format!(
                "(if {} (then {} {}))",
                self.integer(depth),
                self.statement(),
                self.pick(&["", "(br $again)", "(return)"])
            ),
        }
    }
}

#[test]
fn generated_programs_agree() {
    let both = Both::new();
    for seed in 0..120 {
        let mut random = Random(seed);
        let statements: String = (0..3 + random.below(12)).map(|_| random.statement()).collect();
        both.agree_on(&module(&format!(
            "(loop $again CHARGE
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (if (i32.gt_u (local.get $i) (i32.const 12)) (then (return)))
                {statements}
                (br $again))"
        )));
    }
}

/// Or they would take registers of the loops that they are moved out of.
#[test]
fn what_is_hardly_ever_run_reads_its_constants() {
    let text = "(module (memory 1) (func (export \"_start\") (local i32)
        (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100))))))";
    let canonical = rialto_machine::canonicalise(&wat::parse_str(text).unwrap()).unwrap().module;
    let constants = |module: &[u8], constant: i64| {
        let bodies =
            wasmparser::Parser::new(0).parse_all(module).filter_map(|payload| {
                match payload.unwrap() {
                    wasmparser::Payload::CodeSectionEntry(body) => Some(body),
                    _ => None,
                }
            });
        let operators = bodies.flat_map(|body| body.get_operators_reader().unwrap().into_iter());
        let is = |op| matches!(op, wasmparser::Operator::I64Const { value } if value == constant);
        operators.filter(|op| is(op.clone().unwrap())).count()
    };
    let prepaid = rialto_machine::limits::PREPAID_FUEL;
    assert!(constants(&canonical, prepaid) > 2);
    assert_eq!(
        constants(&tune(&canonical).unwrap(), prepaid),
        2,
        "what is left is in the function that refills"
    );
}
