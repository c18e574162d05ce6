//! Availability over slices and windows of time. Pure functions over counts
//! per second.

use crate::fold::{Counts, SECOND};
use gameday_record::Nanos;
use std::collections::BTreeMap;

/// Mean over slices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SliceMean {
    /// `(Σ t_k A_k) / Σ t_k`; `None` without data.
    pub mean: Option<f64>,
    /// Slices with at least one attempt.
    pub with_data: u64,
    /// Slices without; they do not count.
    pub without_data: u64,
}

/// The mean, over slices of `slice` seconds, of their answered shares
/// `A_k = answered_k / attempts_k`, each weighted by the time `t_k` that it
/// covers: `A = (Σ t_k A_k) / Σ t_k` over the slices with data. The first begins with
/// the second of `from`; the first and the last may cover less than a slice.
///
/// Source: the monthly uptime of AWS's service level agreements weights
/// five-minute error rates so, as does OpenSLO's `RatioTimeslices`. It is not AWS's number: AWS
/// cuts slices by the clock, counts answers 500 and 503 alone as errors, and
/// an empty slice as 100 %. Here it is no data and does not count, because a
/// canary that is silent says nothing.
pub fn sliced(seconds: &BTreeMap<u64, Counts>, from: Nanos, to: Nanos, slice: u64) -> SliceMean {
    let slice = slice.max(1);
    if to <= from {
        return SliceMean::default();
    }
    let (start, end) = (from.0 / SECOND, to.0.div_ceil(SECOND));
    let mut slices: BTreeMap<u64, Counts> = BTreeMap::new();
    for (second, c) in seconds.range(start..end) {
        *slices.entry((second - start) / slice).or_default() += *c;
    }
    let covered = |k: u64| {
        let begin = Nanos((start + k * slice).saturating_mul(SECOND)).max(from);
        let end = Nanos((start + (k + 1) * slice).saturating_mul(SECOND)).min(to);
        end.since(begin).as_secs_f64()
    };
    let (mut sum, mut time, mut with_data) = (0.0, 0.0, 0);
    for (k, c) in &slices {
        if let Some(share) = c.availability() {
            sum += covered(*k) * share;
            time += covered(*k);
            with_data += 1;
        }
    }
    SliceMean {
        mean: (time > 0.0).then(|| sum / time),
        with_data,
        without_data: (end - start).div_ceil(slice) - with_data,
    }
}

/// A window of time and what was seen in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub from: u64,
    /// Its length, seconds.
    pub length: u64,
    /// What was seen in it.
    pub counts: Counts,
}

impl Window {
    /// Share that was answered.
    pub fn availability(&self) -> f64 {
        self.counts.availability().unwrap_or(1.0)
    }
}

/// A curve of minimal cumulative ratios over the seconds of a run.
#[derive(Clone, Debug)]
pub struct Cumulated {
    from: u64,
    /// `sums[i]`: counts of the first `i` seconds.
    sums: Vec<Counts>,
    /// Attempts of all seconds that have any, and how many these are.
    usual: (u64, u64),
}

/// Longest time that curves are computed over, in seconds; a longer one is
/// cut to its newest part.
pub const MAX_SECONDS: u64 = 40_000_000;

impl Cumulated {
    /// Sums over the seconds `from..to`.
    pub fn new(seconds: &BTreeMap<u64, Counts>, from: u64, to: u64) -> Self {
        let from = from.max(to.saturating_sub(MAX_SECONDS));
        let mut sums = vec![Counts::default()];
        let mut sum = Counts::default();
        let mut with_data = 0;
        for second in from..to.max(from) {
            if let Some(c) = seconds.get(&second) {
                sum += *c;
                with_data += u64::from(c.attempts() > 0);
            }
            sums.push(sum);
        }
        Cumulated {
            from,
            sums,
            usual: (sum.attempts(), with_data),
        }
    }

    /// Seconds.
    pub fn len(&self) -> u64 {
        self.sums.len() as u64 - 1
    }

