//! Which consistency model a violation breaks.

use crate::intake::KeyOps;
use crate::violation::{Kind, Violation};
use crate::zones::Analysis;
use gameday_record::Model;

/// Which consistency model a violation of one key breaks: the weakest that can
/// be named.
pub(super) struct Models<'a> {
    analysis: &'a Analysis<'a>,
    /// Whether sequential consistency still holds; worked out when asked.
    coherent: Option<bool>,
}

impl<'a> Models<'a> {
    pub fn new(analysis: &'a Analysis<'a>) -> Self {
        Models {
            analysis,
            coherent: None,
        }
    }

    pub fn violated(&mut self, v: &Violation, ops: &KeyOps<'_>) -> Model {
        match v.kind {
            Kind::DirtyRead | Kind::PhantomRead => return Model::ReadCommitted,
            Kind::CyclicInformationFlow | Kind::FalseCasFailure => {
                return Model::SequentialConsistency;
            }
            _ => {}
        }
        let culprit = ops.entry(v.culprit);
        if let Some(against) = v.against.map(|a| ops.entry(a))
            && against.process == culprit.process
            && culprit.found().is_some()
        {
            return match against.writes() {
                Some(_) => Model::ReadYourWrites,
                None => Model::MonotonicReads,
            };
        }
        let process = |i: u32| ops.entry(i).process;
        let alone = |k: &Kind| !matches!(k, Kind::StaleRead | Kind::NonMonotonicRead);
        let kept = &self.analysis.violations.kept;
        let others = kept.iter().any(|v| alone(&v.kind));
        let coherent = *self
            .coherent
            .get_or_insert_with(|| self.analysis.coherent(ops, process));
        match (coherent, others) {
            (false, _) => Model::SequentialConsistency,
            (true, false) => Model::Linearizability,
            (true, true) => Model::LinearizabilityAtLeast,
        }
    }
}
