//! Playbooks with mistakes: every one is told, with its place.

use gameday_chaos::faults::FaultKind;
use gameday_chaos::playbook::{Playbook, Selector, Start, render};
use proptest::prelude::*;
use std::time::Duration;

fn errors(text: &str) -> String {
    render(&Playbook::parse("p.toml", text).expect_err("this playbook has mistakes"))
}

/// `line:column message` of every mistake.
fn places(text: &str) -> Vec<String> {
    Playbook::parse("p.toml", text)
        .expect_err("this playbook has mistakes")
        .iter()
        .map(|d| match &d.place {
            Some(p) => format!("{}:{} {}", p.line, p.column, d.message),
            None => d.message.clone(),
        })
        .collect()
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let text = r#"[playbook]
titel = "Lose an AZ"
seed = -1

[cluster]
azs = 5
partitions = 2

[workload]
writes = 0.9
timeout = "PT2S"

[slo]
write_availability = 99.9

[baseline]
for = "1s"

[[step]]
name = "one"
fault = "power-of"
target = { az = "b", node = "storage-a1" }
at = 0
for = "15 s"

[[step]]
name = "one"
fault = "kill"
target = { leader = "canary/2" }
after = "two"
for = "0s"
"#;
    assert_eq!(
        places(text),
        [
            "1:1 [playbook] has no title",
            "2:1 unknown key 'titel' in [playbook]",
            "3:8 'seed' is a whole number from 0 to 18446744073709551615",
            "6:7 so far a cluster has 3 AZs, with one replica of every partition in each",
            "10:1 the shares of the workload are together 1.75, not 1",
            "11:11 ISO-8601 durations are not read; write a number and a unit: \"30s\"",
            "14:22 'write_availability' is a share such as \"99.9%\", not a number",
            "17:7 'for' is from 2s to 24h",
            "21:9 unknown fault 'power-of'",
            "22:22 a target has one selector; here are az, node",
            "23:6 a duration needs its unit, in quotes: \"0s\"",
            "24:7 a duration is a number and one of the units ms, s, m, h: \"30s\"",
            "27:8 'one' is already the name of step 1",
            "29:21 tables have 2 partitions, numbered from 0 to 1",
            "30:9 there is no step 'two'",
            "31:7 'for' is from 1ms to 24h",
        ]
    );
}

#[test]
fn a_mistake_is_shown_with_its_line_and_a_way_out() {
    let text = "[playbook]\ntitle = \"t\"\n\n[[step]]\nfault = \"power_of\"\ntarget = { az = \"b\" }\nat = \"0s\"\nfro = \"5s\"\n";
    assert_eq!(
        errors(text),
        r#"error: the step has no 'for'
 --> p.toml:4:1
  |
4 | [[step]]
  | ^^^^^^^^
  = help: for = "15s"

error: unknown fault 'power_of'
 --> p.toml:5:9
  |
5 | fault = "power_of"
  |         ^^^^^^^^^^
  = help: did you mean 'power-off'?

error: unknown key 'fro' in [[step]]
 --> p.toml:8:1
  |
8 | fro = "5s"
  | ^^^
  = help: did you mean 'for'?

3 errors"#
    );
}

#[test]
fn text_that_is_not_toml_is_told_together_with_other_mistakes() {
    let text = "[playbook]\ntitle = \"t\nseed = 3\n\n[slow]\n\n[baseline]\nfor = = \"2s\"\n";
    let all = places(text);
    assert!(all[0].starts_with("2:"), "{all:?}");
    assert!(all[0].contains("not TOML"), "{all:?}");
    assert!(
        all.contains(&"5:2 unknown key 'slow' in the playbook".to_string()),
        "{all:?}"
    );
    assert!(all.iter().any(|e| e.starts_with("8:")), "{all:?}");
    assert!(
        !all.iter().any(|e| e.contains("there is no [[step]]")),
        "{all:?}"
    );
}

#[test]
fn shapes_that_people_mistake() {
    let head = "[playbook]\ntitle = \"t\"\n";
    let told = |rest: &str| places(&format!("{head}{rest}")).join("\n");
    assert!(told("[step]\nfault = \"kill\"").contains("two brackets"));
    assert!(told("").contains("there is no [[step]]"));
    assert!(places("").contains(&"1:1 there is no [playbook] section".to_string()));
    assert!(
        places("playbook = 3")
            .join("\n")
            .contains("a section: [playbook]")
    );
    let step = |target: &str, when: &str| {
        told(&format!(
            "[[step]]\nfault = \"kill\"\ntarget = {target}\n{when}\nfor = \"5s\"\n"
        ))
    };
    assert!(step("\"storage-a1\"", "at = \"0s\"").contains("a table such as"));
    assert!(step("{}", "at = \"0s\"").contains("selects nothing"));
    assert!(step("{ random = 0 }", "at = \"0s\"").contains("from 1 to"));
    assert!(step("{ all = \"storage\", role = \"router\" }", "at = \"0s\"").contains("'random'"));
    assert!(step("{ leader = \"canary\" }", "at = \"0s\"").contains("<table>/<partition>"));
    assert!(step("{ az = \"b\" }", "").contains("when it begins"));
    assert!(step("{ az = \"b\" }", "at = \"0s\"\nafter = \"x\"").contains("not both"));
    assert!(step("{ az = \"b\" }", "after = \"kill az b\"").contains("wait for itself"));
}

#[test]
fn steps_that_wait_for_each_other_are_refused() {
    let step = |name: &str, after: &str| {
        format!(
            "[[step]]\nname = \"{name}\"\nfault = \"kill\"\ntarget = {{ az = \"b\" }}\nafter = \"{after}\"\nfor = \"5s\"\n"
        )
    };
    let text = format!(
        "[playbook]\ntitle = \"t\"\n{}{}{}",
        step("x", "y"),
        step("y", "x"),
        step("z", "y")
    );
    assert_eq!(
        places(&text),
        [
            "7:9 'x' would wait for itself",
            "13:9 'y' would wait for itself"
        ]
    );
}

