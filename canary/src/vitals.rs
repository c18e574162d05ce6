//! Counting: is the canary itself well, and what came of its paced calls.

use crate::protocol::{Counts, Health, Lag};
use gameday_record::{Nanos, Outcome};
use std::time::Duration;

/// Counts since the last health line, and of all time.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    now: Counts,
    before: Counts,
    lags_us: Vec<u64>,
}

impl Vitals {
    /// One operation was begun, so long after it was due.
    pub(crate) fn sent(&mut self, lag: Duration) {
        self.now.due += 1;
        self.now.sent += 1;
        let lag = lag.as_micros();
        self.lags_us.push(u64::try_from(lag).unwrap_or(u64::MAX));
    }

    /// One operation is not begun, but in the history.
    pub(crate) fn unsent(&mut self) {
        self.now.due += 1;
        self.now.unsent += 1;
    }

    /// `n` operations are neither begun nor in the history.
    pub(crate) fn unrecorded(&mut self, n: u64) {
        self.now.due += n;
        self.now.unsent += n;
        self.now.unrecorded += n;
    }

    /// One retry is begun.
    pub(crate) fn retried(&mut self) {
        self.now.retries += 1;
    }

    /// `n` retries are not to be.
    pub(crate) fn forgone(&mut self, n: u64) {
        self.now.forgone += n;
    }

    /// One operation ended.
    pub(crate) fn ended(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ok { .. } => self.now.ok += 1,
            Outcome::Failed { .. } => self.now.failed += 1,
            Outcome::Unknown { .. } => self.now.unknown += 1,
        }
    }

    /// The health since it was last taken; starts anew.
    pub(crate) fn take(&mut self, at: Nanos, in_flight: usize, waiting: usize) -> Health {
        let counts = std::mem::take(&mut self.now);
        self.before = sum(self.before, counts);
        let lag_us = quantiles(&mut self.lags_us);
        self.lags_us.clear();
        Health {
            at,
            counts,
            in_flight: in_flight as u64,
            waiting: waiting as u64,
            lag_us,
        }
    }

    /// True if nothing was counted since the last health line.
    pub(crate) fn idle(&self) -> bool {
        self.now == Counts::default()
    }

    /// Counts of all time.
    pub(crate) fn totals(&self) -> Counts {
        sum(self.before, self.now)
    }
}

fn sum(a: Counts, b: Counts) -> Counts {
    Counts {
        due: a.due + b.due,
        sent: a.sent + b.sent,
        unsent: a.unsent + b.unsent,
        unrecorded: a.unrecorded + b.unrecorded,
        ok: a.ok + b.ok,
        failed: a.failed + b.failed,
        unknown: a.unknown + b.unknown,
        retries: a.retries + b.retries,
        forgone: a.forgone + b.forgone,
    }
}

/// Nearest-rank quantiles; `None` of nothing.
fn quantiles(values: &mut [u64]) -> Option<Lag> {
    values.sort_unstable();
    let max = *values.last()?;
    let rank = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
    Some(Lag {
        p50: rank(50),
        p90: rank(90),
        p99: rank(99),
        max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert_eq!(quantiles(&mut []), None);
        let of = |v: &mut [u64]| {
            let l = quantiles(v).unwrap();
            (l.p50, l.p90, l.p99, l.max)
        };
        assert_eq!(of(&mut [7]), (7, 7, 7, 7));
        let mut hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(of(&mut hundred), (50, 90, 99, 100));
        assert_eq!(of(&mut [3, 1, 2]), (2, 3, 3, 3));
    }

    #[test]
    fn a_health_line_starts_anew_and_totals_do_not() {
        let mut v = Vitals::default();
        v.sent(Duration::from_micros(250));
        v.ended(&Outcome::Ok { value: None });
        v.unsent();
        v.ended(&crate::classify::failed(
            gameday_record::ErrorClass::Unsent,
            "",
        ));
        v.unrecorded(3);
        v.retried();
        v.forgone(1);
        let expected = Counts {
            due: 5,
            sent: 1,
            unsent: 4,
            unrecorded: 3,
            ok: 1,
            failed: 1,
            unknown: 0,
            retries: 1,
            forgone: 1,
        };
        let first = v.take(Nanos(9), 2, 4);
        assert_eq!(
            (first.counts, first.in_flight, first.waiting, first.at),
            (expected, 2, 4, Nanos(9))
        );
        assert_eq!(first.lag_us.map(|l| l.max), Some(250));
        let second = v.take(Nanos(10), 0, 0);
        assert_eq!((second.counts, second.lag_us), (Counts::default(), None));
        assert_eq!(v.totals(), expected);
    }
}
