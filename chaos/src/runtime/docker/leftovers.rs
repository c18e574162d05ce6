//! Finds and removes containers, volumes and networks by our labels.

use super::adopted::undo;
use super::attach::{Stderr, attach};
use super::engine::{self, is_missing, status};
use super::{bounded, containers, volume};
use crate::runtime::agent::{AgentAnswer, AgentRequest};
use crate::runtime::control::Control;
use crate::runtime::leftovers::{Leftover, Thing};
use crate::runtime::liveness::Liveness;
use crate::runtime::marks::{RUN_LABEL, RunMarks};
use crate::runtime::wanted::LEASE;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions,
    RemoveVolumeOptions,
};
use futures_util::future::join_all;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::time::Duration;

/// How long a removal may take altogether.
const REMOVE: Duration = Duration::from_secs(60);
/// Agents of a run that are asked for its runner.
const AGENTS: usize = 3;
/// How long they may take to answer.
const IDLE: Duration = Duration::from_secs(3);
/// Pause before the engine is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// Everything with our labels, of one run or of all.
pub(crate) async fn find(run: Option<&str>) -> Result<Vec<Leftover>, String> {
    let (docker, _) = engine::connect().await?;
    let found = bounded("search", find_on(&docker, run)).await;
    let mut found = found.map_err(|e| e.0)?;
    ask_agents(&docker, &mut found).await;
    Ok(found)
}

/// Where it cannot be seen whether a runner runs, its agents know: one whose lease was kept in the
/// time of a lease has a runner.
async fn ask_agents(docker: &Docker, found: &mut [Leftover]) {
    let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for thing in found.iter() {
        if matches!(thing.runner, Liveness::Unknown(_))
            && let Thing::Container { id, name } = &thing.thing
            && name.ends_with(containers::AGENT)
        {
            let agents = runs.entry(thing.marks.run.clone()).or_default();
            agents.push(id.clone());
        }
    }
    for (run, agents) in runs {
        let asked = agents.iter().take(AGENTS).map(|id| idle(docker, id));
        let idle = join_all(asked).await.into_iter().flatten().min();
        for thing in found.iter_mut().filter(|l| l.marks.run == run) {
            if let Liveness::Unknown(why) = &thing.runner {
                thing.runner = by_lease(why, idle);
            }
        }
    }
}

/// How long nobody has kept this agent's lease, if it says so.
async fn idle(docker: &Docker, id: &str) -> Option<Duration> {
    let asked = async {
        let streams = attach(docker, id, Stderr::default()).await.ok()?;
        // Its runner reads the answer too: with a number that is none of its own.
        let first = rand::random_range(1 << 40..1 << 50);
        let control = Control::new(streams.stdin, streams.stdout, first);
        match control.call(&AgentRequest::Idle, IDLE).await {
            Ok(AgentAnswer::Idle(ms)) => Some(Duration::from_millis(ms)),
            _ => None,
        }
    };
    tokio::time::timeout(IDLE, asked).await.ok()?
}

/// What a lease says of a runner of which nothing else is known.
fn by_lease(why: &str, idle: Option<Duration>) -> Liveness {
    match idle {
        Some(idle) if idle <= LEASE => Liveness::Alive,
        Some(idle) => Liveness::Unknown(format!(
            "{why}, and its agents have heard nothing from it for {} s",
            idle.as_secs()
        )),
        None => Liveness::Unknown(format!("{why}, and no agent of it answers")),
    }
}

pub(super) async fn find_on(docker: &Docker, run: Option<&str>) -> Result<Vec<Leftover>, Error> {
    let label = run.map_or(RUN_LABEL.to_string(), |run| format!("{RUN_LABEL}={run}"));
    let filters = Some(HashMap::from([("label".to_string(), vec![label])]));
    let mut found = Vec::new();
    // An image that somebody made of our container hands our labels on to whatever is made of it.
    let is_ours = |c: &ContainerSummary| {
        let labels = c.labels.as_ref();
        let marked = labels.and_then(RunMarks::from_labels);
        let names = c.names.iter().flatten();
        marked.is_some_and(|(marks, unit)| {
            let label = labels.and_then(|all| all.get(containers::NAME_LABEL));
            names
                .map(|name| name.trim_start_matches('/'))
                .any(|name| containers::is_named(&marks, &unit, label, name))
        })
    };
    let mut take = |labels: Option<&HashMap<String, String>>, thing: Thing| {
        if let Some((marks, unit)) = labels.and_then(RunMarks::from_labels) {
            found.push(Leftover::new("docker", marks, unit, thing));
        }
    };
    let (containers, volumes, networks) = tokio::try_join!(
        docker.list_containers(Some(ListContainersOptions {
            all: true,
            filters: filters.clone(),
            ..Default::default()
        })),
        docker.list_volumes(Some(ListVolumesOptions {
            filters: filters.clone()
        })),
        docker.list_networks(Some(ListNetworksOptions {
            filters: filters.clone()
        })),
    )?;
    for c in containers.into_iter().filter(is_ours) {
        let id = c.id.unwrap_or_default();
        let name = c
            .names
            .and_then(|n| n.into_iter().next())
            .unwrap_or_else(|| id.clone());
        let name = name.trim_start_matches('/').to_string();
        take(c.labels.as_ref(), Thing::Container { id, name });
    }
    for v in volumes.volumes.unwrap_or_default() {
        take(Some(&v.labels), Thing::Volume(v.name));
    }
    for n in networks {
        let thing = Thing::Network {
            id: n.id.unwrap_or_default(),
            name: n.name.unwrap_or_default(),
        };
        take(n.labels.as_ref(), thing);
    }
    Ok(found)
}

