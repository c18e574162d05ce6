//! How one operation counts, and when that is known.

use gameday_record::{ErrorClass, Nanos, Operation, Outcome, WorkloadSpec};
use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::super::tests::{failed, ok, op, unknown};
    use super::super::{Counts, Fold};
    use super::*;
    use gameday_record::Kind;

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
}
