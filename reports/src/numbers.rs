//! Numbers for people: never more digits than the sample supports, never
//! rounded in the service's favour.

use crate::fold::Counts;
use crate::proof::nines;
use std::time::Duration;

/// Most decimals of a percentage that are printed.
const MAX_DECIMALS: usize = 6;

/// Decimals of a share in percent: one digit more than it has nines, and one
/// decimal at least (84.2, 99.4, 99.94, 99.993); never more than a sample
/// of that size resolves (1 000 operations one, 10 000 two …); at least those of the
/// limit, so that the two can be compared by eye.
fn decimals(nines: u32, sample: u64, limit: Option<f64>) -> usize {
    let resolved = sample
        .checked_ilog10()
        .map_or(0, |digits| digits.saturating_sub(2));
    (nines.saturating_sub(1).max(1).min(resolved) as usize)
        .max(limit.map_or(0, |l| limit_decimals(l * 100.0)))
        .min(MAX_DECIMALS)
}

/// `99.91 %`, floored, with the digits that the sample supports. `no data`
/// without attempts.
pub fn availability(c: Counts, limit: Option<f64>) -> String {
    let n = c.attempts();
    if n == 0 {
        return "no data".into();
    }
    if c.answered == n {
        return "100 %".into();
    }
    // Integer arithmetic: a floating product could round 99.999… up.
    let (n, missed) = (u128::from(n), u128::from(c.missed()));
    let nines = (1..=9u32)
        .take_while(|k| missed * 10u128.pow(*k) <= n)
        .count();
    let decimals = match c.answered {
        0 => 0,
        _ => decimals(nines as u32, c.attempts(), limit),
    };
    let scale = 10u128.pow(decimals as u32);
    let scaled = u128::from(c.answered) * 100 * scale / n;
    if decimals == 0 {
        format!("{scaled} %")
    } else {
        format!("{}.{:0decimals$} %", scaled / scale, scaled % scale)
    }
}

/// The same of a share that is no quotient of counts: a mean of slices, an
/// uptime. `sample`: operations behind it. `no data` if there is none.
pub fn share(share: Option<f64>, sample: u64, limit: Option<f64>) -> String {
    match share {
        Some(s) if s >= 1.0 => "100 %".into(),
        Some(s) if s <= 0.0 => "0 %".into(),
        Some(s) if s.is_finite() => floored(s, decimals(nines(s), sample, limit)),
        _ => "no data".into(),
    }
}

/// How far a share is from its limit, in percentage points with their sign,
/// floored: the difference of the two numbers as they are printed.
pub fn points(share: f64, sample: u64, limit: f64) -> String {
    let decimals = decimals(nines(share), sample, Some(limit));
    let scale = 10f64.powi(decimals as i32);
    let points = ((share - limit) * 100.0 * scale + HAIR).floor() / scale;
    let s = if decimals == 0 && points.abs() == 1.0 {
        ""
    } else {
        "s"
    };
    format!("{points:+.decimals$} point{s}")
}

/// A lower bound in percent: floored, one digit more than it has nines. `–`
/// if it is no number.
pub fn at_least(low: f64) -> String {
    if low.is_nan() {
        return "–".into();
    }
    floored(low, decimals(nines(low), u64::MAX, None))
}

/// An upper bound, raised.
pub fn at_most(high: f64) -> String {
    if high >= 1.0 {
        return "100 %".into();
    }
    if high.is_nan() {
        return "–".into();
    }
    let decimals = decimals(nines(high), u64::MAX, None);
    let scale = 10f64.powi(decimals as i32);
    // Zero is added because a negative zero would be printed as such.
    let raised = ((high * 100.0 * scale - HAIR).ceil() / scale).clamp(0.0, 100.0) + 0.0;
    format!("{raised:.decimals$} %")
}

/// What only floating point took away is given back.
const HAIR: f64 = 1e-7;

