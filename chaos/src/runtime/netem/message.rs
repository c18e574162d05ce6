//! Encoding of the requests to traffic control (`linux/rtnetlink.h`,
//! `linux/pkt_sched.h`). Everything is in the host's byte order.

use crate::runtime::nft::message::{Attributes, HEADER};
use crate::runtime::traffic::line::longest_queue;
use crate::runtime::traffic::{Share, Traffic};
use std::time::Duration;

/// Packets that a line holds at most; the newest are lost beyond that.
const LONGEST_LINE: u32 = 20_000;

/// `TC_H_ROOT`.
const ROOT: u32 = 0xffff_ffff;
/// Number of our root; classes are `1:<n>`, and the netem of a class is `<n>:`.
const MAJOR: u16 = 1;
// TCA_KIND, TCA_OPTIONS
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
/// Bytes of a full frame.
const FRAME: u64 = 1514;

/// A request, and what it is about, for errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// What the kernel is asked for.
    pub what: &'static str,
    /// The message, whose number is still missing.
    pub bytes: Vec<u8>,
}

/// What the handle of a queueing discipline, or of a class in one, looks like.
fn handle(major: u16, minor: u16) -> u32 {
    u32::from(major) << 16 | u32::from(minor)
}

/// The class by the number that packets carry as their priority.
pub(super) fn class_id(class: u16) -> u32 {
    handle(MAJOR, class)
}

/// The root of an interface: htb, for it passes what has no class on at once.
pub(super) fn add_root(interface: u32) -> Request {
    // TCA_HTB_INIT, a struct tc_htb_glob: version, r2q, default class, debug, direct packets.
    let options = Attributes::new().bytes(2, &words(&[3, 10, 0, 0, 0]));
    let attributes = kind("htb").bytes(OPTIONS, options.as_bytes());
    let ends = Ends {
        interface,
        own: handle(MAJOR, 0),
        parent: ROOT,
    };
    add("htb", libc::RTM_NEWQDISC, ends, &attributes)
}

/// The root goes, with everything below it.
pub(super) fn delete_root(interface: u32) -> Request {
    let ends = Ends {
        interface,
        own: 0,
        parent: ROOT,
    };
    request("htb", libc::RTM_DELQDISC, 0, ends, &Attributes::new())
}

/// A class that holds nothing up.
pub(super) fn add_class(interface: u32, class: u16) -> Request {
    /// Bytes per second: as fast as 32 bits can say.
    const RATE: u32 = u32::MAX;
    /// In ticks of 64 ns: a mebibyte at that rate.
    const BURST: u32 = 3812;
    /// Bytes that one class may send before it is another one's turn.
    const QUANTUM: u32 = 60_000;
    // struct tc_ratespec: cell_log, linklayer (Ethernet, which takes no table of times), overhead,
    // cell_align, mpu, rate.
    let mut rate = vec![3, 1, 0, 0];
    rate.extend((-1i16).to_ne_bytes());
    rate.extend(0u16.to_ne_bytes());
    rate.extend(RATE.to_ne_bytes());
    // struct tc_htb_opt: rate, ceil, buffer, cbuffer, quantum, level, prio.
    let parameters = [&rate[..], &rate, &words(&[BURST, BURST, QUANTUM, 0, 0])].concat();
    // TCA_HTB_PARMS
    let options = Attributes::new().bytes(1, &parameters);
    let attributes = kind("htb").bytes(OPTIONS, options.as_bytes());
    let ends = Ends {
        interface,
        own: class_id(class),
        parent: handle(MAJOR, 0),
    };
    add("class of htb", libc::RTM_NEWTCLASS, ends, &attributes)
}

/// A class goes, with its netem and what that holds.
pub(super) fn delete_class(interface: u32, class: u16) -> Request {
    let ends = Ends {
        interface,
        own: class_id(class),
        parent: 0,
    };
    let attributes = Attributes::new();
    request("class of htb", libc::RTM_DELTCLASS, 0, ends, &attributes)
}

/// The netem of a class.
pub(super) fn add_netem(interface: u32, class: u16, traffic: &Traffic) -> Request {
    let ends = Ends {
        interface,
        own: handle(class, 0),
        parent: class_id(class),
    };
    let attributes = kind("netem").bytes(OPTIONS, &options(traffic));
    add("netem", libc::RTM_NEWQDISC, ends, &attributes)
}

/// `struct tc_netem_qopt`, and the attributes behind it.
fn options(traffic: &Traffic) -> Vec<u8> {
    // With a gap of one, every packet has the same chance to overtake.
    let gap = u32::from(!traffic.reorder.is_never());
    let mut options = words(&[
        ticks(traffic.delay),
        limit(traffic),
        chance(traffic.loss),
        gap,
        chance(traffic.duplicate),
        ticks(traffic.jitter),
    ]);
    let mut more = Attributes::new();
    // TCA_NETEM_REORDER, _CORRUPT: probability, correlation.
    for (number, share) in [(3, traffic.reorder), (4, traffic.corrupt)] {
        if !share.is_never() {
            more = more.bytes(number, &words(&[chance(share), 0]));
        }
    }
    if let Some(bits) = traffic.rate {
        let bytes = (bits / 8).max(1);
        let (low, high) = match u32::try_from(bytes) {
            Ok(low) => (low, None),
            Err(_) => (u32::MAX, Some(bytes)),
        };
        if let Some(high) = high {
            // TCA_NETEM_RATE64
            more = more.bytes(8, &high.to_ne_bytes());
        }
        // TCA_NETEM_RATE, a struct tc_netem_rate: rate, overhead of a packet, cells.
        more = more.bytes(6, &words(&[low, 0, 0, 0]));
    }
    options.extend_from_slice(more.as_bytes());
    options
}

/// In ticks of the packet scheduler, which are 64 ns since Linux 2.6.31.
fn ticks(d: Duration) -> u32 {
    u32::try_from(d.as_nanos() / 64).unwrap_or(u32::MAX)
}

fn chance(share: Share) -> u32 {
    // The cast saturates.
    (share.ratio() * f64::from(u32::MAX)).round() as u32
}

/// Packets that may wait: at a rate as many full ones as our own line has room for.
fn limit(traffic: &Traffic) -> u32 {
    let Some(rate) = traffic.rate else {
        return LONGEST_LINE;
    };
    let waits = longest_queue(rate) + traffic.delay + traffic.jitter;
    let frames = (rate as f64 / 8.0 * waits.as_secs_f64() / FRAME as f64).ceil();
    // The cast saturates.
    (frames as u32).min(LONGEST_LINE)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn kind(name: &str) -> Attributes {
    Attributes::new().text(KIND, name)
}

/// What a request is about.
struct Ends {
    interface: u32,
    own: u32,
    parent: u32,
}

/// Something that must not be there yet.
fn add(what: &'static str, number: u16, ends: Ends, attributes: &Attributes) -> Request {
    let flags = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    request(what, number, flags, ends, attributes)
}

fn request(
    what: &'static str,
    number: u16,
    flags: u16,
    ends: Ends,
    attributes: &Attributes,
) -> Request {
    // struct tcmsg: family and padding, interface, handle, parent, info.
    let body = words(&[0, ends.interface, ends.own, ends.parent, 0]);
    let attributes = attributes.as_bytes();
    let flags = flags | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let length = HEADER + body.len() + attributes.len();
    let mut bytes = (length as u32).to_ne_bytes().to_vec();
    bytes.extend(number.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Number and sender.
    bytes.extend(words(&[0, 0]));
    bytes.extend(body);
    bytes.extend_from_slice(attributes);
    Request { what, bytes }
}

#[cfg(test)]
mod tests;
