//! The pages, looked at as a reader would: whole, bounded, escaped.

use crate::common::*;
use crate::full::fill;
use crate::report::lost_write;
use crate::truth::*;
use gameday_record::verdict::OperationRecord;
use gameday_record::*;
use gameday_reports::render::{html, junit, markdown};
use gameday_reports::report::{Ending, Report};
use gameday_reports::{assemble, render_all, terminal};

fn report(s: &Synthetic) -> Report {
    let dir = tempfile::tempdir().unwrap();
    assemble(&s.write(&dir.path().join("run"))).unwrap()
}

fn op(
    process: u64,
    endpoint: &str,
    what: &str,
    from_us: u64,
    to_us: Option<u64>,
    outcome: &str,
) -> OperationRecord {
    OperationRecord {
        index: from_us / 10,
        process,
        az: AZS[process as usize % 3].into(),
        endpoint: endpoint.into(),
        table: String::new(),
        what: what.into(),
        invoked: Nanos(from_us * 1000),
        returned: to_us.map(|t| Nanos(t * 1000)),
        outcome: outcome.into(),
    }
}

/// A run with a lost write across the fault, a stale read in it, and a check
/// that could not decide.
fn wrong_data() -> Synthetic {
    let mut s = Synthetic::az_power_off();
    let mut lost = check(
        "lost-writes",
        Verdict::Fail,
        "3960 acknowledged writes of 60 keys; every key was read at the end.",
    );
    lost.anomalies_total = 1;
    lost.anomalies = vec![Anomaly {
        name: "lost write".into(),
        key: "k17".into(),
        summary: "The acknowledged write of 4711 is not in the final state, and no later write explains it."
            .into(),
        violates: "durability".into(),
        operations: vec![
            op(812, "c", "write 4711", 19_950_210, Some(19_953_480), "ok"),
            op(815, "a", "read found 4711", 19_960_100, Some(19_961_900), "ok"),
            op(2210, "c", "read found 4650", 61_000_000, Some(61_001_700), "ok"),
        ],
        around: vec![
            op(640, "a", "write 4650", 18_200_000, Some(18_203_000), "ok"),
            op(818, "b", "write 4720", 20_010_000, Some(22_010_000), "unknown"),
            op(819, "c", "cas 4711 to 4722", 20_100_000, None, "unknown"),
            op(1100, "b", "write 4731", 30_000_000, Some(30_000_900), "failed"),
        ],
    }];
    lost.measures = vec![measure(
        "time to visibility",
        "ms",
        412,
        [1.9, 2.7, 14.8, 812.0],
    )];
    let mut order = check(
        "linearizability",
        Verdict::Fail,
        "60 keys, 7920 strong operations; 96 writes of unknown outcome.",
    );
    order.anomalies_total = 31;
    let stale = |n: u64| Anomaly {
        name: "stale read".into(),
        key: format!("k{}", 3 + n),
        summary: "Process 901 read 120 although process 902 had been told that 121 was written."
            .into(),
        violates: "linearizability".into(),
        operations: vec![
            op(900, "a", "write 120", 25_000_000, Some(25_002_100), "ok"),
            op(
                902,
                "c",
                "cas 120 to 121",
                25_004_000,
                Some(25_007_000),
                "ok",
            ),
            op(
                901,
                "b",
                "read found 120",
                25_009_000,
                Some(25_012_500),
                "ok",
            ),
        ],
        around: vec![
            op(
                902,
                "c",
                "read found 121",
                25_008_000,
                Some(25_009_900),
                "ok",
            ),
            op(
                903,
                "a",
                "read found 121",
                25_010_000,
                Some(25_011_100),
                "ok",
            ),
            op(
                901,
                "b",
                "cas 9 to 130 found 120",
                24_995_000,
                Some(24_999_000),
                "failed",
            ),
        ],
    };
    order.anomalies = (0..20).map(stale).collect();
    let mut eventual = check(
        "eventual-reads",
        Verdict::Unknown,
        "k3: gave up after 60 s; 1980 reads on 59 keys are fine.",
    );
    eventual.measures = vec![
        measure(
            "staleness of eventual reads",
            "ms",
            1980,
            [0.0, 1.2, 9.4, 240.0],
        ),
        measure(
            "staleness of eventual reads",
            "versions",
            1980,
            [0.0, 1.0, 2.0, 7.0],
        ),
        measure("time to convergence", "ms", 0, [0.0; 4]),
    ];
    s.verdict = Some(DataVerdict::new(vec![
        check(
            "replicas-equal",
            Verdict::Pass,
            "6 partitions, 18 replicas.",
        ),
        lost,
        order,
        eventual,
    ]));
    s
}

