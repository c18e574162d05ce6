//! Which steps may be in force at the same time, and whether they may.

use super::target::azs;
use super::{PlannedStart, PlannedStep, PlannedTarget, REPLICA_ROLE};
use gameday_record::Topology;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a revert and its proof usually take at most. Planning counts a
/// step as in force for so much longer than its hold, so that a plan whose
/// steps would collide on a slow day is refused before the run. (The runner
/// checks again, on what is really in force.)
pub const REVERT_ALLOWANCE: Duration = Duration::from_secs(5);

/// When a step may be in force, from the start of the steps phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Earliest start.
    pub(super) first: Duration,
    /// Latest end, revert included.
    pub(super) last: Duration,
}

/// The window of every step. Chains of `after` end: the parser made sure.
pub(super) fn windows(steps: &[PlannedStep]) -> Vec<Window> {
    (0..steps.len()).map(|i| window(steps, i)).collect()
}

fn window(steps: &[PlannedStep], i: usize) -> Window {
    // Back to the step that begins at a time, then on along the chain.
    let mut before = Vec::new();
    let mut at = i;
    let mut begin = loop {
        match steps[at].start {
            PlannedStart::At(begin) => break (begin, begin),
            PlannedStart::After(other, delay) => {
                before.push((other, delay));
                at = other;
            }
        }
    };
    for (other, delay) in before.into_iter().rev() {
        let (least, most) = lasts(&steps[other]);
        begin = (begin.0 + least + delay, begin.1 + most + delay);
    }
    Window {
        first: begin.0,
        last: begin.1 + lasts(&steps[i]).1,
    }
}

/// How long a step is in force: at least, if its revert is instant, and at most.
pub(super) fn lasts(step: &PlannedStep) -> (Duration, Duration) {
    let nodes = match &step.target {
        PlannedTarget::Nodes(sides) => sides.concat().len(),
        // Each AZ has one of a group's replicas.
        PlannedTarget::Later { most_azs, .. } => *most_azs,
    };
    let (least, most) = step.fault.rollout(&step.params, nodes);
    (least + step.hold, most * 2 + step.hold + REVERT_ALLOWANCE)
}

/// Whether `later` waits, directly or not, for `earlier`.
fn waits_for(steps: &[PlannedStep], later: usize, earlier: usize) -> bool {
    let mut at = later;
    while let PlannedStart::After(before, _) = steps[at].start {
        if before == earlier {
            return true;
        }
        at = before;
    }
    false
}

/// A problem: index of the step, what is wrong, what to do.
type Problem = (usize, String, String);

/// Checks exclusion and blast radius.
pub(super) fn check(
    steps: &[PlannedStep],
    topology: &Topology,
    allow_quorum_loss: bool,
) -> Vec<Problem> {
    let windows = windows(steps);
    let overlap = |i: usize, j: usize| {
        windows[i].first < windows[j].last
            && windows[j].first < windows[i].last
            && !waits_for(steps, i, j)
            && !waits_for(steps, j, i)
    };
    let mut problems = Vec::new();
    for i in 0..steps.len() {
        for j in 0..i {
            if !overlap(i, j) {
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
    if !allow_quorum_loss {
        problems.extend(blast_radius(steps, &windows, topology, overlap));
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

/// How many AZs of `total` may lose their replicas while a majority remains.
pub(crate) fn minority(total: usize) -> usize {
    total.saturating_sub(1) / 2
}

/// Replicas stand one per AZ, so the number of AZs with hurt replica holders
/// bounds what any group loses. The worst moment of a set of intervals is the
/// start of one of them.
fn blast_radius(
    steps: &[PlannedStep],
    windows: &[Window],
    topology: &Topology,
    overlap: impl Fn(usize, usize) -> bool,
) -> Vec<Problem> {
    let all: BTreeSet<&str> = replica_azs(topology, |_| true);
    let most = minority(all.len());
    let mut problems = Vec::new();
    for i in 0..steps.len() {
        let now: Vec<usize> = (0..steps.len())
            .filter(|&j| {
                j == i
                    || (overlap(i, j)
                        && windows[j].first <= windows[i].first
                        && (windows[j].first < windows[i].first || j < i))
            })
            .collect();
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
                    "{} would hurt the {REPLICA_ROLE} nodes of up to {count} of {} AZs at once: \
                     more than a minority of a quorum",
                    named.join(" and "),
                    all.len()
                ),
                "if that is what the playbook is about, write allow_quorum_loss = true in \
                 [playbook]"
                    .into(),
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

/// AZs of the replica holders among the nodes to `keep`.
pub(crate) fn replica_azs(topology: &Topology, keep: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    let nodes: Vec<String> = topology
        .nodes
        .iter()
        .filter(|n| n.role == REPLICA_ROLE && keep(&n.name))
        .map(|n| n.name.clone())
        .collect();
    azs(&nodes, topology)
}
