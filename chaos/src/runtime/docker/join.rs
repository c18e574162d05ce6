//! Whether a node is in the network namespace that its agent holds. It joins the one that its
//! agent has when it is started, and stays there; so it is in its agent's for as long as that start
//! of the agent lives. Which one it was is remembered; clocks, which may be set, are not asked.

use super::deadline::err;
use super::node::Node;
use super::state;
use crate::runtime::control::lock;
use crate::runtime::{Identity, ProcessState, RuntimeError};
use bollard::Docker;
use bollard::query_parameters::RestartContainerOptions;
use std::future::Future;
use std::time::Duration;
use tokio::time::sleep;

/// How often an agent is tried to be brought back.
pub(super) const TRIES: u32 = 3;
/// Between two tries.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

/// Starts a node by this act of the engine, and remembers which start of its agent it joins.
///
/// # Errors
/// Those of the engine.
pub(super) async fn start<E: ToString>(
    docker: &Docker,
    node: &Node,
    act: impl Future<Output = Result<(), E>>,
) -> Result<(), RuntimeError> {
    let before = agent(docker, node).await;
    lock(&node.joined).take();
    act.await.map_err(|e| err(e.to_string()))?;
    // Which of two it has joined is not known.
    let after = agent(docker, node).await;
    *lock(&node.joined) = before.filter(|before| Some(before) == after.as_ref());
    Ok(())
}

/// As whom a node's agent runs, if that can be known.
async fn agent(docker: &Docker, node: &Node) -> Option<Identity> {
    let agent = state::state(docker, &node.pod.agent_id).await.ok()?;
    state::runs_as(agent.as_ref()).cloned()
}

/// What is to be done for a node so that it is in its agent's network namespace.
#[derive(Debug, PartialEq, Eq)]
enum Join {
    /// Nothing: it is.
    Joined,
    /// Nothing: it joins when it is started.
    Down,
    /// Nothing yet: whoever thaws it restarts it.
    Frozen,
    /// It runs in one that reaches nobody, or nobody knows: it is restarted.
    Restart,
    /// Nothing: there is none to join.
    Nowhere,
}

/// `joined`: the start of its agent that it has joined.
fn join(
    node: Option<&ProcessState>,
    agent: Option<&ProcessState>,
    joined: Option<&Identity>,
) -> Join {
    let agent = state::runs_as(agent);
    match node {
        None | Some(ProcessState::Exited(_)) => Join::Down,
        Some(_) if agent.is_some() && agent == joined => Join::Joined,
        Some(ProcessState::Paused { .. }) => Join::Frozen,
        Some(ProcessState::Running { .. }) if agent.is_some() => Join::Restart,
        Some(ProcessState::Running { .. }) => Join::Nowhere,
    }
}

/// Restarts a node that was left alone in a namespace that its agent has left; one that does not
/// run, because a fault or somebody else has ended it, is left alone. What was done.
///
/// # Errors
/// It is not in its agent's namespace.
pub(super) async fn again(docker: &Docker, node: &Node) -> Result<String, RuntimeError> {
    let _turn = node.turn.take("restart").await;
    again_in_turn(docker, node).await
}

