//! Game days on local processes, with the real binary.

use crate::histories;
use crate::support::*;
use std::process::Stdio;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);

pub fn a_partition_is_survived_proven_and_reported() {
    let day = Short::new("process", &step("partition", "{ az = \"b\" }", 6));
    let done = finish(&mut day.command(), LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let (folder, _) = day.folder();
    for file in [
        "run.json",
        "history.jsonl",
        "timeline.jsonl",
        "report.html",
        "summary.md",
        "junit.xml",
    ] {
        let size = std::fs::metadata(folder.join(file))
            .map(|m| m.len())
            .unwrap_or(0);
        assert!(size > 100, "{file} has {size} bytes");
    }
    let verdict = json(&folder.join("verdict.json"));
    for check in verdict["checks"].as_array().expect("checks") {
        assert_eq!(check["verdict"], "pass", "{check}");
    }
    let names: Vec<_> = verdict["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    for name in [
        "lost-writes",
        "linearizability",
        "eventual-reads",
        "replicas-equal",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let timeline = std::fs::read_to_string(folder.join("timeline.jsonl")).unwrap();
    let passes = timeline.matches("\"verdict\":\"pass\"").count();
    assert!(
        passes >= 2,
        "both sides of the injection are proven:\n{timeline}"
    );

    let stale = histories::staleness_is_what_the_operations_show(&folder);
    assert!(stale > 0, "who was cut off read what was there before");

    // An old run can be judged and rendered again.
    std::fs::remove_file(folder.join("report.html")).unwrap();
    let again = finish(gameday().arg("report").arg(&folder), LIMIT);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert!(folder.join("report.html").exists());
    let checked = finish(gameday().arg("check").arg(&folder), LIMIT);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));

    // It did not fail: there is nothing to shrink.
    let shrunk = finish(gameday().arg("shrink").arg(&folder), LIMIT);
    assert_eq!(shrunk.status.code(), Some(64), "{}", text(&shrunk));

    // A history that lost its end marker is never a pass.
    let history = std::fs::read_to_string(folder.join("history.jsonl")).unwrap();
    let cut: Vec<_> = history.lines().take(history.lines().count() - 1).collect();
    let torn = day.dir.path().join("torn.jsonl");
    std::fs::write(&torn, cut.join("\n") + "\n").unwrap();
    let checked = finish(gameday().arg("check").arg(&torn), LIMIT);
    assert_eq!(checked.status.code(), Some(2), "{}", text(&checked));
}

/// Exit code 3, with the fault reverted, the data judged and the report written.
pub fn an_alarm_that_is_a_stop_condition_ends_the_run() {
    let alarm = "\n[[alarm]]\nname = \"customers notice\"\nstop = true\nexpect = true\n\
                 failures = { above = \"50%\", bad = 2, of = 4, at_least = 5 }";
    let step = step("partition", "{ az = \"b\" }", 60) + alarm;
    let day = Short::new("process", &step);
    let done = finish(&mut day.command(), LIMIT);
    assert_eq!(done.status.code(), Some(3), "{}", text(&done));
    let (folder, _) = day.folder();
    let report = json(&folder.join("report.json"));
    assert_eq!(
        report["overall"]["ending"], "stopped",
        "{}",
        report["overall"]
    );
    assert_eq!(
        report["injections"][0]["proof_reverted"]["proof"]["verdict"],
        "pass"
    );
    let timeline = std::fs::read_to_string(folder.join("timeline.jsonl")).unwrap();
    assert!(timeline.contains("customers notice"), "{timeline}");

    // What became of writes of unknown outcome was looked for, and is looked for again.
    let resolved = |verdict: &serde_json::Value| {
        let r = &verdict["resolution"];
        let n = |name: &str| r[name].as_u64().unwrap_or_else(|| panic!("{name} in {r}"));
        assert!(n("unknown") > 0, "{r}");
        let said = n("seen") + n("logged") + n("absent") + n("open");
        assert_eq!(n("unknown"), said, "{r}");
        assert!(
            n("logged") + n("absent") > 0,
            "the replicas were asked: {r}"
        );
        r.clone()
    };
    let first = resolved(&json(&folder.join("verdict.json")));
    let again = finish(gameday().arg("check").arg(&folder), LIMIT);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert_eq!(first, resolved(&json(&folder.join("verdict.json"))));
}

