//! The arithmetic of availability. Pure functions; each names its source.

use gameday_record::Nanos;

/// Share of attempts that were answered: `A = good / N`. `None` if `N` is 0:
/// no data is not "up" (Google, *The Site Reliability Workbook*, chapter 2,
/// request-based SLI).
pub fn request_availability(answered: u64, attempts: u64) -> Option<f64> {
    (attempts > 0).then(|| answered as f64 / attempts as f64)
}

/// The longest stretch `(start, end)` inside `[from, to]` in which no time of
/// `successes` lies, edges included: a run that ends in an outage has a gap
/// up to its end. `successes` are the due times of answered operations,
/// sorted. `None` if `to <= from`.
///
/// Resolution is the spacing of the operations: with R per second even a
/// perfect service has a gap of 1/R.
pub fn longest_gap(successes: &[Nanos], from: Nanos, to: Nanos) -> Option<(Nanos, Nanos)> {
    if to <= from {
        return None;
    }
    let mut longest = (from, from);
    let mut last = from;
    let inside = successes
        .iter()
        .copied()
        .filter(|t| *t > from && *t < to)
        .chain([to]);
    for t in inside {
        if t.since(last) > longest.1.since(longest.0) {
            longest = (last, t);
        }
        last = t;
    }
    Some(longest)
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
        let (from, to) = (s(0.0), s(10.0));
        for (successes, want) in [
            (vec![], (0.0, 10.0)),
            (vec![1.0, 2.0, 6.5, 9.0], (2.0, 6.5)),
            (vec![4.0, 5.0, 6.0], (0.0, 4.0)),
            (vec![1.0, 2.0, 3.0], (3.0, 10.0)),
            // Outside the measured time a success does not count.
            (vec![12.0], (0.0, 10.0)),
        ] {
            let times: Vec<_> = successes.iter().map(|t| s(*t)).collect();
            assert_eq!(
                longest_gap(&times, from, to),
                Some((s(want.0), s(want.1))),
                "{successes:?}"
            );
        }
        assert_eq!(longest_gap(&[], to, to), None);
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
