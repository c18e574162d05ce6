//! What is planned, as data.

use crate::faults::{FaultKind, Params, Sides};
use crate::playbook::{Playbook, Selector, Step, Until};
use std::time::Duration;

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedStep {
    /// Unique in the plan.
    pub name: String,
    /// What is made wrong.
    pub fault: FaultKind,
    /// What the playbook says about it beside its target.
    pub params: Params,
    /// The selector as the playbook says it.
    pub selector: String,
    /// What it resolved to.
    pub target: PlannedTarget,
    /// When it begins.
    pub start: PlannedStart,
    /// For how long; at most, if it is held until something comes.
    pub hold: Duration,
    /// What ends the hold before its time.
    pub until: Option<Until>,
    /// Number of its own stream of random choices.
    pub stream: u64,
    /// What in the playbook it comes from.
    pub origin: Origin,
}

/// Where in a playbook a planned step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The `[[step]]` of this index.
    Step(usize),
    /// The `[[random.fault]]` of this index.
    Drawn(usize),
}

/// When a step begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlannedStart {
    /// So long after the steps phase began.
    At(Duration),
    /// So long after the step of this index is reverted and the revert is proven.
    After(usize, Duration),
}

/// What a step's selectors resolved to before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedTarget {
    /// These nodes, by side; each side has at least one.
    Nodes(Sides),
    /// It depends on who leads at the moment of injection.
    Later {
        /// The selector of each side.
        sides: Vec<Selector>,
        /// In how many AZs it may take replicas away at most.
        most_azs: usize,
    },
}

impl Origin {
    /// The step of the playbook that it names.
    pub fn of(self, playbook: &Playbook) -> Option<&Step> {
        match self {
            Origin::Step(index) => playbook.steps.get(index),
            Origin::Drawn(index) => {
                let random = playbook.random.as_ref()?;
                random.faults.get(index).map(|weighted| &weighted.step)
            }
        }
    }
}
