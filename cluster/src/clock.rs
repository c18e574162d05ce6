//! The node's clock, which somebody outside may set wrong.
//!
//! Two things can be wrong with it, and each moves something else:
//! - a **jump** moves the wall clock ([`wall`]): the creation times of tables.
//!   Nothing that is decided depends on it.
//! - a **drift** is a wrong rate of the monotonic clock ([`Tick`]): leases,
//!   elections and heartbeats, all waiting of consensus included. The leases
//!   have a margin of a tenth (see [`crate::consensus::lease`]); beyond it two
//!   nodes can disagree on whether a lease still holds.
//!
//! Deadlines of requests and connections are measured with the host's clock.
//! Without [`given`], this is the host's clock too.

use crate::outside::Outside;
use gameday_record::conditions::{self, ClockCondition, ClockReading};
use openraft::{AsyncRuntime, Instant as RaftInstant, OptionalSend};
use openraft_rt_tokio::TokioRuntime;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::path::Path;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A reading of the node's monotonic clock: time since some moment of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(Duration);

/// What the clock of this process is given from outside, if it is.
static GIVEN: OnceLock<Given> = OnceLock::new();
/// The host's clock at [`Tick`] zero.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

struct Given {
    condition: Outside<ClockCondition>,
    pace: Mutex<Pace>,
}

/// Takes the condition of this process's clock from a data folder, from now on and for ever.
pub fn given(folder: &Path) {
    let origin = *ORIGIN;
    GIVEN.get_or_init(|| Given {
        condition: Outside::new(folder.join(conditions::CLOCK)),
        pace: Mutex::new(Pace {
            since: origin,
            at: Duration::ZERO,
            ppm: 0,
        }),
    });
}

/// A clock that goes at one rate since a moment, and stood at a reading then.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pace {
    since: Instant,
    at: Duration,
    /// Too fast by so many millionths.
    ppm: i32,
}

/// Seconds of the clock in a second.
fn rate(ppm: i32) -> f64 {
    let limit = conditions::MAX_DRIFT_PPM;
    1.0 + f64::from(ppm.clamp(-limit, limit)) / 1e6
}

impl Pace {
    fn read(&self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.since);
        if self.ppm == 0 {
            // To the nanosecond.
            return self.at + passed;
        }
        self.at + passed.mul_f64(rate(self.ppm))
    }

    /// Goes on from here at another rate.
    fn change(&mut self, now: Instant, ppm: i32) {
        if ppm != self.ppm {
            *self = Pace {
                at: self.read(now),
                since: now,
                ppm,
            };
        }
    }
}

fn drift() -> i32 {
    GIVEN.get().map_or(0, |g| g.condition.get().drift_ppm)
}

/// How long the host's clock takes for so much of the node's.
fn on_host(d: Duration) -> Duration {
    match drift() {
        0 => d,
        // Long waits stay long: it is the same whether they are exact.
        ppm => Duration::try_from_secs_f64(d.as_secs_f64() / rate(ppm)).unwrap_or(d),
    }
}

/// The node's wall clock.
pub fn wall() -> SystemTime {
    let jump = GIVEN.get().map_or(0, |g| g.condition.get().jump_ms);
    let by = Duration::from_millis(jump.unsigned_abs());
    let now = SystemTime::now();
    let moved = match jump < 0 {
        true => now.checked_sub(by),
        false => now.checked_add(by),
    };
    moved.unwrap_or(now)
}

/// Both clocks.
pub fn reading() -> ClockReading {
    let ns = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    ClockReading {
        monotonic_ns: ns(Tick::now().0),
        wall_ns: ns(wall().duration_since(UNIX_EPOCH).unwrap_or_default()),
    }
}

/// Waits until the node's clock shows this.
pub async fn sleep_until(deadline: Tick) {
    Clocked::sleep_until(deadline).await;
}

impl RaftInstant for Tick {
    fn now() -> Self {
        let Some(given) = GIVEN.get() else {
            return Tick(ORIGIN.elapsed());
        };
        let ppm = given.condition.get().drift_ppm;
        let mut pace = given.pace.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that no reading is behind one before it.
        let now = Instant::now();
        pace.change(now, ppm);
        Tick(pace.read(now))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;
    fn add(self, d: Duration) -> Tick {
        Tick(self.0.saturating_add(d))
    }
}

impl Sub<Duration> for Tick {
    type Output = Tick;
    fn sub(self, d: Duration) -> Tick {
        Tick(self.0.saturating_sub(d))
    }
}

impl Sub for Tick {
    type Output = Duration;
    fn sub(self, earlier: Tick) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl AddAssign<Duration> for Tick {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl SubAssign<Duration> for Tick {
    fn sub_assign(&mut self, d: Duration) {
        *self = *self - d;
    }
}

/// Tokio, with the node's clock for the time.
#[derive(Debug)]
pub struct Clocked(TokioRuntime);

impl AsyncRuntime for Clocked {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = Tick;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(on_host(duration))
    }

    fn sleep_until(deadline: Tick) -> Self::Sleep {
        Self::sleep(deadline - Tick::now())
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(on_host(duration), future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Tick,
        future: F,
    ) -> Self::Timeout<R, F> {
        Self::timeout(deadline - Tick::now(), future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn new(threads: usize) -> Self {
        Clocked(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_never_goes_back_when_its_rate_changes() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace {
            since: start,
            at: Duration::ZERO,
            ppm: 0,
        };
        assert_eq!(pace.read(at(1000)), Duration::from_millis(1000));
        pace.change(at(1000), 500_000);
        assert_eq!(pace.read(at(1000)), Duration::from_millis(1000));
        assert_eq!(pace.read(at(2000)), Duration::from_millis(2500));
        pace.change(at(2000), -500_000);
        assert_eq!(pace.read(at(3000)), Duration::from_millis(3000));
        pace.change(at(3000), 0);
        assert_eq!(pace.read(at(4000)), Duration::from_millis(4000));
        // The same rate again is no change.
        let before = pace;
        pace.change(at(5000), 0);
        assert_eq!(pace, before);
    }

    #[test]
    fn rates_are_bounded() {
        assert_eq!(rate(0), 1.0);
        assert_eq!(rate(100_000), 1.1);
        assert_eq!(rate(i32::MIN), 0.5);
        assert_eq!(rate(i32::MAX), 1.5);
    }
}
