//! Counting what arrives of a measurement, and the messages themselves. Pure.

use super::{HEAD, Heard, Sounding};
use std::time::Duration;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Which measurement it belongs to.
    pub stream: u64,
    /// Its number, from 0.
    pub number: u32,
    /// When it was sent, in microseconds of a clock that sender and receiver share.
    pub sent_us: u64,
}

impl Message {
    /// As bytes; behind the head stands a pattern that differs from message to message.
    pub fn encode(&self, bytes: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes as usize);
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.sent_us.to_be_bytes());
        out.extend_from_slice(&self.sum().to_be_bytes());
        out.extend((HEAD..bytes as usize).map(|i| self.pattern(i)));
        out
    }

    /// Any one bit that differs makes another sum.
    fn sum(&self) -> u32 {
        let halves = |n: u64| (n >> 32) as u32 ^ n as u32;
        !(halves(self.stream) ^ halves(self.sent_us) ^ self.number)
    }

    fn pattern(&self, i: usize) -> u8 {
        (i as u8).wrapping_mul(31) ^ (self.number as u8) ^ (self.sent_us as u8)
    }

    /// Reads a message, and whether it is whole; `None` if it has no head, or a damaged one.
    pub fn decode(bytes: &[u8]) -> Option<(Self, bool)> {
        let (stream, rest) = bytes.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (sent_us, rest) = rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let message = Message {
            stream: u64::from_be_bytes(*stream),
            number: u32::from_be_bytes(*number),
            sent_us: u64::from_be_bytes(*sent_us),
        };
        if message.sum() != u32::from_be_bytes(*sum) {
            return None;
        }
        let mut tail = rest.iter().enumerate();
        let whole = tail.all(|(i, b)| *b == message.pattern(HEAD + i));
        Some((message, whole))
    }
}

/// What has arrived of one measurement so far.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    sent: u32,
    arrived: Vec<bool>,
    heard: Heard,
    latest: Option<u32>,
    first_sent: Option<u64>,
}

impl Hearing {
    /// Nothing yet of a measurement that is announced.
    pub fn new(sounding: &Sounding) -> Self {
        let sent = sounding.messages.min(Sounding::MAX_MESSAGES);
        Hearing {
            sent,
            arrived: vec![false; sent as usize],
            heard: Heard::default(),
            latest: None,
            first_sent: None,
        }
    }

    /// A message arrives, at a time on the sender's clock. One with a number that was never sent
    /// is not counted.
    pub fn take(&mut self, message: &Message, whole: bool, bytes: usize, now_us: u64) {
        let Some(arrived) = self.arrived.get_mut(message.number as usize) else {
            return;
        };
        let heard = &mut self.heard;
        if std::mem::replace(arrived, true) {
            heard.again += 1;
        } else {
            heard.arrived += 1;
            heard.delays_us.push(now_us.saturating_sub(message.sent_us));
            heard.overtaken += u32::from(self.latest.is_some_and(|l| message.number < l));
            self.latest = self.latest.max(Some(message.number));
        }
        heard.damaged += u32::from(!whole);
        let first = self
            .first_sent
            .map_or(message.sent_us, |f| f.min(message.sent_us));
        self.first_sent = Some(first);
        heard.bytes += bytes as u64;
        heard.span = Duration::from_micros(now_us.saturating_sub(first));
    }

    /// Whether every message has arrived.
    pub fn is_complete(&self) -> bool {
        self.heard.arrived == self.sent
    }

    /// What was heard.
    pub fn finish(self) -> Heard {
        let mut heard = self.heard;
        heard.sent = self.sent;
        heard.delays_us.sort_unstable();
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOUNDING: Sounding = Sounding {
        messages: 4,
        bytes: 128,
        gap: Duration::ZERO,
        wait: Duration::ZERO,
    };

    #[test]
    fn what_arrives_is_counted_for_what_it_is() {
        let mut hearing = Hearing::new(&SOUNDING);
        let mut take = |number, whole, now| {
            let message = Message {
                stream: 1,
                number,
                sent_us: 100,
            };
            hearing.take(&message, whole, 128, now);
        };
        take(0, true, 150);
        take(2, true, 160);
        // Overtaken, then once more and damaged.
        take(1, true, 170);
        take(1, false, 400);
        take(9, true, 500);
        assert!(!hearing.is_complete());
        let heard = hearing.finish();
        let expected = Heard {
            sent: 4,
            arrived: 3,
            again: 1,
            damaged: 1,
            overtaken: 1,
            delays_us: vec![50, 60, 70],
            bytes: 4 * 128,
            span: Duration::from_micros(300),
        };
        assert_eq!(heard, expected);
    }

    proptest! {
        #[test]
        fn any_flipped_bit_behind_the_head_is_seen(
            stream: u64, number: u32, sent_us: u64, bytes in 128u32..1400, at: prop::sample::Index, bit in 0..8u8,
        ) {
            let message = Message { stream, number, sent_us };
            let mut encoded = message.encode(bytes);
            prop_assert_eq!(encoded.len(), bytes as usize);
            prop_assert_eq!(Message::decode(&encoded), Some((message, true)));
            let at = HEAD + at.index(encoded.len() - HEAD);
            encoded[at] ^= 1u8 << bit;
            prop_assert_eq!(Message::decode(&encoded), Some((message, false)));
        }

        #[test]
        fn a_flipped_bit_in_the_head_makes_it_no_message(
            stream: u64, number: u32, sent_us: u64, at in 0..HEAD, bit in 0..8u8,
        ) {
            let mut encoded = Message { stream, number, sent_us }.encode(128);
            encoded[at] ^= 1u8 << bit;
            prop_assert_eq!(Message::decode(&encoded), None);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Message::decode(&bytes);
        }
    }
}
