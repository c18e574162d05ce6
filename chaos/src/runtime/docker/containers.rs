//! What our containers and our network look like.

use super::adopted::snapshot::BEFORE_LABEL;
use super::deadline::{IMAGE, bounded, bounded_by};
use super::subnet::Subnet;
use super::{engine, host, image};
use crate::runtime::liveness::Liveness;
use crate::runtime::marks::{Kind, RunMarks, RunnerId};
use crate::runtime::wanted::LEASE;
use crate::runtime::{Launch, agent, facilities};
use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig,
    Ipam, IpamConfig, Mount, MountType, MountVolumeOptions, NetworkConnectRequest,
    NetworkCreateRequest, NetworkingConfig,
};
use bollard::query_parameters::{
    CreateContainerOptions, ListNetworksOptions, StartContainerOptions,
};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Capabilities of an agent: to filter packets, and to send once more one that is to arrive twice.
const AGENT_RIGHTS: [&str; 2] = ["NET_ADMIN", "NET_RAW"];
/// Where a node's volume is mounted.
const DATA: &str = "/data";
/// Where its agent has it.
const NODE_DATA: &str = "/node";
/// Bounds of a node's log.
const LOG_FILES: u32 = 2;
const LOG_FILE_SIZE: &str = "10m";
/// Label that holds the container's own name: it alone can have it.
pub(super) const NAME_LABEL: &str = "gameday.container";
/// How the names of agents end.
pub(super) const AGENT: &str = "-agent";
/// How the names of those end that have taken an adopted container's power.
pub(super) const POWER: &str = "-power";
/// Label of those that holds the container's id.
pub(super) const TARGET_LABEL: &str = "gameday.power";
/// How long the bridge of a network may take to be there.
const BRIDGE: Duration = Duration::from_secs(3);
/// Most processes and threads in a container.
const PIDS: i64 = 2048;

/// Makes the containers of one run.
pub(super) struct Maker {
    pub docker: Docker,
    pub marks: RunMarks,
    pub image: String,
    pub network: String,
    /// Nothing more is made.
    pub closed: AtomicBool,
}

/// Which network namespace an agent is in.
#[derive(Clone, Copy)]
pub(super) enum Net<'a> {
    /// Its own, at this address of the run's network.
    At(Ipv4Addr),
    /// Its own, wherever the engine puts it.
    Own,
    /// That of a container that is not ours; what that was is written on the agent.
    Of {
        /// Its id.
        container: &'a str,
        /// What it was, as a label.
        before: &'a str,
    },
}

/// Name of a run's packet filter table, which the `nft` tool takes without quotes.
fn table_name(run: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("gameday_{}", run.chars().map(plain).collect::<String>())
}

/// Name of a run's network, and first part of all other names.
pub(super) fn base_name(marks: &RunMarks) -> String {
    format!("gameday-{}", marks.run)
}

/// Whether a container of this name is the one that was made with these marks, and not one of an
/// image that inherited them. `label` is its [`NAME_LABEL`], which older builds did not give.
pub(super) fn is_named(marks: &RunMarks, unit: &str, label: Option<&String>, name: &str) -> bool {
    match label {
        Some(label) => label == name,
        None => name == base_name(marks) || name.starts_with(&unit_name(marks, unit)),
    }
}

/// Name of a unit's node, and first part of the names of all its containers.
fn unit_name(marks: &RunMarks, unit: &str) -> String {
    format!("{}-{unit}", base_name(marks))
}

/// What a unit is told by its environment, and where its data are.
fn env(launch: &Launch) -> Vec<String> {
    let told = launch.env.iter().map(|(k, v)| format!("{k}={v}"));
    told.chain([format!("GAMEDAY_DATA={DATA}")]).collect()
}

fn text(e: bollard::errors::Error) -> String {
    e.to_string()
}

