//! What came of the operations of each second.

use super::counts::Counts;
use super::tally::Tally;
use gameday_record::Nanos;
use std::collections::VecDeque;
use std::ops::{AddAssign, RangeInclusive};

/// The operations due in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// What came of them.
    pub counts: Counts,
    /// When the last of them was known: before, the second cannot be judged.
    pub known: Nanos,
}

impl AddAssign for Second {
    fn add_assign(&mut self, o: Second) {
        self.counts += o.counts;
        self.known = self.known.max(o.known);
    }
}

/// The seconds of one cell that have any operation, the oldest first: 32 bytes
/// each, for a day of fifty cells has four million of them.
#[derive(Debug, Default)]
pub(super) struct Seconds(VecDeque<Packed>);

/// Numbers beyond 2^32 - 1, of operations in a second or of seconds in a run,
/// count as that.
#[derive(Clone, Copy, Debug)]
struct Packed {
    known: Nanos,
    number: u32,
    answered: u32,
    late: u32,
    failed: u32,
    unknown: u32,
    unsent: u32,
}

impl Packed {
    fn second(&self) -> Second {
        Second {
            counts: Counts {
                answered: self.answered.into(),
                late: self.late.into(),
                failed: self.failed.into(),
                unknown: self.unknown.into(),
                unsent: self.unsent.into(),
            },
            known: self.known,
        }
    }

    fn add(&mut self, tally: Tally, known: Nanos) {
        let count = match tally {
            Tally::Answered => &mut self.answered,
            Tally::Late => &mut self.late,
            Tally::Failed => &mut self.failed,
            Tally::Unknown => &mut self.unknown,
            Tally::Unsent => &mut self.unsent,
        };
        *count = count.saturating_add(1);
        self.known = self.known.max(known);
    }
}

impl Seconds {
    /// Counts one operation that was due in this second and known then.
    pub fn add(&mut self, second: u64, tally: Tally, known: Nanos) {
        let number = clip(second);
        // Operations come nearly in order: the place is at the end or close to it.
        let behind = self.0.iter().rev().take_while(|s| s.number > number);
        let at = self.0.len() - behind.count();
        let there = at.checked_sub(1).filter(|i| self.0[*i].number == number);
        let at = there.unwrap_or_else(|| {
            let empty = Packed {
                known: Nanos::ZERO,
                number,
                answered: 0,
                late: 0,
                failed: 0,
                unknown: 0,
                unsent: 0,
            };
            self.0.insert(at, empty);
            at
        });
        self.0[at].add(tally, known);
    }

    /// One of them, if it has any operation.
    pub fn get(&self, second: u64) -> Option<Second> {
        let at = self.0.binary_search_by_key(&clip(second), |s| s.number);
        Some(self.0[at.ok()?].second())
    }

    /// All of them, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Second)> {
        self.0.iter().map(|s| (s.number.into(), s.second()))
    }

    /// The sum over these seconds.
    pub fn sum(&self, seconds: RangeInclusive<u64>) -> Counts {
        let from = self
            .0
            .partition_point(|s| s.number < clip(*seconds.start()));
        let to = self.0.partition_point(|s| s.number <= clip(*seconds.end()));
        let mut sum = Counts::default();
        for s in self.0.range(from..to.max(from)) {
            sum += s.second().counts;
        }
        sum
    }

    /// Lets go of what is older.
    pub fn forget_before(&mut self, oldest: u64) {
        let old = self.0.partition_point(|s| s.number < clip(oldest));
        self.0.drain(..old);
    }
}

fn clip(second: u64) -> u32 {
    u32::try_from(second).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_kept_in_order_however_they_come() {
        let mut seconds = Seconds::default();
        for (second, tally, known) in [
            (5, Tally::Answered, 6),
            (7, Tally::Failed, 8),
            (5, Tally::Late, 9),
            (6, Tally::Unsent, 6),
            (3, Tally::Unknown, 4),
            (7, Tally::Answered, 7),
            (u64::MAX, Tally::Answered, 1),
        ] {
            seconds.add(second, tally, Nanos(known));
        }
        let numbers: Vec<u64> = seconds.iter().map(|(n, _)| n).collect();
        assert_eq!(numbers, [3, 5, 6, 7, u64::from(u32::MAX)]);
        let five = seconds.get(5).unwrap();
        assert_eq!((five.counts.answered, five.counts.late), (1, 1));
        assert_eq!(five.known, Nanos(9), "the last of them");
        assert_eq!(seconds.get(4), None);
        let sum = seconds.sum(5..=7);
        assert_eq!((sum.attempts(), sum.missed(), sum.unsent), (4, 2, 1));
        assert_eq!(seconds.sum(RangeInclusive::new(8, 3)), Counts::default());
        seconds.forget_before(6);
        let numbers: Vec<u64> = seconds.iter().map(|(n, _)| n).collect();
        assert_eq!(numbers, [6, 7, u64::from(u32::MAX)]);
        assert_eq!(size_of::<Packed>(), 32);
    }
}
