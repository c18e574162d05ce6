//! What the engine says of a container's program.

use super::deadline::{bounded, err};
use super::engine::is_missing;
use crate::runtime::{Exit, Identity, ProcessState, RuntimeError};
use bollard::Docker;
use bollard::models::ContainerState;
use bollard::query_parameters::InspectContainerOptions;

/// Asks the engine; `None` if the container is not there any more.
pub(super) async fn state(
    docker: &Docker,
    container: &str,
) -> Result<Option<ProcessState>, RuntimeError> {
    let asked = docker.inspect_container(container, None::<InspectContainerOptions>);
    let state = bounded("state of a container", async {
        match asked.await {
            Ok(found) => Ok(Some(found.state)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(e),
        }
    });
    let Some(state) = state.await? else {
        return Ok(None);
    };
    let state = state.ok_or_else(|| err("Docker does not say what a container is doing"))?;
    Ok(Some(of(&state)))
}

/// What the process of a container is doing. Between two tries of a restart policy the engine says
/// "running" as well, of no process.
pub(super) fn of(state: &ContainerState) -> ProcessState {
    let identity = || Identity {
        pid: state
            .pid
            .and_then(|p| p.try_into().ok())
            .unwrap_or_default(),
        since: state.started_at.clone().unwrap_or_default(),
    };
    match (state.running, state.paused, state.restarting) {
        (Some(true), Some(true), _) => ProcessState::Paused {
            identity: identity(),
        },
        (Some(true), _, None | Some(false)) => ProcessState::Running {
            identity: identity(),
        },
        _ => {
            let code = state.exit_code.unwrap_or_default();
            ProcessState::Exited(match state.oom_killed {
                Some(true) => Exit::OutOfMemory(code),
                _ => Exit::Code(code),
            })
        }
    }
}

/// As whom a container's program runs, frozen or not.
pub(super) fn runs_as(state: Option<&ProcessState>) -> Option<&Identity> {
    match state? {
        ProcessState::Running { identity } | ProcessState::Paused { identity } => Some(identity),
        ProcessState::Exited(_) => None,
    }
}

/// Whether it is certain that the container's program does not run.
pub(super) async fn has_ended(docker: &Docker, container: &str) -> bool {
    let state = state(docker, container).await;
    matches!(state, Ok(None | Some(ProcessState::Exited(_))))
}
