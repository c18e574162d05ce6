//! Which units a run has, and what each is told. Data in, data out.

use gameday_chaos::runtime::UnitSpec;
use gameday_record::{ClusterSpec, Node, Topology};

/// The table that the canaries use.
pub const TABLE: &str = "canary";

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
    (0..spec.azs.min(26) as u8).map(|i| char::from(b'a' + i).to_string()).collect()
}

/// The nodes of a cluster: storage nodes `storage-a1 …`, then a router per AZ.
pub fn topology(spec: &ClusterSpec) -> Topology {
    let azs = azs(spec);
    let mut nodes = Vec::new();
    for az in &azs {
        for n in 1..=spec.storage_nodes_per_az {
            nodes.push(Node { name: format!("storage-{az}{n}"), az: az.clone(), role: STORAGE.into() });
        }
        nodes.push(Node { name: format!("router-{az}"), az: az.clone(), role: ROUTER.into() });
    }
    Topology { azs, nodes }
}

/// What the runtime must make room for: every node, and a canary per AZ if `canaries`.
pub fn units(topology: &Topology, canaries: bool) -> Vec<UnitSpec> {
    let mut units: Vec<UnitSpec> = topology
        .nodes
        .iter()
        .map(|n| {
            let own = if n.role == ROUTER { ("public", PUBLIC) } else { ("peer", PEER) };
            UnitSpec {
                name: n.name.clone(),
                az: n.az.clone(),
                role: n.role.clone(),
                node: true,
                ports: [own, ("admin", ADMIN)].map(|(name, port)| (name.to_string(), port)).to_vec(),
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

/// Nodes that hold replicas.
pub fn storage_nodes(topology: &Topology) -> impl Iterator<Item = &Node> {
    topology.nodes.iter().filter(|n| n.role == STORAGE)
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
                "storage-a1", "storage-a2", "router-a", "storage-b1", "storage-b2", "router-b",
                "storage-c1", "storage-c2", "router-c", "canary-a", "canary-b", "canary-c"
            ]
        );
        assert!(units.iter().all(|u| u.node == (u.role != CANARY)));
    }
}
