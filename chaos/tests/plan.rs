//! Plans: the same for the same seed, and refused where they cannot work.

mod support;

use gameday_chaos::plan::{PlannedStart, PlannedTarget, plan};
use gameday_chaos::playbook::{Playbook, render};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{playbook, step, topology};

/// Plans and returns the messages, `line: message`.
fn refused(head: &str, steps: &str) -> Vec<String> {
    match plan(&playbook(head, steps), 1, &topology()) {
        Ok(p) => panic!("planned:\n{}", p.lines().join("\n")),
        Err(all) => all
            .iter()
            .map(|d| {
                let line = d.place.as_ref().map_or(0, |p| p.line);
                let help = d.help.clone().unwrap_or_default();
                format!("{line}: {} ({help})", d.message)
            })
            .collect(),
    }
}

fn planned(head: &str, steps: &str) {
    if let Err(all) = plan(&playbook(head, steps), 1, &topology()) {
        panic!("{}", render(&all));
    }
}

const AT0: &str = "at = \"0s\"";

#[test]
fn the_same_seed_gives_the_same_plan_to_the_byte() {
    let steps: String = (0..4)
        .map(|i| {
            step(
                &format!("s{i}"),
                "kill",
                "random = 1",
                &format!("at = \"{}s\"", i * 20),
                "5s",
            )
        })
        .collect();
    let book = playbook("", &steps);
    let lines = |seed| plan(&book, seed, &topology()).unwrap().lines();
    for seed in 0..10 {
        assert_eq!(lines(seed), lines(seed));
    }
    let distinct: std::collections::BTreeSet<_> = (0..20).map(lines).collect();
    assert!(distinct.len() > 15, "{} plans of 20 seeds", distinct.len());
}

#[test]
fn what_a_seed_chooses_does_not_change_with_versions() {
    let steps = step("one", "kill", "random = 1", AT0, "5s")
        + &step(
            "two",
            "kill",
            "random = 1, role = \"router\"",
            "after = \"one\"",
            "5s",
        );
    let p = plan(&playbook("", &steps), 42, &topology()).unwrap();
    let targets: Vec<_> = p.steps.iter().map(|s| s.target.clone()).collect();
    let nodes = |n: &str| PlannedTarget::Nodes(vec![vec![n.to_string()]]);
    assert_eq!(targets, [nodes("storage-b2"), nodes("router-c")]);
}

#[test]
fn a_plan_reads_like_this() {
    let steps = step("lose b", "power-off", "az = \"b\"", "at = \"1s\"", "15s")
        + &step(
            "freeze",
            "pause",
            "leader = \"canary/0\"",
            "after = \"lose b\"",
            "8s",
        );
    let p = plan(&playbook("", &steps), 42, &topology()).unwrap();
    assert_eq!(
        p.lines(),
        [
            "+0s       baseline for 10s: the healthy cluster is measured; if it is not healthy within 1m, nothing is injected",
            "+11s      lose b for 15s: power-off az b → router-b, storage-b1, storage-b2",
            "          undo: power these nodes on again: router-b, storage-b1, storage-b2 (AZ b)",
            "then      freeze for 8s: pause leader of canary/0 → whoever that is then, once 'lose b' is reverted",
            "          a fault that is not proven 10s after its hold is reverted and counts as unknown",
            "then      cooldown for 15s: everything is reverted; recovery is measured",
        ]
    );
    assert_eq!(p.least_steps(), Duration::from_secs(24));
    assert_eq!(p.least_duration(), Duration::from_secs(49));
}

