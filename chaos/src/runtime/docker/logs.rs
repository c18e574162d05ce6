//! Saves what containers wrote.

use super::pod::Pod;
use bollard::Docker;
use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Most bytes of one container's log. The engine keeps about as many: see the containers' log options.
const MAX_LOG: usize = 32 << 20;

/// Saves the log of a unit's containers as `<dir>/<unit>.log`, one after the other, from a time
/// on, in seconds since 1970.
pub(super) async fn save(
    docker: &Docker,
    unit: &str,
    containers: &[String],
    since: i32,
    dir: &Path,
) -> Result<(), String> {
    let path = dir.join(format!("{unit}.log"));
    let say = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = std::io::BufWriter::new(File::create(&path).map_err(say)?);
    let options = LogsOptions {
        stdout: true,
        stderr: true,
        tail: "all".into(),
        since,
        ..Default::default()
    };
    for container in containers {
        let mut written = 0;
        let mut log = std::pin::pin!(docker.logs(container, Some(options.clone())));
        while let Some(part) = log.next().await {
            let bytes = part.map_err(|e| e.to_string())?.into_bytes();
            let room = MAX_LOG - written;
            let bytes = &bytes[..bytes.len().min(room)];
            file.write_all(bytes).map_err(say)?;
            written += bytes.len();
            if written == MAX_LOG {
                break;
            }
        }
    }
    file.flush().map_err(say)
}

/// Saves what a pod's agent complained about, if anything.
pub(super) fn complaints(pod: &Pod, dir: &Path) -> Result<(), String> {
    match pod.agent.stderr() {
        complaints if complaints.is_empty() => Ok(()),
        complaints => write(dir, &format!("{}-agent", pod.unit), &complaints),
    }
}

/// Writes `<dir>/<unit>.log`.
pub(super) fn write(dir: &Path, unit: &str, bytes: &[u8]) -> Result<(), String> {
    let path = dir.join(format!("{unit}.log"));
    std::fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}
