//! Between what a sum must lie; the formula is in [`super`].

use super::{Addition, Sum};
use crate::budget::{Budget, Exhausted};
use crate::sort::sort;

/// Sums of additions up to a time, the positive and the negative ones.
#[derive(Debug, Default)]
struct Prefix {
    times: Vec<u64>,
    sums: Vec<(i128, i128)>,
}

impl Prefix {
    fn new(mut items: Vec<(u64, i128)>, budget: &mut Budget) -> Result<Self, Exhausted> {
        sort(&mut items, budget)?;
        let mut total = (0, 0);
        let mut prefix = Prefix::default();
        for (time, delta) in items {
            total.0 += delta.max(0);
            total.1 += delta.min(0);
            prefix.times.push(time);
            prefix.sums.push(total);
        }
        Ok(prefix)
    }

    fn up_to(&self, n: usize) -> (i128, i128) {
        n.checked_sub(1).map_or((0, 0), |i| self.sums[i])
    }

    fn before(&self, t: u64) -> (i128, i128) {
        self.up_to(self.times.partition_point(|x| *x < t))
    }

    fn until(&self, t: u64) -> (i128, i128) {
        self.up_to(self.times.partition_point(|x| *x <= t))
    }
}

/// What a counter can show.
pub(super) struct Bounds {
    initial: i128,
    began: Prefix,
    certain: Prefix,
}

impl Bounds {
    pub fn of(
        additions: &[Addition],
        initial: i128,
        budget: &mut Budget,
    ) -> Result<Self, Exhausted> {
        let acknowledged = additions.iter().filter(|a| a.ends != u64::MAX);
        let began = additions.iter().map(|a| (a.start, a.delta)).collect();
        let certain = acknowledged.map(|a| (a.ends, a.delta)).collect();
        Ok(Bounds {
            initial,
            began: Prefix::new(began, budget)?,
            certain: Prefix::new(certain, budget)?,
        })
    }

    /// What it shows before any addition.
    pub fn initial(&self) -> i128 {
        self.initial
    }

    /// Least and greatest sum that a strong operation can show.
    pub fn strong(&self, s: &Sum) -> (i128, i128) {
        let (plus, minus) = self.certain.before(s.start);
        let (may_plus, may_minus) = self.began.until(s.finish);
        let sure = self.initial + plus + minus;
        let own = s.own.unwrap_or(0);
        (
            sure + (may_minus - minus) + own.max(0),
            sure + (may_plus - plus) + own.min(0),
        )
    }

    /// The same of an eventual read that was answered at `finish`.
    pub fn eventual(&self, finish: u64) -> (i128, i128) {
        let (plus, minus) = self.began.until(finish);
        (self.initial + minus, self.initial + plus)
    }
}
