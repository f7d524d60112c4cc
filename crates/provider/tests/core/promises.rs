//! Promises hold at the full fuel limit: a machine that burns all of it, at the speed that promises
//! count on, keeps each.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rialto_protocol::{
    OrderId,
    types::{Order, struct_hash},
    wire::{ToProvider, ToRequester},
};
use rialto_provider::core::{Config, Effect, Event, What};

use crate::world::*;

/// Cores that give a free one to the next task of the orders that run, in whatever order, and say
/// when a task is done.
struct Machine {
    world: World,
    cores: usize,
    /// Fuel a core burns in a second.
    speed: u64,
    memory: u64,
    /// Running orders: tasks not begun, tasks done.
    orders: BTreeMap<OrderId, (u32, u32)>,
    /// Tasks on cores: their order and the fuel left.
    tasks: Vec<(OrderId, u64)>,
    promised: BTreeMap<OrderId, u64>,
    kept: usize,
}

impl Machine {
    fn new(config: Config, speed: u64) -> Self {
        let (cores, memory) = (config.asks.cores as usize, config.limits.memory_bytes);
        let mut world = World::with(config);
        world.compared = false;
        let (orders, promised) = Default::default();
        Self { world, cores, speed, memory, orders, tasks: Vec::new(), promised, kept: 0 }
    }

    fn order(&self, hash: OrderId) -> Order {
        self.world.core.order(hash).unwrap().order.value.clone()
    }

    fn perform(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Run(work) => drop(self.orders.insert(work.hash, (work.order.tasks, 0))),
                Effect::Stop { order } => {
                    self.orders.remove(order);
                    self.tasks.retain(|(hash, _)| hash != order);
                }
                Effect::Send { message: ToRequester::Ack(ack), .. } => {
                    assert!(ack.value.dueBy < self.world.now + LENGTH);
                    self.promised.entry(ack.value.order).or_insert(ack.value.dueBy);
                }
                _ => {}
            }
        }
    }

    /// Whatever waits takes a free core, if its memory fits.
    fn fill(&mut self) {
        while self.tasks.len() < self.cores {
            let used: u64 = self
                .tasks
                .iter()
                .map(|(hash, _)| u64::from(self.order(*hash).maxPages) << 16)
                .sum();
            let fits = |hash: &OrderId| {
                used.saturating_add(u64::from(self.order(*hash).maxPages) << 16) <= self.memory
            };
            let waiting =
                self.orders.iter().find(|(hash, (waiting, _))| *waiting > 0 && fits(hash));
            let Some(hash) = waiting.map(|(hash, _)| *hash) else { return };
            self.orders.get_mut(&hash).unwrap().0 -= 1;
            self.tasks.push((hash, self.order(hash).fuelLimit));
        }
    }

    /// A second goes by.
    fn second(&mut self) {
        let mut left = self.speed;
        while left > 0 {
            self.fill();
            // All cores go on until the next task ends, or the second.
            let Some(step) = self.tasks.iter().map(|(_, fuel)| *fuel.min(&left)).min() else {
                break;
            };
            left -= step;
            self.tasks.iter_mut().for_each(|(_, fuel)| *fuel -= step);
            let ended: Vec<_> =
                self.tasks.iter().filter(|(_, fuel)| *fuel == 0).map(|(hash, _)| *hash).collect();
            self.tasks.retain(|(_, fuel)| *fuel > 0);
            // An order's thread takes its next task before anybody hears that one is done.
            self.fill();
            for hash in ended {
                self.ended(hash);
            }
        }
        self.world.now += 1;
        let effects = self.world.feed(Event::Tick);
        self.perform(&effects);
        let now = self.world.now;
        assert!(self.promised.values().all(|due| now <= *due), "a promise was broken");
    }

    fn ended(&mut self, hash: OrderId) {
        let Some((waiting, done)) = self.orders.get_mut(&hash) else { return };
        *done += 1;
        let (all, done) =
            (*waiting == 0 && !self.tasks.iter().any(|(other, _)| *other == hash), *done);
        let effects = if all {
            self.orders.remove(&hash);
            self.promised.remove(&hash);
            self.kept += 1;
            self.world.run(hash)
        } else {
            self.world.feed(Event::Progress { order: hash, done })
        };
        self.perform(&effects);
    }

    fn crash(&mut self) {
        self.orders.clear();
        self.tasks.clear();
        self.world.take();
        self.world.crash();
        let effects = self.world.take();
        self.perform(&effects);
    }
}

#[derive(Clone, Debug)]
struct Offered {
    deal: usize,
    tasks: u32,
    /// Tenths of a core second at the measured speed.
    tenths: u64,
    pages: u32,
    due: u64,
    /// Seconds until the next.
    pause: u64,
}

fn offered() -> impl Strategy<Value = Offered> {
    let tasks = prop_oneof![3 => 1..4u32, 1 => 1..40u32];
    let tenths = prop_oneof![3 => 1..30u64, 1 => 1..600u64];
    let pages = prop_oneof![4 => Just(16u32), 1 => 1..64u32];
    let pause = prop_oneof![3 => Just(0u64), 1 => 0..60u64];
    (0..3usize, tasks, tenths, pages, 5..900u64, pause).prop_map(
        |(deal, tasks, tenths, pages, due, pause)| Offered {
            deal,
            tasks,
            tenths,
            pages,
            due,
            pause,
        },
    )
}

