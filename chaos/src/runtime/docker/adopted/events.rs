//! The engine tells when something happens to adopted containers, so that their
//! agents follow at once and not only when they are looked at next.

use super::follow::Followed;
use bollard::Docker;
use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What of a container's life is listened for.
const EVENTS: [&str; 3] = ["start", "die", "destroy"];
/// Before an engine that stopped telling is asked again; until then it is looked at.
const AGAIN: Duration = Duration::from_secs(1);

/// Wakes whoever follows a container to which something happens. Until it is dropped.
pub(super) async fn listen(docker: Docker, followed: Vec<Arc<Followed>>) -> Infallible {
    let by_id: HashMap<&str, &Arc<Followed>> = followed
        .iter()
        .map(|followed| (followed.id.as_str(), followed))
        .collect();
    let ids = followed
        .iter()
        .map(|followed| followed.id.clone())
        .collect();
    let texts = |all: &[&str]| all.iter().map(|text| text.to_string()).collect();
    let filters = HashMap::from([
        ("type".to_string(), texts(&["container"])),
        ("event".to_string(), texts(&EVENTS)),
        ("container".to_string(), ids),
    ]);
    loop {
        let options = EventsOptions {
            filters: Some(filters.clone()),
            ..EventsOptions::default()
        };
        let mut events = pin!(docker.events(Some(options)));
        while let Some(Ok(event)) = events.next().await {
            let id = event.actor.and_then(|actor| actor.id).unwrap_or_default();
            if let Some(followed) = by_id.get(id.as_str()) {
                followed.woken.notify_one();
            }
        }
        sleep(AGAIN).await;
    }
}
