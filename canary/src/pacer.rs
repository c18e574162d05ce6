//! Keeps the schedule: a kernel timer (`timerfd`) set to absolute times, on the
//! thread that makes the calls.
//!
//! Measured, the timer of an async runtime wakes about a millisecond late. A
//! kernel timer of its own wakes as precisely as a thread that sleeps for
//! nothing else, without handing every operation from one thread to another. A
//! late wake-up never moves a later due time. Retries wait for a second timer of
//! this sort.

use crate::schedule::{Schedule, Tick};
use gameday_record::{Nanos, RunClock};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A kernel timer for absolute times of a run.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: AsyncFd<OwnedFd>,
    clock: RunClock,
    /// What it is set to.
    set: Option<Nanos>,
}

impl Timer {
    /// One that is not set. Must be called on a runtime with I/O.
    pub(crate) fn new(clock: RunClock) -> io::Result<Timer> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and is owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the descriptor is valid, and `AsyncFd` owns it until it is dropped.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Timer {
            fd,
            clock,
            set: None,
        })
    }

    /// Waits until `due`; false if it was not in the future. The wait can be
    /// cancelled, and begun again for the same time or another.
    pub(crate) async fn until(&mut self, due: Nanos) -> io::Result<bool> {
        let mut waited = false;
        while due > self.clock.now() {
            if self.set != Some(due) {
                self.set(due)?;
                self.set = Some(due);
            }
            // The timer is not read: setting it anew forgets that it rang.
            self.fd.readable().await?.clear_ready();
            waited = true;
        }
        Ok(waited)
    }

    fn set(&self, due: Nanos) -> io::Result<()> {
        let at = self.clock.absolute_ns(due);
        let never = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = libc::itimerspec {
            it_interval: never,
            it_value: libc::timespec {
                tv_sec: (at / 1_000_000_000) as libc::time_t,
                tv_nsec: (at % 1_000_000_000) as libc::c_long,
            },
        };
        let fd = self.fd.get_ref().as_raw_fd();
        let old = std::ptr::null_mut();
        // SAFETY: `fd` is an open timer, `setting` is valid, the old one is not asked for.
        match unsafe { libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &setting, old) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A schedule that is being kept.
#[derive(Debug)]
pub struct Pacer {
    timer: Timer,
    clock: RunClock,
    schedule: Schedule,
    next: Option<Tick>,
    /// Nothing becomes due after this.
    end: Option<Nanos>,
}

impl Pacer {
    /// Starts it. Must be called on a runtime with I/O.
    ///
    /// # Errors
    /// There is no timer to be had.
    pub fn start(clock: RunClock, mut schedule: Schedule) -> io::Result<Pacer> {
        let next = schedule.next_tick();
        Ok(Pacer {
            timer: Timer::new(clock)?,
            clock,
            schedule,
            next,
            end: None,
        })
    }

    /// The next tick, when it is due; `None` once it was stopped and all that
    /// was due before was taken. Nothing is lost if the wait is cancelled.
    ///
    /// # Errors
    /// The timer cannot be set or waited for.
    pub async fn tick(&mut self) -> io::Result<Option<Tick>> {
        let end = self.end.unwrap_or(Nanos::FOREVER);
        let Some(tick) = self.next.filter(|tick| tick.due <= end) else {
            return Ok(None);
        };
        if !self.timer.until(tick.due).await? {
            // Behind: the calls that are waiting go first, else a canary that
            // stood still would not send before it caught up.
            tokio::task::yield_now().await;
        }
        self.next = self.schedule.next_tick();
        Ok(Some(tick))
    }

    /// No operation becomes due after now.
    pub fn stop(&mut self) {
        self.end.get_or_insert(self.clock.now());
    }

    /// Stops it for good and counts what was due and will not be taken any more.
    pub fn finish(mut self) -> u64 {
        self.stop();
        let end = self.end.unwrap_or(Nanos::ZERO);
        let mut left = 0;
        while self.next.is_some_and(|tick| tick.due <= end) {
            left += 1;
            self.next = self.schedule.next_tick();
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(f: impl Future<Output = T>) -> T {
        let rt = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        rt.block_on(f)
    }

    #[test]
    fn ticks_are_never_early_and_end_after_a_stop() {
        let clock = RunClock::start();
        let schedule = Schedule::new(clock.now(), 500.0, 2, 0);
        block_on(async {
            let mut pacer = Pacer::start(clock, schedule.clone()).unwrap();
            let mut expected = schedule;
            for _ in 0..40 {
                let tick = pacer.tick().await.unwrap().unwrap();
                assert!(clock.now() >= tick.due);
                assert_eq!(Some(tick), expected.next_tick());
            }
            pacer.stop();
            let end = clock.now();
            while let Some(tick) = pacer.tick().await.unwrap() {
                assert!(tick.due <= end);
                assert_eq!(Some(tick), expected.next_tick());
            }
            assert_eq!(pacer.finish(), 0);
        });
    }

    #[test]
    fn a_wait_that_was_cancelled_loses_nothing() {
        let clock = RunClock::start();
        let schedule = Schedule::new(clock.now(), 200.0, 1, 0);
        block_on(async {
            let mut pacer = Pacer::start(clock, schedule.clone()).unwrap();
            let mut expected = schedule;
            for _ in 0..20 {
                let tick = loop {
                    tokio::select! {
                        tick = pacer.tick() => break tick.unwrap(),
                        () = tokio::task::yield_now() => {}
                    }
                };
                assert_eq!(tick, expected.next_tick());
            }
        });
    }

    #[test]
    fn what_was_due_and_not_taken_is_counted() {
        let clock = RunClock::start();
        block_on(async {
            let pacer = Pacer::start(clock, Schedule::new(Nanos(0), 1000.0, 1, 0)).unwrap();
            while clock.now() < Nanos(5_000_000) {
                std::thread::yield_now();
            }
            // Due at 0, 1, 2, 3, 4 and 5 ms, at least.
            assert!(pacer.finish() >= 6);
        });
    }
}
