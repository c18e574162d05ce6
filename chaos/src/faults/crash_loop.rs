//! SIGKILL and started again at once, over and over: a process that crashes
//! some time after each start.

use super::process::{Targets, is_another, is_serving};
use super::{Fault, Scene};
use crate::runtime::{Fut, RuntimeError};
use futures_util::future::BoxFuture;
use gameday_record::timeline::Proof;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(super) struct CrashLoop {
    targets: Arc<Targets>,
    every: Duration,
    /// The loop, while it runs. It ends when its sender is told or dropped.
    crashing: Mutex<Option<(watch::Sender<bool>, JoinHandle<()>)>>,
}

impl CrashLoop {
    pub(super) fn new(nodes: Vec<String>, every: Duration) -> Self {
        CrashLoop {
            targets: Arc::new(Targets::new(nodes)),
            every,
            crashing: Mutex::new(None),
        }
    }
}

async fn crash(targets: &Targets, scene: &Scene) -> Result<(), RuntimeError> {
    targets.each(|n| scene.runtime.kill(n)).await?;
    targets.each(|n| scene.runtime.start(n)).await
}

impl Fault for CrashLoop {
    fn undo(&self) -> String {
        format!(
            "start each of these nodes that does not run: {}",
            self.targets.nodes.join(", ")
        )
    }

    fn inject<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async move {
            self.targets.remember(scene).await?;
            crash(&self.targets, scene).await?;
            let (end, mut ended) = watch::channel(false);
            let (targets, scene, every) = (self.targets.clone(), scene.clone(), self.every);
            let task = tokio::spawn(async move {
                // A timeout is the time to crash; a message, or nobody left to send one, the end.
                while tokio::time::timeout(every, ended.changed()).await.is_err() {
                    // One that fails shows: the next proof finds the process of the last.
                    if let Err(e) = crash(&targets, &scene).await {
                        tracing::warn!("crash loop: {e}");
                    }
                }
            });
            *self.crashing.lock().unwrap_or_else(|e| e.into_inner()) = Some((end, task));
            Ok(())
        })
    }

    /// Every look wants other processes than the last look that was a pass.
    fn prove_injected<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            let proof = self.targets.look(scene, true, is_another).await;
            if proof.verdict == gameday_record::Verdict::Pass
                && let Err(e) = self.targets.remember(scene).await
            {
                // Between two starts just now; what was seen before stays the measure.
                tracing::debug!("crash loop: {e}");
            }
            proof
        })
    }

    fn revert<'a>(&'a self, scene: &'a Scene) -> Fut<'a, ()> {
        Box::pin(async move {
            let crashing = self
                .crashing
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .take();
            if let Some((end, task)) = crashing {
                end.send_replace(true);
                // The crash under way is waited for, lest it land after the start.
                task.await
                    .map_err(|e| RuntimeError(format!("the crash loop failed: {e}")))?;
            }
            self.targets.each(|n| scene.runtime.start(n)).await
        })
    }

    fn prove_reverted<'a>(
        &'a self,
        scene: &'a Scene,
        _away: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Proof> {
        self.targets.look(scene, false, is_serving)
    }
}
