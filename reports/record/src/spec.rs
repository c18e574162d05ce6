//! What a playbook asks for, as data: the cluster, the workload, the SLO.
//! Parsed by `chaos`, given meaning by `cluster`, `canary` and `reports`.

use crate::operation::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `[cluster]`: the store to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Number of AZs; 3 (one replica of every partition in each).
    pub azs: u32,
    /// Storage nodes per AZ, 1 to 8.
    pub storage_nodes_per_az: u32,
    /// Partitions per table, 1 to 64.
    pub partitions: u32,
    /// IPv4 network of the docker runtime, a /16 or larger; a /24 of it per AZ.
    pub subnet: String,
    /// Racks per AZ, 1 to 8; the nodes of an AZ are spread over them in turn.
    #[serde(default = "one_rack")]
    pub racks_per_az: u32,
    /// Names of the nodes that carry a label, by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Vec<String>>,
}

fn one_rack() -> u32 {
    1
}

impl Default for ClusterSpec {
    fn default() -> Self {
        ClusterSpec {
            azs: 3,
            storage_nodes_per_az: 2,
            partitions: 6,
            subnet: "198.18.0.0/16".into(),
            racks_per_az: 1,
            labels: BTreeMap::new(),
        }
    }
}

/// `[workload]`: what the canaries do.
///
/// The shares (`writes` to `eventual_reads`) are 0 to 1 each and 1 together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadSpec {
    /// Operations per second of each canary through each endpoint, 1 to 1000.
    pub rate: f64,
    /// Number of distinct registers in each table, shared by all canaries, 1 to 100 000.
    pub keys: u32,
    /// How a register is chosen.
    #[serde(default)]
    pub choice: KeyChoice,
    /// Number of tables, 1 to 8; each has the registers, counters and inserts of its own.
    #[serde(default = "one")]
    pub tables: u32,
    /// Share of unconditional writes.
    pub writes: f64,
    /// Share of writes of a key that nobody else ever writes: a durable set.
    /// Nothing hides their loss, so the final reads must find each that was
    /// acknowledged. Some reads look for recent ones, which measures how soon
    /// they are visible.
    #[serde(default)]
    pub inserts: f64,
    /// Share of conditional writes (compare-and-set).
    pub cas: f64,
    /// Share of additions to counters.
    #[serde(default)]
    pub adds: f64,
    /// Share of strongly consistent reads.
    pub strong_reads: f64,
    /// Share of eventually consistent reads.
    pub eventual_reads: f64,
    /// Milliseconds after which a call is given up, 50 to 60 000.
    pub timeout_ms: u64,
    /// Milliseconds after its due time from which on an answer comes too late to count as one, 1 to
    /// less than the timeout; without it, every answer before the timeout counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_after_ms: Option<u64>,
    /// Bytes of filler in each item, 0 to 100 000; the least if `item_bytes_max` is set.
    pub item_bytes: u32,
    /// Most bytes of filler, 0 to 100 000: sizes are then uniform between the two.
    #[serde(default)]
    pub item_bytes_max: Option<u32>,
    /// Share of calls that open a connection of their own, 0 to 1; the others
    /// use connections that were kept.
    #[serde(default)]
    pub fresh_connections: f64,
    /// Attempts that a request has, 1 to 10. Beyond 1, a request that was not
    /// answered is tried again as the AWS SDKs' standard retry mode does.
    #[serde(default = "one")]
    pub attempts: u32,
}

fn one() -> u32 {
    1
}

impl Default for WorkloadSpec {
    fn default() -> Self {
        WorkloadSpec {
            rate: 20.0,
            keys: 60,
            choice: KeyChoice::Uniform,
            tables: 1,
            writes: 0.15,
            inserts: 0.1,
            cas: 0.15,
            adds: 0.0,
            strong_reads: 0.4,
            eventual_reads: 0.2,
            timeout_ms: 2000,
            slow_after_ms: None,
            item_bytes: 100,
            item_bytes_max: None,
            fresh_connections: 0.0,
            attempts: 1,
        }
    }
}

