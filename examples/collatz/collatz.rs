//! Finds the longest Collatz sequence that begins below a bound.

fn steps(mut n: u64) -> u32 {
    let mut steps = 0;
    while n != 1 {
        n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
        steps += 1;
    }
    steps
}

fn main() {
    let bound: u64 = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(1000);
    let longest = (1..bound).max_by_key(|n| steps(*n)).unwrap_or(1);
    println!("{longest} takes {} steps", steps(longest));
}
