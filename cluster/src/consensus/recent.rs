//! What a replica remembers of the writes that it applied, so that a client
//! whose call ended unknown can learn afterwards what became of it.
//!
//! Only writes that took effect are remembered: one whose condition did not
//! hold, or that was never committed, leaves no trace. The memory is bounded
//! and goes with the process; it says how far back it is whole.

use crate::api::value::{AttributeValue, Item};
use crate::config::Remember;
use gameday_record::RunClock;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A write, told apart by its item's key and a number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    /// CRC-32C of the partition key's bytes.
    key: u32,
    /// The number.
    value: i64,
}

impl Written {
    /// The write of `value` under `key`.
    pub fn new(key: &[u8], value: i64) -> Self {
        Written {
            key: crc32c::crc32c(key),
            value,
        }
    }
}

/// The latest writes of one replica.
pub struct Recent {
    remember: Remember,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Every write that was applied after this time is in `writes`, in
    /// nanoseconds of `CLOCK_MONOTONIC`; 0: every write of this replica's group.
    since_ns: u64,
    /// Index of the last applied entry.
    applied: u64,
    /// When it was applied, and what.
    writes: VecDeque<(u64, Written)>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The memory holds every write that was applied after this reading of
    /// `CLOCK_MONOTONIC`, in nanoseconds; 0: every write of the group.
    pub since_ns: u64,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Values of those of the writes asked about that took effect.
    pub found: BTreeSet<i64>,
}

impl Recent {
    /// Remembers nothing yet.
    pub fn new(remember: Remember) -> Self {
        Recent {
            remember,
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The replica's state is that of the entry `applied`, and nothing is
    /// known of how it came about. At index 0 there is nothing to know.
    pub fn begin(&self, applied: u64) {
        self.begin_at(applied, now());
    }

    fn begin_at(&self, applied: u64, now_ns: u64) {
        *self.lock() = Inner {
            since_ns: if applied == 0 { 0 } else { now_ns },
            applied,
            writes: VecDeque::new(),
        };
    }

    /// What tells a write of this item apart, if it has that.
    pub fn written(&self, key: &[u8], item: &Item) -> Option<Written> {
        match item.0.get(&self.remember.attribute) {
            Some(AttributeValue::N(number)) => Some(Written::new(key, number.as_i64()?)),
            _ => None,
        }
    }

    /// The entries up to `applied` are applied, and these writes of them took effect.
    pub fn applied(&self, writes: Vec<Written>, applied: u64) {
        self.applied_at(writes, applied, now());
    }

    fn applied_at(&self, writes: Vec<Written>, applied: u64, now_ns: u64) {
        let mut inner = self.lock();
        inner.applied = applied;
        inner.writes.extend(writes.into_iter().map(|w| (now_ns, w)));
        while inner.writes.len() > self.remember.writes {
            if let Some((when, _)) = inner.writes.pop_front() {
                inner.since_ns = when;
            }
        }
    }

    /// Which of these took effect.
    pub fn which(&self, asked: &BTreeSet<Written>) -> Remembered {
        let inner = self.lock();
        Remembered {
            since_ns: inner.since_ns,
            applied: inner.applied,
            found: inner
                .writes
                .iter()
                .filter(|(_, w)| asked.contains(w))
                .map(|(_, w)| w.value)
                .collect(),
        }
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds.
fn now() -> u64 {
    RunClock { epoch: 0 }.now().0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(writes: usize) -> Recent {
        Recent::new(Remember {
            attribute: "v".into(),
            writes,
        })
    }

    fn w(values: &[i64]) -> Vec<Written> {
        values.iter().map(|v| Written::new(b"k", *v)).collect()
    }

    fn asked(values: &[i64]) -> BTreeSet<Written> {
        w(values).into_iter().collect()
    }

    fn remembers(since_ns: u64, applied: u64, found: &[i64]) -> Remembered {
        Remembered {
            since_ns,
            applied,
            found: found.iter().copied().collect(),
        }
    }

    #[test]
    fn a_new_group_is_known_from_its_beginning_until_the_memory_is_full() {
        let r = recent(3);
        r.begin_at(0, 50);
        r.applied_at(w(&[1, 2]), 2, 100);
        r.applied_at(w(&[3]), 5, 200);
        let all = asked(&[1, 2, 3, 4]);
        assert_eq!(r.which(&all), remembers(0, 5, &[1, 2, 3]));
        // The write of 1 was applied at 100: what was sent later than that is
        // still all there.
        r.applied_at(w(&[4]), 6, 300);
        assert_eq!(r.which(&all), remembers(100, 6, &[2, 3, 4]));
        assert_eq!(r.which(&asked(&[2, 9])), remembers(100, 6, &[2]));
    }

    #[test]
    fn the_same_number_under_another_key_is_another_write() {
        let r = recent(3);
        r.begin_at(0, 50);
        r.applied_at(vec![Written::new(b"counter", 7)], 1, 100);
        assert_eq!(r.which(&asked(&[7])), remembers(0, 1, &[]));
    }

    #[test]
    fn a_replica_that_starts_in_the_middle_says_so() {
        let r = recent(3);
        r.applied_at(w(&[1]), 1, 10);
        r.begin_at(7, 50);
        r.applied_at(w(&[2]), 8, 60);
        assert_eq!(r.which(&asked(&[1, 2])), remembers(50, 8, &[2]));
    }

    #[test]
    fn items_without_the_number_are_not_remembered() {
        let r = recent(3);
        let item = |value| Item([("v".to_string(), value)].into());
        let seven = item(AttributeValue::N(7.into()));
        assert_eq!(r.written(b"k", &seven), Some(Written::new(b"k", 7)));
        assert_eq!(r.written(b"k", &item(AttributeValue::S("7".into()))), None);
        assert_eq!(r.written(b"k", &Item::default()), None);
    }
}
