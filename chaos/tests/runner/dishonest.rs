//! What does not do what it was told: it is noticed, told, and reverted.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_cut_that_does_not_cut_is_noticed() {
    let mut run = Run::of(
        step("cut b", "partition", "az = \"b\"", AT0, "20s")
            + &step(
                "later",
                "kill",
                "node = \"router-a\"",
                "after = \"cut b\"",
                "5s",
            ),
    );
    run.switches.leaks = Some(Link {
        from: "storage-b2".into(),
        to: "router-c".into(),
    });
    let seen = run.go().await;
    seen.is_unproven("storage-b2 → router-c");
    assert_eq!(seen.proofs(1), [Fail, Pass]);
    assert!(!seen.log.has("kill"), "the steps end");
    assert!(
        seen.log.has("timeline phase cooldown"),
        "the cluster still gets its time to recover"
    );
}

/// The canaries' links as well: those that should be cut, and those beside them.
#[tokio::test(start_paused = true)]
async fn a_canary_that_is_cut_off_otherwise_than_asked_is_noticed() {
    let link = |from: &str, to: &str| {
        Some(Link {
            from: from.into(),
            to: to.into(),
        })
    };
    let run = || Run::of(step("cut b", "partition", "az = \"b\"", AT0, "20s"));
    for leak in [link("canary-a", "router-b"), link("router-a", "canary-b")] {
        let mut run = run();
        run.switches.leaks = leak.clone();
        let seen = run.go().await;
        let leak = leak.unwrap();
        seen.is_unproven(&format!("{} → {}", leak.from, leak.to));
        assert_eq!(seen.proofs(1), [Fail, Pass]);
    }
    let mut run = run();
    run.switches.broken = link("canary-b", "router-b");
    let seen = run.go().await;
    let told = &seen.summary.unproven[0];
    assert!(
        told.contains("beside it: 1 of 12 links are not open: canary-b → router-b"),
        "{told}"
    );
    // And nobody mended it.
    let left = &seen.summary.not_clean;
    assert!(left[0].contains("canary-b → router-b"), "{left:?}");
}

/// A link that no injection knows of is seen, and is not blamed on one.
#[tokio::test(start_paused = true)]
async fn after_the_last_revert_every_node_must_reach_every_other() {
    let link = Link {
        from: "storage-a1".into(),
        to: "storage-c1".into(),
    };
    let mut run = Run::of(step("x", "kill", "node = \"storage-b1\"", AT0, "8s"));
    run.switches.broken = Some(link);
    let seen = run.go().await;
    assert_eq!(seen.proofs(1), [Pass; 3]);
    assert_eq!(seen.summary.state, RunState::Failed);
    assert_eq!(seen.summary.unproven, Vec::<String>::new());
    let left = &seen.summary.not_clean;
    assert!(left[0].contains("storage-a1 → storage-c1"), "{left:?}");
    assert!(
        seen.log.has("timeline reachability Fail"),
        "{:#?}",
        seen.log.all()
    );

    // Nothing was injected: nothing can be left.
    let mut run = Run::of(step("x", "kill", "node = \"storage-b1\"", AT0, "8s"));
    run.health = vec![baseline(Fail, &["writes 40 %"])];
    assert!(!run.go().await.log.has("timeline reachability"));
}

