//! Distributions of what was measured.

use gameday_record::verdict::Measure;

/// Quantiles by nearest rank: the smallest sample such that at least the share
/// q of all samples is not larger. Zero where there is no sample.
pub(crate) fn measure(name: &str, unit: &str, mut samples: Vec<f32>) -> Measure {
    samples.sort_unstable_by(f32::total_cmp);
    let n = samples.len();
    let rank = |q: f64| {
        let rank = (q * n as f64).ceil() as usize;
        samples.get(rank.max(1) - 1).copied().map_or(0.0, f64::from)
    };
    Measure {
        name: name.into(),
        unit: unit.into(),
        samples: n as u64,
        p50: rank(0.5),
        p90: rank(0.9),
        p99: rank(0.99),
        max: rank(1.0),
    }
}

/// Nanoseconds as milliseconds, for a sample.
pub(crate) fn millis(nanos: u64) -> f32 {
    (nanos as f64 / 1e6) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let m = measure("x", "ms", (1..=10).rev().map(|n| n as f32).collect());
        assert_eq!(
            (m.samples, m.p50, m.p90, m.p99, m.max),
            (10, 5.0, 9.0, 10.0, 10.0)
        );
        let m = measure("x", "ms", vec![7.0]);
        assert_eq!((m.p50, m.p99, m.max), (7.0, 7.0, 7.0));
        let m = measure("x", "ms", Vec::new());
        assert_eq!((m.samples, m.p50, m.max), (0, 0.0, 0.0));
    }
}
