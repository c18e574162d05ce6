//! One form for all that are equal in Clojure.
//!
//! After `clojure.core/=`: lists equal vectors; sets and maps equal in any
//! order; decimals equal whatever their scale, floats where their numbers do,
//! but neither equals an integer. Instants and UUIDs equal where they name the
//! same one.

use super::Edn;

impl Edn<'_> {
    /// The form that stands for all that are equal to this one: two forms are
    /// equal if and only if their canonical forms are.
    pub fn canonical(&self) -> Self {
        match self {
            Edn::List(forms) | Edn::Vector(forms) => Edn::Vector(all(forms)),
            Edn::Set(forms) => {
                let mut forms = all(forms);
                forms.sort_by_cached_key(Edn::to_string);
                forms.dedup();
                Edn::Set(forms)
            }
            Edn::Map(entries) => {
                let both = |(k, v): &(Self, Self)| (k.canonical(), v.canonical());
                let mut entries: Vec<_> = entries.iter().map(both).collect();
                entries.sort_by_cached_key(|(k, _)| k.to_string());
                Edn::Map(entries)
            }
            Edn::Number(text) => Edn::Number(number(text)),
            Edn::Tagged(tag, form) => {
                let form = match (*tag, &**form) {
                    ("uuid", Edn::Text(text)) => Edn::Text(text.to_lowercase().into()),
                    ("inst", Edn::Text(text)) => match instant(text) {
                        Some(text) => Edn::Text(text.into()),
                        None => Edn::Text(text.clone()),
                    },
                    (_, form) => form.canonical(),
                };
                Edn::Tagged(tag, Box::new(form))
            }
            other => other.clone(),
        }
    }
}

fn all<'a>(forms: &[Edn<'a>]) -> Vec<Edn<'a>> {
    forms.iter().map(Edn::canonical).collect()
}

/// `1.50M` is `15e-1M`: digits without zeros at the end, and a power of ten.
fn number(text: &str) -> String {
    let Some(decimal) = text.strip_suffix('M') else {
        let zero = text.strip_prefix('-').filter(|rest| *rest == "0.0");
        return zero.unwrap_or(text).into();
    };
    let (sign, decimal) = match decimal.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", decimal),
    };
    let (digits, power) = decimal.split_once(['e', 'E']).unwrap_or((decimal, "0"));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let Ok(power) = power.parse::<i64>() else {
        return text.into();
    };
    let all = format!("{whole}{part}");
    let digits = all.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return "0M".into();
    }
    let dropped = (digits.len() - kept.len()) as i64;
    let power = power.saturating_add(dropped - part.len() as i64);
    format!("{sign}{kept}e{power}M")
}

/// A point in time as seconds since 1970 and nanoseconds; `None` if it is
/// none. Parts that are left out are the first of their kind, as Clojure reads
/// them: `2018-10`, `2018-10-24T10:00`, `2018-10-24T12:00:00.000+02:00`.
fn instant(text: &str) -> Option<String> {
    let (date, rest) = match text.split_once('T') {
        Some((date, rest)) => (date, rest),
        None => (text, "00:00:00"),
    };
    let mut date = date.splitn(3, '-');
    let year: i64 = plain(date.next()?)?;
    let month: i64 = date.next().map_or(Some(1), plain)?;
    let day: i64 = date.next().map_or(Some(1), plain)?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    let zone = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone);
    let (clock, part) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = clock.splitn(3, ':');
    let mut next = || clock.next().map_or(Some(0), plain);
    let seconds = next()? * 3600 + next()? * 60 + next()?;
    let east = match zone.get(1..).and_then(|z| z.split_once(':')) {
        Some((hours, minutes)) => plain(hours)? * 3600 + plain(minutes)? * 60,
        None => 0,
    };
    let east = if zone.starts_with('-') { -east } else { east };
    let nanos = plain(&format!("{part:0<9}"))?;
    let total = days(year, month, day) * 86_400 + seconds - east;
    Some(format!("{total}.{nanos:09}"))
}

/// A number of at most nine digits.
fn plain(digits: &str) -> Option<i64> {
    let fits = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| digits.parse().ok())?
}

/// Days since 1970-01-01 in the Gregorian calendar.
/// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.)
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::super::Reader;

    fn canonical(text: &str) -> String {
        let form = Reader::new(text).form().unwrap().unwrap();
        form.canonical().to_string()
    }

    #[test]
    fn what_clojure_calls_equal_has_one_form() {
        for (a, b) in [
            ("(1 2 3)", "[1 2 3]"),
            ("#{3 1 2}", "#{1 2 3}"),
            ("{:a 1 :b (2)}", "{:b [2] :a 1}"),
            ("1.50M", "1.5M"),
            ("15e1M", "150M"),
            ("-0.0M", "0M"),
            ("1N", "1"),
            ("1e3", "1000.0"),
            ("-0.0", "0.0"),
            ("[#{(1) [2]}]", "[#{[2] [1]}]"),
            (
                "#uuid \"F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6\"",
                "#uuid \"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\"",
            ),
            (
                "#inst \"2018-10-24T12:00:00.000+02:00\"",
                "#inst \"2018-10-24T10:00:00Z\"",
            ),
            ("#inst \"2018\"", "#inst \"2018-01-01T00:00:00.000-00:00\""),
        ] {
            assert_eq!(canonical(a), canonical(b), "{a} {b}");
        }
    }

    #[test]
    fn what_clojure_calls_different_stays_so() {
        for (a, b) in [
            ("1", "1.0"),
            ("1.5", "1.5M"),
            ("1", "1M"),
            ("#{1 2}", "[1 2]"),
            ("1.5M", "15M"),
            ("\"a\"", ":a"),
            ("#uuid \"a\"", "\"a\""),
            ("#inst \"2018-10-24\"", "#inst \"2018-10-25\""),
            (
                "#inst \"2018-10-24T10\"",
                "#inst \"2018-10-24T10:00:00.001\"",
            ),
        ] {
            assert_ne!(canonical(a), canonical(b), "{a} {b}");
        }
    }
}
