//! Random numbers. Each run has one stream, and every choice of the run is drawn from it.

use std::ops::RangeInclusive;

/// SplitMix64. It gives the same numbers on every platform and with every version of this code.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns the stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Draws a number of the range.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.bits() % (range.end() - range.start() + 1)
    }

    /// Draws an index below `len`, which must not be zero.
    pub fn index(&mut self, len: usize) -> usize {
        (self.bits() % len as u64) as usize
    }

    /// Returns `true` with a chance of `times` in a million.
    pub fn one_in_a_million(&mut self, times: u64) -> bool {
        self.bits() % 1_000_000 < times
    }

    /// Returns `true` with a chance of `times` in a hundred.
    pub fn percent(&mut self, times: u64) -> bool {
        self.bits() % 100 < times
    }

    /// Draws one of the elements.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.index(all.len())]
    }
}
