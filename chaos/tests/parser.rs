//! Playbooks with mistakes: every one is told, with its place.

use gameday_chaos::faults::{Direction, FaultKind, How};
use gameday_chaos::playbook::{Draw, Playbook, Selector, Start, render};
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
fn a_byte_order_mark_changes_nothing() {
    for text in ["seeds = 1\n[playbook]\n", "["] {
        assert_eq!(errors(&format!("\u{feff}{text}")), errors(text));
    }
    let text = "[playbook]\ntitle = \"t\"\n[[step]]\nname = \"s\"\nfault = \"kill\"\n\
                target = { az = \"b\" }\nat = \"0s\"\nfor = \"5s\"\n";
    let plain = Playbook::parse("p.toml", text).unwrap();
    let marked = Playbook::parse("p.toml", &format!("\u{feff}{text}")).unwrap();
    assert_eq!(marked, plain);
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
target = { az = "b", random = 1, percent = 20 }
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
            "22:34 a target is drawn once; here are random, percent",
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
    for (target, told) in [
        ("[]", "1 to 100 tables"),
        ("[\"storage-a1\"]", "a list of tables"),
        ("{ minority = false }", "'minority' is true"),
        ("{ all = false }", "'all' is true"),
        ("{ percent = 0 }", "from 1 to 100"),
        ("{ percent = 101 }", "from 1 to 100"),
        ("{ az = [] }", "1 to 100 names"),
        ("{ az = [3] }", "a text in quotes"),
        ("{ leader = \"canary/x\" }", "<table>/<partition>"),
        ("{ followers = \"/1\" }", "<table>/<partition>"),
        ("{ leader = \"nosuch/0\" }", "no table 'nosuch'"),
        ("{ followers = \"canry/0\" }", "no table 'canry'"),
        ("{ not = { leader = \"cannary\" } }", "no table 'cannary'"),
        (
            "{ not = { not = { not = { not = { not = { az = \"b\" } } } } } }",
            "4 deep",
        ),
        ("{ not = {} }", "selects nothing"),
        ("{ nod = \"a\" }", "unknown key 'nod'"),
    ] {
        assert!(step(target, "at = \"0s\"").contains(told), "{target}");
    }
    assert!(step("{ az = \"b\" }", "").contains("when it begins"));
    assert!(step("{ az = \"b\" }", "at = \"0s\"\nafter = \"x\"").contains("not both"));
    assert!(step("{ az = \"b\" }", "after = \"kill az b\"").contains("wait for itself"));
}

/// What is wrong with a system hides no mistake of the steps, and of groups that nobody could read
/// nothing is said.
#[test]
fn mistakes_of_a_system_and_of_steps_are_told_at_once() {
    let told = places(
        "[playbook]\ntitle = \"t\"\n[system]\ncompose = \"shop\"\naz = 3\n\
         endpoints = { a = \"etcd://e1:2379\" }\n[[step]]\nfault = \"kil\"\n\
         target = { leader = \"db\" }\nat = \"0s\"\nfor = 5\n",
    );
    let lines: Vec<&str> = told.iter().filter_map(|t| t.split(':').next()).collect();
    assert_eq!(lines, ["5", "8", "11"], "{told:#?}");
}

#[test]
fn of_a_table_that_nobody_makes_it_is_said_which_there_are() {
    for (group, near) in [
        ("nosuch/0", "known: canary"),
        ("canry/0", "did you mean 'canary'?"),
        ("cannary", "did you mean 'canary'?"),
    ] {
        let text = format!(
            "[playbook]\ntitle = \"t\"\n[random]\nfor = \"5m\"\npause = \"5s\"\n[[random.fault]]\n\
             fault = \"pause\"\ntarget = {{ leader = \"{group}\" }}\nfor = \"5s\"\n"
        );
        let told = render(&Playbook::parse("p.toml", &text).unwrap_err());
        assert!(told.contains(near), "{group}: {told}");
    }
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
within = "7s"
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
    assert_eq!(
        (p.baseline.lasts.as_secs(), p.baseline.within.as_secs()),
        (2, 7)
    );
    assert_eq!(p.cooldown.as_secs(), 4);
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
    assert_eq!(
        two.start,
        Start::After("pause random 2 router".into(), Duration::ZERO)
    );
    assert_eq!(
        one.sides,
        [Selector::Draw(
            Draw::Count(2),
            Box::new(Selector::Role("router".into()))
        )]
    );
}

