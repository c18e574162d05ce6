//! What a sample proves about availability, and what it does not.
//!
//! Calls inside one outage are not independent, so what is counted is outages
//! over time: an *event* is a stretch of neighbouring seconds in which much more
//! was missed than usual, or any other second in which something was. Events are
//! taken for independent; the cost of each is what was missed in it. The upper
//! bound of the total is that of a weighted sum of Poisson counts (Fay and
//! Feuer, *Confidence intervals for directly standardized rates: a method based
//! on the gamma distribution*, Statistics in Medicine 16, 1997):
//!
//! `(v + w²) / 2(m + w) · χ²₀.₉₅(2 (m + w)² / (v + w²))`
//!
//! with `m` the sum of the costs, `v` that of their squares and `w` the largest cost that an
//! unseen event may have: the largest one seen, and at least a second of full
//! outage. With events of equal cost it is Garwood's exact bound (*Fiducial
//! limits for the Poisson distribution*, Biometrika 1936); without any it is the rule of
//! three, `3 / seconds` (Hanley and Lippman-Hand, *If nothing goes wrong, is
//! everything all right?*, JAMA 1983), whatever the rate of calls.
//!
//! All bounds are one-sided, 95 %.

use crate::fold::Counts;
use crate::numbers::{at_least, count, plural};
use crate::report::Proven;
use std::collections::BTreeMap;

/// What the calls of these seconds prove of an availability that was `c` in all: usually their sum,
/// or what retries made of it. Never more than the time allows.
pub fn proven(seconds: &BTreeMap<u64, Counts>, c: Counts) -> Proven {
    let n = c.attempts();
    let time = seconds.values().filter(|c| c.attempts() > 0).count() as u64;
    if n == 0 || time == 0 {
        return Proven {
            text: "no data".into(),
            ..Proven::default()
        };
    }
    let events = events(seconds);
    let seen: u64 = events.iter().sum();
    let scale = if seen == 0 {
        0.0
    } else {
        c.missed() as f64 / seen as f64
    };
    let costs = || events.iter().map(|e| *e as f64 * scale);
    let worst = costs().fold(n as f64 / time as f64, f64::max);
    let most = most_missed(costs().sum(), costs().map(|c| c * c).sum(), worst);
    let low = (1.0 - most / n as f64).max(0.0);
    let events = events.len() as u64;
    let what = match events {
        0 => format!("no failure in {}", plural(time, "second")),
        1 => format!(
            "{} in one stretch of {}",
            plural(c.missed(), "failure"),
            plural(time, "second")
        ),
        _ => format!(
            "{} in {} separate stretches of {}",
            plural(c.missed(), "failure"),
            count(events),
            plural(time, "second")
        ),
    };
    Proven {
        n,
        missed: c.missed(),
        events,
        seconds: time,
        low: Some(low),
        nines: nines(low),
        text: format!("at least {} (95 % confidence; {what})", at_least(low)),
    }
}

/// What was missed in each event. More than usual is more than twice what three of four seconds
/// exceed: a service that misses a call in twenty all the time has many small events, and one that
/// is down for a minute has one.
fn events(seconds: &BTreeMap<u64, Counts>) -> Vec<u64> {
    let share = |c: &Counts| c.missed() as f64 / c.attempts() as f64;
    let with_data = || seconds.iter().filter(|(_, c)| c.attempts() > 0);
    let mut shares: Vec<f64> = with_data().map(|(_, c)| share(c)).collect();
    let quarter = shares.len() / 4;
    let usual = match shares.get(quarter) {
        None => return Vec::new(),
        Some(_) => *shares.select_nth_unstable_by(quarter, f64::total_cmp).1,
    };
    let mut events: Vec<u64> = Vec::new();
    let mut last_outage = None;
    for (second, c) in with_data().filter(|(_, c)| c.missed() > 0) {
        let outage = share(c) > 2.0 * usual || share(c) >= 0.5;
        match events.last_mut() {
            Some(last) if outage && last_outage == second.checked_sub(1) => *last += c.missed(),
            _ => events.push(c.missed()),
        }
        if outage {
            last_outage = Some(*second);
        }
    }
    events
}

/// The upper bound of the module's text: of a sum `m` of independent events, `v` the sum of their
/// squares, `w` the largest that one may be (above 0).
fn most_missed(m: f64, v: f64, w: f64) -> f64 {
    let (m, v) = (m + w, v + w * w);
    v / (2.0 * m) * chi_square_95(2.0 * m * m / v)
}

