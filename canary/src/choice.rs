//! Which key is chosen how often.

use crate::dice::{below, unit};
use gameday_record::spec::KeyChoice;

/// Chooses among keys 0 to `n`.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    Uniform {
        n: u32,
    },
    /// For each key, the probability of it and of all before it. Inverting the
    /// distribution by binary search is exact but for rounding, whatever the
    /// skew; the price is 8 bytes a key.
    Zipfian {
        cumulative: Vec<f64>,
    },
    Hot {
        n: u32,
        hot: u32,
        share: f64,
    },
}

impl Choice {
    /// Among `n` keys, at least 1.
    pub(crate) fn new(choice: KeyChoice, n: u32) -> Self {
        match choice {
            KeyChoice::Uniform => Choice::Uniform { n },
            KeyChoice::Hot { keys, .. } if keys >= n => Choice::Uniform { n },
            KeyChoice::Hot { keys, share } => Choice::Hot {
                n,
                hot: keys,
                share,
            },
            KeyChoice::Zipfian { theta } => {
                let mut sum = 0.0;
                let mut cumulative: Vec<f64> = (1..=n)
                    .map(|rank| {
                        sum += f64::from(rank).powf(-theta);
                        sum
                    })
                    .collect();
                for c in &mut cumulative {
                    *c /= sum;
                }
                Choice::Zipfian { cumulative }
            }
        }
    }

    /// A key, by 128 random bits.
    pub(crate) fn choose(&self, bits: u64, more: u64) -> u32 {
        match self {
            Choice::Uniform { n } => below(bits, *n),
            Choice::Zipfian { cumulative } => {
                let x = unit(bits);
                // The last is 1, and `x` is less.
                let key = cumulative.partition_point(|c| *c <= x);
                key.min(cumulative.len() - 1) as u32
            }
            Choice::Hot { n, hot, share } => {
                if unit(bits) < *share {
                    below(more, *hot)
                } else {
                    hot + below(more, n - hot)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use proptest::prelude::*;

    fn counts(choice: KeyChoice, n: u32, throws: u64) -> Vec<u64> {
        let dice = Dice::new(11, 0);
        let choice = Choice::new(choice, n);
        let mut counts = vec![0; n as usize];
        for i in 0..throws {
            counts[choice.choose(dice.throw(i, 0), dice.throw(i, 1)) as usize] += 1;
        }
        counts
    }

    /// Pearson's statistic of what was counted against what was expected.
    fn chi_square(counts: &[u64], expected: impl Fn(usize) -> f64) -> f64 {
        let n = counts.iter().sum::<u64>() as f64;
        let of = |(i, c): (usize, &u64)| {
            let e = expected(i) * n;
            (*c as f64 - e).powi(2) / e
        };
        counts.iter().enumerate().map(of).sum()
    }

    #[test]
    fn hot_keys_get_their_share() {
        let c = counts(
            KeyChoice::Hot {
                keys: 2,
                share: 0.9,
            },
            12,
            100_000,
        );
        // 11 degrees of freedom: 31.3 is exceeded once in a thousand seeds.
        let x = chi_square(&c, |i| if i < 2 { 0.45 } else { 0.01 });
        assert!(x < 31.3, "{x} {c:?}");
        let all = counts(
            KeyChoice::Hot {
                keys: 4,
                share: 0.5,
            },
            4,
            1000,
        );
        assert!(
            all.iter().all(|c| *c > 150),
            "all keys hot is uniform: {all:?}"
        );
    }

    #[test]
    fn zipfian_counts_fit_the_exact_distribution() {
        for theta in [0.5, 0.99, 1.0, 2.0] {
            let n = 20;
            let sum: f64 = (1..=n).map(|r| f64::from(r).powf(-theta)).sum();
            let c = counts(KeyChoice::Zipfian { theta }, n, 100_000);
            // 19 degrees of freedom: 43.8 is exceeded once in a thousand seeds.
            let x = chi_square(&c, |i| ((i + 1) as f64).powf(-theta) / sum);
            assert!(x < 43.8, "theta {theta}: {x} {c:?}");
        }
    }

    #[test]
    fn chosen_keys_are_the_same_in_every_version() {
        let first = |choice| {
            let dice = Dice::new(1, 2);
            let choice = Choice::new(choice, 1000);
            let throw = |i| choice.choose(dice.throw(i, 0), dice.throw(i, 1));
            (0..8).map(throw).collect::<Vec<_>>()
        };
        assert_eq!(first(KeyChoice::Uniform), GOLDEN_UNIFORM);
        assert_eq!(first(KeyChoice::Zipfian { theta: 0.99 }), GOLDEN_ZIPFIAN);
        let hot = KeyChoice::Hot {
            keys: 3,
            share: 0.5,
        };
        assert_eq!(first(hot), GOLDEN_HOT);
    }
    const GOLDEN_UNIFORM: [u32; 8] = [644, 270, 75, 800, 485, 815, 387, 687];
    const GOLDEN_ZIPFIAN: [u32; 8] = [73, 4, 0, 233, 22, 262, 10, 102];
    const GOLDEN_HOT: [u32; 8] = [958, 2, 2, 419, 0, 978, 1, 511];

    proptest! {
        #[test]
        fn the_zipfian_boundaries_are_those_of_the_formula(
            n in 1u32..2000, theta in 0.01..2.0f64, rank in 0u32..2000,
        ) {
            let rank = rank % n;
            let Choice::Zipfian { cumulative } = Choice::new(KeyChoice::Zipfian { theta }, n)
            else { unreachable!("it is zipfian") };
            let at = |i: u32| if i == 0 { 0.0 } else { cumulative[i as usize - 1] };
            let sum: f64 = (1..=n).rev().map(|r| f64::from(r).powf(-theta)).sum();
            let exact = f64::from(rank + 1).powf(-theta) / sum;
            prop_assert!((at(rank + 1) - at(rank) - exact).abs() < 1e-12);
        }

        #[test]
        fn every_key_is_in_range(
            bits: u64, more: u64, n in 1u32..100, keys in 1u32..100, share in 0.0..=1.0f64,
            theta in 0.01..2.0f64,
        ) {
            for choice in [
                KeyChoice::Uniform,
                KeyChoice::Hot { keys: keys.min(n), share },
                KeyChoice::Zipfian { theta },
            ] {
                let choice = Choice::new(choice, n);
                for b in [bits, 0, u64::MAX] {
                    prop_assert!(choice.choose(b, more) < n);
                }
            }
        }
    }
}
