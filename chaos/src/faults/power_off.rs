//! The machine loses power: its network falls silent first, then the process
//! is killed, and what was not synced to disk is lost.
//!
//! A killed process looks the same from its own machine. So the links of the
//! target are silenced by themselves, and it is seen to run on behind them,
//! before it is killed: whatever its end sends, a reset too, nobody hears. In
//! the hold they are probed: a machine without power neither answers nor
//! rejects. That unsynced writes are lost is the doing of the node's disk layer,
//! which keeps them in the memory of the process that dies; nobody looks at
//! them here, and the evidence says so.

use super::process::{Sighting, Targets, is_back, is_dead};
use super::{Fault, Scene, merge, partition};
use crate::runtime::{Fut, Identity, Link, LinkState, ProcessState, RuntimeError};
use futures_util::future::BoxFuture;
use gameday_record::Verdict;
use gameday_record::timeline::Proof;
use std::collections::BTreeSet;

pub(super) struct PowerOff {
    targets: Targets,
}

impl PowerOff {
    pub(super) fn new(nodes: Vec<String>) -> Self {
        PowerOff {
            targets: Targets::new(nodes),
        }
    }

    /// Every link of the targets to and from units that are not `away`.
    fn links(&self, scene: &Scene, away: &BTreeSet<String>) -> Vec<Link> {
        let units = scene.topology.nodes.iter().chain(&scene.instruments);
        let units: Vec<&String> = units
            .map(|u| &u.name)
            .filter(|n| !away.contains(*n))
            .collect();
        let mut links = BTreeSet::new();
        for target in &self.targets.nodes {
            for unit in units.iter().filter(|unit| **unit != target) {
                for (from, to) in [(target, *unit), (*unit, target)] {
                    links.insert(Link {
                        from: from.clone(),
                        to: to.clone(),
                    });
                }
            }
        }
        links.into_iter().collect()
    }

    async fn silent(&self, scene: &Scene, away: &BTreeSet<String>) -> (Verdict, String) {
        let links = self.links(scene, away);
        match scene.runtime.probe(&links).await {
            Ok(seen) if seen.len() == links.len() && !links.is_empty() => {
                partition::judge(&links, &seen, &LinkState::Cut)
            }
            Ok(seen) => {
                let text = format!("{} links probed, {} answers", links.len(), seen.len());
                (Verdict::Unknown, text)
            }
            Err(e) => (Verdict::Unknown, format!("links not probed: {e}")),
        }
    }
}

/// Whether a process still ran as before when its links had fallen silent.
fn ran_on(
    before: Option<&Identity>,
    state: Result<ProcessState, RuntimeError>,
) -> Result<(), String> {
    match state {
        Ok(ProcessState::Running { identity }) if before == Some(&identity) => Ok(()),
        Ok(state) => Err(super::process::describe(&state)),
        Err(e) => Err(e.0),
    }
}

impl Fault for PowerOff {
    fn undo(&self) -> String {
        format!(
            "power these nodes on again: {}",
            self.targets.nodes.join(", ")
        )
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.targets.remember(scene).await?;
            self.targets.each(|n| scene.runtime.silence(n)).await?;
            for node in &self.targets.nodes {
                let state = scene.runtime.process(node).await;
                ran_on(self.targets.identity(node).as_ref(), state).map_err(|why| {
                    RuntimeError(format!(
                        "{node} was not seen to run when its links had fallen silent: {why}"
                    ))
                })?;
            }
            self.targets.each(|n| scene.runtime.power_off(n)).await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let dead = |node: &str, seen: &Sighting| {
                let (verdict, text) = is_dead(self.targets.identity(node).as_ref(), seen);
                let text = match verdict {
                    Verdict::Pass => format!("{text}; its links were silent while it still ran"),
                    _ => text,
                };
                (verdict, text)
            };
            let (mut proof, silent) = tokio::join!(
                self.targets.look_with(scene, true, dead),
                self.silent(scene, away)
            );
            let silent = merge(vec![silent]);
            proof.verdict = proof.verdict.and(silent.verdict);
            proof.evidence.extend(silent.evidence);
            proof.evidence.push(
                "that what was not synced is lost follows from the node's disk layer and was not \
                 looked at"
                    .into(),
            );
            proof
        })
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(self.targets.each(|n| scene.runtime.start(n)))
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        self.targets.look(scene, false, is_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Exit;

    #[test]
    fn silence_comes_before_death_only_if_the_same_process_was_seen_behind_it() {
        let running = |identity: &str| {
            Ok(ProcessState::Running {
                identity: identity.into(),
            })
        };
        assert_eq!(ran_on(Some(&"1".into()), running("1")), Ok(()));
        for other in [
            running("2"),
            Ok(ProcessState::Exited(Exit::Signal(9))),
            Err(RuntimeError("no answer".into())),
        ] {
            assert!(ran_on(Some(&"1".into()), other).is_err());
        }
    }
}
