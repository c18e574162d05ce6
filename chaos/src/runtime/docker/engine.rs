//! The connection to the Docker engine.

use super::endpoint::{Endpoint, Way};
use bollard::Docker;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// How long the engine may take to say who it is.
const PROBE: Duration = Duration::from_secs(5);
/// Deadline of any other request, in seconds.
const REQUEST_SECS: u64 = 180;

/// The engine that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// Version of the engine.
    pub version: String,
    /// API version that we speak with it.
    pub api: String,
    /// Kernel under its containers, where it says so.
    pub kernel: Option<String>,
    /// Where it listens, and who says so.
    pub at: String,
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
    details_of(&connect().await?.0).await
}

async fn details_of(docker: &Docker) -> Result<EngineDetails, String> {
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
    let (docker, info) = connect().await?;
    usable(&docker, info).await
}

async fn usable(docker: &Docker, info: EngineInfo) -> Result<EngineInfo, String> {
    // One that does not describe itself is found out about later.
    let details = details_of(docker).await.unwrap_or_default();
    if details.rootless {
        return Err(format!(
            "the Docker engine at {} runs without root: the addresses of its containers are within \
             its own network namespace, where nobody on this host reaches them; what helps: an \
             engine with root, or --runtime process",
            info.at
        ));
    }
    Ok(info)
}

/// Connects and agrees on an API version.
pub(crate) async fn connect() -> Result<(Docker, EngineInfo), String> {
    connect_to(&Endpoint::of_user()?).await
}

async fn connect_to(endpoint: &Endpoint) -> Result<(Docker, EngineInfo), String> {
    let Endpoint { host, by } = endpoint;
    let way = endpoint.way()?;
    let say = |e: bollard::errors::Error| format!("no Docker engine answers at {host} ({by}): {e}");
    let ask = async {
        // What the system says is clearer than what a library makes of it.
        let reached = match &way {
            Way::Unix(path) => UnixStream::connect(path).await.map(drop),
            Way::Tcp(address) => TcpStream::connect(address).await.map(drop),
        };
        reached.map_err(|e: io::Error| endpoint.unreachable(&e, own_engine().as_deref()))?;
        let version = bollard::API_DEFAULT_VERSION;
        let docker = match &way {
            Way::Unix(path) => {
                let path = path.to_str().ok_or("the socket's path is no text")?;
                Docker::connect_with_unix(path, REQUEST_SECS, version)
            }
            Way::Tcp(address) => {
                Docker::connect_with_http(&address.to_string(), REQUEST_SECS, version)
            }
        };
        let docker = docker.map_err(say)?;
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
            at: format!("{host} ({by})"),
        };
        Ok((docker, info))
    };
    tokio::time::timeout(PROBE, ask).await.unwrap_or_else(|_| {
        Err(format!(
            "the Docker engine at {host} ({by}) does not answer within {PROBE:?}"
        ))
    })
}

/// The socket of an engine that this user runs without root.
fn own_engine() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR")?;
    let socket = Path::new(&folder).join("docker.sock");
    socket.exists().then_some(socket)
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
    use crate::runtime::docker::fake::Engine;

    fn at(path: &Path) -> Endpoint {
        Endpoint {
            host: format!("unix://{}", path.display()),
            by: "the test".into(),
        }
    }

    #[tokio::test]
    async fn why_there_is_no_engine_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let nobody = connect_to(&at(&socket)).await.unwrap_err();
        assert!(nobody.contains("docker.sock (the test)"), "{nobody}");
        assert!(nobody.contains("to install Docker"), "{nobody}");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let dead = connect_to(&at(&socket)).await.unwrap_err();
        assert!(dead.contains("nobody listens there"), "{dead}");
    }

    #[tokio::test]
    async fn an_engine_without_root_cannot_be_used_and_why_is_said() {
        for (options, is_usable) in [
            (r#"["name=seccomp"]"#, true),
            (r#"["name=rootless"]"#, false),
        ] {
            let engine = Engine::start(move |request| match request.path() {
                "/version" => (
                    200,
                    r#"{"Version":"9","ApiVersion":"1.41","Os":"linux"}"#.into(),
                ),
                "/info" => (200, format!(r#"{{"SecurityOptions":{options}}}"#)),
                _ => (404, "{}".into()),
            });
            let (docker, info) = connect_to(&at(engine.socket())).await.unwrap();
            assert_eq!((&info.version[..], &info.api[..]), ("9", "1.41"));
            match usable(&docker, info).await {
                Ok(_) => assert!(is_usable),
                Err(why) => assert!(!is_usable && why.contains("without root"), "{why}"),
            }
        }
    }
}
