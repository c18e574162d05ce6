//! Packets that wait, and what becomes of those that come. Pure: the clock and
//! the random numbers are given, and what is to be done is returned.

use super::message::Packet;
use crate::runtime::traffic::Traffic;
use crate::runtime::traffic::line::Line;
use rand::{Rng, RngExt};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

/// Packets that are held at most; the newest are lost beyond that.
const MOST_HELD: usize = 20_000;

/// What is done to the traffic of each sender, where it arrives.
pub(crate) type Shaping = BTreeMap<IpAddr, Traffic>;

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// The packet never arrives.
    Drop(u32),
    /// It goes on, with other bytes if they are given.
    Accept(u32, Option<Vec<u8>>),
    /// A further packet goes on.
    Send(Vec<u8>),
}

/// Waiting; earlier first, and of the same time in the order of arrival.
struct Waiting {
    at: Duration,
    order: u64,
    sender: IpAddr,
    act: Act,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// All that wait.
#[derive(Default)]
pub(super) struct Held {
    lines: HashMap<IpAddr, Line>,
    shaping: Shaping,
    waiting: BinaryHeap<Reverse<Waiting>>,
    order: u64,
}

impl Held {
    /// From now on this is done. What waits of a sender who is treated otherwise goes on at once.
    pub fn set(&mut self, shaping: Shaping) {
        let old = std::mem::replace(&mut self.shaping, shaping);
        let new = &self.shaping;
        let same = |sender: &IpAddr| old.get(sender) == new.get(sender);
        self.lines.retain(|sender, _| same(sender));
        for (sender, traffic) in new {
            self.lines
                .entry(*sender)
                .or_insert_with(|| Line::new(*traffic));
        }
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        self.waiting = waiting
            .map(|Reverse(mut w)| {
                if !same(&w.sender) {
                    w.at = Duration::ZERO;
                }
                Reverse(w)
            })
            .collect();
    }

    /// What is done.
    pub fn shaping(&self) -> &Shaping {
        &self.shaping
    }

    /// A packet came.
    pub fn take(
        &mut self,
        packet: &Packet<'_>,
        now: Duration,
        random: &mut impl Rng,
    ) -> Option<Act> {
        let line = sender(packet).and_then(|from| Some((from, self.lines.get_mut(&from)?)));
        let Some((sender, line)) = line else {
            return Some(Act::Accept(packet.id, None));
        };
        if self.waiting.len() >= MOST_HELD {
            return Some(Act::Drop(packet.id));
        }
        let copies = line.packet(now, packet.bytes.len() as u32, random);
        if copies.is_empty() {
            return Some(Act::Drop(packet.id));
        }
        for (i, copy) in copies.into_iter().enumerate() {
            let bytes = copy.damaged.then(|| damaged(packet.bytes, random));
            let act = match i {
                0 => Act::Accept(packet.id, bytes),
                _ => Act::Send(bytes.unwrap_or_else(|| packet.bytes.to_vec())),
            };
            self.order += 1;
            self.waiting.push(Reverse(Waiting {
                at: copy.at,
                order: self.order,
                sender,
                act,
            }));
        }
        None
    }

    /// When the next one goes on.
    pub fn next(&self) -> Option<Duration> {
        self.waiting.peek().map(|Reverse(w)| w.at)
    }

