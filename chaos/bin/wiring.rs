//! Which units a run has, and what each is told. Data in, data out.

use gameday_canary::config::{Attributes, CanaryConfig, Endpoint};
/// The first of the tables that the canaries use.
pub use gameday_chaos::playbook::TABLE;
use gameday_chaos::runtime::{Launch, Runtime, UnitSpec};
use gameday_cluster::config::{
    Bug, DiskMode, NodeConfig, PeerConfig, Peers, Remember, RouterConfig, StorageConfig,
};
use gameday_record::{ClusterSpec, Node, RunClock, Topology, WorkloadSpec};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Writes that each replica remembers, to tell afterwards what became of them.
const REMEMBERED: usize = 50_000;

/// Port of the node-to-node RPC.
const PEER: u16 = 7000;
/// Port of the admin endpoint.
const ADMIN: u16 = 7100;
/// Port of the DynamoDB API.
const PUBLIC: u16 = 8000;

/// Role of the nodes that hold replicas.
pub const STORAGE: &str = "storage";
/// Role of the nodes that hold none and serve clients.
pub const ROUTER: &str = "router";
/// Role of the instruments.
pub const CANARY: &str = "canary";

/// Names of the AZs: `a`, `b`, `c` …
fn azs(spec: &ClusterSpec) -> Vec<String> {
    (0..spec.azs.min(26) as u8)
        .map(|i| char::from(b'a' + i).to_string())
        .collect()
}

/// The nodes of a cluster: storage nodes `storage-a1 …`, then a router per AZ;
/// each AZ's nodes spread over its racks `rack-a1 …` in turn.
pub fn topology(spec: &ClusterSpec) -> Topology {
    let azs = azs(spec);
    let mut nodes = Vec::new();
    for az in &azs {
        for n in 1..=spec.storage_nodes_per_az {
            nodes.push(Node {
                name: format!("storage-{az}{n}"),
                az: az.clone(),
                role: STORAGE.into(),
            });
        }
        nodes.push(Node {
            name: format!("router-{az}"),
            az: az.clone(),
            role: ROUTER.into(),
        });
    }
    let mut racks = BTreeMap::new();
    for az in &azs {
        let of_az = nodes.iter().filter(|n| n.az == *az);
        for (i, node) in of_az.enumerate() {
            let rack = i % spec.racks_per_az.max(1) as usize + 1;
            racks.insert(node.name.clone(), format!("rack-{az}{rack}"));
        }
    }
    Topology {
        azs,
        nodes,
        racks,
        labels: spec.labels.clone(),
    }
}

/// What the runtime must make room for: every node, and a canary per AZ if `canaries`.
pub fn units(topology: &Topology, canaries: bool) -> Vec<UnitSpec> {
    let mut units: Vec<UnitSpec> = topology
        .nodes
        .iter()
        .map(|n| {
            let own = if n.role == ROUTER {
                ("public", PUBLIC)
            } else {
                ("peer", PEER)
            };
            UnitSpec {
                name: n.name.clone(),
                az: n.az.clone(),
                role: n.role.clone(),
                node: true,
                ports: [own, ("admin", ADMIN)]
                    .map(|(name, port)| (name.to_string(), port))
                    .to_vec(),
            }
        })
        .collect();
    if canaries {
        units.extend(topology.azs.iter().map(|az| UnitSpec {
            name: canary_name(az),
            az: az.clone(),
            role: CANARY.into(),
            node: false,
            ports: Vec::new(),
        }));
    }
    units
}

/// Name of an AZ's canary.
pub fn canary_name(az: &str) -> String {
    format!("canary-{az}")
}

/// Name of an AZ's router.
pub fn router_name(az: &str) -> String {
    format!("router-{az}")
}

/// How every node is started: the same binary, told by one JSON document.
///
/// # Errors
/// The runtime does not know a unit's address.
pub fn node_launches(
    runtime: &dyn Runtime,
    topology: &Topology,
    spec: &ClusterSpec,
    seed: u64,
    bug: Option<Bug>,
) -> Result<Vec<Launch>, String> {
    let bind = |unit: &str, port: &str| {
        runtime
            .bind_addr(unit, port)
            .ok_or_else(|| format!("{unit} has no address for {port}"))
    };
    topology
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let peers = peers(runtime, topology, &node.name)?;
            let admin_bind = bind(&node.name, "admin")?;
            let config = match node.role.as_str() {
                STORAGE => serde_json::to_value(NodeConfig::Storage(storage(
                    node,
                    bind(&node.name, "peer")?,
                    admin_bind,
                    peers,
                    // Nodes tear their writes differently, and the same way again with the same seed.
                    seed.wrapping_mul(1000).wrapping_add(index as u64),
                    bug,
                ))),
                _ => serde_json::to_value(NodeConfig::Router(router(
                    node,
                    bind(&node.name, "public")?,
                    admin_bind,
                    peers,
                    spec.partitions,
                ))),
            }
            .map_err(|e| e.to_string())?;
            Ok(Launch {
                unit: node.name.clone(),
                args: vec!["internal".into(), "node".into()],
                env: vec![("GAMEDAY_NODE".into(), config.to_string())],
            })
        })
        .collect()
}

