//! The programs of `examples/`, each run by the shipped binary on a market.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
}

fn texts() -> Vec<PathBuf> {
    let mut texts: Vec<_> =
        example("words/texts").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    texts.sort();
    assert!(texts.len() >= 3);
    texts
}

/// Runs with some stdin and gives stdout back.
fn fed(command: &mut Command, stdin: &[u8]) -> Vec<u8> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // Whoever doesn't read its stdin may close it early.
    let feeder = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    stdout
}

/// `rialto run` of an example with options of its own.
fn run(program: &str, options: &[&str], args: &[&str], stdin: &[u8]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
    fed(command.arg("run").args(options).arg(example(program)).arg("--").args(args), stdin)
}

/// Price of a European call by Black and Scholes's formula.
fn black_scholes(spot: f64, strike: f64, rate: f64, volatility: f64, years: f64) -> f64 {
    // The normal distribution by Simpson's rule: slow, and exact enough.
    let normal = |x: f64| {
        let (from, steps) = (-10.0, 2000);
        let width = (x - from) / f64::from(steps);
        let density = |i: u32| (-(from + width * f64::from(i)).powi(2) / 2.0).exp();
        let weight = |i: u32| {
            if i == 0 || i == steps {
                1.0
            } else if i % 2 == 1 {
                4.0
            } else {
                2.0
            }
        };
        (0..=steps).map(|i| weight(i) * density(i)).sum::<f64>() * width
            / 3.0
            / std::f64::consts::TAU.sqrt()
    };
    let deviation = volatility * years.sqrt();
    let d1 = ((spot / strike).ln() + (rate + volatility * volatility / 2.0) * years) / deviation;
    spot * normal(d1) - strike * (-rate * years).exp() * normal(d1 - deviation)
}

#[test]
fn simulated_prices_are_those_of_the_formula() {
    for (strike, volatility, seed) in [("90", "0.2", "1"), ("110", "0.4", "2")] {
        let args = ["100", strike, "0.03", volatility, "1", "40000", seed];
        let line = String::from_utf8(run("pricing/pricing.wasm", &[], &args, b"")).unwrap();
        let fields: Vec<f64> = line.trim().split(',').map(|field| field.parse().unwrap()).collect();
        let [_, strike, rate, volatility, years, _, european, error, asian, _] = fields[..] else {
            panic!("{line}")
        };
        let exact = black_scholes(100.0, strike, rate, volatility, years);
        assert!(
            error > 0.0 && (european - exact).abs() < 4.0 * error,
            "{european} ± {error} for {exact}"
        );
        assert!(0.0 < asian && asian < european, "a mean moves less than its end: {line}");
    }
    // without a seed it is the task's: both replicas drew the same numbers, or the run would have
    // failed
    let line = run("pricing/pricing.wasm", &[], &["100", "100", "0", "0.2", "1", "1000"], b"");
    assert_eq!(line.iter().filter(|byte| **byte == b',').count(), 9);
}

/// What `words 5` must print.
fn counted(text: &str) -> String {
    let mut counts = BTreeMap::<String, u32>::new();
    for word in text.split(|c: char| !c.is_ascii_alphabetic() && c != '\'') {
        let word = word.trim_matches('\'').to_lowercase();
        if !word.is_empty() {
            *counts.entry(word).or_default() += 1;
        }
    }
    let mut words: Vec<_> = counts.iter().collect();
    words.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let first = words.iter().take(5).map(|(word, count)| format!("{count} {word}\n"));
    format!(
        "{} words, {} different\n{}",
        counts.values().sum::<u32>(),
        counts.len(),
        first.collect::<String>()
    )
}

#[test]
fn words_are_counted_in_every_text() {
    for path in texts() {
        let text = std::fs::read_to_string(&path).unwrap();
        let printed = run("words/words.wasm", &[], &["5"], text.as_bytes());
        assert_eq!(String::from_utf8(printed).unwrap(), counted(&text), "{}", path.display());
    }
}

/// A program of Debian's, its source as it is: what it makes here is what it makes natively, byte
/// for byte.
#[test]
fn a_ported_program_does_what_it_does_natively() {
    let texts_folder = format!("texts={}", example("words/texts").display());
    let compressed = |name: &str| {
        run(
            "zopfli/zopfli.wasm",
            &["--input", &texts_folder],
            &["-c", "--i5", &format!("texts/{name}")],
            b"",
        )
    };
    let scratch = tempfile::tempdir().unwrap();
    let native = native_zopfli(scratch.path());
    for path in texts() {
        let here = compressed(path.file_name().unwrap().to_str().unwrap());
        assert_eq!(fed(Command::new("gzip").arg("-dc"), &here), std::fs::read(&path).unwrap());
        if let Some(native) = &native {
            assert!(
                here == fed(Command::new(native).args(["-c", "--i5"]).arg(&path), b""),
                "{}",
                path.display()
            );
        }
    }
}

/// Builds the committed wasm again and a native program, from the source that Debian has; checks
/// that the wasm is fresh.
fn native_zopfli(scratch: &Path) -> Option<PathBuf> {
    let (fresh, native) = (scratch.join("zopfli.wasm"), scratch.join("zopfli"));
    let built = Command::new(example("zopfli/build.sh"))
        .arg(&fresh)
        .env("NATIVE", &native)
        .output()
        .unwrap();
    if built.status.code() == Some(77) {
        eprint!("the native half is left out: {}", String::from_utf8_lossy(&built.stdout));
        return None;
    }
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert!(
        std::fs::read(fresh).unwrap() == std::fs::read(example("zopfli/zopfli.wasm")).unwrap(),
        "it is stale"
    );
    Some(native)
}
