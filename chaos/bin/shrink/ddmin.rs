//! The smallest list that still fails, by delta debugging: the algorithm
//! `ddmin` of Zeller and Hildebrandt, "Simplifying and Isolating
//! Failure-Inducing Input", IEEE Transactions on Software Engineering 28(2),
//! 2002, figure 5. Pure: it says what to try, and is told what came of it.

use std::collections::BTreeSet;

/// What came of trying a part of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It fails as the whole does.
    Fails,
    /// It does not.
    Passes,
    /// That could not be decided. As in the paper, it is not taken for a failure.
    Unresolved,
}

/// The search. What it found so far always fails.
#[derive(Debug)]
pub struct Search {
    /// Indices of the smallest failing part so far, ascending.
    smallest: Vec<usize>,
    /// Into how many pieces it is cut.
    pieces: usize,
    /// Parts still to try before it is cut finer, the last one first, and whether each is one
    /// piece (or all but one).
    round: Vec<(Vec<usize>, bool)>,
    /// Parts that were tried and do not fail.
    known: BTreeSet<Vec<usize>>,
}

impl Search {
    /// Of a list of `n` elements that fails as a whole.
    pub fn new(n: usize) -> Self {
        let mut search = Search {
            smallest: (0..n).collect(),
            pieces: 2,
            round: Vec::new(),
            known: BTreeSet::new(),
        };
        search.cut();
        search
    }

    /// The smallest failing part so far.
    pub fn smallest(&self) -> &[usize] {
        &self.smallest
    }

    /// The part to try next; `None` at the end: then no single element can be left out of the
    /// smallest part (it is 1-minimal).
    pub fn next(&mut self) -> Option<Vec<usize>> {
        loop {
            while let Some((part, _)) = self.round.last() {
                if !self.known.contains(part) {
                    return Some(part.clone());
                }
                self.round.pop();
            }
            if self.pieces >= self.smallest.len() {
                return None;
            }
            self.pieces = (self.pieces * 2).min(self.smallest.len());
            self.cut();
        }
    }

    /// What came of the part that [`Search::next`] gave last.
    pub fn tell(&mut self, outcome: Outcome) {
        let Some((part, piece)) = self.round.pop() else {
            return;
        };
        if outcome != Outcome::Fails {
            self.known.insert(part);
            return;
        }
        self.smallest = part;
        self.pieces = if piece {
            2
        } else {
            self.pieces.saturating_sub(1).max(2)
        };
        self.cut();
    }

    /// Begins a round: first each piece alone, then all but each.
    fn cut(&mut self) {
        self.round.clear();
        let n = self.smallest.len();
        if n < 2 {
            return;
        }
        let pieces = self.pieces.min(n);
        let bounds = |i: usize| (i * n / pieces, (i + 1) * n / pieces);
        // Of two pieces, all but one is the other.
        if pieces > 2 {
            for i in (0..pieces).rev() {
                let (from, to) = bounds(i);
                let rest = [&self.smallest[..from], &self.smallest[to..]].concat();
                self.round.push((rest, false));
            }
        }
        for i in (0..pieces).rev() {
            let (from, to) = bounds(i);
            self.round.push((self.smallest[from..to].to_vec(), true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches; the smallest part, and how many were tried.
    fn shrink(n: usize, test: impl Fn(&[usize]) -> Outcome) -> (Vec<usize>, usize) {
        let mut search = Search::new(n);
        let mut tried = BTreeSet::new();
        while let Some(part) = search.next() {
            assert!(tried.insert(part.clone()), "{part:?} is tried twice");
            assert!(part.len() < n && !part.is_empty());
            search.tell(test(&part));
        }
        (search.smallest().to_vec(), tried.len())
    }

    fn if_all(wanted: &'static [usize]) -> impl Fn(&[usize]) -> Outcome {
        |part| {
            if wanted.iter().all(|w| part.contains(w)) {
                Outcome::Fails
            } else {
                Outcome::Passes
            }
        }
    }

    #[test]
    fn what_is_needed_is_found_and_nothing_else() {
        for wanted in [&[3][..], &[0], &[7], &[2, 5], &[0, 7], &[1, 4, 6]] {
            let (found, tried) = shrink(8, if_all(wanted));
            assert_eq!(found, wanted);
            // The paper's bound for n elements of which all are needed.
            assert!(tried <= 8 * 8 + 3 * 8, "{tried} for {wanted:?}");
        }
        assert_eq!(shrink(1, if_all(&[0])), (vec![0], 0));
        assert_eq!(shrink(8, if_all(&[0, 1, 2, 3, 4, 5, 6, 7])).0.len(), 8);
    }

    #[test]
    fn one_of_many_is_found_in_logarithmic_time() {
        let (found, tried) = shrink(256, if_all(&[137]));
        assert_eq!(found, [137]);
        assert!(tried <= 2 * 8, "{tried}");
    }

    #[test]
    fn what_is_not_decided_is_not_taken_for_a_failure() {
        let (found, _) = shrink(4, |_| Outcome::Unresolved);
        assert_eq!(found, [0, 1, 2, 3]);
        // Element 1 alone cannot be judged; with 2 it fails.
        let (found, _) = shrink(4, |part| match part {
            [1] => Outcome::Unresolved,
            p if p.contains(&1) && p.contains(&2) => Outcome::Fails,
            _ => Outcome::Passes,
        });
        assert_eq!(found, [1, 2]);
    }

    #[test]
    fn the_result_is_one_minimal_for_any_test() {
        // A test without structure, but the same for the same part.
        let odd = |part: &[usize]| {
            let sum: usize = part.iter().map(|i| i * i + 3).sum();
            if part.len() == 12 || sum.is_multiple_of(3) {
                Outcome::Fails
            } else {
                Outcome::Passes
            }
        };
        let (found, _) = shrink(12, odd);
        for i in 0..found.len() {
            let mut less = found.clone();
            less.remove(i);
            assert!(less.is_empty() || odd(&less) != Outcome::Fails, "{found:?}");
        }
    }
}
