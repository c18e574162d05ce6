//! The runner: baseline, steps, cooldown.
//!
//! It executes a plan on a runtime whose cluster and canaries already run, and
//! leaves taking them down to its caller. Every step is a task: intent on
//! disk, act, proof, hold, proof that it still holds, revert, proof that it is
//! gone. Whatever ends the steps early (a stop signal, a fault that cannot be
//! proven, a timeline that cannot be written, a bug) ends only the *waiting*:
//! reverts run on deadlines of their own, always. After the last of them it is
//! looked whether every link carries.

mod accidents;
mod admission;
mod baseline;
mod busy;
mod condition;
mod gaps;
mod prove;
mod reach;
mod seams;
mod shared;
mod step;
mod timeline;
mod watch;

pub use crate::quorum::Group;
pub use accidents::{Accident, Accidents};
pub use busy::phase_begins;
pub use seams::{Firing, Health, Observer, Roles, Stop, Update};
pub use timeline::{Sink, Timeline};

use crate::faults::Scene;
use crate::plan::Plan;
use crate::runtime::Runtime;
use admission::Admission;
use futures_util::FutureExt;
use gameday_record::{Node, Phase, RunState};
use shared::{Findings, Shared};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use tokio::sync::watch::{Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Everybody who takes part.
pub struct Cast {
    /// Does it.
    pub runtime: Arc<dyn Runtime>,
    /// Names and AZs of the canaries, whose links partitions cut.
    pub instruments: Vec<Node>,
    /// Where it is recorded.
    pub timeline: Timeline,
    /// Knows the replication groups.
    pub roles: Arc<dyn Roles>,
    /// Judges the baseline.
    pub health: Arc<dyn Health>,
    /// Knows which alarms fire, for steps that are held until one does.
    pub alarms: Arc<dyn Firing>,
    /// Watches.
    pub observer: Arc<dyn Observer>,
}

/// How it went. Whether that is a pass is for the report to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionSummary {
    /// Completed; failed (unhealthy baseline, unproven or unreverted fault,
    /// trouble of our own); stopped; interrupted.
    pub state: RunState,
    /// Why, if it is not completed.
    pub reason: Option<String>,
    /// Faults that were not injected, or not proven to be in force or gone, and accidents of nodes:
    /// inconclusive.
    pub unproven: Vec<String>,
    /// What could not be reverted, or is seen not to be gone: not clean.
    pub not_clean: Vec<String>,
}

/// Executes a plan. Must be driven to its end: dropping it abandons faults
/// that are in force (their leases and the watchdog then end them).
///
/// `stop` ends the run early when it resolves; everything in force is reverted
/// and proven gone first.
pub async fn execute(
    plan: Plan,
    cast: Cast,
    stop: impl Future<Output = Stop> + Send,
) -> ExecutionSummary {
    let shared = Arc::new(Shared {
        accidents: Accidents::new(&plan.topology),
        scene: Scene {
            runtime: cast.runtime,
            topology: plan.topology.clone(),
            instruments: cast.instruments,
        },
        plan,
        timeline: cast.timeline,
        roles: cast.roles,
        alarms: cast.alarms,
        observer: cast.observer,
        admission: Admission::default(),
        halt: Sender::new(false),
        gaps: Sender::default(),
        findings: Mutex::default(),
        begun: Mutex::default(),
    });
    let mut stop = pin!(stop);
    let carried_out = async {
        tokio::select! {
            biased;
            stopped = phases(&shared, cast.health.as_ref(), stop.as_mut()) => stopped,
            never = watch::gaps(&shared) => match never {},
            never = watch::nodes(&shared) => match never {},
        }
    };
    let stopped = match AssertUnwindSafe(carried_out).catch_unwind().await {
        Ok(stopped) => stopped,
        // A bug of ours, whose words the panic hook has said. What is in force is reverted.
        Err(_) => {
            shared.find(|f| f.own.push("gameday failed (a panic)".into()));
            revert_left(&shared).await;
            None
        }
    };
    watch::gaps_at_end(&shared).await;
    let findings = std::mem::take(&mut *shared.findings.lock().unwrap_or_else(|e| e.into_inner()));
    summary(stopped, findings)
}

