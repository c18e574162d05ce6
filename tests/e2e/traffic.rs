//! Traffic that is made worse, with the real binary: how long canaries wait,
//! and what the kernel counts of TCP where messages are spoilt.

use crate::day::{Fact, Pairs, Step, run};

/// Few writes with much in them, so that a rate is felt and not exhausted.
const WORKLOAD: &str = "rate = 15\nkeys = 30\nitem_bytes = 4000\nwrites = 0.2\ninserts = 0\n\
                        cas = 0\nstrong_reads = 0.4\neventual_reads = 0.4";
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

/// What needs single messages.
fn spoilt() -> Vec<Step> {
    const AGAIN: &[&str] = &["Tcp.RetransSegs"];
    vec![
        Step::new("loss", "target = { node = \"storage-b1\" }\nloss = \"20%\"")
            .seen(Fact::Counted("storage-b1", AGAIN)),
        Step::new(
            "duplicate",
            "target = { node = \"storage-b1\" }\nduplicate = \"40%\"",
        )
        .seen(Fact::Counted("storage-b1", &["TcpExt.TCPDSACKOldSent"])),
        Step::new(
            "corrupt",
            "target = { node = \"storage-b1\" }\ncorrupt = \"20%\"",
        )
        .seen(Fact::Counted("storage-b1", &["Tcp.InCsumErrors"])),
        Step::new(
            "reorder",
            "target = { node = \"storage-b1\" }\nreorder = \"30%\"\ndelay = \"100ms\"",
        )
        .seen(Fact::Counted("storage-b1", &["TcpExt.TCPOFOQueue"])),
        Step::new(
            "traffic",
            "target = { az = \"c\" }\nto = { az = \"a\" }\ndirection = \"in\"\n\
             delay = \"80ms\"\njitter = \"10ms\"\nloss = \"10%\"\nduplicate = \"10%\"",
        )
        .seen(Fact::Late(Pairs::These(&["ac", "ca"]), 70))
        .seen(Fact::Counted("storage-a1", AGAIN)),
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
