//! Whether an adopted container serves, found out as its owner says, over ways
//! that no fault of links touches.

use super::exec;
use crate::runtime::agent::{AgentAnswer, AgentRequest};
use crate::runtime::docker::inspect::inspect;
use crate::runtime::docker::pod::Agent;
use bollard::Docker;
use bollard::models::{ContainerState, HealthStatusEnum};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::time::timeout;

/// How the health of a container is found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Not at all: that its process runs has to do.
    #[default]
    None,
    /// As its image or its owner has told the engine.
    Docker,
    /// Whether it takes connections at this port. The kernel does that, so that a frozen process
    /// seems healthy.
    Tcp(u16),
    /// `GET` at this port of loopback, which is to answer 200.
    Http {
        /// Port.
        port: u16,
        /// Path, with its slash.
        path: String,
    },
    /// A command in the container, which is to end with 0.
    Exec(Vec<String>),
}

/// A container that is looked at.
pub(super) struct Place<'a> {
    pub docker: &'a Docker,
    pub id: &'a str,
    /// In whose network it is.
    pub agent: &'a Agent,
    /// Its addresses.
    pub own: &'a BTreeSet<IpAddr>,
}

/// Whether a container is healthy.
///
/// # Errors
/// It is not, or that could not be found out in time.
pub(super) async fn look(
    place: &Place<'_>,
    check: &Check,
    deadline: Duration,
) -> Result<(), String> {
    let late = |_| Err(format!("its health was not found out within {deadline:?}"));
    let looked = async {
        // Whoever does not run or is frozen is not asked.
        let said = inspect(place.docker, place.id).await.map_err(|e| e.0)?;
        let state = said.and_then(|said| said.state).ok_or("it was removed")?;
        runs(&state)?;
        match check {
            Check::None => Ok(()),
            Check::Docker => told(&state),
            Check::Tcp(port) => connects(place, *port, deadline).await,
            Check::Http { port, path } => {
                let request = AgentRequest::Get {
                    port: *port,
                    path: path.clone(),
                    deadline_ms: millis(deadline),
                };
                let answer = place.agent.ask(&request, deadline).await;
                answer.map(drop).map_err(|e| e.to_string())
            }
            Check::Exec(command) => succeeds(place, command).await,
        }
    };
    timeout(deadline, looked).await.unwrap_or_else(late)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn runs(state: &ContainerState) -> Result<(), String> {
    let is = |flag: Option<bool>| flag == Some(true);
    match () {
        () if is(state.restarting) => Err("it has ended and is about to be started".into()),
        () if is(state.paused) => Err("it is frozen".into()),
        () if is(state.running) => Ok(()),
        () => Err("it does not run".into()),
    }
}

/// What the engine's own check has found.
fn told(state: &ContainerState) -> Result<(), String> {
    let health = state.health.as_ref();
    match health.and_then(|health| health.status) {
        Some(HealthStatusEnum::HEALTHY) => Ok(()),
        Some(HealthStatusEnum::STARTING) => Err("it is starting".into()),
        Some(HealthStatusEnum::UNHEALTHY) => Err("it is unhealthy".into()),
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => {
            Err("neither its image nor its owner says how its health is found out".into())
        }
    }
}

async fn connects(place: &Place<'_>, port: u16, deadline: Duration) -> Result<(), String> {
    // Not every program listens at loopback; the kernel leads its own addresses there too.
    let own = place.own.iter().copied();
    let ips = [IpAddr::V4(Ipv4Addr::LOCALHOST)].into_iter().chain(own);
    let request = AgentRequest::Connect {
        to: ips.map(|ip| SocketAddr::new(ip, port)).collect(),
        deadline_ms: millis(deadline),
    };
    match place.agent.ask(&request, deadline).await {
        Ok(AgentAnswer::Sent) => Ok(()),
        Ok(other) => Err(format!("unexpected answer {other:?}")),
        Err(e) => Err(e.to_string()),
    }
}

async fn succeeds(place: &Place<'_>, command: &[String]) -> Result<(), String> {
    let ran = exec::run(place.docker, place.id, command).await?;
    match ran.code {
        0 => Ok(()),
        code => Err(format!(
            "{} ended with {code}: {}",
            command.join(" "),
            ran.said()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::Health;

    #[test]
    fn who_does_not_run_is_not_healthy_and_the_engines_word_counts_where_it_has_one() {
        let state = |running, paused, restarting, status| ContainerState {
            running: Some(running),
            paused: Some(paused),
            restarting: Some(restarting),
            health: Some(Health {
                status: Some(status),
                ..Health::default()
            }),
            ..ContainerState::default()
        };
        use HealthStatusEnum::{HEALTHY, NONE, STARTING, UNHEALTHY};
        let both = |state: &ContainerState| runs(state).and_then(|()| told(state));
        for (state, part) in [
            (state(true, false, false, HEALTHY), None),
            (state(true, true, false, HEALTHY), Some("frozen")),
            (
                state(true, false, true, HEALTHY),
                Some("about to be started"),
            ),
            (state(false, false, false, HEALTHY), Some("does not run")),
            (state(true, false, false, STARTING), Some("is starting")),
            (state(true, false, false, UNHEALTHY), Some("unhealthy")),
            (state(true, false, false, NONE), Some("neither its image")),
        ] {
            match (both(&state), part) {
                (Ok(()), None) => {}
                (Err(why), Some(part)) => assert!(why.contains(part), "{why}"),
                (said, _) => panic!("{said:?} {state:?}"),
            }
        }
    }
}
