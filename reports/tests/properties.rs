//! What must hold for any numbers.

use gameday_record::Nanos;
use gameday_reports::fold::Counts;
use gameday_reports::formulas::{Acknowledged, longest_outage};
use gameday_reports::numbers::availability;
use proptest::prelude::*;

proptest! {
    /// What is printed is never better than what was seen, and "100 %" is
    /// printed only when nothing was missed.
    #[test]
    fn availability_is_never_flattered(answered in 0u64..2_000_000, failed in 0u64..2_000_000) {
        let c = Counts { answered, failed, ..Counts::default() };
        let text = availability(c, None);
        if answered + failed == 0 {
            prop_assert_eq!(text, "no data");
        } else {
            let shown: f64 = text.trim_end_matches(" %").parse().unwrap();
            let exact = answered as f64 / (answered + failed) as f64 * 100.0;
            prop_assert!(shown <= exact + 1e-9, "{} for {}", text, exact);
            prop_assert_eq!(text == "100 %", failed == 0);
        }
    }

    /// The longest gap lies between the edges, holds no acknowledgement, and
    /// is as long as the longest stretch between neighbours; that of a window
    /// is the longest of those that meet it.
    #[test]
    fn the_longest_gap_is_empty_and_longest(
        times in prop::collection::vec(0u64..1000, 0..40),
        window in (0u64..1000, 0u64..300),
    ) {
        let times: Vec<_> = times.into_iter().map(Nanos).collect();
        let (from, to) = (Nanos(100), Nanos(900));
        let acknowledged = Acknowledged::new(from, to, times.clone());
        let mut edges: Vec<_> = times.iter().copied().filter(|t| *t > from).collect();
        edges.push(from);
        if edges.iter().all(|t| *t < to) {
            edges.push(to);
        }
        edges.sort_unstable();
        let end = *edges.last().unwrap();
        let gaps: Vec<_> = edges.windows(2).map(|w| (w[0], w[1])).collect();
        let (a, b) = acknowledged.longest_gap().unwrap();
        prop_assert!(from <= a && a <= b && b <= end);
        prop_assert!(!times.iter().any(|t| *t > a && *t < b));
        let longest = gaps.iter().map(|(a, b)| b.0 - a.0).max().unwrap();
        prop_assert_eq!(b.0 - a.0, longest);
        let (start, stop) = (Nanos(window.0), Nanos(window.0 + window.1));
        let meets = gaps.iter().filter(|(a, b)| *b > start && *a <= stop);
        let want = meets.map(|(a, b)| b.0 - a.0).max();
        let got = acknowledged.longest_gap_in(start, stop);
        prop_assert_eq!(got.map(|(a, b)| b.0 - a.0), want);
    }

    /// An outage's lower bound never exceeds its upper one, and there is one
    /// exactly if something was missed.
    #[test]
    fn an_outage_is_bracketed(pattern in prop::collection::vec(any::<bool>(), 0..60)) {
        let samples: Vec<_> = pattern.iter().enumerate().map(|(i, ok)| (Nanos(i as u64 * 10), *ok)).collect();
        let found = longest_outage(&samples);
        prop_assert_eq!(found.is_some(), pattern.contains(&false));
        if let Some(o) = found {
            prop_assert!(o.high.is_none_or(|h| h > o.low));
            prop_assert_eq!(o.low, (o.missed - 1) * 10);
        }
    }
}
