//! `gameday volume`: makes, lists and removes them.

use super::format;
use super::helper::{Answer, TASK_VAR, Task};
use super::labels::{DEVICE_LABEL, NAME_LABEL, SIZE_LABEL, backing};
use super::loops::{self, MAX_NAME};
use crate::runtime::control::lock;
use crate::runtime::docker::attach::{Stderr, attach};
use crate::runtime::docker::containers::{Maker, base_name};
use crate::runtime::docker::deadline::bounded;
use crate::runtime::docker::{engine, removal};
use bollard::Docker;
use bollard::models::{DeviceMapping, HostConfig, Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::{ListContainersOptions, ListVolumesOptions};
use std::collections::HashMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Smallest volume, in bytes: less is no file system with a log.
pub const MIN_SIZE: u64 = 16 << 20;
/// Largest one, in bytes.
pub const MAX_SIZE: u64 = 4 << 40;
/// How long a helper may be at work.
const WORK: Duration = Duration::from_secs(60);
/// Most bytes of a helper's answer.
const MAX_ANSWER: u64 = 64 << 10;
/// Where a helper has what it works on.
const PLACE: &str = "/volume";
/// Name of the file in a backing volume.
const FILE: &str = "disk";
/// How often another device is tried if somebody was quicker.
const TRIES: u32 = 3;

/// A volume that can lose power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its size in bytes, if its label says so.
    pub size: Option<u64>,
    /// Its loop device.
    pub device: String,
    /// Names of the containers that have it, running or not.
    pub used_by: Vec<String>,
}

/// What a helper is given.
#[derive(Default)]
pub(super) struct Given {
    /// Devices, by path.
    pub devices: Vec<String>,
    /// Volumes, and where they are mounted.
    pub volumes: Vec<(String, String)>,
    /// Whether it stays when it has ended, until somebody removes it.
    pub stays: bool,
    /// More labels.
    pub labels: HashMap<String, String>,
}

/// Makes a helper; its id.
pub(super) async fn make(
    maker: &Maker,
    name: &str,
    task: &Task,
    given: Given,
) -> Result<String, String> {
    let task = serde_json::to_string(task).map_err(|e| e.to_string())?;
    let device = |path: String| DeviceMapping {
        path_on_host: Some(path.clone()),
        path_in_container: Some(path),
        cgroup_permissions: Some("rw".into()),
    };
    let mount = |(volume, at): (String, String)| Mount {
        target: Some(at),
        source: Some(volume),
        typ: Some(MountType::VOLUME),
        ..Default::default()
    };
    let host = HostConfig {
        network_mode: Some("none".into()),
        cap_add: Some(vec!["SYS_ADMIN".into()]),
        devices: Some(given.devices.into_iter().map(device).collect()),
        mounts: Some(given.volumes.into_iter().map(mount).collect()),
        auto_remove: Some(!given.stays),
        ..Maker::host()
    };
    let env = format!("{TASK_VAR}={task}");
    maker
        .short_lived(name, "volume", env, host, given.labels)
        .await
}

/// Starts a helper and waits for its answer.
pub(super) async fn ask(maker: &Maker, id: &str, input: &[u8]) -> Result<Answer, String> {
    let stderr = Stderr::default();
    let asked = async {
        let mut streams = attach(&maker.docker, id, stderr.clone()).await?;
        maker.start(id).await?;
        let written = async {
            streams.stdin.write_all(input).await?;
            streams.stdin.shutdown().await
        };
        written.await.map_err(|e| e.to_string())?;
        let mut text = String::new();
        let mut stdout = streams.stdout.take(MAX_ANSWER);
        stdout
            .read_to_string(&mut text)
            .await
            .map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map_err(|e| {
            let said = String::from_utf8_lossy(&lock(&stderr)).trim().to_string();
            format!("the answer of a helper is not understood: {e} {said}")
        })
    };
    let late = |_| Err(format!("a helper does not answer within {WORK:?}"));
    match timeout(WORK, asked).await.unwrap_or_else(late)? {
        Answer::Failed(why) => Err(why),
        answer => Ok(answer),
    }
}