/// The 95th percentile of the χ² distribution with so many degrees of freedom, above 0.
fn chi_square_95(freedom: f64) -> f64 {
    const Z: f64 = 1.644_853_627;
    let f = freedom.max(1e-3);
    // Wilson and Hilferty, PNAS 1931: near enough where there are many.
    let c = 2.0 / (9.0 * f);
    let guess = f * (1.0 - c + Z * c.sqrt()).powi(3);
    if f > 300.0 {
        return guess;
    }
    let (mut low, mut high) = (0.0, 2.0 * guess + 20.0);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if gamma_p(f / 2.0, middle / 2.0) < 0.95 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The regularised lower incomplete gamma function by its series (Abramowitz and Stegun, 6.5.29).
fn gamma_p(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
    while term > sum * 1e-15 {
        n += 1.0;
        term *= x / n;
        sum += term;
    }
    sum * (a * x.ln() - x - ln_gamma(a)).exp()
}

/// ln Γ by Stirling's series (Abramowitz and Stegun, 6.1.41), from 8 on good to ten digits.
fn ln_gamma(a: f64) -> f64 {
    let (mut below, mut x) = (0.0, a);
    while x < 8.0 {
        below += x.ln();
        x += 1.0;
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - below
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
///
/// Source: the exact binomial bound (Clopper and Pearson, Biometrika 1934) at zero failures.
pub fn bad_recoveries_high(n: u64) -> f64 {
    if n == 0 {
        1.0
    } else {
        1.0 - 0.05f64.powf(1.0 / n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() < tolerance, "{got} instead of {want}");
    }

    /// `rate` calls in each of `time` seconds, of which `missed` says how many were.
    fn sample(time: u64, rate: u64, missed: impl Fn(u64) -> u64) -> Proven {
        let seconds: BTreeMap<u64, Counts> = (0..time)
            .map(|s| {
                let c = Counts {
                    answered: rate - missed(s),
                    failed: missed(s),
                    ..Counts::default()
                };
                (s, c)
            })
            .collect();
        let mut all = Counts::default();
        seconds.values().for_each(|c| all += *c);
        proven(&seconds, all)
    }

    #[test]
    fn the_bound_is_garwoods_where_events_cost_the_same() {
        // One-sided 95 % upper bounds of a Poisson mean with k = 0 to 5 events, from tables.
        for (k, want) in [2.9957, 4.7439, 6.2958, 7.7537, 9.1536, 10.5131]
            .into_iter()
            .enumerate()
        {
            let k = k as f64;
            close(most_missed(k, k, 1.0), want, 1e-4);
            close(most_missed(7.0 * k, 49.0 * k, 7.0), 7.0 * want, 1e-3);
        }
        // From tables of χ²: 10, 100 and 1 000 degrees of freedom.
        for (f, want) in [(10.0, 18.307), (100.0, 124.342), (1_000.0, 1_074.679)] {
            close(chi_square_95(f), want, 2e-3);
        }
        // Both ways agree where they meet.
        close(chi_square_95(300.0), chi_square_95(300.000_001), 1e-2);
        // 0 bad recoveries of 30 and of 3.
        close(bad_recoveries_high(30), 0.095, 1e-3);
        close(bad_recoveries_high(3), 0.632, 1e-3);
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
    fn a_clean_minute_proves_one_nine_whatever_its_rate() {
        for rate in [1, 60, 1_000] {
            let p = sample(60, rate, |_| 0);
            // 1 - 2.9957 / 60.
            close(p.low.unwrap(), 0.950_07, 1e-5);
            assert_eq!((p.nines, p.events, p.seconds), (1, 0, 60));
            assert!(p.text.contains("no failure in 60 seconds"), "{}", p.text);
        }
        // Three nines take 2 996 seconds.
        assert_eq!(sample(2_995, 5, |_| 0).nines, 2);
        assert_eq!(sample(2_996, 5, |_| 0).nines, 3);
        assert_eq!(proven(&BTreeMap::new(), Counts::default()).text, "no data");
    }

    #[test]
    fn an_outage_is_one_event_however_many_calls_it_took() {
        // Ten seconds of 1 000: the cost of two outages has to fit, 4.7439 × 10 s.
        for rate in [1, 500] {
            let p = sample(
                1_000,
                rate,
                |s| if (20..30).contains(&s) { rate } else { 0 },
            );
            close(p.low.unwrap(), 1.0 - 47.439 / 1_000.0, 1e-5);
            assert_eq!(p.events, 1);
        }
        // One of 2 s and one of 20 s are not two of 11: m = 22 + 20, v = 4 + 400 + 400;
        // 804/84 × χ²(4.388 degrees: 10.07) = 96.4 s.
        let down = |s| (20..22).contains(&s) || (50..70).contains(&s);
        let p = sample(1_000, 10, |s| if down(s) { 10 } else { 0 });
        close(p.low.unwrap(), 1.0 - 96.4 / 1_000.0, 5e-4);
        // All of the time is one event too, and nothing is proven.
        let p = sample(60, 10, |_| 10);
        assert_eq!((p.events, p.nines, p.low), (1, 0, Some(0.0)));
    }

    #[test]
    fn a_steady_share_of_errors_is_bounded_better_by_more_data() {
        // Every twentieth call fails, 60 a second: 95.0 % to any number of digits.
        let of = |time| sample(time, 60, |_| 3).low.unwrap();
        // m = 3 t + 60 and v = 9 t + 3600 calls; by hand for 200 s: 5400/1320 × χ²(161.33) = 785.
        close(of(200), 1.0 - 785.0 / 12_000.0, 1e-4);
        assert!(of(200) > 0.93 && of(600) > 0.943 && of(28_800) > 0.949);
        assert!(of(200) < of(600) && of(600) < of(28_800) && of(28_800) < 0.95);
        // Ten a second miss one every other second: the same service.
        let every_other = |time| sample(time, 10, |s| s % 2).low.unwrap();
        assert!(every_other(28_800) > 0.947 && every_other(28_800) < 0.95);
        // An outage on top of it is one event.
        let both = sample(600, 60, |s| if (100..120).contains(&s) { 60 } else { 3 });
        assert_eq!(both.events, 581);
    }
}
