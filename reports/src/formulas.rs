//! The arithmetic of availability. Pure functions; each names its source.

use gameday_record::Nanos;

/// Share of attempts that were answered: `A = good / N`. `None` if `N` is 0:
/// no data is not "up" (Google, *The Site Reliability Workbook*, chapter 2,
/// request-based SLI).
pub fn request_availability(answered: u64, attempts: u64) -> Option<f64> {
    (attempts > 0).then(|| answered as f64 / attempts as f64)
}

/// When operations were acknowledged: the completions of those that were
/// answered, in time or late, between the edges of what was asked.
///
/// A gap is a stretch between two neighbouring acknowledgements, the edges
/// included: what a client that waits for any acknowledgement goes without.
/// Counted by completions and not by due times, it shows a service that holds
/// its answers back however patient the calls are.
///
/// Resolution is the spacing of the operations: with R per second even a
/// perfect service has a gap of 1/R.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The edges and what lies between them, in order.
    at: Vec<Nanos>,
}

impl Acknowledged {
    /// `completions` in any order, of operations of which the first was due at
    /// `from` and the last at `to`. What was acknowledged after `to` moves that
    /// edge: until then the service owed the answer.
    pub fn new(from: Nanos, to: Nanos, mut completions: Vec<Nanos>) -> Self {
        completions.retain(|t| *t > from);
        completions.sort_unstable();
        let last = completions.last().copied().unwrap_or(from);
        completions.insert(0, from);
        if last < to {
            completions.push(to);
        }
        Acknowledged { at: completions }
    }

    /// The longest gap, the first of those that are equally long; `None` if
    /// there is no time between the edges.
    pub fn longest_gap(&self) -> Option<(Nanos, Nanos)> {
        self.longest_gap_in(Nanos::ZERO, Nanos::FOREVER)
    }

    /// The longest of the gaps that reach into `[from, to]`, with what lies
    /// outside of it.
    pub fn longest_gap_in(&self, from: Nanos, to: Nanos) -> Option<(Nanos, Nanos)> {
        let first = self.at.partition_point(|t| *t <= from).saturating_sub(1);
        let mut longest: Option<(Nanos, Nanos)> = None;
        for gap in self.at[first..].windows(2) {
            if gap[0] > to {
                break;
            }
            let length = gap[1].since(gap[0]);
            if longest.is_none_or(|(a, b)| length > b.since(a)) {
                longest = Some((gap[0], gap[1]));
            }
        }
        longest
    }
}

/// The longest stretch of operations in a row, by due times, that were not
/// answered: from the first of them to the first one that was again, or to the
/// last one. `calls` are (due, answered), sorted. `None` if all were answered.
///
/// It says when the calls were due that were doomed, not when anybody could
/// know: that is [`Acknowledged`].
pub fn longest_doomed(calls: &[(Nanos, bool)]) -> Option<(Nanos, Nanos)> {
    let mut longest: Option<(Nanos, Nanos)> = None;
    let mut i = 0;
    while i < calls.len() {
        let same = calls[i..].iter().take_while(|c| c.1 == calls[i].1).count();
        let end = calls
            .get(i + same)
            .or(calls.last())
            .map_or(calls[i].0, |c| c.0);
        let length = end.since(calls[i].0);
        if !calls[i].1 && longest.is_none_or(|(a, b)| length > b.since(a)) {
            longest = Some((calls[i].0, end));
        }
        i += same;
    }
    longest
}

/// The bracket of one outage: it lasted at least `low` (from the first to the
/// last failure, by due time) and at most `high` (from the last success before
/// it to the first one after).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Due time of its first failure.
    pub first: Nanos,
    /// Nanoseconds it lasted at least.
    pub low: u64,
    /// Nanoseconds it lasted at most; `None` if no success was seen before or after it.
    pub high: Option<u64>,
    /// Operations that were not answered in it.
    pub missed: u64,
}

/// The longest outage among operations `(due, answered)` of one cell, sorted
/// by due time: the run of consecutive failures whose lower bound is longest.
/// `None` if nothing failed.
///
/// Source: bracketing by the neighbouring samples, as interval-censored data
/// are treated in survival analysis.
pub fn longest_outage(samples: &[(Nanos, bool)]) -> Option<Outage> {
    let mut best: Option<Outage> = None;
    let mut i = 0;
    while i < samples.len() {
        if samples[i].1 {
            i += 1;
            continue;
        }
        let end = samples[i..]
            .iter()
            .position(|s| s.1)
            .map_or(samples.len(), |n| i + n);
        let before = i.checked_sub(1).map(|b| samples[b].0);
        let after = samples.get(end).map(|s| s.0);
        let outage = Outage {
            first: samples[i].0,
            low: samples[end - 1].0.0 - samples[i].0.0,
            high: before.zip(after).map(|(b, a)| a.0 - b.0),
            missed: (end - i) as u64,
        };
        if best.is_none_or(|b| (outage.low, outage.missed) > (b.low, b.missed)) {
            best = Some(outage);
        }
        i = end;
    }
    best
}