#[test]
fn targets_combine_and_read_as_they_are_written() {
    let read = |target: &str| {
        let text = format!(
            "[playbook]\ntitle = \"t\"\n[[step]]\nfault = \"kill\"\ntarget = {target}\nat = \"0s\"\nfor = \"5s\"\n"
        );
        let p = Playbook::parse("p.toml", &text).unwrap_or_else(|e| panic!("{}", render(&e)));
        p.steps[0].selector()
    };
    for (target, expected) in [
        ("{ az = \"b\", role = \"storage\" }", "az b and all storage"),
        ("{ az = [\"a\", \"b\"] }", "az a or az b"),
        (
            "{ az = [\"a\", \"b\"], label = \"x\" }",
            "(az a or az b) and label x",
        ),
        (
            "[{ rack = \"r1\" }, { node = \"router-a\" }]",
            "rack r1 or node router-a",
        ),
        (
            "{ all = true, not = [{ role = \"router\" }, { az = \"b\" }] }",
            "not (all router or az b)",
        ),
        (
            "{ followers = \"canary/0\", random = 1 }",
            "random 1 of (followers of canary/0)",
        ),
        ("{ percent = 30 }", "random 30% of (all)"),
        ("{ minority = true }", "a minority of AZs"),
        (
            "{ majority = true, role = \"storage\" }",
            "a majority of AZs of (all storage)",
        ),
        ("{ leader = \"canary\" }", "leader of canary"),
    ] {
        assert_eq!(read(target), expected);
    }
}

