//! How much work one request's expressions may make.
//!
//! Evaluation runs on a node's only thread, and for a write on every replica, so
//! that its cost must not depend on what a client thought of: everything that
//! grows with an item or a value is counted while it is done, and evaluation
//! ends with an error when it becomes too much. The count depends on item and
//! request alone, so that all replicas decide alike.

/// Work of visiting one element of a document, as bytes that could be compared meanwhile.
pub(super) const NODE: usize = 32;
/// Most work of one evaluation, in bytes compared: a fraction of a leader's lease, also where
/// bytes are searched in the slowest way. (To compare two of the largest items made of the
/// smallest values is a quarter of it.)
pub const MAX_WORK: usize = 32 << 20;

/// An expression that would take too much work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "The expression takes too much work on this item; it compares or searches more than {MAX_WORK} bytes"
)]
pub struct TooMuchWork;

/// What is left to one evaluation.
#[derive(Debug)]
pub struct Work {
    left: usize,
}

impl Default for Work {
    fn default() -> Self {
        Self::of(MAX_WORK)
    }
}

impl Work {
    /// As much as this, in bytes compared.
    pub fn of(left: usize) -> Self {
        Self { left }
    }

    /// What is left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Takes from what is left, before the work is done.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), TooMuchWork> {
        self.left = self.left.checked_sub(bytes).ok_or(TooMuchWork)?;
        Ok(())
    }
}
