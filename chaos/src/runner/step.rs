//! One step, from its due time to the proof that nothing of it is left.

use super::admission::Active;
use super::gaps::Gaps;
use super::prove::{describe, until};
use super::seams::{Group, Progress};
use super::{Shared, condition};
use crate::faults::Sides;
use crate::plan::{Leaders, PlannedStart, PlannedTarget, azs, resolve_all, stream};
use gameday_record::timeline::{Injection, Proof};
use gameday_record::{ProofSide, TimelineEvent, Verdict};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// Finding the leader, or the groups for the blast radius.
const RESOLVE: Duration = Duration::from_secs(10);
/// Between two questions to the store.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// The act itself; the runtime's own deadlines are shorter.
const INJECT: Duration = Duration::from_secs(30);
/// Proof that a fault took effect, asked again until then; beside the time that looking takes.
const PROVE_INJECTED: Duration = Duration::from_secs(5);
/// Proof at the end of the hold that it still is in force.
const PROVE_HELD: Duration = Duration::from_secs(3);
/// How long before the end of the hold that proof begins, at most.
const HELD_LEAD: Duration = Duration::from_secs(1);
/// The revert, all attempts together; runs whatever stopped the run.
const REVERT: Duration = Duration::from_secs(30);
/// Attempts to revert.
const REVERT_ATTEMPTS: u32 = 3;
/// Proof that a fault is gone: nodes start, replay their logs and serve.
const PROVE_REVERTED: Duration = Duration::from_secs(30);

/// Runs step `index`; tells `done` when its revert is proven. `begun` of the
/// steps phase is the origin of its due time.
pub(super) async fn run(
    shared: &Shared,
    index: usize,
    begun: Instant,
    ended: Arc<[watch::Receiver<bool>]>,
    done: watch::Sender<bool>,
) {
    let mut halt = shared.halt.subscribe();
    let due = async {
        match shared.plan.steps[index].start {
            PlannedStart::At(at) => sleep_until(begun + at).await,
            PlannedStart::After(other, delay) => {
                if ended[other].clone().wait_for(|e| *e).await.is_err() {
                    // The other ended without being reverted; the halt comes.
                    std::future::pending::<()>().await;
                }
                sleep(delay).await;
            }
        }
    };
    tokio::select! {
        biased;
        _ = halt.wait_for(|h| *h) => return,
        () = due => {}
    }
    if *halt.borrow() {
        return;
    }
    let Some((id, injection, active)) = admit(shared, index).await else {
        return;
    };
    shared
        .begun
        .lock()
        .unwrap_or_else(|e| e.into_inner())
        .insert(index);
    let intent = TimelineEvent::Intent {
        injection: injection.clone(),
    };
    // No intent on disk, no injection.
    if let Err(e) = shared.timeline.append(intent).await {
        shared.admission.close(id, true);
        shared.unproven(format!(
            "'{}' was not injected: its intent could not be written to the timeline: {e}",
            active.step
        ));
        return;
    }
    shared.observer.observe(&Progress::Begun { injection });
    hold(shared, index, id, &active, &mut halt).await;
    if end(shared, id, &active).await {
        // Nobody may listen.
        let _ = done.send(true);
    }
}

