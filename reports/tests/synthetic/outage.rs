//! A scripted outage of known length, measured by the canaries' recorded
//! times: from the folder to the report.

use crate::common::*;
use crate::truth::*;
use gameday_record::*;
use gameday_reports::Kind;
use gameday_reports::formulas::longest_outage;
use gameday_reports::{Report, assemble};
use proptest::prelude::*;
use std::time::Duration;

/// Everything a canary asks in the truth's `[from, to)` is not answered.
fn samples(interval: u64, phase: u64, n: u64, from: u64, to: u64) -> Vec<(Nanos, bool)> {
    (0..n)
        .map(|i| phase + i * interval)
        .map(|t| (Nanos(t), !(from..to).contains(&t)))
        .collect()
}

proptest! {
    /// Whatever the rate, the phase and the outage: the bracket contains the
    /// true length and is at most two intervals wide. An outage that is
    /// shorter than an interval may pass between two operations; then nothing
    /// is found, and none that is as long as an interval is missed.
    #[test]
    fn a_bracket_contains_the_truth(
        rate in 1u64..1000,
        phase in 0.0f64..1.0,
        start in 2.0f64..20.0,
        length in 0.0f64..30.0,
    ) {
        let interval = 1_000_000_000 / rate;
        let phase = (phase * interval as f64) as u64;
        let n = 60 * rate;
        let from = (start * 1e9) as u64;
        let to = from + (length * 1e9) as u64;
        match longest_outage(&samples(interval, phase, n, from, to)) {
            None => prop_assert!(to - from <= interval),
            Some(o) => {
                let high = o.high.expect("successes on both sides");
                prop_assert!(o.low <= to - from && to - from <= high, "{o:?}");
                prop_assert!(high - o.low <= 2 * interval);
                // Either end is within one interval of the truth or the other
                // end is: the middle always is.
                let middle = o.low + (high - o.low) / 2;
                prop_assert!(middle.abs_diff(to - from) <= interval);
            }
        }
    }
}

/// A run with these canaries: each pair asks one kind of operation `rate` times
/// a second from 5 to 45 s; endpoint b answers nothing in `[from, to)` ms.
fn scripted(rate: u64, from: u64, to: u64) -> Report {
    let mut s = Synthetic::az_power_off();
    s.run.workload.rate = rate as f64;
    s.run.slo = SloSpec::default();
    s.operations.clear();
    let interval = Duration::from_nanos(1_000_000_000 / rate);
    for (p, (az, endpoint)) in AZS
        .iter()
        .flat_map(|a| AZS.iter().map(move |e| (*a, *e)))
        .enumerate()
    {
        for i in 0..rate * 55 {
            let due = ms(FROM_MS) + interval * i as u32 + interval * p as u32 / 9;
            let mut o = answered_write(az, endpoint, due, p as u64 * 1_000_000 + i);
            if endpoint == "b" && due >= ms(from) && due < ms(to) {
                spoil(&mut o, ErrorClass::Timeout, "no answer", true, 2_000);
            }
            s.operations.push(o);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    assemble(&s.write(&dir.path().join("run"))).unwrap()
}

#[test]
fn a_scripted_outage_is_measured_within_an_interval_of_each_canary() {
    for (rate, length) in [(5, 2_000), (20, 6_000), (50, 6_130)] {
        // From the act on, which the synthetic timeline has at 20 s.
        let r = scripted(rate, FAULT_MS, FAULT_MS + length);
        let x = r.injections[0].impact.as_ref().unwrap();
        let interval = 1000 / rate;
        assert_eq!(x.pairs.len(), 3, "the three pairs through b");
        for p in &x.pairs {
            assert_eq!(p.endpoint, "b");
            let o = p.outage.as_ref().unwrap();
            let high = o.high_ms.unwrap();
            assert!(o.low_ms <= length && length <= high, "{o:?}");
            assert!(high - o.low_ms <= 2 * interval, "{o:?} at {rate}/s");
            assert_eq!(o.missed, p.unknown);
            // Hit by the first operation due, detected when that is given up, 2 s later; well when
            // the first after the end is answered, a millisecond after it was due.
            let first = p.first_failure_ms.unwrap();
            assert!(first <= interval);
            assert!((2_000..=2_001).contains(&(p.detected_ms.unwrap() - first)));
            let success = p.first_success_ms.unwrap() - 1;
            assert!((length..=length + interval).contains(&success), "{success}");
        }
        // Until every pair was well again, from the act: the last miss is due
        // less than an interval before the end, and a hundredth of the span
        // of 3 s may be missed.
        let total = x.total.ms.unwrap();
        assert!(
            total.abs_diff(length) <= interval + 30,
            "{total} of {length}"
        );
        // The fault touched b; everybody else felt nothing.
        assert_eq!(x.elsewhere.ms, Some(0));
        assert_eq!(r.headline.worst_recovery_ms, Some(0));
        assert!(
            r.headline.worst_recovery_note.contains("before the revert"),
            "{}",
            r.headline.worst_recovery_note
        );
        // User-uptime and the worst window see the same outage.
        let through_b = r
            .sli
            .iter()
            .find(|s| s.group == gameday_reports::report::SliGroup::Endpoint && s.name == "b")
            .unwrap();
        let down = through_b.uptime.as_ref().unwrap().down_ms;
        assert!(down.abs_diff(3 * length) <= 3 * interval, "{down}");
        let curve = &r.mcr[0];
        assert_eq!(curve.kind, Kind::Write);
        assert!((curve.points[0].availability - 2.0 / 3.0).abs() < 1e-9);
    }
}