#[test]
fn targets_that_do_not_exist_are_refused_all_at_once() {
    let steps = step("1", "kill", "node = \"storage-d1\"", AT0, "5s")
        + &step("2", "kill", "az = \"e\"", AT0, "5s")
        + &step("3", "kill", "all = \"storag\"", AT0, "5s")
        + &step("4", "kill", "random = 4, role = \"router\"", AT0, "5s")
        + &step("5", "kill", "random = 1, role = \"log\"", AT0, "5s")
        + &step("6", "partition", "random = 9", AT0, "5s")
        + &step("7", "kill", "az = \"b\", node = \"storage-a1\"", AT0, "5s")
        + &step("8", "kill", "rack = \"rack-a3\"", AT0, "5s")
        + &step("9", "kill", "label = \"old\"", AT0, "5s")
        + &step("10", "kill", "az = \"b\", minority = true", AT0, "5s");
    let all = refused("allow_quorum_loss = true", &steps);
    let expected = [
        "there is no node 'storage-d1' (did you mean 'storage-",
        "there is no AZ 'e' (",
        "no node has the role 'storag' (did you mean 'storage'?)",
        "4 nodes are asked for; there are 3",
        "no node has the role 'log' (known: router, storage)",
        "would do nothing",
        "'az b and node storage-a1' selects no node (there are storage-a1, ",
        "there is no rack 'rack-a3' (",
        "no node has the label 'old' (",
        "'a minority of AZs of (az b)' selects no node: of 1 AZs none can be lost",
    ];
    assert_eq!(all.len(), expected.len(), "{all:#?}");
    for (told, expected) in all.iter().zip(expected) {
        assert!(told.contains(expected), "{told}");
    }
    assert!(all[0].starts_with("7: "), "{}", all[0]);
}

/// The nodes of one step with this target.
fn nodes(target: &str, seed: u64) -> Vec<String> {
    let book = playbook(
        "allow_quorum_loss = true",
        &step("x", "kill", target, AT0, "5s"),
    );
    match plan(&book, seed, &topology()).unwrap().steps[0]
        .target
        .clone()
    {
        PlannedTarget::Nodes(sides) => sides.concat(),
        later => panic!("{later:?}"),
    }
}

#[test]
fn every_selector_finds_its_nodes() {
    for (target, expected) in [
        ("rack = \"rack-a1\"", "router-a storage-a1"),
        ("label = \"canary-nodes\"", "router-b storage-a1"),
        ("az = \"b\", role = \"storage\"", "storage-b1 storage-b2"),
        (
            "az = [\"a\", \"b\"], role = \"router\"",
            "router-a router-b",
        ),
        (
            "role = \"storage\", not = { az = [\"a\", \"b\"] }",
            "storage-c1 storage-c2",
        ),
        (
            "az = \"c\", percent = 100",
            "router-c storage-c1 storage-c2",
        ),
    ] {
        assert_eq!(nodes(target, 1).join(" "), expected, "{target}");
    }
    for seed in 0..20 {
        assert_eq!(nodes("all = true", seed).len(), 9);
        // Rounded up.
        assert_eq!(nodes("percent = 1", seed).len(), 1);
        assert_eq!(nodes("percent = 34, role = \"storage\"", seed).len(), 3);
        let few = nodes("minority = true", seed);
        assert_eq!(few.len(), 3);
        assert!(few.iter().all(|n| n.contains(&few[0][7..])), "{few:?}");
        assert_eq!(nodes("majority = true, role = \"storage\"", seed).len(), 4);
    }
}

#[test]
fn who_leads_counts_for_as_many_azs_as_it_may_hurt() {
    let of = |target: &str| step("x", "kill", target, AT0, "5s");
    planned("", &of("leader = \"canary\", az = \"b\""));
    planned("", &of("followers = \"canary/0\", random = 1"));
    planned("", &of("leader = \"canary/0\", role = \"storage\""));
    for (target, azs) in [
        ("leader = \"canary\"", 3),
        ("followers = \"canary/0\"", 2),
        ("not = { leader = \"canary/0\" }", 3),
    ] {
        let all = refused("", &of(target));
        assert!(all[0].contains(&format!("up to {azs} of 3")), "{all:?}");
    }
}

#[test]
fn every_table_of_the_workload_is_led_by_somebody() {
    let two = "[workload]\ntables = 2\n";
    planned(
        two,
        &step("x", "pause", "leader = \"canary-2/0\"", AT0, "5s"),
    );
}

