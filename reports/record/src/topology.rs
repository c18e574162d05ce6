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
    /// What nodes of a role are for, by role. Where no node has a role that is said to hold replicas, any node may:
    /// what is not known to be harmless counts. The same of who is called.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
}

/// What nodes of a role are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// They hold replicas, one of each group per AZ: their loss can cost a quorum.
    pub replicas: bool,
    /// Clients call them.
    pub endpoint: bool,
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

    /// The nodes that hold replicas; all, where none has a role that is declared to.
    pub fn replica_holders(&self) -> impl Iterator<Item = &Node> {
        self.of_roles(|role| role.replicas)
    }

    /// The nodes that clients call; all, where none has a role that is declared to be called.
    pub fn endpoints(&self) -> impl Iterator<Item = &Node> {
        self.of_roles(|role| role.endpoint)
    }

    /// Names of the roles whose nodes hold replicas; none if that is not declared.
    pub fn replica_roles(&self) -> Vec<&str> {
        self.roles_that(|role| role.replicas)
    }

    /// Names of the roles whose nodes clients call; none if that is not declared.
    pub fn endpoint_roles(&self) -> Vec<&str> {
        self.roles_that(|role| role.endpoint)
    }

    fn of_roles(&self, is: fn(&Role) -> bool) -> impl Iterator<Item = &Node> {
        let meant = self.roles_that(is);
        let has = move |n: &&Node| meant.contains(&n.role.as_str());
        let any = self.nodes.iter().any(|n| has(&n));
        self.nodes.iter().filter(move |n| !any || has(n))
    }

    fn roles_that(&self, is: fn(&Role) -> bool) -> Vec<&str> {
        let meant = self.roles.iter().filter(|(_, role)| is(role));
        meant.map(|(name, _)| name.as_str()).collect()
    }

    /// The nodes of one AZ.
    pub fn in_az<'a>(&'a self, az: &'a str) -> impl Iterator<Item = &'a Node> + 'a {
        self.nodes.iter().filter(move |n| n.az == az)
    }
}
