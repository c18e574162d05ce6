//! The runner on a cluster in memory, with tokio's clock: no test sleeps.

#[path = "runner/accidents.rs"]
mod accidents;
#[path = "runner/dishonest.rs"]
mod dishonest;
#[path = "support/fake.rs"]
mod fake;
#[path = "runner/gaps.rs"]
mod gaps;
#[path = "runner/holds.rs"]
mod holds;
#[path = "runner/links.rs"]
mod links;
#[path = "runner/rolling.rs"]
mod rolling;
mod support;

use fake::{Fake, Judged, Log, Memory, Switches, Told, Watcher, baseline, group};
use futures_util::future::BoxFuture;
use gameday_chaos::plan::plan;
use gameday_chaos::runner::{
    Cast, ExecutionSummary, Firing, Group, Stop, Timeline, Update, execute,
};
use gameday_chaos::runtime::Link;
use gameday_record::timeline::Proof;
use gameday_record::{Injection, Node, RunClock, RunState, TimelineEvent, Verdict};
use std::sync::Arc;
use std::time::Duration;
use support::{playbook, step, topology};
use tokio::time::sleep;

const HEAD: &str = "\n[baseline]\nfor = \"10s\"\n[cooldown]\nfor = \"5s\"\n";
const AT0: &str = "at = \"0s\"";

/// One run and how it may go wrong.
struct Run {
    head: &'static str,
    steps: String,
    switches: Switches,
    groups: Vec<Result<Vec<Group>, String>>,
    health: Vec<Proof>,
    refuse: fn(&TimelineEvent) -> bool,
    /// When the playbook's alarms fire, from the start.
    alarm: Option<Duration>,
    stop: Option<(Duration, Stop)>,
    /// When whoever runs it panics, from the start.
    bug: Option<Duration>,
}

/// What came of it.
struct Seen {
    summary: ExecutionSummary,
    log: Log,
    clean: bool,
    progress: Vec<Update>,
    took: Duration,
}

impl Run {
    fn of(steps: String) -> Self {
        Run {
            head: "",
            steps,
            switches: Switches::default(),
            groups: vec![Ok(vec![group(
                "canary/0",
                Some("storage-a1"),
                ["storage-a1", "storage-b1", "storage-c1"],
            )])],
            health: vec![baseline(Verdict::Pass, &[])],
            refuse: |_| false,
            alarm: None,
            stop: None,
            bug: None,
        }
    }

    async fn go(self) -> Seen {
        let began = tokio::time::Instant::now();
        let book = playbook(&format!("{}{HEAD}", self.head), &self.steps);
        let plan = plan(&book, 7, &topology()).expect("plans");
        let log = Log::new();
        let runtime = Arc::new(Fake::new(log.clone(), self.switches));
        let observer = Arc::new(Watcher::default());
        let sink = Memory {
            log: log.clone(),
            refuse: self.refuse,
        };
        let cast = Cast {
            runtime: runtime.clone(),
            instruments: ["a", "b", "c"].map(canary).to_vec(),
            timeline: Timeline::new(sink, RunClock::start()),
            roles: Arc::new(Told::new(self.groups)),
            health: Arc::new(Judged(self.health.into())),
            alarms: Arc::new(FiresAt(self.alarm.map(|at| began + at))),
            observer: observer.clone(),
        };
        let stop = async {
            if let Some(after) = self.bug {
                sleep(after).await;
                panic!("a bug of whoever runs it");
            }
            match self.stop {
                Some((after, why)) => {
                    sleep(after).await;
                    why
                }
                None => std::future::pending().await,
            }
        };
        let summary = execute(plan, cast, stop).await;
        let progress = observer.0.lock().unwrap().clone();
        Seen {
            summary,
            log,
            clean: runtime.clean(),
            progress,
            took: began.elapsed(),
        }
    }
}

/// Alarms that fire at this time, or never.
struct FiresAt(Option<tokio::time::Instant>);

impl Firing for FiresAt {
    fn fires<'a>(&'a self, alarm: &'a str) -> BoxFuture<'a, String> {
        Box::pin(async move {
            match self.0 {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
            format!("alarm '{alarm}' fires: 60 % failed")
        })
    }
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| name.to_string()).collect()
}

fn canary(az: &str) -> Node {
    Node {
        name: format!("canary-{az}"),
        az: az.into(),
        role: "canary".into(),
    }
}

impl Seen {
    /// Verdicts of the proofs of one injection, in order.
    fn proofs(&self, of: u32) -> Vec<Verdict> {
        let events = self.log.events();
        let proof = |e: &TimelineEvent| match e {
            TimelineEvent::Proof { id, proof, .. } if *id == of => Some(proof.verdict),
            _ => None,
        };
        events.iter().filter_map(proof).collect()
    }