/// A cluster whose roles say nothing of replicas.
#[test]
fn without_a_role_that_holds_replicas_every_node_counts() {
    let mut redis = topology();
    for node in &mut redis.nodes {
        node.role = "redis".into();
    }
    let both = step("x", "kill", "az = \"a\"", AT0, "5s")
        + &step("y", "kill", "node = \"router-b\"", AT0, "5s");
    assert!(plan(&playbook("", &both), 1, &topology()).is_ok());
    let why = plan(&playbook("", &both), 1, &redis).unwrap_err();
    assert!(why[0].message.contains("up to 2 of 3 AZs"), "{why:?}");
}

/// One look at what is rare, or slow, takes its time; a fault is not kept in force for it.
#[test]
fn what_cannot_be_proven_in_its_time_is_refused() {
    let link = "node = \"storage-a1\"";
    let to = "to = { node = \"storage-b1\" }";
    let traffic = |more: &str, hold: &str| {
        let when = format!("{AT0}\n{to}\ndirection = \"out\"\n{more}");
        step("x", "traffic", link, &when, hold)
    };
    // Over one link, 2400 messages of which a hundredth is lost, each 10 ms after the other.
    let rare = "loss = \"1%\"";
    let all = refused("", &traffic(rare, "10s"));
    assert!(all[0].starts_with("4: 'x' could not be proven"), "{all:?}");
    assert!(all[0].contains("one look at it takes 26s"), "{all:?}");
    assert!(
        all[0].contains("(for = \"48s\" or longer; or a larger share"),
        "{all:?}"
    );
    let long = playbook("", &traffic(rare, "48s"));
    let said = plan(&long, 1, &topology()).unwrap().lines().join("\n");
    assert!(said.contains("each proof measures for 25.5s"), "{said}");
    // As slowly as that nobody measures, however long it is held.
    let slow = "loss = \"1%\"\nrate = \"64kbit\"";
    for hold in ["10s", "1h"] {
        let all = refused("", &traffic(slow, hold));
        assert!(
            all[0].contains("2400 messages over each of its links"),
            "{all:?}"
        );
    }
    // Many links, more slowly.
    let mut wide = topology();
    for az in ["a", "b", "c"] {
        for i in 3..=8 {
            let mut node = wide.node(&format!("storage-{az}1")).unwrap().clone();
            node.name = format!("storage-{az}{i}");
            wide.nodes.push(node);
        }
    }
    let book = |hold| playbook("", &step("x", "loss", "az = \"b\"", AT0, hold));
    let why = plan(&book("10s"), 1, &wide).unwrap_err();
    assert!(why[0].message.contains("takes 12.8s"), "{why:?}");
    assert!(plan(&book("30s"), 1, &wide).is_ok());
    assert!(plan(&book("10s"), 1, &topology()).is_ok());
    // When a hold is cut short, the last look begins only then.
    let cut = traffic(&format!("{rare}\nuntil = \"leader-change\""), "1h");
    assert!(refused("", &cut)[0].contains("until something comes"));
}

