//! Finds and removes containers, volumes and networks by our labels.

use super::adopted::undo;
use super::attach::{Stderr, attach};
use super::deadline::bounded;
use super::engine::{self};
use super::inspect::inspect;
use super::removal::{Refusal, answered, remove_container, remove_volume, removed};
use super::{containers, endpoints, volume};
use crate::runtime::agent::{AgentAnswer, AgentRequest};
use crate::runtime::control::Control;
use crate::runtime::leftover::{Leftover, Thing};
use crate::runtime::liveness::Liveness;
use crate::runtime::marks::{RUN_LABEL, RunMarks};
use crate::runtime::wanted::LEASE;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptions, ListNetworksOptions, ListVolumesOptions};
use futures_util::future::join_all;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// Agents of a run that are asked for its runner.
const AGENTS: usize = 3;
/// How long they may take to answer.
const IDLE: Duration = Duration::from_secs(3);
/// A network whose endpoints are all gone is free before.
const MISCOUNTED: Duration = Duration::from_secs(5);

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
            remove_container(docker, id, name.ends_with(containers::AGENT)).await
        }
        Thing::Volume(name) => remove_volume(docker, name).await,
        Thing::Network { id, .. } => {
            let began = Instant::now();
            let ask = || async {
                match answered(docker.remove_network(id).await) {
                    Err(Refusal::Busy(why)) => {
                        let known = endpoints::release(docker, id).await;
                        Err(in_use(why, known.ok(), began.elapsed()))
                    }
                    done => done,
                }
            };
            removed(ask).await
        }
        Thing::Process { .. } | Thing::Folder(_) => Err("not one of Docker's things".into()),
    }
}

/// A network that has been in use for so long, by so many endpoints, if that could be asked.
fn in_use(why: String, known: Option<usize>, since: Duration) -> Refusal {
    match known {
        Some(0) if since >= MISCOUNTED => Refusal::Final(format!(
            "{why}, and there is none: the engine has miscounted, and counts anew when it is \
             started again; until then gameday can use another network (--subnet)"
        )),
        _ => Refusal::Busy(why),
    }
}

async fn adopted_agent_is_there(docker: &Docker, name: &str) -> Result<bool, String> {
    let found = inspect(docker, name).await;
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
    use crate::runtime::docker::fake::Engine;
    use crate::runtime::docker::removal::AGAIN;
    use hyper::Method;
    use std::sync::Arc;
    use tokio::sync::watch;

    #[tokio::test(start_paused = true)]
    async fn a_removal_that_never_succeeds_says_what_the_engine_says() {
        let busy = || async {
            answered(Err(Error::DockerResponseServerError {
                status_code: 403,
                message: "it has active endpoints".into(),
            }))
        };
        let why = removed(busy).await.unwrap_err();
        assert!(why.contains("it has active endpoints"), "{why}");
    }

    #[test]
    fn a_network_whose_endpoints_are_miscounted_is_told_of_and_not_waited_for() {
        let said = |known, since| match in_use("it has active endpoints".into(), known, since) {
            Refusal::Busy(why) => (false, why),
            Refusal::Final(why) => (true, why),
        };
        let busy = (false, "it has active endpoints".to_string());
        let (soon, long) = (MISCOUNTED - AGAIN, MISCOUNTED);
        for (known, since) in [(Some(0), soon), (Some(2), long), (None, long)] {
            assert_eq!(said(known, since), busy, "{known:?}");
        }
        let (is_final, why) = said(Some(0), long);
        assert!(is_final && why.starts_with("it has active endpoints, and there is none"));
    }

    #[tokio::test]
    async fn endpoints_go_one_at_a_time_and_what_has_none_beside_them() {
        let removing = Arc::new(watch::Sender::new([0, 0]));
        let seen = removing.clone();
        let engine = Engine::start_slow(move |request| {
            let seen = seen.clone();
            let is_node = request.path().ends_with("node");
            let is_asked = request.method == Method::GET;
            Box::pin(async move {
                // They are agents of nobody else's containers.
                if is_asked {
                    return (404, r#"{"message":"no such container"}"#.into());
                }
                seen.send_modify(|n| n[usize::from(is_node)] += 1);
                let [agents, _] = *seen.borrow();
                if agents > 1 {
                    return (500, r#"{"message":"two agents at once"}"#.into());
                }
                // Nodes are waited for by each other; agents give way to whoever comes.
                match is_node {
                    true => drop(seen.subscribe().wait_for(|n| n[1] == 2).await),
                    false => tokio::task::yield_now().await,
                }
                if !is_node {
                    seen.send_modify(|n| n[0] -= 1);
                }
                (204, String::new())
            })
        });
        let docker = engine.connect();
        let things = ["a1-agent", "a1-node", "a2-agent", "a2-node"].map(|name| Thing::Container {
            id: name.into(),
            name: name.into(),
        });
        let removed = join_all(things.iter().map(|thing| remove(&docker, thing))).await;
        assert_eq!(removed, [const { Ok(()) }; 4]);
    }

    #[tokio::test]
    async fn what_is_left_of_containers_in_a_network_is_disconnected_before_it_goes() {
        let (connected, is_connected) = watch::channel(true);
        let engine = Engine::start(move |request| match request.path() {
            "/networks/n1" if request.method == Method::GET => {
                let known = r#"{"Containers":{"ep-1":{"Name":"gone"},"c1":{"Name":"runs"}}}"#;
                (200, known.into())
            }
            "/networks/n1" if *is_connected.borrow() => {
                (403, r#"{"message":"has active endpoints"}"#.into())
            }
            "/networks/n1" => (204, String::new()),
            "/containers/c1/json" => (200, "{}".into()),
            "/networks/n1/disconnect" => {
                connected.send_replace(false);
                (200, String::new())
            }
            _ => (404, "{}".into()),
        });
        let network = Thing::Network {
            id: "n1".into(),
            name: "gameday-r1".into(),
        };
        remove(&engine.connect(), &network).await.unwrap();
        let asked = engine.asked();
        let disconnected = asked.iter().filter(|a| a.ends_with("/disconnect")).count();
        assert_eq!(disconnected, 1, "only what has no container: {asked:?}");
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
