//! Anomalies: what is wrong in a sentence, the operations that show it, and
//! those around them.

use crate::intake::Intake;
use crate::say::{self, who};
use crate::violation::{Kind, Violation};
use gameday_record::Model;
use gameday_record::verdict::Anomaly;

/// Operations shown around an anomaly, at most.
const AROUND: usize = 12;
/// Operations that show it, at most.
const CORE: usize = 4;

/// An anomaly of one key over operations given by their positions in the log.
/// `violates`: the weakest consistency model that it breaks.
pub(crate) fn anomaly(
    kind: Kind,
    violates: Model,
    summary: String,
    operations: &[u32],
    intake: &Intake<'_>,
    key: u32,
) -> Anomaly {
    let log = intake.log;
    let time = |i: &u32| (intake.op(*i).start, intake.op(*i).index, *i);
    let mut core: Vec<u32> = Vec::with_capacity(CORE);
    for op in operations {
        if !core.contains(op) && core.len() < CORE {
            core.push(*op);
        }
    }
    core.sort_unstable_by_key(time);
    let around = around(&core, intake.of(key), intake);
    Anomaly {
        name: kind.name().into(),
        key: log.key_name(key).into(),
        summary,
        operations: core.iter().map(|i| say::record(log, *i)).collect(),
        violates: violates.name().into(),
        around: around.iter().map(|i| say::record(log, *i)).collect(),
    }
}

/// The neighbours of the core in order of invocation, as many before as after
/// each, in order of time.
fn around(core: &[u32], positions: &[u32], intake: &Intake<'_>) -> Vec<u32> {
    let time = |i: &u32| (intake.op(*i).start, intake.op(*i).index, *i);
    let each = AROUND / (2 * core.len().max(1));
    let mut chosen: Vec<u32> = Vec::new();
    for op in core {
        let at = positions.partition_point(|p| time(p) < time(op));
        let before = positions[..at].iter().rev();
        let after = positions[at..].iter();
        let others = |p: &&u32| !core.contains(p);
        chosen.extend(before.filter(others).take(each));
        chosen.extend(after.filter(others).take(each));
    }
    chosen.sort_unstable_by_key(time);
    chosen.dedup();
    chosen
}

/// Puts a violation of linearizability into words. `at` maps its operations
/// to the log.
pub(crate) fn explain(
    v: &Violation,
    violates: Model,
    key: u32,
    at: &[u32],
    intake: &Intake<'_>,
) -> Anomaly {
    let op = |i: u32| who(intake.log, at[i as usize]);
    let culprit = op(v.culprit);
    let other = v.against.map_or_else(|| "the initial state".into(), op);
    let mut summary = match v.kind {
        Kind::StaleRead => {
            format!("{culprit}, although something newer was known before that began: {other}")
        }
        Kind::NonMonotonicRead => {
            format!(
                "{culprit}, after {other}, while the other order had been seen before: the value went back"
            )
        }
        Kind::LostUpdate => {
            format!("{culprit}, although what it expected had been replaced by another: {other}")
        }
        Kind::DirtyRead => {
            format!("{culprit}, the value of a write that certainly failed: {other}")
        }
        Kind::PhantomRead => format!("{culprit}, and nobody wrote what it found"),
        Kind::FutureRead => format!("{culprit}, before this began: {other}"),
        Kind::FalseCasFailure => format!("{culprit}, although the expected value was there"),
        Kind::CyclicInformationFlow => {
            format!("{culprit}, and {other}: each follows from the other")
        }
        _ => format!("no order of the operations on this key explains this one: {culprit}"),
    };
    if violates == Model::Linearizability && v.kind != Kind::NotLinearizable {
        summary.push_str("; sequential consistency of the key still holds");
    }
    let positions: Vec<u32> = v.operations().iter().map(|i| at[*i as usize]).collect();
    anomaly(v.kind, violates, summary, &positions, intake, key)
}
