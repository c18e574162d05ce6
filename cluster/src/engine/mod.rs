//! The crash-safe B-tree under each replica: redb on our disk layer.
//!
//! One [`Tree`] per replication group. What the log says is applied in
//! transactions that are not durable by themselves, together with an opaque
//! *applied meta* (the consensus layer keeps log id and membership in it), so
//! contents and meta never disagree. [`Tree::checkpoint`] makes all that was
//! applied durable; after a power-off the tree is at its last checkpoint (or at
//! a later complete transaction) and the log, from there on, is applied again.
//!
//! Protection of the data:
//! - Each value is stored with a CRC-32C over key and value, checked at every
//!   read; a value that fails is an [`EngineError::Corrupt`], never served.
//! - Opening always verifies the checksum of every page (also after a clean
//!   shutdown: it costs one pass over the file, and finds damage while it can
//!   still be repaired from a peer).
//! - redb may panic on damage it does not expect. Every call into it is
//!   contained: a panic becomes [`EngineError::Corrupt`], and the tree refuses
//!   everything until it is opened again.
//!
//! All methods block for the time of their I/O.

mod backend;
mod store;
#[cfg(test)]
mod tests;
mod transfer;
mod tree;

pub use tree::{Page, Snapshot, Tree};

use std::io;

/// A key and its new value, or `None` to remove it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// Largest key in bytes.
pub const MAX_KEY: usize = 64 << 10;
/// Largest value in bytes.
pub const MAX_VALUE: usize = 32 << 20;
/// Largest applied meta in bytes.
pub const MAX_META: usize = 1 << 20;

/// Count and hash of everything in a tree, for comparing replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Number of keys.
    pub count: u64,
    /// SHA-256 over all keys and values in key order, each with its length.
    pub sha256: [u8; 32],
    /// The applied meta of exactly this state.
    pub applied: Option<Vec<u8>>,
}

impl Digest {
    /// The hash in lower-case hexadecimal.
    pub fn hex(&self) -> String {
        self.sha256.iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl From<EngineError> for io::Error {
    /// Keeps the disk's own kind: a full disk is something else than a broken tree.
    fn from(error: EngineError) -> Self {
        let kind = match &error {
            EngineError::Io { error, .. } => error.kind(),
            EngineError::Corrupt { .. } | EngineError::BadCopy { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// Why a tree did not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The file is damaged. The replica must be rebuilt from its peers.
    #[error("tree {file} is corrupt: {reason}")]
    Corrupt {
        /// Name on the disk.
        file: String,
        /// What was found.
        reason: String,
    },
    /// The file was written by a build with another format. Nothing is damaged, and nothing was
    /// touched.
    #[error(
        "tree {file} has format version {version}, which this build does not know: start a build \
         that does; the file is as it was"
    )]
    Unknown {
        /// Name on the disk.
        file: String,
        /// Its version.
        version: u8,
    },
    /// An exported tree that cannot be installed; nothing was changed.
    #[error("tree {file}: the received copy is not valid: {reason}")]
    BadCopy {
        /// Name on the disk.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key, value or meta over its limit; nothing was changed.
    #[error("tree {file}: {reason}")]
    TooLarge {
        /// Name on the disk.
        file: String,
        /// Which limit.
        reason: String,
    },
    /// The tree was destroyed, or refuses after an earlier failure.
    #[error("tree {file} is closed: {reason}")]
    Closed {
        /// Name on the disk.
        file: String,
        /// Since when.
        reason: String,
    },
    /// The disk failed.
    #[error("tree {file}: {error}")]
    Io {
        /// Name on the disk.
        file: String,
        /// What it said.
        error: io::Error,
    },
}
