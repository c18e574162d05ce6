//! Puts an adopted container back to what it was, by what was written down
//! before; each step only where it is needed, so that it can be done again, by
//! the run itself, by its watchdog, and by `gameday revert`.

use super::found::{Found, Standing};
use super::snapshot::{BEFORE_LABEL, Before};
use super::{bounds, ending};
use crate::runtime::RuntimeError;
use crate::runtime::docker::deadline::{bounded, err};
use crate::runtime::docker::engine::status;
use crate::runtime::docker::inspect::inspect;
use bollard::Docker;
use bollard::models::ContainerUpdateBody;
use bollard::query_parameters::{StartContainerOptions, StopContainerOptions};

/// Seconds in which an agent takes its rules away and ends.
const LEAVE: i32 = 5;

/// One step back.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Thaw,
    Bound(Box<ContainerUpdateBody>),
    Start,
}

impl Step {
    fn said(&self) -> &'static str {
        match self {
            Step::Thaw => "was thawed",
            Step::Bound(_) => "has its own bounds again",
            Step::Start => "was started",
        }
    }
}

/// What is to be done. Bounds come before a start, which may need them.
fn steps(before: &Before, now: &Found) -> Vec<Step> {
    let mut steps = Vec::new();
    if now.standing == Standing::Paused && !before.paused {
        steps.push(Step::Thaw);
    }
    if let Some(body) = bounds::back(&before.bounds, &now.bounds) {
        steps.push(Step::Bound(Box::new(body)));
    }
    if now.standing == Standing::Ended && before.ran {
        steps.push(Step::Start);
    }
    steps
}

/// Puts a container back; what was done, one sentence each. One that was removed meanwhile, which
/// gameday never does, is left to whoever did it.
///
/// # Errors
/// The engine cannot, or something is still not as it was.
pub async fn restore(docker: &Docker, before: &Before) -> Result<Vec<String>, RuntimeError> {
    let Some(said) = inspect(docker, &before.id).await? else {
        return Ok(vec![format!("{} was removed, not by gameday", before.name)]);
    };
    let now = Found::read(said).map_err(err)?;
    let mut done = Vec::new();
    for step in steps(before, &now) {
        let what = format!("{} {}", before.name, step.said());
        take(docker, &before.id, &step).await?;
        done.push(what);
    }
    if done.is_empty() {
        return Ok(done);
    }
    let said = inspect(docker, &before.id).await?;
    let said = said.ok_or_else(|| err(format!("{} has gone meanwhile", before.name)))?;
    let left = steps(before, &Found::read(said).map_err(err)?);
    match left.as_slice() {
        [] => Ok(done),
        left => {
            let left: Vec<&str> = left.iter().map(Step::said).collect();
            let name = &before.name;
            Err(err(format!(
                "{name} is not as it was, though it {}",
                left.join(", and ")
            )))
        }
    }
}

async fn take(docker: &Docker, id: &str, step: &Step) -> Result<(), RuntimeError> {
    let what = "putting a container back";
    let done = async {
        match step {
            Step::Thaw => docker.unpause_container(id).await,
            Step::Bound(body) => docker.update_container(id, (**body).clone()).await,
            Step::Start => {
                docker
                    .start_container(id, None::<StartContainerOptions>)
                    .await
            }
        }
    };
    bounded(what, async {
        match done.await {
            // Somebody else was quicker.
            Err(e) if matches!(step, Step::Thaw) && matches!(status(&e), Some(409)) => Ok(()),
            done => done,
        }
    })
    .await
}

