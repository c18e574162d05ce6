//! Times and shares that can be recomputed by hand from a handful of operations.

use crate::common::*;
use crate::truth::*;
use gameday_record::*;
use gameday_reports::report::{AlarmOutcome, Impact, KindImpact, SloRow};
use gameday_reports::{Report, assemble};
use std::time::Duration;

fn report(s: &Synthetic) -> Report {
    let dir = tempfile::tempdir().unwrap();
    assemble(&s.write(&dir.path().join("run"))).unwrap()
}

/// A canary alone that writes `rate` times a second from 5 s to `to_ms`; `change` says what became
/// of each call, by the millisecond at which it was due.
fn alone(rate: u64, to_ms: u64, change: impl Fn(u64, &mut Operation)) -> Synthetic {
    let mut s = Synthetic::healthy();
    s.run.topology = Topology::default();
    s.run.workload.rate = rate as f64;
    s.run.slo = SloSpec::default();
    s.operations = writes(("a", "a"), rate, to_ms, change);
    for l in s.timeline.iter_mut().filter(|l| l.time >= ms(TO_MS)) {
        l.time = ms(l.time.0 / 1_000_000 - TO_MS + to_ms);
    }
    s
}

fn writes(
    (az, endpoint): (&str, &str),
    rate: u64,
    to_ms: u64,
    change: impl Fn(u64, &mut Operation),
) -> Vec<Operation> {
    (0..(to_ms - FROM_MS) * rate / 1000)
        .map(|i| {
            let due = FROM_MS + i * 1000 / rate;
            // A process has one call at a time.
            let process = i + if endpoint == "a" { 0 } else { 1_000_000 };
            let mut o = answered_write(az, endpoint, ms(due), process);
            change(due, &mut o);
            o
        })
        .collect()
}

/// The run with one fault on AZ b, from 20 to 40 s: its revert is done at 40 s and proven at
/// `proven_ms`. Pairs (a, a) and (a, b) write 20 times a second.
fn faulted(proven_ms: u64, through_b: impl Fn(u64, &mut Operation)) -> Synthetic {
    let mut s = Synthetic::az_power_off();
    s.run.slo = SloSpec::default();
    s.operations = writes(("a", "a"), 20, TO_MS, |_, _| ());
    s.operations
        .extend(writes(("a", "b"), 20, TO_MS, through_b));
    let shift = proven_ms - PROVEN_MS;
    for l in s.timeline.iter_mut() {
        if (ms(PROVEN_MS)..ms(TO_MS)).contains(&l.time) {
            l.time = l.time + Duration::from_millis(shift);
        }
    }
    s
}

fn impact(r: &Report) -> &Impact {
    r.injections[0].impact.as_ref().unwrap()
}

fn writes_of(r: &Report) -> &KindImpact {
    &impact(r).kinds[0]
}

fn judged(s: &mut Synthetic, target: Target) -> SloRow {
    s.run.slo = SloSpec {
        objectives: vec![Objective {
            name: "x".into(),
            selection: Selection {
                kind: Some(Kind::Write),
                ..Selection::default()
            },
            target,
        }],
        ..SloSpec::default()
    };
    report(s).slo.remove(0)
}

/// From 10.0 to 11.9 s the store holds every write, and answers all of them at 11.9 s.
fn freeze(due: u64, o: &mut Operation) {
    if (10_000..11_900).contains(&due) {
        o.returned = Some(ms(11_900));
    }
}

#[test]
fn a_freeze_shorter_than_the_timeout_is_a_gap_between_acknowledgements() {
    let mut s = alone(20, 30_000, freeze);
    let r = report(&s);
    // The write due at 9.950 s is answered at 9.951 s, the next acknowledgement is at 11.9 s.
    let gap = r.headline.write_gap.unwrap();
    assert_eq!((gap.from, gap.to, gap.ms()), (ms(9_951), ms(11_900), 1_949));
    // None of them was doomed.
    assert_eq!(r.headline.doomed_writes, None);
    assert_eq!(r.headline.write.text, "100 %");
    for (at_most_ms, want) in [(1_948, Verdict::Fail), (1_949, Verdict::Pass)] {
        let row = judged(&mut s, Target::LongestGap { at_most_ms });
        assert_eq!(row.verdict, want, "{}", row.observed);
    }
}