#[tokio::test(start_paused = true)]
async fn a_cut_whose_lease_lapsed_is_not_proven_even_if_it_holds_again() {
    let mut run = Run::of(step("cut b", "partition", "az = \"b\"", AT0, "20s"));
    run.switches.lapsed = Some("control over storage-b1 was lost for 4 s".into());
    let seen = run.go().await;
    seen.is_unproven("control over storage-b1 was lost");
    assert_eq!(seen.proofs(1), [Unknown, Pass]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_by_itself_is_noticed_at_the_end_of_the_hold() {
    let mut run = Run::of(step("x", "power-off", "node = \"storage-b1\"", AT0, "20s"));
    run.switches.restarts_itself = Some(Duration::from_secs(7));
    let seen = run.go().await;
    seen.is_unproven("started again by somebody else");
    assert_eq!(seen.proofs(1), [Pass, Fail, Pass]);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_process_that_was_replaced_is_not_proven() {
    let mut run = Run::of(step("x", "pause", "node = \"storage-b1\"", AT0, "20s"));
    run.switches.replaced = Some(Duration::from_secs(7));
    let seen = run.go().await;
    seen.is_unproven("is not frozen");
    assert_eq!(seen.proofs(1), [Pass, Fail, Unknown]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_seen_is_unknown_and_not_proven() {
    for (fault, reverted) in [("kill", Pass), ("partition", Unknown)] {
        let mut run = Run::of(step("x", fault, "node = \"storage-b1\"", AT0, "20s"));
        run.switches.blind = true;
        let seen = run.go().await;
        seen.is_unproven("not proven to be in force");
        assert_eq!(seen.proofs(1), [Unknown, reverted], "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revert_is_tried_again_and_then_given_up_as_not_clean() {
    let steps = || step("x", "kill", "node = \"storage-b1\"", AT0, "5s");
    let mut run = Run::of(steps());
    run.switches.reverts_fail = 2;
    let seen = run.go().await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );

    let mut run = Run::of(steps());
    run.switches.reverts_fail = 99;
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Failed);
    assert!(seen.summary.not_clean[0].contains("the engine does not answer"));
    assert!(seen.summary.not_clean[0].contains("by hand: start each"));
    assert!(seen.log.has("timeline revert-failed 1"));
    assert!(!seen.log.has("timeline reverted"));
}

#[tokio::test(start_paused = true)]
async fn a_revert_that_hangs_is_given_up_even_when_interrupted() {
    let mut run = Run::of(step("x", "pause", "node = \"storage-b1\"", AT0, "50s"));
    run.switches.reverts_hang = true;
    run.stop = Some((Duration::from_secs(20), Stop::Interrupted("SIGINT".into())));
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Interrupted);
    assert!(seen.summary.not_clean[0].contains("longer than 30 s"));
    // And 200 ms of the fake's probe.
    assert_eq!(seen.took, Duration::from_millis(50_200));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_serves_again_is_not_clean() {
    let mut run = Run::of(step("x", "kill", "node = \"storage-b1\"", AT0, "5s"));
    run.switches.never_serves = true;
    let seen = run.go().await;
    assert_eq!(seen.proofs(1), [Pass, Pass, Fail]);
    assert!(seen.summary.not_clean[0].contains("/health does not answer"));
}

#[tokio::test(start_paused = true)]
async fn no_intent_on_disk_no_injection() {
    let mut run = Run::of(step("x", "kill", "node = \"storage-b1\"", AT0, "5s"));
    run.refuse = |e| matches!(e, TimelineEvent::Intent { .. });
    let seen = run.go().await;
    seen.is_unproven("disk full");
    assert!(!seen.log.has("kill"));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fills_up_later_does_not_keep_a_revert_from_running() {
    let mut run = Run::of(step("x", "kill", "node = \"storage-b1\"", AT0, "5s"));
    run.refuse = |e| {
        !matches!(
            e,
            TimelineEvent::Intent { .. } | TimelineEvent::Phase { .. }
        )
    };
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Failed);
    assert!(seen.summary.reason.unwrap().contains("disk full"));
    assert!(seen.log.has("start storage-b1") && seen.clean);
}

#[tokio::test(start_paused = true)]
async fn an_act_that_fails_half_way_is_reverted_whole() {
    let mut run = Run::of(step("x", "kill", "az = \"b\"", AT0, "5s"));
    run.switches.unkillable = Some("storage-b2".into());
    let seen = run.go().await;
    seen.is_unproven("permission denied");
    assert!(!seen.log.has("timeline injected"));
    for node in ["router-b", "storage-b1", "storage-b2"] {
        assert!(seen.log.has(&format!("start {node}")));
    }
}

/// It is set right all the same, and that is no failed revert.
#[tokio::test(start_paused = true)]
async fn a_clock_that_cannot_be_read_is_set_right_and_unknown() {
    let skewed = || {
        let when = "at = \"0s\"\njump = \"1h\"";
        Run::of(step("x", "clock-skew", "node = \"storage-b1\"", when, "8s"))
    };
    let seen = skewed().go().await;
    assert_eq!(seen.proofs(1), [Pass; 3], "{:?}", seen.summary);
    let mut run = skewed();
    // The last proof is taken at 17 s, the revert is at 18 s.
    run.switches.clocks_hidden = Some(Duration::from_millis(17_500));
    let seen = run.go().await;
    assert_eq!(seen.proofs(1), [Pass, Pass, Unknown], "{:?}", seen.summary);
    seen.is_unproven("its clock was not read");
    assert!(seen.log.has("clock storage-b1 0 ms"));
    assert!(!seen.log.has("timeline revert-failed"));
}

/// From its own machine it looks the same: the process is gone.
#[tokio::test(start_paused = true)]
async fn a_node_whose_links_carry_on_has_power() {
    let mut run = Run::of(step("x", "power-off", "node = \"storage-b1\"", AT0, "8s"));
    run.switches.stays_lit = true;
    let seen = run.go().await;
    assert_eq!(seen.proofs(1), [Fail, Pass]);
    seen.is_unproven("22 of 22 links are not cut");
    let mut run = Run::of(step("x", "kill", "node = \"storage-b1\"", AT0, "8s"));
    run.switches.stays_lit = true;
    assert_eq!(run.go().await.proofs(1), [Pass; 3], "who is killed has");
}

/// What an engine was told to do it does, also when nobody waits for it any more.
#[tokio::test(start_paused = true)]
async fn an_act_that_takes_too_long_is_waited_for_before_the_revert() {
    let late = |secs| {
        let mut run = Run::of(step("x", "kill", "node = \"storage-b1\"", AT0, "5s"));
        run.switches.kill_takes = Some(Duration::from_secs(secs));
        run
    };
    let seen = late(45).go().await;
    seen.is_unproven("it took longer than 30 s");
    assert_eq!(seen.proofs(1), [Unknown, Pass]);
    assert!(seen.log.position("killed storage-b1") < seen.log.position("start storage-b1"));

    // One that does not end is reverted all the same, and what comes of it is not known.
    let seen = late(600).go().await;
    assert_eq!(seen.proofs(1), [Unknown, Unknown]);
    let told = format!("{:?}", seen.summary.unproven);
    assert!(told.contains("its injection still goes on"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_bug_while_injecting_still_reverts() {
    let mut run = Run::of(step("x", "kill", "node = \"storage-b1\"", AT0, "5s"));
    run.switches.panics = true;
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Failed);
    assert!(seen.log.position("kill") < seen.log.position("start storage-b1"));
    assert!(seen.clean);
}

#[tokio::test(start_paused = true)]
async fn a_bug_of_whoever_runs_it_still_reverts() {
    let mut run = Run::of(step("x", "kill", "node = \"storage-b1\"", AT0, "60s"));
    // The fault is in force by then, and its step waits for the end of the hold.
    run.bug = Some(Duration::from_secs(20));
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Failed);
    let why = seen.summary.reason.unwrap_or_default();
    assert!(why.contains("a panic"), "{why}");
    assert!(seen.log.position("kill") < seen.log.position("start storage-b1"));
    assert!(seen.log.has("timeline reverted"));
    assert!(seen.clean);
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_go_on_ends_it_with_the_reason() {
    let mut run = Run::of(step("x", "kill", "node = \"storage-b1\"", AT0, "60s"));
    let why = "what happens is no longer recorded";
    run.stop = Some((Duration::from_secs(20), Stop::Failed(why.into())));
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Failed);
    assert_eq!(seen.summary.reason.as_deref(), Some(why));
    assert!(seen.log.has("timeline reverted"));
    assert!(seen.clean);
}
