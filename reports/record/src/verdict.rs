//! Verdicts have three values. A check that did not run is not a pass.

use crate::operation::Operation;
use serde::{Deserialize, Serialize};

/// Pass, fail, or we do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Shown to hold.
    Pass,
    /// Shown not to hold.
    Fail,
    /// Could not be decided; the reason stands beside it.
    Unknown,
}

impl Verdict {
    /// Fail over unknown over pass: one unknown never hides a failure, and
    /// never becomes a pass.
    pub fn and(self, other: Verdict) -> Verdict {
        use Verdict::*;
        match (self, other) {
            (Fail, _) | (_, Fail) => Fail,
            (Unknown, _) | (_, Unknown) => Unknown,
            (Pass, Pass) => Pass,
        }
    }
}

/// One thing wrong with the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The field's term: the name of an [`AnomalyKind`](crate::AnomalyKind).
    pub name: String,
    /// Key it is about.
    pub key: String,
    /// One sentence.
    pub summary: String,
    /// The weakest consistency model that it violates: the name of a
    /// [`Model`](crate::Model); empty if none was named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub violates: String,
    /// The operations that show it, four at most.
    pub operations: Vec<OperationRecord>,
    /// Others on the same key around them, in order of time; at most 12.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub around: Vec<OperationRecord>,
}

/// An operation as it stands in verdicts and reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationRecord {
    /// Index in the history.
    pub index: u64,
    /// Logical client.
    pub process: u64,
    /// AZ of the canary.
    pub az: String,
    /// AZ of the endpoint.
    pub endpoint: String,
    /// Table, if it has a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub table: String,
    /// For people: `write 17`, `read → 12`, `cas 12 → 17`.
    pub what: String,
    /// Start, nanoseconds since the epoch.
    pub invoked: crate::time::Nanos,
    /// End; absent if the call never returned.
    pub returned: Option<crate::time::Nanos>,
    /// `ok`, `failed` or `unknown`.
    pub outcome: String,
}

impl From<&Operation> for OperationRecord {
    fn from(o: &Operation) -> Self {
        use crate::operation::{Call, Outcome};
        let show = |v: Option<i64>| v.map_or("nothing".to_string(), |v| v.to_string());
        let mut what = match &o.call {
            Call::Read { strong: true, .. } => "read".to_string(),
            Call::Read { strong: false, .. } => "eventual read".to_string(),
            Call::Write { value, .. } => format!("write {value}"),
            Call::Insert { value, .. } => format!("insert {value}"),
            Call::Add { delta, .. } => format!("add {delta}"),
            Call::Cas { expected, new, .. } => format!("cas {} to {new}", show(*expected)),
        };
        let outcome = match &o.outcome {
            Outcome::Ok { value } => {
                match (&o.call, value) {
                    (Call::Read { .. }, _) => {
                        what.push_str(&format!(" found {}", show(*value)));
                    }
                    (Call::Add { .. }, Some(sum)) => what.push_str(&format!(" made {sum}")),
                    _ => {}
                }
                "ok"
            }
            Outcome::Failed { observed, .. } => {
                if let Some(seen) = observed {
                    what.push_str(&format!(" found {}", show(*seen)));
                }
                "failed"
            }
            Outcome::Unknown { .. } => "unknown",
        };
        OperationRecord {
            index: o.index,
            process: o.process,
            az: o.az.clone(),
            endpoint: o.endpoint.clone(),
            table: o.table.clone(),
            what,
            invoked: o.invoked,
            returned: o.returned,
            outcome: outcome.into(),
        }
    }
}

/// One check of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// `lost-writes`, `linearizability`, `eventual-reads`, `replicas-equal`.
    pub name: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// What was examined, in a sentence, or why the verdict is unknown.
    pub detail: String,
    /// What is wrong; at most 20, the rest counted in `anomalies_total`.
    #[serde(default)]
    pub anomalies: Vec<Anomaly>,
    /// All that were found.
    #[serde(default)]
    pub anomalies_total: u64,
    /// What it measured beside its verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<Measure>,
}

/// The distribution of something that a check measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// For people: `staleness of eventual reads`, `time to visibility`.
    pub name: String,
    /// `ms` or `versions`.
    pub unit: String,
    /// Number of samples; the quantiles are 0 if there is none.
    pub samples: u64,
    /// Median.
    pub p50: f64,
    /// 90th percentile (nearest rank).
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// What became of writes of unknown outcome, found out afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Writes of unknown outcome.
    pub unknown: u64,
    /// Took effect: a read or a conditional write found their value.
    pub seen: u64,
    /// Took effect: the store's log has them as applied.
    pub logged: u64,
    /// Had no effect: the store's log is whole and does not have them.
    pub absent: u64,
    /// Cannot be said.
    pub open: u64,
}

/// `verdict.json`: the data verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataVerdict {
    /// All checks together.
    pub verdict: Verdict,
    /// Each check.
    pub checks: Vec<Check>,
    /// What became of writes of unknown outcome; absent if nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
}

impl DataVerdict {
    /// Name of the check that stands for all where none was asked for.
    pub const NOT_JUDGED: &'static str = "not-judged";

    /// Merges checks; none at all is unknown.
    pub fn new(checks: Vec<Check>) -> Self {
        let verdict = if checks.is_empty() {
            Verdict::Unknown
        } else {
            checks.iter().fold(Verdict::Pass, |v, c| v.and(c.verdict))
        };
        DataVerdict {
            verdict,
            checks,
            resolution: None,
        }
    }
}

/// Digests of one partition's replicas at the end of the run (`replicas.json`
/// holds a list of these).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionDigests {
    /// For example `canary/0`.
    pub partition: String,
    /// One per replica that should exist.
    pub replicas: Vec<ReplicaDigest>,
}

/// One replica's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaDigest {
    /// Node.
    pub node: String,
    /// Index of the last log entry applied; `None` if the node did not answer.
    pub applied: Option<u64>,
    /// Digest over all items, hexadecimal; `None` if the node did not answer.
    pub digest: Option<String>,
    /// Number of items.
    pub items: Option<u64>,
}
