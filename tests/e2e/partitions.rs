//! Partitions of every shape with the real binary: which links carry is looked
//! at beside the runner, and canaries tell what came of their calls.

use crate::day::{Fact, Pairs, Step, run};

const WORKLOAD: &str = "rate = 15\nkeys = 30";
const A_AND_B: Pairs = Pairs::These(&["ab", "ba"]);
const A_AND_C: Pairs = Pairs::These(&["ac", "ca"]);
const B_AND_OTHERS: Pairs = Pairs::These(&["ab", "ba", "bc", "cb"]);

/// A node's AZ.
fn az(node: &str) -> char {
    let end = node.trim_end_matches('1').chars().next_back();
    end.expect("a node's name ends in its AZ")
}

/// Names as they go around the ring: those of the target.
const RING: [&str; 6] = [
    "router-a",
    "router-b",
    "router-c",
    "storage-a1",
    "storage-b1",
    "storage-c1",
];

/// Each of six reaches its two neighbours and who stands opposite.
fn two_apart_in_the_ring(from: &str, to: &str) -> bool {
    let place = |node| RING.iter().position(|n| *n == node).expect("in the ring");
    let apart = place(from).abs_diff(place(to));
    apart == 2 || apart == 4
}

fn shapes() -> Vec<Step> {
    vec![
        Step::new("isolate", "target = { az = \"b\" }\nto = { az = \"a\" }")
            .seen(Fact::Silent(A_AND_B))
            .seen(Fact::Answered(A_AND_C))
            .seen(Fact::Apart(|from, to| {
                matches!((az(from), az(to)), ('a', 'b') | ('b', 'a'))
            })),
        Step::new("isolate", "target = { az = \"c\" }\nhow = \"reject\"")
            .seen(Fact::Told(Pairs::Across)),
        Step::new("reset", "target = { az = \"b\" }").seen(Fact::Told(Pairs::Across)),
        Step::new("split", "groups = [{ az = \"a\" }, { az = \"c\" }]")
            .seen(Fact::Silent(A_AND_C))
            .seen(Fact::Answered(B_AND_OTHERS))
            .seen(Fact::Apart(|from, to| {
                matches!((az(from), az(to)), ('a', 'c') | ('c', 'a'))
            })),
        Step::new("majority", "how = \"reject\"").seen(Fact::Told(Pairs::Across)),
        Step::new("one-way", "target = { az = \"b\" }\ndirection = \"out\"")
            .seen(Fact::Silent(Pairs::Across))
            .seen(Fact::Apart(|from, to| az(from) == 'b' && az(to) != 'b')),
        Step::new("one-way", "target = { az = \"c\" }\ndirection = \"in\"")
            .seen(Fact::Silent(Pairs::Across))
            .seen(Fact::Apart(|from, to| az(from) != 'c' && az(to) == 'c')),
        Step::new("bridge", "target = { az = \"b\" }")
            .seen(Fact::Silent(A_AND_C))
            .seen(Fact::Answered(B_AND_OTHERS))
            .seen(Fact::Apart(|from, to| {
                matches!((az(from), az(to)), ('a', 'c') | ('c', 'a'))
            })),
        Step::new(
            "majorities-ring",
            "target = [{ role = \"router\" }, { role = \"storage\" }]",
        )
        .seen(Fact::Apart(two_apart_in_the_ring)),
        Step::new(
            "leader",
            "target = { leader = \"canary/0\" }\nuntil = \"leader-change\"",
        )
        .hold("20s")
        .seen(Fact::Elected),
    ]
}

pub fn links_between_processes() {
    run("process", WORKLOAD, &[shapes()]);
}

pub fn links_between_containers() {
    run("docker", WORKLOAD, &[shapes()]);
}
