//! From a selector to nodes.

use super::planned::PlannedTarget;
use crate::faults::{FaultKind, Params, Sides};
use crate::playbook::suggest::hint;
use crate::playbook::{Draw, Groups, Selector, Step};
use crate::quorum::{self, Group};
use gameday_record::{Node, Topology};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeSet;

/// Nodes that a message names, at most.
const NAMED: usize = 12;

/// Why a selector selects nothing that can be hurt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

fn refuse<T>(message: String, help: Option<String>) -> Result<T, Refusal> {
    Err(Refusal { message, help })
}

/// Who leads what.
pub(crate) enum Leaders<'a> {
    /// Not known yet: any replica holder may lead or follow anything.
    Anybody,
    /// As asked just now.
    Known(&'a [Group]),
}

/// The random stream of one step. Every step has its own, so that adding a
/// step leaves the choices of the others alone.
pub(crate) fn stream(seed: u64, step: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(step);
    rng
}

/// A number below `n`: `⌊r·n / 2⁶⁴⌋`, whose bias is below `n / 2⁶⁴`.
pub(crate) fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

/// Plans the target of a step.
///
/// # Errors
/// It names what does not exist, or nothing, or what the fault makes no sense on.
pub(super) fn plan(
    step: &Step,
    groups: &Groups,
    rng: &mut ChaCha8Rng,
    topology: &Topology,
) -> Result<PlannedTarget, Refusal> {
    let (fault, params) = (step.fault, &step.params);
    let sides = &step.sides;
    if !sides.iter().any(Selector::names_leaders) {
        let nodes = resolve_all(fault, params, sides, topology, &Leaders::Anybody, rng)?;
        return Ok(PlannedTarget::Nodes(nodes));
    }
    let mut widest = Vec::new();
    for side in sides {
        widest.push(resolve(side, topology, &Leaders::Anybody, rng)?);
    }
    // Whoever leads: where clients call none of those who may, they call none of those who do.
    if fault == FaultKind::Clients
        && let Err(message) = fault.check(params, &widest, topology)
    {
        return refuse(message, None);
    }
    let all = quorum::replica_azs(topology, |_| true).len();
    let each: Vec<usize> = sides.iter().map(|s| most(s, groups, all)).collect();
    Ok(PlannedTarget::Later {
        sides: sides.clone(),
        most_azs: fault.most_azs(params, &each, all),
    })
}

/// The nodes of every side, checked.
///
/// # Errors
/// It names what does not exist, or nothing, or what the fault makes no sense on.
pub(crate) fn resolve_all(
    fault: FaultKind,
    params: &Params,
    sides: &[Selector],
    topology: &Topology,
    leaders: &Leaders<'_>,
    rng: &mut ChaCha8Rng,
) -> Result<Sides, Refusal> {
    let mut found = Vec::new();
    for side in sides {
        found.push(resolve(side, topology, leaders, rng)?);
    }
    if fault == FaultKind::MajoritiesRing {
        // A ring of single nodes, in an order of the seed.
        let nodes = found.concat();
        let count = nodes.len();
        let ring = choose(nodes, count, rng);
        found = ring.into_iter().map(|n| vec![n]).collect();
    }
    match fault.check(params, &found, topology) {
        Ok(()) => Ok(found),
        Err(message) => refuse(message, None),
    }
}

/// The nodes, sorted by name; at least one.
///
/// # Errors
/// It names what does not exist, or nothing.
fn resolve(
    selector: &Selector,
    topology: &Topology,
    leaders: &Leaders<'_>,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<String>, Refusal> {
    let found = select(selector, topology, leaders, rng)?;
    if found.is_empty() {
        return refuse(
            format!("'{selector}' selects no node"),
            Some(existing(topology)),
        );
    }
    Ok(found.into_iter().map(String::from).collect())
}