/// How every AZ's canary is started: it calls every AZ's endpoint.
///
/// # Errors
/// The runtime does not know a way from a canary to a router.
pub fn canary_launches(
    runtime: &dyn Runtime,
    topology: &Topology,
    workload: &WorkloadSpec,
    seed: u64,
    clock: RunClock,
) -> Result<Vec<Launch>, String> {
    let mut launches = Vec::new();
    for (index, az) in (0..).zip(&topology.azs) {
        let unit = canary_name(az);
        let endpoints = topology.azs.iter().map(|to| {
            let router = router_name(to);
            let addr = runtime
                .reach_addr(&unit, &router, "public")
                .ok_or_else(|| format!("{unit} has no way to {router}"))?;
            Ok(Endpoint::plain(to, addr))
        });
        let config = CanaryConfig {
            az: az.clone(),
            index,
            clock,
            seed,
            endpoints: endpoints.collect::<Result<_, String>>()?,
            service: Default::default(),
            table: TABLE.into(),
            attributes: Default::default(),
            workload: workload.clone(),
            alone: false,
        };
        let json = serde_json::to_string(&config).map_err(|e| e.to_string())?;
        launches.push(Launch {
            unit,
            args: vec!["internal".into(), "canary".into()],
            env: vec![("GAMEDAY_CANARY".into(), json)],
        });
    }
    Ok(launches)
}

/// Nodes that hold replicas.
pub fn storage_nodes(topology: &Topology) -> impl Iterator<Item = &Node> {
    topology.nodes.iter().filter(|n| n.role == STORAGE)
}

fn storage(
    node: &Node,
    peer_bind: SocketAddr,
    admin_bind: SocketAddr,
    peers: Peers,
    seed: u64,
    bug: Option<Bug>,
) -> StorageConfig {
    StorageConfig {
        name: node.name.clone(),
        peer_bind,
        admin_bind,
        peers,
        // The runtime says where at launch, in GAMEDAY_DATA.
        data: PathBuf::new(),
        disk: DiskMode::Volatile { seed },
        conditions: true,
        timing: Default::default(),
        checkpoint: Default::default(),
        remember: Some(Remember {
            attribute: Attributes::default().value,
            writes: REMEMBERED,
        }),
        bug,
    }
}

fn router(
    node: &Node,
    public_bind: SocketAddr,
    admin_bind: SocketAddr,
    peers: Peers,
    partitions: u32,
) -> RouterConfig {
    RouterConfig {
        name: node.name.clone(),
        az: node.az.clone(),
        public_bind,
        admin_bind,
        peers,
        partitions,
        deadline_ms: 1500,
        write_hop_ms: 1000,
        read_hop_ms: 500,
    }
}

/// The storage nodes as `from` dials them; the first of each AZ holds the metadata.
fn peers(runtime: &dyn Runtime, topology: &Topology, from: &str) -> Result<Peers, String> {
    let mut peers = Peers::new();
    for (i, node) in storage_nodes(topology).enumerate() {
        let addr = if node.name == from {
            runtime.bind_addr(from, "peer")
        } else {
            runtime.reach_addr(from, &node.name, "peer")
        };
        let addr = addr.ok_or_else(|| format!("{from} has no way to {}", node.name))?;
        let meta = !peers.values().any(|p: &PeerConfig| p.az == node.az);
        peers.insert(
            node.name.clone(),
            PeerConfig {
                az: node.az.clone(),
                id: i as u64 + 1,
                addr,
                meta,
            },
        );
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_az_has_its_nodes_its_router_and_its_canary() {
        let topology = topology(&ClusterSpec::default());
        let units = units(&topology, true);
        let names: Vec<_> = units.iter().map(|u| u.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "storage-a1",
                "storage-a2",
                "router-a",
                "storage-b1",
                "storage-b2",
                "router-b",
                "storage-c1",
                "storage-c2",
                "router-c",
                "canary-a",
                "canary-b",
                "canary-c"
            ]
        );
        assert!(units.iter().all(|u| u.node == (u.role != CANARY)));
    }
}