async fn help(maker: &Maker, task: &Task, given: Given, input: &[u8]) -> Result<Answer, String> {
    // The engine removes one only a moment after it has answered.
    let name = format!("{}-{:08x}", base_name(&maker.marks), rand::random::<u32>());
    let id = make(maker, &name, task, given).await?;
    ask(maker, &id, input).await
}

/// Whether this can be the name of a volume.
fn check(name: &str, size: u64) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins || !name.chars().all(plain) || !(2..=MAX_NAME).contains(&name.len()) {
        return Err(format!(
            "a volume's name has 2 to {MAX_NAME} letters, digits, `_`, `.` and `-`, and begins with \
             a letter or digit; {name:?} has not"
        ));
    }
    if !(MIN_SIZE..=MAX_SIZE).contains(&size) {
        return Err(format!(
            "a volume has {MIN_SIZE} to {MAX_SIZE} bytes, and not {size}"
        ));
    }
    Ok(())
}

/// Makes a volume of so many bytes, with an empty file system (ext4).
///
/// # Errors
/// A name or size that cannot be, one that is there already, no engine, or a step that failed:
/// then nothing is left.
pub async fn create(name: &str, size: u64) -> Result<Listed, String> {
    check(name, size)?;
    let (docker, _) = engine::connect().await?;
    for name in [name, &backing(name)] {
        if docker.inspect_volume(name).await.is_ok() {
            return Err(format!("there is a volume {name} already"));
        }
    }
    let pieces = tokio::task::spawn_blocking(move || format::empty(size)).await;
    let pieces = pieces.map_err(|e| e.to_string())??;
    let maker = Maker::alone(&docker, "volume").await?;
    let made = build(&maker, name, size, &pieces).await;
    if made.is_err() {
        // Whatever of it is there.
        undo(&maker, name, None).await?;
    }
    made
}

async fn build(maker: &Maker, name: &str, size: u64, pieces: &[u8]) -> Result<Listed, String> {
    let docker = &maker.docker;
    let labels = HashMap::from([(NAME_LABEL.to_string(), name.to_string())]);
    let request = VolumeCreateRequest {
        name: Some(backing(name)),
        labels: Some(labels.clone()),
        ..Default::default()
    };
    let what = format!("volume {}", backing(name));
    bounded(&what, docker.create_volume(request))
        .await
        .map_err(|e| e.0)?;
    let device = bind(maker, name, size, pieces).await?;
    let mut labels = labels;
    labels.insert(DEVICE_LABEL.into(), device.clone());
    labels.insert(SIZE_LABEL.into(), size.to_string());
    let options = [("type", "ext4"), ("device", &device)];
    let request = VolumeCreateRequest {
        name: Some(name.into()),
        driver: Some("local".into()),
        driver_opts: Some(options.map(|(k, v)| (k.into(), v.into())).into()),
        labels: Some(labels),
        ..Default::default()
    };
    let made = bounded(&format!("volume {name}"), docker.create_volume(request)).await;
    if let Err(e) = made {
        undo(maker, name, Some(&device)).await?;
        return Err(e.0);
    }
    Ok(Listed {
        name: name.into(),
        size: Some(size),
        device,
        used_by: Vec::new(),
    })
}

