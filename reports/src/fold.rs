//! The one fold over operations: the live view, the baseline gate and the
//! report all count with it, so they cannot disagree.
//!
//! Operations are filed under the second in which they were *due*, not sent
//! or answered: a stalled client then cannot hide an outage by waiting it out.
//! Latency counts from the due time too. Final reads (`last`) are not load and
//! are left out.

pub use gameday_record::Kind;
use gameday_record::{ErrorClass, Nanos, Operation, Outcome, WorkloadSpec};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

/// Longest latency that histograms tell apart, in microseconds; beyond it
/// they say "at least this".
const MAX_LATENCY_US: u64 = 600_000_000;

const SECOND: u64 = 1_000_000_000;

/// The kinds that a workload contains.
pub fn kinds_in(w: &WorkloadSpec) -> Vec<Kind> {
    Kind::ALL
        .into_iter()
        .filter(|k| match k {
            Kind::Write => w.writes + w.inserts + w.cas + w.adds > 0.0,
            Kind::StrongRead => w.strong_reads > 0.0,
            Kind::EventualRead => w.eventual_reads > 0.0,
        })
        .collect()
}

/// How an operation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// The service answered as promised (a condition that did not hold is an answer).
    Answered,
    /// It certainly had no effect.
    Failed,
    /// It may have had effect.
    Unknown,
    /// The canary could not send it: the canary's fault, not the service's.
    Unsent,
}

impl Tally {
    /// Of one operation.
    pub fn of(op: &Operation) -> Tally {
        match (&op.outcome, op.outcome.failure()) {
            (_, Some(f)) if f.class == ErrorClass::Unsent => Tally::Unsent,
            (o, _) if o.answered() => Tally::Answered,
            (Outcome::Failed { .. }, _) => Tally::Failed,
            _ => Tally::Unknown,
        }
    }
}

/// Numbers of operations by how they count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Answered as promised.
    pub answered: u64,
    /// Certainly without effect.
    pub failed: u64,
    /// Perhaps with effect.
    pub unknown: u64,
    /// Never sent by the canary.
    pub unsent: u64,
}

impl Counts {
    /// Operations that reached, or tried to reach, the service: all but the unsent.
    pub fn attempts(&self) -> u64 {
        self.answered + self.failed + self.unknown
    }

    /// Attempts that were not answered.
    pub fn missed(&self) -> u64 {
        self.failed + self.unknown
    }

    /// Share of attempts that were answered; `None` without attempts.
    pub fn availability(&self) -> Option<f64> {
        crate::formulas::request_availability(self.answered, self.attempts())
    }

    /// Share of all due operations that were not sent; 0 if none was due.
    pub fn unsent_share(&self) -> f64 {
        let due = self.attempts() + self.unsent;
        if due == 0 {
            0.0
        } else {
            self.unsent as f64 / due as f64
        }
    }

    fn add(&mut self, tally: Tally) {
        match tally {
            Tally::Answered => self.answered += 1,
            Tally::Failed => self.failed += 1,
            Tally::Unknown => self.unknown += 1,
            Tally::Unsent => self.unsent += 1,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, o: Counts) {
        self.answered += o.answered;
        self.failed += o.failed;
        self.unknown += o.unknown;
        self.unsent += o.unsent;
    }
}

/// One cell: what one canary asked one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellRef<'a> {
    /// AZ of the canary.
    pub az: &'a str,
    /// AZ of the endpoint.
    pub endpoint: &'a str,
    /// What was asked.
    pub kind: Kind,
}

/// What the last seconds looked like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Operations due in them, as far as their outcome is known by now.
    pub counts: Counts,
    /// Median latency of the answered ones.
    pub p50: Option<Duration>,
    /// 99th percentile.
    pub p99: Option<Duration>,
}

