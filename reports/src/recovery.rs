//! What an injection cost and when the cluster was well again, measured by
//! the canaries and not assumed from the revert.
//!
//! **Healthy again** at `t`: in `[t, t + 3 s)` every cell (canary's AZ ×
//! endpoint × kind) that no active fault touches answered at least 99 % of
//! the operations due. A pair without any operation in the span is not
//! healthy; a kind that happened to have none in it says nothing. A fault
//! *touches* the pairs whose canary or endpoint stands in an AZ of its
//! targets, from its intent until its revert was carried out: from then on they
//! have to be well again, also while the proof of the revert is still being taken.
//!
//! Source: the definition of TTR in our notes on availability, with success
//! alone as the criterion and a span of 3 s.

use crate::fold::{Kind, Tally};
use gameday_record::Nanos;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the cells must be healthy.
pub const SPAN: Duration = Duration::from_secs(3);

/// Share of operations that must be answered in the span.
pub const SPAN_AVAILABILITY: f64 = 0.99;

/// One measured operation, as far as recovery is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was due.
    pub due: Nanos,
    /// When its outcome was known ([`Patience::known`](crate::fold::Patience::known)).
    pub known: Nanos,
    /// By how much it was sent late, in microseconds.
    pub lag_us: u32,
    /// Which table and sort of connection it was, by [`Load`](crate::load::Load)'s number.
    pub variant: u16,
    /// How it counts; never `Unsent`.
    pub tally: Tally,
}

impl Sample {
    /// One that was sent when it was due.
    pub fn new(due: Nanos, known: Nanos, tally: Tally) -> Sample {
        Sample {
            due,
            known,
            lag_us: 0,
            variant: 0,
            tally,
        }
    }

    /// By how much it was sent late.
    pub fn lag(&self) -> Duration {
        Duration::from_micros(self.lag_us.into())
    }

    /// True if the service answered, and in time.
    pub fn answered(&self) -> bool {
        self.tally == Tally::Answered
    }
}

/// All operations of one kind from one AZ through one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// AZ of the canary.
    pub az: String,
    /// AZ of the endpoint.
    pub endpoint: String,
    /// What was asked.
    pub kind: Kind,
    /// By due time.
    pub samples: Vec<Sample>,
    /// Which of the samples were not answered, in order.
    missed: Vec<u32>,
    /// The longest time from a due time until the outcome was known.
    longest: Duration,
}

impl Cell {
    /// A cell; the samples are sorted.
    pub fn new(az: String, endpoint: String, kind: Kind, samples: Vec<Sample>) -> Self {
        let mut cell = Cell {
            az,
            endpoint,
            kind,
            samples,
            missed: Vec::new(),
            longest: Duration::ZERO,
        };
        cell.sort();
        cell
    }

    /// Takes one more; the cell is to be sorted before it is asked.
    pub fn push(&mut self, sample: Sample) {
        let samples = &mut self.samples;
        if samples.len() == samples.capacity() {
            // By a quarter, not to the double: memory counts more than copying.
            samples.reserve_exact((samples.len() / 4).max(64));
        }
        samples.push(sample);
    }

    /// Brings the samples into the order of their due times.
    pub fn sort(&mut self) {
        self.samples.sort_by_key(|s| s.due);
        let missed = (0..).zip(&self.samples).filter(|(_, s)| !s.answered());
        self.missed = missed.map(|(i, _)| i).collect();
        let lives = self.samples.iter().map(|s| s.known.since(s.due));
        self.longest = lives.max().unwrap_or_default();
    }

    /// How many of the first `n` samples were not answered.
    fn missed_before(&self, n: usize) -> usize {
        self.missed.partition_point(|i| (*i as usize) < n)
    }

