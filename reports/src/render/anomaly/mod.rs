//! Anomalies for people: which faults were in force, and a picture of the
//! operations that show it.

mod picture;
mod scale;

use crate::report::InjectionReport;
use gameday_record::verdict::OperationRecord;
use gameday_record::{Anomaly, Nanos};

pub use picture::picture;

/// Core operations shown; a checker names no more.
const MAX_CORE: usize = 4;
/// Operations shown beside them.
const MAX_AROUND: usize = 12;

/// The operations that show it, and those beside them, bounded.
pub fn operations(a: &Anomaly) -> (&[OperationRecord], &[OperationRecord]) {
    (
        &a.operations[..a.operations.len().min(MAX_CORE)],
        &a.around[..a.around.len().min(MAX_AROUND)],
    )
}

/// The injections that were in force at some time between the first and the
/// last of the operations that show the anomaly.
pub fn overlapping<'a>(a: &Anomaly, all: &'a [InjectionReport]) -> Vec<&'a InjectionReport> {
    let (core, _) = operations(a);
    let Some(from) = core.iter().map(|o| o.invoked).min() else {
        return Vec::new();
    };
    let to = core.iter().map(|o| o.returned.unwrap_or(o.invoked)).max();
    let to = to.unwrap_or(from);
    all.iter()
        .filter(|i| {
            let begun = i.injected.is_some_and(|t| t <= to);
            begun && i.reverted.is_none_or(|t| t >= from)
        })
        .collect()
}

/// `+19.950 s to +19.953 s`, or `from +20.010 s, no answer`.
pub fn when(o: &OperationRecord) -> String {
    match o.returned {
        Some(to) => format!("{} to {to}", o.invoked),
        None => format!("from {}, no answer", o.invoked),
    }
}

/// One line: `write 17: ok, +1.000 s to +1.002 s, process 4 from a through c`.
pub fn line(o: &OperationRecord) -> String {
    format!(
        "{}: {}, {}, process {} from {} through {}",
        o.what,
        o.outcome,
        when(o),
        o.process,
        o.az,
        o.endpoint
    )
}

/// `power-off on az b (injection 1), +20.000 s to +40.000 s`.
pub fn in_force(i: &InjectionReport) -> String {
    let from = i.injected.unwrap_or(i.intent);
    let name = crate::overall::name(i);
    match i.reverted {
        Some(to) => format!("{name}, {from} to {to}"),
        None => format!("{name}, from {from}, never reverted"),
    }
}

/// What a call that was never answered may reach to: the end of time.
fn last(o: &OperationRecord) -> Nanos {
    o.returned.unwrap_or(o.invoked).max(o.invoked)
}