#[test]
fn every_partition_shape_plans_and_says_who_is_on_which_side() {
    let said = |fault: &str, rest: &str| {
        let step = format!("[[step]]\nfault = \"{fault}\"\n{rest}\nat = \"0s\"\nfor = \"5s\"\n");
        plan(&playbook("", &step), 3, &topology()).map(|p| p.lines()[1].clone())
    };
    let split = said(
        "split",
        "groups = [{ az = \"a\" }, { az = [\"b\", \"c\"] }]",
    )
    .unwrap();
    assert!(
        split.ends_with(
            "storage-a2 | router-b, router-c, storage-b1, storage-b2, storage-c1, storage-c2"
        ),
        "{split}"
    );
    let minority = said("majority", "").unwrap();
    assert!(
        minority.contains("a minority of AZs → router-"),
        "{minority}"
    );
    assert!(said("one-way", "target = { az = \"b\" }").is_ok());
    assert!(said("bridge", "target = { az = \"b\" }").is_ok());
    let leader = said("leader", "target = { leader = \"canary/0\" }").unwrap();
    assert!(
        leader.contains("leader of canary/0 | followers of canary/0 → whoever"),
        "{leader}"
    );
    // It takes no replica away, wherever it is.
    let clients = "target = { role = \"router\" }\nfrom = \"a\"";
    assert!(said("clients", clients).is_ok());
    let told = |e: Vec<gameday_chaos::playbook::Diagnostic>| render(&e);
    // A ring takes somebody from everybody.
    let ring = "target = { role = \"storage\" }";
    assert!(told(said("majorities-ring", ring).unwrap_err()).contains("3 of 3 AZs"));
    for (fault, rest, why) in [
        (
            "majorities-ring",
            "target = { az = \"b\" }",
            "at least 4 nodes; here are 3",
        ),
        (
            "bridge",
            "target = { az = [\"a\", \"b\"] }",
            "would cut nothing",
        ),
        (
            "split",
            "groups = [{ az = \"a\" }, { node = \"router-a\" }]",
            "two sides",
        ),
        (
            "clients",
            "target = { az = \"b\", role = \"storage\" }",
            "no client calls any of these nodes",
        ),
        // Whoever that will be.
        (
            "clients",
            "target = { leader = \"canary/0\" }",
            "no client calls any of these nodes",
        ),
        (
            "clients",
            "target = { az = \"b\" }\nfrom = [\"a\", \"d\"]",
            "there is no AZ 'd'",
        ),
    ] {
        assert!(
            told(said(fault, rest).unwrap_err()).contains(why),
            "{fault}"
        );
    }
}

