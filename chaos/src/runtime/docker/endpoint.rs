//! Which engine: the one that the docker command uses, by the same rules.

use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where it listens if nothing says otherwise.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// Largest configuration of the docker command that is read.
const MAX_CONFIG: u64 = 1 << 20;

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// As the docker command writes it: `unix:///…` or `tcp://…`.
    pub host: String,
    /// Who says so.
    pub by: String,
}

/// How it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A port of this host.
    Tcp(SocketAddr),
}

impl Endpoint {
    /// That of the user who runs this.
    ///
    /// # Errors
    /// A context that is not there.
    pub fn of_user() -> Result<Self, String> {
        let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        Self::choose(&var, &|path| {
            let meta = fs::metadata(path).ok()?;
            (meta.len() <= MAX_CONFIG).then(|| fs::read(path).ok())?
        })
    }

    /// `DOCKER_HOST`, else the context `DOCKER_CONTEXT`, else the one that `docker context use`
    /// has chosen, else the engine of this machine.
    fn choose(
        var: &dyn Fn(&str) -> Option<String>,
        read: &dyn Fn(&Path) -> Option<Vec<u8>>,
    ) -> Result<Self, String> {
        let json = |path: &Path| serde_json::from_slice::<serde_json::Value>(&read(path)?).ok();
        if let Some(host) = var("DOCKER_HOST") {
            let by = "DOCKER_HOST".into();
            return Ok(Endpoint { host, by });
        }
        let folder = match (var("DOCKER_CONFIG"), var("HOME")) {
            (Some(folder), _) => PathBuf::from(folder),
            (None, Some(home)) => Path::new(&home).join(".docker"),
            (None, None) => PathBuf::new(),
        };
        let config = folder.join("config.json");
        let chosen = || {
            let name = json(&config)?["currentContext"].as_str()?.to_string();
            Some((name, format!("chosen in {}", config.display())))
        };
        let named = var("DOCKER_CONTEXT").map(|name| (name, "DOCKER_CONTEXT".to_string()));
        let context = named.or_else(chosen);
        let Some((name, by)) = context.filter(|(name, _)| !matches!(&name[..], "" | "default"))
        else {
            let (host, by) = (SOCKET.into(), "the default".into());
            return Ok(Endpoint { host, by });
        };
        let digest = Sha256::digest(name.as_bytes());
        let digest: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        let meta = folder.join("contexts/meta").join(digest).join("meta.json");
        let host = json(&meta).and_then(|meta| {
            let host = meta["Endpoints"]["docker"]["Host"].as_str()?;
            Some(host.to_string())
        });
        let by = format!("the Docker context {name}, {by}");
        match host {
            Some(host) => Ok(Endpoint { host, by }),
            None => Err(format!(
                "{by}, says of no engine where it is: {} is missing or not understood; `docker \
                 context ls` shows what there is",
                meta.display()
            )),
        }
    }

    /// How it is reached.
    ///
    /// # Errors
    /// It cannot be, or must not: what helps.
    pub fn way(&self) -> Result<Way, String> {
        let Endpoint { host, by } = self;
        if let Some(path) = host.strip_prefix("unix://") {
            return Ok(Way::Unix(path.into()));
        }
        let elsewhere = |host: &str| {
            format!(
                "the Docker engine is {host} ({by}): only one on this host can be used, whose \
                 clock and addresses its containers share; run gameday there"
            )
        };
        if let Some(address) = host.strip_prefix("tcp://") {
            let (name, port) = address
                .trim_end_matches('/')
                .rsplit_once(':')
                .ok_or_else(|| {
                    format!("the Docker engine is {host} ({by}), which names no port")
                })?;
            let ip = match name.trim_matches(['[', ']']) {
                "localhost" => IpAddr::from([127, 0, 0, 1]),
                name => name.parse().map_err(|_| elsewhere(host))?,
            };
            let port = port.parse();
            let port = port.map_err(|_| format!("the Docker engine is {host} ({by}): no port"))?;
            return match ip.is_loopback() {
                true => Ok(Way::Tcp(SocketAddr::new(ip, port))),
                false => Err(elsewhere(host)),
            };
        }
        if let Some(there) = host.strip_prefix("ssh://") {
            let there = there.trim_end_matches('/');
            return Err(format!("{}: ssh {there} gameday …", elsewhere(host)));
        }
        Err(format!(
            "the Docker engine is {host} ({by}), which is neither unix:///… nor tcp://localhost:…: \
             set DOCKER_HOST to one that is"
        ))
    }

