//! The one fold over operations: the live view, the baseline gate and the
//! report all count with it, so they cannot disagree.
//!
//! Operations are filed under the second in which they were *due*, not sent
//! or answered: a stalled client then cannot hide an outage by waiting it out.
//! Latency counts from the due time too. Final reads (`last`) are not load and
//! are left out.
//!
//! The counts are those of *first attempts*, which alone are paced: a client
//! that repeats what failed would weigh an outage by its own patience. Retries
//! only turn the request of a missed first attempt into an answered one, which
//! is told apart ([`Fold::requests`]).
//!
//! [`Fold::new`] keeps every second; [`Fold::bounded`] only the newest, so that a
//! canary can run for months: totals and latencies stay whole.

pub use gameday_record::Kind;
use gameday_record::{ErrorClass, Nanos, Operation, Outcome, Scope, Selection, WorkloadSpec};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::{AddAssign, SubAssign};
use std::time::Duration;

/// Longest latency that histograms tell apart, in microseconds; beyond it
/// they say "at least this".
const MAX_LATENCY_US: u64 = 600_000_000;

pub(crate) const SECOND: u64 = 1_000_000_000;

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
    /// It answered, but later than the workload's `slow_after` lets count.
    Late,
    /// It certainly had no effect.
    Failed,
    /// It may have had effect.
    Unknown,
    /// The canary could not send it, or was refused for what is wrong with itself: its
    /// own fault, not the service's.
    Unsent,
}

impl Tally {
    /// True if the service answered, in time or late.
    pub fn acknowledged(self) -> bool {
        matches!(self, Tally::Answered | Tally::Late)
    }

    /// True if a client that was promised an answer did without.
    pub fn missed(self) -> bool {
        matches!(self, Tally::Late | Tally::Failed | Tally::Unknown)
    }
}

/// How long a client waits for an answer, by the workload: what decides how an operation counts
/// and when that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// An answer that takes longer, from the due time on, is late: as good as none.
    pub slow_after: Option<Duration>,
    /// A call that never returned is known to be lost when it is given up: so long after it was due.
    pub timeout: Duration,
}

impl Patience {
    /// That of a workload.
    pub fn of(w: &WorkloadSpec) -> Self {
        Patience {
            slow_after: w.slow_after_ms.map(Duration::from_millis),
            timeout: Duration::from_millis(w.timeout_ms),
        }
    }

    /// How an operation counts.
    pub fn tally(&self, op: &Operation) -> Tally {
        match (&op.outcome, op.outcome.failure()) {
            (_, Some(f)) if matches!(f.class, ErrorClass::Unsent | ErrorClass::Misconfigured) => {
                Tally::Unsent
            }
            (o, _) if o.answered() => {
                let took = op.returned.map(|at| at.since(op.due));
                match took.zip(self.slow_after) {
                    Some((took, most)) if took > most => Tally::Late,
                    _ => Tally::Answered,
                }
            }
            (Outcome::Failed { .. }, _) => Tally::Failed,
            _ => Tally::Unknown,
        }
    }

    /// When a client knew what came of it: when it returned, or was given up.
    pub fn known(&self, op: &Operation) -> Nanos {
        op.returned.unwrap_or(op.due + self.timeout)
    }
}

/// Numbers of operations by how they count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Answered as promised.
    pub answered: u64,
    /// Answered later than `slow_after` of the workload; always 0 without it.
    #[serde(default)]
    pub late: u64,
    /// Certainly without effect.
    pub failed: u64,
    /// Perhaps with effect.
    pub unknown: u64,
    /// Missing by the canary's own fault: never sent, or refused for what is wrong with it.
    pub unsent: u64,
}

impl Counts {
    /// Operations that reached, or tried to reach, the service: all but the unsent.
    pub fn attempts(&self) -> u64 {
        self.answered + self.missed()
    }

