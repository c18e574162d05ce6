//! The rules, each with its chain.

use super::message::{Attributes, Rule};
use super::{CLASS_TO, FROM, QUEUE, QUEUED, QUEUED_MARK, REJECT, SILENT, SILENT_KEY};

/// A chain and the expressions of a rule in it.
pub(super) type Ruled = (&'static str, Attributes);

/// The loopback interface is the first of every network namespace.
const LOOPBACK: u32 = 1;
// NFT_META_PRIORITY, _MARK, _IIF, _OIF, _NFPROTO, _L4PROTO
const PRIORITY: u32 = 2;
const MARK: u32 = 3;
const IN: u32 = 4;
const OUT: u32 = 5;
const PROTOCOL: u32 = 15;
const TRANSPORT: u32 = 16;
const NFPROTO_IPV4: u8 = 2;
const ICMP: u8 = 1;
const TCP: u8 = 6;

/// Where addresses are in the IPv4 header.
const SENDER: u32 = 12;
const RECEIVER: u32 = 16;

/// The address of a packet.
fn address(at: u32) -> Rule {
    Rule::new()
        .load_meta(PROTOCOL)
        .compare(true, &[NFPROTO_IPV4])
        .load_network_header(at, 4)
}

/// Packets of the senders in a set.
fn sent_by(set: &str) -> Rule {
    address(SENDER).lookup(set)
}

/// What is dropped: everything while that is silent, and the peers in the sets.
pub(super) fn drops() -> Vec<Ruled> {
    let all = |interface| {
        let rule = Rule::new()
            .load_meta(interface)
            .compare(false, &LOOPBACK.to_ne_bytes());
        rule.load_constant(&SILENT_KEY)
            .lookup(SILENT)
            .count()
            .drop_packet()
    };
    vec![
        ("input", all(IN)),
        ("output", all(OUT)),
        ("input", sent_by(FROM).count().drop_packet()),
    ]
}

/// What is rejected: TCP by a reset, everything else but ICMP by "port unreachable". Resets pass,
/// so that both ends can reject and each still hears of it.
pub(super) fn rejects() -> Vec<Ruled> {
    const TCP_RST: u32 = 1;
    const ICMPX_UNREACHABLE: u32 = 2;
    const PORT_UNREACHABLE: u8 = 1;
    const FLAGS: u32 = 13;
    const RST: u8 = 4;
    let reset = sent_by(REJECT)
        .load_meta(TRANSPORT)
        .compare(true, &[TCP])
        .load_transport_header(FLAGS, 1)
        .mask(RST)
        .compare(true, &[0]);
    let unreachable = sent_by(REJECT)
        .load_meta(TRANSPORT)
        .compare(false, &[TCP])
        .compare(false, &[ICMP])
        .count()
        .reject(ICMPX_UNREACHABLE, PORT_UNREACHABLE);
    vec![
        ("input", reset.count().reject(TCP_RST, 0)),
        ("input", unreachable),
    ]
}

/// What goes through the queue, unless it comes from there.
pub(super) fn queue(by_target: bool) -> Vec<Ruled> {
    let rule = sent_by(QUEUED)
        .load_meta(MARK)
        .compare(false, &QUEUED_MARK.to_ne_bytes())
        .count();
    let rule = match by_target {
        false => rule.queue(QUEUE),
        true => rule.queue_by_target(QUEUE),
    };
    vec![("input", rule)]
}

/// What is put into a class of the traffic control, which is the priority of the packet.
pub(super) fn classes() -> Ruled {
    let rule = address(RECEIVER).translate(CLASS_TO).count();
    ("output", rule.set_meta(PRIORITY))
}
