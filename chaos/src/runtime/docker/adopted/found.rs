//! What the engine says of one container, as far as it matters to whoever wants
//! to adopt it.

use bollard::models::{
    ContainerInspectResponse, ContainerState, EndpointSettings, HostConfig, MountPoint,
    RestartPolicy,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Label of the Compose project that a container belongs to.
pub const PROJECT_LABEL: &str = "com.docker.compose.project";
/// Label of its service there.
pub const SERVICE_LABEL: &str = "com.docker.compose.service";
/// Label of its number in that service, from 1.
pub const NUMBER_LABEL: &str = "com.docker.compose.container-number";

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its full id.
    pub id: String,
    /// Its name, without the slash in front.
    pub name: String,
    /// The image that it was made from, as it was named.
    pub image: String,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// What it is doing.
    pub standing: Standing,
    /// What the engine does when it ends.
    pub policy: Policy,
    /// Whether the engine removes it when it ends (`--rm`).
    pub goes_when_it_ends: bool,
    /// Where its network is.
    pub network: Network,
    /// The networks that it is in, by name.
    pub networks: BTreeMap<String, Attachment>,
    /// Its bounds.
    pub bounds: Bounds,
    /// What is mounted in it.
    pub mounts: Vec<Mounted>,
    /// Whether its image or its owner says how its health is found out.
    pub tells_its_health: bool,
    /// Process id of its first process on the engine's host; 0 if it does not run.
    pub pid: i64,
    /// When it was started, as the engine writes it.
    pub started_at: String,
    /// How often its restart policy has started it.
    pub restarts: i64,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Runs,
    /// It is frozen.
    Paused,
    /// It has ended, and its restart policy is about to start it.
    Restarting,
    /// It does not run.
    Ended,
}

impl Standing {
    /// As the engine says it. Between two tries of a restart policy it says "running" as well.
    pub fn of(state: &ContainerState) -> Self {
        let is = |flag: Option<bool>| flag == Some(true);
        match () {
            () if is(state.restarting) => Standing::Restarting,
            () if is(state.paused) => Standing::Paused,
            () if is(state.running) => Standing::Runs,
            () => Standing::Ended,
        }
    }
}

/// A restart policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `no`, `always`, `unless-stopped` or `on-failure`; empty is `no`.
    pub name: String,
    /// Most tries of `on-failure`; 0 is as many as it takes.
    pub tries: i64,
}

/// Whose network namespace a container is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// One of its own, in the networks that are listed.
    Own,
    /// The host's.
    Host,
    /// One of its own, with nothing but loopback.
    None,
    /// That of another container, by id or name.
    Of(String),
}

impl Network {
    fn of(mode: &str) -> Self {
        match mode.split_once(':') {
            Some(("container", other)) => Network::Of(other.into()),
            _ if mode == "host" => Network::Host,
            _ if mode == "none" => Network::None,
            _ => Network::Own,
        }
    }
}

/// A container's place in one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network's id.
    pub network: String,
    /// Its address there, while it runs.
    pub ipv4: Option<Ipv4Addr>,
    /// The same.
    pub ipv6: Option<Ipv6Addr>,
    /// Further names that it has there.
    pub aliases: Vec<String>,
}

impl Attachment {
    fn of(settings: &EndpointSettings) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Attachment {
            network: text(&settings.network_id),
            ipv4: text(&settings.ip_address).parse().ok(),
            ipv6: text(&settings.global_ipv6_address).parse().ok(),
            aliases: settings.aliases.clone().unwrap_or_default(),
        }
    }

    /// Its addresses there.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4.map(IpAddr::V4).into_iter();
        ipv4.chain(self.ipv6.map(IpAddr::V6))
    }
}

/// Bounds on processor and memory, each as it is configured; 0 where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Billionths of one processor (`--cpus`); excludes period and quota.
    pub nano_cpus: i64,
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds of each period; below 0 is none.
    pub cpu_quota: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes, memory included; below 0 is as much as there is.
    pub memory_swap: i64,
}

impl Bounds {
    fn of(host: &HostConfig) -> Self {
        Bounds {
            nano_cpus: host.nano_cpus.unwrap_or(0),
            cpu_period: host.cpu_period.unwrap_or(0),
            cpu_quota: host.cpu_quota.unwrap_or(0),
            memory: host.memory.unwrap_or(0),
            memory_swap: host.memory_swap.unwrap_or(0),
        }
    }
}

/// Something that is mounted in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// Where.
    pub at: String,
    /// Name of the volume, if it is one.
    pub volume: Option<String>,
    /// Whether it may be written to.
    pub writable: bool,
}

impl Mounted {
    fn of(mount: MountPoint) -> Self {
        let named = |name: &String| !name.is_empty();
        Mounted {
            at: mount.destination.unwrap_or_default(),
            volume: mount.name.filter(named),
            writable: mount.rw == Some(true),
        }
    }
}

impl Policy {
    fn of(policy: &RestartPolicy) -> Self {
        Policy {
            name: policy.name.map(|n| n.to_string()).unwrap_or_default(),
            tries: policy.maximum_retry_count.unwrap_or(0),
        }
    }
}

