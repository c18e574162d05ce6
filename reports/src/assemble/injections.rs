//! What each injection cost.

use super::brownout;
use super::timeline::proven_gone;
use crate::fold::{Kind, Tally};
use crate::formulas::{self, Acknowledged};
use crate::numbers::up_to_millis;
use crate::recovery::{Active, Cell, Health, NotHealthy, Sample, lost_in};
use crate::report::{
    AlarmRow, AlarmSource, Alarmed, Gap, Impact, InjectionReport, KindImpact, Measured, PairImpact,
    PairOutage, Timing,
};
use gameday_record::Nanos;

/// When each injection was in force: from its intent until its revert was carried out.
pub fn faults(injections: &[InjectionReport]) -> Vec<Active> {
    injections
        .iter()
        .map(|i| Active {
            azs: i.injection.azs.clone(),
            from: i.intent,
            to: i.reverted,
        })
        .collect()
}

/// Fills in the impact of every injection that was carried out; what alarms said of it comes
/// later ([`alarmed`]).
pub fn measure(
    injections: &mut [InjectionReport],
    cells: &[&Cell],
    faults: &[Active],
    measured: Measured,
    writes: Option<&Acknowledged>,
) {
    let mut starts: Vec<Nanos> = injections.iter().filter_map(|i| i.injected).collect();
    starts.sort_unstable();
    let last_due = cells
        .iter()
        .filter_map(|c| c.samples.last())
        .map(|s| s.due)
        .max();
    let end = last_due.map_or(measured.to, |l| l.min(measured.to));
    let beside_faults = Health::new(cells.to_vec(), faults, end);
    let everywhere = Health::new(cells.to_vec(), &[], end);
    let first_intent = injections.iter().map(|i| i.intent).min();
    let normal: Vec<Option<u64>> = cells
        .iter()
        .map(|c| brownout::p99_before(c, first_intent.unwrap_or(Nanos::ZERO)))
        .collect();
    for i in injections.iter_mut() {
        let Some(from) = i.injected else { continue };
        // Once this one is reverted, the next one answers for what follows.
        let after = |t: Nanos| starts.get(starts.partition_point(|s| *s <= t)).copied();
        let next = i.reverted.and_then(after);
        // A revert that nobody saw work is none to count from.
        let reverted = i.reverted.zip(proven_gone(i));
        let recovered = reverted.map(|(at, _)| beside_faults.from(at));
        let window_end = match recovered {
            Some(Ok(t)) => t,
            _ => end,
        };
        let window = Gap {
            from,
            to: next.map_or(window_end, |n| n.min(window_end)).max(from),
        };
        let pairs: Vec<PairImpact> = cells
            .iter()
            .zip(&normal)
            .map(|(c, normal)| pair_impact(c, window, *normal))
            .collect();
        let azs = &i.injection.azs;
        let since_failure = |mine: &dyn Fn(&Cell) -> bool, health: &Health<'_>| {
            let first = cells
                .iter()
                .filter(|c| mine(c))
                .flat_map(|c| lost(c, window))
                .map(|s| s.due)
                .min();
            match first {
                None => Timing::known(0),
                Some(first) => timing(from, health.from(first.max(from))),
            }
        };
        let elsewhere = if cells.iter().any(|c| !c.touched_by(azs)) {
            since_failure(&|c| !c.touched_by(azs), &beside_faults)
        } else {
            timing(from, Err(NotHealthy::AllTouched))
        };
        let after = |(at, proof): (Nanos, Nanos)| up_to_millis(proof.0.saturating_sub(at.0));
        let gap = writes.and_then(|w| w.longest_gap_in(window.from, window.to));
        i.impact = Some(Impact {
            window,
            first_impact_ms: pairs.iter().filter_map(|p| p.first_failure_ms).min(),
            detected_ms: pairs.iter().filter_map(|p| p.detected_ms).min(),
            alarmed: None,
            elsewhere,
            recovery: match (reverted, recovered) {
                (Some((at, _)), Some(found)) => timing(at, found),
                _ => Timing::unknown("the revert was not proven"),
            },
            revert_proof_ms: reverted.map(after),
            total: since_failure(&|_| true, &everywhere),
            write_gap_ms: gap.map(|(a, b)| up_to_millis(b.0 - a.0)),
            kinds: Kind::ALL
                .into_iter()
                .filter(|k| cells.iter().any(|c| c.kind == *k))
                .map(|kind| kind_impact(kind, &pairs, cells, window, &normal))
                .collect(),
            pairs: pairs
                .into_iter()
                .filter(|p| p.missed() + p.brownout_s > 0)
                .collect(),
        });
    }
}

/// The samples of a cell that were lost in the window, in order of their due times.
fn lost(cell: &Cell, window: Gap) -> impl Iterator<Item = &Sample> {
    let alive = cell.alive(window.from, window.to).iter();
    alive.filter(move |s| lost_in(s, window.from, window.to))
}

/// Says of every injection which alarm of the playbook told of it first, and when it could.
pub fn alarmed(injections: &mut [InjectionReport], alarms: &[AlarmRow]) {
    for i in injections {
        let Some(impact) = &mut i.impact else {
            continue;
        };
        let told = alarms
            .iter()
            .filter(|a| a.source == AlarmSource::Playbook)
            .filter_map(|a| {
                let after = a.after.iter().find(|x| x.injection == i.injection.id)?;
                Some((after.fired_ms?, a))
            });
        impact.alarmed = told.min_by_key(|(ms, _)| *ms).map(|(ms, a)| Alarmed {
            ms,
            name: a.name.clone(),
        });
    }
}