#[test]
fn a_late_answer_is_missed_where_the_workload_says_so() {
    let mut s = alone(20, 30_000, freeze);
    s.run.workload.slow_after_ms = Some(500);
    s.run.alarms = vec![AlarmSpec {
        name: "slow".into(),
        selection: Selection::default(),
        rule: AlarmRule::Failures {
            share: 0.01,
            bad: 2,
            of: 5,
            failures: 5,
        },
        stop: false,
        expect: None,
        within_ms: None,
    }];
    let r = report(&s);
    // Due from 10.000 to 11.350 s they take more than 500 ms (11.400 s takes exactly that): 28.
    let c = r.headline.write.all;
    assert_eq!((c.late, c.missed(), c.attempts()), (28, 28, 500));
    // Nine of the twenty calls due in the second from 11 s on are late: the second bad second.
    let f = &r.alarms[0].firings[0];
    assert_eq!((f.at, f.known_at), (ms(12_000), ms(12_000)));
    let late = r.errors.iter().find(|e| e.outcome == "late").unwrap();
    assert_eq!((late.count, late.class.as_str()), (28, "slow"));
    assert_eq!(late.example, "answered after 1.90 s");
    // They were acknowledged all the same: the gap is no longer than before.
    assert_eq!(r.headline.write_gap.unwrap().ms(), 1_949);
    // 28 of 500 are 5.6 %.
    for (at_least, want) in [(0.944, Verdict::Pass), (0.9441, Verdict::Fail)] {
        let row = judged(&mut s, Target::Availability { at_least });
        assert_eq!(row.verdict, want, "{}", row.observed);
    }
    // And their latency is that of answers: 38 of 500 took more than the usual millisecond.
    let p99 = Target::Latency {
        quantile: 0.99,
        at_most_ms: 1_700,
    };
    // Six took at least 1 650 ms: the 495th of 500 is the one due at 10.250 s.
    assert_eq!(judged(&mut s, p99).observed, "1.65 s");
}

#[test]
fn impact_detection_and_alarm_are_three_times() {
    // From 20 s on nothing through b is answered, and each call is given up after 2 s.
    let mut s = faulted(PROVEN_MS, |due, o| {
        if (20_050..40_000).contains(&due) {
            spoil(o, ErrorClass::Timeout, "no answer in 2 s", true, 2_000);
        }
    });
    s.run.alarms = vec![AlarmSpec {
        name: "b fails".into(),
        selection: Selection::default(),
        rule: AlarmRule::default(),
        stop: false,
        expect: Some(true),
        within_ms: None,
    }];
    // The run's own watch told of it 5.5 s after the act.
    let told = TimelineEvent::Alarm {
        name: "b fails".into(),
        firing: true,
        text: "fires".into(),
    };
    let at = s.timeline.iter().position(|l| l.time > ms(25_500)).unwrap();
    s.timeline.insert(at, line(25_500, told));
    let r = report(&s);
    let x = impact(&r);
    // The first doomed call is due 50 ms after the act; it is known to be lost 2 s later; the
    // third bad second ends at 23 s, and the last call due in it is given up at 24.950 s.
    assert_eq!(x.first_impact_ms, Some(50));
    assert_eq!(x.detected_ms, Some(2_050));
    let alarmed = x.alarmed.as_ref().unwrap();
    assert_eq!((alarmed.ms, alarmed.name.as_str()), (4_950, "b fails"));
    let f = &r.alarms[0].firings[0];
    assert_eq!((f.at, f.known_at), (ms(23_000), ms(24_950)));
    assert_eq!((f.after_ms, f.live_at), (Some(4_950), Some(ms(25_500))));
    // A limit is one on what could be known, not on the due times that made it fire.
    for (within, outcome, verdict, by) in [
        (4_950, AlarmOutcome::Fired, Verdict::Pass, ""),
        (4_949, AlarmOutcome::Late, Verdict::Fail, "1 ms"),
        (3_000, AlarmOutcome::Late, Verdict::Fail, "2.0 s"),
    ] {
        s.run.alarms[0].within_ms = Some(within);
        let r = report(&s);
        let row = &r.alarms[0];
        assert_eq!(
            (row.outcome, row.verdict),
            (outcome, verdict),
            "{}",
            row.why
        );
        let failed = r.overall.reasons.iter().any(|why| {
            why.starts_with("Alarm b fails: it fired 5.0 s after")
                && why.ends_with(&format!(", {by} later than it was to."))
        });
        assert_eq!(failed, verdict == Verdict::Fail, "{:?}", r.overall.reasons);
    }
}