    /// Why nobody can be spoken with at a socket, and what helps. `rootless` is the socket of an
    /// engine of this user's own, if there is one.
    pub fn unreachable(&self, error: &io::Error, rootless: Option<&Path>) -> String {
        let Endpoint { host, by } = self;
        let what_helps = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "membership of the group that the socket belongs to (sudo usermod -aG docker \
                 $USER, then log in again), or sudo"
            }
            io::ErrorKind::NotFound => {
                "to install Docker and to start it (sudo systemctl start docker)"
            }
            io::ErrorKind::ConnectionRefused => {
                "to start it (sudo systemctl start docker): nobody listens there"
            }
            _ => "to look at `docker version`",
        };
        let own = rootless.map_or(String::new(), |socket| {
            format!(
                "; an engine of your own listens at {0} (DOCKER_HOST=unix://{0})",
                socket.display()
            )
        });
        format!("no Docker engine answers at {host} ({by}): {error}; what helps: {what_helps}{own}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// With these variables and files.
    fn chosen(vars: &[(&str, &str)], files: &[(&str, &str)]) -> Result<(String, String), String> {
        let vars: BTreeMap<_, _> = vars.iter().copied().collect();
        let files: BTreeMap<_, _> = files.iter().map(|(p, t)| (PathBuf::from(p), t)).collect();
        let chosen = Endpoint::choose(&|name| vars.get(name).map(|v| v.to_string()), &|path| {
            files.get(path).map(|t| t.as_bytes().to_vec())
        });
        chosen.map(|e| (e.host, e.by))
    }

    /// Where the docker command has kept the context `colima` since it has contexts.
    const COLIMA: &str = "/h/.docker/contexts/meta/\
                          f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16/meta.json";
    const META: &str = r#"{"Name":"colima","Endpoints":{"docker":{"Host":"unix:///h/c.sock"}}}"#;

    #[test]
    fn the_engine_is_the_one_that_the_docker_command_uses() {
        let home = ("HOME", "/h");
        let config = ("/h/.docker/config.json", r#"{"currentContext":"colima"}"#);
        let files = [config, (COLIMA, META)];
        let host = |vars: &[(&str, &str)], files: &[(&str, &str)]| chosen(vars, files).unwrap();

        assert_eq!(host(&[home], &[]), (SOCKET.into(), "the default".into()));
        assert_eq!(host(&[], &files).0, SOCKET);
        let (by_config, by) = host(&[home], &files);
        assert_eq!(by_config, "unix:///h/c.sock");
        assert!(by.contains("colima") && by.contains(config.0), "{by}");
        let (by_var, by) = host(&[home, ("DOCKER_CONTEXT", "colima")], &files[1..]);
        assert_eq!(by_var, "unix:///h/c.sock");
        assert!(by.contains("DOCKER_CONTEXT"), "{by}");
        let default = ("DOCKER_CONTEXT", "default");
        assert_eq!(host(&[home, default], &files).0, SOCKET);
        let own = ("DOCKER_HOST", "unix:///own.sock");
        assert_eq!(host(&[home, own, ("DOCKER_CONTEXT", "x")], &files).0, own.1);
        let elsewhere = ("DOCKER_CONFIG", "/h/.docker");
        assert_eq!(host(&[elsewhere], &files).0, "unix:///h/c.sock");
        // As the docker command does.
        let broken = [("/h/.docker/config.json", "{")];
        assert_eq!(host(&[home], &broken).0, SOCKET);

        let missing = chosen(&[home], &files[..1]).unwrap_err();
        assert!(
            missing.contains("colima") && missing.contains(COLIMA),
            "{missing}"
        );
        let garbled = chosen(&[home], &[config, (COLIMA, "{}")]).unwrap_err();
        assert!(garbled.contains("docker context ls"), "{garbled}");
    }

    #[test]
    fn only_an_engine_of_this_host_is_reached() {
        let way = |host: &str| {
            let (host, by) = (host.to_string(), "DOCKER_HOST".into());
            Endpoint { host, by }.way()
        };
        assert_eq!(way("unix:///a b"), Ok(Way::Unix("/a b".into())));
        for local in ["tcp://localhost:2375", "tcp://127.0.0.1:2375/"] {
            assert_eq!(way(local), Ok(Way::Tcp(([127, 0, 0, 1], 2375).into())));
        }
        assert!(matches!(way("tcp://[::1]:2375"), Ok(Way::Tcp(_))));
        for (bad, word) in [
            ("tcp://192.0.2.1:2375", "run gameday there"),
            ("tcp://build:2375", "run gameday there"),
            ("tcp://localhost", "no port"),
            ("tcp://localhost:x", "no port"),
            ("ssh://me@build", "ssh me@build gameday"),
            ("npipe:////./pipe/docker_engine", "set DOCKER_HOST"),
            ("", "set DOCKER_HOST"),
        ] {
            let why = way(bad).unwrap_err();
            assert!(
                why.contains(word) && why.contains("DOCKER_HOST"),
                "{bad}: {why}"
            );
        }
    }

    #[test]
    fn why_nobody_answers_is_said_with_what_helps() {
        let (host, by) = (SOCKET.to_string(), "the default".to_string());
        let endpoint = Endpoint { host, by };
        for (kind, word) in [
            (io::ErrorKind::PermissionDenied, "usermod -aG docker"),
            (io::ErrorKind::NotFound, "to install Docker"),
            (io::ErrorKind::ConnectionRefused, "nobody listens"),
            (io::ErrorKind::Other, "docker version"),
        ] {
            let why = endpoint.unreachable(&kind.into(), None);
            assert!(why.contains(word) && why.contains("(the default)"), "{why}");
        }
        let own = Path::new("/run/user/7/docker.sock");
        let why = endpoint.unreachable(&io::ErrorKind::NotFound.into(), Some(own));
        assert!(
            why.contains("DOCKER_HOST=unix:///run/user/7/docker.sock"),
            "{why}"
        );
    }
}
