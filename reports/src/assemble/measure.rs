//! The numbers of a report that need no judgement.

use super::lag;
use crate::fold::{
    CellRef, Counts, Fold, Kind, Patience, Tally, histogram, micros, quantiles, record,
};
use crate::formulas::{self, Acknowledged};
use crate::load::Load;
use crate::numbers::{self, shorten};
use crate::overall::MIN_SENT;
use crate::proof;
use crate::report::{
    CellRow, ErrorRow, Gap, InjectionReport, LatencyRow, Measured, PhaseMark, Point, Quantiles,
    Series, SliGroup, SliRow, Trust,
};
use gameday_record::{ErrorClass, Nanos, Operation, Phase, RunInfo};
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, BTreeSet};

/// Most steps of the series: about as many as a page shows apart.
const MAX_STEPS: u64 = 480;

const SECOND: u64 = 1_000_000_000;
/// Share of the steps in which some task waited for a processor from which it is remarked on: a
/// cluster's processes wake together, and on few processors wait for each other.
const BUSY: f64 = 0.5;

/// The measured time in steps.
pub fn series(fold: &Fold, load: &Load, m: Measured, phases: &[PhaseMark]) -> Series {
    let start = m.from.0 / SECOND;
    let seconds = m.to.0.div_ceil(SECOND).saturating_sub(start);
    let step = seconds.div_ceil(MAX_STEPS).max(1);
    let mut latencies: BTreeMap<(u64, Kind), Histogram<u32>> = BTreeMap::new();
    for o in load.iter().filter(|o| o.tally.acknowledged()) {
        let number = (o.due.0 / SECOND).saturating_sub(start) / step;
        let of = latencies.entry((number, o.cell.kind));
        let of = of.or_insert_with(|| histogram(2));
        record(of, micros(o.known.since(o.due)));
    }
    let points = (0..seconds.div_ceil(step))
        .map(|i| {
            let from = start + i * step;
            let to = from + step - 1;
            let counts = |kind| fold.counts(from, to, |c| c.kind == kind);
            let latency = |kind| {
                let (p50, p99) = quantiles(latencies.get(&(i, kind))?);
                p50.zip(p99).map(|(p50, p99)| Quantiles {
                    p50_us: micros(p50),
                    p99_us: micros(p99),
                })
            };
            Point {
                write: counts(Kind::Write),
                read: counts(Kind::StrongRead),
                eventual: counts(Kind::EventualRead),
                write_latency: latency(Kind::Write),
                read_latency: latency(Kind::StrongRead),
                eventual_latency: latency(Kind::EventualRead),
            }
        })
        .collect();
    Series {
        start,
        step,
        points,
        phases: phases.to_vec(),
    }
}

/// Every AZ × endpoint × kind, with the stretches in which it missed operations.
pub fn cells(fold: &Fold, touched: &BTreeSet<String>, step: u64) -> Vec<CellRow> {
    let names: BTreeSet<(&str, &str, Kind)> = fold
        .cells()
        .into_iter()
        .map(|(c, _)| (c.az, c.endpoint, c.kind))
        .collect();
    names
        .into_iter()
        .map(|(az, endpoint, kind)| {
            let here = |c: CellRef<'_>| c.az == az && c.endpoint == endpoint && c.kind == kind;
            let mut missed: Vec<(u64, u64)> = Vec::new();
            for (second, c) in fold.by_second(here) {
                match missed.last_mut() {
                    _ if c.missed() == 0 => {}
                    Some(last) if second < last.1 + step => last.1 = second + 1,
                    _ => missed.push((second, second + 1)),
                }
            }
            let counts = fold.totals(here);
            let latency = fold.latency(here);
            let at = |q| {
                let us = latency.value_at_quantile(q).min(latency.max());
                (!latency.is_empty()).then_some(us)
            };
            CellRow {
                az: az.into(),
                endpoint: endpoint.into(),
                kind,
                counts,
                text: numbers::availability(counts, None),
                p50_us: at(0.5),
                p99_us: at(0.99),
                touched: touched.contains(az) || touched.contains(endpoint),
                missed,
            }
        })
        .collect()
}

/// When writes were acknowledged, through any endpoint, between the first and the last operation
/// due: before and after them nobody asked. `None` without writes.
pub fn acknowledged_writes(load: &Load, m: Measured) -> Option<Acknowledged> {
    let writes = || load.iter().filter(|o| o.cell.kind == Kind::Write);
    writes().next()?;
    let answered = writes().filter(|o| o.tally.acknowledged());
    let times = answered.map(|o| o.known).collect();
    let (first, last) = load.dues()?;
    Some(Acknowledged::new(m.from.max(first), m.to.min(last), times))
}

