//! Faults on what nodes have — disks, stored data, clocks, processor, memory —
//! with the real binary: each is seen by other means than the act, and seen gone.

use crate::support::*;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);

const HEAD: &str = r#"[playbook]
title = "resources"
seed = 5
allow_data_loss = true

[cluster]
storage_nodes_per_az = 1
partitions = 3

[workload]
rate = 15
keys = 30

[baseline]
for = "4s"

[cooldown]
for = "8s"
"#;

/// A step on one node, each after the one before.
fn chain(steps: &[(&str, &str, &str)]) -> String {
    let mut text = HEAD.to_string();
    let mut before: Option<String> = None;
    for (i, (fault, more, _)) in steps.iter().enumerate() {
        let name = format!("{fault} {i}");
        let start = match &before {
            Some(before) => format!("after = \"{before}\"\ndelay = \"3s\""),
            None => "at = \"0s\"".to_string(),
        };
        let node = ["storage-a1", "storage-b1", "storage-c1"][i % 3];
        text.push_str(&format!(
            "\n[[step]]\nname = \"{name}\"\nfault = \"{fault}\"\nfor = \"4s\"\n{start}\n\
             target = {{ node = \"{node}\" }}\n{more}\n"
        ));
        before = Some(name);
    }
    text
}

/// Runs the steps, and looks for what each proof that it was in force must tell.
fn run(runtime: &str, steps: &[(&str, &str, &str)]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let book = dir.path().join("resources.toml");
    std::fs::write(&book, chain(steps)).expect("the folder is writable");
    let out = dir.path().join("runs");
    let mut command = gameday();
    command.arg("run").arg(&book).args(["--runtime", runtime]);
    command
        .args(["--plain", "--subnet", SUBNET, "--out"])
        .arg(&out);
    let done = finish(&mut command, LIMIT);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let report = json(&run_folder(&out).join("report.json"));
    let injections = report["injections"].as_array().expect("injections");
    assert_eq!(injections.len(), steps.len());
    for (injection, (fault, _, told)) in injections.iter().zip(steps) {
        let proof = |side: &str| injection[side]["proof"].clone();
        for side in ["proof_injected", "proof_held", "proof_reverted"] {
            assert_eq!(
                proof(side)["verdict"],
                "pass",
                "{fault} {side}: {injection}"
            );
        }
        let evidence = proof("proof_injected")["evidence"].to_string();
        assert!(
            evidence.contains(told),
            "{fault}: no '{told}' in {evidence}"
        );
    }
}

const EVERYWHERE: [(&str, &str, &str); 8] = [
    ("disk-slow", "sync_delay = \"150ms\"", "a sync took"),
    ("disk-full", "refuses = \"growth\"", "found no room"),
    ("disk-error", "operation = \"sync\"", "failed"),
    ("disk-error", "operation = \"write\"", "failed"),
    ("bit-flip", "", "is flipped"),
    ("truncate", "file = \"latest\"", "it ends at byte"),
    ("clock-skew", "jump = \"-2h\"", "wall clock moved by -"),
    ("clock-skew", "drift = \"20%\"", "went wrong by"),
];

pub fn disks_stored_data_and_clocks_of_processes() {
    run("process", &EVERYWHERE);
}

pub fn disks_stored_data_and_clocks_of_containers() {
    run("docker", &EVERYWHERE);
}

pub fn processor_and_memory_of_containers() {
    let steps = [
        ("cpu-limit", "cpus = 0.02", "the kernel made it wait"),
        ("memory-limit", "memory_mib = 64", "KiB"),
    ];
    run("docker", &steps);
}

/// What a process may use cannot be bounded without privileges: said before anything starts.
pub fn bounds_are_refused_where_they_cannot_be_made() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let book = dir.path().join("bounds.toml");
    std::fs::write(&book, chain(&[("cpu-limit", "", "")])).expect("the folder is writable");
    let out = dir.path().join("runs");
    let mut command = gameday();
    command.arg("run").arg(&book).args(["--runtime", "process"]);
    let done = finish(command.args(["--plain", "--out"]).arg(&out), LIMIT);
    assert_eq!(done.status.code(), Some(64), "{}", text(&done));
    assert!(text(&done).contains("control group"), "{}", text(&done));
}
