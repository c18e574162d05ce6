//! Removing one of Docker's things, while the engine says that it is busy.

use super::endpoints;
use super::engine::{is_missing, status};
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{RemoveContainerOptions, RemoveVolumeOptions};
use std::future::Future;
use std::time::Duration;

/// How long a removal may take altogether.
const REMOVE: Duration = Duration::from_secs(60);
/// Pause before the engine is asked again.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// Why something is not removed.
pub(super) enum Refusal {
    /// It is being removed already, or what goes away still uses it.
    Busy(String),
    /// It will not be.
    Final(String),
}

pub(super) fn answered(done: Result<(), Error>) -> Result<(), Refusal> {
    match done {
        Ok(()) => Ok(()),
        Err(e) if is_missing(&e) => Ok(()),
        Err(e) if matches!(status(&e), Some(403 | 409)) => Err(Refusal::Busy(e.to_string())),
        Err(e) => Err(Refusal::Final(e.to_string())),
    }
}

/// Removes, and asks again while the engine says that it is busy with it.
pub(super) async fn removed<F: Future<Output = Result<(), Refusal>>>(
    mut ask: impl FnMut() -> F,
) -> Result<(), String> {
    let mut last = String::new();
    let work = async {
        loop {
            match ask().await {
                Ok(()) => return Ok(()),
                Err(Refusal::Busy(why)) => {
                    last = why;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(Refusal::Final(why)) => return Err(why),
            }
        }
    };
    match tokio::time::timeout(REMOVE, work).await {
        Ok(done) => done,
        Err(_) => Err(format!(
            "still in use {REMOVE:?} after its removal was asked for: {last}"
        )),
    }
}

/// Removes a container as it is; fine if it is gone. `endpoint`: it holds one in a network, see
/// [`endpoints`].
pub(super) async fn remove_container(
    docker: &Docker,
    id: &str,
    endpoint: bool,
) -> Result<(), String> {
    let options = RemoveContainerOptions {
        force: true,
        v: true,
        link: false,
    };
    let ask = || async {
        let _turn = match endpoint {
            true => Some(endpoints::going().await),
            false => None,
        };
        answered(docker.remove_container(id, Some(options.clone())).await)
    };
    removed(ask).await
}

/// Removes a volume that nobody uses; fine if it is gone.
pub(super) async fn remove_volume(docker: &Docker, name: &str) -> Result<(), String> {
    let options = RemoveVolumeOptions { force: false };
    removed(|| async { answered(docker.remove_volume(name, Some(options.clone())).await) }).await
}
