//! Which alarms fired, how soon, and which should have.

use super::availability::seconds_of;
use crate::alarms::{Change, Watch, rule_text};
use crate::burn::{self, STANDARD, window};
use crate::fold::{Fold, SECOND};
use crate::numbers::up_to_millis;
use crate::overall;
use crate::report::{
    AlarmAfter, AlarmOutcome, AlarmRow, AlarmSource, Firing, InjectionReport, Measured,
};
use gameday_record::{AlarmRule, AlarmSpec, Nanos, Objective, Target, Verdict};
use std::collections::BTreeSet;
use std::time::Duration;

/// What alarms are judged by.
pub struct Observed<'a> {
    /// First attempts of the measured time.
    pub fold: &'a Fold,
    /// Those of the playbook.
    pub alarms: &'a [AlarmSpec],
    /// What is promised.
    pub objectives: &'a [Objective],
    /// Injections with their impact.
    pub injections: &'a [InjectionReport],
    /// AZs that faults touched.
    pub touched: &'a BTreeSet<String>,
    /// The measured time.
    pub measured: Measured,
    /// True if the run went through all phases and its history is complete.
    pub whole: bool,
    /// True if faults were to be injected; a canary that measures alone has none.
    pub game_day: bool,
    /// What the run's own watch told: when, and that this alarm fired.
    pub told: &'a [(Nanos, String)],
}

struct Asked {
    spec: AlarmSpec,
    source: AlarmSource,
    severity: &'static str,
}

/// One row per alarm: the playbook's, then the standard set of every
/// availability objective with real windows, then with windows scaled to the run.
pub fn rows(o: &Observed<'_>) -> Vec<AlarmRow> {
    let asked = asked(o);
    let mut watch = Watch::new(
        asked.iter().map(|a| a.spec.clone()).collect(),
        o.measured.from,
        Duration::ZERO,
    );
    for i in o.injections {
        watch.touch(&i.injection.azs, i.intent);
    }
    let changes = watch.finish(o.fold, o.measured.to);
    asked
        .into_iter()
        .enumerate()
        .map(|(n, a)| row(a, changes.iter().filter(|c| c.alarm == n), o))
        .collect()
}

fn asked(o: &Observed<'_>) -> Vec<Asked> {
    let mut out: Vec<Asked> = o
        .alarms
        .iter()
        .map(|spec| Asked {
            spec: spec.clone(),
            source: AlarmSource::Playbook,
            severity: "",
        })
        .collect();
    let (from, to) = seconds_of(o.measured);
    for source in [AlarmSource::Standard, AlarmSource::Scaled] {
        if source == AlarmSource::Scaled && !o.game_day {
            // Who measures for days has no need of windows of seconds.
            continue;
        }
        for objective in o.objectives {
            let Target::Availability { at_least } = objective.target else {
                continue;
            };
            if at_least >= 1.0 {
                // No budget, no burn rate.
                continue;
            }
            for s in STANDARD {
                let rule = match source {
                    AlarmSource::Scaled => s.scaled(at_least, to - from),
                    _ => s.rule(at_least),
                };
                let (long, short) = match rule {
                    AlarmRule::BurnRate {
                        long_ms, short_ms, ..
                    } => (window(long_ms), window(short_ms)),
                    AlarmRule::Failures { .. } => continue,
                };
                let watched = |a: &AlarmSpec| a.rule == rule && a.selection == objective.selection;
                if o.alarms.iter().any(watched) {
                    continue;
                }
                out.push(Asked {
                    spec: AlarmSpec {
                        name: format!("{} {} {long}/{short}", objective.name, s.severity),
                        selection: objective.selection.clone(),
                        rule,
                        stop: false,
                        expect: None,
                        within_ms: None,
                    },
                    source,
                    severity: s.severity,
                });
            }
        }
    }
    out
}

fn row<'a>(a: Asked, changes: impl Iterator<Item = &'a Change>, o: &Observed<'_>) -> AlarmRow {
    let mut firings: Vec<Firing> = Vec::new();
    for c in changes {
        if c.firing {
            let cause = cause(o.injections, c.at, reach(&a.spec.rule));
            firings.push(Firing {
                at: c.at,
                known_at: c.known_at,
                live_at: None,
                cleared: None,
                who: c.who.clone(),
                observed: c.observed.clone(),
                injection: cause.map(|(id, _)| id),
                after_ms: cause.map(|(_, act)| up_to_millis(c.known_at.0 - act.0)),
            });
        } else if let Some(last) = firings.last_mut() {
            last.cleared = Some(c.at);
        }
    }
    if a.source == AlarmSource::Playbook {
        tell(&mut firings, &a.spec.name, o.told);
    }
    let after: Vec<AlarmAfter> = o
        .injections
        .iter()
        .filter_map(|i| Some((i, i.injected?)))
        .map(|(i, act)| AlarmAfter {
            injection: i.injection.id,
            fired_ms: fired_after(&firings, act, next_act(o.injections, act)),
            formula_ms: formula(&a.spec, i, o),
        })
        .collect();
    let (outcome, verdict, why) = judge(&a, &firings, &after, o);
    AlarmRow {
        rule_text: rule_text(&a.spec.rule),
        name: a.spec.name,
        source: a.source,
        severity: a.severity.into(),
        selection: a.spec.selection,
        rule: a.spec.rule,
        stop: a.spec.stop,
        expect: a.spec.expect,
        within_ms: a.spec.within_ms,
        firings,
        after,
        outcome,
        verdict,
        why,
    }
}