    /// Attempts that were not answered in time.
    pub fn missed(&self) -> u64 {
        self.late + self.failed + self.unknown
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

    /// Counts one more.
    pub fn add(&mut self, tally: Tally) {
        match tally {
            Tally::Answered => self.answered += 1,
            Tally::Late => self.late += 1,
            Tally::Failed => self.failed += 1,
            Tally::Unknown => self.unknown += 1,
            Tally::Unsent => self.unsent += 1,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, o: Counts) {
        self.answered += o.answered;
        self.late += o.late;
        self.failed += o.failed;
        self.unknown += o.unknown;
        self.unsent += o.unsent;
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, o: Counts) {
        self.answered -= o.answered;
        self.late -= o.late;
        self.failed -= o.failed;
        self.unknown -= o.unknown;
        self.unsent -= o.unsent;
    }
}

/// The operations due in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// What came of them.
    pub counts: Counts,
    /// When the last of them was known: before, the second cannot be judged.
    pub known: Nanos,
}

impl AddAssign for Second {
    fn add_assign(&mut self, o: Second) {
        self.counts += o.counts;
        self.known = self.known.max(o.known);
    }
}

/// One cell: what one canary asked one endpoint of one table, over connections
/// of one sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellRef<'a> {
    /// AZ of the canary.
    pub az: &'a str,
    /// AZ of the endpoint.
    pub endpoint: &'a str,
    /// What was asked.
    pub kind: Kind,
    /// Table; empty where it has no name.
    pub table: &'a str,
    /// True for connections opened for one call.
    pub fresh: bool,
}

impl<'a> CellRef<'a> {
    /// The cell that an operation belongs to.
    pub fn of(op: &'a Operation) -> Self {
        CellRef {
            az: &op.az,
            endpoint: &op.endpoint,
            kind: Kind::of(&op.call),
            table: &op.table,
            fresh: op.fresh,
        }
    }

    /// Whether a selection lets it through. `touched` are the AZs that faults
    /// touch; they matter to [`Scope::Untouched`] only.
    pub fn is_in(&self, s: &Selection, touched: &BTreeSet<String>) -> bool {
        let same = |want: &Option<String>, is: &str| want.as_ref().is_none_or(|w| w == is);
        s.kind.is_none_or(|k| k == self.kind)
            && same(&s.table, self.table)
            && same(&s.az, self.az)
            && same(&s.endpoint, self.endpoint)
            && (s.scope == Scope::All || !self.touched(touched))
    }

    /// True if one of its two AZs is among these.
    pub fn touched(&self, azs: &BTreeSet<String>) -> bool {
        azs.contains(self.az) || azs.contains(self.endpoint)
    }
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

/// Ids of AZ, endpoint and table.
type Key = (usize, usize, Kind, usize, bool);

#[derive(Debug)]
struct Cell {
    total: Counts,
    /// First attempts that were missed, of requests that were answered later.
    rescued: Counts,
    /// … of requests whose next attempt did not come because the canary stopped.
    forgone: Counts,
    seconds: BTreeMap<u64, Second>,
    latency: Histogram<u64>,
}

/// A first attempt that was missed and may be tried again.
#[derive(Debug)]
struct Open {
    key: Key,
    tally: Tally,
}

/// Seconds of which a bounded fold keeps latencies, at most: a histogram each.
const MAX_LATENCIES: u64 = 120;

/// Requests that may be tried again, at most; the oldest are forgotten, and
/// then count as missed. Far more than canaries have in flight.
const MAX_OPEN: usize = 100_000;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Fold {
    // Names are interned so that a push allocates nothing.
    ids: BTreeMap<String, usize>,
    names: Vec<String>,
    cells: BTreeMap<Key, Cell>,
    latency: BTreeMap<(u64, Kind), Histogram<u32>>,
    open: HashMap<u64, Open>,
    opened: VecDeque<u64>,
    patience: Patience,
    /// Seconds that are kept; `None`: all.
    keep: Option<u64>,
    /// Of how many of them the latencies are kept; `None`: of all.
    latencies: Option<u64>,
    newest: u64,
}

impl Fold {
    /// An empty fold that keeps every second.
    pub fn new() -> Self {
        Fold::default()
    }

