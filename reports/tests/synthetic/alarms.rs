//! Alarms: live and afterwards, and what they mean for a run.

use crate::common::*;
use crate::truth::*;
use gameday_record::*;
use gameday_reports::report::{AlarmOutcome, AlarmRow, AlarmSource, Ending};
use gameday_reports::{Change, Fold, Patience, Report, Watch, assemble};
use proptest::prelude::*;
use std::time::Duration;

fn report(s: &Synthetic) -> Report {
    let dir = tempfile::tempdir().unwrap();
    assemble(&s.write(&dir.path().join("run"))).unwrap()
}

fn alarm(name: &str, rule: AlarmRule, expect: Option<bool>) -> AlarmSpec {
    AlarmSpec {
        name: name.into(),
        selection: Selection::default(),
        rule,
        stop: false,
        expect,
        within_ms: None,
    }
}

fn burn(objective: f64, long_s: u64, short_s: u64, factor: f64) -> AlarmRule {
    AlarmRule::BurnRate {
        objective,
        long_ms: long_s * 1000,
        short_ms: short_s * 1000,
        factor,
        clean_before: true,
    }
}

const TIMEOUT_MS: u64 = 2_000;

/// Operations with a due time in 0 to 20 s and an end within the timeout.
fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let one = (
        0u64..20_000,
        0usize..2,
        0usize..2,
        0u64..TIMEOUT_MS,
        0u8..10,
    );
    prop::collection::vec(one, 0..400).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(n, (due, az, endpoint, took, outcome))| {
                let mut o = answered_write(AZS[az], AZS[endpoint], ms(due), n as u64);
                o.returned = Some(ms(due + took));
                // The worse, the later.
                if u64::from(outcome) < due / 4_000 {
                    spoil(&mut o, ErrorClass::Timeout, "", true, took);
                }
                o
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Evaluated as operations end, at any moments, in a fold that forgets; or
    /// afterwards over all: the same alarms at the same times.
    #[test]
    fn live_and_afterwards_agree(ops in operations(), steps in prop::collection::vec(1u64..3_000, 1..60)) {
        let specs = || vec![
            alarm("pairs", AlarmRule::default(), None),
            alarm("burn", burn(0.9, 6, 2, 2.0), None),
            AlarmSpec {
                selection: Selection { scope: Scope::Untouched, ..Selection::default() },
                ..alarm("others", AlarmRule::Failures { share: 0.0, bad: 1, of: 2, failures: 1 }, None)
            },
        ];
        let settle = Duration::from_millis(TIMEOUT_MS);
        let end = ms(20_000);
        let mut after = Watch::new(specs(), ms(1_500), settle);
        after.touch(&["b".into()], ms(9_300));
        let want = after.finish(&Fold::over(Patience::default(), &ops), end);

        let mut by_end: Vec<&Operation> = ops.iter().collect();
        by_end.sort_by_key(|o| o.returned);
        let mut live = Watch::new(specs(), ms(1_500), settle);
        let mut fold = Fold::bounded(30);
        let mut got = Vec::new();
        let mut now = 0;
        let mut next = 0;
        let mut told = false;
        let all = steps.iter().cycle();
        for step in all {
            now += step;
            if now >= 22_000 {
                break;
            }
            while next < by_end.len() && by_end[next].returned.unwrap() < ms(now) {
                fold.push(by_end[next]);
                next += 1;
            }
            if now >= 9_300 && !told {
                told = true;
                live.touch(&["b".into()], ms(9_300));
            }
            got.extend(live.step(&fold, ms(now)));
        }
        by_end[next..].iter().for_each(|o| fold.push(o));
        got.extend(live.finish(&fold, end));
        // Live, nothing is told before it could be known.
        prop_assert!(got.iter().zip(&want).all(|(live, c)| live.known_at >= c.known_at));
        let untimed = |all: Vec<Change>| -> Vec<_> {
            all.into_iter()
                .map(|c| Change { known_at: c.at, ..c })
                .collect()
        };
        prop_assert_eq!(untimed(got), untimed(want));
    }
}

fn row<'a>(r: &'a Report, name: &str) -> &'a AlarmRow {
    r.alarms.iter().find(|a| a.name == name).unwrap()
}

