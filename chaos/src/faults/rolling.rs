//! What rolling changes have in common: one node after the other, in the order
//! of the AZs, each only when the one before serves again (`max_unavailable = 1`
//! in the words of orchestrators), with a pause between.
//!
//! A rollout takes its time, so it runs as a task of its own: when the run is
//! halted the runner stops waiting for it, and the revert ends it after the
//! node under way.

use super::Scene;
use super::process::describe;
use crate::runtime::{ProcessState, RuntimeError};
use futures_util::future::BoxFuture;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long a node may take to serve again after its change.
const SERVES: Duration = Duration::from_secs(30);
/// How long one question for its health may take.
const ASK: Duration = Duration::from_secs(2);
/// Between two questions.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long a node's change takes at most, as far as deadlines and plans go: to end within the
/// runtime's deadline, to start, and to serve.
const NODE: Duration = Duration::from_secs(60);
/// How long it usually takes at most.
const NODE_USUALLY: Duration = Duration::from_secs(10);

/// How long a rollout over so many nodes usually takes: at least, at most.
pub(super) fn usually(nodes: usize, pause: Duration) -> (Duration, Duration) {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
    let pauses = pause.saturating_mul(nodes.saturating_sub(1));
    let most = pauses.saturating_add(NODE_USUALLY.saturating_mul(nodes));
    (pauses, most)
}

/// Deadline of a rollout over so many nodes.
pub(super) fn deadline(nodes: usize, pause: Duration) -> Duration {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
    (NODE + pause).saturating_mul(nodes)
}

/// Changes one node.
pub(super) type Change =
    Box<dyn Fn(Scene, String) -> BoxFuture<'static, Result<(), RuntimeError>> + Send + Sync>;

/// The rollout under way, if there is one. One that was ended never begins: what leads to it may
/// still be going on when it is reverted.
#[derive(Default)]
pub(super) struct Rollout {
    end: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Rollout {
    /// Changes the nodes in the order of the topology, and waits for the last. Dropping this
    /// leaves the rollout under way; [`Rollout::end`] ends it.
    ///
    /// # Errors
    /// Which node could not be changed or does not serve afterwards; those after it are unchanged.
    /// It was ended before.
    pub(super) async fn run(
        &self,
        scene: &Scene,
        nodes: &[String],
        pause: Duration,
        change: Change,
    ) -> Result<(), RuntimeError> {
        let nodes = in_order(scene, nodes);
        let scene = scene.clone();
        let (done, result) = oneshot::channel();
        {
            let mut task = self.task.lock().unwrap_or_else(|e| e.into_inner());
            let ended = self.end.subscribe();
            // Whoever ends it takes the task afterwards.
            *task = Some(tokio::spawn(async move {
                // Nobody may wait for it any more.
                let _ = done.send(roll(&scene, &nodes, pause, &change, ended).await);
            }));
        }
        result
            .await
            .unwrap_or_else(|_| Err(RuntimeError("the rollout failed".into())))
    }

    /// Ends it after the node under way; if it has not begun, it does not.
    ///
    /// # Errors
    /// It failed in a way that is a bug of ours.
    pub(super) async fn end(&self) -> Result<(), RuntimeError> {
        self.end.send_replace(true);
        let task = self.task.lock().unwrap_or_else(|e| e.into_inner()).take();
        match task {
            Some(task) => task
                .await
                .map_err(|e| RuntimeError(format!("the rollout failed: {e}"))),
            None => Ok(()),
        }
    }
}

/// AZ by AZ, as the topology lists them.
fn in_order(scene: &Scene, nodes: &[String]) -> Vec<String> {
    let all = scene.topology.nodes.iter().map(|n| &n.name);
    all.filter(|n| nodes.contains(n)).cloned().collect()
}

async fn roll(
    scene: &Scene,
    nodes: &[String],
    pause: Duration,
    change: &Change,
    mut ended: watch::Receiver<bool>,
) -> Result<(), RuntimeError> {
    for (i, node) in nodes.iter().enumerate() {
        // A timeout is the end of the pause; a message, or nobody left to send one, that of all.
        if i > 0 && tokio::time::timeout(pause, ended.changed()).await.is_ok() || *ended.borrow() {
            return Err(RuntimeError(format!("it was ended before {node}")));
        }
        let changed = match change(scene.clone(), node.clone()).await {
            Ok(()) => serves(scene, node).await,
            refused => refused,
        };
        changed.map_err(|e| {
            RuntimeError(format!("{node}, number {} of {}: {e}", i + 1, nodes.len()))
        })?;
    }
    Ok(())
}

/// Waits until the node runs and says that it serves.
///
/// # Errors
/// What it did instead.
pub(super) async fn serves(scene: &Scene, node: &str) -> Result<(), RuntimeError> {
    let end = Instant::now() + SERVES;
    loop {
        let state = scene.runtime.process(node).await?;
        let why = match &state {
            ProcessState::Running { .. } => match scene.runtime.admin(node, "/health", ASK).await {
                Ok(_) => return Ok(()),
                Err(e) => e.0,
            },
            other => describe(other),
        };
        if Instant::now() >= end {
            return Err(RuntimeError(format!(
                "it does not serve {} s after its change: {why}",
                SERVES.as_secs()
            )));
        }
        sleep(ASK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_rollout_grows_with_its_nodes() {
        let second = Duration::from_secs(1);
        assert_eq!(usually(1, second), (Duration::ZERO, NODE_USUALLY));
        assert_eq!(usually(6, second), (second * 5, second * 65));
        assert_eq!(usually(0, second), (Duration::ZERO, Duration::ZERO));
        assert!(deadline(6, second) > usually(6, second).1);
    }
}