/// The same for who has the turn.
///
/// # Errors
/// The same.
pub(super) async fn again_in_turn(docker: &Docker, node: &Node) -> Result<String, RuntimeError> {
    let unit = node.name();
    let mut restarted = false;
    let mut last = String::new();
    for _ in 0..TRIES {
        let container = node.container();
        let (itself, agent) = tokio::try_join!(
            state::state(docker, &container),
            state::state(docker, &node.pod.agent_id)
        )?;
        let joined = lock(&node.joined).clone();
        match join(itself.as_ref(), agent.as_ref(), joined.as_ref()) {
            Join::Joined if restarted => {
                return Ok(format!(
                    "{unit} ran on in the old namespace, which reaches nobody, and was restarted"
                ));
            }
            Join::Joined => return Ok(format!("{unit} has joined it")),
            Join::Down => return Ok(format!("{unit} does not run and joins it when started")),
            Join::Frozen => {
                return Ok(format!(
                    "{unit} is frozen in the old namespace, which reaches nobody, and is \
                     restarted when it is thawed"
                ));
            }
            Join::Nowhere => return Err(err(format!("the agent of {unit} has ended again"))),
            Join::Restart => {}
        }
        let options = RestartContainerOptions {
            signal: None,
            t: Some(0),
        };
        let act = docker.restart_container(&container, Some(options));
        match start(docker, node, act).await {
            Ok(()) => restarted = true,
            // Somebody else may be at it.
            Err(e) => {
                last = e.to_string();
                sleep(AGAIN).await;
            }
        }
    }
    Err(err(format!("{unit} is still in the old namespace: {last}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::fake::{self, Engine};
    use crate::runtime::{Exit, Launch};
    use std::sync::{Arc, Mutex};

    #[test]
    fn only_a_node_that_runs_in_an_old_namespace_is_restarted() {
        let (new, old): (Identity, Identity) = ("new".into(), "old".into());
        let runs = |identity: &Identity| ProcessState::Running {
            identity: identity.clone(),
        };
        let frozen = |identity: &Identity| ProcessState::Paused {
            identity: identity.clone(),
        };
        let node = Identity::from("node");
        let ended = ProcessState::Exited(Exit::Code(137));
        for (itself, agent, joined, expected) in [
            (
                Some(runs(&node)),
                Some(runs(&new)),
                Some(&new),
                Join::Joined,
            ),
            (
                Some(frozen(&node)),
                Some(runs(&new)),
                Some(&new),
                Join::Joined,
            ),
            (
                Some(runs(&node)),
                Some(frozen(&new)),
                Some(&new),
                Join::Joined,
            ),
            (
                Some(runs(&node)),
                Some(runs(&new)),
                Some(&old),
                Join::Restart,
            ),
            (Some(runs(&node)), Some(runs(&new)), None, Join::Restart),
            (
                Some(frozen(&node)),
                Some(runs(&new)),
                Some(&old),
                Join::Frozen,
            ),
            (
                Some(ended.clone()),
                Some(runs(&new)),
                Some(&new),
                Join::Down,
            ),
            (None, Some(runs(&new)), Some(&new), Join::Down),
            (
                Some(runs(&node)),
                Some(ended.clone()),
                Some(&new),
                Join::Nowhere,
            ),
            (Some(runs(&node)), None, None, Join::Nowhere),
        ] {
            let said = join(itself.as_ref(), agent.as_ref(), joined);
            assert_eq!(said, expected, "{itself:?} {agent:?} {joined:?}");
        }
    }

    /// What was started when, as the engine's clock says: agent and node.
    type Starts = Arc<Mutex<[u32; 2]>>;

    /// An engine that restarts the node at this second of its clock.
    fn engine(starts: &Starts, second: u32) -> Engine {
        let starts = starts.clone();
        Engine::start(move |request| {
            let runs = |unit: usize| {
                let second = lock(&starts)[unit];
                let state = format!(
                    r#"{{"Running":true,"Pid":{},"StartedAt":"2026-01-02T03:04:{second:02}Z"}}"#,
                    100 + second
                );
                (200, format!(r#"{{"State":{state}}}"#))
            };
            match request.path() {
                "/containers/none/json" => runs(0),
                "/containers/c1/json" => runs(1),
                "/containers/c1/start" | "/containers/c1/restart" => {
                    lock(&starts)[1] = second;
                    (204, String::new())
                }
                _ => (404, "{}".into()),
            }
        })
    }

    async fn node() -> Node {
        let launch = Launch {
            unit: "a1".into(),
            args: Vec::new(),
            env: Vec::new(),
        };
        Node::new(fake::pod("a1").await, launch, "image".into(), "c1".into())
    }

    #[tokio::test]
    async fn who_has_joined_is_remembered_whatever_a_clock_that_was_set_says() {
        // The clock goes back: the node seems to have been started before its agent.
        let starts: Starts = Arc::new(Mutex::new([50, 0]));
        let engine = engine(&starts, 10);
        let (docker, node) = (engine.connect(), node().await);
        let act = docker.start_container("c1", None);
        start(&docker, &node, act).await.unwrap();
        let said = again(&docker, &node).await.unwrap();
        assert_eq!(said, "a1 has joined it");

        // Somebody restarts the agent, at an earlier time than the node by this clock.
        lock(&starts)[0] = 5;
        assert!(engine.asked().iter().all(|a| !a.ends_with("/restart")));
        let said = again(&docker, &node).await.unwrap();
        assert!(said.contains("and was restarted"), "{said}");
        let restarts = engine.asked();
        let restarts = restarts.iter().filter(|a| a.ends_with("/restart"));
        assert_eq!(restarts.count(), 1);
        assert_eq!(again(&docker, &node).await.unwrap(), "a1 has joined it");
    }

    #[tokio::test]
    async fn an_agent_that_is_another_one_after_the_start_may_have_been_so_before() {
        let starts: Starts = Arc::new(Mutex::new([1, 0]));
        let engine = engine(&starts, 2);
        let (docker, node) = (engine.connect(), node().await);
        let act = async {
            lock(&starts)[0] = 3;
            docker.start_container("c1", None).await
        };
        start(&docker, &node, act).await.unwrap();
        let said = again(&docker, &node).await.unwrap();
        assert!(said.contains("and was restarted"), "{said}");
    }
}