#[test]
fn expectations_decide_and_alarms_say_how_soon() {
    // AZ b is powered off at 20 s.
    let with = |rule: AlarmRule, expect| {
        let mut s = Synthetic::az_power_off();
        s.run.alarms = vec![alarm("customers", rule, expect)];
        report(&s)
    };
    let never = AlarmRule::Failures {
        share: 0.99,
        bad: 60,
        of: 60,
        failures: 1_000_000,
    };
    for (rule, expect, outcome, ending) in [
        (
            AlarmRule::default(),
            Some(true),
            AlarmOutcome::Fired,
            Ending::Pass,
        ),
        (AlarmRule::default(), None, AlarmOutcome::Told, Ending::Pass),
        (
            AlarmRule::default(),
            Some(false),
            AlarmOutcome::False,
            Ending::Fail,
        ),
        (
            never.clone(),
            Some(true),
            AlarmOutcome::Missed,
            Ending::Fail,
        ),
        (
            never.clone(),
            Some(false),
            AlarmOutcome::Quiet,
            Ending::Pass,
        ),
        (never, None, AlarmOutcome::Quiet, Ending::Pass),
    ] {
        let r = with(rule, expect);
        let a = row(&r, "customers");
        assert_eq!(a.outcome, outcome, "{expect:?}: {}", a.why);
        assert_eq!(r.overall.ending, ending, "{:?}", r.overall.reasons);
        if ending == Ending::Fail {
            // The table names it beside the sentence; a reason stands alone.
            let (first, rest) = a.why.split_at(1);
            let reason = format!("Alarm customers: {}{rest}", first.to_lowercase());
            assert_eq!(r.overall.reasons[0], reason);
        }
        if outcome == AlarmOutcome::Fired {
            // Third bad second; the pairs through b are bad to 41.6 s.
            let f = &a.firings[0];
            assert_eq!(
                (f.at, f.injection, f.after_ms),
                (ms(23_000), Some(1), Some(3_000))
            );
            assert_eq!(f.cleared, Some(ms(45_000)));
            assert_eq!(a.after[0].fired_ms, Some(3_000));
        }
    }
}

/// AZ b is off from 20 to 40 s and its pairs answer again from 41.6 s on.
fn with_alarm(rule: AlarmRule, expect: Option<bool>) -> Report {
    let mut s = Synthetic::az_power_off();
    s.run.slo = SloSpec::default();
    s.run.alarms = vec![alarm("slow", rule, expect)];
    report(&s)
}

#[test]
fn an_alarm_that_waits_for_the_revert_is_late() {
    // The 21st bad second is the one from 40 to 41 s: a second after the revert.
    let rule = AlarmRule::Failures {
        share: 0.01,
        bad: 21,
        of: 30,
        failures: 5,
    };
    for expect in [Some(true), None] {
        let r = with_alarm(rule.clone(), expect);
        let a = row(&r, "slow");
        assert_eq!((a.outcome, a.verdict), (AlarmOutcome::Late, Verdict::Pass));
        assert_eq!(a.firings[0].at, ms(41_000));
        assert_eq!(a.after[0].fired_ms, Some(21_000));
        assert!(
            a.why
                .ends_with(": late, the fault had been reverted after 20.0 s."),
            "{}",
            a.why
        );
        assert!(!a.why.contains("slow"), "{}", a.why);
        // Late is said; it does not decide.
        assert_eq!(r.overall.ending, Ending::Pass, "{:?}", r.overall.reasons);
        let page = gameday_reports::render::html(&r);
        assert!(page.contains("</span>late</span>"), "the outcome is shown");
    }
    // One bad second sooner it is in time.
    let AlarmRule::Failures {
        share, failures, ..
    } = rule
    else {
        unreachable!("a rule of failures");
    };
    let in_time = AlarmRule::Failures {
        share,
        bad: 20,
        of: 30,
        failures,
    };
    let r = with_alarm(in_time, Some(true));
    assert_eq!(row(&r, "slow").outcome, AlarmOutcome::Fired);
}

