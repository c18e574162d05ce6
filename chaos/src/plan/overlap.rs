//! Which steps may be in force at the same time, and whether they may.

use super::planned::{PlannedStep, PlannedTarget};
use super::schedule::{REVERT_ALLOWANCE, Schedule};
use crate::quorum::{minority, replica_azs};
use gameday_record::Topology;
use std::collections::{BTreeMap, BTreeSet};

/// A problem: index of the step, what is wrong, what to do.
type Problem = (usize, String, String);

/// Checks exclusion and blast radius.
pub(super) fn check(
    steps: &[PlannedStep],
    topology: &Topology,
    allow_quorum_loss: bool,
) -> Vec<Problem> {
    let schedule = Schedule::of(steps);
    let mut problems = Vec::new();
    for i in 0..steps.len() {
        for j in 0..i {
            if !schedule.overlap(i, j) {
                continue;
            }
            let shared = shared_nodes(&steps[i].target, &steps[j].target);
            if let Some(why) = steps[i].fault.excludes(steps[j].fault, shared) {
                problems.push((
                    i,
                    format!(
                        "'{}' and '{}' may be in force at the same time: {why}",
                        steps[j].name, steps[i].name
                    ),
                    format!(
                        "begin it after = \"{}\", or later ({} s are allowed for a revert)",
                        steps[j].name,
                        REVERT_ALLOWANCE.as_secs()
                    ),
                ));
            }
        }
    }
    let damages = steps.iter().any(|s| s.fault.damages_data());
    if damages || !allow_quorum_loss {
        let found = blast_radius(steps, &schedule, topology, allow_quorum_loss);
        problems.extend(found);
    }
    problems
}

fn shared_nodes(a: &PlannedTarget, b: &PlannedTarget) -> bool {
    match (a, b) {
        (PlannedTarget::Nodes(a), PlannedTarget::Nodes(b)) => {
            let b = b.concat();
            a.iter().flatten().any(|n| b.contains(n))
        }
        (PlannedTarget::Later { sides: a, .. }, PlannedTarget::Later { sides: b, .. }) => a == b,
        // Who leads is known at injection only; the runner checks then.
        _ => false,
    }
}

/// Replicas stand one per AZ, so the number of AZs with hurt replica holders
/// bounds what any group loses. The worst moment of a set of intervals is the
/// start of one of them.
fn blast_radius(
    steps: &[PlannedStep],
    schedule: &Schedule,
    topology: &Topology,
    allow_quorum_loss: bool,
) -> Vec<Problem> {
    let windows = schedule.windows();
    let all: BTreeSet<&str> = replica_azs(topology, |_| true);
    let most = minority(all.len());
    let mut problems = Vec::new();
    for i in 0..steps.len() {
        let now: Vec<usize> = (0..steps.len())
            .filter(|&j| {
                j == i
                    || (schedule.overlap(i, j)
                        && windows[j].first <= windows[i].first
                        && (windows[j].first < windows[i].first || j < i))
            })
            .collect();
        let damages = now.iter().any(|&j| steps[j].fault.damages_data());
        if allow_quorum_loss && !damages {
            continue;
        }
        let mut hurt: BTreeSet<&str> = BTreeSet::new();
        // The same selector names the same nodes.
        let mut later: BTreeMap<&str, usize> = BTreeMap::new();
        for &j in &now {
            match &steps[j].target {
                PlannedTarget::Nodes(_) if steps[j].fault.one_at_a_time() => {
                    let nodes = nodes_hurt(&steps[j], topology);
                    if !replica_azs(topology, |n| nodes.iter().any(|t| t == n)).is_empty() {
                        later.insert(&steps[j].name, 1);
                    }
                }
                PlannedTarget::Nodes(_) => {
                    let nodes = nodes_hurt(&steps[j], topology);
                    hurt.extend(replica_azs(topology, |n| nodes.iter().any(|t| t == n)));
                }
                PlannedTarget::Later { most_azs, .. } => {
                    let most = later.entry(&steps[j].selector).or_default();
                    *most = (*most).max(*most_azs);
                }
            }
        }
        // Who leads may stand in any AZ: count those that are not counted yet.
        let count = (hurt.len() + later.values().sum::<usize>()).min(all.len());
        let adds = match &steps[i].target {
            PlannedTarget::Nodes(_) => {
                let nodes = nodes_hurt(&steps[i], topology);
                !replica_azs(topology, |n| nodes.iter().any(|t| t == n)).is_empty()
            }
            PlannedTarget::Later { .. } => true,
        };
        if count > most && adds {
            let named: Vec<String> = now
                .iter()
                .map(|&j| format!("'{}'", steps[j].name))
                .collect();
            problems.push((
                i,
                format!(
                    "{} would hurt nodes that hold replicas in up to {count} of {} AZs at once: more \
                     than a minority of a quorum",
                    named.join(" and "),
                    all.len()
                ),
                if damages {
                    "stored data are damaged only where a majority stays whole: fewer targets, or \
                     one after the other"
                        .into()
                } else {
                    "if that is what the playbook is about, write allow_quorum_loss = true in \
                     [playbook]"
                        .into()
                },
            ));
        }
    }
    problems
}

/// The nodes whose replicas a step takes away, as far as they are known.
fn nodes_hurt(step: &PlannedStep, topology: &Topology) -> Vec<String> {
    match &step.target {
        PlannedTarget::Nodes(sides) => step.fault.hurt(&step.params, sides, topology),
        PlannedTarget::Later { .. } => Vec::new(),
    }
}