fn config_with(cores: u32, memory_pages: Option<u32>) -> Config {
    let mut config = config();
    config.asks.cores = cores;
    config.asks.fuel_per_second = TFUEL;
    config.limits.expected_fuel_bps = 100;
    config.limits.queue_orders = 64;
    config.limits.deal_orders = 32;
    config.money.credit_window = u128::MAX;
    if let Some(pages) = memory_pages {
        config.limits.memory_bytes = u64::from(pages) << 16;
    }
    config
}

/// Orders come as they like; those that are promised are done in time.
fn promises_are_kept(config: Config, speed: u64, offers: &[Offered], crash: Option<u64>) -> usize {
    let mut machine = Machine::new(config, speed);
    let mut deals = Vec::new();
    for salt in 0..3 {
        let deal = rialto_protocol::types::Deal {
            budget: 1_000_000_000,
            price: 1,
            ..machine.world.deal_terms(salt)
        };
        machine.world.says(struct_hash(&deal), What::Opened(Box::new(deal.clone())));
        let session = machine.world.connect(0x55 + salt as u8);
        machine.world.hello(session, &deal);
        deals.push((deal, session));
    }
    let begin = machine.world.now;
    let mut crash = crash;
    let second = |machine: &mut Machine, crash: &mut Option<u64>| {
        machine.second();
        if crash.is_some_and(|after| machine.world.now >= begin + after) {
            *crash = None;
            machine.crash();
        }
    };
    for offer in offers {
        let (deal, _) = &deals[offer.deal];
        let id = struct_hash(deal);
        let seq = machine.world.core.deal(id).unwrap().next_seq;
        let order = Order {
            fuelLimit: TFUEL / 10 * offer.tenths,
            maxPages: offer.pages,
            dueBy: machine.world.now + offer.due,
            ..machine.world.order(deal, seq, offer.tasks)
        };
        // Sessions are lost in a crash.
        let session = machine.world.connect(0x55 + offer.deal as u8);
        machine.world.hello(session, deal);
        let hash = struct_hash(&order);
        let offered: ToProvider = machine.world.offer(order);
        machine.world.say(session, offered);
        if machine.world.core.order(hash).is_some() {
            let effects = machine.world.fetched(hash);
            machine.perform(&effects);
        }
        for _ in 0..offer.pause {
            second(&mut machine, &mut crash);
        }
    }
    while !machine.promised.is_empty() {
        second(&mut machine, &mut crash);
    }
    machine.kept
}

const CASES: u32 = 12;

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 100, failure_persistence: None, ..Default::default() })]

    /// At half of the measured speed, which is what promises count on.
    #[test]
    fn at_the_speed_that_is_counted_on(cores in 1..5u32, offers in proptest::collection::vec(offered(), 1..40)) {
        promises_are_kept(config_with(cores, None), TFUEL / 2, &offers, None);
    }

    /// At the measured speed there is time to begin once more.
    #[test]
    fn at_full_speed_with_a_restart(
        cores in 1..5u32,
        offers in proptest::collection::vec(offered(), 1..40),
        crash in 1..600u64,
    ) {
        promises_are_kept(config_with(cores, None), TFUEL, &offers, Some(crash));
    }

    /// Where tasks have to wait for memory, too.
    #[test]
    fn with_little_memory(
        cores in 1..5u32,
        offers in proptest::collection::vec(offered(), 1..40),
        memory in 64..256u32,
    ) {
        promises_are_kept(config_with(cores, Some(memory)), TFUEL / 2, &offers, None);
    }
}

#[test]
fn promises_are_made_at_all() {
    let offer = |due| Offered { deal: 0, tasks: 4, tenths: 50, pages: 16, due, pause: 0 };
    let kept = promises_are_kept(
        config_with(2, None),
        TFUEL / 2,
        &[offer(300), offer(100), offer(20)],
        None,
    );
    assert_eq!(kept, 3);
}

#[test]
fn what_cannot_be_done_at_the_limit_before_the_deal_ends_is_not_promised() {
    let mut config = config_with(1, None);
    config.limits.expected_fuel_bps = 1;
    let mut world = World::with(config);
    let (deal, session) = world.deal(1);
    // Each takes 1,280 s at the limit and half of the speed, in a deal of 4,000 s; expected is next
    // to nothing.
    let cheap = rialto_protocol::types::Deal { price: 1, salt: 9, ..deal };
    world.says(struct_hash(&cheap), What::Opened(Box::new(cheap.clone())));
    world.hello(session, &cheap);
    for seq in 0..4 {
        let order = Order { tasks: 64, fuelLimit: TFUEL * 10, ..world.order(&cheap, seq, 1) };
        let hash = struct_hash(&order);
        let offer = world.offer(order);
        let refused = codes(&world.say(session, offer));
        if seq == 3 {
            return assert_eq!(refused, ["P-ADM-010"]);
        }
        assert!(refused.is_empty());
        world.fetched(hash);
        let ack = world.core.order(hash).unwrap().state.ack().unwrap();
        assert!(ack.dueBy >= world.now + (seq + 1) * 1_280, "{} s", ack.dueBy - world.now);
    }
}

/// The tests above would see it.
#[test]
#[should_panic(expected = "a promise was broken")]
fn a_machine_that_is_slower_than_that_breaks_promises() {
    let offer = Offered { deal: 0, tasks: 30, tenths: 100, pages: 16, due: 5, pause: 0 };
    let offers = vec![Offered { due: 400, ..offer }; 3];
    promises_are_kept(config_with(1, None), TFUEL / 5, &offers, None);
}
