//! Policies: how results are checked, what that finds, and what it costs. Pure, in integers: rates
//! and probabilities are parts per million, and every probability of finding a cheat is rounded
//! down.

use std::{fmt, str::FromStr};

use rialto_protocol::{B256, ReceiptId, keccak256};
use serde::{Deserialize, Serialize};

use super::job::{MAX_REPLICAS, Policy};

/// One, in parts per million.
pub const PPM: u32 = 1_000_000;
/// Tasks of a new provider that are all checked, on average, before its rate falls: `adaptive`
/// checks the part `START / (START + checked)` of the results of a provider of which `checked` were
/// right since its last fault.
const START_TASKS: u64 = 10;
/// A provider that was caught so often starts as far away as one ever does.
const MAX_COUNTED_FAULTS: u32 = 3;
/// Probabilities while they are multiplied: one is this.
const ONE: u128 = 1_000_000_000_000_000_000;

/// What a requester remembers of a provider, across jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Tasks checked and found right since the last fault.
    pub checked: u64,
    /// Times that it was caught.
    pub faults: u32,
}

impl History {
    /// Part of this provider's results that is checked under `adaptive`: all at first, then ever
    /// fewer, never below the floor; every fault begins anew, ten times as far away.
    pub fn rate(&self, floor_ppm: u32) -> u32 {
        let start = START_TASKS * 10u64.pow(self.faults.min(MAX_COUNTED_FAULTS));
        let rate =
            u128::from(PPM) * u128::from(start) / (u128::from(start) + u128::from(self.checked));
        (rate as u32).clamp(floor_ppm.min(PPM), PPM)
    }
}

impl Policy {
    /// Part of a provider's results that is checked by running tasks again; 0 for policies that do
    /// not sample.
    pub fn rate(&self, history: &History) -> u32 {
        match self {
            Self::Trust | Self::Replicate { .. } => 0,
            Self::Audit { rate_ppm } => *rate_ppm,
            Self::Adaptive { floor_ppm } => history.rate(*floor_ppm),
        }
    }

    /// Whether results are accepted on one provider's word and a sample: then a fault makes all its
    /// results doubtful.
    pub fn samples(&self) -> bool {
        matches!(self, Self::Audit { .. } | Self::Adaptive { .. })
    }
}

/// Probability that a provider which falsifies `cheated` of `tasks` tasks is caught, at least.
/// Which tasks are checked is known to nobody before the results are signed, so the provider can
/// choose no better than blindly.
///
/// `replicate` finds every mismatch: certain, as long as not all providers of a task lie alike.
/// `audit` and `adaptive` assume that this machine checks single tasks; where other providers have
/// to, whole batches are repeated, and of a cheat within one batch [`batch_detection`] is what is
/// left. `adaptive` is rated by its floor: for a provider of long standing; a new one is checked
/// far more.
pub fn detection_probability(policy: Policy, tasks: u64, cheated: u64) -> u32 {
    let cheated = cheated.min(tasks);
    match policy {
        _ if cheated == 0 => 0,
        Policy::Trust | Policy::Replicate { n: 0 | 1 } => 0,
        Policy::Replicate { .. } => PPM,
        Policy::Audit { rate_ppm: rate } | Policy::Adaptive { floor_ppm: rate } => {
            at_least_once(rate, cheated)
        }
    }
}

/// Probability that a cheat on any number of tasks of one batch is found where whole batches are
/// repeated.
pub fn batch_detection(rate_ppm: u32) -> u32 {
    rate_ppm.min(PPM)
}

/// 1 − (1 − rate)^times, rounded down.
fn at_least_once(rate_ppm: u32, times: u64) -> u32 {
    let mut base = ONE / u128::from(PPM) * u128::from(PPM - rate_ppm.min(PPM));
    let (mut left, mut miss) = (times, ONE);
    // Rounding up at each step keeps the probability of a miss from being understated.
    let multiply = |a: u128, b: u128| (a * b).div_ceil(ONE);
    while left > 0 {
        if left & 1 == 1 {
            miss = multiply(miss, base);
        }
        base = multiply(base, base);
        left >>= 1;
    }
    PPM - miss.div_ceil(ONE / u128::from(PPM)) as u32
}

/// What checking costs, before anything is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Base units for all providers together.
    pub pay: u128,
    /// Fuel that this machine burns for it.
    pub own_fuel: u128,
}

/// What a job of `tasks` tasks costs under a policy: `one_run` is what running every task once
/// costs, `fuel` what one task is expected to use, and `local` says whether this machine checks by
/// itself. `adaptive` is priced for providers that are new here, each of `providers` getting an
/// equal share.
pub fn price_of(
    policy: Policy,
    tasks: u64,
    one_run: u128,
    fuel: u64,
    providers: u64,
    local: bool,
) -> Price {
    let part = |whole: u128, ppm: u128| whole.saturating_mul(ppm).div_ceil(PPM.into());
    let ppm = match policy {
        Policy::Trust => return Price { pay: one_run, own_fuel: 0 },
        Policy::Replicate { n } => {
            return Price { pay: one_run.saturating_mul(n.into()), own_fuel: 0 };
        }
        Policy::Audit { rate_ppm } => u128::from(rate_ppm),
        Policy::Adaptive { floor_ppm } => {
            adaptive_share(tasks.div_ceil(providers.max(1)), floor_ppm)
        }
    };
    if local {
        let all = u128::from(tasks).saturating_mul(fuel.into());
        Price { pay: one_run, own_fuel: part(all, ppm) }
    } else {
        Price { pay: one_run.saturating_add(part(one_run, ppm)), own_fuel: 0 }
    }
}

