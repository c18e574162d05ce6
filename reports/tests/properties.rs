//! What must hold for any numbers.

use gameday_record::Nanos;
use gameday_reports::fold::Counts;
use gameday_reports::formulas::{longest_gap, longest_outage};
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

    /// The longest gap lies in the measured time, holds no success, and is
    /// as long as the longest stretch between neighbours.
    #[test]
    fn the_longest_gap_is_empty_and_longest(mut times in prop::collection::vec(0u64..1000, 0..40)) {
        times.sort_unstable();
        let times: Vec<_> = times.into_iter().map(Nanos).collect();
        let (from, to) = (Nanos(100), Nanos(900));
        let (a, b) = longest_gap(&times, from, to).unwrap();
        prop_assert!(from <= a && a <= b && b <= to);
        prop_assert!(!times.iter().any(|t| *t > a && *t < b));
        let mut edges: Vec<_> = times.iter().copied().filter(|t| *t > from && *t < to).collect();
        edges.insert(0, from);
        edges.push(to);
        let longest = edges.windows(2).map(|w| w[1].0 - w[0].0).max().unwrap();
        prop_assert_eq!(b.0 - a.0, longest);
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
