//! Availability in several forms, per kind and group.

use crate::burn;
use crate::fold::{CellRef, Fold, Kind, SECOND};
use crate::mcr::{self, Cumulated};
use crate::numbers;
use crate::proof;
use crate::recovery::Cell;
use crate::report::{
    Availability, InjectionReport, McrCurve, McrPoint, Measured, Projection, SliGroup, SliRow,
    Sliced, Uptime,
};
use crate::uptime::{self, Time};
use gameday_record::{Nanos, Objective, Scope, Target};
use std::collections::BTreeSet;

/// Slices of time where no objective says how long, in seconds: as long as AWS's.
const SLICE_S: u64 = 300;

/// The whole seconds that the measured time touches, `from..to`.
pub fn seconds_of(m: Measured) -> (u64, u64) {
    (m.from.0 / SECOND, m.to.0.div_ceil(SECOND))
}

/// What the rows are computed from.
pub struct Source<'a> {
    /// First attempts and retries of the measured time.
    pub fold: &'a Fold,
    /// The same, operation by operation.
    pub cells: &'a [&'a Cell],
    /// AZs that faults touched.
    pub touched: &'a BTreeSet<String>,
    /// The measured time.
    pub measured: Measured,
    /// What is promised.
    pub objectives: &'a [Objective],
}

impl Source<'_> {
    /// One row per kind and member of every group; groups with one member are
    /// the overall row again and left out.
    pub fn rows(&self) -> Vec<SliRow> {
        let cells = self.fold.cells();
        let kinds = || {
            Kind::ALL
                .into_iter()
                .filter(|k| cells.iter().any(|(c, _)| c.kind == *k))
        };
        let names = |of: fn(CellRef<'_>) -> &str| -> Vec<String> {
            let set: BTreeSet<String> = cells.iter().map(|(c, _)| of(*c).to_string()).collect();
            if set.len() > 1 {
                set.into_iter().collect()
            } else {
                Vec::new()
            }
        };
        let groups: [(SliGroup, Vec<String>); 5] = [
            (SliGroup::Overall, vec![String::new()]),
            (SliGroup::Table, names(|c| c.table)),
            (SliGroup::Az, names(|c| c.az)),
            (SliGroup::Endpoint, names(|c| c.endpoint)),
            (SliGroup::Connection, names(connection)),
        ];
        let times = self.times();
        let mut rows = Vec::new();
        for (group, members) in &groups {
            for name in members {
                rows.extend(kinds().map(|kind| self.row(*group, name, kind, &times)));
            }
        }
        rows.retain(|r| r.first_attempts.all.attempts() + r.first_attempts.all.unsent > 0);
        rows
    }

    fn row(&self, group: SliGroup, name: &str, kind: Kind, times: &[PairTime<'_>]) -> SliRow {
        let here = |c: CellRef<'_>| {
            c.kind == kind
                && match group {
                    SliGroup::Overall => true,
                    SliGroup::Table => c.table == name,
                    SliGroup::Az => c.az == name,
                    SliGroup::Endpoint => c.endpoint == name,
                    SliGroup::Connection => connection(c) == name,
                }
        };
        let untouched = |c: CellRef<'_>| here(c) && !c.touched(self.touched);
        let first_attempts = Availability::new(self.fold.totals(here), self.fold.totals(untouched));
        let seconds = self.fold.by_second(here);
        let slice = self.slice(kind);
        let m = mcr::sliced(&seconds, self.measured.from, self.measured.to, slice);
        let sample = first_attempts.all.attempts();
        let uptime = match group {
            SliGroup::Table | SliGroup::Connection => None,
            SliGroup::Overall | SliGroup::Az | SliGroup::Endpoint => {
                Some(uptime_of(times.iter().filter(|t| t.kind == kind).filter(
                    |t| match group {
                        SliGroup::Az => t.az == name,
                        SliGroup::Endpoint => t.endpoint == name,
                        _ => true,
                    },
                )))
            }
        };
        SliRow {
            group,
            name: name.into(),
            kind,
            proven: proof::proven(&seconds, first_attempts.all),
            proven_untouched: proof::proven(
                &self.fold.by_second(untouched),
                first_attempts.untouched,
            ),
            first_attempts,
            requests: Availability::new(self.fold.requests(here), self.fold.requests(untouched)),
            sliced: Sliced {
                slice_ms: slice * 1000,
                with_data: m.with_data,
                without_data: m.without_data,
                mean: m.mean,
                text: numbers::share(m.mean, sample, None),
            },
            uptime,
        }
    }

    /// The slice that an objective of the kind names, else five minutes.
    fn slice(&self, kind: Kind) -> u64 {
        self.objectives
            .iter()
            .filter(|o| o.selection.kind.is_none_or(|k| k == kind))
            .find_map(|o| match o.target {
                Target::SlicedAvailability { slice_ms, .. } => Some((slice_ms / 1000).max(1)),
                _ => None,
            })
            .unwrap_or(SLICE_S)
    }

    fn times(&self) -> Vec<PairTime<'_>> {
        pair_times(self.cells, self.measured)
    }

    /// Worst windows, a curve per kind.
    pub fn curves(&self) -> Vec<McrCurve> {
        let (from, to) = seconds_of(self.measured);
        Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                let seconds = self.fold.by_second(|c| c.kind == kind);
                let curve = Cumulated::new(&seconds, from, to).curve();
                (!curve.is_empty()).then(|| McrCurve {
                    kind,
                    knee_s: mcr::knee(&curve),
                    points: curve
                        .iter()
                        .map(|w| McrPoint {
                            window_s: w.length,
                            availability: w.availability(),
                            from: Nanos(w.from * SECOND),
                            attempts: w.counts.attempts(),
                            missed: w.counts.missed(),
                        })
                        .collect(),
                })
            })
            .collect()
    }

    /// For every availability that is promised of all operations of a kind:
    /// how many such runs, and such injections, a month survives.
    pub fn projections(&self, injections: &[InjectionReport]) -> Vec<Projection> {
        let mut out = Vec::new();
        for o in self.objectives {
            let (Target::Availability { at_least }, Some(kind)) = (o.target, o.selection.kind)
            else {
                continue;
            };
            let s = &o.selection;
            if s.table.is_some() || s.az.is_some() || s.endpoint.is_some() || at_least >= 1.0 {
                continue;
            }
            let seconds = self.fold.by_second(|c| c.is_in(s, self.touched));
            let cost = |from: u64, to: u64| {
                burn::cost(
                    seconds
                        .range(from..to.max(from))
                        .map(|(_, c)| (c.attempts(), c.missed())),
                )
            };
            let mut push = |injection, cost| {
                out.push(Projection {
                    injection,
                    kind,
                    scope: s.scope,
                    cost,
                    slo: at_least,
                    per_month: burn::incidents_per_month(cost, at_least)
                        .map(|n| (n * 10.0).floor() / 10.0),
                });
            };
            push(None, cost(0, u64::MAX));
            for i in injections {
                if let Some(x) = &i.impact {
                    let w = x.window;
                    push(
                        Some(i.injection.id),
                        cost(w.from.0 / SECOND, w.to.0.div_ceil(SECOND)),
                    );
                }
            }
        }
        out
    }
}