#[test]
fn every_partition_shape_is_read() {
    let step = |rest: &str| {
        format!("[playbook]\ntitle = \"t\"\n[[step]]\n{rest}\nat = \"0s\"\nfor = \"5s\"\n")
    };
    for (rest, fault, selector) in [
        (
            "fault = \"partition\"\ntarget = { az = \"b\" }",
            FaultKind::Isolate,
            "az b",
        ),
        (
            "fault = \"split\"\ngroups = [{ az = \"a\" }, { az = \"b\" }]",
            FaultKind::Split,
            "az a | az b",
        ),
        (
            "fault = \"minority\"",
            FaultKind::Majority,
            "a minority of AZs",
        ),
        (
            "fault = \"majority\"\ntarget = { role = \"storage\" }",
            FaultKind::Majority,
            "a minority of AZs of (all storage)",
        ),
        (
            "fault = \"leader\"\ntarget = { leader = \"canary/1\" }",
            FaultKind::Leader,
            "leader of canary/1 | followers of canary/1",
        ),
        (
            "fault = \"clients\"\ntarget = { az = \"b\" }",
            FaultKind::Clients,
            "az b",
        ),
    ] {
        let p = Playbook::parse("p.toml", &step(rest)).unwrap_or_else(|e| panic!("{}", render(&e)));
        assert_eq!(
            (p.steps[0].fault, p.steps[0].selector().as_str()),
            (fault, selector)
        );
    }
    for (from, azs) in [
        ("", &[][..]),
        ("from = \"a\"", &["a"]),
        ("from = [\"c\", \"a\"]\nhow = \"reject\"", &["a", "c"]),
    ] {
        let clients = format!("fault = \"clients\"\ntarget = {{ az = \"b\" }}\n{from}");
        let p = Playbook::parse("p.toml", &step(&clients)).unwrap();
        let params = &p.steps[0].params;
        assert!(params.from.iter().eq(azs), "{from}: {params:?}");
        assert_eq!(params.how == How::Reject, from.contains("reject"));
    }
    let direction = |word: &str| {
        format!("fault = \"one-way\"\ntarget = {{ az = \"b\" }}\ndirection = \"{word}\"")
    };
    let p = Playbook::parse("p.toml", &step(&direction("in"))).unwrap();
    assert_eq!(p.steps[0].params.direction, Direction::In);
    for (rest, told) in [
        (direction("up").as_str(), "no direction 'up'"),
        (
            "fault = \"kill\"\ntarget = { az = \"b\" }\ndirection = \"in\"",
            "'direction' goes with 'one-way', 'delay', ",
        ),
        (
            "fault = \"kill\"\ngroups = [{ az = \"a\" }, { az = \"b\" }]",
            "'groups' goes with 'split'",
        ),
        (
            "fault = \"split\"\ntarget = { az = \"b\" }",
            "groups instead",
        ),
        ("fault = \"split\"", "no 'groups'"),
        ("fault = \"split\"\ngroups = [{ az = \"a\" }]", "2 to 20"),
        ("fault = \"split\"\ngroups = { az = \"a\" }", "2 to 20"),
        ("fault = \"bridge\"", "no 'target'"),
        (
            "fault = \"kill\"\ntarget = { az = \"b\" }\nuptime = \"2s\"",
            "'uptime' goes with 'crash-loop'",
        ),
        (
            "fault = \"crash-loop\"\ntarget = { az = \"b\" }",
            "more than once",
        ),
        (
            "fault = \"restart\"\ntarget = { az = \"b\" }\npause = \"2s\"",
            "'pause' goes with 'rolling-restart' and 'rolling-upgrade'",
        ),
        (
            "fault = \"rolling-restart\"\ntarget = { az = \"b\" }\nbinary = \"x\"",
            "'binary' goes with 'rolling-upgrade'",
        ),
        (
            "fault = \"rolling-downgrade\"\ntarget = { az = \"b\" }",
            "does not say to what",
        ),
        (
            "fault = \"leader\"\ntarget = { leader = \"canary\" }",
            "the leader of one partition",
        ),
        (
            "fault = \"isolate\"\ntarget = { az = \"b\" }\nfrom = \"a\"",
            "'from' goes with 'clients', not with 'isolate'",
        ),
        (
            "fault = \"clients\"\ntarget = { az = \"b\" }\nfrom = []",
            "1 to 26 of them",
        ),
        (
            "fault = \"clients\"\ntarget = { az = \"b\" }\nfrom = { az = \"a\" }",
            "'from' is an AZ or a list of them",
        ),
        (
            "fault = \"clients\"\ntarget = { az = \"b\" }\nto = { az = \"a\" }",
            "'to' goes with",
        ),
        ("fault = \"clients\"\nfrom = \"a\"", "no 'target'"),
    ] {
        assert!(
            errors(&step(rest)).contains(told),
            "{rest}: {}",
            errors(&step(rest))
        );
    }
}

