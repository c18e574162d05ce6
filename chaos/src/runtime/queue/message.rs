//! Encoding of nfnetlink_queue messages (`linux/netfilter/nfnetlink_queue.h`):
//! numbers in network byte order, lengths and types in the host's.

use crate::runtime::nft::message::{Attributes, HEADER};

/// `NFNL_SUBSYS_QUEUE`.
const SUBSYS_QUEUE: u16 = 3;
// `enum nfqnl_msg_types`
const PACKET: u16 = SUBSYS_QUEUE << 8;
const VERDICT: u16 = (SUBSYS_QUEUE << 8) | 1;
const CONFIG: u16 = (SUBSYS_QUEUE << 8) | 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
/// Length of `struct nfgenmsg`.
const GENERIC: usize = 4;
/// Packets that may wait in the kernel.
const MAX_WAITING: u32 = 65_536;

/// What becomes of a packet: `NF_DROP`, `NF_ACCEPT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Drop = 0,
    Accept = 1,
}

fn message(kind: u16, flags: u16, sequence: u32, queue: u16, attributes: &Attributes) -> Vec<u8> {
    let body = attributes.as_bytes();
    let length = (HEADER + GENERIC + body.len()) as u32;
    let mut out = Vec::with_capacity(length as usize);
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    out.extend_from_slice(&sequence.to_ne_bytes());
    out.extend_from_slice(&0u32.to_ne_bytes());
    // AF_UNSPEC, NFNETLINK_V0
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&queue.to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// What binds the queue and sets it up, each message to be acknowledged; numbered from 1. Whole
/// packets are copied, and if the queue is full or nobody reads it they pass.
pub(super) fn setup(queue: u16) -> Vec<(u32, &'static str, Vec<u8>)> {
    const BIND: u8 = 1;
    const COPY_PACKET: u8 = 2;
    const WHOLE: u32 = 0xffff;
    const FAIL_OPEN: u32 = 1;
    // NFQA_CFG_CMD, _PARAMS, _QUEUE_MAXLEN, _MASK, _FLAGS
    let mut params = WHOLE.to_be_bytes().to_vec();
    params.push(COPY_PACKET);
    let steps = [
        ("bind", Attributes::new().bytes(1, &[BIND, 0, 0, 0])),
        ("copy packets", Attributes::new().bytes(2, &params)),
        ("length", Attributes::new().u32(3, MAX_WAITING)),
        (
            "fail open",
            Attributes::new().u32(4, FAIL_OPEN).u32(5, FAIL_OPEN),
        ),
    ];
    let numbered = (1u32..).zip(steps);
    numbered
        .map(|(sequence, (what, attributes))| {
            let bytes = message(CONFIG, NLM_F_ACK, sequence, queue, &attributes);
            (sequence, what, bytes)
        })
        .collect()
}

/// A verdict; with `payload` instead of what the packet held.
pub(super) fn verdict(queue: u16, id: u32, verdict: Verdict, payload: Option<&[u8]>) -> Vec<u8> {
    // NFQA_VERDICT_HDR: verdict and id; NFQA_PAYLOAD.
    let mut head = (verdict as u32).to_be_bytes().to_vec();
    head.extend_from_slice(&id.to_be_bytes());
    let mut attributes = Attributes::new().bytes(2, &head);
    if let Some(payload) = payload {
        attributes = attributes.bytes(10, payload);
    }
    message(VERDICT, 0, 0, queue, &attributes)
}

/// A packet that waits for its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub id: u32,
    /// From the network header on.
    pub bytes: &'a [u8],
}

/// The packets of one datagram from the kernel; what is no packet is skipped.
pub(super) fn packets(mut datagram: &[u8]) -> Vec<Packet<'_>> {
    let mut found = Vec::new();
    while let Some((head, _)) = datagram.split_first_chunk::<HEADER>() {
        let [a, b, c, d, e, f, ..] = *head;
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        if length < HEADER || length > datagram.len() {
            break;
        }
        if u16::from_ne_bytes([e, f]) == PACKET
            && let Some(body) = datagram.get(HEADER + GENERIC..length)
        {
            found.extend(packet(body));
        }
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    found
}

fn packet(mut attributes: &[u8]) -> Option<Packet<'_>> {
    const PACKET_HEAD: u16 = 1;
    const PAYLOAD: u16 = 10;
    /// Without the flags for nested and network byte order.
    const KIND: u16 = 0x3fff;
    let (mut head, mut payload) = (None, None);
    while let Some(([a, b, c, d], _)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        let value = attributes.get(4..length)?;
        match u16::from_ne_bytes([*c, *d]) & KIND {
            PACKET_HEAD => head = value.first_chunk::<4>(),
            PAYLOAD => payload = Some(value),
            _ => {}
        }
        attributes = attributes
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    Some(Packet {
        id: u32::from_be_bytes(*head?),
        bytes: payload.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_verdict_is_framed() {
        let bytes = verdict(5, 7, Verdict::Accept, Some(b"abc"));
        let mut expected = 40u32.to_ne_bytes().to_vec();
        expected.extend(0x301u16.to_ne_bytes());
        expected.extend(1u16.to_ne_bytes());
        expected.extend([0; 8]);
        expected.extend([0, 0, 0, 5]);
        expected.extend(12u16.to_ne_bytes());
        expected.extend(2u16.to_ne_bytes());
        expected.extend([0, 0, 0, 1, 0, 0, 0, 7]);
        expected.extend(7u16.to_ne_bytes());
        expected.extend(10u16.to_ne_bytes());
        expected.extend(b"abc\0");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn packets_are_read_and_other_messages_skipped() {
        let head = Attributes::new().bytes(1, &[0, 0, 0, 9, 8, 0, 3]);
        let one = message(PACKET, 0, 0, 5, &head.clone().bytes(10, b"payload"));
        let other = message(VERDICT, 0, 0, 5, &head);
        let datagram = [other, one.clone(), one].concat();
        let expected = Packet {
            id: 9,
            bytes: b"payload",
        };
        assert_eq!(packets(&datagram), [expected, expected]);
        assert_eq!(packets(&datagram[..50]), []);
        assert_eq!(packets(&[0; 40]), []);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut framed = message(PACKET, 0, 0, 5, &Attributes::new());
            framed.extend(&bytes);
            let length = framed.len() as u32;
            framed[..4].copy_from_slice(&length.to_ne_bytes());
            let _ = packets(&framed);
            let _ = packets(&bytes);
        }
    }
}
