//! Partitions of every shape with the real binary: which links carry is looked
//! at beside the runner, and canaries tell what came of their calls.

use crate::day::{Fact, Pairs, Step, run};

const WORKLOAD: &str = "rate = 15\nkeys = 30";
const A_AND_B: Pairs = Pairs::These(&["ab", "ba"]);
const A_AND_C: Pairs = Pairs::These(&["ac", "ca"]);
const OTHERS_AND_B: Pairs = Pairs::These(&["ab", "cb"]);
const ALL_AND_B: Pairs = Pairs::These(&["ab", "bb", "cb"]);
const NOT_B_OR_ITS_OWN: Pairs = Pairs::These(&["aa", "ac", "ba", "bb", "bc", "ca", "cc"]);
const B_AND_OTHERS: Pairs = Pairs::These(&["ab", "ba", "bc", "cb"]);

/// A node's AZ.
fn az(node: &str) -> char {
    let end = node.trim_end_matches('1').chars().next_back();
    end.expect("a node's name ends in its AZ")
}

fn a_and_c(from: &str, to: &str) -> bool {
    matches!((az(from), az(to)), ('a', 'c') | ('c', 'a'))
}

/// Between a canary that is not in b, and a node that is.
fn clients_and_b(from: &str, to: &str) -> bool {
    let there = |canary: &str, node: &str| {
        canary.starts_with("canary") && az(canary) != 'b' && az(node) == 'b'
    };
    there(from, to) || there(to, from)
}

/// Those of which the links are looked at take so long.
fn shapes(look: &'static str) -> Vec<Step> {
    vec![
        Step::new("isolate", "target = { az = \"b\" }\nto = { az = \"a\" }")
            .seen(Fact::Silent(A_AND_B))
            .seen(Fact::Answered(A_AND_C))
            .hold(look)
            .seen(Fact::Apart(|from, to| {
                matches!((az(from), az(to)), ('a', 'b') | ('b', 'a'))
            })),
        Step::new("isolate", "target = { az = \"c\" }\nhow = \"reject\"")
            .seen(Fact::Told(Pairs::Across)),
        Step::new("reset", "target = { az = \"b\" }").seen(Fact::Told(Pairs::Across)),
        Step::new("split", "groups = [{ az = \"a\" }, { az = \"c\" }]")
            .seen(Fact::Silent(A_AND_C))
            .seen(Fact::Answered(B_AND_OTHERS))
            .hold(look)
            .seen(Fact::Apart(a_and_c)),
        Step::new("majority", "how = \"reject\"").seen(Fact::Told(Pairs::Across)),
        Step::new("one-way", "target = { az = \"b\" }\ndirection = \"out\"")
            .seen(Fact::Silent(Pairs::Across))
            .hold(look)
            .seen(Fact::Apart(|from, to| az(from) == 'b' && az(to) != 'b')),
        Step::new("one-way", "target = { az = \"c\" }\ndirection = \"in\"")
            .seen(Fact::Silent(Pairs::Across))
            .hold(look)
            .seen(Fact::Apart(|from, to| az(from) != 'c' && az(to) == 'c')),
        Step::new("bridge", "target = { az = \"b\" }")
            .seen(Fact::Silent(A_AND_C))
            .seen(Fact::Answered(B_AND_OTHERS))
            .hold(look)
            .seen(Fact::Apart(a_and_c)),
        Step::new(
            "majorities-ring",
            "target = [{ role = \"router\" }, { role = \"storage\" }]",
        )
        .hold(look)
        .seen(Fact::Majorities),
        Step::new(
            "leader",
            "target = { leader = \"canary/0\" }\nuntil = \"leader-change\"",
        )
        .hold("20s")
        .seen(Fact::Elected),
        Step::new("clients", "target = { az = \"b\" }\nfrom = [\"a\", \"c\"]")
            .seen(Fact::Silent(OTHERS_AND_B))
            .seen(Fact::Answered(NOT_B_OR_ITS_OWN))
            .hold(look)
            .seen(Fact::Apart(clients_and_b)),
        Step::new(
            "clients",
            "target = { role = \"router\", az = \"b\" }\nhow = \"reject\"",
        )
        .seen(Fact::Told(ALL_AND_B)),
    ]
}

pub fn links_between_processes() {
    run("partitions", "process", WORKLOAD, &[shapes("3s")]);
}

pub fn links_between_containers() {
    run("partitions", "docker", WORKLOAD, &[shapes("5s")]);
}