fn connection(c: CellRef<'_>) -> &'static str {
    if c.fresh { "fresh" } else { "kept" }
}

/// The time of one pair and kind.
pub struct PairTime<'a> {
    az: &'a str,
    endpoint: &'a str,
    kind: Kind,
    time: Time,
    cutoff: u64,
    /// Operations that it was computed from.
    events: u64,
}

/// Up and down times of every cell. A kind's rate is that of its busiest pair:
/// one that fell silent must not stretch the cutoff.
pub fn pair_times<'a>(cells: &[&'a Cell], m: Measured) -> Vec<PairTime<'a>> {
    let seconds = m.to.since(m.from).as_secs_f64();
    let most = |kind| {
        cells
            .iter()
            .filter(|c| c.kind == kind)
            .map(|c| c.samples.len())
            .max()
            .unwrap_or(0) as f64
    };
    cells
        .iter()
        .map(|c| {
            let rate = if seconds > 0.0 {
                most(c.kind) / seconds
            } else {
                0.0
            };
            let cutoff = uptime::cutoff(rate);
            let events: Vec<_> = c.samples.iter().map(|s| (s.due, s.answered())).collect();
            PairTime {
                az: &c.az,
                endpoint: &c.endpoint,
                kind: c.kind,
                time: uptime::of_user(&events, cutoff),
                cutoff,
                events: events.len() as u64,
            }
        })
        .collect()
}

/// Their sum.
pub fn uptime_of<'a>(times: impl IntoIterator<Item = &'a PairTime<'a>>) -> Uptime {
    let mut sum = Time::default();
    let (mut cutoff, mut events) = (0, 0);
    for t in times {
        sum += t.time;
        events += t.events;
        cutoff = cutoff.max(t.cutoff);
    }
    let ms = |ns: u64| ns / 1_000_000;
    Uptime {
        share: sum.share(),
        up_ms: ms(sum.up),
        down_ms: ms(sum.down),
        inactive_ms: ms(sum.inactive),
        cutoff_ms: ms(cutoff),
        text: numbers::share(sum.share(), events, None),
    }
}

/// One of the numbers that matter, and what the first objective on the kind alone promises.
pub fn headline(
    fold: &Fold,
    touched: &BTreeSet<String>,
    kind: Kind,
    objectives: &[Objective],
) -> Availability {
    let limit = objectives.iter().find_map(|o| match o.target {
        Target::Availability { at_least }
            if o.selection.kind == Some(kind)
                && o.selection.table.is_none()
                && o.selection.az.is_none()
                && o.selection.endpoint.is_none() =>
        {
            Some((at_least, o.selection.scope))
        }
        _ => None,
    });
    let untouched = fold.totals(|c| c.kind == kind && !c.touched(touched));
    let (limit, scope) = limit.unzip();
    Availability::promised(
        fold.total(kind),
        untouched,
        limit,
        scope.unwrap_or(Scope::All),
    )
}
