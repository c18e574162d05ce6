//! What the faults on disks have in common: giving the disk a condition, and
//! having the node try its disk.
//!
//! The condition lives in the node's disk layer, and the node itself says what it met there: where
//! an effect can be seen from outside it is (how long a slow sync takes), and the evidence says of
//! everything else that it is the node's word.

use super::process::{Targets, describe};
use super::{Fault, Scene, merge};
use crate::runtime::files::{FilesAnswer, FilesRequest};
use crate::runtime::{Fut, ProcessState, RuntimeError};
use futures_util::future::{BoxFuture, join_all};
use gameday_record::conditions::{DiskCondition, DiskEffects, DiskProbe, Ended};
use gameday_record::timeline::Proof;
use gameday_record::{Node, Topology, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long a node may take to try its disk, beside the delay of a slow one.
const TRY: Duration = Duration::from_secs(2);

/// How long after an error a node ends at the latest, if it ends of it.
const ENDS: Duration = Duration::from_millis(1500);

/// Whether the condition is in force, from what was seen of one node.
type InForce = fn(&DiskCondition, &Probed) -> (Verdict, String);

/// A condition of the targets' disks.
pub(super) struct OnDisk {
    targets: Targets,
    condition: DiskCondition,
    /// For people: what the disk is or does.
    what: &'static str,
    in_force: InForce,
    /// Whether the nodes are started afresh when it is over.
    restarts: bool,
    /// What earlier conditions had done.
    before: Mutex<BTreeMap<String, DiskEffects>>,
}

/// What was seen of one node.
#[derive(Clone, Debug)]
pub(super) struct Probed {
    pub(super) state: Result<ProcessState, RuntimeError>,
    /// What the node met when it tried its disk, as it says itself; else why it did not.
    pub(super) probe: Result<DiskProbe, String>,
    /// How long that took, seen from outside.
    pub(super) took: Duration,
    /// What the condition has done since it was given.
    pub(super) effects: Result<DiskEffects, RuntimeError>,
}

impl OnDisk {
    pub(super) fn new(
        nodes: Vec<String>,
        condition: DiskCondition,
        what: &'static str,
        in_force: InForce,
    ) -> Self {
        OnDisk {
            targets: Targets::new(nodes),
            condition,
            what,
            in_force,
            restarts: false,
            before: Mutex::new(BTreeMap::new()),
        }
    }

    /// Nodes that go on with a disk that failed are started afresh after it: what they have on it
    /// is known only to one who reads it again.
    pub(super) fn not_trusted_after(self) -> Self {
        OnDisk {
            restarts: true,
            ..self
        }
    }

    async fn give(&self, scene: &Scene, condition: DiskCondition) -> Result<(), RuntimeError> {
        let give = |node| -> Fut<'_, ()> {
            Box::pin(async move {
                let request = FilesRequest::Disk(condition);
                scene.runtime.files(node, request).await.map(drop)
            })
        };
        self.targets.each(give).await
    }

    async fn look(&self, scene: &Scene, judge: impl Fn(&Probed) -> (Verdict, String)) -> Proof {
        let delay = Duration::from_millis(self.condition.sync_delay_ms);
        let seen = join_all(self.targets.nodes.iter().map(async |node| {
            let tried = async {
                let begun = Instant::now();
                let probe = scene.runtime.admin(node, "/disk", TRY + delay).await;
                (probe, begun.elapsed())
            };
            let (state, (probe, took), effects) =
                tokio::join!(scene.runtime.process(node), tried, effects(scene, node),);
            let before = self.before.lock().unwrap_or_else(|e| e.into_inner());
            let before = before.get(node).copied().unwrap_or_default();
            Probed {
                state,
                took,
                probe: probe
                    .map_err(|e| e.0)
                    .and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string())),
                effects: effects.map(|now| since(now, before)),
            }
        }))
        .await;
        let judged = self.targets.nodes.iter().zip(&seen).map(|(node, seen)| {
            let (verdict, text) = match &seen.state {
                Ok(ProcessState::Running { identity })
                    if self.targets.identity(node).as_ref() != Some(identity)
                        && self.targets.identity(node).is_some() =>
                {
                    let (verdict, text) = judge(seen);
                    (verdict, format!("{text} (started again as {identity})"))
                }
                _ => judge(seen),
            };
            (verdict, format!("{node}: {text}"))
        });
        merge(judged.collect())
    }
}

async fn effects(scene: &Scene, node: &str) -> Result<DiskEffects, RuntimeError> {
    match scene.runtime.files(node, FilesRequest::DiskEffects).await? {
        FilesAnswer::DiskEffects(effects) => Ok(effects),
        other => Err(RuntimeError(format!("unexpected answer {other:?}"))),
    }
}

