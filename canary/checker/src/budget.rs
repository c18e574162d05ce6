//! How much a search may cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Limits of one whole check; every pass asks it in its innermost loop.
///
/// A clone has the same deadline and counts its memory into the same sum, so
/// that threads which work on one check share both; steps are its own.
///
/// ```
/// use gameday_checker::Budget;
/// let mut budget = Budget::unlimited().steps(2);
/// assert!(budget.spend().is_ok());
/// assert!(budget.spend().is_ok());
/// assert_eq!(budget.spend().unwrap_err().to_string(), "2 steps were not enough");
/// ```
#[derive(Clone, Debug)]
pub struct Budget {
    deadline: Option<(Instant, Duration)>,
    max_steps: u64,
    max_bytes: usize,
    steps: u64,
    /// In use by this clone, and by all.
    held: usize,
    total: Arc<AtomicUsize>,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// So much time was not enough.
    Time(Duration),
    /// So many steps were not enough.
    Steps(u64),
    /// So many bytes were not enough.
    Bytes(usize),
}

impl std::fmt::Display for Exhausted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exhausted::Time(d) => write!(f, "{d:?} were not enough"),
            Exhausted::Steps(n) => write!(f, "{n} steps were not enough"),
            Exhausted::Bytes(n) => write!(f, "{n} bytes of memory were not enough"),
        }
    }
}

/// The clock is read once in so many steps; a step takes well below a microsecond.
const STEPS_PER_CLOCK: u64 = 256;

impl Budget {
    /// No limit at all.
    pub fn unlimited() -> Self {
        Budget {
            deadline: None,
            max_steps: u64::MAX,
            max_bytes: usize::MAX,
            steps: 0,
            held: 0,
            total: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// At most this much time, from now.
    pub fn time(mut self, limit: Duration) -> Self {
        self.deadline = Instant::now().checked_add(limit).map(|at| (at, limit));
        self
    }

    /// At most so many steps (configurations looked at).
    pub fn steps(mut self, limit: u64) -> Self {
        self.max_steps = limit;
        self
    }

    /// At most about so many bytes of memory at a time.
    pub fn bytes(mut self, limit: usize) -> Self {
        self.max_bytes = limit;
        self
    }

    /// Steps taken so far.
    pub fn steps_taken(&self) -> u64 {
        self.steps
    }

    /// Takes one step.
    ///
    /// # Errors
    /// The limit that was reached.
    #[inline]
    pub fn spend(&mut self) -> Result<(), Exhausted> {
        if self.steps >= self.max_steps {
            return Err(Exhausted::Steps(self.max_steps));
        }
        if self.steps.is_multiple_of(STEPS_PER_CLOCK)
            && let Some((at, limit)) = self.deadline
            && Instant::now() >= at
        {
            return Err(Exhausted::Time(limit));
        }
        self.steps += 1;
        Ok(())
    }

    /// Looks at the clock, whatever the number of steps.
    ///
    /// # Errors
    /// The time is over.
    pub fn look(&self) -> Result<(), Exhausted> {
        match self.deadline {
            Some((at, limit)) if Instant::now() >= at => Err(Exhausted::Time(limit)),
            _ => Ok(()),
        }
    }

    /// Says how much memory is in use here, instead of what was said before.
    ///
    /// # Errors
    /// Together with that of the clones it is more than allowed.
    #[inline]
    pub fn holds(&mut self, bytes: usize) -> Result<(), Exhausted> {
        if bytes != self.held {
            self.total.fetch_add(bytes, Ordering::Relaxed);
            self.total.fetch_sub(self.held, Ordering::Relaxed);
            self.held = bytes;
        }
        if self.total.load(Ordering::Relaxed) > self.max_bytes {
            Err(Exhausted::Bytes(self.max_bytes))
        } else {
            Ok(())
        }
    }

    /// The memory that was in use here is free again.
    pub fn release(&mut self) {
        self.total.fetch_sub(self.held, Ordering::Relaxed);
        self.held = 0;
    }

    /// Whether there is anything left of it after so many turns, each of which
    /// takes at least twice the steps of the one before.
    ///
    /// # Errors
    /// The limit that was reached.
    pub(crate) fn left(&self, turns: u32) -> Result<(), Exhausted> {
        match self.max_steps.checked_shr(turns) {
            None | Some(0) => Err(Exhausted::Steps(self.max_steps)),
            Some(_) => self.look(),
        }
    }

    /// Does a part of the work within so many steps, at most what is left; its
    /// memory is free afterwards.
    pub(crate) fn part<T>(&mut self, steps: u64, work: impl FnOnce(&mut Budget) -> T) -> T {
        let left = self.max_steps.saturating_sub(self.steps);
        let mut part = self.share();
        part.max_steps = steps.min(left);
        let done = work(&mut part);
        part.release();
        self.steps += part.steps;
        done
    }

    /// The same limits, for another thread.
    pub(crate) fn share(&self) -> Budget {
        Budget {
            steps: 0,
            held: 0,
            ..self.clone()
        }
    }
}
