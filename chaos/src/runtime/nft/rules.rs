//! The rules, each with its chain.

use super::message::{Attributes, Rule};
use super::{
    CLASS_TO, FROM, QUEUE, QUEUE_FROM, QUEUE_TO, QUEUED_MARK, REJECT_FROM, REJECT_TO, SILENT,
    SILENT_KEY, TO,
};

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

/// Every way in and out: chain, the set of peers, where their address is in the IPv4 header.
fn ways(from: &'static str, to: &'static str) -> [(&'static str, &'static str, u32); 2] {
    [("input", from, SENDER), ("output", to, RECEIVER)]
}

/// The address of a packet.
fn address(at: u32) -> Rule {
    Rule::new()
        .load_meta(PROTOCOL)
        .compare(true, &[NFPROTO_IPV4])
        .load_network_header(at, 4)
}

/// Packets of the peers in a set.
fn peers(set: &str, at: u32) -> Rule {
    address(at).lookup(set)
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
    let some = ways(FROM, TO)
        .map(|(chain, set, address)| (chain, peers(set, address).count().drop_packet()));
    let mut rules = vec![("input", all(IN)), ("output", all(OUT))];
    rules.extend(some);
    rules
}

/// What is rejected: TCP by a reset, everything else but ICMP by "port unreachable". Resets pass,
/// so that both ends can reject and each still hears of it.
pub(super) fn rejects() -> Vec<Ruled> {
    const TCP_RST: u32 = 1;
    const ICMPX_UNREACHABLE: u32 = 2;
    const PORT_UNREACHABLE: u8 = 1;
    const FLAGS: u32 = 13;
    const RST: u8 = 4;
    let both = ways(REJECT_FROM, REJECT_TO).map(|(chain, set, address)| {
        let reset = peers(set, address)
            .load_meta(TRANSPORT)
            .compare(true, &[TCP])
            .load_transport_header(FLAGS, 1)
            .mask(RST)
            .compare(true, &[0]);
        let unreachable = peers(set, address)
            .load_meta(TRANSPORT)
            .compare(false, &[TCP])
            .compare(false, &[ICMP]);
        [
            (chain, reset.count().reject(TCP_RST, 0)),
            (
                chain,
                unreachable
                    .count()
                    .reject(ICMPX_UNREACHABLE, PORT_UNREACHABLE),
            ),
        ]
    });
    both.into_iter().flatten().collect()
}

/// What goes through the queue, unless it comes from there.
pub(super) fn queues(by_target: bool) -> Vec<Ruled> {
    let both = ways(QUEUE_FROM, QUEUE_TO).map(|(chain, set, address)| {
        let rule = peers(set, address)
            .load_meta(MARK)
            .compare(false, &QUEUED_MARK.to_ne_bytes())
            .count();
        let rule = match by_target {
            false => rule.queue(QUEUE),
            true => rule.queue_by_target(QUEUE),
        };
        (chain, rule)
    });
    both.to_vec()
}

/// What is put into a class of the traffic control, which is the priority of the packet.
pub(super) fn classes() -> Ruled {
    let rule = address(RECEIVER).translate(CLASS_TO).count();
    ("output", rule.set_meta(PRIORITY))
}