#[test]
fn faults_of_traffic_are_read_with_what_is_usual() {
    let read = |rest: &str| {
        let text = format!(
            "[playbook]\ntitle = \"t\"\n[[step]]\ntarget = {{ az = \"b\" }}\n{rest}\nat = \"0s\"\nfor = \"9s\"\n"
        );
        Playbook::parse("p.toml", &text).map(|p| p.steps[0].clone())
    };
    for (rest, traffic) in [
        ("fault = \"delay\"", "delay 50ms ± 10ms"),
        ("fault = \"delay\"\ndelay = \"200ms\"", "delay 200ms"),
        ("fault = \"loss\"\ndelay = \"9ms\"", "delay 9ms, loss 20 %"),
        ("fault = \"duplicate\"", "duplicate 20 %"),
        ("fault = \"corrupt\"\ncorrupt = \"2.5%\"", "corrupt 2.5 %"),
        ("fault = \"reorder\"", "delay 50ms, reorder 20 %"),
        ("fault = \"rate\"", "rate 1mbit"),
        (
            "fault = \"traffic\"\ndelay = \"50ms\"\njitter = \"10ms\"\nloss = \"1%\"\nrate = \"64kbit\"",
            "delay 50ms ± 10ms, loss 1 %, rate 64kbit",
        ),
    ] {
        let step = read(rest).unwrap_or_else(|e| panic!("{rest}: {}", render(&e)));
        assert_eq!(step.params.traffic.to_string(), traffic);
        assert_eq!(step.params.direction, Direction::Both);
    }
    let step = read("fault = \"delay\"\nto = { az = \"c\" }\ndirection = \"in\"").unwrap();
    assert_eq!(step.selector(), "az b | az c");
    assert_eq!(step.params.direction, Direction::In);
    let step = read("fault = \"partition\"\nhow = \"reject\"").unwrap();
    assert_eq!(step.params.how, How::Reject);

    for (rest, told) in [
        ("fault = \"traffic\"", "does not say what is done"),
        ("fault = \"loss\"\njitter = \"5ms\"", "there is none"),
        (
            "fault = \"delay\"\ndelay = \"5ms\"\njitter = \"6ms\"",
            "at most the delay, 5ms",
        ),
        (
            "fault = \"delay\"\ndelay = \"1m\"",
            "'delay' is from 5ms to 5s",
        ),
        (
            "fault = \"reorder\"\nrate = \"1mbit\"",
            "no 'rate' with 'reorder'",
        ),
        (
            "fault = \"loss\"\nreorder = \"5%\"",
            "overtake others only if",
        ),
        (
            "fault = \"loss\"\nloss = \"0.5%\"",
            "'loss' is from 1% to 99%",
        ),
        (
            "fault = \"loss\"\nloss = \"100%\"",
            "all of it is a partition",
        ),
        ("fault = \"loss\"\nloss = 0.2", "'loss' is a share"),
        (
            "fault = \"rate\"\nrate = \"1kbit\"",
            "from 64kbit to 100mbit",
        ),
        ("fault = \"rate\"\nrate = \"fast\"", "a rate is a number"),
        ("fault = \"rate\"\nrate = 5", "'rate' is a rate such as"),
        (
            "fault = \"kill\"\nloss = \"5%\"",
            "'loss' goes with 'delay', 'loss', ",
        ),
        (
            "fault = \"kill\"\ndelay = \"5s\"",
            "'delay' goes with 'after', or",
        ),
        (
            "fault = \"kill\"\nhow = \"drop\"",
            "'how' goes with 'isolate'",
        ),
        (
            "fault = \"partition\"\nhow = \"maybe\"",
            "'how' cannot be 'maybe'",
        ),
        ("fault = \"kill\"\nto = { az = \"c\" }", "'to' goes with"),
        ("fault = \"delay\"\ndirection = \"up\"", "no direction 'up'"),
        (
            "fault = \"one-way\"\ndirection = \"both\"",
            "no direction 'both'",
        ),
    ] {
        let told_is = render(&read(rest).expect_err(rest));
        assert!(told_is.contains(told), "{rest}: {told_is}");
    }
}

#[test]
fn a_step_of_traffic_can_begin_later_after_another() {
    let steps = |after: &str| {
        format!(
            "[playbook]\ntitle = \"t\"\n[[step]]\nname = \"a\"\nfault = \"kill\"\ntarget = {{ az = \"b\" }}\n\
             at = \"0s\"\nfor = \"9s\"\n[[step]]\nfault = \"delay\"\ntarget = {{ az = \"b\" }}\n{after}\nfor = \"9s\"\n"
        )
    };
    let text = steps("after = { step = \"a\", delay = \"4s\" }\ndelay = \"70ms\"");
    let p = Playbook::parse("p.toml", &text).unwrap_or_else(|e| panic!("{}", render(&e)));
    let start = Start::After("a".into(), Duration::from_secs(4));
    assert_eq!(p.steps[1].start, start);
    assert_eq!(p.steps[1].params.traffic.to_string(), "delay 70ms");
    for (after, told) in [
        ("after = { delay = \"4s\" }", "names no step"),
        ("after = { step = \"b\" }", "there is no step 'b'"),
        (
            "after = { step = \"a\", wait = \"4s\" }",
            "unknown key 'wait' in 'after'",
        ),
    ] {
        assert!(errors(&steps(after)).contains(told), "{after}");
    }
    let both = steps("after = { step = \"a\", delay = \"4s\" }\ndelay = \"5s\"")
        .replace("\"delay\"\n", "\"pause\"\n");
    assert!(
        errors(&both).contains("in 'after' already"),
        "{}",
        errors(&both)
    );
}