/// When a baseline is healthy.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineRule {
    /// AZs that must have a canary, and whose endpoint every canary must have called.
    pub azs: Vec<String>,
    /// Kinds that every pair must have data for.
    pub kinds: Vec<Kind>,
    /// Least availability of every cell, 0 to 1.
    pub availability: f64,
    /// Largest share of unsent operations over all cells, 0 to 1.
    pub unsent: f64,
}

impl BaselineRule {
    /// 99 % in every cell that the workload promises; 0.1 % unsent.
    pub fn new(azs: &[String], workload: &WorkloadSpec) -> Self {
        BaselineRule {
            azs: azs.to_vec(),
            kinds: kinds_in(workload),
            availability: 0.99,
            unsent: crate::overall::MAX_UNSENT,
        }
    }
}

#[derive(Debug)]
struct Cell {
    total: Counts,
    seconds: BTreeMap<u64, Counts>,
    latency: Histogram<u64>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Fold {
    // Names are interned so that a push allocates nothing.
    ids: BTreeMap<String, usize>,
    names: Vec<String>,
    cells: BTreeMap<(usize, usize, Kind), Cell>,
    latency: BTreeMap<(u64, Kind), Histogram<u32>>,
}

impl Fold {
    /// An empty fold.
    pub fn new() -> Self {
        Fold::default()
    }

    /// A fold over these operations.
    pub fn over<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> Self {
        let mut fold = Fold::new();
        operations.into_iter().for_each(|o| fold.push(o));
        fold
    }

    /// Takes one operation whose outcome is known.
    pub fn push(&mut self, op: &Operation) {
        if op.last {
            return;
        }
        let (az, endpoint) = (self.intern(&op.az), self.intern(&op.endpoint));
        let kind = Kind::of(&op.call);
        let second = op.due.0 / SECOND;
        let tally = Tally::of(op);
        let cell = self
            .cells
            .entry((az, endpoint, kind))
            .or_insert_with(|| Cell {
                total: Counts::default(),
                seconds: BTreeMap::new(),
                latency: histogram(3),
            });
        cell.total.add(tally);
        cell.seconds.entry(second).or_default().add(tally);
        if let (Tally::Answered, Some(returned)) = (tally, op.returned) {
            let us = micros(returned.since(op.due));
            record(&mut cell.latency, us);
            let by_second = self
                .latency
                .entry((second, kind))
                .or_insert_with(|| histogram(2));
            record(by_second, us);
        }
    }

    fn intern(&mut self, name: &str) -> usize {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.names.len();
        self.names.push(name.to_string());
        self.ids.insert(name.to_string(), id);
        id
    }

    /// Every cell with its totals, by AZ, endpoint and kind.
    pub fn cells(&self) -> Vec<(CellRef<'_>, Counts)> {
        let mut all: Vec<_> = self
            .cells
            .iter()
            .map(|(key, cell)| (self.name(key), cell.total))
            .collect();
        all.sort_by_key(|(c, _)| (c.az, c.endpoint, c.kind));
        all
    }

    fn name(&self, (az, endpoint, kind): &(usize, usize, Kind)) -> CellRef<'_> {
        CellRef {
            az: &self.names[*az],
            endpoint: &self.names[*endpoint],
            kind: *kind,
        }
    }

