//! Three stores that are broken on purpose, each found and named by the
//! playbook that must find it. `GAMEDAY_HONEST_SEEDS=10` also runs the same
//! playbooks that often against the honest store.

use crate::output::{SIGNALS, send};
use crate::support::marked::{Marked, marked};
use crate::support::*;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Seeds tried before a bug counts as missed.
const SEEDS: u64 = 5;

const LIMIT: Duration = Duration::from_secs(240);

fn run(playbook: &str, seed: u64, bug: Option<&str>, out: &Path) -> (Option<i32>, String) {
    let mut c = gameday();
    c.arg("run").arg(format!(
        "{}/playbooks/{playbook}.toml",
        env!("CARGO_MANIFEST_DIR")
    ));
    c.args([
        "--runtime",
        "process",
        "--plain",
        "--seed",
        &seed.to_string(),
        "--out",
    ])
    .arg(out);
    if let Some(bug) = bug {
        c.args(["--bug", bug]);
    }
    let done = finish(&mut c, LIMIT);
    (done.status.code(), text(&done))
}

fn found(bug: &str, playbook: &str, anomaly: &str) {
    let mut tried = String::new();
    for seed in 1..=SEEDS {
        let dir = tempfile::tempdir().unwrap();
        let (code, said) = run(playbook, seed, Some(bug), dir.path());
        if code == Some(1) {
            let names = anomalies(&run_folder(dir.path()));
            assert!(
                names.iter().any(|n| n == anomaly),
                "named {names:?}, not {anomaly}:\n{said}"
            );
            println!("{bug}: found by {playbook} with seed {seed} as {anomaly}");
            return;
        }
        tried.push_str(&format!("seed {seed}: exit {code:?}\n{said}\n"));
    }
    panic!("{bug} was not found by {playbook} in {SEEDS} seeds:\n{tried}");
}

pub fn acknowledged_before_fdatasync() {
    found("ack-before-fsync", "region-power-off", "lost write");
}

pub fn acknowledged_before_the_quorum() {
    found("ack-before-quorum", "az-partition", "lost write");
}

pub fn strong_reads_from_a_deposed_leader() {
    found("stale-leader-read", "az-partition", "stale read");
}

/// The nightly playbook with a smaller cluster and less time around and between its faults.
fn short_night(dir: &Path) -> std::path::PathBuf {
    let path = format!("{}/playbooks/nightly.toml", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(path).unwrap();
    let shorter = [
        ("[baseline]\nfor = \"8s\"", "[baseline]\nfor = \"4s\""),
        ("[cooldown]\nfor = \"12s\"", "[cooldown]\nfor = \"6s\""),
        ("pause = [\"3s\", \"8s\"]", "pause = [\"1s\", \"2s\"]"),
        ("for = [\"4s\", \"8s\"]", "for = [\"2s\", \"4s\"]"),
    ];
    for (long, short) in shorter {
        assert!(text.contains(long), "{long} in the nightly playbook");
        text = text.replace(long, short);
    }
    text.push_str("\n[cluster]\nstorage_nodes_per_az = 1\npartitions = 3\n");
    let book = dir.join("night.toml");
    std::fs::write(&book, text).unwrap();
    book
}

/// A night finds a bug; the line that the report prints finds it again; and of the night's
/// injections two at most are needed.
pub fn a_night_finds_a_bug_that_is_replayed_and_shrunk() {
    const BUG: &str = "ack-before-quorum";
    let dir = tempfile::tempdir().unwrap();
    let book = short_night(dir.path());
    let night = |seed: u64| {
        let out = dir.path().join(format!("runs-{seed}"));
        let mut c = gameday();
        c.arg("run").arg(&book).args(["--bug", BUG]);
        c.args(["--runtime", "process", "--plain", "--duration", "40s"]);
        c.args(["--seed", &seed.to_string(), "--out"]).arg(&out);
        let done = finish(&mut c, LIMIT);
        let lost = || {
            anomalies(&run_folder(&out))
                .iter()
                .any(|n| n == "lost write")
        };
        (done.status.code() == Some(1) && lost()).then(|| run_folder(&out))
    };
    let found = (1..=SEEDS).find_map(night).expect("a night finds it");

    // The line is in everything that people and CI look at.
    let line = json(&found.join("run.json"))["replay"]["command"].clone();
    let line = line.as_str().unwrap();
    for file in ["summary.md", "junit.xml", "report.html"] {
        let text = std::fs::read_to_string(found.join(file)).unwrap();
        assert!(text.contains(line), "{line} in {file}");
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0], "gameday", "{line}");
    let mut said = String::new();
    let again = (1..=SEEDS).any(|attempt| {
        let out = dir.path().join(format!("again-{attempt}"));
        let mut c = gameday();
        c.args(&words[1..]).args(["--plain", "--out"]).arg(&out);
        let done = finish(&mut c, LIMIT);
        said.push_str(&text(&done));
        let plan = |folder: &Path| json(&folder.join("run.json"))["plan"].clone();
        let folder = run_folder(&out);
        assert_eq!(plan(&folder), plan(&found), "the same to the byte");
        let names = anomalies(&folder);
        done.status.code() == Some(1) && anomalies(&found).iter().any(|n| names.contains(n))
    });
    assert!(again, "{line} does not find it again:\n{said}");

    let mut c = gameday();
    c.arg("shrink").arg(&found);
    let done = finish(c.args(["--budget", "8m"]), 2 * LIMIT + LIMIT / 2);
    let said = text(&done);
    println!("{said}");
    assert_eq!(done.status.code(), Some(0), "{said}");
    let minimal = found.join("shrink").join("minimal.toml");
    let steps = std::fs::read_to_string(&minimal).unwrap();
    let left = steps.matches("[[step]]").count();
    assert!(
        (1..=2).contains(&left),
        "{left} injections are left:\n{said}"
    );
    let planned = finish(gameday().arg("plan").arg(&minimal), LIMIT);
    assert_eq!(planned.status.code(), Some(0), "{}", text(&planned));

    for (number, (signal, code)) in (2..).zip(SIGNALS) {
        interrupted(
            &found,
            &found.join(format!("shrink-{number}")),
            signal,
            code,
        );
    }
}

/// A shrinking of `found` in `folder` ends with the run under way, of which nothing is left.
fn interrupted(found: &Path, folder: &Path, signal: i32, code: i32) {
    let mut c = gameday();
    let c = c.arg("shrink").arg(found).stdout(Stdio::piped());
    let child = c.stderr(Stdio::piped()).spawn().expect("it starts");
    let run = until("a run of a part", LIMIT, || {
        let part = std::fs::read_dir(folder.join("001.run-1")).ok()?.next()?;
        let run = part.ok()?.file_name().into_string().ok()?;
        let is_node = |p: &Marked| p.unit.starts_with("storage");
        marked(&run).iter().any(is_node).then_some(run)
    });
    send(&child, signal);
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(code), "{}", text(&done));
    assert!(text(&done).contains("UNFINISHED"), "{}", text(&done));
    assert_eq!(processes_of(&run), Vec::<u32>::new(), "nothing is left");
}

pub fn the_honest_store_passes_the_same_playbooks() {
    let seeds: u64 = std::env::var("GAMEDAY_HONEST_SEEDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    for playbook in ["region-power-off", "az-partition"] {
        for seed in 1..=seeds {
            let dir = tempfile::tempdir().unwrap();
            let (code, said) = run(playbook, seed, None, dir.path());
            assert_eq!(code, Some(0), "{playbook}, seed {seed}:\n{said}");
        }
    }
}
