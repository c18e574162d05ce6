//! Every target is ended by SIGTERM and started again, one after the other.
//! The hold begins when the last one serves; in it no process may end.

use super::process::{Targets, is_back, is_serving};
use super::rolling::{Rollout, deadline};
use super::{Fault, Scene};
use crate::runtime::{Fut, RuntimeError};
use futures_util::future::BoxFuture;
use gameday_record::timeline::Proof;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) struct RollingRestart {
    targets: Targets,
    pause: Duration,
    rollout: Rollout,
}

impl RollingRestart {
    pub(super) fn new(nodes: Vec<String>, pause: Duration) -> Self {
        RollingRestart {
            targets: Targets::new(nodes),
            pause,
            rollout: Rollout::default(),
        }
    }
}

impl Fault for RollingRestart {
    fn undo(&self) -> String {
        format!(
            "start each of these nodes that does not run: {}",
            self.targets.nodes.join(", ")
        )
    }

    fn takes(&self) -> Option<Duration> {
        Some(deadline(self.targets.nodes.len(), self.pause))
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.targets.remember(scene).await?;
            let nodes = &self.targets.nodes;
            let rollout = self
                .rollout
                .run(scene, nodes, self.pause, Box::new(restart));
            rollout.await
        })
    }

    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        self.targets.look_same(scene, false, is_back)
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async {
            self.rollout.end().await?;
            self.targets.each(|n| scene.runtime.start(n)).await
        })
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        self.targets.look_afterwards(scene, is_serving)
    }
}

fn restart(scene: Scene, node: String) -> BoxFuture<'static, Result<(), RuntimeError>> {
    Box::pin(async move {
        scene.runtime.stop(&node).await?;
        scene.runtime.start(&node).await
    })
}