#[test]
fn a_repeated_step_is_planned_each_time_and_what_follows_waits_for_the_last() {
    let steps = step(
        "again",
        "kill",
        "random = 1",
        "at = \"2s\"\ntimes = 3\nevery = \"20s\"",
        "5s",
    ) + &step(
        "then",
        "pause",
        "node = \"router-a\"",
        "after = \"again\"\ndelay = \"3s\"\ntimes = 2\nevery = \"9s\"",
        "5s",
    );
    let p = plan(&playbook("", &steps), 5, &topology()).unwrap();
    let at = |s| PlannedStart::At(Duration::from_secs(s));
    let after = |i, s| PlannedStart::After(i, Duration::from_secs(s));
    let starts: Vec<_> = p.steps.iter().map(|s| s.start).collect();
    assert_eq!(starts, [at(2), at(22), at(42), after(2, 3), after(3, 4)]);
    assert_eq!(p.steps[1].name, "again (2 of 3)");
    // 42 + 5, 3 + 5, 4 + 5.
    assert_eq!(p.least_steps(), Duration::from_secs(64));
    let told = p.lines().join("\n");
    assert!(
        told.contains("3s after 'again (3 of 3)' is reverted"),
        "{told}"
    );
    // Each time draws anew.
    let drawn: std::collections::BTreeSet<String> = (0..20)
        .flat_map(|seed| {
            let p = plan(&playbook("", &steps), seed, &topology()).unwrap();
            p.steps[..3]
                .iter()
                .map(|s| format!("{:?}", s.target))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(drawn.len(), 9);
    // Too close for the revert of the first.
    let close = step(
        "x",
        "kill",
        "az = \"b\"",
        "at = \"0s\"\ntimes = 3\nevery = \"8s\"",
        "5s",
    );
    assert_eq!(
        refused("", &close).len(),
        1,
        "one problem, not one per time"
    );
}

const RANDOM: &str = "[random]\nfor = \"10m\"\npause = [\"5s\", \"15s\"]\n\
    [[random.fault]]\nweight = 3\nfault = \"power-off\"\ntarget = { role = \"storage\", random = 1 }\nfor = [\"5s\", \"20s\"]\n\
    [[random.fault]]\nfault = \"majority\"\nfor = \"10s\"\n";

#[test]
fn what_is_drawn_at_random_is_the_same_for_the_same_seed_to_the_byte() {
    let book = playbook("", RANDOM);
    let lines = |seed| plan(&book, seed, &topology()).unwrap().lines().join("\n");
    let mut power_offs = 0;
    let mut all = 0;
    for seed in 0..30 {
        assert_eq!(lines(seed), lines(seed));
        let p = plan(&book, seed, &topology()).unwrap();
        assert!(p.least_steps() <= Duration::from_secs(600));
        assert!(p.steps.len() >= 600 / 40, "{}", p.steps.len());
        all += p.steps.len();
        power_offs += p
            .steps
            .iter()
            .filter(|s| s.name.contains("power-off"))
            .count();
        for (i, s) in p.steps.iter().enumerate() {
            let (PlannedStart::At(pause) | PlannedStart::After(_, pause)) = s.start;
            assert!((5.0..=15.0).contains(&pause.as_secs_f64()), "{pause:?}");
            assert!((5.0..=20.0).contains(&s.hold.as_secs_f64()), "{:?}", s.hold);
            assert_eq!(i == 0, matches!(s.start, PlannedStart::At(_)));
        }
    }
    // Three of four, by weight.
    let share = power_offs as f64 / all as f64;
    assert!((0.65..0.85).contains(&share), "{share}");
    let distinct: std::collections::BTreeSet<_> = (0..20).map(lines).collect();
    assert_eq!(distinct.len(), 20);
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let short = RANDOM.replace("10m", "3s");
    assert!(refused("", &short)[0].contains("3s are too short"));
    // A whole day is planned; only one of nothing but faults is not.
    let long = RANDOM.replace("10m", "24h");
    let day = plan(&playbook("", &long), 1, &topology()).unwrap();
    assert!(day.steps.len() > 2500, "{}", day.steps.len());
    let hasty = long
        .replace("\"15s\"", "\"5s\"")
        .replace("\"20s\"", "\"5s\"");
    assert!(refused("", &hasty)[0].contains("more than 5000"));
    let empty = RANDOM.replace("\"storage\"", "\"log\"");
    let all = refused("", &empty);
    assert!(
        all.len() == 1 && all[0].contains("no node has the role 'log'"),
        "{all:?}"
    );
    let quorum = RANDOM.replace("role = \"storage\", random = 1", "all = \"storage\"");
    let all = refused("", &quorum);
    assert!(all.len() == 1 && all[0].contains("3 of 3 AZs"), "{all:?}");
    // What is drawn may be in force at any time, so a fixed step collides.
    let beside = RANDOM.to_string() + &step("b", "kill", "az = \"b\"", "at = \"60s\"", "60s");
    assert!(!refused("", &beside).is_empty());
}

#[test]
fn more_than_a_minority_needs_permission() {
    let region = step("region", "power-off", "all = \"storage\"", AT0, "5s");
    let all = refused("", &region);
    assert!(
        all[0].contains("3 of 3 AZs") && all[0].contains("allow_quorum_loss"),
        "{all:?}"
    );
    planned("allow_quorum_loss = true", &region);

    let b = step("b", "power-off", "az = \"b\"", AT0, "10s");
    let a1 = |when: &str| step("a1", "kill", "node = \"storage-a1\"", when, "5s");
    let all = refused("", &(b.clone() + &a1("at = \"5s\"")));
    assert!(
        all[0].contains("'b' and 'a1'") && all[0].contains("2 of 3"),
        "{all:?}"
    );
    // The revert of b may take until 15 s.
    assert_eq!(refused("", &(b.clone() + &a1("at = \"14s\""))).len(), 1);
    planned("", &(b.clone() + &a1("at = \"15s\"")));
    planned("", &(b.clone() + &a1("after = \"b\"")));
    // Routers hold no replicas; and the order of the steps does not matter.
    planned(
        "",
        &(b.clone() + &step("r", "kill", "node = \"router-a\"", AT0, "5s")),
    );
    assert_eq!(refused("", &(a1("at = \"5s\"") + &b)).len(), 1);
    // A leader may be anywhere.
    let leader = step("leader", "pause", "leader = \"canary/1\"", AT0, "5s");
    planned("", &leader);
    let all = refused("", &(b + &leader));
    assert!(all[0].contains("up to 2 of 3"), "{all:?}");
}

#[test]
fn a_chain_of_steps_may_collide_with_a_fixed_one() {
    let chain = step("one", "kill", "az = \"a\"", AT0, "10s")
        + &step("two", "kill", "az = \"b\"", "after = \"one\"", "10s");
    planned("", &chain);
    let third = |at: &str| chain.clone() + &step("three", "kill", "az = \"c\"", at, "5s");
    assert_eq!(refused("", &third("at = \"22s\"")).len(), 1);
    planned("", &third("at = \"30s\""));
}

#[test]
fn faults_that_exclude_each_other_are_refused() {
    let on = |name: &str, fault: &str, target: &str| step(name, fault, target, AT0, "10s");
    let a1 = "node = \"storage-a1\"";
    for (one, other) in [
        ("kill", "pause"),
        ("power-off", "power-off"),
        ("partition", "kill"),
    ] {
        let all = refused("", &(on("x", one, a1) + &on("y", other, a1)));
        assert!(all[0].contains("the same node"), "{all:?}");
    }
    planned(
        "",
        &(on("x", "kill", a1) + &on("y", "pause", "node = \"storage-a2\"")),
    );
    planned(
        "",
        &(on("x", "partition", a1) + &on("y", "pause", "node = \"storage-a2\"")),
    );
    let all = refused(
        "",
        &(on("x", "partition", a1) + &on("y", "partition", "node = \"router-c\"")),
    );
    assert!(all[0].contains("meet on the same ones"), "{all:?}");
}

/// A playbook of the project's own, which parses and begins with what it shows.
fn explained(path: &Path) -> Playbook {
    let name = path.display();
    let book = Playbook::read(path).unwrap_or_else(|e| panic!("{}", render(&e)));
    let lines = book.source.text.lines();
    let comment: Vec<&str> = lines.take_while(|l| l.starts_with('#')).collect();
    let comment = comment.join("\n");
    assert!(
        comment.len() > 200,
        "{name} begins with a comment that explains it"
    );
    assert!(comment.contains("What should happen"), "{name}: {comment}");
    assert!(!book.description.is_empty(), "{name} has a description");
    book
}

/// What they adopt is planned where it runs: by the end-to-end tests.
#[test]
fn every_playbook_of_a_system_of_others_parses_and_says_what_it_shows() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../playbooks/systems");
    let files = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().path()).collect()
    };
    for system in files(&folder).into_iter().filter(|path| path.is_dir()) {
        let all = files(&system);
        let books = all
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "toml"));
        let mut found = 0;
        for path in books {
            let book = explained(path);
            assert!(book.system.is_some(), "{} adopts", path.display());
            found += 1;
        }
        assert!(found > 0, "{} has playbooks", system.display());
        for needed in ["compose.yaml", "images.sh"] {
            let there = all.iter().any(|p| p.ends_with(needed));
            assert!(there, "{} has no {needed}", system.display());
        }
    }
}