pub fn an_upgrade_rolls_over_the_nodes_and_back() {
    let builds = tempfile::tempdir().unwrap();
    let other = another_build(builds.path());
    let more = format!("\npause = \"1s\"\nbinary = \"{}\"", other.display());
    let step = step("rolling-upgrade", "{ role = \"storage\" }", 4) + &more;
    let day = Short::new("process", &step);
    let done = finish(&mut day.command(), LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let (folder, _) = day.folder();
    for side in ["injected", "held", "reverted"] {
        let (pass, evidence) = proofs(&folder, side);
        assert!(pass, "{side}: {evidence}");
        // Three nodes, and what the kernel says that each executes.
        assert_eq!(evidence.matches("executes sha256").count(), 3, "{evidence}");
    }
    assert_ne!(proofs(&folder, "held"), proofs(&folder, "reverted"));
}

/// The outage that the canaries saw is the one that the timeline recorded, up
/// to one probe interval at each end. Only recorded times are compared.
pub fn an_outage_is_measured_within_one_probe_interval() {
    use gameday_record::{ErrorClass, ProofSide, RunFolder, TimelineEvent};
    let day = Short::new("process", &step("kill", "{ node = \"router-b\" }", 5));
    let done = finish(day.command().args(["--history", "packed"]), LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let folder = RunFolder::at(day.folder().0);
    let timeline = folder.read_timeline().unwrap();
    let at = |what: &dyn Fn(&TimelineEvent) -> bool| {
        let line = timeline.iter().find(|l| what(&l.event));
        line.expect("it is on the timeline").time
    };
    let intent = at(&|e| matches!(e, TimelineEvent::Intent { .. }));
    let injected = at(&|e| matches!(e, TimelineEvent::Injected { .. }));
    let reverting = at(&|e| matches!(e, TimelineEvent::Reverting { .. }));
    let gone =
        at(&|e| matches!(e, TimelineEvent::Proof { side, .. } if *side == ProofSide::Reverted));
    let rate = folder.read_run().unwrap().workload.rate;
    let history = folder.read_history().unwrap();
    for az in ["a", "b", "c"] {
        let mut ops: Vec<_> = history
            .operations
            .iter()
            .filter(|o| o.az == az && o.endpoint == "b" && !o.last)
            .collect();
        ops.sort_by_key(|o| o.due);
        let dead = |i: &usize| {
            let class = ops[*i].outcome.failure().map(|f| f.class);
            matches!(class, Some(ErrorClass::Refused | ErrorClass::Reset))
        };
        let first = (0..ops.len()).find(dead).expect("calls were refused");
        let last = (0..ops.len()).rfind(dead).unwrap();
        assert!(
            ops[first..=last].iter().all(|o| !o.outcome.answered()),
            "{az}: one outage"
        );
        let (before, after) = (ops[first - 1], ops[last + 1]);
        assert!(before.due <= injected, "{az}: answered after the kill");
        assert!(
            ops[first].returned.unwrap() >= intent,
            "{az}: dead too early"
        );
        assert!(
            ops[last].due <= gone,
            "{az}: dead after it was proven alive"
        );
        assert!(
            after.returned.unwrap() >= reverting,
            "{az}: alive too early"
        );
        let low = ops[last].due.0 - ops[first].due.0;
        let high = after.due.0 - before.due.0;
        let most = (2.0 / rate * 1e9) as u64 + 1_000;
        assert!(high - low <= most, "{az}: {low} to {high} ns");
    }
    histories::a_packed_one_says_what_its_lines_say(folder.path());
}

pub fn a_wrong_playbook_is_refused_with_all_its_errors() {
    let dir = tempfile::tempdir().unwrap();
    let book = playbook(
        dir.path(),
        "fault = \"power-of\"\ntarget = { az = \"b\", node = \"x\" }\nat = \"PT5S\"\nfor = \"0s\"\nforr = 1",
    );
    for command in ["plan", "run"] {
        let done = finish(gameday().arg(command).arg(&book), Duration::from_secs(30));
        assert_eq!(done.status.code(), Some(64), "{}", text(&done));
        let said = text(&done);
        for part in ["power-of", "power-off", "PT5S", "forr", "short.toml:"] {
            assert!(said.contains(part), "'{part}' in:\n{said}");
        }
    }
    let done = finish(
        gameday().args(["run", "no-such.toml"]),
        Duration::from_secs(30),
    );
    assert_eq!(done.status.code(), Some(64), "{}", text(&done));
}

pub fn boto3_works_against_a_kept_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let Some(python) = boto3(dir.path()) else {
        return;
    };
    let up = finish(
        gameday()
            .args([
                "cluster",
                "up",
                "--runtime",
                "process",
                "--storage-nodes-per-az",
                "1",
                "--out",
            ])
            .arg(dir.path()),
        LIMIT,
    );
    assert_eq!(up.status.code(), Some(0), "{}", text(&up));
    let said = text(&up);
    let endpoint = said
        .split_whitespace()
        .find(|w| w.starts_with("http://"))
        .unwrap_or_else(|| panic!("an endpoint in:\n{said}"))
        .to_string();
    let status = finish(gameday().args(["cluster", "status"]), LIMIT);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/tests/boto3_smoke.py");
    let smoke = finish(
        std::process::Command::new(python)
            .arg(script)
            .arg(&endpoint),
        LIMIT,
    );
    let id = run_folder_named(dir.path(), "cluster");
    let down = finish(gameday().args(["cluster", "down"]).arg(&id), LIMIT);
    assert_eq!(smoke.status.code(), Some(0), "{}", text(&smoke));
    assert!(text(&status).contains("storage-b1"), "{}", text(&status));
    assert_eq!(down.status.code(), Some(0), "{}", text(&down));
    assert_eq!(processes_of(&id), Vec::<u32>::new());
}

/// Name of the folder below `dir` that contains `part`.
fn run_folder_named(dir: &std::path::Path, part: &str) -> String {
    std::fs::read_dir(dir)
        .unwrap()
        .filter_map(|e| e.unwrap().file_name().into_string().ok())
        .find(|n| n.contains(part) && n.contains('T'))
        .expect("a cluster folder")
}

/// A Python with boto3 in a virtual environment, or `None` (said) where it cannot be had.
fn boto3(dir: &std::path::Path) -> Option<std::path::PathBuf> {
    let venv = dir.join("venv");
    let step = |what: &str, c: &mut std::process::Command| -> Option<()> {
        let ok = c
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|o| o.status.success());
        if !ok {
            assert_ne!(
                std::env::var("GAMEDAY_REQUIRE_BOTO3").as_deref(),
                Ok("1"),
                "GAMEDAY_REQUIRE_BOTO3=1, but {what} failed"
            );
            println!("skipped: {what} failed");
        }
        ok.then_some(())
    };
    step(
        "python3 -m venv",
        std::process::Command::new("python3")
            .args(["-m", "venv"])
            .arg(&venv),
    )?;
    step(
        "pip install boto3",
        std::process::Command::new(venv.join("bin/pip")).args(["install", "-q", "boto3"]),
    )?;
    Some(venv.join("bin/python"))
}
