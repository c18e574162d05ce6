//! The runner on a cluster in memory, with tokio's clock: no test sleeps.

#[path = "support/fake.rs"]
mod fake;
#[path = "runner/gaps.rs"]
mod gaps;
#[path = "runner/rolling.rs"]
mod rolling;
mod support;

use fake::{Fake, Judged, Log, Memory, Switches, Told, Watcher, group};
use futures_util::future::BoxFuture;
use gameday_chaos::plan::plan;
use gameday_chaos::runner::{
    Cast, ExecutionSummary, Firing, Group, Progress, Stop, Timeline, execute,
};
use gameday_chaos::runtime::Link;
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
    health: Vec<Result<(), Vec<String>>>,
    refuse: fn(&TimelineEvent) -> bool,
    /// When the playbook's alarms fire, from the start.
    alarm: Option<Duration>,
    stop: Option<(Duration, Stop)>,
}

/// What came of it.
struct Seen {
    summary: ExecutionSummary,
    log: Log,
    clean: bool,
    progress: Vec<Progress>,
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
            health: vec![Ok(())],
            refuse: |_| false,
            alarm: None,
            stop: None,
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
        .filter(|p| matches!(p, Progress::Begun { .. }));
    assert_eq!(begun.count(), 1);
    assert_eq!(
        seen.progress
            .last()
            .map(|p| matches!(p, Progress::Phase { .. })),
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
    step("x", fault, "az = \"b\"", &format!("{AT0}\n{rest}"), "20s")
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
    run.health = vec![Err(vec!["writes 40 %".into()])];
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
    run.health = vec![Err(vec!["writes 40 %".into(), "reads 80 %".into()]), Ok(())];
    let seen = run.go().await;
    assert_eq!(seen.summary.state, RunState::Completed);
    assert_eq!(seen.log.at("kill"), 20_000);
}

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
    run.health = vec![Err(vec!["writes 40 %".into()])];
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
