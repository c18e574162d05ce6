//! The rules, each with its chain.

use super::message::{Attributes, Rule};
use super::names::{
    CLASS_TO, FAMILIES, FROM, Family, QUEUE, QUEUED, QUEUED_MARK, REJECT, SILENT, SILENT_KEY,
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
const NFPROTO_IPV6: u8 = 10;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

/// Which address of a packet.
#[derive(Clone, Copy)]
enum Whose {
    Sender,
    Receiver,
}

/// The address of a packet of this family.
fn address(family: Family, whose: Whose) -> Rule {
    let (protocol, at, length) = match (family, whose) {
        (Family::V4, Whose::Sender) => (NFPROTO_IPV4, 12, 4),
        (Family::V4, Whose::Receiver) => (NFPROTO_IPV4, 16, 4),
        (Family::V6, Whose::Sender) => (NFPROTO_IPV6, 8, 16),
        (Family::V6, Whose::Receiver) => (NFPROTO_IPV6, 24, 16),
    };
    Rule::new()
        .load_meta(PROTOCOL)
        .compare(true, &[protocol])
        .load_network_header(at, length)
}

/// Packets of the senders in a set, for each family.
fn sent_by(sets: [&'static str; 2]) -> impl Iterator<Item = (Family, Rule)> {
    let all = FAMILIES.into_iter().zip(sets);
    all.map(|(family, set)| (family, address(family, Whose::Sender).lookup(set)))
}

/// What is let through before all else: how IPv6 neighbours find each other (RFC 4861, types 133 to
/// 137), without which a way that is cut in one direction would carry nothing in the other.
pub(super) fn neighbours() -> Vec<Ruled> {
    const FIRST: u8 = 133;
    const LAST: u8 = 137;
    let rule = || {
        Rule::new()
            .load_meta(PROTOCOL)
            .compare(true, &[NFPROTO_IPV6])
            .load_meta(TRANSPORT)
            .compare(true, &[ICMPV6])
            .load_transport_header(0, 1)
            .within(FIRST, LAST)
            .accept_packet()
    };
    vec![("input", rule()), ("output", rule())]
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
    let mut rules = vec![("input", all(IN)), ("output", all(OUT))];
    rules.extend(sent_by(FROM).map(|(_, rule)| ("input", rule.count().drop_packet())));
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
    let resets = sent_by(REJECT).map(|(_, rule)| {
        let rule = rule
            .load_meta(TRANSPORT)
            .compare(true, &[TCP])
            .load_transport_header(FLAGS, 1)
            .mask(RST)
            .compare(true, &[0]);
        ("input", rule.count().reject(TCP_RST, 0))
    });
    let unreachable = sent_by(REJECT).map(|(family, rule)| {
        let icmp = match family {
            Family::V4 => ICMP,
            Family::V6 => ICMPV6,
        };
        let rule = rule
            .load_meta(TRANSPORT)
            .compare(false, &[TCP])
            .compare(false, &[icmp])
            .count();
        ("input", rule.reject(ICMPX_UNREACHABLE, PORT_UNREACHABLE))
    });
    resets.chain(unreachable).collect()
}

/// What goes through the queue, unless it comes from there.
pub(super) fn queue(by_target: bool) -> Vec<Ruled> {
    let rules = sent_by(QUEUED).map(|(_, rule)| {
        let rule = rule
            .load_meta(MARK)
            .compare(false, &QUEUED_MARK.to_ne_bytes())
            .count();
        let rule = match by_target {
            false => rule.queue(QUEUE),
            true => rule.queue_by_target(QUEUE),
        };
        ("input", rule)
    });
    rules.collect()
}

/// What is put into a class of the traffic control, which is the priority of the packet.
pub(super) fn classes() -> Vec<Ruled> {
    let rules = FAMILIES.into_iter().zip(CLASS_TO).map(|(family, map)| {
        let rule = address(family, Whose::Receiver).translate(map).count();
        ("output", rule.set_meta(PRIORITY))
    });
    rules.collect()
}
