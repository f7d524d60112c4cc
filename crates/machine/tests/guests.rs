//! Unchanged programs in C and Rust, run as M'.
#![allow(clippy::unwrap_used)]

mod host;

use host::{PLENTY, args, guest, run};
use rialto_machine::input::{SharedInput, TaskInput};

fn big() -> Vec<u8> {
    (0..10_001u32).map(|i| ((i * i) >> 3) as u8).collect()
}

fn inputs() -> (TaskInput, SharedInput) {
    let file = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    let task = TaskInput {
        argv: vec![b"prog".to_vec(), b"two words".to_vec()],
        env: vec![(b"HOME".to_vec(), b"/".to_vec()), (b"EMPTY".to_vec(), b"".to_vec())],
        stdin: b"one fish two\nfish red fish".to_vec(),
        files: vec![
            file("data/task.txt", "of the task"),
            file("both.txt", "mine"),
            file("data/deep/er/x", "x"),
        ],
    };
    let mut shared = SharedInput {
        files: vec![
            file("data/shared.txt", "of the job"),
            file("both.txt", "hidden"),
            file("data/deep/y", "y"),
        ],
    };
    shared.files.push(("data/big.bin".into(), big()));
    (task, shared)
}

#[test]
fn c_sees_its_surroundings() {
    let (mut task, shared) = inputs();
    task.argv = vec![b"prog".to_vec(), b"42".to_vec(), b"".to_vec()];
    let run = run(&guest("surroundings"), &task, &shared, PLENTY);
    assert_eq!(run.exit, Some(42));
    assert_eq!(run.stderr(), "bye\n");
    let expected = "arg 0: prog\narg 1: 42\narg 2: \nenv: HOME=/\nenv: EMPTY=\nline 1: one fish two\nline 2: fish red fish\n\
        time 946684800\nnap 0\n";
    let stdout = run.stdout();
    let (start, rest) = stdout.split_at(expected.len());
    assert_eq!(start, expected);
    let mut lines = rest.lines();
    let random = lines.next().unwrap();
    // splitmix64 of seed 7, little-endian
    assert_eq!(random.len(), 24);
    assert_eq!(random, "d70d3259e4e1cb631c663cf4");
    assert_eq!(lines.next(), Some("0.10000000000000001 -1234.568 6.022141e+23 0x1.8p+0"));
}

#[test]
fn nothing_given_is_nothing_seen() {
    let run = run(&guest("surroundings"), &TaskInput::default(), &SharedInput::default(), PLENTY);
    assert_eq!(run.exit, Some(0));
    assert!(run.stdout().starts_with("\ntime 946684800\n"));
}

#[test]
fn c_reads_and_creates_files() {
    let (task, shared) = inputs();
    let run = run(&guest("files"), &task, &shared, PLENTY);
    let sum =
        big().iter().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    let tail: String = big()[9998..].iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = format!(
        "/: ../ ./ both.txt data/\n\
         data: ../ ./ big.bin deep/ shared.txt task.txt\n\
         ./data/../data//deep/: ../ ./ er/ y\n\
         /data/shared.txt = of the job\n\
         data/task.txt = of the task\n\
         both.txt = mine\n\
         big.bin: 10001 bytes\n\
         sum {sum}, last three {tail}\n\
         result.txt: 14 bytes\n\
         60 descriptors, then No file descriptors available\n"
    );
    assert_eq!(run.stdout(), expected);
    assert_eq!(run.exit, Some(0));
    let outputs = run.outputs();
    let file = |path: &str| {
        let (_, bytes) = outputs.files.iter().find(|(name, _)| name == path).unwrap();
        String::from_utf8(bytes.clone()).unwrap()
    };
    assert_eq!(file("result.txt"), "Jello 42\nmore\n");
    assert_eq!(file("data/numbers.txt"), (0..1000).map(|i| format!("{i}\n")).collect::<String>());
    assert_eq!(file("out/000"), "0+");
    assert_eq!(file("out/199"), (199 * 199).to_string());
    assert_eq!(outputs.files.len(), 202);
}

#[test]
fn c_works() {
    let run = run(&guest("work"), &args(&["work"]), &SharedInput::default(), PLENTY);
    assert_eq!(run.stdout(), "23840 4294948808\n2016 -2.877089212 325.000000 nan\n");
    assert_eq!(run.exit, Some(0));
}

#[test]
fn rust_runs() {
    let (mut task, shared) = inputs();
    let program = guest("rusty");
    let expected = "home Ok(\"/\")\n[(\"fish\", 3), (\"one\", 1), (\"red\", 1), (\"two\", 1)]\n\
        data [\"big.bin\", \"deep\", \"shared.txt\", \"task.txt\"]\nof the task\ne job\n9 bytes\nErr(NotFound)\n0ns\n";
    for (arg, exit) in [("3", Some(3)), ("panic", None)] {
        task.argv[1] = arg.into();
        let run = run(&program, &task, &shared, PLENTY);
        assert_eq!(run.exit, exit, "{arg}");
        let outputs = run.outputs();
        if exit.is_some() {
            assert_eq!(run.stdout(), format!("args [\"prog\", \"{arg}\"]\n{expected}"));
            assert_eq!(
                outputs.files,
                [
                    ("log".into(), b"one\ntwo\n".to_vec()),
                    ("out/a/b/file".into(), b"from rust".to_vec())
                ]
            );
        } else {
            // a message on stderr survives the trap that follows it
            assert!(run.stderr().contains("panicked at 'as asked'"), "{}", run.stderr());
        }
    }
}

#[test]
fn bad_ends() {
    let program = guest("crash");
    let fuel = 50_000_000;
    for how in ["recurse", "loop", "abort", "divide", "wild", "wild-write", "call"] {
        let run = run(&program, &args(&["crash", how]), &SharedInput::default(), fuel);
        assert_eq!(run.exit, None, "{how}");
        assert_eq!(run.fuel_left < 0, how == "loop", "{how}: {}", run.fuel_left);
        assert_eq!(run.stack_left < 0, how == "recurse", "{how}: {}", run.stack_left);
        assert_eq!(run.stderr(), format!("about to {how}\n"));
    }
    for (how, code, stdout) in [("exit", 7, "lost in a buffer"), ("_exit", 300, "")] {
        let run = run(&program, &args(&["crash", how]), &SharedInput::default(), fuel);
        assert_eq!((run.exit, run.stdout().as_str()), (Some(code), stdout), "{how}");
    }
}

#[test]
fn a_run_repeats_to_the_last_bit() {
    let (task, shared) = inputs();
    for name in ["surroundings", "files", "work", "crash", "rusty"] {
        let program = guest(name);
        assert_eq!(guest(name), program);
        assert_eq!(
            run(&program, &task, &shared, PLENTY),
            run(&program, &task, &shared, PLENTY),
            "{name}"
        );
    }
}

#[test]
fn corners_of_wasi() {
    let (task, shared) = inputs();
    let run = run(&guest("abi"), &task, &shared, PLENTY);
    let mut expected = String::new();
    let bytes: Vec<u8> = (0..600).map(|i| b'a' + (i % 26) as u8).collect();
    for a in (0..40).step_by(3) {
        for b in (0..80).step_by(11) {
            for (from, len) in [(a, a), (2 * a, b), (2 * a + b, 64 - a % 13)] {
                expected.push_str(std::str::from_utf8(&bytes[from..from + len]).unwrap());
            }
        }
    }
    assert_eq!((run.stdout(), run.exit), (expected, Some(0)));
    assert_eq!(run.outputs().files, [("dir/kept".into(), b"012".to_vec())]);
}