#[test]
fn the_leader_of_a_role_is_one_node() {
    let system = |target: &str| {
        format!(
            "[system]\ncompose = \"x\"\nendpoints = {{ a = \"etcd://e1\" }}\n[[system.role]]\n\
             name = \"storage\"\nmatch = {{ service = \"db\" }}\nreplicas = true\n\
             leader = {{ exec = [\"x\"] }}\n{}",
            step("x", "isolate", target, AT0, "5s")
        )
    };
    planned("", &system("leader = \"storage\""));
    let all = refused("", &system("followers = \"storage\""));
    assert!(all[0].contains("in up to 2 of 3 AZs"), "{all:?}");
}

#[test]
fn every_playbook_parses_plans_and_says_what_it_shows() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../playbooks");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        let book = explained(&path);
        for seed in 0..5 {
            let p = plan(&book, seed, &topology()).unwrap_or_else(|e| panic!("{}", render(&e)));
            assert!(
                p.least_duration() <= Duration::from_secs(60),
                "{name} is short"
            );
        }
        names.push(name);
    }
    names.sort();
    for needed in [
        "az-partition",
        "az-power-off",
        "leader-pause",
        "lossy-network",
        "nightly",
        "node-power-off",
        "partition-shapes",
        "region-power-off",
        "slow-network",
    ] {
        assert!(
            names.iter().any(|n| n == needed),
            "{needed} is missing from {names:?}"
        );
    }
}

