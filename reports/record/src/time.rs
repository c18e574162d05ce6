//! One clock per host: `CLOCK_MONOTONIC`, counted from the run's epoch.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds since the run's epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The run's epoch.
    pub const ZERO: Nanos = Nanos(0);
    /// Later than anything that happened: the return of a call that never did.
    pub const FOREVER: Nanos = Nanos(u64::MAX);

    /// Latest time at which something can have happened.
    pub const LATEST: Nanos = Nanos(u64::MAX - 2);

    /// Seconds since the epoch, for people and charts.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Nanos) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Nanos {
    type Output = Nanos;
    fn add(self, d: Duration) -> Nanos {
        Nanos(
            self.0
                .saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Nanos {
    type Output = Nanos;
    fn sub(self, d: Duration) -> Nanos {
        Nanos(
            self.0
                .saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// `+12.345 s`
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.3} s", self.as_secs_f64())
    }
}

/// The run's clock. Every process of a run on one host is given the same
/// `epoch`, so that their times can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunClock {
    /// `CLOCK_MONOTONIC` at the run's epoch, in nanoseconds.
    pub epoch: u64,
}

impl RunClock {
    /// A clock whose epoch is now.
    pub fn start() -> Self {
        RunClock {
            epoch: monotonic_ns(),
        }
    }

    /// Time since the epoch (zero before it).
    pub fn now(&self) -> Nanos {
        Nanos(monotonic_ns().saturating_sub(self.epoch))
    }

    /// The absolute `CLOCK_MONOTONIC` reading of `t`, for timers that sleep
    /// until an absolute time.
    pub fn absolute_ns(&self, t: Nanos) -> u64 {
        self.epoch.saturating_add(t.0)
    }
}

fn monotonic_ns() -> u64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is a valid, writable timespec; CLOCK_MONOTONIC exists on every Linux.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    debug_assert_eq!(rc, 0);
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}