#[test]
fn a_whole_playbook_is_read() {
    let text = r#"
[playbook]
title = "t"
description = "d"
seed = 18446744073709551615
allow_quorum_loss = true
[cluster]
azs = 3
storage_nodes_per_az = 4
partitions = 12
subnet = "10.0.0.0/8"
[workload]
rate = 5.5
keys = 7
writes = 0.04
inserts = 0.06
cas = 0.2
strong_reads = 0.3
eventual_reads = 0.4
timeout = "1.5s"
item_bytes = 0
[slo]
write_availability = "99.9%"
max_write_gap = "3s"
recover_within = "500ms"
[baseline]
for = "2s"
[[step]]
fault = "pause"
target = { random = 2, role = "router" }
at = "1m"
for = "3s"
[[step]]
fault = "pause"
target = { random = 2, role = "router" }
after = "pause random 2 router"
for = "3s"
[cooldown]
for = "4s"
"#;
    let p = Playbook::parse("p.toml", text).unwrap_or_else(|e| panic!("{}", render(&e)));
    assert_eq!((p.seed, p.allow_quorum_loss), (Some(u64::MAX), true));
    assert_eq!(
        (p.cluster.storage_nodes_per_az, p.cluster.partitions),
        (4, 12)
    );
    assert_eq!(p.cluster.subnet, "10.0.0.0/8");
    let w = &p.measuring.workload;
    assert_eq!(
        (w.rate, w.keys, w.timeout_ms, w.item_bytes),
        (5.5, 7, 1500, 0)
    );
    assert_eq!(
        (w.writes, w.inserts, w.cas, w.strong_reads, w.eventual_reads),
        (0.04, 0.06, 0.2, 0.3, 0.4)
    );
    assert_eq!(p.measuring.slo.write_availability, Some(99.9 / 100.0));
    assert_eq!(p.measuring.slo.read_availability, None);
    assert_eq!(
        (
            p.measuring.slo.max_write_gap_ms,
            p.measuring.slo.recover_within_ms
        ),
        (Some(3000), Some(500))
    );
    assert_eq!((p.baseline.as_secs(), p.cooldown.as_secs()), (2, 4));
    let [one, two] = p.steps.as_slice() else {
        panic!("{:?}", p.steps)
    };
    assert_eq!(
        (one.name.as_str(), two.name.as_str()),
        ("pause random 2 router", "pause random 2 router (2)")
    );
    assert_eq!(
        (one.fault, one.start.clone()),
        (FaultKind::Pause, Start::At(Duration::from_secs(60)))
    );
    assert_eq!(two.start, Start::After("pause random 2 router".into()));
    assert_eq!(
        one.target,
        Selector::Random {
            count: 2,
            role: Some("router".into())
        }
    );
}

#[test]
fn deep_nesting_and_large_files_are_refused_without_harm() {
    let deep = format!("x = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(!places(&deep).is_empty());
    assert!(errors(&"#".repeat(300 << 10)).contains("256 KiB"));
    let many: String = (0..5000).map(|i| format!("k{i} = 1\n")).collect();
    let all = places(&many);
    assert_eq!(all.len(), 51);
    assert!(all[50].contains("further errors"), "{}", all[50]);
}

#[test]
fn files_that_cannot_be_read_are_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let told = |name: &str| {
        let path = dir.path().join(name);
        render(&Playbook::read(&path).expect_err("it cannot be read"))
    };
    assert!(told("missing.toml").contains("missing.toml"));
    std::fs::write(dir.path().join("binary.toml"), [0xff, 0xfe, 0x00]).unwrap();
    assert!(told("binary.toml").contains("UTF-8"));
    assert!(
        told("").contains("cannot be read"),
        "a folder is no playbook"
    );
}

/// Pieces of playbooks, so that random texts come near to real ones.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("[playbook]\n".to_string()),
        Just("[[step]]\n".to_string()),
        Just("[workload]\n".to_string()),
        Just("target = { az = \"b\" }\n".to_string()),
        Just("target = { random = ".to_string()),
        Just("[slo".to_string()),
        Just("[[objective]]\nname = \"o\"\n".to_string()),
        Just("[[alarm]]\nname = \"a\"\n".to_string()),
        "(failures|burn_rate|choice) = \\{ (above|bad|of|long|short|factor|hot|share|zipfian) = ",
        "(sli|of|count) = \"(latency|uptime|writes|untouched|worst-window)\"\n",
        "(title|seed|fault|name|for|at|after|azs|rate|writes|subnet|target|timeout|at_least|at_most|window|item_bytes)",
        Just(" = ".to_string()),
        "\"(kill|pause|5s|x|99%|canary/0|a\\\\n)\"",
        "[-+]?[0-9]{1,25}(\\.[0-9]{1,3})?",
        Just("\n".to_string()),
        "\\PC{0,6}",
        "[\\x00-\\x1f\"'\\[\\]{}=,#]{1,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_text_panics_and_every_mistake_has_its_place(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        if let Err(all) = Playbook::parse("p.toml", &text) {
            prop_assert!(!all.is_empty());
            let lines = text.matches('\n').count() + 1;
            for d in &all {
                match &d.place {
                    Some(p) => prop_assert!(p.line >= 1 && p.line <= lines && p.column >= 1),
                    None => prop_assert!(d.message.contains("further errors")),
                }
            }
            prop_assert!(!render(&all).is_empty());
        }
    }
}