/// What there is to select, in one sentence.
fn existing(topology: &Topology) -> String {
    let names: Vec<&str> = topology.nodes.iter().map(|n| n.name.as_str()).collect();
    let more = names.len().saturating_sub(NAMED);
    let mut text = format!("there are {}", names[..names.len() - more].join(", "));
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// In how many of `all` AZs what it names may hold replicas, at most.
fn most(selector: &Selector, groups: &Groups, all: usize) -> usize {
    let most_of = |s: &Selector| most(s, groups, all);
    let bound = match selector {
        Selector::Node(_) | Selector::Az(_) | Selector::Rack(_) => 1,
        Selector::Leader(group) if groups.is_one(group) => 1,
        Selector::Followers(group) if groups.is_one(group) => all.saturating_sub(1),
        Selector::Every(parts) => parts.iter().map(most_of).min().unwrap_or(all),
        Selector::Any(parts) => parts.iter().map(most_of).sum(),
        Selector::Draw(Draw::Count(n), from) => most_of(from).min(*n as usize),
        Selector::Draw(Draw::Minority, from) => quorum::minority(most_of(from)),
        Selector::Draw(_, from) => most_of(from),
        _ => all,
    };
    bound.min(all)
}

fn select<'t>(
    selector: &Selector,
    topology: &'t Topology,
    leaders: &Leaders<'_>,
    rng: &mut ChaCha8Rng,
) -> Result<BTreeSet<&'t str>, Refusal> {
    let names = |keep: &dyn Fn(&Node) -> bool| -> BTreeSet<&'t str> {
        let kept = topology.nodes.iter().filter(|n| keep(n));
        kept.map(|n| n.name.as_str()).collect()
    };
    // What is named must exist, among these.
    let known = |what: String, name: &str, all: BTreeSet<&str>| {
        if all.contains(name) {
            return Ok(());
        }
        let all: Vec<&str> = all.into_iter().collect();
        refuse(what, Some(hint(name, &all)))
    };
    Ok(match selector {
        Selector::All => names(&|_| true),
        Selector::Node(name) => {
            known(format!("there is no node '{name}'"), name, names(&|_| true))?;
            names(&|n| n.name == *name)
        }
        Selector::Az(az) => {
            let all = topology.azs.iter().map(String::as_str).collect();
            known(format!("there is no AZ '{az}'"), az, all)?;
            names(&|n| n.az == *az)
        }
        Selector::Rack(rack) => {
            let all = topology.racks.values().map(String::as_str).collect();
            known(format!("there is no rack '{rack}'"), rack, all)?;
            names(&|n| topology.racks.get(&n.name) == Some(rack))
        }
        Selector::Role(role) => {
            let all = topology.nodes.iter().map(|n| n.role.as_str()).collect();
            known(format!("no node has the role '{role}'"), role, all)?;
            names(&|n| n.role == *role)
        }
        Selector::Label(label) => {
            let Some(carriers) = topology.labels.get(label) else {
                let all: Vec<&str> = topology.labels.keys().map(String::as_str).collect();
                let help = if all.is_empty() {
                    "labels are given in [cluster.labels]: old-disks = [\"storage-a1\"]".into()
                } else {
                    hint(label, &all)
                };
                return refuse(format!("no node has the label '{label}'"), Some(help));
            };
            for name in carriers {
                let what = format!("the label '{label}' names '{name}', which is no node");
                known(what, name, names(&|_| true))?;
            }
            names(&|n| carriers.contains(&n.name))
        }
        Selector::Leader(group) => led(group, true, topology, leaders)?,
        Selector::Followers(group) => led(group, false, topology, leaders)?,
        Selector::Every(all) => {
            let mut common: Option<BTreeSet<&str>> = None;
            for one in all {
                let found = select(one, topology, leaders, rng)?;
                common = Some(match common {
                    None => found,
                    Some(before) => &before & &found,
                });
            }
            common.unwrap_or_default()
        }
        Selector::Any(all) => {
            let mut any = BTreeSet::new();
            for one in all {
                any.extend(select(one, topology, leaders, rng)?);
            }
            any
        }
        Selector::Not(inner) => {
            // Before the run anybody may lead, so nobody is left out for that.
            if matches!(leaders, Leaders::Anybody) && inner.names_leaders() {
                select(inner, topology, leaders, rng)?;
                return Ok(names(&|_| true));
            }
            &names(&|_| true) - &select(inner, topology, leaders, rng)?
        }
        Selector::Draw(draw, from) => {
            let from = select(from, topology, leaders, rng)?;
            drawn(selector, *draw, from, topology, rng)?
        }
    })
}