#[test]
fn a_rollout_hurts_one_node_at_a_time_and_takes_its_time() {
    let all = step("all", "rolling-restart", "role = \"storage\"", AT0, "5s");
    planned("", &all);
    let most = "role = \"storage\", not = { az = \"b\" }";
    let roll = step("roll", "rolling-restart", most, AT0, "5s");
    // Four nodes of at most ten seconds each and three pauses of two, there and back, the hold and
    // a revert.
    let beside = |at: &str| step("beside", "isolate", "az = \"b\"", at, "5s");
    planned("", &(roll.clone() + &beside("at = \"102s\"")));
    let early = roll.clone() + &beside("at = \"101s\"");
    let all = refused("", &early);
    assert!(all[0].contains("up to 2 of 3 AZs"), "{all:?}");
    planned("allow_quorum_loss = true", &early);
    let shared = step(
        "shared",
        "kill",
        "node = \"storage-a1\"",
        "at = \"9s\"",
        "5s",
    );
    let all = refused("allow_quorum_loss = true", &(roll.clone() + &shared));
    assert!(all[0].contains("the same node"), "{all:?}");
    let p = plan(&playbook("", &roll), 1, &topology()).unwrap();
    assert_eq!(p.least_steps(), Duration::from_secs(3 * 2 + 5));
}

/// What cannot be undone must be allowed, and a majority of every quorum stays whole whatever is
/// allowed besides.
#[test]
fn stored_data_are_damaged_only_where_allowed_and_never_on_a_majority() {
    let flip = |name: &str, target: &str, when: &str| {
        format!(
            "[[step]]\nname = \"{name}\"\nfault = \"bit-flip\"\ntarget = {target}\n{when}\n\
             for = \"5s\"\n"
        )
    };
    let one = flip("x", "{ node = \"storage-a1\" }", AT0);
    let all = refused("", &one);
    assert!(all[0].contains("allow_data_loss = true"), "{all:?}");
    let all = refused("allow_quorum_loss = true", &one);
    assert!(all[0].contains("cannot be undone"), "{all:?}");
    planned("allow_data_loss = true", &one);

    let both = "allow_quorum_loss = true\nallow_data_loss = true";
    let all = refused(both, &flip("x", "{ all = \"storage\" }", AT0));
    assert!(
        all[0].contains("3 of 3 AZs") && all[0].contains("majority"),
        "{all:?}"
    );
    let two = one.clone() + &flip("y", "{ node = \"storage-b1\" }", AT0);
    assert!(refused(both, &two)[0].contains("2 of 3 AZs"));
    let apart = one + &flip("y", "{ node = \"storage-b1\" }", "after = \"x\"");
    planned(both, &apart);

    let all = refused(both, &flip("x", "{ az = \"a\" }", AT0));
    assert!(all[0].contains("stores nothing"), "{all:?}");
}

/// What a fault chooses by itself is drawn with the plan: the same for the same seed.
#[test]
fn where_stored_data_are_damaged_depends_on_the_seed() {
    let text = "[[step]]\nfault = \"truncate\"\ntarget = { node = \"storage-a1\" }\nat = \"0s\"\n\
                for = \"5s\"\n";
    let book = playbook("allow_data_loss = true", text);
    let seed = |n| {
        plan(&book, n, &topology()).unwrap().steps[0]
            .params
            .resources
            .seed
    };
    assert_eq!(seed(1), seed(1));
    assert_ne!(seed(1), seed(2));
}
