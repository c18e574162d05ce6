//! A synthetic run whose truth is known, from folder to pages.

use crate::common::*;
use crate::pages::sound_page;
use crate::truth::*;
use gameday_record::*;
use gameday_reports::render::html;
use gameday_reports::report::{Ending, Report};
use gameday_reports::{Kind, assemble, render_all, terminal};
use std::time::Duration;

fn report(s: &Synthetic) -> Report {
    let dir = tempfile::tempdir().unwrap();
    assemble(&s.write(&dir.path().join("run"))).unwrap()
}

#[test]
fn without_objectives_no_promise_is_said_to_have_held() {
    let mut s = Synthetic::az_power_off();
    let begins = |s: &Synthetic, with: &str| {
        let r = report(s);
        assert_eq!(r.overall.ending, Ending::Pass, "{:?}", r.overall.reasons);
        let sentence = r.overall.sentence;
        assert!(sentence.starts_with(with), "{sentence}");
        assert!(
            sentence.contains(" in AZs that no fault touched, 96.3 % of writes"),
            "{sentence}"
        );
        assert!(sentence.contains("no acknowledged write"), "{sentence}");
    };
    begins(&s, "Everything promised held:");
    s.run.slo = SloSpec::default();
    begins(&s, "No objective was set:");
}

/// Where nothing was written and nothing was asked of the data, no sentence says that they are whole.
#[test]
fn data_that_nobody_judged_are_not_said_to_be_intact() {
    let mut s = Synthetic::healthy();
    s.run.slo = SloSpec::default();
    // Four calls of ten were writes: there are none, and none were due.
    s.operations.retain(|o| !o.call.is_write());
    s.run.workload.rate *= 0.6;
    s.verdict = Some(DataVerdict::new(vec![check(
        DataVerdict::NOT_JUDGED,
        Verdict::Pass,
        "Every check was left out.",
    )]));
    let r = report(&s);
    assert_eq!(r.overall.ending, Ending::Pass, "{:?}", r.overall.reasons);
    let sentence = &r.overall.sentence;
    assert!(
        sentence.ends_with("nothing was written that could be missing."),
        "{sentence}"
    );
    let said = terminal(&r, "report.html", false);
    assert!(said.contains("  data              not judged"), "{said}");
    let page = html(&r);
    assert!(page.contains("Data</div><div class=\"n\">not judged") && !page.contains(">intact<"));
}

