//! Faults on what nodes have — disks, stored data, clocks, processor, memory —
//! with the real binary: each is seen by other means than the act, and seen gone.

use crate::day::{Fact, Step, book, run};
use crate::support::*;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const WORKLOAD: &str = "rate = 15\nkeys = 30";

const A: &str = "storage-a1";
const B: &str = "storage-b1";
const C: &str = "storage-c1";

fn everywhere() -> Vec<Step> {
    let on = |node: &'static str, fault, lines, told| {
        let lines = format!("target = {{ node = \"{node}\" }}\n{lines}");
        Step::new(fault, lines).hold("4s").told(told)
    };
    vec![
        on(A, "disk-slow", "sync_delay = \"150ms\"", "a sync took"),
        on(B, "disk-full", "refuses = \"growth\"", "found no room"),
        on(C, "disk-error", "operation = \"sync\"", "failed"),
        on(A, "disk-error", "operation = \"write\"", "failed"),
        on(B, "bit-flip", "", "is flipped").seen(Fact::Gone(B)),
        on(C, "truncate", "file = \"latest\"", "it ends at byte").seen(Fact::Gone(C)),
        on(A, "clock-skew", "jump = \"-2h\"", "wall clock moved by -"),
        on(B, "clock-skew", "drift = \"20%\"", "went wrong by"),
    ]
}

pub fn disks_stored_data_and_clocks_of_processes() {
    run("resources", "process", WORKLOAD, &[everywhere()]);
}

pub fn disks_stored_data_and_clocks_of_containers() {
    run("resources", "docker", WORKLOAD, &[everywhere()]);
}

pub fn processor_and_memory_of_containers() {
    let steps = vec![
        Step::new(
            "cpu-limit",
            "target = { node = \"storage-a1\" }\ncpus = 0.02",
        )
        .told("the kernel made it wait"),
        Step::new(
            "memory-limit",
            "target = { node = \"storage-b1\" }\nmemory_mib = 64",
        )
        .told("KiB"),
    ];
    run("bounds", "docker", WORKLOAD, &[steps]);
}

/// What a process may use cannot be bounded without privileges: said before anything starts.
pub fn bounds_are_refused_where_they_cannot_be_made() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("bounds.toml");
    let step = Step::new("cpu-limit", "target = { node = \"storage-a1\" }");
    std::fs::write(&file, book(WORKLOAD, &[vec![step]])).expect("the folder is writable");
    let out = dir.path().join("runs");
    let mut command = gameday();
    command.arg("run").arg(&file).args(["--runtime", "process"]);
    let done = finish(command.args(["--plain", "--out"]).arg(&out), LIMIT);
    assert_eq!(done.status.code(), Some(64), "{}", text(&done));
    assert!(text(&done).contains("control group"), "{}", text(&done));
}
