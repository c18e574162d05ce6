//! The connection to the Docker engine.

use bollard::Docker;
use std::time::Duration;

/// How long the engine may take to say who it is.
const PROBE: Duration = Duration::from_secs(5);
/// Deadline of any other request, in seconds.
const REQUEST_SECS: u64 = 180;
/// Where it listens if `DOCKER_HOST` does not say otherwise.
const SOCKET: &str = "unix:///var/run/docker.sock";

/// The engine that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// Version of the engine.
    pub version: String,
    /// API version that we speak with it.
    pub api: String,
    /// Kernel under its containers, where it says so.
    pub kernel: Option<String>,
}

/// What the engine says about the host that its containers run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineDetails {
    /// Storage driver, for example `overlay2`.
    pub storage: Option<String>,
    /// Version of its control groups, for example `2`.
    pub cgroup: Option<String>,
    /// Who manages them: `systemd` or `cgroupfs`.
    pub cgroup_driver: Option<String>,
    /// Whether it runs without root.
    pub rootless: bool,
}

/// Asks the engine about its host.
///
/// # Errors
/// No engine, or it does not answer: one sentence for people.
pub async fn details() -> Result<EngineDetails, String> {
    let (docker, _) = connect().await?;
    let info = tokio::time::timeout(PROBE, docker.info()).await;
    let info = info
        .map_err(|_| format!("the engine does not describe itself within {PROBE:?}"))?
        .map_err(|e| format!("the engine does not describe itself: {e}"))?;
    let options = info.security_options.unwrap_or_default();
    Ok(EngineDetails {
        storage: info.driver,
        cgroup: info.cgroup_version.map(|v| v.to_string()),
        cgroup_driver: info.cgroup_driver.map(|d| d.to_string()),
        rootless: options.iter().any(|o| o.contains("rootless")),
    })
}

/// Whether the docker runtime can be used: the engine, or why not.
///
/// # Errors
/// One sentence for people.
pub async fn available() -> Result<EngineInfo, String> {
    connect().await.map(|(_, info)| info)
}

/// Connects and agrees on an API version.
pub(crate) async fn connect() -> Result<(Docker, EngineInfo), String> {
    let host = std::env::var("DOCKER_HOST").ok().filter(|h| !h.is_empty());
    connect_to(&host.unwrap_or_else(|| SOCKET.into())).await
}

async fn connect_to(host: &str) -> Result<(Docker, EngineInfo), String> {
    if !host.starts_with("unix://") {
        return Err(format!(
            "DOCKER_HOST is {host}: only an engine on this host (unix://…) can be used"
        ));
    }
    let say = |e: bollard::errors::Error| format!("no Docker engine answers at {host}: {e}");
    let ask = async {
        let docker = Docker::connect_with_unix(host, REQUEST_SECS, bollard::API_DEFAULT_VERSION)
            .map_err(say)?;
        let docker = docker.negotiate_version().await.map_err(say)?;
        let version = docker.version().await.map_err(say)?;
        if version.os.as_deref().is_some_and(|os| os != "linux") {
            return Err(format!(
                "the Docker engine at {host} does not run Linux containers"
            ));
        }
        let api = docker.client_version();
        let info = EngineInfo {
            version: version.version.unwrap_or_else(|| "unknown".into()),
            api: format!("{}.{}", api.major_version, api.minor_version),
            kernel: version.kernel_version,
        };
        Ok((docker, info))
    };
    tokio::time::timeout(PROBE, ask).await.unwrap_or_else(|_| {
        Err(format!(
            "the Docker engine at {host} does not answer within {PROBE:?}"
        ))
    })
}

/// Status code of the engine's answer, if that is what went wrong.
pub(crate) fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether the thing is not there (any more).
pub(crate) fn is_missing(error: &bollard::errors::Error) -> bool {
    status(error) == Some(404)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn why_there_is_no_engine_is_said() {
        let remote = connect_to("tcp://192.0.2.1:2375").await.unwrap_err();
        assert!(
            remote.contains("DOCKER_HOST is tcp://192.0.2.1:2375"),
            "{remote}"
        );
        let folder = tempfile::tempdir().unwrap();
        let host = format!("unix://{}/none.sock", folder.path().display());
        let nobody = connect_to(&host).await.unwrap_err();
        assert!(nobody.contains(&host), "{nobody}");
    }
}