impl Maker {
    /// Makes and starts nothing any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn is_open(&self) -> Result<(), String> {
        match self.closed.load(Ordering::Relaxed) {
            true => Err("everything is being taken down".into()),
            false => Ok(()),
        }
    }

    /// Name of a unit's node, and first part of the names of all its containers.
    pub fn name(&self, unit: &str) -> String {
        unit_name(&self.marks, unit)
    }

    fn body(
        &self,
        unit: &str,
        args: &[String],
        env: Vec<String>,
        host: HostConfig,
    ) -> ContainerCreateBody {
        let mut env = env;
        env.push(image::env());
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec![image::PROGRAM.into()]),
            cmd: Some(args.to_vec()),
            env: Some(env),
            labels: Some(self.marks.labels(unit)),
            host_config: Some(host),
            ..Default::default()
        }
    }

    /// What all of them may do: as little as can be.
    pub fn host() -> HostConfig {
        HostConfig {
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges".into()]),
            readonly_rootfs: Some(true),
            pids_limit: Some(PIDS),
            // No shared memory: one mount less.
            ipc_mode: Some("none".into()),
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".into()),
                config: None,
            }),
            ..Default::default()
        }
    }

    /// In the network namespace that an agent holds, without a right in it.
    fn beside(agent: &str) -> HostConfig {
        HostConfig {
            network_mode: Some(format!("container:{agent}")),
            ..Self::host()
        }
    }

    /// Attached streams; the container's input ends with ours if `once`.
    fn attached(body: ContainerCreateBody, once: bool) -> ContainerCreateBody {
        ContainerCreateBody {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(once),
            ..body
        }
    }

    fn at(&self, body: ContainerCreateBody, ip: Ipv4Addr) -> ContainerCreateBody {
        let ipam = EndpointIpamConfig {
            ipv4_address: Some(ip.to_string()),
            ..Default::default()
        };
        let endpoint = EndpointSettings {
            ipam_config: Some(ipam),
            ..Default::default()
        };
        let endpoints = HashMap::from([(self.network.clone(), endpoint)]);
        ContainerCreateBody {
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(endpoints),
            }),
            ..body
        }
    }

    async fn create(&self, name: &str, mut body: ContainerCreateBody) -> Result<String, String> {
        self.is_open()?;
        let labels = body.labels.get_or_insert_default();
        labels.insert(NAME_LABEL.into(), name.into());
        let options = CreateContainerOptions {
            name: Some(name.into()),
            ..Default::default()
        };
        let made = self.docker.create_container(Some(options), body).await;
        made.map(|c| c.id)
            .map_err(|e| format!("container {name} cannot be made: {e}"))
    }

    /// Puts a container that was made into a further network.
    pub async fn connect(&self, id: &str, network: &str) -> Result<(), String> {
        let request = NetworkConnectRequest {
            container: id.into(),
            ..Default::default()
        };
        let connected = self.docker.connect_network(network, request).await;
        connected.map_err(|e| format!("network {network}: {e}"))
    }

    /// Starts a container that was made.
    pub async fn start(&self, id: &str) -> Result<(), String> {
        self.is_open()?;
        self.docker
            .start_container(id, None::<StartContainerOptions>)
            .await
            .map_err(text)
    }

    /// The node's volume, which the engine makes with the first container that mounts it. Made by
    /// itself, it could be removed and then be made once more with that container, without marks.
    fn mount(&self, unit: &str, target: &str) -> Vec<Mount> {
        let options = MountVolumeOptions {
            labels: Some(self.marks.labels(unit)),
            ..Default::default()
        };
        vec![Mount {
            target: Some(target.into()),
            source: Some(self.name(unit)),
            typ: Some(MountType::VOLUME),
            volume_options: Some(options),
            ..Default::default()
        }]
    }

    /// The agent's container, and for a node with its volume.
    pub async fn agent(&self, unit: &str, net: Net<'_>, node: bool) -> Result<String, String> {
        let config = agent::AgentConfig {
            table: table_name(&self.marks.run),
            lease_ms: LEASE.as_millis() as u64,
            folder: node.then(|| NODE_DATA.into()),
        };
        let config = serde_json::to_string(&config).map_err(|e| e.to_string())?;
        let network = match net {
            Net::At(_) | Net::Own => self.network.clone(),
            Net::Of { container, .. } => format!("container:{container}"),
        };
        let host = HostConfig {
            network_mode: Some(network),
            cap_add: Some(AGENT_RIGHTS.map(String::from).to_vec()),
            mounts: node.then(|| self.mount(unit, NODE_DATA)),
            ..Self::host()
        };
        let args = ["internal", "agent"].map(String::from);
        let body = self.body(
            unit,
            &args,
            vec![format!("{}={config}", agent::CONFIG_VAR)],
            host,
        );
        let mut body = Self::attached(body, false);
        match net {
            Net::At(ip) => {
                body.hostname = Some(unit.into());
                body = self.at(body, ip);
            }
            Net::Own => body.hostname = Some(unit.into()),
            // Its name is that of the other one, too.
            Net::Of { before, .. } => {
                let labels = body.labels.get_or_insert_default();
                labels.insert(BEFORE_LABEL.into(), before.into());
            }
        }
        self.create(&format!("{}{AGENT}", self.name(unit)), body)
            .await
    }

    /// Makes containers for what belongs to no run, but to this process; their network is none.
    pub async fn alone(docker: &Docker, what: &str) -> Result<Self, String> {
        let image = bounded_by(IMAGE, "image", image::ensure(docker)).await;
        let runner = RunnerId::current()?;
        let run = format!("{what}-{}-{}", runner.pid, runner.start_ticks);
        // There is no run folder; what revert would look for in it is then not there.
        let folder = std::env::temp_dir().join(format!("gameday-{run}"));
        Ok(Maker {
            marks: RunMarks::new(&run, Kind::Run, folder)?,
            image: image.map_err(|e| e.0)?,
            // A loopback interface and nothing else.
            network: "none".into(),
            closed: AtomicBool::new(false),
            docker: docker.clone(),
        })
    }

    /// A container with an agent's rights that tries what can be done with them. The engine
    /// removes it when it ends, whether or not we still live.
    pub async fn prober(&self) -> Result<String, String> {
        let host = HostConfig {
            network_mode: Some(self.network.clone()),
            cap_add: Some(AGENT_RIGHTS.map(String::from).to_vec()),
            auto_remove: Some(true),
            ..Self::host()
        };
        let env = format!("{}={}", facilities::CONFIG_VAR, facilities::HERE);
        let name = base_name(&self.marks);
        self.short_lived(&name, "probe", env, host, HashMap::new())
            .await
    }

    /// A container with a single task of ours, by the name of its program.
    pub async fn short_lived(
        &self,
        name: &str,
        program: &str,
        env: String,
        host: HostConfig,
        labels: HashMap<String, String>,
    ) -> Result<String, String> {
        let args = ["internal", program].map(String::from);
        let mut body = Self::attached(self.body(program, &args, vec![env], host), true);
        body.labels.get_or_insert_default().extend(labels);
        self.create(name, body).await
    }

    /// The node's container in the agent's network namespace, with its volume.
    pub async fn node(&self, launch: &Launch, agent: &str) -> Result<String, String> {
        let name = self.name(&launch.unit);
        self.node_of(launch, agent, &self.image, &name).await
    }

    /// A further container of the node, on the same volume, from another image.
    pub async fn other_node(
        &self,
        launch: &Launch,
        agent: &str,
        image: &str,
        number: usize,
    ) -> Result<String, String> {
        let name = format!("{}-{number}", self.name(&launch.unit));
        self.node_of(launch, agent, image, &name).await
    }

    async fn node_of(
        &self,
        launch: &Launch,
        agent: &str,
        image: &str,
        name: &str,
    ) -> Result<String, String> {
        let log = HashMap::from([
            ("max-size".to_string(), LOG_FILE_SIZE.to_string()),
            ("max-file".to_string(), LOG_FILES.to_string()),
        ]);
        let host = HostConfig {
            mounts: Some(self.mount(&launch.unit, DATA)),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".into()),
                config: Some(log),
            }),
            ..Self::beside(agent)
        };
        let body = ContainerCreateBody {
            image: Some(image.into()),
            ..self.body(&launch.unit, &launch.args, env(launch), host)
        };
        self.create(name, body).await
    }

    /// An instrument's container in the agent's network namespace.
    pub async fn instrument(&self, launch: &Launch, agent: &str) -> Result<String, String> {
        let host = HostConfig {
            tmpfs: Some(HashMap::from([(DATA.to_string(), "size=64m".to_string())])),
            ..Self::beside(agent)
        };
        let body = self.body(&launch.unit, &launch.args, env(launch), host);
        self.create(&self.name(&launch.unit), Self::attached(body, true))
            .await
    }
}

