//! Objectives against what was seen. Every row carries both numbers, over all
//! pairs and over those that no fault touched; the objective's scope says
//! which is judged (all of them, if the playbook says nothing).
//!
//! A limit that was exceeded is not called a failure if the canary itself may
//! have done it. Whether it may is asked of the same measure, taken again as if
//! the canary had sent everything, and in time ([`View::Excused`]): what it did in
//! one second excuses nothing in another.

use super::availability::{pair_times, seconds_of, uptime_of};
use super::lag::SUSPECT_MAX_US;
use super::recovery_row;
use crate::burn;
use crate::fold::{CellRef, Counts, Fold, Kind, Patience, SECOND, Tally, micros};
use crate::formulas::Acknowledged;
use crate::load::{Load, Op};
use crate::mcr::{self, Cumulated};
use crate::numbers::{self, limit_percent, millis, up_to_millis};
use crate::proof;
use crate::recovery::{Active, Cell, Health, Sample};
use crate::report::{InjectionReport, Measured, SloRow};
use gameday_record::{Nanos, Objective, Scope, Selection, Target, Verdict};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What objectives are judged by.
pub struct Observed<'a> {
    /// The objectives.
    pub objectives: &'a [Objective],
    /// First attempts and retries of the measured time.
    pub fold: &'a Fold,
    /// First attempts, one by one.
    pub load: &'a Load,
    /// What counts as an answer.
    pub patience: Patience,
    /// AZs that faults touched.
    pub touched: &'a BTreeSet<String>,
    /// Injections with their impact.
    pub injections: &'a [InjectionReport],
    /// When they were in force.
    pub faults: &'a [Active],
    /// The measured time.
    pub measured: Measured,
    /// True if the run went through all phases and its history is complete:
    /// an availability over half a run is not the one that was promised.
    pub whole: bool,
}

/// How operations are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// As they were recorded.
    Seen,
    /// As if the canary had been in time: what it did not send, and what it sent more than 50 ms
    /// late and was missed, was answered at once; what was answered, sooner by as much as it was
    /// sent late.
    Excused,
}

/// One objective as seen over one set of pairs.
#[derive(Clone, Debug)]
pub struct Seen {
    /// For people.
    pub text: String,
    /// Against the limit.
    pub verdict: Verdict,
    /// Distance from the limit.
    pub margin: String,
    /// Why it is unknown although the limit was exceeded.
    pub doubt: String,
    /// The share that was seen, if it is one.
    pub share: Option<f64>,
}

impl Seen {
    /// Nothing to judge.
    pub fn unknown(text: impl Into<String>) -> Seen {
        Seen {
            text: text.into(),
            verdict: Verdict::Unknown,
            margin: String::new(),
            doubt: String::new(),
            share: None,
        }
    }

    fn doubt(mut self, why: Option<String>) -> Seen {
        if self.verdict == Verdict::Fail
            && let Some(why) = why
        {
            self.verdict = Verdict::Unknown;
            self.text = format!("{}, but {why}", self.text);
            self.doubt = why;
        }
        self
    }
}

/// One row per objective, those that did not hold first.
pub fn rows(o: &Observed<'_>) -> Vec<SloRow> {
    let mut rows: Vec<SloRow> = o.objectives.iter().map(|x| o.row(x)).collect();
    rows.sort_by_key(|r| match r.verdict {
        Verdict::Fail => 0,
        Verdict::Unknown => 1,
        Verdict::Pass => 2,
    });
    rows
}

