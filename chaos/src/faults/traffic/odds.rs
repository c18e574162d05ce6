//! How many of so many messages a probability hits, within odds that are
//! stated: the exact binomial distribution.

/// The least and the most of `n` that a `probability` hits, but for a chance
/// of `alpha` in all: quantiles of the binomial distribution, at most
/// `alpha / 2` beyond either.
pub(super) fn interval(n: u32, probability: f64, alpha: f64) -> (u32, u32) {
    if probability <= 0.0 {
        return (0, 0);
    }
    if probability >= 1.0 {
        return (n, n);
    }
    (
        tail(n, probability, alpha / 2.0),
        n - tail(n, 1.0 - probability, alpha / 2.0),
    )
}

/// The least k with P(X ≤ k) > `below`. In logarithms, because the first terms
/// are too small for a double.
fn tail(n: u32, p: f64, below: f64) -> u32 {
    let odds = (p / (1.0 - p)).ln();
    let mut log = f64::from(n) * (1.0 - p).ln();
    let mut sum = 0.0;
    for k in 0..n {
        sum += log.exp();
        if sum > below {
            return k;
        }
        log += (f64::from(n - k) / f64::from(k + 1)).ln() + odds;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_binomial_distribution() {
        // Summed up independently, by way of the logarithm of the gamma function.
        assert_eq!(interval(100, 0.2, 1e-6), (3, 41));
        assert_eq!(interval(10, 0.5, 0.05), (2, 8));
        assert_eq!(interval(50, 0.0, 1e-6), (0, 0));
        assert_eq!(interval(50, 1.0, 1e-6), (50, 50));
        assert_eq!(interval(0, 0.3, 1e-6), (0, 0));
        // The first term, 0.8^7200, is no double.
        assert_eq!(interval(7200, 0.2, 1e-6), (1276, 1608));
    }

    #[test]
    fn what_is_rare_is_not_told_from_nothing_by_few() {
        assert_eq!(interval(100, 0.01, 1e-6).0, 0);
        assert!(interval(2000, 0.01, 1e-6).0 > 0);
    }
}
