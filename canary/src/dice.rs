//! Randomness that can be asked for in any order: what is thrown for operation
//! `n` of a stream does not depend on what was thrown before, so that one canary
//! can tell what another one does.
//!
//! This is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
//! number generators", OOPSLA 2014): output `i` is a mix of `key + i * GAMMA`.

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Numbers per operation: outputs of one do not overlap those of the next.
const PER_OPERATION: u64 = 16;

/// A stream of throws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dice {
    key: u64,
}

impl Dice {
    /// Stream `stream` of `seed`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Dice {
            key: mix(seed.wrapping_add(GAMMA)) ^ mix(stream.wrapping_mul(GAMMA)),
        }
    }

    /// Throw `what` (0 to 15) for operation `n`: 64 random bits.
    pub(crate) fn throw(self, n: u64, what: u64) -> u64 {
        debug_assert!(what < PER_OPERATION);
        let i = n.wrapping_mul(PER_OPERATION).wrapping_add(what + 1);
        mix(self.key.wrapping_add(i.wrapping_mul(GAMMA)))
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Uniform in 0 to 1 (exclusive), from the upper 53 bits.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform in 0 to `n` (exclusive). The bias of multiply-and-shift is below `n / 2^64`.
pub(crate) fn below(bits: u64, n: u32) -> u32 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_are_those_of_the_published_generator() {
        // The first outputs of the reference implementation with seed 0.
        let zero = Dice { key: 0 };
        assert_eq!(zero.throw(0, 0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(zero.throw(0, 1), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(zero.throw(0, 2), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn streams_seeds_and_operations_differ() {
        let mut all: Vec<u64> = (0..4)
            .flat_map(|seed| (0..4).map(move |stream| Dice::new(seed, stream)))
            .flat_map(|dice| (0..4).flat_map(move |n| (0..16).map(move |what| dice.throw(n, what))))
            .collect();
        let n = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), n);
    }

    #[test]
    fn bounds_are_never_reached() {
        assert!(unit(u64::MAX) < 1.0);
        assert_eq!((below(0, 60), below(u64::MAX, 60)), (0, 59));
    }
}
