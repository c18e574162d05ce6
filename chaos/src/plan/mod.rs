//! The plan: what a playbook means on a topology with a seed.
//!
//! Planning touches nothing, chooses everything that can be chosen before the
//! run, and refuses what cannot work: targets that do not exist, faults that
//! exclude each other, and more than a minority of replicas hurt at once. The
//! same playbook, seed and topology give the same plan, to the byte.

mod overlap;
mod target;

pub use overlap::REVERT_ALLOWANCE;
pub(crate) use overlap::{minority, replica_azs};
pub use target::PlannedTarget;
pub(crate) use target::azs;

use crate::faults::FaultKind;
use crate::playbook::values::show;
use crate::playbook::{Diagnostic, Playbook, Start};
use gameday_record::Topology;
use std::collections::BTreeSet;
use std::time::Duration;

/// Role of the nodes that hold replicas, one replica of a partition per AZ:
/// the nodes whose loss can cost a quorum.
pub const REPLICA_ROLE: &str = "storage";

/// What will be done, when, to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Title of the playbook.
    pub title: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// The nodes it was made for.
    pub topology: Topology,
    /// Length of the baseline phase.
    pub baseline: Duration,
    /// What is broken, in the order of the playbook.
    pub steps: Vec<PlannedStep>,
    /// Length of the cooldown phase.
    pub cooldown: Duration,
    /// Whether more than a minority of a quorum may be hurt.
    pub allow_quorum_loss: bool,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedStep {
    /// Unique in the plan.
    pub name: String,
    /// What is made wrong.
    pub fault: FaultKind,
    /// The selector as the playbook says it.
    pub selector: String,
    /// What it resolved to.
    pub target: PlannedTarget,
    /// When it begins.
    pub start: PlannedStart,
    /// For how long.
    pub hold: Duration,
}

/// When a step begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlannedStart {
    /// So long after the steps phase began.
    At(Duration),
    /// When the step of this index is reverted and the revert is proven.
    After(usize),
}

/// Plans a playbook.
///
/// # Errors
/// Every reason why it cannot work on this topology, with its place.
pub fn plan(playbook: &Playbook, seed: u64, topology: &Topology) -> Result<Plan, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut steps = Vec::new();
    for (i, step) in playbook.steps.iter().enumerate() {
        let target = match target::resolve(step, i, seed, topology) {
            Ok(target) => target,
            Err(why) => {
                let mut d = step.wrong_target(&playbook.source, why.message);
                d.help = why.help;
                problems.push(d);
                continue;
            }
        };
        let start = match &step.start {
            Start::At(at) => PlannedStart::At(*at),
            Start::After(name) => PlannedStart::After(
                playbook
                    .steps
                    .iter()
                    .position(|s| s.name == *name)
                    .expect("the parser checked that 'after' names a step"),
            ),
        };
        steps.push(PlannedStep {
            name: step.name.clone(),
            fault: step.fault,
            selector: step.target.to_string(),
            target,
            start,
            hold: step.hold,
        });
    }
    // With a step missing, indices would lie.
    if problems.is_empty() {
        for (i, message, help) in overlap::check(&steps, topology, playbook.allow_quorum_loss) {
            let step = &playbook.steps[i];
            problems.push(Diagnostic::at(&playbook.source, step.span.clone(), message).help(help));
        }
    }
    let touched = steps.iter().flat_map(|s| match &s.target {
        PlannedTarget::Nodes(nodes) => target::azs(nodes, topology),
        PlannedTarget::Leader(_) => BTreeSet::new(),
    });
    problems.extend(playbook.measuring.misplaced(
        &topology.azs,
        &touched.collect(),
        &playbook.source,
    ));
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Plan {
        title: playbook.title.clone(),
        seed,
        topology: topology.clone(),
        baseline: playbook.baseline,
        steps,
        cooldown: playbook.cooldown,
        allow_quorum_loss: playbook.allow_quorum_loss,
    })
}

impl Plan {
    /// The least time from the start of the baseline to the end of the
    /// cooldown: proofs and reverts taken as instant.
    pub fn least_duration(&self) -> Duration {
        self.baseline + self.least_steps() + self.cooldown
    }

    /// The least time of the steps phase.
    pub fn least_steps(&self) -> Duration {
        overlap::windows(&self.steps)
            .iter()
            .zip(&self.steps)
            .map(|(w, s)| w.first + s.hold)
            .max()
            .unwrap_or_default()
    }

    /// One line per phase and step, with times from the start of the baseline.
    pub fn lines(&self) -> Vec<String> {
        let began = |d: Duration| format!("+{}", show(self.baseline + d));
        let mut out = vec![format!(
            "{:<9} {}: the healthy cluster is measured; if it is unhealthy, nothing is injected",
            "+0s",
            label("baseline", self.baseline)
        )];
        for step in &self.steps {
            let (at, note) = match step.start {
                PlannedStart::At(at) => (began(at), String::new()),
                PlannedStart::After(i) => (
                    "then".to_string(),
                    format!(", once '{}' is reverted", self.steps[i].name),
                ),
            };
            let target = match &step.target {
                PlannedTarget::Nodes(nodes) => nodes.join(", "),
                PlannedTarget::Leader(group) => {
                    format!("whoever leads {group} then")
                }
            };
            out.push(format!(
                "{at:<9} {}: {} {} → {target}{note}",
                label(&step.name, step.hold),
                step.fault.name(),
                step.selector,
            ));
            let PlannedTarget::Nodes(nodes) = &step.target else {
                continue;
            };
            let azs: BTreeSet<&str> = target::azs(nodes, &self.topology);
            out.push(format!(
                "{:<9} undo: {} (AZ {})",
                "",
                step.fault.build(nodes.clone()).undo(),
                azs.into_iter().collect::<Vec<_>>().join(", ")
            ));
        }
        out.push(format!(
            "{:<9} {}: everything is reverted; recovery is measured",
            "then",
            label("cooldown", self.cooldown)
        ));
        out
    }
}

fn label(name: &str, d: Duration) -> String {
    format!("{name} for {}", show(d))
}
