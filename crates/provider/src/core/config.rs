//! What a provider offers and how much it risks. Money in base units, time in seconds.

use alloy_primitives::{Address, B256};
use rialto_machine::{input::MAX_HALF_BYTES, limits::MAX_FUEL, limits::MAX_MEMORY_PAGES};
use rialto_protocol::{receipt::MAX_ORDER_TASKS, types};
use serde::{Deserialize, Serialize};

/// How the price of an ask moves within its validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Price {
    /// Always the same, base units per Tfuel.
    Constant(u128),
    /// A Dutch auction, restarted with every new ask.
    Declining {
        /// Base units per Tfuel when an ask begins.
        start: u128,
        /// Base units per Tfuel when it ends.
        end: u128,
    },
    /// A Dutch auction over idle time: see [`auction`](super::auction).
    Idle {
        /// Base units per Tfuel while busy, and when the auction begins.
        price: u128,
        /// Base units per Tfuel after `seconds` of idleness.
        floor: u128,
        /// Length of the fall.
        seconds: u64,
    },
}

impl Price {
    /// (highest or first, lowest or last) of the curve.
    pub fn ends(self) -> (u128, u128) {
        match self {
            Self::Constant(price) => (price, price),
            Self::Declining { start, end } => (start, end),
            Self::Idle { price, floor, .. } => (price, floor),
        }
    }
}

/// What is offered: the fields of every ask, and how long one lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskConfig {
    /// Price of fuel.
    pub price: Price,
    /// Base units per task, on top of fuel.
    pub task_fee: u128,
    /// Smallest budget of a deal.
    pub min_budget: u128,
    /// Largest budget of a deal; lowered to what the account can back with collateral.
    pub max_budget: u128,
    /// Collateral per deal, 1/10_000 of its budget.
    pub collateral_bps: u32,
    /// Late penalty, 1/10_000 of the collateral.
    pub late_penalty_bps: u32,
    /// Longest deal.
    pub max_deal_seconds: u32,
    /// Most deals open at once, over all asks.
    pub capacity: u32,
    /// Tasks that run at once.
    pub cores: u32,
    /// Fuel per second of one core, as measured.
    pub fuel_per_second: u64,
    /// The court deals are judged by; zero for none.
    pub court: Address,
    /// How long an ask is valid.
    pub valid_seconds: u64,
    /// How often the ask is said again, for nodes that came later.
    pub republish_seconds: u64,
}

/// The largest order that is accepted, and how many wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most tasks of an order.
    pub order_tasks: u32,
    /// Largest fuel limit of a task.
    pub task_fuel: u64,
    /// The same in a deal that a court judges, for what this machine can trace within the court's
    /// allowance; `u64::MAX`: no other.
    pub traced_fuel: u64,
    /// Largest output limit of a task, bytes.
    pub task_out_bytes: u64,
    /// Largest output limit of all tasks of an order together, bytes.
    pub order_out_bytes: u64,
    /// Most memory of a task, 64 KiB pages.
    pub task_pages: u32,
    /// Largest program, bytes.
    pub program_bytes: u64,
    /// Largest task inputs of an order, all together, bytes.
    pub input_bytes: u64,
    /// Largest shared input, bytes.
    pub shared_bytes: u64,
    /// Most unfinished orders, over all deals.
    pub queue_orders: usize,
    /// Most unfinished orders of one deal.
    pub deal_orders: usize,
    /// Most sessions at once.
    pub sessions: usize,
    /// Memory that tasks can have at the same time, all together, bytes; `u64::MAX`: enough for
    /// every core.
    pub memory_bytes: u64,
    /// Share of its fuel limit that a task of a program never run here is expected to use,
    /// 1/10_000. Only for judging whether the order's `dueBy` can be reached.
    pub expected_fuel_bps: u32,
    /// Share of the measured speed that a promise counts on, 1/10_000. The rest is for what takes
    /// time without asking: programs that are slower than the measured ones, a restart, games.
    pub promised_speed_bps: u32,
    /// Core time that each deal may take for fetching, checking and compiling before it has paid
    /// anything.
    pub free_preparing_seconds: u64,
    /// And so much of a core while it is open, 1/10_000. What its vouchers pay for comes on top.
    pub preparing_bps: u32,
    /// An order whose inputs have not arrived after so long is forgotten.
    pub fetch_seconds: u64,
}