/// What was found, counted from `since`.
pub fn timing(since: Nanos, found: Result<Nanos, NotHealthy>) -> Timing {
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

/// What one kind lost: the sums over its pairs, and the worst of them.
fn kind_impact(
    kind: Kind,
    pairs: &[PairImpact],
    cells: &[&Cell],
    window: Gap,
    normal: &[Option<u64>],
) -> KindImpact {
    let mine: Vec<(&Cell, Option<u64>)> = cells
        .iter()
        .zip(normal)
        .filter(|(c, _)| c.kind == kind)
        .map(|(c, n)| (*c, *n))
        .collect();
    let mut out = KindImpact {
        kind,
        attempts: 0,
        failed: 0,
        unknown: 0,
        late: 0,
        first_success_ms: None,
        never: Vec::new(),
        outage: None,
        brownout_s: brownout::seconds(&mine, window).len() as u64,
    };
    for p in pairs.iter().filter(|p| p.kind == kind) {
        out.attempts += p.attempts;
        out.failed += p.failed;
        out.unknown += p.unknown;
        out.late += p.late;
        match (p.first_failure_ms, p.first_success_ms) {
            (Some(_), None) => out.never.push(p.name()),
            (_, success) => out.first_success_ms = out.first_success_ms.max(success),
        }
        let rank = |o: &PairOutage| (o.low_ms, o.missed);
        if p.outage.as_ref().map(rank) > out.outage.as_ref().map(rank) {
            out.outage = p.outage.clone();
        }
    }
    if !out.never.is_empty() {
        out.first_success_ms = None;
    }
    out
}

fn pair_impact(cell: &Cell, window: Gap, normal: Option<u64>) -> PairImpact {
    let mut out = PairImpact {
        az: cell.az.clone(),
        endpoint: cell.endpoint.clone(),
        kind: cell.kind,
        attempts: 0,
        failed: 0,
        unknown: 0,
        late: 0,
        first_failure_ms: None,
        detected_ms: None,
        first_success_ms: None,
        outage: None,
        brownout_s: brownout::seconds(&[(cell, normal)], window).len() as u64,
    };
    let after = |at: Nanos| up_to_millis(at.0.saturating_sub(window.from.0));
    // What was under way when the fault came belongs to its window. The
    // samples are in order, so the first one found is the earliest.
    let mut first = None;
    let mut last = None;
    let mut known: Option<Nanos> = None;
    for s in cell.alive(window.from, window.to) {
        let is_lost = lost_in(s, window.from, window.to);
        if !is_lost && s.due < window.from {
            continue;
        }
        out.attempts += 1;
        last = Some(s.due);
        if is_lost {
            match s.tally {
                Tally::Failed => out.failed += 1,
                Tally::Late => out.late += 1,
                _ => out.unknown += 1,
            }
            first = first.or(Some(s.due));
            known = Some(known.map_or(s.known, |k| k.min(s.known)));
        }
    }
    let (Some(first), Some(last)) = (first, last) else {
        return out;
    };
    out.first_failure_ms = Some(after(first));
    out.detected_ms = known.map(after);
    let after_first = cell.samples.partition_point(|s| s.due <= first);
    out.first_success_ms = cell.next_answered(after_first).map(|s| after(s.known));
    // One neighbour on each side, so that the bracket can close.
    let a = cell
        .samples
        .partition_point(|s| s.due < first)
        .saturating_sub(1);
    let b = (cell.samples.partition_point(|s| s.due <= last) + 1).min(cell.samples.len());
    let samples: Vec<_> = cell.samples[a..b]
        .iter()
        .map(|s| (s.due, s.answered()))
        .collect();
    out.outage = formulas::longest_outage(&samples).map(|o| PairOutage {
        az: cell.az.clone(),
        endpoint: cell.endpoint.clone(),
        low_ms: up_to_millis(o.low),
        high_ms: o.high.map(up_to_millis),
        missed: o.missed,
    });
    out
}

/// The longest of one time over the injections, or why there is none: one that
/// cannot be said is worse than any that can.
pub fn worst(injections: &[InjectionReport], of: fn(&Impact) -> &Timing) -> (Option<u64>, String) {
    let mut worst: Option<(u64, String)> = None;
    for i in injections {
        let name = crate::overall::name(i);
        let Some(impact) = &i.impact else {
            return (None, format!("{name} was not carried out"));
        };
        let timing = of(impact);
        match timing.ms {
            None => return (None, format!("{name}: {}", timing.why)),
            Some(ms) if worst.as_ref().is_none_or(|(w, _)| ms > *w) => worst = Some((ms, name)),
            Some(_) => {}
        }
    }
    match worst {
        Some((ms, name)) => (Some(ms), name),
        None => (None, "no fault was injected".into()),
    }
}

/// The worst recovery. If every pair was well when its revert had been carried out,
/// it says how long after the act that was: "at once" would say little.
pub fn worst_recovery(injections: &[InjectionReport]) -> (Option<u64>, String) {
    let (ms, note) = worst(injections, |x| &x.recovery);
    if ms != Some(0) {
        return (ms, note);
    }
    match worst(injections, |x| &x.total) {
        (Some(0), _) => (ms, "no fault made a pair unwell".into()),
        (Some(total), who) => (
            ms,
            format!(
                "every pair was well before the revert, {} after the act of {who}",
                crate::numbers::millis(total)
            ),
        ),
        (None, _) => (ms, note),
    }
}