    /// The first injection.
    fn injection(&self) -> Injection {
        let events = self.log.events();
        let intent = events.iter().find_map(|e| match e {
            TimelineEvent::Intent { injection } => Some(injection.clone()),
            _ => None,
        });
        intent.expect("something was injected")
    }

    /// The run failed because a fault was not proven; nothing is left of it.
    fn is_unproven(&self, why: &str) {
        assert_eq!(self.summary.state, RunState::Failed);
        assert!(self.summary.unproven[0].contains(why), "{:?}", self.summary);
        assert_eq!(self.summary.not_clean, Vec::<String>::new());
        assert!(self.clean, "{:#?}", self.log.all());
    }
}

use Verdict::{Fail, Pass, Unknown};

#[tokio::test(start_paused = true)]
async fn a_run_goes_through_its_phases_in_order() {
    let seen = Run::of(step(
        "lose b1",
        "power-off",
        "node = \"storage-b1\"",
        "at = \"2s\"",
        "10s",
    ))
    .go()
    .await;
    assert_eq!(
        seen.log.all(),
        [
            "timeline phase baseline",
            "timeline phase steps",
            "timeline intent",
            "silence storage-b1",
            "power-off storage-b1",
            "timeline injected 1",
            "timeline proof 1 injected Pass",
            "timeline proof 1 held Pass",
            "timeline reverting 1",
            "start storage-b1",
            "timeline reverted 1",
            "timeline proof 1 reverted Pass",
            "timeline reachability Pass",
            "timeline phase cooldown",
        ]
    );
    assert_eq!(seen.log.at("power-off"), 12_000);
    assert_eq!(seen.log.at("start"), 22_000);
    // The fake's probe takes 200 ms.
    assert_eq!(seen.took, Duration::from_millis(27_200));
    let expected = ExecutionSummary {
        state: RunState::Completed,
        reason: None,
        unproven: vec![],
        not_clean: vec![],
    };
    assert_eq!(seen.summary, expected);
    assert!(seen.clean);
    let Some(TimelineEvent::Intent { injection }) = seen.log.events().get(2).cloned() else {
        panic!("the intent comes third");
    };
    assert_eq!(
        (injection.targets, injection.azs),
        (vec!["storage-b1".to_string()], vec!["b".to_string()])
    );
    assert_eq!(injection.hold_ms, 10_000);
    assert!(injection.undo.contains("storage-b1"));
    let begun = seen
        .progress
        .iter()
        .filter(|p| matches!(p, Update::Begun { .. }));
    assert_eq!(begun.count(), 1);
    assert_eq!(
        seen.progress
            .last()
            .map(|p| matches!(p, Update::Phase { .. })),
        Some(true)
    );
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_proven_on_an_honest_runtime() {
    for fault in [
        "power-off",
        "kill",
        "stop",
        "restart",
        "crash-loop",
        "pause",
        "partition",
    ] {
        let seen = Run::of(step("x", fault, "az = \"b\"", AT0, "8s"))
            .go()
            .await;
        assert_eq!(
            seen.summary.state,
            RunState::Completed,
            "{fault}: {:?}",
            seen.summary
        );
        assert_eq!(seen.proofs(1), [Pass; 3], "{fault}");
        assert!(seen.clean, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_counted_from_the_proven_revert() {
    let seen = Run::of(
        step("one", "kill", "node = \"storage-b1\"", AT0, "5s")
            + &step(
                "two",
                "pause",
                "node = \"storage-c1\"",
                "after = \"one\"\ndelay = \"4s\"\ntimes = 2\nevery = \"8s\"",
                "5s",
            ),
    )
    .go()
    .await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    assert_eq!(
        (seen.log.at("kill"), seen.log.at("start")),
        (10_000, 15_000)
    );
    assert_eq!(seen.log.at("pause"), 19_000);
    let all = seen.log.all();
    assert_eq!(all.iter().filter(|l| l.starts_with("pause")).count(), 2);
    // 10 of baseline, 5, 4 + 5, 3 + 5, 5 of cooldown.
    // And 200 ms of the fake's probe.
    assert_eq!(seen.took, Duration::from_millis(37_200));
}

#[tokio::test(start_paused = true)]
async fn what_is_drawn_runs_one_after_the_other() {
    let random = "[random]\nfor = \"2m\"\npause = [\"2s\", \"5s\"]\n\
        [[random.fault]]\nfault = \"power-off\"\ntarget = { random = 1 }\nfor = [\"2s\", \"9s\"]\n\
        [[random.fault]]\nfault = \"majority\"\nfor = [\"2s\", \"9s\"]\n";
    let seen = Run::of(random.into()).go().await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    let order: Vec<&str> = seen
        .log
        .events()
        .iter()
        .filter_map(|e| match e {
            TimelineEvent::Intent { .. } => Some("begun"),
            TimelineEvent::Reverted { .. } => Some("reverted"),
            _ => None,
        })
        .collect();
    assert!(order.len() >= 12, "{order:?}");
    assert!(
        order.chunks(2).all(|pair| pair == ["begun", "reverted"]),
        "{order:?}"
    );
    assert!(seen.clean);
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_at_once_and_the_new_process_stays() {
    let seen = Run::of(step("x", "restart", "node = \"storage-b1\"", AT0, "8s"))
        .go()
        .await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    assert_eq!(
        (seen.log.at("stop"), seen.log.at("start")),
        (10_000, 10_000)
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_crashes_until_it_is_reverted_and_never_after() {
    let mut step = step("x", "crash-loop", "node = \"storage-b1\"", AT0, "9s");
    step.push_str("uptime = \"2s\"\n");
    let seen = Run::of(step.clone()).go().await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    let all = seen.log.all();
    // At 0, 2, 4, 6 and 8 s.
    assert_eq!(all.iter().filter(|l| l.starts_with("kill")).count(), 5);
    let last = all.iter().rposition(|l| l.starts_with("kill")).unwrap();
    assert!(last < seen.log.position("timeline reverting"), "{all:#?}");

    let mut run = Run::of(step);
    run.switches.survives = true;
    let seen = run.go().await;
    seen.is_unproven("was not started again");
    assert_eq!(seen.proofs(1), [Pass, Fail, Pass]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_looked_up_when_the_step_begins() {
    let members = ["storage-a1", "storage-b1", "storage-c1"];
    let mut run = Run::of(step("x", "pause", "leader = \"canary/0\"", AT0, "8s"));
    run.groups = vec![
        Err("router-a does not answer".into()),
        Ok(vec![group("canary/0", None, members)]),
        Ok(vec![group("canary/0", Some("storage-c1"), members)]),
    ];
    let seen = run.go().await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    assert!(seen.log.has("pause storage-c1"));

    let mut run = Run::of(step("x", "pause", "leader = \"canary/0\"", AT0, "8s"));
    run.groups = vec![Ok(vec![group("canary/0", None, members)])];
    let seen = run.go().await;
    seen.is_unproven("canary/0 has no leader");
    assert!(!seen.log.has("timeline intent"));
}

#[tokio::test(start_paused = true)]
async fn the_quorum_is_checked_on_the_groups_as_they_are() {
    let uneven = vec![Ok(vec![group(
        "canary/3",
        None,
        ["storage-b1", "storage-b2", "storage-c1"],
    )])];
    let mut run = Run::of(step("x", "kill", "az = \"b\"", AT0, "8s"));
    run.groups = uneven.clone();
    let seen = run.go().await;
    seen.is_unproven("canary/3 would lose 2 of 3 replicas");
    assert!(!seen.log.has("kill"));

    let mut run = Run::of(step("x", "kill", "az = \"b\"", AT0, "8s"));
    run.groups = uneven;
    run.head = "allow_quorum_loss = true";
    assert_eq!(run.go().await.summary.state, RunState::Completed);

    // Nobody knows the groups: one AZ is a minority of any.
    let mut run = Run::of(step("x", "kill", "az = \"b\"", AT0, "8s"));
    run.groups = vec![Err("nobody answers".into())];
    assert_eq!(run.go().await.summary.state, RunState::Completed);
}

#[tokio::test(start_paused = true)]
async fn overlapping_steps_run_side_by_side_and_do_not_spoil_each_others_proofs() {
    let seen = Run::of(
        step("cut a1", "partition", "node = \"storage-a1\"", AT0, "20s")
            + &step(
                "kill a2",
                "kill",
                "node = \"storage-a2\"",
                "at = \"3s\"",
                "20s",
            ),
    )
    .go()
    .await;
    assert_eq!(
        seen.summary.state,
        RunState::Completed,
        "{:?}",
        seen.summary
    );
    assert_eq!(seen.log.at("cut"), 10_000);
    assert_eq!(seen.log.at("kill"), 13_000);
    assert_eq!(seen.log.at("open"), 30_000);
    assert_eq!(seen.log.at("start"), 33_000);
    let told = format!("{:?}", seen.log.events());
    assert!(told.contains("hurt by another step"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_step_after_another_waits_for_its_proven_revert() {
    let seen = Run::of(
        step(
            "second",
            "kill",
            "node = \"storage-b1\"",
            "after = \"first\"",
            "5s",
        ) + &step("first", "kill", "node = \"storage-a1\"", AT0, "5s"),
    )
    .go()
    .await;
    assert_eq!(seen.summary.state, RunState::Completed);
    let first_gone = seen.log.position("timeline proof 1 reverted Pass");
    assert!(first_gone < seen.log.position("kill storage-b1"));
}
