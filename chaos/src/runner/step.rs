//! One step, from its due time to the proof that nothing of it is left.

use super::admission::Active;
use super::condition;
use super::gaps::Gaps;
use super::prove::{describe, until};
use super::seams::Update;
use super::shared::Shared;
use crate::faults::Sides;
use crate::faults::time::{OVERTIME, SLACK, fits};
use crate::plan::{Leaders, PlannedStart, PlannedTarget, resolve_all, stream};
use crate::quorum::{Group, azs};
use crate::runtime::RuntimeError;
use gameday_record::timeline::{Injection, Proof};
use gameday_record::{ProofSide, TimelineEvent, Verdict};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// Finding the leader, or the groups for the blast radius.
const RESOLVE: Duration = Duration::from_secs(10);
/// Between two questions to the store.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// The act itself. One that takes longer is reverted, once it has ended.
const INJECT: Duration = Duration::from_secs(30);
/// How long the end of such an act is waited for.
const ACT_ENDS: Duration = Duration::from_secs(60);
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
    shared.observer.observe(&Update::Begun { injection });
    let act = hold(shared, index, id, &active, &mut halt).await;
    if end(shared, id, &active, act).await {
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
        let fault = step.fault.build(&step.params, &sides);
        let looking = fault.looking(&plan.topology, &shared.scene.instruments)?;
        fits(looking, step.hold, step.until.is_some()).map_err(|(why, _)| why)?;
        let active = Active {
            step: step.name.clone(),
            looking,
            kind: step.fault,
            touched: step.fault.touched(&step.params, &sides, &plan.topology),
            hurt: step.fault.hurt(&step.params, &sides, &plan.topology),
            fault,
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
                // In the timeline's sense: whom it takes away or cuts off.
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

/// The act of an injection, on a task of its own: nothing that ends the waiting for it ends what an
/// engine was told to do, so that it has to be waited for again.
type Act = JoinHandle<Result<(), RuntimeError>>;

/// Injects, proves and holds. Returns when it is time to revert, for whatever
/// reason, with the act if that is still under way; what went wrong is recorded.
async fn hold(
    shared: &Shared,
    index: usize,
    id: u32,
    active: &Active,
    halt: &mut watch::Receiver<bool>,
) -> Option<Act> {
    let mut gaps = Gaps::of(shared.gaps.subscribe(), id);
    let until = shared.plan.steps[index].until.as_ref();
    let before = condition::before(shared, until).await;
    match inject(shared, id, active, halt).await {
        Ok(()) => {
            held(shared, index, id, active, halt, &mut gaps, before).await;
            None
        }
        Err(under_way) => under_way,
    }
}

/// Injects. The error is that it is time to revert, after the act if there still is one.
async fn inject(
    shared: &Shared,
    id: u32,
    active: &Active,
    halt: &mut watch::Receiver<bool>,
) -> Result<(), Option<Act>> {
    let limit = match active.fault.takes() {
        Some(takes) => takes,
        // How it was before is measured first.
        None => INJECT + active.looking,
    };
    let (fault, scene) = (active.fault.clone(), shared.scene.clone());
    let mut act = tokio::spawn(async move { fault.inject(&scene).await });
    let injecting = timeout(limit, &mut act);
    let injected = match active.fault.takes() {
        None => Some(injecting.await),
        Some(_) => unless(halt, injecting).await,
    };
    let (why, under_way) = match injected {
        None => return Err(Some(act)),
        Some(Ok(Ok(Ok(())))) => return Ok(()),
        Some(Ok(Ok(Err(e)))) => (e.0, None),
        Some(Ok(Err(e))) => {
            let text = format!("gameday failed while it injected '{}': {e}", active.step);
            shared.find(|f| f.own.push(text));
            ("gameday failed".into(), None)
        }
        Some(Err(_)) => (
            format!("it took longer than {} s", limit.as_secs()),
            Some(act),
        ),
    };
    let proof = unknown(format!("it could not be injected: {why}"));
    take(shared, id, active, ProofSide::Injected, proof).await;
    Err(under_way)
}

/// Proves that it is in force, holds it and proves it again. However long that takes, it ends
/// [`OVERTIME`] after the hold.
async fn held(
    shared: &Shared,
    index: usize,
    id: u32,
    active: &Active,
    halt: &mut watch::Receiver<bool>,
    gaps: &mut Gaps,
    before: Vec<Group>,
) {
    let step = &shared.plan.steps[index];
    let looking = active.looking;
    let began = Instant::now();
    let mut hold_end = began + step.hold;
    let lead = (HELD_LEAD.min(step.hold / 4) + looking).min(step.hold / 2);
    shared.write(TimelineEvent::Injected { id }).await;
    let look = || async {
        let away = shared.admission.away(id);
        active.fault.prove_injected(&shared.scene, &away).await
    };
    // A halt ends looking and waiting, never the recording of what was seen.
    let limit = time_for(PROVE_INJECTED, looking);
    let proof = in_time(hold_end, until(limit, |v| v == Verdict::Pass, look));
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
        let limit = time_for(PROVE_INJECTED, looking);
        let proof = gaps.prove_after(gap, limit, |v| v == Verdict::Pass, look);
        let Some(mut proof) = unless(halt, in_time(hold_end, proof)).await else {
            return;
        };
        gaps.explain(&mut proof);
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
    let limit = time_for(PROVE_HELD, looking);
    let proof = gaps.prove(limit, |v| v != Verdict::Unknown, look);
    let Some(mut proof) = unless(halt, in_time(hold_end, proof)).await else {
        return;
    };
    gaps.explain(&mut proof);
    if take(shared, id, active, ProofSide::Held, proof).await {
        // Halted or elapsed: it is time to revert.
        let _ = unless(halt, sleep_until(hold_end)).await;
    }
}

/// How long a proof is asked for that is usually had within `least`, if a look measures so long.
fn time_for(least: Duration, looking: Duration) -> Duration {
    match looking {
        Duration::ZERO => least,
        // What does not arrive is waited for.
        looking => least + looking * 2 + SLACK,
    }
}

/// The proof, if it is had within [`OVERTIME`] of the end of the hold.
async fn in_time(hold_end: Instant, proof: impl Future<Output = Proof>) -> Proof {
    let proof = timeout_at(hold_end + OVERTIME, proof).await;
    proof.unwrap_or_else(|_| {
        let allowed = OVERTIME.as_secs();
        unknown(format!(
            "it was not proven within {allowed} s after its hold, when it is reverted in any case"
        ))
    })
}

fn unknown(why: String) -> Proof {
    Proof {
        verdict: Verdict::Unknown,
        evidence: vec![why],
    }
}

/// Waits for the end of an act that is under way; whether it has ended.
async fn over(act: &mut Option<Act>) -> bool {
    if let Some(running) = act {
        if timeout(ACT_ENDS, running).await.is_err() {
            return false;
        }
        *act = None;
    }
    true
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
///
/// What the `act` may still do must not come after the revert: it is waited for before, or, where
/// it is the revert that ends it, before the proof.
pub(super) async fn end(shared: &Shared, id: u32, active: &Active, mut act: Option<Act>) -> bool {
    if active.fault.takes().is_none() {
        over(&mut act).await;
    }
    shared.observer.observe(&Update::Reverting { id });
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
            let over = act.is_none() || over(&mut act).await;
            let limit = time_for(PROVE_REVERTED, active.looking);
            let mut proof = until(limit, |v| v == Verdict::Pass, look).await;
            if !over {
                let text = "its injection still goes on: what it may do yet is not known";
                proof.verdict = proof.verdict.and(Verdict::Unknown);
                proof.evidence.insert(0, text.into());
            }
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
    shared.observer.observe(&Update::Ended { id });
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
        .observe(&Update::Proven { id, side, verdict });
    verdict == Verdict::Pass
}