fn measure(name: &str, unit: &str, samples: u64, q: [f64; 4]) -> verdict::Measure {
    verdict::Measure {
        name: name.into(),
        unit: unit.into(),
        samples,
        p50: q[0],
        p90: q[1],
        p99: q[2],
        max: q[3],
    }
}

#[test]
fn every_anomaly_says_what_it_means_who_saw_it_and_what_was_broken() {
    let r = report(&wrong_data());
    let page = html(&r);
    for words in [
        "lost write on key <code>k17</code>",
        "A write that the store had acknowledged is gone",
        "what was acknowledged stays, whatever fails afterwards",
        "In force between the first and the last of these calls: power-off on az b (injection 1), +20.000 s to +40.000 s.",
        "write 4720: unknown, +20.010 s to +22.010 s, process 818 from c through b",
        "staleness of eventual reads",
        "7 versions",
    ] {
        assert!(page.contains(words), "'{words}' is missing");
    }
    // One lost write, four of the stale reads; the others are listed.
    assert_eq!(page.matches("<svg class=\"ops\"").count(), 5);
    assert!(page.contains("16 more") && page.contains("Only 20 of 31 are shown."));
    assert!(page.len() < 300_000, "{} bytes", page.len());
    // Failing checks come first.
    assert!(page.find("lost-writes").unwrap() < page.find("replicas-equal").unwrap());
}

#[test]
fn the_page_says_what_the_report_says() {
    let r = report(&Synthetic::az_power_off());
    let page = html(&r);
    sound_page(&page);
    assert!(page.contains("<title>PASS · write 96.3 % · az-power-off · 2026-11-23</title>"));
    for words in [
        "role=\"img\"",
        "<desc",
        "power-off az b",
        "router-b: exited (signal 9)",
        "gameday run playbooks/az-power-off.toml --seed 7",
        "prefers-color-scheme:dark",
    ] {
        assert!(page.contains(words), "'{words}' is missing");
    }
    // Every drawing colour became a class of the theme.
    assert!(!page.contains("=\"#0"));
    assert!(page.contains("class=\"s-write\""));
}

#[test]
fn seconds_without_data_are_blank() {
    let mut s = Synthetic::healthy();
    s.operations
        .retain(|o| !(30..33).contains(&(o.due.0 / 1_000_000_000)));
    let r = report(&s);
    assert_eq!(r.trust.empty_steps, 3);
    let page = html(&r);
    sound_page(&page);
    // Each lane's line is in two parts, and so are the two of latency of each kind.
    assert_eq!(page.matches("class=\"s-write\"").count(), 2 + 2 * 2);
    assert!(page.contains("3 seconds"));
}

#[test]
fn what_others_wrote_is_escaped_everywhere() {
    let evil = "<img src=x onerror=alert(1)>&\"'|`*\u{1b}[31m";
    let mut s = Synthetic::az_power_off();
    lost_write(&mut s);
    s.run.title = evil.into();
    s.run.playbook_text = format!("</pre>{evil}");
    s.run.replay.command = evil.into();
    for l in &mut s.timeline {
        if let TimelineEvent::Intent { injection } = &mut l.event {
            injection.selector = evil.into();
            injection.undo = evil.into();
        }
    }
    for o in s.operations.iter_mut().filter(|o| o.endpoint == "b") {
        if let Outcome::Failed { failure, .. } = &mut o.outcome {
            failure.message = evil.into();
        }
    }
    let a = &mut s.verdict.as_mut().unwrap().checks[0].anomalies[0];
    a.name = evil.into();
    a.key = evil.into();
    a.operations[0].what = evil.into();
    let r = report(&s);
    let page = html(&r);
    assert!(!page.contains("<img") && !page.contains("</pre><img"));
    let md = markdown(&r);
    assert!(!md.replace("    <img", "").contains("<img"), "{md}");
    assert!(!md.contains('\u{1b}'));
    let xml = junit(&r).unwrap();
    assert!(!xml.contains("<img") && !xml.contains('\u{1b}'));
    assert!(!terminal(&r, "report.html", false).contains('\u{1b}'));
}

