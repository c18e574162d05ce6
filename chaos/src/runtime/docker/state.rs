//! What the engine says of a container's life.

use super::engine::is_missing;
use super::{bounded, err};
use crate::runtime::RuntimeError;
use bollard::Docker;
use bollard::query_parameters::InspectContainerOptions;

/// What a container's program is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It runs.
    Runs {
        /// When it was started, as the engine writes it.
        since: String,
        /// Whether it is frozen.
        frozen: bool,
    },
    /// It does not.
    Ended {
        /// Its exit code.
        how: String,
    },
    /// The container is not there any more.
    Removed,
}

/// Asks the engine.
pub(super) async fn life(docker: &Docker, container: &str) -> Result<Life, RuntimeError> {
    let asked = docker.inspect_container(container, None::<InspectContainerOptions>);
    let state = bounded("state of a container", async {
        match asked.await {
            Ok(found) => Ok(Some(found.state)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(e),
        }
    });
    let Some(state) = state.await? else {
        return Ok(Life::Removed);
    };
    let state = state.ok_or_else(|| err("Docker does not say what a container is doing"))?;
    Ok(if state.running == Some(true) {
        Life::Runs {
            since: state.started_at.unwrap_or_default().to_string(),
            frozen: state.paused == Some(true),
        }
    } else {
        let code = state.exit_code.unwrap_or_default();
        Life::Ended {
            how: format!("exit code {code}"),
        }
    })
}

/// Whether it is certain that the container's program does not run.
pub(super) async fn has_ended(docker: &Docker, container: &str) -> bool {
    let life = life(docker, container).await;
    matches!(life, Ok(Life::Ended { .. } | Life::Removed))
}

/// Whether a node of this life is in the network namespace of an agent of that one: it has
/// joined it if it was started later. Times as the engine writes them, in UTC.
pub(super) fn has_joined(node_since: &str, agent_since: &str) -> bool {
    // Go leaves out zeros at the end of a fraction.
    let parts = |time: &str| -> (String, String) {
        let time = time.trim_end_matches('Z');
        let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
        (whole.to_string(), format!("{fraction:0<9}"))
    };
    parts(node_since) > parts(agent_since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_although_their_fractions_differ_in_length() {
        for (node, agent, joined) in [
            ("2026-01-02T03:04:05.12Z", "2026-01-02T03:04:05.119Z", true),
            ("2026-01-02T03:04:05.12Z", "2026-01-02T03:04:05.123Z", false),
            ("2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05Z", true),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.1Z", false),
            ("2026-01-02T03:04:06Z", "2026-01-02T03:04:05.9Z", true),
            // As at no time at all: who cannot be told is restarted.
            ("2026-01-02T03:04:06Z", "2026-01-02T03:04:06Z", false),
        ] {
            assert_eq!(has_joined(node, agent), joined, "{node} {agent}");
        }
    }
}
