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

use crate::fold::{Kind, Patience, Tally};
use gameday_record::{Nanos, Operation};
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
    /// When its outcome was known ([`Patience::known`]).
    pub known: Nanos,
    /// How it counts; never `Unsent`.
    pub tally: Tally,
}

impl Sample {
    /// Of one operation; `None` if it was not sent, or is a final read.
    pub fn of(patience: Patience, op: &Operation) -> Option<Sample> {
        let tally = patience.tally(op);
        (!op.last && tally != Tally::Unsent).then(|| Sample {
            due: op.due,
            known: patience.known(op),
            tally,
        })
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
    /// `missed[i]`: how many of the first `i` samples were not answered.
    missed: Vec<u64>,
    /// The longest time from a due time until the outcome was known.
    longest: Duration,
}

impl Cell {
    /// A cell; the samples are sorted.
    pub fn new(az: String, endpoint: String, kind: Kind, mut samples: Vec<Sample>) -> Self {
        samples.sort_by_key(|s| s.due);
        let mut missed = vec![0];
        missed.extend(samples.iter().scan(0, |n, s| {
            *n += u64::from(!s.answered());
            Some(*n)
        }));
        let lives = samples.iter().map(|s| s.known.since(s.due));
        Cell {
            az,
            endpoint,
            kind,
            missed,
            longest: lives.max().unwrap_or_default(),
            samples,
        }
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
        let a = self.samples.partition_point(|s| s.due < from);
        let b = self.samples.partition_point(|s| s.due < to).max(a);
        ((b - a) as u64, self.missed[b] - self.missed[a])
    }

    /// True if a fault in these AZs touches it.
    pub fn touched_by(&self, azs: &[String]) -> bool {
        azs.contains(&self.az) || azs.contains(&self.endpoint)
    }
}

/// Files what became of operations into cells.
pub fn cells<'a>(samples: impl IntoIterator<Item = (&'a Operation, Sample)>) -> Vec<Cell> {
    let mut by_cell: BTreeMap<(&str, &str, Kind), Vec<Sample>> = BTreeMap::new();
    for (o, sample) in samples {
        by_cell
            .entry((&o.az, &o.endpoint, Kind::of(&o.call)))
            .or_default()
            .push(sample);
    }
    by_cell
        .into_iter()
        .map(|((az, endpoint, kind), s)| Cell::new(az.into(), endpoint.into(), kind, s))
        .collect()
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

/// The first time from `start` on at which the cells were healthy again (see
/// the module's text). Measurement ended at `end`. Candidates are `start`,
/// the ends of faults, and the instants after an operation that was not
/// answered, in whole milliseconds.
///
/// # Errors
/// Why there is none.
pub fn healthy_from(
    start: Nanos,
    end: Nanos,
    cells: &[Cell],
    faults: &[Active],
) -> Result<Nanos, NotHealthy> {
    let last_start = Nanos(end.0.saturating_sub(SPAN.as_nanos() as u64));
    if last_start < start {
        return Err(NotHealthy::TooShort);
    }
    let millisecond_after = |t: Nanos| {
        Nanos(
            (t.0 / 1_000_000)
                .saturating_add(1)
                .saturating_mul(1_000_000),
        )
    };
    let mut candidates: Vec<Nanos> = cells
        .iter()
        .flat_map(|c| &c.samples)
        .filter(|s| !s.answered() && s.due >= start && s.due < last_start)
        .map(|s| millisecond_after(s.due))
        .chain(faults.iter().filter_map(|f| f.to))
        .chain([start])
        .filter(|t| (start..=last_start).contains(t))
        .collect();
    candidates.sort_unstable();
    candidates.dedup();

    let mut last = NotHealthy::AllTouched;
    for t in candidates {
        match judge(t, cells, faults) {
            Ok(()) => return Ok(t),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// Whether the cells are healthy in the span from `t` on.
fn judge(t: Nanos, cells: &[Cell], faults: &[Active]) -> Result<(), NotHealthy> {
    let to = t + SPAN;
    let active: Vec<_> = faults.iter().filter(|f| f.during(t, to)).collect();
    let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for cell in cells {
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
            .map(|t| Sample {
                due: ms(t),
                known: ms(t + 1),
                tally: if bad.iter().any(|(a, b)| (*a..*b).contains(&t)) {
                    Tally::Unknown
                } else {
                    Tally::Answered
                },
            })
            .collect();
        Cell::new(az.into(), endpoint.into(), Kind::Write, samples)
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
        let s = |due, known, tally| Sample {
            due: ms(due),
            known: ms(known),
            tally,
        };
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
}
