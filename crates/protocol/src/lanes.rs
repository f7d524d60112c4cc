//! Many keccak hashes at once. A processor with wide registers computes four or eight permutations
//! in the time of one or two. The results are the same; only the time differs.
//! `docs/adr/0008-lanes.md` says why this exists.

use alloy_primitives::{B256, keccak256};

/// Bytes that one permutation absorbs.
const RATE_BYTES: usize = 136;
/// Fewer messages are hashed one by one, because wide registers would be nearly empty.
#[cfg(target_arch = "x86_64")]
const MIN_MESSAGES: usize = 3;

/// Returns keccak256 of every message. All have the same length, below `RATE_BYTES`, so that each
/// needs one permutation.
pub fn keccak_many<const N: usize>(messages: &[[u8; N]]) -> Vec<B256> {
    const { assert!(N < RATE_BYTES, "one permutation must do") };
    #[cfg(target_arch = "x86_64")]
    if messages.len() >= MIN_MESSAGES
        && let Some(hashes) = wide::keccak_many(messages)
    {
        return hashes;
    }
    messages.iter().map(keccak256).collect()
}

#[cfg(target_arch = "x86_64")]
mod wide {
    #![allow(unsafe_code)]

    use core::arch::x86_64::*;

    use super::{B256, RATE_BYTES};

    /// Words that one permutation absorbs.
    const RATE_WORDS: usize = RATE_BYTES / 8;

