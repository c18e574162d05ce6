//! One check while it grows, and the sentences of its anomalies.

use crate::intake::Intake;
use crate::violation::{Kind, Violation};
use gameday_record::operation::{Call, Operation, Outcome};
use gameday_record::time::Nanos;
use gameday_record::verdict::{Anomaly, Check, OperationRecord, Verdict};

/// Anomalies listed in a check; the rest is counted.
pub const LISTED: usize = 20;
/// Keys named in a reason; the rest is counted.
const KEYS_NAMED: usize = 5;
/// Different reasons given; the rest is counted.
const REASONS: usize = 10;

/// Collects what one check finds.
#[derive(Debug)]
pub(crate) struct Tally {
    name: &'static str,
    anomalies: Vec<Anomaly>,
    total: u64,
    /// Why the verdict is unknown, unless something is wrong; in order.
    reasons: Vec<(String, Vec<String>, usize)>,
    /// Keys whose reason was one too many.
    more_keys: u64,
}

impl Tally {
    pub fn new(name: &'static str) -> Self {
        Tally {
            name,
            anomalies: Vec::new(),
            total: 0,
            reasons: Vec::new(),
            more_keys: 0,
        }
    }

    /// True if another anomaly would still be listed.
    pub fn has_room(&self) -> bool {
        self.anomalies.len() < LISTED
    }

    /// Counts anomalies that are not listed.
    pub fn count(&mut self, n: u64) {
        self.total += n;
    }

    /// Lists and counts one anomaly.
    pub fn list(&mut self, anomaly: impl FnOnce() -> Anomaly) {
        self.total += 1;
        if self.has_room() {
            self.anomalies.push(anomaly());
        }
    }

    /// Lists anomalies that were counted before, as far as there is room.
    pub fn fill(&mut self, counted: Vec<Anomaly>) {
        let room = LISTED - self.anomalies.len();
        self.anomalies.extend(counted.into_iter().take(room));
    }

    /// Something could not be decided.
    pub fn unknown(&mut self, reason: impl Into<String>) {
        self.reasons.push((reason.into(), Vec::new(), 0));
    }

    /// Something could not be decided for one key. Keys with the same reason
    /// are named together.
    pub fn unknown_key(&mut self, reason: &str, key: &str) {
        let at = self.reasons.iter().position(|r| r.0 == reason);
        let at = match at {
            Some(at) => at,
            None if self.reasons.len() >= REASONS => {
                self.more_keys += 1;
                return;
            }
            None => {
                self.reasons.push((reason.into(), Vec::new(), 0));
                self.reasons.len() - 1
            }
        };
        let (_, keys, count) = &mut self.reasons[at];
        *count += 1;
        if keys.len() < KEYS_NAMED {
            keys.push(key.into());
        }
    }

    /// The check; `examined` says what was looked at.
    pub fn finish(self, examined: &str) -> Check {
        let verdict = match (self.total, self.reasons.is_empty()) {
            (0, true) => Verdict::Pass,
            (0, false) => Verdict::Unknown,
            _ => Verdict::Fail,
        };
        let mut detail = String::new();
        if self.total > 0 {
            let s = if self.total == 1 { "y" } else { "ies" };
            detail.push_str(&format!("{} anomal{s}. ", self.total));
        }
        if !self.reasons.is_empty() {
            detail.push_str("not decided: ");
            let reasons: Vec<String> = self.reasons.iter().map(say_reason).collect();
            detail.push_str(&reasons.join("; "));
            if self.more_keys > 0 {
                detail.push_str(&format!("; and {} keys for other reasons", self.more_keys));
            }
            detail.push_str(". ");
        }
        detail.push_str(examined);
        Check {
            name: self.name.into(),
            verdict,
            detail: detail.trim_end().into(),
            anomalies: self.anomalies,
            anomalies_total: self.total,
            measures: Vec::new(),
        }
    }
}

