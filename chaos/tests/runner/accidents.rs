//! Nodes that die though nothing explains it.

use super::*;

/// `storage-a1` dies so many seconds after the start, and comes back if it does.
fn dies(run: &mut Run, after: u64, back: Option<u64>) {
    run.switches.dies = Some(("storage-a1", Duration::from_secs(after)));
    run.switches.comes_back = back.map(Duration::from_secs);
}

/// What the timeline says of nodes: when, and what.
fn told(seen: &Seen) -> Vec<(String, String)> {
    let events = seen.log.events();
    let of = |e: &TimelineEvent| match e {
        TimelineEvent::Cluster { node, kind, .. } => Some((node.clone(), kind.clone())),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn killed_b1() -> String {
    step("x", "kill", "node = \"storage-b1\"", "at = \"4s\"", "8s")
}

/// The steps begin after 10 s, the kill is in force from 14 s to 22 s, the cooldown ends at 27 s.
#[tokio::test(start_paused = true)]
async fn a_node_that_dies_is_noticed_within_a_second_whatever_the_phase() {
    for (dies_at, injected) in [(3, false), (12, false), (17, true), (24, true)] {
        let mut run = Run::of(killed_b1());
        dies(&mut run, dies_at, None);
        let seen = run.go().await;
        let what = format!("{dies_at}: {:#?}", seen.log.all());
        assert_eq!(seen.summary.state, RunState::Failed, "{what}");
        let why = &seen.summary.unproven[0];
        assert!(
            why.starts_with("storage-a1 ended (signal 9)"),
            "{why} {what}"
        );
        assert_eq!(seen.summary.reason.as_ref(), Some(why), "{what}");
        assert_eq!(told(&seen), [("storage-a1".into(), "ended".into())]);
        let noticed = seen.log.at("timeline cluster");
        assert!(noticed - dies_at * 1000 <= 1000, "{noticed} {what}");
        assert_eq!(seen.log.has("kill"), injected, "{what}");
        // What was in force is reverted at once.
        if dies_at == 17 {
            assert_eq!(seen.log.at("timeline reverting"), noticed, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_somebody_started_again_is_another_cluster_too() {
    let mut run = Run::of(killed_b1());
    run.switches.dies = Some(("storage-a1", Duration::from_millis(15_100)));
    run.switches.comes_back = Some(Duration::from_millis(300));
    let seen = run.go().await;
    assert_eq!(told(&seen), [("storage-a1".into(), "replaced".into())]);
    seen.is_unproven("storage-a1 was started again, as 1/storage-a1#1");
}

/// Also one that comes back and dies once the fault is gone.
#[tokio::test(start_paused = true)]
async fn a_target_that_dies_after_its_revert_is_noticed_and_before_it_is_not() {
    let hurt_a1 = |fault| step("x", fault, "node = \"storage-a1\"", AT0, "8s");
    let mut run = Run::of(hurt_a1("kill"));
    dies(&mut run, 21, None);
    let seen = run.go().await;
    assert_eq!(seen.proofs(1), [Pass; 3]);
    assert_eq!(told(&seen), [("storage-a1".into(), "ended".into())]);

    // What a fault does to its targets, and what it does not.
    for (fault, accident) in [("power-off", false), ("restart", false), ("isolate", true)] {
        let mut run = Run::of(hurt_a1(fault));
        dies(&mut run, 15, None);
        let seen = run.go().await;
        assert_eq!(!told(&seen).is_empty(), accident, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_be_seen_at_the_end_may_be_gone() {
    let mut run = Run::of(killed_b1());
    run.switches.hidden = Some(("storage-a1", Duration::from_secs(24)));
    let seen = run.go().await;
    seen.is_unproven("whether every node still runs: storage-a1 (the engine says nothing of it)");
    let mut run = Run::of(killed_b1());
    run.switches.hidden = Some(("storage-a1", Duration::from_secs(60)));
    assert_eq!(run.go().await.summary.state, RunState::Completed);
}
