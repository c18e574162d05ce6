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
    /// The current value gets longer: the value is a text and this, another
    /// one, is put at its end. Only [`crate::frontier::search_texts`] takes it.
    Append(i64),
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

/// Operations of one key, wherever they are kept. Positions are below `len`.
pub trait Operations {
    /// How many there are.
    fn len(&self) -> usize;
    /// One of them.
    fn get(&self, i: u32) -> RegisterOp;
    /// When it was sent.
    fn start(&self, i: u32) -> u64 {
        self.get(i).start
    }
    /// When its outcome was known, or [`FOREVER`].
    fn finish(&self, i: u32) -> u64 {
        self.get(i).finish
    }
    /// Whether it writes (or may have written) a value.
    fn effectful(&self, i: u32) -> bool {
        self.get(i).writes().is_some()
    }
    /// True if there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Operations for [RegisterOp] {
    fn len(&self) -> usize {
        <[RegisterOp]>::len(self)
    }
    fn get(&self, i: u32) -> RegisterOp {
        self[i as usize]
    }
}

impl Operations for Vec<RegisterOp> {
    fn len(&self) -> usize {
        Vec::len(self)
    }
    fn get(&self, i: u32) -> RegisterOp {
        self[i as usize]
    }
}

impl<const N: usize> Operations for [RegisterOp; N] {
    fn len(&self) -> usize {
        N
    }
    fn get(&self, i: u32) -> RegisterOp {
        self[i as usize]
    }
}
