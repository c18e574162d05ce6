//! What becomes of each packet of one link: decided when it arrives, from a
//! clock and random numbers that are given. Pure.
//!
//! The order is that of netem: a packet may be lost, or doubled; each copy may
//! be damaged; then it waits for its turn (rate) and for its delay.

use super::Traffic;
use rand::{Rng, RngExt};
use std::time::Duration;

/// What a rate may make wait at most: longer queues lose their newest packet.
const LONGEST_QUEUE: Duration = Duration::from_secs(1);
/// So many bytes may wait in any case.
const LEAST_QUEUE: u64 = 20 * 1500;

/// One copy of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    /// When it arrives, on the clock that was given.
    pub at: Duration,
    /// Whether one of its bits is another one.
    pub damaged: bool,
}

/// The line of one link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    traffic: Traffic,
    /// When the last bit that was admitted will have gone.
    free_at: Duration,
}

impl Line {
    /// An empty line.
    pub fn new(traffic: Traffic) -> Self {
        Line {
            traffic,
            free_at: Duration::ZERO,
        }
    }

    /// From now on it is like this.
    pub fn set(&mut self, traffic: Traffic) {
        *self = Self::new(traffic);
    }

    /// Copies of a packet of so many bytes: none if it is lost, at most two.
    pub fn packet(&mut self, now: Duration, bytes: u32, random: &mut impl Rng) -> Vec<Copy> {
        let traffic = self.traffic;
        if traffic.loss.happens(random.random()) {
            return Vec::new();
        }
        let copies = 1 + usize::from(traffic.duplicate.happens(random.random()));
        let mut out = Vec::with_capacity(copies);
        for _ in 0..copies {
            let Some(gone) = self.turn(now, u64::from(bytes), false) else {
                continue;
            };
            let overtakes = traffic.reorder.happens(random.random());
            let delay = if overtakes {
                Duration::ZERO
            } else {
                self.delay(random)
            };
            out.push(Copy {
                at: gone + delay,
                damaged: traffic.corrupt.happens(random.random()),
            });
        }
        out
    }

    /// When bytes of a stream arrive. A stream loses nothing: what does not fit waits.
    pub fn bytes(&mut self, now: Duration, bytes: u64, random: &mut impl Rng) -> Duration {
        let gone = self.turn(now, bytes, true).unwrap_or(now);
        gone + self.delay(random)
    }

    /// When so many bytes have gone; `None` if the queue is full and they cannot `wait`.
    fn turn(&mut self, now: Duration, bytes: u64, wait: bool) -> Option<Duration> {
        let Some(rate) = self.traffic.rate else {
            return Some(now);
        };
        let begins = self.free_at.max(now);
        if !wait && begins - now > longest_queue(rate) {
            return None;
        }
        self.free_at = begins + sending(bytes, rate);
        Some(self.free_at)
    }

    /// A delay, drawn.
    fn delay(&self, random: &mut impl Rng) -> Duration {
        let Traffic { delay, jitter, .. } = self.traffic;
        if jitter.is_zero() {
            return delay;
        }
        let least = delay.saturating_sub(jitter);
        least + (delay + jitter - least).mul_f64(random.random())
    }
}

/// How long a rate of so many bits per second makes a packet wait at most.
pub(crate) fn longest_queue(rate: u64) -> Duration {
    LONGEST_QUEUE.max(sending(LEAST_QUEUE, rate))
}

/// How long so many bytes take at so many bits per second.
fn sending(bytes: u64, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::Share;
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    const MS: Duration = Duration::from_millis(1);

    fn seeded() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    /// How many of 10 000 packets, one each millisecond, are so.
    fn count(traffic: Traffic, is: impl Fn(Duration, &[Copy]) -> bool) -> usize {
        let (mut line, mut random) = (Line::new(traffic), seeded());
        let at = |i: u32| MS * i;
        let fates = (0..10_000).map(|i| (at(i), line.packet(at(i), 100, &mut random)));
        fates.filter(|(now, copies)| is(*now, copies)).count()
    }

    #[test]
    fn each_share_happens_as_often_as_asked() {
        let fifth = Share::of(0.2);
        let none = Traffic::default();
        // Four standard deviations of 10 000 draws at 20 % are 160.
        let about = |n: usize| assert!(n.abs_diff(2000) < 160, "{n}");
        about(count(
            Traffic {
                loss: fifth,
                ..none
            },
            |_, c| c.is_empty(),
        ));
        about(count(
            Traffic {
                duplicate: fifth,
                ..none
            },
            |_, c| c.len() == 2,
        ));
        about(count(
            Traffic {
                corrupt: fifth,
                ..none
            },
            |_, c| c[0].damaged,
        ));
        let reorder = Traffic {
            reorder: fifth,
            delay: MS * 10,
            ..none
        };
        about(count(reorder, |now, c| c[0].at == now));
        assert_eq!(count(none, |now, c| c.len() != 1 || c[0].at != now), 0);
    }

    #[test]
    fn a_rate_spaces_packets_and_a_full_queue_loses_the_newest() {
        // 1000 bytes take 8 ms.
        let mut line = Line::new(Traffic {
            rate: Some(1_000_000),
            ..Traffic::default()
        });
        let random = &mut seeded();
        let fates: Vec<_> = (0..200)
            .map(|_| line.packet(Duration::ZERO, 1000, random))
            .collect();
        let gone: Vec<Duration> = fates.iter().flatten().map(|c| c.at).collect();
        let expected: Vec<Duration> = (1..=126).map(|i| MS * 8 * i).collect();
        assert_eq!(gone, expected);
        // Whoever waited finds the line free.
        let later = line.packet(MS * 5000, 1000, random);
        assert_eq!(later[0].at, MS * 5008);
    }

    #[test]
    fn a_stream_at_a_rate_loses_nothing() {
        let mut line = Line::new(Traffic {
            rate: Some(8_000),
            ..Traffic::default()
        });
        let random = &mut seeded();
        let last = (0..100).map(|_| line.bytes(Duration::ZERO, 100, random));
        assert_eq!(last.max(), Some(Duration::from_secs(10)));
    }

    proptest! {
        #[test]
        fn delays_stay_within_the_jitter(
            delay in 0u64..5000,
            share in 0.0f64..=1.0,
            seed: u64,
            now in 0u64..1_000_000,
        ) {
            let delay = Duration::from_millis(delay);
            let jitter = delay.mul_f64(share);
            let mut line = Line::new(Traffic { delay, jitter, ..Traffic::default() });
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let now = Duration::from_micros(now);
            for _ in 0..20 {
                let copies = line.packet(now, 64, &mut random);
                prop_assert_eq!(copies.len(), 1);
                let late = copies[0].at - now;
                prop_assert!(late >= delay - jitter && late <= delay + jitter);
                prop_assert!(!copies[0].damaged);
            }
        }

        #[test]
        fn a_rate_is_never_exceeded(sizes in proptest::collection::vec(1u32..1500, 1..100), seed: u64) {
            let rate = 500_000;
            let mut line = Line::new(Traffic { rate: Some(rate), ..Traffic::default() });
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut sent = 0;
            for bytes in sizes {
                for copy in line.packet(Duration::ZERO, bytes, &mut random) {
                    sent += u64::from(bytes);
                    prop_assert!(copy.at.as_secs_f64() * rate as f64 >= sent as f64 * 8.0 - 1.0);
                }
            }
        }
    }
}