/// Part of the first `tasks` tasks of a new provider that is checked, in ppm: it takes `1 / rate`
/// tasks to check one more.
fn adaptive_share(tasks: u64, floor_ppm: u32) -> u128 {
    let (mut seen, mut history) = (0u128, History::default());
    let tasks = u128::from(tasks.max(1)) * u128::from(PPM);
    while seen < tasks {
        let rate = history.rate(floor_ppm);
        if rate <= floor_ppm {
            let rest = (tasks - seen) / u128::from(PPM) * u128::from(floor_ppm) / u128::from(PPM);
            history.checked =
                history.checked.saturating_add(u64::try_from(rest).unwrap_or(u64::MAX));
            break;
        }
        seen += u128::from(PPM) * u128::from(PPM) / u128::from(rate);
        history.checked += 1;
    }
    (u128::from(history.checked) * u128::from(PPM) * u128::from(PPM))
        .div_ceil(tasks)
        .min(PPM.into())
}

/// A stream of numbers that follows from a secret and a receipt: nobody knows it who does not know
/// both.
struct Stream(u64);

impl Stream {
    fn new(secret: B256, receipt: ReceiptId) -> Self {
        let hash = keccak256([secret.as_slice(), receipt.as_slice()].concat());
        Self(u64::from_be_bytes([
            hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7],
        ]))
    }

    /// SplitMix64; then an unbiased enough number below a million (2^64 is 1.8·10^13 times as
    /// large).
    fn below_ppm(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % u64::from(PPM)) as u32
    }
}

/// Tasks of an order that are checked, each with probability `rate_ppm`, independently. It depends
/// on the signed receipt: whoever signs it can't know, and can't change it without being checked
/// anew.
pub fn sample(secret: B256, receipt: ReceiptId, tasks: u32, rate_ppm: u32) -> Vec<u32> {
    if rate_ppm >= PPM {
        return (0..tasks).collect();
    }
    let mut stream = Stream::new(secret, receipt);
    (0..tasks).filter(|_| stream.below_ppm() < rate_ppm).collect()
}

/// Whether a whole order is repeated elsewhere, with probability `rate_ppm`.
pub fn repeats(secret: B256, receipt: ReceiptId, rate_ppm: u32) -> bool {
    Stream::new(secret, receipt).below_ppm() < rate_ppm
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimal = |ppm: u32| {
            let text = format!("{}.{:06}", ppm / PPM, ppm % PPM);
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        };
        match self {
            Self::Trust => write!(f, "trust"),
            Self::Replicate { n } => write!(f, "replicas={n}"),
            Self::Audit { rate_ppm } => write!(f, "audit={}", decimal(*rate_ppm)),
            Self::Adaptive { floor_ppm } => write!(f, "adaptive={}", decimal(*floor_ppm)),
        }
    }
}

/// What a policy looks like in text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "[R-JOB-007] {0}: expected trust, replicas=N (1 to {MAX_REPLICAS}), audit=RATE or adaptive=FLOOR (such as 0.05, above 0 and at most 1, to a millionth)"
)]
pub struct BadPolicy(String);

impl FromStr for Policy {
    type Err = BadPolicy;

    /// `trust`, `replicas=2`, `audit=0.05`, `adaptive=0.02`; `audit` and `adaptive` alone take
    /// their defaults.
    fn from_str(text: &str) -> Result<Self, BadPolicy> {
        let bad = || BadPolicy(text.to_string());
        Ok(match text.split_once('=') {
            None if text == "trust" => Self::Trust,
            None if text == "audit" => Self::Audit { rate_ppm: DEFAULT_AUDIT_PPM },
            None if text == "adaptive" => Self::Adaptive { floor_ppm: DEFAULT_FLOOR_PPM },
            Some(("replicas", n)) => {
                let n = n.parse().ok().filter(|n| (1..=MAX_REPLICAS).contains(n));
                Self::Replicate { n: n.ok_or_else(bad)? }
            }
            Some(("audit", rate)) => Self::Audit { rate_ppm: parts(rate).ok_or_else(bad)? },
            Some(("adaptive", floor)) => {
                Self::Adaptive { floor_ppm: parts(floor).ok_or_else(bad)? }
            }
            _ => return Err(bad()),
        })
    }
}

