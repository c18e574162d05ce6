//! What an injection cost, as it stands in a report.

use super::Gap;
use crate::fold::Kind;
use serde::{Deserialize, Serialize};

/// A time, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Milliseconds, rounded up.
    pub ms: Option<u64>,
    /// Why there is none; empty if there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// True if it was looked for to the end of the measurement and did not
    /// happen; false also if it could not be measured.
    #[serde(default)]
    pub never: bool,
}

impl Timing {
    /// A time that was measured.
    pub fn known(ms: u64) -> Self {
        Timing {
            ms: Some(ms),
            why: String::new(),
            never: false,
        }
    }
    /// It did not happen while it was measured.
    pub fn never(why: impl Into<String>) -> Self {
        Timing {
            ms: None,
            why: why.into(),
            never: true,
        }
    }
    /// Why there is none.
    pub fn unknown(why: impl Into<String>) -> Self {
        Timing {
            ms: None,
            why: why.into(),
            never: false,
        }
    }
    /// For people.
    pub fn text(&self) -> String {
        match self.ms {
            None => self.why.clone(),
            Some(0) => "at once".into(),
            Some(ms) => crate::numbers::millis(ms),
        }
    }
}

/// What an injection cost the canaries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Impact {
    /// From the act to recovery, or to the end of measurement or the next
    /// injection after the revert if that comes first. Failures in windows
    /// that overlap count in each.
    pub window: Gap,
    /// From the act to the due time of the first operation that was not answered:
    /// when the service began to fail. Absent if all were answered, zero if
    /// that one was under way already.
    pub first_impact_ms: Option<u64>,
    /// From the act until a client could know: to the completion of the first
    /// operation that was known not to be answered. Absent if all were.
    #[serde(default)]
    pub detected_ms: Option<u64>,
    /// From the act until an alarm could tell: the first of the playbook's that fired
    /// for it ([`super::Firing::known_at`]). Absent if none did.
    #[serde(default)]
    pub alarmed: Option<Alarmed>,
    /// From the act until every pair that no active fault touches was healthy,
    /// looked for from the first failure on; zero if none of them failed.
    pub elsewhere: Timing,
    /// From the completion of the revert, if it was proven, until every pair was healthy.
    pub recovery: Timing,
    /// From the completion of the revert to its proof: the fault may have been in force for so
    /// much longer, and the recovery be shorter by as much.
    #[serde(default)]
    pub revert_proof_ms: Option<u64>,
    /// From the act until every pair was healthy, the hold of the fault
    /// included, looked for from the first failure on; zero if nothing failed.
    #[serde(default)]
    pub total: Timing,
    /// Longest time between two completions of acknowledged writes, through any endpoint, that
    /// reaches into the window.
    pub write_gap_ms: Option<u64>,
    /// Per kind.
    pub kinds: Vec<KindImpact>,
    /// Per kind, AZ and endpoint; only those that missed something or browned out.
    #[serde(default)]
    pub pairs: Vec<PairImpact>,
}

/// The first alarm that told of an injection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarmed {
    /// From the act, milliseconds.
    pub ms: u64,
    /// Its name.
    pub name: String,
}

/// What an injection cost one kind of operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindImpact {
    /// Which kind.
    pub kind: Kind,
    /// Operations due in the window.
    pub attempts: u64,
    /// Operations under way in the window that certainly had no effect.
    pub failed: u64,
    /// … that may have had effect.
    pub unknown: u64,
    /// … that were answered too late.
    #[serde(default)]
    pub late: u64,
    /// From the act to the completion of the first success after the first failure, of the
    /// slowest pair that saw a failure. Absent if none did, or one of them is in `never`.
    pub first_success_ms: Option<u64>,
    /// Pairs (`a through b`) that saw a failure, and after it no success while it was measured.
    #[serde(default)]
    pub never: Vec<String>,
    /// The longest outage of a single pair.
    pub outage: Option<PairOutage>,
    /// Seconds of the window in which some were answered but fewer than 99 %, or
    /// enough with a 99th percentile of latency above twice the baseline's.
    #[serde(default)]
    pub brownout_s: u64,
}

/// What an injection cost one kind of operation of one pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairImpact {
    /// AZ of the canary.
    pub az: String,
    /// AZ of the endpoint.
    pub endpoint: String,
    /// What was asked.
    pub kind: Kind,
    /// Operations due in the window.
    pub attempts: u64,
    /// … and under way in it that certainly had no effect.
    pub failed: u64,
    /// … that may have had effect.
    pub unknown: u64,
    /// … that were answered too late.
    #[serde(default)]
    pub late: u64,
    /// From the act to the due time of the first failure.
    pub first_failure_ms: Option<u64>,
    /// From the act to the completion of the first one that was known to have failed.
    #[serde(default)]
    pub detected_ms: Option<u64>,
    /// From the act to the completion of the first success due after the first failure; absent
    /// if nothing failed, or nothing was answered after it while it was measured.
    pub first_success_ms: Option<u64>,
    /// Its longest outage.
    pub outage: Option<PairOutage>,
    /// As in [`KindImpact`], of this pair.
    pub brownout_s: u64,
}

/// The longest outage of a single pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairOutage {
    /// AZ of the canary.
    pub az: String,
    /// AZ of the endpoint.
    pub endpoint: String,
    /// At least, milliseconds.
    pub low_ms: u64,
    /// At most, milliseconds; absent if it was not over in the window.
    pub high_ms: Option<u64>,
    /// Operations not answered in a row.
    pub missed: u64,
}

impl KindImpact {
    /// Operations that were not answered, or too late.
    pub fn missed(&self) -> u64 {
        self.failed + self.unknown + self.late
    }
}

impl PairImpact {
    /// Operations that were not answered, or too late.
    pub fn missed(&self) -> u64 {
        self.failed + self.unknown + self.late
    }

    /// `a through b`.
    pub fn name(&self) -> String {
        format!("{} through {}", self.az, self.endpoint)
    }
}
