//! `[slo]` and `[[objective]]`: what must hold.

use super::fields::{Fields, Mistakes, clip};
use super::selection::{self, Fed, Places};
use super::values::MAX_DURATION;
use gameday_record::{Kind, Objective, SloSpec, Target};
use std::ops::Range;
use std::time::Duration;
use toml::de::DeTable;

const SHORT: [&str; 5] = [
    "write_availability",
    "read_availability",
    "eventual_read_availability",
    "max_write_gap",
    "recover_within",
];

/// AWS's slices.
const SLICE_MS: u64 = 300_000;

/// `[slo]`, without objectives.
pub(super) fn slo(
    t: &DeTable<'_>,
    span: Range<usize>,
    fed: &Fed<'_>,
    m: &mut Mistakes<'_>,
) -> (SloSpec, Places) {
    let known = ["count", SHORT[0], SHORT[1], SHORT[2], SHORT[3], SHORT[4]];
    let f = Fields::new(t, span, "[slo]", &known, m);
    for (key, kind) in [
        (SHORT[0], Kind::Write),
        (SHORT[1], Kind::StrongRead),
        (SHORT[2], Kind::EventualRead),
        (SHORT[3], Kind::Write),
    ] {
        if f.get(key).is_some() {
            selection::must_be_fed(&f, key, Some(kind), fed, m);
        }
    }
    let slo = SloSpec {
        scope: selection::scope(&f, m),
        write_availability: f.percent(SHORT[0], m),
        read_availability: f.percent(SHORT[1], m),
        eventual_read_availability: f.percent(SHORT[2], m),
        max_write_gap_ms: f.duration(SHORT[3], at_most(), m).map(millis),
        recover_within_ms: f.duration(SHORT[4], at_most(), m).map(millis),
        objectives: Vec::new(),
    };
    (slo, Places::of(&f))
}

/// The service level indicators, and the keys that each needs beside its own.
const SLIS: [(&str, &[&str]); 8] = [
    ("availability", &["at_least"]),
    ("request-availability", &["at_least"]),
    ("sliced-availability", &["at_least"]),
    ("uptime", &["at_least"]),
    ("worst-window", &["window", "at_least"]),
    ("latency", &["quantile", "at_most"]),
    ("longest-gap", &["at_most"]),
    ("recovery", &["at_most"]),
];

/// Keys of targets, with an example for who forgot one.
const TARGET: [(&str, &str); 5] = [
    ("at_least", "at_least = \"99.9%\""),
    ("at_most", "at_most = \"200ms\""),
    ("quantile", "quantile = 0.99"),
    ("window", "window = \"10s\""),
    ("slice", "slice = \"5m\""),
];

/// One `[[objective]]`; `None` only if a mistake was recorded.
pub(super) fn objective(
    t: &DeTable<'_>,
    span: Range<usize>,
    fed: &Fed<'_>,
    m: &mut Mistakes<'_>,
) -> Option<(Objective, Places)> {
    let known: Vec<&str> = ["name", "sli"]
        .into_iter()
        .chain(selection::KEYS)
        .chain(TARGET.map(|(key, _)| key))
        .collect();
    let f = Fields::new(t, span, "[[objective]]", &known, m);
    let name = name(&f, "objective", "name = \"reads are fast\"", m);
    if let Some(name) = &name
        && SHORT.contains(&name.as_str())
    {
        m.wrong(
            f.get("name").map_or(f.span.clone(), |v| v.span()),
            format!("'{name}' is the name of a key of [slo]"),
        );
    }
    let selection = selection::read(&f, fed, m);
    let objective = Objective {
        target: target(&f, m)?,
        name: name?,
        selection,
    };
    Some((objective, Places::of(&f)))
}

fn target(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<Target> {
    let names = SLIS.map(|(name, _)| name);
    if f.get("sli").is_none() {
        m.missing(
            f.span.clone(),
            "the objective does not say what is measured",
            format!("sli = one of {}", names.join(", ")),
        );
    }
    let sli = f.word("sli", &SLIS.map(|(name, _)| (name, name)), m)?;
    let needed = SLIS
        .iter()
        .find(|(name, _)| *name == sli)
        .map_or(&[][..], |(_, needed)| needed);
    let mut complete = true;
    for (key, example) in TARGET {
        let there = f.get(key).is_some();
        let allowed = needed.contains(&key) || (sli, key) == ("sliced-availability", "slice");
        if there && !allowed {
            m.wrong_help(
                f.key_span(key),
                format!("'{key}' does not go with sli = \"{sli}\""),
                format!("'{sli}' takes {}", needed.join(" and ")),
            );
            complete = false;
        } else if !there && needed.contains(&key) {
            m.missing(
                f.span.clone(),
                format!("an objective on {sli} has no '{key}'"),
                example,
            );
            complete = false;
        }
    }
    // Everything is read, so that everything wrong is told.
    let least = f.percent("at_least", m);
    let most = f.duration("at_most", at_most(), m).map(millis);
    let quantile = f.number("quantile", 0.000_001..=0.999_999, m);
    let seconds = || Duration::from_secs(1)..=MAX_DURATION;
    let window_ms = f.seconds("window", seconds(), m);
    let slice_ms = match f.get("slice") {
        Some(_) => f.seconds("slice", seconds(), m),
        None => Some(SLICE_MS),
    };
    if !complete {
        return None;
    }
    Some(match sli {
        "availability" => Target::Availability { at_least: least? },
        "request-availability" => Target::RequestAvailability { at_least: least? },
        "sliced-availability" => Target::SlicedAvailability {
            slice_ms: slice_ms?,
            at_least: least?,
        },
        "uptime" => Target::Uptime { at_least: least? },
        "worst-window" => Target::WorstWindow {
            window_ms: window_ms?,
            at_least: least?,
        },
        "latency" => Target::Latency {
            quantile: quantile?,
            at_most_ms: most?,
        },
        "longest-gap" => Target::LongestGap { at_most_ms: most? },
        _ => Target::Recovery { at_most_ms: most? },
    })
}

/// The name of an objective or an alarm.
pub(super) fn name(
    f: &Fields<'_, '_>,
    what: &str,
    example: &str,
    m: &mut Mistakes<'_>,
) -> Option<String> {
    if f.get("name").is_none() {
        m.missing(f.span.clone(), format!("the {what} has no name"), example);
    }
    Some(f.text("name", 80, m)?.replace('\n', " "))
}

/// Says which names of a list stand twice.
pub(super) fn unique<'a>(
    what: &str,
    names: impl Iterator<Item = (&'a str, &'a Places)>,
    m: &mut Mistakes<'_>,
) {
    let mut seen: Vec<&str> = Vec::new();
    for (name, places) in names {
        if seen.contains(&name) {
            m.wrong(
                places.name.clone(),
                format!("there is already an {what} '{}'", clip(name)),
            );
        }
        seen.push(name);
    }
}

fn at_most() -> std::ops::RangeInclusive<Duration> {
    Duration::from_millis(1)..=MAX_DURATION
}

fn millis(d: Duration) -> u64 {
    // Bounded by MAX_DURATION.
    d.as_millis() as u64
}
