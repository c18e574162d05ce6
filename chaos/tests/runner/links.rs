//! Faults of links: partition shapes and traffic.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_partition_shape_is_proven_and_gone_afterwards() {
    for (fault, rest, links) in [
        ("isolate", "target = { node = \"storage-b1\" }", 22),
        (
            "split",
            "groups = [{ az = \"a\" }, { node = \"storage-b1\" }]",
            8,
        ),
        ("majority", "", 60),
        ("one-way", "target = { az = \"b\" }", 30),
        ("one-way", "target = { az = \"b\" }\ndirection = \"in\"", 30),
        ("bridge", "target = { az = \"b\" }", 30),
        // Six in a ring, each without two.
        ("majorities-ring", "target = { role = \"storage\" }", 12),
        ("leader", "target = { leader = \"canary/0\" }", 4),
        ("clients", "target = { az = \"b\" }", 18),
        (
            "clients",
            "target = { node = \"router-b\" }\nfrom = [\"a\", \"c\"]",
            4,
        ),
    ] {
        let step = format!("[[step]]\nfault = \"{fault}\"\n{rest}\nat = \"0s\"\nfor = \"8s\"\n");
        let mut run = Run::of(step);
        run.head = "allow_quorum_loss = true";
        let seen = run.go().await;
        assert_eq!(
            seen.summary.state,
            RunState::Completed,
            "{fault}: {:?}",
            seen.summary
        );
        assert_eq!(seen.proofs(1), [Pass; 3], "{fault}");
        let told = format!("{:?}", seen.log.events());
        assert!(
            told.contains(&format!("across the border: {links} links probed cut")),
            "{fault}: {told}"
        );
        assert!(seen.clean, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_rejects_is_proven_to_reject() {
    for step in [
        step(
            "x",
            "partition",
            "az = \"b\"",
            "at = \"0s\"\nhow = \"reject\"",
            "8s",
        ),
        step("x", "reset", "az = \"b\"", AT0, "8s"),
    ] {
        let seen = Run::of(step).go().await;
        assert_eq!(seen.proofs(1), [Pass; 3], "{:?}", seen.summary);
        assert!(seen.log.has("reject ") && !seen.log.has("cut "));
        assert!(seen.clean);
    }
}

/// Steps of one traffic fault on AZ b.
fn traffic(fault: &str, rest: &str) -> String {
    step("x", fault, "az = \"b\"", &format!("{AT0}\n{rest}"), "30s")
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_traffic_is_proven_and_gone_afterwards() {
    for (fault, rest, shaped) in [
        ("delay", "", "delay 50ms ± 10ms"),
        (
            "delay",
            "delay = \"300ms\"\ndirection = \"out\"",
            "delay 300ms",
        ),
        ("loss", "", "loss 20 %"),
        ("duplicate", "duplicate = \"10%\"", "duplicate 10 %"),
        ("corrupt", "", "corrupt 20 %"),
        ("reorder", "", "delay 50ms, reorder 20 %"),
        ("rate", "direction = \"in\"", "rate 1mbit"),
        (
            "traffic",
            "delay = \"100ms\"\nloss = \"5%\"\nrate = \"2mbit\"\nto = { az = \"c\" }",
            "delay 100ms, loss 5 %, rate 2mbit",
        ),
    ] {
        let seen = Run::of(traffic(fault, rest)).go().await;
        assert_eq!(
            seen.proofs(1),
            [Pass; 3],
            "{fault}: {:?} {:?}",
            seen.summary,
            seen.log.events()
        );
        assert!(
            seen.log
                .all()
                .iter()
                .any(|l| l.ends_with(&format!(": {shaped}"))),
            "{fault}: {:#?}",
            seen.log.all()
        );
        assert!(seen.clean, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn traffic_that_is_not_as_asked_is_not_proven() {
    let leak = Link {
        from: "storage-b1".into(),
        to: "storage-a1".into(),
    };
    for (fault, rest) in [
        ("delay", ""),
        ("loss", "loss = \"50%\""),
        ("duplicate", "duplicate = \"50%\""),
        ("corrupt", "corrupt = \"50%\""),
        ("reorder", ""),
        ("rate", "to = { node = \"storage-a1\" }"),
    ] {
        let mut run = Run::of(traffic(fault, rest));
        run.switches.leaks = Some(leak.clone());
        let seen = run.go().await;
        assert_eq!(seen.proofs(1)[0], Fail, "{fault}: {:?}", seen.summary);
        let told = format!("{:?}", seen.summary);
        assert!(told.contains("storage-b1 → storage-a1"), "{fault}: {told}");
        assert!(seen.clean, "{fault}");

        // Bursts are sent over some of the links beside only.
        if fault != "rate" {
            let mut run = Run::of(traffic(fault, &format!("{rest}\ndirection = \"in\"")));
            run.switches.spreads = Some(leak.clone());
            let seen = run.go().await;
            if fault == "reorder" {
                // It is seen by the delay that it needs.
                assert!(format!("{:?}", seen.summary).contains("beside it: delay"));
            }
            assert_eq!(seen.proofs(1)[0], Fail, "{fault}: {:?}", seen.summary);
        }

        let mut run = Run::of(traffic(fault, rest));
        run.switches.stays_shaped = true;
        let seen = run.go().await;
        assert_eq!(seen.proofs(1), [Pass, Pass, Fail], "{fault}");
        assert!(!seen.clean, "{fault}");
    }
    let mut run = Run::of(traffic("delay", ""));
    run.switches.blind = true;
    assert_eq!(run.go().await.proofs(1)[0], Unknown);
    let mut run = Run::of(traffic("delay", ""));
    run.switches.lapsed = Some("the lease of b1 lapsed".into());
    assert_eq!(run.go().await.proofs(1)[0], Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_leader_apart_from_its_followers_still_serves_clients() {
    let seen = Run::of(step("x", "leader", "leader = \"canary/0\"", AT0, "8s"))
        .go()
        .await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    // Two followers, both ways, and no canary.
    assert!(seen.log.has("cut 4"), "{:#?}", seen.log.all());
    let injection = seen.injection();
    assert_eq!(injection.targets.len(), 3);
    assert_eq!(
        (injection.hurt, injection.azs),
        (names(&["storage-a1"]), names(&["a"]))
    );
}

/// No replica is away, so a step beside it may take one away elsewhere.
#[tokio::test(start_paused = true)]
async fn clients_that_are_cut_off_take_no_replica_away() {
    let clients = step("x", "clients", "az = \"b\"", AT0, "8s");
    let beside = step("y", "kill", "node = \"storage-c1\"", "at = \"2s\"", "3s");
    let seen = Run::of(clients.clone() + &beside).go().await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    // Whom clients call is what they notice.
    let injection = seen.injection();
    assert_eq!(injection.targets.len(), 3);
    assert_eq!(
        (injection.hurt, injection.azs),
        (names(&["router-b"]), names(&["b"]))
    );

    // Nodes that do not reach each other are no such fault.
    let mut run = Run::of(clients);
    run.switches.broken = Some(Link {
        from: "router-b".into(),
        to: "storage-a1".into(),
    });
    let seen = run.go().await;
    assert_eq!(seen.proofs(1)[0], Fail);
    let told = &seen.summary.unproven[0];
    assert!(
        told.contains("beside it: 1 of 42 links are not open: router-b → storage-a1"),
        "{told}"
    );
}

/// It reaches everybody; those beside it do not.
#[tokio::test(start_paused = true)]
async fn the_bridge_itself_is_not_touched() {
    let mut run = Run::of(step("x", "bridge", "az = \"b\"", AT0, "8s"));
    run.head = "allow_quorum_loss = true";
    let injection = run.go().await.injection();
    assert_eq!(injection.azs, names(&["a", "c"]));
    assert!(
        injection
            .targets
            .iter()
            .all(|t| !injection.hurt.contains(t))
    );
}
