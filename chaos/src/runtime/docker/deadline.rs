//! Nobody waits for an engine for ever.

use crate::runtime::RuntimeError;
use std::future::Future;
use std::time::Duration;

/// Deadline of anything the engine does with one container.
pub(super) const ENGINE: Duration = Duration::from_secs(60);

/// Deadline of making the image: a debug build is large.
pub(super) const IMAGE: Duration = Duration::from_secs(180);

pub(super) fn err(text: impl Into<String>) -> RuntimeError {
    RuntimeError(text.into())
}

/// Bounds what the engine does.
pub(super) async fn bounded<T, E: ToString>(
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, RuntimeError> {
    bounded_by(ENGINE, what, work).await
}

pub(super) async fn bounded_by<T, E: ToString>(
    deadline: Duration,
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, RuntimeError> {
    match tokio::time::timeout(deadline, work).await {
        Ok(done) => done.map_err(|e| err(format!("{what}: {}", e.to_string()))),
        Err(_) => Err(err(format!(
            "{what}: Docker has not done it after {deadline:?}"
        ))),
    }
}
