//! What can be done to the traffic of a link, and what can be seen of it: data
//! that faults and runtimes share. What becomes of each packet is decided in
//! `line`; what was heard of a measurement is counted in `hearing`.

pub(crate) mod hearing;
pub(crate) mod line;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Bytes of a message's head: stream, number, time of sending, and a sum of these, so that what
/// is damaged there is not taken for another message.
pub(crate) const HEAD: usize = 8 + 4 + 8 + 4;

/// A probability in whole millionths, so that it can be compared and sent
/// without rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share(u32);

impl Share {
    const ONE: u32 = 1_000_000;

    /// Of a ratio; what is outside 0 to 1 becomes the nearest of both.
    pub fn of(ratio: f64) -> Self {
        // The cast saturates, and makes 0 of what is not a number.
        Share(((ratio * f64::from(Self::ONE)).round() as u32).min(Self::ONE))
    }

    /// As a ratio, 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ONE)
    }

    /// Whether it never happens.
    pub fn is_never(self) -> bool {
        self.0 == 0
    }

    /// Whether it happens, given a uniformly drawn number.
    pub(crate) fn happens(self, drawn: u32) -> bool {
        u64::from(drawn) * u64::from(Self::ONE) < u64::from(self.0) << 32
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::playbook::values::show_share(self.ratio()))
    }
}

/// What is done to every packet (or to the bytes) of a link, in the meaning
/// that netem gives these words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// How much later it arrives; at most [`Traffic::MAX_DELAY`].
    pub delay: Duration,
    /// The delay is drawn uniformly from `delay - jitter` to `delay + jitter`; at most `delay`
    /// and [`Traffic::MAX_JITTER`].
    pub jitter: Duration,
    /// It never arrives.
    pub loss: Share,
    /// It arrives twice.
    pub duplicate: Share,
    /// One bit of it is another one.
    pub corrupt: Share,
    /// It is not delayed, and so overtakes what is.
    pub reorder: Share,
    /// Bits per second that the link carries at most.
    pub rate: Option<u64>,
}

impl Traffic {
    /// Longest delay.
    pub const MAX_DELAY: Duration = Duration::from_secs(5);
    /// Largest jitter: netem has room for 2.1 seconds.
    pub const MAX_JITTER: Duration = Duration::from_secs(2);

    /// Whether nothing is done.
    pub fn is_nothing(&self) -> bool {
        *self == Traffic::default()
    }

    /// Whether it does something that exists for messages only, not for a stream of bytes.
    pub fn spoils_messages(&self) -> bool {
        [self.loss, self.duplicate, self.corrupt, self.reorder]
            .iter()
            .any(|share| !share.is_never())
    }

    /// Whether a replica behind it must be expected to fall out of its group: half of what it is
    /// sent does not arrive whole, it hears a second late, or it has less than a modem's rate.
    pub fn takes_away(&self) -> bool {
        let whole = (1.0 - self.loss.ratio()) * (1.0 - self.corrupt.ratio());
        whole <= 0.5
            || self.delay + self.jitter >= Duration::from_secs(1)
            || self.rate.is_some_and(|bits| bits < 128_000)
    }
}

impl fmt::Display for Traffic {
    /// In a playbook's words: `delay 50ms ± 10ms, loss 20 %, rate 1mbit`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::playbook::values::{show, show_rate};
        let mut all = Vec::new();
        if !self.delay.is_zero() {
            let jitter = match self.jitter {
                Duration::ZERO => String::new(),
                jitter => format!(" ± {}", show(jitter)),
            };
            all.push(format!("delay {}{jitter}", show(self.delay)));
        }
        for (name, share) in [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("corrupt", self.corrupt),
            ("reorder", self.reorder),
        ] {
            if !share.is_never() {
                all.push(format!("{name} {share}"));
            }
        }
        if let Some(bits) = self.rate {
            all.push(format!("rate {}", show_rate(bits)));
        }
        f.write_str(&all.join(", "))
    }
}