    /// An empty fold that keeps the newest `keep` seconds (by due time, at
    /// least 1); older ones live on in the totals and the latencies of the
    /// cells. Its memory is bounded by `keep` and the number of cells.
    pub fn bounded(keep: u64) -> Self {
        Fold {
            keep: Some(keep.max(1)),
            latencies: Some(keep.clamp(1, MAX_LATENCIES)),
            ..Fold::default()
        }
    }

    /// An empty fold that keeps the counts of every second, and the latencies
    /// of its cells alone: a day's seconds would take gigabytes.
    pub fn of_counts() -> Self {
        Fold {
            latencies: Some(0),
            ..Fold::default()
        }
    }

    /// The same, which counts by this patience instead of an endless one.
    pub fn with(self, patience: Patience) -> Self {
        Fold { patience, ..self }
    }

    /// A fold over these operations, counted by this patience.
    pub fn over<'a>(
        patience: Patience,
        operations: impl IntoIterator<Item = &'a Operation>,
    ) -> Self {
        let mut fold = Fold::new().with(patience);
        operations.into_iter().for_each(|o| fold.push(o));
        fold
    }

    /// Takes one operation whose outcome is known. A retry must come after the
    /// first attempt of its request.
    pub fn push(&mut self, op: &Operation) {
        if op.last {
            return;
        }
        let tally = self.patience.tally(op);
        if !op.attempt.is_first() {
            match tally {
                Tally::Answered => {
                    self.settle(op.attempt.request, |cell| &mut cell.rescued);
                }
                Tally::Unsent => {
                    self.settle(op.attempt.request, |cell| &mut cell.forgone);
                }
                _ => {}
            }
            return;
        }
        let key = (
            self.intern(&op.az),
            self.intern(&op.endpoint),
            Kind::of(&op.call),
            self.intern(&op.table),
            op.fresh,
        );
        let second = op.due.0 / SECOND;
        self.advance(second);
        let kept = second >= self.oldest();
        let cell = self.cells.entry(key).or_insert_with(|| Cell {
            total: Counts::default(),
            rescued: Counts::default(),
            forgone: Counts::default(),
            seconds: BTreeMap::new(),
            latency: histogram(3),
        });
        cell.total.add(tally);
        if kept {
            let mut one = Second {
                known: self.patience.known(op),
                ..Second::default()
            };
            one.counts.add(tally);
            *cell.seconds.entry(second).or_default() += one;
        }
        if let (true, Some(returned)) = (tally.acknowledged(), op.returned) {
            let us = micros(returned.since(op.due));
            record(&mut cell.latency, us);
            if second >= self.oldest_latency() {
                let by_second = self
                    .latency
                    .entry((second, key.2))
                    .or_insert_with(|| histogram(2));
                record(by_second, us);
            }
        } else if op.attempt.request != 0 && tally.missed() {
            self.await_retry(op.attempt.request, Open { key, tally });
        }
    }

    fn await_retry(&mut self, request: u64, open: Open) {
        if self.opened.len() >= MAX_OPEN
            && let Some(oldest) = self.opened.pop_front()
        {
            self.open.remove(&oldest);
        }
        self.opened.push_back(request);
        self.open.insert(request, open);
    }

    /// A request that waited for a retry waits no more: where its first attempt counts besides.
    fn settle(&mut self, request: u64, of: fn(&mut Cell) -> &mut Counts) {
        if let Some(open) = self.open.remove(&request)
            && let Some(cell) = self.cells.get_mut(&open.key)
        {
            of(cell).add(open.tally);
        }
    }

    /// Oldest second that is kept.
    fn oldest(&self) -> u64 {
        self.keep
            .map_or(0, |keep| (self.newest + 1).saturating_sub(keep))
    }