#[test]
fn numbers_are_the_truth() {
    let r = report(&Synthetic::az_power_off());
    assert_eq!(r.overall.ending, Ending::Pass, "{:?}", r.overall.reasons);
    assert_eq!(r.overall.exit_code, 0);
    assert_eq!(r.overall.verdict, Verdict::Pass);

    // 8 of 20 operations a second are writes: 55 s × 8 × 9 pairs. Endpoint b
    // misses seconds 20 to 41 (22 × 8) of three canaries; the six other pairs
    // those of seconds 20 and 21, due in the first 0.4 s of each.
    let w = &r.headline.write;
    assert_eq!(w.all.attempts(), 3960);
    assert_eq!(w.all.missed(), 3 * 22 * 8 + 6 * 2 * 8);
    assert_eq!(w.text, "84.2 %");
    // Of the four pairs without AZ b only the last counts.
    assert_eq!(w.untouched.attempts(), 4 * 55 * 8);
    assert_eq!(w.untouched.missed(), 4 * 2 * 8);

    let cell = |az: &str, endpoint: &str, kind| {
        let c = r
            .cells
            .iter()
            .find(|c| c.az == az && c.endpoint == endpoint && c.kind == kind)
            .unwrap();
        (c.counts.missed(), c.touched, c.missed.clone())
    };
    assert_eq!(r.cells.len(), 27);
    assert_eq!(cell("a", "b", Kind::Write), (176, true, vec![(20, 42)]));
    assert_eq!(cell("a", "c", Kind::Write), (16, false, vec![(20, 22)]));
    assert_eq!(cell("b", "c", Kind::EventualRead), (0, true, vec![]));

    // The last write answered before is due at 19.390 s, the next at 22.000 s, and both are
    // answered within 20 ms; those between are due from 20.000 s on.
    let gap = r.headline.write_gap.unwrap();
    let want = longest_write_gap(&Synthetic::az_power_off().operations);
    assert_eq!((gap.from, gap.to), want);
    assert!(gap.from > ms(19_390) && gap.from < ms(19_410));
    assert!(gap.to > ms(22_000) && gap.to < ms(22_020));
    let doomed = r.headline.doomed_writes.unwrap();
    assert_eq!((doomed.from, doomed.to), (ms(20_000), ms(22_000)));

    let i = &r.injections[0];
    let x = i.impact.as_ref().unwrap();
    // The last miss through b is due at 41.585 s; the revert was carried out at 40.0 s and
    // proven at 40.4 s.
    assert_eq!(x.recovery.ms, Some(1_586));
    assert_eq!(x.revert_proof_ms, Some(400));
    // Elsewhere the last miss, a strong read, is due at 21.490 s.
    assert_eq!(x.elsewhere.ms, Some(1_491));
    // The first doomed call is due as the act is carried out. None is known to have failed
    // before its timeout of 2 s, but for those that are refused: the first is due at 20.805 s
    // and refused a millisecond later.
    assert_eq!((x.first_impact_ms, x.detected_ms), (Some(0), Some(806)));
    assert_eq!(x.alarmed, None);
    let writes = &x.kinds[0];
    assert_eq!((writes.kind, writes.unknown), (Kind::Write, 6 * 2 * 8));
    assert_eq!(writes.failed, 3 * 22 * 8);
    let outage = writes.outage.as_ref().unwrap();
    assert_eq!(outage.endpoint, "b");
    // First miss of a pair at 20.0 s + its phase, last at 41.350 + phase;
    // successes around it at 19.350 and 42.000 + phase.
    assert_eq!((outage.low_ms, outage.high_ms), (21_350, Some(22_650)));

    assert_eq!(r.series.points.len(), 55);
    assert_eq!(r.series.points[15].write.answered, 0);
    assert_eq!(r.series.points[14].write.missed(), 0);
    let refused = &r.errors[0];
    assert_eq!(
        (refused.class.as_str(), refused.outcome.as_str()),
        ("refused", "failed")
    );
    assert_eq!(r.latency.len(), 9);
    for l in &r.latency {
        assert!(l.p50_us <= l.p90_us && l.p90_us <= l.p99_us && l.p99_us <= l.max_us);
    }
    let during = r
        .latency
        .iter()
        .find(|l| l.segment == "during faults")
        .unwrap();
    assert_eq!(during.p99_all_us, None);
    assert_eq!(r.trust.asked_rate, 180.0);
    assert!((r.trust.sent_rate - 180.0).abs() < 0.5);
}

#[test]
fn a_gap_that_was_proven_to_be_over_is_told_and_no_doubt() {
    let mut s = Synthetic::az_power_off();
    let held = |l: &TimelineLine| matches!(&l.event, TimelineEvent::Proof { side, .. } if *side == ProofSide::Held);
    let place = s.timeline.iter().position(held).unwrap();
    let since = s.timeline[place].time - Duration::from_millis(4_200);
    let gap = |injections| TimelineEvent::Gap {
        units: vec!["storage-b1".into()],
        since,
        injections,
        text: "the agent of <storage-b1> was started anew".into(),
    };
    let time = s.timeline[place].time - Duration::from_secs(1);
    for (n, event) in [gap(vec![1]), gap(vec![])].into_iter().enumerate() {
        s.timeline.insert(place + n, TimelineLine { time, event });
    }
    let r = report(&s);
    assert_eq!(r.overall.ending, Ending::Pass, "{:?}", r.overall.reasons);
    let gaps = &r.injections[0].gaps;
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].length(), "for up to 4.2 s");
    let notes = r.notes.iter().filter(|n| n.text.starts_with("A gap from"));
    assert_eq!(notes.count(), 2);
    let page = html(&r);
    assert!(page.contains("the agent of &lt;storage-b1&gt; was started anew"));
    assert!(page.contains("in force again"));
    let markdown = gameday_reports::render::markdown(&r);
    assert!(
        markdown.contains("was not known to be in force on links of storage-b1 for up to 4.2 s")
    );

    // Without a proof behind it, it says so.
    s.timeline.retain(|l| !held(l));
    let r = report(&s);
    assert_eq!(r.overall.ending, Ending::Inconclusive);
    let page = html(&r);
    assert!(page.contains("and was not proven to be again"));
}