#[test]
fn recovery_counts_from_the_revert_whenever_it_was_proven() {
    let down = |due: u64, o: &mut Operation| {
        if (20_000..46_900).contains(&due) {
            spoil(o, ErrorClass::Refused, "connection refused", false, 1);
        }
    };
    for proven_ms in [PROVEN_MS, 44_000] {
        let mut s = faulted(proven_ms, down);
        let r = report(&s);
        // The last miss is due at 46.850 s.
        assert_eq!(impact(&r).recovery.ms, Some(6_851));
        assert_eq!(impact(&r).revert_proof_ms, Some(proven_ms - REVERT_MS));
        for (at_most_ms, want) in [(6_850, Verdict::Fail), (6_851, Verdict::Pass)] {
            let row = judged(&mut s, Target::Recovery { at_most_ms });
            assert_eq!(row.verdict, want, "{}", row.observed);
            let late = row
                .observed
                .contains("its proof came 4.0 s after the revert");
            assert_eq!(late, proven_ms == 44_000, "{}", row.observed);
        }
    }
}

#[test]
fn a_pair_that_never_recovered_is_named() {
    let mut s = faulted(PROVEN_MS, |due, o| {
        if due >= 20_000 {
            spoil(o, ErrorClass::Refused, "connection refused", false, 1);
        }
    });
    for o in s.operations.iter_mut().filter(|o| o.endpoint == "a") {
        if (20_000..20_200).contains(&(o.due.0 / 1_000_000)) {
            spoil(o, ErrorClass::Refused, "connection refused", false, 1);
        }
    }
    let r = report(&s);
    let w = writes_of(&r);
    assert_eq!(
        (w.first_success_ms, &w.never[..]),
        (None, &["a through b".to_string()][..])
    );
    let page = gameday_reports::render::html(&r);
    assert!(page.contains("never<small class=\"sub\">a through b</small>"));
    // The other one is answered 200 ms after the act, a millisecond after it was due.
    let other = impact(&r).pairs.iter().find(|p| p.endpoint == "a").unwrap();
    assert_eq!(other.first_success_ms, Some(201));
}

#[test]
fn an_excuse_is_asked_of_the_window_that_it_excuses() {
    let late = |o: &mut Operation| {
        o.invoked = o.due + Duration::from_millis(100);
        spoil(o, ErrorClass::Timeout, "no answer", true, 2_000);
    };
    let window = Target::WorstWindow {
        window_ms: 1_000,
        at_least: 0.5,
    };
    // A busy moment of the canary's machine: most of the second from 10 s on was missed, and sent
    // late.
    let busy = |due, o: &mut Operation| {
        if (10_000..10_984).contains(&due) {
            late(o);
        }
    };
    let row = judged(&mut alone(60, 60_000, busy), window);
    assert_eq!(row.verdict, Verdict::Unknown, "{}", row.observed);
    assert!(row.doubt.contains("more than 50 ms late"), "{}", row.doubt);
    // An outage half a minute later is none of its doing.
    let row = judged(
        &mut alone(60, 60_000, |due, o| {
            busy(due, o);
            if (40_000..41_000).contains(&due) {
                spoil(o, ErrorClass::Refused, "refused", false, 1);
            }
        }),
        window,
    );
    assert_eq!((row.verdict, row.doubt.as_str()), (Verdict::Fail, ""));
    // The same of a gap: a canary that slept for 1.9 s made it.
    let asleep = |due: u64, o: &mut Operation| {
        if (10_000..11_900).contains(&due) {
            (o.invoked, o.returned) = (ms(11_900), Some(ms(11_901)));
        }
    };
    let gap = Target::LongestGap { at_most_ms: 1_000 };
    let row = judged(&mut alone(20, 30_000, asleep), gap);
    assert_eq!(row.verdict, Verdict::Unknown, "{}", row.observed);
    let row = judged(&mut alone(20, 30_000, freeze), gap);
    assert_eq!(row.verdict, Verdict::Fail, "{}", row.observed);
}

