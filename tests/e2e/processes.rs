//! Faults on processes with the real binary: what the kernel or the engine says
//! of the nodes' processes meanwhile and afterwards, and what canaries get.

use crate::day::{Fact, Pairs, Step, run};

/// Everybody through the endpoint of AZ b, whose router some steps take away.
const THROUGH_B: Pairs = Pairs::These(&["ab", "bb", "cb"]);
const STORAGE: &[&str] = &["storage-a1", "storage-b1", "storage-c1"];

/// Two lanes at once: of the nodes that store at most one is away.
fn days() -> [Vec<Step>; 2] {
    let storage = |fault| Step::new(fault, "target = { node = \"storage-a1\" }");
    let router = |fault| Step::new(fault, "target = { node = \"router-b\" }");
    [
        vec![
            storage("stop").seen(Fact::Gone("storage-a1")),
            storage("kill").seen(Fact::Gone("storage-a1")),
            storage("restart").seen(Fact::Others("storage-a1", 1)),
            storage("pause").seen(Fact::Frozen("storage-a1")),
            Step::new(
                "rolling-restart",
                "target = { role = \"storage\" }\npause = \"1s\"",
            )
            .seen(Fact::InTurn(STORAGE)),
            storage("power-off").seen(Fact::Gone("storage-a1")),
            Step::new(
                "crash-loop",
                "target = { node = \"storage-a1\" }\nuptime = \"1s\"",
            )
            .hold("4s")
            .seen(Fact::Others("storage-a1", 2)),
        ],
        vec![
            router("stop")
                .seen(Fact::Gone("router-b"))
                .seen(Fact::Told(THROUGH_B)),
            router("power-off")
                .seen(Fact::Gone("router-b"))
                .seen(Fact::Silent(THROUGH_B)),
            router("kill")
                .seen(Fact::Gone("router-b"))
                .seen(Fact::Told(THROUGH_B)),
            router("pause")
                .seen(Fact::Frozen("router-b"))
                .seen(Fact::Silent(THROUGH_B)),
        ],
    ]
}

pub fn processes_end_freeze_and_come_back() {
    run("processes", "process", "rate = 15\nkeys = 30", &days());
}

pub fn containers_end_freeze_and_come_back() {
    run("processes", "docker", "rate = 15\nkeys = 30", &days());
}