/// Fills in when the run's own watch told of the firings: at the first telling after each and
/// before the next.
fn tell(firings: &mut [Firing], name: &str, told: &[(Nanos, String)]) {
    let mut told = told
        .iter()
        .filter(|(_, n)| n == name)
        .map(|(at, _)| *at)
        .peekable();
    for n in 0..firings.len() {
        let next = firings.get(n + 1).map_or(Nanos::FOREVER, |f| f.at);
        while told.next_if(|t| *t < firings[n].at).is_some() {}
        firings[n].live_at = told.next_if(|t| *t < next);
    }
}

/// How far back an alarm looks.
fn reach(rule: &AlarmRule) -> Duration {
    match rule {
        AlarmRule::Failures { of, .. } => Duration::from_secs(u64::from(*of)),
        AlarmRule::BurnRate { long_ms, .. } => Duration::from_millis(*long_ms),
    }
}

/// The last injection that was carried out before `at`, if what an alarm saw that fired then, and
/// looks so far back, reaches into its impact.
fn cause(injections: &[InjectionReport], at: Nanos, reach: Duration) -> Option<(u32, Nanos)> {
    injections
        .iter()
        .filter_map(|i| Some((i, i.injected?)))
        .filter(|(i, act)| {
            let end = i.impact.as_ref().map_or(*act, |x| x.window.to);
            *act < at && at - reach <= end
        })
        .map(|(i, act)| (i.injection.id, act))
        .max_by_key(|(_, act)| *act)
}

fn next_act(injections: &[InjectionReport], act: Nanos) -> Nanos {
    injections
        .iter()
        .filter_map(|i| i.injected)
        .filter(|t| *t > act)
        .min()
        .unwrap_or(Nanos::FOREVER)
}

/// When it could be known that it first fired after `act` and before `next`; zero if it still
/// fired from before.
fn fired_after(firings: &[Firing], act: Nanos, next: Nanos) -> Option<u64> {
    let still = firings
        .iter()
        .any(|f| f.at <= act && f.cleared.is_none_or(|c| c > act));
    if still {
        return Some(0);
    }
    firings
        .iter()
        .find(|f| f.at > act && f.at <= next)
        .map(|f| up_to_millis(f.known_at.0 - act.0))
}

/// When it should fire after an injection by `b (1 - SLO) long / e`, if the
/// errors of its window last that long.
fn formula(spec: &AlarmSpec, i: &InjectionReport, o: &Observed<'_>) -> Option<u64> {
    let AlarmRule::BurnRate {
        objective,
        long_ms,
        factor,
        clean_before: true,
        ..
    } = spec.rule
    else {
        return None;
    };
    let w = i.impact.as_ref()?.window;
    let (from, to) = (w.from.0 / SECOND, w.to.0.div_ceil(SECOND));
    let last = to.checked_sub(1)?;
    let c = o
        .fold
        .counts(from, last, |c| c.is_in(&spec.selection, o.touched));
    let errors = c.missed() as f64 / c.attempts().max(1) as f64;
    let t = burn::fires_after(factor, objective, long_ms as f64 / 1000.0, errors)?;
    (t <= (to - from) as f64).then_some((t * 1000.0).ceil() as u64)
}

/// Why a firing was late, if it was: later than twice what the formula says,
/// and by more than the two seconds that whole seconds may cost, both by the due times
/// that the formula speaks of; for other rules, known only after the fault had been reverted.
fn lateness(firings: &[Firing], after: &AlarmAfter, o: &Observed<'_>) -> Option<String> {
    let fired = after.fired_ms?;
    let i = o
        .injections
        .iter()
        .find(|i| i.injection.id == after.injection)?;
    match after.formula_ms {
        Some(formula) => {
            let first = firings.iter().find(|f| Some(f.at) > i.injected)?;
            let due = up_to_millis(first.at.0 - i.injected?.0);
            (fired > 0 && due > 2 * formula + 2_000)
                .then(|| format!("its formula says {}", crate::numbers::millis(formula)))
        }
        None => {
            let held = up_to_millis(i.reverted?.0.saturating_sub(i.injected?.0));
            (fired > held).then(|| {
                format!(
                    "the fault had been reverted after {}",
                    crate::numbers::millis(held)
                )
            })
        }
    }
}

