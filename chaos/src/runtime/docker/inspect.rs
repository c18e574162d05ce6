//! Everything that the engine says of a container.

use super::deadline::bounded;
use super::engine::is_missing;
use crate::runtime::RuntimeError;
use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;

/// What the engine says of a container; none if it is not there.
///
/// # Errors
/// The engine does not answer.
pub(super) async fn inspect(
    docker: &Docker,
    id: &str,
) -> Result<Option<ContainerInspectResponse>, RuntimeError> {
    let asked = docker.inspect_container(id, None::<InspectContainerOptions>);
    bounded("state of a container", async {
        match asked.await {
            Ok(said) => Ok(Some(said)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(e),
        }
    })
    .await
}