impl WorkloadSpec {
    /// Names of the tables: the first is called `first`, the others
    /// `<first>-2`, `<first>-3` and so on.
    pub fn table_names(&self, first: &str) -> Vec<String> {
        std::iter::once(first.to_string())
            .chain((2..=self.tables).map(|n| format!("{first}-{n}")))
            .collect()
    }

    /// The share of operations of a kind; of all kinds if it is `None`.
    pub fn share(&self, kind: Option<Kind>) -> f64 {
        match kind {
            None => 1.0,
            Some(Kind::Write) => self.writes + self.inserts + self.cas + self.adds,
            Some(Kind::StrongRead) => self.strong_reads,
            Some(Kind::EventualRead) => self.eventual_reads,
        }
    }
}

/// How a workload chooses among its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum KeyChoice {
    /// Each as often as any other.
    #[default]
    Uniform,
    /// The key of rank r (from 1) with a frequency proportional to r to the power of -theta.
    Zipfian {
        /// Skew, above 0, at most 2; YCSB's is 0.99.
        theta: f64,
    },
    /// A few keys get a share of all calls; the others share the rest evenly.
    Hot {
        /// How many, 1 to `keys`.
        keys: u32,
        /// Their share of all calls, 0 to 1.
        share: f64,
    },
}

/// Which AZ × endpoint pairs count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// Those whose AZ and endpoint no fault of the run touches: the regional promise.
    Untouched,
}

/// Which operations count. An absent filter lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// What was asked.
    pub kind: Option<Kind>,
    /// Table.
    pub table: Option<String>,
    /// AZ of the canary.
    pub az: Option<String>,
    /// AZ of the endpoint.
    pub endpoint: Option<String>,
    /// Which pairs.
    pub scope: Scope,
}

/// Something that must hold over the whole measured time (baseline, faults and cooldown).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Name, unique in the playbook.
    pub name: String,
    /// Of which operations.
    #[serde(default)]
    pub selection: Selection,
    /// What must hold.
    pub target: Target,
}

/// What must hold. Shares are 0 to 1, times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "sli")]
pub enum Target {
    /// Share of first attempts that were answered.
    Availability {
        /// Least share.
        at_least: f64,
    },
    /// Share of requests that were answered by one of their attempts.
    RequestAvailability {
        /// Least share.
        at_least: f64,
    },
    /// Mean over slices of time of their answered share, weighted by the time that they cover;
    /// slices without data do not count.
    SlicedAvailability {
        /// Length of a slice, 1 000 to 86 400 000, whole seconds.
        slice_ms: u64,
        /// Least mean.
        at_least: f64,
    },
    /// Share of the time in which pairs were up (user-uptime).
    Uptime {
        /// Least share.
        at_least: f64,
    },
    /// The worst window of a length (a point of the MCR curve).
    WorstWindow {
        /// Length of a window, whole seconds.
        window_ms: u64,
        /// Least share answered in it.
        at_least: f64,
    },
    /// A quantile of the latency of all calls from their due times, those
    /// without an answer counted as infinitely slow.
    Latency {
        /// Which, above 0, below 1.
        quantile: f64,
        /// At most this long.
        at_most_ms: u64,
    },
    /// Longest time between two completions of acknowledged operations through any pair that counts.
    LongestGap {
        /// At most this long.
        at_most_ms: u64,
    },
    /// Time from the completion of the revert of an injection, once it is proven, to recovery.
    Recovery {
        /// At most this long.
        at_most_ms: u64,
    },
}

