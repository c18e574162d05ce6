//! `[[alarm]]`: what a customer's monitoring would say.

use super::fields::{Fields, Mistakes, wrong_type};
use super::promises::name;
use super::selection::{self, Fed, Places};
use super::values::{self, MAX_DURATION, show};
use gameday_record::{AlarmRule, AlarmSpec};
use std::ops::Range;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Burn rate of the fastest of the SRE workbook's alarms (chapter 5, table
/// 5-8): 2 % of a month's error budget in an hour.
const FACTOR: f64 = 14.4;
/// Long window: an hour of the workbook becomes a minute of a game day.
const LONG: Duration = Duration::from_secs(60);
/// The short window is this part of the long one, as in the workbook.
const SHORT_PART: u64 = 12;
/// Alarms look at whole seconds: none can be known of sooner.
const SOONEST: Duration = Duration::from_secs(1);
/// What is promised if the alarm does not say.
const OBJECTIVE: f64 = 0.999;

/// One `[[alarm]]`; `None` only if a mistake was recorded.
pub(super) fn alarm(
    t: &DeTable<'_>,
    span: Range<usize>,
    fed: &Fed<'_>,
    m: &mut Mistakes<'_>,
) -> Option<(AlarmSpec, Places)> {
    let known: Vec<&str> = ["name", "failures", "burn_rate", "stop", "expect", "within"]
        .into_iter()
        .chain(selection::KEYS)
        .collect();
    let f = Fields::new(t, span, "[[alarm]]", &known, m);
    let name = name(&f, "alarm", "name = \"customers notice\"", m);
    let selection = selection::read(&f, fed, m);
    let rule = match (inline(&f, "failures", m), inline(&f, "burn_rate", m)) {
        _ if f.get("failures").is_some() && f.get("burn_rate").is_some() => {
            m.wrong(
                f.key_span("burn_rate"),
                "an alarm has one rule, 'failures' or 'burn_rate'",
            );
            None
        }
        (Some((t, span)), _) => failures(t, span, m),
        (None, Some((t, span))) => burn_rate(t, span, m),
        (None, None) => Some(AlarmRule::default()),
    };
    let expect = f.flag("expect", m);
    let within = f.duration("within", SOONEST..=MAX_DURATION, m);
    if f.get("within").is_some() && expect != Some(true) {
        m.wrong_help(
            f.key_span("within"),
            "'within' says how soon an alarm fires that is to fire",
            "expect = true",
        );
    }
    let alarm = AlarmSpec {
        stop: f.flag("stop", m).unwrap_or(false),
        expect,
        within_ms: within.map(|d| d.as_millis() as u64),
        rule: rule?,
        name: name?,
        selection,
    };
    Some((alarm, Places::of(&f)))
}

fn inline<'t, 'i>(
    f: &Fields<'t, 'i>,
    key: &str,
    m: &mut Mistakes<'_>,
) -> Option<(&'t DeTable<'i>, Range<usize>)> {
    let value = f.get(key)?;
    match value.get_ref() {
        DeValue::Table(t) => Some((t, value.span())),
        other => {
            let example = match key {
                "failures" => "a table such as { above = \"1%\", bad = 3, of = 5, at_least = 5 }",
                _ => "a table such as { objective = \"99.9%\", factor = 14.4, long = \"60s\" }",
            };
            wrong_type(key, example, other, value.span(), m)
        }
    }
}

/// `{ above = "1%", bad = 3, of = 5, at_least = 5 }`: more than 1 % failed in
/// 3 of 5 seconds, and in all of these at least 5.
fn failures(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> Option<AlarmRule> {
    let known = ["above", "bad", "of", "at_least"];
    let f = Fields::new(t, span, "an alarm's 'failures'", &known, m);
    let AlarmRule::Failures {
        mut share,
        mut bad,
        mut of,
        mut failures,
    } = AlarmRule::default()
    else {
        unreachable!("the default rule counts failures");
    };
    let mut complete = true;
    if f.get("above").is_some() {
        match f.share("above", values::part, m) {
            Some(above) => share = above,
            None => complete = false,
        }
    }
    // The ranges of the whole numbers fit their types.
    let mut whole = |key, most, into: &mut u64| {
        if f.get(key).is_some() {
            match f.whole(key, 1..=most, m) {
                Some(n) => *into = n,
                None => complete = false,
            }
        }
    };
    let (mut bad_seconds, mut of_seconds) = (u64::from(bad), u64::from(of));
    whole("bad", 3600, &mut bad_seconds);
    whole("of", 3600, &mut of_seconds);
    whole("at_least", 1_000_000_000, &mut failures);
    if !complete {
        return None;
    }
    (bad, of) = (bad_seconds as u32, of_seconds as u32);
    if bad > of {
        let key = if f.get("bad").is_some() { "bad" } else { "of" };
        m.wrong_help(
            f.key_span(key),
            format!("{bad} bad seconds of {of} are not possible"),
            "bad = 3, of = 5",
        );
        return None;
    }
    Some(AlarmRule::Failures {
        share,
        bad,
        of,
        failures,
    })
}

/// `{ objective = "99.9%", factor = 14.4, long = "60s", short = "5s", clean_before = true }`.
fn burn_rate(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> Option<AlarmRule> {
    let known = ["objective", "factor", "long", "short", "clean_before"];
    let f = Fields::new(t, span, "an alarm's 'burn_rate'", &known, m);
    let objective = match f.get("objective") {
        Some(_) => f.share("objective", values::promised, m),
        None => Some(OBJECTIVE),
    };
    let factor = match f.get("factor") {
        Some(_) => f.number("factor", 0.01..=100_000.0, m),
        None => Some(FACTOR),
    };
    let long_ms = match f.get("long") {
        Some(_) => f.seconds("long", Duration::from_secs(2)..=MAX_DURATION, m),
        None => Some(millis(LONG)),
    };
    let short_ms = match f.get("short") {
        Some(_) => f.seconds("short", Duration::from_secs(1)..=MAX_DURATION, m),
        None => long_ms.map(|long| (long / 1000 / SHORT_PART).max(1) * 1000),
    };
    let clean_before = match f.get("clean_before") {
        Some(_) => f.flag("clean_before", m),
        None => Some(true),
    };
    let (objective, factor) = (objective?, factor?);
    let (long_ms, short_ms) = (long_ms?, short_ms?);
    let mut possible = true;
    if short_ms >= long_ms {
        m.wrong(
            f.key_span("short"),
            format!(
                "the short window is shorter than the long one, {}",
                show(Duration::from_millis(long_ms))
            ),
        );
        possible = false;
    }
    let above = factor * (1.0 - objective);
    if above >= 1.0 {
        let key = if f.get("factor").is_some() {
            "factor"
        } else {
            "objective"
        };
        m.wrong_help(
            f.key_span(key),
            format!(
                "it could never fire: {factor} times the error budget of {} is everything or more",
                values::show_share(1.0 - objective)
            ),
            format!("a factor below {:.1}", 1.0 / (1.0 - objective)),
        );
        possible = false;
    }
    let clean_before = clean_before?;
    possible.then_some(AlarmRule::BurnRate {
        objective,
        long_ms,
        short_ms,
        factor,
        clean_before,
    })
}

fn millis(d: Duration) -> u64 {
    // Bounded by MAX_DURATION.
    d.as_millis() as u64
}
