//! The process is frozen: its connections stay open, and nobody answers.

use super::process::{Targets, is_frozen, is_thawed};
use super::{Fault, Scene};
use crate::runtime::Fut;
use futures_util::future::BoxFuture;
use gameday_record::timeline::Proof;
use std::collections::BTreeSet;

pub(super) struct Pause {
    targets: Targets,
}

impl Pause {
    pub(super) fn new(nodes: Vec<String>) -> Self {
        Pause {
            targets: Targets::new(nodes),
        }
    }
}

impl Fault for Pause {
    fn undo(&self) -> String {
        format!(
            "thaw these nodes (SIGCONT, or unpause the container): {}",
            self.targets.nodes.join(", ")
        )
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.targets.remember(scene).await?;
            self.targets.each(|n| scene.runtime.pause(n)).await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        self.targets.look(scene, true, is_frozen)
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(self.targets.each(|n| scene.runtime.resume(n)))
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        self.targets.look(scene, false, is_thawed)
    }
}
