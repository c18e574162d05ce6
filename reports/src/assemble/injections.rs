//! What each injection cost.

use super::timeline::proven_gone;
use crate::fold::{Kind, Tally};
use crate::formulas;
use crate::numbers::up_to_millis;
use crate::recovery::{self, Active, Cell, NotHealthy, Sample, lost_in};
use crate::report::{Gap, Impact, InjectionReport, KindImpact, Measured, PairOutage, Timing};
use gameday_record::{Nanos, Operation};
use std::time::Duration;

/// Fills in the impact of every injection that was carried out.
pub fn measure(
    injections: &mut [InjectionReport],
    load: &[&Operation],
    measured: Measured,
    timeout_ms: u64,
) {
    let cells = recovery::cells(load.iter().copied());
    let faults: Vec<Active> = injections
        .iter()
        .map(|i| Active {
            azs: i.injection.azs.clone(),
            from: i.intent,
            to: proven_gone(i).or(i.reverted),
        })
        .collect();
    let starts: Vec<Option<Nanos>> = injections.iter().map(|i| i.injected).collect();
    let timeout = Duration::from_millis(timeout_ms);
    let last_due = load.iter().map(|o| o.due).max().unwrap_or(measured.to);
    for i in injections.iter_mut() {
        let Some(from) = i.injected else { continue };
        // Once this one is reverted, the next one answers for what follows.
        let next = i
            .reverted
            .and_then(|r| starts.iter().flatten().copied().filter(|s| *s > r).min());
        let end = measured.to.min(last_due);
        let recovered =
            proven_gone(i).map(|gone| (gone, recovery::healthy_from(gone, end, &cells, &faults)));
        let window_end = match recovered {
            Some((_, Ok(t))) => t,
            _ => end,
        };
        let window_end = next.map_or(window_end, |n| n.min(window_end)).max(from);
        let elsewhere = recovery::healthy_from(from, end, &cells, &faults);
        i.impact = Some(impact(
            Gap {
                from,
                to: window_end,
            },
            &cells,
            timeout,
            timing(from, elsewhere),
            match recovered {
                None => Timing::unknown("the revert was not proven"),
                Some((gone, found)) => timing(gone, found),
            },
        ));
    }
}

fn timing(since: Nanos, found: Result<Nanos, NotHealthy>) -> Timing {
    match found {
        Ok(t) => Timing::known(up_to_millis(t.0.saturating_sub(since.0))),
        Err(NotHealthy::TooShort) => {
            Timing::unknown("not measurable: measurement ended within 3 s")
        }
        Err(NotHealthy::AllTouched) => {
            Timing::unknown("not measurable: no pair was free of faults")
        }
        Err(NotHealthy::Silent) => Timing::unknown("not measurable: operations are missing"),
        Err(NotHealthy::Never) => Timing::never("not while it was measured"),
    }
}

fn impact(
    window: Gap,
    cells: &[Cell],
    timeout: Duration,
    elsewhere: Timing,
    recovery: Timing,
) -> Impact {
    let lost = |s: &Sample| lost_in(s, window.from, window.to, timeout);
    let first = cells
        .iter()
        .flat_map(|c| &c.samples)
        .filter(|s| lost(s))
        .map(|s| s.due)
        .min();
    let kinds = Kind::ALL
        .into_iter()
        .filter(|k| cells.iter().any(|c| c.kind == *k))
        .map(|kind| kind_impact(kind, window, cells, &lost))
        .collect();
    let mut writes: Vec<Nanos> = cells
        .iter()
        .filter(|c| c.kind == Kind::Write)
        .flat_map(|c| &c.samples)
        .filter(|s| s.answered())
        .map(|s| s.due)
        .collect();
    writes.sort_unstable();
    Impact {
        window,
        first_impact_ms: first.map(|t| up_to_millis(t.0.saturating_sub(window.from.0))),
        elsewhere,
        recovery,
        total: Timing::unknown("not computed"),
        write_gap_ms: formulas::longest_gap(&writes, window.from, window.to)
            .map(|(a, b)| up_to_millis(b.0 - a.0)),
        kinds,
        pairs: Vec::new(),
    }
}

fn kind_impact(
    kind: Kind,
    window: Gap,
    cells: &[Cell],
    lost: &impl Fn(&Sample) -> bool,
) -> KindImpact {
    let mut out = KindImpact {
        kind,
        attempts: 0,
        failed: 0,
        unknown: 0,
        first_success_ms: None,
        outage: None,
        brownout_s: 0,
    };
    for cell in cells.iter().filter(|c| c.kind == kind) {
        // What was under way when the fault came belongs to its window.
        let inside: Vec<&Sample> = cell
            .samples
            .iter()
            .filter(|s| lost(s) || (s.due >= window.from && s.due < window.to))
            .collect();
        out.attempts += inside.len() as u64;
        let failures = inside.iter().filter(|s| !s.answered());
        for s in failures.clone() {
            match s.tally {
                Tally::Failed => out.failed += 1,
                _ => out.unknown += 1,
            }
        }
        let Some(first) = failures.map(|s| s.due).min() else {
            continue;
        };
        let success = cell.samples.iter().find(|s| s.answered() && s.due > first);
        out.first_success_ms = out
            .first_success_ms
            .max(success.map(|s| up_to_millis(s.due.0.saturating_sub(window.from.0))));
        // One neighbour on each side, so that the bracket can close.
        let from = first;
        let to = inside.last().map_or(from, |s| s.due);
        let a = cell
            .samples
            .partition_point(|s| s.due < from)
            .saturating_sub(1);
        let b = (cell.samples.partition_point(|s| s.due <= to) + 1).min(cell.samples.len());
        let samples: Vec<_> = cell.samples[a..b]
            .iter()
            .map(|s| (s.due, s.answered()))
            .collect();
        if let Some(o) = formulas::longest_outage(&samples) {
            let found = PairOutage {
                az: cell.az.clone(),
                endpoint: cell.endpoint.clone(),
                low_ms: up_to_millis(o.low),
                high_ms: o.high.map(up_to_millis),
                missed: o.missed,
            };
            if out
                .outage
                .as_ref()
                .is_none_or(|b| (found.low_ms, found.missed) > (b.low_ms, b.missed))
            {
                out.outage = Some(found);
            }
        }
    }
    out
}

/// The longest recovery, or why there is none: one that cannot be said is
/// worse than any that can.
pub fn worst(injections: &[InjectionReport]) -> (Option<u64>, String) {
    if injections.is_empty() {
        return (None, "no fault was injected".into());
    }
    let mut worst: Option<(u64, String)> = None;
    for i in injections {
        let name = crate::overall::name(i);
        let Some(impact) = &i.impact else {
            return (None, format!("{name} was not carried out"));
        };
        match impact.recovery.ms {
            None => return (None, format!("{name}: {}", impact.recovery.why)),
            Some(ms) if worst.as_ref().is_none_or(|(w, _)| ms > *w) => worst = Some((ms, name)),
            Some(_) => {}
        }
    }
    match worst {
        Some((ms, name)) => (Some(ms), name),
        None => (None, "no fault was injected".into()),
    }
}