/// `[slo]` and `[[objective]]`: what must hold over the whole measured time.
/// What is absent is not judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SloSpec {
    /// Which pairs count for the five fields that follow.
    #[serde(default)]
    pub scope: Scope,
    /// Least share of answered writes (of every sort), 0 to 1.
    pub write_availability: Option<f64>,
    /// Least share of answered strongly consistent reads, 0 to 1.
    pub read_availability: Option<f64>,
    /// Least share of answered eventually consistent reads, 0 to 1.
    pub eventual_read_availability: Option<f64>,
    /// Longest time, in milliseconds, between two completions of acknowledged writes through any
    /// endpoint.
    pub max_write_gap_ms: Option<u64>,
    /// Longest time, in milliseconds, from the completion of the revert of an injection to recovery.
    pub recover_within_ms: Option<u64>,
    /// `[[objective]]`.
    #[serde(default)]
    pub objectives: Vec<Objective>,
}

impl SloSpec {
    /// Everything that is promised, the short fields of `[slo]` first.
    pub fn all(&self) -> Vec<Objective> {
        let select = |kind| Selection {
            kind,
            scope: self.scope,
            ..Selection::default()
        };
        let share = |name: &str, kind, at_least: Option<f64>| {
            at_least.map(|at_least| Objective {
                name: name.into(),
                selection: select(Some(kind)),
                target: Target::Availability { at_least },
            })
        };
        let short = [
            share("write_availability", Kind::Write, self.write_availability),
            share(
                "read_availability",
                Kind::StrongRead,
                self.read_availability,
            ),
            share(
                "eventual_read_availability",
                Kind::EventualRead,
                self.eventual_read_availability,
            ),
            self.max_write_gap_ms.map(|at_most_ms| Objective {
                name: "max_write_gap".into(),
                selection: select(Some(Kind::Write)),
                target: Target::LongestGap { at_most_ms },
            }),
            self.recover_within_ms.map(|at_most_ms| Objective {
                name: "recover_within".into(),
                selection: select(None),
                target: Target::Recovery { at_most_ms },
            }),
        ];
        let long = self.objectives.iter().cloned();
        short.into_iter().flatten().chain(long).collect()
    }
}

/// `[[alarm]]`: what a customer's monitoring would say, evaluated live and again
/// in the report by the same fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmSpec {
    /// Name, unique in the playbook.
    pub name: String,
    /// Of which operations.
    #[serde(default)]
    pub selection: Selection,
    /// When it fires.
    pub rule: AlarmRule,
    /// True if it ends the run when it fires: a stop condition.
    #[serde(default)]
    pub stop: bool,
    /// Whether this run should make it fire; `None`: it is only told.
    #[serde(default)]
    pub expect: Option<bool>,
    /// Of one that should fire: how long after an injection's act it may be until that can be
    /// known, at most, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
}

/// When an alarm fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum AlarmRule {
    /// In `bad` of the last `of` whole seconds more than `share` of the
    /// operations were not answered, and in all of these at least `failures`.
    /// Judged pair by pair: it fires if any pair that counts is so.
    Failures {
        /// Share of a second's operations, 0 to 1 (exclusive).
        share: f64,
        /// Bad seconds, 1 to `of`.
        bad: u32,
        /// Of so many, 1 to 3600.
        of: u32,
        /// Least number of failures, at least 1.
        failures: u64,
    },
    /// Multi-window burn rate (Google's SRE workbook, chapter 5): fires while the share of
    /// errors exceeds `factor × (1 - objective)` over both windows.
    BurnRate {
        /// What is promised, 0 to 1 (exclusive).
        objective: f64,
        /// Long window, milliseconds, whole seconds.
        long_ms: u64,
        /// Short window, milliseconds, whole seconds, less than the long one.
        short_ms: u64,
        /// Burn rate, above 0.
        factor: f64,
        /// True if time before the measurement counts as free of errors (as
        /// production would see it); false if the windows must lie in the run.
        clean_before: bool,
    },
}

impl Default for AlarmRule {
    /// More than 1 % failed in 3 of 5 seconds, and at least 5 failures.
    fn default() -> Self {
        AlarmRule::Failures {
            share: 0.01,
            bad: 3,
            of: 5,
            failures: 5,
        }
    }
}
