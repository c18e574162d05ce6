//! The memory that requests take while they are worked on: bounded for all of
//! them together, so that no client can have all of an endpoint's by many
//! connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of every request, as much does not count: it is bounded by the number of connections, and
/// the usual request has no more.
const FREE: usize = 16 << 10;

/// What is left to all requests, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Memory(Arc<AtomicUsize>);

/// All of it is taken at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What one request has taken; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: Memory,
    free: usize,
    taken: usize,
}

impl Memory {
    pub(super) fn of(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Nothing, to begin with.
    pub(super) fn share(&self) -> Share {
        Share {
            memory: self.clone(),
            free: FREE,
            taken: 0,
        }
    }
}

impl Share {
    /// Takes more. There is no waiting for it: requests that have a part and wait for the rest
    /// would wait for each other.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let free = bytes.min(self.free);
        self.free -= free;
        let counted = bytes - free;
        if counted == 0 {
            return Ok(());
        }
        let left = &self.memory.0;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(counted)
        })
        .map_err(|_| Full)?;
        self.taken += counted;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.0.fetch_add(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_back_and_small_ones_are_free() {
        let memory = Memory::of(100);
        let mut first = memory.share();
        assert_eq!(first.grow(FREE + 60), Ok(()));
        let mut second = memory.share();
        assert_eq!(second.grow(FREE), Ok(()));
        assert_eq!(second.grow(41), Err(Full));
        assert_eq!(second.grow(40), Ok(()));
        assert_eq!(first.grow(1), Err(Full));
        drop(second);
        assert_eq!(first.grow(40), Ok(()));
        drop(first);
        assert_eq!(memory.share().grow(FREE + 100), Ok(()));
    }
}
