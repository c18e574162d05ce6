//! The power of an adopted container whose data are on volumes of ours: it goes by
//! shutting their file systems down, and then the container; it comes back when
//! the engine mounts them again for the container's start.
//!
//! A helper does the first, and its container stays until the power is back: as
//! long as it is there, a container that seems to run may have lost its disk, and
//! whoever finds it gives the power back.

use super::helper::{Mounted, Task};
use super::list_on;
use super::manage::{self, Given};
use crate::runtime::docker::adopted::found::Found;
use crate::runtime::docker::containers::{Maker, POWER, TARGET_LABEL};
use crate::runtime::docker::deadline::bounded;
use crate::runtime::docker::engine::{is_missing, status};
use crate::runtime::docker::removal;
use bollard::Docker;
use bollard::models::ContainerStateStatusEnum;
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptions, RemoveContainerOptions, StartContainerOptions,
};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Label of a helper that holds the devices of what it shuts down, with commas between them.
const DEVICES_LABEL: &str = "gameday.power.devices";
/// How long a file system that nobody uses any more may still be there.
const RELEASE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A volume of ours that a container has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime::docker) struct OwnDisk {
    name: String,
    device: String,
}

/// Volumes of ours that a container writes to and nobody else has.
///
/// # Errors
/// The engine does not say; another container has one too, so that it would not be mounted anew.
pub(in crate::runtime::docker) async fn disks(
    docker: &Docker,
    found: &Found,
) -> Result<Vec<OwnDisk>, String> {
    let has = found.mounts.iter().filter(|mount| mount.writable);
    let has: Vec<&str> = has.filter_map(|mount| mount.volume.as_deref()).collect();
    if has.is_empty() {
        return Ok(Vec::new());
    }
    let listed = list_on(docker).await?;
    let own = listed
        .into_iter()
        .filter(|volume| has.contains(&volume.name.as_str()));
    own.map(|volume| {
        let others = volume.used_by.iter().filter(|user| **user != found.name);
        match others.cloned().collect::<Vec<_>>().as_slice() {
            [] => Ok(OwnDisk {
                name: volume.name,
                device: volume.device,
            }),
            others => Err(format!(
                "its volume {} is also that of {}: it would not be mounted anew",
                volume.name,
                others.join(", ")
            )),
        }
    })
    .collect()
}

/// Name of the helper that took the power of a unit.
pub(in crate::runtime::docker) fn helper(maker: &Maker, unit: &str) -> String {
    format!("{}{POWER}", maker.name(unit))
}

/// Shuts down what a container has on these volumes; it is still there, and gets errors.
///
/// # Errors
/// A step failed: what was begun is made up for by [`back`].
pub(in crate::runtime::docker) async fn off(
    maker: &Maker,
    unit: &str,
    target: &str,
    disks: &[OwnDisk],
) -> Result<(), String> {
    let at = |number: usize| format!("/volume{number}");
    let mounted = disks.iter().enumerate().map(|(number, disk)| Mounted {
        name: disk.name.clone(),
        at: at(number).into(),
        device: disk.device.clone(),
    });
    let devices: Vec<String> = disks.iter().map(|disk| disk.device.clone()).collect();
    let given = Given {
        devices: devices.clone(),
        volumes: disks
            .iter()
            .enumerate()
            .map(|(n, disk)| (disk.name.clone(), at(n)))
            .collect(),
        stays: true,
        labels: HashMap::from([
            (TARGET_LABEL.to_string(), target.to_string()),
            (DEVICES_LABEL.to_string(), devices.join(",")),
        ]),
    };
    let task = Task::ShutDown(mounted.collect());
    let id = manage::make(maker, &helper(maker, unit), &task, given).await?;
    manage::ask(maker, &id, &[]).await.map(drop)
}

/// Gives the power back that this helper took, if it is there. The target may run and have lost
/// its disk: it is ended first, so that what it has is mounted anew.
///
/// # Errors
/// What the engine says.
pub(in crate::runtime::docker) async fn back(docker: &Docker, helper: &str) -> Result<(), String> {
    let said = docker.inspect_container(helper, None::<InspectContainerOptions>);
    let said = bounded("a helper", async {
        match said.await {
            Ok(said) => Ok(Some(said)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(e),
        }
    });
    let Some(said) = said.await.map_err(|e| e.0)? else {
        return Ok(());
    };
    // One that was made and not started has taken nothing; if it is started in this moment, the
    // engine refuses.
    let state = said.state.and_then(|state| state.status);
    if state == Some(ContainerStateStatusEnum::CREATED) {
        let removed = docker.remove_container(helper, None::<RemoveContainerOptions>);
        if bounded("removal of a helper", removed).await.is_ok() {
            return Ok(());
        }
    }
    let labels = said
        .config
        .and_then(|config| config.labels)
        .unwrap_or_default();
    let Some(target) = labels.get(TARGET_LABEL) else {
        return Ok(());
    };
    let devices = labels
        .get(DEVICES_LABEL)
        .map(String::as_str)
        .unwrap_or_default();
    // Ended first: from then on its own state says that it is to be started, if nobody else does.
    for id in [target, helper] {
        end(docker, id).await?;
    }
    released(devices).await?;
    // The engine may only now be starting it, for somebody who has died; it waits for that. When it
    // is gone nobody holds the file system, and the next start mounts it anew.
    removal::remove_container(docker, helper, false).await?;
    released(devices).await?;
    let start = docker.start_container(target, None::<StartContainerOptions>);
    let started = bounded("start of a container", async {
        match start.await {
            Err(e) if is_missing(&e) => Ok(()),
            done => done,
        }
    });
    started.await.map_err(|e| e.0)
}

async fn end(docker: &Docker, id: &str) -> Result<(), String> {
    let options = KillContainerOptions {
        signal: "SIGKILL".into(),
    };
    let kill = docker.kill_container(id, Some(options));
    let ended = bounded("end of a container", async {
        match kill.await {
            // It does not run, or is not there.
            Err(e) if matches!(status(&e), Some(404 | 409)) => Ok(()),
            done => done,
        }
    });
    ended.await.map_err(|e| e.0)
}

/// Waits until nobody holds the file systems on these loop devices, as far as this host's kernel
/// says. Whoever has a copy of the mount in a mount namespace of his own keeps what was shut down
/// alive, and the next start would get just that.
async fn released(devices: &str) -> Result<(), String> {
    let held = || {
        let names = devices
            .split(',')
            .filter_map(|device| device.strip_prefix("/dev/"));
        let mut held = names.filter(|name| Path::new("/sys/fs/ext4").join(name).exists());
        held.next()
    };
    let over = async {
        while held().is_some() {
            sleep(LOOK).await;
        }
    };
    let late = |_| {
        let name = held().unwrap_or("loop");
        format!(
            "the file system on /dev/{name} was shut down and is still held {RELEASE:?} later, by a \
             process in a mount namespace of its own; what helps: to end it (grep -l /dev/{name} \
             /proc/*/mountinfo)"
        )
    };
    timeout(RELEASE, over).await.map_err(late)
}
