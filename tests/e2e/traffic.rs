//! Traffic that is made worse, with the real binary: how long canaries wait,
//! and what the kernel counts of TCP where messages are spoilt.

use crate::day::{Fact, Pairs, Step, run};

/// Few writes with much in them, so that a rate is felt and not exhausted.
const WORKLOAD: &str = "rate = 8\nkeys = 30\nitem_bytes = 4000\nwrites = 0.4\ninserts = 0\n\
                        cas = 0\nstrong_reads = 0.3\neventual_reads = 0.3";
const A_AND_B: Pairs = Pairs::These(&["ab", "ba"]);

/// What both runtimes can do.
fn slow() -> Vec<Step> {
    vec![
        Step::new(
            "delay",
            "target = { az = \"b\" }\ndelay = \"100ms\"\njitter = \"20ms\"",
        )
        // There and back.
        .seen(Fact::Late(Pairs::Across, 160)),
        Step::new(
            "delay",
            "target = { az = \"c\" }\nto = { az = \"a\" }\ndirection = \"out\"\ndelay = \"150ms\"",
        )
        .seen(Fact::Late(Pairs::These(&["ac", "ca"]), 150))
        .seen(Fact::Answered(Pairs::These(&["bc", "cb"]))),
        Step::new(
            "rate",
            "target = { az = \"b\" }\nto = { az = \"a\" }\nrate = \"512kbit\"",
        )
        // 4000 bytes.
        .seen(Fact::LateItems(A_AND_B, 62)),
    ]
}

/// What needs single messages, which only containers have.
fn spoilt() -> Vec<Step> {
    // Between replicas, which have much to say to each other.
    let replicas = |fault, lines| {
        let target = "target = { node = \"storage-b1\" }";
        let to = "to = [{ node = \"storage-a1\" }, { node = \"storage-c1\" }]";
        Step::new(fault, format!("{target}\n{to}\n{lines}"))
    };
    vec![
        replicas("loss", "loss = \"20%\"").seen(Fact::Counted("Tcp.RetransSegs")),
        replicas("duplicate", "duplicate = \"40%\"").seen(Fact::Counted("TcpExt.TCPDSACKOldSent")),
        replicas("corrupt", "corrupt = \"20%\"").seen(Fact::Counted("Tcp.InCsumErrors")),
        replicas("reorder", "reorder = \"30%\"\ndelay = \"100ms\"")
            .seen(Fact::Counted("TcpExt.TCPOFOQueue")),
        Step::new(
            "traffic",
            "target = { az = \"c\" }\nto = { az = \"a\" }\ndirection = \"in\"\n\
             delay = \"80ms\"\njitter = \"10ms\"\nloss = \"10%\"\nduplicate = \"10%\"",
        )
        .seen(Fact::Late(Pairs::These(&["ac", "ca"]), 70))
        .seen(Fact::Counted("Tcp.RetransSegs")),
    ]
}

pub fn between_processes() {
    run("traffic", "process", WORKLOAD, &[slow()]);
}

pub fn between_containers() {
    let mut all = slow();
    all.extend(spoilt());
    run("traffic", "docker", WORKLOAD, &[all]);
}
