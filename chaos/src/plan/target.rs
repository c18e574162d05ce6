//! From a selector to nodes.

use crate::faults::{FaultKind, Layer};
use crate::playbook::suggest::hint;
use crate::playbook::{Selector, Step};
use gameday_record::{Node, Topology};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeSet;

/// What a selector resolved to before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedTarget {
    /// These nodes, sorted by name; at least one.
    Nodes(Vec<String>),
    /// The leader of this group at the moment of injection.
    Leader(String),
}

/// Why a selector selects nothing that can be hurt.
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

fn refuse<T>(message: String, help: Option<String>) -> Result<T, Refusal> {
    Err(Refusal { message, help })
}

/// Resolves the target of step number `index`.
pub(super) fn resolve(
    step: &Step,
    index: usize,
    seed: u64,
    topology: &Topology,
) -> Result<PlannedTarget, Refusal> {
    let names = |keep: &dyn Fn(&Node) -> bool| {
        let mut all: Vec<String> = topology
            .nodes
            .iter()
            .filter(|n| keep(n))
            .map(|n| n.name.clone())
            .collect();
        all.sort();
        all
    };
    let roles: BTreeSet<&str> = topology.nodes.iter().map(|n| n.role.as_str()).collect();
    let roles: Vec<&str> = roles.into_iter().collect();
    let nodes = match &step.target {
        Selector::Leader(group) => return Ok(PlannedTarget::Leader(group.clone())),
        Selector::Node(name) => {
            if topology.node(name).is_none() {
                let known: Vec<&str> = topology.nodes.iter().map(|n| n.name.as_str()).collect();
                return refuse(
                    format!("there is no node '{name}'"),
                    Some(hint(name, &known)),
                );
            }
            vec![name.clone()]
        }
        Selector::Az(az) => {
            if !topology.azs.contains(az) {
                let known: Vec<&str> = topology.azs.iter().map(String::as_str).collect();
                return refuse(format!("there is no AZ '{az}'"), Some(hint(az, &known)));
            }
            names(&|n| n.az == *az)
        }
        Selector::All(role) => {
            if !roles.contains(&role.as_str()) {
                return refuse(
                    format!("no node has the role '{role}'"),
                    Some(hint(role, &roles)),
                );
            }
            names(&|n| n.role == *role)
        }
        Selector::Random { count, role } => {
            if let Some(role) = role
                && !roles.contains(&role.as_str())
            {
                return refuse(
                    format!("no node has the role '{role}'"),
                    Some(hint(role, &roles)),
                );
            }
            let from = names(&|n| role.as_ref().is_none_or(|r| n.role == *r));
            let wanted = *count as usize;
            if wanted > from.len() {
                return refuse(
                    format!("{wanted} nodes are asked for; there are {}", from.len()),
                    None,
                );
            }
            choose(from, wanted, seed, index)
        }
    };
    if nodes.is_empty() {
        return refuse("the target is empty".into(), None);
    }
    if step.fault.layer() == Layer::Network && nodes.len() == topology.nodes.len() {
        return refuse(
            format!(
                "a {} between every node and nobody else would cut nothing",
                FaultKind::Partition.name()
            ),
            None,
        );
    }
    Ok(PlannedTarget::Nodes(nodes))
}

/// Chooses `wanted` of `from`. Every step has a random stream of its own, so
/// that adding a step leaves the choices of the others alone.
///
/// The first steps of a Fisher–Yates shuffle (Knuth, TAOCP 2, algorithm P);
/// the index is `⌊r·n / 2⁶⁴⌋`, whose bias is below `n / 2⁶⁴`.
fn choose(mut from: Vec<String>, wanted: usize, seed: u64, index: usize) -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index as u64);
    for i in 0..wanted {
        let left = (from.len() - i) as u128;
        let pick = (u128::from(rng.next_u64()) * left) >> 64;
        from.swap(i, i + pick as usize);
    }
    from.truncate(wanted);
    from.sort();
    from
}

/// The AZs of these nodes.
pub(crate) fn azs<'t>(nodes: &[String], topology: &'t Topology) -> BTreeSet<&'t str> {
    nodes
        .iter()
        .filter_map(|n| topology.node(n))
        .map(|n| n.az.as_str())
        .collect()
}
