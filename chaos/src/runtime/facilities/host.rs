//! What this host has, as far as the user who runs us may use it.

use super::{CONFIG_VAR, Facilities, Facility, MAX_ANSWER, OWN, Seen};
use crate::runtime::process::program;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Deadline of the probe.
const PROBE: Duration = Duration::from_secs(10);

/// Devices that only have to be there and open.
const DEVICES: [(Facility, &str); 3] = [
    (Facility::LoopDevices, "/dev/loop-control"),
    (Facility::Fuse, "/dev/fuse"),
    (Facility::DeviceMapper, "/dev/mapper/control"),
];

/// Devices of the host, and what can be done in namespaces of this user's own.
pub async fn of_host() -> Facilities {
    let probed = tokio::time::timeout(PROBE, probe()).await;
    let probed = probed.unwrap_or_else(|_| Err(format!("no answer within {PROBE:?}")));
    let mut found = probed.unwrap_or_else(|why| {
        let mut found = Facilities::unknown(&why);
        found.0.insert(Facility::UserNamespaces, Seen::Unknown(why));
        found
    });
    for (facility, path) in DEVICES {
        found.0.insert(facility, device(Path::new(path)));
    }
    found
}

async fn probe() -> Result<Facilities, String> {
    let args = ["internal", "probe"].map(String::from);
    let env = [(CONFIG_VAR.to_string(), OWN.to_string())];
    let mut command = tokio::process::Command::from(program(&args, &env));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let mut text = String::new();
    if let Some(out) = child.stdout.take() {
        let read = out.take(MAX_ANSWER).read_to_string(&mut text).await;
        read.map_err(|e| e.to_string())?;
    }
    child.wait().await.map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| format!("its answer is not understood: {e}"))
}

fn device(path: &Path) -> Seen {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Seen::Yes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Seen::No(format!("there is no {}", path.display()))
        }
        Err(e) => Seen::No(format!("{}: {e}", path.display())),
    }
}

/// Version of the control groups that this host is run with; `None` if there are none.
pub fn cgroup_version() -> Option<u32> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        Some(2)
    } else {
        root.is_dir().then_some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_there_or_it_is_said_why_not() {
        assert_eq!(device(Path::new("/dev/null")), Seen::Yes);
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none");
        let Seen::No(why) = device(&none) else {
            panic!("what is not there was seen");
        };
        assert!(why.contains("there is no"), "{why}");
    }
}