/// The quantile that a *user* saw, with operations that were not answered
/// counted as infinitely slow: the rank `q` of the answered ones to look up,
/// or `None` if the quantile falls among the unanswered.
///
/// For `n` answered and `f` unanswered, rank `ceil(q (n+f))` of all is rank
/// `q (n+f) / n` of the answered if it is at most `n`.
pub fn rank_with_failures(q: f64, answered: u64, missed: u64) -> Option<f64> {
    if answered == 0 {
        return None;
    }
    let rank = (q * (answered + missed) as f64).ceil();
    (rank <= answered as f64).then(|| rank / answered as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(t: f64) -> Nanos {
        Nanos((t * 1e9) as u64)
    }

    #[test]
    fn availability_is_a_ratio_or_nothing() {
        for (good, n, want) in [
            (0, 0, None),
            (0, 5, Some(0.0)),
            (3, 4, Some(0.75)),
            (7, 7, Some(1.0)),
        ] {
            assert_eq!(request_availability(good, n), want);
        }
    }

    #[test]
    fn gaps_include_the_edges() {
        let of = |completions: &[f64]| {
            let times = completions.iter().map(|t| s(*t)).collect();
            Acknowledged::new(s(0.0), s(10.0), times)
        };
        for (completions, want) in [
            (vec![], (0.0, 10.0)),
            (vec![9.0, 2.0, 6.5, 1.0], (2.0, 6.5)),
            (vec![4.0, 5.0, 6.0], (0.0, 4.0)),
            (vec![1.0, 2.0, 3.0], (3.0, 10.0)),
            // What was due in time and answered after the last one was due.
            (vec![1.0, 12.0], (1.0, 12.0)),
            (vec![10.0, 10.0], (0.0, 10.0)),
        ] {
            let gap = of(&completions).longest_gap();
            assert_eq!(gap, Some((s(want.0), s(want.1))), "{completions:?}");
        }
        assert_eq!(
            Acknowledged::new(s(3.0), s(3.0), vec![]).longest_gap(),
            None
        );
        // What reaches into a window counts whole.
        let a = of(&[1.0, 2.0, 6.5, 9.0]);
        for (from, to, want) in [
            (3.0, 4.0, (2.0, 6.5)),
            (7.0, 7.5, (6.5, 9.0)),
            (0.0, 1.5, (0.0, 1.0)),
            (6.5, 7.0, (6.5, 9.0)),
            (9.5, 20.0, (9.0, 10.0)),
        ] {
            let gap = a.longest_gap_in(s(from), s(to));
            assert_eq!(gap, Some((s(want.0), s(want.1))), "{from} to {to}");
        }
    }

    #[test]
    fn doomed_calls_are_counted_by_their_due_times() {
        let of = |pattern: &str| {
            let calls: Vec<_> = pattern
                .chars()
                .enumerate()
                .map(|(i, c)| (s(i as f64), c == '+'))
                .collect();
            longest_doomed(&calls).map(|(a, b)| (a.as_secs_f64(), b.as_secs_f64()))
        };
        assert_eq!(of(""), None);
        assert_eq!(of("+++"), None);
        assert_eq!(of("+--+-+"), Some((1.0, 3.0)));
        assert_eq!(of("-++---"), Some((3.0, 5.0)));
        assert_eq!(of("+-"), Some((1.0, 1.0)));
    }

    #[test]
    fn an_outage_is_bracketed_by_its_neighbours() {
        let of = |pattern: &str| {
            let samples: Vec<_> = pattern
                .chars()
                .enumerate()
                .map(|(i, c)| (s(i as f64), c == '+'))
                .collect();
            longest_outage(&samples).map(|o| (o.first, o.low, o.high, o.missed))
        };
        let sec = 1_000_000_000;
        assert_eq!(of("++++"), None);
        assert_eq!(of(""), None);
        assert_eq!(of("++-+"), Some((s(2.0), 0, Some(2 * sec), 1)));
        assert_eq!(of("+---+-+"), Some((s(1.0), 2 * sec, Some(4 * sec), 3)));
        assert_eq!(of("+-+--"), Some((s(3.0), sec, None, 2)));
        assert_eq!(of("--+"), Some((s(0.0), sec, None, 2)));
    }

    #[test]
    fn a_quantile_among_the_unanswered_is_not_a_number() {
        // 98 answered, 2 not: the 98th of 100 is the slowest answered one.
        assert_eq!(rank_with_failures(0.98, 98, 2), Some(1.0));
        assert_eq!(rank_with_failures(0.99, 98, 2), None);
        assert_eq!(rank_with_failures(0.5, 100, 0), Some(0.5));
        assert_eq!(rank_with_failures(0.5, 0, 3), None);
    }
}
