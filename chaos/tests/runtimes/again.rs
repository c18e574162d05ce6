//! What makes links so is restarted by somebody: it is put back, and told.

use crate::suite::{Cluster, SOON, all_healthy, launches, link};
use gameday_chaos::runtime::{GapState, LinkState, ProcessState, Runtime};
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use LinkState::{Cut, Open};

/// Waits until so many gaps are over; the text of the last one.
async fn gaps(runtime: &dyn Runtime, count: usize) -> String {
    let begun = Instant::now();
    loop {
        let gaps = runtime.gaps();
        let over = gaps.iter().filter(|gap| gap.state != GapState::Open);
        if over.count() == count {
            let last = gaps.last().expect("one");
            assert_eq!(last.state, GapState::PutBack, "{gaps:?}");
            assert!(last.since < Instant::now());
            return last.text.clone();
        }
        assert!(begun.elapsed() < SOON, "{count} gaps, but {gaps:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn cut_around_b1(runtime: &dyn Runtime) {
    let cut = [link("a1", "b1"), link("b1", "a1")];
    runtime.cut(&cut).await.expect("a cut");
    is_cut_around_b1(runtime).await;
}

async fn is_cut_around_b1(runtime: &dyn Runtime) {
    let seen = Cluster(runtime);
    let seen = seen.probe(&[("a1", "b1"), ("b1", "a1"), ("c1", "b1")]);
    assert_eq!(seen.await, [Cut, Cut, Open]);
}

async fn ends_well(runtime: &dyn Runtime) {
    let cut = [link("a1", "b1"), link("b1", "a1")];
    runtime.open(&cut).await.expect("open again");
    let seen = Cluster(runtime);
    assert_eq!(
        seen.probe(&[("a1", "b1"), ("b1", "a1")]).await,
        [Open, Open]
    );
    all_healthy(runtime).await;
    assert_eq!(runtime.lapses(), Vec::<String>::new());
    runtime.down().await.expect("down");
}

/// The process that hosts the links is killed.
pub async fn links_come_back(runtime: &dyn Runtime, run: &str) {
    let nodes = runtime.launch_nodes(launches(runtime)).await;
    nodes.expect("nodes");
    all_healthy(runtime).await;
    cut_around_b1(runtime).await;
    let pid = nix::unistd::Pid::from_raw(links_of(run));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");
    let text = gaps(runtime, 1).await;
    assert!(text.contains("another one was started"), "{text}");
    is_cut_around_b1(runtime).await;
    ends_well(runtime).await;
}

fn links_of(run: &str) -> i32 {
    let marks = [format!("GAMEDAY_RUN={run}"), "GAMEDAY_UNIT=links".into()];
    let is = |pid: &i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let has = |mark: &String| environ.split(|b| *b == 0).any(|v| v == mark.as_bytes());
        marks.iter().all(has)
    };
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let mut pids = all.filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.find(is).expect("the links process")
}

/// Agents are restarted while their nodes run, are dead, and are frozen.
pub async fn rules_come_back(runtime: &dyn Runtime, run: &str) {
    let nodes = runtime.launch_nodes(launches(runtime)).await;
    nodes.expect("nodes");
    all_healthy(runtime).await;
    cut_around_b1(runtime).await;
    let docker = |what: &str, unit: &str| {
        let mut command = Command::new("docker");
        command.args(what.split(' '));
        command.arg(format!("gameday-{run}-{unit}-agent"));
        let done = command.output().expect("the docker command runs");
        assert!(done.status.success(), "{done:?}");
    };
    let before = runtime.process("b1").await;

    // A node that runs would sit in a namespace that nobody reaches.
    docker("restart -t 0", "b1");
    let text = gaps(runtime, 1).await;
    assert!(text.contains("b1 ran on in the old namespace"), "{text}");
    let after = runtime.process("b1").await;
    assert!(
        matches!(after, Ok(ProcessState::Running { .. })),
        "{after:?}"
    );
    assert_ne!(before, after);
    is_cut_around_b1(runtime).await;
    all_healthy(runtime).await;

    // One that is off stays so.
    runtime.power_off("b1").await.expect("off");
    docker("kill", "b1");
    let text = gaps(runtime, 2).await;
    assert!(text.contains("b1 does not run"), "{text}");
    assert_eq!(Cluster(runtime).probe(&[("c1", "b1")]).await, [Cut]);
    let state = runtime.process("b1").await;
    assert!(matches!(state, Ok(ProcessState::Exited(_))), "{state:?}");
    runtime.start("b1").await.expect("on again");
    all_healthy(runtime).await;
    is_cut_around_b1(runtime).await;

    // One that is frozen is restarted when it is thawed.
    runtime.pause("b1").await.expect("frozen");
    docker("restart -t 0", "b1");
    let text = gaps(runtime, 3).await;
    assert!(text.contains("b1 is frozen"), "{text}");
    is_cut_around_b1(runtime).await;
    let state = runtime.process("b1").await;
    assert!(
        matches!(state, Ok(ProcessState::Paused { .. })),
        "{state:?}"
    );
    runtime.resume("b1").await.expect("thawed");
    ends_well(runtime).await;
}