#[test]
fn what_is_wrong_with_repeated_and_random_steps_is_told() {
    let step = |rest: &str| {
        errors(&format!(
            "[playbook]\ntitle = \"t\"\n[[step]]\nfault = \"kill\"\ntarget = {{ az = \"b\" }}\nfor = \"5s\"\n{rest}\n"
        ))
    };
    for (rest, told) in [
        ("at = \"0s\"\ntimes = 3", "both how many times"),
        ("at = \"0s\"\nevery = \"9s\"", "both how many times"),
        (
            "at = \"0s\"\ntimes = 3\nevery = \"5s\"",
            "longer than 'for', 5s",
        ),
        ("at = \"0s\"\ntimes = 1\nevery = \"9s\"", "from 2 to 100"),
        ("at = \"0s\"\ndelay = \"9s\"", "'delay' goes with 'after'"),
        (
            "at = \"0s\"\nweight = 2",
            "unknown key 'weight' in [[step]]",
        ),
    ] {
        assert!(step(rest).contains(told), "{rest}: {}", step(rest));
    }
    let random = |head: &str, fault: &str| {
        errors(&format!(
            "[playbook]\ntitle = \"t\"\n[random]\n{head}\n[[random.fault]]\nfault = \"kill\"\n{fault}\n"
        ))
    };
    let head = "for = \"1m\"\npause = \"5s\"";
    let fault = "target = { random = 1 }\nfor = \"5s\"";
    for (head, fault, told) in [
        ("pause = \"5s\"", fault, "[random] has no 'for'"),
        ("for = \"1m\"", fault, "[random] has no 'pause'"),
        ("for = \"0s\"\npause = \"5s\"", fault, "from 1s to"),
        (
            "for = \"1m\"\npause = [\"9s\", \"5s\"]",
            fault,
            "the shortest and the longest",
        ),
        (
            "for = \"1m\"\npause = [\"0s\", \"5s\"]",
            fault,
            "above zero",
        ),
        (head, "for = \"5s\"", "no 'target'"),
        (head, "target = { random = 1 }", "no 'for'"),
        (
            head,
            "target = { random = 1 }\nfor = \"5s\"\nweight = 0",
            "from 1 to 1000",
        ),
        (
            head,
            "target = { random = 1 }\nfor = \"5s\"\nat = \"0s\"",
            "unknown key 'at'",
        ),
        // There is no start that it could delay, nor traffic.
        (
            head,
            "target = { random = 1 }\nfor = \"5s\"\ndelay = \"5s\"",
            "'delay' goes with 'delay', 'loss'",
        ),
    ] {
        let all = random(head, fault);
        assert!(all.contains(told), "{head} {fault}: {all}");
    }
    let none = errors("[playbook]\ntitle = \"t\"\n[random]\nfor = \"1m\"\npause = \"5s\"\n");
    assert!(none.contains("[random] has no 'fault'"), "{none}");
}

