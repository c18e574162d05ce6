//! The write-ahead log: one per node, shared by all its replication groups.
//!
//! A dedicated thread does the group commit: it drains the queue into one
//! batch, writes it, calls `sync_data` once, and then every callback of the
//! batch. While it syncs, the next batch gathers.
//!
//! # What replay means
//!
//! Records are replayed in the order in which they were appended.
//! - [`Record::Entry`] sets the entry of its group at its index, replacing one
//!   that is there. It implies no truncation.
//! - [`Record::Truncate`] removes the group's entries from its index upwards
//!   (that index included).
//! - [`Record::Purge`] removes the group's entries up to its index (included)
//!   and moves the purge point there; the purge point never moves back.
//! - [`Record::State`] sets the state of that kind; the last one counts.
//! - [`Record::DropGroup`] forgets the group: entries, states and purge point.
//!
//! The records of one `append` are in one batch or, if they are many, in
//! consecutive batches; `done` is called after the last of them is durable. A
//! power-off before that leaves a prefix of them, in whole batches.
//!
//! # On disk
//!
//! Segments `<first sequence number>.wal`; see the private modules `format` for
//! the bytes and `recover` for how a torn tail is told from corruption.
//!
//! A segment is removed when no live entry is in it or in an older one: oldest
//! first, each removal durable before the next, so that there is never a gap.
//! States and purge points are repeated at the head of each new segment. A group
//! that falls idle would pin the segment of its last entries, and with it all that
//! came after: when there are more segments than about twice what is live in them,
//! the live entries of the oldest one are appended once more, and it goes. So the
//! files take at most about twice the live bytes, and four segments.

#[cfg(test)]
mod damage_tests;
mod format;
mod live;
mod queue;
mod recover;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use queue::{Wal, WalStats};

use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;

/// Called once, after the records are durable or failed for good. It runs on
/// the log's thread: it must be quick and must not block.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// One thing to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A log entry.
    Entry {
        /// Replication group.
        group: u64,
        /// Its place in the group's log.
        index: u64,
        /// Opaque contents, at most [`MAX_BODY`] bytes.
        body: Bytes,
    },
    /// Removes the entries from `from_index` on, that one included.
    Truncate {
        /// Replication group.
        group: u64,
        /// First index to go.
        from_index: u64,
    },
    /// A small named state (vote, committed, membership, …).
    State {
        /// Replication group.
        group: u64,
        /// Which state.
        kind: u8,
        /// Opaque contents, at most [`MAX_STATE`] bytes: it is repeated in every segment.
        body: Bytes,
    },
    /// Removes the entries up to `up_to_index`, that one included.
    Purge {
        /// Replication group.
        group: u64,
        /// Last index to go.
        up_to_index: u64,
    },
    /// Forgets a group.
    DropGroup {
        /// Replication group.
        group: u64,
    },
}

/// Largest entry body in bytes.
pub const MAX_BODY: usize = 32 << 20;
/// Largest state body in bytes.
pub const MAX_STATE: usize = 64 << 10;

/// How a log is laid out and bounded.
#[derive(Clone, Debug)]
pub struct WalOptions {
    /// Folder of the segments on the disk; made if missing.
    pub dir: String,
    /// Length of a segment in bytes, preallocated with zeros so that a sync need
    /// not commit metadata. A larger batch gets a segment of its own size.
    pub segment_bytes: u64,
    /// Appends wait while this many bytes are queued.
    pub queue_bytes: usize,
    /// A batch ends when it has reached this many bytes.
    pub batch_bytes: usize,
    /// Seeded bug: `done` is called right after the write, and the sync comes once a second.
    #[cfg(feature = "seeded-bugs")]
    pub ack_before_sync: bool,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            dir: "wal".to_owned(),
            segment_bytes: 16 << 20,
            queue_bytes: 32 << 20,
            batch_bytes: 4 << 20,
            #[cfg(feature = "seeded-bugs")]
            ack_before_sync: false,
        }
    }
}

/// What the log held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// By group. Groups of which nothing is known are absent.
    pub groups: BTreeMap<u64, RecoveredGroup>,
    /// What was cut off at the end, if anything.
    pub torn: Option<TornTail>,
}

/// One group's part of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredGroup {
    /// Entries by index.
    pub entries: BTreeMap<u64, Bytes>,
    /// Latest state of each kind.
    pub states: BTreeMap<u8, Bytes>,
    /// Entries up to this index (included) were purged.
    pub purged: Option<u64>,
}

/// An unfinished batch that was found at the end and cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Segment file.
    pub segment: String,
    /// Where the log ends now, in bytes from the start of the segment.
    pub offset: u64,
    /// Why the batch there is not valid.
    pub reason: String,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// Something that was durable is damaged: the log must not be used, and the
    /// node's replicas must be rebuilt from their peers.
    #[error("write-ahead log segment {segment} is corrupt at byte {offset}: {reason}")]
    Corrupt {
        /// Segment file.
        segment: String,
        /// Bytes from the start of the segment.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A segment was written by a build that knows more than this one. Nothing is damaged, and
    /// nothing was touched: a build that knows it can read it.
    #[error(
        "write-ahead log segment {segment} has {what}: start a build that knows it; the files are \
         as they were"
    )]
    Unknown {
        /// Segment file.
        segment: String,
        /// What is not known.
        what: String,
    },
    /// The options make no sense.
    #[error("write-ahead log options: {0}")]
    Options(String),
    /// The disk failed.
    #[error("write-ahead log: {0}")]
    Io(#[from] io::Error),
}