    /// True without seconds.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn between(&self, a: u64, b: u64) -> Counts {
        let mut counts = self.sums[b as usize];
        counts -= self.sums[a as usize];
        counts
    }

    /// Whether a window of `length` seconds has at least half of the attempts that as many seconds
    /// with data have on average: the edges of a run, or of a gap, do not stand for a window.
    fn enough(&self, attempts: u64, length: u64) -> bool {
        let (all, seconds) = self.usual;
        let usual =
            u128::from(attempts) * 2 * u128::from(seconds) >= u128::from(all) * u128::from(length);
        attempts > 0 && (usual || length == self.len())
    }

    /// The worst window of `length` seconds:
    /// `MCR(w) = min over t of (Σ good in [t, t+w)) / (Σ total in [t, t+w))`,
    /// over the windows with enough data, half of the usual; the first of those that are
    /// equally bad. `None` if the time is shorter than `length` or no window has enough.
    ///
    /// Source: Hauer, Hoffmann, Lunney, Ardelean, Diwan, *Meaningful
    /// Availability*, NSDI 2020 (windowed minimum; the curve over lengths).
    pub fn worst(&self, length: u64) -> Option<Window> {
        if length == 0 || length > self.len() {
            return None;
        }
        let mut worst: Option<Window> = None;
        for t in 0..=self.len() - length {
            let counts = self.between(t, t + length);
            if !self.enough(counts.attempts(), length) {
                continue;
            }
            // missed/attempts, compared without rounding.
            let worse = worst.is_none_or(|w| {
                u128::from(counts.missed()) * u128::from(w.counts.attempts())
                    > u128::from(w.counts.missed()) * u128::from(counts.attempts())
            });
            if worse {
                worst = Some(Window {
                    from: self.from + t,
                    length,
                    counts,
                });
            }
        }
        worst
    }

    /// The worst windows of 1, 2, 4 … seconds, and of the whole time.
    pub fn curve(&self) -> Vec<Window> {
        let whole = self.len();
        (0..64)
            .map(|i| 1u64 << i)
            .take_while(|w| *w < whole)
            .chain((whole > 0).then_some(whole))
            .filter_map(|w| self.worst(w))
            .collect()
    }
}