/// How much is risked, and when money moves on chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Most unpaid work of one deal: delivered and unpaid, plus the most that accepted orders can
    /// cost.
    pub credit_window: u128,
    /// What a transaction costs, in base units, until the price of gas is known
    /// ([`Event::Worth`](super::Event::Worth)): a smaller sum is not worth redeeming or claiming.
    pub tx_worth: u128,
    /// Redeem in the middle of a deal once so much is unredeemed, whatever else is said here.
    /// `u128::MAX`: never for that.
    pub redeem_at: u128,
    /// Redeem once what is unredeemed is worth so many times what redeeming costs.
    pub redeem_times: u32,
    /// But so long after the deal's begin and after the last redemption, so that a short deal has
    /// one.
    pub redeem_pause_seconds: u64,
    /// Redeem so long after that whatever is worth more than redeeming costs.
    pub redeem_every_seconds: u64,
    /// Vouchers are redeemed so long before a deal expires (at most a quarter of its length).
    pub redeem_margin_seconds: u64,
    /// An order delivered and unpaid for so long is claimed on chain.
    pub claim_after_seconds: u64,
    /// After a reorg took an event of a deal back, wait so long before sending for it again.
    pub reorg_quiet_seconds: u64,
    /// What is known of a closed deal is kept so long.
    pub keep_closed_seconds: u64,
}

/// Everything a [`Core`](super::Core) needs to know from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The account that sells.
    pub provider: Address,
    /// Address of the key that signs acks, receipts, releases and moves. The service's is the
    /// account's own.
    pub key: Address,
    /// Public key of its endpoint.
    pub endpoint: B256,
    /// Chain of the market.
    pub chain_id: u64,
    /// The market.
    pub market: Address,
    /// From `expiry + grace` on, a deal can be expired (the market's window).
    pub grace_seconds: u64,
    /// From a claim, and from a reveal of its receipt, to the claim's deadline (the market's
    /// window).
    pub challenge_seconds: u64,
    /// What is offered.
    pub asks: AskConfig,
    /// What is accepted.
    pub limits: Limits,
    /// What is risked.
    pub money: Money,
}

impl Config {
    /// The limits of an ask that names this court: everything that admission judges an order's size
    /// by.
    pub fn ask_limits(&self, court: Address) -> types::Limits {
        let limits = &self.limits;
        let fuel = if court.is_zero() {
            limits.task_fuel
        } else {
            limits.task_fuel.min(limits.traced_fuel)
        };
        types::Limits {
            tasks: limits.order_tasks.min(MAX_ORDER_TASKS),
            orders: u32::try_from(limits.deal_orders).unwrap_or(u32::MAX),
            taskFuel: fuel.min(MAX_FUEL.unsigned_abs()),
            taskMemory: u64::from(limits.task_pages.min(MAX_MEMORY_PAGES)) << 16,
            taskOutput: limits.task_out_bytes,
            orderOutput: limits.order_out_bytes,
            program: limits.program_bytes,
            inputs: limits.input_bytes,
            shared: limits.shared_bytes.min(MAX_HALF_BYTES),
            credit: self.money.credit_window,
        }
    }
}

impl Default for AskConfig {
    fn default() -> Self {
        Self {
            price: Price::Constant(1_000_000),
            task_fee: 0,
            min_budget: 1,
            max_budget: 1_000_000_000,
            collateral_bps: 2_000,
            late_penalty_bps: 1_000,
            max_deal_seconds: 7 * 24 * 3600,
            capacity: 16,
            cores: 1,
            fuel_per_second: 500_000_000,
            court: Address::ZERO,
            valid_seconds: 900,
            republish_seconds: 15,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            order_tasks: 4096,
            task_fuel: 10_000_000_000_000,
            traced_fuel: u64::MAX,
            task_out_bytes: 128 << 20,
            order_out_bytes: 4 << 30,
            task_pages: 16_384,
            program_bytes: 64 << 20,
            input_bytes: 256 << 20,
            shared_bytes: 4 << 30,
            queue_orders: 256,
            deal_orders: 32,
            sessions: 1024,
            memory_bytes: u64::MAX,
            expected_fuel_bps: 1_000,
            promised_speed_bps: 5_000,
            free_preparing_seconds: 120,
            preparing_bps: 500,
            fetch_seconds: 300,
        }
    }
}

impl Default for Money {
    fn default() -> Self {
        Self {
            credit_window: 100_000_000,
            tx_worth: 1_000,
            redeem_at: u128::MAX,
            redeem_times: 100,
            redeem_pause_seconds: 3600,
            redeem_every_seconds: 24 * 3600,
            redeem_margin_seconds: 3600,
            claim_after_seconds: 900,
            reorg_quiet_seconds: 60,
            keep_closed_seconds: 3600,
        }
    }
}