impl Observed<'_> {
    fn row(&self, objective: &Objective) -> SloRow {
        let with = |scope| {
            let selection = Selection {
                scope,
                ..objective.selection.clone()
            };
            self.see(objective.target, &selection)
        };
        let (all, untouched) = (with(Scope::All), with(Scope::Untouched));
        let seen = match objective.selection.scope {
            Scope::All => &all,
            Scope::Untouched => &untouched,
        };
        let (limit, share) = limit(objective.target);
        let (budget, sampled) = match objective.target {
            Target::Availability { .. } | Target::RequestAvailability { .. } => (true, true),
            Target::SlicedAvailability { .. } | Target::Uptime { .. } => (true, false),
            _ => (false, false),
        };
        SloRow {
            name: objective.name.clone(),
            objective: describe(objective),
            observed: seen.text.clone(),
            limit,
            verdict: seen.verdict,
            selection: objective.selection.clone(),
            target: Some(objective.target),
            margin: seen.margin.clone(),
            budget_used: share
                .zip(seen.share)
                .filter(|(limit, _)| budget && *limit < 1.0)
                .map(|(limit, seen)| (1.0 - seen) / (1.0 - limit)),
            proven: sampled.then(|| {
                let s = &objective.selection;
                let c = match objective.target {
                    Target::RequestAvailability { .. } => self.requests(s, View::Seen),
                    _ => self.totals(s, View::Seen),
                };
                proof::proven(&self.seconds(s, View::Seen), c)
            }),
            doubt: seen.doubt.clone(),
            all_text: all.text,
            untouched_text: untouched.text,
        }
    }

    fn is_in(&self, c: CellRef<'_>, s: &Selection) -> bool {
        c.is_in(s, self.touched)
    }

    fn selected<'a>(&'a self, s: &'a Selection) -> impl Iterator<Item = Op<'a>> {
        self.load.iter().filter(move |op| self.is_in(op.cell, s))
    }

    /// The selected cells: as they are where all of a cell is selected, and looked at so counts
    /// as it was seen, as is usual; a copy of all of them is as large as the load.
    fn cells<'a>(&'a self, s: &'a Selection, view: View) -> Vec<Cow<'a, Cell>> {
        let mut out: Vec<Cow<'a, Cell>> = Vec::new();
        for cell in self.load.all_cells() {
            let selected = |v: u16| self.is_in(self.load.names(cell, v), s);
            let whole = self.load.variants().all(selected);
            let of = |x: Option<Sample>| x.map(|x| x.tally);
            let as_seen = |op: Op<'_>| of(self.sample(&op, view)) == of(op.sample());
            if whole && (view == View::Seen || self.load.of(cell).all(as_seen)) {
                out.push(Cow::Borrowed(cell));
                continue;
            }
            let ops = self.load.of(cell).filter(|op| self.is_in(op.cell, s));
            let samples = ops.filter_map(|op| self.sample(&op, view)).collect();
            let (az, endpoint) = (cell.az.clone(), cell.endpoint.clone());
            out.push(Cow::Owned(Cell::new(az, endpoint, cell.kind, samples)));
        }
        out.retain(|c| !c.samples.is_empty());
        out
    }

    fn samples<'a>(
        &'a self,
        s: &'a Selection,
        view: View,
    ) -> impl Iterator<Item = (Op<'a>, Sample)> {
        self.selected(s)
            .filter_map(move |op| Some((op, self.sample(&op, view)?)))
    }

    fn sample(&self, op: &Op<'_>, view: View) -> Option<Sample> {
        let seen = op.sample();
        if view == View::Seen {
            return seen;
        }
        let due = op.due;
        let lag = op.lag;
        let in_time = Sample::new(due, due, Tally::Answered);
        Some(match seen {
            None => in_time,
            Some(s) if s.tally.acknowledged() => {
                let known = s.known - lag;
                let enough = self.patience.slow_after;
                let late = enough.is_some_and(|most| known.since(due) > most);
                let tally = if late { Tally::Late } else { Tally::Answered };
                Sample { known, tally, ..s }
            }
            Some(_) if is_late(op) => in_time,
            Some(s) => s,
        })
    }

    /// Counts per second.
    fn seconds(&self, s: &Selection, view: View) -> BTreeMap<u64, Counts> {
        if view == View::Seen {
            return self.fold.by_second(|c| self.is_in(c, s));
        }
        let mut out: BTreeMap<u64, Counts> = BTreeMap::new();
        for (op, sample) in self.samples(s, view) {
            out.entry(op.due.0 / SECOND).or_default().add(sample.tally);
        }
        out
    }

    fn totals(&self, s: &Selection, view: View) -> Counts {
        let mut sum = Counts::default();
        match view {
            View::Seen => sum = self.fold.totals(|c| self.is_in(c, s)),
            View::Excused => self
                .samples(s, view)
                .for_each(|(_, sample)| sum.add(sample.tally)),
        }
        sum
    }

    fn requests(&self, s: &Selection, view: View) -> Counts {
        let mut c = self.fold.requests(|c| self.is_in(c, s));
        if view == View::Excused {
            // First attempts that are excused excuse their requests.
            let missed = self.totals(s, View::Seen).missed();
            let excused = missed - self.totals(s, view).missed().min(missed);
            c = Counts {
                answered: c.answered + c.unsent + excused.min(c.missed()),
                failed: c.missed() - excused.min(c.missed()),
                ..Counts::default()
            };
        }
        c
    }

    /// What is seen, and whether the canary may have done it.
    fn see(&self, target: Target, s: &Selection) -> Seen {
        let seen = self.look(target, s, View::Seen);
        if seen.verdict != Verdict::Fail {
            return seen;
        }
        let excused = self.look(target, s, View::Excused).verdict != Verdict::Fail;
        seen.doubt(excused.then(|| self.excuse(s)))
    }

    fn look(&self, target: Target, s: &Selection, view: View) -> Seen {
        match target {
            Target::Availability { at_least } => self.ratio(self.totals(s, view), at_least),
            Target::RequestAvailability { at_least } => {
                self.ratio(self.requests(s, view), at_least)
            }
            Target::SlicedAvailability { slice_ms, at_least } => {
                let m = self.measured;
                let m = mcr::sliced(&self.seconds(s, view), m.from, m.to, slice_ms / 1000);
                let c = self.totals(s, view);
                let text = format!(
                    "{} ({} with data, {} without)",
                    numbers::share(m.mean, c.attempts(), Some(at_least)),
                    numbers::plural(m.with_data, "slice"),
                    m.without_data
                );
                self.share(m.mean, text, c, at_least)
            }
            Target::Uptime { at_least } => {
                let cells = self.cells(s, view);
                let cells: Vec<&Cell> = cells.iter().map(|c| &**c).collect();
                let up = uptime_of(&pair_times(&cells, self.measured));
                let c = self.totals(s, view);
                let text = format!(
                    "{} ({} down, over all pairs)",
                    numbers::share(up.share, c.attempts(), Some(at_least)),
                    millis(up.down_ms)
                );
                self.share(up.share, text, c, at_least)
            }
            Target::WorstWindow {
                window_ms,
                at_least,
            } => self.worst(window_ms / 1000, at_least, &self.seconds(s, view)),
            Target::Latency {
                quantile,
                at_most_ms,
            } => self.latency(quantile, at_most_ms, s, view),
            Target::LongestGap { at_most_ms } => self.gap(at_most_ms, s, view),
            Target::Recovery { at_most_ms } => {
                let cells = self.cells(s, view);
                let cells = cells.iter().map(|c| &**c).collect();
                let health = Health::new(cells, self.faults, self.end());
                recovery_row::see(at_most_ms, self.injections, &health, self.end())
            }
        }
    }

    /// What was due last, or the end of measurement if that is earlier.
    fn end(&self) -> Nanos {
        let last = self.load.dues().map(|(_, last)| last);
        last.map_or(self.measured.to, |l| l.min(self.measured.to))
    }

    fn ratio(&self, c: Counts, limit: f64) -> Seen {
        let text = numbers::availability(c, Some(limit));
        let long = format!(
            "{text} ({} of {} missed)",
            numbers::count(c.missed()),
            numbers::count(c.attempts())
        );
        self.share(
            c.availability(),
            if self.whole { long } else { text },
            c,
            limit,
        )
    }

    /// A share of `c`, against its limit.
    fn share(&self, seen: Option<f64>, text: String, c: Counts, limit: f64) -> Seen {
        let Some(share) = seen else {
            return Seen::unknown("no operation was measured");
        };
        Seen {
            text: if self.whole {
                text
            } else {
                format!("{text} over a part of the run")
            },
            verdict: match (self.whole, share >= limit) {
                (false, _) => Verdict::Unknown,
                (true, true) => Verdict::Pass,
                (true, false) => Verdict::Fail,
            },
            margin: numbers::points(share, c.attempts(), limit),
            doubt: String::new(),
            share: Some(share),
        }
    }

    /// What the canary did that could explain a limit that was exceeded.
    fn excuse(&self, s: &Selection) -> String {
        let (mut unsent, mut late, mut worst) = (0, 0, Duration::ZERO);
        for op in self.selected(s) {
            unsent += u64::from(op.tally == Tally::Unsent);
            late += u64::from(op.tally.missed() && is_late(&op));
            worst = worst.max(op.lag);
        }
        let did = if unsent + late > 0 {
            format!(
                "the canaries did not send {unsent} and sent {late} of the missed more than 50 ms late"
            )
        } else {
            format!("the canaries sent up to {} late", numbers::latency(worst))
        };
        format!("{did}, which could explain it")
    }

    fn worst(&self, window: u64, limit: f64, seconds: &BTreeMap<u64, Counts>) -> Seen {
        let (from, to) = seconds_of(self.measured);
        let Some(w) = Cumulated::new(seconds, from, to).worst(window) else {
            return Seen::unknown(format!(
                "no window of {} with enough data was measured",
                burn::window(window * 1000)
            ));
        };
        let below = w.availability() < limit;
        let part = if self.whole {
            ""
        } else {
            ", over a part of the run"
        };
        Seen {
            text: format!(
                "{} from second {}{part}",
                numbers::availability(w.counts, Some(limit)),
                w.from
            ),
            verdict: match (below, self.whole) {
                // Too bad is too bad, however much of the run was seen.
                (true, _) => Verdict::Fail,
                (false, true) => Verdict::Pass,
                (false, false) => Verdict::Unknown,
            },
            margin: numbers::points(w.availability(), w.counts.attempts(), limit),
            doubt: String::new(),
            share: Some(w.availability()),
        }
    }

    fn latency(&self, q: f64, limit: u64, s: &Selection, view: View) -> Seen {
        let mut answered: Vec<u64> = Vec::new();
        let mut missed = 0;
        for (_, sample) in self.samples(s, view) {
            match sample.tally.acknowledged() {
                true => answered.push(sample.known.0.saturating_sub(sample.due.0)),
                false => missed += 1,
            }
        }
        let n = answered.len() as u64 + missed;
        if n == 0 {
            return Seen::unknown("no operation was measured");
        }
        let part = if self.whole {
            ""
        } else {
            " over a part of the run"
        };
        let Some(ns) = nearest(&mut answered, rank(q, n)) else {
            return Seen {
                text: format!(
                    "no answer: {} of {} were missed{part}",
                    numbers::count(missed),
                    numbers::count(n)
                ),
                verdict: if self.whole {
                    Verdict::Fail
                } else {
                    Verdict::Unknown
                },
                margin: String::new(),
                doubt: String::new(),
                share: None,
            };
        };
        let limit_ns = limit.saturating_mul(1_000_000);
        let latency = |ns| numbers::latency(Duration::from_nanos(ns));
        Seen {
            text: format!("{}{part}", latency(ns)),
            verdict: match (self.whole, ns <= limit_ns) {
                (false, _) => Verdict::Unknown,
                (true, true) => Verdict::Pass,
                (true, false) => Verdict::Fail,
            },
            margin: match limit_ns.checked_sub(ns) {
                Some(spare) => format!("{} to spare", latency(spare)),
                None => format!("{} too long", latency(ns - limit_ns)),
            },
            doubt: String::new(),
            share: None,
        }
    }

    /// The longest time between two acknowledgements.
    fn gap(&self, limit: u64, s: &Selection, view: View) -> Seen {
        let what = s.kind.map_or("operation", Kind::name);
        let acknowledged = self
            .samples(s, view)
            .filter(|(_, x)| x.tally.acknowledged());
        let times: Vec<Nanos> = acknowledged.map(|(_, x)| x.known).collect();
        let first = self.load.dues().map(|(first, _)| first);
        let (Some(first), true) = (first, self.totals(s, view).attempts() > 0) else {
            return Seen::unknown(format!("no {what} was measured"));
        };
        let from = self.measured.from.max(first);
        let Some(gap) = Acknowledged::new(from, self.end(), times).longest_gap() else {
            return Seen::unknown("nothing was measured");
        };
        let length = up_to_millis(gap.1.0 - gap.0.0);
        let part = if self.whole {
            ""
        } else {
            ", over a part of the run"
        };
        Seen {
            text: format!("{} from {}{part}", millis(length), gap.0),
            verdict: match (length <= limit, self.whole) {
                // Too long is too long, however much of the run was seen.
                (false, _) => Verdict::Fail,
                (true, true) => Verdict::Pass,
                (true, false) => Verdict::Unknown,
            },
            margin: time_margin(length, limit),
            doubt: String::new(),
            share: None,
        }
    }
}

