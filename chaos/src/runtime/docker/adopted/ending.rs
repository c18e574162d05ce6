//! Whether the engine is about to end a container for somebody who is not there
//! any more: `docker stop` sends a signal at once and SIGKILL much later, and goes
//! on when whoever asked for it has died. A container that seems to be as it was
//! must not be let go before that is over. The engine's own record says so.

use crate::runtime::RuntimeError;
use crate::runtime::docker::deadline::{bounded, err};
use crate::runtime::docker::inspect::inspect;
use bollard::Docker;
use bollard::models::{ContainerInspectResponse, EventMessage};
use bollard::query_parameters::EventsOptions;
use futures_util::TryStreamExt;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{sleep, timeout};

/// How far back the engine is asked.
const BACK: Duration = Duration::from_secs(120);
/// How long a container is given to stop, if its owner does not say.
const STOP: i64 = 10;
/// Longest time to stop that is waited for, in seconds.
const LONGEST: i64 = 120;
/// Beyond that, for the engine.
const ROOM: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until nobody is about to end this container.
///
/// # Errors
/// The engine does not say, or it goes on for too long.
pub(super) async fn settle(
    docker: &Docker,
    said: &ContainerInspectResponse,
) -> Result<(), RuntimeError> {
    let id = said.id.as_deref().unwrap_or_default();
    let config = said.config.as_ref();
    let signals = signals(config.and_then(|config| config.stop_signal.as_deref()));
    let given = config
        .and_then(|config| config.stop_timeout)
        .unwrap_or(STOP);
    let most = Duration::from_secs(given.clamp(0, LONGEST) as u64) + ROOM;
    let over = async {
        while is_ending(&events(docker, id).await?, &signals) {
            // Whoever ends may be seen to have ended before the engine writes that down.
            if inspect(docker, id).await?.is_none() {
                break;
            }
            sleep(LOOK).await;
        }
        Ok(())
    };
    let late = |_| {
        Err(err(format!(
            "the engine was asked to end {} and has not done it after {most:?}",
            said.name.as_deref().unwrap_or(id).trim_start_matches('/')
        )))
    };
    timeout(most, over).await.unwrap_or_else(late)
}

/// What has happened to a container of late.
async fn events(docker: &Docker, id: &str) -> Result<Vec<EventMessage>, RuntimeError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(|e| err(format!("the clock: {e}")))?;
    let text = |time: Duration| Some(format!("{}.{:09}", time.as_secs(), time.subsec_nanos()));
    let options = EventsOptions {
        since: text(now.saturating_sub(BACK)),
        until: text(now),
        filters: Some(HashMap::from([
            ("type".to_string(), vec!["container".to_string()]),
            ("container".to_string(), vec![id.to_string()]),
        ])),
    };
    bounded(
        "events of a container",
        docker.events(Some(options)).try_collect(),
    )
    .await
}

/// Numbers of the signals that are sent to end a container, as the engine writes them down.
fn signals(own: Option<&str>) -> Vec<String> {
    let own = own.filter(|own| !own.is_empty()).unwrap_or("SIGTERM");
    let name = match own.starts_with("SIG") || own.starts_with(|c: char| c.is_ascii_digit()) {
        true => own.to_string(),
        false => format!("SIG{own}"),
    };
    let number = match name.parse::<nix::sys::signal::Signal>() {
        Ok(signal) => (signal as i32).to_string(),
        Err(_) => name,
    };
    vec![number, "9".into()]
}

/// Whether the last that is known is that it was asked to end.
fn is_ending(events: &[EventMessage], signals: &[String]) -> bool {
    let ends = |event: &EventMessage| match event.action.as_deref() {
        Some("kill") => {
            let attributes = event.actor.as_ref().and_then(|a| a.attributes.as_ref());
            let signal = attributes.and_then(|all| all.get("signal"));
            signal
                .is_some_and(|signal| signals.contains(signal))
                .then_some(true)
        }
        Some("die" | "start" | "destroy") => Some(false),
        _ => None,
    };
    events.iter().rev().find_map(ends).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::EventActor;

    fn event(what: &str) -> EventMessage {
        let (action, signal) = what.split_once(' ').unwrap_or((what, ""));
        EventMessage {
            action: Some(action.into()),
            actor: Some(EventActor {
                attributes: Some([("signal".to_string(), signal.to_string())].into()),
                ..EventActor::default()
            }),
            ..EventMessage::default()
        }
    }

    #[test]
    fn a_container_that_was_asked_to_end_and_has_not_is_ending() {
        for (events, ending) in [
            (&[][..], false),
            (&["start", "kill 15"], true),
            (&["start", "kill 15", "kill 9"], true),
            (&["start", "kill 15", "die", "stop"], false),
            (&["kill 9", "die", "start"], false),
            // To read its configuration again.
            (&["start", "kill 1"], false),
            (&["kill 15", "kill 1", "exec_start: x"], true),
        ] {
            let all: Vec<_> = events.iter().map(|what| event(what)).collect();
            assert_eq!(is_ending(&all, &signals(None)), ending, "{events:?}");
        }
    }

    #[test]
    fn the_signal_to_stop_is_known_by_its_number() {
        for (own, number) in [
            (None, "15"),
            (Some(""), "15"),
            (Some("SIGQUIT"), "3"),
            (Some("QUIT"), "3"),
            (Some("3"), "3"),
        ] {
            assert_eq!(signals(own), [number, "9"], "{own:?}");
        }
    }
}
