//! Replication groups, and how much of a quorum may be missed.

use gameday_record::Topology;
use std::collections::BTreeSet;

/// One replication group as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// For example `canary/0`.
    pub name: String,
    /// The node that leads it, if one is known.
    pub leader: Option<String>,
    /// Of that leadership, if the system counts them: a later one has a greater number.
    pub term: Option<u64>,
    /// The nodes that hold its replicas.
    pub members: Vec<String>,
}

/// How many AZs of `total` may lose their replicas while a majority remains.
pub(crate) fn minority(total: usize) -> usize {
    total.saturating_sub(1) / 2
}

/// AZs of the replica holders among the nodes to `keep`.
pub(crate) fn replica_azs(topology: &Topology, keep: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    let kept = topology.replica_holders().filter(|n| keep(&n.name));
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
