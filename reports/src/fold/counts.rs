//! Numbers of operations.

use super::tally::Tally;
use serde::{Deserialize, Serialize};
use std::ops::{AddAssign, SubAssign};

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
