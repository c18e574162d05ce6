//! What a fold says.

use super::latency::{histogram, quantiles};
use super::{CellRef, Counts, Fold, Key, Kind, SECOND, Second};
use gameday_record::Nanos;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the last seconds looked like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Operations due in them, as far as their outcome is known by now.
    pub counts: Counts,
    /// Median latency of the answered ones.
    pub p50: Option<Duration>,
    /// 99th percentile.
    pub p99: Option<Duration>,
}

impl Fold {
    /// Every cell with its totals, in the order of [`CellRef`]'s fields.
    pub fn cells(&self) -> Vec<(CellRef<'_>, Counts)> {
        let mut all: Vec<_> = self
            .cells
            .iter()
            .map(|(key, cell)| (self.name(key), cell.total))
            .collect();
        all.sort_by_key(|(c, _)| *c);
        all
    }

    fn name(&self, (az, endpoint, kind, table, fresh): &Key) -> CellRef<'_> {
        CellRef {
            az: &self.names[*az],
            endpoint: &self.names[*endpoint],
            kind: *kind,
            table: &self.names[*table],
            fresh: *fresh,
        }
    }

    /// Totals over the cells that `keep` keeps.
    pub fn totals(&self, keep: impl Fn(CellRef<'_>) -> bool) -> Counts {
        let mut sum = Counts::default();
        for (key, cell) in &self.cells {
            if keep(self.name(key)) {
                sum += cell.total;
            }
        }
        sum
    }

    /// Totals of requests: one is answered if any of its attempts is. Those
    /// whose next attempt was still to come when the canary stopped are left
    /// out: what would have become of them is not known.
    pub fn requests(&self, keep: impl Fn(CellRef<'_>) -> bool) -> Counts {
        let mut sum = Counts::default();
        for (key, cell) in &self.cells {
            if keep(self.name(key)) {
                sum += cell.total;
                sum -= cell.rescued;
                sum -= cell.forgone;
                sum.answered += cell.rescued.missed();
            }
        }
        sum
    }

    /// Totals of one kind over all pairs.
    pub fn total(&self, kind: Kind) -> Counts {
        self.totals(|c| c.kind == kind)
    }

    /// Latency in microseconds (three digits) over the cells that `keep` keeps.
    pub fn latency(&self, keep: impl Fn(CellRef<'_>) -> bool) -> Histogram<u64> {
        let mut sum = histogram(3);
        for (key, cell) in &self.cells {
            if keep(self.name(key)) {
                // Both have the same bounds, so adding cannot fail.
                let _ = sum.add(&cell.latency);
            }
        }
        sum
    }

    /// The last `seconds` whole seconds before `now` and the current one; of
    /// one kind or of all.
    pub fn recent(&self, now: Nanos, seconds: u64, kind: Option<Kind>) -> Recent {
        let to = now.0 / SECOND;
        let from = to.saturating_sub(seconds);
        let (p50, p99) = self.quantiles(from, to, kind);
        Recent {
            counts: self.counts(from, to, |c| kind.is_none_or(|k| k == c.kind)),
            p50,
            p99,
        }
    }

    /// Counts of the operations due in the seconds `from..=to`.
    pub fn counts(&self, from: u64, to: u64, keep: impl Fn(CellRef<'_>) -> bool) -> Counts {
        let mut sum = Counts::default();
        if from > to {
            return sum;
        }
        for (key, cell) in &self.cells {
            if keep(self.name(key)) {
                sum += cell.seconds.sum(from..=to);
            }
        }
        sum
    }

    /// p50 and p99 of the answered operations due in the seconds `from..=to`
    /// (two digits).
    pub fn quantiles(
        &self,
        from: u64,
        to: u64,
        kind: Option<Kind>,
    ) -> (Option<Duration>, Option<Duration>) {
        if from > to {
            return (None, None);
        }
        let mut sum = histogram::<u32>(2);
        let range = (from, Kind::Write)..=(to, Kind::EventualRead);
        for ((_, k), h) in self.latency.range(range) {
            if kind.is_none_or(|kind| kind == *k) {
                let _ = sum.add(h);
            }
        }
        quantiles(&sum)
    }

    /// Counts of every second that has any, over the cells that `keep` keeps.
    pub fn by_second(&self, keep: impl Fn(CellRef<'_>) -> bool) -> BTreeMap<u64, Counts> {
        let mut out: BTreeMap<u64, Counts> = BTreeMap::new();
        for (key, cell) in &self.cells {
            if keep(self.name(key)) {
                for (second, s) in cell.seconds.iter() {
                    *out.entry(second).or_default() += s.counts;
                }
            }
        }
        out
    }

    /// One second for every (AZ, endpoint) that has any operation in it, over
    /// the cells that `keep` keeps.
    pub fn pairs_at(
        &self,
        second: u64,
        keep: impl Fn(CellRef<'_>) -> bool,
    ) -> BTreeMap<(&str, &str), Second> {
        let mut out: BTreeMap<(&str, &str), Second> = BTreeMap::new();
        for (key, cell) in &self.cells {
            let name = self.name(key);
            if keep(name)
                && let Some(s) = cell.seconds.get(second)
            {
                *out.entry((name.az, name.endpoint)).or_default() += s;
            }
        }
        out
    }

    /// One second over the cells that `keep` keeps.
    pub fn second(&self, second: u64, keep: impl Fn(CellRef<'_>) -> bool) -> Second {
        let mut sum = Second::default();
        for (key, cell) in &self.cells {
            if keep(self.name(key))
                && let Some(s) = cell.seconds.get(second)
            {
                sum += s;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::super::Patience;
    use super::super::tests::{ok, op, unknown};
    use super::*;

    #[test]
    fn recent_looks_back_from_now() {
        let ops = [
            op("a", "a", 1_000, 1, unknown()),
            op("a", "b", 8_000, 1, ok()),
            op("a", "b", 9_500, 1, unknown()),
        ];
        let fold = Fold::over(Patience::default(), &ops);
        let now = Nanos(10_000_000_000);
        let recent = fold.recent(now, 3, Some(Kind::Write));
        assert_eq!((recent.counts.answered, recent.counts.unknown), (1, 1));
        assert_eq!(
            fold.recent(now, 3, Some(Kind::StrongRead)),
            Recent::default()
        );
    }
}
