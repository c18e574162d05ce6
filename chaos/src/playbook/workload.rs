//! `[workload]`: what the canaries do.

use super::fields::{Fields, Mistakes, wrong_type};
use gameday_record::{KeyChoice, WorkloadSpec};
use std::ops::Range;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

const SHARES: [&str; 6] = [
    "writes",
    "inserts",
    "cas",
    "adds",
    "strong_reads",
    "eventual_reads",
];

const KNOWN: [&str; 15] = [
    "rate",
    "keys",
    "choice",
    "tables",
    SHARES[0],
    SHARES[1],
    SHARES[2],
    SHARES[3],
    SHARES[4],
    SHARES[5],
    "timeout",
    "slow_after",
    "item_bytes",
    "fresh_connections",
    "attempts",
];

/// Skew of YCSB's zipfian choice.
const YCSB_THETA: f64 = 0.99;

pub(super) fn read(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> WorkloadSpec {
    let f = Fields::new(t, span, "[workload]", &KNOWN, m);
    let mut spec = WorkloadSpec::default();
    if let Some(rate) = f.number("rate", 1.0..=1000.0, m) {
        spec.rate = rate;
    }
    // The ranges of the whole numbers fit their types.
    if let Some(n) = f.whole("keys", 1..=100_000, m) {
        spec.keys = n as u32;
    }
    if let Some(choice) = choice(&f, spec.keys, m) {
        spec.choice = choice;
    }
    if let Some(n) = f.whole("tables", 1..=8, m) {
        spec.tables = n as u32;
    }
    shares(&f, &mut spec, m);
    let limits = Duration::from_millis(50)..=Duration::from_secs(60);
    if let Some(timeout) = f.duration("timeout", limits, m) {
        // At most a minute.
        spec.timeout_ms = timeout.as_millis() as u64;
    }
    // An answer that is later than the timeout is none already.
    let least = Duration::from_millis(1);
    let most = Duration::from_millis(spec.timeout_ms) - least;
    if let Some(slow) = f.duration("slow_after", least..=most, m) {
        spec.slow_after_ms = Some(slow.as_millis() as u64);
    }
    if let Some((least, most)) = item_bytes(&f, m) {
        (spec.item_bytes, spec.item_bytes_max) = (least, most);
    }
    if let Some(share) = f.number("fresh_connections", 0.0..=1.0, m) {
        spec.fresh_connections = share;
    }
    if let Some(n) = f.whole("attempts", 1..=10, m) {
        spec.attempts = n as u32;
    }
    spec
}

/// The shares of the calls, which are 1 together.
fn shares(f: &Fields<'_, '_>, spec: &mut WorkloadSpec, m: &mut Mistakes<'_>) {
    let fields = [
        &mut spec.writes,
        &mut spec.inserts,
        &mut spec.cas,
        &mut spec.adds,
        &mut spec.strong_reads,
        &mut spec.eventual_reads,
    ];
    let mut readable = true;
    let mut sum = 0.0;
    let mut shown = Vec::new();
    for (key, field) in SHARES.into_iter().zip(fields) {
        match f.number(key, 0.0..=1.0, m) {
            Some(share) => *field = share,
            None => readable &= f.get(key).is_none(),
        }
        sum += *field;
        shown.push(format!("{key} = {field}"));
    }
    if readable && (sum - 1.0).abs() > 1e-6 {
        let first = SHARES.into_iter().find(|k| f.get(k).is_some());
        m.wrong_help(
            f.key_span(first.unwrap_or_default()),
            format!(
                "the shares of the workload are together {}, not 1",
                (sum * 1e6).round() / 1e6
            ),
            format!("{} (what is not written has its default)", shown.join(", ")),
        );
    }
}

/// `"uniform"`, `"zipfian"`, `{ zipfian = 0.99 }` or `{ hot = 3, share = 0.8 }`.
fn choice(f: &Fields<'_, '_>, keys: u32, m: &mut Mistakes<'_>) -> Option<KeyChoice> {
    const FORMS: &str = "\"uniform\", { zipfian = 0.99 } or { hot = 3, share = 0.8 }";
    let value = f.get("choice")?;
    let table = match value.get_ref() {
        DeValue::String(_) => {
            let zipfian = KeyChoice::Zipfian { theta: YCSB_THETA };
            let words = [("uniform", KeyChoice::Uniform), ("zipfian", zipfian)];
            return f.word("choice", &words, m);
        }
        DeValue::Table(table) => table,
        other => return wrong_type("choice", FORMS, other, value.span(), m),
    };
    let c = Fields::new(
        table,
        value.span(),
        "a choice of keys",
        &["zipfian", "hot", "share"],
        m,
    );
    match (c.get("zipfian"), c.get("hot"), c.get("share")) {
        (Some(_), None, None) => c
            .number("zipfian", 0.01..=2.0, m)
            .map(|theta| KeyChoice::Zipfian { theta }),
        (None, Some(_), Some(_)) => {
            let hot = c.whole("hot", 1..=u64::from(keys), m);
            let share = c.number("share", 0.0..=1.0, m);
            Some(KeyChoice::Hot {
                keys: hot? as u32,
                share: share?,
            })
        }
        (None, Some(_), None) => {
            m.missing(
                value.span(),
                "the hot keys have no share of the calls",
                "{ hot = 3, share = 0.8 }",
            );
            None
        }
        _ => {
            m.wrong(value.span(), format!("'choice' is {FORMS}"));
            None
        }
    }
}

/// `100`, or `[100, 4000]`: any size between the two.
fn item_bytes(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<(u32, Option<u32>)> {
    const MOST: u64 = 100_000;
    let value = f.get("item_bytes")?;
    let DeValue::Array(pair) = value.get_ref() else {
        return Some((f.whole("item_bytes", 0..=MOST, m)? as u32, None));
    };
    let [least, most] = pair.as_ref() else {
        m.wrong(
            value.span(),
            "sizes between two are written [100, 4000]: the least and the most",
        );
        return None;
    };
    let mut whole = |value| super::fields::whole("item_bytes", value, 0..=MOST, m);
    let (low, high) = (whole(least), whole(most));
    let (low, high) = (low? as u32, high? as u32);
    if low > high {
        m.wrong(
            value.span(),
            format!("the least size comes first: [{high}, {low}]"),
        );
        return None;
    }
    Some((low, Some(high)))
}