#[test]
fn every_doubt_is_inconclusive_and_said() {
    let with = |change: &dyn Fn(&mut Synthetic)| {
        let mut s = Synthetic::az_power_off();
        change(&mut s);
        report(&s)
    };
    let drop_event = |s: &mut Synthetic, f: &dyn Fn(&TimelineEvent) -> bool| {
        s.timeline.retain(|l| !f(&l.event));
    };
    let set_proof = |s: &mut Synthetic, wanted: ProofSide, verdict: Verdict| {
        for l in &mut s.timeline {
            if let TimelineEvent::Proof { side, proof, .. } = &mut l.event
                && *side == wanted
            {
                proof.verdict = verdict;
            }
        }
    };
    let end = |s: &mut Synthetic, new: RunState, why: &str| {
        for l in &mut s.timeline {
            if let TimelineEvent::Ended { state, reason } = &mut l.event {
                *state = new;
                *reason = Some(why.into());
            }
        }
    };
    type Case<'a> = (&'a str, Ending, Box<dyn Fn(&mut Synthetic) + 'a>);
    let cases: Vec<Case<'_>> = vec![
        (
            "no end marker",
            Ending::Inconclusive,
            Box::new(|s| s.complete = false),
        ),
        (
            "no verdict.json",
            Ending::Inconclusive,
            Box::new(|s| s.verdict = None),
        ),
        (
            "k3: gave up",
            Ending::Inconclusive,
            Box::new(|s| {
                s.verdict.as_mut().unwrap().checks[1] =
                    check("linearizability", Verdict::Unknown, "k3: gave up.");
            }),
        ),
        (
            "1 call was refused by the canary's own fault, which says nothing about the service: \
             400 ExpiredTokenException",
            Ending::Inconclusive,
            Box::new(|s| {
                let answered = s.operations.iter_mut().rev().find(|o| o.outcome.answered());
                answered.unwrap().outcome = Outcome::Failed {
                    failure: Failure {
                        class: ErrorClass::Misconfigured,
                        message: "400 ExpiredTokenException".into(),
                    },
                    observed: None,
                };
            }),
        ),
        (
            "timeline has no end",
            Ending::Inconclusive,
            Box::new(|s| drop_event(s, &|e| matches!(e, TimelineEvent::Ended { .. }))),
        ),
        (
            "did not take effect",
            Ending::Inconclusive,
            Box::new(|s| set_proof(s, ProofSide::Injected, Verdict::Fail)),
        ),
        (
            "could not be proven that power-off on az b (injection 1) took effect",
            Ending::Inconclusive,
            Box::new(|s| set_proof(s, ProofSide::Injected, Verdict::Unknown)),
        ),
        (
            "ended before its revert",
            Ending::Inconclusive,
            Box::new(|s| set_proof(s, ProofSide::Held, Verdict::Fail)),
        ),
        (
            "could not be proven that power-off on az b (injection 1) was in force to its end",
            Ending::Inconclusive,
            Box::new(|s| set_proof(s, ProofSide::Held, Verdict::Unknown)),
        ),
        (
            "was not proven that power-off on az b (injection 1) was in force to its end",
            Ending::Inconclusive,
            Box::new(|s| {
                drop_event(s, &|e| {
                    matches!(
                        e,
                        TimelineEvent::Proof {
                            side: ProofSide::Held,
                            ..
                        }
                    )
                });
            }),
        ),
        (
            "could not be proven that power-off on az b (injection 1) is gone",
            Ending::Inconclusive,
            Box::new(|s| set_proof(s, ProofSide::Reverted, Verdict::Unknown)),
        ),
        (
            "was not proven that power-off on az b (injection 1) took effect",
            Ending::Inconclusive,
            Box::new(|s| {
                drop_event(s, &|e| {
                    matches!(
                        e,
                        TimelineEvent::Proof {
                            side: ProofSide::Injected,
                            ..
                        }
                    )
                });
            }),
        ),
        (
            "still in force",
            Ending::NotClean,
            Box::new(|s| set_proof(s, ProofSide::Reverted, Verdict::Fail)),
        ),
        (
            "nothing says that power-off on az b (injection 1) was reverted",
            Ending::NotClean,
            Box::new(|s| drop_event(s, &|e| matches!(e, TimelineEvent::Reverted { .. }))),
        ),
        (
            "could not be reverted: no daemon",
            Ending::NotClean,
            Box::new(|s| {
                for l in &mut s.timeline {
                    if let TimelineEvent::Reverted { id } = l.event {
                        l.event = TimelineEvent::RevertFailed {
                            id,
                            error: "no daemon".into(),
                        };
                    }
                }
            }),
        ),
        (
            "baseline unhealthy",
            Ending::Inconclusive,
            Box::new(|s| end(s, RunState::Failed, "baseline unhealthy")),
        ),
        (
            "The run was stopped: too many errors",
            Ending::Stopped,
            Box::new(|s| end(s, RunState::Stopped, "too many errors")),
        ),
        (
            "interrupted: SIGINT",
            Ending::Interrupted,
            Box::new(|s| end(s, RunState::Interrupted, "SIGINT")),
        ),
        (
            "did not send",
            Ending::Inconclusive,
            Box::new(|s| {
                for o in s.operations.iter_mut().step_by(500) {
                    spoil(o, ErrorClass::Unsent, "too many in flight", false, 1);
                }
            }),
        ),
        (
            "a through c made",
            Ending::Inconclusive,
            Box::new(|s| {
                // A canary that falls silent in the middle.
                s.operations
                    .retain(|o| !(o.az == "a" && o.endpoint == "c" && o.due > ms(45_000)));
            }),
        ),
        (
            "no fault was injected",
            Ending::Inconclusive,
            Box::new(|s| {
                s.timeline = Synthetic::healthy().timeline;
                s.operations = healthy_operations();
            }),
        ),
        (
            "No operation was measured",
            Ending::Inconclusive,
            Box::new(|s| s.operations.clear()),
        ),
        (
            "write availability was 84.24 %",
            Ending::Fail,
            Box::new(|s| s.run.slo.write_availability = Some(0.8425)),
        ),
        (
            "longest write gap was 2.7 s",
            Ending::Fail,
            Box::new(|s| s.run.slo.max_write_gap_ms = Some(2_600)),
        ),
        (
            "recovery after the revert was 1.6 s",
            Ending::Fail,
            Box::new(|s| s.run.slo.recover_within_ms = Some(1_585)),
        ),
        ("lost write on key k17", Ending::Fail, Box::new(lost_write)),
        (
            "Left behind: 2 containers remain",
            Ending::NotClean,
            Box::new(|s| {
                let text = "not clean: 2 containers remain".into();
                let at = s.timeline.len() - 1;
                s.timeline
                    .insert(at, line(63_000, TimelineEvent::Note { text }));
            }),
        ),
        (
            "not every link carries after the last revert: b1 → a1 carries nothing",
            Ending::NotClean,
            Box::new(|s| reachability(s, Verdict::Fail)),
        ),
        (
            "could not be seen whether every link carries",
            Ending::Inconclusive,
            Box::new(|s| reachability(s, Verdict::Unknown)),
        ),
        (
            // Gravest first: a failure is not hidden by an interruption.
            "lost write on key k17",
            Ending::Fail,
            Box::new(|s| {
                lost_write(s);
                end(s, RunState::Interrupted, "SIGINT");
            }),
        ),
    ];
    for (words, ending, change) in cases {
        let r = with(&*change);
        assert_eq!(r.overall.ending, ending, "{words}: {:?}", r.overall.reasons);
        assert_eq!(r.overall.exit_code, ending.exit_code());
        assert!(
            r.overall.reasons.iter().any(|x| x.contains(words)),
            "'{words}' is not said: {:?}",
            r.overall.reasons
        );
        assert_ne!(r.overall.verdict, Verdict::Pass);
        sound_page(&html(&r));
    }
}

