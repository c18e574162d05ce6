//! Who holds replicas, whom clients call, and how many of a quorum may be missed.

use gameday_record::{Node, Topology};
use std::collections::BTreeSet;

/// Role of the nodes that hold replicas, one replica of a partition per AZ:
/// the nodes whose loss can cost a quorum.
pub const REPLICA_ROLE: &str = "storage";
/// Role of the nodes that clients call: the endpoint of their AZ.
pub const ENDPOINT_ROLE: &str = "router";

/// The nodes that hold replicas. Where no role is declared to, any node may: what is not known to
/// be harmless counts.
pub(crate) fn replica_holders(topology: &Topology) -> impl Iterator<Item = &Node> {
    of_role(topology, REPLICA_ROLE)
}

/// The nodes that clients call; any, where no role is declared to be called.
pub(crate) fn endpoints(topology: &Topology) -> impl Iterator<Item = &Node> {
    of_role(topology, ENDPOINT_ROLE)
}

fn of_role<'t>(topology: &'t Topology, role: &'static str) -> impl Iterator<Item = &'t Node> {
    let declared = topology.nodes.iter().any(|n| n.role == role);
    let nodes = topology.nodes.iter();
    nodes.filter(move |n| !declared || n.role == role)
}

/// One replication group as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// For example `canary/0`.
    pub name: String,
    /// The node that leads it, if one is known.
    pub leader: Option<String>,
    /// The nodes that hold its replicas.
    pub members: Vec<String>,
}

/// How many AZs of `total` may lose their replicas while a majority remains.
pub(crate) fn minority(total: usize) -> usize {
    total.saturating_sub(1) / 2
}

/// AZs of the replica holders among the nodes to `keep`.
pub(crate) fn replica_azs(topology: &Topology, keep: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    let kept = replica_holders(topology).filter(|n| keep(&n.name));
    kept.map(|n| n.az.as_str()).collect()
}

/// The AZs of these nodes.
pub(crate) fn azs<'t>(nodes: &[String], topology: &'t Topology) -> BTreeSet<&'t str> {
    nodes
        .iter()
        .filter_map(|n| topology.node(n))
        .map(|n| n.az.as_str())
        .collect()
}