/// The longest stretch of writes in a row, by due times and through any endpoint, that were missed.
pub fn doomed_writes(load: &Load) -> Option<Gap> {
    let writes = load.iter().filter(|o| o.cell.kind == Kind::Write);
    let mut calls: Vec<(Nanos, bool)> = writes
        .filter(|o| o.tally != Tally::Unsent)
        .map(|o| (o.due, o.tally == Tally::Answered))
        .collect();
    calls.sort_by_key(|c| c.0);
    formulas::longest_doomed(&calls).map(|(from, to)| Gap { from, to })
}

/// Seconds in which pairs should have sent: from the first operation due (the
/// canaries may start a moment after the phase does) to the end.
fn expected_seconds(load: &Load, m: Measured) -> f64 {
    let first = load.dues().map_or(m.to, |(first, _)| first);
    m.to.since(first.max(m.from)).as_secs_f64()
}

/// Pairs that sent too little for their numbers to stand for the whole time.
pub fn thin_pairs(run: &RunInfo, fold: &Fold, load: &Load, m: Measured) -> Vec<String> {
    pair_shares(run, fold, load, m)
        .into_iter()
        .filter(|(_, share)| *share < MIN_SENT)
        .map(|(pair, share)| format!("{pair} made {:.0} % of its operations", share * 100.0))
        .collect()
}

/// What each pair made of what it should have made, unsent ones included
/// (they are counted apart).
fn pair_shares(run: &RunInfo, fold: &Fold, load: &Load, m: Measured) -> Vec<(String, f64)> {
    let expected = run.workload.rate * expected_seconds(load, m);
    // Too few to say: one operation more or less would tip it.
    if !expected.is_finite() || expected < 20.0 {
        return Vec::new();
    }
    pairs(run, fold)
        .into_iter()
        .map(|(az, endpoint)| {
            let c = fold.totals(|c| c.az == az && c.endpoint == endpoint);
            (
                format!("{az} through {endpoint}"),
                (c.attempts() + c.unsent) as f64 / expected,
            )
        })
        .collect()
}

/// The pairs that should be measured: every AZ of a cluster through every
/// other; where canaries ran alone, those that they measured.
fn pairs<'a>(run: &'a RunInfo, fold: &'a Fold) -> BTreeSet<(&'a str, &'a str)> {
    if run.topology.nodes.is_empty() {
        return fold
            .cells()
            .into_iter()
            .map(|(c, _)| (c.az, c.endpoint))
            .collect();
    }
    let azs = &run.topology.azs;
    azs.iter()
        .flat_map(|a| azs.iter().map(move |e| (a.as_str(), e.as_str())))
        .collect()
}

