//! SIGTERM and started again at once, as in a rollout: all targets together.
//! The hold is the time in which the new process must not end: the one that is proven to have
//! been started is the one that must run at its end.

use super::process::{Targets, is_another, is_back};
use super::{Fault, Scene};
use crate::runtime::Fut;
use futures_util::future::BoxFuture;
use gameday_record::timeline::Proof;
use std::collections::BTreeSet;

pub(super) struct Restart {
    targets: Targets,
}

impl Restart {
    pub(super) fn new(nodes: Vec<String>) -> Self {
        Restart {
            targets: Targets::new(nodes),
        }
    }
}

impl Fault for Restart {
    fn undo(&self) -> String {
        format!(
            "nothing if these nodes run, else start them: {}",
            self.targets.nodes.join(", ")
        )
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.targets.remember(scene).await?;
            self.targets.each(|n| scene.runtime.stop(n)).await?;
            self.targets.each(|n| scene.runtime.start(n)).await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        self.targets.look_same(scene, true, is_another)
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(self.targets.each(|n| scene.runtime.start(n)))
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        self.targets.look_afterwards(scene, is_back)
    }
}