/// Those who lead, or follow in, a group or all groups of a table.
fn led<'t>(
    group: &str,
    leads: bool,
    topology: &'t Topology,
    leaders: &Leaders<'_>,
) -> Result<BTreeSet<&'t str>, Refusal> {
    let groups = match leaders {
        Leaders::Anybody => {
            let holders = topology.replica_holders();
            return Ok(holders.map(|n| n.name.as_str()).collect());
        }
        Leaders::Known(groups) => *groups,
    };
    let table = format!("{group}/");
    let meant: Vec<&Group> = groups
        .iter()
        .filter(|g| g.name == group || g.name.starts_with(&table))
        .collect();
    if meant.is_empty() {
        let known: Vec<&str> = groups.iter().map(|g| g.name.as_str()).collect();
        return refuse(
            format!("there is no group {group} (known: {})", known.join(", ")),
            None,
        );
    }
    let mut found = BTreeSet::new();
    for g in meant {
        let Some(leader) = &g.leader else {
            return refuse(format!("{} has no leader", g.name), None);
        };
        let followers = g.members.iter().filter(|m| *m != leader);
        let names: Vec<&String> = if leads {
            vec![leader]
        } else {
            followers.collect()
        };
        for name in names {
            let Some(node) = topology.node(name) else {
                return refuse(
                    format!("{name}, a replica of {}, is not in the plan", g.name),
                    None,
                );
            };
            found.insert(node.name.as_str());
        }
    }
    Ok(found)
}

/// Draws among `from`.
fn drawn<'t>(
    selector: &Selector,
    draw: Draw,
    from: BTreeSet<&'t str>,
    topology: &'t Topology,
    rng: &mut ChaCha8Rng,
) -> Result<BTreeSet<&'t str>, Refusal> {
    let nodes: Vec<&str> = from.iter().copied().collect();
    let azs = |minority: bool, rng: &mut ChaCha8Rng| -> Result<BTreeSet<&'t str>, Refusal> {
        let all: BTreeSet<&str> = topology
            .nodes
            .iter()
            .filter(|n| from.contains(n.name.as_str()))
            .map(|n| n.az.as_str())
            .collect();
        let few = quorum::minority(all.len());
        let wanted = if minority { few } else { all.len() - few };
        if wanted == 0 && !from.is_empty() {
            return refuse(
                format!(
                    "'{selector}' selects no node: of {} AZs none can be lost",
                    all.len()
                ),
                Some(existing(topology)),
            );
        }
        let chosen = choose(all.into_iter().collect(), wanted, rng);
        let is_in = |n: &&Node| chosen.contains(&n.az.as_str()) && from.contains(n.name.as_str());
        let kept = topology.nodes.iter().filter(is_in);
        Ok(kept.map(|n| n.name.as_str()).collect())
    };
    let wanted = match draw {
        Draw::Minority => return azs(true, rng),
        Draw::Majority => return azs(false, rng),
        Draw::Percent(percent) => (nodes.len() * percent as usize).div_ceil(100),
        Draw::Count(n) => n as usize,
    };
    if wanted > nodes.len() {
        return refuse(
            format!(
                "'{selector}': {wanted} nodes are asked for; there are {}",
                nodes.len()
            ),
            Some(existing(topology)),
        );
    }
    Ok(choose(nodes, wanted, rng).into_iter().collect())
}

/// Chooses `wanted` of `from`, in the order of the draw: the first steps of a
/// Fisher–Yates shuffle (Knuth, TAOCP 2, algorithm P).
fn choose<T>(mut from: Vec<T>, wanted: usize, rng: &mut ChaCha8Rng) -> Vec<T> {
    for i in 0..wanted {
        let pick = below(rng, (from.len() - i) as u64);
        from.swap(i, i + pick as usize);
    }
    from.truncate(wanted);
    from
}
