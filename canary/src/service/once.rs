//! One question, while things are prepared: on a connection of its own, with a deadline.

use super::{Answer, Place, Service};
use crate::call;
use std::time::Duration;
use tokio::time::Instant;

/// Time that it has.
const WITHIN: Duration = Duration::from_secs(10);

/// Asks and reads the answer.
///
/// # Errors
/// Why there is none, for people.
pub(super) async fn once<T>(
    service: &dyn Service,
    at: Place<'_>,
    request: &[u8],
    read: impl FnMut(&[u8], bool) -> Answer<T>,
) -> Result<T, String> {
    let open = || service.open(at.connector, at.endpoint);
    let deadline = Instant::now() + WITHIN;
    let (came, _) = call::attempt(open, None, request, deadline, read).await;
    came.map_err(|why| format!("{}: {why}", at.endpoint.host()))
}