#[test]
fn a_summary_is_never_too_large() {
    let mut r = report(&Synthetic::healthy());
    let row = r.slo[0].clone();
    r.slo = (0..5_000)
        .map(|i| gameday_reports::report::SloRow {
            name: "x".into(),
            objective: format!("objective {i} äöü"),
            observed: "1".into(),
            limit: "2".into(),
            verdict: Verdict::Pass,
            ..row.clone()
        })
        .collect();
    let md = markdown(&r);
    assert!(md.len() <= 64 * 1024 && md.contains("shortened"));
}

#[test]
fn a_long_run_is_drawn_in_larger_steps() {
    let mut s = Synthetic::healthy();
    // Twelve hours, one operation a minute and pair.
    s.run.workload.rate = 1.0 / 60.0;
    s.operations.truncate(720);
    for (i, o) in s.operations.iter_mut().enumerate() {
        let due = ms(5_000 + i as u64 * 60_000);
        (o.due, o.invoked, o.returned) = (due, due, Some(due));
    }
    for l in &mut s.timeline {
        if l.time >= ms(TO_MS) {
            l.time = Nanos(l.time.0 + 43_200_000_000_000 - ms(55_000).0);
        }
    }
    let r = report(&s);
    assert_eq!(r.series.step, 90);
    assert_eq!(r.series.points.len(), 480);
    sound_page(&html(&r));
}

/// The pages to look at: `GAMEDAY_SAMPLES=folder cargo test -p gameday-reports samples`.
#[test]
fn samples() {
    let temporary = tempfile::tempdir().unwrap();
    let root = std::env::var_os("GAMEDAY_SAMPLES")
        .map_or_else(|| temporary.path().to_path_buf(), Into::into);
    let wrong = wrong_data();
    let mut empty = Synthetic::healthy();
    empty.operations.clear();
    empty.verdict = None;
    let mut cut = Synthetic::az_power_off();
    cut.complete = false;
    cut.verdict = None;
    cut.operations.retain(|o| o.due < ms(30_000));
    cut.timeline.retain(|l| l.time < ms(30_000));
    cut.timeline.push(line(
        30_000,
        TimelineEvent::Ended {
            state: RunState::Interrupted,
            reason: Some("SIGINT".into()),
        },
    ));
    let mut many = Synthetic::az_power_off();
    // The same fault again on single nodes, short and at the edge of the chart.
    for (id, from, to) in [
        (2, 25_000, 27_000),
        (3, 44_000, 46_000),
        (4, 57_000, 59_500),
    ] {
        let mut injection = many
            .timeline
            .iter()
            .find_map(|l| match &l.event {
                TimelineEvent::Intent { injection } => Some(injection.clone()),
                _ => None,
            })
            .unwrap();
        injection.id = id;
        injection.fault = "pause".into();
        injection.selector = format!("node storage-c{}", id % 2 + 1);
        injection.targets = vec![format!("storage-c{}", id % 2 + 1)];
        injection.azs = vec!["c".into()];
        let shown = |side| TimelineEvent::Proof {
            id,
            side,
            proof: proof(Verdict::Pass, "seen"),
        };
        many.timeline.extend([
            line(from - 10, TimelineEvent::Intent { injection }),
            line(from, TimelineEvent::Injected { id }),
            line(from + 100, shown(ProofSide::Injected)),
            line(to - 100, shown(ProofSide::Held)),
            line(to, TimelineEvent::Reverted { id }),
            line(to + 100, shown(ProofSide::Reverted)),
        ]);
    }
    let end = many
        .timeline
        .iter()
        .position(|l| matches!(l.event, TimelineEvent::Ended { .. }));
    let end = many.timeline.remove(end.unwrap());
    many.timeline.push(end);
    for (name, sample, ending) in [
        ("pass", Synthetic::az_power_off(), Ending::Pass),
        ("fail", wrong, Ending::Fail),
        ("interrupted", cut, Ending::NotClean),
        // Half a second of measurement after the last revert cannot show a recovery.
        ("many", many, Ending::Inconclusive),
        ("quiet", Synthetic::healthy(), Ending::Pass),
        ("empty", empty, Ending::Inconclusive),
    ] {
        let folder = sample.write(&root.join(name));
        let r = assemble(&folder).unwrap();
        assert_eq!(r.overall.ending, ending, "{name}: {:?}", r.overall.reasons);
        render_all(&folder, &r).unwrap();
        sound_page(&std::fs::read_to_string(folder.report_html()).unwrap());
        let full = RunFolder::create(root.join(format!("{name}-full"))).unwrap();
        render_all(&full, &fill(r)).unwrap();
        sound_page(&std::fs::read_to_string(full.report_html()).unwrap());
    }
}