    /// The first sample from number `from` on that was answered.
    pub fn next_answered(&self, from: usize) -> Option<&Sample> {
        let missed = &self.missed[self.missed_before(from)..];
        // As long as every one from there on was missed, the next is as far from it as its place.
        let (mut low, mut high) = (0, missed.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if missed[middle] as usize == from + middle {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.samples.get(from + low)
    }

    /// The samples due in `[from, to)` that were not answered.
    fn misses(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = &Sample> {
        let (a, b) = self.due_in(from, to);
        let missed = &self.missed[self.missed_before(a)..self.missed_before(b)];
        missed.iter().map(|i| &self.samples[*i as usize])
    }

    /// The samples whose life `[due, known]` may meet `[from, to)`, in order of
    /// their due times; some of the first may have ended before `from`.
    pub fn alive(&self, from: Nanos, to: Nanos) -> &[Sample] {
        let a = self
            .samples
            .partition_point(|s| s.due < from - self.longest);
        let b = self.samples.partition_point(|s| s.due < to).max(a);
        &self.samples[a..b]
    }

    /// (attempts, missed) due in `[from, to)`.
    fn count(&self, from: Nanos, to: Nanos) -> (u64, u64) {
        let (a, b) = self.due_in(from, to);
        let missed = self.missed_before(b) - self.missed_before(a);
        ((b - a) as u64, missed as u64)
    }

    /// Where the samples due in `[from, to)` begin and end.
    fn due_in(&self, from: Nanos, to: Nanos) -> (usize, usize) {
        let a = self.samples.partition_point(|s| s.due < from);
        (a, self.samples.partition_point(|s| s.due < to).max(a))
    }

    /// True if a fault in these AZs touches it.
    pub fn touched_by(&self, azs: &[String]) -> bool {
        azs.contains(&self.az) || azs.contains(&self.endpoint)
    }
}

/// When and where a fault was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// AZs of its targets.
    pub azs: Vec<String>,
    /// Its intent.
    pub from: Nanos,
    /// When its revert was carried out; `None` if it was not.
    pub to: Option<Nanos>,
}

impl Active {
    fn during(&self, from: Nanos, to: Nanos) -> bool {
        self.from < to && self.to.is_none_or(|end| end > from)
    }
}

/// Why no healthy span was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotHealthy {
    /// The measurement ended less than a span after the start.
    TooShort,
    /// Every cell was touched by an active fault to the end, or there is none.
    AllTouched,
    /// In the end a pair had no operations, so nothing can be said.
    Silent,
    /// Operations were missed to the end of the measurement.
    Never,
}

/// When cells were healthy, for as many questions as there are injections: a
/// time that was looked at once is not looked at again.
///
/// Candidates are the time that is asked from, the ends of faults, and the
/// instants after an operation that was not answered, in whole milliseconds.
pub struct Health<'a> {
    cells: Vec<&'a Cell>,
    /// By their begin, each with the latest end of those up to it.
    faults: Vec<(&'a Active, Nanos)>,
    /// The last time that a healthy span can begin at.
    last_start: Nanos,
    candidates: Vec<Nanos>,
    /// The first candidate from each on that is not known to be unhealthy.
    next: RefCell<Vec<u32>>,
    /// The candidate that is known to be healthy, if it is.
    healthy: RefCell<Vec<bool>>,
    /// Spans that were looked at.
    looked: std::cell::Cell<u64>,
}

impl<'a> Health<'a> {
    /// Of these cells, of which those that an active fault touches are not
    /// asked. Measurement ended at `end`.
    pub fn new(cells: Vec<&'a Cell>, faults: &'a [Active], end: Nanos) -> Self {
        let last_start = Nanos(end.0.saturating_sub(SPAN.as_nanos() as u64));
        let millisecond_after = |t: Nanos| {
            let after = (t.0 / 1_000_000).saturating_add(1);
            Nanos(after.saturating_mul(1_000_000))
        };
        let mut candidates: Vec<Nanos> = cells
            .iter()
            .flat_map(|c| c.misses(Nanos::ZERO, last_start))
            .map(|s| millisecond_after(s.due))
            .collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates.extend(faults.iter().filter_map(|f| f.to));
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|t| *t <= last_start);
        let mut sorted: Vec<&Active> = faults.iter().collect();
        sorted.sort_by_key(|f| f.from);
        let mut latest = Nanos::ZERO;
        let faults = sorted
            .into_iter()
            .map(|f| {
                latest = latest.max(f.to.unwrap_or(Nanos::FOREVER));
                (f, latest)
            })
            .collect();
        Health {
            next: RefCell::new((0..candidates.len() as u32).collect()),
            healthy: RefCell::new(vec![false; candidates.len()]),
            cells,
            faults,
            last_start,
            candidates,
            looked: std::cell::Cell::new(0),
        }
    }

    /// The first time from `start` on at which the cells were healthy (see the
    /// module's text).
    ///
    /// # Errors
    /// Why there is none.
    pub fn from(&self, start: Nanos) -> Result<Nanos, NotHealthy> {
        if self.last_start < start {
            return Err(NotHealthy::TooShort);
        }
        let mut last = match self.judge(start) {
            Ok(()) => return Ok(start),
            Err(why) => why,
        };
        let first = self.candidates.partition_point(|t| *t <= start);
        if let Some(at) = self.next_healthy(first) {
            return Ok(self.candidates[at]);
        }
        if first < self.candidates.len()
            && let Some(t) = self.candidates.last()
            && let Err(why) = self.judge(*t)
        {
            last = why;
        }
        Err(last)
    }

