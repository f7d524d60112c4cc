//! What a run is like. All of it is drawn from the seed.

use rialto_protocol::model::Params;
use rialto_requester::core::Policy;

use crate::{compute::Lie, random::Random, schedule::Millis};

/// A seller's character. It keeps it for the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// Does what it signs.
    Honest,
    /// Signs wrong results.
    Lies(Lie),
    /// Welcomes everybody and answers nothing.
    Silent,
    /// Honest, and crashes all the time while there are faults.
    Frail,
    /// Honest, and much slower than it says.
    Slow,
    /// Honest, and takes orders of one task only.
    Small,
    /// Acks, works, claims its fee on chain, and lets nobody have the results.
    Withholds,
    /// Acks, and never delivers.
    Promises,
    /// Honest, and never redeems a voucher.
    Sleeps,
    /// Honest, and stops taking work in the middle.
    Drains,
    /// Its results are right, its receipts say twice the fuel.
    Overbills,
}

impl Temper {
    /// Whether its results are right and its promises kept: it must never lose money.
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

    /// Whether it signs wrong results.
    pub fn lies(self) -> bool {
        matches!(self, Self::Lies(_))
    }
}

/// A buyer's character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Pays.
    Honest,
    /// Its vouchers get lost, all of them.
    NeverPays,
    /// Its vouchers come so much later.
    PaysLate(Millis),
    /// Is gone for good at this time.
    Vanishes(Millis),
    /// Never pays, calls every order late and demands revelations.
    Harasses,
}

/// One seller.
#[derive(Clone, Debug)]
pub struct SellerOptions {
    /// Character.
    pub temper: Temper,
    /// Base units per Tfuel.
    pub price: u128,
    /// Base units per task.
    pub task_fee: u128,
    /// Cores.
    pub cores: u32,
    /// Most unpaid work of a deal, base units.
    pub credit_window: u128,
    /// Smallest sum worth a transaction, base units.
    pub tx_worth: u128,
    /// An unpaid order is claimed after so many seconds.
    pub claim_after_seconds: u64,
    /// Redeems once so much is unredeemed.
    pub redeem_at: u128,
    /// Whether outputs travel as blobs.
    pub blobs: bool,
    /// Seconds by which its clock is ahead.
    pub skew: u64,
}

/// One job.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// When it is submitted.
    pub at: Millis,
    /// Tasks.
    pub tasks: u32,
    /// How it is verified.
    pub policy: Policy,
    /// Seconds until its deadline.
    pub within: u64,
    /// Budget, base units.
    pub budget: u128,
    /// Whether the buyer's machine may run tasks.
    pub run_locally: bool,
    /// When the user cancels it, if ever.
    pub cancelled: Option<Millis>,
}

/// One buyer.
#[derive(Clone, Debug)]
pub struct BuyerOptions {
    /// Character.
    pub manner: Manner,
    /// Jobs.
    pub jobs: Vec<JobOptions>,
    /// Whether its machine can run tasks.
    pub can_run: bool,
    /// Seconds by which its clock is ahead.
    pub skew: u64,
    /// For so many seconds it keeps deals for later jobs.
    pub idle: u64,
}

/// What goes wrong, and until when.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Faults end.
    pub until: Millis,
    /// Crashes before an effect, in a million.
    pub crash: u64,
    /// Longest time a crashed node stays down.
    pub down: Millis,
    /// Sessions cut per message, in a million.
    pub cut: u64,
    /// Pauses between partitions of a buyer and a seller; 0: none.
    pub partition: Millis,
    /// Blocks that a reorg takes back, in a hundred blocks.
    pub reorgs: u64,
    /// Runs that a host cannot do, in a hundred.
    pub attempts: u64,
    /// Gossip that gets lost, in a hundred.
    pub gossip: u64,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The market's windows.
    pub params: Params,
    /// Whether deals are judged by a court.
    pub court: bool,
    /// Time between blocks.
    pub block: Millis,
    /// Blocks after which something is final.
    pub confirmations: u64,
    /// Longest time a message takes.
    pub latency: Millis,
    /// Sellers.
    pub sellers: Vec<SellerOptions>,
    /// Buyers.
    pub buyers: Vec<BuyerOptions>,
    /// Faults.
    pub faults: Faults,
}

impl Options {
    /// The options of a seed.
    pub fn draw(random: &mut Random) -> Self {
        let until = random.within(0..=600) * 1000;
        let sellers = random.within(2..=5);
        let buyers = random.within(1..=2);
        Self {
            params: Params {
                // The buyer learns of a claim when it is final, and looks into it at once.
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