#[test]
fn every_part_of_a_full_report_has_its_place() {
    let r = fill(report(&Synthetic::az_power_off()));
    let page = html(&r);
    sound_page(&page);
    for words in [
        "Other AZs felt it for</div><div class=\"n\">1.5 s",
        "all well <span class=\"nw\">21.6 s</span> after the act",
        "Alarms that fired: </strong>writes fail (3.0 s after the act)",
        "Expected, but silent: </strong>reads elsewhere",
        ">Alarms<",
        "After retries, all",
        "Mean of slices",
        "an outage of 32 s to 64 s weighs most",
        "Hatched: a canary sent late",
        "promised 80 %",
        "96 writes had no certain outcome",
        "By connection: kept, or opened for one call",
        "any number: it cost nothing",
        "as production would see them",
        "Suspect seconds",
        "By AZ and endpoint",
        "What the words mean",
    ] {
        assert!(page.contains(words), "'{words}' is missing");
    }
    let xml = junit(&r).unwrap();
    assert!(xml.contains("writes fail fires") && xml.contains("reads elsewhere fires"));
    assert!(
        !xml.contains("write ticket, 1 day"),
        "nobody expects anything of it"
    );
    assert!(xml.contains("It was expected to fire, and never did."));
    let md = markdown(&r);
    assert!(md.contains("| writes fail | fired as expected |") && md.contains("reads elsewhere"));
    let end = terminal(&r, "report.html", false);
    assert!(end.contains("writes fail (3.0 s after the act)"), "{end}");
    assert!(end.contains("silent: reads elsewhere"), "{end}");
    assert!(end.lines().count() <= 10, "{end}");
}

#[test]
fn a_curve_of_few_points_is_points_and_a_sentence() {
    let mut r = fill(report(&Synthetic::az_power_off()));
    for c in &mut r.mcr {
        c.points.truncate(3);
    }
    let page = html(&r);
    sound_page(&page);
    assert!(page.contains("so no line is drawn"));
    assert!(!page.contains("hollow two"));
    r.mcr.clear();
    sound_page(&html(&r));
}

/// Puts hostile text into everything that comes from files or services.
fn poison(v: &mut serde_json::Value, key: &str, evil: &str) {
    const FREE: &[&str] = &[
        "all_text",
        "az",
        "azs",
        "command",
        "detail",
        "doubt",
        "endpoint",
        "evidence",
        "example",
        "fault",
        "features",
        "key",
        "limit",
        "limits",
        "margin",
        "name",
        "node",
        "objective",
        "observed",
        "plan",
        "playbook",
        "playbook_text",
        "reasons",
        "remarks",
        "rule_text",
        "selector",
        "sentence",
        "severity",
        "step",
        "summary",
        "table",
        "targets",
        "term",
        "text",
        "title",
        "undo",
        "unit",
        "untouched_text",
        "hurt_text",
        "never",
        "violates",
        "what",
        "who",
        "why",
        "worst_failover_note",
        "worst_recovery_note",
        "worst_total_note",
    ];
    match v {
        serde_json::Value::String(s) if FREE.contains(&key) => s.push_str(evil),
        serde_json::Value::Array(all) => all.iter_mut().for_each(|v| poison(v, key, evil)),
        serde_json::Value::Object(all) => all.iter_mut().for_each(|(k, v)| poison(v, k, evil)),
        _ => {}
    }
}

#[test]
fn no_text_of_a_report_can_become_markup() {
    let evil = "</text></svg><img src=x onerror=alert(1)>&\"'|`*\u{1b}[31m";
    let clean = fill(report(&wrong_data()));
    let mut json = serde_json::to_value(&clean).unwrap();
    poison(&mut json, "", evil);
    let r: Report = serde_json::from_value(json).unwrap();
    let page = html(&r);
    assert!(page.matches("&lt;img").count() > 300);
    assert!(!page.contains("<img") && !page.contains('\u{1b}'));
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    well_formed(&page);
    let md = markdown(&r);
    assert!(
        !md.replace("    gameday", "")
            .lines()
            .any(|l| !l.starts_with(' ') && l.contains("<img"))
    );
    assert!(md.len() <= 64 * 1024 && !md.contains('\u{1b}'));
    let xml = junit(&r).unwrap();
    assert!(!xml.contains("<img") && !xml.contains('\u{1b}'));
    assert!(!terminal(&r, "report.html", false).contains('\u{1b}'));
}