    fn next_healthy(&self, first: usize) -> Option<usize> {
        let (mut next, mut healthy) = (self.next.borrow_mut(), self.healthy.borrow_mut());
        let mut at = first;
        let found = loop {
            // Past the end nothing is known to be unhealthy.
            while at < next.len() && next[at] as usize != at {
                at = next[at] as usize;
            }
            if at >= next.len() {
                break None;
            }
            if healthy[at] || self.judge(self.candidates[at]).is_ok() {
                healthy[at] = true;
                break Some(at);
            }
            next[at] = at as u32 + 1;
        };
        // Whoever asks from anywhere on this way need not go it again.
        let end = found.unwrap_or(next.len()) as u32;
        let mut at = first;
        while at < next.len() && (at as u32) < end {
            at = std::mem::replace(&mut next[at], end) as usize;
        }
        found
    }

    /// Whether the cells are healthy in the span from `t` on.
    fn judge(&self, t: Nanos) -> Result<(), NotHealthy> {
        self.looked.set(self.looked.get() + 1);
        let to = t + SPAN;
        let begun = self.faults.partition_point(|(f, _)| f.from < to);
        let active: Vec<&Active> = self.faults[..begun]
            .iter()
            .rev()
            .take_while(|(_, latest)| *latest > t)
            .map(|(f, _)| *f)
            .filter(|f| f.during(t, to))
            .collect();
        let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for cell in &self.cells {
            if active.iter().any(|f| cell.touched_by(&f.azs)) {
                continue;
            }
            let (attempts, missed) = cell.count(t, to);
            if missed as f64 > (1.0 - SPAN_AVAILABILITY) * attempts as f64 + 1e-9 {
                return Err(NotHealthy::Never);
            }
            *pairs.entry((&cell.az, &cell.endpoint)).or_default() += attempts;
        }
        if pairs.is_empty() {
            Err(NotHealthy::AllTouched)
        } else if pairs.values().any(|n| *n == 0) {
            Err(NotHealthy::Silent)
        } else {
            Ok(())
        }
    }
}

