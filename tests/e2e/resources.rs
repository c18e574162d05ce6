//! Faults on what nodes have — disks, stored data, clocks, processor, memory —
//! with the real binary: each is seen by other means than the act, and seen gone.

use crate::day::{Fact, Pairs, Step, book, run};
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
    // Of every replica, so that no quorum can do without the disk that is hurt.
    let all = |fault, lines, told| {
        let lines = format!("target = {{ role = \"storage\" }}\n{lines}");
        Step::new(fault, lines).hold("4s").told(told)
    };
    vec![
        all("disk-slow", "sync_delay = \"150ms\"", "a sync took")
            .seen(Fact::LateItems(Pairs::All, 150))
            .seen(Fact::Reads(Pairs::All)),
        all("disk-full", "refuses = \"writes\"", "found no room")
            // A node whose tree, not only its log, wants room meanwhile ends by itself.
            .seen(Fact::NoItems(Pairs::All)),
        on(B, "disk-full", "refuses = \"growth\"", "found no room")
            .seen(Fact::Answered(Pairs::All)),
        on(C, "disk-error", "operation = \"sync\"", "failed").seen(Fact::Ends(C)),
        on(A, "disk-error", "operation = \"write\"", "failed").seen(Fact::Ends(A)),
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

/// Work enough that a node would use much more of a processor than it is left with, led or not.
const BUSY: &str = "rate = 45\nkeys = 30";

pub fn processor_and_memory_of_containers() {
    let steps = vec![
        Step::new(
            "cpu-limit",
            "target = { node = \"storage-a1\" }\ncpus = 0.02",
        )
        .told("the kernel made it wait")
        .seen(Fact::Starved("storage-a1", 2)),
        Step::new(
            "memory-limit",
            "target = { node = \"storage-b1\" }\nmemory_mib = 56",
        )
        .told("KiB")
        .seen(Fact::Squeezed("storage-b1", 56)),
    ];
    run("bounds", "docker", BUSY, &[steps]);
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
