//! What a playbook breaks, as data.

use super::diagnostic::{Diagnostic, Source};
use super::selector::Selector;
use super::until::Until;
use crate::faults::{FaultKind, Params};
use std::ops::Range;
use std::time::Duration;

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Unique; derived from fault and target if the playbook gives none.
    pub name: String,
    /// What is made wrong.
    pub fault: FaultKind,
    /// What the playbook says about it beside its target.
    pub params: Params,
    /// On what: one side, or several for a fault that sets groups apart.
    pub sides: Vec<Selector>,
    /// When.
    pub start: Start,
    /// For how long; above zero. At most, if it is held until something comes.
    pub hold: Duration,
    /// What ends the hold before its time.
    pub until: Option<Until>,
    /// How many times; at least once.
    pub times: u32,
    /// From the beginning of one time to the next; longer than the hold.
    pub every: Duration,
    /// Where the step stands in the text.
    pub(crate) span: Range<usize>,
    /// Where its target stands.
    pub(crate) target_span: Range<usize>,
}

/// When a step begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// So long after the steps phase began.
    At(Duration),
    /// So long after the revert of the step of this name, its last time if it
    /// is repeated, is done and proven.
    After(String, Duration),
}

impl Step {
    /// Its selectors as they read in plans, timelines and reports.
    pub fn selector(&self) -> String {
        selectors(&self.sides)
    }

    /// A mistake about this step's target.
    pub fn wrong_target(&self, source: &Source, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(source, self.target_span.clone(), message)
    }
}

/// Selectors as they read in plans, timelines and reports.
pub(super) fn selectors(sides: &[Selector]) -> String {
    let all: Vec<String> = sides.iter().map(Selector::to_string).collect();
    all.join(" | ")
}

/// What is drawn from, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Random {
    /// How long faults and pauses take together, reverts included.
    pub lasting: Duration,
    /// Between the proven revert of one fault and the next: from, to.
    pub pause: (Duration, Duration),
    /// At least one.
    pub faults: Vec<Weighted>,
    /// Where it stands in the text.
    pub(crate) span: Range<usize>,
}

/// A fault that may be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    /// How often, in relation to the others; at least 1.
    pub weight: u32,
    /// What; its start is of no meaning.
    pub step: Step,
    /// It is held from the step's hold to this.
    pub longest: Duration,
}

impl Random {
    /// A mistake about the section as a whole.
    pub(crate) fn wrong(&self, source: &Source, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(source, self.span.clone(), message)
    }
}
