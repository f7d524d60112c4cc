//! Options of a run. All of them are drawn from the seed.

use rialto_protocol::model::Params;
use rialto_requester::core::Policy;

use crate::{compute::Lie, random::Random, schedule::Millis};

/// Behaviour of a seller. It is the same for the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// Does everything that it signs.
    Honest,
    /// Signs wrong results.
    Lies(Lie),
    /// Accepts every session, then answers no message.
    Silent,
    /// Honest, but crashes very often while there are faults.
    Frail,
    /// Honest, but much slower than it says.
    Slow,
    /// Honest, but accepts only orders of one task.
    Small,
    /// Signs acks, runs tasks and claims its fee on chain, but sends no results.
    Withholds,
    /// Signs acks, but never delivers.
    Promises,
    /// Honest, but never redeems a voucher.
    Sleeps,
    /// Honest, but stops taking orders in the middle of the run.
    Drains,
    /// Delivers correct results, but its receipts state twice the fuel.
    Overbills,
}

impl Temper {
    /// Returns whether its results are correct and it keeps its promises. Such a seller must never
    /// lose money.
    pub fn honest(self) -> bool {
        !matches!(
            self,
            Self::Lies(_)
                | Self::Silent
                | Self::Slow
                | Self::Sleeps
                | Self::Withholds
                | Self::Promises
                | Self::Overbills
        )
    }

    /// Returns whether it signs wrong results.
    pub fn lies(self) -> bool {
        matches!(self, Self::Lies(_))
    }
}

/// Behaviour of a buyer. It is the same for the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Pays for every order on time.
    Honest,
    /// Sends no voucher.
    NeverPays,
    /// Sends every voucher late, by this delay.
    PaysLate(Millis),
    /// Leaves for good at this time.
    Vanishes(Millis),
    /// Sends no voucher, sends a late notice for every order, and demands revelations of results.
    Harasses,
}

/// Options of one seller.
#[derive(Clone, Debug)]
pub struct SellerOptions {
    /// Behaviour of the seller.
    pub temper: Temper,
    /// Price in base units per Tfuel.
    pub price: u128,
    /// Fee in base units per task.
    pub task_fee: u128,
    /// Number of cores.
    pub cores: u32,
    /// Most unpaid work in a deal, in base units.
    pub credit_window: u128,
    /// Smallest sum in base units for which a transaction is sent.
    pub tx_worth: u128,
    /// Seconds after which the seller claims the fee of an unpaid order on chain.
    pub claim_after_seconds: u64,
    /// Unredeemed sum in base units at which the seller redeems its voucher.
    pub redeem_at: u128,
    /// Whether outputs are sent as blobs.
    pub blobs: bool,
    /// Seconds by which the seller's clock is ahead.
    pub skew: u64,
}

/// Options of one job.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// Time at which it is submitted.
    pub at: Millis,
    /// Number of tasks.
    pub tasks: u32,
    /// Verification policy.
    pub policy: Policy,
    /// Seconds from its submission to its deadline.
    pub within: u64,
    /// Budget in base units.
    pub budget: u128,
    /// Whether the buyer's own machine may run tasks of the job.
    pub run_locally: bool,
    /// Time at which the user cancels the job, if it does.
    pub cancelled: Option<Millis>,
}

/// Options of one buyer.
#[derive(Clone, Debug)]
pub struct BuyerOptions {
    /// Behaviour of the buyer.
    pub manner: Manner,
    /// Jobs that the buyer's user submits.
    pub jobs: Vec<JobOptions>,
    /// Whether the buyer's machine can run tasks.
    pub can_run: bool,
    /// Seconds by which the buyer's clock is ahead.
    pub skew: u64,
    /// Seconds for which the buyer keeps an idle deal open for later jobs.
    pub idle: u64,
}

/// Faults of the first phase of a run.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Time at which faults end.
    pub until: Millis,
    /// Chance of a crash before each effect, in millionths.
    pub crash: u64,
    /// Longest time for which a crashed node stays down.
    pub down: Millis,
    /// Chance of a session break at each message, in millionths.
    pub cut: u64,
    /// Time between partitions of a buyer and a seller, or 0 for no partitions.
    pub partition: Millis,
    /// Chance of a reorg at each block, in percent.
    pub reorgs: u64,
    /// Share of task runs that fail on their host, in percent.
    pub attempts: u64,
    /// Share of gossip messages that get lost, in percent.
    pub gossip: u64,
}