fn reachability(s: &mut Synthetic, verdict: Verdict) {
    let proof = Proof {
        verdict,
        evidence: vec!["b1 → a1 carries nothing".into()],
    };
    let at = s.timeline.len() - 1;
    s.timeline
        .insert(at, line(63_000, TimelineEvent::Reachability { proof }));
}

#[test]
fn a_cluster_that_does_not_recover_in_its_time_fails() {
    let mut s = Synthetic::az_power_off();
    for o in &mut s.operations {
        if o.endpoint == "b" && o.due > ms(REVERT_MS) {
            spoil(o, ErrorClass::Server, "500", true, 1);
        }
    }
    s.run.slo.write_availability = None;
    s.run.slo.read_availability = None;
    let r = report(&s);
    assert_eq!(r.overall.ending, Ending::Fail);
    assert!(r.overall.reasons[0].contains("not recovered after power-off"));
    assert_eq!(r.headline.worst_recovery_ms, None);
    // With 30 s to recover, 19.6 s of measurement cannot say.
    s.run.slo.recover_within_ms = Some(30_000);
    assert_eq!(report(&s).overall.ending, Ending::Inconclusive);
}

#[test]
fn limits_at_the_edge_hold() {
    let mut s = Synthetic::az_power_off();
    s.run.slo.write_availability = Some(0.8424);
    let (from, to) = longest_write_gap(&s.operations);
    let gap = to.since(from).as_nanos().div_ceil(1_000_000) as u64;
    s.run.slo.max_write_gap_ms = Some(gap);
    s.run.slo.recover_within_ms = Some(1_586);
    let r = report(&s);
    assert_eq!(r.overall.ending, Ending::Pass, "{:?}", r.overall.reasons);
}