/// Rate of `audit` where none is said: docs/verification.md justifies it.
pub const DEFAULT_AUDIT_PPM: u32 = 50_000;
/// Floor of `adaptive` where none is said.
pub const DEFAULT_FLOOR_PPM: u32 = 20_000;

/// A decimal above 0 and at most 1, exact to a millionth, as parts per million.
pub fn parts(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty()
        || !digits(whole)
        || !digits(fraction)
        || fraction.len() > 6
    {
        return None;
    }
    let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u32 = format!("{fraction:0<6}").parse().ok()?;
    let ppm = whole.checked_mul(PPM)?.checked_add(fraction)?;
    (ppm > 0 && ppm <= PPM).then_some(ppm)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_policy_finds() {
        let audit = Policy::Audit { rate_ppm: 50_000 };
        assert_eq!(detection_probability(audit, 1000, 1), 50_000);
        assert_eq!(detection_probability(audit, 1000, 2), 97_500);
        // 1 − 0.95^59 = 0.9515…
        assert_eq!(detection_probability(audit, 1000, 59), 951_505);
        assert_eq!(
            detection_probability(audit, 10, 1_000),
            detection_probability(audit, 10, 10),
            "no more than there are"
        );
        assert_eq!(detection_probability(audit, 1000, 0), 0);
        assert_eq!(detection_probability(Policy::Trust, 10, 10), 0);
        assert_eq!(detection_probability(Policy::Replicate { n: 1 }, 10, 10), 0);
        assert_eq!(detection_probability(Policy::Replicate { n: 2 }, 10, 1), PPM);
        assert_eq!(detection_probability(Policy::Audit { rate_ppm: PPM }, 10, 1), PPM);
        assert!(detection_probability(audit, u64::MAX, u64::MAX) >= PPM - 1);
    }

    #[test]
    fn trust_is_earned_slowly_and_lost_at_once() {
        let of = |checked, faults| History { checked, faults }.rate(20_000);
        assert_eq!(
            [of(0, 0), of(10, 0), of(90, 0), of(490, 0), of(u64::MAX, 0)],
            [PPM, 500_000, 100_000, 20_000, 20_000]
        );
        assert_eq!([of(0, 1), of(100, 1), of(490, 1)], [PPM, 500_000, 169_491]);
        assert!(of(490, 9) >= 950_000);
    }

    #[test]
    fn what_a_policy_costs() {
        let price = |policy, local| price_of(policy, 1000, 1_000_000, 7, 2, local);
        assert_eq!(price(Policy::Trust, true), Price { pay: 1_000_000, own_fuel: 0 });
        assert_eq!(price(Policy::Replicate { n: 3 }, true), Price { pay: 3_000_000, own_fuel: 0 });
        let audit = Policy::Audit { rate_ppm: 50_000 };
        assert_eq!(price(audit, true), Price { pay: 1_000_000, own_fuel: 350 });
        assert_eq!(price(audit, false), Price { pay: 1_050_000, own_fuel: 0 });
        // Two new providers with 500 tasks each: about √(2·10·500) + … checks of each.
        let new = price(Policy::Adaptive { floor_ppm: 20_000 }, false).pay;
        assert!((1_150_000..1_250_000).contains(&new), "{new}");
        let long =
            price_of(Policy::Adaptive { floor_ppm: 20_000 }, 10_000_000, 1_000_000, 7, 1, false)
                .pay;
        assert!((1_020_000..1_021_000).contains(&long), "in the long run the floor: {long}");
    }

    #[test]
    fn text_and_back() {
        for text in
            ["trust", "replicas=2", "audit=0.05", "adaptive=0.02", "audit=1", "adaptive=0.000001"]
        {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        assert_eq!("audit".parse::<Policy>().unwrap(), Policy::Audit { rate_ppm: 50_000 });
        assert_eq!("audit=.5".parse::<Policy>().unwrap(), Policy::Audit { rate_ppm: 500_000 });
        for text in [
            "",
            "none",
            "replicas=0",
            "replicas=17",
            "audit=0",
            "audit=1.1",
            "audit=-1",
            "audit=0.0000001",
            "audit=.",
        ] {
            assert!(
                text.parse::<Policy>().unwrap_err().to_string().contains("R-JOB-007"),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_sample_is_as_large_as_its_rate_and_depends_on_secret_and_receipt(seed: [u8; 32], rate in 1_000u32..PPM) {
            let (secret, receipt) = (B256::from(seed), ReceiptId::repeat_byte(1));
            let drawn = sample(secret, receipt, 20_000, rate);
            let expected = 20_000.0 * f64::from(rate) / f64::from(PPM);
            prop_assert!((drawn.len() as f64 - expected).abs() < 6.0 * expected.sqrt() + 6.0, "{} of {expected}", drawn.len());
            prop_assert_eq!(&drawn, &sample(secret, receipt, 20_000, rate));
            prop_assert_ne!(&drawn, &sample(secret, ReceiptId::repeat_byte(2), 20_000, rate));
            prop_assert_ne!(&drawn, &sample(B256::repeat_byte(9), receipt, 20_000, rate));
        }
    }
}