impl Found {
    /// Reads an answer of the engine.
    ///
    /// # Errors
    /// It says less than it has to.
    pub fn read(said: ContainerInspectResponse) -> Result<Self, String> {
        let less = |what: &str| format!("the engine does not say {what} of a container");
        let id = said.id.ok_or_else(|| less("the id"))?;
        let name = said.name.ok_or_else(|| less("the name"))?;
        let state = said.state.ok_or_else(|| less("the state"))?;
        let host = said.host_config.ok_or_else(|| less("the configuration"))?;
        let config = said.config.unwrap_or_default();
        let networks = said.network_settings.and_then(|n| n.networks);
        // `NONE` is what switches off the check of an image.
        let check = config.healthcheck.and_then(|h| h.test).unwrap_or_default();
        let checks = check.first().is_some_and(|first| first != "NONE");
        Ok(Found {
            id,
            name: name.trim_start_matches('/').into(),
            image: config.image.unwrap_or_default(),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            standing: Standing::of(&state),
            policy: host
                .restart_policy
                .as_ref()
                .map_or_else(Policy::default, Policy::of),
            goes_when_it_ends: host.auto_remove == Some(true),
            network: Network::of(host.network_mode.as_deref().unwrap_or_default()),
            networks: networks
                .unwrap_or_default()
                .iter()
                .map(|(name, settings)| (name.clone(), Attachment::of(settings)))
                .collect(),
            bounds: Bounds::of(&host),
            mounts: said
                .mounts
                .unwrap_or_default()
                .into_iter()
                .map(Mounted::of)
                .collect(),
            tells_its_health: checks,
            pid: state.pid.unwrap_or(0),
            started_at: state.started_at.unwrap_or_default(),
            restarts: said.restart_count.unwrap_or(0),
        })
    }

    /// What a label says.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// Whether it has this label, which is `NAME` or `NAME=VALUE`.
    pub fn is_labelled(&self, label: &str) -> bool {
        match label.split_once('=') {
            Some((name, value)) => self.label(name) == Some(value),
            None => self.labels.contains_key(label),
        }
    }

    /// The Compose project that it belongs to.
    pub fn project(&self) -> Option<&str> {
        self.label(PROJECT_LABEL)
    }

    /// Its service there.
    pub fn service(&self) -> Option<&str> {
        self.label(SERVICE_LABEL)
    }

    /// Whether it is called so: by name, id, or the first twelve digits of that.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.id == name || (name.len() >= 12 && self.id.starts_with(name))
    }

    /// All its addresses, each with the name of its network.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        let all = self.networks.iter();
        all.flat_map(|(name, at)| at.addresses().map(move |ip| (name.as_str(), ip)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::adopted::examples;

    #[test]
    fn what_an_engine_says_is_read() {
        let found = Found::read(examples::said()).unwrap();
        assert_eq!(found.name, "shop-db-1");
        assert_eq!(found.project(), Some("shop"));
        assert_eq!(found.service(), Some("db"));
        assert_eq!(found.standing, Standing::Runs);
        assert_eq!(found.policy.name, "unless-stopped");
        assert_eq!(found.network, Network::Own);
        let addresses: Vec<_> = found
            .addresses()
            .map(|(n, ip)| format!("{n} {ip}"))
            .collect();
        let expected = [
            "shop_back 172.20.0.3",
            "shop_back fd00::3",
            "shop_front 172.21.0.3",
        ];
        assert_eq!(addresses, expected);
        assert_eq!(found.bounds.nano_cpus, 500_000_000);
        assert_eq!(found.mounts[0].volume.as_deref(), Some("shop_data"));
        assert!(found.mounts[0].writable && found.tells_its_health);
        assert!(found.is_called("shop-db-1") && found.is_called(&"ab".repeat(6)));
        assert!(!found.is_called("shop-db") && !found.is_called("ab"));
        assert!(found.is_labelled("com.docker.compose.service=db"));
        assert!(found.is_labelled("com.docker.compose.service"));
        assert!(!found.is_labelled("com.docker.compose.service=web"));
        assert!(Found::read(ContainerInspectResponse::default()).is_err());
    }

    #[test]
    fn a_container_between_two_tries_of_its_policy_does_not_run() {
        let state = |running, paused, restarting| ContainerState {
            running: Some(running),
            paused: Some(paused),
            restarting: Some(restarting),
            ..ContainerState::default()
        };
        for (state, expected) in [
            (state(true, false, false), Standing::Runs),
            (state(true, true, false), Standing::Paused),
            (state(true, false, true), Standing::Restarting),
            (state(false, false, false), Standing::Ended),
        ] {
            assert_eq!(Standing::of(&state), expected);
        }
    }

    #[test]
    fn whose_network_it_is_is_in_the_mode() {
        for (mode, expected) in [
            ("shop_back", Network::Own),
            ("bridge", Network::Own),
            ("default", Network::Own),
            ("host", Network::Host),
            ("none", Network::None),
            ("container:abc", Network::Of("abc".into())),
        ] {
            assert_eq!(Network::of(mode), expected);
        }
    }
}