/// Whether the canaries can be trusted.
pub fn trust(
    run: &RunInfo,
    fold: &Fold,
    load: &Load,
    m: Measured,
    history_complete: bool,
    series: &Series,
) -> Trust {
    let pairs = pairs(run, fold).len() as u64;
    let (canaries, suspect_seconds) = lag::canaries(load);
    let all = fold.totals(|_| true);
    let seconds = expected_seconds(load, m);
    let mut lag: Histogram<u64> = histogram(3);
    let mut late_and_missed = Counts::default();
    for o in load.iter().filter(|o| o.tally != Tally::Unsent) {
        let us = micros(o.lag);
        record(&mut lag, us);
        if us > lag::SUSPECT_MAX_US && o.tally.missed() {
            late_and_missed.add(o.tally);
        }
    }
    let lag_at = |us: u64| (!lag.is_empty()).then_some(us);
    let empty_steps = series
        .points
        .iter()
        .filter(|p| p.write.attempts() + p.read.attempts() + p.eventual.attempts() == 0)
        .count() as u64;
    let mut remarks = Vec::new();
    let (p99, max) = (lag.value_at_quantile(0.99), lag.max());
    if p99 > lag::SUSPECT_P99_US || max > lag::SUSPECT_MAX_US {
        let mut without = all;
        without -= late_and_missed;
        let missed = match late_and_missed.missed() {
            0 => "None of those sent more than 50 ms late was missed, so availability is not affected.".into(),
            n => format!(
                "{} sent more than 50 ms late and missed: of all operations {} were answered, without these {}.",
                numbers::plural_were(n, "operation"),
                numbers::availability(all, None),
                numbers::availability(without, None),
            ),
        };
        remarks.push(format!(
            "Operations were sent late (99th percentile above 5 ms or one above 50 ms): the \
             machine was busy. Latency counts from the due time and contains it, and so does the \
             timeout. {missed}"
        ));
    }
    let steps = series.phases.iter().find(|p| p.name == Phase::Steps.name());
    if let Some(share) = steps.and_then(|p| p.waiting).filter(|s| *s >= BUSY) {
        remarks.push(format!(
            "In {:.0} % of the steps some task waited for a processor: this machine was busy. \
             Latencies contain that.",
            share * 100.0
        ));
    }
    if empty_steps > 0 && m.operations > 0 {
        remarks.push(format!(
            "No canary had anything due in {}; blank in the chart.",
            numbers::plural(empty_steps * series.step, "second")
        ));
    }
    Trust {
        asked_rate: run.workload.rate * pairs as f64,
        sent_rate: if seconds > 0.0 {
            all.attempts() as f64 / seconds
        } else {
            0.0
        },
        unsent_share: all.unsent_share(),
        pairs,
        slowest_pair: pair_shares(run, fold, load, m)
            .into_iter()
            .min_by(|a, b| a.1.total_cmp(&b.1)),
        lag_p99_us: lag_at(p99),
        lag_max_us: lag_at(max),
        canaries,
        suspect_seconds,
        history_complete,
        empty_steps,
        remarks,
    }
}

