//! The object that is checked: one key as a register that can be read,
//! written and conditionally written.
//!
//! Both checkers ([`crate::zones`] and [`crate::frontier`]) take the operations
//! of one key in this form. Where the operations came from does not matter.

/// What a key holds: a number, or nothing.
pub type Value = Option<i64>;

/// End of an operation whose outcome is unknown: it may take effect at any
/// time after its start, or never.
pub const FOREVER: u64 = u64::MAX;

/// Latest time that can be checked; two values above it are reserved.
pub const LATEST: u64 = u64::MAX - 2;

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A read that found this. Reads that end [`FOREVER`] are ignored.
    Read(Value),
    /// A write; of unknown outcome if it ends [`FOREVER`].
    Write(i64),
    /// A compare-and-set that succeeded; of unknown outcome if it ends [`FOREVER`].
    Cas {
        /// What had to be there.
        expected: Value,
        /// What is there afterwards.
        new: i64,
    },
    /// A write or compare-and-set that certainly had no effect and tells
    /// nothing about the key, for example because it was never sent. Its value
    /// is remembered: a read that finds it is dirty.
    FailedWrite(i64),
    /// A compare-and-set whose condition did not hold.
    FailedCas {
        /// What should have been there.
        expected: Value,
        /// What it would have written.
        new: i64,
        /// What was there instead, if it was reported.
        found: Option<Value>,
    },
}

/// One operation on one key. Times are any monotonic count (nanoseconds,
/// event numbers) up to [`LATEST`]; an interval includes both its ends, so
/// operations that touch in one instant are concurrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegisterOp {
    /// When it was sent.
    pub start: u64,
    /// When its outcome was known, or [`FOREVER`].
    pub finish: u64,
    /// What it did.
    pub action: Action,
}

impl RegisterOp {
    /// True if it may or may not have had its effect.
    pub fn unknown(&self) -> bool {
        self.finish == FOREVER
    }

    /// The value it writes, if it has (or may have) an effect.
    pub fn writes(&self) -> Option<i64> {
        match self.action {
            Action::Write(v) | Action::Cas { new: v, .. } => Some(v),
            _ => None,
        }
    }
}