/// Goes through the phases; returns what stopped it from outside, if so.
async fn phases(
    shared: &Arc<Shared>,
    health: &dyn Health,
    mut stop: std::pin::Pin<&mut (impl Future<Output = Stop> + Send)>,
) -> Option<Stop> {
    let plan = &shared.plan;
    let mut halt = shared.halt.subscribe();
    let verdict = tokio::select! {
        biased;
        why = stop.as_mut() => return Some(why),
        // A node died: whatever was measured is not the cluster that was planned.
        _ = halt.wait_for(|h| *h) => Ok(()),
        verdict = baseline::baseline(shared, health) => verdict,
    };
    if let Err(reasons) = verdict {
        for reason in &reasons {
            let text = format!("the baseline is unhealthy, nothing is injected: {reason}");
            shared.note(text).await;
        }
        shared.find(|f| f.unhealthy = reasons);
    }
    if shared.halted() {
        return None;
    }
    shared.phase(Phase::Steps, plan.least_steps()).await;
    let stopped = steps(shared, stop.as_mut()).await;
    if stopped.is_some() {
        return stopped;
    }
    // Also after a fault that was not proven: the checks that follow want a
    // cluster that had its time to recover.
    shared.phase(Phase::Cooldown, plan.cooldown).await;
    tokio::select! {
        biased;
        why = stop => return Some(why),
        () = sleep(plan.cooldown) => {}
    }
    watch::nodes_at_end(shared).await;
    None
}

/// Runs all steps to their ends.
async fn steps(
    shared: &Arc<Shared>,
    mut stop: std::pin::Pin<&mut (impl Future<Output = Stop> + Send)>,
) -> Option<Stop> {
    let begun = Instant::now();
    let count = shared.plan.steps.len();
    let (done, ended): (Vec<_>, Vec<_>) = (0..count).map(|_| channel(false)).unzip();
    let ended: Arc<[_]> = ended.into();
    let mut tasks = JoinSet::new();
    for (index, done) in done.into_iter().enumerate() {
        let shared = shared.clone();
        let ended = ended.clone();
        tasks.spawn(async move { step::run(&shared, index, begun, ended, done).await });
    }
    let mut stopped = None;
    loop {
        let joined = tokio::select! {
            biased;
            why = stop.as_mut(), if stopped.is_none() => {
                shared.halt();
                stopped = Some(why);
                continue;
            }
            joined = tasks.join_next() => joined,
        };
        match joined {
            None => break,
            Some(Ok(())) => {}
            Some(Err(e)) => {
                let text = format!("gameday failed in a step: {e}");
                shared.find(|f| f.own.push(text));
            }
        }
    }
    revert_left(shared).await;
    let ran = shared
        .begun
        .lock()
        .unwrap_or_else(|e| e.into_inner())
        .clone();
    let skipped: Vec<String> = (0..count)
        .filter(|i| !ran.contains(i))
        .map(|i| format!("'{}'", shared.plan.steps[i].name))
        .collect();
    if !skipped.is_empty() {
        shared
            .note(format!("not injected: {}", skipped.join(", ")))
            .await;
    }
    stopped
}

/// Reverts what is still in force, which only a task that died leaves, and looks at all links.
async fn revert_left(shared: &Shared) {
    for (id, active) in shared.admission.left() {
        step::end(shared, id, &active, None).await;
    }
    reach::check(shared).await;
}

fn summary(stopped: Option<Stop>, f: Findings) -> ExecutionSummary {
    let unhealthy = (!f.unhealthy.is_empty())
        .then(|| format!("the baseline was unhealthy: {}", f.unhealthy.join("; ")));
    let trouble = f
        .not_clean
        .first()
        .or(f.own.first())
        .or(f.unproven.first())
        .cloned()
        .or(unhealthy);
    let (state, reason) = match (stopped, trouble) {
        (Some(Stop::Interrupted(why)), _) => (RunState::Interrupted, Some(why)),
        (Some(Stop::Condition(why) | Stop::Asked(why)), _) => (RunState::Stopped, Some(why)),
        (Some(Stop::Failed(why)), _) | (None, Some(why)) => (RunState::Failed, Some(why)),
        (None, None) => (RunState::Completed, None),
    };
    ExecutionSummary {
        state,
        reason,
        unproven: f.unproven,
        not_clean: f.not_clean,
    }
}
