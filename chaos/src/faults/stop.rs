//! SIGTERM: the process ends in an orderly way and stays away for the hold, as
//! in a planned stop.

use super::process::{Targets, is_back, is_dead};
use super::{Fault, Scene};
use crate::runtime::Fut;
use futures_util::future::BoxFuture;
use gameday_record::timeline::Proof;
use std::collections::BTreeSet;

pub(super) struct Stop {
    targets: Targets,
}

impl Stop {
    pub(super) fn new(nodes: Vec<String>) -> Self {
        Stop {
            targets: Targets::new(nodes),
        }
    }
}

impl Fault for Stop {
    fn undo(&self) -> String {
        format!(
            "start each of these nodes again: {}",
            self.targets.nodes.join(", ")
        )
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.targets.remember(scene).await?;
            self.targets.each(|n| scene.runtime.stop(n)).await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        self.targets.look(scene, true, is_dead)
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