/// How a link is measured: numbered messages with the time at which they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sounding {
    /// How many, 1 to [`Sounding::MAX_MESSAGES`].
    pub messages: u32,
    /// Bytes of each, [`Sounding::MIN_BYTES`] to [`Sounding::MAX_BYTES`].
    pub bytes: u32,
    /// From one to the next; nothing for a burst.
    pub gap: Duration,
    /// How long after the last one was sent they are waited for; less if all have arrived.
    pub wait: Duration,
}

impl Sounding {
    /// Most messages.
    pub const MAX_MESSAGES: u32 = 4000;
    /// Smallest message: its number, its time, and at least as much beside them.
    pub const MIN_BYTES: u32 = 128;
    /// Largest one: it fits in an Ethernet frame.
    pub const MAX_BYTES: u32 = 1400;
    /// Longest wait.
    pub const MAX_WAIT: Duration = Duration::from_secs(20);

    /// Longest measurement.
    pub const LONGEST: Duration = Duration::from_secs(40);

    /// The least share of damaged messages of so many bytes that arrive as such. A technique may
    /// damage any bit of a frame: if it is in the head that names a message, or in the headers
    /// that lead it here, nothing is heard of it.
    pub(crate) fn tells_damage(bytes: u32) -> f64 {
        /// Ethernet, IPv4 and UDP.
        const HEADERS: u32 = 14 + 20 + 8;
        let carried = bytes.saturating_sub(HEAD as u32);
        f64::from(carried) / f64::from(bytes + HEADERS)
    }

    /// How long it takes at most.
    pub fn takes(&self) -> Duration {
        self.gap * self.messages + self.wait
    }

    /// # Errors
    /// What is outside its range.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(1..=Self::MAX_MESSAGES).contains(&self.messages)
            || !(Self::MIN_BYTES..=Self::MAX_BYTES).contains(&self.bytes)
            || self.takes() > Self::LONGEST
        {
            return Err(format!("a link cannot be measured by {self:?}"));
        }
        Ok(())
    }
}

/// What was heard of a [`Sounding`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Messages sent.
    pub sent: u32,
    /// Of these, arrived at least once, whole or damaged.
    pub arrived: u32,
    /// Arrivals beyond the first of the same message.
    pub again: u32,
    /// Arrivals of which a bit was another one.
    pub damaged: u32,
    /// Messages that arrived, first, after one that was sent later.
    pub overtaken: u32,
    /// From sending to arriving, of the first arrivals, in microseconds, ascending.
    pub delays_us: Vec<u64>,
    /// Bytes of all arrivals.
    pub bytes: u64,
    /// From the sending of the first of those that arrived to the last arrival: however late a
    /// busy machine looks, they did not go faster than this.
    pub span: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_happens_as_often_as_it_says() {
        assert!(!Share::of(0.0).happens(0));
        assert!(Share::of(1.0).happens(u32::MAX));
        let half = Share::of(0.5);
        assert!(half.happens(u32::MAX / 2) && !half.happens(u32::MAX / 2 + 1));
        assert_eq!(Share::of(f64::NAN), Share::default());
        assert_eq!(Share::of(7.0).ratio(), 1.0);
        assert_eq!(Share::of(0.2).ratio(), 0.2);
    }

    #[test]
    fn traffic_reads_as_in_a_playbook() {
        let all = Traffic {
            delay: Duration::from_millis(50),
            jitter: Duration::from_millis(10),
            loss: Share::of(0.2),
            rate: Some(1_000_000),
            ..Traffic::default()
        };
        assert_eq!(all.to_string(), "delay 50ms ± 10ms, loss 20 %, rate 1mbit");
    }

    #[test]
    fn what_takes_a_replica_away() {
        let none = Traffic::default();
        let loss = |ratio| Traffic {
            loss: Share::of(ratio),
            ..none
        };
        let delay = |ms| Traffic {
            delay: Duration::from_millis(ms),
            ..none
        };
        let rate = |bits| Traffic {
            rate: Some(bits),
            ..none
        };
        for (traffic, away) in [
            (none, false),
            (loss(0.2), false),
            (loss(0.5), true),
            (delay(200), false),
            (delay(1000), true),
            (rate(1_000_000), false),
            (rate(64_000), true),
        ] {
            assert_eq!(traffic.takes_away(), away, "{traffic}");
        }
    }
}