/// Makes the run's network; its name.
pub(super) async fn network(
    docker: &Docker,
    marks: &RunMarks,
    subnet: Subnet,
) -> Result<String, String> {
    let name = base_name(marks);
    if let Some(holder) = holder(docker, subnet).await? {
        return Err(holder);
    }
    let ipam = IpamConfig {
        subnet: Some(subnet.to_string()),
        gateway: Some(subnet.gateway().to_string()),
        ..Default::default()
    };
    if let Some(held) = host::holder(subnet) {
        return Err(taken_here(subnet, held));
    }
    let masquerade = "com.docker.network.bridge.enable_ip_masquerade";
    let request = NetworkCreateRequest {
        name: name.clone(),
        driver: Some("bridge".into()),
        ipam: Some(Ipam {
            config: Some(vec![ipam]),
            ..Default::default()
        }),
        options: Some(HashMap::from([(
            masquerade.to_string(),
            "false".to_string(),
        )])),
        labels: Some(marks.labels("")),
        ..Default::default()
    };
    match docker.create_network(request).await {
        Ok(_) => match reachable(subnet.gateway()).await {
            Ok(()) => Ok(name),
            Err(why) => {
                let removed = docker.remove_network(&name).await;
                let left = removed.err().map(|e| format!("; the network is left: {e}"));
                Err(why + &left.unwrap_or_default())
            }
        },
        // Another run may have been quicker, or the host itself uses these addresses.
        Err(e) => Err(match holder(docker, subnet).await? {
            Some(holder) => holder,
            None => format!(
                "Docker cannot make a network {subnet}: {e}. Choose another one with --subnet"
            ),
        }),
    }
}