fn since(now: DiskEffects, before: DiskEffects) -> DiskEffects {
    DiskEffects {
        delayed: now.delayed.saturating_sub(before.delayed),
        refused: now.refused.saturating_sub(before.refused),
        failed: now.failed.saturating_sub(before.failed),
    }
}

pub(super) fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

/// Judges a node that does not try its disk: it may have ended of what it met.
pub(super) fn met(seen: &Probed, count: fn(&DiskEffects) -> u64, what: &str) -> (Verdict, String) {
    let silent = match &seen.probe {
        Ok(_) => "it answers".to_string(),
        Err(why) => why.clone(),
    };
    match (&seen.state, &seen.effects) {
        (Ok(state @ ProcessState::Exited(_)), Ok(effects)) if count(effects) > 0 => (
            Verdict::Pass,
            format!(
                "the node ended by itself ({}) after {} of its operations {what}",
                describe(state),
                count(effects)
            ),
        ),
        (Ok(ProcessState::Exited(exit)), _) => (
            Verdict::Unknown,
            format!("its process exited ({exit}), and not of its disk as far as is known"),
        ),
        _ => (
            Verdict::Unknown,
            format!("its disk was not tried: {silent}"),
        ),
    }
}

/// Judges whether nothing of the condition is left: the node runs, and its disk does everything,
/// faster than while it was slow.
fn gone(condition: &DiskCondition, seen: &Probed) -> (Verdict, String) {
    match &seen.state {
        Ok(ProcessState::Running { .. }) => {}
        Ok(state) => return (Verdict::Fail, format!("is not back: {}", describe(state))),
        Err(e) => return (Verdict::Unknown, format!("its process was not seen: {e}")),
    }
    let probe = match &seen.probe {
        Ok(probe) => probe,
        Err(why) => return (Verdict::Unknown, format!("its disk was not tried: {why}")),
    };
    let tried = [Some(&probe.write), probe.sync.as_ref(), probe.read.as_ref()];
    let done =
        |t: &Option<&gameday_record::conditions::Tried>| t.is_some_and(|t| t.ended == Ended::Done);
    if !tried.iter().all(done) {
        let error = tried.iter().flatten().find(|t| t.ended != Ended::Done);
        let error = error.map_or("something was not done", |t| t.error.as_str());
        return (Verdict::Fail, format!("its disk still fails: {error}"));
    }
    let micros = probe.sync.as_ref().map_or(0, |s| s.micros);
    let text = format!(
        "its disk writes, syncs (in {:.1} ms) and reads",
        micros as f64 / 1e3
    );
    let slow = Duration::from_millis(condition.sync_delay_ms);
    // Answered sooner than a slow sync takes: the node need not be believed.
    if !slow.is_zero() && seen.took >= slow {
        // The disk, or the machine, may be as slow by itself just now.
        let text = format!("{text}, and answers after {:.0} ms", millis(seen.took));
        let verdict = match Duration::from_micros(micros) >= slow {
            true => Verdict::Fail,
            false => Verdict::Unknown,
        };
        return (verdict, format!("{text}, still as slowly"));
    }
    let met = match &seen.effects {
        Ok(e) => format!(
            "; meanwhile {} operations were delayed, {} found no room, {} failed",
            e.delayed, e.refused, e.failed
        ),
        Err(e) => format!("; what was met meanwhile is not known: {e}"),
    };
    (Verdict::Pass, text + &met)
}

impl Fault for OnDisk {
    fn undo(&self) -> String {
        let start = if self.restarts {
            ", and start the node again"
        } else {
            ", and start the node if it does not run"
        };
        format!(
            "remove the file {} (\"the disk {}\") from the data folder of each of these \
             nodes{start}: {}",
            gameday_record::conditions::DISK,
            self.what,
            self.targets.nodes.join(", ")
        )
    }

    fn looking(&self, _: &Topology, _: &[Node]) -> Result<Duration, String> {
        // The block that is tried is synced, as slowly as everything else.
        Ok(Duration::from_millis(self.condition.sync_delay_ms))
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.targets.remember(scene).await?;
            for node in &self.targets.nodes {
                let now = effects(scene, node).await?;
                let mut before = self.before.lock().unwrap_or_else(|e| e.into_inner());
                before.insert(node.clone(), now);
            }
            self.give(scene, self.condition).await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(self.look(scene, |seen| (self.in_force)(&self.condition, seen)))
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.give(scene, DiskCondition::default()).await?;
            if self.restarts {
                self.targets.each(|n| scene.runtime.kill(n)).await?;
            } else if self.condition.full.is_some() {
                // One that has met an error that it cannot live with may still be ending.
                tokio::time::sleep(ENDS).await;
            }
            self.targets.each(|n| scene.runtime.start(n)).await
        })
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(self.look(scene, |seen| gone(&self.condition, seen)))
    }
}
