//! Finds and removes containers, volumes and networks by our labels.

use super::engine::{self, is_missing, status};
use crate::runtime::leftovers::{Leftover, Thing};
use crate::runtime::marks::{RUN_LABEL, RunMarks};
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions,
    RemoveVolumeOptions,
};
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

/// How long a removal may take altogether.
const REMOVE: Duration = Duration::from_secs(60);
/// Pause before the engine is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// Everything with our labels, of one run or of all.
pub(crate) async fn find(run: Option<&str>) -> Result<Vec<Leftover>, String> {
    let (docker, _) = engine::connect().await?;
    find_on(&docker, run).await.map_err(|e| e.to_string())
}

pub(super) async fn find_on(docker: &Docker, run: Option<&str>) -> Result<Vec<Leftover>, Error> {
    let label = run.map_or(RUN_LABEL.to_string(), |run| format!("{RUN_LABEL}={run}"));
    let filters = Some(HashMap::from([("label".to_string(), vec![label])]));
    let mut found = Vec::new();
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
    for c in containers {
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
    let work = async {
        loop {
            match ask().await {
                Ok(()) => return Ok(()),
                Err(e) if is_missing(&e) => return Ok(()),
                // Removal in progress, or something that goes away still uses it.
                Err(e) if matches!(status(&e), Some(403 | 409)) => {
                    tracing::debug!("the removal is tried again: {e}");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(e) => return Err(e.to_string()),
            }
        }
    };
    let late = || {
        Err(format!(
            "still in use {REMOVE:?} after its removal was asked for"
        ))
    };
    tokio::time::timeout(REMOVE, work)
        .await
        .unwrap_or_else(|_| late())
}

/// Removes one thing; fine if it is gone.
pub(super) async fn remove(docker: &Docker, thing: &Thing) -> Result<(), String> {
    match thing {
        Thing::Container { id, .. } => {
            let options = RemoveContainerOptions {
                force: true,
                v: true,
                link: false,
            };
            removed(|| docker.remove_container(id, Some(options.clone()))).await
        }
        Thing::Volume(name) => {
            let options = RemoveVolumeOptions { force: false };
            removed(|| docker.remove_volume(name, Some(options.clone()))).await
        }
        Thing::Network { id, .. } => removed(|| docker.remove_network(id)).await,
        Thing::Process { .. } | Thing::Folder(_) => Err("not one of Docker's things".into()),
    }
}

/// Removes one thing on whatever engine answers.
pub(crate) async fn remove_one(thing: &Thing) -> Result<(), String> {
    let (docker, _) = engine::connect().await?;
    remove(&docker, thing).await
}
