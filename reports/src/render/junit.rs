//! `junit.xml`: one test case per objective, expected alarm, check, proof and
//! revert, so that any CI shows what failed by name.

use super::anomaly;
use crate::report::{Ending, Report, SloRow};
use gameday_record::Verdict;
use quick_junit::{NonSuccessKind, Property, Report as Junit, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Alarms that become test cases.
const MAX_ALARMS: usize = 500;

/// Renders it.
///
/// # Errors
/// The XML writer's.
pub fn junit(report: &Report) -> Result<String, String> {
    let mut suite = TestSuite::new(report.run.playbook.as_str());
    suite.set_time(Duration::from_nanos(report.run.duration.0));
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(&report.run.started_utc) {
        suite.set_timestamp(at);
    }
    for (name, value) in [
        ("run", report.run.id.clone()),
        ("seed", report.run.seed.to_string()),
        ("runtime", report.run.runtime.clone()),
        ("command", report.run.command.clone()),
        ("report", "report.html".into()),
    ] {
        suite.add_property(Property::new(name, value));
    }
    let o = &report.overall;
    // Few tools show properties; the text of a failure is shown by all.
    let again = format!("run again: {}", report.run.command);
    let reasons = o.reasons.iter().chain([&again]).cloned();
    suite.add_test_case(case(
        "run",
        "verdict",
        match o.ending {
            Ending::Pass => Verdict::Pass,
            Ending::Fail | Ending::NotClean => Verdict::Fail,
            Ending::Inconclusive | Ending::Stopped | Ending::Interrupted => Verdict::Unknown,
        },
        &o.sentence,
        &reasons.collect::<Vec<_>>().join("\n"),
    ));
    for r in &report.slo {
        suite.add_test_case(case(
            "slo",
            &format!("{} {}", r.objective, r.limit),
            r.verdict,
            &format!("{}, {} expected", r.observed, r.limit),
            &both(r),
        ));
    }
    for a in report.alarms.iter().take(MAX_ALARMS) {
        // Only what somebody expects, or what went wrong, is an assertion.
        if a.expect.is_some() || a.verdict != Verdict::Pass {
            let should = if a.expect == Some(false) {
                "stays quiet"
            } else {
                "fires"
            };
            suite.add_test_case(case(
                "alarm",
                &format!("{} {should}", a.name),
                a.verdict,
                &a.why,
                &a.rule_text,
            ));
        }
    }
    if report.data.checks.is_empty() {
        suite.add_test_case(case(
            "data",
            "data",
            report.data.verdict,
            &report.data.why,
            "",
        ));
    }
    for c in &report.data.checks {
        let anomalies: Vec<_> = c
            .anomalies
            .iter()
            .map(|a| {
                let mut text = format!("{} on {}: {}", a.name, a.key, a.summary);
                for o in anomaly::operations(a).0 {
                    text.push_str("\n  ");
                    text.push_str(&anomaly::line(o));
                }
                for i in anomaly::overlapping(a, &report.injections) {
                    text.push_str("\n  in force: ");
                    text.push_str(&anomaly::in_force(i));
                }
                text
            })
            .collect();
        let first = c.anomalies.first();
        let first = first.map(|a| format!("{} on {}: {}", a.name, a.key, a.summary));
        suite.add_test_case(case(
            "data",
            &c.name,
            c.verdict,
            first.as_ref().unwrap_or(&c.detail),
            &anomalies.join("\n"),
        ));
    }
    if let Some(seen) = &report.reachability {
        let evidence = seen.proof.evidence.join("\n");
        suite.add_test_case(case(
            "injection",
            "after the last revert every link carries",
            seen.proof.verdict,
            evidence.lines().next().unwrap_or("no evidence"),
            &evidence,
        ));
    }
    for i in &report.injections {
        let name = crate::overall::name(i);
        for (proof, what) in [
            (&i.proof_injected, "takes effect"),
            (&i.proof_held, "is in force to its end"),
            (&i.proof_reverted, "is gone"),
        ] {
            let (verdict, evidence) = match proof {
                Some(p) => (p.proof.verdict, p.proof.evidence.join("\n")),
                None => (Verdict::Unknown, "no proof was recorded".into()),
            };
            suite.add_test_case(case(
                "injection",
                &format!("{name} {what}"),
                verdict,
                evidence.lines().next().unwrap_or("no evidence"),
                &evidence,
            ));
        }
        let reverted = if i.reverted.is_some() && i.revert_error.is_none() {
            Verdict::Pass
        } else {
            Verdict::Fail
        };
        suite.add_test_case(case(
            "clean",
            &format!("{name} is reverted"),
            reverted,
            i.revert_error
                .as_deref()
                .unwrap_or("nothing says that it was reverted"),
            &i.injection.undo,
        ));
    }
    let mut junit = Junit::new("gameday");
    junit.add_test_suite(suite);
    junit.to_string().map_err(|e| format!("junit.xml: {e}"))
}

/// Both numbers of an objective, and the doubt if there is one.
fn both(r: &SloRow) -> String {
    if r.all_text.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "all pairs {}, untouched pairs {}",
        r.all_text, r.untouched_text
    );
    if !r.doubt.is_empty() {
        text.push('\n');
        text.push_str(&r.doubt);
    }
    text
}

/// Unknown is an error and not a skip: tools show skipped cases as green.
fn case(class: &str, name: &str, verdict: Verdict, message: &str, text: &str) -> TestCase {
    let status = match verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail | Verdict::Unknown => {
            let kind = if verdict == Verdict::Fail {
                NonSuccessKind::Failure
            } else {
                NonSuccessKind::Error
            };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(message);
            status.set_type(super::verdict_word(verdict));
            if !text.is_empty() {
                status.set_description(text);
            }
            status
        }
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
    case
}
