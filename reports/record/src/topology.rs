//! Which nodes there are, and where.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The nodes of one run, grouped by AZ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// AZ names, in order (`a`, `b`, `c`).
    pub azs: Vec<String>,
    /// Every node that a fault may target. Canaries are instruments, not nodes.
    pub nodes: Vec<Node>,
    /// The rack that each node stands in, by node name; a rack is within one AZ.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub racks: BTreeMap<String, String>,
    /// Names of the nodes that carry a label, by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Vec<String>>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Unique in the run, for example `storage-a1` or `router-b`.
    pub name: String,
    /// The AZ it stands in.
    pub az: String,
    /// What it does, in the store's own words (`storage`, `router`).
    pub role: String,
}

impl Topology {
    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == name)
    }

    /// The nodes of one AZ.
    pub fn in_az<'a>(&'a self, az: &'a str) -> impl Iterator<Item = &'a Node> + 'a {
        self.nodes.iter().filter(move |n| n.az == az)
    }
}