fn say_reason((reason, keys, count): &(String, Vec<String>, usize)) -> String {
    match (keys.len(), count - keys.len()) {
        (0, _) => reason.clone(),
        (1, 0) => format!("{reason} (key {})", keys[0]),
        (_, 0) => format!("{reason} (keys {})", keys.join(", ")),
        (_, rest) => format!("{reason} (keys {} and {rest} more)", keys.join(", ")),
    }
}

/// An anomaly over operations given by their positions in the history.
pub(crate) fn anomaly(
    kind: Kind,
    key: &str,
    summary: String,
    operations: &[u32],
    intake: &Intake<'_>,
) -> Anomaly {
    let mut at: Vec<u32> = operations.to_vec();
    at.sort_unstable_by_key(|i| (intake.op(*i).invoked, intake.op(*i).index));
    at.dedup();
    at.truncate(4);
    Anomaly {
        name: kind.name().into(),
        key: key.into(),
        summary,
        operations: at
            .iter()
            .map(|i| OperationRecord::from(intake.op(*i)))
            .collect(),
        violates: String::new(),
        around: Vec::new(),
    }
}

/// Puts a violation of one key into words. `at` maps its operations to the history.
pub(crate) fn explain(v: &Violation, key: &str, at: &[u32], intake: &Intake<'_>) -> Anomaly {
    let op = |i: u32| intake.op(at[i as usize]);
    let culprit = who(op(v.culprit));
    let against = v.against.map(|i| who(op(i)));
    let other = against.unwrap_or_else(|| "the initial state".into());
    let summary = match v.kind {
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
        Kind::NotLinearizable | Kind::LostWrite => {
            format!("no order of the operations on this key explains this one: {culprit}")
        }
    };
    let positions: Vec<u32> = v.operations().iter().map(|i| at[*i as usize]).collect();
    anomaly(v.kind, key, summary, &positions, intake)
}

/// `process 3 (AZ a, endpoint b) wrote 17 [+1.200000 s to +1.210000 s]`
pub(crate) fn who(op: &Operation) -> String {
    let show = |v: &Option<i64>| v.map_or("nothing".to_string(), |v| v.to_string());
    let what = match (&op.call, &op.outcome) {
        (Call::Read { strong, .. }, outcome) => {
            let how = if *strong { "" } else { "eventually " };
            match outcome {
                Outcome::Ok { value } => format!("{how}read {}", show(value)),
                _ => format!("{how}read"),
            }
        }
        (Call::Add { delta, .. }, Outcome::Ok { value: Some(sum) }) => {
            format!("added {delta} and made {sum}")
        }
        (Call::Add { delta, .. }, outcome) => match outcome {
            Outcome::Ok { .. } => format!("added {delta}"),
            Outcome::Failed { .. } => format!("failed to add {delta}"),
            Outcome::Unknown { .. } => format!("added {delta} with unknown outcome"),
        },
        (Call::Write { value, .. } | Call::Insert { value, .. }, Outcome::Ok { .. }) => {
            format!("wrote {value}")
        }
        (Call::Write { value, .. } | Call::Insert { value, .. }, Outcome::Failed { .. }) => {
            format!("failed to write {value}")
        }
        (Call::Write { value, .. } | Call::Insert { value, .. }, Outcome::Unknown { .. }) => {
            format!("wrote {value} with unknown outcome")
        }
        (Call::Cas { expected, new, .. }, outcome) => {
            let change = format!("{} to {new}", show(expected));
            match outcome {
                Outcome::Ok { .. } => format!("changed {change}"),
                Outcome::Unknown { .. } => format!("changed {change} with unknown outcome"),
                Outcome::Failed {
                    observed: Some(v), ..
                } => format!("failed to change {change} and found {}", show(v)),
                Outcome::Failed { .. } => format!("failed to change {change}"),
            }
        }
    };
    let end = match op.returned {
        Some(t) => format!("to {}", micros(t)),
        None => "never returned".into(),
    };
    format!(
        "process {} (AZ {}, endpoint {}) {what} [{} {end}]",
        op.process,
        op.az,
        op.endpoint,
        micros(op.invoked)
    )
}

/// Milliseconds are too coarse to see which of two operations came first.
fn micros(t: Nanos) -> String {
    format!("+{:.6} s", t.as_secs_f64())
}