    /// Returns the hashes; `None` on processors without wide registers.
    pub(super) fn keccak_many<const N: usize>(messages: &[[u8; N]]) -> Option<Vec<B256>> {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx2") {
            // SAFETY: the condition has just checked that the processor has the features of
            // `eight`.
            Some(unsafe { eight::hash(messages) })
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: the same for `four`.
            Some(unsafe { four::hash(messages) })
        } else {
            None
        }
    }

    /// Constants of iota, FIPS 202, section 3.2.5.
    #[rustfmt::skip]
    const ROUNDS: [u64; 24] = [
        0x0000_0000_0000_0001, 0x0000_0000_0000_8082, 0x8000_0000_0000_808a, 0x8000_0000_8000_8000,
        0x0000_0000_0000_808b, 0x0000_0000_8000_0001, 0x8000_0000_8000_8081, 0x8000_0000_0000_8009,
        0x0000_0000_0000_008a, 0x0000_0000_0000_0088, 0x0000_0000_8000_8009, 0x0000_0000_8000_000a,
        0x0000_0000_8000_808b, 0x8000_0000_0000_008b, 0x8000_0000_0000_8089, 0x8000_0000_0000_8003,
        0x8000_0000_0000_8002, 0x8000_0000_0000_0080, 0x0000_0000_0000_800a, 0x8000_0000_8000_000a,
        0x8000_0000_8000_8081, 0x8000_0000_0000_8080, 0x0000_0000_8000_0001, 0x8000_0000_8000_8008,
    ];

    /// Implementation for one width: `$lanes` states in parallel, with word i of all of them in
    /// register i.
    macro_rules! width {
        ($name:ident, $lanes:literal, $feature:literal, $word:ty, $xor:expr, $rol:ident, $chi:expr, $join:expr, $split:expr) => {
            mod $name {
                use super::*;

                const LANES: usize = $lanes;

                #[target_feature(enable = $feature)]
                pub(super) fn hash<const N: usize>(messages: &[[u8; N]]) -> Vec<B256> {
                    let mut hashes = Vec::with_capacity(messages.len());
                    for group in messages.chunks(LANES) {
                        let mut words = [[0u64; LANES]; 25];
                        for (lane, message) in group.iter().enumerate() {
                            let mut block = [0u8; RATE_BYTES];
                            block[..N].copy_from_slice(message);
                            block[N] = 1;
                            block[RATE_BYTES - 1] |= 0x80;
                            let (parts, _) = block.as_chunks::<8>();
                            for (word, part) in words[..RATE_WORDS].iter_mut().zip(parts) {
                                word[lane] = u64::from_le_bytes(*part);
                            }
                        }
                        let mut state = words.map(|word| $join(word));
                        permute(&mut state);
                        let words = [0, 1, 2, 3].map(|word: usize| -> [u64; LANES] { $split(state[word]) });
                        for lane in 0..group.len() {
                            let mut hash = [0; 32];
                            for (part, word) in hash.chunks_exact_mut(8).zip(words) {
                                part.copy_from_slice(&word[lane].to_le_bytes());
                            }
                            hashes.push(B256::from(hash));
                        }
                    }
                    hashes
                }

                /// Keccak-f[1600], FIPS 202, section 3.2; the lane of row y and column x is at 5 y
                /// + x.
                #[target_feature(enable = $feature)]
                fn permute(a: &mut [$word; 25]) {
                    let (xor, chi) = ($xor, $chi);
                    for constant in ROUNDS {
                        let column = |x: usize| xor(xor(xor(a[x], a[x + 5]), xor(a[x + 10], a[x + 15])), a[x + 20]);
                        let c = [column(0), column(1), column(2), column(3), column(4)];
                        let d = [
                            xor(c[4], $rol!(1, c[1])),
                            xor(c[0], $rol!(1, c[2])),
                            xor(c[1], $rol!(1, c[3])),
                            xor(c[2], $rol!(1, c[4])),
                            xor(c[3], $rol!(1, c[0])),
                        ];
                        macro_rules! moved {
                            ($by:literal, $from:literal) => {
                                $rol!($by, xor(a[$from], d[$from % 5]))
                            };
                        }
                        #[rustfmt::skip]
                                    let b = [
                                        xor(a[0], d[0]), moved!(44, 6),  moved!(43, 12), moved!(21, 18), moved!(14, 24),
                                        moved!(28, 3),   moved!(20, 9),  moved!(3, 10),  moved!(45, 16), moved!(61, 22),
                                        moved!(1, 1),    moved!(6, 7),   moved!(25, 13), moved!(8, 19),  moved!(18, 20),
                                        moved!(27, 4),   moved!(36, 5),  moved!(10, 11), moved!(15, 17), moved!(56, 23),
                                        moved!(62, 2),   moved!(55, 8),  moved!(39, 14), moved!(41, 15), moved!(2, 21),
                                    ];
                        for y in [0, 5, 10, 15, 20] {
                            for x in 0..5 {
                                a[y + x] = chi(b[y + x], b[y + (x + 1) % 5], b[y + (x + 2) % 5]);
                            }
                        }
                        a[0] = xor(a[0], $join([constant; LANES]));
                    }
                }
            }
        };
    }

    macro_rules! rol512 {
        ($by:literal, $word:expr) => {
            _mm512_rol_epi64::<$by>($word)
        };
    }

    macro_rules! rol256 {
        ($by:literal, $word:expr) => {{
            let word = $word;
            _mm256_or_si256(_mm256_slli_epi64::<$by>(word), _mm256_srli_epi64::<{ 64 - $by }>(word))
        }};
    }

    width!(
        eight,
        8,
        "avx512f,avx2",
        __m512i,
        |a, b| _mm512_xor_si512(a, b),
        rol512,
        // The truth table of a ^ (!b & c).
        |a, b, c| _mm512_ternarylogic_epi64::<0xd2>(a, b, c),
        |w: [u64; 8]| {
            let [a, b, c, d, e, f, g, h] = w.map(u64::cast_signed);
            _mm512_set_epi64(h, g, f, e, d, c, b, a)
        },
        |word| {
            let halves = [_mm512_castsi512_si256(word), _mm512_extracti64x4_epi64::<1>(word)];
            let [[a, b, c, d], [e, f, g, h]] = halves.map(|half| split(half));
            [a, b, c, d, e, f, g, h]
        }
    );

    width!(
        four,
        4,
        "avx2",
        __m256i,
        |a, b| _mm256_xor_si256(a, b),
        rol256,
        |a, b, c| _mm256_xor_si256(a, _mm256_andnot_si256(b, c)),
        |w: [u64; 4]| {
            let [a, b, c, d] = w.map(u64::cast_signed);
            _mm256_set_epi64x(d, c, b, a)
        },
        |word| split(word)
    );

    #[target_feature(enable = "avx2")]
    fn split(word: __m256i) -> [u64; 4] {
        let words = [
            _mm256_extract_epi64::<0>(word),
            _mm256_extract_epi64::<1>(word),
            _mm256_extract_epi64::<2>(word),
            _mm256_extract_epi64::<3>(word),
        ];
        words.map(i64::cast_unsigned)
    }

    #[cfg(test)]
    mod tests {
        use alloy_primitives::keccak256;

        use super::*;

        #[test]
        fn every_width_that_this_processor_has_is_keccak() {
            let messages: Vec<[u8; 64]> = (0..21u8).map(|n| [n; 64]).collect();
            let expected: Vec<_> = messages.iter().map(keccak256).collect();
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has it.
                assert_eq!(unsafe { four::hash(&messages) }, expected);
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has it.
                assert_eq!(unsafe { eight::hash(&messages) }, expected);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const N: usize>() {
        for count in [0, 1, 2, 3, 4, 7, 8, 9, 16, 25] {
            let messages: Vec<[u8; N]> =
                (0..count).map(|n| std::array::from_fn(|i| (i * 7 + n * 31) as u8)).collect();
            let expected: Vec<_> = messages.iter().map(keccak256).collect();
            assert_eq!(keccak_many(&messages), expected, "{count} messages of {N} bytes");
        }
    }

    #[test]
    fn many_are_as_one() {
        check::<0>();
        check::<1>();
        check::<12>();
        check::<49>();
        check::<64>();
        check::<72>();
        check::<97>();
        check::<128>();
        check::<134>();
        check::<135>();
    }
}
