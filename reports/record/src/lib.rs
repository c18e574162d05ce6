//! What happened, as data.
//!
//! The leaf crate of the workspace: it knows serde and nothing of ours, and
//! every other crate meets the rest here. Canaries write [`history`], the
//! runner writes [`timeline`], checkers and reports read both; the seam
//! between doing and judging is the [`folder`].
//!
//! Times are [`Nanos`]: nanoseconds since the run's epoch on one host's
//! `CLOCK_MONOTONIC`, which its containers share.

#![warn(missing_docs)]
// What is said, the binary says: a library that prints can be ended by whoever reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod anomaly;
pub mod applied;
pub mod conditions;
pub mod folder;
pub mod history;
pub mod operation;
pub mod run;
pub mod spec;
pub mod time;
pub mod timeline;
pub mod topology;
pub mod verdict;

pub use anomaly::{AnomalyKind, Model};
pub use applied::{AppliedMemory, AppliedWrites, Fate, PartitionApplied, ReplicaApplied};
pub use folder::RunFolder;
pub use history::{Event, EventKind, HistoryHeader, HistoryLine};
pub use operation::{Attempt, Call, ErrorClass, Failure, Kind, Operation, Outcome};
pub use run::{Replay, RunInfo, RunState, Unpromised, Versions};
pub use spec::{
    AlarmRule, AlarmSpec, ClusterSpec, KeyChoice, Objective, Scope, Selection, SloSpec, Target,
    WorkloadSpec,
};
pub use time::{Nanos, RunClock};
pub use timeline::{Injection, Phase, Proof, ProofSide, TimelineEvent, TimelineLine};
pub use topology::{Node, Role, Topology};
pub use verdict::{
    Anomaly, Check, DataVerdict, Measure, PartitionDigests, ReplicaDigest, Resolution, Verdict,
};
