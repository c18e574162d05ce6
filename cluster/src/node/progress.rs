//! Whether a leader still does what it leads for. Pure.

use std::time::{Duration, Instant};

/// A leader that has applied nothing for so long although something is committed hangs. Its
/// heartbeats keep others from leading, so its node ends.
pub const HANGS_AFTER: Duration = Duration::from_secs(10);

/// What a replica had applied when, as it is looked at again and again.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    applied: u64,
    since: Instant,
}

impl Progress {
    /// Begins to look.
    pub fn new(now: Instant) -> Self {
        Progress {
            applied: 0,
            since: now,
        }
    }

    /// For how long nothing that is committed was applied; zero if there is nothing to do.
    pub fn stuck(&mut self, applied: u64, committed: u64, now: Instant) -> Duration {
        if applied != self.applied || applied >= committed {
            *self = Progress {
                applied,
                since: now,
            };
        }
        now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_committed_entries_that_stay_unapplied_count() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut progress = Progress::new(start);
        assert_eq!(progress.stuck(5, 5, at(100)), Duration::ZERO, "idle");
        assert_eq!(progress.stuck(5, 9, at(101)), Duration::from_secs(1));
        assert_eq!(progress.stuck(6, 900, at(109)), Duration::ZERO, "slow");
        assert_eq!(progress.stuck(6, 900, at(119)), Duration::from_secs(10));
        assert_eq!(progress.stuck(900, 900, at(120)), Duration::ZERO);
    }
}
