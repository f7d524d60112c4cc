//! The same, from Rust's standard library.
use std::collections::HashMap;
use std::io::{BufRead, Read, Write};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    println!("args {args:?}");
    println!("home {:?}", std::env::var("HOME"));
    let words: Vec<String> =
        std::io::stdin().lock().lines().map_while(Result::ok).flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut counts = HashMap::new();
    for word in &words {
        *counts.entry(word.as_str()).or_insert(0) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort();
    println!("{counts:?}");
    if std::path::Path::new("data").exists() {
        let mut names: Vec<_> = std::fs::read_dir("data").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        println!("data {names:?}");
        println!("{}", std::fs::read_to_string("/data/task.txt").unwrap());
        let mut tail = String::new();
        let mut file = std::fs::File::open("data/shared.txt").unwrap();
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(5)).unwrap();
        file.read_to_string(&mut tail).unwrap();
        println!("{tail}");
    }
    std::fs::create_dir_all("out/a/b").unwrap();
    std::fs::write("out/a/b/file", b"from rust").unwrap();
    let mut log = std::fs::OpenOptions::new().create(true).append(true).open("log").unwrap();
    writeln!(log, "one").unwrap();
    writeln!(log, "two").unwrap();
    println!("{} bytes", std::fs::metadata("out/a/b/file").unwrap().len());
    println!("{:?}", std::fs::read("missing").map_err(|error| error.kind()));
    std::thread::sleep(std::time::Duration::from_secs(5));
    println!("{:?}", std::time::Instant::now().elapsed());
    match args.get(1).map(String::as_str) {
        Some("panic") => panic!("as asked"),
        Some(code) => std::process::exit(code.parse().unwrap()),
        None => {}
    }
}
