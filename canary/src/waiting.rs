//! Requests that wait for their retry, the earliest first.

use crate::retry::Used;
use crate::workload::Drawn;
use gameday_record::Nanos;
use gameday_record::operation::Attempt;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Again {
    /// When its next attempt is due.
    pub(crate) due: Nanos,
    /// Through which endpoint.
    pub(crate) endpoint: usize,
    /// What the attempt before was.
    pub(crate) before: Drawn,
    /// Which attempt it will be.
    pub(crate) attempt: Attempt,
    /// What the request has used so far.
    pub(crate) used: Used,
}

impl Again {
    fn order(&self) -> Reverse<(Nanos, u64)> {
        Reverse((self.due, self.attempt.request))
    }
}

impl Ord for Again {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Again {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Again {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Again {}

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting(BinaryHeap<Again>);

impl Waiting {
    pub(crate) fn push(&mut self, again: Again) {
        self.0.push(again);
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Nanos> {
        self.0.peek().map(|w| w.due)
    }

    /// One that is due.
    pub(crate) fn due(&mut self, now: Nanos) -> Option<Again> {
        (self.next()? <= now).then(|| self.0.pop())?
    }

    /// All of them, in no order: nothing waits any more.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Again> + '_ {
        self.0.drain()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::Call;

    #[test]
    fn the_earliest_comes_first_and_none_before_its_time() {
        let mut waiting = Waiting::default();
        for (due, request) in [(30, 1), (10, 2), (20, 3), (10, 4)] {
            let key = String::new();
            waiting.push(Again {
                due: Nanos(due),
                endpoint: 0,
                before: Drawn {
                    call: Call::Read { key, strong: true },
                    table: 0,
                    fresh: false,
                    bytes: 0,
                },
                attempt: Attempt { request, retry: 1 },
                used: Used::default(),
            });
        }
        assert_eq!(waiting.next(), Some(Nanos(10)));
        assert_eq!(waiting.due(Nanos(9)), None);
        let mut requests = Vec::new();
        while let Some(w) = waiting.due(Nanos(25)) {
            requests.push(w.attempt.request);
        }
        assert_eq!(requests, [2, 4, 3]);
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting.drain().count(), 1);
        assert_eq!(waiting.next(), None);
    }
}