/// Lets a container go to which this agent was made, if it was made for one: what was done to it
/// is put back, and the agent takes its rules away and ends. What was done.
///
/// # Errors
/// Something could not be put back: then the agent stays, for it has what is to be known.
pub(in crate::runtime::docker) async fn release(
    docker: &Docker,
    agent: &str,
) -> Result<Vec<String>, RuntimeError> {
    let Some(said) = inspect(docker, agent).await? else {
        return Ok(Vec::new());
    };
    let labels = said
        .config
        .and_then(|config| config.labels)
        .unwrap_or_default();
    let Some(label) = labels.get(BEFORE_LABEL) else {
        return Ok(Vec::new());
    };
    let before = Before::from_label(label).map_err(err)?;
    // What was asked for by whoever is not there any more is waited for.
    if let Some(said) = inspect(docker, &before.id).await? {
        ending::settle(docker, &said).await?;
    }
    let mut done = restore(docker, &before).await?;
    // One that has ended has left its rules behind, which are in force for nobody any more; it
    // takes them away when it comes and goes once more. It cannot come where the target is down,
    // whose network has gone, and the rules with it.
    let start = docker.start_container(agent, None::<StartContainerOptions>);
    let comes = bounded("start of an agent", start).await;
    if comes.is_ok() {
        let options = StopContainerOptions {
            signal: None,
            t: Some(LEAVE),
        };
        let stop = docker.stop_container(agent, Some(options));
        bounded("end of an agent", stop).await?;
    }
    // The engine may have been at something that it had not begun to write down.
    done.extend(restore(docker, &before).await?);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::adopted::examples::{container, said};
    use crate::runtime::docker::adopted::found::Bounds;
    use crate::runtime::docker::fake::Engine;
    use hyper::Method;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn only_what_is_otherwise_is_put_back() {
        let found = container("db", 1);
        let before = Before::of("db", &found);
        let changed = |change: &dyn Fn(&mut Found)| {
            let mut now = found.clone();
            change(&mut now);
            let steps = steps(&before, &now);
            steps.iter().map(Step::said).collect::<Vec<_>>()
        };
        assert_eq!(changed(&|_| {}), [""; 0]);
        assert_eq!(
            changed(&|now| now.standing = Standing::Paused),
            ["was thawed"]
        );
        assert_eq!(
            changed(&|now| now.standing = Standing::Ended),
            ["was started"]
        );
        // Its own policy is at it.
        assert_eq!(changed(&|now| now.standing = Standing::Restarting), [""; 0]);
        let bounded = |now: &mut Found| {
            now.bounds = Bounds {
                memory: 1 << 20,
                ..Bounds::default()
            };
            now.standing = Standing::Ended;
        };
        assert_eq!(
            changed(&bounded),
            ["has its own bounds again", "was started"]
        );
    }

    #[tokio::test]
    async fn a_container_that_was_ended_is_started_and_looked_at_again() {
        let runs = std::sync::Arc::new(AtomicBool::new(false));
        let started = runs.clone();
        let engine = Engine::start(move |request| {
            if request.method == Method::POST {
                started.store(true, Ordering::SeqCst);
                return (204, String::new());
            }
            let mut said = said();
            let state = said.state.as_mut().unwrap();
            state.running = Some(runs.load(Ordering::SeqCst));
            (200, serde_json::to_string(&said).unwrap())
        });
        let mut before = Before::of("db", &Found::read(said()).unwrap());
        let docker = engine.connect();
        let done = restore(&docker, &before).await.unwrap();
        assert_eq!(done, ["shop-db-1 was started"]);
        let id = &before.id;
        let look = format!("GET /containers/{id}/json");
        let start = format!("POST /containers/{id}/start");
        assert_eq!(engine.asked(), [look.clone(), start, look.clone()]);
        // Once more: nothing is to be done.
        assert_eq!(restore(&docker, &before).await.unwrap(), [""; 0]);
        assert_eq!(engine.asked(), [look]);
        // What the engine takes without doing it is seen.
        before.bounds.nano_cpus = 7;
        let why = restore(&docker, &before).await.unwrap_err();
        assert!(why.0.contains("not as it was"), "{why}");
    }

    #[tokio::test]
    async fn what_was_removed_by_others_is_left_to_them_and_an_agent_of_our_own_is_none() {
        let engine = Engine::start(|_| (404, r#"{"message":"none"}"#.into()));
        let before = Before::of("db", &container("db", 1));
        let done = restore(&engine.connect(), &before).await.unwrap();
        assert_eq!(done, ["shop-db-1 was removed, not by gameday"]);
        assert_eq!(release(&engine.connect(), "a1").await.unwrap(), [""; 0]);
        let engine = Engine::start(|_| (200, serde_json::to_string(&said()).unwrap()));
        assert_eq!(release(&engine.connect(), "a1").await.unwrap(), [""; 0]);
        assert_eq!(engine.asked(), ["GET /containers/a1/json"]);
    }
}