#[test]
fn labels_and_racks_are_read() {
    let text = "[playbook]\ntitle = \"t\"\n[cluster]\nracks_per_az = 2\n[cluster.labels]\nold = [\"storage-a1\", \"router-b\"]\n[[step]]\nfault = \"kill\"\ntarget = { label = \"old\" }\nat = \"0s\"\nfor = \"5s\"\n";
    let p = Playbook::parse("p.toml", text).unwrap_or_else(|e| panic!("{}", render(&e)));
    assert_eq!(p.cluster.racks_per_az, 2);
    assert_eq!(p.cluster.labels["old"], ["storage-a1", "router-b"]);
    for (labels, told) in [
        ("3", "a table such as"),
        ("{ x = [] }", "a list of 1 to"),
        ("{ x = \"storage-a1\" }", "a list of 1 to"),
        ("{ x = [1] }", "a text in quotes"),
    ] {
        assert!(
            errors(&format!("[cluster]\nlabels = {labels}\n")).contains(told),
            "{labels}"
        );
    }
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

#[test]
fn what_is_said_about_disks_data_clocks_and_bounds() {
    use gameday_chaos::faults::Resources;
    use gameday_record::conditions::{DiskOperation, Full};
    let on = |fault: &str, more: &str| {
        format!(
            "[playbook]\ntitle = \"t\"\n[[step]]\nat = \"0s\"\nfor = \"5s\"\nfault = \"{fault}\"\n\
             target = {{ node = \"storage-a1\" }}\n{more}"
        )
    };
    let read = |fault: &str, more: &str| -> Resources {
        let p = Playbook::parse("p.toml", &on(fault, more));
        p.unwrap_or_else(|e| panic!("{}", render(&e))).steps[0]
            .params
            .resources
    };
    assert_eq!(read("disk-full", "").refuses, Full::Growth);
    assert_eq!(
        read("disk-full", "refuses = \"writes\"").refuses,
        Full::Writes
    );
    let slow = read("disk-slow", "sync_delay = \"50ms\"");
    assert_eq!(slow.sync_delay, Duration::from_millis(50));
    assert_eq!(
        read("disk-error", "operation = \"read\"").operation,
        DiskOperation::Read
    );
    let clock = read("clock-skew", "jump = \"-1h\"\ndrift = \"2.5%\"").clock;
    assert_eq!((clock.jump_ms, clock.drift_ppm), (-3_600_000, 25_000));
    assert_eq!(
        read("clock-skew", "drift = \"-50%\"").clock.drift_ppm,
        -500_000
    );
    assert_eq!(read("slow-node", "cpus = 0.25").cpu_percent, 25);
    assert_eq!(read("memory-limit", "memory_mib = 6").memory, 6 << 20);
    for (fault, more, told) in [
        (
            "disk-full",
            "refuses = \"reads\"",
            "'refuses' cannot be 'reads'",
        ),
        (
            "disk-slow",
            "sync_delay = \"2s\"",
            "'sync_delay' is from 1ms to 1s",
        ),
        (
            "disk-slow",
            "operation = \"sync\"",
            "goes with 'disk-error', not with 'disk-slow'",
        ),
        (
            "kill",
            "file = \"any\"",
            "goes with 'bit-flip' and 'truncate'",
        ),
        ("clock-skew", "", "does not say how wrong the clock is"),
        ("clock-skew", "jump = \"500ms\"", "at least 1s"),
        ("clock-skew", "drift = \"60%\"", "from 1% to 50%"),
        (
            "clock-skew",
            "drift = \"fast\"",
            "a share is written in percent",
        ),
        ("cpu-limit", "cpus = 0", "'cpus' is from 0.01 to 64"),
        ("memory-limit", "memory_mib = 5", "memory_mib"),
    ] {
        let all = Playbook::parse("p.toml", &on(fault, more)).unwrap_err();
        let text = render(&all);
        assert!(text.contains(told), "{fault} {more}: {text}");
    }
}

#[test]
fn a_step_is_held_until_an_alarm_of_the_playbook_or_a_change_of_leader() {
    let with = |until: &str| {
        format!(
            "[playbook]\ntitle = \"t\"\n[[step]]\nfault = \"pause\"\ntarget = {{ az = \"b\" }}\n\
             at = \"0s\"\nfor = \"5s\"\nuntil = \"{until}\"\n[[alarm]]\nname = \"pager\"\n\
             failures = {{ above = \"50%\" }}\n"
        )
    };
    for (text, said) in [
        ("pager", "alarm 'pager' fires"),
        ("leader-change", "a leader changes"),
    ] {
        let book = Playbook::parse("p.toml", &with(text)).expect("it is right");
        let until = book.steps[0].until.as_ref().expect("it is there");
        assert_eq!(until.to_string(), said);
    }
    let wrong = errors(&with("pagar"));
    assert!(wrong.contains("neither an alarm"), "{wrong}");
    assert!(wrong.contains("did you mean 'pager'?"), "{wrong}");
}