#[test]
fn a_late_revert_makes_it_clean_and_a_cooldown_too_short_is_not_a_recovery() {
    let mut s = Synthetic::az_power_off();
    let undone = |e: &TimelineEvent| {
        matches!(e, TimelineEvent::Reverted { .. })
            || matches!(
                e,
                TimelineEvent::Proof {
                    side: ProofSide::Reverted,
                    ..
                }
            )
    };
    s.timeline.retain(|l| !undone(&l.event));
    // What `gameday revert` appends after the end.
    s.timeline
        .push(line(90_000, TimelineEvent::Reverted { id: 1 }));
    s.timeline.push(line(
        91_000,
        TimelineEvent::Proof {
            id: 1,
            side: ProofSide::Reverted,
            proof: proof(Verdict::Pass, "gone"),
        },
    ));
    let r = report(&s);
    assert_eq!(
        r.overall.ending,
        Ending::Inconclusive,
        "{:?}",
        r.overall.reasons
    );
    assert_eq!(r.headline.worst_recovery_ms, None);
    assert_eq!(r.run.duration, ms(TO_MS + 4_000));
}

#[test]
fn an_interrupted_run_still_has_a_report() {
    for cut_ms in [2_000, 12_000, 20_020, 30_000, 40_200] {
        let mut s = Synthetic::az_power_off();
        s.complete = false;
        s.verdict = None;
        s.operations.retain(|o| o.due < ms(cut_ms));
        s.timeline.retain(|l| l.time < ms(cut_ms));
        let dir = tempfile::tempdir().unwrap();
        let folder = s.write(&dir.path().join("run"));
        // Torn last lines, as a killed writer leaves them.
        for path in [folder.history(), folder.timeline()] {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.extend_from_slice(b"{\"time\":");
            std::fs::write(&path, bytes).unwrap();
        }
        let r = assemble(&folder).unwrap();
        render_all(&folder, &r).unwrap();
        sound_page(&std::fs::read_to_string(folder.report_html()).unwrap());
        assert_ne!(r.overall.verdict, Verdict::Pass);
        let clean = cut_ms <= 12_000 || cut_ms > 40_000;
        assert_eq!(r.overall.ending == Ending::NotClean, !clean, "{cut_ms}");
        assert!(r.slo.iter().all(|row| row.verdict != Verdict::Pass));
    }
}

#[test]
fn cleaning_up_after_an_interruption_is_not_an_outage() {
    let mut s = Synthetic::healthy();
    s.operations.retain(|o| o.due < ms(30_000));
    s.timeline.retain(|l| l.time < ms(30_000));
    let state = RunState::Interrupted;
    s.timeline.push(line(
        45_000,
        TimelineEvent::Phase {
            phase: Phase::Down,
            cpu_wait_ms: None,
        },
    ));
    s.timeline.push(line(
        46_000,
        TimelineEvent::Ended {
            state,
            reason: None,
        },
    ));
    let r = report(&s);
    assert_eq!(
        r.overall.ending,
        Ending::Interrupted,
        "{:?}",
        r.overall.reasons
    );
    assert!(r.headline.write_gap.unwrap().ms() < 1_000);
    assert!(!r.overall.reasons.iter().any(|x| x.contains("missing")));
}