/// The stretches of time in which any injection was in force, merged.
fn in_force(injections: &[InjectionReport]) -> Vec<(Nanos, Nanos)> {
    let mut all: Vec<(Nanos, Nanos)> = injections
        .iter()
        .map(|i| (i.intent, i.reverted.unwrap_or(Nanos::FOREVER)))
        .collect();
    all.sort_unstable();
    let mut merged: Vec<(Nanos, Nanos)> = Vec::new();
    for (from, to) in all {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Latency quantiles per kind for baseline, faults and the rest.
pub fn latency(load: &Load, injections: &[InjectionReport]) -> Vec<LatencyRow> {
    let faults = in_force(injections);
    // Baseline, during faults, after and between.
    let segment = |due: Nanos| match faults.partition_point(|f| f.0 <= due) {
        0 => 0,
        n if due < faults[n - 1].1 => 1,
        _ => 2,
    };
    let mut seen: BTreeMap<(Kind, usize), (u64, Histogram<u64>)> = BTreeMap::new();
    for o in load.iter().filter(|o| o.tally != Tally::Unsent) {
        let (attempts, latencies) = seen
            .entry((o.cell.kind, segment(o.due)))
            .or_insert_with(|| (0, histogram(3)));
        *attempts += 1;
        if o.tally.acknowledged() {
            record(latencies, micros(o.known.since(o.due)));
        }
    }
    let names = ["baseline", "during faults", "after and between"];
    seen.into_iter()
        .filter_map(|((kind, n), (attempts, h))| latency_row(kind, names[n], attempts, &h))
        .collect()
}

fn latency_row(kind: Kind, segment: &str, attempts: u64, h: &Histogram<u64>) -> Option<LatencyRow> {
    if h.is_empty() {
        return None;
    }
    let max = h.max();
    // A histogram's buckets are ranges; no quantile may exceed the slowest.
    let at = |q| h.value_at_quantile(q).min(max);
    Some(LatencyRow {
        kind,
        segment: segment.into(),
        answered: h.len(),
        missed: attempts - h.len(),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: (h.len() >= 1000).then(|| at(0.999)),
        max_us: max,
        p99_all_us: formulas::rank_with_failures(0.99, h.len(), attempts - h.len()).map(at),
    })
}

/// Errors by kind, class and outcome; an answer that came too late is one.
#[derive(Debug, Default)]
pub struct Errors {
    rows: BTreeMap<(Kind, Option<ErrorClass>, &'static str), ErrorRow>,
}

impl Errors {
    /// Counts one first attempt.
    pub fn push(&mut self, patience: Patience, o: &Operation) {
        let outcome = match patience.tally(o) {
            Tally::Answered => return,
            Tally::Late => "late",
            Tally::Unsent if misconfigured(o) => "own fault",
            Tally::Unsent => "unsent",
            Tally::Failed => "failed",
            Tally::Unknown => "unknown",
        };
        let failure = o.outcome.failure().filter(|_| outcome != "late");
        let kind = Kind::of(&o.call);
        let row = self
            .rows
            .entry((kind, failure.map(|f| f.class), outcome))
            .or_insert_with(|| ErrorRow {
                kind,
                class: failure.map_or("slow".into(), |f| class_name(f.class)),
                outcome: outcome.into(),
                count: 0,
                first: o.due,
                last: o.due,
                example: String::new(),
            });
        row.count += 1;
        if row.example.is_empty() || o.due < row.first {
            row.example = match failure {
                Some(f) => shorten(&f.message, 200),
                None => format!(
                    "answered after {}",
                    numbers::latency(patience.known(o).since(o.due))
                ),
            };
        }
        row.first = row.first.min(o.due);
        row.last = row.last.max(o.due);
    }

    /// The most frequent first.
    pub fn rows(self) -> Vec<ErrorRow> {
        let mut rows: Vec<_> = self.rows.into_values().collect();
        rows.sort_by_key(|r| std::cmp::Reverse(r.count));
        rows
    }
}

/// True if the service refused it for what is wrong with the canary.
fn misconfigured(op: &Operation) -> bool {
    let failure = op.outcome.failure();
    failure.is_some_and(|f| f.class == ErrorClass::Misconfigured)
}

fn class_name(class: ErrorClass) -> String {
    match serde_json::to_value(class) {
        Ok(serde_json::Value::String(s)) => s,
        _ => format!("{class:?}").to_lowercase(),
    }
}

/// What this run does not show.
pub fn limits(
    run: &RunInfo,
    sli: &[SliRow],
    injections: &[InjectionReport],
    m: Measured,
) -> Vec<String> {
    let mut out = Vec::new();
    let overall = || sli.iter().filter(|s| s.group == SliGroup::Overall);
    let clean: Vec<&SliRow> = overall()
        .filter(|s| s.proven.n > 0 && s.proven.missed == 0)
        .collect();
    for s in &clean {
        if let Some(low) = s.proven.low {
            out.push(format!(
                "No {} of {} was missed. That shows an availability of at least {} (95 % confidence, by the {} that it took), not 100 %.",
                s.kind.name(),
                numbers::count(s.proven.n),
                numbers::at_least(low),
                numbers::plural(s.proven.seconds, "second"),
            ));
        }
    }
    if clean.len() < 3 && m.operations > 0 {
        out.push(
            "Failures inside one outage are not independent: the availabilities describe this \
             run and do not predict a month."
                .into(),
        );
    }
    if !injections.is_empty() {
        let n = injections.len() as u64;
        out.push(format!(
            "{} in one run: the sample of faults is of that size. Had all recovered well, up to {:.0} % of such faults could still end badly (95 % confidence).",
            numbers::plural(n, "injection"),
            (proof::bad_recoveries_high(n) * 100.0).ceil(),
        ));
    }
    let touched: BTreeSet<_> = injections.iter().flat_map(|i| &i.injection.azs).collect();
    let spared: Vec<_> = run
        .topology
        .azs
        .iter()
        .filter(|az| !touched.contains(az))
        .map(String::as_str)
        .collect();
    if !spared.is_empty() && !injections.is_empty() {
        out.push(format!(
            "No fault had a target in AZ {}.",
            spared.join(", ")
        ));
    }
    let kinds = crate::fold::kinds_in(&run.workload);
    for k in Kind::ALL.iter().filter(|k| !kinds.contains(k)) {
        out.push(format!("The workload had no {}s.", k.name()));
    }
    if m.outside > 0 {
        out.push(format!(
            "{} due before the baseline or after the cooldown {} not counted.",
            numbers::plural(m.outside, "operation"),
            if m.outside == 1 { "is" } else { "are" }
        ));
    }
    if run.topology.nodes.is_empty() {
        out.push(
            "Canaries measured a service from outside: no fault was injected, and nothing is known of \
             its nodes. Whether its replicas agree was not looked at, and what became of writes of \
             unknown outcome is known only where a read found them."
                .into(),
        );
        return out;
    }
    out.push(format!(
        "All nodes and canaries shared one host ({}): latencies are not those of separate data \
         centres, and a busy host slows all of them at once.",
        numbers::plural(u64::from(run.versions.cpus), "processor")
    ));
    out
}