/// Removes, and asks again while the engine says that it is busy with it.
async fn removed<F: Future<Output = Result<(), Error>>>(
    mut ask: impl FnMut() -> F,
) -> Result<(), String> {
    let mut last = String::new();
    let work = async {
        loop {
            match ask().await {
                Ok(()) => return Ok(()),
                Err(e) if is_missing(&e) => return Ok(()),
                // Removal in progress, or something that goes away still uses it.
                Err(e) if matches!(status(&e), Some(403 | 409)) => {
                    last = e.to_string();
                    tokio::time::sleep(AGAIN).await;
                }
                Err(e) => return Err(e.to_string()),
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

/// Removes a container as it is; fine if it is gone.
pub(super) async fn remove_container(docker: &Docker, id: &str) -> Result<(), String> {
    let options = RemoveContainerOptions {
        force: true,
        v: true,
        link: false,
    };
    removed(|| docker.remove_container(id, Some(options.clone()))).await
}

/// Removes one thing; fine if it is gone. The agent of a container that is somebody else's goes
/// when that is as it was, and not before: it has what is to be known for it.
pub(super) async fn remove(docker: &Docker, thing: &Thing) -> Result<(), String> {
    match thing {
        Thing::Container { id, name } => {
            // With an agent it goes when that has put its container back, at the same time.
            if let Some(unit) = name.strip_suffix(containers::POWER) {
                let agent = format!("{unit}{}", containers::AGENT);
                if adopted_agent_is_there(docker, &agent).await? {
                    return Ok(());
                }
                volume::back(docker, id).await?;
            }
            if let Some(unit) = name.strip_suffix(containers::AGENT) {
                volume::back(docker, &format!("{unit}{}", containers::POWER)).await?;
                for done in undo::release(docker, id).await.map_err(|e| e.0)? {
                    tracing::info!("{done}");
                }
            }
            remove_container(docker, id).await
        }
        Thing::Volume(name) => {
            let options = RemoveVolumeOptions { force: false };
            removed(|| docker.remove_volume(name, Some(options.clone()))).await
        }
        Thing::Network { id, .. } => removed(|| docker.remove_network(id)).await,
        Thing::Process { .. } | Thing::Folder(_) => Err("not one of Docker's things".into()),
    }
}

async fn adopted_agent_is_there(docker: &Docker, name: &str) -> Result<bool, String> {
    let found = undo::inspect(docker, name).await;
    Ok(found.map_err(|e| e.0)?.is_some())
}

/// Removes one thing on whatever engine answers.
pub(crate) async fn remove_one(thing: &Thing) -> Result<(), String> {
    let (docker, _) = engine::connect().await?;
    remove(&docker, thing).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_removal_that_never_succeeds_says_what_the_engine_says() {
        let busy = || async {
            Err(Error::DockerResponseServerError {
                status_code: 403,
                message: "it has active endpoints".into(),
            })
        };
        let why = removed(busy).await.unwrap_err();
        assert!(why.contains("it has active endpoints"), "{why}");
    }

    #[test]
    fn a_lease_that_is_kept_has_a_runner_and_silence_is_no_death() {
        let said = |idle| by_lease("it is far away", idle);
        assert_eq!(said(Some(Duration::from_millis(900))), Liveness::Alive);
        assert_eq!(said(Some(LEASE)), Liveness::Alive);
        for idle in [Some(Duration::from_secs(90)), None] {
            let Liveness::Unknown(why) = said(idle) else {
                panic!("{idle:?}");
            };
            assert!(why.starts_with("it is far away, and "), "{why}");
        }
    }
}