fn floored(share: f64, decimals: usize) -> String {
    let scale = 10f64.powi(decimals as i32);
    let floored = (share.clamp(0.0, 1.0) * 100.0 * scale + HAIR).floor() / scale;
    format!("{floored:.decimals$} %")
}

/// `p99`, `p99.9`: the name of a quantile.
pub fn quantile(q: f64) -> String {
    let percent = q * 100.0;
    format!("p{percent:.*}", limit_decimals(percent))
}

/// A limit as it was written: `99.5 %`.
pub fn limit_percent(share: f64) -> String {
    let percent = share * 100.0;
    format!("{percent:.*} %", limit_decimals(percent))
}

fn limit_decimals(percent: f64) -> usize {
    (0..6)
        .find(|d| {
            let scaled = percent * 10f64.powi(*d as i32);
            (scaled - scaled.round()).abs() < 1e-6
        })
        .unwrap_or(6)
}

/// `n` with thin groups of three: `12 345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// `1 write`, `2 writes`.
pub fn plural(n: u64, one: &str) -> String {
    format!("{} {one}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `1 write was`, `2 writes were`.
pub fn plural_were(n: u64, one: &str) -> String {
    format!("{} {}", plural(n, one), if n == 1 { "was" } else { "were" })
}

/// Milliseconds: `850 ms`, `1.2 s`, `2 min 5 s`; rounded up, for times that
/// should be short.
pub fn millis(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..100_000 => format!("{:.1} s", (ms.div_ceil(100)) as f64 / 10.0),
        _ => {
            let s = ms.div_ceil(1000);
            format!("{} min {} s", s / 60, s % 60)
        }
    }
}

/// The same rounded down, for time to spare.
pub fn millis_left(ms: u64) -> String {
    match ms {
        0..1000 => millis(ms),
        1000..100_000 => millis(ms - ms % 100),
        _ => millis(ms - ms % 1000),
    }
}

/// A latency with three digits at most: `0.85 ms`, `12.3 ms`, `1.25 s`.
pub fn latency(d: Duration) -> String {
    let ms = d.as_secs_f64() * 1000.0;
    match ms {
        x if x < 10.0 => format!("{x:.2} ms"),
        x if x < 100.0 => format!("{x:.1} ms"),
        x if x < 1000.0 => format!("{x:.0} ms"),
        x => format!("{:.2} s", x / 1000.0),
    }
}

/// Nanoseconds to milliseconds, rounded up.
pub fn up_to_millis(ns: u64) -> u64 {
    ns.div_ceil(1_000_000)
}

/// Cuts text to at most `max` characters, and says so.
pub fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_string();
    }
    let cut: String = text.chars().take(max.saturating_sub(1)).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(answered: u64, failed: u64) -> Counts {
        Counts {
            answered,
            failed,
            ..Counts::default()
        }
    }

    #[test]
    fn availability_is_floored_to_the_digits_of_the_sample() {
        for (answered, failed, limit, want) in [
            (0, 0, None, "no data"),
            (50, 0, None, "100 %"),
            (99, 1, None, "99 %"),
            (995, 4, None, "99 %"),
            (995, 4, Some(0.995), "99.5 %"),
            (9_999, 1, None, "99.99 %"),
            (999_999, 1, None, "99.9999 %"),
            // Never rounded up to 100.
            (1_999, 1, None, "99.9 %"),
            (0, 7, None, "0 %"),
            (0, 70_000, None, "0 %"),
            // The sample would support more, but nobody needs it.
            (84_242_424, 15_757_576, None, "84.2 %"),
            (84_242_424, 15_757_576, Some(0.8425), "84.24 %"),
            (98_765, 1_235, None, "98.7 %"),
            (99_432, 568, None, "99.4 %"),
            (999_432, 568, None, "99.94 %"),
            (9_999_937, 63, None, "99.9993 %"),
            // The sample does not support what the nines would show.
            (99_999, 1, None, "99.999 %"),
            (13_200, 1, None, "99.99 %"),
        ] {
            assert_eq!(
                availability(counts(answered, failed), limit),
                want,
                "{answered}/{failed}"
            );
        }
    }

    #[test]
    fn shares_are_printed_like_quotients() {
        for (seen, sample, limit, want) in [
            (None, 1_000, None, "no data"),
            (Some(f64::NAN), 1_000, None, "no data"),
            (Some(1.0), 1_000, None, "100 %"),
            (Some(-0.5), 1_000, None, "0 %"),
            (Some(0.842_424), 100_000, None, "84.2 %"),
            (Some(0.842_424), 275, None, "84 %"),
            (Some(0.842_424), 275, Some(0.8), "84 %"),
            (Some(0.842_424), 275, Some(0.845), "84.2 %"),
            (Some(0.999_432), 1_000_000, None, "99.94 %"),
            // 0.29 × 100 is 28.999… in floating point.
            (Some(0.29), 5, None, "29 %"),
            (Some(0.999_999_99), u64::MAX, None, "99.999999 %"),
            (Some(0.999_999_996), u64::MAX, None, "99.999999 %"),
        ] {
            assert_eq!(share(seen, sample, limit), want, "{seen:?} of {sample}");
        }
    }

    #[test]
    fn margins_are_differences_of_what_is_printed() {
        for (seen, sample, limit, want) in [
            (0.842_424, 10_000, 0.8, "+4.2 points"),
            (0.842_424, 100, 0.8, "+4 points"),
            (1.0, 100, 0.99, "+1 point"),
            (0.842_424, 10_000, 0.9999, "-15.75 points"),
            (0.999_432, 1_000_000, 0.999, "+0.04 points"),
            (1.0, 10_000, 0.999, "+0.10 points"),
            (0.8, 10_000, 0.8, "+0.0 points"),
            // Too little by less than is printed still has its sign.
            (0.799_999_9, 10_000, 0.8, "-0.1 points"),
        ] {
            assert_eq!(points(seen, sample, limit), want, "{seen} of {sample}");
        }
    }

    #[test]
    fn bounds_are_not_flattered() {
        for (bound, low, high) in [
            (0.0, "0.0 %", "0.0 %"),
            (0.5, "50.0 %", "50.0 %"),
            (0.933_31, "93.3 %", "93.4 %"),
            (0.999_35, "99.93 %", "99.94 %"),
            (0.999_901, "99.990 %", "99.991 %"),
        ] {
            assert_eq!(
                (at_least(bound).as_str(), at_most(bound).as_str()),
                (low, high)
            );
        }
        assert_eq!(at_most(1.0), "100 %");
        assert_eq!(
            (at_least(f64::NAN), at_most(f64::NAN)),
            ("–".into(), "–".into())
        );
    }

    #[test]
    fn quantiles_have_their_names() {
        for (q, want) in [
            (0.5, "p50"),
            (0.99, "p99"),
            (0.999, "p99.9"),
            (0.975, "p97.5"),
        ] {
            assert_eq!(quantile(q), want);
        }
    }

    #[test]
    fn limits_are_printed_as_written() {
        for (share, want) in [
            (0.99, "99 %"),
            (0.995, "99.5 %"),
            (0.9999, "99.99 %"),
            (0.001, "0.1 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(limit_percent(share), want);
        }
    }

    #[test]
    fn durations_and_counts() {
        assert_eq!(millis(0), "0 ms");
        assert_eq!(millis(999), "999 ms");
        assert_eq!(millis(1_201), "1.3 s");
        assert_eq!(millis(125_000), "2 min 5 s");
        for (ms, left) in [(840, "840 ms"), (4_840, "4.8 s"), (125_999, "2 min 5 s")] {
            assert_eq!(millis_left(ms), left);
        }
        assert_eq!(latency(Duration::from_micros(850)), "0.85 ms");
        assert_eq!(latency(Duration::from_millis(1250)), "1.25 s");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(plural(1, "write"), "1 write");
        assert_eq!(shorten("abcdef", 4), "abc…");
    }
}
