//! Objectives of every target, and runs that are not game days.

use crate::common::*;
use crate::report::longest_write_gap;
use gameday_record::*;
use gameday_reports::report::{Ending, SloRow};
use gameday_reports::{Report, assemble};
use std::time::Duration;

fn report(s: &Synthetic) -> Report {
    let dir = tempfile::tempdir().unwrap();
    assemble(&s.write(&dir.path().join("run"))).unwrap()
}

/// The row of one objective on the synthetic run.
fn judged(change: impl Fn(&mut Synthetic), scope: Scope, target: Target) -> SloRow {
    let mut s = Synthetic::az_power_off();
    change(&mut s);
    s.run.slo = SloSpec {
        objectives: vec![Objective {
            name: "x".into(),
            selection: Selection {
                kind: Some(Kind::Write),
                scope,
                ..Selection::default()
            },
            target,
        }],
        ..SloSpec::default()
    };
    report(&s).slo.remove(0)
}

#[test]
fn every_target_is_judged_over_all_pairs_and_over_the_untouched() {
    use Scope::{All, Untouched};
    use Verdict::{Fail, Pass};
    let (from, to) = longest_write_gap(&Synthetic::az_power_off().operations);
    let gap = to.since(from).as_nanos().div_ceil(1_000_000) as u64;
    // Missed: 624 of 3 960 writes of all pairs, 64 of 1 760 of the untouched.
    for (scope, target, want) in [
        (All, Target::Availability { at_least: 0.842 }, Pass),
        (All, Target::Availability { at_least: 0.843 }, Fail),
        (Untouched, Target::Availability { at_least: 0.963 }, Pass),
        (Untouched, Target::Availability { at_least: 0.964 }, Fail),
        (All, Target::RequestAvailability { at_least: 0.843 }, Fail),
        // Every second has 8 writes of each pair: the mean is the ratio.
        (
            All,
            Target::SlicedAvailability {
                slice_ms: 1_000,
                at_least: 0.842,
            },
            Pass,
        ),
        (
            All,
            Target::SlicedAvailability {
                slice_ms: 1_000,
                at_least: 0.843,
            },
            Fail,
        ),
        // In the second from 20 s on all writes are missed.
        (
            All,
            Target::WorstWindow {
                window_ms: 1_000,
                at_least: 0.001,
            },
            Fail,
        ),
        (
            Untouched,
            Target::WorstWindow {
                window_ms: 55_000,
                at_least: 0.96,
            },
            Pass,
        ),
        // A sixth is missed: the quantile falls among the unanswered.
        (
            All,
            Target::Latency {
                quantile: 0.9,
                at_most_ms: 60_000,
            },
            Fail,
        ),
        (
            All,
            Target::Latency {
                quantile: 0.8,
                at_most_ms: 30,
            },
            Pass,
        ),
        (All, Target::LongestGap { at_most_ms: gap }, Pass),
        (
            All,
            Target::LongestGap {
                at_most_ms: gap - 1,
            },
            Fail,
        ),
        // The last write missed through b is due at 41.385 s, the revert done at 40 s.
        (All, Target::Recovery { at_most_ms: 1_386 }, Pass),
        (All, Target::Recovery { at_most_ms: 1_385 }, Fail),
        (Untouched, Target::Recovery { at_most_ms: 0 }, Pass),
        (Untouched, Target::Uptime { at_least: 0.9 }, Pass),
        (All, Target::Uptime { at_least: 0.9 }, Fail),
    ] {
        let row = judged(|_| (), scope, target);
        assert_eq!(row.verdict, want, "{target:?}: {}", row.observed);
        assert!(!row.all_text.is_empty() && !row.untouched_text.is_empty());
        let mine = match scope {
            All => &row.all_text,
            Untouched => &row.untouched_text,
        };
        assert_eq!(&row.observed, mine);
        assert!(row.doubt.is_empty());
    }
    let row = judged(|_| (), All, Target::Availability { at_least: 0.9 });
    // 15.76 % missed of the 10 % that may be.
    assert!((row.budget_used.unwrap() - 1.5757).abs() < 1e-3);
    assert_eq!(row.margin, "-5.8 points");
    let proven = row.proven.unwrap();
    // Seconds 20 to 41 are one stretch.
    assert_eq!((proven.missed, proven.events, proven.nines), (624, 1, 0));
}

#[test]
fn what_the_canary_may_have_done_is_not_held_against_the_service() {
    // Every operation sent 30 ms late and so answered 30 ms later.
    let late = |s: &mut Synthetic| {
        for o in &mut s.operations {
            o.invoked = o.due + Duration::from_millis(30);
            o.returned = o.returned.map(|t| t + Duration::from_millis(30));
        }
    };
    let target = |at_most_ms| Target::Latency {
        quantile: 0.5,
        at_most_ms,
    };
    let row = judged(late, Scope::Untouched, target(20));
    assert_eq!(row.verdict, Verdict::Unknown);
    assert!(row.doubt.contains("could explain"), "{}", row.doubt);
    let row = judged(late, Scope::Untouched, target(40));
    assert_eq!(row.verdict, Verdict::Pass, "{}", row.observed);
    // What was missed was sent 60 ms late: the canary may have lost it.
    let stuck = |s: &mut Synthetic| {
        for o in s.operations.iter_mut().filter(|o| !o.outcome.answered()) {
            o.invoked = o.due + Duration::from_millis(60);
        }
    };
    let share = Target::Availability { at_least: 0.99 };
    assert_eq!(judged(stuck, Scope::All, share).verdict, Verdict::Unknown);
    assert_eq!(judged(|_| (), Scope::All, share).verdict, Verdict::Fail);
}

#[test]
fn canaries_alone_are_no_game_day_and_no_doubt() {
    let mut s = Synthetic::healthy();
    s.run.runtime = "canary".into();
    s.run.topology = Topology::default();
    for o in &mut s.operations {
        o.az = "office".into();
        o.endpoint = "eu-central-1".into();
    }
    s.run.workload.rate = 180.0;
    let r = report(&s);
    assert_eq!(r.overall.ending, Ending::Pass, "{:?}", r.overall.reasons);
    assert_eq!((r.trust.pairs, r.trust.canaries.len()), (1, 1));
    assert_eq!(r.trust.asked_rate, 180.0);
    assert!(r.limits.iter().any(|l| l.contains("from outside")));
}

#[test]
fn a_report_of_version_one_can_be_read() {
    let mut json = serde_json::to_value(report(&Synthetic::az_power_off())).unwrap();
    let top = json.as_object_mut().unwrap();
    for new in ["alarms", "sli", "mcr", "projections", "definitions"] {
        top.remove(new).unwrap();
    }
    top["version"] = 1.into();
    let row = top["slo"][0].as_object_mut().unwrap();
    row.retain(|k, _| ["name", "objective", "observed", "limit", "verdict"].contains(&k.as_str()));
    let impact = top["injections"][0]["impact"].as_object_mut().unwrap();
    impact.remove("total").unwrap();
    impact.remove("pairs").unwrap();
    let old: Report = serde_json::from_value(json).unwrap();
    assert_eq!(old.version, 1);
    assert!(old.sli.is_empty() && old.slo[0].target.is_none());
}
