//! Durations and shares as a playbook writes them.

use std::time::Duration;

/// Longest duration in a playbook.
pub const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);

/// Reads `500ms`, `30s`, `1.5m`, `2h`.
///
/// # Errors
/// What is wrong and what to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let iso = text.trim_start_matches(['-', '+']);
    if iso.len() > 1
        && iso.starts_with(['P', 'p'])
        && iso[1..]
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '.')
    {
        return Err("ISO-8601 durations are not read; write a number and a unit: \"30s\"".into());
    }
    const SHAPE: &str = "a duration is a number and one of the units ms, s, m, h: \"30s\"";
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or(SHAPE)?;
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(SHAPE.into()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || part.is_empty() || part.contains('.') || part.len() > 3 {
        return Err(SHAPE.into());
    }
    let too_long = || format!("a duration is at most {}", show(MAX_DURATION));
    let whole: u64 = whole.parse().map_err(|_| too_long())?;
    let thousandths: u64 = format!("{part:0<3}").parse().map_err(|_| SHAPE)?;
    let us = whole
        .checked_mul(1000)
        .and_then(|n| n.checked_add(thousandths))
        .and_then(|n| n.checked_mul(unit_ms))
        .ok_or_else(too_long)?;
    if us % 1000 != 0 {
        return Err("a duration is a whole number of milliseconds".into());
    }
    let out = Duration::from_millis(us / 1000);
    if out > MAX_DURATION {
        return Err(too_long());
    }
    Ok(out)
}

/// Writes a duration so that [`duration`] reads it back.
pub fn show(d: Duration) -> String {
    let ms = d.as_millis();
    match ms {
        0 => "0s".into(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ if ms > 1000 => {
            let text = format!("{}.{:03}", ms / 1000, ms % 1000);
            format!("{}s", text.trim_end_matches('0'))
        }
        _ => format!("{ms}ms"),
    }
}

/// Reads `99.9%` or `99.9 %` as 0.999.
///
/// # Errors
/// What to write instead.
pub fn percent(text: &str) -> Result<f64, String> {
    in_percent(text)
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| {
            "a share is written in percent, above 0 and at most 100: \"99.9%\"".to_string()
        })
}

/// The same for a share that may be nothing but not everything: `0%` to below `100%`.
///
/// # Errors
/// What to write instead.
pub fn part(text: &str) -> Result<f64, String> {
    in_percent(text)
        .filter(|share| *share < 1.0)
        .ok_or_else(|| "this share is written in percent, from 0 to below 100: \"1%\"".to_string())
}

/// The same for a promise that leaves something: above `0%` and below `100%`.
///
/// # Errors
/// What to write instead.
pub fn promised(text: &str) -> Result<f64, String> {
    in_percent(text)
        .filter(|share| *share > 0.0 && *share < 1.0)
        .ok_or_else(|| {
            "this share is written in percent, above 0 and below 100: \"99.9%\"".to_string()
        })
}

fn in_percent(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?;
    let number = number.strip_suffix(' ').unwrap_or(number);
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    number.parse::<f64>().ok().map(|n| n / 100.0)
}

/// Writes a share of 0 to 1 in percent, with as many digits as it has, six at most.
pub fn show_share(share: f64) -> String {
    let text = format!("{:.6}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

/// Reads `64kbit`, `1mbit`, `1.5mbit` as bits per second (thousands, as `tc` means it).
///
/// # Errors
/// What to write instead.
pub fn rate(text: &str) -> Result<u64, String> {
    const SHAPE: &str = "a rate is a number and one of the units kbit, mbit, gbit: \"1mbit\"";
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or(SHAPE)?;
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "kbit" => 1000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        _ => return Err(SHAPE.into()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty()
        || whole.len() > 6
        || part.is_empty()
        || part.contains('.')
        || part.len() > 3
    {
        return Err(SHAPE.into());
    }
    let whole: u64 = whole.parse().map_err(|_| SHAPE)?;
    let thousandths: u64 = format!("{part:0<3}").parse().map_err(|_| SHAPE)?;
    Ok((whole * 1000 + thousandths) * unit / 1000)
}

/// Writes a rate so that [`rate`] reads it back, if it is a whole number of bits in a thousand.
pub fn show_rate(bits: u64) -> String {
    let (unit, name) = match bits {
        1_000_000_000.. => (1_000_000_000, "gbit"),
        1_000_000.. => (1_000_000, "mbit"),
        _ => (1000, "kbit"),
    };
    let text = format!("{}.{:03}", bits / unit, bits % unit / (unit / 1000));
    format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
}

pub use crate::runtime::docker::check_subnet as subnet;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_that_are_read() {
        for (text, ms) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1.5s", 1500),
            ("0.25m", 15_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn durations_that_are_refused() {
        for text in [
            "",
            "30",
            "s",
            "-3s",
            "1e3s",
            "3 s",
            ".5s",
            "5.s",
            "1.2.3s",
            "0.5ms",
            "25h",
            "99999999999999999999s",
            "18446744073709551615h",
            "10d",
            "1m30s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["PT30S", "P1D", "pt0.5s"] {
            assert!(duration(text).unwrap_err().contains("ISO-8601"), "{text}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(percent("99.9%"), Ok(99.9 / 100.0));
        assert_eq!(percent("99.9 %"), Ok(99.9 / 100.0));
        assert_eq!(percent("100%"), Ok(1.0));
        assert_eq!(part("0%"), Ok(0.0));
        assert!(part("100%").is_err());
        assert_eq!(promised("99%"), Ok(0.99));
        assert!(promised("100%").is_err() && promised("0%").is_err());
        assert_eq!(show_share(99.9 / 100.0), "99.9 %");
        assert_eq!(show_share(0.29), "29 %");
        assert_eq!(show_share(0.0), "0 %");
        for text in [
            "99.9", "0%", "100.1%", "%", "1e1%", "nan%", "-5%", " 5%", "5  %", "1.2.3%",
        ] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates() {
        for (text, bits) in [
            ("64kbit", 64_000),
            ("1mbit", 1_000_000),
            ("1.5mbit", 1_500_000),
            ("0.25gbit", 250_000_000),
        ] {
            assert_eq!(rate(text), Ok(bits), "{text}");
        }
        assert_eq!(show_rate(1_500_000), "1.5mbit");
        assert_eq!(show_rate(64_000), "64kbit");
        for text in [
            "",
            "1",
            "mbit",
            "1 mbit",
            "1.mbit",
            "1Mbit",
            "1mbps",
            "-1mbit",
            "9999999mbit",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks() {
        assert_eq!(subnet("198.18.0.0/16"), Ok(()));
        assert_eq!(subnet("10.0.0.0/8"), Ok(()));
        assert!(
            subnet("198.18.5.0/16")
                .unwrap_err()
                .contains("198.18.0.0/16")
        );
        for text in [
            "198.18.0.0/24",
            "198.18.0.0",
            "x/16",
            "127.0.0.0/8",
            "224.0.0.0/8",
            "240.0.0.0/8",
            "10.0.0.0/0",
            "10.0.0.0/-1",
        ] {
            assert!(subnet(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ms in 0u64..86_400_000) {
            let d = Duration::from_millis(ms);
            prop_assert_eq!(duration(&show(d)), Ok(d));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = duration(&text);
            let _ = percent(&text);
            let _ = part(&text);
            let _ = rate(&text);
            let _ = subnet(&text);
        }
    }
}