    /// One that is due.
    pub fn due(&mut self, now: Duration) -> Option<Act> {
        if self.next()? > now {
            return None;
        }
        self.waiting.pop().map(|Reverse(w)| w.act)
    }
}

/// Who sent a packet.
fn sender(packet: &Packet<'_>) -> Option<IpAddr> {
    let octets = |from: usize, to: usize| packet.bytes.get(from..to);
    match packet.bytes.first()? >> 4 {
        4 => Some(IpAddr::from(*octets(12, 16)?.first_chunk::<4>()?)),
        6 => Some(IpAddr::from(*octets(8, 24)?.first_chunk::<16>()?)),
        _ => None,
    }
}

/// The same with one bit changed. It is in the second half of the packet, where what is sent is,
/// and not who sends it; checksums stay as they were, so that receivers notice as they would.
fn damaged(bytes: &[u8], random: &mut impl Rng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let half = bytes.len() / 2;
    if half < bytes.len() {
        let at = random.random_range(half..bytes.len());
        out[at] ^= 1u8 << random.random_range(0..8u8);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::traffic::Share;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    use std::net::Ipv4Addr;

    const MS: Duration = Duration::from_millis(1);
    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    fn held(traffic: Traffic) -> (Held, ChaCha8Rng) {
        let mut held = Held::default();
        held.set(Shaping::from([(PEER, traffic)]));
        (held, ChaCha8Rng::seed_from_u64(7))
    }

    fn bytes() -> Vec<u8> {
        let mut bytes = vec![7; 100];
        bytes[0] = 0x45;
        bytes[12..16].copy_from_slice(&[10, 0, 0, 1]);
        bytes
    }

    fn packet(id: u32, bytes: &[u8]) -> Packet<'_> {
        Packet { id, bytes }
    }

    fn delay(ms: u32) -> Traffic {
        Traffic {
            delay: MS * ms,
            ..Traffic::default()
        }
    }

    #[test]
    fn packets_go_on_in_time_and_in_order() {
        let (mut held, mut random) = held(delay(50));
        let bytes = bytes();
        for id in 0..3 {
            assert_eq!(held.take(&packet(id, &bytes), MS, &mut random), None);
        }
        assert_eq!(held.due(MS * 50), None);
        assert_eq!(held.next(), Some(MS * 51));
        for id in 0..3 {
            assert_eq!(held.due(MS * 51), Some(Act::Accept(id, None)));
        }
        assert_eq!(held.due(MS * 1000), None);
        // Of another sender, and of none.
        let mut other = bytes.clone();
        other[15] = 9;
        let accept = Some(Act::Accept(4, None));
        assert_eq!(held.take(&packet(4, &other), MS, &mut random), accept);
        assert_eq!(held.take(&packet(4, b"short"), MS, &mut random), accept);
    }

    #[test]
    fn senders_are_known_by_either_family() {
        let (mut v4, mut v6) = (bytes(), bytes());
        v4[0] = 0x46;
        v6[0] = 0x60;
        v6[8..24].copy_from_slice(&[9; 16]);
        assert_eq!(sender(&packet(1, &v4)), Some(PEER));
        assert_eq!(sender(&packet(1, &v6)), Some(IpAddr::from([9; 16])));
        v6[0] = 0x70;
        for bytes in [&v6[..], &[0x60; 23], &[0x40; 15], b""] {
            assert_eq!(sender(&packet(1, bytes)), None);
        }
    }

    #[test]
    fn what_waits_goes_on_at_once_when_its_sender_is_free() {
        let (mut held, mut random) = held(delay(5000));
        let bytes = bytes();
        held.take(&packet(1, &bytes), MS, &mut random);
        let other = IpAddr::from([198, 18, 9, 9]);
        held.set(Shaping::from([(PEER, delay(5000)), (other, delay(1))]));
        assert_eq!(held.due(MS * 2), None);
        held.set(Shaping::default());
        assert_eq!(held.due(MS * 2), Some(Act::Accept(1, None)));
    }

    #[test]
    fn copies_and_damage_are_made() {
        let always = Traffic {
            duplicate: Share::of(1.0),
            corrupt: Share::of(1.0),
            ..Traffic::default()
        };
        let (mut held, mut random) = held(always);
        let bytes = bytes();
        held.take(&packet(1, &bytes), MS, &mut random);
        let Some(Act::Accept(1, Some(first))) = held.due(MS) else {
            panic!("it is damaged");
        };
        let Some(Act::Send(second)) = held.due(MS) else {
            panic!("it is doubled");
        };
        for copy in [first, second] {
            let changed: Vec<usize> = (0..100).filter(|i| copy[*i] != bytes[*i]).collect();
            assert!(changed.len() == 1 && changed[0] >= 50, "{changed:?}");
        }
        let lossy = Traffic {
            loss: Share::of(1.0),
            ..Traffic::default()
        };
        let (mut held, mut random) = self::held(lossy);
        let lost = held.take(&packet(3, &bytes), MS, &mut random);
        assert_eq!(lost, Some(Act::Drop(3)));
    }

    #[test]
    fn no_more_is_held_than_may_be() {
        let (mut held, mut random) = held(delay(5000));
        let bytes = bytes();
        for id in 0..MOST_HELD as u32 {
            assert_eq!(held.take(&packet(id, &bytes), MS, &mut random), None);
        }
        let one_more = held.take(&packet(0, &bytes), MS, &mut random);
        assert_eq!(one_more, Some(Act::Drop(0)));
    }
}
