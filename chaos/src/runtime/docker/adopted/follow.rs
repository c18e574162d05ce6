//! The agent of an adopted container is in that container's network namespace.
//! When the container is started anew, it has another one, and the agent goes on
//! answering from the old one, where its rules bind nobody. The engine is asked
//! which start it is; then the agent is started anew too, joins the new namespace,
//! and is told everything again. The container itself is never touched.

use super::found::{Found, Standing};
use crate::runtime::control::lock;
use crate::runtime::docker::deadline::{bounded, err};
use crate::runtime::docker::inspect::inspect;
use crate::runtime::docker::peers::Place;
use crate::runtime::docker::pod::Pod;
use crate::runtime::docker::rules::Rules;
use crate::runtime::{GapState, RuntimeError};
use bollard::Docker;
use bollard::query_parameters::RestartContainerOptions;
use std::collections::BTreeSet;
use std::sync::Mutex;
use tokio::sync::Notify;

/// How often it is tried to join a container that is started again meanwhile.
const TRIES: u32 = 5;

/// A container that an agent follows.
pub(in crate::runtime::docker) struct Followed {
    /// Its id.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Told when something happens to it.
    pub woken: Notify,
    /// The start of it in whose namespace the agent is, as the engine writes its time.
    joined: Mutex<String>,
    /// Held by whoever lets the agent join.
    joining: tokio::sync::Mutex<()>,
}

/// Where a container is, seen from its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime::docker) enum Whereabouts {
    /// Where the agent is.
    Here,
    /// In another namespace: it was started anew.
    Elsewhere,
    /// Nowhere: it does not run.
    Down,
    /// It is not there any more.
    Removed,
}

/// By what the engine says of it now.
fn whereabouts(joined: &str, found: Option<&Found>) -> Whereabouts {
    match found {
        None => Whereabouts::Removed,
        Some(found) => match found.standing {
            Standing::Ended | Standing::Restarting => Whereabouts::Down,
            Standing::Runs | Standing::Paused if found.started_at == joined => Whereabouts::Here,
            Standing::Runs | Standing::Paused => Whereabouts::Elsewhere,
        },
    }
}

impl Followed {
    /// A container that no agent has joined yet.
    pub fn new(found: &Found) -> Self {
        Followed {
            id: found.id.clone(),
            name: found.name.clone(),
            woken: Notify::new(),
            joined: Mutex::default(),
            joining: tokio::sync::Mutex::default(),
        }
    }

    async fn found(&self, docker: &Docker) -> Result<Option<Found>, RuntimeError> {
        let said = inspect(docker, &self.id).await?;
        said.map(Found::read).transpose().map_err(err)
    }

    /// The agent has been started in the namespace of this start of it.
    pub fn joined(&self, found: &Found) {
        lock(&self.joined).clone_from(&found.started_at);
    }

    /// Where it is now.
    ///
    /// # Errors
    /// The engine does not say.
    pub async fn whereabouts(&self, docker: &Docker) -> Result<Whereabouts, RuntimeError> {
        let found = self.found(docker).await?;
        Ok(whereabouts(&lock(&self.joined), found.as_ref()))
    }

    /// Lets the agent join it if it is elsewhere, or if the agent has ended, and tells the agent
    /// everything again. The time in which the container was there without rules that it should
    /// have had is a gap. Where it is now.
    ///
    /// # Errors
    /// The agent cannot be started, or does not answer.
    pub async fn join(
        &self,
        docker: &Docker,
        rules: &Rules,
        pod: &Pod,
    ) -> Result<Whereabouts, RuntimeError> {
        let _joining = self.joining.lock().await;
        let now = self.whereabouts(docker).await?;
        match now {
            Whereabouts::Here if !pod.agent.is_lost().await => return Ok(now),
            Whereabouts::Down | Whereabouts::Removed => return Ok(now),
            Whereabouts::Here => {
                self.rejoin(docker, rules, pod).await?;
                return Ok(Whereabouts::Here);
            }
            Whereabouts::Elsewhere => {}
        }
        // What was wrong with its links until now was so in the old namespace.
        let what = format!(
            "{} was started anew, in a new network namespace without rules",
            self.name
        );
        let gap = rules
            .is_hurt(&pod.unit)
            .then(|| rules.open_gap(pod, what.clone()));
        let done = self.rejoin(docker, rules, pod).await;
        if let Some(place) = gap {
            let (state, how) = match &done {
                Ok(()) => (
                    GapState::PutBack,
                    "its agent joined it and was told everything again".to_string(),
                ),
                Err(e) => (GapState::Lost, format!("its agent could not join it: {e}")),
            };
            rules.close_gap(place, state, format!("{what}; {how}"));
        }
        done.map(|()| Whereabouts::Here)
    }

    /// Starts the agent anew until it is certain in which start of the container it is.
    async fn rejoin(&self, docker: &Docker, rules: &Rules, pod: &Pod) -> Result<(), RuntimeError> {
        let gone = || err(format!("{} does not run any more", self.name));
        let mut last = String::new();
        for _ in 0..TRIES {
            let before = self.found(docker).await?.ok_or_else(gone)?;
            let options = RestartContainerOptions {
                signal: None,
                t: Some(0),
            };
            let restart = docker.restart_container(&pod.agent_id, Some(options));
            let what = format!("restart of the agent of {}", pod.unit);
            if let Err(e) = bounded(&what, restart).await {
                // The container may have ended in this moment.
                last = e.0;
                continue;
            }
            let after = self.found(docker).await?.ok_or_else(gone)?;
            if whereabouts(&before.started_at, Some(&after)) != Whereabouts::Here {
                last = format!("{} was started again meanwhile", self.name);
                continue;
            }
            rules.moved(&pod.unit, places(&after));
            match rules.tell_again(pod).await {
                Ok(()) => {
                    self.joined(&after);
                    return Ok(());
                }
                Err(e) => last = e.to_string(),
            }
        }
        Err(err(format!("tried {TRIES} times: {last}")))
    }
}

/// Where a container is.
pub(in crate::runtime::docker) fn places(found: &Found) -> BTreeSet<Place> {
    let all = found.addresses();
    all.map(|(network, ip)| Place {
        network: network.into(),
        ip,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::adopted::examples::container;

    #[test]
    fn another_start_is_another_namespace_and_one_that_is_frozen_is_where_it_was() {
        let at = |standing| {
            let mut found = container("db", 1);
            found.standing = standing;
            found
        };
        let started = at(Standing::Runs).started_at;
        for (found, joined, expected) in [
            (
                Some(at(Standing::Runs)),
                started.as_str(),
                Whereabouts::Here,
            ),
            (Some(at(Standing::Paused)), &started, Whereabouts::Here),
            (Some(at(Standing::Runs)), "before", Whereabouts::Elsewhere),
            (Some(at(Standing::Paused)), "before", Whereabouts::Elsewhere),
            (Some(at(Standing::Ended)), &started, Whereabouts::Down),
            (Some(at(Standing::Restarting)), &started, Whereabouts::Down),
            (None, &started, Whereabouts::Removed),
        ] {
            assert_eq!(whereabouts(joined, found.as_ref()), expected);
        }
    }
}
