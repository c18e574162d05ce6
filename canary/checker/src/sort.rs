//! Sorting that can be stopped.

use crate::budget::{Budget, Exhausted};
use std::cmp::Ordering;

/// Sorted in one piece: a few milliseconds.
const PIECE: usize = 1 << 16;

/// Sorts, looking at the clock between pieces.
pub(crate) fn sort<T: Ord>(items: &mut [T], budget: &mut Budget) -> Result<(), Exhausted> {
    sort_by(items, &T::cmp, budget)
}

/// As [`sort`], in another order.
pub(crate) fn sort_by<T>(
    items: &mut [T],
    order: &impl Fn(&T, &T) -> Ordering,
    budget: &mut Budget,
) -> Result<(), Exhausted> {
    if items.len() <= PIECE {
        items.sort_unstable_by(order);
        return Ok(());
    }
    budget.look()?;
    let middle = items.len() / 2;
    let (low, _, high) = items.select_nth_unstable_by(middle, order);
    sort_by(low, order, budget)?;
    sort_by(high, order, budget)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Random;
    use std::time::Duration;

    #[test]
    fn sorts_and_can_be_stopped() {
        let mut r = Random::new(1);
        let items: Vec<u64> = (0..5 * PIECE as u64).map(|_| r.below(1000)).collect();
        let (mut a, mut b) = (items.clone(), items.clone());
        a.sort_unstable();
        sort(&mut b, &mut Budget::unlimited()).unwrap();
        assert_eq!(a, b);
        let mut late = Budget::unlimited().time(Duration::ZERO);
        assert!(sort(&mut items.clone(), &mut late).is_err());
    }
}