/// Makes a disk of a new file in the backing volume; its device.
async fn bind(maker: &Maker, name: &str, size: u64, pieces: &[u8]) -> Result<String, String> {
    let mut last = String::new();
    for number in 0..TRIES {
        let control = Given {
            devices: vec![loops::CONTROL.into()],
            ..Given::default()
        };
        let free = match help(maker, &Task::Free, control, &[]).await? {
            Answer::Number(free) => loops::path(free),
            other => return Err(format!("unexpected answer {other:?}")),
        };
        let task = Task::Bind {
            name: name.into(),
            // One that a try before this one has left is not written to again.
            file: format!("{PLACE}/{FILE}{number}").into(),
            size,
            device: free.clone(),
        };
        let given = Given {
            devices: vec![free.clone()],
            volumes: vec![(backing(name), PLACE.into())],
            ..Given::default()
        };
        match help(maker, &task, given, pieces).await {
            Ok(_) => return Ok(free),
            // Somebody else may have taken the device.
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Takes away what there is of a volume, and of its disk if that is known.
async fn undo(maker: &Maker, name: &str, device: Option<&str>) -> Result<(), String> {
    if let Some(device) = device {
        let task = Task::Unbind {
            name: name.into(),
            device: device.into(),
        };
        let given = Given {
            devices: vec![device.into()],
            ..Given::default()
        };
        help(maker, &task, given, &[]).await?;
    }
    drop_volume(&maker.docker, &backing(name)).await
}

async fn drop_volume(docker: &Docker, name: &str) -> Result<(), String> {
    removal::remove_volume(docker, name).await
}

/// All volumes that can lose power, by name.
///
/// # Errors
/// No engine, or it does not say.
pub async fn list() -> Result<Vec<Listed>, String> {
    let (docker, _) = engine::connect().await?;
    list_on(&docker).await
}

pub(super) async fn list_on(docker: &Docker) -> Result<Vec<Listed>, String> {
    let options = ListVolumesOptions {
        filters: Some(HashMap::from([(
            "label".to_string(),
            vec![DEVICE_LABEL.to_string()],
        )])),
    };
    let listed = bounded("volumes", docker.list_volumes(Some(options))).await;
    let volumes = listed.map_err(|e| e.0)?.volumes.unwrap_or_default();
    let mut all = Vec::new();
    for volume in volumes {
        let label = |name: &str| volume.labels.get(name).cloned();
        let Some(device) = label(DEVICE_LABEL) else {
            continue;
        };
        all.push(Listed {
            size: label(SIZE_LABEL).and_then(|size| size.parse().ok()),
            device,
            used_by: users(docker, &volume.name).await?,
            name: volume.name,
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Names of the containers that have a volume.
async fn users(docker: &Docker, volume: &str) -> Result<Vec<String>, String> {
    let options = ListContainersOptions {
        all: true,
        filters: Some(HashMap::from([(
            "volume".to_string(),
            vec![volume.to_string()],
        )])),
        ..Default::default()
    };
    let listed = bounded("containers", docker.list_containers(Some(options))).await;
    let names = listed.map_err(|e| e.0)?.into_iter();
    let names = names.filter_map(|c| c.names?.into_iter().next());
    Ok(names
        .map(|name| name.trim_start_matches('/').to_string())
        .collect())
}

/// Removes a volume, its disk and what is in it.
///
/// # Errors
/// There is none of ours of this name, a container has it, or the engine cannot.
pub async fn remove(name: &str) -> Result<(), String> {
    let (docker, _) = engine::connect().await?;
    let listed = list_on(&docker).await?;
    let Some(volume) = listed.iter().find(|volume| volume.name == name) else {
        return Err(format!(
            "there is no volume {name} that `gameday volume create` made"
        ));
    };
    if !volume.used_by.is_empty() {
        let users = volume.used_by.join(", ");
        return Err(format!(
            "the volume {name} is that of {users}: remove these first"
        ));
    }
    drop_volume(&docker, name).await?;
    let maker = Maker::alone(&docker, "volume").await?;
    undo(&maker, name, Some(&volume.device)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_that_cannot_be_are_refused() {
        let long = "x".repeat(MAX_NAME + 1);
        for (name, size, ok) in [
            ("db", MIN_SIZE, true),
            ("db_1.a-b", MAX_SIZE, true),
            ("x", MIN_SIZE, false),
            ("-db", MIN_SIZE, false),
            ("d/b", MIN_SIZE, false),
            ("", MIN_SIZE, false),
            (&long, MIN_SIZE, false),
            ("db", MIN_SIZE - 1, false),
            ("db", MAX_SIZE + 1, false),
        ] {
            assert_eq!(check(name, size).is_ok(), ok, "{name} {size}");
        }
    }
}
