//! The final reads: which key to read next, and when to give up. Decisions
//! only; the engine makes the calls.

use crate::protocol::FinalReads;
use gameday_record::Nanos;
use std::collections::VecDeque;
use std::time::Duration;

/// Time in which a few keys must have been read.
const DEADLINE: Duration = Duration::from_secs(20);

/// And so much longer for each key: [`MAX_IN_FLIGHT`] reads of 30 ms each.
const EACH: Duration = Duration::from_millis(2);

/// Pause before a key that could not be read is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Most final reads in flight.
const MAX_IN_FLIGHT: usize = 16;

/// Time in which so many keys must have been read.
pub fn deadline(keys: u32) -> Duration {
    DEADLINE + EACH * keys
}

/// A table's number, and a key.
pub(crate) type Place = (usize, String);

/// Final reads that are going on.
#[derive(Debug)]
pub(crate) struct Finale {
    deadline: Nanos,
    /// Keys to read, each not before its time; in the order of these times.
    waiting: VecDeque<(Nanos, Place)>,
    in_flight: usize,
    read: u64,
    given_up: u64,
}

impl Finale {
    /// Reads of `keys`, from `now` on.
    pub(crate) fn new(now: Nanos, keys: impl Iterator<Item = Place>) -> Self {
        let waiting: VecDeque<(Nanos, Place)> = keys.map(|key| (now, key)).collect();
        let keys = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        Finale {
            deadline: now + deadline(keys),
            waiting,
            in_flight: 0,
            read: 0,
            given_up: 0,
        }
    }

    /// When all of it ends.
    pub(crate) fn deadline(&self) -> Nanos {
        self.deadline
    }

    /// The next key to read now, if there is one. It must be told how it `ended`,
    /// or be put `back`.
    pub(crate) fn next(&mut self, now: Nanos) -> Option<Place> {
        if now >= self.deadline {
            self.give_up();
            return None;
        }
        if self.in_flight >= MAX_IN_FLIGHT || self.waiting.front()?.0 > now {
            return None;
        }
        self.in_flight += 1;
        self.waiting.pop_front().map(|(_, key)| key)
    }

    /// A key could not be tried for lack of room: as if it had not been taken.
    pub(crate) fn back(&mut self, key: Place) {
        self.in_flight -= 1;
        self.waiting.push_front((Nanos::ZERO, key));
    }

    /// A read ended.
    pub(crate) fn ended(&mut self, now: Nanos, key: Place, ok: bool) {
        self.in_flight -= 1;
        if ok {
            self.read += 1;
        } else if now >= self.deadline {
            self.given_up += 1;
        } else {
            self.waiting.push_back((now + PAUSE, key));
        }
    }

    /// Tries nothing more: counts what waits as failed.
    pub(crate) fn give_up(&mut self) {
        self.given_up += self.waiting.len() as u64;
        self.waiting.clear();
        self.deadline = Nanos::ZERO;
    }

    /// The result, once nothing waits and nothing is in flight.
    pub(crate) fn result(&self) -> Option<FinalReads> {
        (self.waiting.is_empty() && self.in_flight == 0).then_some(FinalReads {
            read: self.read,
            failed: self.given_up,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(i: usize) -> Place {
        (i % 2, i.to_string())
    }

    fn finale(n: usize) -> Finale {
        Finale::new(Nanos(0), (0..n).map(place))
    }

    #[test]
    fn every_key_is_read_with_a_bound_on_what_is_in_flight() {
        let mut f = finale(40);
        let mut flying = Vec::new();
        let mut read = Vec::new();
        while f.result().is_none() {
            while let Some(key) = f.next(Nanos(1)) {
                flying.push(key);
            }
            assert!(!flying.is_empty() && flying.len() <= MAX_IN_FLIGHT);
            let key = flying.remove(0);
            f.ended(Nanos(1), key.clone(), true);
            read.push(key);
        }
        read.sort_unstable();
        read.dedup();
        assert_eq!(read.len(), 40);
        assert_eq!(
            f.result(),
            Some(FinalReads {
                read: 40,
                failed: 0
            })
        );
    }

    #[test]
    fn a_failed_read_is_tried_again_after_a_pause() {
        let mut f = finale(1);
        assert_eq!(f.next(Nanos(0)), Some(place(0)));
        f.ended(Nanos(5), place(0), false);
        assert_eq!(f.next(Nanos(6)), None);
        assert_eq!(f.result(), None);
        let later = Nanos(5) + PAUSE;
        assert_eq!(f.next(later), Some(place(0)));
        f.back(place(0));
        assert_eq!(f.next(later), Some(place(0)));
        f.ended(later, place(0), true);
        assert_eq!(f.result(), Some(FinalReads { read: 1, failed: 0 }));
    }

    #[test]
    fn what_is_not_read_at_the_deadline_is_failed() {
        let mut f = finale(3);
        let late = f.deadline();
        let one = f.next(Nanos(0)).unwrap();
        let two = f.next(Nanos(0)).unwrap();
        f.ended(Nanos(1), one, true);
        assert_eq!(f.next(late), None);
        assert_eq!(f.result(), None, "one is in flight");
        f.ended(late, two, false);
        assert_eq!(f.result(), Some(FinalReads { read: 1, failed: 2 }));
    }

    #[test]
    fn more_keys_have_more_time() {
        assert_eq!(finale(0).deadline(), Nanos(20_000_000_000));
        // A night's: 60 registers and 10 000 inserts through each of three endpoints.
        assert_eq!(finale(30_060).deadline(), Nanos(80_120_000_000));
    }

    #[test]
    fn giving_up_early_counts_the_rest_as_failed() {
        let mut f = finale(5);
        let key = f.next(Nanos(0)).unwrap();
        f.give_up();
        f.ended(Nanos(1), key.clone(), false);
        assert_eq!(f.result(), Some(FinalReads { read: 0, failed: 5 }));
    }
}