/// The firing that could be known latest after its injection, if that was later than
/// `most` milliseconds, and by how many.
fn over<'a>(firings: &'a [Firing], after: &[AlarmAfter], most: u64) -> Option<(&'a Firing, u64)> {
    let latest = after.iter().max_by_key(|x| x.fired_ms)?;
    let mut of = firings
        .iter()
        .filter(|f| f.injection == Some(latest.injection));
    let first = of.find(|f| f.after_ms == latest.fired_ms)?;
    Some((
        first,
        first.after_ms?.checked_sub(most).filter(|by| *by > 0)?,
    ))
}

fn judge(
    a: &Asked,
    firings: &[Firing],
    after: &[AlarmAfter],
    o: &Observed<'_>,
) -> (AlarmOutcome, Verdict, String) {
    use AlarmOutcome as O;
    if o.measured.operations == 0 {
        let verdict = match a.spec.expect {
            Some(_) => Verdict::Unknown,
            None => Verdict::Pass,
        };
        return (O::Unknown, verdict, "Nothing was measured.".into());
    }
    let drill = !o.injections.is_empty();
    // In a drill, what fired without a fault near was not its doing.
    let early = firings.iter().find(|f| drill && f.injection.is_none());
    let due = firings.iter().find(|f| !drill || f.injection.is_some());
    let late = after.iter().find_map(|x| lateness(firings, x, o));
    let when = |f: &Firing| match (f.injection, f.after_ms) {
        (Some(id), Some(ms)) => {
            let what = o.injections.iter().find(|i| i.injection.id == id);
            format!(
                "fired {} after {}",
                crate::numbers::millis(ms),
                what.map_or_else(|| format!("injection {id}"), overall::name)
            )
        }
        _ => format!("fired at {}", f.known_at),
    };
    let part = if o.whole { "" } else { " in a part of the run" };
    let over = a.spec.within_ms.and_then(|most| over(firings, after, most));
    if let Some((f, by)) = over {
        let why = format!(
            "It {}, {} later than it was to.",
            when(f),
            crate::numbers::millis(by)
        );
        return (O::Late, Verdict::Fail, why);
    }
    let late = late.filter(|_| a.spec.within_ms.is_none());
    match (a.spec.expect, due) {
        (Some(true), Some(f)) => (
            late.as_ref().map_or(O::Fired, |_| O::Late),
            Verdict::Pass,
            match late {
                Some(why) => format!("It was expected and {}: late, {why}.", when(f)),
                None => format!("As expected, it {}.", when(f)),
            },
        ),
        (Some(true), None) => (
            O::Missed,
            if o.whole {
                Verdict::Fail
            } else {
                Verdict::Unknown
            },
            format!(
                "It should have fired and did not{part}{}.",
                early.map_or_else(String::new, |f| format!(" after a fault (it {})", when(f)))
            ),
        ),
        (Some(false), _) if !firings.is_empty() => (
            O::False,
            Verdict::Fail,
            format!(
                "It should not have fired but {}: {}.",
                when(&firings[0]),
                firings[0].observed
            ),
        ),
        (Some(false), _) => (
            O::Quiet,
            if o.whole {
                Verdict::Pass
            } else {
                Verdict::Unknown
            },
            format!("It was not to fire and did not{part}."),
        ),
        (None, _) if early.is_some() => (
            O::False,
            Verdict::Pass,
            format!(
                "It fired with no fault near: {}.",
                early.map_or("", |f| &f.observed)
            ),
        ),
        (None, Some(f)) => {
            let predicted = after
                .iter()
                .any(|x| x.formula_ms.is_some() && x.fired_ms.is_some());
            match late {
                Some(why) => (
                    O::Late,
                    Verdict::Pass,
                    format!("It {}: late, {why}.", when(f)),
                ),
                None => (
                    if predicted { O::Fired } else { O::Told },
                    Verdict::Pass,
                    format!("It {}.", when(f)),
                ),
            }
        }
        (None, None) => match after.iter().find_map(|x| x.formula_ms) {
            Some(ms) => (
                O::Missed,
                Verdict::Pass,
                format!(
                    "It did not fire, although its formula says {}.",
                    crate::numbers::millis(ms)
                ),
            ),
            None => (O::Quiet, Verdict::Pass, "It did not fire.".into()),
        },
    }
}
