//! A time axis for operations that take a millisecond and stand a minute
//! apart: long stretches in which nothing begins or ends are cut short.

/// From nanoseconds to pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Times and where they stand, both ascending; at least two.
    knots: Vec<(u64, f64)>,
    /// Stretches drawn shorter than they are to scale.
    pub cuts: Vec<Cut>,
}

/// A stretch of time that was cut short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Its left edge, pixels.
    pub from: f64,
    /// Its right edge, pixels.
    pub to: f64,
    /// How long it is, nanoseconds.
    pub length: u64,
}

/// A stretch is at most so many times as long as the median one.
const LONGEST: u64 = 4;
/// A stretch is at least this share of the axis.
const LEAST: f64 = 1.0 / 48.0;

impl Scale {
    /// Lays `times` out between `left` and `right`. `None` without a time.
    ///
    /// Between neighbouring times the axis is linear. A stretch longer than
    /// four times the median (the lower one) is cut to that length; one too
    /// short to be seen is widened.
    pub fn new(mut times: Vec<u64>, left: f64, right: f64) -> Option<Scale> {
        times.sort_unstable();
        times.dedup();
        if let [only] = times[..] {
            times.push(only.saturating_add(1_000_000));
        }
        let gaps: Vec<u64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        let mut sorted = gaps.clone();
        sorted.sort_unstable();
        let median = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
        let most = median.saturating_mul(LONGEST);
        let shown: Vec<f64> = gaps.iter().map(|g| (*g).min(most) as f64).collect();
        let least = shown.iter().sum::<f64>() * LEAST;
        let shown: Vec<f64> = shown.into_iter().map(|g| g.max(least)).collect();
        let all: f64 = shown.iter().sum();

        let mut knots = vec![(times[0], left)];
        let mut cuts = Vec::new();
        let mut sum = 0.0;
        for ((time, gap), wide) in times[1..].iter().zip(&gaps).zip(&shown) {
            let from = left + sum / all * (right - left);
            sum += wide;
            let to = left + sum / all * (right - left);
            knots.push((*time, to));
            if *gap > most {
                cuts.push(Cut {
                    from,
                    to,
                    length: *gap,
                });
            }
        }
        Some(Scale { knots, cuts })
    }

    /// Where a time stands; what lies outside stands at the edge.
    pub fn x(&self, t: u64) -> f64 {
        let i = self.knots.partition_point(|k| k.0 <= t);
        match (i.checked_sub(1).map(|i| self.knots[i]), self.knots.get(i)) {
            (None, Some(first)) => first.1,
            (Some(a), Some(b)) => a.1 + (t - a.0) as f64 / (b.0 - a.0) as f64 * (b.1 - a.1),
            (Some(last), None) => last.1,
            (None, None) => 0.0,
        }
    }

    /// The times between which it is drawn.
    pub fn range(&self) -> (u64, u64) {
        (self.knots[0].0, self.knots[self.knots.len() - 1].0)
    }

    /// Times to label, with where they stand: both ends and the ends of every
    /// cut, as far as they stand `apart` pixels from those before.
    pub fn ticks(&self, apart: f64) -> Vec<(u64, f64)> {
        let (first, last) = (self.knots[0], self.knots[self.knots.len() - 1]);
        let mut out = vec![first];
        let edge = |x: f64| self.cuts.iter().any(|c| c.from == x || c.to == x);
        for k in &self.knots {
            let free = out.last().is_none_or(|o| k.1 - o.1 >= apart) && last.1 - k.1 >= apart;
            if edge(k.1) && free {
                out.push(*k);
            }
        }
        out.push(last);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_times_are_to_scale_and_far_ones_are_cut() {
        let s = Scale::new(vec![20, 0, 10, 30, 10], 0.0, 300.0).unwrap();
        assert!(s.cuts.is_empty());
        for (t, x) in [(0, 0.0), (5, 50.0), (30, 300.0), (99, 300.0)] {
            assert_eq!(s.x(t), x);
        }
        // Gaps of 10, 10 and 1000: the last is drawn as 40.
        let s = Scale::new(vec![0, 10, 20, 1020], 0.0, 600.0).unwrap();
        assert_eq!((s.x(10), s.x(20), s.x(520)), (100.0, 200.0, 400.0));
        assert_eq!(
            s.cuts,
            vec![Cut {
                from: 200.0,
                to: 600.0,
                length: 1000
            }]
        );
        assert_eq!(s.ticks(50.0), vec![(0, 0.0), (20, 200.0), (1020, 600.0)]);
        assert_eq!(s.ticks(250.0), vec![(0, 0.0), (1020, 600.0)]);
    }

    #[test]
    fn what_is_short_can_still_be_seen() {
        let s = Scale::new(vec![0, 1, 1_000, 2_000], 0.0, 480.0).unwrap();
        assert!(s.x(1) >= 9.0, "{}", s.x(1));
        assert!(s.x(1) < s.x(1_000) && s.x(1_000) < s.x(2_000));
    }

    #[test]
    fn one_instant_and_no_time_at_all() {
        assert_eq!(Scale::new(vec![], 0.0, 100.0), None);
        let s = Scale::new(vec![7, 7], 10.0, 100.0).unwrap();
        assert_eq!((s.x(7), s.x(0), s.x(u64::MAX)), (10.0, 10.0, 100.0));
        let s = Scale::new(vec![0, u64::MAX], 0.0, 100.0).unwrap();
        assert_eq!(s.x(u64::MAX), 100.0);
    }
}
