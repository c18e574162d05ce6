//! What is left of an error budget that rolls: of the last 30 days, not of all time.

use gameday_record::Nanos;
use std::collections::VecDeque;
use std::time::Duration;

/// The period of a promise, as in the standard burn-rate alarms.
pub const PERIOD: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is forgotten at once: five minutes, 8 640 of which are a period.
const SLOT: Duration = Duration::from_secs(300);

/// Calls and missed ones of the last period.
#[derive(Clone, Debug)]
pub struct Rolling {
    began: Nanos,
    /// Totals at the beginning of each slot of the last period, the oldest first.
    slots: VecDeque<(u64, Calls)>,
}

/// Calls since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// All that were attempted.
    pub attempts: u64,
    /// Those that were not answered.
    pub missed: u64,
}

impl Rolling {
    /// Of calls that begin now.
    pub fn new(began: Nanos) -> Self {
        Rolling {
            began,
            slots: VecDeque::from([(0, Calls::default())]),
        }
    }

    /// Takes the totals as of `now` and says what is left of the budget of a promise
    /// of `at_least` (0 to 1, exclusive): 1 whole, 0 spent, below 0 overspent.
    ///
    /// The budget is that of a whole period: `(1 - at_least)` of all calls of 30
    /// days. Calls come at a fixed pace, so before the first period is over as many
    /// are expected in the rest of it as came so far. Without calls it is whole.
    pub fn left(&mut self, now: Nanos, totals: Calls, at_least: f64) -> f64 {
        let elapsed = now.since(self.began);
        let slot = elapsed.as_nanos() / SLOT.as_nanos();
        let slot = u64::try_from(slot).unwrap_or(u64::MAX);
        if self.slots.back().is_some_and(|(last, _)| *last < slot) {
            self.slots.push_back((slot, totals));
        }
        let kept = (PERIOD.as_secs() / SLOT.as_secs()).saturating_sub(1);
        while self.slots.len() > 1 && self.slots[0].0 + kept < slot {
            self.slots.pop_front();
        }
        let (first, before) = self.slots[0];
        let attempts = totals.attempts.saturating_sub(before.attempts) as f64;
        let missed = totals.missed.saturating_sub(before.missed) as f64;
        let covered = elapsed.as_secs_f64() - (first * SLOT.as_secs()) as f64;
        if attempts == 0.0 || covered <= 0.0 {
            return 1.0;
        }
        let expected = attempts * (PERIOD.as_secs_f64() / covered).max(1.0);
        1.0 - missed / ((1.0 - at_least) * expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> Nanos {
        Nanos(seconds * 1_000_000_000)
    }

    fn calls(attempts: u64, missed: u64) -> Calls {
        Calls { attempts, missed }
    }

    /// 20 calls a second, 30 of which are lost in the first two seconds: of 51.84
    /// million in 30 days 51 840 may be lost at 99.9 %.
    #[test]
    fn a_moment_at_the_start_costs_what_it_costs_in_a_period() {
        let mut budget = Rolling::new(at(0));
        let expected = 1.0 - 30.0 / 51_840.0;
        for seconds in [2, 60, 3600, 29 * DAY] {
            let left = budget.left(at(seconds), calls(20 * seconds, 30), 0.999);
            assert!((left - expected).abs() < 1e-9, "{seconds}: {left}");
        }
    }

    #[test]
    fn what_is_older_than_the_period_is_forgotten() {
        let mut budget = Rolling::new(at(0));
        let mut left = Vec::new();
        // One call a second, of which the first 3 000 are lost: more than the 2 592
        // of a budget at 99.9 %.
        for slot in 0..=40 * DAY / 300 {
            let seconds = slot * 300;
            let missed = seconds.min(3000);
            left.push(budget.left(at(seconds), calls(seconds, missed), 0.999));
        }
        let on = |day: u64| left[(day * DAY / 300) as usize];
        assert_eq!(left[0], 1.0);
        assert!((on(1) - (1.0 - 3000.0 / 2592.0)).abs() < 1e-9, "{}", on(1));
        assert!(on(29) < 0.0, "{}", on(29));
        assert_eq!(on(31), 1.0);
        assert!(budget.slots.len() <= 8640, "{}", budget.slots.len());
    }

    #[test]
    fn nothing_attempted_is_nothing_spent() {
        let mut budget = Rolling::new(at(5));
        assert_eq!(budget.left(at(5), Calls::default(), 0.99), 1.0);
        assert_eq!(budget.left(at(9), Calls::default(), 0.99), 1.0);
    }
}
