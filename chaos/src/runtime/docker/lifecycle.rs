//! What is done to a node's process, over the engine. Each of these waits for the
//! engine for as long as it takes: `acts` says when to stop waiting.

use super::acts::PATIENCE;
use super::deadline::err;
use super::engine::status;
use super::join;
use super::node::Node;
use super::pod::{Pod, Told};
use super::state;
use crate::runtime::agent::AgentRequest;
use crate::runtime::{ProcessState, RuntimeError};
use bollard::Docker;
use bollard::query_parameters::{KillContainerOptions, StartContainerOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a node that is started waits for an agent that is being brought back.
const READY: Duration = Duration::from_secs(8);
/// Between two looks at a node that should end.
const LOOK: Duration = Duration::from_millis(20);

/// Acts on nodes.
#[derive(Clone)]
pub(super) struct Lifecycle {
    docker: Docker,
}

impl Lifecycle {
    /// Over this engine.
    pub fn new(docker: &Docker) -> Self {
        Lifecycle {
            docker: docker.clone().with_timeout(PATIENCE),
        }
    }

    /// What its process is doing.
    pub async fn inspect(&self, node: &Node) -> Result<ProcessState, RuntimeError> {
        let state = state::state(&self.docker, &node.container()).await;
        state
            .map_err(|e| err(format!("{}: {e}", node.name())))?
            .ok_or_else(|| err(format!("the container of {} was removed", node.name())))
    }

    /// Sends a signal that should end the node, and waits until it has ended.
    pub async fn end(
        self,
        node: Arc<Node>,
        signal: &str,
        within: Duration,
    ) -> Result<(), RuntimeError> {
        let options = KillContainerOptions {
            signal: signal.into(),
        };
        match self
            .docker
            .kill_container(&node.container(), Some(options))
            .await
        {
            Ok(()) => {}
            // It does not run: what was wanted.
            Err(e) if status(&e) == Some(409) => {}
            Err(e) => return Err(err(e.to_string())),
        }
        let ended = async {
            while !matches!(self.inspect(&node).await?, ProcessState::Exited(_)) {
                sleep(LOOK).await;
            }
            Ok::<_, RuntimeError>(())
        };
        let late = || err(format!("it has not ended {within:?} after {signal}"));
        timeout(within, ended).await.unwrap_or_else(|_| Err(late()))
    }

    /// Starts it unless it runs.
    pub async fn start(self, node: Arc<Node>) -> Result<(), RuntimeError> {
        if !matches!(self.inspect(&node).await?, ProcessState::Exited(_)) {
            return Ok(());
        }
        agent_is_ready(&node.pod).await?;
        let options = None::<StartContainerOptions>;
        let container = node.container();
        let started = self.docker.start_container(&container, options);
        join::start(&self.docker, &node, started).await
    }

    /// Freezes it unless it is frozen.
    pub async fn pause(self, node: Arc<Node>) -> Result<(), RuntimeError> {
        if matches!(self.inspect(&node).await?, ProcessState::Paused { .. }) {
            return Ok(());
        }
        let paused = self.docker.pause_container(&node.container()).await;
        paused.map_err(|e| err(e.to_string()))
    }

    /// Thaws it if it is frozen.
    pub async fn resume(self, node: Arc<Node>) -> Result<(), RuntimeError> {
        if !matches!(self.inspect(&node).await?, ProcessState::Paused { .. }) {
            return Ok(());
        }
        let thawed = self.docker.unpause_container(&node.container()).await;
        thawed.map_err(|e| err(e.to_string()))?;
        // Its agent may have been started anew meanwhile.
        join::again_in_turn(&self.docker, &node).await.map(drop)
    }
}

/// Waits until the agent knows what should be wrong: a node must not join a namespace before.
async fn agent_is_ready(pod: &Pod) -> Result<(), RuntimeError> {
    let ready = async {
        while !matches!(
            pod.agent.rules(&AgentRequest::Renew).await,
            Ok(Told::Known { .. })
        ) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let late = |_| {
        err(format!(
            "the agent of {}, in whose network its node is, does not answer within {READY:?}",
            pod.unit
        ))
    };
    timeout(READY, ready).await.map_err(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Launch;
    use crate::runtime::docker::acts::Acts;
    use crate::runtime::docker::fake::{self, Engine};
    use tokio::sync::watch;
    use tokio::time::Instant;

    async fn node() -> Arc<Node> {
        let pod = fake::pod("a1").await;
        let launch = Launch {
            unit: "a1".into(),
            args: Vec::new(),
            env: Vec::new(),
        };
        Arc::new(Node::new(pod, launch, "image".into(), "c1".into()))
    }

    /// An engine that kills only when it is let, and then for good; whether it runs.
    fn slow_to_kill() -> (Engine, watch::Sender<bool>, watch::Receiver<bool>) {
        let (let_kill, may_kill) = watch::channel(false);
        let (runs, is_running) = watch::channel(true);
        let engine = Engine::start_slow(move |request| {
            let (mut may_kill, runs) = (may_kill.clone(), runs.clone());
            Box::pin(async move {
                match request.path() {
                    "/containers/c1/kill" => {
                        // The test may be over.
                        let _ = may_kill.wait_for(|may| *may).await;
                        runs.send_replace(false);
                        (204, String::new())
                    }
                    "/containers/c1/start" => {
                        runs.send_replace(true);
                        (204, String::new())
                    }
                    "/containers/c1/json" => {
                        let state = format!(r#"{{"State":{{"Running":{}}}}}"#, *runs.borrow());
                        (200, state)
                    }
                    _ => (404, "{}".into()),
                }
            })
        });
        (engine, let_kill, is_running)
    }

    #[tokio::test]
    async fn a_kill_that_the_engine_does_late_is_waited_for_before_the_start_that_undoes_it() {
        let (engine, let_kill, is_running) = slow_to_kill();
        let (acts, node) = (Acts::new(), node().await);
        let lifecycle = Lifecycle::new(&engine.connect());
        let soon = || Instant::now() + Duration::from_millis(1);
        let kill = lifecycle.clone().end(node.clone(), "SIGKILL", PATIENCE);
        let late = acts
            .act_on(&node.turn, "kill", soon(), kill)
            .await
            .unwrap_err();
        assert!(
            late.0.contains("kill of a1") && late.0.contains("may still do it"),
            "{late}"
        );

        // Neither is it undone nor anything else done to it before the engine has answered.
        let start = lifecycle.clone().start(node.clone());
        let waits = acts
            .act_on(&node.turn, "start", soon(), start)
            .await
            .unwrap_err();
        assert!(
            waits.0.contains("start of a1") && waits.0.contains("kill of a1"),
            "{waits}"
        );
        assert!(!acts.are_over());
        let open = acts.settle(Duration::ZERO).await.unwrap_err();
        assert!(open.contains("kill of a1"), "{open}");
        assert!(engine.asked().iter().all(|asked| asked.ends_with("/kill")));

        let_kill.send_replace(true);
        let long = Instant::now() + PATIENCE;
        let start = lifecycle.clone().start(node.clone());
        acts.act_on(&node.turn, "start", long, start).await.unwrap();
        assert!(*is_running.borrow(), "the kill came before the start");
        acts.settle(PATIENCE).await.unwrap();
        let mut told = engine.asked();
        told.retain(|asked| asked.starts_with("POST"));
        assert_eq!(told, ["POST /containers/c1/start"]);
    }

    #[tokio::test]
    async fn an_act_that_nobody_waits_for_any_more_goes_on_to_its_end() {
        let (engine, let_kill, is_running) = slow_to_kill();
        let (acts, node) = (Acts::new(), node().await);
        let lifecycle = Lifecycle::new(&engine.connect());
        let kill = lifecycle.end(node.clone(), "SIGKILL", PATIENCE);
        let long = Instant::now() + PATIENCE;
        let mut waiting = Box::pin(acts.act_on(&node.turn, "kill", long, kill));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(waiting);
        let_kill.send_replace(true);
        acts.settle(PATIENCE).await.unwrap();
        assert!(!*is_running.borrow());
        assert!(node.turn.is_free());
    }
}