    /// Oldest second whose latencies are kept.
    fn oldest_latency(&self) -> u64 {
        self.latencies
            .map_or(0, |keep| (self.newest + 1).saturating_sub(keep))
    }

    /// Lets go of seconds that are too old once `second` has come.
    fn advance(&mut self, second: u64) {
        if second <= self.newest {
            return;
        }
        let before = self.oldest();
        self.newest = second;
        let oldest = self.oldest();
        if oldest == before && self.oldest_latency() == 0 {
            return;
        }
        for cell in self.cells.values_mut() {
            while let Some(first) = cell.seconds.first_entry().filter(|e| *e.key() < oldest) {
                first.remove();
            }
        }
        let oldest = self.oldest_latency();
        while let Some(first) = self.latency.first_entry().filter(|e| e.key().0 < oldest) {
            first.remove();
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

    /// Every cell with its totals, in the order of [`CellRef`]'s fields.
    pub fn cells(&self) -> Vec<(CellRef<'_>, Counts)> {
        let mut all: Vec<_> = self
            .cells
            .iter()
            .map(|(key, cell)| (self.name(key), cell.total))
            .collect();
        all.sort_by_key(|(c, _)| *c);
        all
    }

    fn name(&self, (az, endpoint, kind, table, fresh): &Key) -> CellRef<'_> {
        CellRef {
            az: &self.names[*az],
            endpoint: &self.names[*endpoint],
            kind: *kind,
            table: &self.names[*table],
            fresh: *fresh,
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

    /// Totals of requests: one is answered if any of its attempts is. Those
    /// whose next attempt was still to come when the canary stopped are left
    /// out: what would have become of them is not known.
    pub fn requests(&self, keep: impl Fn(CellRef<'_>) -> bool) -> Counts {
        let mut sum = Counts::default();
        for (key, cell) in &self.cells {
            if keep(self.name(key)) {
                sum += cell.total;
                sum -= cell.rescued;
                sum -= cell.forgone;
                sum.answered += cell.rescued.missed();
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
            for s in cell.seconds.range(from..=to).map(|(_, s)| s) {
                *sum += s.counts;
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
                for s in cell.seconds.range(from..=to).map(|(_, s)| s) {
                    sum += s.counts;
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
        quantiles(&sum)
    }

    /// Counts of every second that has any, over the cells that `keep` keeps.
    pub fn by_second(&self, keep: impl Fn(CellRef<'_>) -> bool) -> BTreeMap<u64, Counts> {
        let mut out: BTreeMap<u64, Counts> = BTreeMap::new();
        for (key, cell) in &self.cells {
            if keep(self.name(key)) {
                for (second, s) in &cell.seconds {
                    *out.entry(*second).or_default() += s.counts;
                }
            }
        }
        out
    }

    /// One second for every (AZ, endpoint) that has any operation in it, over
    /// the cells that `keep` keeps.
    pub fn pairs_at(
        &self,
        second: u64,
        keep: impl Fn(CellRef<'_>) -> bool,
    ) -> BTreeMap<(&str, &str), Second> {
        let mut out: BTreeMap<(&str, &str), Second> = BTreeMap::new();
        for (key, cell) in &self.cells {
            let name = self.name(key);
            if let Some(s) = cell.seconds.get(&second)
                && keep(name)
            {
                *out.entry((name.az, name.endpoint)).or_default() += *s;
            }
        }
        out
    }

    /// One second over the cells that `keep` keeps.
    pub fn second(&self, second: u64, keep: impl Fn(CellRef<'_>) -> bool) -> Second {
        let mut sum = Second::default();
        for (key, cell) in &self.cells {
            if let Some(s) = cell.seconds.get(&second)
                && keep(self.name(key))
            {
                sum += *s;
            }
        }
        sum
    }
}

/// p50 and p99, if there is anything.
pub(crate) fn quantiles(h: &Histogram<u32>) -> (Option<Duration>, Option<Duration>) {
    let at = |q| (!h.is_empty()).then(|| Duration::from_micros(h.value_at_quantile(q)));
    (at(0.5), at(0.99))
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
pub(crate) mod tests {
    use super::*;
    use gameday_record::{Call, Failure};

    pub fn op(az: &str, endpoint: &str, due_ms: u64, took_ms: u64, outcome: Outcome) -> Operation {
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

    pub fn ok() -> Outcome {
        Outcome::Ok { value: None }
    }

    pub fn failed(class: ErrorClass) -> Outcome {
        Outcome::Failed {
            failure: Failure {
                class,
                message: String::new(),
            },
            observed: None,
        }
    }

    pub fn unknown() -> Outcome {
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
            (failed(ErrorClass::Misconfigured), Tally::Unsent),
            (unknown(), Tally::Unknown),
        ] {
            let patience = Patience::default();
            assert_eq!(patience.tally(&op("a", "a", 0, 1, outcome)), want);
        }
        let mut last = op("a", "a", 0, 1, ok());
        last.last = true;
        assert_eq!(
            Fold::over(Patience::default(), [&last]).total(Kind::Write),
            Counts::default()
        );
    }

    #[test]
    fn a_late_answer_is_a_missed_one_whose_latency_is_known() {
        let patience = Patience {
            slow_after: Some(Duration::from_millis(500)),
            timeout: Duration::from_secs(3),
        };
        let mut lost = op("a", "a", 1_200, 0, unknown());
        lost.returned = None;
        let fold = Fold::over(
            patience,
            &[
                op("a", "a", 1_000, 500, ok()),
                op("a", "a", 1_100, 501, ok()),
                lost,
            ],
        );
        let c = fold.total(Kind::Write);
        assert_eq!((c.answered, c.late, c.unknown), (1, 1, 1));
        assert_eq!((c.attempts(), c.missed()), (3, 2));
        assert_eq!(fold.latency(|_| true).len(), 2);
        // The last of the second is known when the call that never returned is given up.
        let second = fold.second(1, |_| true);
        assert_eq!((second.counts, second.known), (c, Nanos(4_200_000_000)));
        // Without `slow_after` it is an answer.
        let patience = Patience::default();
        assert_eq!(
            patience.tally(&op("a", "a", 0, 60_000, ok())),
            Tally::Answered
        );
    }

    #[test]
    fn operations_are_filed_by_due_time_and_latency_counts_from_it() {
        // Due at 1.9 s and answered 5 s later: second 1, five seconds slow.
        let slow = op("a", "a", 1_900, 5_000, ok());
        let fast: Vec<_> = (0..99).map(|i| op("a", "b", 2_000 + i, 2, ok())).collect();
        let fold = Fold::over(Patience::default(), fast.iter().chain([&slow]));
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
    fn retries_rescue_requests_and_count_for_nothing_else() {
        let attempt = |request, retry| gameday_record::Attempt { request, retry };
        let with = |mut o: Operation, a| {
            o.attempt = a;
            o
        };
        let fold = Fold::over(
            Patience::default(),
            &[
                // Answered at the third attempt, never, and at once.
                with(op("a", "a", 1_000, 1, unknown()), attempt(1, 0)),
                with(
                    op("a", "a", 1_100, 1, failed(ErrorClass::Server)),
                    attempt(1, 1),
                ),
                with(op("a", "a", 1_200, 1, ok()), attempt(1, 2)),
                with(
                    op("a", "a", 1_300, 1, failed(ErrorClass::Refused)),
                    attempt(2, 0),
                ),
                with(op("a", "a", 1_400, 1, unknown()), attempt(2, 1)),
                with(op("a", "a", 1_500, 1, ok()), attempt(3, 0)),
                // Of a request whose first attempt was not seen.
                with(op("a", "a", 1_600, 1, ok()), attempt(9, 1)),
                // Its retry was to come when the canary stopped: nobody knows.
                with(
                    op("a", "a", 1_700, 1, failed(ErrorClass::Refused)),
                    attempt(4, 0),
                ),
                with(
                    op("a", "a", 1_800, 0, failed(ErrorClass::Unsent)),
                    attempt(4, 1),
                ),
            ],
        );
        let c = fold.total(Kind::Write);
        assert_eq!(
            (c.answered, c.failed, c.unknown, c.unsent),
            (1, 2, 1, 0),
            "what is due counts"
        );
        let r = fold.requests(|_| true);
        assert_eq!((r.answered, r.failed, r.unknown), (2, 1, 0));
        assert_eq!(fold.latency(|_| true).len(), 1);
    }

    #[test]
    fn a_bounded_fold_forgets_seconds_but_not_totals() {
        let mut fold = Fold::bounded(10);
        for s in 0..1_000 {
            fold.push(&op("a", "a", s * 1_000, 1, ok()));
        }
        // One that was answered long after its second was let go.
        fold.push(&op("a", "a", 5_000, 900_000, ok()));
        assert_eq!(fold.total(Kind::Write).answered, 1_001);
        assert_eq!(fold.latency(|_| true).len(), 1_001);
        assert_eq!(fold.counts(0, 989, |_| true), Counts::default());
        assert_eq!(fold.counts(990, 999, |_| true).answered, 10);
        assert_eq!(fold.by_second(|_| true).len(), 10);
        assert_eq!(fold.latency.len(), 10);
    }

    /// A night's runner must not hold a histogram for each of its seconds.
    #[test]
    fn a_bounded_fold_keeps_few_latencies_however_long_it_looks_back() {
        let mut fold = Fold::bounded(10_000);
        for s in 0..1_000 {
            fold.push(&op("a", "a", s * 1_000, 1, ok()));
            assert!(fold.latency.len() as u64 <= MAX_LATENCIES);
        }
        assert_eq!(fold.counts(0, 999, |_| true).answered, 1_000);
        let (p50, _) = fold.quantiles(1_000 - MAX_LATENCIES, 999, None);
        assert!(p50.is_some());
        let mut fold = Fold::of_counts();
        fold.push(&op("a", "a", 5_000, 1, ok()));
        assert!(fold.latency.is_empty());
        assert_eq!(fold.latency(|_| true).len(), 1);
    }

    #[test]
    fn a_selection_filters_by_every_field() {
        let o = op("a", "b", 0, 1, ok());
        let cell = CellRef::of(&o);
        let none = BTreeSet::new();
        let b = BTreeSet::from(["b".to_string()]);
        let s = |f: &dyn Fn(&mut Selection)| {
            let mut s = Selection::default();
            f(&mut s);
            s
        };
        for (selection, touched, want) in [
            (s(&|_| ()), &b, true),
            (s(&|s| s.kind = Some(Kind::Write)), &none, true),
            (s(&|s| s.kind = Some(Kind::StrongRead)), &none, false),
            (s(&|s| s.table = Some("t".into())), &none, false),
            (s(&|s| s.az = Some("a".into())), &none, true),
            (s(&|s| s.az = Some("b".into())), &none, false),
            (s(&|s| s.endpoint = Some("b".into())), &none, true),
            (s(&|s| s.endpoint = Some("a".into())), &none, false),
            (s(&|s| s.scope = Scope::Untouched), &none, true),
            (s(&|s| s.scope = Scope::Untouched), &b, false),
        ] {
            assert_eq!(cell.is_in(&selection, touched), want, "{selection:?}");
        }
    }

    #[test]
    fn recent_looks_back_from_now() {
        let ops = [
            op("a", "a", 1_000, 1, unknown()),
            op("a", "b", 8_000, 1, ok()),
            op("a", "b", 9_500, 1, unknown()),
        ];
        let fold = Fold::over(Patience::default(), &ops);
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
}