/// Resolves the target and asks whether it may be hurt now.
async fn admit(shared: &Shared, index: usize) -> Option<(u32, Injection, Active)> {
    let plan = &shared.plan;
    let step = &plan.steps[index];
    let find = |groups: &[Group]| -> Result<Sides, String> {
        let selectors = match &step.target {
            // The groups are wanted for the blast radius only.
            PlannedTarget::Nodes(sides) => return Ok(sides.clone()),
            PlannedTarget::Later { sides, .. } => sides,
        };
        let mut rng = stream(plan.seed, step.stream);
        let leaders = Leaders::Known(groups);
        resolve_all(
            step.fault,
            &step.params,
            selectors,
            &plan.topology,
            &leaders,
            &mut rng,
        )
        .map_err(|r| r.message)
    };
    let groups = groups(shared, |all| find(all).is_ok()).await;
    let sides = match &step.target {
        PlannedTarget::Nodes(sides) => Ok(sides.clone()),
        PlannedTarget::Later { .. } => groups.clone().and_then(|all| find(&all)),
    };
    let admitted = sides.and_then(|sides| {
        let mut nodes = sides.concat();
        nodes.sort();
        let active = Active {
            step: step.name.clone(),
            kind: step.fault,
            touched: step.fault.touched(&step.params, &sides, &plan.topology),
            hurt: step.fault.hurt(&step.params, &sides, &plan.topology),
            fault: step.fault.build(&step.params, &sides),
            nodes,
        };
        let admission = &shared.admission;
        let id = admission.admit(
            active.clone(),
            &groups,
            &plan.topology,
            plan.allow_quorum_loss,
        )?;
        Ok((id, active))
    });
    match admitted {
        Ok((id, active)) => {
            let azs = azs(&active.touched, &plan.topology);
            let injection = Injection {
                id,
                step: step.name.clone(),
                fault: step.fault.name().into(),
                selector: step.selector.clone(),
                targets: active.nodes.clone(),
                hurt: active.touched.clone(),
                azs: azs.into_iter().map(String::from).collect(),
                hold_ms: step.hold.as_millis() as u64,
                undo: active.fault.undo(),
            };
            Some((id, injection, active))
        }
        Err(why) => {
            let text = format!("'{}' was not injected: {why}", step.name);
            shared.note(text.clone()).await;
            shared.unproven(text);
            None
        }
    }
}

/// The groups as they are, asked again for a while until they are known and
/// good `enough`.
async fn groups(shared: &Shared, enough: impl Fn(&[Group]) -> bool) -> Result<Vec<Group>, String> {
    let mut last = Err("no answer in time".to_string());
    let ask = async {
        loop {
            last = shared.roles.groups().await;
            match &last {
                Ok(all) if enough(all) => return,
                _ => sleep(ASK_AGAIN).await,
            }
        }
    };
    // Elapsed: the last answer stands.
    let _ = timeout(RESOLVE, ask).await;
    last
}

/// Injects, proves and holds. Returns when it is time to revert, for whatever
/// reason; what went wrong is recorded.
async fn hold(
    shared: &Shared,
    index: usize,
    id: u32,
    active: &Active,
    halt: &mut watch::Receiver<bool>,
) {
    let step = &shared.plan.steps[index];
    let mut gaps = Gaps::of(shared, id);
    let before = condition::before(shared, step.until.as_ref()).await;
    let looking = active.fault.looking();
    let limit = active.fault.takes().unwrap_or(INJECT);
    let injecting = timeout(limit, active.fault.inject(&shared.scene));
    let injected = match active.fault.takes() {
        None => injecting.await,
        Some(_) => match unless(halt, injecting).await {
            Some(injected) => injected,
            None => return,
        },
    };
    let injected = match injected {
        Ok(done) => done.map_err(|e| e.0),
        Err(_) => Err(format!("it took longer than {} s", limit.as_secs())),
    };
    if let Err(why) = injected {
        let proof = Proof {
            verdict: Verdict::Unknown,
            evidence: vec![format!("it could not be injected: {why}")],
        };
        take(shared, id, active, ProofSide::Injected, proof).await;
        return;
    }
    let began = Instant::now();
    let mut hold_end = began + step.hold;
    let lead = (HELD_LEAD.min(step.hold / 4) + looking).min(step.hold / 2);
    shared.write(TimelineEvent::Injected { id }).await;
    let look = || async {
        let away = shared.admission.away(id);
        active.fault.prove_injected(&shared.scene, &away).await
    };
    // A halt ends looking and waiting, never the recording of what was seen.
    let proof = until(PROVE_INJECTED + looking * 2, |v| v == Verdict::Pass, look);
    let Some(proof) = unless(halt, proof).await else {
        return;
    };
    if !take(shared, id, active, ProofSide::Injected, proof).await {
        return;
    }
    let almost = hold_end - lead;
    let mut waiting = pin!(async {
        match &step.until {
            None => {
                sleep_until(almost).await;
                None
            }
            Some(until) => {
                let comes = condition::comes(shared, until, before);
                Some((until, timeout_at(almost, comes).await))
            }
        }
    });
    let came = loop {
        let gap = tokio::select! {
            biased;
            _ = halt.wait_for(|h| *h) => return,
            came = &mut waiting => break came,
            gap = gaps.comes() => gap,
        };
        let proof = gaps.prove_after(
            gap,
            PROVE_INJECTED + looking * 2,
            |v| v == Verdict::Pass,
            look,
        );
        let Some(proof) = unless(halt, proof).await else {
            return;
        };
        // What was not put back, or is not in force for all that, has not been held.
        let side = match proof.verdict {
            Verdict::Pass => ProofSide::Again,
            Verdict::Fail | Verdict::Unknown => ProofSide::Held,
        };
        if !take(shared, id, active, side, proof).await {
            return;
        }
    };
    if let Some((until, came)) = came {
        let after = began.elapsed().as_secs_f64();
        let name = &step.name;
        let text = match came {
            Ok(seen) => {
                hold_end = Instant::now();
                format!("'{name}' was held until {until}, for {after:.1} s: {seen}")
            }
            Err(_) => {
                format!("'{name}' was held until {until}, which did not come in {after:.1} s")
            }
        };
        shared.note(text).await;
    }
    // A fault that is seen to have ended is not asked again: it should have lasted.
    let proof = gaps.prove(PROVE_HELD + looking * 2, |v| v != Verdict::Unknown, look);
    let Some(proof) = unless(halt, proof).await else {
        return;
    };
    if take(shared, id, active, ProofSide::Held, proof).await {
        // Halted or elapsed: it is time to revert.
        let _ = unless(halt, sleep_until(hold_end)).await;
    }
}

