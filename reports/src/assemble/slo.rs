//! Objectives against what was seen.

use super::timeline::proven_gone;
use crate::numbers::{self, limit_percent, millis};
use crate::overall;
use crate::recovery::SPAN;
use crate::report::{Availability, Gap, InjectionReport, SloRow};
use gameday_record::{Nanos, Selection, SloSpec, Verdict};

/// What objectives are judged by.
pub struct Observed<'a> {
    /// The objectives.
    pub spec: &'a SloSpec,
    /// Writes.
    pub write: &'a Availability,
    /// Strong reads.
    pub read: &'a Availability,
    /// Eventual reads.
    pub eventual: &'a Availability,
    /// Longest write gap.
    pub write_gap: Option<Gap>,
    /// Injections with their impact.
    pub injections: &'a [InjectionReport],
    /// End of measurement.
    pub measured_to: Nanos,
    /// True if the run went through all phases and its history is complete:
    /// an availability over half a run is not the one that was promised.
    pub whole: bool,
}

/// One row per objective given, those that did not hold first.
pub fn rows(o: &Observed<'_>) -> Vec<SloRow> {
    let mut rows: Vec<SloRow> = [
        ("write_availability", "Write availability", o.write),
        ("read_availability", "Strong read availability", o.read),
        (
            "eventual_read_availability",
            "Eventual read availability",
            o.eventual,
        ),
    ]
    .into_iter()
    .filter_map(|(name, objective, a)| Some(ratio(name, objective, a, a.limit?, o.whole)))
    .chain(o.spec.max_write_gap_ms.map(|limit| gap(limit, o)))
    .chain(o.spec.recover_within_ms.map(|limit| recovery(limit, o)))
    .collect();
    rows.sort_by_key(|r| match r.verdict {
        Verdict::Fail => 0,
        Verdict::Unknown => 1,
        Verdict::Pass => 2,
    });
    rows
}

fn ratio(name: &str, objective: &str, a: &Availability, limit: f64, whole: bool) -> SloRow {
    let (observed, verdict) = match a.all.availability() {
        None => ("no operation was measured".into(), Verdict::Unknown),
        Some(_) if !whole => (
            format!("{} over a part of the run", a.text),
            Verdict::Unknown,
        ),
        Some(v) => (
            format!(
                "{} ({} of {} missed)",
                a.text,
                numbers::count(a.all.missed()),
                numbers::count(a.all.attempts())
            ),
            if v >= limit {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
        ),
    };
    SloRow {
        name: name.into(),
        objective: objective.into(),
        observed,
        limit: format!("at least {}", limit_percent(limit)),
        verdict,
        selection: Selection::default(),
        target: None,
        all_text: String::new(),
        untouched_text: String::new(),
        margin: String::new(),
        budget_used: None,
        proven: None,
        doubt: String::new(),
    }
}

fn gap(limit: u64, o: &Observed<'_>) -> SloRow {
    let (observed, verdict) = match o.write_gap {
        _ if o.write.all.attempts() == 0 => ("no write was measured".into(), Verdict::Unknown),
        None => ("nothing was measured".into(), Verdict::Unknown),
        Some(g) => (
            format!(
                "{} from {}{}",
                millis(g.ms()),
                g.from,
                if o.whole {
                    ""
                } else {
                    ", over a part of the run"
                }
            ),
            match (g.ms() <= limit, o.whole) {
                // Too long is too long, however much of the run was seen.
                (false, _) => Verdict::Fail,
                (true, true) => Verdict::Pass,
                (true, false) => Verdict::Unknown,
            },
        ),
    };
    SloRow {
        name: "max_write_gap".into(),
        objective: "Longest write gap".into(),
        observed,
        limit: format!("at most {}", millis(limit)),
        verdict,
        selection: Selection::default(),
        target: None,
        all_text: String::new(),
        untouched_text: String::new(),
        margin: String::new(),
        budget_used: None,
        proven: None,
        doubt: String::new(),
    }
}

fn recovery(limit: u64, o: &Observed<'_>) -> SloRow {
    let mut verdict = Verdict::Pass;
    let mut worst: Option<(Verdict, u64, String)> = None;
    for i in o.injections {
        let name = overall::name(i);
        let known = i.impact.as_ref().and_then(|x| x.recovery.ms);
        let (v, rank, text) = match (known, proven_gone(i)) {
            (Some(ms), _) => {
                let v = if ms <= limit {
                    Verdict::Pass
                } else {
                    Verdict::Fail
                };
                (v, ms, format!("{} after {name}", millis(ms)))
            }
            // It had the time that it was given, and the span to show it.
            (None, Some(gone))
                if o.measured_to.since(gone).saturating_sub(SPAN).as_millis()
                    >= u128::from(limit)
                    && i.impact.as_ref().is_some_and(|x| x.recovery.never) =>
            {
                (
                    Verdict::Fail,
                    u64::MAX,
                    format!("not recovered after {name}"),
                )
            }
            (None, Some(_)) => (
                Verdict::Unknown,
                u64::MAX,
                format!(
                    "recovery from {name} is unknown ({})",
                    i.impact
                        .as_ref()
                        .map_or("never injected", |x| &x.recovery.why)
                ),
            ),
            (None, None) => (
                Verdict::Unknown,
                u64::MAX,
                format!("the revert of {name} was not proven"),
            ),
        };
        verdict = verdict.and(v);
        let graver = |w: &(Verdict, u64, String)| (gravity(v), rank) > (gravity(w.0), w.1);
        if worst.as_ref().is_none_or(graver) {
            worst = Some((v, rank, text));
        }
    }
    let (observed, verdict) = match worst {
        Some((_, _, text)) => (text, verdict),
        None => ("no fault was injected".into(), Verdict::Unknown),
    };
    SloRow {
        name: "recover_within".into(),
        objective: "Recovery after the proven revert".into(),
        observed,
        limit: format!("at most {}", millis(limit)),
        verdict,
        selection: Selection::default(),
        target: None,
        all_text: String::new(),
        untouched_text: String::new(),
        margin: String::new(),
        budget_used: None,
        proven: None,
        doubt: String::new(),
    }
}

fn gravity(v: Verdict) -> u8 {
    match v {
        Verdict::Pass => 0,
        Verdict::Unknown => 1,
        Verdict::Fail => 2,
    }
}