/// Every picture is XML.
fn well_formed(page: &str) {
    use quick_xml::events::Event;
    for part in page.split("<svg").skip(1) {
        let svg = format!("<svg{}</svg>", part.split("</svg>").next().unwrap());
        let mut reader = quick_xml::Reader::from_str(&svg);
        let mut depth = 0i32;
        loop {
            match reader.read_event().unwrap_or_else(|e| panic!("{e}: {svg}")) {
                Event::Start(tag) => {
                    depth += 1;
                    for a in tag.attributes() {
                        a.unwrap();
                    }
                }
                Event::Empty(tag) => {
                    for a in tag.attributes() {
                        a.unwrap();
                    }
                }
                Event::End(_) => depth -= 1,
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
    }
}

#[test]
fn pictures_are_xml() {
    for r in [
        report(&wrong_data()),
        fill(report(&wrong_data())),
        fill(report(&Synthetic::healthy())),
    ] {
        let page = html(&r);
        assert!(page.contains("<svg"));
        well_formed(&page);
    }
}

#[test]
fn numbers_that_are_none_are_never_printed() {
    let mut r = fill(report(&wrong_data()));
    for s in &mut r.sli {
        s.proven.low = Some(f64::NAN);
        s.proven_untouched.low = Some(f64::NAN);
    }
    for c in &mut r.mcr {
        c.points[2].availability = f64::NAN;
        c.points[3].availability = -1.0;
        c.points[4].window_s = 0;
    }
    for p in &mut r.projections {
        (p.cost, p.per_month) = (f64::NAN, Some(f64::INFINITY));
    }
    for row in &mut r.slo {
        row.budget_used = Some(f64::NAN);
    }
    for c in &mut r.data.checks {
        for m in &mut c.measures {
            (m.p99, m.max) = (f64::NAN, f64::INFINITY);
        }
    }
    sound_page(&html(&r));
}

#[test]
fn ten_minutes_of_eighteen_noisy_pairs_fit_in_300_kilobytes() {
    let mut r = fill(report(&wrong_data()));
    let mut noise = 7u64;
    let mut random = move || {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        noise >> 40
    };
    let sample = r.series.points[0].clone();
    r.series.points = (0..600)
        .map(|t| {
            let mut p = sample.clone();
            // Noisy while a fault is in force.
            if (t + 25) % 45 < 20 {
                p.write.failed = random() % 9;
                p.read.failed = random() % 5;
                p.eventual.failed = random() % 3;
            }
            for latency in [&mut p.write_latency, &mut p.read_latency] {
                *latency = Some(gameday_reports::report::Quantiles {
                    p50_us: 900 + random() % 300,
                    p99_us: 2_000 + random() % 90_000,
                });
            }
            p
        })
        .collect();
    r.measured.to = ms(605_000);
    let cell = r.cells[0].clone();
    r.cells = (0..54)
        .map(|i| {
            let mut c = cell.clone();
            c.az = format!("az-{}", i % 6);
            c.endpoint = format!("endpoint-{}", i / 6 % 3);
            c.kind = gameday_record::Kind::ALL[i / 18];
            c.missed = (0..60)
                .map(|n| (n * 9 + 5, n * 9 + 6 + random() % 5))
                .collect();
            c
        })
        .collect();
    let injection = r.injections[0].clone();
    r.injections = (0..12)
        .map(|n| {
            let mut i = injection.clone();
            i.injection.id = n + 1;
            (i.injected, i.reverted) = (
                Some(ms(20_000 + u64::from(n) * 45_000)),
                Some(ms(40_000 + u64::from(n) * 45_000)),
            );
            i
        })
        .collect();
    let page = html(&r);
    sound_page(&page);
}

#[test]
fn a_canary_alone_has_no_faults_to_tell_of() {
    let mut s = Synthetic::healthy();
    s.run.topology.nodes.clear();
    s.run.plan.clear();
    s.run.playbook_text.clear();
    let r = report(&s);
    assert!(r.canary_alone() && !r.faulted());
    let page = html(&r);
    sound_page(&page);
    for words in [
        "Faults and recovery",
        "ntouched pairs",
        "untouched AZs",
        "The playbook<",
        "a fault, from the act",
        "windows scaled to the run",
        "After the act",
        "after recovery",
    ] {
        assert!(!page.contains(words), "'{words}' in the page");
    }
    assert!(page.contains("a canary alone"));
    let said = terminal(&r, "report.html", false);
    assert!(!said.contains("untouched"), "{said}");
    // The same of a game day whose faults never came is not left out.
    let r = report(&Synthetic::healthy());
    assert!(!r.canary_alone());
    assert!(html(&r).contains("No fault was injected."));
}

#[test]
fn steps_can_be_asked_for_their_numbers() {
    let page = html(&report(&Synthetic::az_power_off()));
    // In the second from 20 s on only eventual reads elsewhere are answered.
    let hint =
        "<title>+20 s · writes 0 of 72 · strong reads 0 of 72 · eventual reads 24 of 36 answered";
    assert!(page.contains(hint), "no '{hint}'");
    assert!(page.contains("<title>+10 s · writes 72 of 72 "));
}

/// The kernel counts how long tasks waited for a processor: told of each phase that was measured,
/// and remarked on where they did so for most of the steps.
#[test]
fn a_busy_machine_is_told() {
    let with = |waits: fn(Phase) -> Option<f64>| {
        let mut s = Synthetic::az_power_off();
        let (mut waited, mut last) = (1_000_000.0, None);
        for l in &mut s.timeline {
            let TimelineEvent::Phase { phase, cpu_wait_ms } = &mut l.event else {
                continue;
            };
            if let Some((then, share)) = last {
                waited += l.time.since(then).as_secs_f64() * 1e3 * share;
            }
            let share = waits(*phase);
            *cpu_wait_ms = share.map(|_| waited as u64);
            last = share.map(|share| (l.time, share));
        }
        let r = report(&s);
        let page = html(&r);
        sound_page(&page);
        (r, page)
    };
    let shares = |phase| {
        Some(match phase {
            Phase::Baseline => 0.04,
            Phase::Steps => 0.63,
            _ => 0.1,
        })
    };
    let (r, page) = with(shares);
    assert!(
        page.contains("in 4 % of the baseline, 63 % of the steps, 10 % of the cooldown"),
        "{:?}",
        r.series.phases
    );
    let remark = "In 63 % of the steps some task waited for a processor";
    assert!(page.contains(remark), "{:?}", r.trust.remarks);

    let (r, page) = with(|_| Some(0.3));
    assert!(page.contains("30 % of the steps") && !page.contains("of the steps some task"));
    assert!(r.series.phases.last().unwrap().waiting.is_none());
    let (_, page) = with(|_| None);
    assert!(!page.contains("for a processor"));
}

/// A night has hundreds of injections: what is drawn and listed of them is bounded.
#[test]
fn seven_hundred_injections_and_twenty_alarms_fit_in_300_kilobytes() {
    let mut r = fill(report(&wrong_data()));
    let injection = r.injections[0].clone();
    let times = |n: u32| {
        let act = 20_000 + u64::from(n) * 120_000;
        (Some(ms(act)), Some(ms(act + 20_000)))
    };
    r.injections = (0..700)
        .map(|n| {
            let mut i = injection.clone();
            i.injection.id = n + 1;
            (i.injected, i.reverted) = times(n);
            i
        })
        .collect();
    r.series.step = 144;
    r.series.points = vec![r.series.points[0].clone(); 600];
    for c in &mut r.cells {
        c.missed = (0..700).map(|n| (20 + n * 123, 25 + n * 123)).collect();
    }
    r.measured.to = ms(86_400_000);
    let a = r.alarms[0].clone();
    r.alarms = (0..20)
        .map(|k| {
            let mut a = a.clone();
            a.name = format!("alarm {k}");
            a.after = (1..=700)
                .map(|injection| gameday_reports::report::AlarmAfter {
                    injection,
                    fired_ms: (injection > 10).then_some(2_000 + u64::from(injection)),
                    formula_ms: None,
                })
                .collect();
            a
        })
        .collect();
    let page = html(&r);
    sound_page(&page);
    let told = "it fired for 690 of 700 injections, after 2.1 s to 2.7 s";
    assert!(page.contains(told), "'{told}' is missing");
    // Marks that run into each other are one, to the end of the day.
    let mark = "0h86697v10h-86697z";
    assert!(page.contains(mark), "'{mark}' is missing");
}

/// A page that opens from disk, without the network, in any browser.
pub fn sound_page(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    for bad in [
        "http://", "https://", "NaN", ">inf", "\"inf", " inf ", "<script", "src=", "url(",
    ] {
        assert!(!page.contains(bad), "'{bad}' in the page");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.len() < 300_000, "{} bytes", page.len());
    for tag in [
        "table", "section", "details", "figure", "svg", "div", "text", "span",
    ] {
        let open =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        let close = page.matches(&format!("</{tag}>")).count();
        assert_eq!(open, close, "<{tag}> is not closed");
    }
}
