//! How a playbook names a target.

use super::fields::{Fields, Mistakes, Value, clip, text, whole, wrong_type};
use gameday_record::ClusterSpec;
use std::fmt;
use toml::de::DeValue;

/// Names a target; resolved when planning, a leader only when injecting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// One node by name.
    Node(String),
    /// Every node of one AZ.
    Az(String),
    /// Whoever leads this replication group at the moment of injection.
    Leader(String),
    /// Every node of a role.
    All(String),
    /// Some nodes, chosen by the seed.
    Random {
        /// How many.
        count: u32,
        /// Among the nodes of this role, else among all.
        role: Option<String>,
    },
}

const KINDS: &[&str] = &["node", "az", "leader", "all", "random"];

/// As it reads in plans, timelines and reports.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Node(n) => write!(f, "node {n}"),
            Selector::Az(az) => write!(f, "az {az}"),
            Selector::Leader(group) => write!(f, "leader of {group}"),
            Selector::All(role) => write!(f, "all {role}"),
            Selector::Random { count, role: None } => write!(f, "random {count}"),
            Selector::Random {
                count,
                role: Some(role),
            } => write!(f, "random {count} {role}"),
        }
    }
}

/// Reads `target = { … }`; `None` only if a mistake was recorded.
pub(super) fn read(
    value: &Value<'_>,
    cluster: &ClusterSpec,
    m: &mut Mistakes<'_>,
) -> Option<Selector> {
    let DeValue::Table(table) = value.get_ref() else {
        return wrong_type(
            "target",
            "a table such as { az = \"b\" }",
            value.get_ref(),
            value.span(),
            m,
        );
    };
    let known = ["node", "az", "leader", "all", "random", "role"];
    let f = Fields::new(table, value.span(), "a target", &known, m);
    let mut present: Vec<&str> = KINDS
        .iter()
        .copied()
        .filter(|k| f.get(k).is_some())
        .collect();
    present.sort_by_key(|k| f.key_span(k).start);
    let kind = match present.as_slice() {
        [one] => *one,
        [] => {
            m.missing(
                value.span(),
                "the target selects nothing",
                "one of { node = \"storage-a1\" }, { az = \"b\" }, { leader = \"canary/0\" }, \
                 { all = \"storage\" }, { random = 1 }",
            );
            return None;
        }
        [_, second, ..] => {
            m.wrong(
                f.key_span(second),
                format!("a target has one selector; here are {}", present.join(", ")),
            );
            return None;
        }
    };
    if kind != "random" && f.get("role").is_some() {
        m.wrong_help(
            f.key_span("role"),
            format!("'role' goes with 'random', not with '{kind}'"),
            "{ all = \"storage\" } selects every node of a role",
        );
        return None;
    }
    let value = f.get(kind)?;
    match kind {
        "node" => text(kind, value, 40, m).map(Selector::Node),
        "az" => text(kind, value, 40, m).map(Selector::Az),
        "all" => text(kind, value, 40, m).map(Selector::All),
        "leader" => {
            let group = text(kind, value, 300, m)?;
            match check_group(&group, cluster) {
                Ok(()) => Some(Selector::Leader(group)),
                Err(e) => {
                    m.wrong(value.span(), e);
                    None
                }
            }
        }
        _ => {
            let count = whole(kind, value, 1..=1000, m)?;
            let role = match f.get("role") {
                Some(role) => Some(text("role", role, 40, m)?),
                None => None,
            };
            Some(Selector::Random {
                count: count as u32,
                role,
            })
        }
    }
}

/// A replication group is named `<table>/<partition>`.
fn check_group(group: &str, cluster: &ClusterSpec) -> Result<(), String> {
    let shape = || {
        format!(
            "a replication group is named <table>/<partition>, for example \"canary/0\", not '{}'",
            clip(group)
        )
    };
    let (table, partition) = group.rsplit_once('/').ok_or_else(shape)?;
    let partition: u32 = partition.parse().map_err(|_| shape())?;
    if table.is_empty() {
        return Err(shape());
    }
    if partition >= cluster.partitions {
        return Err(format!(
            "tables have {} partitions, numbered from 0 to {}",
            cluster.partitions,
            cluster.partitions - 1
        ));
    }
    Ok(())
}
