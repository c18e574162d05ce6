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

mod cell;
mod counts;
mod latency;
mod seconds;
mod tally;
mod view;

pub use cell::CellRef;
pub use counts::Counts;
pub use gameday_record::Kind;
pub(crate) use latency::{histogram, micros, quantiles, record};
pub use seconds::Second;
pub use tally::{Patience, Tally};
pub use view::Recent;

use gameday_record::{Operation, WorkloadSpec};
use hdrhistogram::Histogram;
use seconds::Seconds;
use std::collections::{BTreeMap, HashMap, VecDeque};

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

/// Ids of AZ, endpoint and table.
type Key = (usize, usize, Kind, usize, bool);

#[derive(Debug)]
struct Cell {
    total: Counts,
    /// First attempts that were missed, of requests that were answered later.
    rescued: Counts,
    /// … of requests whose next attempt did not come because the canary stopped.
    forgone: Counts,
    seconds: Seconds,
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
            seconds: Seconds::default(),
            latency: histogram(3),
        });
        cell.total.add(tally);
        if kept {
            cell.seconds.add(second, tally, self.patience.known(op));
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
            cell.seconds.forget_before(oldest);
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
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use gameday_record::{Call, ErrorClass, Failure, Nanos, Outcome};
    use std::time::Duration;

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
}