/// True if the canary sent it so late that its being missed may be the canary's doing.
fn is_late(op: &Op<'_>) -> bool {
    micros(op.lag) > SUSPECT_MAX_US
}

/// Nearest rank, from 1: `ceil(q n)`.
fn rank(q: f64, n: u64) -> usize {
    ((q * n as f64 - 1e-9).ceil().max(1.0)) as usize
}

/// The value of that rank; `None` if there are fewer.
fn nearest(values: &mut [u64], rank: usize) -> Option<u64> {
    let i = rank.checked_sub(1).filter(|i| *i < values.len())?;
    Some(*values.select_nth_unstable(i).1)
}

/// How far from a limit that is a time.
pub fn time_margin(seen: u64, limit: u64) -> String {
    match limit.checked_sub(seen) {
        Some(spare) => format!("{} to spare", numbers::millis_left(spare)),
        None => format!("{} too long", millis(seen - limit)),
    }
}

/// The limit for people, and as a share if it is one.
fn limit(t: Target) -> (String, Option<f64>) {
    match t {
        Target::Availability { at_least }
        | Target::RequestAvailability { at_least }
        | Target::SlicedAvailability { at_least, .. }
        | Target::Uptime { at_least }
        | Target::WorstWindow { at_least, .. } => (
            format!("at least {}", limit_percent(at_least)),
            Some(at_least),
        ),
        Target::Latency { at_most_ms, .. }
        | Target::LongestGap { at_most_ms }
        | Target::Recovery { at_most_ms } => (format!("at most {}", millis(at_most_ms)), None),
    }
}