#[test]
fn a_folder_with_only_run_json_has_a_report_and_one_without_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path().join("run")).unwrap();
    assert!(assemble(&folder).unwrap_err().contains("run.json"));
    folder::write_json(&folder.run_json(), &info()).unwrap();
    let r = assemble(&folder).unwrap();
    assert_eq!(r.overall.ending, Ending::Inconclusive);
    sound_page(&html(&r));
    std::fs::write(folder.history(), "not a history\n").unwrap();
    std::fs::write(folder.verdict(), "{").unwrap();
    let r = assemble(&folder).unwrap();
    assert!(
        r.overall
            .reasons
            .iter()
            .any(|x| x.contains("history.jsonl"))
    );
    assert!(r.data.why.contains("verdict.json"));
}

#[test]
fn all_files_agree_and_json_reads_back() {
    let mut s = Synthetic::az_power_off();
    lost_write(&mut s);
    let dir = tempfile::tempdir().unwrap();
    let folder = s.write(&dir.path().join("run"));
    let r = assemble(&folder).unwrap();
    render_all(&folder, &r).unwrap();
    let back: Report = folder::read_json(&folder.report_json()).unwrap();
    assert_eq!(back.overall, r.overall);
    assert_eq!(back.cells, r.cells);
    assert_eq!(back.injections, r.injections);

    let xml = std::fs::read_to_string(folder.junit()).unwrap();
    // verdict, 4 objectives, 3 checks, 3 proofs, 1 revert.
    assert!(xml.contains("tests=\"12\""), "{xml}");
    assert!(
        xml.contains("failures=\"2\"") && xml.contains("errors=\"1\""),
        "{xml}"
    );
    let md = std::fs::read_to_string(folder.summary()).unwrap();
    assert!(md.starts_with("## FAIL · Power off one AZ"));
    assert!(md.contains("**lost write** on k17") && md.contains("84.2 %"));
    let end = terminal(&r, "runs/x/report.html", false);
    assert!(end.starts_with("FAIL  The data are wrong: lost-writes found lost write on key k17."));
    assert!(
        end.contains("96.3 % in AZs that no fault touched")
            && end.ends_with("report            runs/x/report.html\n")
    );
    assert!(terminal(&r, "x", true).starts_with("\x1b[1;31mFAIL\x1b[0m"));
}

/// The longest time between two completions of answered writes, in whole milliseconds, rounded up.
pub fn longest_write_gap(operations: &[Operation]) -> (Nanos, Nanos) {
    let writes = operations.iter().filter(|o| o.call.is_write());
    let mut ends: Vec<Nanos> = writes
        .filter(|o| matches!(o.outcome, Outcome::Ok { .. }))
        .filter_map(|o| o.returned)
        .collect();
    ends.sort();
    let gaps = ends.windows(2).map(|w| (w[0], w[1]));
    gaps.max_by_key(|(a, b)| b.since(*a)).unwrap()
}

/// Turns the verdict into a lost write with the operations that show it.
pub fn lost_write(s: &mut Synthetic) {
    let record =
        |index, what: &str, from: u64, to: Option<u64>, outcome: &str| verdict::OperationRecord {
            index,
            process: index,
            az: "a".into(),
            endpoint: "c".into(),
            table: String::new(),
            what: what.into(),
            invoked: ms(from),
            returned: to.map(ms),
            outcome: outcome.into(),
        };
    let mut lost = check("lost-writes", Verdict::Fail, "60 keys were read back.");
    lost.anomalies_total = 1;
    lost.anomalies = vec![Anomaly {
        name: "lost write".into(),
        key: "k17".into(),
        summary: "The acknowledged write of 4711 is not in the final state, and no later write explains it.".into(),
        operations: vec![
            record(4012, "write 4711", 19_950, Some(19_953), "ok"),
            record(4100, "write 4720", 20_010, None, "unknown"),
            record(9001, "read found 4650", 61_000, Some(61_002), "ok"),
        ],
        violates: "durability".into(),
        around: vec![],
    }];
    s.verdict = Some(DataVerdict::new(vec![
        lost,
        check(
            "linearizability",
            Verdict::Unknown,
            "k3: gave up after 60 s.",
        ),
        check(
            "replicas-equal",
            Verdict::Pass,
            "6 partitions, 18 replicas.",
        ),
    ]));
}
