//! Endpoints of a run's network, which its agents hold: they go one at a time, and none comes
//! meanwhile. The engine counts them in an object that all who look at the network share; of two
//! that go at once one may not be counted, and then the network "has active endpoints", which are
//! not there, until the engine is started again (<https://github.com/moby/moby/issues/42119>,
//! open in 2026). Those that come wait for each other in the engine.
//!
//! In Docker 20.10, with 15 containers that were connected and disconnected all at once, it
//! happened to 3 networks of 40; one after the other, to none of 40.

use super::engine::is_missing;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::NetworkDisconnectRequest;
use bollard::query_parameters::{InspectContainerOptions, InspectNetworkOptions};
use tokio::sync::RwLock;

/// How the engine names an endpoint that has no container.
const ORPHAN: &str = "ep-";

/// Nobody else comes or goes in this process while one goes; in another process there is nobody
/// who does anything to the same run.
static TURN: RwLock<()> = RwLock::const_new(());

/// Held while endpoints come.
pub(super) async fn coming() -> impl Drop {
    TURN.read().await
}

/// Held while one goes.
pub(super) async fn going() -> impl Drop {
    TURN.write().await
}

/// Disconnects what is left of containers that are gone. How many endpoints the engine knew of.
///
/// # Errors
/// Those of the engine.
pub(super) async fn release(docker: &Docker, network: &str) -> Result<usize, Error> {
    let asked = docker.inspect_network(network, None::<InspectNetworkOptions>);
    let known = asked.await?.containers.unwrap_or_default();
    let count = known.len();
    for (holder, endpoint) in known {
        let is_gone = holder.starts_with(ORPHAN) || {
            let asked = docker.inspect_container(&holder, None::<InspectContainerOptions>);
            asked.await.is_err_and(|e| is_missing(&e))
        };
        if is_gone {
            let request = NetworkDisconnectRequest {
                container: endpoint.name.unwrap_or(holder),
                force: Some(true),
            };
            docker.disconnect_network(network, request).await?;
        }
    }
    Ok(count)
}
