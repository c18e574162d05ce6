//! The condition of a node's disk and clock, as somebody outside the node
//! decides it: small JSON files in the node's data folder, written whole or
//! not at all. A node that was told to heed them looks at most a few
//! hundredths of a second late; without a file, all is well.
//!
//! Their names begin with a dot, so that no store takes them for its own.

use serde::{Deserialize, Serialize};

/// File of the [`DiskCondition`].
pub const DISK: &str = ".disk";
/// File in which the node's disk layer counts the [`DiskEffects`].
pub const DISK_EFFECTS: &str = ".disk-effects";

/// How the disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskCondition {
    /// It has no room left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<Full>,
    /// Every sync takes so many milliseconds longer, at most [`MAX_SYNC_DELAY_MS`].
    pub sync_delay_ms: u64,
    /// This kind of operation fails with an I/O error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails: Option<DiskOperation>,
}

/// Longest delay of a sync.
pub const MAX_SYNC_DELAY_MS: u64 = 60_000;

/// What needs room that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Full {
    /// What makes a file longer. Space that a file has can be written again.
    Growth,
    /// Every write, as on a file system that never writes in place.
    Writes,
}

/// A kind of operation on files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskOperation {
    /// Reading from a file.
    Read,
    /// Writing to a file, and changes of names.
    Write,
    /// Making files and names durable.
    #[default]
    Sync,
}

impl DiskOperation {
    /// For people and playbooks.
    pub fn name(self) -> &'static str {
        match self {
            DiskOperation::Read => "read",
            DiskOperation::Write => "write",
            DiskOperation::Sync => "sync",
        }
    }
}

/// What the condition did to the store: operations since the node's first
/// start. The node counts, so that somebody else can tell that it happened
/// even if the node ended because of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskEffects {
    /// Syncs that took longer.
    pub delayed: u64,
    /// Operations that found no room.
    pub refused: u64,
    /// Operations that failed with an I/O error.
    pub failed: u64,
}

/// What a node sees when it tries its disk: a block is appended to a file of
/// its own, synced, and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskProbe {
    /// Making the file longer.
    pub write: Tried,
    /// Syncing it; absent if there was no file to sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<Tried>,
    /// Reading it back; absent if nothing was written and synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Tried>,
}

/// One operation that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Microseconds that it took.
    pub micros: u64,
    /// How it ended.
    pub ended: Ended,
    /// What the disk said, if it was not done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Done.
    Done,
    /// There was no room.
    Full,
    /// It failed otherwise.
    Failed,
}

/// File of the [`ClockCondition`].
pub const CLOCK: &str = ".clock";

/// How wrong the clock is. A jump moves the wall clock and nothing else; a
/// drift changes the rate of the monotonic clock that leases are measured with,
/// and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockCondition {
    /// Milliseconds by which the wall clock is ahead.
    pub jump_ms: i64,
    /// Millionths by which the monotonic clock is too fast, at most [`MAX_DRIFT_PPM`] either way.
    pub drift_ppm: i32,
}

/// Largest drift: half as fast again, or half as fast.
pub const MAX_DRIFT_PPM: i32 = 500_000;

impl ClockCondition {
    /// The drift as a share: 0.05 is 5 % too fast.
    pub fn drift(&self) -> f64 {
        f64::from(self.drift_ppm) / 1e6
    }
}

/// What a node's clocks read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Nanoseconds on the monotonic clock; they begin anew with the process.
    pub monotonic_ns: u64,
    /// Nanoseconds since 1970 on the wall clock.
    pub wall_ns: u64,
}
