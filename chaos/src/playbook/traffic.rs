//! What a step says about the traffic of links: `delay`, `jitter`, `loss`,
//! `duplicate`, `corrupt`, `reorder`, `rate`.

use super::fields::{Fields, Mistakes, clip, wrong_type};
use super::values;
use crate::faults::FaultKind;
use crate::runtime::traffic::{Share, Traffic};
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

/// The keys.
pub(super) const KEYS: [&str; 7] = [
    "delay",
    "jitter",
    "loss",
    "duplicate",
    "corrupt",
    "reorder",
    "rate",
];

/// What a fault that is named after one effect does if the step does not say how much.
const DELAY: Duration = Duration::from_millis(50);
const JITTER: Duration = Duration::from_millis(10);
const SHARE: f64 = 0.2;
const RATE: u64 = 1_000_000;

/// What can be told from nothing, and from a partition, by measuring for a few seconds.
const SHARES: RangeInclusive<f64> = 0.01..=0.99;
/// What can be told from no limit on a busy machine.
const RATES: RangeInclusive<u64> = 64_000..=100_000_000;
/// What can be told from nothing.
const LEAST_DELAY: Duration = Duration::from_millis(5);
/// Messages must have somebody to overtake.
const LEAST_TO_REORDER: Duration = Duration::from_millis(20);

/// Reads the keys; what is missing of a fault named after one effect is filled in.
pub(super) fn read(f: &Fields<'_, '_>, fault: FaultKind, m: &mut Mistakes<'_>) -> Traffic {
    let mut traffic = Traffic {
        delay: f
            .duration("delay", LEAST_DELAY..=Traffic::MAX_DELAY, m)
            .unwrap_or_default(),
        jitter: f
            .duration("jitter", Duration::from_millis(1)..=Traffic::MAX_JITTER, m)
            .unwrap_or_default(),
        loss: share(f, "loss", m),
        duplicate: share(f, "duplicate", m),
        corrupt: share(f, "corrupt", m),
        reorder: share(f, "reorder", m),
        rate: rate(f, m),
    };
    let says = |key: &str| f.get(key).is_some();
    let usual = Share::of(SHARE);
    match fault {
        FaultKind::Delay if !says("delay") => {
            traffic.delay = DELAY;
            if !says("jitter") {
                traffic.jitter = JITTER;
            }
        }
        FaultKind::Loss if !says("loss") => traffic.loss = usual,
        FaultKind::Duplicate if !says("duplicate") => traffic.duplicate = usual,
        FaultKind::Corrupt if !says("corrupt") => traffic.corrupt = usual,
        FaultKind::Reorder => {
            if !says("reorder") {
                traffic.reorder = usual;
            }
            if !says("delay") {
                traffic.delay = DELAY;
            }
        }
        FaultKind::Rate if !says("rate") => traffic.rate = Some(RATE),
        FaultKind::Traffic if !KEYS.iter().any(|key| says(key)) => m.missing(
            f.span.clone(),
            "the step does not say what is done to the traffic",
            "delay = \"50ms\"\njitter = \"10ms\"\nloss = \"20%\"",
        ),
        _ => {}
    }
    contradictions(f, &traffic, m);
    traffic
}

fn contradictions(f: &Fields<'_, '_>, traffic: &Traffic, m: &mut Mistakes<'_>) {
    let read = |key: &str, is: bool| f.get(key).is_none() || is;
    // What could not be read contradicts nothing.
    if !read("delay", !traffic.delay.is_zero()) {
        return;
    }
    if traffic.jitter > traffic.delay {
        let message = if traffic.delay.is_zero() {
            "'jitter' makes a delay vary, and there is none".to_string()
        } else {
            format!(
                "'jitter' is at most the delay, {}",
                values::show(traffic.delay)
            )
        };
        m.wrong_help(
            f.key_span("jitter"),
            message,
            format!("delay = \"{}\"", values::show(traffic.jitter)),
        );
    }
    if !traffic.reorder.is_never() && traffic.rate.is_some() {
        m.wrong(
            f.key_span("rate"),
            "messages that wait for their turn at a rate overtake nobody: no 'rate' with 'reorder'",
        );
    }
    if !traffic.reorder.is_never() && traffic.delay < LEAST_TO_REORDER {
        m.wrong_help(
            f.key_span("reorder"),
            "some messages overtake others only if the others are delayed",
            format!("delay = \"{}\" or more", values::show(LEAST_TO_REORDER)),
        );
    }
}

fn share(f: &Fields<'_, '_>, key: &str, m: &mut Mistakes<'_>) -> Share {
    let Some(share) = f.percent(key, m) else {
        return Share::default();
    };
    if !SHARES.contains(&share) {
        m.wrong_help(
            f.key_span(key),
            format!("'{key}' is from 1% to 99%"),
            "less could not be proven; all of it is a partition",
        );
        return Share::default();
    }
    Share::of(share)
}

fn rate(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<u64> {
    let value = f.get("rate")?;
    let DeValue::String(text) = value.get_ref() else {
        let expected = "a rate such as \"1mbit\"";
        return wrong_type("rate", expected, value.get_ref(), value.span(), m);
    };
    let problem = match values::rate(text) {
        Ok(bits) if RATES.contains(&bits) => return Some(bits),
        Ok(_) => format!(
            "'rate' is from {} to {}, not {}",
            values::show_rate(*RATES.start()),
            values::show_rate(*RATES.end()),
            clip(text)
        ),
        Err(e) => e,
    };
    m.wrong(value.span(), problem);
    None
}
