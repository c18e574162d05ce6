//! How long a fault is held, and how a run ends before its time.

use super::*;

const ALARM: &str = "\n[[alarm]]\nname = \"pager\"\nfailures = { above = \"50%\" }\n";

/// What the runner noted about the condition.
fn condition_of(seen: &Seen) -> String {
    let events = seen.log.events();
    let note = events.iter().find_map(|e| match e {
        TimelineEvent::Note { text } if text.contains("was held until") => Some(text.clone()),
        _ => None,
    });
    note.unwrap_or_else(|| panic!("no word about the condition: {:#?}", seen.log.all()))
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_when_its_alarm_fires_or_else_in_its_time() {
    let until = "at = \"0s\"\nuntil = \"pager\"";
    let steps = step("x", "pause", "node = \"storage-b1\"", until, "60s") + ALARM;
    // The baseline takes 10 s.
    let mut run = Run::of(steps.clone());
    run.alarm = Some(Duration::from_secs(17));
    let seen = run.go().await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    assert_eq!(
        seen.proofs(1),
        [Pass; 3],
        "it held to its end, whenever that was"
    );
    // The proof that it held takes 700 ms.
    assert_eq!(seen.log.at("resume"), 17_700);
    let said = condition_of(&seen);
    assert!(
        said.contains("for 7.0 s: alarm 'pager' fires: 60 %"),
        "{said}"
    );

    let seen = Run::of(steps).go().await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    assert_eq!(seen.proofs(1), [Pass; 3]);
    assert_eq!(seen.log.at("resume"), 70_000);
    let said = condition_of(&seen);
    assert!(said.contains("which did not come in 59.0 s"), "{said}");
}

/// The process that a fault leaves has to live to the end of the hold: another one, started by
/// somebody else meanwhile, looks the same to whoever only asks for another than before.
#[tokio::test(start_paused = true)]
async fn a_process_that_was_replaced_in_the_hold_was_not_held() {
    let on_a1 =
        |fault: &str, more: &str| step("x", fault, "node = \"storage-a1\"", AT0, "12s") + more;
    for (fault, more, reverted) in [
        ("restart", "", Unknown),
        ("rolling-restart", "", Unknown),
        // Its revert is a restart of its own.
        ("rolling-upgrade", "binary = \"newer\"\n", Pass),
        // Who runs after a crash loop is the last one it started, or the one after that.
        ("crash-loop", "uptime = \"4s\"\n", Pass),
    ] {
        let mut run = Run::of(on_a1(fault, more));
        // The hold is from 10 s to 22 s; a crash loop crashes at 10, 14, 18 and would at 22.
        run.switches.dies = Some(("storage-a1", Duration::from_millis(19_000)));
        run.switches.comes_back = Some(Duration::from_millis(500));
        let seen = run.go().await;
        assert_eq!(
            seen.proofs(1),
            [Pass, Fail, reverted],
            "{fault}: {:?}",
            seen.summary
        );
        seen.is_unproven("not proven to be in force to its end");
        // Undisturbed, all of it is a pass.
        let seen = Run::of(on_a1(fault, more)).go().await;
        assert_eq!(seen.proofs(1), [Pass; 3], "{fault}: {:?}", seen.summary);
    }
}

/// A fault is not kept in force for its proof: ten seconds after its hold it is reverted, whatever is
/// still looked at.
#[tokio::test(start_paused = true)]
async fn a_proof_that_takes_too_long_keeps_nothing_in_force() {
    // Bursts at that rate are looked at for seconds, so that the proof is asked for long enough.
    let steps = step("x", "rate", "node = \"storage-b1\"", AT0, "30s") + "rate = \"64kbit\"\n";
    let mut run = Run::of(steps.clone());
    // The baseline takes 10 s; the fault is in force and proven then.
    run.switches.never_measured = Some(Duration::from_secs(35));
    let seen = run.go().await;
    assert_eq!(seen.proofs(1)[..2], [Pass, Unknown], "{:?}", seen.summary);
    let injected = seen.log.at("shape");
    let reverted = seen.log.at("unshape");
    assert!(
        reverted <= injected + 30_000 + 10_000,
        "{injected} {reverted}"
    );
    assert!(reverted > injected + 30_000, "{injected} {reverted}");
    seen.is_unproven("it was not proven within 10 s after its hold");
    // Undisturbed, it is proven in its time.
    let seen = Run::of(steps).go().await;
    assert_eq!(seen.proofs(1), [Pass; 3], "{:?}", seen.summary);
}

/// One that the engine refuses is no crash, whatever came of those before it.
#[tokio::test(start_paused = true)]
async fn a_crash_that_fails_is_no_pass() {
    let mut step = step("x", "crash-loop", "node = \"storage-b1\"", AT0, "12s");
    step.push_str("uptime = \"4s\"\n");
    let mut run = Run::of(step);
    run.switches.kills = Some(2);
    let seen = run.go().await;
    assert_eq!(seen.proofs(1), [Pass, Fail, Pass], "{:?}", seen.summary);
    seen.is_unproven("the loop ended after 2 crashes: storage-b1: permission denied");
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_when_another_node_leads() {
    let until = "at = \"0s\"\nuntil = \"leader-change\"";
    let mut run = Run::of(step("x", "pause", "node = \"storage-a1\"", until, "60s"));
    let members = ["storage-a1", "storage-b1", "storage-c1"];
    let led_by = |leader| Ok(vec![group("canary/0", leader, members)]);
    // For the blast radius, before the act, and then every half second; the last one stays.
    run.groups = vec![
        led_by(Some("storage-a1")),
        led_by(Some("storage-a1")),
        led_by(None),
        Err("no answer".into()),
        led_by(Some("storage-c1")),
    ];
    let seen = run.go().await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    let said = condition_of(&seen);
    assert!(
        said.contains("storage-c1 leads canary/0 instead of storage-a1"),
        "{said}"
    );
    // Proven in force after 0.7 s; asked then, and twice more; and the proof that it held.
    assert_eq!(seen.log.at("resume"), 12_400);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_reverts_at_once_and_proves_it() {
    for (stop, state) in [
        (Stop::Interrupted("SIGINT".into()), RunState::Interrupted),
        (
            Stop::Condition("availability < 50%".into()),
            RunState::Stopped,
        ),
        (Stop::Asked("customers call".into()), RunState::Stopped),
    ] {
        let mut run = Run::of(
            step("cut b", "partition", "az = \"b\"", AT0, "60s")
                + &step("later", "kill", "node = \"router-a\"", "at = \"30s\"", "5s"),
        );
        run.stop = Some((Duration::from_secs(15), stop));
        let seen = run.go().await;
        assert_eq!(seen.summary.state, state);
        assert!(seen.summary.reason.is_some());
        assert_eq!(seen.log.at("open"), 15_000);
        assert_eq!(seen.proofs(1), [Pass, Pass], "injected, then reverted");
        assert!(seen.clean);
        assert!(!seen.log.has("kill") && !seen.log.has("timeline phase cooldown"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_steps_injects_nothing() {
    let mut run = Run::of(step("x", "kill", "az = \"b\"", AT0, "8s"));
    run.stop = Some((Duration::from_secs(3), Stop::Interrupted("SIGTERM".into())));
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Interrupted);
    assert_eq!(seen.log.all(), ["timeline phase baseline"]);
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_baseline_is_measured_again_and_injects_nothing() {
    let mut run = Run::of(step("x", "kill", "az = \"b\"", AT0, "8s"));
    run.health = vec![baseline(Fail, &["writes 40 %"])];
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Failed);
    assert!(seen.summary.reason.unwrap().contains("writes 40 %"));
    // 6 times 10 s are a minute.
    assert_eq!(
        seen.log.all(),
        ["timeline phase baseline", "timeline note"].repeat(6)
    );
}

#[tokio::test(start_paused = true)]
async fn a_baseline_that_becomes_healthy_in_time_is_one() {
    let mut run = Run::of(step("x", "kill", "az = \"b\"", AT0, "8s"));
    run.health = vec![
        baseline(Fail, &["writes 40 %", "reads 80 %"]),
        baseline(Pass, &[]),
    ];
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Completed);
    assert_eq!(seen.log.at("kill"), 20_000);
}

#[tokio::test(start_paused = true)]
async fn a_baseline_of_which_something_is_not_measured_yet_goes_on() {
    let mut run = Run::of(step("x", "kill", "az = \"b\"", AT0, "8s"));
    let thin = baseline(Unknown, &["writes: no operation was measured"]);
    run.health = vec![thin.clone(), thin.clone(), baseline(Pass, &[])];
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Completed);
    assert_eq!(seen.log.at("kill"), 12_000);
    // It is one baseline, and said once.
    assert_eq!(
        seen.log.all()[..3],
        [
            "timeline phase baseline",
            "timeline note",
            "timeline phase steps"
        ]
    );

    let mut run = Run::of(step("x", "kill", "az = \"b\"", AT0, "8s"));
    run.health = vec![thin];
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Failed);
    assert!(seen.summary.reason.unwrap().contains("no operation"));
    assert!(!seen.log.has("kill"));
}
