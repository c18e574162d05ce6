//! Rolling changes on the cluster in memory.

use super::*;

const ALL: &str = "role = \"storage\"";

fn rolling(fault: &str, more: &str) -> String {
    step("roll", fault, ALL, AT0, "8s") + "pause = \"5s\"\n" + more
}

fn acts(seen: &Seen, what: &str) -> Vec<String> {
    let all = seen.log.all();
    let those = all.iter().filter_map(|l| l.strip_prefix(what));
    those.map(String::from).collect()
}

/// AZ by AZ, without leave to lose a quorum.
const ORDER: [&str; 6] = [
    "storage-a1",
    "storage-a2",
    "storage-b1",
    "storage-b2",
    "storage-c1",
    "storage-c2",
];

#[tokio::test(start_paused = true)]
async fn a_rolling_restart_takes_one_node_after_the_other() {
    let seen = Run::of(rolling("rolling-restart", "")).go().await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    assert_eq!(seen.proofs(1), [Pass, Pass, Pass]);
    assert_eq!(acts(&seen, "stop "), ORDER);
    for pair in ORDER.windows(2) {
        let (started, next) = (format!("start {}", pair[0]), format!("stop {}", pair[1]));
        assert!(seen.log.position(&started) < seen.log.position(&next));
        assert_eq!(seen.log.at(&next) - seen.log.at(&started), 5_000);
    }
    // The hold begins when the last one serves.
    let held = seen.log.at("timeline reverting") - seen.log.at("timeline injected");
    assert_eq!(held, 8_000);
    assert_eq!(seen.log.at("timeline injected"), 10_000 + 5 * 5_000);
    assert!(seen.clean);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_ends_at_the_node_that_does_not_come_back() {
    let mut run = Run::of(rolling("rolling-restart", ""));
    run.switches.never_serves = true;
    let seen = run.go().await;
    assert_eq!(acts(&seen, "stop "), ORDER[..1]);
    let why = &seen.summary.unproven[0];
    assert!(why.contains("storage-a1, number 1 of 6"), "{why}");
    assert_eq!(seen.proofs(1)[0], Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_halt_ends_a_rollout_after_the_node_under_way() {
    let mut run = Run::of(rolling("rolling-restart", ""));
    // In the pause after the second node.
    run.stop = Some((Duration::from_secs(17), Stop::Interrupted("Ctrl-C".into())));
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Interrupted);
    assert_eq!(acts(&seen, "stop "), ORDER[..2]);
    assert_eq!(seen.proofs(1), [Pass]);
    assert_eq!(seen.log.at("timeline reverting"), 17_000);
    assert!(seen.clean);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_goes_there_and_back() {
    let seen = Run::of(rolling("rolling-upgrade", "binary = \"newer\"\n"))
        .go()
        .await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    assert_eq!(seen.proofs(1), [Pass, Pass, Pass]);
    let expected: Vec<String> = ["newer", "as launched"]
        .iter()
        .flat_map(|program| ORDER.map(|node| format!("{node} {program}")))
        .collect();
    assert_eq!(acts(&seen, "install "), expected);
    assert!(seen.clean);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_did_not_happen_is_not_proven() {
    let mut run = Run::of(rolling("rolling-upgrade", "binary = \"newer\"\n"));
    run.switches.keeps_its_program = true;
    let seen = run.go().await;
    seen.is_unproven("executes as launched, not newer");
    assert_eq!(seen.proofs(1), [Fail, Pass]);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_to_what_runs_already_is_no_upgrade() {
    let seen = Run::of(rolling("rolling-upgrade", "binary = \"as launched\"\n"))
        .go()
        .await;
    seen.is_unproven("nothing would change");
    assert_eq!(acts(&seen, "stop "), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_node_back_from_a_halted_upgrade_is_as_launched() {
    let mut run = Run::of(rolling("rolling-upgrade", "binary = \"newer\"\n"));
    run.stop = Some((Duration::from_secs(12), Stop::Interrupted("Ctrl-C".into())));
    let seen = run.go().await;
    let both = ["storage-a1 newer", "storage-a1 as launched"];
    assert_eq!(acts(&seen, "install "), both);
    assert_eq!(seen.proofs(1), [Pass]);
    assert!(seen.clean);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_is_halted_before_its_program_is_made_does_not_come_after_its_revert() {
    let mut run = Run::of(rolling("rolling-upgrade", "binary = \"newer\"\n"));
    run.switches.provides_in = Duration::from_secs(5);
    run.stop = Some((Duration::from_secs(12), Stop::Interrupted("Ctrl-C".into())));
    let seen = run.go().await;
    assert_eq!(acts(&seen, "stop "), Vec::<String>::new());
    assert_eq!(seen.proofs(1), [Pass]);
    assert_eq!(seen.summary.not_clean, [""; 0]);
    assert!(seen.clean);
}