/// What comes of `work`, unless the halt comes first.
async fn unless<T>(halt: &mut watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        _ = halt.wait_for(|h| *h) => None,
        done = work => Some(done),
    }
}

/// Reverts and proves it, whatever happened before. True if it is proven gone.
pub(super) async fn end(shared: &Shared, id: u32, active: &Active) -> bool {
    shared.observer.observe(&Progress::Reverting { id });
    shared.write(TimelineEvent::Reverting { id }).await;
    let attempts = async {
        let mut attempt = 1;
        loop {
            match active.fault.revert(&shared.scene).await {
                Ok(()) => return Ok(()),
                Err(e) if attempt == REVERT_ATTEMPTS => return Err(e.0),
                Err(_) => attempt += 1,
            }
            sleep(ASK_AGAIN).await;
        }
    };
    let limit = active.fault.takes().unwrap_or_default().max(REVERT);
    let reverted = match timeout(limit, attempts).await {
        Ok(done) => done,
        Err(_) => Err(format!("it took longer than {} s", limit.as_secs())),
    };
    let proven = match reverted {
        Ok(()) => {
            shared.write(TimelineEvent::Reverted { id }).await;
            let look = || async {
                let away = shared.admission.away(id);
                active.fault.prove_reverted(&shared.scene, &away).await
            };
            let proof = until(PROVE_REVERTED, |v| v == Verdict::Pass, look).await;
            take(shared, id, active, ProofSide::Reverted, proof).await
        }
        Err(error) => {
            shared
                .write(TimelineEvent::RevertFailed {
                    id,
                    error: error.clone(),
                })
                .await;
            shared.not_clean(format!(
                "'{}' could not be reverted: {error}; by hand: {}",
                active.step,
                active.fault.undo()
            ));
            false
        }
    };
    shared.admission.close(id, proven);
    shared.observer.observe(&Progress::Ended { id });
    proven
}

/// Records a proof. True if it is a pass; else the steps end.
async fn take(shared: &Shared, id: u32, active: &Active, side: ProofSide, proof: Proof) -> bool {
    let verdict = proof.verdict;
    let what = match (side, verdict) {
        (_, Verdict::Pass) => None,
        (ProofSide::Injected, _) => Some("was not proven to be in force"),
        (ProofSide::Again | ProofSide::Held, _) => Some("was not proven to be in force to its end"),
        (ProofSide::Reverted, Verdict::Fail) => Some("is not gone after its revert"),
        (ProofSide::Reverted, Verdict::Unknown) => Some("was not proven to be gone"),
    };
    if let Some(what) = what {
        let text = format!("'{}' {what}: {}", active.step, describe(&proof));
        if side == ProofSide::Reverted && verdict == Verdict::Fail {
            shared.not_clean(text);
        } else {
            shared.unproven(text);
        }
    }
    shared.write(TimelineEvent::Proof { id, side, proof }).await;
    shared
        .observer
        .observe(&Progress::Proven { id, side, verdict });
    verdict == Verdict::Pass
}