#[test]
fn a_burn_rate_alarm_is_late_against_its_formula() {
    // All fails, but only from 32 s on: the formula, which knows the mean of
    // the impact alone, expects the alarm far sooner.
    let mut s = Synthetic::az_power_off();
    s.run.slo = SloSpec::default();
    for o in &mut s.operations {
        let due = o.due.0 / 1_000_000;
        o.outcome = Outcome::Ok { value: None };
        if due == 20_000 || (32_000..40_000).contains(&due) {
            spoil(o, ErrorClass::Server, "500", true, 1);
        }
    }
    s.run.alarms = vec![alarm("slow", burn(0.9, 20, 5, 1.0), Some(true))];
    let r = report(&s);
    let a = row(&r, "slow");
    let after = &a.after[0];
    let (fired, formula) = (after.fired_ms.unwrap(), after.formula_ms.unwrap());
    assert!(fired > 2 * formula + 2_000, "{fired} {formula}");
    assert_eq!((a.outcome, a.verdict), (AlarmOutcome::Late, Verdict::Pass));
    assert!(a.why.contains("late, its formula says"), "{}", a.why);
}

#[test]
fn a_missed_alarm_is_the_first_thing_that_is_said() {
    // 23 bad seconds never come.
    let rule = AlarmRule::Failures {
        share: 0.01,
        bad: 30,
        of: 40,
        failures: 5,
    };
    let r = with_alarm(rule, Some(true));
    let a = row(&r, "slow");
    assert_eq!(
        (a.outcome, a.verdict),
        (AlarmOutcome::Missed, Verdict::Fail)
    );
    assert!(a.firings.is_empty() && a.after[0].fired_ms.is_none());
    assert_eq!(r.overall.ending, Ending::Fail);
    assert_eq!(
        r.overall.sentence,
        "Alarm slow: it should have fired and did not."
    );
    let page = gameday_reports::render::html(&r);
    for text in ["Expected, but silent: ", "</span>missed</span>"] {
        assert!(page.contains(text), "{text}");
    }
    let summary = gameday_reports::render::markdown(&r);
    assert!(summary.contains("| slow | missed |"), "{summary}");
}

#[test]
fn a_missed_alarm_of_half_a_run_is_unknown() {
    let mut s = Synthetic::az_power_off();
    s.run.alarms = vec![alarm("late", burn(0.5, 40, 30, 1.9), Some(true))];
    s.complete = false;
    let r = report(&s);
    let a = row(&r, "late");
    assert_eq!(
        (a.outcome, a.verdict),
        (AlarmOutcome::Missed, Verdict::Unknown)
    );
    assert_eq!(r.overall.ending, Ending::Inconclusive);
}

#[test]
fn what_fired_before_the_fault_was_false() {
    let mut s = Synthetic::az_power_off();
    for o in s
        .operations
        .iter_mut()
        .filter(|o| (10_000..14_000).contains(&(o.due.0 / 1_000_000)))
    {
        if o.az == "a" {
            spoil(o, ErrorClass::Server, "500", true, 1);
        }
    }
    s.run.slo = SloSpec::default();
    s.run.alarms = vec![alarm("told", AlarmRule::default(), None)];
    let r = report(&s);
    assert_eq!(row(&r, "told").outcome, AlarmOutcome::False);
    assert_eq!(row(&r, "told").firings[0].injection, None);
}

#[test]
fn the_standard_set_says_what_production_would_see() {
    let mut s = Synthetic::az_power_off();
    s.run.slo = SloSpec {
        write_availability: Some(0.999),
        ..SloSpec::default()
    };
    let r = report(&s);
    let of = |source| {
        r.alarms
            .iter()
            .filter(|a| a.source == source)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(AlarmSource::Standard).len(), 4);
    assert_eq!(of(AlarmSource::Scaled).len(), 4);
    // Writes missed a third and more from 20 to 41.6 s. The budget of the hour:
    // 14.4 × 0.1 % × 3600 s = 51.84 s of full outage are not reached; with the
    // formula's clean past the factor of 3 d/6 h neither.
    let page = of(AlarmSource::Standard)[0];
    assert_eq!(
        (page.severity.as_str(), page.outcome),
        ("page", AlarmOutcome::Quiet)
    );
    assert_eq!(page.after[0].formula_ms, None);
    // Scaled to 55 s, they fire within seconds.
    let page = of(AlarmSource::Scaled)[0];
    assert_eq!(page.outcome, AlarmOutcome::Fired, "{}", page.why);
    // By what was due in the first second; the last write of it is due at 20.390 s and given up
    // 2 s later.
    assert_eq!(page.firings[0].at, ms(21_000));
    assert_eq!(page.after[0].fired_ms, Some(2_390));
    assert!(page.after[0].formula_ms.unwrap() < 1_000);
    // None of them decides the run: the objective does.
    assert!(r.alarms.iter().all(|a| a.verdict == Verdict::Pass));
}