/// True if the operation was not answered and its life `[due, known]` meets
/// `[from, to)`: what was already under way when the fault came counts too.
pub fn lost_in(s: &Sample, from: Nanos, to: Nanos) -> bool {
    !s.answered() && s.due < to && s.known >= from
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(t: u64) -> Nanos {
        Nanos(t * 1_000_000)
    }

    /// Every 100 ms from 0 to 20 s; not answered in `[from, to)` milliseconds.
    fn cell(az: &str, endpoint: &str, bad: &[(u64, u64)]) -> Cell {
        let samples = (0..200)
            .map(|i| i * 100)
            .map(|t| {
                let bad = bad.iter().any(|(a, b)| (*a..*b).contains(&t));
                let tally = if bad { Tally::Unknown } else { Tally::Answered };
                Sample::new(ms(t), ms(t + 1), tally)
            })
            .collect();
        Cell::new(az.into(), endpoint.into(), Kind::Write, samples)
    }

    fn healthy_from(
        start: Nanos,
        end: Nanos,
        cells: &[Cell],
        faults: &[Active],
    ) -> Result<Nanos, NotHealthy> {
        Health::new(cells.iter().collect(), faults, end).from(start)
    }

    fn fault(az: &str, from: u64, to: u64) -> Active {
        Active {
            azs: vec![az.into()],
            from: ms(from),
            to: Some(ms(to)),
        }
    }

    #[test]
    fn healthy_starts_after_the_last_miss_before_a_clean_span() {
        let end = ms(20_000);
        for (bad, start, want) in [
            // Nothing failed: at once.
            (vec![], 5_000, Ok(5_000)),
            // An outage from 5.0 to 6.4 s: last miss due at 6.3 s.
            (vec![(5_000, 6_400)], 5_000, Ok(6_301)),
            // A relapse inside the span counts; one three seconds later does not.
            (vec![(5_000, 6_400), (8_000, 8_200)], 5_000, Ok(8_101)),
            (vec![(5_000, 6_400), (9_400, 9_500)], 5_000, Ok(6_301)),
            (vec![(5_000, 20_000)], 5_000, Err(NotHealthy::Never)),
            // Two seconds of measurement cannot contain three healthy ones.
            (vec![], 18_000, Err(NotHealthy::TooShort)),
        ] {
            let got = healthy_from(ms(start), end, &[cell("a", "b", &bad)], &[]);
            assert_eq!(got, want.map(ms), "{bad:?}");
        }
    }

    #[test]
    fn pairs_that_an_active_fault_touches_are_not_asked() {
        let end = ms(20_000);
        let cells = [
            cell("a", "a", &[(5_000, 12_000)]),
            cell("b", "a", &[(5_000, 12_000)]),
            cell("b", "b", &[(5_000, 5_800)]),
        ];
        let faults = [fault("a", 5_000, 10_000)];
        assert_eq!(healthy_from(ms(5_000), end, &cells, &faults), Ok(ms(5_701)));
        // Once it is reverted they are: the last miss is due at 11.9 s.
        assert_eq!(
            healthy_from(ms(10_000), end, &cells, &faults),
            Ok(ms(11_901))
        );
        // Everything touched to the end: nothing can be said.
        let forever = [Active {
            azs: vec!["a".into(), "b".into()],
            from: ms(5_000),
            to: None,
        }];
        assert_eq!(
            healthy_from(ms(5_000), end, &cells, &forever),
            Err(NotHealthy::AllTouched)
        );
    }

    #[test]
    fn silence_is_not_health() {
        let mut quiet = cell("a", "b", &[]);
        quiet.samples.truncate(50);
        quiet = Cell::new("a".into(), "b".into(), Kind::Write, quiet.samples);
        assert_eq!(
            healthy_from(ms(6_000), ms(20_000), &[quiet], &[]),
            Err(NotHealthy::Silent)
        );
        assert_eq!(
            healthy_from(ms(6_000), ms(20_000), &[], &[]),
            Err(NotHealthy::AllTouched)
        );
    }

    #[test]
    fn what_was_under_way_when_the_fault_came_is_its_loss() {
        let s = |due, known, tally| Sample::new(ms(due), ms(known), tally);
        let lost = |s: Sample| lost_in(&s, ms(5_000), ms(8_000));
        assert!(lost(s(4_000, 6_000, Tally::Unknown)));
        assert!(!lost(s(4_000, 4_900, Tally::Unknown)));
        assert!(!lost(s(5_500, 5_600, Tally::Answered)));
        assert!(lost(s(5_500, 5_600, Tally::Late)));
        assert!(lost(s(7_900, 9_900, Tally::Failed)));
        assert!(!lost(s(8_000, 8_100, Tally::Failed)));
        // Whatever may meet the window is among the living.
        let all = vec![
            s(2_500, 4_500, Tally::Unknown),
            s(4_000, 4_001, Tally::Answered),
            s(4_500, 6_500, Tally::Unknown),
            s(8_000, 8_001, Tally::Answered),
        ];
        let cell = Cell::new("a".into(), "a".into(), Kind::Write, all.clone());
        assert_eq!(cell.alive(ms(5_000), ms(8_000)), &all[1..3]);
    }

    /// However many injections ask, and however long nothing is well: each
    /// candidate is looked at once, and each question costs one look more.
    #[test]
    fn looking_is_linear_in_misses_and_questions() {
        let end = ms(20_000);
        let cells = [cell("a", "b", &[(2_000, 19_000)]), cell("b", "b", &[])];
        let health = Health::new(cells.iter().collect(), &[], end);
        let misses = 150; // Due from 2 s to 16.9 s, where the last span begins.
        let questions = 140;
        for n in 0..questions {
            let found = health.from(ms(3_000 + 100 * n));
            assert_eq!(found, Err(NotHealthy::Never), "from {n}");
        }
        let looked = health.looked.get();
        assert!(looked <= misses + 2 * questions, "{looked}");
        // One that is found is not looked for again either.
        let well = [cell("a", "b", &[(2_000, 9_000)])];
        let health = Health::new(well.iter().collect(), &[], end);
        for n in 0..50 {
            assert_eq!(health.from(ms(3_000 + 100 * n)), Ok(ms(8_901)));
        }
        assert!(health.looked.get() <= 70 + 50, "{}", health.looked.get());
    }

    #[test]
    fn the_next_answer_is_found_without_walking() {
        let c = cell("a", "b", &[(1_000, 2_000), (19_500, 20_000)]);
        let due = |from| c.next_answered(from).map(|s| s.due);
        assert_eq!(due(0), Some(ms(0)));
        assert_eq!(due(10), Some(ms(2_000)));
        assert_eq!(due(25), Some(ms(2_500)));
        assert_eq!(due(195), None);
        assert_eq!(due(200), None);
    }
}
