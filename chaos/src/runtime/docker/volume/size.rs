//! Sizes of volumes as people write them: `1g`, `512m`, `64MiB`. Units are powers of
//! 1024, as of `docker run --memory`.

/// Units, the largest first.
const UNITS: [(&str, u64); 4] = [
    ("t", 1 << 40),
    ("g", 1 << 30),
    ("m", 1 << 20),
    ("k", 1 << 10),
];

/// Bytes of a size.
///
/// # Errors
/// It is none.
pub fn parse(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let end = lower
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let bad = || format!("{text:?} is no size: for example 1g, 512m or 64MiB");
    let number: u64 = number.parse().map_err(|_| bad())?;
    let of = match unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(unit)
    {
        "" if unit != "ib" => 1,
        unit => {
            UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(bad)?
                .1
        }
    };
    number
        .checked_mul(of)
        .ok_or_else(|| format!("{text} is too large"))
}

/// A size for people: exact where a unit divides it.
pub fn show(bytes: u64) -> String {
    match UNITS
        .iter()
        .find(|(_, of)| bytes >= *of && bytes.is_multiple_of(*of))
    {
        Some((unit, of)) => format!("{}{unit}", bytes / of),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_shown() {
        for (text, bytes) in [
            ("1g", Some(1 << 30)),
            ("512M", Some(512 << 20)),
            ("64MiB", Some(64 << 20)),
            ("2tb", Some(2 << 40)),
            ("1000", Some(1000)),
            ("7b", Some(7)),
            ("", None),
            ("g", None),
            ("1.5g", None),
            ("1x", None),
            ("1ib", None),
            ("-1g", None),
            ("99999999999999t", None),
        ] {
            assert_eq!(parse(text).ok(), bytes, "{text}");
        }
        for (bytes, text) in [(1 << 30, "1g"), (1536 << 20, "1536m"), (1001, "1001 bytes")] {
            assert_eq!(show(bytes), text);
        }
    }
}
