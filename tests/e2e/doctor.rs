//! What this machine can do, as `doctor` and `plan` say it.

use crate::support::*;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// A command that finds no Docker engine.
fn alone_here(args: &[&str]) -> Command {
    let mut c = gameday();
    c.args(args)
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    c
}

fn book(name: &str) -> String {
    format!("{}/playbooks/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

pub fn without_docker_processes_are_offered_and_why_is_said() {
    let done = finish(&mut alone_here(&["doctor", "--json"]), LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(found["docker"]["usable"], false);
    let why = found["docker"]["why_not"].as_str().unwrap();
    assert!(why.contains("/nowhere/docker.sock"), "{why}");
    assert_eq!(found["process"]["usable"], true);
    let faults = found["faults"].as_array().unwrap();
    assert!(!faults.is_empty());
    for row in faults {
        let runtimes = row["runtimes"].as_object().unwrap();
        let names: Vec<_> = runtimes.keys().collect();
        assert_eq!(names, ["process"], "{row}");
        let possible = &runtimes["process"];
        let told = if possible["possible"] == true {
            "by"
        } else {
            "why_not"
        };
        assert!(possible.get(told).is_some(), "{row}");
    }
    let isolate = faults.iter().find(|f| f["fault"] == "isolate").unwrap();
    assert_eq!(isolate["runtimes"]["process"]["by"][0], "proxied links");
}

pub fn where_nothing_can_run_the_exit_code_says_so() {
    let mut doctor = alone_here(&["doctor"]);
    let done = finish(doctor.env("TMPDIR", "/nowhere"), LIMIT);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done));
    assert!(
        text(&done).contains("process: no, /nowhere"),
        "{}",
        text(&done)
    );
}

pub fn a_plan_names_its_techniques_and_needs_no_docker() {
    for runtime in ["auto", "process"] {
        let args = ["plan", &book("az-power-off"), "--runtime", runtime];
        let done = finish(&mut alone_here(&args), LIMIT);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done));
        let said = text(&done);
        let technique = "made in process by signals and proxied links";
        assert!(said.contains(technique), "{said}");
    }
    let args = ["plan", &book("az-power-off"), "--runtime", "docker"];
    let done = finish(&mut alone_here(&args), LIMIT);
    assert_eq!(done.status.code(), Some(64), "{}", text(&done));
}

pub fn a_night_is_the_same_for_the_same_seed_to_the_byte() {
    let plan = |seed: &str| {
        let book = book("nightly");
        let args = ["plan", &book, "--duration", "20m", "--seed", seed];
        let done = finish(&mut alone_here(&args), LIMIT);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done));
        done.stdout
    };
    let first = plan("5");
    assert!(first.iter().filter(|b| **b == b'\n').count() > 100);
    for _ in 0..9 {
        assert_eq!(plan("5"), first);
    }
    assert_ne!(plan("6"), first);
}

pub fn an_output_that_nobody_reads_is_no_failure() {
    let mut doctor = alone_here(&["doctor"]);
    let mut child = doctor.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(wait(child, LIMIT).status.code(), Some(0));
}

pub fn containers_are_tried_and_the_probe_is_gone_afterwards() {
    let mut doctor = gameday();
    doctor.args(["doctor", "--json"]);
    let child = doctor.stdout(Stdio::piped()).spawn().unwrap();
    let name = format!("name=gameday-probe-{}-", child.id());
    let done = wait(child, LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let tried = found["docker"]["containers"].as_array().unwrap();
    let nftables = tried.iter().find(|t| t["name"] == "nftables").unwrap();
    assert_eq!(nftables["seen"], "yes", "{tried:?}");
    let isolate = found["faults"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["fault"] == "isolate")
        .unwrap();
    assert_eq!(isolate["runtimes"]["docker"]["by"][0], "nftables");
    let left = Command::new("docker")
        .args(["ps", "-aq", "--filter", &name])
        .output()
        .unwrap();
    assert!(left.status.success() && left.stdout.is_empty(), "{left:?}");
}
