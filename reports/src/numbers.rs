//! Numbers for people: never more digits than the sample supports, never
//! rounded in the service's favour.

use crate::fold::Counts;
use std::time::Duration;

/// `99.91 %`, floored. Decimals follow the number of operations (1 000
/// support one, 10 000 two …) and are at least those of `limit`, so that the
/// two can be compared by eye. `no data` without attempts.
pub fn availability(c: Counts, limit: Option<f64>) -> String {
    let n = c.attempts();
    if n == 0 {
        return "no data".into();
    }
    if c.answered == n {
        return "100 %".into();
    }
    let sample = (n.ilog10() as usize).saturating_sub(2);
    let decimals = sample
        .max(limit.map_or(0, |l| limit_decimals(l * 100.0)))
        .min(6);
    // Integer arithmetic: a floating product could round 99.999… up.
    let scale = 10u128.pow(decimals as u32);
    let scaled = u128::from(c.answered) * 100 * scale / u128::from(n);
    if decimals == 0 {
        format!("{scaled} %")
    } else {
        format!("{}.{:0decimals$} %", scaled / scale, scaled % scale)
    }
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
            (100_005, 5, None, "99.995 %"),
        ] {
            assert_eq!(
                availability(counts(answered, failed), limit),
                want,
                "{answered}/{failed}"
            );
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
        assert_eq!(latency(Duration::from_micros(850)), "0.85 ms");
        assert_eq!(latency(Duration::from_millis(1250)), "1.25 s");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(plural(1, "write"), "1 write");
        assert_eq!(shorten("abcdef", 4), "abc…");
    }
}
