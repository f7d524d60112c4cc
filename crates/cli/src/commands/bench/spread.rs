//! Many measurements of one thing, in three numbers.

use std::time::Duration;

use rialto_client::view;

/// Middle, last percent and worst of some durations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    /// Half of them took at most so long.
    pub p50: Duration,
    /// 99 of 100 took at most so long.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Spread {
    /// Of any number of durations; zeros of none.
    pub fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort();
        let at = |percent: usize| {
            let rank = (durations.len() * percent).div_ceil(100).max(1);
            durations.get(rank - 1).copied().unwrap_or_default()
        };
        Self { p50: at(50), p99: at(99), max: at(100) }
    }

    /// In microseconds.
    pub fn view(&self) -> view::BenchSpread {
        view::BenchSpread {
            p50_micros: micros(self.p50),
            p99_micros: micros(self.p99),
            max_micros: micros(self.max),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:6.2} ms  p99 {:6.2} ms  max {:6.2} ms",
            ms(self.p50),
            ms(self.p99),
            ms(self.max)
        )
    }
}

/// Microseconds, with a fraction.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_of_the_sorted() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis).collect());
        let ms = [spread.p50, spread.p99, spread.max].map(|duration| duration.as_millis());
        assert_eq!(ms, [100, 198, 200]);
        assert_eq!(Spread::of(vec![Duration::from_secs(3)]).p99, Duration::from_secs(3));
        assert_eq!(Spread::of(Vec::new()).max, Duration::ZERO);
    }
}
