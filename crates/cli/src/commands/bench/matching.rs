//! `rialto bench match`: the cheapest k of a million asks under a job's constraints, by the index
//! of the order book, and the same by looking at all of them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Args;
use rialto_client::view;
use rialto_protocol::{
    Address, B256,
    types::{Ask, Limits, WASM_3},
    wire::{PeerAddr, Signed},
};
use rialto_requester::core::{
    Book, Offer, Why,
    matching::{Load, Need, plan, scan},
};

use super::{spread::Spread, usage};
use crate::ui::{Ui, count, json_on_lines};

/// Time of the queries, unix seconds.
const NOW: u64 = 1_800_000_000;
/// Asks of one provider.
const ASKS_PER_PROVIDER: u64 = 4;
/// Time at which the book is filled: long enough before for every bound to be made anew.
const FILLED: u64 = NOW - 120;
/// Queries are spread over so many seconds, in which the book is not told the time.
const SECONDS: u64 = 8;
const GIB: u64 = 1 << 30;
const PAGES_PER_GIB: u32 = 1 << 14;

/// `rialto bench match`
#[derive(Clone, Debug, Args)]
pub struct Match {
    /// Asks in the book.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    asks: u32,
    /// Queries of each kind of job.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    queries: u32,
    /// Do not compare with looking at every ask, which takes seconds.
    #[arg(long)]
    no_scan: bool,
}

/// Queries for one kind of job.
struct Measured {
    name: &'static str,
    k: u32,
    found: usize,
    index: Spread,
    /// The same in processor time: what others do meanwhile is not in it.
    cpu: Spread,
    scan: Option<Duration>,
}

/// Measures and prints. Blocks for some seconds.
pub fn run(args: &Match, ui: Ui) -> Result<()> {
    let before = usage::memory();
    let started = Instant::now();
    let mut book = Book::with_room(args.asks as usize);
    let mut random = Random(1);
    for n in 0..u64::from(args.asks) {
        book.insert(FILLED, offer(n, &mut random));
    }
    let filled = started.elapsed();
    ensure!(book.len() == args.asks as usize, "not every ask is in the book");
    let bytes = usage::memory().saturating_sub(before) / u64::from(args.asks);
    let turn = turn(&mut book);
    if ui.for_people() {
        println!(
            "{} asks of {} providers",
            count(args.asks.into()),
            count(u64::from(args.asks).div_ceil(ASKS_PER_PROVIDER))
        );
        println!(
            "  {bytes} bytes of memory an ask, {:.1} µs to take one in",
            filled.as_secs_f64() * 1e6 / f64::from(args.asks)
        );
        println!("  {:.1} ms in a second, at most, for prices that move", turn.as_secs_f64() * 1e3);
    }
    let mut all = Vec::new();
    for (name, need) in shapes(&book) {
        let measured = measure(name, &book, &need, args)?;
        if ui.for_people() {
            println!("{}", measured.line());
        }
        all.push(measured);
    }
    if !ui.for_people() {
        json_on_lines(&view::BenchMatch {
            asks: args.asks,
            bytes_per_ask: bytes,
            insert_micros: filled.as_secs_f64() * 1e6 / f64::from(args.asks),
            turn_millis: turn.as_secs_f64() * 1e3,
            queries: args.queries,
            jobs: all.iter().map(Measured::view).collect(),
        });
    }
    Ok(())
}

/// The seconds until [`NOW`], told to the book one by one: the longest telling. In these all bounds
/// are made anew.
fn turn(book: &mut Book) -> Duration {
    let told = |second| {
        let started = Instant::now();
        book.turn(second);
        started.elapsed()
    };
    (FILLED..=NOW).map(told).max().unwrap_or_default()
}

fn measure(name: &'static str, book: &Book, need: &Need, args: &Match) -> Result<Measured> {
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    let mut found = 0;
    for query in 0..u64::from(args.queries) {
        // A little different each time: another moment, other fuel.
        let now = NOW + query % SECONDS;
        let fuel = need.expected_fuel.map(|fuel| fuel - fuel / 1000 * (query % 7));
        let need = Need { expected_fuel: fuel, ..need.clone() };
        let (before, started) = (usage::thread_cpu(), Instant::now());
        let result = std::hint::black_box(plan(now, book, &need));
        times.push(started.elapsed());
        cpu.push(usage::thread_cpu().saturating_sub(before));
        found = result.map_or(0, |plan| plan.deals.len());
    }
    let scan = if args.no_scan { None } else { Some(looking_at_all(name, book, need)?) };
    let k = need.min_providers.max(need.replicas);
    Ok(Measured { name, k, found, index: Spread::of(times), cpu: Spread::of(cpu), scan })
}

/// Time of looking at every ask; fails if that finds something else.
fn looking_at_all(name: &str, book: &Book, need: &Need) -> Result<Duration> {
    let started = Instant::now();
    let expected = scan(NOW, book.offers(), need);
    let time = started.elapsed();
    ensure!(
        plan(NOW, book, need) == expected,
        "{name}: the index found something else than looking at all"
    );
    Ok(time)
}

impl Measured {
    fn line(&self) -> String {
        let scan = self.scan.map_or(String::new(), |scan| {
            let times = scan.as_secs_f64() / self.index.p50.as_secs_f64().max(1e-9);
            format!("  all: {:5.0} ms, {times:.0} times as long", scan.as_secs_f64() * 1e3)
        });
        format!(
            "{:<36} k {:>3}  processor {}  clock {}{scan}",
            self.name, self.k, self.cpu, self.index
        )
    }