/// Options of one run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Parameters of the market.
    pub params: Params,
    /// Whether deals name a court.
    pub court: bool,
    /// Time between two blocks.
    pub block: Millis,
    /// Number of confirmations after which a block is final.
    pub confirmations: u64,
    /// Longest latency of a message.
    pub latency: Millis,
    /// Options of each seller.
    pub sellers: Vec<SellerOptions>,
    /// Options of each buyer.
    pub buyers: Vec<BuyerOptions>,
    /// Faults of the first phase.
    pub faults: Faults,
}

impl Options {
    /// Draws the options of a run.
    pub fn draw(random: &mut Random) -> Self {
        let until = random.within(0..=600) * 1000;
        let sellers = random.within(2..=5);
        let buyers = random.within(1..=2);
        Self {
            params: Params {
                // The window must leave a buyer time to verify a claim after the claim is final.
                challenge_window: random.within(400..=800),
                answer_window: random.within(240..=400),
                grace: random.within(400..=800),
                case_bond: 25,
            },
            court: random.percent(60),
            block: random.pick(&[1000, 2000, 5000, 12_000]),
            confirmations: random.within(1..=3),
            latency: random.pick(&[5, 100, 1500]),
            sellers: (0..sellers).map(|_| SellerOptions::draw(random)).collect(),
            buyers: (0..buyers).map(|_| BuyerOptions::draw(random)).collect(),
            faults: Faults {
                until,
                crash: random.pick(&[0, 500, 5_000, 30_000]),
                down: random.pick(&[2_000, 40_000]),
                cut: random.pick(&[0, 2_000, 20_000]),
                partition: random.pick(&[0, 30_000, 120_000]),
                reorgs: random.pick(&[0, 5, 20]),
                attempts: random.pick(&[0, 0, 10]),
                gossip: random.pick(&[0, 30]),
            },
        }
    }
}

impl SellerOptions {
    fn draw(random: &mut Random) -> Self {
        let temper = match random.within(0..=24) {
            0 | 1 => Temper::Lies(Lie::Output(random.within(1..=4))),
            2 => Temper::Lies(Lie::Fuel(random.within(1..=4))),
            3 => Temper::Silent,
            4 | 5 => Temper::Frail,
            6 => Temper::Slow,
            7 => Temper::Small,
            8 => Temper::Sleeps,
            9 => Temper::Drains,
            20 | 21 => Temper::Withholds,
            22 => Temper::Promises,
            23 | 24 => Temper::Overbills,
            _ => Temper::Honest,
        };
        Self {
            temper,
            price: u128::from(random.within(500_000..=2_000_000)),
            task_fee: random.pick(&[0, 0, 7]),
            cores: random.within(1..=4) as u32,
            credit_window: random.pick(&[20_000, 100_000, 100_000_000]),
            tx_worth: random.pick(&[0, 0, 1_000]),
            claim_after_seconds: random.within(20..=900),
            redeem_at: random.pick(&[5_000, u128::MAX, u128::MAX]),
            blobs: random.percent(30),
            skew: random.within(0..=1),
        }
    }
}

impl BuyerOptions {
    fn draw(random: &mut Random) -> Self {
        let manner = match random.within(0..=15) {
            0 => Manner::NeverPays,
            1 => Manner::PaysLate(random.within(1..=200) * 1000),
            2 => Manner::Vanishes(random.within(10..=600) * 1000),
            3 | 4 => Manner::Harasses,
            _ => Manner::Honest,
        };
        let jobs = random.within(1..=3);
        Self {
            manner,
            jobs: (0..jobs).map(|_| JobOptions::draw(random)).collect(),
            can_run: random.percent(80),
            skew: random.within(0..=1),
            idle: random.pick(&[0, 120, 1_200]),
        }
    }
}

impl JobOptions {
    fn draw(random: &mut Random) -> Self {
        let at = random.within(20..=300) * 1000;
        Self {
            at,
            tasks: random.within(1..=24) as u32,
            policy: match random.within(0..=9) {
                0 => Policy::Trust,
                1 => Policy::Replicate { n: 3 },
                2 => Policy::Audit { rate_ppm: random.pick(&[1, 200_000, 1_000_000]) },
                3 => Policy::Adaptive { floor_ppm: 20_000 },
                _ => Policy::Replicate { n: 2 },
            },
            within: random.within(900..=2400),
            budget: random.pick(&[60_000, 1_000_000, 10_000_000]),
            run_locally: random.percent(70),
            cancelled: random.percent(10).then(|| at + random.within(1..=200) * 1000),
        }
    }
}
