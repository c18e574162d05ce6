//! Keeps the schedule: one OS thread that sleeps until absolute times.
//!
//! Measured on a busy machine, the timer of an async runtime wakes about a
//! millisecond late, `clock_nanosleep` with a timer slack of 1 ns some tens of
//! microseconds. A late wake-up never moves a later due time.

use crate::schedule::{Schedule, Tick};
use gameday_record::{Nanos, RunClock};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Longest sleep, so that a stop is noticed soon.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// A running pacer. Dropping it stops it.
#[derive(Debug)]
pub struct Pacer {
    ticks: mpsc::Receiver<Tick>,
    stop: Arc<AtomicBool>,
    missed: Arc<AtomicU64>,
}

impl Pacer {
    /// Starts it. Up to `waiting` ticks wait for the receiver; what is due
    /// beyond that is counted as missed.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(clock: RunClock, mut schedule: Schedule, waiting: usize) -> io::Result<Pacer> {
        let (sender, ticks) = mpsc::channel(waiting);
        let stop = Arc::new(AtomicBool::new(false));
        let missed = Arc::new(AtomicU64::new(0));
        let (stopped, overrun) = (stop.clone(), missed.clone());
        std::thread::Builder::new()
            .name("canary-pace".into())
            .spawn(move || {
                precise_timers();
                while let Some(tick) = schedule.next_tick() {
                    if !sleep_until(&clock, tick.due, &stopped) {
                        return;
                    }
                    match sender.try_send(tick) {
                        Ok(()) => {}
                        Err(mpsc::error::TrySendError::Full(_)) => {
                            overrun.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(mpsc::error::TrySendError::Closed(_)) => return,
                    }
                }
            })?;
        Ok(Pacer {
            ticks,
            stop,
            missed,
        })
    }

    /// The next tick that is due; `None` after a stop, when all were taken.
    pub async fn tick(&mut self) -> Option<Tick> {
        self.ticks.recv().await
    }

    /// No operation becomes due after this (but for one that is being handed over).
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Stops it for good and counts what was due and will not be taken any more.
    pub fn finish(&mut self) -> u64 {
        self.stop();
        self.ticks.close();
        let mut left = self.take_missed();
        while self.ticks.try_recv().is_ok() {
            left += 1;
        }
        left
    }

    /// Takes the number of ticks that nobody had time for, since the last call.
    pub fn take_missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Asks the kernel not to delay this thread's timers in order to batch them.
fn precise_timers() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and affects this thread only.
    // A failure costs 50 µs of precision, which the send lag shows.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong);
    }
}

/// Sleeps until `t`; false if stopped before.
fn sleep_until(clock: &RunClock, t: Nanos, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let now = clock.now();
        if now >= t {
            return true;
        }
        let wake = clock.absolute_ns(t.min(now + LONGEST_SLEEP));
        let ts = libc::timespec {
            tv_sec: (wake / 1_000_000_000) as libc::time_t,
            tv_nsec: (wake % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: `ts` is a valid timespec; no remaining time is asked for. An
        // early return (EINTR) is caught by the loop.
        unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &ts,
                std::ptr::null_mut(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_never_early_and_end_after_a_stop() {
        let clock = RunClock::start();
        let schedule = Schedule::new(clock.now(), 500.0, 2, 0);
        let mut pacer = Pacer::start(clock, schedule.clone(), 1024).unwrap();
        let rt = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        rt.block_on(async {
            let mut expected = schedule;
            for _ in 0..40 {
                let tick = pacer.tick().await.unwrap();
                assert!(clock.now() >= tick.due);
                assert_eq!(Some(tick), expected.next_tick());
            }
            pacer.stop();
            while pacer.tick().await.is_some() {}
            assert_eq!(pacer.take_missed(), 0);
        });
    }

    #[test]
    fn what_nobody_takes_is_counted() {
        let clock = RunClock::start();
        let pacer = Pacer::start(clock, Schedule::new(Nanos(0), 1000.0, 1, 0), 1).unwrap();
        let mut missed = 0;
        while missed < 3 {
            std::thread::yield_now();
            missed += pacer.take_missed();
        }
    }
}
