//! Availability over slices and windows of time. Pure functions over counts
//! per second.

use crate::fold::Counts;
use std::collections::BTreeMap;

/// Mean over slices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SliceMean {
    /// `(Σ A_k) / K`; `None` without data.
    pub mean: Option<f64>,
    /// `K`: slices with at least one attempt.
    pub with_data: u64,
    /// Slices without; they do not count.
    pub without_data: u64,
}

/// The mean, over slices of `slice` seconds from `from` to `to` (exclusive,
/// the last one may be shorter), of their answered shares
/// `A_k = answered_k / attempts_k`: `A = (Σ A_k) / K` over the `K` slices with
/// data.
///
/// Source: the monthly uptime of AWS's service level agreements, mean of
/// five-minute error rates; equal to OpenSLO's `RatioTimeslices`. AWS counts
/// an empty slice as 100 %; here it is no data and does not count, because a
/// canary that is silent says nothing.
pub fn sliced(seconds: &BTreeMap<u64, Counts>, from: u64, to: u64, slice: u64) -> SliceMean {
    let slice = slice.max(1);
    if to <= from {
        return SliceMean::default();
    }
    let mut slices: BTreeMap<u64, Counts> = BTreeMap::new();
    for (second, c) in seconds.range(from..to) {
        *slices.entry((second - from) / slice).or_default() += *c;
    }
    let shares: Vec<f64> = slices.values().filter_map(Counts::availability).collect();
    let all = (to - from).div_ceil(slice);
    SliceMean {
        mean: (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64),
        with_data: shares.len() as u64,
        without_data: all - shares.len() as u64,
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
        for second in from..to.max(from) {
            if let Some(c) = seconds.get(&second) {
                sum += *c;
            }
            sums.push(sum);
        }
        Cumulated { from, sums }
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
        let (x, y) = (self.sums[a as usize], self.sums[b as usize]);
        Counts {
            answered: y.answered - x.answered,
            failed: y.failed - x.failed,
            unknown: y.unknown - x.unknown,
            unsent: y.unsent - x.unsent,
        }
    }

    /// The worst window of `length` seconds:
    /// `MCR(w) = min over t of (Σ good in [t, t+w)) / (Σ total in [t, t+w))`,
    /// over the windows with data; the first of those that are equally bad.
    /// `None` if the time is shorter than `length` or there is no data.
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
            if counts.attempts() == 0 {
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

    #[test]
    fn slices_without_data_do_not_count() {
        let mut s = outage(20, 5, 10, 10);
        // Slices of five: 100, 0, 100, 100 %.
        let m = sliced(&s, 0, 20, 5);
        assert_eq!((m.mean, m.with_data, m.without_data), (Some(0.75), 4, 0));
        // Without the third: (1 + 0 + 1) / 3.
        s.retain(|t, _| !(10..15).contains(t));
        let m = sliced(&s, 0, 20, 5);
        assert_eq!((m.with_data, m.without_data), (3, 1));
        assert!((m.mean.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        // 18 to 38: nothing but two seconds of the first slice; the last is short.
        let m = sliced(&s, 18, 37, 10);
        assert_eq!((m.mean, m.with_data, m.without_data), (Some(1.0), 1, 1));
        assert_eq!(sliced(&s, 100, 110, 5).mean, None);
        assert_eq!(sliced(&s, 10, 10, 5), SliceMean::default());
    }

    #[test]
    fn slices_weigh_the_same_whatever_their_traffic() {
        // 1 of 2 in the first, 98 of 98 in the second: 75 %, not 99 %.
        let s = BTreeMap::from([(0, counts(1, 1)), (1, counts(98, 0))]);
        assert_eq!(sliced(&s, 0, 2, 1).mean, Some(0.75));
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