    fn view(&self) -> view::BenchJob {
        view::BenchJob {
            job: self.name.to_owned(),
            k: self.k,
            found: self.found,
            index: self.index.view(),
            index_processor: self.cpu.view(),
            scan_millis: self.scan.map(|scan| scan.as_secs_f64() * 1e3),
        }
    }
}

/// Kinds of jobs, from the ordinary to the awkward.
fn shapes(book: &Book) -> Vec<(&'static str, Need)> {
    let job = Need {
        tasks: 100,
        replicas: 1,
        expected_fuel: Some(1_000_000_000),
        fuel_limit: 4_000_000_000,
        max_pages: 1 << 10,
        out_limit: 1 << 20,
        load: Load { tasks: 1, inputs: 1 << 10, program: 1 << 20, shared: 0 },
        budget: u128::MAX / 4,
        max_price: u128::MAX,
        deadline: NOW + 3_600,
        min_collateral_bps: 0,
        min_providers: 8,
        max_providers: 8,
        any_court: false,
        excluded: BTreeMap::new(),
    };
    let heavy =
        Need { expected_fuel: Some(200_000_000_000), fuel_limit: 1_000_000_000_000, ..job.clone() };
    let tiny =
        Need { expected_fuel: Some(50_000), fuel_limit: 1_000_000, tasks: 100_000, ..job.clone() };
    // The providers of the offers that are cheapest now.
    let mut cheapest: Vec<_> = book.offers().collect();
    cheapest.sort_by_key(|offer| offer.ask.value.priceStart.min(offer.ask.value.priceEnd));
    let barred =
        cheapest.iter().take(5_000).map(|offer| (offer.provider(), Why::Cheated)).collect();
    vec![
        ("one provider", Need { min_providers: 1, max_providers: 1, ..job.clone() }),
        ("eight providers", job.clone()),
        ("a hundred providers", Need { min_providers: 100, max_providers: 100, ..job.clone() }),
        ("three replicas", Need { replicas: 3, ..job.clone() }),
        ("heavy tasks", heavy.clone()),
        ("tiny tasks: most asks cost the same", tiny),
        ("48 GiB, in 1 of 500", Need { max_pages: 48 * PAGES_PER_GIB, ..job.clone() }),
        (
            "48 GiB and 15 % collateral",
            Need { max_pages: 48 * PAGES_PER_GIB, min_collateral_bps: 1_500, ..job.clone() },
        ),
        ("5,000 providers barred", Need { excluded: barred, ..job.clone() }),
        (
            "one fast enough for the deadline",
            Need {
                tasks: 40_000,
                min_providers: 1,
                max_providers: 1,
                deadline: NOW + 600,
                ..job.clone()
            },
        ),
        (
            "eight that just meet the deadline",
            Need { tasks: 380_000, deadline: NOW + 600, ..job.clone() },
        ),
        ("a price nobody offers", Need { max_price: 10_000, ..job }),
    ]
}

/// Ask `n`: four to a provider; half of them at a constant price, most others falling.
fn offer(n: u64, random: &mut Random) -> Offer {
    let owner = n / ASKS_PER_PROVIDER;
    let mut id = B256::ZERO;
    id[24..].copy_from_slice(&owner.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let base = 50_000 * (1 + u128::from(random.below(64)) / 8) + u128::from(random.below(50_000));
    let (start, end) = match random.below(10) {
        0..5 => (base, base),
        5..9 => (base * 2, base),
        _ => (base, base + base / 2),
    };
    let length = 600 + random.below(7_200);
    let from = NOW - random.below(length);
    let ask = Ask {
        provider: Address::from_word(id),
        key: Address::from_word(id),
        endpoint: id,
        priceStart: start,
        priceEnd: end,
        // The queries last a while: asks that end within it would be fewer each time.
        from,
        to: from + length + 2 * SECONDS,
        taskFee: [0, 0, 1, 5, 10, 50][random.below(6) as usize],
        minBudget: u128::from(random.below(10_000)),
        maxBudget: 1_000_000_000_000,
        collateralBps: random.below(2_000) as u32,
        latePenaltyBps: 1_000,
        maxSeconds: [900, 3_600, 14_400, 86_400][random.below(4) as usize],
        capacity: 8,
        cores: 1 << random.below(7),
        fuelPerSecond: 300_000_000 + random.below(1_200_000_000),
        runtime: WASM_3,
        court: Address::ZERO,
        salt: n % ASKS_PER_PROVIDER,
        limits: Limits {
            tasks: 1 << 16,
            orders: 64,
            taskFuel: 1 << 50,
            taskMemory: if random.below(500) == 0 { 64 * GIB } else { GIB << random.below(5) },
            taskOutput: 1 << 40,
            orderOutput: 1 << 40,
            program: 1 << 30,
            inputs: 1 << 40,
            shared: 1 << 40,
            credit: 1_000_000_000_000,
        },
        ..Ask::default()
    };
    let peer = PeerAddr { endpoint: id, direct: vec![([127, 0, 0, 1], 7_000).into()], relay: None };
    Offer {
        ask: Signed { value: ask, signature: vec![0; 65].into() },
        peer,
        deposit: 1 << 40,
        known_court: true,
    }
}

/// SplitMix64: the same asks every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