    /// Totals over the cells that `keep` keeps.
    pub fn totals(&self, keep: impl Fn(CellRef<'_>) -> bool) -> Counts {
        let mut sum = Counts::default();
        for (key, cell) in &self.cells {
            if keep(self.name(key)) {
                sum += cell.total;
            }
        }
        sum
    }

    /// Totals of one kind over all pairs.
    pub fn total(&self, kind: Kind) -> Counts {
        self.totals(|c| c.kind == kind)
    }

    /// Latency in microseconds (three digits) over the cells that `keep` keeps.
    pub fn latency(&self, keep: impl Fn(CellRef<'_>) -> bool) -> Histogram<u64> {
        let mut sum = histogram(3);
        for (key, cell) in &self.cells {
            if keep(self.name(key)) {
                // Both have the same bounds, so adding cannot fail.
                let _ = sum.add(&cell.latency);
            }
        }
        sum
    }

    /// The last `seconds` whole seconds before `now` and the current one; of
    /// one kind or of all.
    pub fn recent(&self, now: Nanos, seconds: u64, kind: Option<Kind>) -> Recent {
        let to = now.0 / SECOND;
        let from = to.saturating_sub(seconds);
        let (p50, p99) = self.quantiles(from, to, kind);
        Recent {
            counts: self.counts(from, to, |c| kind.is_none_or(|k| k == c.kind)),
            p50,
            p99,
        }
    }

    /// As [`Fold::recent`], counts only, for every (AZ, endpoint).
    pub fn recent_pairs(&self, now: Nanos, seconds: u64) -> BTreeMap<(&str, &str), Counts> {
        let to = now.0 / SECOND;
        let from = to.saturating_sub(seconds);
        let mut out: BTreeMap<(&str, &str), Counts> = BTreeMap::new();
        for (key, cell) in &self.cells {
            let name = self.name(key);
            let sum = out.entry((name.az, name.endpoint)).or_default();
            for c in cell.seconds.range(from..=to).map(|(_, c)| *c) {
                *sum += c;
            }
        }
        out
    }

    /// Counts of the operations due in the seconds `from..=to`.
    pub fn counts(&self, from: u64, to: u64, keep: impl Fn(CellRef<'_>) -> bool) -> Counts {
        let mut sum = Counts::default();
        if from > to {
            return sum;
        }
        for (key, cell) in &self.cells {
            if keep(self.name(key)) {
                for c in cell.seconds.range(from..=to).map(|(_, c)| *c) {
                    sum += c;
                }
            }
        }
        sum
    }

    /// p50 and p99 of the answered operations due in the seconds `from..=to`
    /// (two digits).
    pub fn quantiles(
        &self,
        from: u64,
        to: u64,
        kind: Option<Kind>,
    ) -> (Option<Duration>, Option<Duration>) {
        if from > to {
            return (None, None);
        }
        let mut sum = histogram::<u32>(2);
        let range = (from, Kind::Write)..=(to, Kind::EventualRead);
        for ((_, k), h) in self.latency.range(range) {
            if kind.is_none_or(|kind| kind == *k) {
                let _ = sum.add(h);
            }
        }
        if sum.is_empty() {
            return (None, None);
        }
        let at = |q| Some(Duration::from_micros(sum.value_at_quantile(q)));
        (at(0.5), at(0.99))
    }

    /// The seconds of one cell in which something was not answered.
    pub fn missed_seconds(&self, cell: CellRef<'_>) -> Vec<(u64, Counts)> {
        let id = |name: &str| self.ids.get(name).copied();
        let (Some(az), Some(endpoint)) = (id(cell.az), id(cell.endpoint)) else {
            return Vec::new();
        };
        self.cells
            .get(&(az, endpoint, cell.kind))
            .into_iter()
            .flat_map(|c| &c.seconds)
            .filter(|(_, c)| c.missed() > 0)
            .map(|(s, c)| (*s, *c))
            .collect()
    }

    /// Whether the cluster was healthy in the whole seconds inside `[from, to)`:
    /// every cell of the rule has data and answered at least its share, and
    /// the canaries sent what they should.
    ///
    /// # Errors
    /// What was wrong, one sentence per cell with its numbers.
    pub fn baseline(&self, from: Nanos, to: Nanos, rule: &BaselineRule) -> Result<(), Vec<String>> {
        let first = from.0.div_ceil(SECOND);
        let end = to.0 / SECOND;
        if end <= first {
            return Err(vec![format!(
                "the baseline from {from} to {to} does not contain a whole second"
            )]);
        }
        let last = end - 1;
        let mut wrong = Vec::new();
        for az in &rule.azs {
            for endpoint in &rule.azs {
                for kind in &rule.kinds {
                    let cell = CellRef {
                        az,
                        endpoint,
                        kind: *kind,
                    };
                    let counts = self.counts(first, last, |c| c == cell);
                    let what = format!("{}s from {az} through endpoint {endpoint}", kind.name());
                    match counts.availability() {
                        None => wrong.push(format!("{what}: no operation was measured")),
                        Some(a) if a < rule.availability => wrong.push(format!(
                            "{what}: {} of {} answered ({}), at least {} expected",
                            counts.answered,
                            counts.attempts(),
                            crate::numbers::availability(counts, None),
                            crate::numbers::limit_percent(rule.availability),
                        )),
                        Some(_) => {}
                    }
                }
            }
        }
        let all = self.counts(first, last, |_| true);
        if all.unsent_share() > rule.unsent {
            wrong.push(format!(
                "the canaries did not send {} of {} operations in time ({:.2} %), at most {} expected",
                all.unsent,
                all.unsent + all.attempts(),
                all.unsent_share() * 100.0,
                crate::numbers::limit_percent(rule.unsent),
            ));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// Microseconds, rounded up to at least one, so that nothing counts as free.
pub(crate) fn micros(d: Duration) -> u64 {
    (d.as_nanos().div_ceil(1000) as u64).clamp(1, MAX_LATENCY_US)
}

pub(crate) fn histogram<C: hdrhistogram::Counter>(digits: u8) -> Histogram<C> {
    let mut h =
        Histogram::new_with_bounds(1, 2, digits).expect("1, 2 and a digit are valid bounds");
    // Grows with what is recorded, so that a fast second costs a kilobyte.
    h.auto(true);
    h
}

/// Records a latency in a histogram that grows. (`saturating_record` would
/// clip it to the histogram's size of the moment.)
pub(crate) fn record<C: hdrhistogram::Counter>(h: &mut Histogram<C>, us: u64) {
    // Cannot fail: `micros` bounds the value, far below what a histogram can grow to.
    let _ = h.record(us.min(MAX_LATENCY_US));
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::{Call, Failure};

    fn op(az: &str, endpoint: &str, due_ms: u64, took_ms: u64, outcome: Outcome) -> Operation {
        let due = Nanos(due_ms * 1_000_000);
        Operation {
            index: 0,
            process: 0,
            az: az.into(),
            endpoint: endpoint.into(),
            call: Call::Write {
                key: "k".into(),
                value: 1,
            },
            due,
            invoked: due,
            returned: Some(due + Duration::from_millis(took_ms)),
            outcome,
            last: false,
            table: String::new(),
            fresh: false,
            attempt: Default::default(),
        }
    }

    fn ok() -> Outcome {
        Outcome::Ok { value: None }
    }

    fn failed(class: ErrorClass) -> Outcome {
        Outcome::Failed {
            failure: Failure {
                class,
                message: String::new(),
            },
            observed: None,
        }
    }

    fn unknown() -> Outcome {
        Outcome::Unknown {
            failure: Failure {
                class: ErrorClass::Timeout,
                message: String::new(),
            },
        }
    }

    #[test]
    fn outcomes_count_once_and_final_reads_not_at_all() {
        for (outcome, want) in [
            (ok(), Tally::Answered),
            (failed(ErrorClass::Condition), Tally::Answered),
            (failed(ErrorClass::Refused), Tally::Failed),
            (failed(ErrorClass::Unsent), Tally::Unsent),
            (unknown(), Tally::Unknown),
        ] {
            assert_eq!(Tally::of(&op("a", "a", 0, 1, outcome)), want);
        }
        let mut last = op("a", "a", 0, 1, ok());
        last.last = true;
        assert_eq!(Fold::over([&last]).total(Kind::Write), Counts::default());
    }

    #[test]
    fn operations_are_filed_by_due_time_and_latency_counts_from_it() {
        // Due at 1.9 s and answered 5 s later: second 1, five seconds slow.
        let slow = op("a", "a", 1_900, 5_000, ok());
        let fast: Vec<_> = (0..99).map(|i| op("a", "b", 2_000 + i, 2, ok())).collect();
        let fold = Fold::over(fast.iter().chain([&slow]));
        assert_eq!(fold.counts(1, 1, |_| true).answered, 1);
        assert_eq!(fold.counts(2, 2, |_| true).answered, 99);
        let h = fold.latency(|_| true);
        assert_eq!(h.len(), 100);
        let close = |got: u64, want: u64| got.abs_diff(want) * 1000 <= want;
        assert!(close(h.value_at_quantile(0.5), 2_000));
        assert!(close(h.max(), 5_000_000));
        let (p50, p99) = fold.quantiles(1, 1, Some(Kind::Write));
        assert!(p50 == p99 && p99.unwrap() >= Duration::from_millis(4_950));
        assert_eq!(fold.quantiles(3, 9, None), (None, None));
    }

    #[test]
    fn recent_looks_back_from_now() {
        let ops = [
            op("a", "a", 1_000, 1, unknown()),
            op("a", "b", 8_000, 1, ok()),
            op("a", "b", 9_500, 1, unknown()),
        ];
        let fold = Fold::over(&ops);
        let now = Nanos(10_000_000_000);
        let recent = fold.recent(now, 3, Some(Kind::Write));
        assert_eq!((recent.counts.answered, recent.counts.unknown), (1, 1));
        assert_eq!(
            fold.recent(now, 3, Some(Kind::StrongRead)),
            Recent::default()
        );
        let pairs = fold.recent_pairs(now, 3);
        assert_eq!(pairs[&("a", "a")].attempts(), 0);
        assert_eq!(pairs[&("a", "b")].attempts(), 2);
    }

    fn rule() -> BaselineRule {
        BaselineRule {
            azs: vec!["a".into(), "b".into()],
            kinds: vec![Kind::Write],
            availability: 0.99,
            unsent: 0.001,
        }
    }

    /// 100 operations of each pair in second 1, some of a through b spoiled.
    fn baseline(spoil: &[Outcome]) -> Result<(), Vec<String>> {
        let mut fold = Fold::new();
        for (az, endpoint) in [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")] {
            for i in 0..100 {
                let spoiled = (az == "a" && endpoint == "b").then(|| spoil.get(i).cloned());
                let outcome = spoiled.flatten().unwrap_or_else(ok);
                fold.push(&op(az, endpoint, 1_000 + i as u64 * 10, 1, outcome));
            }
        }
        fold.baseline(Nanos(500_000_000), Nanos(2_900_000_000), &rule())
    }

    #[test]
    fn a_baseline_is_healthy_cell_by_cell() {
        assert_eq!(baseline(&[]), Ok(()));
        // 99 of 100 is enough, 98 is not.
        assert_eq!(baseline(&[unknown()]), Ok(()));
        let wrong = baseline(&[unknown(), failed(ErrorClass::Refused)]).unwrap_err();
        assert_eq!(
            wrong,
            ["writes from a through endpoint b: 98 of 100 answered (98 %), at least 99 % expected"]
        );
        // One unsent of 400 is 0.25 %.
        let wrong = baseline(&[failed(ErrorClass::Unsent)]).unwrap_err();
        assert!(
            wrong.len() == 1 && wrong[0].contains("1 of 400"),
            "{wrong:?}"
        );
    }

    #[test]
    fn a_baseline_without_data_is_not_healthy() {
        let fold = Fold::over(&[op("a", "a", 1_500, 1, ok())]);
        let wrong = fold
            .baseline(Nanos(1_000_000_000), Nanos(2_000_000_000), &rule())
            .unwrap_err();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("no operation was measured"));
        let wrong = fold
            .baseline(Nanos(1_200_000_000), Nanos(1_900_000_000), &rule())
            .unwrap_err();
        assert!(wrong[0].contains("whole second"), "{wrong:?}");
    }
}
