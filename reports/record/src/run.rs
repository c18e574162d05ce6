//! `run.json`: what was run, where, and how to run it again.

use crate::spec::{AlarmSpec, ClusterSpec, SloSpec, WorkloadSpec};
use crate::topology::Topology;
use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// All phases were gone through.
    Completed,
    /// The baseline was unhealthy, a fault could not be proven, or gameday itself failed.
    Failed,
    /// A stop condition, or somebody who asked for it, ended it.
    Stopped,
    /// A signal ended it.
    Interrupted,
}

/// `run.json`, written before the first act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// `<UTC time>-<playbook>-<seed>-<four letters>`, also the folder's name.
    pub id: String,
    /// Playbook's file stem, for example `az-power-off`.
    pub playbook: String,
    /// Playbook's title.
    pub title: String,
    /// The playbook's text, as it was.
    pub playbook_text: String,
    /// Seed of every choice.
    pub seed: u64,
    /// `docker` or `process`.
    pub runtime: String,
    /// UTC time of the epoch, RFC 3339.
    pub epoch_utc: String,
    /// `CLOCK_MONOTONIC` at the epoch, nanoseconds.
    pub epoch_monotonic_ns: u64,
    /// Nodes and AZs.
    pub topology: Topology,
    /// The cluster that was started, unless a system was adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterSpec>,
    /// What the canaries do.
    pub workload: WorkloadSpec,
    /// What must hold.
    pub slo: SloSpec,
    /// Alarms of the playbook.
    #[serde(default)]
    pub alarms: Vec<AlarmSpec>,
    /// Checks that are left out, because what was measured does not promise what they ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpromised: Vec<Unpromised>,
    /// Versions of everything that took part.
    pub versions: Versions,
    /// How to do it again.
    pub replay: Replay,
    /// The planned steps, one line each, as `gameday plan` prints them.
    pub plan: Vec<String>,
    /// The runner, as `boot id/pid/start time`, so that a dead run can be told from a live one.
    pub runner: String,
}

/// A check that is left out of the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpromised {
    /// Its name.
    pub check: String,
    /// Why, as a sentence.
    pub why: String,
}

/// Versions of everything that took part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// gameday's own.
    pub gameday: String,
    /// Docker engine, if it was used.
    pub docker: Option<String>,
    /// Kernel release.
    pub kernel: String,
    /// Number of processors of the host.
    pub cpus: u32,
}

/// How to run it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The whole command line, with the seed.
    pub command: String,
    /// Those of its options that are neither playbook, seed nor runtime, word by word.
    #[serde(default)]
    pub options: Vec<String>,
    /// Cargo features beyond the default that the binary was built with (`seeded-bugs`).
    #[serde(default)]
    pub features: Vec<String>,
}
