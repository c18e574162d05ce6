//! Every target is ended by SIGTERM and started as another build of its
//! program, one after the other; reverting is the same way back. The hold
//! begins when the last one serves as the other build, and ends when the first
//! one is stopped to go back: for so long the cluster is wholly the other one.

use super::process::{Targets, is_back, is_serving};
use super::rolling::{Rollout, deadline, serves};
use super::{Fault, Scene, merge};
use crate::runtime::{Fut, ProcessState, RuntimeError};
use futures_util::future::{BoxFuture, join_all};
use gameday_record::Verdict;
use gameday_record::timeline::Proof;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

pub(super) struct RollingUpgrade {
    targets: Targets,
    binary: PathBuf,
    pause: Duration,
    rollout: Rollout,
    /// The programs before and after, as the runtime tells them apart; known once it has begun.
    programs: Mutex<Option<Programs>>,
}

#[derive(Clone)]
struct Programs {
    before: String,
    after: String,
}

impl RollingUpgrade {
    pub(super) fn new(nodes: Vec<String>, binary: PathBuf, pause: Duration) -> Self {
        RollingUpgrade {
            targets: Targets::new(nodes),
            binary,
            pause,
            rollout: Rollout::default(),
            programs: Mutex::new(None),
        }
    }

    fn programs(&self) -> Option<Programs> {
        let programs = self.programs.lock().unwrap_or_else(|e| e.into_inner());
        programs.clone()
    }

    /// What the nodes' processes execute, against what they should.
    async fn executed(&self, scene: &Scene, wanted: &str) -> Vec<(Verdict, String)> {
        let nodes = &self.targets.nodes;
        let asked = join_all(nodes.iter().map(|n| scene.runtime.executes(n))).await;
        let each = nodes.iter().zip(asked).map(|(node, seen)| {
            let (verdict, text) = judge(seen, wanted);
            (verdict, format!("{node}: {text}"))
        });
        each.collect()
    }

    async fn back(&self, scene: &Scene, before: &str) -> Result<(), RuntimeError> {
        for node in &self.targets.nodes {
            let state = scene.runtime.process(node).await?;
            let runs = matches!(state, ProcessState::Running { .. });
            if !(runs && scene.runtime.executes(node).await? == before) {
                switch(scene, node, before).await?;
            }
            serves(scene, node)
                .await
                .map_err(|e| RuntimeError(format!("{node}: {e}")))?;
        }
        Ok(())
    }
}

/// Judges what a process executes.
fn judge(seen: Result<String, RuntimeError>, wanted: &str) -> (Verdict, String) {
    match seen {
        Ok(program) if program == wanted => (Verdict::Pass, format!("executes {program}")),
        Ok(program) => (Verdict::Fail, format!("executes {program}, not {wanted}")),
        Err(e) => (
            Verdict::Unknown,
            format!("what it executes could not be looked at: {e}"),
        ),
    }
}

fn switch<'a>(scene: &'a Scene, node: &'a str, program: &'a str) -> Fut<'a, ()> {
    Box::pin(async move {
        scene.runtime.stop(node).await?;
        scene.runtime.install(node, program).await?;
        scene.runtime.start(node).await
    })
}

impl Fault for RollingUpgrade {
    fn undo(&self) -> String {
        format!(
            "stop each of these nodes and start it as it was launched: {}",
            self.targets.nodes.join(", ")
        )
    }

    fn takes(&self) -> Option<Duration> {
        Some(deadline(self.targets.nodes.len(), self.pause))
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async move {
            self.targets.remember(scene).await?;
            let before = scene.runtime.provide(None).await?;
            let after = scene.runtime.provide(Some(&self.binary)).await?;
            if before == after {
                return Err(RuntimeError(format!(
                    "{} is the very program that runs ({before}): nothing would change",
                    self.binary.display()
                )));
            }
            let programs = Programs {
                before,
                after: after.clone(),
            };
            *self.programs.lock().unwrap_or_else(|e| e.into_inner()) = Some(programs);
            let change = Box::new(move |scene, node| to(scene, node, after.clone()));
            let nodes = &self.targets.nodes;
            self.rollout.run(scene, nodes, self.pause, change).await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let Some(programs) = self.programs() else {
                return merge(Vec::new());
            };
            let executed = self.executed(scene, &programs.after).await;
            with(
                executed,
                self.targets.look_same(scene, false, is_back).await,
            )
        })
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async move {
            self.rollout.end().await?;
            match self.programs() {
                Some(programs) => self.back(scene, &programs.before).await,
                // Nothing was stopped before the programs were known.
                None => Ok(()),
            }
        })
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let looked = self.targets.look(scene, false, is_serving).await;
            match self.programs() {
                Some(programs) => with(self.executed(scene, &programs.before).await, looked),
                None => looked,
            }
        })
    }
}

fn to(scene: Scene, node: String, program: String) -> BoxFuture<'static, Result<(), RuntimeError>> {
    Box::pin(async move { switch(&scene, &node, &program).await })
}

/// What is executed, and what else was seen.
fn with(executed: Vec<(Verdict, String)>, looked: Proof) -> Proof {
    let mut proof = merge(executed);
    proof.verdict = proof.verdict.and(looked.verdict);
    proof.evidence.extend(looked.evidence);
    proof
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_the_wanted_one_or_not_or_not_seen() {
        let of = |seen: Result<&str, &str>| {
            let seen = seen.map(String::from);
            judge(seen.map_err(|e| RuntimeError(e.into())), "new").0
        };
        assert_eq!(of(Ok("new")), Verdict::Pass);
        assert_eq!(of(Ok("old")), Verdict::Fail);
        assert_eq!(of(Err("gone")), Verdict::Unknown);
    }
}
