//! What a sample proves about availability, and what it does not.

use crate::numbers::{at_least, at_most};
use crate::report::{ProofMethod, Proven};

/// Lower bound of an availability with no failure in `n` operations, one-sided
/// with confidence `1 - alpha`: `alpha^(1/n)`, for 95 % close to `1 - 3/n`.
/// `None` if `n` is 0.
///
/// Source: the exact binomial bound (Clopper and Pearson, 1934) at zero
/// failures; Hanley and Lippman-Hand, *If nothing goes wrong, is everything
/// all right?*, JAMA 1983 (the rule of three).
pub fn exact_low(n: f64, alpha: f64) -> Option<f64> {
    (n > 0.0).then(|| alpha.powf(1.0 / n))
}

/// One-sided 95 % upper bounds of a Poisson mean of which `k` events were seen, k = 0 to 5.
const POISSON: [f64; 6] = [2.9957, 4.7439, 6.2958, 7.7537, 9.1536, 10.5131];

/// Lower bound of an availability with `k` failures (0 to 5) in `n`
/// operations, one-sided 95 %: `1 - μ_k/n` with `μ` = 2.996, 4.744, 6.296,
/// 7.754, 9.154, 10.513. `None` if `n` is 0 or `k` larger than 5.
///
/// Source: Garwood, *Fiducial limits for the Poisson distribution*,
/// Biometrika 1936.
pub fn poisson_low(k: u64, n: f64) -> Option<f64> {
    let mu = POISSON.get(usize::try_from(k).ok()?)?;
    (n > 0.0).then(|| (1.0 - mu / n).max(0.0))
}

/// 95 %, two-sided.
const Z: f64 = 1.959_964;

/// Interval of a share `p` of `n`, two-sided 95 %:
/// `(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)`. `None` if `n` is 0.
///
/// Source: Wilson, *Probable inference, the law of succession, and
/// statistical inference*, JASA 1927.
pub fn wilson(p: f64, n: f64) -> Option<(f64, f64)> {
    if n <= 0.0 {
        return None;
    }
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    Some((
        ((middle - spread) / scale).max(0.0),
        ((middle + spread) / scale).min(1.0),
    ))
}

/// Size of an independent sample that says as much as `n` operations in
/// clusters of `m` with correlation `rho` (0 to 1):
/// `n_eff = n / (1 + (m - 1) rho)`.
///
/// Source: the design effect of cluster samples (Kish, *Survey Sampling*,
/// 1965). Inside an outage `rho` is close to 1: one failure predicts the next.
pub fn effective(n: f64, m: f64, rho: f64) -> f64 {
    n / (1.0 + (m - 1.0).max(0.0) * rho)
}

/// Whole nines of a share, floored: 0.99 and 0.9989 have two. A share of 1
/// would have infinitely many and proves none; it is counted as 9, the most
/// that is told apart.
pub fn nines(share: f64) -> u32 {
    (1..=9)
        .take_while(|k| share >= 1.0 - 10f64.powi(-*k))
        .count() as u32
}

/// Upper bound of the share of bad ones among injections, of which `n` were
/// tried and none was bad, one-sided 95 %: `1 - 0.05^(1/n)`. 1 if `n` is 0.
pub fn bad_recoveries_high(n: u64) -> f64 {
    exact_low(n as f64, 0.05).map_or(1.0, |low| 1.0 - low)
}

