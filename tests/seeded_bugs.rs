//! Three stores that are broken on purpose, each found and named by the
//! playbook that must find it. Run with `--features seeded-bugs`;
//! `GAMEDAY_HONEST_SEEDS=10` also runs the same playbooks that often against
//! the honest store.

mod support;

use std::path::Path;
use std::time::Duration;
use support::*;

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

/// The names of the anomalies in a run's verdict.
fn anomalies(folder: &Path) -> Vec<String> {
    json(&folder.join("verdict.json"))["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .flat_map(|c| c["anomalies"].as_array().cloned().unwrap_or_default())
        .map(|a| a["name"].as_str().expect("a name").to_string())
        .collect()
}

fn found(bug: &str, playbook: &str, anomaly: &str) {
    let _one = alone();
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

#[test]
fn acknowledged_before_fdatasync() {
    found("ack-before-fsync", "region-power-off", "lost write");
}

#[test]
fn acknowledged_before_the_quorum() {
    found("ack-before-quorum", "az-partition", "lost write");
}

#[test]
fn strong_reads_from_a_deposed_leader() {
    found("stale-leader-read", "az-partition", "stale read");
}

#[test]
fn the_honest_store_passes_the_same_playbooks() {
    let _one = alone();
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