/// An objective for people.
fn describe(o: &Objective) -> String {
    let s = &o.selection;
    let kind = match s.kind {
        None => "Operation".to_string(),
        Some(k) => {
            let name = k.name();
            format!("{}{}", name[..1].to_uppercase(), &name[1..])
        }
    };
    let mut text = match o.target {
        Target::Availability { .. } => format!("{kind} availability"),
        Target::RequestAvailability { .. } => format!("{kind} availability after retries"),
        Target::SlicedAvailability { slice_ms, .. } => {
            format!(
                "{kind} availability, mean of slices of {}",
                burn::window(slice_ms)
            )
        }
        Target::Uptime { .. } => format!("{kind} uptime of pairs"),
        Target::WorstWindow { window_ms, .. } => {
            format!(
                "{kind} availability in the worst {}",
                burn::window(window_ms)
            )
        }
        Target::Latency { quantile, .. } => {
            format!("{kind} latency, {}", numbers::quantile(quantile))
        }
        Target::LongestGap { .. } => format!("Longest {} gap", kind.to_lowercase()),
        Target::Recovery { .. } => "Recovery after the revert".to_string(),
    };
    for (what, value) in [
        ("table", &s.table),
        ("from", &s.az),
        ("through", &s.endpoint),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(", {what} {value}"));
        }
    }
    if s.scope == Scope::Untouched {
        text.push_str(", pairs that no fault touched");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_nearest() {
        for (q, n, want) in [(0.99, 100, 99), (0.99, 10, 10), (0.5, 4, 2), (0.001, 10, 1)] {
            assert_eq!(rank(q, n), want);
        }
        assert_eq!(nearest(&mut [5, 1, 3], 2), Some(3));
        assert_eq!(nearest(&mut [5], 2), None);
    }

    #[test]
    fn margins_have_their_sign() {
        assert_eq!(time_margin(800, 1_000), "200 ms to spare");
        assert_eq!(time_margin(1_200, 1_000), "200 ms too long");
    }
}