/// What `n` operations prove of which `missed` were not answered, in
/// `clusters` stretches of failures. Within a stretch they are one event
/// (`rho` = 1), so the sample counts as `n_eff` operations with `clusters`
/// failures: the exact bound for none, Poisson's up to five, Wilson's interval
/// beyond. Never more than the sample allows.
pub fn proven(n: u64, missed: u64, clusters: u64) -> Proven {
    let clusters = clusters.clamp(u64::from(missed > 0), missed);
    if n == 0 {
        return Proven {
            text: "no data".into(),
            ..Proven::default()
        };
    }
    let size = if clusters == 0 {
        1.0
    } else {
        missed as f64 / clusters as f64
    };
    let n_eff = effective(n as f64, size, 1.0);
    let share = 1.0 - missed as f64 / n as f64;
    let (method, low, high) = match clusters {
        0 => (ProofMethod::Exact, exact_low(n_eff, 0.05), None),
        1..=5 => (ProofMethod::Poisson, poisson_low(clusters, n_eff), None),
        _ => {
            let bounds = wilson(share, n_eff);
            (
                ProofMethod::Wilson,
                bounds.map(|b| b.0),
                bounds.map(|b| b.1),
            )
        }
    };
    let nines = low.map_or(0, nines);
    let bounds = match (low, high) {
        (Some(low), Some(high)) => {
            format!("{} to {}", at_least(low), at_most(high))
        }
        (Some(low), None) => format!("at least {}", at_least(low)),
        _ => "nothing".into(),
    };
    let how = match method {
        ProofMethod::NoData => "",
        ProofMethod::Exact => "exact, no failure",
        ProofMethod::Poisson => "Poisson",
        ProofMethod::Wilson => "Wilson",
    };
    let together = if missed > clusters {
        format!(
            "; {} came in {}, so the sample counts as {}",
            crate::numbers::plural(missed, "failure"),
            crate::numbers::plural(clusters, "stretch").replace("stretchs", "stretches"),
            crate::numbers::count(n_eff as u64),
        )
    } else {
        String::new()
    };
    Proven {
        n,
        missed,
        clusters,
        n_eff,
        method,
        low,
        high,
        nines,
        text: format!("{bounds} (95 %, {how}{together})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: Option<f64>, want: f64, tolerance: f64) {
        let got = got.unwrap();
        assert!((got - want).abs() < tolerance, "{got} instead of {want}");
    }

    #[test]
    fn bounds_by_hand() {
        // Needed for three to five nines without a failure.
        for (n, share) in [(2_995.0, 0.999), (29_956.0, 0.9999), (299_572.0, 0.99999)] {
            assert!(exact_low(n, 0.05).unwrap() >= share);
            assert!(exact_low(n - 1.5, 0.05).unwrap() < share);
        }
        close(exact_low(1.0, 0.05), 0.05, 1e-12);
        assert_eq!(exact_low(0.0, 0.05), None);
        // 1 - 4.744/10 000 and 1 - 10.513/1 000.
        close(poisson_low(1, 10_000.0), 0.999_525_6, 1e-6);
        close(poisson_low(5, 1_000.0), 0.989_487, 1e-6);
        assert_eq!(poisson_low(6, 1_000.0), None);
        assert_eq!(poisson_low(2, 3.0), Some(0.0));
        // 36 of 360 000 failed.
        let (low, high) = wilson(1.0 - 36.0 / 360_000.0, 360_000.0).unwrap();
        close(Some(low), 0.999_862, 1e-6);
        close(Some(high), 0.999_928, 1e-6);
        // Without a failure it says less than the exact bound.
        close(wilson(1.0, 10_000.0).map(|b| b.0), 0.999_616, 1e-6);
        assert_eq!(wilson(1.0, 0.0), None);
        assert_eq!(effective(1_000.0, 5.0, 1.0), 200.0);
        assert_eq!(effective(1_000.0, 5.0, 0.25), 500.0);
        // 0 bad recoveries of 30 and of 3.
        close(Some(bad_recoveries_high(30)), 0.095, 1e-3);
        close(Some(bad_recoveries_high(3)), 0.632, 1e-3);
        assert_eq!(bad_recoveries_high(0), 1.0);
    }

    #[test]
    fn nines_are_floored() {
        for (share, want) in [
            (0.0, 0),
            (0.89, 0),
            (0.9, 1),
            (0.9899, 1),
            (0.99, 2),
            (0.999, 3),
            (0.99989, 3),
            (0.9999, 4),
            (1.0, 9),
        ] {
            assert_eq!(nines(share), want, "{share}");
        }
    }

    #[test]
    fn a_sample_proves_what_it_allows() {
        let p = proven(2_994, 0, 0);
        assert_eq!((p.method, p.nines), (ProofMethod::Exact, 2));
        assert_eq!(proven(2_995, 0, 0).nines, 3);
        assert_eq!(proven(0, 0, 0).method, ProofMethod::NoData);
        // 100 failures in one outage say as much as one failure of 100 operations.
        let p = proven(10_000, 100, 1);
        assert_eq!(
            (p.method, p.n_eff, p.nines),
            (ProofMethod::Poisson, 100.0, 1)
        );
        close(p.low, 1.0 - 4.7439 / 100.0, 1e-9);
        assert!(
            p.text
                .contains("100 failures came in 1 stretch, so the sample counts as 100")
        );
        // Each on its own: Wilson.
        let p = proven(10_000, 100, 100);
        assert_eq!((p.method, p.n_eff), (ProofMethod::Wilson, 10_000.0));
        assert!(p.low.unwrap() < 0.99 && p.high.unwrap() > 0.99);
        // Clusters that cannot be are put right.
        assert_eq!(proven(10, 3, 0).clusters, 1);
        assert_eq!(proven(10, 3, 9).clusters, 3);
        // All failed: nothing is proven.
        assert_eq!(proven(10, 10, 10).nines, 0);
    }
}