/// The knee of a curve of worst windows: the shortest window whose double
/// misses at most three quarters of its share. An outage of length `d` fills
/// every window up to `d`; in a longer one, `w`, it weighs `d/w`, so the share
/// halves when the length doubles. `None` if nothing was missed, or the
/// outages outlast every window.
///
/// Source: the paper of [`Cumulated::worst`] reads the knee by eye; the factor
/// 3/4 lies between "still inside" (1) and "outgrown" (1/2).
pub fn knee(curve: &[Window]) -> Option<u64> {
    let missed = |w: &Window| 1.0 - w.availability();
    curve
        .windows(2)
        .find(|p| {
            p[1].length == 2 * p[0].length
                && missed(&p[0]) > 0.0
                && missed(&p[1]) <= 0.75 * missed(&p[0])
        })
        .map(|p| p[0].length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(answered: u64, failed: u64) -> Counts {
        Counts {
            answered,
            failed,
            ..Counts::default()
        }
    }

    /// Ten operations a second, `bad` of them missed from second `a` to `b`.
    fn outage(seconds: u64, a: u64, b: u64, bad: u64) -> BTreeMap<u64, Counts> {
        (0..seconds)
            .map(|s| {
                let f = if (a..b).contains(&s) { bad } else { 0 };
                (s, counts(10 - f, f))
            })
            .collect()
    }

    fn s(t: f64) -> Nanos {
        Nanos((t * 1e9) as u64)
    }

    #[test]
    fn slices_without_data_do_not_count() {
        let mut o = outage(20, 5, 10, 10);
        // Slices of five: 100, 0, 100, 100 %.
        let m = sliced(&o, s(0.0), s(20.0), 5);
        assert_eq!((m.mean, m.with_data, m.without_data), (Some(0.75), 4, 0));
        // Without the third: (1 + 0 + 1) / 3.
        o.retain(|t, _| !(10..15).contains(t));
        let m = sliced(&o, s(0.0), s(20.0), 5);
        assert_eq!((m.with_data, m.without_data), (3, 1));
        assert!((m.mean.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        // 18 to 37: nothing but two seconds of the first slice; the last is short.
        let m = sliced(&o, s(18.0), s(37.0), 10);
        assert_eq!((m.mean, m.with_data, m.without_data), (Some(1.0), 1, 1));
        assert_eq!(sliced(&o, s(100.0), s(110.0), 5).mean, None);
        assert_eq!(sliced(&o, s(10.0), s(10.0), 5), SliceMean::default());
    }

    #[test]
    fn slices_weigh_by_their_time_whatever_their_traffic() {
        // 1 of 2 in the first, 98 of 98 in the second: 75 %, not 99 %.
        let two = BTreeMap::from([(0, counts(1, 1)), (1, counts(98, 0))]);
        assert_eq!(sliced(&two, s(0.0), s(2.0), 1).mean, Some(0.75));
        // 301 s, and the last second missed: 300 of 301, not one slice of two.
        let m = sliced(&outage(301, 300, 301, 10), s(0.0), s(301.0), 300);
        assert!((m.mean.unwrap() - 300.0 / 301.0).abs() < 1e-12);
        // Measured from 5.95 on: the second from 5 on covers 50 ms, of 1.05 s in all.
        let edge = BTreeMap::from([(5, counts(0, 1)), (6, counts(20, 0))]);
        let m = sliced(&edge, s(5.95), s(7.0), 1);
        assert!((m.mean.unwrap() - 1.0 / 1.05).abs() < 1e-9);
    }

    #[test]
    fn a_window_without_enough_attempts_does_not_decide() {
        // One call in the first 50 ms, missed; then twenty a second, all answered.
        let mut o: BTreeMap<u64, Counts> = (6..20).map(|s| (s, counts(20, 0))).collect();
        o.insert(5, counts(0, 1));
        let c = Cumulated::new(&o, 5, 20);
        assert_eq!(c.worst(1).map(|w| w.availability()), Some(1.0));
        // In a window of two seconds it counts among the others.
        let two = c.worst(2).unwrap();
        assert_eq!((two.from, two.counts.missed()), (5, 1));
        // Half of the usual, (14 × 20 + 10) / 15 = 19.3 a second, is enough.
        o.insert(5, counts(0, 10));
        assert_eq!(Cumulated::new(&o, 5, 20).worst(1).unwrap().from, 5);
        o.insert(5, counts(0, 9));
        assert_ne!(Cumulated::new(&o, 5, 20).worst(1).unwrap().from, 5);
    }

    #[test]
    fn worst_windows_by_hand() {
        // Six seconds down of 64.
        let c = Cumulated::new(&outage(64, 20, 26, 10), 0, 64);
        let at = |w| {
            c.worst(w)
                .map(|w| (w.from, w.counts.missed(), w.counts.attempts()))
        };
        assert_eq!(at(1), Some((20, 10, 10)));
        assert_eq!(at(4), Some((20, 40, 40)));
        assert_eq!(at(8), Some((18, 60, 80)));
        assert_eq!(at(64), Some((0, 60, 640)));
        assert_eq!(at(65), None);
        assert_eq!(at(0), None);
        let curve = c.curve();
        let lengths: Vec<_> = curve.iter().map(|w| w.length).collect();
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 64]);
        // 100, 100, 100, 75, 37.5 % missed: an outage of 4 to 8 s.
        assert_eq!(knee(&curve), Some(4));
        assert_eq!(
            knee(&Cumulated::new(&outage(64, 0, 0, 0), 0, 64).curve()),
            None
        );
    }

    #[test]
    fn windows_without_data_are_no_data() {
        let s = BTreeMap::from([(5, counts(1, 1))]);
        let c = Cumulated::new(&s, 0, 10);
        assert_eq!(c.worst(1).unwrap().from, 5);
        assert!(Cumulated::new(&BTreeMap::new(), 0, 10).curve().is_empty());
        assert!(Cumulated::new(&s, 10, 10).is_empty());
        assert!(Cumulated::new(&s, 10, 10).curve().is_empty());
    }
}
