//! Seconds in which a pair was served badly, but served.

use crate::fold::SECOND;
use crate::recovery::{Cell, SPAN_AVAILABILITY, Sample};
use crate::report::Gap;
use gameday_record::Nanos;
use std::collections::BTreeSet;

/// Least samples before a 99th percentile of the baseline is trusted.
const MIN_BASELINE: usize = 20;

/// Nearest rank: the `ceil(0.99 n)`-th smallest latency of the answered ones.
fn p99<'a>(samples: impl Iterator<Item = &'a Sample>) -> (usize, Option<u64>) {
    let mut latencies: Vec<u64> = samples
        .filter(|s| s.answered())
        .map(|s| s.known.0.saturating_sub(s.due.0))
        .collect();
    let n = latencies.len();
    let rank = (n * 99).div_ceil(100);
    let at = rank
        .checked_sub(1)
        .map(|i| *latencies.select_nth_unstable(i).1);
    (n, at)
}

/// The 99th percentile of a cell's latency before the first fault, in
/// nanoseconds; `None` with fewer than 20 samples.
pub fn p99_before(cell: &Cell, first_fault: Nanos) -> Option<u64> {
    let end = cell.samples.partition_point(|s| s.due < first_fault);
    let (n, at) = p99(cell.samples[..end].iter());
    at.filter(|_| n >= MIN_BASELINE)
}

/// The seconds of the window in which any of the cells browned out:
/// `0 < success < 99 %`, or success at least that and a 99th percentile of
/// latency above twice its normal one (where that is known).
///
/// Source: brown-out as the notes on availability define it; the target is
/// that of recovery.
pub fn seconds(cells: &[(&Cell, Option<u64>)], window: Gap) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for (cell, normal) in cells {
        let a = cell.samples.partition_point(|s| s.due < window.from);
        let b = cell.samples.partition_point(|s| s.due < window.to).max(a);
        for second in cell.samples[a..b].chunk_by(|x, y| x.due.0 / SECOND == y.due.0 / SECOND) {
            let answered = second.iter().filter(|s| s.answered()).count();
            let enough = answered as f64 >= SPAN_AVAILABILITY * second.len() as f64;
            let slow = || {
                normal
                    .zip(p99(second.iter()).1)
                    .is_some_and(|(normal, now)| now > 2 * normal)
            };
            if answered > 0 && (!enough || slow()) {
                found.insert(second[0].due.0 / SECOND);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::{Kind, Tally};

    fn cell(f: impl Fn(u64) -> (bool, u64)) -> Cell {
        let samples = (0..100)
            .map(|i| {
                let (ok, took_ms) = f(i);
                let due = Nanos(i * 100_000_000);
                let tally = if ok { Tally::Answered } else { Tally::Unknown };
                Sample::new(due, Nanos(due.0 + took_ms * 1_000_000), tally)
            })
            .collect();
        Cell::new("a".into(), "a".into(), Kind::Write, samples)
    }

    #[test]
    fn brown_is_neither_dark_nor_bright() {
        // Ten a second: second 4 loses half, 5 all, 6 is slow, 7 just not twice as slow.
        let c = cell(|i| match i / 10 {
            4 => (i % 2 == 0, 10),
            5 => (false, 10),
            6 => (true, 21),
            7 => (true, 20),
            _ => (true, 10),
        });
        let normal = p99_before(&c, Nanos(4 * SECOND));
        assert_eq!(normal, Some(10_000_000));
        let window = |from, to| Gap {
            from: Nanos(from * SECOND),
            to: Nanos(to * SECOND),
        };
        let of = |normal, w| seconds(&[(&c, normal)], w).into_iter().collect::<Vec<_>>();
        assert_eq!(of(normal, window(3, 10)), [4, 6]);
        // Without a baseline nothing is slow.
        assert_eq!(of(None, window(3, 10)), [4]);
        assert_eq!(of(normal, window(5, 6)), [0u64; 0]);
        assert_eq!(p99_before(&c, Nanos(SECOND)), None);
    }
}