/// Whether this host reaches the containers of a network that was just made, whose bridge has
/// this address: by it the cluster is spoken with.
async fn reachable(gateway: Ipv4Addr) -> Result<(), String> {
    let appears = async {
        while !host::has_address(gateway)? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    let never = |_| {
        Err(format!(
            "the engine made a network whose bridge is not on this host ({gateway} is no address \
             of it): gameday runs in a container, or the engine in a virtual machine or without \
             root; what helps: to run gameday where the engine is (a container with --network \
             host), or --runtime process"
        ))
    };
    let appeared = tokio::time::timeout(BRIDGE, appears).await;
    appeared.unwrap_or_else(never)
}

/// Whether a run can have this network here, as far as it can be known before it is made.
///
/// # Errors
/// Who holds addresses of it, and what to do about it.
pub async fn subnet_is_free(text: &str) -> Result<(), String> {
    let subnet = Subnet::for_run(text)?;
    let (docker, _) = engine::connect().await?;
    let held = bounded("networks", holder(&docker, subnet)).await;
    match held.map_err(|e| e.0)? {
        Some(held) => Err(held),
        None => match host::holder(subnet) {
            Some(held) => Err(taken_here(subnet, held)),
            None => Ok(()),
        },
    }
}

fn taken_here(subnet: Subnet, (interface, taken): (String, Subnet)) -> String {
    format!(
        "the network {subnet} is taken on this host: its interface {interface} leads to {taken}; \
         choose another one with --subnet"
    )
}

/// Who holds addresses of the subnet, and what to do about it.
async fn holder(docker: &Docker, subnet: Subnet) -> Result<Option<String>, String> {
    let networks = docker
        .list_networks(None::<ListNetworksOptions>)
        .await
        .map_err(text)?;
    for network in networks {
        let configs = network.ipam.and_then(|i| i.config).unwrap_or_default();
        let taken = configs
            .iter()
            .filter_map(|c| c.subnet.as_deref()?.parse::<Subnet>().ok())
            .find(|other| other.overlaps(subnet));
        let Some(taken) = taken else {
            continue;
        };
        let name = network.name.unwrap_or_default();
        let marks = network.labels.as_ref().and_then(RunMarks::from_labels);
        let advice = match marks {
            Some((m, _)) if m.kind == Kind::Cluster => {
                format!(
                    "cluster {0} holds it: `gameday cluster down {0}` frees it",
                    m.run
                )
            }
            Some((m, _)) => match m.liveness() {
                Liveness::Alive => format!("run {} holds it and is still going on", m.run),
                Liveness::Dead => format!(
                    "the dead run {0} left it: `gameday revert {0}` frees it",
                    m.run
                ),
                Liveness::Unknown(why) => m.unknown(&why),
            },
            None => "it is not one of ours".to_string(),
        };
        return Ok(Some(format!(
            "the network {subnet} is taken by Docker network {name} ({taken}): {advice}, or choose \
             another one with --subnet"
        )));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_inherited_our_labels_has_another_name() {
        let marks = RunMarks::new("r1", Kind::Run, "/nowhere").unwrap();
        let label = "gameday-r1-storage-a1-agent".to_string();
        for (label, name, ours) in [
            (Some(&label), "gameday-r1-storage-a1-agent", true),
            (Some(&label), "wonderful_curie", false),
            (Some(&label), "gameday-r1-storage-a1", false),
            // As older builds made them.
            (None, "gameday-r1-storage-a1-agent", true),
            (None, "gameday-r1-storage-a1", true),
            (None, "gameday-r1", true),
            (None, "wonderful_curie", false),
            (None, "my-gameday-r1-storage-a1", false),
        ] {
            let said = is_named(&marks, "storage-a1", label, name);
            assert_eq!(said, ours, "{label:?} {name}");
        }
    }
}