#[test]
fn slices_and_windows_weigh_what_they_cover() {
    // 301 s of which the last is missed.
    let last = |due, o: &mut Operation| {
        if due >= 305_000 {
            spoil(o, ErrorClass::Refused, "refused", false, 1);
        }
    };
    let mut s = alone(20, 306_000, last);
    // 300 of 301 is 99.667…
    for (at_least, want) in [(0.9966, Verdict::Pass), (0.9967, Verdict::Fail)] {
        let target = Target::SlicedAvailability {
            slice_ms: 300_000,
            at_least,
        };
        let row = judged(&mut s, target);
        assert_eq!(row.verdict, want, "{}", row.observed);
    }
    // Measured from 5.95 s on, with one call missed before 6 s.
    let first = |due, o: &mut Operation| {
        if due < 6_000 {
            spoil(o, ErrorClass::Refused, "refused", false, 1);
        }
    };
    let mut s = alone(20, 30_000, first);
    for l in s.timeline.iter_mut().filter(|l| l.time == ms(FROM_MS)) {
        l.time = ms(5_950);
    }
    let target = Target::WorstWindow {
        window_ms: 1_000,
        at_least: 0.99,
    };
    assert_eq!(judged(&mut s, target).verdict, Verdict::Pass);
}

#[test]
fn the_remark_on_late_sending_says_what_it_cost() {
    let busy = |missed: bool| {
        alone(20, 30_000, move |due, o| {
            if (10_000..10_500).contains(&due) {
                o.invoked = o.due + Duration::from_millis(1_950);
                o.returned = Some(o.invoked + Duration::from_millis(1));
                if missed {
                    spoil(o, ErrorClass::Timeout, "no answer", true, 2_000);
                }
            }
        })
    };
    let remark = |s: &Synthetic| report(s).trust.remarks.join(" ");
    let said = remark(&busy(false));
    assert!(
        said.contains("None of those sent more than 50 ms late was missed"),
        "{said}"
    );
    // Ten of 500.
    let said = remark(&busy(true));
    assert!(
        said.contains("10 operations were sent more than 50 ms late and missed: of all operations 98 % were answered, without these 100 %."),
        "{said}"
    );
}

#[test]
fn a_pass_leads_with_the_promise_and_calls_the_hurt_ones_so() {
    let s = faulted(PROVEN_MS, |due, o| {
        if (20_000..40_000).contains(&due) {
            spoil(o, ErrorClass::Refused, "connection refused", false, 1);
        }
    });
    let r = report(&s);
    let end = gameday_reports::terminal(&r, "report.html", false);
    // 400 of 1 100 calls through b are missed, none through a.
    let line =
        "  writes answered   100 % in AZs that no fault touched; 63.6 % in AZs that were hurt";
    assert!(end.contains(line), "{end}");
    assert!(!end.contains("not one nine"), "{end}");
    let page = gameday_reports::render::html(&r);
    let tile = "Writes answered</div><div class=\"n\">100 %</div>";
    assert!(page.contains(tile) && page.contains("AZs that were hurt"));
    let md = gameday_reports::render::markdown(&r);
    assert!(
        md.contains("| Writes answered | 100 % | 63.6 % | 81.8 % |"),
        "{md}"
    );
}

#[test]
fn an_alarm_long_after_a_fault_is_not_blamed_on_it() {
    // The pairs through b are well from 40 s on; something else fails from 50 s on.
    let mut s = faulted(PROVEN_MS, |due, o| {
        if (20_000..40_000).contains(&due) || (50_000..54_000).contains(&due) {
            spoil(o, ErrorClass::Refused, "connection refused", false, 1);
        }
    });
    s.run.alarms = vec![AlarmSpec {
        name: "b fails".into(),
        selection: Selection::default(),
        rule: AlarmRule::default(),
        stop: false,
        expect: None,
        within_ms: None,
    }];
    let r = report(&s);
    let whose: Vec<_> = r.alarms[0]
        .firings
        .iter()
        .map(|f| (f.at, f.injection))
        .collect();
    assert_eq!(whose, [(ms(23_000), Some(1)), (ms(53_000), None)]);
}

#[test]
fn deliberately_hurt_pairs_do_not_enter_what_is_proven() {
    let s = faulted(PROVEN_MS, |due, o| {
        if (20_000..40_000).contains(&due) {
            spoil(o, ErrorClass::Refused, "connection refused", false, 1);
        }
    });
    let r = report(&s);
    let row = &r.sli[0];
    // 55 seconds without a failure through a, 1 - 2.9957/55; through both an outage of 20 s at
    // half, 400 of 2 200 calls in one event: 4.7439 × 400 calls.
    let low = row.proven_untouched.low.unwrap();
    assert!((low - (1.0 - 2.9957 / 55.0)).abs() < 1e-5, "{low}");
    let low = row.proven.low.unwrap();
    assert!(
        (low - (1.0 - 4.7439 * 400.0 / 2_200.0)).abs() < 1e-4,
        "{low}"
    );
    assert_eq!(r.headline.nines_proven, Some(1));
}
